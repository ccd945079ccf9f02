//! The stores for DDF and IMSM without a kernel: what is said survives a cut at every sector, volumes of one container do not lose each
//! other's changes, members that fail stay out, new ones come in.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use raid_core::health::{Event, State};
use raid_core::region::RegionNo;
use raid_core::rows::RowNo;
use raid_core::{Level, Member, Raid5Layout, Sector};
use raid_formats::assemble::Claimant as _;
use raid_formats::record::Sync;
use raid_testkit::{ddf_made, imsm_made};
use raid_user::array::{Array, OpenOptions};
use raid_user::discover::{Found, Identity, group};
use raid_user::host::container::container_start_on;
use raid_user::host::start::{Start, Stopped};
use raid_user::host::{Running, StartError, Tuning};
use raid_user::media::{Media, MediaMut, MemMedia, SharedMedia, SharedMediaMut};

/// One sector written, in the order of writes to all disks.
type Log = Arc<Mutex<Vec<(usize, u64, [u8; 512])>>>;

/// A disk's content: what it was, and the sectors that are other now.
#[derive(Clone)]
struct Image {
    base: Arc<Vec<u8>>,
    over: BTreeMap<u64, [u8; 512]>,
}

impl Image {
    fn new(bytes: Vec<u8>) -> Self {
        Self { base: Arc::new(bytes), over: BTreeMap::new() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.base.to_vec();
        for (sector, held) in &self.over {
            let at = usize::try_from(sector * 512).unwrap();
            bytes[at..at + 512].copy_from_slice(held);
        }
        bytes
    }

    fn read(&self, offset_bytes: u64, buf: &mut [u8]) {
        let at = usize::try_from(offset_bytes).unwrap();
        buf.copy_from_slice(&self.base[at..at + buf.len()]);
        let end = offset_bytes + buf.len() as u64;
        for (sector, held) in self.over.range(offset_bytes / 512..end.div_ceil(512)) {
            let start = sector * 512;
            let (from, until) = (start.max(offset_bytes), (start + 512).min(end));
            let part = |base: u64| usize::try_from(from - base).unwrap()..usize::try_from(until - base).unwrap();
            buf[part(offset_bytes)].copy_from_slice(&held[part(start)]);
        }
    }
}

/// A medium that notes every sector written.
struct Noting {
    name: String,
    image: Mutex<Image>,
    index: usize,
    log: Log,
}

impl Media for Noting {
    fn size_bytes(&self) -> u64 {
        self.image.lock().unwrap().base.len() as u64
    }
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        assert!(offset_bytes + buf.len() as u64 <= self.size_bytes(), "{offset_bytes}+{}", buf.len());
        self.image.lock().unwrap().read(offset_bytes, buf);
        Ok(())
    }
    fn describe(&self) -> String {
        self.name.clone()
    }
}

impl MediaMut for Noting {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        assert!(offset_bytes.is_multiple_of(512) && buf.len().is_multiple_of(512), "{offset_bytes}+{}", buf.len());
        for (sector, bytes) in (offset_bytes / 512..).zip(buf.as_chunks::<512>().0) {
            self.log.lock().unwrap().push((self.index, sector, *bytes));
            self.image.lock().unwrap().over.insert(sector, *bytes);
        }
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
    fn write_zeroes(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        unreachable!("nobody asks for it")
    }
    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        unreachable!("nobody asks for it")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ddf,
    Imsm,
}

const KINDS: [Kind; 2] = [Kind::Ddf, Kind::Imsm];

/// The disks of a container with a RAID 5 and a RAID 1 or another RAID 5 behind it, in a folder for their serial numbers.
struct World {
    kind: Kind,
    folder: tempfile::TempDir,
    disks: Vec<Image>,
    contents: Vec<Vec<u8>>,
}

