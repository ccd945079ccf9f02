//! What all members of a running array are to say of it, in one version for each event count.
//!
//! Two superblocks with the same count never say different things: else a member that failed could come back as the
//! freshest one. And no living member may lag by two: it would count as stale after a crash. So the count grows only after all living
//! members were brought up to the one before. That is the host's part.

use raid_core::health::{Filling, Health, State};
use raid_core::{MEMBERS_MAX, Member};

use crate::assemble::Claimant;
use crate::md::{TableEntry, raw1::ROLES_MAX};
use crate::record::{Role, Sync};

/// Permanent numbers of the members in the slots, or of the last ones there; `None` if nobody knows of one.
pub type Numbers = [Option<u32>; MEMBERS_MAX];

/// One version of the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its event count.
    pub events: u64,
    /// The members' states.
    pub health: Health,
    /// From where on redundancy may be in doubt: where the bitmap says so, or anywhere if there is none.
    pub sync: Sync,
    /// Who is in which slot.
    pub numbers: Numbers,
}

impl Said {
    /// True if somebody lacks something.
    #[must_use]
    pub fn degraded(&self) -> bool {
        !self.health.is_whole()
    }

    /// True if the member has a place in the array.
    #[must_use]
    pub fn lives(&self, member: Member) -> bool {
        self.health.has(member)
    }

    /// How far a member is rebuilt, and how; `None` if it is not being rebuilt.
    #[must_use]
    pub fn filling(&self, member: Member) -> Option<Filling> {
        self.health.filling().find(|filling| filling.member == member)
    }

    /// The entries of all members that are known.
    pub fn table(&self) -> impl Iterator<Item = TableEntry> {
        let entry = |(slot, number): (u8, &Option<u32>)| {
            let state = self.health.state(Member(slot))?;
            let role = if state == State::Missing { Role::Faulty } else { Role::Slot(slot.into()) };
            Some(TableEntry { number: (*number)?, role, in_sync: state == State::InSync })
        };
        (0..=u8::MAX).zip(&self.numbers).filter_map(entry)
    }
}

/// The number of who is in each of `slots` slots, which `present` says, or of whom the freshest member's table has there although nobody
/// came.
pub fn numbers<C: Claimant>(slots: u16, freshest: &C, present: impl Fn(u16) -> Option<u32>) -> Numbers {
    let mut numbers = [None; MEMBERS_MAX];
    let all = 0..u32::try_from(ROLES_MAX).unwrap_or(0);
    let of_slot = |slot: u16| all.clone().find(|number| freshest.role_of(*number) == Role::Slot(slot));
    for (slot, number) in (0..slots).zip(&mut numbers) {
        *number = present(slot).or_else(|| of_slot(slot));
    }
    numbers
}
