//! Bitmap header, bad block list, partial parity log header and journal meta block field by field.

use crate::{
    dump::{Field, Flags, Value, fields, flag_names, narrow},
    md::{
        Refusal,
        bad_blocks::{ENTRIES_MAX as BAD_BLOCKS_MAX, entries},
        bitmap::{BitmapState, HEADER_BYTES as BITMAP_BYTES, RawBitmap},
        journal::{self, BLOCK_BYTES, HEADER_BYTES as META_BYTES, Payload, Placed, RawMeta, payloads},
        ppl::{self, ENTRIES_MAX, HEADER_BYTES as PPL_BYTES, RawEntry, RawPpl},
    },
    record::Uuid,
};
use zerocopy::{FromBytes, IntoBytes};

fn u64_of(number: impl Into<u64>) -> Value<'static> {
    Value::U64(number.into())
}

fn truncated(bytes: &[u8], expected: usize) -> Refusal {
    Refusal::Truncated { found: bytes.len(), expected }
}

/// Tells `visit` every field of a bitmap's header, sound or not.
///
/// # Errors
/// [`Refusal::Truncated`].
pub fn bitmap(bytes: &[u8], mut visit: impl FnMut(Field)) -> Result<(), Refusal> {
    let (raw, _) = RawBitmap::ref_from_prefix(bytes).map_err(|_| truncated(bytes, BITMAP_BYTES))?;
    let version = match raw.version.get() {
        3 => "bits in the writer's order",
        4 => "little-endian bits",
        5 => "clustered",
        6 => "lockless, bytes",
        _ => "unknown",
    };
    let state = Flags { bits: raw.state.get().into(), names: flag_names!(BitmapState) };
    fields!(visit, raw, RawBitmap, at 0_usize, index None, prefix "", {
        magic => Value::Hex(raw.magic.get().into()), "\"bitm\"";
        version => Value::Code { number: raw.version.get().into(), name: version }, "version";
        uuid => Value::Bytes(&raw.uuid), "identity of the array; empty in dm-raid";
        events => u64_of(raw.events.get()), "the superblock's events when this was last complete";
        events_cleared => u64_of(raw.events_cleared.get()), "a member with at least these events needs only the dirty chunks";
        sync_size => u64_of(raw.sync_size.get()), "sectors that the bits count";
        state => Value::Flags(state), "state";
        chunksize => u64_of(raw.chunksize.get()), "bytes that a bit stands for";
        daemon_sleep => u64_of(raw.daemon_sleep.get()), "seconds between two rounds of clearing";
        write_behind => u64_of(raw.write_behind.get()), "most writes that write-mostly members may lag behind";
        sectors_reserved => u64_of(raw.sectors_reserved.get()), "sectors of room for the bitmap";
        nodes => u64_of(raw.nodes.get()), "nodes of the cluster";
        cluster_name => Value::Text(text(&raw.cluster_name)), "name of the cluster";
        pad => Value::Bytes(&raw.pad), "reserved";
    });
    Ok(())
}

/// The bytes before the padding.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(&[])
}

/// Tells `visit` every entry of a bad block list up to its end mark: where the run starts and how long it is, in sectors.
pub fn bad_blocks(bytes: &[u8], shift: u8, mut visit: impl FnMut(Field)) {
    for (index, run) in (0_u32..).zip(entries(bytes, shift).take(BAD_BLOCKS_MAX)) {
        let (value, meaning) = (Value::Run(run), "bad sectors, from the medium's start");
        visit(Field { name: "bad_block", index: Some(index), offset: index.saturating_mul(8), len: 8, value, meaning });
    }
}

