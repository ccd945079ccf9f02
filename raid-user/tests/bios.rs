//! Arrays of BIOS RAIDs, made by ourselves by the tables of `docs/formats/bios.md`: each format and arrangement, whole and without
//! each disk that can be spared; and what `blkid` takes them for.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::process::Command;
use std::sync::Arc;

use raid_core::{Member, Raid5Layout, Sectors};
use raid_formats::bios::{Arrangement, Kind, Spec};
use raid_testkit::bios_made::{self, MEDIUM, is_redundant, media, specs};
use raid_testkit::fixtures::sha256;
use raid_testkit::tool;
use raid_user::array::{Array, OpenOptions};
use raid_user::discover::{Found, group};
use raid_user::host::container::container_start_on;
use raid_user::host::{Running, Tuning};
use raid_user::media::{Media, MediaMut, MemMedia, SharedMedia, SharedMediaMut};

fn content(spec: &Spec) -> Vec<u8> {
    bios_made::content(spec, 0)
}

/// What the array holds that was written to.
const WRITTEN: u64 = 50_000;

/// The media of an array that ran: it was written to and, if it can live without, lost a member, was written to again, and got a new one.
/// A format that is not written to stays as it was made.
fn lived(kind: Kind, spec: &Spec) -> Option<Vec<Vec<u8>>> {
    let made = media(kind, spec)?;
    if kind.unwritable().is_some() {
        return None;
    }
    let disk = |(slot, bytes): (usize, Vec<u8>)| Arc::new(MemMedia::new(&format!("d{slot}"), bytes));
    let mut disks: Vec<Arc<MemMedia>> = made.into_iter().enumerate().map(disk).collect();
    let found = |disk: &Arc<MemMedia>| {
        (Found::inspect("d", disk.clone() as SharedMedia).unwrap(), disk.clone() as SharedMediaMut)
    };
    let start = container_start_on(disks.iter().map(found).collect(), Vec::new(), &OpenOptions::default());
    let running = Running::start(start.unwrap(), &Tuning::default()).unwrap();
    if is_redundant(spec) {
        running.write_at(0, &bios_made::content(spec, 900)).unwrap();
        running.fail(Member(1));
        while !running.is_noted() || !running.release(Member(1)) {
            std::thread::yield_now();
        }
    }
    running.write_at(0, &bios_made::content(spec, WRITTEN)).unwrap();
    if is_redundant(spec) {
        disks[1] = Arc::new(MemMedia::new("new", vec![0x5a; disks[0].contents().len()]));
        running.add(Member(1), disks[1].clone()).unwrap();
        running.wait_until_quiet();
    }
    assert!(running.stop().unwrap(), "{kind:?} {spec:?}");
    Some(disks.iter().map(|disk| disk.contents()).collect())
}

fn found(name: &str, medium: Vec<u8>) -> Found {
    Found::inspect(name, Arc::new(MemMedia::new(name, medium))).unwrap()
}

fn read(kind: Kind, spec: &Spec, media: &[Vec<u8>], lost: Option<usize>) -> Result<Vec<u8>, String> {
    let left = media.iter().enumerate().filter(|(slot, _)| Some(*slot) != lost);
    // Backwards: the order in which disks are given means nothing.
    let found: Vec<Found> = left.rev().map(|(slot, medium)| found(&format!("d{slot}"), medium.clone())).collect();
    let mut groups = group(found);
    assert_eq!(groups.len(), 1, "{kind:?} {spec:?}: disks of one array");
    let array = Array::open(groups.remove(0), &OpenOptions::default()).map_err(|error| error.to_string())?;
    let mut bytes = vec![0; usize::try_from(array.size_bytes()).unwrap()];
    array.read_at(0, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[test]
fn every_format_and_arrangement_reads_whole_and_without_each_disk_it_can_spare() {
    let mut cases = 0;
    for (kind, spec) in Kind::all().flat_map(|kind| specs().into_iter().map(move |spec| (kind, spec))) {
        let Some(media) = media(kind, &spec) else { continue };
        cases += 1;
        let what = format!("{kind:?} {:?} of {}", spec.arrangement, spec.members);
        let mut expected = content(&spec);
        let own = usize::from(kind.place(MEDIUM, 0).unwrap().0 == 9) * 512;
        expected[9 * 512..9 * 512 + own].fill(0);
        let same = |mut bytes: Vec<u8>| {
            bytes[9 * 512..9 * 512 + own].fill(0);
            bytes == expected
        };
        assert!(same(read(kind, &spec, &media, None).unwrap_or_else(|error| panic!("{what}: {error}"))), "{what}");
        for lost in 0..media.len() {
            let survives = !matches!(spec.arrangement, Arrangement::Span | Arrangement::Stripe);
            match read(kind, &spec, &media, Some(lost)) {
                Ok(bytes) => assert!(survives && same(bytes), "{what} without {lost}"),
                Err(error) => assert!(!survives, "{what} without {lost}: {error}"),
            }
        }
    }
    assert!(cases >= 26, "{cases}");
}

/// What libblkid calls each.
const BLKID: [(&str, &str); 9] = [
    ("asr", "adaptec_raid_member"),
    ("hpt37x", "hpt37x_raid_member"),
    ("hpt45x", "hpt45x_raid_member"),
    ("jmicron", "jmicron_raid_member"),
    ("lsi", "lsi_mega_raid_member"),
    ("nvidia", "nvidia_raid_member"),
    ("promise", "promise_fasttrack_raid_member"),
    ("sil", "silicon_medley_raid_member"),
    ("via", "via_raid_member"),
];

#[test]
fn blkid_takes_each_for_what_it_is() {
    let Some(blkid) = tool("blkid") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut spec = specs().remove(2);
    spec.used = Sectors(1024);
    for kind in Kind::all() {
        let image = folder.path().join("disk");
        let expected = BLKID.iter().find(|(name, _)| *name == kind.format().name()).unwrap().1;
        // As it was made, and each disk of one that ran.
        let disks = media(kind, &spec).into_iter().chain(lived(kind, &spec)).flatten();
        for disk in disks {
            std::fs::write(&image, disk).unwrap();
            let said = Command::new(&blkid).args(["-p", "-o", "value", "-s", "TYPE"]).arg(&image).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), expected, "{kind:?}");
        }
    }
}

