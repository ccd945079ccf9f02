//! The six entry points that an ISA offers: what they demand, and which loop serves which call.
//!
//! Everything else in [`parity`](super) is one of these six with the right factors. They work on raw pointers and
//! counts, call nothing of `core` that is not inlined and cannot panic: so an ISA file, this file, [`loops`](super::loops),
//! [`lanes`](super::lanes) and [`gf`](super::gf) can also be compiled apart from the rest, as a leaf object for a kernel whose
//! Rust is soft-float.
//! There are no slices, no checks and no dispatch here: those are the floor above ([`Ops`](super::Ops)).
//!
//! # What every entry point demands
//!
//! * The CPU, and the operating system for the registers' sake, supports the ISA's instructions.
//! * `sources` points to `count` ≥ 1 pointers (and `factors` to as many bytes), and each of those to `len` readable bytes.
//! * Destinations point to `len` writable bytes that overlap no source, no other destination and neither list. Where
//!   said, one may be null, and is then not written.
//! * `len` is a multiple of 64. Nothing need be aligned.

use super::lanes::Isa;
use super::loops::{Check, Claim, Dot, Fixed, FixedFactors, Listed, ListedFactors, Plain, Pq, Step, Stream};
use super::loops::{StreamAhead, Update, Xor, walk};

/// [`Kernels::pq`], [`Kernels::dot`] and so on take this for `temporal`: the blocks come from memory, and what is made is not
/// looked at soon. Any other number: they are in the caches.
pub const MEMORY: u8 = 1;

/// The entry points of one ISA. C's calling convention and layout, as they may come from a leaf object.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Kernels {
    /// `out` = Σ sources.
    pub xor: unsafe extern "C" fn(sources: *const *const u8, count: usize, out: *mut u8, len: usize, temporal: u8),
    /// `p` = Σ sources, `q` = Σ 2ⁱ · source i.
    pub pq:
        unsafe extern "C" fn(sources: *const *const u8, count: usize, p: *mut u8, q: *mut u8, len: usize, temporal: u8),
    /// `dot` = Σ factor i · source i, `sum` (may be null) = Σ sources.
    pub dot: DotEntry,
    /// `dot` = Σ factor i · source i, `sum` (may be null) = `dot` ⊕ Σ sources without the last.
    pub solve: DotEntry,
    /// δ = Σ sources; `p` (may be null) ⊕= δ, `q` (may be null) ⊕= factor · δ.
    pub update:
        unsafe extern "C" fn(sources: *const *const u8, count: usize, factor: u8, p: *mut u8, q: *mut u8, len: usize),
    /// How many bytes from the start on are right: `p` (unless null) = Σ sources, `q` (unless null) = Σ factor i · source i, where
    /// `factors` may be null for 1, 2, 4, 8, .. It is `len`, or a multiple of 8 below which all is right, and within the 512
    /// bytes from which on something is not.
    pub check: unsafe extern "C" fn(
        sources: *const *const u8,
        factors: *const u8,
        count: usize,
        p: *const u8,
        q: *const u8,
        len: usize,
    ) -> usize,
}

/// The entry points with a factor for every source.
pub type DotEntry = unsafe extern "C" fn(
    sources: *const *const u8,
    factors: *const u8,
    count: usize,
    dot: *mut u8,
    sum: *mut u8,
    len: usize,
    temporal: u8,
);

// The numbers below were measured on Zen 4 (32 KiB and 1 MiB of caches); none of them changes a result.

/// Longest blocks that are left to the CPU where nothing is said to come from memory: longer ones are in the second-level
/// cache, where claiming destinations pays while columns are few.
const PLAIN_BYTES_MAX: usize = 16 << 10;
const CLAIM_COLUMNS_MAX: usize = 8;

/// Most columns from memory that a CPU follows by itself: a line of each at a time. More of them are read in longer pieces.
const FOLLOWED_COLUMNS_MAX: usize = 24;

/// Shortest blocks in which a look ahead stays within the block for most of the time.
const AHEAD_BYTES_MIN: usize = 32 << 10;

/// Walks as the hint and the sizes want it: `U` registers at a time in the caches, `LINE` registers, which are 64 bytes, from
/// memory.
///
/// # Safety
/// As for [`walk`]. Nothing need be aligned: `destinations` has all bits of their addresses, and streaming is chosen only
/// if these say that all are.
#[inline(always)]
unsafe fn travel<I: Isa, S: Step<I>, const U: usize, const LINE: usize>(
    step: &S,
    columns: usize,
    len: usize,
    temporal: u8,
    destinations: usize,
) {
    // SAFETY: The caller's promise, and the alignment where it is streamed.
    unsafe {
        if temporal != MEMORY || !destinations.is_multiple_of(64) {
            cached::<I, S, U>(step, columns, len);
        } else if columns <= FOLLOWED_COLUMNS_MAX {
            walk::<I, S, LINE, Stream>(step, len);
        } else if len >= AHEAD_BYTES_MIN {
            walk::<I, S, U, StreamAhead>(step, len);
        } else {
            walk::<I, S, U, Stream>(step, len);
        }
    }
}

