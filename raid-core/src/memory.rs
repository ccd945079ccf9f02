//! How the engine gets its memory: arrays of a fixed length, all of them while it is built, none afterwards.

use core::fmt;
use core::ops::DerefMut;

/// There is no memory for an array. Whatever was being built is not there then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

impl core::error::Error for OutOfMemory {}

/// Where arrays come from. Only constructors use it.
pub trait Memory {
    /// An array of a length that never changes.
    type Array<T>: DerefMut<Target = [T]>;

    /// An array of `len` elements, each made by `init` from its index.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is left behind.
    fn array<T>(len: usize, init: impl FnMut(usize) -> T) -> Result<Self::Array<T>, OutOfMemory>;
}
