//! The journal of a RAID 4/5/6 array on a member of its own: recognised, checked, and walked for whoever replays it.
//!
//! Source: kernel `drivers/md/raid5-cache.c` (`r5l_recovery_*`), `include/uapi/linux/raid/md_p.h`. The data area of the journal member is a
//! ring of 4 KiB blocks: a meta block, the pages that it describes, the next meta block. Positions are sectors from the start of the data.

use crate::{
    md::{
        Fault, Refusal, Superblock,
        checksum::{crc32c, crc32c_with_hole},
        fault,
    },
    record::{Role, Uuid, WriteLog},
    source::Source,
};
use core::mem::offset_of;
use raid_core::{Sector, Sectors};
use static_assertions::const_assert_eq;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U16, U32, U64},
};

/// First word of a meta block.
pub const MAGIC: u32 = 0x6433_C509;
/// Bytes of a meta block and of a page.
pub const BLOCK_BYTES: usize = 4096;
const BLOCK_SECTORS: Sectors = Sectors(8);
/// Bytes of the meta block's header.
pub const HEADER_BYTES: usize = 32;
const VERSION: u8 = 1;

/// The header of a meta block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the kernel's; docs/formats/md.md explains each")]
pub struct RawMeta {
    pub magic: U32,
    pub checksum: U32,
    pub version: u8,
    pub padding: [u8; 3],
    pub meta_size: U32,
    pub seq: U64,
    pub position: U64,
}

/// What every payload starts with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawPayload {
    /// `type`: 0 data, 1 parity, 2 flush.
    pub kind: U16,
    /// No flag that readers need.
    pub flags: U16,
    /// Sectors of the pages, or bytes of the flush's list.
    pub size: U32,
}

const_assert_eq!(size_of::<RawMeta>(), HEADER_BYTES);
const_assert_eq!(offset_of!(RawMeta, seq), 16);
const_assert_eq!(size_of::<RawPayload>(), 8);

/// One thing that a meta block tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Data pages of one member's chunk.
    Data {
        /// First sector, on the array.
        at: Sector,
        /// A CRC for each page.
        checksums: &'a [[u8; 4]],
    },
    /// Parity pages of a stripe: all its data stand before it.
    Parity {
        /// Sector of the stripe, on a member.
        at: Sector,
        /// A CRC for each page: P, and Q in RAID 6.
        checksums: &'a [[u8; 4]],
    },
    /// Stripes that need no replay any more.
    Flush {
        /// Their sectors, on a member.
        stripes: &'a [[u8; 8]],
    },
}

/// A payload with its place in the block.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// First byte.
    pub offset: usize,
    /// Bytes in the block.
    pub len: usize,
    /// How it starts.
    pub head: &'a RawPayload,
    /// What it tells.
    pub payload: Payload<'a>,
}

impl Payload<'_> {
    /// Pages that follow the meta block for this payload, each with its CRC.
    #[must_use]
    pub const fn checksums(&self) -> &[[u8; 4]] {
        match self {
            Self::Data { checksums, .. } | Self::Parity { checksums, .. } => checksums,
            Self::Flush { .. } => &[],
        }
    }
}

/// A meta block that passed the checks.
#[derive(Clone, Copy, Debug)]
pub struct JournalBlock<'a> {
    bytes: &'a [u8; BLOCK_BYTES],
    raw: &'a RawMeta,
}

/// The value that all CRCs of this array's journal start from.
#[must_use]
pub fn seed(array: Uuid) -> u32 {
    crc32c(!0, &array.0)
}

