//! Every DDF array that real Linux made: its records say what `mdadm` says, and its content reads back with members missing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use raid_core::{Columns, Member, Sectors};
use raid_formats::{
    assemble::{Claimant, Verdict},
    ddf::{self, Damage, Metadata, Twin},
    record::{Format, Notes, Role, Sync},
};
use raid_testkit::{
    array,
    fixtures::{self, Fixture},
    image::Image,
};

fn ddf_fixtures() -> Vec<Fixture> {
    let names = fixtures::list().into_iter().filter(|name| name.starts_with("ddf-"));
    let all: Vec<Fixture> = names.map(|name| fixtures::load(&name)).collect();
    assert!(all.len() >= 7, "only {} cases were seen", all.len());
    all
}

fn read<'b>(image: &[u8], buf: &'b mut Vec<u8>) -> Metadata<'b> {
    let source = Image(image);
    let probe = ddf::probe(&source).unwrap();
    buf.resize(probe.len_bytes(), 0);
    ddf::read(&source, &probe.anchor, buf).unwrap()
}

/// Runs `check` on the records of all members of a case.
fn with_members(fixture: &Fixture, check: impl FnOnce(&[Metadata])) {
    let mut bufs = vec![Vec::new(); fixture.members.len()];
    let members: Vec<Metadata> =
        fixture.members.iter().zip(&mut bufs).map(|((_, image), buf)| read(image, buf)).collect();
    check(&members);
}

/// The words behind `name : ` in what `mdadm --examine` printed of one member.
fn field<'a>(section: &'a str, name: &str) -> &'a str {
    let value = section.lines().find_map(|line| line.split_once(" : ").filter(|(key, _)| key.trim() == name));
    value.unwrap_or_else(|| panic!("{name} in {section}")).1.trim()
}

/// What the oracle printed, member by member.
fn examined(fixture: &Fixture) -> Vec<&str> {
    fixture.text("mdadm-E.txt").split("Magic :").skip(1).collect()
}

#[test]
fn every_member_says_what_mdadm_says() {
    for fixture in ddf_fixtures() {
        let oracle = examined(&fixture);
        assert_eq!(oracle.len(), fixture.members.len(), "{}", fixture.name);
        with_members(&fixture, |members| {
            for (index, (metadata, text)) in members.iter().zip(oracle).enumerate() {
                let what = format!("{}/d{index}", fixture.name);
                assert_eq!((metadata.damage(), metadata.twin()), (Damage::empty(), Twin::Same), "{what}");
                assert_eq!(metadata.header().guid.to_string(), guid(field(text, "Container GUID")), "{what}");
                let sequence = u32::from_str_radix(field(text, "Seq"), 16).unwrap();
                assert_eq!(metadata.place().sequence, sequence, "{what}");
                assert_eq!(metadata.controller().unwrap().guid.to_string(), guid(field(text, "Controller GUID")));
                let volumes: Vec<_> = metadata.volumes().map(Result::unwrap).collect();
                let [volume] = volumes[..] else { panic!("{what}: {} volumes", volumes.len()) };
                let record = volume.record();
                assert_eq!(volume.guid().to_string(), guid(field(text, "VD GUID[0]")), "{what}");
                assert_eq!(record.name.to_string(), field(text, "Name[0]"), "{what}");
                assert_eq!(record.format, Format::Ddf, "{what}");
                assert_eq!(record.events, u64::from(sequence), "{what}");
                assert_eq!((record.sync, record.sync_mark), (Sync::Clean, None), "{what}");
                assert_eq!(record.notes, Notes::empty(), "{what}");
                assert_eq!(record.data.len.0 / 2, number(field(text, "Device Size[0]")), "{what}");
                assert_eq!(record.shape.array_size.unwrap().0 / 2, number(field(text, "Array Size[0]")), "{what}");
                if record.shape.chunk != Sectors(0) {
                    assert_eq!(record.shape.chunk.0, number(field(text, "Chunk Size[0]")), "{what}");
                }
                check_table(&what, metadata, text);
            }
        });
    }
}

/// `4C696E75:...` without what stands behind it.
fn guid(text: &str) -> &str {
    text.split(' ').next().unwrap()
}

