// SPDX-License-Identifier: GPL-2.0-only
//! `raid-kmod auto DEVICE...`: the array that the devices' own metadata describe. What they are is the formats' to say, and what they are
//! together [`assemble`]'s.

mod form;
mod marks;

use core::fmt;

use kernel::prelude::*;
use raid_core::health::{Health, HealthError};
use raid_core::rows::{RowKind, RowNo, Rows, ROW_SECTORS};
use raid_core::{Columns, Extent, Member, Sector, Sectors};
use raid_formats::assemble::{self, Claimant, Force, Verdict};
use raid_formats::claim::{self, Claim, Unclaimed};
use raid_formats::container::Away;
use raid_formats::imsm::{Identity, Serial};
use raid_formats::md::{self, Doubt, Hindrance, ProbeBuffer};
use raid_formats::record::{Shape, Sync, WriteLog};

use form::Told;
use marks::Marks;

use crate::clerks::{Clerks, Shelf};
use crate::memory::zeroed;
use crate::metadata::Regions;
use crate::seats::Device;
use crate::store::Form;

/// Why the devices are no array that can be started here.
pub(crate) enum Fault<'a> {
    Unclaimed(&'a str, Unclaimed),
    Stranger(&'a str),
    Refusal(assemble::Refusal),
    Health(HealthError),
    /// It can be read only.
    Hindrance(Hindrance),
    /// A member is in a state in which it is not written to.
    Member(&'a str, &'static str),
    Hindered(&'a str, Hindrance),
    /// A disk of the container was not given, and would go stale.
    Away(Away),
    /// The members' bitmaps.
    Bitmap(&'a str, &'static str),
    Doubted(u64),
    Changed,
    Memory,
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclaimed(name, why) => write!(f, "{name}: {why}"),
            Self::Stranger(name) => write!(f, "{name}: another array's"),
            Self::Refusal(refusal) => refusal.fmt(f),
            Self::Health(error) => error.fmt(f),
            Self::Hindrance(why) => write!(f, "not yet: {why}; a read-only table can be loaded"),
            Self::Member(name, why) => write!(f, "not yet: {name}: {why}"),
            Self::Hindered(name, why) => write!(f, "not yet: {name}: {why}; a read-only table can be loaded"),
            Self::Away(disk) => disk.fmt(f),
            Self::Bitmap(name, why) => write!(f, "{name}: its bitmap {why}"),
            Self::Doubted(regions) => {
                write!(f, "not stopped in order, and a member is missing: parity is in doubt in {regions} regions")
            }
            Self::Changed => f.write_str("the array has another shape than when the table was loaded"),
            Self::Memory => f.write_str("no memory"),
        }
    }
}

impl From<kernel::alloc::AllocError> for Fault<'_> {
    fn from(_: kernel::alloc::AllocError) -> Self {
        Self::Memory
    }
}

/// Room for what stands on a device.
struct Room {
    probe: KBox<ProbeBuffer>,
    tables: KVVec<u8>,
}

/// A device's place.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) member: Member,
    /// Where its data begin.
    pub(crate) data_at: Sector,
    /// Which disk it was known as, if it does not say that itself.
    pub(crate) known: Option<(Serial, Identity)>,
}

/// Which disk a device is, where it does not say that itself.
#[derive(Clone, Copy)]
pub(crate) enum Word<'a> {
    Nothing,
    /// The table's line has its serial number.
    Told(&'a str),
    /// It was found out when the table was loaded.
    Known((Serial, Identity)),
}

/// What the devices are together.
pub(crate) struct Auto {
    pub(crate) health: Health,
    /// For each device its place, if it counts.
    pub(crate) slots: KVVec<Option<Slot>>,
    pub(crate) found: Regions,
    pub(crate) region_rows: u64,
    pub(crate) doubt_from: RowNo,
    /// How it is written down; nothing if the array is only read.
    pub(crate) form: Option<Form>,
}

/// The devices, with who reads them: device `n` is the `n`th clerk's.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) devices: &'a [(&'a Device, Word<'a>)],
    pub(crate) clerks: &'a Clerks,
    /// The table is one to write through.
    pub(crate) writes: bool,
}

impl<'a> Given<'a> {
    fn shelf(&self, number: usize) -> Option<Shelf<'a>> {
        let (device, _) = self.devices.get(number)?;
        Some(Shelf { clerks: self.clerks, member: Member(u8::try_from(number).ok()?), device })
    }

    fn name(&self, number: usize) -> &'a str {
        self.devices.get(number).map_or("?", |(device, _)| device.name())
    }
}

/// The array's shape, for whoever makes its geometry: which is kilobytes, and so not made in the depths of this.
pub(crate) struct Outline {
    pub(crate) shape: Shape,
    pub(crate) used: Sectors,
    /// What each member gives.
    pub(crate) each: KVVec<Sectors>,
    pub(crate) missing: Columns,
}

