//! How fast the work in the background goes, and how long it will take: from what was seen lately, or not at all.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is looked back on.
const SPAN: Duration = Duration::from_secs(30);
/// Less than this says nothing of a rate.
const SPAN_MIN: Duration = Duration::from_secs(1);

/// Samples of what is left.
#[derive(Debug, Default)]
pub(super) struct Meter {
    samples: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// What is left now. If it is more than before, other work has begun.
    pub(super) fn look(&mut self, now: Instant, left_bytes: u64) {
        if self.samples.back().is_some_and(|(_, before)| left_bytes > *before) {
            self.samples.clear();
        }
        self.samples.push_back((now, left_bytes));
        while self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > SPAN) && self.samples.len() > 2 {
            self.samples.pop_front();
        }
    }

    /// Nothing is done.
    pub(super) fn rest(&mut self) {
        self.samples.clear();
    }

    /// Bytes a second, if anything was seen to be done.
    pub(super) fn rate(&self) -> Option<u64> {
        let ((first, before), (last, left)) = (self.samples.front()?, self.samples.back()?);
        let span = last.duration_since(*first);
        if span < SPAN_MIN {
            return None;
        }
        let rate = u128::from(before.saturating_sub(*left)) * 1000 / span.as_millis().max(1);
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    }

    /// Seconds left at that rate.
    pub(super) fn left_s(&self) -> Option<u64> {
        let (_, left) = self.samples.back()?;
        Some(left.div_ceil(self.rate()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_known_after_a_second_and_forgotten_when_other_work_begins() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        meter.look(start, 1000);
        assert_eq!((meter.rate(), meter.left_s()), (None, None));
        meter.look(at(2), 800);
        assert_eq!((meter.rate(), meter.left_s()), (Some(100), Some(8)));
        // Half a minute ago is what counts, not the beginning.
        meter.look(at(40), 790);
        meter.look(at(60), 700);
        assert_eq!(meter.rate(), Some(4));
        meter.look(at(61), 5000);
        assert_eq!(meter.rate(), None);
        meter.look(at(63), 5000);
        assert_eq!(meter.left_s(), None, "what does not move has no end");
        meter.rest();
        assert_eq!(meter.left_s(), None);
    }
}
