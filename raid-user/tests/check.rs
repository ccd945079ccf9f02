//! Checks and repairs of a running array on media in memory: what rots is named where it can be, and nothing else is written.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use raid_core::check::{Fault, Finding, Mended, Order, Refused, State, Trust};
use raid_core::geometry::Geometry;
use raid_core::region::RegionNo;
use raid_core::rows::{RowNo, Rows};
use raid_core::{
    ArrayConfig, Columns, FarSets, Level, Member, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout, Sector, Sectors,
    Sizes,
};
use raid_user::host::start::{Slot, Start};
use raid_user::host::{Checks, Running, Tuning};
use raid_user::media::{FaultyMedia, Media, MediaMut, MemMedia, SharedMediaMut};

const MEMBER_SECTORS: u64 = 512;
const DATA_AT: u64 = 8;

/// A running array, and the media behind its back.
struct Case {
    media: Vec<SharedMediaMut>,
    running: Running,
}

const RAID5: Level = Level::Raid5(Raid5Layout::LeftSymmetric);
const RAID6: Level = Level::Raid6(Raid6Layout::LeftSymmetric);
const EVERY_LEVEL: [(Level, usize); 8] = [
    (Level::Raid1, 2),
    (Level::Raid1, 3),
    (Level::Raid10(Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All }), 4),
    (Level::Raid10(Raid10Layout { near: 3, far: 1, offset: false, sets: FarSets::All }), 4),
    (Level::Raid4, 4),
    (RAID5, 4),
    (RAID6, 6),
    (Level::Raid6(Raid6Layout::RotatingNContinue), 5),
];

fn medium(name: usize) -> SharedMediaMut {
    let bytes = usize::try_from((MEMBER_SECTORS + DATA_AT) * 512).unwrap();
    Arc::new(MemMedia::new(&format!("d{name}"), vec![0; bytes]))
}

fn started(level: Level, media: Vec<SharedMediaMut>, missing: Columns, doubt: Vec<RegionNo>) -> Case {
    let members = u16::try_from(media.len()).unwrap();
    let config = ArrayConfig {
        level,
        members,
        chunk: if level == Level::Raid1 { Sectors(0) } else { Sectors(32) },
        sizes: Sizes::Same(Sectors(MEMBER_SECTORS)),
        array_size: None,
    };
    let rows = Rows::new(Geometry::new(&config).unwrap()).unwrap();
    let slots = (0..).map(Member).zip(&media).map(|(member, medium)| Slot {
        media: (!missing.contains(member)).then(|| medium.clone()),
        data_at: Sector(DATA_AT),
    });
    let start = Start { doubt, ..Start::forgetful(rows, slots.collect(), 16).unwrap() };
    let tuning =
        Tuning { threads: 3, slots: 8, pieces: 64, sweep_every: Duration::from_millis(20), ..Tuning::default() };
    Case { running: Running::start(start, &tuning).unwrap(), media }
}

impl Case {
    /// An array that is full of random bytes.
    fn new(level: Level, members: usize) -> Self {
        let case = started(level, (0..members).map(medium).collect(), Columns::EMPTY, Vec::new());
        let mut bytes = vec![0; usize::try_from(case.running.size_bytes()).unwrap()];
        fastrand::Rng::with_seed(7).fill(&mut bytes);
        case.running.write_at(0, &bytes).unwrap();
        case.running.flush().unwrap();
        case
    }

    fn content(&self, member: u8) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(MEMBER_SECTORS * 512).unwrap()];
        self.media[usize::from(member)].read_at(DATA_AT * 512, &mut bytes).unwrap();
        bytes
    }

    fn contents(&self) -> Vec<Vec<u8>> {
        (0..).take(self.media.len()).map(|member| self.content(member)).collect()
    }

    /// Bits of a member rot, and its disk says nothing.
    fn rot(&self, member: u8, at: u64, len: usize) {
        let mut bytes = vec![0; len];
        self.media[usize::from(member)].read_at(DATA_AT * 512 + at, &mut bytes).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x40);
        self.media[usize::from(member)].write_at(DATA_AT * 512 + at, &bytes).unwrap();
    }

    fn order(&self, repair: Option<Trust>) -> Order {
        Order { from: RowNo(0), to: RowNo(self.running.rows().count()), repair }
    }

    fn check(&self, repair: Option<Trust>) -> Checks {
        self.running.check(self.order(repair)).unwrap();
        self.running.wait_for_check()
    }

    fn is_clean(&self) -> bool {
        let checks = self.check(None);
        checks.findings.is_empty() && checks.tally.compared == self.running.rows().count()
    }
}

