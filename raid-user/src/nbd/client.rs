//! A client: somebody else's export as a medium.
//!
//! Blocking, one request at a time on each of a few connections, so many threads can read at once. Writing takes another type,
//! and an export that can make what was written durable.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::link::{Failed, Link, broken};
use super::protocol::{Command, CommandFlags, ExportFlags};
use crate::media::nbd::Uri;
use crate::media::{Media, MediaId, MediaMut, Run, SharedMedia, SharedMediaMut};

/// Longest request: what every server takes.
const REQUEST_BYTES_MAX: usize = 32 << 20;
/// Idle connections that are kept for the next readers.
const IDLE_MAX: usize = 8;

/// An export of a server, for reading.
pub struct Client {
    uri: Uri,
    size_bytes: u64,
    block_bytes: u32,
    flags: ExportFlags,
    several: bool,
    idle: Mutex<Vec<Link>>,
}

/// An export of a server, for reading and writing.
pub struct ClientMut(Client);

impl Client {
    /// Connects and chooses the export.
    ///
    /// # Errors
    /// The connection's, or what the server said or did wrong.
    pub fn connect(uri: &Uri) -> io::Result<Self> {
        let link = Link::open(uri).map_err(|error| io::Error::new(error.kind(), format!("{uri}: {error}")))?;
        let (size_bytes, block_bytes, flags) = (link.export.size_bytes, link.export.block_bytes, link.export.flags);
        let several = flags.contains(ExportFlags::CAN_MULTI_CONN) || flags.contains(ExportFlags::READ_ONLY);
        Ok(Self { uri: uri.clone(), size_bytes, block_bytes, flags, several, idle: Mutex::new(vec![link]) })
    }

    /// As [`connect`](Self::connect), in the form that [`crate::media::Options`] takes.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_shared(uri: &Uri) -> io::Result<SharedMedia> {
        Ok(std::sync::Arc::new(Self::connect(uri)?))
    }

    /// Runs `exchange` on an idle connection or a new one. A connection that failed is not used again.
    fn with_link<T>(&self, mut exchange: impl FnMut(&mut Link) -> Result<T, Failed>) -> io::Result<T> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let held = idle.pop();
        // A server that does not promise that its connections agree is asked on one at a time.
        let mut only = (!self.several).then_some(idle);
        let mut link = match held {
            Some(link) => link,
            None => Link::open(&self.uri)?,
        };
        if link.export.size_bytes != self.size_bytes {
            return Err(broken("changed the size of its export"));
        }
        let (outcome, sound) = match exchange(&mut link) {
            Ok(value) => (Ok(value), true),
            Err(Failed::Request(error)) => (Err(error), true),
            Err(Failed::Connection(error)) => (Err(error), false),
        };
        if sound {
            let mut later;
            let idle = match &mut only {
                Some(idle) => idle,
                None => {
                    later = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                    &mut later
                }
            };
            if idle.len() < IDLE_MAX {
                idle.push(link);
            }
        }
        outcome
    }
}

impl Media for Client {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        crate::media::check_range(self.size_bytes, offset_bytes, buf.len() as u64)?;
        for (index, part) in buf.chunks_mut(REQUEST_BYTES_MAX).enumerate() {
            let at = offset_bytes + (index * REQUEST_BYTES_MAX) as u64;
            self.with_link(|link| link.read(at, part))?;
        }
        Ok(())
    }

    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        crate::media::check_range(self.size_bytes, offset_bytes, len_bytes)?;
        let mut runs: Vec<Run> = Vec::new();
        let mut done = 0;
        while done < len_bytes {
            let ask = u32::try_from((len_bytes - done).min(1 << 30)).unwrap_or(1 << 30);
            let found = self.with_link(|link| link.block_status(offset_bytes + done, ask))?;
            for run in found {
                done += run.len_bytes;
                runs.push(run);
            }
        }
        Ok(runs)
    }

    fn describe(&self) -> String {
        self.uri.to_string()
    }

    fn identity(&self) -> Option<MediaId> {
        Some(MediaId::of_uri(&self.uri.to_string(), self.size_bytes))
    }
}

impl ClientMut {
    /// Connects and chooses the export, which must take writes and flushes.
    ///
    /// # Errors
    /// As [`Client::connect`]; if the export is read-only, or could not make durable what is written.
    pub fn connect(uri: &Uri) -> io::Result<Self> {
        let client = Client::connect(uri)?;
        let refused = |why| Err(io::Error::new(io::ErrorKind::Unsupported, format!("{uri}: {why}")));
        if client.flags.contains(ExportFlags::READ_ONLY) {
            return refused("the export is read-only");
        }
        if !client.flags.contains(ExportFlags::SEND_FLUSH) {
            return refused("the export takes no flushes, so nobody could tell when a write is durable");
        }
        Ok(Self(client))
    }

    /// As [`connect`](Self::connect), to be shared.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_shared(uri: &Uri) -> io::Result<SharedMediaMut> {
        Ok(std::sync::Arc::new(Self::connect(uri)?))
    }

    fn offers(&self, flag: ExportFlags) -> bool {
        self.0.flags.contains(flag)
    }

    /// Sends a command without payload for every part of a range that one request can name.
    fn ranges(&self, command: (Command, CommandFlags), offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        crate::media::check_range(self.0.size_bytes, offset_bytes, len_bytes)?;
        let mut done = 0;
        while done < len_bytes {
            let len = u32::try_from((len_bytes - done).min(1 << 30)).unwrap_or(1 << 30);
            self.0.with_link(|link| link.change(command, offset_bytes + done, len, &[]))?;
            done += u64::from(len);
        }
        Ok(())
    }
}

impl Media for ClientMut {
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn block_bytes(&self) -> u32 {
        self.0.block_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset_bytes, buf)
    }

    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        self.0.allocation(offset_bytes, len_bytes)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn identity(&self) -> Option<MediaId> {
        self.0.identity()
    }
}

impl MediaMut for ClientMut {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        crate::media::check_range(self.0.size_bytes, offset_bytes, buf.len() as u64)?;
        for (index, part) in buf.chunks(REQUEST_BYTES_MAX).enumerate() {
            let at = offset_bytes + (index * REQUEST_BYTES_MAX) as u64;
            let len = u32::try_from(part.len()).map_err(io::Error::other)?;
            self.0.with_link(|link| link.change((Command::Write, CommandFlags::empty()), at, len, part))?;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.0.with_link(|link| link.change((Command::Flush, CommandFlags::empty()), 0, 0, &[]))
    }

    fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, may_free: bool) -> io::Result<()> {
        if self.offers(ExportFlags::SEND_WRITE_ZEROES) {
            let flags = if may_free { CommandFlags::empty() } else { CommandFlags::NO_HOLE };
            return self.ranges((Command::WriteZeroes, flags), offset_bytes, len_bytes);
        }
        crate::media::check_range(self.0.size_bytes, offset_bytes, len_bytes)?;
        crate::media::zero_plainly(self, offset_bytes, len_bytes)
    }

    fn discard(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
        // Whoever does not offer it need not do it.
        if !self.offers(ExportFlags::SEND_TRIM) {
            return Ok(());
        }
        self.ranges((Command::Trim, CommandFlags::empty()), offset_bytes, len_bytes)
    }
}