/// Looks at all devices, and says what they are members of.
#[inline(never)]
pub(crate) fn outline<'a>(given: Given<'a>) -> Result<Outline, Fault<'a>> {
    with_claims(&given, |claims, verdicts, lead| {
        let lead = lead.record();
        let mut each = KVVec::from_elem(lead.data.len, lead.shape.members.into(), GFP_KERNEL)?;
        let mut missing = Columns::first(lead.shape.members);
        for (_, slot, _, claim) in members(claims, verdicts) {
            missing.remove(slot);
            if let Some(len) = each.get_mut(usize::from(slot.0)) {
                *len = claim.record().data.len;
            }
        }
        Ok(Outline { shape: lead.shape, used: lead.used, each, missing })
    })
}

/// Looks at all devices, and says how the array starts that has this shape and these rows.
#[inline(never)]
pub(crate) fn judge<'a>(given: Given<'a>, shape: Shape, rows: &Rows) -> Result<Auto, Fault<'a>> {
    with_claims(&given, |claims, verdicts, lead| {
        if lead.record().shape == shape { assembled(&given, claims, verdicts, lead, rows) } else { Err(Fault::Changed) }
    })
}

fn with_claims<'a, R>(
    given: &Given<'a>,
    work: impl FnOnce(&[Claim<'_>], &[Verdict], &Claim<'_>) -> Result<R, Fault<'a>>,
) -> Result<R, Fault<'a>> {
    let count = given.devices.len();
    let mut rooms = KVVec::with_capacity(count, GFP_KERNEL)?;
    for _ in 0..count {
        rooms.push(Room { probe: zeroed()?, tables: KVVec::new() }, GFP_KERNEL)?;
    }
    let mut claims = KVVec::with_capacity(count, GFP_KERNEL)?;
    for (number, room) in rooms.iter_mut().enumerate() {
        claims.push(look(given, number, room)?, GFP_KERNEL)?;
    }
    let Some(first) = claims.first() else { return Err(Fault::Memory) };
    let strange = |claim: &Claim<'_>| !assemble::same_array(first.record(), claim.record());
    if let Some(number) = claims.iter().position(strange) {
        return Err(Fault::Stranger(given.name(number)));
    }
    identify(given, &mut claims)?;
    let mut verdicts = KVVec::from_elem(Verdict::Spare, count, GFP_KERNEL)?;
    let assembly = assemble::judge(&claims, &Force::default(), &mut verdicts).map_err(Fault::Refusal)?;
    work(&claims, &verdicts, claims.get(assembly.freshest).ok_or(Fault::Memory)?)
}

#[inline(never)]
fn look<'a, 'b>(given: &Given<'a>, number: usize, room: &'b mut Room) -> Result<Claim<'b>, Fault<'a>> {
    let shelf = given.shelf(number).ok_or(Fault::Memory)?;
    let mut working = zeroed::<claim::Working>()?;
    let Room { probe, tables } = room;
    claim::identify(&shelf, probe, move |len| grown(tables, len), &mut working).map_err(|why| Fault::Unclaimed(given.name(number), why))
}

/// Which disks of their container they are.
#[inline(never)]
fn identify<'a>(given: &Given<'a>, claims: &mut [Claim<'_>]) -> Result<(), Fault<'a>> {
    let unclaimed = |number, why| Fault::Unclaimed(given.name(number), why);
    for (number, (claim, (_, word))) in claims.iter_mut().zip(given.devices).enumerate() {
        let told = match *word {
            Word::Nothing => Ok(()),
            Word::Told(serial) => claim.tell(serial),
            Word::Known(known) => claim.recall(known),
        };
        told.map_err(|why| unclaimed(number, why))?;
    }
    let mut working = KVVec::from_elem(None, claims.len(), GFP_KERNEL)?;
    claim::eliminate(claims, &mut working).map_err(|(number, why)| unclaimed(number, why))
}

fn grown(tables: &mut KVVec<u8>, len: usize) -> Option<&mut [u8]> {
    tables.resize(len, 0, GFP_KERNEL).ok()?;
    Some(tables)
}

/// The current members in their slots.
fn members<'c, 'b>(
    claims: &'c [Claim<'b>],
    verdicts: &'c [Verdict],
) -> impl Iterator<Item = (usize, Member, Option<Sectors>, &'c Claim<'b>)> {
    let current = |(number, (claim, verdict)): (usize, (&'c Claim<'b>, &Verdict))| match *verdict {
        Verdict::Current { slot, mark, .. } => Some((number, Member(u8::try_from(slot).ok()?), mark, claim)),
        _ => None,
    };
    claims.iter().zip(verdicts).enumerate().filter_map(current)
}

