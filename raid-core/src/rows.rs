//! Rows: the slices of an array that exclude each other, eight sectors high.
//!
//! With parity, a row is the same eight sectors on all members of a stripe: data, P, Q. With copies, it is eight sectors
//! of the array and every place where they live. Linear and RAID 0 have none, since nothing there depends on anything else.
//! A *band* is the part of a row that a request is about; what is computed is computed for the band alone.

use crate::config::{FarSets, Level};
use crate::geometry::{Geometry, StripeMap};
use crate::health::Health;
use crate::plan::{Readable, Trust};
use crate::reshape::Side;
use crate::units::{Columns, Member, Sector, Sectors, StripeNo};

/// Height of a row in sectors. Chunks of the levels that have rows are multiples of it.
pub const ROW_SECTORS: u64 = 8;

/// The same, for buffers that are indexed by sector.
pub const ROW_LEN: usize = 8;

/// Rows of the tallest write.
pub const TALL_ROWS: u8 = 16;

static_assertions::const_assert!(TALL_ROWS as u64 * ROW_SECTORS <= u8::MAX as u64);
static_assertions::const_assert!(ROW_LEN as u64 == ROW_SECTORS);

/// Number of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowNo(pub u64);

/// A part of a row: the same sectors of each of its columns. Of a tall write, all of several rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Band {
    /// First sector, from the row's start.
    pub first: u8,
    /// Sectors.
    pub len: u8,
}

impl Band {
    /// Rows that it reaches into.
    #[must_use]
    pub const fn rows(self) -> u64 {
        (self.first as u64).saturating_add(self.len as u64).div_ceil(ROW_SECTORS)
    }
}

/// Where a range of array sectors lies among rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// The row.
    pub row: RowNo,
    /// The part of it.
    pub band: Band,
    /// The data column: its member with parity, the first number with copies.
    pub column: Member,
}

/// What keeps a row's data when a member is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// Nothing.
    Plain,
    /// P, or P and Q.
    Parity,
    /// Copies.
    Copies,
}

/// The rows of an array.
#[derive(Clone, Debug)]
pub struct Rows {
    geometry: Geometry,
    kind: RowKind,
}

/// What can be done with the members of a band.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// All that hold anything of it.
    pub members: Columns,
    /// Those that may be read.
    pub readable: Columns,
    /// Those of them that are read first.
    pub preferred: Columns,
    /// Those that take writes: in sync, or being rebuilt.
    pub writable: Columns,
    /// Those that failed a read just now: they are rewritten once their content is known.
    pub bad: Columns,
    /// Redundancy may be older than the data here.
    pub doubt: bool,
    /// Those with a copy in the making, which takes what is written to them.
    pub copied: Columns,
    /// Those of them whose copy lacks something here.
    pub wanting: Columns,
    /// Copies are read in the order of their members' numbers, from this one on and round.
    pub from: Member,
}

impl Sight {
    /// The members whose content goes to their copies when the band is healed. Where redundancy is in doubt a crash may have left a
    /// copy with something else than its member, also below its mark.
    #[must_use]
    pub fn to_copy(&self) -> Columns {
        if self.doubt { self.copied } else { self.wanting }
    }

    /// The one of `members` that is read first.
    #[must_use]
    pub fn first(&self, members: Columns) -> Option<Member> {
        members.iter().find(|member| *member >= self.from).or_else(|| members.iter().next())
    }
}

impl Rows {
    /// The rows of `geometry`. `None` for RAID 10 in historic far sets, where two copies can share a member: such an
    /// array is read, but what it survives cannot be said.
    #[must_use]
    pub fn new(geometry: Geometry) -> Option<Self> {
        let kind = match geometry.level() {
            Level::Linear | Level::Raid0(_) => RowKind::Plain,
            Level::Raid4 | Level::Raid5(_) | Level::Raid6(_) => RowKind::Parity,
            Level::Raid1 => RowKind::Copies,
            Level::Raid10(layout) if layout.far > 1 && layout.sets == FarSets::ByCount => return None,
            Level::Raid10(_) => RowKind::Copies,
        };
        Some(Self { geometry, kind })
    }

    /// The array's shape.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What keeps data here.
    #[must_use]
    pub const fn kind(&self) -> RowKind {
        self.kind
    }

