//! Arrays that a kernel left in the middle of something, each with its story.
//!
//! Content: array sector L holds the number L 64 times, unless a story says otherwise.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::sync::Arc;

use raid_formats::assemble::{Claimant, Verdict};
use raid_testkit::fixtures::sha256;
use raid_testkit::{fixtures, pattern};
use raid_user::array::{Array, OpenError, OpenOptions, Warning};
use raid_user::discover::{Found, Identity, group};
use raid_user::media::{Media, MemMedia};

fn found(case: &str, slots: &[usize]) -> Vec<Found> {
    let fixture = fixtures::load(case);
    let member = |index: &usize| {
        let (name, bytes) = fixture.members[*index].clone();
        Found::inspect(&name, Arc::new(MemMedia::new(&name, bytes)))
            .expect("every member of a fixture has a superblock")
    };
    slots.iter().map(member).collect()
}

fn open(case: &str, slots: &[usize], options: &OpenOptions) -> Result<Array, OpenError> {
    Array::open(found(case, slots), options)
}

fn read(array: &Array, sector: u64, count: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; count * pattern::SECTOR];
    array.read_at(sector * 512, &mut bytes).map(|()| bytes)
}

fn reads_the_pattern(array: &Array, from: u64, to: u64) {
    let mut at = from;
    while at < to {
        let count = usize::try_from((to - at).min(1024)).unwrap();
        let bytes = read(array, at, count).unwrap();
        let wrong = bytes.chunks(512).zip(at..).find(|(sector, number)| *sector != pattern::sectors(*number, 1));
        assert!(wrong.is_none(), "sector {} is wrong", wrong.unwrap().1);
        at += count as u64;
    }
}

/// How much of the reshaped arrays was written before: 32 MiB. The rest reads as zeros.
const RESHAPED_WRITTEN: u64 = 65536;

/// A RAID 5 on its way from 3 to 4 members stopped at array sector 16896 (mdadm prints KiB). Below it chunks lie on four members,
/// above on three. The array keeps its old size, 2 × 63488 sectors, until the reshape is done.
#[test]
fn a_stopped_reshape_reads_right_on_both_sides_whoever_is_missing() {
    let old_size = 2 * 63488;
    for missing in [None, Some(0), Some(1), Some(2), Some(3)] {
        let slots: Vec<usize> = (0..4).filter(|slot| Some(*slot) != missing).collect();
        let array = open("md-1.2-raid5-reshape-3to4-stopped", &slots, &OpenOptions::default()).unwrap();
        assert!(array.warnings().contains(&Warning::Reshaping { position: 16896 }));
        assert_eq!(array.size_bytes(), old_size * 512);
        reads_the_pattern(&array, 0, RESHAPED_WRITTEN);
        assert_eq!(read(&array, RESHAPED_WRITTEN, 2048).unwrap(), vec![0; 2048 * 512]);
    }
}

/// The same, with the members copied one after the other while the array ran; 1.2 and 0.90. Of the 0.90 array, members 0 and 1 were
/// copied before what lies on rows from 4096 to 5888 reached them, so there is nothing right to be had from array sector 12288 on.
#[test]
fn members_copied_from_a_running_reshape_read_right_on_both_sides() {
    for (case, size) in
        [("md-1.2-raid5-reshape-3to4-crash", 2 * 63488), ("md-0.90-raid5-reshape-3to4-crash", 2 * 65408)]
    {
        let array = open(case, &[0, 1, 2, 3], &OpenOptions::default()).unwrap();
        assert_eq!(array.record().reshape.expect("caught in a reshape").position.0, 16896);
        assert_eq!(array.size_bytes(), size * 512, "{case}");
        reads_the_pattern(&array, 0, 12288);
        reads_the_pattern(&array, if case.contains("0.90") { 16896 } else { 12288 }, RESHAPED_WRITTEN);
    }
}

/// Member 1 of a RAID 1 failed, then the array was written to. Its superblock still says that all is well, three events ago.
#[test]
fn a_stale_mirror_is_named_and_left_out() {
    for case in ["md-1.1-raid1-bitmap-degraded", "md-1.2-raid1-bitmap-degraded", "md-1.2-raid1-spare-wm-ff"] {
        let fixture = fixtures::load(case);
        let members: Vec<usize> = (0..fixture.members.len()).collect();
        let array = open(case, &members, &OpenOptions::default()).unwrap();
        let stale = |warning: &Warning| match warning {
            Warning::NotUsed { verdict: Verdict::Stale { slot: 1, behind }, .. } => *behind > 1,
            _ => false,
        };
        assert!(array.warnings().iter().any(stale), "{case}: {:?}", array.warnings());
        let sha256 = fixture.text("content.sha256").split_whitespace().next().unwrap().to_owned();
        assert_eq!(hash(&array), sha256, "{case}");
    }
}

