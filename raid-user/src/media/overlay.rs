//! Writes kept in memory over a medium that is only read: what a repair would do, tried without touching a member.

use std::collections::BTreeMap;
use std::io;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Media, MediaId, MediaMut, Run, at, check_range, len_of, runs};

/// Writes are kept in blocks of this size.
const BLOCK_BYTES: u64 = 64 * 1024;

/// Bytes of a sector, the least that a medium writes.
const SECTOR: usize = 512;

/// What a block known to be zero counts for: about what the map needs for it.
const ZERO_COST_BYTES: u64 = 64;

/// A medium whose writes stay in memory, up to a limit. Its base is never written: it need not be a [`MediaMut`].
///
/// A write of less than a block reads the rest of the block, so it fails where the base cannot be read nearby.
#[derive(Debug)]
pub struct Overlay<M> {
    base: M,
    limit_bytes: u64,
    written: RwLock<Written>,
}

/// The blocks that differ from the base.
#[derive(Debug, Default)]
struct Written {
    blocks: BTreeMap<u64, Block>,
    held_bytes: u64,
}

/// A block that was written.
#[derive(Debug)]
enum Block {
    Zero,
    Data(Box<[u8]>),
}

/// The part of a block that a range covers.
#[derive(Clone, Copy)]
struct Piece {
    block: u64,
    from: usize,
    len: usize,
    /// Where the piece begins, in the medium.
    offset_bytes: u64,
}

impl<M: Media> Overlay<M> {
    /// Lays an empty overlay over `base` that may hold up to `limit_bytes` of written data.
    pub fn new(base: M, limit_bytes: u64) -> Self {
        Self { base, limit_bytes, written: RwLock::default() }
    }

