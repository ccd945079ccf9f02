//! One set of DDF's records, read and checked: header, controller, physical and virtual disks, configurations, and which disk this is.
//!
//! What is refused makes the set useless: a table without its magic number, a disk that is in no table. A wrong checksum of a table
//! is [`Damage`]: it makes the other set better, and it is told; if both sets have it, what they say is still a user's only way to the
//! data.

use super::{
    crc::Form,
    guid::Guid,
    place::Place,
    raw::{
        BadBlockHead, Config, Controller, DiskData, DiskState, ENTRY_BYTES, Header, MAGIC_BAD_BLOCKS, MAGIC_CONFIG,
        MAGIC_CONTROLLER, MAGIC_DISK, MAGIC_PHYSICAL, MAGIC_SPARE, MAGIC_VIRTUAL, PhysicalEntry, RECORD_BYTES, Section,
        SpareHead, VirtualEntry,
    },
    refusal::Refusal,
    word::{Full, Order},
};
use crate::md;
use raid_core::{Extent, Sectors};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

bitflags::bitflags! {
    /// Tables whose checksum is wrong.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Damage: u8 {
        /// Controller data, of no use to an array.
        const CONTROLLER = 1;
        /// Physical disk records.
        const PHYSICAL = 1 << 1;
        /// Virtual disk records.
        const VIRTUAL = 1 << 2;
        /// A configuration record of a virtual disk, or a spare assignment.
        const CONFIG = 1 << 3;
        /// Which disk this is.
        const DISK = 1 << 4;
    }
}

/// How the other set compares with the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// There is none.
    Absent,
    /// Holds the same.
    Same,
    /// Holds something else, or cannot be read: an update must write all of it.
    Differs,
}

/// The tables that all disks of a configuration share, as they stand in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables<'a> {
    /// Physical disk records.
    pub physical: &'a [u8],
    /// Virtual disk records.
    pub virtual_disks: &'a [u8],
}

/// A set that passed the checks. Borrows the bytes, so nothing in it is lost.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    bytes: &'a [u8],
    place: Place,
    damage: Damage,
    header: &'a Header,
    disk: &'a DiskData,
    twin: Twin,
}

/// What is known of a set that passed the checks, for hosts that keep its bytes and cannot keep what borrows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    place: Place,
    damage: Damage,
    twin: Twin,
}

impl Kept {
    /// The set again, of the bytes that it had. They are not checked once more; `None` if they are too short.
    #[must_use]
    pub fn of<'b>(&self, bytes: &'b [u8]) -> Option<Metadata<'b>> {
        let Self { place, damage, twin } = *self;
        let bytes = bytes.get(..place.len_bytes())?;
        let header = prefix::<Header>(place.set.name(), bytes).ok()?;
        let disk = disk_of(bytes, header, &place).ok()?;
        Some(Metadata { bytes, place, damage, header, disk, twin })
    }
}

/// A configuration record.
#[derive(Clone, Copy, Debug)]
pub enum ConfigRecord<'a> {
    /// Of a virtual disk, with all of its bytes.
    Volume(&'a Config, &'a [u8]),
    /// Of a spare, with the bytes behind the fixed part.
    Spare(&'a SpareHead, &'a [u8]),
    /// Of a vendor, or unknown.
    Other(u32),
}

