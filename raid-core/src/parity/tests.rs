//! Every form that this CPU can run, against the reference and against what was lost.

extern crate std;
use std::vec;
use std::vec::Vec;

use super::*;

/// Widths from the smallest to the largest, around every power of two that a loop could stumble over.
const WIDTHS_LARGE: [usize; 6] = [32, 33, 64, 128, 253, 255];

/// One unit, odd multiples, and more than any form takes in one step.
const LENGTHS_BYTES: [usize; 8] = [64, 128, 192, 320, 512, 960, 4096, 4096 + 64];

/// What surrounds a buffer, and must still do so after a kernel has run.
const GUARD: [u8; 64] = [0xA5; 64];

/// A buffer so many bytes past a multiple of 64, between guards.
#[derive(Clone, Debug)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    fn new(len: usize, misaligned_by: usize) -> Self {
        let bytes = vec![GUARD[0]; misaligned_by + len + 3 * GUARD.len()];
        let aligned = GUARD.len() + bytes[GUARD.len()..].as_ptr().align_offset(64);
        Self { bytes, start: aligned + misaligned_by, len }
    }

    fn random(len: usize, misaligned_by: usize, random: &mut Random) -> Self {
        let mut buffer = Self::new(len, misaligned_by);
        random.fill(buffer.get_mut());
        buffer
    }

    fn get(&self) -> &[u8] {
        assert_eq!(&self.bytes[self.start - GUARD.len()..self.start], GUARD, "written before the start");
        let end = self.start + self.len;
        assert_eq!(&self.bytes[end..end + GUARD.len()], GUARD, "written past the end");
        &self.bytes[self.start..self.start + self.len]
    }

    fn get_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// A stripe with the parity that the reference makes of it.
struct Stripe {
    data: Vec<Buffer>,
    p: Buffer,
    q: Buffer,
}

impl Stripe {
    /// Every buffer is misaligned by an amount of its own if `misaligned`. Columns for which `gap` holds are zeros.
    fn new(width: usize, len: usize, misaligned: bool, gap: impl Fn(usize) -> bool) -> Self {
        let mut random = Random((width * 65_537 + len) as u64);
        let off = |i: usize| if misaligned { i * 7 % 64 + 1 } else { 0 };
        let data = (0..width)
            .map(|i| if gap(i) { Buffer::new(0, 0) } else { Buffer::random(len, off(i), &mut random) })
            .collect();
        let mut stripe = Self { data, p: Buffer::new(len, off(width)), q: Buffer::new(len, off(width + 1)) };
        let columns: Vec<&[u8]> = stripe.data.iter().map(Buffer::get).collect();
        reference::pq(&columns, stripe.p.get_mut(), stripe.q.get_mut());
        stripe
    }

    fn whole(width: usize, len: usize) -> Self {
        Self::new(width, len, false, |_| false)
    }

    fn columns(&self) -> Vec<&[u8]> {
        self.data.iter().map(Buffer::get).collect()
    }

    /// The columns, with something in the places of the lost ones that would show if it were used.
    fn columns_without(&self, lost: &[u8]) -> Vec<&[u8]> {
        let mut columns = self.columns();
        for index in lost {
            columns[usize::from(*index)] = &GUARD[..13];
        }
        columns
    }

    fn blank(&self) -> Buffer {
        Buffer::new(self.p.len, if self.p.len.is_multiple_of(128) { 0 } else { 3 })
    }

    /// Loses `a` and whichever of P and Q are not given, and brings all of that back.
    fn lose_one(&self, ops: &Ops, a: u8, keep_p: bool, keep_q: bool) {
        let (mut out, mut p, mut q) = (self.blank(), self.blank(), self.blank());
        let part_p = if keep_p { Parity::Given(self.p.get()) } else { Parity::Wanted(p.get_mut()) };
        let part_q = if keep_q { Parity::Given(self.q.get()) } else { Parity::Wanted(q.get_mut()) };
        ops.recover(&self.columns_without(&[a]), Lost::One(a, out.get_mut()), part_p, part_q).unwrap();
        assert_eq!(out.get(), self.data[usize::from(a)].get(), "{ops:?} data {a}");
        assert!(keep_p || p.get() == self.p.get(), "{ops:?} P with data {a}");
        assert!(keep_q || q.get() == self.q.get(), "{ops:?} Q with data {a}");
    }

