//! Records made and changed by us: what is written in which order, what a cut leaves, and what the next start is told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use raid_core::{Level, Sector, Sectors};
use raid_formats::{
    assemble::{Claimant, Verdict},
    imsm::{
        self, Change, CreateParams, NewDisk, Refusal, RunningState, VolumeParams, create,
        raw::{Attributes, MapState, MigrationKind, WriteHole},
    },
    record::{Role, Sync},
};
use raid_testkit::{
    array, fixtures,
    imsm_made::{FIVE, Made, Shape, TEN, ZERO, apply, disk, read, serial, steps, with_volumes},
};

const RAID5: Shape = Shape { level: FIVE, chunk: 128, used: 8192, logged: false };
const MIRROR: Shape = Shape { level: Level::Raid1, chunk: 128, used: 4096, logged: false };

fn state(generation: u32, changes: &[Change]) -> RunningState<'_> {
    RunningState { generation, changes }
}

#[test]
fn what_is_made_reads_back_whole_and_without_each_disk_that_it_can_spare() {
    let cases = [
        (vec![Shape { level: ZERO, ..RAID5 }], 3),
        (vec![MIRROR], 2),
        (vec![RAID5], 3),
        (vec![Shape { logged: true, ..RAID5 }], 5),
        (vec![Shape { level: TEN, ..RAID5 }], 4),
        (vec![Shape { level: TEN, ..RAID5 }], 6),
        (vec![RAID5, Shape { level: ZERO, ..MIRROR }], 4),
        (vec![MIRROR, Shape { level: ZERO, ..MIRROR }], 2),
    ];
    for ((shapes, disks), block_bytes) in cases.iter().flat_map(|case| [512, 4096].map(|bytes| (case, bytes))) {
        let made = Made::new(shapes, *disks, block_bytes);
        for (number, shape) in (0..).zip(shapes) {
            let what = format!("{:?} of {disks}, blocks of {block_bytes}", shape.level);
            let content = &made.contents[usize::from(number)];
            with_volumes(&made.disks, &[], number, |claims| {
                assert!(array::read(claims).unwrap() == *content, "{what}");
                assert_eq!(claims[0].0.record().sync, Sync::Clean);
            });
            for lost in 0..*disks {
                with_volumes(&made.disks, &[lost], number, |claims| {
                    let read = array::read(claims);
                    assert_eq!(read.is_ok(), shape.level != ZERO, "{what} without {lost}");
                    assert!(read.is_err() || read.unwrap() == *content, "{what} without {lost}");
                });
            }
        }
    }
}

#[test]
fn a_change_within_the_anchor_is_one_write() {
    // Of three disks, the volume's state lies in the anchor's block; the order of its disks does not.
    let made = Made::new(&[RAID5], 3, 512);
    let dirty = [Change::Dirty { volume: 0, dirty: true }];
    let steps = steps(&made.disks[0], &state(2, &dirty)).unwrap();
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].0, Sector(32768 - 2));
}

/// The changes of a whole story, each from what the one before left: dirty, a disk fails, another joins and is rebuilt, clean.
fn story() -> Vec<Vec<Change>> {
    vec![
        vec![Change::Dirty { volume: 0, dirty: true }],
        vec![Change::Failed { disk: 1, gone: false }],
        vec![Change::Joined { disk: disk(3) }, Change::Rebuild { volume: 0, slot: 1, disk: 3 }],
        vec![Change::Mark { volume: 0, at: Sectors(1000) }],
        vec![Change::Rebuilt { volume: 0 }],
        vec![Change::Dirty { volume: 0, dirty: false }],
    ]
}