impl<'a> Metadata<'a> {
    /// Reads the set at `place` from its bytes, header first.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn parse(bytes: &'a [u8], place: &Place) -> Result<Self, Refusal> {
        let truncated = md::Refusal::Truncated { found: bytes.len(), expected: place.len_bytes() };
        let bytes = bytes.get(..place.len_bytes()).ok_or(Refusal::of(place.set.name(), truncated))?;
        let header = prefix::<Header>(place.set.name(), bytes)?;
        let body = Self {
            bytes,
            place: *place,
            damage: Damage::empty(),
            header,
            disk: disk_of(bytes, header, place)?,
            twin: Twin::Absent,
        };
        let damage = body.check()?;
        let metadata = Self { damage, ..body };
        metadata.own_entry().map(|_| metadata)
    }

    /// The same, with what is known of the other set.
    pub(super) fn beside(self, twin: Twin) -> Self {
        Self { twin, ..self }
    }

    /// The bytes as they are, every field and every reserved byte.
    #[must_use]
    pub const fn emit(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the set lies.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// What [`Kept::of`] wants to know beside the bytes.
    #[must_use]
    pub const fn kept(&self) -> Kept {
        Kept { place: self.place, damage: self.damage, twin: self.twin }
    }

    /// How the other set compares.
    #[must_use]
    pub const fn twin(&self) -> Twin {
        self.twin
    }

    /// Tables whose checksum is wrong.
    #[must_use]
    pub const fn damage(&self) -> Damage {
        self.damage
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &'a Header {
        self.header
    }

    /// Which disk this is.
    #[must_use]
    pub const fn disk(&self) -> &'a DiskData {
        self.disk
    }

    /// This disk's reference: the number by which configuration records name it.
    #[must_use]
    pub fn reference(&self) -> u32 {
        self.disk.reference.get(self.place.order)
    }

    /// The controller, if that section is there.
    #[must_use]
    pub fn controller(&self) -> Option<&'a Controller> {
        prefix("controller data", self.section(self.header.controller)?).ok()
    }

    /// All physical disks that the table knows.
    pub fn physical(&self) -> impl Iterator<Item = &'a PhysicalEntry> + use<'a> {
        entries::<PhysicalEntry>(self.section(self.header.physical)).iter().filter(|entry| entry.guid.is_set())
    }

    /// The physical disk with that reference.
    #[must_use]
    pub fn physical_of(&self, reference: u32) -> Option<&'a PhysicalEntry> {
        let order = self.place.order;
        self.physical().find(|entry| entry.reference.get(order) == reference)
    }

    /// What the table says of this disk.
    ///
    /// # Errors
    /// [`Refusal::NotInTable`].
    pub fn own_entry(&self) -> Result<&'a PhysicalEntry, Refusal> {
        let reference = self.reference();
        let by_guid = || self.physical().find(|entry| entry.guid == self.disk.guid);
        self.physical_of(reference).or_else(by_guid).ok_or(Refusal::NotInTable { reference })
    }

    /// State of the disk with that reference; nothing set if the table does not have it.
    #[must_use]
    pub fn disk_state(&self, reference: u32) -> DiskState {
        self.physical_of(reference).map_or(DiskState::empty(), |entry| entry.disk_state(self.place.order))
    }

    /// All virtual disks that the table knows.
    pub fn virtual_disks(&self) -> impl Iterator<Item = &'a VirtualEntry> + use<'a> {
        entries::<VirtualEntry>(self.section(self.header.virtual_disks)).iter().filter(|entry| entry.guid.is_set())
    }

    /// The virtual disk of that identity.
    #[must_use]
    pub fn virtual_of(&self, guid: Guid) -> Option<&'a VirtualEntry> {
        self.virtual_disks().find(|entry| entry.guid == guid)
    }

    /// All configuration records in use, in their order.
    pub fn configs(&self) -> impl Iterator<Item = ConfigRecord<'a>> + Clone + use<'a> {
        let order = self.place.order;
        self.config_slots().filter_map(move |bytes| config_record(bytes, order))
    }

    /// The tables that all disks share.
    #[must_use]
    pub fn tables(&self) -> Tables<'a> {
        let section = |section| self.section(section).unwrap_or(&[]);
        Tables { physical: section(self.header.physical), virtual_disks: section(self.header.virtual_disks) }
    }

    /// True if the disk with that reference is a member of the element whose configuration record these bytes are.
    #[must_use]
    pub fn is_member(&self, config: &[u8], reference: u32) -> bool {
        let order = self.place.order;
        let members = || {
            let (config, rest) = Config::ref_from_prefix(config).ok()?;
            let (references, _) = <[Full]>::ref_from_prefix_with_elems(rest, self.max_members()).ok()?;
            references.get(..usize::from(config.primary_count.get(order)))
        };
        members().is_some_and(|members| members.iter().any(|held| held.get(order) == reference))
    }

    /// Where the log of bad blocks lies on the medium, if there is one with entries.
    #[must_use]
    pub fn bad_blocks(&self) -> Option<Extent> {
        let order = self.place.order;
        let (offset, length) = self.header.bad_blocks.run(order)?;
        let log: &BadBlockHead = prefix("bad block log", self.section(self.header.bad_blocks)?).ok()?;
        let found = log.signature.get(order) == MAGIC_BAD_BLOCKS && !matches!(log.entry_count.get(order), 0 | u16::MAX);
        let sectors = self.place.sector(u64::from(offset).saturating_add(u64::from(length))).0;
        let at = self.place.sector(u64::from(offset));
        found.then(|| Extent { at, len: Sectors(sectors.saturating_sub(at.0)) })
    }

    /// Bytes of a configuration record.
    #[must_use]
    pub fn config_bytes(&self) -> usize {
        let blocks = usize::from(self.header.config_record_length.get(self.place.order));
        blocks.saturating_mul(usize::try_from(self.place.block_bytes).unwrap_or(0))
    }

    /// Members that an element can have at most; the record has room for so many references and starts.
    #[must_use]
    pub fn max_members(&self) -> usize {
        usize::from(self.header.max_primary_elements.get(self.place.order))
    }

    /// The bytes of each configuration record, free or not.
    fn config_slots(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let section = self.section(self.header.config).unwrap_or(&[]);
        // A length of zero is refused by `check`; one keeps this from dividing by it.
        section.chunks_exact(self.config_bytes().max(1))
    }

    pub(super) fn section(&self, section: Section) -> Option<&'a [u8]> {
        section_of(self.bytes, section, &self.place)
    }

    /// Magic numbers and checksums of all tables.
    fn check(&self) -> Result<Damage, Refusal> {
        let header = self.header;
        let mut damage = Damage::empty();
        let fixed = [
            (header.controller, MAGIC_CONTROLLER, RECORD_BYTES, Damage::CONTROLLER),
            (header.physical, MAGIC_PHYSICAL, usize::MAX, Damage::PHYSICAL),
            (header.virtual_disks, MAGIC_VIRTUAL, usize::MAX, Damage::VIRTUAL),
            (header.disk_data, MAGIC_DISK, RECORD_BYTES, Damage::DISK),
        ];
        for (section, magic, short, flag) in fixed {
            let name = flag.structure();
            let missing = md::Refusal::Truncated { found: 0, expected: RECORD_BYTES };
            let bytes = match self.section(section) {
                None if flag == Damage::CONTROLLER => continue,
                found => found.ok_or(Refusal::of(name, missing))?,
            };
            let sound = self.check_magic(name, bytes, magic)? && self.sound(bytes, short);
            damage.set(flag, damage.contains(flag) || !sound);
        }
        if self.config_bytes() < RECORD_BYTES {
            let field = ("config_record_length", 134);
            return Err(Refusal::range(
                self.place.set.name(),
                field,
                self.config_bytes() as u64,
                1,
                u64::from(u16::MAX),
            ));
        }
        let used = |bytes: &&[u8]| {
            let magic = magic_of(bytes, self.place.order);
            magic == Some(MAGIC_CONFIG) || magic == Some(MAGIC_SPARE)
        };
        let sound = self.config_slots().filter(used).all(|bytes| self.sound(bytes, RECORD_BYTES));
        damage.set(Damage::CONFIG, !sound);
        Ok(damage)
    }

    /// The controller's data may be anything: they decide nothing.
    fn check_magic(&self, name: &'static str, bytes: &[u8], magic: u32) -> Result<bool, Refusal> {
        let found = magic_of(bytes, self.place.order).unwrap_or(0);
        let old = magic == MAGIC_PHYSICAL && found == MAGIC_DISK;
        if found == magic || old {
            return Ok(true);
        }
        let refusal = md::Refusal::NoMagic { offset: 0, found, expected: magic };
        if magic == MAGIC_CONTROLLER { Ok(false) } else { Err(Refusal::of(name, refusal)) }
    }

    fn sound(&self, bytes: &[u8], short: usize) -> bool {
        Form::of(bytes, short, self.place.order).is_ok()
    }
}

