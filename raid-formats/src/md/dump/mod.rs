//! MD's records field by field. Names are the kernel's, meanings are ours.

mod logs;
mod superblock0;
mod superblock1;

pub use logs::{bad_blocks, bitmap, journal, ppl};

use crate::{
    dump::{Field, Value},
    md::{Refusal, Version},
};
use zerocopy::{BE, LE};

/// Tells `visit` every field of a superblock, sound or not.
///
/// # Errors
/// [`Refusal::Truncated`].
pub fn superblock(bytes: &[u8], version: Version, mut visit: impl FnMut(Field)) -> Result<(), Refusal> {
    match version {
        Version::V0Little => superblock0::dump::<LE>(bytes, &mut visit),
        Version::V0Big => superblock0::dump::<BE>(bytes, &mut visit),
        Version::V1_0 | Version::V1_1 | Version::V1_2 => superblock1::dump(bytes, &mut visit),
    }
}

/// MD's level numbers by name.
pub(crate) fn level(number: i32) -> Value<'static> {
    let name = match number {
        -4 => "multipath",
        -1 => "linear",
        0 => "RAID 0",
        1 => "RAID 1",
        4 => "RAID 4",
        5 => "RAID 5",
        6 => "RAID 6",
        10 => "RAID 10",
        _ => "unknown",
    };
    Value::Code { number: i64::from(number), name }
}

/// MD's layout words by name, for the level they belong to. RAID 10's is a set of numbers and has none.
pub(crate) fn layout(level: i32, number: u32) -> Value<'static> {
    let name = match (level, number) {
        (0, 0) => "unstated",
        (0, 1) => "original",
        (0, 2) => "alternate",
        (5 | 6, 0) => "left-asymmetric",
        (5 | 6, 1) => "right-asymmetric",
        (5 | 6, 2) => "left-symmetric",
        (5 | 6, 3) => "right-symmetric",
        (5 | 6, 4) => "parity-first",
        (5 | 6, 5) => "parity-last",
        (6, 8) => "rotating parity, zero restart",
        (6, 9) => "rotating parity, N restart",
        (6, 10) => "rotating parity, N continue",
        (6, 16) => "left-asymmetric, Q last",
        (6, 17) => "right-asymmetric, Q last",
        (6, 18) => "left-symmetric, Q last",
        (6, 19) => "right-symmetric, Q last",
        (6, 20) => "parity-first, Q last",
        (0 | 5 | 6, _) => "unknown",
        _ => return Value::Hex(u64::from(number)),
    };
    Value::Code { number: i64::from(number), name }
}
