// SPDX-License-Identifier: GPL-2.0-only
//! Records of DDF and IMSM under a running volume: one record of what all disks are to know, told to all of them at once.
//!
//! What they are to say is [`Book`]'s, how the formats say it `running`'s of each. A change starts from what was written last: the devices
//! are the table's alone, and hold parts of no other volume. It is on all of them before the next one begins.

mod ddf;
mod imsm;

use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use raid_core::health::Health;
use raid_core::{Columns, Member};
use raid_formats::container::{Book, Said};
use raid_formats::ddf::Write;
use raid_formats::record::Sync;

use super::{Desk, PAGE_WORDS};

pub(crate) use ddf::DdfVolume;
pub(crate) use imsm::ImsmVolume;

/// By which format.
pub(crate) enum Volume {
    Ddf(DdfVolume),
    Imsm(ImsmVolume),
}

struct Inner {
    book: Book,
    volume: Volume,
    /// Disks that could not be told: they are told nothing any more.
    faults: Columns,
}

/// The records of a container's disks.
pub(crate) struct Container(Pin<KBox<Mutex<Inner>>>);

/// Why something was not written.
enum Unwritten {
    /// The format cannot say it.
    Refused,
    /// The device failed.
    Failed,
}

impl From<raid_formats::ddf::Refusal> for Unwritten {
    fn from(_: raid_formats::ddf::Refusal) -> Self {
        Self::Refused
    }
}

impl From<raid_formats::imsm::Refusal> for Unwritten {
    fn from(_: raid_formats::imsm::Refusal) -> Self {
        Self::Refused
    }
}

impl Desk<'_> {
    /// Writes to a member, durably.
    fn put(&self, member: Member, write: Write<'_>) -> core::result::Result<(), Unwritten> {
        let device = self.seats.data_device(member).ok_or(Unwritten::Failed)?;
        self.clerks.fill(member, write.bytes);
        match self.clerks.write(member, device, write.at, write.bytes.len()) {
            true => Ok(()),
            false => Err(Unwritten::Failed),
        }
    }
}

impl Container {
    /// What goes on with what was read.
    pub(crate) fn new(said: Said, volume: Volume) -> Result<Self> {
        let inner = Inner { book: Book::new(said), volume, faults: Columns::EMPTY };
        Ok(Self(KBox::pin_init(new_mutex!(inner, "raid_container"), GFP_KERNEL)?))
    }

    pub(super) fn write_log(
        &self,
        desk: &Desk<'_>,
        member: Member,
        words: impl FnOnce(&mut [u64; PAGE_WORDS]) -> usize,
    ) -> bool {
        let mut inner = self.0.lock();
        let mut room = [0; PAGE_WORDS];
        let count = words(&mut room);
        let dirty = room.iter().take(count).any(|word| *word != 0);
        inner.change(desk, |said| said.dirty = dirty) && inner.answer(member)
    }

    pub(super) fn write_health(&self, desk: &Desk<'_>, member: Member, health: &Health) -> bool {
        let mut inner = self.0.lock();
        inner.change(desk, |said| {
            said.health.learn(health);
        }) && inner.answer(member)
    }

    pub(super) fn stop(&self, desk: &Desk<'_>, health: &Health, sync: Sync) {
        let mut inner = self.0.lock();
        if let Some(said) = inner.book.stopped(health, sync == Sync::Clean) {
            // Who cannot be told lags behind, and that tells.
            inner.say(desk, said);
        }
    }

    /// Says which members could not be told that the array goes on.
    pub(super) fn go_on(&self, desk: &Desk<'_>, set: bool) -> Columns {
        let mut inner = self.0.lock();
        let well = !set || inner.change(desk, |said| said.dirty = true);
        let living = inner.book.said().health.present();
        living.iter().filter(|member| !(well && inner.answer(*member))).collect()
    }
}

impl Inner {
    /// Lets what is said change, and all disks say it. False if it cannot be said.
    fn change(&mut self, desk: &Desk<'_>, change: impl FnOnce(&mut Said)) -> bool {
        self.book.next(change).is_none_or(|next| self.say(desk, next))
    }

    #[inline(never)]
    fn say(&mut self, desk: &Desk<'_>, next: Said) -> bool {
        let told = next.health.present().difference(self.faults);
        let failed = match &mut self.volume {
            Volume::Ddf(volume) => volume.say(desk, told, &next),
            Volume::Imsm(volume) => volume.say(desk, told, &next),
        };
        let Some(failed) = failed else { return false };
        self.faults = self.faults.union(failed);
        self.book.entered(next);
        true
    }

    /// How it went for that member.
    fn answer(&self, member: Member) -> bool {
        self.book.said().lives(member) && !self.faults.contains(member)
    }
}
