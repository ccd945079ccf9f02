//! AVX2: 32 bytes a register, multiplication by two byte shuffles.

use core::arch::x86_64::*;

use super::cache;
use crate::parity::gf;
use crate::parity::kernel::entry_points;
use crate::parity::lanes::{Isa, Register};

impl Register for __m256i {
    const BYTES: usize = 32;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn zero() -> Self {
        _mm256_setzero_si256()
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: The caller says that 32 bytes may be read there; the load asks for no alignment.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: The caller says that 32 bytes may be written there; the store asks for no alignment.
        unsafe { _mm256_storeu_si256(to.cast(), self) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn stream(self, to: *mut u8) {
        // SAFETY: The caller says that 32 bytes may be written there, and that it is aligned.
        unsafe { _mm256_stream_si256(to.cast(), self) }
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
    #[target_feature(enable = "avx2")]
    unsafe fn any(self) -> bool {
        _mm256_testz_si256(self, self) == 0
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn or(self, b: Self) -> Self {
        _mm256_or_si256(self, b)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn xor(self, b: Self) -> Self {
        _mm256_xor_si256(self, b)
    }
}

/// Arithmetic with AVX2's byte shuffle.
struct Avx2;

impl Isa for Avx2 {
    type Register = __m256i;
    /// Products with the low and with the high half of a byte, each in both halves of a register.
    type Factor = (__m256i, __m256i);

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn open(q: __m256i) -> __m256i {
        _mm256_xor_si256(q, _mm256_set1_epi8(gf::BIAS))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn close(q: __m256i) -> __m256i {
        _mm256_xor_si256(q, _mm256_set1_epi8(gf::BIAS))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn horner(q: __m256i, low: __m256i) -> __m256i {
        // The shuffle gives 0x1D where the top bit is clear, and 0 where it is set: see `gf::BIAS`.
        let stays = _mm256_shuffle_epi8(_mm256_set1_epi8(gf::REDUCE), q);
        _mm256_xor_si256(_mm256_xor_si256(_mm256_add_epi8(q, q), low), stays)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn factor(factor: u8) -> Self::Factor {
        let table = gf::NIBBLES[usize::from(factor)].as_ptr();
        // SAFETY: The table has 32 bytes: 16 from its start and 16 from its middle.
        let (low, high) = unsafe { (_mm_loadu_si128(table.cast()), _mm_loadu_si128(table.add(16).cast())) };
        (_mm256_broadcastsi128_si256(low), _mm256_broadcastsi128_si256(high))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn times(x: __m256i, (low, high): Self::Factor) -> __m256i {
        let nibble = _mm256_set1_epi8(0x0F);
        let low = _mm256_shuffle_epi8(low, _mm256_and_si256(x, nibble));
        let high = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi64::<4>(x), nibble));
        _mm256_xor_si256(low, high)
    }
}

entry_points!(Avx2, fixed: 3, listed: 4, line: 2, features: "avx2");
