//! Partitions inside any medium. Which table counts, and a part of a medium as a medium of its own. Writes no table.
//!
//! An array made of whole disks may hold a table itself, and where its data starts at the first sector the members show
//! that table too. Whoever looks into partitions must look at the whole medium first.

mod gpt;
mod mbr;
mod part;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;

use super::{Media, Note, OpenError};

pub use part::Part;

/// A partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Bytes of a logical block, in which the table counts.
    pub block_bytes: u32,
    /// The partitions that hold data, by number. A container of logical partitions is not among them.
    pub partitions: Vec<Partition>,
    /// What had to be worked around to read it.
    pub notes: Vec<Note>,
}

/// An entry of a partition table. It may claim more than the medium has; [`Part::new`] checks that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, as Linux counts: from 1, logical partitions from 5.
    pub index: u32,
    /// Where it starts.
    pub start_bytes: u64,
    /// Its length.
    pub len_bytes: u64,
    /// What it is said to hold.
    pub kind: Kind,
    /// Its name; empty in an MBR.
    pub name: String,
}

/// What a partition is said to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The type byte of an MBR; 0xFD is a Linux RAID member.
    Mbr(u8),
    /// The type GUID of a GPT, as its bytes lie on disk.
    Gpt([u8; 16]),
}

impl fmt::Display for Kind {
    /// A GUID's first three fields are little-endian on disk and big-endian in print (UEFI 2.10, appendix A).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mbr(kind) => write!(f, "0x{kind:02x}"),
            Self::Gpt([a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, node @ ..]) => {
                write!(f, "{a3:02x}{a2:02x}{a1:02x}{a0:02x}-{b1:02x}{b0:02x}-{c1:02x}{c0:02x}-{d0:02x}{d1:02x}-")?;
                node.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// A table that is there and cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The medium's error.
    #[error("the partition table cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Both copies of a GPT are unusable.
    #[error("the partition table (GPT) is broken: primary {primary}, backup {backup}")]
    Gpt {
        /// What is wrong with the first copy.
        primary: String,
        /// What is wrong with the copy at the end.
        backup: String,
    },
}

/// Reads the partition table, if there is one.
///
/// An MBR with partitions of its own counts before any remains of a GPT, as in Linux. A GPT counts even if the MBR that
/// should announce it is gone. The block size is the medium's; where that is 512 it may be what nobody knew better (an
/// image file), so a GPT is looked for at 4096 too.
///
/// # Errors
/// [`TableError`].
pub fn partitions(media: &dyn Media) -> Result<Option<Table>, TableError> {
    let own = media.block_bytes();
    let mbr = mbr::read_primary(media)?;
    let announced = match &mbr {
        Some(entries) if entries.iter().any(mbr::Entry::announces_gpt) => true,
        Some(entries) if entries.iter().any(mbr::Entry::is_used) => {
            return Ok(Some(mbr::read(media, entries, own)?));
        }
        _ => false,
    };
    let sizes: &[u32] = if own == 512 { &[512, 4096] } else { &[own] };
    let mut failure = None;
    for &block_bytes in sizes {
        match gpt::read(media, block_bytes)? {
            gpt::Found::Table(table) => return Ok(Some(table)),
            gpt::Found::Broken { primary, backup } => failure = failure.or(Some((primary, backup))),
            gpt::Found::Nothing => {}
        }
    }
    match failure {
        Some((primary, backup)) => Err(TableError::Gpt { primary, backup }),
        None if announced => Err(TableError::Gpt { primary: "is missing".to_owned(), backup: "is missing".to_owned() }),
        None => Ok(None),
    }
}

/// Finds one partition by its number.
///
/// # Errors
/// [`OpenError::Partition`] if there is no table, or no such partition in it.
pub(super) fn find(media: &dyn Media, index: u32) -> Result<(Table, Partition), OpenError> {
    let refuse = |reason: String| OpenError::Partition { what: media.describe(), index, reason };
    let table = partitions(media).map_err(|error| refuse(error.to_string()))?;
    let table = table.ok_or_else(|| refuse("there is no partition table".to_owned()))?;
    let found = table.partitions.iter().find(|partition| partition.index == index).cloned();
    let found = found.ok_or_else(|| {
        let numbers: Vec<String> = table.partitions.iter().map(|partition| partition.index.to_string()).collect();
        refuse(match numbers.as_slice() {
            [] => "the partition table is empty".to_owned(),
            numbers => format!("the partition table has no such entry, only {}", numbers.join(", ")),
        })
    })?;
    Ok((table, found))
}
