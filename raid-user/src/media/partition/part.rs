//! A part of a medium, as a medium. Never reaches outside of it, and can write only if the whole can.

use std::io;

use super::{Media, Partition};
use crate::media::{MediaId, MediaMut, OpenError, Run, Stored, check_range, len_of};

/// A partition of a medium.
#[derive(Debug)]
pub struct Part<M> {
    whole: M,
    index: u32,
    start_bytes: u64,
    len_bytes: u64,
    block_bytes: u32,
}

impl<M: Media> Part<M> {
    /// The partition of `whole` that a table of blocks of `block_bytes` describes.
    ///
    /// # Errors
    /// [`OpenError::Partition`] if it does not lie within the medium: the image is cut short, or the table is another disk's.
    pub fn new(whole: M, partition: &Partition, block_bytes: u32) -> Result<Self, OpenError> {
        let Partition { index, start_bytes, len_bytes, .. } = *partition;
        let size_bytes = whole.size_bytes();
        if len_bytes == 0 || check_range(size_bytes, start_bytes, len_bytes).is_err() {
            let reason = format!(
                "it has {len_bytes} bytes at {start_bytes}, but there are only {size_bytes} bytes: the disk or image is cut short"
            );
            return Err(OpenError::Partition { what: whole.describe(), index, reason });
        }
        Ok(Self { whole, index, start_bytes, len_bytes, block_bytes })
    }

    /// Checks a range and moves it to where it lies in the whole.
    fn place(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<u64> {
        check_range(self.len_bytes, offset_bytes, len_bytes)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.describe())))?;
        Ok(self.start_bytes.saturating_add(offset_bytes))
    }
}

impl<M: Media> Media for Part<M> {
    fn size_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        self.whole.read_at(self.place(offset_bytes, len_of(buf))?, buf)
    }

    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        self.whole.allocation(self.place(offset_bytes, len_bytes)?, len_bytes)
    }

    fn describe(&self) -> String {
        format!("{}#{}", self.whole.describe(), self.index)
    }

    fn is_memory(&self) -> bool {
        self.whole.is_memory()
    }

    fn stored(&self, offset_bytes: u64, len_bytes: u64) -> Option<Stored<'_>> {
        self.whole.stored(self.place(offset_bytes, len_bytes).ok()?, len_bytes)
    }

    fn identity(&self) -> Option<MediaId> {
        Some(self.whole.identity()?.part(self.start_bytes, self.len_bytes))
    }
}

impl<M: MediaMut> MediaMut for Part<M> {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        self.whole.write_at(self.place(offset_bytes, len_of(buf))?, buf)
    }

    fn flush(&self) -> io::Result<()> {
        self.whole.flush()
    }

    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, may_free: bool) -> io::Result<()> {
        self.whole.write_zeroes(self.place(offset_bytes, len_bytes)?, len_bytes, may_free)
    }

    fn frees_zeroes(&self) -> bool {
        self.whole.frees_zeroes()
    }

    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        self.whole.discard(self.place(offset_bytes, len_bytes)?, len_bytes)
    }
}
