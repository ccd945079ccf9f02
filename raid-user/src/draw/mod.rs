//! Drawings of stripe maps: rows of chunks across the members, for terminals and as SVG.
//!
//! [`StripeTable`] is what is drawn, made from the geometry alone; the two drawers know nothing of RAID.

mod svg;
mod table;
mod terminal;
#[cfg(test)]
mod tests;

pub use svg::svg;
pub use table::{Cell, Holds, MemberState, Row, StripeTable};
pub use terminal::terminal;
