//! How a medium is named: `PATH`, `PATH#2`, `raw:PATH`, `qcow2:PATH#2`, `nbd://host/export`. Opens nothing.
//!
//! A file name may hold any of these characters too, so an existing file of the very name given always wins; which
//! reading was taken is told as a note. To be sure of a literal name, write it so that nothing is left to read:
//! `./raw:x` has no prefix.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::OpenError;
use super::nbd::Uri;

/// How the bytes of a file are read as a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// As they are.
    Raw,
    /// QEMU's copy-on-write image, version 2 or 3.
    Qcow2,
    /// VMware's image: a descriptor file and its extents.
    Vmdk,
}

impl Format {
    /// Every format with the prefix that asks for it.
    const ALL: [(Self, &'static str); 3] = [(Self::Raw, "raw"), (Self::Qcow2, "qcow2"), (Self::Vmdk, "vmdk")];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(format, _)| format == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// A medium as a person names it.
///
/// ```
/// use raid_user::media::MediaSpec;
/// let spec: MediaSpec = "qcow2:disk.img#p2".parse().unwrap();
/// assert_eq!(spec.to_string(), "qcow2:disk.img#2");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSpec {
    /// Where the bytes are.
    pub location: Location,
    /// The image format; found by magic number if absent.
    pub format: Option<Format>,
    /// The number of a partition in it, as Linux counts: from 1, logical partitions from 5.
    pub partition: Option<u32>,
}

/// Where a medium's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file or block device.
    Path(PathBuf),
    /// An NBD export.
    Nbd(Uri),
}

impl MediaSpec {
    /// Reads a name. Paths need not be UTF-8.
    ///
    /// # Errors
    /// [`OpenError::Name`] for an empty name, a wrong URI, or partition 0.
    pub fn parse(text: &OsStr) -> Result<Self, OpenError> {
        let refuse = |reason: String| OpenError::Name { what: text.display().to_string(), reason };
        if text.is_empty() {
            return Err(refuse("the name is empty".to_owned()));
        }
        let (format, rest) = split_format(text);
        let (rest, partition) = split_partition(rest);
        if partition == Some(0) {
            return Err(refuse("partitions are counted from 1".to_owned()));
        }
        let location = match rest.to_str().filter(|rest| Uri::is_one(rest)) {
            Some(uri) => {
                // A fragment that is no partition number would silently end up in the export's name.
                let uri = Uri::parse(uri).and_then(|uri| {
                    if rest.as_bytes().contains(&b'#') {
                        Err("a # in an export's name is written %23".to_owned())
                    } else {
                        Ok(uri)
                    }
                });
                Location::Nbd(uri.map_err(refuse)?)
            }
            None => Location::Path(rest.into()),
        };
        Ok(Self { location, format, partition })
    }

    /// The spec of a plain path, whatever characters it holds.
    #[must_use]
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self { location: Location::Path(path.into()), format: None, partition: None }
    }

    /// Settles what the name means, given which files are there. Of all readings the one that takes most of the text for
    /// the file's name and exists wins. The flag is true if that is not the reading [`MediaSpec::parse`] made.
    pub(super) fn resolve(&self, exists: impl Fn(&Path) -> bool) -> (Self, bool) {
        let Location::Path(path) = &self.location else { return (self.clone(), false) };
        let prefix = self.format.map_or_else(String::new, |format| format!("{format}:"));
        // Both spellings of a partition parse to the same number.
        let suffixes = self.partition.map_or_else(Vec::new, |index| vec![format!("#{index}"), format!("#p{index}")]);
        let literal = |prefix: &str, suffix: &str| {
            let mut text = std::ffi::OsString::from(prefix);
            text.push(path);
            text.push(suffix);
            PathBuf::from(text)
        };
        let mut readings = Vec::new();
        if self.format.is_some() {
            readings.extend(suffixes.iter().map(|suffix| (literal(&prefix, suffix), None, None)));
            readings.push((literal(&prefix, ""), None, self.partition));
        }
        readings.extend(suffixes.iter().map(|suffix| (literal("", suffix), self.format, None)));
        match readings.into_iter().find(|(path, _, _)| exists(path)) {
            Some((path, format, partition)) => (Self { location: Location::Path(path), format, partition }, true),
            None => (self.clone(), false),
        }
    }
}

