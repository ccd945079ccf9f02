//! Bitmaps, bad block lists, partial parity logs and journals of the real arrays.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use raid_core::{Extent, Sector, Sectors};
use raid_formats::{
    md::{
        BitmapSummary, JournalState, PplState, Superblock, Version, bitmap_summary, journal_state, ppl_state,
        read_bad_blocks, superblock_at,
    },
    record::Sync,
};
use raid_testkit::{fixtures, image::Image, mdadm};

/// Hands the superblock of a 1.1 or 1.2 member to `look`.
fn with_superblock<T>(image: &[u8], look: impl FnOnce(&Image, &Superblock) -> T) -> T {
    let medium = Sectors::from_bytes_floor(image.len() as u64);
    for version in [Version::V1_2, Version::V1_1] {
        let at = superblock_at(version, medium).unwrap().bytes().unwrap();
        if let Ok(superblock) = Superblock::parse(&image[usize::try_from(at).unwrap()..], version, medium) {
            return look(&Image(image), &superblock);
        }
    }
    panic!("no superblock");
}

fn summary(image: &[u8]) -> Option<BitmapSummary> {
    with_superblock(image, |source, superblock| bitmap_summary(source, superblock, &mut [0; 512]).unwrap())
}

#[test]
fn every_bitmap_says_what_mdadm_says() {
    let mut seen = 0;
    for name in fixtures::list().iter().filter(|name| name.starts_with("md-1.") && name.contains("-bitmap-")) {
        let fixture = fixtures::load(name);
        let oracle =
            mdadm::examined(&fixture.text("mdadm-X.txt").replace("        Filename : ", "x:\n        Filename : "));
        assert_eq!(oracle.len(), fixture.members.len(), "{name}");
        for ((file, image), oracle) in fixture.members.iter().zip(oracle) {
            let summary = summary(image).expect("a bitmap");
            let what = format!("{name}/{file}");
            let bits = format!("{} bits (chunks), {} dirty", summary.chunks, summary.dirty);
            assert!(oracle.field("Bitmap").starts_with(&bits), "{what}: {bits}");
            assert_eq!(Some(summary.chunk.0 / 2), oracle.number("Chunksize"), "{what}");
            // Members copied from a running array: the bitmap may have been written between the copy and the question.
            if !name.ends_with("-crash") {
                assert_eq!(Some(summary.events), oracle.number("Events"), "{what}");
                assert_eq!(Some(summary.events_cleared), oracle.number("Events Cleared"), "{what}");
            }
            assert!(!summary.stale, "{what}");
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} bitmaps were seen");
}

#[test]
fn a_bitmap_older_than_its_superblock_is_stale() {
    let mut image = fixtures::load("md-1.2-raid1-bitmap-degraded").members.remove(0).1;
    let (bitmap, events) = (16 * 512, 24);
    assert_eq!(image[bitmap..bitmap + 4], *b"bitm");
    image[bitmap + events] = 3;
    assert!(summary(&image).unwrap().stale, "superblock events are 4");
    image[bitmap + events] = 4;
    image[bitmap + 48] |= 2;
    assert!(summary(&image).unwrap().stale, "the stale bit is set");
}

#[test]
fn the_bad_blocks_are_those_that_mdadm_lists() {
    let fixture = fixtures::load("md-1.2-raid1-badblocks");
    let mut out = [Extent::default(); 4];
    let runs: Vec<Vec<Extent>> = fixture
        .members
        .iter()
        .map(|(_, image)| {
            with_superblock(image, |source, superblock| {
                let count = read_bad_blocks(source, superblock, &mut out).unwrap();
                out[..count].to_vec()
            })
        })
        .collect();
    let run = |at, len| Extent { at: Sector(at), len: Sectors(len) };
    assert_eq!(runs, [vec![], vec![run(2500, 8), run(3000, 100)]]);
    let listed = fixture.text("bb.txt");
    assert!(listed.contains("2500 for 8 sectors") && listed.contains("3000 for 100 sectors"), "{listed}");
    let told = with_superblock(&fixture.members[1].1, |source, superblock| {
        read_bad_blocks(source, superblock, &mut out[..1]).unwrap()
    });
    assert_eq!(told, 2, "a short slice is told how many there are");
}

fn ppl(image: &[u8]) -> (Option<PplState>, Sync) {
    with_superblock(image, |source, superblock| {
        (ppl_state(source, superblock, &mut [0; 8192]).unwrap(), superblock.record().sync)
    })
}

#[test]
fn the_partial_parity_logs_of_a_killed_machine_hold_entries_to_replay() {
    let crash = fixtures::load("crash-kill9");
    let mut generations = Vec::new();
    for (file, image) in
        crash.members.iter().filter(|(file, _)| ["ubde.img", "ubdf.img", "ubdg.img"].contains(&file.as_str()))
    {
        let (state, sync) = ppl(image);
        let state = state.expect("a log");
        assert_eq!((state.entries, state.damaged), (1, 0), "{file}");
        assert_eq!(state.unreplayed(sync), 1, "{file}");
        generations.push(state.generation);
    }
    assert_eq!(generations, [898, 895, 897]);
}

#[test]
fn after_a_clean_stop_the_log_is_history() {
    for (file, image) in fixtures::load("md-1.2-raid5-ppl-clean").members {
        let (state, sync) = ppl(&image);
        let state = state.expect("a log");
        assert!(state.entries > 0 && state.headers > 1, "{file}");
        assert_eq!((state.damaged, state.unreplayed(sync)), (0, 0), "{file}");
    }
}

#[test]
fn damaged_partial_parity_is_counted() {
    let (_, mut image) = fixtures::load("crash-kill9").members.remove(3);
    let header = usize::try_from(ppl(&image).0.unwrap().newest_at.unwrap().bytes().unwrap()).unwrap();
    image[header + 4096 + 17] ^= 0x10;
    assert_eq!(ppl(&image).0.unwrap().damaged, 1);
    // A damaged header is no header: the one before it is the newest then.
    image[header + 520] ^= 1;
    assert_eq!(ppl(&image).0.unwrap().headers, 99);
}

fn journal(image: &[u8]) -> Option<JournalState> {
    with_superblock(image, |source, superblock| journal_state(source, superblock, &mut [0; 8192]).unwrap())
}

#[test]
fn the_journal_is_read_from_its_tail() {
    let fixture = fixtures::load("md-1.2-raid5-journal-wb-crash");
    let states: Vec<_> = fixture.members.iter().map(|(_, image)| journal(image)).collect();
    assert!(states[..3].iter().all(Option::is_none), "only the last member is a journal");
    let state = states[3].unwrap();
    assert_eq!((state.blocks, state.data, state.parity, state.flush, state.torn), (8, 15, 8, 0, false));
    assert!(state.holds_data());
}

#[test]
fn a_page_that_never_reached_the_journal_ends_it() {
    let (_, mut image) = fixtures::load("md-1.2-raid5-journal-wb-crash").members.remove(3);
    let data_at = with_superblock(&image, |_, superblock| superblock.record().data.at);
    let tail = journal(&image).unwrap().tail;
    let first_page = usize::try_from((data_at.0 + tail.0 + 8) * 512).unwrap();
    image[first_page] ^= 1;
    let state = journal(&image).unwrap();
    assert_eq!((state.blocks, state.torn, state.holds_data()), (0, true, false));
}
