//! The records of the device-mapper targets field by field. Names are the kernel's, meanings are ours.

use super::{
    mirror::RawMirrorLog,
    raid::{Bits, RAID_BYTES, RawRaid, RawRaidExtension, RawRaidHead},
    snapshot::{RawEntry, RawStore},
};
use crate::{
    dump::{Field, Flags, Value, fields, narrow},
    md::{self, Refusal},
};
use core::mem::{offset_of, size_of};
use zerocopy::FromBytes;

/// Names of the bits of `compat_features`.
const COMPAT: &[(&str, u64)] = &[("VERSION_1_9", Bits::VERSION_1_9.bits() as u64)];
/// Names of the bits of `flags`.
const RESHAPE: &[(&str, u64)] = &[
    ("RESHAPE_ACTIVE", Bits::RESHAPE_ACTIVE.bits() as u64),
    ("RESHAPE_BACKWARDS", Bits::RESHAPE_BACKWARDS.bits() as u64),
];

/// All sectors, or how many.
fn mark(number: u64) -> Value<'static> {
    match number {
        u64::MAX => Value::Code { number: -1, name: "all" },
        _ => Value::U64(number),
    }
}

fn few(found: usize, expected: usize) -> Refusal {
    Refusal::Truncated { found, expected }
}

/// Tells `visit` every field of dm-raid's superblock, sound or not, and what stands behind it.
///
/// # Errors
/// Too few bytes.
pub fn raid(bytes: &[u8], mut visit: impl FnMut(Field)) -> Result<(), Refusal> {
    let (raw, rest) = RawRaid::ref_from_prefix(bytes).map_err(|_| few(bytes.len(), RAID_BYTES))?;
    let head = &raw.head;
    let compat = Flags { bits: u64::from(head.compat_features.get()), names: COMPAT };
    fields!(visit, head, RawRaidHead, at 0_usize, index None, prefix "", {
        magic => Value::Hex(u64::from(head.magic.get())), "DmRd";
        compat_features => Value::Flags(compat), "which fields are there";
        num_devices => Value::U64(u64::from(head.num_devices.get())), "devices of the set";
        array_position => Value::U64(u64::from(head.array_position.get())), "slot of this one";
        events => Value::U64(head.events.get()), "freshness";
        failed_devices => Value::Hex(head.failed_devices.get()), "slots that failed, one bit each";
        disk_recovery_offset => mark(head.disk_recovery_offset.get()), "sectors of this device that are rebuilt";
        array_resync_offset => mark(head.array_resync_offset.get()), "sectors whose redundancy agrees";
        level => md::dump::level(head.level.get()), "as MD counts";
        layout => md::dump::layout(head.level.get(), head.layout.get()), "as MD counts";
        stripe_sectors => Value::U64(u64::from(head.stripe_sectors.get())), "chunk";
    });
    extension(&raw.extension, size_of::<RawRaidHead>(), &mut visit);
    fields!(visit, raw, RawRaid, at 0_usize, index None, prefix "", {
        incompat_features => Value::Hex(u64::from(raw.incompat_features.get())), "must be zero";
    });
    remains(rest, RAID_BYTES, &mut visit);
    Ok(())
}

fn extension(raw: &RawRaidExtension, at: usize, visit: &mut impl FnMut(Field)) {
    let flags = Flags { bits: u64::from(raw.flags.get()), names: RESHAPE };
    fields!(visit, raw, RawRaidExtension, at at, index None, prefix "", {
        flags => Value::Flags(flags), "a reshape under way";
        reshape_position => mark(raw.reshape_position.get()), "array sector where it stands";
        new_level => md::dump::level(raw.new_level.get()), "level after it";
        new_layout => md::dump::layout(raw.new_level.get(), raw.new_layout.get()), "layout after it";
        new_stripe_sectors => Value::U64(u64::from(raw.new_stripe_sectors.get())), "chunk after it";
        delta_disks => Value::I64(i64::from(raw.delta_disks.get())), "devices that it adds";
        array_sectors => Value::U64(raw.array_sectors.get()), "size of the set";
        data_offset => Value::U64(raw.data_offset.get()), "sector where data start";
        new_data_offset => Value::U64(raw.new_data_offset.get()), "and after the reshape";
        sectors => Value::U64(raw.sectors.get()), "sectors used of each device";
    });
    for (index, word) in (0..).zip(&raw.extended_failed_devices) {
        let place = at.saturating_add(offset_of!(RawRaidExtension, extended_failed_devices));
        visit(Field {
            name: "extended_failed_devices",
            index: Some(index),
            offset: narrow(place.saturating_add(usize::try_from(index).unwrap_or(0).saturating_mul(8))),
            len: 8,
            value: Value::Hex(word.get()),
            meaning: "slots from 64 on that failed",
        });
    }
}

/// Tells `visit` every field of a mirror's log: the header, and the bits as bytes.
///
/// # Errors
/// Too few bytes.
pub fn mirror(bytes: &[u8], mut visit: impl FnMut(Field)) -> Result<(), Refusal> {
    let len = size_of::<RawMirrorLog>();
    let (raw, rest) = RawMirrorLog::ref_from_prefix(bytes).map_err(|_| few(bytes.len(), len))?;
    fields!(visit, raw, RawMirrorLog, at 0_usize, index None, prefix "", {
        magic => Value::Hex(u64::from(raw.magic.get())), "MiRr";
        version => Value::U64(u64::from(raw.version.get())), "2, or 1";
        nr_regions => Value::U64(raw.nr_regions.get()), "regions that have a bit";
    });
    remains(rest, len, &mut visit);
    Ok(())
}

/// Tells `visit` every field of a snapshot store's header.
///
/// # Errors
/// Too few bytes.
pub fn snapshot(bytes: &[u8], mut visit: impl FnMut(Field)) -> Result<(), Refusal> {
    let len = size_of::<RawStore>();
    let (raw, rest) = RawStore::ref_from_prefix(bytes).map_err(|_| few(bytes.len(), len))?;
    fields!(visit, raw, RawStore, at 0_usize, index None, prefix "", {
        magic => Value::Hex(u64::from(raw.magic.get())), "SnAp";
        valid => Value::U64(u64::from(raw.valid.get())), "0: what the store held is not whole any more";
        version => Value::U64(u64::from(raw.version.get())), "1";
        chunk_size => Value::U64(u64::from(raw.chunk_size.get())), "sectors of a chunk";
    });
    remains(rest, len, &mut visit);
    Ok(())
}

/// Tells `visit` every entry of a metadata area, up to the one that ends the list.
pub fn exceptions(bytes: &[u8], mut visit: impl FnMut(Field)) {
    let size = size_of::<RawEntry>();
    for (index, (bytes, at)) in (0..).zip(bytes.chunks_exact(size).zip((0_usize..).step_by(size))) {
        let Ok(entry) = RawEntry::ref_from_bytes(bytes) else { return };
        if entry.new_chunk.get() == 0 {
            return;
        }
        fields!(visit, entry, RawEntry, at at, index Some(index), prefix "", {
            old_chunk => Value::U64(entry.old_chunk.get()), "chunk of the snapshot";
            new_chunk => Value::U64(entry.new_chunk.get()), "chunk of the store";
        });
    }
}

fn remains(rest: &[u8], at: usize, visit: &mut impl FnMut(Field)) {
    if !rest.is_empty() {
        visit(Field {
            name: "rest",
            index: None,
            offset: narrow(at),
            len: narrow(rest.len()),
            value: Value::Bytes(rest),
            meaning: "",
        });
    }
}
