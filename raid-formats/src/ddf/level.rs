//! DDF's levels: primary level and qualifier inside an element, secondary level over the elements.
//!
//! Source: SNIA DDF 2.0, section 4 (levels and their layouts); `mdadm`, `super-ddf.c` (`layout_ddf2md`, `rlq_to_layout`). RAID 1E
//! "offset" puts a stripe's copy into the next row, shifted by one disk: that is MD's "offset", which was made for DDF (see `md(4)`).
//! `mdadm` writes the same numbers for its "far", and assembles all of them so: whose volume it is, its identity tells. Mirrored stripes
//! (RAID 0+1) are RAID 10 with the members in another order.

use super::{raw::Config, refusal::UnknownLevel, word::Order};
use raid_core::{FarSets, Level, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout};

/// "There is no secondary level", and the secondary levels that are read.
pub const SECONDARY_NONE: u8 = 0xFF;
/// Stripes over the elements.
pub const SECONDARY_STRIPED: u8 = 0;
/// Each element holds all.
pub const SECONDARY_MIRRORED: u8 = 1;
/// Stripes over elements of possibly different sizes; `mdadm` writes it for RAID 10.
pub const SECONDARY_SPANNED: u8 = 3;

/// How identities start that `mdadm` makes (`super-ddf.c`, `T10`).
const MDADM: &[u8] = b"Linux-MD";

/// How the members of the elements are numbered through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slots {
    /// Element after element.
    ByElement,
    /// The first members of all elements, then the second ones.
    ByMember,
}

/// A volume's level, and which slot each member has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// The level.
    pub level: Level,
    /// Slots of the volume.
    pub members: u16,
    slots: Slots,
    per_element: u16,
    elements: u16,
}

impl Levels {
    /// The slot of the member `index` of element `element`; `None` if there is no such.
    #[must_use]
    pub fn slot(&self, element: u8, index: u16) -> Option<u16> {
        if u16::from(element) >= self.elements || index >= self.per_element {
            return None;
        }
        let (major, step, minor) = match self.slots {
            Slots::ByElement => (u16::from(element), self.per_element, index),
            Slots::ByMember => (index, self.elements, u16::from(element)),
        };
        major.checked_mul(step)?.checked_add(minor)
    }

    /// The element and the index in it that have this slot.
    #[must_use]
    pub fn place(&self, slot: u16) -> Option<(u8, u16)> {
        let (element, index) = match self.slots {
            Slots::ByElement => (slot.checked_div(self.per_element)?, slot.checked_rem(self.per_element)?),
            Slots::ByMember => (slot.checked_rem(self.elements)?, slot.checked_div(self.elements)?),
        };
        let element = u8::try_from(element).ok()?;
        self.slot(element, index).map(|_| (element, index))
    }

    /// Number of elements, at least one.
    #[must_use]
    pub const fn elements(&self) -> u16 {
        self.elements
    }
}

const fn near(copies: u8) -> Level {
    Level::Raid10(Raid10Layout { near: copies, far: 1, offset: false, sets: FarSets::All })
}

/// What 11/01 is: by the specification, or as `mdadm` has it.
const fn offset_1e(specified: bool) -> Level {
    Level::Raid10(Raid10Layout { near: 1, far: 2, offset: specified, sets: FarSets::All })
}

