//! Files that are not what they should be: each a clear error with the file's name, the documented exit code, and nothing written.

use std::fs;

use super::Folder;

const CASE: &str = "md-1.2-raid5-4-ls";
const ALL: [usize; 4] = [0, 1, 2, 3];

#[test]
fn members_of_two_arrays_must_be_told_apart() {
    let folder = Folder::new().with(CASE, "a-", &ALL).with("md-1.2-raid6-5-ls", "b-", &[0, 1, 2, 3, 4]);
    let ran = folder.raid(&["cat", "--length", "512", "."]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("members of 2 arrays") && ran.stderr.contains("--array"), "{}", ran.stderr);
    let scan = folder.raid(&["scan", "--json", "."]);
    let scan: serde_json::Value = serde_json::from_str(&scan.stdout).unwrap();
    let uuid = scan["arrays"][1]["uuid"].as_str().unwrap().to_owned();
    assert_eq!(folder.raid(&["cat", "--length", "512", "--array", &uuid, "."]).code, 0);
    assert_eq!(folder.raid(&["cat", "--array", "nobody", "."]).code, 2);
}

#[test]
fn a_member_given_twice_is_named_whatever_the_path() {
    let folder = Folder::new().with(CASE, "", &ALL);
    std::os::unix::fs::symlink("d0.img", folder.path().join("link.img")).unwrap();
    fs::hard_link(folder.path().join("d0.img"), folder.path().join("hard.img")).unwrap();
    for twin in ["d0.img", "./d0.img", "link.img", "hard.img"] {
        let ran = folder.raid(&["cat", "d0.img", twin, "d1.img", "d2.img", "d3.img"]);
        assert_eq!(ran.code, 4);
        assert!(ran.stderr.contains("same medium"), "{}", ran.stderr);
    }
}

#[test]
fn a_copy_of_a_member_is_left_out_and_told() {
    let folder = Folder::new().with(CASE, "", &ALL).with(CASE, "copy-", &[2]);
    let ran = folder.raid(&["cat", "--length", "512", "."]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("another copy of the same member"), "{}", ran.stderr);
}

#[test]
fn files_that_are_no_members_are_refused_by_name_and_reason() {
    let folder = Folder::new().with(CASE, "", &ALL);
    let whole = fs::read(folder.path().join("d0.img")).unwrap();
    let mut half = whole.clone();
    half[..whole.len() / 2].fill(0);
    let mut damaged = whole.clone();
    damaged[4096 + 100] ^= 1;
    let noise: Vec<u8> = (0..1_u32 << 20).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 24).to_le_bytes()[0]).collect();
    let cases: [(&str, &[u8], &str); 6] = [
        ("empty.img", &[], "empty"),
        ("short.img", &whole[..300], "no RAID superblock"),
        ("cut.img", &whole[..whole.len() / 2], "not within the medium"),
        ("random.img", &noise, "no magic"),
        ("half.img", &half, "no magic"),
        ("damaged.img", &damaged, "bad checksum"),
    ];
    for (name, bytes, reason) in cases {
        folder.file(name, bytes);
        for verb in [vec!["cat"], vec!["explain"], vec!["examine"]] {
            let ran = folder.raid(&[&verb[..], &["d1.img", "d2.img", "d3.img", name]].concat());
            assert_eq!(ran.code, 4, "{verb:?} {name}: {}", ran.stderr);
            let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(name) && said.contains(reason), "{verb:?} {name}: {said}");
        }
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let missing = folder.raid(&["cat", "nowhere.img"]);
    assert_eq!(missing.code, 5);
    assert!(missing.stderr.contains("nowhere.img"));
}