    /// How much of the limit is used.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.read().held_bytes
    }

    /// Hands out what differs from the base, in runs of whole sectors as they lie, each with where it begins.
    ///
    /// # Errors
    /// The base's; the first of `visit`.
    pub fn changes(&self, mut visit: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        for (index, block) in &self.read().blocks {
            let start_bytes = index.saturating_mul(BLOCK_BYTES);
            let mut old = vec![0; self.block_len(*index)];
            self.base.read_at(start_bytes, &mut old)?;
            let zero = match block {
                Block::Zero => vec![0; old.len()],
                Block::Data(_) => Vec::new(),
            };
            let new = if let Block::Data(data) = block { data } else { zero.as_slice() };
            let sectors = || (0_usize..).step_by(SECTOR).zip(new.chunks(SECTOR).zip(old.chunks(SECTOR)));
            let mut from = None;
            for (at, (one, other)) in sectors() {
                match (from, one == other) {
                    (None, false) => from = Some(at),
                    (Some(start), true) => {
                        visit(start_bytes.saturating_add(start as u64), new.get(start..at).unwrap_or_default())?;
                        from = None;
                    }
                    _ => {}
                }
            }
            if let Some(start) = from {
                visit(start_bytes.saturating_add(start as u64), new.get(start..).unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// The written blocks. They are whole at any time, so a panic elsewhere does not spoil them.
    fn read(&self) -> RwLockReadGuard<'_, Written> {
        self.written.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Written> {
        self.written.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts a range at block borders, after checking that it lies within.
    fn pieces(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<impl Iterator<Item = Piece> + use<M>> {
        check_range(self.size_bytes(), offset_bytes, len_bytes)
            .map_err(|error| at(&error, &self.describe(), "reaching", offset_bytes, len_bytes))?;
        let end_bytes = offset_bytes.saturating_add(len_bytes);
        let mut here_bytes = offset_bytes;
        Ok(std::iter::from_fn(move || {
            let (block, from) = (here_bytes / BLOCK_BYTES, here_bytes % BLOCK_BYTES);
            let len = BLOCK_BYTES.saturating_sub(from).min(end_bytes.saturating_sub(here_bytes));
            let piece = Piece { block, from: small(from), len: small(len), offset_bytes: here_bytes };
            here_bytes = here_bytes.saturating_add(len);
            (len > 0).then_some(piece)
        }))
    }

    /// The bytes of a block in the base; fewer at its end.
    fn block_len(&self, block: u64) -> usize {
        small(self.size_bytes().saturating_sub(block.saturating_mul(BLOCK_BYTES)).min(BLOCK_BYTES))
    }

    /// Makes room for `cost_bytes` in place of what `block` holds now.
    fn charge(&self, written: &mut Written, block: u64, cost_bytes: u64) -> io::Result<()> {
        let freed_bytes = written.blocks.get(&block).map_or(0, Block::cost_bytes);
        let held_bytes = written.held_bytes.saturating_sub(freed_bytes).saturating_add(cost_bytes);
        if held_bytes > self.limit_bytes {
            let limit_bytes = self.limit_bytes;
            let text = format!("{}: the overlay holds no more than {limit_bytes} written bytes", self.describe());
            return Err(io::Error::new(io::ErrorKind::StorageFull, text));
        }
        written.held_bytes = held_bytes;
        Ok(())
    }

    /// The block as bytes that can be changed: copied from the base if it was not written before.
    fn block_mut<'a>(&self, written: &'a mut Written, piece: Piece) -> io::Result<&'a mut [u8]> {
        let len = self.block_len(piece.block);
        if !matches!(written.blocks.get(&piece.block), Some(Block::Data(_))) {
            let mut data = vec![0; len].into_boxed_slice();
            if !written.blocks.contains_key(&piece.block) && piece.len < len {
                self.base.read_at(piece.block.saturating_mul(BLOCK_BYTES), &mut data)?;
            }
            self.charge(written, piece.block, len_of(&data))?;
            written.blocks.insert(piece.block, Block::Data(data));
        }
        match written.blocks.get_mut(&piece.block) {
            Some(Block::Data(data)) => piece.of_mut(data),
            _ => Err(beyond()),
        }
    }
}

impl Block {
    fn cost_bytes(&self) -> u64 {
        match self {
            Self::Zero => ZERO_COST_BYTES,
            Self::Data(data) => len_of(data),
        }
    }
}

impl Piece {
    /// The piece in its block.
    fn of_mut(self, block: &mut [u8]) -> io::Result<&mut [u8]> {
        block.get_mut(self.from..).and_then(|tail| tail.get_mut(..self.len)).ok_or_else(beyond)
    }

    fn of(self, block: &[u8]) -> io::Result<&[u8]> {
        block.get(self.from..).and_then(|tail| tail.get(..self.len)).ok_or_else(beyond)
    }
}

impl<M: Media> Media for Overlay<M> {
    fn size_bytes(&self) -> u64 {
        self.base.size_bytes()
    }

    fn block_bytes(&self) -> u32 {
        self.base.block_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        let written = self.read();
        let mut rest = buf;
        for piece in self.pieces(offset_bytes, len_of(rest))? {
            let (part, tail) = rest.split_at_mut_checked(piece.len).ok_or_else(beyond)?;
            rest = tail;
            match written.blocks.get(&piece.block) {
                Some(Block::Data(data)) => part.copy_from_slice(piece.of(data)?),
                Some(Block::Zero) => part.fill(0),
                None => self.base.read_at(piece.offset_bytes, part)?,
            }
        }
        Ok(())
    }

    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        check_range(self.size_bytes(), offset_bytes, len_bytes)?;
        let end_bytes = offset_bytes.saturating_add(len_bytes);
        let (mut found, mut here_bytes) = (Vec::new(), offset_bytes);
        let untouched = |found: &mut Vec<Run>, from_bytes: u64, to_bytes: u64| {
            if from_bytes < to_bytes {
                let base = self.base.allocation(from_bytes, to_bytes.saturating_sub(from_bytes))?;
                base.iter().for_each(|run| runs::push(found, run.len_bytes, run.zero));
            }
            io::Result::Ok(())
        };
        let written = self.read();
        for (index, block) in written.blocks.range(offset_bytes / BLOCK_BYTES..end_bytes.div_ceil(BLOCK_BYTES)) {
            let start_bytes = index.saturating_mul(BLOCK_BYTES).max(offset_bytes);
            let block_end_bytes = index.saturating_add(1).saturating_mul(BLOCK_BYTES).min(end_bytes);
            untouched(&mut found, here_bytes, start_bytes)?;
            runs::push(&mut found, block_end_bytes.saturating_sub(start_bytes), matches!(block, Block::Zero));
            here_bytes = block_end_bytes;
        }
        untouched(&mut found, here_bytes, end_bytes)?;
        Ok(found)
    }

    fn describe(&self) -> String {
        self.base.describe()
    }

    fn identity(&self) -> Option<MediaId> {
        self.base.identity()
    }
}

impl<M: Media> MediaMut for Overlay<M> {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        let mut written = self.write();
        let mut rest = buf;
        for piece in self.pieces(offset_bytes, len_of(buf))? {
            let (part, tail) = rest.split_at_checked(piece.len).ok_or_else(beyond)?;
            rest = tail;
            self.block_mut(&mut written, piece)?.copy_from_slice(part);
        }
        Ok(())
    }

    /// Nothing here is durable, and nothing has to be.
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, _may_free: bool) -> io::Result<()> {
        let mut written = self.write();
        for piece in self.pieces(offset_bytes, len_bytes)? {
            if piece.len == self.block_len(piece.block) {
                self.charge(&mut written, piece.block, ZERO_COST_BYTES)?;
                written.blocks.insert(piece.block, Block::Zero);
            } else {
                self.block_mut(&mut written, piece)?.fill(0);
            }
        }
        Ok(())
    }

    /// Keeps the data, as a discard may.
    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        self.pieces(offset_bytes, len_bytes).map(|_| ())
    }
}

