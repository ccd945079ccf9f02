//! Where an array sector lives, and what a member sector holds: the maps of every level, and their inverses.
//!
//! [`Geometry::new`] is the only validator of an [`ArrayConfig`]. Behind it all numbers are in range: positions on members
//! and on the array fit `u64`, chunks are not zero where they divide, slots fit [`Member`].
//!
//! Sectors of members count from the start of their data. Formulas follow Linux MD (`drivers/md/raid0.c`, `raid5.c`
//! `raid5_compute_sector`, `raid10.c` `__raid10_find_phys`) and were checked, every sector, against arrays that MD made.

mod error;
mod linear;
mod parity;
mod pieces;
mod raid0;
mod raid10;
#[cfg(test)]
mod tests;

use crate::config::{ArrayConfig, Level, Sizes};
use crate::units::{Columns, MEMBERS_MAX, Member, Sector, Sectors, StripeNo};

pub use error::ConfigError;
pub use parity::{Part, StripeMap};
pub use pieces::{Piece, Pieces};

use linear::Linear;
use parity::Striped;
use raid0::Zones;
use raid10::Copies;

/// Smallest chunk of the levels that MD runs in pages: one page.
const CHUNK_SECTORS_MIN: u64 = 8;

/// A validated array: maps in both directions, in time that does not depend on its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    level: Level,
    members: u16,
    chunk: Sectors,
    array_size: Sectors,
    map: Map,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Map {
    Linear(Linear),
    Zones(Zones),
    Mirror { size: Sectors },
    Striped(Striped),
    Copies(Copies),
}

/// Where an array sector lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// On this member.
    pub member: Member,
    /// At this sector of its data.
    pub at: Sector,
    /// So many sectors from here on lie one behind the other, on the member as on the array. Never zero.
    pub run: Sectors,
    /// In this stripe, the same for all copies of a sector; zero where the level has none (linear, RAID 1).
    pub stripe: StripeNo,
}

/// What a member sector holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// This array sector, or a copy of it.
    Data(Sector),
    /// P of this stripe.
    P(StripeNo),
    /// Q of this stripe.
    Q(StripeNo),
    /// Nothing of the array: a tail that its shape leaves over.
    Unused,
}

impl Geometry {
    /// Validates `config`.
    ///
    /// # Errors
    /// [`ConfigError`] with the numbers that cannot be.
    pub fn new(config: &ArrayConfig<'_>) -> Result<Self, ConfigError> {
        let array_size = Self::check(config)?;
        let map = match config.level {
            Level::Linear => Map::Linear(Linear::new(config)),
            Level::Raid0(layout) => Map::Zones(Zones::new(config, layout)),
            Level::Raid1 => Map::Mirror { size: smallest(config, Sectors(1))? },
            Level::Raid4 | Level::Raid5(_) | Level::Raid6(_) => Map::Striped(Striped::new(config)?.0),
            Level::Raid10(layout) => Map::Copies(Copies::new(config, layout)?.0),
        };
        let chunk = if config.level == Level::Raid1 { Sectors::ZERO } else { config.chunk };
        Ok(Self { level: config.level, members: config.members, chunk, array_size, map })
    }

