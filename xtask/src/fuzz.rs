//! `cargo xtask fuzz`: runs the targets of `fuzz/`, and gets what that takes.
//!
//! Counting what was covered wants the compiler's unstable switches. The stable compiler has them too, behind `RUSTC_BOOTSTRAP`.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{cargo, command, line, output, perform, root, tools_folder},
    tools,
};

/// The walk that a short run takes: always the same, so that what is green today is not red tomorrow by luck. By hand each run differs.
pub(crate) const SAME_WALK: u32 = 1;
/// A new walk each time.
pub(crate) const NEW_WALK: u32 = 0;

/// When a target's run ends: whichever comes first.
#[derive(Clone, Copy)]
pub(crate) struct Until {
    pub(crate) seconds: u32,
    pub(crate) executions: Option<u64>,
}

/// Fuzzes one target or all, each until then, on the walk `seed`. The corpus in `fuzz/corpus` is read; what is found new goes to
/// `target/fuzz-corpus`, so that a run leaves the tree as it was.
///
/// # Errors
/// If there is no such target, a build fails, or an input makes a target fail.
pub(crate) fn run(only: Option<&str>, until: Until, seed: u32) -> Result<()> {
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
        println!("fuzzing {target} for {} s", until.seconds);
        let executions = run_one(target, until, seed)?;
        println!("{target}: {executions} executions");
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

/// Executions of the run, as the fuzzer counts them.
fn run_one(target: &str, until: Until, seed: u32) -> Result<u64> {
    let found = root().join("target/fuzz-corpus").join(target);
    fs::create_dir_all(&found)?;
    let seeds = root().join("fuzz/corpus").join(target);
    let mut fuzz = cargo_fuzz()?;
    // What is looked for is a panic: core and formats forbid `unsafe`, and `xtask asan` covers where they cannot.
    // Comparisons are not traced: that takes more time than the parsers do, and what is compared with stands in the seeds.
    fuzz.args(["run", "--sanitizer", "none", "--no-trace-compares"]).arg(target).arg(found);
    fuzz.arg(&seeds).arg("--").arg(format!("-max_total_time={}", until.seconds)).arg(format!("-seed={seed}"));
    fuzz.args(["-print_final_stats=1", "-verbosity=0"]).arg(format!("-max_len={}", longest(&seeds)?));
    if let Some(executions) = until.executions {
        fuzz.arg(format!("-runs={executions}"));
    }
    counted(&mut fuzz)
}

/// Bytes of the longest seed. It holds all that its target reads, and longer inputs cost time and show nothing.
fn longest(seeds: &Path) -> Result<u64> {
    let mut longest = 0;
    for seed in fs::read_dir(seeds).with_context(|| format!("{} has no seeds", seeds.display()))? {
        longest = longest.max(seed?.metadata()?.len());
    }
    Ok(longest)
}

/// Runs the fuzzer, repeats what it says, and finds its count therein.
fn counted(fuzz: &mut Command) -> Result<u64> {
    let mut child = fuzz.stderr(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", line(fuzz)))?;
    let mut executions = None;
    for said in child.stderr.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let said = said?;
        executions = executions.or_else(|| said.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok());
        eprintln!("{said}");
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} failed ({status})", line(fuzz));
    }
    executions.with_context(|| format!("{} did not say how much it ran", line(fuzz)))
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
