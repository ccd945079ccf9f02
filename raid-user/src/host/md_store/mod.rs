//! Linux MD's metadata under a running array: what the engine wants remembered, said as Linux would say it.
//!
//! | the engine says | on the medium |
//! |---|---|
//! | a page of the log | bits of the bitmap; without one, "clean" or "dirty from the start" |
//! | the members' states | roles, `recovery_offset` of who is being rebuilt, and one event more |
//! | stopped, clean | "clean", and no bit if nobody is missing |
//! | stopped in the middle of a resync | "dirty from" where it was, or with a bitmap "dirty" and the bits |
//!
//! The superblock says "dirty" before the first bit is set: Linux does not look at the bits of a clean array that is whole
//! (kernel `md-bitmap.c`, `md_bitmap_load`).
//!
//! Bits that were set when a degraded array was started stay until it is whole, in the engine's log: they tell, Linux too, what a member
//! that comes back has missed.
//!
//! A partial parity log or a journal is [laid down](log) while anything is in doubt.
//!
//! It refuses to run what it cannot keep right: see [`StartError`]. It decides nothing about data.

mod back;
mod disk;
mod log;
mod start;

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use raid_core::health::{Epoch, Health};
use raid_core::members::Away;
use raid_core::rows::ROW_SECTORS;
use raid_core::{Member, Sector, Sectors};
use raid_formats::md::{self, RegionBits, Said, Superblock, Version};
use raid_formats::record::{Role, Sync, Uuid};

use disk::{BitmapArea, Disk, First, HEADER_BYTES};
use log::LaidDown;
pub use start::{md_start, md_start_on};

use super::start::{Slot, Stopped, Store, absent};
pub use super::start_error::StartError;
use super::start_error::check_block;
use crate::media::SharedMediaMut;

/// Words of 64 regions that are written at once: with a bit for a region, 512 bytes.
pub(super) const PAGE_WORDS: usize = 64;

/// The store of one running array. Locks are taken in the order of the fields.
pub struct MdStore {
    shared: Mutex<Shared>,
    /// Held while a superblock of several sectors is written, so that a power cut tears one of them at most.
    turn: Option<Mutex<()>>,
    disks: Vec<Mutex<Option<Disk>>>,
    /// How regions lie on the bitmap; `None` if there is no bitmap, but one dirty flag.
    regions: Option<RegionBits>,
    /// A log that is not kept while the array runs.
    log: Option<LaidDown>,
}

struct Shared {
    said: Said,
    /// False until this run has said anything. A member that is not here must be written off before the first write.
    begun: bool,
    /// Numbers of new members, which count once their slot lives.
    coming: Vec<Option<u32>>,
    /// From which event count on a member knew of which epoch, ascending: of this run's first epoch, and of each that changed who is a
    /// member. Whoever has fewer events than the first lacks what no bit tells.
    known: Vec<(u64, Epoch)>,
}

impl Shared {
    /// What a member with so many events knew.
    fn knew(&self, events: u64) -> Epoch {
        if events > self.said.events {
            return Epoch(u64::MAX);
        }
        let known = self.known.iter().rev().find(|(since, _)| *since <= events);
        known.map_or(Epoch(0), |(_, epoch)| *epoch)
    }
}

impl MdStore {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot's disk, with which `work` does something; an error if there is none.
    fn with_disk<T>(&self, member: Member, work: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let slot = self.disks.get(usize::from(member.0)).ok_or_else(|| absent(member))?;
        let mut disk = slot.lock().unwrap_or_else(PoisonError::into_inner);
        work(disk.as_mut().ok_or_else(|| absent(member))?)
    }

    fn tell(&self, member: Member, said: &Said) -> io::Result<()> {
        let _turn = self.turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
        let log = self.log.as_ref().map(|log| log.counts(said));
        self.with_disk(member, |disk| disk.tell(said, said.filling(member), log))
    }

