// SPDX-License-Identifier: GPL-2.0-only
//! The border to C, as `shim/shim.h` has it, and the safe forms of what is safe there.

use core::ffi::{c_char, c_void};
use core::marker::{PhantomData, PhantomPinned};

/// A type that C owns.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[repr(C)]
        pub(crate) struct $name {
            _data: [u8; 0],
            _not_moved_nor_shared: PhantomData<(*mut u8, PhantomPinned)>,
        }
    )*};
}

opaque! {
    /// Device-mapper's target.
    DmTarget;
    /// A device that the target holds.
    DmDev;
    /// Who moves metadata.
    RawClerks;
    /// I/O made beforehand.
    RawIo;
    /// Where finished I/O waits for process context.
    RawLanes;
}

/// A request from above, `struct raid_request`.
#[repr(C)]
pub(crate) struct RawRequest {
    pub(crate) next: *mut RawRequest,
    pub(crate) at: u64,
    pub(crate) sectors: u32,
    pub(crate) cut: u32,
    pub(crate) pending: u32,
    pub(crate) op: u8,
    pub(crate) fua: bool,
    pub(crate) whole: bool,
    pub(crate) error: u8,
}

/// Values of [`RawRequest::op`].
pub(crate) const READ: u8 = 0;
pub(crate) const WRITE: u8 = 1;
pub(crate) const FLUSH: u8 = 2;
pub(crate) const DISCARD: u8 = 3;
pub(crate) const ZEROES: u8 = 4;
pub(crate) const ZEROES_KEPT: u8 = 5;

/// Values of [`RawRequest::error`].
pub(crate) const WELL: u8 = 0;
pub(crate) const LOST: u8 = 1;

/// What became of a request that was mapped.
pub(crate) const TAKEN: i32 = 0;
pub(crate) const PASSED_ON: i32 = 1;
pub(crate) const REFUSED: i32 = 2;

/// Where a request that passes through goes, `struct raid_where`.
#[repr(C)]
pub(crate) struct RawWhere {
    pub(crate) device: *mut DmDev,
    pub(crate) at: u64,
    pub(crate) sectors: u32,
}

extern "C" {
    pub(crate) fn raid_dm_register() -> i32;
    pub(crate) fn raid_dm_unregister();
    pub(crate) fn raid_request_bytes() -> usize;
    pub(crate) fn raid_device_get(target: *mut DmTarget, name: *const c_char) -> *mut DmDev;
    pub(crate) fn raid_device_put(target: *mut DmTarget, device: *mut DmDev);
    pub(crate) fn raid_device_sectors(device: *mut DmDev) -> u64;
    pub(crate) fn raid_device_name(device: *mut DmDev) -> *const c_char;
    pub(crate) fn raid_device_block(device: *mut DmDev) -> u32;
    pub(crate) fn raid_device_flush(device: *mut DmDev) -> bool;
    pub(crate) fn raid_device_zeroes(device: *mut DmDev) -> bool;

    pub(crate) fn raid_clerks_new(array: *mut c_void, count: u16) -> *mut RawClerks;
    pub(crate) fn raid_clerks_free(clerks: *mut RawClerks);
    pub(crate) fn raid_clerk_wake(clerks: *mut RawClerks, number: u16);
    pub(crate) fn raid_clerk_page(clerks: *mut RawClerks, number: u16) -> *mut u8;
    pub(crate) fn raid_clerk_move(
        clerks: *mut RawClerks,
        number: u16,
        device: *mut DmDev,
        at: u64,
        bytes: u32,
        write: bool,
    ) -> bool;
    fn raid_memory_begin() -> u32;
    fn raid_memory_end(before: u32);

    pub(crate) fn raid_lanes_new(array: *mut c_void, count: u16) -> *mut RawLanes;
    pub(crate) fn raid_lanes_free(lanes: *mut RawLanes);
    pub(crate) fn raid_lane_wake(lanes: *mut RawLanes, lane: u16);
    pub(crate) fn raid_lane_take(lanes: *mut RawLanes, lane: u16) -> *mut RawIo;
    pub(crate) fn raid_lanes_take_failed(lanes: *mut RawLanes) -> *mut RawRequest;
    pub(crate) fn raid_lanes_wait(lanes: *mut RawLanes);
    pub(crate) fn raid_lanes_tick(lanes: *mut RawLanes, after_ms: u32);
    pub(crate) fn raid_lanes_no_tick(lanes: *mut RawLanes);

    pub(crate) fn raid_ios_new(count: u32, pages: bool) -> *mut RawIo;
    pub(crate) fn raid_ios_free(ios: *mut RawIo, count: u32);
    pub(crate) fn raid_io_at(ios: *mut RawIo, number: u32) -> *mut RawIo;
    pub(crate) fn raid_io_next(io: *mut RawIo) -> *mut RawIo;
    pub(crate) fn raid_io_bytes(io: *mut RawIo) -> *mut u8;
    pub(crate) fn raid_io_well(io: *mut RawIo) -> bool;
    pub(crate) fn raid_io_taken(lanes: *mut RawLanes);
    pub(crate) fn raid_io_page(
        io: *mut RawIo,
        row: *mut RawIo,
        lanes: *mut RawLanes,
        lane: u16,
        device: *mut DmDev,
        at: u64,
        skip_bytes: u32,
        bytes: u32,
        write: bool,
        fua: bool,
    );
    pub(crate) fn raid_io_request(
        io: *mut RawIo,
        lanes: *mut RawLanes,
        lane: u16,
        device: *mut DmDev,
        at: u64,
        request: *mut RawRequest,
        skip_bytes: u32,
        bytes: u32,
        write: bool,
        fua: bool,
    );
    pub(crate) fn raid_io_zeroes(
        io: *mut RawIo,
        lanes: *mut RawLanes,
        lane: u16,
        device: *mut DmDev,
        at: u64,
        bytes: u32,
        free: bool,
        fua: bool,
    );
    pub(crate) fn raid_io_flush(io: *mut RawIo, lanes: *mut RawLanes, lane: u16, device: *mut DmDev);
    pub(crate) fn raid_io_hold(io: *mut RawIo, lanes: *mut RawLanes, lane: u16);
    pub(crate) fn raid_io_answer(io: *mut RawIo, well: bool);

    pub(crate) fn raid_request_copy(
        request: *mut RawRequest,
        skip_bytes: u32,
        buffer: *mut u8,
        bytes: u32,
        to_request: bool,
    );
    pub(crate) fn raid_request_end(request: *mut RawRequest);

    pub(crate) fn raid_cpu_features() -> u32;
    pub(crate) fn raid_cpu_begin();
    pub(crate) fn raid_cpu_end();
    fn raid_now_ms() -> u64;
    fn raid_now_s() -> u64;
    pub(crate) fn raid_target_writes(target: *mut DmTarget) -> bool;
}

/// The time, in milliseconds since the machine started.
pub(crate) fn now_ms() -> u64 {
    // SAFETY: Only asks.
    unsafe { raid_now_ms() }
}

/// The time, in seconds since 1970.
pub(crate) fn now_s() -> u64 {
    // SAFETY: Only asks.
    unsafe { raid_now_s() }
}

/// Calls `work` so that what it allocates starts no I/O.
pub(crate) fn without_io<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: Changes a flag of this task, which is put back below.
    let before = unsafe { raid_memory_begin() };
    let result = work();
    // SAFETY: As above.
    unsafe { raid_memory_end(before) };
    result
}
