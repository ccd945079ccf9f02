//! A metadata area: its header, and the ring that the group's texts lie in.

use super::{Fault, RawPlace, Refusal, crc};
use crate::{fault, md, source::Source};
use core::mem::size_of;
use raid_core::{SECTOR_BYTES, Sector};
use static_assertions::const_assert_eq;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U32, U64},
};

/// Bytes of an area's header; the ring starts behind it.
pub const AREA_HEADER_BYTES: usize = 512;
/// Longest text that is read. Ten thousand volumes take some ten megabytes.
pub const TEXT_BYTES_MAX: u64 = 64 << 20;
/// How a header starts, behind its sum.
const MAGIC: [u8; 16] = *b" LVM2 x[5A%r0N*>";
/// The text does not count.
const IGNORED: u32 = 1;

/// The header's bytes, before its list of texts.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawArea {
    pub(super) checksum: U32,
    pub(super) magic: [u8; 16],
    pub(super) version: U32,
    pub(super) start: U64,
    pub(super) size: U64,
}

/// The bytes of an entry: where a text lies, from the area's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawLocation {
    pub(super) offset: U64,
    pub(super) size: U64,
    pub(super) checksum: U32,
    pub(super) flags: U32,
}

const_assert_eq!(size_of::<RawArea>(), 40);
const_assert_eq!(size_of::<RawLocation>(), 24);

/// A text of an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// First byte, from the area's start.
    pub offset: u64,
    /// Bytes, with the NUL at the end.
    pub len: u64,
    /// The sum of these bytes.
    pub checksum: u32,
}

/// An area whose header passed the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First byte of it on the medium.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// The text that counts.
    pub committed: Option<Location>,
    /// A text that a cut left behind before it counted.
    pub precommitted: Option<Location>,
}

impl Area {
    /// Reads the header in `bytes`, which were read from the byte `start` of a medium.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn parse(bytes: &[u8; AREA_HEADER_BYTES], start: u64) -> Result<Self, Refusal> {
        let refuse = |refusal| Refusal::of("metadata area", refusal);
        let expected = AREA_HEADER_BYTES;
        let (raw, rest) = RawArea::ref_from_prefix(bytes.as_slice())
            .map_err(|_| refuse(md::Refusal::Truncated { found: bytes.len(), expected }))?;
        if raw.magic != MAGIC {
            let [a, b, c, d, ..] = raw.magic;
            let (found, expected) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(*b" LVM"));
            return Err(refuse(md::Refusal::NoMagic { offset: 4, found, expected }));
        }
        let (found, expected) = (raw.checksum.get(), crc(&[bytes.get(4..).unwrap_or(&[])]));
        if found != expected {
            return Err(refuse(md::Refusal::Checksum { offset: 0, found, expected }));
        }
        if raw.version.get() != 1 {
            return Err(refuse(md::Refusal::range("version", 20, raw.version.get(), 1, 1)));
        }
        if raw.start.get() != start {
            let (found, expected) = (raw.start.get() / SECTOR_BYTES, start / SECTOR_BYTES);
            return Err(refuse(md::Refusal::Place { offset: 24, found, expected }));
        }
        let size = raw.size.get();
        if size <= AREA_HEADER_BYTES as u64 || start.checked_add(size).is_none() {
            return Err(refuse(md::Refusal::range("size", 32, size, AREA_HEADER_BYTES as u64 + 1, u64::MAX - start)));
        }
        let (locations, _) = <[RawLocation]>::ref_from_prefix_with_elems(rest, 2)
            .map_err(|_| refuse(md::Refusal::Truncated { found: bytes.len(), expected: AREA_HEADER_BYTES }))?;
        let location = |index: usize| location(locations.get(index)?, size);
        Ok(Self { start, size, committed: location(0).transpose()?, precommitted: location(1).transpose()? })
    }

    /// The parts that a text lies in: from its place to the end of the ring, and from the ring's start.
    fn parts(&self, location: &Location) -> [(u64, u64); 2] {
        let room = self.size.saturating_sub(location.offset);
        let first = location.len.min(room);
        let at = self.start.saturating_add(location.offset);
        let ring = self.start.saturating_add(AREA_HEADER_BYTES as u64);
        [(at, first), (ring, location.len.saturating_sub(first))]
    }
}

/// An entry that holds a text and is not marked as ignored.
fn location(raw: &RawLocation, size: u64) -> Option<Result<Location, Refusal>> {
    let (offset, len) = (raw.offset.get(), raw.size.get());
    if offset == 0 || raw.flags.get() & IGNORED != 0 {
        return None;
    }
    let ring = size.saturating_sub(AREA_HEADER_BYTES as u64);
    let range = |field, at, found: u64, most| {
        Some(Err(Refusal::of("metadata area", md::Refusal::range(field, at, found, 1, most))))
    };
    match (offset, len) {
        (offset, _) if offset < AREA_HEADER_BYTES as u64 || offset >= size => {
            range("offset of a text", 40, offset, size.saturating_sub(1))
        }
        (_, len) if len == 0 || len > ring.min(TEXT_BYTES_MAX) => {
            range("size of a text", 48, len, ring.min(TEXT_BYTES_MAX))
        }
        _ => Some(Ok(Location { offset, len, checksum: raw.checksum.get() })),
    }
}

/// Reads the header of the area at `place`.
///
/// # Errors
/// The medium's; why it is no header.
pub fn read_area<S: Source>(source: &S, place: RawPlace) -> Result<Area, Fault<S::Error>> {
    let start = place.offset.get();
    let mut header = [0; AREA_HEADER_BYTES];
    let sector = Sector(start / SECTOR_BYTES);
    source.read_at(start, &mut header).map_err(|error| Fault::Read { at: sector, error })?;
    Area::parse(&header, start).map_err(Fault::Refused)
}

/// Reads a text of `area` into `buf`, and checks its sum. What is returned ends before the NUL.
///
/// # Errors
/// The medium's; a buffer shorter than the text; a wrong sum.
pub fn read_text<'b, S: Source>(
    source: &S,
    area: &Area,
    location: &Location,
    buf: &'b mut [u8],
) -> Result<&'b [u8], Fault<S::Error>> {
    let (text, _) = fault::part(buf, usize::try_from(location.len).unwrap_or(usize::MAX))?;
    let mut rest = &mut *text;
    for (at, len) in area.parts(location) {
        let (part, left) = fault::part(rest, usize::try_from(len).unwrap_or(usize::MAX))?;
        source.read_at(at, part).map_err(|error| Fault::Read { at: Sector(at / SECTOR_BYTES), error })?;
        rest = left;
    }
    let (found, expected) = (location.checksum, crc(&[text]));
    if found != expected {
        return Err(Refusal::of("text", md::Refusal::Checksum { offset: 56, found, expected }).into());
    }
    let len = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    Ok(text.get(..len).unwrap_or(&[]))
}
