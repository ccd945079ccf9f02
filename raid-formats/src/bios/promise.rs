//! Promise FastTrak: 2048 bytes some sectors before the end of each disk; how many depends on a geometry that BIOSes made up, so a
//! list of them is tried.
//!
//! Source: FreeBSD's `sys/geom/raid/md_promise.c`, dmraid's `lib/format/ataraid/pdc.h`.

use super::claim::{Arrangement, Claim, Refusal, identity, name};
use super::place::Place;
use super::vendor::{Plan, Told, Unfit, Vendor, checksum, column, count, flag, from_end, known, magic, word_sum};
use crate::record::Format;
use raid_core::{Raid5Layout, Sectors};

const SIGNATURE: Place = Place::text("promise_id", 0, 24, "\"Promise Technology, Inc.\"");
const SIGNATURE_START: Place = Place::le("promise_id", 0, 8, "").hex();
const INTEGRITY: Place = Place::le("integrity", 512, 4, "0x80 valid").hex();
const DISK_FLAGS: Place =
    Place::le("disk.flags", 516, 1, "1 valid, 2 online, 4 assigned, 8 spare, 0x40 down, 0x80 ready").hex();
const NUMBER: Place = Place::le("disk.number", 517, 1, "this disk's number");
const CHANNEL: Place = Place::le("disk.channel", 518, 1, "");
const DEVICE: Place = Place::le("disk.device", 519, 1, "");
const DISK_ID: Place = Place::le("disk.id", 520, 8, "this disk").hex();
const START: Place = Place::le("disk_offset", 528, 4, "not believed: images hold filling here");
const SECTORS: Place = Place::le("disk_sectors", 532, 4, "sectors of this disk that are used");
const REBUILD: Place = Place::le("disk_rebuild", 536, 4, "rebuilt below here; all ones if none is").hex();
const GENERATION: Place = Place::le("generation", 540, 2, "the higher, the newer");
const STATUS: Place =
    Place::le("status", 542, 1, "1 valid, 2 online, 4 initialised, 8 ready, 0x10 degraded, 0x20 marked").hex();
const TYPE: Place = Place::le("type", 543, 1, "0 RAID 0, 1 RAID 1, 4 RAID 5, 8 span");
const DISKS: Place = Place::le("total_disks", 544, 1, "disks");
const SHIFT: Place = Place::le("stripe_shift", 545, 1, "power of two of a chunk's sectors");
const WIDTH: Place = Place::le("array_width", 546, 1, "disks of a stripe");
const ARRAY: Place = Place::le("array_number", 547, 1, "");
const TOTAL: Place = Place::le("total_sectors", 548, 4, "sectors of the array");
const CYLINDERS: Place = Place::le("cylinders", 552, 2, "");
const HEADS: Place = Place::le("heads", 554, 1, "");
const TRACK: Place = Place::le("sectors", 555, 1, "sectors of a track");
const ARRAY_ID: Place = Place::le("volume_id", 556, 8, "identity of the array").hex();
const DISK: Place = Place::bytes("disks[0]", 564, 12, "flags, number, channel, device and identity of each disk");
const SLOT_FLAGS: Place = Place::le("disks[0].flags", 564, 1, "").hex();
const SLOT_ID: Place = Place::le("disks[0].id", 568, 8, "").hex();
const NAME: Place = Place::text("name", 660, 32, "name of the array");
/// Behind the name are 338 words of filling.
const BALANCE: Place = Place::le("filler2[81]", 1016, 4, "makes up for what we change, so that the sum stays").hex();
const CHECKSUM: Place = Place::le("checksum", 2044, 4, "sum of the words before").hex();

const FIELDS: [Place; 33] = [
    SIGNATURE,
    INTEGRITY,
    DISK_FLAGS,
    NUMBER,
    CHANNEL,
    DEVICE,
    DISK_ID,
    START,
    SECTORS,
    REBUILD,
    GENERATION,
    STATUS,
    TYPE,
    DISKS,
    SHIFT,
    WIDTH,
    ARRAY,
    TOTAL,
    CYLINDERS,
    HEADS,
    TRACK,
    ARRAY_ID,
    DISK,
    DISK.at(12),
    DISK.at(24),
    DISK.at(36),
    DISK.at(48),
    DISK.at(60),
    DISK.at(72),
    DISK.at(84),
    NAME,
    BALANCE,
    CHECKSUM,
];

