//! The pass that heals: redundancy in doubt after a crash, and members that are being filled.
//!
//! One pass goes up through the rows, round and round. In each region it has every row healed that anybody wants, a window of
//! them at a time, by tasks like any other: it moves no data itself. A row's heal does whatever the row needs, so one pass serves a
//! resync and any number of members being filled. Who joins in the middle is served from the next row on, and the pass goes once
//! around for him (`lap`). Marks are made durable every so many rows, and when the host wants a pause.

mod lap;
mod pace;
mod state;

use core::num::NonZeroU64;

use crate::broadcast::View;
use crate::health::{Epoch, Filling, REBUILDING_MAX};
use crate::region::RegionNo;
use crate::rows::{RowNo, Rows};
use crate::stripe::Limits;
use crate::units::{Member, Sector};

use lap::Lap;
pub(crate) use pace::Pace;

pub use pace::Rates;
pub use state::{Event, State};

/// What recovery wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryStep {
    /// Begin with a region; [`Recovery::visited`] is told whether it is in doubt, and whether the log has its bit.
    Visit {
        /// The region.
        region: RegionNo,
        /// All rows in doubt there will be seen: its doubt can be ended.
        whole: bool,
    },
    /// Heal a row; [`Recovery::healed`] is told.
    Heal(RowNo),
    /// A region in doubt is through.
    End {
        /// The region.
        region: RegionNo,
        /// All rows are in order.
        healed: bool,
    },
    /// Flush all members; [`Recovery::flushed`] is told.
    Flush,
    /// The data of a member are durable up to a mark, or all of them.
    Move {
        /// The member.
        member: Member,
        /// Up to where; everywhere if `None`.
        mark: Option<Sector>,
        /// Since when it is being filled: who came later is not meant.
        since: Epoch,
    },
}

/// Rows of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Done.
    pub done: u64,
    /// Of so many.
    pub total: u64,
}

/// How far the pass is: what a host can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub state: State,
    /// The next row.
    pub at: RowNo,
    /// Redundancy that was in doubt at the start.
    pub resync: Option<Share>,
    /// Each member that is being filled.
    pub members: [Option<(Member, Share)>; REBUILDING_MAX],
    /// Rows that could not be healed.
    pub failures: u64,
}

/// How far a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// The pass works for it.
    Filling,
    /// It has all rows; the log is not on it yet.
    Filled,
    /// The members were told that it is as good as any.
    Told,
    /// A row could not be had: it stays what it is.
    GivenUp,
}

/// A member being filled.
#[derive(Clone, Copy, Debug, Hash)]
struct Target {
    filling: Filling,
    lap: Lap,
    stage: Stage,
    /// Its part of the current round of marks is done.
    moved: bool,
}

impl Target {
    fn is_active(&self) -> bool {
        self.stage == Stage::Filling
    }
}

/// The region that the pass is in.
#[derive(Clone, Copy, Debug, Hash)]
struct Region {
    number: RegionNo,
    end: u64,
    doubt: bool,
    failed: bool,
}

/// The machine.
#[derive(Clone, Debug, Hash)]
pub struct Recovery {
    view: View,
    rows: u64,
    region_rows: NonZeroU64,
    window: u16,
    checkpoint_rows: u64,
    state: State,
    /// The next row.
    cursor: u64,
    region: Option<Region>,
    /// Rows under way.
    pending: u16,
    /// The flush was asked for.
    asked: bool,
    /// The region is being asked about, and what it needs may be more by now.
    stale: bool,
    held: bool,
    pace: Pace,
    doubt: Option<Lap>,
    targets: [Option<Target>; REBUILDING_MAX],
    /// The newest member of which the log is durable on all.
    logged: Epoch,
    /// The first and the last row that failed since marks were moved.
    failed: Option<(u64, u64)>,
    /// The first row in doubt that failed.
    doubt_failed: Option<u64>,
    /// The first row in doubt at the start, until all that was healed there is durable.
    unsettled: Option<u64>,
    failures: u64,
}

