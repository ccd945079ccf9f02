//! A virtual disk as this disk tells it, and what this disk is spare for.
//!
//! One disk can hold parts of several virtual disks: [`Metadata::volumes`] gives a [`Volume`] for each, with the [`Record`] that all
//! formats share. A record's `array` is [`Guid::uuid`] of the virtual disk, its `number` the reference of the physical disk, its `events`
//! the sequence number of the header: every update of any disk's tables raises that on all of them.
//!
//! A virtual disk of several elements (RAID 10) has a configuration record for each. `mdadm` writes to a disk only the one of
//! its own element, so a table may know nothing of members elsewhere; [`Claimant::silent_about`] says so.

use super::{
    guid::Guid,
    level::{Levels, levels},
    metadata::{ConfigRecord, Metadata},
    place::sectors_per_block,
    raw::{Condition, Config, DiskKind, DiskState, Init, SpareEntry, SpareHead, SpareKind, VirtualEntry, VolumeFlags},
    refusal::Refusal,
    word::{Full, Order, Wide},
};
use crate::{
    assemble::Claimant,
    md,
    record::{Format, Name, Notes, Record, Role, Shape, Sync, WriteLog},
};
use raid_core::{ArrayConfig, Columns, Extent, Level, MEMBERS_MAX, Member, Sector, Sectors, Sizes, geometry::Geometry};
use zerocopy::FromBytes;

/// Seconds from 1970 to 1980, where DDF's time starts.
pub const EPOCH_S: u64 = 315_532_800;

/// Widest strip: two to this many blocks. More does not fit a disk.
const STRIP_SHIFT_MAX: u8 = 31;

/// A configuration record of one element, with the tables behind its fixed part.
#[derive(Clone, Copy, Debug)]
struct Element<'a> {
    bytes: &'a [u8],
    config: &'a Config,
    references: &'a [Full],
    starts: &'a [Wide],
}

/// A virtual disk that this disk holds a part of.
#[derive(Clone, Copy, Debug)]
pub struct Volume<'a> {
    metadata: Metadata<'a>,
    element: Element<'a>,
    entry: Option<&'a VirtualEntry>,
    levels: Levels,
    record: Record,
}

impl<'a> Element<'a> {
    /// The tables of a record; `None` if it is too short for them.
    fn of(bytes: &'a [u8], max_members: usize, order: Order) -> Option<Self> {
        let (config, rest) = Config::ref_from_prefix(bytes).ok()?;
        let count = usize::from(config.primary_count.get(order));
        let (references, rest) = <[Full]>::ref_from_prefix_with_elems(rest, max_members).ok()?;
        let (starts, _) = <[Wide]>::ref_from_prefix_with_elems(rest, max_members).ok()?;
        Some(Self { bytes, config, references: references.get(..count)?, starts: starts.get(..count)? })
    }

    fn index_of(&self, reference: u32, order: Order) -> Option<u16> {
        self.references.iter().position(|held| held.get(order) == reference).and_then(|index| u16::try_from(index).ok())
    }
}

impl<'a> Metadata<'a> {
    /// The virtual disks that this disk holds a part of, each once, in the order of their records.
    ///
    /// Of several records of one element the newest counts. A record that cannot be used is a [`Refusal`] in its place.
    pub fn volumes(&self) -> impl Iterator<Item = Result<Volume<'a>, Refusal>> + use<'a> {
        let metadata = *self;
        let reference = self.own_entry().map_or(self.reference(), |entry| entry.reference.get(self.place().order));
        metadata.elements().enumerate().filter_map(move |(number, element)| {
            let element = match element {
                Ok(element) => element,
                Err(refusal) => return Some(Err(refusal)),
            };
            element.index_of(reference, metadata.place().order)?;
            metadata.is_newest(number, &element).then(|| Volume::new(metadata, element, reference))
        })
    }