/// Sectors before the end, the likeliest first.
const BEFORE_END: [u64; 12] = [63, 255, 256, 16, 399, 591, 675, 735, 911, 974, 991, 3087];

pub(super) const PROMISE: Vendor = Vendor {
    format: Format::Promise,
    head_bytes: RECORD_BYTES,
    rest: None,
    place: |medium, index| BEFORE_END.get(index).and_then(|before| from_end(medium, *before)),
    copies: 1,
    fields: &FIELDS,
    parse,
    make,
    seat,
    tell,
    dirty: true,
    unwritable: None,
};

const RECORD_BYTES: usize = 2048;
const MAGIC: &[u8; 24] = b"Promise Technology, Inc.";
const DISKS_MAX: u16 = 8;
const VALID: u64 = 0x80;
const SPARE: u64 = 8;
const DOWN: u64 = 0x40;
const DEGRADED: u64 = 0x10;
const MARKED: u64 = 0x20;
const NOT_REBUILT: u64 = 0xffff_ffff;
const MIRROR: u64 = 1;
const LEVELS: [(Arrangement, u64); 5] = [
    (Arrangement::Stripe, 0),
    (Arrangement::Mirror, MIRROR),
    (Arrangement::MirroredStripes, MIRROR),
    (Arrangement::Raid5(Raid5Layout::LeftAsymmetric), 4),
    (Arrangement::Span, 8),
];

fn parse(record: &[u8], _: Sectors) -> Result<Claim, Refusal> {
    let found = SIGNATURE_START.get(record);
    let expected = MAGIC.iter().take(8).rev().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
    magic(SIGNATURE_START, record, expected)?;
    if SIGNATURE.slice(record) != MAGIC {
        return Err(SIGNATURE.refusal(found, "not Promise's name in full"));
    }
    checksum(CHECKSUM, record, word_sum(record.get(..2044).unwrap_or(&[]), 4) & 0xffff_ffff)?;
    let integrity = INTEGRITY.get(record);
    if integrity & VALID == 0 {
        return Err(INTEGRITY.refusal(integrity, "says that the rest is not valid"));
    }
    let kind = TYPE.get(record);
    let members = count(DISKS, DISKS.get(record), DISKS_MAX)?;
    let arrangement = known(&LEVELS, kind)
        .map(|first| if kind == MIRROR && members >= 4 { Arrangement::MirroredStripes } else { first })
        .ok_or_else(|| TYPE.refusal(kind, "an arrangement that is not known"))?;
    let chunk = match arrangement {
        Arrangement::Mirror | Arrangement::Span => Sectors(0),
        _ => Sectors(1 << SHIFT.get(record).min(32)),
    };
    let flags = DISK_FLAGS.get(record);
    let index = u16::try_from(NUMBER.get(record)).unwrap_or(u16::MAX);
    let rebuilt = REBUILD.get(record);
    let is_down = |index: &u16| SLOT_FLAGS.at(u32::from(*index) * 12).get(record) & DOWN != 0;
    let down = (0..members).filter(is_down).filter_map(|index| column(index.into())).collect();
    Ok(Claim {
        array: identity(&[ARRAY_ID.get(record)]),
        name: name(NAME.slice(record)),
        index: (flags & SPARE == 0 && index < members).then_some(index),
        failed: flags & DOWN != 0,
        chunk,
        used: Sectors(SECTORS.get(record)),
        array_size: Some(Sectors(TOTAL.get(record))).filter(|total| !total.is_zero()),
        events: GENERATION.get(record),
        dirty: STATUS.get(record) & MARKED != 0,
        mark: (rebuilt != NOT_REBUILT).then_some(Sectors(rebuilt)),
        down,
        ..Claim::new(Format::Promise, arrangement, members, index)
    })
}

