//! A new container of DDF or IMSM, with one volume over all of its disks.

use raid_core::geometry::Geometry;
use raid_core::{ArrayConfig, FarSets, Level, Raid5Layout, Raid6Layout, Raid10Layout, Sector, Sectors, Sizes};
use raid_formats::assemble::Claimant as _;
use raid_formats::ddf::raw::{DiskKind, DiskState};
use raid_formats::ddf::{self, Guid};
use raid_formats::imsm::{self, raw::WriteHole};
use raid_formats::record::{Sync, Uuid};

use super::{CreateError, Made, erase};
use crate::discover::{Found, serial_of};
use crate::host::md_store::new_uuid;
use crate::media::{Media as _, SharedMedia, SharedMediaMut};

/// Bytes of a volume's name in both formats.
const NAME_BYTES: usize = 16;
/// What the size of a member of IMSM is a multiple of.
const MEBIBYTE: Sectors = Sectors(2048);
/// What the size of a member of DDF is a multiple of where there are no chunks.
const KIBIBYTE: Sectors = Sectors(2);
/// The chunk of an IMSM mirror, which means nothing.
const MIRROR_CHUNK: Sectors = Sectors(128);

/// Which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerFormat {
    /// SNIA DDF 1.2.
    Ddf,
    /// Intel's IMSM.
    Imsm,
}

impl ContainerFormat {
    /// Whether it has such a volume. What is missing here `mdadm` refuses to make, refuses to start, or reads as another level.
    fn has(self, level: Level, members: u16) -> Result<(), &'static str> {
        if members < 2 {
            return Err("one disk; a volume has at least two");
        }
        match self {
            Self::Ddf => ddf_has(level, members),
            Self::Imsm => imsm_has(level, members),
        }
    }
}

const fn near(copies: u8) -> Raid10Layout {
    Raid10Layout { near: copies, far: 1, offset: false, sets: FarSets::All }
}

fn imsm_has(level: Level, members: u16) -> Result<(), &'static str> {
    let (fits, why) = match level {
        Level::Raid0(_) => return Ok(()),
        Level::Raid1 => (members == 2, "RAID 1 of IMSM has two disks; with more it is RAID 10"),
        Level::Raid5(Raid5Layout::LeftAsymmetric) => (members > 2, "RAID 5 of IMSM has at least three disks"),
        Level::Raid5(_) => (false, "RAID 5 of IMSM has the layout la alone"),
        Level::Raid10(layout) if layout == near(2) => {
            (members > 2 && members.is_multiple_of(2), "RAID 10 of IMSM has four disks, six, and so on")
        }
        Level::Raid10(_) => (false, "RAID 10 of IMSM has the layout n2 alone"),
        Level::Linear | Level::Raid4 | Level::Raid6(_) => (false, "IMSM has the levels 0, 1, 5 and 10"),
    };
    if fits { Ok(()) } else { Err(why) }
}

fn ddf_has(level: Level, members: u16) -> Result<(), &'static str> {
    use {Raid5Layout as Five, Raid6Layout as Six};
    let (fits, why) = match level {
        Level::Raid0(_) | Level::Raid4 => return Ok(()),
        Level::Raid1 => (members < 4, "RAID 1 of DDF has two disks or three"),
        Level::Raid5(layout) => {
            let known = [Five::LeftAsymmetric, Five::LeftSymmetric, Five::RightAsymmetric];
            (known.contains(&layout), "RAID 5 of DDF has the layouts la, ls and ra")
        }
        Level::Raid6(layout) => {
            let known = [Six::RotatingZeroRestart, Six::RotatingNRestart, Six::RotatingNContinue];
            let why = "RAID 6 of DDF has the layouts ddf-zero-restart, ddf-N-restart and ddf-N-continue";
            (known.contains(&layout), why)
        }
        // An offset layout `mdadm` would read as far, and one mirror alone is RAID 1.
        Level::Raid10(layout) => {
            let three = layout == near(3) && members > 3 && members.is_multiple_of(3);
            let why = "RAID 10 of DDF has the layout n2 on three disks or more, or n3 on six, nine, and so on";
            (layout == near(2) && members > 2 || three, why)
        }
        Level::Linear => (false, "a linear volume of DDF is nothing that mdadm would start"),
    };
    if fits { Ok(()) } else { Err(why) }
}

