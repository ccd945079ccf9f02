// SPDX-License-Identifier: GPL-2.0-only
//! What device-mapper asks of the target, forwarded by `shim/dm.c`.

mod found;

use core::ffi::{c_char, c_void, CStr};
use core::fmt::{self, Write as _};

use kernel::alloc::AllocError;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex, SetOnce};
use raid_core::geometry::Geometry;
use raid_core::health::Health;
use raid_core::region::Found;
use raid_core::rows::{RowKind, RowNo, Rows, ROW_SECTORS};
use raid_core::stripe::Limits;
use raid_core::{ArrayConfig, Columns, Member, Sector, Sectors};
use raid_formats::record;
use raid_formats::table::{self, Activity, Info, Message, Table};

use crate::clerks::Clerks;
use crate::host::{Array, Rooms, Start};
use crate::metadata::{self, Fault, Regions, Shape};
use crate::seats::{Device, Seat, Seats};
use crate::shim::{self, DmDev, DmTarget, RawLanes, RawRequest, RawWhere};
use crate::store::{Dm, Form, Store, PAGE_WORDS};
use crate::words::Words;

/// The target's name, as `shim/dm.c` has it. `raid` is the name of dm-raid.
const NAME: &str = "raid-kmod";

/// The target's version, as `shim/dm.c` has it.
const VERSION: [u32; 3] = [0, 1, 0];

/// A table, and its array from the first resume on: what the metadata devices say is known only when nobody else writes to them.
struct Target {
    // First: dropping it stops whoever uses the rest.
    array: SetOnce<KBox<Array>>,
    waiting: Pin<KBox<Mutex<Option<Waiting>>>>,
    words: Words,
    /// What the array is, if its members' metadata say it and the words name devices only.
    found: Option<record::Shape>,
    share: Sectors,
    hints: (u32, u32),
    seats: Arc<Seats>,
    writes: bool,
}

/// What is made beforehand for an array that was not resumed yet.
struct Waiting {
    rows: KBox<Rows>,
    limits: Limits,
    rooms: Rooms,
    /// None without metadata.
    clerks: Option<Clerks>,
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
    Ok(Limits { region_rows, ..LIMITS })
}

const LIMITS: Limits = Limits {
    shards: 4,
    slots: 128,
    requests: 1024,
    region_rows: 1,
    log_page_words: PAGE_WORDS,
    read_errors_max: 20,
    heal_window: 32,
    checkpoint_rows: 16 * 1024,
};

/// The least and the best length of I/O, in bytes.
fn hints(geometry: &Geometry) -> (u32, u32) {
    let (chunk, stripe) = (geometry.chunk(), geometry.stripe(raid_core::StripeNo(0)));
    let columns = stripe.map_or(u64::from(geometry.members()), |stripe| stripe.data_count().into());
    ((chunk.0 * 512) as u32, (chunk.0 * 512 * columns) as u32)
}

/// The devices in their slots.
///
/// # Safety
/// `target` is the one that the table is loaded for.
unsafe fn seats(
    target: *mut DmTarget,
    words: &Words,
    members: u16,
    share: Sectors,
) -> core::result::Result<Seats, Refusal> {
    let mut seats = KVVec::with_capacity(members.into(), GFP_KERNEL)?;
    let skip = words.strings().count().saturating_sub(usize::from(members) * 2);
    let get = |name: Option<&CStr>| match name {
        None => Ok(None),
        Some(name) if name == c"-" => Ok(None),
        Some(name) => {
            // SAFETY: The caller's promise.
            let device = unsafe { Device::get(target, name) };
            device.map(Some).ok_or(Refusal(c"a device cannot be had", ENXIO))
        }
    };
    let mut names = words.strings().skip(skip);
    for _ in 0..members {
        let seat = Seat { metadata: get(names.next())?, data: get(names.next())?, ..Seat::default() };
        if let Some(data) = seat.data.as_ref().filter(|data| data.sectors() < share) {
            return Err(refuse(c"a device is too small", format_args!("{} is too small", data.name())));
        }
        seats.push(seat, GFP_KERNEL)?;
    }
    Ok(Seats::new(seats))
}

