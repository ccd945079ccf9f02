//! A new Linux MD array on media that hold nothing anybody needs: superblocks, bitmaps, and the duty to synchronise.
//!
//! Data are not touched: what stands there becomes the array's content, and unless it is assumed to be in order, all redundancy is in
//! doubt until a resync was through. It refuses media that carry metadata or a partition table; [`lost`] says which.

mod bios;
mod container;

use std::io;

use raid_core::geometry::{ConfigError, Geometry};
use raid_core::{ArrayConfig, Extent, Level, SECTOR_BYTES, Sector, Sectors, Sizes};
use raid_formats::assemble::Claimant;
use raid_formats::md::create::{BitmapParams, CreateParams, create, default_data};
use raid_formats::md::{Refusal, Superblock, Version, superblock_at};
use raid_formats::record::{Format, Name, Role, Sync, Uuid};
use raid_formats::{bios as records, ddf, imsm};

use crate::discover::{Found, MediaSource};
use crate::media::{Media, SharedMedia, SharedMediaMut, partitions};

pub use bios::{NewBios, own_raid5};
pub(crate) use container::new_guid;
pub use container::{ContainerFormat, NewContainer};

/// The array to make.
#[derive(Clone, Copy, Debug)]
pub struct NewArray {
    /// Version of the superblock.
    pub version: Version,
    /// Level and layout.
    pub level: Level,
    /// Chunk; zero for RAID 1 and linear.
    pub chunk: Sectors,
    /// Keep a bitmap, with this many bytes a bit, or as many as by default.
    pub bitmap: Option<Option<u32>>,
    /// Its name; 1.x only.
    pub name: Name,
    /// Sectors to use of each member; `None` for all that the smallest has.
    pub used: Option<Sectors>,
    /// Believe that redundancy is in order already.
    pub assume_clean: bool,
    /// Identity of the array.
    pub array: Uuid,
    /// Now.
    pub created_s: u64,
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Size of the array.
    pub size: Sectors,
    /// Sectors used of each member; zero for linear and RAID 0, which use them all.
    pub used: Sectors,
    /// Whether a resync has to make redundancy.
    pub sync: Sync,
}

/// Why no array was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The description makes no superblock.
    #[error("{0}")]
    Refused(Refusal),
    /// The description makes no array.
    #[error("{0}")]
    Config(ConfigError),
    /// What is asked contradicts itself.
    #[error("{0}")]
    Plan(String),
    /// A medium failed. Members before it are written already.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<Refusal> for CreateError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Something on a medium that somebody may want to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What it is.
    pub what: String,
    /// False if it would still be found beside the new superblock, since [`erase`] does not know how to take it away.
    pub erasable: bool,
}

/// What of value a medium seems to carry: metadata of arrays, a partition table.
#[must_use]
pub fn lost(name: &str, media: &SharedMedia) -> Vec<Loss> {
    let mut lost = Vec::new();
    match Found::inspect(name, media.clone()) {
        Ok(found) => {
            let records = std::iter::once(found.record()).chain(found.others());
            lost.extend(records.map(|record| {
                let what = format!("a member of {} array {} {}", record.format.name(), record.array, record.name);
                Loss { what: what.trim_end().to_owned(), erasable: is_erasable(record.format) }
            }));
        }
        Err(reason) if reason.damaged => {
            lost.push(Loss { what: format!("damaged metadata ({})", reason.worst()), erasable: true });
        }
        Err(_) => {}
    }
    if let Ok(Some(table)) = partitions(media.as_ref())
        && !table.partitions.is_empty()
    {
        lost.push(Loss {
            what: format!("a partition table with {} partitions", table.partitions.len()),
            erasable: true,
        });
    }
    lost
}

/// True for formats that [`erase`] knows how to take away.
fn is_erasable(format: Format) -> bool {
    ![Format::DmRaid, Format::DmMirror, Format::Lvm2].contains(&format)
}

/// Takes away every record of Linux MD, DDF, IMSM and BIOS RAIDs on a medium, so that none but the new one is found later.
/// Other metadata stay.
///
/// # Errors
/// The medium's.
pub fn erase(media: &SharedMediaMut) -> io::Result<()> {
    let medium = Sectors::from_bytes_floor(media.size_bytes());
    for version in Version::ALL {
        let mut block = [0; 4096];
        let Some(at_bytes) = superblock_at(version, medium).ok().and_then(Sector::bytes) else { continue };
        // A medium too small for it has none.
        if at_bytes.saturating_add(4096) > media.size_bytes() {
            continue;
        }
        media.read_at(at_bytes, &mut block)?;
        if Superblock::parse(&block, version, medium).is_ok() {
            media.write_at(at_bytes, &[0; 4096])?;
        }
    }
    let source = MediaSource(media.as_ref());
    // Each anchor that is gone lets another one be found, of other blocks or in another place.
    while let Ok(probe) = ddf::probe(&source) {
        zero(media, probe.anchor.at, probe.anchor.block_bytes)?;
    }
    while let Ok(place) = imsm::probe(&source) {
        zero(media, place.at(0), place.block_bytes)?;
    }
    for kind in records::Kind::all() {
        while let Ok(member) = kind.find(&source, &mut Box::new([0; records::BUFFER_BYTES])) {
            zero(media, member.at(), 512)?;
        }
    }
    media.flush()
}

/// Zeroes a block.
fn zero(media: &SharedMediaMut, at: Sector, block_bytes: u32) -> io::Result<()> {
    let at = at.bytes().ok_or_else(|| io::Error::other("a place past all media"))?;
    media.write_at(at, &vec![0; usize::try_from(block_bytes).unwrap_or(512)])
}

