//! Partial parity replayed: by the cut of a real kernel, by damage, and by the same code for MD and for IMSM.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raid_formats::assemble::Claimant;
use raid_formats::imsm::{Change, RunningState};
use raid_formats::md::ppl::{Entry, Log};
use raid_formats::record::WriteLog;
use raid_testkit::fixtures::sha256;
use raid_testkit::image::Image;
use raid_testkit::{fixtures, imsm_made, pattern};
use raid_user::array::{Array, OpenOptions, Warning};
use raid_user::discover::{Found, Identity, group};
use raid_user::media::{Media, MemMedia};

/// A medium that stops giving anything when it is told to.
struct Mortal {
    medium: MemMedia,
    dead: AtomicBool,
}

impl Media for Mortal {
    fn size_bytes(&self) -> u64 {
        self.medium.size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        match self.dead.load(Ordering::Relaxed) {
            true => Err(io::Error::other("dead")),
            false => self.medium.read_at(offset_bytes, buf),
        }
    }

    fn describe(&self) -> String {
        self.medium.describe()
    }
}

fn found(name: &str, bytes: &[u8]) -> Found {
    Found::inspect(name, Arc::new(MemMedia::new(name, bytes.to_vec()))).unwrap()
}

fn content(array: &Array) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(array.size_bytes()).unwrap()];
    array.read_at(0, &mut bytes).map(|()| bytes)
}

/// The three members of the RAID 5 with partial parity logs whose machine was killed in mid-write, and what the kernel that recovered it
/// served.
fn killed() -> (Vec<(String, Vec<u8>)>, String) {
    let fixture = fixtures::load("crash-kill9");
    let line = fixture.text("kernel-recovery.txt").lines().find(|line| line.starts_with("md1 ") && line.ends_with('-'));
    let hash = line.unwrap().split_whitespace().nth(1).unwrap().to_owned();
    (fixture.members[3..].to_vec(), hash)
}

/// Where the log of a member lies, and the entries that a start must replay.
fn entries(image: &[u8]) -> (Log, Vec<Entry>) {
    let record = *found("member", image).record();
    let log = Log::of(&record).unwrap();
    let mut entries = Vec::new();
    log.read(&Image(image), &mut [0; 8192], |entry| entries.push(entry)).unwrap();
    (log, entries)
}

#[test]
fn what_a_killed_machine_logged_is_replayed_without_being_asked() {
    let (members, served) = killed();
    let array = Array::open(members.iter().map(|(name, bytes)| found(name, bytes)).collect(), &OpenOptions::default());
    let array = array.unwrap();
    assert_eq!(array.warnings(), [Warning::PplReplayed { entries: 3, damaged: 0 }]);
    assert_eq!(sha256(content(&array).unwrap()), served);
}

/// With all members there at the start parity is made right, as the kernel made it; whichever dies after that, the content is the one
/// that the kernel served. Without the replay it is not: the same with `ignore_ppl` refuses the rows.
#[test]
fn after_the_replay_any_member_can_die() {
    let (members, served) = killed();
    for (dying, ignore_ppl) in (0..3).flat_map(|dying| [(dying, false), (dying, true)]) {
        let media: Vec<Arc<Mortal>> = members
            .iter()
            .map(|(name, bytes)| {
                let medium = MemMedia::new(name, bytes.clone());
                Arc::new(Mortal { medium, dead: AtomicBool::new(false) })
            })
            .collect();
        let found: Vec<Found> =
            media.iter().zip(&members).map(|(media, (name, _))| Found::inspect(name, media.clone()).unwrap()).collect();
        let array = Array::open(found, &OpenOptions { ignore_ppl, ..OpenOptions::default() }).unwrap();
        media[dying].dead.store(true, Ordering::Relaxed);
        match ignore_ppl {
            false => assert_eq!(sha256(content(&array).unwrap()), served, "without {dying}"),
            true => assert!(content(&array).unwrap_err().to_string().contains("not guessed")),
        }
    }
}

