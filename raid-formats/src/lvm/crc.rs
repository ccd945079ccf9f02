//! The checksum of labels, area headers and texts.

use crate::crc32::crc32;

/// What sums start at (lvm2 `lib/misc/crc.h`, `INITIAL_CRC`).
const INITIAL: u32 = 0xF597_A6CF;

/// LVM's sum of `parts`, one behind the other: a text may lie in two.
#[must_use]
pub fn crc(parts: &[&[u8]]) -> u32 {
    crc32(INITIAL, parts)
}
