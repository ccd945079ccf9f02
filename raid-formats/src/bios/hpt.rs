//! HighPoint 37x and 45x: one sector each, the tenth of the disk, and the eleventh from its end.
//!
//! Source: DragonFly BSD's `sys/dev/disk/nata/ata-raid.h`, dmraid's `lib/format/ataraid/hpt37x.h` and `hpt45x.h`. The older
//! format leaves its record in front of the data, so the data of all disks but the first start behind it. Which disks of
//! the older one's stripes of mirrors are the same, and how RAID 5 rotates, is not known: both are refused.

use super::claim::{Arrangement, Claim, Refusal, identity, name};
use super::place::Place;
use super::vendor::{
    Plan, Told, Unfit, Vendor, arrangement, byte_sum, checksum, count, counted, flag, from_end, known, magic, raised,
};
use crate::record::Format;
use raid_core::{Sector, Sectors};

const DISKS_MAX: u16 = 16;

mod v37 {
    use super::Place;

    pub(super) const MAGIC: Place = Place::le("magic", 32, 4, "0x5a7816f0 good, 0x5a7816fd bad").hex();
    pub(super) const SET: Place = Place::le("magic_0", 36, 4, "identity of the array; zero for a spare").hex();
    pub(super) const ARRAY: Place = Place::le("magic_1", 40, 4, "").hex();
    pub(super) const ORDER: Place = Place::le("order", 44, 4, "1 half of a mirror, or RAID 0; 2 and 4 in order").hex();
    pub(super) const WIDTH: Place = Place::le("raid_disks", 48, 1, "disks");
    pub(super) const SHIFT: Place = Place::le("raid0_shift", 49, 1, "power of two of a chunk's sectors");
    pub(super) const TYPE: Place = Place::le("type", 50, 1, "0 RAID 0, 1 RAID 1, 2 and 7 RAID 0+1, 3 span, 5 RAID 5");
    pub(super) const INDEX: Place = Place::le("disk_number", 51, 1, "this disk's number");
    pub(super) const TOTAL: Place = Place::le("total_secs", 52, 4, "sectors of the array");
    pub(super) const MODE: Place = Place::le("disk_mode", 56, 4, "").hex();
    pub(super) const BOOT: Place = Place::le("boot_mode", 60, 4, "").hex();
    pub(super) const REBUILD: Place = Place::le("rebuild_lba", 468, 4, "rebuilt below here");
    pub(super) const NAME: Place = Place::text("array_name", 473, 15, "name of the array");
    pub(super) const FIELDS: [Place; 13] =
        [MAGIC, SET, ARRAY, ORDER, WIDTH, SHIFT, TYPE, INDEX, TOTAL, MODE, BOOT, REBUILD, NAME];
}

pub(super) const HPT37X: Vendor = Vendor {
    format: Format::Hpt37x,
    head_bytes: 512,
    rest: None,
    place: |medium, index| Some(Sector(9)).filter(|place| index == 0 && place.0 < medium.0),
    copies: 1,
    fields: &v37::FIELDS,
    parse: parse37,
    make: make37,
    seat: |record, index, _| v37::INDEX.put(record, index.into()),
    // No array of it is written to.
    tell: |_, _| {},
    dirty: false,
    unwritable: Some(
        "the first disk's record lies among its data, in the array's tenth sector, and a write there would destroy it",
    ),
};

const GOOD_37: u64 = 0x5a78_16f0;
const GOOD_45: u64 = 0x5a78_16f3;
const BAD: u64 = 0x5a78_16fd;
/// First sector behind the record.
pub(super) const BEHIND: u64 = 10;
const LEVELS_37: [(Arrangement, u64); 2] = [(Arrangement::Stripe, 0), (Arrangement::Mirror, 1)];
const LEVELS_45: [(Arrangement, u64); 2] = [(Arrangement::Stripe, 5), (Arrangement::Mirror, 6)];

fn data_at(index: u16) -> Sector {
    Sector(if index == 0 { 0 } else { BEHIND })
}

fn parse37(record: &[u8], _: Sectors) -> Result<Claim, Refusal> {
    let bad = v37::MAGIC.get(record) == BAD;
    if !bad {
        magic(v37::MAGIC, record, GOOD_37)?;
    }
    let arrangement = arrangement(&LEVELS_37, v37::TYPE, record)?;
    let members = count(v37::WIDTH, v37::WIDTH.get(record), DISKS_MAX)?;
    let index = u16::try_from(v37::INDEX.get(record)).unwrap_or(u16::MAX);
    let set = v37::SET.get(record);
    let striped = arrangement == Arrangement::Stripe;
    Ok(Claim {
        array: identity(&[set]),
        name: name(v37::NAME.slice(record)),
        index: (set != 0 && index < members).then_some(index),
        failed: bad,
        chunk: Sectors(if striped { 1 << v37::SHIFT.get(record).min(32) } else { 0 }),
        data_at: data_at(index),
        ..Claim::new(Format::Hpt37x, arrangement, members, index)
    }
    .sized(v37::TOTAL.get(record)))
}

