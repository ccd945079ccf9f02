//! What has to be so for an array to be run, and how it starts then: said once for every host.

use core::fmt;

use raid_core::health::Event;
use raid_core::region::Found;
use raid_core::{Sector, Sectors};

use crate::assemble;
use crate::md::Superblock;
use crate::record::{Format, Notes, Record, Sync, WriteLog};

/// Why an array that can be read is not run: a write would make something stale that is not kept up to date yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// It is not MD's.
    Format(Format),
    /// It is in the middle of a reshape.
    Reshape,
    /// It has a journal.
    Journal,
    /// It has a partial parity log.
    Ppl,
    /// It has a bitmap, in a format whose bitmaps are not kept.
    Bitmap,
    /// A log of a kind that is not known.
    UnknownLog,
    /// A member has runs that are listed as bad.
    BadBlocks,
    /// Which copy of a mirror a member is nobody knows: it can be read as either, but who failed must not be written down of the wrong one.
    EitherCopy,
}

impl Hindrance {
    /// What hinders, by the freshest member's record.
    #[must_use]
    pub fn of(lead: &Record) -> Option<Self> {
        if !lead.format.is_kin(Format::Md12) {
            return Some(Self::Format(lead.format));
        }
        lead.reshape.is_some().then_some(Self::Reshape)
    }

    /// True if a host that replays no log, and knows one shape of an array only, cannot even read it.
    #[must_use]
    pub const fn hinders_readers(self) -> bool {
        matches!(self, Self::Reshape | Self::Journal | Self::Ppl)
    }

    /// What hinders in a format whose log is one flag, by the freshest member's record.
    #[must_use]
    pub const fn of_flag(lead: &Record) -> Option<Self> {
        match lead.log {
            _ if lead.reshape.is_some() => Some(Self::Reshape),
            WriteLog::Bitmap(_) => Some(Self::Bitmap),
            WriteLog::Journal { .. } => Some(Self::Journal),
            WriteLog::None | WriteLog::Ppl { .. } => None,
        }
    }

    /// What hinders of a current member in such a format; `listed` if runs of it are listed as bad elsewhere than in its record.
    #[must_use]
    pub const fn of_member(record: &Record, listed: bool) -> Option<Self> {
        if record.notes.contains(Notes::UNKNOWN_WRITE_LOG) {
            return Some(Self::UnknownLog);
        }
        if listed || record.bad_blocks.is_some() { Some(Self::BadBlocks) } else { None }
    }

    /// What hinders a host that keeps no log but a bitmap.
    #[must_use]
    pub fn of_log(lead: &Record) -> Option<Self> {
        match lead.log {
            WriteLog::Journal { .. } => Some(Self::Journal),
            WriteLog::Ppl { .. } => Some(Self::Ppl),
            WriteLog::None | WriteLog::Bitmap(_) => None,
        }
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(format) => write!(f, "writing to {} arrays", format.name()),
            Self::Reshape => f.write_str("writing in the middle of a reshape"),
            Self::Journal => f.write_str("an array with a journal, which would go stale"),
            Self::Ppl => f.write_str("an array with a partial parity log, which would go stale"),
            Self::Bitmap => f.write_str("a volume with a bitmap, which would go stale"),
            Self::UnknownLog => f.write_str("writes are logged in a form that is not known"),
            Self::BadBlocks => f.write_str("a list of bad blocks with entries"),
            Self::EitherCopy => f.write_str("nothing tells which copy of the mirror it is"),
        }
    }
}

/// How a member takes its slot that holds what it should up to `mark`, or all: by the bitmap, if its superblock says so.
#[must_use]
pub fn admission(superblock: Option<&Superblock<'_>>, mark: Option<Sectors>) -> Event {
    match mark {
        Some(mark) if superblock.is_some_and(Superblock::recovers_by_bitmap) => Event::CatchUp { mark: Sector(mark.0) },
        _ => assemble::admission(mark),
    }
}

/// What is known of an array's redundancy when it is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// It was not stopped in order, and has redundancy.
    pub dirty: bool,
    /// Somebody is missing or being filled.
    pub degraded: bool,
    /// It has parity.
    pub parity: bool,
    /// Its bits say where.
    pub bitmap: bool,
}

impl Doubt {
    /// By the freshest member's record.
    #[must_use]
    pub fn new(sync: Sync, plain: bool, degraded: bool, parity: bool, bitmap: bool) -> Self {
        Self { dirty: sync != Sync::Clean && !plain, degraded, parity, bitmap }
    }

    /// True if what a missing member held where parity is in doubt would have to be guessed.
    #[must_use]
    pub const fn guesses(&self) -> bool {
        self.degraded && self.parity
    }

    /// True if it is not to be started with so many marked regions.
    #[must_use]
    pub const fn is_refused(&self, marked: u64) -> bool {
        self.dirty && self.guesses() && marked > 0
    }

    /// What a region is that is marked, or not. Of a degraded array's parity nothing can be made anew: it was believed, or it is
    /// refused.
    #[must_use]
    pub const fn found(&self, marked: bool) -> Found {
        match (marked, self.dirty && !self.guesses(), self.degraded && self.bitmap) {
            (false, ..) | (true, false, false) => Found::Clean,
            (true, true, _) => Found::InDoubt,
            (true, false, true) => Found::Marked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dirty_degraded_array_with_parity_is_refused_where_bits_are_set_and_copies_are_made_alike() {
        let doubt = |parity, degraded, dirty| Doubt { dirty, degraded, parity, bitmap: true };
        assert!(doubt(true, true, true).is_refused(1) && !doubt(true, true, true).is_refused(0));
        assert!(!doubt(true, true, false).is_refused(1) && !doubt(false, true, true).is_refused(1));
        assert_eq!(doubt(true, true, true).found(true), Found::Marked);
        assert_eq!(doubt(false, true, true).found(true), Found::InDoubt);
        assert_eq!(doubt(true, false, true).found(true), Found::InDoubt);
        assert_eq!(doubt(true, false, false).found(true), Found::Clean);
        assert_eq!(doubt(true, true, false).found(true), Found::Marked);
        assert_eq!(doubt(false, true, true).found(false), Found::Clean);
    }

    #[test]
    fn without_bits_nothing_is_known_of_what_a_missing_member_lacks() {
        let flag = Doubt { dirty: false, degraded: true, parity: false, bitmap: false };
        assert_eq!(flag.found(true), Found::Clean);
    }
}
