//! From members that were found to an array that can be run, or a refusal that says why and what to do.
//!
//! Who is current is judged as for reading ([`crate::array`]). Beyond that, an array is run only if everything its metadata promise
//! can be kept: what is refused here is refused because a write would make a log, a list or a copy stale.

use std::sync::Mutex;

use raid_core::health::{Event, Health, SEATED_MAX};
use raid_core::rows::{ROW_SECTORS, RowKind, RowNo};
use raid_core::{Extent, Member, Sector, Sectors};
use raid_formats::assemble::{Claimant as _, Verdict};
use raid_formats::md::{self, Hindrance};
use raid_formats::record::{Role, Sync, WriteLog};

use super::disk::{self, BitmapArea, Disk};
use super::log::LaidDown;
use super::said::Said;
use super::spares::Spare;
use super::{MdStore, PAGE_WORDS, Shared, tears};
use crate::array::{Judged, OpenOptions, verdicts, with_superblock};
use crate::discover::Found;
use crate::host::assembled::{Assembled, Current, open};
use crate::host::marks::{Gathered, Marks};
use crate::host::replay::Replay;
use crate::host::start::{Slot, Start};
use crate::host::start_error::{StartError, check_block, not_yet};
use crate::media::SharedMediaMut;

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
            Verdict::Current { .. } | Verdict::Replacement { .. } | Verdict::Spare | Verdict::Journal { .. } => {
                members.push(open(&found)?);
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
    let replay = Replay::new(&judged, &media, options)?;
    let log = LaidDown::new(&judged, &media);
    let mut assembled = Assembled::new(&judged, media.iter().cloned(), options)?;
    assembled.dirty &= !replay.as_ref().is_some_and(|replay| replay.closed);
    distrust_lone_copies(&mut assembled);
    let (marks, cleared) = marks(&judged, &assembled)?;
    let mut health = assembled.health(event)?;
    let mut slots = assembled.slots(judged.lead().data.at, |media| media);
    let Assembled { rows, slots: mut members, dirty } = assembled;
    let (doubt, marked) = marks.judge(&rows, &health, dirty, options)?;
    // Parity that is believed, or a log that was replayed, is no doubt to the engine; but below its mark too a copy may lack what a crash
    // or the replay left with its member alone.
    let believed = dirty && !health.is_whole() && rows.kind() == RowKind::Parity;
    let made_anew = believed || replay.is_some();
    seat_copies(&judged, &media, made_anew, (&mut health, &mut members, &mut slots));
    let numbers = numbers(&judged, &members);
    let spares = spares(&judged, &media, &numbers)?;
    let sync = if dirty { judged.lead().sync } else { Sync::Clean };
    let spare_numbers = spares.iter().map(|spare| spare.number).collect();
    let array = md::Said { events: judged.lead().events, health, sync, numbers };
    let said = Said { array, spares: spare_numbers, gone: Vec::new() };
    let disks = members.into_iter().map(|member| member.map(|member| disk(&member, &marks)).transpose());
    let disks = disks.collect::<Result<Vec<_>, _>>()?;
    // Without a bitmap nothing tells what somebody lacks.
    let known = cleared.map(|events| (events.min(said.events), health.epoch())).into_iter().collect();
    let torn = |disk: &Disk| tears(disk.version, &disk.block, disk.medium());
    let store = MdStore {
        turn: disks.iter().flatten().any(torn).then(|| Mutex::new(())),
        shared: Mutex::new(Shared { coming: vec![None; disks.len()], known, said, begun: false }),
        spares: Mutex::new(spares),
        disks: disks.into_iter().map(Mutex::new).collect(),
        regions: marks.regions,
        log,
    };
    if let Some(replay) = replay {
        replay.end(|| store.settle())?;
    }
    let doubt_from = match sync {
        Sync::DirtyFrom(from) if store.regions.is_none() => RowNo(from.0 / ROW_SECTORS),
        Sync::DirtyFrom(_) | Sync::Clean => RowNo(0),
    };
    let (region_rows, log_page_words) = (marks.region_rows, PAGE_WORDS);
    Ok(Start { rows, health, slots, region_rows, log_page_words, doubt, marked, doubt_from, store: Box::new(store) })
}

