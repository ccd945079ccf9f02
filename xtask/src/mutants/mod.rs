//! `cargo xtask mutants`: faults put into the core on purpose, one at a time, and who notices them.
//!
//! The core and the simulator are copied below `target/mutants` and built there alone: nothing in the tree changes. A fault is a
//! piece of text and what it becomes; one that no longer applies is an error, so that the list stays true.

mod list;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

use crate::command::{cargo, command, output, root};
use list::{MUTANTS, Mutant, Verdict};

/// What the simulator needs besides the core: it can be built without the rest of the tool.
const MAIN: &str = r#"#![allow(dead_code, reason = "the tool uses what this program does not")]
mod host {
    #[path = "../../../raid-user/src/host/memory.rs"]
    pub(crate) mod memory;
}
#[path = "../../raid-user/src/sim/mod.rs"]
pub mod sim;
#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    sim: sim::cli::SimArgs,
}
fn main() {
    let report = sim::cli::run(&<Arguments as clap::Parser>::parse().sim);
    println!("{}", report.text());
    std::process::exit(i32::from(!report.is_clean()));
}
"#;

/// What is copied: the core, what its tests want, and the simulator.
const FILES: [&str; 5] = ["raid-core", "raid-formats", "testkit", "raid-user/src/sim", "raid-user/src/host/memory.rs"];

const MANIFEST: &str = r#"[package]
name = "sim-alone"
version = "0.1.0"
edition = "2024"
[dependencies]
raid-core = { path = "../raid-core" }
clap = { version = "4", features = ["derive", "wrap_help"] }
fastrand = "2"
indicatif = "0.18"
[profile.release]
debug-assertions = true
overflow-checks = true
"#;

/// What came of a mutant.
enum Fate {
    Seed(String),
    Tests(String),
    Survived,
}

/// Tries the mutants whose name contains `only`, each on so many seeds and on the core's own tests, and prints a table.
///
/// # Errors
/// If one does not apply or does not build, or has another fate than the list says.
pub(crate) fn run(only: Option<&str>, seeds: u64) -> Result<()> {
    let tree = copy_tree()?;
    let fate = try_out(&tree, seeds).context("the core as it is")?;
    ensure!(matches!(fate, Fate::Survived), "the core as it is fails: {}", told(&fate));
    let chosen: Vec<&Mutant> =
        MUTANTS.iter().filter(|mutant| only.is_none_or(|only| mutant.name.contains(only))).collect();
    ensure!(!chosen.is_empty(), "no mutant has that name");
    let mut wrong = Vec::new();
    for mutant in &chosen {
        let start = Instant::now();
        let original = apply(&tree, mutant)?;
        let fate = try_out(&tree, seeds);
        fs::write(tree.join(mutant.file), original)?;
        let fate = fate.with_context(|| format!("mutant {}", mutant.name))?;
        println!("{:<28} {:<60} {:>4.0} s", mutant.name, told(&fate), start.elapsed().as_secs_f64());
        match (mutant.verdict, &fate) {
            (Verdict::Caught, Fate::Seed(_) | Fate::Tests(_)) => {}
            (Verdict::Open, _) => println!("{:<28} nobody has judged this one", ""),
            (Verdict::Harmless(why), Fate::Survived) => println!("{:<28} harmless: {why}", ""),
            (Verdict::Caught | Verdict::Harmless(_), _) => wrong.push(mutant.name),
        }
    }
    println!("{} mutants, {} with another fate than the list says", chosen.len(), wrong.len());
    if wrong.is_empty() { Ok(()) } else { bail!("judge again: {}", wrong.join(", ")) }
}

fn told(fate: &Fate) -> String {
    match fate {
        Fate::Seed(what) | Fate::Tests(what) => what.clone(),
        Fate::Survived => "survived".to_owned(),
    }
}

