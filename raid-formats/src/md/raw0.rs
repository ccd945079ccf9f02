//! The bytes of superblock 0.90, named and not judged. In the byte order `O` of the machine that wrote it.
//!
//! Source: kernel `include/uapi/linux/raid/md_p.h`, `mdp_super_t`. The two event counters are declared there as two
//! words whose order depends on the writer's: high first on a big-endian machine. That makes each a plain 64-bit number in `O`.

use static_assertions::const_assert_eq;
use zerocopy::{
    BE, FromBytes, Immutable, IntoBytes, KnownLayout, LE, Unaligned,
    byteorder::{ByteOrder, I32, U32, U64},
};

bitflags::bitflags! {
    /// `state` of the superblock.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct State0: u32 {
        /// Stopped cleanly, or idle.
        const CLEAN = 1;
        /// Errors were seen.
        const ERRORS = 1 << 1;
        /// Clustered array; never set on disk by 0.90, defined by `mdadm`.
        const CLUSTERED = 1 << 5;
        /// A bitmap lies right after the superblock.
        const BITMAP_PRESENT = 1 << 8;
    }

    /// `state` of a device descriptor.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DiskState: u32 {
        /// Failed, or missing.
        const FAULTY = 1;
        /// In use.
        const ACTIVE = 1 << 1;
        /// Holds what it should.
        const SYNC = 1 << 2;
        /// No longer part of the array.
        const REMOVED = 1 << 3;
        /// Read last.
        const WRITE_MOSTLY = 1 << 9;
        /// Requests may fail early, without retries.
        const FAIL_FAST = 1 << 10;
    }
}

/// Bytes of the record.
pub const RECORD_BYTES: usize = 4096;
/// Devices that the table has room for.
pub const DISKS_MAX: usize = 27;

/// One device of the table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the kernel's; docs/formats/md.md explains each")]
pub struct Disk<O: ByteOrder> {
    pub number: U32<O>,
    pub major: U32<O>,
    pub minor: U32<O>,
    pub raid_disk: U32<O>,
    pub state: U32<O>,
    pub reserved: [U32<O>; 27],
}

/// The whole record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the kernel's; docs/formats/md.md explains each")]
pub struct Raw0<O: ByteOrder> {
    pub md_magic: U32<O>,
    pub major_version: U32<O>,
    pub minor_version: U32<O>,
    pub patch_version: U32<O>,
    pub gvalid_words: U32<O>,
    pub set_uuid0: U32<O>,
    pub ctime: U32<O>,
    pub level: I32<O>,
    pub size: U32<O>,
    pub nr_disks: U32<O>,
    pub raid_disks: U32<O>,
    pub md_minor: U32<O>,
    pub not_persistent: U32<O>,
    pub set_uuid1: U32<O>,
    pub set_uuid2: U32<O>,
    pub set_uuid3: U32<O>,
    pub gstate_creserved: [U32<O>; 16],
    pub utime: U32<O>,
    pub state: U32<O>,
    pub active_disks: U32<O>,
    pub working_disks: U32<O>,
    pub failed_disks: U32<O>,
    pub spare_disks: U32<O>,
    pub sb_csum: U32<O>,
    pub events: U64<O>,
    pub cp_events: U64<O>,
    pub recovery_cp: U32<O>,
    pub reshape_position: U64<O>,
    pub new_level: I32<O>,
    pub delta_disks: I32<O>,
    pub new_layout: U32<O>,
    pub new_chunk: U32<O>,
    pub gstate_sreserved: [U32<O>; 14],
    pub layout: U32<O>,
    pub chunk_size: U32<O>,
    pub root_pv: U32<O>,
    pub root_block: U32<O>,
    pub pstate_reserved: [U32<O>; 60],
    pub disks: [Disk<O>; DISKS_MAX],
    pub this_disk: Disk<O>,
}

const_assert_eq!(size_of::<Disk<LE>>(), 128);
const_assert_eq!(size_of::<Raw0<LE>>(), RECORD_BYTES);
const_assert_eq!(size_of::<Raw0<BE>>(), RECORD_BYTES);
const_assert_eq!(core::mem::offset_of!(Raw0<LE>, level), 28);
const_assert_eq!(core::mem::offset_of!(Raw0<LE>, set_uuid1), 52);
const_assert_eq!(core::mem::offset_of!(Raw0<LE>, utime), 128);
const_assert_eq!(core::mem::offset_of!(Raw0<LE>, sb_csum), 152);
const_assert_eq!(core::mem::offset_of!(Raw0<LE>, events), 156);
const_assert_eq!(core::mem::offset_of!(Raw0<LE>, cp_events), 164);
const_assert_eq!(core::mem::offset_of!(Raw0<LE>, recovery_cp), 172);
const_assert_eq!(core::mem::offset_of!(Raw0<LE>, reshape_position), 176);
const_assert_eq!(core::mem::offset_of!(Raw0<LE>, new_chunk), 196);
const_assert_eq!(core::mem::offset_of!(Raw0<LE>, layout), 256);
const_assert_eq!(core::mem::offset_of!(Raw0<LE>, disks), 512);
const_assert_eq!(core::mem::offset_of!(Raw0<LE>, this_disk), 3968);
