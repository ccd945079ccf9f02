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

/// A medium of zeros with a few runs of other bytes. Costs only those.
#[derive(Clone, Debug, Default)]
pub struct Sparse {
    /// Size in bytes.
    pub size_bytes: u64,
    /// Byte offset and content of each run; where they overlap, the later one holds.
    pub runs: Vec<(u64, Vec<u8>)>,
}

impl Source for Sparse {
    type Error = PastTheEnd;

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        let end = offset_bytes.checked_add(buf.len() as u64).ok_or(PastTheEnd)?;
        if end > self.size_bytes {
            return Err(PastTheEnd);
        }
        buf.fill(0);
        for (at, bytes) in &self.runs {
            let (from, to) = (offset_bytes.max(*at), end.min(at.saturating_add(bytes.len() as u64)));
            if from < to {
                // Both differences lie within a slice, so they fit.
                let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
                let source = &bytes[index(from - at)..index(to - at)];
                buf[index(from - offset_bytes)..index(to - offset_bytes)].copy_from_slice(source);
            }
        }
        Ok(())
    }
}