/// True if the line names metadata devices: all that have data, or none.
fn has_metadata(table: &Table<'_, '_>) -> core::result::Result<bool, Refusal> {
    let mut pairs = table.devices().filter(|device| device.data.is_some()).map(|device| device.metadata.is_some());
    let first = pairs.next().unwrap_or(false);
    if pairs.all(|other| other == first) {
        Ok(first)
    } else {
        Err(refuse(c"some metadata devices are missing", "give metadata devices to all or to none"))
    }
}

/// Whether the table alone can be believed: without metadata everybody who is there is.
fn check_members(table: &Table<'_, '_>, geometry: &Geometry) -> core::result::Result<(), Refusal> {
    let missing = Columns::first(table.members()).difference(table.present()).union(table.options().rebuild);
    if geometry.survives(missing) {
        Ok(())
    } else {
        Err(refuse(c"too many members are missing", "more are missing than the level survives"))
    }
}

fn bad_metadata(fault: Fault<'_>) -> Refusal {
    match fault {
        Fault::Memory => Refusal(c"no memory", ENOMEM),
        fault => refuse(c"the metadata do not fit", fault),
    }
}

impl Target {
    /// Makes all that an array of a table line will need.
    ///
    /// # Safety
    /// `target` is the one that the table is loaded for.
    #[inline(never)]
    unsafe fn new(target: *mut DmTarget, words: Words, len: Sectors) -> core::result::Result<KBox<Self>, Refusal> {
        let (rows, limits, remembers, members) = words.with_table(|table| {
            let table = table.map_err(|error| refuse(c"the table line is wrong", error))?;
            let config = table.config(len).map_err(|error| refuse(c"the length does not fit", error))?;
            let geometry = geometry(&config)?;
            check_members(&table, &geometry)?;
            let rows = rows(geometry)?;
            let limits = limits(&table, &rows, len)?;
            Ok::<_, Refusal>((rows, limits, has_metadata(&table)?, table.members()))
        })??;
        let geometry = rows.geometry();
        let (share, hints) = (geometry.member_size(Member(0)), hints(geometry));
        // SAFETY: The caller's promise.
        let seats = unsafe { seats(target, &words, members, share)? };
        let mut made = KBox::<Self>::new_uninit(GFP_KERNEL)?;
        let pointer = made.as_mut_ptr().cast();
        let clerks = if remembers { Some(Clerks::new(pointer, members)?) } else { None };
        if let Some(clerks) = &clerks {
            // What is wrong now is told now; it is read once more when nobody writes to it any more.
            words.with_table(|table| {
                let table = table.map_err(|error| refuse(c"the table line is wrong", error))?;
                let shape = Shape::new(&table, &rows, Sectors(limits.region_rows * ROW_SECTORS));
                metadata::judge(&shape, &seats, clerks).map(|_| ()).map_err(bad_metadata)
            })??;
        }
        let rooms = Rooms::new(pointer, &limits, members)?;
        let waiting = waiting(Waiting { rows, limits, rooms, clerks })?;
        let seats = Arc::new(seats, GFP_KERNEL)?;
        Ok(made.write(Self { array: SetOnce::new(), waiting, words, found: None, share, hints, seats, writes: true }))
    }

    /// Makes the array, the first time that the table is resumed.
    #[inline(never)]
    fn start(&self) -> core::result::Result<(), Refusal> {
        if self.array().is_some() {
            return Ok(());
        }
        let waiting = self.waiting.lock().take().ok_or(Refusal(c"it did not start before", EIO))?;
        let (start, rooms) = match self.found {
            Some(shape) => self.find_again(waiting, shape)?,
            None => self.read_table(waiting)?,
        };
        self.array.populate(KBox::new(Array::new(start, self.seats.clone(), rooms)?, GFP_KERNEL)?);
        Ok(())
    }

