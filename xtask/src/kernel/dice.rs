//! Numbers that look random, the same for the same seed.

/// Marsaglia's xorshift (13, 7, 17).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// Those of a seed, which may be like others'.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any number but zero.
    pub(super) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// One of so many sides.
    pub(super) const fn throw(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }
}
