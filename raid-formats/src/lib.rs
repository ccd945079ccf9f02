//! On-disk RAID metadata, every vendor's: found, parsed, described, changed and made.
//!
//! Two levels everywhere. The raw record is a `zerocopy` struct that mirrors the bytes and judges nothing. The
//! validated meaning is what `parse` returns. Both speak the format's own field names; [`record::Record`] says the
//! same in the words all formats share.
//!
//! No function here panics, whatever the bytes.
#![no_std]
#![forbid(unsafe_code)]

pub mod assemble;
pub mod bios;
pub mod claim;
pub mod container;
mod crc32;
pub mod ddf;
pub mod dm;
pub mod dump;
pub mod fault;
pub mod imsm;
pub mod lvm;
pub mod md;
pub mod record;
pub mod source;
pub mod table;
