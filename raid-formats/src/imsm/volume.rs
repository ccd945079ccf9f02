//! A volume as one disk of its container tells it.
//!
//! A record's `array` is the UUID that `mdadm` prints, its `events` the generation number, its `member` the disk's serial number as it
//! stands in the table, its `number` a checksum of that: indexes of the table change when a disk that left is taken out of it, serial
//! numbers do not. A disk whose index nobody told is [`Role::Unidentified`].

use super::{
    metadata::{Metadata, RawVolume},
    raw::{DiskStatus, MapHead, MapState, MigrationKind, WriteHole},
    refusal::Refusal,
};
use crate::{
    assemble::Claimant,
    md::{self, crc32c, ppl::Log},
    record::{Format, Name, Notes, Record, Role, Shape, Sync, Uuid, WriteLog},
};
use raid_core::{
    ArrayConfig, Columns, Extent, FarSets, Level, Member, Raid0Layout, Raid5Layout, Raid10Layout, Sector, Sectors,
    Sizes, geometry::Geometry,
};

/// Sectors that several partial parity logs have together (`mdadm`, `MULTIPLE_PPL_AREA_SIZE_IMSM`).
pub const PPL_SECTORS: Sectors = Sectors(2048);
/// Sectors of the only log of old volumes: a header and 128 KiB.
const SINGLE_PPL_SECTORS: Sectors = Sectors(8 + 256);
/// Sectors from where logs would lie to a bitmap (`IMSM_BITMAP_HEADER_OFFSET`).
const BITMAP_SECTORS: u64 = 16;
/// A volume's size and what its stripes give may differ by so many sectors a member (`calc_component_size`).
const ROUNDING_SECTORS: u64 = 2048;

/// A volume of the container, seen by one of its disks.
#[derive(Clone, Copy, Debug)]
pub struct Volume<'a> {
    metadata: Metadata<'a>,
    raw: RawVolume<'a>,
    own: Option<u8>,
    record: Record,
}

impl<'a> Metadata<'a> {
    /// The volumes as the disk with index `own` tells them; `None` if nobody knows which disk this is. A volume that cannot be used
    /// is a [`Refusal`] in its place.
    pub fn volumes_of(&self, own: Option<u8>) -> impl Iterator<Item = Result<Volume<'a>, Refusal>> + use<'a> {
        let metadata = *self;
        metadata.volumes().map(move |raw| Volume::new(metadata, raw, own))
    }

    /// The volume with that index.
    ///
    /// # Errors
    /// [`Refusal`] if there is none, or it cannot be used.
    pub fn volume(&self, index: u8, own: Option<u8>) -> Result<Volume<'a>, Refusal> {
        let raw = self.volumes().nth(index.into()).ok_or(Refusal::NoEntry { what: "a volume" })?;
        Volume::new(*self, raw, own)
    }

    /// True if a disk of that number is in the table, and did not fail.
    #[must_use]
    pub fn knows(&self, number: u32) -> bool {
        let living = |disk: &&super::raw::Disk| !disk.flags().contains(DiskStatus::FAILED);
        self.disks().iter().filter(living).any(|disk| self::number(&disk.serial) == number)
    }

    /// Identity of a disk for [`Record::number`].
    #[must_use]
    pub fn number_of(&self, index: u8) -> u32 {
        self.disk(index.into()).map_or(0, |disk| number(&disk.serial))
    }
}

fn number(serial: &[u8]) -> u32 {
    !crc32c(!0, serial)
}

impl<'a> Volume<'a> {
    fn new(metadata: Metadata<'a>, raw: RawVolume<'a>, own: Option<u8>) -> Result<Self, Refusal> {
        let record = Describe { metadata, raw, own }.record()?;
        Ok(Self { metadata, raw, own, record })
    }

