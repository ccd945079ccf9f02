//! Replay of a journal: what it holds and the members lack is laid over them in memory, as Linux would write it at assembly.
//!
//! Source: kernel `drivers/md/raid5-cache.c`, `r5c_recovery_flush_log` and what it calls. A stripe here is what it is there: the pages
//! at one sector of all members. One whose parity is in the journal is *complete*: all that the journal has of it is written. Of any
//! other, data were acknowledged and parity was never made, so the members still hold what was before, in order: parity is made
//! of new and old data.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use raid_core::geometry::{Content, Geometry, StripeMap};
use raid_core::plan::{Readable, Trust as _};
use raid_core::reshape::Side;
use raid_core::{Member, Sector, Sectors, StripeNo};
use raid_formats::md::{self, ReplayStep, journal::BLOCK_BYTES};

use super::Array;
use crate::media::{Media as _, MediaMut as _, Overlay, SharedMedia};

/// Pages that a replay may hold, 512 MiB: a journal can be as large as its disk.
const PAGES_MAX: usize = 128 * 1024;
/// What may be written over one member in memory.
const OVERLAY_BYTES_MAX: u64 = 4 << 30;

type Page = Box<[u8; BLOCK_BYTES]>;

/// What the journal has of one stripe.
#[derive(Default)]
struct Stripe {
    pages: BTreeMap<Member, Page>,
    complete: bool,
}

/// What a journal says, put together.
#[derive(Default)]
pub(super) struct Replay {
    /// To be written in this order, before the stripes.
    first: Vec<(Sector, Stripe)>,
    stripes: BTreeMap<Sector, Stripe>,
    pages: usize,
    refusal: Option<String>,
}

impl Replay {
    /// Reads a journal member. Nothing is to be replayed if it is none.
    pub(super) fn read(
        source: &crate::discover::MediaSource<'_>,
        superblock: &md::Superblock<'_>,
        geometry: &Geometry,
    ) -> Result<Self, md::Fault<io::Error>> {
        let mut replay = Self::default();
        md::replay_journal(source, superblock, &mut [0; 2 * BLOCK_BYTES], |step| replay.take(geometry, step))?;
        Ok(replay)
    }

    /// Stripes that it changes.
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.stripes.len()
    }

    /// True if there is nothing to be done, and nothing to complain of.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && self.refusal.is_none()
    }

    /// Takes a step; false, with the reason kept, if it makes no sense for this array.
    fn take(&mut self, geometry: &Geometry, step: ReplayStep<'_>) -> bool {
        match step {
            ReplayStep::Data { at, page } => {
                let whole = |content| matches!(content, Content::Data(start) if start == at);
                let place = geometry.map(at).filter(|place| place.at.0.is_multiple_of(8));
                let place = place.filter(|place| geometry.unmap(place.member, place.at).is_some_and(whole));
                let Some(place) = place else { return self.refuse(format!("it has a page of array sector {at}")) };
                let stripe = self.stripes.entry(place.at).or_default();
                if stripe.complete {
                    self.first.push((place.at, std::mem::take(stripe)));
                }
                stripe.pages.insert(place.member, Box::new(*page));
            }
            ReplayStep::Parity { at, index, page } => {
                let map = stripe_at(geometry, at).filter(|_| at.0.is_multiple_of(8));
                let member =
                    map.and_then(|map| if index == 0 { Some(map.p()) } else { map.q().filter(|_| index == 1) });
                let Some(member) = member else { return self.refuse(format!("it has parity of member sector {at}")) };
                let stripe = self.stripes.entry(at).or_default();
                stripe.pages.insert(member, Box::new(*page));
                stripe.complete = true;
            }
            ReplayStep::Flushed { at } => {
                self.stripes.remove(&at);
            }
        }
        self.pages += 1;
        self.pages <= PAGES_MAX || self.refuse(format!("it holds more than {PAGES_MAX} pages"))
    }

    fn refuse(&mut self, why: String) -> bool {
        self.refusal.get_or_insert(why);
        false
    }
}

impl Array {
    /// Lays what `replay` has over the members.
    pub(super) fn replay(&mut self, replay: Replay) -> io::Result<()> {
        if let Some(why) = replay.refusal {
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let over: Vec<Option<Arc<Overlay<SharedMedia>>>> =
            self.slots.iter_mut().map(|slot| slot.as_mut().map(|slot| slot.lay_over(OVERLAY_BYTES_MAX))).collect();
        let (complete, bare): (Vec<_>, Vec<_>) = replay.stripes.into_iter().partition(|(_, stripe)| stripe.complete);
        for (at, stripe) in replay.first.into_iter().chain(complete) {
            self.write_pages(&over, at, &stripe.pages)?;
        }
        for (at, mut stripe) in bare {
            self.make_parity(at, &mut stripe)?;
            self.write_pages(&over, at, &stripe.pages)?;
        }
        Ok(())
    }

    fn write_pages(
        &self,
        over: &[Option<Arc<Overlay<SharedMedia>>>],
        at: Sector,
        pages: &BTreeMap<Member, Page>,
    ) -> io::Result<()> {
        for (member, page) in pages {
            // A missing member gets nothing; the parity of its stripe has it.
            let Some(Some(medium)) = over.get(usize::from(member.0)) else { continue };
            let start = self.medium_sector(Side::Old, *member, at).and_then(Sector::bytes);
            medium.write_at(start.ok_or_else(|| io::Error::other("a place past all media"))?, page.as_slice())?;
        }
        Ok(())
    }

    /// Completes a stripe of which the journal has data alone: the rest of its data is what the array held before.
    fn make_parity(&mut self, at: Sector, stripe: &mut Stripe) -> io::Result<()> {
        let impossible = || io::Error::other(format!("no stripe at member sector {at}"));
        let geometry = self.layouts.geometry(Side::Old);
        let map = stripe_at(geometry, at).ok_or_else(impossible)?;
        let mut columns = Vec::new();
        for index in 0..map.data_count() {
            let member = map.data(index).ok_or_else(impossible)?;
            let page = match (stripe.pages.get(&member), geometry.unmap(member, at)) {
                (Some(page), _) => page.clone(),
                (None, Some(Content::Data(old))) => {
                    let len = Sectors::from_bytes_floor(BLOCK_BYTES as u64);
                    let (readable, run) = self.readable(Side::Old, member, at, len);
                    self.guessed |= readable == Readable::No || run < len;
                    let mut page: Page = Box::new([0; BLOCK_BYTES]);
                    self.read_at(old.bytes().ok_or_else(impossible)?, page.as_mut_slice())?;
                    page
                }
                _ => return Err(impossible()),
            };
            columns.push((map.column(member).ok_or_else(impossible)?, page));
        }
        columns.sort_by_key(|(column, _)| *column);
        let data: Vec<&[u8]> = columns.iter().map(|(_, page)| page.as_slice()).collect();
        let (mut p, mut q): (Page, Page) = (Box::new([0; BLOCK_BYTES]), Box::new([0; BLOCK_BYTES]));
        let made = match map.q() {
            Some(_) => self.ops.pq(&data, p.as_mut_slice(), q.as_mut_slice()),
            None => self.ops.xor(p.as_mut_slice(), &data),
        };
        made.map_err(io::Error::other)?;
        stripe.pages.insert(map.p(), p);
        stripe.pages.extend(map.q().map(|member| (member, q)));
        Ok(())
    }
}

/// The stripe that a member sector belongs to.
fn stripe_at(geometry: &Geometry, at: Sector) -> Option<StripeMap> {
    geometry.stripe(StripeNo(at.0.checked_div(geometry.chunk().0)?))
}