/// Tells `visit` every field of a partial parity log's header, sound or not.
///
/// # Errors
/// [`Refusal::Truncated`].
pub fn ppl(bytes: &[u8], mut visit: impl FnMut(Field)) -> Result<(), Refusal> {
    let (raw, _) = RawPpl::ref_from_prefix(bytes).map_err(|_| truncated(bytes, PPL_BYTES))?;
    let sum = Value::Checksum { found: raw.checksum.get(), expected: ppl::checksum(raw) };
    fields!(visit, raw, RawPpl, at 0_usize, index None, prefix "", {
        reserved => Value::Bytes(&raw.reserved), "all ones";
        signature => Value::Hex(raw.signature.get().into()), "inverted CRC of the array's identity";
        padding => u64_of(raw.padding.get()), "reserved";
        generation => u64_of(raw.generation.get()), "grows with each header";
        entries_count => u64_of(raw.entries_count.get()), "entries that count";
        checksum => sum, "checksum of the header";
    });
    let count = usize::try_from(raw.entries_count.get()).unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX);
    let (used, rest) = raw.entries.split_at_checked(count).unwrap_or((&raw.entries, &[]));
    let mut at = core::mem::offset_of!(RawPpl, entries);
    for (index, entry) in (0..).zip(used) {
        fields!(visit, entry, RawEntry, at at, index Some(index), prefix "entries.", {
            data_sector => u64_of(entry.data_sector.get()), "first array sector written";
            pp_size => u64_of(entry.pp_size.get()), "bytes of partial parity; 0 for whole stripes";
            data_size => u64_of(entry.data_size.get()), "bytes written";
            parity_disk => u64_of(entry.parity_disk.get()), "member that holds the parity";
            checksum => Value::Hex(entry.checksum.get().into()), "checksum of the partial parity";
        });
        at = at.saturating_add(size_of::<RawEntry>());
    }
    if !rest.is_empty() {
        tell_bytes(&mut visit, "entries.unused", at, rest.as_bytes());
    }
    fields!(visit, raw, RawPpl, at 0_usize, index None, prefix "", {
        tail => Value::Bytes(&raw.tail), "reserved";
    });
    Ok(())
}

fn tell_bytes(visit: &mut impl FnMut(Field), name: &'static str, offset: usize, bytes: &[u8]) {
    let (value, meaning) = (Value::Bytes(bytes), "not used");
    visit(Field { name, index: None, offset: narrow(offset), len: narrow(bytes.len()), value, meaning });
}

/// Tells `visit` every field of a journal's meta block, sound or not. The CRC needs the array's identity.
///
/// # Errors
/// [`Refusal::Truncated`].
pub fn journal(bytes: &[u8], array: Uuid, mut visit: impl FnMut(Field)) -> Result<(), Refusal> {
    let block: &[u8; BLOCK_BYTES] = bytes.first_chunk().ok_or(truncated(bytes, BLOCK_BYTES))?;
    let (raw, _) = RawMeta::ref_from_prefix(block).map_err(|_| truncated(bytes, META_BYTES))?;
    let expected = journal::checksum(block, journal::seed(array));
    fields!(visit, raw, RawMeta, at 0_usize, index None, prefix "", {
        magic => Value::Hex(raw.magic.get().into()), "0x6433c509";
        checksum => Value::Checksum { found: raw.checksum.get(), expected }, "checksum of the block";
        version => u64_of(raw.version), "1";
        padding => Value::Bytes(&raw.padding), "reserved";
        meta_size => u64_of(raw.meta_size.get()), "bytes of the block that are used";
        seq => u64_of(raw.seq.get()), "number of the block";
        position => u64_of(raw.position.get()), "sector of the block in the ring";
    });
    let mut end = META_BYTES;
    for (index, placed) in (0..).zip(payloads(block)) {
        tell_payload(&mut visit, index, &placed);
        end = placed.offset.saturating_add(placed.len);
    }
    if let Some(rest) = block.get(end..).filter(|rest| !rest.is_empty()) {
        tell_bytes(&mut visit, "payload.unused", end, rest);
    }
    Ok(())
}

fn tell_payload(visit: &mut impl FnMut(Field), index: u32, placed: &Placed) {
    let mut tell = |name, at: usize, len: usize, value, meaning| {
        let offset = narrow(placed.offset.saturating_add(at));
        visit(Field { name, index: Some(index), offset, len: narrow(len), value, meaning });
    };
    let (number, name) = match placed.payload {
        Payload::Data { .. } => (0, "data"),
        Payload::Parity { .. } => (1, "parity"),
        Payload::Flush { .. } => (2, "flush"),
    };
    tell("payload.type", 0, 2, Value::Code { number, name }, "what follows");
    tell("payload.flags", 2, 2, u64_of(placed.head.flags.get()), "flags");
    tell("payload.size", 4, 4, u64_of(placed.head.size.get()), "sectors of the pages, or bytes of the flush's list");
    match placed.payload {
        Payload::Data { at, checksums } | Payload::Parity { at, checksums } => {
            tell("payload.location", 8, 8, u64_of(at.0), "array sector of data, member sector of parity");
            if !checksums.is_empty() {
                let bytes = checksums.as_flattened();
                tell("payload.checksum", 16, bytes.len(), Value::Bytes(bytes), "checksum of each page");
            }
        }
        Payload::Flush { stripes } if !stripes.is_empty() => {
            let len = placed.len.saturating_sub(8);
            tell(
                "payload.flush_stripes",
                8,
                len,
                Value::Bytes(stripes.as_flattened()),
                "member sectors of stripes done",
            );
        }
        Payload::Flush { .. } => (),
    }
}
