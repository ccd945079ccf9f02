//! dm-raid's superblock: the first bytes of each metadata device, beside the data device that it speaks of.
//!
//! Source: kernel `drivers/md/dm-raid.c` (`struct dm_raid_superblock`, `super_sync`, `super_init_validation`, `super_validate`). It has no
//! checksum and no identity. A write of it is one logical block, the rest of which is zero, so that a cut leaves the old block or the new.
//! MD's bitmap lies 4096 bytes behind it, of version 4 and without an identity; RAID 0 has none.
//!
//! Levels and layouts are MD's numbers. What dm and LVM call raid4 is MD's level 5 with parity on the first member.

use crate::{
    assemble::Claimant,
    md::{Refusal, bitmap::RawBitmap, level_from_md, level_to_md},
    record::{Format, Name, Notes, Record, Reshape, Role, Shape, Sync, Uuid, WriteLog},
};
use core::mem::{offset_of, size_of};
use raid_core::{Columns, Extent, Level, Member, Sector, Sectors};
use static_assertions::const_assert_eq;
use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{I32, U32, U64},
};

/// "DmRd".
pub const MAGIC: u32 = 0x6452_6D44;
/// Bytes of the record.
pub const RAID_BYTES: usize = size_of::<RawRaid>();
/// Most devices of a set (`MAX_RAID_DEVICES`).
pub const DISKS_MAX: u32 = 253;
/// Where MD's bitmap lies on the metadata device.
pub const BITMAP_AT: Sector = Sector(8);
/// The same in bytes.
pub const BITMAP_BYTES: u64 = 4096;
/// All sectors: nothing to resync, nothing to rebuild.
const ALL: u64 = u64::MAX;

bitflags::bitflags! {
    /// `compat_features`, and the reshape's `flags`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Bits: u32 {
        /// `compat_features`: the fields from `flags` on mean something (target version 1.9.0).
        const VERSION_1_9 = 1;
        /// `flags`: a reshape is under way.
        const RESHAPE_ACTIVE = 1;
        /// `flags`: it runs from the end to the start.
        const RESHAPE_BACKWARDS = 2;
    }
}

/// The fields that every version has.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the kernel's; docs/formats/dm.md explains each")]
pub struct RawRaidHead {
    pub magic: U32,
    pub compat_features: U32,
    pub num_devices: U32,
    pub array_position: U32,
    pub events: U64,
    pub failed_devices: U64,
    pub disk_recovery_offset: U64,
    pub array_resync_offset: U64,
    pub level: I32,
    pub layout: U32,
    pub stripe_sectors: U32,
}

/// The fields of target version 1.9.0; zero before.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the kernel's; docs/formats/dm.md explains each")]
pub struct RawRaidExtension {
    pub flags: U32,
    pub reshape_position: U64,
    pub new_level: I32,
    pub new_layout: U32,
    pub new_stripe_sectors: U32,
    pub delta_disks: I32,
    pub array_sectors: U64,
    pub data_offset: U64,
    pub new_data_offset: U64,
    pub sectors: U64,
    pub extended_failed_devices: [U64; 3],
}

/// The whole record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the kernel's; docs/formats/dm.md explains each")]
pub struct RawRaid {
    pub head: RawRaidHead,
    pub extension: RawRaidExtension,
    pub incompat_features: U32,
}

const_assert_eq!(size_of::<RawRaidHead>(), 60);
const_assert_eq!(offset_of!(RawRaid, incompat_features), 144);
const_assert_eq!(size_of::<RawRaid>(), 148);
const_assert_eq!(offset_of!(RawRaidExtension, array_sectors), 28);

/// A record that passed the checks, on its metadata device.
#[derive(Clone, Copy, Debug)]
pub struct Superblock<'a> {
    raw: &'a RawRaid,
    bytes: &'a [u8],
    record: Record,
}

impl<'a> Superblock<'a> {
    /// Reads the record at the start of `bytes`, which may be the whole logical block; `data` are the sectors of the data device beside it.
    ///
    /// # Errors
    /// The first [`Refusal`]. Without the magic number it is a new device, that Linux would fill.
    pub fn parse(bytes: &'a [u8], data: Sectors) -> Result<Self, Refusal> {
        let (raw, _) = RawRaid::ref_from_prefix(bytes)
            .map_err(|_| Refusal::Truncated { found: bytes.len(), expected: RAID_BYTES })?;
        let found = raw.head.magic.get();
        if found != MAGIC {
            return Err(Refusal::NoMagic { offset: 0, found, expected: MAGIC });
        }
        let unknown = raw.head.compat_features.get() & !Bits::VERSION_1_9.bits();
        if unknown != 0 {
            return Err(Refusal::UnknownBits { offset: 4, found: u64::from(unknown) });
        }
        let incompat = raw.incompat_features.get();
        if incompat != 0 {
            return Err(Refusal::UnknownBits { offset: 144, found: u64::from(incompat) });
        }
        let record = describe(raw, data)?;
        Ok(Self { raw, bytes, record })
    }

