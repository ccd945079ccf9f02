//! Check: does redundancy fit the data, and if not, which block is wrong?
//!
//! A pass ([`Checking`]) goes through the rows and has each compared. Redundancy that is one block more than what is needed shows
//! *that* something is wrong, two blocks more show *what*:
//!
//! | level | what a mismatch tells |
//! |---|---|
//! | RAID 6, whole | the column, from P and Q ([`parity::Ops::locate`](crate::parity::Ops::locate)) |
//! | mirrors, three copies and more | those in the minority |
//! | RAID 4, RAID 5, two copies, RAID 6 less a member | that one side is wrong, not which |
//! | parity less all it can spare, one copy | nothing: such rows are counted as [`Checked::Blind`] |
//!
//! A row that does not fit is judged sector by sector, and a sector names a block only if every byte of it that does not fit agrees. If
//! they name none that exists, or several, more than one block is wrong: nobody is named. What P and Q cannot see: two columns
//! that were changed by the same difference look like a wrong Q.
//!
//! Repair rewrites the named block and nothing else. Where nobody is named it rewrites what the order trusts least ([`Trust`]), or nothing.
//! It holds the row like any write, and sets no bit in the region log: a crash in the middle leaves the one block wrong that was
//! wrong before, still to be named. A bit would have resync make parity of the wrong data instead.
//!
//! Rows of a region in doubt are resync's: they are counted as [`Checked::InDoubt`], and neither judged nor written.

mod judge;
mod mend;
mod pass;

use core::ops::Range;

use crate::geometry::{Content, Part};
use crate::rows::{Band, ROW_SECTORS, RowKind, RowNo, Rows};
use crate::units::{Columns, Extent, Member, SECTOR_BYTES, Sector, Sectors};

pub use judge::{by_copies, by_parity};
pub(crate) use mend::{Made, mend, plan};
pub(crate) use pass::CheckStep;
pub use pass::{Checking, Event, State, Tally};

/// Rows to be checked, and what to do with what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The first row.
    pub from: RowNo,
    /// The row behind the last.
    pub to: RowNo,
    /// Rewrite what is wrong; `None` writes nothing.
    pub repair: Option<Trust>,
}

/// Whom a repair believes where the evidence names nobody. What the evidence names is repaired by the evidence, whoever is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Nobody: what is not named is told and left.
    Nobody,
    /// The data, if they can all be read: parity is made of them anew. Means nothing for copies.
    Data,
    /// This member's copy: the others become what it has. Means nothing for parity.
    Copy(Member),
    /// Everybody but this member: its block is made from the others. This is what it takes to trust parity, which alone does not say
    /// which data it contradicts. If the evidence says that others must be wrong too, nothing is written.
    AllBut(Member),
}

/// What is wrong with a sector of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The blocks of these members, by the evidence.
    Blocks(Columns),
    /// More than one block is wrong, and none can be named.
    Several,
    /// One side is wrong, and nothing says which.
    Unknown,
    /// These members did not give their blocks.
    Unreadable(Columns),
}

/// What the bytes of a band say: a host's answer to [`Work::Check`](crate::action::Work::Check) and
/// [`Work::Vote`](crate::action::Work::Vote), from [`by_parity`] or [`by_copies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// What is wrong; `None` if all fits.
    pub fault: Option<Fault>,
    /// The first byte that does not fit, from the band's start.
    pub from_bytes: u16,
    /// Behind the last one.
    pub to_bytes: u16,
    /// Positions between them that do not fit.
    pub bytes: u16,
}

impl Evidence {
    /// All fits.
    pub const FITS: Self = Self { fault: None, from_bytes: 0, to_bytes: 0, bytes: 0 };
}

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mended {
    /// Nobody asked for a repair.
    NotAsked,
    /// The block was rewritten with what the others make it.
    Yes,
    /// Neither the evidence nor the order's trust says what to write.
    Unjustified,
    /// A member did not take it.
    Failed,
}

/// Something that does not fit: a sector of a row, or a band that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// The row.
    pub row: RowNo,
    /// The part of it.
    pub band: Band,
    /// What is wrong.
    pub fault: Fault,
    /// The first byte that does not fit, from the band's start.
    pub from_bytes: u16,
    /// Behind the last one.
    pub to_bytes: u16,
    /// How many positions between them do not fit: all of them evidence for `fault`.
    pub bytes: u16,
    /// Whether it was repaired.
    pub mended: Mended,
}

impl Finding {
    /// The members whose blocks are wrong, or unreadable.
    #[must_use]
    pub const fn members(&self) -> Columns {
        match self.fault {
            Fault::Blocks(members) | Fault::Unreadable(members) => members,
            Fault::Several | Fault::Unknown => Columns::EMPTY,
        }
    }

    /// The bytes that do not fit, counted from the start of a member's data. `None` if the member has no part in the row.
    #[must_use]
    pub fn member_bytes(&self, rows: &Rows, member: Member) -> Option<Range<u64>> {
        let at = rows.at(self.row, self.band, member)?.bytes()?;
        Some(at.checked_add(self.from_bytes.into())?..at.checked_add(self.to_bytes.into())?)
    }

    /// The array's sectors that may be wrong: those of a data block that is named; if only parity is, none; all of the row's data if
    /// nobody is named.
    pub fn array<'a>(&self, rows: &'a Rows) -> impl Iterator<Item = Extent> + 'a {
        let skip = u64::from(self.from_bytes) / SECTOR_BYTES;
        let len = u64::from(self.to_bytes).div_ceil(SECTOR_BYTES).saturating_sub(skip);
        let (row, band, named) = (self.row, self.band, self.members());
        let skip = Sectors(u64::from(band.first).saturating_add(skip));
        let stripe = rows.stripe(row);
        let count = if rows.kind() == RowKind::Parity { rows.geometry().members() } else { 1 };
        Columns::first(count).iter().filter_map(move |member| {
            let start = Sector(row.0.checked_mul(ROW_SECTORS)?).checked_add(skip)?;
            let Some(stripe) = stripe else { return Some(Extent { at: start, len: Sectors(len) }) };
            let data = matches!(stripe.part(member), Some(Part::Data(_)));
            match rows.geometry().unmap(member, start)? {
                Content::Data(at) if data && (named.is_empty() || named.contains(member)) => {
                    Some(Extent { at, len: Sectors(len) })
                }
                _ => None,
            }
        })
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It was compared.
    Compared {
        /// Sectors that do not fit.
        wrong: u8,
    },
    /// Its region is in doubt: it is resync's.
    InDoubt,
    /// There is nothing to compare: all redundancy is missing, or is what replaces a missing member.
    Blind,
    /// More of it cannot be read than the level survives.
    Lost,
}

/// Why a pass was not begun. Nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// One is under way.
    Busy,
    /// The level keeps nothing twice.
    NoRedundancy,
    /// The rows are none, or not all of the array's.
    PastTheEnd,
}

impl core::fmt::Display for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Busy => "a check is under way",
            Self::NoRedundancy => "this level has no redundancy to be compared",
            Self::PastTheEnd => "the rows to be checked are none, or reach past the end",
        })
    }
}

impl core::error::Error for Refused {}
