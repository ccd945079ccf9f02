//! Lines that people and LVM write, what is said of wrong ones, and what an array is told to be.

extern crate std;

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use raid_core::geometry::Geometry;
use raid_core::health::{Event, Health, State};
use raid_core::{Raid5Layout, Raid6Layout};

use super::*;

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn refused(line: &str) -> String {
    match Table::parse(&words(line)) {
        Ok(table) => format!("taken: {table:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_line_says_the_same_when_it_is_written_again() {
    for line in [
        "raid0 1 128 2 - 7:0 - 7:1",
        "raid1 1 0 2 - 7:0 - 7:1",
        "raid1 10 0 nosync rebuild 1 write_mostly 0 max_write_behind 256 region_size 1024 3 - 7:0 - 7:1 7:2 7:3",
        "raid5_ls 4 64 sync region_size 8192 3 - 7:0 - - - 7:2",
        "raid6_zr 9 16 rebuild 0 rebuild 3 min_recovery_rate 10 max_recovery_rate 99 4 - 7:0 - 7:1 - 7:2 - 7:3",
        "raid10 5 128 raid10_copies 2 raid10_format far 4 - 7:0 - 7:1 - 7:2 - 7:3",
        "raid10 6 128 raid10_copies 3 raid10_format offset raid10_use_near_sets 4 - 7:0 - 7:1 - 7:2 - 7:3",
    ] {
        let words = words(line);
        let table = Table::parse(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
        let devices: Vec<[&str; 2]> = table.devices.to_vec();
        assert_eq!(table.line(|member| devices[usize::from(member.0)]).to_string(), line);
    }
}

#[test]
fn what_is_wrong_with_a_line_is_said_with_the_word_at_fault() {
    for (line, says) in [
        ("raid5_ls", "words are missing"),
        ("raid7 1 64 2 - a - b", "there is no array type raid7"),
        ("raid5_ls 1 64 3 - a - b", "4 words follow for 3 devices, not two for each"),
        ("raid5_ls 1 64 1 - a", "1 devices are too few or too many for this type"),
        ("raid5_ls 1 24 3 - a - b - c", "a chunk of 24 sectors is no power of two, or less than 8"),
        ("raid5_ls 1 4 3 - a - b - c", "a chunk of 4 sectors is no power of two, or less than 8"),
        ("raid5_ls 2 64 fast 3 - a - b - c", "fast has no value"),
        ("raid5_ls 3 64 fast 1 3 - a - b - c", "there is no parameter fast"),
        ("raid5_ls 3 64 delta_disks 1 3 - a - b - c", "delta_disks is not served here"),
        ("raid5_ls 3 64 write_mostly 1 3 - a - b - c", "write_mostly is not for this array type"),
        ("raid5_ls 3 64 sync sync 3 - a - b - c", "sync is given twice"),
        ("raid5_ls 3 64 rebuild 3 3 - a - b - c", "rebuild cannot be 3"),
        ("raid5_ls 3 64 rebuild 1 3 - a - - - c", "slot 1 is to be rebuilt and has no device"),
        ("raid5_ls 1 64 3 - a m - - c", "metadata device m has no data device"),
        ("raid10 3 64 raid10_copies 5 4 - a - b - c - d", "raid10_copies cannot be 5"),
        ("raid10 2 64 raid10_use_near_sets 4 - a - b - c - d", "raid10_use_near_sets is not for this array type"),
    ] {
        assert_eq!(refused(line), says, "{line}");
    }
}

#[test]
fn the_devices_share_the_length_as_the_level_says() {
    for (line, len, share) in [
        ("raid0 1 64 2 - a - b", 2048, 1024),
        ("raid1 1 0 2 - a - b", 2048, 2048),
        ("raid4 1 64 3 - a - b - c", 2048, 1024),
        ("raid6_n_6 1 64 4 - a - b - c - d", 2048, 1024),
        ("raid10 1 64 4 - a - b - c - d", 2048, 1024),
    ] {
        let words = words(line);
        let table = Table::parse(&words).expect(line);
        let config = table.config(Sectors(len)).expect(line);
        assert_eq!(config.sizes, Sizes::Same(Sectors(share)), "{line}");
        assert!(Geometry::new(&config).is_ok(), "{line}");
    }
    let uneven = words("raid5_ls 1 64 4 - a - b - c - d");
    assert_eq!(Table::parse(&uneven).expect("a table").config(Sectors(1000)), Err(TableError::Length(1000)));
}

#[test]
fn without_metadata_everybody_is_trusted_who_is_there_and_not_to_be_rebuilt() {
    let words = words("raid1 5 0 rebuild 1 write_mostly 0 4 - a - b - - - d");
    let health = Table::parse(&words).expect("a table").health().expect("one to rebuild");
    let state = |slot| health.state(Member(slot));
    assert_eq!([state(0), state(3)], [Some(State::InSync); 2]);
    assert_eq!([state(1), state(2)], [Some(State::Rebuilding { mark: Sector(0) }), Some(State::Missing)]);
    assert_eq!(health.write_mostly(), Columns::one(Member(0)));
}

#[test]
fn rates_are_rows_and_without_a_word_there_is_no_limit() {
    let rates = |line| Table::parse(&words(line)).expect("a table").rates();
    assert_eq!(rates("raid1 1 0 2 - a - b"), Rates::FREE);
    let both = rates("raid1 5 0 min_recovery_rate 5 max_recovery_rate 400 2 - a - b");
    assert_eq!(both, Rates { floor_rows_s: 2, ceiling_rows_s: 100 });
    let most = rates("raid1 3 0 max_recovery_rate 400 2 - a - b");
    assert_eq!(most, Rates { floor_rows_s: 100, ceiling_rows_s: 100 });
}

#[test]
fn names_are_the_layouts_of_md() {
    let level = |line| Table::parse(&words(line)).expect("a table").level();
    assert_eq!(level("raid4 1 64 3 - a - b - c"), Level::Raid5(Raid5Layout::ParityFirst));
    assert_eq!(level("raid6_nc 1 64 4 - a - b - c - d"), Level::Raid6(Raid6Layout::RotatingNContinue));
    assert_eq!(level("RAID6_ZR 1 64 4 - a - b - c - d"), Level::Raid6(Raid6Layout::RotatingZeroRestart));
}

#[test]
fn regions_are_four_mebibytes_or_what_was_asked_for_within_bounds() {
    let region = |parameters: &str, len: u64| {
        let line = format!("raid5_ls {} 64 {parameters} 3 - a - b - c", words(parameters).len() + 1);
        let words = words(&line);
        let region = Table::parse(&words).expect("a table").region(Sectors(len));
        region.map(|region| region.0).map_err(|error| error.to_string())
    };
    assert_eq!(region("", 1 << 20), Ok(8192));
    assert_eq!(region("", 1 << 40), Ok(1 << 19));
    assert_eq!(region("region_size 1024", 1 << 20), Ok(1024));
    for bad in ["region_size 1000", "region_size 32", "region_size 2097152"] {
        assert!(region(bad, 1 << 20).is_err(), "{bad}");
    }
}

#[test]
fn a_status_has_a_letter_for_every_device() {
    let words = words("raid5_ls 1 64 4 - a - b - c - -");
    let table = Table::parse(&words).expect("a table");
    let mut health = Health::new(4).expect("four slots");
    health.apply(Member(0), Event::Admit).expect("was missing");
    health.apply(Member(1), Event::Rebuild { mark: Sector(8) }).expect("was missing");
    let (progress, whole) = (Sectors(8), Sectors(640));
    let mut info =
        Info { health, present: table.present(), activity: Activity::Recover, progress, whole, mismatches: 0 };
    assert_eq!(table.info(info).to_string(), "raid5_ls 4 AaD- 8/640 recover 0 0 -");
    info.activity = Activity::Resync;
    assert_eq!(table.info(info).to_string(), "raid5_ls 4 aaD- 8/640 resync 0 0 -");
    assert_eq!(
        table.measured("raid", [0, 1, 0], info).to_string(),
        "target_name=raid,target_version=0.1.0,raid_type=raid5_ls,raid_disks=4,raid_state=resync,\
         raid_device_0_status=a,raid_device_1_status=a,raid_device_2_status=D,raid_device_3_status=-,\
         journal_dev_mode=invalid;"
    );
}
