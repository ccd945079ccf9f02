//! Media that carry more than one claim: which is taken, that the others are told, and that each can be asked for.

use super::{Folder, running};
use raid_testkit::fixtures;
use raid_user::media::MediaMut as _;

/// The disks of one array, with the last MiB of another's: a BIOS RAID that was there before, or was made on top since.
fn two_arrays_on_the_same_disks(md: &str, bios: &str) -> Folder {
    let folder = Folder::new();
    let (md, bios) = (fixtures::load(md), fixtures::load(bios));
    for ((name, disk), (_, newer)) in bios.members.iter().zip(&md.members) {
        let mut disk = disk.clone();
        let kept = disk.len().min(newer.len()) - (1 << 20);
        disk[..kept].copy_from_slice(&newer[..kept]);
        folder.file(name, &disk);
    }
    folder
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Both say when they were written last: the later one counts, the older one is told and is there for whoever asks.
#[test]
fn of_two_arrays_on_the_same_disks_the_later_is_taken_and_the_other_told() {
    let folder = two_arrays_on_the_same_disks("md-1.2-raid1-2", "ddf-uml-raid1");
    let scan = words(&folder.raid(&["scan", "."]).stdout);
    assert!(scan.contains("d0.img: taken as a member of ddf array"), "{scan}");
    assert!(scan.contains("(2 of 2 members carry it); it also carries md 1.2 array"), "{scan}");
    assert!(scan.contains("it is the older one. --as 'md 1.2' takes that"), "{scan}");

    let taken = folder.raid(&["explain", "d0.img", "d1.img"]);
    assert!(taken.stdout.starts_with("ddf") && words(&taken.stderr).contains("also carries md"), "{}", taken.stderr);
    for name in ["md", "md 1.2"] {
        let asked = folder.raid(&["explain", "--as", name, "d0.img", "d1.img"]);
        assert!(asked.stdout.starts_with("md 1.2"), "{}{}", asked.stdout, asked.stderr);
        assert!(!asked.stderr.contains("carries"), "{}", asked.stderr);
    }
    let none = folder.raid(&["explain", "--as", "imsm", "d0.img", "d1.img"]);
    assert_eq!(none.code, 4, "{}", none.stderr);
    let unknown = folder.raid(&["explain", "--as", "zfs", "d0.img"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("no such format"), "{}", unknown.stderr);
}

/// Whoever writes reads each member again, once nobody else can write to it. That used to ask for the likeliest record, not for the one
/// that the member was taken by: with MD's older one on the same disk it refused to run the array of DDF that `scan` showed, and called
/// its disks "another array's by now". Nothing was lost; nothing could be written either.
#[test]
fn a_member_that_carries_two_records_is_written_by_the_one_it_was_taken_by() {
    for (format, line) in [("ddf", "."), ("ddf", "--as ddf ."), ("md 1.2", "--as md .")] {
        let folder = two_arrays_on_the_same_disks("md-1.2-raid1-2", "ddf-uml-raid1");
        let served = running::serve(&folder, line).unwrap();
        let client = running::client(&folder);
        client.write_at(4096, &[0xA5; 4096]).unwrap();
        client.flush().unwrap();
        drop(client);
        assert_eq!(served.stop().0, 0, "{line}");
        for member in ["d0.img", "d1.img"] {
            let copied = folder.raid(&["copy", "--as", format, member, "content"]);
            assert_eq!(copied.code, 0, "{line}: {}", copied.stderr);
            let content = std::fs::read(folder.path().join("content")).unwrap();
            assert_eq!(content[4096..8192], [0xA5; 4096], "{line}: {member}");
            std::fs::remove_file(folder.path().join("content")).unwrap();
        }
    }
}

/// IMSM's record has no time. What was looked for first is taken, and nobody is left to find out by wrong bytes.
#[test]
fn where_no_time_tells_an_array_of_md_comes_before_what_a_bios_left() {
    let folder = two_arrays_on_the_same_disks("md-1.2-raid1-2", "imsm-uml-raid1");
    let explained = folder.raid(&["explain", "d0.img", "d1.img"]);
    let told = words(&explained.stderr);
    assert!(explained.stdout.starts_with("md 1.2") && told.contains("it also carries imsm array"), "{told}");
    assert!(told.contains("nothing tells which of them is the newer one. --as 'imsm' takes that"), "{told}");
    let identified = folder.raid(&["identify", "d0.img"]).stdout;
    assert!(identified.starts_with("d0.img: md 1.2 member, slot 0") && identified.contains("; also imsm member"));
}

/// `mdadm --create` leaves the first 4 KiB alone, and with them the label of a physical volume that the disk was before.
#[test]
fn a_label_of_lvm_in_front_of_an_array_is_told() {
    let folder = Folder::new();
    let (volume, array) = (fixtures::load("lvm-linear"), fixtures::load("md-1.2-raid1-2"));
    for (index, (name, member)) in array.members.iter().enumerate() {
        let mut disk = member.clone();
        if index == 0 {
            disk[..4096].copy_from_slice(&volume.members[0].1[..4096]);
        }
        folder.file(name, &disk);
    }
    let scan = folder.raid(&["scan", "."]);
    let text = scan.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("d0.img: taken as a member of md 1.2 array"), "{text}");
    assert!(text.contains("the label of LVM's physical volume"), "{text}");
    assert_eq!(text.matches("also carries").count(), 1, "{text}");
    // Asked for, the label counts; its text was overwritten by the array.
    let asked = folder.raid(&["identify", "--as", "lvm2", "d0.img"]);
    assert!(asked.stdout.contains("lvm2 physical volume"), "{}", asked.stdout);
}

/// A superblock of 0.90 does not say where it lies. On a disk whose last partition ends with it, disk and partition have it at the
/// same sector; taken for the disk, all data would be read one partition's offset too early.
#[test]
fn a_superblock_at_the_end_of_a_last_partition_is_the_partitions() {
    let folder = Folder::new();
    let array = fixtures::load("md-0.90-raid1-2");
    for (name, member) in &array.members {
        // A partition table in front; the partition starts at 1 MiB, and the disk ends with it.
        let mut disk = vec![0; 1 << 20];
        let (start, len) = (2048_u32, u32::try_from(member.len() / 512).unwrap());
        disk[446 + 4] = 0xFD;
        disk[446 + 8..446 + 12].copy_from_slice(&start.to_le_bytes());
        disk[446 + 12..446 + 16].copy_from_slice(&len.to_le_bytes());
        disk[510..512].copy_from_slice(&[0x55, 0xAA]);
        disk.extend_from_slice(member);
        folder.file(name, &disk);
    }
    let scan = folder.raid(&["scan", "."]);
    assert!(scan.stdout.contains("d0.img#1") && scan.stdout.contains("healthy"), "{}", scan.stdout);
    let copied = folder.raid(&["copy", "--sha256", "d0.img", "d1.img", "out.img"]);
    let expected = array.text("content.sha256").split_whitespace().next().unwrap();
    assert!(copied.code == 0 && copied.stdout.contains(expected), "{}{}", copied.stdout, copied.stderr);
}

#[test]
fn files_are_identified_in_one_line_each() {
    let folder = Folder::new().with("md-1.2-raid5-4-ls", "", &[1]).with("lvm-raid1", "pv-", &[0]);
    folder.file("notes.txt", b"not a member");
    let volume = fixtures::load("lvm-raid1");
    // Where the text puts the metadata volume of the first image.
    folder.file("rmeta.img", &volume.members[0].1[2048 * 512..2560 * 512]);
    let ran = folder.raid(&["identify", "d1.img", "pv-d0.img", "rmeta.img", "notes.txt", "gone.img"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{}", ran.stdout);
    let expected = [
        "d1.img:    md 1.2 member, slot 1 of RAID 5 left-symmetric, 4 members",
        "pv-d0.img: lvm2 physical volume ",
        "rmeta.img: dm-raid metadata, device 0 of RAID 1, 3 members",
        "notes.txt: no RAID superblock",
        "gone.img:  ",
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
    assert_eq!(ran.code, 5, "what cannot be opened is told by the exit code, too");
    let json = folder.raid(&["identify", "--json", "d1.img"]);
    assert!(json.stdout.contains("\"format\": \"md 1.2\""), "{}", json.stdout);
    // What dm-raid keeps beside its data makes no array alone; a scan says what it is, and what is wanted beside it.
    let scan = folder.raid(&["scan", "rmeta.img", "notes.txt"]).stdout;
    let words = scan.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("rmeta.img: dm-raid metadata, device 0 of RAID 1, 3 members"), "{scan}");
    assert!(words.contains("(--table)") && words.contains("1 without a superblock"), "{scan}");
}

/// What LVM's and device-mapper's records hold is told field by field, with the bytes if asked.
#[test]
fn what_lies_beside_the_data_is_examined_too() {
    let volume = fixtures::load("lvm-raid1");
    let (log, store) = (fixtures::load("lvm-mirror-disklog"), fixtures::load("lvm-snapshot"));
    let folder = Folder::new().with("lvm-raid1", "pv-", &[0]);
    let part = |disk: &[u8]| disk[2048 * 512..2560 * 512].to_vec();
    folder.file("rmeta.img", &part(&volume.members[0].1));
    folder.file("log.img", &part(&log.members[2].1));
    folder.file("cow.img", &part(&store.members[if store.members.len() > 2 { 2 } else { 1 }].1));
    let told = |name: &str, wanted: &[&str]| {
        let ran = folder.raid(&["examine", "--hex", name]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let text = words(&ran.stdout);
        for word in wanted {
            assert!(text.contains(word), "{name}: {word} is not in {}", ran.stdout);
        }
    };
    told("rmeta.img", &["dm-raid", "superblock at byte 0", "| 44 6d 52 64", "bitmap at byte 4096", "array_position"]);
    told("log.img", &["dm-mirror", "log at byte 0", "nr_regions"]);
    told("cow.img", &["dm-snapshot", "store at byte 0", "chunk_size", "exceptions at byte 4096", "new_chunk"]);
    told(
        "pv-d0.img",
        &[
            "label at byte 512",
            "metadata area at byte 4096",
            "note: Volume lv:",
            "RAID 1 of 3 images",
            "a part of another",
        ],
    );
}
