//! Copies, streams, comparisons and servers of real arrays.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use raid_testkit::fixtures::sha256;
use raid_testkit::{fixtures, pattern};
use raid_user::media::nbd::Uri;
use raid_user::media::{Media, MemMedia};
use raid_user::nbd::{Address, Client, ServeOptions, Target, serve};

use super::Folder;

const CASE: &str = "md-1.2-raid6-5-ls";

fn kernel_hash() -> String {
    fixtures::load(CASE).text("content.sha256").split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_copy_of_a_doubly_degraded_array_has_the_kernels_hash() {
    let folder = Folder::new().with(CASE, "", &[0, 2, 4]);
    let ran = folder.raid(&["copy", "--sha256", "d0.img", "d2.img", "d4.img", "out"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains(&kernel_hash()), "{}", ran.stdout);
    assert!(ran.stderr.contains("degraded"));
    let bytes = fs::read(folder.path().join("out")).unwrap();
    let hash: String = sha256(&bytes);
    assert_eq!(hash, kernel_hash());
    assert_eq!(folder.raid(&["copy", "d0.img", "d2.img", "d4.img", "out"]).code, 3, "it exists now");
    assert_eq!(folder.raid(&["copy", "--force", "d0.img", "d2.img", "d4.img", "d4.img"]).code, 3, "a member");
    assert_eq!(folder.raid(&["compare", "d0.img", "d2.img", "d4.img", "--with", "out"]).code, 0);
}

/// The members that were named but not used (here a stale mirror) were not known to the copy, which wrote over one.
#[test]
fn no_member_that_was_named_is_written_to_used_or_not() {
    let folder = Folder::new().with("md-1.2-raid1-bitmap-degraded", "", &[0, 1]);
    for member in ["d0.img", "d1.img"] {
        for flag in ["--force", "--resume"] {
            let ran = folder.raid(&["copy", flag, "d0.img", "d1.img", member]);
            assert_eq!(ran.code, 3, "{}", ran.stderr);
            assert!(ran.stderr.contains("is one of the members"), "{}", ran.stderr);
        }
    }
    // `Folder::raid` sees that no file changed.
    assert_eq!(folder.raid(&["map", "d0.img", "d1.img", "--svg", "d1.img"]).code, 3);
}

#[test]
fn a_resume_goes_on_with_its_own_copy_only() {
    let folder = Folder::new().with(CASE, "", &[0, 1, 2, 3]);
    folder.file("letter.txt", b"precious");
    let members = ["d0.img", "d1.img", "d2.img", "d3.img"];
    let ran = folder.raid(&[&["copy", "--resume"][..], &members, &["letter.txt"]].concat());
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("no note beside it"), "{}", ran.stderr);
    let fresh = folder.raid(&[&["copy", "--resume", "--verify", "--progress"][..], &members, &["out"]].concat());
    assert_eq!(fresh.code, 0, "{}", fresh.stderr);
    assert!(fresh.stdout.contains("read again and right") && fresh.stderr.contains("100%"), "{}", fresh.stderr);
    assert_eq!(folder.raid(&["copy", "--force", "--resume", "d0.img", "out"]).code, 2);
}

#[test]
fn what_cannot_be_read_is_listed_beside_the_copy() {
    let folder = Folder::new().with("md-1.2-raid5-4-ls", "", &[0, 3]);
    let ran = folder.raid(&["copy", "--partial", "--keep-going", "d0.img", "d3.img", "out"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(ran.stdout.contains("out.raid-bad.json lists them"), "{}", ran.stdout);
    let list = fs::read(folder.path().join("out.raid-bad.json")).unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    let copy = fs::read(folder.path().join("out")).unwrap();
    let mut bad = vec![false; copy.len() / 512];
    for range in list["bad"].as_array().unwrap() {
        let start = range["offset_bytes"].as_u64().unwrap() / 512;
        let len = range["len_bytes"].as_u64().unwrap() / 512;
        bad[usize::try_from(start).unwrap()..][..usize::try_from(len).unwrap()].fill(true);
    }
    assert!(bad.contains(&true) && bad.contains(&false));
    for ((sector, bad), number) in copy.chunks(512).zip(bad).zip(0..) {
        let expected = if bad { vec![0; 512] } else { pattern::sectors(number, 1) };
        assert!(sector == expected, "sector {number}");
    }
}

#[test]
fn an_array_is_compared_with_another_array() {
    let folder = Folder::new().with("md-1.2-raid5-4-ls", "a", &[0, 1, 2]).with("md-1.2-raid5-4-la", "b", &[1, 2, 3]);
    let own = ["compare", "ad0.img", "ad1.img", "ad2.img"];
    let others = ["--with", "bd1.img", "--with", "bd2.img", "--with", "bd3.img"];
    // Another layout, another missing member, the same content.
    assert_eq!(folder.raid(&[&own[..], &others].concat()).code, 0);
    assert_eq!(folder.raid(&[&own[..], &["--with", "bd1.img"]].concat()).code, 1, "a member is not its array");
}

#[test]
fn a_comparison_tells_where_the_other_differs() {
    let folder = Folder::new().with(CASE, "", &[0, 1, 2, 3, 4]);
    let ran = folder.raid(&["copy", "--array", "uml:md-1.2-raid6-5-ls", ".", "out"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut bytes = fs::read(folder.path().join("out")).unwrap();
    bytes[70_000] ^= 1;
    fs::write(folder.path().join("out"), bytes).unwrap();
    let members = ["d0.img", "d1.img", "d2.img", "d3.img", "d4.img"];
    let ran = folder.raid(&[&["compare"][..], &members, &["--with", "out"]].concat());
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("1 sectors differ, first at byte 70000"), "{}", ran.stdout);
}

#[test]
fn cat_gives_a_range_and_refuses_one_outside() {
    let folder = Folder::new().with(CASE, "", &[0, 1, 2, 3, 4]);
    let arguments = ["cat", "--offset", "51200", "--length", "1024", "."];
    let output = Command::new(env!("CARGO_BIN_EXE_raid")).args(arguments).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.stdout, pattern::sectors(100, 2));
    assert_eq!(folder.raid(&["cat", "--offset", "1", "--length", "99999999999", "."]).code, 2);
}

#[test]
fn serve_serves_until_the_last_client_is_gone() {
    let folder = Folder::new().with(CASE, "", &[1, 2, 3]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_raid"))
        .args(["serve", "--once", "--socket", "socket", "."])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "nbd+unix:///?socket=socket");
    let uri = Uri::parse(&format!("nbd+unix:///?socket={}/socket", folder.path().display())).unwrap();
    let client = Client::connect(&uri).unwrap();
    let mut bytes = vec![0; usize::try_from(client.size_bytes()).unwrap()];
    client.read_at(0, &mut bytes).unwrap();
    let hash: String = sha256(&bytes);
    assert_eq!(hash, kernel_hash());
    drop(client);
    assert!(child.wait().unwrap().success());
    assert!(!folder.path().join("socket").exists());
}

#[test]
fn serve_stops_when_it_is_told_to_and_takes_its_socket_along() {
    for signal in ["INT", "TERM"] {
        let folder = Folder::new().with(CASE, "", &[1, 2, 3]);
        let mut child = Command::new(env!("CARGO_BIN_EXE_raid"))
            .args(["serve", "--json", "-q", "--socket", "socket", "."])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut document = serde_json::Deserializer::from_reader(child.stdout.take().unwrap()).into_iter();
        let document: serde_json::Value = document.next().unwrap().unwrap();
        assert_eq!(document["schema"], "raid.serve/1");
        assert_eq!(document["size_bytes"], 9_437_184);
        // A client that stays does not keep it.
        let uri = Uri::parse(&format!("nbd+unix:///?socket={}/socket", folder.path().display())).unwrap();
        let client = Client::connect(&uri).unwrap();
        let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success() && child.wait().unwrap().success(), "{signal}");
        assert!(!folder.path().join("socket").exists());
        drop(client);
    }
}

#[test]
fn serve_refuses_the_world_unless_told() {
    let folder = Folder::new().with(CASE, "", &[0, 1, 2, 3, 4]);
    let ran = folder.raid(&["serve", "--tcp", "0.0.0.0:0", "."]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("loopback"), "{}", ran.stderr);
}

#[test]
fn members_over_nbd_and_inside_partitions_and_images_assemble() {
    let folder = Folder::new().with(CASE, "", &[0, 1, 2, 3]);
    let qcow2 = raid_testkit::tool("qemu-img").map(|tool| {
        let arguments = ["convert", "-f", "raw", "-O", "qcow2", "d1.img", "d1.qcow2"];
        let done = Command::new(tool).args(arguments).current_dir(folder.path()).status().unwrap();
        assert!(done.success());
        "d1.qcow2"
    });
    let inner = fs::read(folder.path().join("d2.img")).unwrap();
    let mut disk = vec![0; 2048 * 512 + inner.len()];
    disk[2048 * 512..].copy_from_slice(&inner);
    disk[446..462].copy_from_slice(&[0, 0, 0, 0, 0xfd, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0]);
    disk[458..462].copy_from_slice(&u32::try_from(inner.len() / 512).unwrap().to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    folder.file("disk.img", &disk);
    let remote = std::sync::Arc::new(MemMedia::new("d3.img", fs::read(folder.path().join("d3.img")).unwrap()));
    let address = Address::Unix(folder.path().join("socket"));
    let running = serve(Target::ReadOnly(remote), ServeOptions::new(address)).unwrap();
    let uri = running.uri();
    let ran = folder.raid(&["copy", "--sha256", "d0.img", qcow2.unwrap_or("d1.img"), "disk.img#1", &uri, "out"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains(&kernel_hash()), "{}", ran.stdout);
}

#[test]
fn copies_and_comparisons_have_documents() {
    let folder = Folder::new().with(CASE, "", &[0, 1, 2, 3]);
    let members = ["d0.img", "d1.img", "d2.img", "d3.img"];
    let copy = folder.raid(&[&["copy", "--json", "--sha256"][..], &members, &["out"]].concat());
    insta::assert_snapshot!("copy_json", copy.stdout);
    let compare = folder.raid(&[&["compare", "--json"][..], &members, &["--with", "out"]].concat());
    insta::assert_snapshot!("compare_json", compare.stdout);
}
