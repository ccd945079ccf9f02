//! New records: a container of disks with one or two volumes, as `mdadm --create -e imsm` lays them out.
//!
//! Source: `mdadm`, `super-intel.c` (`init_super_imsm`, `init_super_imsm_volume`, `imsm_update_version_info`). Identities and time come
//! from the caller: there is no randomness and no clock here.

use super::{
    metadata::{Metadata, checksum},
    probe::{Place, RECORD_BYTES_MAX},
    raw::{
        Attributes, Disk, DiskStatus, HEADER_BYTES, Header, MapHead, MapState, Migration, NO_DISK, SERIAL_BYTES,
        SIGNATURE, VolumeHead, VolumeStatus, WriteHole,
    },
    refusal::Refusal,
    update::{NewDisk, Write, write_record},
    volume::PPL_SECTORS,
};
use crate::{assemble::Claimant, md, record::WriteLog};
use raid_core::{Level, Raid5Layout, SECTOR_BYTES, Sector, Sectors};
use zerocopy::{FromBytes, FromZeros, IntoBytes, byteorder::little_endian::U32};

/// Sectors at the end of a disk that no volume gets (`MPB_SECTOR_CNT`, `IMSM_RESERVED_SECTORS`).
const RESERVED_SECTORS: u64 = 2210 + 8192;
/// Most disks of a container, and slots of a volume.
pub const DISKS_MAX: usize = 255;
/// Most volumes of a container.
pub const VOLUMES_MAX: usize = 2;
/// The version whose attributes tell what the record holds.
const VERSION: &[u8; 6] = b"1.3.00";

/// A volume to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeParams<'a> {
    /// Its name, padded with zeros.
    pub name: [u8; SERIAL_BYTES],
    /// RAID 0, 1, 5 left-asymmetric, or 10 near 2.
    pub level: Level,
    /// Chunk; a mirror has one too, which means nothing.
    pub chunk: Sectors,
    /// Sectors of each member: whole chunks.
    pub used: Sectors,
    /// Where they start on each disk.
    pub start: Sector,
    /// Index of the disk in each slot.
    pub members: &'a [u8],
    /// What closes the write hole of a RAID 5.
    pub write_hole: WriteHole,
    /// Redundancy is known to agree.
    pub consistent: bool,
}

/// All that the disks of a container must be told; the same for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateParams<'a> {
    /// Bytes of a block of all disks, 512 or 4096.
    pub block_bytes: u32,
    /// Identity of the container, not zero.
    pub family: u32,
    /// All disks.
    pub disks: &'a [NewDisk],
    /// One or two volumes.
    pub volumes: &'a [VolumeParams<'a>],
    /// Now, in seconds since 1970.
    pub created_s: u64,
}

/// Where the data of a disk of that size must end.
///
/// # Errors
/// The disk is too small.
pub fn data_end(medium: Sectors) -> Result<Sector, Refusal> {
    let end = medium.0.checked_sub(RESERVED_SECTORS).filter(|end| *end > 0);
    let too_small = md::Refusal::MediumTooSmall { found: medium.0, expected: RESERVED_SECTORS + 1 };
    end.map(Sector).ok_or(Refusal::of("disk", too_small))
}

/// Makes the record of the disk with index `own`, in `buf` of at most 64 KiB, and has it written, the anchor last. A volume with partial
/// parity logs gets an empty one before.
///
/// # Errors
/// [`Refusal`] before anything is written if the parameters make no record that parses; later only what `write` returns.
pub fn create<E: From<Refusal>>(
    params: &CreateParams,
    own: u8,
    buf: &mut [u8],
    mut write: impl FnMut(Write) -> Result<(), E>,
) -> Result<(), E> {
    check(params)?;
    let missing = Refusal::NoEntry { what: "this disk" };
    let medium = params.disks.get(usize::from(own)).ok_or(missing)?.size;
    let blocks = medium.0.checked_div(u64::from(params.block_bytes) / SECTOR_BYTES).unwrap_or(0);
    let len = record_bytes(params);
    let too_small = Refusal::NoEntry { what: "so long a record" };
    let place = Place::new(params.block_bytes, blocks, len).ok_or(too_small)?;
    let buf = buf.get_mut(..place.len_bytes).filter(|_| len <= RECORD_BYTES_MAX).ok_or(too_small)?;
    buf.fill(0);
    fill(params, buf.get_mut(..len).ok_or(too_small)?)?;
    let metadata = Metadata::parse(buf, &place)?;
    for volume in metadata.volumes_of(Some(own)) {
        if let WriteLog::Ppl { at, .. } = volume?.record().log {
            let header = md::ppl::empty(params.family);
            write(Write { at: at.at, bytes: header.as_bytes(), flush: true })?;
        }
    }
    write_record(&metadata, None, write)
}

