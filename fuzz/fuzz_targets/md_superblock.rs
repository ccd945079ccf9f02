//! See `raid_testkit::fuzz_bodies::md_superblock`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raid_testkit::fuzz_bodies::md_superblock(data));
