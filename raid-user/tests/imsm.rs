//! Which disk an image of IMSM is: told, found beside it, found by elimination, or asked for.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::fs;
use std::process::{Command, Output};

use raid_testkit::{fixtures, pattern};

/// The members of a case as files, in a folder that ends with the test.
struct Files {
    folder: tempfile::TempDir,
    content: Vec<u8>,
}

impl Files {
    fn of(case: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixture = fixtures::load(case);
        let sectors = fixture.text("size.txt").trim().parse::<usize>().unwrap() / 512;
        for (name, bytes) in &fixture.members {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Self { folder, content: pattern::sectors(0, sectors) }
    }

    /// Runs the tool in the folder.
    fn raid(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_raid")).args(words).current_dir(self.folder.path()).output().unwrap()
    }

    /// The array's content and what was said, or the refusal.
    fn cat(&self, words: &[&str]) -> Result<String, String> {
        let output = self.raid(&[&["cat"], words].concat());
        let said = String::from_utf8(output.stderr).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        match output.status.success() {
            true => {
                assert!(output.stdout == self.content, "wrong content; {said}");
                Ok(said)
            }
            false => Err(said),
        }
    }
}

/// A serial number of the guest's loop devices, as an option says it.
fn is(disk: usize) -> String {
    format!("--serial=d{disk}.img=/dev/loop{disk}")
}

#[test]
fn disks_that_nobody_knows_are_asked_for_with_the_choices() {
    let files = Files::of("imsm-uml-raid5");
    let refused = files.cat(&["d0.img", "d1.img", "d2.img"]).unwrap_err();
    let choices = "d0.img, d1.img, d2.img may each be /dev/loop0 or /dev/loop1 or /dev/loop2";
    assert!(refused.contains(choices) && refused.contains("--serial FILE=SERIAL"), "{refused}");
    let refused = files.cat(&[&is(0), "d0.img", "d1.img", "d2.img"]).unwrap_err();
    assert!(refused.contains("d1.img, d2.img may each be"), "{refused}");
    // Two disks of three that both could be any: nothing is left out by elimination.
    assert!(files.cat(&["d1.img", "d2.img"]).is_err());
}

#[test]
fn the_last_disk_is_found_by_elimination_and_that_is_said() {
    let files = Files::of("imsm-uml-raid5");
    let said = files.cat(&[&is(0), &is(2), "d0.img", "d1.img", "d2.img"]).unwrap();
    assert!(said.contains("d1.img: must be the disk with serial number /dev/loop1, by elimination"), "{said}");
    let said = files.cat(&[&is(0), &is(1), &is(2), "d2.img", "d0.img", "d1.img"]).unwrap();
    assert_eq!(said, "");
    // Degraded, with both disks told.
    let said = files.cat(&[&is(1), &is(2), "d1.img", "d2.img"]).unwrap();
    assert!(said.contains("no usable member in slot 0"), "{said}");
}

#[test]
fn a_file_beside_the_image_says_which_disk_it_is() {
    let files = Files::of("imsm-uml-raid0");
    assert!(files.cat(&["d0.img", "d1.img"]).is_err());
    fs::write(files.folder.path().join("d0.img.serial"), "/dev/loop0\n").unwrap();
    let said = files.cat(&["d0.img", "d1.img"]).unwrap();
    assert!(said.contains("d1.img: must be"), "{said}");
    fs::write(files.folder.path().join("d1.img.serial"), "/dev/loop1\n").unwrap();
    assert_eq!(files.cat(&["d0.img", "d1.img"]).unwrap(), "");
    let scan = String::from_utf8(files.raid(&["scan", "d0.img", "d1.img"]).stdout).unwrap();
    assert!(scan.contains("imsm  0  0de0dbc5:2b734824:d772223d:a4e4b615\n  healthy: RAID 0"), "{scan}");
    assert!(scan.contains("slot   0  d1.img") && scan.contains("slot   1  d0.img"), "{scan}");
}

#[test]
fn copies_of_one_mirror_are_taken_either_way() {
    let files = Files::of("imsm-uml-raid1");
    for names in [&["d0.img", "d1.img"][..], &["d1.img", "d0.img"], &["d0.img"], &["d1.img"]] {
        let said = files.cat(names).unwrap();
        assert!(said.contains("it may be its twin, which holds the same"), "{said}");
    }
}

#[test]
fn a_serial_number_that_cannot_be_is_refused() {
    let files = Files::of("imsm-uml-raid1");
    let refused = files.cat(&["--serial=d0.img=/dev/loop7", "d0.img", "d1.img"]).unwrap_err();
    assert!(refused.contains("no disk of its container has the serial number /dev/loop7"), "{refused}");
    let refused = files.cat(&["--serial=d7.img=/dev/loop0", "d0.img", "d1.img"]).unwrap_err();
    assert!(refused.contains("no such member was given"), "{refused}");
    let refused = files.cat(&["--serial=d0.img", "d0.img"]).unwrap_err();
    assert!(refused.contains("expected FILE=SERIAL"), "{refused}");
    // Two members that are said to be one disk: the second is not used.
    let said = files.cat(&[&is(0), "--serial=d1.img=/dev/loop0", "d0.img", "d1.img"]).unwrap();
    assert!(said.contains("another copy of the same member was given"), "{said}");
    let md = Files::of("md-1.2-raid1-2");
    let refused = md.cat(&["--serial=d0.img=x", "d0.img", "d1.img"]).unwrap_err();
    assert!(refused.contains("md 1.2 knows its members by no serial number"), "{refused}");
}

#[test]
fn explain_gives_a_command_that_says_the_serial_numbers_again() {
    let files = Files::of("imsm-uml-raid5");
    let text = String::from_utf8(files.raid(&["explain", &is(0), &is(2), "d0.img", "d2.img"]).stdout).unwrap();
    let next = text.split_once("Next: ").unwrap().1.replace("\\\n", "");
    let words: Vec<&str> = next.split_whitespace().collect();
    assert_eq!(words[..2], ["raid", "copy"]);
    assert!(files.raid(&words[1..]).status.success(), "{next}");
    assert!(fs::read(files.folder.path().join("OUT")).unwrap() == files.content);
}
