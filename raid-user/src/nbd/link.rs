//! One connection to somebody else's export: the handshake, requests one after another, and their replies.
//!
//! What a server says is believed no further than it must be: lengths are checked against what was asked for, and nothing is
//! allocated on its word.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::machine::Fields;
use super::protocol::{
    BASE_ALLOCATION, Command, CommandFlags, ExportFlags, HandshakeFlags, IHAVEOPT, NBDMAGIC, OPTION_REPLY_MAGIC,
    REQUEST_MAGIC, SIMPLE_REPLY_MAGIC, STATE_HOLE_ZERO, STRUCTURED_REPLY_MAGIC, chunk, info, option, rep,
};
use super::stream::Stream;
use crate::media::Run;
use crate::media::nbd::{Address, Uri};

/// Longest reply to an option that is read; a longer one is not a server's.
const OPTION_REPLY_BYTES_MAX: u32 = 64 << 10;
/// Longest error or block status chunk that is read.
const CHUNK_BYTES_MAX: u32 = 256 << 10;
/// Most chunks of a reply that are read: a sane server sends at most one for each 4 KiB.
const CHUNKS_MAX: usize = 1 << 16;
/// How long a silent server is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection past its handshake.
pub(super) struct Link {
    stream: Stream,
    pub(super) export: Export,
    cookie: u64,
}

/// What the server says of its export.
#[derive(Clone, Copy)]
pub(super) struct Export {
    pub(super) size_bytes: u64,
    pub(super) flags: ExportFlags,
    pub(super) block_bytes: u32,
    structured: bool,
    /// The number that the server gave `base:allocation`.
    allocation: Option<u32>,
}

pub(super) fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the NBD server {what}"))
}

