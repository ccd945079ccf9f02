//! What a seed makes: the array, its limits, and how rough the world is.

use fastrand::Rng;
use raid_core::geometry::Geometry;
use raid_core::rows::Rows;
use raid_core::stripe::Limits;
use raid_core::{ArrayConfig, FarSets, Level, Member, Raid5Layout, Raid6Layout, Raid10Layout, Sectors, Sizes};

use super::deeds::Kind;
use super::disk::Chance;

/// The world of one seed.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) name: String,
    pub(super) rows: Rows,
    pub(super) limits: Limits,
    /// Members whose loss the array survives, whichever they are.
    pub(super) redundancy: usize,
    /// Sectors of each disk.
    pub(super) sectors: usize,
    /// Lives: each but the last ends with a power cut.
    pub(super) lives: u32,
    /// Turns of the dice in each life at most.
    pub(super) turns: u32,
    /// Requests under way at most.
    pub(super) depth: usize,
    /// Chance that a cached sector survives a power cut.
    pub(super) chance: Chance,
    /// The power fails only while all members are good: else arrays with parity are soon full of rows in doubt.
    pub(super) gentle: bool,
    /// One fault in so many turns.
    pub(super) fault_every: u32,
    /// What is slow.
    pub(super) haste: Haste,
    /// In one of so many turns something comes between two critical sections; never if zero.
    pub(super) interrupts: u32,
    /// A life may end at a moment like one of these, one in so many of them; never if zero.
    pub(super) cut_on: ([Moment; 2], u32),
    /// In one of so many turns there is room for what is unusual: a fault, a new disk, a check, a user who steers.
    pub(super) unusual_every: u32,
    /// One sweep of the log in so many turns.
    pub(super) sweep_every: u32,
    /// The user asks in one of so many turns, if there is room.
    pub(super) ask_every: u32,
    /// Things that happen in a turn, before anybody looks.
    pub(super) pace: u32,
    /// Neighbours that a sequential writer writes at once.
    pub(super) run: usize,
    /// Writes, and reads, of twenty requests; the others are flushes.
    pub(super) mix: (u32, u32),
}

/// What sort of worlds a seed makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Rough ones: short lives, and everything that can go wrong does so often.
    #[default]
    Rough,
    /// Plain ones: long lives of arrays that are mostly well and busy. Nothing comes between two critical sections, and nothing
    /// is slow; answers come in any order, and faults, power cuts and all promises are those of the rough ones.
    Plain,
}

/// What the dice hold back, so that what usually takes a moment takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    Even,
    Slow(Kind),
    Late(Member),
}

/// Moments at which a power cut is most interesting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Some of the members have something that others have not yet.
    Between(Kind),
    /// A request was answered while the newest states of the members are not durable.
    AnsweredEarly,
    /// A request that is to be durable was answered.
    Promised,
}

const RAID5: [Raid5Layout; 6] = [
    Raid5Layout::LeftAsymmetric,
    Raid5Layout::RightAsymmetric,
    Raid5Layout::LeftSymmetric,
    Raid5Layout::RightSymmetric,
    Raid5Layout::ParityFirst,
    Raid5Layout::ParityLast,
];

const RAID6: [Raid6Layout; 8] = [
    Raid6Layout::LeftAsymmetric,
    Raid6Layout::LeftSymmetric,
    Raid6Layout::ParityLast,
    Raid6Layout::RotatingZeroRestart,
    Raid6Layout::RotatingNRestart,
    Raid6Layout::RotatingNContinue,
    Raid6Layout::LeftSymmetric6,
    Raid6Layout::ParityFirst6,
];

impl Setup {
    /// The world of a seed.
    pub(super) fn new(rng: &mut Rng, mode: Mode) -> Self {
        let setup = Self::rough(rng);
        match mode {
            Mode::Rough => setup,
            Mode::Plain => setup.plain(rng),
        }
    }

