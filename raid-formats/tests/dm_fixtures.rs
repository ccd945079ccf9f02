//! What real device-mapper targets wrote: dm-raid's superblocks, dm-mirror's log, dm-snapshot's store.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use raid_core::{Columns, Extent, Level, Member, Sector, Sectors};
use raid_formats::{
    assemble::{Claimant, Force, Verdict, judge},
    dm::{self, CreateParams, MirrorLog, RaidState, Store, StoreState, Superblock, mirror, snapshot},
    md::{self, Refusal},
    record::{Role, Sync},
};
use raid_testkit::{
    fixtures::{self, Fixture},
    image::Image,
};

const META_BYTES: usize = 1 << 20;

fn sets() -> Vec<Fixture> {
    let names = fixtures::list().into_iter().filter(|name| name.starts_with("dmraid-"));
    let all: Vec<Fixture> = names.map(|name| fixtures::load(&name)).collect();
    assert!(all.len() >= 12, "only {} cases were seen", all.len());
    all
}

fn data(image: &[u8]) -> Sectors {
    Sectors((image.len() - META_BYTES) as u64 / 512)
}

#[test]
fn every_superblock_says_what_its_table_says_and_comes_back_unchanged() {
    for fixture in sets() {
        // `0 24576 raid raid10 6 32 nosync raid10_copies 2 raid10_format offset 6 ...`
        let words: Vec<&str> = fixture.text("table.txt").split_whitespace().collect();
        let number = |name: &str| -> u64 {
            let at = words.iter().position(|word| *word == name).unwrap();
            words[at + 1].parse().unwrap()
        };
        for (slot, (file, image)) in (0..).zip(&fixture.members) {
            let what = format!("{}/{file}", fixture.name);
            let block = &image[..4096];
            let parsed = Superblock::parse(block, data(image)).unwrap();
            assert_eq!(parsed.emit(), block, "{what}");
            let record = parsed.record();
            assert_eq!((record.role, record.number), (Role::Slot(slot), u32::from(slot)), "{what}");
            assert_eq!(usize::from(record.shape.members), fixture.members.len(), "{what}");
            assert_eq!(record.shape.array_size.unwrap().0.to_string(), words[1], "{what}");
            assert_eq!(record.shape.chunk.0.to_string(), words[5], "{what}");
            assert_eq!((record.sync, record.sync_mark), (Sync::Clean, None), "{what}");
            let Level::Raid10(layout) = record.shape.level else { panic!("{what}") };
            assert_eq!(u64::from(layout.near.max(layout.far)), number("raid10_copies"), "{what}");
            let format = if layout.offset {
                "offset"
            } else if layout.far > 1 {
                "far"
            } else {
                "near"
            };
            assert!(words.contains(&format), "{what}");
            let log = md::read_bitmap_at(&Image(image), Sector(8), ([0; 16], record.events), &mut [0; 512], |_| ());
            let log = log.unwrap();
            assert_eq!((log.dirty, log.stale), (0, false), "{what}");
            let mut covered = 0;
            dm::dump::raid(block, |field| {
                assert_eq!(field.offset, covered, "{} leaves a gap", field.name);
                covered = field.offset + field.len;
            })
            .unwrap();
            assert_eq!(covered, 4096, "{what}");
        }
    }
}

#[test]
fn what_create_makes_is_what_the_kernel_made() {
    for fixture in sets() {
        for (slot, (file, image)) in (0..).zip(&fixture.members) {
            let kernel = Superblock::parse(&image[..4096], data(image)).unwrap();
            let record = kernel.record();
            let log = md::read_bitmap_at(&Image(image), Sector(8), ([0; 16], 0), &mut [0; 512], |_| ()).unwrap();
            let params = CreateParams {
                level: record.shape.level,
                devices: record.shape.members,
                chunk: record.shape.chunk,
                used: record.used,
                array_size: record.shape.array_size.unwrap(),
                sync: Sync::Clean,
                region: Some(log.chunk),
            };
            let mut made = vec![0xAA; META_BYTES];
            let mut order = Vec::new();
            let written: Result<(), Refusal> = dm::create(&params, slot, |at, block| {
                order.push(at);
                made[usize::try_from(at).unwrap()..][..4096].copy_from_slice(block);
                Ok(())
            });
            written.unwrap();
            assert_eq!(order.last(), Some(&0), "the record comes last");
            let state = RaidState { events: record.events, failed: Columns::EMPTY, sync_mark: None, sync: Sync::Clean };
            dm::update(&mut made[..4096], data(image), &state).unwrap();
            assert_eq!(made[..4096], image[..4096], "{}/{file}", fixture.name);
            let log = md::read_bitmap_at(&Image(&made), Sector(8), ([0; 16], 0), &mut [0; 512], |_| ()).unwrap();
            assert_eq!(log.dirty, 0);
        }
    }
}

