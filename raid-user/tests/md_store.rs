//! The MD store without a kernel: what is said survives a power cut at every sector, members that fail stay out, new ones come in.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::io;
use std::sync::{Arc, Mutex};

use raid_core::health::{Event, Health, State};
use raid_core::region::RegionNo;
use raid_core::rows::RowNo;
use raid_core::{FarSets, Level, Member, Raid5Layout, Raid6Layout, Raid10Layout, Sector, Sectors};
use raid_formats::assemble::Claimant;
use raid_formats::md::Version;
use raid_formats::record::{Name, Sync, Uuid};
use raid_user::array::OpenOptions;
use raid_user::create::NewArray;
use raid_user::discover::Found;
use raid_user::host::md_store::{StartError, md_start_on};
use raid_user::host::start::{Start, Stopped};
use raid_user::media::{Media, MediaMut, MemMedia, SharedMedia, SharedMediaMut};

const MEMBER_BYTES: usize = 4 << 20;
const RAID5: Level = Level::Raid5(Raid5Layout::LeftSymmetric);
const VERSIONS: [Version; 4] = [Version::V0Little, Version::V1_0, Version::V1_1, Version::V1_2];

/// One sector written, in the order of writes to all members.
type Log = Arc<Mutex<Vec<(usize, u64, [u8; 512])>>>;

/// A medium that notes every sector written.
struct Noting {
    inner: MemMedia,
    index: usize,
    log: Log,
}

impl Media for Noting {
    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset_bytes, buf)
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

impl MediaMut for Noting {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        assert!(offset_bytes.is_multiple_of(512) && buf.len().is_multiple_of(512), "{offset_bytes}+{}", buf.len());
        for (sector, bytes) in (offset_bytes / 512..).zip(buf.as_chunks::<512>().0) {
            self.log.lock().unwrap().push((self.index, sector, *bytes));
        }
        self.inner.write_at(offset_bytes, buf)
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
    fn write_zeroes(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        unreachable!("metadata are written")
    }
    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        unreachable!("metadata are written")
    }
}

type Disks = Vec<Vec<u8>>;

fn made(version: Version, level: Level, members: usize, bitmap: bool, clean: bool) -> Disks {
    let media: Vec<Arc<MemMedia>> =
        (0..members).map(|slot| Arc::new(MemMedia::new(&format!("m{slot}"), vec![0; MEMBER_BYTES]))).collect();
    let new = NewArray {
        version,
        level,
        chunk: if level == Level::Raid1 { Sectors(0) } else { Sectors(16) },
        bitmap: bitmap.then_some(Some(8192)),
        name: Name([0; 32]),
        used: None,
        assume_clean: clean,
        array: Uuid([7; 16]),
        created_s: 1_700_000_000,
    };
    let shared: Vec<Option<SharedMediaMut>> = media.iter().map(|media| Some(media.clone() as SharedMediaMut)).collect();
    new.create(&shared).unwrap();
    media.iter().map(|media| media.contents()).collect()
}

/// Starts the array of these disks, but for those `lost`; a disk without a superblock counts as lost too.
fn start(disks: &Disks, lost: &[usize], options: &OpenOptions) -> (Result<Start, StartError>, Log) {
    let log = Log::default();
    let members = disks.iter().enumerate().filter(|(index, _)| !lost.contains(index));
    let members = members.filter_map(|(index, bytes)| {
        let inner = MemMedia::new(&format!("m{index}"), bytes.clone());
        let media = Arc::new(Noting { inner, index, log: log.clone() });
        Found::inspect(&format!("m{index}"), media.clone() as SharedMedia).ok().map(|found| (found, media as _))
    });
    (md_start_on(members.collect(), options), log)
}

fn replayed(disks: &Disks, log: &Log, writes: usize) -> Disks {
    let mut disks = disks.clone();
    for (index, sector, bytes) in log.lock().unwrap().iter().take(writes) {
        let at = usize::try_from(*sector * 512).unwrap();
        disks[*index][at..at + 512].copy_from_slice(bytes);
    }
    disks
}

fn run(disks: &Disks, lost: &[usize], work: impl FnOnce(&Start)) -> (Disks, Log) {
    let (started, log) = start(disks, lost, &OpenOptions::default());
    work(&started.unwrap());
    (replayed(disks, &log, usize::MAX), log)
}

