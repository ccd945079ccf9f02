//! Copies, streams, comparisons and servers of real arrays.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use raid_testkit::{fixtures, pattern};
use raid_user::media::nbd::Uri;
use raid_user::media::{Media, MemMedia};
use raid_user::nbd::{Address, Client, ServeOptions, Target, serve};
use sha2::{Digest, Sha256};

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
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, kernel_hash());
    assert_eq!(folder.raid(&["copy", "d0.img", "d2.img", "d4.img", "out"]).code, 3, "it exists now");
    assert_eq!(folder.raid(&["copy", "--force", "d0.img", "d2.img", "d4.img", "d4.img"]).code, 3, "a member");
    assert_eq!(folder.raid(&["compare", "d0.img", "d2.img", "d4.img", "--with", "out"]).code, 0);
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
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, kernel_hash());
    drop(client);
    assert!(child.wait().unwrap().success());
    assert!(!folder.path().join("socket").exists());
}

#[test]
fn serve_refuses_the_world_unless_told() {
    let folder = Folder::new().with(CASE, "", &[0, 1, 2, 3, 4]);
    let ran = folder.raid(&["serve", "--tcp", "0.0.0.0:0", "."]);
    assert_eq!(ran.code, 5);
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
