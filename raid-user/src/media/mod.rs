//! Media: what a member, or a served array, is read from and, if asked, written to.
//!
//! Reading and writing are two traits, and only [`MediaMut`] can write. What `open` returns for reading implements
//! [`Media`] alone and its file descriptor is opened read-only, so no bug of ours can change a member that nobody asked to change.
//! The compiler keeps that promise. This does not compile:
//!
//! ```compile_fail,E0599
//! use raid_user::media::{MediaMut, MediaSpec, Options, open};
//! let spec: MediaSpec = "member.img".parse().unwrap();
//! let member = open(&spec, &Options::default()).unwrap().media;
//! member.write_at(0, b"lost").unwrap(); // `dyn Media` has no such method.
//! ```
//!
//! and differs from this, which does, only in asking for a writable medium by name:
//!
//! ```no_run
//! use raid_user::media::{MediaMut, MediaSpec, open_mut};
//! let spec: MediaSpec = "member.img".parse().unwrap();
//! let member = open_mut(&spec).unwrap().media;
//! member.write_at(0, b"meant").unwrap();
//! ```

mod error;
mod faulty;
mod id;
mod image;
mod joined;
mod joined_mut;
mod mem;
pub mod nbd;
mod open;
mod overlay;
pub mod partition;
mod qcow2;
mod raw;
mod runs;
mod snapshot;
mod spec;

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

pub use error::OpenError;
pub use faulty::FaultyMedia;
pub use id::MediaId;
pub use joined::{Joined, Piece};
pub use joined_mut::JoinedMut;
pub use mem::MemMedia;
pub use open::{Note, Opened, Options, open, open_mut};
pub use overlay::Overlay;
pub use partition::{Part, Partition, Table, partitions};
pub use raw::{RawFile, ReadOnly, Writable};
pub use snapshot::Snapshot;
pub use spec::{Format, Location, MediaSpec};

/// Something that reads at byte offsets, from many threads at once.
pub trait Media: Send + Sync {
    /// Size in bytes.
    fn size_bytes(&self) -> u64;

    /// Bytes of a logical block, 512 unless the medium says otherwise.
    fn block_bytes(&self) -> u32 {
        512
    }

    /// Fills `buf` from `offset_bytes`.
    ///
    /// # Errors
    /// The medium's error; [`io::ErrorKind::UnexpectedEof`] past the end.
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Fills several buffers, one behind the other, from `offset_bytes` on.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at); some buffers may have been filled.
    fn read_parts_at(&self, offset_bytes: u64, parts: &mut [IoSliceMut<'_>]) -> io::Result<()> {
        read_one_by_one(self, offset_bytes, parts)
    }

    /// Tells which parts of the range are known to read as zeros without being stored (holes), as runs from
    /// `offset_bytes` on. The default knows of none.
    ///
    /// # Errors
    /// The medium's error.
    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        let _ = offset_bytes;
        Ok(vec![Run { len_bytes, zero: false }])
    }

    /// What it is, for people: the path or URI, the image format, the partition; as [`MediaSpec`] reads it back.
    fn describe(&self) -> String;

    /// True if reads and writes never wait for a device: whoever asks may as well do them himself, at once.
    fn is_memory(&self) -> bool {
        false
    }

    /// Where the bytes from `offset_bytes` on stand as they are in a file that is memory, and how many of `len_bytes` do so there one
    /// behind the other: whoever sends them need not copy them first. None if they are to be read, as by default.
    fn stored(&self, offset_bytes: u64, len_bytes: u64) -> Option<Stored<'_>> {
        let _ = (offset_bytes, len_bytes);
        None
    }

    /// Which bytes of which thing it is, so that a member given twice under two names is noticed.
    fn identity(&self) -> Option<MediaId> {
        None
    }
}

/// Something that can also be written. Only what a user asked to write is ever opened as one.
pub trait MediaMut: Media {
    /// Writes all of `buf` at `offset_bytes`.
    ///
    /// # Errors
    /// The medium's error.
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()>;

    /// Writes several buffers, one behind the other, from `offset_bytes` on.
    ///
    /// # Errors
    /// The medium's error; some may have been written.
    fn write_parts_at(&self, offset_bytes: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        write_one_by_one(self, offset_bytes, parts)
    }

    /// So many bytes, from a multiple of them on, are best written at once: a part of them makes the medium read what is beside it. None
    /// if there is no such number, as by default.
    fn stripe_bytes(&self) -> Option<u64> {
        None
    }

    /// Makes all earlier completed writes durable.
    ///
    /// # Errors
    /// The medium's error.
    fn flush(&self) -> io::Result<()>;

    /// Makes the range read as zeros, freeing storage if `may_free`.
    ///
    /// # Errors
    /// The medium's error.
    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, may_free: bool) -> io::Result<()>;

    /// True if [`write_zeroes`](Self::write_zeroes) frees the storage if it may, as far as is known: then it costs little, and the
    /// range reads as zeros all the same. The default knows of no such thing.
    fn frees_zeroes(&self) -> bool {
        false
    }

    /// Tells the medium that the range is no longer needed. Reads may return anything.
    ///
    /// # Errors
    /// The medium's error.
    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()>;
}

