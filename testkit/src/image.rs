//! Bytes in memory as a medium.

use raid_formats::source::Source;

/// A medium whose content is these bytes.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a>(pub &'a [u8]);

/// A read past the end of an [`Image`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastTheEnd;

impl std::fmt::Display for PastTheEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("past the end of the image")
    }
}

impl Source for Image<'_> {
    type Error = PastTheEnd;

    fn size_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        let start = usize::try_from(offset_bytes).map_err(|_| PastTheEnd)?;
        let bytes = self.0.get(start..).and_then(|rest| rest.get(..buf.len())).ok_or(PastTheEnd)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}
