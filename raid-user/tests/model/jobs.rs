//! The queue: no wake-up is lost, and whoever waits for quiet waits for all.

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use raid_core::action::Action;
use raid_core::request::RequestId;

use super::jobs::{Job, Jobs};
use crate::every_order;

/// A queue with what its shards have to do: each wake-up leaves a piece, whoever runs the shard takes all that are there.
struct World {
    jobs: Jobs,
    left: Mutex<u32>,
    done: AtomicU32,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self { jobs: Jobs::new(1, 4), left: Mutex::new(0), done: AtomicU32::new(0) })
    }

    /// As the engine does it: what is to be done lies there before the shard is woken.
    fn ask(&self) {
        *self.left.lock().unwrap() += 1;
        self.jobs.wake(0);
    }

    fn perform(&self, job: Job) {
        let taken = match job {
            Job::Run(_) => std::mem::take(&mut *self.left.lock().unwrap()),
            Job::Do(action) => u32::from(matches!(action, Action::Complete { .. })),
        };
        self.done.fetch_add(taken, Ordering::Relaxed);
    }

    fn done(&self) -> u32 {
        self.done.load(Ordering::Relaxed)
    }
}

fn worker(world: &Arc<World>) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || world.jobs.work(|job| world.perform(job)))
}

/// Wakes come while the shard waits, runs, or has just run.
#[test]
fn every_wake_up_is_followed_by_a_run_that_sees_why() {
    every_order(3, || {
        let world = World::new();
        let worker = worker(&world);
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.ask())
        };
        world.ask();
        other.join().unwrap();
        world.jobs.wait_until_quiet();
        assert_eq!(world.done(), 2);
        world.jobs.stop(false);
        worker.join().unwrap();
    });
}

/// A helper that is there keeps workers asleep; what it did not do when it goes is theirs.
#[test]
fn what_a_helper_leaves_is_done_by_workers() {
    every_order(3, || {
        let world = World::new();
        let worker = worker(&world);
        let helper = world.jobs.helper();
        world.ask();
        let mut turns = 0;
        helper.help(
            |job| world.perform(job),
            || {
                turns += 1;
                // One more comes when this one has what it came for.
                if turns == 2 {
                    world.ask();
                }
                turns == 2
            },
        );
        drop(helper);
        world.jobs.wait_until_quiet();
        assert_eq!(world.done(), turns.min(2));
        world.jobs.stop(false);
        worker.join().unwrap();
    });
}

/// Two helpers, and one leaves while the other's shard is still in the queue.
#[test]
fn a_helper_that_goes_takes_nobody_elses_help_away() {
    every_order(2, || {
        let world = World::new();
        let worker = worker(&world);
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let helper = world.jobs.helper();
                world.ask();
                helper.help(|job| world.perform(job), || false);
            })
        };
        let helper = world.jobs.helper();
        world.ask();
        drop(helper);
        other.join().unwrap();
        world.jobs.wait_until_quiet();
        assert_eq!(world.done(), 2);
        world.jobs.stop(false);
        worker.join().unwrap();
    });
}

#[test]
fn whoever_waits_for_quiet_waits_for_what_jobs_add() {
    every_order(3, || {
        let world = World::new();
        let more = Arc::new(AtomicU32::new(2));
        let worker = |world: &Arc<World>| {
            let (world, more) = (Arc::clone(world), Arc::clone(&more));
            thread::spawn(move || {
                world.jobs.work(|job| {
                    world.perform(job);
                    if more.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                        world.ask();
                    }
                });
            })
        };
        let workers = [worker(&world), worker(&world)];
        world.ask();
        world.jobs.wait_until_quiet();
        assert_eq!(world.done(), 3);
        world.jobs.stop(false);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

/// Stopped in order, all that was asked for is done first.
#[test]
fn who_is_sent_home_finishes_what_is_in_the_queue() {
    every_order(3, || {
        let world = World::new();
        let worker = worker(&world);
        world.jobs.push(Action::Complete { request: RequestId(0), result: Ok(()) });
        world.ask();
        world.jobs.stop(false);
        worker.join().unwrap();
        assert_eq!(world.done(), 2);
    });
}
