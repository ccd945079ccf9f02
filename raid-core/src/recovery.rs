//! The pass that heals: redundancy in doubt after a crash, and members that are being filled.
//!
//! One pass goes by regions, round and round. In each it has every row healed, a window of them at a time, by tasks like any other: it
//! moves no data itself. A row's heal does whatever the row needs, so one pass serves a resync and any number of
//! rebuilding members. A member that joins in the middle is served from the next region on, and the pass goes once around for it.
//!
//! ```text
//!            a region is due          all rows healed             flushed
//!   Resting ----------------> Healing ----------------> Flushing ---------> Moving marks
//!      ^                         |                                              |
//!      '-------------------------'----------- the next region ------------------'
//!                nobody is being rebuilt
//! ```

use crate::broadcast::View;
use crate::health::{Epoch, REBUILDING_MAX};
use crate::region::RegionNo;
use crate::rows::{RowNo, Rows};
use crate::stripe::Limits;
use crate::units::{Columns, Member, Sector};

/// What recovery wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryStep {
    /// Begin with a region; [`Recovery::visited`] is told whether it is in doubt.
    Visit(RegionNo),
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
        /// The epoch in which the region was begun: a member that joined later is not meant.
        seen: Epoch,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Resting,
    Visiting,
    Healing { doubt: bool, next: u64, end: u64, pending: u16, failed: bool },
    Flushing { asked: bool, failed: bool },
    Moving { failed: bool },
}

/// A member being filled.
#[derive(Clone, Copy, Debug)]
struct Target {
    member: Member,
    /// Regions that the pass has yet to visit for it.
    left: u64,
    /// The first region that its mark does not cover.
    next: u64,
    /// Joined after the current region was begun.
    fresh: bool,
    /// Its part of the current round of marks is done.
    moved: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Recovery {
    view: View,
    /// The epoch of the newest member that was seen.
    added: Epoch,
    seen: Epoch,
    region_rows: u64,
    rows: u64,
    window: u16,
    cursor: u64,
    doubt_left: u64,
    state: State,
    targets: [Option<Target>; REBUILDING_MAX],
    given_up: Columns,
    failures: u64,
    halted: bool,
}

impl Recovery {
    /// A pass over `rows` rows, which begins as soon as it is asked: for all regions if `doubt`, and for rebuilding members.
    #[must_use]
    pub fn new(view: View, limits: &Limits, rows: u64, doubt: bool) -> Self {
        let region_rows = limits.region_rows.max(1);
        Self {
            view,
            added: view.added,
            seen: view.health.epoch(),
            region_rows,
            rows,
            window: limits.heal_window.max(1),
            cursor: 0,
            doubt_left: if doubt { rows.div_ceil(region_rows) } else { 0 },
            state: State::Resting,
            targets: [None; REBUILDING_MAX],
            given_up: Columns::EMPTY,
            failures: 0,
            halted: false,
        }
    }

    /// Begins with no further row: for whoever wants to stop before the end. A region that is half through stays in doubt, and marks
    /// stay where they are.
    pub fn halt(&mut self) {
        self.halted = true;
    }

    /// Rows that could not be healed so far.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.failures
    }

    /// Regions that are still to be visited for members being filled.
    #[must_use]
    pub fn regions_to_fill(&self) -> u64 {
        self.targets.iter().flatten().map(|target| target.left).max().unwrap_or(0)
    }

    /// Rows that were begun with in the region under way.
    #[must_use]
    pub const fn rows_begun(&self) -> u64 {
        match self.state {
            State::Healing { next, .. } => next.saturating_sub(self.cursor.saturating_mul(self.region_rows)),
            State::Resting | State::Visiting | State::Flushing { .. } | State::Moving { .. } => 0,
        }
    }

