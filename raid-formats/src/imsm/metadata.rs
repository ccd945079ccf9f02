//! A record of IMSM, read and checked: header, disks, volumes with their maps, and the log of bad blocks.
//!
//! All disks of a container carry the same record; nothing in it says which of them this one is. That is known by the drive's serial
//! number, which stands in the table of disks and is no part of an image (`mdadm`, `super-intel.c`, `load_imsm_disk`).

use super::{
    probe::{Place, header},
    raw::{
        Attributes, BadBlockHead, BadBlocks, Disk, DiskStatus, HEADER_BYTES, Header, MAGIC_BAD_BLOCKS, MapHead,
        Migration, ORDER_INDEX, ORDER_REBUILD, SERIAL_BYTES, VolumeHead,
    },
    refusal::Refusal,
    sha1,
};
use crate::{md, record::Uuid};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned, byteorder::little_endian::U32};

/// Attributes that a reader of this crate knows, as in `mdadm` (`MPB_ATTRIB_SUPPORTED`, `MPB_ATTRIB_IGNORED`).
pub const SUPPORTED: Attributes = Attributes::CHECKSUM
    .union(Attributes::VOLUME_2TB)
    .union(Attributes::DISK_2TB)
    .union(Attributes::RAID0)
    .union(Attributes::RAID1)
    .union(Attributes::RAID10)
    .union(Attributes::RAID5)
    .union(Attributes::BIG_STRIPS)
    .union(Attributes::RAID10_EXTENDED)
    .union(Attributes::BAD_BLOCKS)
    .union(Attributes::NEVER_USED);

/// A record that passed the checks. Borrows the bytes, so nothing in it is lost.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    bytes: &'a [u8],
    place: Place,
    header: &'a Header,
}

/// A volume as it stands in the record.
#[derive(Clone, Copy, Debug)]
pub struct RawVolume<'a> {
    /// Its number in the record, from 0.
    pub index: u8,
    /// Offset of its head from the record's start.
    pub at: usize,
    /// Name, size, policy.
    pub head: &'a VolumeHead,
    /// What is under way.
    pub migration: &'a Migration,
    /// The map of where it is going: of where it is, if nothing is under way.
    pub map: Map<'a>,
    /// The map of where it comes from, if something is under way.
    pub old_map: Option<Map<'a>>,
}

/// A map: which disks a volume has, and what is wrong with them.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// Shape and state.
    pub head: &'a MapHead,
    /// For each member the index of its disk, and [`ORDER_REBUILD`].
    pub order: &'a [U32],
}

impl Map<'_> {
    /// Index of the disk in `slot`, and whether it must be rebuilt.
    #[must_use]
    pub fn member(&self, slot: u16) -> Option<(u32, bool)> {
        let order = self.order.get(usize::from(slot))?.get();
        Some((order & ORDER_INDEX, order & ORDER_REBUILD != 0))
    }

    /// The slot of the disk with that index.
    #[must_use]
    pub fn slot_of(&self, index: u32) -> Option<u16> {
        (0..u16::from(self.head.num_members)).find(|slot| self.member(*slot).is_some_and(|(held, _)| held == index))
    }

    /// Bytes of the map.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        size_of::<MapHead>().saturating_add(size_of_val(self.order))
    }
}

impl RawVolume<'_> {
    /// Bytes of the volume with its maps.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        let maps = self.map.len_bytes().saturating_add(self.old_map.map_or(0, |map| map.len_bytes()));
        (size_of::<VolumeHead>() + size_of::<Migration>()).saturating_add(maps)
    }

    /// The map that says how the disks are now: the old one, while something is under way.
    #[must_use]
    pub fn map_now(&self) -> &Map<'_> {
        self.old_map.as_ref().unwrap_or(&self.map)
    }
}

