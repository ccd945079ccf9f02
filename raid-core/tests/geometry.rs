//! Geometry from outside, against models that only walk: RAID 10 as the kernel steps from copy to copy, Q's powers as
//! its syndrome loop meets the disks, zones of any sizes, numbers at the end of `u64`. (The drawings of single levels
//! are beside the code.)

#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use raid_core::geometry::{ConfigError, Content, Geometry, Place};
use raid_core::{
    ArrayConfig, Columns, FarSets, Level, Member, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout, Sector, Sectors,
    Sizes, StripeNo,
};

const CHUNK: u64 = 8;

fn same(level: Level, members: u16, size: u64) -> Result<Geometry, ConfigError> {
    let sizes = Sizes::Same(Sectors(size));
    Geometry::new(&ArrayConfig { level, members, chunk: Sectors(CHUNK), sizes, array_size: None })
}

fn each(level: Level, chunk: u64, sizes: &[Sectors]) -> Result<Geometry, ConfigError> {
    let members = u16::try_from(sizes.len()).unwrap();
    let sizes = Sizes::Each(sizes);
    Geometry::new(&ArrayConfig { level, members, chunk: Sectors(chunk), sizes, array_size: None })
}

/// Every (member, member chunk) of every copy, in walking order: near copies from disk to disk, down one chunk behind the last;
/// from each of them its far copies, round their set. The set is that of the disk the step leaves; the last one takes what is left over.
/// This is how `raid10.c` goes, faults included.
fn walk(layout: Raid10Layout, n: u64, rows: u64) -> Vec<Vec<(u64, u64)>> {
    let (near, far) = (u64::from(layout.near), u64::from(layout.far));
    let bands = rows / far;
    let chunks = bands * n / near;
    let stride = if layout.offset { 1 } else { bands };
    let set = match layout.sets {
        FarSets::All => n,
        FarSets::ByCount => n / far,
        FarSets::ByCopies => near * far,
    };
    let last = (n / set - 1) * set;
    let copies_of = |chunk: u64| {
        let mut copies = Vec::new();
        let mut disk = chunk * near % n;
        let mut row = chunk * near / n * if layout.offset { far } else { 1 };
        for _ in 0..near {
            let (mut far_disk, mut far_row) = (disk, row);
            copies.push((far_disk, far_row));
            for _ in 1..far {
                let home = far_disk / set * set;
                let next = far_disk + near;
                let leftovers = !n.is_multiple_of(set) && next > last;
                far_disk = if leftovers { last + (next - last) % (set + n % set) } else { home + next % set };
                far_row += stride;
                copies.push((far_disk, far_row));
            }
            disk += 1;
            if disk == n {
                (disk, row) = (0, row + 1);
            }
        }
        copies
    };
    (0..chunks).map(copies_of).collect()
}

/// All layouts that the word can say, on all counts up to 13.
fn every_raid10() -> impl Iterator<Item = (Raid10Layout, u16)> {
    let sets = [FarSets::All, FarSets::ByCount, FarSets::ByCopies];
    let words = (1..=4).flat_map(move |near| (1..=4).map(move |far| (near, far)));
    let words = words.flat_map(move |(near, far)| {
        sets.into_iter().flat_map(move |sets| [false, true].map(|offset| Raid10Layout { near, far, offset, sets }))
    });
    words.flat_map(|layout| (1..=13).map(move |n| (layout, n)))
}

#[test]
fn raid10_lies_where_the_kernel_walks_and_is_refused_exactly_where_that_overlaps() {
    let (mut taken, mut refused) = (0, 0);
    for (layout, n) in every_raid10() {
        let copies = u16::from(layout.near) * u16::from(layout.far);
        let rows = 24 + u64::from(layout.far) - 1;
        let geometry = same(Level::Raid10(layout), n, rows * CHUNK + 3);
        if !(2..=n).contains(&copies) {
            let (near, far) = (layout.near, layout.far);
            assert_eq!(geometry, Err(ConfigError::Copies { near, far, members: n }));
            continue;
        }
        let walked = walk(layout, n.into(), rows);
        let places: BTreeSet<_> = walked.iter().flatten().collect();
        if places.len() < walked.len() * usize::from(copies) {
            assert!(matches!(geometry, Err(ConfigError::CopiesOverlap { .. })), "{layout:?} on {n}");
            refused += 1;
            continue;
        }
        raid10_equals(&geometry.unwrap(), &walked, &format!("{layout:?} on {n}"));
        taken += 1;
    }
    assert!(taken > 500 && refused > 50, "{taken} {refused}");
}

