//! The loops over columns, written once for all ISAs: what an entry point does at one place, and the walk over all places.
//!
//! Their demands are those of the [entry points](super::kernel). Everything here is inlined into these, where registers may stay
//! registers; nothing here can panic.

use super::lanes::{Isa, Register};

/// How a walk treats the caches.
pub(super) trait Traffic {
    /// Store past the caches: destinations are aligned to 64 bytes.
    const STREAM: bool;
    /// Ask for sources so many bytes ahead; 0 is not at all.
    const AHEAD_BYTES: usize;
    /// Ask for destinations so many bytes ahead, in order to write them; 0 is not at all.
    const CLAIM_BYTES: usize;
}

/// As the CPU does by itself: right in the first-level cache.
pub(super) struct Plain;
/// Takes hold of destinations in time: right in the second-level cache, while columns are few.
pub(super) struct Claim;
/// Past the caches: right for what comes from memory. The CPU itself sees where so few columns go on.
pub(super) struct Stream;
/// Past the caches, and a look ahead for a CPU that has lost track of so many columns.
pub(super) struct StreamAhead;

impl Traffic for Plain {
    const STREAM: bool = false;
    const AHEAD_BYTES: usize = 0;
    const CLAIM_BYTES: usize = 0;
}

impl Traffic for Claim {
    const STREAM: bool = false;
    const AHEAD_BYTES: usize = 0;
    const CLAIM_BYTES: usize = 512;
}

impl Traffic for Stream {
    const STREAM: bool = true;
    const AHEAD_BYTES: usize = 0;
    const CLAIM_BYTES: usize = 0;
}

impl Traffic for StreamAhead {
    const STREAM: bool = true;
    const AHEAD_BYTES: usize = 256;
    const CLAIM_BYTES: usize = 0;
}

/// What a loop does at one place: a few registers' worth of every column.
pub(super) trait Step<I: Isa> {
    /// Works on `U` registers from byte `at` on. False ends the walk there.
    ///
    /// # Safety
    /// The entry point's demands hold, `at + U * BYTES` ≤ `len`, and destinations are aligned if the traffic streams.
    unsafe fn step<const U: usize, T: Traffic>(&self, at: usize) -> bool;
}

/// Walks over `len` bytes, `U` registers at a time and the rest one by one. Where it ended: `len`, or the place of a step that
/// said so.
///
/// # Safety
/// The entry point's demands hold for `len` bytes, and destinations are aligned if the traffic streams.
#[inline(always)]
pub(super) unsafe fn walk<I: Isa, S: Step<I>, const U: usize, T: Traffic>(step: &S, len: usize) -> usize {
    let bytes = I::Register::BYTES;
    let mut at = 0;
    while len - at >= U * bytes {
        // SAFETY: The condition of the loop; the rest is the caller's promise.
        if !unsafe { step.step::<U, T>(at) } {
            return at;
        }
        at += U * bytes;
    }
    while at < len {
        // SAFETY: `len` and `at` are multiples of 64 and so of a register: where one byte is left, a register is.
        if !unsafe { step.step::<1, T>(at) } {
            return at;
        }
        at += bytes;
    }
    if T::STREAM {
        I::Register::fence();
    }
    len
}

