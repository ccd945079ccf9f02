//! Units as types: a position, a length, a member and a set of members never mix.
//!
//! Sizes are in 512-byte sectors, as every RAID format counts, whatever the logical block of the medium.

use core::fmt;

/// Bytes in a sector, the unit of every position and length in this crate.
pub const SECTOR_BYTES: u64 = 512;

/// Most members an array can have. Slots are `u8`, and 255 keeps one value free.
pub const MEMBERS_MAX: usize = 255;

/// A position, in 512-byte sectors, on an array or on a member (the name of the variable says which).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sector(pub u64);

/// A length in 512-byte sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sectors(pub u64);

/// Number of a stripe: one line of chunks across the members, counted from the start of their data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StripeNo(pub u64);

/// A member's slot in its array, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member(pub u8);

/// A run of sectors: where it starts and how long it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Extent {
    /// First sector.
    pub at: Sector,
    /// Length.
    pub len: Sectors,
}

impl Sector {
    /// The sector `len` after this one; `None` past the end of `u64`.
    #[must_use]
    pub const fn checked_add(self, len: Sectors) -> Option<Self> {
        match self.0.checked_add(len.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// How far this sector lies behind `earlier`; `None` if it lies before it.
    #[must_use]
    pub const fn checked_since(self, earlier: Self) -> Option<Sectors> {
        match self.0.checked_sub(earlier.0) {
            Some(len) => Some(Sectors(len)),
            None => None,
        }
    }

    /// Byte offset of this sector; `None` past the end of `u64`.
    #[must_use]
    pub const fn bytes(self) -> Option<u64> {
        self.0.checked_mul(SECTOR_BYTES)
    }
}

impl Sectors {
    /// No sectors.
    pub const ZERO: Self = Self(0);

    /// Length in bytes; `None` past the end of `u64`.
    #[must_use]
    pub const fn bytes(self) -> Option<u64> {
        self.0.checked_mul(SECTOR_BYTES)
    }

    /// The whole sectors in `bytes`; a trailing part of a sector is dropped.
    #[must_use]
    pub const fn from_bytes_floor(bytes: u64) -> Self {
        Self(bytes / SECTOR_BYTES)
    }

    /// Rounded down to a multiple of `unit`; unchanged if `unit` is zero.
    #[must_use]
    pub const fn floor_to(self, unit: Self) -> Self {
        match self.0.checked_rem(unit.0) {
            Some(rest) => Self(self.0.saturating_sub(rest)),
            None => self,
        }
    }

    /// True if there is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Extent {
    /// The sector after the last one; `None` past the end of `u64`.
    #[must_use]
    pub const fn end(self) -> Option<Sector> {
        self.at.checked_add(self.len)
    }
}

impl fmt::Display for Sector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Sectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A set of members (or of columns of a stripe). Fixed size, `Copy`, iterates in ascending order.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Columns([u64; 4]);

impl Columns {
    /// The empty set.
    pub const EMPTY: Self = Self([0; 4]);

    /// Members `0..count`.
    #[must_use]
    pub fn first(count: u16) -> Self {
        let word = |before: u16| {
            let bits = u32::from(count.saturating_sub(before).min(64));
            u64::MAX.checked_shr(64_u32.saturating_sub(bits)).unwrap_or(0)
        };
        Self([word(0), word(64), word(128), word(192)])
    }

    /// A set of one.
    #[must_use]
    pub fn one(member: Member) -> Self {
        let mut set = Self::EMPTY;
        set.insert(member);
        set
    }

    /// Adds `member`; true if it was not there.
    pub fn insert(&mut self, member: Member) -> bool {
        let new = !self.contains(member);
        if let Some(word) = self.0.get_mut(usize::from(member.0 >> 6)) {
            *word |= 1 << (member.0 & 63);
        }
        new
    }

    /// Takes `member` out; true if it was there.
    pub fn remove(&mut self, member: Member) -> bool {
        let old = self.contains(member);
        if let Some(word) = self.0.get_mut(usize::from(member.0 >> 6)) {
            *word &= !(1 << (member.0 & 63));
        }
        old
    }

    /// True if `member` is in the set.
    #[must_use]
    pub fn contains(self, member: Member) -> bool {
        self.0.get(usize::from(member.0 >> 6)).is_some_and(|word| word >> (member.0 & 63) & 1 == 1)
    }

    /// How many members the set has.
    #[must_use]
    pub fn len(self) -> u32 {
        // Most words of most sets are empty, and not every CPU that this is built for counts bits in one instruction.
        self.0.iter().filter(|word| **word != 0).fold(0, |sum: u32, word| sum.saturating_add(word.count_ones()))
    }

    /// True if nobody is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        let [a, b, c, d] = self.0;
        a | b | c | d == 0
    }

    /// The lowest member.
    #[must_use]
    pub fn lowest(mut self) -> Option<Member> {
        self.pop()
    }

    /// Takes the lowest member out.
    pub fn pop(&mut self) -> Option<Member> {
        // Most sets have their members in the first word.
        let (at, word) = (0_u8..).zip(&mut self.0).find(|(_, word)| **word != 0)?;
        let bit = u8::try_from(word.trailing_zeros()).ok()?;
        *word &= word.wrapping_sub(1);
        Some(Member(at << 6 | bit))
    }

    /// Those in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a | e, b | f, c | g, d | h])
    }

