//! The partial parity log of RAID 5: recognised, checked and read. What its entries make of parity is `raid_core::replay`'s to say.
//!
//! Source: kernel `drivers/md/raid5-ppl.c` (`ppl_load_distributed`, `ppl_recover`), `include/uapi/linux/raid/md_p.h`. Each member logs
//! the stripes whose parity it holds. IMSM uses the same header, with another signature: a [`Log`] says whose it is.

use crate::{
    md::{
        Fault, Refusal, Superblock,
        checksum::{crc32c, crc32c_with_hole},
        fault,
    },
    record::{Record, Sync, Uuid, WriteLog},
    source::Source,
};
use core::mem::offset_of;
use raid_core::{Extent, SECTOR_BYTES, Sector, Sectors};
use static_assertions::const_assert_eq;
use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U32, U64},
};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 4096;
const HEADER_SECTORS: Sectors = Sectors(8);
/// Entries that a header has room for.
pub const ENTRIES_MAX: usize = 148;

/// One logged write, as the disk has it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawEntry {
    /// First sector of the write, on the array.
    pub data_sector: U64,
    /// Bytes of partial parity behind the header; 0 for a write of whole stripes.
    pub pp_size: U32,
    /// Bytes written.
    pub data_size: U32,
    /// Member that holds the parity.
    pub parity_disk: U32,
    /// CRC of the partial parity.
    pub checksum: U32,
}

/// The header's bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the kernel's; docs/formats/md.md explains each")]
pub struct RawPpl {
    pub reserved: [u8; 512],
    pub signature: U32,
    pub padding: U32,
    pub generation: U64,
    pub entries_count: U32,
    pub checksum: U32,
    pub entries: [RawEntry; ENTRIES_MAX],
    pub tail: [u8; 8],
}

const_assert_eq!(size_of::<RawEntry>(), 24);
const_assert_eq!(size_of::<RawPpl>(), HEADER_BYTES);
const_assert_eq!(offset_of!(RawPpl, signature), 512);
const_assert_eq!(offset_of!(RawPpl, checksum), 532);
const_assert_eq!(offset_of!(RawPpl, entries), 536);

/// A header that passed the checks.
#[derive(Clone, Copy, Debug)]
pub struct PplHeader<'a> {
    raw: &'a RawPpl,
}

/// The signature that an MD array with this identity writes.
#[must_use]
pub fn signature(array: Uuid) -> u32 {
    !crc32c(!0, &array.0)
}

impl<'a> PplHeader<'a> {
    /// Reads a header, of whatever array.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let (raw, _) = RawPpl::ref_from_prefix(bytes)
            .map_err(|_| Refusal::Truncated { found: bytes.len(), expected: HEADER_BYTES })?;
        let (found, expected) = (raw.checksum.get(), checksum(raw));
        if found != expected {
            return Err(Refusal::Checksum { offset: 532, found, expected });
        }
        let found = raw.entries_count.get();
        if usize::try_from(found).map_or(true, |count| count > ENTRIES_MAX) {
            let (found, most) = (i128::from(found), ENTRIES_MAX as u64);
            return Err(Refusal::Range { field: "entries_count", offset: 528, found, least: 0, most });
        }
        Ok(Self { raw })
    }

    /// Reads a header of the array with this signature.
    ///
    /// # Errors
    /// As [`Self::parse`], and [`Refusal::Identity`].
    pub fn parse_of(bytes: &'a [u8], signature: u32) -> Result<Self, Refusal> {
        let header = Self::parse(bytes)?;
        let found = header.raw.signature.get();
        if found != signature {
            return Err(Refusal::Identity { offset: 512, found, expected: signature });
        }
        Ok(header)
    }

    /// The bytes as they are.
    #[must_use]
    pub fn emit(&self) -> &'a [u8; HEADER_BYTES] {
        zerocopy::transmute_ref!(self.raw)
    }

    /// The fields by their names.
    #[must_use]
    pub const fn raw(&self) -> &'a RawPpl {
        self.raw
    }

    /// The entries that count.
    #[must_use]
    pub fn entries(&self) -> &'a [RawEntry] {
        let count = usize::try_from(self.raw.entries_count.get()).unwrap_or(0);
        self.raw.entries.get(..count).unwrap_or(&[])
    }

    /// Sectors from this header to the place of the next one.
    #[must_use]
    pub fn next_header(&self) -> Sectors {
        let bytes = self.entries().iter().map(|entry| u64::from(entry.pp_size.get()));
        Sectors(HEADER_SECTORS.0.saturating_add(bytes.sum::<u64>().div_ceil(SECTOR_BYTES)))
    }
}

/// The CRC that a header should carry.
#[must_use]
pub fn checksum(raw: &RawPpl) -> u32 {
    !crc32c_with_hole(!0, raw.as_bytes(), offset_of!(RawPpl, checksum))
}

/// The header of a log without entries, of the array with this signature: what a log begins with.
#[must_use]
pub fn empty(signature: u32) -> RawPpl {
    let mut raw = RawPpl::new_zeroed();
    raw.reserved = [0xFF; 512];
    raw.signature.set(signature);
    raw.checksum.set(checksum(&raw));
    raw
}

/// What the log of one member holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PplState {
    /// Sound headers, one after the other from the start of the area. Only the last of them counts.
    pub headers: u32,
    /// Where the newest header lies.
    pub newest_at: Option<Sector>,
    /// Its generation.
    pub generation: u64,
    /// Its entries: writes whose parity may be wrong if the array was not stopped cleanly. After a clean stop they are history.
    pub entries: u32,
    /// Those of them whose partial parity is damaged, and so cannot be replayed.
    pub damaged: u32,
}