fn raid10_equals(geometry: &Geometry, walked: &[Vec<(u64, u64)>], name: &str) {
    assert_eq!(geometry.array_size(), Sectors(walked.len() as u64 * CHUNK), "{name}");
    let mut held = BTreeMap::new();
    for (chunk, copies) in (0..).zip(walked) {
        let places: Vec<Place> = geometry.copies(Sector(chunk * CHUNK + 5)).collect();
        assert_eq!(geometry.map(Sector(chunk * CHUNK + 5)), places.first().copied(), "{name}");
        let mine: BTreeSet<_> = places.iter().map(|place| (u64::from(place.member.0), place.at.0)).collect();
        let theirs = copies.iter().map(|(disk, row)| (*disk, row * CHUNK + 5)).collect();
        assert_eq!(mine, theirs, "{name}: chunk {chunk}");
        assert!(
            places.iter().all(|place| place.run == Sectors(CHUNK - 5) && place.stripe == places[0].stripe),
            "{name}"
        );
        held.extend(copies.iter().map(|place| (*place, chunk)));
    }
    for member in Columns::first(geometry.members()).iter() {
        let rows = geometry.member_size(member).0 / CHUNK;
        for row in 0..rows {
            let content = held.get(&(member.0.into(), row)).map(|chunk| Content::Data(Sector(chunk * CHUNK)));
            assert_eq!(geometry.unmap(member, Sector(row * CHUNK)), Some(content.unwrap_or(Content::Unused)), "{name}");
        }
        assert!(held.range((member.0.into(), rows)..(u64::from(member.0) + 1, 0)).next().is_none(), "{name}");
        assert_eq!(geometry.unmap(member, Sector(rows * CHUNK)), None, "{name}");
    }
}

/// A set of 4 with 3 left over is one set of 7, which MD fills without harm.
#[test]
fn one_set_that_takes_in_what_is_left_over_is_no_overlap() {
    let layout = Raid10Layout { near: 2, far: 2, offset: false, sets: FarSets::ByCopies };
    assert!(same(Level::Raid10(layout), 7, 80).is_ok());
    assert!(matches!(same(Level::Raid10(layout), 9, 80), Err(ConfigError::CopiesOverlap { .. })));
}

const R6: [(Raid6Layout, bool); 14] = [
    (Raid6Layout::LeftAsymmetric, false),
    (Raid6Layout::RightAsymmetric, false),
    (Raid6Layout::LeftSymmetric, false),
    (Raid6Layout::RightSymmetric, false),
    (Raid6Layout::ParityFirst, false),
    (Raid6Layout::ParityLast, false),
    (Raid6Layout::RotatingZeroRestart, true),
    (Raid6Layout::RotatingNRestart, true),
    (Raid6Layout::RotatingNContinue, true),
    (Raid6Layout::LeftAsymmetric6, false),
    (Raid6Layout::RightAsymmetric6, false),
    (Raid6Layout::LeftSymmetric6, false),
    (Raid6Layout::RightSymmetric6, false),
    (Raid6Layout::ParityFirst6, false),
];

/// The syndrome loop: from the disk behind Q (or from slot 0 in DDF), one by one; the power grows with each data disk (or with each disk).
#[test]
fn powers_of_q_are_those_that_the_syndrome_loop_meets() {
    for ((layout, ddf), n) in R6.into_iter().flat_map(|layout| [4, 5, 6, 9, 255].map(|n| (layout, n))) {
        let geometry = same(Level::Raid6(layout), n, 2 * u64::from(n) * CHUNK).unwrap();
        for stripe in 0..2 * u64::from(n) {
            let map = geometry.stripe(StripeNo(stripe)).unwrap();
            let (p, q) = (map.p(), map.q().unwrap());
            let start = if ddf { 0 } else { u16::from(q.0) + 1 };
            let mut power = 0;
            for disk in (start..start + n).map(|disk| Member(u8::try_from(disk % n).unwrap())) {
                let parity = disk == p || disk == q;
                assert_eq!(map.exponent(disk), (!parity).then_some(power), "{layout:?} on {n}, stripe {stripe}");
                power += u8::from(ddf || !parity);
            }
            assert_eq!(map.columns(), power, "{layout:?} on {n}");
        }
    }
}

