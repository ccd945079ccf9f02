//! A raw file or a block device. Refuses what has no bytes of its own: directories, pipes, empty files.

use std::fs::{File, FileType, Metadata, TryLockError};
use std::io::{self, IoSlice, IoSliceMut, Seek as _, SeekFrom};
use std::marker::PhantomData;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, OFlags, SeekFrom as SeekTo};
use rustix::io::Errno;

use super::{
    Media, MediaId, MediaMut, OpenError, Run, Stored, at, check_range, len_of, read_one_by_one, runs, write_one_by_one,
};

/// Marks a [`RawFile`] opened `O_RDONLY`. It has no way to write.
#[derive(Debug)]
pub enum ReadOnly {}

/// Marks a [`RawFile`] opened for writing.
#[derive(Debug)]
pub enum Writable {}

/// A raw file or a block device. Reads are positioned, so any number of threads read at once.
#[derive(Debug)]
pub struct RawFile<Access = ReadOnly> {
    file: File,
    path: PathBuf,
    size_bytes: u64,
    block_bytes: u32,
    /// It lies in a file system that is memory.
    memory: bool,
    /// A run that was found to be data. That a hole may have been made there since does no harm: it is called data still.
    data: Mutex<Range<u64>>,
    id: MediaId,
    /// The file system, or the device, said that it cannot free a range and have it read as zeros.
    keeps: AtomicBool,
    access: PhantomData<Access>,
}

impl RawFile<ReadOnly> {
    /// Opens for reading only.
    ///
    /// # Errors
    /// [`OpenError`]: missing, not permitted, not a file or block device, empty.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let metadata = inspect(path)?;
        let file = File::open(path).map_err(|error| OpenError::from_io(name(path), error))?;
        Self::from_file(file, path, metadata.file_type())
    }

    /// The open file, for a reader of image formats.
    pub(super) fn into_file(self) -> File {
        self.file
    }
}

impl RawFile<Writable> {
    /// Opens for reading and writing, and locks it against other writers.
    ///
    /// A block device is opened `O_EXCL`, which Linux refuses if it is mounted or part of a running array.
    ///
    /// # Errors
    /// [`OpenError`]: as for reading, and [`OpenError::Locked`], [`OpenError::Busy`].
    pub fn open_mut(path: &Path) -> Result<Self, OpenError> {
        let metadata = inspect(path)?;
        let mut options = File::options();
        options.read(true).write(true);
        if metadata.file_type().is_block_device() {
            options.custom_flags(OFlags::EXCL.bits().cast_signed());
        }
        let file = options.open(path).map_err(|error| OpenError::from_io(name(path), error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { what: name(path) }),
            Err(TryLockError::Error(error)) => return Err(OpenError::from_io(name(path), error)),
        }
        Self::from_file(file, path, metadata.file_type())
    }

    /// Asks the file system to do it. `Ok(false)` if it cannot, which is no failure: zeros can be written instead.
    fn allocate(&self, mode: FallocateFlags, offset_bytes: u64, len_bytes: u64) -> io::Result<bool> {
        match rustix::fs::fallocate(&self.file, mode | FallocateFlags::KEEP_SIZE, offset_bytes, len_bytes) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::NODEV) => Ok(false),
            Err(error) => Err(at(&error.into(), &self.describe(), "zeroing", offset_bytes, len_bytes)),
        }
    }
}

impl<Access> RawFile<Access> {
    /// Measures an open file. The kind is asked again of the open file, because the name may mean another one by now.
    fn from_file(file: File, path: &Path, expected: FileType) -> Result<Self, OpenError> {
        let failed = |error| OpenError::from_io(name(path), error);
        let metadata = file.metadata().map_err(failed)?;
        if metadata.file_type() != expected {
            return Err(failed(io::Error::other("was replaced while it was opened")));
        }
        let (size_bytes, block_bytes) = if expected.is_block_device() {
            let size_bytes = (&file).seek(SeekFrom::End(0)).map_err(failed)?;
            (size_bytes, rustix::fs::ioctl_blksszget(&file).map_err(|error| failed(error.into()))?)
        } else {
            (metadata.len(), 512)
        };
        if size_bytes == 0 {
            return Err(OpenError::Empty { what: name(path) });
        }
        let id = MediaId::of_file(&metadata, size_bytes);
        let memory = expected.is_file() && rustix::fs::fstatfs(&file).is_ok_and(|found| is_memory(found.f_type as u64));
        let (data, keeps) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { file, path: path.to_owned(), size_bytes, block_bytes, memory, data, id, keeps, access: PhantomData })
    }

    /// Where the next data or hole begins. The seek moves no position that anything reads from.
    fn seek(&self, to: SeekTo) -> io::Result<u64> {
        match rustix::fs::seek(&self.file, to) {
            Ok(offset_bytes) => Ok(offset_bytes.min(self.size_bytes)),
            Err(Errno::NXIO) => Ok(self.size_bytes),
            Err(error) => Err(error.into()),
        }
    }
}

