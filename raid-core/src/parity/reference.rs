//! Parity one byte at a time: the mathematics to read, and the oracle that every fast form is tested against.
//!
//! Nothing here is fast and nothing here is checked: slices that differ in length are treated as if they ended with
//! the shortest. Hosts call [`Ops`](super::Ops).
//!
//! # What P and Q are
//!
//! A stripe has data columns D₀ .. Dₖ₋₁. Everything below happens to each byte position on its own, so read Dᵢ as one byte.
//!
//! **P** is the sum. A sum of bytes without carries is exclusive or, written ⊕; it is its own inverse (a ⊕ a = 0), so
//! any one missing column is the sum of all the others and P.
//!
//! Two missing columns need a second, different equation. **Q** is a weighted sum: Q = g⁰·D₀ ⊕ g¹·D₁ ⊕ .. ⊕ gᵏ⁻¹·Dₖ₋₁.
//! For that bytes must be multiplied, and divided, without leaving eight bits: they are taken as the elements of
//! the field GF(2⁸). Times two is a shift to the left, and what falls out at the top is taken back by ⊕ 0x1D (the
//! polynomial 0x11D less its top bit). g = 2 generates the field: its powers g⁰ .. g²⁵⁴ run through all 255 numbers but
//! zero, so up to 255 columns have a weight of their own. The exponent of a column is not always its place in the
//! stripe (DDF counts disk slots, MD counts from Q on); here column `i` of `data` has exponent `i`, and an empty slice
//! is a column of zeros, which is how a gap in the exponents is said.
//!
//! # Worked numbers
//!
//! Three columns, one byte each: D₀ = 01, D₁ = 80, D₂ = FF (hexadecimal).
//!
//! ```text
//! P = 01 ⊕ 80 ⊕ FF                             = 7E
//! 2·80 = 00 ⊕ 1D (the top bit fell out)        = 1D
//! 2·FF = FE ⊕ 1D = E3,  4·FF = 2·E3 = C6 ⊕ 1D  = DB
//! Q = 1·01 ⊕ 2·80 ⊕ 4·FF = 01 ⊕ 1D ⊕ DB        = C7
//! ```
//!
//! ```
//! use raid_core::parity::reference;
//! let (mut p, mut q) = ([0], [0]);
//! reference::pq(&[&[0x01], &[0x80], &[0xFF]], &mut p, &mut q);
//! assert_eq!((p, q), ([0x7E], [0xC7]));
//! ```
//!
//! **Horner.** Q = D₀ ⊕ 2·(D₁ ⊕ 2·(D₂ ⊕ ..)): from the highest column down, only ever times two. This is how P and Q are
//! generated in all the fast forms: FF, 80 ⊕ 2·FF = 80 ⊕ E3 = 63, 01 ⊕ 2·63 = 01 ⊕ C6 = C7.
//!
//! # Getting columns back
//!
//! Let P′ and Q′ be what is left of P and Q when the columns we still have are taken out:
//! P′ = P ⊕ ΣDᵢ and Q′ = Q ⊕ Σgⁱ·Dᵢ over the surviving i. So they are the same sums over the lost columns alone.
//!
//! * **One, a, from P**: Dₐ = P′.
//! * **One, a, from Q**: Q′ = gᵃ·Dₐ, so Dₐ = g⁻ᵃ·Q′.
//! * **Two, a and b, from both**: P′ = Dₐ ⊕ D_b and Q′ = gᵃ·Dₐ ⊕ gᵇ·D_b. Put D_b = P′ ⊕ Dₐ into the second:
//!   Q′ ⊕ gᵇ·P′ = (gᵃ ⊕ gᵇ)·Dₐ. The bracket is not zero, as the powers differ, so
//!   **Dₐ = (gᵃ ⊕ gᵇ)⁻¹·(Q′ ⊕ gᵇ·P′)** and **D_b = P′ ⊕ Dₐ**.
//!
//! With the numbers above and D₀ and D₂ lost: P′ = 7E ⊕ 80 = FE. Q′ = C7 ⊕ 2·80 = DA. gᵃ ⊕ gᵇ = 1 ⊕ 4 = 5, and
//! 5⁻¹ = A7. 4·FE = DF, DA ⊕ DF = 05, A7·05 = 01 = D₀. FE ⊕ 01 = FF = D₂.
//!
//! ```
//! use raid_core::parity::{gf, reference};
//! assert_eq!((gf::inverse(5), gf::multiply(4, 0xFE)), (0xA7, 0xDF));
//! let (mut d0, mut d2) = ([0], [0]);
//! reference::two(&[&[], &[0x80], &[]], (0, 2), &[0x7E], &[0xC7], &mut d0, &mut d2);
//! assert_eq!((d0, d2), ([0x01], [0xFF]));
//! ```
//!
//! # The fused form
//!
//! Taking P′ and Q′ first and solving then walks over the buffers twice. But every result is linear in what survives, so
//! the factors can be multiplied out once: with c = (gᵃ ⊕ gᵇ)⁻¹,
//! Dₐ = Σ c·(gⁱ ⊕ gᵇ)·Dᵢ ⊕ c·gᵇ·P ⊕ c·Q, a dot product of the survivors with constants, and D_b = Dₐ ⊕ ΣDᵢ ⊕ P.
//! The same shape gives all the others (see `recover` in the code): recovery then costs what generation costs.
//!
//! # Which one is wrong
//!
//! Nothing is missing, but one column is not what it was: Dₐ ⊕ δ stands where Dₐ stood. Take everything out, so that nothing should be
//! left: P′ = δ and Q′ = gᵃ·δ. The error itself cancels out of Q′/P′ = gᵃ, and a is its logarithm. If P is wrong instead, P′ = δ and
//! Q′ = 0; if Q is, the other way round. A quotient that is the power of no column says that no single column can be wrong;
//! so do two positions of one block that name different columns.
//!
//! With the numbers above and D₁ = 81: P′ = 01, Q′ = 2·01 = 02, and 02/01 = g¹.
//!
//! ```
//! use raid_core::parity::{Culprit, reference};
//! let located = reference::locate(&[&[0x01], &[0x81], &[0xFF]], &[0x7E], &[0xC7]).unwrap();
//! assert_eq!(located.culprit, Culprit::Data(1));
//! ```
//!
//! # Partial update
//!
//! When column i changes by δ = old ⊕ new, P changes by δ and Q by gⁱ·δ: one multiplication whatever i is.

