//! The note beside an unfinished copy: what was copied how far. Written whole or not at all, and only after what it says is durable.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::copy::Bad;

/// The format of the note.
const VERSION: u32 = 1;

/// What is known of an unfinished copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    version: u32,
    /// Identity of the source.
    pub(super) source: String,
    /// Its size.
    pub(super) size_bytes: u64,
    /// Everything before this is in the copy, durable.
    pub(super) position_bytes: u64,
    /// Ranges that could not be read and are zeros in the copy.
    pub(super) bad: Vec<Bad>,
}

impl Note {
    pub(super) fn new(source: &str, size_bytes: u64) -> Self {
        Self { version: VERSION, source: source.to_owned(), size_bytes, position_bytes: 0, bad: Vec::new() }
    }

    /// Where the note of a copy lies.
    pub(super) fn path(out: &Path) -> PathBuf {
        beside(out, ".raid-resume")
    }

    /// Reads the note of a copy.
    pub(super) fn load(out: &Path) -> io::Result<Self> {
        let path = Self::path(out);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let text = fs::read(&path).map_err(named)?;
        let note: Self = serde_json::from_slice(&text).map_err(|error| named(error.into()))?;
        if note.version != VERSION {
            return Err(named(io::Error::other(format!("version {}, expected {VERSION}", note.version))));
        }
        Ok(note)
    }

    /// Writes the note. What it says must be durable already.
    pub(super) fn save(&self, out: &Path) -> io::Result<()> {
        write_whole(&Self::path(out), self)
    }

    /// The copy is whole.
    pub(super) fn remove(out: &Path) -> io::Result<()> {
        remove_file(&Self::path(out))
    }
}

/// The path with something behind its name.
pub(super) fn beside(out: &Path, suffix: &str) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes a document wholly or not at all: into another file, synced, renamed.
pub(super) fn write_whole(path: &Path, document: &impl Serialize) -> io::Result<()> {
    let new = beside(path, "-new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec_pretty(document).map_err(io::Error::other)?)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // The new name is durable when its folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Removes a file that may be gone already.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
