//! Superblock 1.x field by field.

use super::{layout, level};
use crate::{
    dump::{Field, Flags, Value, fields, flag_names, narrow},
    md::{
        Refusal,
        raw1::{DeviceFlags, Features, HEAD_BYTES, Head, RECORD_BYTES, ROLES_MAX, Raw1},
        role_from_word, v1,
    },
    record::{Name, Role},
};
use zerocopy::{FromBytes, IntoBytes};

pub(super) fn dump(bytes: &[u8], visit: &mut dyn FnMut(Field)) -> Result<(), Refusal> {
    let (raw, _) =
        Raw1::ref_from_prefix(bytes).map_err(|_| Refusal::Truncated { found: bytes.len(), expected: RECORD_BYTES })?;
    constant(&raw.head, visit);
    log_place(&raw.head, visit);
    reshape(&raw.head, visit);
    device(raw, visit);
    state(raw, visit);
    table(raw, visit);
    Ok(())
}

fn u64_of(number: impl Into<u64>) -> Value<'static> {
    Value::U64(number.into())
}

/// Seconds in the low 40 bits, microseconds above.
fn time(word: u64) -> Value<'static> {
    let micros = u32::try_from(word >> 40).unwrap_or(u32::MAX);
    Value::Time { seconds: word & v1::TIME_SECONDS_MASK, micros }
}

fn constant(head: &Head, visit: &mut dyn FnMut(Field)) {
    let name = Name(head.set_name);
    fields!(visit, head, Head, at 0_usize, index None, prefix "", {
        magic => Value::Hex(head.magic.get().into()), "0xa92b4efc";
        major_version => u64_of(head.major_version.get()), "1";
        feature_map => Value::Flags(Flags { bits: head.feature_map.get().into(), names: flag_names!(Features) }), "features";
        pad0 => u64_of(head.pad0.get()), "reserved";
        set_uuid => Value::Bytes(&head.set_uuid), "identity of the array";
        set_name => Value::Text(name.as_bytes()), "name of the array";
        ctime => time(head.ctime.get()), "creation";
        level => level(head.level.get()), "level";
        layout => layout(head.level.get(), head.layout.get()), "layout";
        size => u64_of(head.size.get()), "sectors used of each member";
        chunksize => u64_of(head.chunksize.get()), "chunk in sectors";
        raid_disks => u64_of(head.raid_disks.get()), "slots; during a reshape, those of the new shape";
    });
}

/// The word at 96 is two halves for a partial parity log, one number otherwise.
fn log_place(head: &Head, visit: &mut dyn FnMut(Field)) {
    let features = Features::from_bits_retain(head.feature_map.get());
    let offset = narrow(core::mem::offset_of!(Head, bitmap_offset));
    let mut tell = |name, offset, len, value, meaning| visit(Field { name, index: None, offset, len, value, meaning });
    if features.intersects(Features::PPL | Features::MULTIPLE_PPLS) {
        let (at, size) = head.ppl();
        tell("ppl.offset", offset, 2, Value::I64(at.into()), "partial parity log, in sectors from the superblock");
        tell("ppl.size", offset.saturating_add(2), 2, u64_of(size), "sectors of the partial parity log");
    } else {
        let at = Value::I64(head.bitmap_offset.get().into());
        tell("bitmap_offset", offset, 4, at, "bitmap, in sectors from the superblock");
    }
}

fn reshape(head: &Head, visit: &mut dyn FnMut(Field)) {
    fields!(visit, head, Head, at 0_usize, index None, prefix "", {
        new_level => level(head.new_level.get()), "level after the reshape";
        reshape_position => u64_of(head.reshape_position.get()), "array sector that the reshape has reached";
        delta_disks => Value::I64(head.delta_disks.get().into()), "slots that the reshape adds";
        new_layout => layout(head.new_level.get(), head.new_layout.get()), "layout after the reshape";
        new_chunk => u64_of(head.new_chunk.get()), "chunk after the reshape, in sectors";
        new_offset => Value::I64(head.new_offset.get().into()), "sectors by which the reshape moves this member's data";
        data_offset => u64_of(head.data_offset.get()), "first sector of the data";
        data_size => u64_of(head.data_size.get()), "sectors of room for data";
        super_offset => u64_of(head.super_offset.get()), "sector of this superblock";
    });
}

