// SPDX-License-Identifier: GPL-2.0-only
//! The engine's host in the kernel: machines under spinlocks, I/O made beforehand, lanes that carry answers back.

mod states;

use core::ffi::c_void;

use kernel::prelude::*;
use kernel::sync::{new_mutex, new_spinlock, Arc, Mutex, SpinLock};
use raid_core::action::{Action, Buf, SlotId, Token, Way};
use raid_core::check::Checking;
use raid_core::engine::{self, Host};
use raid_core::flush::{Flushes, FLUSHES_MAX};
use raid_core::health::Health;
use raid_core::members::Members;
use raid_core::plan::{self, How};
use raid_core::recovery::{Rates, Recovery};
use raid_core::region::{Found, RegionLog, RegionNo};
use raid_core::request::RequestId;
use raid_core::reshape::Layouts;
use raid_core::rows::{RowKind, RowNo, Rows, ROW_SECTORS};
use raid_core::stripe::{Limits, Shard};
use raid_core::{Member, Sector, Sectors};

use crate::calls::{Batch, Calls};
use crate::compute::{Band, Bytes, Desk, ROW_BYTES};
use crate::ios::{Io, Ios, Lanes};
use crate::memory::Kernel;
use crate::metadata::Regions;
use crate::parity::Parity;
use crate::seats::{Device, Seats};
use crate::shim::{self, RawRequest, RawWhere};
use crate::store::{Store, Task, PAGE_WORDS};

/// Critical sections of a shard that one turn of a lane runs: then others get theirs.
const BUDGET: u32 = 64;

/// How often idle regions are looked at.
const SWEEP_MS: u64 = 5000;

/// How often recovery hears what time it is.
const TICK_MS: u32 = 200;

/// Regions that each shard looks at in one sweep.
const SWEEP_REGIONS: usize = 4096;

type Locked<T> = Pin<KBox<SpinLock<T>>>;

/// Puts a machine behind a lock, in a stack frame of its own: some are large, and a kernel's stack is not.
macro_rules! locked {
    ($value:expr, $name:literal) => {{
        #[inline(never)]
        fn lock<T>(make: impl FnOnce() -> Result<T>) -> Result<Locked<T>> {
            Ok(KBox::pin_init(new_spinlock!(make()?, $name), GFP_KERNEL)?)
        }
        lock(|| $value)
    }};
}

/// What an array starts from.
pub(crate) struct Start {
    pub(crate) rows: KBox<Rows>,
    pub(crate) health: Health,
    pub(crate) limits: Limits,
    pub(crate) found: Regions,
    pub(crate) rates: Rates,
    /// Rows before this one are in order whatever their region is; counts with one region only.
    pub(crate) doubt_from: RowNo,
    /// Who remembers; nobody without metadata.
    pub(crate) store: Option<Store>,
    /// False if nothing is written to any member.
    pub(crate) writes: bool,
}

/// Room for all that can be under way: made when a table is loaded, since nothing may be when it is used.
pub(crate) struct Rooms {
    // First: dropping it stops whoever uses the rest.
    lanes: Lanes,
    calls: Calls,
    feeder: Pin<KBox<Mutex<Batch>>>,
    slot_ios: Ios,
    call_ios: Ios,
    flush_ios: Ios,
    log_ios: Ios,
    health_ios: Ios,
    scratch: Ios,
}

impl Rooms {
    /// For an array of so many members. Lanes call with `target` only after they were woken.
    pub(crate) fn new(target: *mut c_void, limits: &Limits, members: u16) -> Result<Self> {
        let width = usize::from(members);
        let slots = usize::from(limits.shards) * usize::from(limits.slots);
        Ok(Self {
            lanes: Lanes::new(target, limits.shards)?,
            calls: Calls::new(limits.requests)?,
            feeder: KBox::pin_init(new_mutex!(Calls::batch()?, "raid_feeder"), GFP_KERNEL)?,
            slot_ios: Ios::new(slots * width, true)?,
            call_ios: Ios::new(limits.requests as usize, false)?,
            flush_ios: Ios::new(usize::from(FLUSHES_MAX) * width, false)?,
            log_ios: Ios::new(width, false)?,
            health_ios: Ios::new(width, false)?,
            scratch: Ios::new(limits.shards.into(), true)?,
        })
    }
}

