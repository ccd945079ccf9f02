//! A record of IMSM field by field, in the order of their offsets. Judges nothing.
//!
//! What no table takes is told as runs of bytes, so all fields together are the whole record and the rest of its last block.

use super::{
    metadata::checksum,
    probe::header,
    raw::{
        Attributes, BadBlockHead, BadBlocks, Dirty, Disk, DiskStatus, HEADER_BYTES, MapHead, MapState, Migration,
        MigrationKind, ORDER_INDEX, VolumeHead, VolumeStatus, WriteHole,
    },
    refusal::Refusal,
};
use crate::dump::{Field, Flags, Value, fields, flag_names, narrow};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned, byteorder::little_endian::U32};

/// Tells `visit` every field of a record, sound or not.
///
/// # Errors
/// There is no header.
pub fn record(bytes: &[u8], mut visit: impl FnMut(Field)) -> Result<(), Refusal> {
    let raw = header(bytes)?;
    let len = usize::try_from(raw.mpb_size.get()).unwrap_or(usize::MAX).min(bytes.len());
    tell_header(raw, bytes.get(..len).unwrap_or(bytes), &mut visit);
    let log_bytes = usize::try_from(raw.bbm_log_size.get()).unwrap_or(usize::MAX);
    let log_at = len.saturating_sub(log_bytes).max(HEADER_BYTES);
    let mut rest = Part { bytes: bytes.get(HEADER_BYTES..log_at).unwrap_or(&[]), at: HEADER_BYTES };
    for index in 0..u32::from(raw.num_disks) {
        let Some(disk) = rest.take::<Disk>() else { break };
        tell_disk(disk, index, &mut visit);
    }
    for index in 0..u32::from(raw.num_raid_devs) {
        let Some(head) = rest.take::<VolumeHead>() else { break };
        tell_volume(head, index, &mut visit);
        let Some(migration) = rest.take::<Migration>() else { break };
        tell_migration(migration, head.1, index, &mut visit);
        let maps = if migration.1.migr_state == 0 { 1 } else { 2 };
        for _ in 0..maps {
            let Some(map) = rest.take::<MapHead>() else { break };
            tell_map(map, index, &mut visit);
            rest.tell_order(map.1.num_members, &mut visit);
        }
    }
    rest.tell("rest", &mut visit);
    let mut log = Part { bytes: bytes.get(log_at.min(len)..len).unwrap_or(&[]), at: log_at.min(len) };
    log.tell_log(&mut visit);
    Part { bytes: bytes.get(len..).unwrap_or(&[]), at: len }.tell("behind", &mut visit);
    Ok(())
}

/// What is still to be told, and where it starts.
struct Part<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Part<'a> {
    /// The next structure and its offset.
    fn take<T: FromBytes + Immutable + KnownLayout + Unaligned>(&mut self) -> Option<(usize, &'a T)> {
        let (raw, rest) = T::ref_from_prefix(self.bytes).ok()?;
        let at = self.at;
        self.at = self.at.saturating_add(size_of::<T>());
        self.bytes = rest;
        Some((at, raw))
    }

    /// The disks of a map, as far as they are there.
    fn tell_order(&mut self, members: u8, visit: &mut dyn FnMut(Field)) {
        for slot in 0..u32::from(members) {
            let Some((at, order)) = self.take::<U32>() else { return };
            let names = &[("REBUILD", 1_u64 << 24)];
            let bits = u64::from(order.get());
            let value = match bits & !u64::from(ORDER_INDEX) {
                0 => Value::U64(bits),
                _ => Value::Flags(Flags { bits, names }),
            };
            let (offset, meaning) = (narrow(at), "disk in this slot");
            visit(Field { name: "map.disk_ord_tbl", index: Some(slot), offset, len: 4, value, meaning });
        }
    }

    fn tell_log(&mut self, visit: &mut dyn FnMut(Field)) {
        if let Some((at, raw)) = self.take::<BadBlockHead>() {
            fields!(visit, raw, BadBlockHead, at at, index None, prefix "log.", {
                signature => Value::Hex(raw.signature.get().into()), "0xabadb10c";
                entry_count => Value::U64(raw.entry_count.get().into()), "entries";
            });
            for index in 0..raw.entry_count.get() {
                let Some((at, raw)) = self.take::<BadBlocks>() else { break };
                fields!(visit, raw, BadBlocks, at at, index Some(index), prefix "log.", {
                    marked_count => Value::U64(raw.marked_count.into()), "bad blocks, less one";
                    disk_ordinal => Value::U64(raw.disk_ordinal.into()), "of this disk";
                    start_lo => Value::U64(raw.start_lo.get().into()), "first of them, low half";
                    start_hi => Value::U64(raw.start_hi.get().into()), "first of them, high half";
                });
            }
        }
        self.tell("log.rest", visit);
    }

    /// All that is left as one field, if there is anything.
    fn tell(&self, name: &'static str, visit: &mut dyn FnMut(Field)) {
        if !self.bytes.is_empty() {
            let (offset, len) = (narrow(self.at), narrow(self.bytes.len()));
            visit(Field { name, index: None, offset, len, value: Value::Bytes(self.bytes), meaning: "not used" });
        }
    }
}

