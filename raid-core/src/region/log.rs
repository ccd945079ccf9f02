//! The bits, and their way to the members.
//!
//! ```text
//!          a page is dirty           all pages of the batch taken, failures durable
//!   Quiet ----------------> Writing ------------------------------------------------> Quiet
//! ```
//!
//! All marks since a batch began share the next one: that is group commit, and a [`Ticket`] is the number of a batch. A page goes
//! to all members that take writes; whoever fails is thrown out, and the batch counts when that is durable.

use core::hash::{Hash, Hasher};
use core::num::NonZeroUsize;

use crate::broadcast::{Broadcast, Outcome, View};
use crate::health::Epoch;
use crate::memory::{Memory, OutOfMemory};
use crate::units::Member;

/// Number of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionNo(pub u64);

/// Number of a batch of log writes: a promise that a bit is durable when that batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

impl Ticket {
    /// The batch that makes the bits found at the start durable on all members.
    pub const FIRST: Self = Self(1);
}

/// What the log wants done, or says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStep {
    /// Write a page to a member.
    Write {
        /// The member.
        member: Member,
        /// The page.
        page: u32,
        /// The epoch in which this was decided.
        seen: Epoch,
    },
    /// Log writes are durable.
    Durable {
        /// This batch and all before it.
        ticket: Ticket,
        /// All pages, on whoever joined up to this epoch.
        whole_for: Epoch,
    },
}

#[derive(Clone, Copy, Debug, Hash)]
enum State {
    Quiet,
    Writing { ticket: Ticket, page: usize, round: Broadcast, seen: Epoch },
}

/// The log's bits, and the batch under way.
pub struct RegionLog<M: Memory> {
    words: M::Array<u64>,
    /// Pages with bits that no batch has taken yet.
    dirty: M::Array<bool>,
    page_words: NonZeroUsize,
    next: Ticket,
    durable: Ticket,
    state: State,
    view: View,
    sweeping: bool,
    /// The batch that has, with those before it, all pages for whoever joined up to `view.added`; and up to whom that is so already.
    whole_with: Ticket,
    whole_for: Epoch,
    /// The newest epoch whose members vouched for bits that were taken back.
    cleared: Epoch,
}

impl<M: Memory> Hash for RegionLog<M> {
    fn hash<H: Hasher>(&self, into: &mut H) {
        let Self { words, dirty, page_words: _, next, durable, state, view, sweeping, whole_with, whole_for, cleared } =
            self;
        words.hash(into);
        dirty.hash(into);
        (next, durable, state, view).hash(into);
        (sweeping, whole_with, whole_for, cleared).hash(into);
    }
}

impl<M: Memory> RegionLog<M> {
    /// Becomes what `other` is: a host that tries everything goes on from it twice. Both were made alike.
    pub fn copy_from(&mut self, other: &Self) {
        let Self { words, dirty, page_words: _, next, durable, state, view, sweeping, whole_with, whole_for, cleared } =
            other;
        self.words.copy_from_slice(words);
        self.dirty.copy_from_slice(dirty);
        (self.next, self.durable, self.state, self.view) = (*next, *durable, *state, *view);
        (self.sweeping, self.whole_with, self.whole_for) = (*sweeping, *whole_with, *whole_for);
        self.cleared = *cleared;
    }

