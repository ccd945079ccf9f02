//! The checksum that every structure of DDF carries in its second word, in the forms that writers use.
//!
//! All are the reflected CRC-32 (polynomial 0xEDB88320) over the structure with the checksum's own bytes taken as FF. `mdadm` (`crc32.c`)
//! and the firmware whose disks were seen start at zero and do not invert the result; FreeBSD (`md_ddf.c`) starts at all ones and
//! inverts, as zlib does. And where a block has 4096 bytes, a structure of 512 may be summed alone or with the rest of its block. A
//! changed structure is sealed in the form in which it was found.

use super::word::{Full, Order};
use crate::{crc32::crc32, md};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes before the checksum.
const CRC_OFFSET: usize = 4;
/// The first byte behind it.
const CRC_END: usize = 8;

/// The plain sum of `bytes`.
pub(super) fn plain(bytes: &[u8]) -> u32 {
    crc32(0, &[bytes])
}

/// What is summed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Starts at all ones and inverts the result.
    pub inverted: bool,
    /// Bytes that are summed.
    pub len: usize,
}

impl Form {
    /// What the sum of `bytes` should be; `None` if there are too few.
    #[must_use]
    pub fn sum(self, bytes: &[u8]) -> Option<u32> {
        let head = bytes.get(..CRC_OFFSET)?;
        let tail = bytes.get(CRC_END..self.len)?;
        let inverted = if self.inverted { u32::MAX } else { 0 };
        Some(inverted ^ crc32(inverted, &[head, &[0xFF; CRC_END - CRC_OFFSET], tail]))
    }

    /// Puts the right sum into a structure that was changed.
    pub fn seal(self, bytes: &mut [u8], order: Order) {
        if let Some(sum) = self.sum(bytes)
            && let Some(place) = bytes.get_mut(CRC_OFFSET..CRC_END)
        {
            place.copy_from_slice(Full::new(order, sum).as_bytes());
        }
    }

    /// The form in which the sum of `bytes` is right: over all of them, or over the first `short`.
    ///
    /// # Errors
    /// [`md::Refusal`] if it is right in none.
    pub fn of(bytes: &[u8], short: usize, order: Order) -> Result<Self, md::Refusal> {
        let truncated = md::Refusal::Truncated { found: bytes.len(), expected: short };
        let stored = bytes.get(CRC_OFFSET..CRC_END).and_then(|stored| Full::read_from_bytes(stored).ok());
        let found = stored.ok_or(truncated)?.get(order);
        let lens = [bytes.len(), short.min(bytes.len())];
        let mut expected = None;
        for inverted in [false, true] {
            for len in lens {
                let form = Self { inverted, len };
                let sum = form.sum(bytes).ok_or(truncated)?;
                if sum == found {
                    return Ok(form);
                }
                expected = expected.or(Some(sum));
            }
        }
        Err(md::Refusal::Checksum { offset: 4, found, expected: expected.unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_told_from_its_sum_and_survives_a_seal() {
        for order in [Order::Big, Order::Little] {
            for form in [(false, 64), (true, 64), (false, 24), (true, 24)].map(|(inverted, len)| Form { inverted, len })
            {
                let mut bytes = [0x5A; 64];
                form.seal(&mut bytes, order);
                assert_eq!(Form::of(&bytes, 24, order), Ok(form));
                bytes[9] ^= 1;
                assert!(Form::of(&bytes, 24, order).is_err());
            }
        }
    }

    #[test]
    fn the_inverted_form_is_the_one_of_zlib() {
        // "1234" FF FF FF FF: zlib.crc32 of these eight bytes.
        let form = Form { inverted: true, len: 8 };
        assert_eq!(form.sum(b"1234....").unwrap(), 0x1B4D_7357);
    }
}
