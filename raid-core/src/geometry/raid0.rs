//! RAID 0: striping in zones, one for each different size of the members.
//!
//! Zone k spans the rows that every member larger than the zone before still has. Its chunks go round those members in
//! slot order. Where a zone's first chunk lands is what the two layouts disagree about (`drivers/md/raid0.c`,
//! `create_strip_zones` and `find_zone`): by the number of the chunk in the array (original), or in the zone
//! (alternate).
//!
//! ```text
//! sizes in chunks 3, 1, 2        zone 0: 0 1 2 | zone 1: 0 . 2 | zone 2: 0 . .
//! ```

use core::fmt;

use super::{ConfigError, Content, Place, chunk_of, sizes, too_big};
use crate::config::{ArrayConfig, Raid0Layout};
use crate::units::{MEMBERS_MAX, Member, Sector, Sectors, StripeNo};

/// Member sizes in whole chunks; zones follow from them.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Zones {
    chunk: u64,
    members: u16,
    /// Chunks of each slot, zero past the last.
    chunks: [u64; MEMBERS_MAX],
    by_zone: bool,
}

/// Only the slots that there are.
impl fmt::Debug for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chunk, by_zone, .. } = self;
        let chunks = self.slots();
        f.debug_struct("Zones").field("chunk", chunk).field("by_zone", by_zone).field("chunks", &chunks).finish()
    }
}

/// One zone: rows `from..to`, in chunks of its members.
#[derive(Clone, Copy, Debug)]
struct Zone {
    from: u64,
    to: u64,
    width: u64,
    /// Chunks of the array in front of it.
    before: u64,
}

impl Zone {
    fn chunks(&self) -> u64 {
        self.to.saturating_sub(self.from).saturating_mul(self.width)
    }
}

impl Zones {
    /// Of members whose [`size`](Self::size) is right.
    pub(super) fn new(config: &ArrayConfig<'_>, layout: Raid0Layout) -> Self {
        let mut chunks = [0; MEMBERS_MAX];
        chunks.iter_mut().zip(in_chunks(config)).for_each(|(entry, found)| *entry = found);
        let by_zone = layout == Raid0Layout::Alternate;
        Self { chunk: config.chunk.0, members: config.members, chunks, by_zone }
    }

    /// What all give together.
    pub(super) fn size(config: &ArrayConfig<'_>, layout: Raid0Layout) -> Result<Sectors, ConfigError> {
        let chunk = chunk_of(config)?;
        if let Some((found, _)) = sizes(config).zip(in_chunks(config)).find(|(_, chunks)| *chunks == 0) {
            return Err(ConfigError::TooSmall { found, least: config.chunk });
        }
        let total = in_chunks(config).try_fold(0, u64::checked_add).and_then(|total| total.checked_mul(chunk));
        let total = total.ok_or_else(|| too_big(config))?;
        if layout == Raid0Layout::Unstated && layouts_differ(in_chunks(config)) {
            let whole = |size: Option<Sectors>| size.unwrap_or_default().floor_to(config.chunk);
            let (smallest, largest) = (whole(sizes(config).min()), whole(sizes(config).max()));
            return Err(ConfigError::Raid0LayoutUnstated { smallest, largest });
        }
        Ok(Sectors(total))
    }

    /// Chunks of the slots that there are.
    fn slots(&self) -> &[u64] {
        self.chunks.get(..usize::from(self.members)).unwrap_or(&self.chunks)
    }

    fn zones(&self) -> impl Iterator<Item = Zone> + '_ {
        zones(self.slots().iter().copied())
    }

    /// The `index`th slot of those that reach past `from`.
    fn slot(&self, from: u64, index: u64) -> Option<Member> {
        if from == 0 {
            return Some(Member(u8::try_from(index).ok()?));
        }
        let mut reaching = self.slots().iter().zip(0..).filter(|(size, _)| **size > from);
        reaching.nth(usize::try_from(index).ok()?).map(|(_, slot)| Member(slot))
    }

    pub(super) fn member_size(&self, member: Member) -> Sectors {
        let chunks = self.chunks.get(usize::from(member.0)).copied().unwrap_or(0);
        Sectors(chunks.saturating_mul(self.chunk))
    }

    pub(super) fn map(&self, at: Sector) -> Option<Place> {
        let (number, within) = (at.0.checked_div(self.chunk)?, at.0.checked_rem(self.chunk)?);
        let zone = self.zones().find(|zone| number < zone.before.saturating_add(zone.chunks()))?;
        let in_zone = number.checked_sub(zone.before)?;
        let turn = if self.by_zone { in_zone } else { number };
        let row = zone.from.checked_add(in_zone.checked_div(zone.width)?)?;
        Some(Place {
            member: self.slot(zone.from, turn.checked_rem(zone.width)?)?,
            at: Sector(row.checked_mul(self.chunk)?.checked_add(within)?),
            run: Sectors(self.chunk.checked_sub(within)?),
            stripe: StripeNo(row),
        })
    }

    pub(super) fn unmap(&self, member: Member, at: Sector) -> Content {
        self.array_sector(member, at).map_or(Content::Unused, Content::Data)
    }

    fn array_sector(&self, member: Member, at: Sector) -> Option<Sector> {
        let (row, within) = (at.0.checked_div(self.chunk)?, at.0.checked_rem(self.chunk)?);
        let zone = self.zones().find(|zone| row < zone.to)?;
        let earlier = self.chunks.iter().take(usize::from(member.0)).filter(|size| **size > zone.from);
        let index = u64::try_from(earlier.count()).ok()?;
        let first = zone.before.checked_add(row.checked_sub(zone.from)?.checked_mul(zone.width)?)?;
        // The row's first chunk lands on `turn`; count on from there round to this member.
        let turn = if self.by_zone { 0 } else { first.checked_rem(zone.width)? };
        let steps = index.checked_add(zone.width)?.checked_sub(turn)?.checked_rem(zone.width)?;
        let number = first.checked_add(steps)?;
        Some(Sector(number.checked_mul(self.chunk)?.checked_add(within)?))
    }
}

/// What each slot gives, in chunks.
fn in_chunks<'a>(config: &ArrayConfig<'a>) -> impl Iterator<Item = u64> + Clone + use<'a> {
    let chunk = config.chunk.0;
    sizes(config).map(move |size| size.0.checked_div(chunk).unwrap_or(0))
}

/// The zones in order. As many as there are different sizes, at most 255.
fn zones(slots: impl Iterator<Item = u64> + Clone) -> impl Iterator<Item = Zone> {
    let mut last = Zone { from: 0, to: 0, width: 0, before: 0 };
    core::iter::from_fn(move || {
        let larger = slots.clone().filter(|size| *size > last.to);
        let (to, width) =
            larger.fold((u64::MAX, 0_u64), |(least, count), size| (least.min(size), count.saturating_add(1)));
        let before = last.before.saturating_add(last.chunks());
        last = Zone { from: last.to, to, width, before };
        (width > 0).then_some(last)
    })
}

/// With one zone, or one member in the second, both layouts are the same.
fn layouts_differ(slots: impl Iterator<Item = u64> + Clone) -> bool {
    zones(slots).skip(1).any(|zone| zone.width > 1 && !zone.before.is_multiple_of(zone.width))
}
