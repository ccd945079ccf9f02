//! The real host without a server before it: a RAID 6 of eight members that are files, in memory and on the disk of the folder for
//! temporary files (through the page cache).
//!
//! A check and a rebuild are held against what memory allows: the same arithmetic on stripes of 64 KiB that are in memory already
//! (`memory`), and the same after they were read from the same files (`read`), which is what whoever reads files cannot go below.
//! Sequential writes are held against the same bytes written to one file. Rounds are interleaved; the ratio is the median of those of
//! single rounds, to the last column. `cargo bench -p raid-benches --bench host [NAME]`.

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use raid_benches::Buffers;
use raid_core::check::Order;
use raid_core::geometry::Geometry;
use raid_core::parity::{self, Lost, Ops, Parity};
use raid_core::rows::{RowNo, Rows};
use raid_core::{ArrayConfig, Level, Member, Raid6Layout, Sector, Sectors, Sizes};
use raid_user::host::start::{Slot, Start};
use raid_user::host::{Running, Tuning};
use raid_user::media::{MediaMut as _, RawFile, SharedMediaMut};

const MEMBERS: usize = 8;
const CHUNK: Sectors = Sectors(1024);
const BLOCK: usize = 64 << 10;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Where the members are, and how large.
struct Place {
    _folder: tempfile::TempDir,
    paths: Vec<PathBuf>,
    member_bytes: u64,
}

impl Place {
    /// Members of zeros, which fit each other, all of them allocated.
    fn new(folder: tempfile::TempDir, member_bytes: u64) -> Result<Self> {
        let paths: Vec<PathBuf> = (0..=MEMBERS).map(|slot| folder.path().join(format!("d{slot}"))).collect();
        for path in &paths {
            io::copy(&mut io::Read::take(io::repeat(0), member_bytes), &mut File::create(path)?)?;
        }
        Ok(Self { _folder: folder, paths, member_bytes })
    }

    fn members(&self) -> &[PathBuf] {
        &self.paths[..MEMBERS]
    }

    fn files(&self) -> Result<Vec<File>> {
        Ok(self
            .members()
            .iter()
            .map(|path| File::options().read(true).write(true).open(path))
            .collect::<io::Result<_>>()?)
    }

    fn running(&self, tuning: &Tuning) -> Result<(Running, SharedMediaMut)> {
        let config = ArrayConfig {
            level: Level::Raid6(Raid6Layout::LeftSymmetric),
            members: u16::try_from(MEMBERS)?,
            chunk: CHUNK,
            sizes: Sizes::Same(Sectors(self.member_bytes / 512)),
            array_size: None,
        };
        let rows = Rows::new(Geometry::new(&config)?).ok_or("no rows")?;
        let mut slots = Vec::new();
        for path in self.members() {
            let media: SharedMediaMut = Arc::new(RawFile::open_mut(path)?);
            slots.push(Slot { media: Some(media), data_at: Sector(0) });
        }
        let first = slots.first().and_then(|slot| slot.media.clone()).ok_or("no member")?;
        let start = Start { log_page_words: 64, ..Start::forgetful(rows, slots, 4096)? };
        Ok((Running::start(start, tuning)?, first))
    }
}

/// Does something once, and says how long it took and how many bytes it was.
type Turn<'a> = Box<dyn FnMut() -> Result<(Duration, u64)> + 'a>;

/// One measurement: contenders by name, the last of which is what the others are compared to.
struct Bench<'a> {
    name: String,
    turns: Vec<(&'static str, Turn<'a>)>,
}

fn timed(bytes: u64, run: impl FnOnce() -> Result<()>) -> Result<(Duration, u64)> {
    let start = Instant::now();
    run()?;
    Ok((start.elapsed(), bytes))
}

/// A stripe of zeros.
fn stripe() -> Buffers {
    let mut stripe = Buffers::new(MEMBERS, BLOCK);
    stripe.split().iter_mut().for_each(|column| column.fill(0));
    stripe
}

/// So many that memory has to be waited for.
struct Stripes(Vec<Buffers>);

impl Stripes {
    fn new() -> Self {
        Self((0..256).map(|_| stripe()).collect())
    }
}

