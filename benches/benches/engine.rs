//! The engine alone, on a host that does nothing: what deciding costs, without bytes, disks and threads.
//!
//! Every action is answered at once and well, in the order in which it was asked for. A window of requests is submitted, then all
//! runs until it is quiet. No bytes move and no parity is computed.
//!
//! `cargo bench -p raid-benches --bench engine`. The figure is requests per second on one core.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use raid_core::action::Action;
use raid_core::engine::{self, Host};
use raid_core::flush::Flushes;
use raid_core::geometry::Geometry;
use raid_core::health::{Event, Health};
use raid_core::members::Members;
use raid_core::memory::{Memory, OutOfMemory};
use raid_core::recovery::Recovery;
use raid_core::region::RegionLog;
use raid_core::request::{Kind, Request, RequestId};
use raid_core::reshape::Layouts;
use raid_core::rows::Rows;
use raid_core::stripe::{Limits, Shard};
use raid_core::{ArrayConfig, Columns, Level, Raid5Layout, Raid6Layout, Sector, Sectors, Sizes};

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
};

struct Heap;

impl Memory for Heap {
    type Array<T> = Box<[T]>;

    fn array<T>(len: usize, init: impl FnMut(usize) -> T) -> Result<Box<[T]>, OutOfMemory> {
        Ok((0..len).map(init).collect())
    }
}

struct Null {
    rows: Rows,
    layouts: Layouts,
    shards: Vec<RefCell<Shard<Heap>>>,
    log: RefCell<RegionLog<Heap>>,
    members: RefCell<Members<Heap>>,
    flushes: RefCell<Flushes>,
    recovery: RefCell<Recovery>,
    actions: RefCell<VecDeque<Action>>,
    completed: RefCell<u64>,
}

impl Null {
    fn new(level: Level, members: u16) -> Option<Self> {
        let sizes = Sizes::Same(Sectors(MEMBER_SECTORS));
        let config = ArrayConfig { level, members, chunk: Sectors(CHUNK_SECTORS), sizes, array_size: None };
        let geometry = Geometry::new(&config).ok()?;
        let mut health = Health::new(members).ok()?;
        for member in Columns::first(members).iter() {
            health.apply(member, Event::Admit).ok()?;
        }
        let machine: Members<Heap> = Members::new(health, LIMITS.read_errors_max).ok()?;
        let view = machine.view();
        let rows = Rows::new(geometry.clone())?;
        let count = rows.count();
        let shards = (0..LIMITS.shards).map(|number| Shard::new(number, &LIMITS, count, view, |_| false));
        let regions = count.div_ceil(LIMITS.region_rows);
        let host = Self {
            shards: shards.collect::<Result<Vec<_>, _>>().ok()?.into_iter().map(RefCell::new).collect(),
            log: RefCell::new(RegionLog::new(regions, LIMITS.log_page_words, view, |_| false).ok()?),
            members: RefCell::new(machine),
            flushes: RefCell::new(Flushes::new(view)),
            recovery: RefCell::new(Recovery::new(view, &LIMITS, count, false)),
            layouts: Layouts::one(geometry),
            rows,
            actions: RefCell::default(),
            completed: RefCell::default(),
        };
        engine::start(&host);
        host.drain();
        Some(host)
    }

    fn drain(&self) {
        loop {
            let mut more = false;
            for shard in 0..LIMITS.shards {
                more |= engine::run(self, shard, 64);
            }
            while let Some(action) = self.next() {
                more = true;
                match action {
                    Action::Io { token, .. }
                    | Action::Flush { token, .. }
                    | Action::WriteLog { token, .. }
                    | Action::WriteHealth { token, .. }
                    | Action::Compute { token, .. } => engine::complete(self, token, true),
                    Action::Complete { result, .. } => *self.completed.borrow_mut() += u64::from(result.is_ok()),
                }
            }
            if !more {
                return;
            }
        }
    }

    fn next(&self) -> Option<Action> {
        self.actions.borrow_mut().pop_front()
    }

    fn window(&self, kind: Kind, mut at: impl FnMut() -> u64) {
        let before = *self.completed.borrow();
        for id in 0..WINDOW {
            let request = Request { id: RequestId(id), kind, at: Sector(at()), len: Sectors(8) };
            let taken = black_box(engine::submit(self, request));
            assert!(taken.is_ok(), "{taken:?}");
        }
        self.drain();
        assert_eq!(*self.completed.borrow(), before + WINDOW, "requests that nobody completed");
    }
}

impl Host for Null {
    type Memory = Heap;

    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn layouts(&self) -> &Layouts {
        &self.layouts
    }

    fn limits(&self) -> &Limits {
        &LIMITS
    }

    fn with_shard<R>(&self, shard: u16, f: impl FnOnce(&mut Shard<Heap>) -> R) -> R {
        f(&mut self.shards[usize::from(shard)].borrow_mut())
    }

    fn with_log<R>(&self, f: impl FnOnce(&mut RegionLog<Heap>) -> R) -> R {
        f(&mut self.log.borrow_mut())
    }

    fn with_members<R>(&self, f: impl FnOnce(&mut Members<Heap>) -> R) -> R {
        f(&mut self.members.borrow_mut())
    }

    fn with_flushes<R>(&self, f: impl FnOnce(&mut Flushes) -> R) -> R {
        f(&mut self.flushes.borrow_mut())
    }

    fn with_recovery<R>(&self, f: impl FnOnce(&mut Recovery) -> R) -> R {
        f(&mut self.recovery.borrow_mut())
    }

    fn perform(&self, action: Action) {
        self.actions.borrow_mut().push_back(action);
    }

    fn wake(&self, _: u16) {}
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
        let Some(host) = Null::new(level, members) else { continue };
        let blocks = host.rows.geometry().array_size().0 / 8;
        let mut rng = 1_u64;
        let mut random = move || {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (rng >> 20) % blocks * 8
        };
        group.bench_function(format!("random read, {name}"), |bencher| {
            bencher.iter(|| host.window(Kind::Read, &mut random));
        });
        let write = Kind::Write { fua: false };
        group.bench_function(format!("random write, {name}"), |bencher| {
            bencher.iter(|| host.window(write, &mut random));
        });
        // As a sequential writer with whole stripes in flight: row by row, all columns of each.
        let columns = u64::from(members) - if name.starts_with("RAID 6") { 2 } else { 1 };
        let mut place = 0;
        group.bench_function(format!("full-stripe write, {name}"), |bencher| {
            bencher.iter(|| {
                host.window(write, || {
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
