//! `raid sim`: seeds in a row, or one again with its story.

use std::io::IsTerminal;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::exhaust::{self, Bounds, Tried, Wrong};
use super::{Bug, Mode, Totals, Violation};

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
    /// Plain worlds: long lives of busy arrays, few faults and power cuts, and nothing between two critical sections
    #[arg(long, conflicts_with = "exhaustive")]
    pub plain: bool,
    /// Run every seed twice and compare
    #[arg(long)]
    pub twice: bool,
    /// Tell the whole story of a broken promise, not the shortest that breaks one
    #[arg(long)]
    pub no_shrink: bool,
    /// Draw the story of what was broken, or of the seed that is replayed, as SVG
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
    /// No seeds, but everything: all orders of completions and all that a power cut can leave, in small arrays
    #[arg(long, conflicts_with_all = ["seeds", "first_seed", "replay", "twice", "no_shrink", "timeline"])]
    pub exhaustive: bool,
    /// How much is tried then
    #[command(flatten)]
    pub bounds: Bounds,
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
    /// On so many threads.
    pub threads: usize,
}

/// Runs, on as many threads as there are cores, with a progress bar on a terminal. The lowest seed that breaks a promise counts.
#[must_use]
pub fn run(args: &SimArgs) -> Report {
    let (first, count) = args.replay.map_or((args.first_seed, args.seeds), |seed| (seed, 1));
    let end = first.saturating_add(count);
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} seeds, {per_sec}, {eta} left");
    let bar = match style {
        Ok(style) if std::io::stderr().is_terminal() => ProgressBar::new(count).with_style(style),
        _ => ProgressBar::hidden(),
    };
    let start = Instant::now();
    // Seeds are handed out in order, so when one fails all lower ones are done or under way.
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    let work = || {
        let (mut totals, mut violation) = (Totals::default(), None);
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            match super::run(seed, args.mode(), args.bug) {
                Ok(more) if args.twice => {
                    let again = super::run(seed, args.mode(), args.bug).ok();
                    assert_eq!(again, Some(more), "seed {seed} is another world the second time");
                    totals += more;
                }
                Ok(more) => totals += more,
                Err(found) => {
                    violation = Some(found);
                    stop.store(true, Ordering::Relaxed);
                }
            }
            bar.inc(1);
        }
        (totals, violation)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let done: Vec<(Totals, Option<Box<Violation>>)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        // A panic in a seed is a bug of the simulator itself: it goes on where it came from.
        let joined = others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.chain([own]).collect()
    });
    bar.finish_and_clear();
    let mut totals = Totals::default();
    done.iter().for_each(|(more, _)| totals += *more);
    let violation = done.into_iter().filter_map(|(_, violation)| violation).min_by_key(|violation| violation.seed);
    let took = start.elapsed();
    let violation = violation.map(|found| if args.no_shrink { found } else { Box::new(found.shrunk()) });
    Report { totals, violation, took, threads }
}

/// How a run that tries everything went.
#[derive(Debug)]
pub struct Exhausted {
    /// In numbers, or the first broken promise.
    pub result: Result<Tried, Box<Wrong>>,
    /// How long it took.
    pub took: Duration,
    /// On so many threads.
    pub threads: usize,
}

/// Tries everything within the bounds, and says on a terminal which scene is through.
#[must_use]
pub fn exhaust(args: &SimArgs) -> Exhausted {
    let (start, threads) = (Instant::now(), std::thread::available_parallelism().map_or(1, usize::from));
    let talks = std::io::stderr().is_terminal();
    let result = exhaust::run(args.bounds, args.bug, threads, &|name, tried| {
        if talks {
            eprintln!("{name}: {tried}");
        }
    });
    Exhausted { result, took: start.elapsed(), threads }
}

impl Exhausted {
    /// The story of what was broken, or a line of totals.
    #[must_use]
    pub fn text(&self) -> String {
        let end = format!("{:.1} s on {} threads", self.took.as_secs_f64(), self.threads);
        match &self.result {
            Ok(tried) => format!("{tried}, none wrong, {end}"),
            Err(wrong) => format!("{wrong}\n1 wrong, {end}"),
        }
    }
}

impl SimArgs {
    /// The worlds that were asked for.
    const fn mode(&self) -> Mode {
        if self.plain { Mode::Plain } else { Mode::Rough }
    }

    /// The drawing that was asked for, and where it is to go.
    #[must_use]
    pub fn drawing(&self, report: &Report) -> Option<(PathBuf, String)> {
        let drawn = match (&report.violation, self.replay) {
            (Some(violation), _) => violation.timeline.clone(),
            (None, Some(seed)) => super::draw(seed, self.mode(), self.bug),
            (None, None) => return None,
        };
        Some((self.timeline.clone()?, drawn))
    }
}

impl Report {
    /// True if no promise was broken.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.violation.is_none()
    }

    /// Writes that the simulated arrays acknowledged, per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.totals.writes as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// The story of the violation, if there is one, and a line of totals.
    #[must_use]
    pub fn text(&self) -> String {
        let seconds = self.took.as_secs_f64();
        let line =
            format!("{}, {seconds:.1} s on {} threads, {:.0} array writes/s", self.totals, self.threads, self.rate());
        match &self.violation {
            Some(violation) => format!("{violation}\n{line}, 1 violation"),
            None => format!("{line}, 0 violations"),
        }
    }
}
