//! Silicon Image Medley: one sector in four copies, 512 sectors apart, the first in the last sector. It begins as the disk's own
//! identification does.
//!
//! Source: FreeBSD's `sys/geom/raid/md_sii.c`, dmraid's `lib/format/ataraid/sil.h`.

use super::claim::{Arrangement, Claim, Refusal, identity, name};
use super::place::Place;
use super::vendor::{Plan, Told, Unfit, Vendor, arrangement, chunk, complement, count, from_end, known, word_sum};
use crate::record::Format;
use raid_core::{Raid5Layout, Sectors};

const MAGIC_WORD: Place = Place::le("magic", 96, 4, "0x2f000000; the highest six bits vary").hex();
const TOTAL: Place = Place::le("total_sectors", 108, 8, "sectors of the array");
const DISK_SECTORS: Place = Place::le("thisdisk_sectors", 120, 4, "sectors of this disk that are used");
const PRODUCT: Place = Place::le("product_id", 260, 2, "PCI identity of the controller").hex();
const VENDOR_ID: Place = Place::le("vendor_id", 262, 2, "").hex();
const MINOR: Place = Place::le("minor_ver", 264, 2, "");
const MAJOR: Place = Place::le("major_ver", 266, 2, "2");
const MADE: Place =
    Place::be("creation", 268, 6, "second, minute, hour, day, month, year: identity of the array").hex();
const STRIPE: Place = Place::le("raid0_stride", 274, 2, "sectors of a chunk");
const DISK: Place = Place::le("disk_number", 278, 1, "");
const TYPE: Place = Place::le("type", 279, 1, "0 RAID 0, 1 RAID 1, 2 RAID 0+1, 3 spare, 16 RAID 5, 255 single disks");
const STRIPED: Place = Place::le("drives_per_striped_set", 280, 1, "columns of the stripes");
const STRIPE_SET: Place =
    Place::le("striped_set_number", 281, 1, "which copy this disk belongs to; of RAID 0 and 5, its column");
const MIRRORED: Place = Place::le("drives_per_mirrored_set", 282, 1, "disks that hold the same");
const MIRROR_SET: Place = Place::le("mirrored_set_number", 283, 1, "which column it belongs to; of RAID 1, its copy");
const REBUILD: Place = Place::le("rebuild_ptr", 284, 8, "rebuilt below here");
const INCARNATION: Place = Place::le("incarnation_no", 292, 4, "the higher, the newer");
const MEMBER: Place = Place::le("member_status", 296, 1, "1 ready, 2 being rebuilt, 3 dropped, 4 removed");
const MIRROR_STATE: Place = Place::le("mirrored_set_state", 297, 1, "0 and 2 in order, 1 not in sync");
const LOCATION: Place = Place::le("reported_device_location", 298, 1, "");
const CHANNEL: Place = Place::le("channel", 299, 1, "");
const AUTO: Place = Place::le("auto_rebuild", 300, 1, "");
const NAME: Place = Place::text("text_type", 302, 16, "name of the array");
const CHECKSUM1: Place = Place::le("checksum1", 318, 2, "makes the sum of the words up to here zero").hex();
const CHECKSUM2: Place = Place::le("checksum2", 510, 2, "the sum of the words before is zero").hex();

const FIELDS: [Place; 25] = [
    MAGIC_WORD,
    TOTAL,
    DISK_SECTORS,
    PRODUCT,
    VENDOR_ID,
    MINOR,
    MAJOR,
    MADE,
    STRIPE,
    DISK,
    TYPE,
    STRIPED,
    STRIPE_SET,
    MIRRORED,
    MIRROR_SET,
    REBUILD,
    INCARNATION,
    MEMBER,
    MIRROR_STATE,
    LOCATION,
    CHANNEL,
    AUTO,
    NAME,
    CHECKSUM1,
    CHECKSUM2,
];

const COPIES: usize = 4;

pub(super) const SIL: Vendor = Vendor {
    format: Format::Sil,
    head_bytes: 512,
    rest: None,
    place: |medium, index| from_end(medium, 1 + 512 * index as u64).filter(|_| index < COPIES),
    copies: COPIES,
    fields: &FIELDS,
    parse,
    make,
    seat,
    tell,
    dirty: true,
    unwritable: None,
};

const MAGIC: u64 = 0x2f00_0000;
const MAGIC_MASK: u64 = 0x03ff_ffff;
const DISKS_MAX: u16 = 16;
const SPARE: u64 = 3;
const READY: u64 = 1;
const REBUILDS: u64 = 2;
const OUT_OF_SYNC: u64 = 1;
const IN_SYNC: u64 = 2;
const LEVELS: [(Arrangement, u64); 4] = [
    (Arrangement::Stripe, 0),
    (Arrangement::Mirror, 1),
    (Arrangement::StripedPairs, 2),
    (Arrangement::Raid5(Raid5Layout::LeftSymmetric), 16),
];

