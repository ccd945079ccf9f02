//! What one disk of a BIOS RAID claims, in the words that all of these formats share, and how that becomes a [`Record`].

use core::fmt;

use crate::fault::Refuse;
use crate::record::{Format, Name, Notes, Record, Role, Shape, Sync, Uuid, WriteLog};
use raid_core::{Columns, Extent, FarSets, Level, Member, Raid0Layout, Raid5Layout, Raid10Layout, Sector, Sectors};

/// How the disks are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrangement {
    /// One disk after the other.
    Span,
    /// Chunks in turn.
    Stripe,
    /// All the same.
    Mirror,
    /// Stripes over pairs: disks 2k and 2k+1 are the same.
    StripedPairs,
    /// Two stripes that are the same: disk k of the first half and disk k of the second.
    MirroredStripes,
    /// Chunks and their parity in turn.
    Raid5(Raid5Layout),
}

impl Arrangement {
    /// As the core says it. Two stripes that mirror each other are pairs in another order: see [`slot`](Self::slot).
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::Span => Level::Linear,
            // Which layout makes no difference: there is one zone.
            Self::Stripe => Level::Raid0(Raid0Layout::Unstated),
            Self::Mirror => Level::Raid1,
            Self::StripedPairs | Self::MirroredStripes => {
                Level::Raid10(Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All })
            }
            Self::Raid5(layout) => Level::Raid5(layout),
        }
    }

    /// The slot of a disk that counts itself as number `index` of `members`.
    #[must_use]
    pub const fn slot(self, index: u16, members: u16) -> u16 {
        let half = members / 2;
        match self {
            Self::MirroredStripes if index < half => index.saturating_mul(2),
            Self::MirroredStripes => (index - half).saturating_mul(2).saturating_add(1),
            _ => index,
        }
    }

    /// The disk's own number, of its slot.
    #[must_use]
    pub const fn index(self, slot: u16, members: u16) -> u16 {
        match self {
            Self::MirroredStripes => slot / 2 + if slot.is_multiple_of(2) { 0 } else { members / 2 },
            _ => slot,
        }
    }

    /// Disks' worth of data.
    #[must_use]
    pub const fn data_disks(self, members: u16) -> u16 {
        match self {
            Self::Span | Self::Stripe => members,
            Self::Mirror => 1,
            Self::StripedPairs | Self::MirroredStripes => members / 2,
            Self::Raid5(_) => members.saturating_sub(1),
        }
    }
}

/// Why a record is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not this kind of record at all: the usual answer.
    NoMagic {
        /// Offset in the record.
        offset: u32,
        /// What stands there.
        found: u64,
        /// What should.
        expected: u64,
    },
    /// Damaged.
    Checksum {
        /// Offset of the sum.
        offset: u32,
        /// What stands there.
        found: u64,
        /// What should.
        expected: u64,
    },
    /// A field says what cannot be, or what nobody knows how to read.
    Field {
        /// Its name.
        name: &'static str,
        /// Its offset.
        offset: u32,
        /// What stands there.
        found: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The record ends before its last byte.
    Truncated {
        /// Bytes that are there.
        found: usize,
        /// Bytes that it has.
        expected: usize,
    },
    /// The medium has no room for the record, or for the data that it claims.
    MediumTooSmall {
        /// Sectors that the medium has.
        found: u64,
        /// Sectors that are needed.
        needed: u64,
    },
}

impl Refuse for Refusal {
    fn is_absence(&self) -> bool {
        matches!(self, Self::NoMagic { .. } | Self::MediumTooSmall { .. })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMagic { offset, found, expected } => {
                write!(f, "no magic number at byte {offset}: {found:#x}, {expected:#x} would be it")
            }
            Self::Checksum { offset, found, expected } => {
                write!(f, "the checksum at byte {offset} is {found:#x}, the record's is {expected:#x}")
            }
            Self::Field { name, offset, found, why } => write!(f, "{name} at byte {offset} is {found:#x}: {why}"),
            Self::Truncated { found, expected } => {
                write!(f, "only {found} bytes of the {expected} of a record are there")
            }
            Self::MediumTooSmall { found, needed } => {
                write!(f, "the medium has {found} sectors, {needed} are needed")
            }
        }
    }
}

impl core::error::Error for Refusal {}

/// What a parser found out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) format: Format,
    pub(super) array: Uuid,
    pub(super) name: Name,
    /// The disk's own number; `None` for a spare.
    pub(super) index: Option<u16>,
    pub(super) failed: bool,
    pub(super) arrangement: Arrangement,
    pub(super) members: u16,
    pub(super) chunk: Sectors,
    pub(super) data_at: Sector,
    /// Sectors of this disk that the array uses.
    pub(super) used: Sectors,
    pub(super) array_size: Option<Sectors>,
    pub(super) events: u64,
    pub(super) dirty: bool,
    /// Trusted below here, if it is being rebuilt.
    pub(super) mark: Option<Sectors>,
    /// Disks that its table calls failed, by their own numbers.
    pub(super) down: Columns,
}

