//! The server with our own client and with everybody else's: nbdinfo, nbdcopy, qemu-img, qemu-io, fio; and our client with nbdkit.
//!
//! A tool that is not installed is said to be skipped.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use raid_testkit::{pattern, skipped};
use raid_user::media::nbd::Uri;
use raid_user::media::{FaultyMedia, Media, MediaMut, MemMedia, SharedMedia};
use raid_user::nbd::{Address, Client, ClientMut, Running, ServeOptions, Target, serve};

const SECTORS: usize = 16 << 10;

struct Served {
    running: Running,
    folder: tempfile::TempDir,
}

impl Served {
    fn new(target: Target) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = ServeOptions { address: Address::Unix(folder.path().join("socket")), ..options() };
        Self { running: serve(target, options).unwrap(), folder }
    }

    fn uri(&self) -> String {
        self.running.uri()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn client(&self) -> Client {
        Client::connect(&Uri::parse(&self.uri()).unwrap()).unwrap()
    }
}

fn options() -> ServeOptions {
    ServeOptions::new(Address::Tcp(([127, 0, 0, 1], 0).into()))
}

fn content() -> Vec<u8> {
    pattern::sectors(0, SECTORS)
}

fn read_only() -> Target {
    Target::ReadOnly(Arc::new(MemMedia::new("memory", content())))
}

/// Runs a tool; `None` if it is not installed.
fn run(tool: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(tool).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skipped(tool);
            None
        }
        Err(error) => panic!("{tool}: {error}"),
    }
}

/// Runs a tool that must succeed; its output.
fn must(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = run(tool, arguments)?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{tool} {arguments:?}: {text}");
    Some(text)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn our_client_reads_what_our_server_serves_from_many_threads() {
    let served = Served::new(read_only());
    let client = served.client();
    assert_eq!(client.size_bytes(), (SECTORS * 512) as u64);
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let client = &client;
            scope.spawn(move || {
                for step in 0..40 {
                    let at = (thread * 1009 + step * 401) % (SECTORS as u64 - 64);
                    let mut bytes = vec![0; 64 * 512];
                    client.read_at(at * 512, &mut bytes).unwrap();
                    assert_eq!(bytes, pattern::sectors(at, 64));
                }
            });
        }
    });
    let mut odd = vec![0; 1000];
    client.read_at(511, &mut odd).unwrap();
    assert_eq!(odd, content()[511..1511]);
    assert!(client.read_at(client.size_bytes() - 10, &mut odd).is_err());
}

#[test]
fn a_bad_range_gives_an_error_and_the_connection_goes_on() {
    let faulty = FaultyMedia::new(MemMedia::new("memory", content())).fail_reads(4096..8192);
    let served = Served::new(Target::ReadOnly(Arc::new(faulty)));
    let client = served.client();
    let mut bytes = vec![0; 4096];
    assert!(client.read_at(4096, &mut bytes).is_err());
    client.read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes, content()[..4096]);
}

