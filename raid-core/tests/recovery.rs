//! The pass that fills members, as a host steers it: paused, resumed, slowed down, and taken up again by the next start.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use raid_core::action::{Action, Way};
use raid_core::engine;
use raid_core::geometry::Geometry;
use raid_core::health::{Event, Health, State};
use raid_core::recovery::{Rates, Share};
use raid_core::rows::{RowNo, Rows};
use raid_core::stripe::Limits;
use raid_core::{ArrayConfig, FarSets, Level, Member, Raid5Layout, Raid6Layout, Raid10Layout, Sector, Sectors, Sizes};
use raid_testkit::null_host::{self, NullHost, Watch, noting, receipt, whole};

/// A log of one region: one dirty flag.
const LIMITS: Limits = Limits { region_rows: 64, checkpoint_rows: 8, ..null_host::LIMITS };

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

fn geometry(level: Level, members: u16, sectors: u64) -> Geometry {
    let chunk = if level == Level::Raid1 { Sectors(0) } else { Sectors(16) };
    let config = ArrayConfig { level, members, chunk, sizes: Sizes::Same(Sectors(sectors)), array_size: None };
    Geometry::new(&config).unwrap()
}

const RAID5: Level = Level::Raid5(Raid5Layout::LeftSymmetric);
const RAID6: Level = Level::Raid6(Raid6Layout::LeftSymmetric);

/// 32 rows on four members.
fn four(level: Level) -> Geometry {
    geometry(level, 4, 256)
}

fn rebuilding(geometry: &Geometry, member: u8, mark: u64) -> Health {
    let mut health = whole(geometry);
    health.apply(Member(member), Event::Fail).unwrap();
    health.apply(Member(member), Event::Rebuild { mark: Sector(mark) }).unwrap();
    health
}

impl Array {
    fn found(geometry: Geometry, health: Health, doubt: Option<RowNo>) -> Self {
        let (watch, seen) = noting();
        Self { host: NullHost::found(geometry, LIMITS, health, doubt, watch), seen }
    }

    /// Does one action. False if there is none, and no shard has work.
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

    fn state(&self, member: u8) -> State {
        self.members.borrow().view().health.state(Member(member)).unwrap()
    }

    /// The rows that a member was given since the last look.
    fn filled(&self, member: u8) -> Vec<u64> {
        let row = |action: &Action| match action {
            Action::Io { way: Way::Write { .. }, member: to, at, .. } if to.0 == member => Some(at.0 / 8),
            _ => None,
        };
        self.seen.take().iter().filter_map(row).collect()
    }

    fn at(&self) -> u64 {
        self.recovery.borrow().progress().at.0
    }
}

/// A pass that could only be stopped at its end, and one region for a log: then a restart began with the first row again.
#[test]
fn a_pause_makes_the_mark_durable_at_the_row_where_it_is_and_the_next_start_goes_on_there() {
    for level in [Level::Raid1, RAID5, RAID6] {
        let array = Array::found(four(level), rebuilding(&four(level), 1, 0), None);
        while array.at() < 13 {
            array.turn();
        }
        engine::pause(&array.host);
        array.drain();
        assert!(array.recovery.borrow().is_paused());
        let mark = array.at();
        assert!((13..=15).contains(&mark), "{level:?}: no row was begun after the pause, {mark}");
        assert_eq!(array.state(1), State::Rebuilding { mark: Sector(mark * 8) });
        let first = array.filled(1);
        assert_eq!(first.len() as u64, mark);

        let health = array.members.borrow().view().health;
        let again = Array::found(four(level), health, None);
        again.drain();
        assert_eq!(again.state(1), State::InSync);
        assert_eq!(again.filled(1), (mark..32).collect::<Vec<_>>(), "{level:?}: from the mark on, each row once");

        engine::resume(&array.host);
        array.drain();
        assert_eq!((array.state(1), array.filled(1)), (State::InSync, (mark..32).collect()), "{level:?}");
    }
}

/// Somebody else's checkpoint can stand at the very end, with the word that the member is as good as any not written any more. The pass
/// had no row to see for it, so nobody ever said that it was through: recovery rested with work left, and the member stayed out.
#[test]
fn a_member_found_with_its_mark_at_the_end_or_beyond_is_in_sync_without_a_row() {
    for level in [Level::Raid1, RAID5, RAID6] {
        for (mark, doubt) in [(256, None), (1 << 40, None), (256, Some(RowNo(3)))] {
            let array = Array::found(four(level), rebuilding(&four(level), 1, mark), doubt);
            array.drain();
            assert_eq!(array.state(1), State::InSync, "{level:?} {mark}");
            assert!(array.recovery.borrow().is_resting(), "{level:?} {mark}");
            assert!(doubt.is_some() || array.filled(1).is_empty(), "{level:?} {mark}");
        }
    }
}