fn device(raw: &Raw1, visit: &mut dyn FnMut(Field)) {
    let head = &raw.head;
    let own = usize::try_from(head.dev_number.get()).ok().and_then(|number| raw.dev_roles.get(number));
    let journal = own.is_some_and(|word| word.get() == v1::ROLE_JOURNAL);
    let (name, meaning) = match journal {
        true => ("journal_tail", "where replay of the journal starts, in sectors of its data"),
        false => ("recovery_offset", "sectors of this member that are rebuilt"),
    };
    let offset = narrow(core::mem::offset_of!(Head, recovery_offset));
    visit(Field { name, index: None, offset, len: 8, value: u64_of(head.recovery_offset.get()), meaning });
    fields!(visit, head, Head, at 0_usize, index None, prefix "", {
        dev_number => u64_of(head.dev_number.get()), "permanent number of this member";
        cnt_corrected_read => u64_of(head.cnt_corrected_read.get()), "read errors that were corrected";
        device_uuid => Value::Bytes(&head.device_uuid), "identity of this member";
        devflags => Value::Flags(Flags { bits: head.devflags.into(), names: flag_names!(DeviceFlags) }), "flags of this member";
        bblog_shift => u64_of(head.bblog_shift), "power of two of sectors in a block of the bad block list";
        bblog_size => u64_of(head.bblog_size.get()), "sectors of the bad block list";
        bblog_offset => Value::I64(head.bblog_offset.get().into()), "bad block list, in sectors from the superblock";
    });
}

fn state(raw: &Raw1, visit: &mut dyn FnMut(Field)) {
    let head = &raw.head;
    let found = head.sb_csum.get();
    let sum = match v1::checksum(raw) {
        Some(expected) => Value::Checksum { found, expected },
        None => Value::Hex(found.into()),
    };
    let resync = match head.resync_offset.get() {
        u64::MAX => Value::Code { number: -1, name: "clean" },
        from => u64_of(from),
    };
    fields!(visit, head, Head, at 0_usize, index None, prefix "", {
        utime => time(head.utime.get()), "last update";
        events => u64_of(head.events.get()), "updates so far";
        resync_offset => resync, "sector from which redundancy is in doubt";
        sb_csum => sum, "checksum of head and table";
        max_dev => u64_of(head.max_dev.get()), "length of the table";
        logical_block_size => u64_of(head.logical_block_size.get()), "bytes of a logical block of the array, from Linux 6.19";
        pad3 => Value::Bytes(&head.pad3), "reserved";
    });
}

fn table(raw: &Raw1, visit: &mut dyn FnMut(Field)) {
    let len = usize::try_from(raw.head.max_dev.get()).unwrap_or(ROLES_MAX).min(ROLES_MAX);
    let (roles, rest) = raw.dev_roles.split_at_checked(len).unwrap_or((&raw.dev_roles, &[]));
    let mut offset = narrow(HEAD_BYTES);
    for (index, word) in (0..).zip(roles) {
        let number = i64::from(word.get());
        let value = match role_from_word(word.get()) {
            Role::Slot(slot) => u64_of(slot),
            Role::Spare | Role::Unidentified => Value::Code { number, name: "spare or nobody" },
            Role::Faulty => Value::Code { number, name: "faulty" },
            Role::Journal => Value::Code { number, name: "journal" },
        };
        visit(Field { name: "dev_roles", index: Some(index), offset, len: 2, value, meaning: "slot of that number" });
        offset = offset.saturating_add(2);
    }
    let rest = rest.as_bytes();
    if !rest.is_empty() {
        let (value, meaning) = (Value::Bytes(rest), "behind the table, not summed");
        visit(Field { name: "dev_roles.unused", index: None, offset, len: narrow(rest.len()), value, meaning });
    }
}
