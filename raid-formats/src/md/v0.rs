//! Superblock 0.90 and 0.91, validated: the checks that Linux makes, and the meaning of the fields, in either byte order.
//!
//! Source: kernel `drivers/md/md.c`, `super_90_load`, `super_90_validate` and `super_90_sync`. The record does not say where it lies, so a
//! disk and its last partition can seem to carry it both; telling them apart needs both, and is not done here.

use crate::{
    md::{
        MAGIC, Refusal, Version,
        checksum::{folded_sum, folded_to_16},
        level::level_from_md,
        place::{SUPERBLOCK_SECTORS, superblock_at},
        raw0::{DISKS_MAX, Disk, DiskState, RECORD_BYTES, Raw0, State0},
    },
    record::{Name, Notes, Record, Reshape, Role, Shape, Sync, Uuid, WriteLog, slots},
};
use core::mem::offset_of;
use raid_core::{Columns, Extent, Level, Member, SECTOR_BYTES, Sector, Sectors};
use zerocopy::{
    FromBytes, IntoBytes, LE,
    byteorder::{ByteOrder, Order},
};

/// The minor version that says "a reshape is under way".
const MINOR_RESHAPING: u32 = 91;

/// A superblock 0.90 that passed every check. Borrows the record, so nothing in it is lost.
#[derive(Clone, Copy, Debug)]
pub struct Superblock0<'a, O: ByteOrder> {
    raw: &'a Raw0<O>,
    medium: Sectors,
    at: Sector,
    shape: Shape,
    reshape: Option<Reshape>,
    notes: Notes,
}

/// `offset_of!` in the width that refusals use. Both byte orders lay the fields out alike.
macro_rules! at {
    ($field:ident) => {{
        #[expect(clippy::cast_possible_truncation, reason = "the record has 4096 bytes")]
        const AT: u32 = offset_of!(Raw0<LE>, $field) as u32;
        AT
    }};
}

impl<'a, O: ByteOrder> Superblock0<'a, O> {
    /// 0.90 in this byte order.
    pub const VERSION: Version = match O::ORDER {
        Order::LittleEndian => Version::V0Little,
        Order::BigEndian => Version::V0Big,
    };

