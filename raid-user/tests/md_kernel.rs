//! Linux takes the metadata that we keep for a running array, and we take what Linux keeps: every version, with a bitmap and without.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use raid_core::health::{Event, Health, State};
use raid_core::region::RegionNo;
use raid_core::{Level, Member, Raid5Layout, Sectors};
use raid_formats::md::Version;
use raid_formats::record::{Name, Uuid};
use raid_testkit::fixtures::sha256;
use raid_testkit::{pattern, uml};
use raid_user::array::{Array, OpenOptions, Warning};
use raid_user::create::NewArray;
use raid_user::discover::{Found, MediaSource};
use raid_user::host::md_store::md_start;
use raid_user::host::start::{Start, Stopped};
use raid_user::host::{Running, Tuning};
use raid_user::media::{Media, MediaMut, MediaSpec, Options, RawFile, SharedMediaMut, Writable, open};

const MEMBER_SECTORS: usize = 12288;
const RAID5: Level = Level::Raid5(Raid5Layout::LeftSymmetric);

fn said<'a>(guest: &'a str, word: &str) -> &'a str {
    let line = guest.lines().find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word} in: {guest}")).trim()
}

fn find(disk: &Path) -> Found {
    let opened = open(&MediaSpec::path(disk), &Options::default()).unwrap();
    Found::inspect(&disk.display().to_string(), opened.media).unwrap()
}

fn found(disks: &[PathBuf]) -> Vec<Found> {
    disks.iter().map(|disk| find(disk)).collect()
}

fn run(disks: &[PathBuf]) -> Start {
    md_start(found(disks), &OpenOptions::default()).unwrap()
}

/// SHA-256 of the array, as we read it.
fn content(disks: &[PathBuf]) -> String {
    let array = Array::open(found(disks), &OpenOptions::default()).unwrap();
    let mut bytes = vec![0; usize::try_from(array.size_bytes()).unwrap()];
    array.read_at(0, &mut bytes).unwrap();
    sha256(bytes)
}

/// Chunks that a member's bitmap marks.
fn bits(disk: &Path) -> Vec<u64> {
    let (found, mut set) = (find(disk), Vec::new());
    let superblock = found.superblock().unwrap().unwrap();
    let source = MediaSource(found.media().as_ref());
    let summary = raid_formats::md::read_bitmap(&source, &superblock, &mut [0; 4096], |chunk| set.push(chunk)).unwrap();
    assert!(!summary.unwrap().stale);
    set
}

/// Members full of what no array wrote, so that no redundancy is right, and an array made of them.
fn make(folder: &Path, version: Version, level: Level, members: usize, bitmap: bool, clean: bool) -> Vec<PathBuf> {
    let disks: Vec<PathBuf> = (0..members).map(|slot| folder.join(format!("disk{slot}"))).collect();
    let media: Vec<Option<SharedMediaMut>> = (0_u64..)
        .zip(&disks)
        .map(|(slot, disk)| {
            // What is taken to be clean must be: zeros agree with each other at every level.
            let bytes = match clean {
                true => vec![0; MEMBER_SECTORS * 512],
                false => pattern::sectors(1 + slot * 100_000, MEMBER_SECTORS),
            };
            std::fs::write(disk, bytes).unwrap();
            Some(Arc::new(RawFile::<Writable>::open_mut(disk).unwrap()) as SharedMediaMut)
        })
        .collect();
    let new = NewArray {
        version,
        level,
        chunk: if level == Level::Raid1 { Sectors(0) } else { Sectors(128) },
        bitmap: bitmap.then_some(Some(65536)),
        name: Name([0; 32]),
        used: None,
        assume_clean: clean,
        array: Uuid(*b"kept by ourselve"),
        created_s: 1_700_000_000,
    };
    new.create(&media).unwrap();
    disks
}

fn devices(count: usize) -> String {
    ('b'..).take(count).map(|letter| format!(" /dev/ubd{letter}")).collect()
}

fn assemble(count: usize) -> String {
    format!("mdadm --assemble /dev/md0 --run{} 2>&1", devices(count))
}

/// The member comes back: mdadm hands it to the kernel, as what it was or, without a bitmap, as a spare.
fn take_in(bitmap: bool) -> String {
    let action = if bitmap { "re-add" } else { "force-spare" };
    format!(
        "echo active > /sys/block/md0/md/array_state
echo POLICY action={action} > /tmp/mdadm.conf; mdadm -I -c /tmp/mdadm.conf --run /dev/ubdc 2>&1"
    )
}

