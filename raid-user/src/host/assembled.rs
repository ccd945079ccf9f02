//! From judged members to what runs, as far as all formats have it in common.

use std::sync::Arc;

use raid_core::health::{Event, Health, HealthError};
use raid_core::reshape::Side;
use raid_core::rows::{RowKind, Rows};
use raid_core::{Member, Sector, Sectors};
use raid_formats::assemble::{Claimant as _, Verdict, admission};
use raid_formats::record::Sync;

use super::start::Slot;
use super::start_error::{StartError, not_yet};
use crate::array::{Judged, OpenOptions, judge_missing, missing};
use crate::discover::Found;
use crate::media::{MediaSpec, SharedMedia, SharedMediaMut, open_mut};

/// A member with its medium, opened for writing; read again, now that nobody else writes to it.
///
/// # Errors
/// It cannot be opened for writing, or is no member any more.
pub(super) fn open(found: &Found) -> Result<(Found, SharedMediaMut), StartError> {
    let spec = MediaSpec::parse(std::ffi::OsStr::new(found.name()))?;
    let media = open_mut(&spec)?.media;
    let shared: SharedMedia = Arc::<dyn crate::media::MediaMut>::clone(&media);
    Ok((found.again(shared).map_err(StartError::Gone)?, media))
}

/// A current member in its slot.
#[derive(Clone)]
pub(super) struct Current<'a, T> {
    pub(super) found: &'a Found,
    /// How far it holds what it should; `None` if it is in sync.
    pub(super) mark: Option<Sectors>,
    /// What it came with: its medium, or more.
    pub(super) with: T,
}

impl<T> Current<'_, T> {
    /// How it takes its slot, where nothing says that a bitmap tells what it lacks.
    pub(super) fn event(&self) -> Event {
        admission(self.mark)
    }
}

/// An array's rows, with who is in each slot.
pub(super) struct Assembled<'a, T> {
    pub(super) rows: Rows,
    pub(super) slots: Vec<Option<Current<'a, T>>>,
    /// Redundancy may not agree.
    pub(super) dirty: bool,
}

impl<'a, T> Assembled<'a, T> {
    /// What runs of the judged members; `with` is what each came with, in the same order.
    ///
    /// # Errors
    /// As opening; a layout that is not made of rows.
    pub(super) fn new(
        judged: &'a Judged,
        with: impl IntoIterator<Item = T>,
        options: &OpenOptions,
    ) -> Result<Self, StartError> {
        let members = judged.slots(&mut Vec::new())?;
        let layouts = judged.layouts(&members, options)?;
        judge_missing(&layouts, missing(&members), options, &mut Vec::new())?;
        let Some(rows) = Rows::new(layouts.geometry(Side::Old).clone()) else {
            return not_yet("RAID 10 in historic far sets");
        };
        let mut slots: Vec<Option<Current<'_, T>>> = members.iter().map(|_| None).collect();
        for ((found, verdict), with) in judged.both().zip(with) {
            if let Verdict::Current { slot, mark, .. } = *verdict
                && let Some(place) = slots.get_mut(usize::from(slot))
            {
                *place = Some(Current { found, mark, with });
            }
        }
        let dirty = judged.lead().sync != Sync::Clean && rows.kind() != RowKind::Plain;
        Ok(Self { rows, slots, dirty })
    }

    /// The members' states; `event` says how each takes its slot.
    ///
    /// # Errors
    /// States that cannot be.
    pub(super) fn health(&self, event: impl Fn(&Current<'a, T>) -> Event) -> Result<Health, HealthError> {
        let one = |current: &Current<'a, T>| (event(current), current.found.record().write_mostly);
        health(self.slots.iter().map(|slot| slot.as_ref().map(one)))
    }

    /// The slots for the host; `media` says where a member's data are, and `vacant` where they begin on one that nobody is in.
    pub(super) fn slots(&self, vacant: Sector, media: impl Fn(&T) -> &SharedMediaMut) -> Vec<Slot> {
        let slot = |current: &Option<Current<'a, T>>| match current {
            Some(Current { found, with, .. }) => {
                Slot { media: Some(media(with).clone()), data_at: found.record().data.at }
            }
            None => Slot { media: None, data_at: vacant },
        };
        self.slots.iter().map(slot).collect()
    }
}

/// The states of members: for each slot how its member takes it and whether it is write-mostly, or nothing if it is missing.
///
/// # Errors
/// States that cannot be.
pub(super) fn health(slots: impl ExactSizeIterator<Item = Option<(Event, bool)>>) -> Result<Health, HealthError> {
    let mut health = Health::new(u16::try_from(slots.len()).unwrap_or(u16::MAX))?;
    for (member, slot) in (0..=u8::MAX).map(Member).zip(slots) {
        let Some((event, write_mostly)) = slot else { continue };
        health.apply(member, event)?;
        health.set_write_mostly(member, write_mostly)?;
    }
    Ok(health)
}
