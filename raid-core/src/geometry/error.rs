//! Why a description is no possible array.

use core::fmt;

use crate::units::Sectors;

/// What [`Geometry::new`](super::Geometry::new) refuses, with the numbers that it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// Too few or too many members for the level and layout.
    Members {
        /// Members stated.
        found: u16,
        /// Least that the layout needs.
        least: u16,
        /// Most that there can be.
        most: u16,
    },
    /// As many sizes as members were to be given.
    SizesOfOthers {
        /// Members stated.
        members: u16,
        /// Sizes given.
        sizes: usize,
    },
    /// The level stripes, but no chunk is stated.
    NoChunk,
    /// RAID 4, 5, 6 and 10 take chunks of a power of two from 4 KiB on.
    Chunk {
        /// The chunk stated.
        found: Sectors,
    },
    /// RAID 10 with less than two copies, or with more than there are members.
    Copies {
        /// Near copies.
        near: u8,
        /// Far copies.
        far: u8,
        /// Members stated.
        members: u16,
    },
    /// RAID 10 with near and far copies on a number of members for which Linux's formulas put two chunks in one place.
    CopiesOverlap {
        /// Near copies.
        near: u8,
        /// Far copies.
        far: u8,
        /// Members stated.
        members: u16,
    },
    /// A RAID 0 of members of different sizes whose metadata do not say which of two layouts it has.
    Raid0LayoutUnstated {
        /// Size of the smallest member, rounded down to the chunk.
        smallest: Sectors,
        /// Size of the largest member, likewise.
        largest: Sectors,
    },
    /// A member gives less than the level needs for one chunk of each kind.
    TooSmall {
        /// Sectors that the smallest member gives.
        found: Sectors,
        /// Least that each must give.
        least: Sectors,
    },
    /// The array would have more than 2⁶⁴ bytes.
    TooBig {
        /// Members stated.
        members: u16,
        /// Sectors that the largest gives.
        largest: Sectors,
    },
    /// The array is said to be larger than its members allow.
    ArraySize {
        /// Size stated.
        found: Sectors,
        /// Size that the members give.
        most: Sectors,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Members { found, least, most } => write!(f, "{found} members, the layout takes {least} to {most}"),
            Self::SizesOfOthers { members, sizes } => write!(f, "{members} members, but the sizes of {sizes}"),
            Self::NoChunk => f.write_str("a striped level without a chunk"),
            Self::Chunk { found } => {
                write!(f, "a chunk of {found} sectors; RAID 4, 5, 6 and 10 take powers of two from 8 sectors on")
            }
            Self::Copies { near, far, members } => {
                write!(
                    f,
                    "{near} near times {far} far copies on {members} members; \
                     there must be at least 2, and at most one for each member"
                )
            }
            Self::CopiesOverlap { near, far, members } => {
                write!(f, "{near} near and {far} far copies on {members} members would lie on top of each other")
            }
            Self::Raid0LayoutUnstated { smallest, largest } => write!(
                f,
                "a RAID 0 of members of {smallest} to {largest} sectors, whose metadata do not say whether its layout is \
                 original or alternate"
            ),
            Self::TooSmall { found, least } => {
                write!(f, "a member gives {found} sectors, the layout takes at least {least} of each")
            }
            Self::TooBig { members, largest } => {
                write!(f, "{members} members of up to {largest} sectors make an array of more than 2^64 bytes")
            }
            Self::ArraySize { found, most } => {
                write!(f, "an array of {found} sectors, its members give at most {most}")
            }
        }
    }
}

impl core::error::Error for ConfigError {}