impl<Access: Send + Sync> Media for RawFile<Access> {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        let len_bytes = len_of(buf);
        check_range(self.size_bytes, offset_bytes, len_bytes)
            .and_then(|()| self.file.read_exact_at(buf, offset_bytes))
            .map_err(|error| at(&error, &self.describe(), "reading", offset_bytes, len_bytes))
    }

    fn read_parts_at(&self, offset_bytes: u64, parts: &mut [IoSliceMut<'_>]) -> io::Result<()> {
        let len_bytes = parts.iter().map(|part| len_of(part)).sum();
        check_range(self.size_bytes, offset_bytes, len_bytes)?;
        match rustix::io::preadv(&self.file, parts, offset_bytes) {
            Ok(read) if read as u64 == len_bytes => Ok(()),
            // Less than all, or an error: part by part it is found out where and why.
            _ => read_one_by_one(self, offset_bytes, parts),
        }
    }

    /// Holes as the file system tells them (`lseek(2)`, `SEEK_DATA`). One that cannot tell calls everything data.
    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        check_range(self.size_bytes, offset_bytes, len_bytes)?;
        let end_bytes = offset_bytes.saturating_add(len_bytes);
        let (mut found, mut here_bytes) = (Vec::new(), offset_bytes);
        while here_bytes < end_bytes {
            let known = self.data.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if known.contains(&here_bytes) {
                let to_bytes = known.end.min(end_bytes);
                runs::push(&mut found, to_bytes.saturating_sub(here_bytes), false);
                here_bytes = to_bytes;
                continue;
            }
            // A file system without this call refuses it; then the rest is data, as far as anyone knows.
            let Ok(data_bytes) = self.seek(SeekTo::Data(here_bytes)) else { break };
            let Ok(hole_bytes) = self.seek(SeekTo::Hole(data_bytes)) else { break };
            // Where data end is looked for page by page in some file systems, to the end of the file: once is enough.
            *self.data.lock().unwrap_or_else(PoisonError::into_inner) = data_bytes..hole_bytes;
            let (data_bytes, hole_bytes) = (data_bytes.min(end_bytes), hole_bytes.min(end_bytes));
            if data_bytes < here_bytes || hole_bytes <= here_bytes {
                break;
            }
            runs::push(&mut found, data_bytes.saturating_sub(here_bytes), true);
            runs::push(&mut found, hole_bytes.saturating_sub(data_bytes), false);
            here_bytes = hole_bytes;
        }
        runs::push(&mut found, end_bytes.saturating_sub(here_bytes), false);
        Ok(found)
    }

    fn describe(&self) -> String {
        name(&self.path)
    }

    fn is_memory(&self) -> bool {
        self.memory
    }

    fn stored(&self, offset_bytes: u64, len_bytes: u64) -> Option<Stored<'_>> {
        let lies_within = check_range(self.size_bytes, offset_bytes, len_bytes).is_ok();
        (self.memory && lies_within).then(|| Stored { file: self.file.as_fd(), offset_bytes, len_bytes })
    }

    fn identity(&self) -> Option<MediaId> {
        Some(self.id.clone())
    }
}

impl MediaMut for RawFile<Writable> {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        let len_bytes = len_of(buf);
        check_range(self.size_bytes, offset_bytes, len_bytes)
            .and_then(|()| self.file.write_all_at(buf, offset_bytes))
            .map_err(|error| at(&error, &self.describe(), "writing", offset_bytes, len_bytes))
    }

    fn write_parts_at(&self, offset_bytes: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let len_bytes = parts.iter().map(|part| len_of(part)).sum();
        check_range(self.size_bytes, offset_bytes, len_bytes)?;
        match rustix::io::pwritev(&self.file, parts, offset_bytes) {
            Ok(written) if written as u64 == len_bytes => Ok(()),
            _ => write_one_by_one(self, offset_bytes, parts),
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, may_free: bool) -> io::Result<()> {
        check_range(self.size_bytes, offset_bytes, len_bytes)?;
        if len_bytes == 0 {
            return Ok(());
        }
        if may_free {
            if self.allocate(FallocateFlags::PUNCH_HOLE, offset_bytes, len_bytes)? {
                return Ok(());
            }
            self.keeps.store(true, Ordering::Relaxed);
        }
        if self.allocate(FallocateFlags::ZERO_RANGE, offset_bytes, len_bytes)? {
            return Ok(());
        }
        super::zero_plainly(self, offset_bytes, len_bytes)
    }

    /// Until it was found out that holes cannot be punched here. (A block device takes that as `fallocate(2)` has it: it frees only where
    /// it reads zeros afterwards, and refuses otherwise.)
    fn frees_zeroes(&self) -> bool {
        !self.keeps.load(Ordering::Relaxed)
    }

    /// Punches a hole. A file system that cannot keeps the data, as a discard may.
    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        check_range(self.size_bytes, offset_bytes, len_bytes)?;
        if len_bytes > 0 {
            self.allocate(FallocateFlags::PUNCH_HOLE, offset_bytes, len_bytes)?;
        }
        Ok(())
    }
}

/// Asks what a path is before it is opened: to open a pipe would wait for a writer for ever.
fn inspect(path: &Path) -> Result<Metadata, OpenError> {
    let metadata = std::fs::metadata(path).map_err(|error| OpenError::from_io(name(path), error))?;
    let kind = metadata.file_type();
    let kind = match () {
        () if kind.is_file() || kind.is_block_device() => return Ok(metadata),
        () if kind.is_dir() => "directory",
        () if kind.is_fifo() => "pipe",
        () if kind.is_socket() => "socket",
        () => "character device",
    };
    Err(OpenError::WrongKind { what: name(path), kind })
}

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` (`linux/magic.h`).
const fn is_memory(file_system: u64) -> bool {
    matches!(file_system, 0x0102_1994 | 0x8584_58f6)
}

/// A path for people.
fn name(path: &Path) -> String {
    path.display().to_string()
}
