//! What the members' metadata call in doubt, and whether the rest is right: the slow way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use raid_core::geometry::Content;
use raid_core::reshape::Side;
use raid_core::{Level, Member, Sector};
use raid_formats::assemble::Claimant as _;
use raid_formats::md;
use raid_formats::record::{Role, Sync, WriteLog};
use raid_testkit::array::lay_out;
use raid_user::array::{Array, OpenOptions};
use raid_user::discover::{Found, MediaSource, Outcome, Search, open_member};
use raid_user::media::Media as _;

/// What was compared.
#[derive(Default)]
pub(crate) struct Compared {
    /// Sectors of members outside of all marks: all of them right.
    pub(crate) outside: u64,
    /// Sectors inside of marks that were wrong, as they may be.
    pub(crate) inside_wrong: u64,
}

fn find(disk: &Path) -> Found {
    match open_member(&disk.display().to_string(), &Search::default()) {
        Outcome::Member(found) => *found,
        _ => panic!("{}: no member", disk.display()),
    }
}

/// What the members' metadata call in doubt.
pub(crate) enum Doubt {
    Nothing,
    Everything,
    /// Chunks of the bitmap, and their length in sectors: of each member, or of the array where there are copies.
    Chunks(BTreeSet<u64>, u64),
}

impl Doubt {
    /// What the members say together.
    pub(crate) fn of(disks: &[PathBuf]) -> Self {
        let found: Vec<Found> = disks.iter().map(|disk| find(disk)).collect();
        if found.iter().all(|found| found.record().sync == Sync::Clean) {
            return Self::Nothing;
        }
        if !found.iter().all(|found| matches!(found.record().log, WriteLog::Bitmap(_))) {
            return Self::Everything;
        }
        let (mut chunks, mut len) = (BTreeSet::new(), 0);
        for found in &found {
            let superblock = found.superblock().unwrap().unwrap();
            let source = MediaSource(found.media().as_ref());
            let mark = |chunk| {
                chunks.insert(chunk);
            };
            len = md::read_bitmap(&source, &superblock, &mut [0; 4096], mark).unwrap().unwrap().chunk.0;
        }
        Self::Chunks(chunks, len)
    }

    fn covers(&self, level: Level, at: Sector, content: &Content) -> bool {
        match (self, level, content) {
            (Self::Nothing, ..) => false,
            (Self::Everything, ..) => true,
            (Self::Chunks(chunks, len), Level::Raid1 | Level::Raid10(_), Content::Data(array)) => {
                chunks.contains(&(array.0 / len))
            }
            (Self::Chunks(chunks, len), ..) => chunks.contains(&(at.0 / len)),
        }
    }
}

/// Holds every member against what the content makes of it, the slow way. Returns the content.
pub(crate) fn check_redundancy(disks: &[PathBuf], seen: &mut Compared, when: &str) -> Vec<u8> {
    let doubt = Doubt::of(disks);
    let array = Array::open(disks.iter().map(|disk| find(disk)).collect(), &OpenOptions::default()).unwrap();
    let geometry = array.layouts().geometry(Side::Old);
    let mut content = vec![0; usize::try_from(array.size_bytes()).unwrap()];
    array.read_at(0, &mut content).unwrap();
    let expected = lay_out(geometry, &content);
    for disk in disks {
        let record = *find(disk).record();
        let Role::Slot(slot) = record.role else { panic!("{}: in no slot", disk.display()) };
        let (expected, slot) = (&expected[usize::from(slot)], u8::try_from(slot).unwrap());
        let data_at = usize::try_from(record.data.at.0 * 512).unwrap();
        let bytes = std::fs::read(disk).unwrap();
        let sectors = expected.as_chunks::<512>().0.iter().zip(bytes[data_at..].as_chunks::<512>().0);
        for (at, (expected, is)) in (0..).map(Sector).zip(sectors) {
            let content = geometry.unmap(Member(slot), at).unwrap();
            if matches!(content, Content::Unused) {
                continue;
            }
            let covered = doubt.covers(geometry.level(), at, &content);
            seen.outside += u64::from(!covered);
            seen.inside_wrong += u64::from(covered && expected != is);
            assert!(covered || expected == is, "{when}: member {slot} sector {at} disagrees and no bit says so");
        }
    }
    content
}
