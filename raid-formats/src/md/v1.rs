//! Superblock 1.x (1.0, 1.1, 1.2), validated: the checks that Linux makes, and the meaning of the fields.
//!
//! Source: kernel `drivers/md/md.c`, `super_1_load` and `super_1_validate`. Two things differ on purpose: reserved bytes that are set are
//! a note here and a refusal there, because people want their data back; and shapes are read strictly, because a wrong one destroys them.

use crate::{
    md::{
        Refusal, Version,
        bad_blocks::SHIFT_MAX,
        checksum::folded_sum,
        level::level_from_md,
        place::{SUPERBLOCK_SECTORS, beside, superblock_at},
        raw1::{DeviceFlags, Features, HEAD_BYTES, Head, RECORD_BYTES, ROLES_MAX, Raw1},
    },
    record::{Name, Notes, Record, Reshape, Role, Shape, Sync, Uuid, WriteLog, slots},
};
use core::mem::offset_of;
use raid_core::{Columns, Extent, Level, Member, Sector, Sectors};
use zerocopy::{FromBytes, IntoBytes, LE};

/// The number every MD superblock starts with.
pub const MAGIC: u32 = 0xA92B_4EFC;

/// Times are 40 bits of seconds below 24 bits of microseconds.
pub(super) const TIME_SECONDS_MASK: u64 = (1 << 40) - 1;

/// Roles from here up are not slots.
const ROLE_NOT_A_SLOT: u16 = 0xFF00;
/// Role of the journal member.
pub const ROLE_JOURNAL: u16 = 0xFFFD;
/// Role of a failed member; older kernels also gave it to numbers that nobody has.
pub const ROLE_FAULTY: u16 = 0xFFFE;
/// Role of a spare, and of numbers that nobody has.
pub const ROLE_SPARE: u16 = 0xFFFF;

/// Offset of the table's length.
pub(super) const MAX_DEV_OFFSET: u32 = 220;
/// Offset of the table.
pub(super) const ROLES_OFFSET: u32 = 256;

/// Least data area that Linux takes.
const DATA_SECTORS_MIN: u64 = 10;
/// Most sectors that Linux takes for the list of bad blocks.
const BAD_BLOCK_SECTORS_MAX: u64 = 8;

/// A superblock 1.x that passed every check. Borrows the record, so nothing in it is lost.
#[derive(Clone, Copy, Debug)]
pub struct Superblock1<'a> {
    raw: &'a Raw1,
    version: Version,
    medium: Sectors,
    features: Features,
    shape: Shape,
    reshape: Option<Reshape>,
    notes: Notes,
}

/// `offset_of!` in the width that refusals use.
macro_rules! at {
    ($field:ident) => {{
        #[expect(clippy::cast_possible_truncation, reason = "the record has 4096 bytes")]
        const AT: u32 = offset_of!(Head, $field) as u32;
        AT
    }};
}

