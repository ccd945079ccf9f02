//! Where on a medium each version keeps its superblock.
//!
//! Source: kernel `include/uapi/linux/raid/md_p.h` (`MD_NEW_SIZE_SECTORS`) and `drivers/md/md.c` (`super_90_load`, `super_1_load`).

use crate::md::{Refusal, Version};
use raid_core::{Extent, Sector, Sectors};

/// Sectors of a superblock, any version.
pub const SUPERBLOCK_SECTORS: Sectors = Sectors(8);

/// 0.90 keeps its record in the last whole 64 KiB of the medium.
const RESERVED_0_SECTORS: Sectors = Sectors(128);

/// Where a superblock of `version` lies on a medium of that size.
///
/// # Errors
/// [`Refusal::MediumTooSmall`] if there is no room for one.
pub fn superblock_at(version: Version, medium: Sectors) -> Result<Sector, Refusal> {
    let needed = match version {
        Version::V0Little | Version::V0Big => RESERVED_0_SECTORS,
        Version::V1_0 | Version::V1_2 => Sectors(16),
        Version::V1_1 => SUPERBLOCK_SECTORS,
    };
    if medium < needed {
        return Err(Refusal::MediumTooSmall { found: medium.0, expected: needed.0 });
    }
    Ok(Sector(match version {
        Version::V0Little | Version::V0Big => {
            medium.floor_to(RESERVED_0_SECTORS).0.saturating_sub(RESERVED_0_SECTORS.0)
        }
        Version::V1_0 => Sectors(medium.0.saturating_sub(16)).floor_to(Sectors(8)).0,
        Version::V1_1 => 0,
        Version::V1_2 => 8,
    }))
}

/// The area `offset` sectors from the superblock at `at`, if it lies on the medium.
pub(crate) fn beside(
    what: &'static str,
    at: Sector,
    offset: i64,
    len: Sectors,
    medium: Sectors,
) -> Result<Extent, Refusal> {
    let outside = Refusal::Outside {
        what,
        at: i128::from(at.0).saturating_add(i128::from(offset)),
        len_sectors: len.0,
        medium_sectors: medium.0,
    };
    let start = at.0.checked_add_signed(offset).ok_or(outside)?;
    let extent = Extent { at: Sector(start), len };
    match extent.end() {
        Some(end) if end.0 <= medium.0 => Ok(extent),
        _ => Err(outside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_size_of_the_medium() {
        let at = |version, sectors| superblock_at(version, Sectors(sectors)).map(|at| at.0);
        assert_eq!(at(Version::V0Little, 8192), Ok(8064));
        assert_eq!(at(Version::V0Big, 8193 + 126), Ok(8064));
        assert_eq!(at(Version::V0Little, 128), Ok(0));
        assert_eq!(at(Version::V1_0, 8192), Ok(8176));
        assert_eq!(at(Version::V1_0, 8199), Ok(8176));
        assert_eq!(at(Version::V1_1, 8), Ok(0));
        assert_eq!(at(Version::V1_2, 16), Ok(8));
    }

    #[test]
    fn a_medium_without_room_is_refused_with_both_sizes() {
        let refusal = superblock_at(Version::V0Little, Sectors(127));
        assert_eq!(refusal, Err(Refusal::MediumTooSmall { found: 127, expected: 128 }));
        assert!(superblock_at(Version::V1_2, Sectors(15)).is_err());
        assert!(superblock_at(Version::V1_1, Sectors(0)).is_err());
    }
}
