//! Checks and repairs of a running array.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use raid_core::check::{self, Finding, Order, State, Tally, Trust};
use raid_core::engine::{self, Host as _};
use raid_core::rows::{ROW_SECTORS, RowNo, Rows};
use raid_core::{SECTOR_BYTES, Sectors};

use super::running::Running;

/// Findings that are kept; of more only the number is.
const FINDINGS_MAX: usize = 65_536;

#[derive(Default)]
struct State_ {
    found: Vec<Finding>,
    unlisted: u64,
}

/// What a check found.
#[derive(Default)]
pub(super) struct Findings(Mutex<State_>);
