//! `raid check` and `raid repair`, on arrays that nobody serves and through the control socket: what rots is named with its place, and
//! nothing is written but what that justifies.

use std::fs;

use raid_testkit::pattern;
use raid_user::media::{Media as _, MediaMut as _};
use serde_json::Value;

use super::running::{array, client, raid, serve};
use super::{Folder, Ran};

/// Sectors that every array here holds at least.
const SECTORS: usize = 4000;

/// An array whose sector L holds the number L, and that was stopped in order.
fn filled(create: &str, count: usize) -> Folder {
    let folder = array(&format!("{create} --assume-clean"), count);
    let served = serve(&folder, ".").unwrap();
    let client = client(&folder);
    client.write_at(0, &pattern::sectors(0, SECTORS)).unwrap();
    client.flush().unwrap();
    drop(client);
    assert_eq!(served.stop(), (0, String::new()));
    fs::remove_dir_all(folder.path().join("run")).unwrap();
    folder
}

/// Where array sector `number` lies in the file of the member that has it.
fn place(folder: &Folder, number: u64) -> (String, u64) {
    let wanted = pattern::sectors(number, 1);
    for name in (0..8).map(|slot| format!("d{slot}")) {
        let bytes = fs::read(folder.path().join(&name)).unwrap_or_default();
        if let Some(at) = bytes.chunks(512).position(|sector| sector == wanted) {
            return (name, at as u64 * 512);
        }
    }
    panic!("sector {number} is nowhere");
}

/// Bytes of a file rot, and its disk says nothing.
fn rot(folder: &Folder, name: &str, at: u64, len: usize) {
    let path = folder.path().join(name);
    let mut bytes = fs::read(&path).unwrap();
    let at = usize::try_from(at).unwrap();
    bytes[at..at + len].iter_mut().for_each(|byte| *byte ^= 0x5A);
    fs::write(path, bytes).unwrap();
}

