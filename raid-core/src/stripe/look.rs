//! The way of a check through its slot: the row as a whole, then sector by sector if it does not fit.
//!
//! ```text
//!                  nothing to compare, or all fits, or a sector that is judged
//!   Recover --> Compare --> Weigh ---------------------------------------------> Write
//!                  ^          | does not fit                                       |
//!                  '----------'-------------- the next sector ---------------------'
//! ```

use super::{Event, Shard, Step, Steps};
use crate::action::{Action, Work};
use crate::check::{self, Checked, Evidence, Fault, Finding, Made, Mended, Trust};
use crate::memory::Memory;
use crate::request::Error;
use crate::rows::{Band, RowNo};
use crate::units::{Columns, Member};

/// How far the band has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Stage {
    /// What cannot be read is computed.
    #[default]
    Recover,
    /// Then all is compared.
    Compare,
    /// There is a evidence.
    Weigh,
    /// What is to be written is there.
    Write,
}

/// What a slot knows of the check it does.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Look {
    repair: Option<Trust>,
    /// Behind the last sector of the row.
    end: u8,
    /// The row did not fit as a whole.
    narrowed: bool,
    stage: Stage,
    pub(super) evidence: Option<Evidence>,
    made: Made,
    /// A member did not take what was rewritten.
    pub(super) refused: bool,
    /// To be told when the writes are answered.
    findings: [Option<Finding>; 2],
    blind: bool,
    wrong: u8,
    mended: u8,
}

impl Look {
    pub(super) fn new(repair: Option<Trust>, band: Band) -> Self {
        Self {
            repair,
            end: band.first.saturating_add(band.len),
            narrowed: false,
            stage: Stage::default(),
            evidence: None,
            made: Made::There,
            refused: false,
            findings: [None; 2],
            blind: false,
            wrong: 0,
            mended: 0,
        }
    }

    pub(super) const fn repairs(&self) -> bool {
        self.repair.is_some()
    }

    /// The copy that all others are written from.
    pub(super) const fn source(&self) -> Option<Member> {
        if let Made::Copy(member) = self.made { Some(member) } else { None }
    }

    /// What became of the row.
    pub(super) fn result(&self, failure: Option<Error>) -> Step {
        let checked = match failure {
            Some(Error::Doubted) => Checked::InDoubt,
            Some(_) => Checked::Lost,
            None if self.blind => Checked::Blind,
            None => Checked::Compared { wrong: self.wrong },
        };
        Step::Checked { checked, mended: self.mended }
    }
}

impl<M: Memory> Shard<M> {
    /// What is to be computed next; `None` when the band, or the sector, can be written.
    pub(super) fn next_look(&mut self, slot: usize) -> Option<Work> {
        let (job, row) = (self.slots[slot].job, self.slots[slot].row);
        let (plan, stripe) = (job.plan, job.stripe);
        let has = |set: Columns, member: Option<Member>| member.is_some_and(|member| set.contains(member));
        let (p, q) = (stripe.map(|stripe| stripe.p()), stripe.and_then(|stripe| stripe.q()));
        let look = &mut self.looks[slot];
        loop {
            match look.stage {
                Stage::Recover => {
                    look.stage = Stage::Compare;
                    let mut lost = plan.recover.iter();
                    if let Some(first) = lost.next() {
                        let (p, q) = (has(plan.recover_by, p), has(plan.recover_by, q));
                        return Some(Work::Recover { lost: first, other: lost.next(), p, q });
                    }
                }
                Stage::Compare => {
                    (look.stage, look.evidence) = (Stage::Weigh, None);
                    match stripe {
                        Some(_) if !plan.parity.is_empty() => {
                            return Some(Work::Check { p: has(plan.parity, p), q: has(plan.parity, q) });
                        }
                        None if plan.reads.len() > 1 => return Some(Work::Vote { members: plan.reads }),
                        _ => (look.blind, look.evidence) = (true, Some(Evidence::FITS)),
                    }
                }
                Stage::Weigh => {
                    let Some(evidence) = look.evidence else {
                        // A host that could not compare has not seen that all fits.
                        self.slots[slot].job.failure = Some(Error::Lost);
                        look.stage = Stage::Write;
                        return None;
                    };
                    if evidence.fault.is_none() || job.band.len <= 1 || look.narrowed {
                        look.stage = Stage::Write;
                        return self.weigh(slot, evidence);
                    }
                    look.narrowed = true;
                    if !job.bad.is_empty() {
                        look.findings[0] = Some(unreadable(row, job.band, job.bad, look.repairs()));
                    }
                    look.stage = Stage::Compare;
                    self.slots[slot].job.band.len = 1;
                }
                Stage::Write => return None,
            }
        }
    }