    /// True if nothing is left to do.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.state == State::Resting && self.doubt_left == 0 && self.targets.iter().all(Option::is_none)
    }

    /// Takes news of the members.
    pub fn set_view(&mut self, view: &View) {
        self.view.learn(view);
        if self.view.added > self.added {
            self.added = self.view.added;
            // Whoever stands at its very start may be the new one in an old one's slot: it begins anew.
            let view = self.view;
            let new = |member| view.health.rebuilding().any(|entry| entry == (member, Sector(0)));
            self.given_up = self.given_up.iter().filter(|member| !new(*member)).collect();
            for target in &mut self.targets {
                target.take_if(|target| new(target.member));
            }
        }
        self.join();
    }

    /// Brings the list of members being filled up to date.
    fn join(&mut self) {
        let view = self.view;
        let rebuilding = |member| view.health.rebuilding().any(|(other, _)| other == member);
        for target in &mut self.targets {
            target.take_if(|target| !rebuilding(target.member));
        }
        let idle = self.state == State::Resting && self.doubt_left == 0 && self.targets.iter().all(Option::is_none);
        if idle {
            self.cursor = 0;
        }
        for (member, _) in view.health.rebuilding() {
            if self.given_up.contains(member) || self.targets.iter().flatten().any(|target| target.member == member) {
                continue;
            }
            let target =
                Target { member, left: self.regions(), next: 0, fresh: self.state != State::Resting, moved: true };
            if let Some(free) = self.targets.iter_mut().find(|target| target.is_none()) {
                *free = Some(target);
            }
        }
    }

    fn regions(&self) -> u64 {
        self.rows.div_ceil(self.region_rows)
    }

    /// Whether the region that was to be visited is in doubt.
    pub fn visited(&mut self, doubt: bool) {
        let next = self.cursor.saturating_mul(self.region_rows);
        let end = next.saturating_add(self.region_rows).min(self.rows);
        if doubt || self.targets.iter().any(Option::is_some) {
            self.state = State::Healing { doubt, next, end, pending: 0, failed: false };
        } else {
            self.leave_region(false);
        }
    }

    /// How a row went.
    pub fn healed(&mut self, well: bool) {
        if let State::Healing { pending, failed, .. } = &mut self.state {
            *pending = pending.saturating_sub(1);
            *failed |= !well;
            self.failures = self.failures.saturating_add(u64::from(!well));
        }
    }

    /// The members are flushed; `well` if that may be believed.
    pub fn flushed(&mut self, well: bool) {
        if let State::Flushing { failed, .. } = self.state {
            self.state = State::Moving { failed: failed || !well };
            for target in self.targets.iter_mut().flatten() {
                target.moved = target.fresh;
            }
        }
    }

    /// What to do next. The answer changes after every other call.
    #[must_use]
    pub fn poll(&mut self, rows: &Rows) -> Option<RecoveryStep> {
        loop {
            match &mut self.state {
                State::Resting => {
                    self.join();
                    if self.halted || self.is_resting() || self.view.broken {
                        return None;
                    }
                    self.state = State::Visiting;
                    self.seen = self.view.health.epoch();
                    for target in self.targets.iter_mut().flatten() {
                        target.fresh = false;
                    }
                    return Some(RecoveryStep::Visit(RegionNo(self.cursor)));
                }
                State::Visiting => return None,
                State::Healing { next, end, failed, .. } if self.halted && *next < *end => {
                    (*end, *failed) = (*next, true)
                }
                State::Healing { next, end, pending, .. } if *next < *end => {
                    if *pending >= self.window {
                        return None;
                    }
                    *pending += 1;
                    *next += 1;
                    return Some(RecoveryStep::Heal(RowNo(*next - 1)));
                }
                State::Healing { pending: 1.., .. } => return None,
                State::Healing { doubt, failed, .. } => {
                    let (doubt, failed) = (*doubt, *failed);
                    self.state = State::Flushing { asked: false, failed };
                    if doubt {
                        return Some(RecoveryStep::End { region: RegionNo(self.cursor), healed: !failed });
                    }
                }
                State::Flushing { asked: true, .. } => return None,
                State::Flushing { asked, failed } => {
                    if self.targets.iter().any(Option::is_some) {
                        *asked = true;
                        return Some(RecoveryStep::Flush);
                    }
                    let failed = *failed;
                    self.leave_region(failed);
                }
                State::Moving { failed } => {
                    let failed = *failed;
                    if let Some(step) = self.next_move(rows, failed) {
                        return Some(step);
                    }
                    self.leave_region(failed);
                }
            }
        }
    }

    /// The next mark to be moved: a member's mark covers only what was visited without a gap.
    fn next_move(&mut self, rows: &Rows, failed: bool) -> Option<RecoveryStep> {
        let end = self.cursor.saturating_add(1).saturating_mul(self.region_rows);
        let target = self.targets.iter_mut().flatten().find(|target| !target.moved)?;
        target.moved = true;
        let member = target.member;
        if failed {
            self.given_up.insert(member);
            return self.next_move(rows, failed);
        }
        let contiguous = target.next == self.cursor;
        target.next += u64::from(contiguous);
        let done = target.left <= 1;
        match rows.mark_below(RowNo(end)) {
            _ if done => Some(RecoveryStep::Move { member, mark: None, seen: self.seen }),
            Some(mark) if contiguous => Some(RecoveryStep::Move { member, mark: Some(mark), seen: self.seen }),
            _ => self.next_move(rows, failed),
        }
    }

    fn leave_region(&mut self, failed: bool) {
        self.doubt_left = self.doubt_left.saturating_sub(1);
        let given_up = self.given_up;
        for entry in &mut self.targets {
            entry.take_if(|target| {
                target.left = target.left.saturating_sub(u64::from(!target.fresh));
                target.left == 0 || (failed && given_up.contains(target.member))
            });
        }
        self.cursor = self.cursor.saturating_add(1) % self.regions().max(1);
        self.state = State::Resting;
    }
}
