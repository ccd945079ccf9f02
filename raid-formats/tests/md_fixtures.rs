//! Every member of every real MD array is read, and says what `mdadm --examine` said of it when the array was made.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use raid_core::{Level, Sectors};
use raid_formats::{
    md::{Superblock, Version, level_to_md, superblock_at},
    record::{Notes, Record, Role, Sync, WriteLog},
};
use raid_testkit::{
    fixtures::{self, Fixture},
    mdadm::{self, Examined},
};

fn md_fixtures() -> impl Iterator<Item = Fixture> {
    let names = fixtures::list().into_iter().filter(|name| name.starts_with("md-") || name.starts_with("crash-"));
    names.map(|name| fixtures::load(&name))
}

/// Members copied one by one from a running array are not from the moment in which `mdadm` looked.
fn settled(what: &str) -> bool {
    !what.contains("-crash/")
}

fn medium(image: &[u8]) -> Sectors {
    Sectors::from_bytes_floor(image.len() as u64)
}

fn block(image: &[u8], version: Version) -> &[u8] {
    let at = superblock_at(version, medium(image)).unwrap().bytes().unwrap();
    &image[usize::try_from(at).unwrap()..][..4096]
}

fn version_of(examined: &Examined) -> Version {
    match examined.field("Version") {
        "1.0" => Version::V1_0,
        "1.1" => Version::V1_1,
        "1.2" => Version::V1_2,
        "0.90.00" | "0.91.00" => Version::V0Little,
        other => panic!("unexpected version {other}"),
    }
}

/// Runs `check` on each member with what the oracle says of it, and says how many there were.
fn each_member(mut check: impl FnMut(&str, &[u8], &Superblock, &Examined)) -> usize {
    let mut count = 0;
    for fixture in md_fixtures() {
        let examined = mdadm::examined(fixture.text("mdadm-E.txt"));
        assert_eq!(examined.len(), fixture.members.len(), "{}", fixture.name);
        for ((file, image), examined) in fixture.members.iter().zip(&examined) {
            let what = format!("{}/{file}", fixture.name);
            let version = version_of(examined);
            let superblock = Superblock::parse(block(image, version), version, medium(image));
            check(&what, image, &superblock.unwrap_or_else(|refusal| panic!("{what}: {refusal}")), examined);
            count += 1;
        }
    }
    count
}

fn level_name(level: Level) -> String {
    match level_to_md(level).0 {
        -1 => "linear".to_owned(),
        number => format!("raid{number}"),
    }
}

fn layout_name(level: Level) -> Option<&'static str> {
    const RAID5: [&str; 6] =
        ["left-asymmetric", "right-asymmetric", "left-symmetric", "right-symmetric", "parity-first", "parity-last"];
    let (md_level, layout) = level_to_md(level);
    match (md_level, layout) {
        (0, 1) => Some("original"),
        (0, 0) => Some("-unknown-"),
        (5, layout) => RAID5.get(layout as usize).copied(),
        (6, layout) if layout < 6 => RAID5.get(layout as usize).copied(),
        (6, 8) => Some("ddf-zero-restart"),
        (6, 9) => Some("ddf-N-restart"),
        (6, 10) => Some("ddf-N-continue"),
        (6, 16) => Some("left-asymmetric-6"),
        (6, 17) => Some("right-asymmetric-6"),
        (6, 18) => Some("left-symmetric-6"),
        (6, 19) => Some("right-symmetric-6"),
        (6, 20) => Some("parity-first-6"),
        (10, 0x102) => Some("near=2"),
        (10, 0x103) => Some("near=3"),
        (10, 0x201) => Some("far=2"),
        (10, 0x301) => Some("far=3"),
        (10, 0x10201) => Some("offset=2"),
        (10, 0x10301) => Some("offset=3"),
        _ => None,
    }
}

#[test]
fn every_member_says_what_mdadm_says() {
    let count = each_member(|what, _, superblock, examined| {
        let record = superblock.record();
        let uuid = if examined.field("UUID").is_empty() { "Array UUID" } else { "UUID" };
        assert_eq!(record.array.to_string(), examined.field(uuid), "{what}");
        if settled(what) {
            assert_eq!(Some(record.events), examined.number("Events"), "{what}");
            let state = if record.sync == Sync::Clean { "clean" } else { "active" };
            assert_eq!(examined.field("State"), state, "{what}");
        }
        assert_eq!(level_name(record.shape.level), examined.field("Raid Level"), "{what}");
        let members = record.reshape.map_or(record.shape.members, |reshape| reshape.to.members);
        assert_eq!(Some(u64::from(members)), examined.number("Raid Devices"), "{what}");
        assert_eq!(record.notes, Notes::empty(), "{what}");
        assert!(examined.field("Checksum").ends_with("correct"), "{what}");
        if !examined.field("Layout").is_empty() {
            assert_eq!(layout_name(record.shape.level), Some(examined.field("Layout")), "{what}");
        }
        if let Some(chunk) = examined.field("Chunk Size").strip_suffix('K') {
            assert_eq!(record.shape.chunk, Sectors(chunk.parse::<u64>().unwrap() * 2), "{what}");
        }
        match version_of(examined) {
            Version::V0Little => check_0(what, &record, examined),
            _ => check_1(what, &record, examined),
        }
    });
    assert!(count >= 150, "only {count} members were seen");
}

