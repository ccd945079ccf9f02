//! Flushes: every member makes durable what it took before.
//!
//! Whoever asked is told when all members answered, and when the epoch in which they were the members is durable: a flush that
//! spared a failed member must not be believed by anybody who could still take that member for good.

use crate::broadcast::{Broadcast, Outcome, View};
use crate::health::Epoch;
use crate::request::RequestId;
use crate::units::Member;

/// Flushes under way at most, of which three are kept for the core. The next one is refused until one is done.
pub const FLUSHES_MAX: u8 = 16;

/// Who wants a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The host.
    Request(RequestId),
    /// The region log, before it takes bits back.
    Sweep,
    /// Recovery, before it moves marks.
    Marks,
    /// A repair, when it is through.
    Repair,
}

/// What the machine wants done, or says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushStep {
    /// Flush a member.
    Flush {
        /// For which flush.
        flush: u8,
        /// The member.
        member: Member,
        /// The epoch in which this was decided.
        seen: Epoch,
    },
    /// Somebody's flush is done.
    Done {
        /// Whose.
        purpose: Purpose,
        /// All members of the array took it; nobody is missing or being rebuilt.
        whole: bool,
        /// The array broke: nothing is promised.
        broken: bool,
        /// The epoch whose members took it.
        seen: Epoch,
    },
}

#[derive(Clone, Copy, Debug, Hash)]
struct Flush {
    purpose: Purpose,
    round: Broadcast,
    seen: Epoch,
    whole: bool,
}

/// The flushes under way.
#[derive(Clone, Debug, Hash)]
pub struct Flushes {
    flushes: [Option<Flush>; FLUSHES_MAX as usize],
    view: View,
}

impl Flushes {
    /// None under way.
    #[must_use]
    pub const fn new(view: View) -> Self {
        Self { flushes: [None; FLUSHES_MAX as usize], view }
    }

    /// Starts a flush; false if there are too many.
    #[must_use]
    pub fn start(&mut self, purpose: Purpose) -> bool {
        let kept = if matches!(purpose, Purpose::Request(_)) { 3 } else { 0 };
        let usable = self.flushes.len() - kept;
        let Some(free) = self.flushes.iter_mut().take(usable).find(|flush| flush.is_none()) else { return false };
        *free = Some(Flush {
            purpose,
            round: Broadcast::new(self.view.writable(), self.view.fence),
            seen: self.view.health.epoch(),
            whole: self.view.is_whole(),
        });
        true
    }

    /// Takes news of the members.
    pub fn set_view(&mut self, view: &View) {
        self.view.learn(view);
    }

    /// A member answered.
    pub fn done(&mut self, flush: u8, outcome: Outcome) {
        if let Some(Some(flush)) = self.flushes.get_mut(usize::from(flush)) {
            flush.round.done(outcome);
        }
    }

    /// What to do next. The answer changes after every other call.
    #[must_use]
    pub fn poll(&mut self) -> Option<FlushStep> {
        for (number, entry) in (0_u8..).zip(&mut self.flushes) {
            let Some(flush) = entry else { continue };
            if let Some(member) = flush.round.next() {
                return Some(FlushStep::Flush { flush: number, member, seen: flush.seen });
            }
            if flush.round.answered() && (flush.round.needs <= self.view.durable || self.view.broken) {
                let (purpose, whole, seen) = (flush.purpose, flush.whole && !flush.round.failed, flush.seen);
                *entry = None;
                return Some(FlushStep::Done { purpose, whole, broken: self.view.broken, seen });
            }
        }
        None
    }
}