    fn lose_two(&self, ops: &Ops, a: u8, b: u8) {
        let (mut out_a, mut out_b) = (self.blank(), self.blank());
        let lost = Lost::Two((a, out_a.get_mut()), (b, out_b.get_mut()));
        let columns = self.columns_without(&[a, b]);
        ops.recover(&columns, lost, Parity::Given(self.p.get()), Parity::Given(self.q.get())).unwrap();
        assert_eq!(out_a.get(), self.data[usize::from(a)].get(), "{ops:?} {a} of {a} and {b}");
        assert_eq!(out_b.get(), self.data[usize::from(b)].get(), "{ops:?} {b} of {a} and {b}");
    }
}

/// Every form, with both hints: they lead through other loops.
fn forms() -> impl Iterator<Item = Ops> {
    all().flat_map(|ops| [Temporal::Cached, Temporal::Memory].map(|temporal| ops.hinted(temporal)))
}

fn widths() -> impl Iterator<Item = usize> {
    (1..=20).chain(WIDTHS_LARGE)
}

fn narrow(index: usize) -> u8 {
    u8::try_from(index).unwrap()
}

#[test]
fn parity_is_the_references_for_every_width_and_length() {
    for (width, len) in widths().flat_map(|width| LENGTHS_BYTES.map(|len| (width, len))) {
        for misaligned in [false, true] {
            let stripe = Stripe::new(width, len, misaligned, |_| false);
            for ops in &forms().collect::<Vec<Ops>>() {
                let (mut p, mut q, mut sum) = (stripe.blank(), stripe.blank(), stripe.blank());
                ops.pq(&stripe.columns(), p.get_mut(), q.get_mut()).unwrap();
                ops.xor(sum.get_mut(), &stripe.columns()).unwrap();
                assert!(p.get() == stripe.p.get(), "{ops:?} P of {width} × {len}");
                assert!(q.get() == stripe.q.get(), "{ops:?} Q of {width} × {len}");
                assert!(sum.get() == stripe.p.get(), "{ops:?} sum of {width} × {len}");
            }
        }
    }
}

#[test]
fn worked_numbers_come_out() {
    // The three bytes of the derivation in `reference`, and the last of 255 columns alone: 2^254 = 0x8E.
    let (one, eighty, ff) = ([0x01; 192], [0x80; 192], [0xFF; 192]);
    for ops in &forms().collect::<Vec<Ops>>() {
        let (mut p, mut q) = ([0; 192], [0; 192]);
        ops.pq(&[&one, &eighty, &ff], &mut p, &mut q).unwrap();
        assert_eq!((p, q), ([0x7E; 192], [0xC7; 192]), "{ops:?}");

        let mut columns = vec![&[][..]; 255];
        columns[254] = &one;
        ops.pq(&columns, &mut p, &mut q).unwrap();
        assert_eq!((p, q), ([0x01; 192], [0x8E; 192]), "{ops:?}");
    }
}

#[test]
fn a_column_of_zeros_may_be_an_empty_slice() {
    let gaps: [fn(usize) -> bool; 5] = [|i| i == 0, |i| i % 3 == 1, |i| i >= 3, |i| i < 4, |_| true];
    for (gap, width) in gaps.into_iter().flat_map(|gap| [(gap, 1), (gap, 7), (gap, 16), (gap, 255)]) {
        let stripe = Stripe::new(width, 320, false, gap);
        for ops in &forms().collect::<Vec<Ops>>() {
            let (mut p, mut q) = (stripe.blank(), stripe.blank());
            ops.pq(&stripe.columns(), p.get_mut(), q.get_mut()).unwrap();
            assert_eq!((p.get(), q.get()), (stripe.p.get(), stripe.q.get()), "{ops:?} width {width}");
            let mut alone = stripe.blank();
            let wanted = Parity::Wanted(alone.get_mut());
            ops.recover(&stripe.columns(), Lost::Nothing, Parity::Absent, wanted).unwrap();
            assert_eq!(alone.get(), stripe.q.get(), "{ops:?} Q alone, width {width}");
        }
    }
}

