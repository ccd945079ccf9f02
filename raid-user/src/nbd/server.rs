//! Sockets and threads around the [`machine`](super::machine).
//!
//! One thread a connection reads and feeds the machine; a pool of workers does the requests of all connections; each reply is written whole
//! under its connection's lock, in the order in which requests are done. A connection stops reading while it has
//! [`Limits::in_flight`] requests unanswered. Where the target is memory, the thread that reads does the small ones itself, and
//! sends the replies together when no more requests are there: to hand them over costs more than to do them. It does the large ones
//! too where `straight` sends them, without a copy, and puts writes together that follow each other (`talk`).

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::machine::{Agreed, Export, Limits, Request};
use super::out::{Out, Part};
use super::protocol::ExportFlags;
use super::queue::Queue;
use super::reply;
use super::straight;
use super::stream::Stream;
use super::talk;
use crate::media::{Media, MediaMut, SharedMedia};

/// How long a client may take to get through the handshake, and to take a reply.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How often the acceptor looks whether it shall stop.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Connections at a time. Each holds at most `in_flight` payloads.
const CONNECTIONS_MAX: usize = 64;
/// Workers where each waits for a device: as many requests as one connection may have in flight, so that all of them are under way.
const WAITING_WORKERS: usize = 32;
/// What is read into memory of its own: more than any head.
const HEAD_BYTES: usize = 256;
/// Payloads up to here leave their memory to the next ones, to so many.
const SPARE_BYTES: usize = 2 << 20;
const SPARES_MAX: usize = 4;

/// What is served.
#[derive(Clone)]
pub enum Target {
    /// To be read.
    ReadOnly(SharedMedia),
    /// To be read and written, because somebody asked for it.
    Writable(Arc<dyn MediaMut>),
}

impl Target {
    pub(super) fn media(&self) -> &dyn Media {
        match self {
            Self::ReadOnly(media) => media.as_ref(),
            Self::Writable(media) => media.as_ref(),
        }
    }

    /// What the export can do. Several connections are safe: all see one medium, and a flush on one covers all.
    #[must_use]
    pub fn flags(&self) -> ExportFlags {
        let always =
            ExportFlags::HAS_FLAGS | ExportFlags::SEND_FLUSH | ExportFlags::SEND_DF | ExportFlags::CAN_MULTI_CONN;
        always
            | match self {
                Self::ReadOnly(_) => ExportFlags::READ_ONLY,
                Self::Writable(_) => ExportFlags::SEND_FUA | ExportFlags::SEND_TRIM | ExportFlags::SEND_WRITE_ZEROES,
            }
    }
}

/// Where to listen.
#[derive(Clone, Debug)]
pub enum Address {
    /// A Unix socket, made with mode 0600 and removed at the end.
    Unix(PathBuf),
    /// A TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where to listen.
    pub address: Address,
    /// Name of the export.
    pub name: String,
    /// A line for people.
    pub description: String,
    /// Listen on other addresses than loopback. There is no encryption and no password: whoever reaches the port reads the array.
    pub allow_remote: bool,
    /// Stop when the last of the first clients is gone.
    pub once: bool,
    /// Workers; 0 for one a core and one more where the target is memory, and for as many as devices like to be asked by elsewhere.
    pub workers: usize,
    /// What a client may cost.
    pub limits: Limits,
}

impl ServeOptions {
    /// Serves at `address` what needs no name, until it is stopped.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            name: String::new(),
            description: String::new(),
            allow_remote: false,
            once: false,
            workers: 0,
            limits: Limits::default(),
        }
    }
}

/// A running server. Dropping it stops it.
pub struct Running {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
    address: Address,
}

/// What all connections of a server have in common.
pub(super) struct Shared {
    pub(super) target: Target,
    pub(super) export: Export,
    pub(super) limits: Limits,
    cores: usize,
    stop: AtomicBool,
    once: bool,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
}

/// One connection, as readers and workers share it.
pub(super) struct Connection {
    pub(super) stream: Stream,
    writing: Mutex<()>,
    in_flight: Mutex<usize>,
    answered: Condvar,
    /// Memory of payloads that are through.
    spare: Mutex<Vec<Vec<u8>>>,
}

/// A request that is handed to a worker.
pub(super) type Job = (Arc<Connection>, Agreed, Request);