    /// Number of rows.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self.kind {
            RowKind::Plain => 0,
            RowKind::Parity => self.geometry.member_size(Member(0)).0 / ROW_SECTORS,
            RowKind::Copies => self.geometry.array_size().0.div_ceil(ROW_SECTORS),
        }
    }

    /// The piece at the start of a range, and how many of its sectors the piece takes. `None` past the end.
    #[must_use]
    pub fn piece(&self, at: Sector, len: Sectors) -> Option<(Piece, Sectors)> {
        let place = self.geometry.map(at)?;
        let (within, column) = match self.kind {
            RowKind::Parity => (place.at, place.member),
            RowKind::Plain | RowKind::Copies => (at, Member(0)),
        };
        let first = within.0 % ROW_SECTORS;
        let taken = len.0.min(ROW_SECTORS - first).min(place.run.0);
        let band = Band { first: u8::try_from(first).ok()?, len: u8::try_from(taken).ok()? };
        (taken > 0).then_some((Piece { row: RowNo(within.0 / ROW_SECTORS), band, column }, Sectors(taken)))
    }

    /// Several whole rows of copies inside one chunk, or of all columns of a stripe from the first one on. `None` if the range is not
    /// that, or taller than [`TALL_ROWS`].
    #[must_use]
    pub fn tall(&self, at: Sector, len: Sectors) -> Option<Piece> {
        let place = self.geometry.map(at)?;
        let (within, column) = match self.kind {
            RowKind::Parity => {
                let stripe = self.geometry.stripe(self.geometry.stripe_at(place.at))?;
                let others = u64::from(stripe.data_count().saturating_sub(1)).checked_mul(self.geometry.chunk().0)?;
                let end = at.checked_add(Sectors(others))?.checked_add(len)?;
                if end.0 > self.geometry.array_size().0 {
                    return None;
                }
                (place.at, stripe.data(0).filter(|first| *first == place.member)?)
            }
            RowKind::Copies => (at, Member(0)),
            RowKind::Plain => return None,
        };
        let whole = within.0.is_multiple_of(ROW_SECTORS) && len.0.is_multiple_of(ROW_SECTORS);
        let fits = whole && !len.is_zero() && len <= place.run && len.0 <= u64::from(TALL_ROWS) * ROW_SECTORS;
        let band = Band { first: 0, len: u8::try_from(len.0).ok()? };
        fits.then_some(Piece { row: RowNo(within.0 / ROW_SECTORS), band, column })
    }

    /// The tallest write at the start of a range, where there are copies. `None` if it is no taller than a row.
    #[must_use]
    pub fn tallest(&self, at: Sector, len: Sectors) -> Option<Piece> {
        let run = self.geometry.map(at).filter(|_| self.kind == RowKind::Copies)?.run;
        let len = len.min(run).min(Sectors(u64::from(TALL_ROWS) * ROW_SECTORS)).floor_to(Sectors(ROW_SECTORS));
        self.tall(at, len).filter(|piece| piece.band.rows() > 1)
    }

    /// All of a row; shorter than others at the end of a mirror whose size is no multiple of rows.
    #[must_use]
    pub fn whole(&self, row: RowNo) -> Band {
        let left = match self.kind {
            RowKind::Copies => self.geometry.array_size().0.saturating_sub(row.0.saturating_mul(ROW_SECTORS)),
            RowKind::Plain | RowKind::Parity => ROW_SECTORS,
        };
        Band { first: 0, len: u8::try_from(left.min(ROW_SECTORS)).unwrap_or(0) }
    }

    /// The stripe that a row belongs to; zero without parity.
    #[must_use]
    pub fn stripe_no(&self, row: RowNo) -> StripeNo {
        self.geometry.stripe_at(Sector(row.0.saturating_mul(ROW_SECTORS)))
    }

    /// The roles in a row's stripe; `None` without parity.
    #[must_use]
    pub fn stripe(&self, row: RowNo) -> Option<StripeMap> {
        self.geometry.stripe(self.stripe_no(row))
    }

    /// The members that hold anything of a row.
    #[must_use]
    pub fn members(&self, row: RowNo) -> Columns {
        match self.kind {
            RowKind::Parity => Columns::first(self.geometry.members()),
            RowKind::Plain | RowKind::Copies => {
                self.geometry.copies(Sector(row.0.saturating_mul(ROW_SECTORS))).map(|place| place.member).collect()
            }
        }
    }

    /// The member of a row's first copy: the others follow in the order of their numbers, from there on and round.
    fn first_copy(&self, row: RowNo) -> Member {
        let at = Sector(row.0.saturating_mul(ROW_SECTORS));
        let first = (self.kind == RowKind::Copies).then(|| self.geometry.copies(at).next()).flatten();
        first.map_or_else(Member::default, |place| place.member)
    }

    /// Where a band lies on a member.
    #[must_use]
    pub fn at(&self, row: RowNo, band: Band, member: Member) -> Option<Sector> {
        let at = Sector(row.0.checked_mul(ROW_SECTORS)?).checked_add(Sectors(band.first.into()))?;
        match self.kind {
            RowKind::Parity => Some(at),
            RowKind::Plain | RowKind::Copies => {
                self.geometry.copies(at).find(|place| place.member == member).map(|place| place.at)
            }
        }
    }

    /// How far every member is covered if all rows before `row` are. `None` if that cannot be said before the end: far and
    /// offset copies of one part of the array lie all over a member.
    #[must_use]
    pub fn mark_below(&self, row: RowNo) -> Option<Sector> {
        let at = Sector(row.0.checked_mul(ROW_SECTORS)?);
        match self.geometry.level() {
            Level::Raid10(layout) if layout.far == 1 => {
                // The chunks that the next row's stripe has on the members are not covered yet.
                let next = self.geometry.map(at)?.at;
                Some(Sector(Sectors(next.0).floor_to(self.geometry.chunk()).0))
            }
            Level::Raid10(_) => None,
            _ => Some(at),
        }
    }

    /// The first row of which a member that is covered below `mark` can lack anything. Not the other way round of
    /// [`mark_below`](Self::mark_below): of a row with copies side by side, one can lie below the mark and the other above.
    #[must_use]
    pub fn first_uncovered(&self, mark: Sector) -> RowNo {
        // Within a line of chunks, the first row of one lies lower than the second of the one before.
        let mark =
            if self.kind == RowKind::Copies { Sector(Sectors(mark.0).floor_to(self.geometry.chunk()).0) } else { mark };
        let covered = |row: u64| {
            let len = u64::from(self.whole(RowNo(row)).len);
            let last = Sector(row.saturating_mul(ROW_SECTORS).saturating_add(len.saturating_sub(1)));
            match self.kind {
                RowKind::Copies => self.geometry.copies(last).all(|place| place.at < mark),
                RowKind::Plain | RowKind::Parity => last < mark,
            }
        };
        // From line to line copies never reach less far, so the covered rows are the first ones.
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low.midpoint(high);
            if covered(middle) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        RowNo(low)
    }

    /// P and Q of a stripe, as far as there are any.
    #[must_use]
    pub fn parity(stripe: &StripeMap) -> Columns {
        let mut parity = Columns::one(stripe.p());
        if let Some(q) = stripe.q() {
            parity.insert(q);
        }
        parity
    }

    /// The data columns of a stripe.
    #[must_use]
    pub fn data(stripe: &StripeMap) -> Columns {
        Columns::first(stripe.members()).difference(Self::parity(stripe))
    }

    /// Who of a band can be read, by preference and at all, and who can be written.
    #[must_use]
    pub fn sight(&self, row: RowNo, band: Band, health: &Health) -> Sight {
        let members = self.members(row);
        let readable = members.intersection(health.in_sync());
        let mut sight = Sight { members, readable, writable: readable, from: self.first_copy(row), ..Sight::default() };
        let len = Sectors(band.len.into());
        // Members in sync are readable everywhere; only of those being filled it depends on the place.
        for (member, _) in health.rebuilding().filter(|(member, _)| members.contains(*member)) {
            sight.writable.insert(member);
            let Some(at) = self.at(row, band, member) else { continue };
            let (readable, run) = health.readable(Side::Old, member, at, len);
            if readable != Readable::No && run >= len {
                sight.readable.insert(member);
            }
        }
        for copy in health.copies().filter(|copy| members.contains(copy.member)) {
            sight.copied.insert(copy.member);
            let covered =
                self.at(row, band, copy.member).and_then(|at| at.checked_add(len)).is_some_and(|end| end <= copy.mark);
            if !covered {
                sight.wanting.insert(copy.member);
            }
        }
        sight.preferred = sight.readable.difference(health.write_mostly());
        sight
    }
}
