//! What the workers do next: a queue that never grows, and a way to wait until nothing is left.
//!
//! A shard that is woken while it waits in the queue already is not put there twice. Its mark is taken away before it runs, so a
//! wake-up that comes while it runs puts it there again: none is lost.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use raid_core::action::Action;

/// One thing to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    /// Let a shard go on.
    Run(u16),
    /// An action that a member takes time for.
    Do(Action),
}

struct State {
    queue: VecDeque<Job>,
    /// Jobs in the workers' hands.
    running: usize,
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
        let state = State { queue: VecDeque::with_capacity(capacity), running: 0, idle: 0, stopped: false };
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

    /// Adds a job.
    pub(super) fn push(&self, job: Job) {
        let mut state = self.state();
        state.queue.push_back(job);
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
            self.push(Job::Run(shard));
        }
    }

    /// Works until stopped.
    pub(super) fn work(&self, mut perform: impl FnMut(Job)) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.running += 1;
                drop(state);
                if let Job::Run(shard) = job
                    && let Some(woken) = self.woken.get(usize::from(shard))
                {
                    woken.store(false, Ordering::Release);
                }
                perform(job);
                state = self.state();
                state.running -= 1;
                if state.running == 0 && state.queue.is_empty() {
                    self.quiet.notify_all();
                }
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
        let state = self.state();
        let busy = |state: &mut State| state.running > 0 || !state.queue.is_empty();
        drop(self.quiet.wait_while(state, busy).unwrap_or_else(PoisonError::into_inner));
    }

    /// Sends the workers home when the queue is empty; `at_once`, before.
    pub(super) fn stop(&self, at_once: bool) {
        let mut state = self.state();
        state.stopped = true;
        if at_once {
            state.queue.clear();
        }
        drop(state);
        self.more.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn a_shard_woken_while_it_runs_runs_again_and_one_that_waits_does_not_wait_twice() {
        let jobs = Jobs::new(2, 4);
        jobs.wake(1);
        jobs.wake(1);
        jobs.stop(false);
        let mut runs = 0;
        jobs.work(|_| {
            runs += 1;
            if runs == 1 {
                jobs.wake(1);
            }
        });
        assert_eq!(runs, 2);
    }

    #[test]
    fn whoever_waits_for_quiet_waits_for_what_jobs_add() {
        let jobs = Jobs::new(1, 4);
        let (done, left) = (AtomicU32::new(0), AtomicU32::new(1000));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    jobs.work(|_| {
                        done.fetch_add(1, Ordering::Relaxed);
                        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                            jobs.push(Job::Run(0));
                        }
                    });
                });
            }
            jobs.push(Job::Run(0));
            jobs.wait_until_quiet();
            assert_eq!(done.load(Ordering::Relaxed), 1001);
            jobs.stop(false);
        });
    }
}
