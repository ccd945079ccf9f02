//! Disk images: qcow2 and VMDK, read through imago. Never writes, and follows a reference to another file only by rule.
//!
//! imago fills what a truncated file lacks with zeros. A member must not be made up, so every piece of data is checked to
//! lie within its file before it is read. And it panics on some damaged headers, which must be an error with the file's
//! name: no call of it leaves this file unguarded.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use imago::file::File;
use imago::format::gate::ImplicitOpenGate;
use imago::qcow2::Qcow2;
use imago::vmdk::Vmdk;
use imago::{FormatAccess, FormatDriverBuilder, Mapping, Storage as _, StorageExt as _, StorageOpenOptions};

use super::{Format, Media, MediaId, OpenError, RawFile, Run, at, check_range, len_of, qcow2, runs};

/// Snapshots are stacked this deep at most; an image that is its own backing file is stopped by it.
const LAYERS_MAX: u32 = 64;

/// A disk image.
#[derive(Debug)]
pub(super) struct Image {
    access: FormatAccess<File>,
    format: Format,
    path: PathBuf,
    size_bytes: u64,
    id: Option<MediaId>,
}

/// Which other files an image may have opened.
#[derive(Clone, Copy)]
enum Rule<'a> {
    /// None.
    Nothing,
    /// Those in this folder, not reached by a symbolic link: what a VMDK's extents are.
    Beside(&'a Path),
    /// Any that can be read.
    Anything,
}

/// Opens what an image refers to, for reading only, and keeps the books.
struct Gate<'a> {
    rule: Rule<'a>,
    layer: u32,
    log: &'a RefCell<Log>,
}

/// What the gate saw.
#[derive(Default)]
struct Log {
    opened: Vec<PathBuf>,
    error: Option<GateError>,
}

/// Why the gate let something not through.
enum GateError {
    /// The rule.
    Refused(PathBuf),
    /// It is too short.
    Truncated { path: PathBuf, needs_bytes: u64, has_bytes: u64 },
}

impl Image {
    /// Reads an opened file as an image. Returns it with the other files that it needs.
    pub(super) fn open(
        file: RawFile,
        path: &Path,
        format: Format,
        follow: bool,
    ) -> Result<(Self, Vec<PathBuf>), OpenError> {
        let (what, id) = (file.describe(), file.identity());
        let folder = path.canonicalize().ok().and_then(|path| Some(path.parent()?.to_owned()));
        let rule = match (&folder, format) {
            _ if follow => Rule::Anything,
            (Some(folder), Format::Vmdk) => Rule::Beside(folder),
            _ => Rule::Nothing,
        };
        let log = RefCell::default();
        let gate = Gate { rule, layer: 0, log: &log };
        let opened = guarded(|| {
            let storage = gate.storage(file, path)?;
            match format {
                Format::Vmdk => Vmdk::<File>::builder(storage).open(gate).map(FormatAccess::new),
                Format::Qcow2 => Qcow2::<File>::builder(storage).open(gate).map(FormatAccess::new),
                Format::Raw => Err(io::Error::other("raw bytes are no image")),
            }
        });
        let log = log.into_inner();
        let access = opened.map_err(|source| match log.error {
            Some(GateError::Refused(to)) => OpenError::Refers { what: what.clone(), format, to },
            Some(GateError::Truncated { path, needs_bytes, has_bytes }) => OpenError::Truncated {
                what: what.clone(),
                format,
                of: path.display().to_string(),
                needs_bytes,
                has_bytes,
            },
            None => OpenError::Image { what: what.clone(), format, source },
        })?;
        let size_bytes = access.size();
        if size_bytes == 0 {
            return Err(OpenError::Empty { what });
        }
        let image = Self { access, format, path: path.to_owned(), size_bytes, id };
        if format == Format::Vmdk {
            // Few extents, so all of them can be checked now; a qcow2 image's clusters are checked as they are read.
            image.allocation(0, size_bytes).map_err(|source| OpenError::Image { what, format, source })?;
        }
        Ok((image, log.opened))
    }