    /// Lets what is said change. A change makes a new event count, after everybody has the one before.
    fn advance(&self, change: impl FnOnce(&mut Said)) -> Said {
        let mut shared = self.shared();
        let mut next = shared.said.clone();
        change(&mut next);
        if shared.begun && next == shared.said {
            return next;
        }
        next.events = next.events.saturating_add(1);
        for (slot, number) in (0..=u8::MAX).zip(&mut next.numbers) {
            let missing = |said: &Health| said.missing().contains(Member(slot));
            let joins = missing(&shared.said.health) && !missing(&next.health);
            let coming = shared.coming.get_mut(usize::from(slot)).filter(|_| joins);
            if let Some(coming) = coming.and_then(Option::take) {
                *number = Some(coming);
            }
        }
        for slot in (0..).take(self.disks.len()).map(Member).filter(|member| next.lives(*member)) {
            // Whoever fails here is told so with its own next call; nobody is waiting for it now.
            if shared.said.lives(slot) && self.tell(slot, &shared.said).is_err() {
                let _ = self.with_disk(slot, |disk| {
                    disk.failed = true;
                    Ok(())
                });
            }
        }
        if (next.health.in_sync(), next.health.missing())
            != (shared.said.health.in_sync(), shared.said.health.missing())
        {
            shared.known.push((next.events, next.health.epoch()));
        }
        shared.begun = true;
        shared.said = next.clone();
        next
    }

    /// Nothing is in doubt, and all members say so: what a replay ends with.
    fn settle(&self) -> io::Result<()> {
        let said = self.advance(|said| said.sync = Sync::Clean);
        let mut living = (0..).take(self.disks.len()).map(Member).filter(|member| said.lives(*member));
        living.try_for_each(|member| self.tell(member, &said))
    }

    /// Puts a page into the member's image, and says which bytes of the bitmap it has.
    fn put(&self, disk: &mut Disk, page: u32, words: &[u64]) -> std::ops::Range<usize> {
        let (Some(regions), Some(bitmap)) = (&self.regions, &mut disk.bitmap) else { return 0..0 };
        let first_word = (page as usize).saturating_mul(PAGE_WORDS);
        regions.put(&mut bitmap.bytes, (first_word as u64).saturating_mul(64), words)
    }

    /// Puts a disk into a slot that is empty, where it waits for its first word.
    fn seat(&self, shared: &mut Shared, member: Member, disk: Disk, number: u32) {
        let slot = usize::from(member.0);
        if let (Some(place), Some(coming)) = (self.disks.get(slot), shared.coming.get_mut(slot)) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(disk);
            *coming = Some(number);
        }
    }

    /// A number that no member of the array has.
    fn free_number(&self, member: Member, like: &Superblock<'_>, said: &Said) -> u32 {
        let slots = u32::try_from(self.disks.len()).unwrap_or(u32::MAX);
        match like {
            // In 0.90 who serves a slot has its number.
            Superblock::V0Little(_) | Superblock::V0Big(_) => u32::from(member.0),
            Superblock::V1(_) => {
                let free =
                    |number: &u32| like.role_of(*number) == Role::Spare && !said.numbers.contains(&Some(*number));
                (slots..).find(free).unwrap_or(slots)
            }
        }
    }
}

impl Store for MdStore {
    fn write_log(&self, member: Member, page: u32, words: &[u64]) -> io::Result<()> {
        let set = words.iter().any(|word| *word != 0);
        // With a bitmap, "dirty" costs nothing and stays until the array is stopped.
        let said = self.advance(|said| match set {
            true => said.sync = Sync::DirtyFrom(Sector(0)),
            false if self.regions.is_none() => said.sync = Sync::Clean,
            false => {}
        });
        let (range, new) = self.with_disk(member, |disk| Ok((self.put(disk, page, words), disk.first.is_some())))?;
        if new && !said.lives(member) {
            // It gets all bits with its first superblock.
            return Ok(());
        }
        if !said.lives(member) {
            return Err(absent(member));
        }
        self.tell(member, &said)?;
        if range.is_empty() {
            return Ok(());
        }
        self.with_disk(member, |disk| disk.write_bits(&range).and_then(|()| disk.media.flush()))
    }

    fn write_health(&self, member: Member, health: &Health) -> io::Result<()> {
        let said = self.advance(|said| {
            said.health.learn(health);
        });
        if said.lives(member) { self.tell(member, &said) } else { Err(absent(member)) }
    }