/// A member with a damaged superblock was told of if it was named, and passed over in silence if its directory was.
#[test]
fn a_damaged_member_in_a_directory_is_told() {
    let folder = Folder::new().with(CASE, "", &ALL);
    let mut damaged = fs::read(folder.path().join("d2.img")).unwrap();
    damaged[4096 + 100] ^= 1;
    folder.file("d2.img", &damaged);
    folder.file("notes.txt", b"not a member");
    let ran = folder.raid(&["cat", "--length", "512", "."]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("d2.img: left out: md 1.2: bad checksum"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("notes.txt"), "{}", ran.stderr);
    let verbose = folder.raid(&["cat", "-v", "--length", "512", "."]);
    assert!(verbose.stderr.contains("notes.txt: no RAID superblock"), "{}", verbose.stderr);
}

#[test]
fn a_disk_whose_partitions_are_no_members_is_refused_by_name() {
    let folder = Folder::new().with(CASE, "", &ALL);
    let mut disk = vec![0; 4096 * 512];
    disk[446..462].copy_from_slice(&[0, 0, 0, 0, 0xfd, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    folder.file("disk.img", &disk);
    let ran = folder.raid(&["cat", "d0.img", "d1.img", "d2.img", "d3.img", "disk.img"]);
    assert_eq!(ran.code, 4);
    assert!(ran.stderr.contains("disk.img: no RAID superblock in there"), "{}", ran.stderr);
}

#[test]
fn too_many_missing_is_refused_and_said_which() {
    let folder = Folder::new().with(CASE, "", &[0, 3]);
    let ran = folder.raid(&["cat", "."]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("does not survive without slots 1, 2"), "{}", ran.stderr);
    let partial = folder.raid(&["cat", "--partial", "."]);
    assert_eq!(partial.code, 5, "what is lost gives read errors");
    assert!(partial.stderr.contains("lost"), "{}", partial.stderr);
}

#[test]
fn strict_refuses_what_would_read() {
    let folder = Folder::new().with(CASE, "", &[0, 1, 3]);
    assert_eq!(folder.raid(&["cat", "--length", "512", "."]).code, 0);
    let ran = folder.raid(&["cat", "--strict", "."]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("slot 2"), "{}", ran.stderr);
}

#[test]
fn errors_are_json_documents_too() {
    let folder = Folder::new().with(CASE, "", &[0]);
    let ran = folder.raid(&["explain", "--json", "nowhere.img"]);
    let error: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((error["schema"].as_str(), error["exit_code"].as_i64()), (Some("raid.error/1"), Some(5)));
    let usage = folder.raid(&["--json", "copy"]);
    let error: serde_json::Value = serde_json::from_str(&usage.stdout).unwrap();
    assert_eq!((usage.code, error["exit_code"].as_i64()), (2, Some(2)));
    // What some of the names lead to and what the others do not is one document.
    let both = folder.raid(&["examine", "--json", "d0.img", "nowhere.img", "neither.img"]);
    let document: serde_json::Value = serde_json::from_str(&both.stdout).unwrap();
    assert_eq!(document["members"].as_array().unwrap().len(), 1);
    assert!(document["failures"][1]["message"].as_str().unwrap().contains("neither.img"));
    // The array itself is no document, and neither is what stopped it.
    let cat = folder.raid(&["cat", "--json", "d0.img"]);
    assert_eq!((cat.code, cat.stdout.as_str()), (3, ""));
}

/// A line of a table names all devices; what is wrong with it, or on them, is said with the word or the name at fault.
#[test]
fn a_table_is_refused_with_the_word_at_fault() {
    let folder = Folder::new().with(CASE, "", &[0, 1, 2]);
    let cat = |table: &str| folder.raid(&["cat", "--length", "512", "--table", table]);
    let cases = [
        ("0 8 linear d0.img 0", 2, "linear"),
        ("0 8192 raid raid5_ls 1 128 3 - d0.img - d1.img - gone.img", 5, "gone.img"),
        ("0 8192 raid raid5_ls 1 128 3 d0.img d0.img d1.img d1.img - -", 3, "has to be filled"),
        ("0 8192 raid raid5_ls 1 100 3 - d0.img - d1.img - d2.img", 2, "100"),
    ];
    for (table, code, word) in cases {
        let ran = cat(table);
        assert!(ran.code == code && ran.stderr.contains(word), "{table}: {} {}", ran.code, ran.stderr);
    }
    let both = folder.raid(&["cat", "--table", "0 8 linear d0.img 0", "d0.img"]);
    assert!(both.code == 2 && both.stderr.contains("stand in its --table"), "{}", both.stderr);
    // Without metadata the line alone counts; from a file it is the same.
    let line = "x: 0 8192 raid raid5_ls 1 128 3 - d0.img - d1.img - d2.img";
    fs::write(folder.path().join("table"), format!("{line}\n")).unwrap();
    let degraded = line.replace("d1.img", "-");
    for table in [line, "table", &degraded] {
        let ran = cat(table);
        assert!(ran.code == 0 && ran.stdout == cat(line).stdout, "{table}: {}", ran.stderr);
    }
    let refused = folder.raid(&["serve", "--write", "--socket", "s", "--table", line]);
    assert!(refused.code == 3 && refused.stderr.contains("no metadata device"), "{}", refused.stderr);
}
