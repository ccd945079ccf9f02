// SPDX-License-Identifier: GPL-2.0-only
//! Linux MD's metadata under a running array: each member has its own superblock and bitmap beside its data.
//!
//! What they are to say is [`Said`]'s, how it is written [`update`]'s. All that is written goes one after the other: the count of events
//! grows only after all living members have the one before, whoever's clerk is at it.

use core::ops::Range;

use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use raid_core::health::Health;
use raid_core::{Member, Sector, Sectors};
use raid_formats::md::bitmap::HEADER_BYTES;
use raid_formats::md::update::{bitmap_header, changed, update};
use raid_formats::md::{RegionBits, RunningState, Said, TableEntry, Version};
use raid_formats::record::Sync;

use super::{Desk, PAGE_WORDS};
use crate::clerks::PAGE;
use crate::memory::zeroed;
use crate::seats::Device;
use crate::shim;

/// A member's metadata as they stand on its device.
pub(crate) struct Place {
    pub(crate) version: Version,
    pub(crate) block: KBox<[u8; PAGE]>,
    pub(crate) bitmap_at: Sector,
    /// A list of bad blocks is kept; it is empty.
    pub(crate) bad_blocks: bool,
    pub(crate) events: u64,
}

struct Slot {
    place: Place,
    /// It has the whole bitmap.
    whole: bool,
    /// A write that nobody was waiting for failed; the next one says so.
    failed: bool,
}

struct Book {
    said: KBox<Said>,
    /// False until this run has said anything: who is missing must be written off before the first write.
    begun: bool,
    /// Header and bits of all members.
    image: KVVec<u8>,
    slots: KVVec<Option<Slot>>,
    table: KVVec<TableEntry>,
    /// The superblock that is being written.
    next: KBox<[u8; PAGE]>,
}

/// The metadata of an MD array. Locks are taken in this order.
pub(crate) struct Md {
    turn: Pin<KBox<Mutex<()>>>,
    book: Pin<KBox<Mutex<Book>>>,
    /// None without a bitmap: then one flag says whether all is in order.
    bits: Option<RegionBits>,
}

impl Book {
    fn slot(&mut self, member: Member) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(member.0))?.as_mut()
    }

    fn lives(&self, member: Member) -> bool {
        self.said.lives(member)
    }

    /// Makes the member's next superblock, and says which bytes of it are to be written where; none if nothing differs.
    fn superblock(&mut self, member: Member, medium: Sectors, bitmap: bool) -> Option<Option<(Sector, Range<usize>)>> {
        let Self { said, slots, table, next, .. } = self;
        let place = &slots.get(usize::from(member.0))?.as_ref()?.place;
        table.clear();
        for entry in said.table() {
            table.push_within_capacity(entry).ok()?;
        }
        let filling = said.filling(member);
        let state = RunningState {
            events: said.events,
            updated_s: shim::now_s(),
            sync: said.sync,
            sync_mark: filling.map(|filling| Sectors(filling.mark.0)),
            by_bitmap: bitmap && filling.is_some_and(|filling| filling.by_log),
            replacement: false,
            bad_blocks: place.bad_blocks,
            table,
        };
        next.copy_from_slice(&*place.block);
        let write = update(next, place.version, medium, 512, &state).ok()?;
        let start = write.at;
        let part = changed(&write, &place.block, 512);
        Some(part.map(|part| {
            let from = (part.at.0.saturating_sub(start.0) * 512) as usize;
            (part.at, from..from + part.bytes.len())
        }))
    }
}

impl Md {
    /// What goes on with what was read. `image` is the bitmap's area with the bits that any member has.
    pub(crate) fn new(
        said: KBox<Said>,
        bits: Option<RegionBits>,
        image: KVVec<u8>,
        places: KVVec<Option<Place>>,
    ) -> Result<Self> {
        let mut slots = KVVec::with_capacity(places.len(), GFP_KERNEL)?;
        let table = KVVec::with_capacity(places.len(), GFP_KERNEL)?;
        for place in places {
            slots.push(place.map(|place| Slot { place, whole: false, failed: false }), GFP_KERNEL)?;
        }
        let next = zeroed()?;
        let book = Book { said, begun: false, image, slots, table, next };
        let book = KBox::pin_init(new_mutex!(book, "raid_book"), GFP_KERNEL)?;
        Ok(Self { turn: KBox::pin_init(new_mutex!((), "raid_turn"), GFP_KERNEL)?, book, bits })
    }

    pub(super) fn write_log(
        &self,
        desk: &Desk<'_>,
        member: Member,
        first_region: u64,
        words: impl FnOnce(&mut [u64; PAGE_WORDS]) -> usize,
    ) -> bool {
        let _turn = self.turn.lock();
        let mut room = [0; PAGE_WORDS];
        let count = words(&mut room);
        let words = room.get(..count).unwrap_or_default();
        let sync = match words.iter().any(|word| *word != 0) {
            // With a bitmap, "dirty" costs nothing and stays until the array is stopped.
            true => Some(Sync::DirtyFrom(Sector(0))),
            false if self.bits.is_none() => Some(Sync::Clean),
            false => None,
        };
        self.advance(desk, None, sync);
        let put = |bits: &RegionBits| bits.put(&mut self.book.lock().image, first_region, words);
        let range = self.bits.as_ref().map_or(0..0, put);
        self.tell(desk, member) && self.write_bits(desk, member, range)
    }