impl Recovery {
    /// A pass over `rows` rows, which begins as soon as it is asked: for regions in doubt from row `doubt` on, and for members that
    /// are being filled.
    #[must_use]
    pub fn new(view: View, limits: &Limits, rows: u64, doubt: Option<RowNo>) -> Self {
        Self {
            view,
            rows,
            region_rows: NonZeroU64::new(limits.region_rows).unwrap_or(NonZeroU64::MIN),
            window: limits.heal_window.max(1),
            checkpoint_rows: limits.checkpoint_rows.max(1),
            state: State::Resting,
            cursor: 0,
            region: None,
            pending: 0,
            asked: false,
            stale: false,
            held: false,
            pace: Pace::new(),
            doubt: doubt.map(|from| Lap::new(from.0.min(rows), rows, 0)),
            targets: [None; REBUILDING_MAX],
            logged: Epoch(0),
            failed: None,
            doubt_failed: None,
            unsettled: doubt.map(|from| from.0),
            failures: 0,
        }
    }

    /// Rows that could not be healed so far.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.failures
    }

    /// True if nothing is left to do.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        let filled = |target: &Target| matches!(target.stage, Stage::Filling | Stage::Filled);
        self.state == State::Resting && self.doubt.is_none() && !self.targets.iter().flatten().any(filled)
    }

    /// True if the host paused it; rows under way may still come in.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// True if the host paused it, and nothing is under way any more.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.state == State::Paused
    }

    /// The first row whose redundancy may be out of order, of those that were in doubt at the start. What lies before is durable
    /// after a flush. `None` if there is none.
    #[must_use]
    pub fn doubt_from(&self) -> Option<RowNo> {
        let low = self.doubt.map(|lap| lap.low());
        low.into_iter().chain(self.doubt_failed).min().map(RowNo)
    }

    /// The first row that a copy may not have as its member has it, because redundancy was in doubt there at the start: until all was
    /// healed and a flush made it durable. `None` from then on.
    #[must_use]
    pub fn unsettled(&self) -> Option<RowNo> {
        self.unsettled.map(RowNo)
    }

    /// Rows that the pass has still to see for members being filled; `None` if there are none.
    #[must_use]
    pub fn rows_to_fill(&self) -> Option<u64> {
        self.active().map(|target| target.lap.left(self.cursor)).max()
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let share = |lap: &Lap| Share { done: self.rows.saturating_sub(lap.left(self.cursor)), total: self.rows };
        let member = |target: Target| (target.filling.member, share(&target.lap));
        Progress {
            state: self.state,
            at: RowNo(self.cursor),
            resync: self.doubt.as_ref().map(share),
            members: self.targets.map(|target| target.map(member)),
            failures: self.failures,
        }
    }

    /// Stops, or goes on. What is under way comes in first, and marks are moved over it.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// How fast it may go from now on; without limit until this is called. With a limit, it stands still until the first
    /// [`tick`](Self::tick).
    pub fn set_rates(&mut self, rates: Rates) {
        self.pace.set(rates);
    }

    /// So much time went by; `busy` if the host has I/O of its own.
    pub fn tick(&mut self, elapsed_ms: u64, busy: bool) {
        self.pace.tick(elapsed_ms, busy);
    }

    /// Takes news of the members.
    pub fn set_view(&mut self, view: &View) {
        self.view.learn(view);
    }

    /// All pages of the log are durable on whoever joined up to this epoch.
    pub fn logged(&mut self, epoch: Epoch) {
        self.logged = self.logged.max(epoch);
    }

    /// Brings the list of members being filled up to date.
    fn join(&mut self, rows: &Rows) {
        let view = self.view;
        for target in &mut self.targets {
            let came = |held: &Target| view.health.fillings().any(|filling| same(&filling, &held.filling));
            target.take_if(|held| !came(held));
        }
        if self.is_resting() {
            self.cursor = 0;
        }
        for filling in view.health.fillings() {
            if self.targets.iter().flatten().any(|target| same(&target.filling, &filling)) {
                continue;
            }
            let lap = Lap::new(rows.first_uncovered(filling.mark).0, self.rows, self.cursor);
            self.stale |= self.state == State::Visiting;
            // Whose mark stands at the end has no row to wait for.
            let stage = if lap.is_through() { Stage::Filled } else { Stage::Filling };
            if let Some(free) = self.targets.iter_mut().find(|target| target.is_none()) {
                *free = Some(Target { filling, lap, stage, moved: true });
            }
        }
    }

    /// Whether the region that was to be visited is in doubt, and whether the log has its bit. Without one, members that are caught up by
    /// the log lack nothing there.
    pub fn visited(&mut self, doubt: bool, marked: bool) {
        let number = self.cursor / self.region_rows;
        let end = number.saturating_add(1).saturating_mul(self.region_rows.get()).min(self.rows);
        if core::mem::take(&mut self.stale) {
            self.go(Event::Again);
        } else if doubt || self.active().any(|target| wants(target, self.cursor, end, marked)) {
            self.region = Some(Region { number: RegionNo(number), end, doubt, failed: false });
            self.go(Event::Visited);
        } else {
            self.cursor = end;
            self.go(Event::Again);
        }
    }

    /// How a row went.
    pub fn healed(&mut self, row: RowNo, well: bool) {
        self.pending = self.pending.saturating_sub(1);
        if well {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let (first, last) = self.failed.unwrap_or((row.0, row.0));
        self.failed = Some((first.min(row.0), last.max(row.0)));
        if let Some(region) = &mut self.region {
            region.failed = true;
            if region.doubt {
                self.doubt_failed = Some(self.doubt_failed.map_or(row.0, |first| first.min(row.0)));
            }
        }
    }

    /// The members are flushed; `well` if that may be believed.
    pub fn flushed(&mut self, well: bool) {
        self.go(Event::Flushed);
        if !well {
            self.failed = Some((0, u64::MAX));
        } else if self.doubt.is_none() && self.doubt_failed.is_none() {
            self.unsettled = None;
        }
        for target in self.targets.iter_mut().flatten() {
            target.moved = !target.is_active();
        }
    }

    /// What to do next. The answer changes after every other call.
    #[must_use]
    pub fn poll(&mut self, rows: &Rows) -> Option<RecoveryStep> {
        self.join(rows);
        loop {
            let before = self.state;
            let step = match self.state {
                State::Resting => self.rest(),
                State::Healing => self.heal(),
                State::Moving => self.next_move(rows),
                State::Draining if self.pending == 0 => self.going(Event::Drained),
                State::Paused if !self.held => self.going(Event::Resume),
                State::Flushing if !self.asked => {
                    self.asked = true;
                    Some(RecoveryStep::Flush)
                }
                State::Visiting | State::Draining | State::Flushing | State::Paused => None,
            };
            if step.is_some() || self.state == before {
                return step;
            }
        }
    }

    /// The only place where the state changes.
    fn go(&mut self, event: Event) {
        let next = self.state.after(event);
        debug_assert!(next.is_some(), "{:?} cannot meet {event:?}", self.state);
        self.state = next.unwrap_or(self.state);
    }

    fn going(&mut self, event: Event) -> Option<RecoveryStep> {
        self.go(event);
        None
    }

    fn active(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().flatten().filter(|target| target.is_active())
    }

    /// The next row that anybody wants, at the cursor or ahead of it.
    fn next_row(&self) -> Option<u64> {
        let laps = self.active().map(|target| &target.lap).chain(&self.doubt);
        laps.filter_map(|lap| lap.next(self.cursor)).min()
    }

    /// The same within the region that the pass is in. A region in doubt wants all its rows.
    fn next_here(&self, region: &Region) -> Option<u64> {
        let next = if region.doubt { Some(self.cursor) } else { self.next_row() };
        next.filter(|row| *row < region.end)
    }

    /// True if a mark could be moved by a checkpoint's distance.
    fn is_due(&self) -> bool {
        self.active().any(|target| target.lap.gain(self.cursor) >= self.checkpoint_rows)
    }

    /// Nothing is under way: decides what is next.
    fn rest(&mut self) -> Option<RecoveryStep> {
        if self.view.broken {
            return None;
        }
        if let Some(lap) = &mut self.doubt {
            lap.reach(self.cursor);
        }
        self.doubt.take_if(|lap| lap.is_through());
        if let Some(region) = self.region.filter(|region| self.next_here(region).is_none()) {
            self.region = None;
            self.cursor = self.cursor.max(region.end);
            if region.doubt {
                return Some(RecoveryStep::End { region: region.number, healed: !region.failed });
            }
        }
        let (logged, unsettled) = (self.logged, self.unsettled.is_some());
        if self.doubt_failed.is_some() {
            // In a row in doubt that cannot be healed, a copy may hold something else than its member.
            let copies = self.targets.iter_mut().flatten().filter(|target| target.filling.copy);
            copies.filter(|copy| copy.stage != Stage::Told).for_each(|copy| copy.stage = Stage::GivenUp);
        }
        let has_all = |target: &&mut Target| {
            target.stage == Stage::Filled && target.filling.since <= logged && !(unsettled && target.filling.copy)
        };
        if let Some(target) = self.targets.iter_mut().flatten().find(has_all) {
            target.stage = Stage::Told;
            let Filling { member, since, .. } = target.filling;
            return Some(RecoveryStep::Move { member, mark: None, since });
        }
        if self.is_to_settle() {
            self.asked = false;
            return self.going(Event::Save);
        }
        let next = self.next_row();
        let stops = self.held || next.is_none() || self.failed.is_some();
        if self.active().any(|target| target.lap.gain(self.cursor) > 0) && (stops || self.is_due()) {
            self.asked = false;
            return self.going(Event::Save);
        }
        if self.held {
            return self.going(Event::Hold);
        }
        self.begin(next)
    }

    /// True if a copy has all, and what was healed for it is not durable yet.
    fn is_to_settle(&self) -> bool {
        let waits = |target: &Target| target.filling.copy && target.stage == Stage::Filled;
        self.doubt.is_none()
            && self.unsettled.is_some()
            && self.failed.is_none()
            && self.targets.iter().flatten().any(waits)
    }

    /// Goes on with this row; without one, from the start if anybody wants that.
    fn begin(&mut self, next: Option<u64>) -> Option<RecoveryStep> {
        self.cursor = match next {
            Some(row) => row,
            None => {
                self.give_up();
                let laps = self.targets.iter_mut().flatten().map(|target| &mut target.lap).chain(&mut self.doubt);
                laps.for_each(Lap::turn);
                self.cursor = 0;
                self.next_row()?
            }
        };
        if self.region.is_some_and(|region| self.cursor < region.end) {
            return self.going(Event::Continue);
        }
        let region = self.cursor / self.region_rows;
        let first = self.doubt.map_or(0, |lap| lap.low()).max(region.saturating_mul(self.region_rows.get()));
        self.stale = false;
        self.go(Event::Begin);
        Some(RecoveryStep::Visit { region: RegionNo(region), whole: self.cursor <= first })
    }

    /// The next row to be healed; `None` if the window is full, or the purse empty.
    fn heal(&mut self) -> Option<RecoveryStep> {
        let next = self.region.and_then(|region| self.next_here(&region));
        let Some(row) = next.filter(|_| !self.held && !self.is_due() && !self.view.broken) else {
            return self.going(Event::Enough);
        };
        if self.pending >= self.window || !self.pace.spend() {
            return None;
        }
        self.pending += 1;
        self.cursor = row + 1;
        Some(RecoveryStep::Heal(RowNo(row)))
    }

    /// Whoever wanted a row that could not be had is given up.
    fn give_up(&mut self) {
        let Some((first, last)) = self.failed.take() else { return };
        for target in self.targets.iter_mut().flatten() {
            if target.is_active() && target.lap.had(first, last) {
                target.stage = Stage::GivenUp;
            }
        }
    }

    /// The next mark to be moved: it covers only what was seen without a gap.
    fn next_move(&mut self, rows: &Rows) -> Option<RecoveryStep> {
        self.give_up();
        let cursor = self.cursor;
        for target in self.targets.iter_mut().flatten() {
            if core::mem::replace(&mut target.moved, true) || !target.is_active() || target.lap.gain(cursor) == 0 {
                continue;
            }
            target.lap.reach(cursor);
            if target.lap.is_through() {
                target.stage = Stage::Filled;
                continue;
            }
            let Filling { member, since, .. } = target.filling;
            if let Some(mark) = rows.mark_below(RowNo(target.lap.low())) {
                return Some(RecoveryStep::Move { member, mark: Some(mark), since });
            }
        }
        self.going(Event::Moved)
    }
}

/// True if the rows before `end` are to be healed for a member. For one that is caught up by the log, the bit was asked for when all
/// shards knew of it: a write that spared it had set its bit by then.
fn wants(target: &Target, cursor: u64, end: u64, marked: bool) -> bool {
    (marked || !target.filling.by_log) && target.lap.next(cursor).is_some_and(|row| row < end)
}

/// One and the same, however far it is.
fn same(one: &Filling, other: &Filling) -> bool {
    (one.member, one.since, one.copy) == (other.member, other.since, other.copy)
}
