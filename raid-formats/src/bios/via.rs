//! VIA: 51 bytes at the start of the last sector.
//!
//! Source: DragonFly BSD's `sys/dev/disk/nata/ata-raid.h` and dmraid's `lib/format/ataraid/via.h`. How its RAID 5 rotates
//! is told nowhere, so that is refused.

use super::claim::{Arrangement, Claim, Refusal, identity};
use super::place::Place;
use super::vendor::{Plan, Told, Unfit, Vendor, byte_sum, checksum, count, counted, flag, known, last, magic, raised};
use crate::record::Format;
use raid_core::Sectors;

const SIGNATURE: Place = Place::le("signature", 0, 2, "0xaa55").hex();
const VERSION: Place = Place::le("version_number", 2, 1, "0 or 1");
const FLAGS: Place =
    Place::le("array.disk", 3, 2, "bit 2 in use, 3-6 arrangement, 7-9 array, 10-14 place, 15 broken").hex();
const LAYOUT: Place =
    Place::le("array.disk_array_ex", 5, 1, "bits 0-2 disks, 3 broken, 4-7 power of two of chunks of 8 sectors").hex();
const SECTORS: Place = Place::le("array.capacity", 6, 8, "sectors of each disk");
const SERIAL: Place = Place::le("array.serial_checksum", 14, 4, "this disk").hex();
const DISK: Place = Place::le("serial_checksum[0]", 18, 4, "the array's disks").hex();
const CHECKSUM: Place = Place::le("checksum", 50, 1, "sum of the bytes before").hex();

const FIELDS: [Place; 15] = [
    SIGNATURE,
    VERSION,
    FLAGS,
    LAYOUT,
    SECTORS,
    SERIAL,
    DISK,
    DISK.at(4),
    DISK.at(8),
    DISK.at(12),
    DISK.at(16),
    DISK.at(20),
    DISK.at(24),
    DISK.at(28),
    CHECKSUM,
];

pub(super) const VIA: Vendor = Vendor {
    format: Format::Via,
    head_bytes: 512,
    rest: None,
    place: last,
    copies: 1,
    fields: &FIELDS,
    parse,
    make,
    seat,
    tell,
    dirty: true,
    unwritable: None,
};

const LEVELS: [(Arrangement, u64); 3] =
    [(Arrangement::Stripe, 0), (Arrangement::Mirror, 1), (Arrangement::MirroredStripes, 9)];
const DISKS_MAX: u16 = 8;
const IN_USE: u64 = 1 << 2;
const BROKEN: u64 = 1 << 15;
/// What tells a disk's place, and the flags beside it that are not for a disk that is new.
const PLACE: u64 = 0x1f << 10;
const ARRAY_BROKEN: u64 = 1 << 3;

fn parse(record: &[u8], _: Sectors) -> Result<Claim, Refusal> {
    magic(SIGNATURE, record, 0xaa55)?;
    // The signature is that of boot sectors too: without the rest it says nothing.
    let version = VERSION.get(record);
    if version > 1 {
        return Err(VERSION.refusal(version, "neither of the known versions"));
    }
    checksum(CHECKSUM, record, byte_sum(record.get(..50).unwrap_or(&[])) & 0xff)?;
    let flags = FLAGS.get(record);
    if flags & IN_USE == 0 {
        return Err(FLAGS.refusal(flags, "the disk is in no array"));
    }
    let kind = flags >> 3 & 0xf;
    let arrangement =
        known(&LEVELS, kind).ok_or_else(|| FLAGS.refusal(flags, "an arrangement that nobody knows how to read"))?;
    let (info, layout) = (flags >> 10 & 0x1f, LAYOUT.get(record));
    let width = layout & 7;
    let (members, index, dirty) = match arrangement {
        Arrangement::Mirror => (2, u64::from(info & 3 != 0), info >> 2 & 1),
        Arrangement::MirroredStripes => (2 * width, (info & 7) + width * (info >> 3 & 1), info >> 4 & 1),
        _ => (width, info & 7, 0),
    };
    let members = count(LAYOUT, members, DISKS_MAX)?;
    let chunk = if arrangement == Arrangement::Mirror { 0 } else { 8 << (layout >> 4) };
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    let spare = arrangement == Arrangement::Mirror && info & 3 == 1;
    // Of all of them: when the count of one is used up, the identity must change.
    let id = |disk: u16| counted(DISK.at(u32::from(disk) * 4).get(record)).1;
    let array = (0..DISKS_MAX).fold(0, |sum: u64, disk| sum.rotate_left(7) ^ id(disk));
    Ok(Claim {
        array: identity(&[array, flags >> 7 & 7]),
        events: (0..DISKS_MAX).map(|disk| counted(DISK.at(u32::from(disk) * 4).get(record)).0).sum(),
        index: (!spare && index < members).then_some(index),
        failed: flags & BROKEN != 0,
        chunk: Sectors(chunk),
        used: Sectors(SECTORS.get(record)),
        dirty: dirty != 0,
        ..Claim::new(Format::Via, arrangement, members, index)
    })
}