fn check_1(what: &str, record: &Record, examined: &Examined) {
    assert_eq!(record.name.to_string(), examined.field("Name").split("  (").next().unwrap(), "{what}");
    assert_eq!(record.member.to_string(), examined.field("Device UUID"), "{what}");
    assert_eq!(record.data.at.0, examined.number("Data Offset").unwrap_or(0), "{what}");
    assert_eq!(Some(record.data.len.0), examined.number("Avail Dev Size"), "{what}");
    assert_eq!(record.sync_mark.map(|mark| mark.0), examined.number("Recovery Offset"), "{what}");
    let role = match record.role {
        Role::Slot(slot) => format!("Active device {slot}"),
        Role::Spare | Role::Faulty => "spare".to_owned(),
        Role::Journal => "Journal".to_owned(),
        Role::Unidentified => "of a format without numbers".to_owned(),
    };
    assert_eq!(role, examined.field("Device Role"), "{what}");
    let flags = examined.field("Flags");
    assert_eq!(record.write_mostly, flags.contains("write-mostly"), "{what}");
    assert_eq!(record.fail_fast, flags.contains("failfast"), "{what}");
    let table: String = (0..record.reshape.map_or(record.shape.members, |reshape| reshape.to.members))
        .map(
            |slot| {
                if record.table_in_sync.contains(raid_core::Member(u8::try_from(slot).unwrap())) { 'A' } else { '.' }
            },
        )
        .collect();
    let expected = examined.field("Array State").split(' ').next().unwrap();
    if record.sync_mark.is_none() {
        assert_eq!(table, expected, "{what}");
    }
    let super_offset = examined.number("Super Offset").unwrap();
    match record.log {
        WriteLog::None => assert_eq!(examined.hex("Feature Map").unwrap() & 0xE01, 0, "{what}"),
        WriteLog::Bitmap(at) => {
            let offset: i64 = examined.field("Internal Bitmap").split(' ').next().unwrap().parse().unwrap();
            assert_eq!(Some(at.0), super_offset.checked_add_signed(offset), "{what}");
        }
        WriteLog::Ppl { at, multiple } => {
            let words: Vec<&str> = examined.field("PPL").split(' ').collect();
            assert_eq!(at.len.0.to_string(), words[0], "{what}");
            assert_eq!((at.at.0 - super_offset).to_string(), words[4], "{what}");
            assert_eq!(multiple, examined.hex("Feature Map").unwrap() & 0x800 != 0, "{what}");
        }
        WriteLog::Journal { .. } => assert_eq!(examined.hex("Feature Map").unwrap() & 0x200, 0x200, "{what}"),
    }
    let present = examined.field("Bad Block Log").contains("bad blocks present");
    assert_eq!(record.bad_blocks.is_some(), present, "{what}");
    check_reshape(what, record, examined);
}

fn check_0(what: &str, record: &Record, examined: &Examined) {
    let this: Vec<&str> = examined.table[0].iter().map(String::as_str).collect();
    assert_eq!(record.number.to_string(), this[1], "{what}");
    assert_eq!(record.role, Role::Slot(this[4].parse().unwrap()), "{what}");
    assert_eq!(this[5..7], ["active", "sync"], "{what}");
    let used = examined.number("Used Dev Size").unwrap_or(0);
    assert_eq!(record.used.0, used * 2, "{what}");
    assert_eq!(record.data.at.0, 0, "{what}");
    let in_sync = examined.table[1..].iter().filter(|line| line[5..7] == ["active", "sync"]).count();
    assert!(
        in_sync > 1 && record.table_in_sync.len() as usize >= in_sync.min(usize::from(record.shape.members)),
        "{what}"
    );
    check_reshape(what, record, examined);
}

fn check_reshape(what: &str, record: &Record, examined: &Examined) {
    // "Delta Devices : 1 (3->4)" and a position in KiB.
    let position = record.reshape.map(|reshape| reshape.position.0 / 2);
    assert_eq!(position.is_some(), examined.number("Reshape pos'n").is_some(), "{what}");
    if settled(what) {
        assert_eq!(position, examined.number("Reshape pos'n"), "{what}");
    }
    if let Some(reshape) = record.reshape {
        let delta = examined.field("Delta Devices");
        let counts = format!("({}->{})", record.shape.members, reshape.to.members);
        assert!(delta.ends_with(&counts), "{what}: {delta} but {counts}");
        assert!(!reshape.backwards, "{what}");
    }
}

#[test]
fn parse_then_emit_gives_the_same_bytes() {
    each_member(|what, image, superblock, examined| {
        assert_eq!(&superblock.emit()[..], block(image, version_of(examined)), "{what}");
    });
}

#[test]
fn a_member_agrees_with_its_table_about_itself() {
    each_member(|what, _, superblock, _| {
        let record = superblock.record();
        assert_eq!(superblock.role_of(record.number), record.role, "{what}");
        assert_eq!(superblock.role_of(u32::MAX), Role::Spare, "{what}");
    });
}