/// The same array, with the stale member forced: it is used only because it was named, and the warning says how far it lags.
#[test]
fn a_stale_mirror_is_used_only_on_the_users_word() {
    let case = "md-1.2-raid1-bitmap-degraded";
    let options = OpenOptions { use_stale: vec!["d1.img".into()], ..OpenOptions::default() };
    let array = open(case, &[0, 1], &options).unwrap();
    assert!(array.warnings().contains(&Warning::Forced { member: "d1.img".into(), slot: 1, behind: 3 }));
    assert_eq!(array.members().flatten().count(), 2);
    let options = OpenOptions { use_stale: vec!["other.img".into()], ..OpenOptions::default() };
    assert!(matches!(open(case, &[0, 1], &options), Err(OpenError::NotGiven(name)) if name == "other.img"));
}

/// Member 1 lists sectors 2500 to 2508 and 3000 to 3100 of its medium as bad. Data start at 2048. With member 0 the mirror gives
/// everything; alone, member 1 gives everything but these.
#[test]
fn listed_bad_blocks_are_read_from_the_mirror_or_not_at_all() {
    let case = "md-1.2-raid1-badblocks";
    let both = open(case, &[0, 1], &OpenOptions::default()).unwrap();
    assert!(both.warnings().contains(&Warning::BadBlocks { member: "d1.img".into(), sectors: 108 }));
    reads_the_pattern(&both, 0, both.size_bytes() / 512);
    let alone = open(case, &[1], &OpenOptions::default()).unwrap();
    let bad = |sector: u64| (452..460).contains(&sector) || (952..1052).contains(&sector);
    for sector in 440..1060 {
        let got = read(&alone, sector, 1);
        assert_eq!(got.is_err(), bad(sector), "sector {sector}");
        assert!(got.is_err() || got.unwrap() == pattern::sectors(sector, 1));
    }
    assert!(read(&alone, 400, 100).unwrap_err().to_string().contains("lost"));
}

/// Power was cut while random writes ran (`crash-kill9`, members 0 to 2 with a bitmap). With all members there it opens, says that it is
/// dirty, and gives data as they are: what the kernel read when it started the array. Without one, rows that the bitmap marks cannot
/// be recovered and give errors; the others read.
#[test]
fn a_dirty_degraded_row_is_not_guessed() {
    let case = "crash-kill9";
    let all = open(case, &[0, 1, 2], &OpenOptions::default()).unwrap();
    assert!(all.warnings().contains(&Warning::Dirty), "{:?}", all.warnings());
    assert_eq!(hash(&all), kernel_hash("md0"));

    let degraded = open(case, &[0, 2], &OpenOptions::default()).unwrap();
    let doubted = degraded.warnings().iter().find_map(|warning| match warning {
        Warning::DirtyDegraded { doubted: Some(runs), believed: false } => Some(runs.clone()),
        _ => None,
    });
    let doubted = doubted.expect("the bitmap says which rows");
    let geometry = degraded.layouts().geometry(raid_core::reshape::Side::Old);
    let mut refused = 0;
    for sector in (0..all.size_bytes() / 512).step_by(8) {
        let place = geometry.map(raid_core::Sector(sector)).unwrap();
        let in_doubt = doubted.iter().any(|run| (run.at.0..run.at.0 + run.len.0).contains(&place.at.0));
        let got = read(&degraded, sector, 8);
        if place.member.0 == 1 && in_doubt {
            assert!(got.unwrap_err().to_string().contains("not guessed"), "sector {sector}");
            refused += 1;
        } else {
            assert_eq!(got.unwrap(), read(&all, sector, 8).unwrap(), "sector {sector}");
        }
    }
    assert!(refused > 0, "nothing was in doubt");
    let options = OpenOptions { trust_dirty_parity: true, ..OpenOptions::default() };
    assert!(read(&open(case, &[0, 2], &options).unwrap(), 0, 8192).is_ok());
}