/// What tells a disk's place.
fn info(arrangement: Arrangement, index: u64, width: u64) -> u64 {
    match arrangement {
        Arrangement::Mirror => index * 2,
        Arrangement::MirroredStripes => (index % width.max(1)) | (index / width.max(1)) << 3,
        _ => index,
    }
}

/// The flag for redundancy that may not agree; none where there is no redundancy.
const fn dirty(arrangement: Arrangement) -> u64 {
    match arrangement {
        Arrangement::Mirror => 1 << 12,
        Arrangement::MirroredStripes => 1 << 14,
        _ => 0,
    }
}

fn make(plan: &Plan<'_>, record: &mut [u8]) -> Result<(), Unfit> {
    let (spec, index) = (plan.spec, u64::from(plan.index()));
    let members = u64::from(spec.members);
    let width = u64::from(spec.arrangement.data_disks(spec.members));
    let info = info(spec.arrangement, index, width);
    if members > u64::from(DISKS_MAX) || width > 7 || spec.arrangement == Arrangement::Mirror && members != 2 {
        return Err(Unfit::Members);
    }
    let power = match spec.chunk.0 {
        0 => 0,
        chunk @ 8.. if chunk <= 8 << 15 => u64::from(chunk.ilog2() - 3),
        _ => return Err(Unfit::Chunk),
    };
    let disks = if spec.arrangement == Arrangement::Mirror { 2 } else { width };
    let id = |slot: u16| plan.disk_id(slot) & 0xffff_ffff;
    let numbers = [
        (SIGNATURE, 0xaa55),
        (VERSION, 1),
        (FLAGS, IN_USE | plan.code(&LEVELS)? << 3 | info << 10),
        (LAYOUT, disks | power << 4),
        (SECTORS, spec.used.0),
        (SERIAL, id(plan.slot)),
    ];
    Place::put_all(record, &numbers);
    for slot in 0..spec.members {
        DISK.at(u32::from(slot) * 4).put(record, id(slot));
    }
    let sum = byte_sum(record.get(..50).unwrap_or(&[]));
    CHECKSUM.put(record, sum);
    Ok(())
}

/// The number of a disk that is new stands in the table already: it was changed when the one before was shut out.
fn seat(record: &mut [u8], index: u16, _: Sectors) {
    let (flags, width) = (FLAGS.get(record), LAYOUT.get(record) & 7);
    let place = known(&LEVELS, flags >> 3 & 0xf).map_or(0, |arrangement| info(arrangement, index.into(), width));
    FLAGS.put(record, flags & !PLACE | place << 10);
    let own = DISK.at(u32::from(index) * 4).get(record);
    SERIAL.put(record, own);
}

/// A disk that is being filled says that it is broken.
fn tell(record: &mut [u8], told: &Told) {
    flag(FLAGS, record, dirty(told.arrangement), told.dirty);
    flag(FLAGS, record, BROKEN, told.mark.is_some());
    flag(LAYOUT, record, ARRAY_BROKEN, told.is_degraded());
    if let Some(gone) = told.shut_out {
        let id = DISK.at(u32::from(gone) * 4);
        id.put(record, raised(id.get(record), 1));
    }
    let sum = byte_sum(record.get(..50).unwrap_or(&[]));
    CHECKSUM.put(record, sum);
}
