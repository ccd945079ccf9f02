//! What each vendor's format is to the rest: where its record lies, how large it is, and the three things that can be done with it.

use core::fmt;

use super::claim::{Arrangement, Claim, Refusal};
use super::place::Place;
use crate::record::{Format, Name};
use raid_core::{Columns, Member, Sector, Sectors};

/// Where the rest lies, by what the head says; `None` if it is no head of this format, and nothing is worth a read.
pub(super) type Pointer = fn(&[u8]) -> Option<Sector>;

/// A vendor's format.
pub(super) struct Vendor {
    pub(super) format: Format,
    /// Bytes that lie at each place.
    pub(super) head_bytes: usize,
    /// Bytes that lie elsewhere, and where, by what the head says; they stand behind it in the buffer.
    pub(super) rest: Option<(usize, Pointer)>,
    /// The n-th place to look at; `None` when there is none.
    pub(super) place: fn(Sectors, usize) -> Option<Sector>,
    /// Places that hold copies; all are written.
    pub(super) copies: usize,
    pub(super) fields: &'static [Place],
    /// The bytes of one medium, and its size.
    pub(super) parse: fn(&[u8], Sectors) -> Result<Claim, Refusal>,
    /// Fills zeroed bytes.
    pub(super) make: fn(&Plan<'_>, &mut [u8]) -> Result<(), Unfit>,
    /// Makes a copy of another disk's record that of the disk with this number, on a medium of this size; what it is told next makes the
    /// sums right.
    pub(super) seat: fn(&mut [u8], u16, Sectors),
    /// Makes a disk's record say what is told, with right sums.
    pub(super) tell: fn(&mut [u8], &Told),
    /// It has a place for "redundancy may not agree".
    pub(super) dirty: bool,
    /// Why no array of it is written to, if none is.
    pub(super) unwritable: Option<&'static str>,
}

/// What a disk's record is to say of a running array. Disks are told by their own numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// This disk.
    pub(super) index: u16,
    /// How all are put together.
    pub(super) arrangement: Arrangement,
    pub(super) members: u16,
    /// Redundancy may not agree.
    pub(super) dirty: bool,
    /// Nobody is there.
    pub(super) missing: Columns,
    /// Not all that is there can be trusted yet.
    pub(super) filling: Columns,
    /// How far this disk can be trusted, if not in whole.
    pub(super) mark: Option<Sectors>,
    /// The disk that is shut out: the generation is raised by one.
    pub(super) shut_out: Option<u16>,
}

impl Told {
    /// Somebody is missing or not whole.
    pub(super) fn is_degraded(&self) -> bool {
        !self.missing.is_empty() || !self.filling.is_empty()
    }

    /// True if nobody is there.
    pub(super) fn is_missing(&self, index: u16) -> bool {
        u8::try_from(index).is_ok_and(|index| self.missing.contains(Member(index)))
    }

    /// True if what is there cannot be trusted yet.
    pub(super) fn is_filling(&self, index: u16) -> bool {
        u8::try_from(index).is_ok_and(|index| self.filling.contains(Member(index)))
    }
}

/// An identity of 32 bits of which the highest byte counts: that count, and the rest.
///
/// Formats without a generation have nothing else that could tell a disk that was shut out. Identities that are made of the time, or of
/// serial numbers, differ in low bits, so the highest byte says least. Disks of one array agree in it, and then it changes nothing.
pub(super) const fn counted(identity: u64) -> (u64, u64) {
    (identity >> 24 & 0xff, identity & 0xff_ffff)
}

/// The same with one more on the count. When that is used up, the identity changes, by `step`.
pub(super) const fn raised(identity: u64, step: u64) -> u64 {
    match counted(identity) {
        (0xff, rest) => rest.wrapping_add(step) & 0xff_ffff,
        (count, rest) => (count + 1) << 24 | rest,
    }
}

/// Sets or clears bits of a field.
pub(super) fn flag(field: Place, record: &mut [u8], bits: u64, set: bool) {
    let held = field.get(record);
    field.put(record, if set { held | bits } else { held & !bits });
}

/// The disk of an index as it stands in a set.
pub(super) fn column(index: u64) -> Option<Member> {
    u8::try_from(index).ok().map(Member)
}

/// An array to be made.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// How the disks are put together.
    pub arrangement: Arrangement,
    /// Disks.
    pub members: u16,
    /// Chunk; a power of two.
    pub chunk: Sectors,
    /// Sectors that each disk gives: whole chunks.
    pub used: Sectors,
    /// Identity: as many bits of it are used as the format has room for.
    pub set: u64,
    /// Name, cut off where the format has less room.
    pub name: Name,
}

