//! IMSM read: every field against what `mdadm --examine` printed of the same disks, and what bytes that are none of it do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use raid_core::{Level, Raid5Layout, Sector, Sectors};
use raid_formats::{
    assemble::Claimant,
    imsm::{self, Metadata, Place, Refusal, checksum, raw},
    md,
    record::{Format, Role, Sync, WriteLog},
};
use raid_testkit::{fixtures, fuzz_bodies, image::Image};

/// The cases of IMSM, by name.
fn cases() -> Vec<String> {
    let names: Vec<String> = fixtures::list().into_iter().filter(|name| name.starts_with("imsm-")).collect();
    assert!(names.len() >= 5);
    names
}

fn read<'b>(image: &[u8], buf: &'b mut Vec<u8>) -> Metadata<'b> {
    let source = Image(image);
    let place = imsm::probe(&source).unwrap();
    buf.resize(place.len_bytes, 0);
    imsm::read(&source, &place, buf).unwrap()
}

/// What `mdadm` said of one disk: `Name : value`, names in the order in which they come.
struct Said<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Said<'a> {
    fn of(text: &'a str, device: &str) -> Self {
        let heading = format!("{device}:");
        let lines = text.lines().skip_while(|line| *line != heading).skip(1);
        let own = lines.take_while(|line| !line.starts_with('/'));
        Self(own.filter_map(|line| line.split_once(" : ")).map(|(name, value)| (name.trim(), value.trim())).collect())
    }

    /// The `nth` value of that name.
    fn nth(&self, name: &str, nth: usize) -> &'a str {
        self.0.iter().filter(|(held, _)| *held == name).nth(nth).unwrap_or_else(|| panic!("no {name}")).1
    }

    fn text(&self, name: &str) -> &'a str {
        self.nth(name, 0)
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).split_whitespace().next().unwrap().parse().unwrap()
    }

    fn hex(&self, name: &str) -> u32 {
        u32::from_str_radix(self.text(name).split_whitespace().next().unwrap(), 16).unwrap()
    }
}

#[test]
fn every_field_is_what_mdadm_printed() {
    for name in cases() {
        let fixture = fixtures::load(&name);
        for (number, (_, image)) in fixture.members.iter().enumerate() {
            let device = format!("/dev/loop{number}");
            let said = Said::of(fixture.text("mdadm-E.txt"), &device);
            let mut buf = Vec::new();
            let metadata = read(image, &mut buf);
            let header = metadata.header();
            assert_eq!(&header.sig[24..30], said.text("Version").as_bytes(), "{name}");
            assert_eq!(header.orig_family_num.get(), said.hex("Orig Family"));
            assert_eq!(header.family_num.get(), said.hex("Family"));
            assert_eq!(header.generation_num.get(), said.hex("Generation"));
            assert_eq!(header.check_sum.get(), said.hex("Checksum"));
            assert_eq!(metadata.place().blocks(), said.number("MPB Sectors"));
            assert_eq!(u64::from(header.num_disks), said.number("Disks"));
            assert_eq!(u64::from(header.num_raid_devs), said.number("RAID Devices"));
            assert_eq!(metadata.uuid(None).to_string(), said.nth("UUID", 0), "{name}");
            let own = metadata.index_of(&imsm::serial(&device)).unwrap();
            assert_eq!(said.text(&format!("Disk{own:02} Serial")), device);
            let volume = metadata.volume(0, Some(own)).unwrap();
            volume_is(&volume, &said, &name);
        }
    }
}