/// A number of bytes within a block.
fn small(len_bytes: u64) -> usize {
    usize::try_from(len_bytes).unwrap_or(usize::MAX)
}

/// What cannot happen while pieces are cut right; an error and not a panic if it does.
fn beyond() -> io::Error {
    io::Error::other("a piece lies outside of its block")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::MemMedia;

    const SIZE: usize = 200_001;

    #[derive(Clone, Debug)]
    enum Op {
        Write(usize, usize, u8),
        Zero(usize, usize),
        Discard(usize, usize),
        Read(usize, usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        let range = || (0..SIZE).prop_flat_map(|at| (Just(at), 0..=SIZE - at));
        prop_oneof![
            (range(), 1_u8..).prop_map(|((at, len), byte)| Op::Write(at, len, byte)),
            range().prop_map(|(at, len)| Op::Zero(at, len)),
            range().prop_map(|(at, len)| Op::Discard(at, len)),
            range().prop_map(|(at, len)| Op::Read(at, len)),
        ]
    }

    proptest! {
        #[test]
        fn an_overlay_equals_a_vector_and_its_base_does_not_change(ops in prop::collection::vec(op(), 0..24)) {
            let base: Vec<u8> = (0..=252).cycle().take(SIZE).collect();
            let mut model = base.clone();
            let overlay = Overlay::new(MemMedia::new("base", base.clone()), u64::MAX);
            for op in ops {
                match op {
                    Op::Write(at, len, byte) => {
                        overlay.write_at(at as u64, &vec![byte; len]).unwrap();
                        model[at..at + len].fill(byte);
                    }
                    Op::Zero(at, len) => {
                        overlay.write_zeroes(at as u64, len as u64, true).unwrap();
                        model[at..at + len].fill(0);
                    }
                    Op::Discard(at, len) => overlay.discard(at as u64, len as u64).unwrap(),
                    Op::Read(at, len) => {
                        let mut buf = vec![0xEE; len];
                        overlay.read_at(at as u64, &mut buf).unwrap();
                        prop_assert_eq!(&buf, &model[at..at + len]);
                        let mut here = at;
                        for run in overlay.allocation(at as u64, len as u64).unwrap() {
                            let end = here + small(run.len_bytes);
                            prop_assert!(!run.zero || model[here..end].iter().all(|byte| *byte == 0));
                            here = end;
                        }
                        prop_assert_eq!(here, at + len);
                    }
                }
            }
            let mut buf = vec![0xEE; SIZE];
            overlay.read_at(0, &mut buf).unwrap();
            prop_assert_eq!(&buf, &model);
            prop_assert_eq!(overlay.base.contents(), base.clone());
            let (mut patched, mut sectors) = (base.clone(), 0);
            overlay.changes(|at, bytes| {
                let at = small(at);
                patched[at..at + bytes.len()].copy_from_slice(bytes);
                sectors += bytes.len().div_ceil(SECTOR);
                Ok(())
            }).unwrap();
            let differing = model.chunks(SECTOR).zip(base.chunks(SECTOR)).filter(|(one, other)| one != other).count();
            prop_assert_eq!(sectors, differing, "no more than what differs");
            prop_assert_eq!(patched, model);
        }
    }

    #[test]
    fn past_its_limit_an_overlay_refuses_and_says_so() {
        let overlay = Overlay::new(MemMedia::new("base", vec![7; 4 << 16]), 2 << 16);
        overlay.write_at(0, &[1; 1 << 16]).unwrap();
        overlay.write_at(100, &[2; 100]).unwrap();
        overlay.write_at(1 << 16, &[3]).unwrap();
        assert_eq!(overlay.held_bytes(), 2 << 16, "a block written twice counts once");
        let error = overlay.write_at(2 << 16, &[4]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("131072"), "{error}");
        let mut buf = [0];
        overlay.read_at(2 << 16, &mut buf).unwrap();
        assert_eq!(buf, [7]);
        overlay.write_zeroes(0, 1 << 16, false).unwrap();
        assert_eq!(overlay.held_bytes(), (1 << 16) + ZERO_COST_BYTES, "zeros make room");
        assert_eq!(overlay.write_at(4 << 16, &[4]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
