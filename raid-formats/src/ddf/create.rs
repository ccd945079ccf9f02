//! New records: a configuration of physical and virtual disks, laid out as `mdadm --create -e ddf` does.
//!
//! Source: `mdadm` 4.2, `super-ddf.c` (`init_super_ddf`, `add_to_super_ddf`). The last 32 MiB of a disk are taken: the secondary set at
//! their start, the primary in their middle, the anchor at their end. Identities and time come from the caller: there is no randomness
//! and no clock here. Always big-endian, revision 1.2.

use super::{
    crc::Form,
    guid::Guid,
    level::{Numbers, numbers},
    metadata::Metadata,
    place::{CLOSED, Place, Set, sectors_per_block},
    probe::BLOCK_BYTES_MAX,
    raw::{
        Condition, Config, Controller, DiskData, ENTRY_BYTES, Header, Init, MAGIC_CONFIG, MAGIC_CONTROLLER, MAGIC_DISK,
        MAGIC_HEADER, MAGIC_PHYSICAL, MAGIC_VIRTUAL, PhysicalEntry, RECORD_BYTES, Section, TableHead, VirtualEntry,
        VolumeFlags,
    },
    refusal::Refusal,
    update::{NewDisk, Write, write_set},
    volume::EPOCH_S,
    word::{Full, Half, Order, Wide},
};
use crate::md;
use raid_core::{ArrayConfig, Level, Sector, Sectors, Sizes, geometry::Geometry};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// As specified.
const ORDER: Order = Order::Big;
/// Sectors that each of the two sets gets at the end of a disk.
const SET_SECTORS: u64 = 32768;
/// Physical disks that the tables have room for.
pub const DISKS_MAX: usize = 1023;
/// Virtual disks that the tables have room for.
pub const VOLUMES_MAX: usize = 255;
/// Virtual disks that one disk can be part of.
pub const PARTITIONS_MAX: usize = 64;
/// Members of an element.
pub const MEMBERS_MAX: usize = 256;
/// Bytes of a configuration record: its fixed part, and references and starts of so many members.
const CONFIG_BYTES: usize = RECORD_BYTES + 12 * MEMBERS_MAX;

/// A virtual disk to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeParams<'a> {
    /// Its identity.
    pub guid: Guid,
    /// Its name, padded with zeros.
    pub name: [u8; 16],
    /// Level and layout.
    pub level: Level,
    /// Chunk; zero where the level has none.
    pub chunk: Sectors,
    /// Sectors of each member.
    pub used: Sectors,
    /// Reference of the disk in each slot, and where its data start.
    pub members: &'a [(u32, Sector)],
    /// Redundancy is known to agree.
    pub consistent: bool,
}

/// All that the disks of a configuration must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateParams<'a> {
    /// Size of this disk.
    pub medium: Sectors,
    /// Bytes of its blocks, 512 or 4096.
    pub block_bytes: u32,
    /// Identity of the configuration.
    pub container: Guid,
    /// Identity of the controller that makes it.
    pub controller: Guid,
    /// All physical disks; their `configured_blocks` is [`data_end`] of each.
    pub disks: &'a [NewDisk],
    /// Which of them this one is.
    pub own: usize,
    /// All virtual disks.
    pub volumes: &'a [VolumeParams<'a>],
    /// Now, in seconds since 1970.
    pub created_s: u64,
}

/// Where the data of a disk of that size must end.
///
/// # Errors
/// The disk is too small.
pub fn data_end(medium: Sectors) -> Result<Sector, Refusal> {
    let end = medium.0.checked_sub(2 * SET_SECTORS).filter(|end| *end > 0);
    let too_small = md::Refusal::MediumTooSmall { found: medium.0, expected: 2 * SET_SECTORS + 1 };
    end.map(Sector).ok_or(Refusal::of("disk", too_small))
}

/// Bytes that [`create`] needs to work in.
#[must_use]
pub fn set_bytes(block_bytes: u32) -> usize {
    Plan::new(block_bytes).blocks().saturating_mul(block_len(block_bytes))
}

