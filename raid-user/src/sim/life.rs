//! One life of the array: requests, faults, and answers held against the model.

use std::collections::BTreeMap;

use raid_core::engine::{self, Host};
use raid_core::health;
use raid_core::recovery::Rates;
use raid_core::region::RegionNo;
use raid_core::request::{Error, Kind, Refused, Request, RequestId};
use raid_core::rows::{ROW_LEN, ROW_SECTORS, RowKind};
use raid_core::{Columns, Member, Sector, Sectors};

use super::Totals;
use super::check;
use super::disk::Disk;
use super::model::{Model, Then, Value, Written};
use super::setup::Setup;
use super::world::World;

/// Turns after which an array that still does something is said to do it for ever.
const DRAIN_TURNS_MAX: u32 = 2_000_000;

/// Turns that a gentle world gives its members to be mended.
const MENDING_TURNS_MAX: u32 = 2_000;

/// A request under way, and what the model must hear when it is done.
#[derive(Debug)]
enum Asked {
    Write { written: Written, fua: bool, at: usize, sick: bool },
    Read { then: Then, at: usize, len: usize, sick: bool },
    Flush { then: Then },
}

/// One life.
pub(super) struct Life<'a> {
    pub(super) setup: &'a Setup,
    pub(super) world: World,
    pub(super) model: &'a mut Model,
    pub(super) totals: &'a mut Totals,
    /// Regions whose bit was found set at power on.
    pub(super) doubt: &'a dyn Fn(RegionNo) -> bool,
    pub(super) next_id: &'a mut u64,
    asked: BTreeMap<RequestId, Asked>,
    /// The newest request when a fault happened last.
    fault_at: u64,
}

impl<'a> Life<'a> {
    pub(super) fn new(
        setup: &'a Setup,
        world: World,
        model: &'a mut Model,
        totals: &'a mut Totals,
        doubt: &'a dyn Fn(RegionNo) -> bool,
        next_id: &'a mut u64,
    ) -> Self {
        Self { setup, world, model, totals, doubt, next_id, asked: BTreeMap::new(), fault_at: 0 }
    }

    fn dice(&self, sides: u32) -> bool {
        self.world.outside(|out| out.rng.u32(..sides.max(1))) == 0
    }

    fn tell(&self, line: String) {
        self.world.outside(|out| out.tell(line));
    }

    /// Lives for some turns, in which everything may happen.
    pub(super) fn live(&mut self) -> Result<(), String> {
        for _ in 0..self.setup.turns {
            if self.dice(self.setup.fault_every) {
                self.fault();
            }
            if self.dice(100) {
                self.replace();
            }
            if self.dice(60) {
                self.steer();
            }
            self.go_on()?;
        }
        self.set_free();
        for _ in 0..MENDING_TURNS_MAX {
            // What is in doubt stays so: waiting for it is of no use.
            if !self.setup.gentle || self.impaired().is_empty() || self.world_failures() > 0 {
                break;
            }
            self.world.outside(|out| out.disks.iter_mut().for_each(|disk| disk.unreadable.clear()));
            self.replace();
            self.go_on()?;
        }
        Ok(())
    }

    /// A turn without faults.
    fn go_on(&mut self) -> Result<(), String> {
        if self.asked.len() < self.setup.depth && self.dice(3) {
            self.ask();
        }
        if self.dice(30) {
            self.world.sweep();
        }
        self.world.turn();
        self.hear()
    }

