//! Why an array is not run, whatever its format.

use std::fmt;

use raid_core::Extent;
use raid_core::health::HealthError;

use crate::array::OpenError;
use crate::discover::NoMember;
use crate::media::{self, SharedMediaMut};

/// Runs in doubt that a message lists.
const RUNS_LISTED: usize = 8;

/// Why an array is not run. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It cannot even be opened for reading.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A member cannot be opened for writing.
    #[error(transparent)]
    Media(#[from] media::OpenError),
    /// A member is none any more, now that it is locked.
    #[error("{0}")]
    Gone(NoMember),
    /// It can be read, but a write would spoil something that is not kept up to date yet.
    #[error("{0}: not yet; it can be opened read-only")]
    NotYet(String),
    /// Its format is not written to.
    #[error("{0}; it can be opened read-only")]
    Unwritable(String),
    /// Members of one array contradict each other.
    #[error("{0}")]
    Contradiction(String),
    /// What is written would make something stale that is not here.
    #[error("{0}; give it, too")]
    NotGiven(String),
    /// A log of that name closes its write hole, and would not be written.
    #[error(
        "its {0} would not be kept while it runs; --without-log replays it onto the members and runs the array all the same: \
             a crash then costs a resync of everything, and with a member missing it can cost what that held"
    )]
    LogNotKept(&'static str),
    /// A log could not be replayed onto the members.
    #[error("{0}")]
    Replay(String),
    /// Parity is in doubt and a member is missing: what it held there cannot be known.
    #[error("not stopped cleanly and degraded: {}; read-only, what parity would have to recover there gives errors; \
             --trust-dirty-parity believes it, and can serve wrong bytes there", doubted(.0))]
    DirtyDegraded(Vec<Extent>),
}

impl From<HealthError> for StartError {
    fn from(error: HealthError) -> Self {
        Self::Contradiction(error.to_string())
    }
}

/// Runs of member sectors in words.
fn doubted(runs: &[Extent]) -> String {
    let sectors: u64 = runs.iter().map(|run| run.len.0).sum();
    let list: Vec<String> = runs
        .iter()
        .take(RUNS_LISTED)
        .map(|run| format!("{}-{}", run.at.0, run.at.0.saturating_add(run.len.0).saturating_sub(1)))
        .collect();
    let more =
        if runs.len() > RUNS_LISTED { format!(" and {} more runs", runs.len() - RUNS_LISTED) } else { String::new() };
    format!("{sectors} sectors of each member are in doubt ({}{more})", list.join(", "))
}

pub(super) fn not_yet<T>(what: impl fmt::Display) -> Result<T, StartError> {
    Err(StartError::NotYet(what.to_string()))
}

/// Refuses blocks of another size than 512 bytes: a band of a row can be one sector.
pub(super) fn check_block(media: &SharedMediaMut) -> Result<(), StartError> {
    match media.block_bytes() {
        512 => Ok(()),
        other => not_yet(format!("{}: blocks of {other} bytes", media.describe())),
    }
}
