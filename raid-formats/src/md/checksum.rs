//! The three sums of MD: the folded word sum of superblocks, and the CRC-32C of PPL and journal.
//!
//! Source: kernel `drivers/md/md.c` (`calc_sb_csum`, `calc_sb_1_csum`), `raid5-ppl.c`, `raid5-cache.c`.

use zerocopy::byteorder::{ByteOrder, U16, U32};

/// Linux's `crc32c(seed, bytes)`: Castagnoli, the state goes in and comes out as it is, without inversion.
#[must_use]
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    raid_core::parity::crc32c(seed, bytes)
}

/// Linux's `crc32c(seed, bytes)` where the four bytes at `hole` (the CRC's own place) count as zero.
#[must_use]
pub fn crc32c_with_hole(seed: u32, bytes: &[u8], hole: usize) -> u32 {
    let (before, rest) = bytes.split_at_checked(hole).unwrap_or((bytes, &[]));
    let after = rest.get(4..).unwrap_or(&[]);
    let zeros = [0; 4];
    crc32c(crc32c(crc32c(seed, before), zeros.get(..rest.len().min(4)).unwrap_or(&[])), after)
}

/// The superblock sum: all 32-bit words added, the carries folded back in once, the sum's own word `hole` (in bytes) left out.
///
/// Two bytes left over at the end count as a 16-bit word, which version 1 with an odd table needs.
#[must_use]
pub fn folded_sum<O: ByteOrder>(bytes: &[u8], hole: usize) -> u32 {
    let mut sum: u64 = 0;
    let (words, rest) = bytes.as_chunks::<4>();
    for (index, word) in words.iter().enumerate() {
        if index.checked_mul(4) != Some(hole) {
            sum = sum.wrapping_add(u64::from(U32::<O>::from_bytes(*word).get()));
        }
    }
    if let Ok(half) = <[u8; 2]>::try_from(rest) {
        sum = sum.wrapping_add(u64::from(U16::<O>::from_bytes(half).get()));
    }
    let [a, b, c, d, e, f, g, h] = sum.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]).wrapping_add(u32::from_le_bytes([e, f, g, h]))
}

/// What kernels on Alpha stored instead: the sum folded once more, to 16 bits. Source: kernel `md.c`, `calc_sb_csum`.
#[must_use]
pub const fn folded_to_16(sum: u32) -> u32 {
    let once = (sum & 0xFFFF).wrapping_add(sum >> 16);
    (once & 0xFFFF).wrapping_add(once >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_castagnolis_with_the_state_bare() {
        // RFC 3720 B.4: the inverted CRC of 32 zero bytes is 0x8A9136AA.
        assert_eq!(!crc32c(!0, &[0; 32]), 0x8A91_36AA);
        assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(crc32c(!0, b"12345"), b"6789"), crc32c(!0, b"123456789"));
    }

    #[test]
    fn the_hole_counts_as_zero() {
        assert_eq!(crc32c_with_hole(7, b"abcdEFGHijk", 4), crc32c(7, b"abcd\0\0\0\0ijk"));
        assert_eq!(crc32c_with_hole(7, b"abc", 9), crc32c(7, b"abc"));
    }
}
