//! How a band is written, recovered or healed: a pure function of roles, sight and touched columns.
//!
//! A write of some data columns must bring parity along. There are two ways. *Reconstruct*: read the data columns that
//! are not written, and make parity of all. *Modify*: read what is about to be overwritten, and change parity by the difference.
//! The one with fewer reads is taken; on a tie, reconstructing, since it does not depend on parity being right. A full stripe is a
//! reconstruction with nothing to read. If a column to be read cannot be, it is recovered first, from everything else.
//!
//! Redundancy in doubt is neither modified nor recovered from: what it gives would be a guess.

use crate::geometry::StripeMap;
use crate::request::Error;
use crate::rows::{Rows, Sight};
use crate::units::{Columns, Member};

/// What new parity is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// All data columns. Also of operations that make no parity.
    #[default]
    Reconstruct,
    /// Old parity and the difference.
    Modify,
}

/// What to do with a band, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Plan {
    /// What parity is made of.
    pub method: Method,
    /// Read these.
    pub reads: Columns,
    /// Recover these data columns: at most two.
    pub recover: Columns,
    /// With these of P and Q.
    pub recover_by: Columns,
    /// Make these of P and Q.
    pub parity: Columns,
    /// Write these.
    pub writes: Columns,
    /// Write these to the copies in the making of their members, besides those of `writes`.
    pub copies: Columns,
}

/// What is to become of a band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// These data columns get new content; of copies, all.
    Write(Columns),
    /// These data columns are wanted.
    Fetch(Columns),
    /// Whoever is written but not yet trusted gets its content; redundancy in doubt is made anew.
    Heal,
}

/// The columns of a band by what is known of them.
struct Known {
    data: Columns,
    parity: Columns,
    /// Can be read here and now.
    readable: Columns,
    doubt: bool,
}

/// The plan for a band with parity.
///
/// # Errors
/// [`Error::Lost`], [`Error::Doubted`].
pub fn parity(stripe: &StripeMap, sight: &Sight, aim: Aim) -> Result<Plan, Error> {
    let (data, parity) = (Rows::data(stripe), Rows::parity(stripe));
    let known = Known { data, parity, readable: sight.readable.difference(sight.bad), doubt: sight.doubt };
    let bad = sight.bad.intersection(sight.writable);
    let live_parity = parity.intersection(sight.writable);
    match aim {
        Aim::Fetch(wanted) if wanted.difference(known.readable).is_empty() => {
            Ok(Plan { reads: wanted, ..Plan::default() })
        }
        Aim::Fetch(_) => known.assemble().map(|plan| Plan { writes: bad.intersection(plan.recover), ..plan }),
        Aim::Heal => {
            let doubted = if sight.doubt { live_parity } else { Columns::EMPTY };
            let targets = sight.writable.difference(sight.readable).union(bad).union(doubted);
            let copies = sight.to_copy();
            if targets.is_empty() {
                return Ok(Plan { reads: copies, copies, ..Plan::default() });
            }
            // Parity that is not made anew is copied as it is.
            let as_is = copies.intersection(parity).difference(targets);
            known.assemble().map(|plan| {
                let (parity, reads) = (targets.intersection(parity), plan.reads.union(as_is));
                Plan { reads, parity, writes: targets, copies, ..plan }
            })
        }
        Aim::Write(_) if sight.members.difference(sight.writable).len() > parity.len() => Err(Error::Lost),
        Aim::Write(touched) => {
            let plan = known.write(touched, live_parity)?;
            let mended = plan.recover.intersection(bad);
            let writes = touched.union(live_parity).union(mended).intersection(sight.writable);
            Ok(Plan { parity: live_parity, writes, ..plan })
        }
    }
}

impl Known {
    /// The cheaper way to new parity.
    fn write(&self, touched: Columns, live_parity: Columns) -> Result<Plan, Error> {
        if live_parity.is_empty() {
            return Ok(Plan::default());
        }
        let others = self.data.difference(touched);
        let modified = touched.union(live_parity);
        let can_modify = !self.doubt && modified.difference(self.readable).is_empty();
        let can_reconstruct = others.difference(self.readable).is_empty();
        if can_modify && (!can_reconstruct || modified.len() < others.len()) {
            Ok(Plan { method: Method::Modify, reads: modified, ..Plan::default() })
        } else if can_reconstruct {
            Ok(Plan { reads: others, ..Plan::default() })
        } else {
            self.assemble()
        }
    }

    /// Reads for all data columns to be there: those readable, and the parity that makes the lost ones.
    fn assemble(&self) -> Result<Plan, Error> {
        let recover = self.data.difference(self.readable);
        let count = usize::try_from(recover.len()).unwrap_or(usize::MAX);
        let recover_by: Columns = self.parity.intersection(self.readable).iter().take(count).collect();
        if recover_by.len() < recover.len() {
            return Err(Error::Lost);
        }
        if self.doubt && !recover.is_empty() {
            return Err(Error::Doubted);
        }
        let reads = self.data.intersection(self.readable).union(recover_by);
        Ok(Plan { reads, recover, recover_by, ..Plan::default() })
    }
}

/// The plan for a band with copies. While they may differ, all are made what the first readable one is: the one that
/// reads take, too.
///
/// # Errors
/// [`Error::Lost`].
pub fn copies(sight: &Sight, aim: Aim) -> Result<Plan, Error> {
    let bad = sight.bad.intersection(sight.writable);
    let targets = match aim {
        Aim::Write(_) if sight.readable.intersection(sight.writable).is_empty() => return Err(Error::Lost),
        Aim::Write(_) => return Ok(Plan { writes: sight.writable, ..Plan::default() }),
        Aim::Fetch(_) => bad,
        Aim::Heal if sight.doubt => sight.writable,
        Aim::Heal => sight.writable.difference(sight.readable).union(bad),
    };
    let copies = if aim == Aim::Heal { sight.to_copy() } else { Columns::EMPTY };
    if aim == Aim::Heal && targets.is_empty() && copies.is_empty() {
        return Ok(Plan::default());
    }
    let first = |members: Columns| -> Option<Member> { sight.first(members.difference(sight.bad)) };
    let source = first(sight.preferred).or_else(|| first(sight.readable)).map(Columns::one).ok_or(Error::Lost)?;
    Ok(Plan { reads: source, writes: targets.difference(source), copies, ..Plan::default() })
}