impl PplState {
    /// Entries that a start of the array must replay: none after a clean stop.
    #[must_use]
    pub const fn unreplayed(&self, sync: Sync) -> u32 {
        match sync {
            Sync::Clean => 0,
            Sync::DirtyFrom(_) => self.entries,
        }
    }
}

/// The log of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where it lies on the medium.
    pub area: Extent,
    /// It may hold several headers, of which the newest counts.
    pub multiple: bool,
    /// What its headers carry: [`signature`] of an MD array, IMSM's family number.
    pub signature: u32,
    /// What its entries count the array's sectors in. With MD's own metadata a sector; else a logical block of the array.
    pub unit: Sectors,
}

/// A write whose partial parity was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First array sector.
    pub at: Sector,
    /// Sectors written, of all columns together.
    pub len: Sectors,
    /// Where the partial parity lies on the medium; empty if all columns were written.
    pub partial: Extent,
    /// The slot that holds the parity: of the member whose log this is.
    pub parity: u32,
    /// The partial parity is what its CRC says.
    pub sound: bool,
}

impl Log {
    /// The log that an MD member's record tells of; `None` if it tells of none.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let WriteLog::Ppl { at: area, multiple } = record.log else { return None };
        Some(Self { area, multiple, signature: signature(record.array), unit: Sectors(1) })
    }

    /// Reads the log: its state, and the entries of the newest header, each told to `visit`. `buf` is working space of at least 8192 bytes.
    ///
    /// Without a sound header the answer is an empty log: that is what a log looks like before its first use, and what
    /// Linux makes of a damaged one.
    ///
    /// # Errors
    /// The medium's.
    pub fn read<S: Source>(
        &self,
        source: &S,
        buf: &mut [u8],
        mut visit: impl FnMut(Entry),
    ) -> Result<PplState, Fault<S::Error>> {
        let (block, rest) = fault::part(buf, HEADER_BYTES)?;
        let (page, _) = fault::part(rest, HEADER_BYTES)?;
        let mut state = PplState::default();
        let mut at = self.area.at;
        while let Some(header) = self.header(source, at, block)? {
            if state.headers != 0 && header.raw().generation.get() < state.generation {
                break;
            }
            state.headers = state.headers.saturating_add(1);
            state.newest_at = Some(at);
            state.generation = header.raw().generation.get();
            state.entries = header.raw().entries_count.get();
            let Some(next) = at.checked_add(header.next_header()).filter(|_| self.multiple) else { break };
            at = next;
        }
        if let Some(at) = state.newest_at
            && let Some(header) = self.header(source, at, block)?
        {
            self.entries(source, at, &header, page, |entry| {
                state.damaged = state.damaged.saturating_add(u32::from(!entry.sound));
                visit(entry);
            })?;
        }
        Ok(state)
    }

    /// The sound header at that place, if there is one within the area.
    fn header<'b, S: Source>(
        &self,
        source: &S,
        at: Sector,
        block: &'b mut [u8],
    ) -> Result<Option<PplHeader<'b>>, Fault<S::Error>> {
        if !within(self.area, Extent { at, len: HEADER_SECTORS }) {
            return Ok(None);
        }
        fault::read(source, at, block)?;
        Ok(PplHeader::parse_of(block, self.signature).ok())
    }

    /// The entries of the header at `at`.
    fn entries<S: Source>(
        &self,
        source: &S,
        at: Sector,
        header: &PplHeader,
        page: &mut [u8],
        mut visit: impl FnMut(Entry),
    ) -> Result<(), Fault<S::Error>> {
        let mut start = at.checked_add(HEADER_SECTORS).unwrap_or(at);
        for entry in header.entries() {
            let bytes = u64::from(entry.pp_size.get());
            let run = Extent { at: start, len: Sectors(bytes.div_ceil(SECTOR_BYTES)) };
            let sound = within(self.area, run) && !crc_of(source, run.at, bytes, page)? == entry.checksum.get();
            visit(Entry {
                at: Sector(entry.data_sector.get().saturating_mul(self.unit.0)),
                len: Sectors::from_bytes_floor(entry.data_size.get().into()),
                partial: run,
                parity: entry.parity_disk.get(),
                sound,
            });
            start = run.end().unwrap_or(start);
        }
        Ok(())
    }
}

/// Reads the log of `superblock`'s member; `None` if it has none. `buf` is working space of at least 8192 bytes.
///
/// # Errors
/// As [`Log::read`].
pub fn ppl_state<S: Source>(
    source: &S,
    superblock: &Superblock,
    buf: &mut [u8],
) -> Result<Option<PplState>, Fault<S::Error>> {
    let log = Log::of(&superblock.record());
    log.map(|log| log.read(source, buf, |_| ())).transpose()
}

/// The bare CRC of that many bytes of the medium, read page by page.
fn crc_of<S: Source>(source: &S, at: Sector, bytes: u64, page: &mut [u8]) -> Result<u32, Fault<S::Error>> {
    let mut crc = !0;
    let mut done: u64 = 0;
    while done < bytes {
        let left = usize::try_from(bytes.saturating_sub(done)).unwrap_or(usize::MAX).min(page.len());
        let piece = page.get_mut(..left).unwrap_or(&mut []);
        fault::read(source, Sector(at.0.saturating_add(done / SECTOR_BYTES)), piece)?;
        crc = crc32c(crc, piece);
        done = done.saturating_add(left as u64);
    }
    Ok(crc)
}

fn within(area: Extent, part: Extent) -> bool {
    match (area.end(), part.end()) {
        (Some(area_end), Some(part_end)) => area.at <= part.at && part_end <= area_end,
        _ => false,
    }
}
