//! What is made is found again and says the same; what is damaged is refused, and nothing panics.

extern crate std;

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use raid_core::{Raid5Layout, Sector, Sectors};

use super::*;
use crate::record::{Name, Sync};

const MEDIUM: Sectors = Sectors(6000);

struct Disk(Vec<u8>);

impl Source for Disk {
    type Error = &'static str;

    fn size_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        let from = usize::try_from(offset_bytes).unwrap();
        buf.copy_from_slice(self.0.get(from..from + buf.len()).ok_or("past the end")?);
        Ok(())
    }
}

fn blank() -> Disk {
    Disk(vec![0; usize::try_from(MEDIUM.0 * 512).unwrap()])
}

fn made(kind: Kind, spec: &Spec, slot: u16) -> Result<Disk, Unfit> {
    let mut disk = blank();
    kind.make(spec, slot, MEDIUM, &mut [0; BUFFER_BYTES], |at, bytes| {
        let from = usize::try_from(at.0 * 512).unwrap();
        disk.0[from..from + bytes.len()].copy_from_slice(bytes);
    })?;
    Ok(disk)
}

fn spec(arrangement: Arrangement, members: u16) -> Spec {
    let mut name = [0; 32];
    name[..4].copy_from_slice(b"vol1");
    Spec { arrangement, members, chunk: Sectors(32), used: Sectors(4096), set: 0x0011_2233_4455, name: Name(name) }
}

fn specs() -> Vec<Spec> {
    use Arrangement as A;
    let five = |layout| spec(A::Raid5(layout), 4);
    let mut all = vec![spec(A::Span, 3), spec(A::Stripe, 2), spec(A::Stripe, 4), spec(A::Mirror, 2)];
    all.extend([spec(A::StripedPairs, 4), spec(A::MirroredStripes, 4), spec(A::MirroredStripes, 6)]);
    all.extend([five(Raid5Layout::LeftSymmetric), five(Raid5Layout::LeftAsymmetric)]);
    all
}

#[test]
fn what_is_made_is_found_by_its_own_format_alone_and_says_the_same() {
    let mut pairs = 0;
    for kind in Kind::all() {
        for spec in specs() {
            for slot in 0..spec.members {
                let disk = match made(kind, &spec, slot) {
                    Ok(disk) => disk,
                    Err(Unfit::Arrangement | Unfit::Members) => continue,
                    Err(other) => panic!("{kind:?} {spec:?}: {other}"),
                };
                pairs += 1;
                let what = std::format!("{kind:?} {spec:?} slot {slot}");
                for other in Kind::all() {
                    let found = other.find(&disk, &mut [0; BUFFER_BYTES]);
                    assert_eq!(found.is_ok(), other.format() == kind.format(), "{what} as {other:?}: {found:?}");
                    let Ok(member) = found else { continue };
                    let record = member.record();
                    assert_eq!(record.role, Role::Slot(slot), "{what}");
                    assert_eq!(record.shape.level, spec.arrangement.level(), "{what}");
                    assert_eq!((record.shape.members, record.used), (spec.members, spec.used), "{what}");
                    assert_eq!(record.sync, Sync::Clean, "{what}");
                    if !matches!(spec.arrangement, Arrangement::Mirror | Arrangement::Span) {
                        assert_eq!(record.shape.chunk, spec.chunk, "{what}");
                    }
                }
            }
        }
    }
    assert!(pairs >= 9 * 4, "{pairs}");
}

#[test]
fn disks_of_one_array_agree_on_its_identity_and_those_of_another_do_not() {
    for kind in Kind::all() {
        let array = |set: u64, slot| {
            let spec = Spec { set, ..spec(Arrangement::Mirror, 2) };
            let disk = made(kind, &spec, slot).unwrap();
            kind.find(&disk, &mut [0; BUFFER_BYTES]).unwrap().record().array
        };
        assert_eq!(array(0x1234_5677, 0), array(0x1234_5677, 1), "{kind:?}");
        assert_ne!(array(0x1234_5677, 0), array(0x7654_3211, 0), "{kind:?}");
    }
}

