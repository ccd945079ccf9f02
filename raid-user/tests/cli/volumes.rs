//! Volumes by name: what stands on physical volumes and on partitions, and what is refused by name.

use raid_testkit::fixtures;
use raid_testkit::fixtures::sha256;

use raid_testkit::pattern;
use raid_user::media::{Media as _, MediaMut as _};

use super::Folder;
use super::running::{cat, client, raid, serve};

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
        assert_eq!(sha256(bytes), expected);
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

/// Serves it, writes to it, and looks whether that is there when the server was stopped. What the volume held is in `content`, and changes.
fn write_to(folder: &Folder, members: &str, content: &mut Vec<u8>, meanwhile: impl FnOnce()) {
    let served = serve(folder, members).unwrap();
    let client = client(folder);
    *content = vec![0; usize::try_from(client.size_bytes()).unwrap()];
    client.read_at(0, content).unwrap();
    let bytes = pattern::sectors(77, 3000);
    for (at, len) in [(0, 1_000_000), (1_500_001, 12_345), (content.len() - 70_000, 70_000)] {
        client.write_at(at as u64, &bytes[..len]).unwrap();
        content[at..at + len].copy_from_slice(&bytes[..len]);
    }
    meanwhile();
    client.write_at(700, &[7; 700]).unwrap();
    content[700..1400].fill(7);
    client.flush().unwrap();
    drop(client);
    assert_eq!(served.stop().0, 0, "{members}");
    assert!(cat(folder, members) == *content, "{members}");
}

#[test]
fn volumes_of_lvm_that_keep_no_records_are_written_to_and_their_text_stays() {
    for (case, disks) in [("lvm-linear", 2), ("lvm-striped3", 3), ("lvm-raid0", 6)] {
        let names: String = (0..disks).map(|disk| format!(" d{disk}.img")).collect();
        let folder = Folder::new().with(case, "", &(0..disks).collect::<Vec<_>>());
        let heads = || {
            folder
                .contents()
                .into_iter()
                .filter(|(path, _)| path.extension().is_some_and(|end| end == "img"))
                .map(|(_, bytes)| bytes[..1 << 20].to_vec())
                .collect::<Vec<_>>()
        };
        let before = heads();
        let mut content = Vec::new();
        write_to(&folder, &format!("--volume vg/lv{names}"), &mut content, || {
            let refused = raid(&folder, &format!("fail --slot 0 --volume vg/lv{names}"));
            assert!(refused.code == 3 && refused.stderr.contains("without redundancy"), "{case}: {}", refused.stderr);
        });
        assert!(heads() == before, "{case}");
        let checked = raid(&folder, &format!("check --volume vg/lv{names}"));
        assert!(checked.code != 0 && !checked.stderr.is_empty(), "{case}: {}{}", checked.stdout, checked.stderr);
    }
}

/// The same by LVM's text, and by the line that LVM told the kernel.
#[test]
fn a_mirror_loses_a_leg_and_gets_it_back_and_cannot_lose_the_first() {
    let fixture = fixtures::load("lvm-mirror-disklog");
    let line = "0 10240 mirror disk 2 log 1024 2 leg0 0 leg1 0 1 handle_errors";
    assert!(fixture.text("dmsetup-table.txt").contains("mirror disk 2 253:0 1024 2 253:1 0 253:2 0 1 handle_errors"));
    for by_table in [false, true] {
        let folder = Folder::new();
        for ((name, bytes), part) in fixture.members.iter().zip(["leg0", "leg1", "log"]) {
            let len = if part == "log" { 256 << 10 } else { 10240 * 512 };
            match by_table {
                true => folder.file(part, &bytes[1 << 20..][..len]),
                false => folder.file(name, bytes),
            };
        }
        folder.file("line", line.as_bytes());
        let (members, leg) = match by_table {
            true => ("--table line", "leg1"),
            false => ("--volume vg/lv d0.img d1.img d2.img", "vg/lv_mimage_1"),
        };
        let mut content = Vec::new();
        let ran = |line: &str, code: i32, word: &str| {
            let ran = raid(&folder, &format!("{line} {members}"));
            let said = [ran.stdout, ran.stderr].concat().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(ran.code == code && said.contains(word), "{line}: {} {said}", ran.code);
        };
        write_to(&folder, members, &mut content, || {
            ran("fail --slot 0", 3, "first leg");
            ran("fail --slot 1", 0, "degraded");
            ran("remove --slot 1", 0, "");
            ran("add --new line", 4, "its own leg");
            ran(&format!("add --new {leg}"), 0, "healthy");
            ran("fail --slot 1", 0, "");
        });
        ran(
            "check",
            6,
            "2.00 MiB of each member not judged: in doubt after a crash; `raid rebuild` puts it in order found nothing wrong",
        );
        ran("rebuild", 0, "");
        ran("check", 0, "");
        ran("repair", 0, "");
        let legs = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        let whole = if by_table {
            [legs("leg0"), legs("leg1")]
        } else {
            [legs("d0.img")[1 << 20..].to_vec(), legs("d1.img")[1 << 20..].to_vec()]
        };
        assert!(whole.iter().all(|leg| leg[..content.len()] == content[..]), "{by_table}");
    }
}

/// What a snapshot keeps would change behind its back.
#[test]
fn a_snapshot_and_what_has_one_are_not_written_to() {
    let folder = Folder::new().with("lvm-snapshot", "", &[1, 2]);
    for (volume, why) in [
        ("vg/snap", "writing to a snapshot, whose store would have to be kept"),
        ("vg/lv", "writing past a snapshot, which would not keep what was there before"),
    ] {
        let members = format!("--volume {volume} d0.img d1.img");
        let (code, said) = serve(&folder, &members).unwrap_err();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code == 3 && said.contains(why) && said.contains("read-only"), "{volume}: {code} {said}");
    }
}