    /// The volume of that identity.
    #[must_use]
    pub fn volume(&self, guid: Guid) -> Option<Volume<'a>> {
        self.volumes().filter_map(Result::ok).find(|volume| volume.guid() == guid)
    }

    /// What this disk is spare for.
    #[must_use]
    pub fn spare(&self) -> Option<Spare<'a>> {
        let order = self.place().order;
        let kind = self.own_entry().ok()?.kind(order);
        let assignment = self.configs().find_map(|record| match record {
            ConfigRecord::Spare(head, rest) => Some((head, rest)),
            ConfigRecord::Volume(..) | ConfigRecord::Other(_) => None,
        });
        let is_spare = kind.intersects(DiskKind::GLOBAL_SPARE | DiskKind::SPARE) || assignment.is_some();
        is_spare.then_some(Spare { global: kind.contains(DiskKind::GLOBAL_SPARE), assignment, order })
    }

    /// All elements of all virtual disks.
    fn elements(&self) -> impl Iterator<Item = Result<Element<'a>, Refusal>> + use<'a> {
        let (order, max_members) = (self.place().order, self.max_members());
        self.configs().filter_map(move |record| match record {
            ConfigRecord::Volume(config, bytes) => {
                let count = u64::from(config.primary_count.get(order));
                let field = ("primary_count", 64);
                let refusal = Refusal::range("configuration record", field, count, 1, max_members as u64);
                Some(Element::of(bytes, max_members, order).filter(|_| count > 0).ok_or(refusal))
            }
            ConfigRecord::Spare(..) | ConfigRecord::Other(_) => None,
        })
    }

    /// The newest record of element `element` of the virtual disk `guid`.
    fn element(&self, guid: Guid, element: u8) -> Option<Element<'a>> {
        let order = self.place().order;
        let wanted = |found: &Element| found.config.guid == guid && found.config.secondary_seq_or_zero() == element;
        // `max_by_key` would give the last of several.
        self.elements().filter_map(Result::ok).filter(wanted).fold(None, |best: Option<Element>, found| match best {
            Some(held) if held.config.sequence.get(order) >= found.config.sequence.get(order) => Some(held),
            _ => Some(found),
        })
    }

    /// True for the first of the newest records of its element.
    fn is_newest(&self, number: usize, element: &Element) -> bool {
        let order = self.place().order;
        let key = |config: &Config| (config.guid, config.secondary_seq_or_zero());
        let sequence = element.config.sequence.get(order);
        self.elements().enumerate().filter_map(|(at, other)| Some((at, other.ok()?))).all(|(at, other)| {
            let theirs = other.config.sequence.get(order);
            key(other.config) != key(element.config) || theirs < sequence || theirs == sequence && at >= number
        })
    }
}

impl Config {
    /// Number of the element; FF stands for "the only one".
    #[must_use]
    pub const fn secondary_seq_or_zero(&self) -> u8 {
        if self.secondary_count <= 1 { 0 } else { self.secondary_seq }
    }
}

impl<'a> Volume<'a> {
    fn new(metadata: Metadata<'a>, element: Element<'a>, reference: u32) -> Result<Self, Refusal> {
        let order = metadata.place().order;
        let config = element.config;
        let levels = levels(config, order)?;
        if usize::from(levels.members) > MEMBERS_MAX {
            let (found, most) = (u64::from(levels.members), MEMBERS_MAX as u64);
            return Err(Refusal::range("configuration record", ("primary_count", 64), found, 1, most));
        }
        let entry = metadata.virtual_of(config.guid);
        let record = Describe { metadata, element, levels, entry, reference }.record()?;
        Ok(Self { metadata, element, entry, levels, record })
    }

    /// Identity of the virtual disk.
    #[must_use]
    pub const fn guid(&self) -> Guid {
        self.element.config.guid
    }

