//! What to read so that a run of array sectors comes out: a pure function of shape, trust and place.
//!
//! [`read`] answers for the first sectors of a range and says how many its answer is good for; the host does it and asks
//! again for the rest. A step never crosses a chunk, a reshape's position, or an edge of anybody's trust, so one
//! answer holds for all of it. If a member fails a read, the host trusts it there no more and asks again: the plan
//! then names a copy, or parity, or says what is lost.

use core::fmt;

use crate::doubt::Doubt;
use crate::geometry::{Geometry, Part, Place, StripeMap};
use crate::reshape::{Layouts, Side};
use crate::units::{Columns, Extent, Member, Sector, Sectors};

/// Whether a member may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readable {
    /// Missing, stale here, bad here, or past its sync mark.
    No,
    /// If nobody else has it (MD write-mostly).
    IfNeeded,
    /// Yes.
    Yes,
}

/// Who may be read where. Positions are sectors of a member's data in the shape of `side`.
pub trait Trust {
    /// Whether `member` may be read at `at`, and for how many of `len` sectors that answer holds: at least one, if `len` is.
    fn readable(&self, side: Side, member: Member, at: Sector, len: Sectors) -> (Readable, Sectors);

    /// Whether the parity of the row at `at` is in doubt, and for how many of `len` sectors that answer holds: at least one, if `len` is.
    fn doubted(&self, side: Side, at: Sector, len: Sectors) -> (bool, Sectors) {
        let _ = (side, at);
        (false, len)
    }
}

/// Another's trust, but for runs known to be bad: ascending, disjoint, in sectors of `member`'s data.
#[derive(Clone, Copy, Debug)]
pub struct WithoutRuns<'a, T> {
    /// What else is trusted.
    pub trust: &'a T,
    /// Whose runs these are.
    pub member: Member,
    /// Bad runs.
    pub runs: &'a [Extent],
}

impl<T: Trust> Trust for WithoutRuns<'_, T> {
    fn readable(&self, side: Side, member: Member, at: Sector, len: Sectors) -> (Readable, Sectors) {
        let (readable, len) = self.trust.readable(side, member, at, len);
        if member != self.member {
            return (readable, len);
        }
        match Doubt::Runs(self.runs).at(at, len) {
            (true, run) => (Readable::No, run),
            (false, run) => (readable, run),
        }
    }

    fn doubted(&self, side: Side, at: Sector, len: Sectors) -> (bool, Sectors) {
        self.trust.doubted(side, at, len)
    }
}

/// One step of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The shape that the range is in; decides where on a medium a member's data start.
    pub side: Side,
    /// Sectors that this step gives: at least one.
    pub len: Sectors,
    /// What to do.
    pub how: How,
}

/// How to get the sectors of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Read them.
    Direct {
        /// From here.
        place: Place,
    },
    /// Read the rest of the stripe and compute.
    Recover(Recover),
    /// They could be computed, but parity may be older than the data there: the row was being written at a crash. Not to be guessed.
    Doubted(Recover),
    /// They are lost: more members cannot be read here than the level survives.
    Lost {
        /// Those that would be needed.
        missing: Columns,
    },
}

/// A data column to be computed from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recover {
    /// Roles of the stripe's members.
    pub stripe: StripeMap,
    /// First sector, on every member of the stripe alike.
    pub at: Sector,
    /// The member whose data are wanted.
    pub wanted: Member,
    /// What to compute them from.
    pub by: By,
}

/// The way of a recovery. Columns not named are all read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// From the other data and P.
    P,
    /// From the other data and Q; P cannot be read.
    Q,
    /// From the other data, P and Q, together with this member's data, which cannot be read either.
    PAndQ {
        /// The other lost data member.
        other: Member,
    },
}

impl Recover {
    /// The members to read, each with its part in the stripe.
    pub fn reads(&self) -> impl Iterator<Item = (Member, Part)> {
        let Self { stripe, wanted, by, .. } = *self;
        Columns::first(stripe.members()).iter().filter_map(move |member| {
            let part = stripe.part(member)?;
            let read = match (part, by) {
                (Part::P, By::P | By::PAndQ { .. }) | (Part::Q, By::Q | By::PAndQ { .. }) => true,
                (Part::P, By::Q) | (Part::Q, By::P) => false,
                (Part::Data(_), By::PAndQ { other }) => member != wanted && member != other,
                (Part::Data(_), By::P | By::Q) => member != wanted,
            };
            read.then_some((member, part))
        })
    }
}