    /// The bytes as they were given.
    #[must_use]
    pub const fn emit(&self) -> &'a [u8] {
        self.bytes
    }

    /// The fields by their names.
    #[must_use]
    pub const fn raw(&self) -> &'a RawRaid {
        self.raw
    }

    /// The same in shared words. Its array has no identity: the table says which belong together.
    #[must_use]
    pub const fn described(&self) -> &Record {
        &self.record
    }

    /// True if this record says that the device in that slot failed.
    #[must_use]
    pub fn failed(&self, slot: u32) -> bool {
        failed(self.raw, slot)
    }
}

impl Claimant for Superblock<'_> {
    fn record(&self) -> &Record {
        &self.record
    }

    fn role_of(&self, number: u32) -> Role {
        let slots = u32::from(crate::record::slots(self.record.shape, self.record.reshape));
        match u16::try_from(number) {
            Ok(slot) if number < slots && !self.failed(number) => Role::Slot(slot),
            _ => Role::Faulty,
        }
    }
}

fn extended(raw: &RawRaid) -> bool {
    raw.head.compat_features.get() & Bits::VERSION_1_9.bits() != 0
}

fn failed(raw: &RawRaid, slot: u32) -> bool {
    let (word, bit) = (slot / 64, slot % 64);
    let words = match word.checked_sub(1) {
        None => Some(raw.head.failed_devices.get()),
        Some(_) if !extended(raw) => None,
        Some(index) => usize::try_from(index)
            .ok()
            .and_then(|index| raw.extension.extended_failed_devices.get(index))
            .map(|word| word.get()),
    };
    words.is_some_and(|word| word >> bit & 1 == 1)
}

/// Shapes before and after; during a reshape, `num_devices` is the new count.
fn shapes(raw: &RawRaid) -> Result<(Shape, Option<Reshape>), Refusal> {
    let (head, extension) = (&raw.head, &raw.extension);
    let devices = head.num_devices.get();
    let count = |field, offset, found: i64| {
        u16::try_from(found)
            .ok()
            .filter(|count| *count > 0 && u32::from(*count) <= DISKS_MAX)
            .ok_or_else(|| Refusal::range(field, offset, found, 1, u64::from(DISKS_MAX)))
    };
    let shape = |level: i32, layout, members, chunk: u32| {
        let level = level_from_md(level, layout)?;
        Ok::<_, Refusal>(Shape { level, members, chunk: Sectors(u64::from(chunk)), array_size: None })
    };
    let now = count("num_devices", 8, i64::from(devices))?;
    let flags = Bits::from_bits_retain(if extended(raw) { extension.flags.get() } else { 0 });
    let (level, layout, chunk) = (head.level.get(), head.layout.get(), head.stripe_sectors.get());
    if !flags.contains(Bits::RESHAPE_ACTIVE) {
        let mut own = shape(level, layout, now, chunk)?;
        own.array_size = Some(Sectors(extension.array_sectors.get())).filter(|size| extended(raw) && !size.is_zero());
        return Ok((own, None));
    }
    let delta = extension.delta_disks.get();
    let before = count("num_devices - delta_disks", 84, i64::from(devices).saturating_sub(i64::from(delta)))?;
    let to = shape(extension.new_level.get(), extension.new_layout.get(), now, extension.new_stripe_sectors.get())?;
    let reshape = Reshape {
        position: Sector(extension.reshape_position.get()),
        // As `super_init_validation` decides it.
        backwards: delta < 0 || (delta == 0 && flags.contains(Bits::RESHAPE_BACKWARDS)),
        to,
        new_data_at: Sector(extension.new_data_offset.get()),
    };
    Ok((shape(level, layout, before, chunk)?, Some(reshape)))
}

