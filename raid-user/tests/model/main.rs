//! The host's locking in every order that threads can take: its own files, with locks and atomics that loom steps through.
//!
//! What is tried: up to three threads and a handful of steps each. A wait that nobody ends, or a wake-up that is lost, is a deadlock,
//! which loom reports with the order that led there.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

mod media {
    pub(crate) use raid_user::media::SharedMediaMut;
}

mod host;

/// Tries every order, with at most so many threads stopped in the middle of something.
fn every_order(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(run);
}