fn set(members: &[u8]) -> Columns {
    members.iter().copied().map(Member).collect()
}

#[test]
fn what_is_in_order_is_found_in_order_on_every_level() {
    for (level, members) in EVERY_LEVEL {
        let case = Case::new(level, members);
        assert!(case.is_clean(), "{level:?}");
        assert_eq!(case.check(Some(Trust::Data)).tally.mended, 0);
    }
}

/// One member's block rots somewhere; whoever can know says which and where, and repair gives back exactly what was there.
#[test]
fn a_rotten_block_is_named_where_that_can_be_and_repair_heals_it_and_nothing_else() {
    for (level, members) in EVERY_LEVEL {
        let case = Case::new(level, members);
        let good = case.contents();
        let knows = matches!(level, Level::Raid6(_)) || level == Level::Raid1 && members == 3;
        let knows = knows || matches!(level, Level::Raid10(layout) if layout.near == 3);
        for member in 0..u8::try_from(members).unwrap() {
            // Bytes 100..140 of sector 75: the third of its row.
            let at = 75 * 512 + 100;
            case.rot(member, at, 40);
            let rotten = case.contents();
            let checks = case.check(None);
            assert_eq!((checks.tally.wrong_sectors, checks.tally.mended), (1, 0), "{level:?} {member}");
            let [finding] = checks.findings[..] else { panic!("{checks:?}") };
            let fault = if knows { Fault::Blocks(set(&[member])) } else { Fault::Unknown };
            assert_eq!((finding.fault, finding.bytes, finding.mended), (fault, 40, Mended::NotAsked), "{level:?}");
            assert_eq!(finding.member_bytes(case.running.rows(), Member(member)), Some(at..at + 40));
            assert_eq!(case.contents(), rotten);

            let checks = case.check(Some(Trust::Nobody));
            let mended = if knows { Mended::Yes } else { Mended::Unjustified };
            assert_eq!(checks.findings, [Finding { mended, ..finding }], "{level:?} {member}");
            assert!(!checks.tally.unflushed);
            assert_eq!(case.contents(), if knows { good.clone() } else { rotten }, "{level:?} {member}");
            if !knows {
                // Everybody but the one who is said to be wrong.
                assert_eq!(case.check(Some(Trust::AllBut(Member(member)))).tally.mended, 1);
                assert_eq!(case.contents(), good, "{level:?} {member}");
            }
            assert!(case.is_clean());
        }
    }
}

#[test]
fn a_finding_says_which_sectors_of_the_array_it_is_about() {
    let case = Case::new(RAID6, 6);
    let rows = case.running.rows();
    for at in [0, 75, 200, 511] {
        for member in 0..6 {
            case.rot(member, at * 512, 1);
            let [finding] = case.check(Some(Trust::Nobody)).findings[..] else { panic!("{member} {at}") };
            let stripe = rows.stripe(finding.row).unwrap();
            let array: Vec<_> = finding.array(rows).collect();
            if member == stripe.p().0 || Some(Member(member)) == stripe.q() {
                assert_eq!(array, []);
                continue;
            }
            let place = rows.geometry().map(array[0].at).unwrap();
            assert_eq!(
                (array.len(), array[0].len, place.member, place.at),
                (1, Sectors(1), Member(member), Sector(at))
            );
        }
    }
    // Nobody is named: all data of the stripe's sector, each on its member.
    let case = Case::new(RAID5, 4);
    case.rot(0, 75 * 512, 1);
    let [finding] = case.check(None).findings[..] else { panic!() };
    let rows = case.running.rows();
    let array: Vec<_> = finding.array(rows).map(|extent| rows.geometry().map(extent.at).unwrap()).collect();
    assert!(array.len() == 3 && array.iter().all(|place| place.at == Sector(75)), "{array:?}");
}

