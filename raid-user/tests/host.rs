//! The real host: threads, media in memory, a store that only remembers. What is read back is what was written, whatever fails meanwhile.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raid_core::check::Order;
use raid_core::geometry::Geometry;
use raid_core::health::{Health, State};
use raid_core::recovery::Rates;
use raid_core::region::RegionNo;
use raid_core::rows::{RowNo, Rows};
use raid_core::{
    ArrayConfig, Columns, FarSets, Level, Member, Raid5Layout, Raid6Layout, Raid10Layout, Sector, Sectors, Sizes,
};
use raid_user::host::start::{Slot, Start, Stopped, Store};
use raid_user::host::{Running, Tuning};
use raid_user::media::{Media, MediaMut, MemMedia, SharedMediaMut};

const MEMBER_SECTORS: u64 = 2048;

/// What the members' metadata would say.
#[derive(Default)]
struct Notes {
    healths: Vec<(u8, Health)>,
    pages: Vec<(u8, u32, Vec<u64>)>,
    stopped: Option<Stopped>,
}

#[derive(Clone, Default)]
struct Remembers(Arc<Mutex<Notes>>);

impl Store for Remembers {
    fn write_log(&self, member: Member, page: u32, words: &[u64]) -> io::Result<()> {
        self.0.lock().unwrap().pages.push((member.0, page, words.to_vec()));
        Ok(())
    }

    fn write_health(&self, member: Member, health: &Health) -> io::Result<()> {
        self.0.lock().unwrap().healths.push((member.0, *health));
        Ok(())
    }

    fn admit(&self, _: Member, media: SharedMediaMut) -> io::Result<Slot> {
        Ok(Slot { media: Some(media), data_at: Sector(8) })
    }

    fn release(&self, _: Member) -> bool {
        true
    }

    fn stop(&self, _: &Health, stopped: Stopped) -> io::Result<()> {
        self.0.lock().unwrap().stopped = Some(stopped);
        Ok(())
    }
}

fn medium(name: &str) -> SharedMediaMut {
    Arc::new(MemMedia::new(name, vec![0; usize::try_from((MEMBER_SECTORS + 8) * 512).unwrap()]))
}

struct Case {
    media: Vec<SharedMediaMut>,
    notes: Remembers,
    running: Running,
}

fn rows(level: Level, members: u16) -> Rows {
    let config = ArrayConfig {
        level,
        members,
        chunk: if level == Level::Raid1 { Sectors(0) } else { Sectors(32) },
        sizes: Sizes::Same(Sectors(MEMBER_SECTORS)),
        array_size: None,
    };
    Rows::new(Geometry::new(&config).unwrap()).unwrap()
}

fn start_of(level: Level, media: &[SharedMediaMut], missing: Columns, notes: &Remembers) -> Start {
    let members = u16::try_from(media.len()).unwrap();
    let health = Health::of(members, Columns::first(members).difference(missing)).unwrap();
    found(level, media, health, notes)
}

fn found(level: Level, media: &[SharedMediaMut], health: Health, notes: &Remembers) -> Start {
    let missing = health.missing();
    let rows = rows(level, u16::try_from(media.len()).unwrap());
    let slot = |(number, medium): (usize, &SharedMediaMut)| Slot {
        media: (!missing.contains(Member(u8::try_from(number).unwrap()))).then(|| medium.clone()),
        data_at: Sector(8),
    };
    let slots = media.iter().enumerate().map(slot).collect();
    Start {
        rows,
        health,
        slots,
        region_rows: 16,
        log_page_words: 1,
        doubt: Vec::<RegionNo>::new(),
        marked: Vec::new(),
        doubt_from: RowNo(0),
        store: Box::new(notes.clone()),
    }
}

fn tuning() -> Tuning {
    Tuning { threads: 3, slots: 8, pieces: 64, sweep_every: Duration::from_millis(20), ..Tuning::default() }
}

fn started(level: Level, media: &[SharedMediaMut], missing: Columns, notes: &Remembers) -> Running {
    Running::start(start_of(level, media, missing, notes), &tuning()).unwrap()
}

impl Case {
    fn new(level: Level, members: usize) -> Self {
        let media: Vec<SharedMediaMut> = (0..members).map(|member| medium(&format!("d{member}"))).collect();
        let notes = Remembers::default();
        let running = started(level, &media, Columns::EMPTY, &notes);
        Self { media, notes, running }
    }
}