fn check_memory(ops: &Ops, stripes: &mut Stripes, times: u64) -> Result<(Duration, u64)> {
    timed(times * stripes.0.len() as u64 * (MEMBERS * BLOCK) as u64, || {
        for stripe in (0..times).flat_map(|_| 0..256) {
            check(ops, &stripes.0[stripe].split())?;
        }
        Ok(())
    })
}

fn check(ops: &Ops, columns: &[&mut [u8]]) -> Result<()> {
    let columns: Vec<&[u8]> = columns.iter().map(|column| &**column).collect();
    let (data, parity) = columns.split_at(MEMBERS - 2);
    let differs = ops.check(data, Some(parity[0]), Some(parity[1])).map_err(|error| format!("{error:?}"))?;
    if std::hint::black_box(differs).is_some() { Err("zeros that do not fit".into()) } else { Ok(()) }
}

/// Makes the first column from the other data and P.
fn recover(ops: &Ops, columns: &mut [&mut [u8]]) -> Result<()> {
    let (lost, others) = columns.split_first_mut().ok_or("no column")?;
    let others: Vec<&[u8]> = others.iter().map(|column| &**column).collect();
    let data: Vec<&[u8]> = std::iter::once(&[][..]).chain(others[..MEMBERS - 3].iter().copied()).collect();
    let p = Parity::Given(others[MEMBERS - 3]);
    ops.recover(&data, Lost::One(0, lost), p, Parity::Absent).map_err(|error| format!("{error:?}").into())
}

fn checks<'a>(place: &'a Place, tuning: &Tuning) -> Result<Bench<'a>> {
    let (ops, files) = (parity::detect(), place.files()?);
    let (running, _) = place.running(tuning)?;
    let bytes = place.member_bytes * MEMBERS as u64;
    let raid = move || {
        timed(bytes, || {
            running.check(Order { from: RowNo(0), to: RowNo(running.rows().count()), repair: None })?;
            let found = running.wait_for_check();
            if found.tally.compared == running.rows().count() { Ok(()) } else { Err("not all was checked".into()) }
        })
    };
    let mut buffers = stripe();
    let read = move || {
        timed(bytes, || {
            let mut columns = buffers.split();
            for at in (0..place.member_bytes).step_by(BLOCK) {
                for (file, column) in files.iter().zip(&mut columns) {
                    file.read_exact_at(column, at)?;
                }
                check(ops, &columns)?;
            }
            Ok(())
        })
    };
    let mut stripes = Stripes::new();
    let memory = move || check_memory(ops, &mut stripes, 4);
    let turns: Vec<(_, Turn<'_>)> =
        vec![("raid", Box::new(raid)), ("read", Box::new(read)), ("memory", Box::new(memory))];
    Ok(Bench { name: "check".into(), turns })
}

fn rebuilds<'a>(place: &'a Place, tuning: &Tuning) -> Result<Bench<'a>> {
    let (ops, files) = (parity::detect(), place.files()?);
    let (running, first) = place.running(tuning)?;
    // Seven are read or six, and one is written: counted is what the arithmetic touches.
    let bytes = place.member_bytes * (MEMBERS as u64 - 1);
    let raid = move || {
        running.fail(Member(0));
        running.wait_until_quiet();
        timed(bytes, || {
            running.add(Member(0), first.clone())?;
            running.wait_until_quiet();
            if running.health().is_whole() { Ok(()) } else { Err("not rebuilt".into()) }
        })
    };
    let mut buffers = stripe();
    let read = move || {
        timed(bytes, || {
            let mut columns = buffers.split();
            for at in (0..place.member_bytes).step_by(BLOCK) {
                for (file, column) in files.iter().zip(&mut columns).skip(1).take(MEMBERS - 2) {
                    file.read_exact_at(column, at)?;
                }
                recover(ops, &mut columns)?;
                files[0].write_all_at(columns[0], at)?;
            }
            Ok(())
        })
    };
    let mut stripes = Stripes::new();
    let memory = move || {
        timed(4 * 256 * ((MEMBERS - 1) * BLOCK) as u64, || {
            for stripe in (0..4).flat_map(|_| 0..256) {
                recover(ops, &mut stripes.0[stripe].split())?;
            }
            Ok(())
        })
    };
    let turns: Vec<(_, Turn<'_>)> =
        vec![("raid", Box::new(raid)), ("read", Box::new(read)), ("memory", Box::new(memory))];
    Ok(Bench { name: "rebuild".into(), turns })
}

