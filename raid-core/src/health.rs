//! Which members hold what: current, being rebuilt up to a mark, or missing. One value, with a version.
//!
//! [`Health`] is `Copy`: a host takes a snapshot, plans with it as its [`Trust`], and can tell by the [`Epoch`] whether
//! the world has moved on. Every change makes a new epoch, so two snapshots of one array with the same epoch are equal.
//! Making an epoch durable before anybody relies on it is not done here; this is only the value.
//!
//! ```text
//!                        Advance: forwards only
//!                              .--.
//!         Rebuild, CatchUp     |  v
//!    Missing ----------------> Rebuilding
//!     |   ^ ^-------- Fail -----'  |
//!     |   '-- Fail --.             | Finish
//!     |              |             v
//!     '---- Admit ---'--------> InSync
//! ```
//!
//! A member in sync can be on the way to being replaced: another one, in the slot's second *seat*, is filled with what it holds, takes
//! every write, and is read by nobody before it takes over.
//!
//! ```text
//!            Replace              Copied: forwards only
//!    InSync ---------> InSync, with a copy in the making ---.
//!      ^ ^-- TakeOver: the other seat serves --' | |  ^-----'
//!      '---- Desert: the copy left --------------' '-- Fail --> Rebuilding: the copy serves, up to its mark
//! ```
//!
//! Seats are what a host has media in: slot `s` has seat `s` and seat `s + members`. Which of them serves, [`Health::seat`] says. A seat
//! keeps its medium when it takes over, so that what is under way to it arrives.

use core::fmt;

use crate::plan::{Readable, Trust};
use crate::reshape::Side;
use crate::units::{Columns, MEMBERS_MAX, Member, Sector, Sectors};

/// Most members that can be rebuilt at the same time. No level needs more than its redundancy at once but RAID 1 and 10, and those can
/// rebuild the rest afterwards.
pub const REBUILDING_MAX: usize = 8;

/// Most members of an array whose slots have two seats: seats have one number of a byte each.
pub const SEATED_MAX: u16 = 127;

/// Version of a [`Health`]: it grows with every change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// What a member is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not there, or thrown out: neither read nor written.
    Missing,
    /// Being filled. Read below the mark only, in sectors of its data; written everywhere.
    Rebuilding {
        /// Below here it is as good as any.
        mark: Sector,
    },
    /// Holds all it should.
    InSync,
}

/// A member being filled: who, how far, and since when. Another one in the same slot has another beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Filling {
    /// The member.
    pub member: Member,
    /// Below here it is as good as any, in sectors of its data.
    pub mark: Sector,
    /// The epoch in which it came.
    pub since: Epoch,
    /// It was a member before, and lacks only what the region log has bits for.
    pub by_log: bool,
    /// It is to replace the member in its slot, which serves as long as that.
    pub copy: bool,
}

/// Which seats serve, and which are written beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seats {
    members: u8,
    /// Slots whose second seat serves.
    upper: Columns,
    /// Slots with a copy in the making.
    copied: Columns,
}

impl Seats {
    /// The slot of a seat.
    #[must_use]
    pub fn slot(&self, seat: Member) -> Member {
        Member(if self.members == 0 { seat.0 } else { seat.0 % self.members })
    }

    fn other(&self, seat: Member) -> Member {
        Member(if seat.0 < self.members { seat.0.saturating_add(self.members) } else { self.slot(seat).0 })
    }

    /// The seats that serve these slots.
    #[must_use]
    pub fn of(&self, slots: Columns) -> Columns {
        let mut seats = slots;
        for slot in slots.intersection(self.upper).iter() {
            seats.remove(slot);
            seats.insert(self.other(slot));
        }
        seats
    }

    /// The seats that take what is written to these slots, those of copies included; and those of copies alone of the slots `copies`.
    #[must_use]
    pub fn written(&self, slots: Columns, copies: Columns) -> Columns {
        let beside = slots.union(copies).intersection(self.copied);
        let mut seats = self.of(slots);
        for slot in beside.iter() {
            seats.insert(if self.upper.contains(slot) { slot } else { self.other(slot) });
        }
        seats
    }
}

