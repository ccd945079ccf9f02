//! The arithmetic of slots on tiny sectors: real P and Q, eight bytes a sector, all eight at once.

use std::hash::Hash;
use std::ops::Range;

use raid_core::Member;
use raid_core::action::{Answer, SlotId, Source, Work};
use raid_core::check::{by_copies, by_parity};
use raid_core::geometry::StripeMap;
use raid_core::parity::{self, gf};
use raid_core::request::RequestId;
use raid_core::rows::{Band, ROW_LEN, Rows};

use super::model::Value;
use super::same::{Mark, Sum};

/// What stands in a buffer that nobody may use.
pub(super) const POISON: Value = 0xDEAD_BEEF_DEAD_BEEF;

/// One column of a slot.
pub(super) type Column = [Value; ROW_LEN];

/// A request's own buffer.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Own {
    pub(super) id: RequestId,
    /// First array sector.
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) writes: bool,
    pub(super) values: Column,
    pub(super) shape: Shape,
}

/// How many buffers a request of the engine is.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Shape {
    /// Those that are writes of the model.
    pub(super) parts: usize,
    /// Those and the ones of parity.
    pub(super) all: usize,
    pub(super) rows: usize,
}

impl Shape {
    /// That of whatever lies in one row.
    pub(super) const ONE: Self = Self { parts: 1, all: 1, rows: 1 };
}

/// All buffers of a host.
#[derive(Clone, Debug)]
pub(super) struct Buffers {
    slots: Vec<Column>,
    /// Slots whose buffers somebody used since they were poisoned.
    used: Vec<bool>,
    slots_per_shard: usize,
    members: usize,
    requests: Vec<Own>,
}

impl Buffers {
    pub(super) fn new(shards: u16, slots: u16, members: u16) -> Self {
        let count = usize::from(shards) * usize::from(slots);
        Self {
            slots: vec![[POISON; ROW_LEN]; count * usize::from(members)],
            used: vec![false; count],
            slots_per_shard: slots.into(),
            members: members.into(),
            requests: Vec::new(),
        }
    }

    fn slot(&self, slot: SlotId) -> usize {
        usize::from(slot.shard) * self.slots_per_shard + usize::from(slot.slot)
    }

    pub(super) fn column(&mut self, slot: SlotId, column: Member) -> &mut Column {
        let slot = self.slot(slot);
        self.used[slot] = true;
        &mut self.slots[slot * self.members + usize::from(column.0)]
    }

    /// Nobody has a right to the buffers of a shard's slots that are free.
    pub(super) fn poison(&mut self, shard: u16, is_free: impl Fn(u16) -> bool) {
        let first = self.slot(SlotId { shard, slot: 0 });
        for (number, used) in (0..).zip(&mut self.used[first..first + self.slots_per_shard]) {
            if *used && is_free(number) {
                let slot = first + usize::from(number);
                *used = false;
                self.slots[slot * self.members..(slot + 1) * self.members].fill([POISON; ROW_LEN]);
            }
        }
    }

    pub(super) fn copy_from(&mut self, other: &Self) {
        self.slots.copy_from_slice(&other.slots);
        self.used.copy_from_slice(&other.used);
        self.requests.clone_from(&other.requests);
    }

    /// What stands in buffers that somebody has a right to.
    pub(super) fn mark(&self, into: &mut Mark) {
        for (slot, columns) in self.slots.chunks(self.members).enumerate().filter(|(slot, _)| self.used[*slot]) {
            (slot, columns).hash(into);
        }
        let mut sum = Sum::default();
        self.requests.iter().for_each(|own| sum.add(own));
        sum.hash(into);
    }

    /// Puts a request's buffer there.
    pub(super) fn bring(&mut self, own: Own) {
        self.requests.push(own);
    }

    /// Takes a request's buffer away.
    pub(super) fn take(&mut self, id: RequestId) -> Option<Own> {
        let at = self.requests.iter().position(|own| own.id == id)?;
        Some(self.requests.swap_remove(at))
    }

    /// A request's buffer.
    pub(super) fn own(&mut self, id: RequestId) -> Option<&mut Own> {
        self.requests.iter_mut().find(|own| own.id == id)
    }

