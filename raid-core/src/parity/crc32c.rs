//! CRC-32C (Castagnoli, RFC 3720 appendix B.4), the sum of MD's journal and partial parity log, as fast as this CPU can.

/// x³² + .. + 1 without its top bit, reflected: bit 31 stands for x⁰.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// For every byte: what eight steps of the register add for it.
static STEPS: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0u32;
    while byte < 256 {
        let mut register = byte;
        let mut bit = 0;
        while bit < 8 {
            register = step(register);
            bit += 1;
        }
        table[byte as usize] = register;
        byte += 1;
    }
    table
};

/// Times x, modulo the polynomial: bit 0 stands for x³¹.
const fn step(register: u32) -> u32 {
    (register >> 1) ^ (POLYNOMIAL & (register & 1).wrapping_neg())
}

/// x to the power of `exponent`, modulo the polynomial, reflected in 64 bits: bit 63 stands for x⁰.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only the instruction sets of x86 ask for it"))]
pub(super) const fn power_reflected(exponent: u32) -> u64 {
    let mut register = 1 << 31;
    let mut left = exponent;
    while left > 0 {
        register = step(register);
        left -= 1;
    }
    (register as u64) << 32
}

/// The register after `bytes`, if it was `register` before them. There are no complements: a sum that begins with all ones and is
/// complemented at the end, as most are, is `!crc32c(!0, bytes)`.
///
/// ```
/// use raid_core::parity::crc32c;
/// assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
/// ```
#[must_use]
pub fn crc32c(register: u32, bytes: &[u8]) -> u32 {
    super::sum_by_cpu(register, bytes).unwrap_or_else(|| portable(register, bytes))
}

/// [`crc32c`] byte by byte: runs everywhere, and is what the fast forms are tested against.
#[must_use]
pub fn portable(register: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(register, |register, byte| {
        let [low, ..] = register.to_le_bytes();
        (register >> 8) ^ STEPS[usize::from(low ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    /// The sum bit by bit, as it is defined.
    fn bit_by_bit(register: u32, bytes: &[u8]) -> u32 {
        bytes.iter().fold(register, |register, byte| (0..8).fold(register ^ u32::from(*byte), |sum, _| step(sum)))
    }

    #[test]
    fn known_sums_come_out() {
        // RFC 3720, B.4: 32 zeros, 32 ones, ascending.
        let ascending: Vec<u8> = (0..32).collect();
        for (bytes, sum) in [(&[0; 32][..], 0x8A91_36AA), (&[0xFF; 32], 0x62A8_AB43), (&ascending, 0x46DD_794E)] {
            assert_eq!(!crc32c(!0, bytes), sum);
            assert_eq!(!portable(!0, bytes), sum);
            assert_eq!(!bit_by_bit(!0, bytes), sum);
        }
    }

    #[test]
    fn every_length_and_start_gives_the_sum_of_the_definition() {
        let bytes: Vec<u8> = (0..1500_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        for start in [0, 1, 7, 64] {
            for len in (0..300).chain([511, 512, 513, 575, 576, 1023, 1024, 1025, 1400]) {
                let part = &bytes[start..start + len];
                let register = 0x1234_5678_u32.wrapping_mul(u32::try_from(len).unwrap());
                let expected = bit_by_bit(register, part);
                assert_eq!(crc32c(register, part), expected, "{len} bytes from {start}");
                assert_eq!(portable(register, part), expected, "{len} bytes from {start}");
            }
        }
    }
}