/// Makes the records of one disk in `set`, of [`set_bytes`], and has them written: both sets, then the anchor that makes them count.
///
/// # Errors
/// [`Refusal`] before anything is written if the parameters make no records that parse; later only what `write` returns.
pub fn create<E: From<Refusal>>(
    params: &CreateParams,
    set: &mut [u8],
    mut write: impl FnMut(Write) -> Result<(), E>,
) -> Result<(), E> {
    let block = block_len(params.block_bytes);
    let (found, expected) = (set.len(), set_bytes(params.block_bytes));
    let truncated = Refusal::of("set", md::Refusal::Truncated { found, expected });
    let set = set.get_mut(..expected).ok_or(truncated)?;
    let anchor_at = check(params)?;
    let plan = Plan::new(params.block_bytes);
    let header = header(params, &plan)?;
    fill(params, &plan, &header, set)?;
    let place = |which: Set| Place {
        set: which,
        order: ORDER,
        block_bytes: params.block_bytes,
        lba: match which {
            Set::Primary => header.primary_lba.get(ORDER),
            Set::Secondary => header.secondary_lba.get(ORDER),
        },
        len_blocks: u32::try_from(plan.blocks()).unwrap_or(u32::MAX),
        sequence: 1,
        open: false,
        medium: params.medium,
    };
    let metadata = Metadata::parse(set, &place(Set::Primary))?;
    metadata.volumes().try_for_each(|volume| volume.map(drop))?;
    for which in [Set::Secondary, Set::Primary] {
        write_set(set, None, (&place(which), &mut [0; BLOCK_BYTES_MAX]), &mut write)?;
    }
    let mut anchor = header;
    anchor.header_type = 0;
    anchor.open_flag = u8::MAX;
    anchor.sequence = Full::ABSENT;
    let start = set.get_mut(..block).ok_or(truncated)?;
    put(start, &anchor);
    write(Write { at: anchor_at, bytes: start, flush: true })
}

/// Sections of a set in blocks: offset and length.
struct Plan {
    controller: (usize, usize),
    physical: (usize, usize),
    virtual_disks: (usize, usize),
    config: (usize, usize),
    disk: (usize, usize),
    config_blocks: usize,
}

impl Plan {
    fn new(block_bytes: u32) -> Self {
        let blocks = |bytes: usize| bytes.div_ceil(block_len(block_bytes));
        let table = |entries: usize| blocks(ENTRY_BYTES.saturating_mul(entries.saturating_add(1)));
        let after = |(offset, len): (usize, usize), next: usize| (offset.saturating_add(len), next);
        let config_blocks = blocks(CONFIG_BYTES);
        let controller = (1, 1);
        let physical = after(controller, table(DISKS_MAX));
        let virtual_disks = after(physical, table(VOLUMES_MAX));
        // One for each virtual disk, and one for a spare assignment.
        let config = after(virtual_disks, config_blocks.saturating_mul(PARTITIONS_MAX + 1));
        Self { controller, physical, virtual_disks, config, disk: after(config, 1), config_blocks }
    }

    fn blocks(&self) -> usize {
        self.disk.0.saturating_add(self.disk.1)
    }
}

fn block_len(block_bytes: u32) -> usize {
    if block_bytes == 4096 { 4096 } else { 512 }
}

/// The parameters must fit the tables; where the anchor goes.
fn check(params: &CreateParams) -> Result<Sector, Refusal> {
    let range = |what, found: usize, most: usize| Refusal::range("parameters", (what, 0), found as u64, 1, most as u64);
    if params.block_bytes != 512 && params.block_bytes != 4096 {
        return Err(range("block_bytes", usize::try_from(params.block_bytes).unwrap_or(usize::MAX), 4096));
    }
    if params.disks.len() > DISKS_MAX {
        return Err(range("number of disks", params.disks.len(), DISKS_MAX));
    }
    if params.volumes.len() > PARTITIONS_MAX {
        return Err(range("number of virtual disks", params.volumes.len(), PARTITIONS_MAX));
    }
    let end = data_end(params.medium)?;
    for volume in params.volumes {
        let own = params.disks.get(params.own).map_or(u32::MAX, |disk| disk.reference);
        for (reference, start) in volume.members {
            let last = start.0.saturating_add(volume.used.0);
            if *reference == own && last > end.0 {
                return Err(Refusal::range("parameters", ("end of the data", 0), last, 1, end.0));
            }
        }
    }
    let per_block = sectors_per_block(params.block_bytes);
    let anchor = params.medium.floor_to(Sectors(per_block)).0.checked_sub(per_block);
    anchor.map(Sector).ok_or_else(|| range("size of the disk", 0, usize::MAX))
}