    /// Does `work`, and says what it says. `stripe` is there with parity.
    pub(super) fn compute(&mut self, slot: SlotId, stripe: Option<&StripeMap>, band: Band, work: Work) -> Answer {
        let rows = usize::from(band.first)..usize::from(band.first) + usize::from(band.len);
        match (work, stripe) {
            (Work::Take { column, from }, _) => {
                let values = self.values(from);
                self.column(slot, column)[rows.clone()].copy_from_slice(&values[..rows.len()]);
            }
            (Work::Give { column, request }, _) => {
                let values = *self.column(slot, column);
                if let Some(own) = self.own(request) {
                    own.values[..rows.len()].copy_from_slice(&values[rows]);
                }
            }
            (Work::Delta { column, from, p, q }, stripe) => {
                let values = self.values(from);
                for (at, new) in rows.zip(values) {
                    let delta = std::mem::replace(&mut self.column(slot, column)[at], new) ^ new;
                    let Some(stripe) = stripe else { continue };
                    if p {
                        self.column(slot, stripe.p())[at] ^= delta;
                    }
                    if let (true, Some(q), Some(exponent)) = (q, stripe.q(), stripe.exponent(column)) {
                        self.column(slot, q)[at] ^= times(gf::power(exponent), delta);
                    }
                }
            }
            (Work::Parity { p, q }, Some(stripe)) => {
                let roles = Roles::new(stripe);
                for at in rows {
                    let (new_p, new_q) = roles.parity(|member| self.column(slot, member)[at]);
                    if p {
                        self.column(slot, stripe.p())[at] = new_p;
                    }
                    if let (true, Some(member)) = (q, stripe.q()) {
                        self.column(slot, member)[at] = new_q;
                    }
                }
            }
            (Work::Recover { lost, other, p, .. }, Some(stripe)) => {
                for at in rows {
                    self.recover(slot, stripe, at, lost, other, p);
                }
            }
            (Work::Rows { request, p, q }, Some(stripe)) => self.sum_rows(request, stripe, (p, q)),
            (Work::Check { p, q }, Some(stripe)) => return self.check(slot, stripe, rows, p, q),
            (Work::Vote { members }, _) => {
                let copies: Vec<_> = members.iter().map(|member| (member, self.bytes(slot, member, &rows))).collect();
                let copies: Vec<_> = copies.iter().map(|(member, copy)| (*member, copy.as_slice())).collect();
                return by_copies(&copies).into();
            }
            (Work::Parity { .. } | Work::Rows { .. } | Work::Recover { .. } | Work::Check { .. }, None) => {
                return Answer::Failed;
            }
        }
        Answer::Done
    }

    /// A column's bytes of some sectors of the row, and zeros for the others.
    fn bytes(&mut self, slot: SlotId, column: Member, rows: &Range<usize>) -> [u8; ROW_LEN * size_of::<Value>()] {
        let values = *self.column(slot, column);
        let mut bytes = [0; ROW_LEN * size_of::<Value>()];
        for (at, place) in bytes.chunks_mut(size_of::<Value>()).enumerate().filter(|(at, _)| rows.contains(at)) {
            place.copy_from_slice(&values[at].to_le_bytes());
        }
        bytes
    }

    /// Real P and Q of tiny sectors are real P and Q.
    fn check(&mut self, slot: SlotId, stripe: &StripeMap, rows: Range<usize>, p: bool, q: bool) -> Answer {
        let mut columns = vec![Vec::new(); usize::from(stripe.columns())];
        for member in Rows::data(stripe).iter() {
            if let Some(column) = stripe.column(member) {
                columns[usize::from(column)] = self.bytes(slot, member, &rows).to_vec();
            }
        }
        let data: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
        let p = p.then(|| self.bytes(slot, stripe.p(), &rows));
        let q = stripe.q().filter(|_| q).map(|q| self.bytes(slot, q, &rows));
        by_parity(
            parity::detect(),
            stripe,
            &data,
            p.as_ref().map(<[u8; 64]>::as_slice),
            q.as_ref().map(<[u8; 64]>::as_slice),
        )
        .map_or(Answer::Failed, Answer::Says)
    }

    fn values(&mut self, from: Source) -> Column {
        match from {
            Source::Request(request) => self.own(request).map_or([POISON; ROW_LEN], |own| own.values),
            Source::Zeroes => [0; ROW_LEN],
        }
    }

    fn recover(&mut self, slot: SlotId, stripe: &StripeMap, at: usize, lost: Member, other: Option<Member>, p: bool) {
        // With the lost ones taken for zero, what is missing from P and Q is theirs.
        let (mut known_p, mut known_q) = Roles::new(stripe)
            .parity(|member| if member == lost || Some(member) == other { 0 } else { self.column(slot, member)[at] });
        known_p ^= self.column(slot, stripe.p())[at];
        if let Some(q) = stripe.q() {
            known_q ^= self.column(slot, q)[at];
        }
        let power = |member| stripe.exponent(member).map_or(1, gf::power);
        match other {
            Some(other) => {
                let (x, y) = (power(lost), power(other));
                let first = times(gf::inverse(x ^ y), known_q ^ times(y, known_p));
                self.column(slot, lost)[at] = first;
                self.column(slot, other)[at] = known_p ^ first;
            }
            None if p => self.column(slot, lost)[at] = known_p,
            None => self.column(slot, lost)[at] = times(gf::inverse(power(lost)), known_q),
        }
    }
}

