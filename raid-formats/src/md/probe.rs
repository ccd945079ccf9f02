//! Looking for MD on a medium: every place of every version, in a fixed order, with the reason where there is nothing.
//!
//! A medium can carry several superblocks, such as an old 0.90 at the end of one that was made anew as 1.2. All that
//! pass the checks are reported, ranked; which one is meant is not decided here. 0.90 does not say where it lies: a
//! disk and its last partition can both seem to carry the same one, and only a look at both tells.

use crate::{
    md::{Fault, MAGIC, SUPERBLOCK_SECTORS, Superblock, Version, fault, superblock_at},
    source::Source,
};
use core::cmp::Reverse;
use raid_core::{Level, Sector, Sectors};

/// Working space of a probe: a block for each place. The superblocks that are found borrow it.
pub type ProbeBuffer = [[u8; 4096]; 4];

/// How much speaks for a superblock to belong where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// Only that it lies there.
    PlaceOnly,
    /// 0.90: the size it gives for its members fills the room in front of it.
    SizeFits,
    /// 1.x: it says itself that it lies there.
    PlaceStated,
}

/// One place that was looked at.
#[derive(Debug)]
pub struct Find<'b, E> {
    /// The version that has its place there. 0.90 is big-endian only if that magic number stands there.
    pub version: Version,
    /// The place; `None` if the medium is too small to have it.
    pub at: Option<Sector>,
    /// What is there, or why there is nothing.
    pub outcome: Result<Superblock<'b>, Fault<E>>,
}

/// What a probe found: one entry for each place, in the order 1.2, 1.1, 1.0, 0.90.
#[derive(Debug)]
pub struct Probe<'b, E> {
    /// All places.
    pub finds: [Find<'b, E>; 4],
}

impl<'b, E> Probe<'b, E> {
    /// The superblocks that passed the checks, the likeliest first: last updated, then most events, then best
    /// evidence, then in order of places.
    pub fn ranked(&self) -> impl Iterator<Item = Superblock<'b>> {
        let mut ranked = [None; 4];
        for (place, find) in ranked.iter_mut().zip(&self.finds) {
            *place = find.outcome.as_ref().ok().copied();
        }
        let key = |superblock: &Option<Superblock>| {
            superblock.as_ref().map(|superblock| {
                let record = superblock.record();
                let place = Version::ALL.iter().position(|version| version.format() == record.format);
                (record.updated_s, record.events, evidence(superblock), Reverse(place))
            })
        };
        ranked.sort_unstable_by_key(|superblock| Reverse(key(superblock)));
        ranked.into_iter().flatten()
    }

    /// The likeliest superblock.
    #[must_use]
    pub fn best(&self) -> Option<Superblock<'b>> {
        self.ranked().next()
    }
}

/// Looks at all places. Reads 4 KiB at each.
pub fn probe<'b, S: Source>(source: &S, buf: &'b mut ProbeBuffer) -> Probe<'b, S::Error> {
    let [a, b, c, d] = buf;
    Probe {
        finds: [
            look(source, Version::V1_2, a),
            look(source, Version::V1_1, b),
            look(source, Version::V1_0, c),
            look(source, Version::V0Little, d),
        ],
    }
}

fn look<'b, S: Source>(source: &S, version: Version, block: &'b mut [u8; 4096]) -> Find<'b, S::Error> {
    let medium = Sectors::from_bytes_floor(source.size_bytes());
    let at = match superblock_at(version, medium) {
        Ok(at) => at,
        Err(refusal) => return Find { version, at: None, outcome: Err(refusal.into()) },
    };
    if let Err(fault) = fault::read(source, at, block) {
        return Find { version, at: Some(at), outcome: Err(fault) };
    }
    let version = match version {
        Version::V0Little if block.starts_with(&MAGIC.to_be_bytes()) => Version::V0Big,
        _ => version,
    };
    let outcome = Superblock::parse(block, version, medium).map_err(Fault::Refused);
    Find { version, at: Some(at), outcome }
}

/// How much speaks for a superblock to belong where it was found.
#[must_use]
pub fn evidence(superblock: &Superblock) -> Evidence {
    if let Superblock::V1(_) = superblock {
        return Evidence::PlaceStated;
    }
    let record = superblock.record();
    let unused = record.data.len.0.saturating_sub(record.used.0);
    // Members are rounded down to whole chunks, and 0.90 rounds its own place to 64 KiB.
    let rounding = record.shape.chunk.0.max(SUPERBLOCK_SECTORS.0).saturating_add(128);
    match record.shape.level {
        Level::Linear | Level::Raid0(_) => Evidence::PlaceOnly,
        _ if unused <= rounding => Evidence::SizeFits,
        _ => Evidence::PlaceOnly,
    }
}