#[test]
fn columns_next_to_gaps_come_back() {
    // DDF counts exponents by disk slot: P and Q sit in two of them.
    for (p_slot, q_slot) in (0..6).map(|slot| (slot, (slot + 1) % 6)) {
        let stripe = Stripe::new(6, 192, true, |i| i == p_slot || i == q_slot);
        let present: Vec<u8> = (0..6).filter(|i| *i != p_slot && *i != q_slot).map(narrow).collect();
        for ops in &forms().collect::<Vec<Ops>>() {
            for (i, a) in present.iter().enumerate() {
                for (keep_p, keep_q) in [(true, true), (true, false), (false, true)] {
                    stripe.lose_one(ops, *a, keep_p, keep_q);
                }
                present[..i].iter().for_each(|b| stripe.lose_two(ops, *a, *b));
            }
        }
    }
}

#[test]
fn every_one_or_two_of_a_narrow_stripe_come_back() {
    for (width, len) in (1..=20).flat_map(|width| [(width, 64), (width, 320)]) {
        let stripe = Stripe::whole(width, len);
        for (ops, a) in forms().flat_map(|ops| (0..narrow(width)).map(move |a| (ops, a))) {
            let ops = &ops;
            for (keep_p, keep_q) in [(true, true), (true, false), (false, true)] {
                stripe.lose_one(ops, a, keep_p, keep_q);
            }
            (0..narrow(width)).filter(|b| *b != a).for_each(|b| stripe.lose_two(ops, a, b));
        }
    }
}

#[test]
fn some_two_of_a_wide_stripe_come_back() {
    for width in WIDTHS_LARGE {
        let stripe = Stripe::new(width, 192, true, |_| false);
        let mut random = Random(width as u64);
        for ops in &forms().collect::<Vec<Ops>>() {
            let last = narrow(width - 1);
            stripe.lose_two(ops, 0, last);
            stripe.lose_two(ops, last, last - 1);
            for _ in 0..24 {
                let (a, b) = (narrow(random.below(width)), narrow(random.below(width - 1)));
                stripe.lose_two(ops, a, if b < a { b } else { b + 1 });
                stripe.lose_one(ops, a, true, false);
                stripe.lose_one(ops, b, false, true);
            }
        }
    }
}

#[test]
fn long_and_odd_lengths_come_back() {
    for len in LENGTHS_BYTES {
        let stripe = Stripe::new(9, len, true, |_| false);
        for ops in &forms().collect::<Vec<Ops>>() {
            stripe.lose_two(ops, 2, 7);
            stripe.lose_two(ops, 8, 0);
            for (keep_p, keep_q) in [(true, true), (true, false), (false, true)] {
                stripe.lose_one(ops, 5, keep_p, keep_q);
            }
        }
    }
}

/// Blocks long enough for every way to treat the caches, with as many columns as make each of them the choice.
#[test]
fn long_blocks_are_right_however_they_travel() {
    for (width, len) in [(5, 20 << 10), (9, (32 << 10) + 64), (26, (32 << 10) + 192), (27, 8 << 10)] {
        for misaligned in [false, true] {
            let stripe = Stripe::new(width, len, misaligned, |_| false);
            for ops in &forms().collect::<Vec<Ops>>() {
                let off = if misaligned { 5 } else { 0 };
                let (mut p, mut q, mut sum) = (Buffer::new(len, off), Buffer::new(len, off), Buffer::new(len, off));
                ops.pq(&stripe.columns(), p.get_mut(), q.get_mut()).unwrap();
                ops.xor(sum.get_mut(), &stripe.columns()).unwrap();
                assert!(p.get() == stripe.p.get() && sum.get() == stripe.p.get(), "{ops:?} P of {width} × {len}");
                assert!(q.get() == stripe.q.get(), "{ops:?} Q of {width} × {len}");
                stripe.lose_two(ops, 1, narrow(width - 1));
                stripe.lose_one(ops, 2, false, true);
            }
        }
    }
}