/// What can happen to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Assembly found it current.
    Admit,
    /// It takes a missing one's slot, and is good below the mark.
    Rebuild {
        /// Where to go on; zero for a fresh member.
        mark: Sector,
    },
    /// It comes back, and is caught up by the region log; it is good below the mark. How it is trusted is the same: above the mark, not.
    CatchUp {
        /// Where to go on; zero for one that just came.
        mark: Sector,
    },
    /// Its data below the new mark are durable.
    Advance {
        /// The new mark, not below the old one.
        mark: Sector,
    },
    /// Its rebuild is through.
    Finish,
    /// It failed, or was taken away. Failing once more changes nothing.
    Fail,
    /// A new member comes to the slot's other seat, to be filled with what this one holds; good below the mark.
    Replace {
        /// Where to go on; zero for a fresh one.
        mark: Sector,
    },
    /// The copy's data below the new mark are durable.
    Copied {
        /// The new mark, not below the old one.
        mark: Sector,
    },
    /// The copy holds all, and serves instead. Whoever served leaves.
    TakeOver,
    /// The copy failed, or was taken away.
    Desert,
}

/// A change that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthError {
    /// An array of no members, or of more than there can be.
    Members {
        /// Members asked for.
        found: u16,
    },
    /// The array has no such slot.
    NoSuchMember {
        /// Slot asked for.
        member: Member,
        /// Slots that there are.
        members: u16,
    },
    /// [`REBUILDING_MAX`] others are being rebuilt.
    TooManyRebuilding {
        /// The one that would have been one too many.
        member: Member,
    },
    /// An array of so many members has no second seats.
    NoSecondSeat {
        /// Slots that there are.
        members: u16,
    },
    /// The members' last change is not durable yet: after a crash the other seat may be the one that counts.
    Unsettled,
    /// This does not happen to a member in that state; a mark that goes back included.
    OutOfOrder {
        /// The member.
        member: Member,
        /// Its state, which stays.
        state: State,
        /// What was to happen.
        event: Event,
    },
}

impl fmt::Display for HealthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Members { found } => write!(f, "{found} members, there can be 1 to {MEMBERS_MAX}"),
            Self::NoSuchMember { member, members } => write!(f, "no slot {member} in an array of {members}"),
            Self::TooManyRebuilding { member } => {
                write!(f, "member {member} must wait: {REBUILDING_MAX} others are being rebuilt")
            }
            Self::Unsettled => f.write_str("the members' last change is not written down yet"),
            Self::NoSecondSeat { members } => {
                write!(
                    f,
                    "of an array of {members} members none can be replaced while it serves; {SEATED_MAX} is the most"
                )
            }
            Self::OutOfOrder { member, state, event } => {
                write!(f, "member {member} is {state:?}, to which {event:?} cannot happen")
            }
        }
    }
}

impl core::error::Error for HealthError {}

/// The state of all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Health {
    epoch: Epoch,
    members: u16,
    in_sync: Columns,
    write_mostly: Columns,
    /// Slots whose second seat serves.
    upper: Columns,
    filling: [Option<Filling>; REBUILDING_MAX],
}

impl Health {
    /// An array of `members` slots, all missing: nothing is trusted until somebody vouches for it.
    ///
    /// # Errors
    /// [`HealthError::Members`].
    pub fn new(members: u16) -> Result<Self, HealthError> {
        if members == 0 || usize::from(members) > MEMBERS_MAX {
            return Err(HealthError::Members { found: members });
        }
        Ok(Self {
            epoch: Epoch::default(),
            members,
            in_sync: Columns::EMPTY,
            write_mostly: Columns::EMPTY,
            upper: Columns::EMPTY,
            filling: [None; REBUILDING_MAX],
        })
    }

    /// The version of this value.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Number of slots.
    #[must_use]
    pub const fn members(&self) -> u16 {
        self.members
    }

    /// Members that hold all they should.
    #[must_use]
    pub const fn in_sync(&self) -> Columns {
        self.in_sync
    }

    /// Members being rebuilt, each with its mark, in no order.
    pub fn rebuilding(&self) -> impl Iterator<Item = (Member, Sector)> {
        self.filling().map(|filling| (filling.member, filling.mark))
    }

    /// Members being filled that serve below their marks, in no order.
    pub fn filling(&self) -> impl Iterator<Item = Filling> {
        self.fillings().filter(|filling| !filling.copy)
    }

    /// Copies in the making, which serve nothing yet, in no order.
    pub fn copies(&self) -> impl Iterator<Item = Filling> {
        self.fillings().filter(|filling| filling.copy)
    }

