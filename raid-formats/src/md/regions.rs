//! The engine's regions as bits of MD's bitmap on the disk.
//!
//! The engine keeps words of 64 bits, one bit for a region; MD keeps bytes behind a header, one bit for a chunk, the lowest first
//! (kernel `drivers/md/md-bitmap.c`, `md_bitmap_file_set_bit`, which is little-endian unless the header says otherwise). A region
//! is a chunk, or several where chunks are smaller than a row. Lockless and clustered bitmaps are refused: they have other rules.

use crate::md::{Bitmap, Refusal, bitmap::HEADER_BYTES};
use core::ops::Range;
use raid_core::{Sectors, rows::ROW_SECTORS};

/// How regions lie on the bits of a bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionBits {
    chunk: Sectors,
    chunks: u64,
    /// One, two, four or eight.
    bits: u64,
}

impl RegionBits {
    /// Regions for this bitmap, the smallest that are whole rows.
    ///
    /// # Errors
    /// A bitmap of version 5 or 6.
    pub fn new(bitmap: &Bitmap) -> Result<Self, Refusal> {
        let version = bitmap.raw().version.get();
        if version > 4 {
            return Err(Refusal::range("version of a bitmap to be written", 4, version, 3, 4));
        }
        let chunk = bitmap.chunk();
        let bits = ROW_SECTORS.checked_div(chunk.0).unwrap_or(1).max(1);
        Ok(Self { chunk, chunks: bitmap.chunks(), bits })
    }

    /// Sectors that a bit stands for.
    #[must_use]
    pub const fn chunk(&self) -> Sectors {
        self.chunk
    }

    /// Rows of a region.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.chunk.0.saturating_mul(self.bits) / ROW_SECTORS
    }

    /// Rows that have a bit.
    #[must_use]
    pub const fn rows_covered(&self) -> u64 {
        self.chunks.saturating_mul(self.chunk.0).div_ceil(ROW_SECTORS)
    }

    /// The region that a chunk lies in.
    #[must_use]
    pub const fn region_of(&self, chunk: u64) -> u64 {
        match chunk.checked_div(self.bits) {
            Some(region) => region,
            None => chunk,
        }
    }

    /// Bytes from the header's start to the last bit's end.
    #[must_use]
    pub const fn area_bytes(&self) -> u64 {
        self.chunks.div_ceil(8).saturating_add(HEADER_BYTES as u64)
    }

    /// Puts `words`, bit 0 of word 0 being `first_region`, into `area`, which starts with the header. Returns the bytes of the area that
    /// these regions have, changed or not. What lies behind the last chunk is left alone.
    pub fn put(&self, area: &mut [u8], first_region: u64, words: &[u64]) -> Range<usize> {
        let first = first_region.saturating_mul(self.bits).min(self.chunks);
        let count = (words.len() as u64).saturating_mul(64).saturating_mul(self.bits);
        let end = first.saturating_add(count).min(self.chunks);
        for chunk in first..end {
            let region = self.region_of(chunk).saturating_sub(first_region);
            let word = usize::try_from(region / 64).ok().and_then(|index| words.get(index)).copied().unwrap_or(0);
            let set = word >> (region % 64) & 1 == 1;
            if let Some(byte) = byte_of(chunk).and_then(|index| area.get_mut(index)) {
                let bit = 1_u8 << (chunk % 8);
                *byte = if set { *byte | bit } else { *byte & !bit };
            }
        }
        let byte = |chunk| byte_of(chunk).unwrap_or(area.len()).min(area.len());
        if first == end { 0..0 } else { byte(first)..byte(end.saturating_sub(1)).saturating_add(1).min(area.len()) }
    }
}

fn byte_of(chunk: u64) -> Option<usize> {
    usize::try_from(chunk / 8).ok()?.checked_add(HEADER_BYTES)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::md::bitmap::{MAGIC, RawBitmap};
    use std::{vec, vec::Vec};
    use zerocopy::{FromZeros, IntoBytes};

    fn header(version: u32, chunk_bytes: u32, sync_sectors: u64) -> RawBitmap {
        let mut raw = RawBitmap::new_zeroed();
        raw.magic.set(MAGIC);
        raw.version.set(version);
        raw.chunksize.set(chunk_bytes);
        raw.sync_size.set(sync_sectors);
        raw
    }

    fn regions(chunk_bytes: u32, sync_sectors: u64) -> RegionBits {
        RegionBits::new(&Bitmap::parse(header(4, chunk_bytes, sync_sectors).as_bytes()).unwrap()).unwrap()
    }

    fn set_bits(area: &[u8]) -> Vec<usize> {
        let bits = area[HEADER_BYTES..].iter().enumerate();
        bits.flat_map(|(index, byte)| (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| index * 8 + bit))
            .collect()
    }

    #[test]
    fn a_bit_stands_for_a_chunk_and_chunks_below_a_row_go_together() {
        for (chunk_bytes, rows, bits) in [(512, 1, 8), (2048, 1, 2), (4096, 1, 1), (65536, 16, 1), (64 << 20, 16384, 1)]
        {
            let regions = regions(chunk_bytes, 1 << 20);
            assert_eq!((regions.rows(), regions.bits), (rows, bits));
            assert_eq!(regions.rows_covered(), 1 << 17);
        }
    }

    #[test]
    fn every_region_comes_back_from_its_bits_and_others_stay() {
        for chunk_bytes in [1024, 4096, 8192] {
            let regions = regions(chunk_bytes, 8 * 300);
            let mut area = vec![0; usize::try_from(regions.area_bytes()).unwrap()];
            regions.put(&mut area, 0, &[1 << 63]);
            let range = regions.put(&mut area, 64, &[0b101, 1 << 63]);
            let found: Vec<u64> = set_bits(&area).into_iter().map(|chunk| regions.region_of(chunk as u64)).collect();
            let mut wanted = found.clone();
            wanted.dedup();
            let last = if chunk_bytes == 8192 { vec![63, 64, 66] } else { vec![63, 64, 66, 191] };
            let last =
                if chunk_bytes == 8192 { last.into_iter().filter(|region| *region < 150).collect() } else { last };
            assert_eq!(wanted, last, "{chunk_bytes}");
            assert!(range.start >= HEADER_BYTES + 8 * usize::try_from(regions.bits).unwrap());
            assert!(area[..HEADER_BYTES].iter().all(|byte| *byte == 0));
            regions.put(&mut area, 64, &[0, 0]);
            assert!(set_bits(&area).iter().all(|chunk| regions.region_of(*chunk as u64) == 63));
        }
    }

    #[test]
    fn bits_behind_the_last_chunk_stay_as_they_are() {
        let regions = regions(4096, 8 * 3);
        let mut area = vec![0; HEADER_BYTES + 512];
        assert_eq!(regions.put(&mut area, 0, &[u64::MAX]), HEADER_BYTES..HEADER_BYTES + 1);
        assert_eq!(set_bits(&area), [0, 1, 2]);
        assert!(regions.put(&mut area, 64, &[u64::MAX]).is_empty());
    }

    #[test]
    fn a_lockless_or_clustered_bitmap_is_not_written() {
        for version in [5, 6] {
            let raw = header(version, 4096, 800);
            assert!(RegionBits::new(&Bitmap::parse(raw.as_bytes()).unwrap()).is_err());
        }
    }
}
