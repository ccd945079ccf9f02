//! A store that writes nothing down: for whoever tries the engine, and for arrays that end with the process.

use std::io;

use raid_core::health::{Health, HealthError};
use raid_core::rows::{RowNo, Rows};
use raid_core::{Member, Sector};

use super::start::{Slot, Start, Stopped, Store};
use crate::media::SharedMediaMut;

/// Knows where data begin, on every member alike.
struct Forgets {
    data_at: Sector,
}

impl Store for Forgets {
    fn write_log(&self, _: Member, _: u32, _: &[u64]) -> io::Result<()> {
        Ok(())
    }

    fn write_health(&self, _: Member, _: &Health) -> io::Result<()> {
        Ok(())
    }

    fn admit(&self, _: Member, media: SharedMediaMut) -> io::Result<Slot> {
        Ok(Slot { media: Some(media), data_at: self.data_at })
    }

    fn release(&self, _: Member) -> bool {
        true
    }

    fn stop(&self, _: &Health, _: Stopped) -> io::Result<()> {
        Ok(())
    }
}

impl Start {
    /// An array of these members, of which nothing is remembered: who is there is in sync, nothing is in doubt, and a page of the log is
    /// one word. New members have their data where the first has them.
    ///
    /// # Errors
    /// An array of no members, or of more than there can be.
    pub fn forgetful(rows: Rows, slots: Vec<Slot>, region_rows: u64) -> Result<Self, HealthError> {
        let there = (0..=u8::MAX).map(Member).zip(&slots).filter(|(_, slot)| slot.media.is_some());
        let there = there.map(|(member, _)| member).collect();
        let health = Health::of(u16::try_from(slots.len()).unwrap_or(u16::MAX), there)?;
        let data_at = slots.first().map_or(Sector(0), |slot| slot.data_at);
        let (doubt, marked, doubt_from) = (Vec::new(), Vec::new(), RowNo(0));
        let store = Box::new(Forgets { data_at });
        Ok(Self { rows, health, slots, region_rows, log_page_words: 1, doubt, marked, doubt_from, store })
    }
}
