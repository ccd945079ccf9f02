//! dm-raid's metadata under a running array, as LVM's RAID volumes have them: beside each image a device with a superblock and MD's bitmap.
//!
//! | the engine says | on each metadata device |
//! |---|---|
//! | a page of the log | bits of the bitmap, and `array_resync_offset` 0: the kernel looks at the bits then |
//! | the members' states | `failed_devices`, `disk_recovery_offset` of who is being filled, and one event more |
//! | stopped, clean | `array_resync_offset` at the end, and no bit if nobody is missing |
//!
//! A superblock is one block, written after the bitmap's header. All devices get a change before the next one begins, so that none lags
//! by two events. A slot is filled by its own image alone, which LVM's text names; that text is not changed.

mod start;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raid_core::health::Health;
use raid_core::{Member, Sector, Sectors};
use raid_formats::dm::{self, BITMAP_BYTES, Said};
use raid_formats::md::{RegionBits, update};
use raid_formats::record::Sync;

use super::start::{Slot, Stopped, Store, absent};
use crate::media::SharedMediaMut;

pub(super) use start::dm_start_of;
pub use start::{Image, dm_start};

/// Bytes of the superblock's block.
const BLOCK_BYTES: usize = 512;
/// Bytes of MD's bitmap header, which the bits follow.
const HEADER_BYTES: usize = raid_formats::md::bitmap::HEADER_BYTES;
/// Words of 64 regions that are written at once: with a bit for a region, 512 bytes.
const PAGE_WORDS: usize = 64;

/// A metadata device.
struct Disk {
    meta: SharedMediaMut,
    /// Sectors of the image beside it.
    data: Sectors,
    /// The superblock's block as it stands there.
    block: [u8; BLOCK_BYTES],
    /// The bitmap, in whole blocks; empty if the level has none.
    bitmap: Vec<u8>,
    /// All of the bitmap is on the device.
    whole: bool,
    /// It was told nothing yet.
    new: bool,
    /// Why it is told nothing any more.
    fault: Option<String>,
}

/// The image of a slot, whether it is in use or not: it alone can fill the slot.
struct Own {
    data: SharedMediaMut,
    meta: SharedMediaMut,
}

/// The store of one running array. Locks are taken in the order of the fields.
pub(super) struct DmStore {
    shared: Mutex<Shared>,
    disks: Vec<Mutex<Option<Disk>>>,
    /// How regions lie on the bitmap; `None` where there is no bitmap.
    regions: Option<RegionBits>,
}

struct Shared {
    said: Said,
    own: Vec<Option<Own>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    fn tell(&mut self, said: &Said, own: Member) -> io::Result<()> {
        if let Some(fault) = &self.fault {
            return Err(io::Error::other(fault.clone()));
        }
        let state = said.state(own).ok_or_else(|| absent(own))?;
        if !self.bitmap.is_empty() {
            update::bitmap_header(&mut self.bitmap, state.events, said.is_degraded()).map_err(io::Error::other)?;
            let len = if self.whole { BLOCK_BYTES.min(self.bitmap.len()) } else { self.bitmap.len() };
            self.meta.write_at(BITMAP_BYTES, self.bitmap.get(..len).unwrap_or_default())?;
            self.meta.flush()?;
            self.whole = true;
        }
        let mut block = self.block;
        dm::update(&mut block, self.data, &state).map_err(io::Error::other)?;
        self.meta.write_at(0, &block)?;
        self.meta.flush()?;
        (self.block, self.new) = (block, false);
        Ok(())
    }

    /// Writes the blocks that hold these bytes of the bitmap.
    fn write_bits(&self, range: &std::ops::Range<usize>) -> io::Result<()> {
        let (from, end) = (range.start / BLOCK_BYTES * BLOCK_BYTES, range.end.next_multiple_of(BLOCK_BYTES));
        let part = self.bitmap.get(from..end.min(self.bitmap.len())).unwrap_or_default();
        self.meta.write_at(BITMAP_BYTES.saturating_add(from as u64), part)?;
        self.meta.flush()
    }
}

impl DmStore {
    fn with_disk<T>(&self, member: Member, work: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let slot = self.disks.get(usize::from(member.0)).ok_or_else(|| absent(member))?;
        work(lock(slot).as_mut().ok_or_else(|| absent(member))?)
    }

    /// Lets what is said change; all devices that live are told. What goes wrong with one is kept for whoever waits for that.
    fn say(&self, change: impl FnOnce(&mut Said)) -> Said {
        let mut shared = lock(&self.shared);
        let mut next = shared.said;
        change(&mut next);
        if next.events() == shared.said.events() {
            return next;
        }
        for member in (0..).take(self.disks.len()).map(Member).filter(|member| next.lives(*member)) {
            let _ = self.with_disk(member, |disk| {
                if let Err(error) = disk.tell(&next, member) {
                    disk.fault = Some(error.to_string());
                }
                Ok(())
            });
        }
        shared.said = next;
        next
    }