/// A member that is missing from the start: its sectors come back as they were before or after the writes that were cut, all others as
/// the kernel served them.
#[test]
fn a_dirty_degraded_array_opens_where_the_log_closes_the_hole() {
    let (members, served) = killed();
    let whole = Array::open(members.iter().map(|(name, bytes)| found(name, bytes)).collect(), &OpenOptions::default());
    let whole = content(&whole.unwrap()).unwrap();
    assert_eq!(sha256(&whole), served);
    let in_flight: Vec<Entry> = members.iter().flat_map(|(_, bytes)| entries(bytes).1).collect();
    assert_eq!(in_flight.len(), 3);
    for lost in 0..3 {
        let left = members.iter().enumerate().filter(|(index, _)| *index != lost);
        let array = Array::open(left.map(|(_, (name, bytes))| found(name, bytes)).collect(), &OpenOptions::default());
        let array = array.unwrap();
        let replayed = |warning: &Warning| matches!(warning, Warning::PplReplayed { damaged: 0, .. });
        assert!(array.warnings().iter().any(replayed), "{:?}", array.warnings());
        assert!(!array.warnings().iter().any(|warning| matches!(warning, Warning::DirtyDegraded { .. })));
        let degraded = content(&array).unwrap();
        for (sector, (one, other)) in (0..).zip(whole.chunks(512).zip(degraded.chunks(512))) {
            let written = |entry: &Entry| (entry.at.0..entry.at.0 + entry.len.0).contains(&sector);
            assert!(one == other || in_flight.iter().any(written), "without {lost}: sector {sector}");
        }
    }
}

/// A byte of the logged parity is wrong: that entry is not replayed, and its stripe is in doubt, no other.
#[test]
fn a_damaged_entry_leaves_its_stripe_in_doubt() {
    let (mut members, _) = killed();
    let (_, logged) = entries(&members[0].1);
    let at = usize::try_from(logged[0].partial.at.0 * 512).unwrap();
    members[0].1[at + 5] ^= 0x20;
    // The entry's stripe has its parity on member 0, and data on 1 and 2.
    let left = &members[..2];
    let array = Array::open(left.iter().map(|(name, bytes)| found(name, bytes)).collect(), &OpenOptions::default());
    let array = array.unwrap();
    assert!(array.warnings().iter().any(|warning| matches!(warning, Warning::PplReplayed { damaged: 1, .. })));
    let doubted = array.warnings().iter().find_map(|warning| match warning {
        Warning::DirtyDegraded { doubted: Some(runs), believed: false } => Some(runs.clone()),
        _ => None,
    });
    let doubted = doubted.expect("one stripe");
    assert_eq!(doubted.iter().map(|run| run.len.0).sum::<u64>(), 128);
    let mut refused = 0;
    for sector in (0..array.size_bytes() / 512).step_by(8) {
        if let Err(error) = array.read_at(sector * 512, &mut [0; 4096]) {
            assert!(error.to_string().contains("not guessed"), "{error}");
            refused += 8;
        }
    }
    assert_eq!(refused, 128, "the chunk that the missing member holds of that stripe");
    let trust = OpenOptions { trust_dirty_parity: true, ..OpenOptions::default() };
    let array = Array::open(left.iter().map(|(name, bytes)| found(name, bytes)).collect(), &trust).unwrap();
    assert!(content(&array).is_ok());
}

/// No sound header on one member: nothing is known of the parity that it holds, so all rows are in doubt, as without a log.
#[test]
fn a_log_without_a_header_closes_nothing() {
    let (mut members, _) = killed();
    let (log, _) = entries(&members[1].1);
    let at = usize::try_from(log.area.at.0 * 512).unwrap();
    members[1].1[at + 520] ^= 1;
    let left = &members[..2];
    let array = Array::open(left.iter().map(|(name, bytes)| found(name, bytes)).collect(), &OpenOptions::default());
    let all = |warning: &Warning| matches!(warning, Warning::DirtyDegraded { doubted: None, believed: false });
    assert!(array.unwrap().warnings().iter().any(all));
}