/// A started array waits with its resync for the first write.
const CHECK: &str = "echo active > /sys/block/md0/md/array_state; sleep 0.3; settle
echo check > /sys/block/md0/md/sync_action; sleep 0.3; settle
echo MISMATCHES $(cat /sys/block/md0/md/mismatch_cnt)
echo CONTENT $(sha256sum < /dev/md0 | cut -d' ' -f1)";

/// What we make, Linux synchronises; then what it holds is what we said it held, and nothing disagrees. And the other way
/// round: it is ours again, clean.
fn made_and_synchronised(version: Version, level: Level, members: usize, bitmap: bool) {
    let folder = tempfile::tempdir().unwrap();
    let disks = make(folder.path(), version, level, members, bitmap, false);
    let ours = content(&disks);
    let script = format!("{}\n{CHECK}\nmdadm --stop /dev/md0 2>&1", assemble(members));
    let Some(guest) = uml::run(folder.path(), &script, &disks) else { return };
    assert_eq!(said(&guest, "MISMATCHES"), "0", "{guest}");
    if level != Level::Raid1 {
        // Of a mirror, Linux may take any copy.
        assert_eq!(said(&guest, "CONTENT"), ours, "{guest}");
    }
    let started = run(&disks);
    assert_eq!((started.doubt.len(), started.health.missing().len()), (0, 0), "{guest}");
}

/// A member that we call failed is out for Linux too; what we then write is there; the member that comes back is taken in again and
/// filled, by the bits if there are any.
fn failed_and_taken_in(version: Version, level: Level, members: usize, bitmap: bool) {
    let folder = tempfile::tempdir().unwrap();
    let disks = make(folder.path(), version, level, members, bitmap, true);
    let started = run(&disks);
    let mut health = started.health;
    let others: Vec<Member> = (0..u8::try_from(members).unwrap()).filter(|slot| *slot != 1).map(Member).collect();
    let log = |members: &[Member], word| {
        members.iter().for_each(|member| started.store.write_log(*member, 0, &[word]).unwrap())
    };
    log(&(0..u8::try_from(members).unwrap()).map(Member).collect::<Vec<_>>(), 0);
    health.apply(Member(1), Event::Fail).unwrap();
    others.iter().for_each(|member| started.store.write_health(*member, &health).unwrap());
    log(&others, 0b10);
    // Row 16 of every member but the failed one: as a write of all of a stripe's columns would leave it. All bytes are the same
    // on a mirror; with parity, members 0 and 2 hold them and member 1 their sum, which is zero.
    for member in &others {
        let slot = &started.slots[usize::from(member.0)];
        slot.media.as_ref().unwrap().write_at((slot.data_at.0 + 128) * 512, &[0x5A; 4096]).unwrap();
    }
    // A wrong sector on the failed one, far from all bits: with parity, in what it holds of it.
    let slot = &started.slots[1];
    slot.media.as_ref().unwrap().write_at((slot.data_at.0 + 40 * 128) * 512, &[1; 512]).unwrap();
    started.store.stop(&health, Stopped::Clean).unwrap();
    drop(started);
    let ours = content(&disks);
    let script = format!(
        "{}\ncat /proc/mdstat\necho STATE $(cat /proc/mdstat | grep -o '\\[[U_]*\\]')
echo CONTENT $(sha256sum < /dev/md0 | cut -d' ' -f1)
{}
{}\necho BACK $(cat /proc/mdstat | grep -o '\\[[U_]*\\]')\nmdadm --stop /dev/md0 2>&1",
        assemble(members),
        take_in(bitmap),
        CHECK.replace("CONTENT", "AFTER")
    );
    let Some(guest) = uml::run(folder.path(), &script, &disks) else { return };
    let out = format!("[U_{}]", "U".repeat(members - 2));
    assert_eq!(said(&guest, "STATE"), out, "{guest}");
    assert_eq!(said(&guest, "CONTENT"), ours, "{guest}");
    assert_eq!(said(&guest, "BACK"), out.replace('_', "U"), "{guest}");
    if level != Level::Raid1 {
        assert_eq!(said(&guest, "AFTER"), ours, "{guest}");
    }
    // What is wrong where no bit was set is still wrong after a catch-up by bits; filled from the start, it is right.
    assert_eq!(said(&guest, "MISMATCHES") == "0", !bitmap, "{guest}");
    let started = run(&disks);
    assert!(started.health.missing().is_empty(), "{guest}");
}

