//! AVX2 with GFNI: 32 bytes a register (the one of [`avx2`](super::avx2)), multiplication in one instruction.

use core::arch::x86_64::*;

use crate::parity::gf;
use crate::parity::kernel::entry_points;
use crate::parity::lanes::Isa;

/// Arithmetic with `GF2P8AFFINEQB` on a 32-byte register.
struct Avx2Gfni;

impl Isa for Avx2Gfni {
    type Register = __m256i;
    /// The matrix of the factor, in every 8 bytes.
    type Factor = __m256i;

    #[inline]
    #[target_feature(enable = "avx2,gfni")]
    unsafe fn horner(q: __m256i, low: __m256i) -> __m256i {
        // SAFETY: This function enables the same features.
        unsafe { _mm256_xor_si256(Self::times(q, Self::factor(2)), low) }
    }

    #[inline]
    #[target_feature(enable = "avx2,gfni")]
    unsafe fn horner2(q: __m256i, high: __m256i, low: __m256i) -> __m256i {
        // SAFETY: This function enables the same features.
        let (q, high) = unsafe { (Self::times(q, Self::factor(4)), Self::times(high, Self::factor(2))) };
        _mm256_xor_si256(q, _mm256_xor_si256(high, low))
    }

    #[inline]
    #[target_feature(enable = "avx2,gfni")]
    unsafe fn factor(factor: u8) -> __m256i {
        _mm256_set1_epi64x(gf::MATRICES[usize::from(factor)].cast_signed())
    }

    #[inline]
    #[target_feature(enable = "avx2,gfni")]
    unsafe fn times(x: __m256i, matrix: __m256i) -> __m256i {
        _mm256_gf2p8affine_epi64_epi8::<0>(x, matrix)
    }
}

entry_points!(Avx2Gfni, registers: 4, features: "avx2,gfni");