    /// The record that it was read from.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata<'a> {
        &self.metadata
    }

    /// The volume as it stands there.
    #[must_use]
    pub const fn raw(&self) -> &RawVolume<'a> {
        &self.raw
    }

    /// The partial parity log, if what it holds may be replayed: not while redundancy is still being made.
    ///
    /// Its headers carry the container's family number, and count logical blocks (`mdadm`, `validate_ppl_imsm`; `raid5-ppl.c`).
    #[must_use]
    pub fn ppl(&self) -> Option<Log> {
        let WriteLog::Ppl { at: area, multiple } = self.record.log else { return None };
        let resync = [MigrationKind::Initialise, MigrationKind::Repair];
        let kind = MigrationKind::of(self.raw.migration.migr_type, self.raw.head.flags());
        let making = self.raw.old_map.is_some() && kind.is_some_and(|kind| resync.contains(&kind));
        let uninitialised = self.raw.map_now().head.map_state == MapState::Uninitialised as u8;
        let signature = self.metadata.header().orig_family_num.get();
        let unit = Sectors(self.metadata.place().block_sectors());
        (!making && !uninitialised).then_some(Log { area, multiple, signature, unit })
    }

    /// Runs of this disk that its log of bad blocks lists, on the medium.
    pub fn bad_blocks(&self) -> impl Iterator<Item = Extent> + use<'a> {
        let (own, scale) = (self.own, self.metadata.place().block_sectors());
        let mine = self.metadata.bad_blocks().filter(move |(disk, ..)| Some(*disk) == own);
        mine.map(move |(_, at, len)| Extent {
            at: Sector(at.saturating_mul(scale)),
            len: Sectors(len.saturating_mul(scale)),
        })
    }
}

impl Claimant for Volume<'_> {
    fn record(&self) -> &Record {
        &self.record
    }

    fn role_of(&self, number: u32) -> Role {
        let known = self.metadata.disks().iter().zip(0..).find(|(disk, _)| self::number(&disk.serial) == number);
        // Of a disk that failed or left, the table keeps the serial number changed: it is not found.
        let Some((disk, index)) = known else { return Role::Faulty };
        match self.raw.map.slot_of(index) {
            _ if disk.flags().contains(DiskStatus::FAILED) => Role::Faulty,
            Some(slot) => Role::Slot(slot),
            None if disk.flags().contains(DiskStatus::SPARE) => Role::Spare,
            None => Role::Faulty,
        }
    }
}

/// The level of a map. What is called level 1 is RAID 10 where it has more than two disks.
///
/// # Errors
/// [`Refusal::Level`].
pub fn level(map: &MapHead) -> Result<Level, Refusal> {
    let ten = Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All };
    match (map.raid_level, map.num_members) {
        // Members are alike, so the layouts of Linux's zones do not differ.
        (0, 1..) => Ok(Level::Raid0(Raid0Layout::Alternate)),
        (1, 2) => Ok(Level::Raid1),
        (1, members @ 4..) | (10, members @ 2..) if members.is_multiple_of(2) => Ok(Level::Raid10(ten)),
        (5, 3..) => Ok(Level::Raid5(Raid5Layout::LeftAsymmetric)),
        (level, members) => Err(Refusal::Level { level, members }),
    }
}

/// Sectors of each member by which a rebuild's unit moves on, on disks with blocks of 512 bytes.
///
/// Source: `mdadm`, `super-intel.c`, `blocks_per_migr_unit`, `migr_strip_blocks_rebuild`, `num_stripes_per_unit_rebuild`.
#[must_use]
pub fn rebuild_unit(map: &MapHead, strip: Sectors) -> Sectors {
    let domains = u64::from(map.num_domains);
    match map.raid_level {
        1 | 10 if u64::from(map.num_members).checked_rem(domains) == Some(0) => Sectors(256 * domains),
        1 | 10 => Sectors(strip.0.saturating_mul(domains)),
        5 => strip.max(Sectors(128)),
        _ => Sectors(256),
    }
}

/// What a [`Record`] is made of.
struct Describe<'a> {
    metadata: Metadata<'a>,
    raw: RawVolume<'a>,
    own: Option<u8>,
}

