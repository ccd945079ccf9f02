//! `raid create` makes what it says, and overwrites nothing that anybody could miss.

use std::process::Command;

use super::{Folder, Ran};

const BYTES: usize = 4 << 20;

/// Runs the tool where it is meant to write.
fn raid(folder: &Folder, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_raid")).args(arguments).current_dir(folder.path()).output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn blank(count: usize) -> Folder {
    let folder = Folder::new();
    (0..count).for_each(|index| drop(folder.file(&format!("d{index}"), &vec![0; BYTES])));
    folder
}

#[test]
fn a_new_array_is_found_by_its_name_with_the_slots_it_was_given() {
    let folder = blank(3);
    let arguments = ["create", "--level", "6", "--layout", "ddf-N-continue", "--chunk", "64K", "--name", "there"];
    let ran = raid(&folder, &[&arguments[..], &["--assume-clean", "d0", "d1", "missing", "d2", "--json"]].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&document["members"], &document["resync"]), (&4.into(), &false.into()));
    let scan = folder.raid(&["scan", "d0", "d1", "d2"]);
    assert!(scan.code == 0 && scan.stdout.contains("there"), "{}{}", scan.stdout, scan.stderr);
    assert_eq!(folder.raid(&["map", "d0", "d1", "d2"]).code, 0);
}

#[test]
fn members_of_another_array_are_overwritten_only_by_force_and_leave_no_trace() {
    let folder = blank(2);
    let old = ["create", "--level", "1", "--metadata", "1.0", "--name", "old", "d0", "d1"];
    assert_eq!(raid(&folder, &old).code, 0);
    let new = ["create", "--level", "1", "--metadata", "1.2", "--name", "new", "d0", "d1"];
    let refused = folder.raid(&new);
    assert_eq!(refused.code, 3);
    assert!(
        refused.stderr.contains("d0: a member of md 1.0 array") && refused.stderr.contains("--force"),
        "{}",
        refused.stderr
    );
    let forced = raid(&folder, &[&new[..], &["--force"]].concat());
    assert_eq!(forced.code, 0, "{}", forced.stderr);
    let scan = folder.raid(&["scan", "--json", "d0", "d1"]).stdout;
    assert!(scan.contains("new") && !scan.contains("\"old"), "{scan}");
}

#[test]
fn what_makes_no_array_is_refused_and_nothing_is_written() {
    let folder = blank(3);
    for (arguments, code) in [
        (&["--level", "7", "d0", "d1"][..], 2),
        (&["--level", "5", "--layout", "n2", "d0", "d1", "d2"], 2),
        (&["--level", "1", "--metadata", "0.90", "--name", "x", "d0", "d1"], 2),
        (&["--level", "1", "d0", "d0"], 4),
        (&["--level", "5", "d0", "missing", "missing"], 4),
        (&["--level", "6", "d0", "d1", "d2", "missing"], 4),
        (&["--level", "5", "--size", "1T", "d0", "d1", "d2"], 4),
        (&["--level", "1", "d0", "nowhere"], 5),
    ] {
        let ran = folder.raid(&[&["create"], arguments].concat());
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
    }
}

/// Disks of a container, of so many mebibytes, with serial numbers.
fn container(count: usize, mebibytes: u64) -> Folder {
    let folder = Folder::new();
    for index in 0..count {
        let disk = std::fs::File::create(folder.path().join(format!("d{index}"))).unwrap();
        disk.set_len(mebibytes << 20).unwrap();
        folder.file(&format!("d{index}.serial"), format!("serial{index}").as_bytes());
    }
    folder
}

