//! dm-mirror's log under a running mirror without a kernel: what it says survives a cut at every sector, legs that fail are caught up by
//! it, and the first leg is never done without.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raid_core::health::State;
use raid_core::{Member, Sector, Sectors};
use raid_formats::dm::mirror::put_header;
use raid_formats::table::Believed;
use raid_user::host::mirror_store::{Leg, Mirror, mirror_start};
use raid_user::host::start::Start;
use raid_user::host::{Running, StartError, Tuning};
use raid_user::media::{Media, MediaMut, MemMedia, SharedMediaMut};

/// Sectors of the mirror.
const LEN: u64 = 256;
/// Sectors of a region.
const REGION: u64 = 8;
const REGIONS: u64 = LEN / REGION;
/// Where the mirror begins on a leg.
const AT: u64 = 3;
/// Bytes of the log's device.
const LOG_BYTES: usize = 4096;

/// What reached a device: a sector, or a flush.
#[derive(Clone)]
enum Event {
    Wrote(usize, Box<[u8; 512]>),
    Flushed,
}

/// In the order of all devices: legs by their slots, the log last.
type Events = Arc<Mutex<Vec<(usize, Event)>>>;

/// A device that notes what reaches it, until it breaks.
struct Noting {
    inner: MemMedia,
    device: usize,
    events: Events,
    broken: AtomicBool,
}

impl Noting {
    fn note(&self, event: Event) {
        self.events.lock().unwrap().push((self.device, event));
    }

    fn works(&self) -> io::Result<()> {
        if self.broken.load(Ordering::Relaxed) { Err(io::Error::other("it broke")) } else { Ok(()) }
    }
}

impl Media for Noting {
    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        self.works()?;
        self.inner.read_at(offset_bytes, buf)
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

impl MediaMut for Noting {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        self.works()?;
        assert!(offset_bytes.is_multiple_of(512) && buf.len().is_multiple_of(512), "{offset_bytes}+{}", buf.len());
        let first = usize::try_from(offset_bytes).unwrap();
        for (at, bytes) in (first..).step_by(512).zip(buf.as_chunks::<512>().0) {
            self.note(Event::Wrote(at, Box::new(*bytes)));
        }
        self.inner.write_at(offset_bytes, buf)
    }
    fn flush(&self) -> io::Result<()> {
        self.works()?;
        self.note(Event::Flushed);
        Ok(())
    }
    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, _: bool) -> io::Result<()> {
        self.write_at(offset_bytes, &vec![0; usize::try_from(len_bytes).unwrap()])
    }
    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Legs, and the log behind them.
#[derive(Clone)]
struct World {
    devices: Vec<Vec<u8>>,
}

/// A world that runs.
struct Live {
    devices: Vec<Arc<Noting>>,
    events: Events,
}

impl World {
    /// Legs that hold nothing alike, and a log without a header.
    fn new(legs: u8) -> Self {
        let leg = |slot: u8| vec![0xF0 | slot; usize::try_from((AT + LEN) * 512).unwrap()];
        Self { devices: (0..legs).map(leg).chain([vec![0; LOG_BYTES]]).collect() }
    }

    fn live(&self) -> Live {
        let events = Events::default();
        let device = |(device, bytes): (usize, &Vec<u8>)| {
            let inner = MemMedia::new(&format!("leg{device}"), bytes.clone());
            Arc::new(Noting { inner, device, events: events.clone(), broken: AtomicBool::new(false) })
        };
        Live { devices: self.devices.iter().enumerate().map(device).collect(), events }
    }

    /// What is there if the power fails after so many events, and of the devices in `kept` what was not flushed reached them, too.
    fn after(&self, events: &[(usize, Event)], kept: usize) -> Self {
        let mut after = self.clone();
        for (index, device) in after.devices.iter_mut().enumerate() {
            let own = || events.iter().enumerate().filter(move |(_, (own, _))| *own == index);
            let flushed = own().rfind(|(_, (_, event))| matches!(event, Event::Flushed)).map_or(0, |(at, _)| at);
            for (_, (_, event)) in own().filter(|(at, _)| *at < flushed || kept >> index & 1 == 1) {
                if let Event::Wrote(at, bytes) = event {
                    device[*at..*at + 512].copy_from_slice(bytes.as_slice());
                }
            }
        }
        after
    }

