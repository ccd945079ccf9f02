//! Checks and repairs of a running array: orders to the core, and a list of what it found.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raid_core::check::{Finding, Order, Refused, State, Tally};
use raid_core::engine::{self, Host as _};
use raid_core::rows::{ROW_SECTORS, RowNo, Rows};
use raid_core::{Member, Sector};

use super::running::Running;

/// Findings that are kept; more are only counted.
const FINDINGS_MAX: usize = 65_536;

/// How often somebody who waits looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
struct Found {
    listed: Vec<Finding>,
    unlisted: u64,
}

/// What the check under way, or the last one, found.
#[derive(Debug, Default)]
pub(super) struct Findings(Mutex<Found>);

impl Findings {
    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, finding: Finding) {
        let mut found = self.lock();
        if found.listed.len() < FINDINGS_MAX {
            found.listed.push(finding);
        } else {
            found.unlisted += 1;
        }
    }
}

/// How far a check is, and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// [`State::Resting`] when it is through.
    pub state: State,
    /// Rows and findings, counted.
    pub tally: Tally,
    /// What was found, by rows. [`Finding::member_bytes`] and [`Finding::array`] say where that is.
    pub findings: Vec<Finding>,
    /// Findings beyond the 65,536 that are kept.
    pub unlisted: u64,
}

impl Running {
    /// Begins to check, and to repair if the order says so. Reads and writes of others go on meanwhile. It shares
    /// [`pause`](Self::pause), [`resume`](Self::resume) and the rates with recovery.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, order: Order) -> Result<(), Refused> {
        // Held until the pass has begun: the list is that of the last pass that did.
        let mut found = self.inner.findings.lock();
        if self.inner.with_check(|check| check.state()) != State::Resting {
            return Err(Refused::Busy);
        }
        *found = Found::default();
        drop(found);
        engine::check(&*self.inner, order)
    }

    /// Calls the check off. It rests when the rows under way are through.
    pub fn stop_check(&self) {
        engine::stop_check(&*self.inner);
    }

    /// How far the check is, and what it found so far.
    #[must_use]
    pub fn checks(&self) -> Checks {
        let (state, tally) = self.inner.with_check(|check| (check.state(), check.tally()));
        let found = self.inner.findings.lock();
        let (mut findings, unlisted) = (found.listed.clone(), found.unlisted);
        drop(found);
        findings.sort_by_key(|finding| (finding.row, finding.band.first));
        Checks { state, tally, findings, unlisted }
    }

    /// What is left of the check under way, of each member; nothing if there is none.
    #[must_use]
    pub fn left_to_check_bytes(&self) -> Option<u64> {
        let (state, tally) = self.inner.with_check(|check| (check.state(), check.tally()));
        (state != State::Resting).then(|| self.bytes_of(tally.total.saturating_sub(tally.done())))
    }

    /// True if checks rest until [`resume`](Self::resume).
    #[must_use]
    pub fn is_check_held(&self) -> bool {
        self.inner.with_check(|check| check.is_held())
    }

    /// The bytes of a finding on a member's medium, counted from the medium's start. `None` if the member has no part in the row, or nobody
    /// is in its slot.
    #[must_use]
    pub fn medium_bytes(&self, finding: &Finding, member: Member) -> Option<Range<u64>> {
        let health = self.health();
        let data = self.inner.seats.at(health.seat(member), health.epoch())?.offset_bytes(Sector(0))?;
        let bytes = finding.member_bytes(self.rows(), member)?;
        Some(data.checked_add(bytes.start)?..data.checked_add(bytes.end)?)
    }

    /// Waits until no check is under way. Not for ever only if nobody pauses.
    #[must_use]
    pub fn wait_for_check(&self) -> Checks {
        loop {
            self.wait_until_quiet();
            if self.inner.with_check(|check| check.state()) == State::Resting {
                return self.checks();
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The array's rows: what an order is about, and what tells where a finding is.
    #[must_use]
    pub fn rows(&self) -> &Rows {
        self.inner.rows()
    }

    /// The rows that hold these sectors of the array; with parity, all of their stripes. None if there are no such sectors.
    #[must_use]
    pub fn rows_of(&self, array: Range<Sector>) -> Option<Range<RowNo>> {
        let rows = self.inner.rows();
        let last = Sector(array.end.0.checked_sub(1)?);
        let (from, to) = (rows.geometry().map(array.start)?, rows.geometry().map(last)?);
        let chunk_rows = rows.geometry().chunk().0 / ROW_SECTORS;
        let (from, to) = match rows.geometry().stripe(from.stripe) {
            Some(_) => (from.stripe.0 * chunk_rows, (to.stripe.0 + 1) * chunk_rows),
            None => (array.start.0 / ROW_SECTORS, array.end.0.div_ceil(ROW_SECTORS)),
        };
        (from < to).then_some(RowNo(from)..RowNo(to.min(rows.count())))
    }
}
