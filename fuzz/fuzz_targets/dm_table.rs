//! See `raid_testkit::fuzz_bodies::dm_table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raid_testkit::fuzz_bodies::dm_table(data));
