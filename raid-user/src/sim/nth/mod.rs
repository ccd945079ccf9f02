//! Every operation with its n-th member action failing, for every n until none is left to fail.
//!
//! No dice here: actions are done in the order in which they were asked for, or the newest first, and exactly one of them goes wrong: it
//! fails once, or its disk is dead from then on, or it was done and is denied. Reads and writes of data, flushes, pages of the log and the
//! members' states all count. After each, either the operation succeeded and everything reads right, now and after a power cut, or
//! the failure was reported; and if the array survives the loss of that disk beside those that it lacked, it must have succeeded.

mod rig;

use std::collections::BTreeMap;

use raid_core::check::{Mended, Order, State as Checking, Trust};
use raid_core::engine::{self, Host as _};
use raid_core::geometry::{Content, Geometry, Place};
use raid_core::health::State;
use raid_core::members::Away;
use raid_core::region::RegionNo;
use raid_core::request::{Error, Kind};
use raid_core::rows::{RowNo, Rows};
use raid_core::{
    ArrayConfig, Columns, FarSets, Level, Member, Raid5Layout, Raid6Layout, Raid10Layout, Sector, Sectors, Sizes,
};

use super::check;
use super::compute::POISON;
use super::disk::{Chance, Disk};
use super::model::Value;
use super::world::index;
use rig::{Fault, LIMITS, Manner, NO_FAULT, Rig};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Read,
    Sector,
    Row,
    Stripe,
    Fua,
    Flush,
    /// A row becomes zeros.
    Zeroes,
    /// And so do many, by one write.
    ZeroStripe,
    /// A member fails, and a new one is filled.
    Rebuild,
    /// All is in doubt, and some rows do not fit.
    Resync,
    Check,
    Repair,
    /// A member fails, misses a write, and comes back with what it has.
    Readd,
    Fail,
}

const OPS: [Op; 14] = [
    Op::Read,
    Op::Sector,
    Op::Row,
    Op::Stripe,
    Op::Fua,
    Op::Flush,
    Op::Zeroes,
    Op::ZeroStripe,
    Op::Rebuild,
    Op::Resync,
    Op::Check,
    Op::Repair,
    Op::Readd,
    Op::Fail,
];

/// Whom operations that need one throw out.
const VICTIM: Member = Member(1);
/// Where the wrong block of a check lies: on this member, in this sector of it.
const ROTTEN: (Member, usize) = (Member(2), 11);
/// What rots there.
const ROT: Value = 0x0BAD_0BAD;

fn arrays() -> Vec<(Geometry, Columns)> {
    let near = Level::Raid10(Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All });
    let none = Columns::EMPTY;
    let one = Columns::one(Member(0));
    let two: Columns = [Member(0), Member(3)].into_iter().collect();
    [
        (Level::Raid1, 2, none),
        (Level::Raid1, 3, none),
        (Level::Raid1, 3, one),
        (near, 4, none),
        (near, 4, one),
        (Level::Raid4, 3, none),
        (Level::Raid5(Raid5Layout::LeftSymmetric), 4, none),
        (Level::Raid5(Raid5Layout::LeftSymmetric), 4, one),
        (Level::Raid6(Raid6Layout::LeftSymmetric), 5, none),
        (Level::Raid6(Raid6Layout::LeftSymmetric), 5, one),
        (Level::Raid6(Raid6Layout::LeftSymmetric), 5, two),
    ]
    .into_iter()
    .map(|(level, members, missing)| {
        let chunk = if level == Level::Raid1 { Sectors(0) } else { Sectors(8) };
        let sizes = Sizes::Same(Sectors(32));
        let config = ArrayConfig { level, members, chunk, sizes, array_size: None };
        (Geometry::new(&config).unwrap(), missing)
    })
    .collect()
}

/// What stands in a sector before anything is done.
fn old(sector: u64) -> Value {
    sector * 3 + 1_000
}

/// An array that was written all over, lost these members, and was stopped in order.
fn base(geometry: &Geometry, missing: Columns) -> Vec<Disk> {
    let health = raid_testkit::null_host::whole(geometry);
    let mut disk = Disk::new(32, |_| 0);
    disk.health = Some(health);
    let rig = Rig::start(geometry, vec![disk; usize::from(geometry.members())], NO_FAULT);
    rig.drain();
    for (at, len) in rig.pieces(0, rig.size()) {
        rig.write(Kind::Write { fua: false }, at, &(at..at + len).map(old).collect::<Vec<_>>()).unwrap();
    }
    for _ in 0..4 {
        engine::sweep(&rig.host, 100);
        rig.drain();
    }
    for member in missing.iter() {
        engine::fail(&rig.host, member);
        rig.drain();
    }
    rig.flush().unwrap();
    let mut disks = rig.cut(Chance::None);
    let health = rig.health();
    for member in missing.iter() {
        disks[usize::from(member.0)].present = false;
    }
    assert!(check::inconsistent(rig.host.rows(), &disks, health.in_sync()).next().is_none());
    let bits = (0..2).filter(|region| check::bit(&disks, health.in_sync(), RegionNo(*region), 1));
    assert_eq!(bits.count(), 0, "all is clean");
    disks
}

