//! `cargo xtask fuzz`: runs the targets of `fuzz/`, and gets what that takes.
//!
//! Counting what was covered wants the compiler's unstable switches. The stable compiler has them too, behind `RUSTC_BOOTSTRAP`.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    command::{cargo, command, output, perform, root, tools_folder},
    tools,
};

/// The walk that a short run takes: always the same, so that what is green today is not red tomorrow by luck. By hand each run differs.
pub(crate) const SAME_WALK: u32 = 1;
/// A new walk each time.
pub(crate) const NEW_WALK: u32 = 0;

/// Fuzzes one target or all, each for so many seconds, on the walk `seed`. The corpus in `fuzz/corpus` is read; what is found new goes to
/// `target/fuzz-corpus`, so that a run leaves the tree as it was.
///
/// # Errors
/// If there is no such target, a build fails, or an input makes a target fail.
pub(crate) fn run(only: Option<&str>, seconds: u32, seed: u32) -> Result<()> {
    let skips = tools::ensure(&[tools::CXX])?;
    if let Some(skip) = skips.first() {
        bail!("{skip}");
    }
    let targets = targets()?;
    let chosen: Vec<&String> = targets.iter().filter(|target| only.is_none_or(|only| only == *target)).collect();
    if chosen.is_empty() {
        bail!("no such fuzz target; there are: {}", targets.join(", "));
    }
    for target in chosen {
        println!("fuzzing {target} for {seconds} s");
        run_one(target, seconds, seed)?;
    }
    Ok(())
}

/// The names of all targets.
///
/// # Errors
/// If cargo-fuzz cannot be installed or refuses the folder.
pub(crate) fn targets() -> Result<Vec<String>> {
    let list = output(cargo_fuzz()?.arg("list")).context("fuzz/ has no list of targets")?;
    Ok(list.lines().map(|name| name.trim().to_owned()).collect())
}

fn run_one(target: &str, seconds: u32, seed: u32) -> Result<()> {
    let found = root().join("target/fuzz-corpus").join(target);
    fs::create_dir_all(&found)?;
    let seeds = root().join("fuzz/corpus").join(target);
    let mut fuzz = cargo_fuzz()?;
    // What is looked for is a panic: core and formats forbid `unsafe`, and `xtask asan` covers where they cannot.
    fuzz.args(["run", "--sanitizer", "none"]).arg(target).arg(found);
    if seeds.exists() {
        fuzz.arg(seeds);
    }
    fuzz.arg("--").arg(format!("-max_total_time={seconds}")).arg(format!("-seed={seed}"));
    fuzz.args(["-print_final_stats=1", "-verbosity=0"]);
    perform(&mut fuzz)
}

/// `cargo fuzz`, which the first call builds into `target/tools`.
fn cargo_fuzz() -> Result<Command> {
    let folder = tools_folder();
    let program = folder.join("bin/cargo-fuzz");
    if !program.exists() {
        println!("building cargo-fuzz into target/tools");
        perform(cargo().args(["install", "cargo-fuzz", "--locked", "--root"]).arg(&folder))?;
    }
    let mut fuzz = command(program);
    fuzz.arg("fuzz").env("RUSTC_BOOTSTRAP", "1");
    Ok(fuzz)
}
