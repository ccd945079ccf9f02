//! Whole stripes written by one core on a host that moves bytes and has no disks: the engine decides, each block is copied once, and
//! parity is made once. `alone` is the same copies and the same parity with nobody deciding.
//!
//! `rows` is the engine with the stripe in one request, whose bytes are copied into buffers of its own, row by row, as its parity is
//! made; `engine` knows rows of 4 KiB, in the order in which a long write sends them; `deciding` is each of them without bytes. Chunks
//! are 64 KiB; what is sent at a time is one stripe. The bytes to be written are the same few again and again (`cached`), or many times
//! what the caches hold (`memory`). Rounds are interleaved; the ratio is the median of those of single rounds, to `alone`.
//! `cargo bench -p raid-benches --bench rows`; as a test (without `--bench`) one stripe each.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use raid_benches::Buffers;
use raid_benches::rounds::{self, Turn};
use raid_core::action::{Action, Source, Way, Work};
use raid_core::engine;
use raid_core::geometry::{Geometry, StripeMap};
use raid_core::parity::{self, Lost, Ops, Parity};
use raid_core::request::{Kind, Request, RequestId};
use raid_core::stripe::Limits;
use raid_core::{ArrayConfig, Level, Member, Raid5Layout, Raid6Layout, Sector, Sectors, Sizes, StripeNo};
use raid_testkit::null_host::NullHost;

const BLOCK: usize = 4096;
const MEMBERS: usize = 8;
const CHUNK_SECTORS: u64 = 128;
const ROWS: usize = 16;
const STRIPES: u64 = 1 << 14;
const SLOTS: u16 = 32;
const LIMITS: Limits = Limits {
    shards: 1,
    slots: SLOTS,
    requests: 256,
    region_rows: 8192,
    log_page_words: 64,
    read_errors_max: 20,
    heal_window: 8,
    checkpoint_rows: 1024,
};
const FORMS: [&str; 5] = ["rows", "deciding-rows", "engine", "deciding", "alone"];

/// The bytes of the slots' rows, and of the requests.
struct Bytes<'a> {
    ops: &'static Ops,
    rows: Vec<&'a mut [u8]>,
    source: &'a [u8],
    /// Where the bytes of the first request of a stripe are.
    from: usize,
}

impl Bytes<'_> {
    fn take(&mut self, slot: usize, column: Member, request: usize) {
        let at = (self.from + request * BLOCK) % self.source.len();
        self.rows[slot * MEMBERS + usize::from(column.0)].copy_from_slice(&self.source[at..at + BLOCK]);
    }

    fn parity(&mut self, slot: usize, stripe: &StripeMap) {
        let row = &mut self.rows[slot * MEMBERS..][..MEMBERS];
        let mut out = |member: Option<Member>| member.map(|member| std::mem::take(&mut row[usize::from(member.0)]));
        let (mut p, mut q) = (out(Some(stripe.p())), out(stripe.q()));
        let mut data: [&[u8]; MEMBERS] = [&[]; MEMBERS];
        for (member, bytes) in (0_u8..).zip(row.iter()) {
            if let Some(column) = stripe.column(Member(member)) {
                data[usize::from(column)] = bytes;
            }
        }
        let made = self.ops.recover(
            &data[..usize::from(stripe.columns())],
            Lost::Nothing,
            p.as_deref_mut().map_or(Parity::Absent, Parity::Wanted),
            q.as_deref_mut().map_or(Parity::Absent, Parity::Wanted),
        );
        made.expect("the rows have one length");
        for (member, bytes) in [(Some(stripe.p()), p), (stripe.q(), q)] {
            if let Some((member, bytes)) = member.zip(bytes) {
                row[usize::from(member.0)] = bytes;
            }
        }
    }

    fn perform(&mut self, geometry: &Geometry, action: &Action) {
        match *action {
            Action::Compute { slot, work: Work::Take { column, from: Source::Request(request) }, .. } => {
                self.take(slot.slot.into(), column, usize::try_from(request.0).expect("few requests"));
            }
            Action::Compute { slot, stripe, work: Work::Parity { .. }, .. } => {
                self.parity(slot.slot.into(), &geometry.stripe(stripe).expect("a stripe of the array"));
            }
            Action::Compute { stripe, work: Work::Rows { .. }, .. } => {
                let stripe = geometry.stripe(stripe).expect("a stripe of the array");
                for row in 0..ROWS {
                    self.bring(row, usize::from(stripe.data_count()), &stripe);
                    self.parity(row, &stripe);
                }
            }
            _ => {}
        }
    }

    /// All columns of a row, as a caller's bytes are brought into a request's buffers.
    fn bring(&mut self, row: usize, columns: usize, stripe: &StripeMap) {
        for column in 0..columns {
            let member = stripe.data(u8::try_from(column).expect("few columns")).expect("a data column");
            self.take(row, member, row * columns + column);
        }
    }
}

