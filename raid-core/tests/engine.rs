//! The engine on a host that does everything at once and counts it: what costs how many member I/Os, and stories that a person
//! would tell. What can go wrong in between is the simulator's (`raid-user/src/sim`).
#![expect(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use raid_core::action::{Action, Buf, Source, Way, Work};
use raid_core::engine;
use raid_core::geometry::Geometry;
use raid_core::health::{Epoch, Event, Health, State};
use raid_core::members::Members;
use raid_core::region::{LogStep, RegionLog, RegionNo, Ticket};
use raid_core::request::{Error, Kind, Refused, Request, RequestId};
use raid_core::stripe::Limits;
use raid_core::{ArrayConfig, Columns, Level, Member, Raid5Layout, Raid6Layout, Sector, Sectors, Sizes};
use raid_testkit::null_host::{Heap, NullHost, receipt};

const LIMITS: Limits = Limits {
    shards: 2,
    slots: 8,
    requests: 64,
    region_rows: 4,
    log_page_words: 1,
    read_errors_max: 10,
    heal_window: 2,
    checkpoint_rows: 4,
};

/// Notes what is asked of it.
type Watch = Box<dyn Fn(&Action)>;

struct Counter {
    host: NullHost<Watch>,
    seen: Rc<RefCell<Vec<Action>>>,
    /// A member that fails whatever it is asked.
    broken: RefCell<Columns>,
}

/// The machines, and what the engine is given.
impl Deref for Counter {
    type Target = NullHost<Watch>;

    fn deref(&self) -> &Self::Target {
        &self.host
    }
}

fn array(level: Level, members: u16) -> Geometry {
    let config = ArrayConfig { level, members, chunk: Sectors(16), sizes: Sizes::Same(Sectors(256)), array_size: None };
    Geometry::new(&config).unwrap()
}

impl Counter {
    fn new(geometry: Geometry, doubt: bool) -> Self {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let notes = Rc::clone(&seen);
        let watch: Watch = Box::new(move |action| notes.borrow_mut().push(*action));
        Self { host: NullHost::new(geometry, LIMITS, doubt, watch), seen, broken: RefCell::default() }
    }

    /// Does one action.
    fn turn(&self) -> bool {
        let Some(action) = self.next() else { return false };
        if let Some((token, member)) = receipt(&action) {
            let well = member.is_none_or(|member| !self.broken.borrow().contains(member));
            engine::complete(&self.host, token, well);
        }
        true
    }

    /// Lets everything run, and says what was done.
    fn drain(&self) -> Vec<Action> {
        loop {
            let more = self.run(100);
            if !self.turn() && !more {
                return self.seen.take();
            }
        }
    }

    fn write(&self, id: u64, at: u64, len: u64) -> Result<(), Refused> {
        let kind = Kind::Write { fua: false };
        engine::submit(&self.host, Request { id: RequestId(id), kind, at: Sector(at), len: Sectors(len) })
    }

    fn state(&self, member: u8) -> State {
        self.members.borrow().view().health.state(Member(member)).unwrap()
    }
}

fn reads(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Io { way: Way::Read, .. })).count()
}

fn writes(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Io { way: Way::Write { .. }, .. })).count()
}

fn log_writes(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::WriteLog { .. })).count()
}

fn completed(actions: &[Action]) -> Vec<(u64, Result<(), Error>)> {
    let done = |action: &Action| match action {
        Action::Complete { request, result } => Some((request.0, *result)),
        _ => None,
    };
    actions.iter().filter_map(done).collect()
}

/// An array had just been started. A write set its region's bit, in the second batch of the log; a second one of the same region saw that
/// it was not clean any more, took the bit for one found at the start, waited for the first batch, and let both go when that was durable.
/// The power failed before the second batch: a row whose copies differ, and no bit that says so. The simulator's seed 8067564. Whoever
/// waits for what was found at the start now says nothing of his region's own bit.
#[test]
fn right_after_the_start_no_write_goes_before_its_own_bit_is_durable() {
    for (level, members) in [(Level::Raid1, 3), (Level::Raid5(Raid5Layout::LeftSymmetric), 4)] {
        let host = Counter::new(array(level, members), false);
        for id in 0..2 {
            host.write(id, id * 8, 8).unwrap();
            while host.run(100) {}
        }
        let mut log_writes_done = 0;
        while let Some(action) = host.next() {
            log_writes_done += usize::from(matches!(action, Action::WriteLog { .. }));
            if let Some((token, _)) = receipt(&action) {
                engine::complete(&host.host, token, true);
            }
            while host.run(100) {}
            let wrote = writes(&host.seen.borrow());
            assert!(wrote == 0 || log_writes_done >= 2 * usize::from(members), "{level:?}: {log_writes_done}");
        }
        assert_eq!(completed(&host.seen.take()).len(), 2, "{level:?}");
    }
}