#[test]
fn a_cut_at_any_write_leaves_the_old_or_the_new_record_or_one_that_says_it_is_torn() {
    let made = Made::new(&[RAID5], 3, 512);
    let mut image = made.disks[0].clone();
    let mut torn = 0;
    for (generation, changes) in (2..).zip(story()) {
        let steps = steps(&image, &state(generation, &changes)).unwrap();
        assert!(steps.last().unwrap().0 == Sector(32768 - 2), "the anchor comes last");
        assert!(steps.iter().rev().nth(1).is_none_or(|(_, _, flush)| *flush), "what is before it is durable");
        let mut buf = Vec::new();
        let old = read(&image, &mut buf).emit().to_vec();
        for cut in 0..=steps.len() {
            let mut left = image.clone();
            for (at, bytes, _) in &steps[..cut] {
                let at = usize::try_from(at.0 * 512).unwrap();
                left[at..at + bytes.len()].copy_from_slice(bytes);
            }
            let source = raid_testkit::image::Image(&left);
            let place = imsm::probe(&source).unwrap();
            let mut buf = vec![0; place.len_bytes];
            match imsm::read(&source, &place, &mut buf) {
                Ok(metadata) => {
                    let found = metadata.header().generation_num.get();
                    assert_eq!(found, if cut == steps.len() { generation } else { generation - 1 });
                    assert!(cut == steps.len() || metadata.emit() == old, "cut at {cut} of {changes:?}");
                }
                Err(fault) => {
                    assert!(fault.to_string().contains("bad checksum"), "{fault}");
                    assert!(cut > 0 && cut < steps.len());
                    torn += 1;
                }
            }
        }
        apply(&mut image, &state(generation, &changes));
    }
    // Four of the changes reach the order of the disks or move the second map.
    assert!((1..=40).contains(&torn), "{torn}");
}

#[test]
fn a_disk_that_failed_is_thrown_out_when_it_comes_back() {
    let mut made = Made::new(&[RAID5], 3, 512);
    let failed = [Change::Failed { disk: 1, gone: true }];
    for own in [0, 2] {
        apply(&mut made.disks[own], &state(2, &failed));
    }
    with_volumes(&made.disks, &[], 0, |claims| {
        let (_, assembly, verdicts) = array::geometry(claims).unwrap();
        assert_eq!(assembly.sync, Sync::Clean);
        assert_eq!(verdicts[1], Verdict::ThrownOut { slot: 1 });
        let map = claims[0].0.raw().map;
        assert_eq!((map.head.map_state, map.head.failed_disk_num), (MapState::Degraded as u8, 1));
        assert_eq!(map.member(1), Some((1, true)));
        let lost = claims[0].0.metadata().disk(1).unwrap();
        // `/dev/ubdc`, marked as failed, and less its first character as `mdadm` does for one that is gone.
        assert_eq!(&lost.serial[..11], b"dev/ubdc:0\0");
        assert_eq!(lost.scsi_id.get(), u32::MAX);
        assert!(array::read(claims).unwrap() == made.contents[0]);
    });
}

#[test]
fn a_long_serial_number_keeps_its_end_when_it_is_marked() {
    let mut made = Made::new(&[MIRROR], 2, 512);
    let end = made.disks[0].len();
    let mut buf = Vec::new();
    let mut record = read(&made.disks[0], &mut buf).emit().to_vec();
    record[264..280].copy_from_slice(b"0123456789abcdef");
    let len = usize::try_from(u32::from_le_bytes(record[36..40].try_into().unwrap())).unwrap();
    let sum = imsm::checksum(&record[..len]);
    record[32..36].copy_from_slice(&sum.to_le_bytes());
    made.disks[0][end - 1024..end - 512].copy_from_slice(&record[..512]);
    apply(&mut made.disks[0], &state(2, &[Change::Failed { disk: 1, gone: false }]));
    let mut buf = Vec::new();
    assert_eq!(&read(&made.disks[0], &mut buf).disk(1).unwrap().serial, b"3456789abcdef:0\0");
}

