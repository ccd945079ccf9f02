//! The verbs of this workspace. One file a verb; each habit of working here is one of them.
//!
//! It links nothing of the product, so that it builds and speaks when the product does not.
#![forbid(unsafe_code)]

mod apt;
mod asan;
mod bench;
mod command;
mod counts;
mod crash;
mod fuzz;
mod kernel;
mod mutants;
mod no_std;
mod rust_src;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The verbs of this workspace")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

/// The simulator as it ships, with what it says going to the terminal.
fn sim(seeds: u64, first_seed: u64) -> anyhow::Result<()> {
    let run = ["run", "--release", "--package", "raid-user", "--", "sim", "--seeds", &seeds.to_string()];
    command::perform(command::cargo().args(run).args(["--first-seed", &first_seed.to_string()]))
}

#[derive(Subcommand)]
enum Verb {
    /// Runs every test; as root, installs the tools it needs first
    Test {
        /// Only these steps; all if none is named
        steps: Vec<String>,
        /// The everyday loop: format, house rules, lints, the tests of a debug build
        #[arg(long)]
        quick: bool,
    },
    /// Checks the house rules
    Tidy,
    /// Builds the core and the formats for a machine without an operating system
    NoStd,
    /// Fuzzes one target, or each in turn
    Fuzz {
        /// A target of fuzz/Cargo.toml; all if absent
        target: Option<String>,
        /// How long each target runs
        #[arg(long, default_value_t = 60, value_name = "N")]
        seconds: u32,
        /// Ends each target earlier, after so many executions
        #[arg(long, value_name = "N")]
        executions: Option<u64>,
    },
    /// Kills `raid serve --write` under load, and checks what is left
    Kill9 {
        /// How often in all, spread over levels with a bitmap and without
        #[arg(long, default_value_t = 100, value_name = "N")]
        rounds: u32,
    },
    /// Every level in every version of MD's metadata, with a bitmap and without, to and from a real Linux
    Interop,
    /// Runs the tests of the parity code under AddressSanitizer
    Asan,
    /// Puts faults into a copy of the core, one at a time, and tells which seed or test notices each
    Mutants {
        /// Part of a mutant's name; all if absent
        name: Option<String>,
        /// Seeds for each
        #[arg(long, default_value_t = 40_000, value_name = "N")]
        seeds: u64,
    },
    /// Runs the simulator for long, with progress; what it finds is told as `raid sim` tells it
    Sim {
        /// Seeds
        #[arg(long, default_value_t = 1_000_000, value_name = "N")]
        seeds: u64,
        /// The first seed
        #[arg(long, default_value_t = 0, value_name = "SEED")]
        first_seed: u64,
    },
    /// Builds the kernel module and a kernel for it, and runs its tests in a guest
    Kernel {
        /// Part of a test's name; all if absent
        filter: Option<String>,
        /// In a kernel that watches its locks and its memory (lockdep, KASAN, kmemleak); built once, and slow
        #[arg(long)]
        debug: bool,
        /// With two processors, so that what runs at once meets; an emulated PC has them anyway
        #[arg(long, conflicts_with_all = ["x86", "cuts", "speed"])]
        two: bool,
        /// In an emulated PC, once for each parity code that its processors can have; built once, and slow
        #[arg(long)]
        x86: bool,
        /// There, all tests, not some; with --debug they are
        #[arg(long, requires = "x86", conflicts_with = "debug")]
        whole: bool,
        /// Instead: kills a guest that writes so many times, and sees in another boot what is left; an emulated PC's disks lose then
        /// what was not flushed
        #[arg(long, value_name = "N", conflicts_with_all = ["debug", "whole"])]
        cuts: Option<u64>,
        /// Instead: compares its speed with dm-raid's and md's; FILTER is part of a type
        #[arg(long, conflicts_with_all = ["debug", "x86", "cuts"])]
        speed: bool,
        /// Instead: compares the instructions that a request takes, in an emulated PC; FILTER is part of a type
        #[arg(long, conflicts_with_all = ["debug", "x86", "cuts", "speed"])]
        instructions: bool,
    },
    /// Counts the engine's instructions for a request, and compares with what is recorded
    Counts {
        /// Record them instead
        #[arg(long)]
        record: bool,
    },
    /// Runs the benchmarks whose name contains FILTER and writes benches/RESULTS.md anew
    Bench {
        /// Part of a benchmark file's name; all if absent
        filter: Option<String>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Test { steps, quick } => return test::run(&steps, quick),
        Verb::Tidy => tidy::run(),
        Verb::NoStd => no_std::run(),
        Verb::Fuzz { target, seconds, executions } => {
            fuzz::run(target.as_deref(), fuzz::Until { seconds, executions }, fuzz::NEW_WALK)
        }
        Verb::Kill9 { rounds } => crash::kill9(rounds),
        Verb::Interop => crash::interop(),
        Verb::Asan => asan::run().map(|counts| println!("{counts}")),
        Verb::Mutants { name, seeds } => mutants::run(name.as_deref(), seeds),
        Verb::Sim { seeds, first_seed } => sim(seeds, first_seed),
        Verb::Kernel { speed: true, filter, .. } => kernel::speed(filter.as_deref().unwrap_or_default()),
        Verb::Kernel { instructions: true, filter, .. } => kernel::instructions(filter.as_deref().unwrap_or_default()),
        Verb::Kernel { filter, debug, two, x86, whole, cuts, .. } => {
            let filter = filter.as_deref().unwrap_or_default();
            let (cuts_only, cuts) = (cuts.is_some(), cuts.unwrap_or(0));
            return kernel::run(kernel::Choice { filter, hurry: false, debug, two, x86, whole, cuts, cuts_only });
        }
        Verb::Counts { record } => counts::run(record),
        Verb::Bench { filter } => bench::run(filter.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
