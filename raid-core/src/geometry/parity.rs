//! RAID 4, 5 and 6: stripes of data chunks with P, and Q, in every layout of MD and DDF.
//!
//! A stripe's roles are four small numbers ([`StripeMap`]) that follow from its number and the layout. Everything
//! else (where a sector lives, what a member holds, which power of g a member has in Q) is arithmetic on them.
//! Source: `drivers/md/raid5.c`, `raid5_compute_sector`, `raid6_d0`, `raid6_idx_to_slot`.

use super::{ConfigError, Content, Place, paged_chunk_of, smallest, too_big};
use crate::config::{ArrayConfig, Level, Raid5Layout, Raid6Layout};
use crate::units::{Member, Sector, Sectors, StripeNo};

/// Most data columns that Q can tell apart: the powers of g repeat after 255. Slots end at 255 anyway.
const MEMBERS_MAX: u16 = 255;

/// A validated RAID 4, 5 or 6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Striped {
    layout: Layout,
    members: u8,
    chunk: u64,
    stripes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    P(Raid5Layout),
    PQ(Raid6Layout),
}

/// The roles of the members in one stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StripeMap {
    at: Sector,
    members: u8,
    p: u8,
    q: Option<u8>,
    /// Member that holds data 0, if data count on from it round and round (symmetric layouts); else they count from 0 and skip P and Q.
    first: Option<u8>,
    /// Members that data go round: all, or all but the last in the `_6` layouts.
    ring: u8,
    powers: Powers,
}

/// How Q counts its powers of g.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Powers {
    /// MD: by the order of members met from behind Q on, round and round.
    AfterQ,
    /// DDF: the slot number itself; P and Q count but give nothing.
    Slot,
}

/// What a member is in a stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Data column, in the array's order.
    Data(u8),
    /// P.
    P,
    /// Q.
    Q,
}

impl Striped {
    pub(super) fn new(config: &ArrayConfig<'_>) -> Result<(Self, Sectors), ConfigError> {
        let chunk = paged_chunk_of(config)?;
        let (layout, least) = match config.level {
            Level::Raid5(layout) => (Layout::P(layout), 2),
            Level::Raid6(layout) => (Layout::PQ(layout), 4),
            // MD's level 4 is level 5 with parity last.
            _ => (Layout::P(Raid5Layout::ParityLast), 2),
        };
        let bad = ConfigError::Members { found: config.members, least, most: MEMBERS_MAX };
        let members = u8::try_from(config.members).map_err(|_| bad)?;
        if config.members < least {
            return Err(bad);
        }
        let stripes = smallest(config, config.chunk)?.0.checked_div(chunk).unwrap_or(0);
        let striped = Self { layout, members, chunk, stripes };
        let data = u64::from(striped.data_count());
        let size =
            stripes.checked_mul(data).and_then(|chunks| chunks.checked_mul(chunk)).ok_or_else(|| too_big(config))?;
        Ok((striped, Sectors(size)))
    }

    pub(super) const fn parity(&self) -> u32 {
        match self.layout {
            Layout::P(_) => 1,
            Layout::PQ(_) => 2,
        }
    }

    const fn data_count(&self) -> u8 {
        self.members.saturating_sub(match self.layout {
            Layout::P(_) => 1,
            Layout::PQ(_) => 2,
        })
    }

    pub(super) const fn member_size(&self) -> Sectors {
        Sectors(self.stripes.saturating_mul(self.chunk))
    }

    pub(super) fn map(&self, at: Sector) -> Option<Place> {
        let (number, within) = self.chunk_of(at)?;
        let data = u64::from(self.data_count());
        let stripe = StripeNo(number.checked_div(data)?);
        let map = self.stripe(stripe)?;
        Some(Place {
            member: map.data(u8::try_from(number.checked_rem(data)?).ok()?)?,
            at: Sector(map.at.0.checked_add(within)?),
            run: Sectors(self.chunk.checked_sub(within)?),
            stripe,
        })
    }

    /// The number of the chunk that a sector lies in, and its place there. Chunks are powers of two: this is asked for every request.
    fn chunk_of(&self, at: Sector) -> Option<(u64, u64)> {
        Some((at.0.checked_shr(self.chunk.trailing_zeros())?, at.0 & self.chunk.checked_sub(1)?))
    }

