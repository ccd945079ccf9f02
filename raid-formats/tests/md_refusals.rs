//! One field of a sound superblock is changed and the sum made right: the refusal, the note or the meaning names that field.

use raid_core::{Level, Raid5Layout, Raid6Layout, Sector, Sectors};
use raid_formats::{
    md::{CreateParams, Refusal, Superblock, UnknownLevel, Version, create},
    record::{Name, Notes, Record, Role, Sync, Uuid},
};

const MEDIUM: Sectors = Sectors(1 << 16);

/// A change of the record: these bytes at that offset.
type Patch<'a> = (usize, &'a [u8]);

fn patched(version: Version, patches: &[Patch]) -> Result<Record, Refusal> {
    let params = CreateParams {
        version,
        medium: MEDIUM,
        level: Level::Raid5(Raid5Layout::LeftSymmetric),
        members: 4,
        chunk: Sectors(128),
        used: Sectors(8192),
        data: None,
        array: Uuid([1; 16]),
        name: Name([0; 32]),
        member: Uuid([2; 16]),
        number: 0,
        roles: &[Role::Slot(0), Role::Slot(1), Role::Slot(2), Role::Slot(3)],
        created_s: 1,
        sync: Sync::Clean,
        bitmap: None,
    };
    let mut block = [0; 4096];
    create::<Refusal>(&params, |_, bytes| {
        block.copy_from_slice(bytes);
        Ok(())
    })?;
    for (at, bytes) in patches {
        block[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    Superblock::seal(&mut block, version);
    Superblock::parse(&block, version, MEDIUM).map(|superblock| superblock.record())
}

/// The field and offset that a refusal names.
fn named(refusal: &Refusal) -> (&'static str, u32) {
    match *refusal {
        Refusal::NoMagic { offset, .. } => ("magic", offset),
        Refusal::Place { offset, .. } => ("place", offset),
        Refusal::UnknownBits { offset, .. } => ("unknown bits", offset),
        Refusal::BitsExclude { offset, .. } => ("bits exclude", offset),
        Refusal::Range { field, offset, .. } => (field, offset),
        Refusal::Outside { what, .. } => (what, 0),
        Refusal::Level(_) => ("level", 0),
        _ => panic!("unexpected {refusal}"),
    }
}

#[test]
fn each_check_of_1_x_names_the_field_that_failed() {
    let cases: [(&[Patch], (&str, u32)); 21] = [
        (&[(0, &[0])], ("magic", 0)),
        (&[(4, &[2])], ("major_version", 4)),
        (&[(144, &[9])], ("place", 144)),
        (&[(136, &[9, 0, 0, 0])], ("data_size", 136)),
        (&[(10, &[1])], ("unknown bits", 8)),
        (&[(8, &[0, 0x0C])], ("bits exclude", 8)),
        (&[(8, &[1, 4])], ("bits exclude", 8)),
        (&[(8, &[0, 6])], ("bits exclude", 8)),
        (&[(8, &[0, 0x10])], ("level", 72)),
        (&[(92, &[0])], ("raid_disks - delta_disks", 92)),
        (&[(92, &[0, 0, 1])], ("raid_disks - delta_disks", 92)),
        (&[(128, &[8, 0])], ("data_offset", 128)),
        (&[(128, &[0xFF; 8])], ("data area", 0)),
        (&[(136, &[0, 0, 1])], ("data area", 0)),
        (&[(8, &[8]), (186, &[9])], ("bblog_size", 186)),
        (&[(8, &[8]), (188, &[0; 4])], ("bblog_offset", 188)),
        (&[(8, &[8]), (185, &[11])], ("bblog_shift", 185)),
        (&[(8, &[8]), (188, &[0, 0, 0, 0x80])], ("list of bad blocks", 0)),
        (&[(8, &[1]), (96, &[0xF7, 0xFF, 0xFF, 0xFF])], ("bitmap", 0)),
        (&[(8, &[0, 8]), (96, &[0xF7, 0xFF, 1, 0])], ("partial parity log", 0)),
        (&[(72, &[7])], ("level", 0)),
    ];
    for (patches, expected) in cases {
        let refusal = patched(Version::V1_2, patches).expect_err(expected.0);
        assert_eq!(named(&refusal), expected, "{refusal}");
    }
    let table = patched(Version::V1_2, &[(220, &[0x81, 7])]).expect_err("a table of 1921");
    assert_eq!(named(&table), ("max_dev", 220));
    assert!(patched(Version::V1_2, &[(220, &[0x80, 7])]).is_ok(), "a table of 1920 fits");
}

#[test]
fn each_check_of_0_90_names_the_field_that_failed() {
    let cases: [(Patch, (&str, u32)); 8] = [
        ((0, &[0]), ("magic", 0)),
        ((4, &[1]), ("major_version", 4)),
        ((8, &[89]), ("minor_version", 8)),
        ((8, &[92]), ("minor_version", 8)),
        ((40, &[0]), ("raid_disks - delta_disks", 40)),
        ((40, &[28]), ("raid_disks - delta_disks", 40)),
        ((260, &[1]), ("chunk_size", 260)),
        ((32, &[0, 0x80]), ("data area", 0)),
    ];
    for (patch, expected) in cases {
        let refusal = patched(Version::V0Little, &[patch]).expect_err(expected.0);
        assert_eq!(named(&refusal), expected, "{refusal}");
    }
}

#[test]
fn an_unknown_level_is_refused_with_its_numbers() {
    let multipath = patched(Version::V1_1, &[(72, &(-4_i32).to_le_bytes())]);
    assert_eq!(multipath, Err(Refusal::Level(UnknownLevel { level: -4, layout: 2 })));
}

#[test]
fn reserved_bytes_are_a_note_and_no_refusal() {
    for patch in [(12_usize, &[1_u8][..]), (228, &[1]), (255, &[0x80])] {
        assert_eq!(patched(Version::V1_0, &[patch]).unwrap().notes, Notes::RESERVED_BYTES_SET);
    }
    let record = patched(Version::V1_0, &[(224, &4096_u32.to_le_bytes())]).unwrap();
    assert_eq!((record.notes, record.logical_block_bytes), (Notes::LOGICAL_BLOCK_RECORDED, 4096));
    assert_eq!(record.notes.sentences().count(), 1);
}

#[test]
fn a_member_outside_its_table_is_a_spare_and_noted() {
    let record = patched(Version::V1_2, &[(160, &[200])]).unwrap();
    assert_eq!((record.role, record.notes), (Role::Spare, Notes::NUMBER_OUTSIDE_TABLE));
    let record = patched(Version::V0Little, &[(3968, &[27])]).unwrap();
    assert_eq!((record.role, record.notes), (Role::Spare, Notes::NUMBER_OUTSIDE_TABLE));
    let record = patched(Version::V1_2, &[(258, &[9])]).unwrap();
    assert_eq!((record.notes, record.table_in_sync.len()), (Notes::SLOT_OUTSIDE_ARRAY, 3));
}

#[test]
fn a_sum_that_only_alpha_kernels_wrote_is_taken_with_a_note() {
    let mut block = [0; 4096];
    let record = patched(Version::V0Little, &[]).unwrap();
    assert_eq!(record.notes, Notes::empty());
    // An empty table is enough of a superblock: magic, 90, RAID 1, two slots.
    for (at, byte) in [(0, 0xFC_u8), (1, 0x4E), (2, 0x2B), (3, 0xA9), (8, 90), (28, 1), (40, 2)] {
        block[at] = byte;
    }
    Superblock::seal(&mut block, Version::V0Little);
    let sum = u32::from_le_bytes(block[152..156].try_into().unwrap());
    let once = (sum & 0xFFFF) + (sum >> 16);
    let folded = (once & 0xFFFF) + (once >> 16);
    block[152..156].copy_from_slice(&folded.to_le_bytes());
    let superblock = Superblock::parse(&block, Version::V0Little, MEDIUM).unwrap();
    assert_eq!(superblock.record().notes, Notes::WEAK_CHECKSUM);
}

#[test]
fn a_reshape_that_shrinks_and_moves_data_is_told_from_both_ends() {
    // Features: reshape, new offset. From RAID 5 of 4 to RAID 6 of 3, chunk 64 KiB to 32 KiB, data 1024 sectors earlier.
    let patches: [Patch; 8] = [
        (8, &[0x44]),
        (92, &[3]),
        (100, &[6]),
        (104, &[0, 16]),
        (112, &(-1_i32).to_le_bytes()),
        (116, &[8]),
        (120, &[64]),
        (124, &(-1024_i32).to_le_bytes()),
    ];
    let record = patched(Version::V1_2, &patches).unwrap();
    let reshape = record.reshape.unwrap();
    assert_eq!((record.shape.members, reshape.to.members), (4, 3));
    assert_eq!(record.shape.level, Level::Raid5(Raid5Layout::LeftSymmetric));
    assert_eq!(reshape.to.level, Level::Raid6(Raid6Layout::RotatingZeroRestart));
    assert_eq!((record.shape.chunk, reshape.to.chunk), (Sectors(128), Sectors(64)));
    assert_eq!((reshape.position, reshape.backwards), (Sector(4096), true));
    assert_eq!(reshape.new_data_at.0, record.data.at.0 - 1024);
    assert_eq!(record.table_in_sync.len(), 4, "the slots of the wider shape");
}

#[test]
fn a_reshape_of_the_same_width_runs_backwards_only_if_it_says_so() {
    let same = |features: u8| {
        let patches: [Patch; 5] = [(8, &[features]), (100, &[5]), (104, &[0, 16]), (116, &[3]), (120, &[128])];
        patched(Version::V1_2, &patches).unwrap().reshape.unwrap()
    };
    assert!(!same(0x04).backwards);
    assert!(same(0x24).backwards);
    assert_eq!(same(0x04).to.level, Level::Raid5(Raid5Layout::RightSymmetric));
}

#[test]
fn a_dirty_0_90_trusts_its_mark_only_from_the_same_events() {
    let sync = |cp_events: u8| {
        let patches: [Patch; 4] = [(132, &[0]), (156, &[7]), (164, &[cp_events]), (172, &[0, 2, 0, 0])];
        patched(Version::V0Little, &patches).unwrap().sync
    };
    assert_eq!(sync(7), Sync::DirtyFrom(Sector(512)));
    assert_eq!(sync(6), Sync::DirtyFrom(Sector(0)));
}
