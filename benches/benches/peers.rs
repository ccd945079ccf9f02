//! The parity operations of every form that this CPU can run against other people's, all in one run.
//!
//! Each round times everybody once, in an order that rotates; what counts is the median of the rounds' ratios to ISA-L. So a
//! slow moment of a shared machine meets all. `cached`: one stripe again and again, another one each round, as luck with its pages'
//! places in the caches differs between stripes more than between contenders; `memory`: stripes in turn, of many times the
//! caches' size. Throughput is that of the data columns, width × block.
//!
//! `cargo xtask bench peers` builds the peers and runs this; by hand, `RAID_PEERS=FOLDER cargo bench -p raid-benches --bench
//! peers -- --bench [FILTER]`. As a test (without `--bench`) everybody is run once and compared with the reference.

use std::time::{Duration, Instant};

use raid_benches::Buffers;
use raid_benches::peers::{self, Operation, Peer, Stripe};
use raid_benches::rounds::{self, Turn};
use raid_core::parity::{self, Lost, Ops, Parity, Temporal};

const WIDTHS: [usize; 4] = [4, 8, 16, 32];
const BLOCKS_KIB: [usize; 2] = [4, 64];

/// Bytes of all stripes together, where they are to come from memory: many times the last-level cache.
const MEMORY_BYTES: usize = 384 << 20;

/// Stripes that the rounds take in turn where each is cached.
const PLACES: usize = 16;

/// What all ratios are to: the first of these that is there.
const YARDSTICKS: [&str; 3] = ["isal", "isal-debian", "portable"];

/// Where the blocks are when an operation starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Cached,
    Memory,
}

/// Who takes part.
#[derive(Clone, Copy)]
enum Contender<'a> {
    Ours(&'a Ops),
    Theirs(&'a Peer),
}

impl Contender<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Ours(ops) => ops.name(),
            Self::Theirs(peer) => &peer.name,
        }
    }

    fn run(&self, operation: Operation, stripe: &mut Stripe<'_>) {
        match self {
            Self::Ours(ops) => ours(ops, operation, stripe).expect("the buffers have one length"),
            Self::Theirs(peer) => assert!(peer.run(operation, stripe), "{} refuses", peer.name),
        }
    }
}

fn ours(ops: &Ops, operation: Operation, stripe: &mut Stripe<'_>) -> Result<(), parity::Error> {
    let parts = stripe.parts();
    let (data, p, q) = (parts.data, parts.p, parts.q);
    let [out_a, out_b] = parts.recovered;
    match operation {
        Operation::Pq => ops.pq(data, p, q),
        Operation::Xor => ops.xor(p, data),
        Operation::Two(a, b) => {
            ops.recover(data, Lost::Two((a, out_a), (b, out_b)), Parity::Given(p), Parity::Given(q))
        }
        Operation::DataP(a) => ops.recover(data, Lost::One(a, out_a), Parity::Wanted(p), Parity::Given(q)),
        Operation::Update(a) => ops.update(a, &[data[usize::from(a)], out_a], Some(p), Some(q)),
        Operation::Check => ops.check(data, Some(p), Some(q)).map(|found| assert_eq!(found, None, "a good stripe")),
    }
}

fn operations(width: usize) -> Vec<(&'static str, Operation)> {
    let last = u8::try_from(width - 1).expect("columns are few");
    vec![
        ("pq", Operation::Pq),
        ("xor", Operation::Xor),
        ("two", Operation::Two(0, 2)),
        ("data-and-P", Operation::DataP(1)),
        ("update-first", Operation::Update(0)),
        ("update-last", Operation::Update(last)),
        ("check", Operation::Check),
    ]
}

/// How much of a measurement to make.
struct Plan {
    filters: Vec<String>,
    budget: Duration,
}

impl Plan {
    fn wants(&self, case: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|part| case.contains(part))
    }
}

fn main() {
    let (options, filters): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with('-'));
    let peers = peers::all(BLOCKS_KIB[1] << 10);
    if !options.iter().any(|option| option == "--bench") {
        agree(&peers);
        return;
    }
    let budget_ms = std::env::var("RAID_BENCH_MS").ok().and_then(|ms| ms.parse().ok()).unwrap_or(1500);
    let plan = Plan { filters, budget: Duration::from_millis(budget_ms) };
    sums(&plan, &peers);
    for place in [Place::Cached, Place::Memory] {
        for (block_kib, width) in BLOCKS_KIB.into_iter().flat_map(|block_kib| WIDTHS.map(|width| (block_kib, width))) {
            let stripe_bytes = (width + Stripe::MADE) * (block_kib << 10);
            let count = if place == Place::Memory { MEMORY_BYTES / stripe_bytes } else { PLACES };
            let cases = operations(width).into_iter().map(|(name, operation)| {
                (format!("{name}+{}/{width}x{block_kib}K", format!("{place:?}").to_lowercase()), operation)
            });
            let cases: Vec<_> = cases.filter(|(case, _)| plan.wants(case)).collect();
            if cases.is_empty() {
                continue;
            }
            let mut buffers = Buffers::new((width + Stripe::MADE) * count, block_kib << 10);
            let mut stripes = Stripe::all(&mut buffers, width);
            for (case, operation) in cases {
                measure(&plan, &peers, (&case, operation, place), &mut stripes, width * (block_kib << 10));
            }
        }
    }
}

