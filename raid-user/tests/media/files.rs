//! Raw files, and the rules for names. Needs no tool.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::Path;

use raid_user::media::{Media as _, MediaMut as _, MediaSpec, Note, OpenError, Options, Run, open, open_mut};
use tempfile::TempDir;

use super::{bytes, pattern, read, refused, write};

#[test]
fn a_raw_file_is_read_at_any_offset_and_not_past_its_end() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let content = pattern(10_001);
    fs::write(&path, &content).unwrap();
    let media = read(&path).unwrap().media;
    assert_eq!((media.size_bytes(), media.block_bytes()), (10_001, 512));
    assert_eq!(bytes(&*media, 4097, 5904), content[4097..]);
    let error = media.read_at(10_000, &mut [0; 2]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains(&path.display().to_string()));
    assert_eq!(media.read_at(u64::MAX, &mut [0; 2]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn what_is_no_medium_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    File::create(path("empty")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    refused(read(path("empty")), &path("empty"), "is empty");
    refused(read(dir.path()), dir.path(), "directory");
    refused(read(path("pipe")), &path("pipe"), "pipe");
    refused(read("/dev/null"), Path::new("/dev/null"), "character device");
    refused(read(path("missing")), &path("missing"), "no such file");
    refused(read(path("dangling")), &path("dangling"), "no such file");
    refused(write(path("missing")), &path("missing"), "no such file");
    assert!(!path("missing").exists(), "opening for writing created a file");
}

#[test]
fn what_is_written_reads_back_and_is_in_the_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    fs::write(&path, vec![7; 300_000]).unwrap();
    let media = write(&path).unwrap().media;
    media.write_at(5, b"hello").unwrap();
    media.flush().unwrap();
    media.write_zeroes(100_001, 150_001, true).unwrap();
    media.write_zeroes(10, 3, false).unwrap();
    let mut expected = vec![7; 300_000];
    expected[5..10].copy_from_slice(b"hello");
    expected[10..13].fill(0);
    expected[100_001..250_002].fill(0);
    assert!(bytes(&*media, 0, 300_000) == expected);
    assert!(fs::read(&path).unwrap() == expected, "and the file kept its length");
    assert_eq!(media.write_at(299_999, b"ab").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(media.write_zeroes(0, 300_001, true).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(media.discard(u64::MAX, 2).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(fs::metadata(&path).unwrap().len(), 300_000);
}

#[test]
fn holes_are_told_and_stay_holes() {
    const MIB: u64 = 1 << 20;
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(8 * MIB).unwrap();
    file.write_all_at(&[1; 65536], 2 * MIB).unwrap();
    file.sync_all().unwrap();
    let media = read(&path).unwrap().media;
    let runs = media.allocation(0, 8 * MIB).unwrap();
    assert_eq!(runs.iter().map(|run| run.len_bytes).sum::<u64>(), 8 * MIB);
    if runs.len() == 1 {
        println!("skipped: this file system tells no holes");
        return;
    }
    let expected = [(2 * MIB, true), (65536, false), (6 * MIB - 65536, true)];
    assert_eq!(runs, expected.map(|(len_bytes, zero)| Run { len_bytes, zero }));
    assert_eq!(media.allocation(2 * MIB + 1, 5).unwrap(), [Run { len_bytes: 5, zero: false }]);
    assert_eq!(media.allocation(0, 5).unwrap(), [Run { len_bytes: 5, zero: true }]);
    let writer = write(&path).unwrap().media;
    writer.write_zeroes(2 * MIB, 65536, true).unwrap();
    assert_eq!(writer.allocation(0, 8 * MIB).unwrap(), [Run { len_bytes: 8 * MIB, zero: true }]);
    writer.write_at(0, &[1; 65536]).unwrap();
    writer.discard(0, 65536).unwrap();
    writer.flush().unwrap();
    assert_eq!(writer.allocation(0, 8 * MIB).unwrap(), [Run { len_bytes: 8 * MIB, zero: true }]);
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    fs::write(&path, [1; 512]).unwrap();
    let first = write(&path).unwrap();
    let error = refused(write(&path), &path, "locked");
    assert!(matches!(error, OpenError::Locked { .. }));
    read(&path).unwrap();
    drop(first);
    write(&path).unwrap();
}

#[test]
fn one_file_under_many_names_is_noticed() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    File::create(path("a")).unwrap().write_all(&[1; 512]).unwrap();
    fs::copy(path("a"), path("copy")).unwrap();
    fs::hard_link(path("a"), path("hard")).unwrap();
    symlink("a", path("soft")).unwrap();
    let id = |name: &str| read(path(name)).unwrap().media.identity().unwrap();
    assert_eq!(id("a"), id("hard"));
    assert_eq!(id("a"), id("soft"));
    assert_eq!(id("a"), write(path("a")).unwrap().media.identity().unwrap());
    assert!(!id("a").overlaps(&id("copy")), "equal bytes in two files are two media");
}

#[test]
fn a_file_whose_name_looks_like_a_partition_is_itself() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("disk#2");
    fs::write(&path, b"literal").unwrap();
    fs::write(dir.path().join("disk"), b"disk").unwrap();
    let opened = read(&path).unwrap();
    assert_eq!(bytes(&*opened.media, 0, 7), b"literal");
    assert_eq!(opened.notes, [Note::LiteralName]);
    assert_eq!(read(dir.path().join("disk")).unwrap().notes, []);
}

#[test]
fn an_nbd_uri_without_a_client_is_refused() {
    let spec: MediaSpec = "nbd://127.0.0.1/x".parse().unwrap();
    let error = open(&spec, &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "nbd://127.0.0.1/x: there is no NBD client here");
    assert!(matches!(open_mut(&spec).unwrap_err(), OpenError::ReadOnly { .. }));
}

#[test]
fn a_file_that_cannot_be_read_is_refused_by_name() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("secret");
    fs::write(&path, [1; 512]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&path).is_ok() {
        println!("skipped: whoever runs this may read every file (root)");
        return;
    }
    refused(read(&path), &path, "permission denied");
}
