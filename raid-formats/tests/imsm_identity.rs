//! Which of its container's disks a medium is, by elimination.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use raid_core::{Level, Raid5Layout, Sector, Sectors};
use raid_formats::imsm::raw::WriteHole;
use raid_formats::imsm::{
    CreateParams, Identity, Medium, Metadata, NewDisk, Place, RECORD_BYTES_MAX, Refusal, Serial, UNKNOWN_MAX,
    VolumeParams, create, eliminate, probe, read, serial,
};
use raid_testkit::image::Image;

const SECTORS: u64 = 16 << 11;

/// A record that a medium of 8 MiB carries whose container has disks of these names and sectors, with a volume on its first ones.
fn record(disks: &[(String, u64)], level: Level, members: &[u8]) -> (Vec<u8>, Place) {
    let table: Vec<NewDisk> =
        disks.iter().map(|(name, size)| NewDisk { serial: serial(name), size: Sectors(*size) }).collect();
    let volume = VolumeParams {
        name: *b"found by us\0\0\0\0\0",
        level,
        chunk: Sectors(128),
        used: Sectors(2048),
        start: Sector(0),
        members,
        write_hole: WriteHole::MultipleOff,
        consistent: true,
    };
    let params =
        CreateParams { block_bytes: 512, family: 77, disks: &table, volumes: &[volume], created_s: 1_800_000_000 };
    let mut image = vec![0; usize::try_from(SECTORS * 512).unwrap()];
    // The medium is as long as its own disk of the table.
    let own = u8::try_from(disks.iter().position(|(_, size)| *size == SECTORS).unwrap_or(0)).unwrap();
    create::<Refusal>(&params, own, &mut vec![0; RECORD_BYTES_MAX], |write| {
        let at = usize::try_from((write.at.0 + SECTORS - disks[usize::from(own)].1) * 512).unwrap();
        image[at..at + write.bytes.len()].copy_from_slice(write.bytes);
        Ok(())
    })
    .unwrap();
    let place = probe(&Image(&image)).unwrap();
    let mut bytes = vec![0; place.len_bytes];
    read(&Image(&image), &place, &mut bytes).unwrap();
    (bytes, place)
}

fn named(names: &[(&str, u64)]) -> Vec<(String, u64)> {
    names.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
}

fn given(media: &[Medium<'_>]) -> Vec<Option<(Serial, Identity)>> {
    let mut given = vec![None; media.len()];
    eliminate(media.iter().copied(), &mut given).unwrap();
    given
}

const FIVE: Level = Level::Raid5(Raid5Layout::LeftAsymmetric);

#[test]
fn who_alone_is_left_is_known_and_who_may_be_two_is_not() {
    let (bytes, place) = record(&named(&[("a", SECTORS), ("b", SECTORS), ("c", SECTORS)]), FIVE, &[0, 1, 2]);
    let metadata = Metadata::parse(&bytes, &place).unwrap();
    let medium = |own| Medium { metadata, own, logged: None };
    assert_eq!(given(&[medium(None), medium(None), medium(Some(1))]), [None; 3]);
    let found = given(&[medium(Some(2)), medium(None), medium(Some(0))]);
    assert_eq!(found, [None, Some((serial("b"), Identity::Eliminated)), None]);
    let logged = Medium { logged: Some(0), ..medium(None) };
    let found = given(&[medium(None), logged, medium(Some(2))]);
    assert_eq!(found, [Some((serial("b"), Identity::Eliminated)), Some((serial("a"), Identity::Logged)), None]);
    // Two media that both must be one disk: one of them is somebody else's copy.
    assert_eq!(given(&[logged, logged]), [None, None]);
}

#[test]
fn copies_of_a_mirror_are_taken_either_way_and_its_first_way_is_taken() {
    let (bytes, place) = record(&named(&[("a", SECTORS), ("b", SECTORS)]), Level::Raid1, &[0, 1]);
    let metadata = Metadata::parse(&bytes, &place).unwrap();
    let medium = |own| Medium { metadata, own, logged: None };
    let either = |name| Some((serial(name), Identity::Interchangeable));
    assert_eq!(given(&[medium(None), medium(None)]), [either("a"), either("b")]);
    assert_eq!(given(&[medium(None)]), [either("a")]);
    assert_eq!(given(&[medium(None), medium(Some(0))]), [Some((serial("b"), Identity::Eliminated)), None]);
}

/// Elimination walked through all orders of what records name. Seven media whose records each name 200 disks that the others' do not,
/// and an eighth with none that it could be, had it try 200 to the power of seven of them: whoever could write those records could
/// have `raid scan` never return, and a kernel's table as little. Now nobody is asked twice.
#[test]
fn records_that_fit_nobody_end_soon() {
    let records: Vec<(Vec<u8>, Place)> = (0..UNKNOWN_MAX)
        .map(|medium| {
            let size = if medium == UNKNOWN_MAX - 1 { SECTORS - 8 } else { SECTORS };
            let disks: Vec<(String, u64)> = (0..200).map(|disk| (format!("m{medium}d{disk}"), size)).collect();
            record(&disks, FIVE, &[0, 1, 2])
        })
        .collect();
    let media: Vec<Medium<'_>> = records
        .iter()
        .map(|(bytes, place)| Medium { metadata: Metadata::parse(bytes, place).unwrap(), own: None, logged: None })
        .collect();
    assert_eq!(media.last().unwrap().candidates().count(), 0);
    assert_eq!(given(&media), [None; UNKNOWN_MAX]);
    // Without it each may still be any of two hundred.
    assert_eq!(given(&media[1..7]), [None; 6]);
    let too_many: Vec<Medium<'_>> = media.iter().chain(&media).copied().collect();
    assert!(eliminate(too_many.iter().copied(), &mut [None; 16]).is_err());
}
