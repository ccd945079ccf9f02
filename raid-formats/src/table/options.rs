//! The parameters of a table line.

use core::fmt;

use raid_core::{Columns, Member};

use super::TableError;
use super::kind::{Format, Kind, format_name, format_named};

/// All parameters; what was not given is `None` or as it is by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Redundancy is in doubt everywhere and is to be made.
    pub sync: bool,
    /// Redundancy is taken for good, whatever is known.
    pub nosync: bool,
    /// Slots whose content is to be made anew.
    pub rebuild: Columns,
    /// Slots to be read only if nobody else can be.
    pub write_mostly: Columns,
    /// How long the bitmap's sweeper sleeps, in milliseconds as dm-raid has it.
    pub daemon_sleep: Option<u32>,
    /// Recovery's least rate, in KiB per second and device.
    pub min_recovery_rate: Option<u32>,
    /// Recovery's greatest rate, in KiB per second and device.
    pub max_recovery_rate: Option<u32>,
    /// Accepted for dm-raid's sake; writes behind are not done.
    pub max_write_behind: Option<u32>,
    /// Rows in flight, for levels with parity.
    pub stripe_cache: Option<u32>,
    /// Sectors under one bit of the region log.
    pub region_size: Option<u64>,
    pub(super) copies: u8,
    pub(super) copies_given: bool,
    pub(super) format: Format,
    pub(super) format_given: bool,
    pub(super) near_sets: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync: false,
            nosync: false,
            rebuild: Columns::EMPTY,
            write_mostly: Columns::EMPTY,
            daemon_sleep: None,
            min_recovery_rate: None,
            max_recovery_rate: None,
            max_write_behind: None,
            stripe_cache: None,
            region_size: None,
            copies: 2,
            copies_given: false,
            format: Format::Near,
            format_given: false,
            near_sets: false,
        }
    }
}

/// Parameters that are only there for arrays that change their shape or have a journal.
const NOT_SERVED: [&str; 4] = ["data_offset", "delta_disks", "journal_dev", "journal_mode"];

