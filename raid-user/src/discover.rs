//! From paths to members: opens media, looks for superblocks, follows directories and partitions.
//!
//! Nothing is judged here beyond one medium: which record of a medium to believe is said by `raid_formats::probe`, who
//! of an array's members is current by `raid_formats::assemble`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use raid_formats::assemble::{Claimant, same_array};
use raid_formats::md::{self, Superblock};
use raid_formats::record::{Record, Role};
use raid_formats::source::Source;

use crate::media::{self, Media, SharedMedia};

/// A medium seen as a source of metadata.
pub struct MediaSource<'a>(pub &'a dyn Media);

impl Source for MediaSource<'_> {
    type Error = std::io::Error;

    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn block_bytes(&self) -> u32 {
        self.0.block_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read_at(offset_bytes, buf)
    }
}
