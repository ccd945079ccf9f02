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
        Member(if seat.0 < self.members { seat.0 } else { seat.0.checked_rem(self.members).unwrap_or(seat.0) })
    }

    fn other(&self, seat: Member) -> Member {
        Member(if seat.0 < self.members { seat.0.saturating_add(self.members) } else { self.slot(seat).0 })
    }

    /// The seats that serve these slots.
    #[must_use]
    pub fn of(&self, slots: Columns) -> Columns {
        let mut seats = slots;
        if self.upper.is_empty() {
            return seats;
        }
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
    /// There is one of them: every write asks, and mostly there is none.
    is_filling: bool,
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
            is_filling: false,
        })
    }

    /// An array of `members` slots with those `there` in sync, as assembly finds one that lacks nothing else.
    ///
    /// # Errors
    /// [`HealthError::Members`]; a slot that there is not.
    pub fn of(members: u16, there: Columns) -> Result<Self, HealthError> {
        let mut health = Self::new(members)?;
        for member in there.iter() {
            health.apply(member, Event::Admit)?;
        }
        Ok(health)
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
        let filling = if self.is_filling { self.filling.as_slice() } else { &[] };
        filling.iter().flatten().copied()
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
        self.seats().written(self.present(), Columns::EMPTY)
    }

    /// True if nobody is missing or being filled.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.in_sync == Columns::first(self.members)
    }

    /// True if somebody is in that slot.
    #[must_use]
    pub fn has(&self, member: Member) -> bool {
        !matches!(self.state(member), None | Some(State::Missing))
    }

    /// Takes the later one of two versions.
    pub const fn learn(&mut self, other: &Self) {
        if other.epoch.0 > self.epoch.0 {
            *self = *other;
        }
    }

    /// Slots with somebody in them, whole or being filled.
    #[must_use]
    pub fn present(&self) -> Columns {
        self.in_sync.union(self.rebuilding().map(|(member, _)| member).collect())
    }

    /// Slots with nobody in them.
    #[must_use]
    pub fn missing(&self) -> Columns {
        Columns::first(self.members).difference(self.present())
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

    /// The member failed, while redundancy may be in doubt from `doubt` on. Its copy, if there is one, has the slot then; but what a crash
    /// left with the member, and not with the copy, was healed before that only: it is good no further.
    ///
    /// # Errors
    /// [`HealthError::NoSuchMember`].
    pub fn fail(&mut self, member: Member, doubt: Option<Sector>) -> Result<Epoch, HealthError> {
        if let (Some(copy), Some(doubt)) = (self.copy_mut(member), doubt) {
            copy.mark = copy.mark.min(doubt);
        }
        self.apply(member, Event::Fail)
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

    /// What every change ends with.
    fn next_epoch(&mut self) {
        self.is_filling = self.filling.iter().any(Option::is_some);
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
mod tests;
