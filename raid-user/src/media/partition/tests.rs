//! Tables made by hand, sound and broken. Tables made by a real tool are in `tests/media_tools.rs`.

use proptest::prelude::*;

use super::*;
use crate::media::MemMedia;

const MIB: usize = 1 << 20;

/// A GPT with one 1 MiB partition per name, from 1 MiB on, with both copies.
fn gpt(size: usize, block: usize, names: &[&str]) -> Vec<u8> {
    let mut disk = vec![0; size];
    mbr_entry(&mut disk, 0, 0, [0xEE, 0], 1, u32::MAX);
    let mut entries = vec![0; 128 * 128];
    for (slot, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let first = ((slot + 1) * MIB / block) as u64;
        let entry = &mut entries[slot * 128..][..128];
        entry[..16].copy_from_slice(&[
            0x0F, 0x88, 0x9D, 0xA1, 0xFC, 5, 0x3B, 0x4D, 0xA0, 6, 0x74, 0x3F, 0xF, 0x84, 0x91, 0x1E,
        ]);
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&(first + (MIB / block) as u64 - 1).to_le_bytes());
        for (place, unit) in entry[56..].chunks_exact_mut(2).zip(name.encode_utf16()) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
    }
    let last = size / block - 1;
    let backup_entries = last - entries.len() / block;
    for (lba, other, at) in [(1, last, 2), (last, 1, backup_entries)] {
        disk[at * block..][..entries.len()].copy_from_slice(&entries);
        gpt_header(&mut disk, block, lba, other, at, &entries);
    }
    disk
}

fn gpt_header(disk: &mut [u8], block: usize, lba: usize, other: usize, at: usize, entries: &[u8]) {
    let header = &mut disk[lba * block..][..92];
    header[..8].copy_from_slice(b"EFI PART");
    header[10..13].copy_from_slice(&[1, 0, 92]);
    for (offset, value) in [(24, lba), (32, other), (72, at)] {
        header[offset..offset + 8].copy_from_slice(&(value as u64).to_le_bytes());
    }
    header[80] = 128;
    header[84] = 128;
    header[88..92].copy_from_slice(&crc32fast::hash(entries).to_le_bytes());
    seal(header);
}

/// Makes a header's checksum right again.
fn seal(header: &mut [u8]) {
    header[16..20].fill(0);
    let crc = crc32fast::hash(&header[..92]);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
}

/// Writes an MBR entry, `[type, boot flag]`, and the signature.
fn mbr_entry(disk: &mut [u8], record: usize, slot: usize, [kind, boot]: [u8; 2], first: u32, blocks: u32) {
    let entry = &mut disk[record + 446 + slot * 16..][..16];
    (entry[0], entry[4]) = (boot, kind);
    entry[8..12].copy_from_slice(&first.to_le_bytes());
    entry[12..16].copy_from_slice(&blocks.to_le_bytes());
    disk[record + 510..record + 512].copy_from_slice(&[0x55, 0xAA]);
}

/// Two primary partitions, and a container with two logical ones and an empty link between them.
fn mbr_with_chain() -> Vec<u8> {
    let mut disk = vec![0; 4 * MIB];
    mbr_entry(&mut disk, 0, 0, [0xFD, 0x80], 63, 100);
    mbr_entry(&mut disk, 0, 1, [0x05, 0], 1000, 5000);
    mbr_entry(&mut disk, 0, 3, [0x83, 0], 300, 50);
    mbr_entry(&mut disk, 1000 * 512, 0, [0xFD, 0], 8, 20);
    mbr_entry(&mut disk, 1000 * 512, 1, [0x05, 0], 500, 100);
    mbr_entry(&mut disk, 1500 * 512, 1, [0x05, 0], 800, 100);
    mbr_entry(&mut disk, 1800 * 512, 0, [0x82, 0], 8, 30);
    disk
}

fn table(bytes: Vec<u8>) -> Result<Option<Table>, TableError> {
    partitions(&MemMedia::new("disk", bytes))
}

/// Number, start and length in blocks of 512, of each partition.
fn places(table: &Table) -> Vec<(u32, u64, u64)> {
    table.partitions.iter().map(|found| (found.index, found.start_bytes / 512, found.len_bytes / 512)).collect()
}

#[test]
fn a_gpt_is_read_with_either_block_size() {
    for block in [512, 4096] {
        let table = table(gpt(8 * MIB, block, &["one", "", "drüi"])).unwrap().unwrap();
        assert_eq!((table.block_bytes as usize, table.notes.len()), (block, 0));
        assert_eq!(places(&table), [(1, 2048, 2048), (3, 6144, 2048)]);
        assert_eq!(table.partitions[1].name, "drüi");
        assert_eq!(table.partitions[0].kind.to_string(), "a19d880f-05fc-4d3b-a006-743f0f84911e");
    }
}

