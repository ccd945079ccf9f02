//! One life of the array: requests, faults, and answers held against the model.

use std::hash::Hash;

use raid_core::engine::{self, Host};
use raid_core::health::Epoch;
use raid_core::recovery::Rates;
use raid_core::region::RegionNo;
use raid_core::request::{Error, Kind, Refused, Request, RequestId};
use raid_core::rows::{ROW_LEN, ROW_SECTORS, RowKind};
use raid_core::{Columns, Sector, Sectors};

use super::assembly::Found;
use super::check;
use super::compute::{Own, Shape};
use super::model::{Acknowledged, Model, Then, Value, Written};
use super::same::{Mark, Sum};
use super::setup::{Moment, Setup};
use super::story::{Fact, Steer};
use super::world::World;
use super::{History, Totals};

/// Turns after which an array that still does something is said to do it for ever.
const DRAIN_TURNS_MAX: u32 = 2_000_000;

/// Turns that a gentle world gives its members to be mended.
const MENDING_TURNS_MAX: u32 = 2_000;

/// A request under way, and what the model must hear when it is done.
#[derive(Clone, Debug, Hash)]
pub(super) enum Asked {
    Write { written: Written, fua: bool, at: usize, sick: bool },
    Read { then: Then, at: usize, len: usize, sick: bool, epoch: Epoch },
    Flush { then: Acknowledged },
}

/// One life.
pub(super) struct Life<'a> {
    pub(super) setup: &'a Setup,
    pub(super) world: World,
    pub(super) model: Model,
    pub(super) totals: Totals,
    /// What stood on the disks at power on.
    pub(super) found: &'a Found,
    pub(super) next_id: u64,
    pub(super) asked: Vec<(RequestId, Asked)>,
    /// Answers that were not heard yet.
    done: Vec<(RequestId, Result<(), Error>)>,
    /// The newest request when a fault happened last.
    pub(super) fault_at: u64,
    /// Members that were out when somebody looked last.
    pub(super) out: Columns,
    /// What sort of moment the power waits for.
    cut_on: Moment,
    /// Such a moment came.
    moment: bool,
}

impl<'a> Life<'a> {
    /// A life after that `history`, in a world made of what was `found`.
    pub(super) fn new(setup: &'a Setup, world: World, history: History, found: &'a Found) -> Self {
        let History { model, totals, next_id } = history;
        let out = world.view().health.missing();
        let (asked, done) = (Vec::new(), Vec::new());
        Self {
            setup,
            world,
            model,
            totals,
            found,
            next_id,
            asked,
            done,
            fault_at: 0,
            out,
            cut_on: setup.cut_on.0[0],
            moment: false,
        }
    }

    /// The end: what is left outside is the world's.
    pub(super) fn end(self) -> (World, History) {
        let Self { world, model, totals, next_id, .. } = self;
        (world, History { model, totals, next_id })
    }

    /// Becomes what `other` is, in the same scene.
    pub(super) fn copy_from(&mut self, other: &Self) {
        let Self { setup: _, world, model, totals, found, next_id, asked, done, fault_at, out, cut_on, moment } = other;
        self.world.copy_from(world);
        self.model.clone_from(model);
        self.asked.clone_from(asked);
        self.done.clone_from(done);
        (self.totals, self.found, self.next_id, self.fault_at) = (*totals, *found, *next_id, *fault_at);
        (self.out, self.cut_on, self.moment) = (*out, *cut_on, *moment);
    }

    fn dice(&self, sides: u32) -> bool {
        self.world.outside(|out| out.dice.one_in(sides))
    }

    pub(super) fn tell(&self, fact: Fact) {
        self.world.outside(|out| out.story.note(fact));
    }

    /// Lives for some turns, in which everything may happen, or until a moment that is too good to be missed.
    pub(super) fn live(&mut self) -> Result<(), String> {
        self.cut_on = self.setup.cut_on.0[usize::from(self.world.outside(|out| out.dice.coin()))];
        for done in 0.. {
            if self.moment || !self.world.outside(|out| out.dice.goes_on(done, self.setup.turns)) {
                break;
            }
            self.world.outside(|out| out.dice.next_turn());
            if self.dice(self.setup.unusual_every) {
                self.unusual();
            }
            self.go_on()?;
        }
        Ok(())
    }

