//! The reflected CRC-32 (polynomial 0xEDB88320). DDF and LVM2 sum with it, and each begins and ends in its own way.

use crc::{Algorithm, CRC_32_ISO_HDLC, Crc, Table};

/// Sixteen tables of 1 KiB, so that sixteen bytes go at a time: a set of DDF is half a megabyte, and each update sums it.
static BARE: Crc<u32, Table<16>> =
    Crc::<u32, Table<16>>::new(&Algorithm { init: 0, xorout: 0, check: 0, residue: 0, ..CRC_32_ISO_HDLC });

/// The sum of `parts`, one behind the other, from `start` on, neither of them inverted.
pub(crate) fn crc32(start: u32, parts: &[&[u8]]) -> u32 {
    let mut digest = BARE.digest_with_initial(start.reverse_bits());
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}
