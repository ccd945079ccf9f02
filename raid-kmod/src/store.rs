// SPDX-License-Identifier: GPL-2.0-only
//! Metadata under a running array: what the engine wants remembered goes to the formats, and what they make of it to the members.
//!
//! For each member the bitmap comes before its record: the other way round the bitmap would look stale after a crash.

use kernel::prelude::*;
use kernel::sync::{new_mutex, new_spinlock, Mutex, SpinLock};
use raid_core::health::Health;
use raid_core::{Member, Sector, Sectors, SECTOR_BYTES};
use raid_formats::dm::{self, Said, BITMAP_AT};
use raid_formats::md::{bitmap::HEADER_BYTES, update::bitmap_header, RegionBits};
use raid_formats::record::Sync;

use crate::clerks::{Clerks, PAGE};
use crate::ios::Io;
use crate::metadata::{record, Loaded};
use crate::seats::Seats;

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

/// What a member was told.
#[derive(Clone, Copy, Default)]
struct Told {
    events: u64,
    /// It has the whole bitmap.
    whole: bool,
}

struct Book {
    said: Said,
    image: KVVec<u8>,
    records: KVVec<u8>,
    told: KVVec<Told>,
}

/// The store of one array.
pub(crate) struct Store {
    // First: dropping it stops whoever uses the rest.
    clerks: Clerks,
    pending: Pin<KBox<SpinLock<KVVec<Pending>>>>,
    book: Pin<KBox<Mutex<Book>>>,
    bits: Option<RegionBits>,
}

impl Store {
    /// What goes on with what was read.
    #[inline(never)]
    pub(crate) fn new(clerks: Clerks, loaded: Loaded) -> Result<Self> {
        let Loaded { set, bits, image, records, .. } = loaded;
        let members = usize::from(set.health.members());
        let pending = KVVec::from_elem(Pending::default(), members, GFP_KERNEL)?;
        let told = KVVec::from_elem(Told::default(), members, GFP_KERNEL)?;
        let book = Book { said: Said::new(&set), image, records, told };
        let pending = KBox::pin_init(new_spinlock!(pending, "raid_pending"), GFP_KERNEL)?;
        Ok(Self { clerks, pending, book: KBox::pin_init(new_mutex!(book, "raid_book"), GFP_KERNEL)?, bits })
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
        let mut guard = self.book.lock();
        let book = &mut *guard;
        let mut room = [0; PAGE_WORDS];
        let count = words(&mut room);
        let words = room.get(..count).unwrap_or_default();
        book.said.log(words.iter().any(|word| *word != 0));
        let first = (u64::from(page) * PAGE_WORDS as u64).saturating_mul(64);
        let range = self.bits.as_ref().map_or(0..0, |bits| bits.put(&mut book.image, first, words));
        drop(guard);
        self.tell(seats, member) && self.write_bits(seats, member, range)
    }

    /// Writes the members' states. By the member's clerk.
    pub(crate) fn write_health(&self, seats: &Seats, member: Member, health: &Health) -> bool {
        self.book.lock().said.health(health);
        self.tell(seats, member)
    }

    /// The array stands still, and is as `sync` says: tells all members. No clerk is at work.
    pub(crate) fn stop(&self, seats: &Seats, health: &Health, sync: Sync) {
        self.book.lock().said.stop(health, sync);
        for member in seats.present().iter() {
            // Who cannot be told has an older record, which counts for less.
            self.tell(seats, member);
        }
    }

    /// The array goes on after [`stop`](Self::stop), with bits set or not. No clerk is at work. Says who could not be told.
    pub(crate) fn go_on(&self, seats: &Seats, set: bool) -> impl Iterator<Item = Member> + '_ {
        let mut guard = self.book.lock();
        guard.said.log(set);
        let said = guard.said;
        drop(guard);
        let members = seats.present();
        let failed: raid_core::Columns =
            members.iter().filter(|member| said.lives(*member) && !self.tell(seats, *member)).collect();
        failed.iter()
    }

    /// Brings a member up to what is said now, unless it is.
    fn tell(&self, seats: &Seats, member: Member) -> bool {
        let Some(device) = seats.metadata(member) else { return false };
        let mut guard = self.book.lock();
        let book = &mut *guard;
        let (Some(state), Some(told)) = (book.said.state(member), book.told.get(usize::from(member.0)).copied()) else {
            return false;
        };
        if told.events >= state.events {
            return true;
        }
        let mut range = 0..0;
        if self.bits.is_some() {
            if bitmap_header(&mut book.image, state.events, book.said.is_degraded()).is_err() {
                return false;
            }
            range = if told.whole { 0..HEADER_BYTES } else { 0..book.image.len() };
        }
        drop(guard);
        if !self.write_bits(seats, member, range) {
            return false;
        }
        let mut guard = self.book.lock();
        let data = seats.data_device(member).map_or(Sectors(0), |device| device.sectors());
        let record = record(&mut guard.records, member).and_then(|record| record.get_mut(..device.block_bytes()));
        let Some(record) = record else { return false };
        if dm::update(record, data, &state).is_err() {
            return false;
        }
        let len = record.len();
        self.clerks.fill(member, record);
        drop(guard);
        if !self.clerks.write(member, device, Sector(0), len) {
            return false;
        }
        if let Some(told) = self.book.lock().told.get_mut(usize::from(member.0)) {
            *told = Told { events: state.events, whole: true };
        }
        true
    }

    /// Writes the blocks that hold these bytes of the bitmap.
    fn write_bits(&self, seats: &Seats, member: Member, range: core::ops::Range<usize>) -> bool {
        let Some(device) = seats.metadata(member) else { return false };
        let block = device.block_bytes();
        (range.start / PAGE..range.end.div_ceil(PAGE)).all(|page| {
            let guard = self.book.lock();
            let (start, end) = (page * PAGE, ((page + 1) * PAGE).min(guard.image.len()));
            let from = range.start.max(start) / block * block;
            let to = range.end.min(end).next_multiple_of(block);
            let Some(bytes) = guard.image.get(from..to) else { return false };
            let len = bytes.len();
            self.clerks.fill(member, bytes);
            drop(guard);
            self.clerks.write(member, device, Sector(BITMAP_AT.0 + from as u64 / SECTOR_BYTES), len)
        })
    }
}