fn log_all(start: &Start, words: &[u64]) {
    for (slot, seat) in (0..).zip(&start.slots) {
        if seat.media.is_some() {
            start.store.write_log(Member(slot), 0, words).unwrap();
        }
    }
}

/// The member fails, and the others are told.
fn fail(start: &Start, member: u8) {
    let mut health = start.health;
    health.apply(Member(member), Event::Fail).unwrap();
    for other in health.in_sync().iter() {
        start.store.write_health(other, &health).unwrap();
    }
}

fn record(bytes: &[u8]) -> raid_formats::record::Record {
    *Found::inspect("m", Arc::new(MemMedia::new("m", bytes.to_vec()))).unwrap().record()
}

fn regions(start: &Start) -> Vec<u64> {
    start.doubt.iter().map(|region| region.0).collect()
}

fn options(trust: bool) -> OpenOptions {
    OpenOptions { trust_dirty_parity: trust, ..OpenOptions::default() }
}

#[test]
fn bits_that_were_written_are_what_the_next_start_doubts() {
    for version in VERSIONS {
        for level in
            [Level::Raid1, RAID5, Level::Raid10(Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All })]
        {
            let disks = made(version, level, 3, true, true);
            let (disks, _) = run(&disks, &[], |start| {
                assert_eq!((start.doubt.len(), start.region_rows), (0, 2));
                log_all(start, &[0b1001]);
            });
            let (started, _) = start(&disks, &[], &options(false));
            assert_eq!(regions(&started.unwrap()), [0, 3], "{version:?} {level:?}");
            // Bits of one member alone count too: the power may have failed before the others had them.
            let (disks, _) = run(&disks, &[], |start| start.store.write_log(Member(2), 0, &[0b1011]).unwrap());
            let (started, _) = start(&disks, &[], &options(false));
            assert_eq!(regions(&started.unwrap()), [0, 1, 3]);
            let (disks, _) = run(&disks, &[], |start| {
                log_all(start, &[0]);
                start.store.stop(&start.health, Stopped::Clean).unwrap();
            });
            assert_eq!(record(&disks[0]).sync, Sync::Clean);
            assert_eq!(start(&disks, &[], &options(false)).0.unwrap().doubt, []);
        }
    }
}

#[test]
fn without_a_bitmap_the_one_page_is_the_clean_flag() {
    for version in VERSIONS {
        let disks = made(version, Level::Raid6(Raid6Layout::LeftSymmetric), 4, false, true);
        let (dirty, _) = run(&disks, &[], |start| {
            assert!(start.region_rows >= start.rows.count());
            log_all(start, &[0]);
            log_all(start, &[1]);
        });
        assert!(dirty.iter().all(|disk| record(disk).sync == Sync::DirtyFrom(Sector(0))));
        let (clean, _) = run(&dirty, &[], |start| {
            assert_eq!(start.doubt, [RegionNo(0)]);
            log_all(start, &[1]);
            log_all(start, &[0]);
        });
        assert!(clean.iter().all(|disk| record(disk).sync == Sync::Clean));
        let events: Vec<u64> = clean.iter().map(|disk| record(disk).events).collect();
        assert!(events.iter().all(|count| *count == events[0]), "{events:?}");
    }
}

/// Linux says it so too: `resync_offset`, which counts in an array that was stopped (`md.c`, `super_1_sync`).
#[test]
fn a_resync_that_was_stopped_goes_on_from_where_it_was_if_there_is_no_bitmap() {
    for version in VERSIONS {
        for (bitmap, from) in [(false, RowNo(5)), (true, RowNo(0))] {
            let disks = made(version, RAID5, 4, bitmap, false);
            let (stopped, _) = run(&disks, &[], |start| {
                log_all(start, &[u64::MAX]);
                start.store.stop(&start.health, Stopped::InDoubt { from: RowNo(5) }).unwrap();
            });
            let (again, log) = start(&stopped, &[], &options(false));
            let again = again.unwrap();
            assert_eq!((again.doubt_from, again.doubt.is_empty()), (from, false), "{version:?}");
            // Once it runs, nothing is known until it is stopped again.
            log_all(&again, &[u64::MAX]);
            let (crashed, _) = start(&replayed(&stopped, &log, usize::MAX), &[], &options(false));
            assert_eq!(crashed.unwrap().doubt_from, RowNo(0), "{version:?}");
        }
    }
}

