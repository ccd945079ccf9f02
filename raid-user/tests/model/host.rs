//! Stands where `raid_user::host` does for the files that are tried.

#[path = "../../src/host/jobs.rs"]
mod jobs;
#[path = "jobs.rs"]
mod of_jobs;
#[path = "seats.rs"]
mod of_seats;
#[path = "../../src/host/seats.rs"]
#[expect(dead_code, reason = "the host asks for more than is tried here")]
mod seats;

mod start {
    pub(crate) use raid_user::host::start::Slot;
}

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, RwLock};
}
