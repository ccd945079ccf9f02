//! `cargo xtask test`: every check there is, in an order that fails early, with one table at the end.
//!
//! A step that fails does not stop the others: one run tells all that is wrong.

pub(crate) mod count;
mod steps;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use count::Counts;
use steps::{STEPS, Step};

/// What came of a step.
struct Row {
    name: &'static str,
    counts: Counts,
    took: Duration,
}

/// Runs all steps, those of the everyday loop, or those that are named. Fails if any does, or if there is none of a name.
pub(crate) fn run(only: &[String], quick: bool) -> ExitCode {
    if let Some(name) = only.iter().find(|name| STEPS.iter().all(|step| step.name != name.as_str())) {
        println!("there is no step {name}; there are {}", STEPS.map(|step| step.name).join(", "));
        return ExitCode::FAILURE;
    }
    let wanted =
        |step: &&Step| (step.quick || !quick) && (only.is_empty() || only.iter().any(|name| name == step.name));
    let rows: Vec<Row> = STEPS.iter().filter(wanted).map(perform).collect();
    let mut total = Counts::default();
    println!("\n{:<14} {:>8} {:>7} {:>7} {:>8}", "step", "time", "passed", "failed", "skipped");
    for row in &rows {
        let Counts { passed, failed, skipped, .. } = row.counts;
        println!("{:<14} {:>6.1} s {passed:>7} {failed:>7} {skipped:>8}", row.name, row.took.as_secs_f64());
        total += row.counts.clone();
    }
    println!();
    for reason in &total.reasons {
        println!("skipped: {reason}");
    }
    println!("{total}");
    if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn perform(step: &Step) -> Row {
    println!("\n== {}: {}", step.name, step.what);
    let start = Instant::now();
    let counts = (step.run)().unwrap_or_else(|error| {
        println!("error: {error:#}");
        Counts::fail()
    });
    let took = start.elapsed();
    let verdict = if counts.failed == 0 { "ok" } else { "FAILED" };
    println!("== {}: {verdict} in {:.1} s", step.name, took.as_secs_f64());
    Row { name: step.name, counts, took }
}