fn parse(record: &[u8], _: Sectors) -> Result<Claim, Refusal> {
    let found = MAGIC_WORD.get(record);
    if found & MAGIC_MASK != MAGIC & MAGIC_MASK {
        return Err(Refusal::NoMagic { offset: MAGIC_WORD.offset(), found, expected: MAGIC });
    }
    for (field, end) in [(CHECKSUM1, 320), (CHECKSUM2, 510)] {
        let sum = word_sum(record.get(..end).unwrap_or(&[]), 2) & 0xffff;
        if sum != 0 {
            let found = field.get(record);
            return Err(Refusal::Checksum {
                offset: field.offset(),
                found,
                expected: found.wrapping_sub(sum) & 0xffff,
            });
        }
    }
    let major = MAJOR.get(record);
    if major != 2 {
        return Err(MAJOR.refusal(major, "not the known version"));
    }
    if TYPE.get(record) == SPARE {
        let spare = Claim::new(Format::Sil, Arrangement::Mirror, 2, 0);
        return Ok(Claim { array: set(record), name: name(NAME.slice(record)), index: None, ..spare });
    }
    let arrangement = arrangement(&LEVELS, TYPE, record)?;
    let (striped, mirrored) = (STRIPE_SET.get(record), MIRROR_SET.get(record));
    let (members, index) = match arrangement {
        Arrangement::Mirror => (MIRRORED.get(record), mirrored),
        Arrangement::StripedPairs => (STRIPED.get(record).saturating_mul(2), striped.saturating_add(2 * mirrored)),
        _ => (STRIPED.get(record), striped),
    };
    let members = count(STRIPED, members, DISKS_MAX)?;
    let chunk = if arrangement == Arrangement::Mirror { Sectors(0) } else { chunk(STRIPE, STRIPE.get(record))? };
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    let (redundant, status) = (arrangement != Arrangement::Stripe, MEMBER.get(record));
    Ok(Claim {
        array: set(record),
        name: name(NAME.slice(record)),
        index: (index < members).then_some(index),
        failed: ![READY, REBUILDS].contains(&status),
        chunk,
        events: INCARNATION.get(record),
        dirty: redundant && MIRROR_STATE.get(record) == OUT_OF_SYNC,
        mark: (status == REBUILDS).then_some(Sectors(REBUILD.get(record))),
        ..Claim::new(Format::Sil, arrangement, members, index)
    }
    .sized(TOTAL.get(record)))
}

/// When the array was made, and by which controller, is all the identity there is.
fn set(record: &[u8]) -> crate::record::Uuid {
    identity(&[VENDOR_ID.get(record) << 16 | PRODUCT.get(record), MADE.get(record)])
}

fn make(plan: &Plan<'_>, record: &mut [u8]) -> Result<(), Unfit> {
    let (spec, index) = (plan.spec, u64::from(plan.index()));
    let members = u64::from(spec.members);
    let (striped, stripe_set, mirrored, mirror_set) = match spec.arrangement {
        Arrangement::Mirror => (1, 0, members, index),
        Arrangement::StripedPairs => (members / 2, index % 2, 2, index / 2),
        _ => (members, index, 1, 0),
    };
    // The copies take the last 1537 sectors.
    if spec.members > DISKS_MAX || spec.used.0.saturating_add(1537) > plan.medium.0 {
        return Err(if spec.members > DISKS_MAX { Unfit::Members } else { Unfit::Size });
    }
    let numbers = [
        (MAGIC_WORD, MAGIC),
        (TOTAL, plan.array_sectors()),
        (DISK_SECTORS, u32::try_from(spec.used.0).map_err(|_| Unfit::Size)?.into()),
        (PRODUCT, 0x3114),
        (VENDOR_ID, 0x1095),
        (MAJOR, 2),
        (MADE, spec.set),
        (STRIPE, u16::try_from(spec.chunk.0).map_err(|_| Unfit::Chunk)?.into()),
        (DISK, index),
        (TYPE, plan.code(&LEVELS)?),
        (STRIPED, striped),
        (STRIPE_SET, stripe_set),
        (MIRRORED, mirrored),
        (MIRROR_SET, mirror_set),
        (MIRROR_STATE, IN_SYNC),
        (INCARNATION, 1),
        (MEMBER, 1),
        (CHANNEL, index),
    ];
    Place::put_all(record, &numbers);
    NAME.fill(record, spec.name.as_bytes());
    CHECKSUM1.put(record, complement(word_sum(record.get(..318).unwrap_or(&[]), 2), 16));
    // The first sum is zero with its own word, so the second covers the words behind it alone.
    CHECKSUM2.put(record, word_sum(record.get(320..510).unwrap_or(&[]), 2));
    Ok(())
}

fn seat(record: &mut [u8], index: u16, _: Sectors) {
    let index = u64::from(index);
    Place::put_all(record, &[(DISK, index), (CHANNEL, index)]);
    match known(&LEVELS, TYPE.get(record)) {
        Some(Arrangement::Mirror) => MIRROR_SET.put(record, index),
        Some(Arrangement::StripedPairs) => Place::put_all(record, &[(STRIPE_SET, index % 2), (MIRROR_SET, index / 2)]),
        _ => STRIPE_SET.put(record, index),
    }
}

fn tell(record: &mut [u8], told: &Told) {
    match told.mark {
        Some(mark) => Place::put_all(record, &[(MEMBER, REBUILDS), (REBUILD, mark.0)]),
        None if MEMBER.get(record) == REBUILDS => Place::put_all(record, &[(MEMBER, READY), (REBUILD, 0)]),
        None => {}
    }
    if told.dirty || MIRROR_STATE.get(record) == OUT_OF_SYNC {
        MIRROR_STATE.put(record, if told.dirty { OUT_OF_SYNC } else { IN_SYNC });
    }
    if told.shut_out.is_some() {
        INCARNATION.put(record, INCARNATION.get(record).wrapping_add(1));
    }
    CHECKSUM1.put(record, complement(word_sum(record.get(..318).unwrap_or(&[]), 2), 16));
}
