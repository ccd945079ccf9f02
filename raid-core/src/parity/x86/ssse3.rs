//! SSSE3: 16 bytes a register, multiplication by two byte shuffles. What any x86-64 since 2006 can do.

use core::arch::x86_64::*;

use super::cache;
use crate::parity::gf;
use crate::parity::kernel::entry_points;
use crate::parity::lanes::{Isa, Register};

impl Register for __m128i {
    const BYTES: usize = 16;

    #[inline]
    #[target_feature(enable = "sse2")]
    unsafe fn zero() -> Self {
        _mm_setzero_si128()
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: The caller says that 16 bytes may be read there; the load asks for no alignment.
        unsafe { _mm_loadu_si128(from.cast()) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: The caller says that 16 bytes may be written there; the store asks for no alignment.
        unsafe { _mm_storeu_si128(to.cast(), self) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    unsafe fn stream(self, to: *mut u8) {
        // SAFETY: The caller says that 16 bytes may be written there, and that it is aligned.
        unsafe { _mm_stream_si128(to.cast(), self) }
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
    #[target_feature(enable = "sse2")]
    unsafe fn any(self) -> bool {
        let zeros = _mm_cmpeq_epi8(self, _mm_setzero_si128());
        _mm_movemask_epi8(zeros) != 0xFFFF
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    unsafe fn or(self, b: Self) -> Self {
        _mm_or_si128(self, b)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    unsafe fn xor(self, b: Self) -> Self {
        _mm_xor_si128(self, b)
    }
}

/// Arithmetic with SSSE3's byte shuffle.
struct Ssse3;

impl Isa for Ssse3 {
    type Register = __m128i;
    /// Products with the low and with the high half of a byte.
    type Factor = (__m128i, __m128i);

    #[inline]
    #[target_feature(enable = "ssse3")]
    unsafe fn open(q: __m128i) -> __m128i {
        _mm_xor_si128(q, _mm_set1_epi8(gf::BIAS))
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    unsafe fn close(q: __m128i) -> __m128i {
        _mm_xor_si128(q, _mm_set1_epi8(gf::BIAS))
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    unsafe fn horner(q: __m128i, low: __m128i) -> __m128i {
        // The shuffle gives 0x1D where the top bit is clear, and 0 where it is set: see `gf::BIAS`.
        let stays = _mm_shuffle_epi8(_mm_set1_epi8(gf::REDUCE), q);
        _mm_xor_si128(_mm_xor_si128(_mm_add_epi8(q, q), low), stays)
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    unsafe fn factor(factor: u8) -> Self::Factor {
        let table = gf::NIBBLES[usize::from(factor)].as_ptr();
        // SAFETY: The table has 32 bytes: 16 from its start and 16 from its middle.
        unsafe { (_mm_loadu_si128(table.cast()), _mm_loadu_si128(table.add(16).cast())) }
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    unsafe fn times(x: __m128i, (low, high): Self::Factor) -> __m128i {
        let nibble = _mm_set1_epi8(0x0F);
        let low = _mm_shuffle_epi8(low, _mm_and_si128(x, nibble));
        let high = _mm_shuffle_epi8(high, _mm_and_si128(_mm_srli_epi64::<4>(x), nibble));
        _mm_xor_si128(low, high)
    }
}

entry_points!(Ssse3, fixed: 4, listed: 4, line: 4, features: "ssse3");