fn record_bytes(params: &CreateParams) -> usize {
    let volume = |volume: &VolumeParams| {
        let fixed = size_of::<VolumeHead>() + size_of::<Migration>() + size_of::<MapHead>();
        fixed.saturating_add(volume.members.len().saturating_mul(4))
    };
    let disks = params.disks.len().saturating_mul(size_of::<Disk>());
    params.volumes.iter().map(volume).fold(HEADER_BYTES.saturating_add(disks), usize::saturating_add)
}

/// What the numbers of the record cannot say.
fn check(params: &CreateParams) -> Result<(), Refusal> {
    let range = |what, found: u64, most: u64| Refusal::range("parameters", (what, 0), found, 1, most);
    let outside = |count: usize, most| !(1..=most).contains(&count);
    if outside(params.disks.len(), DISKS_MAX) {
        return Err(range("number of disks", params.disks.len() as u64, DISKS_MAX as u64));
    }
    if outside(params.volumes.len(), VOLUMES_MAX) {
        return Err(range("number of volumes", params.volumes.len() as u64, VOLUMES_MAX as u64));
    }
    if params.block_bytes != 512 && params.block_bytes != 4096 {
        return Err(range("block_bytes", params.block_bytes.into(), 4096));
    }
    if params.family == 0 {
        return Err(range("family", 0, u32::MAX.into()));
    }
    for volume in params.volumes {
        let chunk = volume.chunk.0;
        let whole = chunk > 0 && volume.used.0 > 0 && volume.used.0.checked_rem(chunk) == Some(0);
        if !whole || !chunk.is_power_of_two() {
            return Err(range("chunk", chunk, volume.used.0));
        }
        let reserved = volume.start.0.saturating_add(volume.used.0).saturating_add(PPL_SECTORS.0);
        for index in volume.members {
            let disk = params.disks.get(usize::from(*index)).ok_or(Refusal::NoEntry { what: "a member" })?;
            let end = data_end(disk.size)?;
            if reserved > end.0 {
                return Err(range("end of the data", reserved, end.0));
            }
        }
    }
    match params.volumes {
        [one, two] => {
            let end =
                |volume: &VolumeParams| volume.start.0.saturating_add(volume.used.0).saturating_add(PPL_SECTORS.0);
            let apart = end(one) <= two.start.0 || end(two) <= one.start.0;
            if apart { Ok(()) } else { Err(range("start of the second volume", two.start.0, one.start.0)) }
        }
        _ => Ok(()),
    }
}

fn fill(params: &CreateParams, record: &mut [u8]) -> Result<(), Refusal> {
    let len = record.len();
    let attributes =
        params.volumes.iter().map(|volume| attribute(volume)).fold(Attributes::CHECKSUM, Attributes::union);
    let mut header = Header::new_zeroed();
    for (to, from) in header.sig.iter_mut().zip(SIGNATURE.iter().chain(VERSION)) {
        *to = *from;
    }
    header.mpb_size.set(u32::try_from(len).unwrap_or(u32::MAX));
    header.family_num.set(params.family);
    header.orig_family_num.set(params.family);
    header.generation_num.set(1);
    header.num_disks = u8::try_from(params.disks.len()).unwrap_or(u8::MAX);
    header.num_raid_devs = u8::try_from(params.volumes.len()).unwrap_or(u8::MAX);
    header.pwr_cycle_count.set(1);
    header.num_raid_devs_created.set(u16::from(header.num_raid_devs));
    header.creation_time.set(params.created_s);
    let large = |blocks: u64| blocks > u64::from(u32::MAX);
    let scale = u64::from(params.block_bytes) / SECTOR_BYTES;
    let blocks = |sectors: u64| sectors.checked_div(scale).unwrap_or(0);
    let mut attributes = attributes;
    attributes.set(Attributes::DISK_2TB, params.disks.iter().any(|disk| large(blocks(disk.size.0))));
    let mut out = Out(record);
    let mut volumes_large = false;
    out.skip(HEADER_BYTES)?;
    for new in params.disks {
        let mut disk = Disk::new_zeroed();
        disk.serial = new.serial;
        disk.set_total_blocks(blocks(new.size.0));
        disk.status.set(DiskStatus::CONFIGURED.bits());
        out.put(&disk)?;
    }
    for (volume, number) in params.volumes.iter().zip(1..) {
        let (head, map) = volume_parts(volume, number, &blocks)?;
        volumes_large |= large(head.size_blocks());
        let mut migration = Migration::new_zeroed();
        migration.dirty = u8::from(!volume.consistent);
        out.put(&head)?;
        out.put(&migration)?;
        out.put(&map)?;
        for index in volume.members {
            out.put(&U32::new(u32::from(*index)))?;
        }
    }
    attributes.set(Attributes::VOLUME_2TB, volumes_large);
    header.attributes.set(attributes.bits());
    let Ok((place, _)) = Header::mut_from_prefix(record) else { return Err(Refusal::NoEntry { what: "a header" }) };
    *place = header;
    let sum = checksum(record);
    if let Ok((place, _)) = Header::mut_from_prefix(record) {
        place.check_sum.set(sum);
    }
    Ok(())
}

