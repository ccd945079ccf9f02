//! LSI MegaRAID, the old software form: the last sector of each disk holds a table of arrays and one of disks.
//!
//! Source: DragonFly BSD's `sys/dev/disk/nata/ata-raid.h` and dmraid's `lib/format/ataraid/lsi.h`, whose view of the tables is a fixed one:
//! here they are of variable length. How stripes and mirrors are combined and how RAID 5 rotates is told nowhere: both are refused.

use super::claim::{Arrangement, Claim, Refusal, identity};
use super::place::Place;
use super::vendor::{Plan, Told, Unfit, Vendor, arrangement, chunk, column, count, flag, last, magic};
use crate::record::Format;
use raid_core::Sectors;

const SIGNATURE: Place = Place::le("lsi_id", 0, 6, "\"$XIDE$\"").hex();
const SEQUENCE: Place = Place::le("flags", 7, 1, "the higher, the newer");
const VERSION: Place = Place::le("version", 8, 2, "").hex();
const ENTRIES: Place = Place::le("config_entries", 10, 1, "arrays and disks in the tables");
const RAIDS: Place = Place::le("raid_count", 11, 1, "arrays");
const DISKS: Place = Place::le("total_disks", 12, 1, "disks");
const RAID_TYPE: Place = Place::le("raid.type", 16, 1, "1 RAID 0, 2 RAID 1, 3 RAID 10, 8 other");
const RAID_STRIPE: Place = Place::le("raid.stripe_size", 18, 2, "sectors of a chunk");
const RAID_WIDTH: Place = Place::le("raid.array_width", 20, 1, "disks of a stripe");
const RAID_DISKS: Place = Place::le("raid.disk_count", 21, 1, "disks");
const RAID_FIRST: Place = Place::le("raid.config_offset", 22, 1, "byte of the sector at which its first disk stands");
const RAID_FLAGS: Place = Place::le("raid.flags", 24, 1, "2 degraded").hex();
const RAID_TOTAL: Place = Place::le("raid.total_sectors", 25, 4, "sectors of the array");
const DISK_DEVICE: Place = Place::le("disk.device", 16, 1, "where it was attached; 0xff nowhere").hex();
const DISK_SECTORS: Place = Place::le("disk.disk_sectors", 18, 4, "sectors");
const DISK_INDEX: Place = Place::le("disk.disk_number", 22, 1, "its number in its array");
const DISK_RAID: Place = Place::le("disk.raid_number", 23, 1, "its array");
const DISK_FLAGS: Place = Place::le("disk.flags", 24, 1, "2 gone").hex();
const TABLES: Place = Place::bytes("configs", 16, 480, "arrays, then disks: 16 bytes each");
const OWN_DISK: Place = Place::le("disk_number", 496, 1, "this disk");
const OWN_RAID: Place = Place::le("raid_number", 497, 1, "its array");
const TIME: Place = Place::le("timestamp", 498, 4, "identity of the arrays").hex();

const FIELDS: [Place; 10] = [SIGNATURE, SEQUENCE, VERSION, ENTRIES, RAIDS, DISKS, TABLES, OWN_DISK, OWN_RAID, TIME];

pub(super) const LSI: Vendor = Vendor {
    format: Format::Lsi,
    head_bytes: 512,
    rest: None,
    place: last,
    copies: 1,
    fields: &FIELDS,
    parse,
    make,
    seat,
    tell,
    dirty: false,
    unwritable: None,
};

const MAGIC: u64 = u64::from_le_bytes(*b"$XIDE$\0\0");
const ENTRY: u64 = 16;
const ENTRIES_MAX: u64 = 30;
const GONE: u64 = 2;
const DEGRADED: u64 = 2;
const LEVELS: [(Arrangement, u64); 2] = [(Arrangement::Stripe, 1), (Arrangement::Mirror, 2)];

/// Bytes to the n-th entry.
fn entry(number: u64) -> u32 {
    u32::try_from(number.saturating_mul(ENTRY)).unwrap_or(u32::MAX)
}

/// Numbers of the entries of an array's disks.
fn disks_of(record: &[u8], own_raid: u64) -> impl Iterator<Item = u64> {
    let raids = RAIDS.get(record);
    let last = raids.saturating_add(DISKS.get(record)).min(ENTRIES_MAX);
    (raids..last).filter(move |number| DISK_RAID.at(entry(*number)).get(record) == own_raid)
}

