//! Who is in a running array: members fail, come, come back and are replaced, and spares take over.
//!
//! What becomes of a member is the core's decision and what is written down of it the store's; here a medium gets its seat between the two.

use std::io;

use raid_core::engine::{self, Host as _};
use raid_core::health::{Epoch, Health, HealthError, State};
use raid_core::{Columns, Member};

use super::inner::{Inner, lock};
use super::running::Running;
use super::start::Slot;
use crate::media::SharedMediaMut;

impl Inner {
    /// Who is in sync, being rebuilt, or missing.
    pub(super) fn health(&self) -> Health {
        self.with_members(|members| members.view().health)
    }

    /// True if all members have written down who is in the array.
    fn is_noted(&self) -> bool {
        self.with_members(|members| {
            let view = members.view();
            view.durable >= view.health.epoch()
        })
    }

    /// Begins what is due from the start, if that was not done yet.
    pub(super) fn begin(&self) {
        self.begun.call_once(|| engine::start(self));
    }

    /// The states, with nobody in that slot.
    fn with_empty(&self, member: Member) -> io::Result<Health> {
        let health = self.health();
        match health.state(member) {
            Some(State::Missing) => Ok(health),
            _ => Err(io::Error::other(format!("slot {member} is not empty"))),
        }
    }

    /// Puts a medium into a seat that nobody has, and lets the core know. If it refuses, the medium is nobody's again.
    fn take_seat<E>(
        &self,
        (seat, slot): (Member, Slot),
        since: Epoch,
        join: impl FnOnce(&Self) -> Result<(), E>,
    ) -> io::Result<()>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        self.seats.give(seat, slot, since);
        self.begin();
        join(self).map_err(|why| {
            self.seats.leave(seat);
            self.store.withdraw(seat);
            io::Error::other(why)
        })
    }

    fn add(&self, member: Member, media: SharedMediaMut) -> io::Result<()> {
        let _alone = lock(&self.joining);
        let health = self.with_empty(member)?;
        let seat = health.seat(member);
        let slot = self.store.admit(seat, media)?;
        self.take_seat((seat, slot), health.epoch(), |inner| engine::add(inner, member))
    }

    fn readd(&self, member: Member, media: SharedMediaMut) -> io::Result<()> {
        let _alone = lock(&self.joining);
        let health = self.with_empty(member)?;
        let seat = health.seat(member);
        let (slot, away) = self.store.readmit(seat, media)?;
        self.take_seat((seat, slot), health.epoch(), |inner| engine::readd(inner, member, away))
    }

    fn replace(&self, member: Member, media: SharedMediaMut) -> io::Result<()> {
        let _alone = lock(&self.joining);
        let noted = self.is_noted();
        let health = self.health();
        let why = match health.state(member) {
            _ if !noted => return Err(io::Error::other(HealthError::Unsettled)),
            Some(State::InSync) if health.copy(member).is_some() => "is being replaced already",
            Some(State::InSync) => {
                let seat = health.second_seat(member);
                let slot = self.store.replace(seat, media)?;
                return self.take_seat((seat, slot), health.epoch(), |inner| engine::replace(inner, member));
            }
            Some(State::Rebuilding { .. }) => "is being filled itself",
            Some(State::Missing) | None => "has no member that could be replaced",
        };
        Err(io::Error::other(format!("slot {member} {why}")))
    }
}

/// Looks after who comes and goes without being told to.
#[derive(Default)]
pub(super) struct Usher {
    /// When no spare would do, and how many there were.
    tried: Option<(Epoch, usize)>,
}

impl Usher {
    pub(super) fn look(&mut self, inner: &Inner) {
        if inner.begun.is_completed() && inner.is_noted() {
            self.let_go(inner);
            self.take_spares(inner);
        }
    }

    /// Lets go of media whose seat nobody has any more: of who was replaced, and of copies that failed.
    fn let_go(&self, inner: &Inner) {
        let _alone = lock(&inner.joining);
        let health = inner.health();
        for member in Columns::first(health.members()).iter().filter(|member| health.copy(*member).is_none()) {
            let seat = health.second_seat(member);
            if inner.seats.is_taken(seat) && inner.store.release(seat) {
                inner.seats.leave(seat);
            }
        }
    }