#[test]
fn lost_data_come_back_without_parity_that_nobody_asks_for() {
    let stripe = Stripe::whole(5, 128);
    let (p, q) = (stripe.p.get(), stripe.q.get());
    for ops in &forms().collect::<Vec<Ops>>() {
        for (p, q) in [(Parity::Given(p), Parity::Absent), (Parity::Absent, Parity::Given(q))] {
            let mut out = stripe.blank();
            ops.recover(&stripe.columns_without(&[3]), Lost::One(3, out.get_mut()), p, q).unwrap();
            assert_eq!(out.get(), stripe.data[3].get(), "{ops:?}");
        }
    }
}

#[test]
fn the_reference_brings_back_what_was_lost() {
    let stripe = Stripe::whole(6, 64);
    for (a, b) in (0..6).flat_map(|a| (0..6).map(move |b| (a, b))).filter(|(a, b)| a != b) {
        let mut columns = stripe.columns();
        columns[a] = &[];
        let mut out = stripe.blank();
        reference::one_by_q(&columns, narrow(a), stripe.q.get(), out.get_mut());
        assert_eq!(out.get(), stripe.data[a].get());

        columns[b] = &[];
        let (mut out_a, mut out_b) = (stripe.blank(), stripe.blank());
        let (p, q) = (stripe.p.get(), stripe.q.get());
        reference::two(&columns, (narrow(a), narrow(b)), p, q, out_a.get_mut(), out_b.get_mut());
        assert_eq!((out_a.get(), out_b.get()), (stripe.data[a].get(), stripe.data[b].get()));
    }
}

#[test]
fn an_update_is_what_generating_anew_would_give() {
    for (exponent, len) in (0..255).map(|exponent| (exponent, LENGTHS_BYTES[exponent % 8])) {
        let mut stripe = Stripe::new(255, len, exponent % 2 == 0, |i| i != exponent && i % 50 != 0);
        let (old_p, old_q) = (stripe.p.clone(), stripe.q.clone());
        let old = stripe.data[exponent].clone();
        Random(7).fill(stripe.data[exponent].get_mut());
        let columns: Vec<&[u8]> = stripe.data.iter().map(Buffer::get).collect();
        reference::pq(&columns, stripe.p.get_mut(), stripe.q.get_mut());
        let new = stripe.data[exponent].get();
        let delta: Vec<u8> = old.get().iter().zip(new).map(|(old, new)| old ^ new).collect();
        let exponent = narrow(exponent);

        let (both, difference) = ([old.get(), new], [&delta[..]]);
        for (ops, changes) in all().flat_map(|ops| [(ops, &both[..]), (ops, &difference[..])]) {
            let (mut p, mut q) = (old_p.clone(), old_q.clone());
            ops.update(exponent, changes, Some(p.get_mut()), Some(q.get_mut())).unwrap();
            assert_eq!((p.get(), q.get()), (stripe.p.get(), stripe.q.get()), "{ops:?} column {exponent}");

            let (mut p, mut q) = (old_p.clone(), old_q.clone());
            ops.update(exponent, changes, Some(p.get_mut()), None).unwrap();
            ops.update(exponent, changes, None, Some(q.get_mut())).unwrap();
            assert_eq!((p.get(), q.get()), (stripe.p.get(), stripe.q.get()), "{ops:?} column {exponent}, apart");
        }
    }
}

