//! Timing several things fairly on a machine that others use: many short rounds, everybody in each, medians of ratios.

use std::time::{Duration, Instant};

/// What one turn should last at least: a hundred times what reading the clock costs.
const TURN: Duration = Duration::from_micros(20);

/// Fewest rounds, however little time there is.
const ROUNDS_MIN: usize = 15;

/// What was found of one of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Which.
    pub who: usize,
    /// Median time of one run.
    pub time_ns: f64,
    /// Median over the rounds of the yardstick's time to this one's: 2 is twice as fast.
    pub ratio: f64,
}

/// What one of the things is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Which of them.
    pub who: usize,
    /// How many times it runs.
    pub times: usize,
    /// The number of the round: whatever may differ from round to round is to be the same in one.
    pub round: usize,
}

/// Measures `count` things for about `budget` together. `run` does a turn and says how long it took.
pub fn measure(count: usize, yardstick: usize, budget: Duration, run: &mut dyn FnMut(Turn) -> Duration) -> Vec<Found> {
    // How often each has to run for a turn; twice, as the first runs warm up.
    let mut times = vec![1; count];
    for _ in 0..2 {
        for (who, times) in times.iter_mut().enumerate() {
            *times = 1;
            while run(Turn { who, times: *times, round: 0 }) < TURN {
                *times *= 2;
            }
        }
    }
    let start = Instant::now();
    let mut rounds: Vec<Vec<f64>> = Vec::new();
    while rounds.len() < ROUNDS_MIN || start.elapsed() < budget {
        let mut round = vec![0.0; count];
        for turn in 0..count {
            let who = (turn + rounds.len()) % count;
            #[expect(clippy::cast_precision_loss, reason = "times and counts far below 2^52")]
            let each = run(Turn { who, times: times[who], round: rounds.len() }).as_nanos() as f64 / times[who] as f64;
            round[who] = each;
        }
        rounds.push(round);
    }
    quiet(&mut rounds);
    (0..count)
        .map(|who| Found {
            who,
            time_ns: median(rounds.iter().map(|round| round[who])),
            ratio: median(rounds.iter().map(|round| round[yardstick] / round[who])),
        })
        .collect()
}

/// Keeps the quietest quarter of the rounds, by the sum of all turns relative to their medians: whoever slows the machine down
/// for a while slows all that run meanwhile, but not all of them alike (some wait for the caches, some for the arithmetic).
fn quiet(rounds: &mut Vec<Vec<f64>>) {
    let count = rounds.first().map_or(0, Vec::len);
    let medians: Vec<f64> = (0..count).map(|who| median(rounds.iter().map(|round| round[who]))).collect();
    let noise = |round: &Vec<f64>| round.iter().zip(&medians).map(|(time, median)| time / median).sum::<f64>();
    rounds.sort_by(|a, b| noise(a).total_cmp(&noise(b)));
    rounds.truncate(rounds.len().div_ceil(4));
}

/// The middle one.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_one_round_each() {
        // A machine that is slower by the call: medians of times would say that the later one is slower.
        let mut slow = 1.0;
        let found = measure(2, 0, Duration::ZERO, &mut |Turn { who, times, .. }| {
            slow *= 1.01;
            Duration::from_secs_f64(1e-4 * slow * times as f64 / (who + 1) as f64)
        });
        assert!((found[1].ratio - 2.0).abs() < 0.05, "{found:?}");
        assert!((found[0].ratio - 1.0).abs() < f64::EPSILON, "{found:?}");
    }
}