impl FromStr for MediaSpec {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        Self::parse(OsStr::new(text))
    }
}

impl fmt::Display for MediaSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(format) = self.format {
            write!(f, "{format}:")?;
        }
        match &self.location {
            Location::Path(path) => write!(f, "{}", path.display())?,
            Location::Nbd(uri) => write!(f, "{uri}")?,
        }
        self.partition.map_or(Ok(()), |index| write!(f, "#{index}"))
    }
}

/// Takes a format's prefix off.
fn split_format(text: &OsStr) -> (Option<Format>, &OsStr) {
    let found = Format::ALL.iter().find_map(|(format, name)| {
        let rest = text.as_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        (!rest.is_empty()).then(|| (Some(*format), OsStr::from_bytes(rest)))
    });
    found.unwrap_or((None, text))
}

/// Takes `#2` or `#p2` off the end. Only what prints back the same counts: `#02` is part of a name.
fn split_partition(text: &OsStr) -> (&OsStr, Option<u32>) {
    let split = || {
        let at = text.as_bytes().iter().rposition(|byte| *byte == b'#').filter(|at| *at > 0)?;
        let (rest, suffix) = text.as_bytes().split_at_checked(at)?;
        let digits = std::str::from_utf8(suffix).ok()?.trim_start_matches('#');
        let digits = digits.strip_prefix('p').unwrap_or(digits);
        let index: u32 = digits.parse().ok()?;
        (index.to_string() == digits).then(|| (OsStr::from_bytes(rest), index))
    };
    split().map_or((text, None), |(rest, index)| (rest, Some(index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> MediaSpec {
        text.parse().unwrap()
    }

    fn parts(text: &str) -> (Option<Format>, String, Option<u32>) {
        let MediaSpec { location, format, partition } = spec(text);
        let Location::Path(path) = location else { panic!("{text} is no path") };
        (format, path.display().to_string(), partition)
    }

    #[test]
    fn prefixes_and_partitions_are_taken_apart() {
        assert_eq!(parts("disk.img"), (None, "disk.img".into(), None));
        assert_eq!(parts("disk.img#2"), (None, "disk.img".into(), Some(2)));
        assert_eq!(parts("raw:/a/b#p12"), (Some(Format::Raw), "/a/b".into(), Some(12)));
        assert_eq!(parts("a#b#3"), (None, "a#b".into(), Some(3)));
    }

    #[test]
    fn what_only_resembles_the_syntax_is_a_name() {
        for text in ["#2", "a#", "a#x2", "a#02", "a#+2", "a#2x", "raw:", "./raw:x", "rawx", "a##"] {
            let (format, path, partition) = parts(text);
            assert_eq!((format, path.as_str(), partition), (None, text, None));
        }
    }

    #[test]
    fn an_export_may_hold_partitions() {
        let found = spec("nbd://h/x#2");
        assert_eq!((found.partition, found.to_string()), (Some(2), "nbd://h/x#2".into()));
        assert!("nbd://h/x#y".parse::<MediaSpec>().unwrap_err().to_string().contains("%23"));
        assert!("nbd://h:z".parse::<MediaSpec>().unwrap_err().to_string().starts_with("nbd://h:z: "));
    }

    #[test]
    fn an_empty_name_and_partition_0_are_refused() {
        assert!(MediaSpec::from_str("").unwrap_err().to_string().contains("empty"));
        assert!(MediaSpec::from_str("a#0").unwrap_err().to_string().contains("from 1"));
    }

    #[test]
    fn an_existing_file_of_the_very_name_wins() {
        for (given, there, means) in [
            ("a#2", "a#2", "a#2"),
            ("a#p2", "a#p2", "a#p2"),
            ("raw:a", "raw:a", "raw:a"),
            ("raw:a#2", "raw:a#2", "raw:a#2"),
            ("raw:a#2", "raw:a", "raw:a"),
            ("raw:a#2", "a#2", "a#2"),
        ] {
            let (found, literal) = spec(given).resolve(|path| path == Path::new(there));
            assert!(literal, "{given} with {there}");
            assert_eq!(found.location, Location::Path(means.into()), "{given} with {there}");
        }
        let (found, literal) = spec("raw:a#2").resolve(|path| path == Path::new("a"));
        assert_eq!((found, literal), (spec("raw:a#2"), false));
    }
}
