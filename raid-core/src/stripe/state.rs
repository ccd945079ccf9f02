//! The states of a slot.

/// What a slot is doing for its row.
///
/// ```text
///           Join              Wait
///    Free --------> Queued ---------> Marking
///     ^              | ^  ^             |
///     |    Leave     | |  '---- Go -----'
///     '--------------' |
///                      |  Told
///       Queued         '-----------------------------------------------------.
///         | Begin                                                             |
///         v            Known               Made             Written           |
///       Reading ----------------> Computing -----> Writing ---------> Settling
///        |   | ^                       ^  Next        |                 ^
///        |   | |                       '--------------'                 |
///        |   '-' Begin: a read failed, there is another plan            |
///        '----------------------------- Refuse -------------------------'   (also from Queued)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No row.
    Free,
    /// Has a row and somebody who waits for it. Neighbours that come now are served together.
    Queued,
    /// Waits for the region log.
    Marking,
    /// Members fill its buffers.
    Reading,
    /// Its buffers are computed with.
    Computing,
    /// Members take from its buffers.
    Writing,
    /// Waits for an epoch to be durable, then tells whom it served.
    Settling,
}

/// What happens to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A request came for a row that has no slot.
    Join,
    /// The region's bit must be set first.
    Wait,
    /// The bit is durable.
    Go,
    /// A batch has a plan.
    Begin,
    /// There is no plan.
    Refuse,
    /// All that had to be read is there.
    Known,
    /// All that had to be computed is there.
    Made,
    /// Members took, or refused, all that had to be written.
    Written,
    /// A check goes on with the next sector of the row.
    Next,
    /// All of the batch are told.
    Told,
    /// Nobody waits.
    Leave,
}

impl State {
    /// All states.
    pub const ALL: [Self; 7] =
        [Self::Free, Self::Queued, Self::Marking, Self::Reading, Self::Computing, Self::Writing, Self::Settling];

    /// The state after `event`; `None` if it cannot happen here.
    #[must_use]
    pub const fn after(self, event: Event) -> Option<Self> {
        use Event as E;
        use State as S;
        Some(match (self, event) {
            (S::Free, E::Join) | (S::Marking, E::Go) | (S::Settling, E::Told) => S::Queued,
            (S::Queued, E::Wait) => S::Marking,
            (S::Queued | S::Reading, E::Begin) => S::Reading,
            (S::Queued | S::Reading, E::Refuse) | (S::Writing, E::Written) => S::Settling,
            (S::Reading, E::Known) | (S::Writing, E::Next) => S::Computing,
            (S::Computing, E::Made) => S::Writing,
            (S::Queued, E::Leave) => S::Free,
            _ => return None,
        })
    }
}

impl Event {
    /// All events.
    pub const ALL: [Self; 11] = [
        Self::Join,
        Self::Wait,
        Self::Go,
        Self::Begin,
        Self::Refuse,
        Self::Known,
        Self::Made,
        Self::Written,
        Self::Next,
        Self::Told,
        Self::Leave,
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
}