/// One operation on one array with one fault.
struct Run {
    op: Op,
    missing: Columns,
    rig: Rig,
    /// Disks as they were.
    before: Vec<Disk>,
    /// Sectors written anew, and how that went: by their request.
    wrote: BTreeMap<u64, Result<(), Error>>,
    /// Results of all requests.
    results: Vec<Result<(), Error>>,
    flushed: bool,
}

fn new(sector: u64) -> Value {
    sector * 3 + 900_001
}

impl Run {
    fn start(op: Op, geometry: &Geometry, missing: Columns, base: &[Disk], fault: Fault) -> Self {
        let mut disks = base.to_vec();
        match op {
            Op::Check | Op::Repair if names(geometry, missing) => {
                let mut rotten = disks[usize::from(ROTTEN.0.0)].clone();
                rotten.write(ROTTEN.1, ROT, true);
                disks[usize::from(ROTTEN.0.0)] = rotten;
            }
            Op::Resync => {
                let rows = Rows::new(geometry.clone()).unwrap();
                for disk in &mut disks {
                    disk.log = vec![vec![3]];
                }
                // What does not fit is redundancy: P, or the last copy.
                for row in [0, 3].map(RowNo) {
                    let redundant = rows.stripe(row).map_or(rows.members(row), |stripe| Rows::parity(&stripe));
                    let live = |member: &Member| disks[usize::from(member.0)].present;
                    let spoiled = redundant.iter().filter(live).last();
                    let others = rows.members(row).iter().filter(|member| live(member)).count();
                    if let (Some(member), true) = (spoiled, others > 1) {
                        let at = index(rows.at(row, rows.whole(row), member).unwrap().0);
                        disks[usize::from(member.0)].write(at, ROT, true);
                    }
                }
            }
            _ => {}
        }
        let before = disks.clone();
        let rig = Rig::start(geometry, disks, fault);
        let (wrote, results) = (BTreeMap::new(), Vec::new());
        Self { op, missing, rig, before, wrote, results, flushed: false }
    }

    fn go(&mut self) {
        self.rig.drain();
        let plain = Kind::Write { fua: false };
        match self.op {
            Op::Read => {
                for (at, len) in self.rig.pieces(0, self.rig.size()) {
                    let read = self.rig.read(at, len);
                    if let Ok(values) = &read {
                        assert!(values.iter().copied().eq((at..at + len).map(old)), "read {values:?}");
                    }
                    self.results.push(read.map(|_| ()));
                }
            }
            Op::Sector => self.write(plain, 3, 1),
            Op::Row => self.write(plain, 8, 8),
            Op::Fua => self.write(Kind::Write { fua: true }, 8, 8),
            Op::Stripe => self.write(plain, 0, self.rig.size().min(32)),
            Op::Zeroes => self.write(Kind::WriteZeroes { fua: false, free: false }, 8, 8),
            Op::ZeroStripe => self.write(Kind::WriteZeroes { fua: true, free: true }, 0, self.rig.size().min(32)),
            Op::Flush => {
                self.write(plain, 8, 8);
                let flushed = self.rig.flush();
                self.flushed = flushed.is_ok();
                self.results.push(flushed);
            }
            Op::Rebuild => self.rebuild(),
            Op::Resync => {}
            Op::Check => self.check(None),
            Op::Repair => self.check(Some(Trust::Nobody)),
            Op::Readd => self.readd(),
            Op::Fail => {
                engine::fail(&self.rig.host, VICTIM);
                self.rig.drain();
            }
        }
    }

    fn write(&mut self, kind: Kind, at: u64, len: u64) {
        let pieces = self.rig.pieces(at, len);
        // What a write of zeros has in its buffer must not matter.
        let value = |sector| if matches!(kind, Kind::Write { .. }) { new(sector) } else { POISON };
        let submit =
            |(at, len): &(u64, u64)| self.rig.submit(kind, *at, &(*at..at + len).map(value).collect::<Vec<_>>());
        let ids: Vec<u64> = pieces.iter().map(submit).collect();
        self.rig.drain();
        for (id, (at, len)) in ids.into_iter().zip(pieces) {
            let result = self.rig.result(id);
            self.wrote.extend((at..at + len).map(|sector| (sector, result)));
            self.results.push(result);
        }
    }

