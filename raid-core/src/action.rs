//! What the core tells a host to do. Small, `Copy`, and full of names: no bytes, no pointers.
//!
//! Every action but [`Action::Complete`] and [`Action::Found`] carries a [`Token`], which the host gives back to
//! [`complete`](crate::engine::complete) with the result. Actions of one slot that are out at the same time may be
//! done in any order.

use crate::check::{Evidence, Finding};
use crate::geometry::Part;
use crate::health::Epoch;
use crate::request::{Error, Request, RequestId};
use crate::units::{Columns, Member, Sector, Sectors, StripeNo};

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Move sectors between a member's data and a buffer.
    Io {
        /// The receipt.
        token: Token,
        /// Which way.
        way: Way,
        /// The member.
        member: Member,
        /// First sector of its data.
        at: Sector,
        /// How many.
        len: Sectors,
        /// The other end.
        buf: Buf,
    },
    /// Make durable all writes to a member that completed before this action.
    Flush {
        /// The receipt.
        token: Token,
        /// The member.
        member: Member,
    },
    /// Write a page of the region log to a member, durably: as it stands in the log when the host gets to it.
    WriteLog {
        /// The receipt.
        token: Token,
        /// The member.
        member: Member,
        /// Which page.
        page: u32,
    },
    /// Write the members' states to a member's metadata, durably: those of `Members::persisting`.
    WriteHealth {
        /// The receipt.
        token: Token,
        /// The member.
        member: Member,
    },
    /// Compute in the buffers of a slot.
    Compute {
        /// The receipt.
        token: Token,
        /// In which slot.
        slot: SlotId,
        /// In which stripe: its roles and exponents.
        stripe: StripeNo,
        /// First sector of the band, within the row's buffers.
        first: u8,
        /// Sectors of the band.
        len: u8,
        /// What.
        work: Work,
    },
    /// A check found something; to be noted, nothing to be answered.
    Found(Finding),
    /// A request is done.
    Complete {
        /// Which.
        request: RequestId,
        /// How it went.
        result: Result<(), Error>,
    },
}

static_assertions::const_assert!(size_of::<Action>() <= 112);

/// Which way sectors go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the member.
    Read,
    /// To the member.
    Write {
        /// Complete when durable.
        fua: bool,
    },
}

/// A buffer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Buf {
    /// A row's worth of sectors of a slot, for one column. A band lies in it where it lies in the row.
    Slot {
        /// The slot.
        slot: SlotId,
        /// The member whose content it holds. Mirrors have one column, under the first number; while copies are compared, one for each.
        column: Member,
    },
    /// A request's own, from its first byte on.
    Request(RequestId),
    /// A column of a request of [whole rows](crate::request::Kind::WriteRows): the host's room for so many rows of it.
    Rows {
        /// The request.
        request: RequestId,
        /// Which column: data in the array's order, or parity.
        part: Part,
    },
    /// None: the sectors are to read as zeros after the write, whatever the member does for that. Only of writes.
    Zeroes {
        /// The member may free what it held there.
        free: bool,
    },
}

/// Where new bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A request's buffer.
    Request(RequestId),
    /// Zeros.
    Zeroes,
}

/// A slot of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId {
    /// The shard.
    pub shard: u16,
    /// The slot in it.
    pub slot: u16,
}

/// Arithmetic on the columns of a slot's band.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// `column` becomes these bytes.
    Take {
        /// The column.
        column: Member,
        /// Which bytes.
        from: Source,
    },
    /// As `Take`, and the named parity is brought along by the difference.
    Delta {
        /// The column.
        column: Member,
        /// Which bytes.
        from: Source,
        /// P is to follow.
        p: bool,
        /// Q is to follow.
        q: bool,
    },
    /// The named parity becomes what all data columns make.
    Parity {
        /// Make P.
        p: bool,
        /// Make Q.
        q: bool,
    },
    /// The named parity of a request of whole rows becomes what its data columns make. No buffer of the slot has a part in it.
    Rows {
        /// The request.
        request: RequestId,
        /// Make P.
        p: bool,
        /// Make Q.
        q: bool,
    },
    /// One data column, or two, from all the others and the named parity.
    Recover {
        /// A lost one.
        lost: Member,
        /// The other lost one.
        other: Option<Member>,
        /// P is good.
        p: bool,
        /// Q is good.
        q: bool,
    },
    /// Compare all data columns with those of P and Q that are named: the answer is the [`Evidence`] of
    /// [`check::by_parity`](crate::check::by_parity). Nothing changes.
    Check {
        /// Compare P.
        p: bool,
        /// Compare Q.
        q: bool,
    },
    /// Compare copies, each in the column of the member that has it: the answer is the [`Evidence`] of
    /// [`check::by_copies`](crate::check::by_copies). Nothing changes.
    Vote {
        /// Whose copies.
        members: Columns,
    },
    /// The request's bytes become those of `column`.
    Give {
        /// The column.
        column: Member,
        /// Whose buffer.
        request: RequestId,
    },
}

/// How an action went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It was done.
    Done,
    /// It was not done, or not all of it.
    Failed,
    /// A comparison was done, and this is what the bytes say.
    Says(Evidence),
}

/// True is done.
impl From<bool> for Answer {
    fn from(well: bool) -> Self {
        if well { Self::Done } else { Self::Failed }
    }
}

impl From<Evidence> for Answer {
    fn from(evidence: Evidence) -> Self {
        Self::Says(evidence)
    }
}

/// The receipt for an action: says to which machine its result belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    /// I/O of a slot.
    Slot {
        /// The slot.
        slot: SlotId,
        /// The member.
        member: Member,
        /// Which way.
        way: Way,
        /// The epoch it was planned in.
        seen: Epoch,
    },
    /// Arithmetic of a slot.
    Compute {
        /// The slot.
        slot: SlotId,
    },
    /// I/O that needs no slot: a healthy read, or anything where there is no redundancy.
    Direct {
        /// The whole request.
        request: Request,
        /// The member.
        member: Member,
        /// The epoch it was planned in.
        seen: Epoch,
    },
    /// A page of the region log.
    Log {
        /// The member.
        member: Member,
        /// The epoch it was planned in.
        seen: Epoch,
    },
    /// The members' states.
    Health {
        /// The member.
        member: Member,
        /// The epoch it was planned in.
        seen: Epoch,
    },
    /// A flush.
    Flush {
        /// Which of those under way.
        flush: u8,
        /// The member.
        member: Member,
        /// The epoch it was planned in.
        seen: Epoch,
    },
}

impl Token {
    /// The epoch in which an action for a member was decided; `None` for arithmetic.
    #[must_use]
    pub const fn seen(&self) -> Option<Epoch> {
        match self {
            Self::Compute { .. } => None,
            Self::Slot { seen, .. }
            | Self::Direct { seen, .. }
            | Self::Log { seen, .. }
            | Self::Health { seen, .. }
            | Self::Flush { seen, .. } => Some(*seen),
        }
    }
}
