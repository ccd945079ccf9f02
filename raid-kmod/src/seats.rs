// SPDX-License-Identifier: GPL-2.0-only
//! The devices in the array's slots. They stay as long as the table does: another device comes by another table.

use core::ffi::CStr;

use kernel::prelude::*;
use raid_core::{Columns, Member, Sector, Sectors};
use raid_formats::imsm::{Identity, Serial};

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
        // Made only if it is one: what is dropped is given back.
        (!raw.is_null()).then(|| Self { target, raw })
    }

    /// Its name, as the kernel has it: major and minor.
    pub(crate) fn name(&self) -> &str {
        // SAFETY: The name is part of the device and ends with a zero.
        unsafe { CStr::from_ptr(shim::raid_device_name(self.raw)) }.to_str().unwrap_or("?")
    }

    /// As C has it.
    pub(crate) fn raw(&self) -> *mut DmDev {
        self.raw
    }

    /// Bytes of a logical block.
    pub(crate) fn block_bytes(&self) -> usize {
        // SAFETY: It is held.
        unsafe { shim::raid_device_block(self.raw) as usize }
    }

    /// Where the logical block with byte `at` begins. Its size is a power of two.
    pub(crate) fn block_start(&self, at: usize) -> usize {
        at & !self.block_bytes().wrapping_sub(1)
    }

    /// Where the last logical block with a byte before `end` ends.
    pub(crate) fn block_end(&self, end: usize) -> usize {
        self.block_start(end.saturating_add(self.block_bytes()).saturating_sub(1))
    }

    /// Makes durable what was written to it. False if that failed.
    pub(crate) fn flush(&self) -> bool {
        // SAFETY: It is held, and the caller may sleep.
        unsafe { shim::raid_device_flush(self.raw) }
    }

    /// True if it makes sectors zeros when told to.
    fn zeroes(&self) -> bool {
        // SAFETY: It is held.
        unsafe { shim::raid_device_zeroes(self.raw) }
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

/// The devices of a slot.
#[derive(Default)]
pub(crate) struct Seat {
    pub(crate) metadata: Option<Device>,
    pub(crate) data: Option<Device>,
    /// Where the member's data begin on its device.
    pub(crate) data_at: Sector,
    /// Which disk of its container it was known as, if the device itself does not say that.
    pub(crate) known: Option<(Serial, Identity)>,
}

/// All slots.
pub(crate) struct Seats {
    seats: KVVec<Seat>,
}

impl Seats {
    pub(crate) fn new(seats: KVVec<Seat>) -> Self {
        Self { seats }
    }

    fn at(&self, member: Member) -> Option<&Seat> {
        self.seats.get(usize::from(member.0))
    }

    /// The data device in a slot, and where on it a sector of the member's data is.
    pub(crate) fn place(&self, member: Member, at: Sector) -> Option<(*mut DmDev, u64)> {
        let seat = self.at(member)?;
        Some((seat.data.as_ref()?.raw(), seat.data_at.0 + at.0))
    }

    /// The data device in a slot.
    pub(crate) fn data_device(&self, member: Member) -> Option<&Device> {
        self.at(member)?.data.as_ref()
    }

    /// Which disk the data device in a slot was known as.
    pub(crate) fn known(&self, member: Member) -> Option<(Serial, Identity)> {
        self.at(member)?.known
    }

    /// The metadata device in a slot.
    pub(crate) fn metadata(&self, member: Member) -> Option<&Device> {
        self.at(member)?.metadata.as_ref()
    }

    /// Their names, or `-`: metadata, data.
    pub(crate) fn names(&self, member: Member) -> [&str; 2] {
        [self.metadata(member), self.data_device(member)].map(|device| device.map_or("-", Device::name))
    }

    /// True if all can free what becomes zeros.
    pub(crate) fn free_zeroes(&self) -> bool {
        self.seats.iter().filter_map(|seat| seat.data.as_ref()).all(Device::zeroes)
    }

    /// How many there are.
    pub(crate) fn slots(&self) -> u16 {
        self.seats.len() as u16
    }

    /// The slot that a device is in.
    pub(crate) fn slot_of(&self, name: &str) -> Option<Member> {
        self.present().iter().find(|member| self.data_device(*member).is_some_and(|device| device.name() == name))
    }

    /// Slots that have a device.
    pub(crate) fn present(&self) -> Columns {
        (0..=u8::MAX).map(Member).filter(|member| self.data_device(*member).is_some()).collect()
    }
}