impl<'a> JournalBlock<'a> {
    /// Reads a meta block.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn parse(bytes: &'a [u8], seed: u32) -> Result<Self, Refusal> {
        let truncated = Refusal::Truncated { found: bytes.len(), expected: BLOCK_BYTES };
        let block: &[u8; BLOCK_BYTES] = bytes.first_chunk().ok_or(truncated)?;
        let (raw, _) = RawMeta::ref_from_prefix(block).map_err(|_| truncated)?;
        if raw.magic.get() != MAGIC {
            return Err(Refusal::NoMagic { offset: 0, found: raw.magic.get(), expected: MAGIC });
        }
        let (found, expected) = (raw.checksum.get(), checksum(block, seed));
        if found != expected {
            return Err(Refusal::Checksum { offset: 4, found, expected });
        }
        if raw.version != VERSION {
            let (found, wanted) = (i128::from(raw.version), u64::from(VERSION));
            return Err(Refusal::Range { field: "version", offset: 8, found, least: wanted, most: wanted });
        }
        let size = usize::try_from(raw.meta_size.get()).unwrap_or(usize::MAX);
        if !(HEADER_BYTES..=BLOCK_BYTES).contains(&size) {
            return Err(Refusal::Range {
                field: "meta_size",
                offset: 12,
                found: i128::from(raw.meta_size.get()),
                least: HEADER_BYTES as u64,
                most: BLOCK_BYTES as u64,
            });
        }
        Ok(Self { bytes: block, raw })
    }

    /// The bytes as they are.
    #[must_use]
    pub const fn emit(&self) -> &'a [u8; BLOCK_BYTES] {
        self.bytes
    }

    /// The header's fields by their names.
    #[must_use]
    pub const fn raw(&self) -> &'a RawMeta {
        self.raw
    }

    /// What it tells, in order.
    pub fn payloads(&self) -> impl Iterator<Item = Payload<'a>> {
        payloads(self.bytes).map(|placed| placed.payload)
    }

    /// Pages behind the block.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.payloads().map(|payload| payload.checksums().len() as u64).sum()
    }
}

/// The payloads of a block, sound or not. Ends early at one that makes no sense.
pub fn payloads(block: &[u8; BLOCK_BYTES]) -> impl Iterator<Item = Placed<'_>> {
    let size = RawMeta::ref_from_prefix(block).map_or(0, |(raw, _)| raw.meta_size.get());
    let end = usize::try_from(size).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
    let mut rest = block.get(HEADER_BYTES..end).unwrap_or(&[]);
    core::iter::from_fn(move || {
        let offset = end.checked_sub(rest.len())?;
        let (head, payload, behind) = payload(rest)?;
        let len = rest.len().checked_sub(behind.len())?;
        rest = behind;
        Some(Placed { offset, len, head, payload })
    })
}

/// The payload at the start of `bytes`, and what follows it.
fn payload(bytes: &[u8]) -> Option<(&RawPayload, Payload<'_>, &[u8])> {
    let (head, rest) = RawPayload::ref_from_prefix(bytes).ok()?;
    let size = usize::try_from(head.size.get()).ok()?;
    if head.kind.get() == 2 {
        let (stripes, rest) = rest.split_at_checked(size)?;
        return Some((head, Payload::Flush { stripes: stripes.as_chunks().0 }, rest));
    }
    let (location, rest) = U64::ref_from_prefix(rest).ok()?;
    let (checksums, rest) = rest.split_at_checked((size / 8).checked_mul(4)?)?;
    let (at, checksums) = (Sector(location.get()), checksums.as_chunks().0);
    match head.kind.get() {
        0 => Some((head, Payload::Data { at, checksums }, rest)),
        1 => Some((head, Payload::Parity { at, checksums }, rest)),
        _ => None,
    }
}

/// The CRC that a meta block should carry.
#[must_use]
pub fn checksum(block: &[u8; BLOCK_BYTES], seed: u32) -> u32 {
    crc32c_with_hole(seed, block, offset_of!(RawMeta, checksum))
}

/// What the journal holds from its tail on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalState {
    /// Where replay starts, in sectors of the journal's data.
    pub tail: Sector,
    /// Sound meta blocks in a row with all their pages.
    pub blocks: u64,
    /// Number of the first of them.
    pub first_seq: u64,
    /// Payloads of data: each a run of pages that may not be on the members.
    pub data: u64,
    /// Payloads of parity: each a stripe that is complete and can be replayed.
    pub parity: u64,
    /// Payloads that take stripes back out.
    pub flush: u64,
    /// The row ends in a block whose pages are damaged or were never written: what Linux drops.
    pub torn: bool,
}