impl Claim {
    /// What most records say: a disk in order, data from the first sector on.
    pub(super) fn new(format: Format, arrangement: Arrangement, members: u16, index: u16) -> Self {
        Self {
            format,
            array: Uuid::default(),
            name: Name([0; 32]),
            index: Some(index),
            failed: false,
            arrangement,
            members,
            chunk: Sectors(0),
            data_at: Sector(0),
            used: Sectors(0),
            array_size: None,
            events: 0,
            dirty: false,
            mark: None,
            down: Columns::default(),
        }
    }

    /// Size of the array, and from it what each disk gives: whole chunks where there are any.
    pub(super) fn sized(self, array: u64) -> Self {
        let disks = u64::from(self.arrangement.data_disks(self.members)).max(1);
        let each = array.div_ceil(disks).next_multiple_of(self.chunk.0.max(1));
        Self { used: Sectors(each), array_size: Some(Sectors(array)), ..self }
    }

    /// The slots of disks that are told by their own numbers.
    pub(super) fn slots(&self, indexes: Columns) -> Columns {
        let slot = |index: Member| self.arrangement.slot(index.0.into(), self.members);
        indexes.iter().filter_map(|index| u8::try_from(slot(index)).ok()).map(Member).collect()
    }

    /// Disks' own numbers, of their slots.
    pub(super) fn indexes(&self, slots: Columns) -> Columns {
        let index = |slot: Member| self.arrangement.index(slot.0.into(), self.members);
        slots.iter().filter_map(|slot| u8::try_from(index(slot)).ok()).map(Member).collect()
    }

    /// The record, if the medium can hold what is claimed.
    pub(super) fn record(self, medium: Sectors) -> Result<Record, Refusal> {
        let end = self.data_at.0.saturating_add(self.used.0);
        if end > medium.0 {
            return Err(Refusal::MediumTooSmall { found: medium.0, needed: end });
        }
        let slot = self.index.map(|index| self.arrangement.slot(index, self.members));
        let role = match slot {
            _ if self.failed => Role::Faulty,
            None => Role::Spare,
            Some(slot) => Role::Slot(slot),
        };
        Ok(Record {
            format: self.format,
            array: self.array,
            name: self.name,
            member: Uuid::default(),
            // There is no table beside the slots.
            number: slot.map_or(u32::MAX, u32::from),
            role,
            events: self.events,
            updated_s: 0,
            created_s: 0,
            shape: Shape {
                level: self.arrangement.level(),
                members: self.members,
                chunk: self.chunk,
                array_size: self.array_size,
            },
            data: Extent { at: self.data_at, len: self.used },
            used: self.used,
            sync_mark: self.mark,
            replacement: false,
            sync: if self.dirty { Sync::DirtyFrom(Sector(0)) } else { Sync::Clean },
            reshape: None,
            log: WriteLog::None,
            bad_blocks: None,
            table_in_sync: Columns::first(self.members).difference(self.slots(self.down)),
            write_mostly: false,
            fail_fast: false,
            logical_block_bytes: 0,
            notes: Notes::empty(),
        })
    }
}

/// A name of the record, without the padding that its vendor likes.
pub(super) fn name(bytes: &[u8]) -> Name {
    let mut name = [0; 32];
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = bytes.get(..end).unwrap_or(&[]).trim_ascii_end();
    for (place, byte) in name.iter_mut().zip(text) {
        *place = *byte;
    }
    Name(name)
}

/// Identities of at most 16 bytes, in the order in which they are given.
pub(super) fn identity(parts: &[u64]) -> Uuid {
    let mut bytes = [0; 16];
    let all = parts.iter().flat_map(|part| part.to_be_bytes());
    let skipped = (parts.len() * 8).saturating_sub(16);
    for (place, byte) in bytes.iter_mut().zip(all.skip(skipped)) {
        *place = byte;
    }
    Uuid(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_indexes_are_each_others_inverse() {
        for arrangement in [Arrangement::MirroredStripes, Arrangement::StripedPairs, Arrangement::Stripe] {
            for members in [4, 6, 8] {
                let mut seen = [false; 8];
                for index in 0..members {
                    let slot = arrangement.slot(index, members);
                    assert_eq!(arrangement.index(slot, members), index);
                    assert!(!core::mem::replace(&mut seen[usize::from(slot)], true));
                }
            }
        }
        assert_eq!(Arrangement::MirroredStripes.slot(2, 4), 1);
    }
}
