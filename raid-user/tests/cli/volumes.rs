//! Volumes by name: what stands on physical volumes and on partitions, and what is refused by name.

use raid_testkit::fixtures;
use sha2::{Digest, Sha256};

use super::Folder;

#[test]
fn a_volume_is_opened_by_the_name_that_scan_prints_and_several_are_listed() {
    let fixture = fixtures::load("lvm-snapshot");
    let folder = Folder::new().with("lvm-snapshot", "", &[1, 2]);
    let scan = folder.raid(&["scan", "."]);
    assert!(scan.code == 0 && scan.stdout.contains("vg/lv  ") && scan.stdout.contains("vg/snap  "), "{}", scan.stdout);
    for (name, file) in [("vg/lv", "content.sha256"), ("vg/snap", "snap-content.sha256")] {
        let copied = folder.raid(&["copy", "--sha256", "--volume", name, "d0.img", "d1.img", "out"]);
        let expected = fixture.text(file).split_whitespace().next().unwrap();
        assert!(copied.code == 0 && copied.stdout.contains(expected), "{name}: {}{}", copied.stdout, copied.stderr);
        let bytes = std::fs::read(folder.path().join("out")).unwrap();
        assert_eq!(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
        std::fs::remove_file(folder.path().join("out")).unwrap();
    }
    for (arguments, code) in
        [(&["cat", "d0.img", "d1.img"][..], 2), (&["cat", "--volume", "vg/x", "d0.img", "d1.img"], 2)]
    {
        let ran = folder.raid(arguments);
        assert!(ran.code == code && ran.stderr.contains("vg/lv, vg/snap"), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn what_is_not_read_yet_is_refused_by_its_name() {
    let folder = Folder::new().with("lvm-integrity-raid1", "", &[0, 1, 2]);
    let ran = folder.raid(&["cat", "d0.img", "d1.img", "d2.img"]);
    let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(ran.code == 3 && said.contains("is of kind integrity, which is not read yet"), "{said}");
}

#[test]
fn a_group_is_found_on_partitions_and_missing_a_disk_it_says_which() {
    let fixture = fixtures::load("lvm-linear");
    let folder = Folder::new();
    for (name, bytes) in &fixture.members {
        let mut disk = vec![0; 1 << 20];
        disk[446 + 4] = 0x8E;
        disk[446 + 8..446 + 12].copy_from_slice(&2048_u32.to_le_bytes());
        disk[446 + 12..446 + 16].copy_from_slice(&u32::try_from(bytes.len() / 512).unwrap().to_le_bytes());
        disk[510..512].copy_from_slice(&[0x55, 0xAA]);
        disk.extend(bytes);
        folder.file(name, &disk);
    }
    let copied = folder.raid(&["copy", "--sha256", "d0.img", "d1.img", "out"]);
    let expected = fixture.text("content.sha256").split_whitespace().next().unwrap();
    assert!(copied.code == 0 && copied.stdout.contains(expected), "{}{}", copied.stdout, copied.stderr);
    let ran = folder.raid(&["cat", "d0.img"]);
    assert!(ran.code == 3 && ran.stderr.contains("physical volume pv1"), "{}", ran.stderr);
}