fn header(params: &CreateParams, plan: &Plan) -> Result<Header, Refusal> {
    let per_block = sectors_per_block(params.block_bytes);
    let lba = |sectors_before_end: u64| {
        let at = params.medium.0.saturating_sub(sectors_before_end);
        Wide::new(ORDER, at.checked_div(per_block).unwrap_or(0))
    };
    data_end(params.medium)?;
    let mut header = absent::<Header>();
    header.signature = Full::new(ORDER, MAGIC_HEADER);
    header.guid = params.container;
    header.revision = *b"01.02.00";
    header.sequence = Full::new(ORDER, 1);
    header.timestamp = Full::new(ORDER, timestamp(params.created_s));
    header.open_flag = CLOSED;
    header.foreign_flag = 0;
    header.disk_grouping = 0;
    header.primary_lba = lba(SET_SECTORS);
    header.secondary_lba = lba(2 * SET_SECTORS);
    header.header_type = Set::Primary as u8;
    let workspace = SET_SECTORS.checked_div(per_block).unwrap_or(0);
    header.workspace_length = Full::new(ORDER, u32::try_from(workspace).unwrap_or(0));
    header.workspace_lba = header.secondary_lba;
    header.max_pd_entries = half(DISKS_MAX);
    header.max_vd_entries = half(VOLUMES_MAX);
    header.max_partitions = half(PARTITIONS_MAX);
    header.config_record_length = half(plan.config_blocks);
    header.max_primary_elements = half(MEMBERS_MAX);
    let section = |(offset, len): (usize, usize)| Section { offset: full(offset), length: full(len) };
    header.controller = section(plan.controller);
    header.physical = section(plan.physical);
    header.virtual_disks = section(plan.virtual_disks);
    header.config = section(plan.config);
    header.disk_data = section(plan.disk);
    for none in [&mut header.bad_blocks, &mut header.diagnostics, &mut header.vendor_logs] {
        none.length = Full::new(ORDER, 0);
    }
    Ok(header)
}

fn fill(params: &CreateParams, plan: &Plan, header: &Header, set: &mut [u8]) -> Result<(), Refusal> {
    set.fill(0xFF);
    let block = block_len(params.block_bytes);
    let mut section = |(offset, len): (usize, usize), make: &mut dyn FnMut(&mut [u8]) -> Result<(), Refusal>| {
        let range = offset.saturating_mul(block)..offset.saturating_add(len).saturating_mul(block);
        make(set.get_mut(range).ok_or(Refusal::NoEntry { what: "a table" })?)
    };
    section((0, 1), &mut |bytes| {
        put(bytes, header);
        Ok(())
    })?;
    section(plan.controller, &mut |bytes| {
        put(bytes, &controller(params));
        Ok(())
    })?;
    section(plan.physical, &mut |bytes| table(bytes, MAGIC_PHYSICAL, DISKS_MAX, params.disks.iter().map(physical)))?;
    section(plan.virtual_disks, &mut |bytes| {
        let entries =
            params.volumes.iter().zip(0..u16::MAX).map(|(volume, number)| virtual_disk(params, volume, number));
        table(bytes, MAGIC_VIRTUAL, VOLUMES_MAX, entries)
    })?;
    section(plan.config, &mut |bytes| {
        let mut records = bytes.chunks_exact_mut(plan.config_blocks.saturating_mul(block).max(1));
        let own = own(params)?.reference;
        for volume in params.volumes {
            if let Some(slot) = volume.members.iter().position(|(reference, _)| *reference == own) {
                let record = records.next().ok_or(Refusal::NoEntry { what: "another configuration record" })?;
                config(params, volume, slot, record)?;
            }
        }
        Ok(())
    })?;
    section(plan.disk, &mut |bytes| {
        let own = own(params)?;
        let mut disk = absent::<DiskData>();
        disk.signature = Full::new(ORDER, MAGIC_DISK);
        disk.guid = own.guid;
        disk.reference = Full::new(ORDER, own.reference);
        disk.forced_reference = 1;
        disk.forced_guid = 1;
        put(bytes, &disk);
        Ok(())
    })
}

