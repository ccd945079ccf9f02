//! One time around for somebody: which rows the pass has still to see for him.
//!
//! The pass goes up, and from the end back to the start. Whoever joins in the middle is served from there to the end, and then from
//! his mark to where he joined. What is covered without a gap from the start on is what a mark can say:
//!
//! ```text
//!    0        low          from            cursor          high       rows
//!    |#########|............|################|...............|##########|
//!     covered    after the    on this way      still ahead     covered
//!                next turn
//! ```

/// The rows in `low..high` are to be seen, but for `from..cursor`, which were on this way. When `from` is not behind `low` there is
/// no gap, and `low` can follow the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lap {
    low: u64,
    high: u64,
    from: u64,
}

impl Lap {
    /// All rows from `low` on, for somebody who joins when the pass is about to begin with `cursor`.
    pub(super) fn new(low: u64, rows: u64, cursor: u64) -> Self {
        Self { low, high: rows, from: cursor.max(low) }
    }

    /// The first row that it has not got, whatever comes behind.
    pub(super) const fn low(&self) -> u64 {
        self.low
    }

    /// True if it has all.
    pub(super) const fn is_through(&self) -> bool {
        self.low >= self.high
    }

    /// The next row that it wants, at the cursor or ahead of it; `None` if it wants those behind, or nothing.
    pub(super) fn next(&self, cursor: u64) -> Option<u64> {
        Some(cursor.max(self.low)).filter(|row| *row < self.high)
    }

    /// True if it may have asked for any of these rows on this way.
    pub(super) const fn had(&self, first: u64, last: u64) -> bool {
        self.from <= last && first < self.high
    }

    /// By how much a mark would move.
    pub(super) const fn gain(&self, cursor: u64) -> u64 {
        if self.from <= self.low { cursor.saturating_sub(self.low) } else { 0 }
    }

    /// All rows before the cursor are done.
    pub(super) fn reach(&mut self, cursor: u64) {
        self.low = self.low.saturating_add(self.gain(cursor));
    }

    /// The pass begins at the start again.
    pub(super) fn turn(&mut self) {
        if self.from > self.low {
            self.high = self.high.min(self.from);
        }
        self.from = self.low;
    }

    /// Rows that are still to be seen.
    pub(super) fn left(&self, cursor: u64) -> u64 {
        let seen = cursor.min(self.high).saturating_sub(self.from.max(self.low));
        self.high.saturating_sub(self.low).saturating_sub(seen)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;

    use super::*;

    /// Walks a pass for one lap, and notes what it sees: rows of a window at a time, a turn at the end.
    fn walk(mut lap: Lap, rows: u64, mut cursor: u64, window: u64) -> BTreeSet<u64> {
        let mut seen = BTreeSet::new();
        for _ in 0..4 * rows {
            if lap.is_through() {
                break;
            }
            let Some(row) = lap.next(cursor) else {
                lap.reach(cursor);
                lap.turn();
                cursor = 0;
                continue;
            };
            for row in row..(row + window).min(rows) {
                seen.insert(row);
                cursor = row + 1;
            }
            let before = (0..rows).filter(|row| !seen.contains(row)).count() as u64;
            assert!(lap.left(cursor) <= before, "{lap:?}");
            lap.reach(cursor);
        }
        assert!(lap.is_through(), "{lap:?}");
        seen
    }

    #[test]
    fn whoever_joins_anywhere_sees_every_row_from_his_mark_on_once_around() {
        for (rows, window) in [(1, 1), (7, 1), (7, 3), (12, 5)] {
            for (low, cursor) in (0..=rows).flat_map(|low| (0..=rows).map(move |cursor| (low, cursor))) {
                let seen = walk(Lap::new(low, rows, cursor), rows, cursor, window);
                let wanted = (low..rows).filter(|row| !seen.contains(row)).count();
                assert_eq!(wanted, 0, "{low} {cursor} {rows}: {seen:?}");
            }
        }
    }

    #[test]
    fn a_mark_follows_only_where_there_is_no_gap() {
        let mut lap = Lap::new(2, 10, 6);
        lap.reach(9);
        assert_eq!((lap.low(), lap.gain(9), lap.left(9)), (2, 0, 5));
        lap.turn();
        assert_eq!((lap.next(0), lap.left(0)), (Some(2), 4));
        lap.reach(5);
        assert_eq!((lap.low(), lap.is_through()), (5, false));
        lap.reach(6);
        assert!(lap.is_through());
    }
}
