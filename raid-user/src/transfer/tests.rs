//! Copies that stop anywhere and go on, bad ranges, refusals.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
    let (_folder, path) = out();
    let mut seen = Vec::new();
    let options = CopyOptions { sha256: true, ..small() };
    let copied = copy(&memory(), "array", &path, &options, &mut |progress| seen.push(progress.done_bytes)).unwrap();
    assert!(fs::read(&path).unwrap() == content());
    let expected: String = raid_testkit::fixtures::sha256(content());
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
    copy_of(&zeros, &path, &CopyOptions { existing: Existing::Overwrite, ..small() }).unwrap();
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
    let options = CopyOptions { existing: Existing::Overwrite, forbidden: vec![member], ..small() };
    for existing in [Existing::Refuse, Existing::Overwrite, Existing::Resume] {
        for name in [&path, &link, &hard] {
            let options = CopyOptions { existing, ..options.clone() };
            assert!(matches!(copy_of(&memory(), name, &options), Err(CopyError::Member(_))));
        }
    }
    assert_eq!(fs::read(&path).unwrap(), b"a member");
}

/// `raid copy --resume` with a mistyped OUT, or once more after the copy was whole, found no note and so started anew:
/// with the file cut to nothing.
#[test]
fn a_resume_without_a_note_touches_nothing() {
    let (_folder, path) = out();
    fs::write(&path, b"precious").unwrap();
    let options = CopyOptions { existing: Existing::Resume, ..small() };
    assert!(matches!(copy_of(&memory(), &path, &options), Err(CopyError::NothingToResume(_))));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::write(&path, b"").unwrap();
    copy_of(&memory(), &path, &options).unwrap();
    assert!(fs::read(&path).unwrap() == content());
}

#[test]
fn directories_and_character_devices_are_no_outputs() {
    let (folder, _) = out();
    for path in [folder.path(), Path::new("/dev/null")] {
        let options = CopyOptions { existing: Existing::Overwrite, ..small() };
        assert!(matches!(copy_of(&memory(), path, &options), Err(CopyError::Kind(_))));
        assert!(!Note::path(path).exists());
    }
}

#[test]
fn a_resume_of_a_copy_that_was_changed_is_refused() {
    let broken = FaultyMedia::new(memory()).fail_reads(200_000..200_100);
    let options = CopyOptions { existing: Existing::Resume, ..small() };
    for at in [0, 5, 100_000, 196_607] {
        let (_folder, path) = out();
        assert!(copy_of(&broken, &path, &small()).is_err());
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(copy_of(&memory(), &path, &options), Err(CopyError::Changed { .. })), "{at}");
        assert!(fs::read(&path).unwrap() == bytes);
        fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
        assert!(matches!(copy_of(&memory(), &path, &options), Err(CopyError::Changed { .. })));
    }
}

/// What an earlier run wrote behind its last note can be what this one reads as zeros, and zeros are left out.
#[test]
fn nothing_of_an_earlier_run_shines_through_holes() {
    let (_folder, path) = out();
    let bytes: Vec<u8> = content().into_iter().enumerate().map(|(at, b)| if at < 50_000 { b } else { 0 }).collect();
    let source = || MemMedia::new("half zeros", bytes.clone());
    assert!(copy_of(&FaultyMedia::new(source()).fail_reads(120_000..120_001), &path, &small()).is_err());
    let mut earlier = fs::read(&path).unwrap();
    earlier[200_000..].fill(0xee);
    fs::write(&path, earlier).unwrap();
    copy_of(&source(), &path, &CopyOptions { existing: Existing::Resume, ..small() }).unwrap();
    assert!(fs::read(&path).unwrap() == bytes);
}

/// The first failure that any thread met ended the copy, though blocks before it were still on their way.
#[test]
fn a_copy_stops_at_the_first_unreadable_grain_with_all_before_it() {
    for bad in [0, 4095, 8192, 100_000, SIZE as u64 - 1] {
        let (_folder, path) = out();
        // A second fault behind the first, which other threads meet earlier.
        let broken = FaultyMedia::new(memory()).fail_reads(bad..bad + 1).fail_reads(bad + 20_000..SIZE as u64);
        let Err(CopyError::Read { offset_bytes, .. }) = copy_of(&broken, &path, &small()) else { panic!("{bad}") };
        assert_eq!(offset_bytes, bad / 4096 * 4096);
        assert_eq!(Note::load(&path).unwrap().position_bytes, offset_bytes);
        let done = usize::try_from(offset_bytes).unwrap();
        assert!(fs::read(&path).unwrap()[..done] == content()[..done]);
    }
}

/// A medium whose first block takes until the others have been asked for as far as anybody dares.
struct StuckAtTheStart {
    inner: MemMedia,
    furthest: AtomicU64,
    while_stuck: AtomicU64,
}

