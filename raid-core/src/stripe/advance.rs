//! The way of a batch through its slot.

use super::list::{List, Task, What};
use super::look::Look;
use super::slot::{Class, Job, Slot, Stage, Wait};
use super::{Event, Shard, State, Step, Steps};
use crate::action::{Action, Buf, Source, Token, Way, Work};
use crate::check;
use crate::memory::Memory;
use crate::plan_write::{self, Aim, Method, Plan};
use crate::region::{self, Ticket};
use crate::request::{Error, RequestId};
use crate::rows::Rows;
use crate::units::{Columns, Member, Sectors};

impl<M: Memory> Shard<M> {
    /// Takes a slot as far as it can go.
    pub(super) fn advance(&mut self, rows: &Rows, slot: usize, steps: &mut Steps) {
        loop {
            let going = match self.slots[slot].state {
                State::Free => false,
                State::Queued => self.start(rows, slot, steps),
                State::Marking => self.marking(slot),
                State::Reading => self.read(rows, slot, steps),
                State::Computing => self.compute(rows, slot, steps),
                State::Writing => self.write(rows, slot, steps),
                State::Settling => self.settle(slot, steps),
            };
            if !going {
                return;
            }
            if !steps.has_room() {
                self.wake(slot);
                return;
            }
        }
    }

    /// Serves the next batch that waits, or leaves.
    fn start(&mut self, rows: &Rows, slot: usize, steps: &mut Steps) -> bool {
        // Those who wait for one of several rows are not served here.
        let Slot { rows: height, waiting, .. } = &self.slots[slot];
        let Some(first) = self.pool.first(waiting).filter(|first| first.piece.band.rows() == *height) else {
            self.release(slot);
            return false;
        };
        let row = self.slots[slot].row;
        let (class, band, region) = (class(first.what), first.piece.band, self.region_of(row));
        let mut counted = false;
        if let What::Check(repair) = first.what {
            self.looks[slot] = Look::new(repair, band);
        }
        if class == Class::Write && !self.view.broken {
            if self.regions.state(region).has_bit() && self.log_durable < Ticket::FIRST {
                // The bit was found, which does not mean that every member has it.
                self.set(slot, Event::Wait);
                self.slots[slot].wait = Wait::Found;
                return false;
            }
            let state = self.regions.enter(region);
            if !state.takes_writes() {
                self.set(slot, Event::Wait);
                self.slots[slot].wait = Wait::Clearing;
                if state == region::State::Marking {
                    self.slots[slot].wait = Wait::Asked;
                    steps.push(Step::Mark { slot: u16::try_from(slot).unwrap_or(u16::MAX), region });
                }
                return false;
            }
            counted = true;
        }
        self.slots[slot].job = Job { class, band, region, stripe: rows.stripe(row), counted, ..Job::default() };
        self.gather(slot, first);
        self.plan(rows, slot)
    }

    /// Moves the first of those who wait to the batch, with all neighbours right behind it.
    fn gather(&mut self, slot: usize, first: Task) {
        let (mut columns, mut zeroes) = (Columns::EMPTY, Columns::EMPTY);
        let (mut fua_any, mut free) = (false, true);
        let mut batch = List::default();
        while let Some(next) = self.pool.first(&self.slots[slot].waiting) {
            let same = next.piece.band == first.piece.band && class(next.what) == class(first.what);
            let new = columns.insert(next.piece.column);
            let joins = match next.what {
                What::Write { .. } => same && new && !matches!(first.what, What::Rows { .. }),
                What::Read(_) => same,
                What::Rows { .. } | What::Heal | What::Check(_) => batch.is_empty(),
            };
            if !joins {
                break;
            }
            if let What::Rows { fua, .. } = next.what {
                fua_any = fua;
            }
            if let What::Write { fua, zeroes: filled, .. } = next.what {
                fua_any |= fua;
                if let Some(may_free) = filled {
                    zeroes.insert(next.piece.column);
                    free &= may_free;
                }
            }
            self.pool.shift(&mut self.slots[slot].waiting, &mut batch);
        }
        self.slots[slot].batch = batch;
        let job = &mut self.slots[slot].job;
        (job.fua, job.zeroes, job.free) = (fua_any, zeroes, free);
    }

    /// Plans the batch, or plans it again without those who could not be read.
    fn plan(&mut self, rows: &Rows, slot: usize) -> bool {
        let planned = match self.slots[slot].job.class {
            Class::Write if self.view.broken => Err(Error::Broken),
            Class::Read | Class::Write | Class::Heal | Class::Check => self.planned(rows, slot),
        };
        let event = if planned.is_ok() { Event::Begin } else { Event::Refuse };
        let job = &mut self.slots[slot].job;
        job.replan = false;
        job.seen = self.view.health.epoch();
        job.seats = self.view.health.seats();
        job.needs = job.needs.max(self.view.fence);
        match planned {
            Ok(plan) => {
                job.plan = plan;
                job.issue = job.seats.of(plan.reads.difference(job.have));
            }
            Err(error) => job.failure = Some(error),
        }
        self.set(slot, event);
        true
    }

