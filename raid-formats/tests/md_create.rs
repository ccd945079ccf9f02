//! New members: what `create` makes parses, is what was asked for, and is what a real `mdadm` reads from it; so is
//! what `update` makes of them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use raid_core::{Extent, FarSets, Level, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout, Sector, Sectors};
use raid_formats::{
    md::{
        BitmapParams, CreateParams, ProbeBuffer, Refusal, RunningState, Superblock, TableEntry, Version,
        bitmap_summary, create, create::default_data, level_to_md, probe, superblock_at, update, update::bitmap_header,
    },
    record::{Name, Record, Role, Sync, Uuid, WriteLog},
};
use raid_testkit::{image::Image, mdadm};

const MEDIUM: Sectors = Sectors(64 << 11);
const NEAR2: Raid10Layout = Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All };
const LEVELS: [(Level, &str, &str); 7] = [
    (Level::Linear, "linear", ""),
    (Level::Raid0(Raid0Layout::Original), "raid0", "original"),
    (Level::Raid1, "raid1", ""),
    (Level::Raid4, "raid4", ""),
    (Level::Raid5(Raid5Layout::LeftSymmetric), "raid5", "left-symmetric"),
    (Level::Raid6(Raid6Layout::RotatingNContinue), "raid6", "ddf-N-continue"),
    (Level::Raid10(NEAR2), "raid10", "near=2"),
];
const ROLES: [Role; 4] = [Role::Slot(0), Role::Slot(1), Role::Slot(2), Role::Slot(3)];

fn params(version: Version, level: Level) -> CreateParams<'static> {
    let striped = !matches!(level, Level::Raid1 | Level::Linear);
    let used = if level_to_md(level).0 > 0 { Sectors(100_000 / 128 * 128) } else { Sectors::ZERO };
    let mut name = [0; 32];
    name[..9].copy_from_slice(b"host:name");
    CreateParams {
        version,
        medium: MEDIUM,
        level,
        members: 4,
        chunk: if striped { Sectors(128) } else { Sectors::ZERO },
        used,
        data: None,
        array: Uuid(*b"\x01\x23\x45\x67\x89\xab\xcd\xefFEDCBA98"),
        name: Name(name),
        member: Uuid([0x5A; 16]),
        number: 1,
        roles: &ROLES,
        created_s: 1_700_000_000,
        sync: Sync::Clean,
        bitmap: None,
    }
}

