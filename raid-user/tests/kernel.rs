//! A real kernel takes what we make, and we take what it wrote: each level and each version of the superblock, there and back.
//!
//! We make the members; Linux assembles them by mdadm, serves the same content, finds no stripe whose parity disagrees, writes into
//! the array, and stops it; we open the members again, healthy and degraded, and read what it wrote.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::path::PathBuf;

use raid_core::{FarSets, Level, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout, Sector, Sectors};
use raid_formats::md::Version;
use raid_formats::record::{Name, Uuid};
use raid_testkit::fixtures::sha256;
use raid_testkit::{pattern, uml};
use raid_user::array::{Array, OpenOptions};
use raid_user::discover::Found;
use raid_user::make::Plan;
use raid_user::media::{Media, MediaSpec, Options, RawFile, Writable, open};

const MEMBER_BYTES: u64 = 6 << 20;

fn fill(at: Sector) -> [u8; 512] {
    pattern::sectors(at.0 + 1, 1).try_into().unwrap()
}

/// What the guest said behind this word.
fn said<'a>(guest: &'a str, word: &str) -> &'a str {
    let line = guest.lines().find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word} in: {guest}")).split_whitespace().next().unwrap()
}

fn read(disks: &[PathBuf], lost: Option<usize>) -> Vec<u8> {
    let left = disks.iter().enumerate().filter(|(slot, _)| Some(*slot) != lost);
    let found = left.map(|(_, disk)| {
        let opened = open(&MediaSpec::path(disk), &Options::default()).unwrap();
        Found::inspect(&disk.display().to_string(), opened.media).unwrap()
    });
    let array = Array::open(found.collect(), &OpenOptions::default()).unwrap();
    let mut bytes = vec![0; usize::try_from(array.size_bytes()).unwrap()];
    array.read_at(0, &mut bytes).unwrap();
    bytes
}

fn there_and_back(version: Version, level: Level, members: u8) {
    let folder = tempfile::tempdir().unwrap();
    let chunk = if level == Level::Raid1 { Sectors(0) } else { Sectors(128) };
    let (array, name) = (Uuid(*b"made by ourselve"), Name([0; 32]));
    let plan = Plan { version, level, members, chunk, member_bytes: MEMBER_BYTES, array, name };
    let disks: Vec<PathBuf> = (0..members).map(|slot| folder.path().join(format!("disk{slot}"))).collect();
    for (slot, disk) in (0..members).zip(&disks) {
        std::fs::File::create_new(disk).unwrap().set_len(MEMBER_BYTES).unwrap();
        plan.make(slot, &RawFile::<Writable>::open_mut(disk).unwrap(), &fill).unwrap();
    }
    let made = read(&disks, None);
    let devices: String = ('b'..).zip(&disks).map(|(letter, _)| format!(" /dev/ubd{letter}")).collect();
    let script = format!(
        "mdadm --assemble /dev/md0 --run{devices} 2>&1
echo BEFORE $(sha256sum < /dev/md0)
[ -e /sys/block/md0/md/sync_action ] && {{ echo check > /sys/block/md0/md/sync_action; sleep 0.3; settle; }}
echo MISMATCHES $(cat /sys/block/md0/md/mismatch_cnt 2>/dev/null || echo 0)
dd if=$(command -v mdadm) of=/dev/md0 bs=1000 count=300 seek=777 conv=notrunc,fsync 2>/dev/null
echo AFTER $(sha256sum < /dev/md0)
mdadm --stop /dev/md0 2>&1"
    );
    let Some(guest) = uml::run(folder.path(), &script, &disks) else { return };
    assert_eq!(said(&guest, "BEFORE"), sha256(&made), "{guest}");
    assert_eq!(said(&guest, "MISMATCHES"), "0", "{guest}");
    let after = read(&disks, None);
    assert_eq!(said(&guest, "AFTER"), sha256(&after), "{guest}");
    assert!(after != made);
    if !matches!(level, Level::Linear | Level::Raid0(_)) {
        for lost in 0..disks.len() {
            assert!(read(&disks, Some(lost)) == after, "without {lost}");
        }
    }
}

const fn ten(near: u8, far: u8, offset: bool) -> Level {
    Level::Raid10(Raid10Layout { near, far, offset, sets: FarSets::All })
}

/// A test for each case, listed by name.
macro_rules! cases {
    ($($name:ident: $version:ident, $level:expr, $members:literal;)*) => {
        $(#[test] fn $name() { there_and_back(Version::$version, $level, $members); })*
    };
}

cases! {
    linear_of_version_1_2: V1_2, Level::Linear, 2;
    raid0_of_version_1_2: V1_2, Level::Raid0(Raid0Layout::Alternate), 3;
    raid1_of_version_0_90: V0Little, Level::Raid1, 2;
    raid1_of_version_1_0: V1_0, Level::Raid1, 3;
    raid4_of_version_1_1: V1_1, Level::Raid4, 4;
    raid5_of_version_0_90: V0Little, Level::Raid5(Raid5Layout::LeftSymmetric), 3;
    raid5_of_version_1_2: V1_2, Level::Raid5(Raid5Layout::RightAsymmetric), 5;
    raid6_of_version_1_0: V1_0, Level::Raid6(Raid6Layout::LeftSymmetric), 5;
    raid6_ddf_of_version_1_2: V1_2, Level::Raid6(Raid6Layout::RotatingNContinue), 6;
    raid10_near_of_version_1_1: V1_1, ten(2, 1, false), 5;
    raid10_far_of_version_1_2: V1_2, ten(1, 2, false), 4;
    raid10_offset_of_version_1_2: V1_2, ten(1, 2, true), 3;
}
