//! `raid examine` against `mdadm --examine` over the same member images, with a timer of its own.
//!
//! The members are those of the fixtures, again and again, reduced to the areas where metadata lie: the data between are
//! holes, and neither tool reads them. Rounds of all forms are interleaved, so that a slow moment of the machine meets all; what
//! counts is the median. Everything is in the page cache, and both write to nowhere.
//!
//! `cargo bench -p raid-benches --bench examine`; as a test (without `--bench`), a few images and one round.

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use raid_testkit::fixtures;

/// Kept of a member at each end. No format's metadata lie deeper in these fixtures.
const KEPT_BYTES: usize = 256 << 10;
const BLOCK_BYTES: usize = 4096;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How much of a measurement to make.
struct Plan {
    images: usize,
    rounds: usize,
    /// Rounds in which mdadm also runs once a file, as people run it. It takes a second.
    rounds_once_a_file: usize,
}

fn main() -> Result<()> {
    let full = std::env::args().any(|argument| argument == "--bench");
    let plan = if full {
        Plan { images: 1000, rounds: 21, rounds_once_a_file: 5 }
    } else {
        Plan { images: 8, rounds: 1, rounds_once_a_file: 1 }
    };
    let raid = built_tool()?;
    if !raid.exists() {
        let build = "build it first: cargo build --release -p raid-user";
        return if full { Err(format!("{}: {build}", raid.display()).into()) } else { skip("the raid binary") };
    }
    let Some(mdadm) = raid_testkit::tool("mdadm") else { return if full { Err("no mdadm".into()) } else { Ok(()) } };
    let folder = tempfile::tempdir()?;
    let images = make_images(folder.path(), plan.images)?;
    measure(&plan, &raid, &mdadm, &images)
}

fn skip(what: &str) -> Result<()> {
    raid_testkit::skipped(what);
    Ok(())
}

/// The `raid` of the profile that this benchmark was built in: two folders up.
fn built_tool() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().and_then(Path::parent).ok_or("no folder of programs")?.join("raid"))
}

/// Sparse images of so many members, in turn from all fixtures of MD.
fn make_images(folder: &Path, count: usize) -> Result<Vec<PathBuf>> {
    let cases = fixtures::list().into_iter().filter(|name| name.starts_with("md-"));
    let members: Vec<Vec<u8>> =
        cases.flat_map(|name| fixtures::load(&name).members).map(|(_, bytes)| bytes).take(count).collect();
    let mut images = Vec::new();
    for (index, bytes) in members.iter().cycle().take(count).enumerate() {
        let path = folder.join(format!("member{index:04}.img"));
        let image = File::create(&path)?;
        image.set_len(bytes.len() as u64)?;
        for (number, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
            let at = number * BLOCK_BYTES;
            let kept = at < KEPT_BYTES || at + KEPT_BYTES >= bytes.len();
            if kept && block.iter().any(|byte| *byte != 0) {
                image.write_all_at(block, at as u64)?;
            }
        }
        images.push(path);
    }
    Ok(images)
}

fn measure(plan: &Plan, raid: &Path, mdadm: &Path, images: &[PathBuf]) -> Result<()> {
    let (mut ours, mut theirs, mut once_a_file) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        ours.push(time(Command::new(raid).arg("examine").args(images))?);
        theirs.push(time(Command::new(mdadm).arg("--examine").args(images))?);
        if round < plan.rounds_once_a_file {
            let mut sum = Duration::ZERO;
            for image in images {
                sum += time(Command::new(mdadm).arg("--examine").arg(image))?;
            }
            once_a_file.push(sum);
        }
    }
    let case = format!("{}-members", images.len());
    for (form, times) in [("raid", ours), ("mdadm", theirs), ("mdadm-once-a-file", once_a_file)] {
        println!("measured: examine/{case}/{form} {}", median(times).ok_or("no rounds")?.as_nanos());
    }
    Ok(())
}

/// The time of a command from its start to its end. One that fails measures nothing.
fn time(command: &mut Command) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let took = start.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{:?}: {status}", command.get_program()).into()) }
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}