    #[inline(never)]
    fn read_table(&self, waiting: Waiting) -> core::result::Result<(Start, Rooms), Refusal> {
        let Waiting { rows, mut limits, rooms, clerks } = waiting;
        let (found, health, rates, store) = self.words.with_table(|table| {
            let table = table.map_err(|error| refuse(c"the table line is wrong", error))?;
            let rates = table.rates();
            let Some(clerks) = clerks else {
                let health = table.health().map_err(|error| refuse(c"too many are to be rebuilt", error))?;
                let all = if table.options().sync { Found::InDoubt } else { Found::Clean };
                return Ok::<_, Refusal>((Regions::alike(all, limits.region_rows), health, rates, None));
            };
            let shape = Shape::new(&table, &rows, Sectors(limits.region_rows * ROW_SECTORS));
            let mut loaded = metadata::load(&shape, &self.seats, &clerks).map_err(bad_metadata)?;
            limits.region_rows = loaded.region_rows;
            let found = core::mem::replace(&mut loaded.found, Regions::alike(Found::Clean, 1));
            let health = loaded.set.health;
            Ok((found, health, rates, Some(Store::new(clerks, table.members(), Form::Dm(Dm::new(loaded)?))?)))
        })??;
        let (doubt_from, writes) = (RowNo(0), true);
        Ok((Start { rows, health, limits, found, rates, doubt_from, store, writes }, rooms))
    }

    /// The array; none before the first resume.
    fn array(&self) -> Option<&Array> {
        self.array.as_ref().map(|array| &**array)
    }

    fn info(&self, before: impl FnOnce() -> Option<Health>) -> Option<Info> {
        let present = self.seats.present();
        let Some(array) = self.array() else {
            let (health, whole) = (before()?, self.share);
            let progress = Sectors(0);
            return Some(Info { health, present, activity: Activity::Frozen, progress, whole, mismatches: 0 });
        };
        let (progress, whole) = array.progress();
        let (health, activity, mismatches) = (array.health(), array.activity(), array.mismatches());
        let whole = if whole.is_zero() { self.share } else { whole };
        let progress = if array.redoes() { progress } else { whole };
        Some(Info { health, present, activity, progress, whole, mismatches })
    }
}

