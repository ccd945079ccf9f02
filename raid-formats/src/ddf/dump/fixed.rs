//! Records of fixed size: headers, controller data, physical disk data, and the log of bad blocks.

use super::{Part, checksum, code, full, hex, moment, u64_of, wide};
use crate::{
    ddf::{
        raw::{BadBlockEntry, BadBlockHead, Controller, DiskData, Header, RECORD_BYTES},
        word::Order,
    },
    dump::{Field, Value, fields},
};

pub(super) fn header(raw: &Header, bytes: &[u8], order: Order, visit: &mut dyn FnMut(Field)) {
    // A header shares its block with nothing; of a longer slice only the header is its own.
    let own = bytes.get(..RECORD_BYTES).unwrap_or(bytes);
    fields!(visit, raw, Header, at 0_usize, index None, prefix "", {
        signature => hex(raw.signature.get(order)), "0xde11de11";
        crc => checksum(raw.crc, own, RECORD_BYTES, order), "checksum of the header";
        guid => Value::Bytes(&raw.guid.0), "identity of the configuration";
        revision => Value::Text(&raw.revision), "version of the specification";
        sequence => full(raw.sequence, order), "number of the update";
        timestamp => moment(raw.timestamp, order), "last update";
        open_flag => code(raw.open_flag, open(raw.open_flag)), "update under way";
        foreign_flag => u64_of(raw.foreign_flag), "configured elsewhere";
        disk_grouping => u64_of(raw.disk_grouping), "keep groups of disks together";
        pad1 => Value::Bytes(&raw.pad1), "reserved";
        header_ext => Value::Bytes(&raw.header_ext), "of the vendor";
        primary_lba => wide(raw.primary_lba, order), "block of the primary header";
        secondary_lba => wide(raw.secondary_lba, order), "block of the secondary header";
        header_type => code(raw.header_type, kind(raw.header_type)), "which header";
        pad2 => Value::Bytes(&raw.pad2), "reserved";
        workspace_length => full(raw.workspace_length, order), "blocks for the vendor to work in";
        workspace_lba => wide(raw.workspace_lba, order), "first of them";
        max_pd_entries => u64_of(raw.max_pd_entries.get(order)), "room for physical disks";
        max_vd_entries => u64_of(raw.max_vd_entries.get(order)), "room for virtual disks";
        max_partitions => u64_of(raw.max_partitions.get(order)), "virtual disks on one disk";
        config_record_length => u64_of(raw.config_record_length.get(order)), "blocks of a configuration record";
        max_primary_elements => u64_of(raw.max_primary_elements.get(order)), "room for members of an element";
        max_mapped_blocks => full(raw.max_mapped_blocks, order), "room in the log of bad blocks (2.0)";
        pad3 => Value::Bytes(&raw.pad3), "reserved";
    });
    sections(raw, order, visit);
    fields!(visit, raw, Header, at 0_usize, index None, prefix "", {
        pad4 => Value::Bytes(&raw.pad4), "reserved";
    });
}

/// Offset and length of each section, in blocks from the header.
fn sections(raw: &Header, order: Order, visit: &mut dyn FnMut(Field)) {
    let at = core::mem::offset_of!(Header, controller);
    let all = [
        ("controller.offset", "controller.length", raw.controller),
        ("physical.offset", "physical.length", raw.physical),
        ("virtual_disks.offset", "virtual_disks.length", raw.virtual_disks),
        ("config.offset", "config.length", raw.config),
        ("disk_data.offset", "disk_data.length", raw.disk_data),
        ("bad_blocks.offset", "bad_blocks.length", raw.bad_blocks),
        ("diagnostics.offset", "diagnostics.length", raw.diagnostics),
        ("vendor_logs.offset", "vendor_logs.length", raw.vendor_logs),
    ];
    for ((offset_name, length_name, section), number) in all.into_iter().zip(0_usize..) {
        let offset = crate::dump::narrow(number.saturating_mul(8).saturating_add(at));
        let mut tell = |name, offset, number, meaning| {
            visit(Field { name, index: None, offset, len: 4, value: full(number, order), meaning });
        };
        tell(offset_name, offset, section.offset, "in blocks from this header");
        tell(length_name, offset.saturating_add(4), section.length, "blocks");
    }
}