/// One case: everybody, in rounds. Prints a line a contender.
fn measure(
    plan: &Plan,
    peers: &[Peer],
    (case, operation, place): (&str, Operation, Place),
    stripes: &mut [Stripe<'_>],
    bytes: usize,
) {
    let temporal = if place == Place::Memory { Temporal::Memory } else { Temporal::Cached };
    let forms: Vec<Ops> = parity::all().map(|ops| ops.hinted(temporal)).collect();
    let theirs = peers.iter().filter(|peer| peer.can(operation)).map(Contender::Theirs);
    let contenders: Vec<Contender<'_>> = forms.iter().map(Contender::Ours).chain(theirs).collect();
    for stripe in &mut *stripes {
        Contender::Ours(parity::detect()).run(Operation::Pq, stripe);
    }
    let mut next = 0;
    let mut run = |turn: Turn| {
        let contender = contenders[turn.who];
        if place == Place::Cached {
            next = turn.round % stripes.len();
            contender.run(operation, &mut stripes[next]);
        }
        let start = Instant::now();
        for _ in 0..turn.times {
            contender.run(operation, &mut stripes[next]);
            if place == Place::Memory {
                next = (next + 1) % stripes.len();
            }
        }
        start.elapsed()
    };
    let names: Vec<&str> = contenders.iter().map(Contender::name).collect();
    report(case, &names, bytes, plan.budget, &mut run);
}

/// CRC-32C, which ISA-L has beside its parity.
fn sums(plan: &Plan, peers: &[Peer]) {
    let peers: Vec<&Peer> = peers.iter().filter(|peer| peer.crc32c(0, &[]).is_some()).collect();
    for block_kib in BLOCKS_KIB {
        let bytes: Vec<u8> = (0..block_kib << 10).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[1]).collect();
        let case = format!("crc32c+cached/{block_kib}K");
        if !plan.wants(&case) {
            continue;
        }
        let mut register = 0;
        let mut run = |turn: Turn| {
            let start = Instant::now();
            for _ in 0..turn.times {
                register = match turn.who {
                    0 => parity::crc32c(register, &bytes),
                    1 => parity::crc32c::portable(register, &bytes),
                    other => peers[other - 2].crc32c(register, &bytes).unwrap_or_default(),
                };
            }
            start.elapsed()
        };
        let ours = ["this-cpu", "portable"].into_iter();
        let names: Vec<&str> = ours.chain(peers.iter().map(|peer| peer.name.as_str())).collect();
        report(&case, &names, bytes.len(), plan.budget, &mut run);
    }
}

/// Measures and prints a line for each of `names`.
fn report(case: &str, names: &[&str], bytes: usize, budget: Duration, run: &mut dyn FnMut(Turn) -> Duration) {
    let yardstick = YARDSTICKS.iter().find_map(|name| names.iter().position(|other| other == name)).unwrap_or(0);
    for found in rounds::measure(names.len(), yardstick, budget, run) {
        println!("measured: {case}/{} {:.1} {bytes} {:.3}", names[found.who], found.time_ns, found.ratio);
    }
}

/// Everybody gives what the reference gives.
fn agree(peers: &[Peer]) {
    for peer in peers {
        let sum = peer.crc32c(!0, b"123456789");
        assert!(sum.is_none_or(|sum| !sum == 0xE306_9283), "{} CRC-32C", peer.name);
    }
    let forms: Vec<Ops> = parity::all().copied().collect();
    for width in WIDTHS {
        let mut buffers = Buffers::new((width + Stripe::MADE) * 2, 4096);
        let mut stripes = Stripe::all(&mut buffers, width);
        let [expected, stripe] = &mut stripes[..] else { panic!("two stripes") };
        for (_, operation) in operations(width) {
            for contender in forms.iter().map(Contender::Ours).chain(peers.iter().map(Contender::Theirs)) {
                if matches!(contender, Contender::Theirs(peer) if !peer.can(operation) || peer.name == "skeleton") {
                    continue;
                }
                let parts = stripe.parts();
                parity::reference::pq(parts.data, parts.p, parts.q);
                contender.run(operation, stripe);
                let parts = stripe.parts();
                let (p, q) = (parts.p.to_vec(), parts.q.to_vec());
                let columns: Vec<Vec<u8>> = parts.data.iter().map(|column| column.to_vec()).collect();
                let [a, b] = parts.recovered.map(|column| column.to_vec());
                let mut data: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
                match operation {
                    Operation::Two(x, y) => {
                        assert!(a == data[usize::from(x)] && b == data[usize::from(y)], "{} two", contender.name());
                    }
                    Operation::DataP(x) => assert!(a == data[usize::from(x)], "{} data+P", contender.name()),
                    Operation::Update(x) => data[usize::from(x)] = &a,
                    Operation::Pq | Operation::Xor | Operation::Check => {}
                }
                let made = expected.parts();
                parity::reference::pq(&data, made.p, made.q);
                assert!(made.p == p && made.q == q, "{} {operation:?} width {width}", contender.name());
            }
        }
    }
}
