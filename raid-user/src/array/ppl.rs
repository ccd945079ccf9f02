//! Partial parity, replayed when an array is opened: what Linux does at its start, but in memory. Who runs the array writes it.
//!
//! Which parity is made of what, and what stays in doubt, is `raid_core::replay`'s to say. Here bytes are read, put together, and laid over
//! the member that holds the parity.

use std::io;

use raid_core::replay::{How, Logged, Redo, redo};
use raid_core::reshape::Side;
use raid_core::{Extent, Member, SECTOR_BYTES, Sector, Sectors, StripeNo};
use raid_formats::assemble::Verdict;
use raid_formats::md::ppl::{Entry, Log};
use raid_formats::record::Sync;

use super::open::{Judged, LOG_BUFFER_BYTES};
use super::options::{OpenError, OpenOptions, Warning};
use super::runs::with_run;
use super::{Array, DirtyRows};
use crate::discover::{Found, MediaSource};
use crate::media::{Media as _, MediaMut as _};

/// Most that parity made anew may take: the entries of a log name at most 148 stripes, each of which costs a block of the overlay or two.
const OVERLAY_BYTES_MAX: u64 = 64 << 20;

/// What the logs of all members gave.
#[derive(Default)]
struct Replayed {
    /// Entries whose parity is right now, or kept as it was with nothing in doubt.
    entries: u64,
    /// Entries that are damaged, or of no write that this array can have had.
    damaged: u64,
    /// Rows whose parity stays in doubt.
    doubted: Vec<Extent>,
    /// A member's log has no sound header: nothing is known of the parity that it holds.
    blind: bool,
}

impl Array {
    /// Replays the members' logs, if there are any and the array was not stopped cleanly. What is in doubt after it; `None` if the logs do
    /// not close the write hole.
    ///
    /// As in Linux (`ppl_init_log`), they do only if something was replayed: an array whose first resync was cut before any write says
    /// the same as one whose parity agrees.
    pub(super) fn replay_ppl(
        &mut self,
        judged: &Judged,
        options: &OpenOptions,
    ) -> Result<Option<DirtyRows>, OpenError> {
        let Sync::DirtyFrom(from) = judged.lead().sync else { return Ok(None) };
        if self.layouts.is_reshaping() || judged.freshest().ppl().is_none() {
            return Ok(None);
        }
        let mut replayed = Replayed::default();
        for (found, verdict) in judged.both() {
            if let (Verdict::Current { slot, .. }, Some(log)) = (verdict, found.ppl()) {
                self.replay_member(found, *slot, &log, options, &mut replayed)?;
            }
        }
        if options.ignore_ppl {
            if replayed.entries > 0 {
                self.warnings.push(Warning::PplNotReplayed { entries: replayed.entries });
            }
            return Ok(None);
        }
        let Replayed { entries, damaged, doubted, blind } = replayed;
        if entries + damaged > 0 {
            self.warnings.push(Warning::PplReplayed { entries, damaged });
        }
        if entries == 0 || blind || from != Sector(0) {
            return Ok(None);
        }
        let degraded = self.slots.iter().any(Option::is_none);
        match (doubted.is_empty(), degraded) {
            (true, _) => return Ok(Some(DirtyRows::Nothing)),
            (false, false) => self.warnings.push(Warning::Dirty),
            (false, true) => {
                let (doubted, believed) = (Some(doubted.clone()), options.trust_dirty_parity);
                self.warnings.push(Warning::DirtyDegraded { doubted, believed });
            }
        }
        Ok(Some(if options.trust_dirty_parity { DirtyRows::Nothing } else { DirtyRows::Runs(doubted) }))
    }

