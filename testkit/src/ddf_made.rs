//! Disks made by `ddf::create` in memory, filled with data and right redundancy by the core's own maps.

use crate::{array, image::Image, pattern};
use raid_core::{ArrayConfig, FarSets, Level, Raid10Layout, Sector, Sectors, Sizes, geometry::Geometry};
use raid_formats::{
    ddf::{
        self, CreateParams, Form, Guid, Metadata, NewDisk, Order, Refusal, Volume, VolumeParams,
        create::{self, create},
        raw::{DiskKind, DiskState},
    },
    dump::Value,
};

/// Bytes of each disk: 32 MiB are the records'.
pub const DISK_BYTES: usize = 48 << 20;

/// A volume over the first so many disks.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Level and layout.
    pub level: Level,
    /// Slots; the slot is the number of the disk.
    pub members: u16,
    /// Sectors of a chunk.
    pub chunk: u64,
    /// Sectors of each member.
    pub used: u64,
}

/// Disks with volumes behind one another.
pub struct Made {
    /// Whole disks.
    pub disks: Vec<Vec<u8>>,
    /// Content of each volume.
    pub contents: Vec<Vec<u8>>,
}

/// RAID 10 with so many copies side by side.
#[must_use]
pub const fn ten(near: u8) -> Level {
    Level::Raid10(Raid10Layout { near, far: 1, offset: false, sets: FarSets::All })
}

/// Identity of disk, volume and so on.
pub fn guid(kind: u8, number: usize) -> Guid {
    let mut guid = *b"Linux-MD\xDE\xAD\xBE\xEF\0\0\0\0\x58\x35\x7E\x45....";
    guid[20..].copy_from_slice(&[kind, 0x5A, 0, u8::try_from(number).expect("a test made it right")]);
    Guid(guid)
}

/// Reference of a disk.
pub fn reference(disk: usize) -> u32 {
    0xA000_0001 + u32::try_from(disk).expect("a test made it right")
}

/// The disk of that number in the table.
///
/// # Panics
/// Never, for disks of [`DISK_BYTES`].
#[must_use]
pub fn disk(number: usize, block_bytes: u32) -> NewDisk {
    let end = create::data_end(Sectors(DISK_BYTES as u64 / 512)).expect("a test made it right");
    NewDisk {
        guid: guid(b'd', number),
        reference: reference(number),
        kind: DiskKind::FORCED_GUID | DiskKind::IN_VIRTUAL_DISK,
        state: DiskState::ONLINE,
        configured_blocks: end.0 / u64::from(block_bytes / 512),
    }
}

impl Made {
    /// Makes so many disks; all of them are in the table, and the volumes take the first ones.
    ///
    /// # Panics
    /// If the shapes cannot be made.
    #[must_use]
    pub fn new(shapes: &[Shape], disks: usize, block_bytes: u32) -> Self {
        let table: Vec<NewDisk> = (0..disks).map(|number| disk(number, block_bytes)).collect();
        let mut start = 0;
        let mut members = Vec::new();
        for shape in shapes {
            let slots: Vec<_> = (0..usize::from(shape.members)).map(|slot| (reference(slot), Sector(start))).collect();
            members.push(slots);
            start += shape.used;
        }
        let volumes: Vec<VolumeParams> = shapes
            .iter()
            .zip(&members)
            .enumerate()
            .map(|(number, (shape, members))| VolumeParams {
                guid: guid(b'v', number),
                name: *b"made by us\0\0\0\0\0\0",
                level: shape.level,
                chunk: if shape.level == Level::Raid1 { Sectors(0) } else { Sectors(shape.chunk) },
                used: Sectors(shape.used),
                members,
                consistent: true,
            })
            .collect();
        let mut made: Vec<Vec<u8>> = (0..disks).map(|_| vec![0; DISK_BYTES]).collect();
        for (own, bytes) in made.iter_mut().enumerate() {
            let params = CreateParams {
                medium: Sectors(DISK_BYTES as u64 / 512),
                block_bytes,
                container: guid(b'c', 0),
                controller: guid(b'a', 0),
                disks: &table,
                own,
                volumes: &volumes,
                created_s: 1_800_000_000,
            };
            let mut set = vec![0; create::set_bytes(block_bytes)];
            let written = create::<Refusal>(&params, &mut set, |write| {
                let at = usize::try_from(write.at.0 * 512).expect("a test made it right");
                bytes[at..at + write.bytes.len()].copy_from_slice(write.bytes);
                Ok(())
            });
            assert_eq!(written, Ok(()));
        }
        let contents = volumes.iter().map(|volume| fill(volume, &mut made)).collect();
        Self { disks: made, contents }
    }
}

