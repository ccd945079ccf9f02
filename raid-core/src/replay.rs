//! What a partial parity log makes of parity after a crash: which is made anew, of what, and what stays in doubt.
//!
//! Before a write changes a stripe, the member that holds the stripe's P logs the partial parity: the exclusive or of the data that the
//! write does not touch. After a crash P is that, together with what the written columns hold now, old or new. So each written sector
//! comes out old or new, and no other is harmed. Source: `drivers/md/raid5-ppl.c`, `ppl_recover_entry`.
//!
//! With a written member missing, P cannot be made. If it was the only one written, P is its old or its new content on the log's own
//! terms, and stays. If others were written too, P and they may be of different times: what P would give for the missing member is in
//! doubt. Linux keeps silent about those.

use core::fmt;

use crate::geometry::{Geometry, Place};
use crate::plan::{Readable, Trust};
use crate::reshape::Side;
use crate::units::{Columns, Member, Sector, Sectors};

/// A write whose partial parity was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// First array sector written.
    pub at: Sector,
    /// Sectors written, of all columns together.
    pub len: Sectors,
    /// Sectors of partial parity; zero if all columns were written.
    pub partial: Sectors,
    /// The member that holds P.
    pub parity: Member,
}

/// What to do with a run of P.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redo {
    /// First sector, on every member of the stripe alike.
    pub at: Sector,
    /// Sectors that this is good for: at least one.
    pub len: Sectors,
    /// What to do there.
    pub how: How,
}

/// How P gets right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Write the exclusive or of what these members hold there and of the partial parity, from its sector `partial` on.
    Make {
        /// Members that were written.
        written: Columns,
        /// First sector of the logged partial parity; `None` where all columns were written.
        partial: Option<Sectors>,
    },
    /// It is right as it is, or as right as can be: no column was written, or only one that is not here.
    Keep,
    /// A written member cannot be read, and others were written too: what P gives for it is not to be guessed.
    Doubted,
}

/// An entry that this array cannot have logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign;

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a log's entry is of no write that this array can have had")
    }
}

impl core::error::Error for Foreign {}

/// Columns and rows of a logged write.
struct Shape {
    /// Data columns that it may have touched.
    columns: u64,
    /// Rows, in sectors.
    rows: u64,
    /// The first array sector that it did not touch.
    end: u64,
}

impl Logged {
    fn shape(&self, geometry: &Geometry) -> Option<Shape> {
        let chunk = geometry.chunk().0;
        let data = u64::from(geometry.stripe(crate::units::StripeNo(0))?.data_count());
        let (columns, rows) = match self.partial.0 {
            0 => (data, self.len.0.checked_div(data)?),
            partial if partial < chunk => (self.len.0.checked_div(partial)?, partial),
            _ => (data, chunk),
        };
        let len = match self.partial.0 < chunk {
            true => columns.checked_sub(1)?.checked_mul(chunk)?.checked_add(rows)?,
            false => self.len.0,
        };
        let end = self.at.0.checked_add(len)?;
        ((1..=data).contains(&columns) && (1..=chunk).contains(&rows)).then_some(Shape { columns, rows, end })
    }

    /// What the write did `row` sectors from its start: the place of its first column, the members written, and how many rows go on so.
    fn written(&self, geometry: &Geometry, shape: &Shape, row: u64) -> Option<(Option<Place>, Columns, Sectors)> {
        let mut run = shape.rows.checked_sub(row)?;
        let (mut first, mut members): (Option<Place>, _) = (None, Columns::EMPTY);
        for column in 0..shape.columns {
            let at = self.at.0.checked_add(row)?.checked_add(column.checked_mul(geometry.chunk().0)?)?;
            if at >= shape.end {
                continue;
            }
            let place = geometry.map(Sector(at))?;
            let same = first.is_none_or(|first| first.stripe == place.stripe && first.at == place.at);
            if !same {
                return None;
            }
            first = first.or(Some(place));
            members.insert(place.member);
            run = run.min(place.run.0).min(shape.end.checked_sub(at)?);
        }
        Some((first, members, Sectors(run)))
    }
}

/// What to do with P of `logged`, `row` sectors from the first that its partial parity covers; `None` past its end. A host asks until
/// then, each time past the run of the last answer.
///
/// # Errors
/// [`Foreign`].
pub fn redo<T: Trust>(geometry: &Geometry, trust: &T, logged: &Logged, row: Sectors) -> Result<Option<Redo>, Foreign> {
    let shape = logged.shape(geometry).ok_or(Foreign)?;
    if row.0 >= shape.rows {
        return Ok(None);
    }
    let (first, written, mut len) = logged.written(geometry, &shape, row.0).ok_or(Foreign)?;
    // Other writers than Linux may log a whole chunk of partial parity for less data: those rows have nothing written.
    let Some(first) = first else { return Ok(Some(Redo { at: Sector(0), len, how: How::Keep })) };
    let p = geometry.stripe(first.stripe).map(|stripe| stripe.p());
    if p != Some(logged.parity) {
        return Err(Foreign);
    }
    let mut unreadable = Columns::EMPTY;
    for member in written.iter() {
        let (readable, run) = trust.readable(Side::Old, member, first.at, len);
        len = len.min(run);
        if readable == Readable::No {
            unreadable.insert(member);
        }
    }
    let partial = (!logged.partial.is_zero()).then_some(row);
    let how = match (unreadable.is_empty(), unreadable == written && written.len() == 1) {
        (true, _) => How::Make { written, partial },
        (false, true) => How::Keep,
        (false, false) => How::Doubted,
    };
    Ok(Some(Redo { at: first.at, len, how }))
}
