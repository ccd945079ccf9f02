//! The copy of a whole medium into a file or device.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::Progress;
use super::resume::Note;
use crate::media::{Media, MediaId};

/// What an unreadable block is taken apart into.
const GRAIN_BYTES: u64 = 4096;
/// How much may be copied, or how long, before the note for a resume is brought up to date.
const NOTE_EVERY: (u64, Duration) = (256 << 20, Duration::from_secs(5));

/// How to copy.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// Bytes of a read.
    pub block_bytes: usize,
    /// Reads in flight.
    pub threads: usize,
    /// Overwrite what is there.
    pub force: bool,
    /// Go on where an earlier copy stopped.
    pub resume: bool,
    /// Fill what cannot be read with zeros and list it, instead of stopping.
    pub keep_going: bool,
    /// Compute the content's SHA-256 on the way.
    pub sha256: bool,
    /// Media that must not be written to: the members.
    pub forbidden: Vec<MediaId>,
}

impl Default for CopyOptions {
    fn default() -> Self {
        let (block_bytes, threads) = (1 << 20, 4);
        Self {
            block_bytes,
            threads,
            force: false,
            resume: false,
            keep_going: false,
            sha256: false,
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
    /// SHA-256 of the copy's content, if it was asked for.
    pub sha256: Option<String>,
}

/// Why a copy was not made, or not finished.
#[derive(Debug, Error)]
pub enum CopyError {
    /// Something is there that nobody said to overwrite.
    #[error("{0}: exists; --force overwrites it, --resume goes on with an unfinished copy")]
    Exists(PathBuf),
    /// The output is a member.
    #[error("{0}: is one of the members")]
    Member(PathBuf),
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
    #[error(
        "{path}: an unfinished copy of another source ({found}, {found_bytes} bytes); this is {source_name}, {needs_bytes} bytes"
    )]
    OtherSource {
        /// The output.
        path: PathBuf,
        /// What was being copied.
        found: String,
        /// How large it was.
        found_bytes: u64,
        /// What is to be copied.
        source_name: String,
        /// How large it is.
        needs_bytes: u64,
    },
    /// The source failed.
    #[error("{error}; the copy stopped at byte {offset_bytes} (--keep-going fills with zeros and lists what is bad)")]
    Read {
        /// First byte of the block that failed.
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

/// Copies all of `source`, whose identity is `identity`, into `out`; tells `progress` after every block.
///
/// # Errors
/// [`CopyError`]. What was copied stays, with a note that a resume goes on from.
pub fn copy(
    source: &dyn Media,
    identity: &str,
    out: &Path,
    options: &CopyOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Copied, CopyError> {
    let failed = |error| CopyError::Write { path: out.to_owned(), error };
    let (file, fresh) = open_out(source, out, options)?;
    let mut note = Note::new(identity, source.size_bytes());
    if options.resume && Note::path(out).exists() {
        note = resumable(identity, source.size_bytes(), out)?;
    } else if fresh {
        file.set_len(source.size_bytes()).map_err(failed)?;
    }
    let resumed_at_bytes = note.position_bytes;
    let mut sink = Sink {
        file,
        out,
        fresh,
        sha256: options.sha256.then(Sha256::new),
        note,
        noted: Instant::now(),
        noted_bytes: resumed_at_bytes,
    };
    sink.hash_earlier(options.block_bytes).map_err(failed)?;
    sink.note.save(out).map_err(failed)?;
    run(source, options, &mut sink, progress)?;
    sink.file.sync_all().map_err(failed)?;
    Note::remove(out).map_err(failed)?;
    Ok(Copied {
        size_bytes: source.size_bytes(),
        resumed_at_bytes,
        bad: sink.note.bad,
        sha256: sink.sha256.map(|hash| hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
    })
}

/// Opens the output; says whether it is a fresh file whose unwritten parts read as zeros.
fn open_out(source: &dyn Media, out: &Path, options: &CopyOptions) -> Result<(File, bool), CopyError> {
    let failed = |error| CopyError::Write { path: out.to_owned(), error };
    let exists = fs::metadata(out).ok();
    if let Some(metadata) = &exists {
        let id = MediaId::of_file(metadata, u64::MAX);
        if options.forbidden.iter().any(|member| member.same_source(&id)) {
            return Err(CopyError::Member(out.to_owned()));
        }
        let device = metadata.file_type().is_block_device();
        if (device || metadata.len() > 0) && !options.force && !options.resume {
            return Err(CopyError::Exists(out.to_owned()));
        }
    }
    let going_on = options.resume && Note::path(out).exists();
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(false);
    let file = how.open(out).map_err(failed)?;
    let device = exists.as_ref().is_some_and(|metadata| metadata.file_type().is_block_device());
    if device {
        let has_bytes = io::Seek::seek(&mut &file, io::SeekFrom::End(0)).map_err(failed)?;
        if has_bytes < source.size_bytes() {
            return Err(CopyError::TooSmall { path: out.to_owned(), has_bytes, needs_bytes: source.size_bytes() });
        }
    } else if !going_on {
        file.set_len(0).map_err(failed)?;
    }
    Ok((file, !device))
}

fn resumable(identity: &str, size_bytes: u64, out: &Path) -> Result<Note, CopyError> {
    let failed = |error| CopyError::Write { path: out.to_owned(), error };
    let note = Note::load(out).map_err(failed)?;
    if note.source != identity || note.size_bytes != size_bytes || note.position_bytes > size_bytes {
        return Err(CopyError::OtherSource {
            path: out.to_owned(),
            found: note.source,
            found_bytes: note.size_bytes,
            source_name: identity.to_owned(),
            needs_bytes: size_bytes,
        });
    }
    let file = File::open(out).map_err(failed)?;
    let has_bytes = io::Seek::seek(&mut &file, io::SeekFrom::End(0)).map_err(failed)?;
    if has_bytes < note.position_bytes {
        return Err(CopyError::TooSmall { path: out.to_owned(), has_bytes, needs_bytes: note.position_bytes });
    }
    Ok(note)
}

/// A block that was read; known zeros are not carried.
struct Block {
    offset_bytes: u64,
    bytes: Vec<u8>,
    zeros: u64,
    bad: Vec<Bad>,
}

impl Block {
    fn len(&self) -> u64 {
        self.bytes.len() as u64 + self.zeros
    }
}

/// Reads with a few threads, writes in order.
fn run(
    source: &dyn Media,
    options: &CopyOptions,
    sink: &mut Sink<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), CopyError> {
    let next = AtomicU64::new(sink.note.position_bytes);
    let stop = AtomicBool::new(false);
    let (sender, blocks) = sync_channel(options.threads * 2);
    let turn = Mutex::new(());
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            let (sender, next, stop, turn) = (sender.clone(), &next, &stop, &turn);
            scope.spawn(move || read_blocks(source, options, (next, stop, turn), &sender));
        }
        drop(sender);
        let done = write_blocks(source.size_bytes(), &blocks, sink, progress);
        stop.store(true, Ordering::Relaxed);
        // Readers that wait for room find the other end gone.
        drop(blocks);
        done
    })
}

fn read_blocks(
    source: &dyn Media,
    options: &CopyOptions,
    (next, stop, turn): (&AtomicU64, &AtomicBool, &Mutex<()>),
    sender: &SyncSender<Result<Block, CopyError>>,
) {
    let size = source.size_bytes();
    while !stop.load(Ordering::Relaxed) {
        let offset_bytes = {
            let _turn = turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            next.fetch_add(options.block_bytes as u64, Ordering::Relaxed)
        };
        if offset_bytes >= size {
            return;
        }
        let len = (options.block_bytes as u64).min(size - offset_bytes);
        if sender.send(read_block(source, options, offset_bytes, len)).is_err() {
            return;
        }
    }
}

fn read_block(source: &dyn Media, options: &CopyOptions, offset_bytes: u64, len: u64) -> Result<Block, CopyError> {
    let hole = source.allocation(offset_bytes, len).is_ok_and(|runs| runs.iter().all(|run| run.zero));
    if hole {
        return Ok(Block { offset_bytes, bytes: Vec::new(), zeros: len, bad: Vec::new() });
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(options.block_bytes)];
    let mut bad: Vec<Bad> = Vec::new();
    if let Err(error) = source.read_at(offset_bytes, &mut bytes) {
        if !options.keep_going {
            return Err(CopyError::Read { offset_bytes, error });
        }
        let mut at = offset_bytes;
        for part in bytes.chunks_mut(usize::try_from(GRAIN_BYTES).unwrap_or(4096)) {
            let len_bytes = part.len() as u64;
            if let Err(error) = source.read_at(at, part) {
                part.fill(0);
                push_bad(&mut bad, Bad { offset_bytes: at, len_bytes, reason: error.to_string() });
            }
            at += len_bytes;
        }
    }
    Ok(Block { offset_bytes, bytes, zeros: 0, bad })
}

/// Adds a range to a list in order; neighbours become one.
fn push_bad(list: &mut Vec<Bad>, bad: Bad) {
    match list.last_mut() {
        Some(last) if last.offset_bytes + last.len_bytes == bad.offset_bytes => last.len_bytes += bad.len_bytes,
        _ => list.push(bad),
    }
}

fn write_blocks(
    total_bytes: u64,
    blocks: &Receiver<Result<Block, CopyError>>,
    sink: &mut Sink<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), CopyError> {
    let mut early = BTreeMap::new();
    let mut failure: Option<CopyError> = None;
    while sink.note.position_bytes < total_bytes {
        match blocks.recv() {
            Ok(Ok(block)) => {
                early.insert(block.offset_bytes, block);
            }
            // Blocks before the one that failed may still be on their way; the first failure in order counts.
            Ok(Err(error)) => {
                failure = failure.or(Some(error));
                break;
            }
            Err(_) => break,
        }
        while let Some(block) = early.remove(&sink.note.position_bytes) {
            let out = sink.out.to_owned();
            sink.write(block).map_err(|error| CopyError::Write { path: out, error })?;
            progress(Progress { done_bytes: sink.note.position_bytes, total_bytes });
        }
    }
    match failure {
        None => Ok(()),
        Some(error) => {
            // What is in order stays; a resume goes on behind it.
            let kept = sink.file.sync_data().and_then(|()| sink.note.save(sink.out));
            kept.map_err(|error| CopyError::Write { path: sink.out.to_owned(), error })?;
            Err(error)
        }
    }
}

/// The output and how far it is.
struct Sink<'a> {
    file: File,
    out: &'a Path,
    fresh: bool,
    sha256: Option<Sha256>,
    note: Note,
    noted: Instant,
    noted_bytes: u64,
}

