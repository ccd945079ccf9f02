//! A server under the load of many writers, and how it is killed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use raid_testkit::known::Known;
use raid_testkit::served::Served;
use raid_user::media::MediaMut as _;
use raid_user::media::nbd::Uri;
use raid_user::nbd::ClientMut;

/// The tool.
pub(crate) const RAID: &str = env!("CARGO_BIN_EXE_raid");
/// Writers, each with sectors of its own.
const WRITERS: usize = 4;
/// Sectors that belong to one writer before the next one's begin.
const TURN: u64 = 8;
/// Sectors in which all writers write for a while: then they go elsewhere, and regions come to rest.
const WINDOW: u64 = 1024;

/// Serves these members to be written to; bits of idle regions are taken back soon.
pub(crate) fn serve(folder: &Path, disks: &[&str]) -> Served {
    let arguments = ["--write", "--socket", "s", "--sweep-ms", "15"];
    Served::start(RAID, folder, &[&arguments[..], disks].concat()).unwrap()
}

/// A client of the server.
pub(crate) fn client(folder: &Path) -> ClientMut {
    ClientMut::connect(&uri(folder)).unwrap()
}

fn uri(folder: &Path) -> Uri {
    Uri::parse(&format!("nbd+unix:///?socket={}", folder.join("s").display())).unwrap()
}

/// Writes in the sectors that are this writer's until the server is gone.
fn write_on(known: &Known, uri: &Uri, writer: usize, window: &AtomicU64, stop: &AtomicBool) {
    let Ok(client) = ClientMut::connect(uri) else { return };
    let mut rng = fastrand::Rng::new();
    let size = known.sectors();
    while !stop.load(Ordering::Relaxed) {
        let start = window.load(Ordering::Relaxed);
        let turns = WINDOW / TURN / WRITERS as u64;
        let turn = start + (rng.u64(..turns) * WRITERS as u64 + writer as u64) * TURN;
        let skip = rng.u64(..TURN);
        let len = if rng.bool() { TURN - skip } else { 1 };
        let write = |at, bytes: &[u8]| client.write_at(at, bytes);
        if turn + skip + len > size || known.write(turn + skip, len, write).is_err() {
            return;
        }
        if rng.u8(..64) == 0 && known.flush(|| client.flush()).is_err() {
            return;
        }
    }
}

/// Large writes, over several stripes, to an eighth of the array that is this writer's alone; and flushes.
fn stream_on(known: &Known, uri: &Uri, stop: &AtomicBool) {
    let Ok(client) = ClientMut::connect(uri) else { return };
    let mut rng = fastrand::Rng::new();
    let size = known.sectors();
    let mut at = size / 8 * 7;
    while !stop.load(Ordering::Relaxed) {
        let len = rng.u64(64..1024).min(size - at);
        let done = known.write(at, len, |at, bytes| client.write_at(at, bytes));
        let done = done.and_then(|()| known.flush(|| client.flush()));
        at = if at + len >= size { size / 8 * 7 } else { at + len };
        if done.is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Loads the server, and kills it in the middle of it.
pub(crate) fn load_and_kill(served: Served, folder: &Path, known: &Known) {
    let uri = uri(folder);
    let (stop, window) = (AtomicBool::new(false), AtomicU64::new(0));
    let windows = known.sectors() / 8 * 7 / WINDOW;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (uri, window, stop) = (&uri, &window, &stop);
            scope.spawn(move || write_on(known, uri, writer, window, stop));
        }
        scope.spawn(|| stream_on(known, &uri, &stop));
        let end = Instant::now() + Duration::from_millis(fastrand::u64(60..300));
        while Instant::now() < end {
            window.store(fastrand::u64(..windows) * WINDOW, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(fastrand::u64(5..60)));
        }
        served.kill();
        stop.store(true, Ordering::Relaxed);
    });
}