impl Options {
    pub(super) fn parse<'a>(words: &[&'a str], kind: Kind, members: usize) -> Result<Self, TableError<'a>> {
        let mut options = Self::default();
        let mut words = words.iter().copied();
        while let Some(parameter) = words.next() {
            if options.flag(parameter)? {
                continue;
            }
            let value = words.next().ok_or(TableError::NoValue(parameter))?;
            options.set(parameter, value, kind, members)?;
        }
        if options.near_sets && options.format == Format::Near {
            return Err(TableError::WrongType("raid10_use_near_sets"));
        }
        Ok(options)
    }

    /// A parameter without a value. False if it is none of these.
    fn flag<'a>(&mut self, parameter: &'a str) -> Result<bool, TableError<'a>> {
        let flag = match lower(parameter).as_str() {
            "sync" => &mut self.sync,
            "nosync" => &mut self.nosync,
            "raid10_use_near_sets" => &mut self.near_sets,
            _ => return Ok(false),
        };
        if core::mem::replace(flag, true) { Err(TableError::Twice(parameter)) } else { Ok(true) }
    }

    fn set<'a>(
        &mut self,
        parameter: &'a str,
        value: &'a str,
        kind: Kind,
        members: usize,
    ) -> Result<(), TableError<'a>> {
        let bad = TableError::BadValue { parameter, value };
        let number = || value.parse::<u32>().ok().filter(|number| i32::try_from(*number).is_ok()).ok_or(bad);
        let slot = || value.parse::<u8>().ok().filter(|slot| usize::from(*slot) < members).map(Member).ok_or(bad);
        let only = |right: bool| if right { Ok(()) } else { Err(TableError::WrongType(parameter)) };
        let name = lower(parameter);
        let once = match name.as_str() {
            "rebuild" => self.rebuild.insert(slot()?),
            "write_mostly" => {
                only(kind == Kind::Raid1)?;
                self.write_mostly.insert(slot()?);
                true
            }
            "daemon_sleep" => self.daemon_sleep.replace(number()?).is_none(),
            "min_recovery_rate" => self.min_recovery_rate.replace(number()?).is_none(),
            "max_recovery_rate" => self.max_recovery_rate.replace(number()?).is_none(),
            "max_write_behind" => {
                only(kind == Kind::Raid1)?;
                self.max_write_behind.replace(number()?).is_none()
            }
            "stripe_cache" => {
                only(kind.parity_devices() > 0)?;
                self.stripe_cache.replace(number()?).is_none()
            }
            "region_size" => self.region_size.replace(number()?.into()).is_none(),
            "raid10_copies" => {
                let fits = |copies: &u8| *copies >= 2 && usize::from(*copies) <= members;
                self.copies = value.parse().ok().filter(fits).ok_or(bad)?;
                !core::mem::replace(&mut self.copies_given, true)
            }
            "raid10_format" => {
                only(kind == Kind::Raid10)?;
                self.format = format_named(value).ok_or(bad)?;
                !core::mem::replace(&mut self.format_given, true)
            }
            name if NOT_SERVED.contains(&name) => return Err(TableError::NotServed(parameter)),
            _ => return Err(TableError::UnknownParameter(parameter)),
        };
        if once { Ok(()) } else { Err(TableError::Twice(parameter)) }
    }

    /// Words of the line that they take.
    pub(super) fn words(&self) -> u32 {
        let flags = [self.sync, self.nosync, self.near_sets];
        let pairs = [
            self.daemon_sleep.is_some(),
            self.min_recovery_rate.is_some(),
            self.max_recovery_rate.is_some(),
            self.max_write_behind.is_some(),
            self.stripe_cache.is_some(),
            self.region_size.is_some(),
            self.copies_given,
            self.format_given,
        ];
        let count = |given: &[bool]| given.iter().map(|given| u32::from(*given)).sum::<u32>();
        count(&flags) + 2 * (count(&pairs) + self.rebuild.len() + self.write_mostly.len())
    }

    /// Writes them in the order that dm-raid documents.
    pub(super) fn emit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |f: &mut fmt::Formatter<'_>, name: &str, value: Option<u64>| match value {
            Some(value) => write!(f, " {name} {value}"),
            None => Ok(()),
        };
        for (name, given) in [("sync", self.sync), ("nosync", self.nosync)] {
            if given {
                write!(f, " {name}")?;
            }
        }
        for slot in self.rebuild.iter() {
            pair(f, "rebuild", Some(slot.0.into()))?;
        }
        pair(f, "daemon_sleep", self.daemon_sleep.map(u64::from))?;
        pair(f, "min_recovery_rate", self.min_recovery_rate.map(u64::from))?;
        pair(f, "max_recovery_rate", self.max_recovery_rate.map(u64::from))?;
        for slot in self.write_mostly.iter() {
            pair(f, "write_mostly", Some(slot.0.into()))?;
        }
        pair(f, "max_write_behind", self.max_write_behind.map(u64::from))?;
        pair(f, "stripe_cache", self.stripe_cache.map(u64::from))?;
        pair(f, "region_size", self.region_size)?;
        pair(f, "raid10_copies", self.copies_given.then_some(self.copies.into()))?;
        if self.format_given {
            write!(f, " raid10_format {}", format_name(self.format))?;
        }
        if self.near_sets {
            f.write_str(" raid10_use_near_sets")?;
        }
        Ok(())
    }
}

/// A parameter's name in small letters; those that are longer than any are nobody's.
struct Lower {
    bytes: [u8; 24],
    len: usize,
}

impl Lower {
    fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

fn lower(word: &str) -> Lower {
    let mut bytes = [0; 24];
    let len = if word.len() <= bytes.len() { word.len() } else { 0 };
    for (to, from) in bytes.iter_mut().zip(word.bytes()) {
        *to = from.to_ascii_lowercase();
    }
    Lower { bytes, len }
}