#[test]
fn a_cut_at_every_sector_leaves_an_array_that_starts_with_every_bit_that_was_promised() {
    for version in VERSIONS {
        for bitmap in [false, true] {
            let disks = made(version, RAID5, 4, bitmap, true);
            let (started, log) = start(&disks, &[], &options(false));
            let started = started.unwrap();
            log_all(&started, &[0]);
            log_all(&started, &[1]);
            let promised = log.lock().unwrap().len();
            log_all(&started, &[1]);
            log_all(&started, &[0]);
            let cleared = log.lock().unwrap().len();
            for cut in 0..=cleared {
                let (again, _) = start(&replayed(&disks, &log, cut), &[], &options(false));
                let again = again.unwrap_or_else(|error| panic!("{version:?} cut at {cut}: {error}"));
                assert_eq!(again.health.in_sync().len(), 4, "{version:?} {bitmap} cut at {cut}");
                assert!(cut != promised || regions(&again) == [0], "{version:?} {bitmap}");
            }
        }
    }
}

#[test]
fn a_cut_at_every_sector_of_a_failure_leaves_an_array_that_starts() {
    for version in VERSIONS {
        let disks = made(version, RAID5, 4, true, true);
        let (started, log) = start(&disks, &[], &options(false));
        fail(&started.unwrap(), 2);
        let all = log.lock().unwrap().len();
        for cut in 0..=all {
            let (again, _) = start(&replayed(&disks, &log, cut), &[], &options(false));
            let told = cut == all;
            match again {
                // Version 0.90 keeps its table in eight sectors. Torn, one member more drops out.
                Ok(again) if version == Version::V0Little => {
                    let missing = again.health.missing();
                    assert!(missing.len() <= 1 && (!told || missing.contains(Member(2))), "cut at {cut}: {missing:?}");
                }
                Ok(again) => {
                    let missing = again.health.missing();
                    assert!(missing.len() <= 1 && missing.contains(Member(2)) == (missing.len() == 1), "{missing:?}");
                    assert!(!told || missing.len() == 1);
                }
                Err(error) => assert!(version == Version::V0Little && !told, "{version:?} cut at {cut}: {error}"),
            }
        }
    }
}

#[test]
fn a_member_that_was_thrown_out_stays_out_although_it_says_nothing_of_it() {
    for version in VERSIONS {
        for bitmap in [false, true] {
            let disks = made(version, RAID5, 3, bitmap, true);
            let (disks, _) = run(&disks, &[], |start| {
                log_all(start, &[0]);
                fail(start, 1);
            });
            assert!(record(&disks[0]).events == record(&disks[1]).events + 1);
            let again = start(&disks, &[], &options(false)).0.unwrap();
            assert_eq!(again.health.state(Member(1)), Some(State::Missing), "{version:?}");
            assert_eq!(again.health.in_sync().len(), 2);
        }
    }
}

#[test]
fn a_member_that_did_not_come_is_written_off_with_the_first_write() {
    for version in VERSIONS {
        for bitmap in [false, true] {
            let disks = made(version, Level::Raid1, 2, bitmap, true);
            // It does not come once; the array is written to; then it is back.
            let (disks, _) = run(&disks, &[1], |start| start.store.write_log(Member(0), 0, &[1]).unwrap());
            let again = start(&disks, &[], &options(false)).0.unwrap();
            assert_eq!(again.health.state(Member(1)), Some(State::Missing), "{version:?} {bitmap}");
        }
    }
}

#[test]
fn a_dirty_degraded_parity_array_is_refused_with_what_is_in_doubt_unless_believed() {
    for version in VERSIONS {
        let disks = made(version, RAID5, 3, true, true);
        let (disks, _) = run(&disks, &[], |start| log_all(start, &[0b110]));
        let (refused, log) = start(&disks, &[0], &options(false));
        let why = refused.err().unwrap().to_string();
        assert!(why.contains("64 sectors of each member are in doubt (16-47)") || why.contains("(16-47)"), "{why}");
        assert!(log.lock().unwrap().is_empty());
        let believed = start(&disks, &[0], &options(true)).0.unwrap();
        assert_eq!(believed.doubt, []);
        // Copies are not guessed from parity: a mirror starts, and its bits are synchronised.
        let mirror = made(version, Level::Raid1, 3, true, true);
        let (mirror, _) = run(&mirror, &[], |start| log_all(start, &[0b110]));
        assert_eq!(regions(&start(&mirror, &[0], &options(false)).0.unwrap()), [1, 2]);
    }
}

