//! Snapshots of every verb's text and JSON on real arrays.

use super::Folder;

/// Checks the exit code and the snapshot of stdout and stderr.
macro_rules! snapshot {
    ($folder:expr, $name:literal, $code:literal, $($argument:literal)+) => {{
        let ran = $folder.raid(&[$($argument),+]);
        assert_eq!(ran.code, $code, "{}", ran.stderr);
        insta::assert_snapshot!($name, format!("{}--- stderr\n{}", ran.stdout, ran.stderr));
    }};
}

#[test]
fn a_degraded_raid5() {
    let folder = Folder::new().with("md-1.2-raid5-4-ls", "", &[0, 1, 3]);
    folder.file("notes.txt", b"not a member");
    snapshot!(folder, "degraded_scan", 0, "scan" ".");
    snapshot!(folder, "degraded_scan_json", 0, "scan" "--json" ".");
    snapshot!(folder, "degraded_explain", 0, "explain" ".");
    snapshot!(folder, "degraded_explain_json", 0, "explain" "--json" ".");
    snapshot!(folder, "degraded_map", 0, "map" "--sector" "1000" "--ascii" ".");
    snapshot!(folder, "degraded_map_json", 0, "map" "--sector" "1000" "--json" ".");
}

#[test]
fn a_stale_mirror() {
    let folder = Folder::new().with("md-1.2-raid1-bitmap-degraded", "", &[0, 1]);
    snapshot!(folder, "stale_explain", 0, "explain" ".");
    snapshot!(folder, "stale_examine", 0, "examine" "d0.img");
    snapshot!(folder, "stale_examine_hex", 0, "examine" "--hex" "d1.img");
    snapshot!(folder, "stale_examine_json", 0, "examine" "--json" "d0.img");
}

#[test]
fn a_journal_that_holds_writes() {
    let folder = Folder::new().with("md-1.2-raid5-journal-wb-crash", "", &[0, 1, 2, 3]);
    snapshot!(folder, "journal_explain", 0, "explain" ".");
    snapshot!(folder, "journal_scan", 0, "scan" ".");
}

#[test]
fn nothing_to_find() {
    let folder = Folder::new();
    folder.file("notes.txt", b"not a member");
    snapshot!(folder, "nothing_scan", 1, "scan" ".");
}

#[test]
fn an_old_superblock() {
    let folder = Folder::new().with("md-0.90-raid5-3", "", &[0, 1, 2]);
    snapshot!(folder, "old_scan", 0, "scan" ".");
    snapshot!(folder, "old_examine", 0, "examine" "d1.img");
    snapshot!(folder, "old_map", 0, "map" "--ascii" "--rows" "4" ".");
}

#[test]
fn a_reshape_is_drawn_where_it_stands_on_both_sides() {
    let folder = Folder::new().with("md-1.2-raid5-reshape-3to4-stopped", "", &[0, 1, 2, 3]);
    snapshot!(folder, "reshape_map", 0, "map" "--rows" "6" ".");
    let ran = folder.raid(&["map", "--sector", "100", "--svg", "map.svg", "."]);
    assert!(ran.stdout.starts_with("RAID 5 left-symmetric, 4 members"), "{}", ran.stdout);
    // An earlier drawing may be drawn over; the folder sees that nothing else changes.
    let first = std::fs::read(folder.path().join("map.svg")).unwrap();
    std::fs::remove_file(folder.path().join("map.svg")).unwrap();
    folder.file("map.svg", b"<svg an earlier one that is longer than nothing");
    let again = std::process::Command::new(env!("CARGO_BIN_EXE_raid"))
        .args(["map", "--sector", "100", "--svg", "map.svg", "."])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(again.status.success() && std::fs::read(folder.path().join("map.svg")).unwrap() == first);
}

#[test]
fn spares_and_failed_members_are_told_apart() {
    let folder = Folder::new().with("md-1.2-raid1-spare-wm-ff", "", &[0, 1, 2]);
    snapshot!(folder, "spares_scan", 0, "scan" ".");
    let other = Folder::new().with("md-1.2-raid1-spare-wm-ff", "", &[2]);
    snapshot!(other, "no_data_scan", 0, "scan" ".");
    snapshot!(other, "no_data_explain", 3, "explain" ".");
}
