//! From judged members to what runs, for formats whose region log is one dirty flag.

use raid_core::health::Health;
use raid_core::region::RegionNo;
use raid_core::rows::{RowKind, RowNo, Rows};
use raid_formats::assemble::{Claimant as _, Verdict};
use raid_formats::md::Hindrance;

use super::assembled::{Assembled, Current};
use super::marks::Marks;
use super::replay::Replay;
use super::start::{Slot, Start, Store};
use super::start_error::{StartError, check_block, not_yet};
use crate::array::{Judged, OpenOptions};
use crate::media::SharedMediaMut;

/// Words of a page of the log, which has one bit.
const PAGE_WORDS: usize = 1;

/// An array that can be run.
pub(super) struct OneFlag {
    pub(super) rows: Rows,
    pub(super) health: Health,
    pub(super) slots: Vec<Slot>,
    /// Redundancy may not agree.
    pub(super) dirty: bool,
    /// A log that was replayed, and is still to be emptied.
    pub(super) replay: Option<Replay>,
    doubt: Vec<RegionNo>,
}

impl OneFlag {
    /// What runs of these members, each with its medium, in the same order.
    ///
    /// # Errors
    /// As opening, and what cannot be kept right while it is written to.
    pub(super) fn new(judged: &Judged, media: &[SharedMediaMut], options: &OpenOptions) -> Result<Self, StartError> {
        check_supported(judged, media)?;
        let replay = Replay::new(judged, media, options)?;
        let mut assembled = Assembled::new(judged, media, options)?;
        assembled.dirty &= !replay.as_ref().is_some_and(|replay| replay.closed);
        let health = assembled.health(Current::event)?;
        let slots = assembled.slots(judged.lead().data.at, |media| media);
        let Assembled { rows, dirty, .. } = assembled;
        // What the format cannot say may be so.
        let silent = judged.freshest().bios().is_some_and(|(kind, _)| !kind.says_dirty());
        let dirty = dirty || silent && rows.kind() != RowKind::Plain;
        let (doubt, _) = Marks::flag(&rows, dirty).judge(&rows, &health, dirty, options)?;
        Ok(Self { rows, health, slots, dirty, replay, doubt })
    }

    /// All that the host needs, with whoever writes it down.
    pub(super) fn start(self, store: Box<dyn Store>) -> Start {
        let Self { rows, health, slots, doubt, .. } = self;
        let (region_rows, log_page_words, marked, doubt_from) = (rows.count().max(1), PAGE_WORDS, Vec::new(), RowNo(0));
        Start { rows, health, slots, region_rows, log_page_words, doubt, marked, doubt_from, store }
    }
}

fn check_supported(judged: &Judged, media: &[SharedMediaMut]) -> Result<(), StartError> {
    let lead = judged.lead();
    if let Some(hindrance) = Hindrance::of_flag(lead) {
        return not_yet(hindrance);
    }
    for ((found, verdict), media) in judged.both().zip(media) {
        if !matches!(verdict, Verdict::Current { .. }) {
            continue;
        }
        check_block(media)?;
        if let Some(hindrance) = Hindrance::of_member(found.record(), !found.bad_blocks().is_empty()) {
            return not_yet(format!("{}: {hindrance}", found.name()));
        }
    }
    Ok(())
}
