//! Members of MD arrays that come back: they get what they missed, all of it, and nothing that is not known is believed.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use raid_core::health::{Filling, State};
use raid_core::members::Unknown;
use raid_core::recovery::Rates;
use raid_core::{FarSets, Level, Member, Raid5Layout, Raid6Layout, Raid10Layout, Sectors};
use raid_formats::assemble::Claimant;
use raid_formats::md::Version;
use raid_formats::record::{Name, Uuid};
use raid_user::array::OpenOptions;
use raid_user::create::NewArray;
use raid_user::discover::Found;
use raid_user::host::md_store::md_start_on;
use raid_user::host::start::Start;
use raid_user::host::{Running, Tuning};
use raid_user::media::{Media, MediaMut, MemMedia, SharedMedia, SharedMediaMut};

const MEMBER_BYTES: usize = 4 << 20;
const VERSIONS: [Version; 4] = [Version::V0Little, Version::V1_0, Version::V1_1, Version::V1_2];
const RAID5: Level = Level::Raid5(Raid5Layout::LeftSymmetric);
const LEVELS: [(Level, usize); 4] = [
    (Level::Raid1, 3),
    (RAID5, 4),
    (Level::Raid6(Raid6Layout::LeftSymmetric), 5),
    (Level::Raid10(Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All }), 4),
];
/// A region of the bitmap.
const REGION_BYTES: u64 = 64 << 10;
const BACK: Member = Member(1);

type Disks = Vec<Arc<MemMedia>>;

fn blank(name: &str, fill: u8) -> Arc<MemMedia> {
    Arc::new(MemMedia::new(name, vec![fill; MEMBER_BYTES]))
}

fn made(version: Version, level: Level, members: usize) -> Disks {
    let disks: Disks = (0..members).map(|slot| blank(&format!("m{slot}"), 0)).collect();
    let new = NewArray {
        version,
        level,
        chunk: if level == Level::Raid1 { Sectors(0) } else { Sectors(32) },
        bitmap: Some(u32::try_from(REGION_BYTES).ok()),
        name: Name([0; 32]),
        used: None,
        assume_clean: true,
        array: Uuid([7; 16]),
        created_s: 1_700_000_000,
    };
    let shared: Vec<Option<SharedMediaMut>> = disks.iter().map(|disk| Some(disk.clone() as SharedMediaMut)).collect();
    new.create(&shared).unwrap();
    disks
}

fn start(disks: &Disks, without: &[usize]) -> Running {
    let tuning = Tuning { threads: 2, slots: 8, sweep_every: Duration::from_millis(5), ..Tuning::default() };
    Running::start(start_of(disks, without), &tuning).unwrap()
}

fn start_of(disks: &Disks, without: &[usize]) -> Start {
    let here = disks.iter().enumerate().filter(|(slot, _)| !without.contains(slot)).map(|(_, disk)| disk);
    let found = |disk: &Arc<MemMedia>| {
        (Found::inspect(&disk.describe(), disk.clone() as SharedMedia).unwrap(), disk.clone() as SharedMediaMut)
    };
    let options = OpenOptions { trust_dirty_parity: true, ..OpenOptions::default() };
    md_start_on(here.map(found).collect(), &options).unwrap()
}

fn content(running: &Running) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(running.size_bytes()).unwrap()];
    running.read_at(0, &mut bytes).unwrap();
    bytes
}

fn fill(running: &Running, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(content(running).len()).collect();
    running.write_at(0, &bytes).unwrap();
}

/// Throws a member out, and lets go of its medium.
fn lose(running: &Running, member: Member) {
    running.fail(member);
    while !running.is_noted() || !running.release(member) {
        std::thread::yield_now();
    }
}

fn data_at(disk: &Arc<MemMedia>) -> u64 {
    let found = Found::inspect("m", disk.clone() as SharedMedia).unwrap();
    found.record().data.at.bytes().unwrap()
}