#[test]
fn a_disk_that_takes_over_is_trusted_up_to_its_mark_and_then_wholly() {
    let mut made = Made::new(&[RAID5], 3, 512);
    made.disks.push(vec![0; made.disks[0].len()]);
    for (generation, changes) in (2..).zip(story()) {
        if generation == 4 {
            // The new disk gets the record that the others have.
            let tail = made.disks[0].len() - 8192;
            let record = made.disks[0][tail..].to_vec();
            made.disks[3][tail..].copy_from_slice(&record);
        }
        for own in [0, 2, 3] {
            if own != 3 || generation >= 4 {
                apply(&mut made.disks[own], &state(generation, &changes));
            }
        }
        let lost: &[usize] = if generation < 4 { &[1, 3] } else { &[1] };
        with_volumes(&made.disks, lost, 0, |claims| {
            let (_, _, verdicts) = array::geometry(claims).unwrap();
            let new = verdicts.get(2).copied();
            let current = |mark| Some(Verdict::Current { slot: 1, mark, forced: false });
            match generation {
                4 => assert_eq!(new, current(Some(Sectors(0)))),
                // Units of a rebuild are 128 sectors.
                5 => assert_eq!(new, current(Some(Sectors(896)))),
                6.. => assert_eq!(new, current(None)),
                _ => assert_eq!(new, None),
            }
        });
    }
    let mut buf = Vec::new();
    let metadata = read(&made.disks[3], &mut buf);
    let raw = metadata.volumes().next().unwrap();
    assert!(raw.old_map.is_none());
    assert_eq!((raw.map.head.map_state, raw.map.head.failed_disk_num, raw.migration.dirty), (0, 255, 0));
    assert_eq!(metadata.disks().len(), 4);
    let volume = metadata.volume(0, metadata.index_of(&imsm::serial(&serial(3)))).unwrap();
    assert_eq!(volume.record().role, Role::Slot(1));
}

#[test]
fn a_rebuild_whose_disk_fails_ends_and_the_volume_is_degraded_again() {
    let mut made = Made::new(&[RAID5, MIRROR_OF_ALL], 4, 512);
    let rebuild = [
        Change::Failed { disk: 1, gone: true },
        Change::Joined { disk: disk(4) },
        Change::Rebuild { volume: 0, slot: 1, disk: 4 },
    ];
    apply(&mut made.disks[0], &state(2, &rebuild));
    apply(&mut made.disks[0], &state(3, &[Change::Failed { disk: 4, gone: false }]));
    let mut buf = Vec::new();
    let metadata = read(&made.disks[0], &mut buf);
    let volume = metadata.volumes().next().unwrap();
    assert!(volume.old_map.is_none());
    assert_eq!((volume.map.head.map_state, volume.map.head.failed_disk_num), (MapState::Degraded as u8, 1));
    assert_eq!(volume.map.member(1), Some((4, true)));
    // The other volume of the container lost the same disk.
    let other = metadata.volumes().nth(1).unwrap();
    assert_eq!((other.map.head.map_state, other.map.member(1)), (MapState::Degraded as u8, Some((1, true))));
}

/// RAID 10 over all disks, behind another volume.
const MIRROR_OF_ALL: Shape = Shape { level: TEN, chunk: 128, used: 4096, logged: false };

#[test]
fn a_raid_10_is_degraded_by_one_disk_of_a_pair_and_fails_by_both() {
    let made = Made::new(&[Shape { level: TEN, ..RAID5 }], 6, 512);
    let map_state = |lost: &[u8]| {
        let mut image = made.disks[0].clone();
        let changes: Vec<Change> = lost.iter().map(|disk| Change::Failed { disk: *disk, gone: true }).collect();
        apply(&mut image, &state(2, &changes));
        let mut buf = Vec::new();
        read(&image, &mut buf).volumes().next().unwrap().map.head.map_state
    };
    assert_eq!(map_state(&[1]), MapState::Degraded as u8);
    assert_eq!(map_state(&[1, 2, 5]), MapState::Degraded as u8);
    assert_eq!(map_state(&[2, 3]), MapState::Failed as u8);
}