    /// Both.
    pub fn fillings(&self) -> impl Iterator<Item = Filling> {
        self.filling.iter().flatten().copied()
    }

    /// The copy in the making of the member in this slot.
    #[must_use]
    pub fn copy(&self, member: Member) -> Option<Filling> {
        self.copies().find(|copy| copy.member == member)
    }

    /// Which seats serve, and which are written beside them.
    #[must_use]
    pub fn seats(&self) -> Seats {
        let copied = self.copies().map(|copy| copy.member).collect();
        Seats { members: u8::try_from(self.members).unwrap_or(0), upper: self.upper, copied }
    }

    /// The seat that serves a slot, or is to be given to the next who gets it.
    #[must_use]
    pub fn seat(&self, member: Member) -> Member {
        if self.upper.contains(member) { self.seats().other(member) } else { member }
    }

    /// The other seat of a slot: where its copy is, or is to be put.
    #[must_use]
    pub fn second_seat(&self, member: Member) -> Member {
        if self.upper.contains(member) { member } else { self.seats().other(member) }
    }

    /// The seats that take writes: those of members that are there, and of copies in the making.
    #[must_use]
    pub fn written(&self) -> Columns {
        let there = Columns::first(self.members).difference(self.missing());
        self.seats().written(there, Columns::EMPTY)
    }

    /// Slots with nobody in them.
    #[must_use]
    pub fn missing(&self) -> Columns {
        let rebuilding: Columns = self.rebuilding().map(|(member, _)| member).collect();
        Columns::first(self.members).difference(self.in_sync).difference(rebuilding)
    }

    /// Members to be read only if nobody else can be. Kept for missing ones too.
    #[must_use]
    pub const fn write_mostly(&self) -> Columns {
        self.write_mostly
    }

    /// What `member` is good for; `None` for a slot that there is not.
    #[must_use]
    pub fn state(&self, member: Member) -> Option<State> {
        if u16::from(member.0) >= self.members {
            return None;
        }
        if self.in_sync.contains(member) {
            return Some(State::InSync);
        }
        let mark = self.rebuilding().find(|(other, _)| *other == member).map(|(_, mark)| mark);
        Some(mark.map_or(State::Missing, |mark| State::Rebuilding { mark }))
    }

    /// Lets `event` happen to `member`. Returns the epoch that holds now, a new one if anything changed.
    ///
    /// # Errors
    /// [`HealthError`]; nothing has changed then.
    pub fn apply(&mut self, member: Member, event: Event) -> Result<Epoch, HealthError> {
        let state = self.state(member).ok_or(HealthError::NoSuchMember { member, members: self.members })?;
        let next = match (state, event) {
            (State::Missing, Event::Admit) | (State::Rebuilding { .. }, Event::Finish) => State::InSync,
            (State::Missing, Event::Rebuild { mark } | Event::CatchUp { mark }) => State::Rebuilding { mark },
            (State::Rebuilding { mark: old }, Event::Advance { mark }) if old <= mark => State::Rebuilding { mark },
            (State::InSync, Event::Replace { .. } | Event::Copied { .. } | Event::TakeOver | Event::Desert) => {
                return self.apply_copy(member, event);
            }
            (State::InSync, Event::Fail) if self.copy(member).is_some() => return self.promote(member),
            (_, Event::Fail) => State::Missing,
            _ => return Err(HealthError::OutOfOrder { member, state, event }),
        };
        if next != state {
            self.set(member, next, matches!(event, Event::CatchUp { .. }))?;
            self.next_epoch();
        }
        Ok(self.epoch)
    }

