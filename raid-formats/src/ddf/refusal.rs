//! Why something is no DDF, or not one that can be used.

use crate::md;
use core::fmt;
use raid_core::Sector;

/// The first thing about a set of records that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A structure's bytes are not what they should be.
    Structure {
        /// Which structure.
        name: &'static str,
        /// What is wrong with it; offsets count from the structure's start.
        refusal: md::Refusal,
    },
    /// A primary or secondary header that does not belong to the anchor.
    OtherAnchor {
        /// The field that differs.
        field: &'static str,
    },
    /// A combination of levels that this code does not know how to read.
    Level(UnknownLevel),
    /// The disk's own record names it, and the tables do not.
    NotInTable {
        /// The reference of the disk, or the part of an element.
        reference: u32,
    },
    /// The tables have no room for what should be added, or nothing that could be changed.
    NoEntry {
        /// Of what.
        what: &'static str,
    },
}

/// Levels of a virtual disk, as they stand in its configuration record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLevel {
    /// Level within an element.
    pub primary: u8,
    /// Its qualifier.
    pub qualifier: u8,
    /// Elements.
    pub elements: u8,
    /// Level over the elements.
    pub secondary: u8,
}

impl UnknownLevel {
    /// What the numbers stand for, where they are known to stand for something.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.elements > 1, self.primary) {
            (false, 0x03) => "RAID 3",
            (false, 0x07) => "RAID MDF",
            (false, 0x15) => "RAID 5E",
            (false, 0x25) => "RAID 5EE",
            (false, 0x35) => "RAID 5R",
            (true, 0x00) => "RAID 0 in several elements",
            (true, 0x05) => "RAID 50",
            (true, 0x06) => "RAID 60",
            _ => "unknown",
        }
    }
}

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { primary, qualifier, elements, secondary } = *self;
        write!(f, "level {primary:#04x}/{qualifier:#04x} in {elements} elements of level {secondary:#04x}")?;
        write!(f, " ({}) is not supported", self.name())
    }
}

impl Refusal {
    /// A refusal of the structure of that name.
    pub(super) const fn of(name: &'static str, refusal: md::Refusal) -> Self {
        Self::Structure { name, refusal }
    }

    /// A number out of its range.
    pub(super) fn range(
        name: &'static str,
        (field, offset): (&'static str, u32),
        found: u64,
        least: u64,
        most: u64,
    ) -> Self {
        Self::of(name, md::Refusal::range(field, offset, found, least, most))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure { name, refusal } => write!(f, "{name}: {refusal}"),
            Self::OtherAnchor { field } => write!(f, "the header does not belong to the anchor: its {field} differs"),
            Self::Level(unknown) => fmt::Display::fmt(unknown, f),
            Self::NotInTable { reference } => write!(f, "disk {reference:08x} is not in the table of physical disks"),
            Self::NoEntry { what } => write!(f, "the tables have no entry for {what}"),
        }
    }
}

impl core::error::Error for Refusal {}

impl From<UnknownLevel> for Refusal {
    fn from(unknown: UnknownLevel) -> Self {
        Self::Level(unknown)
    }
}

/// Why DDF could not be read from a medium.
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
    /// The caller's buffer is too small.
    Buffer {
        /// Bytes given.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
}

impl<E> Fault<E> {
    /// True if nothing speaks for there ever having been a DDF: the usual answer of a medium without one.
    #[must_use]
    pub const fn is_absence(&self) -> bool {
        let refusal = match self {
            Self::Refused(Refusal::Structure { refusal, .. }) => refusal,
            Self::Read { .. } | Self::Refused(_) | Self::Buffer { .. } => return false,
        };
        matches!(refusal, md::Refusal::NoMagic { .. } | md::Refusal::MediumTooSmall { .. })
    }
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
