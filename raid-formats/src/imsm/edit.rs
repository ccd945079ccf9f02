//! Changes to the bytes of a record, in memory: a volume's state, a disk that failed, a map more or less.
//!
//! Every byte that is not meant stays as it is, reserved and vendors' bytes included. The transitions are those of `mdadm`
//! (`super-intel.c`: `mark_failure`, `mark_missing`, `migrate`, `end_migration`, `imsm_set_array_state`), so that its monitor can go on
//! where we stopped.

use super::{
    metadata::{Metadata, RawVolume, checksum, volume},
    probe::RECORD_BYTES_MAX,
    raw::{
        Attributes, BadBlockHead, BadBlocks, Dirty, Disk, DiskStatus, HEADER_BYTES, Header, MapHead, MapState,
        Migration, MigrationKind, NO_DISK, ORDER_INDEX, ORDER_REBUILD, SERIAL_BYTES, VolumeHead, VolumeStatus,
        WriteHole,
    },
    refusal::Refusal,
    update::{Change, NewDisk},
    volume::rebuild_unit,
};
use raid_core::Sectors;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, byteorder::little_endian::U32};

/// Where a disk that is gone was attached.
const NOWHERE: u32 = u32::MAX;

/// A record that is being changed.
pub(super) struct Edit<'b> {
    bytes: &'b mut [u8],
    /// Bytes of the record.
    len: usize,
    /// Sectors of a block.
    scale: u64,
}

/// Offsets of a volume's parts, and what decides about its next state.
#[derive(Clone, Copy)]
struct Parts {
    head: usize,
    migration: usize,
    map: usize,
    old_map: Option<usize>,
    map_bytes: usize,
    members: u16,
    level: u8,
    kind: Option<MigrationKind>,
}

impl<'b> Edit<'b> {
    /// Starts from `metadata`, copied into `bytes`, which has room for what may be added.
    pub(super) fn new(metadata: &Metadata, bytes: &'b mut [u8]) -> Option<Self> {
        let record = metadata.emit();
        let (start, rest) = bytes.split_at_mut_checked(record.len())?;
        start.copy_from_slice(record);
        rest.fill(0);
        Some(Self { bytes, len: metadata.record().len(), scale: metadata.place().block_sectors() })
    }

    /// Number and sum of this version; its bytes, and how many of them are the record.
    pub(super) fn seal(mut self, generation: u32) -> Result<(&'b mut [u8], usize), Refusal> {
        let len = self.len;
        let header = self.header()?;
        header.generation_num.set(generation);
        header.mpb_size.set(u32::try_from(len).unwrap_or(u32::MAX));
        if header.orig_family_num.get() == 0 {
            header.orig_family_num = header.family_num;
        }
        let sum = checksum(self.record());
        self.header()?.check_sum.set(sum);
        Ok((self.bytes, len))
    }

