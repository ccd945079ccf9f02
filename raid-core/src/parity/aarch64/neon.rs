//! NEON: 16 bytes a register, multiplication by two byte look-ups.
//!
//! Compiled by `cargo xtask no-std`; its tests run where such a CPU does.

use core::arch::aarch64::*;

use crate::parity::gf;
use crate::parity::kernel::entry_points;
use crate::parity::lanes::{Isa, Register};

impl Register for uint8x16_t {
    const BYTES: usize = 16;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn zero() -> Self {
        vdupq_n_u8(0)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: The caller says that 16 bytes may be read there; the load asks for no alignment.
        unsafe { vld1q_u8(from) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: The caller says that 16 bytes may be written there; the store asks for no alignment.
        unsafe { vst1q_u8(to, self) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn any(self) -> bool {
        vmaxvq_u8(self) != 0
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn or(self, b: Self) -> Self {
        vorrq_u8(self, b)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn xor(self, b: Self) -> Self {
        veorq_u8(self, b)
    }
}

/// Arithmetic with NEON's byte look-up.
struct Neon;

impl Isa for Neon {
    type Register = uint8x16_t;
    /// Products with the low and with the high half of a byte.
    type Factor = (uint8x16_t, uint8x16_t);

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn horner(q: uint8x16_t, low: uint8x16_t) -> uint8x16_t {
        // Shifted as a signed byte, the top bit fills the byte: the mask of what overflows.
        let overflowed = vreinterpretq_u8_s8(vshrq_n_s8::<7>(vreinterpretq_s8_u8(q)));
        let reduce = vandq_u8(overflowed, vdupq_n_u8(gf::REDUCE.cast_unsigned()));
        veorq_u8(vaddq_u8(q, q), veorq_u8(reduce, low))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn factor(factor: u8) -> Self::Factor {
        let table = gf::NIBBLES[usize::from(factor)].as_ptr();
        // SAFETY: The table has 32 bytes: 16 from its start and 16 from its middle.
        unsafe { (vld1q_u8(table), vld1q_u8(table.add(16))) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn times(x: uint8x16_t, (low, high): Self::Factor) -> uint8x16_t {
        let low = vqtbl1q_u8(low, vandq_u8(x, vdupq_n_u8(0x0F)));
        let high = vqtbl1q_u8(high, vshrq_n_u8::<4>(x));
        veorq_u8(low, high)
    }
}

entry_points!(Neon, fixed: 4, listed: 4, line: 4, features: "neon");