/// The container to make.
#[derive(Clone, Copy, Debug)]
pub struct NewContainer {
    /// Its format.
    pub format: ContainerFormat,
    /// Level and layout of the volume.
    pub level: Level,
    /// Chunk; of a mirror it means nothing.
    pub chunk: Sectors,
    /// Name of the volume, padded with zeros.
    pub name: [u8; NAME_BYTES],
    /// Sectors to use of each member; `None` for all that the smallest has.
    pub used: Option<Sectors>,
    /// Believe that redundancy is in order already.
    pub assume_clean: bool,
    /// Now, in seconds since 1970.
    pub created_s: u64,
}

impl NewContainer {
    /// Makes it on these disks, in the order of the volume's slots. What was made, and the volume's identity.
    ///
    /// # Errors
    /// [`CreateError`]; nothing is written unless the description makes a volume on all of the disks.
    pub fn create(&self, disks: &[SharedMediaMut]) -> Result<(Made, Uuid), CreateError> {
        let members = u16::try_from(disks.len()).unwrap_or(u16::MAX);
        self.format.has(self.level, members).map_err(|why| CreateError::Plan(why.to_owned()))?;
        let used = self.used_on(disks)?;
        let (level, sizes) = (self.level, Sizes::Same(used));
        let chunk = self.chunk();
        let config = ArrayConfig { level, members, chunk, sizes, array_size: None };
        let size = Geometry::new(&config).map_err(CreateError::Config)?.array_size();
        let plain = matches!(self.level, Level::Linear | Level::Raid0(_));
        let clean = self.assume_clean || plain;
        match self.format {
            ContainerFormat::Ddf => self.ddf(disks, used, chunk, clean)?,
            ContainerFormat::Imsm => self.imsm(disks, used, clean)?,
        }
        let sync = if clean { Sync::Clean } else { Sync::DirtyFrom(Sector(0)) };
        let made = Made { size, used: if plain { Sectors::ZERO } else { used }, sync };
        let first = disks.first().ok_or_else(|| CreateError::Plan("no member".into()))?;
        let found = Found::inspect(&first.describe(), first.clone() as SharedMedia);
        let found = found.map_err(|reason| CreateError::Plan(format!("what was made cannot be found: {reason}")))?;
        Ok((made, found.record().array))
    }

    /// Zero where the level has none.
    const fn chunk(&self) -> Sectors {
        if matches!(self.level, Level::Raid1 | Level::Linear) { Sectors::ZERO } else { self.chunk }
    }

    fn room(&self, medium: Sectors) -> Result<Sectors, CreateError> {
        let end = match self.format {
            ContainerFormat::Ddf => ddf::create::data_end(medium).map_err(plan)?,
            ContainerFormat::Imsm => imsm::create::data_end(medium).map_err(plan)?,
        };
        let behind = if self.format == ContainerFormat::Imsm { imsm::PPL_SECTORS } else { Sectors::ZERO };
        Ok(Sectors(end.0.saturating_sub(behind.0)))
    }

    /// Sectors of each member: what all have, as `mdadm` rounds it: to chunks, and in IMSM to mebibytes before.
    fn used_on(&self, disks: &[SharedMediaMut]) -> Result<Sectors, CreateError> {
        let mut room = Sectors(u64::MAX);
        for disk in disks {
            room = room.min(self.room(Sectors::from_bytes_floor(disk.size_bytes()))?);
        }
        let asked = self.used.unwrap_or(room);
        if asked > room {
            return Err(CreateError::Plan(format!("{asked} sectors of each member, where at most {room} are free")));
        }
        // Where there are two copies, IMSM counts stripes of two chunks.
        let copies = if matches!(self.level, Level::Raid10(_)) { 2 } else { 1 };
        let (whole, unit) = match self.format {
            ContainerFormat::Imsm => (MEBIBYTE, Sectors(self.chunk().0.saturating_mul(copies))),
            ContainerFormat::Ddf => (KIBIBYTE, self.chunk()),
        };
        let used = asked.floor_to(whole).floor_to(unit);
        if used.is_zero() {
            let least = whole.0.max(unit.0);
            return Err(CreateError::Plan(format!("{asked} sectors of each member; at least {least} are one step")));
        }
        Ok(used)
    }

