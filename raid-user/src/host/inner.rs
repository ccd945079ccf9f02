//! The host of the engine: machines behind locks that never nest, and hands.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use raid_core::action::{Action, Answer, Buf, Token, Way};
use raid_core::check::Checking;
use raid_core::engine::{self, Host};
use raid_core::flush::Flushes;
use raid_core::geometry::Part;
use raid_core::health::{Epoch, SEATED_MAX};
use raid_core::members::Members;
use raid_core::memory::OutOfMemory;
use raid_core::parity::Ops;
use raid_core::recovery::Recovery;
use raid_core::region::{Found, RegionLog, RegionNo};
use raid_core::reshape::Layouts;
use raid_core::rows::{ROW_LEN, RowKind, Rows};
use raid_core::stripe::{Limits, Shard};
use raid_core::{Member, Sector, Sectors};

use super::buffers::{Buffers, ROW_BYTES, Row, Tall};
use super::calls::Calls;
use super::checks::Findings;
use super::compute::{Band, Desk};
use super::jobs::{Job, Jobs};
use super::memory::Heap;
use super::seats::{Seat, Seats};
use super::start::{Start, Store};
use super::turn::Room;

/// Everything that workers and callers share.
pub(super) struct Inner {
    rows: Rows,
    layouts: Layouts,
    limits: Limits,
    shards: Box<[Mutex<Shard<Heap>>]>,
    log: Mutex<RegionLog<Heap>>,
    members: Mutex<Members<Heap>>,
    flushes: Mutex<Flushes>,
    recovery: Mutex<Recovery>,
    check: Mutex<Checking>,
    pub(super) findings: Findings,
    /// Room for a page of the log, for each seat: copied there under the log's lock, written without it.
    pages: Box<[Mutex<Vec<u64>>]>,
    ops: &'static Ops,
    buffers: Buffers,
    pub(super) seats: Seats,
    pub(super) calls: Calls,
    pub(super) jobs: Jobs,
    pub(super) room: Room,
    pub(super) store: Box<dyn Store>,
    /// Requests of callers, so that recovery can tell whether there are any.
    pub(super) asked: AtomicU64,
    /// Done when the log's first batch was asked for, and recovery with it: before any write.
    pub(super) begun: Once,
    /// Held by whoever gives a seat away, until the machines know of it.
    pub(super) joining: Mutex<()>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// `turns`: how many threads take a turn at a time, as far as that is known.
    pub(super) fn new(start: Start, limits: Limits, calls: u32, turns: usize) -> Result<Self, OutOfMemory> {
        let Start { rows, health, slots, store, doubt, marked, doubt_from, .. } = start;
        let members = Members::new(health, limits.read_errors_max)?;
        let (view, count, width) = (members.view(), rows.count(), health.members());
        let seats = if width > SEATED_MAX { width } else { width * 2 };
        let found: HashMap<RegionNo, Found> = marked
            .iter()
            .map(|region| (*region, Found::Marked))
            .chain(doubt.iter().map(|region| (*region, Found::InDoubt)))
            .collect();
        let found = |region| found.get(&region).copied().unwrap_or_default();
        let shard = |number| Shard::new(number, &limits, count, view, found).map(Mutex::new);
        let regions = count.div_ceil(limits.region_rows.max(1));
        let page = |_| Mutex::new(Vec::with_capacity(limits.log_page_words));
        // Each slot has a computation or as many I/Os as members out; flushes, pages and states come beside them.
        let slots_all = usize::from(limits.shards) * usize::from(limits.slots);
        let capacity = (slots_all + 20) * usize::from(seats) + usize::from(limits.shards) + calls as usize;
        Ok(Self {
            shards: (0..limits.shards).map(shard).collect::<Result<_, _>>()?,
            log: Mutex::new(RegionLog::new(regions, limits.log_page_words, view, view.health.epoch(), |region| {
                found(region) != Found::Clean
            })?),
            members: Mutex::new(members),
            flushes: Mutex::new(Flushes::new(view)),
            check: Mutex::new(Checking::new(limits.heal_window)),
            findings: Findings::default(),
            recovery: Mutex::new(Recovery::new(view, &limits, count, (!doubt.is_empty()).then_some(doubt_from))),
            pages: (0..seats).map(page).collect(),
            ops: raid_core::parity::detect(),
            buffers: Buffers::new(limits.shards, limits.slots, width)?,
            seats: Seats::new(slots, seats.into()),
            calls: Calls::new(calls, tall_columns(&rows))?,
            jobs: Jobs::new(limits.shards, capacity),
            room: Room::new(turns),
            layouts: Layouts::one(rows.geometry().clone()),
            rows,
            limits,
            store,
            asked: AtomicU64::new(0),
            begun: Once::new(),
            joining: Mutex::new(()),
        })
    }

