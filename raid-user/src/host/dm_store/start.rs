//! From images with their metadata devices to a running array.

use std::collections::BTreeSet;
use std::sync::Mutex;

use raid_core::health::{Event, Health};
use raid_core::region::RegionNo;
use raid_core::reshape::Side;
use raid_core::rows::{ROW_SECTORS, RowKind, RowNo, Rows};
use raid_core::{Extent, Member, Sector, Sectors};
use raid_formats::assemble::{Claimant as _, Verdict};
use raid_formats::md::{self, Bitmap, RegionBits};
use raid_formats::record::{Sync, WriteLog};

use super::{BITMAP_AT_BYTES, BLOCK_BYTES, Disk, DmStore, HEADER_BYTES, Own, PAGE_WORDS, Said, Shared};
use crate::array::{Judged, OpenOptions, judge_missing, missing, with_run};
use crate::discover::{Found, MediaSource};
use crate::host::start::{Slot, Start};
use crate::host::start_error::{StartError, check_block, not_yet};
use crate::media::SharedMediaMut;

/// An image of the array, opened for writing.
#[derive(Clone)]
pub struct Image {
    /// The slot that it is for.
    pub slot: u16,
    /// What its metadata say; nothing if they are not to be believed, and it has to be filled.
    pub found: Option<Found>,
    /// Its data.
    pub data: SharedMediaMut,
    /// The device with its metadata.
    pub meta: SharedMediaMut,
}

/// Makes the array of these images ready to run.
///
/// # Errors
/// [`StartError`].
pub fn dm_start(images: Vec<Image>, options: &OpenOptions) -> Result<Start, StartError> {
    let believed: Vec<(Found, &Image)> =
        images.iter().filter_map(|image| Some((image.found.clone()?, image))).collect();
    let found = believed.iter().map(|(found, _)| found.clone()).collect();
    let judged = Judged::new(found, &OpenOptions { partial: false, ..options.clone() })?;
    if judged.lead().reshape.is_some() {
        return not_yet("writing in the middle of a reshape");
    }
    let slots = judged.slots(&mut Vec::new())?;
    let layouts = judged.layouts(&slots, options)?;
    judge_missing(&layouts, missing(&slots), options, &mut Vec::new())?;
    let Some(rows) = Rows::new(layouts.geometry(Side::Old).clone()) else {
        return not_yet("RAID 10 in historic far sets");
    };
    let count = slots.len();
    let mut seats: Vec<Option<(&Found, &Image, Option<Sectors>)>> = vec![None; count];
    for ((found, verdict), (_, image)) in judged.both().zip(&believed) {
        if let Verdict::Current { slot, mark, .. } = *verdict
            && let Some(seat) = seats.get_mut(usize::from(slot))
        {
            check_block(&image.data)?;
            check_block(&image.meta)?;
            *seat = Some((found, image, mark));
        }
    }
    let health = health(&seats)?;
    let logs = Logs::read(&judged, &seats, &rows)?;
    let dirty = judged.lead().sync != Sync::Clean && rows.kind() != RowKind::Plain;
    let degraded = health.in_sync().len() < u32::from(health.members());
    let parity = rows.kind() == RowKind::Parity;
    if dirty && degraded && parity && !options.trust_dirty_parity && !logs.marked.is_empty() {
        return Err(StartError::DirtyDegraded(logs.runs(&rows)));
    }
    let regions = || logs.marked.iter().map(|region| RegionNo(*region)).collect::<Vec<_>>();
    let doubt = if dirty && !(degraded && parity) { regions() } else { Vec::new() };
    let marked = if degraded { regions() } else { Vec::new() };
    let data_at = judged.lead().data.at;
    let slots = seats.iter().map(|seat| Slot {
        media: seat.map(|(_, image, _)| image.data.clone()),
        data_at: seat.map_or(data_at, |(found, ..)| found.record().data.at),
    });
    let slots = slots.collect();
    let disks = seats.iter().map(|seat| seat.map(|seat| disk(seat, &logs)).transpose());
    let disks = disks.collect::<Result<Vec<_>, _>>()?;
    let own = |slot: usize| images.iter().find(|image| usize::from(image.slot) == slot);
    let own = |slot| own(slot).map(|image| Own { data: image.data.clone(), meta: image.meta.clone() });
    let own = (0..count).map(own).collect();
    let said = Said { events: judged.lead().events, health, dirty };
    let store = DmStore {
        shared: Mutex::new(Shared { said, begun: false, own }),
        disks: disks.into_iter().map(Mutex::new).collect(),
        regions: logs.regions,
    };
    let (region_rows, log_page_words, doubt_from) = (logs.region_rows, PAGE_WORDS, RowNo(0));
    Ok(Start { rows, health, slots, region_rows, log_page_words, doubt, marked, doubt_from, store: Box::new(store) })
}

type Seat<'a> = (&'a Found, &'a Image, Option<Sectors>);

