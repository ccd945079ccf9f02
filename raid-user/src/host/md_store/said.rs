//! What all members are to say of the array, in one version for each event count.
//!
//! Two superblocks with the same count never say different things: else a member that failed could come back as the
//! freshest one. And no living member may lag by two: it would count as stale after a crash. So the count grows only after all living
//! members were brought up to the one before ([`super::MdStore`] does that).
//!
//! Members are called by their seats: a member that is replaced while it serves and its copy have the same slot.

use raid_core::Member;
use raid_core::health::{Filling, Health};
use raid_formats::md::TableEntry;
use raid_formats::record::{Role, Sync};

/// One version of the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Its event count.
    pub(super) events: u64,
    /// The members' states.
    pub(super) health: Health,
    /// From where on redundancy may be in doubt: where the bitmap says so, or anywhere if there is none.
    pub(super) sync: Sync,
    /// Permanent number of the member in each seat, or of the last one there; `None` if nobody knows of one.
    pub(super) numbers: Vec<Option<u32>>,
    /// Numbers of spares.
    pub(super) spares: Vec<u32>,
    /// Numbers that were a spare's and are nobody's, in a version of the superblock where a table does not forget by itself.
    pub(super) gone: Vec<u32>,
}

impl Said {
    /// True if somebody lacks something.
    pub(super) fn degraded(&self) -> bool {
        !self.health.is_whole()
    }

    /// True if who has the seat has a place in the array: a member, or the copy of one in the making.
    pub(super) fn lives(&self, seat: Member) -> bool {
        self.health.written().contains(seat)
    }

    /// True if it lives and its slot is its own.
    pub(super) fn serves(&self, seat: Member) -> bool {
        self.lives(seat) && self.health.seat(self.slot(seat)) == seat
    }

    /// The slot that a seat belongs to.
    pub(super) fn slot(&self, seat: Member) -> Member {
        self.health.seats().slot(seat)
    }

    /// How far who has the seat is filled, and how; `None` if nobody there is being filled.
    pub(super) fn filling(&self, seat: Member) -> Option<Filling> {
        let own = |filling: &Filling| match filling.copy {
            true => self.health.second_seat(filling.member),
            false => self.health.seat(filling.member),
        };
        self.health.fillings().find(|filling| own(filling) == seat)
    }

    /// The entries of all that are known. Of two with one number, the last counts.
    pub(super) fn table(&self) -> Vec<TableEntry> {
        let nobody = |number: &u32| TableEntry { number: *number, role: Role::Faulty, in_sync: false };
        let spare = |number: &u32| TableEntry { number: *number, role: Role::Spare, in_sync: false };
        let seats = || (0..=u8::MAX).map(Member).zip(&self.numbers);
        let out = seats().filter(|(seat, _)| !self.lives(*seat)).filter_map(|(_, number)| number.as_ref());
        let living = seats().filter(|(seat, _)| self.lives(*seat)).filter_map(|(seat, number)| {
            let role = Role::Slot(self.slot(seat).0.into());
            Some(TableEntry { number: (*number)?, role, in_sync: self.filling(seat).is_none() })
        });
        out.chain(&self.gone).map(nobody).chain(self.spares.iter().map(spare)).chain(living).collect()
    }
}
