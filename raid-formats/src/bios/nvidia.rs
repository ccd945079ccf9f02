//! NVIDIA MediaShield: one sector, the last but one of each disk.
//!
//! Source: the structures that DragonFly BSD's `sys/dev/disk/nata/ata-raid.h` and dmraid's `lib/format/ataraid/nv.h` give; how FreeBSD's
//! `sys/geom/raid/md_nvidia.c` says that a disk is being rebuilt, and that it changes the signature when a disk is gone.

use super::claim::{Arrangement, Claim, Refusal, identity, name};
use super::place::Place;
use super::vendor::{
    Plan, Told, Unfit, Vendor, arrangement, checksum, chunk, complement, count, flag, from_end, magic, word_sum,
};
use crate::record::Format;
use raid_core::{Raid5Layout, Sectors};

const VENDOR_ID: Place = Place::le("vendor", 0, 8, "\"NVIDIA\" and two blanks").hex();
const SIZE: Place = Place::le("size", 8, 4, "words of 32 bits that the checksum covers");
const CHECKSUM: Place = Place::le("chksum", 12, 4, "makes the sum of the words zero").hex();
const VERSION: Place = Place::le("version", 16, 2, "100");
const UNIT: Place = Place::le("unitNumber", 18, 1, "this disk's number");
const CAPACITY: Place = Place::le("capacity", 20, 4, "sectors of the array");
const SECTOR_SIZE: Place = Place::le("sectorSize", 24, 4, "bytes of a sector");
const PRODUCT: Place = Place::text("productID", 28, 16, "name of the array");
const REVISION: Place = Place::text("productRevision", 44, 4, "");
const UNIT_FLAGS: Place = Place::le("unitFlags", 48, 4, "0x100 this disk is being rebuilt").hex();
const ARRAY_VERSION: Place = Place::le("array.version", 52, 4, "0x640044").hex();
const SIGNATURE_HIGH: Place = Place::be("array.signature[0..2]", 56, 8, "identity of the array").hex();
const SIGNATURE_LOW: Place = Place::be("array.signature[2..4]", 64, 8, "and its second half").hex();
const JOB: Place = Place::le("array.raidJobCode", 72, 1, "0 idle, 2 init, 3 rebuild, 4 upgrade, 5 sync");
const WIDTH: Place = Place::le("array.stripeWidth", 73, 1, "disks of data in a stripe");
const VOLUMES: Place = Place::le("array.totalVolumes", 74, 1, "disks");
const LEVEL: Place = Place::le("array.raidLevel", 76, 4, "0x80 RAID 0, 0x81 1, 0x8180 0+1, 0x95 and 0x85 5").hex();
const STRIP: Place = Place::le("array.stripeBlockSize", 80, 4, "sectors of a chunk");
const STRIP_BYTES: Place = Place::le("array.stripeBlockByteSize", 84, 4, "bytes of a chunk");
const STRIP_LOG: Place = Place::le("array.stripeBlockPower", 88, 4, "power of two of the chunk's sectors");
const STRIP_MASK: Place = Place::le("array.stripeMask", 92, 4, "").hex();
const STRIPE: Place = Place::le("array.stripeSize", 96, 4, "sectors of a stripe's data");
const STRIPE_BYTES: Place = Place::le("array.stripeByteSize", 100, 4, "bytes of a stripe's data");
const JOB_MARK: Place = Place::le("array.raidJobMark", 104, 4, "sector up to which the job is through");
const FLAGS: Place = Place::le("array.flags", 116, 4, "1 boot, 2 degraded, 4 parity valid").hex();

const FIELDS: [Place; 25] = [
    VENDOR_ID,
    SIZE,
    CHECKSUM,
    VERSION,
    UNIT,
    CAPACITY,
    SECTOR_SIZE,
    PRODUCT,
    REVISION,
    UNIT_FLAGS,
    ARRAY_VERSION,
    SIGNATURE_HIGH,
    SIGNATURE_LOW,
    JOB,
    WIDTH,
    VOLUMES,
    LEVEL,
    STRIP,
    STRIP_BYTES,
    STRIP_LOG,
    STRIP_MASK,
    STRIPE,
    STRIPE_BYTES,
    JOB_MARK,
    FLAGS,
];

pub(super) const NVIDIA: Vendor = Vendor {
    format: Format::Nvidia,
    head_bytes: 512,
    rest: None,
    place: |medium, index| from_end(medium, 2).filter(|_| index == 0),
    copies: 1,
    fields: &FIELDS,
    parse,
    make,
    seat: |record, index, _| UNIT.put(record, index.into()),
    tell,
    dirty: true,
    unwritable: None,
};

const MAGIC: u64 = u64::from_le_bytes(*b"NVIDIA  ");
const LEVELS: [(Arrangement, u64); 5] = [
    (Arrangement::Stripe, 0x80),
    (Arrangement::Mirror, 0x81),
    (Arrangement::MirroredStripes, 0x8180),
    (Arrangement::Raid5(Raid5Layout::LeftSymmetric), 0x95),
    (Arrangement::Raid5(Raid5Layout::LeftAsymmetric), 0x85),
];
/// Words that a record has, and most that can be in a sector.
const WORDS: u64 = 30;
const WORDS_MAX: u64 = 128;
const IDLE: u64 = 0;
const REBUILDS: u64 = 3;
const SYNCS: u64 = 5;
const UNIT_REBUILDS: u64 = 0x100;
const DEGRADED: u64 = 2;
const PARITY_VALID: u64 = 4;
/// Of an array that lacks a disk, or has one that is being rebuilt: what the others hold agrees.
const VALID: u64 = DEGRADED | PARITY_VALID;