const fn open(flag: u8) -> &'static str {
    match flag {
        0 => "closed",
        0xFF => "anchor",
        _ => "open",
    }
}

const fn kind(header_type: u8) -> &'static str {
    match header_type {
        0 => "anchor",
        1 => "primary",
        2 => "secondary",
        _ => "unknown",
    }
}

pub(super) fn controller(part: Part, visit: &mut dyn FnMut(Field)) {
    let Some((raw, rest)) = part.split::<Controller>(visit) else { return };
    let order = part.order;
    fields!(visit, raw, Controller, at part.at, index None, prefix "controller.", {
        signature => hex(raw.signature.get(order)), "0xad111111";
        crc => checksum(raw.crc, part.bytes, RECORD_BYTES, order), "checksum of the controller data";
        guid => Value::Bytes(&raw.guid.0), "identity of the controller";
        vendor_id => hex(raw.vendor_id.get(order)), "PCI vendor";
        device_id => hex(raw.device_id.get(order)), "PCI device";
        sub_vendor_id => hex(raw.sub_vendor_id.get(order)), "PCI subsystem's vendor";
        sub_device_id => hex(raw.sub_device_id.get(order)), "PCI subsystem";
        product_id => Value::Text(&raw.product_id), "name of the controller";
        pad1 => Value::Bytes(&raw.pad1), "reserved";
        vendor_data => Value::Bytes(&raw.vendor_data), "of the vendor";
    });
    rest.tell_bytes("controller.rest", visit);
}

pub(super) fn disk(part: Part, visit: &mut dyn FnMut(Field)) {
    let Some((raw, rest)) = part.split::<DiskData>(visit) else { return };
    let order = part.order;
    fields!(visit, raw, DiskData, at part.at, index None, prefix "disk.", {
        signature => hex(raw.signature.get(order)), "0x33333333";
        crc => checksum(raw.crc, part.bytes, RECORD_BYTES, order), "checksum of the physical disk data";
        guid => Value::Bytes(&raw.guid.0), "identity of this disk";
        reference => hex(raw.reference.get(order)), "by which tables name this disk";
        forced_reference => u64_of(raw.forced_reference), "the reference was made up";
        forced_guid => u64_of(raw.forced_guid), "the identity was made up";
        vendor_data => Value::Bytes(&raw.vendor_data), "of the vendor";
        pad1 => Value::Bytes(&raw.pad1), "reserved";
    });
    rest.tell_bytes("disk.rest", visit);
}

pub(super) fn bad_blocks(part: Part, visit: &mut dyn FnMut(Field)) {
    let Some((raw, mut rest)) = part.split::<BadBlockHead>(visit) else { return };
    let order = part.order;
    fields!(visit, raw, BadBlockHead, at part.at, index None, prefix "bad_blocks.", {
        signature => hex(raw.signature.get(order)), "0xabadb10c";
        crc => checksum(raw.crc, part.bytes, RECORD_BYTES, order), "checksum of the log";
        entry_count => u64_of(raw.entry_count.get(order)), "entries in use";
        spare_count => full(raw.spare_count, order), "blocks kept for them";
        pad1 => Value::Bytes(&raw.pad1), "reserved";
        first_spare_lba => wide(raw.first_spare_lba, order), "the first of those";
    });
    for index in 0..u32::from(raw.entry_count.get(order)) {
        if rest.bytes.len() < size_of::<BadBlockEntry>() {
            break;
        }
        let Some((raw, behind)) = rest.split::<BadBlockEntry>(visit) else { break };
        fields!(visit, raw, BadBlockEntry, at rest.at, index Some(index), prefix "bad_blocks.entry.", {
            defective_lba => wide(raw.defective_lba, order), "first bad block";
            spare_offset => full(raw.spare_offset, order), "where it was moved, in blocks from the first spare one";
            count => u64_of(raw.count.get(order)), "blocks";
            pad1 => Value::Bytes(&raw.pad1), "reserved";
        });
        rest = behind;
    }
    rest.tell_bytes("bad_blocks.rest", visit);
}
