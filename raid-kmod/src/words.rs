// SPDX-License-Identifier: GPL-2.0-only
//! The words of a table line, kept: what is told of the array later is told from them.

use core::ffi::{c_char, CStr};

use kernel::prelude::*;
use raid_formats::table::{Table, TableError};

/// Words, each with a zero behind it.
pub(crate) struct Words {
    bytes: KVVec<u8>,
    count: usize,
}

impl Words {
    /// Copies what C hands over.
    ///
    /// # Safety
    /// `argv` points to `count` strings that end with a zero.
    pub(crate) unsafe fn copy(count: usize, argv: *const *const c_char) -> Result<Self> {
        let mut bytes = KVVec::new();
        for number in 0..count {
            // SAFETY: The caller's promise.
            let word = unsafe { CStr::from_ptr(*argv.add(number)) };
            bytes.extend_from_slice(word.to_bytes_with_nul(), GFP_KERNEL)?;
        }
        Ok(Self { bytes, count })
    }

    /// The words with their zeros, in order.
    pub(crate) fn strings(&self) -> impl Iterator<Item = &CStr> {
        self.bytes.split_inclusive(|byte| *byte == 0).filter_map(|word| CStr::from_bytes_with_nul(word).ok())
    }

    /// Calls `with` with the words. Allocates, so not on the way of I/O.
    pub(crate) fn with<R>(&self, with: impl FnOnce(&[&str]) -> R) -> Result<R> {
        let mut words = KVVec::with_capacity(self.count, GFP_KERNEL)?;
        for word in self.strings() {
            words.push(word.to_str().map_err(|_| EINVAL)?, GFP_KERNEL)?;
        }
        Ok(with(&words))
    }

    /// Calls `with` with the table that the words are.
    pub(crate) fn with_table<R>(
        &self,
        with: impl FnOnce(core::result::Result<Table<'_, '_>, TableError<'_>>) -> R,
    ) -> Result<R> {
        self.with(|words| with(Table::parse(words)))
    }
}