/// A member that we filled is one for Linux.
fn added_by_us(version: Version, bitmap: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut disks = make(folder.path(), version, Level::Raid1, 2, bitmap, true);
    let blank = folder.path().join("blank");
    std::fs::write(&blank, pattern::sectors(7, MEMBER_SECTORS + 64)).unwrap();
    let started = run(&disks[..1]);
    let media: SharedMediaMut = Arc::new(RawFile::<Writable>::open_mut(&blank).unwrap());
    let slot = started.store.admit(Member(1), media.clone()).unwrap();
    let mut health = started.health;
    let both = |health: &Health| (0..2).for_each(|slot| started.store.write_health(Member(slot), health).unwrap());
    health.apply(Member(1), Event::Rebuild { mark: raid_core::Sector(0) }).unwrap();
    both(&health);
    let size = usize::try_from(started.rows.geometry().array_size().bytes().unwrap()).unwrap();
    media.write_at(slot.data_at.bytes().unwrap(), &vec![0; size]).unwrap();
    health.apply(Member(1), Event::Finish).unwrap();
    both(&health);
    started.store.stop(&health, Stopped::Clean).unwrap();
    drop((started, media, slot));
    disks[1] = blank;
    let script = format!(
        "{}\necho STATE $(cat /proc/mdstat | grep -o '\\[[U_]*\\]')\nmdadm -E /dev/ubdc\n{CHECK}\nmdadm --stop /dev/md0 2>&1",
        assemble(2)
    );
    let Some(guest) = uml::run(folder.path(), &script, &disks) else { return };
    assert_eq!((said(&guest, "STATE"), said(&guest, "MISMATCHES")), ("[UU]", "0"), "{guest}");
    assert_eq!(run(&disks).health.state(Member(1)), Some(State::InSync));
}

#[test]
fn linux_synchronises_exactly_the_regions_whose_bits_we_set() {
    let folder = tempfile::tempdir().unwrap();
    let disks = make(folder.path(), Version::V1_2, RAID5, 3, true, true);
    let started = run(&disks);
    (0..3).for_each(|slot| started.store.write_log(Member(slot), 0, &[0b1001_0000]).unwrap());
    // A wrong sector inside a marked region, and one outside of all.
    let slot = &started.slots[0];
    for sector in [7 * 128 + 5, 20 * 128] {
        slot.media.as_ref().unwrap().write_at((slot.data_at.0 + sector) * 512, &[1; 512]).unwrap();
    }
    drop(started);
    assert_eq!(bits(&disks[1]), [4, 7]);
    let script = format!("mdadm -X /dev/ubdc\n{}\n{CHECK}\nmdadm --stop /dev/md0 2>&1", assemble(3));
    let Some(guest) = uml::run(folder.path(), &script, &disks) else { return };
    assert!(guest.contains("2 dirty"), "{guest}");
    // One row of eight sectors disagrees still: the one that nobody was told of.
    assert_eq!(said(&guest, "MISMATCHES"), "8", "{guest}");
    assert!(bits(&disks[0]).is_empty());
}

#[test]
fn we_find_the_bits_that_linux_set_while_a_member_was_missing() {
    let folder = tempfile::tempdir().unwrap();
    let disks = make(folder.path(), Version::V1_2, Level::Raid1, 2, true, true);
    let script = format!(
        "{}\necho active > /sys/block/md0/md/array_state
echo faulty > /sys/block/md0/md/dev-ubdc/state; sleep 0.1; echo remove > /sys/block/md0/md/dev-ubdc/state
dd if=$(command -v mdadm) of=/dev/md0 bs=64k seek=3 count=2 conv=notrunc,fsync 2>/dev/null
mdadm --stop /dev/md0 2>&1; mdadm -X /dev/ubdb",
        assemble(2)
    );
    let Some(guest) = uml::run(folder.path(), &script, &disks) else { return };
    assert!(guest.contains("2 dirty"), "{guest}");
    assert_eq!(bits(&disks[0]), [3, 4]);
    let started = run(&disks);
    assert_eq!(started.health.state(Member(1)), Some(State::Missing), "{guest}");
    // Run and stopped in order: nothing is in doubt, and the bits stay for the member that is away.
    assert_eq!((&started.doubt[..], &started.marked[..]), (&[][..], &[RegionNo(3), RegionNo(4)][..]));
    assert!(Running::start(started, &Tuning::default()).unwrap().stop().unwrap(), "it says clean");
    assert_eq!(bits(&disks[0]), [3, 4]);
    let script = format!("{}\n{}\n{CHECK}\ncat /proc/mdstat\nmdadm --stop /dev/md0 2>&1", assemble(2), take_in(true));
    let Some(guest) = uml::run(folder.path(), &script, &disks) else { return };
    assert!(guest.contains("[UU]"), "{guest}");
    assert_eq!(said(&guest, "MISMATCHES"), "0", "{guest}");
}