    fn admit(&self, member: Member, media: SharedMediaMut) -> io::Result<Slot> {
        let mut shared = self.shared();
        if shared.said.lives(member) {
            return Err(io::Error::other(format!("slot {member} is not free")));
        }
        check_block(&media).map_err(disk::other)?;
        let like = self.like(&shared).ok_or_else(|| absent(member))?;
        let (mut block, version, old_medium) = (like.block, like.version, like.medium);
        if let Some(log) = &self.log {
            // So that its place is kept free on the new member.
            md::set_log(&mut block, version, log.features);
        }
        let medium = Sectors::from_bytes_floor(media.size_bytes());
        let superblock = Superblock::parse(block.as_slice(), version, old_medium).map_err(disk::other)?;
        let number = self.free_number(member, &superblock, &shared.said);
        let area = disk::extent(Sector(0), like.image.as_ref().map_or(0, Vec::len) as u64).len;
        let identity = if superblock.record().member.is_set() { new_uuid()? } else { Uuid::default() };
        let joined =
            md::join(&mut block, version, old_medium, medium, (identity, number), area).map_err(disk::other)?;
        // Before any data are written to it: where its old superblock lies, data may come to lie.
        crate::create::erase(&media)?;
        let bitmap = joined.bitmap.zip(like.image).map(|(area, bytes)| BitmapArea { at: area.at, bytes, whole: false });
        let data_at = joined.data.at;
        let (seat, first) = (media.clone(), Some(First { bad_blocks: joined.bad_blocks }));
        let disk = Disk { media, version, block, events: 0, bitmap, first, bad_blocks: false, failed: false };
        self.seat(&mut shared, member, disk, number);
        Ok(Slot { media: Some(seat), data_at })
    }

    fn readmit(&self, member: Member, media: SharedMediaMut) -> io::Result<(Slot, Away)> {
        self.take_back(member, media)
    }

    fn withdraw(&self, member: Member) {
        let mut shared = self.shared();
        let slot = usize::from(member.0);
        if let (false, Some(coming)) = (shared.said.lives(member), shared.coming.get_mut(slot)) {
            *coming = None;
            if let Some(place) = self.disks.get(slot) {
                *place.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
        }
    }

    fn release(&self, member: Member) -> bool {
        let shared = self.shared();
        let coming = shared.coming.get(usize::from(member.0)).is_some_and(Option::is_some);
        let out = !shared.said.lives(member) && !coming;
        if let Some(slot) = self.disks.get(usize::from(member.0)).filter(|_| out) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        out
    }

    fn stop(&self, health: &Health, stopped: Stopped) -> io::Result<()> {
        let clean = stopped == Stopped::Clean;
        if self.regions.is_none() && !self.shared().begun && clean {
            // Nothing was written, or nothing has redundancy.
            return Ok(());
        }
        let said = self.advance(|said| {
            said.health.learn(health);
            said.sync = match stopped {
                Stopped::Clean => Sync::Clean,
                // With a bitmap, the bits say where.
                Stopped::InDoubt { .. } if self.regions.is_some() => Sync::DirtyFrom(Sector(0)),
                Stopped::InDoubt { from } => Sync::DirtyFrom(Sector(from.0.saturating_mul(ROW_SECTORS))),
            };
        });
        let mut result = Ok(());
        for member in (0..).take(self.disks.len()).map(Member).filter(|member| said.lives(*member)) {
            if clean && !said.degraded() {
                let _ = self.with_disk(member, |disk| {
                    disk.clear_bits();
                    Ok(())
                });
            }
            result = result.and(self.tell(member, &said));
        }
        result
    }
}

impl Disk {
    /// No bit is set any more; on the medium with the next superblock.
    fn clear_bits(&mut self) {
        if let Some(bitmap) = &mut self.bitmap {
            bitmap.bytes.get_mut(HEADER_BYTES..).unwrap_or_default().fill(0);
            bitmap.whole = false;
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A random identity (RFC 9562, version 4).
pub(crate) fn new_uuid() -> io::Result<Uuid> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    Ok(Uuid(bytes))
}

/// True if a superblock of this member can be torn by a power cut: it has several sectors.
fn tears(version: Version, block: &[u8; 4096], medium: Sectors) -> bool {
    match Superblock::parse(block, version, medium) {
        Ok(Superblock::V1(superblock)) => superblock.raw().head.max_dev.get() > 128,
        _ => true,
    }
}
