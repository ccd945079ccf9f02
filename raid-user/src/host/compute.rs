//! Arithmetic on a slot's rows, by the parity kernels of the CPU.

use std::sync::MutexGuard;

use raid_core::action::{Answer, SlotId, Source, Work};
use raid_core::check;
use raid_core::geometry::StripeMap;
use raid_core::parity::{self, Lost, Ops, Parity};
use raid_core::request::RequestId;
use raid_core::rows::Rows;
use raid_core::{Columns, Member};

use super::buffers::{Buffers, Column, ROW_BYTES, Row, Tall};
use super::calls::Calls;
use super::inner::{lock, tall_column};

/// Most columns that a stripe can have.
const COLUMNS_MAX: usize = 255;

/// As many as most stripes have at most. Lists of 255 take longer to make and to leave than a narrow row to compare.
const COLUMNS_FEW: usize = 16;

fn has_few(stripe: &StripeMap) -> bool {
    usize::from(stripe.columns()) <= COLUMNS_FEW
}

/// Part of a row, in bytes; of several rows, all of them.
#[derive(Clone, Copy)]
pub(super) struct Band {
    from: usize,
    to: usize,
}

impl Band {
    pub(super) fn new(first: u8, len: u8) -> Self {
        let from = usize::from(first) * 512;
        Self { from, to: from + usize::from(len) * 512 }
    }

    fn of<const B: usize>(self, row: &Column<B>) -> &[u8] {
        &row.0[self.from..self.to]
    }

    fn of_mut<const B: usize>(self, row: &mut Column<B>) -> &mut [u8] {
        &mut row.0[self.from..self.to]
    }

    fn len(self) -> usize {
        self.to - self.from
    }
}

/// What arithmetic needs of the host.
pub(super) struct Desk<'a> {
    pub(super) ops: &'static Ops,
    pub(super) rows: &'a Rows,
    pub(super) buffers: &'a Buffers,
    pub(super) calls: &'a Calls,
}

type Held<'a> = MutexGuard<'a, Row>;

impl<'a> Desk<'a> {
    /// Does it. [`Answer::Failed`] if the slot, the request or the stripe is not there: then nothing was done.
    pub(super) fn work(&self, slot: SlotId, stripe: Option<&StripeMap>, band: Band, work: Work) -> Answer {
        match (work, stripe) {
            (Work::Check { p, q }, Some(stripe)) if has_few(stripe) => {
                self.check::<COLUMNS_FEW>(slot, stripe, band, (p, q))
            }
            (Work::Check { p, q }, Some(stripe)) => self.check::<COLUMNS_MAX>(slot, stripe, band, (p, q)),
            (Work::Vote { members }, _) => self.vote(slot, members, band),
            (work, stripe) => self.change(slot, stripe, band, work).into(),
        }
    }

    /// `N`, here and below: columns that there is room for.
    fn check<const N: usize>(&self, slot: SlotId, stripe: &StripeMap, band: Band, (p, q): (bool, bool)) -> Answer {
        let rows = self.data::<N>(slot, stripe, Columns::EMPTY);
        let p = p.then(|| self.buffers.row(slot, stripe.p())).flatten();
        let q = stripe.q().filter(|_| q).and_then(|member| self.buffers.row(slot, member));
        let mut slices: [&[u8]; N] = [&[]; N];
        let data = slices_of(&rows, band, usize::from(stripe.columns()), &mut slices);
        let (p, q) = (p.as_deref().map(|row| band.of(row)), q.as_deref().map(|row| band.of(row)));
        check::by_parity(self.ops, stripe, data, p, q).map_or(Answer::Failed, Answer::Says)
    }

    fn vote(&self, slot: SlotId, members: Columns, band: Band) -> Answer {
        let mut rows = [const { None }; COLUMNS_MAX];
        for (place, member) in rows.iter_mut().zip(members.iter()) {
            *place = self.buffers.row(slot, member);
        }
        let mut copies: [(Member, &[u8]); COLUMNS_MAX] = [(Member(0), &[]); COLUMNS_MAX];
        let mut count = 0;
        for (member, (copy, row)) in members.iter().zip(copies.iter_mut().zip(rows.iter().flatten())) {
            *copy = (member, band.of(row));
            count += 1;
        }
        check::by_copies(&copies[..count]).into()
    }

