//! The arithmetic of slots on tiny sectors: real P and Q, eight bytes a sector, by the form that is there to be read.

use std::collections::BTreeMap;

use raid_core::Member;
use raid_core::action::{SlotId, Work};
use raid_core::geometry::StripeMap;
use raid_core::parity::{gf, reference};
use raid_core::request::RequestId;
use raid_core::rows::{Band, ROW_LEN, Rows};

use super::model::Value;

/// What stands in a buffer that nobody may use.
pub(super) const POISON: Value = 0xDEAD_BEEF_DEAD_BEEF;

/// One column of a slot.
pub(super) type Column = [Value; ROW_LEN];

/// All buffers of a host.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    slots: BTreeMap<(SlotId, u8), Column>,
    pub(super) requests: BTreeMap<RequestId, Vec<Value>>,
}

impl Buffers {
    pub(super) fn column(&mut self, slot: SlotId, column: Member) -> &mut Column {
        self.slots.entry((slot, column.0)).or_insert([POISON; ROW_LEN])
    }

    /// Nobody has a right to the slot's buffers any more.
    pub(super) fn poison(&mut self, slot: SlotId) {
        let columns = self.slots.range((slot, 0)..=(slot, u8::MAX)).map(|(key, _)| *key).collect::<Vec<_>>();
        for column in columns {
            self.slots.remove(&column);
        }
    }

    /// Does `work`. `stripe` is there with parity.
    pub(super) fn compute(&mut self, slot: SlotId, stripe: Option<&StripeMap>, band: Band, work: Work) {
        for offset in 0..usize::from(band.len) {
            let at = usize::from(band.first) + offset;
            match work {
                Work::Take { column, request } => {
                    self.column(slot, column)[at] = self.request(request, offset);
                }
                Work::Give { column, request } => {
                    let value = self.column(slot, column)[at];
                    if let Some(place) = self.requests.get_mut(&request).and_then(|buffer| buffer.get_mut(offset)) {
                        *place = value;
                    }
                }
                Work::Delta { column, request, p, q } => {
                    let new = self.request(request, offset);
                    let delta = self.column(slot, column)[at] ^ new;
                    self.column(slot, column)[at] = new;
                    let Some(stripe) = stripe else { continue };
                    if p {
                        self.column(slot, stripe.p())[at] ^= delta;
                    }
                    if let (true, Some(q), Some(exponent)) = (q, stripe.q(), stripe.exponent(column)) {
                        self.column(slot, q)[at] ^= times(gf::power(exponent), delta);
                    }
                }
                Work::Parity { p, q } => {
                    let Some(stripe) = stripe else { continue };
                    let (new_p, new_q) = parity(&self.columns(slot, stripe, at, &[]));
                    if p {
                        self.column(slot, stripe.p())[at] = new_p;
                    }
                    if let (true, Some(member)) = (q, stripe.q()) {
                        self.column(slot, member)[at] = new_q;
                    }
                }
                Work::Recover { lost, other, p, .. } => {
                    if let Some(stripe) = stripe {
                        self.recover(slot, stripe, at, lost, other, p);
                    }
                }
            }
        }
    }

    fn request(&self, request: RequestId, offset: usize) -> Value {
        self.requests.get(&request).and_then(|buffer| buffer.get(offset)).copied().unwrap_or(POISON)
    }

    /// One sector of all data columns, in their places before P and Q.
    fn columns(&mut self, slot: SlotId, stripe: &StripeMap, at: usize, without: &[Member]) -> Vec<Vec<u8>> {
        let mut columns = vec![Vec::new(); usize::from(stripe.columns())];
        for member in Rows::data(stripe).iter().filter(|member| !without.contains(member)) {
            if let Some(column) = stripe.column(member) {
                columns[usize::from(column)] = self.column(slot, member)[at].to_le_bytes().to_vec();
            }
        }
        columns
    }

    fn recover(&mut self, slot: SlotId, stripe: &StripeMap, at: usize, lost: Member, other: Option<Member>, p: bool) {
        let gone: Vec<Member> = [Some(lost), other].into_iter().flatten().collect();
        let columns = self.columns(slot, stripe, at, &gone);
        let columns: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
        let p_bytes = self.column(slot, stripe.p())[at].to_le_bytes();
        let q_bytes = stripe.q().map_or([0; 8], |q| self.column(slot, q)[at].to_le_bytes());
        let (mut a, mut b) = ([0; 8], [0; 8]);
        match (stripe.column(lost), other.and_then(|other| stripe.column(other))) {
            (Some(first), Some(second)) => {
                reference::two(&columns, (first, second), &p_bytes, &q_bytes, &mut a, &mut b);
            }
            (Some(_), None) if p => {
                let mut all = columns;
                all.push(&p_bytes);
                reference::xor(&mut a, &all);
            }
            (Some(first), None) => reference::one_by_q(&columns, first, &q_bytes, &mut a),
            (None, _) => {}
        }
        for (member, bytes) in gone.into_iter().zip([a, b]) {
            self.column(slot, member)[at] = Value::from_le_bytes(bytes);
        }
    }
}

/// P and Q of one sector of each column.
pub(super) fn parity(columns: &[Vec<u8>]) -> (Value, Value) {
    let columns: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
    let (mut p, mut q) = ([0; 8], [0; 8]);
    reference::pq(&columns, &mut p, &mut q);
    (Value::from_le_bytes(p), Value::from_le_bytes(q))
}

fn times(factor: u8, value: Value) -> Value {
    Value::from_le_bytes(value.to_le_bytes().map(|byte| gf::multiply(factor, byte)))
}
