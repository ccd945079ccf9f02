//! A real Linux kernel as a process: Debian's user-mode-linux with md as a module, and mdadm. The oracle of what we write.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{skipped, tool};

/// Seconds after which a guest is taken to hang.
const SECONDS_MAX: &str = "120";
/// The line behind which a guest's words count; it proves that the script ran.
const STARTED: &str = "GUEST-STARTED";

/// Boots a guest that runs `script` with `disks` as `/dev/ubdb`, `/dev/ubdc` and so on, at most 15, writable. What it printed; nothing,
/// and a line that says so, if the machine lacks a part.
///
/// # Panics
/// If the guest does not come to the script, or `folder` cannot be written to.
#[must_use]
pub fn run(folder: &Path, script: &str, disks: &[PathBuf]) -> Option<String> {
    let output = guest(folder, script, disks)?.output().expect("the guest runs");
    Some(behind_start(&String::from_utf8_lossy(&output.stdout)))
}

/// As [`run`], but the guest is killed with all its processes, as if the power had failed, as soon as it printed a line that is `word`.
///
/// # Panics
/// As [`run`], and if the guest ends without that word.
#[must_use]
pub fn run_and_kill(folder: &Path, script: &str, disks: &[PathBuf], word: &str) -> Option<String> {
    // User-mode Linux is several processes, in a group of its own.
    let mut child =
        guest(folder, script, disks)?.process_group(0).stdout(Stdio::piped()).spawn().expect("the guest runs");
    let mut said = String::new();
    let mut lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines().map_while(Result::ok);
    let seen = lines.any(|line| {
        said += &(line.clone() + "\n");
        line.trim() == word
    });
    let kernel = fs::read_to_string(folder.join("pid")).expect("the guest has started");
    let killed = Command::new("kill").args(["-KILL", "--", &format!("-{}", kernel.trim())]).status();
    drop(child.wait());
    // Its processes die one after the other; the disks are at rest when nobody holds the pipe any more.
    lines.for_each(drop);
    assert!(seen && killed.is_ok_and(|status| status.success()), "the guest ended before it said {word}: {said}");
    Some(behind_start(&said))
}

/// What the guest said from the script on.
fn behind_start(said: &str) -> String {
    let (_, said) = said.split_once(STARTED).unwrap_or_else(|| panic!("the guest did not start: {said}"));
    said.to_owned()
}

fn guest(folder: &Path, script: &str, disks: &[PathBuf]) -> Option<Command> {
    let (linux, timeout) = (tool("linux.uml")?, tool("timeout")?);
    tool("mdadm")?;
    let shim = shim(folder)?;
    let init = folder.join("init.sh");
    let text = format!("{}echo {STARTED}\n{script}\npoweroff -f\n", include_str!("prelude.sh"));
    fs::write(&init, text).expect("the folder can be written to");
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).expect("own file");
    let drives = ('b'..'q').zip(disks).map(|(letter, disk)| format!("ubd{letter}={}", disk.display()));
    let mut command = Command::new(timeout);
    command
        .arg(SECONDS_MAX)
        // Its own number is the kernel's, which leads the group.
        .args(["sh", "-c", "echo $$ > \"$0\" && exec setsid \"$@\""])
        .arg(folder.join("pid"))
        .arg(linux)
        .args(["mem=384M", "rootfstype=hostfs", "rootflags=/", "ro", "con=null", "con0=fd:0,fd:1", "quiet"])
        .arg(format!("init={}", init.display()))
        .args(drives)
        .env("LD_PRELOAD", shim)
        .env("TMPDIR", folder)
        .stdin(Stdio::null());
    Some(command)
}

/// Compiles the shim that lets user-mode Linux run on CPUs with much state.
fn shim(folder: &Path) -> Option<PathBuf> {
    let (source, object) = (folder.join("xstate-shim.c"), folder.join("xstate-shim.so"));
    fs::write(&source, include_str!("xstate-shim.c")).expect("the folder can be written to");
    let compiled = Command::new(tool("cc")?).args(["-O2", "-shared", "-fPIC", "-o"]).arg(&object).arg(&source).status();
    if compiled.is_ok_and(|status| status.success()) {
        return Some(object);
    }
    skipped("a C compiler that makes the shim of user-mode-linux");
    None
}