    /// The stripe that a member's sector lies in.
    pub(super) fn stripe_at(&self, at: Sector) -> StripeNo {
        StripeNo(self.chunk_of(at).map_or(0, |(number, _)| number))
    }

    pub(super) fn unmap(&self, member: Member, at: Sector) -> Content {
        self.content(member, at).unwrap_or(Content::Unused)
    }

    fn content(&self, member: Member, at: Sector) -> Option<Content> {
        let (number, within) = self.chunk_of(at)?;
        let stripe = StripeNo(number);
        Some(match self.stripe(stripe)?.part(member)? {
            Part::P => Content::P(stripe),
            Part::Q => Content::Q(stripe),
            Part::Data(index) => {
                let number = stripe.0.checked_mul(u64::from(self.data_count()))?.checked_add(u64::from(index))?;
                Content::Data(Sector(number.checked_mul(self.chunk)?.checked_add(within)?))
            }
        })
    }

    pub(super) fn stripe(&self, stripe: StripeNo) -> Option<StripeMap> {
        if stripe.0 >= self.stripes {
            return None;
        }
        let at = Sector(stripe.0.checked_mul(self.chunk)?);
        let map = StripeMap {
            at,
            members: self.members,
            p: 0,
            q: None,
            first: None,
            ring: self.members,
            powers: Powers::AfterQ,
        };
        match self.layout {
            Layout::P(layout) => map.with_p(layout, stripe.0),
            Layout::PQ(layout) => map.with_pq(layout, stripe.0),
        }
    }
}

impl StripeMap {
    /// P's place and the order of data in the first `ring` members, as RAID 5 has them.
    fn with_p(mut self, layout: Raid5Layout, stripe: u64) -> Option<Self> {
        let turn = u8::try_from(stripe.checked_rem(u64::from(self.ring))?).ok()?;
        let last = self.ring.checked_sub(1)?;
        self.p = match layout {
            Raid5Layout::LeftAsymmetric | Raid5Layout::LeftSymmetric => last.checked_sub(turn)?,
            Raid5Layout::RightAsymmetric | Raid5Layout::RightSymmetric => turn,
            Raid5Layout::ParityFirst => 0,
            Raid5Layout::ParityLast => last,
        };
        self.first = match layout {
            Raid5Layout::LeftSymmetric | Raid5Layout::RightSymmetric => Some(after(self.p, self.ring)),
            _ => None,
        };
        Some(self)
    }

    fn with_pq(mut self, layout: Raid6Layout, stripe: u64) -> Option<Self> {
        use Raid6Layout as L;
        let n = self.members;
        let last = n.checked_sub(1)?;
        let six = match layout {
            L::LeftAsymmetric6 => Some(Raid5Layout::LeftAsymmetric),
            L::RightAsymmetric6 => Some(Raid5Layout::RightAsymmetric),
            L::LeftSymmetric6 => Some(Raid5Layout::LeftSymmetric),
            L::RightSymmetric6 => Some(Raid5Layout::RightSymmetric),
            L::ParityFirst6 => Some(Raid5Layout::ParityFirst),
            _ => None,
        };
        if let Some(layout) = six {
            self.ring = last;
            self.q = Some(last);
            return self.with_p(layout, stripe);
        }
        let turn = u8::try_from(stripe.checked_rem(u64::from(n))?).ok()?;
        self.p = match layout {
            L::RightAsymmetric | L::RightSymmetric | L::RotatingZeroRestart => turn,
            L::RotatingNRestart => last.checked_sub(after(turn, n))?,
            L::ParityFirst => 0,
            L::ParityLast => last.checked_sub(1)?,
            _ => last.checked_sub(turn)?,
        };
        let q = match layout {
            L::RotatingNContinue => self.p.checked_sub(1).unwrap_or(last),
            _ => after(self.p, n),
        };
        self.q = Some(q);
        self.first = match layout {
            L::LeftSymmetric | L::RightSymmetric => Some(after(q, n)),
            L::RotatingNContinue => Some(after(self.p, n)),
            _ => None,
        };
        self.powers = match layout {
            L::RotatingZeroRestart | L::RotatingNRestart | L::RotatingNContinue => Powers::Slot,
            _ => Powers::AfterQ,
        };
        Some(self)
    }

