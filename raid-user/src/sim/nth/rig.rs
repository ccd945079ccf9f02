//! An array on disks that fail when told to.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;
use raid_core::Member;
use raid_core::action::{Action, Answer, Buf, Token, Way};
use raid_core::check::Finding;
use raid_core::engine::{self, Host as _};
use raid_core::geometry::Geometry;
use raid_core::health::{Epoch, Health};
use raid_core::region::{Found, RegionNo};
use raid_core::request::{Error, Kind, Request, RequestId};
use raid_core::rows::{Band, ROW_LEN, RowNo, Rows};
use raid_core::stripe::Limits;
use raid_core::{Sector, Sectors};
use raid_testkit::null_host::NullHost;

use super::super::check;
use super::super::compute::{Buffers, Own, POISON, Shape};
use super::super::dice::Dice;
use super::super::disk::{Chance, Disk};
use super::super::model::Value;
use super::super::world::{index, target};

pub(super) const LIMITS: Limits = Limits {
    shards: 2,
    slots: 4,
    requests: 32,
    region_rows: 2,
    log_page_words: 1,
    read_errors_max: 3,
    heal_window: 2,
    checkpoint_rows: 2,
};

/// What goes wrong with the chosen action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It fails, and nothing was done.
    Once,
    /// It and all that follow for its disk fail.
    Dead,
    /// It was done, and is said to have failed.
    Denied,
}

/// The one that goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) at: u64,
    pub(super) manner: Manner,
    pub(super) newest_first: bool,
}

pub(super) const NO_FAULT: Fault = Fault { at: u64::MAX, manner: Manner::Once, newest_first: false };

/// An array on its disks.
pub(super) struct Rig {
    pub(super) host: NullHost<fn(&Action)>,
    pub(super) geometry: Geometry,
    pub(super) inside: RefCell<Inside>,
}

pub(super) struct Inside {
    pub(super) disks: Vec<Disk>,
    buffers: Buffers,
    queue: VecDeque<Action>,
    pub(super) fault: Fault,
    /// Member actions so far.
    count: u64,
    /// Whose action went wrong.
    pub(super) hit: Option<Member>,
    dead: Option<Member>,
    done: BTreeMap<u64, Result<(), Error>>,
    pub(super) found: Vec<Finding>,
    next: u64,
}

impl Rig {
    /// Starts what the disks hold.
    pub(super) fn start(geometry: &Geometry, disks: Vec<Disk>, fault: Fault) -> Self {
        let health = check::health(&disks).expect("some disk is a member");
        let rows = Rows::new(geometry.clone()).unwrap();
        let trusted = check::trusted(&disks, &health);
        let found = |region| match check::bit(&disks, &health, trusted, region, LIMITS.log_page_words) {
            true => Found::InDoubt,
            false => Found::Clean,
        };
        let doubt = (0..rows.count()).any(|row| found(RegionNo(row / LIMITS.region_rows)) == Found::InDoubt);
        let cleared = check::cleared(&disks);
        let doubt = doubt.then_some(RowNo(0));
        let quiet: fn(&Action) = |_| {};
        let host = NullHost::with(geometry.clone(), LIMITS, health, cleared, (&found, doubt), quiet);
        let buffers = Buffers::new(LIMITS.shards, LIMITS.slots, geometry.members());
        let inside = Inside {
            disks,
            buffers,
            queue: VecDeque::new(),
            fault,
            count: 0,
            hit: None,
            dead: None,
            done: BTreeMap::new(),
            found: Vec::new(),
            next: 0,
        };
        Self { host, geometry: geometry.clone(), inside: inside.into() }
    }

    /// Lets everything run until nothing is left to do.
    pub(super) fn drain(&self) {
        for _ in 0..100_000 {
            let more = self.host.run(100);
            let mut inside = self.inside.borrow_mut();
            while let Some(action) = self.host.next() {
                inside.queue.push_back(action);
            }
            let newest = inside.fault.newest_first;
            let next = if newest { inside.queue.pop_back() } else { inside.queue.pop_front() };
            let Some(action) = next else {
                drop(inside);
                if more {
                    continue;
                }
                return;
            };
            let done = inside.done(action, self);
            drop(inside);
            if let Some((token, answer)) = done {
                engine::complete(&self.host, token, answer);
            }
        }
        panic!("it does not come to rest");
    }

    pub(super) fn submit(&self, kind: Kind, at: u64, values: &[Value]) -> u64 {
        let mut inside = self.inside.borrow_mut();
        inside.next += 1;
        let id = RequestId(inside.next);
        let mut own = [POISON; ROW_LEN];
        own[..values.len()].copy_from_slice(values);
        let writes = kind.writes();
        inside.buffers.bring(Own { id, at: index(at), len: values.len(), writes, values: own, shape: Shape::ONE });
        drop(inside);
        let request = Request { id, kind, at: Sector(at), len: Sectors(values.len() as u64) };
        engine::submit(&self.host, request).unwrap();
        id.0
    }

    pub(super) fn result(&self, id: u64) -> Result<(), Error> {
        *self.inside.borrow().done.get(&id).expect("whatever was taken is answered")
    }

