//! What all members are to say of the array, in one version for each event count.
//!
//! Two superblocks with the same count never say different things: else a member that failed could come back as the
//! freshest one. And no living member may lag by two: it would count as stale after a crash. So the count grows only after all living
//! members were brought up to the one before ([`super::MdStore`] does that).

use raid_core::Member;
use raid_core::health::{Filling, Health, State};
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
    /// Permanent number of the member in each slot, or of the last one there; `None` if nobody knows of one.
    pub(super) numbers: Vec<Option<u32>>,
}

impl Said {
    /// True if somebody lacks something.
    pub(super) fn degraded(&self) -> bool {
        !self.health.is_whole()
    }

    /// True if the member has a place in the array.
    pub(super) fn lives(&self, member: Member) -> bool {
        self.health.has(member)
    }

    /// How far a member is rebuilt, and how; `None` if it is not being rebuilt.
    pub(super) fn filling(&self, member: Member) -> Option<Filling> {
        self.health.filling().find(|filling| filling.member == member)
    }

    /// The entries of all members that are known.
    pub(super) fn table(&self) -> Vec<TableEntry> {
        let entry = |(slot, number): (u8, &Option<u32>)| {
            let state = self.health.state(Member(slot))?;
            let role = if state == State::Missing { Role::Faulty } else { Role::Slot(slot.into()) };
            Some(TableEntry { number: (*number)?, role, in_sync: state == State::InSync })
        };
        (0..=u8::MAX).zip(&self.numbers).filter_map(entry).collect()
    }
}
