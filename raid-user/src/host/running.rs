//! A running array: bytes in, bytes out, while members fail and come.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raid_core::engine::{self, Host as _};
use raid_core::health::Health;
use raid_core::memory::OutOfMemory;
use raid_core::plan::{self, How};
use raid_core::recovery::{Progress, Rates};
use raid_core::request::{Error, Kind, Refused, Request, RequestId};
use raid_core::rows::{ROW_LEN, RowKind, RowNo};
use raid_core::stripe::Limits;
use raid_core::{SECTOR_BYTES, Sector, Sectors, StripeNo};

use super::inner::Inner;
use super::membership::Usher;
use super::pieces::Pieces;
use super::start::{Start, Stopped};
use super::tall;
use crate::media::{Media, MediaMut};

/// Pieces of one request that are under way at a time.
pub(super) const BATCH: usize = 256;

/// Bytes that become zeros in one go.
const ZEROES_AT_ONCE: u64 = 1 << 30;

/// Callers that run shards at a time, and gather what those ask for; more do without.
const CALLERS: usize = 16;

/// How often recovery is told what time it is.
const TICK: Duration = Duration::from_millis(100);

/// How an array runs.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Threads that do I/O and arithmetic.
    pub threads: usize,
    /// Lock domains.
    pub shards: u16,
    /// Rows in flight in each.
    pub slots: u16,
    /// Pieces of requests under way in all.
    pub pieces: u32,
    /// Rows that recovery has in flight.
    pub heal_window: u16,
    /// Repaired read errors that a member is forgiven.
    pub read_errors_max: u32,
    /// Rows after which recovery makes durable how far it is.
    pub checkpoint_rows: u64,
    /// How fast recovery may go.
    pub rates: Rates,
    /// How often idle regions are looked at.
    pub sweep_every: Duration,
    /// What is out of order is put in order in the background. If not, it stays as it is until [`Running::resume`], and nothing at all is
    /// written before somebody writes, repairs, or changes who is a member.
    pub heals: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            threads: 8,
            shards: 4,
            slots: 64,
            pieces: 1024,
            heal_window: 16,
            read_errors_max: 20,
            // 64 MiB of each member.
            checkpoint_rows: 16 * 1024,
            rates: Rates::FREE,
            sweep_every: Duration::from_secs(5),
            heals: true,
        }
    }
}

/// The array. Dropping it is pulling the plug: members keep what reached them, and the next start heals the rest.
pub struct Running {
    pub(super) inner: Arc<Inner>,
    workers: Vec<JoinHandle<()>>,
    clock: Option<(Sender<()>, JoinHandle<()>)>,
    /// Held while part of a sector is changed: whoever else does that could overwrite the other part with what it was.
    edges: Mutex<()>,
    sectors: Sectors,
}

impl Running {
    /// Starts the array, and what recovery is due.
    ///
    /// # Errors
    /// No memory, or no threads.
    pub fn start(start: Start, tuning: &Tuning) -> io::Result<Self> {
        let limits = Limits {
            shards: tuning.shards.max(1),
            slots: tuning.slots.max(1),
            requests: tuning.pieces.max(1),
            region_rows: start.region_rows,
            log_page_words: start.log_page_words,
            read_errors_max: tuning.read_errors_max,
            heal_window: tuning.heal_window.max(1),
            checkpoint_rows: tuning.checkpoint_rows.max(1),
        };
        let sectors = start.rows.geometry().array_size();
        let out_of_memory = |OutOfMemory| io::Error::from(io::ErrorKind::OutOfMemory);
        let turns = tuning.threads.max(1) + CALLERS;
        let inner = Arc::new(Inner::new(start, limits, tuning.pieces.max(1), turns).map_err(out_of_memory)?);
        let mut running = Self { inner, workers: Vec::new(), clock: None, edges: Mutex::default(), sectors };
        let (to_start, started) = channel::<()>();
        for _ in 0..tuning.threads.max(1) {
            let (inner, to_start) = (Arc::clone(&running.inner), to_start.clone());
            let work = move || {
                drop(to_start);
                inner.work();
            };
            running.workers.push(std::thread::Builder::new().name("raid".into()).spawn(work)?);
        }
        let (stop, stopped) = channel();
        let (inner, every) = (Arc::clone(&running.inner), tuning.sweep_every);
        let clock = std::thread::Builder::new().name("raid-clock".into());
        let clock = clock.spawn(move || {
            drop(to_start);
            tick(&inner, &stopped, every);
        });
        running.clock = Some((stop, clock?));
        // A thread allocates while it starts. It must not do so for somebody's I/O: this ends when the last one runs.
        let _ended = started.recv();
        // Held first: rates that are set let the pass go on.
        running.inner.with_recovery(|recovery| recovery.hold(!tuning.heals));
        engine::set_rates(&*running.inner, tuning.rates);
        if tuning.heals {
            running.begin();
        }
        Ok(running)
    }

