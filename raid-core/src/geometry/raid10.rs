//! RAID 10: every chunk in `near × far` copies, any number of members.
//!
//! Near copies lie side by side and wrap to the next row. Far copies repeat the whole pattern a stride further down,
//! shifted by `near` members within a set; with `offset` the stride is one row. Source: `drivers/md/raid10.c`,
//! `setup_geo`, `__raid10_find_phys`, `raid10_find_virt`; the historic set sizes of bit 17 are as that file has them.
//! Where its formulas put two chunks in one place, the layout is refused: whatever such an array holds, it is not what
//! was written.
//!
//! ```text
//! near 2, 3 members    far 2, 3 members     offset 2, 3 members
//!   0 0 1                0 1 2                0 1 2
//!   1 2 2                3 4 5                2 0 1
//!   3 3 4                ... stride           3 4 5
//!                        2 0 1                5 3 4
//!                        5 3 4
//! ```

use super::{ConfigError, Content, Place, paged_chunk_of, smallest, too_big};
use crate::config::{ArrayConfig, FarSets, Raid10Layout};
use crate::units::{Columns, Member, Sector, Sectors, StripeNo};

/// A validated RAID 10.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copies {
    members: u64,
    near: u64,
    far: u64,
    chunk: u64,
    /// Chunks of each member in use.
    used: u64,
    /// Rows between two far copies of a chunk.
    stride: u64,
    offset: bool,
    /// Members of a far set; the last set takes in what is left over.
    set: u64,
    /// Chunks of the array.
    chunks: u64,
}

/// True if `__raid10_find_phys` lets two chunks share a place. It does so in two ways.
///
/// With `offset`, a near copy that wraps goes one row down, onto the far copies, and not to the next group of rows. And a far
/// step of more than one member out of the last set but one can end in the last, if that one is wider than the others.
fn run_into_each_other(layout: Raid10Layout, members: u64, set: u64) -> bool {
    let (near, far) = (u64::from(layout.near), u64::from(layout.far));
    let wraps = layout.offset && !members.is_multiple_of(near);
    let sets = members.checked_div(set).unwrap_or(0);
    let uneven = sets > 1 && !members.is_multiple_of(set);
    near > 1 && far > 1 && (wraps || uneven)
}

impl Copies {
    pub(super) fn new(config: &ArrayConfig<'_>, layout: Raid10Layout) -> Result<(Self, Sectors), ConfigError> {
        let chunk = paged_chunk_of(config)?;
        let too_big = || too_big(config);
        let (near, far) = (u64::from(layout.near), u64::from(layout.far));
        let members = u64::from(config.members);
        let bad = ConfigError::Copies { near: layout.near, far: layout.far, members: config.members };
        let copies = near.checked_mul(far).filter(|copies| (2..=members).contains(copies)).ok_or(bad)?;
        let set = match layout.sets {
            FarSets::All => members,
            FarSets::ByCount => members.checked_div(far).unwrap_or(0),
            FarSets::ByCopies => copies,
        };
        if run_into_each_other(layout, members, set) {
            return Err(ConfigError::CopiesOverlap { near: layout.near, far: layout.far, members: config.members });
        }
        let least = chunk.checked_mul(far).ok_or_else(too_big)?;
        let rows = smallest(config, Sectors(least))?.0.checked_div(least).unwrap_or(0);
        let chunks = rows.checked_mul(members).ok_or_else(too_big)?.checked_div(near).unwrap_or(0);
        let placed = chunks.checked_mul(copies).ok_or_else(too_big)?;
        let used = placed.div_ceil(members);
        let stride = if layout.offset { 1 } else { used.checked_div(far).unwrap_or(0) };
        let copies = Self { members, near, far, chunk, used, stride, offset: layout.offset, set, chunks };
        Ok((copies, Sectors(chunks.checked_mul(chunk).ok_or_else(too_big)?)))
    }

    pub(super) fn count(&self) -> u16 {
        u16::try_from(self.near.saturating_mul(self.far)).unwrap_or(u16::MAX)
    }

