//! The arrays in `fixtures/*.tar.zst`, unpacked in memory.
//!
//! The archives hold GNU sparse files, so a member of 32 MiB costs a few KiB on disk. Nothing is ever written.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

const SUFFIX: &str = ".tar.zst";

/// One real array: its members' bytes, and what other tools say about them.
#[derive(Debug)]
pub struct Fixture {
    /// Name of the case, the archive's name without its suffix.
    pub name: String,
    /// File name and content of each member (`*.img`), in the order of their names.
    pub members: Vec<(String, Vec<u8>)>,
    /// Every other file by its name, such as `mdadm-E.txt`.
    pub texts: BTreeMap<String, String>,
}

impl Fixture {
    /// The text file of that name, or an empty text if the case has none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }
}

/// SHA-256 as `sha256sum` prints it, and as cases record it of what an array holds.
#[must_use]
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folder of the archives, at the top of the project.
#[must_use]
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// The names of all cases in order.
///
/// # Panics
/// If the folder cannot be read.
#[must_use]
pub fn list() -> Vec<String> {
    let entries = fs::read_dir(dir()).unwrap_or_else(|error| panic!("{}: {error}", dir().display()));
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(SUFFIX).map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Unpacks one case.
///
/// # Panics
/// If there is no such case, or its archive is damaged.
#[must_use]
pub fn load(name: &str) -> Fixture {
    try_load(name).unwrap_or_else(|error| panic!("fixture {name}: {error}"))
}

/// File names of a case's members, without unpacking them.
///
/// # Panics
/// As [`load`].
#[must_use]
pub fn member_names(name: &str) -> Vec<String> {
    let names = open(name).and_then(|mut archive| {
        let mut names = Vec::new();
        for entry in archive.entries()? {
            let path = entry?.path()?.into_owned();
            if is_member(&path) {
                names.push(file_name(&path));
            }
        }
        names.sort();
        Ok(names)
    });
    names.unwrap_or_else(|error| panic!("fixture {name}: {error}"))
}

type Error = Box<dyn std::error::Error>;

fn open(name: &str) -> Result<tar::Archive<impl Read>, Error> {
    let packed = BufReader::new(File::open(dir().join(format!("{name}{SUFFIX}")))?);
    Ok(tar::Archive::new(ruzstd::decoding::StreamingDecoder::new(packed)?))
}

fn is_member(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "img")
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default()
}

fn try_load(name: &str) -> Result<Fixture, Error> {
    let mut archive = open(name)?;
    let mut members = BTreeMap::new();
    let mut texts = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let path = entry.path()?.into_owned();
        let file = file_name(&path);
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        if is_member(&path) {
            members.insert(file, content);
        } else {
            texts.insert(file, String::from_utf8_lossy(&content).into_owned());
        }
    }
    Ok(Fixture { name: name.to_owned(), members: members.into_iter().collect(), texts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_archive_unpacks_to_members_of_the_listed_size() {
        for name in list() {
            let fixture = load(&name);
            assert!(!fixture.members.is_empty(), "{name} has no members");
            for (file, bytes) in &fixture.members {
                assert!(bytes.len() >= 1 << 20 && bytes.len().is_multiple_of(512), "{name}/{file}: {}", bytes.len());
                assert!(bytes.iter().any(|byte| *byte != 0), "{name}/{file} is empty: sparse extents were lost");
            }
        }
    }
}
