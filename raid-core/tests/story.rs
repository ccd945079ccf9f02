//! The story that this project began with, told to the end: an array in the middle of a resync gets another member. And the same
//! with a RAID 6 that rebuilds two at once.
//!
//! The members here hold something: for every row a number, which grows with each write of it. So a copy that raced a write
//! shows as a number that went back.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use raid_core::action::{Action, Buf, SlotId, Way};
use raid_core::engine;
use raid_core::geometry::Geometry;
use raid_core::health::{Event, Health, State};
use raid_core::region::RegionNo;
use raid_core::request::{Kind, Request, RequestId};
use raid_core::rows::RowNo;
use raid_core::stripe::Limits;
use raid_core::{ArrayConfig, Level, Member, Raid6Layout, Sector, Sectors, Sizes};
use raid_testkit::null_host::{NullHost, receipt, whole};

const ROWS: u64 = 32;
const REGION_ROWS: u64 = 4;

const LIMITS: Limits = Limits {
    shards: 2,
    slots: 4,
    requests: 16,
    region_rows: REGION_ROWS,
    log_page_words: 1,
    read_errors_max: 10,
    heal_window: 2,
    checkpoint_rows: 4,
};

type Watch = fn(&Action);

/// What outlives a crash: a number for each row of each member, and which rows anybody wrote to each since it was looked at.
#[derive(Clone, Default)]
struct Disks {
    holds: BTreeMap<(u8, u64), u64>,
    written: Vec<(u8, u64)>,
}

/// A mirror, running on disks.
struct Mirror {
    host: NullHost<Watch>,
    disks: RefCell<Disks>,
    slots: RefCell<BTreeMap<SlotId, u64>>,
    /// The number that each request writes.
    next: Cell<u64>,
}

fn geometry(level: Level, members: u16) -> Geometry {
    let chunk = if level == Level::Raid1 { Sectors(0) } else { Sectors(8) };
    let config = ArrayConfig { level, members, chunk, sizes: Sizes::Same(Sectors(ROWS * 8)), array_size: None };
    Geometry::new(&config).unwrap()
}

impl Mirror {
    fn start(health: Health, doubt: Option<RowNo>, disks: Disks) -> Self {
        let host = NullHost::found(geometry(Level::Raid1, 3), LIMITS, health, doubt, (|_| {}) as Watch);
        Self { host, disks: disks.into(), slots: RefCell::default(), next: Cell::new(1000) }
    }

    /// Does one action. False if there is none, and no shard has work.
    fn turn(&self) -> bool {
        let more = self.host.run(100);
        let Some(action) = self.host.next() else { return more };
        if let Action::Io { way, member, at, buf, .. } = action {
            let (row, mut disks, mut slots) = (at.0 / 8, self.disks.borrow_mut(), self.slots.borrow_mut());
            match (way, buf) {
                (Way::Read, Buf::Slot { slot, .. }) => {
                    slots.insert(slot, disks.holds.get(&(member.0, row)).copied().unwrap_or(0));
                }
                (Way::Read, Buf::Request(_) | Buf::Rows { .. } | Buf::Zeroes { .. }) => {}
                (Way::Write { .. }, _) => {
                    let number = match buf {
                        Buf::Slot { slot, .. } => slots[&slot],
                        Buf::Request(request) => request.0,
                        Buf::Rows { .. } | Buf::Zeroes { .. } => {
                            unreachable!("nobody asked for several rows, or zeros")
                        }
                    };
                    let held = disks.holds.insert((member.0, row), number).unwrap_or(0);
                    // Before any write of this run, copies may differ in any way.
                    assert!(
                        held < 1000 || number >= held,
                        "row {row} of member {member} went back from {held} to {number}"
                    );
                    disks.written.push((member.0, row));
                }
            }
        }
        if let Some((token, _)) = receipt(&action) {
            engine::complete(&self.host, token, true);
        }
        true
    }

    fn until(&self, so: impl Fn() -> bool) {
        while !so() {
            assert!(self.turn(), "all is quiet, and it is not so");
        }
    }

