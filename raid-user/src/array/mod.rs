//! An array opened for reading: what a file system, a copy or the NBD server sees as one medium.
//!
//! Every decision (which member, which recovery, what is in doubt) is `raid_core::plan`'s; this folder fetches bytes.

mod fetch;
mod journal;
mod open;
mod options;
mod ppl;
mod runs;

use std::io;
use std::sync::{Arc, RwLock};

use raid_core::doubt::Doubt;
use raid_core::parity::Ops;
use raid_core::plan::{Readable, Trust};
use raid_core::reshape::{Layouts, Side};
use raid_core::{Columns, Extent, Level, Member, Sector, Sectors};
use raid_formats::record::{Record, Uuid};

use crate::media::{Media, MediaId, Overlay, Run, SharedMedia, Stored};

pub use open::verdicts;
pub(crate) use open::{Judged, judge_missing, missing, with_superblock};
pub(crate) use options::slots;
pub use options::{OpenError, OpenOptions, Warning, because};
pub(crate) use runs::with_run;

/// An array, assembled and readable. Shared between threads freely; nothing in it can write.
pub struct Array {
    layouts: Layouts,
    slots: Vec<Option<Slot>>,
    doubt: DirtyRows,
    ops: &'static Ops,
    size: Sectors,
    record: Record,
    warnings: Vec<Warning>,
    /// A replay took what redundancy gave for a member that is not trusted there.
    guessed: bool,
}

/// A member in its place.
pub(crate) struct Slot {
    name: String,
    media: SharedMedia,
    /// What was replayed of a log, if anything was: `media` is it then.
    replayed: Option<Arc<Overlay<SharedMedia>>>,
    /// Where its data start on the medium, before and after the reshape.
    data_at: [Sector; 2],
    /// Sectors of data that its metadata give it.
    data_len: Sectors,
    /// Sectors of the medium that may be read.
    end: Sector,
    /// Trusted data; `None` for all.
    mark: Option<Sectors>,
    write_mostly: bool,
    /// Runs of the medium (not of its data) that its metadata list as bad: ascending, disjoint.
    bad: Vec<Extent>,
    /// Runs of the medium that gave an error since the array was opened.
    failed: RwLock<Vec<Extent>>,
}

/// Rows whose parity is in doubt. Owned form of [`raid_core::doubt::Doubt`].
enum DirtyRows {
    Nothing,
    From(Sector),
    Runs(Vec<Extent>),
}

impl DirtyRows {
    /// The same as runs; the last may reach past the end.
    fn runs(&self) -> Vec<Extent> {
        match self {
            Self::Nothing => Vec::new(),
            Self::From(at) => vec![Extent { at: *at, len: Sectors(u64::MAX.saturating_sub(at.0)) }],
            Self::Runs(runs) => runs.clone(),
        }
    }
}

/// What replaying a log makes of an array.
pub(crate) struct Replayed {
    /// For each slot what is to be written to its member.
    pub(crate) over: Vec<Option<Arc<Overlay<SharedMedia>>>>,
    /// Slots without a member.
    pub(crate) missing: Columns,
    /// A member that could not be read.
    pub(crate) torn: Option<String>,
    /// It took what only redundancy gave: half of it written, and the same could not be had again.
    pub(crate) guessed: bool,
    /// Rows whose redundancy is in doubt all the same; the last run may reach past the end.
    pub(crate) doubt: Vec<Extent>,
}

/// What is read in a slot, by whoever reads members without the array.
pub(crate) struct Part {
    pub(crate) media: SharedMedia,
    /// Where its data start on the medium.
    pub(crate) data_at: Sector,
    /// Trusted data; `None` for all.
    pub(crate) mark: Option<Sectors>,
    pub(crate) write_mostly: bool,
    /// Runs of the medium that are not to be believed.
    pub(crate) bad: Vec<Extent>,
}

impl Slot {
    /// What is replayed lies here, over the member's medium: at most so many bytes, the first time it is asked for.
    fn lay_over(&mut self, limit_bytes: u64) -> Arc<Overlay<SharedMedia>> {
        let overlay = || Arc::new(Overlay::new(Arc::clone(&self.media), limit_bytes));
        let overlay = self.replayed.take().unwrap_or_else(overlay);
        self.media = Arc::<Overlay<SharedMedia>>::clone(&overlay);
        self.replayed = Some(Arc::clone(&overlay));
        overlay
    }
}

