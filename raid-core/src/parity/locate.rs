//! Which column is wrong where data and parity do not fit.
//!
//! The mathematics is in [`reference`](super::reference#which-one-is-wrong). [`Ops::locate`] is meant for what does not fit, which is
//! rare: it finds out with [`Ops::check`], at full speed, whether there is anything to look at.

use super::ops::{Error, LENGTH_UNIT_BYTES, Ops};
use super::{gf, reference};

/// What does not fit in a stretch, and who explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Offset of the first byte that does not fit.
    pub from_bytes: usize,
    /// Offset behind the last one.
    pub to_bytes: usize,
    /// Bytes between them that do not fit: as many pieces of evidence, all for the same culprit unless that is
    /// [`Culprit::Several`].
    pub bytes: usize,
    /// Who explains all of them.
    pub culprit: Culprit,
}

/// The column that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Culprit {
    /// The data column with this exponent.
    Data(u8),
    /// P.
    P,
    /// Q.
    Q,
    /// No single column explains it: more than one is wrong.
    Several,
    /// One parity alone cannot say.
    Unknown,
}

/// Bytes that are looked at together.
const UNIT: usize = LENGTH_UNIT_BYTES;

impl Ops {
    /// What does not fit between `data` and those of P and Q that are given; `None` if all fits, or nothing is given.
    /// A column that is empty in `data` is never named: it does not exist.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::TooManyColumns`].
    pub fn locate(&self, data: &[&[u8]], p: Option<&[u8]>, q: Option<&[u8]>) -> Result<Option<Located>, Error> {
        let len_bytes = p.or(q).map_or(0, <[u8]>::len);
        let mut found: Option<Located> = None;
        let mut looked_at = 0;
        // What fits between two places that do not is passed at full speed.
        while let Some(mismatch) = self.check_from(data, p, q, looked_at)? {
            let start = mismatch.at_bytes.saturating_sub(mismatch.at_bytes % UNIT);
            looked_at = start.saturating_add(UNIT);
            for at in start..looked_at.min(len_bytes) {
                let (p_rest, q_rest) = Self::rests(data, p, q, at);
                if (p_rest, q_rest) == (0, 0) {
                    continue;
                }
                let culprit = if p.is_some() && q.is_some() { explain(data, p_rest, q_rest) } else { Culprit::Unknown };
                let located = found.get_or_insert(Located { from_bytes: at, to_bytes: at, bytes: 0, culprit });
                if located.culprit != culprit {
                    located.culprit = Culprit::Several;
                }
                located.to_bytes = at.saturating_add(1);
                located.bytes = located.bytes.saturating_add(1);
            }
        }
        Ok(found)
    }

    /// P′ and Q′ of one byte: what is left of P and Q when all data are taken out. Zero where none is given.
    fn rests(data: &[&[u8]], p: Option<&[u8]>, q: Option<&[u8]>, at_bytes: usize) -> (u8, u8) {
        let (made_p, made_q) = reference::pq_at(data, at_bytes);
        let rest = |stored: Option<&[u8]>, made: u8| {
            stored.and_then(|stored| stored.get(at_bytes)).map_or(0, |stored| stored ^ made)
        };
        (rest(p, made_p), rest(q, made_q))
    }
}