    /// What happens beside requests, perhaps.
    fn unusual(&mut self) {
        if self.dice(self.setup.fault_every) {
            self.fault();
        }
        if self.dice(100) {
            self.replace();
        }
        if self.dice(150) {
            self.exchange();
        }
        if self.dice(60) {
            self.steer();
        }
        if self.dice(120) {
            self.patrol();
        }
    }

    /// What a gentle world does before the power fails: waits until all members are good.
    pub(super) fn mend(&mut self) -> Result<(), String> {
        self.set_free();
        for _ in 0..MENDING_TURNS_MAX {
            // What is in doubt stays so: waiting for it is of no use.
            if !self.setup.gentle || self.moment || self.impaired().is_empty() || self.world_failures() > 0 {
                break;
            }
            self.world.outside(|out| out.dice.next_turn());
            self.world.outside(|out| out.disks.iter_mut().for_each(|disk| disk.unreadable.clear()));
            self.replace();
            self.go_on()?;
        }
        Ok(())
    }

    /// A turn without faults.
    fn go_on(&mut self) -> Result<(), String> {
        if self.asked.len() < self.setup.depth && self.dice(self.setup.ask_every) {
            self.ask();
        }
        if self.dice(self.setup.sweep_every) {
            self.tell(Fact::Swept);
            self.world.sweep();
        }
        for _ in 0..self.setup.pace {
            self.world.turn();
        }
        if let (Moment::Between(kind), sides) = (self.cut_on, self.setup.cut_on.1) {
            // Most of these moments are dull: one in some tens is taken.
            self.moment |= sides > 0 && self.world.is_between(kind) && self.dice(sides * 16);
        }
        self.hear()
    }

    /// The user pauses recovery, lets it go on, or says how fast it may go; and time goes by.
    fn steer(&self) {
        let steer = self.world.outside(|out| match out.dice.below(6) {
            0 => Steer::Tick { busy: out.dice.coin() },
            1 | 2 => Steer::Resume,
            3 => Steer::Rate(out.dice.below(200).into()),
            4 => Steer::Free,
            _ => Steer::Pause,
        });
        self.tell(Fact::Steered(steer));
        match steer {
            Steer::Tick { busy } => engine::tick(&self.world, 100, busy),
            Steer::Pause => engine::pause(&self.world),
            Steer::Resume => engine::resume(&self.world),
            Steer::Rate(rate) => {
                engine::set_rates(&self.world, Rates { floor_rows_s: rate / 4, ceiling_rows_s: rate });
            }
            Steer::Free => engine::set_rates(&self.world, Rates::FREE),
        }
    }

    /// Recovery may go as fast as it can.
    fn set_free(&self) {
        engine::resume(&self.world);
        engine::set_rates(&self.world, Rates::FREE);
    }

