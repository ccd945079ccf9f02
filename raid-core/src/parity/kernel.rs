//! The five loops over columns, written once for all ISAs, and the table of entry points that an ISA offers.
//!
//! Everything else in [`parity`](super) is one of these five with the right factors. They work on raw pointers and
//! counts, call nothing of `core` that is not inlined and cannot panic: so an ISA file, this file, [`lanes`](super::lanes) and
//! [`gf`](super::gf) can also be compiled apart from the rest, as a leaf object for a kernel whose Rust is soft-float.
//! There are no slices, no checks and no dispatch here: those are the floor above ([`Ops`](super::Ops)).
//!
//! # What every entry point demands
//!
//! * The CPU, and the operating system for the registers' sake, supports the ISA's instructions.
//! * `sources` points to `count` ≥ 1 pointers (and `factors` to as many bytes), and each of those to `len` readable bytes.
//! * Destinations point to `len` writable bytes that overlap no source, no other destination and neither list. Where
//!   said, one may be null, and is then not written.
//! * `len` is a multiple of 64. Nothing need be aligned.

use super::lanes::{Isa, Register};

/// The entry points of one ISA. C's calling convention and layout, as they may come from a leaf object.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Kernels {
    /// `out` = Σ sources.
    pub xor: unsafe extern "C" fn(sources: *const *const u8, count: usize, out: *mut u8, len: usize),
    /// `p` = Σ sources, `q` = Σ 2ⁱ · source i.
    pub pq: unsafe extern "C" fn(sources: *const *const u8, count: usize, p: *mut u8, q: *mut u8, len: usize),
    /// `dot` = Σ factor i · source i, `sum` (may be null) = Σ sources.
    pub dot: DotEntry,
    /// `dot` = Σ factor i · source i, `sum` (may be null) = `dot` ⊕ Σ sources without the last.
    pub solve: DotEntry,
    /// δ = Σ sources; `p` (may be null) ⊕= δ, `q` (may be null) ⊕= factor · δ.
    pub update:
        unsafe extern "C" fn(sources: *const *const u8, count: usize, factor: u8, p: *mut u8, q: *mut u8, len: usize),
}

/// The entry points with a factor for every source.
pub type DotEntry = unsafe extern "C" fn(
    sources: *const *const u8,
    factors: *const u8,
    count: usize,
    dot: *mut u8,
    sum: *mut u8,
    len: usize,
);

/// What a loop does at one place: a few registers' worth of every column.
trait Step<I: Isa> {
    /// Works on `U` registers from byte `at` on.
    ///
    /// # Safety
    /// The entry point's demands hold, and `at + U * BYTES` ≤ `len`.
    unsafe fn step<const U: usize>(&self, at: usize);
}

/// Walks over `len` bytes, `U` registers at a time and the rest one by one.
///
/// # Safety
/// The entry point's demands hold for `len` bytes.
#[inline(always)]
unsafe fn walk<I: Isa, S: Step<I>, const U: usize>(step: &S, len: usize) {
    let bytes = I::Register::BYTES;
    let mut at = 0;
    while len - at >= U * bytes {
        // SAFETY: The condition of the loop; the rest is the caller's promise.
        unsafe { step.step::<U>(at) };
        at += U * bytes;
    }
    while at < len {
        // SAFETY: `len` and `at` are multiples of 64 and so of a register: where one byte is left, a register is.
        unsafe { step.step::<1>(at) };
        at += bytes;
    }
}

/// Loads `U` registers from `from` on.
///
/// # Safety
/// The CPU has the instructions, and `U * BYTES` bytes may be read.
#[inline(always)]
unsafe fn load<R: Register, const U: usize>(from: *const u8) -> [R; U] {
    // SAFETY: Register `u` lies within the `U * BYTES` bytes; the CPU is the caller's promise.
    unsafe {
        let mut registers = [R::zero(); U];
        for (u, register) in registers.iter_mut().enumerate() {
            *register = R::load(from.add(u * R::BYTES));
        }
        registers
    }
}

/// Stores `U` registers from `to` on.
///
/// # Safety
/// The CPU has the instructions, and `U * BYTES` bytes may be written.
#[inline(always)]
unsafe fn store<R: Register, const U: usize>(registers: [R; U], to: *mut u8) {
    for (u, register) in registers.into_iter().enumerate() {
        // SAFETY: Register `u` lies within the `U * BYTES` bytes; the CPU is the caller's promise.
        unsafe { register.store(to.add(u * R::BYTES)) };
    }
}

/// The list of columns to read.
#[derive(Clone, Copy)]
struct Sources {
    pointers: *const *const u8,
    count: usize,
}