#[test]
fn tcp_serves_loopback_and_refuses_the_world_unless_told() {
    let running = serve(read_only(), options()).unwrap();
    let client = Client::connect(&Uri::parse(&running.uri()).unwrap()).unwrap();
    let mut bytes = vec![0; 512];
    client.read_at(512, &mut bytes).unwrap();
    assert_eq!(bytes, pattern::sectors(1, 1));
    let world = ServeOptions { address: Address::Tcp(([0, 0, 0, 0], 0).into()), ..options() };
    let refused = serve(read_only(), world).err().unwrap();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn a_socket_path_is_private_freed_at_the_end_and_never_stolen() {
    use std::os::unix::fs::PermissionsExt;
    let served = Served::new(read_only());
    let path = served.file("socket");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = ServeOptions { address: Address::Unix(path.clone()), ..options() };
    assert!(serve(read_only(), again.clone()).is_err(), "a live server's socket is not taken");
    let file = served.file("file");
    std::fs::write(&file, "precious").unwrap();
    let over = ServeOptions { address: Address::Unix(file.clone()), ..options() };
    assert!(serve(read_only(), over).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    served.running.stop();
    assert!(!path.exists());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    serve(read_only(), again).unwrap().stop();
}

#[test]
fn serving_once_ends_with_the_last_client() {
    let folder = tempfile::tempdir().unwrap();
    let address = Address::Unix(folder.path().join("socket"));
    let running = serve(read_only(), ServeOptions { address, once: true, ..options() }).unwrap();
    drop(Client::connect(&Uri::parse(&running.uri()).unwrap()).unwrap());
    running.wait();
}

#[test]
fn nbdinfo_sees_the_export_and_its_flags() {
    let served = Served::new(read_only());
    let Some(text) = must("nbdinfo", &[&served.uri()]) else { return };
    for line in ["export-size: 8388608", "is_read_only: true", "can_multi_conn: true", "can_df: true"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let list = must("nbdinfo", &["--list", &served.uri()]).unwrap();
    assert!(list.contains("base:allocation"), "{list}");
}

#[test]
fn nbdinfo_maps_the_holes() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(4 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[7; 65536], 1 << 20).unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let sparse = raid_user::media::open(&path.parse().unwrap(), &Default::default()).unwrap().media;
    let served = Served::new(Target::ReadOnly(sparse));
    let Some(map) = must("nbdinfo", &["--map", &served.uri()]) else { return };
    let fields: Vec<Vec<&str>> = map.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(fields[0][1..3], ["1048576", "3"], "{map}");
    assert_eq!(fields[1][1..3], ["65536", "0"], "{map}");
}

#[test]
fn nbdcopy_takes_the_whole_export() {
    let served = Served::new(read_only());
    let out = served.file("out");
    if must("nbdcopy", &[&served.uri(), text(&out)]).is_some() {
        assert_eq!(std::fs::read(out).unwrap(), content());
    }
}

#[test]
fn qemu_img_looks_converts_and_compares() {
    let served = Served::new(read_only());
    let uri = served.uri();
    let (raw, qcow2) = (served.file("raw"), served.file("qcow2"));
    std::fs::write(&raw, content()).unwrap();
    let Some(info) = must("qemu-img", &["info", &uri]) else { return };
    assert!(info.contains("8 MiB"), "{info}");
    must("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", &uri, text(&qcow2)]);
    must("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &uri, text(&qcow2)]);
    must("qemu-img", &["compare", "-f", "raw", "-F", "raw", &uri, text(&raw)]);
}

#[test]
fn qemu_io_reads_and_is_refused_writes_to_a_read_only_export() {
    let served = Served::new(read_only());
    let Some(read) = must("qemu-io", &["-r", "-f", "raw", "-c", "read 64k 128k", &served.uri()]) else { return };
    assert!(read.contains("read 131072/131072"), "{read}");
    let refused = run("qemu-io", &["-f", "raw", "-c", "write 0 4k", &served.uri()]).unwrap();
    assert!(!refused.status.success());
    assert_eq!(served.client().size_bytes(), 8 << 20);
}

#[test]
fn qemu_io_writes_zeroes_discards_and_flushes_where_it_may() {
    let memory: Arc<dyn MediaMut> = Arc::new(MemMedia::new("memory", content()));
    let served = Served::new(Target::Writable(memory.clone()));
    let commands = ["write -P 0x5a 4k 8k", "write -f -P 0xa5 64k 4k", "write -z 1M 64k", "discard 2M 64k", "flush"];
    let mut arguments: Vec<&str> = vec!["-f", "raw"];
    commands.iter().for_each(|command| arguments.extend(["-c", command]));
    let uri = served.uri();
    arguments.push(&uri);
    if must("qemu-io", &arguments).is_none() {
        return;
    }
    let mut expected = content();
    expected[4096..12288].fill(0x5a);
    expected[65536..69632].fill(0xa5);
    expected[1 << 20..(1 << 20) + 65536].fill(0);
    let mut got = vec![0; expected.len()];
    memory.read_at(0, &mut got).unwrap();
    let discarded = 2 << 20..(2 << 20) + 65536;
    got[discarded.clone()].fill(0);
    expected[discarded].fill(0);
    assert!(got == expected);
}

#[test]
fn fio_verifies_what_it_wrote_through_the_server() {
    let memory: Arc<dyn MediaMut> = Arc::new(MemMedia::new("memory", vec![0; 8 << 20]));
    let served = Served::new(Target::Writable(memory));
    let uri = format!("--uri={}", served.uri());
    let job = ["--name=verify", "--ioengine=nbd", &uri, "--rw=randrw", "--bs=4k", "--size=8m", "--iodepth=16"];
    let Some(engines) = run("fio", &["--enghelp"]) else { return };
    if !String::from_utf8_lossy(&engines.stdout).contains("nbd") {
        return skipped("fio's nbd engine");
    }
    must("fio", &[&job[..], &["--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--minimal"]].concat());
}

/// Starts nbdkit on an image in a folder; `None` if it is not installed.
fn nbdkit(folder: &Path, image: &Path, more: &[&str]) -> Option<(std::process::Child, Uri)> {
    let socket = folder.join("kit");
    let arguments = [&["-f", "-U", text(&socket)], more, &["file", text(image)]].concat();
    let Ok(kit) = Command::new("nbdkit").args(arguments).spawn() else {
        skipped("nbdkit");
        return None;
    };
    let waited = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        socket.exists()
    });
    assert!(waited, "nbdkit makes its socket");
    Some((kit, Uri::parse(&format!("nbd+unix:///?socket={}", socket.display())).unwrap()))
}

