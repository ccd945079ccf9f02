//! From a name to a medium. Decides what a file is; how it is read is another file's matter.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::image::Image;
use super::nbd::{self, Uri};
use super::partition::{self, Part};
use super::{Format, Location, Media, MediaMut, MediaSpec, OpenError, RawFile, SharedMedia, qcow2};

/// How media are opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The NBD client. Without one, an `nbd://` URI is refused.
    pub connect_nbd: Option<nbd::Connect>,
    /// Opens, for reading, any file that an image names: a qcow2 image's backing or data file, a VMDK's extents outside
    /// its own folder. An image from a stranger could name any file that you can read.
    pub follow_references: bool,
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
    /// The contents say that this is an image, and it is read as one.
    Detected(Format),
    /// An image needs this file too. It was opened for reading only.
    Refers {
        /// The other file.
        to: PathBuf,
    },
    /// The first copy of a GPT is unusable, so the copy at the end counts.
    BackupTable {
        /// What is wrong with the first.
        primary: String,
    },
    /// The chain of logical partitions ends in something else than a link, so some may be missing.
    BrokenChain {
        /// The last partition found.
        after: u32,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LiteralName => f.write_str("a file of this very name exists and is what was opened"),
            Self::Detected(format) => write!(f, "read as a {format} image (raw: in front of the name reads its bytes)"),
            Self::Refers { to } => write!(f, "needs {} too, opened for reading only", to.display()),
            Self::BackupTable { primary } => {
                write!(f, "the first copy of the partition table {primary}; the backup at the end was used")
            }
            Self::BrokenChain { after } => {
                write!(f, "the chain of logical partitions is broken after number {after}; more may have existed")
            }
        }
    }
}

/// Opens a medium for reading. Nothing is written to it, and what is returned cannot.
///
/// # Errors
/// [`OpenError`], which names the medium and what was found.
pub fn open(spec: &MediaSpec, options: &Options) -> Result<Opened, OpenError> {
    let (spec, mut notes) = resolve(spec);
    let media = match &spec.location {
        Location::Path(path) => open_path(path, spec.format, options, &mut notes)?,
        Location::Nbd(uri) => connect(uri, options)?,
    };
    let Some(index) = spec.partition else { return Ok(Opened { media, notes }) };
    let (table, found) = partition::find(&*media, index)?;
    notes.extend(table.notes);
    Ok(Opened { media: Arc::new(Part::new(media, &found, table.block_bytes)?), notes })
}

/// Opens a medium for reading and writing: a raw file, a block device, or a partition in one.
///
/// # Errors
/// As [`open`], and if another program has it locked or in use, or if it is an image or an export.
pub fn open_mut(spec: &MediaSpec) -> Result<Opened<dyn MediaMut>, OpenError> {
    let (spec, mut notes) = resolve(spec);
    let path = match &spec.location {
        Location::Path(path) => path,
        Location::Nbd(uri) => return Err(OpenError::ReadOnly { what: uri.to_string(), kind: "an NBD export" }),
    };
    let media = RawFile::open_mut(path)?;
    let kind = match spec.format.map_or_else(|| detect(&media), Ok)? {
        Format::Raw => None,
        Format::Qcow2 => Some("a qcow2 image"),
        Format::Vmdk => Some("a VMDK image"),
    };
    if let Some(kind) = kind {
        return Err(OpenError::ReadOnly { what: media.describe(), kind });
    }
    let Some(index) = spec.partition else { return Ok(Opened { media: Arc::new(media), notes }) };
    let (table, found) = partition::find(&media, index)?;
    notes.extend(table.notes);
    Ok(Opened { media: Arc::new(Part::new(media, &found, table.block_bytes)?), notes })
}

/// Settles what a name means.
fn resolve(spec: &MediaSpec) -> (MediaSpec, Vec<Note>) {
    let (spec, literal) = spec.resolve(|path| path.symlink_metadata().is_ok());
    (spec, if literal { vec![Note::LiteralName] } else { Vec::new() })
}

/// Opens a local file in the format asked for, or the one it seems to have.
fn open_path(
    path: &Path,
    format: Option<Format>,
    options: &Options,
    notes: &mut Vec<Note>,
) -> Result<SharedMedia, OpenError> {
    let file = RawFile::open(path)?;
    let found = format.map_or_else(|| detect(&file), Ok)?;
    if found == Format::Raw {
        return Ok(Arc::new(file));
    }
    if format.is_none() {
        notes.push(Note::Detected(found));
    }
    let (image, opened) = Image::open(file, path, found, options.follow_references)?;
    notes.extend(opened.into_iter().map(|to| Note::Refers { to }));
    Ok(Arc::new(image))
}

/// Tells an image by its first bytes. What is none of those is raw.
fn detect(media: &impl Media) -> Result<Format, OpenError> {
    let mut head = [0; 128];
    let head_len = usize::try_from(media.size_bytes()).unwrap_or(usize::MAX).min(head.len());
    let head = head.get_mut(..head_len).unwrap_or_default();
    media.read_at(0, head).map_err(|source| OpenError::from_io(media.describe(), source))?;
    let name = match &*head {
        // Version 1 is another format under the same magic number.
        [b'Q', b'F', b'I', 0xFB, 0, 0, 0, 1, ..] => "qcow (version 1)",
        head if head.starts_with(&qcow2::MAGIC) => return Ok(Format::Qcow2),
        head if head.starts_with(b"# Disk DescriptorFile") => return Ok(Format::Vmdk),
        head if head.starts_with(b"KDMV") || head.starts_with(b"COWD") => "sparse VMDK",
        head if head.starts_with(b"vhdxfile") => "VHDX",
        head if head.starts_with(b"conectix") => "VHD",
        head if head.starts_with(b"QED\0") => "QED",
        head if head.starts_with(b"WithoutFreeSpace") || head.starts_with(b"WithouFreSpacExt") => "Parallels",
        head if head.get(64..68) == Some(&[0x7F, 0x10, 0xDA, 0xBE]) => "VDI",
        _ => return Ok(Format::Raw),
    };
    Err(OpenError::UnsupportedImage { what: media.describe(), name })
}

/// Connects to a server, if there is a client to do it with.
fn connect(uri: &Uri, options: &Options) -> Result<SharedMedia, OpenError> {
    let what = uri.to_string();
    match options.connect_nbd {
        Some(connect) => connect(uri).map_err(|source| OpenError::from_io(what, source)),
        None => Err(OpenError::Name { what, reason: "there is no NBD client here".to_owned() }),
    }
}