fn volume_is(volume: &imsm::Volume, said: &Said, name: &str) {
    let (record, raw) = (volume.record(), volume.raw());
    let map = raw.map.head;
    assert_eq!(record.array.to_string(), said.nth("UUID", 1), "{name}");
    assert_eq!(record.format, Format::Imsm);
    assert_eq!(u64::from(map.raid_level), said.number("RAID Level"));
    assert_eq!(u64::from(record.shape.members), said.number("Members"));
    let up = record.table_in_sync.len() as usize;
    assert_eq!(said.text("Slots"), format!("[{}]", "U".repeat(up)));
    assert_eq!(said.text("Failed disk"), "none");
    assert_eq!(map.failed_disk_num, raw::NO_DISK);
    assert_eq!(record.role, Role::Slot(u16::try_from(said.number("This Slot")).unwrap()));
    assert_eq!(record.shape.array_size, Some(Sectors(said.number("Array Size"))));
    assert_eq!(map.member_blocks(), said.number("Per Dev Size"));
    assert_eq!(record.data.at, Sector(said.number("Sector Offset")));
    assert_eq!(map.data_stripes(), said.number("Num Stripes"));
    assert_eq!(u64::from(map.blocks_per_strip.get()) / 2, said.number("Chunk Size"));
    assert_eq!((raw.migration.migr_state, said.text("Migrate State")), (0, "idle"));
    assert_eq!((map.map_state, said.text("Map State")), (0, "normal"));
    assert_eq!(record.sync == Sync::Clean, said.text("Dirty State") == "clean", "{name}");
    assert_eq!(u64::from(raw.head.my_vol_raid_dev_num.get()), said.number("Volume ID"));
    let logged = matches!(record.log, WriteLog::Ppl { multiple: true, .. });
    assert_eq!(logged, said.text("RWH Policy") == "Multiple distributed PPLs", "{name}");
    if let WriteLog::Ppl { at, .. } = record.log {
        // The log's first header is there, and of this container.
        assert_eq!((at.at, at.len), (record.data.end().unwrap(), imsm::PPL_SECTORS));
    }
}

#[test]
fn a_real_record_comes_out_as_it_went_in_and_every_byte_is_told_once() {
    for name in cases() {
        for (_, image) in fixtures::load(&name).members {
            let mut buf = Vec::new();
            let metadata = read(&image, &mut buf);
            let place = *metadata.place();
            for (number, block) in (0..).zip(metadata.emit().chunks(512)) {
                let at = usize::try_from(place.at(number).bytes().unwrap()).unwrap();
                assert_eq!(block, &image[at..at + 512], "{name}");
            }
            let mut end = 0;
            imsm::dump::record(metadata.emit(), |field| {
                assert_eq!(field.offset, end, "{name}: {}", field.name);
                end = field.offset + field.len;
            })
            .unwrap();
            assert_eq!(end as usize, metadata.emit().len(), "{name}");
        }
    }
}

#[test]
fn all_disks_carry_the_same_record() {
    for name in cases() {
        let mut records: Vec<Vec<u8>> = Vec::new();
        for (_, image) in fixtures::load(&name).members {
            let mut buf = Vec::new();
            records.push(read(&image, &mut buf).record().to_vec());
        }
        assert!(records.iter().all(|record| *record == records[0]), "{name}");
    }
}