#[test]
fn two_wrong_blocks_are_more_than_one_and_nobody_is_accused() {
    let case = Case::new(RAID6, 6);
    case.rot(1, 75 * 512, 10);
    case.rot(4, 75 * 512 + 300, 10);
    // In another sector of the same row one alone is wrong: that is still told apart.
    case.rot(2, 77 * 512, 1);
    let rotten = case.contents();
    let checks = case.check(None);
    let faults: Vec<Fault> = checks.findings.iter().map(|finding| finding.fault).collect();
    assert_eq!(faults, [Fault::Several, Fault::Blocks(set(&[2]))]);
    assert_eq!((checks.findings[0].from_bytes, checks.findings[0].to_bytes, checks.findings[0].bytes), (0, 310, 20));
    // The evidence says that more than member 1 is wrong: to trust all others would be to make it fit by force.
    let checks = case.check(Some(Trust::AllBut(Member(1))));
    assert_eq!((checks.findings[0].mended, checks.findings[1].mended), (Mended::Unjustified, Mended::Yes));
    let mut wanted = rotten;
    wanted[2][77 * 512] ^= 0x40;
    assert_eq!(case.contents(), wanted);
    // Who trusts the data gets parity that fits them, and the data stay.
    assert_eq!(case.check(Some(Trust::Data)).tally.mended, 1);
    assert!(case.is_clean());
    let stripe = case.running.rows().stripe(RowNo(9)).unwrap();
    for member in (0..6).filter(|member| *member != stripe.p().0 && Some(Member(*member)) != stripe.q()) {
        assert_eq!(case.content(member), wanted[usize::from(member)]);
    }

    let case = Case::new(Level::Raid1, 3);
    case.rot(0, 700, 1);
    case.rot(1, 701, 1);
    let [finding] = case.check(Some(Trust::Nobody)).findings[..] else { panic!() };
    assert_eq!((finding.fault, finding.mended), (Fault::Several, Mended::Unjustified));
    let good = case.content(2);
    assert_eq!(case.check(Some(Trust::Copy(Member(2)))).tally.mended, 1);
    assert_eq!(case.contents(), vec![good; 3]);
}

#[test]
fn without_a_member_raid_6_still_sees_that_something_is_wrong_and_raid_5_sees_nothing() {
    for (level, members) in [(RAID5, 4), (RAID6, 6)] {
        for missing in 0..u8::try_from(members).unwrap() {
            let case = Case::new(level, members);
            case.running.fail(Member(missing));
            case.running.wait_until_quiet();
            case.rot((missing + 1) % 4, 75 * 512, 3);
            let rotten = case.contents();
            let checks = case.check(Some(Trust::Nobody));
            if level == RAID5 {
                assert_eq!((checks.tally.blind, checks.findings.len()), (MEMBER_SECTORS / 8, 0));
            } else {
                assert_eq!(checks.findings.len(), 1);
                assert_eq!(
                    (checks.findings[0].fault, checks.findings[0].mended),
                    (Fault::Unknown, Mended::Unjustified)
                );
            }
            assert_eq!(case.contents(), rotten);
        }
    }
}

/// A row in doubt after a crash is resync's: here nothing can resync it, since a member is missing whose data would be guessed.
#[test]
fn rows_in_doubt_are_neither_judged_nor_written() {
    let whole = Case::new(RAID6, 6);
    whole.rot(2, 75 * 512, 3);
    let media = whole.media.clone();
    drop(whole);
    let case = started(RAID6, media, Columns::one(Member(0)), vec![RegionNo(0)]);
    case.running.wait_until_quiet();
    let before = case.contents();
    let checks = case.check(Some(Trust::Data));
    // 16 rows are in doubt. In those that hold parity on the missing member it could be made anew; the others stay.
    assert!((1..=16).contains(&checks.tally.in_doubt), "{checks:?}");
    assert_eq!(checks.tally.in_doubt + checks.tally.compared, MEMBER_SECTORS / 8);
    assert_eq!((checks.findings.len(), case.contents()), (0, before));
}

#[test]
fn what_cannot_be_read_is_told_and_a_repair_rewrites_it() {
    for (level, members) in EVERY_LEVEL {
        let case = Case::new(level, members);
        let good = case.contents();
        let media = case.media.clone();
        drop(case);
        for member in 0..members {
            // It fails reads, and what it holds under that is nonsense: a rewrite shows.
            media[member].write_at((DATA_AT + 75) * 512, &[0xEE; 512]).unwrap();
            let bytes = (DATA_AT + 75) * 512..(DATA_AT + 76) * 512;
            let mut some = media.clone();
            some[member] = Arc::new(FaultyMedia::new(media[member].clone()).fail_reads(bytes));
            let case = started(level, some, Columns::EMPTY, Vec::new());
            let checks = case.check(None);
            let [finding] = checks.findings[..] else { panic!("{level:?} {checks:?}") };
            let wrong = Fault::Unreadable(set(&[u8::try_from(member).unwrap()]));
            assert_eq!((finding.fault, finding.mended), (wrong, Mended::NotAsked), "{level:?}");
            let checks = case.check(Some(Trust::Nobody));
            assert_eq!(checks.findings, [Finding { mended: Mended::Yes, ..finding }], "{level:?}");
            assert_eq!(checks.tally.mended, 1);
            drop(case);
            for (medium, good) in media.iter().zip(&good) {
                let mut bytes = vec![0; good.len()];
                medium.read_at(DATA_AT * 512, &mut bytes).unwrap();
                assert!(bytes == *good, "{level:?} {member}");
            }
        }
    }
}

