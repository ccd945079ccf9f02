//! Arrays of BIOS RAIDs by the tool: made, served for writing, degraded, filled, checked.

use raid_testkit::pattern;
use raid_user::media::{Media as _, MediaMut as _};

use super::Folder;
use super::running::{client, raid, serve};

const BYTES: usize = 2 << 20;

/// Each format with each level that it has here, and how many disks.
const CASES: [(&str, &str, usize); 13] = [
    ("asr", "1", 2),
    ("asr", "0", 3),
    ("hpt45x", "10", 4),
    ("jmicron", "5", 3),
    ("jmicron", "linear", 2),
    ("lsi", "1", 2),
    ("nvidia", "5", 4),
    ("nvidia", "10", 4),
    ("promise", "5", 3),
    ("promise", "1", 2),
    ("sil", "5", 3),
    ("sil", "10", 4),
    ("via", "10", 4),
];

fn made(create: &str, count: usize) -> (Folder, super::Ran) {
    let folder = Folder::new();
    (0..=count).for_each(|index| drop(folder.file(&format!("d{index}"), &vec![0x33; BYTES])));
    let members: String = (0..count).map(|index| format!(" d{index}")).collect();
    let made = raid(&folder, &format!("create --chunk 16K {create}{members}"));
    (folder, made)
}

#[test]
fn each_format_is_made_written_to_degraded_filled_and_checked() {
    for (format, level, count) in CASES {
        let (folder, ran) = made(&format!("--format {format} --level {level}"), count);
        let name = format!("{format} {level}");
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        let members: Vec<String> = (0..count).map(|index| format!("d{index}")).collect();
        let served = serve(&folder, &members.join(" ")).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let writer = client(&folder);
        let bytes = pattern::sectors(500, usize::try_from(writer.size_bytes() / 512).unwrap());
        writer.write_at(0, &bytes).unwrap();
        let redundant = !["0", "linear"].contains(&level);
        if redundant {
            let failed = raid(&folder, "fail --member d1 d0");
            assert_eq!(failed.code, 0, "{name}: {}", failed.stderr);
            let status = raid(&folder, "status d0");
            assert!(
                status.stdout.contains("missing") || status.stdout.contains("degraded"),
                "{name}: {}",
                status.stdout
            );
            writer.write_at(0, &bytes[512..9 * 512]).unwrap();
            writer.write_at(0, &bytes[..8 * 512]).unwrap();
            let removed = raid(&folder, "remove --slot 1 d0");
            assert_eq!(removed.code, 0, "{name}: {}", removed.stderr);
            let added = raid(&folder, &format!("add --new d{count} d0"));
            assert_eq!(added.code, 0, "{name}: {}", added.stderr);
            let rebuilt = raid(&folder, "rebuild d0");
            assert_eq!(rebuilt.code, 0, "{name}: {}", rebuilt.stderr);
        }
        drop(writer);
        assert_eq!(served.stop().0, 0, "{name}");
        let left: Vec<String> = (0..=count)
            .filter(|index| *index != if redundant { 1 } else { count })
            .map(|index| format!("d{index}"))
            .collect();
        let left = left.join(" ");
        if redundant {
            let checked = raid(&folder, &format!("check {left}"));
            assert_eq!(checked.code, 0, "{name}: {}{}", checked.stdout, checked.stderr);
        }
        let copied = raid(&folder, &format!("copy {left} out"));
        assert_eq!(copied.code, 0, "{name}: {}", copied.stderr);
        assert!(std::fs::read(folder.path().join("out")).unwrap() == bytes, "{name}");
    }
}

#[test]
fn each_format_is_repaired_and_a_disk_that_was_thrown_out_is_put_in_again_and_another_one_for_it() {
    for (format, level, count) in CASES.into_iter().filter(|(_, level, _)| !["0", "linear"].contains(level)) {
        let (folder, ran) = made(&format!("--assume-clean --format {format} --level {level}"), count);
        assert_eq!(ran.code, 0, "{format} {level}: {}", ran.stderr);
        let all: Vec<String> = (0..count).map(|slot| format!(" d{slot}")).collect();
        let without = |out: &str| all.iter().filter(|name| *name != out).cloned().collect::<Vec<_>>().concat();
        let does = |verb: &str, members: &str, code: i32| {
            let ran = raid(&folder, &format!("{verb}{members}"));
            assert_eq!(ran.code, code, "{format} {level}: {verb}: {}{}", ran.stdout, ran.stderr);
        };
        let path = folder.path().join("d1");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[1000 * 512] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        does("check", &all.concat(), 1);
        if format == "lsi" {
            // It cannot say "clean", so nothing is judged before it is synchronised.
            does("repair --trust all-but=d1", &all.concat(), 6);
            does("rebuild", &all.concat(), 0);
        } else {
            does("repair", &all.concat(), 1);
            does("repair --trust all-but=d1", &all.concat(), 0);
        }
        does("check", &all.concat(), 0);
        does("fail --member d1", &all.concat(), 0);
        // Nobody serves it, so nobody holds that disk.
        does("remove --slot 1", &all.concat(), 1);
        does("add --new d1", &without(" d1"), 0);
        does("check", &all.concat(), 0);
        does("fail --member d0", &all.concat(), 0);
        does(&format!("add --new d{count}"), &without(" d0"), 0);
        does("check", &format!("{} d{count}", without(" d0")), 0);
    }
}

#[test]
fn the_oldest_highpoint_is_made_and_read_and_not_written_to() {
    let (folder, ran) = made("--format hpt37x --level 1", 2);
    assert!(ran.code != 0 && ran.stderr.contains("--assume-clean"), "{}", ran.stderr);
    let ran = raid(&folder, "create --format hpt37x --level 1 --assume-clean d0 d1");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (code, said) = serve(&folder, "d0 d1").err().unwrap();
    assert!(code != 0 && said.contains("hpt37x arrays are not written to"), "{said}");
    assert_eq!(raid(&folder, "copy d0 d1 out").code, 0);
}

#[test]
fn a_level_that_a_format_does_not_have_is_refused_and_nothing_is_written() {
    for (format, level) in [("asr", "5"), ("lsi", "10"), ("via", "5"), ("hpt45x", "6"), ("sil", "linear")] {
        let (folder, ran) = made(&format!("--format {format} --level {level}"), 4);
        assert!(ran.code != 0 && !ran.stderr.is_empty(), "{format} {level}: {}", ran.stderr);
        assert!(std::fs::read(folder.path().join("d0")).unwrap().iter().all(|byte| *byte == 0x33), "{format} {level}");
    }
}

/// A disk that held a record of a BIOS RAID can be taken for another array; its old record would be found beside the new one.
#[test]
fn records_of_bios_raids_are_taken_away_where_a_medium_is_taken() {
    for format in ["asr", "hpt37x", "promise", "sil"] {
        let (folder, ran) = made(&format!("--format {format} --level 1 --assume-clean"), 2);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let refused = raid(&folder, "create --level 1 d0 d1");
        assert!(refused.code != 0 && refused.stderr.contains("--force"), "{format}: {}", refused.stderr);
        assert_eq!(raid(&folder, "create --force --level 1 d0 d1").code, 0, "{format}");
        let found = folder.raid(&["identify", "d0"]).stdout;
        assert!(found.contains("md 1.2") && !found.contains(format), "{format}: {found}");
    }
}
