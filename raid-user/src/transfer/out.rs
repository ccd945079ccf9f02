//! The output of a copy: opened only where it may be written, and looked at again before a copy goes on.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, OFlags, fadvise};
use sha2::{Digest, Sha256};

use super::bad;
use super::copy::{CopyError, CopyOptions, Existing, hex};
use super::resume::Note;
use crate::media::{Media, MediaId};

/// Places of an unfinished copy that are compared with the source before it goes on, and bytes of each.
const SAMPLES: u64 = 16;
const SAMPLE_BYTES: u64 = 64 << 10;
/// Bytes that are read at once to compute a hash.
const HASH_BYTES: usize = 1 << 20;

/// An output that may be written.
pub(super) struct Out {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// A file whose unwritten parts read as zeros.
    pub(super) sparse: bool,
}

impl Out {
    /// Opens the output; the note says from where on it is to be written.
    pub(super) fn open(
        source: &dyn Media,
        identity: &str,
        path: &Path,
        options: &CopyOptions,
    ) -> Result<(Self, Note), CopyError> {
        let failed = |error| CopyError::Write { path: path.to_owned(), error };
        let (file, sparse) = open(path, options)?;
        let has_bytes = io::Seek::seek(&mut &file, io::SeekFrom::End(0)).map_err(failed)?;
        if !sparse && has_bytes < source.size_bytes() {
            let needs_bytes = source.size_bytes();
            return Err(CopyError::TooSmall { path: path.to_owned(), has_bytes, needs_bytes });
        }
        let out = Self { file, path: path.to_owned(), sparse };
        let note = match (options.existing, Note::path(path).exists()) {
            (Existing::Resume, true) => out.unfinished(source, identity)?,
            (Existing::Resume, false) if has_bytes > 0 => return Err(CopyError::NothingToResume(path.to_owned())),
            (Existing::Refuse, _) if has_bytes > 0 => return Err(CopyError::Exists(path.to_owned())),
            (Existing::Resume | Existing::Refuse | Existing::Overwrite, _) => Note::new(identity, source.size_bytes()),
        };
        // The note first: an older one beside a file that was just emptied would promise what is gone.
        note.save(path).map_err(failed)?;
        out.clear_from(&note).map_err(failed)?;
        Ok((out, note))
    }

    /// Gives a file its size, with nothing behind the position: what an earlier run wrote there before it could note it
    /// may be what this one reads as zeros and leaves out.
    fn clear_from(&self, note: &Note) -> io::Result<()> {
        if note.position_bytes == 0 {
            bad::remove(&self.path)?;
        }
        if self.sparse {
            self.file.set_len(note.position_bytes)?;
            self.file.set_len(note.size_bytes)?;
        }
        Ok(())
    }

    /// The note of an unfinished copy, if it is one of this source and holds what the note says.
    fn unfinished(&self, source: &dyn Media, identity: &str) -> Result<Note, CopyError> {
        let failed = |error| CopyError::Write { path: self.path.clone(), error };
        let note = Note::load(&self.path).map_err(failed)?;
        if note.source != identity || note.size_bytes != source.size_bytes() || note.position_bytes > note.size_bytes {
            return Err(CopyError::OtherSource {
                path: self.path.clone(),
                found: note.source,
                found_bytes: note.size_bytes,
                needs: identity.to_owned(),
                needs_bytes: source.size_bytes(),
            });
        }
        match samples(note.position_bytes).find(|(at, len)| self.differs(source, &note, *at, *len)) {
            None => Ok(note),
            Some((offset_bytes, _)) => Err(CopyError::Changed { path: self.path.clone(), offset_bytes }),
        }
    }

    /// True if the copy does not hold what the source gives there. What the source does not give proves nothing.
    fn differs(&self, source: &dyn Media, note: &Note, at: u64, len: usize) -> bool {
        let end = at + len as u64;
        let (mut own, mut theirs) = (vec![0; len], vec![0; len]);
        if self.file.read_exact_at(&mut own, at).is_err() {
            return true;
        }
        let filled = note.bad.iter().any(|bad| bad.offset_bytes < end && at < bad.offset_bytes + bad.len_bytes);
        !filled && source.read_at(at, &mut theirs).is_ok() && own != theirs
    }

    /// Takes what lies before `end_bytes` into `hash`.
    pub(super) fn hash_into(&self, hash: &mut Sha256, end_bytes: u64) -> io::Result<()> {
        let mut buf = vec![0; HASH_BYTES];
        let mut at = 0;
        while at < end_bytes {
            let len = usize::try_from(end_bytes - at).unwrap_or(HASH_BYTES).min(HASH_BYTES);
            self.file.read_exact_at(&mut buf[..len], at)?;
            hash.update(&buf[..len]);
            at += len as u64;
        }
        Ok(())
    }

    /// The hash of what the medium holds, not of what the page cache remembers. All must be durable already.
    pub(super) fn hash_again(&self, size_bytes: u64) -> io::Result<String> {
        fadvise(&self.file, 0, None, Advice::DontNeed)?;
        let mut hash = Sha256::new();
        self.hash_into(&mut hash, size_bytes)?;
        Ok(hex(hash))
    }
}

/// Opens what may be written; true if it is a regular file.
fn open(path: &Path, options: &CopyOptions) -> Result<(File, bool), CopyError> {
    let failed = |error| CopyError::Write { path: path.to_owned(), error };
    let there = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        metadata => Some(metadata.map_err(failed)?),
    };
    let mut how = OpenOptions::new();
    how.read(true).write(true).create_new(there.is_none());
    if let Some(metadata) = &there {
        allow(metadata, path, options)?;
        if metadata.file_type().is_block_device() {
            // Linux refuses a device that is mounted or otherwise in use if it is opened so (open(2), O_EXCL).
            how.custom_flags(OFlags::EXCL.bits().cast_signed());
        }
    }
    let file = how.open(path).map_err(failed)?;
    // Two copies into one output would each believe its own note.
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => CopyError::InUse(path.to_owned()),
        TryLockError::Error(error) => failed(error),
    })?;
    // The name may lead elsewhere by now; what is open cannot change.
    let metadata = file.metadata().map_err(failed)?;
    allow(&metadata, path, options)?;
    Ok((file, metadata.is_file()))
}

/// Refuses what is a member, and what is neither a file nor a block device.
fn allow(metadata: &Metadata, path: &Path, options: &CopyOptions) -> Result<(), CopyError> {
    let id = MediaId::of_file(metadata, u64::MAX);
    if options.forbidden.iter().any(|member| member.same_source(&id)) {
        return Err(CopyError::Member(path.to_owned()));
    }
    if metadata.is_file() || metadata.file_type().is_block_device() {
        return Ok(());
    }
    Err(CopyError::Kind(path.to_owned()))
}

/// Where an unfinished copy is looked at: its first and last bytes, and places between.
fn samples(position_bytes: u64) -> impl Iterator<Item = (u64, usize)> {
    let len = SAMPLE_BYTES.min(position_bytes);
    let last = position_bytes - len;
    // Divided before it is multiplied: a position may be anything up to 2^64.
    let places = (0..SAMPLES - 1).map(move |index| last / (SAMPLES - 1) * index).chain([last]);
    places.filter(move |_| len > 0).map(move |at| (at, usize::try_from(len).unwrap_or(0)))
}
