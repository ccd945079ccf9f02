//! How DDF says what a running volume wants remembered.
//!
//! A medium that joins is a new disk for the tables, also one that was in them before: where another volume still names the old one, that
//! stays failed, and what it holds is not trusted. A disk that already has parts of other volumes stays who it is.

use std::io;
use std::sync::Arc;

use raid_core::geometry::Geometry;
use raid_core::{Member, Sector, Sectors};
use raid_formats::assemble::Claimant as _;
use raid_formats::ddf::{
    self, Anchor, DiskChange, Guid, Metadata, NewDisk, Newcomer, Replaced,
    level::Levels,
    raw::{DiskKind, DiskState},
    running::{self, Changes, ConfigBytes, Joins, OUT, Part, Telling},
};

use super::{Disk, Failure, Format, Said, put};
use crate::discover::MediaSource;
use crate::host::md_store::{new_uuid, now_s};
use crate::media::{Media as _, SharedMediaMut};

/// A volume of a container.
pub(super) struct DdfVolume {
    pub(super) guid: Guid,
    pub(super) levels: Levels,
    pub(super) geometry: Geometry,
    /// Sectors that each member gives.
    pub(super) len: Sectors,
    /// Who is in each slot, as far as any member knows.
    pub(super) parts: Vec<Option<Part>>,
    /// Who comes, as soon as the slot lives.
    pub(super) coming: Vec<Option<Part>>,
}

/// The records of one disk.
#[derive(Clone, Copy)]
struct Held<'b> {
    anchor: Anchor,
    metadata: Metadata<'b>,
}

impl Format for DdfVolume {
    fn say(&mut self, disks: &mut [Disk], said: &Said) -> io::Result<()> {
        for (slot, coming) in (0..=u8::MAX).zip(&mut self.coming).filter(|(slot, _)| said.lives(Member(*slot))) {
            if let (Some(part), Some(place)) = (coming.take(), self.parts.get_mut(usize::from(slot))) {
                *place = Some(part);
            }
        }
        let mut bufs = vec![Vec::new(); disks.len()];
        let mut held = Vec::new();
        for (disk, buf) in disks.iter_mut().zip(&mut bufs) {
            let read = (disk.is_told(said) && !disk.new).then(|| read(&disk.media, buf));
            held.push(read.and_then(|read| read.map_err(|error| disk.note(Err(error))).ok()));
        }
        let sets = held.iter().flatten().map(|held| held.metadata);
        let Some(lead) = running::lead(sets.clone()) else { return Ok(()) };
        let newest: Vec<ConfigBytes<'_>> = running::newest(sets).collect();
        let telling = self.telling(disks, said);
        let volume = telling.volume(&lead).map_err(failed)?;
        let replaced: Vec<Replaced> = telling.replaced(&lead).collect::<Result<_, _>>().map_err(failed)?;
        let changed: Vec<DiskChange> = telling.disks(&lead, newest.iter().copied()).collect();
        let joined: Vec<NewDisk> = telling.joined().collect();
        let changes = Changes { volume, disks: &changed, joined: &joined, replaced: &replaced };
        let mut nexts = vec![Vec::new(); disks.len()];
        let mut room: ddf::BlockRoom = [0; _];
        let mut after = Vec::new();
        for ((disk, held), next) in disks.iter_mut().zip(&held).zip(&mut nexts) {
            let Some(Held { anchor, metadata }) = held else { continue };
            next.resize(metadata.emit().len(), 0);
            let adopted: Vec<&[u8]> = telling.adopted(metadata, newest.iter().copied(), disk.slot).collect();
            let write = |write: ddf::Write<'_>| put(&disk.media, write.at, write.bytes, write.flush);
            match changes.tell((metadata, &lead), &adopted, now_s(), (next, &mut room), write) {
                Ok(metadata) => after.push(Held { anchor: *anchor, metadata }),
                Err(Failure(error)) => disk.note(Err(error)),
            }
        }
        for disk in disks.iter_mut().filter(|disk| disk.is_told(said) && disk.new) {
            let made = self.make(disk, &after);
            disk.note(made);
        }
        self.parts.iter_mut().flatten().for_each(|part| part.joins = Joins::Nothing);
        Ok(())
    }

    fn admit(&mut self, disks: &[Disk], said: &Said, member: Member, media: &SharedMediaMut) -> io::Result<Sector> {
        let held = disks.iter().any(|disk| Arc::ptr_eq(&disk.media, media));
        let like = disks.iter().find(|disk| disk.is_told(said) && !disk.new && disk.slot.is_some());
        let like = like.ok_or_else(|| super::absent(member))?;
        let mut buf = Vec::new();
        let like = read(&like.media, &mut buf)?.metadata;
        let old = self.parts.get(usize::from(member.0)).copied().flatten();
        let part = if held { self.adopt(media, old)? } else { self.join(media, &like, old)? };
        if let Some(place) = self.coming.get_mut(usize::from(member.0)) {
            *place = Some(part);
        }
        Ok(part.start)
    }

    fn withdraw(&mut self, member: Member) {
        if let Some(place) = self.coming.get_mut(usize::from(member.0)) {
            *place = None;
        }
    }
}