/// The data members of a stripe in the order of their exponents.
pub(super) struct Roles {
    data: [(u8, Member); 32],
    len: usize,
}

impl Roles {
    pub(super) fn new(stripe: &StripeMap) -> Self {
        let mut roles = Self { data: [(0, Member(0)); 32], len: 0 };
        for member in Rows::data(stripe).iter() {
            roles.data[roles.len] = (stripe.exponent(member).unwrap_or(0), member);
            roles.len += 1;
        }
        roles.data[..roles.len].sort_unstable();
        roles
    }

    /// P and Q of one sector of each data member.
    pub(super) fn parity(&self, mut value: impl FnMut(Member) -> Value) -> (Value, Value) {
        let (mut p, mut q, mut power) = (0, 0, None);
        for (exponent, member) in self.data[..self.len].iter().rev() {
            // Horner: from the highest exponent down, twice for each step.
            for _ in *exponent..power.unwrap_or(*exponent) {
                q = double(q);
            }
            power = Some(*exponent);
            let value = value(*member);
            p ^= value;
            q ^= value;
        }
        for _ in 0..power.unwrap_or(0) {
            q = double(q);
        }
        (p, q)
    }
}

/// Each of eight bytes times two.
const fn double(value: Value) -> Value {
    let high = value >> 7 & 0x0101_0101_0101_0101;
    (value << 1 & 0xFEFE_FEFE_FEFE_FEFE) ^ high.wrapping_mul(0x1D)
}

/// Each of eight bytes times `factor`.
pub(super) fn times(factor: u8, value: Value) -> Value {
    let (mut sum, mut power) = (0, value);
    for bit in 0..8 {
        if factor >> bit & 1 == 1 {
            sum ^= power;
        }
        power = double(power);
    }
    sum
}

#[cfg(test)]
mod tests {
    use raid_core::geometry::Geometry;
    use raid_core::parity::reference;
    use raid_core::{ArrayConfig, Level, Raid6Layout, Sectors, Sizes, StripeNo};

    use super::*;

    /// All of the arithmetic against the form that is there to be read.
    #[test]
    fn eight_bytes_at_once_are_what_the_reference_makes_of_each() {
        for layout in [Raid6Layout::LeftSymmetric, Raid6Layout::RotatingNContinue, Raid6Layout::RotatingZeroRestart] {
            let sizes = Sizes::Same(Sectors(64));
            let config =
                ArrayConfig { level: Level::Raid6(layout), members: 6, chunk: Sectors(8), sizes, array_size: None };
            let geometry = Geometry::new(&config).unwrap();
            for number in 0..8 {
                let stripe = geometry.stripe(StripeNo(number)).unwrap();
                let value = |member: Member| Value::from(member.0 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number;
                let mut columns = vec![vec![0; 8]; usize::from(stripe.columns())];
                for member in Rows::data(&stripe).iter() {
                    columns[usize::from(stripe.column(member).unwrap())] = value(member).to_le_bytes().to_vec();
                }
                let columns: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
                let (mut p, mut q) = ([0; 8], [0; 8]);
                reference::pq(&columns, &mut p, &mut q);
                let made = Roles::new(&stripe).parity(value);
                assert_eq!(made, (Value::from_le_bytes(p), Value::from_le_bytes(q)), "{layout:?} {number}");
                recovers(&stripe, value, made);
            }
        }
    }

    fn recovers(stripe: &StripeMap, value: impl Fn(Member) -> Value, (p, q): (Value, Value)) {
        let slot = SlotId { shard: 0, slot: 0 };
        let members: Vec<Member> = Rows::data(stripe).iter().collect();
        for (lost, other) in members.iter().flat_map(|lost| members.iter().map(move |other| (*lost, *other))) {
            for by_p in [false, true] {
                let mut buffers = Buffers::new(1, 1, 6);
                members.iter().for_each(|member| buffers.column(slot, *member)[0] = value(*member));
                (buffers.column(slot, stripe.p())[0], buffers.column(slot, stripe.q().unwrap())[0]) = (p, q);
                (buffers.column(slot, lost)[0], buffers.column(slot, other)[0]) = (POISON, POISON);
                let second = (lost != other).then_some(other);
                let work = Work::Recover { lost, other: second, p: by_p, q: true };
                buffers.compute(slot, Some(stripe), Band { first: 0, len: 1 }, work);
                assert!(members.iter().all(|member| buffers.column(slot, *member)[0] == value(*member)));
            }
        }
    }
}
