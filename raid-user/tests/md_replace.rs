//! Members of MD arrays that are replaced while they serve, and spares: what the members say at any moment starts right, whoever is there.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raid_core::health::State;
use raid_core::recovery::Rates;
use raid_core::{FarSets, Level, Member, Raid5Layout, Raid6Layout, Raid10Layout, Sectors};
use raid_formats::assemble::Claimant;
use raid_formats::md::Version;
use raid_formats::record::{Name, Record, Role, Uuid};
use raid_testkit::pattern;
use raid_user::array::OpenOptions;
use raid_user::create::NewArray;
use raid_user::discover::Found;
use raid_user::host::md_store::{StartError, md_start_on};
use raid_user::host::start::Start;
use raid_user::host::{Running, Tuning};
use raid_user::media::{Media, MediaMut, MemMedia, SharedMedia, SharedMediaMut};

const MEMBER_BYTES: usize = 3 << 19;
/// Of each member, in sectors: 48 rows.
const USED: Sectors = Sectors(384);
const VERSIONS: [Version; 3] = [Version::V1_0, Version::V1_1, Version::V1_2];
const RAID5: Level = Level::Raid5(Raid5Layout::LeftSymmetric);
const LEVELS: [(Level, usize); 4] = [
    (Level::Raid1, 2),
    (RAID5, 4),
    (Level::Raid6(Raid6Layout::LeftSymmetric), 5),
    (Level::Raid10(Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All }), 4),
];
const OLD: Member = Member(1);

/// Sectors written, in the order of writes to all media.
type Log = Arc<Mutex<Vec<(usize, u64, [u8; 512])>>>;

/// A medium that notes every sector written, and fails every write once it is told to.
struct Noting {
    inner: MemMedia,
    index: usize,
    log: Log,
    dead: Mutex<bool>,
}

impl Noting {
    fn check(&self) -> io::Result<()> {
        if *self.dead.lock().unwrap() { Err(io::Error::other("dead")) } else { Ok(()) }
    }
}

impl Media for Noting {
    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        self.check()?;
        self.inner.read_at(offset_bytes, buf)
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

impl MediaMut for Noting {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        self.check()?;
        let mut log = self.log.lock().unwrap();
        for (sector, bytes) in (offset_bytes / 512..).zip(buf.as_chunks::<512>().0) {
            log.push((self.index, sector, *bytes));
        }
        self.inner.write_at(offset_bytes, buf)
    }
    fn flush(&self) -> io::Result<()> {
        self.check()
    }
    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, _: bool) -> io::Result<()> {
        self.write_at(offset_bytes, &vec![0; usize::try_from(len_bytes).unwrap()])
    }
    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// An array's media, those of newcomers behind them.
struct Disks {
    media: Vec<Arc<Noting>>,
    log: Log,
}

fn name(index: usize) -> String {
    format!("m{index}")
}

impl Disks {
    fn of(contents: Vec<Vec<u8>>) -> Self {
        let log = Log::default();
        let medium = |(index, bytes): (usize, Vec<u8>)| {
            let inner = MemMedia::new(&name(index), bytes);
            Arc::new(Noting { inner, index, log: log.clone(), dead: Mutex::new(false) })
        };
        Self { media: contents.into_iter().enumerate().map(medium).collect(), log }
    }

    /// An array, full of what tells one sector from the other, and media that are in no array.
    fn made(version: Version, level: Level, members: usize, bitmap: bool, others: usize) -> Self {
        let mut contents = vec![vec![0; MEMBER_BYTES]; members];
        contents.resize(members + others, vec![0xEE; MEMBER_BYTES]);
        let disks = Self::of(contents);
        let new = NewArray {
            version,
            level,
            chunk: if level == Level::Raid1 { Sectors(0) } else { Sectors(16) },
            bitmap: bitmap.then_some(Some(4096)),
            name: Name([0; 32]),
            used: Some(USED),
            assume_clean: true,
            array: Uuid([7; 16]),
            created_s: 1_700_000_000,
        };
        let shared: Vec<Option<SharedMediaMut>> = (0..members).map(|index| Some(disks.medium(index))).collect();
        new.create(&shared).unwrap();
        let running = disks.run();
        let sectors = usize::try_from(running.size_bytes() / 512).unwrap();
        running.write_at(0, &pattern::sectors(77, sectors)).unwrap();
        assert!(running.stop().unwrap());
        disks
    }

