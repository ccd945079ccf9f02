//! Runs of other media one behind the other, as a medium that can be written to.

use std::io;

use super::{Media, MediaMut, SharedMediaMut, check_range, len_of, zero_plainly};

/// Media joined to one, for writing.
pub struct JoinedMut {
    name: String,
    /// Each with the byte behind its end, ascending, and the byte of its medium where it starts.
    pieces: Vec<(u64, SharedMediaMut, u64)>,
}

impl JoinedMut {
    /// An empty medium of that name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), pieces: Vec::new() }
    }

    /// Appends a run that starts at that byte of a medium. False if it does not lie on the medium; then nothing is appended.
    #[must_use]
    pub fn push(&mut self, media: SharedMediaMut, at_bytes: u64, len_bytes: u64) -> bool {
        let lies = check_range(media.size_bytes(), at_bytes, len_bytes).is_ok();
        let end = self.size_bytes().checked_add(len_bytes).filter(|_| lies);
        self.pieces.extend(end.map(|end| (end, media, at_bytes)));
        end.is_some()
    }

    /// Calls `visit` with each part of a range: its medium, the byte on that, and the bytes.
    fn each(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        mut visit: impl FnMut(&SharedMediaMut, u64, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        check_range(self.size_bytes(), offset_bytes, len_bytes)?;
        let end = offset_bytes.saturating_add(len_bytes);
        let mut start = 0;
        for (until, media, at) in &self.pieces {
            let (from, stop) = (offset_bytes.max(start), end.min(*until));
            if from < stop {
                visit(media, at.saturating_add(from - start), stop - from)?;
            }
            start = *until;
        }
        Ok(())
    }
}

impl Media for JoinedMut {
    fn size_bytes(&self) -> u64 {
        self.pieces.last().map_or(0, |(end, ..)| *end)
    }

    fn block_bytes(&self) -> u32 {
        self.pieces.iter().map(|(_, media, _)| media.block_bytes()).max().unwrap_or(512)
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut rest = &mut *buf;
        self.each(offset_bytes, len_of(rest), |media, at, len| {
            let (into, left) = std::mem::take(&mut rest).split_at_mut(usize::try_from(len).unwrap_or(usize::MAX));
            rest = left;
            media.read_at(at, into)
        })
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}

impl MediaMut for JoinedMut {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        let mut rest = buf;
        self.each(offset_bytes, len_of(buf), |media, at, len| {
            let (from, left) = rest.split_at(usize::try_from(len).unwrap_or(usize::MAX));
            rest = left;
            media.write_at(at, from)
        })
    }

    fn flush(&self) -> io::Result<()> {
        self.pieces.iter().try_for_each(|(_, media, _)| media.flush())
    }

    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, _: bool) -> io::Result<()> {
        check_range(self.size_bytes(), offset_bytes, len_bytes)?;
        zero_plainly(self, offset_bytes, len_bytes)
    }

    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        self.each(offset_bytes, len_bytes, |media, at, len| media.discard(at, len))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::media::MemMedia;

    #[test]
    fn what_is_written_over_an_edge_lands_on_both_sides_and_reads_back() {
        let (one, two) = (Arc::new(MemMedia::new("one", vec![0; 4096])), Arc::new(MemMedia::new("two", vec![0; 4096])));
        let mut joined = JoinedMut::new("both");
        assert!(joined.push(one.clone(), 1024, 1024) && joined.push(two.clone(), 512, 1024));
        assert!(!joined.push(two.clone(), 3584, 1024));
        joined.write_at(512, &[7; 1024]).unwrap();
        let (one, two) = (one.contents(), two.contents());
        assert!(one[1536..2048].iter().all(|byte| *byte == 7) && two[512..1024].iter().all(|byte| *byte == 7));
        assert_eq!(one.iter().chain(&two).filter(|byte| **byte == 7).count(), 1024);
        let mut back = [0; 2048];
        joined.read_at(0, &mut back).unwrap();
        assert!(back[512..1536].iter().all(|byte| *byte == 7) && back[..512].iter().all(|byte| *byte == 0));
        assert!(joined.write_at(1536, &[0; 1024]).is_err());
    }
}
