//! What the members' region logs say together when an array is to run, and what of its redundancy is in doubt by them.

use std::collections::BTreeSet;

use raid_core::health::Health;
use raid_core::region::{Found, RegionNo};
use raid_core::rows::{ROW_SECTORS, RowKind, Rows};
use raid_core::{Extent, Sector, Sectors};
use raid_formats::md::{Bitmap, Doubt, RegionBits, bitmap::HEADER_BYTES};

use super::start_error::{StartError, not_yet};
use crate::array::{OpenOptions, with_run};
use crate::media::SharedMediaMut;

/// The regions with a bit.
pub(super) struct Marks {
    /// How regions lie on the bitmap; `None` without one.
    pub(super) regions: Option<RegionBits>,
    /// Rows of a region.
    pub(super) region_rows: u64,
    count: u64,
    marked: BTreeSet<u64>,
}

impl Marks {
    /// One region, of which a flag says whether it is dirty.
    pub(super) fn flag(rows: &Rows, dirty: bool) -> Self {
        let (region_rows, count) = (rows.count().max(1), rows.count().min(1));
        Self { regions: None, region_rows, count, marked: (0..count).filter(|_| dirty).collect() }
    }

    /// Regions of a bitmap, by the `chunks` that some member's bit is set for; all regions if no member's bitmap can be believed.
    ///
    /// # Errors
    /// A bitmap that is too short.
    pub(super) fn bitmap(regions: RegionBits, rows: &Rows, chunks: Option<BTreeSet<u64>>) -> Result<Self, StartError> {
        let region_rows = regions.rows();
        let count = rows.count().div_ceil(region_rows.max(1));
        if regions.rows_covered() < rows.count() {
            return not_yet("a bitmap that does not cover the array");
        }
        let marked = match chunks {
            Some(chunks) => {
                chunks.into_iter().map(|chunk| regions.region_of(chunk)).filter(|region| *region < count).collect()
            }
            None => (0..count).collect(),
        };
        Ok(Self { regions: Some(regions), region_rows, count, marked })
    }

    /// Which regions are in doubt, and which are marked beside that: what they hold may be lacking somewhere.
    ///
    /// # Errors
    /// Parity in doubt cannot make what a missing member held there, unless it is to be believed.
    pub(super) fn judge(
        &self,
        rows: &Rows,
        health: &Health,
        dirty: bool,
        options: &OpenOptions,
    ) -> Result<(Vec<RegionNo>, Vec<RegionNo>), StartError> {
        let (degraded, parity) = (!health.is_whole(), rows.kind() == RowKind::Parity);
        let doubt = Doubt { dirty, degraded, parity, bitmap: self.regions.is_some() };
        if doubt.is_refused(self.marked.len() as u64) && !options.trust_dirty_parity {
            return Err(StartError::DirtyDegraded(self.runs(rows)));
        }
        let all = || self.marked.iter().map(|region| RegionNo(*region));
        let doubted = all().filter(|_| doubt.found(true) == Found::InDoubt).collect();
        Ok((doubted, all().filter(|_| degraded && doubt.bitmap).collect()))
    }

    /// The marked regions as words of bits.
    pub(super) fn words(&self) -> Vec<u64> {
        let mut words = vec![0_u64; usize::try_from(self.count.div_ceil(64)).unwrap_or(0)];
        for region in &self.marked {
            if let Some(word) = usize::try_from(region / 64).ok().and_then(|index| words.get_mut(index)) {
                *word |= 1 << (region % 64);
            }
        }
        words
    }

    /// The marked regions as runs of member sectors, where rows lie alike on all members.
    fn runs(&self, rows: &Rows) -> Vec<Extent> {
        let len = self.region_rows.saturating_mul(ROW_SECTORS);
        let end = rows.count().saturating_mul(ROW_SECTORS);
        let run = |region: &u64| {
            let at = region.saturating_mul(len);
            Extent { at: Sector(at), len: Sectors(len.min(end.saturating_sub(at))) }
        };
        self.marked.iter().map(run).fold(Vec::new(), with_run)
    }
}

/// What the bitmaps of all members have set, as one after the other is read.
#[derive(Default)]
pub(super) struct Gathered {
    regions: Option<RegionBits>,
    pub(super) chunks: BTreeSet<u64>,
    /// One of them is whole: bits that are not set count.
    pub(super) believed: bool,
}

impl Gathered {
    /// Looks at the header of one more bitmap, of the member `name`, at that sector of its medium.
    ///
    /// # Errors
    /// It cannot be read or is no bitmap; it has another shape than the others'.
    pub(super) fn header(&mut self, name: &str, media: &SharedMediaMut, at: Sector) -> Result<(), StartError> {
        let named = |why: String| StartError::Contradiction(format!("{name}: bitmap: {why}"));
        let mut header = [0; HEADER_BYTES];
        let start = at.bytes().ok_or_else(|| named("past all places".into()))?;
        media.read_at(start, &mut header).map_err(|error| named(error.to_string()))?;
        let bitmap = Bitmap::parse(&header).map_err(|refusal| named(refusal.to_string()))?;
        let own = RegionBits::new(&bitmap).or_else(|refusal| not_yet(format!("{name}: {refusal}")))?;
        match *self.regions.get_or_insert(own) == own {
            true => Ok(()),
            false => Err(named("it has another shape than the others'".into())),
        }
    }

    /// All of them together.
    ///
    /// # Errors
    /// There was none; it is too short.
    pub(super) fn marks(self, rows: &Rows) -> Result<Marks, StartError> {
        let regions = self.regions.ok_or_else(|| StartError::Contradiction("no bitmap".into()))?;
        Marks::bitmap(regions, rows, self.believed.then_some(self.chunks))
    }
}
