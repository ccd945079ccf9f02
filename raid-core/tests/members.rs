//! Members that were away: what they lack is filled, and nothing is believed that is not known.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use raid_core::action::{Action, Buf, Way};
use raid_core::broadcast::Verdict;
use raid_core::engine::Host as _;
use raid_core::geometry::Geometry;
use raid_core::health::{Epoch, Health, State};
use raid_core::members::{Away, Members, Unknown};
use raid_core::region::RegionNo;
use raid_core::request::{Kind, Request, RequestId};
use raid_core::{ArrayConfig, Columns, Level, Member, Raid5Layout, Raid6Layout, Sector, Sectors, Sizes, engine};
use raid_testkit::null_host::{Heap, LIMITS, NullHost, Watch, noting, receipt, whole};

struct Array {
    host: NullHost<Watch>,
    seen: Rc<RefCell<Vec<Action>>>,
}

impl Deref for Array {
    type Target = NullHost<Watch>;

    fn deref(&self) -> &Self::Target {
        &self.host
    }
}

/// Eight regions of four rows.
fn geometry(level: Level, members: u16) -> Geometry {
    let chunk = if level == Level::Raid1 { Sectors(0) } else { Sectors(16) };
    let config = ArrayConfig { level, members, chunk, sizes: Sizes::Same(Sectors(256)), array_size: None };
    Geometry::new(&config).unwrap()
}

impl Array {
    fn new(level: Level, members: u16, doubt: bool) -> Self {
        let (watch, seen) = noting();
        Self { host: NullHost::new(geometry(level, members), LIMITS, doubt, watch), seen }
    }

    fn turn(&self) -> bool {
        let more = self.run(100);
        let Some(action) = self.next() else { return more };
        if let Some((token, _)) = receipt(&action) {
            engine::complete(&self.host, token, true);
        }
        true
    }

    fn drain(&self) {
        while self.turn() {}
    }

    /// Writes the first row of a region.
    fn write(&self, region: u64) {
        let columns = self.rows().geometry().array_size().0 / 256;
        let at = Sector(region * 32 * columns);
        let request = Request { id: RequestId(region), kind: Kind::Write { fua: false }, at, len: Sectors(8) };
        engine::submit(&self.host, request).unwrap();
        self.drain();
    }

    fn health(&self) -> Health {
        self.members.borrow().view().health
    }

    fn state(&self, member: u8) -> State {
        self.health().state(Member(member)).unwrap()
    }

    /// A member fails. What it knew.
    fn fail(&self, member: u8) -> Away {
        let away = Away::new(Member(member), &self.health()).unwrap();
        engine::fail(&self.host, Member(member));
        self.drain();
        away
    }

    fn sweep(&self) {
        for _ in 0..3 {
            engine::sweep(&self.host, 100);
            self.drain();
        }
    }

    /// The regions in which a member was written to since the last look.
    fn filled(&self, member: u8) -> Vec<u64> {
        let region = |action: &Action| match action {
            Action::Io { way: Way::Write { .. }, member: to, at, .. } if to.0 == member => Some(at.0 / 32),
            _ => None,
        };
        let mut regions: Vec<u64> = self.seen.take().iter().filter_map(region).collect();
        regions.dedup();
        regions
    }
}

const RAID5: Level = Level::Raid5(Raid5Layout::LeftSymmetric);
const RAID6: Level = Level::Raid6(Raid6Layout::LeftSymmetric);

#[test]
fn a_member_that_comes_back_is_filled_where_it_missed_something_and_nowhere_else() {
    for (level, members) in [(Level::Raid1, 2), (RAID5, 4), (RAID6, 5)] {
        let array = Array::new(level, members, false);
        array.write(1);
        array.sweep();
        array.write(2);
        let away = array.fail(1);
        array.write(5);
        array.seen.take();
        engine::readd(&array.host, Member(1), away).unwrap();
        array.drain();
        assert_eq!((array.state(1), array.filled(1)), (State::InSync, vec![2, 5]), "{level:?}");
        array.sweep();
        assert!((0..8).all(|region| !array.log.borrow().is_set(RegionNo(region))), "{level:?}");
    }
}

