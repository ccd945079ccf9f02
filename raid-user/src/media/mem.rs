//! A medium in memory: for tests, and for the array that the demo makes.

use std::io;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Media, MediaMut, check_range, len_of};

/// A vector of bytes as a medium.
#[derive(Debug)]
pub struct MemMedia {
    name: String,
    block_bytes: u32,
    bytes: RwLock<Vec<u8>>,
}

impl MemMedia {
    /// A medium of these bytes with blocks of 512.
    #[must_use]
    pub fn new(name: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), block_bytes: 512, bytes: RwLock::new(bytes) }
    }

    /// The same with blocks of another size.
    #[must_use]
    pub fn with_block_bytes(self, block_bytes: u32) -> Self {
        Self { block_bytes, ..self }
    }

    /// A copy of its bytes.
    #[must_use]
    pub fn contents(&self) -> Vec<u8> {
        self.read().clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<u8>> {
        self.bytes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a range of the bytes.
    fn change(&self, offset_bytes: u64, len_bytes: u64, change: impl FnOnce(&mut [u8])) -> io::Result<()> {
        let mut bytes: RwLockWriteGuard<'_, Vec<u8>> = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
        check_range(len_of(&bytes), offset_bytes, len_bytes)?;
        let range = range(offset_bytes, len_bytes)?;
        change(bytes.get_mut(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Media for MemMedia {
    fn size_bytes(&self) -> u64 {
        len_of(&self.read())
    }

    fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        let bytes = self.read();
        check_range(len_of(&bytes), offset_bytes, len_of(buf))?;
        let range = range(offset_bytes, len_of(buf))?;
        buf.copy_from_slice(bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn is_memory(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}

impl MediaMut for MemMedia {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        self.change(offset_bytes, len_of(buf), |bytes| bytes.copy_from_slice(buf))
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, _may_free: bool) -> io::Result<()> {
        self.change(offset_bytes, len_bytes, |bytes| bytes.fill(0))
    }

    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        self.change(offset_bytes, len_bytes, |_| ())
    }
}

/// A range of indices. What was checked against a vector's length fits.
fn range(offset_bytes: u64, len_bytes: u64) -> io::Result<std::ops::Range<usize>> {
    let index = |bytes: u64| usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof));
    Ok(index(offset_bytes)?..index(offset_bytes.saturating_add(len_bytes))?)
}
