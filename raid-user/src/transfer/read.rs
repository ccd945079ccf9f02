//! The reading side of a copy: a few threads read ahead, and what they read is handed on in order.
//!
//! ```text
//!   0 ······· handed on ·······│█ read, waits █│░ being read ░│        │            size
//!                              at ───────── window ──────────▶ next
//! ```
//!
//! Nobody reads further ahead than the window, so one block that a dying disk takes a minute for does not fill the
//! memory with the blocks behind it.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::copy::{Bad, CopyError, CopyOptions};
use crate::media::{Media, Run};

/// What an unreadable block is taken apart into.
const GRAIN_BYTES: usize = 4096;
/// Blocks in the window for each thread.
const BLOCKS_AHEAD: u64 = 4;

/// A block that was read; known zeros are not carried.
#[derive(Default)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    pub(super) zeros: u64,
    pub(super) bad: Vec<Bad>,
    /// Why the block ends early.
    failure: Option<io::Error>,
}

impl Block {
    pub(super) fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64 + self.zeros
    }
}

/// What is to be read.
pub(super) struct Readers<'a> {
    pub(super) source: &'a dyn Media,
    pub(super) options: &'a CopyOptions,
    pub(super) from_bytes: u64,
}

impl Readers<'_> {
    /// Hands each block and its offset to `take`, in order.
    ///
    /// # Errors
    /// What `take` says; [`CopyError::Read`] when all before the first unreadable grain was handed on.
    pub(super) fn run(&self, mut take: impl FnMut(Block, u64) -> Result<(), CopyError>) -> Result<(), CopyError> {
        let block_bytes = (self.options.block_bytes as u64).max(1);
        let threads = self.options.threads.max(1);
        let window = Window {
            turn: Mutex::new(Turn { next: self.from_bytes, at: self.from_bytes, stopped: false }),
            moved: Condvar::new(),
            block_bytes,
            ahead_bytes: block_bytes.saturating_mul(BLOCKS_AHEAD).saturating_mul(threads as u64),
            size_bytes: self.source.size_bytes(),
        };
        let (sender, blocks) = channel();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, window) = (sender.clone(), &window);
                scope.spawn(move || self.read_ahead(window, &sender));
            }
            drop(sender);
            let _stop = StopAtEnd(&window);
            self.hand_on(&window, &blocks, &mut take)
        })
    }

    /// What one thread does. It ends when there is no more to read, and when the other side is gone.
    fn read_ahead(&self, window: &Window, blocks: &Sender<(u64, Block)>) {
        let _stop = StopAtEnd(window);
        while let Some((offset_bytes, len_bytes)) = window.next() {
            if blocks.send((offset_bytes, self.read(offset_bytes, len_bytes))).is_err() {
                return;
            }
        }
    }

    fn hand_on(
        &self,
        window: &Window,
        blocks: &Receiver<(u64, Block)>,
        take: &mut dyn FnMut(Block, u64) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        let mut early = BTreeMap::new();
        let mut at = self.from_bytes;
        while at < window.size_bytes {
            let Some(mut block) = early.remove(&at) else {
                let gone = || CopyError::Read { offset_bytes: at, error: io::Error::other("the readers are gone") };
                let (offset_bytes, block): (u64, Block) = blocks.recv().map_err(|_| gone())?;
                early.insert(offset_bytes, block);
                continue;
            };
            let failure = block.failure.take();
            let end = at + block.len_bytes();
            take(block, at)?;
            at = end;
            if let Some(error) = failure {
                return Err(CopyError::Read { offset_bytes: at, error });
            }
            window.moved_to(at);
        }
        Ok(())
    }

    /// Reads a block, or as much of it as there is before the first grain that cannot be read.
    fn read(&self, offset_bytes: u64, len_bytes: u64) -> Block {
        // Only what is said to be zeros is: an answer that ends early says nothing of the rest.
        let zeros = |runs: &Vec<Run>| runs.iter().take_while(|run| run.zero).map(|run| run.len_bytes).sum::<u64>();
        if self.source.allocation(offset_bytes, len_bytes).is_ok_and(|runs| zeros(&runs) >= len_bytes) {
            return Block { zeros: len_bytes, ..Block::default() };
        }
        let mut block = Block::default();
        block.bytes.resize(usize::try_from(len_bytes).unwrap_or(self.options.block_bytes), 0);
        if self.source.read_at(offset_bytes, &mut block.bytes).is_err() {
            self.read_grains(offset_bytes, &mut block);
        }
        block
    }

    fn read_grains(&self, offset_bytes: u64, block: &mut Block) {
        let mut done = 0;
        for grain in block.bytes.chunks_mut(GRAIN_BYTES) {
            let at = offset_bytes + done as u64;
            match self.source.read_at(at, grain) {
                Ok(()) => {}
                Err(error) if self.options.keep_going => {
                    grain.fill(0);
                    let len_bytes = grain.len() as u64;
                    push_bad(&mut block.bad, Bad { offset_bytes: at, len_bytes, reason: error.to_string() });
                }
                Err(error) => {
                    block.failure = Some(error);
                    break;
                }
            }
            done += grain.len();
        }
        block.bytes.truncate(done);
    }
}

/// Adds a range to a list in order; neighbours become one.
pub(super) fn push_bad(list: &mut Vec<Bad>, bad: Bad) {
    match list.last_mut() {
        Some(last) if last.offset_bytes + last.len_bytes == bad.offset_bytes => last.len_bytes += bad.len_bytes,
        _ => list.push(bad),
    }
}

/// Who reads what, and how far ahead.
struct Window {
    turn: Mutex<Turn>,
    moved: Condvar,
    block_bytes: u64,
    ahead_bytes: u64,
    size_bytes: u64,
}

struct Turn {
    next: u64,
    at: u64,
    stopped: bool,
}

impl Window {
    /// The next block to read, once the window reaches it; `None` when there is no more to do.
    fn next(&self) -> Option<(u64, u64)> {
        let full =
            |turn: &mut Turn| !turn.stopped && turn.next < self.size_bytes && turn.next - turn.at >= self.ahead_bytes;
        let mut turn = self.moved.wait_while(self.turn(), full).unwrap_or_else(PoisonError::into_inner);
        if turn.stopped || turn.next >= self.size_bytes {
            return None;
        }
        let offset_bytes = turn.next;
        let len_bytes = self.block_bytes.min(self.size_bytes - offset_bytes);
        turn.next += len_bytes;
        Some((offset_bytes, len_bytes))
    }

    fn moved_to(&self, at: u64) {
        self.turn().at = at;
        self.moved.notify_all();
    }

    fn stop(&self) {
        self.turn().stopped = true;
        self.moved.notify_all();
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops the window when it goes, so that a thread that panics leaves nobody waiting for it.
struct StopAtEnd<'a>(&'a Window);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
