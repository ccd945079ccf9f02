//! Every physical volume that real LVM made: labels, areas and texts say what `pvck` and `vgcfgbackup` say.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use raid_formats::{
    lvm::{self, Area, Group, Kind, Label, Location, Section, Value},
    md,
};
use raid_testkit::{
    fixtures::{self, Fixture},
    image::Image,
};

fn cases() -> Vec<Fixture> {
    let names = fixtures::list().into_iter().filter(|name| name.starts_with("lvm-"));
    let all: Vec<Fixture> = names.map(|name| fixtures::load(&name)).collect();
    assert!(all.len() >= 18, "only {} cases were seen", all.len());
    all
}

/// The disks of a case, each with what `pvck` printed of it.
fn disks(fixture: &Fixture) -> Vec<(&[u8], &str)> {
    let said = fixture.text("pvck.txt").split("  label_header at").skip(1);
    let disks = fixture.members.iter().filter(|(file, _)| file.starts_with('d'));
    let both: Vec<_> = disks.map(|(_, bytes)| bytes.as_slice()).zip(said).collect();
    assert!(!both.is_empty(), "{}", fixture.name);
    both
}

/// The number behind `name ` in what `pvck` printed.
fn field(said: &str, name: &str) -> u64 {
    let line = said.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(' '));
    let word = line.unwrap_or_else(|| panic!("{name} in {said}")).split(' ').next().unwrap();
    word.strip_prefix("0x").map_or_else(|| word.parse().unwrap(), |hex| u64::from_str_radix(hex, 16).unwrap())
}

fn read<'b>(image: &[u8], buf: &'b mut Vec<u8>) -> (Area, &'b [u8]) {
    let mut scan = [0; lvm::SCAN_BYTES];
    let label = lvm::find(&Image(image), &mut scan).unwrap();
    let area = lvm::read_area(&Image(image), label.areas().next().unwrap()).unwrap();
    let location = area.committed.unwrap();
    buf.resize(usize::try_from(location.len).unwrap(), 0);
    (area, lvm::read_text(&Image(image), &area, &location, buf).unwrap())
}

#[test]
fn labels_and_areas_say_what_pvck_says_and_come_back_unchanged() {
    for fixture in cases() {
        for (image, said) in disks(&fixture) {
            let mut scan = [0; lvm::SCAN_BYTES];
            let label = lvm::find(&Image(image), &mut scan).unwrap();
            assert_eq!(label.at().0, field(said, "label_header.sector"));
            assert_eq!(label.emit().as_slice(), &image[512..1024]);
            assert!(said.contains(&format!("pv_header.pv_uuid {}\n", label.id().to_string().replace('-', ""))));
            assert_eq!(label.device_bytes(), field(said, "pv_header.device_size"));
            let [data] = label.data().collect::<Vec<_>>()[..] else { panic!("one data area") };
            assert_eq!(data.offset.get(), field(said, "pv_header.disk_locn[0].offset"));
            let [place] = label.areas().collect::<Vec<_>>()[..] else { panic!("one metadata area") };
            assert_eq!(place.size.get(), field(said, "pv_header.disk_locn[2].size"));
            let extension = label.extension().unwrap();
            assert_eq!(u64::from(extension.version.get()), field(said, "pv_header_extension.version"));
            assert_eq!(u64::from(extension.flags.get()), field(said, "pv_header_extension.flags"));
            let area = lvm::read_area(&Image(image), place).unwrap();
            assert_eq!((area.start, area.size), (place.offset.get(), place.size.get()));
            let location = area.committed.unwrap();
            assert_eq!(location.offset, field(said, "mda_header_1.raw_locn[0].offset"));
            assert_eq!(location.len, field(said, "mda_header_1.raw_locn[0].size"));
            assert_eq!(u64::from(location.checksum), field(said, "mda_header_1.raw_locn[0].checksum"));
            assert_eq!(area.precommitted, None);
        }
    }
}

/// Two texts hold the same, whatever their comments and blanks.
fn same(one: &Section, other: &Section) -> bool {
    let scalar = |one: &Value, other: &Value| match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other,
        (Value::Text(one), Value::Text(other)) => one == other,
        _ => false,
    };
    one.items().count() == other.items().count()
        && one.items().zip(other.items()).all(|(one, other)| {
            one.name == other.name
                && match (&one.value, &other.value) {
                    (Value::Section(one), Value::Section(other)) => same(one, other),
                    (Value::List(one), Value::List(other)) => {
                        one.values().count() == other.values().count()
                            && one.values().zip(other.values()).all(|(one, other)| scalar(&one, &other))
                    }
                    (one, other) => scalar(one, other),
                }
        })
}

#[test]
fn a_text_says_what_vgcfgbackup_wrote() {
    for fixture in cases() {
        let backup = Section::parse(fixture.text("vgcfg.txt").as_bytes()).unwrap();
        let backup = backup.section("vg").unwrap();
        for (image, _) in disks(&fixture) {
            let mut buf = Vec::new();
            let (_, text) = read(image, &mut buf);
            let text = Section::parse(text).unwrap().section("vg").unwrap();
            assert!(backup.items().count() > 8 && same(&text, &backup), "{}", fixture.name);
        }
    }
}

