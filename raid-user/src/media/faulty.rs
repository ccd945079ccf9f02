//! A medium that fails as told: for tests of whoever must live with that.

use std::io;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use super::{Media, MediaId, MediaMut, Run, at, check_range, len_of};

/// A medium with faults.
///
/// ```
/// use raid_user::media::{FaultyMedia, Media, MemMedia};
/// let disk = FaultyMedia::new(MemMedia::new("disk", vec![0; 8192])).fail_reads(4096..4608);
/// assert!(disk.read_at(0, &mut [0; 4096]).is_ok());
/// assert!(disk.read_at(4000, &mut [0; 512]).is_err());
/// ```
#[derive(Debug)]
pub struct FaultyMedia<M> {
    inner: M,
    bad_reads: Vec<Range<u64>>,
    bad_writes: Vec<Range<u64>>,
    size_bytes: u64,
    delay: Duration,
}

impl<M: Media> FaultyMedia<M> {
    /// A medium without faults so far.
    pub fn new(inner: M) -> Self {
        let size_bytes = inner.size_bytes();
        Self { inner, bad_reads: Vec::new(), bad_writes: Vec::new(), size_bytes, delay: Duration::ZERO }
    }

    /// Every read that touches these bytes fails.
    #[must_use]
    pub fn fail_reads(mut self, bytes: Range<u64>) -> Self {
        self.bad_reads.push(bytes);
        self
    }

    /// Every write that touches these bytes fails, and changes nothing.
    #[must_use]
    pub fn fail_writes(mut self, bytes: Range<u64>) -> Self {
        self.bad_writes.push(bytes);
        self
    }

    /// The medium ends here.
    #[must_use]
    pub fn cut_at(mut self, size_bytes: u64) -> Self {
        self.size_bytes = self.size_bytes.min(size_bytes);
        self
    }

    /// Every read and write takes this much longer.
    #[must_use]
    pub fn slow(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Waits, and fails if told to.
    fn touch(&self, bad: &[Range<u64>], verb: &str, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        thread::sleep(self.delay);
        let end_bytes = offset_bytes.saturating_add(len_bytes);
        let hit = bad.iter().any(|bad| bad.start < end_bytes && offset_bytes < bad.end);
        let outcome = if hit { Err(io::Error::other("injected fault")) } else { Ok(()) };
        check_range(self.size_bytes, offset_bytes, len_bytes)
            .and(outcome)
            .map_err(|error| at(&error, &self.describe(), verb, offset_bytes, len_bytes))
    }
}

impl<M: Media> Media for FaultyMedia<M> {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn block_bytes(&self) -> u32 {
        self.inner.block_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        self.touch(&self.bad_reads, "reading", offset_bytes, len_of(buf))?;
        self.inner.read_at(offset_bytes, buf)
    }

    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        check_range(self.size_bytes, offset_bytes, len_bytes)?;
        self.inner.allocation(offset_bytes, len_bytes)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn identity(&self) -> Option<MediaId> {
        self.inner.identity()
    }
}

impl<M: MediaMut> MediaMut for FaultyMedia<M> {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        self.touch(&self.bad_writes, "writing", offset_bytes, len_of(buf))?;
        self.inner.write_at(offset_bytes, buf)
    }

    fn flush(&self) -> io::Result<()> {
        self.inner.flush()
    }

    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, may_free: bool) -> io::Result<()> {
        self.touch(&self.bad_writes, "zeroing", offset_bytes, len_bytes)?;
        self.inner.write_zeroes(offset_bytes, len_bytes, may_free)
    }

    fn frees_zeroes(&self) -> bool {
        self.inner.frees_zeroes()
    }

    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        self.touch(&self.bad_writes, "discarding", offset_bytes, len_bytes)?;
        self.inner.discard(offset_bytes, len_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::MemMedia;

    #[test]
    fn faults_hit_what_they_cover_and_nothing_else() {
        let disk = FaultyMedia::new(MemMedia::new("disk", vec![5; 4096])).fail_reads(512..1024).fail_writes(0..1);
        disk.read_at(0, &mut [0; 512]).unwrap();
        disk.read_at(1024, &mut [0; 512]).unwrap();
        let error = disk.read_at(1023, &mut [0; 1]).unwrap_err();
        assert_eq!(error.to_string(), "disk: reading 1 bytes at 1023: injected fault");
        disk.write_at(0, &[1]).unwrap_err();
        disk.write_zeroes(0, 4096, true).unwrap_err();
        disk.write_at(512, &[1]).unwrap();
        assert_eq!(disk.inner.contents()[0], 5);
        assert_eq!(disk.inner.contents()[512], 1);
    }

    #[test]
    fn a_cut_disk_ends_where_it_was_cut() {
        let disk = FaultyMedia::new(MemMedia::new("disk", vec![5; 4096])).cut_at(1000);
        assert_eq!(disk.size_bytes(), 1000);
        disk.read_at(999, &mut [0; 1]).unwrap();
        assert_eq!(disk.read_at(999, &mut [0; 2]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(disk.write_at(1000, &[1]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
