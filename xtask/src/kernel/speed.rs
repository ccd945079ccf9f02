//! `cargo xtask kernel --speed`: fio on the target, on dm-raid and on md, in turns in one guest.

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

/// Ratios of each kind of round, to dm-raid and to md.
type Ratios = BTreeMap<String, [Vec<f64>; 2]>;

/// Runs it for those types that have `filter` in their words, and prints a table: of each round's ratios, ours to each peer's, the
/// median, and the least and the greatest.
///
/// # Errors
/// If the guest does not start or ends early. What it could not compare is said.
pub(super) fn run(kernel: &Kernel, image: &Path, filter: &str) -> Result<()> {
    let mut guest = command("timeout");
    guest.args(["--kill-after=5", SECONDS]).arg(kernel.folder.join("linux"));
    guest.arg("mem=1536M").arg(format!("initrd={}", image.display()));
    guest.args(["con=null", "con0=fd:0,fd:1", "quiet", "seccomp=on", "panic=1", "raid_speed=1"]);
    guest.arg(format!("raid_only={filter}"));
    let mut child = guest.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("the guest does not start")?;
    let (mut ratios, mut done) = (Ratios::new(), false);
    for line in BufReader::new(child.stdout.take().context("the guest is mute")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        let Some(words) = line.strip_prefix(SPEED) else { continue };
        done |= words == "done";
        if let Some(why) = words.strip_prefix("why: ") {
            println!("left out: {why}");
        }
        note(&mut ratios, words);
    }
    child.wait()?;
    ensure!(done, "the guest ended early");
    println!("| type | state | job | ours / dm-raid | ours / md |\n|---|---|---|---|---|");
    for (name, peers) in ratios {
        println!("{name} {} |", peers.map(summary).join(" | "));
    }
    Ok(())
}

/// Notes what a line of a round says, if it is one.
fn note(ratios: &mut Ratios, words: &str) {
    let words: Vec<&str> = words.split(' ').collect();
    let [kind, state, job, ours, peers @ ..] = words.as_slice() else { return };
    let Ok(ours) = ours.parse::<f64>() else { return };
    let noted = ratios.entry(format!("| {kind} | {state} | {job} |")).or_default();
    for (noted, peer) in noted.iter_mut().zip(peers) {
        // There is not always one.
        noted.extend(peer.parse::<f64>().ok().map(|peer| ours / peer.max(1.0)));
    }
}

/// The median, and the least and the greatest.
fn summary(mut rounds: Vec<f64>) -> String {
    rounds.sort_by(f64::total_cmp);
    let (Some(least), Some(most), Some(median)) = (rounds.first(), rounds.last(), rounds.get(rounds.len() / 2)) else {
        return "–".to_owned();
    };
    format!("{median:.2} ({least:.2} to {most:.2})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_ratios_and_a_peer_may_be_missing() {
        let mut ratios = Ratios::new();
        for words in [
            "raid10 healthy read-64k 50 100 200",
            "raid10 healthy read-64k 300 100 -",
            "raid10 healthy read-64k 20 100 200",
            "done",
        ] {
            note(&mut ratios, words);
        }
        let (name, [dm, md]) = ratios.pop_first().unwrap();
        assert_eq!((name.as_str(), ratios.len()), ("| raid10 | healthy | read-64k |", 0));
        assert_eq!(summary(dm), "0.50 (0.20 to 3.00)");
        assert_eq!(summary(md), "0.25 (0.10 to 0.25)");
        assert_eq!(summary(Vec::new()), "–");
    }
}
