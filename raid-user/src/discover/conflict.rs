//! Media that carry more than one claim: an old BIOS RAID's record under a newer MD superblock, a label of LVM that an array was made
//! over, a superblock that lies at the end of a disk and of its last partition.
//!
//! One of them is taken, by evidence, and the others are told: whoever knows better names the format.

use std::fmt;

use raid_formats::assemble::same_array;
use raid_formats::lvm;
use raid_formats::md::superblock_at;
use raid_formats::record::{Format, Record};

use super::{Found, Meta};
use crate::media::{Media, Table};

use raid_core::{SECTOR_BYTES, Sectors};

/// Which formats count, where a medium carries records of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// This one.
    Exactly(Format),
    /// This one and those that share its rules, as the versions of MD do.
    Kin(Format),
}

impl Only {
    /// By the name that `scan` prints, or `md` for all versions of it; `None` if there is no such format.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "md" => Some(Self::Kin(Format::Md12)),
            "ddf" => Some(Self::Kin(Format::Ddf)),
            name => Format::ALL.into_iter().find(|format| format.name() == name).map(Self::Exactly),
        }
    }

    /// True if records of that format count.
    #[must_use]
    pub fn takes(self, format: Format) -> bool {
        match self {
            Self::Exactly(only) => only == format,
            Self::Kin(only) => only.is_kin(format),
        }
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(format) => f.write_str(format.name()),
            Self::Kin(format) => f.write_str(format.name().split(' ').next().unwrap_or_default()),
        }
    }
}

/// A claim on a medium that was not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The medium as it was given.
    pub member: String,
    /// What it was taken for.
    pub taken: String,
    /// What else stands there.
    pub other: String,
    /// Why that was not followed.
    pub why: &'static str,
    /// The other one's format, by which it can be asked for.
    pub format: &'static str,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { member, taken, other, why, format } = self;
        write!(f, "{member}: taken as a member of {taken}; it also carries {other}: {why}. --as '{format}' takes that")
    }
}

/// Two records of one medium that do not belong together: not the volumes of one container.
fn rivals(one: &Record, other: &Record) -> bool {
    !one.format.is_kin(other.format) || (Format::Md12.is_kin(one.format) && *one != *other)
}

/// Chooses for each medium that carries rivals whose member it is, and tells of those that it is not taken for.
///
/// The later update counts, where both tell it. Otherwise the order in which formats are looked for: arrays of MD are made on what BIOSes
/// left, by a program that does not know every place where those keep their records.
#[must_use]
pub fn settle(found: &mut [Found]) -> Vec<Conflict> {
    for member in found.iter_mut() {
        let newer = |record: &Record, than: &Record| than.updated_s != 0 && record.updated_s > than.updated_s;
        let mut best: Option<usize> = None;
        for (index, (_, record)) in member.others.iter().enumerate() {
            let than = best.map_or(&member.record, |best| &member.others[best].1);
            if rivals(record, &member.record) && newer(record, than) {
                best = Some(index);
            }
        }
        if let Some(index) = best {
            member.switch(index);
        }
    }
    found.iter().flat_map(|member| member.conflicts(found)).collect()
}

impl Found {
    /// Takes the medium by another of its records.
    fn switch(&mut self, index: usize) {
        let (meta, record) = &mut self.others[index];
        std::mem::swap(meta, &mut self.meta);
        std::mem::swap(record, &mut self.record);
    }

    fn conflicts(&self, among: &[Self]) -> Vec<Conflict> {
        let told = |record: &Record| {
            let carries = |found: &&Self| {
                same_array(&found.record, record) || found.others().any(|other| same_array(other, record))
            };
            let here = among.iter().filter(carries).count();
            let (name, array, members) = (record.format.name(), record.array, record.shape.members);
            format!("{name} array {array} ({here} of {members} members carry it)")
        };
        let conflict = |other: String, why, format: Format| Conflict {
            member: self.name.clone(),
            taken: told(&self.record),
            other,
            why,
            format: format.name(),
        };
        let records = self.others().filter(|other| rivals(other, &self.record)).map(|other| {
            let why = match (other.updated_s, self.record.updated_s) {
                (0, _) | (_, 0) => "nothing tells which of them is the newer one",
                (one, own) if one == own => "both were updated at the same time",
                _ => "it is the older one",
            };
            conflict(told(other), why, other.format)
        });
        let label = self.label.map(|id: lvm::Id| {
            let why =
                "the array's data start behind it, so it is what the medium was before, or what it was made into since";
            conflict(format!("the label of LVM's physical volume {id}"), why, Format::Lvm2)
        });
        records.chain(label).collect()
    }

    /// True if its superblock, being of MD 0.90, can be a partition's.
    pub(super) const fn may_be_a_partitions(&self) -> bool {
        matches!(self.record.format, Format::Md090Little | Format::Md090Big)
    }

    /// The partition whose end holds this disk's superblock, if it has one of MD 0.90: that has no word for where it lies, and stands at
    /// the same sector of the disk and of a last partition that ends with it. Of an array made of whole disks, a partition table inside
    /// ends before the superblock.
    pub(super) fn partition_around(&self, table: &Table) -> Option<u32> {
        let Meta::Md { version, .. } = &self.meta else { return None };
        if !self.may_be_a_partitions() {
            return None;
        }
        let medium = Sectors::from_bytes_floor(self.media.size_bytes());
        let at = superblock_at(*version, medium).ok()?;
        let around = table.partitions.iter().find(|part| {
            let inside = superblock_at(*version, Sectors::from_bytes_floor(part.len_bytes));
            inside.is_ok_and(|inside| part.start_bytes / SECTOR_BYTES + inside.0 == at.0)
        });
        around.map(|part| part.index)
    }
}
