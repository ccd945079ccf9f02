//! Adaptec HostRAID: a reserved block in the last sector points to a table of arrays and disks, the same on all disks. Big-endian.
//!
//! Source: dmraid's `lib/format/ataraid/asr.h` (Adaptec's own), DragonFly BSD's `sys/dev/disk/nata/ata-raid.h`. An entry for an
//! array is followed by those of its disks. Arrays of arrays, and how RAID 5 rotates, are not known: both are refused.

use super::claim::{Arrangement, Claim, Refusal, identity, name};
use super::place::Place;
use super::vendor::{
    Plan, Told, Unfit, Vendor, arrangement, byte_sum, checksum, chunk, column, count, last, magic, raised,
};
use crate::record::Format;
use raid_core::{Sector, Sectors};

const B0: Place = Place::be("rb.b0idcode", 0, 4, "0x37fc4d1e").hex();
const VERSION: Place = Place::be("rb.resver", 63, 1, "8");
const DRIVE: Place = Place::be("rb.drivemagic", 64, 4, "this disk's key in the table").hex();
const DPTM: Place = Place::be("rb.smagic", 256, 4, "\"DPTM\"").hex();
const TABLE_AT: Place = Place::be("rb.raidtbl", 260, 4, "sector of the table");
/// The table stands behind the reserved block in the buffer.
const TABLE: u32 = 512;
const ID: Place = Place::be("rt.ridcode", TABLE, 4, "0x900765c4").hex();
const TABLE_VERSION: Place = Place::be("rt.rversion", TABLE + 4, 4, "");
const MOST: Place = Place::be("rt.maxelm", TABLE + 8, 2, "entries that there is room for");
const COUNT: Place = Place::be("rt.elmcnt", TABLE + 10, 2, "entries");
const SIZE: Place = Place::be("rt.elmsize", TABLE + 12, 2, "64");
const CHECKSUM: Place = Place::be("rt.rchksum", TABLE + 14, 2, "sum of the bytes of the entries").hex();
const FLAGS: Place = Place::be("rt.raidFlags", TABLE + 24, 4, "").hex();
const TIME: Place = Place::be("rt.timestamp", TABLE + 28, 4, "");
const DIRTY: Place = Place::be("rt.dirty", TABLE + 33, 1, "3 dirty");
const ENTRY: Place = Place::bytes("ent[0]", TABLE + 64, 64, "arrays, each followed by its disks");
const MEMBERS: Place = Place::be("ent.raidcnt", TABLE + 64, 2, "disks");
const SEQUENCE: Place = Place::be("ent.raidseq", TABLE + 66, 2, "");
const KEY: Place = Place::be("ent.raidmagic", TABLE + 68, 4, "identity of the array, key of the disk").hex();
const LEVEL: Place =
    Place::be("ent.raidlevel", TABLE + 72, 1, "0 a disk, 1 an array, 2 the system's, 3 an array of arrays");
const TYPE: Place = Place::be("ent.raidtype", TABLE + 73, 1, "0, 1, 5; 0xfe spare");
const STATE: Place =
    Place::be("ent.raidstate", TABLE + 74, 1, "0 in order, 1 degraded, 2 being rebuilt, 3 failed, 4 replaced");
const HBA: Place = Place::be("ent.raidhba", TABLE + 77, 1, "");
const CHANNEL: Place = Place::be("ent.raidchnl", TABLE + 78, 1, "");
const LUN: Place = Place::be("ent.raidlun", TABLE + 79, 1, "");
const DISK: Place = Place::be("ent.raidid", TABLE + 80, 4, "");
const OFFSET: Place = Place::be("ent.loffset", TABLE + 84, 4, "first sector of the data");
const CAPACITY: Place = Place::be("ent.lcapcty", TABLE + 88, 4, "sectors");
const STRIPE: Place = Place::be("ent.strpsize", TABLE + 92, 2, "sectors of a chunk");
const NAME: Place = Place::text("ent.name", TABLE + 112, 16, "name of the array");

const FIELDS: [Place; 18] = [
    B0,
    VERSION,
    DRIVE,
    DPTM,
    TABLE_AT,
    ID,
    TABLE_VERSION,
    MOST,
    COUNT,
    SIZE,
    CHECKSUM,
    FLAGS,
    TIME,
    DIRTY,
    ENTRY,
    ENTRY.at(64),
    ENTRY.at(128),
    ENTRY.at(192),
];

