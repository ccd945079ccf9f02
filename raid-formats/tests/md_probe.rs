//! Media with several superblocks, with none, with damaged ones, and with holes where one should be.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use raid_formats::{
    md::{Evidence, Fault, MAGIC, ProbeBuffer, Refusal, Version, evidence, probe},
    record::Format,
    source::Source,
};
use raid_testkit::{fixtures, image::Image};

const BUFFER: ProbeBuffer = [[0; 4096]; 4];

fn member(name: &str) -> Vec<u8> {
    fixtures::load(name).members.remove(0).1
}

fn formats(image: &[u8]) -> Vec<Format> {
    probe(&Image(image), &mut BUFFER.clone()).ranked().map(|superblock| superblock.record().format).collect()
}

#[test]
fn each_version_is_found_at_its_place_and_nowhere_else() {
    let cases = [
        ("md-1.2-raid1-2", Format::Md12),
        ("md-1.1-raid1-2", Format::Md11),
        ("md-1.0-raid1-2", Format::Md10),
        ("md-0.90-raid1-2", Format::Md090Little),
    ];
    for (index, (name, format)) in cases.into_iter().enumerate() {
        let image = member(name);
        let mut buffer = BUFFER;
        let probe = probe(&Image(&image), &mut buffer);
        assert_eq!(probe.best().unwrap().record().format, format);
        for (place, find) in probe.finds.iter().enumerate() {
            match &find.outcome {
                Ok(_) => assert_eq!(place, index, "{name}"),
                Err(Fault::Refused(Refusal::NoMagic { offset: 0, expected: MAGIC, .. })) => assert_ne!(place, index),
                Err(other) => panic!("{name}: {other}"),
            }
        }
    }
}

#[test]
fn an_old_superblock_under_a_new_one_is_reported_and_ranked_below() {
    let mut image = member("md-1.2-raid1-2");
    let old = member("md-0.90-raid1-2");
    assert_eq!(image.len(), old.len());
    let end = image.len() - 65536;
    image[end..].copy_from_slice(&old[end..]);
    let newer = |image: &[u8]| formats(image)[0];
    assert_eq!(formats(&image).len(), 2);
    let times: Vec<u64> =
        probe(&Image(&image), &mut BUFFER.clone()).ranked().map(|superblock| superblock.record().updated_s).collect();
    assert!(times[0] >= times[1]);
    // With the 0.90 one written later by a year, it leads.
    let utime = end + 128;
    let later = u32::try_from(times[0]).unwrap() + 31_536_000;
    image[utime..utime + 4].copy_from_slice(&later.to_le_bytes());
    reseal_0(&mut image[end..end + 4096]);
    assert_eq!(newer(&image), Format::Md090Little);
}

/// Puts the right sum into a little-endian 0.90 record.
fn reseal_0(record: &mut [u8]) {
    record[152..156].fill(0);
    let sum: u64 = record.chunks(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap()))).sum();
    let folded = u32::try_from(sum & 0xFFFF_FFFF).unwrap().wrapping_add(u32::try_from(sum >> 32).unwrap());
    record[152..156].copy_from_slice(&folded.to_le_bytes());
}

#[test]
fn a_big_endian_superblock_says_the_same_as_its_little_endian_twin() {
    let little = member("md-0.90-raid5-3");
    let mut big = little.clone();
    let at = big.len() - 65536;
    for word in big[at..at + 4096].chunks_mut(4) {
        word.reverse();
    }
    // The counters are two words each, and a big-endian writer puts the high one first.
    for pair in [156, 164] {
        big[at + pair..at + pair + 8].rotate_left(4);
    }
    let (mut one, mut two) = (BUFFER, BUFFER);
    let little = probe(&Image(&little), &mut one).best().unwrap().record();
    let probe = probe(&Image(&big), &mut two);
    assert_eq!(probe.finds[3].version, Version::V0Big);
    let mut big = probe.best().unwrap().record();
    assert_eq!(big.format, Format::Md090Big);
    big.format = Format::Md090Little;
    assert_eq!(big, little);
}

#[test]
fn a_superblock_at_the_wrong_place_is_told_apart_by_its_own_word() {
    let image = member("md-1.2-raid1-2");
    // The medium starts eight sectors later: what was 1.2 now lies where 1.1 would.
    let mut buffer = BUFFER;
    let probe = probe(&Image(&image[4096..]), &mut buffer);
    let outcome = &probe.finds[1].outcome;
    assert!(
        matches!(outcome, Err(Fault::Refused(Refusal::Place { offset: 144, found: 8, expected: 0 }))),
        "{outcome:?}"
    );
}

#[test]
fn a_medium_that_lost_its_end_is_refused_with_the_area_that_is_missing() {
    let image = member("md-1.2-raid1-2");
    let mut buffer = BUFFER;
    let probe = probe(&Image(&image[..1 << 20]), &mut buffer);
    let outcome = &probe.finds[0].outcome;
    let expected = "the data area (6144 sectors from sector 2048) is not within the medium of 2048 sectors";
    assert_eq!(outcome.as_ref().unwrap_err().to_string(), expected);
}

#[test]
fn a_medium_without_room_gives_a_reason_for_every_place() {
    for len in [0, 1, 511, 512, 4095] {
        let image = vec![0; len];
        let mut buffer = BUFFER;
        for find in probe(&Image(&image), &mut buffer).finds {
            assert!(matches!(find.outcome, Err(Fault::Refused(Refusal::MediumTooSmall { .. }))), "{find:?}");
        }
    }
}

/// A medium of the given size that reads nothing.
struct Dead(u64);

impl Source for Dead {
    type Error = &'static str;
    fn size_bytes(&self) -> u64 {
        self.0
    }
    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), Self::Error> {
        Err("input/output error")
    }
}

#[test]
fn a_medium_that_cannot_be_read_is_not_called_empty() {
    for size in [1 << 22, u64::MAX] {
        let mut buffer = BUFFER;
        for find in probe(&Dead(size), &mut buffer).finds {
            assert_eq!(
                find.outcome.unwrap_err().to_string(),
                format!("cannot read sector {}: input/output error", find.at.unwrap())
            );
        }
    }
}

#[test]
fn evidence_for_a_0_90_is_its_size() {
    let image = member("md-0.90-raid1-2");
    let mut buffer = BUFFER;
    assert_eq!(probe(&Image(&image), &mut buffer).best().map(|found| evidence(&found)), Some(Evidence::SizeFits));
    // Seen through a disk four times as large, it still parses but no longer fills the room.
    let mut disk = vec![0; image.len() * 3];
    disk.extend(&image);
    let found = probe(&Image(&disk), &mut buffer).best().map(|found| evidence(&found));
    assert_eq!(found, Some(Evidence::PlaceOnly));
}