impl<'a> Superblock1<'a> {
    /// Reads the superblock of `version` from the 4096 bytes found at its place on a medium of that size.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn parse(bytes: &'a [u8], version: Version, medium: Sectors) -> Result<Self, Refusal> {
        let (raw, _) = Raw1::ref_from_prefix(bytes)
            .map_err(|_| Refusal::Truncated { found: bytes.len(), expected: RECORD_BYTES })?;
        check_identity(raw, version, medium)?;
        let features = check_features(&raw.head)?;
        let (shape, reshape) = read_shapes(&raw.head, features)?;
        let notes = read_notes(raw, slots(shape, reshape));
        let superblock = Self { raw, version, medium, features, shape, reshape, notes };
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
    pub const fn raw(&self) -> &'a Raw1 {
        self.raw
    }

    /// 1.0, 1.1 or 1.2.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Feature bits.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.features
    }

    /// Size of the medium it was found on.
    #[must_use]
    pub const fn medium(&self) -> Sectors {
        self.medium
    }

    /// Where it lies.
    #[must_use]
    pub fn at(&self) -> Sector {
        Sector(self.raw.head.super_offset.get())
    }

    /// Roles by permanent number.
    pub fn roles(&self) -> impl Iterator<Item = Role> {
        role_words(self.raw).iter().map(|word| role_from_word(word.get()))
    }

    /// What the table says of the member with that permanent number; numbers outside the table are spares, as in Linux.
    #[must_use]
    pub fn role_of(&self, number: u32) -> Role {
        usize::try_from(number).ok().and_then(|index| self.roles().nth(index)).unwrap_or(Role::Spare)
    }

    /// This member's own role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role_of(self.raw.head.dev_number.get())
    }

    /// The area of bad blocks, in use or only reserved.
    ///
    /// # Errors
    /// If it does not lie on the medium.
    pub fn bad_block_area(&self) -> Result<Option<Extent>, Refusal> {
        let (len, offset) = (self.raw.head.bblog_size.get(), self.raw.head.bblog_offset.get());
        if len == 0 || offset == 0 {
            return Ok(None);
        }
        self.beside("list of bad blocks", i64::from(offset), Sectors(u64::from(len))).map(Some)
    }

    /// What this member claims, in the words that all formats share.
    #[must_use]
    pub fn record(&self) -> Record {
        let head = &self.raw.head;
        let role = self.role();
        let recovering = self.features.contains(Features::RECOVERY_OFFSET) && matches!(role, Role::Slot(_));
        let flags = DeviceFlags::from_bits_retain(head.devflags);
        Record {
            format: self.version.format(),
            array: Uuid(head.set_uuid),
            name: Name(head.set_name),
            member: Uuid(head.device_uuid),
            number: head.dev_number.get(),
            role,
            events: head.events.get(),
            updated_s: head.utime.get() & TIME_SECONDS_MASK,
            created_s: head.ctime.get() & TIME_SECONDS_MASK,
            shape: self.shape,
            data: Extent { at: Sector(head.data_offset.get()), len: Sectors(head.data_size.get()) },
            used: match self.shape.level {
                Level::Linear | Level::Raid0(_) => Sectors::ZERO,
                _ => Sectors(head.size.get()),
            },
            sync_mark: recovering.then_some(Sectors(head.recovery_offset.get())),
            replacement: self.features.contains(Features::REPLACEMENT),
            sync: match head.resync_offset.get() {
                u64::MAX => Sync::Clean,
                from => Sync::DirtyFrom(Sector(from)),
            },
            reshape: self.reshape,
            log: self.write_log(),
            bad_blocks: match self.features.contains(Features::BAD_BLOCKS) {
                true => self.bad_block_area().ok().flatten(),
                false => None,
            },
            table_in_sync: self.table_in_sync(role, recovering),
            write_mostly: flags.contains(DeviceFlags::WRITE_MOSTLY),
            fail_fast: flags.contains(DeviceFlags::FAIL_FAST),
            logical_block_bytes: head.logical_block_size.get(),
            notes: self.notes,
        }
    }

    /// What lies at the place of the write log.
    #[must_use]
    pub fn write_log(&self) -> WriteLog {
        let head = &self.raw.head;
        if self.features.contains(Features::JOURNAL) {
            return WriteLog::Journal { tail: Sector(head.recovery_offset.get()) };
        }
        if self.features.contains(Features::BITMAP_OFFSET) {
            let at = self.at().0.saturating_add_signed(i64::from(head.bitmap_offset.get()));
            return WriteLog::Bitmap(Sector(at));
        }
        if self.features.intersects(Features::PPL | Features::MULTIPLE_PPLS) {
            let (offset, len) = head.ppl();
            let at = Sector(self.at().0.saturating_add_signed(i64::from(offset)));
            let multiple = self.features.contains(Features::MULTIPLE_PPLS);
            return WriteLog::Ppl { at: Extent { at, len: Sectors(u64::from(len)) }, multiple };
        }
        WriteLog::None
    }

    fn beside(&self, what: &'static str, offset: i64, len: Sectors) -> Result<Extent, Refusal> {
        beside(what, self.at(), offset, len, self.medium)
    }

    /// Slots with a member in the table. Its own slot only if this member is in sync there, or somebody else serves it.
    fn table_in_sync(&self, own: Role, recovering: bool) -> Columns {
        let own_number = self.raw.head.dev_number.get();
        let mut set = Columns::EMPTY;
        for (number, role) in (0..).zip(self.roles()) {
            if let Role::Slot(slot) = role
                && !(recovering && role == own && number == own_number)
                && slot < slots(self.shape, self.reshape)
                && let Ok(slot) = u8::try_from(slot)
            {
                set.insert(Member(slot));
            }
        }
        set
    }

    /// Everything the record points to must lie on the medium, and not on the record.
    fn check_areas(&self) -> Result<(), Refusal> {
        let head = &self.raw.head;
        let at = self.at();
        let (data_at, data_len) = (Sector(head.data_offset.get()), Sectors(head.data_size.get()));
        let outside = Refusal::Outside {
            what: "data area",
            at: i128::from(data_at.0),
            len_sectors: data_len.0,
            medium_sectors: self.medium.0,
        };
        let data_end = data_at.checked_add(data_len).ok_or(outside)?;
        // Version 1.0 has its data in front of the superblock, the others behind it.
        let limit = if self.version == Version::V1_0 { at.0 } else { self.medium.0 };
        if data_end.0 > limit {
            return Err(outside);
        }
        let least = self.data_at_least();
        for (field, offset, start) in [
            ("data_offset", at!(data_offset), Some(data_at)),
            ("data_offset + new_offset", at!(new_offset), self.reshape.map(|reshape| reshape.new_data_at)),
        ] {
            if let Some(start) = start
                && start.0 < least
            {
                return Err(Refusal::range(field, offset, start.0, least, self.medium.0));
            }
        }
        if self.features.contains(Features::BAD_BLOCKS) {
            self.check_bad_blocks()?;
        }
        self.check_log()
    }

    /// There must be a place for the list of bad blocks, of a size that Linux takes.
    pub(super) fn check_bad_blocks(&self) -> Result<(), Refusal> {
        let head = &self.raw.head;
        let (len, shift) = (u64::from(head.bblog_size.get()), head.bblog_shift);
        if len > BAD_BLOCK_SECTORS_MAX {
            return Err(Refusal::range("bblog_size", at!(bblog_size), len, 0, BAD_BLOCK_SECTORS_MAX));
        }
        if head.bblog_offset.get() == 0 {
            return Err(Refusal::range("bblog_offset", at!(bblog_offset), 0_u64, 1, u64::from(u32::MAX)));
        }
        if shift > SHIFT_MAX {
            return Err(Refusal::range("bblog_shift", at!(bblog_shift), shift, 0, u64::from(SHIFT_MAX)));
        }
        self.bad_block_area().map(drop)
    }

    fn check_log(&self) -> Result<(), Refusal> {
        let head = &self.raw.head;
        if self.features.contains(Features::BITMAP_OFFSET) {
            // The bitmap's own header says how long it is; one sector of it must be there at least.
            self.beside("bitmap", i64::from(head.bitmap_offset.get()), Sectors(1))?;
        } else if self.features.intersects(Features::PPL | Features::MULTIPLE_PPLS) {
            let (offset, len) = head.ppl();
            self.beside("partial parity log", i64::from(offset), Sectors(u64::from(len)))?;
        }
        Ok(())
    }

    /// First sector that data may have: behind the superblock in 1.1 and 1.2.
    fn data_at_least(&self) -> u64 {
        match self.version {
            Version::V1_1 | Version::V1_2 => self.at().0.saturating_add(used_sectors(&self.raw.head).0),
            _ => 0,
        }
    }
}

