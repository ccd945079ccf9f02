//! A disk of the simulator: tiny sectors, a volatile cache, and no promises beyond those of `docs/media.md`.
//!
//! A write is in the cache when it completes, and durable after a flush that was submitted later. At a power cut every sector of
//! the cache is on its own: it arrived or it did not, in any combination, but for one sector the later write wins over the
//! earlier. Writes that were under way are torn in the same manner. Sectors can be unreadable until they are rewritten; a
//! disk can vanish, and come back with what it had.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::ops::Range;

use raid_core::Member;
use raid_core::health::{Epoch, Health};

use super::dice::Dice;
use super::model::Value;
use super::same::{Mark, Sum};

/// One disk.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    /// What a read finds.
    now: Vec<Value>,
    /// What is there for good.
    durable: Vec<Value>,
    /// The clock of the newest write of each sector that went past the cache.
    through: Vec<u64>,
    /// In the order of their writing.
    cache: VecDeque<Cached>,
    clock: u64,
    pub(super) unreadable: BTreeSet<usize>,
    pub(super) log: Vec<Vec<u64>>,
    /// What the log said of itself: since when its bits are whole.
    pub(super) cleared: Epoch,
    pub(super) health: Option<Health>,
    /// The epoch that all who are in sync by `health` held when it began to be written.
    pub(super) before: Epoch,
    pub(super) present: bool,
    /// Fails the next write, once, and changes nothing.
    pub(super) refuses: bool,
    /// The members' epoch when it got its slot: what was decided before was meant for another.
    pub(super) since: Epoch,
    /// The seat that its states were written for.
    pub(super) seat: Member,
    /// What it failed since it got its slot, or since power on.
    pub(super) guilt: Guilt,
    /// What becomes of the next write instead of what was asked for; the disk says that it was done.
    pub(super) astray: Option<Astray>,
    /// What should stand where such a write went by, or where it went.
    pub(super) missed: Vec<(usize, Value)>,
}

/// Where a write goes that is not done as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Astray {
    /// Nowhere.
    Lost,
    /// To this sector and those behind it.
    To(usize),
}

/// What a disk may be blamed for.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Guilt {
    pub(super) reads: u32,
    pub(super) writes: u32,
    /// Somebody threw it out.
    pub(super) outcast: bool,
}

#[derive(Clone, Copy, Debug)]
struct Cached {
    at: usize,
    value: Value,
    when: u64,
}

impl Disk {
    /// A disk of so many sectors that hold `content`.
    pub(super) fn new(sectors: usize, content: impl FnMut(usize) -> Value) -> Self {
        let durable: Vec<Value> = (0..sectors).map(content).collect();
        Self {
            now: durable.clone(),
            durable,
            through: vec![0; sectors],
            cache: VecDeque::new(),
            clock: 0,
            unreadable: BTreeSet::new(),
            log: Vec::new(),
            cleared: Epoch(0),
            health: None,
            before: Epoch(0),
            present: true,
            refuses: false,
            since: Epoch(0),
            seat: Member(0),
            guilt: Guilt::default(),
            astray: None,
            missed: Vec::new(),
        }
    }

    /// A place without a disk.
    pub(super) fn nowhere(sectors: usize) -> Self {
        Self { present: false, ..Self::new(sectors, |_| 0) }
    }

    /// True if it is there and says that it is a member: a new disk does not before it is told.
    pub(super) fn is_member(&self) -> bool {
        self.present && self.health.is_some()
    }

    /// What could not be read, or written, may be so after a rest.
    pub(super) fn rest(&mut self) {
        self.unreadable.clear();
        self.refuses = false;
        self.since = Epoch(0);
        self.guilt = Guilt::default();
    }

    pub(super) fn len(&self) -> usize {
        self.now.len()
    }

