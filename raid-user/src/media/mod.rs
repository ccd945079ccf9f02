//! Media: what a member, or a served array, is read from and, if asked, written to.
//!
//! Reading and writing are two traits, and only [`MediaMut`] can write. What `open` returns for reading implements
//! [`Media`] alone and its file descriptor is opened read-only, so no bug of ours can change a member that nobody asked to change.

use std::io;
use std::sync::Arc;

/// Something that reads at byte offsets, from many threads at once.
pub trait Media: Send + Sync {
    /// Size in bytes.
    fn size_bytes(&self) -> u64;

    /// Bytes of a logical block, 512 unless the medium says otherwise.
    fn block_bytes(&self) -> u32 {
        512
    }

    /// Fills `buf` from `offset_bytes`.
    ///
    /// # Errors
    /// The medium's error; [`io::ErrorKind::UnexpectedEof`] past the end.
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Tells which parts of the range are known to read as zeros without being stored (holes), as runs from
    /// `offset_bytes` on. The default knows of none.
    ///
    /// # Errors
    /// The medium's error.
    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        let _ = offset_bytes;
        Ok(vec![Run { len_bytes, zero: false }])
    }

    /// What it is, for people: the path or URI and the image format.
    fn describe(&self) -> String;
}

/// Something that can also be written. Only what a user asked to write is ever opened as one.
pub trait MediaMut: Media {
    /// Writes all of `buf` at `offset_bytes`.
    ///
    /// # Errors
    /// The medium's error.
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()>;

    /// Makes all earlier completed writes durable.
    ///
    /// # Errors
    /// The medium's error.
    fn flush(&self) -> io::Result<()>;

    /// Makes the range read as zeros, freeing storage if `may_free`.
    ///
    /// # Errors
    /// The medium's error.
    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, may_free: bool) -> io::Result<()>;

    /// Tells the medium that the range is no longer needed. Reads may return anything.
    ///
    /// # Errors
    /// The medium's error.
    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()>;
}

/// A run of a medium with one allocation state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Length.
    pub len_bytes: u64,
    /// True if it is a hole that reads as zeros.
    pub zero: bool,
}

/// A shared medium opened for reading.
pub type SharedMedia = Arc<dyn Media>;