#[test]
fn every_older_text_of_the_ring_parses_with_its_number() {
    let mut seen = 0;
    for fixture in cases() {
        for (image, said) in disks(&fixture) {
            for line in said.lines().filter_map(|line| line.trim().strip_prefix("metadata at ")) {
                // `metadata at 4608 length 885 crc 7394e65a vg vg seqno 1 id aws8Rn-...`
                let words: Vec<&str> = line.split_whitespace().collect();
                let [at, len, seqno] = [0, 2, 8].map(|index| words[index].parse::<usize>().unwrap());
                let text = &image[at..at + len];
                let sum = lvm::crc(&[text]);
                assert_eq!(format!("{sum:08x}"), words[4]);
                let text = text.strip_suffix(b"\0").unwrap();
                let group = Group::parse(text).unwrap();
                assert_eq!((group.seqno(), group.id().to_string()), (seqno as u64, words[10].to_owned()));
                assert_eq!(group.name(), b"vg");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn segments_say_what_the_cases_are_named_after() {
    for fixture in cases() {
        let text = fixture.text("vgcfg.txt");
        let group = Group::parse(text.as_bytes()).unwrap();
        let volume = group.volumes().find(|volume| volume.name == b"lv").unwrap();
        let segments: Vec<_> = volume.segments().map(Result::unwrap).collect();
        let extents: u64 = segments.iter().map(|segment| segment.extents).sum();
        let size: u64 = fixture.text("size.txt").trim().parse().unwrap();
        assert_eq!(group.sectors(extents).unwrap().0 * 512, size, "{}", fixture.name);
        match (segments[0].kind, fixture.name.trim_start_matches("lvm-")) {
            (Kind::Raid { images, .. }, "raid0") => {
                assert_eq!(images.iter().filter(|(meta, _)| meta.is_none()).count(), 3)
            }
            (Kind::Raid { images, .. }, name) => {
                let expected = match &name[..5] {
                    "raid0" | "raid1" => 3,
                    "raid5" => 4,
                    _ => 5,
                };
                let expected = if name.starts_with("integrity") { images.iter().count() } else { expected };
                assert_eq!(images.iter().filter(|(meta, _)| meta.is_some()).count(), expected, "{name}");
            }
            (Kind::Mirror { count: 2, log: Some(b"lv_mlog"), region, .. }, "mirror-disklog") => {
                assert_eq!(region.0, 1024)
            }
            (Kind::Striped { count: 3, .. }, "striped3") | (Kind::Striped { count: 1, .. }, "linear" | "snapshot") => {}
            (kind, name) => panic!("{name}: {kind:?}"),
        }
    }
}

/// A small area whose ring holds `text` from `offset` on; the header says so.
fn ring(text: &[u8], offset: usize, precommitted: bool) -> Vec<u8> {
    const SIZE: usize = 2048;
    let mut area = vec![0; SIZE];
    let mut at = offset;
    for byte in text {
        area[at] = *byte;
        at = if at + 1 == SIZE { 512 } else { at + 1 };
    }
    let slot = if precommitted { 64 } else { 40 };
    area[4..20].copy_from_slice(b" LVM2 x[5A%r0N*>");
    area[20] = 1;
    area[32..40].copy_from_slice(&(SIZE as u64).to_le_bytes());
    area[slot..slot + 8].copy_from_slice(&(offset as u64).to_le_bytes());
    area[slot + 8..slot + 16].copy_from_slice(&(text.len() as u64).to_le_bytes());
    area[slot + 16..slot + 20].copy_from_slice(&lvm::crc(&[text]).to_le_bytes());
    let sum = lvm::crc(&[&area[4..512]]);
    area[..4].copy_from_slice(&sum.to_le_bytes());
    area
}

#[test]
fn a_text_is_read_across_the_end_of_the_ring() {
    let text: Vec<u8> = (0..700).map(|index| b'a' + (index % 26) as u8).chain([0]).collect();
    for offset in [512, 1000, 1347, 1348, 2000, 2047] {
        let image = ring(&text, offset, false);
        let area = Area::parse(image[..512].try_into().unwrap(), 0).unwrap();
        let mut buf = [0; 701];
        let read = lvm::read_text(&Image(&image), &area, &area.committed.unwrap(), &mut buf).unwrap();
        assert_eq!(read, &text[..700], "from {offset}");
        let mut small = [0; 700];
        assert!(lvm::read_text(&Image(&image), &area, &area.committed.unwrap(), &mut small).is_err());
    }
}

#[test]
fn a_precommitted_text_does_not_count_and_is_told_apart() {
    let image = ring(b"vg { }\0", 512, true);
    let area = Area::parse(image[..512].try_into().unwrap(), 0).unwrap();
    assert_eq!(area.committed, None);
    assert_eq!(area.precommitted.map(|location: Location| location.len), Some(7));
}

#[test]
fn every_flipped_bit_of_a_label_and_of_an_area_is_noticed() {
    let fixture = fixtures::load("lvm-linear");
    let image = &fixture.members[0].1;
    let mut label: [u8; 512] = image[512..1024].try_into().unwrap();
    let mut area: [u8; 512] = image[4096..4608].try_into().unwrap();
    for bit in 0..4096 {
        label[bit / 8] ^= 1 << (bit % 8);
        assert!(Label::parse(&label, 1).is_err(), "label, bit {bit}");
        label[bit / 8] ^= 1 << (bit % 8);
        area[bit / 8] ^= 1 << (bit % 8);
        assert!(Area::parse(&area, 4096).is_err(), "area, bit {bit}");
        area[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(Label::parse(&label, 1).is_ok() && Label::parse(&label, 0).is_err());
    assert!(Area::parse(&area, 4096).is_ok() && Area::parse(&area, 8192).is_err());
}

#[test]
fn a_label_is_found_in_any_of_the_first_four_sectors_and_in_no_other() {
    let fixture = fixtures::load("lvm-linear");
    let label: [u8; 512] = fixture.members[0].1[512..1024].try_into().unwrap();
    for sector in 0..6_u8 {
        let mut image = vec![0; 8192];
        let mut own = label;
        own[8..16].copy_from_slice(&u64::from(sector).to_le_bytes());
        lvm::seal(&mut own);
        image[usize::from(sector) * 512..][..512].copy_from_slice(&own);
        let mut scan = [0; lvm::SCAN_BYTES];
        assert_eq!(lvm::find(&Image(&image), &mut scan).is_ok(), sector < 4, "{sector}");
    }
}

#[test]
fn broken_texts_are_refused_where_they_break() {
    let at = |text: &[u8]| match Section::parse(text) {
        Err(lvm::Refusal::Grammar { at, .. }) => Some(at),
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    };
    for sound in
        ["", "a=1", "a { b = [ ] c = [\"x\", 2] } # end", "a = \"q\\\" {\" b=-3", "1 { 2 = word }", "a='\\' b=1"]
    {
        assert_eq!(at(sound.as_bytes()), None, "{sound}");
    }
    for (broken, place) in [
        ("a", 1),
        ("a {", 3),
        ("a }", 3),
        ("}", 0),
        ("a = ]", 5),
        ("a = [1 2]", 8),
        ("a = [1,]", 8),
        ("a = \"x", 4),
        ("= 1", 0),
    ] {
        assert_eq!(at(broken.as_bytes()), Some(place), "{broken}");
    }
    assert_eq!(at(b"a = 99999999999999999999"), Some(4));
    assert_eq!(at(b"a\x01 = 1"), Some(0));
    let bomb = |depth: usize| ["a{".repeat(depth), "}".repeat(depth)].concat();
    assert_eq!(at(bomb(lvm::DEPTH_MAX).as_bytes()), None);
    assert!(at(bomb(lvm::DEPTH_MAX + 1).as_bytes()).is_some() && at(bomb(100_000).as_bytes()).is_some());
}

#[test]
fn a_group_without_what_it_needs_is_refused_by_the_field() {
    let text = "vg { id = \"LLf2aV-layM-55LR-e8Al-n2Tz-0icH-80mIkc\" seqno = 3 extent_size = 512 }";
    assert!(Group::parse(text.as_bytes()).is_ok());
    for (field, without) in [
        ("id", text.replace("LLf2aV-", "")),
        ("seqno", text.replace("seqno = 3", "")),
        ("seqno", text.replace("= 3", "= -3")),
        ("extent_size", text.replace("512", "0")),
        ("section of the group", String::new()),
    ] {
        match Group::parse(without.as_bytes()) {
            Err(lvm::Refusal::Field { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_byte_of_a_label_and_of_an_area_is_told_once() {
    let fixture = fixtures::load("lvm-mirror-disklog");
    for (_, image) in &fixture.members {
        let mut covered = 0;
        let mut tell = |field: raid_formats::dump::Field| {
            assert_eq!(field.offset, covered, "{} leaves a gap", field.name);
            covered = field.offset + field.len;
        };
        lvm::dump::label(&image[512..1024], &mut tell).unwrap();
        assert_eq!(covered, 512);
        covered = 0;
        let mut tell = |field: raid_formats::dump::Field| {
            assert_eq!(field.offset, covered, "{} leaves a gap", field.name);
            covered = field.offset + field.len;
        };
        lvm::dump::area(&image[4096..4608], &mut tell).unwrap();
        assert_eq!(covered, 512);
    }
    let refused = lvm::dump::label(&[0; 100], |_| ());
    assert!(matches!(refused, Err(lvm::Refusal::Structure { refusal: md::Refusal::Truncated { .. }, .. })));
}
