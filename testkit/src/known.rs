//! What is known of an array's content while it is written to by many, and may be killed: every sector has a number that grows with
//! each write to it, and is full of that number and its own. So what reads back says how old it is.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What is known of each sector.
#[derive(Debug)]
pub struct Known {
    /// The newest number that was sent.
    sent: Vec<AtomicU32>,
    /// The newest that was acknowledged.
    acked: Vec<AtomicU32>,
    /// The newest that was acknowledged before a flush that was acknowledged.
    flushed: Vec<AtomicU32>,
    /// Writes that were acknowledged.
    pub writes: AtomicU64,
    /// Flushes that were acknowledged.
    pub flushes: AtomicU64,
}

fn numbers(len: usize) -> Vec<AtomicU32> {
    (0..len).map(|_| AtomicU32::new(0)).collect()
}

impl Known {
    /// So many sectors of zeros.
    #[must_use]
    pub fn new(sectors: usize) -> Self {
        let [sent, acked, flushed] = [(); 3].map(|()| numbers(sectors));
        Self { sent, acked, flushed, writes: AtomicU64::new(0), flushes: AtomicU64::new(0) }
    }

    /// How many sectors there are.
    #[must_use]
    pub fn sectors(&self) -> u64 {
        self.sent.len() as u64
    }

    /// A sector as the write with that number leaves it; zeros before the first.
    fn sector(at: u64, number: u32) -> [u8; 512] {
        let word = if number == 0 { 0 } else { at << 32 | u64::from(number) };
        let mut bytes = [0; 512];
        bytes.as_chunks_mut::<8>().0.iter_mut().for_each(|place| *place = word.to_le_bytes());
        bytes
    }

    /// Writes so many sectors by `write`, which takes a byte offset; they are acknowledged if it succeeds. Nobody else may write
    /// to them meanwhile.
    ///
    /// # Errors
    /// What `write` says.
    ///
    /// # Panics
    /// If there are no such sectors.
    pub fn write(&self, at: u64, len: u64, write: impl FnOnce(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let next = |sector: u64| self.sent[index(sector)].fetch_add(1, Ordering::SeqCst) + 1;
        let bytes: Vec<u8> = (at..at + len).flat_map(|sector| Self::sector(sector, next(sector))).collect();
        write(at * 512, &bytes)?;
        for sector in at..at + len {
            let number = self.sent[index(sector)].load(Ordering::SeqCst);
            self.acked[index(sector)].store(number, Ordering::SeqCst);
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Flushes by `flush`, which covers whatever anybody had acknowledged before.
    ///
    /// # Errors
    /// What `flush` says.
    pub fn flush(&self, flush: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let before: Vec<u32> = self.acked.iter().map(|number| number.load(Ordering::SeqCst)).collect();
        flush()?;
        for (flushed, before) in self.flushed.iter().zip(before) {
            flushed.fetch_max(before, Ordering::SeqCst);
        }
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Holds the content against what is known; from now on, what was read is what must be there. `when` is for the message.
    ///
    /// # Panics
    /// If a sector is older than what was flushed, newer than what was sent, torn, or another's; if the length is another.
    pub fn check(&self, content: &[u8], when: &str) {
        assert_eq!(content.len(), self.sent.len() * 512, "{when}");
        for (at, bytes) in content.as_chunks::<512>().0.iter().enumerate() {
            let word = u64::from_le_bytes(bytes.as_chunks::<8>().0[0]);
            let number = u32::try_from(word & u64::from(u32::MAX)).expect("masked");
            assert!(*bytes == Self::sector(at as u64, number), "{when}: sector {at} is torn or another's: {word:x}");
            let (oldest, newest) = (self.flushed[at].load(Ordering::SeqCst), self.sent[at].load(Ordering::SeqCst));
            let within = (oldest..=newest).contains(&number);
            assert!(within, "{when}: sector {at} has write {number}; {oldest} was flushed, {newest} was sent");
            for known in [&self.sent, &self.acked, &self.flushed] {
                known[at].store(number, Ordering::SeqCst);
            }
        }
    }
}

fn index(sector: u64) -> usize {
    usize::try_from(sector).expect("test arrays fit memory")
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn what_was_flushed_must_be_there_and_what_was_only_sent_may_be() {
        let known = Known::new(4);
        let zeros = vec![0; 4 * 512];
        let mut disk = zeros.clone();
        let put = |disk: &mut Vec<u8>, at: u64, bytes: &[u8]| {
            disk[index(at)..index(at) + bytes.len()].copy_from_slice(bytes);
            Ok(())
        };
        known.write(1, 2, |at, bytes| put(&mut disk, at, bytes)).unwrap();
        let lost = known.write(3, 1, |_, _| Err(io::Error::other("gone")));
        assert!(lost.is_err());
        let refuses = |known: &Known, disk: &[u8]| catch_unwind(AssertUnwindSafe(|| known.check(disk, "now"))).is_err();
        known.flush(|| Ok(())).unwrap();
        assert!(refuses(&known, &zeros), "flushed, and not there");
        let mut torn = disk.clone();
        torn[600] ^= 1;
        assert!(refuses(&known, &torn));
        known.check(&disk, "whole");
        let mut swapped = disk.clone();
        swapped.copy_within(512..1024, 1024);
        assert!(refuses(&known, &swapped), "another sector's bytes");
    }
}
