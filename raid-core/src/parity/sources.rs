//! From slices to pointers: the lists of columns that a kernel reads, and the only calls of entry points.
//!
//! What a kernel demands is established here and nowhere else: a list cannot hold a column of the wrong length, and
//! its calls look at the length of every destination. Which columns, which factors and which kernel is for
//! [`Ops`](super::Ops) to say.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr;

use super::kernel::{Kernels, MEMORY};
use super::ops::{COLUMNS_MAX, Error, LENGTH_UNIT_BYTES, Temporal};

/// Columns to read: pointers to `count` buffers of `len_bytes` each, borrowed for `'a`.
///
/// The list stays uninitialized past `count`: clearing 2 KiB would cost as much as the parity of a small stripe.
pub(super) struct Columns<'a> {
    pointers: [MaybeUninit<*const u8>; COLUMNS_MAX],
    count: usize,
    len_bytes: usize,
    buffers: PhantomData<&'a [u8]>,
}

/// Columns, and a factor for each of them.
pub(super) struct Weighted<'a> {
    columns: Columns<'a>,
    /// Initialized up to the number of columns.
    factors: [MaybeUninit<u8>; COLUMNS_MAX],
}

/// What happens to the second sum of [`Weighted::dot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// It is the sum of all columns.
    No,
    /// The last column, Q, does not count in it; the first sum does.
    LastIsQ,
}

impl Temporal {
    /// As the entry points take it.
    const fn code(self) -> u8 {
        match self {
            Self::Cached => 0,
            Self::Memory => MEMORY,
        }
    }
}

impl<'a> Columns<'a> {
    /// An empty list of columns that are `len_bytes` long.
    #[inline]
    pub(super) const fn of_length(len_bytes: usize) -> Self {
        Self { pointers: [const { MaybeUninit::uninit() }; COLUMNS_MAX], count: 0, len_bytes, buffers: PhantomData }
    }

    /// Makes the list that of all of `data` but those that are empty.
    ///
    /// The list stays where it is: handed back by value it would be copied, which costs as much as the parity of four pages.
    #[inline]
    pub(super) fn fill(&mut self, data: &[&'a [u8]]) -> Result<(), Error> {
        if data.len() > COLUMNS_MAX {
            return Err(Error::TooManyColumns);
        }
        // Nearly always all are as they should be: one look at the end is cheaper than one at each.
        let mut all = self.len_bytes.is_multiple_of(LENGTH_UNIT_BYTES);
        for (slot, column) in self.pointers.iter_mut().zip(data) {
            slot.write(column.as_ptr());
            all &= column.len() == self.len_bytes;
        }
        self.count = if all { data.len() } else { 0 };
        if !all {
            for column in data.iter().filter(|column| !column.is_empty()) {
                self.push(column)?;
            }
        }
        Ok(())
    }

    /// Adds one column, which may not be empty where others are not.
    #[inline]
    pub(super) fn push(&mut self, column: &'a [u8]) -> Result<(), Error> {
        self.demand_length(column)?;
        let slot = self.pointers.get_mut(self.count).ok_or(Error::TooManyColumns)?;
        slot.write(column.as_ptr());
        self.count += 1;
        Ok(())
    }

    /// How many.
    #[inline]
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Refuses a buffer that is not as long as the columns, and columns of a length that no kernel takes.
    #[inline]
    pub(super) const fn demand_length(&self, buffer: &[u8]) -> Result<(), Error> {
        if buffer.len() == self.len_bytes && self.len_bytes.is_multiple_of(LENGTH_UNIT_BYTES) {
            Ok(())
        } else {
            Err(Error::Length)
        }
    }

    /// `out` = the sum of the columns.
    #[inline]
    pub(super) fn xor(&self, kernels: &Kernels, temporal: Temporal, out: &mut [u8]) -> Result<(), Error> {
        self.demand_length(out)?;
        if self.count == 0 {
            out.fill(0);
            return Ok(());
        }
        // SAFETY: The list has `count` ≥ 1 columns, each of them borrowed and `len_bytes` long, as is `out`; that is a
        // multiple of 64. `out` is a unique borrow and overlaps neither the columns nor the list. That the CPU has the
        // instructions is the promise made to `Ops::new`.
        unsafe { (kernels.xor)(self.pointers(), self.count, out.as_mut_ptr(), self.len_bytes, temporal.code()) };
        Ok(())
    }

    /// `p` = the sum of the columns, `q` = the sum of the columns times 1, 2, 4, 8, ..
    #[inline]
    pub(super) fn pq(&self, kernels: &Kernels, temporal: Temporal, p: &mut [u8], q: &mut [u8]) -> Result<(), Error> {
        self.demand_length(p)?;
        self.demand_length(q)?;
        if self.count == 0 {
            p.fill(0);
            q.fill(0);
            return Ok(());
        }
        let (p, q) = (p.as_mut_ptr(), q.as_mut_ptr());
        // SAFETY: As in `xor`, for two destinations.
        unsafe { (kernels.pq)(self.pointers(), self.count, p, q, self.len_bytes, temporal.code()) };
        Ok(())
    }

    /// `p` ⊕= the sum of the columns, `q` ⊕= that sum times `factor`; whichever are there.
    #[inline]
    pub(super) fn update(
        &self,
        kernels: &Kernels,
        factor: u8,
        p: Option<&mut [u8]>,
        q: Option<&mut [u8]>,
    ) -> Result<(), Error> {
        for parity in [p.as_deref(), q.as_deref()].into_iter().flatten() {
            self.demand_length(parity)?;
        }
        if self.count > 0 {
            // SAFETY: As in `xor`; `p` and `q` may be null.
            unsafe { (kernels.update)(self.pointers(), self.count, factor, or_null(p), or_null(q), self.len_bytes) };
        }
        Ok(())
    }

    /// How many bytes from the start on `p`, and `q` with the factors 1, 2, 4, 8, .., are right; whichever are given.
    pub(super) fn check(&self, kernels: &Kernels, p: Option<&[u8]>, q: Option<&[u8]>) -> Result<usize, Error> {
        // SAFETY: Null stands for 1, 2, 4, 8, ..
        unsafe { self.check_by(kernels, ptr::null(), p, q) }
    }

    /// [`check`](Self::check) with other factors.
    ///
    /// # Safety
    /// `factors` is null, or points to as many as there are columns.
    unsafe fn check_by(
        &self,
        kernels: &Kernels,
        factors: *const u8,
        p: Option<&[u8]>,
        q: Option<&[u8]>,
    ) -> Result<usize, Error> {
        for parity in [p, q].into_iter().flatten() {
            self.demand_length(parity)?;
        }
        if self.count == 0 {
            let zeros = |parity: &[u8]| parity.iter().take_while(|byte| **byte == 0).count();
            return Ok([p, q].into_iter().flatten().map(zeros).min().unwrap_or(self.len_bytes));
        }
        let [p, q] = [p, q].map(|parity| parity.map_or(ptr::null(), <[u8]>::as_ptr));
        // SAFETY: As in `xor`, but for destinations, of which there are none; `p` and `q` may be null. The factors are the
        // caller's promise.
        Ok(unsafe { (kernels.check)(self.pointers(), factors, self.count, p, q, self.len_bytes) })
    }

    const fn pointers(&self) -> *const *const u8 {
        self.pointers.as_ptr().cast()
    }
}

impl<'a> Weighted<'a> {
    /// An empty list of columns that are `len_bytes` long.
    #[inline]
    pub(super) const fn of_length(len_bytes: usize) -> Self {
        Self { columns: Columns::of_length(len_bytes), factors: [const { MaybeUninit::uninit() }; COLUMNS_MAX] }
    }

