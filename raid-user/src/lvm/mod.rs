//! LVM: physical volumes, the group that they tell of, and its volumes as media.
//!
//! What a disk holds is parsed by `raid_formats::lvm`; which text counts is chosen in `group.rs`; `volume.rs` makes media of what it says.
//! RAID segments become arrays, so that who is trusted and what is lost is decided where it is for every other format.

mod group;
mod physical;
mod volume;
mod writable;

pub use group::VolumeGroup;
pub use physical::Physical;
pub(crate) use volume::record as told;
pub use volume::{Opened, Stop};

/// A name of LVM's for people. Texts hold ASCII; anything else is damage, and shown as such.
pub(crate) fn shown(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}