    /// The same array, with long lives and little that is unusual.
    fn plain(self, rng: &mut Rng) -> Self {
        let limits = Limits { slots: rng.u16(4..=16), requests: rng.u32(40..=64), ..self.limits };
        Self {
            name: format!("{}, plain", self.name),
            limits,
            lives: rng.u32(1..=3),
            turns: 4000,
            depth: rng.usize(16..=32),
            haste: Haste::Even,
            interrupts: 0,
            cut_on: (self.cut_on.0, 0),
            unusual_every: 16,
            sweep_every: 200,
            ask_every: 1,
            pace: 6,
            run: 16,
            mix: (15, 4),
            ..self
        }
    }

    fn rough(rng: &mut Rng) -> Self {
        let near = |near, far, offset| Level::Raid10(Raid10Layout { near, far, offset, sets: FarSets::All });
        let (level, members, redundancy) = match rng.u8(..8) {
            0 | 1 => {
                let members = rng.u16(2..=3);
                (Level::Raid1, members, usize::from(members) - 1)
            }
            2 => (Level::Raid4, rng.u16(3..=5), 1),
            3 | 4 => (Level::Raid5(RAID5[rng.usize(..RAID5.len())]), rng.u16(3..=5), 1),
            5 | 6 => (Level::Raid6(RAID6[rng.usize(..RAID6.len())]), rng.u16(4..=6), 2),
            _ => match rng.u8(..3) {
                0 => (near(2, 1, false), rng.u16(3..=5), 1),
                1 => (near(1, 2, false), rng.u16(3..=4), 1),
                _ => (near(1, 2, true), rng.u16(3..=4), 1),
            },
        };
        let chunk = 8 << rng.u64(..3);
        // Small, so that requests meet; now and then so large that the log has more than one page.
        let wide = rng.u8(..24) == 0;
        let sectors = if wide { 1024 } else { chunk * [2, 3, 4, 6, 8][rng.usize(..5)] };
        let config = ArrayConfig {
            level,
            members,
            chunk: Sectors(chunk),
            sizes: Sizes::Same(Sectors(sectors)),
            array_size: None,
        };
        let geometry = Geometry::new(&config).expect("the simulator makes arrays that can be");
        let rows = Rows::new(geometry).expect("no historic far sets are made here");
        let limits = Limits {
            shards: rng.u16(1..=3),
            slots: rng.u16(1..=4),
            requests: rng.u32(2..=12),
            region_rows: if wide { 1 } else { rng.u64(1..=4) },
            log_page_words: 1,
            read_errors_max: rng.u32(..6),
            heal_window: rng.u16(1..=3),
            checkpoint_rows: rng.u64(1..=12),
        };
        Self {
            name: format!("{level:?}, {members} members, chunk {chunk}, {sectors} sectors each"),
            rows,
            limits,
            redundancy,
            sectors: usize::try_from(sectors).expect("small"),
            lives: rng.u32(1..=5),
            turns: [30, 100, 300, 600][rng.usize(..4)],
            depth: rng.usize(1..=8),
            chance: [Chance::None, Chance::Half, Chance::All][rng.usize(..3)],
            gentle: rng.u8(..3) > 0,
            fault_every: rng.u32(30..400),
            haste: haste(rng, members),
            interrupts: [0, 1, 3, 10][rng.usize(..4)],
            cut_on: ([moment(rng), moment(rng)], [0, 1, 4][rng.usize(..3)]),
            unusual_every: 1,
            sweep_every: 30,
            ask_every: 3,
            pace: 1,
            run: 6,
            mix: (11, 7),
        }
    }
}

/// What is written down about the members and about regions is slow more often than the rest: others wait for it.
const KINDS: [Kind; 8] =
    [Kind::Io, Kind::Flush, Kind::Compute, Kind::Log, Kind::Log, Kind::Health, Kind::Health, Kind::Health];

fn haste(rng: &mut Rng, members: u16) -> Haste {
    match rng.u8(..8) {
        0..=2 => Haste::Slow(KINDS[rng.usize(..KINDS.len())]),
        3 => Haste::Late(Member(rng.u8(..u8::try_from(members).unwrap_or(1)))),
        _ => Haste::Even,
    }
}

fn moment(rng: &mut Rng) -> Moment {
    match rng.u8(..6) {
        0 | 1 => Moment::AnsweredEarly,
        2 => Moment::Promised,
        3 => Moment::Between(Kind::Log),
        4 => Moment::Between(Kind::Health),
        _ => Moment::Between(Kind::Io),
    }
}
