//! The bytes of Intel's metadata (IMSM, "Matrix RAID"), named and not judged. Little-endian throughout.
//!
//! Source: `mdadm`, `super-intel.c` (`struct imsm_super` and its neighbours), held against disks that `mdadm` 4.2 wrote. The tables are
//! in `docs/formats/imsm.md`. Positions and lengths are in logical blocks of the disk (512 or 4096 bytes), but for `mpb_size` and the
//! sizes of the logs, which are bytes.

use core::mem::offset_of;
use static_assertions::const_assert_eq;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U16, U32, U64},
};

/// How every record starts; six characters of a version follow.
pub const SIGNATURE: &[u8; 24] = b"Intel Raid ISM Cfg Sig. ";
/// Magic number of the log of bad blocks.
pub const MAGIC_BAD_BLOCKS: u32 = 0xABAD_B10C;
/// The index of a disk in an entry of a map's order.
pub const ORDER_INDEX: u32 = 0x00FF_FFFF;
/// In an entry of a map's order: this disk must be rebuilt.
pub const ORDER_REBUILD: u32 = 1 << 24;
/// `failed_disk_num` of a map in which no disk failed.
pub const NO_DISK: u8 = 0xFF;
/// Bytes of a serial number, and of a volume's name.
pub const SERIAL_BYTES: usize = 16;

bitflags::bitflags! {
    /// What a reader must know to read this record.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Attributes: u32 {
        /// RAID 0.
        const RAID0 = 1;
        /// RAID 1.
        const RAID1 = 1 << 1;
        /// RAID 10.
        const RAID10 = 1 << 2;
        /// RAID 1E.
        const RAID1E = 1 << 3;
        /// RAID 5.
        const RAID5 = 1 << 4;
        /// "Clone and go": a volume and its copy.
        const CNG = 1 << 5;
        /// Strips of 256 KiB and more.
        const BIG_STRIPS = 1 << 6;
        /// RAID 10 of more than four disks.
        const RAID10_EXTENDED = 1 << 7;
        /// A volume is cached by a faster disk.
        const NVM_CACHE = 1 << 25;
        /// A disk of more than 2 TiB.
        const DISK_2TB = 1 << 26;
        /// There is a log of bad blocks.
        const BAD_BLOCKS = 1 << 27;
        /// Never used.
        const NEVER_USED_2 = 1 << 28;
        /// A volume of more than 2 TiB.
        const VOLUME_2TB = 1 << 29;
        /// Never used; harmless.
        const NEVER_USED = 1 << 30;
        /// The checksum counts.
        const CHECKSUM = 1 << 31;
    }

    /// What a disk is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DiskStatus: u32 {
        /// Waits for a disk to fail.
        const SPARE = 1;
        /// Part of a volume.
        const CONFIGURED = 1 << 1;
        /// Failed, or gone.
        const FAILED = 1 << 2;
        /// Set by firmware.
        const USABLE = 1 << 3;
        /// Holds the journal of a volume.
        const JOURNAL = 1 << 25;
    }

    /// Status of a volume.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VolumeStatus: u32 {
        /// Can be booted from.
        const BOOTABLE = 1;
        /// Is booted from.
        const BOOT_DEVICE = 1 << 1;
        /// Reads may be merged.
        const READ_COALESCING = 1 << 2;
        /// Writes may be merged.
        const WRITE_COALESCING = 1 << 3;
        /// Firmware found it not stopped cleanly.
        const LAST_SHUTDOWN_DIRTY = 1 << 4;
        /// Hidden from the next start on.
        const HIDDEN_AT_BOOT = 1 << 5;
        /// Hidden.
        const CURRENTLY_HIDDEN = 1 << 6;
        /// A verification that also repairs.
        const VERIFY_AND_FIX = 1 << 7;
        /// Its map was never initialised.
        const MAP_UNINITIALISED = 1 << 8;
        /// Not to be rebuilt without being asked.
        const NO_AUTO_RECOVERY = 1 << 9;
        /// Clone and go.
        const CLONE_N_GO = 1 << 10;
        /// Clone and go, brought up to date by hand.
        const CLONE_MAN_SYNC = 1 << 11;
        /// Clone and go: `cng_master_disk` is set.
        const CNG_MASTER_DISK_NUM = 1 << 12;
    }

    /// The dirty byte of a volume.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Dirty: u8 {
        /// Redundancy may be older than the data.
        const DIRTY = 1;
        /// Partial parity that closes this is on the disks.
        const PARITY_LOGGED = 1 << 1;
    }
}

/// The start of the record: anchor, and first [`HEADER_BYTES`] of the whole.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "docs/formats/imsm.md explains each")]
pub struct Header {
    pub sig: [u8; 32],
    pub check_sum: U32,
    pub mpb_size: U32,
    pub family_num: U32,
    pub generation_num: U32,
    pub error_log_size: U32,
    pub attributes: U32,
    pub num_disks: u8,
    pub num_raid_devs: u8,
    pub error_log_pos: u8,
    pub fill: u8,
    pub cache_size: U32,
    pub orig_family_num: U32,
    pub pwr_cycle_count: U32,
    pub bbm_log_size: U32,
    pub num_raid_devs_created: U16,
    pub filler1: U16,
    pub creation_time: U64,
    pub filler: [u8; 128],
}

