//! The bytes of SNIA DDF 1.2 and 2.0, named and not judged. Numbers get their byte order from the anchor ([`Order`]).
//!
//! Source: SNIA "Common RAID Disk Data Format" 1.2 and 2.0, section 5; checked against what `mdadm` 4.2 writes (`super-ddf.c`) and what
//! FreeBSD reads (`sys/geom/raid/md_ddf.h`, for the fields of 2.0). The tables are in `docs/formats/ddf.md`.

use super::{
    guid::Guid,
    word::{Full, Half, Order, Wide},
};
use core::mem::offset_of;
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Magic number of a header: anchor, primary and secondary.
pub const MAGIC_HEADER: u32 = 0xDE11_DE11;
/// Magic number of the controller data.
pub const MAGIC_CONTROLLER: u32 = 0xAD11_1111;
/// Magic number of the physical disk records.
pub const MAGIC_PHYSICAL: u32 = 0x2222_2222;
/// Magic number of the virtual disk records.
pub const MAGIC_VIRTUAL: u32 = 0xDDDD_DDDD;
/// Magic number of the physical disk data; `mdadm` before 2011 also wrote it over the physical disk records.
pub const MAGIC_DISK: u32 = 0x3333_3333;
/// Magic number of a virtual disk's configuration record.
pub const MAGIC_CONFIG: u32 = 0xEEEE_EEEE;
/// Magic number of a spare assignment record.
pub const MAGIC_SPARE: u32 = 0x5555_5555;
/// Magic number of a vendor's own configuration record.
pub const MAGIC_VENDOR: u32 = 0x8888_8888;
/// Magic number of the bad block log.
pub const MAGIC_BAD_BLOCKS: u32 = 0xABAD_B10C;

/// Bytes of a header and of every other record of fixed size.
pub const RECORD_BYTES: usize = 512;
/// Bytes of a table's head and of each of its entries.
pub const ENTRY_BYTES: usize = 64;

bitflags::bitflags! {
    /// `PD_Type` without the interface in its top bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DiskKind: u16 {
        /// The identity was made up, the drive has none.
        const FORCED_GUID = 1;
        /// Part of a virtual disk.
        const IN_VIRTUAL_DISK = 1 << 1;
        /// Spare for every virtual disk.
        const GLOBAL_SPARE = 1 << 2;
        /// Spare, as its spare assignment record says.
        const SPARE = 1 << 3;
        /// Configured elsewhere.
        const FOREIGN = 1 << 4;
        /// A disk without RAID.
        const LEGACY = 1 << 5;
    }

    /// `PD_State`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DiskState: u16 {
        /// In use.
        const ONLINE = 1;
        /// Failed.
        const FAILED = 1 << 1;
        /// Being rebuilt.
        const REBUILDING = 1 << 2;
        /// Moving from one state to another.
        const TRANSITION = 1 << 3;
        /// The drive expects to fail.
        const FAILURE_PREDICTED = 1 << 4;
        /// Reads failed and could not be recovered.
        const READ_ERRORS = 1 << 5;
        /// Configured and not there.
        const MISSING = 1 << 6;
    }

    /// `VD_State` above the three bits of [`Condition`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VolumeFlags: u8 {
        /// Its shape is being changed.
        const MORPHING = 1 << 3;
        /// Redundancy may not agree with the data.
        const NOT_CONSISTENT = 1 << 4;
    }

    /// `Spare_Type` of a spare assignment record.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SpareKind: u8 {
        /// For the virtual disks that are listed only.
        const DEDICATED = 1;
        /// Spare again once the failed disk is replaced.
        const REVERTIBLE = 1 << 1;
        /// Holds data as well.
        const ACTIVE = 1 << 2;
        /// For disks of its own enclosure only.
        const ENCLOSURE = 1 << 3;
    }
}

/// Condition of a virtual disk: the low three bits of `VD_State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Condition {
    /// All members serve.
    Optimal = 0,
    /// Serves, with redundancy lost.
    Degraded = 1,
    /// Deleted.
    Deleted = 2,
    /// Members are missing.
    Missing = 3,
    /// Does not serve.
    Failed = 4,
    /// Some redundancy is lost, and some is left.
    PartiallyOptimal = 5,
    /// Taken offline (2.0).
    Offline = 6,
    /// Not defined.
    Reserved = 7,
}

/// How much of a virtual disk was initialised: the low two bits of `Init_State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Init {
    /// Nothing.
    None = 0,
    /// Its first and last blocks.
    Quick = 1,
    /// All of it: redundancy was computed.
    Full = 2,
    /// Not defined.
    Reserved = 3,
}

/// Where a section lies: blocks from its header, and blocks.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's; docs/formats/ddf.md explains each")]
pub struct Section {
    pub offset: Full,
    pub length: Full,
}

