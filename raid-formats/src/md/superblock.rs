//! A superblock of any version, as one type.

use crate::{
    md::{Refusal, Superblock0, Superblock1, Version, raw1::Features, v0, v1},
    record::{Record, Role},
};
use raid_core::{Sector, Sectors};
use zerocopy::{BE, LE};

/// A superblock that passed every check of its version. It borrows the record.
#[derive(Clone, Copy, Debug)]
pub enum Superblock<'a> {
    /// 0.90 of a little-endian writer.
    V0Little(Superblock0<'a, LE>),
    /// 0.90 of a big-endian writer.
    V0Big(Superblock0<'a, BE>),
    /// 1.0, 1.1, 1.2.
    V1(Superblock1<'a>),
}

/// The same expression for each of the three.
macro_rules! each {
    ($superblock:expr, $inner:ident => $body:expr) => {
        match $superblock {
            Self::V0Little($inner) => $body,
            Self::V0Big($inner) => $body,
            Self::V1($inner) => $body,
        }
    };
}

impl<'a> Superblock<'a> {
    /// Reads the superblock of `version` from the 4096 bytes found at its place ([`super::superblock_at`]) on a medium of that size.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn parse(bytes: &'a [u8], version: Version, medium: Sectors) -> Result<Self, Refusal> {
        match version {
            Version::V0Little => Superblock0::parse(bytes, medium).map(Self::V0Little),
            Version::V0Big => Superblock0::parse(bytes, medium).map(Self::V0Big),
            Version::V1_0 | Version::V1_1 | Version::V1_2 => Superblock1::parse(bytes, version, medium).map(Self::V1),
        }
    }

    /// Puts the right checksum into a record that was changed. A 1.x table longer than the record stays without one.
    pub fn seal(block: &mut [u8; 4096], version: Version) {
        match version {
            Version::V0Little => v0::seal::<LE>(block),
            Version::V0Big => v0::seal::<BE>(block),
            Version::V1_0 | Version::V1_1 | Version::V1_2 => v1::seal(block),
        }
    }

    /// The bytes as they are, every field and every reserved byte.
    #[must_use]
    pub fn emit(&self) -> &'a [u8; 4096] {
        each!(self, inner => inner.emit())
    }

    /// What this member claims, in the words that all formats share.
    #[must_use]
    pub fn record(&self) -> Record {
        each!(self, inner => inner.record())
    }

    /// What this member's table says about the member with that permanent number.
    #[must_use]
    pub fn role_of(&self, number: u32) -> Role {
        each!(self, inner => inner.role_of(number))
    }

    /// Where it lies.
    #[must_use]
    pub fn at(&self) -> Sector {
        each!(self, inner => inner.at())
    }

    /// Size of the medium it was found on.
    #[must_use]
    pub fn medium(&self) -> Sectors {
        each!(self, inner => inner.medium())
    }

    /// True if the recovery of this member follows the bitmap (kernel `super_1_validate`: such a member keeps its `saved_raid_disk`).
    /// 0.90 cannot say so.
    #[must_use]
    pub fn recovers_by_bitmap(&self) -> bool {
        let wanted = Features::RECOVERY_OFFSET | Features::RECOVERY_BITMAP;
        match self {
            Self::V0Little(_) | Self::V0Big(_) => false,
            Self::V1(inner) => Features::from_bits_retain(inner.raw().head.feature_map.get()).contains(wanted),
        }
    }

    /// The array's identity as the header of a bitmap holds it.
    #[must_use]
    pub fn bitmap_uuid(&self) -> [u8; 16] {
        match self {
            Self::V0Little(inner) => inner.bitmap_uuid(),
            Self::V0Big(inner) => inner.bitmap_uuid(),
            Self::V1(inner) => inner.raw().head.set_uuid,
        }
    }
}