/// A RAID 10 of more than four disks had the attribute that newer writers set for it. `mdadm` 4.2 does not know it and starts no volume of
/// such a record ("Unsupported attributes : 80"), as six disks in a guest showed; its own record of six does without.
#[test]
fn a_raid_10_of_six_disks_asks_for_nothing_that_mdadm_does_not_know() {
    let made = Made::new(&[Shape { level: TEN, ..RAID5 }], 6, 512);
    let mut buf = Vec::new();
    let attributes = read(&made.disks[0], &mut buf).header().flags();
    assert!(attributes.contains(Attributes::RAID10) && !attributes.contains(Attributes::RAID10_EXTENDED));
}

#[test]
fn dirty_and_resync_are_told_to_the_next_start() {
    let mut made = Made::new(&[RAID5, Shape { used: 4096, ..RAID5 }], 3, 512);
    let kinds = [MigrationKind::Initialise, MigrationKind::Repair, MigrationKind::Verify];
    let sync = |made: &Made, number| with_volumes(&made.disks, &[], number, |claims| claims[0].0.record().sync);
    let mut generation = 1;
    let mut change = |made: &mut Made, changes: &[Change]| {
        generation += 1;
        for disk in &mut made.disks {
            apply(disk, &state(generation, changes));
        }
    };
    change(&mut made, &[Change::Dirty { volume: 1, dirty: true }]);
    assert_eq!((sync(&made, 0), sync(&made, 1)), (Sync::Clean, Sync::DirtyFrom(Sector(0))));
    change(&mut made, &[Change::Dirty { volume: 1, dirty: false }]);
    assert_eq!(sync(&made, 1), Sync::Clean);
    for kind in kinds {
        let before = {
            let mut buf = Vec::new();
            read(&made.disks[0], &mut buf).record().to_vec()
        };
        change(&mut made, &[Change::Resync { volume: 0, kind }]);
        let doubted = kind != MigrationKind::Verify;
        assert_eq!(sync(&made, 0) != Sync::Clean, doubted, "{kind:?}");
        assert_eq!(sync(&made, 1), Sync::Clean, "the volume behind the second map");
        change(&mut made, &[Change::InSync { volume: 0 }]);
        assert_eq!(sync(&made, 0), Sync::Clean);
        let mut buf = Vec::new();
        let after = read(&made.disks[0], &mut buf).record().to_vec();
        // But for number and sum, all is as it was.
        assert_eq!((&before[48..], before.len()), (&after[48..], after.len()), "{kind:?}");
    }
}

/// Names of the fields in which two records of the same length differ.
fn changed_fields(before: &[u8], after: &[u8]) -> BTreeSet<&'static str> {
    let fields = |bytes: &[u8]| {
        let mut fields = Vec::new();
        imsm::dump::record(bytes, |field| {
            let at = field.offset as usize;
            fields.push((field.name, bytes[at..at + field.len as usize].to_vec()));
        })
        .unwrap();
        fields
    };
    let (before, after) = (fields(before), fields(after));
    assert_eq!(before.len(), after.len());
    before.into_iter().zip(after).filter(|(one, other)| one != other).map(|((name, _), _)| name).collect()
}

