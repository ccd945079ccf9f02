//! Which bytes of which thing a medium is, whatever name it was given under.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// A range of bytes of one file, device or export. Two media with equal ids are the same bytes; two whose ids
/// [overlap](MediaId::overlaps) share some. Equal contents in two files are two ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaId {
    source: Source,
    start_bytes: u64,
    len_bytes: u64,
}

/// The thing itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Source {
    /// A regular file: the file system's device number and the inode, so hard links and symbolic links agree.
    Inode { device: u64, inode: u64 },
    /// A block device by its own number, so that two nodes for one device agree.
    Block { device: u64 },
    /// A remote export.
    Uri(String),
}

impl MediaId {
    /// The identity of an opened local file or block device of `len_bytes`.
    ///
    /// A partition's device node (`/dev/sda2`) is the same bytes as the partition found in the whole disk (`/dev/sda#2`).
    #[must_use]
    pub fn of_file(metadata: &Metadata, len_bytes: u64) -> Self {
        if metadata.file_type().is_block_device() {
            let device = metadata.rdev();
            if let Some((disk, start_bytes)) = partition_device(device) {
                return Self { source: Source::Block { device: disk }, start_bytes, len_bytes };
            }
            return Self { source: Source::Block { device }, start_bytes: 0, len_bytes };
        }
        let source = Source::Inode { device: metadata.dev(), inode: metadata.ino() };
        Self { source, start_bytes: 0, len_bytes }
    }

    /// The identity of a remote export of `len_bytes`.
    #[must_use]
    pub fn of_uri(uri: &str, len_bytes: u64) -> Self {
        Self { source: Source::Uri(uri.to_owned()), start_bytes: 0, len_bytes }
    }

    /// A part of this.
    #[must_use]
    pub fn part(&self, start_bytes: u64, len_bytes: u64) -> Self {
        Self { source: self.source.clone(), start_bytes: self.start_bytes.saturating_add(start_bytes), len_bytes }
    }

    /// True if the two share bytes: the same medium, or a disk and a partition of it.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let end = |id: &Self| id.start_bytes.saturating_add(id.len_bytes);
        self.same_source(other) && self.start_bytes < end(other) && other.start_bytes < end(self)
    }

    /// True if both lie on one file, device or export, so that one failure takes both.
    #[must_use]
    pub fn same_source(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// The whole disk's device number and the start in it, if `device` is a partition, as Linux tells in sysfs
/// (`Documentation/ABI/stable/sysfs-block`: `start` counts sectors of 512 bytes).
fn partition_device(device: u64) -> Option<(u64, u64)> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let folder = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    if !folder.join("partition").exists() {
        return None;
    }
    let start_sectors: u64 = read_trimmed(&folder.join("start"))?.parse().ok()?;
    let disk = read_trimmed(&folder.parent()?.join("dev"))?;
    let (major, minor) = disk.split_once(':')?;
    Some((rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?), start_sectors.checked_mul(512)?))
}

/// A one-line file without its line end.
fn read_trimmed(path: &Path) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_overlaps_its_partitions_but_they_do_not_overlap_each_other() {
        let disk = MediaId::of_uri("nbd://h/", 100);
        let (first, second) = (disk.part(10, 20), disk.part(30, 20));
        assert!(disk.overlaps(&first) && second.overlaps(&disk));
        assert!(!first.overlaps(&second) && first.same_source(&second));
        assert_eq!(first, disk.part(0, 50).part(10, 20));
        assert!(!disk.overlaps(&MediaId::of_uri("nbd://other/", 100)));
    }
}
