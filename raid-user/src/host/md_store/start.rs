//! From members that were found to an array that can be run, or a refusal that says why and what to do.
//!
//! Who is current is judged as for reading ([`crate::array`]). Beyond that, an array is run only if everything its metadata promise
//! can be kept: what is refused here is refused because a write would make a log, a list or a copy stale.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::Mutex;

use raid_core::health::{Event, Health};
use raid_core::region::RegionNo;
use raid_core::reshape::Side;
use raid_core::rows::{ROW_SECTORS, RowKind, RowNo, Rows};
use raid_core::{Extent, Member, Sector, Sectors};
use raid_formats::assemble::{Claimant, Verdict};
use raid_formats::md::{self, Bitmap, RegionBits, Superblock, Version};
use raid_formats::record::{Format, Role, Sync, WriteLog};

use super::disk::{self, BitmapArea, Disk, HEADER_BYTES};
use super::said::Said;
use super::{MdStore, PAGE_WORDS, Shared, tears};
use crate::array::{Judged, OpenOptions, judge_missing, missing, verdicts, with_run, with_superblock};
use crate::discover::Found;
use crate::host::start::{Slot, Start};
use crate::host::start_error::{StartError, check_block, not_yet};
use crate::media::{self, Media as _, MediaSpec, SharedMedia, SharedMediaMut};

/// Working space for reading a bitmap.
const BUFFER_BYTES: usize = 64 * 1024;

/// Makes the array of these members ready to run. The members that serve are opened for writing, locked, and read again.
///
/// # Errors
/// [`StartError`].
pub fn md_start(found: Vec<Found>, options: &OpenOptions) -> Result<Start, StartError> {
    let (_, verdicts) = verdicts(&found, options)?;
    let mut members = Vec::new();
    for (found, verdict) in found.into_iter().zip(verdicts) {
        match verdict {
            Verdict::Current { .. } | Verdict::Replacement { .. } | Verdict::Journal { .. } => {
                let media = media::open_mut(&MediaSpec::parse(OsStr::new(found.name()))?)?.media;
                let shared: SharedMedia = media.clone();
                members.push((Found::inspect(found.name(), shared).map_err(StartError::Gone)?, media));
            }
            _ => {}
        }
    }
    md_start_on(members, options)
}

/// The same with members that are open already, each with its medium.
///
/// # Errors
/// [`StartError`].
pub fn md_start_on(members: Vec<(Found, SharedMediaMut)>, options: &OpenOptions) -> Result<Start, StartError> {
    let (found, media): (Vec<Found>, Vec<SharedMediaMut>) = members.into_iter().unzip();
    let judged = Judged::new(found, &OpenOptions { partial: false, ..options.clone() })?;
    check_supported(&judged, &media)?;
    let slots = judged.slots(&mut Vec::new())?;
    let layouts = judged.layouts(&slots, options)?;
    judge_missing(&layouts, missing(&slots), options, &mut Vec::new())?;
    let Some(rows) = Rows::new(layouts.geometry(Side::Old).clone()) else {
        return not_yet("RAID 10 in historic far sets");
    };
    let seats = seats(&judged, media, slots.len());
    let found = Logs::read(&judged, &seats, &rows)?;
    let health = health(&seats).map_err(|error| StartError::Contradiction(error.to_string()))?;
    let dirty = judged.lead().sync != Sync::Clean && rows.kind() != RowKind::Plain;
    let numbers = numbers(&judged, &seats);
    let sync = if dirty { judged.lead().sync } else { Sync::Clean };
    let said = Said { events: judged.lead().events, health, sync, numbers };
    let degraded = said.degraded();
    let parity = rows.kind() == RowKind::Parity;
    if dirty && degraded && parity && !options.trust_dirty_parity && !found.marked.is_empty() {
        return Err(StartError::DirtyDegraded(found.runs(&rows)));
    }
    let doubt = match dirty && !(degraded && parity) {
        true => found.marked.iter().map(|region| RegionNo(*region)).collect(),
        false => Vec::new(),
    };
    let marked = match degraded && found.regions.is_some() {
        true => found.marked.iter().map(|region| RegionNo(*region)).collect(),
        false => Vec::new(),
    };
    let data_at = judged.lead().data.at;
    let slots = seats.iter().map(|seat| Slot {
        media: seat.as_ref().map(|seat| seat.media.clone()),
        data_at: seat.as_ref().map_or(data_at, |seat| seat.found.record().data.at),
    });
    let slots = slots.collect();
    let (region_rows, regions) = (found.region_rows, found.regions);
    let disks = seats.into_iter().map(|seat| seat.map(|seat| seat.disk(&found)).transpose());
    let disks = disks.collect::<Result<Vec<_>, _>>()?;
    // Without a bitmap nothing tells what somebody lacks.
    let known = found.cleared.map(|events| (events.min(said.events), health.epoch())).into_iter().collect();
    let torn = |disk: &Disk| tears(disk.version, &disk.block, disk.medium());
    let store = MdStore {
        turn: disks.iter().flatten().any(torn).then(|| Mutex::new(())),
        shared: Mutex::new(Shared { coming: vec![None; disks.len()], known, said, begun: false }),
        disks: disks.into_iter().map(Mutex::new).collect(),
        regions,
    };
    let doubt_from = match sync {
        Sync::DirtyFrom(from) if store.regions.is_none() => RowNo(from.0 / ROW_SECTORS),
        Sync::DirtyFrom(_) | Sync::Clean => RowNo(0),
    };
    let log_page_words = PAGE_WORDS;
    Ok(Start { rows, health, slots, region_rows, log_page_words, doubt, marked, doubt_from, store: Box::new(store) })
}

