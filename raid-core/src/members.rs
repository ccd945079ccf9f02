//! Who is in the array, and whether that is written down.
//!
//! A failure makes a new epoch. Whoever completed something only because a member was dropped waits until that epoch is
//! durable on all that are left: else a crash could bring the dropped member back as if nothing had happened.
//!
//! ```text
//!           the epoch is not durable                 all wrote it
//!   Quiet --------------------------> Writing(epoch) ------------> Quiet, durable(epoch)
//!                                        |    ^
//!                                        '----' somebody failed: a newer epoch, once more
//! ```

use core::fmt;
use core::hash::{Hash, Hasher};

use crate::broadcast::{Broadcast, Outcome, Verdict, View};
use crate::geometry::Geometry;
use crate::health::{Epoch, Event, Filling, Health, HealthError, State};
use crate::memory::{Memory, OutOfMemory};
use crate::units::{Columns, Member, Sector};

/// A member that was away, by its own word: what its metadata say, which nobody has written to since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    /// The newest epoch that it knows of, in which it was in sync or being caught up by the log.
    pub knew: Epoch,
    /// Who was missing then.
    pub missing: Columns,
}

impl Away {
    /// What the metadata of whoever had this seat say of it; `None` if it held nothing then that could be built on.
    #[must_use]
    pub fn new(seat: Member, found: &Health) -> Option<Self> {
        let member = found.seats().slot(seat);
        let catching_up = |filling: Filling| filling.member == member && filling.by_log;
        let good = found.in_sync().contains(member) || found.filling().any(catching_up);
        (good && found.seat(member) == seat).then(|| Self { knew: found.epoch(), missing: found.missing() })
    }
}

/// Why a member that was away cannot be caught up. It can be added as a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The slot cannot be had.
    Slot(HealthError),
    /// Bits were taken back since it left: what it lacks is not known.
    Cleared {
        /// What it knew.
        knew: Epoch,
        /// When bits were taken back last.
        cleared: Epoch,
    },
    /// It knows of an epoch that the array has not seen, or has missed a member that is good: it may have been written to without
    /// the others.
    Diverged,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot(error) => error.fmt(f),
            Self::Cleared { knew, cleared } => {
                write!(
                    f,
                    "it left in epoch {}, and the log forgot in epoch {} what was written before",
                    knew.0, cleared.0
                )
            }
            Self::Diverged => f.write_str("it may have been written to without the others"),
        }
    }
}

impl core::error::Error for Unknown {}

/// The machine.
pub struct Members<M: Memory> {
    view: View,
    /// When each member joined last: blame from before is not its own.
    joined: M::Array<Epoch>,
    read_errors: M::Array<u32>,
    read_errors_max: u32,
    writing: Option<(Health, Broadcast)>,
    changed: bool,
}

impl<M: Memory> Hash for Members<M> {
    fn hash<H: Hasher>(&self, into: &mut H) {
        let Self { view, joined, read_errors, read_errors_max: _, writing, changed } = self;
        joined.hash(into);
        read_errors.hash(into);
        (view, writing, changed).hash(into);
    }
}

impl<M: Memory> Members<M> {
    /// Becomes what `other` is: a host that tries everything goes on from it twice. Both were made alike.
    pub fn copy_from(&mut self, other: &Self) {
        let Self { view, joined, read_errors, read_errors_max: _, writing, changed } = other;
        self.joined.copy_from_slice(joined);
        self.read_errors.copy_from_slice(read_errors);
        (self.view, self.writing, self.changed) = (*view, *writing, *changed);
    }

