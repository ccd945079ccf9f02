//! Every layout against a naive model that fills members chunk by chunk, and the laws that any map must keep.

extern crate std;

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::config::{FarSets, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout};

fn geometry(level: Level, members: u16, chunk: u64, sizes: Sizes<'_>) -> Result<Geometry, ConfigError> {
    Geometry::new(&ArrayConfig { level, members, chunk: Sectors(chunk), sizes, array_size: None })
}

fn raid10(near: u8, far: u8, offset: bool, sets: FarSets) -> Level {
    Level::Raid10(Raid10Layout { near, far, offset, sets })
}

/// What each (member, chunk) holds, by number of array chunk, built the slow way; parity holds nothing.
type Model = BTreeMap<(u8, u64), u64>;

/// RAID 5 and 6 drawn stripe by stripe on a row of slots: put P and Q, then fill the free slots in order.
fn parity_model(level: Level, n: u8, stripes: u64) -> (Model, u64) {
    let mut model = Model::new();
    let mut next = 0;
    for stripe in 0..stripes {
        let r = stripe;
        let (p, q, start, ring) = parity_places(level, n, r);
        for turn in 0..ring {
            let member = (start + turn) % ring;
            if member != p && Some(member) != q {
                model.insert((member, stripe), next);
                next += 1;
            }
        }
    }
    (model, next)
}

/// P, Q, where counting starts, and how many members it goes round: the table of the layouts, in prose elsewhere.
fn parity_places(level: Level, n: u8, r: u64) -> (u8, Option<u8>, u8, u8) {
    let turn = |m: u8| u8::try_from(r % u64::from(m)).unwrap();
    let five = |layout: Raid5Layout, m: u8| match layout {
        Raid5Layout::LeftAsymmetric => (m - 1 - turn(m), 0),
        Raid5Layout::RightAsymmetric => (turn(m), 0),
        Raid5Layout::LeftSymmetric => (m - 1 - turn(m), (m - 1 - turn(m) + 1) % m),
        Raid5Layout::RightSymmetric => (turn(m), (turn(m) + 1) % m),
        Raid5Layout::ParityFirst => (0, 0),
        Raid5Layout::ParityLast => (m - 1, 0),
    };
    let with = |layout, m, q, ring| {
        let (p, start) = five(layout, m);
        (p, q, start, ring)
    };
    let six = |p: u8, symmetric: bool| {
        let q = (p + 1) % n;
        (p, Some(q), if symmetric { (q + 1) % n } else { 0 }, n)
    };
    match level {
        Level::Raid4 => with(Raid5Layout::ParityLast, n, None, n),
        Level::Raid5(layout) => with(layout, n, None, n),
        Level::Raid6(layout) => match layout {
            Raid6Layout::LeftAsymmetric => six(n - 1 - turn(n), false),
            Raid6Layout::RightAsymmetric | Raid6Layout::RotatingZeroRestart => six(turn(n), false),
            Raid6Layout::LeftSymmetric => six(n - 1 - turn(n), true),
            Raid6Layout::RightSymmetric => six(turn(n), true),
            Raid6Layout::ParityFirst => six(0, false),
            Raid6Layout::ParityLast => six(n - 2, false),
            Raid6Layout::RotatingNRestart => six(n - 1 - u8::try_from((r + 1) % u64::from(n)).unwrap(), false),
            Raid6Layout::RotatingNContinue => {
                let p = n - 1 - turn(n);
                (p, Some((p + n - 1) % n), (p + 1) % n, n)
            }
            Raid6Layout::LeftAsymmetric6 => with(Raid5Layout::LeftAsymmetric, n - 1, Some(n - 1), n - 1),
            Raid6Layout::RightAsymmetric6 => with(Raid5Layout::RightAsymmetric, n - 1, Some(n - 1), n - 1),
            Raid6Layout::LeftSymmetric6 => with(Raid5Layout::LeftSymmetric, n - 1, Some(n - 1), n - 1),
            Raid6Layout::RightSymmetric6 => with(Raid5Layout::RightSymmetric, n - 1, Some(n - 1), n - 1),
            Raid6Layout::ParityFirst6 => with(Raid5Layout::ParityFirst, n - 1, Some(n - 1), n - 1),
        },
        _ => panic!("no parity level"),
    }
}

/// RAID 0 as `create_strip_zones` thinks: row by row, the members that still have a chunk there.
fn raid0_model(sizes: &[u64], by_zone: bool) -> Model {
    let mut model = Model::new();
    let mut next = 0;
    let mut zone_start = 0;
    let mut width = sizes.len();
    for row in 0..*sizes.iter().max().unwrap() {
        let here: Vec<u8> = (0..).zip(sizes).filter(|(_, size)| **size > row).map(|(slot, _)| slot).collect();
        if here.len() != width {
            (width, zone_start) = (here.len(), next);
        }
        for _ in 0..width {
            let turn = if by_zone { next - zone_start } else { next };
            model.insert((here[usize::try_from(turn).unwrap() % width], row), next);
            next += 1;
        }
    }
    model
}

