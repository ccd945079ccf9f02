//! Replies to be sent together, in memory that is kept from one batch to the next and zeroed once only.

/// Memory beyond this is given back when all is sent.
const KEPT_BYTES: usize = 4 << 20;

/// Bytes to be sent.
#[derive(Debug, Default)]
pub struct Out {
    bytes: Vec<u8>,
    len: usize,
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

    /// Bytes so far.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Takes back what was appended behind the first `len` bytes.
    pub(super) fn cut(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// What is to be sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// All is sent.
    pub(super) fn clear(&mut self) {
        self.len = 0;
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
}