/// A member in its slot.
struct Seat<'a> {
    found: &'a Found,
    media: SharedMediaMut,
    mark: Option<Sectors>,
}

fn seats(judged: &Judged, media: Vec<SharedMediaMut>, count: usize) -> Vec<Option<Seat<'_>>> {
    let mut seats: Vec<Option<Seat<'_>>> = (0..count).map(|_| None).collect();
    for ((found, verdict), media) in judged.both().zip(media) {
        if let Verdict::Current { slot, mark, .. } = *verdict
            && let Some(seat) = seats.get_mut(usize::from(slot))
        {
            *seat = Some(Seat { found, media, mark });
        }
    }
    seats
}

fn check_supported(judged: &Judged, media: &[SharedMediaMut]) -> Result<(), StartError> {
    let lead = judged.lead();
    if !lead.format.is_kin(Format::Md12) {
        return not_yet(format!("writing to {} arrays", lead.format.name()));
    }
    if lead.reshape.is_some() {
        return not_yet("writing in the middle of a reshape");
    }
    match lead.log {
        WriteLog::Journal { .. } => return not_yet("an array with a journal, which would go stale"),
        WriteLog::Ppl { .. } => return not_yet("an array with a partial parity log, which would go stale"),
        WriteLog::None | WriteLog::Bitmap(_) => {}
    }
    for ((found, verdict), media) in judged.both().zip(media) {
        let record = found.record();
        match verdict {
            Verdict::Replacement { .. } => return not_yet(format!("{}: a replacement under way", found.name())),
            Verdict::Current { .. } if record.replacement => {
                return not_yet(format!("{}: a replacement whose original is gone", found.name()));
            }
            Verdict::Current { .. } => {}
            _ => continue,
        }
        check_block(media)?;
        let mut bad = vec![Extent::default(); md::bad_blocks::ENTRIES_MAX];
        let read = with_superblock(found, |source, superblock| md::read_bad_blocks(source, superblock, &mut bad))?;
        if read.unwrap_or(0) > 0 {
            return not_yet(format!("{}: a list of bad blocks with entries", found.name()));
        }
        if matches!(record.log, WriteLog::Bitmap(_)) != matches!(lead.log, WriteLog::Bitmap(_)) {
            let why = format!("{}: says otherwise than the freshest member whether there is a bitmap", found.name());
            return Err(StartError::Contradiction(why));
        }
    }
    Ok(())
}