/// What the clock saw last.
#[derive(Clone, Copy)]
struct Clock {
    swept_ms: u64,
    ticked_ms: u64,
    /// Requests from above until then.
    asked: u64,
    /// Recovery was told by name to stand still.
    held: bool,
    /// The last pass that compared was to mend.
    mends: bool,
}

/// Whether shards may run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// The table was never resumed.
    New,
    Open,
    /// Suspended: answers are taken, nothing is begun.
    Shut,
}

/// A running array.
pub(crate) struct Array {
    // First: dropping it stops whoever uses the rest.
    rooms: Rooms,
    store: Option<Store>,
    rows: KBox<Rows>,
    layouts: KBox<Layouts>,
    limits: Limits,
    shards: KVVec<Locked<Shard<Kernel>>>,
    log: Locked<RegionLog<Kernel>>,
    members: Locked<Members<Kernel>>,
    flushes: Locked<Flushes>,
    recovery: Locked<Recovery>,
    check: Locked<Checking>,
    gate: Locked<Gate>,
    clock: Locked<Clock>,
    rates: Rates,
    parity: Parity,
    seats: Arc<Seats>,
    writes: bool,
}

fn out_of_memory(_: raid_core::memory::OutOfMemory) -> Error {
    ENOMEM
}

#[inline(never)]
fn layouts(rows: &Rows) -> Result<KBox<Layouts>> {
    Ok(KBox::new(Layouts::one(rows.geometry().clone()), GFP_KERNEL)?)
}

impl Array {
    /// Makes the machines.
    #[inline(never)]
    pub(crate) fn new(start: Start, seats: Arc<Seats>, rooms: Rooms) -> Result<Self> {
        let Start { rows, health, limits, found, rates, doubt_from, store, writes } = start;
        let members = Members::new(health, limits.read_errors_max).map_err(out_of_memory)?;
        let (view, count) = (members.view(), rows.count());
        let found = |region| found.found(region);
        let mut shards = KVVec::with_capacity(limits.shards.into(), GFP_KERNEL)?;
        for number in 0..limits.shards {
            let shard = || Shard::new(number, &limits, count, view, found).map_err(out_of_memory);
            shards.push(locked!(shard(), "raid_shard")?, GFP_KERNEL)?;
        }
        let regions = count.div_ceil(limits.region_rows.max(1));
        let (page, epoch) = (limits.log_page_words, health.epoch());
        let is_set = |region| found(region) != Found::Clean;
        let log = || RegionLog::new(regions, page, view, epoch, is_set).map_err(out_of_memory);
        let doubted = (0..regions).find(|region| found(RegionNo(*region)) == Found::InDoubt);
        let doubt = doubted.map(|region| RowNo(region * limits.region_rows.max(1)).max(doubt_from));
        Ok(Self {
            shards,
            log: locked!(log(), "raid_log")?,
            members: locked!(Ok(members), "raid_members")?,
            flushes: locked!(Ok(Flushes::new(view)), "raid_flushes")?,
            recovery: locked!(Ok(Recovery::new(view, &limits, count, doubt)), "raid_recovery")?,
            check: locked!(Ok(Checking::new(limits.heal_window)), "raid_check")?,
            gate: locked!(Ok(Gate::New), "raid_gate")?,
            clock: locked!(Ok(Clock { swept_ms: 0, ticked_ms: 0, asked: 0, held: !writes, mends: false }), "raid_clock")?,
            rates,
            parity: Parity::choose(),
            seats,
            writes,
            rooms,
            store,
            layouts: layouts(&rows)?,
            rows,
            limits,
        })
    }