/// A read that cannot be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastTheEnd {
    /// The sector asked for.
    pub at: Sector,
    /// Sectors of the array.
    pub size: Sectors,
}

impl fmt::Display for PastTheEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sector {} is past the end of an array of {} sectors", self.at, self.size)
    }
}

impl core::error::Error for PastTheEnd {}

/// What to do for the array sectors from `at` on, at most `len` of them.
///
/// # Errors
/// [`PastTheEnd`]; also for a `len` of zero at the end.
pub fn read(layouts: &Layouts, trust: &impl Trust, at: Sector, len: Sectors) -> Result<Step, PastTheEnd> {
    let past = PastTheEnd { at, size: layouts.array_size() };
    let (side, geometry, rest) = layouts.at(at);
    let len = len.max(Sectors(1)).min(rest);
    let first = geometry.map(at).filter(|_| !rest.is_zero()).ok_or(past)?;
    let len = len.min(first.run);
    let (readable, run) = ask(trust, side, first.member, first.at, len);
    if readable == Readable::Yes {
        return Ok(Step { side, len: run, how: How::Direct { place: first } });
    }
    let (how, len) = match geometry.stripe(first.stripe) {
        Some(stripe) => by_parity(trust, side, stripe, first, len),
        None => by_copies(trust, side, geometry, at, len),
    };
    Ok(Step { side, len, how })
}

/// What `trust` says of a member, held to its contract: for one sector at least, for `len` at most.
fn ask(trust: &impl Trust, side: Side, member: Member, at: Sector, len: Sectors) -> (Readable, Sectors) {
    let (readable, run) = trust.readable(side, member, at, len);
    (readable, run.max(Sectors(1)).min(len))
}

/// The first copy that may be read; one that should be spared only if there is no other.
fn by_copies(trust: &impl Trust, side: Side, geometry: &Geometry, at: Sector, mut len: Sectors) -> (How, Sectors) {
    let mut best: Option<(Readable, Place)> = None;
    let mut missing = Columns::EMPTY;
    for place in geometry.copies(at) {
        let (readable, run) = ask(trust, side, place.member, place.at, len);
        len = run;
        if readable == Readable::No {
            missing.insert(place.member);
        } else if best.is_none_or(|(held, _)| readable > held) {
            best = Some((readable, place));
        }
        if readable == Readable::Yes {
            break;
        }
    }
    (best.map_or(How::Lost { missing }, |(_, place)| How::Direct { place }), len)
}

/// The data themselves, or what the rest of the stripe can make of them.
fn by_parity(trust: &impl Trust, side: Side, stripe: StripeMap, place: Place, len: Sectors) -> (How, Sectors) {
    let (readable, mut len) = ask(trust, side, place.member, place.at, len);
    if readable != Readable::No {
        return (How::Direct { place }, len);
    }
    let mut missing = Columns::EMPTY;
    for member in Columns::first(stripe.members()).iter() {
        let (readable, run) = ask(trust, side, member, place.at, len);
        len = run;
        if readable == Readable::No {
            missing.insert(member);
        }
    }
    let p = !missing.contains(stripe.p());
    let q = stripe.q().is_some_and(|q| !missing.contains(q));
    let mut others =
        missing.iter().filter(|member| *member != place.member && matches!(stripe.part(*member), Some(Part::Data(_))));
    let by = match (others.next(), others.next(), p, q) {
        (None, _, true, _) => Some(By::P),
        (None, _, false, true) => Some(By::Q),
        (Some(other), None, true, true) => Some(By::PAndQ { other }),
        _ => None,
    };
    let Some(by) = by else { return (How::Lost { missing }, len) };
    let recover = Recover { stripe, at: place.at, wanted: place.member, by };
    let (doubted, run) = trust.doubted(side, place.at, len);
    (if doubted { How::Doubted(recover) } else { How::Recover(recover) }, run.max(Sectors(1)).min(len))
}