    fn planned(&self, rows: &Rows, slot: usize) -> Result<Plan, Error> {
        let entry = &self.slots[slot];
        let mut sight = rows.sight(entry.row, entry.job.band, &self.view.health);
        sight.bad = entry.job.bad;
        sight.doubt = self.regions.state(entry.job.region).in_doubt();
        let columns = || match &entry.job.stripe {
            Some(stripe) if self.rows_of(slot).is_some() => Rows::data(stripe),
            _ => self.pool.iter(&entry.batch).map(|task| task.piece.column).collect(),
        };
        let aim = match entry.job.class {
            Class::Read => Aim::Fetch(columns()),
            Class::Write => Aim::Write(columns()),
            Class::Heal => Aim::Heal,
            Class::Check => return check::plan(entry.job.stripe.as_ref(), &sight, self.looks[slot].repairs()),
        };
        match &entry.job.stripe {
            Some(stripe) => plan_write::parity(stripe, &sight, aim),
            None => plan_write::copies(&sight, aim),
        }
    }

    /// The request of whole rows that a slot serves.
    fn rows_of(&self, slot: usize) -> Option<RequestId> {
        match self.pool.first(&self.slots[slot].batch)?.what {
            What::Rows { id, .. } => Some(id),
            _ => None,
        }
    }

    fn marking(&mut self, slot: usize) -> bool {
        let region = self.region_of(self.slots[slot].row);
        let go = match self.slots[slot].wait {
            Wait::Clearing => self.regions.state(region) != region::State::Clearing,
            Wait::Ticket(ticket) if ticket <= self.log_durable => {
                self.regions.happen(region, region::Event::Durable);
                true
            }
            Wait::Found => self.log_durable >= Ticket::FIRST || self.view.broken,
            Wait::Ticket(_) => self.view.broken,
            Wait::Asked => false,
        };
        if go {
            self.set(slot, Event::Go);
        }
        go
    }

    fn read(&mut self, rows: &Rows, slot: usize, steps: &mut Steps) -> bool {
        if !self.issue(rows, slot, Way::Read, steps) {
            return false;
        }
        if self.slots[slot].job.replan {
            return self.plan(rows, slot);
        }
        self.set(slot, Event::Known);
        true
    }

    fn write(&mut self, rows: &Rows, slot: usize, steps: &mut Steps) -> bool {
        let way = Way::Write { fua: self.slots[slot].job.fua };
        let answered = self.issue(rows, slot, way, steps);
        if answered && self.slots[slot].job.class == Class::Check {
            return self.looked(slot, steps);
        }
        if answered {
            self.set(slot, Event::Written);
        }
        answered
    }

    /// Sends out what is to be sent. True if all of it is answered.
    fn issue(&mut self, rows: &Rows, slot: usize, way: Way, steps: &mut Steps) -> bool {
        if self.slots[slot].job.issue.is_empty() {
            return self.slots[slot].job.pending == 0;
        }
        let id = self.id(slot);
        while let Some(seat) = self.slots[slot].job.issue.lowest() {
            if !steps.has_room() {
                self.wake(slot);
                return false;
            }
            let member = self.slots[slot].job.seats.slot(seat);
            let buf = self.buffer(slot, member, way);
            let entry = &mut self.slots[slot];
            let job = &mut entry.job;
            job.issue.remove(seat);
            let Some(at) = rows.at(entry.row, job.band, member) else { continue };
            job.pending = job.pending.saturating_add(1);
            let token = Token::Slot { slot: id, member: seat, way, seen: job.seen };
            steps.push(Step::Do(Action::Io { token, way, member: seat, at, len: Sectors(job.band.len.into()), buf }));
        }
        self.slots[slot].job.pending == 0
    }

    /// Parity goes through the slot's buffers; copies are written from where the host has them.
    fn buffer(&self, slot: usize, member: Member, way: Way) -> Buf {
        let entry = &self.slots[slot];
        if way != Way::Read && entry.job.becomes_zeroes(member) {
            return Buf::Zeroes { free: entry.job.free };
        }
        if let Some(stripe) = &entry.job.stripe {
            let whole = if entry.job.class == Class::Write { self.rows_of(slot) } else { None };
            return match whole.zip(stripe.part(member)) {
                Some((request, part)) => Buf::Rows { request, part },
                None => Buf::Slot { slot: self.id(slot), column: member },
            };
        }
        if entry.job.class == Class::Check {
            let source = self.looks[slot].source().filter(|_| way != Way::Read);
            return Buf::Slot { slot: self.id(slot), column: source.unwrap_or(member) };
        }
        match (way, self.pool.first(&entry.batch).map(|task| task.what)) {
            (Way::Write { .. }, Some(What::Write { id, .. })) => Buf::Request(id),
            _ => Buf::Slot { slot: self.id(slot), column: Member(0) },
        }
    }