/// Fills the members of a volume; gives its content.
fn fill(volume: &VolumeParams, disks: &mut [Vec<u8>]) -> Vec<u8> {
    let members = u16::try_from(volume.members.len()).expect("a test made it right");
    let (level, chunk, sizes) = (volume.level, volume.chunk, Sizes::Same(volume.used));
    let geometry =
        Geometry::new(&ArrayConfig { level, members, chunk, sizes, array_size: None }).expect("a test made it right");
    let content = pattern::sectors(0, usize::try_from(geometry.array_size().0).expect("a test made it right"));
    for ((disk, data), (_, start)) in disks.iter_mut().zip(array::lay_out(&geometry, &content)).zip(volume.members) {
        let from = usize::try_from(start.0 * 512).expect("a test made it right");
        disk[from..from + data.len()].copy_from_slice(&data);
    }
    content
}

/// The records of a disk.
pub fn read<'b>(image: &[u8], buf: &'b mut Vec<u8>) -> Metadata<'b> {
    let source = Image(image);
    let probe = ddf::probe(&source).expect("a test made it right");
    buf.resize(probe.len_bytes(), 0);
    ddf::read(&source, &probe.anchor, buf).expect("a test made it right")
}

/// Runs `check` on volume `number` as each of the disks that have it tells it.
pub fn with_volumes<T>(disks: &[Vec<u8>], number: usize, check: impl FnOnce(&[(Volume, &[u8])]) -> T) -> T {
    let mut bufs = vec![Vec::new(); disks.len()];
    let claims: Vec<(Volume, &[u8])> = disks
        .iter()
        .zip(&mut bufs)
        .filter_map(|(disk, buf)| Some((read(disk, buf).volume(guid(b'v', number))?, &disk[..])))
        .collect();
    check(&claims)
}

/// A whole set with two volumes, as `create` makes it.
///
/// # Panics
/// Never: its shape can be made.
#[must_use]
pub fn small() -> Vec<u8> {
    let table: Vec<NewDisk> = (0..3).map(|number| disk(number, 512)).collect();
    let members: Vec<_> = (0..3).map(|slot| (reference(slot), Sector(0))).collect();
    let behind: Vec<_> = (0..2).map(|slot| (reference(slot), Sector(64))).collect();
    let volume = |number, level, chunk, members| VolumeParams {
        guid: guid(b'v', number),
        name: *b"small\0\0\0\0\0\0\0\0\0\0\0",
        level,
        chunk: Sectors(chunk),
        used: Sectors(64),
        members,
        consistent: true,
    };
    let five = Level::Raid5(raid_core::Raid5Layout::LeftSymmetric);
    let volumes = [volume(0, five, 8, &members[..]), volume(1, Level::Raid1, 0, &behind[..])];
    let params = CreateParams {
        medium: Sectors(DISK_BYTES as u64 / 512),
        block_bytes: 512,
        container: guid(b'c', 0),
        controller: guid(b'a', 0),
        disks: &table,
        own: 0,
        volumes: &volumes,
        created_s: 1_800_000_000,
    };
    let mut set = vec![0; create::set_bytes(512)];
    let written = create::<Refusal>(&params, &mut set, |_| Ok(()));
    assert_eq!(written, Ok(()));
    // What stands at the start now is the anchor, which was written last.
    set[112] = 1;
    set
}

/// The same set with every number in the other byte order, as some firmware writes it.
///
/// # Panics
/// If the set has no header.
#[must_use]
pub fn swapped(set: &[u8]) -> Vec<u8> {
    let mut other = set.to_vec();
    let mut sections = Vec::new();
    ddf::dump::set(set, Order::Big, 512, |field| {
        let at = field.offset as usize;
        let number = !matches!(field.value, Value::Bytes(_) | Value::Text(_));
        let bytes = &mut other[at..at + field.len as usize];
        if number && field.len > 1 {
            bytes.reverse();
        }
        if field.name.ends_with("signature") {
            sections.push(at);
        }
    })
    .expect("a set has a header");
    sections.push(set.len());
    for section in sections.windows(2) {
        // A structure is summed in the form in which it was; what follows the last record of a section is not part of it.
        let (old, new) = (&set[section[0]..section[1]], &mut other[section[0]..section[1]]);
        let blocks = (1..=old.len() / 512).rev().map(|blocks| blocks * 512);
        let form = blocks.filter_map(|len| Form::of(&old[..len], 512, Order::Big).ok()).next();
        form.expect("a sound structure").seal(new, Order::Little);
    }
    other
}