/// Random writes of any offset and length by several threads, each in its own part, held against plain memory.
fn write_a_lot(running: &Running, seed: u64) -> Vec<u8> {
    let size = usize::try_from(running.size_bytes()).unwrap();
    let parts = 3;
    let share = size / parts;
    let mut expected = vec![0; size];
    running.read_at(0, &mut expected).unwrap();
    std::thread::scope(|scope| {
        for (number, part) in expected.chunks_mut(share).take(parts).enumerate() {
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(seed + number as u64);
                for _ in 0..150 {
                    let at = rng.usize(..part.len());
                    let len = rng.usize(1..=part.len().min(40_000)).min(part.len() - at);
                    let (at, len) = if rng.bool() {
                        (at, len)
                    } else {
                        (at / 4096 * 4096, 4096.min(part.len() - at / 4096 * 4096))
                    };
                    let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
                    running.write_at((number * share + at) as u64, &bytes).unwrap();
                    part[at..at + len].copy_from_slice(&bytes);
                    if rng.u8(..20) == 0 {
                        running.flush().unwrap();
                    }
                }
            });
        }
    });
    expected
}

fn content(media: &dyn Media) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(media.size_bytes()).unwrap()];
    media.read_at(0, &mut bytes).unwrap();
    bytes
}

const TEN: Level = Level::Raid10(Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All });
const LEVELS: [(Level, usize, u32); 5] = [
    (Level::Raid1, 3, 2),
    (Level::Raid4, 4, 1),
    (Level::Raid5(Raid5Layout::LeftSymmetric), 4, 1),
    (Level::Raid6(Raid6Layout::LeftSymmetric), 5, 2),
    (TEN, 4, 1),
];

#[test]
fn what_was_written_reads_back_whole_after_a_restart_and_without_each_member() {
    for (level, members, _) in LEVELS {
        let Case { media, notes, running } = Case::new(level, members);
        let expected = write_a_lot(&running, members as u64);
        assert!(content(&running) == expected, "{level:?}");
        running.stop().unwrap();
        assert_eq!(notes.0.lock().unwrap().stopped, Some(Stopped::Clean), "{level:?}: no bit is left");
        for missing in (0..members).map(|member| Columns::one(Member(u8::try_from(member).unwrap()))) {
            let running = started(level, &media, missing, &notes);
            assert!(content(&running) == expected, "{level:?} without {missing:?}");
        }
    }
}

#[test]
fn a_member_fails_under_load_and_another_is_filled_while_writes_go_on() {
    for (level, members, _) in LEVELS {
        let Case { mut media, notes, running } = Case::new(level, members);
        write_a_lot(&running, 7);
        running.fail(Member(1));
        let degraded = write_a_lot(&running, 8);
        assert!(content(&running) == degraded, "{level:?} degraded");
        let spare = medium("spare");
        spare.write_at(0, &vec![0xee; 1 << 20]).unwrap();
        running.add(Member(1), spare.clone()).unwrap();
        let expected = write_a_lot(&running, 9);
        running.wait_until_quiet();
        assert_eq!(running.health().state(Member(1)), Some(State::InSync), "{level:?}");
        running.stop().unwrap();
        media[1] = spare;
        let running = started(level, &media, Columns::one(Member(0)), &notes);
        assert!(content(&running) == expected, "{level:?} by the new member");
    }
}

/// Stopping waited for the whole rebuild, and the next start began with the first row again. Here the pass may do a row a second, so
/// that waiting for it would take minutes.
#[test]
fn an_array_stops_in_the_middle_of_a_rebuild_and_goes_on_at_the_mark() {
    let level = Level::Raid5(Raid5Layout::LeftSymmetric);
    let Case { mut media, notes, running } = Case::new(level, 4);
    let expected = write_a_lot(&running, 3);
    running.fail(Member(2));
    running.set_rates(Rates { floor_rows_s: 20, ceiling_rows_s: 20 });
    media[2] = medium("spare");
    running.add(Member(2), media[2].clone()).unwrap();
    while running.progress().at.0 < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    running.set_rates(Rates { floor_rows_s: 1, ceiling_rows_s: 1 });
    running.stop().unwrap();
    let (_, health) = *notes.0.lock().unwrap().healths.last().unwrap();
    let Some(State::Rebuilding { mark }) = health.state(Member(2)) else { panic!("{health:?}") };
    assert!((3 * 8..MEMBER_SECTORS).contains(&mark.0), "{mark}");
    // What lies below the mark is not filled again: were it, this would not be seen.
    let below = 4096 + usize::try_from(mark.0).unwrap() * 512;
    media[2].write_at(0, &vec![0xee; below]).unwrap();
    let running = Running::start(found(level, &media, health, &notes), &Tuning::default()).unwrap();
    running.wait_until_quiet();
    assert_eq!(running.health().state(Member(2)), Some(State::InSync));
    running.stop().unwrap();
    let filled = content(&media[2]);
    assert!(filled[4096..below].iter().all(|byte| *byte == 0xee));
    let rest = &filled[below..];
    let running = started(level, &media, Columns::one(Member(2)), &notes);
    assert!(content(&running) == expected);
    let again = medium("again");
    running.add(Member(2), again.clone()).unwrap();
    running.wait_until_quiet();
    assert!(content(&again)[below..] == *rest);
}

