//! Moving whole arrays: copies that can be resumed, comparisons, and the progress that both tell.
//!
//! A copy reads ahead with a few threads and writes in order, so that one number, the position, says all that is done.

mod bad;
pub mod bar;
mod compare;
mod copy;
mod out;
mod read;
mod resume;
mod sink;
#[cfg(test)]
mod tests;

pub use compare::{Comparison, compare};
pub use copy::{Bad, Copied, CopyError, CopyOptions, Existing, copy};

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes to do in all.
    pub total_bytes: u64,
}
