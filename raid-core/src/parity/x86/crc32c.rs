//! CRC-32C by the CPU: its own instruction, and folding with carry-less products where registers are 64 bytes wide.
//!
//! In the manner of the parity kernels: raw pointers and counts, nothing of `core` that is not inlined, no panic.
//!
//! # Folding
//!
//! A message is a polynomial over GF(2), and its sum is the remainder of message · x³² by P. If A is followed by B, D bits long,
//! then A · x^D ⊕ B has the same remainder, and so has A · (x^D mod P) ⊕ B: a few bits in the place of A. A register holds four
//! pieces of 128 bits; each is folded onto the piece D bits further on, its two halves by two products. The sum is
//! reflected: the lowest bit of the first byte stands for the highest power. A product of reflected halves comes out one bit too low,
//! that is multiplied by x; so the constants are x^(D + 63) for the first half of a piece, and x^(D - 1) for the second.

use core::arch::x86_64::*;

use crate::parity::crc32c::power_reflected;

/// Bytes that one turn of the loop folds: four registers.
const TURN_BYTES: usize = 256;

/// The two constants that move 128 bits by `BITS`.
const fn constants(bits: u32) -> [u64; 2] {
    [power_reflected(bits + 63), power_reflected(bits - 1)]
}

const BY_2048: [u64; 2] = constants(2048);
const BY_512: [u64; 2] = constants(512);
const BY_128: [u64; 2] = constants(128);

/// Moves the four pieces of `a` by as many bits as the constants say, and adds them to `b`.
#[inline]
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn fold(a: __m512i, by: __m512i, b: __m512i) -> __m512i {
    let first = _mm512_clmulepi64_epi128::<0x00>(a, by);
    let second = _mm512_clmulepi64_epi128::<0x11>(a, by);
    _mm512_ternarylogic_epi64::<0x96>(first, second, b)
}

/// The constants in every quarter of a register.
#[inline]
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn quarters(by: [u64; 2]) -> __m512i {
    _mm512_broadcast_i32x4(_mm_set_epi64x(by[1].cast_signed(), by[0].cast_signed()))
}

/// The register of CRC-32C after `len` bytes at `from`, by folding.
///
/// # Safety
/// The CPU has AVX-512F, VPCLMULQDQ and SSE4.2, and the operating system saves the registers; `len` bytes may be read.
#[target_feature(enable = "avx512f,vpclmulqdq,pclmulqdq,sse4.2")]
pub(super) unsafe extern "C" fn folded(register: u32, from: *const u8, len: usize) -> u32 {
    if len < TURN_BYTES {
        // SAFETY: Handed on.
        return unsafe { stepped(register, from, len) };
    }
    // SAFETY: `at` is a multiple of the turn and stays below `len - TURN_BYTES`: each turn's 256 bytes are within.
    unsafe {
        let load = |at: usize| _mm512_loadu_si512(from.add(at).cast());
        let seed = _mm512_zextsi128_si512(_mm_cvtsi32_si128(register.cast_signed()));
        let (mut a, mut b, mut c, mut d) = (_mm512_xor_si512(load(0), seed), load(64), load(128), load(192));
        let by = quarters(BY_2048);
        let mut at = TURN_BYTES;
        while len - at >= TURN_BYTES {
            a = fold(a, by, load(at));
            b = fold(b, by, load(at + 64));
            c = fold(c, by, load(at + 128));
            d = fold(d, by, load(at + 192));
            at += TURN_BYTES;
        }
        let by = quarters(BY_512);
        let mut sum = fold(fold(fold(a, by, b), by, c), by, d);
        while len - at >= 64 {
            sum = fold(sum, by, load(at));
            at += 64;
        }
        let by = _mm512_castsi512_si128(quarters(BY_128));
        let mut piece = _mm512_castsi512_si128(sum);
        for next in [
            _mm512_extracti32x4_epi32::<1>(sum),
            _mm512_extracti32x4_epi32::<2>(sum),
            _mm512_extracti32x4_epi32::<3>(sum),
        ] {
            let first = _mm_clmulepi64_si128::<0x00>(piece, by);
            let second = _mm_clmulepi64_si128::<0x11>(piece, by);
            piece = _mm_xor_si128(_mm_xor_si128(first, second), next);
        }
        // The last 128 bits are summed as any message.
        let low = _mm_cvtsi128_si64(piece).cast_unsigned();
        let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(piece, piece)).cast_unsigned();
        let register = _mm_crc32_u64(_mm_crc32_u64(0, low), high);
        stepped(low_half(register), from.add(at), len - at)
    }
}

/// The register of CRC-32C after `len` bytes at `from`, eight at a time.
///
/// # Safety
/// The CPU has SSE4.2; `len` bytes may be read.
#[target_feature(enable = "sse4.2")]
pub(super) unsafe extern "C" fn stepped(register: u32, from: *const u8, len: usize) -> u32 {
    let mut wide = u64::from(register);
    let mut at = 0;
    // SAFETY: Each read is within `len` by the condition of its loop, and asks for no alignment.
    unsafe {
        while len - at >= 8 {
            wide = _mm_crc32_u64(wide, from.add(at).cast::<u64>().read_unaligned());
            at += 8;
        }
        let mut register = low_half(wide);
        while at < len {
            register = _mm_crc32_u8(register, *from.add(at));
            at += 1;
        }
        register
    }
}

/// What the instruction leaves in 64 bits: the upper half is zero.
#[inline(always)]
const fn low_half(wide: u64) -> u32 {
    (wide & 0xFFFF_FFFF) as u32
}
