//! Identities of 24 bytes: of headers, controllers, physical and virtual disks.

use crate::record::Uuid;
use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Eight bytes of vendor in ASCII, then whatever that vendor makes unique (SNIA DDF 2.0, section 5.2: identifiers and time).
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct Guid(pub [u8; 24]);

impl Guid {
    /// What stands in a free entry of a table.
    pub const FREE: Self = Self([0xFF; 24]);

    /// False for the value of free entries.
    #[must_use]
    pub fn is_set(self) -> bool {
        self != Self::FREE
    }

    /// The identity in the 16 bytes that all formats share: the last 16 bytes, with the vendor's eight XORed onto the first eight of them.
    ///
    /// Two identities of one vendor never fall together, and those of two vendors do no more likely than random numbers. This
    /// is not the UUID that `mdadm` prints, which is a hash.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        let [vendor @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = self.0;
        let [_, _, _, _, _, _, _, _, mut rest @ ..] = self.0;
        for (byte, vendor) in rest.iter_mut().zip(vendor) {
            *byte ^= vendor;
        }
        Uuid(rest)
    }
}

/// In groups of eight hex digits, as `mdadm --examine` prints it.
impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if index != 0 && index.is_multiple_of(4) {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_identity_keeps_every_byte_apart() {
        let base = Guid(*b"Linux-MD0123456789abcdef");
        for index in 0..24 {
            let mut other = base;
            other.0[index] ^= 0x80;
            assert_ne!(other.uuid(), base.uuid(), "byte {index}");
        }
        assert_eq!(base.uuid().0[8..], *b"89abcdef");
    }
}
