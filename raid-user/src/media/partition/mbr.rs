//! The partition table of the PC's master boot record, with logical partitions. The numbers are those that Linux gives
//! (`block/partitions/msdos.c`): slots 1 to 4, then each logical partition with a size in the order of its chain, from 5.

use std::io;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{Kind, Media, Note, Partition, Table};
use crate::media::check_range;

/// Linux follows this many links and no more.
const LINKS_MAX: u32 = 100;

/// Bytes of the record that count; the rest of a larger block is unused.
const RECORD_BYTES: u64 = 512;

/// An entry of the record.
#[derive(Clone, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Entry {
    boot: u8,
    first_chs: [u8; 3],
    kind: u8,
    last_chs: [u8; 3],
    first_lba: U32,
    blocks: U32,
}

/// The record: code, four entries, and a signature.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Record {
    code: [u8; 446],
    entries: [Entry; 4],
    signature: [u8; 2],
}

const _: () = assert!(size_of::<Record>() == 512);

impl Entry {
    /// True if the disk is said to hold a GPT.
    pub(super) fn announces_gpt(&self) -> bool {
        self.kind == 0xEE
    }

    /// True if it stands for any blocks.
    pub(super) fn is_used(&self) -> bool {
        self.kind != 0 && self.blocks.get() != 0
    }

    /// True if it holds logical partitions: DOS, Windows and Linux each had their own number.
    fn is_container(&self) -> bool {
        self.is_used() && matches!(self.kind, 0x05 | 0x0F | 0x85)
    }

    /// As a partition that counts from `base_blocks`.
    fn partition(&self, index: u32, base_blocks: u64, block_bytes: u32) -> Partition {
        // At most 2^33 blocks of 2^32 bytes: no overflow before a medium of that size exists.
        let first_blocks = base_blocks.saturating_add(u64::from(self.first_lba.get()));
        Partition {
            index,
            start_bytes: first_blocks.saturating_mul(u64::from(block_bytes)),
            len_bytes: u64::from(self.blocks.get()).saturating_mul(u64::from(block_bytes)),
            kind: Kind::Mbr(self.kind),
            name: String::new(),
        }
    }
}

/// The four entries of the record in block 0, if it is one. The boot sector of a file system carries the same signature;
/// where a table's boot flags would be, it holds something else than the two values of a flag.
pub(super) fn read_primary(media: &dyn Media) -> io::Result<Option<[Entry; 4]>> {
    let entries = read_record(media, 0)?;
    Ok(entries.filter(|entries| entries.iter().all(|entry| matches!(entry.boot, 0 | 0x80))))
}

/// The partitions of the record, and of the chains that its containers begin.
pub(super) fn read(media: &dyn Media, entries: &[Entry; 4], block_bytes: u32) -> io::Result<Table> {
    let mut table = Table { block_bytes, partitions: Vec::new(), notes: Vec::new() };
    for (index, entry) in (1..).zip(entries) {
        if entry.is_used() && !entry.is_container() {
            table.partitions.push(entry.partition(index, 0, block_bytes));
        }
    }
    let mut next_index = 5;
    for container in entries.iter().filter(|entry| entry.is_container()) {
        read_chain(media, u64::from(container.first_lba.get()), &mut next_index, &mut table)?;
    }
    Ok(table)
}

/// Follows one chain. Each link's data entries count from the link itself, its next link from the container's start.
fn read_chain(media: &dyn Media, container_blocks: u64, next_index: &mut u32, table: &mut Table) -> io::Result<()> {
    let mut link_blocks = container_blocks;
    for link in 0..LINKS_MAX {
        let Some(entries) = read_record(media, link_blocks.saturating_mul(u64::from(table.block_bytes)))? else {
            // A container that never held anything need not have a first link.
            if link > 0 {
                table.notes.push(Note::BrokenChain { after: next_index.saturating_sub(1) });
            }
            return Ok(());
        };
        for entry in entries.iter().filter(|entry| entry.is_used() && !entry.is_container()) {
            table.partitions.push(entry.partition(*next_index, link_blocks, table.block_bytes));
            *next_index = next_index.saturating_add(1);
        }
        let Some(next) = entries.iter().find(|entry| entry.is_container()) else { return Ok(()) };
        link_blocks = container_blocks.saturating_add(u64::from(next.first_lba.get()));
    }
    table.notes.push(Note::BrokenChain { after: next_index.saturating_sub(1) });
    Ok(())
}

/// The entries of the record at an offset, if there is one.
fn read_record(media: &dyn Media, offset_bytes: u64) -> io::Result<Option<[Entry; 4]>> {
    if check_range(media.size_bytes(), offset_bytes, RECORD_BYTES).is_err() {
        return Ok(None);
    }
    let mut buf = [0; 512];
    media.read_at(offset_bytes, &mut buf)?;
    let record = Record::read_from_bytes(&buf).ok().filter(|record| record.signature == [0x55, 0xAA]);
    Ok(record.map(|record| record.entries))
}
