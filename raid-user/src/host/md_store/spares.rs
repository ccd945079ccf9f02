//! Media that come to the array: straight to a seat, or as spares, which wait for one.
//!
//! A spare has a superblock with a number of its own and the role "spare", which is brought up to the events of the array as Linux does it
//! (kernel `md.c`, `sync_sbs`: a spare may lag by one). It has no bitmap and holds nothing. When it gets a seat, its superblock is made
//! anew for that, with its number and identity.

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};

use raid_core::{Member, Sector, Sectors};
use raid_formats::md::{self, Superblock, Version};
use raid_formats::record::Uuid;

use super::disk::{self, BitmapArea, Disk, First};
use super::said::Said;
use super::{MdStore, Shared, absent, new_uuid};
use crate::host::start::Slot;
use crate::host::start_error::check_block;
use crate::media::SharedMediaMut;

/// A spare.
pub(super) struct Spare {
    pub(super) number: u32,
    /// Of the medium.
    pub(super) identity: Uuid,
    pub(super) disk: Disk,
}

/// Who comes to a seat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coming {
    pub(super) number: u32,
    /// The number that it had as a spare.
    pub(super) was: Option<u32>,
}

/// A member that was made for a medium and is nowhere yet.
struct Made {
    disk: Disk,
    data_at: Sector,
    identity: Uuid,
}

impl MdStore {
    fn waiting(&self) -> MutexGuard<'_, Vec<Spare>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all members for whom nobody is waiting now.
    fn tell_living(&self, said: &Said) {
        self.seats().filter(|seat| said.lives(*seat)).for_each(|seat| self.tell_unasked(seat, said));
    }

    /// A member like those that live, on another medium. Nothing is written.
    fn make(
        &self,
        shared: &Shared,
        media: &SharedMediaMut,
        identity: Option<Uuid>,
        number: impl FnOnce(&Superblock<'_>) -> u32,
    ) -> io::Result<(Made, u32)> {
        check_block(media).map_err(disk::other)?;
        let like = self.like(shared).ok_or_else(|| absent(Member(0)))?;
        let (mut block, version, old_medium) = (like.block, like.version, like.medium);
        if let Some(log) = &self.log {
            // So that its place is kept free on the new member.
            md::set_log(&mut block, version, log.features);
        }
        let medium = Sectors::from_bytes_floor(media.size_bytes());
        let superblock = Superblock::parse(block.as_slice(), version, old_medium).map_err(disk::other)?;
        let number = number(&superblock);
        let area = disk::extent(Sector(0), like.image.as_ref().map_or(0, Vec::len) as u64).len;
        let identity = match identity {
            Some(identity) => identity,
            None if superblock.record().member.is_set() => new_uuid()?,
            None => Uuid::default(),
        };
        let joined =
            md::join(&mut block, version, old_medium, medium, (identity, number), area).map_err(disk::other)?;
        let bitmap = joined.bitmap.zip(like.image).map(|(area, bytes)| BitmapArea { at: area.at, bytes, whole: false });
        let first = Some(First { bad_blocks: joined.bad_blocks });
        let disk =
            Disk { media: media.clone(), version, block, events: 0, bitmap, first, bad_blocks: false, failed: false };
        Ok((Made { disk, data_at: joined.data.at, identity }, number))
    }

    /// Gives a seat that is empty to a medium, which may be a spare.
    pub(super) fn take_in(&self, seat: Member, media: SharedMediaMut) -> io::Result<Slot> {
        let mut shared = self.shared();
        if shared.said.lives(seat) {
            return Err(io::Error::other(format!("slot {} is not free", shared.said.slot(seat))));
        }
        let mut spares = self.waiting();
        let place = spares.iter().position(|spare| Arc::ptr_eq(&spare.disk.media, &media));
        let spare = place.and_then(|place| spares.get(place)).map(|spare| (spare.number, spare.identity));
        let number = |like: &Superblock<'_>| match (like, spare) {
            (Superblock::V1(_), Some((number, _))) => number,
            _ => self.number_for(seat, like, &shared),
        };
        let (made, number) = self.make(&shared, &media, spare.map(|(_, identity)| identity), number)?;
        match place {
            // Its superblock stands where the new one will: it stays until then.
            Some(place) => drop(spares.remove(place)),
            // Before any data are written to it: where its old superblock lies, data may come to lie.
            None => crate::create::erase(&media)?,
        }
        // In 0.90 another spare can have the slot's number: who was being filled in it when an array was stopped.
        spares.retain(|spare| spare.number != number);
        self.seat(&mut shared, seat, made.disk, Coming { number, was: spare.map(|(number, _)| number) });
        Ok(Slot { media: Some(media), data_at: made.data_at })
    }

    pub(super) fn keep_spare(&self, media: SharedMediaMut) -> io::Result<()> {
        let shared = self.shared();
        let (made, number) = self.make(&shared, &media, None, |like| self.free_number(like, &shared))?;
        crate::create::erase(&media)?;
        let disk = Disk { bitmap: None, ..made.disk };
        self.waiting().push(Spare { number, identity: made.identity, disk });
        drop(shared);
        let said = self.advance(|said| {
            said.gone.retain(|gone| *gone != number);
            said.spares.push(number);
        });
        self.tell_living(&said);
        self.tell_spares(&said);
        match self.spare_media().iter().any(|spare| Arc::ptr_eq(spare, &media)) {
            true => Ok(()),
            false => Err(io::Error::other("its superblock could not be written")),
        }
    }

    pub(super) fn spare_media(&self) -> Vec<SharedMediaMut> {
        let spares = self.waiting();
        spares.iter().map(|spare| spare.disk.media.clone()).collect()
    }

    /// Brings the spares up to what is said. Who cannot be written to is no spare any more.
    pub(super) fn tell_spares(&self, said: &Said) {
        let mut spares = self.waiting();
        if spares.is_empty() {
            return;
        }
        let log = self.log.as_ref().map(|log| log.counts(said));
        spares.retain_mut(|spare| !said.spares.contains(&spare.number) || spare.disk.tell(said, None, log).is_ok());
    }

    pub(super) fn dismiss_spare(&self, media: &SharedMediaMut) -> bool {
        let gone = {
            let mut spares = self.waiting();
            let place = spares.iter().position(|spare| Arc::ptr_eq(&spare.disk.media, media));
            place.map(|place| spares.remove(place))
        };
        let Some(Spare { number, disk, .. }) = gone else { return false };
        let forgets = !matches!(disk.version, Version::V0Little | Version::V0Big);
        let said = self.advance(|said| {
            said.spares.retain(|spare| *spare != number);
            said.gone.extend(Some(number).filter(|_| !forgets));
        });
        self.tell_living(&said);
        true
    }
}