    /// What a worker does.
    pub(super) fn work(&self) {
        self.jobs.work(|job| self.perform_job(job));
    }

    pub(super) fn perform_job(&self, job: Job) {
        match job {
            Job::Run(shard) => self.run(shard),
            Job::Do(action) => self.act(self, action),
        }
    }

    /// Does what a member takes time for, and tells the engine how it went.
    pub(super) fn act<H: Host>(&self, host: &H, action: Action) {
        let (token, done) = match action {
            Action::Io { token, way, member, at, len, buf } => {
                (token, self.seat(member, &token).and_then(|seat| self.io(&seat, way, at, len, buf)))
            }
            Action::Flush { token, member } => (token, self.seat(member, &token).and_then(|seat| seat.media.flush())),
            Action::WriteLog { token, member, page } => (token, self.write_page(token, member, page)),
            Action::WriteHealth { token, member } => {
                let health = self.with_members(|members| members.persisting());
                let write = |_| self.seats.metadata(member, || self.store.write_health(member, &health));
                (token, self.seat(member, &token).and_then(write))
            }
            // These two take no time, and are done where they are asked for.
            Action::Compute { .. } | Action::Found(_) | Action::Complete { .. } => return,
        };
        engine::complete(host, token, done.is_ok());
    }

    /// True for what makes nobody wait, since the member is memory: to hand it to another thread would cost more than to do it.
    pub(super) fn is_done_at_once(&self, action: &Action) -> bool {
        let Action::Io { member, way: Way::Read | Way::Write { fua: false }, .. } = action else { return false };
        self.seats.in_memory(*member)
    }

    /// Does what takes no time, and leaves the rest to the workers.
    pub(super) fn hand_over<H: Host>(&self, host: &H, action: Action) {
        match action {
            Action::Complete { request, result } => self.calls.done(request, result),
            Action::Found(finding) => self.findings.note(finding),
            Action::Compute { token, slot, stripe, first, len, work } => {
                let desk = Desk { ops: self.ops, rows: &self.rows, buffers: &self.buffers, calls: &self.calls };
                let stripe = self.rows.geometry().stripe(stripe);
                let done = desk.work(slot, stripe.as_ref(), Band::new(first, len), work);
                debug_assert!(done != Answer::Failed, "arithmetic on what there is not: {work:?}");
                engine::complete(host, token, done);
            }
            action => self.jobs.push(action),
        }
    }

    pub(super) fn seat(&self, member: Member, token: &Token) -> io::Result<Seat> {
        let seat = self.seats.at(member, token.seen().unwrap_or(Epoch(0)));
        seat.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the member for which this was meant is gone"))
    }

    fn write_page(&self, token: Token, member: Member, page: u32) -> io::Result<()> {
        self.seat(member, &token)?;
        let Some(words) = self.pages.get(usize::from(member.0)) else { return Err(gone()) };
        let mut words = lock(words);
        self.with_log(|log| {
            words.clear();
            words.extend_from_slice(log.page(page));
        });
        self.seats.metadata(member, || self.store.write_log(member, page, &words))
    }