#[test]
fn a_sequential_stream_of_4_kib_writes_becomes_full_stripe_writes_without_reads() {
    // Four data columns in chunks of two rows: eight requests of 4 KiB fill the two rows of a stripe.
    let host = Counter::new(array(Level::Raid5(Raid5Layout::LeftSymmetric), 5), false);
    host.drain();
    for id in 0..32 {
        host.write(id, id * 8, 8).unwrap();
    }
    let actions = host.drain();
    assert_eq!(completed(&actions).len(), 32);
    assert_eq!((reads(&actions), writes(&actions)), (0, 32 / 4 * 5));
    let parities =
        actions.iter().filter(|action| matches!(action, Action::Compute { work: Work::Parity { .. }, .. })).count();
    assert_eq!(parities, 8);
}

/// Two threads: one submits a long write, another runs the shard whenever it can. Piece by piece, the second would begin with
/// the first piece alone; in one critical section it cannot.
#[test]
fn a_long_write_submitted_at_once_is_full_stripes_even_if_shards_run_meanwhile() {
    let host = Counter::new(array(Level::Raid5(Raid5Layout::LeftSymmetric), 5), false);
    host.drain();
    let kind = Kind::Write { fua: false };
    let request = |id: u64| Request { id: RequestId(id), kind, at: Sector(id * 8), len: Sectors(8) };
    for stripes in 0..4 {
        // A region is two stripes of eight pieces, and the other shard's turn comes with the next.
        let pieces: Vec<Request> = (stripes * 8..stripes * 8 + 8).map(request).collect();
        engine::submit_many(&host.host, &pieces).unwrap();
        host.run(100);
    }
    let actions = host.drain();
    assert_eq!(completed(&actions).len(), 32);
    assert_eq!((reads(&actions), writes(&actions)), (0, 32 / 4 * 5));
}

#[test]
fn of_many_requests_those_before_the_refused_one_are_taken() {
    let host = Counter::new(array(Level::Raid1, 2), false);
    host.drain();
    let request = |id: u64, at: u64| Request { id: RequestId(id), kind: Kind::Read, at: Sector(at), len: Sectors(8) };
    let mut many = vec![request(0, 0), request(1, 256), request(2, 8)];
    many[0].kind = Kind::Write { fua: false };
    assert_eq!(engine::submit_many(&host.host, &many), Err((1, Refused::PastTheEnd)));
    assert_eq!(completed(&host.drain()), [(0, Ok(()))]);
    let writes: Vec<Request> =
        (0..100).map(|id| Request { kind: Kind::Write { fua: true }, ..request(id, 0) }).collect();
    assert_eq!(engine::submit_many(&host.host, &writes), Err((64, Refused::Busy)));
    assert_eq!(completed(&host.drain()).len(), 64);
}

fn computed(actions: &[Action]) -> Vec<Work> {
    let work = |action: &Action| match action {
        Action::Compute { work, .. } => Some(*work),
        _ => None,
    };
    actions.iter().filter_map(work).collect()
}

/// The members that are told to have zeros, and whether they may free them.
fn zeroed(actions: &[Action]) -> Vec<(u8, bool)> {
    let zeroed = |action: &Action| match action {
        Action::Io { way: Way::Write { .. }, member, buf: Buf::Zeroes { free }, .. } => Some((member.0, *free)),
        _ => None,
    };
    let mut members: Vec<_> = actions.iter().filter_map(zeroed).collect();
    members.sort_unstable();
    members
}

#[test]
fn a_stripe_of_zeros_reads_nothing_computes_nothing_and_its_parity_is_zeros_too() {
    for (level, members) in
        [(Level::Raid5(Raid5Layout::LeftSymmetric), 5), (Level::Raid6(Raid6Layout::LeftSymmetric), 6)]
    {
        let host = Counter::new(array(level, members), false);
        host.drain();
        let kind = Kind::WriteZeroes { fua: true, free: true };
        let request = |id: u64| Request { id: RequestId(id), kind, at: Sector(id * 8), len: Sectors(8) };
        engine::submit_many(&host.host, &(0..8).map(request).collect::<Vec<_>>()).unwrap();
        let actions = host.drain();
        assert_eq!(completed(&actions).iter().filter(|(_, result)| result.is_ok()).count(), 8);
        let all: Vec<_> = (0..u8::try_from(members).unwrap()).flat_map(|member| [(member, true); 2]).collect();
        assert_eq!((reads(&actions), zeroed(&actions), computed(&actions)), (0, all, vec![]));
        assert_eq!(log_writes(&actions), usize::from(members), "the bit comes first, as for any write");
        let durable = |action: &&Action| matches!(action, Action::Io { way: Way::Write { fua: true }, .. });
        assert_eq!(actions.iter().filter(durable).count(), writes(&actions));
    }
}