/// Walks through the caches.
///
/// # Safety
/// As for [`walk`].
#[inline(always)]
unsafe fn cached<I: Isa, S: Step<I>, const U: usize>(step: &S, columns: usize, len: usize) {
    // SAFETY: The caller's promise.
    unsafe {
        if len > PLAIN_BYTES_MAX && columns <= CLAIM_COLUMNS_MAX {
            walk::<I, S, U, Claim>(step, len);
        } else {
            walk::<I, S, U, Plain>(step, len);
        }
    }
}

/// Calls a function that is generic over the number of columns with `count`, if that is among the numbers compiled in.
macro_rules! with_count {
    ($count:expr, [$($k:literal)+], $function:ident::<$isa:ident, $registers:ident> $arguments:tt) => {
        match $count {
            $($k => return $function::<$isa, $registers, $k> $arguments,)+
            _ => {}
        }
    };
}

/// [`Kernels::xor`] for an ISA: `F` registers at a time where the number of columns is compiled in, else `U`.
///
/// # Safety
/// The entry point's demands hold. The same goes for the others below.
#[inline(always)]
pub(super) unsafe fn xor<I: Isa, const F: usize, const U: usize, const LINE: usize>(
    pointers: *const *const u8,
    count: usize,
    out: *mut u8,
    len: usize,
    temporal: u8,
) {
    // SAFETY: Handed on; `count` is that of the pointers.
    unsafe {
        if temporal != MEMORY {
            with_count!(count, [2 3 4 5 6 7 8], xor_of::<I, F>(pointers, out, len));
        }
        let columns = Listed { pointers, count };
        travel::<I, _, U, LINE>(&Xor { columns, out }, count, len, temporal, out.addr());
    }
}

/// [`xor`] of `K` columns in the caches.
///
/// # Safety
/// As for [`xor`]; there are `K` pointers.
#[inline(always)]
unsafe fn xor_of<I: Isa, const F: usize, const K: usize>(pointers: *const *const u8, out: *mut u8, len: usize) {
    // SAFETY: Handed on.
    unsafe { cached::<I, _, F>(&Xor { columns: Fixed::<K>::new(pointers), out }, K, len) }
}

/// [`Kernels::pq`] for an ISA.
///
/// # Safety
/// As for [`xor`].
#[inline(always)]
pub(super) unsafe fn pq<I: Isa, const F: usize, const U: usize, const LINE: usize>(
    pointers: *const *const u8,
    count: usize,
    p: *mut u8,
    q: *mut u8,
    len: usize,
    temporal: u8,
) {
    // SAFETY: Handed on; `count` is that of the pointers.
    unsafe {
        if temporal != MEMORY {
            with_count!(count, [2 3 4 5 6 7 8], pq_of::<I, F>(pointers, p, q, len));
        }
        let columns = Listed { pointers, count };
        travel::<I, _, U, LINE>(&Pq { columns, p, q }, count, len, temporal, p.addr() | q.addr());
    }
}

/// [`pq`] of `K` columns in the caches.
///
/// # Safety
/// As for [`xor`]; there are `K` pointers.
#[inline(always)]
unsafe fn pq_of<I: Isa, const F: usize, const K: usize>(
    pointers: *const *const u8,
    p: *mut u8,
    q: *mut u8,
    len: usize,
) {
    // SAFETY: Handed on.
    unsafe { cached::<I, _, F>(&Pq { columns: Fixed::<K>::new(pointers), p, q }, K, len) }
}

/// [`Kernels::dot`] for an ISA and, with `FOLD`, [`Kernels::solve`].
///
/// # Safety
/// As for [`xor`].
#[inline(always)]
pub(super) unsafe fn dot<I: Isa, const U: usize, const LINE: usize, const FOLD: bool>(
    pointers: *const *const u8,
    factors: *const u8,
    count: usize,
    dot: *mut u8,
    sum: *mut u8,
    len: usize,
    temporal: u8,
) {
    let columns = Listed { pointers, count };
    let destinations = dot.addr() | sum.addr();
    // SAFETY: Handed on; `count` is that of the pointers and of the factors.
    unsafe {
        if count <= I::READY_MAX && temporal != MEMORY {
            with_count!(count, [2 3 4 5 6 7 8], dot_of::<I, U>(pointers, factors, dot, sum, len, FOLD));
        }
        let factors = ListedFactors(factors);
        travel::<I, _, U, LINE>(&Dot::<_, _, FOLD> { columns, factors, dot, sum }, count, len, temporal, destinations)
    }
}

/// [`dot`] of `K` columns in the caches. `fold` is known where this is inlined.
///
/// # Safety
/// As for [`xor`]; there are `K` pointers and factors.
#[inline(always)]
unsafe fn dot_of<I: Isa, const U: usize, const K: usize>(
    pointers: *const *const u8,
    factors: *const u8,
    dot: *mut u8,
    sum: *mut u8,
    len: usize,
    fold: bool,
) {
    // SAFETY: Handed on.
    unsafe {
        let (columns, factors) = (Fixed::<K>::new(pointers), FixedFactors::<_, K>::new::<I>(factors));
        if fold {
            cached::<I, _, U>(&Dot::<_, _, true> { columns, factors, dot, sum }, K, len);
        } else {
            cached::<I, _, U>(&Dot::<_, _, false> { columns, factors, dot, sum }, K, len);
        }
    }
}

