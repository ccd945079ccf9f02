// SPDX-License-Identifier: GPL-2.0-only
//! Metadata under a running array: what the engine wants remembered goes to the formats, and what they make of it to the members.

mod container;
mod dm;
mod md;

use core::ops::Range;

use kernel::prelude::*;
use kernel::sync::{new_spinlock, SpinLock};
use raid_core::health::Health;
use raid_core::{Columns, Member, Sector, SECTOR_BYTES};
use raid_formats::record::Sync;

use crate::clerks::{Clerks, PAGE};
use crate::ios::Io;
use crate::seats::{Device, Seats};

pub(crate) use container::{Container, DdfVolume, ImsmVolume, Volume};
pub(crate) use dm::Dm;
pub(crate) use md::{Md, Place};

/// Words of 64 regions that are written at once: with a bit for a region, 512 bytes.
pub(crate) const PAGE_WORDS: usize = 64;

/// What a clerk is to write.
#[derive(Clone, Copy)]
pub(crate) enum Task {
    /// A page of the log.
    Log(u32),
    /// The members' states.
    Health,
}

/// What waits for a clerk: at most one of each kind.
#[derive(Clone, Copy, Default)]
struct Pending {
    log: Option<(u32, Io)>,
    health: Option<Io>,
}

/// By which format they are written.
pub(crate) enum Form {
    /// dm-raid's, on devices of their own.
    Dm(Dm),
    /// Linux MD's, beside the data.
    Md(Md),
    /// That of a container's disks.
    Container(Container),
}

/// What metadata are written with.
struct Desk<'a> {
    clerks: &'a Clerks,
    seats: &'a Seats,
}

impl Desk<'_> {
    /// Writes the blocks that hold `range` of an image of `len` bytes, which begins at `at`; `fill` puts a part into the clerk's page.
    fn write_blocks(
        &self,
        member: Member,
        device: &Device,
        at: Sector,
        range: Range<usize>,
        len: usize,
        fill: impl Fn(Range<usize>) -> bool,
    ) -> bool {
        (range.start / PAGE..range.end.div_ceil(PAGE)).all(|page| {
            let (start, end) = (page * PAGE, ((page + 1) * PAGE).min(len));
            let from = device.block_start(range.start.max(start));
            let to = device.block_end(range.end.min(end));
            let place = Sector(at.0 + from as u64 / SECTOR_BYTES);
            fill(from..to) && self.clerks.write(member, device, place, to - from)
        })
    }
}

/// The store of one array.
pub(crate) struct Store {
    // First: dropping it stops whoever uses the rest.
    clerks: Clerks,
    pending: Pin<KBox<SpinLock<KVVec<Pending>>>>,
    form: Form,
}

impl Store {
    /// The store of so many members.
    pub(crate) fn new(clerks: Clerks, members: u16, form: Form) -> Result<Self> {
        let pending = KVVec::from_elem(Pending::default(), members.into(), GFP_KERNEL)?;
        Ok(Self { clerks, pending: KBox::pin_init(new_spinlock!(pending, "raid_pending"), GFP_KERNEL)?, form })
    }

    fn desk<'a>(&'a self, seats: &'a Seats) -> Desk<'a> {
        Desk { clerks: &self.clerks, seats }
    }

    /// Gives a clerk something to do.
    pub(crate) fn ask(&self, member: Member, task: Task, io: Io) {
        if let Some(pending) = self.pending.lock().get_mut(usize::from(member.0)) {
            match task {
                Task::Log(page) => pending.log = Some((page, io)),
                Task::Health => pending.health = Some(io),
            }
        }
        self.clerks.wake(member);
    }

    /// What the clerk is to do next. The states come first: somebody may be waiting for them to write the log.
    pub(crate) fn next(&self, member: Member) -> Option<(Task, Io)> {
        let mut guard = self.pending.lock();
        let pending = guard.get_mut(usize::from(member.0))?;
        let health = pending.health.take().map(|io| (Task::Health, io));
        health.or_else(|| pending.log.take().map(|(page, io)| (Task::Log(page), io)))
    }

    /// Writes a page of the log; `words` copies it out of the engine and says how long it is. By the member's clerk.
    pub(crate) fn write_log(
        &self,
        seats: &Seats,
        member: Member,
        page: u32,
        words: impl FnOnce(&mut [u64; PAGE_WORDS]) -> usize,
    ) -> bool {
        let (desk, first_region) = (self.desk(seats), (u64::from(page) * PAGE_WORDS as u64).saturating_mul(64));
        match &self.form {
            Form::Dm(dm) => dm.write_log(&desk, member, first_region, words),
            Form::Md(md) => md.write_log(&desk, member, first_region, words),
            Form::Container(container) => container.write_log(&desk, member, words),
        }
    }

    /// Writes the members' states. By the member's clerk.
    pub(crate) fn write_health(&self, seats: &Seats, member: Member, health: &Health) -> bool {
        match &self.form {
            Form::Dm(dm) => dm.write_health(&self.desk(seats), member, health),
            Form::Md(md) => md.write_health(&self.desk(seats), member, health),
            Form::Container(container) => container.write_health(&self.desk(seats), member, health),
        }
    }

    /// The array stands still, and is as `sync` says: tells all members. No clerk is at work.
    pub(crate) fn stop(&self, seats: &Seats, health: &Health, sync: Sync) {
        match &self.form {
            Form::Dm(dm) => dm.stop(&self.desk(seats), health, sync),
            Form::Md(md) => md.stop(&self.desk(seats), health, sync),
            Form::Container(container) => container.stop(&self.desk(seats), health, sync),
        }
    }

    /// The array goes on after [`stop`](Self::stop), with bits set or not. No clerk is at work. Says who could not be told.
    pub(crate) fn go_on(&self, seats: &Seats, set: bool) -> Columns {
        match &self.form {
            Form::Dm(dm) => dm.go_on(&self.desk(seats), set),
            Form::Md(md) => md.go_on(&self.desk(seats), set),
            Form::Container(container) => container.go_on(&self.desk(seats), set),
        }
    }
}