    fn leg(&self, slot: usize) -> &[u8] {
        &self.devices[slot][usize::try_from(AT * 512).unwrap()..]
    }

    fn start(&self) -> Start {
        self.live().start(Believed::Log, &[]).unwrap()
    }

    /// Which regions may disagree by the log.
    fn marked(&self) -> Vec<u64> {
        self.start().marked.iter().map(|region| region.0).collect()
    }

    /// Where the log says that they agree, legs are alike.
    fn check(&self, when: &str) {
        let marked = self.marked();
        for region in (0..REGIONS).filter(|region| !marked.contains(region)) {
            let range =
                usize::try_from(region * REGION * 512).unwrap()..usize::try_from((region + 1) * REGION * 512).unwrap();
            for slot in 1..self.devices.len() - 1 {
                assert!(
                    self.leg(slot)[range.clone()] == self.leg(0)[range.clone()],
                    "{when}: leg {slot}, region {region}"
                );
            }
        }
    }
}

impl Live {
    fn start(&self, believed: Believed, lost: &[usize]) -> Result<Start, StartError> {
        let (log, legs) = self.devices.split_last().unwrap();
        let leg = |(slot, leg): (usize, &Arc<Noting>)| {
            (!lost.contains(&slot)).then(|| Leg { media: leg.clone() as SharedMediaMut, at: Sector(AT) })
        };
        let log = (!lost.contains(&legs.len())).then(|| log.clone() as SharedMediaMut);
        let legs = legs.iter().enumerate().map(leg).collect();
        mirror_start(Mirror { legs, log, believed, region: Sectors(REGION), len: Sectors(LEN) })
    }

    fn run(&self) -> Running {
        let tuning = Tuning { sweep_every: Duration::from_millis(2), ..Tuning::default() };
        Running::start(self.start(Believed::Log, &[]).unwrap(), &tuning).unwrap()
    }

    fn now(&self) -> usize {
        self.events.lock().unwrap().len()
    }

    fn world(&self) -> World {
        World { devices: self.devices.iter().map(|device| device.inner.contents()).collect() }
    }
}

/// A write that was flushed: between which events, and which sectors got which byte.
struct Acked {
    events: Range<usize>,
    sectors: Range<u64>,
    byte: u8,
}

/// Writes some sectors and flushes them.
fn write(live: &Live, running: &Running, byte: u8) -> Acked {
    let at = fastrand::u64(..LEN - 20);
    let sectors = at..at + fastrand::u64(1..20);
    let from = live.now();
    running.write_at(at * 512, &vec![byte; usize::try_from((sectors.end - at) * 512).unwrap()]).unwrap();
    running.flush().unwrap();
    if byte.is_multiple_of(3) {
        // Regions come to rest, and bits are taken back.
        std::thread::sleep(Duration::from_millis(8));
    }
    Acked { events: from..live.now(), sectors, byte }
}

/// After a cut at every event but those in `but`, with each device's cache kept or not: the log is right, and what was flushed is read
/// from the first leg, which is what the others become.
fn check_cuts(world: &World, live: &Live, acked: &[Acked], but: &Range<usize>) {
    let events = live.events.lock().unwrap();
    for cut in (0..=events.len()).filter(|cut| !but.contains(cut)) {
        for kept in 0..1 << world.devices.len() {
            let when = format!("cut at {cut}, kept {kept:b}");
            let left = world.after(&events[..cut], kept);
            left.check(&when);
            for (sector, bytes) in (0..).zip(left.leg(0).as_chunks::<512>().0) {
                let mine = || acked.iter().filter(|acked| acked.sectors.contains(&sector));
                let last = mine().rfind(|acked| acked.events.end <= cut);
                let after = last.map_or(0, |last| last.events.end);
                let under_way = mine().find(|acked| acked.events.start >= after && acked.events.start < cut);
                let byte = bytes[0];
                let right =
                    last.map_or(0xF0, |last| last.byte) == byte || under_way.is_some_and(|acked| acked.byte == byte);
                assert!(right && bytes.iter().all(|other| *other == byte), "{when}: sector {sector}: {byte}");
            }
        }
    }
}