#[test]
fn a_device_of_4096_byte_blocks_is_not_read_as_one_of_512() {
    let disk = MemMedia::new("disk", gpt(8 * MIB, 512, &["one"])).with_block_bytes(4096);
    assert!(matches!(partitions(&disk), Err(TableError::Gpt { .. })));
}

#[test]
fn a_broken_first_gpt_is_replaced_by_its_backup_and_that_is_said() {
    for (block, at, says) in [
        (512, 512, "missing"),
        (512, 512 + 16, "checksum"),
        (512, 512 + 57, "checksum"),
        (512, 1024 + 40, "entries with a wrong checksum"),
        (4096, 4096 + 16, "checksum"),
        (4096, 8192 + 40, "entries with a wrong checksum"),
    ] {
        let mut disk = gpt(8 * MIB, block, &["one"]);
        disk[at] ^= 1;
        let table = table(disk).unwrap().unwrap();
        assert_eq!(places(&table), [(1, 2048, 2048)]);
        assert!(
            matches!(&table.notes[..], [Note::BackupTable { primary }] if primary.contains(says)),
            "{:?}",
            table.notes
        );
    }
}

#[test]
fn a_wiped_start_leaves_the_backup() {
    let mut disk = gpt(8 * MIB, 512, &["one"]);
    disk[..MIB].fill(0);
    assert_eq!(places(&table(disk).unwrap().unwrap()), [(1, 2048, 2048)]);
}

#[test]
fn two_broken_copies_are_an_error_that_says_why() {
    let mut disk = gpt(8 * MIB, 512, &["one"]);
    disk[512 + 57] ^= 1;
    disk[8 * MIB - 512] ^= 1;
    let text = table(disk).unwrap_err().to_string();
    assert!(text.contains("primary has a wrong checksum, backup is missing"), "{text}");
    let mut disk = gpt(8 * MIB, 512, &["one"]);
    disk[512..MIB].fill(0);
    disk[7 * MIB..].fill(0);
    assert!(matches!(table(disk), Err(TableError::Gpt { .. })), "the MBR says that there was one");
}

#[test]
fn a_gpt_that_asks_for_the_impossible_is_refused() {
    for (offset, value) in [(72, u64::MAX), (72, 1 << 60), (80, u64::MAX), (84, 0), (84, 127), (84, 1 << 30), (24, 2)] {
        let mut disk = gpt(8 * MIB, 512, &["one"]);
        for start in [512, 8 * MIB - 512] {
            let len = if matches!(offset, 80 | 84) { 4 } else { 8 };
            disk[start + offset..][..len].copy_from_slice(&value.to_le_bytes()[..len]);
            seal(&mut disk[start..][..92]);
        }
        assert!(matches!(table(disk), Err(TableError::Gpt { .. })), "{value} at {offset}");
    }
}

#[test]
fn an_mbr_is_numbered_as_linux_does() {
    let table = table(mbr_with_chain()).unwrap().unwrap();
    assert_eq!(places(&table), [(1, 63, 100), (4, 300, 50), (5, 1008, 20), (6, 1808, 30)]);
    assert_eq!(table.partitions[0].kind.to_string(), "0xfd");
    assert_eq!(table.notes, []);
}

#[test]
fn a_broken_chain_yields_what_was_before_the_break() {
    let mut disk = mbr_with_chain();
    disk[1800 * 512 + 510] = 0;
    let found = table(disk).unwrap().unwrap();
    assert_eq!(places(&found), [(1, 63, 100), (4, 300, 50), (5, 1008, 20)]);
    assert_eq!(found.notes, [Note::BrokenChain { after: 5 }]);
    let mut disk = mbr_with_chain();
    mbr_entry(&mut disk, 1800 * 512, 1, [0x05, 0], 500, 100);
    let found = table(disk).unwrap().unwrap();
    assert!(matches!(found.notes[..], [Note::BrokenChain { .. }]), "a loop ends");
}

#[test]
fn an_mbr_with_partitions_of_its_own_hides_remains_of_a_gpt() {
    let mut disk = gpt(8 * MIB, 512, &["old"]);
    mbr_entry(&mut disk, 0, 0, [0x83, 0], 63, 100);
    assert_eq!(places(&table(disk).unwrap().unwrap()), [(1, 63, 100)]);
}

#[test]
fn what_has_no_table_has_none() {
    let mut boot_sector = mbr_with_chain();
    boot_sector[446] = b'N';
    for bytes in [vec![0; MIB], vec![0; 100], vec![0xFF; 513], vec![], boot_sector] {
        assert_eq!(table(bytes).unwrap(), None);
    }
}