fn own<'a>(params: &CreateParams<'a>) -> Result<&'a NewDisk, Refusal> {
    params.disks.get(params.own).ok_or(Refusal::NoEntry { what: "this disk" })
}

fn controller(params: &CreateParams) -> Controller {
    let mut controller = absent::<Controller>();
    controller.signature = Full::new(ORDER, MAGIC_CONTROLLER);
    controller.guid = params.controller;
    controller.product_id = [b' '; 16];
    controller
}

fn physical(disk: &NewDisk) -> PhysicalEntry {
    let mut entry = absent::<PhysicalEntry>();
    entry.guid = disk.guid;
    entry.reference = Full::new(ORDER, disk.reference);
    entry.disk_type = Half::new(ORDER, disk.kind.bits());
    entry.state = Half::new(ORDER, disk.state.bits());
    entry.configured_size = Wide::new(ORDER, disk.configured_blocks);
    entry
}

fn virtual_disk(params: &CreateParams, volume: &VolumeParams, number: u16) -> VirtualEntry {
    let mut entry = absent::<VirtualEntry>();
    let flags = if volume.consistent { VolumeFlags::empty() } else { VolumeFlags::NOT_CONSISTENT };
    let init = if volume.consistent { Init::Full } else { Init::None };
    // The high half is the low half of a checksum over the controller's identity.
    let sum = super::crc::plain(&params.controller.0) << 16;
    entry.guid = volume.guid;
    entry.number = Half::new(ORDER, number);
    entry.volume_type = Full::new(ORDER, sum);
    entry.state = flags.bits() | Condition::Optimal as u8;
    entry.init_state = init as u8;
    entry.name = volume.name;
    entry
}

/// The record of the element that `slot` is in.
fn config(params: &CreateParams, volume: &VolumeParams, slot: usize, record: &mut [u8]) -> Result<(), Refusal> {
    let per_block = sectors_per_block(params.block_bytes);
    let Layout { numbers, strip_shift, array_size } = layout(params, volume)?;
    let per_element = usize::from(numbers.per_element).max(1);
    let element = slot.checked_div(per_element).unwrap_or(0);
    let mut config = absent::<Config>();
    config.signature = Full::new(ORDER, MAGIC_CONFIG);
    config.guid = volume.guid;
    config.timestamp = Full::new(ORDER, timestamp(params.created_s));
    config.sequence = Full::new(ORDER, 1);
    config.primary_count = Half::new(ORDER, numbers.per_element);
    config.strip_shift = strip_shift;
    config.primary_level = numbers.primary;
    config.level_qualifier = numbers.qualifier;
    config.secondary_count = numbers.elements;
    config.secondary_seq = u8::try_from(element).unwrap_or(u8::MAX);
    config.secondary_level = numbers.secondary;
    config.blocks = Wide::new(ORDER, volume.used.0.checked_div(per_block).unwrap_or(0));
    config.volume_blocks = Wide::new(ORDER, array_size.0.checked_div(per_block).unwrap_or(0));
    config.cache_policy = [0; 8];
    config.background_rate = 0x80;
    let too_short = Refusal::NoEntry { what: "a configuration record" };
    let (head, rest) = Config::mut_from_prefix(record).map_err(|_| too_short)?;
    *head = config;
    let (references, rest) = <[Full]>::mut_from_prefix_with_elems(rest, MEMBERS_MAX).map_err(|_| too_short)?;
    let (starts, _) = <[Wide]>::mut_from_prefix_with_elems(rest, MEMBERS_MAX).map_err(|_| too_short)?;
    starts.fill(Wide::new(ORDER, 0));
    let members = volume.members.chunks(per_element).nth(element).unwrap_or(&[]);
    for ((reference, start), (to_reference, to_start)) in members.iter().zip(references.iter_mut().zip(starts)) {
        to_reference.set(ORDER, *reference);
        to_start.set(ORDER, start.0.checked_div(per_block).unwrap_or(0));
    }
    Form { inverted: false, len: record.len() }.seal(record, ORDER);
    Ok(())
}