use super::gf::{inverse, multiply, power};
use super::locate::{Culprit, Located};

/// Calls `each` with the exponent and the byte of every column that is not empty, at position `at`.
fn columns_at(data: &[&[u8]], at: usize) -> impl Iterator<Item = (u8, u8)> {
    (0..=u8::MAX).zip(data).filter_map(move |(exponent, column)| Some((exponent, *column.get(at)?)))
}

/// P′ or P at one position: the sum.
fn sum(data: &[&[u8]], at: usize) -> u8 {
    columns_at(data, at).fold(0, |sum, (_, byte)| sum ^ byte)
}

/// Q′ or Q at one position: the sum weighted with the powers of two.
fn weighted_sum(data: &[&[u8]], at: usize) -> u8 {
    columns_at(data, at).fold(0, |sum, (exponent, byte)| sum ^ multiply(power(exponent), byte))
}

/// `out` becomes the sum of `sources`; empty ones count as zeros.
pub fn xor(out: &mut [u8], sources: &[&[u8]]) {
    for (at, out) in out.iter_mut().enumerate() {
        *out = sum(sources, at);
    }
}

/// `p` and `q` become P and Q of `data`; an empty column is one of zeros.
pub fn pq(data: &[&[u8]], p: &mut [u8], q: &mut [u8]) {
    for (at, (p, q)) in p.iter_mut().zip(q).enumerate() {
        *p = sum(data, at);
        *q = weighted_sum(data, at);
    }
}

/// `out` becomes column `lost`, from Q. What `data` has in its place must be empty.
pub fn one_by_q(data: &[&[u8]], lost: u8, q: &[u8], out: &mut [u8]) {
    for (at, (out, q)) in out.iter_mut().zip(q).enumerate() {
        *out = multiply(inverse(power(lost)), q ^ weighted_sum(data, at));
    }
}

/// `out_a` and `out_b` become the columns `lost`, from P and Q. What `data` has in their places must be empty.
pub fn two(data: &[&[u8]], lost: (u8, u8), p: &[u8], q: &[u8], out_a: &mut [u8], out_b: &mut [u8]) {
    let (weight_a, weight_b) = (power(lost.0), power(lost.1));
    let inverse = inverse(weight_a ^ weight_b);
    for (at, ((out_a, out_b), (p, q))) in out_a.iter_mut().zip(out_b).zip(p.iter().zip(q)).enumerate() {
        let p_rest = p ^ sum(data, at);
        let q_rest = q ^ weighted_sum(data, at);
        *out_a = multiply(inverse, q_rest ^ multiply(weight_b, p_rest));
        *out_b = p_rest ^ *out_a;
    }
}

/// What does not fit between data and P and Q, and the column that explains it; `None` if all fits.
///
/// Every column is tried at every position: that is the definition.
#[must_use]
pub fn locate(data: &[&[u8]], p: &[u8], q: &[u8]) -> Option<Located> {
    let mut found: Option<Located> = None;
    for (at, (p, q)) in p.iter().zip(q).enumerate() {
        let (p_rest, q_rest) = (p ^ sum(data, at), q ^ weighted_sum(data, at));
        let culprit = match (p_rest, q_rest) {
            (0, 0) => continue,
            (_, 0) => Culprit::P,
            (0, _) => Culprit::Q,
            (p_rest, q_rest) => columns_at(data, at)
                .find(|(exponent, _)| multiply(power(*exponent), p_rest) == q_rest)
                .map_or(Culprit::Several, |(exponent, _)| Culprit::Data(exponent)),
        };
        let first = Located { from_bytes: at, to_bytes: at, bytes: 0, culprit };
        let located = found.get_or_insert(first);
        if located.culprit != culprit {
            located.culprit = Culprit::Several;
        }
        located.to_bytes = at.saturating_add(1);
        located.bytes = located.bytes.saturating_add(1);
    }
    found
}