/// Sectors that the record itself fills, by its table.
fn used_sectors(head: &Head) -> Sectors {
    let bytes = u64::from(head.max_dev.get()).saturating_mul(2).saturating_add(HEAD_BYTES as u64);
    Sectors(bytes.div_ceil(512).min(SUPERBLOCK_SECTORS.0))
}

/// The sum over head and table, as it should stand in `sb_csum`. `None` if the table is longer than the record.
#[must_use]
pub(super) fn checksum(raw: &Raw1) -> Option<u32> {
    let table = usize::try_from(raw.head.max_dev.get()).ok()?.checked_mul(2)?;
    let summed = raw.as_bytes().get(..HEAD_BYTES.checked_add(table)?)?;
    Some(folded_sum::<LE>(summed, offset_of!(Head, sb_csum)))
}

/// Puts the right sum into a changed record.
pub(super) fn seal(block: &mut [u8; RECORD_BYTES]) {
    let raw: &mut Raw1 = zerocopy::transmute_mut!(block);
    if let Some(sum) = checksum(raw) {
        raw.head.sb_csum.set(sum);
    }
}

/// The words of the table that count.
fn role_words(raw: &Raw1) -> &[zerocopy::byteorder::little_endian::U16] {
    usize::try_from(raw.head.max_dev.get()).ok().and_then(|len| raw.dev_roles.get(..len)).unwrap_or(&[])
}

