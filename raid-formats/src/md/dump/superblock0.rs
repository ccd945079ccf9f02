//! Superblock 0.90 field by field.

use super::{layout, level};
use crate::{
    dump::{Field, Flags, Value, fields, flag_names},
    md::{
        Refusal,
        raw0::{Disk, DiskState, RECORD_BYTES, Raw0, State0},
        v0,
    },
};
use zerocopy::{FromBytes, IntoBytes, byteorder::ByteOrder};

pub(super) fn dump<O: ByteOrder>(bytes: &[u8], visit: &mut dyn FnMut(Field)) -> Result<(), Refusal> {
    let (raw, _) = Raw0::<O>::ref_from_prefix(bytes)
        .map_err(|_| Refusal::Truncated { found: bytes.len(), expected: RECORD_BYTES })?;
    constant(raw, visit);
    state(raw, visit);
    for (index, entry) in raw.disks.iter().enumerate() {
        let at = core::mem::offset_of!(Raw0<O>, disks).saturating_add(index.saturating_mul(size_of::<Disk<O>>()));
        disk(entry, at, u32::try_from(index).ok(), visit);
    }
    own_disk(&raw.this_disk, visit);
    Ok(())
}

fn u64_of(number: impl Into<u64>) -> Value<'static> {
    Value::U64(number.into())
}

fn time(seconds: u32) -> Value<'static> {
    Value::Time { seconds: seconds.into(), micros: 0 }
}

fn constant<O: ByteOrder>(raw: &Raw0<O>, visit: &mut dyn FnMut(Field)) {
    fields!(visit, raw, Raw0<O>, at 0_usize, index None, prefix "", {
        md_magic => Value::Hex(raw.md_magic.get().into()), "0xa92b4efc";
        major_version => u64_of(raw.major_version.get()), "0";
        minor_version => u64_of(raw.minor_version.get()), "90; 91 during a reshape";
        patch_version => u64_of(raw.patch_version.get()), "ignored";
        gvalid_words => u64_of(raw.gvalid_words.get()), "ignored";
        set_uuid0 => Value::Hex(raw.set_uuid0.get().into()), "identity of the array, first word";
        ctime => time(raw.ctime.get()), "creation";
        level => level(raw.level.get()), "level";
        size => u64_of(raw.size.get()), "KiB used of each member";
        nr_disks => u64_of(raw.nr_disks.get()), "members";
        raid_disks => u64_of(raw.raid_disks.get()), "slots; during a reshape, those of the new shape";
        md_minor => u64_of(raw.md_minor.get()), "preferred number of the array's device";
        not_persistent => u64_of(raw.not_persistent.get()), "0";
        set_uuid1 => Value::Hex(raw.set_uuid1.get().into()), "identity of the array, second word";
        set_uuid2 => Value::Hex(raw.set_uuid2.get().into()), "identity of the array, third word";
        set_uuid3 => Value::Hex(raw.set_uuid3.get().into()), "identity of the array, fourth word";
        gstate_creserved => Value::Bytes(raw.gstate_creserved.as_bytes()), "reserved";
    });
}

fn state<O: ByteOrder>(raw: &Raw0<O>, visit: &mut dyn FnMut(Field)) {
    let sum = Value::Checksum { found: raw.sb_csum.get(), expected: v0::checksum(raw) };
    fields!(visit, raw, Raw0<O>, at 0_usize, index None, prefix "", {
        utime => time(raw.utime.get()), "last update";
        state => Value::Flags(Flags { bits: raw.state.get().into(), names: flag_names!(State0) }), "state of the array";
        active_disks => u64_of(raw.active_disks.get()), "members that serve";
        working_disks => u64_of(raw.working_disks.get()), "members that serve or wait";
        failed_disks => u64_of(raw.failed_disks.get()), "members that failed or are missing";
        spare_disks => u64_of(raw.spare_disks.get()), "members that wait";
        sb_csum => sum, "checksum of the record";
        events => u64_of(raw.events.get()), "updates so far";
        cp_events => u64_of(raw.cp_events.get()), "events when recovery_cp was written";
        recovery_cp => u64_of(raw.recovery_cp.get()), "sector from which redundancy is in doubt";
        reshape_position => u64_of(raw.reshape_position.get()), "array sector that the reshape has reached (0.91)";
        new_level => level(raw.new_level.get()), "level after the reshape (0.91)";
        delta_disks => Value::I64(raw.delta_disks.get().into()), "slots that the reshape adds (0.91)";
        new_layout => layout(raw.new_level.get(), raw.new_layout.get()), "layout after the reshape (0.91)";
        new_chunk => u64_of(raw.new_chunk.get()), "chunk after the reshape, in bytes (0.91)";
        gstate_sreserved => Value::Bytes(raw.gstate_sreserved.as_bytes()), "reserved";
        layout => layout(raw.level.get(), raw.layout.get()), "layout";
        chunk_size => u64_of(raw.chunk_size.get()), "chunk in bytes";
        root_pv => u64_of(raw.root_pv.get()), "historic";
        root_block => u64_of(raw.root_block.get()), "historic";
        pstate_reserved => Value::Bytes(raw.pstate_reserved.as_bytes()), "reserved";
    });
}

/// The same five words and padding for a table entry and for the member's own copy, which differ only in the prefix of their names.
macro_rules! disk_fields {
    ($visit:expr, $disk:expr, $at:expr, $index:expr, $prefix:literal) => {
        fields!($visit, $disk, Disk<O>, at $at, index $index, prefix $prefix, {
            number => u64_of($disk.number.get()), "permanent number";
            major => u64_of($disk.major.get()), "device number, major";
            minor => u64_of($disk.minor.get()), "device number, minor";
            raid_disk => u64_of($disk.raid_disk.get()), "slot";
            state => Value::Flags(Flags { bits: $disk.state.get().into(), names: flag_names!(DiskState) }), "state";
            reserved => Value::Bytes($disk.reserved.as_bytes()), "reserved";
        })
    };
}

fn disk<O: ByteOrder>(disk: &Disk<O>, at: usize, index: Option<u32>, visit: &mut dyn FnMut(Field)) {
    disk_fields!(visit, disk, at, index, "disks.");
}

fn own_disk<O: ByteOrder>(disk: &Disk<O>, visit: &mut dyn FnMut(Field)) {
    let at = core::mem::offset_of!(Raw0<O>, this_disk);
    disk_fields!(visit, disk, at, None, "this_disk.");
}