    fn medium(&self, index: usize) -> SharedMediaMut {
        self.media[index].clone()
    }

    fn contents(&self) -> Vec<Vec<u8>> {
        self.media.iter().map(|medium| medium.inner.contents()).collect()
    }

    /// Who is here and belongs to an array, but for those `lost`.
    fn start_without(&self, lost: &[usize], trust: bool) -> Result<Start, StartError> {
        let here = (0..self.media.len()).filter(|index| !lost.contains(index));
        let found = |index: usize| {
            let medium = self.media[index].clone();
            Found::inspect(&name(index), medium.clone() as SharedMedia)
                .ok()
                .map(|found| (found, medium as SharedMediaMut))
        };
        let options = OpenOptions { trust_dirty_parity: trust, ..OpenOptions::default() };
        md_start_on(here.filter_map(found).collect(), &options)
    }

    fn start(&self) -> Start {
        self.start_without(&[], false).unwrap()
    }

    fn run_with(&self, lost: &[usize], tuning: &Tuning) -> Running {
        Running::start(self.start_without(lost, true).unwrap(), tuning).unwrap()
    }

    fn run(&self) -> Running {
        self.run_with(&[], &tuning())
    }

    fn record(&self, index: usize) -> Record {
        *Found::inspect(&name(index), self.media[index].clone()).unwrap().record()
    }

    /// What the array reads as, without these.
    fn content(&self, lost: &[usize]) -> Vec<u8> {
        // Of a copy: who is written off there comes back here.
        read(&Self::of(self.contents()).run_with(lost, &Tuning { heals: false, ..tuning() }))
    }
}

fn tuning() -> Tuning {
    Tuning { threads: 2, slots: 8, checkpoint_rows: 8, sweep_every: Duration::from_millis(5), ..Tuning::default() }
}

fn read(running: &Running) -> Vec<u8> {
    let mut all = vec![0; usize::try_from(running.size_bytes()).unwrap()];
    running.read_at(0, &mut all).unwrap();
    all
}

