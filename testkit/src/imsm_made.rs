//! Disks made by `imsm::create` in memory, filled with data and right redundancy by the core's own maps.

use crate::{array, image::Image, pattern};
use raid_core::{
    ArrayConfig, FarSets, Level, Raid0Layout, Raid5Layout, Raid10Layout, Sector, Sectors, Sizes, geometry::Geometry,
};
use raid_formats::imsm::{
    self, CreateParams, Metadata, NewDisk, Refusal, RunningState, Volume, VolumeParams, create, raw::WriteHole,
};

/// Bytes of each disk.
pub const DISK_BYTES: usize = 16 << 20;
/// The container's identity.
pub const FAMILY: u32 = 0x1057_FA11;
/// Linux's RAID 5 of IMSM.
pub const FIVE: Level = Level::Raid5(Raid5Layout::LeftAsymmetric);
/// Linux's RAID 10 of IMSM.
pub const TEN: Level = Level::Raid10(Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All });
/// RAID 0.
pub const ZERO: Level = Level::Raid0(Raid0Layout::Alternate);

/// A volume over all disks.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Level and layout.
    pub level: Level,
    /// Sectors of a chunk.
    pub chunk: u64,
    /// Sectors of each member.
    pub used: u64,
    /// With partial parity logs.
    pub logged: bool,
}

/// Disks with one or two volumes.
pub struct Made {
    /// Whole disks.
    pub disks: Vec<Vec<u8>>,
    /// Content of each volume.
    pub contents: Vec<Vec<u8>>,
}

/// Serial number of a disk: what `mdadm` in a guest takes the name of its device for.
#[must_use]
pub fn serial(disk: usize) -> String {
    let letter = char::from(b'b' + u8::try_from(disk).expect("a test made it right"));
    format!("/dev/ubd{letter}")
}

/// The disk of that number in the table.
#[must_use]
pub fn disk(number: usize) -> NewDisk {
    NewDisk { serial: imsm::serial(&serial(number)), size: Sectors(DISK_BYTES as u64 / 512) }
}

impl Made {
    /// Makes so many disks; every volume is over all of them, in their order.
    ///
    /// # Panics
    /// If the shapes cannot be made.
    #[must_use]
    pub fn new(shapes: &[Shape], disks: usize, block_bytes: u32) -> Self {
        let table: Vec<NewDisk> = (0..disks).map(disk).collect();
        let members: Vec<u8> = (0..u8::try_from(disks).expect("a test made it right")).collect();
        let mut start = 0;
        let volumes: Vec<VolumeParams> = shapes
            .iter()
            .enumerate()
            .map(|(number, shape)| {
                let at = Sector(start);
                start += shape.used + imsm::PPL_SECTORS.0;
                let mut name = *b"made by us 0\0\0\0\0";
                name[11] += u8::try_from(number).expect("a test made it right");
                VolumeParams {
                    name,
                    level: shape.level,
                    chunk: Sectors(shape.chunk),
                    used: Sectors(shape.used),
                    start: at,
                    members: &members,
                    write_hole: if shape.logged { WriteHole::MultipleDistributed } else { WriteHole::MultipleOff },
                    consistent: true,
                }
            })
            .collect();
        let params =
            CreateParams { block_bytes, family: FAMILY, disks: &table, volumes: &volumes, created_s: 1_800_000_000 };
        let mut made: Vec<Vec<u8>> = vec![vec![0; DISK_BYTES]; disks];
        let contents = volumes.iter().map(|volume| fill(volume, &mut made)).collect();
        for (own, bytes) in (0..).zip(&mut made) {
            let written = create::<Refusal>(&params, own, &mut vec![0; imsm::RECORD_BYTES_MAX], |write| {
                put(bytes, write.at, write.bytes);
                Ok(())
            });
            assert_eq!(written, Ok(()));
        }
        Self { disks: made, contents }
    }
}

fn put(disk: &mut [u8], at: Sector, bytes: &[u8]) {
    let at = usize::try_from(at.0 * 512).expect("a test made it right");
    disk[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Fills the members of a volume; gives its content.
fn fill(volume: &VolumeParams, disks: &mut [Vec<u8>]) -> Vec<u8> {
    let members = u16::try_from(volume.members.len()).expect("a test made it right");
    let chunk = if volume.level == Level::Raid1 { Sectors::ZERO } else { volume.chunk };
    let config = ArrayConfig { level: volume.level, members, chunk, sizes: Sizes::Same(volume.used), array_size: None };
    let geometry = Geometry::new(&config).expect("a test made it right");
    let content =
        pattern::sectors(volume.start.0, usize::try_from(geometry.array_size().0).expect("a test made it right"));
    for (disk, data) in disks.iter_mut().zip(array::lay_out(&geometry, &content)) {
        put(disk, volume.start, &data);
    }
    content
}

/// The record of a disk.
///
/// # Panics
/// If there is none.
pub fn read<'b>(image: &[u8], buf: &'b mut Vec<u8>) -> Metadata<'b> {
    let source = Image(image);
    let place = imsm::probe(&source).expect("a test made it right");
    buf.resize(place.len_bytes, 0);
    imsm::read(&source, &place, buf).expect("a test made it right")
}

/// The writes of an update of a disk: sector, bytes, and whether it is durable before the next.
///
/// # Errors
/// [`Refusal`].
pub fn steps(image: &[u8], state: &RunningState) -> Result<Vec<(Sector, Vec<u8>, bool)>, Refusal> {
    let (mut buf, mut steps) = (Vec::new(), Vec::new());
    let metadata = read(image, &mut buf);
    imsm::update::<Refusal>(&metadata, &mut vec![0; imsm::RECORD_BYTES_MAX], state, |write| {
        steps.push((write.at, write.bytes.to_vec(), write.flush));
        Ok(())
    })?;
    Ok(steps)
}

/// Does an update on a whole disk.
///
/// # Panics
/// If it is refused.
pub fn apply(image: &mut [u8], state: &RunningState) {
    for (at, bytes, _) in steps(image, state).expect("a test made it right") {
        put(image, at, &bytes);
    }
}

/// Runs `check` on a volume as those of the disks tell it that are not lost. Each is known by its serial number, as `mdadm` would.
///
/// # Panics
/// If a disk has no usable record, or not that volume.
pub fn with_volumes<T>(
    disks: &[Vec<u8>],
    lost: &[usize],
    volume: u8,
    check: impl FnOnce(&[(Volume, &[u8])]) -> T,
) -> T {
    let mut bufs = vec![Vec::new(); disks.len()];
    let left = disks.iter().zip(&mut bufs).enumerate().filter(|(number, _)| !lost.contains(number));
    let claims: Vec<(Volume, &[u8])> = left
        .map(|(number, (disk, buf))| {
            let metadata = read(disk, buf);
            let own = metadata.index_of(&imsm::serial(&serial(number))).expect("the disk is in its own table");
            (metadata.volume(volume, Some(own)).expect("a test made it right"), &disk[..])
        })
        .collect();
    check(&claims)
}