/// A disk of the container.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "docs/formats/imsm.md explains each")]
pub struct Disk {
    pub serial: [u8; SERIAL_BYTES],
    pub total_blocks_lo: U32,
    pub scsi_id: U32,
    pub status: U32,
    pub owner_cfg_num: U32,
    pub total_blocks_hi: U32,
    pub filler: [u8; 12],
}

/// A volume without its migration and its maps.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "docs/formats/imsm.md explains each")]
pub struct VolumeHead {
    pub volume: [u8; SERIAL_BYTES],
    pub size_lo: U32,
    pub size_hi: U32,
    pub status: U32,
    pub reserved_blocks: U32,
    pub migr_priority: u8,
    pub num_sub_vols: u8,
    pub tid: u8,
    pub cng_master_disk: u8,
    pub cache_policy: U16,
    pub cng_state: u8,
    pub cng_sub_state: u8,
    pub my_vol_raid_dev_num: U16,
    pub nv_cache_mode: u8,
    pub nv_cache_flags: u8,
    pub nvc_vol_orig_family_num: U32,
    pub nvc_vol_raid_dev_num: U16,
    pub rwh_policy: u8,
    pub jd_serial: [u8; SERIAL_BYTES],
    pub filler1: u8,
    pub filler: [u8; 12],
}

/// What is under way on a volume.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "docs/formats/imsm.md explains each")]
pub struct Migration {
    pub curr_migr_unit_lo: U32,
    pub checkpoint_id: U32,
    pub migr_state: u8,
    pub migr_type: u8,
    pub dirty: u8,
    pub fs_state: u8,
    pub verify_errors: U16,
    pub bad_blocks: U16,
    pub curr_migr_unit_hi: U32,
    pub filler: [u8; 12],
}

/// A map without the order of its disks.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "docs/formats/imsm.md explains each")]
pub struct MapHead {
    pub pba_of_lba0_lo: U32,
    pub blocks_per_member_lo: U32,
    pub num_data_stripes_lo: U32,
    pub blocks_per_strip: U16,
    pub map_state: u8,
    pub raid_level: u8,
    pub num_members: u8,
    pub num_domains: u8,
    pub failed_disk_num: u8,
    pub ddf: u8,
    pub pba_of_lba0_hi: U32,
    pub blocks_per_member_hi: U32,
    pub num_data_stripes_hi: U32,
    pub filler: [u8; 16],
}

/// Head of the log of bad blocks.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "docs/formats/imsm.md explains each")]
pub struct BadBlockHead {
    pub signature: U32,
    pub entry_count: U32,
}

/// Up to 256 bad blocks of a disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "docs/formats/imsm.md explains each")]
pub struct BadBlocks {
    pub marked_count: u8,
    pub disk_ordinal: u8,
    /// Bits 0 to 15 of the first block.
    pub start_lo: U16,
    /// Bits 16 to 47 of the first block.
    pub start_hi: U32,
}

/// Bytes of the fixed start of the record.
pub const HEADER_BYTES: usize = size_of::<Header>();

const_assert_eq!(HEADER_BYTES, 216);
const_assert_eq!(offset_of!(Header, orig_family_num), 64);
const_assert_eq!(offset_of!(Header, creation_time), 80);
const_assert_eq!(size_of::<Disk>(), 48);
const_assert_eq!(size_of::<VolumeHead>(), 80);
const_assert_eq!(offset_of!(VolumeHead, rwh_policy), 50);
const_assert_eq!(size_of::<Migration>(), 32);
const_assert_eq!(offset_of!(Migration, dirty), 10);
const_assert_eq!(size_of::<MapHead>(), 48);
const_assert_eq!(offset_of!(MapHead, pba_of_lba0_hi), 20);
const_assert_eq!(size_of::<BadBlockHead>(), 8);
const_assert_eq!(size_of::<BadBlocks>(), 8);

/// A number in two halves.
const fn join(lo: U32, hi: U32) -> u64 {
    (hi.get() as u64) << 32 | lo.get() as u64
}

/// The low and the high half of a number.
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
const fn split(number: u64) -> (U32, U32) {
    (U32::new(number as u32), U32::new((number >> 32) as u32))
}