fn make37(plan: &Plan<'_>, record: &mut [u8]) -> Result<(), Unfit> {
    let spec = plan.spec;
    if spec.members > DISKS_MAX || spec.arrangement == Arrangement::Mirror && spec.members != 2 {
        return Err(Unfit::Members);
    }
    if data_at(plan.index()).0.saturating_add(spec.used.0) > plan.medium.0 {
        return Err(Unfit::Size);
    }
    let numbers = [
        (v37::MAGIC, GOOD_37),
        (v37::SET, spec.set | 1),
        (v37::ORDER, 7),
        (v37::WIDTH, spec.members.into()),
        (v37::SHIFT, spec.chunk.0.max(1).ilog2().into()),
        (v37::TYPE, plan.code(&LEVELS_37)?),
        (v37::INDEX, plan.index().into()),
        (v37::TOTAL, u32::try_from(plan.array_sectors()).map_err(|_| Unfit::Size)?.into()),
    ];
    Place::put_all(record, &numbers);
    v37::NAME.fill(record, spec.name.as_bytes());
    Ok(())
}

mod v45 {
    use super::Place;

    pub(super) const MAGIC: Place = Place::le("magic", 0, 4, "0x5a7816f3 good, 0x5a7816fd bad").hex();
    pub(super) const SET: Place = Place::le("magic_0", 4, 4, "identity of the array").hex();
    pub(super) const CHECKSUM: Place = Place::le("checksum_0", 8, 1, "makes the sum of the first 144 bytes zero").hex();
    pub(super) const MODE: Place = Place::le("mode", 9, 1, "").hex();
    pub(super) const LEVELS: Place = Place::le("configs", 11, 1, "levels, one over the other");
    pub(super) const TOTAL: Place = Place::le("configs[0].total_sectors", 12, 4, "sectors of the array");
    pub(super) const TYPE: Place =
        Place::le("configs[0].type", 16, 1, "0 spare, 3 single, 4 span, 5 RAID 0, 6 RAID 1, 8 RAID 5");
    pub(super) const DISKS: Place = Place::le("configs[0].total_disks", 17, 1, "disks, or parts of the level below");
    pub(super) const INDEX: Place = Place::le("configs[0].disk_number", 18, 1, "which of them this disk belongs to");
    pub(super) const SHIFT: Place = Place::le("configs[0].stripe_shift", 19, 1, "power of two of a chunk's sectors");
    pub(super) const STATUS: Place = Place::le("configs[0].status", 20, 2, "1 being rebuilt").hex();
    pub(super) const CRITICAL: Place = Place::le("configs[0].critical_disks", 22, 2, "").hex();
    pub(super) const REBUILD: Place = Place::le("configs[0].rebuild_lba", 24, 4, "rebuilt below here");
    pub(super) const NAME: Place = Place::text("name", 44, 16, "name of the array");
    pub(super) const TIME: Place = Place::le("timestamp", 60, 4, "");
    pub(super) const DESCRIPTION: Place = Place::text("description", 64, 64, "");
    pub(super) const CREATOR: Place = Place::text("creator", 128, 16, "");
    pub(super) const TOTAL_HIGH: Place = Place::le("configs_high[0].total_sectors", 148, 4, "high word of the sectors");
    /// Bytes to the second level.
    pub(super) const NEXT: u32 = 16;
    pub(super) const FIELDS: [Place; 23] = [
        MAGIC,
        SET,
        CHECKSUM,
        MODE,
        LEVELS,
        TOTAL,
        TYPE,
        DISKS,
        INDEX,
        SHIFT,
        STATUS,
        CRITICAL,
        REBUILD,
        TOTAL.at(NEXT),
        TYPE.at(NEXT),
        DISKS.at(NEXT),
        INDEX.at(NEXT),
        SHIFT.at(NEXT),
        NAME,
        TIME,
        DESCRIPTION,
        CREATOR,
        TOTAL_HIGH,
    ];
}

pub(super) const HPT45X: Vendor = Vendor {
    format: Format::Hpt45x,
    head_bytes: 512,
    rest: None,
    place: |medium, index| from_end(medium, 11).filter(|_| index == 0),
    copies: 1,
    fields: &v45::FIELDS,
    parse: parse45,
    make: make45,
    seat: seat45,
    tell: tell45,
    dirty: true,
    unwritable: None,
};