/// Records of Linux, with every reserved byte set, updated: only what is meant changes.
#[test]
fn real_records_take_an_update_and_keep_every_other_byte() {
    for name in fixtures::list().into_iter().filter(|name| name.starts_with("imsm-")) {
        for (file, mut image) in fixtures::load(&name).members {
            let mut buf = Vec::new();
            let metadata = read(&image, &mut buf);
            let (place, len) = (*metadata.place(), metadata.record().len());
            let mut bytes = metadata.emit().to_vec();
            let mut runs = Vec::new();
            imsm::dump::record(&bytes, |field| {
                let reserved = [
                    "fill",
                    "owner",
                    "scsi",
                    "cache",
                    "cng",
                    "tid",
                    "priority",
                    "nv",
                    "checkpoint",
                    "fs_state",
                    "behind",
                ];
                if reserved.iter().any(|word| field.name.contains(word)) {
                    runs.push((field.offset as usize, field.len as usize));
                }
            })
            .unwrap();
            assert!(runs.len() > 12);
            runs.into_iter().for_each(|(at, len)| bytes[at..at + len].fill(0xA7));
            let sum = imsm::checksum(&bytes[..len]);
            bytes[32..36].copy_from_slice(&sum.to_le_bytes());
            for (number, block) in (0..).zip(bytes.chunks(512)) {
                let at = usize::try_from(place.at(number).0 * 512).unwrap();
                image[at..at + 512].copy_from_slice(block);
            }
            let was_dirty = metadata.volume(0, None).unwrap().record().sync != Sync::Clean;
            let generation = metadata.header().generation_num.get() + 1;
            apply(&mut image, &state(generation, &[Change::Dirty { volume: 0, dirty: !was_dirty }]));
            let mut buf = Vec::new();
            let after = read(&image, &mut buf);
            let expected = ["check_sum", "generation_num", "volume.dirty"];
            assert_eq!(changed_fields(&bytes, after.emit()), BTreeSet::from(expected), "{name}/{file}");
        }
    }
}

#[test]
fn what_cannot_be_said_is_refused_before_anything_is_written() {
    let made = Made::new(&[RAID5], 3, 512);
    let cases: [&[Change]; 7] = [
        &[Change::Dirty { volume: 1, dirty: true }],
        &[Change::Failed { disk: 3, gone: true }],
        &[Change::Rebuild { volume: 0, slot: 3, disk: 0 }],
        &[Change::Rebuild { volume: 0, slot: 0, disk: 3 }],
        &[Change::Mark { volume: 0, at: Sectors(0) }],
        &[Change::Rebuilt { volume: 0 }],
        &[Change::Resync { volume: 0, kind: MigrationKind::General }],
    ];
    for changes in cases {
        assert!(!steps(&made.disks[0], &state(2, changes)).unwrap_err().to_string().is_empty(), "{changes:?}");
    }
    assert!(steps(&made.disks[0], &state(1, &[])).unwrap_err().to_string().contains("generation_num"));
}

#[test]
fn volumes_that_cannot_be_are_not_made() {
    let disks: Vec<NewDisk> = (0..3).map(disk).collect();
    let volume = VolumeParams {
        name: [0; 16],
        level: FIVE,
        chunk: Sectors(128),
        used: Sectors(8192),
        start: Sector(0),
        members: &[0, 1, 2],
        write_hole: WriteHole::MultipleOff,
        consistent: true,
    };
    let make = |volumes: &[VolumeParams]| {
        let params = CreateParams { block_bytes: 512, family: 7, disks: &disks, volumes, created_s: 0 };
        create::<Refusal>(&params, 0, &mut vec![0; 65536], |_| Ok(()))
    };
    assert_eq!(make(&[volume]), Ok(()));
    let behind = VolumeParams { start: Sector(8192 + 2048), used: Sectors(4096), ..volume };
    assert_eq!(make(&[volume, behind]), Ok(()));
    let wrong: [&[VolumeParams]; 9] = [
        &[],
        &[volume, VolumeParams { start: Sector(8192), used: Sectors(4096), ..volume }],
        &[VolumeParams { used: Sectors(8193), ..volume }],
        &[VolumeParams { chunk: Sectors(96), used: Sectors(9600), ..volume }],
        &[VolumeParams { used: Sectors(32768), ..volume }],
        &[VolumeParams { members: &[0, 1, 3], ..volume }],
        &[VolumeParams { members: &[0, 1], ..volume }],
        &[VolumeParams { level: Level::Raid1, ..volume }],
        &[VolumeParams { level: Level::Linear, ..volume }],
    ];
    for volumes in wrong {
        assert!(make(volumes).is_err(), "{volumes:?}");
    }
}