    /// Gives empty slots to spares.
    fn take_spares(&mut self, inner: &Inner) {
        let (health, spares) = (inner.health(), inner.store.spares());
        let now = Some((health.epoch(), spares.len()));
        let broken = inner.with_members(|members| members.view().broken);
        if health.missing().is_empty() || spares.is_empty() || broken || self.tried == now {
            return;
        }
        let mut spares = spares.into_iter();
        for member in health.missing().iter() {
            // One that does not do is passed over.
            if !spares.any(|spare| inner.add(member, spare).is_ok()) {
                self.tried = now;
                return;
            }
        }
    }
}

impl Running {
    /// Throws a member out. If another is on the way to replace it, that one has the slot, as far as it is filled.
    pub fn fail(&self, member: Member) {
        self.begin();
        engine::fail(&*self.inner, self.health().seat(member));
    }

    /// Throws out who is on the way to replace a member. False if nobody is.
    pub fn fail_copy(&self, member: Member) -> bool {
        self.begin();
        let health = self.health();
        let there = health.copy(member).is_some();
        if there {
            engine::fail(&*self.inner, health.second_seat(member));
        }
        there
    }

    /// Gives a missing member's slot to a medium, and fills it.
    ///
    /// # Errors
    /// The slot is taken; the medium does not do.
    pub fn add(&self, member: Member, media: SharedMediaMut) -> io::Result<()> {
        self.inner.add(member, media)
    }

    /// Gives a missing member's slot to a medium that had it before, and fills only what it lacks by the region log.
    ///
    /// # Errors
    /// The slot is taken; the medium was no member in sync; or it cannot be known what it lacks (the error has an
    /// [`Unknown`](raid_core::members::Unknown) in it). It can be [added](Self::add) then.
    pub fn readd(&self, member: Member, media: SharedMediaMut) -> io::Result<()> {
        self.inner.readd(member, media)
    }

    /// Fills a medium with what a member holds while that one serves, and lets it take over then; who was replaced is let go of. If the old
    /// one fails first, the new one has the slot, as far as it is filled.
    ///
    /// # Errors
    /// There is nobody to be replaced, or somebody is at it; the format cannot say it; the medium does not do; the members' last change
    /// is not written down yet.
    pub fn replace(&self, member: Member, media: SharedMediaMut) -> io::Result<()> {
        self.inner.replace(member, media)
    }

    /// Keeps a medium as a spare, which takes over by itself when a slot is empty.
    ///
    /// # Errors
    /// The format keeps none; the medium does not do.
    pub fn keep(&self, media: SharedMediaMut) -> io::Result<()> {
        let _alone = lock(&self.inner.joining);
        self.begin();
        self.inner.store.keep(media)
    }

    /// The spares, the first to be taken first.
    #[must_use]
    pub fn spares(&self) -> Vec<SharedMediaMut> {
        self.inner.store.spares()
    }

    /// Lets go of a spare. False if it is none any more.
    pub fn dismiss(&self, spare: &SharedMediaMut) -> bool {
        let _alone = lock(&self.inner.joining);
        self.inner.store.dismiss(spare)
    }

    /// Media that the format keeps up to date without their being members; each can be [added](Self::add).
    #[must_use]
    pub fn held(&self) -> Vec<SharedMediaMut> {
        self.inner.store.held()
    }

    /// True if all members have written down who is in the array.
    #[must_use]
    pub fn is_noted(&self) -> bool {
        self.inner.is_noted()
    }

    /// Lets go of the medium of a member that is out, so that it can be taken away. False as long as the member is not out, or the others
    /// have not written that down.
    pub fn release(&self, member: Member) -> bool {
        let health = self.health();
        let seat = health.seat(member);
        let out = health.state(member) == Some(State::Missing) && self.inner.store.release(seat);
        if out {
            self.inner.seats.leave(seat);
        }
        out
    }
}