#[test]
fn zeros_in_a_part_of_a_stripe_go_the_way_of_any_write_and_parity_follows() {
    let host = Counter::new(array(Level::Raid6(Raid6Layout::LeftSymmetric), 8), false);
    host.drain();
    let zeroes = |id: u64, free: bool| {
        let kind = Kind::WriteZeroes { fua: false, free };
        engine::submit(&host.host, Request { id: RequestId(id), kind, at: Sector(id * 16), len: Sectors(8) }).unwrap();
    };
    zeroes(1, false);
    let actions = host.drain();
    assert_eq!((reads(&actions), writes(&actions)), (3, 3));
    let [Work::Delta { column, from: Source::Zeroes, p: true, q: true }] = computed(&actions)[..] else { panic!() };
    assert_eq!(zeroed(&actions), [(column.0, false)]);
    // Beside new bytes in the same row: parity is made of both.
    zeroes(0, true);
    for id in 1..6 {
        host.write(id, id * 16, 8).unwrap();
    }
    let actions = host.drain();
    assert_eq!((reads(&actions), writes(&actions), zeroed(&actions).len()), (0, 8, 1));
    let taken = |work: &&Work| matches!(work, Work::Take { from: Source::Zeroes, .. });
    let works = computed(&actions);
    assert_eq!((works.iter().filter(taken).count(), works.len()), (1, 7));
    assert_eq!(works.last(), Some(&Work::Parity { p: true, q: true }));
}

#[test]
fn copies_are_told_of_zeros_and_a_discard_that_members_cannot_do_does_nothing() {
    let host = Counter::new(array(Level::Raid1, 3), false);
    host.drain();
    let ask = |kind| engine::submit(&host.host, Request { id: RequestId(7), kind, at: Sector(8), len: Sectors(8) });
    ask(Kind::WriteZeroes { fua: false, free: true }).unwrap();
    let actions = host.drain();
    assert_eq!((zeroed(&actions), writes(&actions)), (vec![(0, true), (1, true), (2, true)], 3));
    ask(Kind::Discard).unwrap();
    let actions = host.drain();
    assert_eq!((completed(&actions), writes(&actions)), (vec![(7, Ok(()))], 0));
    host.discards.set(true);
    ask(Kind::Discard).unwrap();
    let actions = host.drain();
    assert_eq!((completed(&actions), zeroed(&actions).len()), (vec![(7, Ok(()))], 3));
    let past = engine::submit(
        &host.host,
        Request { id: RequestId(8), kind: Kind::Discard, at: Sector(8), len: Sectors(4096) },
    );
    assert_eq!(past, Err(Refused::PastTheEnd));
}

#[test]
fn a_single_write_modifies_and_a_wide_one_reconstructs() {
    let host = Counter::new(array(Level::Raid6(Raid6Layout::LeftSymmetric), 8), false);
    host.drain();
    host.write(1, 0, 8).unwrap();
    let actions = host.drain();
    // The old data, P and Q; then all three anew.
    assert_eq!((reads(&actions), writes(&actions)), (3, 3));
    for column in 0..4 {
        host.write(2 + column, column * 16, 8).unwrap();
    }
    let actions = host.drain();
    // Six data columns, four of them written: the other two are read.
    assert_eq!((reads(&actions), writes(&actions)), (2, 6));
}

#[test]
fn writes_that_come_together_share_a_log_write_and_a_dirty_region_needs_none() {
    let host = Counter::new(array(Level::Raid1, 2), false);
    host.drain();
    // Rows 0, 4 and 8 are in three regions.
    for id in 0..3 {
        host.write(id, id * 32, 8).unwrap();
    }
    let actions = host.drain();
    // The first one starts a batch of its own, the other two share the next; a page to each of two members.
    assert!(log_writes(&actions) <= 4, "{}", log_writes(&actions));
    host.write(3, 8, 8).unwrap();
    assert_eq!(log_writes(&host.drain()), 0);
}

