//! `cargo xtask kernel --speed`: fio on the target and on dm-raid, in turns in one guest.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use anyhow::{Context, Result, ensure};

use super::linux::Kernel;
use crate::command::command;

/// What a guest's line of a round begins with.
const SPEED: &str = "speed: ";

/// The longest that it may take.
const SECONDS: &str = "1500";

/// Runs it and prints a table: the median of each round's ratio, ours to dm-raid's, and the least and the greatest.
///
/// # Errors
/// If the guest does not start, or ends early.
pub(super) fn run(kernel: &Kernel, image: &Path) -> Result<()> {
    let mut guest = command("timeout");
    guest.args(["--kill-after=5", SECONDS]).arg(kernel.folder.join("linux"));
    guest.arg("mem=1536M").arg(format!("initrd={}", image.display()));
    guest.args(["con=null", "con0=fd:0,fd:1", "quiet", "seccomp=on", "panic=1", "raid_speed=1"]);
    let mut child = guest.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("the guest does not start")?;
    let (mut ratios, mut done) = (BTreeMap::<String, Vec<f64>>::new(), false);
    for line in BufReader::new(child.stdout.take().context("the guest is mute")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        let Some(words) = line.strip_prefix(SPEED) else { continue };
        done |= words == "done";
        let words: Vec<&str> = words.split(' ').collect();
        if let [kind, state, job, ours, peer] = words.as_slice()
            && let (Ok(ours), Ok(peer)) = (ours.parse::<f64>(), peer.parse::<f64>())
        {
            ratios.entry(format!("| {kind} | {state} | {job} |")).or_default().push(ours / peer.max(1.0));
        }
    }
    child.wait()?;
    ensure!(done, "the guest ended early");
    println!("| level | state | job | ours / dm-raid | least | greatest |\n|---|---|---|---|---|---|");
    for (name, mut rounds) in ratios {
        rounds.sort_by(f64::total_cmp);
        let at = |index: usize| rounds.get(index).copied().unwrap_or(0.0);
        let last = rounds.len().saturating_sub(1);
        println!("{name} {:.2} | {:.2} | {:.2} |", at(rounds.len() / 2), at(0), at(last));
    }
    Ok(())
}
