//! Why something beside a superblock could not be read.

use crate::{md::Refusal, source::Source};
use core::fmt;
use raid_core::Sector;

/// The medium failed, or what it gave is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<E> {
    /// The medium could not be read there.
    Read {
        /// First sector of the read.
        at: Sector,
        /// What the medium said.
        error: E,
    },
    /// The bytes are not what they should be.
    Refused(Refusal),
    /// The caller's buffer is too small to work with.
    Buffer {
        /// Bytes given.
        found: usize,
        /// Least number of bytes.
        expected: usize,
    },
}

impl<E: fmt::Display> fmt::Display for Fault<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { at, error } => write!(f, "cannot read sector {at}: {error}"),
            Self::Refused(refusal) => fmt::Display::fmt(refusal, f),
            Self::Buffer { found, expected } => write!(f, "a buffer of {found} bytes, {expected} are needed"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Fault<E> {}

impl<E> From<Refusal> for Fault<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Fills `buf` from the sector `at` and the bytes that follow.
pub(crate) fn read<S: Source>(source: &S, at: Sector, buf: &mut [u8]) -> Result<(), Fault<S::Error>> {
    // A sector beyond the end of u64 bytes lies beyond any medium; the source's own end-of-medium error is the right one.
    source.read_at(at.bytes().unwrap_or(u64::MAX), buf).map_err(|error| Fault::Read { at, error })
}

/// The first `expected` bytes of the caller's buffer, and the rest.
pub(crate) fn part<E>(buf: &mut [u8], expected: usize) -> Result<(&mut [u8], &mut [u8]), Fault<E>> {
    let found = buf.len();
    buf.split_at_mut_checked(expected).ok_or(Fault::Buffer { found, expected })
}
