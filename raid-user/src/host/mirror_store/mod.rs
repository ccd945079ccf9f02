//! dm-mirror's disk log under a running mirror, as LVM's `mirror` volumes have it: one device with a bit for each region, beside the legs.
//!
//! | the engine says | the log |
//! |---|---|
//! | a page of the log, to the first leg | its sector of bits, the other way round: set is "the legs agree" |
//! | the members' states | nothing, as long as the first leg is there: what the others lack is where bits stay clear |
//! | a leg is filled that nobody knows of | all bits clear until it is in sync |
//! | stopped, clean, nobody missing | all bits set |
//!
//! At the start Linux copies the first leg over the others wherever a bit is clear, and nothing on disk can tell it not to. So the log is
//! the first leg's: without that, nothing more could be remembered, and no write is acknowledged. And so the others are not read in such
//! regions before they were copied: they come as members that are caught up.

mod start;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raid_core::health::{Health, State};
use raid_core::{Columns, Member, SECTOR_BYTES, Sector};
use raid_formats::dm::mirror::{self, BITS_AT_BYTES};

use super::start::{Slot, Stopped, Store};
use crate::media::SharedMediaMut;

pub use start::{Mirror, mirror_start};

/// Bytes of a sector.
const BLOCK_BYTES: usize = 512;
/// Words of 64 regions in a sector of bits.
const PAGE_WORDS: usize = BLOCK_BYTES / size_of::<u64>();
/// The leg that counts where legs disagree.
const FIRST: Member = Member(0);
/// Why it is not thrown out.
const VITAL: &str = "it is the mirror's first leg, which dm-mirror believes wherever legs disagree: when it came back, it would be copied \
     over what was written without it";

/// The store of one running mirror.
pub(super) struct MirrorStore {
    shared: Mutex<Shared>,
    legs: Vec<Option<Leg>>,
}

struct Shared {
    log: Option<Log>,
    /// Which regions the engine says may disagree.
    marked: Vec<u64>,
    health: Health,
    /// Legs that are filled from the start, or were: what they hold is not told by any bit.
    spoilt: Columns,
}

/// The device with the log.
struct Log {
    media: SharedMediaMut,
    regions: u64,
    header: [u8; BLOCK_BYTES],
    /// The sectors of bits as they stand there; none if that is not known.
    there: Vec<Option<[u8; BLOCK_BYTES]>>,
    /// All of it is as it should be. The header may say of fewer regions than there are that they have a bit, and then the bits of the
    /// others go before it.
    whole: bool,
}

impl Log {
    /// Lets the sectors of bits in `pages` say this. Only what differs is written.
    fn say(&mut self, pages: std::ops::Range<usize>, page: impl Fn(usize) -> [u8; BLOCK_BYTES]) -> io::Result<()> {
        let mut wrote = false;
        let whole = std::mem::take(&mut self.whole);
        for index in pages {
            let Some(there) = self.there.get_mut(index) else { continue };
            let new = page(index);
            if there.replace(new) != Some(new) {
                let at = BITS_AT_BYTES.saturating_add((index as u64).saturating_mul(SECTOR_BYTES));
                wrote = true;
                if let Err(error) = self.media.write_at(at, &new) {
                    *there = None;
                    return Err(error);
                }
            }
        }
        if wrote && let Err(error) = self.media.flush() {
            self.there.fill(None);
            return Err(error);
        }
        self.whole = whole;
        Ok(())
    }

    /// The bits are all as they should be, and the header says how many there are.
    fn conclude(&mut self) -> io::Result<()> {
        let mut header = self.header;
        mirror::put_header(&mut header, self.regions);
        if header != self.header {
            self.media.write_at(0, &header)?;
            self.media.flush()?;
            self.header = header;
        }
        self.whole = true;
        Ok(())
    }
}