/// What the kernel read from the array after it had recovered it.
fn kernel_hash(array: &str) -> String {
    let fixture = fixtures::load("crash-kill9");
    let line = fixture.text("kernel-recovery.txt").lines().find(|line| line.starts_with(array) && line.ends_with('-'));
    line.and_then(|line| line.split_whitespace().nth(1)).expect("the kernel printed a hash").to_owned()
}

/// A RAID 5 with a write-back journal lost power: data of acknowledged writes are in the journal alone. What a replay gives is compared
/// with Linux's own in `md_kernel.rs`.
#[test]
fn a_journal_is_replayed_and_missed_if_it_is_not_there() {
    let case = "md-1.2-raid5-journal-wb-crash";
    let array = open(case, &[0, 1, 2, 3], &OpenOptions::default()).unwrap();
    assert!(array.warnings().iter().any(|warning| matches!(warning, Warning::JournalReplayed { stripes: 1.. })));
    let refused = open(case, &[0, 1, 2], &OpenOptions::default());
    assert!(matches!(refused, Err(OpenError::NotReplayed(Warning::JournalMissing, "--ignore-journal"))));
    let options = OpenOptions { ignore_journal: true, ..OpenOptions::default() };
    let array = open(case, &[0, 1, 2, 3], &options).unwrap();
    assert!(array.warnings().contains(&Warning::JournalNotReplayed));
    assert!(read(&array, 0, 8).is_ok());
}

/// An IMSM mirror copied while a write to its sectors 72 to 79 was on its way. The volume is dirty, and says so; neither copy says which
/// disk it is, and it does not matter: both are in sync.
#[test]
fn a_dirty_imsm_mirror_reads_with_a_warning_from_either_copy() {
    for slots in [&[0, 1][..], &[0], &[1]] {
        let mut found = found("imsm-uml-raid1-dirty-crash", slots);
        found = group(found).remove(0);
        let array = Array::open(found, &OpenOptions::default()).unwrap();
        assert!(array.warnings().contains(&Warning::Dirty), "{:?}", array.warnings());
        let guessed =
            |warning: &&Warning| matches!(warning, Warning::Identified { identity: Identity::Interchangeable, .. });
        assert_eq!(array.warnings().iter().filter(guessed).count(), slots.len());
        reads_the_pattern(&array, 0, 72);
        reads_the_pattern(&array, 80, 20480);
        assert_ne!(read(&array, 72, 8).unwrap(), pattern::sectors(72, 8));
    }
}

/// Kernels from 6.19 write the logical block size where older ones demand zeros. It is read, kept, and no reason to refuse.
#[test]
fn the_logical_block_size_of_kernel_6_19_is_no_obstacle() {
    let fixture = fixtures::load("md-1.2-raid5-4-ls");
    let members = fixture.members.iter().map(|(name, bytes)| {
        let mut bytes = bytes.clone();
        let block: &mut [u8; 4096] = (&mut bytes[4096..8192]).try_into().unwrap();
        block[224..228].copy_from_slice(&4096_u32.to_le_bytes());
        // Independent of the code under test: sum the words, fold the carry, as `calc_sb_1_csum` does.
        block[216..220].fill(0);
        let table = u32::from_le_bytes(block[220..224].try_into().unwrap()) as usize * 2;
        let words = block[..256 + table].chunks(4).map(|word| {
            let mut whole = [0; 4];
            whole[..word.len()].copy_from_slice(word);
            u64::from(u32::from_le_bytes(whole))
        });
        let sum: u64 = words.sum();
        let folded = ((sum & 0xffff_ffff) + (sum >> 32)) & 0xffff_ffff;
        block[216..220].copy_from_slice(&u32::try_from(folded).unwrap().to_le_bytes());
        let found = Found::inspect(name, Arc::new(MemMedia::new(name, bytes))).expect("still a superblock");
        assert_eq!(found.record().logical_block_bytes, 4096);
        found
    });
    let array = Array::open(members.collect(), &OpenOptions::default()).unwrap();
    reads_the_pattern(&array, 0, array.size_bytes() / 512);
}

fn hash(array: &Array) -> String {
    let mut bytes = vec![0; usize::try_from(array.size_bytes()).unwrap()];
    array.read_at(0, &mut bytes).unwrap();
    sha256(bytes)
}
