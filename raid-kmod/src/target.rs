// SPDX-License-Identifier: GPL-2.0-only
//! What device-mapper asks of the target, forwarded by `shim/dm.c`.

use core::ffi::{c_char, c_void, CStr};
use core::fmt::{self, Write as _};

use kernel::alloc::AllocError;
use kernel::prelude::*;
use raid_core::geometry::Geometry;
use raid_core::rows::{RowKind, Rows, ROW_SECTORS};
use raid_core::stripe::Limits;
use raid_core::{ArrayConfig, Columns, Member, Sectors};
use raid_formats::table::{Activity, Info, Table};

use crate::host::{Array, Order, Start};
use crate::ios::Lanes;
use crate::seats::{Device, Seats};
use crate::shim::{DmDev, DmTarget, RawLanes, RawRequest, RawWhere};
use crate::words::Words;

/// The target's name, as `shim/dm.c` has it. `raid` is the name of dm-raid.
const NAME: &str = "raid-kmod";

/// The target's version, as `shim/dm.c` has it.
const VERSION: [u32; 3] = [0, 1, 0];

/// An array behind its table.
struct Target {
    words: Words,
    share: Sectors,
    hints: (u32, u32),
    array: Array,
}

/// Why a table is refused: a text for device-mapper, and a code.
struct Refusal(&'static CStr, Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(c"no memory, or words that are no text", error)
    }
}

impl From<AllocError> for Refusal {
    fn from(_: AllocError) -> Self {
        Self(c"no memory", ENOMEM)
    }
}

/// Says in the kernel's log what is wrong, and gives device-mapper the short form.
fn refuse(short: &'static CStr, why: impl fmt::Display) -> Refusal {
    let mut text = Text::<160>::new();
    let _ = write!(text, "{why}");
    pr_err!("{}\n", text.as_str());
    Refusal(short, EINVAL)
}

/// A line of text on the stack; what does not fit is dropped.
struct Text<const ROOM: usize> {
    bytes: [u8; ROOM],
    len: usize,
}

impl<const ROOM: usize> Text<ROOM> {
    fn new() -> Self {
        Self { bytes: [0; ROOM], len: 0 }
    }

    fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or("?")
    }
}

impl<const ROOM: usize> fmt::Write for Text<ROOM> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..).and_then(|room| room.get_mut(..text.len())).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// The shape of a table's array. A kernel's stack is short, and a shape is kilobytes: this and the next function have frames of
/// their own, which are gone when the next big thing is made.
#[inline(never)]
fn geometry(config: &ArrayConfig<'_>) -> core::result::Result<KBox<Geometry>, Refusal> {
    let geometry = Geometry::new(config).map_err(|error| refuse(c"there is no such array", error))?;
    Ok(KBox::new(geometry, GFP_KERNEL)?)
}

#[inline(never)]
fn rows(geometry: KBox<Geometry>) -> core::result::Result<KBox<Rows>, Refusal> {
    let rows = Rows::new(KBox::into_inner(geometry)).ok_or(Refusal(c"such far sets are not served", EINVAL))?;
    Ok(KBox::new(rows, GFP_KERNEL)?)
}

/// Tables that never grow: how large they are.
fn limits(table: &Table<'_, '_>, rows: &Rows, len: Sectors) -> core::result::Result<Limits, Refusal> {
    let region = table.region(len).map_err(|error| refuse(c"no such region size", error))?;
    let region_rows = if rows.kind() == RowKind::Plain { 1 } else { region.0 / ROW_SECTORS };
    let limits = Limits {
        shards: 4,
        slots: 128,
        requests: 1024,
        region_rows,
        log_page_words: 512,
        read_errors_max: 20,
        heal_window: 32,
        checkpoint_rows: 16 * 1024,
    };
    Ok(limits)
}

/// The data devices in their slots.
///
/// # Safety
/// `target` is the one that the table is loaded for.
unsafe fn seats(
    target: *mut DmTarget,
    words: &Words,
    members: u16,
    share: Sectors,
) -> core::result::Result<Seats, Refusal> {
    let mut data = KVVec::with_capacity(members.into(), GFP_KERNEL)?;
    let skip = words.strings().count().saturating_sub(usize::from(members) * 2);
    for name in words.strings().skip(skip).skip(1).step_by(2) {
        let device = if name == c"-" {
            None
        } else {
            // SAFETY: The caller's promise.
            let device = unsafe { Device::get(target, name) };
            let device = device.ok_or(Refusal(c"a device cannot be had", ENXIO))?;
            if device.sectors() < share {
                return Err(refuse(c"a device is too small", format_args!("{} is too small", device.name())));
            }
            Some(device)
        };
        data.push(device, GFP_KERNEL)?;
    }
    Ok(Seats::new(data))
}

