// SPDX-License-Identifier: GPL-2.0-only
//! Arithmetic on the rows of a slot.

use raid_core::action::{Answer, SlotId, Source, Work};
use raid_core::check;
use raid_core::geometry::StripeMap;
use raid_core::parity::{self, Lost, Parity as Side};
use raid_core::request::RequestId;
use raid_core::rows::Rows;
use raid_core::{Columns, Member};

use crate::parity::Parity;

/// Columns for which the list of rows is short enough for any stack.
const FEW: usize = 16;

/// Most columns that a stripe can have.
const MANY: usize = 255;

/// Bytes of a row.
pub(crate) const ROW_BYTES: usize = 4096;

/// The bytes that arithmetic is about: part of a row.
#[derive(Clone, Copy)]
pub(crate) struct Band {
    from: usize,
    to: usize,
}

impl Band {
    pub(crate) fn new(first: u8, len: u8) -> Self {
        let from = usize::from(first) * 512;
        Self { from, to: (from + usize::from(len) * 512).min(ROW_BYTES) }
    }

    fn len(self) -> usize {
        self.to.saturating_sub(self.from)
    }
}

/// Where the bytes are.
pub(crate) trait Bytes {
    /// A member's row of a slot. The slot's state says that nobody else uses it now; the caller asks for each once.
    fn row(&self, slot: SlotId, member: Member) -> Option<&mut [u8; ROW_BYTES]>;
    /// A row's worth of bytes for the one computation that a shard has at a time.
    fn scratch(&self, shard: u16) -> Option<&mut [u8; ROW_BYTES]>;
    /// Copies a request's bytes out, or in.
    fn copy(&self, request: RequestId, bytes: &mut [u8], to_request: bool) -> bool;
}

/// Arithmetic: what it is done with.
pub(crate) struct Desk<'a, B> {
    pub(crate) parity: &'a Parity,
    pub(crate) bytes: &'a B,
}

