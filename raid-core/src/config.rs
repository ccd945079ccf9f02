//! What an array is said to be: plain, public, not yet believed.
//!
//! Formats fill an [`ArrayConfig`] with what they found. [`Geometry::new`](crate::geometry::Geometry::new)
//! is the only validator; everything behind it may trust the numbers.
//!
//! Layout names follow Linux MD (`drivers/md/raid5.h`, `ALGORITHM_*`) and SNIA DDF.

use crate::units::Sectors;

/// An array as a format describes it. Nothing in here is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayConfig<'a> {
    /// Level and, where it has one, layout.
    pub level: Level,
    /// Number of slots, present or not.
    pub members: u16,
    /// Chunk ("strip", "stripe unit") in sectors. Zero where the level has none (RAID 1, linear without rounding).
    pub chunk: Sectors,
    /// Data sectors that each member gives, before rounding to the chunk.
    pub sizes: Sizes<'a>,
    /// Array size, where the format states one smaller than its members allow.
    pub array_size: Option<Sectors>,
}

/// Data sectors of the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes<'a> {
    /// All members give the same.
    Same(Sectors),
    /// One entry a slot (linear, RAID 0 with several zones).
    Each(&'a [Sectors]),
}

/// RAID level with its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Members one behind the other.
    Linear,
    /// Striping without redundancy, in one or several zones.
    Raid0(Raid0Layout),
    /// Every member holds everything.
    Raid1,
    /// MD's level 4: parity on the last member.
    Raid4,
    /// One rotating (or fixed) parity.
    Raid5(Raid5Layout),
    /// P and Q.
    Raid6(Raid6Layout),
    /// Near, far or offset copies of striped data.
    Raid10(Raid10Layout),
}

/// How a RAID 0 of members of different sizes orders the chunks of its later zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Raid0Layout {
    /// The metadata does not say. Refused if it matters, see `drivers/md/raid0.c`.
    Unstated,
    /// By array chunk number (Linux before 3.14): MD layout 1.
    Original,
    /// By chunk number within the zone (Linux from 3.14): MD layout 2.
    Alternate,
}

/// Where RAID 5 puts parity and in which order data follow. MD's numbers, `ALGORITHM_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Raid5Layout {
    /// MD 0; DDF "N restart"; IMSM.
    LeftAsymmetric = 0,
    /// MD 1; DDF "0 restart".
    RightAsymmetric = 1,
    /// MD 2, the default; DDF "N continue".
    LeftSymmetric = 2,
    /// MD 3.
    RightSymmetric = 3,
    /// MD 4; what dm-raid and LVM call raid4.
    ParityFirst = 4,
    /// MD 5.
    ParityLast = 5,
}

/// Where RAID 6 puts P and Q, and how Q's exponents count. MD's numbers, `ALGORITHM_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Raid6Layout {
    /// MD 0.
    LeftAsymmetric = 0,
    /// MD 1.
    RightAsymmetric = 1,
    /// MD 2, the default.
    LeftSymmetric = 2,
    /// MD 3.
    RightSymmetric = 3,
    /// MD 4.
    ParityFirst = 4,
    /// MD 5; LVM raid6_n_6.
    ParityLast = 5,
    /// MD 8; DDF rotating parity 0 restart; LVM raid6_zr.
    RotatingZeroRestart = 8,
    /// MD 9; DDF rotating parity N restart; LVM raid6_nr.
    RotatingNRestart = 9,
    /// MD 10; DDF rotating parity N continue; LVM raid6_nc.
    RotatingNContinue = 10,
    /// MD 16: RAID 5 left-asymmetric on all members but the last, which holds Q.
    LeftAsymmetric6 = 16,
    /// MD 17.
    RightAsymmetric6 = 17,
    /// MD 18.
    LeftSymmetric6 = 18,
    /// MD 19.
    RightSymmetric6 = 19,
    /// MD 20.
    ParityFirst6 = 20,
}

/// RAID 10's copies, MD's layout word taken apart (`drivers/md/raid10.c`, `setup_geo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Raid10Layout {
    /// Copies side by side (bits 0..8).
    pub near: u8,
    /// Copies far apart, or in the next rows with `offset` (bits 8..16).
    pub far: u8,
    /// Far copies lie in the rows right below (bit 16).
    pub offset: bool,
    /// How far copies step from disk to disk (bits 17 and 18).
    pub sets: FarSets,
}

/// The sets of members within which RAID 10's far copies rotate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FarSets {
    /// One set of all members.
    All,
    /// Bit 17, historic: sets of `members / far`.
    ByCount,
    /// Bit 18, what dm-raid makes: sets of `far * near`.
    ByCopies,
}

impl Raid5Layout {
    /// All of them, by their numbers.
    pub const ALL: [Self; 6] = [
        Self::LeftAsymmetric,
        Self::RightAsymmetric,
        Self::LeftSymmetric,
        Self::RightSymmetric,
        Self::ParityFirst,
        Self::ParityLast,
    ];
}

impl Raid6Layout {
    /// All of them, by their numbers.
    pub const ALL: [Self; 14] = [
        Self::LeftAsymmetric,
        Self::RightAsymmetric,
        Self::LeftSymmetric,
        Self::RightSymmetric,
        Self::ParityFirst,
        Self::ParityLast,
        Self::RotatingZeroRestart,
        Self::RotatingNRestart,
        Self::RotatingNContinue,
        Self::LeftAsymmetric6,
        Self::RightAsymmetric6,
        Self::LeftSymmetric6,
        Self::RightSymmetric6,
        Self::ParityFirst6,
    ];
}