fn agrees(geometry: &Geometry, model: &Model, chunk: u64, name: &str) {
    let chunks = geometry.array_size().0 / chunk;
    assert_eq!(model.len() as u64, chunks, "{name}");
    for ((member, row), number) in model {
        let (array, at) = (Sector(number * chunk + 1), Sector(row * chunk + 1));
        let place = geometry.map(array).unwrap();
        assert_eq!((place.member, place.at), (Member(*member), at), "{name}: chunk {number}");
        assert_eq!(place.run, Sectors(chunk - 1), "{name}");
        assert_eq!(
            geometry.unmap(Member(*member), at),
            Some(Content::Data(array)),
            "{name}: member {member} row {row}"
        );
    }
}

fn parity_levels() -> impl Iterator<Item = Level> {
    [Level::Raid4].into_iter().chain(Raid5Layout::ALL.map(Level::Raid5)).chain(Raid6Layout::ALL.map(Level::Raid6))
}

#[test]
fn every_parity_layout_equals_the_drawing() {
    for level in parity_levels() {
        for n in 4..9_u8 {
            let stripes = 3 * u64::from(n) + 1;
            let geometry = geometry(level, n.into(), 8, Sizes::Same(Sectors(stripes * 8 + 7))).unwrap();
            let (model, chunks) = parity_model(level, n, stripes);
            assert_eq!(geometry.array_size(), Sectors(chunks * 8));
            agrees(&geometry, &model, 8, &std::format!("{level:?} on {n}"));
        }
    }
}

#[test]
fn every_stripe_gives_each_member_one_part_and_q_one_power_each() {
    for level in parity_levels() {
        for n in [4, 5, 6, 7, 64, 254, 255] {
            let geometry = geometry(level, n, 8, Sizes::Same(Sectors(600 * 8))).unwrap();
            for stripe in 0..600 {
                let map = geometry.stripe(StripeNo(stripe)).unwrap();
                let members = || Columns::first(n).iter();
                let parts: BTreeSet<_> =
                    members().map(|member| std::format!("{:?}", map.part(member).unwrap())).collect();
                assert_eq!(parts.len(), usize::from(n), "{level:?} on {n}, stripe {stripe}");
                for index in 0..map.data_count() {
                    assert_eq!(map.part(map.data(index).unwrap()), Some(Part::Data(index)));
                }
                let columns: BTreeSet<_> = members().filter_map(|member| map.column(member)).collect();
                assert_eq!(columns.len(), usize::from(map.data_count()));
                assert!(columns.iter().all(|column| *column < map.columns()));
                assert_eq!(map.column(map.p()), None);
            }
        }
    }
}

/// Worked by hand from `raid5.c`, `raid6_d0`: left-symmetric on 5, stripe 1 has P on 3, Q on 4, so powers count from member 0.
/// Left-asymmetric on 5, stripe 0 has P on 4, Q on 0: data 0 on member 1, which is the first behind Q.
/// Stripe 1 has P on 3, Q on 4: the first behind Q is member 0, data 0.
/// Stripe 2 has P on 2, Q on 3: the first behind Q is member 4, data 2.
#[test]
fn powers_of_q_count_from_behind_q_in_md_and_by_slot_in_ddf() {
    let powers = |layout, stripe| -> Vec<_> {
        let geometry = geometry(Level::Raid6(layout), 5, 8, Sizes::Same(Sectors(80))).unwrap();
        let map = geometry.stripe(StripeNo(stripe)).unwrap();
        (0..3).map(|index| map.exponent(map.data(index).unwrap()).unwrap()).collect()
    };
    assert_eq!(powers(Raid6Layout::LeftSymmetric, 1), [0, 1, 2]);
    assert_eq!(powers(Raid6Layout::LeftAsymmetric, 0), [0, 1, 2]);
    assert_eq!(powers(Raid6Layout::LeftAsymmetric, 2), [1, 2, 0]);
    assert_eq!(powers(Raid6Layout::RotatingZeroRestart, 1), [0, 3, 4]);
    assert_eq!(powers(Raid6Layout::RotatingNContinue, 0), [0, 1, 2]);
}