/// Stopping waited until recovery was through: hours, for large members.
#[test]
fn an_array_is_stopped_in_the_middle_of_its_resync_and_goes_on_with_the_next_start() {
    for (level, members, _) in LEVELS {
        let media: Vec<SharedMediaMut> = (0..members).map(|member| medium(&format!("d{member}"))).collect();
        for medium in &media {
            medium.write_at(0, &(0..1 << 20).map(|_| fastrand::u8(..)).collect::<Vec<_>>()).unwrap();
        }
        let notes = Remembers::default();
        let mut start = start_of(level, &media, Columns::EMPTY, &notes);
        let regions = start.rows.count().div_ceil(start.region_rows);
        start.doubt = (0..regions).map(RegionNo).collect();
        let slow = start.slots.iter_mut().flat_map(|slot| &mut slot.media);
        slow.for_each(|medium| *medium = Arc::new(Slow(medium.clone())));
        let running = Running::start(start, &tuning()).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        assert!(!running.stop().unwrap(), "{level:?}");
        assert!(matches!(notes.0.lock().unwrap().stopped, Some(Stopped::InDoubt { .. })));
        let mut start = start_of(level, &media, Columns::EMPTY, &notes);
        start.doubt = (0..regions).map(RegionNo).collect();
        let running = Running::start(start, &tuning()).unwrap();
        running.wait_until_quiet();
        assert_eq!((running.regions().in_doubt, running.left_bytes()), (0, None));
        let expected = content(&running);
        assert!(running.stop().unwrap());
        let degraded = started(level, &media, Columns::one(Member(0)), &notes);
        assert!(content(&degraded) == expected, "{level:?}");
    }
}

/// A medium on which every write takes its time.
struct Slow(SharedMediaMut);

impl Media for Slow {
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset_bytes, buf)
    }
    fn describe(&self) -> String {
        self.0.describe()
    }
}

impl MediaMut for Slow {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        std::thread::sleep(Duration::from_millis(2));
        self.0.write_at(offset_bytes, buf)
    }
    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, may_free: bool) -> io::Result<()> {
        self.0.write_zeroes(offset_bytes, len_bytes, may_free)
    }
    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        self.0.discard(offset_bytes, len_bytes)
    }
}

/// A medium that says of itself whether it is memory, counts calls, and has a sector that cannot be read, or takes no writes any more.
struct Watched {
    inner: SharedMediaMut,
    memory: bool,
    reads: AtomicUsize,
    writes: AtomicUsize,
    /// Whether [`BAD_BYTES`] cannot be read; until they are written.
    bad: AtomicBool,
    dead: AtomicBool,
}

const BAD_BYTES: Range<u64> = 4096 + 100 * 4096..4096 + 100 * 4096 + 512;

fn meets_bad(offset_bytes: u64, len: usize) -> bool {
    offset_bytes < BAD_BYTES.end && BAD_BYTES.start < offset_bytes + len as u64
}

impl Watched {
    fn members(count: usize, memory: bool) -> (Vec<Arc<Self>>, Vec<SharedMediaMut>) {
        let one = |_| {
            let (reads, writes, bad, dead) = Default::default();
            Arc::new(Self { inner: medium("watched"), memory, reads, writes, bad, dead })
        };
        let watched: Vec<_> = (0..count).map(one).collect();
        let media = watched.iter().map(|medium| Arc::clone(medium) as SharedMediaMut).collect();
        (watched, media)
    }

    fn touch(count: &AtomicUsize, bad: bool) -> io::Result<()> {
        count.fetch_add(1, Ordering::Relaxed);
        if bad { Err(io::Error::other("a fault")) } else { Ok(()) }
    }

    fn touch_read(&self, offset_bytes: u64, len: usize) -> io::Result<()> {
        Self::touch(&self.reads, self.bad.load(Ordering::Relaxed) && meets_bad(offset_bytes, len))
    }

