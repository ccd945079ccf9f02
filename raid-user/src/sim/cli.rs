//! `raid sim`: seeds in a row, or one again with its story.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Bug, Totals, Violation};

/// What to run.
#[derive(Args, Clone, Debug)]
pub struct SimArgs {
    /// Seeds to run
    #[arg(long, default_value_t = 10_000)]
    pub seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    pub first_seed: u64,
    /// Run this seed only and tell its end
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "first_seed"])]
    pub replay: Option<u64>,
    /// Make a mistake on purpose; it should be caught
    #[arg(long)]
    pub bug: Option<Bug>,
}

/// How a run went.
#[derive(Debug)]
pub struct Report {
    /// In numbers.
    pub totals: Totals,
    /// The first broken promise; the run ended with it.
    pub violation: Option<Box<Violation>>,
    /// How long it took.
    pub took: Duration,
}

/// Runs, with a progress bar on a terminal.
#[must_use]
pub fn run(args: &SimArgs) -> Report {
    let (first, count) = args.replay.map_or((args.first_seed, args.seeds), |seed| (seed, 1));
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} seeds, {per_sec}, {eta} left");
    let bar = match style {
        Ok(style) if std::io::stderr().is_terminal() => ProgressBar::new(count).with_style(style),
        _ => ProgressBar::hidden(),
    };
    let start = Instant::now();
    let mut totals = Totals::default();
    let mut violation = None;
    for seed in first..first.saturating_add(count) {
        match super::run(seed, args.bug) {
            Ok(more) => totals += more,
            Err(found) => {
                violation = Some(found);
                break;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Report { totals, violation, took: start.elapsed() }
}

impl Report {
    /// True if no promise was broken.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.violation.is_none()
    }

    /// The story of the violation, if there is one, and a line of totals.
    #[must_use]
    pub fn text(&self) -> String {
        let seconds = self.took.as_secs_f64();
        let line =
            format!("{}, {:.1} s, {:.0} array writes/s", self.totals, seconds, self.totals.writes as f64 / seconds);
        match &self.violation {
            Some(violation) => format!("{violation}\n{line}, 1 violation"),
            None => format!("{line}, 0 violations"),
        }
    }
}
