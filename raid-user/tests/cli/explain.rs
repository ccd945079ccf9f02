//! The command that `raid explain` ends with is what a shell takes, and it works.

use std::fs;
use std::process::Command;

use raid_testkit::fixtures;

use super::Folder;

/// Runs the last line of an explanation in a shell, as a person would paste it, with this OUT.
fn paste(folder: &Folder, explanation: &str) -> (String, bool) {
    let next = explanation.split_once("Next: ").expect("an explanation ends with a command").1.trim();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_raid")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("sh").args(["-c", next]).env("PATH", path).current_dir(folder.path()).output().unwrap();
    (next.to_owned(), ran.status.success())
}

/// A 1.2 superblock with another event count, and the checksum that goes with it (`md.c`, `calc_sb_1_csum`).
fn with_events(member: &[u8], events: u64) -> Vec<u8> {
    let mut bytes = member.to_vec();
    let superblock = &mut bytes[4096..8192];
    superblock[200..208].copy_from_slice(&events.to_le_bytes());
    superblock[216..220].fill(0);
    let roles = u32::from_le_bytes(superblock[220..224].try_into().unwrap());
    let len = 256 + 2 * usize::try_from(roles).unwrap();
    let word = |part: &[u8]| part.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    let sum: u64 = superblock[..len].chunks(4).map(word).sum();
    let folded = u32::try_from(((sum & 0xffff_ffff) + (sum >> 32)) & 0xffff_ffff).unwrap();
    superblock[216..220].copy_from_slice(&folded.to_le_bytes());
    bytes
}

/// The command was broken at slashes, inside quotes, and lacked the flags that the explanation was asked with.
#[test]
fn the_command_survives_long_names_with_spaces() {
    let folder = Folder::new();
    let inner = folder.path().join("images of the dead NAS/by a friend/in november");
    fs::create_dir_all(&inner).unwrap();
    for (name, bytes) in fixtures::load("md-1.2-raid5-4-ls").members.iter().take(3) {
        fs::write(inner.join(format!("it's {name}")), bytes).unwrap();
    }
    let ran = folder.raid(&["explain", "images of the dead NAS"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (next, worked) = paste(&folder, &ran.stdout);
    assert!(worked && folder.path().join("OUT").exists(), "{next}");
}

#[test]
fn the_command_keeps_the_flags_it_was_asked_with() {
    let folder = Folder::new().with("md-1.2-raid5-4-ls", "", &[0, 3]);
    let ran = folder.raid(&["explain", "--partial", "."]);
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.contains("Next: raid copy --partial "), "{}", ran.stdout);
    let lost = folder.raid(&["explain", "."]);
    assert_eq!(lost.code, 3);
    assert!(lost.stdout.contains("--partial: what the missing members held gives read errors"), "{}", lost.stdout);
    assert!(lost.stdout.contains("Next: raid scan "), "{}", lost.stdout);
}

#[test]
fn the_command_takes_no_more_risk_than_it_must() {
    let fixture = fixtures::load("md-1.2-raid5-4-ls");
    let folder = Folder::new();
    // Two members dropped out, d2 later than d3: one of them is enough.
    for ((name, bytes), events) in fixture.members.iter().zip([10, 10, 8, 5]) {
        folder.file(name, &with_events(bytes, events));
    }
    let ran = folder.raid(&["explain", "."]);
    assert_eq!(ran.code, 3, "{}", ran.stdout);
    insta::assert_snapshot!("two_stale", ran.stdout);
    let (next, worked) = paste(&folder, &ran.stdout);
    assert!(worked && next.contains("--use-stale") && next.matches("use-stale").count() == 1, "{next}");
    assert!(next.contains("--use-stale ./d2.img") || next.contains("--use-stale d2.img"), "{next}");
    let out = fs::read(folder.path().join("OUT")).unwrap();
    assert!(out.len() == 9_437_184 && out[512..520] == 1_u64.to_le_bytes());
}

#[test]
fn the_command_reads_past_a_log_only_where_it_must() {
    let crashed = Folder::new().with("md-1.2-raid5-journal-wb-crash", "", &[0, 1, 2, 3]);
    let ran = crashed.raid(&["explain", "."]);
    let (next, worked) = paste(&crashed, &ran.stdout);
    assert!(worked && !next.contains("--ignore-journal"), "{next}");
    // Without its journal there is nothing to replay.
    let crashed = Folder::new().with("md-1.2-raid5-journal-wb-crash", "", &[0, 1, 2]);
    let ran = crashed.raid(&["explain", "."]);
    let (next, _) = paste(&crashed, &ran.stdout);
    assert!(next.contains("--ignore-journal"), "{next}");
    let clean = Folder::new().with("md-1.2-raid5-ppl-clean", "", &[0, 1, 2]);
    let ran = clean.raid(&["explain", "."]);
    let (next, worked) = paste(&clean, &ran.stdout);
    assert!(worked && !next.contains("--ignore"), "{next}");
}