    /// Validates `config` without making anything of it, for whoever has little stack: a geometry is kilobytes. The array's size.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn check(config: &ArrayConfig<'_>) -> Result<Sectors, ConfigError> {
        let members = config.members;
        if members == 0 || usize::from(members) > MEMBERS_MAX {
            return Err(ConfigError::Members { found: members, least: 1, most: 255 });
        }
        if let Sizes::Each(sizes) = config.sizes
            && sizes.len() != usize::from(members)
        {
            return Err(ConfigError::SizesOfOthers { members, sizes: sizes.len() });
        }
        let full = match config.level {
            Level::Linear => Linear::size(config)?,
            Level::Raid0(layout) => Zones::size(config, layout)?,
            Level::Raid1 => smallest(config, Sectors(1))?,
            Level::Raid4 | Level::Raid5(_) | Level::Raid6(_) => Striped::new(config)?.1,
            Level::Raid10(layout) => Copies::new(config, layout)?.1,
        };
        if full.bytes().is_none() {
            return Err(too_big(config));
        }
        let array_size = config.array_size.unwrap_or(full);
        if array_size > full || array_size.is_zero() {
            return Err(ConfigError::ArraySize { found: array_size, most: full });
        }
        Ok(array_size)
    }

    /// Level and layout.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Number of slots.
    #[must_use]
    pub const fn members(&self) -> u16 {
        self.members
    }

    /// Chunk; zero where there is none (RAID 1 whatever its metadata say, linear without rounding).
    #[must_use]
    pub const fn chunk(&self) -> Sectors {
        self.chunk
    }

    /// Sectors of the array.
    #[must_use]
    pub const fn array_size(&self) -> Sectors {
        self.array_size
    }

    /// Sectors of `member`'s data that the array uses; zero for a slot that it does not have.
    #[must_use]
    pub fn member_size(&self, member: Member) -> Sectors {
        if u16::from(member.0) >= self.members {
            return Sectors::ZERO;
        }
        match &self.map {
            Map::Linear(linear) => linear.member_size(member),
            Map::Zones(zones) => zones.member_size(member),
            Map::Mirror { size } => *size,
            Map::Striped(striped) => striped.member_size(),
            Map::Copies(copies) => copies.member_size(),
        }
    }

    /// Where the array sector `at` lives; the first copy of it. `None` past the end.
    #[must_use]
    pub fn map(&self, at: Sector) -> Option<Place> {
        match &self.map {
            Map::Linear(_) | Map::Zones(_) | Map::Striped(_) => {
                self.copy(at, 0).and_then(|place| self.inside(at, place))
            }
            Map::Mirror { .. } | Map::Copies(_) => self.copies(at).next(),
        }
    }

    /// A place, which goes on no longer than the array does; `None` past the end.
    fn inside(&self, at: Sector, place: Place) -> Option<Place> {
        let left = Sector(self.array_size.0).checked_since(at).filter(|left| !left.is_zero())?;
        Some(Place { run: place.run.min(left), ..place })
    }

    /// Every place where the array sector `at` lives; nothing past the end. Parity is no copy. Only RAID 10 in historic
    /// far sets ([`FarSets::ByCount`](crate::FarSets)) can put two of them on one member.
    pub fn copies(&self, at: Sector) -> impl Iterator<Item = Place> + '_ {
        let count = match &self.map {
            Map::Mirror { .. } => self.members,
            Map::Copies(copies) => copies.count(),
            Map::Linear(_) | Map::Zones(_) | Map::Striped(_) => 1,
        };
        (0..count).filter_map(move |copy| self.inside(at, self.copy(at, copy)?))
    }

    fn copy(&self, at: Sector, copy: u16) -> Option<Place> {
        match &self.map {
            Map::Linear(linear) => linear.map(at),
            Map::Zones(zones) => zones.map(at),
            Map::Mirror { size } => {
                let run = Sector(size.0).checked_since(at).filter(|run| !run.is_zero())?;
                Some(Place { member: Member(u8::try_from(copy).ok()?), at, run, stripe: StripeNo(0) })
            }
            Map::Striped(striped) => striped.map(at),
            Map::Copies(copies) => copies.map(at, copy),
        }
    }

    /// What `member` holds at sector `at` of its data. `None` past [`member_size`](Self::member_size).
    #[must_use]
    pub fn unmap(&self, member: Member, at: Sector) -> Option<Content> {
        if at.0 >= self.member_size(member).0 {
            return None;
        }
        let content = match &self.map {
            Map::Linear(linear) => linear.unmap(member, at),
            Map::Zones(zones) => zones.unmap(member, at),
            Map::Mirror { .. } => Content::Data(at),
            Map::Striped(striped) => striped.unmap(member, at),
            Map::Copies(copies) => copies.unmap(member, at),
        };
        Some(match content {
            Content::Data(sector) if sector.0 >= self.array_size.0 => Content::Unused,
            content => content,
        })
    }

    /// The stripe that a member's sector lies in; zero where there is no parity.
    #[must_use]
    pub fn stripe_at(&self, at: Sector) -> StripeNo {
        match &self.map {
            Map::Striped(striped) => striped.stripe_at(at),
            Map::Linear(_) | Map::Zones(_) | Map::Mirror { .. } | Map::Copies(_) => StripeNo(0),
        }
    }

    /// The roles of the members in a stripe. `None` past the end, and where there is no parity.
    #[must_use]
    pub fn stripe(&self, stripe: StripeNo) -> Option<StripeMap> {
        match &self.map {
            Map::Striped(striped) => striped.stripe(stripe),
            Map::Linear(_) | Map::Zones(_) | Map::Mirror { .. } | Map::Copies(_) => None,
        }
    }

    /// True if every array sector can be had without the members in `missing`.
    #[must_use]
    pub fn survives(&self, missing: Columns) -> bool {
        let missing = missing.intersection(Columns::first(self.members));
        let lost = missing.len();
        match &self.map {
            Map::Linear(_) | Map::Zones(_) => lost == 0,
            Map::Mirror { .. } => lost < u32::from(self.members),
            Map::Striped(striped) => lost <= striped.parity(),
            Map::Copies(copies) => copies.survives(missing),
        }
    }

    /// Cuts `len` sectors from `at` on into pieces that each lie in one run of one member.
    #[must_use]
    pub fn pieces(&self, at: Sector, len: Sectors) -> Pieces<'_> {
        Pieces::new(self, at, len)
    }
}

/// What each slot gives, in slot order.
fn sizes<'a>(config: &ArrayConfig<'a>) -> impl Iterator<Item = Sectors> + Clone + use<'a> {
    let (same, each): (_, &[Sectors]) = match config.sizes {
        Sizes::Same(size) => (Some(size), &[]),
        Sizes::Each(sizes) => (None, sizes),
    };
    (0..usize::from(config.members)).filter_map(move |slot| same.or_else(|| each.get(slot).copied()))
}

/// The size that every member can give: the one stated, or the least of all. At least `least`.
fn smallest(config: &ArrayConfig<'_>, least: Sectors) -> Result<Sectors, ConfigError> {
    let found = sizes(config).min().unwrap_or_default();
    if found < least { Err(ConfigError::TooSmall { found, least }) } else { Ok(found) }
}

/// More than 2⁶⁴ bytes, with the numbers that make it so.
fn too_big(config: &ArrayConfig<'_>) -> ConfigError {
    ConfigError::TooBig { members: config.members, largest: sizes(config).max().unwrap_or_default() }
}

/// The chunk, checked not to be zero.
fn chunk_of(config: &ArrayConfig<'_>) -> Result<u64, ConfigError> {
    match config.chunk {
        Sectors(0) => Err(ConfigError::NoChunk),
        Sectors(chunk) => Ok(chunk),
    }
}

/// The chunk of a level that Linux runs in pages and with shifts (`raid5.c`, `setup_conf`; `raid10.c`, `setup_geo`).
fn paged_chunk_of(config: &ArrayConfig<'_>) -> Result<u64, ConfigError> {
    let chunk = chunk_of(config)?;
    if chunk.is_power_of_two() && chunk >= CHUNK_SECTORS_MIN {
        Ok(chunk)
    } else {
        Err(ConfigError::Chunk { found: config.chunk })
    }
}
