//! Arrays that are written to: `serve --write`, the control socket, and the verbs that administer a running array or run one themselves.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use raid_testkit::pattern;
use raid_testkit::served::{Served, raid_in};
use raid_user::media::nbd::Uri;
use raid_user::media::{Media, MediaMut};
use raid_user::nbd::ClientMut;

use super::{Folder, Ran};

const BYTES: usize = 4 << 20;

/// Runs the tool where it may write, with its control sockets in the folder. Lines for people fit 80 columns here too.
pub(super) fn raid(folder: &Folder, line: &str) -> Ran {
    let output = raid_in(env!("CARGO_BIN_EXE_raid"), folder.path()).args(line.split(' ')).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in stdout.lines().chain(stderr.lines()).filter(|_| !line.contains("--json")) {
        // A path or a UUID that no line holds is not broken.
        let fits = line.chars().count() <= 80 || line.split_whitespace().count() <= 2;
        assert!(fits, "{} columns: {line}", line.chars().count());
    }
    Ran { code: output.status.code().unwrap(), stdout, stderr }
}

/// An array of `count` new members `d0`, `d1` and so on.
pub(super) fn array(create: &str, count: usize) -> Folder {
    let folder = Folder::new();
    (0..count).for_each(|index| drop(folder.file(&format!("d{index}"), &vec![0; BYTES])));
    let members: String = (0..count).map(|index| format!(" d{index}")).collect();
    let made = raid(&folder, &format!("create --chunk 64K {create}{members}"));
    assert_eq!(made.code, 0, "{}", made.stderr);
    folder
}

pub(super) fn serve(folder: &Folder, line: &str) -> Result<Served, (i32, String)> {
    let arguments: Vec<&str> = ["--write", "--socket", "s"].into_iter().chain(line.split(' ')).collect();
    Served::start(env!("CARGO_BIN_EXE_raid"), folder.path(), &arguments)
}

pub(super) fn client(folder: &Folder) -> ClientMut {
    let socket = folder.path().join("s");
    ClientMut::connect(&Uri::parse(&format!("nbd+unix:///?socket={}", socket.display())).unwrap()).unwrap()
}

