//! From judged members to what runs, for formats whose region log is one dirty flag.

use std::sync::Arc;

use raid_core::health::{Event, Health};
use raid_core::region::RegionNo;
use raid_core::reshape::Side;
use raid_core::rows::{ROW_SECTORS, RowKind, RowNo, Rows};
use raid_core::{Extent, Member, Sector, Sectors};
use raid_formats::assemble::{Claimant as _, Verdict};
use raid_formats::record::{Notes, Sync, WriteLog};

use super::start::{Slot, Start, Store};
use super::start_error::{StartError, check_block, not_yet};
use crate::array::{Judged, OpenOptions, judge_missing, missing};
use crate::discover::Found;
use crate::media::{SharedMedia, SharedMediaMut};

/// Words of a page of the log, which has one bit.
const PAGE_WORDS: usize = 1;

/// An array that can be run.
pub(super) struct OneFlag {
    pub(super) rows: Rows,
    pub(super) health: Health,
    pub(super) slots: Vec<Slot>,
    /// Redundancy may not agree.
    pub(super) dirty: bool,
}

impl OneFlag {
    /// What runs of these members, each with its medium, in the same order.
    ///
    /// # Errors
    /// As opening, and what cannot be kept right while it is written to.
    pub(super) fn new(judged: &Judged, media: &[SharedMediaMut], options: &OpenOptions) -> Result<Self, StartError> {
        check_supported(judged, media)?;
        let slots = judged.slots(&mut Vec::new())?;
        let layouts = judged.layouts(&slots, options)?;
        judge_missing(&layouts, missing(&slots), options, &mut Vec::new())?;
        let Some(rows) = Rows::new(layouts.geometry(Side::Old).clone()) else {
            return not_yet("RAID 10 in historic far sets");
        };
        let contradiction = |error: raid_core::health::HealthError| StartError::Contradiction(error.to_string());
        let mut health = Health::new(u16::try_from(slots.len()).unwrap_or(u16::MAX)).map_err(contradiction)?;
        let data_at = judged.lead().data.at;
        let mut slots = vec![Slot { media: None, data_at }; slots.len()];
        for ((found, verdict), media) in judged.both().zip(media) {
            let Verdict::Current { slot, mark, .. } = *verdict else { continue };
            let Some(place) = slots.get_mut(usize::from(slot)) else { continue };
            *place = Slot { media: Some(media.clone()), data_at: found.record().data.at };
            let event = mark.map_or(Event::Admit, |mark| Event::Rebuild { mark: Sector(mark.0) });
            let member = Member(u8::try_from(slot).unwrap_or(u8::MAX));
            health.apply(member, event).map_err(contradiction)?;
            health.set_write_mostly(member, found.record().write_mostly).map_err(contradiction)?;
        }
        let dirty = judged.lead().sync != Sync::Clean && rows.kind() != RowKind::Plain;
        let degraded = health.in_sync().len() < u32::from(health.members());
        if dirty && degraded && rows.kind() == RowKind::Parity && !options.trust_dirty_parity {
            let all = Extent { at: Sector(0), len: Sectors(rows.count().saturating_mul(ROW_SECTORS)) };
            return Err(StartError::DirtyDegraded(vec![all]));
        }
        Ok(Self { rows, health, slots, dirty })
    }

    /// All that the host needs, with whoever writes it down.
    pub(super) fn start(self, store: Box<dyn Store>) -> Start {
        let Self { rows, health, slots, dirty } = self;
        let degraded = health.in_sync().len() < u32::from(health.members());
        // Of a degraded array's parity nothing can be made anew: it was believed, or it is refused.
        let doubt = match dirty && !(degraded && rows.kind() == RowKind::Parity) && rows.count() > 0 {
            true => vec![RegionNo(0)],
            false => Vec::new(),
        };
        let (region_rows, log_page_words, marked, doubt_from) = (rows.count().max(1), PAGE_WORDS, Vec::new(), RowNo(0));
        Start { rows, health, slots, region_rows, log_page_words, doubt, marked, doubt_from, store }
    }
}

/// A member with its medium, opened for writing; read again, now that nobody else writes to it.
///
/// # Errors
/// It cannot be opened for writing, or is no member any more.
pub(super) fn open(found: &Found) -> Result<(Found, SharedMediaMut), StartError> {
    let spec = crate::media::MediaSpec::parse(std::ffi::OsStr::new(found.name()))?;
    let media = crate::media::open_mut(&spec)?.media;
    let shared: SharedMedia = Arc::<dyn crate::media::MediaMut>::clone(&media);
    Ok((found.again(shared).map_err(StartError::Gone)?, media))
}

fn check_supported(judged: &Judged, media: &[SharedMediaMut]) -> Result<(), StartError> {
    let lead = judged.lead();
    if lead.reshape.is_some() {
        return not_yet("writing in the middle of a reshape");
    }
    match lead.log {
        WriteLog::None => {}
        WriteLog::Ppl { .. } => return not_yet("a volume with a partial parity log, which would go stale"),
        WriteLog::Bitmap(_) => return not_yet("a volume with a bitmap, which would go stale"),
        WriteLog::Journal { .. } => return not_yet("an array with a journal, which would go stale"),
    }
    for ((found, verdict), media) in judged.both().zip(media) {
        if !matches!(verdict, Verdict::Current { .. }) {
            continue;
        }
        check_block(media)?;
        if found.record().notes.contains(Notes::UNKNOWN_WRITE_LOG) {
            return not_yet(format!("{}: writes are logged in a form that is not known", found.name()));
        }
        if found.record().bad_blocks.is_some() || !found.bad_blocks().is_empty() {
            return not_yet(format!("{}: a list of bad blocks with entries", found.name()));
        }
    }
    Ok(())
}
