//! Who is in which slot, by name: what the host says, and what it does not know any more.

use raid_core::health::{Health, State};
use raid_core::{Member, SECTOR_BYTES};

use super::name::path_of;
use super::{CopyStatus, SlotState, SlotStatus, SpareStatus};
use crate::host::Running;

/// A medium's names.
#[derive(Clone, Debug)]
pub struct Held {
    /// As given.
    pub member: String,
    /// The same without links and working directory, if it is a file or a device.
    pub path: Option<String>,
}

impl Held {
    /// A member by the name it was given.
    #[must_use]
    pub fn new(member: &str) -> Self {
        Self { member: member.to_owned(), path: path_of(member) }
    }
}

impl From<Held> for SpareStatus {
    fn from(held: Held) -> Self {
        Self { member: held.member, path: held.path }
    }
}

/// Who was seen in a slot last.
#[derive(Clone, Debug, Default)]
struct Place {
    member: Option<Held>,
    /// Who is on the way to replace the member.
    copy: Option<Held>,
    /// Who was, and failed.
    lost_copy: Option<Held>,
}

/// All slots.
#[derive(Debug)]
pub(super) struct Roll(Vec<Place>);

impl Roll {
    /// The members of an array when it was started.
    pub(super) fn new(held: Vec<Option<Held>>, slots: u16) -> Self {
        let members = held.into_iter().chain(std::iter::repeat_with(|| None));
        Self(members.take(slots.into()).map(|member| Place { member, ..Place::default() }).collect())
    }

    /// Sees who is there now. Who failed keeps its name until it is let go of.
    pub(super) fn look(&mut self, running: &Running) {
        let health = running.health();
        let there = running.names().zip(running.copy_names());
        for ((slot, place), (member, copy)) in (0..=u8::MAX).map(Member).zip(&mut self.0).zip(there) {
            let is = |held: &Option<Held>, name: &str| held.as_ref().is_some_and(|held| held.member == name);
            match &copy {
                Some(name) if !is(&place.copy, name) => {
                    (place.copy, place.lost_copy) = (Some(Held::new(name)), None);
                }
                Some(_) => {}
                // It took over, or it failed.
                None => {
                    let took_over = |held: &Held| member.as_deref() == Some(&held.member);
                    place.lost_copy = place.copy.take().filter(|held| !took_over(held)).or(place.lost_copy.take());
                }
            }
            match &member {
                Some(name) if health.has(slot) && !is(&place.member, name) => place.member = Some(Held::new(name)),
                _ => {}
            }
        }
    }

    /// Forgets who failed in a slot.
    pub(super) fn take(&mut self, slot: Member) -> Option<Held> {
        self.0.get_mut(usize::from(slot.0)).and_then(|place| place.member.take())
    }

    /// Remembers it after all.
    pub(super) fn put(&mut self, slot: Member, held: Held) {
        if let Some(place) = self.0.get_mut(usize::from(slot.0)) {
            place.member = Some(held);
        }
    }

    /// How each slot is.
    pub(super) fn slots(&self, health: &Health) -> Vec<SlotStatus> {
        (0..=u8::MAX).map(Member).zip(&self.0).map(|(slot, place)| place.status(health, slot)).collect()
    }
}

impl Place {
    fn status(&self, health: &Health, slot: Member) -> SlotStatus {
        let bytes = |mark: raid_core::Sector| mark.0.saturating_mul(SECTOR_BYTES);
        let (state, mark) = match health.state(slot) {
            Some(State::InSync) => (SlotState::InSync, None),
            Some(State::Rebuilding { mark }) => (SlotState::Rebuilding, Some(bytes(mark))),
            _ if self.member.is_some() => (SlotState::Failed, None),
            _ => (SlotState::Missing, None),
        };
        let copy = |held: &Held, state, mark_bytes| {
            let Held { member, path } = held.clone();
            CopyStatus { member, path, state, mark_bytes }
        };
        let under_way = health.copy(slot).zip(self.copy.as_ref());
        SlotStatus {
            slot: slot.0,
            member: self.member.as_ref().map(|held| held.member.clone()),
            path: self.member.as_ref().and_then(|held| held.path.clone()),
            state,
            mark_bytes: mark,
            by_log: health.filling().any(|filling| filling.member == slot && filling.by_log),
            copy: under_way
                .map(|(filling, held)| copy(held, SlotState::Rebuilding, Some(bytes(filling.mark))))
                .or_else(|| self.lost_copy.as_ref().map(|held| copy(held, SlotState::Failed, None))),
        }
    }
}
