//! DDF disks that hold parts of two volumes: each is a member of both, and either opens by its identity, whole and degraded.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::sync::Arc;

use raid_core::{Level, Raid5Layout};
use raid_testkit::ddf_made::{Made, Shape};
use raid_user::array::{Array, OpenOptions};
use raid_user::discover::{Found, group};
use raid_user::media::{Media, MemMedia};

fn groups(disks: &[Vec<u8>], lost: Option<usize>) -> Vec<Vec<Found>> {
    let left = disks.iter().enumerate().filter(|(disk, _)| Some(*disk) != lost);
    let found = left.flat_map(|(disk, bytes)| {
        let name = format!("disk {disk}");
        Found::inspect(&name, Arc::new(MemMedia::new(&name, bytes.clone()))).unwrap().volumes()
    });
    group(found.collect())
}

#[test]
fn a_disk_of_two_volumes_is_a_member_of_both() {
    let five = Shape { level: Level::Raid5(Raid5Layout::LeftSymmetric), members: 3, chunk: 64, used: 1024 };
    let one = Shape { level: Level::Raid1, members: 2, chunk: 64, used: 512 };
    let made = Made::new(&[five, one], 3, 512);
    for lost in [None, Some(0), Some(1), Some(2)] {
        let groups = groups(&made.disks, lost);
        assert_eq!(groups.len(), 2, "without {lost:?}");
        for found in groups {
            let array = Array::open(found, &OpenOptions::default()).unwrap();
            let mut bytes = vec![0; usize::try_from(array.size_bytes()).unwrap()];
            array.read_at(0, &mut bytes).unwrap();
            assert!(made.contents.contains(&bytes), "without {lost:?}: {}", array.describe());
        }
    }
}
