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
fn a_journal_that_was_not_replayed() {
    let folder = Folder::new().with("md-1.2-raid5-journal-wb-crash", "", &[0, 1, 2, 3]);
    snapshot!(folder, "journal_explain", 3, "explain" ".");
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