impl<'a> Metadata<'a> {
    /// Reads the record at `place` from its bytes, header first, and checks what `mdadm` checks, in its order; then that every table lies
    /// within the record.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn parse(bytes: &'a [u8], place: &Place) -> Result<Self, Refusal> {
        let truncated = |expected| Refusal::of("record", md::Refusal::Truncated { found: bytes.len(), expected });
        let bytes = bytes.get(..place.len_bytes).ok_or(truncated(place.len_bytes))?;
        let header = header(bytes)?;
        let len = usize::try_from(header.mpb_size.get()).unwrap_or(usize::MAX);
        let record = bytes.get(..len).filter(|_| len >= HEADER_BYTES).ok_or(truncated(len))?;
        let (found, expected) = (header.check_sum.get(), checksum(record));
        if found != expected {
            return Err(Refusal::of("record", md::Refusal::Checksum { offset: 32, found, expected }));
        }
        let metadata = Self { bytes, place: *place, header };
        let unknown = header.flags().difference(SUPPORTED);
        if !unknown.is_empty() {
            return Err(Refusal::Attributes(unknown));
        }
        metadata.check_tables()?;
        Ok(metadata)
    }

    /// The tables must end where the log of bad blocks begins, or before it.
    fn check_tables(&self) -> Result<(), Refusal> {
        let room = self.record().len().checked_sub(self.log_bytes());
        let range =
            |found: usize| Refusal::range("record", ("bbm_log_size", 72), found as u64, 0, self.record().len() as u64);
        let room = room.ok_or_else(|| range(self.log_bytes()))?;
        if self.disks().len() != usize::from(self.header.num_disks) {
            let most = (self.record().len().saturating_sub(HEADER_BYTES) / size_of::<Disk>()) as u64;
            return Err(Refusal::range("record", ("num_disks", 56), self.header.num_disks.into(), 0, most));
        }
        let mut end = self.volumes_at();
        for volume in self.volumes() {
            end = end.saturating_add(volume.len_bytes());
            for map in core::iter::once(volume.map).chain(volume.old_map) {
                let highest = map.order.iter().map(|order| order.get() & ORDER_INDEX).max().unwrap_or(0);
                if highest >= self.header.num_disks.into() {
                    let most = u64::from(self.header.num_disks).saturating_sub(1);
                    let at = volume.at.saturating_add(160);
                    return Err(Refusal::range("volume", ("disk_ord_tbl", at), highest.into(), 0, most));
                }
            }
        }
        let count = self.volumes().count() as u64;
        if count != u64::from(self.header.num_raid_devs) || end > room {
            let found = u64::from(self.header.num_raid_devs);
            return Err(Refusal::range("record", ("num_raid_devs", 57), found, 0, count));
        }
        Ok(())
    }

    /// The bytes as they are, in whole blocks.
    #[must_use]
    pub const fn emit(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes that the header counts.
    #[must_use]
    pub fn record(&self) -> &'a [u8] {
        self.bytes.get(..usize::try_from(self.header.mpb_size.get()).unwrap_or(0)).unwrap_or(&[])
    }

    /// Where the record lies.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &'a Header {
        self.header
    }

    /// The family number that stays the same for the container's life. Old writers left it out.
    #[must_use]
    pub fn family(&self) -> u32 {
        match self.header.orig_family_num.get() {
            0 => self.header.family_num.get(),
            family => family,
        }
    }

    /// All disks, in the order in which maps number them.
    #[must_use]
    pub fn disks(&self) -> &'a [Disk] {
        let rest = self.record().get(HEADER_BYTES..).unwrap_or(&[]);
        let count = usize::from(self.header.num_disks);
        <[Disk]>::ref_from_prefix_with_elems(rest, count).map_or(&[], |(disks, _)| disks)
    }

    /// The disk with that index.
    #[must_use]
    pub fn disk(&self, index: u32) -> Option<&'a Disk> {
        self.disks().get(usize::try_from(index).ok()?)
    }

    /// Index of the disk with that serial number, as it stands in the table: see [`serial`].
    #[must_use]
    pub fn index_of(&self, serial: &[u8; SERIAL_BYTES]) -> Option<u8> {
        self.disks().iter().zip(0..=u8::MAX).find(|(disk, _)| disk.serial == *serial).map(|(_, index)| index)
    }

    /// Disks that the medium which carries this record may be: as long as it is, and not known to have left.
    pub fn candidates(&self) -> impl Iterator<Item = u8> + use<'a> {
        let blocks = self.place.medium_blocks;
        let may_be = move |disk: &Disk| disk.total_blocks() == blocks && !disk.flags().contains(DiskStatus::FAILED);
        self.disks().iter().zip(0..=u8::MAX).filter(move |(disk, _)| may_be(disk)).map(|(_, index)| index)
    }

    /// All volumes; it ends early if one does not lie within the record.
    pub fn volumes(&self) -> impl Iterator<Item = RawVolume<'a>> + use<'a> {
        let (record, mut at) = (self.record(), self.volumes_at());
        (0..self.header.num_raid_devs).map_while(move |index| {
            let volume = volume(record, at, index)?;
            at = at.checked_add(volume.len_bytes())?;
            Some(volume)
        })
    }

    /// The UUID that `mdadm` prints of the container, or of the volume with that index and name.
    #[must_use]
    pub fn uuid(&self, volume: Option<&RawVolume>) -> Uuid {
        let family = self.family().to_le_bytes();
        let index = volume.map_or(0, |volume| u32::from(volume.index)).to_le_bytes();
        let sig = self.header.sig.first_chunk::<24>().map_or(&[][..], |sig| sig);
        let digest = match volume {
            None => sha1::digest(&[sig, &family]),
            Some(volume) => sha1::digest(&[sig, &family, &index, &volume.head.volume]),
        };
        // Printed as four numbers of a little-endian machine.
        let mut uuid = [0; 16];
        for (to, from) in uuid.as_chunks_mut::<4>().0.iter_mut().zip(digest.as_chunks::<4>().0) {
            let [a, b, c, d] = *from;
            *to = [d, c, b, a];
        }
        Uuid(uuid)
    }

    /// Runs of bad blocks: the disk's index, the first block, and how many.
    pub fn bad_blocks(&self) -> impl Iterator<Item = (u8, u64, u64)> + use<'a> {
        self.bad_block_entries().iter().map(BadBlocks::run)
    }

    /// The entries of the log of bad blocks; none if there is no sound log.
    #[must_use]
    pub fn bad_block_entries(&self) -> &'a [BadBlocks] {
        let log = self.record().get(self.log_at()..).unwrap_or(&[]);
        let Ok((head, rest)) = BadBlockHead::ref_from_prefix(log) else { return &[] };
        let count = usize::try_from(head.entry_count.get()).unwrap_or(usize::MAX);
        if head.signature.get() != MAGIC_BAD_BLOCKS || count > rest.len() {
            return &[];
        }
        <[BadBlocks]>::ref_from_prefix_with_elems(rest, count).map_or(&[], |(entries, _)| entries)
    }

    /// Offset of the log of bad blocks.
    #[must_use]
    pub fn log_at(&self) -> usize {
        self.record().len().saturating_sub(self.log_bytes())
    }

    fn log_bytes(&self) -> usize {
        usize::try_from(self.header.bbm_log_size.get()).unwrap_or(usize::MAX)
    }

    fn volumes_at(&self) -> usize {
        HEADER_BYTES.saturating_add(size_of_val(self.disks()))
    }
}

