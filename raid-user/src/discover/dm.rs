//! Members that a table tells of: dm-raid's images, whose records lie on a medium beside them, and those that keep none.

use raid_core::{Extent, Sector, Sectors};
use raid_formats::assemble::Claimant as _;
use raid_formats::dm::{self, mirror};
use raid_formats::md;
use raid_formats::record::{Record, Sync, WriteLog};
use raid_formats::table::Believed;

use super::{Found, MediaSource, Meta};
use crate::media::{Media, SharedMedia};

impl Found {
    /// An image of dm-raid, whose metadata lie on the medium `beside`.
    ///
    /// # Errors
    /// The metadata cannot be read, or are refused. Without a magic number the image was never filled.
    pub fn dm_raid(name: &str, media: SharedMedia, beside: SharedMedia) -> Result<Self, String> {
        let mut block = Box::new([0; 4096]);
        beside.read_at(0, block.as_mut_slice()).map_err(|error| error.to_string())?;
        let data = Sectors::from_bytes_floor(media.size_bytes());
        let parsed = dm::Superblock::parse(block.as_slice(), data).map_err(|refusal| refusal.to_string())?;
        let mut record = *parsed.record();
        let mut chunks: u64 = 0;
        // The superblock does not tell an unclean stop, the bitmap alone does. One that cannot be read vouches for nothing.
        if let (WriteLog::Bitmap(at), Sync::Clean) = (record.log, record.sync) {
            let (source, log) = (MediaSource(beside.as_ref()), ([0; 16], record.events));
            let read = md::read_bitmap_at(&source, at, log, &mut [0; 8192], |_| chunks = chunks.saturating_add(1));
            if !read.is_ok_and(|summary| summary.dirty == 0 && !summary.stale) {
                record.sync = Sync::DirtyFrom(Sector(0));
            }
        }
        let meta = Meta::Dm { block, beside };
        Ok(Self { name: name.to_owned(), media, meta, record, others: Vec::new(), label: None, notes: Vec::new() })
    }

    /// A member that something else told of: it keeps no record. What is `doubted` is not read from it.
    #[must_use]
    pub fn told(name: &str, media: SharedMedia, record: Record, doubted: Vec<Extent>) -> Self {
        let meta = Meta::Told { doubted };
        Self { name: name.to_owned(), media, meta, record, others: Vec::new(), label: None, notes: Vec::new() }
    }

    /// The same member, read last.
    #[must_use]
    pub fn write_mostly(mut self) -> Self {
        self.record.write_mostly = true;
        self
    }

    /// Runs of its data that may be older than those of others.
    #[must_use]
    pub fn doubted(&self) -> &[Extent] {
        match &self.meta {
            Meta::Told { doubted } => doubted,
            _ => &[],
        }
    }

    /// The same member without those, and they.
    pub(crate) fn take_doubted(mut self) -> (Self, Vec<Extent>) {
        let doubted = match &mut self.meta {
            Meta::Told { doubted } => std::mem::take(doubted),
            _ => Vec::new(),
        };
        (self, doubted)
    }

    /// The medium that holds dm-raid's superblock and bitmap, if it was found by one.
    #[must_use]
    pub fn beside(&self) -> Option<&SharedMedia> {
        match &self.meta {
            Meta::Dm { beside, .. } => Some(beside),
            _ => None,
        }
    }
}

/// Runs of a mirror in which the first leg alone counts, and a sentence where that is so. Without a log, or with one that cannot be read,
/// it is so everywhere.
pub(crate) fn mirror_doubt(
    log: Option<&dyn Media>,
    believed: Believed,
    region: Sectors,
    len: Sectors,
) -> (Vec<Extent>, Option<String>) {
    let all = vec![Extent { at: Sector(0), len }];
    let log = match (believed, log) {
        (Believed::Agree, _) => return (Vec::new(), None),
        (Believed::Differ, Some(_)) => {
            return (all, Some("the mirror's legs are said to disagree, the first counts".into()));
        }
        (_, None) => {
            let why = "the mirror has no log on disk: nothing says that its legs agree, the first counts";
            return (all, Some(why.into()));
        }
        (Believed::Log, Some(log)) => log,
    };
    let mut runs = Vec::new();
    if let Err(fault) = mirror::read_unsynced(&MediaSource(log), region, len, |run| runs.push(run)) {
        let name = log.describe();
        return (all, Some(format!("{name}: the mirror's log cannot be used ({fault}): the first leg counts")));
    }
    let sectors: u64 = runs.iter().map(|run| run.len.0).sum();
    let note = format!("the mirror's legs may disagree in {sectors} sectors: there the first counts");
    let differ = !runs.is_empty();
    (runs, differ.then_some(note))
}