#[test]
fn our_client_reads_nbdkit() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::write(&image, content()).unwrap();
    let Some((mut kit, uri)) = nbdkit(folder.path(), &image, &["-r"]) else { return };
    let read_only = ClientMut::connect(&uri).err();
    let client: SharedMedia = Client::connect_shared(&uri).unwrap();
    let mut bytes = vec![0; SECTORS * 512];
    let read = client.read_at(0, &mut bytes);
    kit.kill().unwrap();
    kit.wait().unwrap();
    read.unwrap();
    assert!(bytes == content());
    assert!(read_only.unwrap().to_string().contains("read-only"));
}

/// The same changes to a medium behind a client and to memory, and then both are compared.
fn change_and_compare(client: &dyn MediaMut) {
    let plain = MemMedia::new("plain", content());
    for media in [client, &plain as &dyn MediaMut] {
        media.write_at(700, &vec![0x5a; 100_000]).unwrap();
        media.write_zeroes(1 << 20, 70_000, false).unwrap();
        media.write_zeroes(2 << 20, 1 << 20, true).unwrap();
        media.flush().unwrap();
        assert!(media.write_at(media.size_bytes() - 1, &[1, 2]).is_err());
    }
    client.discard(5 << 20, 4096).unwrap();
    let (mut one, mut other) = (vec![0; SECTORS * 512], vec![0; SECTORS * 512]);
    client.read_at(0, &mut one).unwrap();
    plain.read_at(0, &mut other).unwrap();
    one[5 << 20..(5 << 20) + 4096].copy_from_slice(&other[5 << 20..(5 << 20) + 4096]);
    assert!(one == other);
}

#[test]
fn our_client_writes_to_our_server() {
    let memory: Arc<dyn MediaMut> = Arc::new(MemMedia::new("memory", content()));
    let served = Served::new(Target::Writable(memory));
    change_and_compare(&ClientMut::connect(&Uri::parse(&served.uri()).unwrap()).unwrap());
    let read_only = Served::new(read_only());
    assert!(ClientMut::connect(&Uri::parse(&read_only.uri()).unwrap()).is_err());
}

#[test]
fn our_client_writes_to_nbdkit() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::write(&image, content()).unwrap();
    let Some((mut kit, uri)) = nbdkit(folder.path(), &image, &[]) else { return };
    let done = std::panic::catch_unwind(|| change_and_compare(&ClientMut::connect(&uri).unwrap()));
    kit.kill().unwrap();
    kit.wait().unwrap();
    done.unwrap();
}

/// A server that says whatever it likes: first what a good one says, cut or changed at one place, then the end.
#[test]
fn a_lying_server_gives_errors_and_nothing_else() {
    let good = recorded_session();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("liar");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let lies = (0..good.len()).step_by(3).flat_map(|at| [(at, 0xff_u8), (at, 0x01)]).collect::<Vec<_>>();
    let count = lies.len();
    let (told, expected) = (good.clone(), pattern::sectors(0, 8));
    let liar = std::thread::spawn(move || {
        for (at, change) in lies {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lie = told.clone();
            lie[at] ^= change;
            // A client that hangs up early is right to.
            let _ = std::io::Write::write_all(&mut stream, &lie);
        }
    });
    let uri = Uri::parse(&format!("nbd+unix:///?socket={}", path.display())).unwrap();
    let mut survived = 0;
    for _ in 0..count {
        let mut bytes = vec![0; 8 * 512];
        if Client::connect(&uri).and_then(|client| client.read_at(0, &mut bytes)).is_ok() {
            // What changed was the data themselves, or nothing that a client looks at.
            survived += usize::from(bytes == expected);
        }
    }
    liar.join().unwrap();
    assert!(survived < count / 2, "{survived} of {count} lies went unnoticed");
}

/// What our server says to our client that connects and reads eight sectors.
fn recorded_session() -> Vec<u8> {
    use std::io::{Read, Write};
    let served = Served::new(read_only());
    let (front, path) = (served.file("front"), served.file("socket"));
    let listener = std::os::unix::net::UnixListener::bind(&front).unwrap();
    let recorder = std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = std::os::unix::net::UnixStream::connect(path).unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || {
            // Ends when the client hangs up, and hangs up on the server.
            let _ = std::io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(std::net::Shutdown::Both);
        });
        let (mut said, mut from_server, mut to_client) = (Vec::new(), server, client);
        let mut buf = [0; 4096];
        while let Ok(count @ 1..) = from_server.read(&mut buf) {
            said.extend_from_slice(&buf[..count]);
            if to_client.write_all(&buf[..count]).is_err() {
                break;
            }
        }
        said
    });
    let client = Client::connect(&Uri::parse(&format!("nbd+unix:///?socket={}", front.display())).unwrap()).unwrap();
    let mut bytes = vec![0; 8 * 512];
    client.read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes, pattern::sectors(0, 8));
    drop(client);
    recorder.join().unwrap()
}