fn describe(raw: &RawRaid, data: Sectors) -> Result<Record, Refusal> {
    let (head, extension) = (&raw.head, &raw.extension);
    let (shape, reshape) = shapes(raw)?;
    let position = head.array_position.get();
    let slot = u16::try_from(position)
        .ok()
        .filter(|_| position < DISKS_MAX)
        .ok_or_else(|| Refusal::range("array_position", 12, position, 0, u64::from(DISKS_MAX) - 1))?;
    let (at, stated) = match extended(raw) {
        true => (extension.data_offset.get(), extension.sectors.get()),
        false => (0, 0),
    };
    let outside = |len| Refusal::Outside { what: "data", at: i128::from(at), len_sectors: len, medium_sectors: data.0 };
    let room = data.0.checked_sub(at).ok_or_else(|| outside(stated))?;
    if stated > room {
        return Err(outside(stated));
    }
    let used = if stated == 0 { room } else { stated };
    let each = matches!(shape.level, Level::Linear | Level::Raid0(_));
    let slots = crate::record::slots(shape, reshape);
    let resync = head.array_resync_offset.get();
    let recovered = head.disk_recovery_offset.get();
    Ok(Record {
        format: Format::DmRaid,
        array: Uuid::default(),
        name: Name([0; 32]),
        member: Uuid::default(),
        number: position,
        role: Role::Slot(slot),
        events: head.events.get(),
        updated_s: 0,
        created_s: 0,
        shape,
        data: Extent { at: Sector(at), len: Sectors(used) },
        used: if each { Sectors::ZERO } else { Sectors(used) },
        sync_mark: (recovered != ALL).then_some(Sectors(recovered)),
        replacement: false,
        // An unclean stop does not show here: only the bitmap tells.
        sync: if resync == ALL || each { Sync::Clean } else { Sync::DirtyFrom(Sector(resync)) },
        reshape,
        log: if each { WriteLog::None } else { WriteLog::Bitmap(BITMAP_AT) },
        bad_blocks: None,
        table_in_sync: (0..=u8::MAX)
            .filter(|slot| u16::from(*slot) < slots && !failed(raw, u32::from(*slot)))
            .map(Member)
            .collect::<Columns>(),
        write_mostly: false,
        fail_fast: false,
        logical_block_bytes: 0,
        notes: Notes::empty(),
    })
}

/// What changes while a set runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaidState {
    /// Freshness: higher with every change.
    pub events: u64,
    /// Slots whose devices failed or are not there.
    pub failed: Columns,
    /// How far this device is rebuilt; `None` if it is in sync.
    pub sync_mark: Option<Sectors>,
    /// How far redundancy is known to agree.
    pub sync: Sync,
}

/// Brings the logical block `block` up to date with a running set. It is written in one piece; what stands behind the record is zeroed, as
/// the kernel does.
///
/// Of a failure, the surviving devices are told one after the other: until the first of them is, the set is what it was before.
///
/// # Errors
/// A block that does not hold a sound record. Then nothing is changed.
pub fn update(block: &mut [u8], data: Sectors, state: &RaidState) -> Result<(), Refusal> {
    Superblock::parse(block, data)?;
    let (raw, rest) =
        RawRaid::mut_from_prefix(block).map_err(|_| Refusal::Truncated { found: 0, expected: RAID_BYTES })?;
    rest.fill(0);
    let head = &mut raw.head;
    head.events.set(state.events);
    head.disk_recovery_offset.set(state.sync_mark.map_or(ALL, |mark| mark.0));
    head.array_resync_offset.set(match state.sync {
        Sync::Clean => ALL,
        Sync::DirtyFrom(at) => at.0,
    });
    let word = |index: u8| {
        let in_word = state.failed.iter().filter(|member| member.0 / 64 == index);
        in_word.fold(0_u64, |word, member| word | 1 << (member.0 % 64))
    };
    head.failed_devices.set(word(0));
    if head.compat_features.get() & Bits::VERSION_1_9.bits() != 0 {
        for (index, slot) in (1..).zip(&mut raw.extension.extended_failed_devices) {
            slot.set(word(index));
        }
    }
    Ok(())
}

/// Makes the record of another device of the set, in `block`, the one of the device in `slot`; what it is like comes with [`update`]. Where
/// the set's data lie on a device of `data` sectors.
///
/// # Errors
/// A block that does not hold a sound record; a device that the data do not fit on. Then nothing is changed.
pub fn join(block: &mut [u8], slot: Member, data: Sectors) -> Result<Extent, Refusal> {
    let mut raw = *Superblock::parse(block, data)?.raw();
    raw.head.array_position.set(slot.0.into());
    let record = describe(&raw, data)?;
    if let Some((start, _)) = block.split_at_mut_checked(RAID_BYTES) {
        start.copy_from_slice(raw.as_bytes());
    }
    Ok(record.data)
}