fn health(seats: &[Option<Seat<'_>>]) -> Result<Health, StartError> {
    let contradiction = |error: raid_core::health::HealthError| StartError::Contradiction(error.to_string());
    let mut health = Health::new(u16::try_from(seats.len()).unwrap_or(u16::MAX)).map_err(contradiction)?;
    for (slot, seat) in (0..=u8::MAX).zip(seats) {
        let Some((found, _, mark)) = seat else { continue };
        let event = mark.map_or(Event::Admit, |mark| Event::Rebuild { mark: Sector(mark.0) });
        health.apply(Member(slot), event).map_err(contradiction)?;
        health.set_write_mostly(Member(slot), found.record().write_mostly).map_err(contradiction)?;
    }
    Ok(health)
}

/// What the bitmaps say together.
struct Logs {
    regions: Option<RegionBits>,
    region_rows: u64,
    count: u64,
    /// Regions with a bit, or all if no bitmap can be believed.
    marked: BTreeSet<u64>,
}

impl Logs {
    fn read(judged: &Judged, seats: &[Option<Seat<'_>>], rows: &Rows) -> Result<Self, StartError> {
        let (WriteLog::Bitmap(at), false) = (judged.lead().log, rows.kind() == RowKind::Plain) else {
            let (region_rows, count) = (rows.count().max(1), rows.count().min(1));
            return Ok(Self { regions: None, region_rows, count, marked: BTreeSet::new() });
        };
        let (mut regions, mut chunks, mut believed) = (None, BTreeSet::new(), false);
        for (found, image, mark) in seats.iter().flatten() {
            let named = |why: String| StartError::Contradiction(format!("{}: bitmap: {why}", found.name()));
            let mut header = [0; HEADER_BYTES];
            image.meta.read_at(BITMAP_AT_BYTES, &mut header).map_err(|error| named(error.to_string()))?;
            let bitmap = Bitmap::parse(&header).map_err(|refusal| named(refusal.to_string()))?;
            let own = RegionBits::new(&bitmap).or_else(|refusal| not_yet(format!("{}: {refusal}", found.name())))?;
            if *regions.get_or_insert(own) != own {
                return Err(named("it has another shape than the others'".into()));
            }
            let log = ([0; 16], found.record().events);
            let read = |chunk| {
                chunks.insert(chunk);
            };
            let source = MediaSource(image.meta.as_ref());
            let summary = md::read_bitmap_at(&source, at, log, &mut [0; 8192], read);
            let summary = summary.map_err(|fault| named(fault.to_string()))?;
            believed |= !summary.stale && mark.is_none() && found.record().events == judged.lead().events;
        }
        let regions = regions.ok_or_else(|| StartError::Contradiction("no bitmap".into()))?;
        let region_rows = regions.rows();
        let count = rows.count().div_ceil(region_rows.max(1));
        if regions.rows_covered() < rows.count() {
            return not_yet("a bitmap that does not cover the array");
        }
        let marked = match believed {
            true => chunks.into_iter().map(|chunk| regions.region_of(chunk)).filter(|region| *region < count).collect(),
            false => (0..count).collect(),
        };
        Ok(Self { regions: Some(regions), region_rows, count, marked })
    }

    /// The marked regions as words of bits.
    fn words(&self) -> Vec<u64> {
        let mut words = vec![0_u64; usize::try_from(self.count.div_ceil(64)).unwrap_or(0)];
        for region in &self.marked {
            if let Some(word) = usize::try_from(region / 64).ok().and_then(|index| words.get_mut(index)) {
                *word |= 1 << (region % 64);
            }
        }
        words
    }

    /// The marked regions as runs of member sectors.
    fn runs(&self, rows: &Rows) -> Vec<Extent> {
        let len = self.region_rows.saturating_mul(ROW_SECTORS);
        let end = rows.count().saturating_mul(ROW_SECTORS);
        let run = |region: &u64| {
            let at = region.saturating_mul(len);
            Extent { at: Sector(at), len: Sectors(len.min(end.saturating_sub(at))) }
        };
        self.marked.iter().map(run).fold(Vec::new(), with_run)
    }
}

/// A member's metadata. Its bitmap has what all say together, as soon as it is written.
fn disk((found, image, _): Seat<'_>, logs: &Logs) -> Result<Disk, StartError> {
    let named = |error: std::io::Error| StartError::Contradiction(format!("{}: {error}", found.name()));
    let mut block = [0; BLOCK_BYTES];
    image.meta.read_at(0, &mut block).map_err(named)?;
    let mut bitmap = Vec::new();
    if let Some(regions) = &logs.regions {
        let len = usize::try_from(regions.area_bytes()).unwrap_or(usize::MAX).next_multiple_of(BLOCK_BYTES);
        bitmap.resize(len, 0);
        image.meta.read_at(BITMAP_AT_BYTES, &mut bitmap).map_err(named)?;
        regions.put(&mut bitmap, 0, &logs.words());
    }
    let data = Sectors::from_bytes_floor(raid_data_bytes(image));
    Ok(Disk { meta: image.meta.clone(), data, block, bitmap, whole: false, new: false, fault: None })
}

fn raid_data_bytes(image: &Image) -> u64 {
    use crate::media::Media as _;
    image.data.size_bytes()
}
