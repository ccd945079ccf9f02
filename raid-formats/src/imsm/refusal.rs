//! Why something is no IMSM, or not one that can be used.

use super::raw::{Attributes, MigrationKind};
use crate::{fault::Refuse, md};
use core::fmt;

/// The first thing about a record that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Bytes are not what they should be.
    Structure {
        /// Which structure.
        name: &'static str,
        /// What is wrong with it; offsets count from the record's start.
        refusal: md::Refusal,
    },
    /// The record says that a reader must know what this one does not know.
    Attributes(Attributes),
    /// What is under way on the volume is not supported.
    Migration(MigrationKind),
    /// A number of a migration that nobody knows.
    UnknownMigration(u8),
    /// A level that this code does not know, or not with so many disks.
    Level {
        /// The number of the level.
        level: u8,
        /// Members.
        members: u8,
    },
    /// Both maps of a volume must say the same, and do not.
    OtherMap {
        /// The field that differs.
        field: &'static str,
    },
    /// There is no such entry, or no room for another.
    NoEntry {
        /// Of what.
        what: &'static str,
    },
}

impl Refusal {
    /// A refusal of the structure of that name.
    pub(super) const fn of(name: &'static str, refusal: md::Refusal) -> Self {
        Self::Structure { name, refusal }
    }

    /// A number out of its range.
    pub(super) fn range(
        name: &'static str,
        (field, offset): (&'static str, usize),
        found: u64,
        least: u64,
        most: u64,
    ) -> Self {
        Self::of(name, md::Refusal::range(field, u32::try_from(offset).unwrap_or(u32::MAX), found, least, most))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure { name, refusal } => write!(f, "{name}: {refusal}"),
            Self::Attributes(found) => {
                f.write_str("attributes that are not supported:")?;
                found.iter_names().try_for_each(|(name, _)| write!(f, " {name}"))?;
                match found.difference(Attributes::all()).bits() {
                    0 => Ok(()),
                    unknown => write!(f, " unknown:{unknown:#x}"),
                }
            }
            Self::Migration(kind) => write!(f, "a {} is under way, which is not supported", kind.name()),
            Self::UnknownMigration(number) => write!(f, "a migration of unknown kind {number} is under way"),
            Self::Level { level, members } => write!(f, "level {level} of {members} disks is not supported"),
            Self::OtherMap { field } => write!(f, "the two maps of a volume differ in {field}"),
            Self::NoEntry { what } => write!(f, "the record has no entry for {what}"),
        }
    }
}

impl core::error::Error for Refusal {}

impl Refuse for Refusal {
    fn is_absence(&self) -> bool {
        matches!(self, Self::Structure { refusal, .. } if refusal.is_absence())
    }
}

/// Why IMSM could not be read from a medium.
pub type Fault<E> = crate::fault::Fault<E, Refusal>;
