//! JMicron: 128 bytes at the start of the last sector.
//!
//! Source: FreeBSD's `sys/geom/raid/md_jmicron.c` and dmraid's `lib/format/ataraid/jm.h`. The unit of the
//! data's offset is told differently by the two, so an offset is refused; images have none.

use super::claim::{Arrangement, Claim, Refusal, identity, name};
use super::place::Place;
use super::vendor::{Plan, Told, Unfit, Vendor, arrangement, count, counted, flag, last, magic, raised, word_sum};
use crate::record::Format;
use raid_core::{Raid5Layout, Sectors};

const SIGNATURE: Place = Place::le("signature", 0, 2, "\"JM\"").hex();
const VERSION: Place = Place::le("version", 2, 2, "").hex();
const CHECKSUM: Place = Place::le("checksum", 4, 2, "makes the sum of the words zero, or one").hex();
const DISK_ID: Place = Place::le("disk_id", 16, 4, "this disk").hex();
const OFFSET: Place = Place::le("offset", 20, 4, "where the data start");
const SECTORS_HIGH: Place = Place::le("disk_sectors_high", 24, 4, "sectors of each disk, in units of 65536");
const SECTORS_LOW: Place = Place::le("disk_sectors_low", 28, 2, "and the rest");
const NAME: Place = Place::text("name", 32, 16, "name of the array");
const TYPE: Place = Place::le("type", 48, 1, "0 RAID 0, 1 RAID 1, 2 RAID 0+1, 3 span, 5 RAID 5");
const STRIPE: Place = Place::le("stripe_shift", 49, 1, "a chunk is twice this power of two of sectors");
const FLAGS: Place =
    Place::le("flags", 50, 2, "1 mounted, 2 boot, 4 bad, 0x10 active, 0x20 out of sync, 0x40 newest").hex();
const SPARE: Place = Place::le("spare[0]", 56, 4, "a spare disk").hex();
const SPARE_1: Place = Place::le("spare[1]", 60, 4, "").hex();
const DISK: Place = Place::le("disks[0]", 64, 4, "the array's disks, in order").hex();

const FIELDS: [Place; 21] = [
    SIGNATURE,
    VERSION,
    CHECKSUM,
    DISK_ID,
    OFFSET,
    SECTORS_HIGH,
    SECTORS_LOW,
    NAME,
    TYPE,
    STRIPE,
    FLAGS,
    SPARE,
    SPARE_1,
    DISK,
    DISK.at(4),
    DISK.at(8),
    DISK.at(12),
    DISK.at(16),
    DISK.at(20),
    DISK.at(24),
    DISK.at(28),
];

