//! Every form of the parity operations that this CPU can run, and `reference` as the slowest peer, by width and block.
//!
//! Throughput is that of the data columns, width × block. `cargo bench -p raid-benches --bench parity`.

use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use raid_benches::Buffers;
use raid_core::parity::{self, Lost, Ops, Parity, reference};

const WIDTHS: [usize; 3] = [4, 8, 16];
const BLOCKS_KIB: [usize; 2] = [4, 64];

/// The columns that `recover_two` loses.
const LOST: (u8, u8) = (0, 2);

/// What one measurement works on: data columns, P, Q and two columns to bring back.
struct Stripe<'a> {
    data: Vec<&'a [u8]>,
    p: &'a mut [u8],
    q: &'a mut [u8],
    out: [&'a mut [u8]; 2],
}

impl<'a> Stripe<'a> {
    fn new(buffers: &'a mut Buffers) -> Option<Self> {
        let mut columns = buffers.split();
        let (p, q, a, b) = (columns.pop()?, columns.pop()?, columns.pop()?, columns.pop()?);
        Some(Self { data: columns.into_iter().map(|column| &*column).collect(), p, q, out: [a, b] })
    }

    /// The data without the lost columns.
    fn survivors(&self) -> Vec<&'a [u8]> {
        let lost = |i: usize| i == usize::from(LOST.0) || i == usize::from(LOST.1);
        self.data.iter().enumerate().map(|(i, column)| if lost(i) { &[] } else { *column }).collect()
    }
}

/// Measures one operation for all widths and blocks: in every form, and by the reference.
fn compare(
    criterion: &mut Criterion,
    operation: &str,
    with_ops: impl Fn(&Ops, &mut Stripe<'_>, &[&[u8]]) -> Result<(), parity::Error>,
    with_reference: impl Fn(&mut Stripe<'_>, &[&[u8]]),
) {
    let mut group: BenchmarkGroup<'_, WallTime> = criterion.benchmark_group(operation);
    for (width, block_kib) in WIDTHS.into_iter().flat_map(|width| BLOCKS_KIB.map(|block_kib| (width, block_kib))) {
        let mut buffers = Buffers::new(width + 4, block_kib << 10);
        let Some(mut stripe) = Stripe::new(&mut buffers) else { continue };
        let survivors = stripe.survivors();
        group.throughput(Throughput::Bytes(((width * block_kib) << 10) as u64));
        for ops in parity::all() {
            group.bench_function(format!("{width}x{block_kib}K/{}", ops.name()), |bencher| {
                bencher.iter(|| with_ops(ops, &mut stripe, &survivors).expect("the buffers have one length"));
            });
        }
        group.bench_function(format!("{width}x{block_kib}K/reference"), |bencher| {
            bencher.iter(|| with_reference(&mut stripe, &survivors));
        });
    }
    group.finish();
}

fn pq(criterion: &mut Criterion) {
    compare(
        criterion,
        "pq",
        |ops, stripe, _| ops.pq(&stripe.data, stripe.p, stripe.q),
        |stripe, _| reference::pq(&stripe.data, stripe.p, stripe.q),
    );
}

fn xor(criterion: &mut Criterion) {
    compare(
        criterion,
        "xor",
        |ops, stripe, _| ops.xor(stripe.p, &stripe.data),
        |stripe, _| reference::xor(stripe.p, &stripe.data),
    );
}

fn recover_two(criterion: &mut Criterion) {
    compare(
        criterion,
        "recover_two",
        |ops, stripe, survivors| {
            let [a, b] = &mut stripe.out;
            let lost = Lost::Two((LOST.0, a), (LOST.1, b));
            ops.recover(survivors, lost, Parity::Given(stripe.p), Parity::Given(stripe.q))
        },
        |stripe, survivors| {
            let [a, b] = &mut stripe.out;
            reference::two(survivors, LOST, stripe.p, stripe.q, a, b);
        },
    );
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300));
    targets = pq, xor, recover_two
}
criterion_main!(benches);
