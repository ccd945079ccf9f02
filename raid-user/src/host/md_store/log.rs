//! A log that is not kept while the array runs: a partial parity log, a journal.
//!
//! As soon as anything is in doubt, the members' superblocks do not name it: whoever finds them after a crash resyncs, and refuses what is
//! degraded, as for an array that never had one. With partial parity named and not written, Linux would start a degraded array with
//! no more than a message (kernel `raid5.c`, `raid5_run`). When nothing is in doubt any more, they name it again: it is empty, and
//! Linux goes on with it.
//!
//! The journal's own superblock keeps naming it. It must not be older than the members' by more than one event where those name it, so it
//! is told first.

use std::sync::{Mutex, PoisonError};

use raid_formats::assemble::Verdict;
use raid_formats::md::raw1::Features;
use raid_formats::record::{Sync, WriteLog};

use super::disk::Disk;
use super::said::Said;
use crate::array::Judged;
use crate::media::SharedMediaMut;

/// The log of a running array.
pub(super) struct LaidDown {
    /// What the members say of it while it counts.
    pub(super) features: Features,
    /// The journal's member.
    journal: Option<Mutex<Disk>>,
}

impl LaidDown {
    /// What these members have, each with its medium in the same order; nothing if there is no log.
    pub(super) fn new(judged: &Judged, media: &[SharedMediaMut]) -> Option<Self> {
        let features = match judged.lead().log {
            WriteLog::None | WriteLog::Bitmap(_) => return None,
            WriteLog::Ppl { multiple: false, .. } => Features::PPL,
            WriteLog::Ppl { multiple: true, .. } => Features::MULTIPLE_PPLS,
            WriteLog::Journal { .. } => Features::JOURNAL,
        };
        let mut journals =
            judged.both().zip(media).filter(|((_, verdict), _)| matches!(verdict, Verdict::Journal { behind: 0 | 1 }));
        let journal = journals.find_map(|((found, _), media)| Disk::of(found, media).ok()).map(Mutex::new);
        Some(Self { features, journal })
    }

    /// Which log counts for members that say this. The journal says it before them; if it cannot, it never counts again.
    pub(super) fn counts(&self, said: &Said) -> Features {
        if said.sync != Sync::Clean {
            return Features::empty();
        }
        let Some(journal) = &self.journal else { return self.features };
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        let told = journal.tell(said, None, Some(self.features));
        journal.failed |= told.is_err();
        if told.is_ok() { self.features } else { Features::empty() }
    }
}
