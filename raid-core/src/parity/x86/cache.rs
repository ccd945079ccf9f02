//! What the three widths of registers share: hints to the caches, and the order of stores past them.

use core::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch, _mm_sfence};

/// Asks for a line to be read.
#[inline(always)]
pub(super) fn prefetch(from: *const u8) {
    // SAFETY: A hint, which faults on no address (Intel SDM, `PREFETCHh`); SSE, which every x86-64 has.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
}

/// Asks for a line to be written.
#[inline(always)]
pub(super) fn claim(to: *const u8) {
    // SAFETY: As in `prefetch` (`PREFETCHW`, which a CPU that lacks it takes for a NOP).
    unsafe { _mm_prefetch::<_MM_HINT_ET0>(to.cast()) }
}

/// Orders streamed stores before all that follow.
#[inline(always)]
pub(super) fn fence() {
    // SAFETY: SSE, which every x86-64 has.
    unsafe { _mm_sfence() }
}