impl JournalState {
    /// True if there may be something to replay. What flushes took back still counts; only a replay knows.
    #[must_use]
    pub const fn holds_data(&self) -> bool {
        self.data != 0 || self.parity != 0
    }
}

/// Reads a journal member from its tail; `None` if this member is no journal. `buf` is working space of at least 8192 bytes.
///
/// # Errors
/// The medium's; a tail outside the ring.
pub fn journal_state<S: Source>(
    source: &S,
    superblock: &Superblock,
    buf: &mut [u8],
) -> Result<Option<JournalState>, Fault<S::Error>> {
    let Some(journal) = Ring::of(superblock)? else { return Ok(None) };
    let mut state = JournalState { tail: journal.tail, ..JournalState::default() };
    state.torn = journal.walk(source, buf, |meta, _| {
        if state.blocks == 0 {
            state.first_seq = meta.raw.seq.get();
        }
        state.count(meta);
        Ok(true)
    })?;
    Ok(Some(state))
}

/// Where on the medium of a journal member its replay begins: a block without meaning there, and the journal is empty (kernel
/// `r5l_load_log`). Nothing if this member is no journal.
///
/// # Errors
/// A tail outside the ring.
pub fn journal_begins(superblock: &Superblock) -> Result<Option<Sector>, Refusal> {
    let at = |ring: Ring| Sector(ring.data_at.0.saturating_add(ring.tail.0));
    Ring::of(superblock).map(|ring| ring.map(at))
}

/// One thing to be done in a replay, in the journal's order (kernel `r5c_recovery_analyze_meta_block`).
#[derive(Clone, Copy, Debug)]
pub enum ReplayStep<'a> {
    /// A page of data was written.
    Data {
        /// First sector, on the array.
        at: Sector,
        /// Its content.
        page: &'a [u8; BLOCK_BYTES],
    },
    /// A page of parity: what the journal has of this stripe is complete with it, or with the next one.
    Parity {
        /// Sector of the stripe, on a member.
        at: Sector,
        /// 0 for P, 1 for Q.
        index: usize,
        /// Its content.
        page: &'a [u8; BLOCK_BYTES],
    },
    /// What the journal has so far of this stripe reached the members.
    Flushed {
        /// Sector of the stripe, on a member.
        at: Sector,
    },
}

