//! How IMSM says what a running volume wants remembered.
//!
//! All disks carry one record, so the freshest is changed, and what comes of it goes to all. A disk is known by its drive's serial number;
//! one that failed and comes back is a new line of the table.

use std::io;
use std::sync::Arc;

use raid_core::{Member, Sector, Sectors};
use raid_formats::imsm::{
    self, Metadata, NewDisk, RunningState, Serial,
    raw::WriteHole,
    running::{self, Telling},
};
use raid_formats::record::Uuid;

use super::{Disk, Failure, Format, Said, put};
use crate::discover::{MediaSource, serial_of};
use crate::media::{Media as _, SharedMediaMut};

/// What the longest record and the block behind it take at a disk's end.
const RECORD_SECTORS: u64 = (imsm::RECORD_BYTES_MAX / 512) as u64 + 16;

/// A volume of a container.
pub(super) struct ImsmVolume {
    pub(super) array: Uuid,
    /// Whose disk is in each slot; nothing if it is gone.
    pub(super) serials: Vec<Option<Serial>>,
    /// Serial number and size of who comes, as soon as the slot lives.
    pub(super) coming: Vec<Option<NewDisk>>,
    /// Where the data lie, and their sectors with what is kept free behind them.
    pub(super) data: (Sector, Sectors),
    /// What closes its write hole while nothing is in doubt. A partial parity log is not kept: a volume that is dirty does not name one.
    pub(super) closed_by: Option<WriteHole>,
}

impl Format for ImsmVolume {
    fn say(&mut self, disks: &mut [Disk], said: &Said) -> io::Result<()> {
        let mut bufs = vec![Vec::new(); disks.len()];
        let mut held = Vec::new();
        for (disk, buf) in disks.iter_mut().zip(&mut bufs) {
            let read = (disk.is_told(said) && !disk.new).then(|| read(&disk.media, buf));
            held.push(read.and_then(|read| read.map_err(|error| disk.note(Err(error))).ok()));
        }
        let Some(lead) = &running::lead(held.iter().flatten().copied()) else { return Ok(()) };
        let mut changes = Vec::new();
        let push = |change| {
            changes.push(change);
            Ok(())
        };
        self.telling(disks, said).changes(lead, push).map_err(|refusal| io::Error::other(refusal.to_string()))?;
        let generation = lead.header().generation_num.get().saturating_add(1);
        let state = RunningState { generation, changes: &changes };
        let mut next = vec![0; imsm::RECORD_BYTES_MAX];
        let after = imsm::update::<Failure>(lead, &mut next, &state, |_| Ok(())).map_err(|Failure(error)| error)?;
        for (disk, held) in disks.iter_mut().zip(&held) {
            if !disk.is_told(said) {
                continue;
            }
            let blocks = disk.media.size_bytes() / u64::from(after.place().block_bytes);
            let write = |write: imsm::Write<'_>| put(&disk.media, write.at, write.bytes, write.flush);
            let done = imsm::carry(&after, blocks, held.as_ref(), write).map_err(|Failure(error)| error);
            disk.note(done);
        }
        for (slot, serial) in (0..=u8::MAX).zip(&mut self.serials) {
            let coming = self.coming.get_mut(usize::from(slot)).filter(|_| said.lives(Member(slot)));
            if let Some(new) = coming.and_then(Option::take) {
                *serial = Some(new.serial);
            }
        }
        Ok(())
    }

    fn admit(&mut self, disks: &[Disk], said: &Said, member: Member, media: &SharedMediaMut) -> io::Result<Sector> {
        let refuse = |why: String| Err(io::Error::other(why));
        let others = self.coming.iter().zip(0..=u8::MAX).any(|(coming, slot)| coming.is_some() && slot != member.0);
        if others || said.health.rebuilding().next().is_some() {
            return refuse("the format records one rebuild at a time: wait until the other one is through".into());
        }
        let like = disks.iter().find(|disk| disk.is_told(said) && !disk.new).ok_or_else(|| super::absent(member))?;
        let mut buf = Vec::new();
        let lead = read(&like.media, &mut buf)?;
        let held = disks.iter().any(|disk| Arc::ptr_eq(&disk.media, media));
        let name = media.describe();
        let Some(serial) = serial_of(&name) else {
            return refuse(format!(
                "the format knows disks by their drives' serial numbers, and nothing tells this one's: write it into {name}.serial"
            ));
        };
        let serial = plain_or_drives(&serial, &lead);
        if !held && running::living(&lead, &serial).is_some() {
            return refuse("another disk of the container has its serial number".into());
        }
        let size = Sectors::from_bytes_floor(media.size_bytes());
        let end = self.data.0.0.saturating_add(self.data.1.0);
        let room = size.0.saturating_sub(RECORD_SECTORS);
        if end > room {
            return refuse(format!("too small: data would end at sector {end}, and may lie before sector {room} only"));
        }
        if let Some(place) = self.coming.get_mut(usize::from(member.0)) {
            *place = Some(NewDisk { serial, size });
        }
        Ok(self.data.0)
    }

    fn withdraw(&mut self, member: Member) {
        if let Some(place) = self.coming.get_mut(usize::from(member.0)) {
            *place = None;
        }
    }
}

impl ImsmVolume {
    fn telling<'a>(&'a self, disks: &[Disk], said: &'a Said) -> Telling<'a> {
        let Self { array, serials, coming, closed_by, .. } = self;
        let here = disks.iter().filter_map(|disk| disk.slot).collect();
        Telling { array: *array, serials, coming, closed_by: *closed_by, here, said }
    }
}

/// A serial number as the table would have it: by the rules for drives, or, if that is how the table has one, as it is written.
fn plain_or_drives(text: &str, lead: &Metadata) -> Serial {
    let plain = imsm::plain(text);
    if lead.index_of(&plain).is_some() { plain } else { imsm::serial(text) }
}

/// The record that a medium holds now.
fn read<'b>(media: &SharedMediaMut, buf: &'b mut Vec<u8>) -> io::Result<Metadata<'b>> {
    let source = MediaSource(media.as_ref());
    let place = imsm::probe(&source).map_err(|fault| io::Error::other(fault.to_string()))?;
    buf.resize(place.len_bytes, 0);
    imsm::read(&source, &place, buf).map_err(|fault| io::Error::other(fault.to_string()))
}