/// Who explains what is left at one position, where something is.
fn explain(data: &[&[u8]], p_rest: u8, q_rest: u8) -> Culprit {
    let exists = |exponent: &u8| data.get(usize::from(*exponent)).is_some_and(|column| !column.is_empty());
    match (p_rest, q_rest) {
        (_, 0) => Culprit::P,
        (0, _) => Culprit::Q,
        _ => gf::logarithm(gf::multiply(q_rest, gf::inverse(p_rest)))
            .filter(exists)
            .map_or(Culprit::Several, Culprit::Data),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::super::{all, reference};
    use super::*;

    fn low(at: usize) -> u8 {
        at.to_le_bytes()[0]
    }

    /// So many columns of `len` bytes, with one that does not exist, and P and Q.
    fn stripe(columns: u8, len: usize, gap: Option<u8>) -> (Vec<Vec<u8>>, Vec<u8>, Vec<u8>) {
        let byte = |column: u8, at: usize| low(at).wrapping_mul(31) ^ column.wrapping_mul(97).wrapping_add(13);
        let column = |column| (0..len).filter(|_| Some(column) != gap).map(|at| byte(column, at)).collect();
        let data: Vec<Vec<u8>> = (0..columns).map(column).collect();
        let slices: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let (mut p, mut q) = (vec![0; len], vec![0; len]);
        reference::pq(&slices, &mut p, &mut q);
        (data, p, q)
    }

    /// What the reference says, having seen that all forms say the same.
    fn located(data: &[Vec<u8>], p: &[u8], q: &[u8]) -> Option<Located> {
        let slices: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let wanted = reference::locate(&slices, p, q);
        for ops in all() {
            assert_eq!(ops.locate(&slices, Some(p), Some(q)), Ok(wanted), "{ops:?}");
            let alone = |p, q| ops.locate(&slices, p, q).unwrap().map(|located| located.culprit);
            assert!([None, Some(Culprit::Unknown)].contains(&alone(Some(p), None)), "{ops:?}");
            assert!([None, Some(Culprit::Unknown)].contains(&alone(None, Some(q))), "{ops:?}");
        }
        wanted
    }

    #[test]
    fn every_single_column_is_named_whatever_bytes_of_it_are_wrong() {
        for (columns, gap) in [(1, None), (2, None), (4, Some(1)), (17, Some(16)), (255, Some(3))] {
            let (data, p, q) = stripe(columns, 128, gap);
            assert_eq!(located(&data, &p, &q), None);
            // Of many columns some: the reference tries them all, for every byte.
            for wrong in (0..columns).filter(|column| Some(*column) != gap).step_by(usize::from(columns / 20 + 1)) {
                for range in [0..1, 127..128, 60..70, 0..128] {
                    let mut data = data.clone();
                    data[usize::from(wrong)][range.clone()].iter_mut().for_each(|byte| *byte ^= 0x5A);
                    let culprit = Culprit::Data(wrong);
                    let (from_bytes, to_bytes, bytes) = (range.start, range.end, range.len());
                    let wanted = Some(Located { from_bytes, to_bytes, bytes, culprit });
                    assert_eq!(located(&data, &p, &q), wanted, "{columns} {wrong}");
                }
            }
            for (culprit, is_p) in [(Culprit::P, true), (Culprit::Q, false)] {
                let (mut p, mut q) = (p.clone(), q.clone());
                let wrong = if is_p { &mut p } else { &mut q };
                wrong[100] ^= 1;
                let wanted = Some(Located { from_bytes: 100, to_bytes: 101, bytes: 1, culprit });
                assert_eq!(located(&data, &p, &q), wanted);
            }
        }
    }

    #[test]
    fn two_wrong_columns_are_not_blamed_on_one() {
        let (good, p, q) = stripe(6, 512, Some(2));
        // At different bytes: each names its own column, together they name none.
        for (one, other) in [(0, 1), (3, 5), (5, 0)] {
            let mut data = good.clone();
            data[one][7] ^= 1;
            data[other][300] ^= 0x80;
            let wanted = Located { from_bytes: 7, to_bytes: 301, bytes: 2, culprit: Culprit::Several };
            assert_eq!(located(&data, &p, &q), Some(wanted));
        }
        let (mut data, mut bad_p) = (good.clone(), p.clone());
        data[4][7] ^= 1;
        bad_p[9] ^= 1;
        assert_eq!(located(&data, &bad_p, &q).unwrap().culprit, Culprit::Several);
        // At the same bytes, by differences that vary: what they name varies too, or does not exist.
        let mut data = good;
        (0..512).for_each(|at| data[0][at] ^= low(at) | 1);
        (0..512).for_each(|at| data[1][at] ^= low(at).wrapping_mul(7) | 2);
        assert_eq!(located(&data, &p, &q).unwrap().culprit, Culprit::Several);
    }

    /// 1 and 2 in columns 0 and 1 of one byte: P' = 3, Q' = 1 + 2·2 = 5. Their quotient is the power of a column that is not there.
    #[test]
    fn a_column_that_does_not_exist_is_not_named() {
        let (mut data, p, q) = stripe(3, 64, Some(2));
        data[0][0] ^= 1;
        data[1][0] ^= 2;
        assert_eq!(located(&data, &p, &q).unwrap().culprit, Culprit::Several);
    }
}