    /// The set that it was read from.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata<'a> {
        &self.metadata
    }

    /// The configuration record of the element that this disk belongs to.
    #[must_use]
    pub const fn config(&self) -> &'a Config {
        self.element.config
    }

    /// The bytes of that record, for a disk that becomes a member of the element.
    #[must_use]
    pub const fn config_record(&self) -> &'a [u8] {
        self.element.bytes
    }

    /// The volume's line in the table of virtual disks.
    #[must_use]
    pub const fn entry(&self) -> Option<&'a VirtualEntry> {
        self.entry
    }

    /// The condition that the table gives it; missing if it is in no table.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.entry.map_or(Condition::Missing, VirtualEntry::condition)
    }

    /// What was initialised.
    #[must_use]
    pub fn init(&self) -> Init {
        self.entry.map_or(Init::None, VirtualEntry::init)
    }

    /// Level and numbering of the members.
    #[must_use]
    pub const fn levels(&self) -> &Levels {
        &self.levels
    }

    /// Reference of the physical disk in `slot` and the sector where its data start; `None` if this disk does not know it.
    #[must_use]
    pub fn member(&self, slot: u16) -> Option<(u32, Sector)> {
        let order = self.metadata.place().order;
        let (number, index) = self.levels.place(slot)?;
        let element = self.metadata.element(self.guid(), number)?;
        let reference = element.references.get(usize::from(index))?.get(order);
        let block = block_bytes(element.config, &self.metadata);
        let start = element.starts.get(usize::from(index))?.get(order).checked_mul(sectors_per_block(block))?;
        (reference != u32::MAX).then_some((reference, Sector(start)))
    }

    /// References of the spares that the configuration record names.
    pub fn spares(&self) -> impl Iterator<Item = u32> {
        let order = self.metadata.place().order;
        self.element.config.spares.iter().map(move |spare| spare.get(order)).filter(|spare| *spare != u32::MAX)
    }

    /// Slot of the physical disk with that reference.
    #[must_use]
    pub fn slot_of(&self, reference: u32) -> Option<u16> {
        (0..self.levels.members).find(|slot| self.member(*slot).is_some_and(|(held, _)| held == reference))
    }
}

impl Claimant for Volume<'_> {
    fn record(&self) -> &Record {
        &self.record
    }

    fn role_of(&self, number: u32) -> Role {
        if number == self.record.number {
            return self.record.role;
        }
        let order = self.metadata.place().order;
        let Some(disk) = self.metadata.physical_of(number) else { return Role::Faulty };
        match self.slot_of(number) {
            _ if is_out(disk.disk_state(order)) => Role::Faulty,
            Some(slot) => Role::Slot(slot),
            None if disk.kind(order).intersects(DiskKind::GLOBAL_SPARE | DiskKind::SPARE) => Role::Spare,
            None => Role::Faulty,
        }
    }

    fn silent_about(&self, number: u32) -> bool {
        let known = |element: u16| {
            u8::try_from(element).is_ok_and(|element| self.metadata.element(self.guid(), element).is_some())
        };
        if number == self.record.number {
            return false;
        }
        let complete = (0..self.levels.elements()).all(known);
        let out = is_out(self.metadata.disk_state(number));
        !complete && !out && self.metadata.physical_of(number).is_some() && self.slot_of(number).is_none()
    }
}

/// Failed, or known to be gone.
fn is_out(state: DiskState) -> bool {
    state.intersects(DiskState::FAILED | DiskState::MISSING)
}

/// Bytes of a block of the virtual disk: 2.0 says, before it was that of the physical disks.
fn block_bytes(config: &Config, metadata: &Metadata) -> u32 {
    match config.block_size.get(metadata.place().order) {
        found @ (512 | 4096) => u32::from(found),
        _ => metadata.place().block_bytes,
    }
}

/// What a [`Record`] is made of.
struct Describe<'a> {
    metadata: Metadata<'a>,
    element: Element<'a>,
    levels: Levels,
    entry: Option<&'a VirtualEntry>,
    reference: u32,
}

