//! The simulator as a host: disks, buffers, a heap of actions that are not done yet, and dice.
//!
//! Nothing here is concurrent, and everything is as if it were: an action is done when the dice say so, and between any two critical
//! sections of the pump they may let something else come first. The cells around the machines panic if one is entered while
//! another is: so locks cannot nest.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use fastrand::Rng;
use raid_core::Member;
use raid_core::action::{Action, Buf, SlotId, Token, Way, Work};
use raid_core::engine::{self, Host};
use raid_core::flush::Flushes;
use raid_core::members::Members;
use raid_core::memory::OutOfMemory;
use raid_core::recovery::Recovery;
use raid_core::region::{RegionLog, RegionNo};
use raid_core::request::{Error, RequestId};
use raid_core::reshape::Layouts;
use raid_core::rows::{Band, ROW_LEN, RowNo, Rows};
use raid_core::stripe::{Limits, Shard, State};

use super::bug::Bug;
use super::compute::{Buffers, POISON};
use super::disk::Disk;
use crate::host::memory::Heap;

/// How deep the dice may go: something comes between two critical sections of something that came between.
const NESTED_MAX: u32 = 3;

/// The clock of a flush that is a mistake: it covers nothing.
const NO_FLUSH: u64 = u64::MAX;

/// Lines of the story that are kept.
const STORY_MAX: usize = 60;

/// What outlives a power cut, and what the dice need.
pub(super) struct Outside {
    pub(super) rng: Rng,
    pub(super) disks: Vec<Disk>,
    pub(super) bug: Option<Bug>,
    pub(super) story: VecDeque<String>,
    /// Actions done in all.
    pub(super) actions: u64,
}

impl Outside {
    pub(super) fn tell(&mut self, line: String) {
        if self.story.len() == STORY_MAX {
            self.story.pop_front();
        }
        self.story.push_back(line);
    }
}

/// An action that is not done yet. A flush knows what it must cover.
#[derive(Clone, Copy, Debug)]
struct Pending {
    action: Action,
    clock: u64,
}

struct Inside {
    out: Outside,
    pending: Vec<Pending>,
    woken: BTreeSet<u16>,
    buffers: Buffers,
    done: Vec<(RequestId, Result<(), Error>)>,
    nested: u32,
    sweeping: bool,
}

/// One life of the array, from power on to power off.
pub(super) struct World {
    rows: Rows,
    layouts: Layouts,
    limits: Limits,
    shards: Vec<RefCell<Shard<Heap>>>,
    log: RefCell<RegionLog<Heap>>,
    members: RefCell<Members<Heap>>,
    flushes: RefCell<Flushes>,
    recovery: RefCell<Recovery>,
    /// Held in every critical section: panics if two of them nest.
    alone: RefCell<()>,
    inside: RefCell<Inside>,
}

impl World {
    /// Powers on: `members` as assembly found them, `doubt` the bits it found set.
    pub(super) fn new(
        rows: &Rows,
        limits: Limits,
        members: Members<Heap>,
        doubt: &dyn Fn(RegionNo) -> bool,
        out: Outside,
    ) -> Result<Self, OutOfMemory> {
        let (view, count) = (members.view(), rows.count());
        let regions = count.div_ceil(limits.region_rows);
        let shards = (0..limits.shards).map(|number| Shard::new(number, &limits, count, view, doubt).map(RefCell::new));
        let any_doubt = (0..regions).any(|region| doubt(RegionNo(region))).then_some(RowNo(0));
        Ok(Self {
            rows: rows.clone(),
            layouts: Layouts::one(rows.geometry().clone()),
            limits,
            shards: shards.collect::<Result<_, _>>()?,
            log: RefCell::new(RegionLog::new(regions, limits.log_page_words, view, doubt)?),
            members: RefCell::new(members),
            flushes: RefCell::new(Flushes::new(view)),
            recovery: RefCell::new(Recovery::new(view, &limits, count, any_doubt)),
            alone: RefCell::new(()),
            inside: RefCell::new(Inside {
                out,
                pending: Vec::new(),
                woken: BTreeSet::new(),
                buffers: Buffers::default(),
                done: Vec::new(),
                nested: 0,
                sweeping: false,
            }),
        })
    }

    /// The outside, and the dice.
    pub(super) fn outside<R>(&self, f: impl FnOnce(&mut Outside) -> R) -> R {
        f(&mut self.inside.borrow_mut().out)
    }

    /// A request's buffer: put there before a write, taken after a read.
    pub(super) fn buffers<R>(&self, f: impl FnOnce(&mut Buffers) -> R) -> R {
        f(&mut self.inside.borrow_mut().buffers)
    }

    /// Requests that completed.
    pub(super) fn take_done(&self) -> Vec<(RequestId, Result<(), Error>)> {
        std::mem::take(&mut self.inside.borrow_mut().done)
    }