/// Asks for what lies `AHEAD` bytes behind `U` registers' worth of bytes at `from`, if anything is to be asked for.
#[inline(always)]
fn look_ahead<R: Register, const U: usize, T: Traffic>(from: *const u8) {
    if T::AHEAD_BYTES > 0 {
        let mut line = 0;
        while line < U * R::BYTES {
            R::prefetch(from.wrapping_add(T::AHEAD_BYTES + line));
            line += 64;
        }
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
/// The CPU has the instructions, `U * BYTES` bytes may be written, and `to` is aligned if the traffic streams.
#[inline(always)]
unsafe fn store<R: Register, const U: usize, T: Traffic>(registers: [R; U], to: *mut u8) {
    for (u, register) in registers.into_iter().enumerate() {
        // SAFETY: Register `u` lies within the `U * BYTES` bytes, and is as aligned as `to`; the CPU is the caller's promise.
        unsafe {
            let to = to.add(u * R::BYTES);
            if T::STREAM { register.stream(to) } else { register.store(to) }
        }
    }
}

/// Claims what `U` registers will be stored to a little later, if the traffic claims.
#[inline(always)]
fn claim<R: Register, const U: usize, T: Traffic>(to: *const u8) {
    if T::CLAIM_BYTES > 0 {
        let mut line = 0;
        while line < U * R::BYTES {
            R::claim(to.wrapping_add(T::CLAIM_BYTES + line));
            line += 64;
        }
    }
}

/// The columns to read, by index.
pub(super) trait Columns: Copy {
    /// How many.
    fn count(&self) -> usize;

    /// Where column `index` begins.
    ///
    /// # Safety
    /// The entry point's demands hold, and `index` < `count`.
    unsafe fn start(&self, index: usize) -> *const u8;

    /// `U` registers of column `index` from byte `at` on.
    ///
    /// # Safety
    /// As for [`start`](Self::start), and `at + U * BYTES` ≤ `len`.
    #[inline(always)]
    unsafe fn load<R: Register, const U: usize, T: Traffic>(&self, index: usize, at: usize) -> [R; U] {
        // SAFETY: `at..` is within the column.
        unsafe {
            let from = self.start(index).add(at);
            look_ahead::<R, U, T>(from);
            load(from)
        }
    }
}

/// As many as the caller has: the list is read anew at each place.
#[derive(Clone, Copy)]
pub(super) struct Listed {
    pub(super) pointers: *const *const u8,
    pub(super) count: usize,
}

impl Columns for Listed {
    #[inline(always)]
    fn count(&self) -> usize {
        self.count
    }

    #[inline(always)]
    unsafe fn start(&self, index: usize) -> *const u8 {
        // SAFETY: `index` is within the list.
        unsafe { *self.pointers.add(index) }
    }
}

/// A number known when this is compiled: the list stays in registers, and the loop over columns is unrolled.
#[derive(Clone, Copy)]
pub(super) struct Fixed<const K: usize>([*const u8; K]);

impl<const K: usize> Fixed<K> {
    /// # Safety
    /// `pointers` is a list of `K`.
    #[inline(always)]
    pub(super) unsafe fn new(pointers: *const *const u8) -> Self {
        // SAFETY: An array is its elements, one behind the other.
        Self(unsafe { pointers.cast::<[*const u8; K]>().read() })
    }
}

impl<const K: usize> Columns for Fixed<K> {
    #[inline(always)]
    fn count(&self) -> usize {
        K
    }

    #[inline(always)]
    unsafe fn start(&self, index: usize) -> *const u8 {
        // SAFETY: `index` < `K`.
        unsafe { *self.0.as_ptr().add(index) }
    }
}

/// The factors of columns, by index.
pub(super) trait Factors<I: Isa>: Copy {
    /// That of column `index`, made ready.
    ///
    /// # Safety
    /// The CPU has the instructions; there is a factor `index`.
    unsafe fn at(&self, index: usize) -> I::Factor;
}

/// As many as the caller has: each is made ready anew at each place.
#[derive(Clone, Copy)]
pub(super) struct ListedFactors(pub(super) *const u8);

impl<I: Isa> Factors<I> for ListedFactors {
    #[inline(always)]
    unsafe fn at(&self, index: usize) -> I::Factor {
        // SAFETY: The caller's promise.
        unsafe { I::factor(*self.0.add(index)) }
    }
}

/// A number known when this is compiled: made ready once.
#[derive(Clone, Copy)]
pub(super) struct FixedFactors<F, const K: usize>([F; K]);

impl<F: Copy, const K: usize> FixedFactors<F, K> {
    /// # Safety
    /// The CPU has the instructions; `factors` is a list of `K`, and `K` is not 0.
    #[inline(always)]
    pub(super) unsafe fn new<I: Isa<Factor = F>>(factors: *const u8) -> Self {
        // SAFETY: All indices are below `K`.
        unsafe {
            let mut all = [I::factor(*factors); K];
            let mut index = 1;
            while index < K {
                *all.as_mut_ptr().add(index) = I::factor(*factors.add(index));
                index += 1;
            }
            Self(all)
        }
    }
}

impl<I: Isa, const K: usize> Factors<I> for FixedFactors<I::Factor, K> {
    #[inline(always)]
    unsafe fn at(&self, index: usize) -> I::Factor {
        // SAFETY: `index` < `K`.
        unsafe { *self.0.as_ptr().add(index) }
    }
}

/// The sum of the first `count` columns.
///
/// # Safety
/// As for [`Columns::load`], with `count` ≤ that of the columns.
#[inline(always)]
unsafe fn sum<R: Register, C: Columns, const U: usize, T: Traffic>(columns: &C, count: usize, at: usize) -> [R; U] {
    // SAFETY: All indices are below `count`; the rest is the caller's promise.
    unsafe {
        let mut index = count & 1;
        let mut sum = if index == 1 { columns.load::<R, U, T>(0, at) } else { [R::zero(); U] };
        while index < count {
            let x = columns.load::<R, U, T>(index, at);
            let y = columns.load::<R, U, T>(index + 1, at);
            for u in 0..U {
                sum[u] = sum[u].xor3(x[u], y[u]);
            }
            index += 2;
        }
        sum
    }
}

/// Σ columns and Σ 2ⁱ · column i, from the highest column down by Horner's rule, four columns at a time.
///
/// # Safety
/// As for [`Columns::load`]; there is a column.
#[inline(always)]
unsafe fn sums<I: Isa, C: Columns, const U: usize, T: Traffic>(
    columns: &C,
    at: usize,
) -> ([I::Register; U], [I::Register; U]) {
    // SAFETY: `index` starts as the last column and is counted down by as many as are looked at; so it stays below the number
    // of columns. The rest is the caller's promise.
    unsafe {
        let mut index = columns.count() - 1;
        let mut p = columns.load::<I::Register, U, T>(index, at);
        let mut q = p;
        for q in &mut q {
            *q = I::open(*q);
        }
        if index & 1 != 0 {
            index -= 1;
            let low = columns.load::<I::Register, U, T>(index, at);
            for u in 0..U {
                p[u] = p[u].xor(low[u]);
                q[u] = I::horner(q[u], low[u]);
            }
        }
        if index & 2 != 0 {
            index -= 2;
            let d = [columns.load::<I::Register, U, T>(index, at), columns.load::<I::Register, U, T>(index + 1, at)];
            for u in 0..U {
                p[u] = p[u].xor3(d[1][u], d[0][u]);
                q[u] = I::horner2(q[u], [d[0][u], d[1][u]]);
            }
        }
        while index > 0 {
            index -= 4;
            let d = [
                columns.load::<I::Register, U, T>(index, at),
                columns.load::<I::Register, U, T>(index + 1, at),
                columns.load::<I::Register, U, T>(index + 2, at),
                columns.load::<I::Register, U, T>(index + 3, at),
            ];
            for u in 0..U {
                p[u] = p[u].xor3(d[3][u], d[2][u]).xor3(d[1][u], d[0][u]);
                q[u] = I::horner4(q[u], [d[0][u], d[1][u], d[2][u], d[3][u]]);
            }
        }
        for q in &mut q {
            *q = I::close(*q);
        }
        (p, q)
    }
}

/// Σ factor i · column i and Σ columns, both over the first `count`, which may be none.
///
/// # Safety
/// As for [`Columns::load`], with `count` ≤ that of the columns; `factors` has as many.
#[inline(always)]
unsafe fn dots<I: Isa, C: Columns, F: Factors<I>, const U: usize, T: Traffic>(
    columns: &C,
    factors: &F,
    count: usize,
    at: usize,
) -> ([I::Register; U], [I::Register; U]) {
    // SAFETY: All indices are below `count`; the rest is the caller's promise.
    unsafe {
        let mut dot = [I::Register::zero(); U];
        let mut sum = dot;
        let mut index = count & 1;
        if index == 1 {
            let factor = factors.at(0);
            sum = columns.load::<I::Register, U, T>(0, at);
            for u in 0..U {
                dot[u] = I::times(sum[u], factor);
            }
        }
        while index < count {
            let (f, g) = (factors.at(index), factors.at(index + 1));
            let x = columns.load::<I::Register, U, T>(index, at);
            let y = columns.load::<I::Register, U, T>(index + 1, at);
            for u in 0..U {
                sum[u] = sum[u].xor3(x[u], y[u]);
                dot[u] = dot[u].xor3(I::times(x[u], f), I::times(y[u], g));
            }
            index += 2;
        }
        (dot, sum)
    }
}

/// Σ columns.
pub(super) struct Xor<C> {
    pub(super) columns: C,
    pub(super) out: *mut u8,
}

impl<I: Isa, C: Columns> Step<I> for Xor<C> {
    #[inline(always)]
    unsafe fn step<const U: usize, T: Traffic>(&self, at: usize) -> bool {
        // SAFETY: `at` and the columns are within what the entry point was promised.
        unsafe {
            claim::<I::Register, U, T>(self.out.wrapping_add(at));
            let sum = sum::<I::Register, C, U, T>(&self.columns, self.columns.count(), at);
            store::<_, U, T>(sum, self.out.add(at));
        }
        true
    }
}

/// Σ columns and Σ 2ⁱ · column i.
pub(super) struct Pq<C> {
    pub(super) columns: C,
    pub(super) p: *mut u8,
    pub(super) q: *mut u8,
}

impl<I: Isa, C: Columns> Step<I> for Pq<C> {
    #[inline(always)]
    unsafe fn step<const U: usize, T: Traffic>(&self, at: usize) -> bool {
        // SAFETY: The entry point was promised at least one column; `at` is within what it was promised.
        unsafe {
            claim::<I::Register, U, T>(self.p.wrapping_add(at));
            claim::<I::Register, U, T>(self.q.wrapping_add(at));
            let (p, q) = sums::<I, C, U, T>(&self.columns, at);
            store::<_, U, T>(p, self.p.add(at));
            store::<_, U, T>(q, self.q.add(at));
        }
        true
    }
}

/// Σ factor i · column i and Σ columns. With `FOLD`, the last column counts in the first sum only, and the first sum in the
/// second: so the second unknown of two equations falls out of the first.
pub(super) struct Dot<C, F, const FOLD: bool> {
    pub(super) columns: C,
    pub(super) factors: F,
    pub(super) dot: *mut u8,
    /// May be null.
    pub(super) sum: *mut u8,
}

impl<I: Isa, C: Columns, F: Factors<I>, const FOLD: bool> Step<I> for Dot<C, F, FOLD> {
    #[inline(always)]
    unsafe fn step<const U: usize, T: Traffic>(&self, at: usize) -> bool {
        // SAFETY: There is at least one column, so that `count - 1` is one; `at` is within what the entry point was
        // promised; `sum` is written only if there is one.
        unsafe {
            let count = self.columns.count() - if FOLD { 1 } else { 0 };
            claim::<I::Register, U, T>(self.dot.wrapping_add(at));
            let (mut dot, mut sum) = dots::<I, C, F, U, T>(&self.columns, &self.factors, count, at);
            if FOLD {
                let factor = self.factors.at(count);
                let x = self.columns.load::<I::Register, U, T>(count, at);
                for u in 0..U {
                    dot[u] = dot[u].xor(I::times(x[u], factor));
                    sum[u] = sum[u].xor(dot[u]);
                }
            }
            store::<_, U, T>(dot, self.dot.add(at));
            if !self.sum.is_null() {
                claim::<I::Register, U, T>(self.sum.wrapping_add(at));
                store::<_, U, T>(sum, self.sum.add(at));
            }
        }
        true
    }
}

/// Adds a change to P, and its multiple to Q.
pub(super) struct Update<C> {
    pub(super) columns: C,
    pub(super) factor: u8,
    /// May be null.
    pub(super) p: *mut u8,
    /// May be null.
    pub(super) q: *mut u8,
}

impl<I: Isa, C: Columns> Step<I> for Update<C> {
    #[inline(always)]
    unsafe fn step<const U: usize, T: Traffic>(&self, at: usize) -> bool {
        // SAFETY: `at` and the columns are within what the entry point was promised; `p` and `q` are touched only if
        // they are there.
        unsafe {
            let change = sum::<I::Register, C, U, T>(&self.columns, self.columns.count(), at);
            if !self.p.is_null() {
                look_ahead::<I::Register, U, T>(self.p.add(at));
                let mut p = load::<I::Register, U>(self.p.add(at));
                for u in 0..U {
                    p[u] = p[u].xor(change[u]);
                }
                store::<_, U, T>(p, self.p.add(at));
            }
            if !self.q.is_null() {
                let factor = I::factor(self.factor);
                look_ahead::<I::Register, U, T>(self.q.add(at));
                let mut q = load::<I::Register, U>(self.q.add(at));
                for u in 0..U {
                    q[u] = q[u].xor(I::times(change[u], factor));
                }
                store::<_, U, T>(q, self.q.add(at));
            }
        }
        true
    }
}

/// Compares P and Q with what the columns make; a step that finds a difference ends the walk.
pub(super) struct Check<C> {
    pub(super) columns: C,
    /// Null: 1, 2, 4, 8, ..
    pub(super) factors: *const u8,
    /// May be null.
    pub(super) p: *const u8,
    /// May be null; then `factors` is not looked at.
    pub(super) q: *const u8,
}

impl<I: Isa, C: Columns> Step<I> for Check<C> {
    #[inline(always)]
    unsafe fn step<const U: usize, T: Traffic>(&self, at: usize) -> bool {
        // SAFETY: `at` and the columns are within what the entry point was promised; what is null is not read.
        unsafe {
            let count = self.columns.count();
            let (p, q) = if self.q.is_null() {
                (sum::<I::Register, C, U, T>(&self.columns, count, at), [I::Register::zero(); U])
            } else if self.factors.is_null() {
                sums::<I, C, U, T>(&self.columns, at)
            } else {
                let (q, p) = dots::<I, C, _, U, T>(&self.columns, &ListedFactors(self.factors), count, at);
                (p, q)
            };
            let p = difference::<I::Register, U, T>(p, self.p, at);
            let q = difference::<I::Register, U, T>(q, self.q, at);
            !p.or(q).any()
        }
    }
}

/// The bits in which what was made differs from what is stored; none if nothing is.
///
/// # Safety
/// The CPU has the instructions; `stored` is null, or `at + U * BYTES` bytes may be read there.
#[inline(always)]
unsafe fn difference<R: Register, const U: usize, T: Traffic>(made: [R; U], stored: *const u8, at: usize) -> R {
    // SAFETY: The caller's promise; what is null is not read.
    unsafe {
        let mut differs = R::zero();
        if !stored.is_null() {
            look_ahead::<R, U, T>(stored.add(at));
            let stored = load::<R, U>(stored.add(at));
            for u in 0..U {
                differs = differs.or(made[u].xor(stored[u]));
            }
        }
        differs
    }
}