pub(super) const ASR: Vendor = Vendor {
    format: Format::Asr,
    head_bytes: 512,
    rest: Some((TABLE_BYTES, |head| (B0.get(head) == B0_MAGIC).then(|| Sector(TABLE_AT.get(head))))),
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

pub(super) const TABLE_BYTES: usize = 8192;
const B0_MAGIC: u64 = 0x37fc_4d1e;
/// Sectors from the table to the end of the disk.
pub(super) const TABLE_BEFORE_END: u64 = 17;
const ENTRY_BYTES: u32 = 64;
const ENTRIES_MAX: u64 = 127;
const ARRAY: u64 = 1;
const SPARE: u64 = 0xfe;
const IN_ORDER: u64 = 0;
const DEGRADED: u64 = 1;
const REBUILT: u64 = 2;
const FAILED: u64 = 3;
const IS_DIRTY: u64 = 3;
const DISKS_MAX: u16 = 16;
const LEVELS: [(Arrangement, u64); 2] = [(Arrangement::Stripe, 0), (Arrangement::Mirror, 1)];

/// Where a disk was attached: what disks of an array are ordered by.
fn location(record: &[u8], by: u32) -> [u64; 4] {
    [HBA, CHANNEL, LUN, DISK].map(|field| field.at(by).get(record))
}

/// Bytes to the n-th entry.
fn at(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(0).saturating_mul(ENTRY_BYTES)
}

fn is_disk(record: &[u8], number: u64) -> bool {
    LEVEL.at(at(number)).get(record) == 0
}

/// This disk's entry and its array's.
fn own(record: &[u8]) -> Result<(u64, u64), Refusal> {
    let drive = DRIVE.get(record);
    let is_own = |number: &u64| is_disk(record, *number) && KEY.at(at(*number)).get(record) == drive;
    let own = (0..COUNT.get(record).min(ENTRIES_MAX)).find(is_own);
    let own = own.ok_or_else(|| DRIVE.refusal(drive, "no disk of the table has this key"))?;
    let array = (0..own).rev().find(|number| !is_disk(record, *number));
    Ok((own, array.ok_or_else(|| COUNT.refusal(own, "the disk's entry follows no array's"))?))
}

/// The entries of an array's disks.
fn siblings(record: &[u8], array: u64) -> impl Iterator<Item = u64> + Clone {
    (array + 1..COUNT.get(record).min(ENTRIES_MAX)).take_while(|number| is_disk(record, *number))
}

/// The number that a disk has in its array: disks are ordered by where they were attached.
fn rank(record: &[u8], array: u64, disk: u64) -> u64 {
    let place = |number: u64| (location(record, at(number)), number);
    siblings(record, array).filter(|number| place(*number) < place(disk)).count() as u64
}

fn sum(record: &[u8]) -> u64 {
    let first = TABLE as usize + 64;
    let entries = usize::try_from(COUNT.get(record).min(ENTRIES_MAX)).unwrap_or(0);
    byte_sum(record.get(first..first + entries * ENTRY_BYTES as usize).unwrap_or(&[])) & 0xffff
}

fn parse(record: &[u8], _: Sectors) -> Result<Claim, Refusal> {
    magic(B0, record, B0_MAGIC)?;
    magic(DPTM, record, 0x4450_544d)?;
    magic(ID, record, 0x9007_65c4)?;
    let entries = COUNT.get(record);
    if entries > ENTRIES_MAX || SIZE.get(record) != u64::from(ENTRY_BYTES) {
        return Err(COUNT.refusal(entries, "more entries than there is room for, or entries of another size"));
    }
    checksum(CHECKSUM, record, sum(record))?;
    let (own, first) = own(record)?;
    let (disk, array) = (at(own), at(first));
    let level = LEVEL.at(array).get(record);
    if level != ARRAY {
        return Err(LEVEL.refusal(level, "an array that is not made of disks"));
    }
    let arrangement = arrangement(&LEVELS, TYPE.at(array), record)?;
    let members = count(MEMBERS, MEMBERS.at(array).get(record), DISKS_MAX)?;
    let (before, state) = (rank(record, first, own), STATE.at(disk).get(record));
    let index = u16::try_from(before).unwrap_or(u16::MAX);
    let failed = siblings(record, first).filter(|number| STATE.at(at(*number)).get(record) == FAILED);
    let down = failed.filter_map(|number| column(rank(record, first, number))).collect();
    let stripe = STRIPE.at(array).get(record);
    let spare = TYPE.at(disk).get(record) == SPARE || index >= members;
    Ok(Claim {
        array: identity(&[KEY.at(array).get(record)]),
        name: name(NAME.at(array).slice(record)),
        index: (!spare).then_some(index),
        failed: state == FAILED,
        chunk: if arrangement == Arrangement::Mirror { Sectors(0) } else { chunk(STRIPE, stripe)? },
        data_at: Sector(OFFSET.at(disk).get(record)),
        used: Sectors(CAPACITY.at(disk).get(record)),
        events: TIME.get(record),
        dirty: DIRTY.get(record) == IS_DIRTY,
        mark: (state == REBUILT).then_some(Sectors(0)),
        down,
        ..Claim::new(Format::Asr, arrangement, members, index)
    })
}

fn make(plan: &Plan<'_>, record: &mut [u8]) -> Result<(), Unfit> {
    let spec = plan.spec;
    if spec.members > DISKS_MAX {
        return Err(Unfit::Members);
    }
    let key = |slot: u16| plan.disk_id(slot) & 0xffff_ffff;
    let table_at = plan.medium.0.checked_sub(TABLE_BEFORE_END).filter(|at| spec.used.0 <= *at).ok_or(Unfit::Size)?;
    let used = u32::try_from(spec.used.0).map_err(|_| Unfit::Size)?;
    let total = u32::try_from(plan.array_sectors()).map_err(|_| Unfit::Size)?;
    let stripe = u16::try_from(spec.chunk.0).map_err(|_| Unfit::Chunk)?;
    let entries = u64::from(spec.members) + 1;
    let numbers = [
        (B0, B0_MAGIC),
        (VERSION, 8),
        (DRIVE, key(plan.slot)),
        (DPTM, 0x4450_544d),
        (TABLE_AT, u32::try_from(table_at).map_err(|_| Unfit::Size)?.into()),
        (ID, 0x9007_65c4),
        (TABLE_VERSION, 2),
        (MOST, ENTRIES_MAX),
        (COUNT, entries),
        (SIZE, ENTRY_BYTES.into()),
        (TIME, 1),
        (MEMBERS, spec.members.into()),
        (KEY, spec.set),
        (LEVEL, ARRAY),
        (TYPE, plan.code(&LEVELS)?),
        (CAPACITY, total.into()),
        (STRIPE, stripe.into()),
    ];
    Place::put_all(record, &numbers);
    NAME.fill(record, spec.name.as_bytes());
    for slot in 0..spec.members {
        let by = (u32::from(slot) + 1) * ENTRY_BYTES;
        let disk = [
            (MEMBERS, 0),
            (SEQUENCE, slot.into()),
            (KEY, key(slot)),
            (TYPE, plan.code(&LEVELS)?),
            (CHANNEL, slot.into()),
            (CAPACITY, used.into()),
            (STRIPE, stripe.into()),
        ];
        Place::put_all(record, &disk.map(|(place, value)| (place.at(by), value)));
    }
    CHECKSUM.put(record, sum(record));
    Ok(())
}

/// The key of a disk that is new stands in the table already: it was changed when the one before was shut out.
fn seat(record: &mut [u8], index: u16, medium: Sectors) {
    let Ok((_, array)) = own(record) else { return };
    let entry = siblings(record, array).find(|number| rank(record, array, *number) == u64::from(index));
    let key = entry.map_or(0, |number| KEY.at(at(number)).get(record));
    Place::put_all(record, &[(DRIVE, key), (TABLE_AT, medium.0.saturating_sub(TABLE_BEFORE_END))]);
}

fn tell(record: &mut [u8], told: &Told) {
    let Ok((_, array)) = own(record) else { return };
    for number in (array + 1..).take(siblings(record, array).count()) {
        let (state, index) = (STATE.at(at(number)), u16::try_from(rank(record, array, number)).unwrap_or(u16::MAX));
        let was_said = [FAILED, REBUILT].contains(&state.get(record)) && index < told.members;
        match (told.is_missing(index), told.is_filling(index)) {
            (true, _) => state.put(record, FAILED),
            (false, true) => state.put(record, REBUILT),
            // What else a controller may say of a disk stays.
            (false, false) if was_said => state.put(record, IN_ORDER),
            (false, false) => {}
        }
        if told.shut_out == Some(index) {
            let key = KEY.at(at(number));
            key.put(record, raised(key.get(record), 1));
        }
    }
    let state = STATE.at(at(array));
    match (told.is_degraded(), state.get(record)) {
        (true, IN_ORDER) => state.put(record, DEGRADED),
        (false, DEGRADED) => state.put(record, IN_ORDER),
        _ => {}
    }
    match (told.dirty, DIRTY.get(record)) {
        (true, _) => DIRTY.put(record, IS_DIRTY),
        (false, IS_DIRTY) => DIRTY.put(record, 0),
        (false, _) => {}
    }
    if told.shut_out.is_some() {
        TIME.put(record, TIME.get(record).wrapping_add(1));
    }
    CHECKSUM.put(record, sum(record));
}