fn members(folder: &Folder) -> Vec<Vec<u8>> {
    (0..8).map_while(|slot| fs::read(folder.path().join(format!("d{slot}"))).ok()).collect()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn a_rotten_block_is_named_and_healed_where_that_can_be_known() {
    for (create, count, words) in [
        ("--level 6", 4, "P and Q agree"),
        ("--level 1", 3, "most copies are alike"),
        ("--level 10 --layout n3", 3, "most copies are alike"),
    ] {
        let folder = filled(create, count);
        assert_eq!(folder.raid(&["check", "."]).code, 0, "{create}");
        let (name, at) = place(&folder, 1234);
        let good = members(&folder);
        rot(&folder, &name, at + 100, 40);
        // That no file changes is what `Folder::raid` asserts.
        let found = folder.raid(&["check", "."]);
        assert_eq!(found.code, 1, "{create}: {}{}", found.stdout, found.stderr);
        let bytes = format!("{name} bytes {}-{} ", at + 100, at + 139);
        let array = format!("array bytes {}-{}", 1234 * 512, 1235 * 512 - 1);
        for word in [words, &bytes, &array, "40 bytes", "1 places wrong"] {
            assert!(found.stdout.contains(word), "{create}: {word}: {}", found.stdout);
        }
        let document = json(&folder.raid(&["check", "--json", "."]));
        let finding = &document["findings"][0];
        assert_eq!(
            (&finding["fault"], &finding["bytes"], &finding["mended"]),
            (&"blocks".into(), &40.into(), &"not-asked".into())
        );
        assert_eq!(finding["blocks"][0]["from_bytes"], at + 100);

        let repaired = raid(&folder, "repair .");
        assert_eq!(repaired.code, 0, "{create}: {}{}", repaired.stdout, repaired.stderr);
        assert!(repaired.stdout.contains("1 repaired, 0 left"), "{}", repaired.stdout);
        assert!(members(&folder) == good, "{create}: it is as it was, and nothing else was written");
        assert_eq!(folder.raid(&["check", "."]).code, 0);
    }
}

#[test]
fn where_nobody_can_know_it_is_said_and_only_trust_lets_anything_be_written() {
    for (create, count, words) in [
        ("--level 5", 3, "one parity cannot know"),
        ("--level 4", 3, "one parity cannot know"),
        ("--level 1", 2, "two cannot know"),
    ] {
        let folder = filled(create, count);
        let (name, at) = place(&folder, 1234);
        let good = members(&folder);
        rot(&folder, &name, at, 512);
        let rotten = members(&folder);
        let left = raid(&folder, "repair .");
        assert_eq!(left.code, 1, "{create}");
        assert!(left.stdout.contains(words) && left.stdout.contains("0 repaired, 1 left"), "{}", left.stdout);
        assert!(members(&folder) == rotten, "{create}: nothing justifies a write");

        let wrong = if create == "--level 1" { "data" } else { "copy=d0" };
        assert_eq!(raid(&folder, &format!("repair --trust {wrong} .")).code, 2, "{create}");
        assert_eq!(raid(&folder, "repair --trust all-but=nobody .").code, 2);
        assert_eq!(raid(&folder, "repair --trust all-but=7 .").code, 2);
        assert!(members(&folder) == rotten);
        // Who is said to be wrong is made from the others.
        assert_eq!(raid(&folder, &format!("repair --trust all-but={name} .")).code, 0, "{create}");
        assert!(members(&folder) == good, "{create}");
        // The other side: what md's repair does.
        rot(&folder, &name, at, 512);
        let side = if create == "--level 1" { format!("copy={name}") } else { "data".to_owned() };
        assert_eq!(raid(&folder, &format!("repair --trust {side} .")).code, 0, "{create}");
        let slot = usize::from(name.as_bytes()[1] - b'0');
        assert!(members(&folder)[slot] == rotten[slot] && members(&folder) != good, "{create}");
        assert_eq!(folder.raid(&["check", "."]).code, 0);
    }
}

#[test]
fn what_linux_made_is_found_in_order_in_md_and_ddf() {
    for fixture in [
        "md-1.2-raid5-4-ls",
        "md-1.2-raid10-4-f2",
        "md-0.90-raid5-3",
        "ddf-uml-raid6",
        "ddf-uml-raid5",
        "ddf-uml-raid10",
    ] {
        let members = raid_testkit::fixtures::load(fixture).members.len();
        let folder = Folder::new().with(fixture, "d", &(0..members).collect::<Vec<_>>());
        let checked = folder.raid(&["check", "."]);
        assert_eq!(checked.code, 0, "{fixture}: {}{}", checked.stdout, checked.stderr);
    }
}

#[test]
fn what_is_not_compared_is_said_and_is_no_success() {
    // Degraded: all parity stands in for what is missing.
    let folder = filled("--level 5", 3);
    let blind = folder.raid(&["check", "d0", "d1"]);
    assert!(blind.code == 6 && blind.stdout.contains("stands in for what is missing"), "{}", blind.stdout);
    // Degraded RAID 6 has one parity left: it sees that something is wrong, not what.
    let folder = filled("--level 6", 4);
    let (name, at) = place(&folder, 1234);
    let rest: Vec<&str> = ["d0", "d1", "d2", "d3"].into_iter().filter(|other| *other != "d3" || name == "d3").collect();
    let rest = &rest[if rest.len() == 4 { 1 } else { 0 }..];
    rot(&folder, &name, at, 1);
    let half = folder.raid(&[&["check"], rest].concat());
    assert!(half.code == 1 && half.stdout.contains("one parity cannot know"), "{}", half.stdout);
    // Killed in the middle of its first resync: that is no mismatch.
    let folder = array("--level 5", 3);
    let served = serve(&folder, ".").unwrap();
    assert_eq!(raid(&folder, "limit --max 64K .").code, 0);
    client(&folder).write_at(0, &pattern::sectors(0, 100)).unwrap();
    served.kill();
    let doubted = folder.raid(&["check", "."]);
    assert!(
        doubted.code == 6 && doubted.stdout.contains("in doubt after a crash"),
        "{}{}",
        doubted.stdout,
        doubted.stderr
    );
    assert!(doubted.stdout.contains("nothing wrong"), "{}", doubted.stdout);
    let repaired = raid(&folder, "repair --trust data .");
    assert!(repaired.code == 6 && repaired.stdout.contains("in doubt after a crash"), "{}", repaired.stdout);
    assert_eq!(raid(&folder, "rebuild .").code, 0);
    assert_eq!(folder.raid(&["check", "."]).code, 0);
    // Without redundancy there is nothing to compare.
    let folder = filled("--level 0", 2);
    let none = folder.raid(&["check", "."]);
    assert!(none.code == 3 && none.stderr.contains("no redundancy"), "{}", none.stderr);
}

/// An array that was to be run without being healed was told its rates before it was told to hold still: the pass began with the first
/// region in doubt. Of one that is only looked at the first member that should have been written to was thrown out, and nothing was
/// compared any more; a repair resynchronised rows without being asked to. Seen with a mirror's log and with MD's bitmap: killed after a
/// write to one region, rotten in another, and the check found "nothing wrong".
#[test]
fn after_a_crash_a_check_leaves_out_what_is_in_doubt_and_no_more() {
    for (create, count) in [("--level 1", 2), ("--level 5", 3)] {
        let folder = filled(&format!("{create} --bitmap-chunk 64K"), count);
        let served = serve(&folder, ".").unwrap();
        let writer = client(&folder);
        writer.write_at(0, &pattern::sectors(0, 100)).unwrap();
        writer.flush().unwrap();
        served.kill();
        let (name, at) = place(&folder, 3456);
        rot(&folder, &name, at, 512);
        let checked = folder.raid(&["check", "."]);
        let said = &checked.stdout;
        assert!(checked.code == 1 && said.contains("in doubt after a crash"), "{create}: {} {said}", checked.code);
        assert!(said.contains("cannot know") && !said.contains("not in sync"), "{create}: {said}");
    }
}

#[test]
fn a_part_is_checked_by_the_arrays_bytes() {
    let folder = filled("--level 6", 4);
    let (name, at) = place(&folder, 1234);
    rot(&folder, &name, at, 1);
    assert_eq!(folder.raid(&["check", "--length", "256K", "."]).code, 0);
    assert_eq!(folder.raid(&["check", "--offset", "512K", "--length", "256K", "."]).code, 1);
    assert_eq!(folder.raid(&["check", "--offset", "1T", "."]).code, 2);
    let document = json(&folder.raid(&["check", "--json", "--offset", "512K", "--length", "1", "."]));
    assert_eq!(document["check"]["total_bytes"], 64 << 10, "one stripe: a chunk of each member");
}

#[test]
fn a_served_array_is_checked_beside_its_clients_called_off_and_repaired() {
    let folder = filled("--level 6", 4);
    let (name, at) = place(&folder, 1234);
    let good = members(&folder);
    rot(&folder, &name, at + 7, 1);
    let served = serve(&folder, ".").unwrap();
    let writer = client(&folder);
    let none = raid(&folder, "check --last .");
    assert!(none.code == 1 && none.stderr.contains("no check was made"), "{}", none.stderr);
    assert_eq!(raid(&folder, "limit --max 256K --busy 256K .").code, 0);
    let begun = raid(&folder, "check --no-wait .");
    assert!(begun.code == 0 && begun.stdout.contains("check "), "{}", begun.stdout);
    let busy = raid(&folder, "repair .");
    assert!(busy.code == 3 && busy.stderr.contains("--stop"), "{}", busy.stderr);
    let status = json(&raid(&folder, "status --json ."));
    assert_eq!((&status["check"]["running"], &status["check"]["repair"]), (&true.into(), &Value::Null));
    assert_eq!(raid(&folder, "pause .").code, 0);
    assert!(raid(&folder, "status .").stdout.contains("paused"));
    assert_eq!(raid(&folder, "check --stop .").code, 0);
    assert_eq!(raid(&folder, "resume .").code, 0);
    while json(&raid(&folder, "status --json ."))["check"]["running"] == true {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(raid(&folder, "check --last .").code, 1, "it did not get through");
    assert_eq!(raid(&folder, "limit .").code, 0);

    writer.write_at(100 * 512, &pattern::sectors(100, 50)).unwrap();
    let found = raid(&folder, "check .");
    assert!(found.code == 1 && found.stdout.contains(&format!("{name} bytes {0}-{0} ", at + 7)), "{}", found.stdout);
    assert_eq!(raid(&folder, "check --last --json .").code, 1);
    let repaired = raid(&folder, "repair --trust data .");
    assert!(repaired.code == 0 && repaired.stdout.contains("1 repaired, 0 left"), "{}", repaired.stdout);
    let last = raid(&folder, "status .");
    assert!(last.stdout.contains("repair") && last.stdout.contains("1 repaired"), "{}", last.stdout);
    assert_eq!(raid(&folder, "check .").code, 0);
    let mut read = vec![0; 512];
    writer.read_at(1234 * 512, &mut read).unwrap();
    assert!(read == pattern::sectors(1234, 1));
    drop(writer);
    assert_eq!(served.stop().0, 0);
    let slot = usize::from(name.as_bytes()[1] - b'0');
    let at = usize::try_from(at).unwrap();
    assert_eq!(members(&folder)[slot][at..at + 512], good[slot][at..at + 512]);
}

#[test]
fn the_words_of_a_check() {
    let folder = filled("--level 5 --name tank", 3);
    let (name, at) = place(&folder, 1234);
    rot(&folder, &name, at, 3);
    let text = folder.raid(&["check", "."]).stdout;
    let uuid = text.split_whitespace().next().unwrap().to_owned();
    insta::assert_snapshot!("check", text.replace(&uuid, "UUID"));
    let document = folder.raid(&["check", "--json", "."]).stdout;
    insta::assert_snapshot!("check_json", document.replace(&uuid, "UUID"));
}
