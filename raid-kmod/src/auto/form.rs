// SPDX-License-Identifier: GPL-2.0-only
//! How an array that was found is written down: by the format that it was found by.

use kernel::prelude::*;
use raid_core::health::Health;
use raid_core::rows::Rows;
use raid_core::{Member, Sector};
use raid_formats::assemble::{Claimant as _, Verdict};
use raid_formats::claim::Claim;
use raid_formats::container;
use raid_formats::ddf::running::Part;
use raid_formats::imsm::raw::WriteHole;
use raid_formats::md::{self, Hindrance, Said};
use raid_formats::record::{Sync, WriteLog};
use raid_formats::{ddf, imsm};

use super::marks::Marks;
use super::{members, Fault};
use crate::clerks::PAGE;
use crate::memory::zeroed;
use crate::store::{Container, DdfVolume, Form, ImsmVolume, Md, Place, Volume};

/// What is to be written down of an array, and on whom.
pub(super) struct Told<'c, 'b> {
    pub(super) claims: &'c [Claim<'b>],
    pub(super) verdicts: &'c [Verdict],
    pub(super) freshest: &'c Claim<'b>,
    pub(super) health: Health,
    /// How redundancy is, where there is any.
    pub(super) sync: Sync,
}

impl<'b> Told<'_, 'b> {
    pub(super) fn form<'a>(&self, marks: Marks, rows: &Rows) -> Result<Form, Fault<'a>> {
        match self.freshest {
            Claim::Md(..) => {
                let Marks { bits, image, .. } = marks;
                Ok(Form::Md(Md::new(self.said()?, bits, image, self.places()?).map_err(|_| Fault::Memory)?))
            }
            Claim::Ddf(volume) => self.container(Volume::Ddf(self.ddf(volume, rows)?)),
            Claim::Imsm(part) => self.container(Volume::Imsm(self.imsm(part.volume())?)),
            Claim::Bios(member) => Err(Fault::Hindrance(Hindrance::Format(member.record().format))),
        }
    }

    #[inline(never)]
    fn container<'a>(&self, volume: Volume) -> Result<Form, Fault<'a>> {
        let said = container::Said { health: self.health, dirty: self.sync != Sync::Clean };
        Container::new(said, volume).map(Form::Container).map_err(|_| Fault::Memory)
    }

    #[inline(never)]
    fn ddf<'a>(&self, lead: &ddf::Volume<'_>, rows: &Rows) -> Result<DdfVolume, Fault<'a>> {
        let memory = |_| Fault::Memory;
        let slots = self.health.members();
        let mut volume =
            DdfVolume::new(lead.guid(), *lead.levels(), rows.geometry(), slots.into()).map_err(memory)?;
        let tables = || self.claims.iter().filter_map(|claim| claim.ddf());
        for slot in (0..slots).filter_map(|slot| u8::try_from(slot).ok()).map(Member) {
            let own = members(self.claims, self.verdicts).find(|(_, own, ..)| *own == slot).map(|(.., claim)| claim);
            let told = || tables().find_map(|table| table.member(slot.0.into()));
            let part = Part::of(own.map(|claim| claim.record()), told);
            volume.set(slot, part, own.and_then(Claim::ddf).map(ddf::Volume::metadata)).map_err(memory)?;
        }
        match lead.away(|reference| volume.has(reference)) {
            Some(away) => Err(Fault::Away(away)),
            None => Ok(volume),
        }
    }

    #[inline(never)]
    fn imsm<'a>(&self, lead: &imsm::Volume<'_>) -> Result<ImsmVolume, Fault<'a>> {
        let memory = |_| Fault::Memory;
        if let Some(away) = lead.away(|_| false) {
            return Err(Fault::Away(away));
        }
        let closed_by = WriteHole::of(lead.raw().head.rwh_policy);
        let mut volume =
            ImsmVolume::new(lead.record().array, closed_by, self.health.members().into()).map_err(memory)?;
        for (_, slot, _, claim) in members(self.claims, self.verdicts) {
            if let Some(part) = claim.imsm() {
                volume.set(slot, claim.record().member.0, part.volume().metadata()).map_err(memory)?;
            }
        }
        Ok(volume)
    }

    #[inline(never)]
    fn said<'a>(&self) -> Result<KBox<Said>, Fault<'a>> {
        let Self { claims, verdicts, freshest, health, sync } = *self;
        let present = |slot: u16| {
            let mut all = members(claims, verdicts);
            all.find(|(_, own, ..)| u16::from(own.0) == slot).map(|(.., claim)| claim.record().number)
        };
        let (events, numbers, slots) = (freshest.record().events, md::NOBODY, health.members());
        let mut said = KBox::new(Said { events, health, sync, numbers }, GFP_KERNEL)?;
        md::number(&mut said.numbers, (slots, slots), freshest, present);
        Ok(said)
    }

    /// For each slot.
    fn places<'a>(&self) -> Result<KVVec<Option<Place>>, Fault<'a>> {
        let slots = self.health.members();
        let mut places = KVVec::with_capacity(slots.into(), GFP_KERNEL)?;
        for _ in 0..slots {
            places.push(None, GFP_KERNEL)?;
        }
        for (_, slot, _, claim) in members(self.claims, self.verdicts) {
            let (Claim::Md(superblock, version, record), Some(place)) = (claim, places.get_mut(usize::from(slot.0)))
            else {
                continue;
            };
            let bitmap_at = match record.log {
                WriteLog::Bitmap(at) => at,
                _ => Sector(0),
            };
            let mut block = zeroed::<[u8; PAGE]>()?;
            block.copy_from_slice(superblock.emit());
            let (events, bad_blocks) = (record.events, record.bad_blocks.is_some());
            *place = Some(Place { version: *version, block, bitmap_at, bad_blocks, events });
        }
        Ok(places)
    }
}
