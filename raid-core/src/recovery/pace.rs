//! How fast the pass may go, without a clock: the host says how much time went by, and whether anybody else wants the members.

/// Rows in a second. While others are at work the pass goes at the floor, else up to the ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rates {
    /// While the host has I/O of its own; zero counts as one, so that a pass always ends.
    pub floor_rows_s: u64,
    /// Otherwise; a floor above it counts as the ceiling.
    pub ceiling_rows_s: u64,
}

impl Rates {
    /// No limit.
    pub const FREE: Self = Self { floor_rows_s: u64::MAX, ceiling_rows_s: u64::MAX };
}

/// What a row costs: ticks are in milliseconds.
const ROW: u64 = 1000;

/// The purse.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Pace {
    rates: Rates,
    /// Thousandths of rows; `None` is no limit until the next tick.
    credit: Option<u64>,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Self { rates: Rates::FREE, credit: None }
    }

    /// Other rates, from now on.
    pub(crate) fn set(&mut self, rates: Rates) {
        self.rates = rates;
        self.tick(0, true);
    }

    /// Time went by. What was not used is lost but for part of a row: a pass that was held up does not catch up in a burst.
    pub(crate) fn tick(&mut self, elapsed_ms: u64, busy: bool) {
        let ceiling = self.rates.ceiling_rows_s.max(1);
        let rate = if busy { self.rates.floor_rows_s.clamp(1, ceiling) } else { ceiling };
        let gain = rate.saturating_mul(elapsed_ms);
        let kept = self.credit.unwrap_or(0).min(ROW);
        self.credit = (rate != u64::MAX).then(|| kept.saturating_add(gain));
    }

    /// Pays for a row, if that can be.
    pub(crate) fn spend(&mut self) -> bool {
        let rest = self.credit.map(|credit| credit.checked_sub(ROW));
        match rest {
            None => true,
            Some(None) => false,
            Some(rest) => {
                self.credit = rest;
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of so many ticks of 100 ms, as many as there may be in each.
    fn rows(pace: &mut Pace, ticks: u32, busy: bool) -> u32 {
        (0..ticks).fold(0, |mut sum, _| {
            pace.tick(100, busy);
            while sum < 1_000_000 && pace.spend() {
                sum += 1;
            }
            sum
        })
    }

    #[test]
    fn the_floor_holds_under_load_and_the_ceiling_otherwise() {
        let mut pace = Pace::new();
        pace.set(Rates { floor_rows_s: 50, ceiling_rows_s: 2000 });
        assert_eq!(rows(&mut pace, 10, true), 50);
        assert_eq!(rows(&mut pace, 10, false), 2000);
    }

    #[test]
    fn a_slow_rate_adds_up_over_ticks_and_idle_time_does_not() {
        let mut pace = Pace::new();
        pace.set(Rates { floor_rows_s: 3, ceiling_rows_s: 3 });
        assert_eq!(rows(&mut pace, 100, true), 30);
        (0..1000).for_each(|_| pace.tick(100, true));
        assert_eq!(rows(&mut pace, 10, true), 4);
    }

    #[test]
    fn without_rates_nothing_is_counted_and_zero_is_not_for_ever() {
        let mut pace = Pace::new();
        assert!((0..10_000).all(|_| pace.spend()));
        pace.set(Rates { floor_rows_s: 0, ceiling_rows_s: 0 });
        assert!(!pace.spend());
        assert_eq!(rows(&mut pace, 20, true), 2);
        pace.set(Rates::FREE);
        assert!((0..10_000).all(|_| pace.spend()));
    }
}
