//! The write-intent bitmap: which chunks of the array may be out of sync.
//!
//! Source: kernel `drivers/md/md-bitmap.h`, `md-bitmap.c` (`md_bitmap_read_sb`), `md-llbitmap.c`; `mdadm`,
//! `bitmap.h`. The header is little-endian everywhere. Bits of version 3 are in the writer's order, which this code
//! takes to be little-endian. dm-raid uses the same record with no identity in it.

use crate::{
    md::{Fault, Refusal, Superblock, fault, place::beside},
    record::WriteLog,
    source::Source,
};
use core::mem::offset_of;
use raid_core::{SECTOR_BYTES, Sector, Sectors};
use static_assertions::const_assert_eq;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U32, U64},
};

/// "bitm".
pub const MAGIC: u32 = 0x6D74_6962;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 256;
/// Least working space for reading the marks.
const BUFFER_BYTES_MIN: usize = 512;
/// Version of a bitmap that a cluster shares.
const VERSION_CLUSTERED: u32 = 5;
/// Version of the lockless bitmap: a byte for each chunk.
const VERSION_LOCKLESS: u32 = 6;
/// Where the bytes of a lockless bitmap start.
const LOCKLESS_DATA_BYTES: u64 = 1024;
/// Nodes of a cluster have a bitmap each, every one starting at a multiple of this.
const NODE_ALIGN_BYTES: u64 = 4096;

bitflags::bitflags! {
    /// `state` of the bitmap.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct BitmapState: u32 {
        /// Not kept up to date: everything counts as dirty.
        const STALE = 1 << 1;
        /// A write to it failed.
        const WRITE_ERROR = 1 << 2;
        /// Lockless: never used yet.
        const FIRST_USE = 1 << 3;
        /// Lockless: the array was clean.
        const CLEAN = 1 << 4;
        /// Bits in the writer's order (version 3).
        const HOST_ENDIAN = 1 << 15;
    }
}

/// The header's bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the kernel's; docs/formats/md.md explains each")]
pub struct RawBitmap {
    pub magic: U32,
    pub version: U32,
    pub uuid: [u8; 16],
    pub events: U64,
    pub events_cleared: U64,
    pub sync_size: U64,
    pub state: U32,
    pub chunksize: U32,
    pub daemon_sleep: U32,
    pub write_behind: U32,
    pub sectors_reserved: U32,
    pub nodes: U32,
    pub cluster_name: [u8; 64],
    pub pad: [u8; 120],
}

const_assert_eq!(size_of::<RawBitmap>(), HEADER_BYTES);
const_assert_eq!(offset_of!(RawBitmap, events), 24);
const_assert_eq!(offset_of!(RawBitmap, sync_size), 40);
const_assert_eq!(offset_of!(RawBitmap, chunksize), 52);
const_assert_eq!(offset_of!(RawBitmap, cluster_name), 72);

/// A header that passed the checks.
#[derive(Clone, Copy, Debug)]
pub struct Bitmap<'a> {
    raw: &'a RawBitmap,
    chunk: Sectors,
}

