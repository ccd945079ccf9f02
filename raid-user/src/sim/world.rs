//! The simulator as a host: disks, buffers, a heap of actions that are not done yet, and dice.
//!
//! Nothing here is concurrent, and everything is as if it were: an action is done when the dice say so, and between any two critical
//! sections of the pump they may let something else come first. The cells around the machines panic if one is entered while
//! another is: so locks cannot nest.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hash::Hash;

use raid_core::Member;
use raid_core::action::{Action, Buf, Token, Way};
use raid_core::broadcast::View;
use raid_core::check::{Checking, Finding};
use raid_core::engine::{self, Host};
use raid_core::flush::Flushes;
use raid_core::members::Members;
use raid_core::memory::OutOfMemory;
use raid_core::recovery::Recovery;
use raid_core::region::{Found, RegionLog, RegionNo};
use raid_core::request::{Error, RequestId};
use raid_core::reshape::Layouts;
use raid_core::rows::{ROW_LEN, RowNo, Rows};
use raid_core::stripe::{Limits, Shard, State};

use super::bug::Bug;
use super::check::{self, Held};
use super::compute::{Buffers, POISON};
use super::deeds::Kind;
use super::dice::Dice;
use super::disk::{Chance, Disk};
use super::same::{Mark, Sum};
use super::setup::{Haste, Setup};
use super::story::{Fact, Story};
use crate::host::memory::Heap;

/// How deep the dice may go: something comes between two critical sections of something that came between.
const NESTED_MAX: u32 = 3;

/// Critical sections among which the dice pick where something comes between.
const SECTIONS: u32 = 16;

/// How often what is slow is passed over.
const SLOW: u32 = 12;

/// The clock of a flush that is a mistake: it covers nothing.
const NO_FLUSH: u64 = u64::MAX;

/// What outlives a power cut, and what the dice need.
pub(super) struct Outside {
    pub(super) dice: Dice,
    pub(super) disks: Vec<Disk>,
    /// Disks that another has replaced, each with its slot. They can come back.
    pub(super) shelf: Vec<(Member, Disk)>,
    pub(super) bug: Option<Bug>,
    pub(super) story: Story,
    /// Actions done in all.
    pub(super) actions: u64,
}

/// An action that is not done yet. A flush knows what it must cover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) action: Action,
    clock: u64,
}

impl Pending {
    /// What a flush must cover; `None` if the mistake is that it covers nothing.
    pub(super) fn clock(&self) -> Option<u64> {
        (self.clock != NO_FLUSH).then_some(self.clock)
    }

    /// If it flushes this disk: the number of the flush, and what it must cover.
    fn flushes(&self, disk: usize) -> Option<(u8, u64)> {
        match self.action {
            Action::Flush { token: Token::Flush { flush, .. }, member } if usize::from(member.0) == disk => {
                Some((flush, self.clock()?))
            }
            _ => None,
        }
    }
}

pub(super) struct Inside {
    pub(super) out: Outside,
    /// The oldest first, but for what moved when another was taken out.
    pub(super) pending: VecDeque<Pending>,
    /// Shards that have work.
    woken: Vec<u16>,
    pub(super) buffers: Buffers,
    done: Vec<(RequestId, Result<(), Error>)>,
    found: Vec<Finding>,
    nested: u32,
    /// Writes that were asked for since something was let happen last: the member, where, and how many sectors.
    issued: Vec<(Member, u64, u64)>,
    sweeping: bool,
    /// The members' states were written, or are about to be: somebody should look at them.
    states_moved: bool,
    /// What a write left on the disks did not fit.
    misfit: Option<String>,
    /// The kind of what was done last.
    last: Option<Kind>,
}

/// One life of the array, from power on to power off.
pub(super) struct World {
    pub(super) rows: Rows,
    layouts: Layouts,
    limits: Limits,
    haste: Haste,
    interrupts: u32,
    shards: Vec<RefCell<Shard<Heap>>>,
    pub(super) log: RefCell<RegionLog<Heap>>,
    pub(super) members: RefCell<Members<Heap>>,
    pub(super) held: Held,
    flushes: RefCell<Flushes>,
    recovery: RefCell<Recovery>,
    pub(super) check: RefCell<Checking>,
    /// Held in every critical section: panics if two of them nest.
    alone: RefCell<()>,
    /// Critical sections until something comes between, if anything does.
    countdown: Cell<Option<u32>>,
    pub(super) inside: RefCell<Inside>,
}

