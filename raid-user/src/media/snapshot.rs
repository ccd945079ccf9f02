//! A snapshot: chunks of an origin, and in their stead those that a store keeps.

use std::collections::BTreeMap;
use std::io;

use raid_formats::dm::{Store, StoreState, snapshot};

use super::{Media, Run, SharedMedia, check_range, len_of};
use crate::discover::MediaSource;

/// Most exceptions that are kept in memory: 16 GiB in chunks of 4 KiB.
const EXCEPTIONS_MAX: u64 = 1 << 22;

/// An origin seen through a store.
pub struct Snapshot {
    name: String,
    origin: SharedMedia,
    store: SharedMedia,
    chunk_bytes: u64,
    exceptions: BTreeMap<u64, u64>,
}

impl Snapshot {
    /// Reads the store of a snapshot of `origin`.
    ///
    /// # Errors
    /// Why the store cannot be used: it never was, it ran full, or it is damaged.
    pub fn open(name: String, origin: SharedMedia, store: SharedMedia) -> Result<Self, String> {
        let source = MediaSource(store.as_ref());
        let mut head = [0; 512];
        store.read_at(0, &mut head).map_err(|error| format!("the store cannot be read: {error}"))?;
        let header = Store::parse(&head).map_err(|refusal| format!("the store: {refusal}"))?;
        if header.state() == StoreState::Invalid {
            return Err("the store ran full, or was not written in time: what it kept is not whole".into());
        }
        let mut exceptions = BTreeMap::new();
        let mut twice = None;
        let mut many = false;
        snapshot::read_exceptions(&source, &header, |exception| {
            many |= exceptions.len() as u64 >= EXCEPTIONS_MAX;
            if !many && exceptions.insert(exception.old, exception.new).is_some() {
                twice = Some(exception.old);
            }
        })
        .map_err(|fault| format!("the store: {fault}"))?;
        if many {
            return Err(format!("the store keeps more than {EXCEPTIONS_MAX} chunks"));
        }
        if let Some(chunk) = twice {
            return Err(format!("the store keeps chunk {chunk} twice: it is damaged"));
        }
        let chunk_bytes = header.chunk().bytes().unwrap_or(512);
        Ok(Self { name, origin, store, chunk_bytes, exceptions })
    }

    /// Chunks that lie in the store, and bytes of each.
    #[must_use]
    pub fn kept(&self) -> (usize, u64) {
        (self.exceptions.len(), self.chunk_bytes)
    }

    /// Calls `visit` with each part of a range: where it lies, and its bytes.
    fn each(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        mut visit: impl FnMut(&SharedMedia, u64, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        check_range(self.size_bytes(), offset_bytes, len_bytes)?;
        let (mut at, end) = (offset_bytes, offset_bytes + len_bytes);
        while at < end {
            let (chunk, within) = (at / self.chunk_bytes, at % self.chunk_bytes);
            let len = (self.chunk_bytes - within).min(end - at);
            match self.exceptions.get(&chunk) {
                Some(new) => visit(&self.store, new * self.chunk_bytes + within, len)?,
                None => visit(&self.origin, at, len)?,
            }
            at += len;
        }
        Ok(())
    }
}

impl Media for Snapshot {
    fn size_bytes(&self) -> u64 {
        self.origin.size_bytes()
    }

    fn block_bytes(&self) -> u32 {
        self.origin.block_bytes().max(self.store.block_bytes())
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut rest = &mut *buf;
        self.each(offset_bytes, len_of(rest), |media, at, len| {
            let (into, left) = std::mem::take(&mut rest).split_at_mut(usize::try_from(len).unwrap_or(usize::MAX));
            rest = left;
            media.read_at(at, into)
        })
    }

    fn allocation(&self, offset_bytes: u64, len_bytes: u64) -> io::Result<Vec<Run>> {
        let mut runs = Vec::new();
        self.each(offset_bytes, len_bytes, |media, at, len| {
            runs.extend(media.allocation(at, len)?);
            Ok(())
        })?;
        Ok(runs)
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}