impl DdfVolume {
    /// A new disk for the container.
    fn join(&self, media: &SharedMediaMut, like: &Metadata, old: Option<Part>) -> io::Result<Part> {
        let room = ddf::room(like, Sectors::from_bytes_floor(media.size_bytes())).map_err(io::Error::other)?;
        let start = old.map_or(Sector(0), |part| part.start);
        self.check_room(start, room)?;
        let reference = free_reference(like)?;
        let new = NewDisk {
            guid: own_guid(media, like)?,
            reference,
            kind: DiskKind::FORCED_GUID | DiskKind::IN_VIRTUAL_DISK,
            state: DiskState::ONLINE | DiskState::REBUILDING,
            configured_blocks: room.0 / sectors_per_block(like),
        };
        Ok(Part { reference, start, joins: Joins::Container(new) })
    }

    /// A disk of the container that has parts of other volumes gets one of this: where the old one was, or behind all others.
    fn adopt(&self, media: &SharedMediaMut, old: Option<Part>) -> io::Result<Part> {
        let mut buf = Vec::new();
        let own = read(media, &mut buf)?.metadata;
        let run = |volume: ddf::Volume<'_>| {
            let data = volume.record().data;
            (data.at.0, data.at.0.saturating_add(data.len.0))
        };
        let taken: Vec<(u64, u64)> = own.volumes().filter_map(Result::ok).map(run).collect();
        let is_free = |start: &Sector| {
            let end = start.0.saturating_add(self.len.0);
            taken.iter().all(|(from, until)| end <= *from || start.0 >= *until)
        };
        let behind = Sector(taken.iter().map(|(_, until)| *until).max().unwrap_or(0));
        let start = old.map(|part| part.start).filter(is_free).unwrap_or(behind);
        let entry = own.own_entry().map_err(io::Error::other)?;
        let order = own.place().order;
        let room = entry.configured_size.get(order).saturating_mul(sectors_per_block(&own));
        self.check_room(start, Sector(room))?;
        Ok(Part { reference: entry.reference.get(order), start, joins: Joins::Volume })
    }

    fn check_room(&self, start: Sector, room: Sector) -> io::Result<()> {
        let end = start.0.saturating_add(self.len.0);
        if end <= room.0 {
            return Ok(());
        }
        let why = format!("too small: its data would end at sector {end}, and data may lie before sector {room} only");
        Err(io::Error::other(why))
    }

    fn telling<'a>(&'a self, disks: &[Disk], said: &'a Said) -> Telling<'a> {
        let Self { guid, levels, geometry, parts, .. } = self;
        let here = disks.iter().filter_map(|disk| disk.slot).collect();
        Telling { guid: *guid, levels, geometry, parts, here, said }
    }

    /// Writes the records of a disk that is new, as those of its element have them.
    fn make(&self, disk: &Disk, after: &[Held]) -> io::Result<()> {
        let slot = disk.slot.and_then(|slot| self.parts.get(usize::from(slot.0)).copied().flatten());
        let Some(Part { reference, joins: Joins::Container(NewDisk { guid, .. }), .. }) = slot else {
            return Err(io::Error::other("a new disk that nobody planned"));
        };
        let has_it = |held: &&Held| {
            let mut own = running::configs(&held.metadata).filter(|(config, _)| config.guid == self.guid);
            own.any(|(_, bytes)| held.metadata.is_member(bytes, reference))
        };
        let like = after.iter().find(has_it);
        let like = like.ok_or_else(|| io::Error::other("no disk that is left knows the new one's part"))?;
        let medium = Sectors::from_bytes_floor(disk.media.size_bytes());
        let new = Newcomer { guid, reference, medium, volume: self.guid };
        let mut buf = vec![0; like.metadata.emit().len()];
        let write = |write: ddf::Write<'_>| put(&disk.media, write.at, write.bytes, write.flush);
        ddf::newcomer(&like.metadata, &like.anchor, &new, &mut buf, write).map_err(|Failure(error)| error)
    }
}

fn failed(refusal: ddf::Refusal) -> io::Error {
    io::Error::other(refusal.to_string())
}

/// The records that a medium holds now.
fn read<'b>(media: &SharedMediaMut, buf: &'b mut Vec<u8>) -> io::Result<Held<'b>> {
    let source = MediaSource(media.as_ref());
    let probe = ddf::probe(&source).map_err(|fault| io::Error::other(fault.to_string()))?;
    buf.resize(probe.len_bytes(), 0);
    let metadata = ddf::read(&source, &probe.anchor, buf).map_err(|fault| io::Error::other(fault.to_string()))?;
    Ok(Held { anchor: probe.anchor, metadata })
}

fn sectors_per_block(metadata: &Metadata) -> u64 {
    u64::from(metadata.place().block_bytes / 512).max(1)
}

/// A reference that no disk has.
fn free_reference(like: &Metadata) -> io::Result<u32> {
    loop {
        let [a, b, c, d, ..] = new_uuid()?.0;
        let reference = u32::from_be_bytes([a, b, c, d]);
        if !matches!(reference, 0 | u32::MAX) && like.physical_of(reference).is_none() {
            return Ok(reference);
        }
    }
}

/// The identity of a disk that was in the container before and is out, whose line it gets again; or a new one.
fn own_guid(media: &SharedMediaMut, like: &Metadata) -> io::Result<Guid> {
    let mut buf = Vec::new();
    if let Ok(Held { metadata, .. }) = read(media, &mut buf)
        && metadata.header().guid == like.header().guid
    {
        let guid = metadata.disk().guid;
        let order = like.place().order;
        let mut lines = like.physical().filter(|entry| entry.guid == guid);
        if lines.any(|entry| entry.disk_state(order).intersects(OUT)) {
            return Ok(guid);
        }
    }
    crate::create::new_guid()
}
