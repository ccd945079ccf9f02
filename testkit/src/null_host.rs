//! A host of the engine that has no bytes, no disks and no threads: whoever holds it takes the actions one by one and answers them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use raid_core::Columns;
use raid_core::action::{Action, Token};
use raid_core::check::Checking;
use raid_core::engine::{self, Host};
use raid_core::flush::Flushes;
use raid_core::geometry::Geometry;
use raid_core::health::{Epoch, Health};
use raid_core::members::Members;
use raid_core::memory::{Memory, OutOfMemory};
use raid_core::recovery::Recovery;
use raid_core::region::{Found, RegionLog, RegionNo};
use raid_core::reshape::Layouts;
use raid_core::rows::{RowNo, Rows};
use raid_core::stripe::{Limits, Shard};

/// Boxes.
#[derive(Debug)]
pub struct Heap;

impl Memory for Heap {
    type Array<T> = Box<[T]>;

    fn array<T>(len: usize, init: impl FnMut(usize) -> T) -> Result<Box<[T]>, OutOfMemory> {
        Ok((0..len).map(init).collect())
    }
}

/// The host. `W` sees every action when it is asked for.
pub struct NullHost<W> {
    rows: Rows,
    layouts: Layouts,
    limits: Limits,
    /// The shards.
    pub shards: Vec<RefCell<Shard<Heap>>>,
    /// The region log.
    pub log: RefCell<RegionLog<Heap>>,
    /// The members.
    pub members: RefCell<Members<Heap>>,
    flushes: RefCell<Flushes>,
    /// The recovery.
    pub recovery: RefCell<Recovery>,
    /// The pass that checks.
    pub check: RefCell<Checking>,
    actions: RefCell<VecDeque<Action>>,
    /// Members can do discards.
    pub discards: Cell<bool>,
    /// A shard was woken since they were let go on.
    woken: Cell<bool>,
    watch: W,
}

impl<W: Fn(&Action)> NullHost<W> {
    /// A started array with all members in sync; with `doubt`, all its regions were found dirty.
    ///
    /// # Panics
    /// If there is no such array.
    pub fn new(geometry: Geometry, limits: Limits, doubt: bool, watch: W) -> Self {
        Self::found(geometry.clone(), limits, whole(&geometry), doubt.then_some(RowNo(0)), watch)
    }

    /// A started array whose members were found like this; with `doubt`, all its regions were found dirty, from that row on.
    ///
    /// # Panics
    /// If there is no such array.
    pub fn found(geometry: Geometry, limits: Limits, health: Health, doubt: Option<RowNo>, watch: W) -> Self {
        let found = if doubt.is_some() { Found::InDoubt } else { Found::Clean };
        Self::with(geometry, limits, health, health.epoch(), (&|_| found, doubt), watch)
    }

    /// A started array whose members and regions were found like this, with doubt from that row on; `cleared` as
    /// [`RegionLog::new`] wants it.
    ///
    /// # Panics
    /// If there is no such array.
    pub fn with(
        geometry: Geometry,
        limits: Limits,
        health: Health,
        cleared: Epoch,
        (found, doubt): (&dyn Fn(RegionNo) -> Found, Option<RowNo>),
        watch: W,
    ) -> Self {
        let members: Members<Heap> = Members::new(health, limits.read_errors_max).expect("memory is plenty");
        let view = members.view();
        let rows = Rows::new(geometry.clone()).expect("no historic far sets here");
        let count = rows.count();
        let shard = |number| Shard::new(number, &limits, count, view, found).expect("memory is plenty");
        let regions = count.div_ceil(limits.region_rows);
        let host = Self {
            shards: (0..limits.shards).map(shard).map(RefCell::new).collect(),
            log: RegionLog::new(regions, limits.log_page_words, view, cleared, |region| found(region) != Found::Clean)
                .expect("memory is plenty")
                .into(),
            members: RefCell::new(members),
            flushes: RefCell::new(Flushes::new(view)),
            recovery: RefCell::new(Recovery::new(view, &limits, count, doubt)),
            check: RefCell::new(Checking::new(limits.heal_window)),
            layouts: Layouts::one(geometry),
            rows,
            limits,
            actions: RefCell::default(),
            discards: Cell::new(false),
            woken: Cell::new(false),
            watch,
        };
        engine::start(&host);
        host
    }

    /// Lets every shard go on. True if any has more to do.
    pub fn run(&self, budget: u32) -> bool {
        self.woken.set(false);
        (0..self.limits.shards).fold(false, |more, shard| engine::run(self, shard, budget) | more) | self.woken.get()
    }

    /// The next action, in the order in which they were asked for.
    pub fn next(&self) -> Option<Action> {
        self.actions.borrow_mut().pop_front()
    }

    /// Answers every action well until all is quiet. Says how many requests completed well.
    pub fn complete_all(&self) -> u64 {
        let mut completed = 0;
        loop {
            let mut more = self.run(64);
            while let Some(action) = self.next() {
                more = true;
                match (receipt(&action), action) {
                    (Some((token, _)), _) => engine::complete(self, token, true),
                    (None, Action::Complete { result, .. }) => completed += u64::from(result.is_ok()),
                    (None, _) => {}
                }
            }
            if !more {
                return completed;
            }
        }
    }
}

/// All members in sync.
///
/// # Panics
/// If there is no such array.
#[must_use]
pub fn whole(geometry: &Geometry) -> Health {
    Health::of(geometry.members(), Columns::first(geometry.members())).expect("a geometry has members")
}

/// The receipt of an action that waits for an answer, and the member that it is for.
#[must_use]
pub fn receipt(action: &Action) -> Option<(Token, Option<raid_core::Member>)> {
    match *action {
        Action::Io { token, member, .. }
        | Action::Flush { token, member }
        | Action::WriteLog { token, member, .. }
        | Action::WriteHealth { token, member } => Some((token, Some(member))),
        Action::Compute { token, .. } => Some((token, None)),
        Action::Found(_) | Action::Complete { .. } => None,
    }
}

impl<W: Fn(&Action)> Host for NullHost<W> {
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
        f(&mut self.shards[usize::from(shard)].borrow_mut())
    }

    fn with_log<R>(&self, f: impl FnOnce(&mut RegionLog<Heap>) -> R) -> R {
        f(&mut self.log.borrow_mut())
    }

    fn with_members<R>(&self, f: impl FnOnce(&mut Members<Heap>) -> R) -> R {
        f(&mut self.members.borrow_mut())
    }

    fn with_flushes<R>(&self, f: impl FnOnce(&mut Flushes) -> R) -> R {
        f(&mut self.flushes.borrow_mut())
    }

    fn with_recovery<R>(&self, f: impl FnOnce(&mut Recovery) -> R) -> R {
        f(&mut self.recovery.borrow_mut())
    }

    fn with_check<R>(&self, f: impl FnOnce(&mut Checking) -> R) -> R {
        f(&mut self.check.borrow_mut())
    }

    fn discards(&self) -> bool {
        self.discards.get()
    }

    fn perform(&self, action: Action) {
        (self.watch)(&action);
        self.actions.borrow_mut().push_back(action);
    }

    fn wake(&self, _: u16) {
        self.woken.set(true);
    }
}