fn number(text: &str) -> u64 {
    text.split(|byte: char| !byte.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// "0    caf58a16      8192K /dev/loop0      active/Online", one line a disk; the device is told for the member's own.
fn check_table(what: &str, metadata: &Metadata, text: &str) {
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.last().is_some_and(|last| last.ends_with("/Online")))
        .collect();
    assert_eq!(lines.len(), metadata.physical().count(), "{what}");
    for (words, entry) in lines.iter().zip(metadata.physical()) {
        let order = metadata.place().order;
        assert_eq!(format!("{:08x}", entry.reference.get(order)), words[1], "{what}");
        assert_eq!(entry.configured_size.get(order) / 2, number(words[2]), "{what}");
        let own = entry.reference.get(order) == metadata.reference();
        assert_eq!(words.len() == 5, own, "{what}: {words:?}");
    }
}

#[test]
fn both_sets_are_there_and_parse_then_emit_gives_the_same_bytes() {
    for fixture in ddf_fixtures() {
        for (file, image) in &fixture.members {
            let probe = ddf::probe(&Image(image)).unwrap();
            for place in [probe.primary.unwrap(), probe.secondary.unwrap()] {
                let mut buf = vec![0; place.len_bytes()];
                let metadata = ddf::read_set(&Image(image), &place, &mut buf).unwrap();
                let at = usize::try_from(place.at().bytes().unwrap()).unwrap();
                assert_eq!(metadata.emit(), &image[at..][..place.len_bytes()], "{}/{file}", fixture.name);
            }
        }
    }
}

#[test]
fn a_member_agrees_with_its_table_about_itself_and_all_are_current() {
    for fixture in ddf_fixtures() {
        with_members(&fixture, |members| {
            let claims: Vec<_> =
                members.iter().zip(&fixture.members).map(|(member, (_, image))| (only(member), &image[..])).collect();
            for (claim, _) in &claims {
                assert_eq!(claim.role_of(claim.record().number), claim.record().role, "{}", fixture.name);
                assert_eq!(claim.role_of(12345), Role::Faulty);
            }
            let (_, assembly, verdicts) = array::geometry(&claims).unwrap();
            let mut slots = Columns::EMPTY;
            for verdict in verdicts {
                let Verdict::Current { slot, mark: None, forced: false } = verdict else { panic!("{verdict:?}") };
                assert!(slots.insert(Member(u8::try_from(slot).unwrap())), "{}", fixture.name);
            }
            assert_eq!(slots, Columns::first(assembly.slots), "{}", fixture.name);
        });
    }
}

fn only<'a>(metadata: &Metadata<'a>) -> ddf::Volume<'a> {
    metadata.volumes().next().unwrap().unwrap()
}

/// All sets of at most two members.
fn missing_sets(count: usize) -> impl Iterator<Item = Vec<usize>> {
    let singles = (0..count).map(|one| vec![one]);
    let pairs = (0..count).flat_map(move |one| (one + 1..count).map(move |other| vec![one, other]));
    std::iter::once(Vec::new()).chain(singles).chain(pairs).filter(move |missing| missing.len() < count)
}

/// By name, not by the code under test: what may be missing.
fn survives(name: &str, slots: &[u16], missing: &[usize]) -> bool {
    let level = name.split('-').nth(2).unwrap();
    let lost: Vec<u16> = missing.iter().map(|index| slots[*index]).collect();
    match level {
        "raid0" => lost.is_empty(),
        "raid1" | "raid5" => lost.len() <= 1,
        "raid6" => lost.len() <= 2,
        "raid10" => lost.len() <= 1 || lost[0] / 2 != lost[1] / 2,
        other => panic!("{other}"),
    }
}

#[test]
fn every_array_reads_back_healthy_and_with_every_survivable_set_of_missing_members() {
    let mut reads = 0;
    for fixture in ddf_fixtures() {
        let sha256 = fixture.text("content.sha256").split_whitespace().next().unwrap();
        with_members(&fixture, |members| {
            let claims: Vec<_> =
                members.iter().zip(&fixture.members).map(|(member, (_, image))| (only(member), &image[..])).collect();
            let slots: Vec<u16> = claims
                .iter()
                .map(|(claim, _)| match claim.record().role {
                    Role::Slot(slot) => slot,
                    other => panic!("{other:?}"),
                })
                .collect();
            for missing in missing_sets(claims.len()) {
                let here: Vec<_> =
                    (0..claims.len()).filter(|index| !missing.contains(index)).map(|index| claims[index]).collect();
                let what = format!("{} without {missing:?}", fixture.name);
                match (array::read(&here), survives(&fixture.name, &slots, &missing)) {
                    (Ok(content), true) => {
                        let found = fixtures::sha256(&content);
                        assert_eq!(content.len().to_string(), fixture.text("size.txt").trim(), "{what}");
                        assert_eq!(found, sha256, "{what}");
                        reads += 1;
                    }
                    (Err(_), false) => {}
                    (Ok(_), false) => panic!("{what}: read although sectors are lost"),
                    (Err(error), true) => panic!("{what}: {error}"),
                }
            }
        });
    }
    assert!(reads > 40, "only {reads} arrays were read");
}