fn parse(record: &[u8], _: Sectors) -> Result<Claim, Refusal> {
    magic(SIGNATURE, record, MAGIC)?;
    let (raids, own_disk, own_raid) = (RAIDS.get(record), OWN_DISK.get(record), OWN_RAID.get(record));
    if own_raid >= raids || raids.saturating_add(own_disk) >= ENTRIES_MAX {
        return Err(OWN_RAID.refusal(own_raid, "an array that its own table does not have"));
    }
    let (raid, disk) = (entry(own_raid), entry(raids + own_disk));
    let arrangement = arrangement(&LEVELS, RAID_TYPE.at(raid), record)?;
    let members = count(RAID_DISKS, RAID_DISKS.at(raid).get(record), 16)?;
    let index = u16::try_from(DISK_INDEX.at(disk).get(record)).unwrap_or(u16::MAX);
    if DISK_RAID.at(disk).get(record) != own_raid {
        return Err(DISK_RAID.refusal(DISK_RAID.at(disk).get(record), "the disk's entry names another array"));
    }
    let gone = |number: &u64| DISK_FLAGS.at(entry(*number)).get(record) & GONE != 0;
    let down = disks_of(record, own_raid).filter(gone);
    let down = down.filter_map(|number| column(DISK_INDEX.at(entry(number)).get(record))).collect();
    let stripe = RAID_STRIPE.at(raid).get(record);
    let chunk = if arrangement == Arrangement::Mirror { Sectors(0) } else { chunk(RAID_STRIPE, stripe)? };
    Ok(Claim {
        array: identity(&[TIME.get(record), own_raid]),
        index: (index < members).then_some(index),
        failed: DISK_FLAGS.at(disk).get(record) & GONE != 0,
        chunk,
        events: SEQUENCE.get(record),
        down,
        ..Claim::new(Format::Lsi, arrangement, members, index)
    }
    .sized(RAID_TOTAL.at(raid).get(record)))
}

fn make(plan: &Plan<'_>, record: &mut [u8]) -> Result<(), Unfit> {
    let spec = plan.spec;
    if spec.members > 16 {
        return Err(Unfit::Members);
    }
    let total = u32::try_from(plan.array_sectors()).map_err(|_| Unfit::Size)?;
    let numbers = [
        (SIGNATURE, MAGIC),
        (SEQUENCE, 1),
        (VERSION, 0x0200),
        (ENTRIES, u64::from(spec.members) + 1),
        (RAIDS, 1),
        (DISKS, spec.members.into()),
        (RAID_TYPE, plan.code(&LEVELS)?),
        (RAID_STRIPE, u16::try_from(spec.chunk.0).map_err(|_| Unfit::Chunk)?.into()),
        (RAID_WIDTH, spec.arrangement.data_disks(spec.members).into()),
        (RAID_DISKS, spec.members.into()),
        (RAID_FIRST, 32),
        (RAID_TOTAL, total.into()),
        (OWN_DISK, plan.index().into()),
        (TIME, spec.set),
    ];
    Place::put_all(record, &numbers);
    for disk in 0..spec.members {
        let at = entry(u64::from(disk) + 1);
        DISK_DEVICE.at(at).put(record, disk.into());
        DISK_SECTORS.at(at).put(record, spec.used.0);
        DISK_INDEX.at(at).put(record, disk.into());
    }
    Ok(())
}

fn seat(record: &mut [u8], index: u16, _: Sectors) {
    let (raids, own_raid) = (RAIDS.get(record), OWN_RAID.get(record));
    let disk = disks_of(record, own_raid).find(|number| DISK_INDEX.at(entry(*number)).get(record) == u64::from(index));
    OWN_DISK.put(record, disk.map_or(0, |disk| disk.saturating_sub(raids)));
}

/// A disk that is being filled is as good as gone to this format.
fn tell(record: &mut [u8], told: &Told) {
    let (raids, own_raid) = (RAIDS.get(record), OWN_RAID.get(record));
    for number in raids..raids.saturating_add(DISKS.get(record)).min(ENTRIES_MAX) {
        let at = entry(number);
        let index = u16::try_from(DISK_INDEX.at(at).get(record)).unwrap_or(u16::MAX);
        if DISK_RAID.at(at).get(record) == own_raid && index < told.members {
            flag(DISK_FLAGS.at(at), record, GONE, told.is_missing(index) || told.is_filling(index));
        }
    }
    flag(RAID_FLAGS.at(entry(own_raid)), record, DEGRADED, told.is_degraded());
    if told.shut_out.is_some() {
        let next = (TIME.get(record) << 8 | SEQUENCE.get(record)).wrapping_add(1);
        Place::put_all(record, &[(SEQUENCE, next & 0xff), (TIME, next >> 8)]);
    }
}
