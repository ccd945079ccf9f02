//! The table line of Linux's dm-mirror, which LVM writes for its `mirror` volumes.
//!
//! ```text
//! <log> <#words of the log> <word>... <#legs> {<device> <first sector>}... [<#features> <feature>...]
//! log: core <region> [sync|nosync]    disk <device> <region> [sync|nosync]
//! ```
//!
//! Source: `mirror_ctr` and `create_dirty_log` in kernel `drivers/md/dm-raid1.c`, `core_ctr` and `disk_ctr` in `dm-log.c`, whose demands
//! are kept. Logs that a cluster or a process keeps are refused.

use raid_core::{Sector, Sectors};

use super::{TableError, number};

/// Most legs, `DM_KCOPYD_MAX_REGIONS` and the one that is copied.
pub const LEGS_MAX: usize = 9;

/// Least region, in sectors.
const REGION_MIN: u64 = 2;

/// What the line says of regions at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Believed {
    /// What the log says.
    Log,
    /// Legs agree everywhere: `nosync`.
    Agree,
    /// Legs agree nowhere: `sync`, or no log on disk.
    Differ,
}

/// A line, understood. It borrows its words.
#[derive(Clone, Copy, Debug)]
pub struct MirrorTable<'w, 'a> {
    log: Option<&'a str>,
    region: Sectors,
    believed: Believed,
    legs: &'w [[&'a str; 2]],
}

impl<'w, 'a> MirrorTable<'w, 'a> {
    /// Understands the words behind the target's name, of a mirror of `len` sectors.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn parse(words: &'w [&'a str], len: Sectors) -> Result<Self, TableError<'a>> {
        let [kind, count, rest @ ..] = words else { return Err(TableError::TooShort) };
        let count: u64 = number(count)?;
        let split = usize::try_from(count).ok().and_then(|count| rest.split_at_checked(count));
        let (log_words, rest) = split.ok_or(TableError::TooShort)?;
        let (log, log_words) = match (*kind, log_words) {
            ("core", words) => (None, words),
            ("disk", [device, words @ ..]) => (Some(*device), words),
            ("disk", []) => return Err(TableError::TooShort),
            _ => return Err(TableError::NotServed(kind)),
        };
        let (region, believed) = match log_words {
            [] => return Err(TableError::TooShort),
            [region] if log.is_some() => (region, Believed::Log),
            [region] | [region, "sync"] => (region, Believed::Differ),
            [region, "nosync"] => (region, Believed::Agree),
            [_, word, ..] => return Err(TableError::UnknownParameter(word)),
        };
        let region: u64 = number(region)?;
        if !region.is_power_of_two() || region < REGION_MIN || region > len.0 {
            return Err(TableError::Region(region));
        }
        let [count, rest @ ..] = rest else { return Err(TableError::TooShort) };
        let count = usize::try_from(number::<u64>(count)?).unwrap_or(usize::MAX);
        if !(2..=LEGS_MAX).contains(&count) {
            return Err(TableError::Members(count));
        }
        let split = rest.split_at_checked(count.saturating_mul(2));
        let (legs, features) = split.ok_or(TableError::Devices { said: count, found: rest.len() })?;
        let (legs, _) = legs.as_chunks();
        for [_, at] in legs {
            number::<u64>(at)?;
        }
        check_features(features)?;
        Ok(Self { log, region: Sectors(region), believed, legs })
    }

    /// The device with the log; without one, nothing is remembered.
    #[must_use]
    pub const fn log(&self) -> Option<&'a str> {
        self.log
    }

    /// Sectors of a region.
    #[must_use]
    pub const fn region(&self) -> Sectors {
        self.region
    }

    /// Whether the log counts.
    #[must_use]
    pub const fn believed(&self) -> Believed {
        self.believed
    }

    /// The legs, the first of which counts where they disagree: each device, and the sector where the mirror begins on it.
    pub fn legs(&self) -> impl ExactSizeIterator<Item = (&'a str, Sector)> + 'w {
        self.legs.iter().map(|[name, at]| (*name, Sector(at.parse().unwrap_or(0))))
    }
}

/// How Linux treats errors makes no difference to what lies on disk.
fn check_features<'a>(words: &[&'a str]) -> Result<(), TableError<'a>> {
    let Some((count, features)) = words.split_first() else { return Ok(()) };
    if number::<u64>(count)? != features.len() as u64 {
        return Err(TableError::TooShort);
    }
    let unknown = features.iter().find(|word| !["handle_errors", "keep_log"].contains(word));
    unknown.map_or(Ok(()), |word| Err(TableError::UnknownParameter(word)))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString as _;
    use std::vec::Vec;

    use super::*;

    const LEN: Sectors = Sectors(10_240);

    #[test]
    fn a_line_of_lvm_is_understood() {
        let words: Vec<&str> = "disk 2 253:0 1024 2 253:1 0 253:2 16 1 handle_errors".split(' ').collect();
        let table = MirrorTable::parse(&words, LEN).unwrap();
        assert_eq!((table.log(), table.region(), table.believed()), (Some("253:0"), Sectors(1024), Believed::Log));
        assert!(table.legs().eq([("253:1", Sector(0)), ("253:2", Sector(16))]));
    }

    #[test]
    fn what_the_line_says_of_the_start_counts() {
        for (line, believed) in [
            ("core 1 8 2 a 0 b 0", Believed::Differ),
            ("core 2 8 nosync 2 a 0 b 0", Believed::Agree),
            ("disk 3 l 8 nosync 2 a 0 b 0", Believed::Agree),
            ("disk 3 l 8 sync 2 a 0 b 0", Believed::Differ),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(MirrorTable::parse(&words, LEN).unwrap().believed(), believed, "{line}");
        }
    }

    #[test]
    fn a_wrong_line_is_refused_with_the_word_at_fault() {
        for (line, word) in [
            ("", "missing"),
            ("disk 0 2 a 0 b 0", "missing"),
            ("disk 1 l 2 a 0 b 0", "missing"),
            ("userspace 3 x y 1024 2 a 0 b 0", "userspace"),
            ("core 1 12 2 a 0 b 0", "12"),
            ("core 1 16384 2 a 0 b 0", "16384"),
            ("core 2 8 perhaps 2 a 0 b 0", "perhaps"),
            ("core 1 8 1 a 0", "1 devices"),
            ("core 1 8 10 a 0", "10 devices"),
            ("core 1 8 3 a 0 b 0", "3 devices"),
            ("core 1 8 2 a 0 b x", "x stands"),
            ("core 1 8 2 a 0 b 0 1", "missing"),
            ("core 1 8 2 a 0 b 0 1 fast", "fast"),
        ] {
            let words: Vec<&str> = line.split_whitespace().collect();
            let refused = MirrorTable::parse(&words, LEN).unwrap_err().to_string();
            assert!(refused.contains(word), "{line}: {refused}");
        }
    }
}