/// Disks by the number of data disks in a stripe.
const fn disks(arrangement: Arrangement, width: u64) -> u64 {
    match arrangement {
        Arrangement::Mirror | Arrangement::MirroredStripes | Arrangement::StripedPairs => width * 2,
        Arrangement::Raid5(_) => width + 1,
        Arrangement::Span | Arrangement::Stripe => width,
    }
}

fn parse(record: &[u8], _: Sectors) -> Result<Claim, Refusal> {
    magic(VENDOR_ID, record, MAGIC)?;
    let words = SIZE.get(record);
    if !(WORDS..=WORDS_MAX).contains(&words) {
        return Err(SIZE.refusal(words, "more or fewer words than a record has"));
    }
    let covered = record.get(..usize::try_from(words * 4).unwrap_or(0)).unwrap_or(&[]);
    let own = CHECKSUM.get(record);
    checksum(CHECKSUM, record, complement(word_sum(covered, 4).wrapping_sub(own), 32))?;
    let arrangement = arrangement(&LEVELS, LEVEL, record)?;
    let members = count(WIDTH, disks(arrangement, WIDTH.get(record)), 64)?;
    let chunk = if arrangement == Arrangement::Mirror { Sectors(0) } else { chunk(STRIP, STRIP.get(record))? };
    let index = u16::try_from(UNIT.get(record)).unwrap_or(u16::MAX);
    let (job, signature) = (JOB.get(record), SIGNATURE_LOW.get(record));
    let rebuilt = job == REBUILDS && UNIT_FLAGS.get(record) & UNIT_REBUILDS != 0;
    Ok(Claim {
        array: identity(&[SIGNATURE_HIGH.get(record), signature & !0xff]),
        events: signature & 0xff,
        name: name(PRODUCT.slice(record)),
        index: (index < members).then_some(index),
        chunk,
        // Of a rebuild that does not say so, all that it has not reached is in doubt.
        dirty: job == SYNCS || job == REBUILDS && FLAGS.get(record) & VALID != VALID,
        mark: rebuilt.then_some(Sectors(JOB_MARK.get(record) / WIDTH.get(record).max(1))),
        ..Claim::new(Format::Nvidia, arrangement, members, index)
    }
    .sized(CAPACITY.get(record)))
}

fn make(plan: &Plan<'_>, record: &mut [u8]) -> Result<(), Unfit> {
    let spec = plan.spec;
    let width = u64::from(spec.arrangement.data_disks(spec.members));
    let chunk = spec.chunk.0.max(1);
    let numbers = [
        (VENDOR_ID, MAGIC),
        (SIZE, WORDS),
        (VERSION, 100),
        (UNIT, plan.index().into()),
        (CAPACITY, u32::try_from(plan.array_sectors()).map_err(|_| Unfit::Size)?.into()),
        (SECTOR_SIZE, 512),
        (ARRAY_VERSION, 0x0064_0044),
        (SIGNATURE_HIGH, spec.set),
        (SIGNATURE_LOW, plan.disk_id(u16::MAX)),
        (WIDTH, width),
        (VOLUMES, spec.members.into()),
        (LEVEL, plan.code(&LEVELS)?),
        (STRIP, chunk),
        (STRIP_BYTES, chunk * 512),
        (STRIP_LOG, chunk.ilog2().into()),
        (STRIP_MASK, chunk - 1),
        (STRIPE, chunk * width),
        (STRIPE_BYTES, chunk * width * 512),
        (FLAGS, 4),
    ];
    Place::put_all(record, &numbers);
    PRODUCT.fill(record, spec.name.as_bytes());
    let covered = record.get(..120).unwrap_or(&[]);
    let sum = complement(word_sum(covered, 4), 32);
    CHECKSUM.put(record, sum);
    Ok(())
}

/// One field has both jobs; while a disk is rebuilt, the other says whether the rest agrees.
fn tell(record: &mut [u8], told: &Told) {
    let job = match (told.filling.is_empty(), told.dirty) {
        (false, _) => REBUILDS,
        (true, true) => SYNCS,
        (true, false) => IDLE,
    };
    let was_ours = [IDLE, REBUILDS, SYNCS].contains(&JOB.get(record));
    if was_ours || job != IDLE {
        JOB.put(record, job);
    }
    let mark = told.mark.map_or(0, |mark| mark.0.saturating_mul(WIDTH.get(record)));
    JOB_MARK.put(record, mark.min(u32::MAX.into()));
    flag(UNIT_FLAGS, record, UNIT_REBUILDS, told.mark.is_some());
    flag(FLAGS, record, DEGRADED, told.is_degraded());
    flag(FLAGS, record, PARITY_VALID, !told.dirty);
    if told.shut_out.is_some() {
        // The last byte counts.
        SIGNATURE_LOW.put(record, SIGNATURE_LOW.get(record).wrapping_add(1));
    }
    let covered = record.get(..usize::try_from(SIZE.get(record) * 4).unwrap_or(0)).unwrap_or(&[]);
    let sum = word_sum(covered, 4).wrapping_sub(CHECKSUM.get(record));
    CHECKSUM.put(record, complement(sum, 32));
}
