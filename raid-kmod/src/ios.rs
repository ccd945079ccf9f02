// SPDX-License-Identifier: GPL-2.0-only
//! I/O made beforehand, each with room for its receipt, and the lanes by which it comes back.

use core::ffi::c_void;

use kernel::prelude::*;
use raid_core::action::Token;

use crate::compute::ROW_BYTES;
use crate::shim::{self, RawIo, RawLanes, RawRequest};

const _: () = assert!(size_of::<Token>() <= 64 && align_of::<Token>() <= 8);

/// Some of them, in a row.
pub(crate) struct Ios {
    raw: *mut RawIo,
    count: u32,
}

// SAFETY: The array of C is made once and freed once; each of its elements belongs to whoever the engine gave its action to.
unsafe impl Send for Ios {}
// SAFETY: As above.
unsafe impl Sync for Ios {}

impl Ios {
    /// Makes them, with a page each if asked.
    pub(crate) fn new(count: usize, pages: bool) -> Result<Self> {
        let count = u32::try_from(count)?;
        // SAFETY: Only allocates.
        let raw = unsafe { shim::raid_ios_new(count, pages) };
        if raw.is_null() { Err(ENOMEM) } else { Ok(Self { raw, count }) }
    }

    /// One of them.
    pub(crate) fn at(&self, number: usize) -> Option<Io> {
        let number = u32::try_from(number).ok().filter(|number| *number < self.count)?;
        // SAFETY: The number is in bounds.
        Some(Io(unsafe { shim::raid_io_at(self.raw, number) }))
    }

    /// The bytes of one that was made with pages.
    ///
    /// # Safety
    /// It has a page, and nobody else uses its bytes while the caller does.
    #[expect(clippy::mut_from_ref, reason = "the engine's states say who may use a row")]
    pub(crate) unsafe fn bytes(&self, number: usize) -> Option<&mut [u8; ROW_BYTES]> {
        // SAFETY: The page is as long as a row, and the caller's alone for now.
        self.at(number).map(|io| unsafe { &mut *shim::raid_io_bytes(io.0).cast() })
    }
}

impl Drop for Ios {
    fn drop(&mut self) {
        // SAFETY: Made by `new`; whoever drops an array has waited until nothing is out.
        unsafe { shim::raid_ios_free(self.raw, self.count) };
    }
}

/// One I/O.
#[derive(Clone, Copy)]
pub(crate) struct Io(pub(crate) *mut RawIo);

// SAFETY: An I/O belongs to whoever the engine gave its action to, on whatever processor that is.
unsafe impl Send for Io {}

impl Io {
    /// Notes the receipt.
    pub(crate) fn set_token(self, token: Token) {
        // SAFETY: The first 64 bytes are for a token, see the assertion above, and this I/O is the caller's until it is sent.
        unsafe { self.0.cast::<Token>().write(token) };
    }
}

/// The lanes of an array.
pub(crate) struct Lanes(*mut RawLanes);

// SAFETY: What the functions of C do with lanes may be done from anywhere.
unsafe impl Send for Lanes {}
// SAFETY: As above.
unsafe impl Sync for Lanes {}

impl Lanes {
    /// Makes them. They call with `array` only after they were woken.
    pub(crate) fn new(array: *mut c_void, count: u16) -> Result<Self> {
        // SAFETY: Only allocates; the pointer is kept.
        let raw = unsafe { shim::raid_lanes_new(array, count) };
        if raw.is_null() { Err(ENOMEM) } else { Ok(Self(raw)) }
    }

    /// For sending I/O.
    pub(crate) fn raw(&self) -> *mut RawLanes {
        self.0
    }

    /// Counts an I/O that no bio does; its answer is owed.
    pub(crate) fn hold(&self, io: Io, lane: u16) {
        // SAFETY: The I/O is its action's until its receipt comes back.
        unsafe { shim::raid_io_hold(io.0, self.0, lane) };
    }

    /// Answers one that was held.
    pub(crate) fn answer(&self, io: Io, well: bool) {
        // SAFETY: As in `hold`.
        unsafe { shim::raid_io_answer(io.0, well) };
    }

    /// Lets a lane's work run soon.
    pub(crate) fn wake(&self, lane: u16) {
        // SAFETY: Shards and lanes are as many.
        unsafe { shim::raid_lane_wake(self.0, lane) };
    }

    /// Calls `each` with the receipt of everything that came back to a lane.
    pub(crate) fn drain(&self, lane: u16, mut each: impl FnMut(Token, bool)) {
        // SAFETY: The lane's own work is the only one that takes from it.
        let mut io = unsafe { shim::raid_lane_take(self.0, lane) };
        while !io.is_null() {
            // SAFETY: A finished I/O is ours until its receipt is given back, after which it may be sent again at once: so
            // all that is needed of it is read before. `set_token` wrote the token before it was sent.
            let (next, token, well) = unsafe { (shim::raid_io_next(io), io.cast::<Token>().read(), shim::raid_io_well(io)) };
            each(token, well);
            // SAFETY: It was counted when it was sent.
            unsafe { shim::raid_io_taken(self.0) };
            io = next;
        }
    }

    /// Requests that passed through and failed below, chained.
    pub(crate) fn take_failed(&self) -> *mut RawRequest {
        // SAFETY: Lane 0 alone takes them.
        unsafe { shim::raid_lanes_take_failed(self.0) }
    }

    /// Waits until nothing is out and no lane has anything to do.
    pub(crate) fn wait(&self) {
        // SAFETY: The caller may sleep and is no lane.
        unsafe { shim::raid_lanes_wait(self.0) };
    }

    /// Lets the clock tick once.
    pub(crate) fn tick_after(&self, after_ms: u32) {
        // SAFETY: The tick's work is stopped before the array goes.
        unsafe { shim::raid_lanes_tick(self.0, after_ms) };
    }

    /// Stops the clock; waits for a tick under way.
    pub(crate) fn no_tick(&self) {
        // SAFETY: The caller may sleep and is no tick.
        unsafe { shim::raid_lanes_no_tick(self.0) };
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // SAFETY: Made by `new`; waits for what runs.
        unsafe { shim::raid_lanes_free(self.0) };
    }
}