#[test]
fn bits_that_a_missing_member_needs_stay_until_the_array_is_whole() {
    let disks = made(Version::V1_2, Level::Raid1, 2, true, true);
    let (disks, _) = run(&disks, &[], |start| {
        log_all(start, &[0]);
        fail(start, 1);
        start.store.write_log(Member(0), 0, &[0b100]).unwrap();
        let mut health = start.health;
        health.apply(Member(1), Event::Fail).unwrap();
        start.store.stop(&health, Stopped::Clean).unwrap();
    });
    let (disks, _) = run(&disks, &[1], |start| {
        // The engine's log keeps them.
        assert_eq!((&start.doubt[..], &start.marked[..]), (&[][..], &[RegionNo(2)][..]));
        start.store.write_log(Member(0), 0, &[0b100]).unwrap();
    });
    let mut set = Vec::new();
    let media: SharedMedia = Arc::new(MemMedia::new("m0", disks[0].clone()));
    let found = Found::inspect("m0", media.clone()).unwrap();
    let source = raid_user::discover::MediaSource(media.as_ref());
    let superblock = found.superblock().unwrap().unwrap();
    let summary = raid_formats::md::read_bitmap(&source, &superblock, &mut [0; 512], |chunk| set.push(chunk)).unwrap();
    let summary = summary.unwrap();
    assert_eq!((set, summary.stale), (vec![2], false));
    // The member that left has enough events to be caught up by these bits.
    assert!(summary.events_cleared <= record(&disks[1]).events);
}

#[test]
fn a_new_member_is_written_to_with_the_next_states_only_and_comes_back_with_its_mark() {
    for version in VERSIONS {
        for bitmap in [false, true] {
            let mut disks = made(version, RAID5, 3, bitmap, true);
            let blank = disks.len();
            disks.push(vec![0; MEMBER_BYTES + (1 << 16)]);
            let (started, log) = start(&disks, &[1, blank], &options(false));
            let started = started.unwrap();
            let small = Arc::new(MemMedia::new("small", vec![0; MEMBER_BYTES / 2]));
            assert!(started.store.admit(Member(1), small).is_err());
            let inner = MemMedia::new("m3", disks[blank].clone());
            let media = Arc::new(Noting { inner, index: blank, log: log.clone() });
            let slot = started.store.admit(Member(1), media).unwrap();
            assert_eq!(slot.data_at, started.slots[0].data_at);
            assert!(log.lock().unwrap().is_empty());
            // A page can be on its way before the states are: it is taken, and not written.
            started.store.write_log(Member(1), 0, &[0]).unwrap();
            assert!(log.lock().unwrap().iter().all(|(index, ..)| *index != blank));
            let mut health = started.health;
            health.apply(Member(1), Event::Rebuild { mark: Sector(0) }).unwrap();
            let tell =
                |health: &Health| (0..3).for_each(|slot| started.store.write_health(Member(slot), health).unwrap());
            tell(&health);
            health.apply(Member(1), Event::Advance { mark: Sector(64) }).unwrap();
            tell(&health);
            let now = replayed(&disks, &log, usize::MAX);
            // The old member is there too, and must not be taken.
            let again = start(&now, &[], &options(false)).0.unwrap();
            let state = again.health.state(Member(1)).unwrap();
            // Version 0.90 has no place for marks, and calls who is being rebuilt a spare.
            let expected =
                if version == Version::V0Little { State::Missing } else { State::Rebuilding { mark: Sector(64) } };
            assert_eq!(state, expected, "{version:?} {bitmap}");
            health.apply(Member(1), Event::Finish).unwrap();
            tell(&health);
            let now = replayed(&disks, &log, usize::MAX);
            let again = start(&now, &[1], &options(false)).0.unwrap();
            assert_eq!(again.health.in_sync().len(), 3, "{version:?} {bitmap}");
            let again = start(&now, &[], &options(false)).0.unwrap();
            assert_eq!(again.health.in_sync().len(), 3);
            assert!(again.slots[1].media.as_ref().unwrap().describe() == "m3", "{version:?}");
        }
    }
}

#[test]
fn an_array_made_without_assuming_anything_is_wholly_in_doubt() {
    for bitmap in [false, true] {
        let disks = made(Version::V1_2, RAID5, 3, bitmap, false);
        let started = start(&disks, &[], &options(false)).0.unwrap();
        assert_eq!(started.doubt.len() as u64, started.rows.count().div_ceil(started.region_rows));
    }
}
