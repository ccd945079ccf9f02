//! The pass that checks: which rows are next, how many are under way, and what came of it.

use super::{Checked, Order, Refused, Trust};
use crate::recovery::{Pace, Rates};
use crate::rows::{RowKind, RowNo, Rows};

/// What a pass is doing.
///
/// ```text
///              Begin           Through
///    Resting ---------> Going ---------> Flushing
///       ^                 | Stop         ^  |
///       |                 v     Through  |  |
///       |              Stopping ---------'  |
///       '------------------ Flushed --------'
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing.
    Resting,
    /// Rows are being checked.
    Going,
    /// No further row is begun.
    Stopping,
    /// All rows are in; what was rewritten is made durable.
    Flushing,
}

/// What happens to a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// There is an order.
    Begin,
    /// It is called off.
    Stop,
    /// The last row is in.
    Through,
    /// What was rewritten is durable, or nothing was.
    Flushed,
}

impl State {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Resting, Self::Going, Self::Stopping, Self::Flushing];

    /// The state after `event`; `None` if it cannot happen here.
    #[must_use]
    pub const fn after(self, event: Event) -> Option<Self> {
        Some(match (self, event) {
            (Self::Resting, Event::Begin) => Self::Going,
            (Self::Going, Event::Stop) => Self::Stopping,
            (Self::Going | Self::Stopping, Event::Through) => Self::Flushing,
            (Self::Flushing, Event::Flushed) => Self::Resting,
            _ => return None,
        })
    }
}

impl Event {
    /// All events.
    pub const ALL: [Self; 4] = [Self::Begin, Self::Stop, Self::Through, Self::Flushed];
}

/// What came of a pass so far, in rows where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tally {
    /// Of so many.
    pub total: u64,
    /// Compared.
    pub compared: u64,
    /// Sectors that do not fit.
    pub wrong_sectors: u64,
    /// Findings that were repaired: sectors that did not fit, bands that could not be read.
    pub mended: u64,
    /// Skipped: redundancy in doubt, which is resync's.
    pub in_doubt: u64,
    /// With nothing to compare.
    pub blind: u64,
    /// That could not be read.
    pub lost: u64,
    /// What was rewritten could not be made durable.
    pub unflushed: bool,
}

impl Tally {
    /// Rows that the pass is through with, one way or another.
    #[must_use]
    pub const fn done(&self) -> u64 {
        self.compared.saturating_add(self.in_doubt).saturating_add(self.blind).saturating_add(self.lost)
    }
}

/// What the pass wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckStep {
    /// Check a row.
    Row(RowNo, Option<Trust>),
    /// Flush all members.
    Flush,
}

/// The machine. It rests until it gets an order.
#[derive(Clone, Debug, Hash)]
pub struct Checking {
    state: State,
    next: u64,
    end: u64,
    repair: Option<Trust>,
    window: u16,
    pending: u16,
    asked: bool,
    held: bool,
    pace: Pace,
    tally: Tally,
}

impl Checking {
    /// Nothing under way; `window` rows at a time later.
    #[must_use]
    pub fn new(window: u16) -> Self {
        Self {
            state: State::Resting,
            next: 0,
            end: 0,
            repair: None,
            window: window.max(1),
            pending: 0,
            asked: false,
            held: false,
            pace: Pace::new(),
            tally: Tally::default(),
        }
    }

    /// What it is doing.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// What came of the last pass, or of the one under way.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// True if the host paused it; rows under way may still come in.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// True if the host paused it and no row is under way.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.held && self.pending == 0
    }

    pub(crate) fn begin(&mut self, rows: &Rows, order: Order) -> Result<(), Refused> {
        if rows.kind() == RowKind::Plain {
            return Err(Refused::NoRedundancy);
        }
        if order.from >= order.to || order.to.0 > rows.count() {
            return Err(Refused::PastTheEnd);
        }
        self.state = self.state.after(Event::Begin).ok_or(Refused::Busy)?;
        (self.next, self.end, self.repair) = (order.from.0, order.to.0, order.repair);
        self.tally = Tally { total: order.to.0.saturating_sub(order.from.0), ..Tally::default() };
        Ok(())
    }

    pub(crate) fn stop(&mut self) {
        self.happen(Event::Stop);
    }

    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    pub(crate) fn set_rates(&mut self, rates: Rates) {
        self.pace.set(rates);
    }

    pub(crate) fn tick(&mut self, elapsed_ms: u64, busy: bool) {
        self.pace.tick(elapsed_ms, busy);
    }

    /// A row is in, and so many findings in it were repaired.
    pub(crate) fn checked(&mut self, checked: Checked, mended: u8) {
        self.pending = self.pending.saturating_sub(1);
        let tally = &mut self.tally;
        tally.mended = tally.mended.saturating_add(mended.into());
        let count = match checked {
            Checked::Compared { wrong } => {
                tally.wrong_sectors = tally.wrong_sectors.saturating_add(wrong.into());
                &mut tally.compared
            }
            Checked::InDoubt => &mut tally.in_doubt,
            Checked::Blind => &mut tally.blind,
            Checked::Lost => &mut tally.lost,
        };
        *count = count.saturating_add(1);
    }

    /// The members are flushed; `well` if that may be believed.
    pub(crate) fn flushed(&mut self, well: bool) {
        self.tally.unflushed |= !well;
        self.happen(Event::Flushed);
    }

    fn happen(&mut self, event: Event) {
        self.state = self.state.after(event).unwrap_or(self.state);
    }

    /// What to do next. The answer changes after every other call.
    pub(crate) fn poll(&mut self) -> Option<CheckStep> {
        loop {
            match self.state {
                State::Resting => return None,
                State::Going if self.next < self.end => {
                    if self.held || self.pending >= self.window || !self.pace.spend() {
                        return None;
                    }
                    self.pending = self.pending.saturating_add(1);
                    let row = RowNo(self.next);
                    self.next = self.next.saturating_add(1);
                    return Some(CheckStep::Row(row, self.repair));
                }
                State::Going | State::Stopping if self.pending > 0 => return None,
                State::Going | State::Stopping => {
                    self.happen(Event::Through);
                    self.asked = false;
                }
                State::Flushing if self.asked => return None,
                State::Flushing if self.tally.mended > 0 => {
                    self.asked = true;
                    return Some(CheckStep::Flush);
                }
                State::Flushing => self.happen(Event::Flushed),
            }
        }
    }
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
