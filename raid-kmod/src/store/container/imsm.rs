// SPDX-License-Identifier: GPL-2.0-only
//! The record of IMSM on a volume's disks, as it stands on them, and what is told to them.

use kernel::alloc::flags::GFP_NOWAIT;
use kernel::prelude::*;
use raid_core::{Columns, Member};
use raid_formats::container::Said;
use raid_formats::imsm::raw::WriteHole;
use raid_formats::imsm::running::{self, Telling};
use raid_formats::imsm::{self, Change, Metadata, Place, Refusal, RunningState, Serial, RECORD_BYTES_MAX};
use raid_formats::record::Uuid;

use super::{Desk, Unwritten};

/// What a disk holds.
struct Held {
    bytes: KVVec<u8>,
    place: Place,
}

/// A volume of IMSM.
pub(crate) struct ImsmVolume {
    array: Uuid,
    closed_by: Option<WriteHole>,
    serials: KVVec<Option<Serial>>,
    held: KVVec<Option<Held>>,
    next: KVVec<u8>,
    changes: KVVec<Change>,
}

impl ImsmVolume {
    /// A volume with so many slots. Who is in them comes by [`set`](Self::set).
    pub(crate) fn new(array: Uuid, closed_by: Option<WriteHole>, slots: usize) -> Result<Self> {
        let serials = KVVec::from_elem(None, slots, GFP_KERNEL)?;
        let mut held = KVVec::new();
        for _ in 0..slots {
            held.push(None, GFP_KERNEL)?;
        }
        let next = KVVec::from_elem(0, RECORD_BYTES_MAX, GFP_KERNEL)?;
        // For each disk that it fails, or joins, takes a slot and has a mark; for the volume what else there is.
        let changes = KVVec::with_capacity(slots * 3 + 4, GFP_KERNEL)?;
        Ok(Self { array, closed_by, serials, held, next, changes })
    }

    /// Who is in a slot, and what that disk holds.
    pub(crate) fn set(&mut self, slot: Member, serial: Serial, own: &Metadata<'_>) -> Result {
        let index = usize::from(slot.0);
        let mut bytes = KVVec::with_capacity(RECORD_BYTES_MAX, GFP_KERNEL)?;
        bytes.extend_from_slice(own.emit(), GFP_KERNEL)?;
        if let (Some(known), Some(held)) = (self.serials.get_mut(index), self.held.get_mut(index)) {
            (*known, *held) = (Some(serial), Some(Held { bytes, place: *own.place() }));
        }
        Ok(())
    }

    /// Has `told` say it. Who could not be told; none if it cannot be said, and nothing was written.
    pub(super) fn say(&mut self, desk: &Desk<'_>, told: Columns, said: &Said) -> Option<Columns> {
        let Self { array, closed_by, serials, held, next, changes } = self;
        let here = (0..=u8::MAX).map(Member).zip(&*held).filter(|(_, held)| held.is_some()).map(|(slot, _)| slot).collect();
        let telling = Telling { array: *array, serials, coming: &[], closed_by: *closed_by, here, said };
        let own = |member: Member| {
            let held = held.get(usize::from(member.0))?.as_ref()?;
            Metadata::parse(&held.bytes, &held.place).ok()
        };
        let Some(lead) = running::lead(told.iter().filter_map(own)) else { return Some(Columns::EMPTY) };
        changes.clear();
        let no_room = Refusal::NoEntry { what: "so many changes" };
        telling.changes(&lead, |change| changes.push_within_capacity(change).map_err(|_| no_room)).ok()?;
        let generation = lead.header().generation_num.get().saturating_add(1);
        let state = RunningState { generation, changes };
        let after = imsm::update::<Unwritten>(&lead, next, &state, |_| Ok(())).ok()?;
        let mut failed = Columns::EMPTY;
        for member in told.iter() {
            let Some(own) = own(member) else { continue };
            let blocks = own.place().medium_blocks;
            if imsm::carry::<Unwritten>(&after, blocks, Some(&own), |write| desk.put(member, write)).is_err() {
                failed.insert(member);
            }
        }
        for member in told.difference(failed).iter() {
            let Some(Some(held)) = held.get_mut(usize::from(member.0)) else { continue };
            let place = Place::new(held.place.block_bytes, held.place.medium_blocks, after.record().len());
            held.bytes.clear();
            // There is room for the longest, so this allocates nothing.
            match (place, held.bytes.extend_from_slice(after.emit(), GFP_NOWAIT)) {
                (Some(place), Ok(())) => held.place = place,
                _ => {
                    failed.insert(member);
                }
            }
        }
        Some(failed)
    }
}
