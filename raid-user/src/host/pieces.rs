//! A range of the array, cut into pieces of rows, in the order in which they are best asked for.
//!
//! Addresses go along a chunk to its end before they come to the next column. To cut a long write in that order is to send the
//! engine one column of a stripe after the other, and each row as often as it has columns, with reads each time. Row by row, what is
//! sent at a time has all columns of its rows, and reads nothing.

use raid_core::rows::{ROW_SECTORS, RowKind, Rows, TALL_ROWS};
use raid_core::{Sector, Sectors, StripeNo};

/// The pieces that are left.
#[derive(Clone)]
pub(super) struct Pieces<'a> {
    rows: &'a Rows,
    from: Sector,
    end: Sector,
    across: Option<Across>,
}

/// A place in a stripe, for ranges that have more than one column of a row.
#[derive(Clone, Copy)]
struct Across {
    chunk: u64,
    columns: u64,
    /// Where the stripe begins.
    at: u64,
    row: u64,
    column: u64,
}

impl Across {
    /// Behind a stripe's last row comes the next stripe.
    fn wrap(&mut self) {
        if self.row * ROW_SECTORS >= self.chunk {
            (self.at, self.row) = (self.at + self.chunk * self.columns, 0);
        }
    }
}

impl<'a> Pieces<'a> {
    /// All of the range.
    pub(super) fn new(rows: &'a Rows, from: Sector, len: Sectors) -> Self {
        let (geometry, end) = (rows.geometry(), Sector(from.0.saturating_add(len.0)));
        let stripe = geometry.stripe(StripeNo(0)).filter(|_| rows.kind() == RowKind::Parity && len > geometry.chunk());
        let across = stripe.map(|stripe| {
            let (chunk, columns) = (geometry.chunk().0, u64::from(stripe.data_count()));
            Across { chunk, columns, at: from.0 - from.0 % (chunk * columns), row: 0, column: 0 }
        });
        Self { rows, from, end, across }
    }

    /// True if nothing is left.
    pub(super) fn is_over(&self) -> bool {
        self.clone().next().is_none()
    }

    /// Several whole rows that come next, if there are such: their first sector, and so many sectors of each column.
    pub(super) fn tall(&self) -> Option<(Sector, Sectors)> {
        let Some(Across { chunk, columns, at, row, column }) = self.across else {
            let piece = self.rows.tallest(self.from, Sectors(self.end.0.checked_sub(self.from.0)?))?;
            return Some((self.from, Sectors(piece.band.len.into())));
        };
        let at = at + row * ROW_SECTORS;
        let left = self.end.0.checked_sub(at + (columns - 1) * chunk)?.min(chunk - row * ROW_SECTORS);
        let len = (left - left % ROW_SECTORS).min(u64::from(TALL_ROWS) * ROW_SECTORS);
        (column == 0 && at >= self.from.0 && len > ROW_SECTORS).then_some((Sector(at), Sectors(len)))
    }

    /// Goes on behind them.
    pub(super) fn skip_tall(&mut self, len: Sectors) {
        match &mut self.across {
            Some(across) => {
                across.row += len.0 / ROW_SECTORS;
                across.wrap();
            }
            None => self.from = Sector(self.from.0 + len.0),
        }
    }

    /// The same rows one by one.
    pub(super) fn of_tall(&self, at: Sector, len: Sectors) -> impl Iterator<Item = (Sector, Sectors)> + use<> {
        let (columns, chunk) = self.across.map_or((1, 0), |across| (across.columns, across.chunk));
        let rows = (0..len.0 / ROW_SECTORS).flat_map(move |row| (0..columns).map(move |column| (row, column)));
        rows.map(move |(row, column)| (Sector(at.0 + column * chunk + row * ROW_SECTORS), Sectors(ROW_SECTORS)))
    }

    /// The columns of several rows, each as one range.
    pub(super) fn columns_of(&self, at: Sector) -> impl Iterator<Item = Sector> + use<> {
        let (columns, chunk) = self.across.map_or((1, 0), |across| (across.columns, across.chunk));
        (0..columns).map(move |column| Sector(at.0 + column * chunk))
    }

    /// How many of `most` pieces to send at a time, so that no row is cut in two.
    pub(super) fn at_a_time(&self, most: usize) -> usize {
        let columns = self.across.map_or(1, |across| usize::try_from(across.columns).unwrap_or(1));
        if most > columns { most - most % columns } else { most }
    }
}

