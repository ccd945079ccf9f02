//! Requests under way: a table that never grows. A caller takes entries for the pieces of his request, and sleeps until the last is done.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use raid_core::memory::{Memory, OutOfMemory};
use raid_core::request::{Error, RequestId};

use super::buffers::{Column, ROW_BYTES, Row, TALL_BYTES, Tall};
use super::memory::Heap;

/// Writes of several rows under way at a time, at most.
pub(super) const TALL_MAX: usize = 16;

/// Bytes that all of them have room for, if one alone does not take more.
const TALL_BYTES_ALL: usize = 8 << 20;

/// What became of a piece.
pub(super) type Outcome = Result<(), Error>;

struct Entry {
    row: Mutex<Row>,
    end: Mutex<End>,
}

/// A write of several rows.
struct TallEntry {
    columns: Box<[Mutex<Tall>]>,
    end: Mutex<End>,
}

/// How a piece ended, and who is to be woken by that.
#[derive(Default)]
struct End {
    outcome: Option<Outcome>,
    waiter: Option<Thread>,
}

struct State {
    free: Vec<u32>,
    /// Of the tall ones.
    free_tall: Vec<u32>,
    /// Callers that wait for entries, or for room in the engine.
    waiting: usize,
}

/// The table.
pub(super) struct Calls {
    entries: Box<[Entry]>,
    /// Their numbers go on behind those of the others.
    tall: Box<[TallEntry]>,
    state: Mutex<State>,
    /// Those of the waiting that the engine had no room for.
    full: AtomicUsize,
    changed: Condvar,
}

impl Calls {
    /// Room for `len` pieces, and for some writes of several rows of `columns` buffers each; for none if that is zero.
    pub(super) fn new(len: u32, columns: usize) -> Result<Self, OutOfMemory> {
        let entry = |_| Entry { row: Mutex::new(Column([0; ROW_BYTES])), end: Mutex::default() };
        let entries = Heap::array(len as usize, entry)?;
        let column = |_| Mutex::new(Column([0; TALL_BYTES]));
        let most = (TALL_BYTES_ALL / TALL_BYTES).checked_div(columns).map_or(0, |count| count.clamp(1, TALL_MAX));
        let tall = (0..most).map(|_| Ok(TallEntry { columns: Heap::array(columns, column)?, end: Mutex::default() }));
        let tall = tall.collect::<Result<Box<[_]>, OutOfMemory>>()?;
        let numbers = |from: u32, count: usize| {
            let mut free = Vec::new();
            free.try_reserve_exact(count).map_err(|_| OutOfMemory)?;
            free.extend((from..).take(count));
            Ok(free)
        };
        let state = State { free: numbers(0, entries.len())?, free_tall: numbers(len, tall.len())?, waiting: 0 };
        let (state, full) = (Mutex::new(state), AtomicUsize::new(0));
        Ok(Self { entries, tall, state, full, changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up to `ids.len()` entries, at least one: waits for that if it must. Says how many.
    pub(super) fn take(&self, ids: &mut [RequestId]) -> usize {
        let mut state = self.state();
        while state.free.is_empty() {
            state.waiting += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        let mut taken = 0;
        for id in ids {
            let Some(entry) = state.free.pop() else { break };
            *id = RequestId(entry.into());
            taken += 1;
        }
        taken
    }

    /// Takes entries for writes of several rows, as many of `ids` as there are just now. Says how many.
    pub(super) fn take_tall(&self, ids: &mut [RequestId]) -> usize {
        let mut state = self.state();
        let taken = ids.iter_mut().zip(std::iter::from_fn(|| state.free_tall.pop()));
        taken.map(|(id, entry)| *id = RequestId(entry.into())).count()
    }

    fn entry(&self, id: RequestId) -> Option<&Entry> {
        self.entries.get(usize::try_from(id.0).ok()?)
    }

    fn tall_entry(&self, id: RequestId) -> Option<&TallEntry> {
        self.tall.get(usize::try_from(id.0).ok()?.checked_sub(self.entries.len())?)
    }

    /// How a piece, or a write of several rows, ended.
    fn end(&self, id: RequestId) -> Option<MutexGuard<'_, End>> {
        let end = self.entry(id).map(|entry| &entry.end).or_else(|| Some(&self.tall_entry(id)?.end))?;
        Some(end.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A column of a write of several rows.
    pub(super) fn column(&self, id: RequestId, column: usize) -> Option<&Mutex<Tall>> {
        self.tall_entry(id)?.columns.get(column)
    }

    /// The bytes of a piece, from its first on.
    pub(super) fn cell(&self, id: RequestId) -> Option<&Mutex<Row>> {
        self.entry(id).map(|entry| &entry.row)
    }

    /// The same, held.
    pub(super) fn row(&self, id: RequestId) -> Option<MutexGuard<'_, Row>> {
        Some(self.cell(id)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A piece is done.
    pub(super) fn done(&self, id: RequestId, outcome: Outcome) {
        let Some(mut end) = self.end(id) else { return };
        end.outcome = Some(outcome);
        let waiter = end.waiter.take();
        drop(end);
        if let Some(waiter) = waiter {
            waiter.unpark();
        }
        // Whoever begins to wait for room just now is not seen: he looks again by himself.
        if self.full.load(Ordering::Relaxed) > 0 {
            drop(self.state());
            self.changed.notify_all();
        }
    }

    /// True if a piece is done, and nobody has heard of it yet.
    pub(super) fn is_done(&self, id: RequestId) -> bool {
        self.end(id).is_none_or(|end| end.outcome.is_some())
    }

    /// Waits until a piece is done.
    pub(super) fn wait(&self, id: RequestId) -> Outcome {
        loop {
            let Some(mut end) = self.end(id) else { return Err(Error::Lost) };
            if let Some(outcome) = end.outcome.take() {
                return outcome;
            }
            end.waiter = Some(thread::current());
            drop(end);
            thread::park();
        }
    }

    /// Waits until any piece of anybody may be done: for whoever was refused because the engine is full.
    pub(super) fn wait_for_room(&self) {
        let mut state = self.state();
        state.waiting += 1;
        self.full.fetch_add(1, Ordering::Relaxed);
        let patience = std::time::Duration::from_millis(1);
        let (mut state, _) = self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        self.full.fetch_sub(1, Ordering::Relaxed);
    }

    /// Gives entries back.
    pub(super) fn give(&self, ids: &[RequestId]) {
        let mut state = self.state();
        for id in ids.iter().filter_map(|id| u32::try_from(id.0).ok()) {
            let tall = id as usize >= self.entries.len();
            let free = if tall { &mut state.free_tall } else { &mut state.free };
            free.push(id);
        }
        let waiting = state.waiting > 0;
        drop(state);
        if waiting {
            self.changed.notify_all();
        }
    }
}