fn make(params: &CreateParams) -> Result<Vec<u8>, Refusal> {
    let mut image = vec![0; usize::try_from(params.medium.bytes().unwrap()).unwrap()];
    create::<Refusal>(params, |at, bytes| {
        let start = usize::try_from(at.bytes().unwrap()).unwrap();
        image[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    })?;
    Ok(image)
}

fn with_best<T>(image: &[u8], look: impl FnOnce(&Superblock) -> T) -> T {
    let mut buffer: ProbeBuffer = [[0; 4096]; 4];
    look(&probe(&Image(image), &mut buffer).best().expect("a superblock"))
}

fn record(image: &[u8]) -> Record {
    with_best(image, |superblock| superblock.record())
}

/// Brings the superblock of an image up to date in place.
fn run(image: &mut [u8], version: Version, state: &RunningState) -> Result<usize, Refusal> {
    let medium = Sectors::from_bytes_floor(image.len() as u64);
    let start = usize::try_from(superblock_at(version, medium).unwrap().bytes().unwrap()).unwrap();
    let mut block: [u8; 4096] = image[start..start + 4096].try_into().unwrap();
    let write = update(&mut block, version, medium, 512, state)?;
    assert_eq!(write.at.bytes().unwrap(), start as u64);
    image[start..start + write.bytes.len()].copy_from_slice(write.bytes);
    Ok(write.bytes.len())
}

const IDLE: RunningState = RunningState {
    events: 7,
    updated_s: 1_700_000_100,
    sync: Sync::Clean,
    sync_mark: None,
    by_bitmap: false,
    replacement: false,
    bad_blocks: false,
    table: &[],
};

/// Has `mdadm` look at the image, or says that it was not there to be asked.
fn ask(image: &[u8], what: &str, check: impl FnOnce(&mdadm::Examined)) {
    match mdadm::ask("--examine", image) {
        Some(answer) => check(&answer),
        None => println!("skipped: no mdadm to ask about {what}"),
    }
}

#[test]
fn what_is_made_is_what_was_asked_for() {
    for version in Version::ALL {
        for (level, ..) in LEVELS {
            let params = params(version, level);
            let record = record(&make(&params).unwrap_or_else(|refusal| panic!("{version:?} {level:?}: {refusal}")));
            let v0 = matches!(version, Version::V0Little | Version::V0Big);
            let expected = match level {
                Level::Raid0(_) if v0 => Level::Raid0(Raid0Layout::Unstated),
                level => level,
            };
            assert_eq!((record.format, record.shape.level), (version.format(), expected));
            assert_eq!((record.shape.members, record.shape.chunk, record.used), (4, params.chunk, params.used));
            assert_eq!((record.array, record.role, record.number), (params.array, Role::Slot(1), 1));
            assert_eq!((record.sync, record.events, record.created_s), (Sync::Clean, 0, params.created_s));
            assert_eq!(record.table_in_sync.len(), 4);
            assert_eq!((record.log, record.bad_blocks, record.sync_mark), (WriteLog::None, None, None));
            assert!(record.notes.is_empty());
        }
    }
}

#[test]
fn mdadm_reads_what_create_makes() {
    for version in [Version::V1_2, Version::V1_1, Version::V1_0, Version::V0Little] {
        for (level, level_name, layout_name) in LEVELS {
            let image = make(&params(version, level)).unwrap();
            let what = format!("{version:?} {level_name}");
            ask(&image, &what, |answer| {
                let v0 = version == Version::V0Little;
                let uuid = answer.field(if v0 { "UUID" } else { "Array UUID" });
                assert!(uuid.starts_with("01234567:89abcdef:46454443:42413938"), "{what}: {uuid}");
                assert_eq!(answer.field("Raid Level"), level_name, "{what}");
                assert_eq!(answer.number("Raid Devices"), Some(4), "{what}");
                assert_eq!(answer.field("State"), "clean", "{what}");
                assert_eq!(answer.number("Events"), Some(0), "{what}");
                assert!(answer.field("Checksum").ends_with("- correct"), "{what}: {}", answer.field("Checksum"));
                if !(v0 && level_name == "raid0") {
                    assert_eq!(answer.field("Layout"), layout_name, "{what}");
                }
                if v0 {
                    assert_eq!(answer.table[0][1..], ["1", "0", "0", "1", "active", "sync"], "{what}");
                } else {
                    assert_eq!(answer.field("Device Role"), "Active device 1", "{what}");
                    assert_eq!(answer.field("Array State").split(' ').next(), Some("AAAA"), "{what}");
                    assert_eq!(answer.field("Name").split(' ').next(), Some("host:name"), "{what}");
                    assert!(!answer.field("Unused Space").contains("TOO SMALL"), "{what}");
                    assert!(answer.field("Bad Block Log").starts_with("512 entries available"), "{what}");
                }
            });
        }
    }
}

#[test]
fn mdadm_reads_what_update_changes() {
    let failed = TableEntry { number: 2, role: Role::Faulty, in_sync: false };
    let state = RunningState { sync: Sync::DirtyFrom(Sector(0)), table: &[failed], ..IDLE };
    for version in [Version::V1_2, Version::V1_1, Version::V1_0, Version::V0Little] {
        let mut image = make(&params(version, Level::Raid5(Raid5Layout::LeftSymmetric))).unwrap();
        run(&mut image, version, &state).unwrap();
        ask(&image, "an update", |answer| {
            assert_eq!(answer.number("Events"), Some(7), "{version:?}");
            assert_eq!(answer.field("State"), "active", "{version:?}");
            assert!(answer.field("Checksum").ends_with("- correct"), "{version:?}");
            if version == Version::V0Little {
                assert_eq!(answer.number("Failed Devices"), Some(1));
                assert_eq!(answer.number("Active Devices"), Some(3));
                assert_eq!(answer.table[3][5..], ["faulty"]);
            } else {
                assert_eq!(answer.field("Array State").split(' ').next(), Some("AA.A"), "{version:?}");
            }
        });
    }
}

#[test]
fn mdadm_reads_the_bitmap_that_create_makes() {
    for version in [Version::V1_2, Version::V1_1, Version::V1_0, Version::V0Little] {
        for (sync, dirty) in [(Sync::Clean, 0), (Sync::DirtyFrom(Sector(0)), 781)] {
            let mut params = params(version, Level::Raid5(Raid5Layout::LeftSymmetric));
            params.sync = sync;
            // 99968 sectors in chunks of 128: 781 of them.
            params.bitmap = Some(BitmapParams { chunk_bytes: Some(65536), sync_size: params.used });
            let image = make(&params).unwrap();
            let summary = with_best(&image, |superblock| bitmap_summary(&Image(&image), superblock, &mut [0; 512]));
            let summary = summary.unwrap().unwrap();
            assert_eq!((summary.chunks, summary.dirty, summary.stale), (params.used.0 / 128, dirty, false));
            // Of a plain file, `mdadm` wants to see the bitmap alone.
            let WriteLog::Bitmap(at) = record(&image).log else { panic!("a bitmap was asked for") };
            let alone = &image[usize::try_from(at.bytes().unwrap()).unwrap()..];
            let Some(answer) = mdadm::ask("--examine-bitmap", alone) else {
                println!("skipped: no mdadm to ask about a bitmap");
                continue;
            };
            let expected = format!("{} bits (chunks), {dirty} dirty", summary.chunks);
            assert!(answer.field("Bitmap").starts_with(&expected), "{version:?}: {}", answer.field("Bitmap"));
            assert_eq!(answer.field("State"), "OK", "{version:?}");
        }
    }
}

#[test]
fn an_update_round_trips_through_the_record() {
    for version in Version::ALL {
        let mut image = make(&params(version, Level::Raid1)).unwrap();
        let state = RunningState { sync: Sync::DirtyFrom(Sector(4096)), ..IDLE };
        run(&mut image, version, &state).unwrap();
        let before = record(&image);
        assert_eq!((before.events, before.updated_s, before.sync), (7, 1_700_000_100, state.sync), "{version:?}");
        run(&mut image, version, &RunningState { events: 8, ..IDLE }).unwrap();
        assert_eq!((record(&image).events, record(&image).sync), (8, Sync::Clean), "{version:?}");
    }
}

#[test]
fn an_update_of_1_x_with_a_usual_table_writes_one_sector() {
    let mut image = make(&params(Version::V1_2, Level::Raid1)).unwrap();
    assert_eq!(run(&mut image, Version::V1_2, &IDLE), Ok(512));
    let far = TableEntry { number: 300, role: Role::Spare, in_sync: false };
    assert_eq!(run(&mut image, Version::V1_2, &RunningState { table: &[far], ..IDLE }), Ok(1024));
    with_best(&image, |superblock| {
        assert_eq!(superblock.role_of(300), Role::Spare);
        assert_eq!(superblock.role_of(299), Role::Spare, "between lies nobody");
        assert_eq!(superblock.role_of(3), Role::Slot(3));
    });
}

#[test]
fn a_rebuilding_member_keeps_its_mark_until_it_is_done() {
    let mut image = make(&params(Version::V1_1, Level::Raid1)).unwrap();
    let mark = Some(Sectors(5000));
    run(&mut image, Version::V1_1, &RunningState { sync_mark: mark, replacement: true, ..IDLE }).unwrap();
    assert_eq!((record(&image).sync_mark, record(&image).replacement), (mark, true));
    assert!(!record(&image).table_in_sync.contains(raid_core::Member(1)), "its own slot is not in sync");
    run(&mut image, Version::V1_1, &IDLE).unwrap();
    assert_eq!((record(&image).sync_mark, record(&image).replacement), (None, false));
    assert_eq!(record(&image).table_in_sync.len(), 4);
}

#[test]
fn in_0_90_a_rebuilding_member_is_a_spare() {
    let mut image = make(&params(Version::V0Little, Level::Raid1)).unwrap();
    let rebuilding = TableEntry { number: 1, role: Role::Slot(1), in_sync: false };
    run(&mut image, Version::V0Little, &RunningState { table: &[rebuilding], ..IDLE }).unwrap();
    assert_eq!((record(&image).role, record(&image).table_in_sync.len()), (Role::Spare, 3));
    let done = TableEntry { in_sync: true, ..rebuilding };
    run(&mut image, Version::V0Little, &RunningState { table: &[done], ..IDLE }).unwrap();
    assert_eq!((record(&image).role, record(&image).table_in_sync.len()), (Role::Slot(1), 4));
}

#[test]
fn what_a_version_cannot_say_is_refused_and_changes_nothing() {
    let too_far = TableEntry { number: 5000, role: Role::Spare, in_sync: false };
    let wide = TableEntry { number: 0, role: Role::Slot(27), in_sync: true };
    let cases = [
        (Version::V1_2, RunningState { table: &[too_far], ..IDLE }),
        (Version::V0Little, RunningState { table: &[wide], ..IDLE }),
        (Version::V0Big, RunningState { bad_blocks: true, ..IDLE }),
        (Version::V0Little, RunningState { replacement: true, ..IDLE }),
    ];
    for (version, state) in cases {
        let mut image = make(&params(version, Level::Raid1)).unwrap();
        let before = image.clone();
        assert!(matches!(run(&mut image, version, &state), Err(Refusal::Range { .. })), "{version:?}");
        assert!(image == before);
    }
}

#[test]
fn the_bitmap_header_keeps_the_bits_and_what_a_missing_member_missed() {
    let mut params = params(Version::V1_2, Level::Raid1);
    params.sync = Sync::DirtyFrom(Sector(0));
    params.bitmap = Some(BitmapParams { chunk_bytes: None, sync_size: params.used });
    let image = make(&params).unwrap();
    let mut page = image[16 * 512..16 * 512 + 4096].to_vec();
    bitmap_header(&mut page, 9, false).unwrap();
    bitmap_header(&mut page, 12, true).unwrap();
    assert_eq!((page[24], page[32]), (12, 9));
    assert_eq!(page[256..], image[16 * 512 + 256..16 * 512 + 4096]);
    page[0] ^= 1;
    assert!(matches!(bitmap_header(&mut page, 13, false), Err(Refusal::NoMagic { .. })));
}

#[test]
fn parameters_that_make_no_array_are_refused_before_anything_is_written() {
    let good = params(Version::V1_2, Level::Raid1);
    let bitmap = |chunk| Some(BitmapParams { chunk_bytes: Some(chunk), sync_size: Sectors(1 << 40) });
    let cases = [
        CreateParams { medium: Sectors(15), ..good },
        CreateParams { medium: Sectors(2048), ..good },
        CreateParams { used: MEDIUM, ..good },
        CreateParams { number: 4, ..good },
        CreateParams { roles: &[], ..good },
        CreateParams { members: 0, ..good },
        CreateParams { data: Some(Extent { at: Sector(16), len: Sectors(8) }), ..good },
        CreateParams { data: Some(Extent { at: Sector(2048), len: MEDIUM }), ..good },
        CreateParams { version: Version::V0Little, roles: &[Role::Slot(0), Role::Journal], ..good },
        CreateParams { bitmap: bitmap(4096), ..good },
        CreateParams { bitmap: bitmap(12345), ..good },
    ];
    for params in cases {
        let mut writes = 0;
        let made = create::<Refusal>(&params, |_, _| {
            writes += 1;
            Ok(())
        });
        assert!(made.is_err() && writes == 0, "{params:?}: {writes} writes");
    }
}

#[test]
fn data_start_where_mdadm_lets_them_start() {
    // Sectors of the medium and of the chunk, and the data offset that mdadm chooses for them.
    let cases = [
        (8 << 11, 128, 2048),
        (1 << 21, 1024, 4096),
        (10 << 21, 1024, 18432),
        (20 << 21, 1024, 34816),
        (4 << 31, 1024, 264_192),
        (4 << 31, 0, 264_192),
    ];
    for (medium, chunk, expected) in cases {
        let data = default_data(Version::V1_2, Sectors(medium), Sectors(chunk)).unwrap();
        assert_eq!((data.at.0, data.len.0), (expected, medium - expected), "{medium} sectors");
    }
    let data = default_data(Version::V1_0, Sectors(8195), Sectors(128)).unwrap();
    assert_eq!((data.at.0, data.len.0), (0, 8192 - 16 - 8 - 8));
}

#[test]
fn the_superblock_comes_last() {
    let mut params = params(Version::V1_0, Level::Raid1);
    params.bitmap = Some(BitmapParams { chunk_bytes: None, sync_size: params.used });
    let mut places = Vec::new();
    create::<Refusal>(&params, |at, _| {
        places.push(at);
        Ok(())
    })
    .unwrap();
    assert_eq!(places.last(), superblock_at(params.version, params.medium).as_ref().ok());
    assert_eq!(places.len(), 3);
}
