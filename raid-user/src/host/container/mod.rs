//! Formats that say on each disk what all are to know (DDF, IMSM, and BIOS RAIDs as containers of one array), under a running volume.
//!
//! | the engine says | on every disk of the container |
//! |---|---|
//! | a bit of the log | the volume is dirty; redundancy may not agree |
//! | no bit | it is clean |
//! | the members' states | which disks failed, which is being filled and (IMSM, some BIOS RAIDs) how far, the volume's condition |
//! | stopped in the middle of a resync | dirty, as a whole: no format has a place for how far it came |
//!
//! **One change is on all disks before the next one begins**, with one number. A cut in between leaves some disks one number behind, which
//! are current all the same; never two.
//!
//! **The container is not ours alone.** Other volumes' states stand in the same tables, and another store may run such a volume. So a
//! change starts from what the disks hold now, and not from what this store wrote last; what it does not mean stays; a disk that lags
//! gets the tables of the freshest with it; and while one store changes a container, no other one does. Disks that hold parts of other
//! volumes alone get every change, too: else they would be stale.
//!
//! A disk that joins is told what is said by stores that were started before it came only by way of its own volume's next change. Between
//! processes that cannot be: whoever runs a volume has all disks of its container locked.
//!
//! Failing is of disks, not of parts: in DDF and IMSM, a disk that failed in one volume has failed in all.

pub(super) mod bios;
pub(super) mod ddf;
pub(super) mod imsm;
mod start;

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use raid_core::health::Health;
use raid_core::{Member, Sector};
use raid_formats::container::{Book, Said};

use super::start::{Slot, Stopped, Store, absent};
use super::start_error::check_block;
use crate::media::SharedMediaMut;

pub(super) use start::container_start;
pub use start::container_start_on;

/// Held by whoever changes a container.
static TURN: Mutex<()> = Mutex::new(());

/// A disk of the container.
pub(super) struct Disk {
    pub(super) media: SharedMediaMut,
    /// Its slot in the volume; nothing if it holds parts of others alone.
    pub(super) slot: Option<Member>,
    /// It has no records yet.
    pub(super) new: bool,
    /// It was admitted to its slot, and nothing said that the slot lives since.
    coming: bool,
    /// Why its records could not be written: it is told nothing any more.
    pub(super) fault: Option<String>,
}

impl Disk {
    pub(super) const fn new(media: SharedMediaMut, slot: Option<Member>) -> Self {
        Self { media, slot, new: false, coming: false, fault: None }
    }

    /// True if it is to be told what is said.
    pub(super) fn is_told(&self, said: &Said) -> bool {
        self.fault.is_none() && self.slot.is_none_or(|slot| said.lives(slot))
    }

    /// Keeps what went wrong, for whoever waits for this disk.
    pub(super) fn note(&mut self, done: io::Result<()>) {
        if let Err(error) = done {
            self.fault = Some(error.to_string());
        }
    }
}

/// How a format says it.
pub(super) trait Format: Send {
    /// Writes what is said to all disks that are told, on top of what stands there now. What goes wrong with one disk is noted there.
    ///
    /// # Errors
    /// It cannot be said; then nothing was written.
    fn say(&mut self, disks: &mut [Disk], said: &Said) -> io::Result<()>;

    /// Plans a new member for a missing slot; it counts once `say` says that the slot lives. Where its data will lie.
    ///
    /// # Errors
    /// Why it cannot be: no room, not known which disk it is, something else under way.
    fn admit(&mut self, disks: &[Disk], said: &Said, member: Member, media: &SharedMediaMut) -> io::Result<Sector>;

    /// Forgets that plan.
    fn withdraw(&mut self, member: Member);
}

/// The store of one running volume.
pub(super) struct ContainerStore(Mutex<Inner>);

struct Inner {
    format: Box<dyn Format>,
    disks: Vec<Disk>,
    book: Book,
}

impl ContainerStore {
    pub(super) fn new(format: Box<dyn Format>, disks: Vec<Disk>, said: Said) -> Self {
        Self(Mutex::new(Inner { format, disks, book: Book::new(said) }))
    }