fn check_supported(judged: &Judged, media: &[SharedMediaMut]) -> Result<(), StartError> {
    let lead = judged.lead();
    if let Some(hindrance) = Hindrance::of(lead) {
        return not_yet(hindrance);
    }
    for ((found, verdict), media) in judged.both().zip(media) {
        let record = found.record();
        if !matches!(verdict, Verdict::Current { .. } | Verdict::Replacement { .. }) {
            continue;
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

fn event(member: &Current<'_, SharedMediaMut>) -> Event {
    let superblock = member.found.superblock().and_then(Result::ok);
    md::admission(superblock.as_ref(), member.mark)
}

/// Where redundancy is in doubt, the crash may have left a copy without what its member got, and the member, which is gone, may have
/// been read since: the copy counts for nothing, as [`Health::fail`] has it, unless the array needs it.
fn distrust_lone_copies(assembled: &mut Assembled<'_, SharedMediaMut>) {
    if !assembled.dirty {
        return;
    }
    let lacks = |current: &Option<Current<'_, SharedMediaMut>>| {
        current.as_ref().is_none_or(|one| one.mark.is_some() || one.found.record().replacement)
    };
    let out = (0..=u8::MAX).map(Member).zip(&assembled.slots).filter(|(_, current)| lacks(current));
    if assembled.rows.geometry().survives(out.map(|(member, _)| member).collect()) {
        let copies = assembled.slots.iter_mut().flatten().filter(|current| current.found.record().replacement);
        copies.for_each(|copy| copy.mark = Some(Sectors::ZERO));
    }
}

/// Puts copies in the making into their seats. One whose member is being filled itself is none: it is left out, and written off. A copy
/// goes on at its mark, or from the start if it is to be `made_anew`.
fn seat_copies<'a>(
    judged: &'a Judged,
    media: &[SharedMediaMut],
    made_anew: bool,
    (health, members, slots): (&mut Health, &mut Vec<Option<Current<'a, SharedMediaMut>>>, &mut Vec<Slot>),
) {
    let count = usize::from(health.members());
    if health.members() > SEATED_MAX {
        return;
    }
    members.resize(count * 2, None);
    slots.resize(count * 2, Slot { media: None, data_at: judged.lead().data.at });
    for ((found, verdict), media) in judged.both().zip(media) {
        let Verdict::Replacement { slot } = *verdict else { continue };
        let (Ok(member), record) = (u8::try_from(slot).map(Member), found.record()) else { continue };
        let mark = record.sync_mark.filter(|_| !made_anew).unwrap_or(Sectors::ZERO);
        let fits = record.data.len >= judged.lead().used;
        if !fits || health.apply(member, Event::Replace { mark: Sector(mark.0) }).is_err() {
            continue;
        }
        let seat = usize::from(health.second_seat(member).0);
        if let (Some(place), Some(slot)) = (members.get_mut(seat), slots.get_mut(seat)) {
            *place = Some(Current { found, mark: Some(mark), with: media.clone() });
            *slot = Slot { media: Some(media.clone()), data_at: record.data.at };
        }
    }
}

/// The number of who is in each seat, or of whom the freshest table has in its slot although he did not come.
fn numbers(judged: &Judged, seats: &[Option<Current<'_, SharedMediaMut>>]) -> md::Numbers {
    let present = |seat: u16| seats.get(usize::from(seat))?.as_ref().map(|member| member.found.record().number);
    let count = u16::try_from(seats.len()).unwrap_or(u16::MAX);
    md::numbers(judged.lead().shape.members, count, judged.freshest(), present)
}

/// Spares that are up to date, but for those whose number somebody has.
fn spares(judged: &Judged, media: &[SharedMediaMut], numbers: &[Option<u32>]) -> Result<Vec<Spare>, StartError> {
    let mut spares: Vec<Spare> = Vec::new();
    for ((found, verdict), media) in judged.both().zip(media) {
        let record = found.record();
        let (number, lead) = (record.number, judged.freshest());
        let own = *verdict == Verdict::Spare && record.role == Role::Spare && lead.role_of(number) == Role::Spare;
        let current = record.events.saturating_add(1) >= judged.lead().events;
        let in_range = usize::try_from(number).is_ok_and(|number| number < md::raw1::ROLES_MAX);
        let taken = spares.iter().any(|spare| spare.number == number) || numbers.contains(&Some(number));
        if own && current && in_range && !taken && media.block_bytes() == 512 {
            let disk = Disk { bitmap: None, ..Disk::of(found, media)? };
            spares.push(Spare { number, identity: record.member, disk });
        }
    }
    Ok(spares)
}

/// What the members' logs say together, and from which event count on a member lacks only what bits are set for (kernel
/// `super_1_validate`); `None` if that cannot be said.
fn marks(judged: &Judged, assembled: &Assembled<'_, SharedMediaMut>) -> Result<(Marks, Option<u64>), StartError> {
    let (lead, rows) = (judged.lead(), &assembled.rows);
    let (WriteLog::Bitmap(_), false) = (lead.log, rows.kind() == RowKind::Plain) else {
        return Ok((Marks::flag(rows, assembled.dirty), None));
    };
    let (mut gathered, mut cleared) = (Gathered::default(), None);
    for Current { found, mark, with: media } in assembled.slots.iter().flatten() {
        let WriteLog::Bitmap(at) = found.record().log else { return not_yet("a member without a bitmap") };
        gathered.header(found.name(), media, at)?;
        // A member that lags may lack bits, and one that is being rebuilt too; what they have still counts.
        let mut own = Vec::new();
        let summary = with_superblock(found, |source, superblock| {
            md::read_bitmap(source, superblock, &mut vec![0; BUFFER_BYTES], |chunk| own.push(chunk))
        })?;
        let sound = summary.flatten().is_some_and(|summary| !summary.stale);
        // Where they disagree, bits may have been taken back by whom the highest count is from.
        cleared = cleared.max(summary.flatten().map(|summary| summary.events_cleared));
        gathered.believed |= sound && mark.is_none() && found.record().events == lead.events;
        gathered.chunks.extend(own);
    }
    let cleared = cleared.filter(|_| gathered.believed);
    Ok((gathered.marks(rows)?, cleared))
}

/// The member's metadata. Its image of the bitmap has what all members' bits say together, as soon as it is written.
fn disk(member: &Current<'_, SharedMediaMut>, marks: &Marks) -> Result<Disk, StartError> {
    let Current { found, with: media, .. } = member;
    let named = |why: String| StartError::Contradiction(format!("{}: {why}", found.name()));
    let bitmap = match (found.record().log, &marks.regions) {
        (WriteLog::Bitmap(at), Some(regions)) => {
            let len = disk::padded(regions.area_bytes(), media).map_err(|error| named(error.to_string()))?;
            let mut bytes = vec![0; len];
            let start = disk::bytes(at).map_err(|error| named(error.to_string()))?;
            media.read_at(start, &mut bytes).map_err(|error| named(error.to_string()))?;
            regions.put(&mut bytes, 0, &marks.words());
            Some(BitmapArea { at, bytes, whole: false })
        }
        _ => None,
    };
    Ok(Disk { bitmap, ..Disk::of(found, media)? })
}