    /// Reads; `None` if a sector is unreadable.
    pub(super) fn read(&self, at: usize, len: usize) -> Option<&[Value]> {
        let readable =
            self.present && (self.unreadable.is_empty() || self.unreadable.range(at..at + len).next().is_none());
        readable.then(|| &self.now[at..at + len])
    }

    pub(super) fn write(&mut self, at: usize, value: Value, fua: bool) {
        self.clock += 1;
        if !self.unreadable.is_empty() {
            self.unreadable.remove(&at);
        }
        self.now[at] = value;
        if fua {
            (self.durable[at], self.through[at]) = (value, self.clock);
        } else {
            self.cache.push_back(Cached { at, value, when: self.clock });
        }
    }

    /// A write that goes astray.
    pub(super) fn write_astray(&mut self, astray: Astray, at: usize, values: &[Value]) {
        self.missed.extend((at..).zip(values.iter().copied()));
        let Astray::To(to) = astray else { return };
        for (victim, value) in (to..self.len()).zip(values) {
            if !(at..at + values.len()).contains(&victim) {
                self.missed.push((victim, self.now[victim]));
                self.write(victim, *value, false);
            }
        }
    }

    /// The time that a flush submitted now must cover.
    pub(super) fn clock(&self) -> u64 {
        self.clock
    }

    /// All that was written up to `clock` is durable.
    pub(super) fn flush(&mut self, clock: u64) {
        while let Some(cached) = self.cache.pop_front_if(|cached| cached.when <= clock) {
            self.settle(cached);
        }
    }

    /// A cached sector arrives, unless a later write went past the cache.
    fn settle(&mut self, cached: Cached) {
        if cached.when > self.through[cached.at] {
            self.durable[cached.at] = cached.value;
        }
    }

    /// The power fails: each cached sector arrives with this chance.
    pub(super) fn power_cut(&mut self, dice: &mut Dice, chance: Chance) {
        for cached in std::mem::take(&mut self.cache) {
            if chance.comes(dice) {
                self.settle(cached);
            }
        }
        self.now.clone_from(&self.durable);
    }

    /// Becomes what `other` is, and keeps its own memory.
    pub(super) fn copy_from(&mut self, other: &Self) {
        let Self {
            now,
            durable,
            through,
            cache,
            clock,
            unreadable,
            log,
            cleared,
            health,
            before,
            present,
            refuses,
            since,
            seat,
            guilt,
            astray,
            missed,
        } = other;
        self.now.copy_from_slice(now);
        self.durable.copy_from_slice(durable);
        self.through.copy_from_slice(through);
        self.cache.clone_from(cache);
        self.unreadable.clone_from(unreadable);
        self.log.clone_from(log);
        self.missed.clone_from(missed);
        self.astray = *astray;
        (self.clock, self.cleared, self.health, self.before) = (*clock, *cleared, *health, *before);
        (self.present, self.refuses, self.since, self.seat, self.guilt) = (*present, *refuses, *since, *seat, *guilt);
    }

    /// What it will do is the same for equal marks. `flushes` are those under way, by what they must cover.
    pub(super) fn mark(&self, flushes: &[u64]) -> u64 {
        // What a read finds is what is durable, and the cache over it.
        let Self {
            now: _,
            durable,
            through,
            cache,
            clock: _,
            unreadable,
            log,
            cleared,
            health,
            before,
            present,
            refuses,
            since,
            seat,
            guilt,
            astray,
            missed,
        } = self;
        let mut mark = Mark::default();
        durable.hash(&mut mark);
        (unreadable, log, cleared).hash(&mut mark);
        (health, before, present, refuses, since, seat, guilt).hash(&mut mark);
        (astray, missed).hash(&mut mark);
        // Of the times only the order counts: in one sector, and against the flushes.
        let mut sum = Sum::default();
        for (place, cached) in cache.iter().enumerate() {
            let older = cache.iter().take(place).filter(|other| other.at == cached.at).count();
            let covered: Vec<bool> = flushes.iter().map(|clock| cached.when <= *clock).collect();
            sum.add(&(cached.at, cached.value, cached.when > through[cached.at], older, covered));
        }
        sum.hash(&mut mark);
        mark.finish()
    }

