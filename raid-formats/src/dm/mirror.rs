//! dm-mirror's disk log: which regions of a mirror agree.
//!
//! Source: kernel `drivers/md/dm-log.c` (`struct log_header_disk`, `disk_resume`). A header, and at byte 1024 one bit for each region, the
//! lowest first; a set bit says that all legs agree there. The size of a region stands in the table, not here. What a region
//! whose bit is clear holds is known on the first leg only: the others are copied from it when the mirror starts. A bit is cleared durably
//! before the first write to its region, and set some time after the last. Nothing in it says that a leg failed: what one of the others
//! lacks is in regions whose bit stays clear, and of the first leg nothing can be said at all.

use crate::{fault, md::Refusal, source::Source};
use core::mem::size_of;
use raid_core::{Extent, SECTOR_BYTES, Sector, Sectors};
use static_assertions::const_assert_eq;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U32, U64},
};

/// "MiRr" as a number; the bytes lie the other way round.
pub const MAGIC: u32 = 0x4D69_5272;
/// Version that is written; 1 differs from it on big-endian machines only.
const VERSION: u32 = 2;
/// Where the bits start.
pub const BITS_AT_BYTES: u64 = 1024;
/// Regions that one sector of bits tells of.
pub const SECTOR_REGIONS: u64 = SECTOR_BYTES * 8;
/// Bytes of a sector, in which bits are read and written.
const BLOCK_BYTES: usize = 512;

/// The header's bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the kernel's; docs/formats/dm.md explains each")]
pub struct RawMirrorLog {
    pub magic: U32,
    pub version: U32,
    pub nr_regions: U64,
}

const_assert_eq!(size_of::<RawMirrorLog>(), 16);

/// A header that passed the checks.
#[derive(Clone, Copy, Debug)]
pub struct MirrorLog<'a> {
    raw: &'a RawMirrorLog,
}

impl<'a> MirrorLog<'a> {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let expected = size_of::<RawMirrorLog>();
        let (raw, _) =
            RawMirrorLog::ref_from_prefix(bytes).map_err(|_| Refusal::Truncated { found: bytes.len(), expected })?;
        if raw.magic.get() != MAGIC {
            return Err(Refusal::NoMagic { offset: 0, found: raw.magic.get(), expected: MAGIC });
        }
        let version = raw.version.get();
        if !(1..=VERSION).contains(&version) {
            return Err(Refusal::range("version", 4, version, 1, u64::from(VERSION)));
        }
        Ok(Self { raw })
    }

    /// The header's bytes as they are.
    #[must_use]
    pub fn emit(&self) -> &'a [u8; size_of::<RawMirrorLog>()] {
        zerocopy::transmute_ref!(self.raw)
    }

    /// Regions that the log has a bit for.
    #[must_use]
    pub const fn regions(&self) -> u64 {
        self.raw.nr_regions.get()
    }
}

/// Tells `visit` every run of a mirror of `len` sectors whose legs may disagree, in regions of `region` sectors, ascending. Regions that
/// the log has no bit for may disagree, as on the kernel's start.
///
/// # Errors
/// The medium's; a header that is refused; a region of no sectors.
pub fn read_unsynced<S: Source>(
    source: &S,
    region: Sectors,
    len: Sectors,
    mut visit: impl FnMut(Extent),
) -> Result<(), super::Fault<S::Error>> {
    let mut header = [0; size_of::<RawMirrorLog>()];
    fault::read(source, Sector(0), &mut header)?;
    let known = MirrorLog::parse(&header)?.regions();
    let count = regions(region, len)?;
    let mut tell = |number: u64, until: u64| {
        let at = number.saturating_mul(region.0);
        let end = until.saturating_mul(region.0).min(len.0);
        visit(Extent { at: Sector(at), len: Sectors(end.saturating_sub(at)) });
    };
    let with_bits = count.min(known);
    let mut piece = [0; BLOCK_BYTES];
    let mut first: u64 = 0;
    while first < with_bits {
        let bytes = with_bits.saturating_sub(first).div_ceil(8).min(BLOCK_BYTES as u64);
        let (buf, _) = fault::part(&mut piece, usize::try_from(bytes).unwrap_or(BLOCK_BYTES))?;
        let at = BITS_AT_BYTES.saturating_add(first / 8);
        source.read_at(at, buf).map_err(|error| fault::Fault::Read { at: Sector(at / SECTOR_BYTES), error })?;
        for (byte, start) in buf.iter().zip((first..).step_by(8)) {
            for bit in (0..8_u64).filter(|bit| byte >> bit & 1 == 0) {
                let number = start.saturating_add(bit);
                if number < with_bits {
                    tell(number, number.saturating_add(1));
                }
            }
        }
        first = first.saturating_add(bytes.saturating_mul(8));
    }
    if known < count {
        tell(known, count);
    }
    Ok(())
}

/// Regions that a mirror of `len` sectors has, in regions of `region` sectors.
///
/// # Errors
/// A region of no sectors.
pub fn regions(region: Sectors, len: Sectors) -> Result<u64, Refusal> {
    let count = len.0.checked_add(region.0.saturating_sub(1)).and_then(|sum| sum.checked_div(region.0));
    count.ok_or_else(|| Refusal::range("region_size", 0, region.0, 1, u64::MAX))
}

/// Bytes of a log of so many regions, in whole sectors; the kernel has bits in words of 32.
#[must_use]
pub const fn log_bytes(regions: u64) -> u64 {
    let bits = regions.div_ceil(32).saturating_mul(4);
    BITS_AT_BYTES.saturating_add(bits.div_ceil(SECTOR_BYTES).saturating_mul(SECTOR_BYTES))
}

/// Makes the first sector say that so many regions have a bit, as the kernel does whenever a mirror starts. What stands behind the header
/// is nobody's, and stays.
pub fn put_header(sector: &mut [u8; BLOCK_BYTES], regions: u64) {
    let raw = RawMirrorLog { magic: MAGIC.into(), version: VERSION.into(), nr_regions: regions.into() };
    for (byte, new) in sector.iter_mut().zip(raw.as_bytes()) {
        *byte = *new;
    }
}

/// The sector of bits that tells of regions from `first` on, of a mirror of so many `regions`. In `marked`, bit 0 of word 0 is region
/// `first`, and a set bit says that its legs may disagree: the other way round than on disk. A region that `marked` does not reach may
/// disagree; bits behind the last region are zero, as the kernel leaves them.
#[must_use]
pub fn bits(first: u64, regions: u64, marked: &[u64]) -> [u8; BLOCK_BYTES] {
    let mut sector = [0; BLOCK_BYTES];
    let words = marked.iter().flat_map(|word| word.to_le_bytes());
    for ((byte, marked), start) in sector.iter_mut().zip(words).zip((first..).step_by(8)) {
        let there = regions.saturating_sub(start).min(8);
        let there = u8::try_from((1_u16 << there).saturating_sub(1)).unwrap_or(u8::MAX);
        *byte = !marked & there;
    }
    sector
}