/// The IMSM volume with logs, made dirty, its parity spoiled where its newest entries say that it may be: the same replay makes it right.
#[test]
fn an_imsm_volume_is_replayed_by_the_same_code() {
    let fixture = fixtures::load("imsm-uml-raid5-ppl");
    let mut images: Vec<Vec<u8>> = fixture.members.iter().map(|(_, bytes)| bytes.clone()).collect();
    let mut spoiled: Vec<Entry> = Vec::new();
    for image in &mut images {
        let record = *found("d", image).record();
        let WriteLog::Ppl { at: area, multiple } = record.log else { panic!("no log") };
        let mut buf = Vec::new();
        let signature = imsm_made::read(image, &mut buf).family();
        let log = Log { area, multiple, signature, unit: raid_core::Sectors(1) };
        let mut logged = Vec::new();
        log.read(&Image(image), &mut [0; 8192], |entry| logged.push(entry)).unwrap();
        for entry in logged {
            // Of two data columns: the rows of the entry's first sector in its chunk.
            let (stripe, within) = (entry.at.0 / 256, entry.at.0 % 128);
            let rows = if entry.partial.len.0 > 0 { entry.partial.len.0 } else { entry.len.0 / 2 };
            let at = usize::try_from((record.data.at.0 + stripe * 128 + within) * 512).unwrap();
            let len = usize::try_from(rows * 512).unwrap();
            image[at..at + len].iter_mut().for_each(|byte| *byte ^= 0x5A);
            spoiled.push(entry);
        }
        let generation = imsm_made::read(&image.clone(), &mut Vec::new()).header().generation_num.get() + 1;
        let changes = [Change::Dirty { volume: 0, dirty: true }];
        imsm_made::apply(image, &RunningState { generation, changes: &changes });
    }
    assert_eq!(spoiled.len(), 3);
    let open = |lost: Option<usize>| {
        let left = images.iter().enumerate().filter(|(index, _)| Some(*index) != lost);
        let found = left.map(|(index, image)| found(&format!("d{index}"), image)).collect();
        // Nobody says which disk is which: the logs do.
        Array::open(group(found).remove(0), &OpenOptions::default()).unwrap()
    };
    let expected = fixture.text("content.sha256").split_whitespace().next().unwrap().to_owned();
    for lost in [None, Some(0), Some(1), Some(2)] {
        let array = open(lost);
        let told = |warning: &&Warning| matches!(warning, Warning::Identified { identity: Identity::Logged, .. });
        assert_eq!(array.warnings().iter().filter(told).count(), 3 - usize::from(lost.is_some()));
        let replayed = |warning: &Warning| matches!(warning, Warning::PplReplayed { damaged: 0, .. });
        assert!(array.warnings().iter().any(replayed), "{:?}", array.warnings());
        let bytes = content(&array).unwrap();
        // Where the missing member alone was written, parity stays as it is: here spoiled, after a real cut old or new. Elsewhere it
        // is right.
        let geometry = array.layouts().geometry(raid_core::reshape::Side::Old);
        let holds = |entry: &Entry| Some(usize::from(geometry.map(entry.at).unwrap().member.0));
        let kept = |sector: u64| {
            let written = |entry: &&Entry| (entry.at.0..entry.at.0 + entry.len.0).contains(&sector);
            spoiled.iter().filter(written).any(|entry| holds(entry) == lost)
        };
        let wrong = (0..)
            .zip(bytes.chunks(512))
            .find(|(sector, bytes)| *bytes != pattern::sectors(*sector, 1) && !kept(*sector));
        assert!(wrong.is_none(), "without {lost:?}: sector {}", wrong.unwrap().0);
        assert!(lost.is_some() || sha256(&bytes) == expected, "healthy");
    }
}
