//! See `raid_user::fuzz_bodies::nbd_machine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raid_user::fuzz_bodies::nbd_machine(data));