#[test]
fn a_new_set_that_is_not_in_sync_has_all_its_bits_and_no_others() {
    let params = CreateParams {
        level: Level::Raid1,
        devices: 2,
        chunk: Sectors(0),
        used: Sectors(8 * 40_003),
        array_size: Sectors(8 * 40_003),
        sync: Sync::DirtyFrom(Sector(0)),
        region: Some(Sectors(8)),
    };
    let mut made = vec![0; 64 << 10];
    dm::create::<Refusal>(&params, 1, |at, block| {
        made[usize::try_from(at).unwrap()..][..4096].copy_from_slice(block);
        Ok(())
    })
    .unwrap();
    let mut chunks = Vec::new();
    let log = md::read_bitmap_at(&Image(&made), Sector(8), ([0; 16], 1), &mut [0; 512], |chunk| chunks.push(chunk));
    assert_eq!(log.unwrap().dirty, 40_003);
    assert_eq!(chunks, (0..40_003).collect::<Vec<_>>());
    let refused = dm::create::<Refusal>(&CreateParams { region: Some(Sectors(9)), ..params }, 1, |_, _| Ok(()));
    assert!(refused.is_err());
}

fn verdicts(blocks: &[Vec<u8>], data: Sectors) -> Vec<Verdict> {
    let parsed: Vec<Superblock> = blocks.iter().map(|block| Superblock::parse(block, data).unwrap()).collect();
    let mut verdicts = vec![Verdict::Spare; parsed.len()];
    judge(&parsed, &Force::default(), &mut verdicts).unwrap();
    verdicts
}

/// The survivors are told of a failure one after the other. A cut before the first is the old set: all current. A cut after it: the failed
/// device is out, whoever of the survivors was told, and none of them is taken for stale.
#[test]
fn a_cut_anywhere_in_telling_a_failure_leaves_the_old_set_or_the_new_one() {
    for fixture in sets() {
        let data = data(&fixture.members[0].1);
        let mut blocks: Vec<Vec<u8>> = fixture.members.iter().map(|(_, image)| image[..4096].to_vec()).collect();
        let failed = 1;
        let events = Superblock::parse(&blocks[0], data).unwrap().record().events + 1;
        let state = RaidState { events, failed: Columns::one(Member(1)), sync_mark: None, sync: Sync::Clean };
        let survivors: Vec<usize> = (0..blocks.len()).filter(|slot| *slot != failed).collect();
        assert!(verdicts(&blocks, data).iter().all(|verdict| matches!(verdict, Verdict::Current { .. })));
        for told in survivors {
            dm::update(&mut blocks[told], data, &state).unwrap();
            for (slot, verdict) in verdicts(&blocks, data).into_iter().enumerate() {
                match verdict {
                    Verdict::ThrownOut { slot: 1 } => assert_eq!(slot, failed),
                    Verdict::Current { .. } => assert!(slot != failed),
                    other => panic!("{}: {slot}: {other:?}", fixture.name),
                }
            }
        }
    }
}

#[test]
fn rebuild_marks_resync_marks_and_slots_beyond_sixty_four_come_back() {
    let params = CreateParams {
        level: Level::Raid1,
        devices: 200,
        chunk: Sectors(0),
        used: Sectors(1024),
        array_size: Sectors(1024),
        sync: Sync::Clean,
        region: None,
    };
    let mut block = [0; 4096];
    dm::create::<Refusal>(&params, 199, |_, made| {
        block = *made;
        Ok(())
    })
    .unwrap();
    let failed: Columns = [3, 63, 64, 130, 198].map(Member).into_iter().collect();
    let state = RaidState { events: 9, failed, sync_mark: Some(Sectors(77)), sync: Sync::DirtyFrom(Sector(500)) };
    dm::update(&mut block, Sectors(1024), &state).unwrap();
    let parsed = Superblock::parse(&block, Sectors(1024)).unwrap();
    let record = parsed.record();
    assert_eq!((record.events, record.sync_mark, record.sync), (9, Some(Sectors(77)), Sync::DirtyFrom(Sector(500))));
    assert_eq!(record.table_in_sync, Columns::first(200).difference(failed));
    assert_eq!(
        (parsed.role_of(64), parsed.role_of(65), parsed.role_of(200)),
        (Role::Faulty, Role::Slot(65), Role::Faulty)
    );
}