#[test]
fn a_check_passes_on_good_parity_and_names_the_first_bad_byte() {
    for len in [64, 1024, 4096 + 64] {
        let stripe = Stripe::new(6, len, true, |i| i == 2);
        let columns = stripe.columns();
        let (p, q) = (stripe.p.get(), stripe.q.get());
        for ops in &forms().collect::<Vec<Ops>>() {
            for (p, q) in [(Some(p), Some(q)), (Some(p), None), (None, Some(q)), (None, None)] {
                assert_eq!(ops.check(&columns, p, q), Ok(None), "{ops:?}");
            }
            for at_bytes in [0, 1, 63, len / 2, len - 1] {
                let bad = |good: &[u8]| {
                    let mut bad = good.to_vec();
                    bad[at_bytes..].iter_mut().for_each(|byte| *byte ^= 0x10);
                    bad
                };
                let (bad_p, bad_q) = (bad(p), bad(q));
                let found = |p, q| Ok(Some(Mismatch { at_bytes, p, q }));
                assert_eq!(ops.check(&columns, Some(&bad_p), Some(q)), found(true, false), "{ops:?}");
                assert_eq!(ops.check(&columns, Some(p), Some(&bad_q)), found(false, true), "{ops:?}");
                assert_eq!(ops.check(&columns, Some(&bad_p), Some(&bad_q)), found(true, true), "{ops:?}");
                assert_eq!(ops.check(&columns, None, Some(&bad_q)), found(false, true), "{ops:?}");

                let from_the_start = |good: &[u8]| good.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>();
                let (worse_p, worse_q) = (from_the_start(p), from_the_start(q));
                let earlier = |p, q| Ok(Some(Mismatch { at_bytes: 0, p, q }));
                let both = at_bytes == 0;
                assert_eq!(ops.check(&columns, Some(&worse_p), Some(&bad_q)), earlier(true, both), "{ops:?}");
                assert_eq!(ops.check(&columns, Some(&bad_p), Some(&worse_q)), earlier(both, true), "{ops:?}");

                let bad_data = bad(columns[4]);
                let mut columns = columns.clone();
                columns[4] = &bad_data;
                assert_eq!(ops.check(&columns, Some(p), Some(q)), found(true, true), "{ops:?}");
            }
        }
    }
}

/// Calls with two good columns and one argument wrong: the error, and that no destination was touched.
#[test]
fn buffers_of_the_wrong_length_are_refused_untouched() {
    let (good, short, odd) = ([1; 128], [1; 64], [1; 96]);
    for ops in &forms().collect::<Vec<Ops>>() {
        let mut out = [[7; 128]; 2];
        let [a, b] = &mut out;
        let (given, given_short) = (Parity::Given(&good), Parity::Given(&short));
        assert_eq!(ops.xor(a, &[&good, &short]), Err(Error::Length));
        assert_eq!(ops.pq(&[&good, &short], a, b), Err(Error::Length));
        assert_eq!(ops.pq(&[&good, &good], a, &mut b[..64]), Err(Error::Length));
        assert_eq!(ops.pq(&[&good, &good], &mut a[..64], b), Err(Error::Length));
        assert_eq!(ops.pq(&[], a, &mut b[..64]), Err(Error::Length));
        assert_eq!(ops.xor(&mut a[..96], &[&odd]), Err(Error::Length));
        assert_eq!(ops.xor(&mut a[..96], &[]), Err(Error::Length));
        assert_eq!(ops.xor(&mut [], &[&good]), Err(Error::Length));
        assert_eq!(ops.update(0, &[&good, &short], Some(a), Some(b)), Err(Error::Length));
        assert_eq!(ops.update(0, &[&good], Some(a), Some(&mut b[..64])), Err(Error::Length));
        assert_eq!(ops.check(&[&good], Some(&good), Some(&short)), Err(Error::Length));
        assert_eq!(ops.check(&[&good, &short], Some(&good), None), Err(Error::Length));
        assert_eq!(ops.check(&[&odd], Some(&odd), None), Err(Error::Length));
        let one = Lost::One(0, a);
        assert_eq!(ops.recover(&[&good, &good], one, given_short, Parity::Absent), Err(Error::Length));
        let one = Lost::One(0, a);
        assert_eq!(ops.recover(&[&good, &good], one, given, Parity::Wanted(&mut b[..64])), Err(Error::Length));
        let one = Lost::One(0, a);
        assert_eq!(ops.recover(&[&good, &good], one, Parity::Absent, Parity::Given(&[])), Err(Error::Length));
        let two = Lost::Two((0, a), (1, &mut b[..64]));
        let given = (Parity::Given(&good), Parity::Given(&good));
        assert_eq!(ops.recover(&[&good, &good], two, given.0, given.1), Err(Error::Length));
        assert_eq!(out, [[7; 128]; 2], "{ops:?}");
    }
}

