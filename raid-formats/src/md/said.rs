//! What all members of a running array are to say of it, in one version for each event count.
//!
//! Two superblocks with the same count never say different things: else a member that failed could come back as the
//! freshest one. And no living member may lag by two: it would count as stale after a crash. So the count grows only after all living
//! members were brought up to the one before. That is the host's part.
//!
//! Members are called by their seats: a member that is replaced while it serves and its copy have the same slot.

use raid_core::health::{Filling, Health};
use raid_core::{MEMBERS_MAX, Member};

use crate::assemble::Claimant;
use crate::md::{TableEntry, raw1::ROLES_MAX};
use crate::record::{Role, Sync};

/// Permanent numbers of the members in the seats, or of the last ones there; `None` if nobody knows of one.
pub type Numbers = [Option<u32>; MEMBERS_MAX];

/// No number is known of anybody.
pub const NOBODY: Numbers = [None; MEMBERS_MAX];

/// One version of the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its event count.
    pub events: u64,
    /// The members' states.
    pub health: Health,
    /// From where on redundancy may be in doubt: where the bitmap says so, or anywhere if there is none.
    pub sync: Sync,
    /// Who is in which seat.
    pub numbers: Numbers,
}

impl Said {
    /// True if somebody lacks something.
    #[must_use]
    pub fn degraded(&self) -> bool {
        !self.health.is_whole()
    }

    /// True if who has the seat has a place in the array: a member, or the copy of one in the making.
    #[must_use]
    pub fn lives(&self, seat: Member) -> bool {
        self.health.written().contains(seat)
    }

    /// True if it lives and its slot is its own.
    #[must_use]
    pub fn serves(&self, seat: Member) -> bool {
        self.lives(seat) && self.health.seat(self.slot(seat)) == seat
    }

    /// The slot that a seat belongs to.
    #[must_use]
    pub fn slot(&self, seat: Member) -> Member {
        self.health.seats().slot(seat)
    }

    /// How far who has the seat is filled, and how; `None` if nobody there is being filled.
    #[must_use]
    pub fn filling(&self, seat: Member) -> Option<Filling> {
        let own = |filling: &Filling| match filling.copy {
            true => self.health.second_seat(filling.member),
            false => self.health.seat(filling.member),
        };
        self.health.fillings().find(|filling| own(filling) == seat)
    }

    /// The entries of those that are known and out.
    pub fn out(&self) -> impl Iterator<Item = TableEntry> {
        let out = self.seats().filter(|(seat, _)| !self.lives(*seat));
        out.map(|(_, number)| TableEntry { number, role: Role::Faulty, in_sync: false })
    }

    /// The entries of those that live.
    pub fn living(&self) -> impl Iterator<Item = TableEntry> {
        self.seats().filter(|(seat, _)| self.lives(*seat)).map(|(seat, number)| {
            let role = Role::Slot(self.slot(seat).0.into());
            TableEntry { number, role, in_sync: self.filling(seat).is_none() }
        })
    }

    /// The entries of all members that are known. Of two with one number, the last counts.
    pub fn table(&self) -> impl Iterator<Item = TableEntry> {
        self.out().chain(self.living())
    }

    fn seats(&self) -> impl Iterator<Item = (Member, u32)> {
        (0..=u8::MAX).map(Member).zip(&self.numbers).filter_map(|(seat, number)| Some((seat, (*number)?)))
    }
}

/// The number of who is in each of `seats` seats, which `present` says, or of whom the freshest member's table has in its slot, of
/// `slots`, although he did not come: in the slot's own seat, or in that of its member's copy.
pub fn numbers<C: Claimant>(slots: u16, seats: u16, freshest: &C, present: impl Fn(u16) -> Option<u32>) -> Numbers {
    let mut numbers = NOBODY;
    number(&mut numbers, (slots, seats), freshest, present);
    numbers
}

/// The same in a place that has [`NOBODY`]: for hosts whose stack has no room for it.
pub fn number<C: Claimant>(
    numbers: &mut Numbers,
    (slots, seats): (u16, u16),
    freshest: &C,
    present: impl Fn(u16) -> Option<u32>,
) {
    for (seat, number) in (0..seats).zip(numbers.iter_mut()) {
        *number = present(seat);
    }
    for absent in 0..u32::try_from(ROLES_MAX).unwrap_or(0) {
        let Role::Slot(slot) = freshest.role_of(absent) else { continue };
        if slot >= slots || numbers.contains(&Some(absent)) {
            continue;
        }
        let own = [Some(slot), slot.checked_add(slots)].into_iter().flatten().filter(|seat| *seat < seats);
        let free = own.map(usize::from).find(|seat| matches!(numbers.get(*seat), Some(None)));
        if let Some(place) = free.and_then(|seat| numbers.get_mut(seat)) {
            *place = Some(absent);
        }
    }
}
