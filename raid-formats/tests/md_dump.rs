//! Dumps of real records: every byte told once, and the values that are known.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use raid_core::Sectors;
use raid_formats::{
    dump::Field,
    md::{Refusal, Version, dump, superblock_at},
    record::Uuid,
};
use raid_testkit::fixtures;
use std::collections::BTreeMap;

/// Collects a dump as text by name, and checks that its fields are the whole record, each byte once and in order.
fn told(len: u32, tell: impl FnOnce(&mut dyn FnMut(Field)) -> Result<(), Refusal>) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    let mut covered = 0;
    tell(&mut |field: Field| {
        assert_eq!(field.offset, covered, "{}", field.name);
        covered = field.offset + field.len;
        let index = field.index.map_or(String::new(), |index| format!("[{index}]"));
        let old = told.insert(format!("{}{index}", field.name), field.value.to_string());
        assert_eq!(old, None, "{} is told twice", field.name);
    })
    .unwrap();
    assert_eq!(covered, len);
    told
}

fn bytes(name: &str, member: usize, sector: u64, len: usize) -> Vec<u8> {
    let image = fixtures::load(name).members.remove(member).1;
    let start = usize::try_from(sector * 512).unwrap();
    image[start..start + len].to_vec()
}

fn check(told: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(told.get(*name).map(String::as_str), Some(*value), "{name}");
    }
}

#[test]
fn a_superblock_1_2_of_a_journal_member() {
    let block = bytes("md-1.2-raid5-journal-wb-crash", 3, 8, 4096);
    let told = told(4096, |visit| dump::superblock(&block, Version::V1_2, visit));
    let expected = [
        ("magic", "0xa92b4efc"),
        ("feature_map", "0x200 JOURNAL"),
        ("set_name", "\"uml:jour\""),
        ("level", "5 (RAID 5)"),
        ("layout", "2 (left-symmetric)"),
        ("raid_disks", "3"),
        ("journal_tail", "7560"),
        ("resync_offset", "-1 (clean)"),
        ("dev_roles[2]", "1"),
        ("dev_number", "0"),
        ("dev_roles[0]", "65533 (journal)"),
    ];
    check(&told, &expected);
    assert!(told["sb_csum"].ends_with("(right)"));
    assert!(!told.contains_key("recovery_offset"));
}

#[test]
fn a_superblock_1_2_with_a_partial_parity_log() {
    let block = bytes("md-1.2-raid5-ppl-clean", 0, 8, 4096);
    let told = told(4096, |visit| dump::superblock(&block, Version::V1_2, visit));
    check(&told, &[("feature_map", "0x800 MULTIPLE_PPLS"), ("ppl.offset", "8"), ("ppl.size", "2048")]);
}

#[test]
fn a_superblock_0_90_during_a_reshape() {
    let name = "md-0.90-raid5-reshape-3to4-crash";
    let at = superblock_at(Version::V0Little, Sectors(33_554_432 / 512)).unwrap();
    let mut block = bytes(name, 1, at.0, 4096);
    let told_once = told(4096, |visit| dump::superblock(&block, Version::V0Little, visit));
    let expected = [
        ("minor_version", "91"),
        ("raid_disks", "4"),
        ("delta_disks", "1"),
        ("chunk_size", "65536"),
        ("this_disk.number", "1"),
        ("this_disk.state", "0x6 ACTIVE SYNC"),
        ("disks.raid_disk[3]", "3"),
        ("gstate_creserved", "64 times 00"),
    ];
    check(&told_once, &expected);
    // A dump needs no sound record: this is what one looks at when it is refused.
    block[40] = 9;
    let damaged = told(4096, |visit| dump::superblock(&block, Version::V0Little, visit));
    assert!(damaged["sb_csum"].contains("(wrong, expected 0x"));
}

#[test]
fn a_bitmap_header_a_bad_block_list_a_log_header_and_a_meta_block() {
    let block = bytes("md-1.2-raid1-bitmap-degraded", 0, 16, 256);
    let bitmap = told(256, |visit| dump::bitmap(&block, visit));
    check(&bitmap, &[("version", "4 (little-endian bits)"), ("chunksize", "65536"), ("events_cleared", "1")]);

    let block = bytes("md-1.2-raid1-badblocks", 1, 24, 4096);
    let bad_blocks = told(16, |visit| {
        dump::bad_blocks(&block, 0, visit);
        Ok(())
    });
    check(&bad_blocks, &[("bad_block[0]", "8 sectors from 2500"), ("bad_block[1]", "100 sectors from 3000")]);

    let block = bytes("md-1.2-raid5-ppl-clean", 0, 16, 4096);
    let ppl = told(4096, |visit| dump::ppl(&block, visit));
    assert!(ppl["checksum"].ends_with("(right)"));
    assert!(ppl.contains_key("entries.data_sector[0]") && ppl["reserved"] == "512 times ff");

    let block = bytes("md-1.2-raid5-journal-wb-crash", 3, 2048 + 7560, 4096);
    let array = Uuid(*b"\xbc\x1e\x94\x37\x1b\xe8\xa2\x38\x63\xc8\xb5\x6e\x96\xb0\x92\x3f");
    let journal = told(4096, |visit| dump::journal(&block, array, visit));
    check(&journal, &[("magic", "0x6433c509"), ("position", "7560"), ("version", "1")]);
    assert!(journal["checksum"].ends_with("(right)") && journal.contains_key("payload.location[0]"));
}

#[test]
fn a_record_that_was_cut_off_is_not_dumped() {
    for version in Version::ALL {
        let dumped = dump::superblock(&[0; 4095], version, |_| panic!("nothing to tell"));
        assert_eq!(dumped, Err(Refusal::Truncated { found: 4095, expected: 4096 }));
    }
}