impl NewArray {
    /// Makes the array on `members` in the order of slots; `None` is a slot without a member.
    ///
    /// # Errors
    /// [`CreateError`]; nothing is written unless the description makes an array on all of the media.
    pub fn create(&self, members: &[Option<SharedMediaMut>]) -> Result<Made, CreateError> {
        let slots = u8::try_from(members.len()).map_err(|_| CreateError::Plan("more than 255 members".into()))?;
        let used = self.used_on(members)?;
        let plain = matches!(self.level, Level::Linear | Level::Raid0(_));
        let present = members.iter().flatten();
        let sizes = present.map(|media| Ok(self.data(media)?.len)).collect::<Result<Vec<_>, Refusal>>()?;
        let sizes = if plain { Sizes::Each(&sizes) } else { Sizes::Same(used) };
        let config =
            ArrayConfig { level: self.level, members: slots.into(), chunk: self.chunk, sizes, array_size: None };
        let geometry = Geometry::new(&config).map_err(CreateError::Config)?;
        let missing = (0..slots).zip(members).filter(|(_, media)| media.is_none());
        let missing = missing.map(|(slot, _)| raid_core::Member(slot)).collect();
        if !geometry.survives(missing) {
            return Err(CreateError::Plan("too many members are missing for that level".into()));
        }
        if matches!(self.level, Level::Raid6(_)) && missing.len() == 1 && !self.assume_clean {
            let why = "a RAID 6 short of one member has nothing to be synchronised by: give all, or leave out two";
            return Err(CreateError::Plan(why.into()));
        }
        let sync =
            if self.assume_clean || !needs_sync(&geometry, missing) { Sync::Clean } else { Sync::DirtyFrom(Sector(0)) };
        let sync_size = match self.level {
            Level::Raid1 | Level::Raid10(_) => geometry.array_size(),
            _ => used,
        };
        let bitmap = self.bitmap.filter(|_| !plain).map(|chunk_bytes| BitmapParams { chunk_bytes, sync_size });
        let roles: Vec<Role> = (0_u16..)
            .zip(members)
            .map(|(slot, media)| if media.is_some() { Role::Slot(slot) } else { Role::Faulty })
            .collect();
        for writing in [false, true] {
            // Old superblocks go before the first new one: a crash must not leave members of both.
            for media in members.iter().flatten().filter(|_| writing) {
                erase(media)?;
            }
            for (number, media) in (0_u32..).zip(members) {
                let Some(media) = media else { continue };
                let plan = Member {
                    number,
                    media,
                    used: if plain { Sectors::ZERO } else { used },
                    bitmap,
                    sync,
                    roles: &roles,
                };
                self.member(&plan, writing)?;
            }
        }
        Ok(Made { size: geometry.array_size(), used: if plain { Sectors::ZERO } else { used }, sync })
    }

    fn data(&self, media: &SharedMediaMut) -> Result<Extent, Refusal> {
        default_data(self.version, Sectors::from_bytes_floor(media.size_bytes()), self.chunk)
    }

    /// Sectors that every member has, in whole chunks; of RAID 1, in KiB, which is what mdadm keeps.
    fn used_on(&self, members: &[Option<SharedMediaMut>]) -> Result<Sectors, CreateError> {
        let mut least = Sectors(u64::MAX);
        for media in members.iter().flatten() {
            least = least.min(self.data(media)?.len);
        }
        let unit = if self.chunk.is_zero() { Sectors(2) } else { self.chunk };
        let room = least.floor_to(unit);
        match self.used.map(|used| used.floor_to(unit)) {
            None => Ok(room),
            Some(used) if used <= room && !used.is_zero() => Ok(used),
            Some(used) => {
                Err(CreateError::Plan(format!("{used} sectors of each member, where at most {room} are free")))
            }
        }
    }

    /// Makes one member, or only tries whether it can be made.
    fn member(&self, plan: &Member<'_>, writing: bool) -> Result<(), CreateError> {
        let media = plan.media;
        let params = CreateParams {
            version: self.version,
            medium: Sectors::from_bytes_floor(media.size_bytes()),
            level: self.level,
            members: u16::try_from(plan.roles.len()).unwrap_or(u16::MAX),
            chunk: self.chunk,
            used: plan.used,
            data: match self.version {
                Version::V0Little | Version::V0Big => None,
                _ => Some(self.data(media)?),
            },
            array: self.array,
            name: self.name,
            member: crate::host::md_store::new_uuid()?,
            number: plan.number,
            roles: plan.roles,
            created_s: self.created_s,
            sync: plan.sync,
            bitmap: plan.bitmap,
        };
        create(&params, |at, bytes| {
            let offset_bytes = at.0.saturating_mul(SECTOR_BYTES);
            if writing { Ok::<(), CreateError>(media.write_at(offset_bytes, bytes)?) } else { Ok(()) }
        })?;
        if writing { Ok(media.flush()?) } else { Ok(()) }
    }
}

/// One member to be made.
struct Member<'a> {
    number: u32,
    media: &'a SharedMediaMut,
    used: Sectors,
    bitmap: Option<BitmapParams>,
    sync: Sync,
    roles: &'a [Role],
}

/// False where nothing can be out of step: no redundancy, or none left. Parity without a member is no doubt either: what the missing
/// member holds is defined by it (mdadm makes such an array clean too).
fn needs_sync(geometry: &Geometry, missing: raid_core::Columns) -> bool {
    match geometry.level() {
        Level::Linear | Level::Raid0(_) => false,
        Level::Raid4 | Level::Raid5(_) => missing.is_empty(),
        Level::Raid6(_) => missing.len() < 2,
        Level::Raid1 => missing.len() + 1 < u32::from(geometry.members()),
        Level::Raid10(_) => true,
    }
}
