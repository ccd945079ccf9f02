//! The machines' arrays: boxes, made once.

use raid_core::memory::{Memory, OutOfMemory};

/// Memory of the process. What there is no room for is an error, not an abort.
#[derive(Debug)]
pub(crate) struct Heap;

impl Memory for Heap {
    type Array<T> = Box<[T]>;

    fn array<T>(len: usize, mut init: impl FnMut(usize) -> T) -> Result<Box<[T]>, OutOfMemory> {
        let mut items = Vec::new();
        items.try_reserve_exact(len).map_err(|_| OutOfMemory)?;
        items.extend((0..len).map(&mut init));
        Ok(items.into_boxed_slice())
    }
}