impl Damage {
    /// The name of the (first) structure.
    #[must_use]
    pub const fn structure(self) -> &'static str {
        match self {
            Self::CONTROLLER => "controller data",
            Self::PHYSICAL => "physical disk records",
            Self::VIRTUAL => "virtual disk records",
            Self::DISK => "physical disk data",
            _ => "configuration record",
        }
    }
}

/// Which disk this is; a set without it serves nobody.
fn disk_of<'a>(bytes: &'a [u8], header: &Header, place: &Place) -> Result<&'a DiskData, Refusal> {
    prefix("physical disk data", section_of(bytes, header.disk_data, place).unwrap_or(&[]))
}

fn section_of<'a>(bytes: &'a [u8], section: Section, place: &Place) -> Option<&'a [u8]> {
    let (offset, length) = section.run(place.order)?;
    let block = usize::try_from(place.block_bytes).ok()?;
    let start = usize::try_from(offset).ok()?.checked_mul(block)?;
    bytes.get(start..)?.get(..usize::try_from(length).ok()?.checked_mul(block)?)
}

fn magic_of(bytes: &[u8], order: Order) -> Option<u32> {
    Full::read_from_prefix(bytes).ok().map(|(magic, _)| magic.get(order))
}

fn config_record(bytes: &[u8], order: Order) -> Option<ConfigRecord<'_>> {
    match magic_of(bytes, order)? {
        0 | u32::MAX => None,
        MAGIC_CONFIG => Config::ref_from_prefix(bytes).ok().map(|(config, _)| ConfigRecord::Volume(config, bytes)),
        MAGIC_SPARE => SpareHead::ref_from_prefix(bytes).ok().map(|(head, rest)| ConfigRecord::Spare(head, rest)),
        other => Some(ConfigRecord::Other(other)),
    }
}

/// A table's entries behind its head. All of them: some writers count the populated ones, some the last one.
fn entries<T: FromBytes + Immutable + KnownLayout + Unaligned>(section: Option<&[u8]>) -> &[T] {
    let bytes = section.and_then(|bytes| bytes.get(ENTRY_BYTES..)).unwrap_or(&[]);
    let whole = bytes.len().saturating_sub(bytes.len().checked_rem(ENTRY_BYTES).unwrap_or(0));
    bytes.get(..whole).and_then(|bytes| <[T]>::ref_from_bytes(bytes).ok()).unwrap_or(&[])
}

fn prefix<'a, T>(name: &'static str, bytes: &'a [u8]) -> Result<&'a T, Refusal>
where
    T: FromBytes + Immutable + KnownLayout + Unaligned,
{
    let truncated = md::Refusal::Truncated { found: bytes.len(), expected: size_of::<T>() };
    T::ref_from_prefix(bytes).map(|(record, _)| record).map_err(|_| Refusal::of(name, truncated))
}
