//! AVX-512 with GFNI: 64 bytes a register (the one of [`avx512`](super::avx512)), multiplication in one instruction.

use core::arch::x86_64::*;

use crate::parity::gf;
use crate::parity::kernel::entry_points;
use crate::parity::lanes::{Isa, Register};

/// Arithmetic with `GF2P8AFFINEQB` on a 64-byte register.
struct Avx512Gfni;

impl Isa for Avx512Gfni {
    type Register = __m512i;
    /// The matrix of the factor, in every 8 bytes.
    type Factor = __m512i;

    const READY_MAX: usize = 6;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,gfni")]
    unsafe fn horner(q: __m512i, low: __m512i) -> __m512i {
        // SAFETY: This function enables the same features.
        unsafe { _mm512_xor_si512(Self::times(q, Self::factor(2)), low) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,gfni")]
    unsafe fn horner2(q: __m512i, d: [__m512i; 2]) -> __m512i {
        // SAFETY: This function enables the same features.
        unsafe { Self::times(q, Self::factor(4)).xor3(Self::times(d[1], Self::factor(2)), d[0]) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,gfni")]
    unsafe fn horner4(q: __m512i, d: [__m512i; 4]) -> __m512i {
        // SAFETY: This function enables the same features.
        unsafe {
            let (q, high) = (Self::times(q, Self::factor(16)), Self::times(d[3], Self::factor(8)));
            let low = d[0].xor3(Self::times(d[1], Self::factor(2)), Self::times(d[2], Self::factor(4)));
            q.xor3(high, low)
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,gfni")]
    unsafe fn factor(factor: u8) -> __m512i {
        _mm512_set1_epi64(gf::MATRICES[usize::from(factor)].cast_signed())
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,gfni")]
    unsafe fn times(x: __m512i, matrix: __m512i) -> __m512i {
        _mm512_gf2p8affine_epi64_epi8::<0>(x, matrix)
    }
}

entry_points!(Avx512Gfni, fixed: 8, listed: 4, line: 1, features: "avx512f,avx512bw,gfni");
