//! What to read for a check, and what to write for a repair: pure functions of roles, sight and evidence.

use super::{Fault, Trust};
use crate::geometry::StripeMap;
use crate::plan_write::Plan;
use crate::request::Error;
use crate::rows::{Rows, Sight};
use crate::units::{Columns, Member};

/// What to read and to compare: the plan's `parity` is what is compared with the data, after the plan's `recover` was computed from what
/// is in `recover_by`. Of copies all reads are compared. A plan that compares nothing reads only what a repair needs to
/// rewrite those who failed a read.
///
/// # Errors
/// [`Error::Doubted`]: the row is resync's. [`Error::Lost`].
pub(crate) fn plan(stripe: Option<&StripeMap>, sight: &Sight, repair: bool) -> Result<Plan, Error> {
    if sight.doubt {
        return Err(Error::Doubted);
    }
    let readable = sight.readable.difference(sight.bad);
    let mends = repair && !sight.bad.is_empty();
    let Some(stripe) = stripe else {
        return match readable.len() {
            0 => Err(Error::Lost),
            1 if !mends => Ok(Plan::default()),
            _ => Ok(Plan { reads: readable, ..Plan::default() }),
        };
    };
    let (data, live) = (Rows::data(stripe), Rows::parity(stripe).intersection(readable));
    let recover = data.difference(readable);
    let count = usize::try_from(recover.len()).unwrap_or(usize::MAX);
    let recover_by: Columns = live.iter().take(count).collect();
    if recover_by.len() < recover.len() {
        return Err(Error::Lost);
    }
    let parity = live.difference(recover_by);
    if parity.is_empty() && !mends {
        return Ok(Plan::default());
    }
    let reads = data.intersection(readable).union(live);
    Ok(Plan { reads, recover, recover_by, parity, ..Plan::default() })
}

/// What makes the content that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Made {
    /// It is there, in the columns to be written.
    There,
    /// It is in this copy.
    Copy(Member),
    /// This data column is computed from the others and P, or Q.
    Column {
        /// The column.
        lost: Member,
        /// By P; else by Q.
        by_p: bool,
    },
    /// Parity is made of the data.
    Parity(Columns),
}

/// A repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mend {
    pub(crate) made: Made,
    pub(crate) writes: Columns,
}

/// What to rewrite; `None` if nothing can be justified. `bad` are those that failed a read and may be written; `fault` is what the
/// comparison said, `None` if what was compared fits.
pub(crate) fn mend(
    stripe: Option<&StripeMap>,
    plan: &Plan,
    bad: Columns,
    fault: Option<Fault>,
    trust: Trust,
) -> Option<Mend> {
    match stripe {
        Some(stripe) => parity(stripe, plan, bad, fault, trust),
        None => copies(plan.reads, bad, fault, trust),
    }
    .filter(|mend| !mend.writes.is_empty())
}

fn parity(stripe: &StripeMap, plan: &Plan, bad: Columns, fault: Option<Fault>, trust: Trust) -> Option<Mend> {
    let (p, all) = (stripe.p(), Rows::parity(stripe));
    let parity = |writes: Columns| Some(Mend { made: Made::Parity(writes), writes });
    let block = |member: Member, by: Columns| match all.contains(member) {
        true => parity(Columns::one(member)),
        false => {
            let made = Made::Column { lost: member, by_p: by.contains(p) };
            Some(Mend { made, writes: Columns::one(member) })
        }
    };
    match (fault, trust) {
        // All data are there, read or recovered by now.
        (None, _) if bad.intersection(all).is_empty() => Some(Mend { made: Made::There, writes: bad }),
        (None, _) => Some(Mend { made: Made::Parity(bad.intersection(all)), writes: bad }),
        (Some(Fault::Blocks(members)), _) => block(members.iter().next()?, plan.parity),
        (Some(_), Trust::Data) if plan.recover.is_empty() => parity(plan.parity),
        (Some(Fault::Unknown), Trust::AllBut(member)) if plan.recover.is_empty() && plan.reads.contains(member) => {
            block(member, plan.parity)
        }
        (Some(_), _) => None,
    }
}

fn copies(reads: Columns, bad: Columns, fault: Option<Fault>, trust: Trust) -> Option<Mend> {
    let from = |right: Option<Member>, writes: Columns| right.map(|right| Mend { made: Made::Copy(right), writes });
    let others = |member: Member| reads.difference(Columns::one(member));
    match (fault, trust) {
        (None, _) => from(reads.iter().next(), bad),
        (Some(Fault::Blocks(members)), _) => from(reads.difference(members).iter().next(), members),
        (Some(_), Trust::Copy(member)) if reads.contains(member) => from(Some(member), others(member)),
        (Some(Fault::Unknown), Trust::AllBut(member)) if reads.contains(member) => {
            from(others(member).iter().next(), Columns::one(member))
        }
        (Some(_), _) => None,
    }
}