pub(super) const JMICRON: Vendor = Vendor {
    format: Format::JMicron,
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

const MAGIC: u64 = u16::from_le_bytes(*b"JM") as u64;
const DISKS_MAX: u32 = 8;
/// The lowest bits of an identity tell something else.
const ID_MASK: u64 = 0xffff_fff0;
const RECORD_BYTES: usize = 128;
const BAD: u64 = 4;
const OUT_OF_SYNC: u64 = 0x20;
/// What tells a disk that is being filled from the one that it will be.
const NOT_YET: u64 = 0x8000_0000;
const LEVELS: [(Arrangement, u64); 5] = [
    (Arrangement::Stripe, 0),
    (Arrangement::Mirror, 1),
    (Arrangement::StripedPairs, 2),
    (Arrangement::Span, 3),
    (Arrangement::Raid5(Raid5Layout::LeftAsymmetric), 5),
];

fn parse(record: &[u8], _: Sectors) -> Result<Claim, Refusal> {
    magic(SIGNATURE, record, MAGIC)?;
    let sum = word_sum(record.get(..RECORD_BYTES).unwrap_or(&[]), 2) & 0xffff;
    if sum > 1 {
        let found = CHECKSUM.get(record);
        return Err(Refusal::Checksum { offset: CHECKSUM.offset(), found, expected: found.wrapping_sub(sum) & 0xffff });
    }
    let arrangement = arrangement(&LEVELS, TYPE, record)?;
    let offset = OFFSET.get(record);
    if offset != 0 {
        return Err(OFFSET.refusal(offset, "the unit of an offset of the data is not known"));
    }
    let disks = || (0..DISKS_MAX).map(|index| DISK.at(index * 4).get(record));
    let members = count(DISK, disks().take_while(|id| *id != 0).count() as u64, 8)?;
    let own = DISK_ID.get(record) & ID_MASK;
    let index = disks().position(|id| id & ID_MASK == own).and_then(|index| u16::try_from(index).ok());
    let chunk = match arrangement {
        Arrangement::Mirror | Arrangement::Span => Sectors(0),
        _ => Sectors(2 << STRIPE.get(record).min(32)),
    };
    let used = SECTORS_HIGH.get(record) << 16 | SECTORS_LOW.get(record);
    let ids = || disks().take(usize::from(members)).map(counted);
    let array = ids().fold(0, |sum: u64, (_, id)| sum.rotate_left(7) ^ (id & ID_MASK));
    Ok(Claim {
        array: identity(&[array]),
        events: ids().map(|(count, _)| count).sum(),
        name: name(NAME.slice(record)),
        index: index.filter(|index| *index < members),
        chunk,
        used: Sectors(used),
        dirty: FLAGS.get(record) & OUT_OF_SYNC != 0,
        ..Claim::new(Format::JMicron, arrangement, members, 0)
    })
}

fn make(plan: &Plan<'_>, record: &mut [u8]) -> Result<(), Unfit> {
    let spec = plan.spec;
    if u32::from(spec.members) > DISKS_MAX {
        return Err(Unfit::Members);
    }
    let shift = if spec.chunk.0 < 2 { 0 } else { spec.chunk.0.ilog2() - 1 };
    let id = |slot: u16| plan.disk_id(slot) & ID_MASK;
    let numbers = [
        (SIGNATURE, MAGIC),
        (VERSION, 1),
        (DISK_ID, id(plan.slot)),
        (SECTORS_HIGH, spec.used.0 >> 16),
        (SECTORS_LOW, spec.used.0 & 0xffff),
        (TYPE, plan.code(&LEVELS)?),
        (STRIPE, shift.into()),
        (FLAGS, 0x03),
    ];
    Place::put_all(record, &numbers);
    for slot in 0..spec.members {
        DISK.at(u32::from(slot) * 4).put(record, id(slot));
    }
    NAME.fill(record, spec.name.as_bytes());
    let sum = word_sum(record.get(..RECORD_BYTES).unwrap_or(&[]), 2);
    CHECKSUM.put(record, 0_u64.wrapping_sub(sum));
    Ok(())
}

fn disk(index: u16) -> Place {
    DISK.at(u32::from(index.min(7)) * 4)
}

/// The identity of a disk that is new stands in the table already: it was changed when the one before was shut out.
fn seat(record: &mut [u8], index: u16, _: Sectors) {
    DISK_ID.put(record, disk(index).get(record));
}

/// A disk that is being filled does not bear the identity in the table yet: it counts as a spare.
fn tell(record: &mut [u8], told: &Told) {
    let sum = |record: &[u8]| word_sum(record.get(..RECORD_BYTES).unwrap_or(&[]), 2);
    let before = sum(record) & 1;
    if let Some(gone) = told.shut_out {
        disk(gone).put(record, raised(disk(gone).get(record), 1 << ID_MASK.trailing_zeros()));
    }
    let own = disk(told.index).get(record);
    let (spare, whole) = (own ^ NOT_YET, told.mark.is_none());
    let id = if whole { own } else { spare };
    // Its lowest bits may be other than the table's.
    if DISK_ID.get(record) & ID_MASK != id & ID_MASK {
        DISK_ID.put(record, id);
    }
    if !whole {
        SPARE.put(record, spare);
    } else if SPARE.get(record) == spare {
        SPARE.put(record, 0);
    }
    flag(FLAGS, record, BAD, told.is_degraded());
    flag(FLAGS, record, OUT_OF_SYNC, told.dirty);
    CHECKSUM.put(record, 0);
    let rest = sum(record);
    CHECKSUM.put(record, before.wrapping_sub(rest));
}
