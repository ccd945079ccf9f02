//! What happened, as facts that are cheap to note and can be told or drawn afterwards.

use std::fmt;

use raid_core::Member;
use raid_core::action::Action;
use raid_core::check::Order;
use raid_core::request::{Error, Kind, RequestId};

use super::disk::Astray;

/// What the user does with recovery, and the clock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Steer {
    Tick {
        busy: bool,
    },
    Pause,
    Resume,
    /// Rows a second.
    Rate(u64),
    Free,
}

/// Which disk gets a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Own,
    /// It had the slot before.
    Earlier,
    New,
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fact {
    PowerOn { life: u32 },
    PowerCut,
    Asked { id: RequestId, kind: Kind, at: usize, len: usize },
    Refused { id: RequestId },
    Answered { id: RequestId, result: Result<(), Error> },
    Vanishes { member: Member },
    ThrownOut { member: Member },
    WillFailWrite { member: Member },
    Unreadable { member: Member, at: usize },
    Added { member: Member, which: Which },
    Replaced { member: Member },
    CopyFails { member: Member },
    Returned { member: Member, taken: bool },
    Absent { member: Member },
    OtherBays,
    Swept,
    Steered(Steer),
    Checks { order: Order },
    Rots { member: Member, at: usize },
    Strays { member: Member, astray: Astray },
    Issued { action: Action },
    Done { action: Action, well: bool },
}

impl Fact {
    /// True if somebody outside of the array did it.
    pub(super) const fn is_step(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::Answered { .. } | Self::Issued { .. } | Self::Done { .. })
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOn { life } => write!(f, "power on, life {life}"),
            Self::PowerCut => f.write_str("power cut"),
            Self::Asked { id, kind: Kind::Flush, .. } => write!(f, "request {}: flush", id.0),
            Self::Asked { id, kind, at, len } => write!(f, "request {}: {kind:?} {len} at {at}", id.0),
            Self::Refused { id } => write!(f, "request {}: refused", id.0),
            Self::Answered { id, result: Ok(()) } => write!(f, "request {}: done", id.0),
            Self::Answered { id, result: Err(error) } => write!(f, "request {}: {error}", id.0),
            Self::Vanishes { member } => write!(f, "member {member} vanishes"),
            Self::ThrownOut { member } => write!(f, "member {member} is thrown out"),
            Self::WillFailWrite { member } => write!(f, "member {member} will fail a write"),
            Self::Unreadable { member, at } => write!(f, "member {member}: sector {at} becomes unreadable"),
            Self::Added { member, which } => write!(f, "member {member} gets a disk: {which:?}"),
            Self::Replaced { member } => write!(f, "member {member} is to be replaced by a new disk"),
            Self::CopyFails { member } => write!(f, "the disk that is to replace member {member} fails"),
            Self::Returned { member, taken: true } => write!(f, "member {member} is caught up by the log"),
            Self::Returned { member, taken: false } => write!(f, "what member {member} lacks is not known"),
            Self::Absent { member } => write!(f, "member {member} is not there"),
            Self::OtherBays => f.write_str("the disks are put into other bays"),
            Self::Swept => f.write_str("sweep of idle regions"),
            Self::Checks { order } => {
                write!(f, "check of rows {} to {}, repair {:?}", order.from.0, order.to.0, order.repair)
            }
            Self::Rots { member, at } => write!(f, "member {member}: sector {at} rots"),
            Self::Strays { member, astray } => write!(f, "member {member}: where the next write goes: {astray:?}"),
            Self::Steered(steer) => write!(f, "recovery: {steer:?}"),
            Self::Issued { action } => write!(f, "    asks: {}", Deed(action)),
            Self::Done { action, well: true } => write!(f, "    done: {}", Deed(action)),
            Self::Done { action, well: false } => write!(f, "    FAILED: {}", Deed(action)),
        }
    }
}

/// An action in words.
pub(super) struct Deed<'a>(pub(super) &'a Action);

impl fmt::Display for Deed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use raid_core::action::Way;
        match self.0 {
            Action::Io { way, member, at, len, .. } => {
                let way = match way {
                    Way::Read => "read",
                    Way::Write { fua: false } => "write",
                    Way::Write { fua: true } => "write FUA",
                };
                write!(f, "member {member}: {way} {} at {}", len.0, at.0)
            }
            Action::Flush { member, .. } => write!(f, "member {member}: flush"),
            Action::WriteLog { member, page, .. } => write!(f, "member {member}: log page {page}"),
            Action::WriteHealth { member, token } => {
                write!(f, "member {member}: states, epoch {}", token.seen().map_or(0, |epoch| epoch.0))
            }
            Action::Compute { slot, work, .. } => write!(f, "slot {}.{}: {work:?}", slot.shard, slot.slot),
            Action::Found(finding) => write!(f, "found: {finding:?}"),
            Action::Complete { request, result } => write!(f, "request {}: {result:?}", request.0),
        }
    }
}

/// What happened so far, if anybody wants to know.
#[derive(Debug, Default)]
pub(super) struct Story {
    facts: Option<Vec<Fact>>,
}

impl Story {
    /// One that is told.
    pub(super) const fn told() -> Self {
        Self { facts: Some(Vec::new()) }
    }

    /// True if somebody wants to know: a large fact need not be made else.
    pub(super) const fn is_told(&self) -> bool {
        self.facts.is_some()
    }

    /// Notes a fact.
    pub(super) fn note(&mut self, fact: Fact) {
        if let Some(facts) = &mut self.facts {
            facts.push(fact);
        }
    }

    /// All of it.
    pub(super) fn facts(&self) -> &[Fact] {
        self.facts.as_deref().unwrap_or_default()
    }
}