impl World {
    /// `wide` volumes have all three disks; else the second has the first two (DDF).
    fn new(kind: Kind, wide: bool) -> Self {
        let (disks, contents) = match kind {
            Kind::Ddf => {
                let level = Level::Raid5(Raid5Layout::LeftSymmetric);
                let five = ddf_made::Shape { level, members: 3, chunk: 16, used: 512 };
                let one = ddf_made::Shape { level: Level::Raid1, members: 2, chunk: 16, used: 256 };
                let second = if wide { ddf_made::Shape { used: 256, ..five } } else { one };
                let made = ddf_made::Made::new(&[five, second], 3, 512);
                (made.disks, made.contents)
            }
            Kind::Imsm => {
                let five = imsm_made::Shape { level: imsm_made::FIVE, chunk: 16, used: 512, logged: false };
                let made = imsm_made::Made::new(&[five, imsm_made::Shape { used: 256, ..five }], 3, 512);
                (made.disks, made.contents)
            }
        };
        Self::of(kind, disks.into_iter().map(Image::new).collect(), contents)
    }

    fn of(kind: Kind, disks: Vec<Image>, contents: Vec<Vec<u8>>) -> Self {
        let world = Self { kind, folder: tempfile::tempdir().unwrap(), disks, contents };
        for disk in 0..6 {
            std::fs::write(format!("{}.serial", world.name(disk)), imsm_made::serial(disk)).unwrap();
        }
        world
    }

    fn name(&self, disk: usize) -> String {
        PathBuf::from(self.folder.path()).join(format!("d{disk}")).display().to_string()
    }

    /// Every volume's members among the disks that are not lost; disks that say nothing of use count as lost, too.
    fn found(&self, media: &[(usize, SharedMediaMut)]) -> Vec<Vec<(Found, SharedMediaMut)>> {
        let mut all = Vec::new();
        for (disk, media) in media {
            let shared: SharedMedia = media.clone();
            let Ok(mut found) = Found::inspect(&self.name(*disk), shared) else { continue };
            if self.kind == Kind::Imsm && found.identify(&imsm_made::serial(*disk), Identity::Told).is_err() {
                continue;
            }
            all.extend(found.volumes());
        }
        let by_name =
            |found: &Found| media.iter().find(|(disk, _)| self.name(*disk) == found.name()).unwrap().1.clone();
        let groups = group(all);
        groups.into_iter().map(|group| group.into_iter().map(|one| (one.clone(), by_name(&one))).collect()).collect()
    }

    fn media(&self, lost: &[usize]) -> (Vec<(usize, SharedMediaMut)>, Log) {
        let log = Log::default();
        let left = self.disks.iter().enumerate().filter(|(disk, _)| !lost.contains(disk));
        let media = left.map(|(index, image)| {
            let (name, image) = (self.name(index), Mutex::new(image.clone()));
            (index, Arc::new(Noting { name, image, index, log: log.clone() }) as SharedMediaMut)
        });
        (media.collect(), log)
    }

    /// Starts the volume whose array of the longest content comes first: the RAID 5 of 512 sectors is number 0.
    fn start_on(&self, media: &[(usize, SharedMediaMut)], volume: usize) -> Result<Start, StartError> {
        let mut groups = self.found(media);
        let sectors = |group: &Vec<(Found, SharedMediaMut)>| group[0].0.record().data.len.0;
        groups.sort_by_key(|group| std::cmp::Reverse(sectors(group)));
        let members = groups.remove(volume);
        let names: Vec<String> = members.iter().map(|(found, _)| found.name().to_owned()).collect();
        let others = groups.into_iter().flatten().filter(|(found, _)| !names.contains(&found.name().to_owned()));
        container_start_on(members, others.collect(), &OpenOptions::default())
    }

    fn start(&self, lost: &[usize], volume: usize) -> (Result<Start, StartError>, Log) {
        let (media, log) = self.media(lost);
        (self.start_on(&media, volume), log)
    }

    /// The disks after so many sectors of the log.
    fn after(&self, log: &Log, writes: usize) -> Self {
        let mut disks = self.disks.clone();
        for (index, sector, bytes) in log.lock().unwrap().iter().take(writes) {
            disks[*index].over.insert(*sector, *bytes);
        }
        Self::of(self.kind, disks, self.contents.clone())
    }