    /// Members as assembly found them. `read_errors_max` repaired read errors are forgiven, the next one is not.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(health: Health, read_errors_max: u32) -> Result<Self, OutOfMemory> {
        // One for each seat.
        let members = usize::from(health.members()).saturating_mul(2);
        let epoch = health.epoch();
        Ok(Self {
            view: View { health, durable: epoch, fence: epoch, added: epoch, broken: false },
            joined: M::array(members, |_| Epoch(0))?,
            read_errors: M::array(members, |_| 0)?,
            read_errors_max,
            writing: None,
            changed: false,
        })
    }

    /// What is so now.
    #[must_use]
    pub const fn view(&self) -> View {
        self.view
    }

    /// True once after every change of the view.
    #[must_use]
    pub fn take_changed(&mut self) -> bool {
        core::mem::take(&mut self.changed)
    }

    /// The states being written down.
    #[must_use]
    pub fn persisting(&self) -> Health {
        self.writing.map_or(self.view.health, |(health, _)| health)
    }

    /// Who has this seat failed at something that was decided in epoch `seen`. Redundancy may be in doubt from `doubt` on.
    pub fn fail(&mut self, geometry: &Geometry, seat: Member, seen: Epoch, doubt: Option<Sector>) -> Verdict {
        let joined = self.joined.get(usize::from(seat.0)).copied().unwrap_or_default();
        let member = self.view.health.seats().slot(seat);
        let state = self.view.health.state(member);
        if seen < joined || !self.view.health.has(member) {
            return Verdict::Out(self.view.fence);
        }
        if self.view.health.seat(member) != seat {
            // A copy that failed leaves; whoever served before and was replaced is gone already.
            if let Ok(epoch) = self.view.health.apply(member, Event::Desert) {
                self.view.fence = epoch;
                self.changed = true;
            }
            return Verdict::Out(self.view.fence);
        }
        let mut out = Columns::first(self.view.health.members()).difference(self.view.health.in_sync());
        out.insert(member);
        if state == Some(State::InSync) && !geometry.survives(out) {
            self.changed |= !self.view.broken;
            self.view.broken = true;
            return Verdict::Broken;
        }
        if let Ok(epoch) = self.view.health.fail(member, doubt) {
            self.view.fence = epoch;
            self.changed = true;
        }
        Verdict::Out(self.view.fence)
    }

    /// Who has this seat failed a read, which the caller gets elsewhere. It [fails](Self::fail) altogether if that was one too many.
    pub fn read_error(&mut self, geometry: &Geometry, seat: Member, seen: Epoch, doubt: Option<Sector>) -> Verdict {
        let place = usize::from(seat.0);
        // What was asked of the one before is not held against the one that has its seat now.
        let own = self.joined.get(place).is_some_and(|joined| seen >= *joined);
        let Some(count) = self.read_errors.get_mut(place).filter(|_| own) else { return Verdict::Out(Epoch(0)) };
        *count = count.saturating_add(1);
        if *count > self.read_errors_max { self.fail(geometry, seat, seen, doubt) } else { Verdict::Out(Epoch(0)) }
    }

    /// A new member takes the slot of a missing one: nothing on it is trusted yet.
    ///
    /// # Errors
    /// [`HealthError`] if the slot is taken, or too many others are being rebuilt.
    pub fn add(&mut self, member: Member) -> Result<(), HealthError> {
        self.join(member, Event::Rebuild { mark: Sector(0) })
    }

    /// A member that was away takes its slot again: it lacks what the log has bits for. `cleared` is the epoch in which a bit
    /// was taken back last; bits are not taken back while a slot is empty.
    ///
    /// # Errors
    /// [`Unknown`]; nothing has changed then.
    pub fn readd(&mut self, member: Member, away: Away, cleared: Epoch) -> Result<(), Unknown> {
        if away.knew < cleared {
            return Err(Unknown::Cleared { knew: away.knew, cleared });
        }
        let spared = away.missing.intersection(self.view.health.in_sync());
        if away.knew > self.view.health.epoch() || !spared.is_empty() {
            return Err(Unknown::Diverged);
        }
        self.join(member, Event::CatchUp { mark: Sector(0) }).map_err(Unknown::Slot)
    }

    /// A new member comes to the other seat of a slot whose member serves: it is filled with what that one holds, and takes over then.
    ///
    /// # Errors
    /// [`HealthError`] if there is nobody to be replaced, or somebody is at it, or too many others are being filled; or the last change
    /// is not durable: whoever was in that seat before may be the one that counts after a crash.
    pub fn replace(&mut self, member: Member) -> Result<(), HealthError> {
        if self.view.durable < self.view.health.epoch() {
            return Err(HealthError::Unsettled);
        }
        self.join(member, Event::Replace { mark: Sector(0) })
    }

    fn join(&mut self, member: Member, event: Event) -> Result<(), HealthError> {
        let epoch = self.change(member, event)?;
        let health = &self.view.health;
        let copy = matches!(event, Event::Replace { .. });
        let seat = usize::from(if copy { health.second_seat(member) } else { health.seat(member) }.0);
        if let (Some(joined), Some(errors)) = (self.joined.get_mut(seat), self.read_errors.get_mut(seat)) {
            (*joined, *errors) = (epoch, 0);
        }
        self.view.added = epoch;
        Ok(())
    }

    /// The data of the member that is being filled since epoch `since` are durable below `mark`, or everywhere. In the latter
    /// case its word counts from the new epoch on, so others wait for that: of a copy, because whoever it replaces takes no
    /// writes any more. Nothing happens if it has left.
    ///
    /// # Errors
    /// [`HealthError`] if it was further already.
    pub fn trust(&mut self, member: Member, mark: Option<Sector>, since: Epoch) -> Result<(), HealthError> {
        let is_it = |filling: &Filling| filling.member == member && filling.since == since;
        let Some(copy) = self.view.health.fillings().find(is_it).map(|filling| filling.copy) else { return Ok(()) };
        let event = match (mark, copy) {
            (Some(mark), false) => Event::Advance { mark },
            (Some(mark), true) => Event::Copied { mark },
            (None, false) => Event::Finish,
            (None, true) => Event::TakeOver,
        };
        let epoch = self.change(member, event)?;
        if mark.is_none() {
            self.view.fence = epoch;
        }
        Ok(())
    }

    fn change(&mut self, member: Member, event: Event) -> Result<Epoch, HealthError> {
        let epoch = self.view.health.apply(member, event)?;
        self.changed = true;
        Ok(epoch)
    }

    /// A member wrote the states down, or failed to.
    pub fn done(&mut self, outcome: Outcome) {
        if let Some((_, round)) = &mut self.writing {
            round.done(outcome);
        }
    }

    /// Whom to write the states to next, and the epoch of that. The answer changes after every other call.
    #[must_use]
    pub fn poll(&mut self) -> Option<(Member, Epoch)> {
        loop {
            let Some((health, round)) = &mut self.writing else {
                if self.view.durable >= self.view.health.epoch() || self.view.broken {
                    return None;
                }
                self.writing = Some((self.view.health, Broadcast::new(self.view.writable(), Epoch(0))));
                continue;
            };
            let epoch = health.epoch();
            if let Some(member) = round.next() {
                return Some((member, epoch));
            }
            if !round.answered() {
                return None;
            }
            // Whoever failed is out in a newer epoch, which is written next.
            if !round.failed {
                self.view.durable = epoch;
                self.changed = true;
            }
            self.writing = None;
        }
    }
}