/// A test for each case, listed by name.
macro_rules! cases {
    ($($name:ident: $what:ident($($argument:expr),*);)*) => {
        $(#[test] fn $name() { $what($($argument),*); })*
    };
}

cases! {
    made_raid1_0_90: made_and_synchronised(Version::V0Little, Level::Raid1, 2, false);
    made_raid1_0_90_with_a_bitmap: made_and_synchronised(Version::V0Little, Level::Raid1, 2, true);
    made_raid5_1_0: made_and_synchronised(Version::V1_0, RAID5, 3, false);
    made_raid5_1_0_with_a_bitmap: made_and_synchronised(Version::V1_0, RAID5, 3, true);
    made_raid5_1_1: made_and_synchronised(Version::V1_1, RAID5, 3, false);
    made_raid5_1_1_with_a_bitmap: made_and_synchronised(Version::V1_1, RAID5, 3, true);
    made_raid5_1_2: made_and_synchronised(Version::V1_2, RAID5, 4, false);
    made_raid5_1_2_with_a_bitmap: made_and_synchronised(Version::V1_2, RAID5, 4, true);
    failed_raid1_0_90: failed_and_taken_in(Version::V0Little, Level::Raid1, 3, false);
    failed_raid1_0_90_with_a_bitmap: failed_and_taken_in(Version::V0Little, Level::Raid1, 3, true);
    failed_raid5_1_0: failed_and_taken_in(Version::V1_0, RAID5, 3, false);
    failed_raid5_1_0_with_a_bitmap: failed_and_taken_in(Version::V1_0, RAID5, 3, true);
    failed_raid1_1_1_with_a_bitmap: failed_and_taken_in(Version::V1_1, Level::Raid1, 2, true);
    failed_raid5_1_2: failed_and_taken_in(Version::V1_2, RAID5, 3, false);
    failed_raid5_1_2_with_a_bitmap: failed_and_taken_in(Version::V1_2, RAID5, 3, true);
    added_0_90: added_by_us(Version::V0Little, false);
    added_0_90_with_a_bitmap: added_by_us(Version::V0Little, true);
    added_1_0_with_a_bitmap: added_by_us(Version::V1_0, true);
    added_1_1: added_by_us(Version::V1_1, false);
    added_1_2_with_a_bitmap: added_by_us(Version::V1_2, true);
}

/// A RAID 5 with a write-back journal, copied while it was being written: acknowledged data are in the journal alone. Linux replays it when
/// it assembles; what it then serves, whole and without each member, is what we must read from the same members untouched.
#[test]
fn a_journal_that_we_replay_in_memory_gives_what_linux_serves() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = raid_testkit::fixtures::load("md-1.2-raid5-journal-wb-crash");
    for missing in [None, Some(0), Some(1), Some(2)] {
        let here = (0..fixture.members.len()).filter(|slot| Some(*slot) != missing);
        let disks: Vec<PathBuf> = here.clone().map(|slot| folder.path().join(format!("m{slot}"))).collect();
        for (slot, disk) in here.zip(&disks) {
            std::fs::write(disk, &fixture.members[slot].1).unwrap();
        }
        let array = Array::open(found(&disks), &OpenOptions::default()).unwrap();
        let replayed = |warning: &Warning| matches!(warning, Warning::JournalReplayed { stripes: 1.. });
        assert!(array.warnings().iter().any(replayed), "{:?}", array.warnings());
        let ours = content(&disks);
        let past = OpenOptions { ignore_journal: true, ..OpenOptions::default() };
        let mut bytes = vec![0; usize::try_from(array.size_bytes()).unwrap()];
        Array::open(found(&disks), &past).unwrap().read_at(0, &mut bytes).unwrap();
        let script =
            "mdadm -A --run --force /dev/md0 /dev/ubd[b-e] 2>&1; cat /proc/mdstat; echo HASH $(sha256sum </dev/md0)";
        let Some(guest) = uml::run(folder.path(), script, &disks) else { return };
        assert_eq!(said(&guest, "HASH").trim_end_matches(" -").trim(), ours, "without {missing:?}: {guest}");
        let digest = sha256(bytes);
        assert_ne!(digest, ours, "the journal made no difference");
    }
}
