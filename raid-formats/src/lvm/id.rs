//! LVM's identities: 32 letters and digits.

use core::fmt;

/// Identity of a physical volume, a group or a volume.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 32]);

impl Id {
    /// Reads an identity as texts write it, with dashes or without; `None` if it has not 32 letters and digits.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut id = [0; 32];
        let mut letters = text.iter().filter(|byte| **byte != b'-');
        for slot in &mut id {
            *slot = *letters.next().filter(|byte| byte.is_ascii_graphic())?;
        }
        letters.next().is_none().then_some(Self(id))
    }
}

/// In groups of 6, 4, 4, 4, 4, 4 and 6, as LVM prints it.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 6 | 10 | 14 | 18 | 22 | 26) {
                f.write_str("-")?;
            }
            fmt::Display::fmt(&byte.escape_ascii(), f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
