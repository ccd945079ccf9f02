//! Why a medium could not be opened: always the name as given, and what was found there.

use std::io;
use std::path::PathBuf;

use super::spec::Format;

/// A medium that could not be opened. Every variant names it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is nothing under that name.
    #[error("{what}: no such file")]
    Missing {
        /// The name as given.
        what: String,
    },
    /// The operating system says no.
    #[error("{what}: permission denied")]
    PermissionDenied {
        /// The name as given.
        what: String,
    },
    /// A directory, socket, pipe or character device.
    #[error("{what}: is a {kind}, not a file or a block device")]
    WrongKind {
        /// The name as given.
        what: String,
        /// What it is instead.
        kind: &'static str,
    },
    /// Nothing in it.
    #[error("{what}: is empty")]
    Empty {
        /// The name as given.
        what: String,
    },
    /// Another program holds the lock that every writer takes.
    #[error("{what}: is locked by another program that may be writing to it")]
    Locked {
        /// The name as given.
        what: String,
    },
    /// A block device that is mounted or part of a running array.
    #[error("{what}: is in use (mounted, or part of something that runs)")]
    Busy {
        /// The name as given.
        what: String,
    },
    /// Any other failure of the operating system or the server.
    #[error("{what}: {source}")]
    Io {
        /// The name as given.
        what: String,
        /// What it said.
        source: io::Error,
    },
    /// The name cannot be read as a medium.
    #[error("{what}: {reason}")]
    Name {
        /// The name as given.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An image file whose contents do not hold together, or that needs what the reader lacks.
    #[error("{what}: {format} image: {source}")]
    Image {
        /// The name as given.
        what: String,
        /// The format it was read as.
        format: Format,
        /// What was found.
        source: io::Error,
    },
    /// An image file that ends before the data it claims to hold.
    #[error("{what}: {format} image is truncated: it needs {needs_bytes} bytes of {of}, which has {has_bytes}")]
    Truncated {
        /// The name as given.
        what: String,
        /// The format it was read as.
        format: Format,
        /// The file that is too short.
        of: String,
        /// Where the file would have to end at least.
        needs_bytes: u64,
        /// Where it ends.
        has_bytes: u64,
    },
    /// An image that needs another file, which an image may not simply have opened: it may come from a stranger.
    #[error("{what}: {format} image refers to {}, which is opened only if asked for", to.display())]
    Refers {
        /// The name as given.
        what: String,
        /// The format it was read as.
        format: Format,
        /// The other file.
        to: PathBuf,
    },
    /// A partition that cannot be had.
    #[error("{what}#{index}: {reason}")]
    Partition {
        /// The name of the whole.
        what: String,
        /// The partition's number.
        index: u32,
        /// Why not.
        reason: String,
    },
    /// An image of a format that nothing here reads.
    #[error(
        "{what}: looks like a {name} image, which is not supported yet (put raw: in front to read its bytes as they are)"
    )]
    UnsupportedImage {
        /// The name as given.
        what: String,
        /// The format's name.
        name: &'static str,
    },
    /// Writing was asked for, of something that can only be read.
    #[error("{what}: writing to {kind} is not supported yet")]
    ReadOnly {
        /// The name as given.
        what: String,
        /// What it is.
        kind: &'static str,
    },
}

impl OpenError {
    /// Sorts an operating system error by what a person can do about it.
    pub(super) fn from_io(what: impl Into<String>, source: io::Error) -> Self {
        let what = what.into();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing { what },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { what },
            io::ErrorKind::ResourceBusy => Self::Busy { what },
            _ => Self::Io { what, source },
        }
    }
}