/// From source (`dm-raid.c`, `super_sync`), and not seen on a disk: while a reshape runs, `num_devices` is the new count.
#[test]
fn a_reshape_under_way_has_both_shapes() {
    let fixture = fixtures::load("lvm-raid5_ls");
    let image = &fixture.members[0].1;
    let mut block = image[1 << 20..][..512].to_vec();
    block[8..12].copy_from_slice(&6_u32.to_le_bytes());
    block[60..64].copy_from_slice(&1_u32.to_le_bytes());
    block[64..72].copy_from_slice(&384_u64.to_le_bytes());
    block[84..88].copy_from_slice(&2_i32.to_le_bytes());
    block[104..112].copy_from_slice(&256_u64.to_le_bytes());
    let record = *Superblock::parse(&block, Sectors(20_480)).unwrap().record();
    let reshape = record.reshape.unwrap();
    assert_eq!((record.shape.members, reshape.to.members), (4, 6));
    assert_eq!((reshape.position, reshape.backwards, reshape.new_data_at), (Sector(384), false, Sector(256)));
    block[84..88].copy_from_slice(&(-1_i32).to_le_bytes());
    assert!(Superblock::parse(&block, Sectors(20_480)).unwrap().record().reshape.unwrap().backwards);
}

#[test]
fn what_no_kernel_wrote_is_refused() {
    let image = &fixtures::load("dmraid-r10-4-near2").members[0].1;
    let refused = |at: usize, bytes: &[u8]| {
        let mut block = image[..512].to_vec();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        Superblock::parse(&block, data(image)).unwrap_err()
    };
    assert!(matches!(refused(0, b"DmRx"), Refusal::NoMagic { offset: 0, .. }));
    assert!(matches!(refused(4, &[3]), Refusal::UnknownBits { offset: 4, found: 2 }));
    assert!(matches!(refused(144, &[1]), Refusal::UnknownBits { offset: 144, .. }));
    assert!(matches!(refused(8, &[0; 4]), Refusal::Range { offset: 8, .. }));
    assert!(matches!(refused(12, &[253]), Refusal::Range { offset: 12, .. }));
    assert!(matches!(refused(48, &[99]), Refusal::Level(_)));
    assert!(matches!(refused(96, &[0xFF; 8]), Refusal::Outside { .. }));
    assert!(Superblock::parse(&image[..147], data(image)).is_err());
}

#[test]
fn a_mirror_log_tells_the_regions_that_may_disagree() {
    let fixture = fixtures::load("lvm-mirror-disklog");
    // The log is the first extent of the third disk: byte 1 MiB.
    let mut log = fixture.members[2].1[1 << 20..][..256 << 10].to_vec();
    let parsed = MirrorLog::parse(&log).unwrap();
    assert_eq!((parsed.regions(), parsed.emit().as_slice()), (10, &log[..16]));
    let unsynced = |log: &[u8], len: u64| {
        let mut runs = Vec::new();
        mirror::read_unsynced(&Image(log), Sectors(1024), Sectors(len), |run| runs.push(run)).unwrap();
        runs
    };
    assert_eq!(unsynced(&log, 10_240), []);
    // What the kernel wrote is what is written for it.
    let mut header = *log.first_chunk().unwrap();
    mirror::put_header(&mut header, 10);
    assert_eq!(header, log[..512]);
    assert_eq!((mirror::bits(0, 10, &[0]).as_slice(), mirror::log_bytes(10)), (&log[1024..1536], 1536));
    log[1024..1536].copy_from_slice(&mirror::bits(0, 10, &[1 << 9]));
    assert_eq!(unsynced(&log, 9_500), [Extent { at: Sector(9216), len: Sectors(284) }]);
    // The mirror grew: what the log has no bit for may disagree.
    assert_eq!(unsynced(&log, 11_000).last(), Some(&Extent { at: Sector(10_240), len: Sectors(760) }));
    // As lvm2 makes it: all bits count, as they stand.
    mirror::put_header(&mut header, u64::MAX);
    log[..512].copy_from_slice(&header);
    assert_eq!(unsynced(&log, 10_240), [Extent { at: Sector(9216), len: Sectors(1024) }]);
    assert!(mirror::read_unsynced(&Image(&log), Sectors(0), Sectors(1), |_| ()).is_err());
    log[4] = 3;
    assert!(MirrorLog::parse(&log).is_err());
}

