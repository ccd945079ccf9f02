//! The list beside a copy that is not whole: which ranges are zeros because they could not be read.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::copy::Bad;
use super::resume::{Note, beside, remove_file, write_whole};

/// What follows the copy's name.
const SUFFIX: &str = ".raid-bad.json";

#[derive(Serialize)]
struct List<'a> {
    schema: &'static str,
    source: &'a str,
    size_bytes: u64,
    bad: &'a [Bad],
}

/// Writes the list, if there is anything to list.
pub(super) fn save(out: &Path, note: &Note) -> io::Result<Option<PathBuf>> {
    if note.bad.is_empty() {
        return Ok(None);
    }
    let path = beside(out, SUFFIX);
    let list = List { schema: "raid.bad/1", source: &note.source, size_bytes: note.size_bytes, bad: &note.bad };
    write_whole(&path, &list)?;
    Ok(Some(path))
}

/// Removes the list of a copy that is made anew.
pub(super) fn remove(out: &Path) -> io::Result<()> {
    remove_file(&beside(out, SUFFIX))
}
