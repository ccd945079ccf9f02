//! From slices to pointers: the list of columns that a kernel reads, and the only calls of entry points.
//!
//! What a kernel demands is established here and nowhere else: a [`Sources`] cannot hold a column of the wrong length, and
//! its calls look at the length of every destination. Which columns, which factors and which kernel is for
//! [`Ops`](super::Ops) to say.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr;

use super::gf;
use super::kernel::Kernels;
use super::ops::{COLUMNS_MAX, Error, LENGTH_UNIT_BYTES};

/// Columns to read and their factors: pointers to `count` buffers of `len_bytes` each, borrowed for `'a`.
///
/// The lists stay uninitialized past `count`: clearing 2 KiB would cost as much as the parity of a small stripe.
pub(super) struct Sources<'a> {
    pointers: [MaybeUninit<*const u8>; COLUMNS_MAX],
    factors: [MaybeUninit<u8>; COLUMNS_MAX],
    count: usize,
    len_bytes: usize,
    /// So far the factors are 1, 2, 4, 8, ..: what Horner's rule makes without looking at them.
    powers_in_order: bool,
    buffers: PhantomData<&'a [u8]>,
}

/// What happens to the second sum of [`Sources::dot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// It is the sum of all columns.
    No,
    /// The last column, Q, does not count in it; the first sum does.
    LastIsQ,
}

impl<'a> Sources<'a> {
    /// An empty list of columns that are `len_bytes` long.
    #[inline]
    pub(super) const fn of_length(len_bytes: usize) -> Self {
        Self {
            pointers: [const { MaybeUninit::uninit() }; COLUMNS_MAX],
            factors: [const { MaybeUninit::uninit() }; COLUMNS_MAX],
            count: 0,
            len_bytes,
            powers_in_order: true,
            buffers: PhantomData,
        }
    }

    /// Adds all of `data` but those `lost` and those that are empty, with the factor that goes with their exponent.
    #[inline]
    pub(super) fn push_data(
        &mut self,
        data: impl IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator>,
        lost: &[u8],
        factor_of: impl Fn(u8) -> u8,
    ) -> Result<(), Error> {
        let data = data.into_iter();
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
        self.demand_length(column)?;
        let (Some(pointer), Some(slot)) = (self.pointers.get_mut(self.count), self.factors.get_mut(self.count)) else {
            return Err(Error::TooManyColumns);
        };
        pointer.write(column.as_ptr());
        slot.write(factor);
        self.powers_in_order &= u8::try_from(self.count).is_ok_and(|exponent| gf::power(exponent) == factor);
        self.count += 1;
        Ok(())
    }

    /// Refuses a buffer that is not as long as the columns, and columns of a length that no kernel takes.
    #[inline]
    pub(super) fn demand_length(&self, buffer: &[u8]) -> Result<(), Error> {
        if buffer.len() == self.len_bytes && self.len_bytes.is_multiple_of(LENGTH_UNIT_BYTES) {
            Ok(())
        } else {
            Err(Error::Length)
        }
    }

    /// `out` = the sum of the columns.
    pub(super) fn xor(&self, kernels: &Kernels, out: &mut [u8]) -> Result<(), Error> {
        self.demand_length(out)?;
        if self.count == 0 {
            out.fill(0);
            return Ok(());
        }
        // SAFETY: The list has `count` ≥ 1 columns, each of them borrowed and `len_bytes` long, as is `out`; that is a
        // multiple of 64. `out` is a unique borrow and overlaps neither the columns nor the list. That the CPU has the
        // instructions is the promise made to `Ops::new`.
        unsafe { (kernels.xor)(self.pointers(), self.count, out.as_mut_ptr(), self.len_bytes) };
        Ok(())
    }

    /// `p` = the sum of the columns, `q` = the sum of the columns times their factors; whichever are asked for.
    pub(super) fn generate(&self, kernels: &Kernels, p: Option<&mut [u8]>, q: Option<&mut [u8]>) -> Result<(), Error> {
        match (p, q) {
            (None, None) => Ok(()),
            (Some(p), None) => self.xor(kernels, p),
            (Some(p), Some(q)) if self.powers_in_order && self.count > 0 => {
                self.demand_length(p)?;
                self.demand_length(q)?;
                // SAFETY: As in `xor`, for two destinations.
                unsafe {
                    (kernels.pq)(self.pointers(), self.count, p.as_mut_ptr(), q.as_mut_ptr(), self.len_bytes);
                }
                Ok(())
            }
            (p, Some(q)) => self.dot(kernels, Fold::No, q, p),
        }
    }

    /// `dot` = the sum of the columns times their factors, `sum` = the other sum, which `fold` describes.
    pub(super) fn dot(
        &self,
        kernels: &Kernels,
        fold: Fold,
        dot: &mut [u8],
        sum: Option<&mut [u8]>,
    ) -> Result<(), Error> {
        self.demand_length(dot)?;
        if let Some(sum) = sum.as_deref() {
            self.demand_length(sum)?;
        }
        if self.count == 0 {
            dot.fill(0);
            sum.into_iter().for_each(|sum| sum.fill(0));
            return Ok(());
        }
        let entry = match fold {
            Fold::No => kernels.dot,
            Fold::LastIsQ => kernels.solve,
        };
        // SAFETY: As in `xor`; the list has as many factors as columns, and `sum` may be null.
        unsafe {
            entry(self.pointers(), self.factors(), self.count, dot.as_mut_ptr(), or_null(sum), self.len_bytes);
        }
        Ok(())
    }

    /// `p` ⊕= the sum of the columns, `q` ⊕= that sum times `factor`; whichever are there.
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

    const fn pointers(&self) -> *const *const u8 {
        self.pointers.as_ptr().cast()
    }

    const fn factors(&self) -> *const u8 {
        self.factors.as_ptr().cast()
    }
}

/// The pointer to a buffer, or null where there is none.
fn or_null(buffer: Option<&mut [u8]>) -> *mut u8 {
    buffer.map_or(ptr::null_mut(), <[u8]>::as_mut_ptr)
}
