//! Why bytes are not the MD record they were taken for: what stood where, and what should have.

use crate::{fault::Refuse, md::level::UnknownLevel};
use core::fmt;

/// One reason to refuse a record. Offsets are bytes from the start of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Fewer bytes than the record has.
    Truncated {
        /// Bytes given.
        found: usize,
        /// Bytes of the record.
        expected: usize,
    },
    /// Not this kind of record at all: the usual answer of a medium without one.
    NoMagic {
        /// Offset of the magic number.
        offset: u32,
        /// What stands there, little-endian.
        found: u32,
        /// What would.
        expected: u32,
    },
    /// The record is damaged.
    Checksum {
        /// Offset of the sum.
        offset: u32,
        /// The sum that the record carries.
        found: u32,
        /// The sum of its bytes.
        expected: u32,
    },
    /// A record of another array. The first four bytes of both identities are told.
    Identity {
        /// Offset of the identity.
        offset: u32,
        /// How the identity in the record starts.
        found: u32,
        /// How this array's identity starts.
        expected: u32,
    },
    /// A superblock that belongs elsewhere: of a whole disk seen through its last partition, or of a medium that changed its size.
    Place {
        /// Offset of the field, or of the place itself where the format has no such field.
        offset: u32,
        /// Sector that the record says it lies at.
        found: u64,
        /// Sector where it was found.
        expected: u64,
    },
    /// Feature bits or state bits that no known version defines; their meaning could change where data lie.
    UnknownBits {
        /// Offset of the flag word.
        offset: u32,
        /// The unknown bits.
        found: u64,
    },
    /// Two feature bits that exclude each other.
    BitsExclude {
        /// Offset of the flag word.
        offset: u32,
        /// The bits that do not go together.
        found: u64,
    },
    /// A number outside what the format (or any kernel) allows.
    Range {
        /// The format's name of the field.
        field: &'static str,
        /// Its offset.
        offset: u32,
        /// What stands there; signed fields are widened with their sign.
        found: i128,
        /// Least value allowed.
        least: u64,
        /// Greatest value allowed.
        most: u64,
    },
    /// A level or layout that this code does not know.
    Level(UnknownLevel),
    /// The area named for this does not lie within the medium.
    Outside {
        /// What lies there.
        what: &'static str,
        /// First sector of the area; `i128` because a wrong offset may point before the medium.
        at: i128,
        /// Its length in sectors.
        len_sectors: u64,
        /// Sectors of the medium.
        medium_sectors: u64,
    },
    /// The medium has no room for this version's superblock.
    MediumTooSmall {
        /// Sectors of the medium.
        found: u64,
        /// Sectors it would need.
        expected: u64,
    },
}

impl Refusal {
    /// A number out of its range.
    pub(crate) fn range(field: &'static str, offset: u32, found: impl Into<i128>, least: u64, most: u64) -> Self {
        Self::Range { field, offset, found: found.into(), least, most }
    }
}

impl Refuse for Refusal {
    fn is_absence(&self) -> bool {
        matches!(self, Self::NoMagic { .. } | Self::MediumTooSmall { .. })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { found, expected } => write!(f, "{found} bytes, a record has {expected}"),
            Self::NoMagic { offset, found, expected } => {
                write!(f, "no magic: {found:#010x} at byte {offset}, expected {expected:#010x}")
            }
            Self::Checksum { offset, found, expected } => {
                write!(f, "bad checksum: {found:#010x} at byte {offset}, the bytes sum to {expected:#010x}")
            }
            Self::Identity { offset, found, expected } => {
                write!(f, "of another array: identity {found:#010x} at byte {offset}, expected {expected:#010x}")
            }
            Self::Place { offset, found, expected } => {
                write!(f, "belongs elsewhere: sector {found} at byte {offset}, found at sector {expected}")
            }
            Self::UnknownBits { offset, found } => write!(f, "unknown flag bits {found:#x} at byte {offset}"),
            Self::BitsExclude { offset, found } => {
                write!(f, "flag bits {found:#x} at byte {offset} exclude each other")
            }
            Self::Range { field, offset, found, least, most } => {
                write!(f, "{field} is {found} at byte {offset}, expected {least} to {most}")
            }
            Self::Level(unknown) => fmt::Display::fmt(&unknown, f),
            Self::Outside { what, at, len_sectors, medium_sectors } => write!(
                f,
                "the {what} ({len_sectors} sectors from sector {at}) is not within the medium of {medium_sectors} sectors"
            ),
            Self::MediumTooSmall { found, expected } => {
                write!(f, "the medium has {found} sectors, this version needs {expected}")
            }
        }
    }
}

impl core::error::Error for Refusal {}

impl From<UnknownLevel> for Refusal {
    fn from(unknown: UnknownLevel) -> Self {
        Self::Level(unknown)
    }
}