#[test]
fn marks_are_durable_every_so_many_rows_whatever_the_log_is() {
    let array = Array::found(four(RAID5), rebuilding(&four(RAID5), 2, 0), None);
    let mut marks = Vec::new();
    while array.turn() {
        if let State::Rebuilding { mark } = array.state(2)
            && marks.last() != Some(&mark.0)
        {
            marks.push(mark.0);
        }
    }
    assert_eq!(marks, [0, 64, 128, 192]);
}

#[test]
fn a_resync_that_was_stopped_goes_on_from_its_row() {
    let array = Array::found(four(RAID5), whole(&four(RAID5)), Some(RowNo(0)));
    while array.at() < 9 {
        array.turn();
    }
    engine::pause(&array.host);
    array.drain();
    let from = array.recovery.borrow().doubt_from().unwrap();
    assert!((9..=11).contains(&from.0), "{from:?}");
    let again = Array::found(four(RAID5), whole(&four(RAID5)), Some(from));
    again.drain();
    let parity_of = |row: u64| 3 - u8::try_from(row / 2 % 4).unwrap();
    let written: Vec<Vec<u64>> = (0..4)
        .map(|member| {
            again
                .seen
                .borrow()
                .iter()
                .filter_map(|action| match action {
                    Action::Io { way: Way::Write { .. }, member: to, at, .. } if to.0 == member => Some(at.0 / 8),
                    _ => None,
                })
                .collect()
        })
        .collect();
    for (member, rows) in (0..).zip(written) {
        let parities: Vec<u64> = (from.0..32).filter(|row| parity_of(*row) == member).collect();
        assert_eq!(rows, parities, "member {member}");
    }
    assert_eq!(again.recovery.borrow().doubt_from(), None);
}

#[test]
fn under_load_the_pass_goes_at_the_floor_and_without_at_the_ceiling() {
    let array = Array::found(four(RAID5), whole(&four(RAID5)), None);
    array.drain();
    engine::set_rates(&array.host, Rates { floor_rows_s: 10, ceiling_rows_s: 50 });
    engine::fail(&array.host, Member(0));
    array.drain();
    engine::add(&array.host, Member(0)).unwrap();
    array.drain();
    array.seen.take();
    let rows = |busy| {
        engine::tick(&array.host, 200, busy);
        array.drain();
        array.filled(0).len()
    };
    assert_eq!([rows(true), rows(true), rows(false), rows(true)], [2, 2, 10, 2]);
    let share = array.recovery.borrow().progress().members[0];
    assert_eq!(share, Some((Member(0), Share { done: 16, total: 32 })));
}

/// RAID 10 with copies side by side on an odd number of members: the two copies of one chunk lie on different lines, and a
/// mark between them covers one of them only. The pass once began behind such a chunk. Seen with simulator seed 58.
#[test]
fn what_a_mark_covers_is_all_copies_of_a_row() {
    let ten = |near, far, offset| Level::Raid10(Raid10Layout { near, far, offset, sets: FarSets::All });
    let levels = [
        (Level::Raid1, 3),
        (RAID5, 4),
        (RAID6, 5),
        (ten(2, 1, false), 3),
        (ten(2, 1, false), 4),
        (ten(3, 1, false), 5),
        (ten(1, 2, false), 3),
        (ten(1, 2, true), 4),
    ];
    for (level, members) in levels {
        let rows = Rows::new(geometry(level, members, if level == Level::Raid1 { 253 } else { 256 })).unwrap();
        let lies_below = |row: u64, mark: u64| {
            rows.members(RowNo(row)).iter().all(|member| {
                let band = rows.whole(RowNo(row));
                rows.at(RowNo(row), band, member).is_some_and(|at| at.0 + u64::from(band.len) <= mark)
            })
        };
        for mark in 0..=256 {
            let first = rows.first_uncovered(Sector(mark)).0;
            assert!((0..first).all(|row| lies_below(row, mark)), "{level:?} {members} mark {mark}: {first}");
            let line = if matches!(level, Level::Raid10(_)) { mark / 16 * 16 } else { mark };
            assert!(first == rows.count() || !lies_below(first, line), "{level:?} {members} mark {mark}: {first}");
        }
        for row in 0..rows.count() {
            if let Some(mark) = rows.mark_below(RowNo(row)) {
                assert!(rows.first_uncovered(mark).0 <= row, "{level:?} {row}");
            }
        }
    }
}
