//! The bytes of superblock 1.x, named and not judged. Everything is little-endian.
//!
//! Source: kernel `include/uapi/linux/raid/md_p.h`, `struct mdp_superblock_1`; the field at 224 is
//! `logical_block_size` since Linux 6.19. The table is in `docs/formats/md.md`.

use static_assertions::const_assert_eq;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{I16, I32, U16, U32, U64},
};

bitflags::bitflags! {
    /// `feature_map` of 1.x.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u32 {
        /// A bitmap lies at `bitmap_offset`.
        const BITMAP_OFFSET = 0x1;
        /// `recovery_offset` must be honoured.
        const RECOVERY_OFFSET = 0x2;
        /// A reshape is under way.
        const RESHAPE_ACTIVE = 0x4;
        /// The bad block list is not empty.
        const BAD_BLOCKS = 0x8;
        /// This member takes over from another with the same role.
        const REPLACEMENT = 0x10;
        /// The reshape keeps the number of members and runs backwards.
        const RESHAPE_BACKWARDS = 0x20;
        /// `new_offset` must be honoured.
        const NEW_OFFSET = 0x40;
        /// The recovery under way follows the bitmap.
        const RECOVERY_BITMAP = 0x80;
        /// The bitmap's own version counts (clustered).
        const BITMAP_VERSIONED = 0x100;
        /// The array has a journal member.
        const JOURNAL = 0x200;
        /// A partial parity log.
        const PPL = 0x400;
        /// An area of several partial parity logs.
        const MULTIPLE_PPLS = 0x800;
        /// `layout` means something in RAID 0.
        const RAID0_LAYOUT = 0x1000;
    }

    /// `devflags` of 1.x.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeviceFlags: u8 {
        /// Read last.
        const WRITE_MOSTLY = 1;
        /// Requests may fail early, without retries.
        const FAIL_FAST = 2;
    }
}

/// Bytes before the role table.
pub const HEAD_BYTES: usize = 256;
/// Bytes of the whole record, as it is read and written.
pub const RECORD_BYTES: usize = 4096;
/// Roles that the record has room for.
pub const ROLES_MAX: usize = (RECORD_BYTES - HEAD_BYTES) / 2;

/// The fixed part of superblock 1.x.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the kernel's; docs/formats/md.md explains each")]
pub struct Head {
    pub magic: U32,
    pub major_version: U32,
    pub feature_map: U32,
    pub pad0: U32,
    pub set_uuid: [u8; 16],
    pub set_name: [u8; 32],
    pub ctime: U64,
    pub level: I32,
    pub layout: U32,
    pub size: U64,
    pub chunksize: U32,
    pub raid_disks: U32,
    /// Also `ppl { offset: i16, size: u16 }`, see [`Head::ppl`].
    pub bitmap_offset: I32,
    pub new_level: I32,
    pub reshape_position: U64,
    pub delta_disks: I32,
    pub new_layout: U32,
    pub new_chunk: U32,
    pub new_offset: I32,
    pub data_offset: U64,
    pub data_size: U64,
    pub super_offset: U64,
    /// On the journal member: `journal_tail`.
    pub recovery_offset: U64,
    pub dev_number: U32,
    pub cnt_corrected_read: U32,
    pub device_uuid: [u8; 16],
    pub devflags: u8,
    pub bblog_shift: u8,
    pub bblog_size: U16,
    pub bblog_offset: I32,
    pub utime: U64,
    pub events: U64,
    pub resync_offset: U64,
    pub sb_csum: U32,
    pub max_dev: U32,
    pub logical_block_size: U32,
    pub pad3: [u8; 28],
}

/// The whole record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Raw1 {
    /// The fixed part.
    pub head: Head,
    /// `dev_roles`, of which `max_dev` count, and then whatever the writer left there.
    pub dev_roles: [U16; ROLES_MAX],
}

impl Head {
    /// The word at 96 as the partial parity log's place: sectors from the superblock, and size in sectors.
    #[must_use]
    pub fn ppl(&self) -> (i16, u16) {
        let [a, b, c, d] = self.bitmap_offset.to_bytes();
        (I16::from_bytes([a, b]).get(), U16::from_bytes([c, d]).get())
    }
}

const_assert_eq!(size_of::<Head>(), HEAD_BYTES);
const_assert_eq!(size_of::<Raw1>(), RECORD_BYTES);
const_assert_eq!(core::mem::offset_of!(Head, set_uuid), 16);
const_assert_eq!(core::mem::offset_of!(Head, ctime), 64);
const_assert_eq!(core::mem::offset_of!(Head, level), 72);
const_assert_eq!(core::mem::offset_of!(Head, bitmap_offset), 96);
const_assert_eq!(core::mem::offset_of!(Head, reshape_position), 104);
const_assert_eq!(core::mem::offset_of!(Head, new_offset), 124);
const_assert_eq!(core::mem::offset_of!(Head, data_offset), 128);
const_assert_eq!(core::mem::offset_of!(Head, recovery_offset), 152);
const_assert_eq!(core::mem::offset_of!(Head, device_uuid), 168);
const_assert_eq!(core::mem::offset_of!(Head, bblog_offset), 188);
const_assert_eq!(core::mem::offset_of!(Head, utime), 192);
const_assert_eq!(core::mem::offset_of!(Head, sb_csum), 216);
const_assert_eq!(core::mem::offset_of!(Head, logical_block_size), 224);
const_assert_eq!(core::mem::offset_of!(Head, pad3), 228);
