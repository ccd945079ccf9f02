//! The copy of a whole medium into a file or device: what it may be told, why it fails, and the order of its steps.
//!
//! Refuses to write over anything that nobody said to overwrite, and over members whatever anybody said.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::Progress;
use super::bad;
use super::out::Out;
use super::read::Readers;
use super::resume::Note;
use super::sink::Sink;
use crate::media::{Media, MediaId};

/// What to do with an output that holds something already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Leave it alone and refuse.
    #[default]
    Refuse,
    /// Overwrite it.
    Overwrite,
    /// Go on with it, if the note beside it says that it is an unfinished copy of the same source.
    Resume,
}

/// How to copy.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// Bytes of a read.
    pub block_bytes: usize,
    /// Reads in flight.
    pub threads: usize,
    /// What to do with an output that holds something.
    pub existing: Existing,
    /// Fill what cannot be read with zeros and list it, instead of stopping.
    pub keep_going: bool,
    /// Compute the content's SHA-256 on the way.
    pub sha256: bool,
    /// Read the copy again when it is done, and compare it with what was written.
    pub verify: bool,
    /// Media that must not be written to: all members that were named, used or not.
    pub forbidden: Vec<MediaId>,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            block_bytes: 1 << 20,
            threads: 4,
            existing: Existing::Refuse,
            keep_going: false,
            sha256: false,
            verify: false,
            forbidden: Vec::new(),
        }
    }
}

/// A range that could not be read and is zeros in the copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// Where.
    pub offset_bytes: u64,
    /// How long.
    pub len_bytes: u64,
    /// Why, of its first block.
    pub reason: String,
}

/// A finished copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Bytes of the copy.
    pub size_bytes: u64,
    /// Where an earlier copy was taken up.
    pub resumed_at_bytes: u64,
    /// What could not be read.
    pub bad: Vec<Bad>,
    /// The file that lists what could not be read, if anything.
    pub bad_list: Option<PathBuf>,
    /// SHA-256 of the copy's content, if it was asked for.
    pub sha256: Option<String>,
    /// True if the copy was read again and holds what was written.
    pub verified: bool,
}

/// Why a copy was not made, or not finished.
#[derive(Debug, Error)]
pub enum CopyError {
    /// Something is there that nobody said to overwrite.
    #[error("{0}: exists; --force overwrites it, --resume goes on with an unfinished copy")]
    Exists(PathBuf),
    /// A resume of something that is no unfinished copy.
    #[error("{0}: holds data, but no note beside it says that it is an unfinished copy; --force overwrites it")]
    NothingToResume(PathBuf),
    /// The output is a member.
    #[error("{0}: is one of the members; nothing is ever written to a member")]
    Member(PathBuf),
    /// Another copy writes to it.
    #[error("{0}: another copy writes to it")]
    InUse(PathBuf),
    /// The output is a directory, a pipe or the like.
    #[error("{0}: is neither a file nor a block device; `raid cat` writes to pipes")]
    Kind(PathBuf),
    /// A device that is too small.
    #[error("{path}: has {has_bytes} bytes, the array has {needs_bytes}")]
    TooSmall {
        /// The output.
        path: PathBuf,
        /// What it has.
        has_bytes: u64,
        /// What it needs.
        needs_bytes: u64,
    },
    /// A resume of something else.
    #[error("{path}: an unfinished copy of {found} ({found_bytes} bytes); this is {needs} ({needs_bytes} bytes)")]
    OtherSource {
        /// The output.
        path: PathBuf,
        /// What was being copied.
        found: String,
        /// How large it was.
        found_bytes: u64,
        /// What is to be copied.
        needs: String,
        /// How large it is.
        needs_bytes: u64,
    },
    /// A resume of a copy that is not what its note says.
    #[error("{path}: does not hold what was copied at byte {offset_bytes}; --force starts over")]
    Changed {
        /// The output.
        path: PathBuf,
        /// First byte of a place that was looked at and differs.
        offset_bytes: u64,
    },
    /// The copy reads back as something else than was written.
    #[error("{path}: reads back with SHA-256 {found}, {written} was written; `raid compare` tells where they differ")]
    Unverified {
        /// The output.
        path: PathBuf,
        /// Hash of what was written.
        written: String,
        /// Hash of what it holds.
        found: String,
    },
    /// The source failed.
    #[error(
        "{error}; the copy stopped at byte {offset_bytes} of the array \
         (--keep-going fills with zeros and lists what is bad, --resume goes on)"
    )]
    Read {
        /// First byte that is not copied.
        offset_bytes: u64,
        /// What the source said.
        error: io::Error,
    },
    /// The output failed.
    #[error("{path}: {error}")]
    Write {
        /// The output.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

/// Copies all of `source`, whose identity is `identity`, into `path`; tells `progress` after every block.
///
/// # Errors
/// [`CopyError`]. What was copied stays, with a note that a resume goes on from.
pub fn copy(
    source: &dyn Media,
    identity: &str,
    path: &Path,
    options: &CopyOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Copied, CopyError> {
    let failed = |error| CopyError::Write { path: path.to_owned(), error };
    let (out, note) = Out::open(source, identity, path, options)?;
    let resumed_at_bytes = note.position_bytes;
    let hash = (options.sha256 || options.verify).then(Sha256::new);
    let mut sink = Sink::new(&out, note, hash).map_err(failed)?;
    let read = Readers { source, options, from_bytes: resumed_at_bytes }.run(|block, at| {
        let done_bytes = at + block.len_bytes();
        sink.write(block).map_err(failed)?;
        progress(Progress { done_bytes, total_bytes: source.size_bytes() });
        Ok(())
    });
    if let Err(error) = read {
        // What was handed on stays, and a resume goes on behind it. Not after a failed write or sync: Linux reports lost pages
        // once, so a second sync may succeed and the note would call durable what is gone.
        if matches!(error, CopyError::Read { .. }) {
            sink.keep().map_err(failed)?;
        }
        return Err(error);
    }
    let (note, written) = sink.finish().map_err(failed)?;
    if let Some(written) = written.as_ref().filter(|_| options.verify) {
        let found = out.hash_again(note.size_bytes).map_err(failed)?;
        if found != *written {
            return Err(CopyError::Unverified { path: path.to_owned(), written: written.clone(), found });
        }
    }
    let bad_list = bad::save(path, &note).map_err(failed)?;
    Note::remove(path).map_err(failed)?;
    Ok(Copied {
        size_bytes: note.size_bytes,
        resumed_at_bytes,
        bad: note.bad,
        bad_list,
        sha256: written.filter(|_| options.sha256),
        verified: options.verify,
    })
}

/// A finished hash in hexadecimal digits.
pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