#[test]
fn a_partition_reads_itself_and_not_its_neighbours() {
    let mut bytes = gpt(8 * MIB, 4096, &["one", "two"]);
    bytes[2 * MIB..3 * MIB].fill(9);
    let disk = std::sync::Arc::new(MemMedia::new("disk", bytes));
    let (table, found) = find(&disk, 2).unwrap();
    let part = Part::new(std::sync::Arc::clone(&disk), &found, table.block_bytes).unwrap();
    assert_eq!((part.size_bytes(), part.block_bytes(), part.describe().as_str()), (MIB as u64, 4096, "disk#2"));
    let mut buf = vec![0; MIB];
    part.read_at(0, &mut buf).unwrap();
    assert_eq!(buf, vec![9; MIB]);
    assert_eq!(part.read_at(1, &mut buf).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    {
        use crate::media::MediaMut as _;
        part.write_at(MIB as u64 - 1, &[1]).unwrap();
        part.write_zeroes(0, 5, true).unwrap();
        part.write_at(MIB as u64, &[1]).unwrap_err();
        part.write_zeroes(1, MIB as u64, true).unwrap_err();
    }
    let after = disk.contents();
    assert_eq!(
        (&after[2 * MIB - 1..2 * MIB + 6], &after[3 * MIB - 2..3 * MIB + 1]),
        (&[0, 0, 0, 0, 0, 0, 9][..], &[9, 1, 0][..])
    );
}

#[test]
fn a_partition_that_the_disk_is_too_short_for_is_refused() {
    let mut bytes = mbr_with_chain();
    bytes.truncate(1020 * 512);
    let disk = MemMedia::new("disk", bytes);
    let (table, found) = find(&disk, 5).unwrap();
    let text = Part::new(disk, &found, table.block_bytes).unwrap_err().to_string();
    assert!(text.starts_with("disk#5: ") && text.contains("cut short"), "{text}");
}

#[test]
fn a_missing_partition_is_an_error_that_lists_those_that_are_there() {
    let disk = MemMedia::new("disk", mbr_with_chain());
    assert_eq!(
        find(&disk, 2).unwrap_err().to_string(),
        "disk#2: the partition table has no such entry, only 1, 4, 5, 6"
    );
    assert!(find(&MemMedia::new("disk", vec![0; 512]), 1).unwrap_err().to_string().contains("no partition table"));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..8192), signed in any::<bool>()) {
        let mut bytes = bytes;
        if signed && bytes.len() >= 512 {
            bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
            for slot in 0..4 {
                bytes[446 + slot * 16] &= 0x80;
            }
        }
        check(bytes);
    }

    /// Damage that the checksums do not catch, because it is signed.
    #[test]
    fn a_damaged_gpt_never_panics(
        damage in prop::collection::vec((24..92_usize, any::<u8>()), 1..8),
        entry in prop::collection::vec(any::<u8>(), 128),
        large in any::<bool>(),
    ) {
        let block = if large { 4096 } else { 512 };
        let mut disk = gpt(4 * MIB, block, &["one"]);
        disk[2 * block..][..128].copy_from_slice(&entry);
        let crc = crc32fast::hash(&disk[2 * block..][..128 * 128]);
        disk[block + 88..][..4].copy_from_slice(&crc.to_le_bytes());
        seal(&mut disk[block..][..92]);
        check(disk.clone());
        for (at, byte) in damage {
            disk[block + at] = byte;
        }
        seal(&mut disk[block..][..92]);
        check(disk);
    }

    #[test]
    fn a_damaged_mbr_never_panics(damage in prop::collection::vec((0..4_usize, 446..512_usize, any::<u8>()), 1..16)) {
        let mut disk = mbr_with_chain();
        for (record, at, byte) in damage {
            disk[[0, 1000, 1500, 1800][record] * 512 + at] = byte;
        }
        check(disk);
    }
}

/// Reads the table and every partition's ends. Whatever opens lies within the disk.
fn check(bytes: Vec<u8>) {
    let disk = std::sync::Arc::new(MemMedia::new("disk", bytes));
    let Ok(Some(table)) = partitions(&disk) else { return };
    for found in &table.partitions {
        if let Ok(part) = Part::new(std::sync::Arc::clone(&disk), found, table.block_bytes) {
            part.read_at(0, &mut [0]).unwrap();
            part.read_at(part.size_bytes() - 1, &mut [0]).unwrap();
            part.read_at(part.size_bytes(), &mut [0]).unwrap_err();
        }
    }
}
