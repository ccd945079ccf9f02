//! Replies: what a request on a medium answers, as bytes for the wire.

use std::io;

use super::machine::{Agreed, Request};
use super::out::{Out, Straight};
use super::protocol::{
    BASE_ALLOCATION_ID, Command, CommandFlags, Errno, SIMPLE_REPLY_MAGIC, STATE_HOLE_ZERO, STRUCTURED_REPLY_MAGIC,
    chunk,
};
use super::server::Target;
use crate::media::{Media, Run};

/// Most extents in one answer to a block status: 8 KiB of reply. A client asks on from where they end.
const EXTENTS_MAX: usize = 1024;

/// Reads from this size on are looked at for holes first: it saves sending zeros and costs a look.
const HOLES_FROM_BYTES: u32 = 64 << 10;

/// Reads from this size on are not copied where they stand in a file as they are; shorter ones are sent together sooner than that.
const STRAIGHT_FROM_BYTES: u32 = 64 << 10;

/// True if what `request` wants can be sent without being read into memory.
///
/// Only of what nobody writes to: bytes that wait in the socket for a client who is slow stand in the member still. Of an array that runs,
/// that member may be taken out meanwhile and be filled with what belongs elsewhere.
/// And only in structured replies, which can say that bytes could not be had when their length is out already.
#[must_use]
pub fn is_straight(target: &Target, agreed: Agreed, request: &Request) -> bool {
    let Target::ReadOnly(media) = target else { return false };
    if request.command != Command::Read || request.len_bytes < STRAIGHT_FROM_BYTES || !agreed.structured {
        return false;
    }
    let (mut at, mut left) = (request.offset_bytes, u64::from(request.len_bytes));
    while left > 0 {
        let Some(stored) = media.stored(at, left).filter(|stored| stored.len_bytes > 0) else { return false };
        let len_bytes = stored.len_bytes.min(left);
        (at, left) = (at + len_bytes, left - len_bytes);
    }
    true
}

/// Does `request` on `target` and appends the whole reply; `straight`, without the bytes that it reads.
pub fn answer(target: &Target, agreed: Agreed, request: &Request, straight: bool, out: &mut Out) {
    let start = out.len();
    let done = match request.command {
        Command::Read => read(target.media(), agreed, request, straight, out),
        Command::BlockStatus => block_status(target.media(), request, out),
        Command::Write | Command::Flush | Command::Trim | Command::WriteZeroes | Command::Disconnect => {
            change(target, request).map(|()| success(agreed, request.cookie, out))
        }
    };
    if done.is_err() {
        out.cut(start);
        written(agreed, request.cookie, &done, out);
    }
}

/// Appends a reply that says no, with a reason where the client can take one.
pub fn refuse(agreed: Agreed, cookie: u64, errno: Errno, why: &str, out: &mut Out) {
    if !agreed.structured {
        return simple(cookie, errno as u32, out);
    }
    // A message of at most 4096 bytes, cut where a character ends.
    let cut = (0..=why.len().min(4096)).rev().find(|cut| why.is_char_boundary(*cut)).unwrap_or(0);
    let why = why.get(..cut).unwrap_or_default().as_bytes();
    let len = u16::try_from(why.len()).unwrap_or(0);
    let body = [(errno as u32).to_be_bytes().as_slice(), &len.to_be_bytes(), why].concat();
    push_chunk(out, chunk::FLAG_DONE, chunk::ERROR, cookie, &body);
}

/// Appends the answer to a write that was done, or was not.
pub(super) fn written(agreed: Agreed, cookie: u64, done: &io::Result<()>, out: &mut Out) {
    match done {
        Ok(()) => success(agreed, cookie, out),
        Err(error) => refuse(agreed, cookie, errno_of(error), &error.to_string(), out),
    }
}

fn success(agreed: Agreed, cookie: u64, out: &mut Out) {
    if !agreed.structured {
        return simple(cookie, 0, out);
    }
    push_chunk(out, chunk::FLAG_DONE, chunk::NONE, cookie, &[]);
}

fn simple(cookie: u64, errno: u32, out: &mut Out) {
    out.put(&SIMPLE_REPLY_MAGIC.to_be_bytes());
    out.put(&errno.to_be_bytes());
    out.put(&cookie.to_be_bytes());
}

fn push_chunk(out: &mut Out, flags: u16, kind: u16, cookie: u64, body: &[u8]) {
    push_head(out, flags, kind, cookie, body.len());
    out.put(body);
}

