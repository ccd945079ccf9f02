//! Every array that real Linux made, by the tool: what `raid scan` prints is a name, and every verb takes it by that name.
//!
//! One test a case. `scan` prints names; `cat`, `copy` and `serve` by each give the content that the kernel gave, `map`, `explain`,
//! `examine --hex` and `identify` have something to say, or all refuse for one reason. What is read back with members missing is shown in
//! `fixtures.rs` and `lvm.rs`, arrays of BIOS RAIDs in `bios.rs`; here each case also goes without its first member, by the same name: then
//! verbs must agree with each other.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::collections::BTreeMap;
use std::path::Path;

use libtest_mimic::{Arguments, Trial};
use raid_formats::bios::{Kind, Spec};
use raid_testkit::bios_made;
use raid_testkit::fixtures;
use raid_testkit::served::{Served, raid_in};
use raid_user::media::Media as _;
use raid_user::media::nbd::Uri;
use raid_user::nbd::Client;

const RAID: &str = env!("CARGO_BIN_EXE_raid");

/// How the tool ends where a sector cannot be had.
const LOST: i32 = 5;

/// Cases that are no single point in time, or whose recorded hash is of another moment, which `caught.rs` tells one by one; and one of a
/// kind that is not read yet.
fn has_no_hash(case: &str) -> bool {
    ["crash", "degraded", "stopped", "frozen", "badblocks", "integrity"].iter().any(|word| case.contains(word))
}

/// Members and files of a case in a folder.
struct Case {
    folder: tempfile::TempDir,
    members: Vec<String>,
    /// Hash of the content, by the end of the volume's name; nothing if none is recorded.
    hashes: BTreeMap<&'static str, String>,
}

