//! When two worlds are the same: a mark of 64 bits for everything that what follows depends on.
//!
//! Two worlds that differ have the same mark by bad luck once in some 10^19 pairs: among ten million worlds, once in some
//! hundred thousand runs.

use std::hash::{Hash, Hasher};

/// Makes a mark. Not meant to withstand anybody who chooses what is hashed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark(u64);

impl Mark {
    fn fold(&mut self, word: u64) {
        let mut mixed = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^= mixed >> 29;
        mixed = mixed.wrapping_mul(0xD129_0DDB_53C4_3E49);
        self.0 = mixed ^ mixed >> 32;
    }

    /// The mark of one thing.
    pub(super) fn of(thing: &impl Hash) -> u64 {
        let mut mark = Self::default();
        thing.hash(&mut mark);
        mark.finish()
    }
}

impl Hasher for Mark {
    fn finish(&self) -> u64 {
        let mut last = *self;
        last.fold(0x1319_8A2E_0370_7344);
        last.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.fold(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.fold(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.fold(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.fold(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.fold(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.fold(number as u64);
    }
}

/// The mark of things in no order.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Sum(u64);

impl Sum {
    /// One more.
    pub(super) fn add(&mut self, thing: &impl Hash) {
        self.0 = self.0.wrapping_add(Mark::of(thing));
    }
}
