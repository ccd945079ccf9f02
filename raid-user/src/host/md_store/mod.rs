//! Linux MD's metadata under a running array: what the engine wants remembered, said as Linux would say it.
//!
//! | the engine says | on the medium |
//! |---|---|
//! | a page of the log | bits of the bitmap; without one, "clean" or "dirty from the start" |
//! | the members' states | roles, `recovery_offset` of who is being rebuilt, and one event more |
//! | a copy in the making | the role of the member that it is to replace, the feature "replacement" (not in 0.90), `recovery_offset` |
//! | stopped, clean | "clean", and no bit if nobody is missing |
//! | stopped in the middle of a resync | "dirty from" where it was, or with a bitmap "dirty" and the bits |
//!
//! The superblock says "dirty" before the first bit is set: Linux does not look at the bits of a clean array that is whole
//! (kernel `md-bitmap.c`, `md_bitmap_load`).
//!
//! Bits that were set when a degraded array was started stay until it is whole, in the engine's log: they tell, Linux too, what a member
//! that comes back has missed.
//!
//! What a power cut leaves of a change is its old state or its new one, whoever was told and whoever was not: who joins is told last, so
//! that nobody but members that were here lead the array; a copy that takes over is told first, so that whoever throws the old member out
//! does not leave the slot to a copy that still calls itself half filled.
//!
//! Spares are told too, in no hurry: one that lags by two events would not be a spare any more.
//!
//! A partial parity log or a journal is laid down while anything is in doubt.
//!
//! It refuses to run what it cannot keep right: see [`StartError`]. It decides nothing about data.

mod back;
mod disk;
mod log;
mod said;
mod spares;
mod start;

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use raid_core::health::{Epoch, Health};
use raid_core::members::Away;
use raid_core::rows::ROW_SECTORS;
use raid_core::{Member, Sector, Sectors};
use raid_formats::md::{RegionBits, Superblock, Version};
use raid_formats::record::{Role, Sync, Uuid};

use disk::{Disk, HEADER_BYTES};
use log::LaidDown;
use said::Said;
use spares::{Coming, Spare};
pub use start::{md_start, md_start_on};

use super::start::{Slot, Stopped, Store, absent};
pub use super::start_error::StartError;
use crate::media::SharedMediaMut;

/// Words of 64 regions that are written at once: with a bit for a region, 512 bytes.
pub(super) const PAGE_WORDS: usize = 64;

/// The store of one running array. Locks are taken in the order of the fields.
pub struct MdStore {
    shared: Mutex<Shared>,
    /// Held while a superblock of several sectors is written, so that a power cut tears one of them at most.
    turn: Option<Mutex<()>>,
    spares: Mutex<Vec<Spare>>,
    /// One for each seat.
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
    /// Who was admitted to each seat, and counts once it lives.
    coming: Vec<Option<Coming>>,
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

    /// All seats.
    fn seats(&self) -> impl Iterator<Item = Member> + use<> {
        (0..=u8::MAX).take(self.disks.len()).map(Member)
    }

    /// The seat's disk, with which `work` does something; an error if there is none.
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

    /// Tells a member for whom nobody is waiting now: if it fails here, it is told so with its own next call.
    fn tell_unasked(&self, seat: Member, said: &Said) {
        if self.tell(seat, said).is_err() {
            let _ = self.with_disk(seat, |disk| {
                disk.failed = true;
                Ok(())
            });
        }
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
        for seat in self.seats() {
            let joins = next.lives(seat) && !shared.said.lives(seat);
            let coming = shared.coming.get_mut(usize::from(seat.0)).filter(|_| joins);
            if let (Some(coming), Some(number)) =
                (coming.and_then(Option::take), next.numbers.get_mut(usize::from(seat.0)))
            {
                *number = Some(coming.number);
                next.spares.retain(|spare| Some(*spare) != coming.was && *spare != coming.number);
                next.gone.extend(coming.was.filter(|was| *was != coming.number));
            }
        }
        for seat in self.seats().filter(|seat| next.lives(*seat) && shared.said.lives(*seat)) {
            self.tell_unasked(seat, &shared.said);
        }
        self.tell_spares(&shared.said);
        if (next.health.in_sync(), next.health.missing())
            != (shared.said.health.in_sync(), shared.said.health.missing())
        {
            shared.known.push((next.events, next.health.epoch()));
        }
        // Whoever takes over, before anybody calls the one faulty that it replaces.
        for seat in self.seats().filter(|seat| next.serves(*seat) && shared.said.lives(*seat)) {
            if !shared.said.serves(seat) {
                self.tell_unasked(seat, &next);
            }
        }
        shared.begun = true;
        shared.said = next.clone();
        next
    }

