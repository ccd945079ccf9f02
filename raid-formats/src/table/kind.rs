//! The array types of dm-raid's tables.

use raid_core::{FarSets, Level, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout};

/// What a type's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Raid0,
    Raid1,
    /// The format stands in an option of its own, also where the name has one.
    Raid10,
    Raid5(Raid5Layout),
    Raid6(Raid6Layout),
}

/// A format of RAID 10, `raid10_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Near,
    Offset,
    Far,
}

/// All names, `raid_types` in `drivers/md/dm-raid.c`. Its raid4 has parity on the first device.
const KINDS: [(&str, Kind); 20] = [
    ("raid0", Kind::Raid0),
    ("raid1", Kind::Raid1),
    ("raid10", Kind::Raid10),
    ("raid10_near", Kind::Raid10),
    ("raid10_offset", Kind::Raid10),
    ("raid10_far", Kind::Raid10),
    ("raid4", Kind::Raid5(Raid5Layout::ParityFirst)),
    ("raid5_n", Kind::Raid5(Raid5Layout::ParityLast)),
    ("raid5_ls", Kind::Raid5(Raid5Layout::LeftSymmetric)),
    ("raid5_rs", Kind::Raid5(Raid5Layout::RightSymmetric)),
    ("raid5_la", Kind::Raid5(Raid5Layout::LeftAsymmetric)),
    ("raid5_ra", Kind::Raid5(Raid5Layout::RightAsymmetric)),
    ("raid6_zr", Kind::Raid6(Raid6Layout::RotatingZeroRestart)),
    ("raid6_nr", Kind::Raid6(Raid6Layout::RotatingNRestart)),
    ("raid6_nc", Kind::Raid6(Raid6Layout::RotatingNContinue)),
    ("raid6_n_6", Kind::Raid6(Raid6Layout::ParityLast)),
    ("raid6_ls_6", Kind::Raid6(Raid6Layout::LeftSymmetric6)),
    ("raid6_rs_6", Kind::Raid6(Raid6Layout::RightSymmetric6)),
    ("raid6_la_6", Kind::Raid6(Raid6Layout::LeftAsymmetric6)),
    ("raid6_ra_6", Kind::Raid6(Raid6Layout::RightAsymmetric6)),
];

/// RAID 10's formats by name, `raid10_name_to_format`.
const FORMATS: [(&str, Format); 3] = [("near", Format::Near), ("offset", Format::Offset), ("far", Format::Far)];

/// The type of this name.
pub(super) fn kind_named(name: &str) -> Option<Kind> {
    KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
}

/// The format of this name.
pub(super) fn format_named(name: &str) -> Option<Format> {
    FORMATS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, format)| *format)
}

/// The name of a format.
pub(super) fn format_name(format: Format) -> &'static str {
    FORMATS.iter().find(|(_, known)| *known == format).map_or("near", |(name, _)| name)
}

/// The name of a level for the status line; where dm-raid has none, that of its family.
pub(super) fn name_of(level: Level) -> &'static str {
    let known = |kind| KINDS.iter().find(|(_, known)| *known == kind).map(|(name, _)| *name);
    match level {
        Level::Linear => "linear",
        Level::Raid0(_) => "raid0",
        Level::Raid1 => "raid1",
        Level::Raid4 => "raid4",
        Level::Raid5(layout) => known(Kind::Raid5(layout)).unwrap_or("raid5"),
        Level::Raid6(layout) => known(Kind::Raid6(layout)).unwrap_or("raid6"),
        Level::Raid10(layout) if layout.far < 2 => "raid10",
        Level::Raid10(layout) if layout.offset => "raid10_offset",
        Level::Raid10(_) => "raid10_far",
    }
}

impl Kind {
    /// Devices that hold no data.
    pub(super) const fn parity_devices(self) -> u16 {
        match self {
            Self::Raid5(_) => 1,
            Self::Raid6(_) => 2,
            Self::Raid0 | Self::Raid1 | Self::Raid10 => 0,
        }
    }

    /// The level. `near_sets` is what `raid10_use_near_sets` asks for.
    pub(super) const fn level(self, format: Format, copies: u8, near_sets: bool) -> Level {
        let sets = if near_sets { FarSets::All } else { FarSets::ByCopies };
        match self {
            Self::Raid0 => Level::Raid0(Raid0Layout::Alternate),
            Self::Raid1 => Level::Raid1,
            Self::Raid5(layout) => Level::Raid5(layout),
            Self::Raid6(layout) => Level::Raid6(layout),
            Self::Raid10 => Level::Raid10(match format {
                Format::Near => Raid10Layout { near: copies, far: 1, offset: false, sets: FarSets::All },
                Format::Offset => Raid10Layout { near: 1, far: copies, offset: true, sets },
                Format::Far => Raid10Layout { near: 1, far: copies, offset: false, sets },
            }),
        }
    }

    /// The name that the status line uses for it: the one of the level that is run, not the one of the table.
    pub(super) fn status_name(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::Raid10, Format::Near) => "raid10",
            (Self::Raid10, Format::Offset) => "raid10_offset",
            (Self::Raid10, Format::Far) => "raid10_far",
            _ => KINDS.iter().find(|(_, known)| *known == self).map_or("raid0", |(name, _)| name),
        }
    }
}