/// What is refused because a write, or a read, would not be right.
fn check<'a>(given: &Given<'a>, claims: &[Claim<'_>], verdicts: &[Verdict], freshest: &Claim<'_>) -> Result<(), Fault<'a>> {
    let lead = freshest.record();
    let hindrance = freshest.hindrance().filter(|why| given.writes || why.hinders_readers());
    if let Some(why) = hindrance.or_else(|| Hindrance::of_log(lead)) {
        return Err(Fault::Hindrance(why));
    }
    for (number, (claim, verdict)) in claims.iter().zip(verdicts).enumerate() {
        let (name, record) = (given.name(number), claim.record());
        if matches!(verdict, Verdict::Replacement { .. }) && given.writes {
            return Err(Fault::Member(name, "a replacement under way"));
        }
        if matches!(verdict, Verdict::Spare) && given.writes {
            return Err(Fault::Member(name, "a spare of the container, which would be told of no change"));
        }
        let Verdict::Current { .. } = verdict else { continue };
        if let Some(why) = claim.own_hindrance().filter(|_| given.writes) {
            return Err(Fault::Hindered(name, why));
        }
        if record.replacement {
            return Err(Fault::Member(name, "a replacement whose original is gone"));
        }
        if given.devices.get(number).is_some_and(|(device, _)| device.block_bytes() != 512) {
            return Err(Fault::Member(name, "blocks of another size than 512 bytes"));
        }
        if given.writes && claim.ddf().is_some() && record.format != lead.format {
            return Err(Fault::Member(name, "records of another byte order than the freshest member's"));
        }
        let (Claim::Md(superblock, ..), Some(shelf)) = (claim, given.shelf(number)) else { continue };
        let mut bad = KVVec::from_elem(Extent::default(), md::bad_blocks::ENTRIES_MAX, GFP_KERNEL)?;
        if md::read_bad_blocks(&shelf, superblock, &mut bad).map_or(true, |count| count > 0) {
            return Err(Fault::Member(name, "a list of bad blocks with entries, or one that cannot be read"));
        }
        if matches!(record.log, WriteLog::Bitmap(_)) != matches!(lead.log, WriteLog::Bitmap(_)) {
            return Err(Fault::Bitmap(name, "is there, or not, unlike the freshest member's"));
        }
    }
    Ok(())
}

fn health<'a>(claims: &[Claim<'_>], verdicts: &[Verdict], slots: u16) -> Result<Health, Fault<'a>> {
    let mut health = Health::new(slots).map_err(Fault::Health)?;
    for (_, slot, mark, claim) in members(claims, verdicts) {
        let superblock = match claim {
            Claim::Md(superblock, ..) => Some(superblock),
            Claim::Ddf(_) | Claim::Imsm(_) | Claim::Bios(_) => None,
        };
        health.apply(slot, md::admission(superblock, mark)).map_err(Fault::Health)?;
        health.set_write_mostly(slot, claim.record().write_mostly).map_err(Fault::Health)?;
    }
    Ok(health)
}

#[inline(never)]
fn assembled<'a>(
    given: &Given<'a>,
    claims: &[Claim<'_>],
    verdicts: &[Verdict],
    freshest: &Claim<'_>,
    rows: &Rows,
) -> Result<Auto, Fault<'a>> {
    let lead = freshest.record();
    check(given, claims, verdicts, freshest)?;
    let health = health(claims, verdicts, lead.shape.members)?;
    let mut slots = KVVec::from_elem(None, claims.len(), GFP_KERNEL)?;
    for (number, slot, _, claim) in members(claims, verdicts) {
        if let Some(place) = slots.get_mut(number) {
            *place = Some(Slot { member: slot, data_at: claim.record().data.at, known: claim.known() });
        }
    }
    let (plain, parity) = (rows.kind() == RowKind::Plain, rows.kind() == RowKind::Parity);
    let mut marks = Marks::read(given, claims, verdicts, lead, rows)?;
    let (words, region_rows) = (core::mem::take(&mut marks.words), marks.region_rows);
    let doubt = Doubt::new(lead.sync, plain, !health.is_whole(), parity, marks.bits.is_some());
    let marked: u64 = words.iter().map(|word| u64::from(word.count_ones())).sum();
    if doubt.is_refused(marked) {
        return Err(Fault::Doubted(marked));
    }
    let doubt_from = match lead.sync {
        Sync::DirtyFrom(from) if marks.bits.is_none() => RowNo(from.0 / ROW_SECTORS),
        Sync::DirtyFrom(_) | Sync::Clean => RowNo(0),
    };
    let sync = if doubt.dirty { lead.sync } else { Sync::Clean };
    let told = Told { claims, verdicts, freshest, health, sync };
    let form = if given.writes { Some(told.form(marks, rows)?) } else { None };
    let found = Regions::marked(words, doubt, region_rows);
    Ok(Auto { health, slots, found, region_rows, doubt_from, form })
}
