//! The dice: every decision of a world is one throw, so that a world is its throws.
//!
//! Zero is always the dull choice: no fault, no request, the oldest first.

use fastrand::Rng;

/// Dice.
pub(super) struct Dice {
    rng: Rng,
}

impl Dice {
    /// Fall at random.
    pub(super) const fn random(rng: Rng) -> Self {
        Self { rng }
    }

    /// One of `sides`, from zero.
    pub(super) fn below(&mut self, sides: u32) -> u32 {
        self.rng.u32(..sides.max(1))
    }

    /// The same as an index.
    pub(super) fn index(&mut self, sides: usize) -> usize {
        self.below(u32::try_from(sides).unwrap_or(u32::MAX)) as usize
    }

    /// True once in so many throws, never if that is zero; dull is false.
    pub(super) fn one_in(&mut self, sides: u32) -> bool {
        match sides {
            0 => false,
            1 => true,
            _ => self.below(sides) == sides - 1,
        }
    }

    /// True every other time.
    pub(super) fn coin(&mut self) -> bool {
        self.below(2) == 1
    }
}
