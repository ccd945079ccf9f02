// SPDX-License-Identifier: GPL-2.0-only
//! dm-raid's metadata: a device beside each member, with a record and the bitmap.

use core::ops::Range;

use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use raid_core::health::Health;
use raid_core::{Columns, Member, Sector, Sectors};
use raid_formats::dm::{self, Said, BITMAP_AT};
use raid_formats::md::{bitmap::HEADER_BYTES, update::bitmap_header, RegionBits};
use raid_formats::record::Sync;

use super::{Desk, PAGE_WORDS};
use crate::metadata::{record, Loaded};

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

/// The metadata of a set of dm-raid.
pub(crate) struct Dm {
    book: Pin<KBox<Mutex<Book>>>,
    bits: Option<RegionBits>,
}

impl Dm {
    /// What goes on with what was read.
    #[inline(never)]
    pub(crate) fn new(loaded: Loaded) -> Result<Self> {
        let Loaded { set, bits, image, records, .. } = loaded;
        let told = KVVec::from_elem(Told::default(), usize::from(set.health.members()), GFP_KERNEL)?;
        let book = Book { said: Said::new(&set), image, records, told };
        Ok(Self { book: KBox::pin_init(new_mutex!(book, "raid_book"), GFP_KERNEL)?, bits })
    }

    pub(super) fn write_log(
        &self,
        desk: &Desk<'_>,
        member: Member,
        first_region: u64,
        words: impl FnOnce(&mut [u64; PAGE_WORDS]) -> usize,
    ) -> bool {
        let mut guard = self.book.lock();
        let book = &mut *guard;
        let mut room = [0; PAGE_WORDS];
        let count = words(&mut room);
        let words = room.get(..count).unwrap_or_default();
        book.said.log(words.iter().any(|word| *word != 0));
        let range = self.bits.as_ref().map_or(0..0, |bits| bits.put(&mut book.image, first_region, words));
        drop(guard);
        self.tell(desk, member) && self.write_bits(desk, member, range)
    }

    pub(super) fn write_health(&self, desk: &Desk<'_>, member: Member, health: &Health) -> bool {
        self.book.lock().said.health(health);
        self.tell(desk, member)
    }

    pub(super) fn stop(&self, desk: &Desk<'_>, health: &Health, sync: Sync) {
        self.book.lock().said.stop(health, sync);
        for member in desk.seats.present().iter() {
            // Who cannot be told has an older record, which counts for less.
            self.tell(desk, member);
        }
    }

    /// Says which members could not be told that the array goes on.
    pub(super) fn go_on(&self, desk: &Desk<'_>, set: bool) -> Columns {
        let mut guard = self.book.lock();
        guard.said.log(set);
        let said = guard.said;
        drop(guard);
        desk.seats.present().iter().filter(|member| said.lives(*member) && !self.tell(desk, *member)).collect()
    }

    /// Brings a member up to what is said now, unless it is. For each member the bitmap comes before its record: the other way round the
    /// bitmap would look stale after a crash.
    fn tell(&self, desk: &Desk<'_>, member: Member) -> bool {
        let Some(device) = desk.seats.metadata(member) else { return false };
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
        if !self.write_bits(desk, member, range) {
            return false;
        }
        let mut guard = self.book.lock();
        let data = desk.seats.data_device(member).map_or(Sectors(0), |device| device.sectors());
        let record = record(&mut guard.records, member).and_then(|record| record.get_mut(..device.block_bytes()));
        let Some(record) = record else { return false };
        if dm::update(record, data, &state).is_err() {
            return false;
        }
        let len = record.len();
        desk.clerks.fill(member, record);
        drop(guard);
        if !desk.clerks.write(member, device, Sector(0), len) {
            return false;
        }
        if let Some(told) = self.book.lock().told.get_mut(usize::from(member.0)) {
            *told = Told { events: state.events, whole: true };
        }
        true
    }

    /// Writes the blocks that hold these bytes of the bitmap.
    fn write_bits(&self, desk: &Desk<'_>, member: Member, range: Range<usize>) -> bool {
        let Some(device) = desk.seats.metadata(member) else { return false };
        let len = self.book.lock().image.len();
        desk.write_blocks(member, device, BITMAP_AT, range, len, |part| {
            let book = self.book.lock();
            book.image.get(part).is_some_and(|bytes| {
                desk.clerks.fill(member, bytes);
                true
            })
        })
    }
}