    /// Where the bytes of an action are, and where they go; none if there is no such place.
    pub(super) fn place(&self, seat: &Seat, at: Sector, len: Sectors, buf: Buf) -> Option<Place<'_>> {
        let offset_bytes = seat.offset_bytes(at)?;
        let (row, from) = match buf {
            // A band lies in the row's buffer where it lies in the row.
            Buf::Slot { slot, column } => {
                let first = usize::try_from(at.0 % ROW_LEN as u64).ok()?;
                (self.buffers.cell(slot, column)?, first * 512)
            }
            Buf::Request(request) => (self.calls.cell(request)?, 0),
            Buf::Rows { .. } | Buf::Zeroes { .. } => return None,
        };
        let to = from.checked_add(usize::try_from(len.bytes()?).ok()?).filter(|to| *to <= ROW_BYTES)?;
        Some(Place { offset_bytes, row, bytes: from..to })
    }

    /// The bytes of several rows on one member.
    fn tall(&self, buf: Buf) -> Option<&Mutex<Tall>> {
        match buf {
            Buf::Request(request) => self.calls.column(request, 0),
            Buf::Rows { request, part } => self.calls.column(request, tall_column(&self.rows, part)),
            Buf::Slot { .. } | Buf::Zeroes { .. } => None,
        }
    }

    fn io(&self, seat: &Seat, way: Way, at: Sector, len: Sectors, buf: Buf) -> io::Result<()> {
        if let Buf::Zeroes { free } = buf {
            let (offset_bytes, len_bytes) = seat.offset_bytes(at).zip(len.bytes()).ok_or_else(gone)?;
            seat.media.write_zeroes(offset_bytes, len_bytes, free)?;
        } else if let Some(column) = self.tall(buf) {
            let (offset_bytes, len_bytes) = seat.offset_bytes(at).zip(len.bytes()).ok_or_else(gone)?;
            let column = lock(column);
            let bytes = usize::try_from(len_bytes).ok().and_then(|len| column.0.get(..len)).ok_or_else(gone)?;
            seat.media.write_at(offset_bytes, bytes)?;
        } else {
            let Place { offset_bytes, row, bytes } = self.place(seat, at, len, buf).ok_or_else(gone)?;
            let bytes = &mut lock(row).0[bytes];
            match way {
                Way::Read => seat.media.read_at(offset_bytes, bytes)?,
                Way::Write { .. } => seat.media.write_at(offset_bytes, bytes)?,
            }
        }
        if way == (Way::Write { fua: true }) { seat.media.flush() } else { Ok(()) }
    }
}

/// Buffers that a write of several rows needs: one for all copies, or one for each column.
fn tall_columns(rows: &Rows) -> usize {
    match rows.kind() {
        RowKind::Plain => 0,
        RowKind::Copies => 1,
        RowKind::Parity => rows.geometry().members().into(),
    }
}

/// Which of them a column has: P is first, and Q last.
pub(super) fn tall_column(rows: &Rows, part: Part) -> usize {
    match part {
        Part::P => 0,
        Part::Data(column) => usize::from(column) + 1,
        Part::Q => usize::from(rows.geometry().members()) - 1,
    }
}

/// The part of a row that an action is about, and its place on the medium.
pub(super) struct Place<'a> {
    pub(super) offset_bytes: u64,
    pub(super) row: &'a Mutex<Row>,
    pub(super) bytes: Range<usize>,
}

fn gone() -> io::Error {
    io::Error::other("the engine asks for what there is not")
}

impl Host for Inner {
    type Memory = Heap;

    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn layouts(&self) -> &Layouts {
        &self.layouts
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn with_shard<R>(&self, shard: u16, f: impl FnOnce(&mut Shard<Heap>) -> R) -> R {
        f(&mut lock(&self.shards[usize::from(shard)]))
    }

    fn with_log<R>(&self, f: impl FnOnce(&mut RegionLog<Heap>) -> R) -> R {
        f(&mut lock(&self.log))
    }

    fn with_members<R>(&self, f: impl FnOnce(&mut Members<Heap>) -> R) -> R {
        f(&mut lock(&self.members))
    }

    fn with_flushes<R>(&self, f: impl FnOnce(&mut Flushes) -> R) -> R {
        f(&mut lock(&self.flushes))
    }

    fn with_recovery<R>(&self, f: impl FnOnce(&mut Recovery) -> R) -> R {
        f(&mut lock(&self.recovery))
    }

    fn with_check<R>(&self, f: impl FnOnce(&mut Checking) -> R) -> R {
        f(&mut lock(&self.check))
    }

    fn discards(&self) -> bool {
        self.seats.free_zeroes()
    }

    fn perform(&self, action: Action) {
        if self.is_done_at_once(&action) { self.act(self, action) } else { self.hand_over(self, action) }
    }

    fn wake(&self, shard: u16) {
        self.jobs.wake(shard);
    }
}
