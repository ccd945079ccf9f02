// SPDX-License-Identifier: GPL-2.0-only
//! The sets of DDF's records of a volume's disks, as they stand on them, and what is told to them.

use kernel::prelude::*;
use raid_core::geometry::Geometry;
use raid_core::{Columns, Member};
use raid_formats::container::Said;
use raid_formats::ddf::level::Levels;
use raid_formats::ddf::running::{self, Changes, Part, Telling};
use raid_formats::ddf::{BlockRoom, DiskChange, Guid, Kept, Metadata, Write};

use super::{Desk, Unwritten};
use crate::memory::zeroed;
use crate::shim;

/// Configuration records that a disk can get at once.
const ADOPTED_MAX: usize = 16;

/// What a disk holds, and room for what it will hold.
struct Set {
    bytes: KVVec<u8>,
    kept: Kept,
}

/// A volume of DDF.
pub(crate) struct DdfVolume {
    guid: Guid,
    levels: Levels,
    geometry: KBox<Geometry>,
    parts: KVVec<Option<Part>>,
    held: KVVec<Option<Set>>,
    /// What disks will hold, until all are told.
    next: KVVec<Option<Set>>,
    changed: KVVec<DiskChange>,
    block: KBox<BlockRoom>,
}

impl DdfVolume {
    /// A volume with so many slots. Who is in them comes by [`set`](Self::set).
    #[inline(never)]
    pub(crate) fn new(guid: Guid, levels: Levels, geometry: &Geometry, slots: usize) -> Result<Self> {
        let geometry = KBox::new(geometry.clone(), GFP_KERNEL)?;
        let (mut parts, mut held, mut next) = (KVVec::new(), KVVec::new(), KVVec::new());
        for _ in 0..slots {
            parts.push(None, GFP_KERNEL)?;
            held.push(None, GFP_KERNEL)?;
            next.push(None, GFP_KERNEL)?;
        }
        let changed = KVVec::with_capacity(slots, GFP_KERNEL)?;
        Ok(Self { guid, levels, geometry, parts, held, next, changed, block: zeroed()? })
    }

    /// Who is in a slot, as far as anybody knows, and what that disk holds.
    pub(crate) fn set(&mut self, slot: Member, part: Option<Part>, own: Option<&Metadata<'_>>) -> Result {
        let index = usize::from(slot.0);
        if let Some(place) = self.parts.get_mut(index) {
            *place = part;
        }
        let Some(metadata) = own else { return Ok(()) };
        for sets in [&mut self.held, &mut self.next] {
            let mut bytes = KVVec::with_capacity(metadata.emit().len(), GFP_KERNEL)?;
            bytes.extend_from_slice(metadata.emit(), GFP_KERNEL)?;
            if let Some(place) = sets.get_mut(index) {
                *place = Some(Set { bytes, kept: metadata.kept() });
            }
        }
        Ok(())
    }

    /// True if the disk with that reference is in a slot.
    pub(crate) fn has(&self, reference: u32) -> bool {
        self.parts.iter().flatten().any(|part| part.reference == reference)
    }

    /// Has `told` say it. Who could not be told; none if it cannot be said, and nothing was written.
    pub(super) fn say(&mut self, desk: &Desk<'_>, told: Columns, said: &Said) -> Option<Columns> {
        let Self { guid, levels, geometry, parts, held, next, changed, block } = self;
        let here = (0..=u8::MAX).map(Member).zip(&*held).filter(|(_, set)| set.is_some()).map(|(slot, _)| slot).collect();
        let telling = Telling { guid: *guid, levels, geometry, parts, here, said };
        let own = |member: Member| {
            let set = held.get(usize::from(member.0))?.as_ref()?;
            set.kept.of(&set.bytes)
        };
        let sets = || told.iter().filter_map(own);
        let Some(lead) = running::lead(sets()) else { return Some(Columns::EMPTY) };
        let volume = telling.volume(&lead).ok()?;
        changed.clear();
        for change in telling.disks(&lead, running::newest(sets())) {
            changed.push_within_capacity(change).ok()?;
        }
        let changes = Changes { volume, disks: changed, joined: &[], replaced: &[] };
        let mut failed = Columns::EMPTY;
        for member in told.iter() {
            let room = next.get_mut(usize::from(member.0)).and_then(Option::as_mut);
            let (Some(own), Some(room)) = (own(member), room) else { continue };
            let (mut adopted, mut count) = ([&[][..]; ADOPTED_MAX], 0);
            for record in telling.adopted(&own, running::newest(sets()), Some(member)) {
                *adopted.get_mut(count)? = record;
                count += 1;
            }
            let adopted = adopted.get(..count).unwrap_or_default();
            let put = |write: Write<'_>| desk.put(member, write);
            match changes.tell::<Unwritten>((&own, &lead), adopted, shim::now_s(), (&mut room.bytes, block), put) {
                Ok(after) => room.kept = after.kept(),
                Err(Unwritten::Refused | Unwritten::Failed) => {
                    failed.insert(member);
                }
            }
        }
        for member in told.difference(failed).iter() {
            let index = usize::from(member.0);
            if let (Some(held), Some(next)) = (held.get_mut(index), next.get_mut(index)) {
                core::mem::swap(held, next);
            }
        }
        Some(failed)
    }
}
