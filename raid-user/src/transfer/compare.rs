//! Where two media differ.

use std::io;

use serde::Serialize;

use super::Progress;
use crate::media::Media;

/// Bytes read of each at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Most ranges that are listed.
const RANGES_MAX: usize = 1000;
/// The grain of the comparison.
const SECTOR_BYTES: usize = 512;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Sizes of both.
    pub sizes_bytes: [u64; 2],
    /// First byte that differs.
    pub first_difference: Option<u64>,
    /// Sectors of 512 bytes that differ, as far as both reach.
    pub differing_sectors: u64,
    /// Ranges that differ as (offset, length) in bytes, whole sectors; at most the first thousand.
    pub ranges: Vec<(u64, u64)>,
}

impl Comparison {
    /// True if both have the same size and content.
    #[must_use]
    pub fn same(&self) -> bool {
        self.first_difference.is_none() && self.sizes_bytes[0] == self.sizes_bytes[1]
    }
}

/// Compares `a` and `b` as far as both reach.
///
/// # Errors
/// A read that fails, of either.
pub fn compare(a: &dyn Media, b: &dyn Media, progress: &mut dyn FnMut(Progress)) -> io::Result<Comparison> {
    let total_bytes = a.size_bytes().min(b.size_bytes());
    let mut found = Comparison { sizes_bytes: [a.size_bytes(), b.size_bytes()], ..Comparison::default() };
    let (mut left, mut right) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    let mut at = 0;
    while at < total_bytes {
        let len = usize::try_from(total_bytes - at).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
        let (left, right) = (&mut left[..len], &mut right[..len]);
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| b.read_at(at, right));
            (a.read_at(at, left), other.join())
        });
        one?;
        other.map_err(|_| io::Error::other("a reader panicked"))??;
        if left != right {
            found.note(at, left, right);
        }
        at += len as u64;
        progress(Progress { done_bytes: at, total_bytes });
    }
    Ok(found)
}

impl Comparison {
    fn note(&mut self, start: u64, left: &[u8], right: &[u8]) {
        for (index, (a, b)) in left.chunks(SECTOR_BYTES).zip(right.chunks(SECTOR_BYTES)).enumerate() {
            let Some(first) = a.iter().zip(b).position(|(a, b)| a != b) else { continue };
            let at = start + (index * SECTOR_BYTES) as u64;
            self.first_difference = self.first_difference.or(Some(at + first as u64));
            self.differing_sectors += 1;
            let len = a.len() as u64;
            let room = self.ranges.len() < RANGES_MAX;
            match self.ranges.last_mut() {
                Some((offset, last)) if *offset + *last == at => *last += len,
                _ if room => self.ranges.push((at, len)),
                _ => {}
            }
        }
    }
}