    /// What happens to the copy of a member in sync.
    fn apply_copy(&mut self, member: Member, event: Event) -> Result<Epoch, HealthError> {
        let out_of_order = HealthError::OutOfOrder { member, state: State::InSync, event };
        let next = Epoch(self.epoch.0.saturating_add(1));
        match event {
            Event::Replace { mark } if self.copy(member).is_none() => {
                if self.members > SEATED_MAX {
                    return Err(HealthError::NoSecondSeat { members: self.members });
                }
                let free = self.filling.iter_mut().find(|entry| entry.is_none());
                let free = free.ok_or(HealthError::TooManyRebuilding { member })?;
                *free = Some(Filling { member, mark, since: next, by_log: false, copy: true });
            }
            Event::Copied { mark } => {
                let copy = self.copy_mut(member).filter(|copy| copy.mark <= mark).ok_or(out_of_order)?;
                if core::mem::replace(&mut copy.mark, mark) == mark {
                    return Ok(self.epoch);
                }
            }
            Event::TakeOver | Event::Desert if self.copy(member).is_some() => {
                self.filling.iter_mut().for_each(|entry| {
                    entry.take_if(|filling| filling.copy && filling.member == member);
                });
                if event == Event::TakeOver {
                    self.change_seat(member);
                }
            }
            _ => return Err(out_of_order),
        }
        self.next_epoch();
        Ok(self.epoch)
    }

    /// The member failed, and its copy has the slot: good below its mark.
    fn promote(&mut self, member: Member) -> Result<Epoch, HealthError> {
        if let Some(copy) = self.copy_mut(member) {
            copy.copy = false;
        }
        self.in_sync.remove(member);
        self.change_seat(member);
        self.next_epoch();
        Ok(self.epoch)
    }

    fn copy_mut(&mut self, member: Member) -> Option<&mut Filling> {
        self.filling.iter_mut().flatten().find(|filling| filling.copy && filling.member == member)
    }

    fn change_seat(&mut self, member: Member) {
        if !self.upper.remove(member) {
            self.upper.insert(member);
        }
    }

    /// Marks `member` as one to be spared, or no more so.
    ///
    /// # Errors
    /// [`HealthError::NoSuchMember`].
    pub fn set_write_mostly(&mut self, member: Member, spare: bool) -> Result<Epoch, HealthError> {
        if u16::from(member.0) >= self.members {
            return Err(HealthError::NoSuchMember { member, members: self.members });
        }
        let changed = if spare { self.write_mostly.insert(member) } else { self.write_mostly.remove(member) };
        if changed {
            self.next_epoch();
        }
        Ok(self.epoch)
    }

    fn set(&mut self, member: Member, state: State, by_log: bool) -> Result<(), HealthError> {
        let held = self.filling.iter().position(|entry| entry.is_some_and(|other| other.member == member));
        let place = held.or_else(|| self.filling.iter().position(Option::is_none));
        let next = Epoch(self.epoch.0.saturating_add(1));
        let entry = place.and_then(|place| self.filling.get_mut(place));
        match (state, entry) {
            (State::Rebuilding { mark }, Some(entry)) => {
                let new = Filling { member, mark, since: next, by_log, copy: false };
                *entry = Some(entry.map_or(new, |filling| Filling { mark, ..filling }));
            }
            (State::Rebuilding { .. }, None) => return Err(HealthError::TooManyRebuilding { member }),
            // Its own entry, or a free one: empty from now on in either case.
            (State::Missing | State::InSync, Some(entry)) => *entry = None,
            (State::Missing | State::InSync, None) => {}
        }
        if state == State::InSync {
            self.in_sync.insert(member);
        } else {
            self.in_sync.remove(member);
        }
        Ok(())
    }

    fn next_epoch(&mut self) {
        self.epoch = Epoch(self.epoch.0.saturating_add(1));
    }
}

