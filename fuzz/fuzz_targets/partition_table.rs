//! See `raid_user::fuzz_bodies::partition_table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raid_user::fuzz_bodies::partition_table(data));