    /// For sending I/O.
    pub(crate) fn lanes(&self) -> &Lanes {
        &self.rooms.lanes
    }

    /// The members' states.
    pub(crate) fn health(&self) -> Health {
        self.with_members(|members| members.view().health)
    }

    /// True if a request that passed through and failed is worth another way.
    pub(crate) fn redoes(&self) -> bool {
        self.rows.kind() != RowKind::Plain
    }

    /// Takes a request from above.
    ///
    /// # Safety
    /// `request` is nobody else's, and stays valid until it is ended.
    pub(crate) unsafe fn map(&self, request: *mut RawRequest, to: &mut RawWhere) -> i32 {
        // SAFETY: The caller's promise.
        let (op, at, len) = unsafe { ((*request).op, Sector((*request).at), Sectors((*request).sectors.into())) };
        let plain = self.rows.kind() == RowKind::Plain;
        if op == shim::READ || (op != shim::FLUSH && plain) {
            let health = self.health();
            let Ok(step) = plan::read(&self.layouts, &health, at, len) else { return shim::REFUSED };
            match step.how {
                How::Direct { place } => {
                    let seat = self.seats.place(health.seat(place.member), place.at);
                    let Some((device, at)) = seat else { return shim::REFUSED };
                    *to = RawWhere { device, at, sectors: step.len.0.min(len.0) as u32 };
                    return shim::PASSED_ON;
                }
                _ if plain => return shim::REFUSED,
                _ => {}
            }
        }
        // SAFETY: The caller's promise.
        unsafe { self.rooms.calls.push(request) };
        self.feed();
        shim::TAKEN
    }

    /// Hands requests that wait to the engine, as far as there is room.
    fn feed(&self) {
        let mut batch = self.rooms.feeder.lock();
        loop {
            self.rooms.calls.cut(&self.rows, &mut batch);
            if batch.is_empty() {
                return;
            }
            let (taken, refused) = match engine::submit_many(self, &batch) {
                Ok(()) => (batch.len(), None),
                Err((taken, why)) => (taken, Some(why)),
            };
            if !self.rooms.calls.fed(&batch, taken, refused) {
                return;
            }
        }
    }

    /// What a lane does: takes answers, lets its shard go on, and feeds if it is the first.
    pub(crate) fn lane(&self, lane: u16) {
        self.rooms.lanes.drain(lane, |token, well| engine::complete(self, token, well));
        if lane == 0 {
            let mut failed = self.rooms.lanes.take_failed();
            while !failed.is_null() {
                // SAFETY: A request that failed below is ours again; `push` takes it.
                let next = unsafe { (*failed).next };
                // SAFETY: As above.
                unsafe { self.rooms.calls.push(failed) };
                failed = next;
            }
            if self.rooms.calls.are_waiting() {
                self.feed();
            }
        }
        if *self.gate.lock() == Gate::Open && engine::run(self, lane, BUDGET) {
            self.rooms.lanes.wake(lane);
        }
    }

    /// Tells recovery what time it is, and takes back bits of regions that have been idle.
    pub(crate) fn tick(&self) {
        let (now_ms, asked) = (shim::now_ms(), self.rooms.calls.asked());
        let mut clock = self.clock.lock();
        let before = *clock;
        let sweeps = now_ms.saturating_sub(before.swept_ms) >= SWEEP_MS;
        *clock = Clock { swept_ms: if sweeps { now_ms } else { before.swept_ms }, ticked_ms: now_ms, asked, ..before };
        drop(clock);
        engine::tick(self, now_ms.saturating_sub(before.ticked_ms), asked != before.asked);
        if sweeps {
            engine::sweep(self, SWEEP_REGIONS);
        }
        self.rooms.lanes.tick_after(TICK_MS);
    }