/// Writes by `threads` callers, each with a part of the area or in turns; against one file in the same folder.
fn writes<'a>(place: &'a Place, tuning: &Tuning, threads: usize, len: usize, random: bool) -> Result<Bench<'a>> {
    let (running, _) = place.running(tuning)?;
    let area = place.member_bytes * (MEMBERS as u64 - 2);
    let count = (area / len as u64).clamp(1, if random { 20_000 } else { u64::MAX });
    let plain = File::options().write(true).open(&place.paths[MEMBERS])?;
    let offset = move |number: u64, area: u64| {
        let number = if random { number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11 } else { number };
        // An area smaller than one write (a single round, to see that it runs) is written beyond.
        number % (area / len as u64).max(1) * len as u64
    };
    let all = move |write: &(dyn Fn(u64, &[u8]) -> io::Result<()> + Sync), area: u64| {
        let bytes = vec![0; len];
        let next = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            let work = || -> io::Result<()> {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= count {
                        return Ok(());
                    }
                    write(offset(number, area), &bytes)?;
                }
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| io::Error::other("a panic"))?)
        })
    };
    let raid = move || timed(count * len as u64, || Ok(all(&|at, bytes| running.write_at(at, bytes), area)?));
    let file_bytes = place.member_bytes;
    let file = move || timed(count * len as u64, || Ok(all(&|at, bytes| plain.write_all_at(bytes, at), file_bytes)?));
    let name = format!("{}-{}K-write-by-{threads}", if random { "random" } else { "sequential" }, len >> 10);
    let turns: Vec<(_, Turn<'_>)> = vec![("raid", Box::new(raid)), ("one-file", Box::new(file))];
    Ok(Bench { name, turns })
}

fn measure(where_: &str, mut bench: Bench<'_>, rounds: usize) -> Result<()> {
    let mut rates: Vec<Vec<f64>> = Vec::new();
    for round in 0..rounds {
        let mut found = vec![0.0; bench.turns.len()];
        for turn in 0..found.len() {
            let who = (turn + round) % found.len();
            let (time, bytes) = bench.turns[who].1()?;
            #[expect(clippy::cast_precision_loss, reason = "gigabytes")]
            let rate = bytes as f64 / time.as_secs_f64();
            found[who] = rate;
        }
        rates.push(found);
    }
    let last = bench.turns.len() - 1;
    for (who, (form, _)) in bench.turns.iter().enumerate() {
        let rate = median(rates.iter().map(|round| round[who]));
        let ratio = median(rates.iter().map(|round| round[who] / round[last]));
        println!("measured: host/{where_}-{}/{form} {:.0} {} {ratio:.3}", bench.name, 4096e9 / rate, 4096);
    }
    Ok(())
}

fn median(rates: impl Iterator<Item = f64>) -> f64 {
    let mut rates: Vec<f64> = rates.collect();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() -> Result<()> {
    let full = std::env::args().any(|argument| argument == "--bench");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let (rounds, member_bytes) = if full { (7, 64 << 20) } else { (1, 1 << 20) };
    let tuning = Tuning::default();
    for (where_, folder) in [("memory", Path::new("/dev/shm").to_owned()), ("disk", std::env::temp_dir())] {
        if !folder.is_dir() {
            continue;
        }
        let place = Place::new(tempfile::tempdir_in(folder)?, member_bytes)?;
        type Make<'a> = Box<dyn Fn() -> Result<Bench<'a>> + 'a>;
        let makes: [(&str, Make<'_>); 5] = [
            ("check", Box::new(|| checks(&place, &tuning))),
            ("rebuild", Box::new(|| rebuilds(&place, &tuning))),
            ("random", Box::new(|| writes(&place, &tuning, 4, 4 << 10, true))),
            ("sequential-1M", Box::new(|| writes(&place, &tuning, 4, 1 << 20, false))),
            ("sequential-6M", Box::new(|| writes(&place, &tuning, 1, 6 << 20, false))),
        ];
        for (name, make) in makes {
            if format!("{where_}-{name}").contains(&only) {
                measure(where_, make()?, rounds)?;
            }
        }
    }
    Ok(())
}