    /// Whoever is missing, or the victim, gets an empty disk.
    fn rebuild(&mut self) {
        if self.missing.is_empty() {
            engine::fail(&self.rig.host, VICTIM);
            self.rig.drain();
        }
        for member in self.outs().iter() {
            let health = self.rig.health();
            if health.state(member) != Some(State::Missing) {
                continue;
            }
            let mut disk = Disk::new(32, |_| ROT);
            disk.since = health.epoch();
            self.rig.inside.borrow_mut().disks[usize::from(member.0)] = disk;
            if engine::add(&self.rig.host, member).is_ok() {
                self.rig.drain();
            }
        }
    }

    fn check(&mut self, repair: Option<Trust>) {
        let to = RowNo(self.rig.host.rows().count());
        engine::check(&self.rig.host, Order { from: RowNo(0), to, repair }).unwrap();
        self.rig.drain();
        assert_eq!(self.rig.host.check.borrow().state(), Checking::Resting);
    }

    fn readd(&mut self) {
        engine::fail(&self.rig.host, VICTIM);
        self.rig.drain();
        self.write(Kind::Write { fua: false }, 8, 8);
        let health = self.rig.health();
        if health.state(VICTIM) != Some(State::Missing) {
            return;
        }
        let mut inside = self.rig.inside.borrow_mut();
        let disk = &mut inside.disks[usize::from(VICTIM.0)];
        disk.since = health.epoch();
        let away = disk.health.as_ref().and_then(|knew| Away::new(VICTIM, knew));
        drop(inside);
        if let Some(away) = away
            && engine::readd(&self.rig.host, VICTIM, away).is_ok()
        {
            self.rig.drain();
        }
    }

    /// Those without all their content in the operation, fault or not.
    fn outs(&self) -> Columns {
        let victim = match self.op {
            Op::Rebuild if !self.missing.is_empty() => Columns::EMPTY,
            Op::Rebuild | Op::Readd | Op::Fail => Columns::one(VICTIM),
            _ => Columns::EMPTY,
        };
        self.missing.union(victim)
    }

    /// The array survives what it lacks and the disk with the fault: nothing may be reported, and nothing lost.
    fn must_succeed(&self) -> bool {
        let hit: Columns = self.rig.inside.borrow().hit.into_iter().collect();
        self.rig.geometry.survives(self.outs().union(hit))
    }

    /// What was written to a sector.
    fn newest(&self, sector: u64) -> Value {
        if matches!(self.op, Op::Zeroes | Op::ZeroStripe) { 0 } else { new(sector) }
    }

    fn judge(&self) {
        // What comes now is no part of the operation.
        self.rig.inside.borrow_mut().fault.at = u64::MAX;
        let must = self.must_succeed();
        assert!(!must || !self.rig.is_broken(), "more than it survives failed");
        let doubted = self.op == Op::Resync;
        assert!(!must || doubted || self.results.iter().all(Result::is_ok), "{:?}", self.results);
        self.judge_disks();
        self.judge_reads(&self.rig, must && !doubted, |sector, result| match (self.wrote.get(&sector), result) {
            (None, value) => value == old(sector),
            (Some(Ok(())), value) => value == self.newest(sector),
            (Some(Err(_)), value) => value == old(sector) || value == self.newest(sector),
        });
        self.judge_scrub();
        self.judge_states(must);
        // The power fails, with nothing or everything of the caches on the disks, and everybody comes back.
        for chance in [Chance::None, Chance::All] {
            let later = Rig::start(&self.rig.geometry, self.rig.cut(chance), NO_FAULT);
            later.drain();
            let kept = self.flushed || matches!(self.op, Op::Fua | Op::ZeroStripe) || chance == Chance::All;
            self.judge_reads(&later, false, |sector, value| match self.wrote.get(&sector) {
                None => value == old(sector),
                Some(Ok(())) if kept => value == self.newest(sector),
                Some(_) => value == old(sector) || value == self.newest(sector),
            });
        }
    }