    /// Reads the superblock from the 4096 bytes found at its place on a medium of that size.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn parse(bytes: &'a [u8], medium: Sectors) -> Result<Self, Refusal> {
        let (raw, _) = Raw0::<O>::ref_from_prefix(bytes)
            .map_err(|_| Refusal::Truncated { found: bytes.len(), expected: RECORD_BYTES })?;
        let at = superblock_at(Self::VERSION, medium)?;
        let mut notes = check_identity(raw)?;
        let (shape, reshape) = read_shapes(raw)?;
        notes.set(Notes::NUMBER_OUTSIDE_TABLE, own_disk(raw).is_none());
        let superblock = Self { raw, medium, at, shape, reshape, notes };
        superblock.check_areas()?;
        Ok(superblock)
    }

    /// The bytes as they are, every field and every reserved byte.
    #[must_use]
    pub fn emit(&self) -> &'a [u8; RECORD_BYTES] {
        zerocopy::transmute_ref!(self.raw)
    }

    /// The fields by their names.
    #[must_use]
    pub const fn raw(&self) -> &'a Raw0<O> {
        self.raw
    }

    /// Size of the medium it was found on.
    #[must_use]
    pub const fn medium(&self) -> Sectors {
        self.medium
    }

    /// Where it lies.
    #[must_use]
    pub const fn at(&self) -> Sector {
        self.at
    }

    /// What the table says of the member with that number; numbers outside the table are spares.
    #[must_use]
    pub fn role_of(&self, number: u32) -> Role {
        disk(self.raw, number).map_or(Role::Spare, |disk| self.role_in(disk))
    }

    /// This member's own role, by the table's entry of its number as in Linux; the copy in `this_disk` is not asked.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role_of(self.raw.this_disk.number.get())
    }

    /// What this member claims, in the words that all formats share.
    #[must_use]
    pub fn record(&self) -> Record {
        let raw = self.raw;
        let own = own_disk(raw).unwrap_or(&raw.this_disk);
        let own_state = DiskState::from_bits_retain(own.state.get());
        let role = self.role();
        let rebuilding = matches!(role, Role::Slot(_)) && !own_state.contains(DiskState::SYNC);
        Record {
            format: Self::VERSION.format(),
            array: self.uuid(),
            name: Name([0; 32]),
            member: Uuid::default(),
            number: raw.this_disk.number.get(),
            role,
            events: raw.events.get(),
            updated_s: u64::from(raw.utime.get()),
            created_s: u64::from(raw.ctime.get()),
            shape: self.shape,
            data: Extent { at: Sector(0), len: Sectors(self.at.0) },
            used: self.used(),
            // 0.90 has no place for a mark: what is not in sync is trusted nowhere.
            sync_mark: rebuilding.then_some(Sectors::ZERO),
            replacement: false,
            sync: self.sync(),
            reshape: self.reshape,
            log: match State0::from_bits_retain(raw.state.get()).contains(State0::BITMAP_PRESENT) {
                true => WriteLog::Bitmap(Sector(self.at.0.saturating_add(SUPERBLOCK_SECTORS.0))),
                false => WriteLog::None,
            },
            bad_blocks: None,
            table_in_sync: self.table_in_sync(),
            write_mostly: own_state.contains(DiskState::WRITE_MOSTLY),
            fail_fast: own_state.contains(DiskState::FAIL_FAST),
            logical_block_bytes: 0,
            notes: self.notes,
        }
    }

    /// The four words of the identity, each printed as a number and so with its high byte first, whoever wrote it.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        let raw = self.raw;
        let mut uuid = [0; 16];
        for (bytes, word) in
            uuid.as_chunks_mut::<4>().0.iter_mut().zip([raw.set_uuid0, raw.set_uuid1, raw.set_uuid2, raw.set_uuid3])
        {
            *bytes = word.get().to_be_bytes();
        }
        Uuid(uuid)
    }

    /// The identity as the bitmap's header holds it: the four words in the writer's byte order.
    #[must_use]
    pub fn bitmap_uuid(&self) -> [u8; 16] {
        let raw = self.raw;
        zerocopy::transmute!([raw.set_uuid0, raw.set_uuid1, raw.set_uuid2, raw.set_uuid3])
    }

    fn used(&self) -> Sectors {
        match self.shape.level {
            Level::Linear | Level::Raid0(_) => Sectors::ZERO,
            _ => Sectors(u64::from(self.raw.size.get()).saturating_mul(2)),
        }
    }

    /// Not clean: the mark counts only if it was written together with this very state.
    fn sync(&self) -> Sync {
        let raw = self.raw;
        if State0::from_bits_retain(raw.state.get()).contains(State0::CLEAN) {
            return Sync::Clean;
        }
        let marked = raw.cp_events.get() == raw.events.get();
        Sync::DirtyFrom(Sector(if marked { u64::from(raw.recovery_cp.get()) } else { 0 }))
    }

    fn table_in_sync(&self) -> Columns {
        let mut set = Columns::EMPTY;
        for disk in &self.raw.disks {
            let state = DiskState::from_bits_retain(disk.state.get());
            if let Role::Slot(slot) = self.role_in(disk)
                && state.contains(DiskState::ACTIVE | DiskState::SYNC)
                && slot < slots(self.shape, self.reshape)
                && let Ok(slot) = u8::try_from(slot)
            {
                set.insert(Member(slot));
            }
        }
        set
    }

    fn role_in(&self, disk: &Disk<O>) -> Role {
        let state = DiskState::from_bits_retain(disk.state.get());
        if state.intersects(DiskState::FAULTY | DiskState::REMOVED) {
            return Role::Faulty;
        }
        // Only a reshaping array records members that are active and not in sync.
        let reshaping = self.raw.minor_version.get() >= MINOR_RESHAPING;
        let active = state.contains(DiskState::SYNC) || reshaping && state.contains(DiskState::ACTIVE);
        match u16::try_from(disk.raid_disk.get()) {
            Ok(slot) if active => Role::Slot(slot),
            Err(_) if active => Role::Faulty,
            _ => Role::Spare,
        }
    }

    /// Data reach from the start of the medium to the superblock, and must hold what the array uses.
    fn check_areas(&self) -> Result<(), Refusal> {
        if self.used().0 > self.at.0 {
            let used = self.used();
            return Err(Refusal::Outside { what: "data area", at: 0, len_sectors: used.0, medium_sectors: self.at.0 });
        }
        Ok(())
    }
}