impl<B: Bytes> Desk<'_, B> {
    /// Does it. Failed if the slot, the request or the stripe is not there: then nothing was done.
    pub(crate) fn work(&self, slot: SlotId, stripe: Option<&StripeMap>, band: Band, work: Work) -> Answer {
        match work {
            Work::Check { p, q } => stripe.map_or(Answer::Failed, |stripe| self.check(slot, stripe, band, p, q)),
            Work::Vote { members } if members.len() as usize <= FEW => self.vote::<FEW>(slot, members, band),
            Work::Vote { members } => self.vote::<MANY>(slot, members, band),
            work => self.change(slot, stripe, band, work).into(),
        }
    }

    fn check(&self, slot: SlotId, stripe: &StripeMap, band: Band, p: bool, q: bool) -> Answer {
        let p = self.p(slot, stripe, band, p).map(|row| &*row);
        let q = self.q(slot, stripe, band, q).map(|row| &*row);
        let compare = move |ops: &parity::Ops, data: &[&[u8]]| check::by_parity(ops, stripe, data, p, q).ok();
        self.with_data(slot, stripe, band, Columns::EMPTY, compare).map_or(Answer::Failed, Answer::Says)
    }

    #[inline(never)]
    fn vote<const MAX: usize>(&self, slot: SlotId, members: Columns, band: Band) -> Answer {
        let mut copies: [(Member, &[u8]); MAX] = [(Member(0), &[]); MAX];
        let mut count = 0;
        for (copy, member) in copies.iter_mut().zip(members.iter()) {
            let Some(row) = self.band(slot, member, band) else { return Answer::Failed };
            *copy = (member, row);
            count += 1;
        }
        check::by_copies(copies.get(..count).unwrap_or_default()).into()
    }

    fn change(&self, slot: SlotId, stripe: Option<&StripeMap>, band: Band, work: Work) -> bool {
        match work {
            Work::Rows { .. } | Work::Check { .. } | Work::Vote { .. } => false,
            Work::Take { column, from } => self.band(slot, column, band).is_some_and(|row| self.take(from, row)),
            Work::Give { column, request } => {
                self.band(slot, column, band).is_some_and(|row| self.bytes.copy(request, row, true))
            }
            Work::Delta { column, from, p, q } => {
                stripe.is_some_and(|stripe| self.delta(slot, stripe, band, (column, from), (p, q)))
            }
            Work::Parity { p, q } => stripe.is_some_and(|stripe| self.make(slot, stripe, band, p, q)),
            Work::Recover { lost, other, p, q } => {
                stripe.is_some_and(|stripe| self.recover(slot, stripe, band, (lost, other), (p, q)))
            }
        }
    }

    /// Fills `bytes` with new content.
    fn take(&self, from: Source, bytes: &mut [u8]) -> bool {
        match from {
            Source::Request(request) => self.bytes.copy(request, bytes, false),
            Source::Zeroes => {
                bytes.fill(0);
                true
            }
        }
    }

    fn band(&self, slot: SlotId, member: Member, band: Band) -> Option<&mut [u8]> {
        self.bytes.row(slot, member)?.get_mut(band.from..band.to)
    }

    fn q(&self, slot: SlotId, stripe: &StripeMap, band: Band, wanted: bool) -> Option<&mut [u8]> {
        stripe.q().filter(|_| wanted).and_then(|member| self.band(slot, member, band))
    }

    fn p(&self, slot: SlotId, stripe: &StripeMap, band: Band, wanted: bool) -> Option<&mut [u8]> {
        if wanted { self.band(slot, stripe.p(), band) } else { None }
    }

    /// The request's bytes are taken once, to a place of their own: whoever sent them may change them at any time, and parity must
    /// follow what is written.
    fn delta(
        &self,
        slot: SlotId,
        stripe: &StripeMap,
        band: Band,
        (column, from): (Member, Source),
        (p, q): (bool, bool),
    ) -> bool {
        let new = self.bytes.scratch(slot.shard).and_then(|room| room.get_mut(..band.len()));
        let (Some(new), Some(row)) = (new, self.band(slot, column, band)) else { return false };
        if !self.take(from, new) {
            return false;
        }
        let (p, q) = (self.p(slot, stripe, band, p), self.q(slot, stripe, band, q));
        let exponent = stripe.exponent(column).unwrap_or(0);
        let done = self.parity.with(|ops| ops.update(exponent, &[row, new], p, q).is_ok());
        row.copy_from_slice(new);
        done
    }

    fn make(&self, slot: SlotId, stripe: &StripeMap, band: Band, p: bool, q: bool) -> bool {
        let (p, q) = (self.p(slot, stripe, band, p), self.q(slot, stripe, band, q));
        let (p, q) = (p.map_or(Side::Absent, Side::Wanted), q.map_or(Side::Absent, Side::Wanted));
        let with = move |ops: &parity::Ops, data: &[&[u8]]| ops.recover(data, Lost::Nothing, p, q).ok();
        self.with_data(slot, stripe, band, Columns::EMPTY, with).is_some()
    }

    fn recover(
        &self,
        slot: SlotId,
        stripe: &StripeMap,
        band: Band,
        (lost, other): (Member, Option<Member>),
        (p, q): (bool, bool),
    ) -> bool {
        let gone: Columns = [Some(lost), other].into_iter().flatten().collect();
        let (p, q) = (self.p(slot, stripe, band, p), self.q(slot, stripe, band, q));
        let p = p.map_or(Side::Absent, |row| Side::Given(row));
        let q = q.map_or(Side::Absent, |row| Side::Given(row));
        let out = |member| Some((stripe.column(member)?, self.band(slot, member, band)?));
        let (Some((first, to)), second) = (out(lost), other.and_then(out)) else { return false };
        let lost = match second {
            None => Lost::One(first, to),
            Some(second) => Lost::Two((first, to), second),
        };
        let with = move |ops: &parity::Ops, data: &[&[u8]]| ops.recover(data, lost, p, q).ok();
        self.with_data(slot, stripe, band, gone, with).is_some()
    }

    /// Calls `with` with the rows of the data columns but some, each in its column's place.
    fn with_data<R>(
        &self,
        slot: SlotId,
        stripe: &StripeMap,
        band: Band,
        without: Columns,
        with: impl FnOnce(&parity::Ops, &[&[u8]]) -> Option<R>,
    ) -> Option<R> {
        if usize::from(stripe.columns()) <= FEW {
            self.with_columns::<FEW, R>(slot, stripe, band, without, with)
        } else {
            self.with_columns::<MANY, R>(slot, stripe, band, without, with)
        }
    }

    #[inline(never)]
    fn with_columns<const MAX: usize, R>(
        &self,
        slot: SlotId,
        stripe: &StripeMap,
        band: Band,
        without: Columns,
        with: impl FnOnce(&parity::Ops, &[&[u8]]) -> Option<R>,
    ) -> Option<R> {
        let mut rows: [&[u8]; MAX] = [&[]; MAX];
        for member in Rows::data(stripe).difference(without).iter() {
            let place = stripe.column(member).and_then(|column| rows.get_mut(usize::from(column)));
            if let (Some(place), Some(row)) = (place, self.band(slot, member, band)) {
                *place = row;
            }
        }
        let data = rows.get(..usize::from(stripe.columns()))?;
        self.parity.with(|ops| with(ops, data))
    }
}