/// A lock whose holder panicked still protects consistent data here: every critical section is one assignment or one write.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts to serve `target`; returns once clients can connect.
///
/// # Errors
/// An address that cannot be listened on, is not loopback without `allow_remote`, or a path where something else is.
pub fn serve(target: Target, options: ServeOptions) -> io::Result<Running> {
    let (listener, address) = Listener::bind(&options.address, options.allow_remote)?;
    let export = Export {
        name: options.name,
        description: options.description,
        size_bytes: target.media().size_bytes(),
        block_bytes: target.media().block_bytes().max(4096),
        flags: target.flags(),
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let workers = match options.workers {
        0 if target.media().is_memory() => cores + 1,
        0 => WAITING_WORKERS,
        workers => workers,
    };
    let shared = Arc::new(Shared {
        target,
        export,
        limits: options.limits,
        cores,
        stop: AtomicBool::new(false),
        once: options.once,
        connections: Mutex::default(),
    });
    let acceptor = thread::Builder::new().name("nbd accept".into()).spawn({
        let shared = Arc::clone(&shared);
        move || accept(&shared, &listener, workers)
    })?;
    Ok(Running { shared, acceptor: Some(acceptor), address })
}

impl Running {
    /// Where it listens; the port that the system chose.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The URI that clients connect to.
    #[must_use]
    pub fn uri(&self) -> String {
        let name = &self.shared.export.name;
        match &self.address {
            Address::Unix(path) => format!("nbd+unix:///{name}?socket={}", path.display()),
            Address::Tcp(address) => format!("nbd://{address}/{name}"),
        }
    }

    /// A handle that stops the server from another thread, such as a signal's.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        // It must not keep alive what is served: a signal's handler stays for ever.
        let shared = Arc::downgrade(&self.shared);
        move || {
            if let Some(shared) = shared.upgrade() {
                shared.stop();
            }
        }
    }

    /// Waits until the server has stopped: by a stopper, or because it was to serve once.
    pub fn wait(mut self) {
        self.join();
    }

    /// Answers what is in flight and stops.
    pub fn stop(mut self) {
        self.shared.stop();
        self.join();
    }

    fn join(&mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            // A panic in the acceptor has been printed by its thread; there is nothing left to stop.
            let _ = acceptor.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop();
        self.join();
    }
}