    /// The disks as these media hold them now.
    fn now(&self, media: &[(usize, SharedMediaMut)]) -> Self {
        let mut disks = self.disks.clone();
        for (index, media) in media {
            let mut bytes = vec![0; usize::try_from(media.size_bytes()).unwrap()];
            media.read_at(0, &mut bytes).unwrap();
            let place = disks.len().max(index + 1);
            disks.resize(place, Image::new(vec![0; 512]));
            disks[*index] = Image::new(bytes);
        }
        Self::of(self.kind, disks, self.contents.clone())
    }

    /// What each disk's record says of a volume.
    fn records(&self, volume: usize) -> Vec<raid_formats::record::Record> {
        let mut groups = self.found(&self.media(&[]).0);
        groups.sort_by_key(|group| std::cmp::Reverse(group[0].0.record().data.len.0));
        groups[volume].iter().map(|(found, _)| *found.record()).collect()
    }

    fn syncs(&self, volume: usize) -> Vec<bool> {
        self.records(volume).iter().map(|record| record.sync == Sync::Clean).collect()
    }

    /// The content of a volume read without these disks.
    fn content(&self, lost: &[usize], volume: usize) -> Vec<u8> {
        let mut groups = self.found(&self.media(lost).0);
        groups.sort_by_key(|group| std::cmp::Reverse(group[0].0.record().data.len.0));
        let found = groups.remove(volume).into_iter().map(|(found, _)| found).collect();
        let array = Array::open(found, &OpenOptions { strict: false, ..OpenOptions::default() }).unwrap();
        let mut bytes = vec![0; usize::try_from(array.size_bytes()).unwrap()];
        array.read_at(0, &mut bytes).unwrap();
        bytes
    }
}

fn log_all(start: &Start, words: &[u64]) {
    for (slot, seat) in (0..).zip(&start.slots) {
        if seat.media.is_some() {
            start.store.write_log(Member(slot), 0, words).unwrap();
        }
    }
}

/// The member fails, and the others are told.
fn fail(start: &Start, member: u8) -> raid_core::health::Health {
    let mut health = start.health;
    health.apply(Member(member), Event::Fail).unwrap();
    for other in health.in_sync().iter() {
        start.store.write_health(other, &health).unwrap();
    }
    health
}

#[test]
fn dirty_is_said_before_the_first_write_and_clean_at_the_stop_of_this_volume_alone() {
    for kind in KINDS {
        for volume in [0, 1] {
            let world = World::new(kind, kind == Kind::Imsm);
            let (start, log) = world.start(&[], volume);
            let start = start.unwrap();
            assert_eq!((start.doubt.len(), start.health.missing().len()), (0, 0));
            log_all(&start, &[1]);
            let dirty = world.after(&log, usize::MAX);
            assert!(dirty.syncs(volume).iter().all(|clean| !clean), "{kind:?}");
            assert!(dirty.syncs(1 - volume).iter().all(|clean| *clean), "{kind:?}");
            assert_eq!(dirty.start(&[], volume).0.unwrap().doubt, [RegionNo(0)]);
            let events: Vec<u64> = dirty.records(volume).iter().map(|record| record.events).collect();
            assert!(events.iter().all(|count| *count == events[0]), "{events:?}");
            start.store.stop(&start.health, Stopped::InDoubt { from: RowNo(3) }).unwrap();
            assert!(world.after(&log, usize::MAX).syncs(volume).iter().all(|clean| !clean));
            start.store.stop(&start.health, Stopped::Clean).unwrap();
            assert!(world.after(&log, usize::MAX).syncs(volume).iter().all(|clean| *clean));
        }
    }
}