/// What dmraid calls each format.
fn dmraid_name(kind: Kind) -> &'static str {
    match kind.format().name() {
        "promise" => "pdc",
        other => other,
    }
}

/// Why an array is not given to dmraid: most often since it has no code for it.
fn beyond_dmraid(kind: Kind, spec: &Spec) -> Option<&'static str> {
    match (kind.format().name(), spec.arrangement) {
        ("jmicron" | "promise", Arrangement::Raid5(_))
        | ("nvidia", Arrangement::Raid5(Raid5Layout::LeftAsymmetric)) => Some("no RAID 5 of this kind"),
        ("sil", Arrangement::Raid5(_)) => Some("it expects no disks at all in a RAID 5"),
        (vendor, Arrangement::Stripe) if vendor != "lsi" && spec.members == 2 => {
            Some("nothing new: the same of three is tried")
        }
        ("lsi", _) if spec.members != 2 => Some("it expects two disks, always"),
        ("jmicron" | "promise", Arrangement::Span) => Some("it takes all of each disk"),
        _ => None,
    }
}

/// Each array on SCSI disks of a real kernel, activated by dmraid: device-mapper serves the content that we laid out, so dmraid finds the
/// same level, the same disks in the same order, and the same chunk in our records.
///
/// Silicon Image's stripes over pairs came out in another order: `striped_set_number` tells the copies apart, `mirrored_set_number`
/// the columns, and we took each for the other. An array of a real controller would have been read with its chunks shuffled. Our own
/// reader could not notice, since our own maker had made the same mistake.
#[test]
fn dmraid_serves_what_we_laid_out() {
    let expected = dmraid(|kind, spec| Some((media(kind, spec)?, content(spec))));
    assert!(expected.is_none_or(|cases| cases >= 22), "{expected:?}");
}

/// The same of arrays that ran under our engine, lost a member and got a new one: dmraid finds the array whole, with the last that was
/// written.
#[test]
fn dmraid_serves_what_we_wrote() {
    let expected = dmraid(|kind, spec| Some((lived(kind, spec)?, bios_made::content(spec, WRITTEN))));
    assert!(expected.is_none_or(|cases| cases >= 20), "{expected:?}");
}

/// Arrays' disks with what dmraid is to serve of them; how many there were. Nothing if there is no dmraid or no guest.
fn dmraid(made: impl Fn(Kind, &Spec) -> Option<(Vec<Vec<u8>>, Vec<u8>)>) -> Option<usize> {
    tool("dmraid")?;
    // The record of the oldest HighPoint lies in the data, and dmraid takes the space before it off the end.
    const SKIP: usize = 16;
    const END: usize = 48;
    let folder = tempfile::tempdir().unwrap();
    let mut script = String::from(include_str!("dmraid.sh"));
    let (mut disks, mut count, mut expected) = (Vec::new(), 0, Vec::new());
    let mut specs = specs();
    specs.push(Spec { members: 2, ..specs[1] });
    for (kind, spec) in Kind::all().flat_map(|kind| specs.iter().map(move |spec| (kind, *spec))) {
        if beyond_dmraid(kind, &spec).is_some() {
            continue;
        }
        let Some((media, content)) = made(kind, &spec) else { continue };
        let (sectors, what) =
            (content.len() / 512 - SKIP - END, format!("{kind:?} {:?} {}", spec.arrangement, spec.members));
        let (case, vendor, disks_here) = (expected.len(), dmraid_name(kind), media.len());
        script.push_str(&format!("serve {case} {vendor} {count} {disks_here} {SKIP} {sectors}\n"));
        let digest = sha256(&content[SKIP * 512..content.len() - END * 512]);
        expected.push((what, digest));
        count += media.len();
        disks.extend(media.concat());
    }
    let packed = folder.path().join("disks");
    std::fs::write(&packed, disks).unwrap();
    let said = raid_testkit::uml::run(folder.path(), &script, &[packed])?;
    let wrong = |(case, (what, digest)): (usize, &(String, String))| {
        (!said.lines().any(|line| line == format!("CASE {case} {digest}"))).then(|| format!("{case} {what}"))
    };
    let wrong: Vec<String> = expected.iter().enumerate().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?} in {said}");
    Some(expected.len())
}
