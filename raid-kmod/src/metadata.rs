// SPDX-License-Identifier: GPL-2.0-only
//! What the metadata devices have when an array starts: read here, judged by the formats.

use core::fmt;

use kernel::prelude::*;
use raid_core::geometry::Geometry;
use raid_core::region::{Found, RegionNo};
use raid_core::rows::{RowKind, Rows, ROW_SECTORS};
use raid_core::{Columns, Member, Sector, Sectors};
use raid_formats::dm::{self, Block, CreateParams, Set, SetError, BITMAP_AT, BITMAP_BYTES};
use raid_formats::md::{self, Bitmap, Doubt, Refusal, RegionBits};
use raid_formats::record::Sync;
use raid_formats::table::Table;

use crate::clerks::{Clerks, Shelf, PAGE};
use crate::seats::Seats;

/// Why metadata do not do.
pub(crate) enum Fault<'a> {
    Set(SetError),
    Refusal(Refusal),
    Room(&'a str),
    Memory,
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(error) => error.fmt(f),
            Self::Refusal(refusal) => refusal.fmt(f),
            Self::Room(device) => write!(f, "{device} is too small for a bitmap of such regions"),
            Self::Memory => f.write_str("no memory"),
        }
    }
}

impl From<kernel::alloc::AllocError> for Fault<'_> {
    fn from(_: kernel::alloc::AllocError) -> Self {
        Self::Memory
    }
}

impl From<Refusal> for Fault<'_> {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// How regions were found.
pub(crate) struct Regions {
    /// A bit for each; empty if all are alike.
    words: KVVec<u64>,
    by: By,
    sectors: u64,
}

/// Who says what a region is.
enum By {
    Alike(Found),
    Set(KBox<Set>),
    Doubt(Doubt),
}

impl Regions {
    /// Without metadata all are alike.
    pub(crate) fn alike(all: Found, region_rows: u64) -> Self {
        Self { words: KVVec::new(), by: By::Alike(all), sectors: region_rows * ROW_SECTORS }
    }

    /// Regions of an MD array, with a bit for each that is marked.
    pub(crate) fn marked(words: KVVec<u64>, doubt: Doubt, region_rows: u64) -> Self {
        Self { words, by: By::Doubt(doubt), sectors: region_rows * ROW_SECTORS }
    }

    /// How a region was found.
    pub(crate) fn found(&self, region: RegionNo) -> Found {
        let word = usize::try_from(region.0 / 64).ok().and_then(|index| self.words.get(index));
        let marked = word.is_some_and(|word| word >> (region.0 % 64) & 1 == 1);
        match &self.by {
            By::Alike(all) => *all,
            By::Set(set) => set.found(marked, Sector((region.0 + 1).saturating_mul(self.sectors))),
            By::Doubt(doubt) => doubt.found(marked),
        }
    }
}

/// All that the metadata devices had.
pub(crate) struct Loaded {
    pub(crate) set: KBox<Set>,
    pub(crate) found: Regions,
    pub(crate) region_rows: u64,
    /// Where regions lie on the bitmap; none where nothing depends on anything else.
    pub(crate) bits: Option<RegionBits>,
    /// Bitmap with its header, for all members the same.
    pub(crate) image: KVVec<u8>,
    /// A record for each slot, a page long.
    pub(crate) records: KVVec<u8>,
}

/// The records' places in a row of pages.
pub(crate) fn record(records: &mut [u8], member: Member) -> Option<&mut [u8]> {
    records.chunks_exact_mut(PAGE).nth(member.0.into())
}

/// What an array is, as far as its table says it.
pub(crate) struct Shape<'t, 'w, 'a> {
    pub(crate) table: &'t Table<'w, 'a>,
    pub(crate) geometry: &'t Geometry,
    pub(crate) kind: RowKind,
    /// Rows of the array.
    pub(crate) rows: u64,
    /// The region size that the table asks for.
    pub(crate) region: Sectors,
}

impl<'t, 'w, 'a> Shape<'t, 'w, 'a> {
    pub(crate) fn new(table: &'t Table<'w, 'a>, rows: &'t Rows, region: Sectors) -> Self {
        Self { table, geometry: rows.geometry(), kind: rows.kind(), rows: rows.count(), region }
    }

    fn has_log(&self) -> bool {
        self.kind != RowKind::Plain
    }

    fn params(&self, set: &Set) -> CreateParams {
        CreateParams {
            level: self.table.level(),
            devices: self.table.members(),
            chunk: self.table.chunk(),
            used: self.geometry.member_size(Member(0)),
            array_size: self.geometry.array_size(),
            sync: set.sync,
            region: self.has_log().then_some(self.region),
        }
    }
}

/// Reads the records, and judges them.
#[inline(never)]
pub(crate) fn judge<'a>(shape: &Shape<'_, '_, '_>, seats: &'a Seats, clerks: &Clerks) -> Result<(KBox<Set>, KVVec<u8>), Fault<'a>> {
    let members = shape.table.members();
    let mut records = KVVec::from_elem(0_u8, usize::from(members) * PAGE, GFP_KERNEL)?;
    let mut readable = Columns::EMPTY;
    for member in Columns::first(members).iter() {
        let (Some(device), Some(room)) = (seats.metadata(member), record(&mut records, member)) else { continue };
        let block = room.get_mut(..device.block_bytes()).ok_or(Fault::Room(device.name()))?;
        if clerks.read(member, device, Sector(0), block) {
            readable.insert(member);
        }
    }
    let block = |member: Member| match records.chunks_exact(PAGE).nth(member.0.into()) {
        Some(bytes) if readable.contains(member) => Block::Read(bytes),
        _ if seats.metadata(member).is_some() => Block::Unreadable,
        _ => Block::Absent,
    };
    let data = |member| seats.data_device(member).map_or(Sectors(0), |device| device.sectors());
    let set = Set::judge(shape.table, shape.geometry, shape.kind, block, data).map_err(Fault::Set)?;
    Ok((KBox::new(set, GFP_KERNEL)?, records))
}