    /// What a member's clerk does.
    pub(crate) fn clerk(&self, member: Member) {
        let Some(store) = &self.store else { return };
        while let Some((task, io)) = store.next(member) {
            let words = |page: u32, room: &mut [u64; PAGE_WORDS]| {
                self.with_log(|log| {
                    let words = log.page(page);
                    room.iter_mut().zip(words).for_each(|(to, from)| *to = *from);
                    words.len()
                })
            };
            let well = match task {
                Task::Log(page) => store.write_log(&self.seats, member, page, |room| words(page, room)),
                Task::Health => {
                    store.write_health(&self.seats, member, &self.with_members(|members| members.persisting()))
                }
            };
            self.rooms.lanes.answer(io, well);
        }
    }

    fn slot_number(&self, slot: SlotId, member: Member) -> usize {
        let number = usize::from(slot.shard) * usize::from(self.limits.slots) + usize::from(slot.slot);
        number * usize::from(self.rows.geometry().members()) + usize::from(member.0)
    }

    /// Which of the prepared I/Os an action uses, and the lane that hears of it.
    fn io_of(&self, token: &Token) -> Option<(Io, u16)> {
        let width = usize::from(self.rows.geometry().members());
        let (ios, number, lane) = match *token {
            Token::Slot { slot, member, .. } => (&self.rooms.slot_ios, self.slot_number(slot, member), slot.shard),
            Token::Direct { request, .. } => (&self.rooms.call_ios, usize::try_from(request.id.0).ok()?, 0),
            Token::Flush { flush, member, .. } => (&self.rooms.flush_ios, usize::from(flush) * width + usize::from(member.0), 0),
            Token::Log { member, .. } => (&self.rooms.log_ios, usize::from(member.0), 0),
            Token::Health { member, .. } => (&self.rooms.health_ios, usize::from(member.0), 0),
            Token::Compute { .. } => return None,
        };
        let io = ios.at(number)?;
        io.set_token(*token);
        Some((io, lane))
    }

    fn io(&self, token: Token, way: Way, member: Member, at: Sector, len: Sectors, buf: Buf) {
        let Some((io, lane)) = self.io_of(&token) else { return };
        let (write, fua) = match way {
            Way::Read => (false, false),
            Way::Write { fua } => (true, fua),
        };
        let bytes = len.0.saturating_mul(512) as u32;
        let lanes = self.rooms.lanes.raw();
        let Some((device, place)) = self.seats.place(member, at) else {
            return self.done(io, lane, false);
        };
        if write && !self.writes {
            // What a read found bad would be rewritten; it stays bad.
            return self.done(io, lane, true);
        }
        match buf {
            Buf::Slot { slot, column } => {
                let Some(row) = self.rooms.slot_ios.at(self.slot_number(slot, column)) else { return };
                // A band lies in the row's buffer where it lies in the row.
                let skip = (at.0 % ROW_SECTORS) as u32 * 512;
                // SAFETY: As above; the row is the slot's, and a band lies inside of it.
                unsafe { shim::raid_io_page(io.0, row.0, lanes, lane, device, place, skip, bytes, write, fua) };
            }
            Buf::Request(id) => {
                let Some(bytes_at) = self.rooms.calls.place(id) else { return };
                let (request, skip) = (bytes_at.request, bytes_at.skip_bytes);
                // SAFETY: As above; a request is valid while a piece of it is under way.
                unsafe { shim::raid_io_request(io.0, lanes, lane, device, place, request, skip, bytes, write, fua) };
            }
            // Nobody asks for whole rows here: their bytes are the caller's, who may change them while parity is made.
            Buf::Rows { .. } => self.done(io, lane, false),
            Buf::Zeroes { free } => {
                // SAFETY: As above.
                unsafe { shim::raid_io_zeroes(io.0, lanes, lane, device, place, bytes, free, fua) };
            }
        }
    }

    /// There is nothing to be done: the answer comes as all others do.
    fn done(&self, io: Io, lane: u16, well: bool) {
        self.rooms.lanes.hold(io, lane);
        self.rooms.lanes.answer(io, well);
    }

