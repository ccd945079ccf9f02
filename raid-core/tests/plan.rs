//! The plan against arrays of one-byte sectors: whatever is lost, what the plan says gives the right bytes, or it says "lost"
//! exactly when the level does not survive. No planned read ever touches what is not trusted.

#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use raid_core::geometry::{ConfigError, Content, Geometry, Part};
use raid_core::health::{Event, Health};
use raid_core::plan::{self, By, How, Readable, Recover, Trust, WithoutRuns};
use raid_core::reshape::{Layouts, Side};
use raid_core::{
    ArrayConfig, Columns, Extent, FarSets, Level, Member, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout, Sector,
    Sectors, Sizes,
};

const CHUNK: u64 = 8;
const ROWS: u64 = 13;

fn try_geometry(level: Level, members: u16) -> Result<Geometry, ConfigError> {
    let sizes = Sizes::Same(Sectors(ROWS * CHUNK));
    Geometry::new(&ArrayConfig { level, members, chunk: Sectors(CHUNK), sizes, array_size: None })
}

fn geometry(level: Level, members: u16) -> Geometry {
    try_geometry(level, members).unwrap()
}

/// Times g, by the book: shift, and reduce by 0x11d.
fn times_g(value: u8) -> u8 {
    (value << 1) ^ if value & 0x80 == 0 { 0 } else { 0x1d }
}

fn power_times(exponent: u8, value: u8) -> u8 {
    (0..exponent).fold(value, |value, _| times_g(value))
}

fn inverse(value: u8) -> u8 {
    (1..=255).find(|other| multiply(*other, value) == 1).unwrap()
}

fn multiply(mut a: u8, b: u8) -> u8 {
    let mut sum = 0;
    for bit in 0..8 {
        if b >> bit & 1 == 1 {
            sum ^= a;
        }
        a = times_g(a);
    }
    sum
}

/// What array sector `at` holds.
fn byte(at: u64) -> u8 {
    u8::try_from((at.wrapping_mul(0x9e37_79b9) >> 7) & 0xff).unwrap()
}

/// Members' sectors, in both shapes' places.
#[derive(Clone, Default)]
struct Disks(BTreeMap<(Side2, u8, u64), u8>);

type Side2 = bool;

fn side2(side: Side) -> Side2 {
    side == Side::New
}

impl Disks {
    fn fill(&mut self, side: Side, geometry: &Geometry) {
        for at in 0..geometry.array_size().0 {
            for place in geometry.copies(Sector(at)) {
                self.0.insert((side2(side), place.member.0, place.at.0), byte(at));
            }
        }
        for row in 0..ROWS * CHUNK {
            let Some(stripe) = geometry.stripe(raid_core::StripeNo(row / CHUNK)) else { return };
            let (mut p, mut q) = (0, 0);
            for index in 0..stripe.data_count() {
                let member = stripe.data(index).unwrap();
                let data = self.0[&(side2(side), member.0, row)];
                p ^= data;
                q ^= power_times(stripe.exponent(member).unwrap_or(0), data);
            }
            self.0.insert((side2(side), stripe.p().0, row), p);
            if let Some(member) = stripe.q() {
                self.0.insert((side2(side), member.0, row), q);
            }
        }
    }
}

/// Trust with missing members, marks on some, a bad run on each of some, and rows in doubt from a sector on.
#[derive(Debug)]
struct World {
    missing: Columns,
    marks: BTreeMap<u8, u64>,
    bad: BTreeMap<u8, (u64, u64)>,
    doubt_from: u64,
}

impl World {
    fn whole() -> Self {
        Self { missing: Columns::EMPTY, marks: BTreeMap::new(), bad: BTreeMap::new(), doubt_from: u64::MAX }
    }

    /// The same trust, but for bad runs and doubt, as the core's own value.
    fn health(&self, members: u16) -> Health {
        let mut health = Health::new(members).unwrap();
        for member in Columns::first(members).difference(self.missing).iter() {
            let event = match self.marks.get(&member.0) {
                Some(mark) => Event::Rebuild { mark: Sector(*mark) },
                None => Event::Admit,
            };
            health.apply(member, event).unwrap();
        }
        health
    }

    fn trusts(&self, member: Member, at: u64) -> bool {
        !self.missing.contains(member)
            && self.marks.get(&member.0).is_none_or(|mark| at < *mark)
            && self.bad.get(&member.0).is_none_or(|(from, to)| !(*from..*to).contains(&at))
    }
}

impl Trust for World {
    fn readable(&self, _: Side, member: Member, at: Sector, len: Sectors) -> (Readable, Sectors) {
        let now = self.trusts(member, at.0);
        let run = (1..=len.0).take_while(|step| self.trusts(member, at.0 + step - 1) == now).last().unwrap_or(0);
        (if now { Readable::Yes } else { Readable::No }, Sectors(run))
    }

