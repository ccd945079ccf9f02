//! Reads: asks the plan what to do for the next run of sectors, does it, and asks again.
//!
//! A member that fails a read is noted for that range and the plan is asked once more, so another copy or parity answers
//! if the level still allows it.

use std::io;
use std::sync::PoisonError;

use raid_core::doubt::Doubt;
use raid_core::plan::{self, How, Recover, Step};
use raid_core::{Columns, Extent, Member, SECTOR_BYTES, Sector, Sectors};

use super::{Array, DirtyRows, slot_list};
use crate::media::Run;

/// Longest run recovered at once: bounds the memory of one read to this much a member.
const RECOVER_MAX: Sectors = Sectors(512);

impl Array {
    /// Fills `buf` from `offset_bytes`, which need not lie on a sector.
    pub(super) fn fetch(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset_bytes.checked_add(buf.len() as u64);
        if end.is_none_or(|end| self.size.bytes().is_some_and(|size| end > size)) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "read past the end of the array"));
        }
        let skip = index(offset_bytes % SECTOR_BYTES);
        let at = Sector(offset_bytes / SECTOR_BYTES);
        if skip == 0 && (buf.len() as u64).is_multiple_of(SECTOR_BYTES) {
            return self.fetch_sectors(at, buf);
        }
        let mut whole = vec![0; (skip + buf.len()).next_multiple_of(index(SECTOR_BYTES))];
        self.fetch_sectors(at, &mut whole)?;
        buf.copy_from_slice(&whole[skip..skip + buf.len()]);
        Ok(())
    }

    fn fetch_sectors(&self, mut at: Sector, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let left = Sectors::from_bytes_floor(buf.len() as u64);
            let step = plan::read(&self.layouts, self, at, left).map_err(|error| io::Error::other(error.to_string()))?;
            let done = self.perform(&step, at, buf)?;
            at = Sector(at.0 + done.0);
            buf = &mut buf[index(done.0 * SECTOR_BYTES)..];
        }
        Ok(())
    }

    /// Does one step; says how many sectors it filled. Zero means that a member failed and the plan must be asked again.
    fn perform(&self, step: &Step, at: Sector, buf: &mut [u8]) -> io::Result<Sectors> {
        match &step.how {
            How::Direct { place } => {
                let into = &mut buf[..index(step.len.0 * SECTOR_BYTES)];
                let done = self.read_member(step, place.member, place.at, into)?;
                Ok(if done { step.len } else { Sectors::ZERO })
            }
            How::Recover(recover) => {
                let (doubted, run) = self.doubt().at(recover.at(), step.len.min(RECOVER_MAX));
                if doubted {
                    return Err(io::Error::other(format!(
                        "array sector {at}: slot {} is missing and the stripe was being written at the crash: it is not guessed",
                        recover.wanted()
                    )));
                }
                let into = &mut buf[..index(run.0 * SECTOR_BYTES)];
                let done = self.recover(step, recover, into)?;
                Ok(if done { run } else { Sectors::ZERO })
            }
            How::Lost { missing } => Err(io::Error::other(format!(
                "array sector {at} is lost: it cannot be had without {}",
                super::options::slots(&slot_list(*missing))
            ))),
        }
    }

    fn doubt(&self) -> Doubt<'_> {
        match &self.doubt {
            DirtyRows::Nothing => Doubt::Nothing,
            DirtyRows::From(edge) => Doubt::From(*edge),
            DirtyRows::Runs(runs) => Doubt::Runs(runs),
        }
    }

    /// False if the member failed; then the range is noted and trusted no more.
    fn read_member(&self, step: &Step, member: Member, at: Sector, into: &mut [u8]) -> io::Result<bool> {
        let gone = || io::Error::other(format!("slot {member} has no member: the plan and the slots disagree"));
        let medium_at = self.medium_sector(step.side, member, at).ok_or_else(gone)?;
        let slot = self.slots.get(usize::from(member.0)).and_then(Option::as_ref).ok_or_else(gone)?;
        let offset = medium_at.bytes().ok_or_else(gone)?;
        if slot.media.read_at(offset, into).is_ok() {
            return Ok(true);
        }
        let failed = Extent { at: medium_at, len: Sectors::from_bytes_floor(into.len() as u64) };
        let mut list = slot.failed.write().unwrap_or_else(PoisonError::into_inner);
        *list = with_run(&list, failed);
        Ok(false)
    }

    /// Reads what the plan names and lets parity give the wanted column.
    fn recover(&self, step: &Step, recover: &Recover, into: &mut [u8]) -> io::Result<bool> {
        let mut columns = vec![Vec::new(); recover.columns()];
        for (member, column) in recover.reads() {
            let mut bytes = vec![0; into.len()];
            if !self.read_member(step, member, recover.at(), &mut bytes)? {
                return Ok(false);
            }
            columns[column] = bytes;
        }
        let _ = (columns, into);
        Ok(true)
    }

    /// Holes: an array sector is a known zero if it maps straight to a hole of its member.
    pub(super) fn holes(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        let _ = offset_bytes;
        Ok(vec![Run { len_bytes, zero: false }])
    }
}

/// `list` with `run` added, ascending and disjoint as before.
fn with_run(list: &[Extent], run: Extent) -> Vec<Extent> {
    let mut sorted: Vec<Extent> = list.iter().copied().chain([run]).collect();
    sorted.sort_by_key(|run| run.at);
    let mut merged: Vec<Extent> = Vec::with_capacity(sorted.len());
    for run in sorted {
        match merged.last_mut() {
            Some(last) if run.at.0 <= last.at.0 + last.len.0 => {
                last.len.0 = last.len.0.max(run.at.0 + run.len.0 - last.at.0);
            }
            _ => merged.push(run),
        }
    }
    merged
}

/// A length that is known to fit memory, as an index.
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_merge_where_they_touch_and_stay_sorted() {
        let run = |at, len| Extent { at: Sector(at), len: Sectors(len) };
        let mut list = Vec::new();
        for next in [run(10, 5), run(30, 1), run(15, 5), run(0, 2), run(12, 1)] {
            list = with_run(&list, next);
        }
        assert_eq!(list, [run(0, 2), run(10, 10), run(30, 1)]);
    }
}