#[test]
fn an_array_that_is_started_and_stopped_without_a_write_is_not_written_to() {
    for kind in KINDS {
        let world = World::new(kind, true);
        let (start, log) = world.start(&[1], 0);
        let start = start.unwrap();
        start.store.stop(&start.health, Stopped::Clean).unwrap();
        assert!(log.lock().unwrap().is_empty());
    }
}

#[test]
fn a_cut_at_every_sector_leaves_a_volume_that_starts_and_doubts_what_was_promised() {
    for kind in KINDS {
        let world = World::new(kind, true);
        let (start, log) = world.start(&[], 0);
        let start = start.unwrap();
        log_all(&start, &[1]);
        let promised = log.lock().unwrap().len();
        log_all(&start, &[0]);
        let cleared = log.lock().unwrap().len();
        for cut in 0..=cleared {
            let again = world.after(&log, cut);
            let torn = again.start(&[], 0).0.unwrap_or_else(|error| panic!("{kind:?} cut at {cut}: {error}"));
            // A disk of IMSM whose record was torn has none for this start: it has one copy only. All others are whole.
            let missing = torn.health.missing().len();
            assert!(missing <= u32::from(kind == Kind::Imsm), "{kind:?} cut at {cut}");
            assert!(cut != promised || torn.doubt == [RegionNo(0)] && missing == 0, "{kind:?}");
            assert!(cut != cleared || torn.doubt.is_empty() && missing == 0, "{kind:?}");
            assert_eq!(again.records(1).iter().filter(|record| record.sync != Sync::Clean).count(), 0);
        }
    }
}

#[test]
fn a_cut_at_every_sector_of_a_failure_leaves_a_volume_that_starts_and_the_failed_disk_stays_out() {
    for kind in KINDS {
        let world = World::new(kind, true);
        let (start, log) = world.start(&[], 0);
        fail(&start.unwrap(), 2);
        let all = log.lock().unwrap().len();
        for cut in 0..=all {
            let world = world.after(&log, cut);
            let again = match world.start(&[], 0).0 {
                Ok(again) => again,
                // A disk of IMSM has its record once. Torn just when another one failed, two are out, as with any other writer.
                Err(error) => {
                    let torn = world.records(1).len() < 3;
                    assert!(kind == Kind::Imsm && torn && cut < all, "{kind:?} cut at {cut}: {error}");
                    continue;
                }
            };
            let missing = again.health.missing();
            assert!(missing.len() <= 1, "{kind:?} cut at {cut}");
            assert!(cut != all || missing.contains(Member(2)), "{kind:?}");
        }
        // In the other volume it is out, too: the formats know failed disks only.
        let after = world.after(&log, all).start(&[], 1).0.unwrap();
        assert_eq!(after.health.state(Member(2)), Some(State::Missing), "{kind:?}");
    }
}

#[test]
fn a_member_that_did_not_come_is_written_off_with_the_first_write() {
    for kind in KINDS {
        let world = World::new(kind, true);
        let (start, log) = world.start(&[1], 0);
        let start = start.unwrap();
        for member in [0, 2] {
            start.store.write_log(Member(member), 0, &[1]).unwrap();
        }
        start.store.stop(&start.health, Stopped::Clean).unwrap();
        let again = world.after(&log, usize::MAX).start(&[], 0).0.unwrap();
        assert_eq!(again.health.state(Member(1)), Some(State::Missing), "{kind:?}");
        assert_eq!(again.health.in_sync().len(), 2);
    }
}

#[test]
fn two_volumes_that_run_at_once_keep_each_others_changes() {
    for kind in KINDS {
        let world = World::new(kind, true);
        let (media, log) = world.media(&[]);
        let (one, two) = (world.start_on(&media, 0).unwrap(), world.start_on(&media, 1).unwrap());
        log_all(&one, &[1]);
        log_all(&two, &[1]);
        log_all(&one, &[0]);
        let between = world.after(&log, usize::MAX);
        assert!(between.syncs(0).iter().all(|clean| *clean) && between.syncs(1).iter().all(|clean| !clean), "{kind:?}");
        let health = fail(&two, 0);
        log_all(&one, &[1]);
        two.store.stop(&health, Stopped::Clean).unwrap();
        one.store.stop(&one.health, Stopped::Clean).unwrap();
        let after = world.after(&log, usize::MAX);
        for volume in [0, 1] {
            assert!(after.start(&[], volume).0.unwrap().health.missing().contains(Member(0)), "{kind:?} {volume}");
            assert!(after.content(&[0], volume) == world.contents[volume], "{kind:?} {volume}");
        }
    }
}

