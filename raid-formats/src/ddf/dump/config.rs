//! Configuration records: of virtual disks, of spares, and others'.

use super::{Part, checksum, code, full, hex, moment, u64_of, wide};
use crate::{
    ddf::{
        level,
        raw::{Config, Header, MAGIC_CONFIG, MAGIC_SPARE, RECORD_BYTES, SpareEntry, SpareHead, SpareKind},
        word::{Full, Order, Wide},
    },
    dump::{Field, Flags, Value, fields, flag_names, narrow},
};
use zerocopy::FromBytes;

pub(super) fn records(part: Part, record_bytes: usize, header: &Header, visit: &mut dyn FnMut(Field)) {
    let order = part.order;
    let max_members = usize::from(header.max_primary_elements.get(order));
    let mut rest = part;
    let mut index = 0_u32;
    while record_bytes > 0 && rest.bytes.len() >= record_bytes {
        let record = rest.first(record_bytes);
        let signature = Full::read_from_prefix(record.bytes).map_or(0, |(signature, _)| signature.get(order));
        match signature {
            MAGIC_CONFIG => volume(record, index, max_members, visit),
            MAGIC_SPARE => spare(record, index, visit),
            0 | u32::MAX => record.tell_bytes("config.free", visit),
            _ => record.tell_bytes("config.of_others", visit),
        }
        rest = rest.behind(record_bytes);
        index = index.saturating_add(1);
    }
    rest.tell_bytes("config.rest", visit);
}

fn volume(part: Part, number: u32, max_members: usize, visit: &mut dyn FnMut(Field)) {
    let Some((raw, rest)) = part.split::<Config>(visit) else { return };
    volume_head(part, raw, number, visit);
    volume_tail(part, raw, number, visit);
    members(rest, max_members, visit);
}

fn volume_head(part: Part, raw: &Config, number: u32, visit: &mut dyn FnMut(Field)) {
    let order = part.order;
    fields!(visit, raw, Config, at part.at, index Some(number), prefix "config.", {
        signature => hex(raw.signature.get(order)), "0xeeeeeeee";
        crc => checksum(raw.crc, part.bytes, RECORD_BYTES, order), "checksum of the record";
        guid => Value::Bytes(&raw.guid.0), "identity of the virtual disk";
        timestamp => moment(raw.timestamp, order), "creation";
        sequence => full(raw.sequence, order), "number of the change";
        pad1 => Value::Bytes(&raw.pad1), "reserved";
        primary_count => u64_of(raw.primary_count.get(order)), "members of an element";
        strip_shift => u64_of(raw.strip_shift), "two to this many blocks make a strip";
        primary_level => code(raw.primary_level, level_name(raw.primary_level)), "level within an element";
        level_qualifier => u64_of(raw.level_qualifier), "which layout of that level";
        secondary_count => u64_of(raw.secondary_count), "elements";
        secondary_seq => u64_of(raw.secondary_seq), "which of them";
        secondary_level => code(raw.secondary_level, secondary_name(raw.secondary_level)), "level over the elements";
        blocks => wide(raw.blocks, order), "blocks of each member";
        volume_blocks => wide(raw.volume_blocks, order), "blocks of the virtual disk";
        block_size => u64_of(raw.block_size.get(order)), "bytes of a block (2.0)";
        rotate_parity => u64_of(raw.rotate_parity), "stripes between rotations, as a power of two (2.0)";
        pad2 => Value::Bytes(&raw.pad2), "reserved";
    });
}

fn volume_tail(part: Part, raw: &Config, number: u32, visit: &mut dyn FnMut(Field)) {
    let order = part.order;
    let spares = part.behind(core::mem::offset_of!(Config, spares)).first(size_of_val(&raw.spares));
    references(spares, "config.spares", "disk that is spare for this virtual disk", visit);
    fields!(visit, raw, Config, at part.at, index Some(number), prefix "config.", {
        cache_policy => Value::Bytes(&raw.cache_policy), "how the controller caches";
        background_rate => u64_of(raw.background_rate), "speed of work in the background";
        pad3 => Value::Bytes(&raw.pad3), "reserved";
        mdf_parity_disks => u64_of(raw.mdf_parity_disks), "parity members of RAID MDF (2.0)";
        mdf_polynomial => hex(raw.mdf_polynomial.get(order)), "its polynomial (2.0)";
        pad4 => u64_of(raw.pad4), "reserved";
        mdf_constants => u64_of(raw.mdf_constants), "how its constants are made (2.0)";
        pad5 => Value::Bytes(&raw.pad5), "reserved";
        pad6 => Value::Bytes(&raw.pad6), "reserved";
        v0 => Value::Bytes(&raw.v0), "of the vendor";
        v1 => Value::Bytes(&raw.v1), "of the vendor";
        v2 => Value::Bytes(&raw.v2), "of the vendor";
        v3 => Value::Bytes(&raw.v3), "of the vendor";
        vendor_data => Value::Bytes(&raw.vendor_data), "of the vendor";
    });
}

