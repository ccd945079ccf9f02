//! AVX-512 (F and BW): 64 bytes a register, multiplication by two byte shuffles.

use core::arch::x86_64::*;

use super::cache;
use crate::parity::gf;
use crate::parity::kernel::entry_points;
use crate::parity::lanes::{Isa, Register};

/// The truth table of a ⊕ b ⊕ c, as `VPTERNLOG` takes it.
const XOR3: i32 = 0x96;

impl Register for __m512i {
    const BYTES: usize = 64;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn zero() -> Self {
        _mm512_setzero_si512()
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: The caller says that 64 bytes may be read there; the load asks for no alignment.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: The caller says that 64 bytes may be written there; the store asks for no alignment.
        unsafe { _mm512_storeu_si512(to.cast(), self) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn stream(self, to: *mut u8) {
        // SAFETY: The caller says that 64 bytes may be written there, and that it is aligned.
        unsafe { _mm512_stream_si512(to.cast(), self) }
    }

    #[inline(always)]
    fn fence() {
        cache::fence();
    }

    #[inline(always)]
    fn prefetch(from: *const u8) {
        cache::prefetch(from);
    }

    #[inline(always)]
    fn claim(to: *const u8) {
        cache::claim(to);
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn any(self) -> bool {
        _mm512_test_epi64_mask(self, self) != 0
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn or(self, b: Self) -> Self {
        _mm512_or_si512(self, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn xor(self, b: Self) -> Self {
        _mm512_xor_si512(self, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        _mm512_ternarylogic_epi64::<XOR3>(self, b, c)
    }
}

/// Arithmetic with the byte shuffle of AVX-512BW.
struct Avx512;

impl Isa for Avx512 {
    type Register = __m512i;
    /// Products with the low and with the high half of a byte, each in every quarter of a register.
    type Factor = (__m512i, __m512i);

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn open(q: __m512i) -> __m512i {
        _mm512_xor_si512(q, _mm512_set1_epi8(gf::BIAS))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn close(q: __m512i) -> __m512i {
        _mm512_xor_si512(q, _mm512_set1_epi8(gf::BIAS))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn horner(q: __m512i, low: __m512i) -> __m512i {
        // The shuffle gives 0x1D where the top bit is clear, and 0 where it is set: see `gf::BIAS`.
        let stays = _mm512_shuffle_epi8(_mm512_set1_epi8(gf::REDUCE), q);
        _mm512_ternarylogic_epi64::<XOR3>(_mm512_add_epi8(q, q), stays, low)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn factor(factor: u8) -> Self::Factor {
        let table = gf::NIBBLES[usize::from(factor)].as_ptr();
        // SAFETY: The table has 32 bytes: 16 from its start and 16 from its middle.
        let (low, high) = unsafe { (_mm_loadu_si128(table.cast()), _mm_loadu_si128(table.add(16).cast())) };
        (_mm512_broadcast_i32x4(low), _mm512_broadcast_i32x4(high))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn times(x: __m512i, (low, high): Self::Factor) -> __m512i {
        let nibble = _mm512_set1_epi8(0x0F);
        let low = _mm512_shuffle_epi8(low, _mm512_and_si512(x, nibble));
        let high = _mm512_shuffle_epi8(high, _mm512_and_si512(_mm512_srli_epi64::<4>(x), nibble));
        _mm512_xor_si512(low, high)
    }
}

entry_points!(Avx512, fixed: 8, listed: 8, line: 1, features: "avx512f,avx512bw");