/// A run of a medium with one allocation state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Length.
    pub len_bytes: u64,
    /// True if it is a hole that reads as zeros.
    pub zero: bool,
}

/// Bytes that stand in an open file as they are.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The file.
    pub file: BorrowedFd<'a>,
    /// The first one's place in it.
    pub offset_bytes: u64,
    /// How many there are.
    pub len_bytes: u64,
}

/// A shared medium opened for reading.
pub type SharedMedia = Arc<dyn Media>;

/// A shared medium opened for writing.
pub type SharedMediaMut = Arc<dyn MediaMut>;

impl<M: Media + ?Sized> Media for Arc<M> {
    fn size_bytes(&self) -> u64 {
        (**self).size_bytes()
    }
    fn block_bytes(&self) -> u32 {
        (**self).block_bytes()
    }
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset_bytes, buf)
    }
    fn read_parts_at(&self, offset_bytes: u64, parts: &mut [IoSliceMut<'_>]) -> io::Result<()> {
        (**self).read_parts_at(offset_bytes, parts)
    }
    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        (**self).allocation(offset_bytes, len_bytes)
    }
    fn describe(&self) -> String {
        (**self).describe()
    }
    fn is_memory(&self) -> bool {
        (**self).is_memory()
    }
    fn stored(&self, offset_bytes: u64, len_bytes: u64) -> Option<Stored<'_>> {
        (**self).stored(offset_bytes, len_bytes)
    }
    fn identity(&self) -> Option<MediaId> {
        (**self).identity()
    }
}

impl<M: MediaMut + ?Sized> MediaMut for Arc<M> {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        (**self).write_at(offset_bytes, buf)
    }
    fn write_parts_at(&self, offset_bytes: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        (**self).write_parts_at(offset_bytes, parts)
    }
    fn stripe_bytes(&self) -> Option<u64> {
        (**self).stripe_bytes()
    }
    fn flush(&self) -> io::Result<()> {
        (**self).flush()
    }
    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, may_free: bool) -> io::Result<()> {
        (**self).write_zeroes(offset_bytes, len_bytes, may_free)
    }
    fn frees_zeroes(&self) -> bool {
        (**self).frees_zeroes()
    }
    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        (**self).discard(offset_bytes, len_bytes)
    }
}

/// Zeros that are written at a time where nobody can make them without writing.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Writes zeros as any other bytes: for media that have no better way. The range must have been checked.
pub(crate) fn zero_plainly(media: &dyn MediaMut, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
    let end_bytes = offset_bytes.saturating_add(len_bytes);
    let mut here_bytes = offset_bytes;
    while here_bytes < end_bytes {
        let piece_bytes = len_of(&ZEROS).min(end_bytes.saturating_sub(here_bytes));
        let piece = usize::try_from(piece_bytes).ok().and_then(|len| ZEROS.get(..len)).unwrap_or(&ZEROS);
        media.write_at(here_bytes, piece)?;
        here_bytes = here_bytes.saturating_add(piece_bytes);
    }
    Ok(())
}

/// Refuses a range that does not lie within a medium of `size_bytes`.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] with the numbers.
pub(crate) fn check_range(size_bytes: u64, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
    match offset_bytes.checked_add(len_bytes) {
        Some(end_bytes) if end_bytes <= size_bytes => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{len_bytes} bytes at {offset_bytes} do not lie within {size_bytes} bytes"),
        )),
    }
}

/// The same error with the medium and the place in front of it.
fn at(error: &io::Error, what: &str, verb: &str, offset_bytes: u64, len_bytes: u64) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {verb} {len_bytes} bytes at {offset_bytes}: {error}"))
}

/// Fills buffers that lie one behind the other on a medium, each by a call of its own.
fn read_one_by_one<M: Media + ?Sized>(media: &M, offset_bytes: u64, parts: &mut [IoSliceMut<'_>]) -> io::Result<()> {
    let mut here_bytes = offset_bytes;
    for part in parts {
        media.read_at(here_bytes, part)?;
        here_bytes = here_bytes.saturating_add(len_of(part));
    }
    Ok(())
}

/// Writes buffers that lie one behind the other on a medium, each by a call of its own.
fn write_one_by_one<M: MediaMut + ?Sized>(media: &M, offset_bytes: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
    let mut here_bytes = offset_bytes;
    for part in parts {
        media.write_at(here_bytes, part)?;
        here_bytes = here_bytes.saturating_add(len_of(part));
    }
    Ok(())
}

/// A buffer length as a byte count. Lossless: `usize` is at most 64 bits wide wherever this runs.
fn len_of(buf: &[u8]) -> u64 {
    buf.len() as u64
}
