//! AVX2 with GFNI: 32 bytes a register (the one of [`avx2`](super::avx2)), multiplication in one instruction.

use core::arch::x86_64::*;

use crate::parity::gf;
use crate::parity::kernel::entry_points;
use crate::parity::lanes::{Isa, Register};

/// Arithmetic with `GF2P8AFFINEQB` on a 32-byte register.
struct Avx2Gfni;

impl Isa for Avx2Gfni {
    type Register = __m256i;
    /// The matrix of the factor, in every 8 bytes.
    type Factor = __m256i;

    const READY_MAX: usize = 8;

    #[inline]
    #[target_feature(enable = "avx2,gfni")]
    unsafe fn horner(q: __m256i, low: __m256i) -> __m256i {
        // SAFETY: This function enables the same features.
        unsafe { _mm256_xor_si256(Self::times(q, Self::factor(2)), low) }
    }

    #[inline]
    #[target_feature(enable = "avx2,gfni")]
    unsafe fn horner2(q: __m256i, d: [__m256i; 2]) -> __m256i {
        // SAFETY: This function enables the same features.
        unsafe { Self::times(q, Self::factor(4)).xor(Self::times(d[1], Self::factor(2)).xor(d[0])) }
    }

    #[inline]
    #[target_feature(enable = "avx2,gfni")]
    unsafe fn horner4(q: __m256i, d: [__m256i; 4]) -> __m256i {
        // SAFETY: This function enables the same features.
        unsafe {
            let (q, high) = (Self::times(q, Self::factor(16)), Self::times(d[3], Self::factor(8)));
            let low = d[0].xor(Self::times(d[1], Self::factor(2))).xor(Self::times(d[2], Self::factor(4)));
            q.xor(high.xor(low))
        }
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

entry_points!(Avx2Gfni, fixed: 2, listed: 2, line: 2, features: "avx2,gfni");