impl Describe<'_> {
    fn record(&self) -> Result<Record, Refusal> {
        let Self { metadata, raw, own } = self;
        let migration = self.migration()?;
        let level = level(raw.map.head)?;
        let strip = self.sectors(raw.map.head.blocks_per_strip.get().into());
        let at = Sector(self.sectors(raw.map.head.start_block()).0);
        let used = self.used(level, strip);
        self.check_room(at, used)?;
        let slot = own.and_then(|own| raw.map.slot_of(own.into()));
        let disk = own.and_then(|own| metadata.disk(own.into()));
        let (shape, mut notes) = self.shape(level, strip, used);
        let (log, logs) = self.log(level, at, used);
        notes |= logs;
        Ok(Record {
            format: Format::Imsm,
            array: metadata.uuid(Some(raw)),
            name: self.name(),
            member: disk.map_or(Uuid::default(), |disk| Uuid(disk.serial)),
            number: disk.map_or(0, |disk| number(&disk.serial)),
            role: match (own, disk, slot) {
                (None, ..) => Role::Unidentified,
                (_, Some(disk), _) if disk.flags().contains(DiskStatus::FAILED) => Role::Faulty,
                (_, _, Some(slot)) => Role::Slot(slot),
                (_, _, None) => Role::Spare,
            },
            events: u64::from(metadata.header().generation_num.get()),
            updated_s: 0,
            created_s: metadata.header().creation_time.get(),
            shape,
            data: Extent { at, len: used },
            used: if matches!(level, Level::Raid0(_)) { Sectors::ZERO } else { used.floor_to(shape.chunk) },
            sync_mark: slot.and_then(|slot| self.mark(slot, migration, strip)),
            replacement: false,
            sync: self.sync(migration),
            reshape: None,
            log,
            bad_blocks: None,
            table_in_sync: self.in_sync(),
            write_mostly: false,
            fail_fast: false,
            logical_block_bytes: if metadata.place().block_bytes == 512 { 0 } else { metadata.place().block_bytes },
            notes,
        })
    }

    /// Blocks of the disk as sectors.
    fn sectors(&self, blocks: u64) -> Sectors {
        Sectors(blocks.saturating_mul(self.metadata.place().block_sectors()))
    }

    /// What is under way. With anything but a change of shape, both maps must be of one shape.
    fn migration(&self) -> Result<Option<MigrationKind>, Refusal> {
        let Some(old) = &self.raw.old_map else { return Ok(None) };
        let number = self.raw.migration.migr_type;
        let kind = MigrationKind::of(number, self.raw.head.flags()).ok_or(Refusal::UnknownMigration(number))?;
        if matches!(kind, MigrationKind::General | MigrationKind::StateChange) {
            return Err(Refusal::Migration(kind));
        }
        let (new, old) = (self.raw.map.head, old.head);
        let fields = [
            ("pba_of_lba0", new.start_block() == old.start_block()),
            ("blocks_per_strip", new.blocks_per_strip == old.blocks_per_strip),
            ("raid_level", new.raid_level == old.raid_level),
            ("num_members", new.num_members == old.num_members),
        ];
        match fields.into_iter().find(|(_, same)| !same) {
            Some((field, _)) => Err(Refusal::OtherMap { field }),
            None => Ok(Some(kind)),
        }
    }

    /// Sectors of each member that hold data: what the stripes give, unless that is far from the volume's size.
    ///
    /// Source: `mdadm`, `super-intel.c`, `per_dev_array_size`, `calc_component_size`.
    fn used(&self, level: Level, strip: Sectors) -> Sectors {
        let map = self.raw.map.head;
        let copies = if matches!(level, Level::Raid1 | Level::Raid10(_)) { 2 } else { 1 };
        let members = u64::from(map.num_members);
        let data = match level {
            Level::Raid0(_) => members,
            Level::Raid5(_) => members.saturating_sub(1),
            _ => members / 2,
        };
        let each = map.data_stripes().saturating_mul(strip.0).saturating_mul(copies);
        let size = self.sectors(self.raw.head.size_blocks()).0;
        if each.saturating_mul(data).abs_diff(size) > ROUNDING_SECTORS.saturating_mul(data) {
            Sectors(size.checked_div(data).unwrap_or(0))
        } else {
            Sectors(each)
        }
    }

    /// The data must end before the record begins.
    fn check_room(&self, at: Sector, used: Sectors) -> Result<(), Refusal> {
        let start = self.metadata.place().start();
        match at.checked_add(used) {
            Some(end) if end <= start => Ok(()),
            _ => {
                let (at, len_sectors) = (i128::from(at.0), used.0);
                let refusal = md::Refusal::Outside { what: "volume", at, len_sectors, medium_sectors: start.0 };
                Err(Refusal::of("volume", refusal))
            }
        }
    }

    /// The shape with the size that the record states; without it if its members cannot give so much.
    #[inline(never)]
    fn shape(&self, level: Level, strip: Sectors, used: Sectors) -> (Shape, Notes) {
        let members = u16::from(self.raw.map.head.num_members);
        let chunk = if level == Level::Raid1 { Sectors::ZERO } else { strip };
        let stated = self.sectors(self.raw.head.size_blocks());
        let fits = |array_size| {
            Geometry::check(&ArrayConfig { level, members, chunk, sizes: Sizes::Same(used), array_size }).is_ok()
        };
        let shape = |array_size| Shape { level, members, chunk, array_size };
        match (fits(Some(stated)), fits(None)) {
            (true, _) => (shape(Some(stated)), Notes::empty()),
            (false, true) => (shape(None), Notes::STATED_SIZE_WRONG),
            // Not a shape of any array: the core will say why, with the numbers as they are.
            (false, false) => (shape(None), Notes::empty()),
        }
    }

    /// What closes the write hole. It lies right behind the data (`mdadm`, `get_ppl_sector`).
    fn log(&self, level: Level, at: Sector, used: Sectors) -> (WriteLog, Notes) {
        let Some(behind) = at.checked_add(used) else { return (WriteLog::None, Notes::empty()) };
        let ppl = |len, multiple| (WriteLog::Ppl { at: Extent { at: behind, len }, multiple }, Notes::empty());
        match (WriteHole::of(self.raw.head.rwh_policy), level) {
            (Some(WriteHole::Bitmap), _) => {
                let at = behind.checked_add(Sectors(BITMAP_SECTORS));
                (at.map_or(WriteLog::None, WriteLog::Bitmap), Notes::empty())
            }
            (Some(WriteHole::Distributed), Level::Raid5(_)) => ppl(SINGLE_PPL_SECTORS, false),
            (Some(WriteHole::MultipleDistributed), Level::Raid5(_)) => ppl(PPL_SECTORS, true),
            (Some(WriteHole::JournalDrive | WriteHole::MultipleJournalDrive) | None, Level::Raid5(_)) => {
                (WriteLog::None, Notes::UNKNOWN_WRITE_LOG)
            }
            _ => (WriteLog::None, Notes::empty()),
        }
    }

    /// How far the disk in `slot` is trusted, if not wholly.
    fn mark(&self, slot: u16, migration: Option<MigrationKind>, strip: Sectors) -> Option<Sectors> {
        let now = self.raw.map_now();
        let rebuilding = |slot: u16| now.member(slot).is_some_and(|(_, rebuild)| rebuild);
        if !rebuilding(slot) {
            return None;
        }
        // With two disks to rebuild nobody knows which of them the mark is of.
        let alone = (0..u16::from(now.head.num_members)).filter(|slot| rebuilding(*slot)).count() == 1;
        if migration != Some(MigrationKind::Rebuild) || !alone {
            return Some(Sectors::ZERO);
        }
        let unit = rebuild_unit(now.head, strip);
        Some(Sectors(self.sectors(self.raw.migration.unit()).0.saturating_mul(unit.0)))
    }

    /// In doubt if dirty or never initialised. `mdadm` keeps volumes dirty throughout a resync: its mark says nothing after a crash.
    fn sync(&self, migration: Option<MigrationKind>) -> Sync {
        let uninitialised = self.raw.map_now().head.map_state == MapState::Uninitialised as u8;
        let dirty = self.raw.migration.flags().contains(super::raw::Dirty::DIRTY);
        let resync = matches!(migration, Some(MigrationKind::Initialise | MigrationKind::Repair));
        if uninitialised || dirty || resync { Sync::DirtyFrom(Sector(0)) } else { Sync::Clean }
    }

    fn in_sync(&self) -> Columns {
        let now = self.raw.map_now();
        let serves = |slot: &u8| {
            let Some((index, rebuild)) = now.member(u16::from(*slot)) else { return false };
            let failed = self.metadata.disk(index).is_none_or(|disk| disk.flags().contains(DiskStatus::FAILED));
            !rebuild && !failed
        };
        (0..now.head.num_members).filter(serves).map(Member).collect()
    }

    fn name(&self) -> Name {
        let mut name = [0; 32];
        for (to, from) in name.iter_mut().zip(self.raw.head.volume) {
            *to = from;
        }
        Name(name)
    }
}
