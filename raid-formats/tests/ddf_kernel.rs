//! Real `mdadm` takes what we make: each level that both know is examined, assembled and read by Linux, and its redundancy checked.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use raid_core::{Level, Raid0Layout, Raid5Layout, Raid6Layout};
use raid_formats::ddf::{
    DiskChange, Refusal, RunningState, VolumeState,
    raw::{Condition, DiskState},
    update,
};
use raid_testkit::fixtures::sha256;
use raid_testkit::{
    array,
    ddf_made::{self, Made, Shape, ten},
    uml,
};
use std::{fs, path::PathBuf};

/// The words of the guest behind `name `.
fn said<'a>(guest: &'a str, name: &str) -> &'a str {
    guest.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map_or("", str::trim)
}

/// What `mdadm --examine` calls the level.
fn name_of(level: Level) -> &'static str {
    match level {
        Level::Linear | Level::Raid0(_) => "RAID0",
        Level::Raid1 | Level::Raid10(_) => "RAID1",
        Level::Raid4 => "RAID4",
        Level::Raid5(_) => "RAID5",
        Level::Raid6(_) => "RAID6",
    }
}

fn there_and_back(level: Level, members: u16) {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(&[Shape { level, members, chunk: 128, used: 8192 }], usize::from(members), 512);
    let disks: Vec<PathBuf> = (0..made.disks.len()).map(|disk| folder.path().join(format!("disk{disk}"))).collect();
    for (path, bytes) in disks.iter().zip(&made.disks) {
        fs::write(path, bytes).unwrap();
    }
    let devices: String = ('b'..).zip(&disks).map(|(letter, _)| format!(" /dev/ubd{letter}")).collect();
    let script = format!(
        "export MDADM_NO_SYSTEMCTL=1 MDADM_NO_MDMON=1
mdadm --examine /dev/ubdb 2>&1
mdadm --assemble /dev/md127 -e ddf{devices} 2>&1
mdadm --incremental /dev/md127 2>&1
cat /proc/mdstat
for md in $(sed -n 's/^\\(md[0-9]*\\) : active.*/\\1/p' /proc/mdstat); do
  [ $md = md127 ] && continue
  echo NAME $md
  echo LEVEL $(cat /sys/block/$md/md/level) $(cat /sys/block/$md/md/layout)
  echo DEGRADED $(cat /sys/block/$md/md/degraded 2>/dev/null || echo 0)
  echo CONTENT $(sha256sum < /dev/$md)
done
mdadm --stop --scan 2>&1"
    );
    let Some(guest) = uml::run(folder.path(), &script, &disks) else { return };
    let level_line = guest.lines().find(|line| line.trim_start().starts_with("Raid Level[0]")).unwrap_or_default();
    assert!(level_line.ends_with(name_of(level)), "{guest}");
    assert!(guest.contains("Optimal, Consistent"), "{guest}");
    assert_eq!(said(&guest, "DEGRADED"), "0", "{guest}");
    assert_eq!(said(&guest, "CONTENT").split(' ').next().unwrap(), sha256(&made.contents[0]), "{guest}");
    // What mdadm may have written at the stop reads for us as before.
    let after: Vec<Vec<u8>> = disks.iter().map(|path| fs::read(path).unwrap()).collect();
    let content = ddf_made::with_volumes(&after, 0, |claims| array::read(claims)).unwrap();
    assert!(content == made.contents[0]);
}

/// A test for each case, listed by name.
macro_rules! cases {
    ($($name:ident: $level:expr, $members:literal;)*) => {
        $(#[test] fn $name() { there_and_back($level, $members); })*
    };
}

// Not linear: mdadm 4.2 does not start even the linear volume that it made itself.
cases! {
    raid0: Level::Raid0(Raid0Layout::Alternate), 3;
    raid1: Level::Raid1, 2;
    raid1_of_three: Level::Raid1, 3;
    raid4: Level::Raid4, 4;
    raid5_left_symmetric: Level::Raid5(Raid5Layout::LeftSymmetric), 3;
    raid5_left_asymmetric: Level::Raid5(Raid5Layout::LeftAsymmetric), 5;
    raid5_right_asymmetric: Level::Raid5(Raid5Layout::RightAsymmetric), 4;
    raid6_zero_restart: Level::Raid6(Raid6Layout::RotatingZeroRestart), 5;
    raid6_n_restart: Level::Raid6(Raid6Layout::RotatingNRestart), 4;
    raid6_n_continue: Level::Raid6(Raid6Layout::RotatingNContinue), 6;
    raid10: ten(2), 6;
}

/// `mdadm` reads what `update` wrote: a failed member, a degraded volume, and the content without that member.
#[test]
fn a_volume_that_we_degraded_is_degraded_for_mdadm() {
    let folder = tempfile::tempdir().unwrap();
    let level = Level::Raid5(Raid5Layout::LeftSymmetric);
    let mut made = Made::new(&[Shape { level, members: 3, chunk: 128, used: 8192 }], 3, 512);
    let state = RunningState {
        sequence: 2,
        updated_s: 1_800_000_001,
        volumes: &[VolumeState {
            guid: ddf_made::guid(b'v', 0),
            condition: Condition::Degraded,
            consistent: true,
            init: None,
        }],
        disks: &[DiskChange { reference: ddf_made::reference(1), state: DiskState::ONLINE | DiskState::FAILED }],
        ..RunningState::default()
    };
    for own in [0, 2] {
        let before = made.disks[own].clone();
        let mut buf = Vec::new();
        let metadata = ddf_made::read(&before, &mut buf);
        let mut next = vec![0; metadata.emit().len()];
        let disk = &mut made.disks[own];
        let updated = update::<Refusal>(&metadata, &mut next, &state, |write| {
            let at = usize::try_from(write.at.0 * 512).unwrap();
            disk[at..at + write.bytes.len()].copy_from_slice(write.bytes);
            Ok(())
        });
        assert!(updated.is_ok());
    }
    let disks: Vec<PathBuf> = (0..3).map(|disk| folder.path().join(format!("disk{disk}"))).collect();
    for (path, bytes) in disks.iter().zip(&made.disks) {
        fs::write(path, bytes).unwrap();
    }
    let script = "export MDADM_NO_SYSTEMCTL=1 MDADM_NO_MDMON=1
mdadm --examine /dev/ubdb 2>&1
mdadm --assemble /dev/md127 -e ddf /dev/ubdb /dev/ubdc /dev/ubdd 2>&1
mdadm --incremental /dev/md127 --run 2>&1
cat /proc/mdstat
echo DEGRADED $(cat /sys/block/md126/md/degraded)
echo CONTENT $(sha256sum < /dev/md126)
mdadm --stop --scan 2>&1";
    let Some(guest) = uml::run(folder.path(), script, &disks) else { return };
    assert!(guest.contains("Degraded, Consistent"), "{guest}");
    let failed = guest.lines().find(|line| line.contains("a0000002")).unwrap_or_default();
    assert!(failed.contains("Failed"), "{guest}");
    assert_eq!(said(&guest, "DEGRADED"), "1", "{guest}");
    assert_eq!(said(&guest, "CONTENT").split(' ').next().unwrap(), sha256(&made.contents[0]), "{guest}");
}
