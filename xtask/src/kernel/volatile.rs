//! The cache of an emulated disk, and what of it is lost with the power.
//!
//! QEMU's `blklogwrites` notes each write and flush of the guest's, after it was done and before the guest hears of it (its format is
//! that of `drivers/md/dm-log-writes.c`: a sector for the log, then for each entry a sector and its data). What is noted before the
//! last flush is on the disk for good. Of each write after it, all may be lost, or nothing, or some of its sectors.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use super::dice::Dice;

const SECTOR: usize = 512;

/// What a log begins with, from its first flush on.
const MAGIC: u64 = 0x006a_7366_7773_6872;

/// Flags of an entry. There are no others that a disk of QEMU's makes, but for a discard, which our guests do not ask for.
const FLUSH: u64 = 1;

/// Sectors that were written, in the log's order.
struct Write<'a> {
    first: usize,
    data: &'a [u8],
}

/// What a log says.
struct Log<'a> {
    writes: Vec<Write<'a>>,
    /// How many of them are on the disk for good.
    durable: usize,
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl<'a> Log<'a> {
    /// Reads it as far as it goes. The host may have been killed while it noted something, with more behind it.
    fn parse(log: &'a [u8]) -> Result<Self> {
        let flushed = match number(log, 0) {
            None | Some(0) => 0,
            Some(MAGIC) => number(log, 16).context("half a log")?,
            Some(other) => anyhow::bail!("a log that begins with {other:#x}"),
        };
        let (mut writes, mut durable, mut at, mut entries) = (Vec::new(), 0, SECTOR, 0);
        while let (Some(first), Some(sectors), Some(flags)) =
            (number(log, at), number(log, at + 8), number(log, at + 16))
        {
            if flags == FLUSH {
                durable = writes.len();
            } else {
                ensure!(flags == 0, "a log with an entry of flags {flags:#x}");
                let bytes = usize::try_from(sectors)? * SECTOR;
                let Some(data) = log.get(at + SECTOR..at + SECTOR + bytes).filter(|data| !data.is_empty()) else {
                    break;
                };
                writes.push(Write { first: usize::try_from(first)?, data });
                at += bytes;
            }
            at += SECTOR;
            entries += 1;
        }
        // The last flush is behind what cannot be read: then all that can is there for good.
        if entries < flushed {
            durable = writes.len();
        }
        Ok(Self { writes, durable })
    }
}

/// Takes from `now`, a disk's content, some of what no flush came after, so that what was there before is there again; `before` is the
/// content that the log began with. Says how many writes could be lost.
fn lose_from(now: &mut [u8], before: &mut [u8], log: &Log<'_>, dice: &mut Dice) -> Result<usize> {
    let (durable, unsure) = log.writes.split_at(log.durable);
    let range = |write: &Write<'_>| write.first * SECTOR..write.first * SECTOR + write.data.len();
    for write in durable {
        before.get_mut(range(write)).context("a write past the end")?.copy_from_slice(write.data);
    }
    let mut lost = vec![false; now.len() / SECTOR];
    for write in unsure {
        let fate = dice.throw(4);
        let sectors = write.first..write.first + write.data.len() / SECTOR;
        for lost in lost.get_mut(sectors).context("a write past the end")? {
            *lost = match fate {
                0 => false,
                1 => dice.throw(2) == 0,
                _ => true,
            };
        }
    }
    let sectors = now.chunks_mut(SECTOR).zip(before.chunks(SECTOR)).zip(lost);
    for ((now, before), _) in sectors.filter(|(_, lost)| *lost) {
        now.copy_from_slice(before);
    }
    Ok(unsure.len())
}

/// Loses some of what was in the cache of the disk in `file`. Says how many writes were.
///
/// # Errors
/// If a file cannot be read or written, or the log is none.
pub(super) fn lose(before: &Path, log: &Path, file: &Path, dice: &mut Dice) -> Result<usize> {
    let (mut before, log, mut now) = (fs::read(before)?, fs::read(log)?, fs::read(file)?);
    let unsure = lose_from(&mut now, &mut before, &Log::parse(&log)?, dice)?;
    fs::write(file, now)?;
    Ok(unsure)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry: where, and a byte for each sector; a flush is of none.
    fn entry(first: u64, sectors: &[u8]) -> Vec<u8> {
        let flags = if sectors.is_empty() { FLUSH } else { 0 };
        let mut bytes: Vec<u8> =
            [first, sectors.len() as u64, flags].iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(SECTOR, 0);
        bytes.extend(sectors.iter().flat_map(|byte| [*byte; SECTOR]));
        bytes
    }

    fn log(flushed: u64, entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes: Vec<u8> = [MAGIC, 1, flushed].iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(SECTOR, 0);
        bytes.extend(entries.concat());
        bytes
    }

    /// What four sectors can hold after a cut, by the first byte of each.
    fn outcomes(log: &[u8], now: [u8; 4]) -> std::collections::BTreeSet<Vec<u8>> {
        let log = Log::parse(log).unwrap();
        let outcome = |seed| {
            let (mut now, mut before) = (now.map(|byte| [byte; SECTOR]).concat(), vec![0; 4 * SECTOR]);
            lose_from(&mut now, &mut before, &log, &mut Dice::new(seed)).unwrap();
            now.chunks(SECTOR).map(|sector| sector[0]).collect()
        };
        (0..200).map(outcome).collect()
    }

    #[test]
    fn what_was_flushed_stays_and_each_sector_after_it_may_be_lost() {
        let log = log(2, &[entry(0, &[1, 2]), entry(0, &[]), entry(1, &[3, 4])]);
        let all = [[1, 3, 4, 0], [1, 2, 4, 0], [1, 3, 0, 0], [1, 2, 0, 0]];
        assert_eq!(outcomes(&log, [1, 3, 4, 0]), all.iter().map(|bytes| bytes.to_vec()).collect());
    }

    #[test]
    fn nothing_is_lost_if_the_last_flush_is_behind_a_hole_in_the_log() {
        // The second entry was never noted to its end; the third is a flush.
        let mut log = log(3, &[entry(0, &[1]), entry(1, &[2]), entry(0, &[])]);
        log[3 * SECTOR..4 * SECTOR].fill(0);
        assert_eq!(outcomes(&log, [1, 2, 0, 0]), [vec![1, 2, 0, 0]].into());
    }

    #[test]
    fn a_log_that_was_never_flushed_has_no_beginning_yet() {
        let mut log = log(0, &[entry(3, &[9])]);
        log[..SECTOR].fill(0);
        assert_eq!(outcomes(&log, [0, 0, 0, 9]), [vec![0, 0, 0, 9], vec![0, 0, 0, 0]].into());
    }
}
