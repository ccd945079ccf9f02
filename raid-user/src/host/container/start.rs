//! From members that were found to a running volume of a container.

use raid_core::{Member, Sector, Sectors};
use raid_formats::assemble::{Claimant as _, Verdict};
use raid_formats::ddf::running::Part;
use raid_formats::imsm::raw::WriteHole;
use raid_formats::record::Format;

use super::bios::BiosArray;
use super::ddf::DdfVolume;
use super::imsm::ImsmVolume;
use super::{ContainerStore, Disk, Said};
use crate::array::{Judged, OpenOptions, verdicts};
use crate::discover::{Found, Identity};
use crate::host::assembled::open;
use crate::host::one_flag::OneFlag;
use crate::host::start::Start;
use crate::host::start_error::{StartError, not_yet};
use crate::media::SharedMediaMut;

/// Makes a volume ready to run. `found` are its members, `all` the members of all volumes: disks of its container that hold parts of others
/// alone are kept up to date, too. The disks are opened for writing, locked, and read again.
///
/// # Errors
/// [`StartError`].
pub(in crate::host) fn container_start(
    found: Vec<Found>,
    all: &[Found],
    options: &OpenOptions,
) -> Result<Start, StartError> {
    let (_, verdicts) = verdicts(&found, options)?;
    let container = found.first().and_then(Found::container);
    let mut members = Vec::new();
    for (found, verdict) in found.iter().zip(verdicts) {
        // A disk of IMSM that has parts of other volumes alone is a spare for this one.
        if matches!(verdict, Verdict::Current { .. } | Verdict::Spare) {
            members.push(open(found)?);
        }
    }
    let mut others: Vec<(Found, SharedMediaMut)> = Vec::new();
    for other in all.iter().filter(|other| other.container().is_some() && other.container() == container) {
        let known = |one: &Found| one.name() == other.name();
        if !found.iter().any(known) && !others.iter().any(|(one, _)| known(one)) {
            others.push(open(other)?);
        }
    }
    container_start_on(members, others, options)
}

/// The same with disks that are open already, each with its medium.
///
/// # Errors
/// [`StartError`].
pub fn container_start_on(
    members: Vec<(Found, SharedMediaMut)>,
    others: Vec<(Found, SharedMediaMut)>,
    options: &OpenOptions,
) -> Result<Start, StartError> {
    let (found, media): (Vec<Found>, Vec<SharedMediaMut>) = members.into_iter().unzip();
    let judged = Judged::new(found, &OpenOptions { partial: false, ..options.clone() })?;
    let flag = OneFlag::new(&judged, &media, options)?;
    let lead = judged.lead();
    let disk = |media: &SharedMediaMut, slot| Disk::new(media.clone(), slot);
    let keeps =
        |other: &Found| lead.events.saturating_sub(other.record().events) <= 1 && judged.freshest().keeps(other);
    let (mut disks, mut beside): (Vec<Disk>, Vec<Found>) = (Vec::new(), Vec::new());
    for ((found, verdict), media) in judged.both().zip(&media) {
        match verdict {
            Verdict::Current { slot, .. } => disks.push(disk(media, u8::try_from(*slot).ok().map(Member))),
            Verdict::Spare if keeps(found) => {
                disks.push(disk(media, None));
                beside.push(found.clone());
            }
            _ => {}
        }
    }
    for (other, media) in others.into_iter().filter(|(other, _)| keeps(other)) {
        disks.push(disk(&media, None));
        beside.push(other);
    }
    let said = Said { health: flag.health, dirty: flag.dirty };
    let format: Box<dyn super::Format> = match lead.format {
        Format::Ddf | Format::DdfSwapped => Box::new(ddf(&judged, &flag, &beside)?),
        Format::Imsm => Box::new(imsm(&judged, &flag, &beside)?),
        _ if judged.freshest().bios().is_some() => Box::new(bios(&judged, &flag)?),
        other => return not_yet(format!("writing to {} arrays", other.name())),
    };
    let store = ContainerStore::new(format, disks, said);
    if let Some(replay) = &flag.replay {
        replay.end(|| store.settle())?;
    }
    Ok(flag.start(Box::new(store)))
}