#[test]
fn raid0_zones_equal_the_drawing_in_both_layouts() {
    let mut cases: Vec<Vec<u64>> =
        std::vec![std::vec![3, 1, 2], std::vec![2, 3, 5, 5], std::vec![7], std::vec![1, 1, 4, 9, 4]];
    cases.extend((1..6_u64).map(|n| (1..=n).rev().collect::<Vec<u64>>()));
    for sizes in cases {
        let sectors: Vec<Sectors> = sizes.iter().map(|size| Sectors(size * 24 + 23)).collect();
        for (layout, by_zone) in [(Raid0Layout::Original, false), (Raid0Layout::Alternate, true)] {
            let members = u16::try_from(sizes.len()).unwrap();
            let geometry = geometry(Level::Raid0(layout), members, 24, Sizes::Each(&sectors)).unwrap();
            agrees(&geometry, &raid0_model(&sizes, by_zone), 24, &std::format!("{layout:?} {sizes:?}"));
        }
    }
}

#[test]
fn an_unstated_raid0_layout_is_refused_only_where_it_matters() {
    let try_sizes = |sizes: &[u64]| {
        let sizes: Vec<Sectors> = sizes.iter().map(|size| Sectors(size * 8)).collect();
        let members = u16::try_from(sizes.len()).unwrap();
        geometry(Level::Raid0(Raid0Layout::Unstated), members, 8, Sizes::Each(&sizes)).map(|_| ())
    };
    assert_eq!(try_sizes(&[4, 4, 4]), Ok(()));
    assert_eq!(try_sizes(&[4, 4, 9]), Ok(()));
    let (smallest, largest) = (Sectors(24), Sectors(32));
    assert_eq!(try_sizes(&[3, 4, 4]), Err(ConfigError::Raid0LayoutUnstated { smallest, largest }));
}

/// The pictures of `md(4)`, copied from what a real MD wrote on 3 members.
#[test]
fn raid10_on_three_members_looks_like_the_pictures() {
    let draw = |level| -> Vec<Vec<u64>> {
        let geometry = geometry(level, 3, 8, Sizes::Same(Sectors(4 * 8))).unwrap();
        let cell = |member, row: u64| match geometry.unmap(Member(member), Sector(row * 8)) {
            Some(Content::Data(at)) => at.0 / 8,
            _ => 99,
        };
        (0..4).map(|row| (0..3).map(|member| cell(member, row)).collect()).collect()
    };
    assert_eq!(draw(raid10(2, 1, false, FarSets::All)), [[0, 0, 1], [1, 2, 2], [3, 3, 4], [4, 5, 5]]);
    assert_eq!(draw(raid10(1, 2, false, FarSets::All)), [[0, 1, 2], [3, 4, 5], [2, 0, 1], [5, 3, 4]]);
    assert_eq!(draw(raid10(1, 2, true, FarSets::All)), [[0, 1, 2], [2, 0, 1], [3, 4, 5], [5, 3, 4]]);
}

/// The historic far sets may be smaller than the number of copies: `raid10.c` warns that they give no safety, and maps them.
fn unsafe_sets(level: Level, n: u16) -> bool {
    let Level::Raid10(layout) = level else { return false };
    layout.sets == FarSets::ByCount && n / u16::from(layout.far) < u16::from(layout.near) * u16::from(layout.far)
}

fn any_raid10() -> impl Strategy<Value = (Level, u16)> {
    let sets = prop_oneof![Just(FarSets::All), Just(FarSets::ByCount), Just(FarSets::ByCopies)];
    (1..5_u8, 1..4_u8, any::<bool>(), sets, 1..24_u16)
        .prop_map(|(near, far, offset, sets, n)| (raid10(near, far, offset, sets), n))
}

