//! Reads: asks the plan what to do for the next run of sectors, does it, and asks again.
//!
//! A member that fails a read is noted for that range and the plan is asked once more, so another copy or parity answers
//! if the level still allows it.

use std::io;
use std::sync::PoisonError;

use raid_core::geometry::Part;
use raid_core::parity::{Lost, Parity};
use raid_core::plan::{self, By, How, Recover, Step};
use raid_core::{Extent, Member, SECTOR_BYTES, Sector, Sectors};

use super::runs::with_run;
use super::{Array, Slot, slot_list};
use crate::media::{Run, Stored};

/// Longest run recovered at once: bounds the memory of one read to this much a member.
const RECOVER_MAX: Sectors = Sectors(512);

/// What a failed read is taken apart into: 4 KiB.
const BLOCK: Sectors = Sectors(8);

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
            let step =
                plan::read(&self.layouts, self, at, left).map_err(|error| io::Error::other(error.to_string()))?;
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
                let run = step.len.min(RECOVER_MAX);
                let done = self.recover(step, recover, &mut buf[..index(run.0 * SECTOR_BYTES)])?;
                Ok(if done { run } else { Sectors::ZERO })
            }
            How::Doubted(recover) => Err(io::Error::other(format!(
                "array sector {at}: slot {} cannot be read, and the stripe was being written when the array stopped: \
                 what parity gives is not guessed",
                recover.wanted
            ))),
            How::Lost { missing } => Err(io::Error::other(format!(
                "array sector {at} is lost: it cannot be had without {}",
                super::options::slots(&slot_list(*missing))
            ))),
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
        self.note_failures(slot, medium_at, into)?;
        Ok(false)
    }

    /// Finds out which blocks of a failed read fail, so that a bad sector does not cost its neighbours their trust.
    fn note_failures(&self, slot: &Slot, at: Sector, into: &mut [u8]) -> io::Result<()> {
        let mut failed = slot.failed.write().unwrap_or_else(PoisonError::into_inner);
        let mut list = std::mem::take(&mut *failed);
        let before = list.clone();
        let (mut at, mut rest) = (at, into);
        while !rest.is_empty() {
            // Blocks of the medium: a drive with 4096-byte sectors fails 4096 bytes at a time.
            let to_edge = BLOCK.0 - at.0 % BLOCK.0;
            let len = Sectors(to_edge.min(rest.len() as u64 / SECTOR_BYTES));
            let (block, next) = rest.split_at_mut(index(len.0 * SECTOR_BYTES));
            if slot.media.read_at(at.bytes().unwrap_or(u64::MAX), block).is_err() {
                list = with_run(list, Extent { at, len });
            }
            (at, rest) = (Sector(at.0 + len.0), next);
        }
        // All blocks read one by one: the whole may have failed for a moment, but to ask again for ever would not end.
        let settled = list != before;
        *failed = list;
        if settled { Ok(()) } else { Err(io::Error::other(format!("{}: reads fail and succeed by turns", slot.name))) }
    }

    /// Reads what the plan names and lets parity give the wanted column.
    fn recover(&self, step: &Step, recover: &Recover, into: &mut [u8]) -> io::Result<bool> {
        let broken = || io::Error::other("the plan of a recovery names a column that there is not");
        let stripe = &recover.stripe;
        let column = |member| stripe.column(member).ok_or_else(broken);
        let mut data = vec![Vec::new(); usize::from(stripe.columns())];
        let (mut p, mut q) = (Vec::new(), Vec::new());
        for (member, part) in recover.reads() {
            let mut bytes = vec![0; into.len()];
            if !self.read_member(step, member, recover.at, &mut bytes)? {
                return Ok(false);
            }
            match part {
                Part::P => p = bytes,
                Part::Q => q = bytes,
                Part::Data(_) => data[usize::from(column(member)?)] = bytes,
            }
        }
        let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let wanted = column(recover.wanted)?;
        let mut other = Vec::new();
        let (lost, p, q) = match recover.by {
            By::P => (Lost::One(wanted, into), Parity::Given(&p), Parity::Absent),
            By::Q => (Lost::One(wanted, into), Parity::Absent, Parity::Given(&q)),
            By::PAndQ { other: member } => {
                other.resize(into.len(), 0);
                (Lost::Two((wanted, into), (column(member)?, &mut other)), Parity::Given(&p), Parity::Given(&q))
            }
        };
        self.ops.recover(&data, lost, p, q).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(true)
    }

    /// Holes: sectors that lie straight on a hole of their member are known to be zero.
    pub(super) fn holes(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        let end = offset_bytes.saturating_add(len_bytes).min(self.size.bytes().unwrap_or(u64::MAX));
        let mut runs: Vec<Run> = Vec::new();
        let mut at = offset_bytes;
        while at < end {
            let left = Sectors((end - at).div_ceil(SECTOR_BYTES));
            let step = plan::read(&self.layouts, self, Sector(at / SECTOR_BYTES), left)
                .map_err(|error| io::Error::other(error.to_string()))?;
            let step_end = end.min((at / SECTOR_BYTES + step.len.0) * SECTOR_BYTES);
            let found = match step.how {
                How::Direct { place } => self.member_holes(&step, place.member, place.at, at, step_end)?,
                How::Recover(_) | How::Doubted(_) | How::Lost { .. } => {
                    vec![Run { len_bytes: step_end - at, zero: false }]
                }
            };
            for run in found {
                match runs.last_mut() {
                    Some(last) if last.zero == run.zero => last.len_bytes += run.len_bytes,
                    _ => runs.push(run),
                }
            }
            at = step_end;
        }
        Ok(runs)
    }

    /// Where a member that may be read has the bytes from `offset_bytes` on, up to where the plan has another answer.
    pub(super) fn straight(&self, offset_bytes: u64, len_bytes: u64) -> Option<Stored<'_>> {
        let skip = offset_bytes % SECTOR_BYTES;
        let sectors = Sectors(skip.checked_add(len_bytes)?.div_ceil(SECTOR_BYTES));
        let step = plan::read(&self.layouts, self, Sector(offset_bytes / SECTOR_BYTES), sectors).ok()?;
        let How::Direct { place } = step.how else { return None };
        let slot = self.slots.get(usize::from(place.member.0))?.as_ref()?;
        let start = self.medium_sector(step.side, place.member, place.at)?.bytes()?;
        slot.media.stored(start.checked_add(skip)?, len_bytes.min(step.len.bytes()? - skip))
    }

    fn member_holes(&self, step: &Step, member: Member, place: Sector, at: u64, end: u64) -> io::Result<Vec<Run>> {
        let slot = self.slots.get(usize::from(member.0)).and_then(Option::as_ref);
        let start = self.medium_sector(step.side, member, place).and_then(Sector::bytes);
        match (slot, start) {
            (Some(slot), Some(start)) => slot.media.allocation(start + at % SECTOR_BYTES, end - at),
            _ => Ok(vec![Run { len_bytes: end - at, zero: false }]),
        }
    }
}

/// A length that is known to fit memory, as an index.
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