#[test]
fn whoever_left_before_bits_were_taken_back_is_refused() {
    let array = Array::new(Level::Raid1, 2, false);
    let away = array.fail(1);
    array.write(3);
    engine::add(&array.host, Member(1)).unwrap();
    array.drain();
    // Nothing was forgotten yet: the bits of what the first one missed are still there.
    let second = array.fail(1);
    engine::readd(&array.host, Member(1), away).unwrap();
    array.drain();
    array.sweep();
    array.fail(1);
    assert!(matches!(engine::readd(&array.host, Member(1), second), Err(Unknown::Cleared { .. })));
    assert_eq!(array.state(1), State::Missing);
}

#[test]
fn whoever_may_have_been_written_to_without_the_others_is_refused() {
    let array = Array::new(Level::Raid1, 3, false);
    let away = array.fail(1);
    let ahead = Away { knew: Epoch(away.knew.0 + 7), ..away };
    let alone = Away { missing: Columns::one(Member(0)), ..away };
    for claim in [ahead, alone] {
        assert_eq!(engine::readd(&array.host, Member(1), claim), Err(Unknown::Diverged));
    }
    engine::readd(&array.host, Member(1), away).unwrap();
    assert!(matches!(engine::readd(&array.host, Member(1), away), Err(Unknown::Slot(_))));
}

#[test]
fn two_that_left_one_after_the_other_are_each_filled_with_what_both_missed() {
    let array = Array::new(RAID6, 5, false);
    let first = array.fail(1);
    array.write(0);
    let second = array.fail(3);
    array.write(6);
    engine::readd(&array.host, Member(3), second).unwrap();
    array.drain();
    assert_eq!(array.state(3), State::InSync);
    engine::readd(&array.host, Member(1), first).unwrap();
    array.seen.take();
    array.drain();
    assert_eq!((array.state(1), array.filled(1)), (State::InSync, vec![0, 6]));
}

#[test]
fn a_new_member_beside_one_that_comes_back_gets_every_row() {
    let array = Array::new(RAID6, 5, false);
    let away = array.fail(1);
    array.fail(3);
    array.write(6);
    array.seen.take();
    engine::readd(&array.host, Member(1), away).unwrap();
    engine::add(&array.host, Member(3)).unwrap();
    array.drain();
    assert_eq!((array.state(1), array.state(3)), (State::InSync, State::InSync));
    assert_eq!(array.filled(3).len(), 8);
}

#[test]
fn who_was_being_filled_from_the_start_when_it_left_is_nobody_to_build_on() {
    let array = Array::new(Level::Raid1, 2, false);
    array.fail(1);
    engine::add(&array.host, Member(1)).unwrap();
    let new = array.health();
    assert!(matches!(new.state(Member(1)), Some(State::Rebuilding { .. })));
    assert_eq!(Away::new(Member(1), &new), None);
    assert!(Away::new(Member(0), &new).is_some());
}

/// Recovery says how far a member is, and before that is heard the member fails and another takes its slot. What the first one had
/// is no word about the second: believed, it would be read below a mark that nobody filled.
#[test]
fn how_far_a_member_was_says_nothing_of_who_has_its_slot_now() {
    let geometry = geometry(RAID5, 4);
    let mut members: Members<Heap> = Members::new(whole(&geometry), 10).unwrap();
    let since = |members: &Members<Heap>| members.view().health.filling().next().unwrap().since;
    let now = Epoch(u64::MAX);
    members.fail(&geometry, Member(1), now, None);
    members.add(Member(1)).unwrap();
    let first = since(&members);
    members.trust(Member(1), Some(Sector(64)), first).unwrap();
    assert_eq!(members.view().health.state(Member(1)), Some(State::Rebuilding { mark: Sector(64) }));
    members.fail(&geometry, Member(1), now, None);
    members.add(Member(1)).unwrap();
    for word in [Some(Sector(128)), None] {
        members.trust(Member(1), word, first).unwrap();
        assert_eq!(members.view().health.state(Member(1)), Some(State::Rebuilding { mark: Sector(0) }));
    }
    let second = since(&members);
    members.trust(Member(1), None, second).unwrap();
    assert_eq!(members.view().health.state(Member(1)), Some(State::InSync));
}