proptest! {
    #[test]
    fn raid10_copies_lie_on_different_members_and_come_back((level, n) in any_raid10(), rows in 1..40_u64) {
        let Ok(geometry) = geometry(level, n, 8, Sizes::Same(Sectors(rows * 8))) else { return Ok(()) };
        let mut taken = BTreeSet::new();
        for chunk in 0..geometry.array_size().0 / 8 {
            let at = Sector(chunk * 8 + 3);
            let places: Vec<Place> = geometry.copies(at).collect();
            let members: BTreeSet<Member> = places.iter().map(|place| place.member).collect();
            if !unsafe_sets(level, n) {
                prop_assert_eq!(members.len(), places.len());
            }
            for place in places {
                prop_assert!(place.at.0 < geometry.member_size(place.member).0);
                prop_assert!(geometry.member_size(place.member).0 <= rows * 8);
                prop_assert!(taken.insert((place.member, place.at)), "two chunks share a place");
                prop_assert_eq!(geometry.unmap(place.member, place.at), Some(Content::Data(at)));
            }
        }
    }

    #[test]
    fn raid10_survives_exactly_what_leaves_a_copy_of_everything((level, n) in any_raid10(), lost in any::<u64>()) {
        let Ok(geometry) = geometry(level, n, 8, Sizes::Same(Sectors(12 * 8))) else { return Ok(()) };
        let missing: Columns = Columns::first(n).iter().filter(|member| lost >> member.0 & 1 == 1).collect();
        let whole = (0..geometry.array_size().0 / 8)
            .all(|chunk| geometry.copies(Sector(chunk * 8)).any(|place| !missing.contains(place.member)));
        prop_assert_eq!(geometry.survives(missing), whole);
    }

    #[test]
    fn linear_and_mirrors_come_back(sizes in prop::collection::vec(1..50_u64, 1..8), chunk in 0..5_u64) {
        let sectors: Vec<Sectors> = sizes.iter().map(|size| Sectors(*size)).collect();
        let members = u16::try_from(sizes.len()).unwrap();
        for level in [Level::Linear, Level::Raid1] {
            let Ok(geometry) = geometry(level, members, chunk, Sizes::Each(&sectors)) else { continue };
            let mut taken = BTreeSet::new();
            for at in (0..geometry.array_size().0).map(Sector) {
                for place in geometry.copies(at) {
                    prop_assert!(place.at.0 < sizes[usize::from(place.member.0)]);
                    prop_assert!(taken.insert((place.member, place.at)));
                    prop_assert_eq!(geometry.unmap(place.member, place.at), Some(Content::Data(at)));
                }
            }
            prop_assert_eq!(geometry.map(Sector(geometry.array_size().0)), None);
        }
    }

    #[test]
    fn no_description_makes_the_validator_panic(
        level in 0..30_usize, members in any::<u16>(), chunk in any::<u64>(), size in any::<u64>(), at in any::<u64>(),
        near in any::<u8>(), far in any::<u8>(), stated in proptest::option::of(any::<u64>()),
    ) {
        let level = parity_levels().nth(level).unwrap_or(raid10(near, far, chunk & 1 == 1, FarSets::ByCopies));
        for chunk in [chunk, 8, 1 << 20] {
            let config = ArrayConfig {
                level, members: members % 300, chunk: Sectors(chunk), sizes: Sizes::Same(Sectors(size)),
                array_size: stated.map(Sectors),
            };
            let Ok(geometry) = Geometry::new(&config) else { continue };
            let at = Sector(at % geometry.array_size().0);
            let place = geometry.map(at).unwrap();
            prop_assert_eq!(geometry.unmap(place.member, place.at), Some(Content::Data(at)));
        }
    }

    #[test]
    fn pieces_cover_a_range_once(at in 0..900_u64, len in 0..900_u64) {
        let geometry = geometry(Level::Raid5(Raid5Layout::LeftSymmetric), 5, 16, Sizes::Same(Sectors(240))).unwrap();
        let mut next = at;
        for piece in geometry.pieces(Sector(at), Sectors(len)) {
            prop_assert_eq!(piece.at, Sector(next));
            prop_assert!(piece.len.0 > 0 && piece.len <= piece.place.run);
            prop_assert_eq!(geometry.map(piece.at), Some(piece.place));
            next += piece.len.0;
        }
        prop_assert_eq!(next, (at + len).min(geometry.array_size().0).max(at));
    }
}

#[test]
fn refusals_name_the_numbers() {
    let five = Level::Raid5(Raid5Layout::LeftSymmetric);
    let same = |sectors| Sizes::Same(Sectors(sectors));
    let most = 255;
    assert_eq!(geometry(five, 1, 8, same(80)), Err(ConfigError::Members { found: 1, least: 2, most }));
    assert_eq!(geometry(five, 256, 8, same(80)), Err(ConfigError::Members { found: 256, least: 1, most }));
    assert_eq!(geometry(five, 3, 0, same(80)), Err(ConfigError::NoChunk));
    assert_eq!(geometry(five, 3, 24, same(240)), Err(ConfigError::Chunk { found: Sectors(24) }));
    let (found, least) = (Sectors(80), Sectors(128));
    assert_eq!(geometry(five, 3, 128, same(80)), Err(ConfigError::TooSmall { found, least }));
    let largest = Sectors(u64::MAX);
    assert_eq!(geometry(five, 255, 8, same(u64::MAX)), Err(ConfigError::TooBig { members: 255, largest }));
    let short = [Sectors(80); 2];
    assert_eq!(geometry(five, 3, 8, Sizes::Each(&short)), Err(ConfigError::SizesOfOthers { members: 3, sizes: 2 }));
    let ten = raid10(2, 2, false, FarSets::All);
    assert_eq!(geometry(ten, 3, 8, same(80)), Err(ConfigError::Copies { near: 2, far: 2, members: 3 }));
    assert_eq!(geometry(ten, 4, 24, same(240)), Err(ConfigError::Chunk { found: Sectors(24) }));
    let config =
        ArrayConfig { level: five, members: 3, chunk: Sectors(8), sizes: same(80), array_size: Some(Sectors(161)) };
    assert_eq!(Geometry::new(&config), Err(ConfigError::ArraySize { found: Sectors(161), most: Sectors(160) }));
}