fn bios(judged: &Judged, flag: &OneFlag) -> Result<BiosArray, StartError> {
    let lead = judged.freshest();
    let Some((kind, _)) = lead.bios() else {
        return not_yet(format!("writing to {} arrays", lead.record().format.name()));
    };
    if let Some(why) = kind.unwritable() {
        return Err(StartError::Unwritable(format!("{} arrays are not written to: {why}", kind.format().name())));
    }
    let own = |slot: u16| {
        judged.both().find(|(_, verdict)| matches!(verdict, Verdict::Current { slot: own, .. } if *own == slot))
    };
    let slots = 0..flag.health.members();
    let places = slots.clone().map(|slot| own(slot).and_then(|(found, _)| Some(found.bios()?.1.at()))).collect();
    let data_at =
        slots.clone().map(|slot| own(slot).map_or(lead.record().data.at, |(found, _)| found.record().data.at));
    let (data_at, coming) = (data_at.collect(), slots.map(|_| None).collect());
    let out = flag.health.missing().difference(lead.record().table_in_sync);
    Ok(BiosArray { kind, out, places, coming, data_at })
}

fn ddf(judged: &Judged, flag: &OneFlag, beside: &[Found]) -> Result<DdfVolume, StartError> {
    let contradiction = |why: &str| StartError::Contradiction(format!("{}: {why}", judged.freshest().name()));
    let lead = judged.freshest();
    let volume = lead.with_ddf(|volume| (volume.guid(), *volume.levels()));
    let (guid, levels) = volume.ok_or_else(|| contradiction("no volume of DDF"))?;
    let own = |slot: u16| {
        judged.both().find(|(_, verdict)| matches!(verdict, Verdict::Current { slot: own, .. } if *own == slot))
    };
    let part = |slot: u16| {
        let told = || judged.both().find_map(|(found, _)| found.with_ddf(|volume| volume.member(slot)).flatten());
        Part::of(own(slot).map(|(found, _)| found.record()), told)
    };
    let parts: Vec<Option<Part>> = (0..flag.health.members()).map(part).collect();
    let here = |reference: u32| {
        let of_volume = parts.iter().flatten().any(|part| part.reference == reference);
        of_volume || beside.iter().any(|other| other.record().number == reference)
    };
    let order = |found: &Found| found.ddf().map(|(_, place)| place.order);
    if judged.both().any(|(found, _)| order(found) != order(lead)) || beside.iter().any(|one| order(one) != order(lead))
    {
        return Err(contradiction("the disks of its container have records of different byte orders"));
    }
    let away = lead.with_ddf(|volume| volume.away(here));
    if let Some(away) = away.flatten() {
        return Err(StartError::NotGiven(away.to_string()));
    }
    let coming = vec![None; parts.len()];
    let len = judged.lead().data.len;
    Ok(DdfVolume { guid, levels, geometry: flag.rows.geometry().clone(), len, parts, coming })
}

fn imsm(judged: &Judged, flag: &OneFlag, beside: &[Found]) -> Result<ImsmVolume, StartError> {
    let contradiction = |why: &str| StartError::Contradiction(format!("{}: {why}", judged.freshest().name()));
    let lead = judged.freshest();
    // Copies that may be taken either way read alike; but which of them failed must not be written down of the wrong one.
    let either = judged.both().find(|(found, _)| found.identity() == Some(Identity::Interchangeable));
    if let Some((found, _)) = either {
        let name = found.name();
        let what = "nothing tells which copy of the mirror it is";
        return not_yet(format!(
            "{name}: {what}: say it with --serial {name}=SERIAL, or in a file {name}.serial; writing to it"
        ));
    }
    let serial = |slot: u16| {
        let own =
            judged.both().find(|(_, verdict)| matches!(verdict, Verdict::Current { slot: own, .. } if *own == slot));
        own.map(|(found, _)| found.record().member.0)
    };
    let serials: Vec<_> = (0..flag.health.members()).map(serial).collect();
    let look = |volume: &raid_formats::imsm::Volume<'_>| {
        let scale = volume.metadata().place().block_sectors();
        let len = Sectors(volume.raw().map.head.member_blocks().saturating_mul(scale));
        let away = volume.away(|serial| beside.iter().any(|other| other.record().member.0 == *serial));
        (len, away, WriteHole::of(volume.raw().head.rwh_policy))
    };
    let (len, away, closed_by) = lead.with_imsm(look).ok_or_else(|| contradiction("no volume of IMSM"))?;
    if let Some(away) = away {
        return Err(StartError::NotGiven(away.to_string()));
    }
    let data: (Sector, Sectors) = (judged.lead().data.at, len);
    let (array, coming) = (judged.lead().array, vec![None; serials.len()]);
    Ok(ImsmVolume { array, serials, coming, data, closed_by })
}
