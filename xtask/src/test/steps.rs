//! The steps of `cargo xtask test`. A step without tests of its own counts as one.

use std::process::Command;

use anyhow::{Result, ensure};

use super::count::{self, Counts};
use crate::{
    asan,
    command::{cargo, find, output, perform},
    counts, fuzz, kernel, no_std, tidy, tools,
};

/// How long each fuzz target runs: enough to replay its corpus and see that it lives.
const FUZZ_SECONDS: u32 = 5;

/// Programs of tests whose guests would make the everyday loop long.
const GUESTS: [&str; 5] = ["interop", "md_kernel", "bios", "ddf_kernel", "imsm_kernel"];

/// One line of the table.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Part of the everyday loop.
    pub(super) quick: bool,
    pub(super) run: fn() -> Result<Counts>,
}

const fn step(name: &'static str, quick: bool, what: &'static str, run: fn() -> Result<Counts>) -> Step {
    Step { name, what, quick, run }
}

/// All steps, the cheap ones first.
pub(super) const STEPS: [Step; 19] = [
    step("tools", false, "programs that tests use as peers", tools_for_tests),
    step("fmt", true, "the format of the code", fmt),
    step("tidy", true, "the house rules", || tidy::run().map(|()| Counts::pass())),
    step("clippy", true, "lints", clippy),
    step("test", true, "all tests of a debug build, and those in the documentation", || {
        count::tests(cargo().args(["test", "--workspace", "--no-fail-fast"]), "test")
    }),
    step("guests", false, "tests that boot Linux again and again", guests),
    step("release", false, "the core and the formats as they ship, without overflow checks", release),
    step("benches", false, "each benchmark runs once", || {
        one(cargo().args(["test", "--quiet", "--package", "raid-benches", "--benches"]))
    }),
    step("counts", false, "instructions of the engine for a request, against what is recorded", counts::compare),
    step("doc", false, "the documentation and its links", || {
        one(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings"))
    }),
    step("no-std", false, "core and formats where there is no std", || no_std::run().map(|()| Counts::pass())),
    step("asan", false, "the parity code under AddressSanitizer", asan::run),
    step("isa", false, "forms of the parity code that this machine cannot run", || {
        Ok(Counts::skip(asan::forms_not_run()))
    }),
    step("fuzz", false, "each fuzz target for a few seconds", fuzz_briefly),
    step("sim", false, "the engine in ten thousand simulated worlds", || {
        let sim = ["run", "--release", "--package", "raid-user", "--", "sim", "--seeds", "10000"];
        one(cargo().args(sim))
    }),
    step("exhaustive", false, "every order of events in small arrays, and all that a power cut can leave", exhaust),
    step("kernel", false, "the device-mapper target in a guest, against dm-raid", || {
        kernel::tests(kernel::Choice { hurry: true, cuts: 2, ..kernel::Choice::default() })
    }),
    step("demo", false, "README's first command", demo),
    step("deny", false, "licences and sources of dependencies", deny),
];

/// A command that is one check.
fn one(command: &mut Command) -> Result<Counts> {
    perform(command).map(|()| Counts::pass())
}

/// Two requests of the host and a power cut on every level; then one request beside a member that fails or joins.
fn exhaust() -> Result<Counts> {
    let mut counts = Counts::default();
    for bounds in [["2", "0", "4"], ["1", "1", "3"]] {
        let [requests, events, members] = bounds;
        let sim = ["run", "--release", "--package", "raid-user", "--", "sim", "--exhaustive"];
        let bounds = ["--requests", requests, "--events", events, "--members-max", members];
        counts += one(cargo().args(sim).args(bounds))?;
    }
    Ok(counts)
}

/// Counts nothing: each test that misses a tool says so itself.
fn tools_for_tests() -> Result<Counts> {
    for skip in tools::ensure(&tools::FOR_TESTS)? {
        println!("skipped: {skip}");
    }
    Ok(Counts::default())
}

/// The fuzz targets are no part of the workspace.
fn fmt() -> Result<Counts> {
    perform(cargo().args(["fmt", "--all", "--check"]))?;
    one(cargo().args(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]))
}

/// Tests that `cargo test` leaves out (`test = false` in their crates' manifests) so that the everyday loop stays short.
fn guests_of(command: &str) -> Command {
    let mut cargo = cargo();
    cargo.args([command, "--package", "raid-formats", "--package", "raid-user"]);
    cargo.args(GUESTS.iter().flat_map(|name| ["--test", name]));
    cargo
}

fn guests() -> Result<Counts> {
    count::tests(guests_of("test").arg("--no-fail-fast"), "guests")
}

fn clippy() -> Result<Counts> {
    perform(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-Dwarnings"]))?;
    one(guests_of("clippy").args(["--", "-Dwarnings"]))
}

fn release() -> Result<Counts> {
    let packages = ["--package", "raid-core", "--package", "raid-formats"];
    count::tests(cargo().args(["test", "--release", "--no-fail-fast"]).args(packages), "release")
}

fn fuzz_briefly() -> Result<Counts> {
    let skips = tools::ensure(&[tools::CXX])?;
    if !skips.is_empty() {
        return Ok(Counts::skip(skips));
    }
    let mut counts = Counts::default();
    for target in fuzz::targets()? {
        let until = fuzz::Until { seconds: FUZZ_SECONDS, executions: None };
        counts += match fuzz::run(Some(&target), until, fuzz::SAME_WALK) {
            Ok(()) => Counts::pass(),
            Err(error) => {
                println!("error: {error:#}");
                Counts::fail()
            }
        };
    }
    Ok(counts)
}

/// Succeeds only if it also says something: a demo that shows nothing has shown nothing.
fn demo() -> Result<Counts> {
    let shown = output(cargo().args(["run", "--release", "--package", "raid-user", "--", "demo"]))?;
    print!("{shown}");
    ensure!(!shown.trim().is_empty(), "the demo printed nothing");
    Ok(Counts::pass())
}

fn deny() -> Result<Counts> {
    if find("cargo-deny").is_none() {
        return Ok(Counts::skip(vec!["licences and sources of dependencies: cargo-deny is not installed".to_owned()]));
    }
    one(cargo().args(["deny", "check", "bans", "licenses", "sources"]))
}