    /// Lets one thing happen. False if nothing can.
    pub(super) fn turn(&self) -> bool {
        let mut inside = self.inside.borrow_mut();
        let (woken, pending) = (inside.woken.len(), inside.pending.len());
        if woken + pending == 0 {
            return false;
        }
        let pick = inside.out.rng.usize(..woken + pending);
        if pick < woken {
            let shard = inside.woken.iter().copied().nth(pick).unwrap_or(0);
            inside.woken.remove(&shard);
            let forgets = inside.out.bug == Some(Bug::ForgetWaiter) && inside.out.rng.u8(..50) == 0;
            drop(inside);
            if !forgets && engine::run(self, shard, 2) {
                self.wake(shard);
            }
            self.poison_free(shard);
        } else {
            let pending = inside.pending.swap_remove(pick - woken);
            inside.out.actions += 1;
            let (token, well) = inside.done(pending, self);
            drop(inside);
            engine::complete(self, token, well);
        }
        true
    }

    /// Buffers of slots that are free belong to nobody.
    fn poison_free(&self, shard: u16) {
        for slot in 0..self.limits.slots {
            if self.with_shard(shard, |machine| machine.slot(slot)) == Some(State::Free) {
                self.inside.borrow_mut().buffers.poison(SlotId { shard, slot });
            }
        }
    }

    /// Takes back bits, with or without the mistake of not waiting for the flush.
    pub(super) fn sweep(&self) {
        self.inside.borrow_mut().sweeping = true;
        engine::sweep(self, 1000);
        self.inside.borrow_mut().sweeping = false;
    }

    /// The power fails, in the middle of everything.
    pub(super) fn power_cut(self, chance: f64) -> Outside {
        let mut pending = std::mem::take(&mut self.inside.borrow_mut().pending);
        let mut inside = self.inside.borrow_mut();
        inside.out.rng.shuffle(&mut pending);
        for pending in pending {
            let arrives = inside.out.rng.f64() < chance;
            match pending.action {
                Action::Io { token, way: Way::Write { .. }, member, at, len, buf }
                    if inside.out.disks[usize::from(member.0)].present && inside.is_meant(member, &token) =>
                {
                    inside.write(member, index(at.0), index(len.0), buf, false, chance);
                }
                Action::WriteLog { .. } | Action::WriteHealth { .. } if arrives => {
                    let _ = inside.done(pending, &self);
                }
                _ => {}
            }
        }
        drop(inside);
        let Outside { mut rng, mut disks, bug, story, actions } = self.inside.into_inner().out;
        for disk in &mut disks {
            disk.power_cut(&mut rng, chance);
        }
        Outside { rng, disks, bug, story, actions }
    }
}

impl Inside {
    /// False if the action was decided before the present disk got the slot.
    fn is_meant(&self, member: Member, token: &Token) -> bool {
        token.seen().is_none_or(|seen| seen >= self.out.disks[usize::from(member.0)].since)
    }

    /// Does an action. What it is answered with.
    fn done(&mut self, pending: Pending, world: &World) -> (Token, bool) {
        match target(&pending.action) {
            Some((member, token)) if !self.is_meant(member, &token) => (token, false),
            _ => self.done_by_its_disk(pending, world),
        }
    }

    fn done_by_its_disk(&mut self, pending: Pending, world: &World) -> (Token, bool) {
        let bug = self.out.bug;
        match pending.action {
            Action::Io { token, way, member, at, len, buf } => {
                let well = self.io(way, member, index(at.0), index(len.0), buf);
                let ignored = match way {
                    Way::Read => bug == Some(Bug::IgnoreReadError),
                    Way::Write { .. } => bug == Some(Bug::IgnoreWriteError),
                };
                (token, well || ignored)
            }
            Action::Flush { token, member } => {
                let disk = &mut self.out.disks[usize::from(member.0)];
                let reaches = bug != Some(Bug::LostFlush) && (bug != Some(Bug::FlushOne) || member.0 == 0);
                if reaches && pending.clock != NO_FLUSH {
                    disk.flush(pending.clock);
                }
                (token, disk.present)
            }
            Action::WriteLog { token, member, page } => {
                let words = world.log.borrow().page(page).to_vec();
                let disk = &mut self.out.disks[usize::from(member.0)];
                if disk.present && bug != Some(Bug::SkipLog) {
                    let page = page as usize;
                    disk.log.resize(disk.log.len().max(page + 1), Vec::new());
                    disk.log[page] = words;
                }
                (token, disk.present)
            }
            Action::WriteHealth { token, member } => {
                let health = world.members.borrow().persisting();
                let disk = &mut self.out.disks[usize::from(member.0)];
                if disk.present && bug != Some(Bug::AckBeforeEpoch) {
                    disk.health = Some(health);
                }
                (token, disk.present)
            }
            Action::Compute { token, slot, stripe, first, len, work } => {
                let stripe = world.rows.geometry().stripe(stripe);
                let work = match (bug, work) {
                    (Some(Bug::ForgetQ), Work::Delta { column, request, p, .. }) => {
                        Work::Delta { column, request, p, q: false }
                    }
                    (Some(Bug::WrongDegradedParity), Work::Delta { column, request, .. })
                        if !world.members.borrow().view().is_whole() =>
                    {
                        Work::Take { column, request }
                    }
                    (Some(Bug::SkipRecover), Work::Recover { .. }) | (Some(Bug::SkipParity), Work::Parity { .. }) => {
                        return (token, true);
                    }
                    (_, work) => work,
                };
                self.buffers.compute(slot, stripe.as_ref(), Band { first, len }, work);
                (token, true)
            }
            Action::Complete { .. } => unreachable!("completions are not put off"),
        }
    }