fn number(number: impl Into<u64>) -> Value<'static> {
    Value::U64(number.into())
}

fn code(number: u8, name: Option<&'static str>) -> Value<'static> {
    Value::Code { number: number.into(), name: name.unwrap_or("unknown") }
}

/// Text up to its padding.
fn text(bytes: &[u8]) -> Value<'_> {
    let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    Value::Text(bytes.get(..len).unwrap_or(bytes))
}

fn tell_header(raw: &super::raw::Header, record: &[u8], visit: &mut dyn FnMut(Field)) {
    use super::raw::Header;
    let attributes = Value::Flags(Flags { bits: raw.attributes.get().into(), names: flag_names!(Attributes) });
    let sum = Value::Checksum { found: raw.check_sum.get(), expected: checksum(record) };
    fields!(visit, raw, Header, at 0_usize, index None, prefix "", {
        sig => text(&raw.sig), "signature and version";
        check_sum => sum, "sum of all words";
        mpb_size => number(raw.mpb_size.get()), "bytes of the record";
        family_num => Value::Hex(raw.family_num.get().into()), "family of the container";
        generation_num => number(raw.generation_num.get()), "number of the update";
        error_log_size => number(raw.error_log_size.get()), "bytes";
        attributes => attributes, "what a reader must know";
        num_disks => number(raw.num_disks), "disks of the container";
        num_raid_devs => number(raw.num_raid_devs), "volumes";
        error_log_pos => number(raw.error_log_pos), "place of the log of errors";
        fill => number(raw.fill), "reserved";
        cache_size => number(raw.cache_size.get()), "MiB";
        orig_family_num => Value::Hex(raw.orig_family_num.get().into()), "family when it was made";
        pwr_cycle_count => number(raw.pwr_cycle_count.get()), "starts";
        bbm_log_size => number(raw.bbm_log_size.get()), "bytes of the log of bad blocks";
        num_raid_devs_created => number(raw.num_raid_devs_created.get()), "volumes ever made";
        filler1 => number(raw.filler1.get()), "reserved";
        creation_time => Value::Time { seconds: raw.creation_time.get(), micros: 0 }, "creation";
        filler => Value::Bytes(&raw.filler), "reserved";
    });
}

fn tell_disk((at, raw): (usize, &Disk), index: u32, visit: &mut dyn FnMut(Field)) {
    let status = Value::Flags(Flags { bits: raw.status.get().into(), names: flag_names!(DiskStatus) });
    fields!(visit, raw, Disk, at at, index Some(index), prefix "disk.", {
        serial => text(&raw.serial), "serial number of the drive";
        total_blocks_lo => number(raw.total_blocks_lo.get()), "blocks, low half";
        scsi_id => Value::Hex(raw.scsi_id.get().into()), "where it was attached; all ones if gone";
        status => status, "what the disk is";
        owner_cfg_num => number(raw.owner_cfg_num.get()), "configuration that owns it";
        total_blocks_hi => number(raw.total_blocks_hi.get()), "blocks, high half";
        filler => Value::Bytes(&raw.filler), "reserved";
    });
}

fn tell_volume((at, raw): (usize, &VolumeHead), index: u32, visit: &mut dyn FnMut(Field)) {
    let status = Value::Flags(Flags { bits: raw.status.get().into(), names: flag_names!(VolumeStatus) });
    fields!(visit, raw, VolumeHead, at at, index Some(index), prefix "volume.", {
        volume => text(&raw.volume), "name";
        size_lo => number(raw.size_lo.get()), "blocks of the volume, low half";
        size_hi => number(raw.size_hi.get()), "blocks of the volume, high half";
        status => status, "status";
        reserved_blocks => number(raw.reserved_blocks.get()), "blocks at its start";
        migr_priority => number(raw.migr_priority), "priority of what is under way";
        num_sub_vols => number(raw.num_sub_vols), "volumes inside";
        tid => number(raw.tid), "number for the host";
        cng_master_disk => number(raw.cng_master_disk), "clone and go: the disk that leads";
        cache_policy => number(raw.cache_policy.get()), "how it is cached";
        cng_state => number(raw.cng_state), "clone and go";
        cng_sub_state => number(raw.cng_sub_state), "clone and go";
        my_vol_raid_dev_num => number(raw.my_vol_raid_dev_num.get()), "which of the volumes ever made";
        nv_cache_mode => number(raw.nv_cache_mode), "cache on another disk";
        nv_cache_flags => number(raw.nv_cache_flags), "cache on another disk";
        nvc_vol_orig_family_num => Value::Hex(raw.nvc_vol_orig_family_num.get().into()), "family of the cache";
        nvc_vol_raid_dev_num => number(raw.nvc_vol_raid_dev_num.get()), "volume of the cache";
        rwh_policy => code(raw.rwh_policy, hole_name(raw.rwh_policy)), "what closes the write hole";
        jd_serial => text(&raw.jd_serial), "serial number of the disk with the journal";
        filler1 => number(raw.filler1), "reserved";
        filler => Value::Bytes(&raw.filler), "reserved";
    });
}

