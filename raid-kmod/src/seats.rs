// SPDX-License-Identifier: GPL-2.0-only
//! The devices in the array's slots. They stay as long as the table does: another device comes by another table.

use core::ffi::CStr;

use kernel::prelude::*;
use raid_core::{Columns, Member, Sectors};

use crate::shim::{self, DmDev, DmTarget};

/// One device held for the target; given back when dropped.
pub(crate) struct Device {
    target: *mut DmTarget,
    raw: *mut DmDev,
}

// SAFETY: Devices are taken and given back in ctr and dtr only; in between they are only read.
unsafe impl Send for Device {}
// SAFETY: As above.
unsafe impl Sync for Device {}

impl Device {
    /// Takes a device by name.
    ///
    /// # Safety
    /// `target` outlives it, and a table is being loaded for it.
    pub(crate) unsafe fn get(target: *mut DmTarget, name: &CStr) -> Option<Self> {
        // SAFETY: The caller's promise; the name ends with a zero.
        let raw = unsafe { shim::raid_device_get(target, name.as_ptr()) };
        (!raw.is_null()).then_some(Self { target, raw })
    }

    /// Its name, as the kernel has it: major and minor.
    pub(crate) fn name(&self) -> &str {
        // SAFETY: The name is part of the device and ends with a zero.
        unsafe { CStr::from_ptr(shim::raid_device_name(self.raw)) }.to_str().unwrap_or("?")
    }

    /// Its size.
    pub(crate) fn sectors(&self) -> Sectors {
        // SAFETY: It is held.
        Sectors(unsafe { shim::raid_device_sectors(self.raw) })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: Taken by `get`, and given back once.
        unsafe { shim::raid_device_put(self.target, self.raw) };
    }
}

/// All slots.
pub(crate) struct Seats {
    data: KVVec<Option<Device>>,
}

impl Seats {
    pub(crate) fn new(data: KVVec<Option<Device>>) -> Self {
        Self { data }
    }

    fn at(&self, member: Member) -> Option<&Device> {
        self.data.get(usize::from(member.0))?.as_ref()
    }

    /// The data device in a slot.
    pub(crate) fn data(&self, member: Member) -> Option<*mut DmDev> {
        self.at(member).map(|device| device.raw)
    }

    /// Its name, or `-`.
    pub(crate) fn name(&self, member: Member) -> &str {
        self.at(member).map_or("-", Device::name)
    }

    /// Slots that have a device.
    pub(crate) fn present(&self) -> Columns {
        (0..=u8::MAX).map(Member).filter(|member| self.at(*member).is_some()).collect()
    }
}