    fn drain(&self) {
        while self.turn() {}
    }

    fn at(&self) -> u64 {
        self.host.recovery.borrow().progress().at.0
    }

    fn write(&self, row: u64) {
        let id = self.next.replace(self.next.get() + 1);
        let request =
            Request { id: RequestId(id), kind: Kind::Write { fua: false }, at: Sector(row * 8), len: Sectors(8) };
        engine::submit(&self.host, request).unwrap();
    }

    fn health(&self) -> Health {
        self.host.members.borrow().view().health
    }

    /// Rows in doubt: those of regions that the pass has not mended.
    fn doubted(&self) -> Vec<u64> {
        let in_doubt = |region: &u64| {
            let shard = usize::try_from(region % 2).unwrap();
            self.host.shards[shard].borrow().region(RegionNo(*region)).in_doubt()
        };
        (0..ROWS / REGION_ROWS).filter(in_doubt).collect()
    }

    /// The rows that a member was given since the last look, in order.
    fn given(&self, member: u8) -> Vec<u64> {
        let mut disks = self.disks.borrow_mut();
        let (mine, others) = disks.written.iter().partition::<Vec<_>, _>(|(to, _)| *to == member);
        disks.written = others;
        mine.into_iter().map(|(_, row)| row).collect()
    }

    fn is_alike(&self) -> bool {
        let disks = self.disks.borrow();
        (0..ROWS).all(|row| (1..3).all(|member| disks.holds.get(&(member, row)) == disks.holds.get(&(0, row))))
    }
}

/// Members that differ in every row.
fn torn() -> Disks {
    let holds = (0..3).flat_map(|member| (0..ROWS).map(move |row| ((member, row), u64::from(member) * 100 + row)));
    Disks { holds: holds.collect(), written: Vec::new() }
}

/// A resync that has come to row 14, when member 2 fails and another one takes its slot.
fn in_the_middle() -> Mirror {
    let mirror = Mirror::start(whole(&geometry(Level::Raid1, 3)), Some(RowNo(0)), torn());
    mirror.until(|| mirror.at() == 14);
    engine::fail(&mirror.host, Member(2));
    for row in 0..ROWS {
        mirror.disks.borrow_mut().holds.insert((2, row), 999);
    }
    engine::add(&mirror.host, Member(2)).unwrap();
    mirror.disks.borrow_mut().written.clear();
    mirror
}

#[test]
fn a_mirror_in_the_middle_of_a_resync_gets_another_member() {
    let mirror = in_the_middle();
    // It is marked wholly dirty: nothing of it is trusted.
    assert_eq!(mirror.health().state(Member(2)), Some(State::Rebuilding { mark: Sector(0) }));
    let joined = mirror.at();
    assert!((14..=16).contains(&joined));
    mirror.drain();
    assert_eq!((mirror.health().state(Member(2)), mirror.doubted()), (Some(State::InSync), vec![]));
    // The resync went on from where it was, and included the new one; then it wrapped to what the new one had not got yet, and stopped
    // where it had joined. Rows that were under way when it came may reach it twice, none that came later does.
    let new = mirror.given(2);
    let rest = new.iter().position(|row| *row == joined).unwrap();
    assert_eq!(new[rest..], (joined..ROWS).chain(0..joined).collect::<Vec<_>>());
    assert!(new[..rest].iter().all(|row| (12..joined).contains(row)), "{new:?}");
    // The old one got what was in doubt still, and nothing for the other's sake.
    let old = mirror.given(1);
    assert!(old.ends_with(&(joined..ROWS).collect::<Vec<_>>()) && old.iter().all(|row| *row >= 12), "{old:?}");
    assert!(mirror.is_alike());
}