    /// Walks the pieces that a range consists of: where each lies, and how long it is.
    fn walk(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        mut piece: impl FnMut(u64, u64, Mapping<'_, File>) -> io::Result<()>,
    ) -> io::Result<()> {
        check_range(self.size_bytes, offset_bytes, len_bytes)?;
        let end_bytes = offset_bytes.saturating_add(len_bytes);
        let mut here_bytes = offset_bytes;
        while here_bytes < end_bytes {
            let (mapping, piece_bytes) = self.access.get_mapping(here_bytes, end_bytes.saturating_sub(here_bytes))?;
            if piece_bytes == 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the image maps nothing there"));
            }
            if let Mapping::Raw { storage, offset, .. } = &mapping {
                let has_bytes = storage.size()?;
                check_range(has_bytes, *offset, piece_bytes).map_err(|error| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("{storage} is truncated: {error}"))
                })?;
            }
            piece(here_bytes, piece_bytes, mapping)?;
            here_bytes = here_bytes.saturating_add(piece_bytes);
        }
        Ok(())
    }
}

impl Media for Image {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        let len_bytes = len_of(buf);
        let mut rest = buf;
        let piece = |here_bytes, piece_bytes, mapping: Mapping<'_, File>| {
            let piece_len = usize::try_from(piece_bytes).unwrap_or(usize::MAX).min(rest.len());
            let (piece, tail) = std::mem::take(&mut rest).split_at_mut(piece_len);
            rest = tail;
            match mapping {
                Mapping::Raw { storage, offset, .. } => storage.read(piece, offset),
                Mapping::Zero { .. } => {
                    piece.fill(0);
                    Ok(())
                }
                _ => self.access.read(piece, here_bytes),
            }
        };
        let read = guarded(|| self.walk(offset_bytes, len_bytes, piece));
        read.map_err(|error| at(&error, &self.describe(), "reading", offset_bytes, len_bytes))
    }

    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        let mut found = Vec::new();
        let piece = |_, piece_bytes, mapping: Mapping<'_, File>| {
            runs::push(&mut found, piece_bytes, matches!(mapping, Mapping::Zero { .. }));
            Ok(())
        };
        guarded(|| self.walk(offset_bytes, len_bytes, piece))?;
        Ok(found)
    }

    fn describe(&self) -> String {
        format!("{}:{}", self.format, self.path.display())
    }

    fn identity(&self) -> Option<MediaId> {
        self.id.clone()
    }
}

impl Gate<'_> {
    /// Makes an opened file one that imago reads, unless its mapping tables are cut off.
    fn storage(&self, file: RawFile, path: &Path) -> io::Result<File> {
        let (needs_bytes, has_bytes) = (qcow2::needed_bytes(&file)?, file.size_bytes());
        if needs_bytes > has_bytes {
            self.log.borrow_mut().error = Some(GateError::Truncated { path: path.to_owned(), needs_bytes, has_bytes });
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        File::from_open_file(file.into_file(), StorageOpenOptions::new().filename(path))
    }

    fn allows(&self, path: &Path) -> bool {
        match self.rule {
            Rule::Nothing => false,
            Rule::Beside(folder) => {
                let there = path.parent().is_some_and(|parent| parent.canonicalize().is_ok_and(|real| real == folder));
                there && !path.is_symlink()
            }
            Rule::Anything => true,
        }
    }
}

impl ImplicitOpenGate<File> for Gate<'_> {
    fn open_format<F: FormatDriverBuilder<File>>(&mut self, builder: F) -> io::Result<FormatAccess<File>> {
        let layer = self.layer.saturating_add(1);
        if layer > LAYERS_MAX {
            return Err(io::Error::other(format!(
                "more than {LAYERS_MAX} images are stacked, or one refers to itself"
            )));
        }
        Ok(FormatAccess::new(builder.write(false).open(Gate { rule: self.rule, layer, log: self.log })?))
    }

    /// The options say how the image wants the file opened; only the name counts.
    fn open_storage(&mut self, options: StorageOpenOptions) -> io::Result<File> {
        let path = options.get_filename().ok_or_else(|| io::Error::other("a reference without a name"))?;
        if !self.allows(path) {
            self.log.borrow_mut().error = Some(GateError::Refused(path.to_owned()));
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let file = RawFile::open(path).map_err(io::Error::other)?;
        self.log.borrow_mut().opened.push(path.to_owned());
        self.storage(file, path)
    }
}

/// Calls into imago. A panic there becomes an error; its locks do not poison, and nothing is written that could be half done.
fn guarded<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        let text = format!("its damage made the image reader give up: {message}");
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    })
}
