//! The GUID partition table (UEFI 2.10, section 5.3). Trusts a copy only if both its checksums hold.

use std::io;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{Kind, Media, Note, Partition, Table};
use crate::media::check_range;

/// Entry arrays are 16 KiB; more than this is no table but a wish to use up memory.
const ENTRIES_BYTES_MAX: u64 = 1 << 20;

/// The header, at the start of its block.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    signature: [u8; 8],
    revision: U32,
    header_bytes: U32,
    header_crc: U32,
    reserved: U32,
    my_lba: U64,
    alternate_lba: U64,
    first_usable_lba: U64,
    last_usable_lba: U64,
    disk_guid: [u8; 16],
    entries_lba: U64,
    entry_count: U32,
    entry_bytes: U32,
    entries_crc: U32,
}

/// An entry, at the start of its `entry_bytes`.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Entry {
    type_guid: [u8; 16],
    own_guid: [u8; 16],
    first_lba: U64,
    last_lba: U64,
    attributes: U64,
    name: [U16; 36],
}

const _: () = assert!(size_of::<Header>() == 92 && size_of::<Entry>() == 128);

/// What was found with one block size.
pub(super) enum Found {
    /// A table, perhaps its backup.
    Table(Table),
    /// A first copy that is one by its signature, and neither copy usable.
    Broken {
        /// What is wrong with the first copy.
        primary: String,
        /// What is wrong with the copy at the end.
        backup: String,
    },
    /// No first copy, and no good copy at the end.
    Nothing,
}

/// Why a copy is not usable.
enum Refusal {
    /// There is none.
    Missing,
    /// There is one, but it cannot be trusted.
    Broken(String),
}

impl Refusal {
    fn text(self) -> String {
        match self {
            Self::Missing => "is missing".to_owned(),
            Self::Broken(reason) => reason,
        }
    }
}

/// Reads the table, counting in blocks of `block_bytes`: the copy in block 1, or else the copy in the last block.
pub(super) fn read(media: &dyn Media, block_bytes: u32) -> io::Result<Found> {
    let primary = match copy_at(media, block_bytes, 1)? {
        Ok(partitions) => return Ok(Found::Table(Table { block_bytes, partitions, notes: Vec::new() })),
        Err(refusal) => refusal,
    };
    let Some(last_lba) = (media.size_bytes() / u64::from(block_bytes)).checked_sub(1) else {
        return Ok(Found::Nothing);
    };
    match (primary, copy_at(media, block_bytes, last_lba)?) {
        (primary, Ok(partitions)) => {
            let notes = vec![Note::BackupTable { primary: primary.text() }];
            Ok(Found::Table(Table { block_bytes, partitions, notes }))
        }
        (Refusal::Missing, Err(_)) => Ok(Found::Nothing),
        (Refusal::Broken(primary), Err(backup)) => Ok(Found::Broken { primary, backup: backup.text() }),
    }
}

/// Reads one copy. The outer error is the medium's.
fn copy_at(media: &dyn Media, block_bytes: u32, lba: u64) -> io::Result<Result<Vec<Partition>, Refusal>> {
    let Some(block) = read_blocks(media, block_bytes, lba, u64::from(block_bytes))? else {
        return Ok(Err(Refusal::Missing));
    };
    let header = match header(&block, lba) {
        Ok(header) => header,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let broken = |reason: &str| Ok(Err(Refusal::Broken(reason.to_owned())));
    let entry_bytes = header.entry_bytes.get();
    let array_bytes = u64::from(entry_bytes).saturating_mul(u64::from(header.entry_count.get()));
    if entry_bytes < 128 || array_bytes > ENTRIES_BYTES_MAX {
        return broken("has entries of an impossible size");
    }
    let Some(array) = read_blocks(media, block_bytes, header.entries_lba.get(), array_bytes)? else {
        return broken("has its entries past the end");
    };
    if crc32fast::hash(&array) != header.entries_crc.get() {
        return broken("has entries with a wrong checksum");
    }
    let entries = array.chunks_exact(usize::try_from(entry_bytes).unwrap_or(usize::MAX));
    Ok(Ok((1..).zip(entries).filter_map(|(index, bytes)| partition(index, bytes, block_bytes)).collect()))
}

/// Checks a header by its signature, place and checksum.
fn header(block: &[u8], lba: u64) -> Result<Header, Refusal> {
    let broken = |reason: &str| Refusal::Broken(reason.to_owned());
    let (header, _) = Header::read_from_prefix(block).map_err(|_| Refusal::Missing)?;
    if header.signature != *b"EFI PART" {
        return Err(Refusal::Missing);
    }
    let covered = usize::try_from(header.header_bytes.get()).ok().filter(|len| *len >= size_of::<Header>());
    let mut covered =
        covered.and_then(|len| block.get(..len)).ok_or_else(|| broken("has an impossible size"))?.to_vec();
    if let Some(own) = covered.get_mut(16..20) {
        own.fill(0);
    }
    if crc32fast::hash(&covered) != header.header_crc.get() {
        return Err(broken("has a wrong checksum"));
    }
    if header.my_lba.get() != lba {
        return Err(broken("belongs to another place"));
    }
    Ok(header)
}

/// An entry that is used and makes sense.
fn partition(index: u32, bytes: &[u8], block_bytes: u32) -> Option<Partition> {
    let (entry, _) = Entry::read_from_prefix(bytes).ok()?;
    if entry.type_guid == [0; 16] {
        return None;
    }
    let (first_lba, block_bytes) = (entry.first_lba.get(), u64::from(block_bytes));
    let blocks = entry.last_lba.get().checked_sub(first_lba)?.checked_add(1)?;
    let units = entry.name.iter().map(|unit| unit.get()).take_while(|unit| *unit != 0);
    Some(Partition {
        index,
        start_bytes: first_lba.checked_mul(block_bytes)?,
        len_bytes: blocks.checked_mul(block_bytes)?,
        kind: Kind::Gpt(entry.type_guid),
        name: char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect(),
    })
}

/// Reads `len_bytes` from block `lba` on; nothing if that is not within the medium.
fn read_blocks(media: &dyn Media, block_bytes: u32, lba: u64, len_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(offset_bytes) = lba.checked_mul(u64::from(block_bytes)) else { return Ok(None) };
    if check_range(media.size_bytes(), offset_bytes, len_bytes).is_err() {
        return Ok(None);
    }
    let mut buf = vec![0; usize::try_from(len_bytes).unwrap_or(0)];
    media.read_at(offset_bytes, &mut buf)?;
    Ok(Some(buf))
}