fn attribute(volume: &VolumeParams) -> Attributes {
    let level = match volume.level {
        Level::Raid0(_) => Attributes::RAID0,
        Level::Raid1 => Attributes::RAID1,
        Level::Raid5(_) => Attributes::RAID5,
        // Not `RAID10_EXTENDED`, also with more than four disks: `mdadm` up to 4.2 starts nothing of a record that has it ("Unsupported
        // attributes: 80"), and newer ones do not ask for it.
        _ => Attributes::RAID10,
    };
    if volume.chunk.0 >= 512 { level | Attributes::BIG_STRIPS } else { level }
}

/// Head and map of a volume.
fn volume_parts(
    volume: &VolumeParams,
    number: u16,
    blocks: &dyn Fn(u64) -> u64,
) -> Result<(VolumeHead, MapHead), Refusal> {
    let members = u8::try_from(volume.members.len()).unwrap_or(u8::MAX);
    let refused = |level| Refusal::Level { level, members };
    let (level, data, copies) = match volume.level {
        Level::Raid0(_) => (0, u64::from(members), 1),
        Level::Raid1 if members == 2 => (1, 1, 2),
        Level::Raid1 => return Err(refused(1)),
        Level::Raid5(Raid5Layout::LeftAsymmetric) => (5, u64::from(members).saturating_sub(1), 1),
        Level::Raid10(layout) if (layout.near, layout.far) == (2, 1) => {
            // Four disks are called level 1, as firmware before VROC 8 knows them.
            (if members == 4 { 1 } else { 10 }, u64::from(members) / 2, 2)
        }
        Level::Raid10(_) => return Err(refused(10)),
        Level::Raid5(_) => return Err(refused(5)),
        Level::Linear | Level::Raid4 | Level::Raid6(_) => return Err(refused(u8::MAX)),
    };
    let mut head = VolumeHead::new_zeroed();
    head.volume = volume.name;
    head.set_size_blocks(blocks(volume.used.0.saturating_mul(data)));
    head.status.set((VolumeStatus::READ_COALESCING | VolumeStatus::WRITE_COALESCING).bits());
    head.my_vol_raid_dev_num.set(number);
    head.rwh_policy = volume.write_hole as u8;
    let strip = u16::try_from(blocks(volume.chunk.0));
    let strip = strip.map_err(|_| Refusal::range("parameters", ("chunk", 0), volume.chunk.0, 1, u16::MAX.into()))?;
    if volume.used.0.checked_rem(volume.chunk.0.saturating_mul(copies)) != Some(0) {
        return Err(Refusal::range(
            "parameters",
            ("used", 0),
            volume.used.0,
            volume.chunk.0.saturating_mul(copies),
            u64::MAX,
        ));
    }
    let stripes = volume.used.0.checked_div(volume.chunk.0).and_then(|strips| strips.checked_div(copies)).unwrap_or(0);
    let mut map = MapHead::new_zeroed();
    map.set_start_block(blocks(volume.start.0));
    map.set_member_blocks(blocks(volume.used.0.saturating_add(PPL_SECTORS.0)));
    map.set_data_stripes(stripes);
    map.blocks_per_strip.set(strip);
    map.map_state = match volume.consistent || level == 0 {
        true => MapState::Normal as u8,
        false => MapState::Uninitialised as u8,
    };
    map.raid_level = level;
    map.num_members = members;
    map.num_domains = u8::try_from(copies).unwrap_or(1);
    map.failed_disk_num = NO_DISK;
    map.ddf = 1;
    Ok((head, map))
}

/// Bytes that are filled from their start.
struct Out<'a>(&'a mut [u8]);

impl Out<'_> {
    fn put<T: IntoBytes + zerocopy::Immutable>(&mut self, value: &T) -> Result<(), Refusal> {
        let bytes = value.as_bytes();
        let room = self.skip(bytes.len())?;
        room.copy_from_slice(bytes);
        Ok(())
    }

    fn skip(&mut self, len: usize) -> Result<&mut [u8], Refusal> {
        let rest = core::mem::take(&mut self.0);
        let (room, rest) = rest.split_at_mut_checked(len).ok_or(Refusal::NoEntry { what: "so long a record" })?;
        self.0 = rest;
        Ok(room)
    }
}
