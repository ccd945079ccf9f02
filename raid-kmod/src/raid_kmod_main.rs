// SPDX-License-Identifier: GPL-2.0-only
//! The device-mapper target `raid-kmod`: the core's engine, with a host made of the kernel's locks, bios and work queues.
//!
//! It decides nothing about RAID. `shim/` holds the C that the kernel's headers need, and decides nothing at all.

mod auto;
mod calls;
mod clerks;
mod compute;
mod host;
mod ios;
mod memory;
mod metadata;
mod parity;
mod seats;
mod shim;
mod store;
mod target;
mod words;

use kernel::prelude::*;

module! {
    type: Raid,
    name: "raid_kmod",
    authors: ["The raid project"],
    description: "RAID by one core that user space and kernel share",
    license: "GPL",
}

struct Raid;

impl kernel::Module for Raid {
    fn init(_: &'static ThisModule) -> Result<Self> {
        // SAFETY: Only tells a number.
        if unsafe { shim::raid_request_bytes() } != size_of::<shim::RawRequest>() {
            pr_err!("the two sides of the border do not agree\n");
            return Err(EINVAL);
        }
        // SAFETY: The target's functions are there as long as the module is.
        kernel::error::to_result(unsafe { shim::raid_dm_register() })?;
        pr_info!("target raid-kmod, parity by {}\n", parity::Parity::choose().name());
        Ok(Self)
    }
}

impl Drop for Raid {
    fn drop(&mut self) {
        // SAFETY: Registered above; no table uses it, or the module could not go.
        unsafe { shim::raid_dm_unregister() };
    }
}
