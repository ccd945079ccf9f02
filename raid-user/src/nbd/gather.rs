//! Writes of one client that follow each other, to be done as one.
//!
//! Whoever writes from one end to the other has several requests in flight, and none of them has all columns of a stripe: done one by
//! one, each makes the array read what it does not replace. Put together up to the end of a stripe, nothing is read.

use std::io;

use super::machine::{Agreed, Request};
use super::out::Out;
use super::reply;
use crate::media::MediaMut;

/// Shorter ones are done by themselves, like other requests.
const FROM_BYTES: u32 = 64 << 10;
/// Not more at a time, however long a stripe is.
const MOST_BYTES: usize = 8 << 20;

/// The writes, and the bytes of all of them.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// Where the first one goes.
    offset_bytes: u64,
    /// Kept from one time to the next, so that it is zeroed once only.
    room: Vec<u8>,
    /// The bytes of `requests` are these of the room.
    from: usize,
    to: usize,
    /// Without their payloads.
    requests: Vec<Request>,
}

impl Gather {
    pub(super) const fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// True if `next` is a write to be put behind the others, or to be the first.
    pub(super) fn takes(&self, next: &Request) -> bool {
        let len = next.len_bytes as usize;
        let whole_sectors = (next.offset_bytes | u64::from(next.len_bytes)).is_multiple_of(512);
        let fits = if self.is_empty() {
            len <= MOST_BYTES
        } else {
            self.to + len <= MOST_BYTES && next.offset_bytes == self.end_bytes()
        };
        next.flags.is_empty() && next.len_bytes >= FROM_BYTES && whole_sectors && fits
    }

    /// True if no more is waited for: a stripe of the array ends here, or there is no room for another like the last.
    pub(super) fn is_whole(&self, stripe_bytes: u64) -> bool {
        let last = self.requests.last().map_or(0, |request| request.len_bytes as usize);
        self.end_bytes().is_multiple_of(stripe_bytes.max(1)) || self.to + last > MOST_BYTES
    }

    fn end_bytes(&self) -> u64 {
        self.offset_bytes + (self.to - self.from) as u64
    }

    /// Makes room for the bytes of `next`, which it [takes](Self::takes).
    pub(super) fn make_room(&mut self, next: &Request) {
        if self.is_empty() {
            (self.from, self.to) = (0, 0);
        }
        let end = self.to + next.len_bytes as usize;
        if self.room.len() < end {
            self.room.resize(end, 0);
        }
    }

    /// That room, of any content; it stays where it is when the others are done meanwhile.
    pub(super) fn room(&mut self, next: &Request) -> &mut [u8] {
        &mut self.room[self.to..self.to + next.len_bytes as usize]
    }

    /// Adds the write for whose bytes there was room made.
    pub(super) fn push(&mut self, request: Request) {
        if self.is_empty() {
            // The others were done while its bytes came.
            (self.offset_bytes, self.from) = (request.offset_bytes, self.to);
        }
        self.to += request.len_bytes as usize;
        self.requests.push(request);
    }

    /// Does them, and appends the answers. Where all together fail, each is tried by itself: what was wrong with one is not said of all.
    pub(super) fn perform(&mut self, media: &dyn MediaMut, agreed: Agreed, out: &mut Out) {
        let (mut at, mut bytes) = (self.offset_bytes, &self.room[self.from..self.to]);
        let together = if self.requests.len() > 1 { Some(media.write_at(at, bytes)) } else { None };
        let all_done = matches!(together, Some(Ok(())));
        for request in self.requests.drain(..) {
            let (own, rest) = bytes.split_at(request.len_bytes as usize);
            let done: io::Result<()> = if all_done { Ok(()) } else { media.write_at(at, own) };
            reply::written(agreed, request.cookie, &done, out);
            (at, bytes) = (at + u64::from(request.len_bytes), rest);
        }
        self.from = self.to;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::sync::{Arc, Mutex};

    use super::super::protocol::option;
    use super::super::tests::{flags, go, opt, request};
    use super::super::{Address, Running, ServeOptions, Target, serve};
    use super::*;
    use crate::media::{Media, MemMedia};

    const PIECE: u32 = FROM_BYTES;
    const STRIPE: u64 = 3 * FROM_BYTES as u64;

    /// Memory that says so, with stripes; notes each write, and fails those that touch one piece.
    struct Striped {
        memory: MemMedia,
        writes: Mutex<Vec<(u64, usize)>>,
        bad_piece: Option<u64>,
    }

    impl Media for Striped {
        fn size_bytes(&self) -> u64 {
            self.memory.size_bytes()
        }
        fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
            self.memory.read_at(offset_bytes, buf)
        }
        fn describe(&self) -> String {
            "striped".into()
        }
        fn is_memory(&self) -> bool {
            true
        }
    }

    impl MediaMut for Striped {
        fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
            let bad = self.bad_piece.map(|piece| piece * u64::from(PIECE));
            if bad.is_some_and(|bad| offset_bytes <= bad && bad < offset_bytes + buf.len() as u64) {
                return Err(io::Error::other("a bad piece"));
            }
            self.writes.lock().unwrap().push((offset_bytes / u64::from(PIECE), buf.len() / PIECE as usize));
            self.memory.write_at(offset_bytes, buf)
        }
        fn stripe_bytes(&self) -> Option<u64> {
            Some(STRIPE)
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
        fn write_zeroes(&self, offset_bytes: u64, len_bytes: u64, may_free: bool) -> io::Result<()> {
            self.memory.write_zeroes(offset_bytes, len_bytes, may_free)
        }
        fn discard(&self, _: u64, _: u64) -> io::Result<()> {
            Ok(())
        }
    }