/// A header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's; docs/formats/ddf.md explains each")]
pub struct Header {
    pub signature: Full,
    pub crc: Full,
    pub guid: Guid,
    pub revision: [u8; 8],
    pub sequence: Full,
    pub timestamp: Full,
    pub open_flag: u8,
    pub foreign_flag: u8,
    pub disk_grouping: u8,
    pub pad1: [u8; 13],
    pub header_ext: [u8; 32],
    pub primary_lba: Wide,
    pub secondary_lba: Wide,
    pub header_type: u8,
    pub pad2: [u8; 3],
    pub workspace_length: Full,
    pub workspace_lba: Wide,
    pub max_pd_entries: Half,
    pub max_vd_entries: Half,
    pub max_partitions: Half,
    pub config_record_length: Half,
    pub max_primary_elements: Half,
    pub max_mapped_blocks: Full,
    pub pad3: [u8; 50],
    pub controller: Section,
    pub physical: Section,
    pub virtual_disks: Section,
    pub config: Section,
    pub disk_data: Section,
    pub bad_blocks: Section,
    pub diagnostics: Section,
    pub vendor_logs: Section,
    pub pad4: [u8; 256],
}

/// Controller data.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's; docs/formats/ddf.md explains each")]
pub struct Controller {
    pub signature: Full,
    pub crc: Full,
    pub guid: Guid,
    pub vendor_id: Half,
    pub device_id: Half,
    pub sub_vendor_id: Half,
    pub sub_device_id: Half,
    pub product_id: [u8; 16],
    pub pad1: [u8; 8],
    pub vendor_data: [u8; 448],
}

/// Head of the physical and of the virtual disk records.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's; docs/formats/ddf.md explains each")]
pub struct TableHead {
    pub signature: Full,
    pub crc: Full,
    pub populated: Half,
    pub max: Half,
    pub pad1: [u8; 52],
}

/// A physical disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's; docs/formats/ddf.md explains each")]
pub struct PhysicalEntry {
    pub guid: Guid,
    pub reference: Full,
    pub disk_type: Half,
    pub state: Half,
    pub configured_size: Wide,
    pub path: [u8; 18],
    pub block_size: Half,
    pub pad1: [u8; 4],
}

/// A virtual disk.
///
/// `VD_Type` is one number of 32 bits: the low half has flags, the high half a checksum of the controller's identity.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's; docs/formats/ddf.md explains each")]
pub struct VirtualEntry {
    pub guid: Guid,
    pub number: Half,
    pub pad1: [u8; 2],
    pub volume_type: Full,
    pub state: u8,
    pub init_state: u8,
    pub failures_left: u8,
    pub pad2: [u8; 13],
    pub name: [u8; 16],
}

/// The fixed part of a virtual disk's configuration record; references and starts of its members follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's; docs/formats/ddf.md explains each")]
pub struct Config {
    pub signature: Full,
    pub crc: Full,
    pub guid: Guid,
    pub timestamp: Full,
    pub sequence: Full,
    pub pad1: [u8; 24],
    pub primary_count: Half,
    pub strip_shift: u8,
    pub primary_level: u8,
    pub level_qualifier: u8,
    pub secondary_count: u8,
    pub secondary_seq: u8,
    pub secondary_level: u8,
    pub blocks: Wide,
    pub volume_blocks: Wide,
    pub block_size: Half,
    pub rotate_parity: u8,
    pub pad2: [u8; 5],
    pub spares: [Full; 8],
    pub cache_policy: [u8; 8],
    pub background_rate: u8,
    pub pad3: [u8; 3],
    pub mdf_parity_disks: u8,
    pub mdf_polynomial: Half,
    pub pad4: u8,
    pub mdf_constants: u8,
    pub pad5: [u8; 47],
    pub pad6: [u8; 192],
    pub v0: [u8; 32],
    pub v1: [u8; 32],
    pub v2: [u8; 16],
    pub v3: [u8; 16],
    pub vendor_data: [u8; 32],
}

/// The fixed part of a spare assignment record; [`SpareEntry`]s follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's; docs/formats/ddf.md explains each")]
pub struct SpareHead {
    pub signature: Full,
    pub crc: Full,
    pub timestamp: Full,
    pub pad1: [u8; 7],
    pub spare_type: u8,
    pub populated: Half,
    pub max: Half,
    pub pad2: [u8; 8],
}

/// A virtual disk that a spare serves.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's; docs/formats/ddf.md explains each")]
pub struct SpareEntry {
    pub guid: Guid,
    pub secondary_element: Half,
    pub pad1: [u8; 6],
}