fn health(seats: &[Option<Seat<'_>>]) -> Result<Health, raid_core::health::HealthError> {
    let mut health = Health::new(u16::try_from(seats.len()).unwrap_or(u16::MAX))?;
    for (slot, seat) in (0..=u8::MAX).zip(seats) {
        let Some(seat) = seat else { continue };
        let event = match seat.mark.map(|mark| Sector(mark.0)) {
            None => Event::Admit,
            Some(mark) if seat.by_bitmap() => Event::CatchUp { mark },
            Some(mark) => Event::Rebuild { mark },
        };
        health.apply(Member(slot), event)?;
        health.set_write_mostly(Member(slot), seat.found.record().write_mostly)?;
    }
    Ok(health)
}

/// The number of who is in each slot, or of whom the freshest table has there although nobody came.
fn numbers(judged: &Judged, seats: &[Option<Seat<'_>>]) -> Vec<Option<u32>> {
    let numbers = 0..u32::try_from(md::raw1::ROLES_MAX).unwrap_or(0);
    let of_slot = |slot: u16| numbers.clone().find(|number| judged.freshest().role_of(*number) == Role::Slot(slot));
    let number = |(slot, seat): (u16, &Option<Seat<'_>>)| match seat {
        Some(seat) => Some(seat.found.record().number),
        None => of_slot(slot),
    };
    (0..).zip(seats).map(number).collect()
}

/// What the members' logs say together.
struct Logs {
    regions: Option<RegionBits>,
    region_rows: u64,
    count: u64,
    /// Regions with a bit, or all if no bitmap can be believed.
    marked: BTreeSet<u64>,
    /// Who has at least so many events lacks only what bits are set for (kernel `super_1_validate`); `None` if that cannot be said.
    cleared: Option<u64>,
}

impl Logs {
    fn read(judged: &Judged, seats: &[Option<Seat<'_>>], rows: &Rows) -> Result<Self, StartError> {
        let lead = judged.lead();
        let (WriteLog::Bitmap(_), false) = (lead.log, rows.kind() == RowKind::Plain) else {
            return Ok(Self {
                regions: None,
                region_rows: rows.count().max(1),
                count: rows.count().min(1),
                marked: (0..rows.count().min(1)).filter(|_| lead.sync != Sync::Clean).collect(),
                cleared: None,
            });
        };
        let (mut regions, mut chunks, mut believed, mut cleared) = (None, BTreeSet::new(), false, None);
        for seat in seats.iter().flatten() {
            let own = header(seat)?;
            if *regions.get_or_insert(own) != own {
                let why = format!("{}: its bitmap has another shape than the others'", seat.found.name());
                return Err(StartError::Contradiction(why));
            }
            // A member that lags may lack bits, and one that is being rebuilt too; what they have still counts.
            let mut own_chunks = Vec::new();
            let summary = with_superblock(seat.found, |source, superblock| {
                md::read_bitmap(source, superblock, &mut vec![0; BUFFER_BYTES], |chunk| own_chunks.push(chunk))
            })?;
            let sound = summary.flatten().is_some_and(|summary| !summary.stale);
            // Where they disagree, bits may have been taken back by whom the highest count is from.
            cleared = cleared.max(summary.flatten().map(|summary| summary.events_cleared));
            believed |= sound && seat.mark.is_none() && seat.found.record().events == lead.events;
            chunks.extend(own_chunks);
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
        Ok(Self { regions: Some(regions), region_rows, count, marked, cleared: cleared.filter(|_| believed) })
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

    /// The marked regions as runs of member sectors, where rows lie alike on all members.
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

/// The shape of a member's bitmap.
fn header(seat: &Seat<'_>) -> Result<RegionBits, StartError> {
    let mut header = [0; HEADER_BYTES];
    let WriteLog::Bitmap(at) = seat.found.record().log else { return not_yet("a member without a bitmap") };
    let named = |why: String| StartError::Contradiction(format!("{}: bitmap: {why}", seat.found.name()));
    let start = disk::bytes(at).map_err(|error| named(error.to_string()))?;
    seat.media.read_at(start, &mut header).map_err(|error| named(error.to_string()))?;
    let bitmap = Bitmap::parse(&header).map_err(|refusal| named(refusal.to_string()))?;
    RegionBits::new(&bitmap).or_else(|refusal| not_yet(format!("{}: {refusal}", seat.found.name())))
}

impl Seat<'_> {
    /// It was being caught up by the bitmap.
    fn by_bitmap(&self) -> bool {
        let superblock = self.found.superblock().and_then(Result::ok);
        superblock.is_some_and(|superblock| superblock.recovers_by_bitmap())
    }

    /// The member's metadata. Its image of the bitmap has what all members' bits say together, as soon as it is written.
    fn disk(self, logs: &Logs) -> Result<Disk, StartError> {
        let record = self.found.record();
        let named = |why: String| StartError::Contradiction(format!("{}: {why}", self.found.name()));
        let superblock = self.found.superblock().ok_or_else(|| named("no MD superblock".into()))?;
        let superblock: Superblock<'_> = superblock.map_err(|refusal| named(refusal.to_string()))?;
        let version = Version::ALL.into_iter().find(|version| version.format() == record.format);
        let bitmap = match (record.log, &logs.regions) {
            (WriteLog::Bitmap(at), Some(regions)) => {
                let len = disk::padded(regions.area_bytes(), &self.media).map_err(|error| named(error.to_string()))?;
                let mut bytes = vec![0; len];
                let start = disk::bytes(at).map_err(|error| named(error.to_string()))?;
                self.media.read_at(start, &mut bytes).map_err(|error| named(error.to_string()))?;
                regions.put(&mut bytes, 0, &logs.words());
                Some(BitmapArea { at, bytes, whole: false })
            }
            _ => None,
        };
        Ok(Disk {
            version: version.ok_or_else(|| named("no MD version".into()))?,
            block: Box::new(*superblock.emit()),
            events: record.events,
            bitmap,
            first: None,
            bad_blocks: record.bad_blocks.is_some(),
            failed: false,
            media: self.media,
        })
    }
}
