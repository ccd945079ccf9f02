//! Arrays of BIOS RAIDs that run: each format and arrangement is written to, killed, loses each member and gets a new one. What was written
//! is there, whole and without each disk that can be spared, and who was shut out stays out.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raid_core::Member;
use raid_core::health::{Event, State};
use raid_core::region::RegionNo;
use raid_formats::assemble::Claimant as _;
use raid_formats::bios::{Arrangement, Kind, Spec};
use raid_formats::record::{Format, Sync};
use raid_testkit::bios_made::{self, MEDIUM, content, is_redundant, specs};
use raid_user::array::{Array, OpenOptions};
use raid_user::discover::{Found, group};
use raid_user::host::container::container_start_on;
use raid_user::host::start::{Start, Stopped};
use raid_user::host::{Running, StartError, Tuning};
use raid_user::media::{Media, MediaMut, MemMedia, SharedMedia, SharedMediaMut};

/// Every sector that was written, in order, with its disk.
type Log = Arc<Mutex<Vec<(String, u64, Vec<u8>)>>>;

/// A medium that notes what is written.
struct Noting {
    inner: MemMedia,
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
        for (sector, bytes) in (offset_bytes / 512..).zip(buf.chunks(512)) {
            self.log.lock().unwrap().push((self.describe(), sector, bytes.to_vec()));
        }
        self.inner.write_at(offset_bytes, buf)
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, unmap: bool) -> io::Result<()> {
        self.inner.write_zeroes(offset_bytes, len_bytes, unmap)
    }
    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        self.inner.discard(offset_bytes, len_bytes)
    }
}

type Disk = Arc<Noting>;

/// An array's disks, in the order of slots.
struct World {
    kind: Kind,
    spec: Spec,
    disks: Vec<Disk>,
    log: Log,
}

fn disk(name: &str, bytes: Vec<u8>, log: &Log) -> Disk {
    Arc::new(Noting { inner: MemMedia::new(name, bytes), log: log.clone() })
}

impl World {
    /// All formats that are written to, in all of their arrangements.
    fn all() -> Vec<Self> {
        let kinds = Kind::all().filter(|kind| kind.unwritable().is_none());
        let all: Vec<Self> =
            kinds.flat_map(|kind| specs().into_iter().filter_map(move |spec| Self::new(kind, spec))).collect();
        assert!(all.len() >= 26, "{}", all.len());
        all
    }

    fn redundant() -> Vec<Self> {
        Self::all().into_iter().filter(|world| is_redundant(&world.spec)).collect()
    }

    fn new(kind: Kind, spec: Spec) -> Option<Self> {
        Some(Self::of(kind, spec, bios_made::media(kind, &spec)?))
    }

    fn of(kind: Kind, spec: Spec, media: Vec<Vec<u8>>) -> Self {
        let log = Log::default();
        let disks = media.into_iter().enumerate().map(|(slot, bytes)| disk(&format!("d{slot}"), bytes, &log)).collect();
        Self { kind, spec, disks, log }
    }

    fn name(&self) -> String {
        format!("{:?} {:?} of {}", self.kind, self.spec.arrangement, self.spec.members)
    }

    /// Starts the array that has the first of these disks.
    fn start_of(disks: &[&Disk], options: &OpenOptions) -> Result<Start, StartError> {
        let found = |disk: &&Disk| Found::inspect(&disk.describe(), Arc::clone(*disk) as SharedMedia).ok();
        let array = found(&disks[0]).unwrap().record().array;
        let kin = |disk: &&Disk| {
            let found = found(disk).filter(|found| found.record().array == array)?;
            Some((found, Arc::clone(*disk) as SharedMediaMut))
        };
        container_start_on(disks.iter().filter_map(kin).collect(), Vec::new(), options)
    }

    fn left(&self, lost: &[usize]) -> Vec<&Disk> {
        self.disks.iter().enumerate().filter(|(slot, _)| !lost.contains(slot)).map(|(_, disk)| disk).collect()
    }

    fn start(&self, lost: &[usize]) -> Running {
        let start = Self::start_of(&self.left(lost), &OpenOptions::default());
        let start = start.unwrap_or_else(|error| panic!("{} without {lost:?}: {error}", self.name()));
        run(start)
    }

