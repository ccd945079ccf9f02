//! The states of the pass.

/// What the pass is at.
///
/// ```text
///            Begin               Visited              Enough               Drained
///   Resting --------> Visiting ---------> Healing ------------> Draining ----------> Resting
///    |  ^ | Continue      |                  ^
///    |  | '--------------)|(-----------------'
///    |  |      Again      |
///    |  '-----------------'
///    |
///    |  Save              Flushed           Moved                  Hold            Resume
///    '-------> Flushing ---------> Moving --------> Resting      Resting ---> Paused ---> Resting
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing is under way: decides what comes next, if anything is due.
    Resting,
    /// The next region's shard, and the log, are asked about it.
    Visiting,
    /// Rows are being healed.
    Healing,
    /// No further row is begun; those under way come in.
    Draining,
    /// All members are being flushed.
    Flushing,
    /// Marks are moved to what the flush made durable.
    Moving,
    /// Nothing is under way and nothing begins: the host wants it so.
    Paused,
}

/// What happens to the pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The next region is due.
    Begin,
    /// The region that was left in the middle goes on.
    Continue,
    /// What the region needs is known.
    Visited,
    /// The region needs nothing, or must be asked about again.
    Again,
    /// The region is through, a checkpoint is due, or the host wants a pause.
    Enough,
    /// All rows that were begun are answered.
    Drained,
    /// Marks have something to be moved over.
    Save,
    /// All members are flushed.
    Flushed,
    /// All marks are moved.
    Moved,
    /// The host wants a pause.
    Hold,
    /// The host wants no pause any more.
    Resume,
}

impl State {
    /// All states.
    pub const ALL: [Self; 7] =
        [Self::Resting, Self::Visiting, Self::Healing, Self::Draining, Self::Flushing, Self::Moving, Self::Paused];

    /// The state after `event`; `None` if it cannot happen here.
    #[must_use]
    pub const fn after(self, event: Event) -> Option<Self> {
        use Event as E;
        use State as S;
        Some(match (self, event) {
            (S::Resting, E::Begin) => S::Visiting,
            (S::Resting, E::Continue) | (S::Visiting, E::Visited) => S::Healing,
            (S::Healing, E::Enough) => S::Draining,
            (S::Resting, E::Save) => S::Flushing,
            (S::Flushing, E::Flushed) => S::Moving,
            (S::Resting, E::Hold) => S::Paused,
            (S::Visiting, E::Again) | (S::Draining, E::Drained) | (S::Moving, E::Moved) | (S::Paused, E::Resume) => {
                S::Resting
            }
            _ => return None,
        })
    }
}

impl Event {
    /// All events.
    pub const ALL: [Self; 11] = [
        Self::Begin,
        Self::Continue,
        Self::Visited,
        Self::Again,
        Self::Enough,
        Self::Drained,
        Self::Save,
        Self::Flushed,
        Self::Moved,
        Self::Hold,
        Self::Resume,
    ];
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::fmt::Write;
    use std::string::String;

    use super::*;

    #[test]
    fn every_state_meets_every_event_as_drawn() {
        let mut table = String::new();
        for (state, event) in State::ALL.iter().flat_map(|state| Event::ALL.map(|event| (*state, event))) {
            writeln!(table, "{state:?} {event:?} {:?}", state.after(event)).unwrap();
        }
        assert_eq!(table, include_str!("states.txt"));
    }

    #[test]
    fn marks_move_only_after_a_flush_and_a_flush_begins_only_when_no_row_is_under_way() {
        for (state, event) in State::ALL.iter().flat_map(|state| Event::ALL.map(|event| (*state, event))) {
            match state.after(event) {
                Some(State::Moving) => assert_eq!((state, event), (State::Flushing, Event::Flushed)),
                Some(State::Flushing | State::Paused) => assert_eq!(state, State::Resting),
                _ => {}
            }
        }
    }
}