    fn answer(&self, member: Member) -> io::Result<()> {
        self.with_disk(member, |disk| disk.fault.as_ref().map_or(Ok(()), |fault| Err(io::Error::other(fault.clone()))))
    }
}

impl Store for DmStore {
    fn write_log(&self, member: Member, page: u32, words: &[u64]) -> io::Result<()> {
        let set = words.iter().any(|word| *word != 0);
        // "Dirty" stays until the array is stopped: the bits say where.
        let said = self.say(|said| said.log(set));
        let first_word = (page as usize).saturating_mul(PAGE_WORDS);
        let (range, new) = self.with_disk(member, |disk| {
            let first = (first_word as u64).saturating_mul(64);
            let range = self.regions.as_ref().map_or(0..0, |regions| regions.put(&mut disk.bitmap, first, words));
            Ok((range, disk.new))
        })?;
        if new && !said.lives(member) {
            // It gets all bits with its first superblock.
            return Ok(());
        }
        if !said.lives(member) {
            return Err(absent(member));
        }
        self.answer(member)?;
        if range.is_empty() { Ok(()) } else { self.with_disk(member, |disk| disk.write_bits(&range)) }
    }

    fn write_health(&self, member: Member, health: &Health) -> io::Result<()> {
        let said = self.say(|said| said.health(health));
        if said.lives(member) { self.answer(member) } else { Err(absent(member)) }
    }

    fn admit(&self, member: Member, media: SharedMediaMut) -> io::Result<Slot> {
        let shared = lock(&self.shared);
        if shared.said.lives(member) {
            return Err(io::Error::other(format!("slot {member} is not free")));
        }
        let own = shared.own.get(usize::from(member.0)).and_then(Option::as_ref);
        let Some(own) = own.filter(|own| Arc::ptr_eq(&own.data, &media)) else {
            let own = own.map_or_else(|| "which is not here".to_owned(), |own| own.data.describe());
            return Err(io::Error::other(format!("slot {member} is filled by its own image alone: {own}")));
        };
        let mut living = (0..).take(self.disks.len()).map(Member).filter(|other| shared.said.lives(*other));
        let like = living
            .find_map(|other| self.with_disk(other, |disk| Ok((disk.block, disk.bitmap.clone(), disk.data))).ok());
        let (mut block, bitmap, old) = like.ok_or_else(|| absent(member))?;
        let data = Sectors::from_bytes_floor(media.size_bytes());
        let room = own.meta.size_bytes().saturating_sub(BITMAP_BYTES);
        if data < old || room < bitmap.len() as u64 {
            return Err(io::Error::other("its image or its metadata are smaller than the others'"));
        }
        let data_at = dm::join(&mut block, member, data).map_err(io::Error::other)?.at;
        let disk = Disk { meta: own.meta.clone(), data, block, bitmap, whole: false, new: true, fault: None };
        if let Some(place) = self.disks.get(usize::from(member.0)) {
            *lock(place) = Some(disk);
        }
        Ok(Slot { media: Some(media), data_at })
    }

    fn withdraw(&self, member: Member) {
        let shared = lock(&self.shared);
        if let Some(place) = self.disks.get(usize::from(member.0)).filter(|_| !shared.said.lives(member)) {
            let mut disk = lock(place);
            if disk.as_ref().is_some_and(|disk| disk.new) {
                *disk = None;
            }
        }
    }

    fn held(&self) -> Vec<SharedMediaMut> {
        let shared = lock(&self.shared);
        let free = (0..).map(Member).zip(&shared.own).filter(|(member, _)| !shared.said.lives(*member));
        free.filter_map(|(_, own)| own.as_ref()).map(|own| own.data.clone()).collect()
    }

    fn release(&self, member: Member) -> bool {
        let shared = lock(&self.shared);
        let Some(place) = self.disks.get(usize::from(member.0)) else { return false };
        let mut disk = lock(place);
        let out = !shared.said.lives(member) && !disk.as_ref().is_some_and(|disk| disk.new);
        if out {
            *disk = None;
        }
        out
    }

    fn stop(&self, health: &Health, stopped: Stopped) -> io::Result<()> {
        let clean = stopped == Stopped::Clean;
        if !lock(&self.shared).said.has_begun() && clean {
            return Ok(());
        }
        if clean && health.missing().is_empty() && health.rebuilding().next().is_none() {
            for member in (0..).take(self.disks.len()).map(Member) {
                let _ = self.with_disk(member, |disk| {
                    disk.bitmap.get_mut(HEADER_BYTES..).unwrap_or_default().fill(0);
                    disk.whole = false;
                    Ok(())
                });
            }
        }
        // The bits say where.
        let sync = if clean { Sync::Clean } else { Sync::DirtyFrom(Sector(0)) };
        let said = self.say(|said| said.stop(health, sync));
        let living = (0..).take(self.disks.len()).map(Member).filter(|member| said.lives(*member));
        living.map(|member| self.answer(member)).fold(Ok(()), io::Result::and)
    }
}
