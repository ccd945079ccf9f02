//! The writing side of a copy: blocks in order, holes for zeros, and a note of how far it is once that is durable.

use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::copy::hex;
use super::out::Out;
use super::read::{Block, push_bad};
use super::resume::Note;

/// How much may be copied, or how long, before the note for a resume is brought up to date.
const NOTE_EVERY: (u64, Duration) = (256 << 20, Duration::from_secs(5));

/// The output and how far it is.
pub(super) struct Sink<'a> {
    out: &'a Out,
    hash: Option<Sha256>,
    note: Note,
    noted: Instant,
    noted_bytes: u64,
}

impl<'a> Sink<'a> {
    /// Goes on from the note's position. What lies before it is taken into the hash.
    pub(super) fn new(out: &'a Out, note: Note, mut hash: Option<Sha256>) -> io::Result<Self> {
        if let Some(hash) = &mut hash {
            out.hash_into(hash, note.position_bytes)?;
        }
        let noted_bytes = note.position_bytes;
        Ok(Self { out, hash, note, noted: Instant::now(), noted_bytes })
    }

    /// Appends a block.
    pub(super) fn write(&mut self, mut block: Block) -> io::Result<()> {
        let len_bytes = block.len_bytes();
        if block.zeros > 0 && (!self.out.sparse || self.hash.is_some()) {
            block.bytes = vec![0; usize::try_from(block.zeros).map_err(io::Error::other)?];
        }
        if let Some(hash) = &mut self.hash {
            hash.update(&block.bytes);
        }
        if !(self.out.sparse && block.bytes.iter().all(|byte| *byte == 0)) {
            self.out.file.write_all_at(&block.bytes, self.note.position_bytes)?;
        }
        block.bad.into_iter().for_each(|bad| push_bad(&mut self.note.bad, bad));
        self.note.position_bytes += len_bytes;
        let (bytes, time) = NOTE_EVERY;
        if self.note.position_bytes - self.noted_bytes >= bytes || self.noted.elapsed() >= time {
            self.keep()?;
        }
        Ok(())
    }

    /// Makes durable what was written, then notes it.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        self.out.file.sync_data()?;
        self.note.save(&self.out.path)?;
        (self.noted, self.noted_bytes) = (Instant::now(), self.note.position_bytes);
        Ok(())
    }

    /// The note of all that is now durable, and the hash.
    pub(super) fn finish(mut self) -> io::Result<(Note, Option<String>)> {
        self.out.file.sync_all()?;
        self.keep()?;
        Ok((self.note, self.hash.map(hex)))
    }
}
