//! What the workers do next: a queue that never grows, and a way to wait until nothing is left.
//!
//! A shard that is woken while it waits in the queue already is not put there twice. Its mark is taken away before it runs, so a
//! wake-up that comes while it runs puts it there again: none is lost. `tests/model` tries every order of that.

use std::collections::VecDeque;
use std::sync::PoisonError;

use raid_core::action::Action;

use super::sync::{AtomicBool, Condvar, Mutex, MutexGuard, Ordering};

/// One thing to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    /// Let a shard go on.
    Run(u16),
    /// An action that a member takes time for.
    Do(Action),
}

struct State {
    /// Shards to be run: that takes little time, and callers help.
    runs: VecDeque<u16>,
    actions: VecDeque<Action>,
    /// Jobs in somebody's hands.
    running: usize,
    /// Callers that look for shards to be run before they sleep.
    helpers: usize,
    /// Workers that sleep.
    idle: usize,
    stopped: bool,
}

/// The queue.
pub(super) struct Jobs {
    state: Mutex<State>,
    more: Condvar,
    quiet: Condvar,
    woken: Box<[AtomicBool]>,
}

impl Jobs {
    /// A queue with room for `capacity` jobs before it must grow.
    pub(super) fn new(shards: u16, capacity: usize) -> Self {
        let (runs, actions) = (VecDeque::with_capacity(shards.into()), VecDeque::with_capacity(capacity));
        let state = State { runs, actions, running: 0, helpers: 0, idle: 0, stopped: false };
        Self {
            state: Mutex::new(state),
            more: Condvar::new(),
            quiet: Condvar::new(),
            woken: (0..shards).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an action.
    pub(super) fn push(&self, action: Action) {
        let mut state = self.state();
        state.actions.push_back(action);
        let sleeps = state.idle > 0;
        drop(state);
        if sleeps {
            self.more.notify_one();
        }
    }

    /// A shard has work.
    pub(super) fn wake(&self, shard: u16) {
        let woken = self.woken.get(usize::from(shard)).is_some_and(|woken| !woken.swap(true, Ordering::AcqRel));
        if woken {
            let mut state = self.state();
            state.runs.push_back(shard);
            let wanted = state.idle > 0 && state.runs.len() > state.helpers;
            drop(state);
            if wanted {
                self.more.notify_one();
            }
        }
    }

    fn run(&self, job: Job, perform: &mut impl FnMut(Job)) {
        if let Job::Run(shard) = job
            && let Some(woken) = self.woken.get(usize::from(shard))
        {
            woken.store(false, Ordering::Release);
        }
        perform(job);
    }

    fn ran(state: &mut State, quiet: &Condvar) {
        state.running -= 1;
        if state.running == 0 && state.is_empty() {
            quiet.notify_all();
        }
    }

    /// Announces a caller who will [help](Helper::help): as long as it is there, workers are not woken for what it can do.
    pub(super) fn helper(&self) -> Helper<'_> {
        self.state().helpers += 1;
        Helper(self)
    }

    /// Works until stopped.
    pub(super) fn work(&self, mut perform: impl FnMut(Job)) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.take() {
                drop(state);
                self.run(job, &mut perform);
                state = self.state();
                Self::ran(&mut state, &self.quiet);
                continue;
            }
            if state.stopped {
                return;
            }
            state.idle += 1;
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Waits until there is nothing to do and nobody does anything.
    pub(super) fn wait_until_quiet(&self) {
        let mut state = self.state();
        while state.running > 0 || !state.is_empty() {
            state = self.quiet.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends the workers home when the queue is empty; `at_once`, before.
    pub(super) fn stop(&self, at_once: bool) {
        let mut state = self.state();
        state.stopped = true;
        if at_once {
            state.runs.clear();
            state.actions.clear();
        }
        drop(state);
        self.more.notify_all();
    }
}

impl State {
    /// What is to be done next, from now on in the caller's hands: shards first, which let others go on.
    fn take(&mut self) -> Option<Job> {
        let job = self.runs.pop_front().map(Job::Run).or_else(|| self.actions.pop_front().map(Job::Do))?;
        self.running += 1;
        Some(job)
    }

    fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.actions.is_empty()
    }
}

/// A caller who works along instead of waking somebody to work for him.
pub(super) struct Helper<'a>(&'a Jobs);

impl Helper<'_> {
    /// Runs shards until `done`, or until there are none.
    pub(super) fn help(&self, mut perform: impl FnMut(Job), mut done: impl FnMut() -> bool) {
        while !done() {
            let mut state = self.0.state();
            let Some(shard) = state.runs.pop_front() else { return };
            state.running += 1;
            drop(state);
            self.0.run(Job::Run(shard), &mut perform);
            Jobs::ran(&mut self.0.state(), &self.0.quiet);
        }
    }
}

impl Drop for Helper<'_> {
    /// What was left to this caller is somebody else's now.
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.helpers -= 1;
        let left = state.runs.len().saturating_sub(state.helpers).min(state.idle);
        drop(state);
        for _ in 0..left {
            self.0.more.notify_one();
        }
    }
}