/// Hands out what a journal member says, from its tail to the first block that is not whole, as Linux would replay it. `each` returns
/// whether it wants more. Nothing is handed out if this member is no journal. `buf` is working space of at least 8192 bytes.
///
/// # Errors
/// The medium's; a tail outside the ring.
pub fn replay_journal<S: Source>(
    source: &S,
    superblock: &Superblock,
    buf: &mut [u8],
    mut each: impl FnMut(ReplayStep<'_>) -> bool,
) -> Result<(), Fault<S::Error>> {
    let Some(journal) = Ring::of(superblock)? else { return Ok(()) };
    let mut more = true;
    journal.walk(source, buf, |meta, page| {
        let mut position = meta.raw.position.get();
        for payload in meta.payloads() {
            if let Payload::Flush { stripes } = payload {
                let at = |stripe: &[u8; 8]| Sector(u64::from_le_bytes(*stripe));
                more = more && stripes.iter().all(|stripe| each(ReplayStep::Flushed { at: at(stripe) }));
            }
            for index in 0..payload.checksums().len() {
                if !more {
                    return Ok(false);
                }
                position = journal.next(position);
                journal.read(source, position, page)?;
                more = match payload {
                    Payload::Data { at, .. } => {
                        let at = Sector(at.0.saturating_add(BLOCK_SECTORS.0.saturating_mul(index as u64)));
                        each(ReplayStep::Data { at, page })
                    }
                    Payload::Parity { at, .. } => each(ReplayStep::Parity { at, index, page }),
                    Payload::Flush { .. } => more,
                };
            }
        }
        Ok(more)
    })?;
    Ok(())
}

/// Where a journal lies on its member.
#[derive(Clone, Copy, Debug)]
struct Ring {
    data_at: Sector,
    len: Sectors,
    tail: Sector,
    seed: u32,
}

impl Ring {
    /// `None` if this member is no journal.
    fn of(superblock: &Superblock) -> Result<Option<Self>, Refusal> {
        let record = superblock.record();
        let (Role::Journal, WriteLog::Journal { tail }) = (record.role, record.log) else { return Ok(None) };
        let len = record.data.len.floor_to(BLOCK_SECTORS);
        if tail.0 >= len.0 || !tail.0.is_multiple_of(BLOCK_SECTORS.0) {
            let (found, most) = (i128::from(tail.0), len.0.saturating_sub(BLOCK_SECTORS.0));
            return Err(Refusal::Range { field: "journal_tail", offset: 152, found, least: 0, most });
        }
        Ok(Some(Self { data_at: record.data.at, len, tail, seed: seed(record.array) }))
    }

    /// The block behind `position`.
    fn next(&self, position: u64) -> u64 {
        position.saturating_add(BLOCK_SECTORS.0).checked_rem(self.len.0).unwrap_or(0)
    }

    fn read<S: Source>(&self, source: &S, position: u64, into: &mut [u8]) -> Result<(), Fault<S::Error>> {
        fault::read(source, Sector(self.data_at.0.saturating_add(position)), into)
    }

    /// Hands out each meta block that is sound with all its pages, in order, with space for a page, while `each` wants more. True if
    /// the row ends in a block whose pages are not sound.
    fn walk<S: Source>(
        &self,
        source: &S,
        buf: &mut [u8],
        mut each: impl FnMut(&JournalBlock, &mut [u8; BLOCK_BYTES]) -> Result<bool, Fault<S::Error>>,
    ) -> Result<bool, Fault<S::Error>> {
        let given = buf.len();
        let (blocks, _) = buf.as_chunks_mut::<BLOCK_BYTES>();
        let [block, page, ..] = blocks else {
            return Err(Fault::Buffer { found: given, expected: 2 * BLOCK_BYTES });
        };
        let (mut position, mut walked, mut expected) = (self.tail.0, 0_u64, None);
        while walked < self.len.0 {
            self.read(source, position, block)?;
            let Ok(meta) = JournalBlock::parse(block.as_slice(), self.seed) else { break };
            let seq = meta.raw.seq.get();
            if meta.raw.position.get() != position || expected.is_some_and(|expected| seq != expected) {
                break;
            }
            if !self.pages_sound(source, &meta, page)? {
                return Ok(true);
            }
            if !each(&meta, page)? {
                break;
            }
            expected = Some(seq.wrapping_add(1));
            let step = meta.pages().saturating_add(1).saturating_mul(BLOCK_SECTORS.0);
            walked = walked.saturating_add(step);
            position = position.saturating_add(step).checked_rem(self.len.0).unwrap_or(0);
        }
        Ok(false)
    }

    /// True if every page behind the meta block has the CRC that the block gives for it.
    fn pages_sound<S: Source>(
        &self,
        source: &S,
        meta: &JournalBlock,
        page: &mut [u8; BLOCK_BYTES],
    ) -> Result<bool, Fault<S::Error>> {
        let mut position = meta.raw.position.get();
        for payload in meta.payloads() {
            for expected in payload.checksums() {
                position = self.next(position);
                self.read(source, position, page)?;
                if crc32c(self.seed, page) != u32::from_le_bytes(*expected) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

impl JournalState {
    fn count(&mut self, meta: &JournalBlock) {
        self.blocks = self.blocks.saturating_add(1);
        for payload in meta.payloads() {
            let counter = match payload {
                // A size of 0 is sound and names no page: nothing to replay (fuzzing, corpus entry `data-of-no-pages`).
                Payload::Data { checksums: [], .. } | Payload::Parity { checksums: [], .. } => continue,
                Payload::Data { .. } => &mut self.data,
                Payload::Parity { .. } => &mut self.parity,
                Payload::Flush { .. } => &mut self.flush,
            };
            *counter = counter.saturating_add(1);
        }
    }
}