impl Shared {
    /// No connection reads on; the readers end, the workers drain, the acceptor leaves.
    fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        for connection in lock(&self.connections).values() {
            connection.stream.shutdown(Shutdown::Read);
        }
    }

    /// True if there are as many clients as processors.
    pub(super) fn is_crowded(&self) -> bool {
        lock(&self.connections).len() >= self.cores
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    fn bind(address: &Address, allow_remote: bool) -> io::Result<(Self, Address)> {
        match address {
            Address::Tcp(wanted) => {
                if !wanted.ip().is_loopback() && !allow_remote {
                    let why =
                        format!("{wanted} is not a loopback address: NBD has no password, and anybody could read");
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
                }
                let listener = TcpListener::bind(wanted)?;
                listener.set_nonblocking(true)?;
                let bound = listener.local_addr()?;
                Ok((Self::Tcp(listener), Address::Tcp(bound)))
            }
            Address::Unix(path) => {
                clear_stale_socket(path)?;
                let listener = UnixListener::bind(path)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
                listener.set_nonblocking(true)?;
                Ok((Self::Unix(listener, path.clone()), Address::Unix(path.clone())))
            }
        }
    }

    fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false).map(|()| Stream::Tcp(stream))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false).map(|()| Stream::Unix(stream))
            }
        }
    }

    fn wait(&self) {
        let mut ready = match self {
            Self::Tcp(listener) => [PollFd::new(listener, PollFlags::IN)],
            Self::Unix(listener, _) => [PollFd::new(listener, PollFlags::IN)],
        };
        // An interrupted wait is a short one; the loop looks again.
        let _ = poll(&mut ready, Some(&TICK));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes a socket that nobody listens on; refuses everything else.
pub(crate) fn clear_stale_socket(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let taken = |why: &str| Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{}: {why}", path.display())));
    if !metadata.file_type().is_socket() {
        return taken("exists and is no socket");
    }
    match UnixStream::connect(path) {
        Ok(_) => taken("another server listens there"),
        Err(_) => fs::remove_file(path),
    }
}

fn accept(shared: &Arc<Shared>, listener: &Listener, workers: usize) {
    let queue = Arc::new(Queue::new());
    let pool: Vec<_> = (0..workers).filter_map(|_| spawn_worker(shared, &queue)).collect();
    let mut readers = Vec::new();
    let mut served = 0_u64;
    let done = |served| shared.once && served > 0 && lock(&shared.connections).is_empty();
    while !shared.stopping() && !done(served) {
        readers.retain(|reader: &JoinHandle<()>| !reader.is_finished());
        match listener.accept() {
            Ok(stream) if readers.len() < CONNECTIONS_MAX => {
                served += 1;
                readers.extend(spawn_reader(shared, stream, served, &queue));
            }
            // Too many, or one that went away at once: it sees a closed connection.
            Ok(_) => {}
            Err(_) => listener.wait(),
        }
    }
    shared.stop();
    for reader in readers {
        let _ = reader.join();
    }
    queue.close();
    for worker in pool {
        let _ = worker.join();
    }
}

fn spawn_worker(shared: &Arc<Shared>, queue: &Arc<Queue<Job>>) -> Option<JoinHandle<()>> {
    let (shared, queue) = (Arc::clone(shared), Arc::clone(queue));
    let work = move || {
        let mut out = Out::default();
        while let Some((connection, agreed, request)) = queue.pop() {
            let _place = InFlight(&connection);
            out.clear();
            reply::answer(&shared.target, agreed, &request, false, &mut out);
            connection.send(&out, &shared.target);
            connection.keep(request.payload);
        }
    };
    thread::Builder::new().name("nbd worker".into()).spawn(work).ok()
}

fn spawn_reader(shared: &Arc<Shared>, stream: Stream, id: u64, queue: &Arc<Queue<Job>>) -> Option<JoinHandle<()>> {
    let connection = Arc::new(Connection {
        stream,
        writing: Mutex::new(()),
        in_flight: Mutex::new(0),
        answered: Condvar::new(),
        spare: Mutex::default(),
    });
    let queue = Arc::clone(queue);
    lock(&shared.connections).insert(id, Arc::clone(&connection));
    let shared_too = Arc::clone(shared);
    let read = move || {
        // A client that breaks the connection has its reason; the others go on.
        let _ = talk::converse(&shared_too, &connection, &queue);
        connection.drain();
        connection.stream.shutdown(Shutdown::Both);
        lock(&shared_too.connections).remove(&id);
    };
    let spawned = thread::Builder::new().name(format!("nbd client {id}")).spawn(read).ok();
    if spawned.is_none() {
        lock(&shared.connections).remove(&id);
    }
    spawned
}

/// A request's place among those in flight; given back even if a medium panics.
struct InFlight<'a>(&'a Connection);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        *lock(&self.0.in_flight) -= 1;
        self.0.answered.notify_all();
    }
}

impl Connection {
    /// Sends a whole message. A client that does not take it loses the connection, not the server its worker.
    pub(super) fn send(&self, out: &Out, target: &Target) {
        let _writing = lock(&self.writing);
        let sent = out.send(|part| match part {
            Part::Bytes(bytes) => (&self.stream).write_all(bytes),
            Part::Straight(part) => straight::send(&self.stream, target.media(), part),
        });
        if sent.is_err() {
            self.stream.shutdown(Shutdown::Both);
        }
    }

    /// Bytes to be read into: what they hold is of no meaning.
    pub(super) fn bytes(&self, len: usize) -> Vec<u8> {
        // Heads are small, and their memory does not come back.
        let spare = if len > HEAD_BYTES { lock(&self.spare).pop() } else { None };
        let mut bytes = spare.unwrap_or_default();
        bytes.resize(len, 0);
        bytes
    }

    /// Takes the memory of a payload back: the next one need not be zeroed first.
    pub(super) fn keep(&self, payload: Vec<u8>) {
        let mut spare = lock(&self.spare);
        if payload.capacity() > HEAD_BYTES && payload.capacity() <= SPARE_BYTES && spare.len() < SPARES_MAX {
            spare.push(payload);
        }
    }

    pub(super) fn take_place(&self, most: usize) {
        let mut count = lock(&self.in_flight);
        while *count >= most {
            count = self.answered.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
        *count += 1;
    }

    /// Waits until everything in flight is answered.
    fn drain(&self) {
        let mut count = lock(&self.in_flight);
        while *count > 0 {
            count = self.answered.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