/// A line of a table: the format, disks, what is asked for, and KiB of the volume, or what stands in the refusal.
type Made = (&'static str, usize, &'static str, Result<u64, &'static str>);

/// What `mdadm` 4.2 did when it was asked for the same, in a guest, on disks of 72 and 128 MiB: it made a volume with members of that
/// size, or refused. Where it takes more than we do, `docs/formats` says so.
const LIKE_MDADM: [Made; 41] = [
    // It rounds to mebibytes in IMSM and then to chunks, in DDF to chunks alone.
    ("imsm", 2, "1 --size 1023K", Err("at least 2048")),
    ("imsm", 2, "1 --size 1500K", Ok(1024)),
    ("imsm", 2, "1 --size 3000K", Ok(2048)),
    ("imsm", 2, "1 --size 2M --chunk 4M", Ok(2048)),
    ("imsm", 3, "5 --chunk 64K --size 1025K", Ok(2048)),
    ("imsm", 3, "5 --chunk 2M --size 7M", Ok(2 * 6144)),
    ("imsm", 3, "0 --chunk 512K --size 3000K", Ok(3 * 2048)),
    ("imsm", 3, "5 --chunk 4M --size 3M", Err("at least 8192")),
    ("ddf", 2, "1 --size 1025K", Ok(1025)),
    ("ddf", 2, "1 --size 100K", Ok(100)),
    ("ddf", 3, "5 --chunk 64K --size 100K", Ok(2 * 64)),
    ("ddf", 3, "5 --chunk 64K --size 3000K", Ok(2 * 2944)),
    ("ddf", 3, "0 --chunk 512K --size 3000K", Ok(3 * 2560)),
    ("ddf", 3, "0 --chunk 512K --size 100K", Err("at least 1024")),
    ("ddf", 3, "5 --chunk 8M", Ok(2 * 8192)),
    ("ddf", 3, "5 --size 9M", Err("at most 16384 are free")),
    // Chunks.
    ("imsm", 3, "5 --chunk 2K", Err("from 8 sectors on")),
    ("imsm", 3, "5 --chunk 12K", Err("powers of two")),
    ("imsm", 3, "0 --chunk 32M --size 32M", Err("chunk")),
    ("ddf", 3, "5 --chunk 2K", Err("from 8 sectors on")),
    // Members and layouts.
    ("imsm", 1, "0", Err("one disk")),
    ("imsm", 3, "1", Err("two disks")),
    ("imsm", 4, "5 --layout ls", Err("la alone")),
    ("imsm", 4, "10 --layout f2", Err("n2 alone")),
    ("imsm", 4, "6", Err("0, 1, 5 and 10")),
    ("imsm", 2, "linear", Err("0, 1, 5 and 10")),
    ("ddf", 1, "1", Err("one disk")),
    ("ddf", 4, "1", Err("two disks or three")),
    ("ddf", 2, "10", Err("three disks or more")),
    ("ddf", 4, "10 --layout n3", Err("n3 on six")),
    ("ddf", 4, "10 --layout o2", Err("n2 on three")),
    ("ddf", 4, "5 --layout rs", Err("la, ls and ra")),
    ("ddf", 4, "5 --layout parity-first", Err("la, ls and ra")),
    ("ddf", 4, "6 --layout ls", Err("ddf-zero-restart")),
    ("ddf", 3, "linear", Err("linear")),
    // Names.
    ("imsm", 2, "1 --size 1M --name 1234567890123456", Ok(1024)),
    ("imsm", 2, "1 --name 12345678901234567", Err("at most 16")),
    // These it makes without a firmware that it could ask, and where it finds one it refuses them.
    ("imsm", 2, "5", Err("three disks")),
    ("imsm", 3, "10", Err("four disks")),
    // These it makes and starts as RAID 1.
    ("imsm", 2, "10", Err("four disks")),
    // It cuts a longer name off.
    ("ddf", 2, "1 --name 12345678901234567", Err("at most 16")),
];

#[test]
fn a_container_is_made_as_mdadm_makes_it_or_refused_as_it_refuses() {
    let folders = [("imsm", container(4, 48)), ("ddf", container(4, 40))];
    for (format, members, asked, expected) in LIKE_MDADM {
        let folder = &folders.iter().find(|(name, _)| *name == format).unwrap().1;
        let line = format!("create --force --assume-clean --json --format {format} --level {asked}");
        let names = ["d0", "d1", "d2", "d3"];
        let arguments: Vec<&str> = line.split(' ').chain(names.into_iter().take(members)).collect();
        let ran = raid(folder, &arguments);
        let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        match expected {
            Ok(kibibytes) => {
                let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
                assert_eq!(document["size_bytes"], kibibytes << 10, "{format} {members} {asked}: {said}");
            }
            Err(why) => {
                assert!(ran.code != 0 && said.contains(why), "{format} {members} {asked}: {said}");
            }
        }
    }
}