    fn compute(&mut self, rows: &Rows, slot: usize, steps: &mut Steps) -> bool {
        if self.slots[slot].job.pending > 0 {
            return false;
        }
        let Some(work) = self.next_work(slot) else {
            self.set(slot, Event::Made);
            let job = &mut self.slots[slot].job;
            job.issue = job.seats.written(job.plan.writes, job.plan.copies);
            return true;
        };
        let (id, row) = (self.id(slot), self.slots[slot].row);
        let job = &mut self.slots[slot].job;
        job.pending = 1;
        let (token, stripe, band) = (Token::Compute { slot: id }, rows.stripe_no(row), job.band);
        steps.push(Step::Do(Action::Compute { token, slot: id, stripe, first: band.first, len: band.len, work }));
        false
    }

    /// What is to be computed next; `None` when all is.
    fn next_work(&mut self, slot: usize) -> Option<Work> {
        if self.slots[slot].job.class == Class::Check {
            return self.next_look(slot);
        }
        if self.slots[slot].job.is_all_zeroes() {
            // And so is parity: nobody needs the bytes.
            return None;
        }
        loop {
            let (batch, job) = (&self.slots[slot].batch, &self.slots[slot].job);
            let Job { class, plan, stripe, .. } = job;
            let is_p = |set: Columns| stripe.is_some_and(|stripe| set.contains(stripe.p()));
            let is_q = |set: Columns| stripe.and_then(|stripe| stripe.q()).is_some_and(|q| set.contains(q));
            let (next, work) = match job.stage {
                Stage::Recover => {
                    let mut lost = plan.recover.iter();
                    let (p, q) = (is_p(plan.recover_by), is_q(plan.recover_by));
                    let work = lost.next().map(|first| Work::Recover { lost: first, other: lost.next(), p, q });
                    (Stage::Task(batch.head()), work)
                }
                Stage::Task(place) => match self.pool.at(place) {
                    None => (Stage::Parity, None),
                    Some((task, next)) => {
                        let column = task.piece.column;
                        let work = match task.what {
                            What::Read(request) => Some(Work::Give { column, request }),
                            What::Write { .. } if stripe.is_none() => None,
                            What::Write { id, zeroes, .. } => {
                                let from = if zeroes.is_some() { Source::Zeroes } else { Source::Request(id) };
                                let (p, q) = (is_p(plan.parity), is_q(plan.parity));
                                Some(match plan.method {
                                    Method::Modify => Work::Delta { column, from, p, q },
                                    Method::Reconstruct => Work::Take { column, from },
                                })
                            }
                            What::Rows { .. } | What::Heal | What::Check(_) => None,
                        };
                        (Stage::Task(next), work)
                    }
                },
                Stage::Parity => {
                    let makes = *class != Class::Read && plan.method == Method::Reconstruct && !plan.parity.is_empty();
                    let (p, q) = (is_p(plan.parity), is_q(plan.parity));
                    let work = match self.rows_of(slot) {
                        Some(request) => Work::Rows { request, p, q },
                        None => Work::Parity { p, q },
                    };
                    (Stage::Done, makes.then_some(work))
                }
                Stage::Done => return None,
            };
            self.slots[slot].job.stage = next;
            if work.is_some() {
                return work;
            }
        }
    }

    /// Tells the batch, once that may be believed.
    fn settle(&mut self, slot: usize, steps: &mut Steps) -> bool {
        let job = &mut self.slots[slot].job;
        if job.class == Class::Write && job.failure.is_none() && job.needs > self.view.durable {
            if !self.view.broken {
                return false;
            }
            job.failure = Some(Error::Broken);
        }
        let (region, counted) = (job.region, job.counted);
        if job.spoiled {
            self.regions.happen(region, region::Event::Spoil);
        }
        let result = job.failure.map_or(Ok(()), Err);
        while !self.slots[slot].batch.is_empty() {
            if !steps.has_room() {
                self.wake(slot);
                return false;
            }
            let Some(task) = self.pool.pop(&mut self.slots[slot].batch) else { break };
            steps.push(match task.what {
                What::Read(request) | What::Write { id: request, .. } | What::Rows { id: request, .. } => {
                    Step::Do(Action::Complete { request, result })
                }
                What::Heal => Step::Healed { row: self.slots[slot].row, result },
                What::Check(_) => self.looks[slot].result(result.err()),
            });
        }
        if counted {
            self.regions.leave(region);
        }
        self.set(slot, Event::Told);
        true
    }
}

const fn class(what: What) -> Class {
    match what {
        What::Read(_) => Class::Read,
        What::Write { .. } | What::Rows { .. } => Class::Write,
        What::Heal => Class::Heal,
        What::Check(_) => Class::Check,
    }
}
