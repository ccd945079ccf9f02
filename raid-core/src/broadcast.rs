//! What the machines know of the members, and one thing asked of many of them: a flush, a page of the log, their states. A round
//! counts who still has to be told and who has not answered, and which epoch must be durable because somebody failed.

use crate::health::{Epoch, Health};
use crate::units::{Columns, Member};

/// What the machines know of the members: a copy, published by the pump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The members' states.
    pub health: Health,
    /// The newest epoch that is durable.
    pub durable: Epoch,
    /// The newest epoch that must be durable before anybody is told of work that was planned with it: a member
    /// failed in it, or was trusted in it.
    pub fence: Epoch,
    /// The epoch in which somebody joined last.
    pub added: Epoch,
    /// More failed than the array survives: it takes no writes any more.
    pub broken: bool,
}

impl View {
    /// The seats that take writes.
    #[must_use]
    pub fn writable(&self) -> Columns {
        self.health.written()
    }

    /// True if nobody is missing or being rebuilt.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.health.is_whole()
    }

    /// Takes what `other` knows better. Everything in a view only grows, so views may arrive in any order.
    pub fn learn(&mut self, other: &Self) {
        self.health.learn(&other.health);
        self.durable = self.durable.max(other.durable);
        self.fence = self.fence.max(other.fence);
        self.added = self.added.max(other.added);
        self.broken |= other.broken;
    }
}

/// What became of a member that failed to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Whoever relies on others having it waits until this epoch is durable: the member is out in it.
    Out(Epoch),
    /// It cannot be spared: the array is broken.
    Broken,
}

/// How one member's part went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Well.
    Done,
    /// Badly, and this is what follows for the member.
    Failed(Verdict),
}

/// A round under way.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(crate) struct Broadcast {
    issue: Columns,
    pending: u32,
    /// Epoch that must be durable before the round counts.
    pub(crate) needs: Epoch,
    pub(crate) failed: bool,
}

impl Broadcast {
    pub(crate) fn new(members: Columns, needs: Epoch) -> Self {
        Self { issue: members, pending: 0, needs, failed: false }
    }

    /// The next member to be told.
    pub(crate) fn next(&mut self) -> Option<Member> {
        let member = self.issue.iter().next()?;
        self.issue.remove(member);
        self.pending = self.pending.saturating_add(1);
        Some(member)
    }

    pub(crate) fn done(&mut self, outcome: Outcome) {
        self.pending = self.pending.saturating_sub(1);
        if let Outcome::Failed(verdict) = outcome {
            self.failed = true;
            if let Verdict::Out(epoch) = verdict {
                self.needs = self.needs.max(epoch);
            }
        }
    }

    /// True if all have answered.
    pub(crate) fn answered(&self) -> bool {
        self.issue.is_empty() && self.pending == 0
    }
}