impl Sources {
    /// `U` registers of column `index` from byte `at` on.
    ///
    /// # Safety
    /// The entry point's demands hold, `index` < `count` and `at + U * BYTES` ≤ `len`.
    #[inline(always)]
    unsafe fn load<R: Register, const U: usize>(self, index: usize, at: usize) -> [R; U] {
        // SAFETY: `index` is within the list, `at..` within the column that it names.
        unsafe { load((*self.pointers.add(index)).add(at)) }
    }

    /// The sum of the first `count` columns.
    ///
    /// # Safety
    /// As for [`load`](Self::load), with `count` ≤ `self.count`.
    #[inline(always)]
    unsafe fn sum<R: Register, const U: usize>(self, count: usize, at: usize) -> [R; U] {
        // SAFETY: All indices are below `count`; the rest is the caller's promise.
        unsafe {
            let mut index = count & 1;
            let mut sum = if index == 1 { self.load(0, at) } else { [R::zero(); U] };
            while index < count {
                let (x, y) = (self.load::<R, U>(index, at), self.load::<R, U>(index + 1, at));
                for u in 0..U {
                    sum[u] = sum[u].xor3(x[u], y[u]);
                }
                index += 2;
            }
            sum
        }
    }
}

/// Σ sources.
struct Xor {
    sources: Sources,
    out: *mut u8,
}

impl<I: Isa> Step<I> for Xor {
    #[inline(always)]
    unsafe fn step<const U: usize>(&self, at: usize) {
        // SAFETY: `at` and the columns are within what the entry point was promised.
        unsafe { store(self.sources.sum::<I::Register, U>(self.sources.count, at), self.out.add(at)) };
    }
}

/// Σ sources and Σ 2ⁱ · source i, from the highest column down by Horner's rule, two columns at a time.
struct Pq {
    sources: Sources,
    p: *mut u8,
    q: *mut u8,
}

impl<I: Isa> Step<I> for Pq {
    #[inline(always)]
    unsafe fn step<const U: usize>(&self, at: usize) {
        // SAFETY: The entry point was promised `count` ≥ 1, so `index` starts as the last column and is always below
        // `count`; `at` is within what the entry point was promised.
        unsafe {
            let mut index = self.sources.count - 1;
            let mut p = self.sources.load::<I::Register, U>(index, at);
            let mut q = p;
            if self.sources.count.is_multiple_of(2) {
                index -= 1;
                let low = self.sources.load::<I::Register, U>(index, at);
                for u in 0..U {
                    p[u] = p[u].xor(low[u]);
                    q[u] = I::horner(q[u], low[u]);
                }
            }
            while index > 0 {
                index -= 2;
                let high = self.sources.load::<I::Register, U>(index + 1, at);
                let low = self.sources.load::<I::Register, U>(index, at);
                for u in 0..U {
                    p[u] = p[u].xor3(high[u], low[u]);
                    q[u] = I::horner2(q[u], high[u], low[u]);
                }
            }
            store(p, self.p.add(at));
            store(q, self.q.add(at));
        }
    }
}

/// Σ factor i · source i and Σ sources. With `FOLD`, the last source counts in the first sum only, and the first sum in the
/// second: so the second unknown of two equations falls out of the first.
struct Dot<const FOLD: bool> {
    sources: Sources,
    factors: *const u8,
    dot: *mut u8,
    sum: *mut u8,
}

impl<I: Isa, const FOLD: bool> Step<I> for Dot<FOLD> {
    #[inline(always)]
    unsafe fn step<const U: usize>(&self, at: usize) {
        // SAFETY: All indices are below `count`, which is at least 1; `at` is within what the entry point was promised;
        // `sum` is written only if there is one.
        unsafe {
            let mut dot = [I::Register::zero(); U];
            let mut sum = dot;
            let summed = if FOLD { self.sources.count - 1 } else { self.sources.count };
            let mut index = summed & 1;
            if index == 1 {
                let factor = I::factor(*self.factors);
                sum = self.sources.load(0, at);
                for u in 0..U {
                    dot[u] = I::times(sum[u], factor);
                }
            }
            while index < summed {
                let (f, g) = (I::factor(*self.factors.add(index)), I::factor(*self.factors.add(index + 1)));
                let x = self.sources.load::<I::Register, U>(index, at);
                let y = self.sources.load::<I::Register, U>(index + 1, at);
                for u in 0..U {
                    sum[u] = sum[u].xor3(x[u], y[u]);
                    dot[u] = dot[u].xor3(I::times(x[u], f), I::times(y[u], g));
                }
                index += 2;
            }
            if FOLD {
                let factor = I::factor(*self.factors.add(summed));
                let x = self.sources.load::<I::Register, U>(summed, at);
                for u in 0..U {
                    dot[u] = dot[u].xor(I::times(x[u], factor));
                    sum[u] = sum[u].xor(dot[u]);
                }
            }
            store(dot, self.dot.add(at));
            if !self.sum.is_null() {
                store(sum, self.sum.add(at));
            }
        }
    }
}

