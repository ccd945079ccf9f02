//! The tool from outside: what it prints, how it exits, what it refuses, and that it writes to nothing.
//!
//! Output is compared with snapshots; `cargo insta review` shows what changed.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

mod bad_input;
mod bios;
mod check;
mod conflicts;
mod create;
mod explain;
mod output;
mod replace;
mod running;
mod transfer;
mod volumes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use raid_testkit::fixtures;
use tempfile::TempDir;

/// A folder of members and files to run the tool in.
struct Folder(TempDir);

/// What the tool did.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With these members of a fixture, named `PREFIXdN.img`.
    fn with(self, case: &str, prefix: &str, members: &[usize]) -> Self {
        let fixture = fixtures::load(case);
        for index in members {
            let (name, bytes) = &fixture.members[*index];
            self.file(&format!("{prefix}{name}"), bytes);
        }
        self
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs the tool in the folder. Every line for people must fit 80 columns, and no file may change.
    fn raid(&self, arguments: &[&str]) -> Ran {
        let before = self.contents();
        let output =
            Command::new(env!("CARGO_BIN_EXE_raid")).args(arguments).current_dir(self.path()).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        // `identify` is for other programs' eyes, too: one line each, however long.
        let text = !arguments.contains(&"--json") && !["cat", "identify"].contains(&arguments[0]);
        for line in stdout.lines().filter(|_| text).chain(stderr.lines()) {
            assert!(line.chars().count() <= 80, "{arguments:?} prints {} columns: {line}", line.chars().count());
        }
        for (path, bytes) in before {
            assert!(fs::read(&path).unwrap() == bytes, "{} was changed by {arguments:?}", path.display());
        }
        Ran { code: output.status.code().unwrap(), stdout, stderr }
    }

    fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.is_file());
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

#[test]
fn every_verb_has_help_that_fits() {
    let folder = Folder::new();
    let help = folder.raid(&["--help"]);
    assert_eq!(help.code, 0);
    assert!(help.stdout.contains("Exit codes:"));
    let verbs = "scan examine explain map create serve status \
                 add fail remove rebuild check repair pause resume limit copy cat compare demo completions man";
    for verb in verbs.split(' ') {
        assert!(help.stdout.contains(verb), "{verb}");
        assert_eq!(folder.raid(&[verb, "--help"]).code, 0);
    }
}

#[test]
fn completions_and_man_pages_are_made() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(env!("CARGO_BIN_EXE_raid")).args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("raid"));
    }
    assert_eq!(folder.raid(&["man", "pages"]).code, 0);
    let page = fs::read_to_string(folder.path().join("pages/raid-scan.1")).unwrap();
    assert!(page.contains("raid"), "{page}");
}

#[test]
fn the_demo_proves_every_byte() {
    let folder = Folder::new();
    let ran = folder.raid(&["demo", "--keep", "kept"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("Proved 62914560 bytes"), "{}", ran.stdout);
    // What is left on disk is an array by anybody's word.
    let left = fs::read_dir(folder.path().join("kept")).unwrap().count();
    assert_eq!(left, 4);
    let document: serde_json::Value = serde_json::from_str(&folder.raid(&["demo", "--json"]).stdout).unwrap();
    assert_eq!((&document["schema"], &document["proved_bytes"]), (&"raid.demo/1".into(), &62_914_560.into()));
}