    pub(super) fn member_size(&self) -> Sectors {
        Sectors(self.used.saturating_mul(self.chunk))
    }

    /// One step of `near` members within the far set, forwards.
    fn step(&self, member: u64) -> Option<u64> {
        let (start, width) = self.set_of(member)?;
        let within = member.checked_sub(start)?.checked_add(self.near)?;
        start.checked_add(within.checked_rem(width)?)
    }

    /// One step back.
    fn step_back(&self, member: u64) -> Option<u64> {
        let (start, width) = self.set_of(member)?;
        let within = member.checked_sub(start)?.checked_add(width)?.checked_sub(self.near.checked_rem(width)?)?;
        start.checked_add(within.checked_rem(width)?)
    }

    /// First member and width of the far set. Members that are left over belong to the last whole set.
    fn set_of(&self, member: u64) -> Option<(u64, u64)> {
        let rest = self.members.checked_rem(self.set)?;
        let last = self.members.checked_div(self.set)?.checked_sub(1)?.checked_mul(self.set)?;
        if rest != 0 && member >= last {
            return Some((last, self.set.checked_add(rest)?));
        }
        Some((member.checked_div(self.set)?.checked_mul(self.set)?, self.set))
    }

    /// Copy `copy` of the array sector `at`: near copies first, then the next far one.
    pub(super) fn map(&self, at: Sector, copy: u16) -> Option<Place> {
        let (number, within) = (at.0.checked_div(self.chunk)?, at.0.checked_rem(self.chunk)?);
        if number >= self.chunks {
            return None;
        }
        let copy = u64::from(copy);
        let (far, near) = (copy.checked_div(self.near)?, copy.checked_rem(self.near)?);
        let turn = number.checked_mul(self.near)?.checked_add(near)?;
        let mut member = turn.checked_rem(self.members)?;
        for _ in 0..far {
            member = self.step(member)?;
        }
        // A copy that wraps to the next row still belongs to the stripe that its chunk starts in.
        let height = if self.offset { self.far } else { 1 };
        let row = turn.checked_div(self.members)?.checked_mul(height)?.checked_add(far.checked_mul(self.stride)?)?;
        let first_row = number.checked_mul(self.near)?.checked_div(self.members)?.checked_mul(height)?;
        Some(Place {
            member: Member(u8::try_from(member).ok()?),
            at: Sector(row.checked_mul(self.chunk)?.checked_add(within)?),
            run: Sectors(self.chunk.checked_sub(within)?),
            stripe: StripeNo(first_row),
        })
    }

    pub(super) fn unmap(&self, member: Member, at: Sector) -> Content {
        self.array_sector(member, at).map_or(Content::Unused, Content::Data)
    }

    fn array_sector(&self, member: Member, at: Sector) -> Option<Sector> {
        let (row, within) = (at.0.checked_div(self.chunk)?, at.0.checked_rem(self.chunk)?);
        let (far, row) = if self.offset {
            (row.checked_rem(self.far)?, row.checked_div(self.far)?)
        } else {
            (row.checked_div(self.stride)?, row.checked_rem(self.stride)?)
        };
        if far >= self.far {
            return None;
        }
        let mut member = u64::from(member.0);
        for _ in 0..far {
            member = self.step_back(member)?;
        }
        let number = row.checked_mul(self.members)?.checked_add(member)?.checked_div(self.near)?;
        (number < self.chunks).then_some(())?;
        Some(Sector(number.checked_mul(self.chunk)?.checked_add(within)?))
    }

    /// True if no chunk has all its copies on missing members. The pattern of a row repeats after `members` chunks.
    pub(super) fn survives(&self, missing: Columns) -> bool {
        (0..self.members.min(self.chunks)).all(|number| {
            let at = Sector(number.saturating_mul(self.chunk));
            (0..self.count()).any(|copy| self.map(at, copy).is_some_and(|place| !missing.contains(place.member)))
        })
    }
}
