//! How the records of BIOS RAIDs say what a running array wants remembered: each disk has its own, of one array.
//!
//! A disk is shut out in two rounds over all others, see `raid_formats::bios`; whatever else is said takes one.

use std::io;

use raid_core::health::Event;
use raid_core::{Columns, Member, Sector, Sectors};
use raid_formats::bios::{Kind, Running};

use super::{Disk, Failure, Format, Said, put};
use crate::discover::MediaSource;
use crate::media::{Media as _, SharedMediaMut};

/// An array of a BIOS RAID.
pub(super) struct BiosArray {
    pub(super) kind: Kind,
    /// Slots that the records have shut out.
    pub(super) out: Columns,
    /// Where the record of each slot's disk lies; nothing if it is gone.
    pub(super) places: Vec<Option<Sector>>,
    /// Where that of a disk will lie that comes.
    pub(super) coming: Vec<Option<Sector>>,
    /// Where the data of each slot's disk begin.
    pub(super) data_at: Vec<Sector>,
}

fn medium(media: &SharedMediaMut) -> Sectors {
    Sectors::from_bytes_floor(media.size_bytes())
}

fn failure(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl Format for BiosArray {
    fn say(&mut self, disks: &mut [Disk], said: &Said) -> io::Result<()> {
        let missing = said.health.missing();
        // Who comes back counts as shut out no more, and would have to be again.
        self.out = self.out.intersection(missing);
        let new: Vec<Member> = missing.difference(self.out).iter().collect();
        // Two rounds for each. What else is said is so from the first one on.
        let rounds: Vec<Option<Member>> = new.iter().flat_map(|gone| [Some(*gone), Some(*gone)]).collect();
        for shut_out in if rounds.is_empty() { vec![None] } else { rounds } {
            self.round(disks, said, shut_out)?;
        }
        self.out = missing;
        Ok(())
    }

    fn admit(&mut self, disks: &[Disk], said: &Said, member: Member, media: &SharedMediaMut) -> io::Result<Sector> {
        let slot = usize::from(member.0);
        let told = disks.iter().filter(|disk| disk.is_told(said) && !disk.new);
        let mut like = told.filter_map(|disk| Some((disk, self.place(disk.slot?)?)));
        let (like, at) = like.next().ok_or_else(|| super::absent(member))?;
        let mut bytes = vec![0; self.kind.len_bytes()];
        self.kind.read(&MediaSource(like.media.as_ref()), at, &mut bytes).map_err(failure)?;
        // Whether it can be, once it is being filled: a table that calls the slot's disk failed is not believed of anybody else's.
        let mut health = said.health;
        health.apply(member, Event::Rebuild { mark: Sector(0) }).map_err(io::Error::other)?;
        let state = Running { dirty: said.dirty, health: &health, shut_out: None };
        let sizes = (medium(&like.media), medium(media));
        self.kind.join(&mut bytes, member.0.into(), sizes, &state).map_err(failure)?;
        let place = self.kind.place_like(at, medium(&like.media), medium(media));
        let place = place.ok_or_else(|| failure("too small for the format's record"))?;
        if let Some(coming) = self.coming.get_mut(slot) {
            *coming = Some(place);
        }
        Ok(self.data_at.get(slot).copied().unwrap_or(Sector(0)))
    }

    fn withdraw(&mut self, member: Member) {
        if let Some(place) = self.coming.get_mut(usize::from(member.0)) {
            *place = None;
        }
    }
}

impl BiosArray {
    fn place(&self, slot: Member) -> Option<Sector> {
        self.places.get(usize::from(slot.0)).copied().flatten()
    }

    /// One change on all disks that are told. Newcomers get a record made of another disk's.
    fn round(&mut self, disks: &mut [Disk], said: &Said, shut_out: Option<Member>) -> io::Result<()> {
        let state =
            Running { dirty: said.dirty, health: &said.health, shut_out: shut_out.map(|member| member.0.into()) };
        let mut like: Option<(Vec<u8>, Sectors)> = None;
        // Newcomers last: what they are made of is what the others say by then.
        for new in [false, true] {
            for disk in disks.iter_mut().filter(|disk| disk.is_told(said)) {
                let Some(slot) = disk.slot else { continue };
                let is_new = self.coming.get(usize::from(slot.0)).copied().flatten();
                if is_new.is_some() != new {
                    continue;
                }
                let done = match is_new {
                    None => self.tell(disk, slot, &state).map(|bytes| {
                        like.get_or_insert((bytes, medium(&disk.media)));
                    }),
                    Some(place) => self.welcome(disk, slot, place, &state, like.as_ref()),
                };
                if done.is_ok() && new {
                    let index = usize::from(slot.0);
                    let coming = self.coming.get_mut(index).and_then(Option::take);
                    if let Some(held) = self.places.get_mut(index) {
                        *held = coming;
                    }
                }
                disk.note(done);
            }
        }
        Ok(())
    }

    /// Changes a disk's record. What it is then.
    fn tell(&self, disk: &Disk, slot: Member, state: &Running<'_>) -> io::Result<Vec<u8>> {
        let (at, size) = (self.place(slot).ok_or_else(|| super::absent(slot))?, medium(&disk.media));
        let mut old = vec![0; self.kind.len_bytes()];
        self.kind.read(&MediaSource(disk.media.as_ref()), at, &mut old).map_err(failure)?;
        let mut new = old.clone();
        self.kind.update(&mut new, slot.0.into(), size, state).map_err(failure)?;
        if new != old {
            self.write(disk, at, &new, Some(&old))?;
        }
        Ok(new)
    }

    fn welcome(
        &self,
        disk: &Disk,
        slot: Member,
        place: Sector,
        state: &Running<'_>,
        like: Option<&(Vec<u8>, Sectors)>,
    ) -> io::Result<()> {
        let (like, like_size) = like.ok_or_else(|| super::absent(slot))?;
        let (mut bytes, size) = (like.clone(), medium(&disk.media));
        // The round that shuts somebody out is in what it was made of.
        let state = Running { shut_out: None, ..*state };
        self.kind.join(&mut bytes, slot.0.into(), (*like_size, size), &state).map_err(failure)?;
        self.write(disk, place, &bytes, None)
    }

    fn write(&self, disk: &Disk, at: Sector, new: &[u8], old: Option<&[u8]>) -> io::Result<()> {
        let put = |at: Sector, sector: &[u8]| put(&disk.media, at, sector, true);
        self.kind.write((at, medium(&disk.media)), new, old, put).map_err(|Failure(error)| error)
    }
}
