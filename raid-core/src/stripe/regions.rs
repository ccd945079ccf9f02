//! The regions of a shard: their states, and the writes under way in each.

use core::hash::{Hash, Hasher};
use core::num::NonZeroU64;

use crate::memory::{Memory, OutOfMemory};
use crate::region::{Event, Found, RegionNo, State};

/// Regions that one sweep takes back from one shard at most.
const SWEEP_MAX: usize = 64;

#[derive(Clone, Copy, Debug, Hash)]
struct Region {
    state: State,
    writes: u16,
    /// A sweep found it idle before.
    old: bool,
}

impl Region {
    /// Lets `event` happen; where it means nothing, nothing happens. The only place where a region's state changes.
    fn happen(&mut self, event: Event) -> State {
        if let Some(next) = self.state.after(event) {
            self.state = next;
            self.old = false;
        }
        self.state
    }

    /// Nobody writes in it any more, if that is so.
    fn rest(&mut self) {
        if self.writes == 0 {
            self.happen(Event::Rest);
        }
    }
}

pub(super) struct Regions<M: Memory> {
    regions: M::Array<Region>,
    shard: u64,
    shards: NonZeroU64,
    sweep_from: usize,
    swept: [Option<RegionNo>; SWEEP_MAX],
}

impl<M: Memory> Hash for Regions<M> {
    fn hash<H: Hasher>(&self, into: &mut H) {
        let Self { regions, shard: _, shards: _, sweep_from, swept } = self;
        regions.hash(into);
        sweep_from.hash(into);
        swept.iter().flatten().for_each(|region| region.hash(into));
    }
}

impl<M: Memory> Regions<M> {
    pub(super) fn copy_from(&mut self, other: &Self) {
        let Self { regions, shard: _, shards: _, sweep_from, swept } = other;
        self.regions.copy_from_slice(regions);
        (self.sweep_from, self.swept) = (*sweep_from, *swept);
    }

    pub(super) fn new(
        shard: u16,
        shards: u16,
        regions: u64,
        found: impl Fn(RegionNo) -> Found,
    ) -> Result<Self, OutOfMemory> {
        let (shard, shards) = (u64::from(shard), NonZeroU64::new(shards.into()).unwrap_or(NonZeroU64::MIN));
        let count = usize::try_from(regions.saturating_sub(shard).div_ceil(shards.get())).map_err(|_| OutOfMemory)?;
        let state = |index: usize| {
            let region = RegionNo(index as u64 * shards.get() + shard);
            match found(region) {
                Found::Clean => State::Clean,
                Found::Marked => State::Idle,
                Found::InDoubt => State::NoSync,
            }
        };
        Ok(Self {
            regions: M::array(count, |index| Region { state: state(index), writes: 0, old: false })?,
            shard,
            shards,
            sweep_from: 0,
            swept: [None; SWEEP_MAX],
        })
    }

    fn get(&mut self, region: RegionNo) -> Option<&mut Region> {
        self.regions.get_mut(usize::try_from(region.0 / self.shards).ok()?)
    }

    pub(super) fn state(&self, region: RegionNo) -> State {
        let index = usize::try_from(region.0 / self.shards).unwrap_or(usize::MAX);
        self.regions.get(index).map_or(State::Clean, |region| region.state)
    }

    /// Lets `event` happen; where it means nothing, nothing happens.
    pub(super) fn happen(&mut self, region: RegionNo, event: Event) -> State {
        self.get(region).map_or(State::Clean, |region| region.happen(event))
    }

    /// A write wants to start. It has been counted if the state takes writes.
    pub(super) fn enter(&mut self, region: RegionNo) -> State {
        let Some(region) = self.get(region) else { return State::Clean };
        let state = region.happen(Event::Write);
        if state.takes_writes() {
            region.writes = region.writes.saturating_add(1);
        }
        state
    }

    /// A counted write is done.
    pub(super) fn leave(&mut self, region: RegionNo) {
        if let Some(region) = self.get(region) {
            region.writes = region.writes.saturating_sub(1);
            region.rest();
        }
    }

    /// Recovery is through, or stopped.
    pub(super) fn end_recovery(&mut self, region: RegionNo, healed: bool) {
        if let Some(region) = self.get(region) {
            region.happen(if healed { Event::Recovered } else { Event::Abandon });
            region.rest();
        }
    }

    /// Looks at the next `budget` regions: those found idle a second time go to [`State::Flushing`]. True if there are any.
    pub(super) fn sweep(&mut self, budget: usize) -> bool {
        let len = self.regions.len();
        let mut found = 0;
        for _ in 0..budget.min(len) {
            let index = self.sweep_from % len;
            self.sweep_from = index + 1;
            if self.regions[index].state != State::Idle || found == SWEEP_MAX {
                continue;
            }
            if !core::mem::replace(&mut self.regions[index].old, true) {
                continue;
            }
            let region = RegionNo(index as u64 * self.shards.get() + self.shard);
            self.happen(region, Event::Sweep);
            self.swept[found] = Some(region);
            found += 1;
        }
        found > 0
    }

    /// The flush that the sweep waited for is done. `whole`: on all members.
    pub(super) fn flushed(&mut self, whole: bool) {
        for index in 0..SWEEP_MAX {
            let Some(region) = self.swept[index] else { continue };
            // A write may have had it since: then it is dirty, and neither event means anything.
            let state = self.happen(region, if whole { Event::Flushed } else { Event::Keep });
            if state != State::Clearing {
                self.swept[index] = None;
            }
        }
    }

    /// A region whose bit is now to be taken out of the log.
    pub(super) fn next_clear(&mut self) -> Option<RegionNo> {
        self.swept.iter_mut().find_map(Option::take)
    }
}