/// A block of the member that is wrong, far from what was written: as long as it is, nobody wrote there.
struct Witness {
    at: u64,
    was: Vec<u8>,
}

impl Witness {
    fn new(disk: &Arc<MemMedia>) -> Self {
        let at = data_at(disk) + 20 * REGION_BYTES;
        let mut was = vec![0; 4096];
        disk.read_at(at, &mut was).unwrap();
        disk.write_at(at, &was.iter().map(|byte| !byte).collect::<Vec<_>>()).unwrap();
        Self { at, was }
    }

    fn is_wrong(&self, disk: &Arc<MemMedia>) -> bool {
        let mut now = vec![0; 4096];
        disk.read_at(self.at, &mut now).unwrap();
        now != self.was
    }

    fn put_right(self, disk: &Arc<MemMedia>) {
        disk.write_at(self.at, &self.was).unwrap();
    }
}

/// What the array holds is what it holds without each of the others, so the one that came back has all that it should.
fn must_serve(disks: &Disks, expected: &[u8], what: &str) {
    let others = (0..disks.len()).filter(|slot| *slot != usize::from(BACK.0));
    for without in others {
        // Copies, because whoever does not come is written off.
        let copy = |disk: &Arc<MemMedia>| Arc::new(MemMedia::new(&disk.describe(), disk.contents()));
        let copies: Disks = disks.iter().map(copy).collect();
        assert!(content(&start(&copies, &[without])) == expected, "{what}, without {without}");
    }
}

/// An array full of random bytes, stopped: no bit is set.
fn full(version: Version, level: Level, members: usize) -> Disks {
    let disks = made(version, level, members);
    let running = start(&disks, &[]);
    fill(&running, 1);
    assert!(running.stop().unwrap());
    disks
}

#[test]
fn a_member_that_comes_back_gets_what_it_missed_and_nothing_else() {
    let versions = VERSIONS.map(|version| (version, LEVELS[1]));
    let levels = LEVELS.map(|level| (Version::V1_2, level));
    for (version, (level, members)) in versions.into_iter().chain(levels) {
        for restarted in [false, true] {
            let what = format!("{version:?} {level:?} {restarted}");
            let disks = full(version, level, members);
            let mut running = start(&disks, &[]);
            lose(&running, BACK);
            running.write_at(3000, &[0x5A; 9000]).unwrap();
            if restarted {
                assert!(running.stop().unwrap(), "{what}");
                running = start(&disks, &[]);
                assert_eq!(running.health().state(BACK), Some(State::Missing), "{what}");
                running.write_at(30_000, &[0xA5; 100]).unwrap();
            }
            let (expected, witness) = (content(&running), Witness::new(&disks[1]));
            running.readd(BACK, disks[1].clone()).unwrap();
            running.wait_until_quiet();
            assert_eq!(running.health().state(BACK), Some(State::InSync), "{what}");
            assert!(witness.is_wrong(&disks[1]), "{what}: filled where it missed nothing");
            witness.put_right(&disks[1]);
            assert!(running.stop().unwrap(), "{what}");
            must_serve(&disks, &expected, &what);
        }
    }
}

/// Another had its slot meanwhile, and bits were taken back when that one had all: nothing tells any more what the first one lacks.
#[test]
fn a_member_whose_bits_are_gone_is_refused_and_filled_whole() {
    for (version, restarted) in VERSIONS.into_iter().flat_map(|version| [(version, false), (version, true)]) {
        let what = format!("{version:?} {restarted}");
        let mut disks = full(version, RAID5, 4);
        let mut running = start(&disks, &[]);
        lose(&running, BACK);
        let other = blank("other", 0xEE);
        running.add(BACK, other.clone()).unwrap();
        running.wait_until_quiet();
        running.write_at(70_000, &[0x77; 300_000]).unwrap();
        let old = std::mem::replace(&mut disks[1], other);
        if restarted {
            assert!(running.stop().unwrap());
            running = start(&disks, &[]);
        }
        while running.regions().dirty > 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        lose(&running, BACK);
        let refused = running.readd(BACK, old.clone()).unwrap_err();
        let unknown = refused.get_ref().and_then(|why| why.downcast_ref::<Unknown>());
        assert!(matches!(unknown, Some(Unknown::Cleared { .. })), "{what}: {refused}");
        assert_eq!(running.health().state(BACK), Some(State::Missing), "{what}");
        running.add(BACK, old.clone()).unwrap();
        running.wait_until_quiet();
        let expected = content(&running);
        assert!(running.stop().unwrap());
        disks[1] = old;
        must_serve(&disks, &expected, &what);
    }
}

