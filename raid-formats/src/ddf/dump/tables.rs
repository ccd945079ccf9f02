//! The tables of physical and of virtual disks.

use super::{Part, checksum, code, hex, u64_of, wide};
use crate::{
    ddf::raw::{
        Condition, DiskKind, DiskState, ENTRY_BYTES, Init, PhysicalEntry, TableHead, VirtualEntry, VolumeFlags,
    },
    dump::{Field, Flags, Value, fields, flag_names},
};

pub(super) fn physical(part: Part, visit: &mut dyn FnMut(Field)) {
    let Some(entries) = head(part, visit) else { return };
    each(entries, "physical.free", visit, |entry, index, visit| {
        let Some((raw, _)) = entry.split::<PhysicalEntry>(visit) else { return };
        let order = entry.order;
        let flags = |bits: u16, names| Value::Flags(Flags { bits: bits.into(), names });
        fields!(visit, raw, PhysicalEntry, at entry.at, index Some(index), prefix "physical.", {
            guid => Value::Bytes(&raw.guid.0), "identity of the disk";
            reference => hex(raw.reference.get(order)), "by which configuration records name it";
            disk_type => flags(raw.disk_type.get(order), flag_names!(DiskKind)), "kind, and the interface in the top bits";
            state => flags(raw.state.get(order), flag_names!(DiskState)), "state";
            configured_size => wide(raw.configured_size, order), "blocks for data, from the disk's start";
            path => Value::Text(&raw.path), "how the disk is connected";
            block_size => u64_of(raw.block_size.get(order)), "bytes of a block (2.0)";
            pad1 => Value::Bytes(&raw.pad1), "reserved";
        });
    });
}

pub(super) fn virtual_disks(part: Part, visit: &mut dyn FnMut(Field)) {
    let Some(entries) = head(part, visit) else { return };
    each(entries, "virtual.free", visit, |entry, index, visit| {
        let Some((raw, _)) = entry.split::<VirtualEntry>(visit) else { return };
        let order = entry.order;
        fields!(visit, raw, VirtualEntry, at entry.at, index Some(index), prefix "virtual.", {
            guid => Value::Bytes(&raw.guid.0), "identity of the virtual disk";
            number => u64_of(raw.number.get(order)), "number for the host";
            pad1 => Value::Bytes(&raw.pad1), "reserved";
            volume_type => hex(raw.volume_type.get(order)), "flags; in the high half a checksum of the controller's identity";
            state => code(raw.state, state(raw)), "condition, morphing, not consistent";
            init_state => code(raw.init_state, init(raw)), "what was initialised, and who may write";
            failures_left => u64_of(raw.failures_left), "failures that it survives (2.0)";
            pad2 => Value::Bytes(&raw.pad2), "reserved";
            name => Value::Text(&raw.name), "name";
        });
    });
}

/// The head; gives the entries.
fn head<'a>(part: Part<'a>, visit: &mut dyn FnMut(Field)) -> Option<Part<'a>> {
    let (raw, entries) = part.split::<TableHead>(visit)?;
    let order = part.order;
    fields!(visit, raw, TableHead, at part.at, index None, prefix "table.", {
        signature => hex(raw.signature.get(order)), "0x22222222 for physical disks, 0xdddddddd for virtual ones";
        crc => checksum(raw.crc, part.bytes, usize::MAX, order), "checksum of the table";
        populated => u64_of(raw.populated.get(order)), "entries in use";
        max => u64_of(raw.max.get(order)), "entries";
        pad1 => Value::Bytes(&raw.pad1), "reserved";
    });
    Some(entries)
}

/// Entries in use, one after another; free ones as one run of bytes.
fn each<'a>(
    mut entries: Part<'a>,
    free: &'static str,
    visit: &mut dyn FnMut(Field),
    tell: impl Fn(Part<'a>, u32, &mut dyn FnMut(Field)),
) {
    let is_free = |entry: &[u8]| entry.iter().take(24).all(|byte| *byte == 0xFF);
    let mut index = 0_u32;
    while !entries.bytes.is_empty() {
        let run = entries.bytes.chunks_exact(ENTRY_BYTES).take_while(|entry| is_free(entry)).count();
        let len = match run {
            0 if entries.bytes.len() < ENTRY_BYTES => entries.bytes.len(),
            0 => ENTRY_BYTES,
            run => run.saturating_mul(ENTRY_BYTES),
        };
        let entry = entries.first(len);
        if run == 0 && len == ENTRY_BYTES {
            tell(entry, index, visit)
        } else {
            entry.tell_bytes(free, visit)
        }
        index = index.saturating_add(u32::try_from(run.max(1)).unwrap_or(u32::MAX));
        entries = entries.behind(len);
    }
}

const fn state(raw: &VirtualEntry) -> &'static str {
    let dirty = raw.flags().contains(VolumeFlags::NOT_CONSISTENT);
    match (raw.condition(), dirty) {
        (Condition::Optimal, false) => "optimal",
        (Condition::Optimal, true) => "optimal, not consistent",
        (Condition::Degraded, false) => "degraded",
        (Condition::Degraded, true) => "degraded, not consistent",
        (Condition::Deleted, _) => "deleted",
        (Condition::Missing, _) => "missing",
        (Condition::Failed, _) => "failed",
        (Condition::PartiallyOptimal, false) => "partially optimal",
        (Condition::PartiallyOptimal, true) => "partially optimal, not consistent",
        (Condition::Offline, _) => "offline",
        (Condition::Reserved, _) => "unknown",
    }
}

const fn init(raw: &VirtualEntry) -> &'static str {
    match raw.init() {
        Init::None => "not initialised",
        Init::Quick => "quickly initialised",
        Init::Full => "fully initialised",
        Init::Reserved => "unknown",
    }
}
