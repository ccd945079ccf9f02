//! Where metadata is read from: anything with a size that reads at an offset.

use core::fmt;

/// A medium, as discovery sees it. Offsets and sizes are bytes.
///
/// Reads may come in any order and of any length within the size; a host aligns them if its medium demands it.
pub trait Source {
    /// What a failed read says.
    type Error: fmt::Display;

    /// Size in bytes.
    fn size_bytes(&self) -> u64;

    /// Bytes of a logical block (512 or 4096); formats that place records by block need it.
    fn block_bytes(&self) -> u32 {
        512
    }

    /// Fills `buf` from `offset_bytes`.
    ///
    /// # Errors
    /// The medium's own error; also when the range passes the end.
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), Self::Error>;
}