impl<'a> Bitmap<'a> {
    /// Reads a header.
    ///
    /// # Errors
    /// The first [`Refusal`]. The identity is not compared: dm-raid leaves it empty.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let (raw, _) = RawBitmap::ref_from_prefix(bytes)
            .map_err(|_| Refusal::Truncated { found: bytes.len(), expected: HEADER_BYTES })?;
        if raw.magic.get() != MAGIC {
            return Err(Refusal::NoMagic { offset: 0, found: raw.magic.get(), expected: MAGIC });
        }
        let version = raw.version.get();
        if !(3..=VERSION_LOCKLESS).contains(&version) {
            return Err(Refusal::range("version", 4, version, 3, u64::from(VERSION_LOCKLESS)));
        }
        let chunk_bytes = raw.chunksize.get();
        if !chunk_bytes.is_power_of_two() || u64::from(chunk_bytes) < SECTOR_BYTES {
            return Err(Refusal::range("chunksize (a power of two)", 52, chunk_bytes, SECTOR_BYTES, 1 << 31));
        }
        Ok(Self { raw, chunk: Sectors::from_bytes_floor(u64::from(chunk_bytes)) })
    }

    /// The header's bytes as they are.
    #[must_use]
    pub fn emit(&self) -> &'a [u8; HEADER_BYTES] {
        zerocopy::transmute_ref!(self.raw)
    }

    /// The fields by their names.
    #[must_use]
    pub const fn raw(&self) -> &'a RawBitmap {
        self.raw
    }

    /// Sectors that one bit stands for.
    #[must_use]
    pub const fn chunk(&self) -> Sectors {
        self.chunk
    }

    /// Chunks of the array (RAID 1 and 10) or of each member (RAID 4, 5, 6), one bit for each.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        let chunk = self.chunk.0.max(1);
        self.raw.sync_size.get().div_ceil(chunk)
    }

    /// Flags of the header.
    #[must_use]
    pub fn state(&self) -> BitmapState {
        BitmapState::from_bits_retain(self.raw.state.get())
    }

    /// True for version 6: a byte for each chunk instead of a bit.
    #[must_use]
    pub fn lockless(&self) -> bool {
        self.raw.version.get() == VERSION_LOCKLESS
    }

    /// Bitmaps one behind the other: one for each node of a cluster, otherwise one.
    fn nodes(&self) -> u64 {
        match self.raw.version.get() {
            VERSION_CLUSTERED => u64::from(self.raw.nodes.get()).max(1),
            _ => 1,
        }
    }

    /// Byte from the header's start at which the chunks' marks start, and how many bytes there are of them.
    fn marks(&self) -> (u64, u64) {
        match self.lockless() {
            true => (LOCKLESS_DATA_BYTES, self.chunks()),
            false => (HEADER_BYTES as u64, self.chunks().div_ceil(8)),
        }
    }

    /// Distance of two nodes' bitmaps, and the bytes of all of them.
    fn node_stride(&self) -> Option<(u64, u64)> {
        let (from, len) = self.marks();
        let one = from.checked_add(len)?;
        let stride = one.checked_next_multiple_of(NODE_ALIGN_BYTES)?;
        let all = stride.checked_mul(self.nodes().saturating_sub(1))?.checked_add(one)?;
        Some((stride, all))
    }

    /// The chunks that `byte` at `index` of the marks calls dirty.
    fn dirty_in(&self, byte: u8, index: u64) -> impl Iterator<Item = u64> {
        let lockless = self.lockless();
        // Lockless states 2, 3 and 4 are dirty, to be synced, and being synced; the others agree or were never written.
        let set = if lockless { u8::from(matches!(byte, 2..=4)) } else { byte };
        let (first, chunks) = (if lockless { index } else { index.saturating_mul(8) }, self.chunks());
        let bits = (0..8_u8).filter(move |bit| set >> bit & 1 == 1);
        bits.map(move |bit| first.saturating_add(u64::from(bit))).filter(move |chunk| *chunk < chunks)
    }
}

/// What a bitmap says, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapSummary {
    /// Version: 3 and 4 plain, 5 clustered, 6 lockless.
    pub version: u32,
    /// The superblock's events when it was last known to be complete.
    pub events: u64,
    /// A member with at least these events needs only the dirty chunks.
    pub events_cleared: u64,
    /// Sectors of a chunk.
    pub chunk: Sectors,
    /// How many chunks there are.
    pub chunks: u64,
    /// How many may be out of sync, as stored. If `stale`, all of them are.
    pub dirty: u64,
    /// Not kept up to date with the superblock: all chunks count as dirty.
    pub stale: bool,
}

/// Reads the whole bitmap that belongs to `superblock` and calls `dirty` with every chunk that it marks; `None` if there is none.
///
/// A clustered bitmap can give the same chunk once for each node. `buf` is working space of at least 512 bytes; more means fewer reads.
///
/// # Errors
/// The medium's; a header that does not parse or belongs to another array; a bitmap longer than the medium.
pub fn read_bitmap<S: Source>(
    source: &S,
    superblock: &Superblock,
    buf: &mut [u8],
    mut dirty: impl FnMut(u64),
) -> Result<Option<BitmapSummary>, Fault<S::Error>> {
    let record = superblock.record();
    let WriteLog::Bitmap(at) = record.log else { return Ok(None) };
    read_bitmap_at(source, at, (superblock.bitmap_uuid(), record.events), buf, &mut dirty).map(Some)
}

