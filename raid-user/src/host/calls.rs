//! Requests under way: a table that never grows. A caller takes entries for the pieces of his request, and sleeps until the last is done.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use raid_core::memory::{Memory, OutOfMemory};
use raid_core::request::{Error, RequestId};

use super::buffers::{ROW_BYTES, Row};
use super::memory::Heap;

/// What became of a piece.
pub(super) type Outcome = Result<(), Error>;

struct Entry {
    row: Mutex<Row>,
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
    /// Callers that wait for entries, or for room in the engine.
    waiting: usize,
}

/// The table.
pub(super) struct Calls {
    entries: Box<[Entry]>,
    state: Mutex<State>,
    /// Those of the waiting that the engine had no room for.
    full: AtomicUsize,
    changed: Condvar,
}

impl Calls {
    pub(super) fn new(len: u32) -> Result<Self, OutOfMemory> {
        let entry = |_| Entry { row: Mutex::new(Row([0; ROW_BYTES])), end: Mutex::default() };
        let entries = Heap::array(len as usize, entry)?;
        let mut free = Vec::new();
        free.try_reserve_exact(entries.len()).map_err(|_| OutOfMemory)?;
        free.extend(0..len);
        let (state, full) = (Mutex::new(State { free, waiting: 0 }), AtomicUsize::new(0));
        Ok(Self { entries, state, full, changed: Condvar::new() })
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

    fn entry(&self, id: RequestId) -> Option<&Entry> {
        self.entries.get(usize::try_from(id.0).ok()?)
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
        let Some(entry) = self.entry(id) else { return };
        let waiter = {
            let mut end = entry.end.lock().unwrap_or_else(PoisonError::into_inner);
            end.outcome = Some(outcome);
            end.waiter.take()
        };
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
        let outcome = |entry: &Entry| entry.end.lock().unwrap_or_else(PoisonError::into_inner).outcome.is_some();
        self.entry(id).is_none_or(outcome)
    }

    /// Waits until a piece is done.
    pub(super) fn wait(&self, id: RequestId) -> Outcome {
        let Some(entry) = self.entry(id) else { return Err(Error::Lost) };
        loop {
            let mut end = entry.end.lock().unwrap_or_else(PoisonError::into_inner);
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
        state.free.extend(ids.iter().filter_map(|id| u32::try_from(id.0).ok()));
        let waiting = state.waiting > 0;
        drop(state);
        if waiting {
            self.changed.notify_all();
        }
    }
}