impl Sink<'_> {
    /// Takes what an earlier run copied into the hash.
    fn hash_earlier(&mut self, block_bytes: usize) -> io::Result<()> {
        let Some(sha256) = &mut self.sha256 else { return Ok(()) };
        let mut buf = vec![0; block_bytes];
        let mut at = 0;
        while at < self.note.position_bytes {
            let len = usize::try_from(self.note.position_bytes - at).unwrap_or(block_bytes).min(block_bytes);
            self.file.read_exact_at(&mut buf[..len], at)?;
            sha256.update(&buf[..len]);
            at += len as u64;
        }
        Ok(())
    }

    fn write(&mut self, mut block: Block) -> io::Result<()> {
        let len = block.len();
        if block.zeros > 0 && (!self.fresh || self.sha256.is_some()) {
            block.bytes = vec![0; usize::try_from(block.zeros).map_err(io::Error::other)?];
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(&block.bytes);
        }
        if !(self.fresh && block.bytes.iter().all(|byte| *byte == 0)) {
            self.file.write_all_at(&block.bytes, block.offset_bytes)?;
        }
        block.bad.into_iter().for_each(|bad| push_bad(&mut self.note.bad, bad));
        self.note.position_bytes += len;
        let (bytes, time) = NOTE_EVERY;
        if self.note.position_bytes - self.noted_bytes >= bytes || self.noted.elapsed() >= time {
            self.file.sync_data()?;
            self.note.save(self.out)?;
            (self.noted, self.noted_bytes) = (Instant::now(), self.note.position_bytes);
        }
        Ok(())
    }
}