/// What went wrong with an exchange: the request alone, or the connection with it.
pub(super) enum Failed {
    Request(io::Error),
    Connection(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl Link {
    pub(super) fn open(uri: &Uri) -> io::Result<Self> {
        let stream = match &uri.address {
            Address::Tcp { host, port } => Stream::Tcp(TcpStream::connect((host.as_str(), *port))?),
            Address::Unix { socket } => Stream::Unix(UnixStream::connect(socket)?),
        };
        stream.set_timeouts(Some(PATIENCE), Some(PATIENCE))?;
        let export = handshake(&stream, uri.export.as_bytes())?;
        Ok(Self { stream, export, cookie: 0 })
    }

    fn send(&mut self, (command, flags): (Command, CommandFlags), offset_bytes: u64, len_bytes: u32) -> io::Result<()> {
        self.cookie += 1;
        let mut request = Vec::with_capacity(28);
        request.extend_from_slice(&REQUEST_MAGIC.to_be_bytes());
        request.extend_from_slice(&flags.bits().to_be_bytes());
        request.extend_from_slice(&(command as u16).to_be_bytes());
        request.extend_from_slice(&self.cookie.to_be_bytes());
        request.extend_from_slice(&offset_bytes.to_be_bytes());
        request.extend_from_slice(&len_bytes.to_be_bytes());
        (&self.stream).write_all(&request)
    }

    fn take<const N: usize>(&self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        (&self.stream).read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn read(&mut self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), Failed> {
        let len = u32::try_from(buf.len()).map_err(|_| Failed::Request(broken("takes no request of this length")))?;
        self.send((Command::Read, CommandFlags::empty()), offset_bytes, len)?;
        let mut filled = 0_u64;
        let mut failure = None;
        for _ in 0..CHUNKS_MAX {
            match self.reply_head()? {
                Head::Simple(0) => {
                    (&self.stream).read_exact(buf)?;
                    return Ok(());
                }
                Head::Simple(errno) => return Err(Failed::Request(server_error(errno, ""))),
                Head::Chunk { kind: chunk::OFFSET_DATA, len, last } if len > 8 => {
                    let part = part_of(buf, offset_bytes, u64::from_be_bytes(self.take()?), len - 8)?;
                    (&self.stream).read_exact(part)?;
                    filled += u64::from(len - 8);
                    if last {
                        break;
                    }
                }
                Head::Chunk { kind: chunk::OFFSET_HOLE, len: 12, last } => {
                    let at = u64::from_be_bytes(self.take()?);
                    let hole = u32::from_be_bytes(self.take()?);
                    part_of(buf, offset_bytes, at, hole)?.fill(0);
                    filled += u64::from(hole);
                    if last {
                        break;
                    }
                }
                Head::Chunk { kind, len, last } => {
                    let body = self.body(len)?;
                    if kind & 1 << 15 != 0 {
                        failure = failure.or(Some(error_chunk(&body)));
                    } else if kind != chunk::NONE {
                        return Err(Failed::Connection(broken("sent a chunk that does not answer a read")));
                    }
                    if last {
                        break;
                    }
                }
            }
        }
        match failure {
            Some(error) => Err(Failed::Request(error)),
            None if filled == u64::from(len) => Ok(()),
            None => Err(Failed::Connection(broken("left a part of the read out"))),
        }
    }

    pub(super) fn block_status(&mut self, offset_bytes: u64, len_bytes: u32) -> Result<Vec<Run>, Failed> {
        let unknown = vec![Run { len_bytes: u64::from(len_bytes), zero: false }];
        let Some(context) = self.export.allocation else { return Ok(unknown) };
        self.send((Command::BlockStatus, CommandFlags::empty()), offset_bytes, len_bytes)?;
        let (mut runs, mut failure) = (Vec::new(), None);
        for _ in 0..CHUNKS_MAX {
            let Head::Chunk { kind, len, last } = self.reply_head()? else {
                return Err(Failed::Connection(broken("answers a block status with a simple reply")));
            };
            let body = self.body(len)?;
            let mut fields = Fields(&body);
            if kind & 1 << 15 != 0 {
                failure = failure.or(Some(error_chunk(&body)));
            } else if kind == chunk::BLOCK_STATUS && fields.u32() == Some(context) {
                while let (Some(len), Some(state)) = (fields.u32(), fields.u32()) {
                    let zero = state & STATE_HOLE_ZERO == STATE_HOLE_ZERO;
                    runs.push(Run { len_bytes: u64::from(len), zero });
                }
            }
            if last {
                break;
            }
        }
        if let Some(error) = failure {
            return Err(Failed::Request(error));
        }
        // The last extent may reach past what was asked for.
        let mut left = u64::from(len_bytes);
        for run in &mut runs {
            run.len_bytes = run.len_bytes.min(left);
            left -= run.len_bytes;
        }
        runs.retain(|run| run.len_bytes > 0);
        if runs.is_empty() { Err(Failed::Connection(broken("knows of no extent"))) } else { Ok(runs) }
    }

    /// Sends a command with its payload, if it has one, and waits for its end.
    pub(super) fn change(
        &mut self,
        command: (Command, CommandFlags),
        offset_bytes: u64,
        len_bytes: u32,
        payload: &[u8],
    ) -> Result<(), Failed> {
        self.send(command, offset_bytes, len_bytes)?;
        (&self.stream).write_all(payload)?;
        let mut failure = None;
        for _ in 0..CHUNKS_MAX {
            let (kind, len, last) = match self.reply_head()? {
                Head::Simple(0) => return Ok(()),
                Head::Simple(errno) => return Err(Failed::Request(server_error(errno, ""))),
                Head::Chunk { kind, len, last } => (kind, len, last),
            };
            let body = self.body(len)?;
            if kind & 1 << 15 != 0 {
                failure = failure.or(Some(error_chunk(&body)));
            } else if kind != chunk::NONE {
                return Err(Failed::Connection(broken("answers a change with data")));
            }
            if last {
                return failure.map_or(Ok(()), |error| Err(Failed::Request(error)));
            }
        }
        Err(Failed::Connection(broken("does not come to an end")))
    }

    fn reply_head(&mut self) -> io::Result<Head> {
        let magic = u32::from_be_bytes(self.take()?);
        let (head, cookie) = match magic {
            SIMPLE_REPLY_MAGIC => {
                let errno = u32::from_be_bytes(self.take()?);
                (Head::Simple(errno), u64::from_be_bytes(self.take()?))
            }
            STRUCTURED_REPLY_MAGIC if self.export.structured => {
                let flags = u16::from_be_bytes(self.take()?);
                let kind = u16::from_be_bytes(self.take()?);
                let cookie = u64::from_be_bytes(self.take()?);
                let len = u32::from_be_bytes(self.take()?);
                (Head::Chunk { kind, len, last: flags & chunk::FLAG_DONE != 0 }, cookie)
            }
            _ => return Err(broken("sent a reply without a magic number")),
        };
        if cookie == self.cookie { Ok(head) } else { Err(broken("answers a request that nobody made")) }
    }

    fn body(&self, len: u32) -> io::Result<Vec<u8>> {
        if len > CHUNK_BYTES_MAX {
            return Err(broken("sent a chunk that is too long"));
        }
        let mut body = vec![0; len as usize];
        (&self.stream).read_exact(&mut body)?;
        Ok(body)
    }
}

enum Head {
    Simple(u32),
    Chunk { kind: u16, len: u32, last: bool },
}

/// The part of `buf` (read from `start`) that a chunk at `at` fills.
fn part_of(buf: &mut [u8], start: u64, at: u64, len: u32) -> io::Result<&mut [u8]> {
    let from = at.checked_sub(start).and_then(|from| usize::try_from(from).ok());
    from.and_then(|from| buf.get_mut(from..)?.get_mut(..len as usize))
        .ok_or_else(|| broken("sent data that nobody asked for"))
}

fn error_chunk(body: &[u8]) -> io::Error {
    let mut fields = Fields(body);
    let errno = fields.u32().unwrap_or(5);
    let len = fields.u16().map_or(0, usize::from);
    server_error(errno, &String::from_utf8_lossy(fields.0.get(..len).unwrap_or_default()))
}

/// The wire's error numbers are Linux's.
fn server_error(errno: u32, why: &str) -> io::Error {
    let kind = io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(5)).kind();
    let separator = if why.is_empty() { "" } else { ": " };
    io::Error::new(kind, format!("the NBD server says error {errno}{separator}{}", why.escape_debug()))
}

/// Talks the newstyle handshake up to the export.
fn handshake(stream: &Stream, name: &[u8]) -> io::Result<Export> {
    let mut hello = [0; 18];
    (&mut &*stream).read_exact(&mut hello)?;
    let mut fields = Fields(&hello);
    let (magic, style) = (fields.u64(), fields.u64());
    if magic != Some(NBDMAGIC) || style != Some(IHAVEOPT) {
        return Err(broken("is none, or speaks only the old style"));
    }
    let server = HandshakeFlags::from_bits_retain(fields.u16().unwrap_or(0));
    if !server.contains(HandshakeFlags::FIXED_NEWSTYLE) {
        return Err(broken("does not speak fixed newstyle"));
    }
    let flags = HandshakeFlags::FIXED_NEWSTYLE | server.intersection(HandshakeFlags::NO_ZEROES);
    (&mut &*stream).write_all(&u32::from(flags.bits()).to_be_bytes())?;

    let structured = negotiate(stream, option::STRUCTURED_REPLY, &[])?.accepted;
    let mut allocation = None;
    if structured {
        let query = BASE_ALLOCATION.as_bytes();
        let data = [&length(name), name, &1_u32.to_be_bytes(), &length(query), query].concat();
        let reply = negotiate(stream, option::SET_META_CONTEXT, &data)?;
        allocation = reply.items.iter().find_map(|(kind, body)| {
            let mut fields = Fields(body);
            let id = fields.u32().filter(|_| *kind == rep::META_CONTEXT)?;
            (fields.0 == query).then_some(id)
        });
    }
    let wanted = [info::EXPORT, info::BLOCK_SIZE];
    let asks = wanted.map(u16::to_be_bytes).concat();
    let data = [&length(name), name, &2_u16.to_be_bytes(), &asks].concat();
    let go = negotiate(stream, option::GO, &data)?;
    if !go.accepted {
        return Err(io::Error::new(io::ErrorKind::NotFound, go.why));
    }
    let mut export = None;
    let mut block_bytes = 512;
    for (_, body) in go.items.iter().filter(|(kind, _)| *kind == rep::INFO) {
        let mut fields = Fields(body);
        match fields.u16() {
            Some(info::EXPORT) => export = fields.u64().zip(fields.u16()),
            Some(info::BLOCK_SIZE) => block_bytes = fields.u32().unwrap_or(512),
            _ => {}
        }
    }
    let (size_bytes, flags) = export.ok_or_else(|| broken("does not say how large its export is"))?;
    let block_bytes = if block_bytes.is_power_of_two() { block_bytes.clamp(512, 4096) } else { 512 };
    Ok(Export { size_bytes, flags: ExportFlags::from_bits_retain(flags), block_bytes, structured, allocation })
}

/// What a server answered to an option.
struct Negotiated {
    accepted: bool,
    items: Vec<(u32, Vec<u8>)>,
    why: String,
}

fn negotiate(mut stream: &Stream, option: u32, data: &[u8]) -> io::Result<Negotiated> {
    let request = [IHAVEOPT.to_be_bytes().as_slice(), &option.to_be_bytes(), &length(data), data].concat();
    stream.write_all(&request)?;
    let mut items = Vec::new();
    // More answers than this to one option are no answer.
    for _ in 0..64 {
        let mut head = [0; 20];
        stream.read_exact(&mut head)?;
        let mut fields = Fields(&head);
        let (magic, to, kind, len) = (fields.u64(), fields.u32(), fields.u32().unwrap_or(0), fields.u32().unwrap_or(0));
        if magic != Some(OPTION_REPLY_MAGIC) || to != Some(option) || len > OPTION_REPLY_BYTES_MAX {
            return Err(broken("answers an option with nonsense"));
        }
        let mut body = vec![0; len as usize];
        stream.read_exact(&mut body)?;
        if kind == rep::ACK {
            return Ok(Negotiated { accepted: true, items, why: String::new() });
        }
        if kind & 1 << 31 != 0 {
            let why = String::from_utf8_lossy(&body).escape_debug().to_string();
            let why = format!("the NBD server refuses (error {}) {why}", kind & !(1 << 31));
            return Ok(Negotiated { accepted: false, items, why });
        }
        items.push((kind, body));
    }
    Err(broken("does not come to an end"))
}

fn length(data: &[u8]) -> [u8; 4] {
    u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes()
}