    /// What each sector whose fate is open may hold after a power cut, the durable value first.
    pub(super) fn fates(&self) -> BTreeMap<usize, Vec<Value>> {
        let mut fates = BTreeMap::new();
        for cached in self.cache.iter().filter(|cached| cached.when > self.through[cached.at]) {
            let values: &mut Vec<Value> = fates.entry(cached.at).or_insert_with(|| vec![self.durable[cached.at]]);
            if !values.contains(&cached.value) {
                values.push(cached.value);
            }
        }
        fates
    }

    /// The power failed, and nothing arrived.
    pub(super) fn forget(&mut self) {
        self.cache.clear();
        self.now.clone_from(&self.durable);
        self.rest();
    }

    /// A sector holds this for good.
    pub(super) fn engrave(&mut self, at: usize, value: Value) {
        (self.now[at], self.durable[at]) = (value, value);
    }

    /// What a sector holds for good.
    pub(super) fn durable(&self, at: usize) -> Value {
        self.durable[at]
    }

    /// What sectors hold for good.
    pub(super) fn all_durable(&self, at: Range<usize>) -> &[Value] {
        &self.durable[at]
    }

    /// What sectors hold, readable or not.
    pub(super) fn all_now(&self, at: Range<usize>) -> &[Value] {
        &self.now[at]
    }

    /// What a sector holds, readable or not.
    pub(super) fn now(&self, at: usize) -> Value {
        self.now[at]
    }
}

/// The chance that a sector on its way survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Chance {
    None,
    Half,
    All,
}

impl Chance {
    pub(super) fn comes(self, dice: &mut Dice) -> bool {
        match self {
            Self::None => false,
            Self::Half => dice.coin(),
            Self::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    #[test]
    fn a_write_past_the_cache_is_not_undone_by_an_older_cached_one() {
        let mut disk = Disk::new(1, |_| 0);
        disk.write(0, 1, false);
        disk.write(0, 2, true);
        disk.power_cut(&mut Dice::random(Rng::with_seed(0)), Chance::All);
        assert_eq!(disk.read(0, 1), Some([2].as_slice()));
    }

    #[test]
    fn a_flush_covers_what_was_written_before_it_was_submitted_and_nothing_else() {
        let mut disk = Disk::new(3, |_| 0);
        disk.write(0, 1, false);
        let clock = disk.clock();
        disk.write(1, 2, false);
        disk.write(2, 3, true);
        disk.flush(clock);
        disk.power_cut(&mut Dice::random(Rng::with_seed(0)), Chance::None);
        assert_eq!(disk.read(0, 3), Some([1, 0, 3].as_slice()));
    }

    #[test]
    fn a_write_that_goes_astray_leaves_what_was_there_and_spoils_what_it_meets() {
        let mut disk = Disk::new(4, |at| at as Value);
        disk.write_astray(Astray::Lost, 0, &[10]);
        disk.write_astray(Astray::To(2), 1, &[11, 12]);
        assert_eq!(disk.read(0, 4), Some([0, 1, 2, 12].as_slice()), "sector 2 was to be written anyway");
        assert_eq!(disk.missed, [(0, 10), (1, 11), (2, 12), (3, 3)]);
    }

    #[test]
    fn the_cache_arrives_in_any_combination() {
        let outcomes: BTreeSet<Vec<Value>> = (0..64)
            .map(|seed| {
                let mut disk = Disk::new(2, |_| 0);
                disk.write(0, 1, false);
                disk.write(1, 2, false);
                disk.power_cut(&mut Dice::random(Rng::with_seed(seed)), Chance::Half);
                disk.read(0, 2).unwrap().to_vec()
            })
            .collect();
        assert_eq!(outcomes.len(), 4);
    }
}