impl Shared {
    /// Brings these sectors of the log up to date.
    fn say(&mut self, pages: std::ops::Range<usize>) -> io::Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let (regions, spoilt, marked) = (log.regions, !self.spoilt.is_empty(), &self.marked);
        log.say(pages, |page| {
            let from = page.saturating_mul(PAGE_WORDS);
            let words = marked.get(from..marked.len().min(from.saturating_add(PAGE_WORDS))).unwrap_or_default();
            // What no word tells of may disagree.
            let words = if spoilt { &[] } else { words };
            mirror::bits((from as u64).saturating_mul(64), regions, words)
        })
    }

    fn say_all(&mut self) -> io::Result<()> {
        self.say(0..self.marked.len().div_ceil(PAGE_WORDS))?;
        self.log.as_mut().map_or(Ok(()), Log::conclude)
    }
}

impl MirrorStore {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leg(&self, member: Member) -> Option<&Leg> {
        self.legs.get(usize::from(member.0)).and_then(Option::as_ref)
    }
}

impl Store for MirrorStore {
    fn write_log(&self, member: Member, page: u32, words: &[u64]) -> io::Result<()> {
        if member != FIRST {
            // Who waits for it waits for the first leg's, too.
            return Ok(());
        }
        let mut shared = self.lock();
        let page = page as usize;
        let places = shared.marked.iter_mut().skip(page.saturating_mul(PAGE_WORDS)).take(PAGE_WORDS);
        places.zip(words).for_each(|(place, word)| *place = *word);
        match shared.log.as_ref().is_some_and(|log| log.whole) {
            true => shared.say(page..page.saturating_add(1)),
            false => shared.say_all(),
        }
    }

    fn write_health(&self, _: Member, health: &Health) -> io::Result<()> {
        let mut shared = self.lock();
        if health.state(FIRST) != Some(State::InSync) {
            return Err(io::Error::other(VITAL));
        }
        if health.epoch() < shared.health.epoch() {
            return Ok(());
        }
        for filling in health.filling().filter(|filling| !filling.by_log) {
            shared.spoilt.insert(filling.member);
        }
        for member in health.in_sync().iter() {
            shared.spoilt.remove(member);
        }
        shared.health = *health;
        shared.say_all()
    }

    fn vital(&self, member: Member) -> Option<&'static str> {
        (member == FIRST).then_some(VITAL)
    }

    fn admit(&self, member: Member, media: SharedMediaMut) -> io::Result<Slot> {
        let mut shared = self.lock();
        if shared.health.has(member) {
            return Err(io::Error::other(format!("slot {member} is not free")));
        }
        match self.leg(member) {
            Some(leg) if Arc::ptr_eq(&leg.media, &media) => {
                // Before the filling begins, which waits for no states: what the leg holds may be anything.
                shared.spoilt.insert(member);
                shared.say_all()?;
                Ok(leg.slot())
            }
            own => {
                let own = own.map_or_else(|| "which is not here".to_owned(), |leg| leg.media.describe());
                Err(io::Error::other(format!("slot {member} is filled by its own leg alone: {own}")))
            }
        }
    }

    fn held(&self) -> Vec<SharedMediaMut> {
        let health = self.lock().health;
        let free = (0..=u8::MAX).map(Member).zip(&self.legs).filter(|(member, _)| !health.has(*member));
        free.filter_map(|(_, leg)| leg.as_ref()).map(|leg| leg.media.clone()).collect()
    }

    fn release(&self, member: Member) -> bool {
        !self.lock().health.has(member)
    }

    fn stop(&self, health: &Health, stopped: Stopped) -> io::Result<()> {
        let mut shared = self.lock();
        if stopped == Stopped::Clean && health.missing().is_empty() && health.rebuilding().next().is_none() {
            shared.marked.fill(0);
            shared.spoilt = Columns::EMPTY;
            return shared.say_all();
        }
        Ok(())
    }
}

/// A leg, opened for writing.
#[derive(Clone)]
pub struct Leg {
    /// Its medium.
    pub media: SharedMediaMut,
    /// Where the mirror begins on it.
    pub at: Sector,
}

impl Leg {
    fn slot(&self) -> Slot {
        Slot { media: Some(self.media.clone()), data_at: self.at }
    }
}
