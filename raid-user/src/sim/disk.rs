//! A disk of the simulator: tiny sectors, a volatile cache, and no promises beyond those of `docs/media.md`.
//!
//! A write is in the cache when it completes, and durable after a flush that was submitted later. At a power cut every sector of
//! the cache is on its own: it arrived or it did not, in any combination, but for one sector the later write wins over the
//! earlier. Writes that were under way are torn in the same manner. Sectors can be unreadable until they are rewritten; a
//! disk can vanish, and come back with what it had.

use std::collections::BTreeSet;

use fastrand::Rng;
use raid_core::health::{Epoch, Health};

use super::model::Value;

/// One disk.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    sectors: Vec<Value>,
    cache: Vec<Cached>,
    clock: u64,
    pub(super) unreadable: BTreeSet<usize>,
    pub(super) log: Vec<Vec<u64>>,
    pub(super) health: Option<Health>,
    pub(super) present: bool,
    /// Fails the next write, once, and changes nothing.
    pub(super) refuses: bool,
    /// The members' epoch when it got its slot: what was decided before was meant for another.
    pub(super) since: Epoch,
}

#[derive(Clone, Copy, Debug)]
struct Cached {
    at: usize,
    value: Value,
    when: u64,
}

impl Disk {
    /// A disk of so many sectors that hold `content`.
    pub(super) fn new(sectors: usize, mut content: impl FnMut() -> Value) -> Self {
        Self {
            sectors: (0..sectors).map(|_| content()).collect(),
            cache: Vec::new(),
            clock: 0,
            unreadable: BTreeSet::new(),
            log: Vec::new(),
            health: None,
            present: true,
            refuses: false,
            since: Epoch(0),
        }
    }

    /// True if it is there and says that it is a member: a new disk does not before it is told.
    pub(super) fn is_member(&self) -> bool {
        self.present && self.health.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.sectors.len()
    }

    /// Reads; `None` if a sector is unreadable.
    pub(super) fn read(&self, at: usize, len: usize) -> Option<Vec<Value>> {
        if !self.present || self.unreadable.range(at..at + len).next().is_some() {
            return None;
        }
        Some((at..at + len).map(|at| self.now(at)).collect())
    }

    fn now(&self, at: usize) -> Value {
        self.cache.iter().rev().find(|cached| cached.at == at).map_or(self.sectors[at], |cached| cached.value)
    }

    pub(super) fn write(&mut self, at: usize, value: Value, fua: bool) {
        self.clock += 1;
        self.unreadable.remove(&at);
        if fua {
            self.cache.retain(|cached| cached.at != at);
            self.sectors[at] = value;
        } else {
            self.cache.push(Cached { at, value, when: self.clock });
        }
    }

    /// The time that a flush submitted now must cover.
    pub(super) fn clock(&self) -> u64 {
        self.clock
    }

    /// All that was written up to `clock` is durable.
    pub(super) fn flush(&mut self, clock: u64) {
        for cached in self.cache.extract_if(.., |cached| cached.when <= clock) {
            self.sectors[cached.at] = cached.value;
        }
    }

    /// The power fails: each cached sector arrives with this chance.
    pub(super) fn power_cut(&mut self, rng: &mut Rng, chance: f64) {
        for cached in self.cache.drain(..) {
            if rng.f64() < chance {
                self.sectors[cached.at] = cached.value;
            }
        }
    }

    /// What a sector holds for good.
    pub(super) fn durable(&self, at: usize) -> Value {
        self.sectors[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_covers_what_was_written_before_it_was_submitted_and_nothing_else() {
        let mut disk = Disk::new(3, || 0);
        disk.write(0, 1, false);
        let clock = disk.clock();
        disk.write(1, 2, false);
        disk.write(2, 3, true);
        disk.flush(clock);
        disk.power_cut(&mut Rng::with_seed(0), 0.0);
        assert_eq!(disk.read(0, 3), Some(vec![1, 0, 3]));
    }

    #[test]
    fn the_cache_arrives_in_any_combination() {
        let outcomes: BTreeSet<Vec<Value>> = (0..64)
            .map(|seed| {
                let mut disk = Disk::new(2, || 0);
                disk.write(0, 1, false);
                disk.write(1, 2, false);
                disk.power_cut(&mut Rng::with_seed(seed), 0.5);
                disk.read(0, 2).unwrap()
            })
            .collect();
        assert_eq!(outcomes.len(), 4);
    }
}
