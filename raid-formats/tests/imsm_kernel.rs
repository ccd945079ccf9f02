//! Real `mdadm` takes what we make and what we change, and we take what it makes and rebuilds: IMSM with Linux under it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use raid_core::{Level, Sectors};
use raid_formats::{
    assemble::{Claimant, Verdict},
    imsm::{Change, RunningState},
    record::Sync,
};
use raid_testkit::fixtures::sha256;
use raid_testkit::{
    array,
    imsm_made::{FIVE, Made, Shape, TEN, ZERO, apply, disk, with_volumes},
    uml,
};
use std::{fs, path::PathBuf};

/// Serial numbers are names of devices, and no firmware is asked what it allows.
const PRELUDE: &str = "export MDADM_NO_SYSTEMCTL=1 IMSM_NO_PLATFORM=1 IMSM_DEVNAME_AS_SERIAL=1
volumes() { sed -n 's/^\\(md[0-9]*\\) : active.*/\\1/p' /proc/mdstat | sort -r; }
check() { [ -e /sys/block/$1/md/sync_action ] || { echo 0; return; }
  echo check > /sys/block/$1/md/sync_action; sleep 0.3; settle; cat /sys/block/$1/md/mismatch_cnt; }
finish() { mdadm --wait-clean --scan; sync; mdadm --stop --scan 2>&1; mdadm --stop --scan 2>&1; }
";

const RAID5: Shape = Shape { level: FIVE, chunk: 128, used: 8192, logged: false };

/// What the guest said behind `word`, line by line.
fn said<'a>(guest: &'a str, word: &str) -> Vec<&'a str> {
    let behind = |line: &'a str| line.strip_prefix(word)?.strip_prefix(' ');
    guest.lines().filter_map(behind).map(|rest| rest.split_whitespace().next().unwrap_or_default()).collect()
}

struct Guest {
    folder: tempfile::TempDir,
    paths: Vec<PathBuf>,
}