    /// Redundancy agrees, and all disks say so: what a replay ends with.
    fn settle(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change(|said| said.dirty = false)?;
        let faults = || inner.disks.iter().filter_map(|disk| disk.fault.clone());
        faults().next().map_or(Ok(()), |fault| Err(io::Error::other(fault)))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Lets what is said change, and all disks say it.
    fn change(&mut self, change: impl FnOnce(&mut Said)) -> io::Result<()> {
        self.book.next(change).map_or(Ok(()), |next| self.say(next))
    }

    fn say(&mut self, next: Said) -> io::Result<()> {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        self.format.say(&mut self.disks, &next)?;
        for disk in self.disks.iter_mut().filter(|disk| disk.is_told(&next)) {
            (disk.new, disk.coming) = (false, false);
        }
        self.book.entered(next);
        Ok(())
    }

    /// How it went for that member.
    fn answer(&self, member: Member) -> io::Result<()> {
        match self.disks.iter().find(|disk| disk.slot == Some(member)) {
            Some(Disk { fault: Some(fault), .. }) => Err(io::Error::other(fault.clone())),
            // What is said reaches it with the next states: pages of the log that come before those must not throw it out.
            Some(disk) if disk.coming => Ok(()),
            Some(_) if self.book.said().lives(member) => Ok(()),
            _ => Err(absent(member)),
        }
    }
}

impl Store for ContainerStore {
    fn write_log(&self, member: Member, _: u32, words: &[u64]) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change(|said| said.dirty = words.iter().any(|word| *word != 0))?;
        inner.answer(member)
    }

    fn write_health(&self, member: Member, health: &Health) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change(|said| {
            said.health.learn(health);
        })?;
        if inner.book.said().lives(member) { inner.answer(member) } else { Err(absent(member)) }
    }

    fn admit(&self, member: Member, media: SharedMediaMut) -> io::Result<Slot> {
        let mut inner = self.inner();
        if inner.book.said().lives(member) {
            return Err(io::Error::other(format!("slot {member} is not free")));
        }
        check_block(&media).map_err(io::Error::other)?;
        // Whoever had the slot is written off first: else the record would still name him beside the newcomer, who may be the same disk.
        if !inner.book.has_begun() {
            inner.change(|_| ())?;
        }
        let Inner { format, disks, book } = &mut *inner;
        // Whoever had the slot is gone, and is told nothing any more.
        disks.retain(|disk| disk.slot != Some(member));
        let data_at = format.admit(disks, book.said(), member, &media)?;
        let held = disks.iter_mut().find(|disk| std::sync::Arc::ptr_eq(&disk.media, &media));
        match held {
            Some(disk) => (disk.slot, disk.coming) = (Some(member), true),
            None => {
                crate::create::erase(&media)?;
                disks.push(Disk { new: true, coming: true, ..Disk::new(media.clone(), Some(member)) });
            }
        }
        Ok(Slot { media: Some(media), data_at })
    }

    fn withdraw(&self, member: Member) {
        let mut inner = self.inner();
        let lives = inner.book.said().lives(member);
        let Inner { format, disks, .. } = &mut *inner;
        if lives {
            return;
        }
        format.withdraw(member);
        disks.retain(|disk| !(disk.slot == Some(member) && disk.new));
        // A disk that was here before goes on with its other parts.
        for disk in disks.iter_mut().filter(|disk| disk.slot == Some(member)) {
            (disk.slot, disk.coming) = (None, false);
        }
    }

    fn held(&self) -> Vec<SharedMediaMut> {
        let inner = self.inner();
        let free = inner.disks.iter().filter(|disk| disk.slot.is_none() && disk.fault.is_none());
        free.map(|disk| disk.media.clone()).collect()
    }

    fn release(&self, member: Member) -> bool {
        let mut inner = self.inner();
        let coming = inner.disks.iter().any(|disk| disk.slot == Some(member) && disk.coming);
        let out = !inner.book.said().lives(member) && !coming;
        if out {
            inner.disks.retain(|disk| disk.slot != Some(member));
        }
        out
    }

    fn stop(&self, health: &Health, stopped: Stopped) -> io::Result<()> {
        let mut inner = self.inner();
        let Some(said) = inner.book.stopped(health, stopped == Stopped::Clean) else { return Ok(()) };
        inner.say(said)?;
        let living =
            (0..=u8::MAX).map(Member).take(health.members().into()).filter(|member| inner.book.said().lives(*member));
        living.map(|member| inner.answer(member)).fold(Ok(()), io::Result::and)
    }
}

/// What keeps a change from a disk: a refusal of the format, or the medium's error.
pub(super) struct Failure(pub(super) io::Error);

impl<R: std::fmt::Display> From<R> for Failure {
    fn from(refusal: R) -> Self {
        Self(io::Error::other(refusal.to_string()))
    }
}

/// Writes to a medium, and flushes it if what comes next must not overtake that.
pub(super) fn put(media: &SharedMediaMut, at: Sector, bytes: &[u8], flush: bool) -> Result<(), Failure> {
    let at = at.bytes().ok_or_else(|| Failure(io::Error::other("a place past all media")))?;
    media.write_at(at, bytes).map_err(Failure)?;
    if flush { media.flush().map_err(Failure) } else { Ok(()) }
}
