//! Every operation of parity, by width and block, in every form that this CPU can run; and by `reference` as the slowest peer,
//! where it has the operation.
//!
//! `cached`: one stripe again and again; `memory`: stripes in turn, of many times the caches' size, with the hint that says so.
//! Throughput is that of the data columns, width × block; of `crc32c`, that of the block. `cargo bench -p raid-benches --bench parity
//! [FILTER]`, and against other people's forms `cargo xtask bench peers`.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use raid_benches::Buffers;
use raid_core::parity::{self, Lost, Ops, Parity, Temporal, reference};

const WIDTHS: [usize; 4] = [4, 8, 16, 32];
const BLOCKS_KIB: [usize; 2] = [4, 64];

/// Bytes of all stripes together, where they are to come from memory: many times the last-level cache.
const MEMORY_BYTES: usize = 384 << 20;

/// Columns beside the data: P, Q, and two to bring back.
const MADE: usize = 4;

/// What one measurement works on: data columns, P, Q and two columns to bring back.
struct Stripe<'a> {
    data: Vec<&'a [u8]>,
    p: &'a mut [u8],
    q: &'a mut [u8],
    out: [&'a mut [u8]; 2],
}

impl<'a> Stripe<'a> {
    /// As many as the buffers are enough for.
    fn all(buffers: &'a mut Buffers, width: usize) -> Vec<Self> {
        let (mut columns, mut stripes) = (buffers.split(), Vec::new());
        while columns.len() >= width + MADE {
            let mut own = columns.split_off(columns.len() - width - MADE).into_iter();
            let (Some(p), Some(q), Some(a), Some(b)) = (own.next(), own.next(), own.next(), own.next()) else { break };
            stripes.push(Self { data: own.map(|column| &*column).collect(), p, q, out: [a, b] });
        }
        stripes
    }

    /// P and Q become right; or right but for a line of the first column, in the middle.
    fn make_parity(&mut self, wrong: bool) {
        parity::detect().pq(&self.data, self.p, self.q).expect("the buffers have one length");
        let line = self.p.len() / 2..self.p.len() / 2 + 64;
        // The first column counts in Q as it does in P.
        for parity in [&mut *self.p, &mut *self.q] {
            parity[line.clone()].iter_mut().for_each(|byte| *byte ^= if wrong { 0x5A } else { 0 });
        }
    }
}