/// A mirror that was synchronised and stopped.
fn clean(legs: u8) -> World {
    let live = World::new(legs).live();
    let running = live.run();
    running.resume();
    running.wait_until_quiet();
    assert!(running.stop().unwrap());
    let world = live.world();
    assert!(world.marked().is_empty());
    world.check("synchronised");
    assert!(world.leg(0).iter().all(|byte| *byte == 0xF0), "the first leg counts");
    world
}

#[test]
fn a_cut_at_every_write_leaves_a_log_that_names_every_region_whose_legs_differ() {
    let world = clean(2);
    let live = world.live();
    let running = live.run();
    let acked: Vec<Acked> = (1..=14).map(|byte| write(&live, &running, byte)).collect();
    assert!(running.stop().unwrap());
    check_cuts(&world, &live, &acked, &(0..0));
    assert!(live.world().marked().is_empty());
}

#[test]
fn a_cut_while_a_new_log_is_synchronised_or_a_short_one_grows_loses_nothing() {
    // As lvm2 makes it: a header that says that all bits count, as they stand; or the mirror has grown, and what stands where the new bits
    // will be says nothing.
    for (known, bits) in [(0, 0xFF), (u64::MAX, 0), (5, 0xFF)] {
        let mut world = World::new(2);
        let log = world.devices.last_mut().unwrap();
        if known > 0 {
            put_header(log.first_chunk_mut().unwrap(), known);
        }
        log[1024..2048].fill(bits);
        if known == 5 {
            let first = usize::try_from(AT * 512).unwrap()..usize::try_from((AT + 5 * REGION) * 512).unwrap();
            world.devices[1][first].fill(0xF0);
        }
        world.check("before");
        let live = world.live();
        let running = live.run();
        let acked = [write(&live, &running, 1)];
        running.wait_until_quiet();
        assert!(running.stop().unwrap());
        check_cuts(&world, &live, &acked, &(0..0));
        assert!(live.world().marked().is_empty());
    }
}

#[test]
fn a_leg_that_failed_is_caught_up_by_the_bits_and_its_own_medium_is_filled_even_if_it_was_swapped_for_a_blank_one() {
    let world = clean(3);
    let live = world.live();
    let running = live.run();
    let mut acked = vec![write(&live, &running, 1)];
    running.fail(Member(1));
    acked.push(write(&live, &running, 2));
    acked.push(write(&live, &running, 3));
    let blank = live.now();
    live.devices[1].write_at(0, &vec![0; live.devices[1].inner.contents().len()]).unwrap();
    let filled = live.now();
    let stranger = Arc::new(MemMedia::new("stranger", live.devices[1].inner.contents()));
    let why = running.add(Member(1), stranger).unwrap_err().to_string();
    assert!(why.contains("its own leg") && why.contains("leg1"), "{why}");
    assert!(running.release(Member(1)));
    running.add(Member(1), live.devices[1].clone()).unwrap();
    acked.push(write(&live, &running, 4));
    running.wait_until_quiet();
    acked.push(write(&live, &running, 5));
    assert!(running.stop().unwrap());
    // Between the two nobody could know that the leg was blank: the log says that before anything is written to it.
    let first_write = live.events.lock().unwrap()[filled..]
        .iter()
        .position(|(device, event)| *device == 1 && matches!(event, Event::Wrote(..)));
    check_cuts(&world, &live, &acked, &(blank..filled + first_write.unwrap()));
    assert!(live.world().marked().is_empty());
}

