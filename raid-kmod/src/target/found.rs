// SPDX-License-Identifier: GPL-2.0-only
//! A target whose line names devices only: see [`crate::auto`].

use core::ffi::CStr;
use core::fmt::{self, Write as _};

use kernel::prelude::*;
use kernel::sync::{Arc, SetOnce};
use raid_core::geometry::Geometry;
use raid_core::health::Health;
use raid_core::recovery::Rates;
use raid_core::rows::Rows;
use raid_core::{Columns, Level, Sectors, MEMBERS_MAX};
use raid_formats::record;

use super::{geometry, hints, refuse, rows, waiting, Output, Refusal, Target, Waiting, LIMITS, NAME, VERSION};
use crate::auto::{self, Auto, Given, Outline, Slot, Word};
use crate::clerks::Clerks;
use crate::host::{Rooms, Start};
use crate::seats::{Device, Seat, Seats};
use crate::shim::DmTarget;
use crate::store::Store;
use crate::words::Words;

/// A device, and the serial number that the line has of it.
type Named<'a> = (Device, Option<&'a str>);

/// The devices of a line that names nothing else.
///
/// # Safety
/// `target` is the one that the table is loaded for.
#[inline(never)]
unsafe fn devices(target: *mut DmTarget, words: &Words) -> core::result::Result<KVVec<Named<'_>>, Refusal> {
    let mut devices = KVVec::new();
    for name in words.strings().skip(1) {
        // SAFETY: The caller's promise.
        let named = unsafe { named(target, name)? };
        devices.push(named.ok_or(Refusal(c"a device cannot be had", ENXIO))?, GFP_KERNEL)?;
    }
    Ok(devices)
}

/// A device by its name, or by its name and, behind the last `=`, its serial number. What is the name of a device as it stands is one.
///
/// # Safety
/// As for [`devices`].
unsafe fn named(target: *mut DmTarget, word: &CStr) -> Result<Option<Named<'_>>> {
    // SAFETY: The caller's promise.
    if let Some(device) = unsafe { Device::get(target, word) } {
        return Ok(Some((device, None)));
    }
    let Some((path, serial)) = word.to_str().ok().and_then(|word| word.rsplit_once('=')) else { return Ok(None) };
    let mut name = KVVec::with_capacity(path.len() + 1, GFP_KERNEL)?;
    name.extend_from_slice(path.as_bytes(), GFP_KERNEL)?;
    name.push(0, GFP_KERNEL)?;
    let name = CStr::from_bytes_with_nul(&name).map_err(|_| EINVAL)?;
    // SAFETY: The caller's promise.
    Ok(unsafe { Device::get(target, name) }.map(|device| (device, Some(serial))))
}

fn borrowed<'a>(devices: &'a [Named<'a>]) -> core::result::Result<KVVec<(&'a Device, Word<'a>)>, Refusal> {
    let mut borrowed = KVVec::with_capacity(devices.len(), GFP_KERNEL)?;
    for (device, serial) in devices {
        borrowed.push((device, serial.map_or(Word::Nothing, Word::Told)), GFP_KERNEL)?;
    }
    Ok(borrowed)
}

