//! A log's last words, written to the members before the array runs without it: what Linux does at its start.
//!
//! What is to be written was made in memory, as for reading ([`crate::array`]). Here it goes to the members where it differs, and is
//! durable before anything else is written. A cut at any moment leaves a log that says the same once more, and a replay that makes the
//! same of it: it reads the log and what it does not write. The one exception, a journal's data without parity in a stripe whose other
//! data redundancy alone has, is not begun.
//!
//! After that the log is emptied, when nothing is in doubt any more only once the members say so ([`Replay::end`]): else an array with a
//! member missing would have neither a log nor a word that it is in order.

use std::io;
use std::sync::Arc;

use raid_core::{Extent, SECTOR_BYTES, Sector};
use raid_formats::assemble::Verdict;
use raid_formats::md::{self, journal::BLOCK_BYTES, ppl};
use raid_formats::record::{Sync, WriteLog};
use zerocopy::IntoBytes as _;

use super::start_error::{StartError, not_yet};
use crate::array::{Array, Judged, OpenOptions, Replayed};
use crate::discover::Found;
use crate::media::{MediaMut as _, SharedMediaMut};

/// Zeros that are written at once.
const ZEROS_BYTES: u64 = 64 << 10;

/// An array that has a log, with all that the log knew on its members.
pub(super) struct Replay {
    /// The array was dirty, and the log closed that: nothing is in doubt.
    pub(super) closed: bool,
    logs: Vec<(SharedMediaMut, Log)>,
}

/// What a log is emptied by.
enum Log {
    Ppl(ppl::Log),
    /// A journal that begins there.
    Journal(Sector),
}

impl Replay {
    /// Writes what the log of this array has to its members, each with its medium in the same order. Nothing is done for one without a log.
    ///
    /// # Errors
    /// Nobody said that the array is to run without its log; it cannot be replayed; it leaves in doubt what a missing member held. Then
    /// nothing was written. Or a medium's error: the log still says what it said.
    pub(super) fn new(
        judged: &Judged,
        media: &[SharedMediaMut],
        options: &OpenOptions,
    ) -> Result<Option<Self>, StartError> {
        let name = match judged.lead().log {
            WriteLog::None | WriteLog::Bitmap(_) => return Ok(None),
            WriteLog::Ppl { .. } => "partial parity log",
            WriteLog::Journal { .. } => "journal",
        };
        if judged.lead().reshape.is_some() {
            return not_yet("writing in the middle of a reshape");
        }
        if !options.without_log {
            return Err(StartError::LogNotKept(name));
        }
        let journal = matches!(judged.lead().log, WriteLog::Journal { .. });
        if journal && (options.ignore_journal || judged.journal().is_none()) {
            return not_yet("running an array whose journal is not here, or not to be replayed");
        }
        // What is in doubt is asked here, and not what a reader would be told of it.
        let replayed =
            Array::of(judged, &OpenOptions { trust_dirty_parity: false, ..options.clone() })?.into_replayed();
        check(&replayed, options)?;
        let closed = judged.lead().sync != Sync::Clean && replayed.doubt.is_empty();
        let both = || judged.both().zip(media);
        for ((found, verdict), media) in both() {
            let Verdict::Current { slot, .. } = verdict else { continue };
            let Some(Some(over)) = replayed.over.get(usize::from(*slot)) else { continue };
            let written = over.changes(|at, bytes| media.write_at(at, bytes));
            written.and_then(|()| media.flush()).map_err(|error| failed(found, &error))?;
        }
        let log = |((found, verdict), media): ((&Found, &Verdict), &SharedMediaMut)| {
            let log = match verdict {
                Verdict::Current { .. } => found.ppl().map(Log::Ppl),
                Verdict::Journal { behind: 0 | 1 } => begins(found).map(Log::Journal),
                _ => None,
            };
            log.map(|log| (Arc::clone(media), log))
        };
        Ok(Some(Self { closed, logs: both().filter_map(log).collect() }))
    }

    /// The replay is through: `settle` has the members say that nothing is in doubt, if that is so, and the log is emptied.
    ///
    /// # Errors
    /// Those of `settle`; a medium's.
    pub(super) fn end(&self, settle: impl FnOnce() -> io::Result<()>) -> Result<(), StartError> {
        if self.closed {
            settle().map_err(|error| StartError::Replay(error.to_string()))?;
        }
        self.empty()
    }

    /// What the log said must not be done again to what is written from now on.
    fn empty(&self) -> Result<(), StartError> {
        for (media, log) in &self.logs {
            let emptied = match log {
                Log::Ppl(log) => empty_ppl(media, log),
                Log::Journal(at) => {
                    media.write_at(at.0.saturating_mul(SECTOR_BYTES), &[0; BLOCK_BYTES]).and_then(|()| media.flush())
                }
            };
            emptied.map_err(|error| StartError::Replay(format!("{}: emptying its log: {error}", media.describe())))?;
        }
        Ok(())
    }
}

/// What keeps a replay from being written.
fn check(replayed: &Replayed, options: &OpenOptions) -> Result<(), StartError> {
    if let Some(name) = &replayed.torn {
        return not_yet(format!("{name}: cannot be read where its log is to be replayed; replaying onto the others"));
    }
    if replayed.guessed {
        return not_yet("replaying data without parity, in stripes of which a missing member held other data");
    }
    if !replayed.missing.is_empty() && !replayed.doubt.is_empty() && !options.trust_dirty_parity {
        return Err(StartError::DirtyDegraded(replayed.doubt.clone()));
    }
    Ok(())
}

fn failed(found: &Found, error: &io::Error) -> StartError {
    StartError::Replay(format!("{}: replaying the log: {error}; the log still has what is to be written", found.name()))
}

fn begins(found: &Found) -> Option<Sector> {
    md::journal_begins(&found.superblock()?.ok()?).ok().flatten()
}

/// As Linux does at a start (`ppl_write_empty_header`): zeros, so that no older header counts behind the new one, then that.
fn empty_ppl(media: &SharedMediaMut, log: &ppl::Log) -> io::Result<()> {
    let Extent { at, len } = log.area;
    let (start, end) = (at.0.saturating_mul(SECTOR_BYTES), at.0.saturating_add(len.0).saturating_mul(SECTOR_BYTES));
    let zeros = vec![0; usize::try_from(ZEROS_BYTES).unwrap_or(0)];
    let mut here = start;
    while here < end {
        let step = ZEROS_BYTES.min(end.saturating_sub(here));
        media.write_at(here, zeros.get(..usize::try_from(step).unwrap_or(0)).unwrap_or_default())?;
        here = here.saturating_add(step);
    }
    media.flush()?;
    media.write_at(start, ppl::empty(log.signature).as_bytes())?;
    media.flush()
}
