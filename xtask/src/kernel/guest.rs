//! The guest: busybox, a few programs with their libraries, the modules and the tests; booted, and listened to.

use std::{
    collections::{BTreeSet, VecDeque},
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use super::Choice;
use super::archive::{Archive, Kind};
use super::dice::Dice;
use super::linux::Kernel;
use super::machine::{BEST_CPU, Start};
use super::running::GUEST;
use crate::command::{command, find, output, root};
use crate::test::count::Counts;

/// Programs besides busybox, whose own `cmp` goes byte by byte.
const PROGRAMS: [&str; 7] = ["dmsetup", "mdadm", "mdmon", "blkdiscard", "mke2fs", "e2fsck", "cmp"];

/// Folders that the guest mounts things on, or finds things in.
const FOLDERS: [&str; 7] = ["sbin", "dev", "proc", "sys", "tmp", "run", "etc"];

/// What runs in the guest: helpers, then tests in the order in which they run.
const SCRIPTS: [&str; 16] = [
    "lib.sh",
    "10-target.sh",
    "20-levels.sh",
    "30-faults.sh",
    "40-tables.sh",
    "50-metadata.sh",
    "60-messages.sh",
    "65-traces.sh",
    "70-spares.sh",
    "80-zeroes.sh",
    "85-auto.sh",
    "87-containers.sh",
    "90-files.sh",
    "95-exercisers.sh",
    "cut.sh",
    "speed.sh",
];

/// The longest that a guest may take.
const LONGEST: Duration = Duration::from_secs(1500);

/// How many times longer all takes in a kernel that watches itself, beside other builds; or on a machine that is emulated.
const SLOW_TAKES: u32 = 5;

/// Emulated processors, and the parity code that the module must choose on each. QEMU of Debian 12 emulates no AVX-512 and no GFNI;
/// code for those runs in the kernel that is a process.
const CPUS: [(&str, &str); 3] = [(BEST_CPU, "avx2"), ("Nehalem", "ssse3"), ("qemu64", "portable")];

/// Tests that are about them.
const OF_CPUS: &str = "parity_is_by,parity_of_this,run_without_a_member";

/// Bytes that traces write from.
const PATTERN_BYTES: usize = 1 << 20;

/// Lines that are shown of a guest that dies.
const LAST_WORDS: usize = 40;

/// What the guest begins the line of an outcome with.
const TEST: &str = "test: ";

/// Writes the guest's first file system, with these programs, or paths of some, beside those that every guest has.
///
/// # Errors
/// If a program or module is not there.
pub(super) fn fill(image: &Path, modules: &[&Path], more: &[&str]) -> Result<()> {
    let mut libraries = BTreeSet::new();
    let mut files = vec![(PathBuf::from("/bin/busybox"), "bin/busybox".to_owned())];
    let named = |path: &Path, folder: &str| -> (PathBuf, String) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        (path.to_owned(), format!("{folder}{name}"))
    };
    for program in PROGRAMS.iter().chain(more) {
        let path = find(program).with_context(|| format!("no {program}"))?;
        let words = output(command("ldd").arg(&path))?;
        libraries.extend(words.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
        files.push(named(&path, "bin/"));
    }
    files.extend(libraries.into_iter().map(|library| {
        let name = library.display().to_string().trim_start_matches('/').to_owned();
        (library, name)
    }));
    files.extend(modules.iter().map(|module| named(module, "modules/")));
    let scripts = root().join("raid-kmod/tests/guest");
    files.push(named(&scripts.join("init"), ""));
    files.extend(SCRIPTS.iter().map(|script| named(&scripts.join(script), "tests/")));
    for trace in fs::read_dir(root().join("tests/traces"))? {
        files.push(named(&trace?.path(), "tests/"));
    }
    let mut folders: BTreeSet<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
    for (_, name) in &files {
        folders.extend(
            Path::new(name).ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned),
        );
    }

    let mut archive = Archive::new(BufWriter::new(File::create(image)?));
    // A folder sorts before what is in it.
    for folder in &folders {
        archive.add(&folder.display().to_string(), Kind::Folder, &[])?;
    }
    for (path, name) in &files {
        let bytes = fs::read(path).with_context(|| format!("no {}", path.display()))?;
        archive.add(name, Kind::File, &bytes)?;
    }
    archive.add("tests/pattern", Kind::File, &pattern())?;
    let taken: BTreeSet<&str> = PROGRAMS.into_iter().chain(["busybox"]).collect();
    for name in output(command("/bin/busybox").arg("--list"))?.lines().filter(|name| !taken.contains(name)) {
        archive.add(&format!("bin/{name}"), Kind::Link, b"busybox")?;
    }
    archive.finish()?;
    Ok(())
}