impl Iterator for Pieces<'_> {
    type Item = (Sector, Sectors);

    fn next(&mut self) -> Option<Self::Item> {
        let Some(across) = &mut self.across else {
            let at = self.from;
            let left = Sectors(self.end.0.checked_sub(at.0)?);
            let (_, len) = self.rows.piece(at, left)?;
            self.from = Sector(at.0 + len.0);
            return Some((at, len));
        };
        while across.at < self.end.0 {
            let start = across.at + across.column * across.chunk + across.row * ROW_SECTORS;
            across.column += 1;
            if across.column == across.columns {
                (across.row, across.column) = (across.row + 1, 0);
                across.wrap();
            }
            let (from, to) = (start.max(self.from.0), (start + ROW_SECTORS).min(self.end.0));
            if from < to {
                return Some((Sector(from), Sectors(to - from)));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use raid_core::geometry::Geometry;
    use raid_core::{ArrayConfig, FarSets, Level, Raid5Layout, Raid6Layout, Raid10Layout, Sizes};

    use super::*;

    const ARRAY: u64 = 3 * 3 * 32;

    fn rows(level: Level, members: u16) -> Rows {
        let chunk = if level == Level::Raid1 { Sectors(0) } else { Sectors(32) };
        let config = ArrayConfig { level, members, chunk, sizes: Sizes::Same(Sectors(512)), array_size: None };
        Rows::new(Geometry::new(&config).unwrap()).unwrap()
    }

    #[test]
    fn every_sector_of_every_range_is_in_one_piece_that_lies_in_one_row() {
        let (raid5, raid6) = (Level::Raid5(Raid5Layout::RightAsymmetric), Level::Raid6(Raid6Layout::LeftSymmetric));
        let near = Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All };
        for rows in [(raid5, 4), (raid6, 5), (Level::Raid1, 2), (Level::Raid10(near), 3)]
            .map(|(level, members)| rows(level, members))
        {
            for from in 0..ARRAY {
                for end in (from + 1..=ARRAY).filter(|end| end % 7 < 2) {
                    let mut seen = vec![0; usize::try_from(ARRAY).unwrap()];
                    for (at, len) in Pieces::new(&rows, Sector(from), Sectors(end - from)) {
                        assert_eq!(rows.piece(at, len).unwrap().1, len, "{from}..{end}");
                        (at.0..at.0 + len.0).for_each(|sector| seen[usize::try_from(sector).unwrap()] += 1);
                    }
                    let wanted = |sector| u64::from((from..end).contains(&sector));
                    assert!((0..).zip(&seen).all(|(sector, seen)| *seen == wanted(sector)), "{from}..{end}");
                }
            }
        }
    }

    /// As a host sends them: several rows where there are, and what is left between.
    #[test]
    fn every_sector_of_every_range_is_sent_once_several_rows_at_a_time_or_one_by_one() {
        let near = Level::Raid10(Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All });
        for rows in [(Level::Raid5(Raid5Layout::RightAsymmetric), 4), (Level::Raid1, 2), (near, 3)]
            .map(|(level, members)| rows(level, members))
        {
            let mut talls = 0;
            for from in 0..ARRAY {
                for end in (from + 1..=ARRAY).filter(|end| end % 7 < 2) {
                    let mut seen = vec![0; usize::try_from(ARRAY).unwrap()];
                    let mut note = |(at, len): (Sector, Sectors)| {
                        assert_eq!(rows.piece(at, len).unwrap().1, len);
                        (at.0..at.0 + len.0).for_each(|sector| seen[usize::try_from(sector).unwrap()] += 1);
                    };
                    let mut pieces = Pieces::new(&rows, Sector(from), Sectors(end - from));
                    while !pieces.is_over() {
                        if let Some((at, len)) = pieces.tall() {
                            pieces.of_tall(at, len).for_each(&mut note);
                            let firsts = pieces.columns_of(at).count() as u64 * len.0 / ROW_SECTORS;
                            assert_eq!(pieces.of_tall(at, len).count() as u64, firsts);
                            pieces.skip_tall(len);
                            talls += 1;
                        } else {
                            note(pieces.next().unwrap());
                        }
                    }
                    let wanted = |sector| u64::from((from..end).contains(&sector));
                    assert!((0..).zip(&seen).all(|(sector, seen)| *seen == wanted(sector)), "{from}..{end}");
                }
            }
            assert!(talls > 1000, "{talls}");
        }
    }

    #[test]
    fn a_long_range_is_cut_row_by_row_and_sent_in_whole_rows() {
        let rows = rows(Level::Raid6(Raid6Layout::LeftSymmetric), 5);
        let pieces = Pieces::new(&rows, Sector(96), Sectors(192));
        assert_eq!(pieces.at_a_time(256), 255);
        assert_eq!(pieces.at_a_time(2), 2);
        let row = |at: Sector| rows.piece(at, Sectors(8)).unwrap().0.row;
        let found: Vec<_> = pieces.map(|(at, _)| row(at)).collect();
        assert!(found.chunks(3).all(|columns| columns[0] == columns[1] && columns[1] == columns[2]), "{found:?}");
        assert_eq!(found.len(), 24);
    }
}
