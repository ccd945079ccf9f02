//! Arrays of BIOS RAIDs, made by ourselves by the tables of `docs/formats/bios.md`: each format and arrangement, whole and without
//! each disk that can be spared; and what `blkid` takes them for.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::process::Command;
use std::sync::Arc;

use raid_core::geometry::Geometry;
use raid_core::{ArrayConfig, Level, Raid5Layout, Sector, Sectors, Sizes};
use raid_formats::assemble::Claimant;
use raid_formats::bios::{Arrangement, BUFFER_BYTES, Kind, Spec, Unfit};
use raid_formats::record::Name;
use raid_testkit::{array, pattern, tool};
use raid_user::array::{Array, OpenOptions};
use raid_user::discover::{Found, group};
use raid_user::media::{Media, MemMedia};
use sha2::{Digest, Sha256};

const MEDIUM: Sectors = Sectors(8192);
const USED: Sectors = Sectors(1024);
const CHUNK: Sectors = Sectors(16);

fn specs() -> Vec<Spec> {
    use Arrangement as A;
    let all = [
        (A::Span, 3),
        (A::Stripe, 3),
        (A::Mirror, 2),
        (A::StripedPairs, 4),
        (A::MirroredStripes, 4),
        (A::Raid5(Raid5Layout::LeftSymmetric), 4),
        (A::Raid5(Raid5Layout::LeftAsymmetric), 3),
    ];
    let spec = |(arrangement, members)| {
        let chunk = if matches!(arrangement, A::Mirror | A::Span) { Sectors(0) } else { CHUNK };
        Spec { arrangement, members, chunk, used: USED, set: 0x5ca1_ab1e, name: Name([0; 32]) }
    };
    all.into_iter().map(spec).collect()
}

fn geometry(spec: &Spec) -> Geometry {
    let level = spec.arrangement.level();
    let each = vec![spec.used; usize::from(spec.members)];
    let sizes = match level {
        Level::Linear | Level::Raid0(_) => Sizes::Each(&each),
        _ => Sizes::Same(spec.used),
    };
    Geometry::new(&ArrayConfig { level, members: spec.members, chunk: spec.chunk, sizes, array_size: None }).unwrap()
}

/// What the array holds.
fn content(spec: &Spec) -> Vec<u8> {
    pattern::sectors(0, usize::try_from(geometry(spec).array_size().0).unwrap())
}

/// The media of an array; `None` if the format has no such arrangement.
fn media(kind: Kind, spec: &Spec) -> Option<Vec<Vec<u8>>> {
    let mut media = Vec::new();
    for (slot, data) in (0..).zip(array::lay_out(&geometry(spec), &content(spec))) {
        let mut medium = vec![0; usize::try_from(MEDIUM.0 * 512).unwrap()];
        let mut pieces = Vec::new();
        let made = kind.make(spec, slot, MEDIUM, &mut [0; BUFFER_BYTES], |at, bytes| pieces.push((at, bytes.to_vec())));
        match made {
            Ok(()) => {}
            Err(Unfit::Arrangement | Unfit::Members) => return None,
            Err(other) => panic!("{kind:?} {spec:?}: {other}"),
        }
        // Where the data start is the record's own word.
        let write = |medium: &mut Vec<u8>, at: Sector, bytes: &[u8]| {
            let from = usize::try_from(at.0 * 512).unwrap();
            medium[from..from + bytes.len()].copy_from_slice(bytes);
        };
        pieces.iter().for_each(|(at, bytes)| write(&mut medium, *at, bytes));
        let data_at = found("probe", medium.clone()).record().data.at;
        write(&mut medium, data_at, &data);
        // The record of the oldest HighPoint lies in the data of its first disk.
        pieces.iter().for_each(|(at, bytes)| write(&mut medium, *at, bytes));
        media.push(medium);
    }
    Some(media)
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
        std::fs::write(&image, &media(kind, &spec).unwrap()[1]).unwrap();
        let said = Command::new(&blkid).args(["-p", "-o", "value", "-s", "TYPE"]).arg(&image).output().unwrap();
        let expected = BLKID.iter().find(|(name, _)| *name == kind.format().name()).unwrap().1;
        assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), expected, "{kind:?}");
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
    if tool("dmraid").is_none() {
        return;
    }
    // The record of the oldest HighPoint lies in the data, and dmraid takes the space before it off the end.
    const SKIP: usize = 16;
    const END: usize = 48;
    let folder = tempfile::tempdir().unwrap();
    let mut script = String::from(include_str!("dmraid.sh"));
    let (mut disks, mut count, mut expected) = (Vec::new(), 0, Vec::new());
    let mut specs = specs();
    specs.push(Spec { members: 2, ..specs[1] });
    for (kind, spec) in Kind::all().flat_map(|kind| specs.iter().map(move |spec| (kind, *spec))) {
        let Some(media) = media(kind, &spec).filter(|_| beyond_dmraid(kind, &spec).is_none()) else { continue };
        let content = content(&spec);
        let (sectors, what) =
            (content.len() / 512 - SKIP - END, format!("{kind:?} {:?} {}", spec.arrangement, spec.members));
        let (case, vendor, disks_here) = (expected.len(), dmraid_name(kind), media.len());
        script.push_str(&format!("serve {case} {vendor} {count} {disks_here} {SKIP} {sectors}\n"));
        let digest = Sha256::digest(&content[SKIP * 512..content.len() - END * 512])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        expected.push((what, digest));
        count += media.len();
        disks.extend(media.concat());
    }
    assert!(expected.len() >= 22, "{}", expected.len());
    let packed = folder.path().join("disks");
    std::fs::write(&packed, disks).unwrap();
    let Some(said) = raid_testkit::uml::run(folder.path(), &script, &[packed]) else { return };
    let wrong = |(case, (what, digest)): (usize, &(String, String))| {
        (!said.lines().any(|line| line == format!("CASE {case} {digest}"))).then(|| format!("{case} {what}"))
    };
    let wrong: Vec<String> = expected.iter().enumerate().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?} in {said}");
}
