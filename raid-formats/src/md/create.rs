//! A new member: superblock, bitmap and room for bad blocks, laid out as `mdadm --create` does.
//!
//! Source: `mdadm` 4.2, `super1.c` (`validate_geometry1`, `choose_bm_space`, `add_internal_bitmap1`, `write_init_super1`) and `super0.c`.
//! Identities and time come from the caller: there is no randomness and no clock here. Arrays with a journal or a partial parity log, and
//! reshapes, are not made here.

use crate::{
    md::{
        MAGIC, Refusal, Superblock, Version,
        bitmap::{self, RawBitmap},
        level_to_md,
        place::beside,
        raw0::{DISKS_MAX, DiskState, Raw0, State0},
        raw1::{Features, ROLES_MAX, Raw1},
        superblock_at, v1,
        v1::role_to_word,
    },
    record::{Name, Role, Sync, Uuid},
};
use raid_core::{Extent, Level, SECTOR_BYTES, Sector, Sectors};
use zerocopy::{
    BE, FromBytes, FromZeros, IntoBytes, LE,
    byteorder::{ByteOrder, U32, little_endian},
};

/// Bytes of a block that [`create`] writes at a time.
const BLOCK_BYTES: usize = 4096;
/// Sectors of the room for bad blocks.
const BAD_BLOCK_SECTORS: u64 = 8;
/// Entries that a 1.x table has at least: with them, head and table fill one sector.
const TABLE_LEN_MIN: usize = 128;
/// The bitmap's chunk, unless the bitmap has no room for so many.
const BITMAP_CHUNK_BYTES: u64 = 64 << 20;
/// Least chunk of a bitmap.
const BITMAP_CHUNK_BYTES_MIN: u64 = 4096;
/// Seconds between two rounds of clearing bits.
const BITMAP_SLEEP_S: u32 = 5;

/// A write-intent bitmap for the new array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapParams {
    /// Bytes of the array (RAID 1, 10) or member (RAID 4, 5, 6) that one bit stands for: a power of two, or `None` for the default.
    pub chunk_bytes: Option<u32>,
    /// Sectors that the bits count: the array's size for RAID 1 and 10, the used size of a member for the others.
    pub sync_size: Sectors,
}

/// All that a new member must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateParams<'a> {
    /// Version, and with it place and byte order.
    pub version: Version,
    /// Size of the medium.
    pub medium: Sectors,
    /// Level and layout.
    pub level: Level,
    /// Slots.
    pub members: u16,
    /// Chunk; zero where the level has none.
    pub chunk: Sectors,
    /// Sectors of each member that the array uses; zero for linear and RAID 0.
    pub used: Sectors,
    /// Where data start, for 1.x; `None` for [`default_data`].
    pub data: Option<Extent>,
    /// Identity of the array.
    pub array: Uuid,
    /// Its name, by custom `host:name`; 1.x only.
    pub name: Name,
    /// Identity of the member; 1.x only.
    pub member: Uuid,
    /// Permanent number of the member.
    pub number: u32,
    /// The roles of all members by number.
    pub roles: &'a [Role],
    /// Now, in seconds since 1970.
    pub created_s: u64,
    /// Clean if redundancy is known to be right, from the start if it still has to be computed.
    pub sync: Sync,
    /// A bitmap, if there is to be one.
    pub bitmap: Option<BitmapParams>,
}

/// Sectors kept for a bitmap on a medium of that size: 4, 64 or 128 KiB. Source: `mdadm`, `choose_bm_space`.
#[must_use]
pub const fn bitmap_room(medium: Sectors) -> Sectors {
    const GIB_SECTORS: u64 = 1 << 21;
    match medium.0 {
        0..128 => Sectors(0),
        size if size - 128 >= 200 * GIB_SECTORS => Sectors(256),
        size if size - 8 > 8 * GIB_SECTORS => Sectors(128),
        _ => Sectors(8),
    }
}

/// Where data lie by default. 1.1 and 1.2 leave about a thousandth of the medium, up to 128 MiB, for later reshapes, in whole MiB.
/// 1.0 leaves room for the bitmap and the bad blocks in front of the superblock; 0.90 leaves nothing.
///
/// # Errors
/// [`Refusal::MediumTooSmall`].
pub fn default_data(version: Version, medium: Sectors, chunk: Sectors) -> Result<Extent, Refusal> {
    const MIB_SECTORS: u64 = 2048;
    let at = superblock_at(version, medium)?;
    let bitmap = bitmap_room(medium);
    let (start, end) = match version {
        Version::V0Little | Version::V0Big => (0, at.0),
        Version::V1_0 => (0, at.0.saturating_sub(BAD_BLOCK_SECTORS.saturating_add(bitmap.0))),
        Version::V1_1 | Version::V1_2 => {
            let mut headroom: u64 = 128 * MIB_SECTORS;
            while headroom << 10 > medium.0
                && (chunk.is_zero() || headroom >= chunk.0.saturating_mul(4))
                && headroom > 0
            {
                headroom >>= 1;
            }
            let least = headroom.saturating_add(bitmap.0).saturating_add(24);
            (least.checked_next_multiple_of(MIB_SECTORS).unwrap_or(least), medium.0)
        }
    };
    match end.checked_sub(start).filter(|len| *len > 0) {
        Some(len) => Ok(Extent { at: Sector(start), len: Sectors(len) }),
        None => Err(Refusal::MediumTooSmall { found: medium.0, expected: start.saturating_add(1) }),
    }
}

