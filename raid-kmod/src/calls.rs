// SPDX-License-Identifier: GPL-2.0-only
//! Requests from above: cut into pieces that the engine takes, each with an entry of a table that never grows. Those for which
//! there is no entry wait in line.

use kernel::prelude::*;
use kernel::sync::{new_spinlock, SpinLock};
use raid_core::request::{Kind, Refused, Request, RequestId};
use raid_core::rows::Rows;
use raid_core::{Sector, Sectors};

use crate::shim::{self, RawRequest};

/// Requests of the engine that are handed over at a time: a full stripe of the usual chunks.
const BATCH: usize = 256;

/// One piece.
#[derive(Clone, Copy)]
struct Entry {
    request: *mut RawRequest,
    /// Sectors of the request before this piece.
    skip: u32,
}

struct State {
    entries: KVVec<Entry>,
    free: KVVec<u32>,
    /// Those that wait, by their own links.
    first: *mut RawRequest,
    last: *mut RawRequest,
    /// Sectors of the first one that are sent row by row: somebody was at one of several rows there.
    by_rows: u32,
    /// Requests that ever came.
    asked: u64,
}

// SAFETY: A request that waits, or has pieces under way, is the array's until it is ended; all of that is under one lock.
unsafe impl Send for State {}

/// The table.
pub(crate) struct Calls {
    state: Pin<KBox<SpinLock<State>>>,
}

/// A place where a piece's bytes are.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) request: *mut RawRequest,
    pub(crate) skip_bytes: u32,
}

/// Pieces of the request in front, to be submitted.
pub(crate) type Batch = KVVec<Request>;

/// What the engine calls it.
fn kind(request: &RawRequest) -> Kind {
    match request.op {
        shim::WRITE => Kind::Write { fua: request.fua },
        shim::FLUSH => Kind::Flush,
        shim::DISCARD => Kind::Discard,
        shim::ZEROES => Kind::WriteZeroes { fua: request.fua, free: true },
        shim::ZEROES_KEPT => Kind::WriteZeroes { fua: request.fua, free: false },
        _ => Kind::Read,
    }
}

impl Calls {
    pub(crate) fn new(len: u32) -> Result<Self> {
        let mut entries = KVVec::with_capacity(len as usize, GFP_KERNEL)?;
        let mut free = KVVec::with_capacity(len as usize, GFP_KERNEL)?;
        for number in (0..len).rev() {
            entries.push(Entry { request: core::ptr::null_mut(), skip: 0 }, GFP_KERNEL)?;
            free.push(number, GFP_KERNEL)?;
        }
        let state = State { entries, free, first: core::ptr::null_mut(), last: core::ptr::null_mut(), by_rows: 0, asked: 0 };
        Ok(Self { state: KBox::pin_init(new_spinlock!(state, "raid_calls"), GFP_KERNEL)? })
    }

    /// Room for a batch.
    pub(crate) fn batch() -> Result<Batch> {
        Ok(KVVec::with_capacity(BATCH, GFP_KERNEL)?)
    }

    /// Puts a request at the end of the line.
    ///
    /// # Safety
    /// It is nobody else's, and stays valid until it is ended.
    pub(crate) unsafe fn push(&self, request: *mut RawRequest) {
        let mut state = self.state.lock();
        // SAFETY: The caller's promise; the line's links are only followed under this lock.
        unsafe {
            (*request).next = core::ptr::null_mut();
            ((*request).cut, (*request).pending, (*request).whole) = (0, 1, false);
            (*request).error = shim::WELL;
            if state.last.is_null() {
                state.first = request;
            } else {
                (*state.last).next = request;
            }
        }
        state.last = request;
        state.asked += 1;
    }

    /// Requests that ever came: whoever asks twice knows whether there were any in between.
    pub(crate) fn asked(&self) -> u64 {
        self.state.lock().asked
    }

    /// True if anybody waits in line.
    pub(crate) fn are_waiting(&self) -> bool {
        !self.state.lock().first.is_null()
    }

