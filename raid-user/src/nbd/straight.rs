//! Bytes that go from a member into the socket without being copied: the kernel hands the member's pages on (`sendfile(2)`).
//!
//! Of a file that is memory there is little that can fail, but it can be cut off while it is served. What cannot be had straight is
//! read, so that another copy or parity answers; what cannot be read either is sent as zeros, for its length is out already, with an
//! error behind them that says where they begin.

use std::io::{self, Write as _};

use rustix::fs::sendfile;

use super::out::{Out, Straight};
use super::reply;
use super::stream::Stream;
use crate::media::Media;

/// What is read at a time, where it must be.
const PIECE_BYTES: usize = 128 << 10;

/// Sends a part of `media`.
///
/// # Errors
/// The stream's.
pub(super) fn send(stream: &Stream, media: &dyn Media, part: Straight) -> io::Result<()> {
    let (mut at, mut left) = (part.offset_bytes, u64::from(part.len_bytes));
    while left > 0 {
        let Some(stored) = media.stored(at, left) else { break };
        let (mut from, count) = (stored.offset_bytes, stored.len_bytes.min(left));
        // An error is the member's or the client's: whose, will be found out by reading and writing.
        let sent = sendfile(stream, stored.file, Some(&mut from), usize::try_from(count).unwrap_or(usize::MAX));
        let Some(sent) = sent.ok().filter(|sent| *sent > 0) else { break };
        (at, left) = (at + sent as u64, left - sent as u64);
    }
    if left > 0 { read_and_send(stream, media, part.cookie, (at, left)) } else { Ok(()) }
}

/// The plain way, of bytes from one place on.
fn read_and_send(stream: &Stream, media: &dyn Media, cookie: u64, (mut at, mut left): (u64, u64)) -> io::Result<()> {
    let mut stream = stream;
    let mut room = vec![0; PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES))];
    let mut lost = None;
    while left > 0 {
        let len = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let piece = &mut room[..len];
        if lost.is_none() {
            lost = media.read_at(at, piece).err().map(|error| (at, error));
        }
        if lost.is_some() {
            piece.fill(0);
        }
        stream.write_all(piece)?;
        (at, left) = (at + len as u64, left - len as u64);
    }
    let Some((at, error)) = lost else { return Ok(()) };
    let mut out = Out::default();
    reply::push_lost(&mut out, 0, cookie, at, &error);
    stream.write_all(out.bytes())
}