impl Describe<'_> {
    fn record(&self) -> Result<Record, Refusal> {
        let Self { metadata, element, .. } = self;
        let (order, config) = (metadata.place().order, element.config);
        let entry = metadata.own_entry()?;
        let index = element.index_of(self.reference, order).ok_or(Refusal::NotInTable { reference: self.reference })?;
        let slot = self.levels.slot(config.secondary_seq_or_zero(), index).ok_or_else(|| {
            let most = u64::from(self.levels.elements()).saturating_sub(1);
            Refusal::range("configuration record", ("secondary_seq", 70), u64::from(config.secondary_seq), 0, most)
        })?;
        let data = self.data(index)?;
        let chunk = self.chunk()?;
        let (shape, mut notes) = self.shape(chunk, data.len);
        notes.set(Notes::DAMAGED_TABLE, !metadata.damage().is_empty());
        let state = entry.disk_state(order);
        let header = metadata.header();
        Ok(Record {
            format: match order {
                Order::Big => Format::Ddf,
                Order::Little => Format::DdfSwapped,
            },
            array: config.guid.uuid(),
            name: self.name(),
            member: entry.guid.uuid(),
            number: self.reference,
            role: if is_out(state) { Role::Faulty } else { Role::Slot(slot) },
            events: u64::from(metadata.place().sequence),
            updated_s: time(header.timestamp.get(order)),
            created_s: time(config.timestamp.get(order)),
            shape,
            data,
            used: match self.levels.level {
                Level::Linear | Level::Raid0(_) => Sectors::ZERO,
                _ => data.len.floor_to(chunk),
            },
            sync_mark: self.is_rebuilding(state).then_some(Sectors::ZERO),
            replacement: false,
            sync: self.sync(),
            reshape: None,
            log: WriteLog::None,
            bad_blocks: metadata.bad_blocks(),
            table_in_sync: self.in_sync(),
            write_mostly: false,
            fail_fast: false,
            logical_block_bytes: match block_bytes(config, metadata) {
                512 => 0,
                bytes => bytes,
            },
            notes,
        })
    }

    /// Where this disk's part lies.
    fn data(&self, index: u16) -> Result<Extent, Refusal> {
        let place = self.metadata.place();
        let per_block = sectors_per_block(block_bytes(self.element.config, &self.metadata));
        let start = self.element.starts.get(usize::from(index)).map_or(u64::MAX, |start| start.get(place.order));
        let blocks = self.element.config.blocks.get(place.order);
        let (at, len) = (start.saturating_mul(per_block), blocks.saturating_mul(per_block));
        match at.checked_add(len) {
            Some(end) if end <= place.medium.0 => Ok(Extent { at: Sector(at), len: Sectors(len) }),
            _ => {
                let what = "part of the virtual disk";
                let (at, medium_sectors) = (i128::from(at), place.medium.0);
                let refusal = md::Refusal::Outside { what, at, len_sectors: len, medium_sectors };
                Err(Refusal::of("configuration record", refusal))
            }
        }
    }

    fn chunk(&self) -> Result<Sectors, Refusal> {
        let config = self.element.config;
        let shift = config.strip_shift;
        match self.levels.level {
            // A mirror has none, and a volume one behind the other needs none.
            Level::Raid1 | Level::Linear => Ok(Sectors::ZERO),
            _ if shift <= STRIP_SHIFT_MAX => {
                Ok(Sectors(sectors_per_block(block_bytes(config, &self.metadata)) << shift))
            }
            _ => {
                let field = ("strip_shift", 66);
                Err(Refusal::range("configuration record", field, u64::from(shift), 0, u64::from(STRIP_SHIFT_MAX)))
            }
        }
    }

    /// The shape with the size that the record states; without it if its members cannot give so much.
    #[inline(never)]
    fn shape(&self, chunk: Sectors, len: Sectors) -> (Shape, Notes) {
        let (level, members) = (self.levels.level, self.levels.members);
        let per_block = sectors_per_block(block_bytes(self.element.config, &self.metadata));
        let blocks = self.element.config.volume_blocks.get(self.metadata.place().order);
        let stated = Sectors(blocks.saturating_mul(per_block));
        let fits = |array_size| {
            Geometry::check(&ArrayConfig { level, members, chunk, sizes: Sizes::Same(len), array_size }).is_ok()
        };
        let shape = |array_size| Shape { level, members, chunk, array_size };
        match (fits(Some(stated)), fits(None)) {
            (true, _) => (shape(Some(stated)), Notes::empty()),
            (false, true) => (shape(None), Notes::STATED_SIZE_WRONG),
            // Not a shape of any array: the core will say why, with the numbers as they are.
            (false, false) => (shape(None), Notes::empty()),
        }
    }

    fn sync(&self) -> Sync {
        let agree = self
            .entry
            .is_some_and(|entry| !entry.flags().contains(VolumeFlags::NOT_CONSISTENT) && entry.init() == Init::Full);
        if agree { Sync::Clean } else { Sync::DirtyFrom(Sector(0)) }
    }

    /// The state is the disk's, not the volume's: of several volumes on it, those that are optimal are not meant.
    fn is_rebuilding(&self, state: DiskState) -> bool {
        let optimal = self.entry.is_some_and(|entry| entry.condition() == Condition::Optimal);
        state.contains(DiskState::REBUILDING) && !optimal
    }

    fn in_sync(&self) -> Columns {
        let order = self.metadata.place().order;
        let guid = self.element.config.guid;
        let elements = (0..self.levels.elements()).filter_map(|number| u8::try_from(number).ok());
        let mut set = Columns::EMPTY;
        for number in elements {
            let Some(element) = self.metadata.element(guid, number) else { continue };
            for (index, reference) in (0..).zip(element.references) {
                let state = self.metadata.disk_state(reference.get(order));
                let serves = state.contains(DiskState::ONLINE) && !is_out(state) && !self.is_rebuilding(state);
                let slot = self.levels.slot(number, index).and_then(|slot| u8::try_from(slot).ok());
                if let Some(slot) = slot.filter(|_| serves) {
                    set.insert(Member(slot));
                }
            }
        }
        set
    }

    /// The name without its padding, which is of spaces, zeros or FF.
    fn name(&self) -> Name {
        let mut name = [0; 32];
        let text = self.entry.map_or(&[][..], |entry| &entry.name);
        let len =
            text.iter().rposition(|byte| !matches!(byte, 0 | b' ' | 0xFF)).map_or(0, |last| last.saturating_add(1));
        for (to, from) in name.iter_mut().zip(text.iter().take(len)) {
            *to = *from;
        }
        Name(name)
    }
}