/// Reads the whole bitmap at `at` of `source`, which must have that identity and be of an array with so many events. See [`read_bitmap`];
/// dm-raid, whose bitmaps have no identity, has them on a device of their own.
///
/// # Errors
/// As [`read_bitmap`].
pub fn read_bitmap_at<S: Source>(
    source: &S,
    at: Sector,
    (identity, array_events): ([u8; 16], u64),
    buf: &mut [u8],
    mut dirty: impl FnMut(u64),
) -> Result<BitmapSummary, Fault<S::Error>> {
    let medium = Sectors::from_bytes_floor(source.size_bytes());
    let mut header = [0; HEADER_BYTES];
    fault::read(source, at, &mut header)?;
    let bitmap = Bitmap::parse(&header)?;
    check_identity(&bitmap, identity)?;
    let outside =
        Refusal::Outside { what: "bitmap", at: i128::from(at.0), len_sectors: u64::MAX, medium_sectors: medium.0 };
    let (_, total) = bitmap.node_stride().ok_or(outside)?;
    beside("bitmap", at, 0, Sectors(total.div_ceil(SECTOR_BYTES)), medium)?;

    let mut count: u64 = 0;
    scan(source, at, &bitmap, buf, |chunk| {
        count = count.saturating_add(1);
        dirty(chunk);
    })?;
    let events = bitmap.raw.events.get();
    Ok(BitmapSummary {
        version: bitmap.raw.version.get(),
        events,
        events_cleared: bitmap.raw.events_cleared.get(),
        chunk: bitmap.chunk,
        chunks: bitmap.chunks(),
        dirty: count,
        stale: events < array_events || bitmap.state().contains(BitmapState::STALE),
    })
}

/// What the bitmap that belongs to `superblock` says in short; `None` if there is none. See [`read_bitmap`].
///
/// # Errors
/// As [`read_bitmap`].
pub fn bitmap_summary<S: Source>(
    source: &S,
    superblock: &Superblock,
    buf: &mut [u8],
) -> Result<Option<BitmapSummary>, Fault<S::Error>> {
    read_bitmap(source, superblock, buf, |_| ())
}

fn check_identity(bitmap: &Bitmap, identity: [u8; 16]) -> Result<(), Refusal> {
    let [a, b, c, d, ..] = identity;
    let [e, f, g, h, ..] = bitmap.raw.uuid;
    if bitmap.raw.uuid == identity {
        return Ok(());
    }
    let (found, expected) = (u32::from_le_bytes([e, f, g, h]), u32::from_le_bytes([a, b, c, d]));
    Err(Refusal::Identity { offset: 8, found, expected })
}

fn scan<S: Source>(
    source: &S,
    at: Sector,
    bitmap: &Bitmap,
    buf: &mut [u8],
    mut dirty: impl FnMut(u64),
) -> Result<(), Fault<S::Error>> {
    if buf.len() < BUFFER_BYTES_MIN {
        return Err(Fault::Buffer { found: buf.len(), expected: BUFFER_BYTES_MIN });
    }
    let (from, len) = bitmap.marks();
    let (stride, _) = bitmap.node_stride().unwrap_or_default();
    let start = at.bytes().unwrap_or(u64::MAX);
    for node in 0..bitmap.nodes() {
        let node_start = start.saturating_add(node.saturating_mul(stride)).saturating_add(from);
        let mut done: u64 = 0;
        while done < len {
            let left = usize::try_from(len.saturating_sub(done)).unwrap_or(usize::MAX);
            let size = left.min(buf.len());
            let (piece, _) = fault::part(buf, size)?;
            let place = node_start.saturating_add(done);
            source.read_at(place, piece).map_err(|error| Fault::Read { at: Sector(place / SECTOR_BYTES), error })?;
            for (index, byte) in (done..).zip(piece.iter()).filter(|(_, byte)| **byte != 0) {
                bitmap.dirty_in(*byte, index).for_each(&mut dirty);
            }
            done = done.saturating_add(size as u64);
        }
    }
    Ok(())
}