    fn ddf(&self, disks: &[SharedMediaMut], used: Sectors, chunk: Sectors, clean: bool) -> Result<(), CreateError> {
        let mut table = Vec::new();
        for disk in disks {
            let [a, b, c, d, ..] = new_uuid()?.0;
            table.push(ddf::NewDisk {
                guid: new_guid()?,
                // Zero and all ones stand for none.
                reference: u32::from_be_bytes([a, b, c, d]).clamp(1, u32::MAX - 1),
                kind: DiskKind::FORCED_GUID | DiskKind::IN_VIRTUAL_DISK,
                state: DiskState::ONLINE,
                configured_blocks: ddf::create::data_end(medium(disk)).map_err(plan)?.0,
            });
        }
        let members: Vec<(u32, Sector)> = table.iter().map(|disk| (disk.reference, Sector(0))).collect();
        let volume = ddf::VolumeParams {
            guid: new_guid()?,
            name: self.name,
            level: self.level,
            chunk,
            used,
            members: &members,
            consistent: clean,
        };
        let (container, controller) = (new_guid()?, new_guid()?);
        let params = |own: usize| ddf::CreateParams {
            medium: disks.get(own).map_or(Sectors::ZERO, medium),
            block_bytes: 512,
            container,
            controller,
            disks: &table,
            own,
            volumes: std::slice::from_ref(&volume),
            created_s: self.created_s,
        };
        self.on_each(disks, |own, write| {
            ddf::create::<CreateError>(&params(own), &mut vec![0; ddf::create::set_bytes(512)], |one| {
                write(one.at, one.bytes, one.flush)
            })
        })
    }

    fn imsm(&self, disks: &[SharedMediaMut], used: Sectors, clean: bool) -> Result<(), CreateError> {
        let mut table = Vec::new();
        for disk in disks {
            let name = disk.describe();
            let why = || {
                let what = "the format knows disks by their drives' serial numbers, and nothing tells this one's";
                CreateError::Plan(format!("{name}: {what}: write it into {name}.serial"))
            };
            let serial = imsm::serial(&serial_of(&name).ok_or_else(why)?);
            if table.iter().any(|known: &imsm::NewDisk| known.serial == serial) {
                return Err(CreateError::Plan(format!("{name}: another disk has the same serial number")));
            }
            table.push(imsm::NewDisk { serial, size: medium(disk) });
        }
        let members: Vec<u8> = (0..=u8::MAX).take(disks.len()).collect();
        let volume = imsm::VolumeParams {
            name: self.name,
            level: self.level,
            chunk: if self.chunk().is_zero() { MIRROR_CHUNK } else { self.chunk },
            used,
            start: Sector(0),
            members: &members,
            write_hole: WriteHole::MultipleOff,
            consistent: clean,
        };
        let [a, b, c, d, ..] = new_uuid()?.0;
        let params = imsm::CreateParams {
            block_bytes: 512,
            family: u32::from_be_bytes([a, b, c, d]).max(1),
            disks: &table,
            volumes: std::slice::from_ref(&volume),
            created_s: self.created_s,
        };
        self.on_each(disks, |own, write| {
            let own = u8::try_from(own).unwrap_or(u8::MAX);
            imsm::create::<CreateError>(&params, own, &mut vec![0; imsm::RECORD_BYTES_MAX], |one| {
                write(one.at, one.bytes, one.flush)
            })
        })
    }

    /// Tries it for each disk, and only then writes: old records go before the first new one, since a crash must not leave disks of both.
    fn on_each(
        &self,
        disks: &[SharedMediaMut],
        make: impl Fn(usize, &mut dyn FnMut(Sector, &[u8], bool) -> Result<(), CreateError>) -> Result<(), CreateError>,
    ) -> Result<(), CreateError> {
        for own in 0..disks.len() {
            make(own, &mut |_, _, _| Ok(()))?;
        }
        disks.iter().try_for_each(erase)?;
        for (own, disk) in disks.iter().enumerate() {
            make(own, &mut |at, bytes, flush| {
                disk.write_at(at.0.saturating_mul(512), bytes)?;
                if flush { Ok(disk.flush()?) } else { Ok(()) }
            })?;
        }
        Ok(())
    }
}

fn medium(disk: &SharedMediaMut) -> Sectors {
    Sectors::from_bytes_floor(disk.size_bytes())
}

fn plan(refusal: impl std::fmt::Display) -> CreateError {
    CreateError::Plan(refusal.to_string())
}

impl From<ddf::Refusal> for CreateError {
    fn from(refusal: ddf::Refusal) -> Self {
        plan(refusal)
    }
}

impl From<imsm::Refusal> for CreateError {
    fn from(refusal: imsm::Refusal) -> Self {
        plan(refusal)
    }
}

/// A random identity of DDF.
pub(crate) fn new_guid() -> std::io::Result<Guid> {
    let mut guid = *b"raid    ................";
    guid[8..].copy_from_slice(&new_uuid()?.0);
    Ok(Guid(guid))
}
