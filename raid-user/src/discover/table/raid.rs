//! dm-raid's line: images with their metadata devices, by the names in the line.
//!
//! Where its metadata say something, they count and not the line, as in the kernel; a line that tells another shape than they is refused.

use std::ffi::OsStr;
use std::sync::Arc;

use raid_core::{Level, Sector, Sectors, Sizes};
use raid_formats::assemble::Claimant as _;
use raid_formats::dm;
use raid_formats::record::{Format, Record, Role, Shape, Sync};
use raid_formats::table::Table;

use super::super::Found;
use super::{DeviceMut, NoTable};
use crate::media::{self, MediaSpec, Options, SharedMedia, open, open_mut};

/// Bytes that begin a device with metadata.
const HEAD_BYTES: usize = 4;

/// One slot of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    slot: u16,
    metadata: Option<String>,
    data: Option<String>,
    /// The line wants it filled.
    rebuild: bool,
    write_mostly: bool,
}

/// A line of dm-raid's, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RaidLine {
    shape: Shape,
    /// Sectors of each device that hold data.
    each: Sectors,
    in_doubt: bool,
    pairs: Vec<Pair>,
}

impl RaidLine {
    /// Understands the words behind the target's name, of an array of `len` sectors.
    pub(super) fn parse(rest: &[&str], len: Sectors) -> Result<Self, NoTable> {
        let refuse = |why: String| Err(NoTable::Line(why));
        let table = Table::parse(rest).map_err(|error| NoTable::Line(error.to_string()))?;
        let config = table.config(len).map_err(|error| NoTable::Line(error.to_string()))?;
        let Sizes::Same(each) = config.sizes else { return refuse("members of several sizes".into()) };
        let options = *table.options();
        let slots = (0..=u8::MAX).map(raid_core::Member).zip(table.devices());
        let pair = |(member, device): (raid_core::Member, raid_formats::table::Device<'_>)| Pair {
            slot: member.0.into(),
            metadata: device.metadata.map(str::to_owned),
            data: device.data.map(str::to_owned),
            rebuild: options.rebuild.contains(member),
            write_mostly: options.write_mostly.contains(member),
        };
        let (level, members, chunk) = (config.level, config.members, config.chunk);
        let shape = Shape { level, members, chunk, array_size: Some(len) };
        let pairs: Vec<Pair> = slots.map(pair).collect();
        let with = pairs.iter().filter(|pair| pair.metadata.is_some()).count();
        if with > 0 && pairs.iter().any(|pair| pair.data.is_some() && pair.metadata.is_none()) {
            return refuse("devices with metadata and devices without".into());
        }
        Ok(Self { shape, each, in_doubt: options.sync, pairs })
    }

    /// Its devices' names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.pairs.iter().flat_map(|pair| [&pair.metadata, &pair.data]);
        names.map(|name| name.as_deref().unwrap_or("-"))
    }

    /// The members that can be used, opened for reading, and what should be known of those that cannot.
    ///
    /// # Errors
    /// A device that is named cannot be opened, or holds something else.
    pub(super) fn found(&self, how: &Options) -> Result<(Vec<Found>, Vec<String>), NoTable> {
        let (mut members, mut notes) = (Vec::new(), Vec::new());
        let medium = |name: &str| Ok::<_, NoTable>(open(&MediaSpec::parse(OsStr::new(name))?, how)?.media);
        for pair in &self.pairs {
            let Some(name) = &pair.data else { continue };
            let data = medium(name)?;
            let member = match &pair.metadata {
                Some(metadata) => self.member(pair, data, medium(metadata)?)?,
                None if pair.rebuild => None,
                None => Some(Found::told(name, data, self.told(pair.slot), Vec::new())),
            };
            match member {
                Some(member) => members.push(if pair.write_mostly { member.write_mostly() } else { member }),
                None => notes.push(format!("{name}: not used: it has to be filled")),
            }
        }
        Ok((members, notes))
    }

    /// The devices, opened for writing and locked.
    ///
    /// # Errors
    /// As [`found`](Self::found); a line without metadata devices, on which nothing could be remembered.
    pub(super) fn open_mut(&self) -> Result<Vec<DeviceMut>, NoTable> {
        let mut devices = Vec::new();
        let medium = |name: &str| Ok::<_, NoTable>(open_mut(&MediaSpec::parse(OsStr::new(name))?)?.media);
        for pair in &self.pairs {
            let Some(name) = &pair.data else { continue };
            let Some(metadata) = &pair.metadata else {
                return Err(NoTable::Line(format!(
                    "{name} has no metadata device: nothing could be remembered of writes"
                )));
            };
            let (data, metadata) = (medium(name)?, medium(metadata)?);
            let found = self.member(
                pair,
                Arc::<dyn media::MediaMut>::clone(&data),
                Arc::<dyn media::MediaMut>::clone(&metadata),
            )?;
            let found = found.map(|found| if pair.write_mostly { found.write_mostly() } else { found });
            devices.push(DeviceMut { slot: pair.slot, data, metadata, found });
        }
        Ok(devices)
    }

    /// What a device's metadata say; nothing if it was never filled, or the line wants it filled.
    fn member(&self, pair: &Pair, data: SharedMedia, metadata: SharedMedia) -> Result<Option<Found>, NoTable> {
        let name = pair.data.clone().unwrap_or_default();
        let refuse = |why: String| Err(NoTable::Device { name: name.clone(), why });
        let mut head = [0; HEAD_BYTES];
        if let Err(error) = metadata.read_at(0, &mut head) {
            return refuse(error.to_string());
        }
        if pair.rebuild || head != dm::RAID_MAGIC.to_le_bytes() {
            return Ok(None);
        }
        let found = match Found::dm_raid(&name, data, metadata) {
            Ok(found) => found,
            Err(why) => return refuse(format!("its metadata: {why}")),
        };
        let (record, shape) = (*found.record(), self.shape);
        if record.role != Role::Slot(pair.slot) {
            return refuse(format!("its metadata say slot {}, the line slot {}", record.number, pair.slot));
        }
        let stated = record.shape;
        let same_level = match (stated.level, shape.level) {
            // Its metadata have far sets in a word of their own.
            (Level::Raid10(_), Level::Raid10(_)) => true,
            (one, other) => one == other,
        };
        if !same_level || stated.chunk != shape.chunk || stated.members != shape.members {
            return refuse("its metadata tell another level, chunk or number of devices than the line".into());
        }
        if stated.array_size.is_some_and(|size| Some(size) != shape.array_size) {
            let (said, line) = (stated.array_size.unwrap_or_default().0, shape.array_size.unwrap_or_default().0);
            return refuse(format!("its metadata tell an array of {said} sectors, the line one of {line}"));
        }
        Ok(Some(found))
    }

    /// What a device without metadata would say.
    fn told(&self, slot: u16) -> Record {
        let sync = if self.in_doubt { Sync::DirtyFrom(Sector(0)) } else { Sync::Clean };
        Record { format: Format::DmRaid, sync, ..crate::lvm::told(slot, self.shape, self.each) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_understood() {
        let line = "raid10 6 32 nosync raid10_copies 2 raid10_format near 4 m0 i0 m1 i1 - - m3 i3";
        let words: Vec<&str> = line.split(' ').collect();
        let line = RaidLine::parse(&words, Sectors(16384)).unwrap();
        assert_eq!((line.shape.members, line.shape.chunk, line.each), (4, Sectors(32), Sectors(8192)));
        assert_eq!(line.pairs[2].data, None);
    }
}
