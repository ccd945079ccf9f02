//! The userspace side: media, arrays opened from them, the NBD server, and what the `raid` tool prints.
#![forbid(unsafe_code)]

pub mod array;
pub mod discover;
pub mod media;
pub mod nbd;
