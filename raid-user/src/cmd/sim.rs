//! `raid sim`: the engine against a model, in as many worlds as there are seeds.

use std::fs;

use serde_json::json;

use super::exit::{Exit, Failure};
use super::output::Output;
use crate::sim::cli::{self, SimArgs};

/// Runs the verb.
///
/// # Errors
/// Only output's, and the drawing's: a broken promise is a result, and an exit status.
pub(super) fn run(args: &SimArgs, output: &Output) -> Result<Exit, Failure> {
    if args.exhaustive {
        return exhaust(args, output);
    }
    let report = cli::run(args);
    if let Some((file, drawn)) = args.drawing(&report) {
        let name = file.display();
        fs::write(&file, drawn).map_err(|error| Failure::new(Exit::Io, format!("{name}: {error}")))?;
    }
    let totals = report.totals;
    let violation = report.violation.as_ref().map(|violation| {
        json!({ "seed": violation.seed, "array": violation.array, "what": violation.what, "steps": violation.steps,
            "story": violation.story })
    });
    let document = json!({
        "seeds": totals.seeds,
        "writes": totals.writes,
        "reads": totals.reads,
        "flushes": totals.flushes,
        "actions": totals.actions,
        "faults": totals.faults,
        "members_added": totals.added,
        "power_cuts": totals.cuts,
        "refused_in_doubt": totals.doubted,
        "whole_in_the_end": totals.whole,
        "seconds": report.took.as_secs_f64(),
        "threads": report.threads,
        "writes_per_second": report.rate(),
        "violation": violation,
    });
    output.print("raid.sim/1", document, || format!("{}\n", report.text()))?;
    Ok(if report.is_clean() { Exit::Ok } else { Exit::No })
}

/// Everything instead of seeds.
fn exhaust(args: &SimArgs, output: &Output) -> Result<Exit, Failure> {
    let tried = cli::exhaust(args);
    let numbers = tried.result.as_ref().ok().map(|tried| {
        json!({ "scenes": tried.scenes, "states": tried.states, "steps": tried.steps, "power_cuts": tried.cuts,
            "crash_states": tried.crash_states })
    });
    let wrong = tried.result.as_ref().err();
    let wrong = wrong.map(|wrong| json!({ "array": wrong.array, "what": wrong.what, "story": wrong.story }));
    let document = json!({
        "tried": numbers,
        "seconds": tried.took.as_secs_f64(),
        "threads": tried.threads,
        "wrong": wrong,
    });
    output.print("raid.sim.exhaustive/1", document, || format!("{}\n", tried.text()))?;
    Ok(if tried.result.is_ok() { Exit::Ok } else { Exit::No })
}