    pub(super) fn write(&self, kind: Kind, at: u64, values: &[Value]) -> Result<(), Error> {
        let id = self.submit(kind, at, values);
        self.drain();
        self.result(id)
    }

    /// The sectors of a row's worth, or why not.
    pub(super) fn read(&self, at: u64, len: u64) -> Result<Vec<Value>, Error> {
        loop {
            let id = self.submit(Kind::Read, at, &vec![POISON; index(len)]);
            self.drain();
            let own = self.inside.borrow_mut().buffers.take(RequestId(id)).unwrap();
            match self.result(id) {
                Err(Error::RowByRow) => {}
                result => return result.map(|()| own.values[..own.len].to_vec()),
            }
        }
    }

    pub(super) fn flush(&self) -> Result<(), Error> {
        self.write(Kind::Flush, 0, &[])
    }

    pub(super) fn pieces(&self, at: u64, len: u64) -> Vec<(u64, u64)> {
        let (mut pieces, mut from) = (Vec::new(), at);
        while from < at + len {
            let (_, taken) = self.host.rows().piece(Sector(from), Sectors(at + len - from)).unwrap();
            pieces.push((from, taken.0));
            from += taken.0;
        }
        pieces
    }

    pub(super) fn size(&self) -> u64 {
        self.geometry.array_size().0
    }

    pub(super) fn health(&self) -> Health {
        self.host.members.borrow().view().health
    }

    pub(super) fn is_broken(&self) -> bool {
        self.host.members.borrow().view().broken
    }

    /// What the disks hold when the power fails now.
    pub(super) fn cut(&self, chance: Chance) -> Vec<Disk> {
        let mut disks = self.inside.borrow().disks.clone();
        let mut dice = Dice::random(Rng::with_seed(0));
        for disk in &mut disks {
            disk.power_cut(&mut dice, chance);
            disk.since = Epoch(0);
        }
        disks
    }
}

impl Inside {
    /// Does an action, unless it is the one that goes wrong.
    fn done(&mut self, action: Action, rig: &Rig) -> Option<(Token, Answer)> {
        let Some((member, token)) = target(&action) else { return self.by_itself(action, rig) };
        if token.seen().is_some_and(|seen| seen < self.disks[usize::from(member.0)].since) {
            return Some((token, Answer::Failed));
        }
        self.count += 1;
        let chosen = self.count == self.fault.at;
        if chosen {
            self.hit = Some(member);
            self.dead = (self.fault.manner == Manner::Dead).then_some(member);
        }
        let fails = chosen && self.fault.manner == Manner::Once || self.dead == Some(member);
        let well = !fails && self.by_its_disk(action, member, rig);
        Some((token, (well && !chosen).into()))
    }

    fn by_itself(&mut self, action: Action, rig: &Rig) -> Option<(Token, Answer)> {
        match action {
            Action::Compute { token, slot, stripe, first, len, work } => {
                let stripe = rig.geometry.stripe(stripe);
                Some((token, self.buffers.compute(slot, stripe.as_ref(), Band { first, len }, work)))
            }
            Action::Found(finding) => {
                self.found.push(finding);
                None
            }
            Action::Complete { request, result } => {
                assert!(self.done.insert(request.0, result).is_none(), "answered twice");
                None
            }
            _ => unreachable!("it is for a member"),
        }
    }

    fn by_its_disk(&mut self, action: Action, member: Member, rig: &Rig) -> bool {
        let disk = &mut self.disks[usize::from(member.0)];
        match action {
            Action::Io { way: Way::Read, at, len, buf, .. } => {
                let (at, len) = (index(at.0), index(len.0));
                let Some(values) = disk.read(at, len) else { return false };
                match buf {
                    Buf::Request(id) => {
                        self.buffers.own(id).unwrap().values[..len].copy_from_slice(values);
                    }
                    Buf::Slot { slot, column } => {
                        let first = at % ROW_LEN;
                        self.buffers.column(slot, column)[first..first + len].copy_from_slice(values);
                    }
                    Buf::Rows { .. } | Buf::Zeroes { .. } => return false,
                }
            }
            Action::Io { way: Way::Write { fua }, at, len, buf, .. } => {
                let (at, len) = (index(at.0), index(len.0));
                let values = match buf {
                    Buf::Request(id) => self.buffers.own(id).unwrap().values,
                    Buf::Rows { .. } => unreachable!("no tall write is asked for here"),
                    Buf::Zeroes { .. } => [0; ROW_LEN],
                    Buf::Slot { slot, column } => {
                        let mut values = *self.buffers.column(slot, column);
                        values.rotate_left(at % ROW_LEN);
                        values
                    }
                };
                for (offset, value) in values.into_iter().take(len).enumerate() {
                    disk.write(at + offset, value, fua);
                }
            }
            Action::Flush { .. } => disk.flush(disk.clock()),
            Action::WriteLog { page, .. } => {
                let at = page as usize;
                disk.log.resize(disk.log.len().max(at + 1), Vec::new());
                disk.log[at] = rig.host.log.borrow().page(page).to_vec();
                disk.cleared = rig.host.log.borrow().cleared();
            }
            Action::WriteHealth { .. } => disk.health = Some(rig.host.members.borrow().persisting()),
            _ => unreachable!("it is for no member"),
        }
        true
    }
}