impl World {
    /// Powers on: `members` as assembly found them, `doubt` the bits it found set.
    pub(super) fn new(
        setup: &Setup,
        members: Members<Heap>,
        doubt: &dyn Fn(RegionNo) -> bool,
        out: Outside,
    ) -> Result<Self, OutOfMemory> {
        let (rows, limits) = (&setup.rows, setup.limits);
        let (view, count) = (members.view(), rows.count());
        let regions = count.div_ceil(limits.region_rows);
        let cleared = check::cleared(&out.disks);
        let found = |region| if doubt(region) { Found::InDoubt } else { Found::Clean };
        let shards = (0..limits.shards).map(|number| Shard::new(number, &limits, count, view, found).map(RefCell::new));
        let any_doubt = (0..regions).any(|region| doubt(RegionNo(region))).then_some(RowNo(0));
        Ok(Self {
            rows: rows.clone(),
            layouts: Layouts::one(rows.geometry().clone()),
            limits,
            haste: setup.haste,
            interrupts: setup.interrupts,
            shards: shards.collect::<Result<_, _>>()?,
            log: RefCell::new(RegionLog::new(regions, limits.log_page_words, view, cleared, doubt)?),
            members: RefCell::new(members),
            held: Held::new(&out.disks, &view.health),
            flushes: RefCell::new(Flushes::new(view)),
            recovery: RefCell::new(Recovery::new(view, &limits, count, any_doubt)),
            check: RefCell::new(Checking::new(limits.heal_window)),
            alone: RefCell::new(()),
            countdown: Cell::new(None),
            inside: RefCell::new(Inside {
                out,
                pending: VecDeque::new(),
                woken: Vec::new(),
                buffers: Buffers::new(limits.shards, limits.slots, rows.geometry().members()),
                done: Vec::new(),
                found: Vec::new(),
                nested: 0,
                issued: Vec::new(),
                sweeping: false,
                states_moved: false,
                misfit: None,
                last: None,
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

    /// True if there is anything to be heard: answers, findings, members' states that moved, or something that is wrong.
    pub(super) fn has_news(&self) -> bool {
        let inside = self.inside.borrow();
        inside.states_moved || inside.misfit.is_some() || !inside.done.is_empty() || !inside.found.is_empty()
    }

    /// Requests that completed go to `into`.
    pub(super) fn take_done(&self, into: &mut Vec<(RequestId, Result<(), Error>)>) {
        into.append(&mut self.inside.borrow_mut().done);
    }

    /// What checks found.
    pub(super) fn take_found(&self) -> Vec<Finding> {
        std::mem::take(&mut self.inside.borrow_mut().found)
    }

    /// What is known of the members, without entering anything.
    pub(super) fn view(&self) -> View {
        self.members.borrow().view()
    }

    /// True once after the members' states moved.
    pub(super) fn take_states_moved(&self) -> bool {
        std::mem::take(&mut self.inside.borrow_mut().states_moved)
    }

    /// What a write left that did not fit.
    pub(super) fn take_misfit(&self) -> Option<String> {
        self.inside.borrow_mut().misfit.take()
    }

    /// True if the last thing done was one of several of a kind, and others of it are still out: a good moment for a power cut.
    pub(super) fn is_between(&self, kind: Kind) -> bool {
        let inside = self.inside.borrow();
        inside.last == Some(kind) && inside.pending.iter().any(|pending| Kind::of(&pending.action) == kind)
    }

    /// Lets one thing happen. False if nothing can.
    pub(super) fn turn(&self) -> bool {
        let Some(pick) = self.inside.borrow_mut().pick(self.haste) else { return false };
        self.go(pick);
        true
    }

    /// Things that can happen next.
    pub(super) fn choices(&self) -> usize {
        let inside = self.inside.borrow();
        inside.woken.len() + inside.pending.len()
    }

    /// Does at once what needs no member: shards that have work, and arithmetic.
    pub(super) fn own_work(&self) {
        let own = || {
            let inside = self.inside.borrow();
            let computes = |pending: &Pending| Kind::of(&pending.action) == Kind::Compute;
            let compute = inside.pending.iter().position(computes).map(|at| at + inside.woken.len());
            if inside.woken.is_empty() { compute } else { Some(0) }
        };
        while let Some(pick) = own() {
            self.go(pick);
        }
    }

    /// Lets this one of the [`choices`](Self::choices) happen.
    pub(super) fn go(&self, pick: usize) {
        let mut inside = self.inside.borrow_mut();
        if inside.nested == 0 {
            inside.issued.clear();
        }
        self.arm_in(&mut inside);
        if pick < inside.woken.len() {
            let shard = inside.woken.remove(pick);
            let forgets = inside.out.bug == Some(Bug::ForgetWaiter) && inside.out.dice.one_in(50);
            drop(inside);
            if !forgets && engine::run(self, shard, 2) {
                self.wake(shard);
            }
            self.poison_free(shard);
        } else {
            let at = pick - inside.woken.len();
            // The order of what is out counts for nothing but for who is the oldest, which the dull choice takes: he moves up.
            let pending = inside.pending.swap_remove_front(at).expect("one of the choices");
            inside.out.actions += 1;
            inside.last = Some(Kind::of(&pending.action));
            let (token, answer) = inside.done(&pending, self);
            drop(inside);
            engine::complete(self, token, answer);
        }
    }

    /// Becomes what `other` is. What the dice would do is not copied, nor the story, nor what lies on the shelf.
    pub(super) fn copy_from(&mut self, other: &Self) {
        for (shard, other) in self.shards.iter_mut().zip(&other.shards) {
            shard.get_mut().copy_from(&other.borrow());
        }
        self.log.get_mut().copy_from(&other.log.borrow());
        self.members.get_mut().copy_from(&other.members.borrow());
        self.flushes.clone_from(&other.flushes);
        self.recovery.clone_from(&other.recovery);
        self.check.clone_from(&other.check);
        self.inside.get_mut().copy_from(&other.inside.borrow());
        self.countdown.set(other.countdown.get());
    }

    /// Equal if the same will follow from the same choices, but for the order in which these are numbered.
    pub(super) fn mark(&self, into: &mut Mark) {
        self.shards.iter().for_each(|shard| shard.borrow().hash(into));
        self.log.borrow().hash(into);
        self.members.borrow().hash(into);
        self.flushes.borrow().hash(into);
        self.recovery.borrow().hash(into);
        self.check.borrow().hash(into);
        let inside = self.inside.borrow();
        inside.buffers.mark(into);
        let mut sum = Sum::default();
        inside.woken.iter().for_each(|shard| sum.add(shard));
        // A flush is told from others by its action; what it covers, the disks say.
        inside.pending.iter().for_each(|pending| sum.add(&(pending.action, pending.clock == NO_FLUSH)));
        sum.hash(into);
        for (number, disk) in inside.out.disks.iter().enumerate() {
            let mut flushes: Vec<(u8, u64)> =
                inside.pending.iter().filter_map(|pending| pending.flushes(number)).collect();
            flushes.sort_unstable();
            let clocks: Vec<u64> = flushes.into_iter().map(|(_, clock)| clock).collect();
            disk.mark(&clocks).hash(into);
        }
    }

    /// Something may come between two critical sections of what follows.
    pub(super) fn arm(&self) {
        self.arm_in(&mut self.inside.borrow_mut());
    }

    fn arm_in(&self, inside: &mut Inside) {
        let comes = inside.nested < NESTED_MAX && inside.out.dice.one_in(self.interrupts);
        self.countdown.set(comes.then(|| inside.out.dice.below(SECTIONS)));
    }

    /// Another thread comes in between, if the dice said so: before every critical section, and before every action.
    fn between(&self) {
        match self.countdown.get() {
            None => return,
            Some(0) => self.countdown.set(None),
            Some(left) => return self.countdown.set(Some(left - 1)),
        }
        let mut inside = self.inside.borrow_mut();
        if inside.nested == NESTED_MAX {
            return;
        }
        inside.nested += 1;
        // Mostly short, sometimes long enough for a whole round of everybody's answers.
        let long = inside.out.dice.one_in(6);
        let turns = 1 + inside.out.dice.below(if long { 40 } else { 3 });
        drop(inside);
        for _ in 0..turns {
            if !self.turn() {
                break;
            }
        }
        let mut inside = self.inside.borrow_mut();
        inside.nested -= 1;
        self.arm_in(&mut inside);
    }

    /// Buffers of slots that are free belong to nobody.
    fn poison_free(&self, shard: u16) {
        let machine = self.shards[usize::from(shard)].borrow();
        self.inside.borrow_mut().buffers.poison(shard, |slot| machine.slot(slot) == Some(State::Free));
    }

    /// Takes back bits, with or without the mistake of not waiting for the flush.
    pub(super) fn sweep(&self) {
        self.arm();
        self.inside.borrow_mut().sweeping = true;
        engine::sweep(self, 1000);
        self.inside.borrow_mut().sweeping = false;
    }

    /// The power fails, in the middle of everything.
    pub(super) fn power_cut(self, chance: Chance) -> Outside {
        let mut pending = std::mem::take(&mut self.inside.borrow_mut().pending);
        let mut inside = self.inside.borrow_mut();
        while !pending.is_empty() {
            let at = inside.out.dice.index(pending.len());
            let Some(pending) = pending.swap_remove_front(at) else { break };
            let arrives = chance.comes(&mut inside.out.dice);
            match pending.action {
                Action::Io { token, way: Way::Write { .. }, member, at, len, buf }
                    if inside.out.disks[usize::from(member.0)].present && inside.is_meant(member, &token) =>
                {
                    inside.write(member, index(at.0), index(len.0), buf, false, chance);
                }
                Action::WriteLog { .. } | Action::WriteHealth { .. } if arrives => {
                    let _ = inside.done(&pending, &self);
                }
                _ => {}
            }
        }
        drop(inside);
        let mut out = self.inside.into_inner().out;
        for disk in &mut out.disks {
            disk.power_cut(&mut out.dice, chance);
        }
        out
    }

    /// A write is acknowledged: what it wrote fits its redundancy, on the members that hold all they should, whatever stood there before.
    fn check_fit(&self, inside: &mut Inside, request: RequestId) {
        let Some(own) = inside.buffers.own(request).filter(|own| own.writes) else { return };
        let (at, len) = (own.at as u64, own.len as u64);
        let Some((piece, _)) = self.rows.piece(raid_core::Sector(at), raid_core::Sectors(len)) else { return };
        let health = self.members.borrow().view().health;
        let disks = &inside.out.disks;
        if disks.iter().any(|disk| !disk.missed.is_empty()) {
            return;
        }
        // Somebody came in between with the next write of the row: he answers for it.
        let begun = |(seat, at, len): &(Member, u64, u64)| {
            let first = self.rows.at(piece.row, piece.band, health.seats().slot(*seat));
            first.is_some_and(|first| first.0 < at + len && *at < first.0 + u64::from(piece.band.len))
        };
        let trusted = check::trusted(disks, &health);
        if !inside.issued.iter().any(begun)
            && !check::fits(&self.rows, trusted, piece.row, piece.band, |member, at| {
                disks[check::serving(&health, member)].all_now(at)
            })
        {
            let what = format!("request {} is done, and row {} does not fit its redundancy", request.0, piece.row.0);
            inside.misfit = Some(what);
        }
    }
}

impl Inside {
    fn copy_from(&mut self, other: &Self) {
        let Self { out, pending, woken, buffers, done, found, nested, issued: _, sweeping, states_moved, misfit, last } =
            other;
        for (disk, other) in self.out.disks.iter_mut().zip(&out.disks) {
            disk.copy_from(other);
        }
        self.out.actions = out.actions;
        self.pending.clone_from(pending);
        self.woken.clone_from(woken);
        self.buffers.copy_from(buffers);
        self.done.clone_from(done);
        self.found.clone_from(found);
        self.misfit.clone_from(misfit);
        (self.nested, self.sweeping) = (*nested, *sweeping);
        (self.states_moved, self.last) = (*states_moved, *last);
    }

    /// Which of the woken shards and pending actions goes on: the dice say, and are thrown again for what is slow here.
    fn pick(&mut self, haste: Haste) -> Option<usize> {
        let count = self.woken.len() + self.pending.len();
        if count == 0 {
            return None;
        }
        let mut pick = self.out.dice.index(count);
        if let Haste::Slow(kind) = haste {
            for _ in 0..SLOW {
                let slow =
                    pick.checked_sub(self.woken.len()).map(|at| Kind::of(&self.pending[at].action)) == Some(kind);
                if !slow {
                    break;
                }
                pick = self.out.dice.index(count);
            }
        }
        if let Haste::Late(member) = haste {
            for _ in 0..SLOW {
                let target = pick.checked_sub(self.woken.len()).and_then(|at| target(&self.pending[at].action));
                if target.is_none_or(|(other, _)| other != member) {
                    break;
                }
                pick = self.out.dice.index(count);
            }
        }
        Some(pick)
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
        self.between();
        let _alone = self.alone.borrow_mut();
        f(&mut self.shards[usize::from(shard)].borrow_mut())
    }

    fn with_log<R>(&self, f: impl FnOnce(&mut RegionLog<Heap>) -> R) -> R {
        self.between();
        let _alone = self.alone.borrow_mut();
        f(&mut self.log.borrow_mut())
    }

    fn with_members<R>(&self, f: impl FnOnce(&mut Members<Heap>) -> R) -> R {
        self.between();
        let _alone = self.alone.borrow_mut();
        f(&mut self.members.borrow_mut())
    }

    fn with_flushes<R>(&self, f: impl FnOnce(&mut Flushes) -> R) -> R {
        self.between();
        let _alone = self.alone.borrow_mut();
        f(&mut self.flushes.borrow_mut())
    }

    fn with_recovery<R>(&self, f: impl FnOnce(&mut Recovery) -> R) -> R {
        self.between();
        let _alone = self.alone.borrow_mut();
        f(&mut self.recovery.borrow_mut())
    }

    fn with_check<R>(&self, f: impl FnOnce(&mut Checking) -> R) -> R {
        self.between();
        let _alone = self.alone.borrow_mut();
        f(&mut self.check.borrow_mut())
    }

    /// These disks read zeros where they were told to, so that a discard is a write of zeros.
    fn discards(&self) -> bool {
        true
    }

    fn perform(&self, action: Action) {
        self.between();
        let _alone = self.alone.borrow_mut();
        let mut inside = self.inside.borrow_mut();
        let clock = match action {
            Action::Complete { request, result } => {
                let parts = if result.is_ok() { inside.buffers.shape_of(request).parts as u64 } else { 0 };
                for part in request.0..request.0 + parts {
                    self.check_fit(&mut inside, RequestId(part));
                }
                inside.done.push((request, result));
                return;
            }
            Action::Found(finding) => {
                inside.found.push(finding);
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
            Action::Io { way: Way::Write { .. }, member, at, len, .. } if self.interrupts > 0 => {
                inside.issued.push((member, at.0, len.0));
                0
            }
            Action::WriteHealth { .. } => {
                inside.states_moved = true;
                0
            }
            _ => 0,
        };
        if inside.out.story.is_told() {
            inside.out.story.note(Fact::Issued { action });
        }
        inside.pending.push_back(Pending { action, clock });
    }

    fn wake(&self, shard: u16) {
        let mut inside = self.inside.borrow_mut();
        if !inside.woken.contains(&shard) {
            inside.woken.push(shard);
        }
    }
}

/// The disk that an action is for.
pub(super) fn target(action: &Action) -> Option<(Member, Token)> {
    match *action {
        Action::Io { token, member, .. }
        | Action::Flush { token, member }
        | Action::WriteLog { token, member, .. }
        | Action::WriteHealth { token, member } => Some((member, token)),
        Action::Compute { .. } | Action::Found(_) | Action::Complete { .. } => None,
    }
}

pub(super) fn index(number: u64) -> usize {
    usize::try_from(number).expect("the simulator's disks are small")
}
