//! Why something is no DDF, or not one that can be used.

use crate::{fault::Refuse, md};
use core::fmt;

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

impl Refuse for Refusal {
    fn is_absence(&self) -> bool {
        matches!(self, Self::Structure { refusal, .. } if refusal.is_absence())
    }
}

/// Why DDF could not be read from a medium.
pub type Fault<E> = crate::fault::Fault<E, Refusal>;
