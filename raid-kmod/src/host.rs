// SPDX-License-Identifier: GPL-2.0-only
//! The engine's host in the kernel: machines under spinlocks, I/O made beforehand, lanes that carry answers back.

use kernel::prelude::*;
use kernel::sync::{new_mutex, new_spinlock, Mutex, SpinLock};
use raid_core::action::{Action, Buf, SlotId, Token, Way};
use raid_core::check::Checking;
use raid_core::engine::{self, Host};
use raid_core::flush::{Flushes, FLUSHES_MAX};
use raid_core::health::Health;
use raid_core::members::Members;
use raid_core::plan::{self, How};
use raid_core::recovery::{Rates, Recovery};
use raid_core::region::{Found, RegionLog, RegionNo};
use raid_core::request::{Refused, RequestId};
use raid_core::reshape::Layouts;
use raid_core::rows::{RowKind, RowNo, Rows, ROW_SECTORS};
use raid_core::stripe::{Limits, Shard};
use raid_core::{Member, Sector, Sectors};

use crate::calls::{Batch, Calls};
use crate::compute::{Band, Bytes, Desk, ROW_BYTES};
use crate::ios::{Io, Ios, Lanes};
use crate::memory::Kernel;
use crate::parity::Parity;
use crate::seats::Seats;
use crate::shim::{self, RawRequest, RawWhere};

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
    /// All regions are in doubt.
    pub(crate) doubt: bool,
    pub(crate) rates: Rates,
}

/// What the clock saw last.
#[derive(Clone, Copy)]
struct Clock {
    swept_ms: u64,
    ticked_ms: u64,
    /// Requests from above until then.
    asked: u64,
}

/// What is asked of recovery by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Stand still.
    Hold,
    /// Go on with what is due.
    GoOn,
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
    pub(crate) lanes: Lanes,
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
    pub(crate) seats: Seats,
    calls: Calls,
    /// One feeder at a time, with room for what it submits.
    feeder: Pin<KBox<Mutex<Batch>>>,
    /// A row of each member for each slot.
    slot_ios: Ios,
    call_ios: Ios,
    flush_ios: Ios,
    log_ios: Ios,
    health_ios: Ios,
    /// A row for each shard.
    scratch: Ios,
}

fn out_of_memory(_: raid_core::memory::OutOfMemory) -> Error {
    ENOMEM
}

#[inline(never)]
fn layouts(rows: &Rows) -> Result<KBox<Layouts>> {
    Ok(KBox::new(Layouts::one(rows.geometry().clone()), GFP_KERNEL)?)
}

impl Array {
    /// Makes all that an array will ever need. `lanes` call nobody yet.
    #[inline(never)]
    pub(crate) fn new(start: Start, seats: Seats, lanes: Lanes) -> Result<Self> {
        let Start { rows, health, limits, doubt, rates } = start;
        let members = Members::new(health, limits.read_errors_max).map_err(out_of_memory)?;
        let (view, count, width) = (members.view(), rows.count(), usize::from(health.members()));
        let found = if doubt { Found::InDoubt } else { Found::Clean };
        let mut shards = KVVec::with_capacity(limits.shards.into(), GFP_KERNEL)?;
        for number in 0..limits.shards {
            let shard = || Shard::new(number, &limits, count, view, |_| found).map_err(out_of_memory);
            shards.push(locked!(shard(), "raid_shard")?, GFP_KERNEL)?;
        }
        let regions = count.div_ceil(limits.region_rows.max(1));
        let (page, epoch) = (limits.log_page_words, health.epoch());
        let log = || RegionLog::new(regions, page, view, epoch, |_| doubt).map_err(out_of_memory);
        let slots = usize::from(limits.shards) * usize::from(limits.slots);
        Ok(Self {
            shards,
            log: locked!(log(), "raid_log")?,
            members: locked!(Ok(members), "raid_members")?,
            flushes: locked!(Ok(Flushes::new(view)), "raid_flushes")?,
            recovery: locked!(Ok(Recovery::new(view, &limits, count, doubt.then_some(RowNo(0)))), "raid_recovery")?,
            check: locked!(Ok(Checking::new(limits.heal_window)), "raid_check")?,
            gate: locked!(Ok(Gate::New), "raid_gate")?,
            clock: locked!(Ok(Clock { swept_ms: 0, ticked_ms: 0, asked: 0 }), "raid_clock")?,
            rates,
            parity: Parity::choose(),
            seats,
            calls: Calls::new(limits.requests)?,
            feeder: KBox::pin_init(new_mutex!(Calls::batch()?, "raid_feeder"), GFP_KERNEL)?,
            slot_ios: Ios::new(slots * width, true)?,
            call_ios: Ios::new(limits.requests as usize, false)?,
            flush_ios: Ios::new(usize::from(FLUSHES_MAX) * width, false)?,
            log_ios: Ios::new(width, false)?,
            health_ios: Ios::new(width, false)?,
            scratch: Ios::new(limits.shards.into(), true)?,
            lanes,
            layouts: layouts(&rows)?,
            rows,
            limits,
        })
    }

