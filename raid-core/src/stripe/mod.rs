//! Shards: rows in flight, one task or one batch of neighbours at a time in each row.
//!
//! A shard owns some regions, the slots that work on rows of them, and everybody who waits. A row excludes: whoever comes
//! for a row that is being worked on waits in its slot, first in first out, and neighbours that wait together (the same band of
//! different columns) are served together. So a sequential stream becomes full-stripe writes, which read nothing.
//!
//! Events from outside only record and wake; [`Shard::step`] alone moves a slot on.

mod advance;
mod list;
mod look;
mod regions;
mod same;
mod slot;
mod state;

pub use list::{Task, What};
pub use state::{Event, State};

use core::num::NonZeroU64;

use crate::action::{Action, SlotId, Way};
use crate::broadcast::{Outcome, Verdict, View};
use crate::check::{Checked, Evidence};
use crate::memory::{Memory, OutOfMemory};
use crate::region::{self, RegionNo, Ticket};
use crate::request::{Error, Refused};
use crate::rows::{Band, RowNo, Rows};
use crate::units::Member;

use list::{List, Pool};
use look::Look;
use regions::Regions;
use slot::{Slot, Wait};

/// Steps that one critical section hands out at most.
const STEPS_MAX: usize = 16;

/// How large the engine's tables are. Nothing grows later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lock domains.
    pub shards: u16,
    /// Rows in flight in each.
    pub slots: u16,
    /// Requests in each, in flight or waiting. One more is refused.
    pub requests: u32,
    /// Rows under one bit of the region log.
    pub region_rows: u64,
    /// Words of 64 bits in a page of the log.
    pub log_page_words: usize,
    /// Repaired read errors after which a member fails with the next one.
    pub read_errors_max: u32,
    /// Rows that recovery has in flight.
    pub heal_window: u16,
    /// Rows after which recovery makes durable how far it is.
    pub checkpoint_rows: u64,
}

/// What a shard wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An action for the host.
    Do(Action),
    /// The log must have this region's bit; the slot waits for the ticket.
    Mark {
        /// The slot.
        slot: u16,
        /// The region.
        region: RegionNo,
    },
    /// A row is healed, or not.
    Healed {
        /// The row.
        row: RowNo,
        /// How it went.
        result: Result<(), Error>,
    },
    /// A row was checked.
    Checked {
        /// What became of it.
        checked: Checked,
        /// Findings in it that were repaired.
        mended: u8,
    },
}

/// The steps of one critical section.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    steps: [Option<Step>; STEPS_MAX],
    len: usize,
}

impl Steps {
    fn has_room(&self) -> bool {
        self.len < STEPS_MAX
    }

    fn push(&mut self, step: Step) {
        if let Some(place) = self.steps.get_mut(self.len) {
            *place = Some(step);
            self.len += 1;
        }
    }

    /// The steps, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().take(self.len).flatten()
    }

    /// Makes room for those of the next critical section.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }
}

/// One shard.
pub struct Shard<M: Memory> {
    number: u16,
    region_rows: NonZeroU64,
    view: View,
    log_durable: Ticket,
    regions: Regions<M>,
    slots: M::Array<Slot>,
    /// One for each slot; counts while it does a check.
    looks: M::Array<Look>,
    /// Slots by row: the first of each chain. A power of two of them.
    index: M::Array<Option<u16>>,
    /// Slots of several rows: the first of their chain. They are few.
    tall: Option<u16>,
    /// Slots without a row: a stack, so that the one that comes next is warm in the caches.
    free: M::Array<u16>,
    free_len: usize,
    /// Slots to be advanced: a ring.
    ready: M::Array<u16>,
    ready_from: usize,
    ready_len: usize,
    pool: Pool<M>,
    /// Entries that recovery and a check must always find free.
    reserved: usize,
    /// Tasks of rows for which there is no slot.
    queue: List,
}

