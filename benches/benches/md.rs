//! `raid serve --write` against Linux md on the same machine, both on members that are files in memory.
//!
//! Ours is reached by fio's NBD engine over a Unix socket; md runs in user-mode Linux, its members are the same files as ubd disks,
//! and fio runs beside it with libaio and O_DIRECT. Neither way is free, so each has a floor: nbdkit that serves one plain file, and one
//! bare ubd disk. What the floors say of each other is what the two ways cost; md in its own home (the host's kernel) is not measured here.
//!
//! Rounds of all forms are interleaved; what counts is the median. `cargo bench -p raid-benches --bench md`; as a test (without
//! `--bench`) one short round of RAID 5.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use raid_testkit::served::{Served, raid_in};
use raid_testkit::uml;

/// Of each member.
const MEMBER_BYTES: u64 = 128 << 20;
/// Of the array, that is written to.
const AREA: &str = "100m";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One workload.
struct Load {
    name: &'static str,
    /// For fio.
    arguments: &'static str,
    /// What one operation moves.
    bytes: u64,
}

const LOADS: [Load; 2] = [
    Load { name: "random-4K-write", arguments: "--rw=randwrite --bs=4k --iodepth=16", bytes: 4096 },
    Load { name: "sequential-1M-write", arguments: "--rw=write --bs=1m --iodepth=4", bytes: 1 << 20 },
];

const LEVELS: [(&str, usize); 4] = [("1", 2), ("5", 4), ("6", 5), ("10", 4)];

fn main() -> Result<()> {
    let full = std::env::args().any(|argument| argument == "--bench");
    let raid = std::env::current_exe()?.parent().and_then(Path::parent).ok_or("no folder of programs")?.join("raid");
    if !raid.exists() {
        let build = "build it first: cargo build --release -p raid-user";
        if full {
            return Err(format!("{}: {build}", raid.display()).into());
        }
        raid_testkit::skipped("the raid binary");
        return Ok(());
    }
    if ["fio", "nbdkit", "linux.uml", "mdadm"].iter().any(|tool| raid_testkit::tool(tool).is_none()) {
        return if full { Err("a peer is missing".into()) } else { Ok(()) };
    }
    let (rounds, seconds, levels) = if full { (3, 2, &LEVELS[..]) } else { (1, 1, &LEVELS[1..2]) };
    for (level, members) in levels {
        for load in &LOADS {
            measure(&raid, level, *members, load, rounds, seconds)?;
        }
    }
    Ok(())
}

fn measure(raid: &Path, level: &str, members: usize, load: &Load, rounds: usize, seconds: u32) -> Result<()> {
    let raid = raid.to_str().ok_or("a path that is no text")?;
    let mut forms: [(&str, Vec<f64>); 4] =
        [("raid", vec![]), ("nbdkit-one-file", vec![]), ("ubd-one-disk", vec![]), ("md-in-uml", vec![])];
    for _ in 0..rounds {
        let fio = format!(
            "fio --name=w {} --size={AREA} --time_based --runtime={seconds} --minimal --thread",
            load.arguments
        );
        let members = Members::new(raid, level, members)?;
        forms[0].1.push(ours(raid, &members, &fio)?);
        forms[1].1.push(nbdkit(&members, &fio)?);
        // The guest's clock and fio's threads want a moment before they are counted.
        let guest = format!("{fio} --ioengine=libaio --direct=1 --ramp_time=1");
        forms[2].1.push(linux(&members, &format!("{guest} --filename=/dev/ubdb"))?);
        let members = Members::new(raid, level, members.disks.len())?;
        let devices: String = ('b'..).zip(&members.disks).map(|(letter, _)| format!(" /dev/ubd{letter}")).collect();
        let script = format!(
            "mdadm --assemble /dev/md0 --run{devices} 2>&1\n{guest} --filename=/dev/md0\nmdadm --stop /dev/md0"
        );
        forms[3].1.push(linux(&members, &script)?);
    }
    for (form, mut rates) in forms {
        rates.sort_by(f64::total_cmp);
        let rate = rates.get(rates.len() / 2).ok_or("no rounds")?;
        #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
        let time_ns = load.bytes as f64 / rate * 1e9;
        println!("measured: md/raid{level}-{}/{form} {time_ns:.0} {}", load.name, load.bytes);
    }
    Ok(())
}

/// New members of an array in memory.
struct Members {
    /// For sockets and the guest's script, which a guest does not find in the host's /dev.
    folder: tempfile::TempDir,
    #[expect(dead_code, reason = "the disks lie in it")]
    memory: tempfile::TempDir,
    disks: Vec<PathBuf>,
}

impl Members {
    fn new(raid: &str, level: &str, count: usize) -> Result<Self> {
        let (folder, memory) = (tempfile::tempdir()?, tempfile::tempdir_in("/dev/shm")?);
        let disks: Vec<PathBuf> = (0..count).map(|slot| memory.path().join(format!("d{slot}"))).collect();
        for disk in &disks {
            File::create(disk)?.set_len(MEMBER_BYTES)?;
        }
        let create = ["create", "--assume-clean", "--chunk", "64K", "--level", level];
        let made = raid_in(raid, folder.path()).args(create).args(&disks).stdout(Stdio::null()).status()?;
        if made.success() { Ok(Self { folder, memory, disks }) } else { Err("no array was made".into()) }
    }
}

/// Bytes a second through our server.
fn ours(raid: &str, members: &Members, fio: &str) -> Result<f64> {
    let names: Vec<&str> = members.disks.iter().filter_map(|disk| disk.to_str()).collect();
    let arguments = [&["--write", "--socket", "s"], &names[..]].concat();
    let served = Served::start(raid, members.folder.path(), &arguments).map_err(|(_, said)| said)?;
    over_nbd(&members.folder.path().join("s"), fio)
        .and_then(|rate| if served.stop().0 == 0 { Ok(rate) } else { Err("not stopped in order".into()) })
}

/// Bytes a second through nbdkit, to the first member's file as it is.
fn nbdkit(members: &Members, fio: &str) -> Result<f64> {
    let (socket, disk) = (members.folder.path().join("kit"), members.disks.first().ok_or("no members")?);
    let mut kit = Command::new("nbdkit").arg("-f").arg("-U").arg(&socket).arg("file").arg(disk).spawn()?;
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let rate = over_nbd(&socket, fio);
    kit.kill()?;
    kit.wait()?;
    rate
}

fn over_nbd(socket: &Path, fio: &str) -> Result<f64> {
    let uri = format!("--uri=nbd+unix:///?socket={}", socket.display());
    let mut words = fio.split(' ');
    let output = Command::new(words.next().unwrap_or_default()).args(words).args(["--ioengine=nbd", &uri]).output()?;
    rate(&String::from_utf8_lossy(&output.stdout))
}

/// Bytes a second of the fio that the script runs in a guest.
fn linux(members: &Members, script: &str) -> Result<f64> {
    rate(&uml::run(members.folder.path(), script, &members.disks).ok_or("no user-mode Linux")?)
}

/// Bytes a second written, from fio's terse output (its manual, "TERSE OUTPUT", version 3: field 48 is KiB a second).
fn rate(said: &str) -> Result<f64> {
    let line = said.lines().find(|line| line.starts_with("3;fio-"));
    let field = line.and_then(|line| line.split(';').nth(47)?.parse::<f64>().ok()).filter(|rate| *rate > 0.0);
    field.map(|rate| rate * 1024.0).ok_or_else(|| format!("fio measured nothing: {said}").into())
}