    /// The members' states.
    pub(crate) fn health(&self) -> Health {
        self.with_members(|members| members.view().health)
    }

    /// True if a request that passed through and failed is worth another way.
    pub(crate) fn redoes(&self) -> bool {
        self.rows.kind() != RowKind::Plain
    }

    /// How many sectors are in order, of how many that redundancy is about.
    pub(crate) fn progress(&self) -> (Sectors, Sectors) {
        let region = self.limits.region_rows.max(1);
        let whole = self.rows.count() * ROW_SECTORS;
        let shard = |number: u64| (number % u64::from(self.limits.shards.max(1))) as u16;
        let state = |number| self.with_shard(shard(number), |machine| machine.region(RegionNo(number)));
        let doubted = (0..self.rows.count().div_ceil(region)).filter(|number| state(*number).in_doubt()).count() as u64;
        let marks = self.health().rebuilding().map(|(_, mark)| mark.0).min().unwrap_or(whole);
        let in_order = whole.saturating_sub(doubted * region * ROW_SECTORS);
        (Sectors(in_order.min(marks)), Sectors(whole))
    }

    /// True if recovery has nothing to do.
    pub(crate) fn is_resting(&self) -> bool {
        self.with_recovery(|recovery| recovery.is_resting())
    }

    /// Takes a request from above.
    ///
    /// # Safety
    /// `request` is nobody else's, and stays valid until it is ended.
    pub(crate) unsafe fn map(&self, request: *mut RawRequest, to: &mut RawWhere) -> i32 {
        // SAFETY: The caller's promise.
        let (op, at, len) = unsafe { ((*request).op, Sector((*request).at), Sectors((*request).sectors.into())) };
        let plain = self.rows.kind() == RowKind::Plain;
        if op == shim::READ || (op == shim::WRITE && plain) {
            let Ok(step) = plan::read(&self.layouts, &self.health(), at, len) else { return shim::REFUSED };
            match step.how {
                How::Direct { place } => {
                    let Some(device) = self.seats.data(place.member) else { return shim::REFUSED };
                    *to = RawWhere { device, at: place.at.0, sectors: step.len.0.min(len.0) as u32 };
                    return shim::PASSED_ON;
                }
                _ if plain => return shim::REFUSED,
                _ => {}
            }
        }
        // SAFETY: The caller's promise.
        unsafe { self.calls.push(request) };
        self.feed();
        shim::TAKEN
    }

    /// Hands requests that wait to the engine, as far as there is room.
    fn feed(&self) {
        let mut batch = self.feeder.lock();
        loop {
            self.calls.cut(&self.rows, &mut batch);
            if batch.is_empty() {
                return;
            }
            let (taken, refused) = match engine::submit_many(self, &batch) {
                Ok(()) => (batch.len(), false),
                Err((taken, why)) => (taken, why != Refused::Busy),
            };
            if !self.calls.fed(&batch, taken, refused) {
                return;
            }
        }
    }

    /// What a lane does: takes answers, lets its shard go on, and feeds if it is the first.
    pub(crate) fn lane(&self, lane: u16) {
        self.lanes.drain(lane, |token, well| engine::complete(self, token, well));
        if lane == 0 {
            let mut failed = self.lanes.take_failed();
            while !failed.is_null() {
                // SAFETY: A request that failed below is ours again; `push` takes it.
                let next = unsafe { (*failed).next };
                // SAFETY: As above.
                unsafe { self.calls.push(failed) };
                failed = next;
            }
            if self.calls.are_waiting() {
                self.feed();
            }
        }
        if *self.gate.lock() == Gate::Open && engine::run(self, lane, BUDGET) {
            self.lanes.wake(lane);
        }
    }

    /// Tells recovery what time it is, and takes back bits of regions that have been idle.
    pub(crate) fn tick(&self) {
        let (now_ms, asked) = (shim::now_ms(), self.calls.asked());
        let mut clock = self.clock.lock();
        let before = *clock;
        let sweeps = now_ms.saturating_sub(before.swept_ms) >= SWEEP_MS;
        *clock = Clock { swept_ms: if sweeps { now_ms } else { before.swept_ms }, ticked_ms: now_ms, asked };
        drop(clock);
        engine::tick(self, now_ms.saturating_sub(before.ticked_ms), asked != before.asked);
        if sweeps {
            engine::sweep(self, SWEEP_REGIONS);
        }
        self.lanes.tick_after(TICK_MS);
    }

    /// Does what a message asks of recovery.
    pub(crate) fn order(&self, order: Order) {
        match order {
            Order::Hold => engine::pause(self),
            Order::GoOn => engine::resume(self),
        }
    }

    /// True if recovery was told to stand still.
    pub(crate) fn is_held(&self) -> bool {
        self.with_recovery(|recovery| recovery.is_paused())
    }

    /// Begins, or goes on.
    pub(crate) fn resume(&self) {
        let was = core::mem::replace(&mut *self.gate.lock(), Gate::Open);
        let now_ms = shim::now_ms();
        *self.clock.lock() = Clock { swept_ms: now_ms, ticked_ms: now_ms, asked: 0 };
        if was == Gate::New {
            engine::set_rates(self, self.rates);
            engine::start(self);
        }
        for lane in 0..self.limits.shards {
            self.lanes.wake(lane);
        }
        self.lanes.tick_after(TICK_MS);
    }

