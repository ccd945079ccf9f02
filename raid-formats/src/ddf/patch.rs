//! Changes to the bytes of a set, in memory: entries of the tables, references of configuration records, checksums.
//!
//! Every byte that is not meant stays as it is, vendors' bytes included. A table is sealed in the form of checksum in which it was found.

use super::{
    crc::Form,
    guid::Guid,
    metadata::Metadata,
    place::{CLOSED, Place},
    raw::{
        Config, DiskKind, DiskState, ENTRY_BYTES, Header, MAGIC_CONFIG, MAGIC_SPARE, PhysicalEntry, RECORD_BYTES,
        Section, TableHead, VirtualEntry, VolumeFlags,
    },
    refusal::Refusal,
    update::{NewDisk, Replaced, RunningState, VolumeState},
    volume::EPOCH_S,
    word::{Full, Order, Wide},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bits of a disk's state that a running array decides; the others are the drive's and the firmware's.
const DISK_STATE_OURS: DiskState =
    DiskState::ONLINE.union(DiskState::FAILED).union(DiskState::REBUILDING).union(DiskState::MISSING);
/// Kinds that end when a spare becomes a member.
const SPARE_KINDS: DiskKind = DiskKind::GLOBAL_SPARE.union(DiskKind::SPARE);

/// A set that is being changed.
pub(super) struct Patch<'b> {
    bytes: &'b mut [u8],
    header: Header,
    place: Place,
}

impl<'b> Patch<'b> {
    /// Starts from `metadata`, copied into `bytes`, which is as long.
    pub(super) fn new(metadata: &Metadata, bytes: &'b mut [u8]) -> Option<Self> {
        let bytes = bytes.get_mut(..metadata.emit().len())?;
        bytes.copy_from_slice(metadata.emit());
        Some(Self { bytes, header: *metadata.header(), place: metadata.place() })
    }