    /// Member sector at which the stripe's chunks start.
    #[must_use]
    pub const fn at(&self) -> Sector {
        self.at
    }

    /// Members in the stripe, parity included.
    #[must_use]
    pub const fn members(&self) -> u16 {
        self.members as u16
    }

    /// The member that holds P.
    #[must_use]
    pub const fn p(&self) -> Member {
        Member(self.p)
    }

    /// The member that holds Q, at RAID 6.
    #[must_use]
    pub fn q(&self) -> Option<Member> {
        self.q.map(Member)
    }

    /// Number of data columns.
    #[must_use]
    pub const fn data_count(&self) -> u8 {
        self.members.saturating_sub(if self.q.is_some() { 2 } else { 1 })
    }

    /// The member that holds data column `index`, in the array's order.
    #[must_use]
    pub fn data(&self, index: u8) -> Option<Member> {
        if index >= self.data_count() {
            return None;
        }
        if let Some(first) = self.first {
            // Less than once round.
            let (turn, ring) = (u16::from(first).checked_add(u16::from(index))?, u16::from(self.ring));
            return Some(Member(u8::try_from(turn.checked_sub(ring).unwrap_or(turn)).ok()?));
        }
        // Counting from 0, each parity member met on the way pushes the rest one further.
        let (low, high) = self.parity_in_ring();
        let member = index.checked_add(u8::from(index >= low))?;
        Some(Member(member.checked_add(u8::from(member >= high))?))
    }

    /// P and Q in ascending order; Q outside the ring (or no Q) counts as behind everything.
    fn parity_in_ring(&self) -> (u8, u8) {
        let q = self.q.filter(|q| *q < self.ring).unwrap_or(u8::MAX);
        (self.p.min(q), self.p.max(q))
    }

    /// What `member` is in this stripe.
    #[must_use]
    pub fn part(&self, member: Member) -> Option<Part> {
        if member.0 >= self.members {
            return None;
        }
        if member.0 == self.p {
            return Some(Part::P);
        }
        if Some(member.0) == self.q {
            return Some(Part::Q);
        }
        let index = match self.first {
            Some(first) => {
                let turn = u16::from(member.0).checked_add(u16::from(self.ring))?.checked_sub(u16::from(first))?;
                u8::try_from(turn.checked_rem(u16::from(self.ring))?).ok()?
            }
            None => {
                let (low, high) = self.parity_in_ring();
                let skipped = u8::from(member.0 > low).checked_add(u8::from(member.0 > high))?;
                member.0.checked_sub(skipped)?
            }
        };
        Some(Part::Data(index))
    }

    /// The power of g with which `member`'s data count in Q. `None` for P, Q, and where there is no Q.
    #[must_use]
    pub fn exponent(&self, member: Member) -> Option<u8> {
        let q = self.q?;
        match (self.part(member)?, self.powers) {
            (Part::P | Part::Q, _) => None,
            (Part::Data(_), Powers::Slot) => Some(member.0),
            (Part::Data(_), Powers::AfterQ) => {
                let steps = |to: u8| {
                    let turn = u16::from(to).checked_add(u16::from(self.members))?.checked_sub(u16::from(q))?;
                    turn.checked_rem(u16::from(self.members))
                };
                // Members met from behind Q up to this one, without P.
                let (own, p) = (steps(member.0)?, steps(self.p)?);
                u8::try_from(own.checked_sub(1)?.checked_sub(u16::from(p < own))?).ok()
            }
        }
    }

    /// One more than the highest exponent of any member: the number of columns that parity counts.
    #[must_use]
    pub const fn columns(&self) -> u8 {
        match (self.q, self.powers) {
            (Some(_), Powers::Slot) => self.members,
            _ => self.data_count(),
        }
    }

    /// The column in which `member`'s data stand in front of P and Q: its exponent, or without Q its place in the array's order.
    #[must_use]
    pub fn column(&self, member: Member) -> Option<u8> {
        match self.part(member)? {
            Part::Data(index) if self.q.is_none() => Some(index),
            Part::Data(_) => self.exponent(member),
            Part::P | Part::Q => None,
        }
    }
}

/// The next of `members`, round and round.
const fn after(member: u8, members: u8) -> u8 {
    if member >= members.saturating_sub(1) { 0 } else { member.saturating_add(1) }
}