    fn io(&mut self, way: Way, member: Member, at: usize, len: usize, buf: Buf) -> bool {
        match way {
            Way::Read => {
                let Some(values) = self.out.disks[usize::from(member.0)].read(at, len) else { return false };
                match buf {
                    Buf::Request(request) => {
                        self.buffers.requests.insert(request, values);
                    }
                    Buf::Slot { slot, column } => {
                        let first = at % ROW_LEN;
                        self.buffers.column(slot, column)[first..first + len].copy_from_slice(&values);
                    }
                }
                true
            }
            Way::Write { fua } => {
                let dropped = self.out.bug == Some(Bug::DropWrite) && self.out.rng.u8(..40) == 0;
                let disk = &mut self.out.disks[usize::from(member.0)];
                let well = !std::mem::take(&mut disk.refuses) && disk.present;
                if well && !dropped {
                    self.write(member, at, len, buf, fua && self.out.bug != Some(Bug::LostFua), 1.0);
                }
                well
            }
        }
    }

    /// Writes each sector with this chance: a write that the power cut caught is torn anywhere.
    fn write(&mut self, member: Member, at: usize, len: usize, buf: Buf, fua: bool, chance: f64) {
        for offset in 0..len {
            let value = match buf {
                Buf::Request(request) => {
                    self.buffers.requests.get(&request).and_then(|buffer| buffer.get(offset)).copied().unwrap_or(POISON)
                }
                Buf::Slot { slot, column } => self.buffers.column(slot, column)[at % ROW_LEN + offset],
            };
            if self.out.rng.f64() < chance {
                self.out.disks[usize::from(member.0)].write(at + offset, value, fua);
            }
        }
    }
}

impl Host for World {
    type Memory = Heap;

    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn layouts(&self) -> &Layouts {
        &self.layouts
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn with_shard<R>(&self, shard: u16, f: impl FnOnce(&mut Shard<Heap>) -> R) -> R {
        let _alone = self.alone.borrow_mut();
        f(&mut self.shards[usize::from(shard)].borrow_mut())
    }

    fn with_log<R>(&self, f: impl FnOnce(&mut RegionLog<Heap>) -> R) -> R {
        let _alone = self.alone.borrow_mut();
        f(&mut self.log.borrow_mut())
    }

    fn with_members<R>(&self, f: impl FnOnce(&mut Members<Heap>) -> R) -> R {
        let _alone = self.alone.borrow_mut();
        f(&mut self.members.borrow_mut())
    }

    fn with_flushes<R>(&self, f: impl FnOnce(&mut Flushes) -> R) -> R {
        let _alone = self.alone.borrow_mut();
        f(&mut self.flushes.borrow_mut())
    }

    fn with_recovery<R>(&self, f: impl FnOnce(&mut Recovery) -> R) -> R {
        let _alone = self.alone.borrow_mut();
        f(&mut self.recovery.borrow_mut())
    }

    fn perform(&self, action: Action) {
        let _alone = self.alone.borrow_mut();
        let mut inside = self.inside.borrow_mut();
        let clock = match action {
            Action::Complete { request, result } => {
                inside.done.push((request, result));
                return;
            }
            Action::Flush { .. } if inside.out.bug == Some(Bug::ClearBeforeFlush) && inside.sweeping => NO_FLUSH,
            Action::Flush { member, .. } => inside.out.disks[usize::from(member.0)].clock(),
            Action::Io { way: Way::Read, at, len, buf: Buf::Slot { slot, column }, .. } => {
                // The disk may write it from now on: whoever looks before it is done sees nothing good.
                let (first, len) = (index(at.0) % ROW_LEN, index(len.0));
                inside.buffers.column(slot, column)[first..first + len].fill(POISON);
                0
            }
            _ => 0,
        };
        inside.pending.push(Pending { action, clock });
    }

    fn wake(&self, shard: u16) {
        self.inside.borrow_mut().woken.insert(shard);
    }

    fn pause(&self) {
        let mut inside = self.inside.borrow_mut();
        if inside.nested == NESTED_MAX || inside.out.rng.u8(..8) != 0 {
            return;
        }
        inside.nested += 1;
        drop(inside);
        self.turn();
        self.inside.borrow_mut().nested -= 1;
    }
}

/// The disk that an action is for.
fn target(action: &Action) -> Option<(Member, Token)> {
    match *action {
        Action::Io { token, member, .. }
        | Action::Flush { token, member }
        | Action::WriteLog { token, member, .. }
        | Action::WriteHealth { token, member } => Some((member, token)),
        Action::Compute { .. } | Action::Complete { .. } => None,
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("the simulator's disks are small")
}