    /// True if who has the seat was never told anything.
    fn is_new(&self, seat: Member) -> bool {
        self.with_disk(seat, |disk| Ok(disk.first.is_some())).unwrap_or(false)
    }

    /// Nothing is in doubt, and all members say so: what a replay ends with.
    fn settle(&self) -> io::Result<()> {
        let said = self.advance(|said| said.sync = Sync::Clean);
        self.seats().filter(|seat| said.lives(*seat)).try_for_each(|member| self.tell(member, &said))
    }

    /// Puts a page into the member's image, and says which bytes of the bitmap it has.
    fn put(&self, disk: &mut Disk, page: u32, words: &[u64]) -> std::ops::Range<usize> {
        let (Some(regions), Some(bitmap)) = (&self.regions, &mut disk.bitmap) else { return 0..0 };
        let first_word = (page as usize).saturating_mul(PAGE_WORDS);
        regions.put(&mut bitmap.bytes, (first_word as u64).saturating_mul(64), words)
    }

    /// Puts a disk into a seat that is empty, where it waits for its first word.
    fn seat(&self, shared: &mut Shared, seat: Member, disk: Disk, coming: Coming) {
        let place = usize::from(seat.0);
        if let (Some(held), Some(next)) = (self.disks.get(place), shared.coming.get_mut(place)) {
            *held.lock().unwrap_or_else(PoisonError::into_inner) = Some(disk);
            *next = Some(coming);
        }
    }

    /// A number that nobody in the array has.
    fn free_number(&self, like: &Superblock<'_>, shared: &Shared) -> u32 {
        let said = &shared.said;
        let coming = |number| shared.coming.iter().flatten().any(|coming| coming.number == number);
        let taken = |number| said.numbers.contains(&Some(number)) || said.spares.contains(&number) || coming(number);
        let slots = u32::from(said.health.members());
        let free = |number: &u32| like.role_of(*number) == Role::Spare && !taken(*number);
        (slots..).find(free).unwrap_or(slots)
    }

    /// The number of who is to have a seat.
    fn number_for(&self, seat: Member, like: &Superblock<'_>, shared: &Shared) -> u32 {
        match like {
            // In 0.90 who serves a slot has its number.
            Superblock::V0Little(_) | Superblock::V0Big(_) => u32::from(seat.0),
            Superblock::V1(_) => self.free_number(like, shared),
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
        if !said.lives(member) {
            return Err(absent(member));
        }
        if self.is_new(member) {
            for other in self.seats().filter(|other| said.lives(*other) && !self.is_new(*other)) {
                self.tell_unasked(other, &said);
            }
        }
        self.tell(member, &said)
    }

    fn admit(&self, member: Member, media: SharedMediaMut) -> io::Result<Slot> {
        self.take_in(member, media)
    }

    fn replace(&self, seat: Member, media: SharedMediaMut) -> io::Result<Slot> {
        let version = self.like(&self.shared()).map(|like| like.version);
        if matches!(version, Some(Version::V0Little | Version::V0Big)) {
            let why = "version 0.90 of the superblock has no word for a member that is filled while another serves \
                       its slot; 1.0 and later have one";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        self.take_in(seat, media)
    }

    fn keep(&self, media: SharedMediaMut) -> io::Result<()> {
        self.keep_spare(media)
    }

    fn spares(&self) -> Vec<SharedMediaMut> {
        self.spare_media()
    }

    fn dismiss(&self, spare: &SharedMediaMut) -> bool {
        self.dismiss_spare(spare)
    }

    fn held(&self) -> Vec<SharedMediaMut> {
        self.spare_media()
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
        for member in self.seats().filter(|seat| said.lives(*seat)) {
            if clean && !said.degraded() {
                let _ = self.with_disk(member, |disk| {
                    disk.clear_bits();
                    Ok(())
                });
            }
            result = result.and(self.tell(member, &said));
        }
        self.tell_spares(&said);
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