/// Physical disk data: which physical disk this one is.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's; docs/formats/ddf.md explains each")]
pub struct DiskData {
    pub signature: Full,
    pub crc: Full,
    pub guid: Guid,
    pub reference: Full,
    pub forced_reference: u8,
    pub forced_guid: u8,
    pub vendor_data: [u8; 32],
    pub pad1: [u8; 442],
}

/// Head of the bad block log; [`BadBlockEntry`]s follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's; docs/formats/ddf.md explains each")]
pub struct BadBlockHead {
    pub signature: Full,
    pub crc: Full,
    pub entry_count: Half,
    pub spare_count: Full,
    pub pad1: [u8; 10],
    pub first_spare_lba: Wide,
}

/// A run of blocks that was moved elsewhere.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's; docs/formats/ddf.md explains each")]
pub struct BadBlockEntry {
    pub defective_lba: Wide,
    pub spare_offset: Full,
    pub count: Half,
    pub pad1: [u8; 2],
}

impl Section {
    /// Blocks from the header, and blocks; `None` if the section is absent.
    #[must_use]
    pub fn run(self, order: Order) -> Option<(u32, u32)> {
        let (offset, length) = (self.offset.get(order), self.length.get(order));
        (offset != u32::MAX && length != 0 && length != u32::MAX).then_some((offset, length))
    }
}

impl PhysicalEntry {
    /// Kind of disk.
    #[must_use]
    pub fn kind(&self, order: Order) -> DiskKind {
        DiskKind::from_bits_retain(self.disk_type.get(order))
    }

    /// State of the disk.
    #[must_use]
    pub fn disk_state(&self, order: Order) -> DiskState {
        DiskState::from_bits_retain(self.state.get(order))
    }
}

impl VirtualEntry {
    /// Condition of the volume.
    #[must_use]
    pub const fn condition(&self) -> Condition {
        match self.state & 7 {
            0 => Condition::Optimal,
            1 => Condition::Degraded,
            2 => Condition::Deleted,
            3 => Condition::Missing,
            4 => Condition::Failed,
            5 => Condition::PartiallyOptimal,
            6 => Condition::Offline,
            _ => Condition::Reserved,
        }
    }

    /// The bits above the condition.
    #[must_use]
    pub const fn flags(&self) -> VolumeFlags {
        VolumeFlags::from_bits_retain(self.state & !7)
    }

    /// How much was initialised.
    #[must_use]
    pub const fn init(&self) -> Init {
        match self.init_state & 3 {
            0 => Init::None,
            1 => Init::Quick,
            2 => Init::Full,
            _ => Init::Reserved,
        }
    }
}

const_assert_eq!(size_of::<Header>(), RECORD_BYTES);
const_assert_eq!(offset_of!(Header, sequence), 40);
const_assert_eq!(offset_of!(Header, primary_lba), 96);
const_assert_eq!(offset_of!(Header, header_type), 112);
const_assert_eq!(offset_of!(Header, max_pd_entries), 128);
const_assert_eq!(offset_of!(Header, controller), 192);
const_assert_eq!(offset_of!(Header, pad4), 256);
const_assert_eq!(size_of::<Controller>(), RECORD_BYTES);
const_assert_eq!(offset_of!(Controller, product_id), 40);
const_assert_eq!(size_of::<TableHead>(), ENTRY_BYTES);
const_assert_eq!(size_of::<PhysicalEntry>(), ENTRY_BYTES);
const_assert_eq!(offset_of!(PhysicalEntry, configured_size), 32);
const_assert_eq!(offset_of!(PhysicalEntry, block_size), 58);
const_assert_eq!(size_of::<VirtualEntry>(), ENTRY_BYTES);
const_assert_eq!(offset_of!(VirtualEntry, state), 32);
const_assert_eq!(offset_of!(VirtualEntry, name), 48);
const_assert_eq!(size_of::<Config>(), RECORD_BYTES);
const_assert_eq!(offset_of!(Config, primary_count), 64);
const_assert_eq!(offset_of!(Config, blocks), 72);
const_assert_eq!(offset_of!(Config, spares), 96);
const_assert_eq!(offset_of!(Config, cache_policy), 128);
const_assert_eq!(offset_of!(Config, mdf_parity_disks), 140);
const_assert_eq!(offset_of!(Config, v0), 384);
const_assert_eq!(offset_of!(Config, vendor_data), 480);
const_assert_eq!(size_of::<SpareHead>(), 32);
const_assert_eq!(offset_of!(SpareHead, spare_type), 19);
const_assert_eq!(size_of::<SpareEntry>(), 32);
const_assert_eq!(size_of::<DiskData>(), RECORD_BYTES);
const_assert_eq!(size_of::<BadBlockHead>(), 32);
const_assert_eq!(offset_of!(BadBlockHead, first_spare_lba), 24);
const_assert_eq!(size_of::<BadBlockEntry>(), 16);