/// The level that a configuration record names.
///
/// # Errors
/// [`UnknownLevel`], with a name where it has one.
pub fn levels(config: &Config, order: Order) -> Result<Levels, UnknownLevel> {
    let elements = config.secondary_count.max(1);
    let (primary, qualifier, secondary) = (config.primary_level, config.level_qualifier, config.secondary_level);
    let unknown = UnknownLevel { primary, qualifier, elements, secondary };
    let per_element = config.primary_count.get(order);
    let members = per_element.checked_mul(u16::from(elements)).ok_or(unknown)?;
    let made = |level, slots| Levels { level, members, slots, per_element, elements: u16::from(elements) };
    if elements == 1 {
        let level = match (primary, qualifier) {
            (0x11, 1) => Some(offset_1e(!config.guid.0.starts_with(MDADM))),
            _ => one_element(primary, qualifier, per_element),
        };
        return level.map(|level| made(level, Slots::ByElement)).ok_or(unknown);
    }
    match (primary, secondary) {
        (0x01, SECONDARY_STRIPED | SECONDARY_SPANNED) => {
            let copies = u8::try_from(per_element).map_err(|_| unknown)?;
            Ok(made(near(copies), Slots::ByElement))
        }
        (0x01, SECONDARY_MIRRORED) => Ok(made(Level::Raid1, Slots::ByElement)),
        (0x00, SECONDARY_MIRRORED) => Ok(made(near(elements), Slots::ByMember)),
        _ => Err(unknown),
    }
}

fn one_element(primary: u8, qualifier: u8, members: u16) -> Option<Level> {
    Some(match (primary, qualifier) {
        (0x00, _) => Level::Raid0(Raid0Layout::Alternate),
        (0x01, _) => Level::Raid1,
        (0x04, 0) => Level::Raid5(Raid5Layout::ParityFirst),
        (0x04, 1) => Level::Raid4,
        (0x05, 0) => Level::Raid5(Raid5Layout::RightAsymmetric),
        (0x05, 2) => Level::Raid5(Raid5Layout::LeftAsymmetric),
        (0x05, 3) => Level::Raid5(Raid5Layout::LeftSymmetric),
        (0x06, 1) => Level::Raid6(Raid6Layout::RotatingZeroRestart),
        (0x06, 2) => Level::Raid6(Raid6Layout::RotatingNRestart),
        (0x06, 3) => Level::Raid6(Raid6Layout::RotatingNContinue),
        (0x11, 0) => near(2),
        (0x0F, _) if members == 1 => Level::Linear,
        (0x1F, _) => Level::Linear,
        _ => return None,
    })
}