/// Two members: one data, one parity, both the same bytes. Three: the smallest that rotates visibly.
#[test]
fn raid5_on_two_and_three_members_is_as_drawn() {
    let draw = |layout, n: u16| -> Vec<String> {
        let geometry = same(Level::Raid5(layout), n, 3 * CHUNK).unwrap();
        let cell = |member, row: u64| match geometry.unmap(member, Sector(row * CHUNK)) {
            Some(Content::Data(at)) => (at.0 / CHUNK).to_string(),
            Some(Content::P(stripe)) if stripe.0 == row => "P".to_owned(),
            other => format!("{other:?}"),
        };
        (0..3).map(|row| Columns::first(n).iter().map(|member| cell(member, row)).collect()).collect()
    };
    assert_eq!(draw(Raid5Layout::LeftSymmetric, 2), ["0P", "P1", "2P"]);
    assert_eq!(draw(Raid5Layout::LeftAsymmetric, 3), ["01P", "2P3", "P45"]);
    assert_eq!(draw(Raid5Layout::RightAsymmetric, 3), ["P01", "2P3", "45P"]);
    assert_eq!(draw(Raid5Layout::LeftSymmetric, 3), ["01P", "3P2", "P45"]);
    assert_eq!(draw(Raid5Layout::RightSymmetric, 3), ["P01", "3P2", "45P"]);
    assert_eq!(draw(Raid5Layout::ParityFirst, 3), ["P01", "P23", "P45"]);
    assert_eq!(draw(Raid5Layout::ParityLast, 3), ["01P", "23P", "45P"]);
}

#[test]
fn raid1_has_no_chunk_whatever_its_metadata_say_and_unequal_members_give_the_least() {
    let geometry = each(Level::Raid1, 128, &[Sectors(1001), Sectors(999), Sectors(5000)]).unwrap();
    assert_eq!((geometry.chunk(), geometry.array_size()), (Sectors::ZERO, Sectors(999)));
    let places: Vec<Place> = geometry.copies(Sector(500)).collect();
    assert_eq!(places.len(), 3);
    assert!(places.iter().all(|place| place.at == Sector(500) && place.run == Sectors(499)));
    assert!(geometry.survives([Member(0), Member(2)].into_iter().collect()));
    assert!(!geometry.survives(Columns::first(3)));
}

#[test]
fn a_smaller_stated_size_cuts_runs_and_leaves_the_rest_unused() {
    let stated = Some(Sectors(2 * CHUNK + 3));
    let level = Level::Raid5(Raid5Layout::LeftSymmetric);
    let sizes = Sizes::Same(Sectors(4 * CHUNK));
    let geometry =
        Geometry::new(&ArrayConfig { level, members: 3, chunk: Sectors(CHUNK), sizes, array_size: stated }).unwrap();
    let last = geometry.map(Sector(2 * CHUNK)).unwrap();
    assert_eq!(last.run, Sectors(3));
    assert_eq!(geometry.map(Sector(2 * CHUNK + 3)), None);
    assert_eq!(geometry.unmap(last.member, Sector(last.at.0 + 2)), Some(Content::Data(Sector(2 * CHUNK + 2))));
    assert_eq!(geometry.unmap(last.member, Sector(last.at.0 + 3)), Some(Content::Unused));
}

#[test]
fn every_refusal_says_its_numbers() {
    let refused = |level, members, chunk, size| {
        let sizes = Sizes::Same(Sectors(size));
        let config = ArrayConfig { level, members, chunk: Sectors(chunk), sizes, array_size: None };
        Geometry::new(&config).unwrap_err().to_string()
    };
    let far = |near, far| Level::Raid10(Raid10Layout { near, far, offset: true, sets: FarSets::All });
    let has = |text: String, numbers: &[&str]| {
        assert!(numbers.iter().all(|number| text.contains(number)), "{text}");
    };
    has(refused(Level::Raid6(Raid6Layout::LeftSymmetric), 3, 8, 80), &["3 members", "4 to 255"]);
    has(refused(Level::Raid4, 3, 100, 800), &["100 sectors", "powers of two"]);
    has(refused(far(1, 1), 3, 8, 80), &["1 near", "1 far", "3 members", "at least 2"]);
    has(refused(far(2, 2), 5, 8, 80), &["2 near", "2 far", "5 members", "on top of each other"]);
    has(refused(far(1, 3), 5, 64, 191), &["191", "192"]);
    has(refused(Level::Raid1, 2, 0, 0), &["0 sectors", "at least 1"]);
    has(refused(Level::Linear, 255, 0, 1 << 60), &["255 members", "1152921504606846976", "2^64"]);
    let unstated = each(Level::Raid0(Raid0Layout::Unstated), 8, &[Sectors(25), Sectors(99), Sectors(99)]);
    has(unstated.unwrap_err().to_string(), &["24 to 96", "original or alternate"]);
}

