//! See `raid_testkit::fuzz_bodies::lvm_label`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raid_testkit::fuzz_bodies::lvm_label(data));