/// The sum over the whole record, as it should stand in `sb_csum`.
#[must_use]
pub(super) fn checksum<O: ByteOrder>(raw: &Raw0<O>) -> u32 {
    folded_sum::<O>(raw.as_bytes(), offset_of!(Raw0<LE>, sb_csum))
}

/// Puts the right sum into a changed record.
pub(super) fn seal<O: ByteOrder>(block: &mut [u8; RECORD_BYTES]) {
    if let Ok(raw) = Raw0::<O>::mut_from_bytes(block) {
        let sum = checksum(raw);
        raw.sb_csum.set(sum);
    }
}

fn disk<O: ByteOrder>(raw: &Raw0<O>, number: u32) -> Option<&Disk<O>> {
    raw.disks.get(usize::try_from(number).ok()?)
}

fn own_disk<O: ByteOrder>(raw: &Raw0<O>) -> Option<&Disk<O>> {
    disk(raw, raw.this_disk.number.get())
}

fn check_identity<O: ByteOrder>(raw: &Raw0<O>) -> Result<Notes, Refusal> {
    if raw.md_magic.get() != MAGIC {
        return Err(Refusal::NoMagic { offset: at!(md_magic), found: raw.md_magic.get(), expected: MAGIC });
    }
    if raw.major_version.get() != 0 {
        return Err(Refusal::range("major_version", at!(major_version), raw.major_version.get(), 0, 0));
    }
    if !(90..=91).contains(&raw.minor_version.get()) {
        return Err(Refusal::range("minor_version", at!(minor_version), raw.minor_version.get(), 90, 91));
    }
    let (found, expected) = (raw.sb_csum.get(), checksum(raw));
    // Linux compares the sums folded to 16 bits, since kernels on Alpha stored them so.
    if folded_to_16(found) != folded_to_16(expected) {
        return Err(Refusal::Checksum { offset: at!(sb_csum), found, expected });
    }
    Ok(if found == expected { Notes::empty() } else { Notes::WEAK_CHECKSUM })
}

/// The shape and, during a reshape, the one it ends in. `raid_disks` is already the new number then, see [`super::v1`].
fn read_shapes<O: ByteOrder>(raw: &Raw0<O>) -> Result<(Shape, Option<Reshape>), Refusal> {
    let raid_disks = i64::from(raw.raid_disks.get());
    let position = raw.reshape_position.get();
    let reshaping = raw.minor_version.get() >= MINOR_RESHAPING && position != u64::MAX;
    let delta = if reshaping { i64::from(raw.delta_disks.get()) } else { 0 };
    let old_members = members("raid_disks - delta_disks", raid_disks.saturating_sub(delta))?;
    let chunk = sectors("chunk_size", at!(chunk_size), raw.chunk_size.get())?;
    let shape = shape(raw.level.get(), raw.layout.get(), old_members, chunk)?;
    if !reshaping {
        return Ok((shape, None));
    }
    let new_members = members("raid_disks", raid_disks)?;
    let new_chunk = sectors("new_chunk", at!(new_chunk), raw.new_chunk.get())?;
    let to = self::shape(raw.new_level.get(), raw.new_layout.get(), new_members, new_chunk)?;
    Ok((shape, Some(Reshape { position: Sector(position), backwards: delta < 0, to, new_data_at: Sector(0) })))
}

fn members(field: &'static str, found: i64) -> Result<u16, Refusal> {
    match u16::try_from(found) {
        Ok(count) if count >= 1 && usize::from(count) <= DISKS_MAX => Ok(count),
        _ => Err(Refusal::range(field, at!(raid_disks), found, 1, DISKS_MAX as u64)),
    }
}

fn sectors(field: &'static str, offset: u32, bytes: u32) -> Result<Sectors, Refusal> {
    let sectors = Sectors::from_bytes_floor(u64::from(bytes));
    match sectors.bytes() {
        Some(whole) if whole == u64::from(bytes) => Ok(sectors),
        _ => Err(Refusal::range(field, offset, bytes, SECTOR_BYTES, u64::from(u32::MAX))),
    }
}

fn shape(level: i32, layout: u32, members: u16, chunk: Sectors) -> Result<Shape, Refusal> {
    // 0.90 never recorded a RAID 0 layout, and RAID 1 has no chunk.
    let level = level_from_md(level, if level == 0 { 0 } else { layout })?;
    let chunk = if level == Level::Raid1 { Sectors::ZERO } else { chunk };
    Ok(Shape { level, members, chunk, array_size: None })
}
