//! A `cpio` archive of the kind that a kernel unpacks as its first file system ("newc", `usr/gen_init_cpio.c`).

use std::io::{self, Write};

/// What an entry is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Everybody may run it.
    File,
    Folder,
    /// Its bytes are where it points.
    Link,
}

/// An archive being written.
pub(super) struct Archive<W> {
    to: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, entries: 0 }
    }

    /// Adds one entry; `name` has no leading slash.
    ///
    /// # Errors
    /// The writer's.
    pub(super) fn add(&mut self, name: &str, kind: Kind, bytes: &[u8]) -> io::Result<()> {
        let mode = match kind {
            Kind::File => 0o100_755,
            Kind::Folder => 0o040_755,
            Kind::Link => 0o120_777,
        };
        self.entry(name, mode, bytes)
    }

    /// Ends it.
    ///
    /// # Errors
    /// The writer's.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn entry(&mut self, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let number = |value: usize| u32::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge));
        let (size, name_size) = (number(bytes.len())?, number(name.len() + 1)?);
        // Inode, mode, owner, group, links, time, size, four device numbers, name's size, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let header: String = fields.iter().map(|field| format!("{field:08X}")).collect();
        let start = format!("070701{header}{name}\0");
        self.padded(start.as_bytes())?;
        self.padded(bytes)
    }

    /// Headers and contents begin at multiples of four.
    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.to.write_all(&[0; 3][..bytes.len().next_multiple_of(4) - bytes.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_padded_and_the_trailer_ends_them() {
        let mut archive = Archive::new(Vec::new());
        archive.add("a", Kind::File, b"12345").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        // 110 bytes of header and the name with its zero fill 112; five bytes fill eight.
        assert!(bytes.starts_with(b"07070100000001000081ED"));
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!(&bytes[112..120], b"12345\0\0\0");
        assert!(bytes[120..].starts_with(b"070701") && bytes.ends_with(b"TRAILER!!!\0\0\0\0"));
    }
}
