//! The media in the array's slots, and since when each is there.

use std::sync::PoisonError;

use raid_core::health::Epoch;
use raid_core::{Member, Sector, Sectors};

use super::start::Slot;
use super::sync::{Mutex, RwLock};
use crate::media::SharedMediaMut;

/// A medium in its slot.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) media: SharedMediaMut,
    data_at: Sector,
    /// Asked once, when it took its seat.
    in_memory: bool,
    /// What was decided before was meant for whoever was here before.
    since: Epoch,
}

impl Seat {
    fn of(slot: Slot, since: Epoch) -> Option<Self> {
        let media = slot.media?;
        Some(Self { in_memory: media.is_memory(), media, data_at: slot.data_at, since })
    }

    /// Where a sector of the array's data lies on the medium.
    pub(super) fn offset_bytes(&self, at: Sector) -> Option<u64> {
        self.data_at.checked_add(Sectors(at.0)).and_then(Sector::bytes)
    }
}

/// Who has it, looked at while nobody changes that.
fn look<R>(seat: &RwLock<Option<Seat>>, look: impl FnOnce(Option<&Seat>) -> R) -> R {
    look(seat.read().unwrap_or_else(PoisonError::into_inner).as_ref())
}

/// All slots.
pub(super) struct Seats {
    seats: Box<[RwLock<Option<Seat>>]>,
    /// One for each: metadata of a member are written by one at a time.
    metadata: Box<[Mutex<()>]>,
}

impl Seats {
    /// So many seats, the first of them with what is in `slots`.
    pub(super) fn new(slots: Vec<Slot>, count: usize) -> Self {
        let taken = slots.into_iter().map(|slot| Seat::of(slot, Epoch(0)));
        let seats = taken.chain(std::iter::repeat_with(|| None)).take(count).map(RwLock::new).collect();
        Self { seats, metadata: (0..count).map(|_| Mutex::new(())).collect() }
    }

    /// True if anybody has the seat.
    pub(super) fn is_taken(&self, seat: Member) -> bool {
        self.seats.get(usize::from(seat.0)).is_some_and(|seat| look(seat, |seat| seat.is_some()))
    }

    /// Whoever has the slot, if he was there when `seen` was the epoch.
    pub(super) fn at(&self, member: Member, seen: Epoch) -> Option<Seat> {
        look(self.seats.get(usize::from(member.0))?, |seat| seat.filter(|seat| seen >= seat.since).cloned())
    }

    /// True if a slot's medium is memory.
    pub(super) fn in_memory(&self, member: Member) -> bool {
        let seat = self.seats.get(usize::from(member.0));
        seat.is_some_and(|seat| look(seat, |seat| seat.is_some_and(|seat| seat.in_memory)))
    }

    /// True if those of all slots that have one are.
    pub(super) fn all_in_memory(&self) -> bool {
        self.seats.iter().all(|seat| look(seat, |seat| seat.is_none_or(|seat| seat.in_memory)))
    }

    /// True if every medium frees what becomes zeros.
    pub(super) fn free_zeroes(&self) -> bool {
        self.seats.iter().all(|seat| look(seat, |seat| seat.is_none_or(|seat| seat.media.frees_zeroes())))
    }

    /// Gives a slot to another medium. `since`: the members' epoch, in which the slot is empty.
    pub(super) fn give(&self, member: Member, slot: Slot, since: Epoch) {
        self.set(member, Seat::of(slot, since));
    }

    /// Empties a slot.
    pub(super) fn leave(&self, member: Member) {
        self.set(member, None);
    }

    fn set(&self, member: Member, seat: Option<Seat>) {
        if let Some(place) = self.seats.get(usize::from(member.0)) {
            *place.write().unwrap_or_else(PoisonError::into_inner) = seat;
        }
    }

    /// Runs `write` while nobody else writes metadata of this member.
    pub(super) fn metadata<R>(&self, member: Member, write: impl FnOnce() -> R) -> R {
        let lock = self.metadata.get(usize::from(member.0));
        let _held = lock.map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner));
        write()
    }
}