/// A member counts the same on both sides of a reshape.
impl Trust for Health {
    fn readable(&self, _: Side, member: Member, at: Sector, len: Sectors) -> (Readable, Sectors) {
        let good = if self.write_mostly.contains(member) { Readable::IfNeeded } else { Readable::Yes };
        match self.state(member) {
            None | Some(State::Missing) => (Readable::No, len),
            Some(State::InSync) => (good, len),
            Some(State::Rebuilding { mark }) => match mark.checked_since(at) {
                None | Some(Sectors::ZERO) => (Readable::No, len),
                Some(below) => (good, len.min(below)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const MARK: Event = Event::Rebuild { mark: Sector(40) };

    fn health(events: &[(u8, Event)]) -> Health {
        let mut health = Health::new(20).unwrap();
        for (member, event) in events {
            health.apply(Member(*member), *event).unwrap();
        }
        health
    }

    fn trusts(health: &Health, member: u8, at: u64) -> (Readable, u64) {
        let (readable, run) = health.readable(Side::Old, Member(member), Sector(at), Sectors(16));
        (readable, run.0)
    }

    #[test]
    fn nobody_is_trusted_before_somebody_vouches_for_them() {
        let health = health(&[]);
        assert_eq!(health.missing(), Columns::first(20));
        assert_eq!(trusts(&health, 0, 0), (Readable::No, 16));
        assert_eq!(trusts(&health, 20, 0), (Readable::No, 16));
    }

    #[test]
    fn a_rebuilding_member_is_read_below_its_mark_only() {
        let health = health(&[(3, MARK)]);
        assert_eq!(trusts(&health, 3, 10), (Readable::Yes, 16));
        assert_eq!(trusts(&health, 3, 39), (Readable::Yes, 1));
        assert_eq!(trusts(&health, 3, 40), (Readable::No, 16));
    }

    #[test]
    fn a_write_mostly_member_is_read_if_needed_even_after_it_came_back() {
        let mut health = health(&[(0, Event::Admit)]);
        let epoch = health.set_write_mostly(Member(0), true).unwrap();
        assert_eq!(trusts(&health, 0, 0), (Readable::IfNeeded, 16));
        assert_eq!(health.set_write_mostly(Member(0), true), Ok(epoch));
        health.apply(Member(0), Event::Fail).unwrap();
        health.apply(Member(0), MARK).unwrap();
        assert_eq!(trusts(&health, 0, 30), (Readable::IfNeeded, 10));
    }

    #[test]
    fn every_change_is_a_new_epoch_and_no_other_thing_is() {
        let mut health = health(&[]);
        let steps = [Event::Admit, Event::Fail, MARK, Event::Advance { mark: Sector(41) }, Event::Finish, Event::Fail];
        let epochs: Vec<u64> = steps.iter().map(|event| health.apply(Member(7), *event).unwrap().0).collect();
        assert_eq!(epochs, [1, 2, 3, 4, 5, 6]);
        assert_eq!(health.apply(Member(7), Event::Fail), Ok(Epoch(6)));
    }

    #[test]
    fn what_is_out_of_order_is_refused_and_changes_nothing() {
        let advance = |mark| Event::Advance { mark: Sector(mark) };
        let cases: [(&[(u8, Event)], Event); 8] = [
            (&[], advance(1)),
            (&[], Event::Finish),
            (&[(1, Event::Admit)], Event::Admit),
            (&[(1, Event::Admit)], MARK),
            (&[(1, Event::Admit)], advance(1)),
            (&[(1, MARK)], Event::Admit),
            (&[(1, MARK)], MARK),
            (&[(1, MARK)], advance(39)),
        ];
        for (before, event) in cases {
            let mut after = health(before);
            let state = after.state(Member(1)).unwrap();
            let refused = HealthError::OutOfOrder { member: Member(1), state, event };
            assert_eq!(after.apply(Member(1), event), Err(refused));
            assert_eq!(after, health(before));
        }
    }

    #[test]
    fn the_ninth_rebuild_waits_until_another_is_through() {
        let mut health = health(&(0..8).map(|member| (member, MARK)).collect::<Vec<_>>());
        let before = health;
        let full = Err(HealthError::TooManyRebuilding { member: Member(9) });
        assert_eq!(health.apply(Member(9), MARK), full);
        assert_eq!(health, before);
        assert!(health.apply(Member(4), Event::Advance { mark: Sector(50) }).is_ok());
        // Changes of others, with all places taken, touch nobody's mark.
        health.apply(Member(12), Event::Admit).unwrap();
        assert_eq!(health.rebuilding().count(), 8);
        health.apply(Member(4), Event::Finish).unwrap();
        assert!(health.apply(Member(9), MARK).is_ok());
        assert_eq!(health.in_sync(), [Member(4), Member(12)].into_iter().collect());
        assert_eq!(health.missing().len(), 20 - 2 - 8);
    }

    #[test]
    fn slots_that_there_are_not_are_refused_by_number() {
        assert_eq!(Health::new(0), Err(HealthError::Members { found: 0 }));
        assert_eq!(Health::new(256), Err(HealthError::Members { found: 256 }));
        let refused = Err(HealthError::NoSuchMember { member: Member(20), members: 20 });
        assert_eq!(health(&[]).apply(Member(20), Event::Admit), refused);
        assert_eq!(health(&[]).set_write_mostly(Member(20), true), refused);
        assert_eq!(health(&[]).state(Member(20)), None);
    }
}