    /// What reads is right, and if it must be, everything reads.
    fn judge_reads(&self, rig: &Rig, must: bool, right: impl Fn(u64, Value) -> bool) {
        let copies = rig.host.rows().stripe(RowNo(0)).is_none();
        let known = |sector: u64| {
            // Copies that differ after a crash are as good as each other; and what is recovered from a wrong block is wrong.
            let rotten = |place: Place| index(place.at.0) == ROTTEN.1;
            let scrub = matches!(self.op, Op::Check | Op::Repair);
            !(self.op == Op::Resync && copies || scrub && rig.geometry.copies(Sector(sector)).any(rotten))
        };
        for (at, len) in rig.pieces(0, rig.size()) {
            match rig.read(at, len) {
                Ok(values) => {
                    for (sector, value) in (at..).zip(values) {
                        assert!(right(sector, value) || !known(sector), "sector {sector} reads {value:#x}");
                    }
                }
                Err(error) => assert!(!must, "sector {at}: {error}"),
            }
        }
    }

    /// The theorem: redundancy that does not fit has its bit.
    fn judge_disks(&self) {
        for chance in [Chance::None, Chance::All] {
            let disks = self.rig.cut(chance);
            let Some(health) = check::health(&disks) else { continue };
            let trusted = check::trusted(&disks, &health);
            for row in check::inconsistent(self.rig.host.rows(), &disks, trusted) {
                let known = matches!(self.op, Op::Check | Op::Repair) && row.0 == ROTTEN.1 as u64 / 8;
                let region = RegionNo(row.0 / LIMITS.region_rows);
                assert!(known || check::bit(&disks, trusted, region, 1), "row {} fits not, and has no bit", row.0);
            }
        }
    }

    /// A check writes nothing, a repair what was there.
    fn judge_scrub(&self) {
        let inside = self.rig.inside.borrow();
        if !matches!(self.op, Op::Check | Op::Repair) {
            return;
        }
        for (member, (now, before)) in (0..).map(Member).zip(inside.disks.iter().zip(&self.before)) {
            for at in 0..before.len() {
                let healed =
                    self.op == Op::Repair && (member, at) == ROTTEN && now.now(at) == right(&self.rig, member, at);
                assert!(now.now(at) == before.now(at) || healed, "member {member}, sector {at}: {:#x}", now.now(at));
            }
        }
        let mended = inside.found.iter().any(|finding| finding.mended == Mended::Yes);
        if self.op == Op::Repair && inside.hit.is_none() && names(&self.rig.geometry, self.missing) {
            let healed = inside.disks[usize::from(ROTTEN.0.0)].now(ROTTEN.1) != ROT;
            assert!(mended && healed, "{:?}", inside.found);
        }
    }

    /// Who should be in sync at the end is.
    fn judge_states(&self, must: bool) {
        let (health, hit) = (self.rig.health(), self.rig.inside.borrow().hit);
        if !must || !matches!(self.op, Op::Rebuild | Op::Readd) {
            return;
        }
        for member in self.outs().iter().filter(|member| Some(*member) != hit) {
            let missing = self.op == Op::Readd && self.missing.contains(member);
            assert!(missing || health.state(member) == Some(State::InSync), "member {member}: {health:?}");
        }
    }
}

/// True if the array can tell a wrong block from right ones.
fn names(geometry: &Geometry, missing: Columns) -> bool {
    let whole = missing.is_empty();
    whole && (matches!(geometry.level(), Level::Raid6(_)) || geometry.level() == Level::Raid1 && geometry.members() > 2)
}

/// What belongs into a sector of a member that holds data or a copy; of parity, whatever is not rot.
fn right(rig: &Rig, member: Member, at: usize) -> Value {
    match rig.geometry.unmap(member, Sector(at as u64)) {
        Some(Content::Data(sector)) => old(sector.0),
        _ => rig.inside.borrow().disks[usize::from(member.0)].now(at),
    }
}

#[test]
fn whatever_fails_at_whatever_moment_the_operation_succeeds_or_says_so_and_the_array_keeps_its_promises() {
    let mut faults = 0_u64;
    for (geometry, missing) in arrays() {
        let base = base(&geometry, missing);
        for op in OPS {
            for manner in [Manner::Once, Manner::Dead, Manner::Denied] {
                for newest_first in [false, true] {
                    for at in 1.. {
                        let fault = Fault { at, manner, newest_first };
                        let run = || {
                            let mut run = Run::start(op, &geometry, missing, &base, fault);
                            run.go();
                            run.judge();
                            run.rig.inside.borrow().hit.is_some()
                        };
                        let hit = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
                        let Ok(hit) = hit else {
                            panic!(
                                "{:?}, {} members, without {missing:?}: {op:?}, {fault:?}",
                                geometry.level(),
                                geometry.members()
                            );
                        };
                        if !hit {
                            break;
                        }
                        faults += 1;
                    }
                }
            }
        }
    }
    assert!(faults > 10_000, "{faults}");
}
