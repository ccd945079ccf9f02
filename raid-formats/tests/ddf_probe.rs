//! Finding DDF: either byte order, either block size, either place of the anchor, either set; and what bytes that are none of it do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use raid_core::{Level, Raid5Layout, Raid6Layout, Sectors};
use raid_formats::{
    assemble::Claimant,
    ddf::{self, Damage, Form, Order, Set, Twin, raw},
    record::{Format, Notes, Record, Sync},
};
use raid_testkit::{
    array,
    ddf_made::{self, Made, Shape, guid, ten},
    fixtures, fuzz_bodies, fuzz_ddf,
    image::{Image, Sparse},
};
use std::{fs, path::Path};

const FIVE: Shape = Shape { level: Level::Raid5(Raid5Layout::LeftSymmetric), members: 3, chunk: 128, used: 8192 };

fn records(image: &[u8]) -> Vec<Record> {
    let mut buf = Vec::new();
    ddf_made::read(image, &mut buf).volumes().map(|volume| *volume.unwrap().record()).collect()
}

/// Offsets of the sets, and of the anchor.
fn places(image: &[u8]) -> (Vec<usize>, usize) {
    let probe = ddf::probe(&Image(image)).unwrap();
    let offset = |at: raid_core::Sector| usize::try_from(at.bytes().unwrap()).unwrap();
    (vec![offset(probe.primary.unwrap().at()), offset(probe.secondary.unwrap().at())], offset(probe.anchor.at))
}

#[test]
fn the_byte_swapped_kind_says_the_same() {
    for name in ["ddf-uml-raid5", "ddf-uml-raid10"] {
        let fixture = fixtures::load(name);
        let swapped: Vec<Vec<u8>> = fixture.members.iter().map(|(_, image)| swap(image)).collect();
        for ((_, image), swapped) in fixture.members.iter().zip(&swapped) {
            let expected: Vec<Record> =
                records(image).into_iter().map(|record| Record { format: Format::DdfSwapped, ..record }).collect();
            assert_eq!(records(swapped), expected, "{name}");
        }
    }
}

fn swap(image: &[u8]) -> Vec<u8> {
    let mut swapped = image.to_vec();
    let (sets, anchor) = places(image);
    let len = ddf::probe(&Image(image)).unwrap().len_bytes();
    for set in sets {
        swapped[set..set + len].copy_from_slice(&ddf_made::swapped(&image[set..set + len]));
    }
    let header = ddf_made::swapped(&image[anchor..anchor + 512]);
    swapped[anchor..anchor + 512].copy_from_slice(&header);
    swapped
}

#[test]
fn a_set_whose_bytes_were_kept_is_the_set_that_was_read() {
    let fixture = fixtures::load("ddf-uml-raid5");
    let mut buf = Vec::new();
    let read = ddf_made::read(&fixture.members[0].1, &mut buf);
    let (kept, bytes) = (read.kept(), read.emit().to_vec());
    let again = kept.of(&bytes).unwrap();
    assert_eq!((again.kept(), again.emit(), again.reference()), (kept, bytes.as_slice(), read.reference()));
    assert_eq!(again.volumes().count(), 1);
    assert!(kept.of(&bytes[..bytes.len() - 1]).is_none());
}

#[test]
fn disks_with_blocks_of_4096_bytes_read_back() {
    let made = Made::new(&[FIVE, Shape { level: Level::Raid1, members: 2, chunk: 0, used: 4096 }], 3, 4096);
    assert_eq!(ddf::probe(&Image(&made.disks[0])).unwrap().anchor.block_bytes, 4096);
    for number in 0..2 {
        ddf_made::with_volumes(&made.disks, number, |claims| {
            assert!(array::read(claims).unwrap() == made.contents[number]);
            assert!(array::read(&claims[1..]).unwrap() == made.contents[number]);
            assert_eq!(claims[0].0.record().logical_block_bytes, 4096);
        });
    }
}

#[test]
fn one_disk_holds_parts_of_several_volumes_and_tells_them_apart() {
    let six = Shape { level: Level::Raid6(Raid6Layout::RotatingNContinue), members: 4, ..FIVE };
    let shapes = [FIVE, six, Shape { level: ten(2), members: 4, ..FIVE }, Shape { level: Level::Linear, ..FIVE }];
    let made = Made::new(&shapes, 5, 512);
    assert_eq!(records(&made.disks[0]).len(), 4);
    assert_eq!(records(&made.disks[3]).len(), 2);
    assert_eq!(records(&made.disks[4]).len(), 0);
    let identities: std::collections::HashSet<_> = records(&made.disks[0]).iter().map(|record| record.array).collect();
    assert_eq!(identities.len(), 4);
    for (number, content) in made.contents.iter().enumerate() {
        ddf_made::with_volumes(&made.disks, number, |claims| {
            assert!(array::read(claims).unwrap() == *content, "volume {number}");
            assert_eq!(claims[0].0.record().data.at.0, 8192 * number as u64);
            assert_eq!(array::read(&claims[1..]).is_ok(), number != 3, "volume {number}");
        });
    }
}

