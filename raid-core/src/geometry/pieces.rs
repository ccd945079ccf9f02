//! A range of the array, cut where it leaves a chunk.

use super::{Geometry, Place};
use crate::units::{Sector, Sectors};

/// A part of a range that lies in one run of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First array sector.
    pub at: Sector,
    /// Length.
    pub len: Sectors,
    /// Where it lives (its first copy).
    pub place: Place,
}

/// Iterator over the [`Piece`]s of a range, in order. Ends early at the end of the array.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    geometry: &'a Geometry,
    at: Sector,
    left: Sectors,
}

impl<'a> Pieces<'a> {
    pub(super) const fn new(geometry: &'a Geometry, at: Sector, len: Sectors) -> Self {
        Self { geometry, at, left: len }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.left.is_zero() {
            return None;
        }
        let place = self.geometry.map(self.at)?;
        let len = place.run.min(self.left);
        let piece = Piece { at: self.at, len, place };
        self.at = self.at.checked_add(len)?;
        self.left = Sectors(self.left.0.saturating_sub(len.0));
        Some(piece)
    }
}