    /// Shuts the gate, and waits until nothing is under way. There are no requests from above any more.
    pub(crate) fn suspend(&self) {
        self.lanes.no_tick();
        let mut gate = self.gate.lock();
        if *gate == Gate::Open {
            *gate = Gate::Shut;
        }
        drop(gate);
        self.lanes.wait();
    }

    fn slot_number(&self, slot: SlotId, member: Member) -> usize {
        let number = usize::from(slot.shard) * usize::from(self.limits.slots) + usize::from(slot.slot);
        number * usize::from(self.rows.geometry().members()) + usize::from(member.0)
    }

    /// Which of the prepared I/Os an action uses, and the lane that hears of it.
    fn io_of(&self, token: &Token) -> Option<(Io, u16)> {
        let width = usize::from(self.rows.geometry().members());
        let (ios, number, lane) = match *token {
            Token::Slot { slot, member, .. } => (&self.slot_ios, self.slot_number(slot, member), slot.shard),
            Token::Direct { request, .. } => (&self.call_ios, usize::try_from(request.id.0).ok()?, 0),
            Token::Flush { flush, member, .. } => (&self.flush_ios, usize::from(flush) * width + usize::from(member.0), 0),
            Token::Log { member, .. } => (&self.log_ios, usize::from(member.0), 0),
            Token::Health { member, .. } => (&self.health_ios, usize::from(member.0), 0),
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
        let lanes = self.lanes.raw();
        let Some(device) = self.seats.data(member) else {
            // SAFETY: The I/O is this action's until its receipt comes back.
            return unsafe { shim::raid_io_done(io.0, lanes, lane, false) };
        };
        match buf {
            Buf::Slot { slot, column } => {
                let Some(row) = self.slot_ios.at(self.slot_number(slot, column)) else { return };
                // A band lies in the row's buffer where it lies in the row.
                let skip = (at.0 % ROW_SECTORS) as u32 * 512;
                // SAFETY: As above; the row is the slot's, and a band lies inside of it.
                unsafe { shim::raid_io_page(io.0, row.0, lanes, lane, device, at.0, skip, bytes, write, fua) };
            }
            Buf::Request(id) => {
                let Some(place) = self.calls.place(id) else { return };
                let (request, skip) = (place.request, place.skip_bytes);
                // SAFETY: As above; a request is valid while a piece of it is under way.
                unsafe { shim::raid_io_request(io.0, lanes, lane, device, at.0, request, skip, bytes, write, fua) };
            }
            // No bio asks for zeros yet.
            // SAFETY: As above.
            Buf::Zeroes { .. } => unsafe { shim::raid_io_done(io.0, lanes, lane, false) },
        }
    }

    /// Metadata are not written yet: the table names none.
    fn answer(&self, token: Token) {
        if let Some((io, lane)) = self.io_of(&token) {
            // SAFETY: The I/O is this action's until its receipt comes back.
            unsafe { shim::raid_io_done(io.0, self.lanes.raw(), lane, true) };
        }
    }

    fn flush(&self, token: Token, member: Member) {
        let Some((io, lane)) = self.io_of(&token) else { return };
        let lanes = self.lanes.raw();
        match self.seats.data(member) {
            // SAFETY: As in `answer`.
            Some(device) => unsafe { shim::raid_io_flush(io.0, lanes, lane, device) },
            // SAFETY: As in `answer`.
            None => unsafe { shim::raid_io_done(io.0, lanes, lane, false) },
        }
    }
}

impl Bytes for Array {
    fn row(&self, slot: SlotId, member: Member) -> Option<&mut [u8; ROW_BYTES]> {
        // SAFETY: Slots' I/Os have pages; while a slot computes, nobody but its computation uses its rows, which asks for each once.
        unsafe { self.slot_ios.bytes(self.slot_number(slot, member)) }
    }

    fn scratch(&self, shard: u16) -> Option<&mut [u8; ROW_BYTES]> {
        // SAFETY: These have pages; a shard computes in its lane only, one thing at a time.
        unsafe { self.scratch.bytes(shard.into()) }
    }

    fn copy(&self, request: RequestId, bytes: &mut [u8], to_request: bool) -> bool {
        let Some(place) = self.calls.place(request) else { return false };
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
            // No message begins a check yet, so none finds anything.
            Action::Found(_) => {}
            Action::WriteLog { token, .. } | Action::WriteHealth { token, .. } => self.answer(token),
            Action::Compute { token, slot, stripe, first, len, work } => {
                let stripe = self.rows.geometry().stripe(stripe);
                let desk = Desk { parity: &self.parity, bytes: self };
                let done = desk.work(slot, stripe.as_ref(), Band::new(first, len), work);
                engine::complete(self, token, done);
            }
            Action::Complete { request, result } => {
                if self.calls.done(request, result.is_ok()) {
                    self.lanes.wake(0);
                }
            }
        }
    }

    fn wake(&self, shard: u16) {
        self.lanes.wake(shard);
    }
}