/// The role that a table word gives.
#[must_use]
pub const fn role_from_word(word: u16) -> Role {
    match word {
        ROLE_SPARE => Role::Spare,
        ROLE_JOURNAL => Role::Journal,
        ROLE_NOT_A_SLOT..=ROLE_FAULTY => Role::Faulty,
        slot => Role::Slot(slot),
    }
}

/// The table word of a role. Slots that the format cannot express become "faulty".
#[must_use]
pub const fn role_to_word(role: Role) -> u16 {
    match role {
        Role::Slot(slot) if slot < ROLE_NOT_A_SLOT => slot,
        Role::Slot(_) | Role::Faulty => ROLE_FAULTY,
        Role::Spare | Role::Unidentified => ROLE_SPARE,
        Role::Journal => ROLE_JOURNAL,
    }
}

fn check_identity(raw: &Raw1, version: Version, medium: Sectors) -> Result<(), Refusal> {
    let head = &raw.head;
    let at = superblock_at(version, medium)?;
    if head.magic.get() != MAGIC {
        return Err(Refusal::NoMagic { offset: at!(magic), found: head.magic.get(), expected: MAGIC });
    }
    if head.major_version.get() != 1 {
        return Err(Refusal::range("major_version", at!(major_version), head.major_version.get(), 1, 1));
    }
    let Some(sum) = checksum(raw) else {
        return Err(Refusal::range("max_dev", at!(max_dev), head.max_dev.get(), 0, ROLES_MAX as u64));
    };
    if head.sb_csum.get() != sum {
        return Err(Refusal::Checksum { offset: at!(sb_csum), found: head.sb_csum.get(), expected: sum });
    }
    if head.super_offset.get() != at.0 {
        return Err(Refusal::Place { offset: at!(super_offset), found: head.super_offset.get(), expected: at.0 });
    }
    if head.data_size.get() < DATA_SECTORS_MIN {
        return Err(Refusal::range("data_size", at!(data_size), head.data_size.get(), DATA_SECTORS_MIN, medium.0));
    }
    Ok(())
}

fn check_features(head: &Head) -> Result<Features, Refusal> {
    let features = Features::from_bits_retain(head.feature_map.get());
    let unknown = features.difference(Features::all());
    if !unknown.is_empty() {
        return Err(Refusal::UnknownBits { offset: at!(feature_map), found: u64::from(unknown.bits()) });
    }
    let ppl = features.intersection(Features::PPL | Features::MULTIPLE_PPLS);
    let other = features.intersection(Features::BITMAP_OFFSET | Features::JOURNAL);
    if ppl == Features::PPL | Features::MULTIPLE_PPLS || !ppl.is_empty() && !other.is_empty() {
        let found = u64::from(ppl.union(other).bits());
        return Err(Refusal::BitsExclude { offset: at!(feature_map), found });
    }
    if features.contains(Features::RAID0_LAYOUT) && head.level.get() != 0 {
        return Err(Refusal::range("level", at!(level), head.level.get(), 0, 0));
    }
    Ok(features)
}

