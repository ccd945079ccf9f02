//! The small arrays that everything is tried on, and what can be done to them.

use raid_core::geometry::Geometry;
use raid_core::health::{Event, Health};
use raid_core::request::Kind;
use raid_core::rows::{ROW_LEN, Rows};
use raid_core::stripe::Limits;
use raid_core::{ArrayConfig, Columns, FarSets, Level, Member, Raid5Layout, Raid6Layout, Raid10Layout, Sectors, Sizes};

use super::super::Bug;
use super::super::deeds::Kind as Sort;
use super::super::dice::{Dice, Script};
use super::super::disk::{Chance, Disk};
use super::super::life::Life;
use super::super::model::{self, Value};
use super::super::setup::{Haste, Moment, Setup};
use super::super::story::{Story, Which};
use super::super::world::Outside;

/// Sectors of each disk: two rows.
const SECTORS: usize = 2 * ROW_LEN;

/// Sectors of a row that requests reach. Each has a fate of its own when the power goes, the others of the row have one in common.
pub(super) const REACH: usize = 2;

/// What a disk holds that nobody made a member.
const FOREIGN: Value = 0xF0E1_6400_0000_0000;

/// An array, and how it begins.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) setup: Setup,
    /// Member 0 left just before.
    pub(super) lacks_one: bool,
}

/// One thing that is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// One of what is under way goes on.
    Turn(usize),
    /// The host asks.
    Ask { kind: Kind, at: usize, len: usize },
    /// Idle regions are swept, twice: the first time they are only remembered.
    Sweep,
    /// A disk is gone.
    Vanish(Member),
    /// The host throws a member out.
    ThrowOut(Member),
    /// A disk takes the empty slot.
    Join(Which),
}

/// Every level with redundancy, the expensive ones first.
pub(super) fn all(members_max: u16) -> Vec<Scene> {
    let ten = |near, far, offset| Level::Raid10(Raid10Layout { near, far, offset, sets: FarSets::All });
    let arrays = [
        (Level::Raid6(Raid6Layout::LeftSymmetric), 5, 2),
        (Level::Raid6(Raid6Layout::LeftSymmetric), 4, 2),
        (Level::Raid5(Raid5Layout::LeftSymmetric), 4, 1),
        (Level::Raid4, 4, 1),
        (ten(2, 1, false), 4, 1),
        (ten(1, 2, true), 4, 1),
        (Level::Raid5(Raid5Layout::LeftSymmetric), 3, 1),
        (Level::Raid1, 3, 2),
        (ten(1, 2, false), 3, 1),
        (Level::Raid1, 2, 1),
    ];
    let fits = arrays.into_iter().filter(|(_, members, _)| *members <= members_max);
    let both = |(level, members, redundancy)| {
        [false, true].map(|lacks_one| Scene { setup: setup(level, members, redundancy), lacks_one })
    };
    fits.flat_map(both).collect()
}

fn setup(level: Level, members: u16, redundancy: usize) -> Setup {
    let sizes = Sizes::Same(Sectors(SECTORS as u64));
    let config = ArrayConfig { level, members, chunk: Sectors(ROW_LEN as u64), sizes, array_size: None };
    let geometry = Geometry::new(&config).expect("the simulator makes arrays that can be");
    Setup {
        name: format!("{level:?}, {members} members"),
        rows: Rows::new(geometry).expect("no historic far sets are made here"),
        limits: Limits {
            shards: 1,
            slots: 2,
            requests: 4,
            region_rows: 1,
            log_page_words: 1,
            read_errors_max: 1,
            heal_window: 1,
            checkpoint_rows: 1,
        },
        redundancy,
        sectors: SECTORS,
        lives: 1,
        turns: 0,
        depth: usize::from(u8::MAX),
        chance: Chance::All,
        gentle: false,
        fault_every: 0,
        haste: Haste::Even,
        interrupts: 0,
        cut_on: ([Moment::Between(Sort::Io); 2], 0),
        unusual_every: 0,
        sweep_every: 0,
        ask_every: 0,
        pace: 0,
        run: 0,
        mix: (0, 0),
    }
}

impl Scene {
    pub(super) fn name(&self) -> String {
        format!("{}, {}", self.setup.name, if self.lacks_one { "one missing" } else { "whole" })
    }

    /// The disks at the start. Nothing is thrown: the dice fall dully.
    pub(super) fn outside(&self, story: Story, bug: Option<Bug>) -> Outside {
        let members = self.setup.rows.geometry().members();
        let mut health = Health::of(members, Columns::first(members)).expect("arrays have members");
        let mut disk = Disk::new(SECTORS, |_| model::NOTHING);
        disk.health = Some(health);
        let mut disks = vec![disk; usize::from(members)];
        if self.lacks_one {
            health.apply(Member(0), Event::Fail).expect("it was in sync");
            disks[0].present = false;
            disks[1..].iter_mut().for_each(|disk| disk.health = Some(health));
        }
        let dice = Dice::played(Script::default());
        Outside { dice, disks, shelf: Vec::new(), bug, story, actions: 0 }
    }

    /// What the host may do: writes that meet in a row, and one that can be torn; writes that meet in a sector, and one that is to be
    /// durable. While a member is missing no bit is taken back, and the rest is left out: a member that joins is enough.
    pub(super) fn deeds(&self) -> impl Iterator<Item = Choice> {
        let write = |at, len, fua| Choice::Ask { kind: Kind::Write { fua }, at, len };
        let read = Choice::Ask { kind: Kind::Read, at: 0, len: 1 };
        let flush = Choice::Ask { kind: Kind::Flush, at: 0, len: 0 };
        let always = [write(ROW_LEN, 1, false), write(0, REACH, false), flush];
        let whole = [write(0, 1, false), write(0, 1, true), read, Choice::Sweep];
        always.into_iter().chain(whole.into_iter().filter(|_| !self.lacks_one))
    }

    /// What may happen to the members now.
    pub(super) fn events(&self, life: &Life<'_>) -> Vec<Choice> {
        let missing = life.world.view().health.missing();
        let members = Columns::first(self.setup.rows.geometry().members()).difference(missing);
        let there = members.iter().filter(|member| life.can_spare(*member) && life.is_there(*member));
        let mut events: Vec<Choice> =
            there.flat_map(|member| [Choice::Vanish(member), Choice::ThrowOut(member)]).collect();
        if !missing.is_empty() {
            events.extend([Choice::Join(Which::New), Choice::Join(Which::Own)]);
        }
        events
    }
}

impl Choice {
    /// Does it.
    pub(super) fn make(self, life: &mut Life<'_>) -> Result<(), String> {
        match self {
            Self::Turn(pick) => life.world.go(pick),
            Self::Ask { kind, at, len } => {
                life.submit(kind, at, len);
            }
            Self::Sweep => {
                life.world.sweep();
                life.world.sweep();
            }
            Self::Vanish(member) => {
                life.is_hurt();
                life.vanish(member);
            }
            Self::ThrowOut(member) => {
                life.is_hurt();
                life.miss(member);
            }
            Self::Join(which) => {
                let missing = life.world.view().health.missing();
                let Some(member) = missing.iter().next() else { return Ok(()) };
                if matches!(which, Which::New) {
                    let new = Disk::new(SECTORS, |at| FOREIGN | at as Value);
                    life.world.outside(|out| out.disks[usize::from(member.0)] = new);
                }
                life.seat(member, which);
            }
        }
        life.world.own_work();
        life.hear()
    }
}