/// The tables behind the fixed part.
fn members(part: Part, max_members: usize, visit: &mut dyn FnMut(Field)) {
    let len = max_members.saturating_mul(size_of::<Full>());
    references(part.first(len), "config.members", "disk in this place", visit);
    let mut rest = part.behind(len);
    let starts = rest.first(max_members.saturating_mul(size_of::<Wide>()));
    let (found, _) = starts.bytes.as_chunks::<8>();
    for (bytes, index) in found.iter().zip(0_u32..) {
        let number = Wide::read_from_bytes(bytes).unwrap_or(Wide::ABSENT);
        let (offset, value) = (narrow(rest.at), wide(number, part.order));
        let meaning = "block where its data start";
        visit(Field { name: "config.starts", index: Some(index), offset, len: 8, value, meaning });
        rest = rest.behind(8);
    }
    rest.tell_bytes("config.unused", visit);
}

fn references(part: Part, name: &'static str, meaning: &'static str, visit: &mut dyn FnMut(Field)) {
    let (found, _) = part.bytes.as_chunks::<4>();
    for (bytes, index) in found.iter().zip(0_u32..) {
        let number = Full::read_from_bytes(bytes).map_or(u32::MAX, |number| number.get(part.order));
        let at = usize::try_from(index).unwrap_or(0).saturating_mul(4).saturating_add(part.at);
        visit(Field { name, index: Some(index), offset: narrow(at), len: 4, value: hex(number), meaning });
    }
    let left = found.len().saturating_mul(4);
    part.behind(left).tell_bytes(name, visit);
}

fn spare(part: Part, number: u32, visit: &mut dyn FnMut(Field)) {
    let Some((raw, mut rest)) = part.split::<SpareHead>(visit) else { return };
    let order: Order = part.order;
    let kind = Value::Flags(Flags { bits: raw.spare_type.into(), names: flag_names!(SpareKind) });
    fields!(visit, raw, SpareHead, at part.at, index Some(number), prefix "spare.", {
        signature => hex(raw.signature.get(order)), "0x55555555";
        crc => checksum(raw.crc, part.bytes, RECORD_BYTES, order), "checksum of the record";
        timestamp => moment(raw.timestamp, order), "creation";
        pad1 => Value::Bytes(&raw.pad1), "reserved";
        spare_type => kind, "kind of spare";
        populated => u64_of(raw.populated.get(order)), "virtual disks that it serves";
        max => u64_of(raw.max.get(order)), "room for them";
        pad2 => Value::Bytes(&raw.pad2), "reserved";
    });
    for index in 0..u32::from(raw.populated.get(order)) {
        if rest.bytes.len() < size_of::<SpareEntry>() {
            break;
        }
        let Some((raw, behind)) = rest.split::<SpareEntry>(visit) else { break };
        fields!(visit, raw, SpareEntry, at rest.at, index Some(index), prefix "spare.entry.", {
            guid => Value::Bytes(&raw.guid.0), "a virtual disk";
            secondary_element => u64_of(raw.secondary_element.get(order)), "the element of it";
            pad1 => Value::Bytes(&raw.pad1), "reserved";
        });
        rest = behind;
    }
    rest.tell_bytes("spare.unused", visit);
}

const fn level_name(number: u8) -> &'static str {
    match number {
        0x00 => "RAID 0",
        0x01 => "RAID 1",
        0x03 => "RAID 3",
        0x04 => "RAID 4",
        0x05 => "RAID 5",
        0x06 => "RAID 6",
        0x07 => "RAID MDF",
        0x0F => "one disk",
        0x11 => "RAID 1E",
        0x15 => "RAID 5E",
        0x1F => "linear",
        0x25 => "RAID 5EE",
        0x35 => "RAID 5R",
        _ => "unknown",
    }
}

const fn secondary_name(number: u8) -> &'static str {
    match number {
        level::SECONDARY_STRIPED => "striped",
        level::SECONDARY_MIRRORED => "mirrored",
        2 => "linear",
        level::SECONDARY_SPANNED => "spanned",
        level::SECONDARY_NONE => "none",
        _ => "unknown",
    }
}