/// The shape and, during a reshape, the one it ends in.
///
/// `raid_disks` is already the new number during a reshape, whether it grows or shrinks; level, layout and chunk are still the old ones
/// (kernel `raid5.c`, `raid5_start_reshape` and `setup_conf`; `mdadm`, `super1.c`).
fn read_shapes(head: &Head, features: Features) -> Result<(Shape, Option<Reshape>), Refusal> {
    // RAID 0 wrote no layout for years; without its feature bit the word means nothing.
    let layout_of = |level: i32, layout: u32| match level {
        0 if !features.contains(Features::RAID0_LAYOUT) => 0,
        _ => layout,
    };
    let layout = layout_of(head.level.get(), head.layout.get());
    let raid_disks = i64::from(head.raid_disks.get());
    let reshaping = features.contains(Features::RESHAPE_ACTIVE) && head.reshape_position.get() != u64::MAX;
    let delta = if reshaping { i64::from(head.delta_disks.get()) } else { 0 };
    let old_members = members("raid_disks - delta_disks", at!(raid_disks), raid_disks.saturating_sub(delta))?;
    let shape = shape(head.level.get(), layout, old_members, head.chunksize.get())?;
    if !reshaping {
        return Ok((shape, None));
    }
    let new_members = members("raid_disks", at!(raid_disks), raid_disks)?;
    let new_layout = layout_of(head.new_level.get(), head.new_layout.get());
    let to = self::shape(head.new_level.get(), new_layout, new_members, head.new_chunk.get())?;
    let new_offset = if features.contains(Features::NEW_OFFSET) { head.new_offset.get() } else { 0 };
    let data_at = head.data_offset.get();
    let moved = data_at.checked_add_signed(i64::from(new_offset));
    let new_data_at = moved.ok_or(Refusal::range("new_offset", at!(new_offset), new_offset, 0, data_at))?;
    let backwards = delta < 0 || delta == 0 && features.contains(Features::RESHAPE_BACKWARDS);
    let position = Sector(head.reshape_position.get());
    Ok((shape, Some(Reshape { position, backwards, to, new_data_at: Sector(new_data_at) })))
}

fn members(field: &'static str, offset: u32, found: i64) -> Result<u16, Refusal> {
    match u16::try_from(found) {
        Ok(count) if count >= 1 && usize::from(count) <= ROLES_MAX => Ok(count),
        _ => Err(Refusal::range(field, offset, found, 1, ROLES_MAX as u64)),
    }
}

fn shape(level: i32, layout: u32, members: u16, chunk: u32) -> Result<Shape, Refusal> {
    let level = level_from_md(level, layout)?;
    // RAID 1 has no chunk, but some writers fill the field in.
    let chunk = if level == Level::Raid1 { 0 } else { chunk };
    Ok(Shape { level, members, chunk: Sectors(u64::from(chunk)), array_size: None })
}

fn read_notes(raw: &Raw1, slots: u16) -> Notes {
    let head = &raw.head;
    let roles = role_words(raw);
    let mut notes = Notes::empty();
    notes.set(Notes::RESERVED_BYTES_SET, head.pad0.get() != 0 || head.pad3 != [0; 28]);
    notes.set(Notes::LOGICAL_BLOCK_RECORDED, head.logical_block_size.get() != 0);
    notes.set(
        Notes::NUMBER_OUTSIDE_TABLE,
        usize::try_from(head.dev_number.get()).map_or(true, |number| number >= roles.len()),
    );
    let outside = |role| matches!(role, Role::Slot(slot) if slot >= slots);
    notes.set(Notes::SLOT_OUTSIDE_ARRAY, roles.iter().any(|word| outside(role_from_word(word.get()))));
    notes
}
