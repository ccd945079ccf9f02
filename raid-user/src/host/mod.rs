//! The real host: the same core as the simulator's, over real media.
//!
//! It keeps two promises of [`raid_core::engine::Host`] that are easily missed: long writes are submitted at once
//! ([`raid_core::engine::submit_many`]), so that they become full stripes; and an action whose token's
//! [`seen`](raid_core::action::Token::seen) is older than the medium in its slot fails undone, since it was meant for the
//! member before.

mod assembled;
mod buffers;
mod calls;
mod checks;
mod compute;
pub mod container;
pub mod dm_store;
mod forgets;
mod inner;
mod jobs;
pub mod look;
mod marks;
pub mod md_store;
mod membership;
pub(crate) mod memory;
pub mod mirror_store;
mod observe;
mod one_flag;
mod pieces;
mod replay;
mod running;
mod seats;
pub mod start;
mod start_error;
mod tall;
mod turn;

/// What threads meet at. `tests/model` has another one, which tries every order.
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, Ordering};
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard, RwLock};
}

pub use checks::Checks;
pub use observe::Regions;
pub use running::{Running, Tuning};
pub use start_error::StartError;

use crate::array::OpenOptions;
use crate::discover::{DmTable, Found, NoTable, OpenedMut};
use raid_formats::assemble::Claimant as _;
use raid_formats::record::Format;

/// Makes the array of these members ready to run, whatever its format. `all` are the members of all arrays that were given: where a format
/// has one record for several volumes, all of its disks are kept up to date.
///
/// # Errors
/// [`StartError`].
pub fn start_array(found: Vec<Found>, all: &[Found], options: &OpenOptions) -> Result<start::Start, StartError> {
    match found.first().map(|found| found.record().format) {
        Some(format) if format.is_kin(Format::Md12) || [Format::DmRaid, Format::Lvm2].contains(&format) => {
            md_store::md_start(found, options)
        }
        Some(_) => container::container_start(found, all, options),
        None => md_store::md_start(found, options),
    }
}

/// The same of a table's line: its devices are opened for writing, and locked. Those of dm-raid whose metadata are empty can be filled.
///
/// # Errors
/// [`StartError`].
pub fn start_table(table: &DmTable, options: &OpenOptions) -> Result<start::Start, StartError> {
    let opened = table.open_mut().map_err(|error| match error {
        NoTable::Media(error) => StartError::Media(error),
        NoTable::Line(why) => StartError::NotYet(why),
        other => StartError::Contradiction(other.to_string()),
    })?;
    match opened {
        OpenedMut::Raid(devices) => dm_store::dm_start_of(devices, options),
        OpenedMut::Mirror(mirror) => mirror_store::mirror_start(mirror),
    }
}
