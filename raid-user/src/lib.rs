//! The userspace side: media, arrays opened from them, the NBD server, and what the `raid` tool prints.
#![forbid(unsafe_code)]

pub mod array;
pub mod cmd;
pub mod control;
pub mod create;
pub mod discover;
pub mod draw;
#[doc(hidden)]
pub mod fuzz_bodies;
pub mod host;
pub mod layers;
pub mod lvm;
pub mod make;
pub mod media;
pub mod nbd;
pub mod sim;
pub mod transfer;