    /// The same, with bits that stay set for long.
    fn start_lazy(&self) -> Running {
        let start = Self::start_of(&self.left(&[]), &OpenOptions::default()).unwrap();
        let tuning = Tuning { threads: 1, slots: 8, sweep_every: Duration::from_secs(3600), ..Tuning::default() };
        Running::start(start, &tuning).unwrap()
    }

    /// The content, read without these disks.
    fn read(&self, lost: &[usize]) -> Vec<u8> {
        let found = |disk: &&Disk| Found::inspect(&disk.describe(), Arc::clone(*disk) as SharedMedia).unwrap();
        let mut groups = group(self.left(lost).iter().map(found).collect());
        assert_eq!(groups.len(), 1, "{}", self.name());
        let array = Array::open(groups.remove(0), &OpenOptions::default()).unwrap();
        let mut bytes = vec![0; usize::try_from(array.size_bytes()).unwrap()];
        array.read_at(0, &mut bytes).unwrap_or_else(|error| panic!("{} without {lost:?}: {error}", self.name()));
        bytes
    }

    /// It holds this, whole and without each disk that can be spared.
    fn holds(&self, first: u64, what: &str) {
        let (expected, name) = (content(&self.spec, first), self.name());
        assert!(self.read(&[]) == expected, "{name}: {what}");
        for lost in (0..self.disks.len()).filter(|_| is_redundant(&self.spec)) {
            assert!(self.read(&[lost]) == expected, "{name}: {what}, without {lost}");
        }
        assert!(self.syncs().iter().all(|clean| *clean), "{name}: {what}");
    }

    fn syncs(&self) -> Vec<bool> {
        let found = |disk: &Disk| Found::inspect(&disk.describe(), Arc::clone(disk) as SharedMedia).unwrap();
        self.disks.iter().map(|disk| found(disk).record().sync == Sync::Clean).collect()
    }

    /// The disks as they are now, as if the machine had lost its power.
    fn copy(&self) -> Self {
        Self::of(self.kind, self.spec, self.disks.iter().map(|disk| disk.inner.contents()).collect())
    }

    fn write(&self, running: &Running, first: u64) {
        running.write_at(0, &content(&self.spec, first)).unwrap_or_else(|error| panic!("{}: {error}", self.name()));
    }

    /// A new disk in a slot; what is on it must not be read, and it is larger than the others by so many sectors.
    fn newcomer(&self, larger: usize) -> Disk {
        disk("new", vec![0x5a; (usize::try_from(MEDIUM.0).unwrap() + larger) * 512], &self.log)
    }
}

fn run(start: Start) -> Running {
    let tuning = Tuning { threads: 1, slots: 8, sweep_every: Duration::from_millis(2), ..Tuning::default() };
    Running::start(start, &tuning).unwrap()
}

