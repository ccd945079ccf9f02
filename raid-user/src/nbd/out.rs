//! Replies to be sent together, in memory that is kept from one batch to the next and zeroed once only. What stands in a file as it is
//! to be sent is not copied here: its place is noted.

use std::io;

/// Replies are sent together up to here.
const BATCH_BYTES: usize = 128 << 10;
/// Long replies that are sent together: the end of one with the head of the next.
const BATCH_STRAIGHT: usize = 4;
/// Memory beyond this is given back when all is sent.
const KEPT_BYTES: usize = 4 << 20;

/// Bytes of what is served, to be sent straight from where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Straight {
    /// The request that they answer.
    pub(super) cookie: u64,
    pub(super) offset_bytes: u64,
    pub(super) len_bytes: u32,
}

/// What is sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Bytes(&'a [u8]),
    Straight(Straight),
}

/// Bytes to be sent.
#[derive(Debug, Default)]
pub struct Out {
    bytes: Vec<u8>,
    len: usize,
    /// What is not among the bytes, each with how many bytes go before.
    straight: Vec<(usize, Straight)>,
}

impl Out {
    /// Appends bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// Appends `len` bytes of any content, which the caller changes to what they shall be.
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        let start = self.len;
        self.len += len;
        if self.bytes.len() < self.len {
            self.bytes.resize(self.len, 0);
        }
        &mut self.bytes[start..self.len]
    }

    /// Appends bytes that are not to be copied.
    pub(super) fn put_straight(&mut self, straight: Straight) {
        self.straight.push((self.len, straight));
    }

    /// Bytes in memory so far.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// True if they are enough to be sent, though more might come: bytes that are not copied take no room, but somebody waits for them.
    pub(super) fn is_enough(&self) -> bool {
        self.len >= BATCH_BYTES || self.straight.len() >= BATCH_STRAIGHT
    }

    /// Takes back what was appended behind the first `len` bytes.
    pub(super) fn cut(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.straight.retain(|(behind, _)| *behind <= len);
    }

    /// What is to be sent from memory.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Has all sent, in order.
    pub(super) fn send(&self, mut send: impl FnMut(Part<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut sent = 0;
        for (behind, straight) in &self.straight {
            send(Part::Bytes(&self.bytes[sent..*behind]))?;
            send(Part::Straight(*straight))?;
            sent = *behind;
        }
        if sent < self.len { send(Part::Bytes(&self.bytes[sent..self.len])) } else { Ok(()) }
    }

    /// All is sent.
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.straight.clear();
        if self.bytes.len() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_or_sent_is_not_sent_again() {
        let mut out = Out::default();
        out.put(b"first");
        let len = out.len();
        out.room(3).copy_from_slice(b"bad");
        out.cut(len);
        out.put(b"!");
        assert_eq!(out.bytes(), b"first!");
        out.clear();
        assert!(out.bytes().is_empty());
        out.room(KEPT_BYTES + 1);
        out.clear();
        out.put(b"x");
        assert_eq!((out.bytes(), out.bytes.len()), (&b"x"[..], 1));
    }

    #[test]
    fn what_is_not_copied_is_sent_in_its_place() {
        let straight = |cookie| Straight { cookie, offset_bytes: 512, len_bytes: 4096 };
        let mut out = Out::default();
        out.put(b"head");
        out.put_straight(straight(1));
        let len = out.len();
        out.put(b"no");
        out.put_straight(straight(2));
        out.cut(len);
        out.put(b"tail");
        let sent = |out: &Out| {
            let mut sent = Vec::new();
            out.send(|part| {
                sent.push(match part {
                    Part::Bytes(bytes) => Ok(bytes.to_vec()),
                    Part::Straight(straight) => Err(straight),
                });
                Ok(())
            })
            .unwrap();
            sent
        };
        assert_eq!(sent(&out), [Ok(b"head".to_vec()), Err(straight(1)), Ok(b"tail".to_vec())]);
        out.clear();
        assert_eq!(sent(&out), []);
    }
}