pub(super) fn cat(folder: &Folder, members: &str) -> Vec<u8> {
    let arguments = std::iter::once("cat").chain(members.split(' '));
    let output = raid_in(env!("CARGO_BIN_EXE_raid"), folder.path()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What the client wrote is the array's content, whole and, if the level lets it, without the first member.
#[test]
fn what_clients_write_is_on_the_members_of_every_level_when_the_server_was_stopped() {
    for (level, count) in [("linear", 2), ("0", 3), ("1", 2), ("4", 3), ("5", 3), ("6", 4), ("10", 4)] {
        let folder = array(&format!("--level {level} --assume-clean"), count);
        let served = serve(&folder, ".").unwrap();
        let client = client(&folder);
        let mut expected = vec![0; usize::try_from(client.size_bytes()).unwrap()];
        let bytes = pattern::sectors(77, 3000);
        for (at, len) in [(0, 1_000_000), (1_500_001, 12_345), (expected.len() - 70_000, 70_000)] {
            client.write_at(at as u64, &bytes[..len]).unwrap();
            expected[at..at + len].copy_from_slice(&bytes[..len]);
        }
        client.write_zeroes(300_000, 100_000, true).unwrap();
        expected[300_000..400_000].fill(0);
        client.discard(2 << 20, 4096).unwrap();
        client.flush().unwrap();
        let mut read = vec![0; expected.len()];
        client.read_at(0, &mut read).unwrap();
        assert!(read == expected, "level {level}");
        drop(client);
        assert_eq!(served.stop(), (0, String::new()), "level {level}");
        assert!(cat(&folder, ".") == expected, "level {level}");
        let explained = folder.raid(&["explain", "."]).stdout;
        assert!(explained.contains("It opens as it is"), "{explained}");
        if !matches!(level, "linear" | "0") {
            std::fs::remove_file(folder.path().join("d0")).unwrap();
            assert!(cat(&folder, ".") == expected, "level {level} degraded");
        }
    }
}

/// What a client trims is freed on every member, parity too, and the array stays in order.
#[test]
fn a_trim_frees_what_the_members_held() {
    use std::os::unix::fs::MetadataExt as _;
    for (level, count) in [("0", 2), ("1", 2), ("5", 3), ("6", 4), ("10", 4)] {
        let folder = array(&format!("--level {level} --assume-clean"), count);
        let served = serve(&folder, ".").unwrap();
        let client = client(&folder);
        client.write_at(0, &pattern::sectors(0, 6000)).unwrap();
        client.flush().unwrap();
        let held = || -> u64 {
            let blocks = |slot| std::fs::metadata(folder.path().join(format!("d{slot}"))).unwrap().blocks();
            (0..count).map(blocks).sum()
        };
        let before = held();
        client.discard(0, 2 << 20).unwrap();
        client.flush().unwrap();
        // 2 MiB are 4096 sectors, less what the file system wants to know of the holes, and their redundancy beside them. One without
        // holes would keep them all.
        let freed = before.saturating_sub(held());
        assert!(freed >= 3500 || freed == 0, "level {level}: {freed}");
        let mut read = vec![1; 6000 * 512];
        client.read_at(0, &mut read).unwrap();
        assert!(freed == 0 || read[..2 << 20].iter().all(|byte| *byte == 0), "level {level}");
        assert!(read[2 << 20..] == pattern::sectors(0, 6000)[2 << 20..], "level {level}");
        drop(client);
        assert_eq!(served.stop(), (0, String::new()));
        if level != "0" {
            assert_eq!(raid(&folder, "check .").code, 0, "level {level}");
        }
    }
}

#[test]
fn a_member_fails_leaves_and_is_replaced_while_the_array_is_served() {
    let folder = array("--level 5", 3);
    folder.file("new", &vec![0xEE; BYTES + 512]);
    let served = serve(&folder, "d0 d1 d2").unwrap();
    assert_eq!(raid(&folder, "rebuild d0").code, 0, "it waits for the resync");
    let writer = client(&folder);
    writer.write_at(0, &pattern::sectors(5, 4000)).unwrap();
    let refused = raid(&folder, "remove --slot 1 d0");
    assert!(refused.code == 3 && refused.stderr.contains("raid fail"), "{}", refused.stderr);
    let failed = raid(&folder, "fail --member d1 d0");
    assert!(failed.code == 0 && failed.stdout.contains("degraded"), "{}{}", failed.stdout, failed.stderr);
    let refused = raid(&folder, "fail --slot 0 d0");
    assert!(refused.code == 3 && refused.stderr.contains("does not survive"), "{}", refused.stderr);
    writer.write_at(8192, &pattern::sectors(9, 800)).unwrap();
    assert_eq!(raid(&folder, "remove --slot 1 d0").code, 0);
    assert_eq!(raid(&folder, "remove --slot 1 d0").code, 3, "nobody is there any more");
    // It is let go of: another program can have it.
    assert!(std::fs::File::open(folder.path().join("d1")).unwrap().try_lock().is_ok());
    let added = raid(&folder, "add --new new d2");
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert!(added.stdout.contains("healthy") && added.stdout.contains("new: in sync"), "{}", added.stdout);
    let mut expected = vec![0; 4 << 20];
    writer.read_at(0, &mut expected).unwrap();
    drop(writer);
    assert_eq!(served.stop().0, 0);
    std::fs::remove_file(folder.path().join("d2")).unwrap();
    assert!(cat(&folder, "d0 new")[..4 << 20] == expected);
}

#[test]
fn an_array_that_nobody_serves_is_run_until_it_is_in_order() {
    let folder = array("--level 6", 4);
    folder.file("new", &vec![0xEE; BYTES]);
    let rebuilt = raid(&folder, "rebuild --progress d0 d1 d2 d3");
    assert_eq!(rebuilt.code, 0, "{}", rebuilt.stderr);
    let failed = raid(&folder, "fail --slot 3 d0 d1 d2 d3");
    assert!(failed.code == 0 && failed.stdout.contains("degraded"), "{}{}", failed.stdout, failed.stderr);
    let explained = raid(&folder, "explain d0 d1 d2 d3").stdout;
    // One event behind the others, or two if "clean" was said by itself.
    assert!(explained.contains("thrown out") || explained.contains("went on without it"), "{explained}");
    let added = raid(&folder, "add --new new d0 d1 d2");
    assert!(added.code == 0 && added.stdout.contains("healthy"), "{}{}", added.stdout, added.stderr);
    assert!(raid(&folder, "explain d0 d1 d2 new").stdout.contains("It opens as it is"));
    assert_eq!(raid(&folder, "status d0").code, 1, "nobody runs it");
    assert_eq!(raid(&folder, "remove --slot 3 d0 d1 d2").code, 1);
}

#[test]
fn what_holds_something_else_is_added_only_by_force() {
    let folder = array("--level 1", 2);
    folder.file("other", &vec![0; BYTES]);
    folder.file("small", &vec![0; BYTES / 2]);
    assert_eq!(raid(&folder, "create --level 0 --metadata 1.0 --name other other").code, 0);
    assert_eq!(raid(&folder, "fail --slot 1 d0 d1").code, 0);
    let refused = raid(&folder, "add --new other d0");
    assert!(refused.code == 3 && refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(raid(&folder, "add --new small d0").code, 4);
    assert_eq!(raid(&folder, "add --new nowhere d0").code, 5);
    assert_eq!(raid(&folder, "add --new other --slot 7 d0").code, 2);
    assert_eq!(raid(&folder, "add --new other --slot 0 d0").code, 3);
    assert_eq!(raid(&folder, "add --force --new other d0").code, 0);
    // Its old superblock is gone, or it would be found beside the new one.
    let found = raid(&folder, "scan --json d0 other").stdout;
    assert!(found.contains("\"healthy\"") && !found.contains("md 1.0"), "{found}");
    // Who was thrown out of this very array needs no force.
    assert_eq!(raid(&folder, "fail --slot 1 d0 other").code, 0);
    assert_eq!(raid(&folder, "add --new other d0").code, 0);
}

#[test]
fn who_was_a_member_gets_only_what_it_missed_and_that_is_said() {
    let folder = array("--level 5 --assume-clean --bitmap-chunk 64K", 3);
    assert_eq!(raid(&folder, "fail --slot 1 d0 d1 d2").code, 0);
    let served = serve(&folder, "d0 d2").unwrap();
    client(&folder).write_at(70_000, &[0xA7; 5000]).unwrap();
    let words = |ran: &Ran| ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    let back = raid(&folder, "add --new d1 d0");
    assert!(words(&back).contains("was in slot 1 before, and gets only what it missed"), "{}", back.stderr);
    assert!(back.code == 0 && back.stdout.contains("healthy"), "{}", back.stdout);
    assert_eq!(served.stop().0, 0);
    std::fs::copy(folder.path().join("d1"), folder.path().join("old")).unwrap();
    assert_eq!(raid(&folder, "fail --slot 1 d0 d1 d2").code, 0);
    let whole = raid(&folder, "add --whole --new d1 d0 d2");
    assert!(whole.code == 0 && !words(&whole).contains("slot 1 before"), "{}", whole.stderr);
    // What the old one lacks, no bit tells any more.
    assert_eq!(raid(&folder, "fail --slot 1 d0 d1 d2").code, 0);
    let old = raid(&folder, "add --new old d0 d2");
    assert!(old.code == 0 && words(&old).contains("is filled from the start"), "{}", old.stderr);
    assert!(cat(&folder, "d2 old")[70_000..75_000].iter().all(|byte| *byte == 0xA7));
}

#[test]
fn what_cannot_be_kept_right_is_refused_with_the_way_out_and_not_written_to() {
    let folder = array("--level 5", 3);
    let served = serve(&folder, "d0 d1 d2").unwrap();
    let (code, said) = serve(&folder, "d0 d1 d2").unwrap_err();
    assert!(code == 5 && said.contains("locked") && said.contains("raid status"), "{said}");
    drop(served);
    // Killed in its resync, and now a member is gone.
    let members = || ["d0", "d1"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
    let before = members();
    let (code, said) = serve(&folder, "d0 d1").unwrap_err();
    assert!(code == 3 && said.contains("--trust-dirty-parity"), "{said}");
    assert!(members() == before);
    let journal = Folder::new().with("md-1.2-raid5-journal-wb-crash", "", &[0, 1, 2, 3]);
    let (code, said) = serve(&journal, ".").unwrap_err();
    assert!(code == 3 && said.contains("--without-log"), "{said}");
    let (code, said) = serve(&journal, "--without-log --ignore-journal .").unwrap_err();
    assert!(code == 3 && said.contains("read-only (without --write)"), "{said}");
    let lvm = Folder::new().with("lvm-snapshot", "", &[1, 2]);
    let (code, said) = serve(&lvm, "--volume vg/lv .").unwrap_err();
    assert!(code == 3 && said.contains("not yet") && said.contains("past a snapshot"), "{said}");
}

#[test]
fn the_work_in_the_background_rests_goes_on_and_keeps_to_its_limit() {
    let folder = array("--level 1 --assume-clean", 2);
    folder.file("new", &vec![0xEE; BYTES]);
    assert_eq!(raid(&folder, "pause d0").code, 1, "nobody runs it");
    let served = serve(&folder, "d0 d1").unwrap();
    assert_eq!(raid(&folder, "fail --slot 1 d0").code, 0);
    assert_eq!(raid(&folder, "limit --max 512K --busy 256K d0").code, 0);
    let added = raid(&folder, "add --no-wait --new new d0");
    assert!(added.stdout.contains("being filled") && added.stdout.contains("512.00 KiB/s at most"), "{}", added.stdout);
    let paused = raid(&folder, "pause d0");
    assert!(paused.stdout.contains("paused"), "{}", paused.stdout);
    let status = |what: &str| -> serde_json::Value {
        let status: serde_json::Value = serde_json::from_str(&raid(&folder, "status --json d0").stdout).unwrap();
        status["pass"][what].clone()
    };
    assert_eq!((status("paused"), status("busy_bytes_per_s")), (true.into(), (256 << 10).into()));
    let before = status("done_bytes");
    let waited = raid(&folder, "rebuild d0");
    assert!(waited.code == 1 && waited.stderr.contains("raid resume"), "{}", waited.stderr);
    assert_eq!(status("done_bytes"), before, "it rests");
    assert_eq!(raid(&folder, "limit d0").code, 0, "none any more");
    assert_eq!(raid(&folder, "resume d0").code, 0);
    let rebuilt = raid(&folder, "rebuild d0");
    assert!(rebuilt.code == 0 && rebuilt.stdout.contains("healthy"), "{}{}", rebuilt.stdout, rebuilt.stderr);
    assert_eq!(served.stop().0, 0);
}

#[test]
fn the_control_socket_is_private_and_answers_nonsense_with_a_refusal() {
    let folder = array("--level 1 --assume-clean", 2);
    let _served = serve(&folder, "--control c d0 d1").unwrap();
    let socket = folder.path().join("c");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&socket).unwrap();
    let mut ask = |line: &str| {
        stream.write_all(line.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while answer.last() != Some(&b'\n') && stream.read(&mut byte).unwrap() == 1 {
            answer.push(byte[0]);
        }
        String::from_utf8(answer).unwrap()
    };
    assert!(ask("{\"version\":1,\"ask\":\"status\"}\n").contains("\"answer\":\"done\""));
    for nonsense in ["\n", "x\n", "{\"version\":1}\n", "{\"version\":1,\"ask\":\"dance\"}\n", "[1]\n"] {
        assert!(ask(nonsense).contains("\"answer\":\"refused\""), "{nonsense}");
    }
    let answer = ask("{\"version\":2,\"ask\":\"status\"}\n");
    assert!(answer.contains("speaks version 1"), "{answer}");
    assert!(ask("{\"version\":1,\"ask\":\"fail\",\"slot\":9}\n").contains("\"exit_code\":2"));
    assert_eq!(raid(&folder, "status --control c").code, 0);
    assert_eq!(raid(&folder, "status --control nowhere").code, 1);
    // By its members it is not found there: its socket is not where they say.
    assert_eq!(raid(&folder, "status d0").code, 1);
}

#[test]
fn a_copy_of_a_running_array_is_not_taken_for_it() {
    let folder = array("--level 1 --assume-clean", 2);
    for member in ["d0", "d1"] {
        std::fs::copy(folder.path().join(member), folder.path().join(format!("copy-{member}"))).unwrap();
    }
    let served = serve(&folder, "d0 d1").unwrap();
    assert!(std::fs::metadata(folder.path().join("run/raid")).unwrap().permissions().mode() & 0o777 == 0o700);
    let refused = raid(&folder, "fail --slot 1 copy-d0 copy-d1");
    assert!(refused.code == 3 && refused.stderr.contains("other members"), "{}", refused.stderr);
    let arguments = ["--write", "--socket", "s2", "copy-d0", "copy-d1"];
    let (code, said) = Served::start(env!("CARGO_BIN_EXE_raid"), folder.path(), &arguments).unwrap_err();
    assert!(code == 5 && said.contains("--control PATH"), "{said}");
    // A server that was killed leaves a socket behind; the next one takes its place.
    served.kill();
    assert_eq!(raid(&folder, "status d0").code, 1);
    let served = serve(&folder, "d0 d1").unwrap();
    assert_eq!(raid(&folder, "status d0").code, 0);
    assert_eq!(served.stop().0, 0);
}

#[test]
fn the_status_of_a_degraded_array() {
    let folder = array("--level 5 --assume-clean --name tank", 3);
    let _served = serve(&folder, "d0 d1").unwrap();
    let text = raid(&folder, "status d0").stdout;
    let document = raid(&folder, "status --json d0").stdout;
    let here = std::fs::canonicalize(folder.path()).unwrap();
    let uuid = text.split_whitespace().next().unwrap().to_owned();
    assert_eq!(raid(&folder, &format!("status {uuid}")).stdout, text);
    let places = [here.to_str().unwrap(), folder.path().to_str().unwrap()];
    let plain = |out: &str| places.iter().fold(out.replace(&uuid, "UUID"), |out, place| out.replace(place, "HERE"));
    insta::assert_snapshot!("status", plain(&text));
    insta::assert_snapshot!("status_json", plain(&document));
}