/// The numbers of a level in a new volume: level and qualifier, elements, secondary level. `None` if DDF has none for it.
#[must_use]
pub fn numbers(level: Level, members: u16) -> Option<Numbers> {
    let one = |primary, qualifier| {
        Some(Numbers { primary, qualifier, per_element: members, elements: 1, secondary: SECONDARY_NONE })
    };
    match level {
        Level::Linear => one(0x1F, 0),
        Level::Raid0(_) => one(0x00, 0),
        Level::Raid1 => one(0x01, u8::from(members > 2)),
        Level::Raid4 => one(0x04, 1),
        Level::Raid5(Raid5Layout::ParityFirst) => one(0x04, 0),
        Level::Raid5(Raid5Layout::RightAsymmetric) => one(0x05, 0),
        Level::Raid5(Raid5Layout::LeftAsymmetric) => one(0x05, 2),
        Level::Raid5(Raid5Layout::LeftSymmetric) => one(0x05, 3),
        Level::Raid6(Raid6Layout::RotatingZeroRestart) => one(0x06, 1),
        Level::Raid6(Raid6Layout::RotatingNRestart) => one(0x06, 2),
        Level::Raid6(Raid6Layout::RotatingNContinue) => one(0x06, 3),
        Level::Raid10(Raid10Layout { near: 1, far: 2, offset: true, sets: FarSets::All }) => one(0x11, 1),
        Level::Raid10(Raid10Layout { near: copies, far: 1, .. }) if copies > 1 => {
            let per_element = u16::from(copies);
            match members.checked_rem(per_element)? {
                0 => Some(Numbers {
                    primary: 0x01,
                    qualifier: u8::from(copies > 2),
                    per_element,
                    elements: u8::try_from(members.checked_div(per_element)?).ok()?,
                    secondary: SECONDARY_SPANNED,
                }),
                _ if copies == 2 => one(0x11, 0),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A level as DDF writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Level within an element.
    pub primary: u8,
    /// Its qualifier.
    pub qualifier: u8,
    /// Members of an element.
    pub per_element: u16,
    /// Elements.
    pub elements: u8,
    /// Level over the elements.
    pub secondary: u8,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ddf::word::Half;
    use zerocopy::FromZeros;

    fn config(numbers: Numbers) -> Config {
        let mut config = Config::new_zeroed();
        config.primary_level = numbers.primary;
        config.level_qualifier = numbers.qualifier;
        config.primary_count = Half::new(Order::Big, numbers.per_element);
        config.secondary_count = numbers.elements;
        config.secondary_level = numbers.secondary;
        config
    }

    #[test]
    fn every_level_that_can_be_written_reads_back() {
        let mut written = 0;
        let fives = Raid5Layout::ALL.map(Level::Raid5);
        let sixes = Raid6Layout::ALL.map(Level::Raid6);
        let others =
            [Level::Linear, Level::Raid0(Raid0Layout::Alternate), Level::Raid1, Level::Raid4, near(2), near(3)];
        for level in fives.into_iter().chain(sixes).chain(others) {
            for members in 2..=12 {
                let Some(numbers) = numbers(level, members) else { continue };
                let read = levels(&config(numbers), Order::Big).unwrap();
                written += 1;
                // RAID 10 in one element is RAID 1.
                let single = numbers.secondary == SECONDARY_SPANNED && numbers.elements == 1;
                assert_eq!(read.level, if single { Level::Raid1 } else { level });
                assert_eq!(read.members, members);
                for slot in 0..members {
                    let (element, index) = read.place(slot).unwrap();
                    assert_eq!(read.slot(element, index), Some(slot));
                }
                assert_eq!(read.place(members), None);
            }
        }
        assert!(written > 100, "{written}");
    }

    /// `mdadm --create -e ddf -l 10 -p f2` writes 11/01 and has its volume served as far 2. It was read as offset 2, which puts the second
    /// half of all chunks elsewhere: other bytes, and no word of it. Seen with a volume that `mdadm` 4.2 made in a guest; the interop test
    /// `made_by_linux_filled_by_us_ddf_raid10_f2_of_4` reads one.
    #[test]
    fn a_raid_1e_of_mdadm_is_far_and_of_anybody_else_offset() {
        let layout = |offset| Raid10Layout { near: 1, far: 2, offset, sets: FarSets::All };
        let mut config = config(numbers(Level::Raid10(layout(true)), 4).unwrap());
        assert_eq!(levels(&config, Order::Big).unwrap().level, Level::Raid10(layout(true)));
        config.guid.0[..8].copy_from_slice(b"Linux-MD");
        assert_eq!(levels(&config, Order::Big).unwrap().level, Level::Raid10(layout(false)));
    }

    #[test]
    fn mirrored_stripes_are_a_raid_10_that_counts_members_first() {
        let numbers = Numbers { primary: 0, qualifier: 0, per_element: 3, elements: 2, secondary: SECONDARY_MIRRORED };
        let read = levels(&config(numbers), Order::Big).unwrap();
        assert_eq!((read.level, read.members), (near(2), 6));
        assert_eq!([read.slot(0, 0), read.slot(1, 0), read.slot(0, 1), read.slot(1, 2)], [0, 1, 2, 5].map(Some));
    }

    #[test]
    fn a_level_that_is_not_read_is_refused_by_name() {
        let fifty = Numbers { primary: 5, qualifier: 3, per_element: 3, elements: 2, secondary: SECONDARY_STRIPED };
        assert_eq!(levels(&config(fifty), Order::Big).unwrap_err().name(), "RAID 50");
        let five_e = Numbers { primary: 0x15, elements: 1, secondary: SECONDARY_NONE, ..fifty };
        assert_eq!(levels(&config(five_e), Order::Big).unwrap_err().name(), "RAID 5E");
    }
}
