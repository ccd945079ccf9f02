//! What a slot knows of the row it serves.

use super::list::List;
use super::state::State;
use crate::geometry::StripeMap;
use crate::health::{Epoch, Seats};
use crate::plan_write::Plan;
use crate::region::{RegionNo, Ticket};
use crate::request::Error;
use crate::rows::{Band, RowNo, Rows};
use crate::units::{Columns, Member};

/// How far the arithmetic of a batch has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// Lost columns come first.
    #[default]
    Recover,
    /// Then each task's bytes; at this place of the batch.
    Task(Option<u32>),
    /// Then parity.
    Parity,
    /// Nothing is left.
    Done,
}

/// What a slot waits for while its region takes no writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Wait {
    /// The bit is being taken out; then it is set again.
    #[default]
    Clearing,
    /// The bits that were found at the start are not on every member yet. That says nothing of a bit that was set since.
    Found,
    /// The log was asked for a ticket.
    Asked,
    /// This batch of the log.
    Ticket(Ticket),
}

/// What a batch does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Class {
    #[default]
    Read,
    Write,
    Heal,
    Check,
}

/// One slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) state: State,
    pub(super) row: RowNo,
    /// How many, from that one on.
    pub(super) rows: u64,
    /// Next slot in the same bucket of the index by row; of a tall one, the next tall one.
    pub(super) chain: Option<u16>,
    /// In the ring of slots to be advanced.
    pub(super) ready: bool,
    pub(super) waiting: List,
    pub(super) wait: Wait,
    pub(super) batch: List,
    pub(super) job: Job,
}

/// What there is to know of the batch being served. Made anew for each.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Job {
    pub(super) class: Class,
    pub(super) band: Band,
    /// The row's region.
    pub(super) region: RegionNo,
    /// The roles in the row's stripe; none without parity.
    pub(super) stripe: Option<StripeMap>,
    pub(super) fua: bool,
    /// Data columns that become zeros; all parity of the band, too, if it is all data.
    pub(super) zeroes: Columns,
    /// Members may free what zeros are written to.
    pub(super) free: bool,
    pub(super) plan: Plan,
    /// Epoch of the health that the plan was made with.
    pub(super) seen: Epoch,
    /// Who served then: whoever takes over later has a copy's part in it.
    pub(super) seats: Seats,
    /// Epoch that must be durable before anybody is told.
    pub(super) needs: Epoch,
    /// Columns that the buffers hold.
    pub(super) have: Columns,
    /// Members that failed to read.
    pub(super) bad: Columns,
    /// A read failed since the plan was made.
    pub(super) replan: bool,
    /// Seats to be asked still.
    pub(super) issue: Columns,
    /// Actions out.
    pub(super) pending: u16,
    pub(super) stage: Stage,
    pub(super) failure: Option<Error>,
    /// The region counts this write.
    pub(super) counted: bool,
    /// A write failed half-way: the row is in doubt.
    pub(super) spoiled: bool,
}

impl Job {
    /// True if all data of the band become zeros.
    pub(super) fn is_all_zeroes(&self) -> bool {
        !self.zeroes.is_empty()
            && self.stripe.is_some_and(|stripe| Rows::data(&stripe).difference(self.zeroes).is_empty())
    }

    /// True if a member's part of the band is zeros when the batch is written: it is told so, and gets no bytes.
    pub(super) fn becomes_zeroes(&self, member: Member) -> bool {
        // Copies are in one column.
        let whole = || self.stripe.is_none() || self.is_all_zeroes();
        !self.zeroes.is_empty() && (self.zeroes.contains(member) || whole())
    }
}

impl Slot {
    /// True if it works on any of so many rows from `row` on.
    pub(super) fn meets(&self, row: RowNo, rows: u64) -> bool {
        self.row.0 < row.0.saturating_add(rows) && row.0 < self.row.0.saturating_add(self.rows)
    }

    pub(super) fn free() -> Self {
        Self {
            state: State::Free,
            row: RowNo(0),
            rows: 1,
            chain: None,
            ready: false,
            waiting: List::default(),
            wait: Wait::default(),
            batch: List::default(),
            job: Job::default(),
        }
    }
}
