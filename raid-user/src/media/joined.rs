//! Runs of other media one behind the other, as a medium: device-mapper's linear table.

use std::io;

use super::{Media, MediaId, Run, SharedMedia, check_range, len_of};

/// What a run is read from.
#[derive(Clone)]
pub enum Piece {
    /// From this byte of a medium on.
    From(SharedMedia, u64),
    /// Zeros.
    Zero,
    /// Nothing: reads give an error that says why.
    Lost(String),
}

/// Media joined to one.
pub struct Joined {
    name: String,
    /// Each with the byte behind its end, ascending.
    pieces: Vec<(u64, Piece)>,
}

impl Joined {
    /// An empty medium of that name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), pieces: Vec::new() }
    }

    /// Appends a run. False if the sum of all would pass 64 bits; then nothing is appended.
    pub fn push(&mut self, len_bytes: u64, piece: Piece) -> bool {
        let end = self.size_bytes().checked_add(len_bytes);
        self.pieces.extend(end.filter(|_| len_bytes > 0).map(|end| (end, piece)));
        end.is_some()
    }

    /// What cannot be read, each reason once.
    #[must_use]
    pub fn lost(&self) -> Vec<&str> {
        let mut lost: Vec<&str> = Vec::new();
        for (_, piece) in &self.pieces {
            if let Piece::Lost(why) = piece
                && !lost.contains(&why.as_str())
            {
                lost.push(why);
            }
        }
        lost
    }

    /// True if nothing of it can be read.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.pieces.iter().all(|(_, piece)| matches!(piece, Piece::Lost(_)))
    }

    /// The runs: first byte, bytes, and where they are read from.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, u64, &Piece)> {
        let starts = std::iter::once(0).chain(self.pieces.iter().map(|(end, _)| *end));
        starts.zip(&self.pieces).map(|(start, (end, piece))| (start, end - start, piece))
    }

    /// Calls `visit` with each part of a range: its piece, the byte within the piece, and the bytes.
    fn each(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        mut visit: impl FnMut(&Piece, u64, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        check_range(self.size_bytes(), offset_bytes, len_bytes)?;
        let end = offset_bytes + len_bytes;
        let first = self.pieces.partition_point(|(end, _)| *end <= offset_bytes);
        for (start, len, piece) in self.pieces().skip(first) {
            let (from, until) = (offset_bytes.max(start), end.min(start + len));
            if from >= until {
                break;
            }
            visit(piece, from - start, until - from)?;
        }
        Ok(())
    }
}

impl Media for Joined {
    fn size_bytes(&self) -> u64 {
        self.pieces.last().map_or(0, |(end, _)| *end)
    }

    fn block_bytes(&self) -> u32 {
        let blocks = self.pieces.iter().filter_map(|(_, piece)| match piece {
            Piece::From(media, _) => Some(media.block_bytes()),
            Piece::Zero | Piece::Lost(_) => None,
        });
        blocks.max().unwrap_or(512)
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut rest = &mut *buf;
        self.each(offset_bytes, len_of(rest), |piece, at, len| {
            let (into, left) = std::mem::take(&mut rest).split_at_mut(usize::try_from(len).unwrap_or(usize::MAX));
            rest = left;
            match piece {
                Piece::From(media, from) => media.read_at(from + at, into),
                Piece::Zero => {
                    into.fill(0);
                    Ok(())
                }
                Piece::Lost(why) => Err(io::Error::other(format!("{}: {why}", self.name))),
            }
        })
    }

    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        let mut runs = Vec::new();
        self.each(offset_bytes, len_bytes, |piece, at, len| {
            match piece {
                Piece::From(media, from) => runs.extend(media.allocation(from + at, len)?),
                Piece::Zero => runs.push(Run { len_bytes: len, zero: true }),
                Piece::Lost(_) => runs.push(Run { len_bytes: len, zero: false }),
            }
            Ok(())
        })?;
        Ok(runs)
    }

    fn describe(&self) -> String {
        self.name.clone()
    }

    fn identity(&self) -> Option<MediaId> {
        match self.pieces.as_slice() {
            [(len, Piece::From(media, from))] => Some(media.identity()?.part(*from, *len)),
            _ => None,
        }
    }
}