/// A new set of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateParams {
    /// Level and layout.
    pub level: Level,
    /// Devices.
    pub devices: u16,
    /// Chunk; zero where the level has none.
    pub chunk: Sectors,
    /// Sectors that each device gives.
    pub used: Sectors,
    /// Sectors of the set.
    pub array_size: Sectors,
    /// Clean if redundancy agrees already.
    pub sync: Sync,
    /// Sectors of the region that one bit of the bitmap stands for; `None` for RAID 0, which has no bitmap.
    pub region: Option<Sectors>,
}

/// Bits that a bitmap counts: the set's sectors where there are copies only, the device's otherwise.
fn sync_size(params: &CreateParams) -> Sectors {
    match params.level {
        Level::Raid1 | Level::Raid10(_) => params.array_size,
        _ => params.used,
    }
}

/// Writes what a new metadata device for `slot` holds, in blocks of 4096 bytes: `write` gets the byte offset and the block.
///
/// The record comes last, so that a cut leaves a device that Linux takes for new.
///
/// # Errors
/// A slot or count that cannot be; what `write` fails with.
pub fn create<E: From<Refusal>>(
    params: &CreateParams,
    slot: u16,
    mut write: impl FnMut(u64, &[u8; 4096]) -> Result<(), E>,
) -> Result<(), E> {
    const BLOCK_BYTES: u64 = 4096;
    let (level, layout) = level_to_md(params.level);
    let mut block = [0; 4096];
    if slot >= params.devices || u32::from(params.devices) > DISKS_MAX {
        return Err(Refusal::range("array_position", 12, slot, 0, u64::from(params.devices)).into());
    }
    if let Some(region) = params.region {
        let chunk_bytes = region.bytes().and_then(|bytes| u32::try_from(bytes).ok());
        let chunk_bytes = chunk_bytes.filter(|bytes| bytes.is_power_of_two());
        let chunk_bytes =
            chunk_bytes.ok_or_else(|| Refusal::range("region (a power of two)", 52, region.0, 1, 1 << 22))?;
        let size = sync_size(params);
        let bits = size.0.div_ceil(region.0.max(1));
        let mut header = RawBitmap::new_zeroed();
        header.magic.set(crate::md::bitmap::MAGIC);
        header.version.set(4);
        header.events.set(1);
        header.sync_size.set(size.0);
        header.chunksize.set(chunk_bytes);
        header.daemon_sleep.set(5);
        let all = params.sync != Sync::Clean;
        let end = bits.div_ceil(8).saturating_add(size_of::<RawBitmap>() as u64);
        let mut from: u64 = 0;
        while from < end {
            for (at, byte) in (from..).zip(block.iter_mut()) {
                let bit = at.checked_sub(size_of::<RawBitmap>() as u64).map(|at| at.saturating_mul(8));
                let left = bit.map_or(0, |bit| bits.saturating_sub(bit).min(8));
                *byte = if all { u8::try_from((1_u16 << left).saturating_sub(1)).unwrap_or(0) } else { 0 };
            }
            if let (0, Some(start)) = (from, block.get_mut(..size_of::<RawBitmap>())) {
                start.copy_from_slice(header.as_bytes());
            }
            write(from.saturating_add(BLOCK_BYTES), &block)?;
            from = from.saturating_add(BLOCK_BYTES);
        }
    }
    let mut raw = RawRaid::new_zeroed();
    raw.head.magic.set(MAGIC);
    raw.head.compat_features.set(Bits::VERSION_1_9.bits());
    raw.head.num_devices.set(u32::from(params.devices));
    raw.head.array_position.set(u32::from(slot));
    raw.head.events.set(1);
    raw.head.disk_recovery_offset.set(ALL);
    raw.head.array_resync_offset.set(match params.sync {
        Sync::Clean => ALL,
        Sync::DirtyFrom(at) => at.0,
    });
    let chunk = u32::try_from(params.chunk.0)
        .map_err(|_| Refusal::range("stripe_sectors", 56, params.chunk.0, 0, u64::from(u32::MAX)))?;
    raw.head.level.set(level);
    raw.head.layout.set(layout);
    raw.head.stripe_sectors.set(chunk);
    raw.extension.new_level.set(level);
    raw.extension.new_layout.set(layout);
    raw.extension.new_stripe_sectors.set(chunk);
    raw.extension.reshape_position.set(ALL);
    raw.extension.array_sectors.set(params.array_size.0);
    raw.extension.sectors.set(params.used.0);
    block.fill(0);
    if let Some((start, _)) = block.split_at_mut_checked(RAID_BYTES) {
        start.copy_from_slice(raw.as_bytes());
    }
    write(0, &block)
}