#[test]
fn columns_that_cannot_be_are_refused_untouched() {
    let good = [1; 64];
    let many = vec![&good[..]; 256];
    for ops in &forms().collect::<Vec<Ops>>() {
        let mut out = [[7; 64]; 2];
        let [a, b] = &mut out;
        assert_eq!(ops.xor(a, &many), Err(Error::TooManyColumns));
        assert_eq!(ops.pq(&many, a, b), Err(Error::TooManyColumns));
        assert_eq!(ops.pq(&[&[][..]; 256], a, b), Err(Error::TooManyColumns));
        assert_eq!(ops.check(&many, Some(&good), Some(&good)), Err(Error::TooManyColumns));
        assert_eq!(ops.update(255, &[&good], Some(a), Some(b)), Err(Error::NoSuchColumn));
        for (data, lost) in [(&many[..2], 2), (&many[..0], 0), (&many[..255], 255)] {
            for (keep_p, keep_q) in [(true, false), (false, true)] {
                let part = |keep: bool| if keep { Parity::Given(&good) } else { Parity::Absent };
                let refused = ops.recover(data, Lost::One(lost, a), part(keep_p), part(keep_q));
                assert_eq!(refused, Err(Error::NoSuchColumn));
            }
            let two = Lost::Two((lost, a), (0, b));
            let refused = ops.recover(data, two, Parity::Given(&good), Parity::Given(&good));
            assert_eq!(refused, Err(Error::NoSuchColumn));
        }
        let twice = Lost::Two((1, a), (1, b));
        let refused = ops.recover(&many[..3], twice, Parity::Given(&good), Parity::Given(&good));
        assert_eq!(refused, Err(Error::NoSuchColumn));
        assert_eq!(out, [[7; 64]; 2], "{ops:?}");
    }
}

#[test]
fn more_loss_than_parity_is_refused_untouched() {
    let good = [1; 64];
    let data = [&good[..]; 4];
    for ops in &forms().collect::<Vec<Ops>>() {
        let mut out = [[7; 64]; 4];
        let [a, b, p, q] = &mut out;
        let refused = |lost: Lost<'_>, p: Parity<'_>, q: Parity<'_>| {
            assert_eq!(ops.recover(&data, lost, p, q), Err(Error::NotEnough), "{ops:?}");
        };
        refused(Lost::One(0, a), Parity::Absent, Parity::Absent);
        refused(Lost::One(0, a), Parity::Wanted(p), Parity::Wanted(q));
        refused(Lost::Two((0, a), (1, b)), Parity::Given(&good), Parity::Absent);
        refused(Lost::Two((0, a), (1, b)), Parity::Given(&good), Parity::Wanted(q));
        refused(Lost::Two((0, a), (1, b)), Parity::Wanted(p), Parity::Given(&good));
        assert_eq!(out, [[7; 64]; 4], "{ops:?}");
    }
}

#[test]
fn nothing_at_all_is_nothing_to_do() {
    for ops in &forms().collect::<Vec<Ops>>() {
        assert_eq!(ops.pq(&[&[], &[]], &mut [], &mut []), Ok(()));
        assert_eq!(ops.xor(&mut [], &[]), Ok(()));
        let two = Lost::Two((0, &mut []), (1, &mut []));
        assert_eq!(ops.recover(&[&[], &[]], two, Parity::Given(&[]), Parity::Given(&[])), Ok(()));
        assert_eq!(ops.update(3, &[], None, None), Ok(()));
        assert_eq!(ops.recover(&[&[1; 64]], Lost::Nothing, Parity::Absent, Parity::Absent), Ok(()));
        let mut sum = [7; 64];
        assert_eq!((ops.xor(&mut sum, &[]), sum), (Ok(()), [0; 64]), "the sum of nothing is zero");
    }
}

#[test]
fn forms_are_found_by_their_names_and_the_portable_one_comes_last() {
    let names: Vec<&str> = all().map(Ops::name).collect();
    assert_eq!(names.last(), Some(&"portable"));
    assert_eq!(detect().name(), names[0]);
    for name in &names {
        assert_eq!(named(name).map(Ops::name), Some(*name));
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name} stands twice");
    }
    assert!(named("no such form").is_none());
}