    /// The changed bytes.
    pub(super) fn into_bytes(self) -> &'b [u8] {
        self.bytes
    }

    /// All that a running array has to say. New records come first, so that the rest finds them.
    pub(super) fn apply(&mut self, state: &RunningState) -> Result<(), Refusal> {
        self.stamp(state.sequence, state.updated_s);
        if let Some(tables) = state.tables {
            self.take(self.header.physical, tables.physical)?;
            self.take(self.header.virtual_disks, tables.virtual_disks)?;
        }
        for record in state.adopted {
            self.adopt(record)?;
        }
        self.physical(|entries, order| {
            state.joined.iter().try_for_each(|disk| join(entries, disk, order))?;
            for disk in state.disks {
                let entry = find(entries, disk.reference, order)?;
                let kept = entry.disk_state(order).difference(DISK_STATE_OURS);
                entry.state.set(order, kept.union(disk.state.intersection(DISK_STATE_OURS)).bits());
            }
            for replaced in state.replaced {
                let entry = find(entries, replaced.reference, order)?;
                let kind = entry.kind(order).difference(SPARE_KINDS).union(DiskKind::IN_VIRTUAL_DISK);
                entry.disk_type.set(order, kind.bits());
            }
            Ok(())
        })?;
        self.virtual_disks(|entries| state.volumes.iter().try_for_each(|volume| set_volume(entries, volume)))?;
        state.replaced.iter().try_for_each(|replaced| self.replace(replaced))
    }

    /// Takes over another disk's table, which must be as long.
    fn take(&mut self, section: Section, table: &[u8]) -> Result<(), Refusal> {
        let own = self.section(section)?;
        if own.len() != table.len() {
            return Err(Refusal::NoEntry { what: "tables of one length on all disks" });
        }
        own.copy_from_slice(table);
        Ok(())
    }

    /// Number and time of this version.
    fn stamp(&mut self, sequence: u32, updated_s: u64) {
        let order = self.place.order;
        let seconds = u32::try_from(updated_s.saturating_sub(EPOCH_S)).unwrap_or(u32::MAX);
        with_header(self.first_block(), order, |header| {
            header.sequence.set(order, sequence);
            header.timestamp.set(order, seconds);
            header.open_flag = CLOSED;
        });
    }

    /// The block of the header.
    pub(super) fn first_block(&mut self) -> &mut [u8] {
        let block = usize::try_from(self.place.block_bytes).unwrap_or(0);
        self.bytes.get_mut(..block).unwrap_or(&mut [])
    }

    /// Changes the table of physical disks, and seals it if that changed anything.
    pub(super) fn physical(
        &mut self,
        change: impl FnOnce(&mut [PhysicalEntry], Order) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let order = self.place.order;
        self.table(self.header.physical, |entries| change(entries, order))
    }

    fn virtual_disks(
        &mut self,
        change: impl FnOnce(&mut [VirtualEntry]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.table(self.header.virtual_disks, change)
    }

    fn table<T: Entry>(
        &mut self,
        section: Section,
        change: impl FnOnce(&mut [T]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let order = self.place.order;
        let bytes = self.section(section)?;
        let form = Form::of(bytes, usize::MAX, order);
        let plain = Form { inverted: false, len: bytes.len() };
        let missing = Refusal::NoEntry { what: T::WHAT };
        let (head, rest) = TableHead::mut_from_prefix(bytes).map_err(|_| missing)?;
        let whole = rest.len().saturating_sub(rest.len().checked_rem(ENTRY_BYTES).unwrap_or(0));
        let entries = rest.get_mut(..whole).and_then(|rest| <[T]>::mut_from_bytes(rest).ok()).ok_or(missing)?;
        // Only entries that the writer counts with; the rest of the section is padding.
        let most = usize::from(head.max.get(order)).min(entries.len());
        let entries = entries.get_mut(..most).ok_or(missing)?;
        let used = |entries: &[T]| entries.iter().filter(|entry| entry.guid().is_set()).count();
        let before = used(entries);
        change(entries)?;
        let added = used(entries).saturating_sub(before);
        let populated = usize::from(head.populated.get(order)).saturating_add(added);
        head.populated.set(order, u16::try_from(populated).unwrap_or(u16::MAX));
        form.unwrap_or(plain).seal(bytes, order);
        Ok(())
    }

    /// Gives a slot of a volume to another disk, if this disk has the record of that element.
    fn replace(&mut self, replaced: &Replaced) -> Result<(), Refusal> {
        let order = self.place.order;
        let max_members = usize::from(self.header.max_primary_elements.get(order));
        let missing = Refusal::NoEntry { what: "the member that is replaced" };
        self.each_config(|bytes| {
            let form = Form::of(bytes, RECORD_BYTES, order);
            let plain = Form { inverted: false, len: bytes.len() };
            let Ok((config, rest)) = Config::mut_from_prefix(bytes) else { return Ok(()) };
            if config.guid != replaced.guid || config.secondary_seq_or_zero() != replaced.element {
                return Ok(());
            }
            let (references, rest) = <[Full]>::mut_from_prefix_with_elems(rest, max_members).map_err(|_| missing)?;
            let (starts, _) = <[Wide]>::mut_from_prefix_with_elems(rest, max_members).map_err(|_| missing)?;
            let index = usize::from(replaced.index);
            if index >= usize::from(config.primary_count.get(order)) {
                return Err(missing);
            }
            references.get_mut(index).ok_or(missing)?.set(order, replaced.reference);
            starts.get_mut(index).ok_or(missing)?.set(order, replaced.start_block);
            config.sequence.set(order, config.sequence.get(order).wrapping_add(1));
            form.unwrap_or(plain).seal(bytes, order);
            Ok(())
        })
    }

    /// Takes over another member's configuration record: in place of an older one of that element or of this disk's spare assignment,
    /// else in a free place.
    fn adopt(&mut self, record: &[u8]) -> Result<(), Refusal> {
        let order = self.place.order;
        let missing = Refusal::NoEntry { what: "another configuration record" };
        let (new, _) = Config::ref_from_prefix(record).map_err(|_| missing)?;
        let key = |config: &Config| (config.guid, config.secondary_seq_or_zero());
        // The best place has the least number.
        let fitness = |bytes: &[u8]| {
            let (config, _) = Config::ref_from_prefix(bytes).ok()?;
            match config.signature.get(order) {
                MAGIC_CONFIG if key(config) == key(new) => Some(0),
                MAGIC_SPARE => Some(1),
                0 | u32::MAX => Some(2),
                _ => None,
            }
        };
        let len = self.config_bytes();
        let section = self.section(self.header.config)?;
        let best =
            section.chunks_exact(len).enumerate().filter_map(|(index, bytes)| Some((fitness(bytes)?, index))).min();
        let (_, index) = best.ok_or(missing)?;
        let place = section.chunks_exact_mut(len).nth(index).filter(|place| place.len() == record.len());
        place.ok_or(missing)?.copy_from_slice(record);
        Ok(())
    }

    fn each_config(&mut self, mut change: impl FnMut(&mut [u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let (order, len) = (self.place.order, self.config_bytes());
        let records = self.section(self.header.config)?.chunks_exact_mut(len);
        let is_volume = |bytes: &[u8]| {
            Full::read_from_prefix(bytes).is_ok_and(|(signature, _)| signature.get(order) == MAGIC_CONFIG)
        };
        for bytes in records {
            if is_volume(bytes) {
                change(bytes)?;
            }
        }
        Ok(())
    }

    fn config_bytes(&self) -> usize {
        let blocks = usize::from(self.header.config_record_length.get(self.place.order));
        blocks.saturating_mul(usize::try_from(self.place.block_bytes).unwrap_or(0)).max(1)
    }

    pub(super) fn section(&mut self, section: Section) -> Result<&mut [u8], Refusal> {
        let missing = Refusal::NoEntry { what: "a table" };
        let (offset, length) = section.run(self.place.order).ok_or(missing)?;
        let size =
            |blocks: u32| usize::try_from(blocks).ok()?.checked_mul(usize::try_from(self.place.block_bytes).ok()?);
        let (start, len) = size(offset).zip(size(length)).ok_or(missing)?;
        self.bytes.get_mut(start..).and_then(|rest| rest.get_mut(..len)).ok_or(missing)
    }
}

/// Changes the header in `block`, and seals it.
pub(super) fn with_header(block: &mut [u8], order: Order, change: impl FnOnce(&mut Header)) {
    let form = Form::of(block, RECORD_BYTES, order).unwrap_or(Form { inverted: false, len: RECORD_BYTES });
    if let Ok((header, _)) = Header::mut_from_prefix(block) {
        change(header);
        form.seal(block, order);
    }
}

/// An entry of a table.
trait Entry: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned {
    const WHAT: &'static str;
    fn guid(&self) -> Guid;
}

impl Entry for PhysicalEntry {
    const WHAT: &'static str = "a physical disk";
    fn guid(&self) -> Guid {
        self.guid
    }
}

impl Entry for VirtualEntry {
    const WHAT: &'static str = "a virtual disk";
    fn guid(&self) -> Guid {
        self.guid
    }
}

fn find(entries: &mut [PhysicalEntry], reference: u32, order: Order) -> Result<&mut PhysicalEntry, Refusal> {
    let is_it = |entry: &&mut PhysicalEntry| entry.guid.is_set() && entry.reference.get(order) == reference;
    entries.iter_mut().find(is_it).ok_or(Refusal::NotInTable { reference })
}

/// A disk that is known already is only brought up to date.
fn join(entries: &mut [PhysicalEntry], disk: &NewDisk, order: Order) -> Result<(), Refusal> {
    let known = entries.iter().position(|entry| entry.guid == disk.guid);
    let place = known.or_else(|| entries.iter().position(|entry| !entry.guid.is_set()));
    let entry =
        place.and_then(|place| entries.get_mut(place)).ok_or(Refusal::NoEntry { what: "another physical disk" })?;
    entry.guid = disk.guid;
    entry.reference.set(order, disk.reference);
    entry.disk_type.set(order, disk.kind.bits());
    entry.state.set(order, disk.state.bits());
    entry.configured_size.set(order, disk.configured_blocks);
    Ok(())
}

fn set_volume(entries: &mut [VirtualEntry], volume: &VolumeState) -> Result<(), Refusal> {
    let missing = Refusal::NoEntry { what: VirtualEntry::WHAT };
    let entry = entries.iter_mut().find(|entry| entry.guid == volume.guid).ok_or(missing)?;
    let mut flags = entry.flags();
    flags.set(VolumeFlags::NOT_CONSISTENT, !volume.consistent);
    entry.state = flags.bits() | volume.condition as u8;
    if let Some(init) = volume.init {
        entry.init_state = entry.init_state & !3 | init as u8;
    }
    Ok(())
}