fn waiting(waiting: Waiting) -> Result<Pin<KBox<Mutex<Option<Waiting>>>>> {
    KBox::pin_init(new_mutex!(Some(waiting), "raid_waiting"), GFP_KERNEL)
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

/// Makes what a line asks for.
///
/// # Safety
/// `target` is the one that the table is loaded for.
unsafe fn make(target: *mut DmTarget, words: Words, len: Sectors) -> core::result::Result<KBox<Target>, Refusal> {
    // SAFETY: The caller's promise.
    let writes = unsafe { shim::raid_target_writes(target) };
    match words.with(|words| table::auto(words).is_some())? {
        // SAFETY: The caller's promise.
        true => unsafe { Target::find(target, words, len, writes) },
        false if !writes => Err(Refusal(c"a table of dm-raid's for reading only", EROFS)),
        // SAFETY: The caller's promise.
        false => unsafe { Target::new(target, words, len) },
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
    let made = words.map_err(Refusal::from).and_then(|words| unsafe { make(target, words, Sectors(sectors)) });
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
    if let Some(array) = target.array() {
        array.suspend();
    }
}

/// The target behind a pointer that device-mapper keeps.
///
/// # Safety
/// `raid_rs_ctr` made it and `raid_rs_dtr` has not taken it yet.
unsafe fn target<'a>(array: *mut c_void) -> &'a Target {
    // SAFETY: The caller's promise.
    unsafe { &*array.cast::<Target>() }
}

/// The array behind it; none before the first resume.
///
/// # Safety
/// As for [`target`].
unsafe fn array<'a>(array: *mut c_void) -> Option<&'a Array> {
    // SAFETY: The caller's promise.
    unsafe { target(array).array() }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_map(target: *mut c_void, request: *mut RawRequest, to: *mut RawWhere) -> i32 {
    // SAFETY: Device-mapper calls between ctr and dtr, with a request that is the target's until it is ended.
    unsafe { array(target).map_or(shim::REFUSED, |array| array.map(request, &mut *to)) }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_redoes(target: *mut c_void) -> bool {
    // SAFETY: Device-mapper calls between ctr and dtr.
    unsafe { array(target).is_some_and(Array::redoes) }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_lanes(target: *mut c_void) -> *mut RawLanes {
    // SAFETY: Device-mapper calls between ctr and dtr.
    unsafe { array(target).map_or(core::ptr::null_mut(), |array| array.lanes().raw()) }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_lane(target: *mut c_void, lane: u16) {
    // SAFETY: Lanes run only after they were woken, and dtr waits for them.
    if let Some(array) = unsafe { array(target) } {
        array.lane(lane);
    }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_tick(target: *mut c_void) {
    // SAFETY: The clock ticks only after resume, and dtr stops it.
    if let Some(array) = unsafe { array(target) } {
        array.tick();
    }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_clerk(target: *mut c_void, number: u16) {
    // SAFETY: Clerks work only after they were woken, and dtr waits for them.
    if let (Some(array), Ok(number)) = (unsafe { array(target) }, u8::try_from(number)) {
        array.clerk(Member(number));
    }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_preresume(array: *mut c_void) -> i32 {
    // SAFETY: Device-mapper calls between ctr and dtr.
    let target = unsafe { target(array) };
    match shim::without_io(|| target.start()) {
        Ok(()) => 0,
        Err(Refusal(_, code)) => code.to_errno(),
    }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_resume(target: *mut c_void) {
    // SAFETY: Device-mapper calls between ctr and dtr.
    if let Some(array) = unsafe { array(target) } {
        array.resume();
    }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_postsuspend(target: *mut c_void) {
    // SAFETY: Device-mapper calls between ctr and dtr.
    if let Some(array) = unsafe { array(target) } {
        array.suspend();
    }
}

#[no_mangle]
unsafe extern "C" fn raid_rs_status(array: *mut c_void, form: u8, result: *mut u8, room: u32) {
    // SAFETY: Device-mapper calls between ctr and dtr.
    let target = unsafe { target(array) };
    let mut output = Output { at: result, left: room as usize };
    // A line that does not fit is cut, which device-mapper notices by its length; without memory there is no line.
    if let Some(shape) = target.found {
        let _ = target.say_found(shape.level, form, &mut output);
        return;
    }
    let _ = target.words.with_table(|table| match (table, form) {
        (Ok(table), 1) => write!(output, "{}", table.line(|member| target.seats.names(member))),
        (Ok(table), form) => match (target.info(|| table.health().ok()), form) {
            (Some(info), 0) => write!(output, "{}", table.info(info)),
            (Some(info), _) => write!(output, "{}", table.measured(NAME, VERSION, info)),
            (None, _) => Ok(()),
        },
        (Err(_), _) => Ok(()),
    });
}

#[no_mangle]
unsafe extern "C" fn raid_rs_message(target: *mut c_void, argc: u32, argv: *const *const c_char) -> i32 {
    // SAFETY: Device-mapper calls between ctr and dtr.
    let Some(array) = (unsafe { array(target) }) else { return EBUSY.to_errno() };
    // SAFETY: Device-mapper hands over `argc` strings.
    let words = unsafe { Words::copy(argc as usize, argv) };
    let message = words.and_then(|words| words.with(Message::parse));
    let told = message.and_then(|message| array.tell(message.filter(|_| array.redoes()).ok_or(EINVAL)?));
    told.map_or_else(Error::to_errno, |()| 0)
}

#[no_mangle]
unsafe extern "C" fn raid_rs_device(
    array: *mut c_void,
    number: u16,
    start: *mut u64,
    sectors: *mut u64,
) -> *mut DmDev {
    // SAFETY: Device-mapper calls between ctr and dtr.
    let target = unsafe { target(array) };
    let place = u8::try_from(number).ok().and_then(|number| target.seats.place(Member(number), Sector(0)));
    let (device, at) = place.unwrap_or((core::ptr::null_mut(), 0));
    // SAFETY: Variables of the caller's.
    unsafe { (*start, *sectors) = (at, target.share.0) };
    device
}

#[no_mangle]
unsafe extern "C" fn raid_rs_discards(array: *mut c_void) -> bool {
    // SAFETY: Device-mapper calls between ctr and dtr.
    unsafe { target(array) }.seats.free_zeroes()
}

#[no_mangle]
unsafe extern "C" fn raid_rs_hint(array: *mut c_void, best: bool) -> u32 {
    // SAFETY: Device-mapper calls between ctr and dtr.
    let (least, most) = unsafe { target(array).hints };
    if best { most } else { least }
}