    struct Scene {
        media: Arc<Striped>,
        client: UnixStream,
        running: Running,
        folder: tempfile::TempDir,
    }

    /// A client past its handshake.
    fn scene(bad_piece: Option<u64>) -> Scene {
        let memory = MemMedia::new("memory", vec![0; 16 * PIECE as usize]);
        let media = Arc::new(Striped { memory, writes: Mutex::default(), bad_piece });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let options = ServeOptions::new(Address::Unix(path.clone()));
        let running = serve(Target::Writable(media.clone()), options).unwrap();
        let mut client = UnixStream::connect(path).unwrap();
        let hello = [flags(), opt(option::STRUCTURED_REPLY, &[]), go("")].concat();
        client.write_all(&hello).unwrap();
        // The greeting, the acknowledgement, the export (12 bytes of it), the last acknowledgement.
        client.read_exact(&mut [0; 18 + 20 + 32 + 20]).unwrap();
        Scene { media, client, running, folder }
    }

    /// A write of a piece, full of its number.
    fn write(piece: u8) -> Vec<u8> {
        let head = request(1, 0, u64::from(piece) * u64::from(PIECE), PIECE);
        [head, vec![piece; PIECE as usize]].concat()
    }

    /// The chunk's kind of the next answer.
    fn answer(client: &mut UnixStream) -> u16 {
        let mut head = [0; 20];
        client.read_exact(&mut head).unwrap();
        let len = u32::from_be_bytes(head[16..].try_into().unwrap());
        client.read_exact(&mut vec![0; len as usize]).unwrap();
        u16::from_be_bytes(head[6..8].try_into().unwrap())
    }

    #[test]
    fn writes_that_follow_each_other_become_stripes() {
        let Scene { media, mut client, running: _running, folder: _folder } = scene(None);
        // A misaligned beginning, a stripe, and one that does not follow.
        let all: Vec<u8> = [2, 3, 4, 5, 9].into_iter().flat_map(write).collect();
        client.write_all(&all).unwrap();
        for _ in 0..5 {
            assert_eq!(answer(&mut client), 0);
        }
        let mut found = vec![0; 16 * PIECE as usize];
        media.read_at(0, &mut found).unwrap();
        let piece = |number: u8| found[usize::from(number) * PIECE as usize..][..PIECE as usize].to_vec();
        for number in 0..16 {
            let wanted = if [2, 3, 4, 5, 9].contains(&number) { number } else { 0 };
            assert!(piece(number).iter().all(|byte| *byte == wanted), "{number}");
        }
        // How many are there when the first is looked at is the scheduler's affair; none crosses a stripe's end.
        let writes = media.writes.lock().unwrap();
        assert!(writes.iter().all(|(first, count)| first % 3 + *count as u64 <= 3), "{writes:?}");
        assert_eq!(writes.iter().map(|(_, count)| count).sum::<usize>(), 5, "{writes:?}");
    }

    #[test]
    fn one_that_fails_is_answered_apart_from_its_neighbours() {
        let Scene { mut client, running: _running, folder: _folder, .. } = scene(Some(4));
        let all: Vec<u8> = [3, 4, 5].into_iter().flat_map(write).collect();
        client.write_all(&all).unwrap();
        let kinds = [answer(&mut client), answer(&mut client), answer(&mut client)];
        assert_eq!(kinds.map(|kind| kind == 0), [true, false, true]);
    }

    /// Who waits for an answer with half of the next request sent would otherwise wait for ever.
    #[test]
    fn a_client_that_stops_in_the_middle_of_the_next_write_is_answered() {
        let Scene { media, mut client, running: _running, folder: _folder } = scene(None);
        let (first, second) = (write(3), write(4));
        let (now, later) = second.split_at(1000);
        client.write_all(&[&first, now].concat()).unwrap();
        assert_eq!(answer(&mut client), 0);
        client.write_all(later).unwrap();
        assert_eq!(answer(&mut client), 0);
        let mut found = vec![0; 2 * PIECE as usize];
        media.read_at(3 * u64::from(PIECE), &mut found).unwrap();
        assert!(found[..PIECE as usize].iter().all(|byte| *byte == 3));
        assert!(found[PIECE as usize..].iter().all(|byte| *byte == 4));
    }

    #[test]
    fn a_write_whose_client_goes_away_is_done() {
        let Scene { media, mut client, running: _running, folder: _folder } = scene(None);
        client.write_all(&write(3)).unwrap();
        drop(client);
        for _ in 0..1000 {
            if !media.writes.lock().unwrap().is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("not done in ten seconds");
    }

    #[test]
    fn what_is_taken_fits_and_follows() {
        let write = |offset_bytes, len_bytes| Request {
            command: super::super::protocol::Command::Write,
            flags: super::super::protocol::CommandFlags::empty(),
            cookie: 0,
            offset_bytes,
            len_bytes,
            payload: Vec::new(),
        };
        let mut gather = Gather::default();
        let most = u32::try_from(MOST_BYTES).unwrap();
        assert!(!gather.takes(&write(0, FROM_BYTES - 512)), "a short one");
        assert!(!gather.takes(&write(1, FROM_BYTES)), "part of a sector");
        assert!(!gather.takes(&write(0, most + 512)), "a long one");
        let first = write(512, most - FROM_BYTES);
        assert!(gather.takes(&first));
        gather.make_room(&first);
        gather.push(first);
        assert!(gather.is_whole(STRIPE), "there is no room for another as long");
        let follows = 512 + u64::from(most - FROM_BYTES);
        assert!(gather.takes(&write(follows, FROM_BYTES)));
        assert!(!gather.takes(&write(follows, FROM_BYTES + 512)), "no room");
        assert!(!gather.takes(&write(follows + 512, FROM_BYTES)), "a gap");
    }
}