    /// One change.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), Refusal> {
        match *change {
            Change::Dirty { volume, dirty } => self.set_dirty(volume, dirty),
            Change::Closed { volume, by } => {
                let head = self.parts(volume)?.head;
                self.at::<VolumeHead>(head, "a volume")?.rwh_policy = by as u8;
                Ok(())
            }
            Change::Failed { disk, gone } => self.fail(disk, gone),
            Change::Joined { disk } => self.join(&disk),
            Change::Rebuild { volume, slot, disk } => self.rebuild(volume, slot, disk),
            Change::Mark { volume, at } => self.mark(volume, at),
            Change::Rebuilt { volume } => self.rebuilt(volume),
            Change::Resync { volume, kind } => self.migrate(volume, MapState::Normal, kind),
            Change::InSync { volume } => {
                let parts = self.parts(volume)?;
                let state = self.state(&parts)?;
                self.end_migration(volume, if state == MapState::Uninitialised { MapState::Normal } else { state })
            }
        }
    }

    fn record(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    fn header(&mut self) -> Result<&mut Header, Refusal> {
        self.at::<Header>(0, "a header")
    }

    fn at<T>(&mut self, at: usize, what: &'static str) -> Result<&mut T, Refusal>
    where
        T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned,
    {
        let bytes = self.bytes.get_mut(..self.len).and_then(|record| record.get_mut(at..));
        bytes.and_then(|bytes| T::mut_from_prefix(bytes).ok()).map(|(raw, _)| raw).ok_or(Refusal::NoEntry { what })
    }

    fn disk(&mut self, index: u8) -> Result<&mut Disk, Refusal> {
        let missing = Refusal::NoEntry { what: "a disk" };
        if index >= self.header()?.num_disks {
            return Err(missing);
        }
        self.at(HEADER_BYTES.saturating_add(usize::from(index).saturating_mul(size_of::<Disk>())), "a disk")
    }

    fn is_failed(&mut self, index: u32) -> bool {
        let disk = u8::try_from(index).ok().and_then(|index| self.disk(index).ok());
        disk.is_none_or(|disk| disk.flags().contains(DiskStatus::FAILED))
    }

    fn volume(&mut self, index: u8) -> Result<RawVolume<'_>, Refusal> {
        let missing = Refusal::NoEntry { what: "a volume" };
        let header = self.header()?;
        let (disks, volumes) = (usize::from(header.num_disks), header.num_raid_devs);
        let mut at = HEADER_BYTES.saturating_add(disks.saturating_mul(size_of::<Disk>()));
        for number in 0..volumes {
            let found = volume(self.record(), at, number).ok_or(missing)?;
            if number == index {
                return Ok(found);
            }
            at = at.saturating_add(found.len_bytes());
        }
        Err(missing)
    }

    fn parts(&mut self, index: u8) -> Result<Parts, Refusal> {
        let found = self.volume(index)?;
        let migration = found.at.saturating_add(size_of::<VolumeHead>());
        let map = migration.saturating_add(size_of::<Migration>());
        let map_bytes = found.map.len_bytes();
        let under_way = found.old_map.is_some();
        let kind = MigrationKind::of(found.migration.migr_type, found.head.flags()).filter(|_| under_way);
        if matches!(kind, Some(MigrationKind::General | MigrationKind::StateChange)) {
            return Err(Refusal::Migration(kind.unwrap_or(MigrationKind::General)));
        }
        Ok(Parts {
            head: found.at,
            migration,
            map,
            old_map: under_way.then_some(map.saturating_add(map_bytes)),
            map_bytes,
            members: found.map.head.num_members.into(),
            level: found.map.head.raid_level,
            kind,
        })
    }

    fn order(&mut self, map: usize, slot: u16) -> Result<&mut U32, Refusal> {
        let at = map.saturating_add(size_of::<MapHead>()).saturating_add(usize::from(slot).saturating_mul(4));
        self.at(at, "a slot")
    }

    fn slot_of(&mut self, map: usize, members: u16, disk: u8) -> Option<u16> {
        (0..members).find(|slot| self.order(map, *slot).is_ok_and(|order| order.get() & ORDER_INDEX == u32::from(disk)))
    }

    fn set_order(&mut self, map: usize, slot: u16, order: u32) -> Result<(), Refusal> {
        self.order(map, slot)?.set(order);
        Ok(())
    }

    fn map_head(&mut self, map: usize) -> Result<&mut MapHead, Refusal> {
        self.at(map, "a map")
    }

    fn set_dirty(&mut self, index: u8, dirty: bool) -> Result<(), Refusal> {
        let parts = self.parts(index)?;
        let policy = WriteHole::of(self.at::<VolumeHead>(parts.head, "a volume")?.rwh_policy);
        let logged = matches!(policy, Some(WriteHole::Distributed | WriteHole::MultipleDistributed));
        let flags = match (dirty, logged) {
            (false, _) => Dirty::empty(),
            (true, false) => Dirty::DIRTY,
            (true, true) => Dirty::DIRTY | Dirty::PARITY_LOGGED,
        };
        self.at::<Migration>(parts.migration, "a volume")?.dirty = flags.bits();
        Ok(())
    }

    /// A disk failed, or left: in every volume that it has a part of.
    fn fail(&mut self, disk: u8, gone: bool) -> Result<(), Refusal> {
        self.disk(disk)?;
        for index in 0..self.header()?.num_raid_devs {
            self.fail_in(index, disk)?;
        }
        let raw = self.disk(disk)?;
        if !raw.flags().contains(DiskStatus::FAILED) {
            mark_serial(&mut raw.serial);
            raw.status.set(raw.flags().union(DiskStatus::FAILED).bits());
        }
        if gone && raw.scsi_id.get() != NOWHERE {
            raw.scsi_id.set(NOWHERE);
            raw.serial.copy_within(1.., 0);
        }
        self.forget_bad_blocks(disk)?;
        for index in 0..self.header()?.num_raid_devs {
            self.settle(index, disk)?;
        }
        Ok(())
    }

    fn fail_in(&mut self, index: u8, disk: u8) -> Result<(), Refusal> {
        let parts = self.parts(index)?;
        let failed = u32::from(disk) | ORDER_REBUILD;
        let Some(slot) = self.slot_of(parts.map, parts.members, disk) else { return Ok(()) };
        self.set_order(parts.map, slot, failed)?;
        if let Some(old) = parts.old_map
            && let Some(slot) = self.slot_of(old, parts.members, disk)
        {
            self.set_order(old, slot, failed)?;
        }
        let number = u8::try_from(slot).unwrap_or(NO_DISK);
        let rebuilding = parts.kind == Some(MigrationKind::Rebuild);
        let map = self.map_head(parts.map)?;
        if map.failed_disk_num == NO_DISK || !rebuilding && map.failed_disk_num > number {
            map.failed_disk_num = number;
        }
        Ok(())
    }

    /// What a failure makes of a volume: a rebuild onto that disk ends, anything else goes on in a worse state.
    fn settle(&mut self, index: u8, disk: u8) -> Result<(), Refusal> {
        let parts = self.parts(index)?;
        let Some(slot) = self.slot_of(parts.map, parts.members, disk) else { return Ok(()) };
        let state = self.state(&parts)?;
        let failed = self.map_head(parts.map)?.failed_disk_num;
        if parts.kind == Some(MigrationKind::Rebuild) && u16::from(failed) == slot {
            return self.end_migration(index, state);
        }
        self.map_head(parts.map)?.map_state = state as u8;
        Ok(())
    }

    /// State by the disks that the map's slots have.
    fn state(&mut self, parts: &Parts) -> Result<MapState, Refusal> {
        let mut failed = 0_u16;
        let mut pairs = 0_u16;
        for slot in 0..parts.members {
            let order = self.order(parts.map, slot)?.get();
            let lost = order & ORDER_REBUILD != 0 || self.is_failed(order & ORDER_INDEX);
            failed = failed.saturating_add(u16::from(lost));
            // Two neighbours of a RAID 10 are copies of each other.
            if lost && slot % 2 == 1 {
                let other = self.order(parts.map, slot.saturating_sub(1))?.get();
                let lost = other & ORDER_REBUILD != 0 || self.is_failed(other & ORDER_INDEX);
                pairs = pairs.saturating_add(u16::from(lost));
            }
        }
        let uninitialised = self.map_head(parts.map)?.map_state == MapState::Uninitialised as u8;
        Ok(match (failed, parts.level) {
            (0, _) if uninitialised => MapState::Uninitialised,
            (0, _) => MapState::Normal,
            (_, 0) => MapState::Failed,
            (1, _) => MapState::Degraded,
            (_, 1 | 10) if parts.members > 2 && pairs == 0 => MapState::Degraded,
            _ => MapState::Failed,
        })
    }

    /// A disk more in the table. The disk's volumes come with [`Change::Rebuild`].
    fn join(&mut self, new: &NewDisk) -> Result<(), Refusal> {
        let count = self.header()?.num_disks;
        let at = HEADER_BYTES.saturating_add(usize::from(count).saturating_mul(size_of::<Disk>()));
        self.insert(at, size_of::<Disk>())?;
        self.header()?.num_disks = count.checked_add(1).ok_or(Refusal::NoEntry { what: "another disk" })?;
        let scale = self.scale;
        let disk = self.disk(count)?;
        disk.serial = new.serial;
        disk.set_total_blocks(new.size.0.checked_div(scale).unwrap_or(0));
        disk.status.set(DiskStatus::CONFIGURED.bits());
        if new.size.0.checked_div(scale).unwrap_or(0) > u64::from(u32::MAX) {
            let attributes = self.header()?.flags().union(Attributes::DISK_2TB);
            self.header()?.attributes.set(attributes.bits());
        }
        Ok(())
    }

    /// A rebuild begins: the slot is the disk's, and wants to be filled.
    fn rebuild(&mut self, index: u8, slot: u16, disk: u8) -> Result<(), Refusal> {
        self.disk(disk)?;
        let parts = self.parts(index)?;
        if parts.kind.is_some() {
            return Err(Refusal::NoEntry { what: "a rebuild while something else is under way" });
        }
        self.set_order(parts.map, slot, u32::from(disk))?;
        let state = self.state(&parts)?;
        self.migrate(index, state, MigrationKind::Rebuild)?;
        let old = self.parts(index)?.old_map.ok_or(Refusal::NoEntry { what: "a second map" })?;
        self.set_order(old, slot, u32::from(disk) | ORDER_REBUILD)?;
        self.map_head(old)?.map_state = MapState::Degraded as u8;
        Ok(())
    }

    /// How far a rebuild came.
    fn mark(&mut self, index: u8, at: Sectors) -> Result<(), Refusal> {
        let parts = self.parts(index)?;
        if parts.kind != Some(MigrationKind::Rebuild) {
            return Err(Refusal::NoEntry { what: "a mark of a rebuild that is not under way" });
        }
        let scale = self.scale;
        let map = self.map_head(parts.map)?;
        let unit = rebuild_unit(map, Sectors(u64::from(map.blocks_per_strip.get()).saturating_mul(scale)));
        let units = at.0.checked_div(unit.0).and_then(|units| units.checked_div(scale)).unwrap_or(0);
        self.at::<Migration>(parts.migration, "a volume")?.set_unit(units);
        Ok(())
    }

    fn rebuilt(&mut self, index: u8) -> Result<(), Refusal> {
        let parts = self.parts(index)?;
        let (Some(MigrationKind::Rebuild), Some(old)) = (parts.kind, parts.old_map) else {
            return Err(Refusal::NoEntry { what: "the end of a rebuild that is not under way" });
        };
        for slot in 0..parts.members {
            let target = self.order(parts.map, slot)?.get();
            if target & ORDER_REBUILD == 0 {
                self.set_order(old, slot, target)?;
            }
        }
        let state = self.state(&parts)?;
        self.end_migration(index, state)?;
        let parts = self.parts(index)?;
        let mut failed = NO_DISK;
        for slot in 0..parts.members {
            if self.order(parts.map, slot)?.get() & ORDER_REBUILD != 0 {
                failed = u8::try_from(slot).unwrap_or(NO_DISK);
            }
        }
        self.map_head(parts.map)?.failed_disk_num = failed;
        Ok(())
    }

    /// Something begins: the map is doubled, and the first of both says how it shall be.
    fn migrate(&mut self, index: u8, to: MapState, kind: MigrationKind) -> Result<(), Refusal> {
        let parts = self.parts(index)?;
        if parts.kind.is_some() || matches!(kind, MigrationKind::General | MigrationKind::StateChange) {
            return Err(Refusal::Migration(parts.kind.unwrap_or(kind)));
        }
        let behind = parts.map.saturating_add(parts.map_bytes);
        self.insert(behind, parts.map_bytes)?;
        self.bytes.copy_within(parts.map..behind, behind);
        self.map_head(parts.map)?.map_state = to as u8;
        self.set_migration(&parts, 1, kind)
    }

    /// Something ends. A disk that was not rebuilt keeps its mark, unless the volume is as it should be.
    fn end_migration(&mut self, index: u8, state: MapState) -> Result<(), Refusal> {
        let parts = self.parts(index)?;
        let Some(old) = parts.old_map else {
            self.map_head(parts.map)?.map_state = state as u8;
            return Ok(());
        };
        let expected = self.map_head(parts.map)?.map_state == state as u8;
        let was_uninitialised = self.map_head(old)?.map_state == MapState::Uninitialised as u8;
        let mut state = state;
        if !expected && !was_uninitialised {
            for slot in 0..parts.members {
                let held = self.order(old, slot)?.get();
                let order = self.order(parts.map, slot)?;
                if held & ORDER_INDEX == order.get() & ORDER_INDEX {
                    order.set(order.get() | held);
                }
            }
            state = self.state(&parts)?;
        }
        self.map_head(parts.map)?.map_state = state as u8;
        self.remove(old, parts.map_bytes)?;
        self.set_migration(&parts, 0, MigrationKind::Initialise)
    }

    fn set_migration(&mut self, parts: &Parts, state: u8, kind: MigrationKind) -> Result<(), Refusal> {
        let head = self.at::<VolumeHead>(parts.head, "a volume")?;
        let mut status = head.flags();
        status.set(VolumeStatus::VERIFY_AND_FIX, kind == MigrationKind::Repair);
        head.status.set(status.bits());
        let migration = self.at::<Migration>(parts.migration, "a volume")?;
        migration.migr_state = state;
        // Old firmware knows a repair as a verification that repairs.
        migration.migr_type = if kind == MigrationKind::Repair { MigrationKind::Verify as u8 } else { kind as u8 };
        migration.set_unit(0);
        Ok(())
    }

    /// Takes the entries of a disk out of the log of bad blocks, and the log with its last entry.
    fn forget_bad_blocks(&mut self, disk: u8) -> Result<(), Refusal> {
        let log_bytes = usize::try_from(self.header()?.bbm_log_size.get()).unwrap_or(usize::MAX);
        let Some(log) = self.len.checked_sub(log_bytes).filter(|_| log_bytes > 0) else { return Ok(()) };
        let mut left = 0_u32;
        let mut at = log.saturating_add(size_of::<BadBlockHead>());
        for _ in 0..self.at::<BadBlockHead>(log, "a log of bad blocks")?.entry_count.get() {
            if self.at::<BadBlocks>(at, "an entry of a log")?.disk_ordinal == disk {
                self.remove(at, size_of::<BadBlocks>())?;
            } else {
                at = at.saturating_add(size_of::<BadBlocks>());
                left = left.saturating_add(1);
            }
        }
        if left == 0 {
            self.len = log;
            let attributes = self.header()?.flags().difference(Attributes::BAD_BLOCKS);
            self.header()?.attributes.set(attributes.bits());
        } else {
            self.at::<BadBlockHead>(log, "a log of bad blocks")?.entry_count.set(left);
        }
        let bytes = self.len.saturating_sub(log);
        self.header()?.bbm_log_size.set(u32::try_from(bytes).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Makes room of zeros.
    fn insert(&mut self, at: usize, bytes: usize) -> Result<(), Refusal> {
        let no_room = Refusal::NoEntry { what: "so long a record" };
        let len = self.len.checked_add(bytes).filter(|len| *len <= self.bytes.len() && *len <= RECORD_BYTES_MAX);
        let len = len.ok_or(no_room)?;
        let behind = at.checked_add(bytes).ok_or(no_room)?;
        let moved = self.bytes.get_mut(at..len).ok_or(no_room)?;
        moved.rotate_right(bytes.min(moved.len()));
        self.bytes.get_mut(at..behind).ok_or(no_room)?.fill(0);
        self.len = len;
        Ok(())
    }

    fn remove(&mut self, at: usize, bytes: usize) -> Result<(), Refusal> {
        let missing = Refusal::NoEntry { what: "what is to be taken out" };
        let rest = self.bytes.get_mut(at..self.len).filter(|rest| rest.len() >= bytes).ok_or(missing)?;
        rest.rotate_left(bytes);
        self.len = self.len.saturating_sub(bytes);
        if let Some(left) = self.bytes.get_mut(self.len..).and_then(|behind| behind.get_mut(..bytes)) {
            left.fill(0);
        }
        Ok(())
    }
}

/// The serial number of a disk that failed: with `:0` behind it, and less of its start if that is too long.
fn mark_serial(serial: &mut [u8; SERIAL_BYTES]) {
    let len = serial.iter().position(|byte| *byte == 0).unwrap_or(SERIAL_BYTES);
    // One byte stays zero behind the mark.
    let dropped = len.saturating_add(3).saturating_sub(SERIAL_BYTES);
    serial.rotate_left(dropped.min(SERIAL_BYTES));
    let len = len.saturating_sub(dropped);
    let tail = serial.get_mut(len..).unwrap_or(&mut []);
    tail.fill(0);
    tail.iter_mut().zip(b":0").for_each(|(to, from)| *to = *from);
}
