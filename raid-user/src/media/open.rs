//! From a name to a medium. Decides what a file is; how it is read is another file's matter.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::nbd::{self, Uri};
use super::spec::Location;
use super::{Format, Media, MediaMut, MediaSpec, OpenError, RawFile, SharedMedia};

/// How media are opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The NBD client. Without one, an `nbd://` URI is refused.
    pub connect_nbd: Option<nbd::Connect>,
}

/// An opened medium, and what a person should know about how.
pub struct Opened<M: ?Sized = dyn Media> {
    /// The medium.
    pub media: Arc<M>,
    /// What was chosen where the name or the contents left a choice.
    pub notes: Vec<Note>,
}

impl<M: Media + ?Sized> fmt::Debug for Opened<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("media", &self.media.describe()).field("notes", &self.notes).finish()
    }
}

/// A choice that opening made, which a person may want otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A file of the very name given exists, so nothing in the name was read as a format or a partition.
    LiteralName,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LiteralName => f.write_str("a file of this very name exists and is what was opened"),
        }
    }
}

/// Opens a medium for reading. Nothing is written to it, and what is returned cannot.
///
/// # Errors
/// [`OpenError`], which names the medium and what was found.
pub fn open(spec: &MediaSpec, options: &Options) -> Result<Opened, OpenError> {
    let (spec, literal) = spec.resolve(|path| path.symlink_metadata().is_ok());
    let notes = if literal { vec![Note::LiteralName] } else { Vec::new() };
    let media = match &spec.location {
        Location::Path(path) => open_path(path, spec.format)?,
        Location::Nbd(uri) => connect(uri, options)?,
    };
    Ok(Opened { media, notes })
}

/// Opens a medium for reading and writing: a raw file, a block device, or a partition in one.
///
/// # Errors
/// As [`open`], and if another program has it locked or in use.
pub fn open_mut(spec: &MediaSpec, _options: &Options) -> Result<Opened<dyn MediaMut>, OpenError> {
    let (spec, literal) = spec.resolve(|path| path.symlink_metadata().is_ok());
    let notes = if literal { vec![Note::LiteralName] } else { Vec::new() };
    match &spec.location {
        Location::Path(path) => Ok(Opened { media: Arc::new(RawFile::open_mut(path)?), notes }),
        Location::Nbd(uri) => Err(OpenError::ReadOnly { what: uri.to_string(), kind: "an NBD export" }),
    }
}

/// Opens a local file in the format asked for.
fn open_path(path: &Path, _format: Option<Format>) -> Result<SharedMedia, OpenError> {
    Ok(Arc::new(RawFile::open(path)?))
}

/// Connects to a server, if there is a client to do it with.
fn connect(uri: &Uri, options: &Options) -> Result<SharedMedia, OpenError> {
    let what = uri.to_string();
    match options.connect_nbd {
        Some(connect) => connect(uri).map_err(|source| OpenError::from_io(what, source)),
        None => Err(OpenError::Name { what, reason: "there is no NBD client here".to_owned() }),
    }
}
