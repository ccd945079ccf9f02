//! The engine alone, on a host that does nothing: what deciding costs, without bytes, disks and threads.
//!
//! Every action is answered at once and well, in the order in which it was asked for. A window of requests is submitted, then all
//! runs until it is quiet. No bytes move and no parity is computed.
//!
//! `cargo bench -p raid-benches --bench engine`. The figure is requests per second on one core.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use raid_core::action::Action;
use raid_core::engine::{self, Host as _};
use raid_core::geometry::Geometry;
use raid_core::request::{Kind, Request, RequestId};
use raid_core::stripe::Limits;
use raid_core::{ArrayConfig, Level, Raid5Layout, Raid6Layout, Sector, Sectors, Sizes};
use raid_testkit::null_host::{NullHost, receipt};

/// Requests in flight: as many as a busy server has.
const WINDOW: u64 = 64;
const MEMBER_SECTORS: u64 = 1 << 21;
const CHUNK_SECTORS: u64 = 128;
const LIMITS: Limits = Limits {
    shards: 4,
    slots: 128,
    requests: 512,
    region_rows: 8192,
    log_page_words: 64,
    read_errors_max: 20,
    heal_window: 8,
    checkpoint_rows: 1024,
};

fn host(level: Level, members: u16) -> Option<NullHost<impl Fn(&Action)>> {
    let sizes = Sizes::Same(Sectors(MEMBER_SECTORS));
    let config = ArrayConfig { level, members, chunk: Sectors(CHUNK_SECTORS), sizes, array_size: None };
    let host = NullHost::new(Geometry::new(&config).ok()?, LIMITS, false, |_| ());
    drain(&host);
    Some(host)
}

/// Answers everything until it is quiet. Says how many requests completed well.
fn drain<W: Fn(&Action)>(host: &NullHost<W>) -> u64 {
    let mut completed = 0;
    loop {
        let mut more = host.run(64);
        while let Some(action) = host.next() {
            more = true;
            match (receipt(&action), action) {
                (Some((token, _)), _) => engine::complete(host, token, true),
                (None, Action::Complete { result, .. }) => completed += u64::from(result.is_ok()),
                (None, _) => {}
            }
        }
        if !more {
            return completed;
        }
    }
}

fn window<W: Fn(&Action)>(host: &NullHost<W>, kind: Kind, mut at: impl FnMut() -> u64) {
    for id in 0..WINDOW {
        let request = Request { id: RequestId(id), kind, at: Sector(at()), len: Sectors(8) };
        let taken = black_box(engine::submit(host, request));
        assert!(taken.is_ok(), "{taken:?}");
    }
    assert_eq!(drain(host), WINDOW, "requests that nobody completed");
}

fn engine(criterion: &mut Criterion) {
    let arrays = [
        ("RAID 1 of 2", Level::Raid1, 2),
        ("RAID 5 of 8", Level::Raid5(Raid5Layout::LeftSymmetric), 8),
        ("RAID 6 of 8", Level::Raid6(Raid6Layout::LeftSymmetric), 8),
    ];
    let mut group = criterion.benchmark_group("engine on a null host, 4 KiB");
    group.throughput(Throughput::Elements(WINDOW));
    for (name, level, members) in arrays {
        let Some(host) = host(level, members) else { continue };
        let blocks = host.rows().geometry().array_size().0 / 8;
        let mut rng = 1_u64;
        let mut random = move || {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (rng >> 20) % blocks * 8
        };
        group.bench_function(format!("random read, {name}"), |bencher| {
            bencher.iter(|| window(&host, Kind::Read, &mut random));
        });
        let write = Kind::Write { fua: false };
        group.bench_function(format!("random write, {name}"), |bencher| {
            bencher.iter(|| window(&host, write, &mut random));
        });
        // As a sequential writer with whole stripes in flight: row by row, all columns of each.
        let columns = u64::from(members) - if name.starts_with("RAID 6") { 2 } else { 1 };
        let mut place = 0;
        group.bench_function(format!("full-stripe write, {name}"), |bencher| {
            bencher.iter(|| {
                window(&host, write, || {
                    let (row, column) = (place / columns, place % columns);
                    place += 1;
                    let (stripe, within) = (row / (CHUNK_SECTORS / 8), row % (CHUNK_SECTORS / 8));
                    ((stripe * columns + column) * CHUNK_SECTORS + within * 8) % (blocks * 8)
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, engine);
criterion_main!(benches);