/// Of a dirty volume that lacks a member, parity is not believed.
#[test]
fn a_dirty_degraded_volume_is_refused_unless_parity_is_believed() {
    for kind in KINDS {
        let world = World::new(kind, true);
        let (start, log) = world.start(&[], 0);
        log_all(&start.unwrap(), &[1]);
        let dirty = world.after(&log, usize::MAX);
        let (refused, log) = dirty.start(&[1], 0);
        let why = refused.err().unwrap().to_string();
        assert!(why.contains("not stopped cleanly and degraded"), "{why}");
        assert!(log.lock().unwrap().is_empty());
    }
}

#[test]
fn disks_that_hold_parts_of_other_volumes_alone_must_be_given_and_are_kept_up_to_date() {
    let world = World::new(Kind::Ddf, false);
    // The RAID 1 does not have the third disk, which holds a part of the RAID 5.
    let (refused, log) = world.start(&[2], 1);
    let why = refused.err().unwrap().to_string();
    assert!(why.contains("a0000003") && why.contains("another volume"), "{why}");
    assert!(log.lock().unwrap().is_empty());
    let (start, log) = world.start(&[], 1);
    let start = start.unwrap();
    for _ in 0..3 {
        log_all(&start, &[1]);
        log_all(&start, &[0]);
    }
    let after = world.after(&log, usize::MAX);
    assert_eq!(after.start(&[], 0).0.unwrap().health.missing().len(), 0);
    let events: Vec<u64> = after.records(0).iter().map(|record| record.events).collect();
    assert_eq!(events, [events[0]; 3]);
}

/// Fails a disk of the first volume, gives its slot to a new one, and fills it.
fn replace(world: &World, disk: usize, bytes: Vec<u8>, number: usize) -> World {
    let (media, _) = world.media(&[disk]);
    let running = Running::start(world.start_on(&media, 0).unwrap(), &Tuning::default()).unwrap();
    let new = Arc::new(MemMedia::new(&world.name(number), bytes));
    let slot = running.health().missing().iter().next().unwrap();
    running.add(slot, new.clone()).unwrap();
    running.wait_until_quiet();
    assert_eq!(running.health().missing().len() + u32::try_from(running.health().rebuilding().count()).unwrap(), 0);
    assert!(running.stop().unwrap());
    let filled = media.into_iter().chain([(number, new as SharedMediaMut)]);
    world.now(&filled.collect::<Vec<_>>())
}

#[test]
fn a_new_member_is_filled_and_serves_after_the_next_start() {
    for kind in KINDS {
        let world = World::new(kind, true);
        for longer in [0, 1 << 20] {
            let len = world.disks[0].base.len() + longer;
            let after = replace(&world, 1, vec![0x5A; len], 3);
            for lost in [&[1][..], &[0, 1], &[1, 2], &[1, 3]] {
                assert!(after.content(lost, 0) == world.contents[0], "{kind:?} without {lost:?}");
            }
            // The old disk stays out; the other volume lacks it, too, and knows nothing of the new one.
            assert!(after.content(&[], 0) == world.contents[0], "{kind:?}");
            assert!(after.content(&[], 1) == world.contents[1], "{kind:?}");
            let again = after.start(&[1], 1).0.unwrap();
            assert_eq!(again.health.missing().len(), 1, "{kind:?}");
        }
    }
}

