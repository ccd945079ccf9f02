//! See `raid_testkit::fuzz_bodies::lvm_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raid_testkit::fuzz_bodies::lvm_text(data));
