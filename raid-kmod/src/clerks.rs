// SPDX-License-Identifier: GPL-2.0-only
//! Who moves metadata: a clerk for each slot, with a page. Whoever uses a clerk's page is that clerk, or knows that none is at work.

use core::ffi::c_void;
use core::fmt;

use kernel::prelude::*;
use raid_core::{Member, Sector, SECTOR_BYTES};
use raid_formats::source::Source;

use crate::seats::Device;
use crate::shim::{self, RawClerks};

/// Bytes of a clerk's page.
pub(crate) const PAGE: usize = 4096;

/// All of an array.
pub(crate) struct Clerks(*mut RawClerks);

// SAFETY: What the functions of C do with clerks may be done from anywhere.
unsafe impl Send for Clerks {}
// SAFETY: As above; pages are used as the head of this file says.
unsafe impl Sync for Clerks {}

impl Clerks {
    /// Makes them. They call with `array` only after they were woken.
    pub(crate) fn new(array: *mut c_void, count: u16) -> Result<Self> {
        // SAFETY: Only allocates; the pointer is kept.
        let raw = unsafe { shim::raid_clerks_new(array, count) };
        if raw.is_null() { Err(ENOMEM) } else { Ok(Self(raw)) }
    }

    /// Lets a clerk's work run soon.
    pub(crate) fn wake(&self, member: Member) {
        // SAFETY: Members and clerks are as many.
        unsafe { shim::raid_clerk_wake(self.0, member.0.into()) };
    }

    /// Copies `from` to the start of the clerk's page.
    pub(crate) fn fill(&self, member: Member, from: &[u8]) {
        // SAFETY: A page is there for every member, and nobody else's for now.
        let page = unsafe { &mut *shim::raid_clerk_page(self.0, member.0.into()).cast::<[u8; PAGE]>() };
        if let Some(page) = page.get_mut(..from.len()) {
            page.copy_from_slice(from);
        }
    }

    /// Writes the first bytes of the clerk's page, durably. False if that failed.
    pub(crate) fn write(&self, member: Member, device: &Device, at: Sector, len: usize) -> bool {
        self.move_page(member, device, at, len, true)
    }

    /// Reads into `to`, which is whole blocks of the device and no longer than a page. False if that failed.
    pub(crate) fn read(&self, member: Member, device: &Device, at: Sector, to: &mut [u8]) -> bool {
        let well = to.len() <= PAGE && self.move_page(member, device, at, to.len(), false);
        if well {
            // SAFETY: As in `fill`.
            let page = unsafe { &*shim::raid_clerk_page(self.0, member.0.into()).cast::<[u8; PAGE]>() };
            to.copy_from_slice(page.get(..to.len()).unwrap_or_default());
        }
        well
    }

    fn move_page(&self, member: Member, device: &Device, at: Sector, len: usize, write: bool) -> bool {
        let inside = at.0.saturating_add(len as u64 / SECTOR_BYTES) <= device.sectors().0;
        // SAFETY: The device is held, the page is as long, and the caller may sleep.
        inside && unsafe { shim::raid_clerk_move(self.0, member.0.into(), device.raw(), at.0, len as u32, write) }
    }
}

impl Drop for Clerks {
    fn drop(&mut self) {
        // SAFETY: Made by `new`; waits for what runs.
        unsafe { shim::raid_clerks_free(self.0) };
    }
}

/// A metadata device, for the formats to read from.
pub(crate) struct Shelf<'a> {
    pub(crate) clerks: &'a Clerks,
    pub(crate) member: Member,
    pub(crate) device: &'a Device,
}

/// A read that failed.
pub(crate) struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot be read")
    }
}

impl Source for Shelf<'_> {
    type Error = Unread;

    fn size_bytes(&self) -> u64 {
        self.device.sectors().0.saturating_mul(SECTOR_BYTES)
    }

    fn block_bytes(&self) -> u32 {
        self.device.block_bytes() as u32
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> core::result::Result<(), Unread> {
        let (mut at, mut rest) = (offset_bytes as usize, buf);
        let mut room = KVVec::with_capacity(PAGE, GFP_KERNEL).map_err(|_| Unread)?;
        while !rest.is_empty() {
            let from = self.device.block_start(at);
            let skip = at - from;
            let len = self.device.block_end(skip.saturating_add(rest.len())).min(PAGE);
            room.resize(len, 0, GFP_KERNEL).map_err(|_| Unread)?;
            if !self.clerks.read(self.member, self.device, Sector(from as u64 / SECTOR_BYTES), &mut room) {
                return Err(Unread);
            }
            let part = room.get(skip..).unwrap_or_default();
            let (now, later) = rest.split_at_mut(part.len().min(rest.len()));
            now.copy_from_slice(part.get(..now.len()).unwrap_or_default());
            at = at.saturating_add(now.len());
            rest = later;
        }
        Ok(())
    }
}
