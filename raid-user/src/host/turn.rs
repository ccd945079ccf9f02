//! One turn of a thread on a shard: what it asks of members in memory is gathered, and neighbours on one member are read or written by one
//! call.
//!
//! Rows that follow each other lie side by side on each member, but in buffers of their own. A pass over the rows and a long write ask
//! for many of them in one turn, row by row; to a member they are one run.

use std::cell::{Cell, RefCell};
use std::io::{IoSlice, IoSliceMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use raid_core::action::{Action, Buf, Token, Way};
use raid_core::check::Checking;
use raid_core::engine::{self, Host};
use raid_core::flush::Flushes;
use raid_core::members::Members;
use raid_core::recovery::Recovery;
use raid_core::region::RegionLog;
use raid_core::reshape::Layouts;
use raid_core::rows::{ROW_SECTORS, Rows};
use raid_core::stripe::{Limits, Shard};
use raid_core::{Member, Sector, Sectors};

use super::buffers::Row;
use super::inner::{Inner, Place};
use super::memory::Heap;

/// Critical sections of a shard that one turn runs: then others get theirs.
const BUDGET: u32 = 64;

/// Turns that a thread takes before it looks for other things to do.
const TURNS: u32 = 4;

/// Orders of one turn; what is asked beyond is done at once.
const ORDERS_MAX: usize = 256;

/// Neighbours that are done by one call.
const RUN_MAX: usize = 32;

/// What is to be read or written, without a flush.
#[derive(Clone, Copy)]
struct Order {
    token: Token,
    way: Way,
    member: Member,
    at: Sector,
    len: Sectors,
    buf: Buf,
    /// The one that goes on where this one ends.
    next: Option<u16>,
    /// Another goes before.
    follows: bool,
}

impl Order {
    fn action(&self) -> Action {
        let Self { token, way, member, at, len, buf, .. } = *self;
        Action::Io { token, way, member, at, len, buf }
    }
}

/// Orders, with the last one of each member.
pub(super) struct Orders {
    orders: Vec<Order>,
    last: [u16; 256],
}

impl Orders {
    /// Room for those of one turn.
    pub(super) fn new() -> Self {
        Self { orders: Vec::with_capacity(ORDERS_MAX), last: [0; 256] }
    }

    /// False if there is no room, or it is none to be gathered: several rows are a run by themselves.
    fn take(&mut self, action: Action) -> bool {
        let Action::Io { token, way, member, at, len, buf } = action else { return false };
        if self.orders.len() >= ORDERS_MAX || matches!(buf, Buf::Rows { .. }) || len.0 > ROW_SECTORS {
            return false;
        }
        let place = u16::try_from(self.orders.len()).unwrap_or(u16::MAX);
        let last = std::mem::replace(&mut self.last[usize::from(member.0)], place);
        // What stands there from an earlier turn is found out by its not fitting.
        let before = self.orders.get_mut(usize::from(last)).filter(|before| {
            let ends = before.at.checked_add(before.len) == Some(at);
            ends && (before.member, before.way, before.next) == (member, way, None)
        });
        let follows = before.map(|before| before.next = Some(place)).is_some();
        self.orders.push(Order { token, way, member, at, len, buf, next: None, follows });
        true
    }
}

/// Room for the orders of as many turns as are taken at a time: made once, since nothing is allocated for I/O.
pub(super) struct Room(Mutex<Vec<Orders>>);

impl Room {
    pub(super) fn new(turns: usize) -> Self {
        Self(Mutex::new((0..turns).map(|_| Orders::new()).collect()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Orders>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn: the host that the shard sees meanwhile.
struct Turn<'a> {
    inner: &'a Inner,
    shard: u16,
    /// None if too many others have a turn: then all is done at once.
    orders: RefCell<Option<Orders>>,
    /// The shard was woken by what this turn did.
    woken: Cell<bool>,
}

impl Inner {
    /// Lets a shard go on.
    pub(super) fn run(&self, shard: u16) {
        let orders = RefCell::new(self.room.lock().pop());
        let turn = Turn { inner: self, shard, orders, woken: Cell::new(false) };
        let mut more = true;
        for _ in 0..TURNS {
            more = engine::run(&turn, shard, BUDGET);
            turn.serve();
            more |= turn.woken.take();
            if !more {
                break;
            }
        }
        if let Some(orders) = turn.orders.into_inner() {
            self.room.lock().push(orders);
        }
        if more {
            self.jobs.wake(shard);
        }
    }
}

impl Turn<'_> {
    /// Does what was gathered, and what follows from that.
    fn serve(&self) {
        while let Some(mut taken) = self.orders.take() {
            if taken.orders.is_empty() {
                *self.orders.borrow_mut() = Some(taken);
                return;
            }
            for place in 0..taken.orders.len() {
                if !taken.orders[place].follows {
                    self.run_from(&taken.orders, place);
                }
            }
            taken.orders.clear();
            *self.orders.borrow_mut() = Some(taken);
        }
    }

    /// Does an order and those that go on from it.
    fn run_from(&self, orders: &[Order], place: usize) {
        let mut next = orders.get(place);
        while let Some(first) = next {
            let follow = |order: &&Order| order.next.and_then(|next| orders.get(usize::from(next)));
            let run = || std::iter::successors(Some(first), follow).take(RUN_MAX);
            let count = run().count();
            if count > 1 && self.together(first, run()) {
                run().for_each(|order| engine::complete(self, order.token, true));
            } else {
                run().for_each(|order| self.inner.act(self, order.action()));
            }
            next = run().nth(count - 1).and_then(|last| follow(&last));
        }
    }

    /// Reads or writes neighbours on one member by one call. False if that does not do: then each is to meet its own end.
    fn together<'o>(&self, first: &Order, run: impl Iterator<Item = &'o Order>) -> bool {
        let mut rows: [Option<(MutexGuard<'_, Row>, std::ops::Range<usize>)>; RUN_MAX] = [const { None }; RUN_MAX];
        let Ok(seat) = self.inner.seat(first.member, &first.token) else { return false };
        let (mut count, mut start) = (0, None);
        for (order, row) in run.zip(&mut rows) {
            // Of one member, and planned in one epoch: that is one medium.
            if order.token.seen() != first.token.seen() {
                return false;
            }
            let Some(place) = self.inner.place(&seat, order.at, order.len, order.buf) else { return false };
            let Place { offset_bytes, row: cell, bytes } = place;
            // Nobody else has it; should one of this run have it, to wait would be for ever.
            let Ok(held) = cell.try_lock() else { return false };
            *row = Some((held, bytes));
            start.get_or_insert(offset_bytes);
            count += 1;
        }
        let Some(offset_bytes) = start else { return false };
        let rows = &mut rows[..count];
        if first.way == Way::Read {
            let mut parts: [_; RUN_MAX] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
            for (part, (row, bytes)) in parts.iter_mut().zip(rows.iter_mut().flatten()) {
                *part = IoSliceMut::new(&mut row.0[bytes.clone()]);
            }
            return seat.media.read_parts_at(offset_bytes, &mut parts[..count]).is_ok();
        }
        let mut parts = [IoSlice::new(&[]); RUN_MAX];
        for (part, (row, bytes)) in parts.iter_mut().zip(rows.iter().flatten()) {
            *part = IoSlice::new(&row.0[bytes.clone()]);
        }
        seat.media.write_parts_at(offset_bytes, &parts[..count]).is_ok()
    }
}

impl Host for Turn<'_> {
    type Memory = Heap;

    fn rows(&self) -> &Rows {
        self.inner.rows()
    }
    fn layouts(&self) -> &Layouts {
        self.inner.layouts()
    }
    fn limits(&self) -> &Limits {
        self.inner.limits()
    }
    fn with_shard<R>(&self, shard: u16, f: impl FnOnce(&mut Shard<Heap>) -> R) -> R {
        self.inner.with_shard(shard, f)
    }
    fn with_log<R>(&self, f: impl FnOnce(&mut RegionLog<Heap>) -> R) -> R {
        self.inner.with_log(f)
    }
    fn with_members<R>(&self, f: impl FnOnce(&mut Members<Heap>) -> R) -> R {
        self.inner.with_members(f)
    }
    fn with_flushes<R>(&self, f: impl FnOnce(&mut Flushes) -> R) -> R {
        self.inner.with_flushes(f)
    }
    fn with_recovery<R>(&self, f: impl FnOnce(&mut Recovery) -> R) -> R {
        self.inner.with_recovery(f)
    }
    fn with_check<R>(&self, f: impl FnOnce(&mut Checking) -> R) -> R {
        self.inner.with_check(f)
    }
    fn discards(&self) -> bool {
        self.inner.discards()
    }

    fn perform(&self, action: Action) {
        if !self.inner.is_done_at_once(&action) {
            return self.inner.hand_over(self, action);
        }
        let gathered = self.orders.borrow_mut().as_mut().is_some_and(|orders| orders.take(action));
        if !gathered {
            self.inner.act(self, action);
        }
    }

    /// The shard whose turn it is goes on in this turn.
    fn wake(&self, shard: u16) {
        if shard == self.shard {
            self.woken.set(true);
        } else {
            self.inner.wake(shard);
        }
    }
}