#[test]
fn a_bit_is_taken_back_after_two_sweeps_and_a_flush_of_all_members() {
    let host = Counter::new(array(Level::Raid1, 3), false);
    host.drain();
    host.write(1, 0, 8).unwrap();
    host.drain();
    engine::sweep(&host.host, 100);
    assert_eq!(host.drain(), []);
    assert!(host.log.borrow().is_set(RegionNo(0)));
    engine::sweep(&host.host, 100);
    let actions = host.drain();
    let flushed: Columns = actions
        .iter()
        .filter_map(|action| if let Action::Flush { member, .. } = action { Some(*member) } else { None })
        .collect();
    assert_eq!(flushed, Columns::first(3));
    assert!(!host.log.borrow().is_set(RegionNo(0)));
    let last_flush = actions.iter().rposition(|action| matches!(action, Action::Flush { .. }));
    let first_log = actions.iter().position(|action| matches!(action, Action::WriteLog { .. }));
    assert!(last_flush < first_log);
}

#[test]
fn a_write_that_a_member_failed_is_told_after_the_others_wrote_that_down() {
    let host = Counter::new(array(Level::Raid5(Raid5Layout::LeftSymmetric), 4), false);
    host.drain();
    host.write(1, 0, 8).unwrap();
    host.drain();
    host.broken.replace(Columns::one(Member(3)));
    host.write(2, 0, 8).unwrap();
    let actions = host.drain();
    assert_eq!(host.state(3), State::Missing);
    let done = actions.iter().position(|action| matches!(action, Action::Complete { .. })).unwrap();
    let told: Columns = actions[..done]
        .iter()
        .filter_map(|action| if let Action::WriteHealth { member, .. } = action { Some(*member) } else { None })
        .collect();
    assert_eq!(told, Columns::first(3));
    assert_eq!(completed(&actions), [(2, Ok(()))]);
}

#[test]
fn more_failures_than_the_level_survives_end_writes_and_never_hang_them() {
    let host = Counter::new(array(Level::Raid5(Raid5Layout::LeftSymmetric), 4), false);
    host.drain();
    host.broken.replace(Columns::first(2));
    for id in 0..8 {
        host.write(id, id * 8, 8).unwrap();
    }
    let actions = host.drain();
    assert_eq!(completed(&actions).len(), 8);
    assert!(host.members.borrow().view().broken);
    host.write(9, 0, 8).unwrap();
    assert_eq!(completed(&host.drain()), [(9, Err(Error::Broken))]);
}

#[test]
fn a_full_shard_refuses_and_keeps_nothing() {
    let host = Counter::new(array(Level::Raid1, 2), false);
    host.drain();
    // Without running, requests for region 0 pile up in shard 0.
    let taken = (0..1000).take_while(|id| host.write(*id, 0, 8).is_ok()).count();
    assert_eq!(taken, 64);
    assert_eq!(host.write(5000, 0, 8), Err(Refused::Busy));
    assert_eq!(completed(&host.drain()).len(), 64);
}

#[test]
fn raid_6_rebuilds_two_members_in_one_pass() {
    let host = Counter::new(array(Level::Raid6(Raid6Layout::LeftSymmetric), 6), false);
    host.drain();
    engine::fail(&host.host, Member(1));
    engine::fail(&host.host, Member(4));
    host.drain();
    engine::add(&host.host, Member(1)).unwrap();
    engine::add(&host.host, Member(4)).unwrap();
    let actions = host.drain();
    assert_eq!((host.state(1), host.state(4)), (State::InSync, State::InSync));
    // 32 rows. Each is read once from the four others; the first region is visited again if the second member came during it.
    assert!(reads(&actions) <= (32 + 4) * 4, "{}", reads(&actions));
    assert!((64..=64 + 8).contains(&writes(&actions)), "{}", writes(&actions));
}

/// The mark was put on a page that the batch under way had still before it: the batch took it along, and the ticket of the next
/// batch, for which nothing was left, never came.
#[test]
fn a_mark_ahead_of_the_batch_is_promised_by_that_batch() {
    let health = {
        let mut health = Health::new(1).unwrap();
        health.apply(Member(0), Event::Admit).unwrap();
        health
    };
    let view = Members::<Heap>::new(health, 0).unwrap().view();
    let mut log = RegionLog::<Heap>::new(64 * 3, 1, view, Epoch(0), |_| false).unwrap();
    let mut durable = Ticket::default();
    let mut turn = |log: &mut RegionLog<Heap>| match log.poll() {
        Some(LogStep::Write { page, .. }) => {
            log.done(raid_core::broadcast::Outcome::Done);
            Some(page)
        }
        Some(LogStep::Durable { ticket, .. }) => {
            durable = ticket;
            None
        }
        None => None,
    };
    while turn(&mut log).is_some() {}
    log.mark(RegionNo(0));
    assert_eq!(turn(&mut log), Some(0));
    let (behind, ahead) = (log.mark(RegionNo(1)), log.mark(RegionNo(130)));
    assert!(ahead < behind);
    for _ in 0..10 {
        turn(&mut log);
    }
    assert!(durable >= behind && durable >= ahead);
}