    fn change(&self, slot: SlotId, stripe: Option<&StripeMap>, band: Band, work: Work) -> bool {
        match work {
            Work::Check { .. } | Work::Vote { .. } => false,
            Work::Take { column, from } => {
                let Some(mut row) = self.buffers.row(slot, column) else { return false };
                let Some(bytes) = self.bytes(from) else { return false };
                band.of_mut(&mut row).copy_from_slice(&bytes.row().0[..band.len()]);
                true
            }
            Work::Give { column, request } => {
                let (Some(row), Some(mut bytes)) = (self.buffers.row(slot, column), self.calls.row(request)) else {
                    return false;
                };
                bytes.0[..band.len()].copy_from_slice(band.of(&row));
                true
            }
            Work::Delta { column, from, p, q } => {
                let Some(stripe) = stripe else { return false };
                let Some(mut row) = self.buffers.row(slot, column) else { return false };
                let Some(bytes) = self.bytes(from) else { return false };
                let (new, old) = (&bytes.row().0[..band.len()], band.of(&row));
                let mut p = p.then(|| self.buffers.row(slot, stripe.p())).flatten();
                let mut q = stripe.q().filter(|_| q).and_then(|member| self.buffers.row(slot, member));
                let exponent = stripe.exponent(column).unwrap_or(0);
                let p = p.as_deref_mut().map(|row| band.of_mut(row));
                let q = q.as_deref_mut().map(|row| band.of_mut(row));
                let done = self.ops.update(exponent, &[old, new], p, q).is_ok();
                band.of_mut(&mut row).copy_from_slice(new);
                done
            }
            Work::Parity { p, q } => stripe.is_some_and(|stripe| {
                let held = |member| self.buffers.row(slot, member);
                let make = if has_few(stripe) { Self::make::<_, COLUMNS_FEW> } else { Self::make::<_, COLUMNS_MAX> };
                make(self, stripe, band, (p, q), &held)
            }),
            Work::Rows { request, p, q } => stripe.is_some_and(|stripe| {
                let held = |member| self.column(request, stripe, member);
                let make = if has_few(stripe) { Self::make::<_, COLUMNS_FEW> } else { Self::make::<_, COLUMNS_MAX> };
                make(self, stripe, band, (p, q), &held)
            }),
            Work::Recover { lost, other, p, q } => stripe.is_some_and(|stripe| {
                let recover = if has_few(stripe) { Self::recover::<COLUMNS_FEW> } else { Self::recover::<COLUMNS_MAX> };
                recover(self, slot, stripe, band, (lost, other), (p, q))
            }),
        }
    }