    /// Cuts pieces off the request in front, as many as there are entries and room for. None if nobody waits, or no entry is free.
    pub(crate) fn cut(&self, rows: &Rows, batch: &mut Batch) {
        batch.clear();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        // SAFETY: Whoever is in front is valid, and its fields are only touched under this lock.
        let Some(request) = (unsafe { state.first.as_mut() }) else { return };
        let pointer: *mut RawRequest = request;
        while !request.whole && batch.len() < BATCH {
            let Some(number) = state.free.pop() else { return };
            let (at, left) = (Sector(request.at + u64::from(request.cut)), Sectors((request.sectors - request.cut).into()));
            let kind = kind(request);
            let several = matches!(kind, Kind::Write { .. }) && request.cut >= state.by_rows;
            let tall = if several { rows.tallest(at, left) } else { None };
            let piece = rows.piece(at, left).filter(|_| kind != Kind::Flush);
            let len = tall.map_or(piece.map_or(left, |(_, len)| len), |tall| Sectors(tall.band.len.into()));
            if let Some(entry) = state.entries.get_mut(number as usize) {
                *entry = Entry { request: pointer, skip: request.cut };
            }
            request.cut += len.0 as u32;
            request.pending += 1;
            request.whole = request.cut >= request.sectors;
            // There is room: the batch is shorter than it can be.
            let _ = batch.push_within_capacity(Request { id: RequestId(number.into()), kind, at, len });
        }
    }

    /// The pieces of a batch were taken, but for those from `taken` on. The request in front leaves the line if all of it is, or
    /// if it was `refused` for good. True if the next one, or what is left of it, may be tried.
    pub(crate) fn fed(&self, batch: &Batch, taken: usize, refused: Option<Refused>) -> bool {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        // SAFETY: As in `cut`; only the feeder takes from the line, so it is the same one.
        let Some(request) = (unsafe { state.first.as_mut() }) else { return false };
        for piece in batch.iter().skip(taken).rev() {
            request.cut = piece.at.0.saturating_sub(request.at) as u32;
            request.pending -= 1;
            request.whole = false;
            // There is room: it was taken from there.
            let _ = state.free.push_within_capacity(piece.id.0 as u32);
        }
        match refused {
            None | Some(Refused::Busy) => {}
            Some(Refused::RowByRow) => {
                state.by_rows = request.cut + batch.get(taken).map_or(0, |piece| piece.len.0 as u32);
                return true;
            }
            Some(Refused::PastTheEnd | Refused::CrossesRow) => (request.whole, request.error) = (true, shim::LOST),
        }
        if !request.whole {
            return taken == batch.len();
        }
        state.by_rows = 0;
        let pointer: *mut RawRequest = request;
        state.first = request.next;
        if state.first.is_null() {
            state.last = core::ptr::null_mut();
        }
        request.pending -= 1;
        let ends = request.pending == 0;
        drop(guard);
        if ends {
            // SAFETY: No piece is under way and it is in no line: it is nobody's but ours.
            unsafe { shim::raid_request_end(pointer) };
        }
        true
    }

    /// Where a piece's bytes are.
    pub(crate) fn place(&self, id: RequestId) -> Option<Place> {
        let state = self.state.lock();
        let entry = state.entries.get(usize::try_from(id.0).ok()?)?;
        Some(Place { request: entry.request, skip_bytes: entry.skip * 512 })
    }

    /// A piece is done. True if somebody waits for its entry.
    pub(crate) fn done(&self, id: RequestId, well: bool) -> bool {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(entry) = state.entries.get(id.0 as usize) else { return false };
        let pointer = entry.request;
        // SAFETY: A request with a piece under way is valid, and its fields are only touched under this lock.
        let request = unsafe { &mut *pointer };
        request.pending -= 1;
        if !well {
            request.error = shim::LOST;
        }
        let ends = request.pending == 0;
        let _ = state.free.push_within_capacity(id.0 as u32);
        let waiting = !state.first.is_null();
        drop(guard);
        if ends {
            // SAFETY: As in `fed`.
            unsafe { shim::raid_request_end(pointer) };
        }
        waiting
    }
}
