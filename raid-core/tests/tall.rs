//! Writes of several rows in one request: what they cost, when they are taken, and who waits for whom. That they are right in every
//! order of events is the simulator's to show (`raid-user/src/sim/tall.rs`).
#![expect(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::rc::Rc;

use raid_core::action::{Action, Buf, Token, Way, Work};
use raid_core::engine;
use raid_core::geometry::{Geometry, Part};
use raid_core::request::{Kind, Refused, Request, RequestId};
use raid_core::{ArrayConfig, FarSets, Level, Member, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout};
use raid_core::{Sector, Sectors, Sizes};
use raid_testkit::null_host::{LIMITS, NullHost, Watch, noting, receipt};

struct Array {
    host: NullHost<Watch>,
    seen: Rc<RefCell<Vec<Action>>>,
}

const PLAIN: Kind = Kind::Write { fua: false };
const ROWS: Kind = Kind::WriteRows { fua: false };

impl Array {
    /// Chunks of four rows.
    fn new(level: Level, members: u16) -> Self {
        let chunk = if level == Level::Raid1 { Sectors(0) } else { Sectors(32) };
        let config = ArrayConfig { level, members, chunk, sizes: Sizes::Same(Sectors(256)), array_size: None };
        let (watch, seen) = noting();
        let array = Self { host: NullHost::new(Geometry::new(&config).unwrap(), LIMITS, false, watch), seen };
        array.drain();
        array
    }

    fn ask(&self, id: u64, kind: Kind, at: u64, len: u64) -> Result<(), Refused> {
        engine::submit(&self.host, Request { id: RequestId(id), kind, at: Sector(at), len: Sectors(len) })
    }

    /// Does everything but what is for `stuck`, and says what was asked, and which receipts wait.
    fn drain_but(&self, stuck: Option<Member>) -> (Vec<Action>, Vec<Token>) {
        let mut left = Vec::new();
        loop {
            let more = self.host.run(100);
            match self.host.next().map(|action| receipt(&action)) {
                Some(Some((token, Some(member)))) if Some(member) == stuck => left.push(token),
                Some(Some((token, _))) => engine::complete(&self.host, token, true),
                Some(None) => {}
                None if more => {}
                None => return (self.seen.take(), left),
            }
        }
    }

    fn drain(&self) -> Vec<Action> {
        self.drain_but(None).0
    }
}

/// Members, lengths and buffers of what was written.
fn written(actions: &[Action]) -> Vec<(u8, u64, u64, Buf)> {
    let io = |action: &Action| match *action {
        Action::Io { way: Way::Write { .. }, member, at, len, buf, .. } => Some((member.0, at.0, len.0, buf)),
        _ => None,
    };
    let mut all: Vec<_> = actions.iter().filter_map(io).collect();
    all.sort_unstable_by_key(|(member, at, ..)| (*member, *at));
    all
}

fn answered(actions: &[Action]) -> Vec<u64> {
    let done = |action: &Action| match action {
        Action::Complete { request, result: Ok(()) } => Some(request.0),
        _ => None,
    };
    actions.iter().filter_map(done).collect()
}

fn works(actions: &[Action]) -> Vec<Work> {
    let work = |action: &Action| if let Action::Compute { work, .. } = action { Some(*work) } else { None };
    actions.iter().filter_map(work).collect()
}

#[test]
fn a_whole_stripe_is_one_sum_and_one_write_for_each_member() {
    let array = Array::new(Level::Raid6(Raid6Layout::LeftSymmetric), 6);
    // The second stripe: P is on member 4, and data begin behind Q, on the first.
    array.ask(1, Kind::WriteRows { fua: true }, 4 * 32, 32).unwrap();
    let actions = array.drain();
    let request = RequestId(1);
    assert_eq!(works(&actions), [Work::Rows { request, p: true, q: true }]);
    let rows = |part| Buf::Rows { request, part };
    let parts = [Part::Data(0), Part::Data(1), Part::Data(2), Part::Data(3), Part::P, Part::Q];
    let wanted: Vec<_> = (0..).zip(parts).map(|(member, part)| (member, 32, 32, rows(part))).collect();
    assert_eq!((written(&actions), answered(&actions)), (wanted, vec![1]));
    let log = |action: &&Action| matches!(action, Action::WriteLog { .. });
    assert_eq!(actions.iter().filter(log).count(), 6, "the bit comes first, as for any write");
    let durable = |action: &&Action| matches!(action, Action::Io { way: Way::Write { fua: true }, .. });
    assert_eq!(actions.iter().filter(durable).count(), 6);
}

