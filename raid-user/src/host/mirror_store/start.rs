//! From legs and a log to a running mirror.

use std::sync::Mutex;

use raid_core::geometry::Geometry;
use raid_core::health::Event;
use raid_core::region::RegionNo;
use raid_core::rows::{ROW_SECTORS, RowNo, Rows};
use raid_core::{ArrayConfig, Columns, Extent, Level, Sector, Sectors, Sizes};
use raid_formats::dm::mirror::{self, BITS_AT_BYTES, MirrorLog};
use raid_formats::table::Believed;

use super::{BLOCK_BYTES, Leg, Log, MirrorStore, PAGE_WORDS, Shared};
use crate::discover::MediaSource;
use crate::host::assembled::health;
use crate::host::start::{Slot, Start};
use crate::host::start_error::{StartError, check_block, not_yet};
use crate::media::{Media as _, SharedMediaMut};

/// A mirror, opened for writing.
#[derive(Clone)]
pub struct Mirror {
    /// Its legs; those that are not here are nothing.
    pub legs: Vec<Option<Leg>>,
    /// The device with the log, if it has one.
    pub log: Option<SharedMediaMut>,
    /// Whether that counts.
    pub believed: Believed,
    /// Sectors of a region.
    pub region: Sectors,
    /// Its own sectors.
    pub len: Sectors,
}

/// Makes the mirror ready to run. Nothing is written yet.
///
/// # Errors
/// [`StartError`]: without the first leg, above all.
pub fn mirror_start(mirror: Mirror) -> Result<Start, StartError> {
    let Mirror { legs, log, believed, region, len } = mirror;
    if legs.first().is_none_or(Option::is_none) {
        let why = "its first leg is not here. dm-mirror believes that one wherever legs disagree: when it came back, it would be copied \
             over all that was written without it. LVM's repair (lvconvert --repair) makes another one the first";
        return Err(StartError::Unwritable(why.to_owned()));
    }
    if !region.0.is_multiple_of(ROW_SECTORS) || !len.0.is_multiple_of(ROW_SECTORS) || region.is_zero() {
        return not_yet(format!("a mirror of {} sectors in regions of {}", len.0, region.0));
    }
    for leg in legs.iter().flatten() {
        check_block(&leg.media)?;
        let end = leg.at.checked_add(len).and_then(Sector::bytes);
        if end.is_none_or(|end| end > leg.media.size_bytes()) {
            let (name, size) = (leg.media.describe(), leg.media.size_bytes());
            return Err(StartError::Contradiction(format!("{name}: it has {size} bytes, the mirror needs more of it")));
        }
    }
    let regions = mirror::regions(region, len).map_err(|refusal| StartError::Contradiction(refusal.to_string()))?;
    let log = log.map(|media| read_log(media, regions)).transpose()?;
    let marked = marked(log.as_ref(), believed, (region, regions), len)?;
    let members = u16::try_from(legs.len()).unwrap_or(u16::MAX);
    let (sizes, chunk) = (Sizes::Same(len), Sectors::ZERO);
    let config = ArrayConfig { level: Level::Raid1, members, chunk, sizes, array_size: Some(len) };
    let geometry = Geometry::new(&config).map_err(|error| StartError::Contradiction(error.to_string()))?;
    let Some(rows) = Rows::new(geometry) else { return not_yet("a mirror of this shape") };
    // What the others hold where bits are clear is not known: they may have been away for long.
    let agree = marked.iter().all(|word| *word == 0);
    let event = |slot: usize| match agree || slot == 0 {
        true => Event::Admit,
        false => Event::CatchUp { mark: Sector(0) },
    };
    let admitted = legs.iter().enumerate().map(|(slot, leg)| leg.as_ref().map(|_| (event(slot), false)));
    let health = health(admitted)?;
    let vacant = Slot { media: None, data_at: Sector(0) };
    let slots = legs.iter().map(|leg| leg.as_ref().map_or_else(|| vacant.clone(), Leg::slot)).collect();
    let bits = (0..regions).filter(|region| is_set(&marked, *region)).map(RegionNo).collect();
    let shared = Shared { log, marked, health, spoilt: Columns::EMPTY };
    Ok(Start {
        rows,
        health,
        slots,
        region_rows: region.0 / ROW_SECTORS,
        log_page_words: PAGE_WORDS,
        doubt: Vec::new(),
        marked: bits,
        doubt_from: RowNo(0),
        store: Box::new(MirrorStore { shared: Mutex::new(shared), legs }),
    })
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn is_set(words: &[u64], region: u64) -> bool {
    words.get(index(region / 64)).is_some_and(|word| word >> (region % 64) & 1 == 1)
}

/// The log as it stands on its device.
fn read_log(media: SharedMediaMut, regions: u64) -> Result<Log, StartError> {
    check_block(&media)?;
    let named = |why: String| StartError::Contradiction(format!("{}: the mirror's log: {why}", media.describe()));
    let bytes = mirror::log_bytes(regions);
    if bytes > media.size_bytes() {
        return Err(named(format!("{regions} regions need {bytes} bytes, it has {}", media.size_bytes())));
    }
    let mut header = [0; BLOCK_BYTES];
    media.read_at(0, &mut header).map_err(|error| named(error.to_string()))?;
    // A device full of zeros is a new log, as for Linux; one that holds something else is not overwritten.
    if header != [0; BLOCK_BYTES] {
        MirrorLog::parse(&header).map_err(|refusal| named(refusal.to_string()))?;
    }
    let mut there = Vec::new();
    for at in (BITS_AT_BYTES..bytes).step_by(BLOCK_BYTES) {
        let mut sector = [0; BLOCK_BYTES];
        media.read_at(at, &mut sector).map_err(|error| named(error.to_string()))?;
        there.push(Some(sector));
    }
    Ok(Log { media, regions, header, there, whole: false })
}

/// Which regions may disagree, as words of bits.
fn marked(
    log: Option<&Log>,
    believed: Believed,
    (region, regions): (Sectors, u64),
    len: Sectors,
) -> Result<Vec<u64>, StartError> {
    let mut words = vec![0; index(regions.div_ceil(64))];
    let log = log.filter(|log| log.header != [0; BLOCK_BYTES]);
    let mut mark = |number: u64| {
        if let Some(word) = words.get_mut(index(number / 64)) {
            *word |= 1_u64 << (number % 64);
        }
    };
    match (believed, log) {
        (Believed::Agree, _) => {}
        (Believed::Differ, _) | (Believed::Log, None) => (0..regions).for_each(mark),
        (Believed::Log, Some(log)) => {
            let tell = |run: Extent| {
                let until = run.at.0.saturating_add(run.len.0).div_ceil(region.0.max(1));
                (run.at.0 / region.0.max(1)..until).for_each(&mut mark);
            };
            let read = mirror::read_unsynced(&MediaSource(log.media.as_ref()), region, len, tell);
            read.map_err(|fault| StartError::Contradiction(format!("{}: {fault}", log.media.describe())))?;
        }
    }
    Ok(words)
}