fn make(plan: &Plan<'_>, record: &mut [u8]) -> Result<(), Unfit> {
    let spec = plan.spec;
    if spec.members > DISKS_MAX || spec.arrangement == Arrangement::Mirror && spec.members > 3 {
        return Err(Unfit::Members);
    }
    // The filling that the controllers leave.
    for (index, byte) in record.iter_mut().enumerate() {
        *byte = 255 - u8::try_from(index & 0xff).unwrap_or(0);
    }
    let small = |value: u64| u32::try_from(value).map(u64::from).map_err(|_| Unfit::Size);
    let numbers = [
        (INTEGRITY, VALID),
        (DISK_FLAGS, 0x87),
        (NUMBER, plan.index().into()),
        (CHANNEL, plan.slot.into()),
        (DEVICE, 0),
        (DISK_ID, plan.disk_id(plan.slot)),
        (START, 0),
        (SECTORS, small(spec.used.0)?),
        (REBUILD, NOT_REBUILT),
        (GENERATION, 1),
        (STATUS, 0x0f),
        (TYPE, plan.code(&LEVELS)?),
        (DISKS, spec.members.into()),
        (SHIFT, spec.chunk.0.max(1).ilog2().into()),
        (WIDTH, spec.arrangement.data_disks(spec.members).into()),
        (ARRAY, 0),
        (TOTAL, small(plan.array_sectors())?),
        (CYLINDERS, 0),
        (HEADS, 0),
        (TRACK, 63),
        (ARRAY_ID, spec.set),
    ];
    Place::put_all(record, &numbers);
    for index in 0..spec.members {
        let by = u32::from(index) * 12;
        DISK.at(by).fill(record, &[0x87, 0, 0, 0]);
        SLOT_ID.at(by).put(record, plan.disk_id(spec.arrangement.slot(index, spec.members)));
    }
    SIGNATURE.fill(record, MAGIC);
    NAME.fill(record, &spec.name.0);
    let sum = word_sum(record.get(..2044).unwrap_or(&[]), 4);
    CHECKSUM.put(record, sum);
    Ok(())
}

fn sum(record: &[u8]) -> u64 {
    word_sum(record.get(..2044).unwrap_or(&[]), 4)
}

/// The identity of a disk that is new stands in the table already: it was changed when the one before was shut out.
fn seat(record: &mut [u8], index: u16, _: Sectors) {
    let id = SLOT_ID.at(u32::from(index) * 12).get(record);
    let before = sum(record);
    Place::put_all(record, &[(NUMBER, index.into()), (CHANNEL, index.into()), (DEVICE, 0), (DISK_ID, id)]);
    let after = sum(record);
    CHECKSUM.put(record, CHECKSUM.get(record).wrapping_add(after.wrapping_sub(before)));
}

/// All that changes lies in the record's second sector, its sum in the fourth. Were both written, a cut in between would leave no
/// record. So a word of the filling beside them takes what they add, and the sum stays what it was.
fn tell(record: &mut [u8], told: &Told) {
    let before = sum(record);
    for index in 0..told.members.min(DISKS_MAX) {
        let by = u32::from(index) * 12;
        flag(SLOT_FLAGS.at(by), record, DOWN, told.is_missing(index));
        if told.shut_out == Some(index) {
            SLOT_ID.at(by).put(record, SLOT_ID.at(by).get(record).wrapping_add(1));
        }
    }
    flag(STATUS, record, DEGRADED, told.is_degraded());
    flag(STATUS, record, MARKED, told.dirty);
    REBUILD.put(record, told.mark.map_or(NOT_REBUILT, |mark| mark.0.min(NOT_REBUILT - 1)));
    flag(DISK_FLAGS, record, DOWN, false);
    if told.shut_out.is_some() {
        let next = GENERATION.get(record) + 1;
        GENERATION.put(record, next);
        ARRAY_ID.put(record, ARRAY_ID.get(record).wrapping_add(next >> 16));
    }
    let after = sum(record);
    BALANCE.put(record, BALANCE.get(record).wrapping_sub(after.wrapping_sub(before)));
}
