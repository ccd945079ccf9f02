//! The engine alone, on a host that does nothing: what deciding costs, without bytes, disks and threads.
//!
//! Every action is answered at once and well, in the order in which it was asked for. A window of requests is submitted, then all
//! runs until it is quiet. No bytes move and no parity is computed.
//!
//! `cargo bench -p raid-benches --bench engine`. The figure is requests per second on one core. With `-- --instructions` it is
//! instructions per request, as valgrind counts them: they do not jitter. `--once CASE WINDOWS` is for profilers.

use std::error::Error;
use std::hint::black_box;
use std::process::Command;

use criterion::{Criterion, Throughput};
use raid_core::action::Action;
use raid_core::engine::{self, Host as _};
use raid_core::geometry::Geometry;
use raid_core::request::{Kind, Request, RequestId};
use raid_core::stripe::Limits;
use raid_core::{ArrayConfig, Level, Raid5Layout, Raid6Layout, Sector, Sectors, Sizes};
use raid_testkit::null_host::NullHost;

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
    host.complete_all();
    Some(host)
}

fn window<W: Fn(&Action)>(host: &NullHost<W>, kind: Kind, mut at: impl FnMut() -> u64) {
    for id in 0..WINDOW {
        let request = Request { id: RequestId(id), kind, at: Sector(at()), len: Sectors(8) };
        let taken = black_box(engine::submit(host, request));
        assert!(taken.is_ok(), "{taken:?}");
    }
    assert_eq!(host.complete_all(), WINDOW, "requests that nobody completed");
}

/// A workload on an array.
#[derive(Clone, Copy)]
struct Case {
    load: &'static str,
    array: &'static str,
    level: Level,
    members: u16,
}

const LOADS: [&str; 3] = ["random read", "random write", "full-stripe write"];

fn cases() -> impl Iterator<Item = Case> {
    let arrays = [
        ("RAID 1 of 2", Level::Raid1, 2),
        ("RAID 5 of 8", Level::Raid5(Raid5Layout::LeftSymmetric), 8),
        ("RAID 6 of 8", Level::Raid6(Raid6Layout::LeftSymmetric), 8),
    ];
    arrays
        .into_iter()
        .flat_map(|(array, level, members)| LOADS.into_iter().map(move |load| Case { load, array, level, members }))
}

impl Case {
    fn name(&self) -> String {
        format!("{}, {}", self.load, self.array)
    }

    /// Something that does one window a call.
    fn windows(self) -> Option<impl FnMut()> {
        let host = host(self.level, self.members)?;
        let blocks = host.rows().geometry().array_size().0 / 8;
        let columns = u64::from(self.members) - if matches!(self.level, Level::Raid6(_)) { 2 } else { 1 };
        let (mut rng, mut place) = (1_u64, 0);
        let mut random = move || {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (rng >> 20) % blocks * 8
        };
        // As a sequential writer with whole stripes in flight: row by row, all columns of each.
        let mut in_rows = move || {
            let (row, column) = (place / columns, place % columns);
            place += 1;
            let (stripe, within) = (row / (CHUNK_SECTORS / 8), row % (CHUNK_SECTORS / 8));
            ((stripe * columns + column) * CHUNK_SECTORS + within * 8) % (blocks * 8)
        };
        let write = Kind::Write { fua: false };
        Some(move || match self.load {
            "random read" => window(&host, Kind::Read, &mut random),
            "random write" => window(&host, write, &mut random),
            _ => window(&host, write, &mut in_rows),
        })
    }
}

fn engine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine on a null host, 4 KiB");
    group.throughput(Throughput::Elements(WINDOW));
    for case in cases() {
        let Some(mut windows) = case.windows() else { continue };
        group.bench_function(case.name(), |bencher| bencher.iter(&mut windows));
    }
    group.finish();
}

/// Instructions that a window of a case costs, by callgrind: what so many windows need, less what half of them do.
fn instructions(case: &str) -> Result<u64, Box<dyn Error>> {
    const WINDOWS: u64 = 400;
    let folder = tempfile::tempdir()?;
    let count = |windows: u64| -> Result<u64, Box<dyn Error>> {
        let out = folder.path().join("out");
        let mut valgrind = Command::new("valgrind");
        valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
        let output = valgrind.arg(std::env::current_exe()?).args(["--once", case, &windows.to_string()]).output()?;
        let text = std::fs::read_to_string(&out).map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let total = text.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
        Ok(total.ok_or("callgrind counted nothing")?.trim().parse()?)
    };
    Ok((count(2 * WINDOWS)? - count(WINDOWS)?) / WINDOWS)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--once", name, windows] => {
            let case = cases().find(|case| case.name() == name).ok_or("no such case")?;
            let mut window = case.windows().ok_or("no such array")?;
            (0..windows.parse()?).for_each(|_| window());
        }
        ["--instructions", ..] => {
            println!("instructions per request of 4 KiB");
            for case in cases() {
                println!("{:>7}  {}", instructions(&case.name())? / WINDOW, case.name());
            }
        }
        _ => {
            let mut criterion = Criterion::default().configure_from_args();
            engine(&mut criterion);
            criterion.final_summary();
        }
    }
    Ok(())
}