/// Throws a member out, and lets go of its medium.
fn lose(running: &Running, member: Member) {
    running.fail(member);
    while !running.is_noted() || !running.release(member) {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_written_is_there_when_it_was_stopped() {
    for world in World::all() {
        let running = world.start(&[]);
        world.write(&running, 7000);
        assert!(running.stop().unwrap(), "{}", world.name());
        world.holds(7000, "stopped");
    }
}

#[test]
fn an_array_that_is_started_and_stopped_without_a_write_is_not_written_to() {
    for world in World::redundant() {
        let start = World::start_of(&world.left(&[1]), &OpenOptions::default()).unwrap();
        start.store.stop(&start.health, Stopped::Clean).unwrap();
        assert!(world.log.lock().unwrap().is_empty(), "{}", world.name());
    }
}

#[test]
fn one_that_was_killed_is_synchronised_and_says_so_until_it_is() {
    for world in World::redundant() {
        let (running, name) = (world.start_lazy(), world.name());
        world.write(&running, 7000);
        let mut killed = world.copy();
        drop(running);
        let says = world.kind.says_dirty();
        assert!(killed.syncs().iter().all(|clean| *clean != says), "{name}");
        // A write that reached one disk alone: the last one's share of the first row.
        let last = killed.disks.len() - 1;
        let mut bytes = killed.disks[last].inner.contents();
        bytes[..512].fill(0xee);
        killed.disks[last] = disk(&format!("d{last}"), bytes, &killed.log);
        let start = World::start_of(&killed.left(&[]), &OpenOptions::default()).unwrap();
        assert_eq!(start.doubt, [RegionNo(0)], "{name}");
        let running = run(start);
        running.wait_until_quiet();
        let mut now = vec![0; usize::try_from(running.size_bytes()).unwrap()];
        running.read_at(0, &mut now).unwrap();
        assert!(running.stop().unwrap(), "{name}");
        for lost in 0..killed.disks.len() {
            assert!(killed.read(&[lost]) == now, "{name} without {lost}");
        }
        assert!(killed.syncs().iter().all(|clean| *clean), "{name}");
    }
}

/// The software form of LSI's has no place for "dirty". Without one, every start might be the first after a crash.
#[test]
fn where_a_format_cannot_say_dirty_everything_is_synchronised_at_each_start() {
    for world in World::redundant() {
        let start = World::start_of(&world.left(&[]), &OpenOptions::default()).unwrap();
        assert_eq!(start.doubt.is_empty(), world.kind.format() != Format::Lsi, "{}", world.name());
        let without = World::start_of(&world.left(&[1]), &OpenOptions::default()).unwrap();
        // Nothing is left that could disagree in a mirror of two.
        assert!(world.spec.arrangement != Arrangement::Mirror || without.health.missing().len() == 1);
    }
}

#[test]
fn each_member_that_fails_is_replaced_and_stays_out_when_it_comes_back() {
    for (round, world) in World::redundant().into_iter().enumerate() {
        for slot in 0..world.disks.len() {
            let (mut world, name) = (world.copy(), world.name());
            let running = world.start(&[]);
            world.write(&running, 100);
            lose(&running, Member(u8::try_from(slot).unwrap()));
            world.write(&running, 7000);
            // It was shut out: what it holds is old, and it is not read, whoever comes first.
            let old = world.disks[slot].clone();
            let degraded = world.copy();
            let new = world.newcomer(if round.is_multiple_of(2) { 64 } else { 0 });
            running
                .add(Member(u8::try_from(slot).unwrap()), new.clone())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            running.wait_until_quiet();
            assert!(running.health().is_whole(), "{name}");
            assert!(running.stop().unwrap(), "{name}");
            world.disks[slot] = new;
            world.holds(7000, "replaced");
            world.disks.push(old);
            let after = World::start_of(&world.disks.iter().collect::<Vec<_>>(), &OpenOptions::default());
            let after = after.unwrap_or_else(|error| panic!("{name} with the old disk {slot}: {error}"));
            assert!(after.health.is_whole(), "{name}");
            let old =
                after.slots.iter().flat_map(|slot| &slot.media).any(|media| media.describe() == format!("d{slot}"));
            assert!(!old, "{name}: the old disk serves");
            let first = usize::from(slot == 0);
            let order: Vec<&Disk> = degraded.disks.iter().cycle().skip(first).take(degraded.disks.len()).collect();
            let believed = OpenOptions { trust_dirty_parity: true, ..OpenOptions::default() };
            let back =
                World::start_of(&order, &believed).unwrap_or_else(|error| panic!("{name} without {slot}: {error}"));
            assert_eq!(back.health.state(Member(u8::try_from(slot).unwrap())), Some(State::Missing), "{name}");
        }
    }
}

#[test]
fn a_member_that_did_not_come_is_written_off_with_the_first_write() {
    for world in World::redundant() {
        for slot in 0..world.disks.len() {
            let (world, name) = (world.copy(), world.name());
            let running = world.start(&[slot]);
            // Of LSI everything is in doubt, but nothing to compare is there.
            running.wait_until_quiet();
            world.write(&running, 7000);
            assert!(running.stop().unwrap(), "{name}");
            let first = usize::from(slot == 0);
            let order: Vec<&Disk> = world.disks.iter().cycle().skip(first).take(world.disks.len()).collect();
            let again = World::start_of(&order, &OpenOptions::default());
            let again = again.unwrap_or_else(|error| panic!("{name} with {slot} back: {error}"));
            assert_eq!(again.health.state(Member(u8::try_from(slot).unwrap())), Some(State::Missing), "{name}");
            assert!(world.read(&[slot]) == content(&world.spec, 7000), "{name} without {slot}");
        }
    }
}

#[test]
fn a_dirty_array_with_parity_that_lacks_a_member_is_refused_unless_parity_is_believed() {
    let five = |world: &World| matches!(world.spec.arrangement, Arrangement::Raid5(_));
    let worlds: Vec<World> = World::redundant().into_iter().filter(five).collect();
    assert!(worlds.len() >= 4, "{}", worlds.len());
    for world in worlds {
        let (running, name) = (world.start_lazy(), world.name());
        world.write(&running, 7000);
        let killed = world.copy();
        let refused = World::start_of(&killed.left(&[1]), &OpenOptions::default()).err().unwrap().to_string();
        assert!(refused.contains("not stopped cleanly and degraded"), "{name}: {refused}");
        // It lacked the member already, or another one is being filled: the same.
        lose(&running, Member(1));
        world.write(&running, 100);
        let killed = world.copy();
        assert!(World::start_of(&killed.left(&[1]), &OpenOptions::default()).is_err(), "{name}");
        running.pause();
        let new = world.newcomer(0);
        running.add(Member(1), new.clone()).unwrap();
        world.write(&running, 200);
        let mut killed = world.copy();
        killed.disks[1] = disk("new", new.inner.contents(), &killed.log);
        assert!(World::start_of(&killed.left(&[]), &OpenOptions::default()).is_err(), "{name}: being filled");
        drop(running);
    }
}

#[test]
fn a_cut_at_every_sector_of_a_failure_leaves_an_array_that_starts_and_nobody_else_is_out() {
    for world in World::redundant() {
        for slot in 0..world.disks.len() {
            let (fresh, name) = (world.copy(), world.name());
            let start = World::start_of(&fresh.left(&[]), &OpenOptions::default()).unwrap();
            let (mut health, gone) = (start.health, Member(u8::try_from(slot).unwrap()));
            health.apply(gone, Event::Fail).unwrap();
            for other in health.in_sync().iter() {
                start.store.write_health(other, &health).unwrap();
            }
            let log = fresh.log.lock().unwrap().clone();
            for cut in 0..=log.len() {
                let mut media: Vec<Vec<u8>> = world.disks.iter().map(|disk| disk.inner.contents()).collect();
                for (disk, sector, bytes) in &log[..cut] {
                    let at = usize::try_from(sector * 512).unwrap();
                    media[disk[1..].parse::<usize>().unwrap()][at..at + 512].copy_from_slice(bytes);
                }
                let torn = World::of(world.kind, world.spec, media);
                let again = World::start_of(&torn.left(&[]), &OpenOptions::default());
                let missing = again.unwrap_or_else(|error| panic!("{name} cut at {cut}: {error}")).health.missing();
                let out = usize::from(missing.contains(gone));
                assert_eq!(missing.len() as usize, out, "{name}: {slot} fails, cut at {cut}");
                assert!(cut < log.len() || out == 1, "{name}");
            }
        }
    }
}

#[test]
fn the_oldest_highpoint_is_refused_with_the_reason() {
    let kind = Kind::all().find(|kind| kind.format() == Format::Hpt37x).unwrap();
    for spec in specs() {
        let Some(world) = World::new(kind, spec) else { continue };
        let why = World::start_of(&world.left(&[]), &OpenOptions::default()).err().unwrap().to_string();
        assert!(why.contains("hpt37x arrays are not written to") && why.contains("tenth sector"), "{why}");
        assert!(world.log.lock().unwrap().is_empty());
    }
}

#[test]
fn what_is_too_small_is_refused_and_not_written_to() {
    for world in World::redundant() {
        let running = world.start(&[1]);
        for sectors in [64, 1024] {
            let small = Arc::new(MemMedia::new("small", vec![0x77; sectors * 512]));
            let why = running.add(Member(1), small.clone()).unwrap_err().to_string();
            assert!(why.contains("needed") || why.contains("small"), "{}: {why}", world.name());
            assert!(small.contents().iter().all(|byte| *byte == 0x77));
        }
        running.stop().unwrap();
    }
}
