//! The table line of Linux's dm-raid: what `dmsetup` and LVM tell the kernel of an array, and what the kernel tells them back.
//!
//! ```text
//! <type> <#parameters> <chunk> [<parameter> ...] <#devices> {<metadata device> <data device>}...
//! ```
//!
//! A device that is not there is `-`. Source: `Documentation/admin-guide/device-mapper/dm-raid.rst` and the parser in
//! `drivers/md/dm-raid.c`, whose demands are kept: what is refused there is refused here, in words that name the value.
//! Takeover, reshape and journals (`delta_disks`, `data_offset`, `journal_dev`) are refused.

mod error;
mod kind;
mod message;
mod mirror;
mod options;
mod status;

use raid_core::health::{Event, Health, HealthError};
use raid_core::recovery::Rates;
use raid_core::rows::ROW_SECTORS;
use raid_core::{ArrayConfig, Columns, Level, Member, Sector, Sectors, Sizes};

pub use error::TableError;
use kind::Kind;
pub use message::{Belief, Message};
pub use mirror::{Believed, LEGS_MAX, MirrorTable};
pub use options::Options;
pub use status::{Activity, Info};

/// Most devices of an array, `MAX_RAID_DEVICES`.
pub const DEVICES_MAX: usize = 253;

/// Least chunk, in sectors.
const CHUNK_MIN: u64 = 8;

/// Region size if none is given, in sectors: 4 MiB.
const REGION_SECTORS: u64 = 1 << 13;

/// Height of a row.
const ROW_KIB: u64 = ROW_SECTORS / 2;

/// Most regions of an array.
const REGIONS_MAX: u64 = 1 << 21;

/// A table line, understood. It borrows its words.
#[derive(Clone, Copy, Debug)]
pub struct Table<'w, 'a> {
    name: &'a str,
    kind: Kind,
    chunk: Sectors,
    options: Options,
    devices: &'w [[&'a str; 2]],
}

/// One device of the line, `None` for each name that is `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// Where superblock and bitmap lie.
    pub metadata: Option<&'a str>,
    /// Where the data lie.
    pub data: Option<&'a str>,
}

