//! The store for dm-raid's metadata without a kernel: what is said survives a cut at every sector, members that fail stay out, and a slot
//! is filled by its own image.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::io;
use std::sync::{Arc, Mutex};

use raid_core::geometry::Geometry;
use raid_core::health::{Event, State};
use raid_core::{ArrayConfig, Level, Member, Raid5Layout, Sectors, Sizes};
use raid_formats::assemble::Claimant as _;
use raid_formats::dm::{CreateParams, create};
use raid_formats::md::Refusal;
use raid_formats::record::Sync;
use raid_testkit::{array, pattern};
use raid_user::array::{Array, OpenOptions};
use raid_user::discover::Found;
use raid_user::host::dm_store::{Image, dm_start};
use raid_user::host::start::{Start, Stopped};
use raid_user::host::{Running, StartError, Tuning};
use raid_user::media::{Media, MediaMut, MemMedia, SharedMediaMut};

/// Sectors of an image.
const USED: u64 = 1024;
/// Sectors of a region.
const REGION: u64 = 16;
const META_BYTES: usize = 64 << 10;

/// One sector written to a metadata device, in the order of writes to all.
type Log = Arc<Mutex<Vec<(usize, usize, [u8; 512])>>>;

/// A metadata device that notes every sector written.
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
        let first = usize::try_from(offset_bytes).unwrap();
        for (at, bytes) in (first..).step_by(512).zip(buf.as_chunks::<512>().0) {
            self.log.lock().unwrap().push((self.index, at, *bytes));
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

/// Images and their metadata.
#[derive(Clone)]
struct World {
    data: Vec<Vec<u8>>,
    meta: Vec<Vec<u8>>,
    content: Vec<u8>,
}

impl World {
    fn new(level: Level, devices: u16) -> Self {
        let chunk = if level == Level::Raid1 { Sectors::ZERO } else { Sectors(16) };
        let sizes = Sizes::Same(Sectors(USED));
        let geometry = Geometry::new(&ArrayConfig { level, members: devices, chunk, sizes, array_size: None }).unwrap();
        let array_size = geometry.array_size();
        let content = pattern::sectors(0, usize::try_from(array_size.0).unwrap());
        let data = array::lay_out(&geometry, &content);
        let region = Some(Sectors(REGION));
        let used = Sectors(USED);
        let params = CreateParams { level, devices, chunk, used, array_size, sync: Sync::Clean, region };
        let made = |slot| {
            let mut meta = vec![0; META_BYTES];
            create::<Refusal>(&params, slot, |at, block| {
                let at = usize::try_from(at).unwrap();
                meta[at..at + block.len()].copy_from_slice(block);
                Ok(())
            })
            .unwrap();
            meta
        };
        Self { data, meta: (0..devices).map(made).collect(), content }
    }

    fn images(&self, lost: &[usize]) -> (Vec<Image>, Log) {
        let log = Log::default();
        let left = (0..self.data.len()).filter(|slot| !lost.contains(slot));
        let image = |index: usize| {
            let name = format!("vg/lv_rimage_{index}");
            let data: SharedMediaMut = Arc::new(MemMedia::new(&name, self.data[index].clone()));
            let inner = MemMedia::new(&name, self.meta[index].clone());
            let meta: SharedMediaMut = Arc::new(Noting { inner, index, log: log.clone() });
            let found = Found::dm_raid(&name, data.clone(), meta.clone()).ok();
            Image { slot: u16::try_from(index).unwrap(), found, data, meta }
        };
        (left.map(image).collect(), log)
    }

    fn start(&self, lost: &[usize]) -> (Result<Start, StartError>, Log) {
        let (images, log) = self.images(lost);
        (dm_start(images, &OpenOptions::default()), log)
    }

    fn after(&self, log: &Log, writes: usize) -> Self {
        let mut after = self.clone();
        for (index, at, bytes) in log.lock().unwrap().iter().take(writes) {
            after.meta[*index][*at..at + 512].copy_from_slice(bytes);
        }
        after
    }

    fn read(&self, lost: &[usize]) -> Vec<u8> {
        let found = self.images(lost).0.into_iter().filter_map(|image| image.found).collect();
        let array = Array::open(found, &OpenOptions::default()).unwrap();
        let mut bytes = vec![0; usize::try_from(array.size_bytes()).unwrap()];
        array.read_at(0, &mut bytes).unwrap();
        bytes
    }
}

fn worlds() -> [World; 3] {
    [
        World::new(Level::Raid1, 3),
        World::new(Level::Raid5(Raid5Layout::LeftSymmetric), 3),
        World::new(raid_testkit::ddf_made::ten(2), 4),
    ]
}

fn log_all(start: &Start, words: &[u64]) {
    for (slot, seat) in (0..).zip(&start.slots) {
        if seat.media.is_some() {
            start.store.write_log(Member(slot), 0, words).unwrap();
        }
    }
}

fn regions(start: &Start) -> Vec<u64> {
    start.doubt.iter().map(|region| region.0).collect()
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
fn bits_that_were_written_are_what_the_next_start_doubts() {
    for world in worlds() {
        let (start, log) = world.start(&[]);
        let start = start.unwrap();
        assert_eq!((start.doubt.len(), start.region_rows), (0, REGION / 8));
        log_all(&start, &[0b1001]);
        assert_eq!(regions(&world.after(&log, usize::MAX).start(&[]).0.unwrap()), [0, 3]);
        // Bits of one member alone count, too: the power may have failed before the others had them.
        start.store.write_log(Member(2), 0, &[0b1011]).unwrap();
        assert_eq!(regions(&world.after(&log, usize::MAX).start(&[]).0.unwrap()), [0, 1, 3]);
        log_all(&start, &[0]);
        start.store.stop(&start.health, Stopped::Clean).unwrap();
        let clean = world.after(&log, usize::MAX);
        assert!(clean.start(&[]).0.unwrap().doubt.is_empty());
        assert!(clean.images(&[]).0.iter().all(|image| image.found.as_ref().unwrap().record().sync == Sync::Clean));
    }
}

#[test]
fn a_cut_at_every_sector_leaves_an_array_that_starts_with_every_bit_that_was_promised() {
    for world in worlds() {
        let members = u32::try_from(world.data.len()).unwrap();
        let (start, log) = world.start(&[]);
        let start = start.unwrap();
        log_all(&start, &[0b10]);
        let promised = log.lock().unwrap().len();
        log_all(&start, &[0]);
        start.store.stop(&start.health, Stopped::Clean).unwrap();
        let all = log.lock().unwrap().len();
        for cut in 0..=all {
            let again = world.after(&log, cut).start(&[]).0.unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            assert_eq!(again.health.in_sync().len(), members, "cut at {cut}");
            assert!(cut != promised || regions(&again) == [1]);
            assert!(cut != all || again.doubt.is_empty());
        }
    }
}

#[test]
fn a_cut_at_every_sector_of_a_failure_leaves_an_array_that_starts_and_the_member_stays_out() {
    for world in worlds() {
        let (start, log) = world.start(&[]);
        fail(&start.unwrap(), 2);
        let all = log.lock().unwrap().len();
        for cut in 0..=all {
            let again = world.after(&log, cut).start(&[]).0.unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            let missing = again.health.missing();
            assert!(missing.len() <= 1 && (missing.is_empty() || missing.contains(Member(2))), "cut at {cut}");
            assert!(cut != all || missing.contains(Member(2)));
        }
    }
}

#[test]
fn a_member_that_did_not_come_is_written_off_with_the_first_write_and_its_bits_stay() {
    let world = World::new(Level::Raid1, 3);
    let (start, log) = world.start(&[1]);
    let start = start.unwrap();
    for member in [0, 2] {
        start.store.write_log(Member(member), 0, &[0b100]).unwrap();
    }
    start.store.stop(&start.health, Stopped::Clean).unwrap();
    let again = world.after(&log, usize::MAX).start(&[]).0.unwrap();
    assert_eq!(again.health.state(Member(1)), Some(State::Missing));
    // The kernel catches a member up by these.
    assert_eq!(again.marked, [raid_core::region::RegionNo(2)]);
}

#[test]
fn a_dirty_degraded_parity_array_is_refused_with_what_is_in_doubt() {
    let world = World::new(Level::Raid5(Raid5Layout::LeftSymmetric), 3);
    let (start, log) = world.start(&[]);
    log_all(&start.unwrap(), &[0b110]);
    let (refused, log) = world.after(&log, usize::MAX).start(&[0]);
    let why = refused.err().unwrap().to_string();
    assert!(why.contains("32 sectors of each member are in doubt (16-47)"), "{why}");
    assert!(log.lock().unwrap().is_empty());
}

#[test]
fn a_slot_is_filled_by_its_own_image_with_metadata_of_any_age_and_by_no_other() {
    for world in worlds() {
        for blank in [false, true] {
            let mut lost = world.clone();
            lost.data[1].fill(0x5A);
            if blank {
                lost.meta[1].fill(0);
            } else {
                // It was thrown out, and two events ago.
                let (start, log) = lost.start(&[]);
                let start = start.unwrap();
                fail(&start, 1);
                start.store.write_log(Member(0), 0, &[0]).unwrap();
                lost = lost.after(&log, usize::MAX);
            }
            let (images, _) = lost.images(&[]);
            let running =
                Running::start(dm_start(images.clone(), &OpenOptions::default()).unwrap(), &Tuning::default());
            let running = running.unwrap();
            let held = running.held();
            assert_eq!(held.iter().map(|media| media.describe()).collect::<Vec<_>>(), ["vg/lv_rimage_1"]);
            let stranger = Arc::new(MemMedia::new("stranger", vec![0; lost.data[1].len()]));
            let why = running.add(Member(1), stranger).unwrap_err().to_string();
            assert!(why.contains("its own image") && why.contains("vg/lv_rimage_1"), "{why}");
            running.add(Member(1), held[0].clone()).unwrap();
            running.wait_until_quiet();
            assert!(running.stop().unwrap());
            let mut whole = lost.clone();
            for (slot, image) in images.iter().enumerate() {
                image.data.read_at(0, &mut whole.data[slot]).unwrap();
                image.meta.read_at(0, &mut whole.meta[slot]).unwrap();
            }
            let start = whole.start(&[]).0.unwrap();
            assert_eq!((start.health.missing().len(), start.doubt.len()), (0, 0));
            for lost in 0..whole.data.len() {
                assert!(whole.read(&[lost]) == world.content, "without {lost}, blank {blank}");
            }
        }
    }
}