/// `get` and `set` of each number that stands in two halves.
macro_rules! halves {
    ($($type:ty: $get:ident $set:ident $lo:ident $hi:ident, $what:literal;)*) => {$(
        impl $type {
            #[doc = $what]
            #[must_use]
            pub const fn $get(&self) -> u64 {
                join(self.$lo, self.$hi)
            }

            #[doc = concat!("Changes: ", $what)]
            pub const fn $set(&mut self, number: u64) {
                (self.$lo, self.$hi) = split(number);
            }
        }
    )*};
}
halves! {
    Disk: total_blocks set_total_blocks total_blocks_lo total_blocks_hi, "Blocks of the disk.";
    VolumeHead: size_blocks set_size_blocks size_lo size_hi, "Blocks of the volume.";
    Migration: unit set_unit curr_migr_unit_lo curr_migr_unit_hi, "How far the migration came, in units.";
    MapHead: start_block set_start_block pba_of_lba0_lo pba_of_lba0_hi, "Block of each disk where its data start.";
    MapHead: member_blocks set_member_blocks blocks_per_member_lo blocks_per_member_hi, "Blocks of each disk.";
    MapHead: data_stripes set_data_stripes num_data_stripes_lo num_data_stripes_hi, "Stripes of the volume.";
}

impl Header {
    /// What a reader must know.
    #[must_use]
    pub const fn flags(&self) -> Attributes {
        Attributes::from_bits_retain(self.attributes.get())
    }
}

impl Disk {
    /// What the disk is.
    #[must_use]
    pub const fn flags(&self) -> DiskStatus {
        DiskStatus::from_bits_retain(self.status.get())
    }
}

impl VolumeHead {
    /// Status of the volume.
    #[must_use]
    pub const fn flags(&self) -> VolumeStatus {
        VolumeStatus::from_bits_retain(self.status.get())
    }
}

impl Migration {
    /// The dirty byte.
    #[must_use]
    pub const fn flags(&self) -> Dirty {
        Dirty::from_bits_retain(self.dirty)
    }
}

impl BadBlocks {
    /// The disk's index in the table, first bad block, and number of blocks.
    #[must_use]
    pub const fn run(&self) -> (u8, u64, u64) {
        let start = (self.start_hi.get() as u64) << 16 | self.start_lo.get() as u64;
        (self.disk_ordinal, start, self.marked_count as u64 + 1)
    }
}

/// State of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MapState {
    /// All disks serve.
    Normal = 0,
    /// Redundancy was never made.
    Uninitialised = 1,
    /// A disk is missing, and redundancy stands in.
    Degraded = 2,
    /// More is missing than the level survives.
    Failed = 3,
}

impl MapState {
    /// The state of that number.
    #[must_use]
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Normal),
            1 => Some(Self::Uninitialised),
            2 => Some(Self::Degraded),
            3 => Some(Self::Failed),
            _ => None,
        }
    }
}

/// What is under way on a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MigrationKind {
    /// Redundancy is made for the first time.
    Initialise = 0,
    /// A disk is being rebuilt.
    Rebuild = 1,
    /// Redundancy is compared.
    Verify = 2,
    /// The volume gets another shape.
    General = 3,
    /// Of a kind that nobody supports.
    StateChange = 4,
    /// Redundancy is compared and mended.
    Repair = 5,
}

impl MigrationKind {
    /// The kind of that number; a verification with [`VolumeStatus::VERIFY_AND_FIX`] is a repair.
    #[must_use]
    pub const fn of(number: u8, status: VolumeStatus) -> Option<Self> {
        match number {
            0 => Some(Self::Initialise),
            1 => Some(Self::Rebuild),
            2 if status.contains(VolumeStatus::VERIFY_AND_FIX) => Some(Self::Repair),
            2 => Some(Self::Verify),
            3 => Some(Self::General),
            4 => Some(Self::StateChange),
            5 => Some(Self::Repair),
            _ => None,
        }
    }

    /// As people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialise => "initialise",
            Self::Rebuild => "rebuild",
            Self::Verify => "verify",
            Self::General => "general migration",
            Self::StateChange => "state change",
            Self::Repair => "repair",
        }
    }
}

/// What closes the write hole of a RAID 5 (`rwh_policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WriteHole {
    /// Nothing.
    Off = 0,
    /// One partial parity log on each disk.
    Distributed = 1,
    /// A journal on a disk of its own.
    JournalDrive = 2,
    /// Several partial parity logs on each disk, in 1 MiB.
    MultipleDistributed = 3,
    /// Several logs on a disk of their own.
    MultipleJournalDrive = 4,
    /// Nothing; there is room for several logs.
    MultipleOff = 5,
    /// A write-intent bitmap.
    Bitmap = 6,
}

impl WriteHole {
    /// The policy of that number.
    #[must_use]
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Off),
            1 => Some(Self::Distributed),
            2 => Some(Self::JournalDrive),
            3 => Some(Self::MultipleDistributed),
            4 => Some(Self::MultipleJournalDrive),
            5 => Some(Self::MultipleOff),
            6 => Some(Self::Bitmap),
            _ => None,
        }
    }

    /// The same without partial parity being logged; the room for it stays (`mdadm`, `--update=no-ppl`).
    #[must_use]
    pub const fn without_log(self) -> Self {
        match self {
            Self::Distributed => Self::Off,
            Self::MultipleDistributed => Self::MultipleOff,
            other => other,
        }
    }
}