impl Target {
    /// Makes an array of a table line.
    ///
    /// # Safety
    /// `target` is the one that the table is loaded for.
    #[inline(never)]
    unsafe fn new(target: *mut DmTarget, words: Words, len: Sectors) -> core::result::Result<KBox<Self>, Refusal> {
        let (start, share, hints) = words.with_table(|table| {
            let table = table.map_err(|error| refuse(c"the table line is wrong", error))?;
            if table.devices().any(|device| device.metadata.is_some()) {
                return Err(refuse(c"metadata devices are not served yet", "give - for each metadata device"));
            }
            let config = table.config(len).map_err(|error| refuse(c"the length does not fit", error))?;
            let geometry = geometry(&config)?;
            let missing = Columns::first(table.members()).difference(table.present()).union(table.options().rebuild);
            if !geometry.survives(missing) {
                return Err(refuse(c"too many members are missing", "more are missing than the level survives"));
            }
            let (share, chunk) = (geometry.member_size(Member(0)), geometry.chunk());
            let stripe = geometry.stripe(raid_core::StripeNo(0));
            let columns = stripe.map_or(u64::from(table.members()), |stripe| stripe.data_count().into());
            let hints = ((chunk.0 * 512) as u32, (chunk.0 * 512 * columns) as u32);
            let rows = rows(geometry)?;
            let limits = limits(&table, &rows, len)?;
            let health = table.health().map_err(|error| refuse(c"too many are to be rebuilt", error))?;
            let (doubt, rates) = (table.options().sync, table.rates());
            let start = Start { health, limits, doubt, rates, rows };
            Ok((start, share, hints))
        })??;
        // SAFETY: The caller's promise.
        let seats = unsafe { seats(target, &words, start.health.members(), share)? };
        let mut made = KBox::<Self>::new_uninit(GFP_KERNEL)?;
        let lanes = Lanes::new(made.as_mut_ptr().cast(), start.limits.shards)?;
        let array = Array::new(start, seats, lanes)?;
        Ok(made.write(Self { words, share, hints, array }))
    }

    fn info(&self) -> Info {
        let (progress, whole) = self.array.progress();
        let health = self.array.health();
        let activity = match (self.array.is_held(), self.array.is_resting(), health.rebuilding().next()) {
            (true, ..) => Activity::Frozen,
            (_, true, _) => Activity::Idle,
            (_, false, None) => Activity::Resync,
            (_, false, Some(_)) => Activity::Recover,
        };
        let whole = if whole.is_zero() { self.share } else { whole };
        let progress = if self.array.redoes() { progress } else { whole };
        Info { health, present: self.array.seats.present(), activity, progress, whole, mismatches: 0 }
    }
}