/// The bytes that traces write, from 1 on, as `raid-user/tests/traces/trace.rs` makes them.
pub(super) fn pattern() -> Vec<u8> {
    let mut dice = Dice(1);
    (0..PATTERN_BYTES / 8).flat_map(|_| dice.next().to_le_bytes()).collect()
}

/// Boots the guest and counts what it says. In a hurry, it leaves out what is slow. An emulated machine is booted once for each of
/// its processors, for some of the tests if nothing else is said; or, if it watches itself, on the best of them for all.
///
/// # Errors
/// If it cannot be started.
pub(super) fn run(kernel: &Kernel, image: &Path, choice: Choice<'_>) -> Result<Counts> {
    let mut counts = Counts::default();
    if kernel.machine.is_emulated() {
        for (cpu, parity) in CPUS.into_iter().filter(|(cpu, _)| !choice.debug || *cpu == BEST_CPU) {
            println!("a processor {cpu}, for parity by {parity}");
            let filter = match choice.filter {
                "" if choice.debug || (choice.whole && cpu == BEST_CPU) => "",
                "" => OF_CPUS,
                filter => filter,
            };
            counts += boot(kernel, image, cpu, &format!("raid_parity={parity}"), Choice { filter, ..choice })?;
        }
    } else {
        let word = if choice.two { "ncpus=2" } else { "" };
        counts = boot(kernel, image, BEST_CPU, word, choice)?;
    }
    if counts.passed + counts.failed + counts.skipped == 0 {
        println!("no test of the guest has {} in its name", choice.filter);
        counts += Counts::fail();
    }
    Ok(counts)
}

fn boot(kernel: &Kernel, image: &Path, cpu: &'static str, word: &str, choice: Choice<'_>) -> Result<Counts> {
    let times = if choice.debug || choice.x86 { SLOW_TAKES } else { 1 };
    let hurry = if choice.hurry { "raid_hurry=1" } else { "" };
    // What watches memory needs a part of it.
    let megabytes = if choice.debug && choice.x86 { 2048 } else { 1024 };
    let start = Start { cpu, ..Start::new(kernel, image, megabytes, LONGEST * times) };
    let (only, hz) = (choice.filter, kernel.ticks()?);
    let mut guest = start.spawn(&format!("raid_only={only} raid_times={times} raid_hz={hz} {hurry} {word}"))?;
    let mut counts = Counts::default();
    let (mut ended, mut last) = (false, VecDeque::new());
    while let Some(line) = guest.line() {
        counts += outcome(&line);
        ended |= line.starts_with(&format!("{GUEST}done"));
        if line.starts_with(TEST) || line.starts_with(GUEST) || line.starts_with("  ") {
            println!("{line}");
        }
        last.push_back(line);
        last.drain(..last.len().saturating_sub(LAST_WORDS));
    }
    if !ended {
        println!("the guest ended early; its last words:");
        last.iter().for_each(|line| println!("  kernel: {line}"));
        counts += Counts::fail();
    }
    Ok(counts)
}

/// What a line of the guest counts for.
fn outcome(line: &str) -> Counts {
    match line.strip_prefix(TEST).map(|words| words.split_once(' ').unwrap_or((words, ""))) {
        Some(("ok", _)) => Counts::pass(),
        Some(("FAILED", _)) => Counts::fail(),
        Some(("skipped", why)) => Counts::skip(vec![format!("kernel: {why}")]),
        _ => Counts::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_guest_are_counted() {
        assert_eq!(outcome("test: ok raid5"), Counts::pass());
        assert_eq!(outcome("test: FAILED raid5: why"), Counts::fail());
        assert_eq!(outcome("test: skipped fs: no mke2fs"), Counts::skip(vec!["kernel: fs: no mke2fs".to_owned()]));
        assert_eq!(outcome("guest: up"), Counts::default());
    }
}