    /// The user pauses recovery, lets it go on, or says how fast it may go; and time goes by.
    fn steer(&self) {
        let (what, rate, busy) = self.world.outside(|out| (out.rng.u8(..6), out.rng.u64(..200), out.rng.bool()));
        match what {
            0 => engine::pause(&self.world),
            1 | 2 => engine::resume(&self.world),
            3 => engine::set_rates(&self.world, Rates { floor_rows_s: rate / 4, ceiling_rows_s: rate }),
            4 => engine::set_rates(&self.world, Rates::FREE),
            _ => engine::tick(&self.world, 100, busy),
        }
        self.tell(format!("recovery is steered: {what}, {rate} rows a second"));
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
            let turned = self.world.turn();
            self.hear()?;
            if !turned {
                let resting = self.world.with_recovery(|recovery| recovery.is_resting());
                return match self.asked.iter().next() {
                    Some((id, asked)) => Err(format!("all is quiet, but request {} waits: {asked:?}", id.0)),
                    None if !resting => Err("all is quiet, but recovery has work".to_owned()),
                    None => Ok(()),
                };
            }
        }
        Err(format!("still busy after {DRAIN_TURNS_MAX} turns"))
    }

    fn ask(&mut self) {
        let sectors = self.model.len();
        let (kind, at, len) = self.world.outside(|out| {
            let kind = match out.rng.u8(..20) {
                0..=10 => Kind::Write { fua: out.rng.u8(..6) == 0 },
                11..=17 => Kind::Read,
                _ => Kind::Flush,
            };
            // Half of the requests crowd at the start, so that they meet.
            let crowd = if out.rng.bool() { sectors } else { sectors.min(32) };
            let at = out.rng.usize(..crowd);
            let whole = out.rng.bool();
            let row = ROW_LEN;
            if whole { (kind, at / row * row, row) } else { (kind, at, out.rng.usize(1..=row)) }
        });
        if matches!(kind, Kind::Write { .. }) && self.dice(3) {
            // A run of neighbours, as a sequential writer makes them.
            for offset in 0..6 {
                self.submit(kind, at + offset * len, len);
            }
        } else {
            self.submit(kind, at, len);
        }
    }

    /// Submits as much of a request as one piece takes.
    fn submit(&mut self, kind: Kind, at: usize, len: usize) -> bool {
        let (sector, wanted) = (Sector(at as u64), Sectors(len as u64));
        let len = match (kind, self.setup.rows.piece(sector, wanted)) {
            (Kind::Flush, _) => 0,
            (_, Some((_, taken))) => usize::try_from(taken.0).unwrap_or(0).min(self.model.len() - at),
            (_, None) => return false,
        };
        *self.next_id += 1;
        let id = RequestId(*self.next_id);
        let values: Vec<Value> = (at..at + len).map(|sector| id.0 << 20 | sector as u64).collect();
        let (all, sick) = (self.model.len(), !self.impaired().is_empty());
        let then = if kind == Kind::Flush { self.model.now(0, all) } else { self.model.now(at, len) };
        if matches!(kind, Kind::Write { .. }) {
            self.world.buffers(|buffers| buffers.requests.insert(id, values.clone()));
        }
        self.tell(format!("request {}: {kind:?} {len} at {at}", id.0));
        match engine::submit(&self.world, Request { id, kind, at: sector, len: Sectors(len as u64) }) {
            Ok(()) => {}
            Err(Refused::Busy | Refused::PastTheEnd | Refused::CrossesRow) => {
                self.tell(format!("request {}: refused", id.0));
                self.world.buffers(|buffers| buffers.requests.remove(&id));
                return false;
            }
        }
        self.asked.insert(
            id,
            match kind {
                Kind::Write { fua } => Asked::Write { written: self.model.write(at, &values), fua, at, sick },
                Kind::Read => Asked::Read { then, at, len, sick },
                Kind::Flush => Asked::Flush { then },
            },
        );
        true
    }

    /// Hears what is done.
    fn hear(&mut self) -> Result<(), String> {
        for (id, result) in self.world.take_done() {
            let Some(asked) = self.asked.remove(&id) else {
                return Err(format!("request {} is done and nobody asked for it, or it was done before", id.0));
            };
            self.tell(format!("request {}: {result:?}", id.0));
            let buffer = self.world.buffers(|buffers| buffers.requests.remove(&id)).unwrap_or_default();
            match (asked, result) {
                (Asked::Write { written, fua, .. }, Ok(())) => {
                    self.totals.writes += 1;
                    self.model.written(&written, fua);
                }
                (Asked::Read { then, .. }, Ok(())) => {
                    self.totals.reads += 1;
                    self.model.read(&then, &buffer).map_err(|error| format!("request {}: {error}", id.0))?;
                }
                (Asked::Flush { then }, Ok(())) => {
                    self.totals.flushes += 1;
                    self.model.flushed(&then);
                }
                (Asked::Read { at, len, .. }, Err(Error::RowByRow)) => {
                    self.submit(Kind::Read, at, len);
                }
                (Asked::Read { at, sick, .. } | Asked::Write { at, sick, .. }, Err(Error::Doubted))
                    if self.may_doubt(at, sick || self.fault_at >= id.0) =>
                {
                    self.totals.doubted += 1;
                }
                (asked, Err(error)) => {
                    return Err(format!(
                        "request {} failed: {error:?}, within what the array promises: {asked:?}",
                        id.0
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether refusing to guess is right here: parity, a region found dirty, and a member that cannot be read, now or (`sick`) some
    /// time since the request was submitted.
    fn may_doubt(&self, at: usize, sick: bool) -> bool {
        let Some((piece, _)) = self.setup.rows.piece(Sector(at as u64), Sectors(1)) else { return false };
        let region = RegionNo(piece.row.0 / self.setup.limits.region_rows);
        self.setup.rows.kind() == RowKind::Parity && (self.doubt)(region) && (sick || !self.impaired().is_empty())
    }

    /// Members that are not as good as new, known or not.
    pub(super) fn impaired(&self) -> Columns {
        let view = self.world.with_members(|members| members.view());
        let members = Columns::first(self.setup.rows.geometry().members());
        let sick = |member: &Member| {
            let sick = |disk: &Disk| !disk.present || disk.refuses || !disk.unreadable.is_empty();
            view.health.state(*member) != Some(health::State::InSync)
                || self.world.outside(|out| sick(&out.disks[usize::from(member.0)]))
        };
        members.iter().filter(sick).collect()
    }

    /// A fault, within what the array promises to survive.
    fn fault(&mut self) {
        let impaired = self.impaired();
        let members = self.setup.rows.geometry().members();
        let member = Member(self.world.outside(|out| out.rng.u8(..u8::try_from(members).unwrap_or(u8::MAX))));
        let free = impaired.len() as usize;
        if !impaired.contains(member) && free >= self.setup.redundancy {
            return;
        }
        self.totals.faults += 1;
        self.fault_at = *self.next_id;
        let kind = self.world.outside(|out| out.rng.u8(..6));
        match kind {
            0 | 1 => {
                self.tell(format!("member {member} vanishes"));
                self.world.outside(|out| out.disks[usize::from(member.0)].present = false);
            }
            2 => {
                self.tell(format!("member {member} is thrown out"));
                engine::fail(&self.world, member);
            }
            3 => {
                self.tell(format!("member {member} will fail a write"));
                self.world.outside(|out| out.disks[usize::from(member.0)].refuses = true);
            }
            _ => self.world.outside(|out| {
                let disk = &mut out.disks[usize::from(member.0)];
                let at = out.rng.usize(..disk.len());
                disk.unreadable.insert(at);
                out.tell(format!("member {member}: sector {at} becomes unreadable"));
            }),
        }
    }

    /// Missing members get another disk, or their own again.
    pub(super) fn replace(&mut self) {
        let health = self.world.with_members(|members| members.view().health);
        let Some(member) = health.missing().iter().next() else { return };
        self.world.outside(|out| {
            let disk = &mut out.disks[usize::from(member.0)];
            let own = disk.present && out.rng.bool();
            if !own {
                *disk = Disk::new(disk.len(), || out.rng.u64(..));
            }
            disk.refuses = false;
            disk.unreadable.clear();
            disk.since = health.epoch();
            out.tell(format!("member {member}: {} disk is added", if own { "its own" } else { "another" }));
        });
        self.totals.added += 1;
        // Refused if the failure is not yet known to everybody: it is tried again.
        let _ = engine::add(&self.world, member);
    }

    /// Reads everything. What is read is so from now on.
    pub(super) fn read_all(&mut self) -> Result<(), String> {
        let mut at = 0;
        while at < self.model.len() {
            let Some((_, taken)) = self.setup.rows.piece(Sector(at as u64), Sectors(ROW_SECTORS)) else { break };
            let len = usize::try_from(taken.0).unwrap_or(1).min(self.model.len() - at);
            *self.next_id += 1;
            let id = RequestId(*self.next_id);
            let then = self.model.now(at, len);
            let request = Request { id, kind: Kind::Read, at: Sector(at as u64), len: Sectors(len as u64) };
            engine::submit(&self.world, request).map_err(|refused| format!("a read of a quiet array: {refused}"))?;
            while self.world.turn() {}
            let values = self.world.buffers(|buffers| buffers.requests.remove(&id)).unwrap_or_default();
            match self.world.take_done().as_slice() {
                [(done, Ok(()))] if *done == id => {
                    self.model.read(&then, &values).map_err(|error| format!("at the end: {error}"))?;
                    for (offset, value) in values.iter().enumerate() {
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
        let view = self.world.with_members(|members| members.view());
        if view.is_whole() && view.durable == view.health.epoch() {
            return Ok(());
        }
        Err(format!("at the end not all members are in sync, or nobody wrote that down: {view:?}"))
    }

    /// After a sweep of a quiet array no bit is left, and what is durable fits.
    pub(super) fn must_be_clean(&self) -> Result<(), String> {
        let regions = self.setup.rows.count().div_ceil(self.setup.limits.region_rows);
        let set = (0..regions).find(|region| self.world.with_log(|log| log.is_set(RegionNo(*region))));
        if let Some(region) = set {
            return Err(format!("region {region} is quiet, and its bit is set after three sweeps"));
        }
        let all = Columns::first(self.setup.rows.geometry().members());
        let row = self.world.outside(|out| check::inconsistent(&self.setup.rows, &out.disks, all).next());
        row.map_or(Ok(()), |row| Err(format!("row {} does not fit its redundancy at the end", row.0)))
    }

    /// Throws out a member that was not there at power on.
    pub(super) fn miss(&self, member: Member) {
        engine::fail(&self.world, member);
    }
}