#[test]
fn a_leg_that_was_away_is_not_read_where_it_lacks_something_and_gets_just_that() {
    let world = clean(2);
    let live = world.live();
    let away = live.start(Believed::Log, &[1]).unwrap();
    let running = Running::start(away, &Tuning::default()).unwrap();
    running.write_at(40 * 512, &[7; 512]).unwrap();
    assert!(running.stop().unwrap());
    let left = live.world();
    assert_eq!(left.marked(), [5]);
    left.check("away");
    let live = left.live();
    let start = live.start(Believed::Log, &[]).unwrap();
    assert_eq!(start.health.state(Member(1)), Some(State::Rebuilding { mark: Sector(0) }));
    let running = Running::start(start, &Tuning { heals: false, ..Tuning::default() }).unwrap();
    let mut sector = [0; 512];
    for _ in 0..20 {
        running.read_at(40 * 512, &mut sector).unwrap();
        assert_eq!(sector, [7; 512]);
    }
    running.resume();
    running.wait_until_quiet();
    assert!(running.stop().unwrap());
    let whole = live.world();
    assert!(whole.marked().is_empty() && whole.leg(0) == whole.leg(1));
    let wrote = live
        .events
        .lock()
        .unwrap()
        .iter()
        .filter(|(device, event)| *device == 1 && matches!(event, Event::Wrote(..)))
        .count();
    assert_eq!(wrote, usize::try_from(REGION).unwrap());
}

/// When the first leg fails the others go on to be read, but no write is acknowledged: nothing on disk could say that it is old when it
/// comes back. The same when the log fails.
#[test]
fn without_its_first_leg_or_its_log_a_mirror_reads_and_does_not_write() {
    for device in [0, 2] {
        let live = clean(2).live();
        let running = live.run();
        running.write_at(0, &[1; 4096]).unwrap();
        running.flush().unwrap();
        live.devices[device].broken.store(true, Ordering::Relaxed);
        assert!(running.write_at(100 * 512, &[2; 4096]).is_err(), "device {device}");
        let mut back = [0; 4096];
        running.read_at(0, &mut back).unwrap();
        assert_eq!(back, [1; 4096]);
        assert!(running.write_at(0, &[3; 4096]).is_err());
        drop(running);
        live.world().check("broken");
        assert_eq!(live.world().leg(0)[..4096], [1; 4096]);
    }
    let live = clean(2).live();
    assert!(live.run().vital(Member(0)).unwrap().contains("first leg"));
    assert!(live.run().vital(Member(1)).is_none());
    let why = live.start(Believed::Log, &[0]).err().unwrap().to_string();
    assert!(why.contains("first leg is not here") && why.contains("read-only"), "{why}");
}

#[test]
fn what_is_no_log_or_too_short_a_one_is_refused_and_stays() {
    for (bytes, word) in [
        (vec![0x5A; LOG_BYTES], "magic"),
        (vec![0; 1024], "need 1536 bytes"),
        ([b"rRiM\x03".as_slice(), &[0; 4091]].concat(), "version"),
    ] {
        let mut world = clean(2);
        world.devices[2] = bytes.clone();
        let live = world.live();
        let why = live.start(Believed::Log, &[]).err().unwrap().to_string();
        assert!(why.contains("the mirror's log") && why.contains(word), "{why}");
        assert!(live.now() == 0 && live.world().devices[2] == bytes);
    }
}

#[test]
fn what_the_line_of_a_table_says_of_the_start_goes_before_the_log() {
    let count = |world: &World, believed, lost: &[usize]| world.live().start(believed, lost).unwrap().marked.len();
    let all = usize::try_from(REGIONS).unwrap();
    let (new, clean) = (World::new(2), clean(2));
    assert_eq!([count(&new, Believed::Log, &[]), count(&new, Believed::Agree, &[])], [all, 0]);
    assert_eq!([count(&clean, Believed::Log, &[]), count(&clean, Believed::Differ, &[])], [0, all]);
    // Without a log nothing is known but what the line says.
    assert_eq!([count(&clean, Believed::Differ, &[2]), count(&clean, Believed::Agree, &[2])], [all, 0]);
}