    pub(super) fn begin(&self) {
        self.inner.begin();
    }

    /// True if nobody wrote, flushed, changed the members or let recovery go on. A repair alone is no such thing: what it writes, no
    /// metadata tell of.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        !self.inner.begun.is_completed()
    }

    /// Who is in sync, being rebuilt, or missing.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.health()
    }

    /// True if more failed than the array survives: it takes no writes any more.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.inner.with_members(|members| members.view().broken)
    }

    /// Waits until nothing is under way and recovery has nothing left to do.
    pub fn wait_until_quiet(&self) {
        self.inner.jobs.wait_until_quiet();
    }

    /// Stops recovery in moments, with its marks durable; it goes on with [`resume`](Self::resume), or with the next start.
    pub fn pause(&self) {
        engine::pause(&*self.inner);
    }

    /// Lets recovery go on.
    pub fn resume(&self) {
        self.begin();
        engine::resume(&*self.inner);
    }

    /// Says how fast recovery may go from now on.
    pub fn set_rates(&self, rates: Rates) {
        engine::set_rates(&*self.inner, rates);
    }

    /// How far recovery is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.inner.with_recovery(|recovery| recovery.progress())
    }

    /// Stops in order: recovery makes its marks durable and goes on from there at the next start; what was written is durable,
    /// bits of quiet regions are taken back, and the members say so. True if they say "clean".
    ///
    /// # Errors
    /// A flush or the members' metadata failed; the array is stopped all the same.
    pub fn stop(mut self) -> io::Result<bool> {
        self.stop_clock();
        self.pause();
        self.inner.jobs.wait_until_quiet();
        let flushed = self.flush();
        // Regions are taken back when they were idle for two sweeps; the log's pages follow.
        for _ in 0..3 {
            engine::sweep(&*self.inner, usize::MAX);
            self.inner.jobs.wait_until_quiet();
        }
        let stopped = match self.is_broken() || flushed.is_err() {
            true => Stopped::InDoubt { from: RowNo(0) },
            false if self.regions().in_doubt > 0 => {
                let from = self.inner.with_recovery(|recovery| recovery.doubt_from());
                Stopped::InDoubt { from: from.unwrap_or(RowNo(0)) }
            }
            false => Stopped::Clean,
        };
        let health = self.health();
        self.join(false);
        let said = self.inner.store.stop(&health, stopped);
        flushed.and(said).map(|()| stopped == Stopped::Clean)
    }

    fn stop_clock(&mut self) {
        if let Some((stop, clock)) = self.clock.take() {
            drop(stop);
            drop(clock.join());
        }
    }

    fn join(&mut self, at_once: bool) {
        self.inner.jobs.stop(at_once);
        for worker in self.workers.drain(..) {
            drop(worker.join());
        }
    }

    /// Reads whole sectors: straight into `buf` where a trusted member has them, by the engine where not.
    fn read_sectors(&self, mut at: Sector, mut buf: &mut [u8]) -> io::Result<()> {
        self.inner.asked.fetch_add(1, Ordering::Relaxed);
        while !buf.is_empty() {
            let left = Sectors::from_bytes_floor(buf.len() as u64);
            let health = self.health();
            let step = plan::read(self.inner.layouts(), &health, at, left).map_err(io::Error::other)?;
            let len = usize::try_from(step.len.0 * SECTOR_BYTES).unwrap_or(buf.len());
            let (part, rest) = buf.split_at_mut(len);
            let direct = match step.how {
                How::Direct { place } => {
                    self.inner.seats.at(health.seat(place.member), health.epoch()).is_some_and(|seat| {
                        seat.offset_bytes(place.at).is_some_and(|offset| seat.media.read_at(offset, part).is_ok())
                    })
                }
                _ => false,
            };
            if !direct {
                self.by_the_engine(Kind::Read, at, Bytes::Into(part))?;
            }
            at = Sector(at.0 + step.len.0);
            buf = rest;
        }
        Ok(())
    }

    /// Sends pieces of whole sectors through the engine, as many at a time as there is room for.
    fn by_the_engine(&self, kind: Kind, at: Sector, mut bytes: Bytes<'_>) -> io::Result<()> {
        self.inner.asked.fetch_add(1, Ordering::Relaxed);
        self.begin();
        let len = Sectors((bytes.len() / 512) as u64);
        if self.sectors.0.checked_sub(at.0).is_none_or(|left| left < len.0) {
            return Err(past_the_end());
        }
        let mut pieces = Pieces::new(self.inner.rows(), at, len);
        let (most, tall) = (pieces.at_a_time(BATCH), tall::kind_of(kind, self.inner.rows().kind()));
        while !pieces.is_over() {
            if let Some(tall) = tall.filter(|_| pieces.tall().is_some()) {
                self.several_rows((kind, tall), at, &mut bytes, &mut pieces)?;
                continue;
            }
            let mut until_tall = std::iter::from_fn(|| match tall.is_some() && pieces.tall().is_some() {
                true => None,
                false => pieces.next(),
            });
            self.row_by_row(kind, at, &mut bytes, (&mut until_tall, most))?;
        }
        Ok(())
    }

    /// Sends the next pieces, so many at most.
    pub(super) fn row_by_row(
        &self,
        kind: Kind,
        at: Sector,
        bytes: &mut Bytes<'_>,
        (pieces, most): (&mut impl Iterator<Item = (Sector, Sectors)>, usize),
    ) -> io::Result<()> {
        let mut ids = [RequestId(0); BATCH];
        // A range that begins inside of a row has one piece more than it fills rows.
        let wanted = (bytes.len().div_ceil(512).div_ceil(ROW_LEN) + 1).min(most);
        let taken = self.inner.calls.take(&mut ids[..wanted]);
        let done = self.batch(kind, at, bytes, (pieces, &ids[..taken]));
        self.inner.calls.give(&ids[..taken]);
        done
    }

    /// Sends the next pieces, one for each of `ids`. The range begins at `at`.
    fn batch(
        &self,
        kind: Kind,
        at: Sector,
        bytes: &mut Bytes<'_>,
        (pieces, ids): (&mut impl Iterator<Item = (Sector, Sectors)>, &[RequestId]),
    ) -> io::Result<()> {
        let none = Request { id: RequestId(0), kind, at, len: Sectors(0) };
        let mut requests = [none; BATCH];
        let mut count = 0;
        for ((id, request), (from, len)) in ids.iter().zip(&mut requests).zip(pieces) {
            *request = Request { id: *id, kind, at: from, len };
            bytes.copy_to(from.0 - at.0, len, self.inner.calls.row(*id).as_deref_mut().map(|row| &mut row.0[..]));
            count += 1;
        }
        let requests = &requests[..count];
        let submitted = self.submit_all(requests);
        let taken = &requests[..submitted.as_ref().map_or_else(|(taken, _)| *taken, |()| count)];
        let mut outcome = Ok(());
        for request in taken {
            if let Err(error) = self.inner.calls.wait(request.id) {
                outcome = Err(failed(error));
            }
        }
        submitted.map_err(|(_, refused)| io::Error::other(refused))?;
        outcome?;
        for request in requests {
            let row = self.inner.calls.row(request.id);
            bytes.copy_from(request.at.0 - at.0, request.len, row.as_deref().map(|row| &row.0[..]));
        }
        Ok(())
    }

    /// Submits all, and works along while there is something to be done at once; waits where the engine is full. Says how many were taken
    /// if it will not take the next.
    pub(super) fn submit_all(&self, requests: &[Request]) -> Result<(), (usize, Refused)> {
        let mut done = 0;
        loop {
            let helper = self.inner.jobs.helper();
            let submitted = engine::submit_many(&*self.inner, &requests[done..]);
            let taken = submitted.map_or_else(|(taken, _)| taken, |()| requests.len() - done);
            done += taken;
            let mut waited_for = requests[..done].iter().peekable();
            helper.help(
                |job| self.inner.perform_job(job),
                || {
                    while waited_for.next_if(|request| self.inner.calls.is_done(request.id)).is_some() {}
                    done == requests.len() && waited_for.peek().is_none()
                },
            );
            drop(helper);
            match submitted {
                Ok(()) => return Ok(()),
                Err((_, Refused::Busy)) if taken > 0 => {}
                Err((_, Refused::Busy)) => self.inner.calls.wait_for_room(),
                Err((_, refused)) => return Err((done, refused)),
            }
        }
    }

    /// Has whole sectors changed to what needs no bytes.
    fn without_bytes(&self, kind: Kind, bytes: &Range<u64>) -> io::Result<()> {
        let mut at = bytes.start;
        while at < bytes.end {
            let len = (bytes.end - at).min(ZEROES_AT_ONCE);
            self.by_the_engine(kind, Sector(at / SECTOR_BYTES), Bytes::Zeroes(usize::try_from(len).unwrap_or(0)))?;
            at += len;
        }
        Ok(())
    }

    /// Reads the whole sectors that bytes lie in: the first sector, all bytes, and how many of them come before.
    fn read_around(&self, offset_bytes: u64, len: usize) -> io::Result<(Sector, Vec<u8>, usize)> {
        let (first, end) = (offset_bytes / SECTOR_BYTES, (offset_bytes + len as u64).div_ceil(SECTOR_BYTES));
        let mut whole = vec![0; range(0, Sectors(end - first)).len()];
        self.read_sectors(Sector(first), &mut whole)?;
        Ok((Sector(first), whole, usize::try_from(offset_bytes % SECTOR_BYTES).unwrap_or(0)))
    }

    /// Changes bytes that need not be whole sectors: those at the edges are read first.
    fn write_edges(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        let _alone = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, mut whole, skip) = self.read_around(offset_bytes, buf.len())?;
        whole[skip..skip + buf.len()].copy_from_slice(buf);
        self.by_the_engine(Kind::Write { fua: false }, first, Bytes::From(&whole))
    }
}