/// One disk of it.
pub(super) struct Plan<'a> {
    pub(super) spec: &'a Spec,
    pub(super) slot: u16,
    pub(super) medium: Sectors,
}

impl Plan<'_> {
    pub(super) fn index(&self) -> u16 {
        self.spec.arrangement.index(self.slot, self.spec.members)
    }

    pub(super) fn array_sectors(&self) -> u64 {
        let disks = u64::from(self.spec.arrangement.data_disks(self.spec.members));
        self.spec.used.0.saturating_mul(disks)
    }

    /// Identity of a disk of the array: no two have the same, and in its lowest 32 bits none is zero.
    pub(super) fn disk_id(&self, slot: u16) -> u64 {
        let spread = (self.spec.set ^ u64::from(slot)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // What counts who was shut out begins at zero.
        spread & !0xffff_ffff | spread >> 40 & 0xff_f000 | ((u64::from(slot) + 1) & 0xff) << 4
    }

    /// The number of the arrangement in a format's table of what it can be.
    pub(super) fn code(&self, table: &[(Arrangement, u64)]) -> Result<u64, Unfit> {
        let found = table.iter().find(|(arrangement, _)| *arrangement == self.spec.arrangement);
        found.map(|(_, code)| *code).ok_or(Unfit::Arrangement)
    }
}

/// Why a format cannot hold an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has no such arrangement, or nobody knows how it does it.
    Arrangement,
    /// It has no room for so many disks, or needs more of them.
    Members,
    /// The chunk is no power of two, too small or too large, or the disks' share is not whole chunks.
    Chunk,
    /// The medium cannot hold that much beside the record.
    Size,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arrangement => "the format has no such arrangement of disks that is known",
            Self::Members => "the format does not take so many disks, or so few",
            Self::Chunk => "the format does not take this chunk, or the size is not whole chunks",
            Self::Size => "the medium is too small for this beside the record",
        })
    }
}

impl core::error::Error for Unfit {}

/// The place `before_end` sectors before the end of the medium.
pub(super) fn from_end(medium: Sectors, before_end: u64) -> Option<Sector> {
    medium.0.checked_sub(before_end).map(Sector)
}

/// The one place of most formats: the last sector.
pub(super) fn last(medium: Sectors, index: usize) -> Option<Sector> {
    from_end(medium, 1).filter(|_| index == 0)
}

/// The arrangement that a number stands for.
pub(super) fn arrangement(table: &[(Arrangement, u64)], field: Place, record: &[u8]) -> Result<Arrangement, Refusal> {
    let number = field.get(record);
    known(table, number).ok_or_else(|| field.refusal(number, "an arrangement that is not known"))
}

pub(super) fn known(table: &[(Arrangement, u64)], number: u64) -> Option<Arrangement> {
    table.iter().find(|(_, code)| *code == number).map(|(arrangement, _)| *arrangement)
}

/// A magic number must stand there.
pub(super) fn magic(field: Place, record: &[u8], expected: u64) -> Result<(), Refusal> {
    let found = field.get(record);
    if found == expected {
        return Ok(());
    }
    Err(Refusal::NoMagic { offset: field.offset(), found, expected })
}

/// A checksum must be right.
pub(super) fn checksum(field: Place, record: &[u8], expected: u64) -> Result<(), Refusal> {
    let found = field.get(record);
    if found == expected {
        return Ok(());
    }
    Err(Refusal::Checksum { offset: field.offset(), found, expected })
}

/// A count that can be one of disks.
pub(super) fn count(field: Place, found: u64, most: u16) -> Result<u16, Refusal> {
    let count = u16::try_from(found).ok().filter(|count| (1..=most).contains(count));
    count.ok_or_else(|| field.refusal(found, "not a number of disks that the format has room for"))
}

/// A power of two of sectors.
pub(super) fn chunk(field: Place, sectors: u64) -> Result<Sectors, Refusal> {
    if sectors.is_power_of_two() { Ok(Sectors(sectors)) } else { Err(field.refusal(sectors, "no chunk size")) }
}

/// Sum of the bytes.
pub(super) fn byte_sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

/// Sum of little-endian words of `width` bytes.
pub(super) fn word_sum(bytes: &[u8], width: usize) -> u64 {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
    bytes.chunks(width.max(1)).map(word).fold(0, u64::wrapping_add)
}

/// What makes a sum of words zero in `bits` bits.
pub(super) const fn complement(sum: u64, bits: u32) -> u64 {
    0_u64.wrapping_sub(sum) & (u64::MAX >> (64 - bits))
}
