// SPDX-License-Identifier: GPL-2.0-only
//! What the members of an array that was found say of its regions: by their bitmaps, or by one flag.

use kernel::prelude::*;
use raid_core::rows::{RowKind, Rows};
use raid_formats::assemble::{Claimant as _, Verdict};
use raid_formats::claim::Claim;
use raid_formats::md::bitmap::HEADER_BYTES;
use raid_formats::md::{self, Bitmap, RegionBits};
use raid_formats::record::{Record, Sync, WriteLog};

use super::{members, Fault, Given};
use crate::clerks::{Shelf, PAGE};

/// What the members' logs say together.
pub(super) struct Marks {
    pub(super) bits: Option<RegionBits>,
    pub(super) image: KVVec<u8>,
    pub(super) words: KVVec<u64>,
    pub(super) region_rows: u64,
}

impl Marks {
    #[inline(never)]
    pub(super) fn read<'a>(
        given: &Given<'a>,
        claims: &[Claim<'_>],
        verdicts: &[Verdict],
        lead: &Record,
        rows: &Rows,
    ) -> Result<Self, Fault<'a>> {
        let mut marks = Self { bits: None, image: KVVec::new(), words: KVVec::new(), region_rows: rows.count().max(1) };
        if !matches!(lead.log, WriteLog::Bitmap(_)) || rows.kind() == RowKind::Plain {
            marks.words.push(u64::from(lead.sync != Sync::Clean && rows.kind() != RowKind::Plain), GFP_KERNEL)?;
            return Ok(marks);
        }
        let (mut believed, mut room) = (false, KVVec::from_elem(0_u8, PAGE, GFP_KERNEL)?);
        for (number, _, mark, claim) in members(claims, verdicts) {
            let (Claim::Md(superblock, _, record), Some(shelf)) = (claim, given.shelf(number)) else { continue };
            let name = given.name(number);
            let bits = header(&shelf, record, name)?;
            if *marks.bits.get_or_insert(bits) != bits {
                return Err(Fault::Bitmap(name, "has another shape than the others'"));
            }
            if bits.rows_covered() < rows.count() {
                return Err(Fault::Bitmap(name, "does not cover the array"));
            }
            if marks.words.is_empty() {
                marks.region_rows = bits.rows();
                let regions = rows.count().div_ceil(bits.rows().max(1));
                marks.words.resize(regions.div_ceil(64) as usize, 0, GFP_KERNEL)?;
            }
            let words = &mut marks.words;
            let read = md::read_bitmap(&shelf, superblock, &mut room, |chunk| {
                let region = bits.region_of(chunk);
                if let Some(word) = usize::try_from(region / 64).ok().and_then(|index| words.get_mut(index)) {
                    *word |= 1 << (region % 64);
                }
            });
            let Ok(Some(summary)) = read else { return Err(Fault::Bitmap(name, "cannot be read")) };
            // A member that lags may lack bits, and one that is being filled too; what they have still counts.
            believed |= !summary.stale && mark.is_none() && record.events == lead.events;
        }
        if !believed {
            marks.all(rows);
        }
        marks.image(given, claims, verdicts)?;
        Ok(marks)
    }

    /// Nothing is known of any region.
    fn all(&mut self, rows: &Rows) {
        let regions = rows.count().div_ceil(self.region_rows.max(1));
        for (index, word) in (0..).zip(self.words.iter_mut()) {
            let count = regions.saturating_sub(index * 64).min(64);
            *word = if count == 64 { u64::MAX } else { (1 << count) - 1 };
        }
    }

    /// The area of the bitmap as the first member has it, with all bits.
    fn image<'a>(&mut self, given: &Given<'a>, claims: &[Claim<'_>], verdicts: &[Verdict]) -> Result<(), Fault<'a>> {
        let Some(bits) = self.bits else { return Ok(()) };
        let first = members(claims, verdicts).next();
        let (number, record) = first.map(|(number, .., claim)| (number, claim.record())).ok_or(Fault::Memory)?;
        let (WriteLog::Bitmap(at), Some(shelf)) = (record.log, given.shelf(number)) else { return Err(Fault::Memory) };
        self.image.resize((bits.area_bytes() as usize).next_multiple_of(512), 0, GFP_KERNEL)?;
        use raid_formats::source::Source as _;
        shelf
            .read_at(at.bytes().unwrap_or(u64::MAX), &mut self.image)
            .map_err(|_| Fault::Bitmap(given.name(number), "cannot be read"))?;
        bits.put(&mut self.image, 0, &self.words);
        Ok(())
    }
}

fn header<'a>(shelf: &Shelf<'_>, record: &Record, name: &'a str) -> Result<RegionBits, Fault<'a>> {
    use raid_formats::source::Source as _;
    let mut header = [0; HEADER_BYTES];
    let WriteLog::Bitmap(at) = record.log else { return Err(Fault::Bitmap(name, "is not there")) };
    let unread = Fault::Bitmap(name, "cannot be read");
    shelf.read_at(at.bytes().unwrap_or(u64::MAX), &mut header).map_err(|_| unread)?;
    let bits = Bitmap::parse(&header).and_then(|bitmap| RegionBits::new(&bitmap));
    bits.map_err(|_| Fault::Bitmap(name, "is damaged, or of a kind that is not kept"))
}

