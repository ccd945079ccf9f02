//! A disk's record under a running array: what it is told, a record for a disk that joins, and the order of writes.
//!
//! None of these formats was made for this. Some have a generation, or a table of their disks' states, most have neither. So all are told
//! in one way:
//!
//! **A disk is shut out in two rounds.** Each raises the generation of all the others by one, and the next does not begin before all have
//! the one before. A disk that lags by one is current, as everywhere in [`crate::assemble`]; one that lags by two is stale. So a cut in
//! the first round leaves everybody in, and a cut in the second one leaves the one out; nobody else ever.
//!
//! Where a format has no generation, the highest byte of an identity counts: of the array's where there is one, else of the one in the
//! table that the disk had which is shut out. FreeBSD changes these identities as a whole, for the same purpose.
//!
//! **A record is one sector**, or changes in one: Promise's sum is kept by a word of filling, and Silicon Image's four copies are a whole
//! record each. ASR's table has seven entries in its first sector; a cut in a table of more disks can cost that one disk its record.
//!
//! Source of what the fields mean: each format's own file.

use super::claim::{Claim, Refusal};
use super::vendor::Told;
use super::{Kind, Member};
use crate::record::{Record, Role};
use raid_core::health::Health;
use raid_core::{Sector, Sectors};

/// Bytes that are written as one.
const SECTOR: usize = 512;

/// What a running array wants its disks to remember.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// Redundancy may not agree.
    pub dirty: bool,
    /// Who is there, and how far who is being filled can be trusted.
    pub health: &'a Health,
    /// A slot whose disk is being shut out: one of two rounds.
    pub shut_out: Option<u16>,
}

impl Running<'_> {
    /// The same for the disk of a slot, with disks told by their own numbers.
    fn told(&self, claim: &Claim, slot: u16) -> Told {
        let filling = self.health.rebuilding().map(|(member, _)| member).collect();
        let own = self.health.rebuilding().find(|(member, _)| u16::from(member.0) == slot);
        let index = |slot: u16| claim.arrangement.index(slot, claim.members);
        Told {
            index: index(slot),
            arrangement: claim.arrangement,
            members: claim.members,
            dirty: self.dirty,
            missing: claim.indexes(self.health.missing()),
            filling: claim.indexes(filling),
            mark: own.map(|(_, mark)| Sectors(mark.0)),
            shut_out: self.shut_out.map(index),
        }
    }
}

/// A record that must be that of the disk in `slot`, trusted as far as was told and no further. An odd table can have no entry for a slot.
fn sworn(record: Record, slot: u16, told: &Told) -> Result<Record, Refusal> {
    let good = match (record.role, told.mark) {
        (Role::Slot(found), None) => found == slot && record.sync_mark.is_none(),
        (Role::Slot(found), Some(mark)) => found == slot && record.sync_mark.is_some_and(|held| held <= mark),
        (_, mark) => mark.is_some(),
    };
    let why = "the record's table has no place for a disk in this slot";
    if good { Ok(record) } else { Err(Refusal::Field { name: "slot", offset: 0, found: slot.into(), why }) }
}