impl Media for StuckAtTheStart {
    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        self.furthest.fetch_max(offset_bytes, Ordering::SeqCst);
        if offset_bytes == 0 {
            std::thread::sleep(Duration::from_millis(300));
            self.while_stuck.store(self.furthest.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        self.inner.read_at(offset_bytes, buf)
    }

    fn describe(&self) -> String {
        "stuck".into()
    }
}

/// While one read hung, as reads of dying disks do, the other threads read the rest of the array into memory.
#[test]
fn a_read_that_hangs_does_not_fill_the_memory() {
    let (_folder, path) = out();
    let stuck = StuckAtTheStart { inner: memory(), furthest: 0.into(), while_stuck: 0.into() };
    copy_of(&stuck, &path, &CopyOptions { block_bytes: 1000, ..small() }).unwrap();
    assert!(fs::read(&path).unwrap() == content());
    // Four threads with four blocks each: the last of sixteen was read, the seventeenth waited.
    assert_eq!(stuck.while_stuck.into_inner(), 15 * 1000);
}

#[test]
fn a_verified_copy_was_read_again() {
    let options = CopyOptions { verify: true, ..small() };
    let (_folder, path) = out();
    let copied = copy_of(&memory(), &path, &options).unwrap();
    assert!(copied.verified && copied.sha256.is_none());
    let (folder, path) = out();
    // Somebody else writes into the copy when its last block is written.
    let mut meddle = |progress: Progress| {
        if progress.done_bytes == progress.total_bytes {
            let file = fs::File::options().write(true).open(folder.path().join("out")).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, b"meddled", 10).unwrap();
        }
    };
    let done = copy(&memory(), "array", &path, &options, &mut meddle);
    assert!(matches!(done, Err(CopyError::Unverified { .. })), "{done:?}");
    assert!(Note::path(&path).exists(), "what is not proved is not called whole");
}

#[test]
fn a_resume_of_another_array_is_refused() {
    let (_folder, path) = out();
    let broken = FaultyMedia::new(memory()).fail_reads(200_000..200_100);
    assert!(matches!(copy_of(&broken, &path, &small()), Err(CopyError::Read { .. })));
    let options = CopyOptions { existing: Existing::Resume, ..small() };
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
    let list = copied.bad_list.unwrap();
    assert_eq!(list, path.with_file_name("out.raid-bad.json"));
    let list: serde_json::Value = serde_json::from_slice(&fs::read(&list).unwrap()).unwrap();
    assert_eq!((&list["schema"], &list["bad"][1]["offset_bytes"]), (&"raid.bad/1".into(), &204_800.into()));
    // A copy made anew does not keep the list of the one before.
    let again = copy_of(&memory(), &path, &CopyOptions { existing: Existing::Overwrite, ..small() }).unwrap();
    assert!(again.bad_list.is_none() && !path.with_file_name("out.raid-bad.json").exists());
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
        let options = CopyOptions { block_bytes: block * 1000, existing: Existing::Resume, sha256: true, ..CopyOptions::default() };
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

/// Panics when read behind a place, or says nothing at all of what is allocated.
struct Odd {
    data: MemMedia,
    panics_at: u64,
}

impl Media for Odd {
    fn size_bytes(&self) -> u64 {
        self.data.size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        assert!(offset_bytes < self.panics_at, "as told");
        self.data.read_at(offset_bytes, buf)
    }

    fn allocation(&self, _: u64, _: u64) -> io::Result<Vec<crate::media::Run>> {
        Ok(Vec::new())
    }

    fn describe(&self) -> String {
        "odd".to_owned()
    }
}

/// A reader panicked, all others waited for the window to move, and the copy for them: for ever.
#[test]
fn a_reader_or_a_listener_that_panics_hangs_nobody() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    let (_folder, path) = out();
    let panics = Odd { data: memory(), panics_at: 10_000 };
    assert!(catch_unwind(AssertUnwindSafe(|| copy_of(&panics, &path, &small()))).is_err());
    let options = CopyOptions { existing: Existing::Overwrite, ..small() };
    let listener = || copy(&memory(), "array", &path, &options, &mut |_| panic!("as told"));
    assert!(catch_unwind(AssertUnwindSafe(listener)).is_err());
}

/// An empty list of runs has no run that is data, and was taken for a hole.
#[test]
fn an_answer_about_holes_that_says_nothing_makes_no_hole() {
    let (_folder, path) = out();
    copy_of(&Odd { data: memory(), panics_at: u64::MAX }, &path, &small()).unwrap();
    assert!(fs::read(&path).unwrap() == content());
}

#[test]
fn an_output_that_another_copy_writes_to_is_refused() {
    let (_folder, path) = out();
    let other = fs::File::create(&path).unwrap();
    other.lock().unwrap();
    let options = CopyOptions { existing: Existing::Overwrite, ..small() };
    assert!(matches!(copy_of(&memory(), &path, &options), Err(CopyError::InUse(_))));
    drop(other);
    copy_of(&memory(), &path, &options).unwrap();
}