    /// Those in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a & e, b & f, c & g, d & h])
    }

    /// Those in this set but not in `other`.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a & !e, b & !f, c & !g, d & !h])
    }

    /// The members in ascending order. Takes a step for each of them, not for each that there could be.
    pub fn iter(mut self) -> impl Iterator<Item = Member> + Clone {
        core::iter::from_fn(move || self.pop())
    }
}

/// As the set of its numbers.
impl fmt::Debug for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|member| member.0)).finish()
    }
}

impl FromIterator<Member> for Columns {
    fn from_iter<I: IntoIterator<Item = Member>>(members: I) -> Self {
        let mut set = Self::EMPTY;
        for member in members {
            set.insert(member);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_first_so_many_members_are_those_below_the_count() {
        for count in 0..=300 {
            let members: Vec<u16> = Columns::first(count).iter().map(|member| u16::from(member.0)).collect();
            assert_eq!(members, (0..count.min(256)).collect::<Vec<_>>());
            assert_eq!(Columns::first(count).len(), u32::from(count.min(256)));
        }
    }

    #[test]
    fn sets_of_columns_do_what_sets_do() {
        let numbers = |step: u8| (0..=u8::MAX).filter(move |number| number.is_multiple_of(step));
        let (threes, sevens): (BTreeSet<u8>, BTreeSet<u8>) = (numbers(3).collect(), numbers(7).collect());
        let (a, b): (Columns, Columns) = (numbers(3).map(Member).collect(), numbers(7).map(Member).collect());
        let same = |set: Columns, wanted: BTreeSet<u8>| {
            assert_eq!(set.iter().map(|member| member.0).collect::<Vec<_>>(), wanted.into_iter().collect::<Vec<_>>());
        };
        same(a.union(b), &threes | &sevens);
        same(a.intersection(b), &threes & &sevens);
        same(a.difference(b), &threes - &sevens);
        let mut set = a;
        assert!(
            set.remove(Member(255)) && !set.remove(Member(255)) && set.insert(Member(255)) && !set.insert(Member(255))
        );
        assert_eq!(set, a);
        let mut taken: Vec<Option<Member>> = (0..=a.len()).map(|_| (set.lowest(), set.pop()).1).collect();
        assert_eq!((taken.pop(), set.lowest()), (Some(None), None));
        assert_eq!(taken.into_iter().flatten().collect::<Columns>(), a);
        assert_eq!(std::format!("{:?}", Columns::first(3)), "{0, 1, 2}");
    }

    #[test]
    fn a_length_is_rounded_down_to_a_unit_and_left_alone_without_one() {
        assert_eq!(Sectors(1001).floor_to(Sectors(24)), Sectors(984));
        assert_eq!(Sectors(1001).floor_to(Sectors::ZERO), Sectors(1001));
        assert_eq!(Sectors::from_bytes_floor(1023), Sectors(1));
    }
}