/// Reads all there is.
pub(crate) fn load<'a>(shape: &Shape<'_, '_, '_>, seats: &'a Seats, clerks: &Clerks) -> Result<Loaded, Fault<'a>> {
    let (set, mut records) = judge(shape, seats, clerks)?;
    let mut image = KVVec::new();
    for member in set.records.iter() {
        let room = record(&mut records, member).ok_or(Fault::Memory)?;
        let image = (set.freshest.is_none() && image.is_empty()).then_some(&mut image);
        make(&shape.params(&set), member, room, image)?;
    }
    if !shape.has_log() {
        let found = Regions::alike(Found::Clean, 1);
        return Ok(Loaded { set, found, region_rows: 1, bits: None, image, records });
    }
    let mut known = set.freshest.is_none();
    if let Some(lead) = set.freshest {
        known = header(shape, seats, clerks, lead, &mut image)?;
        if !known {
            // Nothing is known of any region: as new, with all bits set.
            let params = CreateParams { sync: Sync::DirtyFrom(Sector(0)), ..shape.params(&set) };
            let mut scratch = KVVec::from_elem(0_u8, PAGE, GFP_KERNEL)?;
            image.clear();
            make(&params, lead, &mut scratch, Some(&mut image))?;
        }
    }
    let bits = RegionBits::new(&Bitmap::parse(&image)?)?;
    let regions = shape.rows.div_ceil(bits.rows().max(1));
    let mut words = KVVec::from_elem(0_u64, regions.div_ceil(64) as usize, GFP_KERNEL)?;
    known &= mark(&set, seats, clerks, &bits, &mut words)? || set.freshest.is_none();
    if !known || (set.freshest.is_none() && set.sync != Sync::Clean) {
        words.iter_mut().for_each(|word| *word = u64::MAX);
    }
    bits.put(&mut image, 0, &words);
    check_room(seats, image.len())?;
    let found = Regions { words, by: By::Set(KBox::new(*set, GFP_KERNEL)?), sectors: bits.rows() * ROW_SECTORS };
    let doubted = (0..regions).filter(|region| found.found(RegionNo(*region)) == Found::InDoubt).count();
    set.check_doubt(doubted as u64).map_err(Fault::Set)?;
    Ok(Loaded { set, found, region_rows: bits.rows(), bits: Some(bits), image, records })
}

/// Makes a new record, and a new bitmap if asked.
#[inline(never)]
fn make<'a>(params: &CreateParams, member: Member, record: &mut [u8], mut image: Option<&mut KVVec<u8>>) -> Result<(), Fault<'a>> {
    dm::create(params, member.0.into(), |at, block| {
        if at == 0 {
            record.copy_from_slice(block);
        } else if let Some(image) = image.as_deref_mut() {
            // Blocks come in order.
            image.extend_from_slice(block, GFP_KERNEL)?;
        }
        Ok(())
    })
}

/// Takes the bitmap's header from the newest device. False if it has none that does for this array.
fn header<'a>(
    shape: &Shape<'_, '_, '_>,
    seats: &'a Seats,
    clerks: &Clerks,
    lead: Member,
    image: &mut KVVec<u8>,
) -> Result<bool, Fault<'a>> {
    let Some(device) = seats.metadata(lead) else { return Ok(false) };
    image.resize(PAGE, 0, GFP_KERNEL)?;
    if !clerks.read(lead, device, BITMAP_AT, image) {
        return Ok(false);
    }
    let Ok(bits) = Bitmap::parse(image).and_then(|bitmap| RegionBits::new(&bitmap)) else { return Ok(false) };
    if bits.rows_covered() < shape.rows {
        return Ok(false);
    }
    image.resize((bits.area_bytes() as usize).next_multiple_of(PAGE), 0, GFP_KERNEL)?;
    Ok(true)
}

/// Sets the bits that any member has. True if one of those in sync has kept its bitmap up to date.
fn mark<'a>(set: &Set, seats: &'a Seats, clerks: &Clerks, bits: &RegionBits, words: &mut [u64]) -> Result<bool, Fault<'a>> {
    let mut known = false;
    let mut room = KVVec::from_elem(0_u8, PAGE, GFP_KERNEL)?;
    if set.freshest.is_none() {
        return Ok(false);
    }
    for member in Columns::first(set.health.members()).difference(set.fresh).iter() {
        let Some(device) = seats.metadata(member) else { continue };
        let shelf = Shelf { clerks, member, device };
        let read = md::read_bitmap_at(&shelf, BITMAP_AT, ([0; 16], set.events), &mut room, |chunk| {
            let region = bits.region_of(chunk);
            if let Some(word) = usize::try_from(region / 64).ok().and_then(|index| words.get_mut(index)) {
                *word |= 1 << (region % 64);
            }
        });
        let own = read.is_ok_and(|summary| !summary.stale && summary.chunk == bits.chunk());
        known |= own && set.health.in_sync().contains(member);
    }
    Ok(known)
}

fn check_room<'a>(seats: &'a Seats, image: usize) -> Result<(), Fault<'a>> {
    let need = Sectors((image as u64 + BITMAP_BYTES) / 512);
    let small = seats.present().iter().filter_map(|member| seats.metadata(member)).find(|device| device.sectors() < need);
    small.map_or(Ok(()), |device| Err(Fault::Room(device.name())))
}