/// At the first, the last and some sectors in between: a place inside the member, and back.
fn comes_back(geometry: &Geometry, picks: &[u64]) {
    let last = geometry.array_size().0 - 1;
    for at in picks.iter().map(|pick| pick % (last + 1)).chain([0, last]) {
        let mut members = BTreeSet::new();
        for place in geometry.copies(Sector(at)) {
            let size = geometry.member_size(place.member);
            assert!(place.run.0 > 0 && place.at.checked_add(place.run).unwrap().0 <= size.0, "{place:?}");
            assert!(at.checked_add(place.run.0 - 1).unwrap() <= last);
            assert_eq!(geometry.unmap(place.member, place.at), Some(Content::Data(Sector(at))));
            let end = Sector(place.at.0 + place.run.0 - 1);
            assert_eq!(geometry.unmap(place.member, end), Some(Content::Data(Sector(at + place.run.0 - 1))));
            members.insert((place.member, place.at));
        }
        assert!(!members.is_empty());
    }
    assert_eq!(geometry.map(Sector(last + 1)), None);
}

fn any_layout() -> impl Strategy<Value = Raid0Layout> {
    prop_oneof![Just(Raid0Layout::Original), Just(Raid0Layout::Alternate), Just(Raid0Layout::Unstated)]
}

/// Sizes from one sector to the end of `u64`, as many small as large.
fn any_size() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(size, shift)| size >> shift)
}

proptest! {
    #[test]
    fn concatenations_and_zones_of_any_sizes_come_back(
        sizes in prop::collection::vec(any_size(), 1..12), chunk in any_size(), layout in any_layout(), stated in any_size(),
        picks in any::<[u64; 8]>(),
    ) {
        let sizes: Vec<Sectors> = sizes.into_iter().map(Sectors).collect();
        let members = u16::try_from(sizes.len()).unwrap();
        for level in [Level::Linear, Level::Raid0(layout), Level::Raid1] {
            for (chunk, array_size) in [(chunk, None), (chunk % 1000, None), (chunk % 1000, Some(Sectors(stated)))] {
                let sizes = Sizes::Each(&sizes);
                let config = ArrayConfig { level, members, chunk: Sectors(chunk), sizes, array_size };
                let Ok(geometry) = Geometry::new(&config) else { continue };
                comes_back(&geometry, &picks);
            }
        }
    }

    #[test]
    fn wide_and_huge_striped_arrays_come_back(
        six in 0..14_usize, members in 2..=255_u16, size in any_size(), shift in 3..40_u32, picks in any::<[u64; 8]>(),
        near in 1..5_u8, far in 1..5_u8, offset in any::<bool>(),
    ) {
        let ten = Level::Raid10(Raid10Layout { near, far, offset, sets: FarSets::All });
        for level in [Level::Raid4, Level::Raid5(Raid5Layout::LeftSymmetric), Level::Raid6(R6[six].0), ten] {
            let (chunk, sizes) = (Sectors(1 << shift), Sizes::Same(Sectors(size)));
            let Ok(geometry) = Geometry::new(&ArrayConfig { level, members, chunk, sizes, array_size: None }) else {
                continue;
            };
            comes_back(&geometry, &picks);
        }
    }

    /// What is let through unstated must be the same in both layouts; what is refused must differ somewhere.
    #[test]
    fn raid0_is_refused_unstated_exactly_if_the_layouts_differ(chunks in prop::collection::vec(1..6_u64, 1..6)) {
        let sizes: Vec<Sectors> = chunks.iter().map(|chunks| Sectors(chunks * CHUNK)).collect();
        let [original, alternate, unstated] = [Raid0Layout::Original, Raid0Layout::Alternate, Raid0Layout::Unstated]
            .map(|layout| each(Level::Raid0(layout), CHUNK, &sizes));
        let (original, alternate) = (original.unwrap(), alternate.unwrap());
        let differ = (0..original.array_size().0).any(|at| original.map(Sector(at)) != alternate.map(Sector(at)));
        prop_assert_eq!(unstated.is_err(), differ);
    }
}