/// Sweeps, tells recovery what time it is, and looks after who comes and goes by himself, until told to stop.
fn tick(inner: &Inner, stopped: &Receiver<()>, sweep_every: Duration) {
    let (mut swept, mut ticked, mut asked) = (Instant::now(), Instant::now(), 0);
    let mut usher = Usher::default();
    while stopped.recv_timeout(sweep_every.min(TICK)) == Err(RecvTimeoutError::Timeout) {
        let before = std::mem::replace(&mut asked, inner.asked.load(Ordering::Relaxed));
        let elapsed_ms = u64::try_from(ticked.elapsed().as_millis()).unwrap_or(u64::MAX);
        ticked += Duration::from_millis(elapsed_ms);
        engine::tick(inner, elapsed_ms, asked != before);
        usher.look(inner);
        if swept.elapsed() >= sweep_every {
            swept = Instant::now();
            engine::sweep(inner, 4096);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop_clock();
        self.join(true);
    }
}

/// A caller's bytes.
pub(super) enum Bytes<'a> {
    From(&'a [u8]),
    Into(&'a mut [u8]),
    /// So many zeros, which nobody has.
    Zeroes(usize),
}

impl Bytes<'_> {
    fn len(&self) -> usize {
        match self {
            Self::From(bytes) => bytes.len(),
            Self::Into(bytes) => bytes.len(),
            Self::Zeroes(len) => *len,
        }
    }

    pub(super) fn copy_to(&self, skip_sectors: u64, len: Sectors, row: Option<&mut [u8]>) {
        if let (Self::From(bytes), Some(row)) = (self, row) {
            let range = range(skip_sectors, len);
            row[..range.len()].copy_from_slice(&bytes[range]);
        }
    }

    fn copy_from(&mut self, skip_sectors: u64, len: Sectors, row: Option<&[u8]>) {
        if let (Self::Into(bytes), Some(row)) = (self, row) {
            let range = range(skip_sectors, len);
            let len = range.len();
            bytes[range].copy_from_slice(&row[..len]);
        }
    }
}

fn range(skip_sectors: u64, len: Sectors) -> Range<usize> {
    let bytes = |sectors: u64| usize::try_from(sectors.saturating_mul(SECTOR_BYTES)).unwrap_or(usize::MAX);
    bytes(skip_sectors)..bytes(skip_sectors.saturating_add(len.0))
}

/// The whole sectors in a range of bytes.
fn whole_sectors(offset_bytes: u64, len_bytes: u64) -> Range<u64> {
    let end_bytes = offset_bytes.saturating_add(len_bytes);
    offset_bytes.next_multiple_of(SECTOR_BYTES)..end_bytes / SECTOR_BYTES * SECTOR_BYTES
}

pub(super) fn failed(error: Error) -> io::Error {
    io::Error::other(error)
}

fn past_the_end() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "past the end of the array")
}

