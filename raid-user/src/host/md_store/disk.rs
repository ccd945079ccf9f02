//! One member's metadata as they stand on its medium, and the writes that change them. What to say is decided elsewhere.
//!
//! Order: bitmap, flush, superblock, flush. A crash in between leaves a bitmap that is ahead of its superblock, which is harmless.

use std::io;
use std::ops::Range;

use raid_core::health::Filling;
use raid_core::{Extent, SECTOR_BYTES, Sector, Sectors};
use raid_formats::assemble::Claimant as _;
use raid_formats::md::{self, RunningState, Version, raw1::Features, update};

use super::said::Said;
use crate::discover::Found;
use crate::host::start_error::StartError;
use crate::media::SharedMediaMut;

/// Bytes of MD's bitmap header, which the bits follow.
pub(super) const HEADER_BYTES: usize = md::bitmap::HEADER_BYTES;

/// A member's bitmap: what stands on the medium, or will with the next write of all of it.
pub(super) struct BitmapArea {
    /// Its header.
    pub(super) at: Sector,
    /// Header and bits, filled up to whole blocks.
    pub(super) bytes: Vec<u8>,
    /// True once all of it is on the medium as it is here.
    pub(super) whole: bool,
}

/// What is written to a medium before it is a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    /// Its list of bad blocks, which is emptied; nothing of one that was a member before.
    pub(super) bad_blocks: Option<Extent>,
}

/// A member that has a medium.
pub(super) struct Disk {
    pub(super) media: SharedMediaMut,
    pub(super) version: Version,
    /// The superblock as it stands on the medium; for a new member, as it will be before its first update.
    pub(super) block: Box<[u8; 4096]>,
    /// Events in it; zero for a new member, which has none yet.
    pub(super) events: u64,
    pub(super) bitmap: Option<BitmapArea>,
    /// Not a member yet: nothing is written before it is told its state, and then this first.
    pub(super) first: Option<First>,
    /// Its list of bad blocks has entries.
    pub(super) bad_blocks: bool,
    /// A write that nobody was waiting for failed; the next one says so.
    pub(super) failed: bool,
}

impl Disk {
    /// What a medium has that is a member, or a spare, or a journal; no bitmap.
    ///
    /// # Errors
    /// It has no superblock.
    pub(super) fn of(found: &Found, media: &SharedMediaMut) -> Result<Self, StartError> {
        let record = found.record();
        let named = |why: String| StartError::Contradiction(format!("{}: {why}", found.name()));
        let superblock = found.superblock().ok_or_else(|| named("no MD superblock".into()))?;
        let superblock = superblock.map_err(|refusal| named(refusal.to_string()))?;
        let version = Version::ALL.into_iter().find(|version| version.format() == record.format);
        Ok(Self {
            version: version.ok_or_else(|| named("no MD version".into()))?,
            block: Box::new(*superblock.emit()),
            events: record.events,
            bitmap: None,
            first: None,
            bad_blocks: record.bad_blocks.is_some(),
            failed: false,
            media: media.clone(),
        })
    }

    /// Size of its medium.
    pub(super) fn medium(&self) -> Sectors {
        Sectors::from_bytes_floor(self.media.size_bytes())
    }

    /// Brings the member up to `said`, unless it is. `filling` is how far it is rebuilt, `log` which log counts, if that can change.
    pub(super) fn tell(&mut self, said: &Said, filling: Option<Filling>, log: Option<Features>) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write of its metadata failed"));
        }
        if self.events >= said.events {
            return Ok(());
        }
        self.write_first()?;
        self.tell_bitmap(said)?;
        self.tell_superblock(said, filling, log)
    }

    /// What must stand on a new member before its superblock: no bad blocks.
    fn write_first(&mut self) -> io::Result<()> {
        if let Some(area) = self.first.and_then(|first| first.bad_blocks) {
            self.media
                .write_at(bytes(area.at)?, &vec![0xFF; usize::try_from(area.len.0 * SECTOR_BYTES).unwrap_or(0)])?;
        }
        Ok(())
    }

    fn tell_bitmap(&mut self, said: &Said) -> io::Result<()> {
        let Some(bitmap) = &mut self.bitmap else { return Ok(()) };
        update::bitmap_header(&mut bitmap.bytes, said.events, said.degraded()).map_err(other)?;
        let range = if bitmap.whole { 0..HEADER_BYTES } else { 0..bitmap.bytes.len() };
        self.write_bits(&range)?;
        if let Some(bitmap) = &mut self.bitmap {
            bitmap.whole = true;
        }
        self.media.flush()
    }

    fn tell_superblock(&mut self, said: &Said, filling: Option<Filling>, log: Option<Features>) -> io::Result<()> {
        let table = said.table();
        let state = RunningState {
            events: said.events,
            updated_s: super::now_s(),
            sync: said.sync,
            sync_mark: filling.map(|filling| Sectors(filling.mark.0)),
            by_bitmap: self.bitmap.is_some() && filling.is_some_and(|filling| filling.by_log),
            replacement: filling.is_some_and(|filling| filling.copy),
            bad_blocks: self.bad_blocks,
            table: &table,
        };
        let mut block = self.block.clone();
        if let Some(log) = log {
            md::set_log(&mut block, self.version, log);
        }
        let (medium, block_bytes) = (self.medium(), self.media.block_bytes());
        let write = update(&mut block, self.version, medium, block_bytes, &state).map_err(other)?;
        let write = if self.first.is_some() { Some(write) } else { update::changed(&write, &self.block, block_bytes) };
        if let Some(write) = write {
            self.media.write_at(bytes(write.at)?, write.bytes)?;
        }
        self.media.flush()?;
        (self.block, self.events, self.first) = (block, said.events, None);
        Ok(())
    }

    /// Writes the blocks that hold these bytes of the bitmap.
    pub(super) fn write_bits(&self, range: &Range<usize>) -> io::Result<()> {
        let Some(bitmap) = self.bitmap.as_ref().filter(|_| !range.is_empty()) else { return Ok(()) };
        let block_len = block_len(&self.media);
        let (from, end) = (range.start / block_len * block_len, range.end.next_multiple_of(block_len));
        let part = bitmap.bytes.get(from..end.min(bitmap.bytes.len())).unwrap_or_default();
        self.media.write_at(bytes(bitmap.at)?.saturating_add(from as u64), part)
    }
}

/// Bytes of a block of the medium.
pub(super) fn block_len(media: &SharedMediaMut) -> usize {
    usize::try_from(media.block_bytes()).unwrap_or(512).max(512)
}

/// Bytes of an area of that length, in whole blocks of the medium.
pub(super) fn padded(area_bytes: u64, media: &SharedMediaMut) -> io::Result<usize> {
    let len = usize::try_from(area_bytes).map_err(|_| io::Error::other("a bitmap larger than memory"))?;
    Ok(len.next_multiple_of(block_len(media)))
}

/// Where a sector's bytes are.
pub(super) fn bytes(at: Sector) -> io::Result<u64> {
    at.bytes().ok_or_else(|| io::Error::other("a place past all media"))
}

/// A refusal of the formats as an error of the medium that gave it.
pub(super) fn other(refusal: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, refusal.to_string())
}

/// The sectors that so many bytes fill.
pub(super) fn extent(at: Sector, len_bytes: u64) -> Extent {
    Extent { at, len: Sectors(len_bytes.div_ceil(SECTOR_BYTES)) }
}