    /// One member's log: its entries in their order.
    fn replay_member(
        &mut self,
        found: &Found,
        slot: u16,
        log: &Log,
        options: &OpenOptions,
        replayed: &mut Replayed,
    ) -> Result<(), OpenError> {
        let named = |reason: String| OpenError::Member { member: found.name().to_owned(), reason };
        let (mut entries, source) = (Vec::new(), MediaSource(found.media().as_ref()));
        let state = log.read(&source, &mut [0; LOG_BUFFER_BYTES], |entry| entries.push(entry));
        let state = state.map_err(|fault| named(fault.to_string()))?;
        replayed.blind |= state.newest_at.is_none();
        if options.ignore_ppl {
            replayed.entries += u64::from(state.entries);
            return Ok(());
        }
        let mut made: Vec<(Sector, Vec<u8>)> = Vec::new();
        for entry in &entries {
            let parity = u8::try_from(entry.parity).ok().filter(|parity| u16::from(*parity) == slot);
            let done = parity
                .filter(|_| entry.sound)
                .map(|parity| self.replay_entry(found, Member(parity), entry, &mut made, replayed));
            match done.transpose() {
                Ok(Some(true)) => replayed.entries += 1,
                Ok(Some(false) | None) => {
                    replayed.damaged += 1;
                    let rows = self.rows_of(entry);
                    replayed.doubted = rows.into_iter().fold(std::mem::take(&mut replayed.doubted), with_run);
                }
                Err(error) => return Err(named(error.to_string())),
            }
        }
        self.overlay(slot, &made).map_err(|error| named(error.to_string()))
    }

    /// False if the entry is of no write that this array can have had.
    fn replay_entry(
        &self,
        found: &Found,
        parity: Member,
        entry: &Entry,
        made: &mut Vec<(Sector, Vec<u8>)>,
        replayed: &mut Replayed,
    ) -> io::Result<bool> {
        let logged = Logged { at: entry.at, len: entry.len, partial: entry.partial.len, parity };
        let geometry = self.layouts.geometry(Side::Old);
        let mut row = Sectors::ZERO;
        loop {
            let step = match redo(geometry, self, &logged, row) {
                Ok(Some(step)) => step,
                Ok(None) => return Ok(true),
                Err(_) => return Ok(false),
            };
            let run = Extent { at: step.at, len: step.len };
            let medium_at = self.medium_sector(Side::Old, parity, step.at);
            match self.parity_of(found, entry, &step)? {
                Made::Right => {}
                Made::Bytes(bytes) => {
                    made.push((medium_at.unwrap_or(step.at), bytes));
                }
                Made::Doubted => replayed.doubted = with_run(std::mem::take(&mut replayed.doubted), run),
            }
            row = Sectors(row.0 + step.len.0);
        }
    }

    /// The parity of a step: partial parity and what the written members hold.
    fn parity_of(&self, found: &Found, entry: &Entry, step: &Redo) -> io::Result<Made> {
        let (written, partial) = match step.how {
            How::Keep => return Ok(Made::Right),
            How::Doubted => return Ok(Made::Doubted),
            How::Make { written, partial } => (written, partial),
        };
        let mut sum = vec![0; usize::try_from(step.len.0 * SECTOR_BYTES).unwrap_or(0)];
        if let Some(partial) = partial {
            found.media().read_at((entry.partial.at.0 + partial.0) * SECTOR_BYTES, &mut sum)?;
        }
        let mut bytes = vec![0; sum.len()];
        for member in written.iter() {
            let at = self.medium_sector(Side::Old, member, step.at).and_then(Sector::bytes);
            let slot = self.slots.get(usize::from(member.0)).and_then(Option::as_ref);
            let read = slot.zip(at).map(|(slot, at)| slot.media.read_at(at, &mut bytes));
            if !matches!(read, Some(Ok(()))) {
                return Ok(Made::Doubted);
            }
            sum.iter_mut().zip(&bytes).for_each(|(sum, byte)| *sum ^= byte);
        }
        Ok(Made::Bytes(sum))
    }

    /// The rows of the stripe that a damaged entry names, if the array has it.
    fn rows_of(&self, entry: &Entry) -> Option<Extent> {
        let geometry = self.layouts.geometry(Side::Old);
        let StripeNo(number) = geometry.map(entry.at)?.stripe;
        Some(Extent { at: geometry.stripe(StripeNo(number))?.at(), len: geometry.chunk() })
    }

    /// Lays what was made over the member that it belongs to.
    fn overlay(&mut self, slot: u16, made: &[(Sector, Vec<u8>)]) -> io::Result<()> {
        let Some(slot) = self.slots.get_mut(usize::from(slot)).and_then(Option::as_mut) else { return Ok(()) };
        if made.is_empty() {
            return Ok(());
        }
        let overlay = slot.lay_over(OVERLAY_BYTES_MAX);
        made.iter().try_for_each(|(at, bytes)| overlay.write_at(at.0 * SECTOR_BYTES, bytes))
    }
}

/// What became of a run of parity.
enum Made {
    /// It stays as it is.
    Right,
    /// It becomes this.
    Bytes(Vec<u8>),
    /// Nobody knows what it should be.
    Doubted,
}
