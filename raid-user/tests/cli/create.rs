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
