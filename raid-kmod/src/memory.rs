// SPDX-License-Identifier: GPL-2.0-only
//! The engine's memory: kernel vectors, made while a table is loaded and never grown.

use kernel::alloc::AllocError;
use kernel::prelude::*;
use pin_init::Zeroable;
use raid_core::memory::{Memory, OutOfMemory};

/// Room that is never on a stack: a kernel's is short.
pub(crate) fn zeroed<T: Zeroable>() -> Result<KBox<T>, AllocError> {
    KBox::init(pin_init::init_zeroed::<T>(), GFP_KERNEL).map_err(|_| AllocError)
}

/// Vectors that may be scattered pages.
pub(crate) struct Kernel;

impl Memory for Kernel {
    type Array<T> = KVVec<T>;

    fn array<T>(len: usize, mut init: impl FnMut(usize) -> T) -> Result<KVVec<T>, OutOfMemory> {
        let mut array = KVVec::with_capacity(len, GFP_KERNEL).map_err(|_| OutOfMemory)?;
        for index in 0..len {
            array.push_within_capacity(init(index)).map_err(|_| OutOfMemory)?;
        }
        Ok(array)
    }
}