#[test]
fn live_writes_never_race_a_copy() {
    for busy in 0..ROWS {
        let mirror = in_the_middle();
        // The same row again and again, while the pass comes to it, is at it, and has left it.
        while mirror.health().state(Member(2)) != Some(State::InSync) {
            mirror.write(busy);
            (0..7).for_each(|_| {
                mirror.turn();
            });
        }
        mirror.drain();
        assert!(mirror.is_alike(), "row {busy}");
        assert_eq!(mirror.disks.borrow().holds[&(0, busy)], mirror.next.get() - 1);
    }
}

#[test]
fn a_crash_anywhere_resumes_at_the_marks() {
    for turns in 0.. {
        let mirror = in_the_middle();
        let over = (0..turns).any(|_| !mirror.turn());
        let (health, doubt) = (mirror.host.members.borrow().persisting(), !mirror.doubted().is_empty());
        let mut disks = mirror.disks.take();
        // What the members say counts from the epoch that they wrote; before, the slot is empty still.
        let known = mirror.host.members.borrow().view().durable >= health.epoch();
        if known && health.state(Member(2)) != Some(State::Missing) {
            let mark = match health.state(Member(2)) {
                Some(State::Rebuilding { mark }) => mark.0 / 8,
                _ => ROWS,
            };
            disks.written.clear();
            let again = Mirror::start(health, doubt.then_some(RowNo(0)), disks);
            again.drain();
            assert_eq!((again.health().state(Member(2)), again.doubted()), (Some(State::InSync), vec![]), "{turns}");
            assert!(again.is_alike(), "after {turns} turns");
            if !doubt {
                assert_eq!(again.given(2), (mark..ROWS).collect::<Vec<_>>(), "after {turns} turns");
            }
        }
        if over {
            assert!(turns > 100);
            return;
        }
    }
}

/// Two members of a RAID 6, the second of which comes when the first has its mark at row 12. One pass serves both; each row is read
/// once for the two of them where both lack it.
#[test]
fn a_raid_6_rebuilds_two_members_that_came_one_after_the_other() {
    let geometry = geometry(Level::Raid6(Raid6Layout::LeftSymmetric), 6);
    let mut health = whole(&geometry);
    for member in [1, 4] {
        health.apply(Member(member), Event::Fail).unwrap();
    }
    health.apply(Member(1), Event::Rebuild { mark: Sector(12 * 8) }).unwrap();
    // One row at a time, so that the order is the pass's.
    let limits = Limits { heal_window: 1, ..LIMITS };
    let host = NullHost::found(geometry, limits, health, None, (|_| {}) as Watch);
    let seen = RefCell::new(Vec::new());
    let turn = || {
        let more = host.run(100);
        let Some(action) = host.next() else { return more };
        if let Action::Io { way, member, at, .. } = action {
            seen.borrow_mut().push((way == Way::Read, member.0, at.0 / 8));
        }
        if let Some((token, _)) = receipt(&action) {
            engine::complete(&host, token, true);
        }
        true
    };
    while host.recovery.borrow().progress().at.0 < 20 {
        assert!(turn());
    }
    engine::add(&host, Member(4)).unwrap();
    let joined = host.recovery.borrow().progress().at.0;
    while turn() {}
    let state = |member: u8| host.members.borrow().view().health.state(Member(member));
    assert_eq!((state(1), state(4)), (Some(State::InSync), Some(State::InSync)));
    let given = |to: u8| -> Vec<u64> {
        seen.borrow().iter().filter(|(read, member, _)| !read && *member == to).map(|(.., row)| *row).collect()
    };
    // The first from its mark to the end, once; the second from where it came, and then from the start.
    assert_eq!(given(1), (12..ROWS).collect::<Vec<_>>());
    let (second, from) = (given(4), joined);
    let rest = second.iter().position(|row| *row == from).unwrap();
    assert_eq!(second[rest..], (from..ROWS).chain(0..from).collect::<Vec<_>>());
    assert!(second[..rest].iter().all(|row| (18..from).contains(row)), "{second:?}");
    let reads_of = |row: u64| seen.borrow().iter().filter(|(read, _, at)| *read && *at == row).count();
    assert!((from..ROWS).all(|row| reads_of(row) == 4), "each row once, from the four that have it");
}