impl Media for Running {
    fn size_bytes(&self) -> u64 {
        self.sectors.0.saturating_mul(SECTOR_BYTES)
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        crate::media::check_range(self.size_bytes(), offset_bytes, buf.len() as u64)?;
        if offset_bytes.is_multiple_of(SECTOR_BYTES) && (buf.len() as u64).is_multiple_of(SECTOR_BYTES) {
            return self.read_sectors(Sector(offset_bytes / SECTOR_BYTES), buf);
        }
        let (_, whole, skip) = self.read_around(offset_bytes, buf.len())?;
        buf.copy_from_slice(&whole[skip..skip + buf.len()]);
        Ok(())
    }

    fn describe(&self) -> String {
        "a running array".to_owned()
    }

    fn is_memory(&self) -> bool {
        self.inner.seats.all_in_memory()
    }
}

impl MediaMut for Running {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        crate::media::check_range(self.size_bytes(), offset_bytes, buf.len() as u64)?;
        if !offset_bytes.is_multiple_of(SECTOR_BYTES) || !(buf.len() as u64).is_multiple_of(SECTOR_BYTES) {
            return self.write_edges(offset_bytes, buf);
        }
        self.by_the_engine(Kind::Write { fua: false }, Sector(offset_bytes / SECTOR_BYTES), Bytes::From(buf))
    }

    fn flush(&self) -> io::Result<()> {
        self.begin();
        let mut ids = [RequestId(0)];
        self.inner.calls.take(&mut ids);
        let request = Request { id: ids[0], kind: Kind::Flush, at: Sector(0), len: Sectors(0) };
        let submitted = self.submit_all(&[request]);
        let outcome = match submitted {
            Ok(()) => self.inner.calls.wait(ids[0]).map_err(failed),
            Err((_, refused)) => Err(io::Error::other(refused)),
        };
        self.inner.calls.give(&ids);
        outcome
    }

    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, may_free: bool) -> io::Result<()> {
        crate::media::check_range(self.size_bytes(), offset_bytes, len_bytes)?;
        let (whole, end_bytes) = (whole_sectors(offset_bytes, len_bytes), offset_bytes.saturating_add(len_bytes));
        if whole.is_empty() {
            return crate::media::zero_plainly(self, offset_bytes, len_bytes);
        }
        crate::media::zero_plainly(self, offset_bytes, whole.start - offset_bytes)?;
        let kind = Kind::WriteZeroes { fua: false, free: may_free };
        self.without_bytes(kind, &whole)?;
        crate::media::zero_plainly(self, whole.end, end_bytes - whole.end)
    }

    fn stripe_bytes(&self) -> Option<u64> {
        let (rows, geometry) = (self.inner.rows(), self.inner.rows().geometry());
        let stripe = geometry.stripe(StripeNo(0)).filter(|_| rows.kind() == RowKind::Parity)?;
        geometry.chunk().bytes()?.checked_mul(stripe.columns().into())
    }

    fn frees_zeroes(&self) -> bool {
        self.inner.discards()
    }

    /// Whole sectors become zeros that members free; nothing, if one of them cannot: a member that forgets its part and does not read zeros
    /// afterwards would no longer fit the others.
    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        crate::media::check_range(self.size_bytes(), offset_bytes, len_bytes)?;
        let whole = whole_sectors(offset_bytes, len_bytes);
        if whole.is_empty() || !self.inner.discards() {
            return Ok(());
        }
        self.without_bytes(Kind::Discard, &whole)
    }
}
