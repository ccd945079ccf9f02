//! `raid serve` of a RAID 6 of eight members that are files in memory, against nbdkit on the same kind of socket: its plugin that
//! keeps bytes in memory, and its plugin that serves one plain file there.
//!
//! Clients are fio's NBD engine with 16 requests in flight and nbdcopy. Rounds of all forms are interleaved, and each starts its
//! servers anew; the ratio is the median of those of single rounds, to nbdkit's memory. `cargo bench -p raid-benches --bench serve`, or by
//! `cargo xtask bench serve` into the results; as a test (without `--bench`) one short round.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use raid_testkit::served::{Served, raid_in};

/// Of each member, and of nbdkit's file and memory the six times of it that the array has.
const MEMBER_BYTES: u64 = 128 << 20;
const MEMBERS: usize = 8;
/// Of what is served, that fio works on.
const AREA: &str = "512m";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Clone, Copy)]
enum Client {
    /// With these arguments.
    Fio(&'static str),
    /// All of it, to nowhere.
    Nbdcopy,
}

/// What is done, by whom, and how many bytes one operation moves.
const LOADS: [(&str, Client, u64); 6] = [
    ("sequential-256K-read", Client::Fio("--rw=read --bs=256k --iodepth=16"), 256 << 10),
    ("nbdcopy-to-null", Client::Nbdcopy, 256 << 10),
    ("random-4K-read", Client::Fio("--rw=randread --bs=4k --iodepth=16"), 4096),
    ("random-4K-write", Client::Fio("--rw=randwrite --bs=4k --iodepth=16"), 4096),
    ("random-4K-read-alone", Client::Fio("--rw=randread --bs=4k --iodepth=1"), 4096),
    ("sequential-1M-write", Client::Fio("--rw=write --bs=1m --iodepth=4"), 1 << 20),
];

/// The servers; the last is what the others are compared to.
const FORMS: [&str; 4] = ["raid", "raid-read-only", "nbdkit-file", "nbdkit-memory"];

fn main() -> Result<()> {
    let full = std::env::args().any(|argument| argument == "--bench");
    let raid = std::env::current_exe()?.parent().and_then(Path::parent).ok_or("no folder of programs")?.join("raid");
    let missing = ["fio", "nbdkit", "nbdcopy"].iter().any(|tool| raid_testkit::tool(tool).is_none());
    match (full, raid.exists()) {
        (true, false) => return Err(format!("{}: build it: cargo build --release -p raid-user", raid.display()).into()),
        (false, false) => {
            raid_testkit::skipped("the raid binary");
            return Ok(());
        }
        (true, true) if missing => return Err("a client or a peer is missing".into()),
        (false, true) if missing => return Ok(()),
        _ => {}
    }
    // So that one load alone can be looked at.
    let only = std::env::var("RAID_SERVE_LOAD").unwrap_or_default();
    let rounds = if full { 5 } else { 1 };
    for (name, client, bytes) in LOADS.into_iter().filter(|(name, ..)| name.contains(&only)) {
        let mut rates = Vec::new();
        for _ in 0..rounds {
            rates.push(round(raid.to_str().ok_or("a path that is no text")?, client)?);
        }
        for (form, server) in FORMS.iter().enumerate() {
            let rate = |round: &[Option<f64>]| round.get(form).copied().flatten();
            let ratio = |round: &[Option<f64>]| Some(rate(round)? / round.last().copied().flatten()?);
            let Some(found) = median(rates.iter().filter_map(|round| rate(round))) else { continue };
            let ratio = median(rates.iter().filter_map(|round| ratio(round))).ok_or("nothing to compare to")?;
            #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
            let time_ns = bytes as f64 / found * 1e9;
            println!("measured: serve/{name}/{server} {time_ns:.0} {bytes} {ratio:.3}");
        }
    }
    Ok(())
}

/// Bytes a second of every form, in their order; a form that does not do this has none.
fn round(raid: &str, client: Client) -> Result<Vec<Option<f64>>> {
    let folder = tempfile::tempdir()?;
    let memory = tempfile::tempdir_in("/dev/shm")?;
    let members = members(raid, folder.path(), memory.path())?;
    let names: Vec<&str> = members.iter().filter_map(|path| path.to_str()).collect();
    let writes = matches!(client, Client::Fio(arguments) if arguments.contains("write"));
    let mut rates = Vec::new();
    for arguments in [&["--write", "--socket", "s"][..], &["--socket", "s"]] {
        if writes && arguments.len() < 3 {
            rates.push(None);
            continue;
        }
        let served = Served::start(raid, folder.path(), &[arguments, &names[..]].concat()).map_err(|(_, said)| said)?;
        let rate = ask(&folder.path().join("s"), client);
        if served.stop().0 != 0 {
            return Err("not stopped in order".into());
        }
        rates.push(Some(rate?));
    }
    // Not by a hole: nbdkit tells of those, and a client does not read them.
    let (plain, size) = (memory.path().join("plain"), MEMBER_BYTES * (MEMBERS as u64 - 2));
    fill(&plain, size)?;
    let plain = plain.to_str().ok_or("a path that is no text")?;
    let data = format!("data=0xA5*{size}");
    for plugin in [&["file", plain][..], &["data", &data]] {
        let kit = Kit::start(&folder.path().join("kit"), plugin)?;
        rates.push(Some(ask(&kit.socket, client)?));
    }
    Ok(rates)
}

/// The members of a new array, full of bytes.
fn members(raid: &str, folder: &Path, memory: &Path) -> Result<Vec<PathBuf>> {
    let members: Vec<PathBuf> = (0..MEMBERS).map(|slot| memory.join(format!("d{slot}"))).collect();
    for member in &members {
        fill(member, MEMBER_BYTES)?;
    }
    let create = ["create", "--assume-clean", "--chunk", "512K", "--level", "6"];
    let made = raid_in(raid, folder).args(create).args(&members).stdout(Stdio::null()).status()?;
    if made.success() { Ok(members) } else { Err("no array was made".into()) }
}

fn fill(path: &Path, size_bytes: u64) -> Result<()> {
    let mut bytes = std::io::Read::take(std::io::repeat(0xA5), size_bytes);
    std::io::copy(&mut bytes, &mut File::create(path)?)?;
    Ok(())
}

/// An nbdkit that serves; killed when it is dropped.
struct Kit {
    child: Child,
    socket: PathBuf,
}

impl Kit {
    fn start(socket: &Path, plugin: &[&str]) -> Result<Self> {
        let child = Command::new("nbdkit").arg("-f").arg("-U").arg(socket).args(plugin).spawn()?;
        let kit = Self { child, socket: socket.to_owned() };
        while !kit.socket.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(kit)
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        // It may be gone already; its socket is not taken away by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Bytes a second.
fn ask(socket: &Path, client: Client) -> Result<f64> {
    let uri = format!("nbd+unix:///?socket={}", socket.display());
    match client {
        Client::Nbdcopy => {
            let start = Instant::now();
            let copied = Command::new("nbdcopy").args([&uri, "null:"]).status()?;
            #[expect(clippy::cast_precision_loss, reason = "less than a gigabyte")]
            let bytes = (MEMBER_BYTES * (MEMBERS as u64 - 2)) as f64;
            if copied.success() { Ok(bytes / start.elapsed().as_secs_f64()) } else { Err("nbdcopy failed".into()) }
        }
        Client::Fio(arguments) => {
            let mut fio = Command::new("fio");
            fio.args(["--name=s", "--ioengine=nbd", "--thread", "--minimal", "--time_based", "--runtime=1"]);
            fio.arg(format!("--uri={uri}")).arg(format!("--size={AREA}")).args(arguments.split(' '));
            rate(&String::from_utf8_lossy(&fio.output()?.stdout))
        }
    }
}

/// Bytes a second read or written, from fio's terse output (its manual, "TERSE OUTPUT", version 3: fields 7 and 48, KiB a second).
fn rate(said: &str) -> Result<f64> {
    let line = said.lines().find(|line| line.starts_with("3;fio-"));
    let field = |line: &str, number: usize| line.split(';').nth(number)?.parse::<f64>().ok();
    let found = line.and_then(|line| Some(field(line, 6)?.max(field(line, 47)?))).filter(|rate| *rate > 0.0);
    found.map(|rate| rate * 1024.0).ok_or_else(|| format!("fio measured nothing: {said}").into())
}

fn median(rates: impl Iterator<Item = f64>) -> Option<f64> {
    let mut rates: Vec<f64> = rates.collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}
