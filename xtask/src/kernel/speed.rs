//! `cargo xtask kernel --speed` and `--instructions`: fio on the target, on dm-raid and on md, in turns in one guest.
//!
//! Instructions are counted by the clock of an emulated PC with one processor: with each it goes on by a nanosecond (QEMU's `-icount`).
//! They are all that the machine executed for a request: fio's own and the system's, which the last column has alone, and the parity's.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Result, ensure};

use super::linux::Kernel;
use super::machine::Start;

/// What a guest's line of a round begins with.
const SPEED: &str = "speed: ";

/// The longest that it may take.
const LONGEST: Duration = Duration::from_secs(1500);

/// Megabytes: fio has a lot of libraries.
const MEMORY: u32 = 1536;

/// Ratios of each kind of round, to dm-raid and to md.
type Ratios = BTreeMap<String, [Vec<f64>; 2]>;

/// Runs it for those types that have `filter` in their words, and prints a table: of each round's ratios, ours to each peer's, the
/// median, and the least and the greatest.
///
/// # Errors
/// If the guest does not start or ends early. What it could not compare is said.
pub(super) fn rates(kernel: &Kernel, image: &Path, filter: &str) -> Result<()> {
    let start = Start::new(kernel, image, MEMORY, LONGEST);
    let mut ratios = Ratios::new();
    rounds(&start, &format!("raid_speed=time raid_only={filter}"), |words| note(&mut ratios, words))?;
    println!("| type | state | job | ours / dm-raid | ours / md |\n|---|---|---|---|---|");
    for (name, peers) in ratios {
        println!("{name} {} |", peers.map(summary).join(" | "));
    }
    Ok(())
}

/// The same, but for instructions of a request, in one round: there is nothing that could disturb the machine.
///
/// # Errors
/// As [`rates`].
pub(super) fn instructions(kernel: &Kernel, image: &Path, filter: &str) -> Result<()> {
    let start = Start { counts: true, ..Start::new(kernel, image, MEMORY, LONGEST * 2) };
    let mut table = vec![
        "| type | state | job | ours | dm-raid | md | the RAM disk alone | ours / dm-raid | ours / md |".to_owned(),
        "|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    rounds(&start, &format!("raid_speed=count raid_only={filter}"), |words| table.extend(counted(words)))?;
    println!("{}", table.join("\n"));
    Ok(())
}

/// Runs the guest, with each of its rounds' words to `note`.
fn rounds(start: &Start<'_>, words: &str, mut note: impl FnMut(&str)) -> Result<()> {
    let (mut guest, mut done) = (start.spawn(words)?, false);
    while let Some(line) = guest.line() {
        let Some(words) = line.strip_prefix(SPEED) else { continue };
        done |= words == "done";
        if let Some(why) = words.strip_prefix("why: ") {
            println!("left out: {why}");
        }
        note(words);
    }
    ensure!(done, "the guest ended early");
    Ok(())
}

/// A row of the table of instructions, of the words of a round. What the RAM disk and fio take is in all of them.
fn counted(words: &str) -> Option<String> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let [kind, state, job, counts @ ..] = words.as_slice() else { return None };
    let [ours, dm, md, alone] = counts else { return None };
    let ratio = |peer: &str| {
        let ratio = ours.parse::<f64>().ok().zip(peer.parse::<f64>().ok()).map(|(ours, peer)| ours / peer.max(1.0));
        ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
    };
    let (to_dm, to_md) = (ratio(dm), ratio(md));
    Some(format!("| {kind} | {state} | {job} | {ours} | {dm} | {md} | {alone} | {to_dm} | {to_md} |"))
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

    #[test]
    fn instructions_are_compared_with_those_of_peers_that_are_there() {
        assert_eq!(
            counted("raid1 healthy read-64k 300 - 500 100").unwrap(),
            "| raid1 | healthy | read-64k | 300 | - | 500 | 100 | – | 0.60 |"
        );
        assert_eq!(counted("why: no array of md"), None);
    }
}