/// Makes a member: calls `write` with each run of bytes and its first sector. Nothing is a member until the
/// superblock is there, which comes last.
///
/// # Errors
/// [`Refusal`] before anything is written if the parameters make no superblock that parses; later only what `write` returns.
pub fn create<E: From<Refusal>>(
    params: &CreateParams,
    mut write: impl FnMut(Sector, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut block = [0; BLOCK_BYTES];
    let at = superblock_at(params.version, params.medium)?;
    match params.version {
        Version::V0Little => fill_0::<LE>(&mut block, params)?,
        Version::V0Big => fill_0::<BE>(&mut block, params)?,
        Version::V1_0 | Version::V1_1 | Version::V1_2 => fill_1(&mut block, params)?,
    }
    Superblock::seal(&mut block, params.version);
    let superblock = Superblock::parse(&block, params.version, params.medium)?;
    let bitmap = match params.bitmap {
        Some(bitmap) => {
            let area = bitmap_area(params, at)?;
            Some((area, bitmap.sync_size, bitmap_chunk(bitmap, area.len)?))
        }
        None => None,
    };
    if let Superblock::V1(superblock) = superblock
        && let Some(area) = superblock.bad_block_area()?
    {
        write(area.at, &[0xFF; BLOCK_BYTES])?;
    }
    if let Some((area, sync_size, chunk_bytes)) = bitmap {
        let header = bitmap_header(superblock.bitmap_uuid(), area, sync_size, chunk_bytes);
        write_bitmap(area.at, &header, params.sync, &mut write)?;
    }
    write(at, &block)
}

/// Where the bitmap goes. Source of the 0.90 limit: `md_p.h`, 60 KiB behind the superblock.
fn bitmap_area(params: &CreateParams, at: Sector) -> Result<Extent, Refusal> {
    let room = bitmap_room(params.medium);
    let (offset, len) = match params.version {
        Version::V0Little | Version::V0Big => (8, Sectors(120)),
        Version::V1_0 => (bitmap_offset_before(room), room),
        Version::V1_1 | Version::V1_2 => (8, room),
    };
    beside("bitmap", at, offset, len, params.medium)
}

/// 1.0 has the bitmap in front of the room for bad blocks, and that in front of the superblock.
fn bitmap_offset_before(room: Sectors) -> i64 {
    let distance = i64::try_from(room.0.saturating_add(BAD_BLOCK_SECTORS)).unwrap_or(i64::MAX);
    distance.saturating_neg()
}

/// Bytes that a bit stands for: as asked, or the default; larger if there are too many bits for the room.
fn bitmap_chunk(params: BitmapParams, room: Sectors) -> Result<u32, Refusal> {
    let refused = |found: u64| Refusal::Range {
        field: "chunk of the bitmap",
        offset: 52,
        found: i128::from(found),
        least: BITMAP_CHUNK_BYTES_MIN,
        most: 1 << 31,
    };
    let bits = room.bytes().unwrap_or(0).saturating_sub(bitmap::HEADER_BYTES as u64).saturating_mul(8);
    let size = params.sync_size.bytes().unwrap_or(u64::MAX);
    let mut least = BITMAP_CHUNK_BYTES_MIN;
    while size.div_ceil(least) > bits {
        least = least.checked_mul(2).filter(|chunk| *chunk <= 1 << 31).ok_or(refused(least))?;
    }
    let chunk = match params.chunk_bytes {
        None => BITMAP_CHUNK_BYTES.max(least),
        Some(asked) if asked.is_power_of_two() && u64::from(asked) >= least => u64::from(asked),
        Some(asked) => return Err(refused(u64::from(asked))),
    };
    u32::try_from(chunk).map_err(|_| refused(chunk))
}

fn bitmap_header(uuid: [u8; 16], area: Extent, sync_size: Sectors, chunk_bytes: u32) -> RawBitmap {
    let mut header = RawBitmap::new_zeroed();
    header.magic.set(bitmap::MAGIC);
    header.version.set(4);
    header.uuid = uuid;
    header.sync_size.set(sync_size.0);
    header.chunksize.set(chunk_bytes);
    header.daemon_sleep.set(BITMAP_SLEEP_S);
    header.sectors_reserved.set(u32::try_from(area.len.0).unwrap_or(0));
    header
}

/// Header and marks. The bits of an array that is not in sync are all set; spare bits behind the last chunk stay clear.
fn write_bitmap<E>(
    area_at: Sector,
    header: &RawBitmap,
    sync: Sync,
    write: &mut impl FnMut(Sector, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let chunks = header.sync_size.get().div_ceil(u64::from(header.chunksize.get()) / SECTOR_BYTES);
    let dirty = if sync == Sync::Clean { 0 } else { chunks };
    let header_bits = bitmap::HEADER_BYTES as u64 * 8;
    let end = header_bits.saturating_add(chunks).div_ceil(8);
    for index in 0..end.div_ceil(BLOCK_BYTES as u64) {
        let mut block = [0_u8; BLOCK_BYTES];
        let first_byte = index.saturating_mul(BLOCK_BYTES as u64);
        for (byte, number) in block.iter_mut().zip(first_byte..) {
            // Bits of the marks before and in this byte that are set.
            let before = number.saturating_mul(8).saturating_sub(header_bits);
            let set = dirty.saturating_sub(before).min(8);
            *byte = if number.saturating_mul(8) < header_bits { 0 } else { low_bits(set) };
        }
        if index == 0
            && let Some(start) = block.first_chunk_mut()
        {
            *start = header.as_bytes().try_into().unwrap_or([0; bitmap::HEADER_BYTES]);
        }
        let at = area_at.0.saturating_add(first_byte / SECTOR_BYTES);
        write(Sector(at), &block)?;
    }
    Ok(())
}

/// A byte with that many low bits set, up to 8.
fn low_bits(count: u64) -> u8 {
    match u32::try_from(count) {
        Ok(0) => 0,
        Ok(count) => u8::MAX >> 8_u32.saturating_sub(count).min(7),
        Err(_) => u8::MAX,
    }
}

/// A parameter out of its range: it has no place on the disk yet.
fn range(field: &'static str, found: u64, least: u64, most: u64) -> Refusal {
    Refusal::range(field, 0, found, least, most)
}

fn check_number(params: &CreateParams, numbers: usize) -> Result<usize, Refusal> {
    let count = params.roles.len();
    if count > numbers {
        return Err(range("number of roles", count as u64, 1, numbers as u64));
    }
    match usize::try_from(params.number) {
        Ok(number) if number < count => Ok(number),
        _ => Err(range("number of the member", u64::from(params.number), 0, (count as u64).saturating_sub(1))),
    }
}

fn fill_1(block: &mut [u8; BLOCK_BYTES], params: &CreateParams) -> Result<(), Refusal> {
    check_number(params, ROLES_MAX)?;
    let at = superblock_at(params.version, params.medium)?;
    let data = match params.data {
        Some(data) => data,
        None => default_data(params.version, params.medium, params.chunk)?,
    };
    let (level, layout) = level_to_md(params.level);
    let room = bitmap_room(params.medium);
    let room_offset = i64::try_from(room.0).unwrap_or(0);
    let (bitmap_offset, bad_block_offset) = match params.version {
        Version::V1_0 => (bitmap_offset_before(room), -(BAD_BLOCK_SECTORS.cast_signed())),
        _ => (8, room_offset.saturating_add(8)),
    };
    let offset = |offset: i64| i32::try_from(offset).map_err(|_| range("offset", offset.unsigned_abs(), 0, 1 << 31));
    let mut features = Features::empty();
    features.set(Features::RAID0_LAYOUT, level == 0 && layout != 0);
    features.set(Features::BITMAP_OFFSET, params.bitmap.is_some());

    let raw: &mut Raw1 = zerocopy::transmute_mut!(block);
    let head = &mut raw.head;
    head.magic.set(MAGIC);
    head.major_version.set(1);
    head.feature_map.set(features.bits());
    head.set_uuid = params.array.0;
    head.set_name = params.name.0;
    head.ctime.set(params.created_s & v1::TIME_SECONDS_MASK);
    head.level.set(level);
    head.layout.set(layout);
    head.size.set(params.used.0);
    head.chunksize.set(sectors_u32(params.chunk)?);
    head.raid_disks.set(u32::from(params.members));
    head.bitmap_offset.set(if params.bitmap.is_some() { offset(bitmap_offset)? } else { 0 });
    head.data_offset.set(data.at.0);
    head.data_size.set(data.len.0);
    head.super_offset.set(at.0);
    head.dev_number.set(params.number);
    head.device_uuid = params.member.0;
    head.bblog_size.set(8);
    head.bblog_offset.set(offset(bad_block_offset)?);
    head.utime.set(params.created_s & v1::TIME_SECONDS_MASK);
    head.resync_offset.set(match params.sync {
        Sync::Clean => u64::MAX,
        Sync::DirtyFrom(from) => from.0,
    });
    let table_len = params.roles.len().max(TABLE_LEN_MIN);
    head.max_dev.set(u32::try_from(table_len).unwrap_or(0));
    let words = params.roles.iter().map(|role| role_to_word(*role)).chain(core::iter::repeat(v1::ROLE_SPARE));
    for (place, word) in raw.dev_roles.iter_mut().zip(words.take(table_len)) {
        *place = little_endian::U16::new(word);
    }
    check_fits(params, data)
}

fn sectors_u32(sectors: Sectors) -> Result<u32, Refusal> {
    u32::try_from(sectors.0).map_err(|_| range("chunk", sectors.0, 0, u64::from(u32::MAX)))
}

/// The member must have what the array uses of it, and the data must leave alone what lies beside the superblock.
fn check_fits(params: &CreateParams, data: Extent) -> Result<(), Refusal> {
    if params.used > data.len {
        return Err(range("used sectors", params.used.0, 0, data.len.0));
    }
    let default = default_data(params.version, params.medium, params.chunk)?;
    let behind = match params.version {
        Version::V1_1 => 8_u64.saturating_mul(2).saturating_add(bitmap_room(params.medium).0),
        Version::V1_2 => 8_u64.saturating_mul(3).saturating_add(bitmap_room(params.medium).0),
        _ => 0,
    };
    if data.at.0 < behind {
        return Err(range("start of the data", data.at.0, behind, default.at.0));
    }
    match (data.end(), default.end()) {
        (Some(end), Some(most)) if end <= most => Ok(()),
        _ => Err(range(
            "end of the data",
            data.at.0.saturating_add(data.len.0),
            0,
            default.at.0.saturating_add(default.len.0),
        )),
    }
}

fn fill_0<O: ByteOrder>(block: &mut [u8; BLOCK_BYTES], params: &CreateParams) -> Result<(), Refusal> {
    let own = check_number(params, DISKS_MAX)?;
    let (level, layout) = level_to_md(params.level);
    let unsupported = |field, found| Err(range(field, found, 0, 0));
    if params.data.is_some() {
        return unsupported("a place for data in 0.90", 1);
    }
    if params.roles.contains(&Role::Journal) {
        return unsupported("a journal in 0.90", 1);
    }
    let kib = params.used.0 / 2;
    let size = u32::try_from(kib).map_err(|_| range("used KiB", kib, 0, u64::from(u32::MAX)))?;
    let chunk = params.chunk.bytes().and_then(|bytes| u32::try_from(bytes).ok());
    let chunk = chunk.ok_or(range("chunk", params.chunk.0, 0, u64::from(u32::MAX) / SECTOR_BYTES))?;
    let time = u32::try_from(params.created_s).unwrap_or(u32::MAX);

    let Ok(raw) = Raw0::<O>::mut_from_bytes(block) else { return Ok(()) };
    raw.md_magic.set(MAGIC);
    raw.minor_version.set(90);
    let (words, _) = params.array.0.as_chunks::<4>();
    let uuid = [&mut raw.set_uuid0, &mut raw.set_uuid1, &mut raw.set_uuid2, &mut raw.set_uuid3];
    for (place, word) in uuid.into_iter().zip(words) {
        place.set(u32::from_be_bytes(*word));
    }
    raw.ctime.set(time);
    raw.utime.set(time);
    raw.level.set(level);
    raw.layout.set(layout);
    raw.size.set(size);
    raw.chunk_size.set(chunk);
    raw.raid_disks.set(u32::from(params.members));
    let mut state = State0::empty();
    state.set(State0::CLEAN, params.sync == Sync::Clean);
    state.set(State0::BITMAP_PRESENT, params.bitmap.is_some());
    raw.state.set(state.bits());
    if params.sync == Sync::Clean {
        raw.recovery_cp.set(u32::MAX);
    }
    fill_table_0(raw, params);
    if let Some(disk) = raw.disks.get(own) {
        raw.this_disk = *disk;
    }
    Ok(())
}

/// The table of 0.90: everybody who is there, then the slots that nobody has.
fn fill_table_0<O: ByteOrder>(raw: &mut Raw0<O>, params: &CreateParams) {
    for ((disk, role), number) in raw.disks.iter_mut().zip(params.roles).zip(0_u32..) {
        let (slot, state) = match role {
            Role::Slot(slot) => (u32::from(*slot), DiskState::ACTIVE | DiskState::SYNC),
            Role::Spare | Role::Unidentified => (number, DiskState::empty()),
            Role::Faulty | Role::Journal => (number, DiskState::FAULTY | DiskState::REMOVED),
        };
        disk.number = U32::new(number);
        disk.raid_disk = U32::new(slot);
        disk.state = U32::new(state.bits());
    }
    super::update::set_counts(raw);
}