#[inline(never)]
fn outline(devices: &[Named<'_>], clerks: &Clerks, writes: bool) -> core::result::Result<Outline, Refusal> {
    auto::outline(Given { devices: &borrowed(devices)?, clerks, writes }).map_err(not_found)
}

/// What is wrong now is told now; it is looked at once more when nobody writes to it any more.
#[inline(never)]
fn found_seats(
    devices: KVVec<Named<'_>>,
    clerks: &Clerks,
    writes: bool,
    shape: record::Shape,
    rows: &Rows,
) -> core::result::Result<Seats, Refusal> {
    let slots = {
        let devices = borrowed(&devices)?;
        auto::judge(Given { devices: &devices, clerks, writes }, shape, rows).map_err(not_found)?.slots
    };
    let mut seats = KVVec::with_capacity(shape.members.into(), GFP_KERNEL)?;
    for _ in 0..shape.members {
        seats.push(Seat::default(), GFP_KERNEL)?;
    }
    for ((device, _), slot) in devices.into_iter().zip(&slots) {
        let seat = slot.and_then(|slot| Some((seats.get_mut(usize::from(slot.member.0))?, slot)));
        if let Some((seat, Slot { data_at, known, .. })) = seat {
            *seat = Seat { metadata: None, data: Some(device), data_at, known };
        }
    }
    Ok(Seats::new(seats))
}

/// What every member has room for.
fn least_share(geometry: &Geometry) -> Sectors {
    let sizes = Columns::first(geometry.members()).iter().map(|member| geometry.member_size(member));
    sizes.min().unwrap_or(Sectors(0))
}

impl Target {
    /// The same for a line that names devices only.
    ///
    /// # Safety
    /// As for [`new`](Self::new).
    #[inline(never)]
    pub(super) unsafe fn find(
        target: *mut DmTarget,
        words: Words,
        len: Sectors,
        writes: bool,
    ) -> core::result::Result<KBox<Self>, Refusal> {
        // SAFETY: The caller's promise.
        let devices = unsafe { devices(target, &words)? };
        let mut made = KBox::<Self>::new_uninit(GFP_KERNEL)?;
        let pointer = made.as_mut_ptr().cast();
        let given = u16::try_from(devices.len()).ok().filter(|count| usize::from(*count) <= MEMBERS_MAX);
        let clerks = Clerks::new(pointer, given.ok_or(Refusal(c"too many devices", EINVAL))?)?;
        let outline = outline(&devices, &clerks, writes)?;
        let geometry = geometry(&outline.shape.config(outline.used, &outline.each))?;
        if !geometry.survives(outline.missing) {
            return Err(refuse(c"too many members are missing", "more are missing than the level survives"));
        }
        if geometry.array_size() != len {
            let size = geometry.array_size();
            return Err(refuse(c"the length is not the array's", format_args!("the array has {size} sectors, not {len}")));
        }
        let (rows, shape, members) = (rows(geometry)?, outline.shape, outline.shape.members);
        let (share, hints) = (least_share(rows.geometry()), hints(rows.geometry()));
        let seats = Arc::new(found_seats(devices, &clerks, writes, shape, &rows)?, GFP_KERNEL)?;
        let (rooms, clerks) = (Rooms::new(pointer, &LIMITS, members)?, Some(Clerks::new(pointer, members)?));
        let waiting = waiting(Waiting { rows, limits: LIMITS, rooms, clerks })?;
        Ok(made.write(Self { array: SetOnce::new(), waiting, words, found: Some(shape), share, hints, seats, writes }))
    }

    /// What the members say, now that nobody else writes to them.
    #[inline(never)]
    pub(super) fn find_again(&self, waiting: Waiting, shape: record::Shape) -> core::result::Result<(Start, Rooms), Refusal> {
        let Waiting { rows, mut limits, rooms, clerks } = waiting;
        let clerks = clerks.ok_or(Refusal(c"no memory", ENOMEM))?;
        let mut devices = KVVec::new();
        for member in self.seats.present().iter() {
            if let Some(device) = self.seats.data_device(member) {
                devices.push((device, self.seats.known(member).map_or(Word::Nothing, Word::Known)), GFP_KERNEL)?;
            }
        }
        let writes = self.writes;
        let given = Given { devices: &devices, clerks: &clerks, writes };
        let found = auto::judge(given, shape, &rows).map_err(not_found)?;
        for ((device, _), slot) in devices.iter().zip(&found.slots) {
            if slot.is_some_and(|slot| self.seats.slot_of(device.name()) != Some(slot.member)) {
                return Err(refuse(c"a member has another slot now", device.name()));
            }
        }
        drop(devices);
        let Auto { health, found, region_rows, doubt_from, form, .. } = found;
        limits.region_rows = region_rows;
        let store = match form {
            Some(form) => Some(Store::new(clerks, health.members(), form)?),
            None => None,
        };
        let start = Start { rows, health, limits, found, rates: Rates::FREE, doubt_from, store, writes };
        Ok((start, rooms))
    }

    /// The status of an array that was found, in each of the three forms.
    pub(super) fn say_found(&self, level: Level, form: u8, output: &mut Output) -> fmt::Result {
        if form == 1 {
            let mut space = "";
            for word in self.words.strings() {
                write!(output, "{space}{}", word.to_str().unwrap_or("?"))?;
                space = " ";
            }
            return Ok(());
        }
        let all_in_sync = || Health::of(self.seats.slots(), self.seats.present()).ok();
        match (self.info(all_in_sync), form) {
            (Some(info), 0) => write!(output, "{}", info.of_level(level)),
            (Some(info), _) => write!(output, "{}", info.measured(level, NAME, VERSION)),
            (None, _) => Ok(()),
        }
    }
}

fn not_found(fault: auto::Fault<'_>) -> Refusal {
    match fault {
        auto::Fault::Memory => Refusal(c"no memory", ENOMEM),
        fault => refuse(c"no array is found that can be run", fault),
    }
}
