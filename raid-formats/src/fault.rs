//! Why something could not be read from a medium: the medium failed, or what it gave is refused. One type for all formats.

use core::fmt;

use crate::source::Source;
use raid_core::Sector;

/// A format's own reasons to refuse bytes.
pub trait Refuse: fmt::Display {
    /// True if nothing speaks for there ever having been such a record: the usual answer of a medium without one.
    fn is_absence(&self) -> bool;
}

/// The medium failed, or what it gave is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<E, R> {
    /// The medium could not be read there.
    Read {
        /// First sector of the read.
        at: Sector,
        /// What the medium said.
        error: E,
    },
    /// The bytes are not what they should be.
    Refused(R),
    /// The caller's buffer is too small to work with.
    Buffer {
        /// Bytes given.
        found: usize,
        /// Least number of bytes.
        expected: usize,
    },
}

impl<E, R: Refuse> Fault<E, R> {
    /// True if the format is simply not there; false if it is damaged, or nobody could look.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.is_absence())
    }
}

impl<E: fmt::Display, R: fmt::Display> fmt::Display for Fault<E, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { at, error } => write!(f, "cannot read sector {at}: {error}"),
            Self::Refused(refusal) => fmt::Display::fmt(refusal, f),
            Self::Buffer { found, expected } => write!(f, "a buffer of {found} bytes, {expected} are needed"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display, R: fmt::Debug + fmt::Display> core::error::Error for Fault<E, R> {}

impl<E, R: Refuse> From<R> for Fault<E, R> {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal)
    }
}

/// Fills `buf` from the sector `at` and the bytes that follow.
pub(crate) fn read<S: Source, R>(source: &S, at: Sector, buf: &mut [u8]) -> Result<(), Fault<S::Error, R>> {
    // A sector beyond the end of u64 bytes lies beyond any medium; the source's own end-of-medium error is the right one.
    source.read_at(at.bytes().unwrap_or(u64::MAX), buf).map_err(|error| Fault::Read { at, error })
}

/// The two parts of a buffer.
type Parts<'a> = (&'a mut [u8], &'a mut [u8]);

/// The first `expected` bytes of the caller's buffer, and the rest.
pub(crate) fn part<E, R>(buf: &mut [u8], expected: usize) -> Result<Parts<'_>, Fault<E, R>> {
    let found = buf.len();
    buf.split_at_mut_checked(expected).ok_or(Fault::Buffer { found, expected })
}