/// Each was run without the other. Of two such, no catch-up makes one.
#[test]
fn who_was_written_to_without_the_others_is_refused() {
    for version in VERSIONS {
        for writes in [1_u64, 5] {
            let disks = full(version, Level::Raid1, 2);
            for (without, fill) in [(0, 0xB0), (1, 0xA0)] {
                for again in 0..if without == 0 { writes } else { 1 } {
                    let running = start(&disks, &[without]);
                    running.write_at(again * 4096, &[fill; 512]).unwrap();
                    running.stop().unwrap();
                }
            }
            let running = start(&disks, &[1]);
            let refused = running.readd(BACK, disks[1].clone()).unwrap_err();
            let unknown = refused.get_ref().and_then(|why| why.downcast_ref::<Unknown>());
            assert_eq!(unknown, Some(&Unknown::Diverged), "{version:?} {writes}: {refused}");
        }
    }
}

#[test]
fn a_medium_that_is_no_such_member_is_refused_in_words() {
    let disks = full(Version::V1_2, RAID5, 4);
    let running = start(&disks, &[1]);
    let stranger = made(Version::V1_1, RAID5, 4);
    for (disk, why) in
        [(&blank("empty", 0), "empty"), (&stranger[1], "no member of this array"), (&disks[2], "it was in slot 2")]
    {
        let refused = running.readd(BACK, disk.clone()).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    let two = made(Version::V1_2, RAID5, 4);
    let running = start(&two, &[1]);
    running.add(BACK, two[1].clone()).unwrap();
    running.pause();
    lose(&running, BACK);
    let refused = running.readd(BACK, two[1].clone()).unwrap_err().to_string();
    assert!(refused.contains("not filled yet"), "{refused}");
}

/// The plug is pulled while it is being caught up: it goes on at its mark by the bits, and still gets nothing that it did not miss.
#[test]
fn a_catch_up_that_was_cut_goes_on_by_the_bits() {
    for (level, members) in LEVELS {
        let disks = full(Version::V1_2, level, members);
        let running = start(&disks, &[]);
        lose(&running, BACK);
        for region in [0, 1, 3, 5, 6, 7, 11] {
            running.write_at(region * REGION_BYTES, &vec![0x5A; 60_000]).unwrap();
        }
        let expected = content(&running);
        running.set_rates(Rates { floor_rows_s: 40, ceiling_rows_s: 40 });
        running.readd(BACK, disks[1].clone()).unwrap();
        while running.progress().at.0 < 8 {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(running);
        let filling: Vec<Filling> = start_of(&disks, &[]).health.filling().collect();
        assert!(matches!(filling[..], [Filling { member: BACK, by_log: true, .. }]), "{level:?} {filling:?}");
        let witness = Witness::new(&disks[1]);
        let running = start(&disks, &[]);
        running.wait_until_quiet();
        assert_eq!(running.health().state(BACK), Some(State::InSync), "{level:?}");
        assert!(witness.is_wrong(&disks[1]), "{level:?}: filled where it missed nothing");
        witness.put_right(&disks[1]);
        assert!(running.stop().unwrap());
        must_serve(&disks, &expected, &format!("{level:?}"));
    }
}