/// [`Kernels::update`] for an ISA. P and Q are read just before they are written: there is nothing to claim.
///
/// # Safety
/// As for [`xor`].
#[inline(always)]
pub(super) unsafe fn update<I: Isa, const U: usize>(
    pointers: *const *const u8,
    count: usize,
    factor: u8,
    p: *mut u8,
    q: *mut u8,
    len: usize,
) {
    // SAFETY: Handed on; `count` is that of the pointers.
    unsafe {
        with_count!(count, [1 2], update_of::<I, U>(pointers, factor, p, q, len));
        walk::<I, _, U, Plain>(&Update { columns: Listed { pointers, count }, factor, p, q }, len);
    }
}

/// [`update`] by a difference, or by the old and the new content.
///
/// # Safety
/// As for [`xor`]; there are `K` pointers.
#[inline(always)]
unsafe fn update_of<I: Isa, const U: usize, const K: usize>(
    pointers: *const *const u8,
    factor: u8,
    p: *mut u8,
    q: *mut u8,
    len: usize,
) {
    // SAFETY: Handed on.
    unsafe {
        walk::<I, _, U, Plain>(&Update { columns: Fixed::<K>::new(pointers), factor, p, q }, len);
    }
}

/// [`Kernels::check`] for an ISA.
///
/// # Safety
/// As for [`xor`].
#[inline(always)]
pub(super) unsafe fn check<I: Isa, const U: usize>(
    pointers: *const *const u8,
    factors: *const u8,
    count: usize,
    p: *const u8,
    q: *const u8,
    len: usize,
) -> usize {
    let columns = Listed { pointers, count };
    // SAFETY: Handed on.
    unsafe { walk::<I, _, U, Plain>(&Check { columns, factors, p, q }, len) }
}

/// Makes the six entry points of an ISA and the table `KERNELS` of them, in the file that calls it.
///
/// A function cannot be generic over the CPU features that it enables; so this is a macro, and all that it holds is
/// the features and the calls. The numbers are registers that the loops work on at a time: where the number of
/// columns is compiled in, where it is not, and in a line of 64 bytes.
macro_rules! entry_points {
    ($isa:ty, fixed: $fixed:literal, listed: $listed:literal, line: $line:literal $(, features: $features:literal)?) => {
        /// The entry points of this ISA. Their demands stand in `kernel.rs`.
        pub(super) const KERNELS: $crate::parity::kernel::Kernels =
            $crate::parity::kernel::Kernels { xor, pq, dot, solve, update, check };

        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn xor(sources: *const *const u8, count: usize, out: *mut u8, len: usize, temporal: u8) {
            // SAFETY: Handed on; the features are enabled here.
            unsafe { $crate::parity::kernel::xor::<$isa, $fixed, $listed, $line>(sources, count, out, len, temporal) }
        }

        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn pq(
            sources: *const *const u8,
            count: usize,
            p: *mut u8,
            q: *mut u8,
            len: usize,
            temporal: u8,
        ) {
            // SAFETY: Handed on; the features are enabled here.
            unsafe { $crate::parity::kernel::pq::<$isa, $fixed, $listed, $line>(sources, count, p, q, len, temporal) }
        }

        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn dot(
            sources: *const *const u8,
            factors: *const u8,
            count: usize,
            dot: *mut u8,
            sum: *mut u8,
            len: usize,
            temporal: u8,
        ) {
            // SAFETY: Handed on; the features are enabled here.
            unsafe {
                $crate::parity::kernel::dot::<$isa, $listed, $line, false>(
                    sources, factors, count, dot, sum, len, temporal,
                )
            }
        }

        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn solve(
            sources: *const *const u8,
            factors: *const u8,
            count: usize,
            dot: *mut u8,
            sum: *mut u8,
            len: usize,
            temporal: u8,
        ) {
            // SAFETY: Handed on; the features are enabled here.
            unsafe {
                $crate::parity::kernel::dot::<$isa, $listed, $line, true>(
                    sources, factors, count, dot, sum, len, temporal,
                )
            }
        }

        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn update(
            sources: *const *const u8,
            count: usize,
            factor: u8,
            p: *mut u8,
            q: *mut u8,
            len: usize,
        ) {
            // SAFETY: Handed on; the features are enabled here.
            unsafe { $crate::parity::kernel::update::<$isa, $listed>(sources, count, factor, p, q, len) }
        }

        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn check(
            sources: *const *const u8,
            factors: *const u8,
            count: usize,
            p: *const u8,
            q: *const u8,
            len: usize,
        ) -> usize {
            // SAFETY: Handed on; the features are enabled here.
            unsafe { $crate::parity::kernel::check::<$isa, $listed>(sources, factors, count, p, q, len) }
        }
    };
}
pub(super) use entry_points;
