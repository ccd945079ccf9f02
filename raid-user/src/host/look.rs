//! An array that runs to be looked at: its members are opened for reading, and nothing is written to them.
//!
//! Any format that can be read can be looked at. What was replayed of a journal or of partial parity lies over the members in memory, and
//! counts. What is in doubt after a crash is told from what is wrong.

use std::io;

use raid_core::health::Health;
use raid_core::members::Away;
use raid_core::region::RegionNo;
use raid_core::reshape::Side;
use raid_core::rows::{ROW_SECTORS, RowNo, Rows};
use raid_core::{Extent, Member, SECTOR_BYTES, Sector};

use raid_formats::assemble::admission;

use super::assembled::health;
use super::start::{Slot, Start, Stopped, Store};
use super::{Running, Tuning};
use crate::array::{Array, OpenError, OpenOptions, Part, Warning};
use crate::discover::Found;
use crate::media::{Media, MediaId, MediaMut, Run, SharedMedia, SharedMediaMut};

/// Regions at most, to tell rows in doubt from others.
const REGIONS_MAX: u64 = 1 << 20;

/// Why an array is not looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It can be read, but its redundancy is not laid out in rows that could be compared.
    #[error("{0}: not yet")]
    NotYet(&'static str),
    /// No memory, or no threads.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs the array of these members to be looked at. It takes no write, and puts nothing in order. With what a reader should know.
///
/// # Errors
/// [`LookError`].
pub fn look(found: Vec<Found>, options: &OpenOptions) -> Result<(Running, Vec<Warning>), LookError> {
    // Where a mirror's leg does not count, its rows are in doubt; for readers it is bad there.
    let (found, legs): (Vec<Found>, Vec<Vec<Extent>>) = found.into_iter().map(Found::take_doubted).unzip();
    let (array, mut doubt) = Array::open_with_doubt(found, &OpenOptions { partial: false, ..options.clone() })?;
    doubt.extend(legs.concat());
    if array.layouts().is_reshaping() {
        return Err(LookError::NotYet("an array in the middle of a reshape"));
    }
    let rows = Rows::new(array.layouts().geometry(Side::Old).clone());
    let rows = rows.ok_or(LookError::NotYet("RAID 10 in historic far sets"))?;
    let parts: Vec<Option<Part>> = array.parts().collect();
    let admitted = |part: &Part| (admission(part.mark), part.write_mostly);
    let health = health(parts.iter().map(|part| part.as_ref().map(admitted))).map_err(io::Error::other)?;
    let (region_rows, doubt) = regions(&doubt, rows.count());
    let slot = |part: Option<Part>| match part {
        Some(part) => Slot { data_at: part.data_at, media: Some(ReadOnly::shared(part)) },
        None => Slot { data_at: Sector(0), media: None },
    };
    let start = Start {
        rows,
        health,
        slots: parts.into_iter().map(slot).collect(),
        region_rows,
        log_page_words: 1,
        doubt,
        marked: Vec::new(),
        doubt_from: RowNo(0),
        store: Box::new(Nothing),
    };
    // Nothing is begun that writes, and nobody is thrown out for read errors: that would have to be written down.
    let tuning = Tuning { heals: false, read_errors_max: u32::MAX, ..Tuning::default() };
    Ok((Running::start(start, &tuning)?, array.warnings().to_vec()))
}

/// Regions of a size that tells rows in doubt from their neighbours, and those of them in doubt.
fn regions(doubt: &[Extent], rows: u64) -> (u64, Vec<RegionNo>) {
    let runs: Vec<(u64, u64)> = doubt
        .iter()
        .map(|run| (run.at.0 / ROW_SECTORS, run.end().map_or(rows, |end| end.0.div_ceil(ROW_SECTORS)).min(rows)))
        .filter(|(from, to)| from < to)
        .collect();
    let edges = runs.iter().flat_map(|(from, to)| [*from, *to]).filter(|edge| *edge < rows);
    let exact = match edges.fold(0, greatest_common_divisor) {
        0 => rows,
        step => step,
    };
    let region_rows = exact.max(rows.div_ceil(REGIONS_MAX)).max(1);
    let doubted = |(from, to): (u64, u64)| (from / region_rows)..to.div_ceil(region_rows);
    let mut doubted: Vec<RegionNo> = runs.into_iter().flat_map(doubted).map(RegionNo).collect();
    doubted.sort_unstable();
    doubted.dedup();
    (region_rows, doubted)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A medium that was opened for reading, where the host wants one that can be written to. It cannot.
struct ReadOnly {
    media: SharedMedia,
    bad: Vec<Extent>,
}

impl ReadOnly {
    fn shared(part: Part) -> SharedMediaMut {
        std::sync::Arc::new(Self { media: part.media, bad: part.bad })
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "opened to be looked at, not to be written to")
}

impl Media for ReadOnly {
    fn size_bytes(&self) -> u64 {
        self.media.size_bytes()
    }

    fn block_bytes(&self) -> u32 {
        self.media.block_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset_bytes.saturating_add(buf.len() as u64);
        let bytes = |sector: u64| sector.saturating_mul(SECTOR_BYTES);
        let touches = |run: &Extent| bytes(run.at.0) < end && offset_bytes < bytes(run.at.0.saturating_add(run.len.0));
        if self.bad.iter().any(touches) {
            return Err(io::Error::other(format!("{}: listed as bad at {offset_bytes}", self.describe())));
        }
        self.media.read_at(offset_bytes, buf)
    }

    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        self.media.allocation(offset_bytes, len_bytes)
    }

    fn describe(&self) -> String {
        self.media.describe()
    }

    fn identity(&self) -> Option<MediaId> {
        self.media.identity()
    }
}

impl MediaMut for ReadOnly {
    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(refused())
    }

    fn flush(&self) -> io::Result<()> {
        Err(refused())
    }

    fn write_zeroes(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        Err(refused())
    }

    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        Err(refused())
    }
}