    pub(super) fn write_health(&self, desk: &Desk<'_>, member: Member, health: &Health) -> bool {
        let _turn = self.turn.lock();
        self.advance(desk, Some(health), None);
        self.tell(desk, member)
    }

    pub(super) fn stop(&self, desk: &Desk<'_>, health: &Health, sync: Sync) {
        let _turn = self.turn.lock();
        if !self.book.lock().begun && sync == Sync::Clean {
            // Nothing was written.
            return;
        }
        let sync = match sync {
            // With a bitmap, the bits say where.
            Sync::DirtyFrom(_) if self.bits.is_some() => Sync::DirtyFrom(Sector(0)),
            sync => sync,
        };
        self.advance(desk, Some(health), Some(sync));
        for member in self.living() {
            // Who cannot be told lags behind, and that tells.
            self.tell(desk, member);
        }
    }

    /// Says which members could not be told that the array goes on.
    pub(super) fn go_on(&self, desk: &Desk<'_>, set: bool) -> raid_core::Columns {
        let _turn = self.turn.lock();
        self.advance(desk, None, set.then_some(Sync::DirtyFrom(Sector(0))));
        self.living().filter(|member| !self.tell(desk, *member)).collect()
    }

    fn living(&self) -> impl Iterator<Item = Member> + '_ {
        let count = self.book.lock().slots.len();
        (0..=u8::MAX).take(count).map(Member).filter(|member| self.book.lock().lives(*member))
    }

    /// Lets what is said change, after everybody has what was said before.
    fn advance(&self, desk: &Desk<'_>, health: Option<&Health>, sync: Option<Sync>) {
        let mut guard = self.book.lock();
        let mut next = (guard.said.health, sync.unwrap_or(guard.said.sync));
        if let Some(health) = health {
            next.0.learn(health);
        }
        if guard.begun && next == (guard.said.health, guard.said.sync) {
            return;
        }
        drop(guard);
        for member in self.living().filter(|member| next.0.has(*member)) {
            let told = self.tell(desk, member);
            if let (false, Some(slot)) = (told, self.book.lock().slot(member)) {
                slot.failed = true;
            }
        }
        guard = self.book.lock();
        let book = &mut *guard;
        (book.said.health, book.said.sync) = next;
        book.said.events += 1;
        book.begun = true;
    }

    /// Brings a member up to what is said now, unless it is. The bitmap first: the other way round it would look stale after a crash.
    fn tell(&self, desk: &Desk<'_>, member: Member) -> bool {
        let Some(device) = desk.seats.data_device(member) else { return false };
        let mut guard = self.book.lock();
        let book = &mut *guard;
        let (events, degraded, lives) = (book.said.events, book.said.degraded(), book.said.lives(member));
        let len = book.image.len();
        let Some(slot) = book.slot(member).filter(|slot| lives && !slot.failed) else { return false };
        if slot.place.events >= events {
            return true;
        }
        let range = if slot.whole { 0..HEADER_BYTES.min(len) } else { 0..len };
        if self.bits.is_some() && bitmap_header(&mut book.image, events, degraded).is_err() {
            return false;
        }
        drop(guard);
        if !self.write_bits(desk, member, range) || !self.write_superblock(desk, member, device) {
            return false;
        }
        let mut guard = self.book.lock();
        let Book { slots, next, .. } = &mut *guard;
        if let Some(Some(slot)) = slots.get_mut(usize::from(member.0)) {
            slot.place.block.copy_from_slice(&**next);
            (slot.place.events, slot.whole) = (events, true);
        }
        true
    }

    fn write_superblock(&self, desk: &Desk<'_>, member: Member, device: &Device) -> bool {
        let mut guard = self.book.lock();
        let (at, range) = match guard.superblock(member, device.sectors(), self.bits.is_some()) {
            Some(Some(write)) => write,
            Some(None) => return true,
            None => return false,
        };
        let bytes = guard.next.get(range).unwrap_or_default();
        let len = bytes.len();
        desk.clerks.fill(member, bytes);
        drop(guard);
        desk.clerks.write(member, device, at, len)
    }

    /// Writes the blocks that hold these bytes of the bitmap.
    fn write_bits(&self, desk: &Desk<'_>, member: Member, range: Range<usize>) -> bool {
        let mut guard = self.book.lock();
        let (len, at) = (guard.image.len(), guard.slot(member).map(|slot| slot.place.bitmap_at));
        drop(guard);
        let (Some(device), Some(at)) = (desk.seats.data_device(member), at) else { return false };
        desk.write_blocks(member, device, at, range, len, |part| {
            let book = self.book.lock();
            book.image.get(part).is_some_and(|bytes| {
                desk.clerks.fill(member, bytes);
                true
            })
        })
    }
}