#[test]
fn a_disk_that_comes_back_is_filled_and_not_trusted_in_the_other_volume() {
    for kind in KINDS {
        let world = World::new(kind, true);
        // It missed writes of both volumes while it was away.
        let (start, log) = world.start(&[1], 1);
        let start = start.unwrap();
        start.store.write_log(Member(0), 0, &[1]).unwrap();
        start.store.stop(&start.health, Stopped::Clean).unwrap();
        let away = world.after(&log, usize::MAX);
        let back = replace(&away, 1, away.disks[1].bytes(), 1);
        assert!(back.content(&[0], 0) == world.contents[0], "{kind:?}");
        let other = back.start(&[], 1).0.unwrap();
        assert_eq!(other.health.state(Member(1)), Some(State::Missing), "{kind:?}");
        // Then the other volume takes it too, where it is already.
        let (media, _) = back.media(&[]);
        let running = Running::start(back.start_on(&media, 1).unwrap(), &Tuning::default()).unwrap();
        let held = running.held();
        assert_eq!(held.iter().map(|media| media.describe()).collect::<Vec<_>>(), [back.name(1)], "{kind:?}");
        running.add(Member(1), held[0].clone()).unwrap();
        running.wait_until_quiet();
        assert!(running.stop().unwrap());
        let whole = back.now(&media);
        for volume in [0, 1] {
            let start = whole.start(&[], volume).0.unwrap();
            assert_eq!(start.health.in_sync().len(), 3, "{kind:?} {volume}");
            for lost in 0..3 {
                assert!(whole.content(&[lost], volume) == world.contents[volume], "{kind:?} {volume} without {lost}");
            }
        }
    }
}

/// A disk that is in the container already comes to a volume. Its page of the log is written beside the members' states, and was the
/// first of the two once in ten: the store answered that nobody is in that slot, so that the newcomer was thrown out before it was
/// filled. A disk that was admitted counts as there until the states say what became of it.
#[test]
fn a_page_of_the_log_that_comes_before_the_states_does_not_throw_the_newcomer_out() {
    for kind in KINDS {
        let world = World::new(kind, true);
        let back = replace(&world, 1, world.disks[1].bytes(), 1);
        let Start { mut health, store, .. } = back.start(&[], 1).0.unwrap();
        store.write_health(Member(0), &health).unwrap();
        store.admit(Member(1), store.held()[0].clone()).unwrap();
        health.apply(Member(1), Event::Rebuild { mark: Sector(0) }).unwrap();
        for page in [&[0][..], &[1]] {
            store.write_log(Member(1), 0, page).unwrap();
        }
        assert!(!store.release(Member(1)), "it would be gone before it was there");
        store.write_health(Member(1), &health).unwrap();
        store.write_log(Member(1), 0, &[0]).unwrap();
    }
}

/// The array starts and a disk is added at once. Its old line in the record was written off by a worker beside that, or not yet:
/// then IMSM's store found the disk's serial number in a living line, and refused it. Who is written off is written down before
/// anybody is admitted.
#[test]
fn the_same_disk_comes_back_before_anything_else_was_said() {
    for kind in KINDS {
        let world = World::new(kind, true);
        let start = world.start(&[1], 0).0.unwrap();
        let again = Arc::new(MemMedia::new(&world.name(1), world.disks[1].bytes()));
        start.store.admit(Member(1), again).unwrap();
    }
}

#[test]
fn what_is_too_small_is_refused_and_not_written_to() {
    for kind in KINDS {
        let world = World::new(kind, true);
        let (media, _) = world.media(&[1]);
        let running = Running::start(world.start_on(&media, 0).unwrap(), &Tuning::default()).unwrap();
        for sectors in [64, 600] {
            let small = Arc::new(MemMedia::new(&world.name(4), vec![0x77; sectors * 512]));
            let why = running.add(Member(1), small.clone()).unwrap_err().to_string();
            assert!(why.contains("small") || why.contains("has"), "{why}");
            assert!(small.contents().iter().all(|byte| *byte == 0x77));
        }
        running.stop().unwrap();
    }
}