    /// Adds all of `data` but those `lost` and those that are empty, with the factor that goes with their exponent.
    #[inline]
    pub(super) fn push_data(
        &mut self,
        data: &[&'a [u8]],
        lost: &[u8],
        factor_of: impl Fn(u8) -> u8,
    ) -> Result<(), Error> {
        if data.len() > COLUMNS_MAX {
            return Err(Error::TooManyColumns);
        }
        for (exponent, column) in (0..=u8::MAX).zip(data) {
            if !column.is_empty() && !lost.contains(&exponent) {
                self.push(column, factor_of(exponent))?;
            }
        }
        Ok(())
    }

    /// Adds one column, which may not be empty where others are not.
    #[inline]
    pub(super) fn push(&mut self, column: &'a [u8], factor: u8) -> Result<(), Error> {
        self.factors.get_mut(self.columns.count).ok_or(Error::TooManyColumns)?.write(factor);
        self.columns.push(column)
    }

    /// `dot` = the sum of the columns times their factors, `sum` = the other sum, which `fold` describes.
    pub(super) fn dot(
        &self,
        kernels: &Kernels,
        temporal: Temporal,
        fold: Fold,
        dot: &mut [u8],
        sum: Option<&mut [u8]>,
    ) -> Result<(), Error> {
        let columns = &self.columns;
        columns.demand_length(dot)?;
        if let Some(sum) = sum.as_deref() {
            columns.demand_length(sum)?;
        }
        if columns.count == 0 {
            dot.fill(0);
            sum.into_iter().for_each(|sum| sum.fill(0));
            return Ok(());
        }
        let entry = match fold {
            Fold::No => kernels.dot,
            Fold::LastIsQ => kernels.solve,
        };
        let (dot, sum) = (dot.as_mut_ptr(), or_null(sum));
        let (pointers, factors) = (columns.pointers(), self.factors());
        // SAFETY: As in `Columns::xor`; the list has as many factors as columns, and `sum` may be null.
        unsafe { entry(pointers, factors, columns.count, dot, sum, columns.len_bytes, temporal.code()) };
        Ok(())
    }

    /// How many bytes from the start on `p` and `q` are right; whichever are given.
    pub(super) fn check(&self, kernels: &Kernels, p: Option<&[u8]>, q: Option<&[u8]>) -> Result<usize, Error> {
        // SAFETY: The list has as many factors as columns.
        unsafe { self.columns.check_by(kernels, self.factors(), p, q) }
    }

    const fn factors(&self) -> *const u8 {
        self.factors.as_ptr().cast()
    }
}

/// The pointer to a buffer, or null where there is none.
fn or_null(buffer: Option<&mut [u8]>) -> *mut u8 {
    buffer.map_or(ptr::null_mut(), <[u8]>::as_mut_ptr)
}