const SUMMED_45: usize = 144;
const REBUILDS: u64 = 1;

fn parse45(record: &[u8], _: Sectors) -> Result<Claim, Refusal> {
    let bad = v45::MAGIC.get(record) == BAD;
    if !bad {
        magic(v45::MAGIC, record, GOOD_45)?;
    }
    let own = v45::CHECKSUM.get(record);
    let sum = byte_sum(record.get(..SUMMED_45).unwrap_or(&[]));
    checksum(v45::CHECKSUM, record, own.wrapping_sub(sum) & 0xff)?;
    let level = |by: u32| known(&LEVELS_45, v45::TYPE.at(by).get(record));
    let (disks, index) = (v45::DISKS.get(record), v45::INDEX.get(record));
    let below = v45::INDEX.at(v45::NEXT).get(record);
    let (arrangement, members, index) = match (v45::LEVELS.get(record), level(0), level(v45::NEXT)) {
        (0 | 1, Some(level), _) => (level, disks, index),
        (2, Some(Arrangement::Stripe), Some(Arrangement::Mirror)) => {
            (Arrangement::StripedPairs, disks * 2, below + 2 * index)
        }
        _ => return Err(v45::TYPE.refusal(v45::TYPE.get(record), "an arrangement that is not known")),
    };
    let members = count(v45::DISKS, members, DISKS_MAX)?;
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    let chunk = if arrangement == Arrangement::Mirror { 0 } else { 1 << v45::SHIFT.get(record).min(32) };
    Ok(Claim {
        array: identity(&[counted(v45::SET.get(record)).1]),
        events: counted(v45::SET.get(record)).0,
        name: name(v45::NAME.slice(record)),
        index: (index < members).then_some(index),
        failed: bad,
        chunk: Sectors(chunk),
        dirty: v45::STATUS.get(record) & REBUILDS != 0,
        ..Claim::new(Format::Hpt45x, arrangement, members, index)
    }
    .sized(v45::TOTAL.get(record) | v45::TOTAL_HIGH.get(record) << 32))
}

fn make45(plan: &Plan<'_>, record: &mut [u8]) -> Result<(), Unfit> {
    let (spec, index) = (plan.spec, u64::from(plan.index()));
    let pairs = spec.arrangement == Arrangement::StripedPairs;
    let members = u64::from(spec.members);
    if spec.members > DISKS_MAX {
        return Err(Unfit::Members);
    }
    let total = plan.array_sectors();
    let kind = if pairs { LEVELS_45[0].1 } else { plan.code(&LEVELS_45)? };
    let numbers = [
        (v45::MAGIC, GOOD_45),
        (v45::SET, counted(spec.set).1),
        (v45::LEVELS, if pairs { 2 } else { 1 }),
        (v45::TOTAL, total & 0xffff_ffff),
        (v45::TOTAL_HIGH, total >> 32),
        (v45::TYPE, kind),
        (v45::DISKS, if pairs { members / 2 } else { members }),
        (v45::INDEX, if pairs { index / 2 } else { index }),
        (v45::SHIFT, spec.chunk.0.max(1).ilog2().into()),
    ];
    Place::put_all(record, &numbers);
    if pairs {
        let next = [(v45::TOTAL, spec.used.0), (v45::TYPE, LEVELS_45[1].1), (v45::DISKS, 2), (v45::INDEX, index % 2)];
        Place::put_all(record, &next.map(|(place, value)| (place.at(v45::NEXT), value)));
    }
    v45::NAME.fill(record, spec.name.as_bytes());
    let sum = byte_sum(record.get(..SUMMED_45).unwrap_or(&[]));
    v45::CHECKSUM.put(record, 0_u64.wrapping_sub(sum));
    Ok(())
}

fn seat45(record: &mut [u8], index: u16, _: Sectors) {
    let index = u64::from(index);
    if v45::LEVELS.get(record) == 2 {
        Place::put_all(record, &[(v45::INDEX, index / 2), (v45::INDEX.at(v45::NEXT), index % 2)]);
    } else {
        v45::INDEX.put(record, index);
    }
}

/// Which disk is being rebuilt has no place but that disk's own word that it is bad.
fn tell45(record: &mut [u8], told: &Told) {
    v45::MAGIC.put(record, if told.mark.is_some() { BAD } else { GOOD_45 });
    flag(v45::STATUS, record, REBUILDS, told.dirty);
    if told.shut_out.is_some() {
        v45::SET.put(record, raised(v45::SET.get(record), 1));
    }
    let sum = byte_sum(record.get(..SUMMED_45).unwrap_or(&[]));
    v45::CHECKSUM.put(record, v45::CHECKSUM.get(record).wrapping_sub(sum));
}