impl<M: Memory> Shard<M> {
    /// Shard `number` of an array of `rows` rows, whose regions were `found` with a bit or without.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(
        number: u16,
        limits: &Limits,
        rows: u64,
        view: View,
        found: impl Fn(RegionNo) -> region::Found,
    ) -> Result<Self, OutOfMemory> {
        let slots = usize::from(limits.slots.max(1));
        let region_rows = NonZeroU64::new(limits.region_rows).unwrap_or(NonZeroU64::MIN);
        // Those of recovery's window, and of a check's.
        let reserved = limits.heal_window.max(1).saturating_mul(2);
        Ok(Self {
            number,
            region_rows,
            view,
            log_durable: Ticket(0),
            regions: Regions::new(number, limits.shards, rows.div_ceil(region_rows.get()), found)?,
            slots: M::array(slots, |_| Slot::free())?,
            looks: M::array(slots, |_| Look::new(None, Band::default()))?,
            index: M::array(slots.next_power_of_two(), |_| None)?,
            tall: None,
            // The first is on top.
            free: M::array(slots, |place| u16::try_from(slots - 1 - place).unwrap_or(u16::MAX))?,
            free_len: slots,
            ready: M::array(slots, |_| 0)?,
            ready_from: 0,
            ready_len: 0,
            pool: Pool::new(limits.requests.max(1).saturating_add(reserved.into()))?,
            reserved: reserved.into(),
            queue: List::default(),
        })
    }

    /// Takes a task. Room for the windows of recovery and of a check is kept.
    ///
    /// # Errors
    /// [`Refused::Busy`] if the table is full; [`Refused::RowByRow`] if the task has several rows and they cannot be had all at once: it
    /// would have to wait for several slots, and everybody behind it too.
    pub fn submit(&mut self, task: Task) -> Result<(), Refused> {
        let kept = if matches!(task.what, What::Heal | What::Check(_)) { 0 } else { self.reserved };
        if self.pool.free() <= kept {
            return Err(Refused::Busy);
        }
        if !self.can_begin(task.piece.row, task.piece.band.rows()) {
            return Err(Refused::RowByRow);
        }
        match self.slot_of(task.piece.row) {
            Some(slot) => {
                self.pool.push(&mut self.slots[slot].waiting, task);
                self.wake(slot);
            }
            None => {
                self.pool.push(&mut self.queue, task);
                self.admit();
            }
        }
        Ok(())
    }

    /// False if there are several rows and no slot can begin with all of them now.
    fn can_begin(&self, row: RowNo, rows: u64) -> bool {
        let end = row.0.saturating_add(rows);
        rows <= 1
            // Nobody waits in the queue, then.
            || self.free_len > 0
                && self.region_of(row) == self.region_of(RowNo(end - 1))
                && self.chain(self.tall).all(|slot| !self.slots[slot].meets(row, rows))
                && (row.0..end).all(|row| self.single_of(RowNo(row)).is_none())
    }

    /// Advances slots until there is nothing to do, or no room in `steps`. True if there may be more to do.
    pub fn step(&mut self, rows: &Rows, steps: &mut Steps) -> bool {
        for _ in 0..self.slots.len() {
            if !steps.has_room() {
                break;
            }
            let Some(slot) = self.next_ready() else { return false };
            self.advance(rows, slot, steps);
        }
        self.ready_len > 0
    }

    /// Who has a seat answered. A failed read is no failure yet: the band is planned again without that member.
    pub fn done(&mut self, slot: u16, seat: Member, way: Way, outcome: Outcome) {
        let Some(entry) = self.slots.get_mut(usize::from(slot)) else { return };
        let job = &mut entry.job;
        job.pending = job.pending.saturating_sub(1);
        let member = job.seats.slot(seat);
        if let (Way::Write { .. }, Outcome::Failed(_), Some(look)) =
            (way, outcome, self.looks.get_mut(usize::from(slot)))
        {
            look.refused = true;
        }
        match (way, outcome) {
            (Way::Read, Outcome::Done) => {
                job.have.insert(member);
            }
            (Way::Read, Outcome::Failed(_)) => {
                // Whoever was replaced meanwhile may be gone: that says nothing of the one that serves now.
                if self.view.health.seat(member) == seat {
                    job.bad.insert(member);
                }
                job.replan = true;
            }
            (Way::Write { .. }, Outcome::Done) => {}
            (Way::Write { .. }, Outcome::Failed(Verdict::Out(epoch))) => job.needs = job.needs.max(epoch),
            (Way::Write { .. }, Outcome::Failed(Verdict::Broken)) => {
                job.failure = Some(Error::Broken);
                job.spoiled = true;
            }
        }
        self.wake(usize::from(slot));
    }

    /// Arithmetic is done; a comparison says something.
    pub fn computed(&mut self, slot: u16, evidence: Option<Evidence>) {
        if let Some(look) = self.looks.get_mut(usize::from(slot)) {
            look.evidence = evidence;
        }
        if let Some(entry) = self.slots.get_mut(usize::from(slot)) {
            entry.job.pending = entry.job.pending.saturating_sub(1);
            self.wake(usize::from(slot));
        }
    }

    /// The ticket that a slot asked for.
    pub fn marked(&mut self, slot: u16, ticket: Ticket) {
        if let Some(entry) = self.slots.get_mut(usize::from(slot)) {
            entry.wait = Wait::Ticket(ticket);
            self.wake(usize::from(slot));
        }
    }

    /// A batch of the log is durable.
    pub fn log_durable(&mut self, ticket: Ticket) {
        self.log_durable = self.log_durable.max(ticket);
        self.wake_all(State::Marking);
    }

    /// Takes news of the members.
    pub fn set_view(&mut self, view: &View) {
        self.view.learn(view);
        self.wake_all(State::Settling);
        self.wake_all(State::Marking);
    }

    /// Looks for regions that have been idle for two sweeps. True if there are any: then the members must be flushed.
    #[must_use]
    pub fn sweep(&mut self, budget: usize) -> bool {
        self.regions.sweep(budget)
    }

    /// The members are flushed, `whole` if that is all of them.
    pub fn flushed(&mut self, whole: bool) {
        self.regions.flushed(whole);
    }

    /// A region whose bit is to be taken out of the log; then [`cleared`](Self::cleared) must say that it was.
    #[must_use]
    pub fn next_clear(&mut self) -> Option<RegionNo> {
        self.regions.next_clear()
    }

    /// The bit of a region is out of the log.
    pub fn cleared(&mut self, region: RegionNo) {
        self.regions.happen(region, region::Event::Cleared);
        self.wake_all(State::Marking);
    }

    /// Begins to recover a region, if its redundancy is in doubt. Asked twice, it says so twice.
    #[must_use]
    pub fn begin_recovery(&mut self, region: RegionNo) -> bool {
        self.regions.happen(region, region::Event::Recover) == region::State::Recovering
    }

    /// All rows of a region were visited; `healed` if all went well.
    pub fn end_recovery(&mut self, region: RegionNo, healed: bool) {
        self.regions.end_recovery(region, healed);
    }

    /// The state of a region of this shard.
    #[must_use]
    pub fn region(&self, region: RegionNo) -> region::State {
        self.regions.state(region)
    }

    /// The state of a slot; what a host may check its buffers against.
    #[must_use]
    pub fn slot(&self, slot: u16) -> Option<State> {
        self.slots.get(usize::from(slot)).map(|slot| slot.state)
    }

    fn id(&self, slot: usize) -> SlotId {
        SlotId { shard: self.number, slot: u16::try_from(slot).unwrap_or(u16::MAX) }
    }

    fn bucket(&self, row: RowNo) -> usize {
        usize::try_from(row.0 & (self.index.len() - 1) as u64).unwrap_or(0)
    }

    /// The slots of a chain.
    fn chain(&self, first: Option<u16>) -> impl Iterator<Item = usize> {
        core::iter::successors(first, |slot| self.slots[usize::from(*slot)].chain).map(usize::from)
    }

    /// The slot that works on a row alone.
    fn single_of(&self, row: RowNo) -> Option<usize> {
        self.chain(self.index[self.bucket(row)]).find(|slot| self.slots[*slot].row == row)
    }

    /// The slot that works on a row.
    fn slot_of(&self, row: RowNo) -> Option<usize> {
        self.single_of(row).or_else(|| self.chain(self.tall).find(|slot| self.slots[*slot].meets(row, 1)))
    }

    /// Gives free slots to the tasks that wait for one, in order. Others for the same row come along.
    fn admit(&mut self) {
        while let Some(task) = self.pool.first(&self.queue) {
            let Some(top) = self.free_len.checked_sub(1) else { return };
            self.free_len = top;
            let (number, row) = (self.free[top], task.piece.row);
            let slot = usize::from(number);
            // Its last job stays until it starts with the next.
            let entry = &mut self.slots[slot];
            (entry.row, entry.rows, entry.wait) = (row, task.piece.band.rows(), Wait::default());
            let first = self.first_like(slot);
            let chain = first.replace(number);
            self.slots[slot].chain = chain;
            self.set(slot, Event::Join);
            self.pool.pick(row, &mut self.queue, &mut self.slots[slot].waiting);
            self.wake(slot);
        }
    }

    /// Where the chain of a slot begins.
    fn first_like(&mut self, slot: usize) -> &mut Option<u16> {
        let Slot { row, rows, .. } = self.slots[slot];
        let bucket = self.bucket(row);
        if rows > 1 { &mut self.tall } else { &mut self.index[bucket] }
    }

    /// Takes a slot from its row, or its rows. Whoever came for one of several meanwhile gets a slot of that row.
    fn release(&mut self, slot: usize) {
        let (chain, number) = (self.slots[slot].chain.take(), u16::try_from(slot).unwrap_or(u16::MAX));
        let first = self.first_like(slot);
        let mut before = *first;
        if before == Some(number) {
            *first = chain;
        }
        while let Some(other) = before {
            let other = &mut self.slots[usize::from(other)].chain;
            before = *other;
            if before == Some(number) {
                *other = chain;
            }
        }
        self.set(slot, Event::Leave);
        self.free[self.free_len] = number;
        self.free_len += 1;
        while !self.slots[slot].waiting.is_empty() {
            self.pool.shift(&mut self.slots[slot].waiting, &mut self.queue);
        }
        self.admit();
    }

    /// The only place where a slot's state changes.
    fn set(&mut self, slot: usize, event: Event) {
        let next = self.slots[slot].state.after(event);
        debug_assert!(next.is_some(), "{:?} cannot meet {event:?}", self.slots[slot].state);
        if let Some(next) = next {
            self.slots[slot].state = next;
        }
    }

    fn wake(&mut self, slot: usize) {
        if !core::mem::replace(&mut self.slots[slot].ready, true) {
            let end = self.in_ring(self.ready_from + self.ready_len);
            self.ready[end] = u16::try_from(slot).unwrap_or(u16::MAX);
            self.ready_len += 1;
        }
    }

    /// A place of the ring, or one that lies behind its end by less than a round.
    fn in_ring(&self, place: usize) -> usize {
        place.checked_sub(self.ready.len()).unwrap_or(place)
    }

    fn wake_all(&mut self, state: State) {
        for slot in 0..self.slots.len() {
            if self.slots[slot].state == state {
                self.wake(slot);
            }
        }
    }

    fn next_ready(&mut self) -> Option<usize> {
        self.ready_len = self.ready_len.checked_sub(1)?;
        let slot = usize::from(self.ready[self.ready_from]);
        self.ready_from = self.in_ring(self.ready_from + 1);
        self.slots[slot].ready = false;
        Some(slot)
    }

    fn region_of(&self, row: RowNo) -> RegionNo {
        RegionNo(row.0 / self.region_rows)
    }
}