impl<'w, 'a> Table<'w, 'a> {
    /// Understands the words behind the target's name.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn parse(words: &'w [&'a str]) -> Result<Self, TableError<'a>> {
        let [name, count, rest @ ..] = words else { return Err(TableError::TooShort) };
        let kind = kind::kind_named(name).ok_or(TableError::UnknownType(name))?;
        let count = number(count)?;
        let (parameters, rest) = rest.split_at_checked(count).ok_or(TableError::TooShort)?;
        let [members, rest @ ..] = rest else { return Err(TableError::TooShort) };
        let (devices, left) = rest.as_chunks();
        let members = number(members)?;
        if devices.len() != members || !left.is_empty() {
            return Err(TableError::Devices { said: members, found: rest.len() });
        }
        if members <= usize::from(kind.parity_devices()) || members > DEVICES_MAX {
            return Err(TableError::Members(members));
        }
        let [chunk, parameters @ ..] = parameters else { return Err(TableError::TooShort) };
        let chunk: u64 = number(chunk)?;
        let chunk = match kind {
            Kind::Raid1 => 0,
            _ if !chunk.is_power_of_two() || chunk < CHUNK_MIN => return Err(TableError::Chunk(chunk)),
            _ => chunk,
        };
        let options = Options::parse(parameters, kind, members)?;
        let table = Self { name, kind, chunk: Sectors(chunk), options, devices };
        table.check_devices()?;
        Ok(table)
    }

    fn check_devices(&self) -> Result<(), TableError<'a>> {
        for (number, device) in (0..).zip(self.devices()) {
            match device {
                Device { metadata: Some(name), data: None } => return Err(TableError::MetadataAlone(name)),
                Device { data: None, .. } if self.options.rebuild.contains(Member(number)) => {
                    return Err(TableError::NothingToRebuild(number));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What stands between chunk and devices.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The devices, in order.
    pub fn devices(&self) -> impl ExactSizeIterator<Item = Device<'a>> + 'w {
        let named = |name: &'a str| (name != "-").then_some(name);
        self.devices.iter().map(move |[metadata, data]| Device { metadata: named(metadata), data: named(data) })
    }

    /// Slots whose data device is there.
    #[must_use]
    pub fn present(&self) -> Columns {
        let there = (0..=u8::MAX).zip(self.devices()).filter(|(_, device)| device.data.is_some());
        there.map(|(number, _)| Member(number)).collect()
    }

    /// Who is trusted when no metadata say it: everybody who is there, but for those to be rebuilt.
    ///
    /// # Errors
    /// [`HealthError`] if too many are to be rebuilt at once.
    pub fn health(&self) -> Result<Health, HealthError> {
        let mut health = Health::new(self.members())?;
        for member in self.present().iter() {
            let rebuilt = self.options.rebuild.contains(member);
            health.apply(member, if rebuilt { Event::Rebuild { mark: Sector(0) } } else { Event::Admit })?;
        }
        for member in self.options.write_mostly.iter() {
            health.set_write_mostly(member, true)?;
        }
        Ok(health)
    }

    /// How fast recovery may go. dm-raid counts KiB a second on each device.
    #[must_use]
    pub fn rates(&self) -> Rates {
        let rows = |rate: Option<u32>| rate.filter(|rate| *rate > 0).map(|kib| u64::from(kib).div_ceil(ROW_KIB));
        let ceiling_rows_s = rows(self.options.max_recovery_rate).unwrap_or(Rates::FREE.ceiling_rows_s);
        let floor_rows_s = rows(self.options.min_recovery_rate).unwrap_or(ceiling_rows_s);
        Rates { floor_rows_s, ceiling_rows_s }
    }

    /// Level and layout.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.kind.level(self.options.format, self.options.copies, self.options.near_sets)
    }

    /// Sectors of a chunk; zero for RAID 1, which has none.
    #[must_use]
    pub const fn chunk(&self) -> Sectors {
        self.chunk
    }

    /// Number of slots.
    #[must_use]
    pub fn members(&self) -> u16 {
        u16::try_from(self.devices.len()).unwrap_or(u16::MAX)
    }

    /// What an array of `len` sectors is by this line.
    ///
    /// # Errors
    /// [`TableError::Length`] if the devices cannot share it evenly.
    pub fn config(&self, len: Sectors) -> Result<ArrayConfig<'static>, TableError<'a>> {
        let members = u64::from(self.members());
        let uneven = TableError::Length(len.0);
        let (total, shares) = match self.kind {
            Kind::Raid1 => (len.0, 1),
            Kind::Raid10 => (len.0.checked_mul(self.options.copies.into()).ok_or(uneven)?, members),
            Kind::Raid0 | Kind::Raid5(_) | Kind::Raid6(_) => {
                (len.0, members.saturating_sub(self.kind.parity_devices().into()))
            }
        };
        let share = total.checked_div(shares).filter(|share| share.checked_mul(shares) == Some(total));
        Ok(ArrayConfig {
            level: self.level(),
            members: self.members(),
            chunk: self.chunk,
            sizes: Sizes::Same(Sectors(share.filter(|share| *share > 0).ok_or(uneven)?)),
            array_size: Some(len),
        })
    }

    /// Sectors under one bit of the region log of an array of `len` sectors.
    ///
    /// # Errors
    /// [`TableError::Region`].
    pub fn region(&self, len: Sectors) -> Result<Sectors, TableError<'a>> {
        let least = len.0 / REGIONS_MAX;
        let Some(given) = self.options.region_size else {
            return Ok(Sectors(REGION_SECTORS.max(least.checked_next_power_of_two().unwrap_or(REGION_SECTORS))));
        };
        let fits = given <= len.0 && given >= least && given.is_power_of_two() && given >= self.chunk.0;
        if fits && given >= CHUNK_MIN { Ok(Sectors(given)) } else { Err(TableError::Region(given)) }
    }
}

/// The devices of the line `auto DEVICE...`, which asks for the array that their own metadata describe; `None` for any other line.
#[must_use]
pub fn auto<'w, 'a>(words: &'w [&'a str]) -> Option<&'w [&'a str]> {
    words.split_first().filter(|(name, devices)| **name == "auto" && !devices.is_empty()).map(|(_, devices)| devices)
}

fn number<T: core::str::FromStr>(word: &str) -> Result<T, TableError<'_>> {
    word.parse().map_err(|_| TableError::NotANumber(word))
}

#[cfg(test)]
mod tests;
