//! MD's numbers for levels and layouts, taken apart and put together. dm-raid and LVM use the same numbers.
//!
//! Source: kernel `drivers/md/{md,raid5}.h`, `raid0.c` (layout values) and `raid10.c` (`setup_geo`).
//! Whether the numbers make an array (copies against members and so on) is for `raid_core::geometry` to say.

use core::fmt;
use raid_core::{FarSets, Level, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout};

/// Numbers that name no level this project knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLevel {
    /// MD's level number; -4 is the old multipath personality.
    pub level: i32,
    /// MD's layout word.
    pub layout: u32,
}

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown MD level {} with layout {:#x}", self.level, self.layout)
    }
}

impl core::error::Error for UnknownLevel {}

/// The level that MD's two numbers name.
///
/// RAID 0 with layout 0 is "unstated". Linear, RAID 1 and RAID 4 have no layouts: MD ignores the word, and so do we.
///
/// # Errors
/// [`UnknownLevel`] with both numbers.
pub fn level_from_md(level: i32, layout: u32) -> Result<Level, UnknownLevel> {
    let known = match level {
        -1 => Some(Level::Linear),
        0 => match layout {
            0 => Some(Level::Raid0(Raid0Layout::Unstated)),
            1 => Some(Level::Raid0(Raid0Layout::Original)),
            2 => Some(Level::Raid0(Raid0Layout::Alternate)),
            _ => None,
        },
        1 => Some(Level::Raid1),
        4 => Some(Level::Raid4),
        5 => Raid5Layout::ALL.into_iter().find(|known| *known as u32 == layout).map(Level::Raid5),
        6 => Raid6Layout::ALL.into_iter().find(|known| *known as u32 == layout).map(Level::Raid6),
        10 => raid10_from_md(layout).map(Level::Raid10),
        _ => None,
    };
    known.ok_or(UnknownLevel { level, layout })
}

fn raid10_from_md(layout: u32) -> Option<Raid10Layout> {
    let [near, far, ..] = layout.to_le_bytes();
    let sets = match layout >> 17 {
        0 => FarSets::All,
        1 => FarSets::ByCount,
        2 => FarSets::ByCopies,
        _ => return None,
    };
    Some(Raid10Layout { near, far, offset: layout >> 16 & 1 == 1, sets })
}

/// MD's level number and layout word; the layout is zero where the level has none.
#[must_use]
pub fn level_to_md(level: Level) -> (i32, u32) {
    match level {
        Level::Linear => (-1, 0),
        Level::Raid0(Raid0Layout::Unstated) => (0, 0),
        Level::Raid0(Raid0Layout::Original) => (0, 1),
        Level::Raid0(Raid0Layout::Alternate) => (0, 2),
        Level::Raid1 => (1, 0),
        Level::Raid4 => (4, 0),
        Level::Raid5(layout) => (5, layout as u32),
        Level::Raid6(layout) => (6, layout as u32),
        Level::Raid10(layout) => {
            let sets = match layout.sets {
                FarSets::All => 0,
                FarSets::ByCount => 1,
                FarSets::ByCopies => 2,
            };
            let copies = u32::from(layout.near) | u32::from(layout.far) << 8;
            (10, copies | u32::from(layout.offset) << 16 | sets << 17)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_pair_of_numbers_comes_back_unchanged() {
        let mut known = 0;
        for level in -10..20 {
            for layout in (0..0x1_0000).chain([0x1_0201, 0x2_0201, 0x4_0201, 0x5_0201]) {
                let Ok(meaning) = level_from_md(level, layout) else { continue };
                known += 1;
                let expected = if matches!(level, -1 | 1 | 4) { (level, 0) } else { (level, layout) };
                assert_eq!(level_to_md(meaning), expected);
            }
        }
        assert!(known > 3 + 3 + 6 + 14 + 0x1_0000);
    }

    #[test]
    fn an_unknown_level_is_refused_with_both_numbers() {
        for (level, layout) in [(-4, 0), (5, 6), (6, 7), (6, 21), (0, 3), (10, 6 << 16 | 0x102), (2, 0)] {
            assert_eq!(level_from_md(level, layout), Err(UnknownLevel { level, layout }));
        }
    }
}
