//! Parity eight bytes at a time in a plain `u64`: runs everywhere, and is what a host falls back on.
//!
//! The bytes of the word never disturb one another: every shift is followed by a mask that drops what crossed over.

use super::gf;
use super::kernel::entry_points;
use super::lanes::{Isa, Register};

/// The byte `0x01` in every lane.
const ONES: u64 = u64::from_ne_bytes([0x01; 8]);

/// The polynomial without its top bit, in every lane.
const REDUCE: u64 = u64::from_ne_bytes([0x1D; 8]);

impl Register for u64 {
    const BYTES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        0
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: The caller says that 8 bytes may be read there; the read asks for no alignment.
        unsafe { from.cast::<Self>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: The caller says that 8 bytes may be written there; the write asks for no alignment.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn any(self) -> bool {
        self != 0
    }

    #[inline(always)]
    unsafe fn or(self, b: Self) -> Self {
        self | b
    }

    #[inline(always)]
    unsafe fn xor(self, b: Self) -> Self {
        self ^ b
    }
}

/// Makes lanes of 1 lanes of 0xFF, and leaves lanes of 0: 0x100 - 1, with nothing borrowed from a neighbour.
#[inline(always)]
fn fill(bits: u64) -> u64 {
    (bits << 8).wrapping_sub(bits)
}

/// Twice every byte.
#[inline(always)]
fn double(x: u64) -> u64 {
    (x << 1 & !ONES) ^ (fill(x >> 7 & ONES) & REDUCE)
}

/// Arithmetic on `u64`.
struct Portable;

impl Isa for Portable {
    type Register = u64;
    /// The products of the factor with 1, 2, 4, .. 128: what each bit of a byte is worth.
    type Factor = [u64; 8];

    #[inline(always)]
    unsafe fn horner(q: u64, low: u64) -> u64 {
        double(q) ^ low
    }

    #[inline(always)]
    unsafe fn factor(factor: u8) -> Self::Factor {
        let products = &gf::NIBBLES[usize::from(factor)];
        [1, 2, 4, 8, 16 + 1, 16 + 2, 16 + 4, 16 + 8].map(|at: usize| u64::from(products[at]).wrapping_mul(ONES))
    }

    #[inline(always)]
    unsafe fn times(x: u64, factor: Self::Factor) -> u64 {
        (0..8).zip(factor).fold(0, |product, (bit, worth)| product ^ (fill(x >> bit & ONES) & worth))
    }
}

entry_points!(Portable, fixed: 8, listed: 8, line: 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubling_keeps_to_its_lane() {
        for byte in 0..=255u8 {
            for (lane, fill) in (0..8).flat_map(|lane| [(lane, 0x00), (lane, 0xFF), (lane, 0x80)]) {
                let mut bytes = [fill; 8];
                bytes[lane] = byte;
                assert_eq!(double(u64::from_ne_bytes(bytes)).to_ne_bytes(), bytes.map(gf::double));
            }
        }
    }
}