/// The tracked files of the core and of the simulator, and a program around them.
fn copy_tree() -> Result<PathBuf> {
    let tree = root().join("target/mutants");
    let files = output(command("git").arg("ls-files").args(FILES))?;
    for folder in ["raid-core", "raid-formats", "testkit", "raid-user", "sim-alone/src/host"] {
        let folder = tree.join(folder);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(folder)?;
    }
    for file in files.lines() {
        let to = tree.join(file);
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        fs::copy(root().join(file), to).with_context(|| file.to_owned())?;
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml"))?;
    let members = "members = [\"raid-core\", \"raid-formats\", \"raid-user\", \"benches\", \"xtask\", \"testkit\"]";
    ensure!(workspace.contains(members), "the workspace has other members than this verb knows");
    let alone = workspace.replace(members, "members = [\"raid-core\", \"raid-formats\", \"testkit\", \"sim-alone\"]");
    let alone = alone.split("[profile.dev]").next().unwrap_or_default().to_owned();
    let (package, profile) = MANIFEST.split_once("[profile.release]").context("the manifest has a profile")?;
    fs::write(tree.join("Cargo.toml"), format!("{alone}[profile.release]{profile}"))?;
    fs::write(tree.join("sim-alone/Cargo.toml"), package)?;
    fs::write(tree.join("sim-alone/src/main.rs"), MAIN)?;
    fs::copy(root().join("Cargo.lock"), tree.join("Cargo.lock"))?;
    Ok(tree)
}

/// Puts a mutant in. Returns the file as it was.
fn apply(tree: &Path, mutant: &Mutant) -> Result<String> {
    let path = tree.join(mutant.file);
    let original = fs::read_to_string(&path).with_context(|| mutant.file.to_owned())?;
    fs::write(path, mutated(mutant, &original)?)?;
    Ok(original)
}

fn mutated(mutant: &Mutant, original: &str) -> Result<String> {
    let found = original.matches(mutant.from).count();
    ensure!(found == 1, "mutant {} applies {found} times to {}: its text has moved on", mutant.name, mutant.file);
    Ok(original.replacen(mutant.from, mutant.to, 1))
}

fn try_out(tree: &Path, seeds: u64) -> Result<Fate> {
    let built = quiet(tree, &["build", "--release", "--quiet", "--package", "sim-alone"])?;
    ensure!(built.status.success(), "does not build: {}", String::from_utf8_lossy(&built.stderr));
    let program = tree.join("target/release/sim-alone");
    let sim = command(program).args(["--seeds", &seeds.to_string()]).output()?;
    let said = String::from_utf8_lossy(&sim.stdout).into_owned() + &String::from_utf8_lossy(&sim.stderr);
    if !sim.status.success() {
        let seed = said.lines().find(|line| line.starts_with("seed ")).unwrap_or("seed ?");
        let seed = seed.split(" (").next().unwrap_or(seed);
        let what = said.lines().find_map(|line| line.trim().strip_prefix("=> ")).unwrap_or("panicked");
        return Ok(Fate::Seed(format!("{seed}: {what}")));
    }
    let tests = quiet(
        tree,
        &[
            "test",
            "--quiet",
            "--package",
            "raid-core",
            "--lib",
            "--test",
            "engine",
            "--test",
            "plan_write",
            "--test",
            "members",
        ],
    )?;
    if tests.status.success() {
        return Ok(Fate::Survived);
    }
    let said = String::from_utf8_lossy(&tests.stdout).into_owned();
    let failed = said.lines().find_map(|line| line.strip_prefix("---- ")?.strip_suffix(" stdout ----"));
    Ok(Fate::Tests(format!("tests: {}", failed.unwrap_or("do not build, or die"))))
}

fn quiet(tree: &Path, arguments: &[&str]) -> Result<std::process::Output> {
    let mut cargo: Command = cargo();
    cargo.current_dir(tree).env("CARGO_TARGET_DIR", tree.join("target")).args(arguments).stdin(Stdio::null());
    cargo.output().context("cargo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_still_applies_to_the_core_as_it_is() {
        for mutant in &MUTANTS {
            let original = fs::read_to_string(root().join(mutant.file)).unwrap();
            let changed = mutated(mutant, &original).unwrap_or_else(|error| panic!("{error}"));
            assert_ne!(changed, original, "{}", mutant.name);
        }
    }
}
