//! A superblock for a new member of a running array: a copy of another member's, with what is its own.
//!
//! Source: kernel `drivers/md/md.c`, `super_1_sync` (every member carries the same table) and `super_1_load` (what must fit where). The new
//! member has its data at the same place as the others, so that their maps hold for it too.

use crate::{
    md::{
        Refusal, Superblock, Version,
        place::beside,
        raw0::{Disk, DiskState, Raw0},
        raw1::{DeviceFlags, Features, Raw1},
        superblock_at,
    },
    record::{Uuid, WriteLog},
};
use raid_core::{Extent, Sector, Sectors};
use zerocopy::{BE, FromBytes, FromZeros, LE, byteorder::ByteOrder};

/// Where things lie on the new member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its superblock.
    pub superblock_at: Sector,
    /// Its data.
    pub data: Extent,
    /// Its bitmap, of the length asked for.
    pub bitmap: Option<Extent>,
    /// Its list of bad blocks, which is to be filled with ones.
    pub bad_blocks: Option<Extent>,
}

/// Changes `block`, the sound superblock of a member, into that of a new one with this identity and number on a medium of another size.
/// The table still says what it said of the number: [`update`](super::update::update) comes before the first write.
///
/// `bitmap` is the length that the array's bitmap has, header included.
///
/// # Errors
/// The medium has no room for what the array keeps on each member. `block` is of no use then.
pub fn join(
    block: &mut [u8; 4096],
    version: Version,
    old_medium: Sectors,
    medium: Sectors,
    (member, number): (Uuid, u32),
    bitmap: Sectors,
) -> Result<Joined, Refusal> {
    let used = Superblock::parse(block, version, old_medium)?.record().used;
    let at = superblock_at(version, medium)?;
    match version {
        Version::V0Little => own_0::<LE>(block, number),
        Version::V0Big => own_0::<BE>(block, number),
        Version::V1_0 | Version::V1_1 | Version::V1_2 => own_1(block, version, at, medium, member, number)?,
    }
    Superblock::seal(block, version);
    let superblock = Superblock::parse(block, version, medium)?;
    let record = superblock.record();
    let bitmap = match record.log {
        WriteLog::Bitmap(start) => Some(beside("bitmap", start, 0, bitmap, medium)?),
        _ => None,
    };
    let bad_blocks = match superblock {
        Superblock::V1(superblock) => superblock.bad_block_area()?,
        Superblock::V0Little(_) | Superblock::V0Big(_) => None,
    };
    let needed = Extent { at: record.data.at, len: used };
    let end = needed.end().unwrap_or(Sector(u64::MAX));
    let too_small = Refusal::MediumTooSmall { found: medium.0, expected: end.0 };
    let log = match record.log {
        WriteLog::Ppl { at, .. } => Some(at),
        _ => None,
    };
    let clear =
        |area: Option<Extent>| area.is_none_or(|area| area.at >= end || area.end().is_some_and(|end| end <= needed.at));
    if used > record.data.len || !clear(bitmap) || !clear(bad_blocks) || !clear(log) {
        return Err(too_small);
    }
    Ok(Joined { superblock_at: at, data: record.data, bitmap, bad_blocks })
}

/// Changes `block`, the sound superblock of a member that was away, so that its table says what that of `like`, one that stayed, says, and
/// that its number is this one. What is its own (where its data lie, its identity, its flags) stays. [`update`](super::update::update)
/// comes before the first write.
///
/// # Errors
/// One of the two is refused; they are not of one version.
pub fn rejoin(
    block: &mut [u8; 4096],
    like: &[u8; 4096],
    version: Version,
    (medium, like_medium): (Sectors, Sectors),
    number: u32,
) -> Result<(), Refusal> {
    Superblock::parse(like, version, like_medium)?;
    match version {
        Version::V0Little => table_0::<LE>(block, like, number),
        Version::V0Big => table_0::<BE>(block, like, number),
        Version::V1_0 | Version::V1_1 | Version::V1_2 => {
            let (raw, like): (&mut Raw1, &Raw1) = (zerocopy::transmute_mut!(block), zerocopy::transmute_ref!(like));
            raw.head.set_name = like.head.set_name;
            raw.head.max_dev = like.head.max_dev;
            raw.head.dev_number.set(number);
            raw.dev_roles = like.dev_roles;
        }
    }
    Superblock::seal(block, version);
    Superblock::parse(block, version, medium).map(drop)
}

fn table_0<O: ByteOrder>(block: &mut [u8; 4096], like: &[u8; 4096], number: u32) {
    let (Ok(raw), Ok(like)) = (Raw0::<O>::mut_from_bytes(block), Raw0::<O>::ref_from_bytes(like)) else { return };
    raw.disks = like.disks;
    raw.this_disk.number.set(number);
}

fn own_0<O: ByteOrder>(block: &mut [u8; 4096], number: u32) {
    let Ok(raw) = Raw0::<O>::mut_from_bytes(block) else { return };
    raw.this_disk = Disk::new_zeroed();
    raw.this_disk.number.set(number);
    raw.this_disk.raid_disk.set(number);
    raw.this_disk.state.set(DiskState::empty().bits());
}

fn own_1(
    block: &mut [u8; 4096],
    version: Version,
    at: Sector,
    medium: Sectors,
    member: Uuid,
    number: u32,
) -> Result<(), Refusal> {
    let raw: &mut Raw1 = zerocopy::transmute_mut!(block);
    let head = &mut raw.head;
    let start = head.data_offset.get();
    // Version 1.0 has data in front, up to whatever of its own comes first.
    let limit = match version {
        Version::V1_0 => {
            let logged =
                Features::from_bits_retain(head.feature_map.get()).intersects(Features::PPL | Features::MULTIPLE_PPLS);
            // The same bytes hold the one place or the other.
            let log = if logged { head.ppl().0.into() } else { head.bitmap_offset.get().into() };
            let beside: [i64; 2] = [log, head.bblog_offset.get().into()];
            let first = beside.into_iter().fold(0, i64::min);
            at.0.saturating_add_signed(first)
        }
        _ => medium.0,
    };
    let len = limit.checked_sub(start);
    let len = len.ok_or(Refusal::MediumTooSmall { found: medium.0, expected: start.saturating_add(1) })?;
    head.data_size.set(len);
    head.super_offset.set(at.0);
    head.dev_number.set(number);
    head.device_uuid = member.0;
    head.cnt_corrected_read.set(0);
    head.recovery_offset.set(0);
    head.devflags &= !(DeviceFlags::WRITE_MOSTLY | DeviceFlags::FAIL_FAST).bits();
    let mut features = Features::from_bits_retain(head.feature_map.get());
    features
        .remove(Features::BAD_BLOCKS | Features::REPLACEMENT | Features::RECOVERY_OFFSET | Features::RECOVERY_BITMAP);
    head.feature_map.set(features.bits());
    Ok(())
}
