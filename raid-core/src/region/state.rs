//! What a shard knows of one region.

/// The state of a region.
///
/// ```text
///             Write             Durable          Write
///    Clean ---------> Marking ----------> Idle --------> Dirty <---.
///      ^                                  | ^ ^            |       |
///      | Cleared                    Sweep | | '--- Rest ---'       | Write
///      |              Flushed             v | Keep                 |
///   Clearing <------------------------ Flushing -------------------'
///
///    NoSync --- Recover ---> Recovering --- Recovered ---> Dirty
///      ^                         |
///      '-------- Abandon --------'      Write and Rest leave both as they are.
///
///   Spoil takes every state whose bit is durable to NoSync.
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The bit is not set. A write must set it first.
    Clean,
    /// The bit is on its way. Writes wait.
    Marking,
    /// The bit is durable and writes are under way.
    Dirty,
    /// The bit is durable and nothing is under way.
    Idle,
    /// Idle for long: the members are being flushed. A write may still have the region.
    Flushing,
    /// The bit is being taken out of the log. Writes wait, and set it again.
    Clearing,
    /// The bit is set from before, and redundancy is in doubt. Writes go on; they trust no parity.
    NoSync,
    /// As `NoSync`, and being healed row by row. A write excludes a row, not the region.
    Recovering,
}

/// How a region was found at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Found {
    /// Its bit is not set.
    #[default]
    Clean,
    /// Its bit is set because a member is missing that may lack something there; redundancy is in order.
    Marked,
    /// Its bit is set, and redundancy must be put in order.
    InDoubt,
}

/// What happens to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A write wants to start.
    Write,
    /// The bit is durable.
    Durable,
    /// The last write is done.
    Rest,
    /// The sweep found it idle twice.
    Sweep,
    /// All members are flushed.
    Flushed,
    /// The flush cannot vouch for all members: leave the bit.
    Keep,
    /// The bit is out of the log.
    Cleared,
    /// Recovery begins here.
    Recover,
    /// Recovery is through.
    Recovered,
    /// Recovery stopped before the end.
    Abandon,
    /// A write failed half-way.
    Spoil,
}

impl State {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Clean,
        Self::Marking,
        Self::Dirty,
        Self::Idle,
        Self::Flushing,
        Self::Clearing,
        Self::NoSync,
        Self::Recovering,
    ];

    /// The state after `event`; `None` if the event means nothing here, and the state stays.
    #[must_use]
    pub const fn after(self, event: Event) -> Option<Self> {
        use Event as E;
        use State as S;
        Some(match (self, event) {
            (S::Clean, E::Write) => S::Marking,
            (S::Marking, E::Durable) | (S::Dirty, E::Rest) | (S::Flushing, E::Keep) => S::Idle,
            (S::Idle | S::Dirty | S::Flushing, E::Write) | (S::Recovering, E::Recovered) => S::Dirty,
            (S::Idle, E::Sweep) => S::Flushing,
            (S::Flushing, E::Flushed) => S::Clearing,
            (S::Clearing, E::Cleared) => S::Clean,
            (S::NoSync, E::Recover) => S::Recovering,
            (S::NoSync, E::Write | E::Rest) | (S::Recovering, E::Abandon) => S::NoSync,
            (S::Recovering, E::Write | E::Rest) => S::Recovering,
            (S::Dirty | S::Idle | S::Flushing | S::NoSync | S::Recovering, E::Spoil) => S::NoSync,
            _ => return None,
        })
    }

    /// True if a write may start, once it is counted.
    #[must_use]
    pub const fn takes_writes(self) -> bool {
        matches!(self, Self::Dirty | Self::NoSync | Self::Recovering)
    }

    /// True if the bit stands in the log, and is to stay there.
    #[must_use]
    pub const fn has_bit(self) -> bool {
        !matches!(self, Self::Clean | Self::Marking | Self::Clearing)
    }

    /// True if redundancy may not fit the data although nothing is being written.
    #[must_use]
    pub const fn in_doubt(self) -> bool {
        matches!(self, Self::NoSync | Self::Recovering)
    }
}

impl Event {
    /// All events.
    pub const ALL: [Self; 11] = [
        Self::Write,
        Self::Durable,
        Self::Rest,
        Self::Sweep,
        Self::Flushed,
        Self::Keep,
        Self::Cleared,
        Self::Recover,
        Self::Recovered,
        Self::Abandon,
        Self::Spoil,
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
    fn a_bit_is_only_taken_back_after_a_flush_and_only_from_idle() {
        for (state, event) in State::ALL.iter().flat_map(|state| Event::ALL.map(|event| (*state, event))) {
            match state.after(event) {
                Some(State::Clearing) => assert_eq!((state, event), (State::Flushing, Event::Flushed)),
                Some(State::Flushing) => assert_eq!((state, event), (State::Idle, Event::Sweep)),
                _ => {}
            }
        }
    }

    #[test]
    fn no_event_makes_a_region_take_writes_without_its_bit() {
        for state in [State::Clean, State::Marking, State::Clearing] {
            for event in Event::ALL {
                assert!(!state.after(event).is_some_and(State::takes_writes), "{state:?} {event:?}");
            }
        }
    }
}
