//! Requests for the workers, first in first out. Whoever adds one is limited elsewhere: a connection has only so many in flight.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

struct State<T> {
    waiting: VecDeque<T>,
    /// Workers that sleep.
    idle: usize,
    closed: bool,
}

/// The queue.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    more: Condvar,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), idle: 0, closed: false };
        Self { state: Mutex::new(state), more: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one.
    pub(super) fn push(&self, item: T) {
        let mut state = self.state();
        state.waiting.push_back(item);
        let sleeps = state.idle > 0;
        drop(state);
        if sleeps {
            self.more.notify_one();
        }
    }

    /// The next one; waits for it. None once the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.state();
        loop {
            if let Some(item) = state.waiting.pop_front() {
                return Some(item);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// No more will come.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.more.notify_all();
    }
}