/// What the tool did.
struct Ran {
    code: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl Case {
    fn of_fixture(name: &str) -> Self {
        let fixture = fixtures::load(name);
        // Beside some disks stands a file that is none.
        let disks = fixture.members.iter().filter(|(file, _)| file != "cow.img");
        let mut case = Self::new(disks.map(|(file, bytes)| (file.clone(), bytes.clone())));
        if name.starts_with("imsm-") {
            // The serial numbers that files do not have; the guest's disks were loop devices.
            for (index, member) in case.members.iter().enumerate() {
                let path = case.folder.path().join(format!("{member}.serial"));
                std::fs::write(path, format!("/dev/loop{index}")).unwrap();
            }
        }
        for (end, file) in [("", "content.sha256"), ("snap", "snap-content.sha256")] {
            let recorded = fixture.text(file).split_whitespace().next().filter(|_| !has_no_hash(name));
            case.hashes.extend(recorded.map(|hash| (end, hash.to_owned())));
        }
        case
    }

    fn new(disks: impl Iterator<Item = (String, Vec<u8>)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |(file, bytes): (String, Vec<u8>)| {
            std::fs::write(folder.path().join(&file), bytes).unwrap();
            file
        };
        let members = disks.map(write).collect();
        Self { folder, members, hashes: BTreeMap::new() }
    }

    fn hash(&self, volume: &str) -> Option<&String> {
        let own = self.hashes.iter().rev().find(|(end, _)| volume.ends_with(*end));
        own.map(|(_, hash)| hash)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn raid(&self, arguments: &[&str], members: &[&str]) -> Ran {
        let output = raid_in(RAID, self.path()).args(arguments).args(members).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        Ran { code: output.status.code().unwrap(), stdout: output.stdout, stderr }
    }

    /// Names of what can be opened, as `scan` prints them, each with its size if it opens.
    fn names(&self, members: &[&str]) -> Vec<(String, Option<u64>)> {
        let ran = self.raid(&["scan", "--json"], members);
        let document: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        let layers = document["layers"].as_array().unwrap().iter();
        let opened = layers.filter(|layer| layer["kind"] != "group");
        opened.map(|layer| (layer["name"].as_str().unwrap().to_owned(), layer["size_bytes"].as_u64())).collect()
    }

    /// Runs every verb by each name that `scan` prints of these members.
    fn verbs(&self, members: &[&str], whole: bool) {
        let names = self.names(members);
        assert!(!names.is_empty() || !whole, "scan names nothing");
        for (name, size) in &names {
            self.content(name, *size, members, whole);
            for verb in ["map", "explain"] {
                let ran = self.raid(&[verb, "--volume", name], members);
                let said = !ran.stdout.is_empty() || !ran.stderr.is_empty();
                let told = String::from_utf8_lossy(&ran.stdout);
                let agrees = ran.code == 0 || size.is_none() || verb == "map";
                assert!(said && agrees, "{verb} {name} {size:?}: {} {} {told}", ran.code, ran.stderr);
            }
        }
    }

    /// `cat`, `copy` and `serve` agree, and with what is recorded.
    fn content(&self, name: &str, size: Option<u64>, members: &[&str], whole: bool) {
        let cat = self.raid(&["cat", "--volume", name], members);
        let out = ["out"];
        let copy = self.raid(&["copy", "--volume", name], &[members, &out].concat());
        let copied = std::fs::read(self.path().join("out")).unwrap_or_default();
        drop(std::fs::remove_file(self.path().join("out")));
        drop(std::fs::remove_file(self.path().join("out.raid-copy")));
        assert_eq!(cat.code, copy.code, "{name}: cat: {}, copy: {}", cat.stderr, copy.stderr);
        let served = Served::start(RAID, self.path(), &[&["--socket", "s", "--volume", name], members].concat());
        if cat.code == LOST {
            // A sector that nobody holds ends a copy; a server answers for it when it is asked.
            let due = ["is lost", "is not guessed"].iter().any(|why| cat.stderr.contains(why));
            assert!(served.is_ok() && due && !(whole && self.hash(name).is_some()), "{name}: {}", cat.stderr);
            return;
        }
        if cat.code != 0 {
            let (code, said) = served.unwrap_err();
            assert!(code == cat.code && !said.is_empty(), "{name}: served: {said}, cat: {}", cat.stderr);
            assert!(!cat.stderr.is_empty(), "{name}: refused without a word");
            assert!(!whole || self.hash(name).is_none(), "{name}: {}", cat.stderr);
            return;
        }
        assert_eq!(Some(cat.stdout.len() as u64), size, "{name}");
        assert!(cat.stdout == copied, "{name}: cat and copy differ");
        if let Some(hash) = self.hash(name) {
            assert_eq!(&fixtures::sha256(&cat.stdout), hash, "{name}");
        }
        let served = served.unwrap_or_else(|(code, said)| panic!("{name}: {code} {said}"));
        let socket = self.path().join("s");
        let client = Client::connect(&Uri::parse(&format!("nbd+unix:///?socket={}", socket.display())).unwrap());
        let client = client.unwrap();
        assert_eq!(Some(client.size_bytes()), size, "{name}");
        let middle = cat.stdout.len() / 1024 * 512;
        for at in [0, middle, cat.stdout.len() - 4096] {
            let mut bytes = [0; 4096];
            client.read_at(at as u64, &mut bytes).unwrap();
            assert!(cat.stdout[at..].starts_with(&bytes), "{name}: served, from {at}");
        }
        drop(client);
        assert_eq!(served.stop().0, 0, "{name}");
    }

    /// What each member is, by itself.
    fn members(&self) {
        for member in &self.members {
            let identified = self.raid(&["identify", "--json"], &[member]);
            let document: serde_json::Value = serde_json::from_slice(&identified.stdout).unwrap();
            let kind = document["files"][0]["kind"].as_str().unwrap().to_owned();
            let examined = self.raid(&["examine", "--hex"], &[member]);
            assert_eq!(examined.code == 0, kind != "data" && kind != "disk", "{member}: {kind}, {}", examined.stderr);
            assert!(examined.code != 0 || examined.stdout.contains(&b'|'), "{member}: no bytes are shown");
        }
    }

    fn run(&self, named: bool) {
        let members: Vec<&str> = self.members.iter().map(String::as_str).collect();
        self.members();
        if named {
            self.verbs(&members, true);
            if members.len() > 1 {
                self.verbs(&members[1..], false);
            }
        } else {
            // Its place in an array only a table tells, which is how `lvm.rs` reads it.
            assert!(self.names(&members).is_empty());
        }
    }
}

fn trial(name: String, run: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        run();
        Ok(())
    })
}

/// An array of a BIOS RAID that we made, if the format has it.
fn of_bios(kind: Kind, spec: &Spec) -> Option<Case> {
    let disks = bios_made::media(kind, spec)?.into_iter().enumerate();
    let mut case = Case::new(disks.map(|(slot, disk)| (format!("d{slot}.img"), disk)));
    // The record of the oldest HighPoint lies in the data of its first disk.
    if kind.unwritable().is_none() {
        case.hashes.insert("", fixtures::sha256(bios_made::content(spec, 0)));
    }
    Some(case)
}

fn main() {
    let fixture = |name: String| {
        let named = !name.starts_with("dmraid-");
        trial(name.clone(), move || Case::of_fixture(&name).run(named))
    };
    let mut trials: Vec<Trial> = fixtures::list().into_iter().map(fixture).collect();
    for kind in Kind::all() {
        let name = format!("bios-{}", kind.format().name());
        trials.push(trial(name, move || {
            let cases: Vec<Case> = bios_made::specs().iter().filter_map(|spec| of_bios(kind, spec)).collect();
            assert!(!cases.is_empty());
            cases.iter().for_each(|case| case.run(true));
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