    /// Decides what a evidence means for the members, and what must be computed for that.
    fn weigh(&mut self, slot: usize, evidence: Evidence) -> Option<Work> {
        let (job, row) = (self.slots[slot].job, self.slots[slot].row);
        let stripe = job.stripe;
        let look = &mut self.looks[slot];
        look.made = Made::There;
        // Where a row does not fit, what replaces an unreadable block may be wrong.
        let bad = if look.narrowed { Columns::EMPTY } else { job.bad };
        let writable = bad.difference(self.view.health.missing());
        let found = match evidence.fault {
            Some(fault) => {
                let Evidence { from_bytes, to_bytes, bytes, .. } = evidence;
                let mended = Mended::NotAsked;
                Some(Finding { row, band: job.band, fault, from_bytes, to_bytes, bytes, mended })
            }
            None if bad.is_empty() => None,
            None => Some(unreadable(row, job.band, bad, false)),
        };
        if evidence.fault.is_some() && !bad.is_empty() {
            look.findings[0] = Some(unreadable(row, job.band, bad, look.repairs()));
        }
        let mut finding = found?;
        let mend =
            look.repair.and_then(|trust| check::mend(stripe.as_ref(), &job.plan, writable, evidence.fault, trust));
        finding.mended = match (look.repair, mend) {
            (None, _) => Mended::NotAsked,
            (Some(_), Some(_)) => Mended::Yes,
            (Some(_), None) => Mended::Unjustified,
        };
        look.findings[1] = Some(finding);
        let mend = mend?;
        look.made = mend.made;
        self.slots[slot].job.plan.writes = mend.writes;
        match (mend.made, stripe) {
            (Made::Column { lost, by_p }, _) => Some(Work::Recover { lost, other: None, p: by_p, q: !by_p }),
            (Made::Parity(set), Some(stripe)) => {
                let q = stripe.q().is_some_and(|q| set.contains(q));
                Some(Work::Parity { p: set.contains(stripe.p()), q })
            }
            _ => None,
        }
    }

    /// The band, or the sector, is written: tells what was found in it, and goes on with the next.
    pub(super) fn looked(&mut self, slot: usize, steps: &mut Steps) -> bool {
        let look = &mut self.looks[slot];
        for place in 0..look.findings.len() {
            if !steps.has_room() {
                self.wake(slot);
                return false;
            }
            let Some(mut finding) = look.findings[place].take() else { continue };
            if finding.mended == Mended::Yes && look.refused {
                finding.mended = Mended::Failed;
            }
            look.wrong = look.wrong.saturating_add(u8::from(!matches!(finding.fault, Fault::Unreadable(_))));
            look.mended = look.mended.saturating_add(u8::from(finding.mended == Mended::Yes));
            steps.push(Step::Do(Action::Found(finding)));
        }
        look.refused = false;
        let job = &mut self.slots[slot].job;
        let next = job.band.first.saturating_add(1);
        let more = look.narrowed && next < look.end && job.failure.is_none();
        if more {
            job.band.first = next;
            job.plan.writes = Columns::EMPTY;
            look.stage = Stage::Compare;
        }
        self.set(slot, if more { Event::Next } else { Event::Written });
        true
    }
}

/// What a band is for those who did not give their blocks of it.
fn unreadable(row: RowNo, band: Band, members: Columns, unjustified: bool) -> Finding {
    let bytes = u16::from(band.len).saturating_mul(512);
    let mended = if unjustified { Mended::Unjustified } else { Mended::NotAsked };
    Finding { row, band, fault: Fault::Unreadable(members), from_bytes: 0, to_bytes: bytes, bytes, mended }
}