    /// A log of `regions` bits, `set` as they were found, in pages of `page_words` words of 64; `cleared` as [`cleared`](Self::cleared)
    /// said when they were written. The first batch, [`Ticket::FIRST`], writes it all: a bit that was found may stand on one member
    /// only, and that one may be the next to fail.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(
        regions: u64,
        page_words: usize,
        view: View,
        cleared: Epoch,
        set: impl Fn(RegionNo) -> bool,
    ) -> Result<Self, OutOfMemory> {
        let words = usize::try_from(regions.div_ceil(64)).map_err(|_| OutOfMemory)?;
        let page_words = NonZeroUsize::new(page_words).unwrap_or(NonZeroUsize::MIN);
        let word = |index: usize| {
            let base = (index as u64).saturating_mul(64);
            let is_set = |bit: &u64| base + bit < regions && set(RegionNo(base + bit));
            (0..64).filter(is_set).fold(0, |word: u64, bit| word | 1 << bit)
        };
        Ok(Self {
            words: M::array(words, word)?,
            dirty: M::array(words.div_ceil(page_words.get()), |_| true)?,
            page_words,
            next: Ticket::FIRST,
            durable: Ticket(0),
            state: State::Quiet,
            view,
            sweeping: false,
            whole_with: Ticket::FIRST,
            whole_for: Epoch(0),
            cleared,
        })
    }

    /// True if the region's bit is set in memory.
    #[must_use]
    pub fn is_set(&self, region: RegionNo) -> bool {
        self.place(region).is_some_and(|(word, bit, _)| self.words[word] & bit != 0)
    }

    /// The words of a page, as they are to be written.
    #[must_use]
    pub fn page(&self, page: u32) -> &[u64] {
        let from = (page as usize).saturating_mul(self.page_words.get()).min(self.words.len());
        &self.words[from..from.saturating_add(self.page_words.get()).min(self.words.len())]
    }

    fn place(&self, region: RegionNo) -> Option<(usize, u64, usize)> {
        let word = usize::try_from(region.0 / 64).ok().filter(|word| *word < self.words.len())?;
        Some((word, 1 << (region.0 % 64), word / self.page_words.get()))
    }

    /// Sets a region's bit. It is durable when the ticket is; marking again changes nothing and gives a ticket that serves.
    pub fn mark(&mut self, region: RegionNo) -> Ticket {
        let Some((word, bit, page)) = self.place(region) else { return self.durable };
        if self.words[word] & bit == 0 {
            self.words[word] |= bit;
            self.dirty[page] = true;
        }
        match self.state {
            // The batch under way takes dirty pages that are still before it; what it has passed is the next one's.
            State::Writing { ticket, page: at, .. } if !self.dirty[page] || page > at => ticket,
            _ if self.dirty[page] => self.next,
            _ => self.durable,
        }
    }

    /// The newest epoch whose members vouched for bits that were taken back. To be written with every page: of a member that knows
    /// nothing newer than an earlier epoch nobody can say what it lacks.
    #[must_use]
    pub const fn cleared(&self) -> Epoch {
        self.cleared
    }

    /// Takes a region's bit back, which the members of epoch `seen` vouched for. Nobody waits for that to be durable: a bit too
    /// many costs time, never data.
    pub fn clear(&mut self, region: RegionNo, seen: Epoch) {
        self.cleared = self.cleared.max(seen);
        if let Some((word, bit, page)) = self.place(region) {
            self.words[word] &= !bit;
            self.dirty[page] = true;
        }
    }

    /// Begins a sweep: true if there was none and the members can vouch for all that is idle.
    #[must_use]
    pub fn begin_sweep(&mut self) -> bool {
        let begins = !self.sweeping && self.view.is_whole() && !self.view.broken;
        self.sweeping |= begins;
        begins
    }

    /// The sweep is over.
    pub fn end_sweep(&mut self) {
        self.sweeping = false;
    }

    /// Takes news of the members. A new one gets all pages.
    pub fn set_view(&mut self, view: &View) {
        let added = view.added > self.view.added;
        self.view.learn(view);
        if added {
            self.dirty.fill(true);
            self.whole_with = self.next;
        }
    }

    /// A member answered.
    pub fn done(&mut self, outcome: Outcome) {
        if let State::Writing { round, .. } = &mut self.state {
            round.done(outcome);
        }
    }

    /// What to do next. The answer changes after [`mark`](Self::mark), [`clear`](Self::clear), [`done`](Self::done) and
    /// [`set_view`](Self::set_view).
    #[must_use]
    pub fn poll(&mut self) -> Option<LogStep> {
        if matches!(self.state, State::Quiet) && self.begin(self.next, 0) {
            self.next = Ticket(self.next.0.saturating_add(1));
        }
        loop {
            let State::Writing { ticket, page, round, seen } = &mut self.state else { return None };
            let (ticket, page, seen) = (*ticket, *page, *seen);
            if let Some(member) = round.next() {
                return Some(LogStep::Write { member, page: u32::try_from(page).unwrap_or(u32::MAX), seen });
            }
            // A broken array makes no promise: nothing of this batch may be relied on.
            if !round.answered() || round.needs > self.view.durable || self.view.broken {
                return None;
            }
            if !self.begin(ticket, page + 1) {
                self.state = State::Quiet;
                self.durable = ticket;
                if ticket >= self.whole_with {
                    self.whole_for = self.view.added;
                }
                return Some(LogStep::Durable { ticket, whole_for: self.whole_for });
            }
        }
    }

    /// Starts on the first dirty page from `from` on, if there is one.
    fn begin(&mut self, ticket: Ticket, from: usize) -> bool {
        let Some(page) = self.dirty.iter().skip(from).position(|dirty| *dirty).map(|found| found + from) else {
            return false;
        };
        self.dirty[page] = false;
        let round = Broadcast::new(self.view.writable(), self.view.fence);
        self.state = State::Writing { ticket, page, round, seen: self.view.health.epoch() };
        true
    }
}