fn push_head(out: &mut Out, flags: u16, kind: u16, cookie: u64, len: usize) {
    out.put(&STRUCTURED_REPLY_MAGIC.to_be_bytes());
    out.put(&flags.to_be_bytes());
    out.put(&kind.to_be_bytes());
    out.put(&cookie.to_be_bytes());
    out.put(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
}

fn read(media: &dyn Media, agreed: Agreed, request: &Request, straight: bool, out: &mut Out) -> io::Result<()> {
    let (offset, len) = (request.offset_bytes, request.len_bytes);
    if !agreed.structured {
        simple(request.cookie, 0, out);
        return media.read_at(offset, out.room(len as usize));
    }
    let whole = vec![Run { len_bytes: u64::from(len), zero: false }];
    let one_chunk = request.flags.contains(CommandFlags::DF) || len < HOLES_FROM_BYTES;
    let runs = if one_chunk { whole } else { cut(media.allocation(offset, u64::from(len)).unwrap_or(whole), len) };
    let mut at = offset;
    for (index, run) in runs.iter().enumerate() {
        let flags = if index + 1 == runs.len() && !straight { chunk::FLAG_DONE } else { 0 };
        let run_len = u32::try_from(run.len_bytes).unwrap_or(len);
        if run.zero {
            let body = [at.to_be_bytes().as_slice(), &run_len.to_be_bytes()].concat();
            push_chunk(out, flags, chunk::OFFSET_HOLE, request.cookie, &body);
        } else {
            let start = out.len();
            push_head(out, flags, chunk::OFFSET_DATA, request.cookie, run_len as usize + 8);
            out.put(&at.to_be_bytes());
            if straight {
                out.put_straight(Straight { cookie: request.cookie, offset_bytes: at, len_bytes: run_len });
            } else if let Err(error) = media.read_at(at, out.room(run_len as usize)) {
                // The chunks before stand; this one becomes the error, with its place.
                out.cut(start);
                push_lost(out, chunk::FLAG_DONE, request.cookie, at, &error);
                return Ok(());
            }
        }
        at += run.len_bytes;
    }
    if straight {
        // Whether all bytes could be had is known when they are sent: the last word comes behind them.
        push_chunk(out, chunk::FLAG_DONE, chunk::NONE, request.cookie, &[]);
    }
    Ok(())
}

/// Appends that from `at` on there is no reading.
pub(super) fn push_lost(out: &mut Out, flags: u16, cookie: u64, at: u64, error: &io::Error) {
    let why = error.to_string();
    let why = why.get(..why.len().min(512)).unwrap_or("unreadable").as_bytes();
    let why_len = u16::try_from(why.len()).unwrap_or(0).to_be_bytes();
    let errno = (errno_of(error) as u32).to_be_bytes();
    let body = [errno.as_slice(), &why_len, why, &at.to_be_bytes()].concat();
    push_chunk(out, flags, chunk::ERROR_OFFSET, cookie, &body);
}

/// `runs` made to cover exactly `len` bytes, equal neighbours merged, small holes filled: a chunk costs more than a few zeros.
fn cut(runs: Vec<Run>, len: u32) -> Vec<Run> {
    let mut left = u64::from(len);
    let mut cut: Vec<Run> = Vec::new();
    for run in runs {
        let len_bytes = run.len_bytes.min(left);
        left -= len_bytes;
        let zero = run.zero && len_bytes >= 4096;
        match cut.last_mut() {
            _ if len_bytes == 0 => {}
            Some(last) if last.zero == zero => last.len_bytes += len_bytes,
            _ => cut.push(Run { len_bytes, zero }),
        }
    }
    match cut.last_mut() {
        _ if left == 0 => {}
        Some(last) if !last.zero => last.len_bytes += left,
        _ => cut.push(Run { len_bytes: left, zero: false }),
    }
    cut
}

fn block_status(media: &dyn Media, request: &Request, out: &mut Out) -> io::Result<()> {
    let mut runs = cut(media.allocation(request.offset_bytes, u64::from(request.len_bytes))?, request.len_bytes);
    let most = if request.flags.contains(CommandFlags::REQ_ONE) { 1 } else { EXTENTS_MAX };
    runs.truncate(most);
    let mut body = BASE_ALLOCATION_ID.to_be_bytes().to_vec();
    for run in runs {
        body.extend_from_slice(&u32::try_from(run.len_bytes).unwrap_or(request.len_bytes).to_be_bytes());
        body.extend_from_slice(&(if run.zero { STATE_HOLE_ZERO } else { 0 }).to_be_bytes());
    }
    push_chunk(out, chunk::FLAG_DONE, chunk::BLOCK_STATUS, request.cookie, &body);
    Ok(())
}

fn change(target: &Target, request: &Request) -> io::Result<()> {
    let Target::Writable(media) = target else {
        // A flush of what nobody can write is done already; the machine refuses the rest before it comes here.
        return match request.command {
            Command::Flush => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "the export is read-only")),
        };
    };
    let (offset, len) = (request.offset_bytes, u64::from(request.len_bytes));
    match request.command {
        Command::Write => media.write_at(offset, &request.payload)?,
        Command::WriteZeroes => media.write_zeroes(offset, len, !request.flags.contains(CommandFlags::NO_HOLE))?,
        Command::Trim => media.discard(offset, len)?,
        Command::Flush => return media.flush(),
        Command::Read | Command::BlockStatus | Command::Disconnect => {}
    }
    if request.flags.contains(CommandFlags::FUA) { media.flush() } else { Ok(()) }
}

fn errno_of(error: &io::Error) -> Errno {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Errno::Perm,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Errno::NoSpc,
        io::ErrorKind::InvalidInput => Errno::Inval,
        io::ErrorKind::Unsupported => Errno::NotSup,
        _ => Errno::Io,
    }
}
