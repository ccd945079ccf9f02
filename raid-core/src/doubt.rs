//! Rows whose redundancy cannot be believed.
//!
//! A parity array that was not stopped cleanly may hold stripes whose parity is older than their data. While all members are there that
//! hurts nobody: reads take the data. With a member missing, what parity "recovers" for such a row may be neither the old
//! nor the new bytes. DESIGN's fifth ordering: such a row is not guessed.

use crate::units::{Extent, Sector, Sectors};

/// Which rows (in member sectors) are in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt<'a> {
    /// None: the array was stopped cleanly.
    Nothing,
    /// All from here on: there is no log, or it is stale.
    From(Sector),
    /// These runs, ascending and disjoint: what the region log calls dirty.
    Runs(&'a [Extent]),
}

impl Doubt<'_> {
    /// Whether the row at `at` is in doubt, and for how many of `len` sectors that answer holds (at least one if `len` is not zero).
    #[must_use]
    pub fn at(self, at: Sector, len: Sectors) -> (bool, Sectors) {
        let until = |edge: Sector| edge.checked_since(at).map_or(len, |run| Sectors(run.0.min(len.0)));
        match self {
            Self::Nothing => (false, len),
            Self::From(edge) if at < edge => (false, until(edge)),
            Self::From(_) => (true, len),
            Self::Runs(runs) => {
                // The first run that ends behind `at` is the only one that can cover it.
                let next = runs.partition_point(|run| run.end().is_some_and(|end| end <= at));
                match runs.get(next) {
                    None => (false, len),
                    Some(run) if at < run.at => (false, until(run.at)),
                    Some(run) => (true, run.end().map_or(len, until)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(at: u64, len: u64) -> Extent {
        Extent { at: Sector(at), len: Sectors(len) }
    }

    #[test]
    fn a_clean_array_has_no_doubt() {
        assert_eq!(Doubt::Nothing.at(Sector(5), Sectors(9)), (false, Sectors(9)));
    }

    #[test]
    fn below_the_resync_mark_parity_is_believed() {
        let doubt = Doubt::From(Sector(100));
        assert_eq!(doubt.at(Sector(90), Sectors(50)), (false, Sectors(10)));
        assert_eq!(doubt.at(Sector(100), Sectors(50)), (true, Sectors(50)));
    }

    #[test]
    fn every_sector_of_every_range_gets_the_answer_of_its_run() {
        let runs = [run(8, 8), run(24, 1), run(40, u64::MAX - 40)];
        let doubted = |at: u64| runs.iter().any(|run| run.at.0 <= at && run.end().is_none_or(|end| at < end.0));
        for at in 0..64 {
            for len in 1..64 {
                let (answer, run) = Doubt::Runs(&runs).at(Sector(at), Sectors(len));
                assert!(run.0 >= 1 && run.0 <= len, "{at}+{len}");
                assert!((at..at + run.0).all(|sector| doubted(sector) == answer), "{at}+{len}");
            }
        }
    }
}
