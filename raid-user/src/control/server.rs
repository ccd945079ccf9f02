//! The server's side: one thread a client, few of them.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Answer, Ask, Desk, LINE_BYTES_MAX, Line, Refusal, VERSION};
use crate::nbd::clear_stale_socket;

/// Clients at a time.
const CLIENTS_MAX: usize = 16;
/// How long a client may take to accept an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A control socket that is listened on. Dropping it stops it and removes the socket.
pub struct Server {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
    path: PathBuf,
}

struct Shared {
    desk: Arc<Desk>,
    stop: AtomicBool,
    clients: Mutex<Vec<Arc<UnixStream>>>,
}

/// Listens at `path` for whoever may administer the array: the user who runs it.
///
/// # Errors
/// The system's; a path where something else is, or another server listens.
pub fn serve(desk: Arc<Desk>, path: &Path) -> io::Result<Server> {
    clear_stale_socket(path)?;
    let listener = UnixListener::bind(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let shared = Arc::new(Shared { desk, stop: AtomicBool::new(false), clients: Mutex::default() });
    let acceptor = thread::Builder::new().name("control".into()).spawn({
        let shared = Arc::clone(&shared);
        move || accept(&shared, &listener)
    })?;
    Ok(Server { shared, acceptor: Some(acceptor), path: path.to_owned() })
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the acceptor. If nobody can connect, it is gone already.
        drop(UnixStream::connect(&self.path));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
        drop(fs::remove_file(&self.path));
    }
}

fn accept(shared: &Arc<Shared>, listener: &UnixListener) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            break;
        }
        threads.retain(|thread| !thread.is_finished());
        let Ok(stream) = stream.map(Arc::new) else { continue };
        if threads.len() >= CLIENTS_MAX {
            continue;
        }
        clients(shared).push(Arc::clone(&stream));
        let shared = Arc::clone(shared);
        let talk = move || {
            // A client that goes away has its reason.
            drop(converse(&shared.desk, &stream));
            clients(&shared).retain(|other| !Arc::ptr_eq(other, &stream));
        };
        threads.extend(thread::Builder::new().name("control client".into()).spawn(talk));
    }
    for client in clients(shared).iter() {
        drop(client.shutdown(Shutdown::Both));
    }
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

fn clients(shared: &Shared) -> std::sync::MutexGuard<'_, Vec<Arc<UnixStream>>> {
    shared.clients.lock().unwrap_or_else(PoisonError::into_inner)
}

fn converse(desk: &Desk, stream: &UnixStream) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        let body = question(&line).map_or_else(Answer::Refused, |ask| desk.ask(&ask));
        let mut answer = serde_json::to_vec(&Line { version: VERSION, body })?;
        answer.push(b'\n');
        (&mut &*stream).write_all(&answer)?;
    }
}

fn question(line: &[u8]) -> Result<Ask, Refusal> {
    /// Of another version, only this word is sure to be there.
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let unknown = |error| Refusal::new(2, format!("no question that is known here: {error}"));
    let Versioned { version } = serde_json::from_slice(line).map_err(unknown)?;
    if version != VERSION {
        return Err(Refusal::new(2, format!("this server speaks version {VERSION} of the protocol, not {version}")));
    }
    serde_json::from_slice::<Line<Ask>>(line).map(|line| line.body).map_err(unknown)
}