fn until(so: impl Fn() -> bool) {
    while !so() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The copy is there, and has some rows and not all.
fn half_way(running: &Running, new: SharedMediaMut) {
    running.set_rates(Rates { floor_rows_s: 100, ceiling_rows_s: 100 });
    running.replace(OLD, new).unwrap();
    until(|| running.health().copy(OLD).unwrap().mark.0 > 0);
    running.pause();
    until(|| !running.is_recovering());
    until(|| running.is_noted());
    assert!(running.health().copy(OLD).is_some());
}

#[test]
fn a_copy_takes_over_and_who_was_replaced_is_let_go_of_and_stays_out() {
    for version in VERSIONS {
        for (level, members) in LEVELS {
            let what = format!("{version:?} {level:?}");
            let disks = Disks::made(version, level, members, members == 4, 2);
            let expected = disks.content(&[]);
            let running = disks.run();
            for (new, old) in [(members, 1), (members + 1, members)] {
                running.replace(OLD, disks.medium(new)).unwrap();
                running.wait_until_quiet();
                assert_eq!(running.names().nth(1).unwrap(), Some(name(new)), "{what}");
                assert!(running.health().is_whole() && running.health().copies().next().is_none(), "{what}");
                // Ours, the clone below and nobody else's.
                until(|| Arc::strong_count(&disks.media[old]) == 1);
            }
            assert!(read(&running) == expected, "{what}");
            assert!(running.stop().unwrap(), "{what}");
            let start = disks.start();
            assert!(start.health.is_whole(), "{what}");
            assert_eq!(start.slots[1].media.as_ref().unwrap().describe(), name(members + 1), "{what}");
            drop(start);
            let record = disks.record(members + 1);
            assert!((record.replacement, record.sync_mark, record.role) == (false, None, Role::Slot(1)), "{what}");
            // The others make up for each that is missing: what was copied is what they make.
            assert!(disks.content(&[0, 1, members]) == expected, "{what}");
        }
    }
}

/// Every write to a member, data and metadata, from before the copy came until after it took over: cut there, the array is whole, with the
/// old member or the new one, and reads the same; and goes on to its end.
#[test]
fn a_cut_at_every_sector_from_the_first_to_the_takeover_loses_nothing() {
    for (version, bitmap) in VERSIONS.into_iter().zip([true, false, true]) {
        let disks = Disks::made(version, RAID5, 4, bitmap, 1);
        let (mut before, expected) = (disks.contents(), disks.content(&[]));
        disks.log.lock().unwrap().clear();
        let running = disks.run();
        running.replace(OLD, disks.medium(4)).unwrap();
        running.wait_until_quiet();
        drop(running);
        let log = disks.log.lock().unwrap().clone();
        let data_at = disks.record(0).data;
        let (mut took_over, mut copies) = (0, 0);
        for (cut, (index, sector, bytes)) in log.iter().enumerate() {
            let what = format!("{version:?} cut at {cut} of {}", log.len());
            let at = usize::try_from(*sector * 512).unwrap();
            before[*index][at..at + 512].copy_from_slice(bytes);
            let is_data = *sector >= data_at.at.0 && *sector < data_at.at.0 + USED.0;
            if is_data && cut % 37 != 0 {
                continue;
            }
            let left = Disks::of(before.clone());
            let start = left.start_without(&[], false).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(start.health.is_whole(), "{what}: {:?}", start.health);
            copies += start.health.copies().count();
            let serves = start.slots[1].media.as_ref().unwrap().describe();
            took_over += usize::from(serves == name(4));
            assert!(took_over == 0 || serves == name(4), "{what}: the old one is back");
            drop(start);
            assert!(left.content(&[]) == expected, "{what}");
            assert!(took_over == 0 || left.content(&[1]) == expected, "{what}");
            if cut % 8 == 0 || took_over > 0 {
                let running = left.run();
                running.wait_until_quiet();
                assert!(running.health().is_whole(), "{what}");
                assert!(running.stop().unwrap(), "{what}");
                assert!(left.content(&[3]) == expected, "{what}");
            }
        }
        assert!(took_over > 2 && copies > 5, "{version:?}: {took_over} {copies}");
    }
}

/// The plug is pulled while clients write and a member is being copied. What is read then is what is read when the copy has taken over:
/// a write that reached one of the two below the mark does not change anything later.
#[test]
fn what_is_read_after_a_crash_is_what_the_copy_has_when_it_takes_over() {
    for (level, members) in LEVELS {
        for bitmap in [false, true] {
            let disks = Disks::made(Version::V1_2, level, members, bitmap, 1);
            let mut before = disks.contents();
            disks.log.lock().unwrap().clear();
            let running = disks.run();
            running.set_rates(Rates { floor_rows_s: 300, ceiling_rows_s: 300 });
            running.replace(OLD, disks.medium(members)).unwrap();
            let mut dice = fastrand::Rng::with_seed(7);
            let rows = running.size_bytes() / 4096;
            while running.health().copy(OLD).is_some_and(|copy| copy.mark.0 < 200) {
                let fill = dice.u8(..);
                running.write_at(dice.u64(..rows) * 4096, &[fill; 4096]).unwrap();
            }
            drop(running);
            let log = disks.log.lock().unwrap().clone();
            let mut at = 0;
            for cut in (0..log.len()).step_by(log.len() / 12) {
                for (index, sector, bytes) in &log[at..cut] {
                    let offset = usize::try_from(sector * 512).unwrap();
                    before[*index][offset..offset + 512].copy_from_slice(bytes);
                }
                at = cut;
                let what = format!("{level:?} {bitmap} cut at {cut} of {}", log.len());
                let left = Disks::of(before.clone());
                let first = left.content(&[]);
                let running = left.run();
                running.wait_until_quiet();
                assert!(running.health().is_whole() && running.health().copies().next().is_none(), "{what}");
                assert!(read(&running) == first, "{what}");
                assert!(running.stop().unwrap(), "{what}");
                for lost in [0, 2].into_iter().filter(|lost| *lost < members) {
                    assert!(left.content(&[lost]) == first, "{what}: without {lost}");
                }
            }
        }
    }
}

#[test]
fn a_copy_that_was_stopped_half_way_goes_on_at_its_mark() {
    for version in VERSIONS {
        for (level, members) in LEVELS {
            let what = format!("{version:?} {level:?}");
            let disks = Disks::made(version, level, members, true, 1);
            let expected = disks.content(&[]);
            let running = disks.run();
            half_way(&running, disks.medium(members));
            let mark = running.health().copy(OLD).unwrap().mark;
            assert!(running.stop().unwrap(), "{what}");
            let record = disks.record(members);
            assert!(record.replacement && record.role == Role::Slot(1), "{what}");
            assert_eq!(record.sync_mark, Some(Sectors(mark.0)), "{what}");
            let start = disks.start();
            assert_eq!(start.health.copy(OLD).map(|copy| copy.mark), Some(mark), "{what}");
            drop(start);
            // Below the mark it is not made again.
            let spoilt = (record.data.at.0 * 512, disks.media[members].inner.contents());
            disks.media[members].inner.write_at(spoilt.0, &[0x11; 512]).unwrap();
            let running = disks.run();
            running.wait_until_quiet();
            assert_eq!(running.names().nth(1).unwrap(), Some(name(members)), "{what}");
            drop(running);
            let at = usize::try_from(spoilt.0).unwrap();
            assert_eq!(disks.media[members].inner.contents()[at..at + 512], [0x11; 512], "{what}");
            disks.media[members].inner.write_at(spoilt.0, &spoilt.1[at..at + 512]).unwrap();
            assert!(disks.content(&[0]) == expected, "{what}");
        }
    }
}

/// As Linux: the replacement is all that the slot has, and is filled from its mark on as a member.
#[test]
fn if_the_old_one_does_not_come_the_copy_has_its_slot_up_to_its_mark() {
    for version in VERSIONS {
        let disks = Disks::made(version, RAID5, 4, true, 1);
        let expected = disks.content(&[]);
        let running = disks.run();
        half_way(&running, disks.medium(4));
        assert!(running.stop().unwrap());
        let mark = disks.record(4).sync_mark.unwrap();
        let start = disks.start_without(&[1], false).unwrap();
        assert_eq!(start.health.state(OLD), Some(State::Rebuilding { mark: raid_core::Sector(mark.0) }), "{version:?}");
        drop(start);
        let running = disks.run_with(&[1], &tuning());
        running.wait_until_quiet();
        assert!(running.health().is_whole() && read(&running) == expected, "{version:?}");
        assert!(running.stop().unwrap());
        // And who did not come is written off.
        let start = disks.start();
        assert_eq!(start.slots[1].media.as_ref().unwrap().describe(), name(4), "{version:?}");
        assert!(start.health.copies().next().is_none(), "{version:?}");
    }
}

#[test]
fn a_copy_that_does_not_come_is_written_off_and_the_old_one_serves() {
    for version in VERSIONS {
        let disks = Disks::made(version, RAID5, 4, true, 2);
        let running = disks.run();
        half_way(&running, disks.medium(4));
        assert!(running.stop().unwrap());
        let running = disks.run_with(&[4], &tuning());
        assert!(running.health().copies().next().is_none() && running.health().is_whole(), "{version:?}");
        running.write_at(0, &[0x5A; 4096]).unwrap();
        assert!(running.stop().unwrap());
        let expected = disks.content(&[]);
        // It is back: it missed a write.
        let running = disks.run();
        assert!(running.health().copies().next().is_none(), "{version:?}");
        running.replace(OLD, disks.medium(5)).unwrap();
        running.wait_until_quiet();
        assert!(running.stop().unwrap());
        assert!(disks.content(&[0]) == expected, "{version:?}");
    }
}

#[test]
fn if_the_old_one_fails_first_the_copy_is_filled_from_the_others() {
    for (level, members) in LEVELS {
        let disks = Disks::made(Version::V1_2, level, members, true, 1);
        let expected = disks.content(&[]);
        let running = disks.run();
        half_way(&running, disks.medium(members));
        running.fail(OLD);
        assert!(matches!(running.health().state(OLD), Some(State::Rebuilding { mark }) if mark.0 > 0), "{level:?}");
        until(|| running.is_noted());
        // Killed there, it goes on there.
        drop(running);
        let start = disks.start();
        assert!(matches!(start.health.state(OLD), Some(State::Rebuilding { mark }) if mark.0 > 0), "{level:?}");
        assert_eq!(start.slots[1].media.as_ref().unwrap().describe(), name(members), "{level:?}");
        drop(start);
        let running = disks.run();
        running.wait_until_quiet();
        assert!(running.health().is_whole() && read(&running) == expected, "{level:?}");
        assert!(running.stop().unwrap());
        assert!(disks.content(&[0]) == expected, "{level:?}");
    }
}

#[test]
fn a_copy_that_fails_or_is_thrown_out_leaves_the_old_one_where_it_is() {
    for dies in [false, true] {
        let disks = Disks::made(Version::V1_2, RAID5, 4, true, 2);
        let expected = disks.content(&[]);
        let running = disks.run();
        half_way(&running, disks.medium(4));
        if dies {
            *disks.media[4].dead.lock().unwrap() = true;
            running.resume();
            until(|| running.health().copies().next().is_none());
        } else {
            assert!(running.fail_copy(OLD) && !running.fail_copy(OLD));
        }
        until(|| running.is_noted());
        assert!(running.health().is_whole() && running.health().copies().next().is_none(), "{dies}");
        until(|| Arc::strong_count(&disks.media[4]) == 1);
        assert!(read(&running) == expected);
        running.set_rates(Rates::FREE);
        running.resume();
        running.replace(OLD, disks.medium(5)).unwrap();
        running.wait_until_quiet();
        assert!(running.stop().unwrap());
        *disks.media[4].dead.lock().unwrap() = false;
        assert_eq!(disks.start().slots[1].media.as_ref().unwrap().describe(), name(5), "{dies}");
        assert!(disks.content(&[0]) == expected, "{dies}");
    }
}

#[test]
fn what_cannot_be_replaced_is_refused_and_nothing_is_written() {
    let disks = Disks::made(Version::V0Little, RAID5, 4, true, 1);
    let running = disks.run();
    let refused = running.replace(OLD, disks.medium(4)).unwrap_err();
    assert!(refused.kind() == io::ErrorKind::Unsupported && refused.to_string().contains("0.90"), "{refused}");
    assert_eq!(disks.media[4].inner.contents(), vec![0xEE; MEMBER_BYTES]);
    let disks = Disks::made(Version::V1_2, RAID5, 4, true, 2);
    let running = disks.run();
    let small: SharedMediaMut = Arc::new(MemMedia::new("small", vec![0; MEMBER_BYTES / 8]));
    assert!(running.replace(OLD, small).is_err());
    half_way(&running, disks.medium(4));
    let refused = running.replace(OLD, disks.medium(5)).unwrap_err().to_string();
    assert!(refused.contains("is being replaced already"), "{refused}");
    running.fail(Member(2));
    until(|| running.is_noted());
    let refused = running.replace(Member(2), disks.medium(5)).unwrap_err().to_string();
    assert!(refused.contains("no member"), "{refused}");
    assert_eq!(disks.media[5].inner.contents(), vec![0xEE; MEMBER_BYTES]);
}

/// Two members came at the same moment: the number of the first was not written down when the second one asked for a free one, and both
/// had the same. The table said of the first what it was to say of the second.
#[test]
fn two_that_come_at_once_have_numbers_of_their_own() {
    let disks = Disks::made(Version::V1_2, Level::Raid6(Raid6Layout::LeftSymmetric), 5, true, 2);
    let start = disks.start();
    let slots = [(1, 5), (2, 6)];
    let mut health = start.health;
    for (slot, _) in slots {
        health.apply(Member(slot), raid_core::health::Event::Fail).unwrap();
    }
    let tell = |health: &raid_core::health::Health| {
        health.written().iter().for_each(|seat| start.store.write_health(seat, health).unwrap());
    };
    tell(&health);
    for (slot, medium) in slots {
        start.store.admit(Member(slot), disks.medium(medium)).unwrap();
    }
    for (slot, _) in slots {
        let mark = raid_core::Sector(0);
        health.apply(Member(slot), raid_core::health::Event::Rebuild { mark }).unwrap();
    }
    tell(&health);
    assert_ne!(disks.record(5).number, disks.record(6).number);
    assert_eq!((disks.record(5).role, disks.record(6).role), (Role::Slot(1), Role::Slot(2)));
}

#[test]
fn a_spare_takes_over_by_itself_when_a_member_fails() {
    for version in [Version::V0Little, Version::V1_0, Version::V1_1, Version::V1_2] {
        for restarted in [false, true] {
            let what = format!("{version:?} {restarted}");
            let disks = Disks::made(version, RAID5, 4, true, 2);
            let expected = disks.content(&[]);
            let mut running = disks.run();
            running.keep(disks.medium(4)).unwrap();
            running.keep(disks.medium(5)).unwrap();
            assert_eq!(running.spares().len(), 2, "{what}");
            // However often something is said, they keep up with it.
            for at in 0..4 {
                running.write_at(at * 4096, &expected[usize::try_from(at).unwrap() * 4096..][..4096]).unwrap();
                until(|| running.regions().dirty == 0);
            }
            if restarted {
                assert!(running.stop().unwrap());
                assert!([4, 5].iter().all(|spare| disks.record(*spare).role == Role::Spare), "{what}");
                running = disks.run();
                assert_eq!(running.spares().len(), 2, "{what}");
            }
            running.fail(OLD);
            until(|| running.health().is_whole());
            assert_eq!(running.names().nth(1).unwrap(), Some(name(4)), "{what}");
            assert_eq!(running.spares().len(), 1, "{what}");
            assert!(read(&running) == expected, "{what}");
            let last = running.spares().remove(0);
            assert!(running.dismiss(&last) && !running.dismiss(&last) && running.spares().is_empty(), "{what}");
            assert!(running.stop().unwrap(), "{what}");
            let start = disks.start_without(&[5], false).unwrap();
            assert!(start.health.is_whole() && start.slots[1].media.as_ref().unwrap().describe() == name(4), "{what}");
            drop(start);
            assert!(disks.content(&[0, 1, 5]) == expected, "{what}");
        }
    }
}

/// A spare that cannot be written to is none; one that does not do is passed over.
#[test]
fn a_dead_spare_does_not_keep_the_next_one_from_its_turn() {
    let disks = Disks::made(Version::V1_2, RAID5, 4, true, 2);
    let expected = disks.content(&[]);
    let running = disks.run();
    running.keep(disks.medium(4)).unwrap();
    running.keep(disks.medium(5)).unwrap();
    *disks.media[4].dead.lock().unwrap() = true;
    running.fail(OLD);
    until(|| running.names().nth(1).unwrap() == Some(name(5)) && running.health().is_whole());
    assert!(read(&running) == expected);
}

#[test]
fn a_spare_can_be_what_a_member_is_replaced_with() {
    let disks = Disks::made(Version::V1_2, RAID5, 4, true, 1);
    let expected = disks.content(&[]);
    let running = disks.run();
    running.keep(disks.medium(4)).unwrap();
    running.replace(OLD, running.held().remove(0)).unwrap();
    assert!(running.spares().is_empty());
    running.wait_until_quiet();
    assert!(running.health().is_whole() && running.stop().unwrap());
    assert!(disks.content(&[1, 0]) == expected);
}