/// The requests of a stripe, row by row.
fn requests(columns: usize, number: u64) -> Vec<Request> {
    let at =
        |row: usize, column: usize| Sector((number * columns as u64 + column as u64) * CHUNK_SECTORS + 8 * row as u64);
    let places = (0..ROWS).flat_map(|row| (0..columns).map(move |column| at(row, column)));
    let kind = Kind::Write { fua: false };
    places.zip(0..).map(|(at, id)| Request { id: RequestId(id), kind, at, len: Sectors(8) }).collect()
}

fn geometry(level: Level) -> Geometry {
    let sizes = Sizes::Same(Sectors(STRIPES * CHUNK_SECTORS));
    let members = u16::try_from(MEMBERS).expect("few members");
    let config = ArrayConfig { level, members, chunk: Sectors(CHUNK_SECTORS), sizes, array_size: None };
    Geometry::new(&config).expect("such an array can be")
}

fn measure(case: &str, level: Level, source: &[u8], budget: Option<Duration>) {
    let geometry = geometry(level);
    let parities = if matches!(level, Level::Raid6(_)) { 2 } else { 1 };
    let (columns, mut buffers) = (MEMBERS - parities, Buffers::new(usize::from(SLOTS) * MEMBERS, BLOCK));
    let bytes = RefCell::new(Bytes { ops: parity::detect(), rows: buffers.split(), source, from: 0 });
    let moves = Cell::new(true);
    let host = NullHost::new(geometry.clone(), LIMITS, false, |action| {
        assert!(!matches!(action, Action::Io { way: Way::Read, .. }), "whole rows need no reads");
        if moves.get() {
            bytes.borrow_mut().perform(&geometry, action);
        }
    });
    host.complete_all();
    let mut next = 0;
    let mut run = |turn: Turn| {
        let mut took = Duration::ZERO;
        for _ in 0..turn.times {
            next = (next + 1) % STRIPES;
            let requests = requests(columns, next);
            let roles = geometry.stripe(StripeNo(next)).expect("a stripe of the array");
            let from = bytes.borrow().from;
            bytes.borrow_mut().from = (from + requests.len() * BLOCK) % source.len();
            moves.set(["engine", "rows"].contains(&FORMS[turn.who]));
            let len = Sectors(ROWS as u64 * 8);
            let all = Request { kind: Kind::WriteRows { fua: false }, len, ..requests[0] };
            let start = Instant::now();
            match FORMS[turn.who] {
                "alone" => {
                    let mut bytes = bytes.borrow_mut();
                    for row in 0..ROWS {
                        bytes.bring(row, columns, &roles);
                        bytes.parity(row, &roles);
                    }
                }
                "rows" | "deciding-rows" => {
                    engine::submit(&host, all).expect("nobody is at any row");
                    assert_eq!(host.complete_all(), 1);
                }
                _ => {
                    engine::submit_many(&host, &requests).expect("there is room for a stripe");
                    assert_eq!(host.complete_all(), requests.len() as u64);
                }
            }
            took += start.elapsed();
        }
        took
    };
    let Some(budget) = budget else {
        for who in 0..FORMS.len() {
            run(Turn { who, times: 1, round: 0 });
        }
        return;
    };
    let len = ROWS * columns * BLOCK;
    for found in rounds::measure(FORMS.len(), FORMS.len() - 1, budget, &mut run) {
        println!("measured: {case}/{} {:.1} {len} {:.3}", FORMS[found.who], found.time_ns, found.ratio);
    }
}

fn main() {
    let full = std::env::args().any(|argument| argument == "--bench");
    let budget = full.then_some(Duration::from_secs(3));
    for (place, len) in [("cached", 256 << 10), ("memory", if full { 384 << 20 } else { 1 << 20 })] {
        let source: Vec<u8> = (0..len).map(|at: usize| at.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
        for (name, level) in [
            ("RAID-5-of-8", Level::Raid5(Raid5Layout::LeftSymmetric)),
            ("RAID-6-of-8", Level::Raid6(Raid6Layout::LeftSymmetric)),
        ] {
            measure(&format!("whole+stripes,+{place}/{name}"), level, &source, budget);
        }
    }
}