    fn doubted(&self, _: Side, at: Sector, len: Sectors) -> (bool, Sectors) {
        if at.0 >= self.doubt_from { (true, len) } else { (false, len.min(Sectors(self.doubt_from - at.0))) }
    }
}

fn recover(disks: &Disks, world: &World, side: Side, recover: &Recover, offset: u64) -> u8 {
    let at = recover.at.0 + offset;
    let (mut p, mut q) = (0, 0);
    for (member, part) in recover.reads() {
        assert!(world.trusts(member, at), "the plan reads {member} at {at}, which is not trusted");
        let value = disks.0[&(side2(side), member.0, at)];
        match part {
            Part::P => p ^= value,
            Part::Q => q ^= value,
            Part::Data(_) => {
                p ^= value;
                q ^= power_times(recover.stripe.exponent(member).unwrap_or(0), value);
            }
        }
    }
    let power = |member| power_times(recover.stripe.exponent(member).unwrap_or(0), 1);
    match recover.by {
        By::P => p,
        By::Q => multiply(q, inverse(power(recover.wanted))),
        By::PAndQ { other } => {
            let (a, b) = (power(recover.wanted), power(other));
            multiply(q ^ multiply(b, p), inverse(a ^ b))
        }
    }
}

/// Reads everything; returns what came, `None` where it was lost or in doubt.
fn read_all(layouts: &Layouts, disks: &Disks, world: &World, trust: &impl Trust, at_once: u64) -> Vec<Option<u8>> {
    let mut bytes = Vec::new();
    let size = layouts.array_size().0;
    while (bytes.len() as u64) < size {
        let at = bytes.len() as u64;
        let step = plan::read(layouts, trust, Sector(at), Sectors(at_once)).unwrap();
        assert!(step.len.0 >= 1 && step.len.0 <= at_once.min(size - at));
        for offset in 0..step.len.0 {
            bytes.push(match &step.how {
                How::Direct { place } => {
                    assert!(world.trusts(place.member, place.at.0 + offset));
                    Some(disks.0[&(side2(step.side), place.member.0, place.at.0 + offset)])
                }
                How::Recover(how) => {
                    assert!(how.at.0 + offset < world.doubt_from);
                    Some(recover(disks, world, step.side, how, offset))
                }
                How::Doubted(how) => {
                    assert!(how.at.0 + offset >= world.doubt_from);
                    None
                }
                How::Lost { missing } => {
                    let place = layouts.geometry(step.side).map(Sector(at + offset)).unwrap();
                    assert!(missing.contains(place.member), "what is lost there lives on {place:?}, not {missing:?}");
                    None
                }
            });
        }
    }
    assert!(plan::read(layouts, trust, Sector(size), Sectors(1)).is_err());
    bytes
}

fn any_level() -> impl Strategy<Value = Level> {
    prop_oneof![
        1 => Just(Level::Raid0(Raid0Layout::Alternate)),
        1 => Just(Level::Raid1),
        1 => Just(Level::Raid4),
        2 => prop::sample::select(&Raid5Layout::ALL[..]).prop_map(Level::Raid5),
        4 => prop::sample::select(&Raid6Layout::ALL[..]).prop_map(Level::Raid6),
        4 => (prop_oneof![Just((2, 1)), Just((1, 2)), Just((2, 2)), Just((1, 3))], any::<bool>())
            .prop_map(|((near, far), offset)| Level::Raid10(Raid10Layout { near, far, offset, sets: FarSets::All })),
    ]
}

fn any_world() -> impl Strategy<Value = World> {
    let rows = ROWS * CHUNK;
    let marks = prop::collection::btree_map(0..7_u8, 0..rows, 0..3);
    let bad = prop::collection::btree_map(0..7_u8, (0..rows, 0..20_u64), 0..4);
    let doubt = prop_oneof![3 => Just(u64::MAX), 1 => 0..rows];
    (prop::collection::vec(0..7_u8, 0..3), marks, bad, doubt).prop_map(|(missing, marks, bad, doubt_from)| World {
        missing: missing.into_iter().map(Member).collect(),
        marks,
        bad: bad.into_iter().map(|(slot, (from, len))| (slot, (from, from + len))).collect(),
        doubt_from,
    })
}

