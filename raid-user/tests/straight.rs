//! Long reads of members in memory go into the socket without a copy: what arrives is what is stored, whatever fails on the way.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use raid_core::{Level, Raid6Layout, Sector, Sectors};
use raid_formats::md::Version;
use raid_formats::record::{Name, Uuid};
use raid_testkit::pattern;
use raid_user::array::{Array, OpenOptions};
use raid_user::discover::Found;
use raid_user::make::Plan;
use raid_user::media::nbd::Uri;
use raid_user::media::{Media, MediaSpec, Options, RawFile, Run, Stored, Writable, open};
use raid_user::nbd::{Address, Client, Running, ServeOptions, Target, serve};
use rustix::fs::{MemfdFlags, memfd_create};

const MEMBERS: u8 = 5;
const MEMBER_BYTES: u64 = 4 << 20;

/// A file that lies in memory wherever tests run, and the name under which it is opened.
fn file_in_memory() -> (File, PathBuf) {
    let file = File::from(memfd_create("member", MemfdFlags::CLOEXEC).unwrap());
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    (file, path)
}

fn serve_at(folder: &std::path::Path, media: Arc<dyn Media>) -> (Running, Client) {
    let address = Address::Unix(folder.join("socket"));
    let running = serve(Target::ReadOnly(media), ServeOptions::new(address)).unwrap();
    let client = Client::connect(&Uri::parse(&running.uri()).unwrap()).unwrap();
    (running, client)
}

/// What is served, and how many bytes of it were read into memory.
struct Counted<M> {
    media: M,
    read_bytes: Arc<AtomicU64>,
}

impl<M: Media> Media for Counted<M> {
    fn size_bytes(&self) -> u64 {
        self.media.size_bytes()
    }
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read_bytes.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.media.read_at(offset_bytes, buf)
    }
    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        self.media.allocation(offset_bytes, len_bytes)
    }
    fn describe(&self) -> String {
        self.media.describe()
    }
    fn is_memory(&self) -> bool {
        self.media.is_memory()
    }
    fn stored(&self, offset_bytes: u64, len_bytes: u64) -> Option<Stored<'_>> {
        self.media.stored(offset_bytes, len_bytes)
    }
}

/// A RAID 6 whose first member is missing if `degraded`, over a socket: what was read of it, and how much of that into memory first.
fn read_over_a_socket(degraded: bool, at: u64, len: usize) -> (Vec<u8>, u64) {
    let (array, name) = (Uuid(*b"sent as it lies."), Name([0; 32]));
    let level = Level::Raid6(Raid6Layout::LeftSymmetric);
    let (version, chunk, member_bytes) = (Version::V1_2, Sectors(128), MEMBER_BYTES);
    let plan = Plan { version, level, members: MEMBERS, chunk, member_bytes, array, name };
    let members: Vec<_> = (0..MEMBERS).map(|slot| (slot, file_in_memory())).collect();
    for (slot, (file, path)) in &members {
        file.set_len(MEMBER_BYTES).unwrap();
        let member = RawFile::<Writable>::open_mut(path).unwrap();
        plan.make(*slot, &member, &|at: Sector| pattern::sectors(at.0, 1).try_into().unwrap()).unwrap();
    }
    let found = members.iter().skip(usize::from(degraded)).map(|(slot, (_, path))| {
        let opened = open(&MediaSpec::path(path), &Options::default()).unwrap();
        Found::inspect(&format!("member {slot}"), opened.media).unwrap()
    });
    let media = Array::open(found.collect(), &OpenOptions::default()).unwrap();
    let read_bytes = Arc::new(AtomicU64::new(0));
    let folder = tempfile::tempdir().unwrap();
    let counted = Counted { media, read_bytes: Arc::clone(&read_bytes) };
    let (running, client) = serve_at(folder.path(), Arc::new(counted));
    let mut bytes = vec![0; len];
    client.read_at(at, &mut bytes).unwrap();
    running.stop();
    (bytes, read_bytes.load(Ordering::Relaxed))
}

#[test]
fn a_long_read_of_a_healthy_array_copies_nothing() {
    for (at, len) in [(0, 1 << 20), (3 * 512, 200 << 10), (777, 300_001)] {
        let (bytes, read) = read_over_a_socket(false, at, len);
        let wanted = pattern::sectors(at / 512, len / 512 + 2);
        assert!(bytes == wanted[usize::try_from(at % 512).unwrap()..][..len], "{len} bytes at {at}");
        assert_eq!(read, 0, "{len} bytes at {at}");
    }
}

#[test]
fn what_parity_must_give_is_read_and_short_reads_are() {
    let (bytes, read) = read_over_a_socket(true, 0, 1 << 20);
    assert!(bytes == pattern::sectors(0, 2048));
    assert_eq!(read, 1 << 20);
    let (bytes, read) = read_over_a_socket(false, 0, 4096);
    assert!(bytes == pattern::sectors(0, 8));
    assert_eq!(read, 4096);
}

const SECTORS: usize = 2048;

/// A member whose file was cut off while it was served. Beyond `lost_from` no other copy has what is wanted either.
struct CutOff {
    file: RawFile,
    lost_from: u64,
}

impl Media for CutOff {
    fn size_bytes(&self) -> u64 {
        (SECTORS * 512) as u64
    }
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset_bytes + buf.len() as u64 > self.lost_from {
            return Err(io::Error::other("no copy is left"));
        }
        let (from, bytes) = (usize::try_from(offset_bytes).unwrap(), pattern::sectors(0, SECTORS));
        buf.copy_from_slice(&bytes[from..from + buf.len()]);
        Ok(())
    }
    fn describe(&self) -> String {
        "cut off".into()
    }
    fn is_memory(&self) -> bool {
        true
    }
    fn stored(&self, offset_bytes: u64, len_bytes: u64) -> Option<Stored<'_>> {
        self.file.stored(offset_bytes, len_bytes)
    }
}

#[test]
fn a_member_that_is_cut_off_costs_an_error_and_not_a_wrong_byte() {
    let (file, path) = file_in_memory();
    std::fs::write(&path, pattern::sectors(0, SECTORS)).unwrap();
    let member = RawFile::open(&path).unwrap();
    file.set_len(300 << 10).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (running, client) = serve_at(folder.path(), Arc::new(CutOff { file: member, lost_from: 800 << 10 }));
    let mut bytes = vec![0; 512 << 10];
    client.read_at(100 << 10, &mut bytes).unwrap();
    assert!(bytes == pattern::sectors(200, 1024), "what another copy has comes from there");
    let error = client.read_at(512 << 10, &mut bytes).unwrap_err();
    assert!(error.to_string().contains("no copy is left"), "{error}");
    client.read_at(0, &mut bytes).unwrap();
    assert!(bytes == pattern::sectors(0, 1024), "the connection goes on");
    running.stop();
}
