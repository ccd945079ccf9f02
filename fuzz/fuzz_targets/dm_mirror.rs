//! See `raid_testkit::fuzz_bodies::dm_mirror`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raid_testkit::fuzz_bodies::dm_mirror(data));