#[test]
fn a_serial_number_is_kept_as_mdadm_keeps_it() {
    assert_eq!(&imsm::serial(" WD-WCC4  "), b"WD-WCC4\0\0\0\0\0\0\0\0\0");
    assert_eq!(&imsm::serial("S2:0"), b"S2;0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(&imsm::serial("0123456789abcdefghij"), b"456789abcdefghij");
    assert_eq!(imsm::serial("\u{1}\t "), [0; 16]);
}

/// The record of a fixture, changed and sealed, as a medium that holds nothing else.
fn changed(case: &str, change: impl FnOnce(&mut [u8])) -> Result<Vec<md::Refusal>, Refusal> {
    let image = &fixtures::load(case).members[0].1;
    let mut buf = Vec::new();
    let metadata = read(image, &mut buf);
    let (place, len) = (*metadata.place(), metadata.record().len());
    let mut bytes = metadata.emit().to_vec();
    change(&mut bytes);
    let sum = checksum(&bytes[..len]);
    bytes[32..36].copy_from_slice(&sum.to_le_bytes());
    parsed(&bytes, &place)
}

fn parsed(bytes: &[u8], place: &Place) -> Result<Vec<md::Refusal>, Refusal> {
    let metadata = Metadata::parse(bytes, place)?;
    metadata.volumes_of(Some(0)).map(|volume| volume.map(|_| ())).collect::<Result<Vec<()>, _>>().map(|_| Vec::new())
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    let raid5 = "imsm-uml-raid5";
    let refused = |change: &dyn Fn(&mut [u8])| changed(raid5, change).unwrap_err().to_string();
    assert!(changed(raid5, |_| {}).is_ok());
    // Clone and go, a cache, a bit that nobody knows.
    assert_eq!(refused(&|bytes| bytes[52] |= 0x20), "attributes that are not supported: CNG");
    assert_eq!(refused(&|bytes| bytes[55] |= 0x02), "attributes that are not supported: NVM_CACHE");
    assert_eq!(refused(&|bytes| bytes[53] |= 0x01), "attributes that are not supported: unknown:0x100");
    // The level of the map, and its members.
    assert_eq!(refused(&|bytes| bytes[487] = 6), "level 6 of 3 disks is not supported");
    assert_eq!(refused(&|bytes| bytes[487] = 1), "level 1 of 3 disks is not supported");
    // A map that names a disk which the table does not have.
    assert!(refused(&|bytes| bytes[520] = 3).contains("disk_ord_tbl is 3"));
    // A volume behind the record.
    assert!(refused(&|bytes| bytes[57] = 2).contains("num_raid_devs is 2"));
    assert!(refused(&|bytes| bytes[56] = 200).contains("num_disks is 200"));
    // Data over the record itself.
    assert!(refused(&|bytes| bytes[472..476].copy_from_slice(&20_000_u32.to_le_bytes())).contains("volume"));
}

#[test]
fn a_record_with_a_wrong_sum_is_damaged_and_one_without_a_signature_is_absent() {
    let image = &fixtures::load("imsm-uml-raid5").members[0].1;
    let mut torn = image.clone();
    let end = torn.len();
    // A byte of the block before the anchor: the table of the map.
    torn[end - 1536 + 8] ^= 1;
    let place = imsm::probe(&Image(&torn)).unwrap();
    let fault = imsm::read(&Image(&torn), &place, &mut vec![0; place.len_bytes]).unwrap_err();
    assert!(!fault.is_absence() && fault.to_string().contains("bad checksum"), "{fault}");
    let mut none = image.clone();
    none[end - 1024] ^= 1;
    assert!(imsm::probe(&Image(&none)).unwrap_err().is_absence());
    for len in [0, 511, 512, 1024, 1535] {
        assert!(imsm::probe(&Image(&image[end - len..])).unwrap_err().is_absence() || len >= 1024, "{len}");
    }
}

/// The same record in blocks of 4096 bytes says the same in larger blocks.
#[test]
fn disks_with_blocks_of_4096_bytes_are_read() {
    let image = &fixtures::load("imsm-uml-raid5").members[0].1;
    let mut buf = Vec::new();
    let small = read(image, &mut buf);
    let record = *small.volume(0, Some(0)).unwrap().record();
    let mut bytes = small.emit().to_vec();
    bytes.resize(4096, 0);
    let divide = |bytes: &mut [u8], at: usize| {
        let number = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        bytes[at..at + 4].copy_from_slice(&(number / 8).to_le_bytes());
    };
    for at in [232, 280, 328, 376, 472, 476] {
        divide(&mut bytes, at);
    }
    bytes[484] /= 8;
    let sum = checksum(&bytes[..532]);
    bytes[32..36].copy_from_slice(&sum.to_le_bytes());
    let mut large = image.clone();
    let end = large.len();
    large[end - 8192..].fill(0);
    large[end - 8192..end - 4096].copy_from_slice(&bytes);
    let mut buf = Vec::new();
    let read = read(&large, &mut buf);
    assert_eq!((read.place().block_bytes, read.place().blocks()), (4096, 1));
    let found = *read.volume(0, Some(0)).unwrap().record();
    let same = raid_formats::record::Record { logical_block_bytes: 0, ..found };
    assert_eq!(same, record);
    assert_eq!(found.shape.level, Level::Raid5(Raid5Layout::LeftAsymmetric));
    assert_eq!(read.candidates().count(), 3);
}

#[test]
fn the_corpus_of_real_records_and_its_neighbours_do_no_harm() {
    for name in cases() {
        let image = &fixtures::load(&name).members[0].1;
        fuzz_bodies::imsm(&image[image.len() - 4096..]);
    }
}

proptest! {
    #[test]
    fn no_bytes_do_harm(data in proptest::collection::vec(any::<u8>(), 0..3000)) {
        fuzz_bodies::imsm(&data);
    }
}