    /// Waits until all is quiet. Nobody may wait for anything then.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        self.set_free();
        for _ in 0..DRAIN_TURNS_MAX {
            self.world.outside(|out| out.dice.next_turn());
            let turned = self.world.turn();
            self.hear()?;
            if !turned {
                return self.must_rest();
            }
        }
        Err(format!("still busy after {DRAIN_TURNS_MAX} turns"))
    }

    /// Nothing can happen any more: then nobody may wait.
    pub(super) fn must_rest(&self) -> Result<(), String> {
        let resting = self.world.with_recovery(|recovery| recovery.is_resting());
        let checking = self.world.with_check(|check| check.state());
        match self.asked.first() {
            Some((id, asked)) => Err(format!("all is quiet, but request {} waits: {asked:?}", id.0)),
            None if !resting => Err("all is quiet, but recovery has work".to_owned()),
            None if checking != raid_core::check::State::Resting => {
                Err(format!("all is quiet, but a check is {checking:?}"))
            }
            None => Ok(()),
        }
    }

    /// What goes on from here depends on nothing else.
    pub(super) fn mark(&self, into: &mut Mark) {
        self.world.mark(into);
        self.model.hash(into);
        let mut sum = Sum::default();
        self.asked.iter().for_each(|asked| sum.add(asked));
        sum.hash(into);
        (self.next_id, self.fault_at, self.out).hash(into);
    }

    fn ask(&mut self) {
        let (sectors, (writes, reads)) = (self.model.len(), self.setup.mix);
        let (kind, at, len) = self.world.outside(|out| {
            let kind = match out.dice.below(20) {
                sort if sort < writes => written(out),
                sort if sort < writes + reads => Kind::Read,
                _ => Kind::Flush,
            };
            // Half of the requests crowd at the start, so that they meet.
            let crowd = if out.dice.coin() { sectors } else { sectors.min(32) };
            let at = out.dice.index(crowd);
            let whole = out.dice.coin();
            let row = ROW_LEN;
            if whole { (kind, at / row * row, row) } else { (kind, at, 1 + out.dice.index(row)) }
        });
        if kind.writes() && self.dice(4) {
            self.ask_tall(kind, at);
        } else if kind.writes() && self.dice(3) {
            // A run of neighbours, as a sequential writer makes them.
            for offset in 0..self.setup.run {
                self.submit(kind, at + offset * len, len);
            }
        } else {
            self.submit(kind, at, len);
        }
    }

    /// Submits as much of a request as one piece takes.
    pub(super) fn submit(&mut self, kind: Kind, at: usize, len: usize) -> bool {
        let next = RequestId(self.next_id + 1);
        let mut words = [0; ROW_LEN];
        if matches!(kind, Kind::Write { .. }) {
            for (offset, word) in words.iter_mut().enumerate() {
                *word = value_of(next, at + offset);
            }
        }
        self.submit_words(kind, at, &words[..len]).is_some()
    }

    /// The same, with what is written; how many sectors it takes, if it is taken.
    pub(super) fn submit_words(&mut self, kind: Kind, at: usize, words: &[Value]) -> Option<usize> {
        let len = words.len();
        let (sector, wanted) = (Sector(at as u64), Sectors(len as u64));
        let len = match (kind, self.setup.rows.piece(sector, wanted)) {
            (Kind::Flush, _) => 0,
            (_, Some((_, taken))) => usize::try_from(taken.0).unwrap_or(0).min(self.model.len() - at),
            (_, None) => return None,
        };
        self.next_id += 1;
        let id = RequestId(self.next_id);
        let mut values = [0; ROW_LEN];
        values[..len].copy_from_slice(&words[..len]);
        let sick = !self.impaired().is_empty();
        // What is asked for is promised what was there before.
        let before = match kind {
            Kind::Flush => Some(Asked::Flush { then: self.model.acknowledged() }),
            Kind::Read => {
                let epoch = self.world.view().health.epoch();
                Some(Asked::Read { then: self.model.now(at, len), at, len, sick, epoch })
            }
            Kind::Write { .. } | Kind::WriteRows { .. } | Kind::WriteZeroes { .. } | Kind::Discard => None,
        };
        let writes = kind.writes();
        self.world.buffers(|buffers| buffers.bring(Own { id, at, len, writes, values, shape: Shape::ONE }));
        self.tell(Fact::Asked { id, kind, at, len });
        self.world.arm();
        match engine::submit(&self.world, Request { id, kind, at: sector, len: Sectors(len as u64) }) {
            Ok(()) => {}
            Err(Refused::Busy | Refused::PastTheEnd | Refused::CrossesRow | Refused::RowByRow) => {
                self.tell(Fact::Refused { id });
                self.world.buffers(|buffers| buffers.take(id));
                return None;
            }
        }
        let asked = before.unwrap_or_else(|| Asked::Write {
            written: self.model.write(at, &values[..len]),
            fua: is_fua(kind),
            at,
            sick,
        });
        self.asked.push((id, asked));
        Some(len)
    }

    /// Hears what is done, and looks whether anything is wrong that can be seen at once.
    pub(super) fn hear(&mut self) -> Result<(), String> {
        if !self.world.has_news() {
            return Ok(());
        }
        self.hear_findings()?;
        if let Some(misfit) = self.world.take_misfit() {
            return Err(misfit);
        }
        if self.world.take_states_moved() {
            self.must_be_guilty()?;
        }
        let mut done = std::mem::take(&mut self.done);
        self.world.take_done(&mut done);
        for (id, result) in done.drain(..) {
            self.tell(Fact::Answered { id, result });
            // What is one request to the engine may be several to the model.
            let Shape { parts, all, .. } = self.world.buffers(|buffers| buffers.shape_of(id));
            let (parts, all) = (id.0 + parts as u64, id.0 + all as u64);
            for part in (id.0..parts).map(RequestId) {
                let Some(place) = self.asked.iter().position(|(other, _)| *other == part) else {
                    return Err(format!("request {} is done and nobody asked for it, or it was done before", part.0));
                };
                let (_, asked) = self.asked.swap_remove(place);
                self.heard(part, asked, result)?;
            }
            self.world.buffers(|buffers| (parts..all).for_each(|id| _ = buffers.take(RequestId(id))));
        }
        self.done = done;
        Ok(())
    }

    /// A member may be lost under the reads that are under way.
    pub(super) fn unsettle_reads(&mut self) {
        for (_, asked) in &mut self.asked {
            if let Asked::Read { then, .. } = asked {
                then.unsettle();
            }
        }
    }

    fn heard(&mut self, id: RequestId, asked: Asked, result: Result<(), Error>) -> Result<(), String> {
        let own = self.world.buffers(|buffers| buffers.take(id));
        match (asked, result) {
            (Asked::Write { written, fua, .. }, Ok(())) => {
                self.totals.writes += 1;
                self.model.written(&written, fua);
                self.answered(fua);
            }
            (Asked::Read { then, at, len, epoch, .. }, Ok(())) => {
                self.totals.reads += 1;
                let values = own.map_or([0; ROW_LEN], |own| own.values);
                let steady = self.fault_at < id.0 && self.impaired().is_empty();
                self.model.read(&then, &values[..len], steady).map_err(|error| format!("request {}: {error}", id.0))?;
                if self.fault_at < id.0 && epoch == self.world.view().health.epoch() {
                    self.must_be_mended(at, len)?;
                }
                self.answered(false);
            }
            (Asked::Flush { then }, Ok(())) => {
                self.totals.flushes += 1;
                self.model.flushed(&then);
                self.answered(true);
            }
            (Asked::Read { at, len, .. }, Err(Error::RowByRow)) => {
                self.submit(Kind::Read, at, len);
            }
            (Asked::Read { at, sick, .. }, Err(Error::Doubted))
                if self.may_doubt(at, sick || self.fault_at >= id.0) =>
            {
                self.totals.doubted += 1;
            }
            (Asked::Write { written, at, sick, .. }, Err(Error::Doubted))
                if self.may_doubt(at, sick || self.fault_at >= id.0) =>
            {
                self.totals.doubted += 1;
                self.model.failed(&written);
            }
            (asked, Err(error)) => {
                return Err(format!("request {} failed: {error:?}, within what the array promises: {asked:?}", id.0));
            }
        }
        Ok(())
    }

    /// Something was answered: a moment for the power to fail.
    fn answered(&mut self, promised: bool) {
        let sides = self.setup.cut_on.1;
        self.moment |= match self.cut_on {
            _ if sides == 0 => false,
            Moment::AnsweredEarly => {
                let view = self.world.view();
                view.durable < view.health.epoch() && self.dice(sides)
            }
            Moment::Promised => promised && self.dice(sides * 8),
            Moment::Between(_) => false,
        };
    }

    /// Whether refusing to guess is right here: parity, a region found dirty, and a member that cannot be read, now or (`sick`) some
    /// time since the request was submitted.
    fn may_doubt(&self, at: usize, sick: bool) -> bool {
        let Some((piece, _)) = self.setup.rows.piece(Sector(at as u64), Sectors(1)) else { return false };
        let region = RegionNo(piece.row.0 / self.setup.limits.region_rows);
        self.setup.rows.kind() == RowKind::Parity
            && self.found.in_doubt(region)
            && (sick || !self.impaired().is_empty())
    }

    /// Reads everything. What is read is so from now on.
    pub(super) fn read_all(&mut self) -> Result<(), String> {
        let mut at = 0;
        while at < self.model.len() {
            let Some((_, taken)) = self.setup.rows.piece(Sector(at as u64), Sectors(ROW_SECTORS)) else { break };
            let len = usize::try_from(taken.0).unwrap_or(1).min(self.model.len() - at);
            self.next_id += 1;
            let id = RequestId(self.next_id);
            let then = self.model.now(at, len);
            let request = Request { id, kind: Kind::Read, at: Sector(at as u64), len: Sectors(len as u64) };
            let own = Own { id, at, len, writes: false, values: [0; ROW_LEN], shape: Shape::ONE };
            self.world.buffers(|buffers| buffers.bring(own));
            engine::submit(&self.world, request).map_err(|refused| format!("a read of a quiet array: {refused}"))?;
            while self.world.turn() {}
            let own = self.world.buffers(|buffers| buffers.take(id)).ok_or("a buffer is gone")?;
            let mut done = Vec::new();
            self.world.take_done(&mut done);
            match done.as_slice() {
                [(done, Ok(()))] if *done == id => {
                    self.model.read(&then, &own.values[..len], true).map_err(|error| format!("at the end: {error}"))?;
                    for (offset, value) in own.values[..len].iter().enumerate() {
                        self.model.settle(at + offset, *value);
                    }
                }
                [(done, Err(Error::Doubted))] if *done == id && self.may_doubt(at, false) => self.totals.doubted += 1,
                [(done, Err(Error::RowByRow))] if *done == id => continue,
                other => return Err(format!("the read of sector {at} at the end: {other:?}")),
            }
            at += len;
        }
        Ok(())
    }

    /// Flushes, and waits for it.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        if !self.submit(Kind::Flush, 0, 0) {
            return Err("a flush of a quiet array is refused".to_owned());
        }
        self.drain()
    }

    /// Rows that recovery could not heal.
    pub(super) fn world_failures(&self) -> u64 {
        self.world.with_recovery(|recovery| recovery.failures())
    }

    /// After everybody missing was replaced, and nothing was in doubt, all members are good.
    pub(super) fn must_be_whole(&self) -> Result<(), String> {
        let view = self.world.view();
        if view.is_whole() && view.durable == view.health.epoch() {
            return Ok(());
        }
        Err(format!("at the end not all members are in sync, or nobody wrote that down: {view:?}"))
    }

    /// After a sweep of a quiet array no bit is left, and what is durable fits.
    pub(super) fn must_be_clean(&self) -> Result<(), String> {
        let set = (0..super::regions(self.setup)).find(|region| self.world.log.borrow().is_set(RegionNo(*region)));
        if let Some(region) = set {
            return Err(format!("region {region} is quiet, and its bit is set after all sweeps"));
        }
        let all = Columns::first(self.setup.rows.geometry().members());
        let health = self.world.view().health;
        let row = self.world.outside(|out| check::inconsistent(&self.setup.rows, &out.disks, health, all).next());
        row.map_or(Ok(()), |row| Err(format!("row {} does not fit its redundancy at the end", row.0)))
    }
}

/// A write, now and then of zeros: the model calls them what nobody wrote, which these disks hold from the beginning.
fn written(out: &mut super::world::Outside) -> Kind {
    let fua = out.dice.one_in(6);
    match out.dice.below(16) {
        14 => Kind::WriteZeroes { fua, free: out.dice.coin() },
        15 => Kind::Discard,
        _ => Kind::Write { fua },
    }
}

/// True if it is to be durable when it is answered.
pub(super) const fn is_fua(kind: Kind) -> bool {
    matches!(kind, Kind::Write { fua: true } | Kind::WriteRows { fua: true } | Kind::WriteZeroes { fua: true, .. })
}

/// What a request writes to a sector: no two writes, and no two sectors of one, share one.
pub(super) fn value_of(id: RequestId, sector: usize) -> Value {
    id.0 << 20 | sector as u64
}