    fn touch_write(&self, offset_bytes: u64, len: usize) -> io::Result<()> {
        Self::touch(&self.writes, self.dead.load(Ordering::Relaxed))?;
        if meets_bad(offset_bytes, len) {
            self.bad.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Media for Watched {
    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        self.touch_read(offset_bytes, buf.len()).and_then(|()| self.inner.read_at(offset_bytes, buf))
    }
    fn read_parts_at(&self, offset_bytes: u64, parts: &mut [IoSliceMut<'_>]) -> io::Result<()> {
        let len = parts.iter().map(|part| part.len()).sum();
        self.touch_read(offset_bytes, len).and_then(|()| self.inner.read_parts_at(offset_bytes, parts))
    }
    fn describe(&self) -> String {
        "watched".to_owned()
    }
    fn is_memory(&self) -> bool {
        self.memory
    }
}

impl MediaMut for Watched {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        self.touch_write(offset_bytes, buf.len()).and_then(|()| self.inner.write_at(offset_bytes, buf))
    }
    fn write_parts_at(&self, offset_bytes: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let len = parts.iter().map(|part| part.len()).sum();
        self.touch_write(offset_bytes, len).and_then(|()| self.inner.write_parts_at(offset_bytes, parts))
    }
    fn flush(&self) -> io::Result<()> {
        self.inner.flush()
    }
    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, may_free: bool) -> io::Result<()> {
        let len = usize::try_from(len_bytes).unwrap();
        self.touch_write(offset_bytes, len).and_then(|()| self.inner.write_zeroes(offset_bytes, len_bytes, may_free))
    }
    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        self.inner.discard(offset_bytes, len_bytes)
    }
}

const SIX: Level = Level::Raid6(Raid6Layout::LeftSymmetric);

/// A long write went to the engine in the order of its addresses, a column of a stripe after the other: with chunks larger than what is
/// sent at a time no row had all its columns, and each was read before it was written, as often as it has columns.
#[test]
fn a_long_write_reads_nothing_and_goes_to_members_in_memory_by_few_calls() {
    let (watched, media) = Watched::members(5, true);
    let notes = Remembers::default();
    // One region, so that its shard's rows are one thread's.
    let start = Start { region_rows: 256, ..start_of(SIX, &media, Columns::EMPTY, &notes) };
    let running = Running::start(start, &Tuning::default()).unwrap();
    let size = usize::try_from(running.size_bytes()).unwrap();
    let expected: Vec<u8> = (0..251).flat_map(|sector| [sector; 512]).cycle().take(size).collect();
    let count = |calls: fn(&Watched) -> &AtomicUsize| -> usize {
        watched.iter().map(|medium| calls(medium).load(Ordering::Relaxed)).sum()
    };
    // The first write sets the region's bit, by workers, who go on with the shard beside the writer: two threads share its rows, and
    // each has runs of its own. From then on no worker has anything to do.
    running.write_at(0, &vec![7; size]).unwrap();
    running.wait_until_quiet();
    let before = count(|medium| &medium.writes);
    running.write_at(0, &expected).unwrap();
    let rows = usize::try_from(MEMBER_SECTORS / 8).unwrap();
    assert_eq!(count(|medium| &medium.reads), 0);
    let writes = count(|medium| &medium.writes) - before;
    assert!(writes < 5 * rows / 2, "{writes} calls for {rows} rows of five members");
    let found = content(&running);
    assert!(found == expected);
    running.stop().unwrap();
    let running = started(SIX, &media, [Member(0), Member(3)].into_iter().collect(), &notes);
    assert!(content(&running) == expected, "without two");
}

#[test]
fn a_sector_that_cannot_be_read_costs_its_row_and_not_the_neighbours_that_were_asked_for_with_it() {
    for memory in [true, false] {
        let (watched, media) = Watched::members(5, memory);
        let notes = Remembers::default();
        let running = started(SIX, &media, Columns::EMPTY, &notes);
        let expected = write_a_lot(&running, 11);
        watched[1].bad.store(true, Ordering::Relaxed);
        running.check(Order { from: RowNo(0), to: RowNo(running.rows().count()), repair: None }).unwrap();
        let found = running.wait_for_check();
        assert_eq!((found.tally.compared, found.tally.wrong_sectors), (running.rows().count(), 0), "{memory}");
        assert!(running.health().is_whole(), "a read error that redundancy mends throws nobody out");
        running.fail(Member(0));
        running.wait_until_quiet();
        running.add(Member(0), medium("spare")).unwrap();
        running.wait_until_quiet();
        assert_eq!(running.health().state(Member(0)), Some(State::InSync), "{memory}");
        assert!(content(&running) == expected, "{memory}");
    }
}

#[test]
fn a_member_that_takes_no_writes_any_more_is_out_and_nothing_is_lost() {
    for ((level, members, _), memory) in LEVELS.into_iter().flat_map(|level| [(level, true), (level, false)]) {
        let (watched, media) = Watched::members(members, memory);
        let notes = Remembers::default();
        let running = started(level, &media, Columns::EMPTY, &notes);
        write_a_lot(&running, 12);
        watched[2].dead.store(true, Ordering::Relaxed);
        let expected = write_a_lot(&running, 13);
        assert_eq!(running.health().state(Member(2)), Some(State::Missing), "{level:?}");
        assert!(content(&running) == expected, "{level:?}");
        running.stop().unwrap();
        let running = started(level, &media, Columns::one(Member(2)), &notes);
        assert!(content(&running) == expected, "{level:?} after a restart");
    }
}