type Run = fn(&Ops, &mut Stripe<'_>) -> Result<(), parity::Error>;

/// The operation that finds something.
const LOCATE: &str = "locate";

const OPERATIONS: [(&str, Run); 11] = [
    ("xor", |ops, stripe| ops.xor(stripe.p, &stripe.data)),
    ("pq", |ops, stripe| ops.pq(&stripe.data, stripe.p, stripe.q)),
    ("q", |ops, stripe| ops.recover(&stripe.data, Lost::Nothing, Parity::Absent, Parity::Wanted(stripe.q))),
    ("one-by-p", |ops, stripe| {
        ops.recover(&stripe.data, Lost::One(0, stripe.out[0]), Parity::Given(stripe.p), Parity::Absent)
    }),
    ("one-by-q", |ops, stripe| {
        ops.recover(&stripe.data, Lost::One(0, stripe.out[0]), Parity::Absent, Parity::Given(stripe.q))
    }),
    ("one-and-p", |ops, stripe| {
        ops.recover(&stripe.data, Lost::One(0, stripe.out[0]), Parity::Wanted(stripe.p), Parity::Given(stripe.q))
    }),
    ("one-and-q", |ops, stripe| {
        ops.recover(&stripe.data, Lost::One(0, stripe.out[0]), Parity::Given(stripe.p), Parity::Wanted(stripe.q))
    }),
    ("two", |ops, stripe| {
        let [a, b] = &mut stripe.out;
        ops.recover(&stripe.data, Lost::Two((0, a), (2, b)), Parity::Given(stripe.p), Parity::Given(stripe.q))
    }),
    ("update", |ops, stripe| ops.update(3, &[stripe.data[3], stripe.out[0]], Some(stripe.p), Some(stripe.q))),
    ("check", |ops, stripe| {
        ops.check(&stripe.data, Some(stripe.p), Some(stripe.q)).map(|found| assert_eq!(found, None, "a good stripe"))
    }),
    (LOCATE, |ops, stripe| {
        ops.locate(&stripe.data, Some(stripe.p), Some(stripe.q)).map(|found| assert!(found.is_some(), "a wrong block"))
    }),
];

/// The same by the reference; false if it has no such operation. `survivors` are the data without those that an operation loses.
fn by_reference(operation: &str, stripe: &mut Stripe<'_>, survivors: &[Vec<&[u8]>; 2]) -> bool {
    let [a, b] = &mut stripe.out;
    match operation {
        "xor" => reference::xor(stripe.p, &stripe.data),
        "pq" => reference::pq(&stripe.data, stripe.p, stripe.q),
        "one-by-q" => reference::one_by_q(&survivors[0], 0, stripe.q, a),
        "two" => reference::two(&survivors[1], (0, 2), stripe.p, stripe.q, a, b),
        _ => return false,
    }
    true
}

fn operations(criterion: &mut Criterion) {
    for (place, temporal) in [("cached", Temporal::Cached), ("memory", Temporal::Memory)] {
        for (width, block_kib) in WIDTHS.into_iter().flat_map(|width| BLOCKS_KIB.map(|block_kib| (width, block_kib))) {
            let stripe_bytes = (width + MADE) * (block_kib << 10);
            let count = if temporal == Temporal::Memory { MEMORY_BYTES / stripe_bytes } else { 1 };
            let mut buffers = Buffers::new((width + MADE) * count, block_kib << 10);
            let mut stripes = Stripe::all(&mut buffers, width);
            for (name, run) in OPERATIONS {
                measure(criterion, (name, place), (width, block_kib), &mut stripes, |ops| ops.hinted(temporal), run);
            }
        }
    }
}

fn measure(
    criterion: &mut Criterion,
    (name, place): (&str, &str),
    (width, block_kib): (usize, usize),
    stripes: &mut [Stripe<'_>],
    hinted: impl Fn(&Ops) -> Ops,
    run: Run,
) {
    stripes.iter_mut().for_each(|stripe| stripe.make_parity(name == LOCATE));
    let mut group = criterion.benchmark_group(format!("{name} {place}"));
    group.throughput(Throughput::Bytes(((width * block_kib) << 10) as u64));
    let mut next = 0;
    for ops in parity::all().map(hinted) {
        group.bench_function(format!("{width}x{block_kib}K/{}", ops.name()), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % stripes.len();
                run(&ops, &mut stripes[next]).expect("the buffers have one length");
            });
        });
    }
    if place == "cached" {
        let without = |lost: &[usize]| {
            let column = |(at, column): (usize, &&[u8])| if lost.contains(&at) { Vec::new() } else { column.to_vec() };
            stripes[0].data.iter().enumerate().map(column).collect::<Vec<_>>()
        };
        let (one, two) = (without(&[0]), without(&[0, 2]));
        let survivors = [&one, &two].map(|columns| columns.iter().map(Vec::as_slice).collect());
        if by_reference(name, &mut stripes[0], &survivors) {
            group.bench_function(format!("{width}x{block_kib}K/reference"), |bencher| {
                bencher.iter(|| by_reference(name, &mut stripes[0], &survivors));
            });
        }
    }
    group.finish();
}

/// CRC-32C, by this CPU's instructions and by tables.
fn sums(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crc32c cached");
    for block_kib in BLOCKS_KIB {
        let bytes: Vec<u8> =
            (0..block_kib << 10).map(|at: usize| at.wrapping_mul(2_654_435_761).to_le_bytes()[1]).collect();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut register = 0;
        group.bench_function(format!("{block_kib}K/this-cpu"), |bencher| {
            bencher.iter(|| register = parity::crc32c(register, &bytes));
        });
        group.bench_function(format!("{block_kib}K/reference"), |bencher| {
            bencher.iter(|| register = parity::crc32c::portable(register, &bytes));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(30))
        .measurement_time(Duration::from_millis(100));
    targets = operations, sums
}
criterion_main!(benches);