/// Members that cannot be trusted at all rows where this array sector needs them.
fn untrusted(world: &World, row: u64, members: u16) -> Columns {
    Columns::first(members).iter().filter(|member| !world.trusts(*member, row)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_comes_is_right_and_only_what_must_be_is_lost(
        level in any_level(), members in 4..8_u16, world in any_world(), at_once in 1..64_u64,
    ) {
        let geometry = try_geometry(level, members);
        // Near and offset copies together do not go on an odd count.
        prop_assume!(!matches!(geometry, Err(ConfigError::CopiesOverlap { .. })));
        let geometry = geometry.unwrap();
        let mut disks = Disks::default();
        disks.fill(Side::Old, &geometry);
        let layouts = Layouts::one(geometry.clone());
        for (at, got) in (0..).zip(read_all(&layouts, &disks, &world, &world, at_once)) {
            match got {
                Some(value) => prop_assert_eq!(value, byte(at), "sector {}", at),
                None => {
                    let copy_left = geometry.copies(Sector(at)).any(|place| world.trusts(place.member, place.at.0));
                    prop_assert!(!copy_left, "sector {} was there to be read", at);
                    let place = geometry.map(Sector(at)).unwrap();
                    let lost = untrusted(&world, place.at.0, members);
                    let parity = geometry.stripe(place.stripe).is_some();
                    prop_assert!(!parity || !geometry.survives(lost) || place.at.0 >= world.doubt_from);
                }
            }
        }
    }

    #[test]
    fn health_without_bad_runs_is_trusted_like_the_world_it_describes(
        level in any_level(), members in 4..8_u16, world in any_world(), bad in 0..7_u8, at_once in 1..64_u64,
    ) {
        let Ok(geometry) = try_geometry(level, members) else { return Ok(()) };
        let world = World {
            bad: world.bad.into_iter().take(1).map(|(_, run)| (bad, run)).collect(), doubt_from: u64::MAX, ..world
        };
        let mut disks = Disks::default();
        disks.fill(Side::Old, &geometry);
        let layouts = Layouts::one(geometry);
        let runs: Vec<Extent> = world.bad.values()
            .map(|(from, to)| Extent { at: Sector(*from), len: Sectors(to - from) }).collect();
        let trust = WithoutRuns { trust: &world.health(members), member: Member(bad), runs: &runs };
        let wanted = read_all(&layouts, &disks, &world, &world, at_once);
        prop_assert_eq!(read_all(&layouts, &disks, &world, &trust, at_once), wanted);
    }

    #[test]
    fn both_sides_of_a_reshape_read_right(
        stripes in 0..=13_u64, backwards in any::<bool>(), lost in 0..6_u8, at_once in 1..64_u64,
    ) {
        let (narrow, wide) = (
            geometry(Level::Raid5(Raid5Layout::LeftSymmetric), 4),
            geometry(Level::Raid6(Raid6Layout::LeftSymmetric), 6),
        );
        let (old, new) = if backwards { (wide, narrow) } else { (narrow, wide) };
        let mut disks = Disks::default();
        disks.fill(Side::Old, &old);
        disks.fill(Side::New, &new);
        let step = CHUNK * u64::from(new.stripe(raid_core::StripeNo(0)).unwrap().data_count());
        let layouts = Layouts::two(old, new, Sector(stripes * step), backwards).unwrap();
        let world = World { missing: Columns::one(Member(lost)), ..World::whole() };
        prop_assert!(layouts.survives(world.missing));
        for (at, got) in (0..).zip(read_all(&layouts, &disks, &world, &world, at_once)) {
            prop_assert_eq!(got, Some(byte(at)), "sector {}", at);
        }
    }
}

/// A write-mostly mirror is read only when nobody else has the sector.
#[test]
fn a_write_mostly_copy_is_read_last() {
    struct Reluctant;
    impl Trust for Reluctant {
        fn readable(&self, _: Side, member: Member, at: Sector, len: Sectors) -> (Readable, Sectors) {
            match member.0 {
                0 => (Readable::IfNeeded, len),
                _ if at.0 < 10 => (Readable::Yes, len.min(Sectors(10 - at.0))),
                _ => (Readable::No, len),
            }
        }
    }
    let layouts = Layouts::one(geometry(Level::Raid1, 2));
    let member = |at| match plan::read(&layouts, &Reluctant, Sector(at), Sectors(50)).unwrap().how {
        How::Direct { place } => place.member.0,
        how => panic!("{how:?}"),
    };
    assert_eq!((member(0), member(10)), (1, 0));
}

/// Unused tails are no data: `Content` says so for every member sector that no copy names.
#[test]
fn every_sector_of_every_member_is_data_parity_or_unused() {
    for members in 4..7 {
        let ten = Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All };
        let geometry = geometry(Level::Raid10(ten), members);
        let mut used = 0;
        for member in Columns::first(members).iter() {
            for at in 0..geometry.member_size(member).0 {
                used += u64::from(matches!(geometry.unmap(member, Sector(at)), Some(Content::Data(_))));
            }
        }
        assert_eq!(used, geometry.array_size().0 * 2);
    }
}