/// The sum that the record should carry: of all its words but the sum itself.
#[must_use]
pub fn checksum(record: &[u8]) -> u32 {
    let (words, _) = record.as_chunks::<4>();
    words
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != 8)
        .fold(0, |sum: u32, (_, word)| sum.wrapping_add(u32::from_le_bytes(*word)))
}

/// A drive's serial number as the table has it: without blanks, with `;` for `:`, the last sixteen characters.
///
/// Source: `mdadm`, `super-intel.c`, `imsm_read_serial`. `:` is kept for disks that are gone, whose serial gets `:0` behind it.
#[must_use]
pub fn serial(text: &str) -> [u8; SERIAL_BYTES] {
    let kept = || text.bytes().filter(|byte| *byte > b' ').map(|byte| if byte == b':' { b';' } else { byte });
    let skipped = kept().count().saturating_sub(SERIAL_BYTES);
    let mut serial = [0; SERIAL_BYTES];
    for (to, from) in serial.iter_mut().zip(kept().skip(skipped)) {
        *to = from;
    }
    serial
}

/// The volume whose head is at `at`.
fn volume(record: &[u8], at: usize, index: u8) -> Option<RawVolume<'_>> {
    let (head, rest) = prefix::<VolumeHead>(record.get(at..)?)?;
    let (migration, rest) = prefix::<Migration>(rest)?;
    let (new, rest) = map(rest)?;
    let old_map = match migration.migr_state {
        0 => None,
        _ => Some(map(rest)?.0),
    };
    Some(RawVolume { index, at, head, migration, map: new, old_map })
}

fn map(bytes: &[u8]) -> Option<(Map<'_>, &[u8])> {
    let (head, rest) = prefix::<MapHead>(bytes)?;
    let (order, rest) = <[U32]>::ref_from_prefix_with_elems(rest, head.num_members.into()).ok()?;
    Some((Map { head, order }, rest))
}

fn prefix<T: FromBytes + Immutable + KnownLayout + Unaligned>(bytes: &[u8]) -> Option<(&T, &[u8])> {
    T::ref_from_prefix(bytes).ok()
}