#[test]
fn a_check_goes_on_beside_writes_and_finds_nothing_wrong() {
    for (level, members) in EVERY_LEVEL {
        let case = Case::new(level, members);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut rng = fastrand::Rng::with_seed(3);
                for _ in 0..300 {
                    let at = rng.u64(..case.running.size_bytes() - 9000);
                    case.running.write_at(at, &vec![rng.u8(..); rng.usize(1..9000)]).unwrap();
                }
            });
            while !writer.is_finished() {
                let checks = case.check(Some(Trust::Data));
                assert_eq!(checks.findings, [], "{level:?}");
            }
        });
        assert!(case.is_clean());
    }
}

/// Zeros of any length at any place, freed or not, and discards: what reads is zeros, and redundancy fits on every level.
#[test]
fn what_becomes_zeros_reads_as_zeros_and_fits_its_redundancy() {
    for (level, members) in EVERY_LEVEL {
        let case = Case::new(level, members);
        let mut wanted = vec![0; usize::try_from(case.running.size_bytes()).unwrap()];
        case.running.read_at(0, &mut wanted).unwrap();
        let mut rng = fastrand::Rng::with_seed(11);
        for turn in 0..40 {
            let at = rng.usize(..wanted.len() - 100_000);
            let len = rng.usize(1..100_000);
            if turn % 4 == 3 {
                // Whole sectors only, and media in memory free what they are told to.
                case.running.discard(at as u64, len as u64).unwrap();
                let (from, to) = (at.next_multiple_of(512), (at + len) / 512 * 512);
                wanted[from..to.max(from)].fill(0);
            } else {
                case.running.write_zeroes(at as u64, len as u64, turn % 2 == 0).unwrap();
                wanted[at..at + len].fill(0);
            }
        }
        let mut read = vec![0; wanted.len()];
        case.running.read_at(0, &mut read).unwrap();
        assert!(read == wanted, "{level:?}");
        assert!(case.is_clean(), "{level:?}");
        case.running.fail(Member(1));
        case.running.write_zeroes(3, 70_000, true).unwrap();
        wanted[3..70_003].fill(0);
        case.running.read_at(0, &mut read).unwrap();
        assert!(read == wanted, "{level:?} degraded");
    }
}

#[test]
fn orders_that_cannot_be_are_refused_and_a_part_is_a_part() {
    let case = Case::new(RAID5, 4);
    let all = case.order(None);
    let bad = [Order { to: RowNo(0), ..all }, Order { to: RowNo(all.to.0 + 1), ..all }, Order { from: all.to, ..all }];
    assert!(bad.into_iter().all(|order| case.running.check(order) == Err(Refused::PastTheEnd)));
    case.running.pause();
    case.running.check(all).unwrap();
    assert_eq!(case.running.check(all), Err(Refused::Busy));
    case.running.stop_check();
    assert_eq!(case.running.wait_for_check().state, State::Resting);
    case.running.resume();
    case.rot(1, 75 * 512, 1);
    // Row 9, in the third stripe of four rows: array sectors 192..288.
    let part = case.running.rows_of(Sector(200)..Sector(201)).unwrap();
    assert_eq!(part, RowNo(8)..RowNo(12));
    case.running.check(Order { from: part.start, to: part.end, repair: None }).unwrap();
    let checks = case.running.wait_for_check();
    assert_eq!((checks.tally.total, checks.tally.compared, checks.findings.len()), (4, 4, 1));
    let plain = started(Level::Raid0(Raid0Layout::Alternate), (0..2).map(medium).collect(), Columns::EMPTY, Vec::new());
    assert_eq!(plain.running.check(Order { to: RowNo(1), ..all }), Err(Refused::NoRedundancy));
}