/// A level and its sizes as a configuration record says them.
struct Layout {
    numbers: Numbers,
    strip_shift: u8,
    array_size: Sectors,
}

fn layout(params: &CreateParams, volume: &VolumeParams) -> Result<Layout, Refusal> {
    let count = u64::try_from(volume.members.len()).unwrap_or(u64::MAX);
    let range = |what, found: u64, most: u64| Refusal::range("parameters", (what, 0), found, 1, most);
    let members = u16::try_from(count).map_err(|_| range("number of members", count, 255))?;
    let no_such = Refusal::NoEntry { what: "a level that DDF does not have" };
    let numbers = numbers(volume.level, members).ok_or(no_such)?;
    let per_block = sectors_per_block(params.block_bytes);
    let strip_shift = match volume.chunk.0.checked_div(per_block) {
        Some(0) | None => u8::MAX,
        Some(blocks) if blocks.is_power_of_two() && blocks.saturating_mul(per_block) == volume.chunk.0 => {
            u8::try_from(blocks.trailing_zeros()).unwrap_or(u8::MAX)
        }
        Some(_) => return Err(range("chunk, which must be a power of two", volume.chunk.0, 1 << 31)),
    };
    let config = ArrayConfig {
        level: volume.level,
        members,
        chunk: volume.chunk,
        sizes: Sizes::Same(volume.used),
        array_size: None,
    };
    let geometry = Geometry::new(&config).map_err(|_| range("used sectors", volume.used.0, u64::MAX))?;
    Ok(Layout { numbers, strip_shift, array_size: geometry.array_size() })
}

/// Writes a table: head, entries, and FF for the rest.
fn table<T: IntoBytes + Immutable>(
    bytes: &mut [u8],
    magic: u32,
    max: usize,
    entries: impl ExactSizeIterator<Item = T>,
) -> Result<(), Refusal> {
    let mut head = absent::<TableHead>();
    head.signature = Full::new(ORDER, magic);
    head.populated = half(entries.len());
    head.max = half(max);
    let full = Refusal::NoEntry { what: "another entry of a table" };
    let mut places = bytes.chunks_exact_mut(ENTRY_BYTES);
    head.write_to(places.next().ok_or(full)?).map_err(|_| full)?;
    for entry in entries {
        entry.write_to(places.next().ok_or(full)?).map_err(|_| full)?;
    }
    Form { inverted: false, len: bytes.len() }.seal(bytes, ORDER);
    Ok(())
}

/// Puts a record of fixed size at the start of its block, sealed.
fn put<T: IntoBytes + Immutable>(block: &mut [u8], record: &T) {
    if record.write_to_prefix(block).is_ok() {
        Form { inverted: false, len: RECORD_BYTES }.seal(block, ORDER);
    }
}

/// A record of which nothing is stated.
fn absent<T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned>() -> T {
    let mut record = T::new_zeroed();
    record.as_mut_bytes().fill(0xFF);
    record
}

fn half(number: usize) -> Half {
    Half::new(ORDER, u16::try_from(number).unwrap_or(u16::MAX))
}

fn full(number: usize) -> Full {
    Full::new(ORDER, u32::try_from(number).unwrap_or(u32::MAX))
}

fn timestamp(seconds: u64) -> u32 {
    u32::try_from(seconds.saturating_sub(EPOCH_S)).unwrap_or(u32::MAX)
}
