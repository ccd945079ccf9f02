//! Finds a qcow2 file that was cut short or is encrypted, before any of it is read. Reads no data; the image reader does.
//!
//! The image reader looks at neither: it would serve the encrypted bytes as data, and what lies past the end of an
//! image file reads as zeros, so a mapping table that was lost with the end of the file would turn its gigabytes into
//! zeros without a word. Fields: QEMU `docs/interop/qcow2.txt`, "Header" and "Cluster mapping".

use std::io;

use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Media;

/// `QFI\xfb`.
pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// QEMU refuses larger tables too.
const L1_BYTES_MAX: u64 = 32 << 20;

/// The bits of a table entry that are an offset.
const OFFSET_MASK: u64 = 0x00FF_FFFF_FFFF_FE00;

/// The start of the header, the same in both versions.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: [u8; 4],
    version: U32,
    backing_offset: U64,
    backing_len: U32,
    cluster_bits: U32,
    size_bytes: U64,
    crypt_method: U32,
    l1_entries: U32,
    l1_offset: U64,
}

/// How long the file must be at least to hold its mapping tables, if it is a qcow2 file at all.
///
/// # Errors
/// The medium's error; [`io::ErrorKind::InvalidData`] if the tables cannot be those of such an image;
/// [`io::ErrorKind::Unsupported`] if it is encrypted.
pub(super) fn needed_bytes(media: &impl Media) -> io::Result<u64> {
    let invalid = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason.to_owned());
    let mut buf = [0; size_of::<Header>()];
    let header_bytes = super::len_of(&buf);
    if media.size_bytes() < header_bytes {
        return Ok(header_bytes);
    }
    media.read_at(0, &mut buf)?;
    let header = Header::read_from_bytes(&buf).ok().filter(|header| header.magic == MAGIC);
    let Some(header) = header else { return Ok(0) };
    if header.crypt_method.get() != 0 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "it is encrypted, which is not supported"));
    }
    let cluster_bits = header.cluster_bits.get();
    if !(9..=21).contains(&cluster_bits) {
        return Err(invalid("its cluster size is impossible"));
    }
    let cluster_bytes = 1_u64 << cluster_bits;
    let (l1_entries, l1_offset) = (u64::from(header.l1_entries.get()), header.l1_offset.get());
    // One entry leads to one cluster of 8-byte entries, each of which leads to one cluster of data.
    let covered_bytes = cluster_bytes.saturating_mul(cluster_bytes / 8).saturating_mul(l1_entries);
    if covered_bytes < header.size_bytes.get() {
        return Err(invalid("its first mapping table is too small for its size"));
    }
    let l1_bytes = l1_entries.saturating_mul(8);
    if l1_bytes > L1_BYTES_MAX {
        return Err(invalid("its first mapping table is larger than any"));
    }
    let l1_end_bytes = l1_offset.saturating_add(l1_bytes);
    if l1_end_bytes > media.size_bytes() {
        return Ok(l1_end_bytes);
    }
    let mut l1 = vec![U64::ZERO; usize::try_from(l1_entries).unwrap_or(0)];
    media.read_at(l1_offset, l1.as_mut_bytes())?;
    let ends = l1.iter().map(|entry| entry.get() & OFFSET_MASK).filter(|offset| *offset != 0);
    let tables_end_bytes = ends.map(|offset| offset.saturating_add(cluster_bytes)).max().unwrap_or(0);
    Ok(l1_end_bytes.max(tables_end_bytes))
}