#[test]
fn an_anchor_257_blocks_from_the_end_is_found() {
    let made = Made::new(&[FIVE], 3, 512);
    let mut image = made.disks[0].clone();
    let (_, anchor) = places(&image);
    image.resize(image.len() + 256 * 512, 0);
    assert_eq!(records(&image), records(&made.disks[0]));
    // Nowhere else.
    image.copy_within(anchor..anchor + 512, anchor + 512);
    image[anchor..anchor + 512].fill(0);
    assert!(ddf::probe(&Image(&image)).is_err());
}

#[test]
fn a_damaged_set_yields_to_the_other_and_two_damaged_ones_are_told() {
    let made = Made::new(&[FIVE], 3, 512);
    let (sets, _) = places(&made.disks[0]);
    // Header, table of physical disks, table of virtual disks, configuration, disk data.
    for (block, damage) in [
        (0, None),
        (2, Some(Damage::PHYSICAL)),
        (130, Some(Damage::VIRTUAL)),
        (162, Some(Damage::CONFIG)),
        (617, Some(Damage::DISK)),
    ] {
        let mut image = made.disks[0].clone();
        image[sets[0] + block * 512 + 510] ^= 1;
        let mut buf = Vec::new();
        let metadata = ddf_made::read(&image, &mut buf);
        assert_eq!((metadata.place().set, metadata.twin()), (Set::Secondary, Twin::Differs), "block {block}");
        assert_eq!(metadata.damage(), Damage::empty());
        image[sets[1] + block * 512 + 510] ^= 1;
        let probe = ddf::probe(&Image(&image)).unwrap();
        let mut buf = vec![0; ddf::create::set_bytes(512)];
        match (ddf::read(&Image(&image), &probe.anchor, &mut buf), damage) {
            (Err(fault), None) => assert!(fault.to_string().contains("bad checksum"), "{fault}"),
            (Ok(metadata), Some(damage)) => {
                assert_eq!(metadata.damage(), damage);
                let record = *metadata.volumes().next().unwrap().unwrap().record();
                assert_eq!(record.notes, Notes::DAMAGED_TABLE);
            }
            (outcome, _) => panic!("block {block}: {outcome:?}"),
        }
    }
}

#[test]
fn the_checksum_of_freebsd_is_taken_too() {
    let made = Made::new(&[FIVE], 3, 512);
    let mut image = made.disks[0].clone();
    let (sets, anchor) = places(&image);
    for at in sets.into_iter().chain([anchor]) {
        Form { inverted: true, len: 512 }.seal(&mut image[at..at + 512], Order::Big);
    }
    assert_eq!(records(&image), records(&made.disks[0]));
}

#[test]
fn a_volume_that_was_not_initialised_or_is_not_consistent_is_dirty() {
    let made = Made::new(&[FIVE], 3, 512);
    let (sets, _) = places(&made.disks[0]);
    for (state, init) in [(0x10, 2), (0x11, 2), (0, 0), (0, 1)] {
        let mut image = made.disks[0].clone();
        for set in &sets {
            let table = &mut image[set + 130 * 512..][..32 * 512];
            (table[64 + 32], table[64 + 33]) = (state, init);
            Form { inverted: false, len: table.len() }.seal(table, Order::Big);
        }
        assert_eq!(records(&image)[0].sync, Sync::DirtyFrom(raid_core::Sector(0)), "{state:#x} {init}");
    }
}

