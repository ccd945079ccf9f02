//! Copies that stop anywhere and go on, bad ranges, refusals.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::resume::Note;
use super::*;
use crate::media::{FaultyMedia, Media, MediaId, MemMedia};

const SIZE: usize = 300_000;

fn content() -> Vec<u8> {
    (0..SIZE).map(|at| (at * 7 % 251).to_le_bytes()[0]).collect()
}

fn memory() -> MemMedia {
    MemMedia::new("memory", content())
}

fn small() -> CopyOptions {
    CopyOptions { block_bytes: 8192, ..CopyOptions::default() }
}

fn out() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    (folder, path)
}

fn copy_of(source: &dyn Media, path: &Path, options: &CopyOptions) -> Result<Copied, CopyError> {
    copy(source, "array", path, options, &mut |_| ())
}

#[test]
fn a_copy_is_equal_and_its_hash_is_known() {
    use sha2::{Digest, Sha256};
    let (_folder, path) = out();
    let mut seen = Vec::new();
    let options = CopyOptions { sha256: true, ..small() };
    let copied = copy(&memory(), "array", &path, &options, &mut |progress| seen.push(progress.done_bytes)).unwrap();
    assert!(fs::read(&path).unwrap() == content());
    let expected: String = Sha256::digest(content()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(copied.sha256, Some(expected));
    assert!(seen.is_sorted() && seen.last() == Some(&(SIZE as u64)));
    assert!(!Note::path(&path).exists());
}

#[test]
fn zeros_become_holes_in_a_fresh_file() {
    let mut bytes = vec![0; 8 << 20];
    bytes[3 << 20..(3 << 20) + 10].fill(1);
    let (_folder, path) = out();
    copy_of(&MemMedia::new("sparse", bytes.clone()), &path, &CopyOptions::default()).unwrap();
    assert!(fs::read(&path).unwrap() == bytes);
    assert!(fs::metadata(&path).unwrap().blocks() * 512 < 2 << 20);
}

#[test]
fn what_exists_is_overwritten_only_by_force_and_then_wholly() {
    let (_folder, path) = out();
    fs::write(&path, vec![0xff; SIZE * 2]).unwrap();
    assert!(matches!(copy_of(&memory(), &path, &small()), Err(CopyError::Exists(_))));
    assert_eq!(fs::read(&path).unwrap(), vec![0xff; SIZE * 2]);
    let zeros = MemMedia::new("zeros", vec![0; SIZE]);
    copy_of(&zeros, &path, &CopyOptions { force: true, ..small() }).unwrap();
    assert!(fs::read(&path).unwrap() == vec![0; SIZE]);
}

#[test]
fn a_member_is_never_the_output_whatever_its_name() {
    let (folder, path) = out();
    fs::write(&path, b"a member").unwrap();
    let member = MediaId::of_file(&fs::metadata(&path).unwrap(), 8);
    let (link, hard) = (folder.path().join("link"), folder.path().join("hard"));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    fs::hard_link(&path, &hard).unwrap();
    let options = CopyOptions { force: true, forbidden: vec![member], ..small() };
    for name in [&path, &link, &hard] {
        assert!(matches!(copy_of(&memory(), name, &options), Err(CopyError::Member(_))));
    }
    assert_eq!(fs::read(&path).unwrap(), b"a member");
}

#[test]
fn a_resume_of_another_array_is_refused() {
    let (_folder, path) = out();
    let broken = FaultyMedia::new(memory()).fail_reads(200_000..200_100);
    assert!(matches!(copy_of(&broken, &path, &small()), Err(CopyError::Read { .. })));
    let options = CopyOptions { resume: true, ..small() };
    let other = copy(&memory(), "another", &path, &options, &mut |_| ());
    assert!(matches!(other, Err(CopyError::OtherSource { .. })));
    let size = copy(&MemMedia::new("memory", vec![0; 5]), "array", &path, &options, &mut |_| ());
    assert!(matches!(size, Err(CopyError::OtherSource { .. })));
}

#[test]
fn keep_going_lists_exactly_what_is_bad() {
    let (_folder, path) = out();
    let broken = FaultyMedia::new(memory()).fail_reads(100_000..100_001).fail_reads(204_800..212_992);
    let copied = copy_of(&broken, &path, &CopyOptions { keep_going: true, ..small() }).unwrap();
    let ranges: Vec<_> = copied.bad.iter().map(|bad| (bad.offset_bytes, bad.len_bytes)).collect();
    assert_eq!(ranges, [(98_304, 4096), (204_800, 8192)]);
    let mut expected = content();
    for (at, len) in ranges {
        expected[usize::try_from(at).unwrap()..][..usize::try_from(len).unwrap()].fill(0);
    }
    assert!(fs::read(&path).unwrap() == expected);
}

#[test]
fn a_comparison_finds_sectors_ranges_and_sizes() {
    let mut other = content();
    other[700] ^= 1;
    other[1024] ^= 1;
    other[250_000] ^= 1;
    other.truncate(SIZE - 1000);
    let found = compare(&memory(), &MemMedia::new("other", other), &mut |_| ()).unwrap();
    assert_eq!((found.first_difference, found.differing_sectors), (Some(700), 3));
    assert_eq!(found.ranges, [(512, 1024), (249_856, 512)]);
    assert!(!found.same());
    assert!(compare(&memory(), &memory(), &mut |_| ()).unwrap().same());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_copy_that_stops_anywhere_goes_on_to_an_equal_one(at in 0..SIZE as u64, block in 1..20_usize, again in 0..SIZE as u64) {
        let (_folder, path) = out();
        let options = CopyOptions { block_bytes: block * 1000, resume: true, sha256: true, ..CopyOptions::default() };
        for cut in [at, again] {
            let before = Note::load(&path).map_or(0, |note| note.position_bytes);
            let cut = cut.max(before);
            let broken = FaultyMedia::new(memory()).fail_reads(cut..cut + 1);
            prop_assert!(copy_of(&broken, &path, &options).is_err());
            let done = usize::try_from(Note::load(&path).unwrap().position_bytes).unwrap();
            prop_assert!(fs::read(&path).unwrap()[..done] == content()[..done]);
        }
        let copied = copy_of(&memory(), &path, &options).unwrap();
        prop_assert!(fs::read(&path).unwrap() == content());
        prop_assert!(copied.sha256.is_some() && copied.resumed_at_bytes <= SIZE as u64);
    }
}
