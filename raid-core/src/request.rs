//! What a host asks for, and what it is told.
//!
//! A request that may touch redundancy lies inside one row: eight sectors of one chunk, aligned. [`Rows::piece`] cuts
//! longer ranges. A write may also be tall: of several whole rows that follow each other, up to [`TALL_ROWS`]: of one chunk where there are
//! copies ([`Kind::Write`]), of all columns of a stripe where there is parity ([`Kind::WriteRows`]). It is taken if nobody is at any
//! of its rows just now, and else is to be cut. What a request is about is its array sectors; the bytes stay with the host, under the
//! request's number.
//!
//! [`Rows::piece`]: crate::rows::Rows::piece
//! [`TALL_ROWS`]: crate::rows::TALL_ROWS

use core::fmt;

use crate::units::{Sector, Sectors};

/// The host's number of a request. It must be unique among those under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bring array sectors into the request's buffer.
    Read,
    /// Write the request's buffer.
    Write {
        /// Complete when the data are durable, not when they are readable.
        fua: bool,
    },
    /// Write whole rows of one stripe: `len` sectors of each of its data columns. `at` is the first sector of them in the first column, the
    /// others lie a chunk further on each. All of them are new, so nothing is read; the bytes stay in the request's buffer until it is
    /// done, and so does the parity that they make: the host has room for that beside them ([`Buf::Rows`](crate::action::Buf::Rows)).
    WriteRows {
        /// Complete when the data are durable, not when they are readable.
        fua: bool,
    },
    /// Make sectors read as zeros.
    WriteZeroes {
        /// Complete when that is durable.
        fua: bool,
        /// Members may free what they held there.
        free: bool,
    },
    /// The content of these sectors counts for nothing any more. They are made zeros that members may free, if the host says that
    /// they can ([`Host::discards`](crate::engine::Host::discards)); if not, nothing is done and all is well.
    Discard,
    /// Make durable whatever completed before this was submitted. Position and length count for nothing.
    Flush,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The host's number.
    pub id: RequestId,
    /// What to do.
    pub kind: Kind,
    /// First array sector.
    pub at: Sector,
    /// Length.
    pub len: Sectors,
}

/// Why a request was not taken. Nothing has happened, and nothing will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// All entries are taken: ask again when a request has completed.
    Busy,
    /// It reaches past the end, or is empty.
    PastTheEnd,
    /// It crosses a row: cut it with [`Rows::piece`](crate::rows::Rows::piece).
    CrossesRow,
    /// A tall write, and somebody is at one of its rows, or it crosses a region, or all slots are taken: submit it row by row.
    RowByRow,
}

impl Kind {
    /// True if array sectors change.
    #[must_use]
    pub const fn writes(self) -> bool {
        match self {
            Self::Write { .. } | Self::WriteRows { .. } | Self::WriteZeroes { .. } | Self::Discard => true,
            Self::Read | Self::Flush => false,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "all request entries are taken",
            Self::PastTheEnd => "the range is empty or reaches past the end of the array",
            Self::CrossesRow => "the range crosses a row",
            Self::RowByRow => "the rows of the range must be written one by one just now",
        })
    }
}

impl core::error::Error for Refused {}

/// How a request went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// More members cannot be read, or written, here than the level survives.
    Lost,
    /// It would take guessing: a member is missing, and parity may be older than the data (see `docs/region-log.md`).
    Doubted,
    /// The array failed: it takes no writes any more.
    Broken,
    /// A direct read met an error and could not be taken over at once: longer than a row, or no room. Submit it again, row by row.
    RowByRow,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "more members failed here than the array survives",
            Self::Doubted => "a member is missing and the parity here is in doubt",
            Self::Broken => "the array failed and takes no writes",
            Self::RowByRow => "a read failed and must be repeated row by row",
        })
    }
}

impl core::error::Error for Error {}
