//! The checksum of labels, area headers and texts.

use crc::{Algorithm, CRC_32_ISO_HDLC, Crc};

/// What sums start at (lvm2 `lib/misc/crc.h`, `INITIAL_CRC`), in the order in which `crc` takes it.
const INITIAL: u32 = 0xF597_A6CF_u32.reverse_bits();

static LVM: Crc<u32> =
    Crc::<u32>::new(&Algorithm { init: INITIAL, xorout: 0, check: 0, residue: 0, ..CRC_32_ISO_HDLC });

/// LVM's sum of `parts`, one behind the other: a text may lie in two.
#[must_use]
pub fn crc(parts: &[&[u8]]) -> u32 {
    let mut digest = LVM.digest();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}