    /// Without metadata devices nothing is remembered.
    fn remember(&self, token: Token, member: Member, task: Task) {
        let Some((io, lane)) = self.io_of(&token) else { return };
        match &self.store {
            Some(store) => {
                self.rooms.lanes.hold(io, lane);
                store.ask(member, task, io);
            }
            None => self.done(io, lane, true),
        }
    }

    fn flush(&self, token: Token, member: Member) {
        let Some((io, lane)) = self.io_of(&token) else { return };
        match self.seats.data_device(member).map(Device::raw) {
            // SAFETY: The I/O is this action's until its receipt comes back.
            Some(device) => unsafe { shim::raid_io_flush(io.0, self.rooms.lanes.raw(), lane, device) },
            None => self.done(io, lane, false),
        }
    }
}

impl Bytes for Array {
    fn row(&self, slot: SlotId, member: Member) -> Option<&mut [u8; ROW_BYTES]> {
        // SAFETY: Slots' I/Os have pages; while a slot computes, nobody but its computation uses its rows, which asks for each once.
        unsafe { self.rooms.slot_ios.bytes(self.slot_number(slot, member)) }
    }

    fn scratch(&self, shard: u16) -> Option<&mut [u8; ROW_BYTES]> {
        // SAFETY: These have pages; a shard computes in its lane only, one thing at a time.
        unsafe { self.rooms.scratch.bytes(shard.into()) }
    }

    fn copy(&self, request: RequestId, bytes: &mut [u8], to_request: bool) -> bool {
        let Some(place) = self.rooms.calls.place(request) else { return false };
        let len = bytes.len() as u32;
        // SAFETY: A request is valid while a piece of it is under way, and holds all sectors of the piece.
        unsafe { shim::raid_request_copy(place.request, place.skip_bytes, bytes.as_mut_ptr(), len, to_request) };
        true
    }
}

impl Host for Array {
    type Memory = Kernel;

    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn layouts(&self) -> &Layouts {
        &self.layouts
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn with_shard<R>(&self, shard: u16, f: impl FnOnce(&mut Shard<Kernel>) -> R) -> R {
        f(&mut self.shards[usize::from(shard)].lock())
    }

    fn with_log<R>(&self, f: impl FnOnce(&mut RegionLog<Kernel>) -> R) -> R {
        f(&mut self.log.lock())
    }

    fn with_members<R>(&self, f: impl FnOnce(&mut Members<Kernel>) -> R) -> R {
        f(&mut self.members.lock())
    }

    fn with_flushes<R>(&self, f: impl FnOnce(&mut Flushes) -> R) -> R {
        f(&mut self.flushes.lock())
    }

    fn with_recovery<R>(&self, f: impl FnOnce(&mut Recovery) -> R) -> R {
        f(&mut self.recovery.lock())
    }

    fn with_check<R>(&self, f: impl FnOnce(&mut Checking) -> R) -> R {
        f(&mut self.check.lock())
    }

    fn perform(&self, action: Action) {
        match action {
            Action::Io { token, way, member, at, len, buf } => self.io(token, way, member, at, len, buf),
            Action::Flush { token, member } => self.flush(token, member),
            // Whoever wants to know which blocks are wrong asks the tool: here they are only counted.
            Action::Found(_) => {}
            Action::WriteLog { token, member, page } => self.remember(token, member, Task::Log(page)),
            Action::WriteHealth { token, member } => self.remember(token, member, Task::Health),
            Action::Compute { token, slot, stripe, first, len, work } => {
                let stripe = self.rows.geometry().stripe(stripe);
                let desk = Desk { parity: &self.parity, bytes: self };
                let done = desk.work(slot, stripe.as_ref(), Band::new(first, len), work);
                engine::complete(self, token, done);
            }
            Action::Complete { request, result } => {
                if self.rooms.calls.done(request, result.is_ok()) {
                    self.rooms.lanes.wake(0);
                }
            }
        }
    }

    fn wake(&self, shard: u16) {
        self.rooms.lanes.wake(shard);
    }

    fn discards(&self) -> bool {
        self.seats.free_zeroes()
    }
}