impl Kind {
    /// Why no array of this format is written to, if none is.
    #[must_use]
    pub const fn unwritable(self) -> Option<&'static str> {
        self.0.unwritable
    }

    /// True if a record can say that redundancy may not agree. If not, it may not whenever an array is started.
    #[must_use]
    pub const fn says_dirty(self) -> bool {
        self.0.dirty
    }

    /// First sector of a medium that data must not reach; from where they may start at the latest for the oldest HighPoint.
    #[must_use]
    pub fn data_end(self, medium: Sectors) -> Option<Sector> {
        let lowest = (0..self.0.copies).filter_map(|index| self.place(medium, index)).min()?;
        match self.format() {
            // The table stands before the reserved block.
            crate::record::Format::Asr => medium.0.checked_sub(super::asr::TABLE_BEFORE_END).map(Sector),
            crate::record::Format::Hpt37x => medium.0.checked_sub(super::hpt::BEHIND).map(Sector),
            _ => Some(lowest),
        }
    }

    /// Changes the record of the disk in `slot` to what `state` says. `bytes` are the record as it was read: what nobody here knows stays.
    ///
    /// # Errors
    /// [`Refusal`] if it was no sound record or what came of it is none; `bytes` are of no use then.
    pub fn update(self, bytes: &mut [u8], slot: u16, medium: Sectors, state: &Running<'_>) -> Result<Record, Refusal> {
        let claim = self.claim(bytes, medium)?;
        let told = state.told(&claim, slot);
        (self.0.tell)(bytes, &told);
        self.parse(bytes, medium).and_then(|record| sworn(record, slot, &told))
    }

    /// Makes a copy of another disk's record, whose medium is as large as `like`, one for a new disk in `slot`, on a medium of that size.
    ///
    /// # Errors
    /// [`Refusal`] if it was no sound record, or the medium is too small.
    pub fn join(
        self,
        bytes: &mut [u8],
        slot: u16,
        (like, medium): (Sectors, Sectors),
        state: &Running<'_>,
    ) -> Result<Record, Refusal> {
        let claim = self.claim(bytes, like)?;
        let needed = claim.data_at.0.saturating_add(claim.used.0);
        let limit = self.data_end(medium).map_or(0, |limit| limit.0);
        if needed > limit {
            // What the record needs behind the data.
            let needed = needed.saturating_add(medium.0.saturating_sub(limit));
            return Err(Refusal::MediumTooSmall { found: medium.0, needed });
        }
        let told = state.told(&claim, slot);
        (self.0.seat)(bytes, told.index, medium);
        (self.0.tell)(bytes, &told);
        self.parse(bytes, medium).and_then(|record| sworn(record, slot, &told))
    }

    /// Where a medium has its record if another disk of the array has its own at `at`.
    #[must_use]
    pub fn place_like(self, at: Sector, like: Sectors, medium: Sectors) -> Option<Sector> {
        let mut places = (0..).map_while(|index| self.place(like, index).map(|place| (index, place)));
        let (index, _) = places.find(|(_, place)| *place == at)?;
        // Copies are found by the first of them.
        self.place(medium, if self.0.copies > 1 { 0 } else { index })
    }

    /// Writes a record that was found at `at`: the sectors that differ from `old`, or all; what others are found by comes last.
    ///
    /// # Errors
    /// What `write` returns.
    pub fn write<E>(
        self,
        (at, medium): (Sector, Sectors),
        new: &[u8],
        old: Option<&[u8]>,
        mut write: impl FnMut(Sector, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (head, rest) = new.split_at(self.0.head_bytes.min(new.len()));
        let old = old.map(|old| old.split_at(self.0.head_bytes.min(old.len())));
        let mut sectors = |at: Sector, piece: &[u8], old: Option<&[u8]>| {
            for (number, sector) in piece.chunks(SECTOR).enumerate() {
                let held = old.and_then(|old| old.chunks(SECTOR).nth(number));
                if held != Some(sector) {
                    write(Sector(at.0.saturating_add(number as u64)), sector)?;
                }
            }
            Ok(())
        };
        if let Some(rest_at) = self.0.rest.and_then(|(_, place)| place(head)) {
            sectors(rest_at, rest, old.map(|(_, rest)| rest))?;
        }
        if self.0.copies <= 1 {
            return sectors(at, head, old.map(|(head, _)| head));
        }
        // The last first: what is found is the first, as long as it is sound.
        (0..self.0.copies)
            .rev()
            .filter_map(|index| self.place(medium, index))
            .try_for_each(|place| sectors(place, head, old.map(|(head, _)| head)))
    }
}

impl Member {
    /// True if the record itself says that somebody failed in this slot.
    #[must_use]
    pub fn calls_failed(&self, slot: raid_core::Member) -> bool {
        u16::from(slot.0) < self.record.shape.members && !self.record.table_in_sync.contains(slot)
    }
}