#[test]
fn a_blank_disk_and_a_tiny_one_have_no_record() {
    for kind in Kind::all() {
        for disk in [blank(), Disk(Vec::new()), Disk(vec![0; 512]), Disk(vec![0xff; 512 * 40])] {
            let fault = kind.find(&disk, &mut [0; BUFFER_BYTES]).unwrap_err();
            assert!(fault.is_absence(), "{kind:?}: {fault}");
        }
    }
}

/// The record of one of a mirror's two disks.
fn record(kind: Kind, slot: u16) -> Vec<u8> {
    let disk = made(kind, &spec(Arrangement::Mirror, 2), slot).unwrap();
    let mut bytes = vec![0; kind.len_bytes()];
    kind.read(&disk, kind.place(MEDIUM, 0).unwrap(), &mut bytes).unwrap();
    bytes
}

#[test]
fn a_record_on_a_medium_too_small_for_its_data_is_refused() {
    for kind in Kind::all() {
        let bytes = record(kind, 1);
        assert!(kind.parse(&bytes, MEDIUM).is_ok());
        let refused = kind.parse(&bytes, Sectors(3000));
        assert!(matches!(refused, Err(Refusal::MediumTooSmall { .. })), "{kind:?}: {refused:?}");
    }
}

/// Ten bytes were VIA's: behind them zeros were read, whose sum is right. Found by the fuzzer.
#[test]
fn a_record_that_is_cut_short_anywhere_is_refused_as_that() {
    for kind in Kind::all() {
        let bytes = record(kind, 1);
        for found in 0..bytes.len() {
            let refused = kind.parse(&bytes[..found], MEDIUM);
            assert_eq!(refused.err(), Some(Refusal::Truncated { found, expected: bytes.len() }), "{kind:?}");
        }
    }
}

#[test]
fn one_copy_of_four_is_enough_for_silicon_image() {
    let kind = Kind::all().find(|kind| kind.format() == Format::Sil).unwrap();
    let spec = spec(Arrangement::Mirror, 2);
    let whole = made(kind, &spec, 1).unwrap();
    for left in 0..4 {
        let mut disk = Disk(whole.0.clone());
        for index in (0..4).filter(|index| *index != left) {
            let from = usize::try_from(kind.place(MEDIUM, index).unwrap().0 * 512).unwrap();
            disk.0[from..from + 512].fill(0);
        }
        let member = kind.find(&disk, &mut [0; BUFFER_BYTES]).unwrap();
        assert_eq!(Some(member.at()), kind.place(MEDIUM, left));
    }
}

#[test]
fn a_dump_names_every_field_once_and_in_the_record() {
    for kind in Kind::all() {
        let bytes = vec![0xa5; kind.len_bytes()];
        let fields: Vec<_> = kind.dump(&bytes).collect();
        assert!(fields.len() >= 9, "{kind:?}");
        for field in &fields {
            assert!(field.offset as usize + field.len as usize <= bytes.len(), "{kind:?} {field:?}");
        }
        for (index, field) in fields.iter().enumerate() {
            let twice = fields[index + 1..].iter().any(|other| other.offset == field.offset);
            assert!(!twice, "{kind:?} {}", field.name);
        }
    }
}

proptest! {
    /// Formats with a checksum notice any change of a covered byte; none panics, and none claims more than the medium has.
    #[test]
    fn changed_bytes_are_refused_or_still_make_sense(
        which in 0..9_usize, at in 0..(BUFFER_BYTES), value: u8, more in prop::collection::vec((0..1024_usize, any::<u8>()), 0..4),
        slot in 0..2_u16,
    ) {
        let kind = Kind::all().nth(which).unwrap();
        let mut bytes = record(kind, slot);
        let len = bytes.len();
        bytes[at % len] = value;
        for (at, value) in more {
            bytes[at % len] = value;
        }
        if let Ok(record) = kind.parse(&bytes, MEDIUM) {
            prop_assert!(record.data.at.0 + record.data.len.0 <= MEDIUM.0);
        }
        prop_assert!(kind.dump(&bytes).count() > 0);
    }

    #[test]
    fn no_bytes_make_any_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..700), medium: u64) {
        for kind in Kind::all() {
            let _ = kind.parse(&bytes, Sectors(medium));
            let _ = kind.place(Sectors(medium), bytes.len()).map(Sector::bytes);
        }
    }
}