/// Text for a buffer of C, which ends with a zero.
struct Output {
    at: *mut u8,
    left: usize,
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let len = text.len().min(self.left.saturating_sub(1));
        // SAFETY: `left` bytes are there, and more than `len`.
        unsafe {
            core::ptr::copy_nonoverlapping(text.as_ptr(), self.at, len);
            self.at = self.at.add(len);
            *self.at = 0;
        }
        self.left -= len;
        if len == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_ctr(
    target: *mut DmTarget,
    sectors: u64,
    argc: u32,
    argv: *const *const c_char,
    array: *mut *mut c_void,
    error: *mut *const c_char,
) -> i32 {
    // SAFETY: Device-mapper hands over `argc` strings.
    let words = unsafe { Words::copy(argc as usize, argv) };
    // SAFETY: This is the call that loads the table of `target`.
    let made = words.map_err(Refusal::from).and_then(|words| unsafe { Target::new(target, words, Sectors(sectors)) });
    match made {
        Ok(made) => {
            // SAFETY: `array` is the target's own field.
            unsafe { *array = KBox::into_raw(made).cast() };
            0
        }
        Err(Refusal(text, code)) => {
            // SAFETY: `error` is the target's own field, and the text is there for ever.
            unsafe { *error = text.as_ptr() };
            code.to_errno()
        }
    }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_dtr(array: *mut c_void) {
    // SAFETY: Made by `raid_rs_ctr`, and device-mapper asks nothing of it any more.
    let target = unsafe { KBox::from_raw(array.cast::<Target>()) };
    target.array.suspend();
}

/// The target behind a pointer that device-mapper keeps.
///
/// # Safety
/// `raid_rs_ctr` made it and `raid_rs_dtr` has not taken it yet.
unsafe fn target<'a>(array: *mut c_void) -> &'a Target {
    // SAFETY: The caller's promise.
    unsafe { &*array.cast::<Target>() }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_map(array: *mut c_void, request: *mut RawRequest, to: *mut RawWhere) -> i32 {
    // SAFETY: Device-mapper calls between ctr and dtr, with a request that is the target's until it is ended.
    unsafe { target(array).array.map(request, &mut *to) }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_redoes(array: *mut c_void) -> bool {
    // SAFETY: Device-mapper calls between ctr and dtr.
    unsafe { target(array).array.redoes() }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_lanes(array: *mut c_void) -> *mut RawLanes {
    // SAFETY: Device-mapper calls between ctr and dtr.
    unsafe { target(array).array.lanes.raw() }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_lane(array: *mut c_void, lane: u16) {
    // SAFETY: Lanes run only after they were woken, and dtr waits for them.
    unsafe { target(array).array.lane(lane) };
}

#[no_mangle]
unsafe extern "C" fn raid_rs_tick(array: *mut c_void) {
    // SAFETY: The clock ticks only after resume, and dtr stops it.
    unsafe { target(array).array.tick() };
}

#[no_mangle]
unsafe extern "C" fn raid_rs_resume(array: *mut c_void) {
    // SAFETY: Device-mapper calls between ctr and dtr.
    unsafe { target(array).array.resume() };
}

#[no_mangle]
unsafe extern "C" fn raid_rs_postsuspend(array: *mut c_void) {
    // SAFETY: Device-mapper calls between ctr and dtr.
    unsafe { target(array).array.suspend() };
}

#[no_mangle]
unsafe extern "C" fn raid_rs_status(array: *mut c_void, form: u8, result: *mut u8, room: u32) {
    // SAFETY: Device-mapper calls between ctr and dtr.
    let target = unsafe { target(array) };
    let info = target.info();
    let mut output = Output { at: result, left: room as usize };
    // A line that does not fit is cut, which device-mapper notices by its length; without memory there is no line.
    let _ = target.words.with_table(|table| match (table, form) {
        (Ok(table), 0) => write!(output, "{}", table.info(info)),
        (Ok(table), 1) => write!(output, "{}", table.line(|member| ["-", target.array.seats.name(member)])),
        (Ok(table), _) => write!(output, "{}", table.measured(NAME, VERSION, info)),
        (Err(_), _) => Ok(()),
    });
}

#[no_mangle]
unsafe extern "C" fn raid_rs_message(array: *mut c_void, argc: u32, argv: *const *const c_char) -> i32 {
    // SAFETY: Device-mapper hands over `argc` strings, at least one.
    let word = unsafe { CStr::from_ptr(*argv) }.to_str().unwrap_or_default();
    // SAFETY: Device-mapper calls between ctr and dtr.
    let array = unsafe { &target(array).array };
    let order = match word {
        _ if argc != 1 || !array.redoes() => return EINVAL.to_errno(),
        "frozen" => Order::Hold,
        "idle" | "resync" | "recover" => Order::GoOn,
        _ => return EINVAL.to_errno(),
    };
    array.order(order);
    0
}

#[no_mangle]
unsafe extern "C" fn raid_rs_device(array: *mut c_void, number: u16, sectors: *mut u64) -> *mut DmDev {
    // SAFETY: Device-mapper calls between ctr and dtr.
    let target = unsafe { target(array) };
    // SAFETY: A variable of the caller's.
    unsafe { *sectors = target.share.0 };
    let member = u8::try_from(number).ok().map(Member);
    member.and_then(|member| target.array.seats.data(member)).unwrap_or(core::ptr::null_mut())
}

#[no_mangle]
unsafe extern "C" fn raid_rs_hint(array: *mut c_void, best: bool) -> u32 {
    // SAFETY: Device-mapper calls between ctr and dtr.
    let (least, most) = unsafe { target(array).hints };
    if best { most } else { least }
}