#[test]
fn spares_say_whom_they_serve() {
    let made = Made::new(&[FIVE, FIVE], 4, 512);
    let mut buf = Vec::new();
    assert!(ddf_made::read(&made.disks[3], &mut buf).spare().is_none());
    let mut image = made.disks[3].clone();
    let (sets, _) = places(&image);
    for set in &sets {
        let record = &mut image[set + 162 * 512..][..7 * 512];
        record[..4].copy_from_slice(&raw::MAGIC_SPARE.to_be_bytes());
        record[19] = 1;
        record[20..24].copy_from_slice(&[0, 1, 0, 8]);
        record[32..56].copy_from_slice(&guid(b'v', 1).0);
        record[56..58].fill(0);
        Form { inverted: false, len: record.len() }.seal(record, Order::Big);
    }
    let mut buf = Vec::new();
    let metadata = ddf_made::read(&image, &mut buf);
    let spare = metadata.spare().unwrap();
    assert_eq!(spare.dedicated_to().collect::<Vec<_>>(), [(guid(b'v', 1), 0)]);
    assert_eq!((spare.global, spare.serves(guid(b'v', 0)), spare.serves(guid(b'v', 1))), (false, false, true));
    assert!(metadata.damage().is_empty());
    // The same disk, called a global spare by the table.
    let mut image = made.disks[3].clone();
    for set in sets {
        let table = &mut image[set + 2 * 512..][..128 * 512];
        table[64 * 4 + 29] = 1 << 2;
        Form { inverted: false, len: table.len() }.seal(table, Order::Big);
    }
    let mut buf = Vec::new();
    let spare = ddf_made::read(&image, &mut buf).spare().unwrap();
    assert!(spare.global && spare.serves(guid(b'v', 0)) && spare.dedicated_to().next().is_none());
}

/// Together the fields of a dump are the whole set, each byte once.
#[test]
fn a_dump_covers_every_byte_of_a_real_set_in_order() {
    for name in fixtures::list().into_iter().filter(|name| name.starts_with("ddf-")) {
        for (file, image) in fixtures::load(&name).members {
            let mut buf = Vec::new();
            let metadata = ddf_made::read(&image, &mut buf);
            let mut covered = 0;
            let mut wrong = 0;
            ddf::dump::set(metadata.emit(), Order::Big, 512, |field| {
                assert_eq!(field.offset, covered, "{name}/{file}: {} leaves a gap", field.name);
                covered += field.len;
                wrong += usize::from(field.value.to_string().contains("wrong"));
            })
            .unwrap();
            assert_eq!((covered as usize, wrong), (metadata.emit().len(), 0), "{name}/{file}");
        }
    }
}

/// A seed that is refused at the door would test nothing behind it.
#[test]
fn every_seed_that_is_a_medium_reads() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/ddf");
    for (order, seed) in [(Order::Big, "big"), (Order::Little, "little")] {
        let medium = fuzz_ddf::small_medium(order);
        assert!(fs::read(corpus.join(seed)).unwrap() == medium, "{seed} is another medium");
        assert_eq!(records(&medium).len(), 2);
        fuzz_bodies::ddf(&medium);
    }
}

/// A real disk's records, without its data.
fn real() -> Sparse {
    let (_, image) = fixtures::load("ddf-uml-raid10").members.remove(0);
    let (sets, anchor) = places(&image);
    let len = ddf::probe(&Image(&image)).unwrap().len_bytes();
    let runs = sets.into_iter().map(|at| (at, len)).chain([(anchor, 512)]);
    let runs = runs.map(|(at, len)| (at as u64, image[at..at + len].to_vec())).collect();
    Sparse { size_bytes: image.len() as u64, runs }
}

/// Everything is read from it; nothing may panic.
fn look(source: &Sparse) {
    let Ok(probe) = ddf::probe(source) else { return };
    let mut buf = vec![0; probe.len_bytes()];
    if let Ok(metadata) = ddf::read(source, &probe.anchor, &mut buf) {
        for volume in metadata.volumes().filter_map(Result::ok) {
            assert!(volume.record().data.len > Sectors(0) || volume.record().shape.members > 0);
        }
    }
}

#[test]
fn a_truncated_disk_makes_nothing_panic() {
    let real = real();
    for cut in [0, 1, 511, 512, 4096, 1 << 20, real.size_bytes - 512, real.size_bytes - 1] {
        look(&Sparse { size_bytes: cut, runs: real.runs.clone() });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn flipped_bits_of_a_real_disk_make_nothing_panic(
        flips in prop::collection::vec((0_usize..3, any::<prop::sample::Index>(), 0_u8..8), 1..20),
        seal in any::<bool>(),
    ) {
        let mut real = real();
        for (run, at, bit) in flips {
            let bytes = &mut real.runs[run].1;
            // Most fields lie in the header.
            let at = if bit % 2 == 0 { at.index(512) } else { at.index(bytes.len()) };
            bytes[at] ^= 1 << bit;
        }
        if seal {
            for (_, bytes) in &mut real.runs {
                Form { inverted: false, len: 512 }.seal(&mut bytes[..512], Order::Big);
            }
        }
        look(&real);
    }

    #[test]
    fn changes_to_a_small_set_make_nothing_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_bodies::ddf(&data);
    }
}