#[test]
fn a_missing_member_gets_nothing_and_nothing_is_read_for_it() {
    // P of the first stripe is on the last member.
    for (gone, sums) in [(Member(3), 0), (Member(0), 1)] {
        let array = Array::new(Level::Raid5(Raid5Layout::LeftSymmetric), 4);
        engine::fail(&array.host, gone);
        array.drain();
        array.ask(1, ROWS, 16, 16).unwrap();
        let actions = array.drain();
        assert_eq!((written(&actions).len(), works(&actions).len(), answered(&actions)), (3, sums, vec![1]));
        assert!(!actions.iter().any(|action| matches!(action, Action::Io { way: Way::Read, .. })));
    }
}

#[test]
fn rows_of_copies_go_to_each_as_they_stand_in_the_request() {
    let near = Level::Raid10(Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All });
    for (level, members, at) in [(Level::Raid1, 2, 8), (near, 4, 40)] {
        let array = Array::new(level, members);
        array.ask(1, PLAIN, at, 24).unwrap();
        let actions = array.drain();
        assert_eq!(works(&actions), []);
        let lengths: Vec<_> = written(&actions).iter().map(|(_, _, len, buf)| (*len, *buf)).collect();
        assert_eq!((lengths, answered(&actions)), (vec![(24, Buf::Request(RequestId(1))); 2], vec![1]), "{level:?}");
        array.ask(2, Kind::WriteZeroes { fua: false, free: true }, at, 24).unwrap();
        let zeroes = written(&array.drain());
        assert!(zeroes.iter().all(|(_, _, len, buf)| (*len, *buf) == (24, Buf::Zeroes { free: true })), "{level:?}");
    }
}

#[test]
fn what_is_no_run_of_whole_rows_crosses_a_row() {
    let parity = Array::new(Level::Raid5(Raid5Layout::LeftSymmetric), 4);
    for (kind, at, len) in [
        (ROWS, 4, 16),
        (ROWS, 0, 12),
        // Not the first column; behind the chunk's end; and what is a long write of one column.
        (ROWS, 32, 16),
        (ROWS, 16, 24),
        (PLAIN, 0, 16),
    ] {
        assert_eq!(parity.ask(1, kind, at, len), Err(Refused::CrossesRow), "{kind:?} {at} {len}");
    }
    let mirror = Array::new(Level::Raid1, 2);
    for (kind, at, len) in [(ROWS, 0, 16), (PLAIN, 4, 16), (PLAIN, 0, 12), (PLAIN, 0, 17 * 8)] {
        assert_eq!(mirror.ask(1, kind, at, len), Err(Refused::CrossesRow), "{kind:?} {at} {len}");
    }
    assert_eq!(Array::new(Level::Raid0(Raid0Layout::Original), 2).ask(1, ROWS, 0, 8), Err(Refused::CrossesRow));
    assert_eq!(mirror.ask(1, PLAIN, 248, 16), Err(Refused::PastTheEnd));
    // In a region of four rows, the third and fourth, and the fifth of the next.
    assert_eq!(mirror.ask(1, PLAIN, 16, 24), Err(Refused::RowByRow));
}

/// Row 2 is being written when rows 1 to 3 are wanted at once: they are not had. When it is done, they are; and who comes for row 2
/// meanwhile waits for them, and then has it alone.
#[test]
fn several_rows_are_had_at_once_or_not_at_all() {
    let array = Array::new(Level::Raid1, 2);
    let stuck = Some(Member(1));
    // The log first: with a member stuck, nobody would begin.
    array.ask(1, PLAIN, 0, 8).unwrap();
    array.drain();
    array.ask(2, PLAIN, 16, 8).unwrap();
    while array.host.run(100) {}
    assert_eq!(array.ask(3, PLAIN, 8, 24), Err(Refused::RowByRow));
    assert_eq!(answered(&array.drain()), [2]);
    array.ask(3, PLAIN, 8, 24).unwrap();
    array.ask(4, PLAIN, 16, 8).unwrap();
    array.ask(5, PLAIN, 24, 4).unwrap();
    array.ask(6, PLAIN, 0, 8).unwrap();
    assert_eq!(array.ask(7, PLAIN, 24, 8 * 2), Err(Refused::RowByRow));
    let places = |actions: &[Action]| -> Vec<_> {
        written(actions).iter().map(|(member, at, len, _)| (*member, *at, *len)).collect()
    };
    let (first, left) = array.drain_but(stuck);
    assert_eq!(places(&first), [(0, 0, 8), (0, 8, 24), (1, 0, 8), (1, 8, 24)], "those of rows 2 and 3 wait");
    assert_eq!(answered(&first), []);
    left.into_iter().for_each(|token| engine::complete(&array.host, token, true));
    let then = array.drain();
    assert_eq!(places(&then), [(0, 16, 8), (0, 24, 4), (1, 16, 8), (1, 24, 4)]);
    let mut done = answered(&then);
    done.sort_unstable();
    assert_eq!(done, [3, 4, 5, 6]);
}