/// Adds a change to P, and its multiple to Q.
struct Update {
    sources: Sources,
    factor: u8,
    p: *mut u8,
    q: *mut u8,
}

impl<I: Isa> Step<I> for Update {
    #[inline(always)]
    unsafe fn step<const U: usize>(&self, at: usize) {
        // SAFETY: `at` and the columns are within what the entry point was promised; `p` and `q` are touched only if
        // they are there.
        unsafe {
            let change = self.sources.sum::<I::Register, U>(self.sources.count, at);
            if !self.p.is_null() {
                let mut p = load::<I::Register, U>(self.p.add(at));
                for u in 0..U {
                    p[u] = p[u].xor(change[u]);
                }
                store(p, self.p.add(at));
            }
            if !self.q.is_null() {
                let factor = I::factor(self.factor);
                let mut q = load::<I::Register, U>(self.q.add(at));
                for u in 0..U {
                    q[u] = q[u].xor(I::times(change[u], factor));
                }
                store(q, self.q.add(at));
            }
        }
    }
}

/// [`Kernels::xor`] for an ISA, `U` registers at a time.
///
/// # Safety
/// The entry point's demands hold. The same goes for the four below.
#[inline(always)]
pub(super) unsafe fn xor<I: Isa, const U: usize>(pointers: *const *const u8, count: usize, out: *mut u8, len: usize) {
    // SAFETY: Handed on.
    unsafe { walk::<I, _, U>(&Xor { sources: Sources { pointers, count }, out }, len) }
}

/// [`Kernels::pq`] for an ISA.
///
/// # Safety
/// As for [`xor`].
#[inline(always)]
pub(super) unsafe fn pq<I: Isa, const U: usize>(
    pointers: *const *const u8,
    count: usize,
    p: *mut u8,
    q: *mut u8,
    len: usize,
) {
    // SAFETY: Handed on.
    unsafe { walk::<I, _, U>(&Pq { sources: Sources { pointers, count }, p, q }, len) }
}

/// [`Kernels::dot`] for an ISA and, with `FOLD`, [`Kernels::solve`].
///
/// # Safety
/// As for [`xor`].
#[inline(always)]
pub(super) unsafe fn dot<I: Isa, const U: usize, const FOLD: bool>(
    pointers: *const *const u8,
    factors: *const u8,
    count: usize,
    dot: *mut u8,
    sum: *mut u8,
    len: usize,
) {
    // SAFETY: Handed on.
    unsafe { walk::<I, _, U>(&Dot::<FOLD> { sources: Sources { pointers, count }, factors, dot, sum }, len) }
}

/// [`Kernels::update`] for an ISA.
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
    // SAFETY: Handed on.
    unsafe { walk::<I, _, U>(&Update { sources: Sources { pointers, count }, factor, p, q }, len) }
}

/// Makes the five entry points of an ISA and the table `KERNELS` of them, in the file that calls it.
///
/// A function cannot be generic over the CPU features that it enables; so this is a macro, and all that it holds is
/// the features and the calls. The loops are inlined into these functions, where registers may stay registers.
macro_rules! entry_points {
    ($isa:ty, registers: $registers:literal $(, features: $features:literal)?) => {
        /// The entry points of this ISA. Their demands stand in `kernel.rs`.
        pub(super) const KERNELS: $crate::parity::kernel::Kernels =
            $crate::parity::kernel::Kernels { xor, pq, dot, solve, update };

        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn xor(sources: *const *const u8, count: usize, out: *mut u8, len: usize) {
            // SAFETY: Handed on; the features are enabled here.
            unsafe { $crate::parity::kernel::xor::<$isa, $registers>(sources, count, out, len) }
        }

        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn pq(sources: *const *const u8, count: usize, p: *mut u8, q: *mut u8, len: usize) {
            // SAFETY: Handed on; the features are enabled here.
            unsafe { $crate::parity::kernel::pq::<$isa, $registers>(sources, count, p, q, len) }
        }

        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn dot(
            sources: *const *const u8,
            factors: *const u8,
            count: usize,
            dot: *mut u8,
            sum: *mut u8,
            len: usize,
        ) {
            // SAFETY: Handed on; the features are enabled here.
            unsafe { $crate::parity::kernel::dot::<$isa, $registers, false>(sources, factors, count, dot, sum, len) }
        }

        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn solve(
            sources: *const *const u8,
            factors: *const u8,
            count: usize,
            dot: *mut u8,
            sum: *mut u8,
            len: usize,
        ) {
            // SAFETY: Handed on; the features are enabled here.
            unsafe { $crate::parity::kernel::dot::<$isa, $registers, true>(sources, factors, count, dot, sum, len) }
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
            unsafe { $crate::parity::kernel::update::<$isa, $registers>(sources, count, factor, p, q, len) }
        }
    };
}
pub(super) use entry_points;
