//! Linear: members one behind the other, in slot order.
//!
//! Each gives its data rounded down to the chunk, if there is one (`drivers/md/md-linear.c`).

use core::fmt;

use super::{ConfigError, Content, Place, sizes, too_big};
use crate::config::ArrayConfig;
use crate::units::{MEMBERS_MAX, Member, Sector, Sectors, StripeNo};

/// Where each member's part of the array ends.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Linear {
    members: u16,
    /// Array sector behind each member's part; zero past the last slot.
    ends: [u64; MEMBERS_MAX],
}

/// Only the slots that there are.
impl fmt::Debug for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linear").field("ends", &self.ends()).finish()
    }
}

impl Linear {
    /// Of members whose [`size`](Self::size) is right.
    pub(super) fn new(config: &ArrayConfig<'_>) -> Self {
        let mut end: u64 = 0;
        let mut ends = [0; MEMBERS_MAX];
        for (entry, size) in ends.iter_mut().zip(sizes(config)) {
            end = end.saturating_add(size.floor_to(config.chunk).0);
            *entry = end;
        }
        Self { members: config.members, ends }
    }

    /// What all give together.
    pub(super) fn size(config: &ArrayConfig<'_>) -> Result<Sectors, ConfigError> {
        let add = |end: u64, size: Sectors| end.checked_add(size.floor_to(config.chunk).0);
        let end = sizes(config).try_fold(0, add).ok_or_else(|| too_big(config))?;
        if end == 0 {
            return Err(ConfigError::TooSmall {
                found: sizes(config).max().unwrap_or_default(),
                least: config.chunk.max(Sectors(1)),
            });
        }
        Ok(Sectors(end))
    }

    fn ends(&self) -> &[u64] {
        self.ends.get(..usize::from(self.members)).unwrap_or(&self.ends)
    }

    fn start(&self, slot: usize) -> u64 {
        slot.checked_sub(1).and_then(|before| self.ends().get(before)).copied().unwrap_or(0)
    }

    pub(super) fn member_size(&self, member: Member) -> Sectors {
        let slot = usize::from(member.0);
        Sectors(self.ends().get(slot).map_or(0, |end| end.saturating_sub(self.start(slot))))
    }

    pub(super) fn map(&self, at: Sector) -> Option<Place> {
        let slot = self.ends().partition_point(|end| *end <= at.0);
        let run = self.ends().get(slot)?.checked_sub(at.0)?;
        let member_at = at.0.checked_sub(self.start(slot))?;
        Some(Place {
            member: Member(u8::try_from(slot).ok()?),
            at: Sector(member_at),
            run: Sectors(run),
            stripe: StripeNo(0),
        })
    }

    pub(super) fn unmap(&self, member: Member, at: Sector) -> Content {
        Content::Data(Sector(self.start(usize::from(member.0)).saturating_add(at.0)))
    }
}