/// Writes nothing down.
struct Nothing;

impl Store for Nothing {
    fn write_log(&self, _: Member, _: u32, _: &[u64]) -> io::Result<()> {
        Err(refused())
    }

    fn write_health(&self, _: Member, _: &Health) -> io::Result<()> {
        Err(refused())
    }

    fn admit(&self, _: Member, _: SharedMediaMut) -> io::Result<Slot> {
        Err(refused())
    }

    fn readmit(&self, _: Member, _: SharedMediaMut) -> io::Result<(Slot, Away)> {
        Err(refused())
    }

    fn release(&self, _: Member) -> bool {
        false
    }

    fn stop(&self, _: &Health, _: Stopped) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use raid_core::Sectors;

    use super::*;

    #[test]
    fn regions_tell_rows_in_doubt_from_their_neighbours() {
        let run = |at, len| Extent { at: Sector(at), len: Sectors(len) };
        assert_eq!(regions(&[], 100), (100, vec![]));
        assert_eq!(regions(&[run(0, u64::MAX)], 100), (100, vec![RegionNo(0)]));
        // Rows 16..32 and 48..64 of 100.
        let (rows, found) = regions(&[run(128, 128), run(384, 128)], 100);
        assert_eq!((rows, found), (16, vec![RegionNo(1), RegionNo(3)]));
        // A run that ends inside of a row has the row; one that reaches past the end, the last region.
        assert_eq!(regions(&[run(8, 9)], 100), (1, vec![RegionNo(1), RegionNo(2)]));
        assert_eq!(regions(&[run(720, 8000)], 100), (90, vec![RegionNo(1)]));
        // More regions than there may be: larger ones, and a neighbour is doubted too.
        let (rows, found) = regions(&[run(8, 8)], REGIONS_MAX * 4);
        assert_eq!((rows, found), (4, vec![RegionNo(0)]));
    }
}
