//! An array in one shape, or caught between two.
//!
//! A reshape walks the array and rewrites it in its new shape; metadata say how far it came. Forwards, everything below
//! the position is in the new shape; backwards (shrinking, or moving data up), everything from the position on. Source:
//! `drivers/md/raid5.c`, `raid5_make_request` and `reshape_request`. A position inside a stripe of the new shape is
//! refused, as `raid5_run` does: the stripe would be new in part, and what its parity gives would be neither. The
//! members' data may start elsewhere in the new shape, which is the host's to add.

use core::fmt;

use crate::geometry::Geometry;
use crate::units::{Columns, Sector, Sectors, StripeNo};

/// Which of two shapes an array sector is in. An array that is not being reshaped is `Old` throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The shape the array comes from.
    Old,
    /// The shape it is going to.
    New,
}

/// The shape or shapes of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layouts {
    old: Geometry,
    change: Option<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    new: Geometry,
    position: Sector,
    backwards: bool,
}

/// Why there can be no reshape between two shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReshapeError {
    /// The position lies inside a stripe of the new shape.
    InsideStripe {
        /// The position stated.
        position: Sector,
        /// Data sectors by which it can move: a stripe of the new shape, in the larger chunk of both.
        step: Sectors,
    },
}

impl fmt::Display for ReshapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsideStripe { position, step } => {
                write!(
                    f,
                    "a reshape that stands at sector {position}, inside a stripe (of {step} sectors) of the new shape"
                )
            }
        }
    }
}

impl core::error::Error for ReshapeError {}

impl Layouts {
    /// An array at rest.
    #[must_use]
    pub const fn one(geometry: Geometry) -> Self {
        Self { old: geometry, change: None }
    }

    /// An array whose reshape from `old` to `new` stands at array sector `position`.
    ///
    /// # Errors
    /// [`ReshapeError`] if it cannot stand there.
    pub fn two(old: Geometry, new: Geometry, position: Sector, backwards: bool) -> Result<Self, ReshapeError> {
        let data = new.stripe(StripeNo(0)).map_or(0, |stripe| stripe.data_count());
        let step = old.chunk().max(new.chunk()).0.saturating_mul(data.into());
        // Without parity there is no step: nothing depends on a stripe being whole.
        if position.0.checked_rem(step).is_some_and(|rest| rest != 0) {
            return Err(ReshapeError::InsideStripe { position, step: Sectors(step) });
        }
        Ok(Self { old, change: Some(Change { new, position, backwards }) })
    }

    /// The geometry of one side; the old one if there is no other.
    #[must_use]
    pub fn geometry(&self, side: Side) -> &Geometry {
        match (side, &self.change) {
            (Side::New, Some(change)) => &change.new,
            (Side::New, None) | (Side::Old, _) => &self.old,
        }
    }

    /// True if a reshape is under way.
    #[must_use]
    pub const fn is_reshaping(&self) -> bool {
        self.change.is_some()
    }

    /// The shape that array sector `at` is in, and for how many sectors that goes on.
    #[must_use]
    pub fn at(&self, at: Sector) -> (Side, &Geometry, Sectors) {
        let Some(change) = &self.change else { return (Side::Old, &self.old, self.rest(at)) };
        let (low, high) = if change.backwards { (Side::Old, Side::New) } else { (Side::New, Side::Old) };
        match change.position.checked_since(at) {
            Some(below) if !below.is_zero() => (low, self.geometry(low), below.min(self.rest(at))),
            _ => (high, self.geometry(high), self.rest(at)),
        }
    }

    fn rest(&self, at: Sector) -> Sectors {
        Sector(self.array_size().0).checked_since(at).unwrap_or(Sectors::ZERO)
    }

    /// Sectors that can be read now: the smaller of both shapes, since the array grows only when the reshape is done and
    /// is shrunk before it begins.
    #[must_use]
    pub fn array_size(&self) -> Sectors {
        match &self.change {
            Some(change) => self.old.array_size().min(change.new.array_size()),
            None => self.old.array_size(),
        }
    }

    /// Slots of the wider shape.
    #[must_use]
    pub fn members(&self) -> u16 {
        self.change.as_ref().map_or(0, |change| change.new.members()).max(self.old.members())
    }

    /// True if every sector can be had without the members in `missing`, on whichever side it is.
    #[must_use]
    pub fn survives(&self, missing: Columns) -> bool {
        let Some(change) = &self.change else { return self.old.survives(missing) };
        let (below, above) = (change.position.0 > 0, change.position.0 < self.array_size().0);
        let (old, new) = if change.backwards { (below, above) } else { (above, below) };
        (!old || self.old.survives(missing)) && (!new || change.new.survives(missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ArrayConfig, Level, Raid5Layout, Sizes};
    use crate::units::Member;

    fn five(members: u16) -> Geometry {
        Geometry::new(&ArrayConfig {
            level: Level::Raid5(Raid5Layout::LeftSymmetric),
            members,
            chunk: Sectors(8),
            sizes: Sizes::Same(Sectors(80)),
            array_size: None,
        })
        .unwrap()
    }

    #[test]
    fn a_growing_array_is_new_below_the_position_and_keeps_its_old_size() {
        let layouts = Layouts::two(five(3), five(4), Sector(48), false).unwrap();
        assert_eq!(layouts.array_size(), Sectors(160));
        let (side, geometry, run) = layouts.at(Sector(47));
        assert_eq!((side, geometry.members(), run), (Side::New, 4, Sectors(1)));
        let (side, geometry, run) = layouts.at(Sector(48));
        assert_eq!((side, geometry.members(), run), (Side::Old, 3, Sectors(112)));
    }

    #[test]
    fn a_shrinking_array_is_new_from_the_position_on() {
        let layouts = Layouts::two(five(4), five(3), Sector(48), true).unwrap();
        assert_eq!(layouts.at(Sector(47)).0, Side::Old);
        assert_eq!(layouts.at(Sector(48)).0, Side::New);
        assert_eq!(layouts.array_size(), Sectors(160));
        assert_eq!(layouts.members(), 4);
    }

    #[test]
    fn a_member_that_only_the_unreached_side_has_is_not_needed() {
        let two_lost: Columns = [Member(2), Member(3)].into_iter().collect();
        assert!(Layouts::two(five(3), five(4), Sector(0), false).unwrap().survives(two_lost));
        assert!(!Layouts::two(five(3), five(4), Sector(48), false).unwrap().survives(two_lost));
        assert!(Layouts::two(five(3), five(4), Sector(48), false).unwrap().survives(Columns::one(Member(3))));
    }

    #[test]
    fn a_position_inside_a_stripe_of_the_new_shape_is_refused() {
        let error = Layouts::two(five(3), five(4), Sector(50), false);
        assert_eq!(error, Err(ReshapeError::InsideStripe { position: Sector(50), step: Sectors(24) }));
        assert!(Layouts::two(five(4), five(3), Sector(24), true).is_err());
    }
}
