//! What Linux's device-mapper targets keep on disk: dm-raid's superblock, dm-mirror's log, dm-snapshot's store.
//!
//! None of them says which devices belong together: that stands in the device-mapper table, which LVM makes from its text
//! ([`crate::lvm`]). So each is looked at where that says that it lies.

pub mod dump;
pub mod mirror;
mod raid;
mod set;
pub mod snapshot;

pub use mirror::MirrorLog;
pub use raid::{
    BITMAP_AT, BITMAP_BYTES, Bits, CreateParams, DISKS_MAX, MAGIC as RAID_MAGIC, RAID_BYTES, RaidState, RawRaid,
    RawRaidExtension, RawRaidHead, Superblock, create, join, update,
};
pub use set::{Block, Said, Set, SetError};
pub use snapshot::{Store, StoreState};

use crate::{fault, md};

/// Why one of these could not be read: the reasons are MD's, whose numbers dm-raid uses.
pub type Fault<E> = fault::Fault<E, md::Refusal>;