    fn bytes(&self, from: Source) -> Option<New<'a>> {
        match from {
            Source::Request(request) => self.calls.row(request).map(New::Of),
            Source::Zeroes => Some(New::Zeroes),
        }
    }

    /// The rows of the data columns but some, each in its column's place.
    fn data<const N: usize>(&self, slot: SlotId, stripe: &StripeMap, without: Columns) -> [Option<Held<'a>>; N] {
        data_of(stripe, without, &|member| self.buffers.row(slot, member))
    }

    /// A column of a request of several rows, whose data lie there as those of a slot lie in its buffers.
    fn column(&self, request: RequestId, stripe: &StripeMap, member: Member) -> Option<MutexGuard<'a, Tall>> {
        Some(lock(self.calls.column(request, tall_column(self.rows, stripe.part(member)?))?))
    }

    /// P and Q of what is `held`.
    fn make<'h, const B: usize, const N: usize>(
        &self,
        stripe: &StripeMap,
        band: Band,
        (p, q): (bool, bool),
        held: &impl Fn(Member) -> Option<MutexGuard<'h, Column<B>>>,
    ) -> bool {
        let rows: [_; N] = data_of(stripe, Columns::EMPTY, held);
        let mut p = p.then(|| held(stripe.p())).flatten();
        let mut q = stripe.q().filter(|_| q).and_then(held);
        with_slices(&rows, band, usize::from(stripe.columns()), |data| {
            self.ops.recover(data, Lost::Nothing, wanted(&mut p, band), wanted(&mut q, band))
        })
    }

    fn recover<const N: usize>(
        &self,
        slot: SlotId,
        stripe: &StripeMap,
        band: Band,
        (lost, other): (Member, Option<Member>),
        (p, q): (bool, bool),
    ) -> bool {
        let gone: Columns = [Some(lost), other].into_iter().flatten().collect();
        let rows = self.data::<N>(slot, stripe, gone);
        let p = p.then(|| self.buffers.row(slot, stripe.p())).flatten();
        let q = stripe.q().filter(|_| q).and_then(|member| self.buffers.row(slot, member));
        let (Some(first), Some(mut out)) = (stripe.column(lost), self.buffers.row(slot, lost)) else { return false };
        let second = other.and_then(|other| Some((stripe.column(other)?, self.buffers.row(slot, other)?)));
        with_slices(&rows, band, usize::from(stripe.columns()), |data| {
            let p = p.as_deref().map_or(Parity::Absent, |row| Parity::Given(band.of(row)));
            let q = q.as_deref().map_or(Parity::Absent, |row| Parity::Given(band.of(row)));
            match second {
                None => self.ops.recover(data, Lost::One(first, band.of_mut(&mut out)), p, q),
                Some((column, mut row)) => {
                    let lost = Lost::Two((first, band.of_mut(&mut out)), (column, band.of_mut(&mut row)));
                    self.ops.recover(data, lost, p, q)
                }
            }
        })
    }
}

/// Zeros, for whoever wants bytes.
static ZEROES: Row = Column([0; ROW_BYTES]);

/// A row of new bytes.
enum New<'a> {
    Of(Held<'a>),
    Zeroes,
}

impl New<'_> {
    fn row(&self) -> &Row {
        match self {
            Self::Of(row) => row,
            Self::Zeroes => &ZEROES,
        }
    }
}

fn wanted<'r, const B: usize>(row: &'r mut Option<MutexGuard<'_, Column<B>>>, band: Band) -> Parity<'r> {
    row.as_deref_mut().map_or(Parity::Absent, |row| Parity::Wanted(band.of_mut(row)))
}

/// What is `held` of the data columns but some, each in its column's place.
fn data_of<'h, const B: usize, const N: usize>(
    stripe: &StripeMap,
    without: Columns,
    held: &impl Fn(Member) -> Option<MutexGuard<'h, Column<B>>>,
) -> [Option<MutexGuard<'h, Column<B>>>; N] {
    let mut rows = [const { None }; N];
    for member in Rows::data(stripe).difference(without).iter() {
        if let Some(column) = stripe.column(member)
            && let Some(place) = rows.get_mut(usize::from(column))
        {
            *place = held(member);
        }
    }
    rows
}

/// Calls `with` with a slice for each of the first `count` columns; an empty one stands for zeros.
fn with_slices<const B: usize, const N: usize>(
    rows: &[Option<MutexGuard<'_, Column<B>>>; N],
    band: Band,
    count: usize,
    with: impl FnOnce(&[&[u8]]) -> Result<(), parity::Error>,
) -> bool {
    let mut slices: [&[u8]; N] = [&[]; N];
    with(slices_of(rows, band, count, &mut slices)).is_ok()
}

/// A slice for each of the first `count` columns; an empty one where there is none.
fn slices_of<'r, 's, const B: usize, const N: usize>(
    rows: &'r [Option<MutexGuard<'_, Column<B>>>; N],
    band: Band,
    count: usize,
    slices: &'s mut [&'r [u8]; N],
) -> &'s [&'r [u8]] {
    for (slice, row) in slices.iter_mut().zip(rows) {
        if let Some(row) = row {
            *slice = band.of(row);
        }
    }
    slices.get(..count).unwrap_or_default()
}