/// A crash left a bit on one member alone: the power failed while the page was on its way. The next start finds the region dirty, so a
/// write there needs no mark; but if it went out before the first batch put the bit on all, a crash in the middle of it, and the loss of
/// that one member, would leave a row that does not fit and a log that does not say so.
#[test]
fn a_write_to_a_region_found_dirty_waits_until_its_bit_is_on_all_members() {
    for level in [Level::Raid1, RAID5] {
        let array = Array::new(level, 4, true);
        let request = RequestId(9);
        let kind = Kind::Write { fua: false };
        engine::submit(&array.host, Request { id: request, kind, at: Sector(0), len: Sectors(8) }).unwrap();
        // Pages of the log take long; all else is quick.
        let mut pages = Vec::new();
        for _ in 0..1000 {
            array.run(100);
            let Some(action) = array.next() else { continue };
            match (receipt(&action), action) {
                (Some((token, _)), Action::WriteLog { .. }) => pages.push(token),
                (Some((token, _)), _) => engine::complete(&array.host, token, true),
                (None, _) => {}
            }
        }
        let written = || {
            let own = |action: &Action| match action {
                Action::Io { way: Way::Write { .. }, buf, .. } => *buf == Buf::Request(request),
                Action::Compute { work, .. } => format!("{work:?}").contains("Request(RequestId(9))"),
                _ => false,
            };
            array.seen.borrow().iter().any(own)
        };
        assert!(!written() && pages.len() == 4, "{level:?}: it did not wait, {} pages", pages.len());
        pages.into_iter().for_each(|token| engine::complete(&array.host, token, true));
        array.drain();
        assert!(written(), "{level:?}");
    }
}

/// A sweep's flush is what lets a bit be taken back. If a member fails it, that member may have lost what it was given there, and comes
/// back later with what it has: the bit is all that tells.
#[test]
fn bits_stay_if_a_member_failed_the_flush_before_they_would_be_taken_back() {
    for level in [Level::Raid1, RAID5] {
        let array = Array::new(level, 4, false);
        array.drain();
        array.write(2);
        let away = Away::new(Member(1), &array.health()).unwrap();
        for _ in 0..3 {
            engine::sweep(&array.host, 100);
            loop {
                let more = array.run(100);
                let Some(action) = array.next() else {
                    if more {
                        continue;
                    }
                    break;
                };
                let fails = matches!(action, Action::Flush { member: Member(1), .. });
                if let Some((token, _)) = receipt(&action) {
                    engine::complete(&array.host, token, !fails);
                }
            }
        }
        assert_eq!(array.state(1), State::Missing);
        assert!(array.log.borrow().is_set(RegionNo(2)), "{level:?}");
        array.seen.take();
        engine::readd(&array.host, Member(1), away).unwrap();
        array.drain();
        assert_eq!((array.state(1), array.filled(1)), (State::InSync, vec![2]), "{level:?}");
    }
}

/// Seed 41602 of the simulator: a member was thrown out while a read of it was on its way, and a new one took the slot. The read
/// failed, as it must, and was counted as the newcomer's first error; with the second of its own, where two were allowed, it was
/// thrown out. `fail` asked who was meant, `read_error` did not.
#[test]
fn a_read_that_the_member_before_failed_does_not_count_against_the_one_that_took_its_slot() {
    let geometry = geometry(Level::Raid6(Raid6Layout::LeftSymmetric), 5);
    let health = Health::of(5, Columns::first(5)).unwrap();
    let mut members: Members<Heap> = Members::new(health, 2).unwrap();
    let before = members.view().health.epoch();
    let Verdict::Out(left) = members.fail(&geometry, Member(2), before, None) else {
        panic!("the array survives that")
    };
    members.add(Member(2)).unwrap();
    assert_eq!(members.read_error(&geometry, Member(2), before, None), Verdict::Out(Epoch(0)));
    assert_eq!(members.read_error(&geometry, Member(2), left, None), Verdict::Out(Epoch(0)));
    let now = members.view().health.epoch();
    for _ in 0..2 {
        members.read_error(&geometry, Member(2), now, None);
        assert_ne!(members.view().health.state(Member(2)), Some(State::Missing), "two are forgiven");
    }
    members.read_error(&geometry, Member(2), now, None);
    assert_eq!(members.view().health.state(Member(2)), Some(State::Missing), "the third is not");
}
