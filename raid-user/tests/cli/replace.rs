//! `raid replace`, and spares: served or not, seen in `raid status`, refused where the format has no word for it.

use raid_testkit::pattern;
use raid_user::media::{Media as _, MediaMut as _};

use super::Folder;
use super::running::{array, client, raid, serve};

const BYTES: usize = 4 << 20;

fn status(folder: &Folder, what: &str) -> serde_json::Value {
    let status: serde_json::Value = serde_json::from_str(&raid(folder, "status --json d0").stdout).unwrap();
    status.pointer(what).cloned().unwrap_or_default()
}

fn until(so: impl Fn() -> bool) {
    while !so() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_member_is_replaced_under_its_clients_and_can_be_taken_away_then() {
    let folder = array("--level 5 --assume-clean", 3);
    folder.file("new", &vec![0xEE; BYTES]);
    let served = serve(&folder, "d0 d1 d2").unwrap();
    let client = client(&folder);
    let bytes = pattern::sectors(3, 4000);
    client.write_at(0, &bytes).unwrap();
    assert_eq!(raid(&folder, "limit --max 512K d0").code, 0);
    let begun = raid(&folder, "replace --no-wait --member d1 --new new d0");
    assert!(begun.code == 0 && begun.stdout.contains("is to replace it"), "{}{}", begun.stdout, begun.stderr);
    assert_eq!((status(&folder, "/state"), status(&folder, "/pass/kind")), ("healthy".into(), "replace".into()));
    assert_eq!(status(&folder, "/slots/1/copy/state"), "rebuilding");
    let twice = raid(&folder, "replace --slot 1 --new other d0");
    assert_eq!(twice.code, 5, "{}", twice.stderr);
    folder.file("other", &vec![0; BYTES]);
    let twice = raid(&folder, "replace --slot 1 --new other d0");
    assert!(twice.code == 4 && twice.stderr.contains("is being replaced already"), "{}", twice.stderr);
    client.write_at(1 << 20, &bytes[..70_000]).unwrap();
    // Thrown out, it leaves, and that is told; the old one serves on.
    let gone = raid(&folder, "fail --member new d0");
    assert!(gone.code == 0 && gone.stdout.contains("was to replace it, and failed"), "{}{}", gone.stdout, gone.stderr);
    assert_eq!((status(&folder, "/slots/1/state"), status(&folder, "/state")), ("in-sync".into(), "healthy".into()));
    assert_eq!(raid(&folder, "limit d0").code, 0);
    let done = raid(&folder, "replace --slot 1 --new other d0");
    assert!(done.code == 0 && done.stdout.contains("healthy"), "{}{}", done.stdout, done.stderr);
    let member = status(&folder, "/slots/1/member");
    assert!(member.as_str().unwrap().ends_with("other") && status(&folder, "/slots/1/copy").is_null(), "{member}");
    // Nobody holds the old one any more.
    until(|| raid(&folder, "create --force --level 0 d1 new").code == 0);
    let mut read = vec![0; 70_000];
    client.read_at(1 << 20, &mut read).unwrap();
    assert!(read == bytes[..70_000]);
    drop(client);
    assert_eq!(served.stop(), (0, String::new()));
    assert_eq!(raid(&folder, "check d0 other d2").code, 0);
    assert!(raid(&folder, "explain d0 other d2").stdout.contains("It opens as it is"));
}

#[test]
fn what_nobody_serves_is_replaced_by_the_verb_itself() {
    for level in ["1", "6", "10"] {
        let folder = array(&format!("--level {level} --assume-clean"), 4);
        folder.file("new", &vec![0xEE; BYTES]);
        let done = raid(&folder, "replace --slot 2 --new new d0 d1 d2 d3");
        assert!(done.code == 0 && done.stdout.contains("healthy"), "level {level}: {}{}", done.stdout, done.stderr);
        std::fs::remove_file(folder.path().join("d2")).unwrap();
        assert_eq!(raid(&folder, "check d0 d1 new d3").code, 0, "level {level}");
    }
}

#[test]
fn formats_without_a_word_for_it_refuse_and_write_nothing() {
    let folder = array("--metadata 0.90 --level 5 --assume-clean", 3);
    folder.file("new", &vec![0xEE; BYTES]);
    let refused = raid(&folder, "replace --slot 1 --new new d0 d1 d2");
    assert!(refused.code == 3 && refused.stderr.contains("0.90"), "{}", refused.stderr);
    assert!(std::fs::read(folder.path().join("new")).unwrap().iter().all(|byte| *byte == 0xEE));
    let plain = array("--level 0", 2);
    plain.file("new", &vec![0; BYTES]);
    assert_eq!(raid(&plain, "replace --slot 1 --new new d0 d1").code, 3);
    let ddf = Folder::new();
    ["d0", "d1", "new"].iter().for_each(|name| drop(ddf.file(name, &vec![0; 40 << 20])));
    assert_eq!(raid(&ddf, "create --format ddf --level 1 --assume-clean d0 d1").code, 0);
    let refused = raid(&ddf, "replace --slot 1 --new new d0 d1");
    assert!(refused.code == 3 && refused.stderr.contains("no word"), "{}", refused.stderr);
    let refused = raid(&ddf, "add --new new d0 d1");
    assert!(refused.code == 3 && refused.stderr.contains("not kept yet"), "{}", refused.stderr);
}

#[test]
fn who_is_added_where_no_slot_is_empty_is_a_spare_and_takes_over_by_itself() {
    for version in ["0.90", "1.2"] {
        let folder = array(&format!("--metadata {version} --level 5 --assume-clean"), 3);
        for name in ["new", "more"] {
            folder.file(name, &vec![0xEE; BYTES]);
        }
        let kept = raid(&folder, "add --new new d0 d1 d2");
        assert!(kept.code == 0 && kept.stderr.contains("waits as a"), "{}{}", kept.stdout, kept.stderr);
        assert!(kept.stdout.contains("spare      "), "{}", kept.stdout);
        let examined = folder.raid(&["examine", "new"]).stdout;
        assert!(examined.contains("spare"), "{examined}");
        let served = serve(&folder, "d0 d1 d2 new").unwrap();
        assert_eq!(raid(&folder, "add --new more d0").code, 0);
        assert_eq!(raid(&folder, "add --new more d0").code, 3, "it is one already");
        assert_eq!(raid(&folder, "remove --member more d0").code, 0);
        assert!(status(&folder, "/spares/1").is_null() && !status(&folder, "/spares/0").is_null());
        let bytes = pattern::sectors(9, 2000);
        client(&folder).write_at(0, &bytes).unwrap();
        assert_eq!(raid(&folder, "fail --slot 1 d0").code, 0);
        until(|| status(&folder, "/slots/1/member").as_str().is_some_and(|name| name.ends_with("new")));
        assert_eq!(raid(&folder, "rebuild d0").code, 0);
        assert_eq!((status(&folder, "/state"), status(&folder, "/spares/0")), ("healthy".into(), ().into()));
        assert_eq!(served.stop().0, 0);
        assert_eq!(raid(&folder, "check d0 new d2").code, 0, "{version}");
    }
}