/// Seconds since 1970; zero if not kept.
pub(super) fn time(timestamp: u32) -> u64 {
    match timestamp {
        0 | u32::MAX => 0,
        seconds => u64::from(seconds).saturating_add(EPOCH_S),
    }
}

/// What a disk is spare for.
#[derive(Clone, Copy, Debug)]
pub struct Spare<'a> {
    /// Called a global spare by the table of physical disks.
    pub global: bool,
    assignment: Option<(&'a SpareHead, &'a [u8])>,
    order: Order,
}

impl<'a> Spare<'a> {
    /// Kind of its assignment, if it has one.
    #[must_use]
    pub fn kind(&self) -> Option<SpareKind> {
        self.assignment.map(|(head, _)| SpareKind::from_bits_retain(head.spare_type))
    }

    /// The virtual disks that it is dedicated to, each with the element.
    pub fn dedicated_to(&self) -> impl Iterator<Item = (Guid, u16)> + use<'a> {
        let order = self.order;
        let (count, rest) = self.assignment.map_or((0, &[][..]), |(head, rest)| (head.populated.get(order), rest));
        let whole = rest.len().saturating_sub(rest.len().checked_rem(size_of::<SpareEntry>()).unwrap_or(0));
        let entries = rest.get(..whole).and_then(|rest| <[SpareEntry]>::ref_from_bytes(rest).ok()).unwrap_or(&[]);
        let entries = entries.iter().take(usize::from(count)).filter(|entry| entry.guid.is_set());
        entries.map(move |entry| (entry.guid, entry.secondary_element.get(order)))
    }

    /// True if it may replace a member of that virtual disk.
    #[must_use]
    pub fn serves(&self, guid: Guid) -> bool {
        let dedicated = self.kind().is_some_and(|kind| kind.contains(SpareKind::DEDICATED));
        self.global || !dedicated || self.dedicated_to().any(|(served, _)| served == guid)
    }
}