#[test]
fn a_store_keeps_what_the_kernel_counted() {
    let fixture = fixtures::load("lvm-snapshot");
    let (_, store) = fixture.members.iter().find(|(file, _)| file == "cow.img").unwrap();
    let header = Store::parse(store).unwrap();
    assert_eq!(
        (header.state(), header.chunk(), header.emit().as_slice()),
        (StoreState::Valid, Sectors(8), &store[..16])
    );
    // `vg-snap: 0 12288 snapshot 88/6144 16`: 88 sectors used, 16 of them by the header and the areas.
    let status = fixture.text("dmsetup-status.txt");
    let counted = status.lines().find(|line| line.starts_with("vg-snap:")).unwrap();
    let words: Vec<u64> = counted.split([' ', '/']).filter_map(|word| word.parse().ok()).collect();
    let [.., used, _, metadata] = words[..] else { panic!("{counted}") };
    let mut exceptions = Vec::new();
    let count = snapshot::read_exceptions(&Image(store), &header, |exception| exceptions.push(exception)).unwrap();
    assert_eq!(count, (used - metadata) / 8);
    let next = exceptions.iter().map(|exception| exception.new).max().unwrap() + 1;
    assert_eq!(next, used / 8);
}

/// A store of chunks of one sector has areas of 32 entries: the list goes on in the next area, and stops at the first that ends it.
#[test]
fn a_list_goes_on_from_area_to_area() {
    let mut store = vec![0; 512 * 200];
    store[..16].copy_from_slice(&[0x53, 0x6E, 0x41, 0x70, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    let header: [u8; 16] = store[..16].try_into().unwrap();
    let header = Store::parse(&header).unwrap();
    assert_eq!((header.area(0), header.area(1), header.area(2)), (Some(1), Some(34), Some(67)));
    assert!([0, 1, 34, 67].into_iter().all(|chunk| header.is_metadata(chunk)) && !header.is_metadata(2));
    let data: Vec<u64> = (2..).filter(|chunk| !header.is_metadata(*chunk)).take(40).collect();
    for (index, new) in data.iter().enumerate() {
        let at = if index < 32 { 512 + index * 16 } else { 34 * 512 + (index - 32) * 16 };
        store[at..at + 8].copy_from_slice(&(1000 + index as u64).to_le_bytes());
        store[at + 8..at + 16].copy_from_slice(&new.to_le_bytes());
    }
    let read = |store: &[u8]| snapshot::read_exceptions(&Image(store), &header, |_| ());
    assert_eq!(read(&store), Ok(40));
    // An entry that points to an area is damage, and so is one that points past the end.
    for wrong in [34_u64, 200] {
        store[512 + 8..512 + 16].copy_from_slice(&wrong.to_le_bytes());
        assert!(read(&store).is_err());
    }
    let dumped = |bytes: &[u8]| {
        let mut fields = 0;
        dm::dump::exceptions(bytes, |_| fields += 1);
        fields
    };
    assert_eq!(dumped(&store[512..1024]), 64);
    dm::dump::snapshot(&store[..512], |_| ()).unwrap();
    dm::dump::mirror(&store[..512], |_| ()).unwrap();
}

#[test]
fn a_sector_of_a_mirror_log_says_nothing_of_regions_that_there_are_not() {
    let count = |bytes: &[u8; 512]| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
    for (first, regions, set) in
        [(0, 0, 0), (0, 1, 1), (0, 8, 8), (0, 4095, 4095), (0, 9000, 4096), (8192, 9000, 808), (8192, 8192, 0)]
    {
        assert_eq!(count(&mirror::bits(first, regions, &[0; 64])), set, "{first} of {regions}");
        // What nobody vouched for may disagree.
        assert_eq!(count(&mirror::bits(first, regions, &[0])), set.min(64));
        assert_eq!(count(&mirror::bits(first, regions, &[u64::MAX; 64])), 0);
    }
    assert_eq!([0, 1, 4096, 4097].map(mirror::log_bytes), [1024, 1536, 1536, 2048]);
}