fn tell_migration((at, raw): (usize, &Migration), volume: &VolumeHead, index: u32, visit: &mut dyn FnMut(Field)) {
    let kind = MigrationKind::of(raw.migr_type, volume.flags()).map(MigrationKind::name);
    let dirty = Value::Flags(Flags { bits: raw.dirty.into(), names: flag_names!(Dirty) });
    let state = if raw.migr_state == 0 { "idle" } else { "under way" };
    fields!(visit, raw, Migration, at at, index Some(index), prefix "volume.", {
        curr_migr_unit_lo => number(raw.curr_migr_unit_lo.get()), "how far it came, low half";
        checkpoint_id => number(raw.checkpoint_id.get()), "number of the checkpoint";
        migr_state => code(raw.migr_state, Some(state)), "whether something is under way";
        migr_type => code(raw.migr_type, kind), "what is";
        dirty => dirty, "whether redundancy may be older than the data";
        fs_state => number(raw.fs_state), "clone and go";
        verify_errors => number(raw.verify_errors.get()), "mismatches found";
        bad_blocks => number(raw.bad_blocks.get()), "bad blocks found";
        curr_migr_unit_hi => number(raw.curr_migr_unit_hi.get()), "how far it came, high half";
        filler => Value::Bytes(&raw.filler), "reserved";
    });
}

fn tell_map((at, raw): (usize, &MapHead), index: u32, visit: &mut dyn FnMut(Field)) {
    fields!(visit, raw, MapHead, at at, index Some(index), prefix "map.", {
        pba_of_lba0_lo => number(raw.pba_of_lba0_lo.get()), "block where the data start, low half";
        blocks_per_member_lo => number(raw.blocks_per_member_lo.get()), "blocks of each disk, low half";
        num_data_stripes_lo => number(raw.num_data_stripes_lo.get()), "stripes, low half";
        blocks_per_strip => number(raw.blocks_per_strip.get()), "blocks of a chunk";
        map_state => code(raw.map_state, state_name(raw.map_state)), "state";
        raid_level => number(raw.raid_level), "level; 1 of more than two disks is RAID 10";
        num_members => number(raw.num_members), "members";
        num_domains => number(raw.num_domains), "copies";
        failed_disk_num => number(raw.failed_disk_num), "slot that failed, 255 if none";
        ddf => number(raw.ddf), "always 1";
        pba_of_lba0_hi => number(raw.pba_of_lba0_hi.get()), "block where the data start, high half";
        blocks_per_member_hi => number(raw.blocks_per_member_hi.get()), "blocks of each disk, high half";
        num_data_stripes_hi => number(raw.num_data_stripes_hi.get()), "stripes, high half";
        filler => Value::Bytes(&raw.filler), "reserved";
    });
}

const fn state_name(number: u8) -> Option<&'static str> {
    match MapState::of(number) {
        Some(MapState::Normal) => Some("normal"),
        Some(MapState::Uninitialised) => Some("uninitialised"),
        Some(MapState::Degraded) => Some("degraded"),
        Some(MapState::Failed) => Some("failed"),
        None => None,
    }
}

const fn hole_name(number: u8) -> Option<&'static str> {
    match WriteHole::of(number) {
        Some(WriteHole::Off) => Some("off"),
        Some(WriteHole::Distributed) => Some("partial parity log"),
        Some(WriteHole::JournalDrive) => Some("journal drive"),
        Some(WriteHole::MultipleDistributed) => Some("partial parity logs"),
        Some(WriteHole::MultipleJournalDrive) => Some("logs on a journal drive"),
        Some(WriteHole::MultipleOff) => Some("off, with room for logs"),
        Some(WriteHole::Bitmap) => Some("bitmap"),
        None => None,
    }
}
