//! dm-snapshot's persistent store: the chunks of an origin that were kept before, or written instead.
//!
//! Source: kernel `drivers/md/dm-snap-persistent.c` (`struct disk_header`, `read_exceptions`, `area_location`). Chunk 0 is the header. Then
//! a metadata area of one chunk, the chunks whose numbers its entries can hold, the next area, and so on. An entry says that chunk
//! `old` of the snapshot lies in chunk `new` of the store; an entry whose `new` is zero ends the list. What has no entry is read
//! from the origin.

use crate::{fault, md::Refusal, source::Source};
use core::mem::size_of;
use raid_core::{SECTOR_BYTES, Sector, Sectors};
use static_assertions::const_assert_eq;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U32, U64},
};

/// "SnAp".
pub const MAGIC: u32 = 0x7041_6E53;
/// Version that the kernel writes and reads.
const VERSION: u32 = 1;
/// Bytes of an entry.
pub const ENTRY_BYTES: u64 = 16;
/// Entries that are read at a time.
const PIECE_BYTES: usize = 512;

/// The header's bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the kernel's; docs/formats/dm.md explains each")]
pub struct RawStore {
    pub magic: U32,
    pub valid: U32,
    pub version: U32,
    pub chunk_size: U32,
}

/// An entry's bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the kernel's; docs/formats/dm.md explains each")]
pub struct RawEntry {
    pub old_chunk: U64,
    pub new_chunk: U64,
}

const_assert_eq!(size_of::<RawStore>(), 16);
const_assert_eq!(size_of::<RawEntry>(), 16);

/// What a header says of its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// Holds what was kept.
    Valid,
    /// Ran full or failed: what it held is not whole any more.
    Invalid,
}

/// A header that passed the checks.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    raw: &'a RawStore,
}

impl<'a> Store<'a> {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// The first [`Refusal`]. A store that was never used has no magic number: zeros.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let expected = size_of::<RawStore>();
        let (raw, _) =
            RawStore::ref_from_prefix(bytes).map_err(|_| Refusal::Truncated { found: bytes.len(), expected })?;
        if raw.magic.get() != MAGIC {
            return Err(Refusal::NoMagic { offset: 0, found: raw.magic.get(), expected: MAGIC });
        }
        if raw.version.get() != VERSION {
            return Err(Refusal::range("version", 8, raw.version.get(), 1, 1));
        }
        let chunk = raw.chunk_size.get();
        if !chunk.is_power_of_two() || chunk > 1 << 21 {
            return Err(Refusal::range("chunk_size (a power of two)", 12, chunk, 1, 1 << 21));
        }
        Ok(Self { raw })
    }

    /// The header's bytes as they are.
    #[must_use]
    pub fn emit(&self) -> &'a [u8; size_of::<RawStore>()] {
        zerocopy::transmute_ref!(self.raw)
    }

    /// Whether what it holds counts.
    #[must_use]
    pub const fn state(&self) -> StoreState {
        match self.raw.valid.get() {
            0 => StoreState::Invalid,
            _ => StoreState::Valid,
        }
    }

    /// Sectors of a chunk: a power of two.
    #[must_use]
    pub fn chunk(&self) -> Sectors {
        Sectors(u64::from(self.raw.chunk_size.get()))
    }

    /// Entries that a metadata area holds.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.chunk().0.saturating_mul(SECTOR_BYTES / ENTRY_BYTES)
    }

    /// The chunk that the metadata area of that number lies in; `None` past the end of `u64`.
    #[must_use]
    pub fn area(&self, number: u64) -> Option<u64> {
        number.checked_mul(self.entries().checked_add(1)?)?.checked_add(1)
    }

    /// True if a chunk of the store is the header, or an area, and can hold no data.
    #[must_use]
    pub fn is_metadata(&self, chunk: u64) -> bool {
        chunk == 0 || chunk.checked_sub(1).is_some_and(|chunk| chunk.is_multiple_of(self.entries().saturating_add(1)))
    }
}

/// One chunk of the snapshot that lies in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Chunk of the snapshot.
    pub old: u64,
    /// Chunk of the store.
    pub new: u64,
}

/// Tells `visit` every exception of a store that `header` is the header of, in their order. Says how many there are.
///
/// # Errors
/// The medium's; an entry that points to metadata or past the end of the store.
pub fn read_exceptions<S: Source>(
    source: &S,
    header: &Store,
    mut visit: impl FnMut(Exception),
) -> Result<u64, super::Fault<S::Error>> {
    let chunk_bytes = header.chunk().0.saturating_mul(SECTOR_BYTES);
    let chunks = source.size_bytes().checked_div(chunk_bytes).unwrap_or(0);
    let mut piece = [0; PIECE_BYTES];
    let mut count: u64 = 0;
    for number in 0.. {
        let Some(area) = header.area(number).filter(|area| *area < chunks) else { return Ok(count) };
        let start = area.saturating_mul(chunk_bytes);
        for at in (start..start.saturating_add(chunk_bytes)).step_by(PIECE_BYTES) {
            source
                .read_at(at, &mut piece)
                .map_err(|error| fault::Fault::Read { at: Sector(at / SECTOR_BYTES), error })?;
            for bytes in piece.chunks_exact(size_of::<RawEntry>()) {
                let Ok(entry) = RawEntry::read_from_bytes(bytes) else { continue };
                let (old, new) = (entry.old_chunk.get(), entry.new_chunk.get());
                if new == 0 {
                    return Ok(count);
                }
                if new >= chunks || header.is_metadata(new) {
                    return Err(Refusal::range("new_chunk", 8, new, 2, chunks.saturating_sub(1)).into());
                }
                count = count.saturating_add(1);
                visit(Exception { old, new });
            }
        }
    }
    Ok(count)
}
