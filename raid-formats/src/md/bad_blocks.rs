//! The list of bad blocks of a 1.x member: sectors that could not be written and must not be read.
//!
//! Source: kernel `drivers/md/md.c`, `super_1_load`. An entry is a 64-bit number, the block above ten bits of length, both in
//! units of `1 << bblog_shift` sectors; all ones ends the list. Sectors count from the start of the medium, not of its data.

use crate::{
    md::{Fault, Superblock, fault, raw1::Features},
    source::Source,
};
use raid_core::{Extent, Sector, Sectors};

/// Most entries that Linux reads: a page of them.
pub const ENTRIES_MAX: usize = 512;

/// Bits of an entry that hold its length.
const LEN_BITS: u32 = 10;

/// Greatest `bblog_shift` with which every entry still is a 64-bit sector.
pub const SHIFT_MAX: u8 = 10;

/// The runs of bad sectors in `bytes`, up to the end mark.
pub fn entries(bytes: &[u8], shift: u8) -> impl Iterator<Item = Extent> {
    let shift = u32::from(shift.min(SHIFT_MAX));
    let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
    words.take_while(|word| *word != u64::MAX).map(move |word| {
        let len = word & ((1 << LEN_BITS) - 1);
        Extent { at: Sector((word >> LEN_BITS) << shift), len: Sectors(len << shift) }
    })
}

/// The entry for a run of sectors; `None` if it is longer than an entry can say, or not in whole blocks.
#[must_use]
pub fn entry_bytes(run: Extent, shift: u8) -> Option<[u8; 8]> {
    let unit = 1_u64.checked_shl(u32::from(shift)).filter(|_| shift <= SHIFT_MAX)?;
    let whole = run.at.0.is_multiple_of(unit) && run.len.0.is_multiple_of(unit);
    let (block, len) = (run.at.0 >> shift, run.len.0 >> shift);
    let fits = whole && len < 1 << LEN_BITS && block < 1 << (u64::BITS - LEN_BITS);
    fits.then(|| (block << LEN_BITS | len).to_le_bytes())
}

/// Reads the list of a member. Fills `out` from its start and returns how many entries there are, which may be more than fit.
///
/// # Errors
/// The medium's.
pub fn read_bad_blocks<S: Source>(
    source: &S,
    superblock: &Superblock,
    out: &mut [Extent],
) -> Result<usize, Fault<S::Error>> {
    let Superblock::V1(superblock) = superblock else { return Ok(0) };
    if !superblock.features().contains(Features::BAD_BLOCKS) {
        return Ok(0);
    }
    let Some(area) = superblock.bad_block_area()? else { return Ok(0) };
    let mut found: usize = 0;
    let mut sector = [0; 512];
    for index in 0..area.len.0 {
        let at = Sector(area.at.0.saturating_add(index));
        fault::read(source, at, &mut sector)?;
        let before = found;
        for run in entries(&sector, superblock.raw().head.bblog_shift) {
            if let Some(place) = out.get_mut(found) {
                *place = run;
            }
            found = found.saturating_add(1);
        }
        if found.saturating_sub(before) < sector.len() / 8 {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_as_it_was_written() {
        let run = Extent { at: Sector(3000), len: Sectors(100) };
        for shift in 0..=2 {
            let mut bytes = [0xFF; 24];
            bytes[..8].copy_from_slice(&entry_bytes(run, shift).unwrap());
            let mut read = entries(&bytes, shift);
            assert_eq!((read.next(), read.next()), (Some(run), None));
        }
    }

    #[test]
    fn what_an_entry_cannot_say_is_not_written() {
        let too_long = Extent { at: Sector(8), len: Sectors(1024) };
        assert_eq!(entry_bytes(too_long, 0), None);
        assert!(entry_bytes(too_long, 3).is_some());
        assert_eq!(entry_bytes(Extent { at: Sector(1), len: Sectors(2) }, 1), None);
        assert_eq!(entry_bytes(Extent { at: Sector(1 << 54), len: Sectors(1) }, 0), None);
        assert_eq!(entry_bytes(too_long, 200), None);
    }
}