impl Guest {
    fn new(disks: &[Vec<u8>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |(number, bytes): (usize, &Vec<u8>)| {
            let path = folder.path().join(format!("disk{number}"));
            fs::write(&path, bytes).unwrap();
            path
        };
        let paths = disks.iter().enumerate().map(write).collect();
        Self { folder, paths }
    }

    /// Runs a script; disks that are given are the guest's in their order, so that their names stay.
    fn run(&self, script: &str) -> Option<String> {
        uml::run(self.folder.path(), &format!("{PRELUDE}{script}\nfinish"), &self.paths)
    }

    fn disks(&self) -> Vec<Vec<u8>> {
        self.paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }
}

/// Assembles the container of those disks, starts its volumes, and tells of each level, state and content, before and after a write.
fn assemble(disks: &[usize], write: bool) -> String {
    let devices: String =
        disks.iter().map(|disk| format!(" /dev/ubd{}", char::from(b'b' + u8::try_from(*disk).unwrap()))).collect();
    let written = if write {
        "dd if=$(command -v mdadm) of=/dev/$md bs=1000 count=300 seek=777 conv=notrunc,fsync 2>/dev/null
  echo AFTER $(sha256sum < /dev/$md)"
    } else {
        ":"
    };
    format!(
        "mdadm --examine{devices} 2>&1
mdadm --assemble /dev/md127 -e imsm{devices} 2>&1
mdadm --incremental /dev/md127 2>&1
cat /proc/mdstat
for md in $(volumes); do
  echo LEVEL $(cat /sys/block/$md/md/level)
  echo DEGRADED $(cat /sys/block/$md/md/degraded 2>/dev/null || echo 0)
  echo UUID $(mdadm --detail --export /dev/$md | sed -n 's/^MD_UUID=//p')
  echo CONTENT $(sha256sum < /dev/$md)
  echo MISMATCHES $(check $md)
  {written}
done"
    )
}

fn there_and_back(shapes: &[Shape], disks: usize) {
    let made = Made::new(shapes, disks, 512);
    let guest = Guest::new(&made.disks);
    let all: Vec<usize> = (0..disks).collect();
    let Some(text) = guest.run(&assemble(&all, true)) else { return };
    let contents: Vec<String> = made.contents.iter().map(sha256).collect();
    let uuids: Vec<String> = (0..)
        .take(shapes.len())
        .map(|number| with_volumes(&made.disks, &[], number, |claims| claims[0].0.record().array.to_string()))
        .collect();
    // The volumes' names do not tell their order: by their identity.
    for (content, uuid) in contents.iter().zip(&uuids) {
        let at =
            said(&text, "UUID").iter().position(|said| said == uuid).unwrap_or_else(|| panic!("no {uuid}: {text}"));
        assert_eq!(said(&text, "CONTENT")[at], content, "{text}");
        assert_eq!(said(&text, "DEGRADED")[at], "0", "{text}");
        assert_eq!(said(&text, "MISMATCHES")[at], "0", "{text}");
    }
    let after = guest.disks();
    for ((number, shape), uuid) in (0..).zip(shapes).zip(&uuids) {
        let at = said(&text, "UUID").iter().position(|said| said == uuid).unwrap();
        let expected = said(&text, "AFTER")[at];
        assert_ne!(expected, contents[usize::from(number)]);
        for lost in std::iter::once(None).chain((0..disks).map(Some)) {
            let lost: Vec<usize> = lost.into_iter().collect();
            with_volumes(&after, &lost, number, |claims| {
                assert_eq!(claims[0].0.record().sync, Sync::Clean, "{text}");
                match array::read(claims) {
                    Ok(bytes) => assert_eq!(sha256(&bytes), expected, "without {lost:?}: {text}"),
                    Err(_) => assert!(shape.level == ZERO && !lost.is_empty(), "without {lost:?}: {text}"),
                }
            });
        }
    }
}

#[test]
fn raid0() {
    there_and_back(&[Shape { level: ZERO, ..RAID5 }], 3);
}

#[test]
fn raid1() {
    there_and_back(&[Shape { level: Level::Raid1, ..RAID5 }], 2);
}

#[test]
fn raid5() {
    there_and_back(&[RAID5], 4);
}

#[test]
fn raid5_with_partial_parity_logs() {
    there_and_back(&[Shape { logged: true, ..RAID5 }], 3);
}

#[test]
fn raid10() {
    there_and_back(&[Shape { level: TEN, ..RAID5 }], 4);
}

#[test]
fn two_volumes_in_one_container() {
    there_and_back(&[RAID5, Shape { level: ZERO, used: 4096, ..RAID5 }], 3);
}

/// What `update` wrote is what `mdadm` believes: a volume without its failed disk, and later with the one that took over.
#[test]
fn a_volume_that_we_degraded_and_rebuilt_is_that_for_linux() {
    let mut made = Made::new(&[RAID5], 3, 512);
    made.disks.push(vec![0; made.disks[0].len()]);
    for own in [0, 2] {
        apply(
            &mut made.disks[own],
            &RunningState { generation: 2, changes: &[Change::Failed { disk: 1, gone: true }] },
        );
    }
    let degraded = Guest::new(&made.disks);
    let Some(text) = degraded.run(&assemble(&[0, 2], false)) else { return };
    assert_eq!(said(&text, "DEGRADED"), ["1"], "{text}");
    assert_eq!(said(&text, "CONTENT"), [sha256(&made.contents[0])], "{text}");

    let tail = made.disks[0].len() - 8192;
    let record = made.disks[0][tail..].to_vec();
    made.disks[3][tail..].copy_from_slice(&record);
    // Rebuilt by hand: the data of the disk that was lost.
    let data = made.disks[1][..8192 * 512].to_vec();
    made.disks[3][..data.len()].copy_from_slice(&data);
    let begun = [Change::Joined { disk: disk(3) }, Change::Rebuild { volume: 0, slot: 1, disk: 3 }];
    for own in [0, 2, 3] {
        apply(&mut made.disks[own], &RunningState { generation: 3, changes: &begun });
        apply(&mut made.disks[own], &RunningState { generation: 4, changes: &[Change::Rebuilt { volume: 0 }] });
    }
    let rebuilt = Guest::new(&made.disks);
    let text = rebuilt.run(&assemble(&[0, 2, 3], false)).unwrap();
    assert_eq!((said(&text, "DEGRADED"), said(&text, "MISMATCHES")), (vec!["0"], vec!["0"]), "{text}");
    assert_eq!(said(&text, "CONTENT"), [sha256(&made.contents[0])], "{text}");
}

/// The reverse: Linux makes a volume, loses a disk, and rebuilds onto a spare; we read it in between and after.
#[test]
fn a_volume_that_linux_degraded_and_rebuilt_is_that_for_us() {
    let blank = vec![vec![0; raid_testkit::imsm_made::DISK_BYTES]; 4];
    let guest = Guest::new(&blank);
    let make = "mdadm --create /dev/md127 --run --metadata=imsm --raid-devices=3 /dev/ubdb /dev/ubdc /dev/ubdd 2>&1
mdadm --create /dev/md0 --run --level=5 --raid-devices=3 --chunk=64 --size=8192 /dev/md127 2>&1
settle
dd if=/bin/bash of=/dev/md0 bs=64k count=16 conv=fsync 2>/dev/null
mdadm --fail /dev/md0 /dev/ubdc 2>&1
sleep 2
dd if=/bin/bash of=/dev/md0 bs=1000 seek=2000 count=300 conv=notrunc,fsync 2>/dev/null
echo CONTENT $(sha256sum < /dev/md0)
cat /proc/mdstat";
    let Some(text) = guest.run(make) else { return };
    let disks = guest.disks();
    with_volumes(&disks, &[3], 0, |claims| {
        let (_, assembly, verdicts) = array::geometry(claims).unwrap();
        assert_eq!(assembly.sync, Sync::Clean, "{text}");
        // Either its record fell behind, or the others say that it left.
        assert!(matches!(verdicts[1], Verdict::ThrownOut { slot: 1 } | Verdict::Stale { slot: 1, .. }), "{verdicts:?}");
        assert_eq!(said(&text, "CONTENT"), [sha256(array::read(claims).unwrap())], "{text}");
    });
    let rebuild = "mdadm --assemble /dev/md127 -e imsm /dev/ubdb /dev/ubdd 2>&1
mdadm --incremental /dev/md127 2>&1
mdadm --add /dev/md127 /dev/ubde 2>&1
md=$(volumes)
for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1; settle; [ \"$(cat /sys/block/$md/md/degraded)\" = 0 ] && break; done
echo DEGRADED $(cat /sys/block/$md/md/degraded)
echo MISMATCHES $(check $md)
cat /proc/mdstat
echo CONTENT $(sha256sum < /dev/$md)";
    let again = guest.run(rebuild).unwrap();
    assert_eq!(said(&again, "DEGRADED"), ["0"], "{again}");
    assert_eq!((said(&again, "MISMATCHES"), said(&again, "CONTENT")), (vec!["0"], said(&text, "CONTENT")), "{again}");
    let disks = guest.disks();
    for lost in [vec![1], vec![1, 0], vec![1, 2], vec![1, 3]] {
        with_volumes(&disks, &lost, 0, |claims| {
            let record = claims[0].0.record();
            assert_eq!((record.sync, record.sync_mark), (Sync::Clean, None::<Sectors>), "{again}");
            assert_eq!(said(&again, "CONTENT"), [sha256(array::read(claims).unwrap())], "without {lost:?}: {again}");
        });
    }
}