impl Array {
    /// The array's identity.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.record.array
    }

    /// What the freshest member says.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// How sectors map to members.
    #[must_use]
    pub fn layouts(&self) -> &Layouts {
        &self.layouts
    }

    /// What the user should know before trusting what is read.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Name of the member in each slot; `None` where it is missing.
    pub fn members(&self) -> impl Iterator<Item = Option<&str>> {
        self.slots.iter().map(|slot| slot.as_ref().map(|slot| slot.name.as_str()))
    }

    /// Where sector `at` of `member`'s data lies on its medium.
    #[must_use]
    pub fn medium_sector(&self, side: Side, member: Member, at: Sector) -> Option<Sector> {
        let slot = self.slots.get(usize::from(member.0))?.as_ref()?;
        slot.data_at[side as usize].checked_add(Sectors(at.0))
    }

    /// Members whose data are trusted only in part.
    #[must_use]
    pub fn rebuilding(&self) -> Columns {
        let in_part = |slot: &&Option<Slot>| slot.as_ref().is_some_and(|slot| slot.mark.is_some());
        (0..).zip(&self.slots).filter(|(_, slot)| in_part(slot)).map(|(slot, _)| Member(slot)).collect()
    }

    /// The slots, as they are before a reshape; what was replayed lies over the media.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Option<Part>> {
        self.slots.iter().map(|slot| {
            slot.as_ref().map(|slot| Part {
                media: slot.media.clone(),
                data_at: slot.data_at[Side::Old as usize],
                mark: slot.mark,
                write_mostly: slot.write_mostly,
                bad: slot.bad.clone(),
            })
        })
    }

    /// What replaying a log makes of the members, and what it leaves in doubt.
    pub(crate) fn into_replayed(self) -> Replayed {
        let missing = missing(&self.slots);
        let failed = |slot: &Slot| !slot.failed.read().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty();
        let torn = self.slots.iter().flatten().find(|slot| failed(slot)).map(|slot| slot.name.clone());
        let over = self.slots.into_iter().map(|slot| slot.and_then(|slot| slot.replayed)).collect();
        Replayed { over, missing, torn, guessed: self.guessed, doubt: self.doubt.runs() }
    }

    /// Identities of the members' media, as far as they have one.
    pub fn media_ids(&self) -> impl Iterator<Item = MediaId> {
        self.slots.iter().flatten().filter_map(|slot| slot.media.identity())
    }
}

/// Trust as the plan asks for it: marks, bad-block lists, and what failed while the array was open.
impl Trust for Array {
    fn readable(&self, side: Side, member: Member, at: Sector, len: Sectors) -> (Readable, Sectors) {
        let Some(slot) = self.slots.get(usize::from(member.0)).and_then(Option::as_ref) else {
            return (Readable::No, len);
        };
        let good = if slot.write_mostly { Readable::IfNeeded } else { Readable::Yes };
        let mut run = len;
        if let Some(mark) = slot.mark {
            match Sector(mark.0).checked_since(at) {
                None | Some(Sectors(0)) => return (Readable::No, len),
                Some(below) => run = run.min(below),
            }
        }
        let Some(start) = slot.data_at[side as usize].checked_add(Sectors(at.0)) else { return (Readable::No, len) };
        match slot.end.checked_since(start) {
            None | Some(Sectors(0)) => return (Readable::No, len),
            Some(left) => run = run.min(left),
        }
        let failed = slot.failed.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        for list in [slot.bad.as_slice(), failed.as_slice()] {
            let (bad, uniform) = Doubt::Runs(list).at(start, run);
            run = uniform;
            if bad {
                return (Readable::No, run);
            }
        }
        (good, run)
    }

    fn doubted(&self, _: Side, at: Sector, len: Sectors) -> (bool, Sectors) {
        match &self.doubt {
            DirtyRows::Nothing => (false, len),
            DirtyRows::From(edge) => Doubt::From(*edge).at(at, len),
            DirtyRows::Runs(runs) => Doubt::Runs(runs).at(at, len),
        }
    }
}

impl Media for Array {
    fn size_bytes(&self) -> u64 {
        self.size.bytes().unwrap_or(u64::MAX)
    }

    fn block_bytes(&self) -> u32 {
        self.slots.iter().flatten().map(|slot| slot.media.block_bytes()).max().unwrap_or(512)
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        self.fetch(offset_bytes, buf)
    }

    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        self.holes(offset_bytes, len_bytes)
    }

    fn is_memory(&self) -> bool {
        self.slots.iter().flatten().all(|slot| slot.media.is_memory())
    }

    fn stored(&self, offset_bytes: u64, len_bytes: u64) -> Option<Stored<'_>> {
        self.straight(offset_bytes, len_bytes)
    }

    fn describe(&self) -> String {
        format!("{} array {}", self.record.format.name(), self.record.array)
    }
}

/// The level as people write it.
#[must_use]
pub fn level_name(level: Level) -> String {
    match level {
        Level::Linear => "linear".into(),
        Level::Raid0(_) => "RAID 0".into(),
        Level::Raid1 => "RAID 1".into(),
        Level::Raid4 => "RAID 4".into(),
        Level::Raid5(_) => "RAID 5".into(),
        Level::Raid6(_) => "RAID 6".into(),
        Level::Raid10(_) => "RAID 10".into(),
    }
}

/// Members of a set as slot numbers, for messages.
fn slot_list(set: Columns) -> Vec<u16> {
    set.iter().map(|member| u16::from(member.0)).collect()
}
