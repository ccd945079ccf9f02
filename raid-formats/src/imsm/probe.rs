//! Looking for IMSM on a medium: the anchor in the last block but one, and what lies before it.
//!
//! Source: `mdadm`, `super-intel.c`, `load_imsm_mpb`: a record of more than one block has its first block as the anchor; the others lie,
//! in their order, right before it.

use super::{
    metadata::Metadata,
    raw::{HEADER_BYTES, Header, SIGNATURE},
    refusal::{Fault, Refusal},
};
use crate::{fault, md, source::Source};
use raid_core::{SECTOR_BYTES, Sector};
use zerocopy::FromBytes;

/// Blocks that are known. An image does not tell those of the drive that it was taken from: both are tried.
const BLOCK_BYTES: [u32; 2] = [512, 4096];
/// Longest record: more than the largest table of disks, two volumes with two maps each, and a full log of bad blocks need.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Blocks from the anchor to the end of the medium.
const ANCHOR_BLOCKS: u64 = 2;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes of a block.
    pub block_bytes: u32,
    /// Blocks of the medium.
    pub medium_blocks: u64,
    /// Bytes of the record, in whole blocks.
    pub len_bytes: usize,
}

impl Place {
    /// The place of a record of so many bytes; `None` if the medium is too small for it.
    #[must_use]
    pub fn new(block_bytes: u32, medium_blocks: u64, record_bytes: usize) -> Option<Self> {
        let block = usize::try_from(block_bytes).ok()?;
        let blocks = record_bytes.div_ceil(block.max(1)).max(1);
        let place = Self { block_bytes, medium_blocks, len_bytes: blocks.checked_mul(block)? };
        (place.blocks().checked_add(1)? < medium_blocks).then_some(place)
    }

    /// Blocks of the record.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        let bytes = u64::try_from(self.len_bytes).unwrap_or(u64::MAX);
        bytes.checked_div(self.block_bytes.into()).unwrap_or(0)
    }

    /// Sectors of a block.
    #[must_use]
    pub const fn block_sectors(&self) -> u64 {
        (self.block_bytes as u64) / SECTOR_BYTES
    }

    /// Where the record's block of that number lies: number 0 is the anchor.
    #[must_use]
    pub fn at(&self, number: u64) -> Sector {
        let from_end = match number {
            0 => ANCHOR_BLOCKS,
            _ => self.blocks().saturating_add(ANCHOR_BLOCKS).saturating_sub(number),
        };
        Sector(self.medium_blocks.saturating_sub(from_end).saturating_mul(self.block_sectors()))
    }

    /// The first sector that the record takes: data end before it.
    #[must_use]
    pub fn start(&self) -> Sector {
        if self.blocks() > 1 { self.at(1) } else { self.at(0) }
    }
}

/// Finds the anchor.
///
/// # Errors
/// [`Fault`] if there is none: of the place that looked most like one.
pub fn probe<S: Source>(source: &S) -> Result<Place, Fault<S::Error>> {
    let mut worst = None;
    for block_bytes in BLOCK_BYTES {
        match anchor(source, block_bytes) {
            Ok(place) => return Ok(place),
            Err(fault) if worst.as_ref().is_none_or(Fault::is_absence) => worst = Some(fault),
            Err(_) => {}
        }
    }
    let no_room = md::Refusal::MediumTooSmall { found: 0, expected: ANCHOR_BLOCKS };
    Err(worst.unwrap_or(Fault::Refused(Refusal::of("anchor", no_room))))
}

fn anchor<S: Source>(source: &S, block_bytes: u32) -> Result<Place, Fault<S::Error>> {
    let medium_blocks = source.size_bytes().checked_div(u64::from(block_bytes)).unwrap_or(0);
    let too_small = md::Refusal::MediumTooSmall {
        found: source.size_bytes() / SECTOR_BYTES,
        expected: (ANCHOR_BLOCKS + 1).saturating_mul(u64::from(block_bytes) / SECTOR_BYTES),
    };
    let too_small = Fault::Refused(Refusal::of("anchor", too_small));
    let Some(place) = Place::new(block_bytes, medium_blocks, HEADER_BYTES) else { return Err(too_small) };
    let mut bytes = [0; HEADER_BYTES];
    // Media whose blocks are larger are read in whole blocks by their host.
    fault::read(source, place.at(0), &mut bytes)?;
    let header = header(&bytes).map_err(Fault::Refused)?;
    let size = header.mpb_size.get();
    let len = usize::try_from(size).unwrap_or(usize::MAX);
    if !(HEADER_BYTES..=RECORD_BYTES_MAX).contains(&len) {
        let most = RECORD_BYTES_MAX as u64;
        let refusal = Refusal::range("anchor", ("mpb_size", 36), size.into(), HEADER_BYTES as u64, most);
        return Err(Fault::Refused(refusal));
    }
    Place::new(block_bytes, medium_blocks, len).ok_or(too_small)
}

/// The header, if that is what stands at the start of `bytes`.
pub(super) fn header(bytes: &[u8]) -> Result<&Header, Refusal> {
    let truncated = md::Refusal::Truncated { found: bytes.len(), expected: HEADER_BYTES };
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Refusal::of("anchor", truncated))?;
    if !header.sig.starts_with(SIGNATURE) {
        let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |first| u32::from_le_bytes(*first));
        let (found, expected) = (word(&header.sig), word(SIGNATURE));
        // Only the first four characters are told; where they are right, others are not.
        let refusal = md::Refusal::NoMagic { offset: 0, found, expected };
        return Err(Refusal::of("anchor", refusal));
    }
    Ok(header)
}

/// Reads the record at `place` into `buf`, of [`Place::len_bytes`].
///
/// # Errors
/// The medium fails, `buf` is too small, or the record is refused.
pub fn read<'b, S: Source>(source: &S, place: &Place, buf: &'b mut [u8]) -> Result<Metadata<'b>, Fault<S::Error>> {
    let (bytes, _) = fault::part(buf, place.len_bytes)?;
    let block = usize::try_from(place.block_bytes).unwrap_or(1).max(1);
    for (number, piece) in (0..).zip(bytes.chunks_mut(block)) {
        fault::read(source, place.at(number), piece)?;
    }
    Metadata::parse(bytes, place).map_err(Fault::Refused)
}
