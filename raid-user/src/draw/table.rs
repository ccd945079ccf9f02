//! What is drawn: which member holds what, row by row.

use raid_core::geometry::Content;
use raid_core::reshape::{Layouts, Side};
use raid_core::{Columns, Member, Sector, Sectors};

/// Rows of this many sectors are drawn where the level has no chunk.
const ROW_WITHOUT_CHUNK: Sectors = Sectors(128);

/// How a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// There.
    Current,
    /// Not there, or not used.
    Missing,
    /// Trusted in part.
    Rebuilding,
}

/// What a chunk of a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// This chunk of the array.
    Data(u64),
    /// P of its row.
    P,
    /// Q of its row.
    Q,
    /// What a reshape has moved: the other shape holds it now.
    Moved,
    /// Nothing of the array.
    Unused,
}

/// A chunk of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What it holds.
    pub holds: Holds,
    /// It holds the sector that was asked for.
    pub asked: bool,
}

/// A row of chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// First sector, on every member's data.
    pub at: Sector,
    /// A cell for each member.
    pub cells: Vec<Cell>,
    /// The set of members that reach this far is another than in the row before: a zone starts.
    pub new_zone: bool,
}

/// A part of a stripe map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripeTable {
    /// Name and state of each member.
    pub members: Vec<(String, MemberState)>,
    /// Sectors of a chunk.
    pub chunk: Sectors,
    /// The rows.
    pub rows: Vec<Row>,
}

impl StripeTable {
    /// `count` rows of one side of an array, from row `first` on; fewer if the members end before.
    #[must_use]
    pub fn new(
        layouts: &Layouts,
        side: Side,
        first: u64,
        count: usize,
        members: Vec<(String, MemberState)>,
        asked: Option<Sector>,
    ) -> Self {
        let geometry = layouts.geometry(side);
        let chunk = if geometry.chunk().is_zero() { ROW_WITHOUT_CHUNK } else { geometry.chunk() };
        let mut rows = Vec::new();
        let mut before: Option<Columns> = None;
        for number in (first..).take(count) {
            let Some(at) = number.checked_mul(chunk.0).map(Sector) else { break };
            let reach: Columns =
                Columns::first(geometry.members()).iter().filter(|m| geometry.member_size(*m).0 > at.0).collect();
            if reach.is_empty() {
                break;
            }
            let members = Columns::first(geometry.members());
            let mut cells: Vec<Cell> =
                members.iter().map(|member| cell(layouts, side, member, at, chunk, asked)).collect();
            move_parity(&mut cells);
            rows.push(Row { at, cells, new_zone: before.is_some_and(|before| before != reach) });
            before = Some(reach);
        }
        let members = members.into_iter().take(usize::from(geometry.members())).collect();
        Self { members, chunk, rows }
    }

    /// True if a chunk that is drawn holds this.
    pub(super) fn holds(&self, what: impl Fn(Holds) -> bool) -> bool {
        self.rows.iter().flat_map(|row| &row.cells).any(|cell| what(cell.holds))
    }

    /// True if a chunk that is drawn holds the sector that was asked for.
    pub(super) fn has_asked(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.cells).any(|cell| cell.asked)
    }
}

/// Parity of chunks that all have moved is parity of nothing.
fn move_parity(cells: &mut [Cell]) {
    let holds = |cells: &[Cell], what: fn(&Holds) -> bool| cells.iter().any(|cell| what(&cell.holds));
    let moved = holds(cells, |holds| *holds == Holds::Moved) && !holds(cells, |holds| matches!(holds, Holds::Data(_)));
    for cell in cells.iter_mut().filter(|cell| moved && matches!(cell.holds, Holds::P | Holds::Q)) {
        cell.holds = Holds::Moved;
    }
}

fn cell(layouts: &Layouts, side: Side, member: Member, at: Sector, chunk: Sectors, asked: Option<Sector>) -> Cell {
    let geometry = layouts.geometry(side);
    let holds = match geometry.unmap(member, at) {
        Some(Content::Data(sector)) if layouts.is_reshaping() && layouts.at(sector).0 != side => Holds::Moved,
        Some(Content::Data(sector)) => Holds::Data(sector.0 / chunk.0),
        Some(Content::P(_)) => Holds::P,
        Some(Content::Q(_)) => Holds::Q,
        Some(Content::Unused) | None => Holds::Unused,
    };
    let here = |sector: Sector| {
        geometry.copies(sector).any(|place| place.member == member && (at.0..at.0 + chunk.0).contains(&place.at.0))
    };
    Cell { holds, asked: asked.is_some_and(here) }
}
