//! What tests of several crates share: real arrays unpacked in memory, media made of bytes, a real `mdadm` to ask,
//! fuzz bodies. Test code only, so it panics where a test should fail.
#![forbid(unsafe_code)]

pub mod array;
pub mod bios_made;
pub mod ddf_made;
pub mod fixtures;
pub mod fuzz_bios;
pub mod fuzz_bodies;
pub mod fuzz_ddf;
pub mod fuzz_dm;
pub mod fuzz_imsm;
pub mod fuzz_lvm;
pub mod fuzz_plan;
pub mod fuzz_words;
pub mod image;
pub mod imsm_made;
pub mod known;
pub mod mdadm;
pub mod null_host;
pub mod pattern;
pub mod served;
pub mod skip;
pub mod uml;

pub use skip::{skipped, tool};
