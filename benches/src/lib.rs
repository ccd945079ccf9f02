//! What the benchmarks share: buffers laid out as an engine lays them out.
//!
//! One allocation, each buffer on a line of cache, one 4 KiB page more than a block apart: blocks at a
//! power of two from each other fall on the same few sets of the first-level cache and would measure that.
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "calls of functions in C")]
pub mod peers;
pub mod rounds;

/// Bytes that buffers start at a multiple of.
const LINE_BYTES: usize = 64;

/// Bytes between the end of a buffer and the start of the next: a page, and a line so that pages do not line up either.
const GAP_BYTES: usize = 4096 + LINE_BYTES;

/// Some buffers of one length, filled with bytes that differ from buffer to buffer.
pub struct Buffers {
    bytes: Vec<u8>,
    block_bytes: usize,
}

impl Buffers {
    /// `count` buffers of `block_bytes`.
    #[must_use]
    pub fn new(count: usize, block_bytes: usize) -> Self {
        let len_bytes = count * (block_bytes + GAP_BYTES) + LINE_BYTES;
        // Knuth's multiplicative hash: cheap, and no two blocks alike.
        let bytes = (0..len_bytes).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        Self { bytes, block_bytes }
    }

    /// The buffers.
    pub fn split(&mut self) -> Vec<&mut [u8]> {
        let start = self.bytes.as_ptr().align_offset(LINE_BYTES).min(LINE_BYTES);
        let strides = self.bytes.get_mut(start..).unwrap_or_default().chunks_exact_mut(self.block_bytes + GAP_BYTES);
        strides.filter_map(|stride| stride.get_mut(..self.block_bytes)).collect()
    }
}
