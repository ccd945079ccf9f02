//! The simulator: the whole engine in a world made by dice, held against a model that anyone can read.
//!
//! A seed and a commit are a replay. A seed makes an array (`setup`), disks that cache, tear and reorder (`disk`), a host
//! that lets anything come between any two critical sections (`world`), and some lives that end with a power cut at any
//! moment. What the array answers is held against the [`model`]; what stands on the disks after a cut, against the theorem: if
//! redundancy does not fit the data, the region's bit is set.

mod assembly;
mod bays;
mod bug;
mod check;
pub mod cli;
mod compute;
mod deeds;
mod dice;
mod disk;
pub mod exhaust;
mod faults;
mod life;
pub mod model;
#[cfg(test)]
mod nth;
mod same;
mod scrub;
mod setup;
mod shrink;
mod story;
mod tall;
#[cfg(test)]
mod tests;
mod timeline;
pub mod trace;
mod world;

use std::fmt;
use std::ops::AddAssign;

use fastrand::Rng;
use raid_core::health::Health;
use raid_core::region::RegionNo;
use raid_core::rows::RowNo;
use raid_core::{Columns, Member};

pub use bug::Bug;
pub use setup::Mode;

use dice::{Dice, Script};
use disk::Disk;
use life::Life;
use model::Model;
use setup::Setup;
use story::{Fact, Story};
use world::Outside;

/// What was done, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Seeds.
    pub seeds: u64,
    /// Writes acknowledged.
    pub writes: u64,
    /// Writes of several rows that the engine took as one.
    pub tall: u64,
    /// Reads acknowledged and compared.
    pub reads: u64,
    /// Flushes acknowledged.
    pub flushes: u64,
    /// Actions of the core that were done.
    pub actions: u64,
    /// Faults.
    pub faults: u64,
    /// Members added.
    pub added: u64,
    /// Those of them that had been away, and were caught up by the log.
    pub returned: u64,
    /// Copies of members that served, to replace them.
    pub replaced: u64,
    /// Power cuts.
    pub cuts: u64,
    /// Requests that were refused rather than guessed, and rightly so.
    pub doubted: u64,
    /// Seeds that ended with all members good, all of it read, and read again with as many missing as the array survives.
    pub whole: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.writes += other.writes;
        self.tall += other.tall;
        self.reads += other.reads;
        self.flushes += other.flushes;
        self.actions += other.actions;
        self.faults += other.faults;
        self.added += other.added;
        self.returned += other.returned;
        self.replaced += other.replaced;
        self.cuts += other.cuts;
        self.doubted += other.doubted;
        self.whole += other.whole;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, writes, tall, reads, flushes, actions, faults, added, returned, replaced, .. } = self;
        let Self { cuts, doubted, whole, .. } = self;
        write!(
            f,
            "{seeds} seeds ({whole} whole in the end): {writes} writes ({tall} times several rows at once), {reads} reads, \
             {flushes} flushes, {actions} actions, {faults} faults, {added} members added ({returned} by the log), \
             {replaced} copies begun, {cuts} power cuts, {doubted} refused in doubt"
        )
    }
}

/// A promise that was broken.
#[derive(Clone)]
pub struct Violation {
    /// The seed that shows it.
    pub seed: u64,
    /// The array.
    pub array: String,
    /// What was wrong.
    pub what: String,
    /// What happened before, the last line last.
    pub story: Vec<String>,
    /// Requests, faults and power cuts in the story: what somebody outside of the array did.
    pub steps: usize,
    /// The same as a drawing, SVG.
    pub timeline: String,
    bug: Option<Bug>,
    world: shrink::World,
}

impl Violation {
    fn new(seed: u64, bug: Option<Bug>, world: shrink::World, broken: &Broken) -> Self {
        let facts = broken.story.facts();
        let array = world.setup.name.clone();
        let members = world.setup.rows.geometry().members();
        Self {
            seed,
            what: broken.what.clone(),
            story: facts.iter().map(Fact::to_string).collect(),
            steps: facts.iter().filter(|fact| fact.is_step()).count(),
            timeline: timeline::svg(facts, members, &format!("seed {seed}, {array}: {}", broken.what)),
            array,
            bug,
            world,
        }
    }

    /// The same or another broken promise of the same world, with as little as possible before it.
    #[must_use]
    pub fn shrunk(&self) -> Self {
        let world = shrink::shrink(self.world.clone(), self.bug, SHRINK_PLAYS);
        let told = shrink::retell(&world, self.bug);
        let short = told.map(|broken| Self::new(self.seed, self.bug, world, &broken));
        // Fewer choices can tell of more steps.
        short.filter(|short| short.steps <= self.steps).unwrap_or_else(|| self.clone())
    }
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} ({}), {} steps", self.seed, self.array, self.steps)?;
        for line in &self.story {
            writeln!(f, "  {line}")?;
        }
        write!(f, "  => {}", self.what)
    }
}

/// Worlds that are played at most to make a story short.
const SHRINK_PLAYS: u32 = 20_000;

/// Runs one seed, with a mistake in it or without.
///
/// # Errors
/// [`Violation`], as it happened: [`Violation::shrunk`] makes it short.
pub fn run(seed: u64, mode: Mode, bug: Option<Bug>) -> Result<Totals, Box<Violation>> {
    let mut rng = Rng::with_seed(seed);
    let setup = Setup::new(&mut rng, mode);
    let first = match play(&setup, Dice::random(rng.clone()), Story::default(), bug) {
        Ok(totals) => return Ok(totals),
        Err(broken) => broken,
    };
    // Once more, to hear what happened.
    let told = play(&setup, Dice::recorded(rng), Story::told(), bug).err();
    let broken = told.filter(|told| told.what == first.what).expect("a seed is a replay");
    let script = broken.script.clone().unwrap_or_default();
    Err(Box::new(Violation::new(seed, bug, shrink::World { setup, script }, &broken)))
}

/// Plays a seed and draws it, whatever comes of it.
#[must_use]
pub fn draw(seed: u64, mode: Mode, bug: Option<Bug>) -> String {
    let mut rng = Rng::with_seed(seed);
    let setup = Setup::new(&mut rng, mode);
    let members = setup.rows.geometry().members();
    let (story, what) = told_to_the_end(&setup, Dice::random(rng), bug);
    timeline::svg(story.facts(), members, &format!("seed {seed}, {}: {what}", setup.name))
}

/// A broken promise, with what is left of the world.
struct Broken {
    what: String,
    story: Story,
    script: Option<Script>,
}

/// Plays one world to its end.
fn play(setup: &Setup, dice: Dice, story: Story, bug: Option<Bug>) -> Result<Totals, Box<Broken>> {
    let (result, outside) = play_all(setup, dice, story, bug);
    result.map_err(|what| {
        let Outside { dice, story, .. } = *outside;
        Box::new(Broken { what, story, script: dice.script().cloned() })
    })
}

/// The whole story of a world, and how it ended.
fn told_to_the_end(setup: &Setup, dice: Dice, bug: Option<Bug>) -> (Story, String) {
    let (result, outside) = play_all(setup, dice, Story::told(), bug);
    (outside.story, result.err().unwrap_or_else(|| "no promise was broken".to_owned()))
}

fn play_all(setup: &Setup, dice: Dice, story: Story, bug: Option<Bug>) -> (Result<Totals, String>, Box<Outside>) {
    let disks = new_disks(setup);
    let outside = Outside { dice, disks, shelf: Vec::new(), bug, story, actions: 0 };
    let mut history = History::new(setup);
    match history.lives(setup, outside) {
        Ok(outside) => (Ok(history.totals), Box::new(outside)),
        Err((what, outside)) => (Err(what), outside),
    }
}

/// The disks of an array that was just made: all are members, and nobody wrote anything.
fn new_disks(setup: &Setup) -> Vec<Disk> {
    let members = setup.rows.geometry().members();
    let mut disk = Disk::new(setup.sectors, |_| model::NOTHING);
    disk.health = Some(Health::of(members, Columns::first(members)).expect("arrays have members"));
    let mut disks = vec![disk; usize::from(members)];
    (0..).map(Member).zip(&mut disks).for_each(|(seat, disk)| disk.seat = seat);
    disks
}

/// Regions of the array.
fn regions(setup: &Setup) -> u64 {
    setup.rows.count().div_ceil(setup.limits.region_rows)
}

type Told = (String, Box<Outside>);

/// What goes on through all lives.
#[derive(Debug, Default)]
struct History {
    model: Model,
    totals: Totals,
    next_id: u64,
}

impl History {
    /// Nothing was done yet.
    fn new(setup: &Setup) -> Self {
        let sectors = usize::try_from(setup.rows.geometry().array_size().0).expect("small");
        Self { model: Model::new(sectors), totals: Totals { seeds: 1, ..Totals::default() }, next_id: 0 }
    }

    fn lives(&mut self, setup: &Setup, mut outside: Outside) -> Result<Outside, Told> {
        for life in 0..setup.lives {
            outside.story.note(Fact::PowerOn { life });
            outside = self.life(setup, outside, life + 1 == setup.lives)?;
            self.totals.actions += std::mem::take(&mut outside.actions);
            if life + 1 < setup.lives {
                outside.story.note(Fact::PowerCut);
                self.totals.cuts += 1;
                self.model.power_cut();
                if let Err(what) = theorem(setup, &outside.disks) {
                    return Err((what, Box::new(outside)));
                }
            }
        }
        Ok(outside)
    }

    /// One life: assembly, requests and faults, and either a power cut or a last look at everything.
    fn life(&mut self, setup: &Setup, mut outside: Outside, last: bool) -> Result<Outside, Told> {
        outside.dice.next_phase();
        for disk in &mut outside.disks {
            disk.rest();
            // Some of those that vanished are back, with what they had.
            let back = outside.dice.coin();
            disk.present |= back && disk.health.is_some();
        }
        if outside.dice.coin() {
            outside.other_bays();
        }
        if outside.bug != Some(Bug::TakeBays) {
            outside.seated(setup.rows.geometry().members());
        }
        let found = match assembly::Found::new(setup, &outside) {
            Ok(found) => found,
            Err(what) => return Err((what, Box::new(outside))),
        };
        let world = found.world(setup, outside);
        let mut life = Life::new(setup, world, std::mem::take(self), &found);
        life.begin();
        let result = life.live().and_then(|()| {
            life.world.outside(|out| out.dice.next_phase());
            if last { last_look(&mut life) } else { life.mend() }
        });
        let (world, history) = life.end();
        *self = history;
        let outside = world.power_cut(setup.chance);
        match result {
            Ok(()) => Ok(outside),
            Err(what) => Err((what, Box::new(outside))),
        }
    }
}

/// If redundancy does not fit the data on the disks, the region's bit is set on them.
fn theorem(setup: &Setup, disks: &[Disk]) -> Result<(), String> {
    let health = check::health(disks).ok_or("no disk knows the members")?;
    let trusted = check::trusted(disks, &health);
    let uncovered = |row: &RowNo| {
        let region = RegionNo(row.0 / setup.limits.region_rows);
        !check::bit(disks, &health, trusted, region, setup.limits.log_page_words)
    };
    match check::inconsistent(&setup.rows, disks, health, trusted).find(uncovered) {
        Some(row) => Err(format!("row {} does not fit its redundancy, and its region's bit is not set", row.0)),
        None => Ok(()),
    }
}

/// The end of the last life: all that can be mended is, everything is read, and read again without the members that the
/// array can spare.
fn last_look(life: &mut Life<'_>) -> Result<(), String> {
    life.drain()?;
    // Twice: reading everything finds what is unreadable, which may be one too many for a member. What only a scrub would have found
    // is readable then, so that it does not count against the members that are taken away in the end.
    for _ in 0..2 {
        for _ in 0..=life.setup.redundancy {
            life.replace();
            life.drain()?;
        }
        life.flush()?;
        life.read_all()?;
        life.world.outside(|out| {
            for disk in &mut out.disks {
                disk.unreadable.clear();
                // Seed 186: a disk kept the write that it was to fail for the scrub's repair, which said so, and was blamed for it.
                disk.refuses = false;
            }
        });
    }
    let in_doubt = life.world_failures() > 0;
    if in_doubt {
        return Ok(());
    }
    life.must_be_whole()?;
    sweep_all(life)?;
    life.must_be_clean()?;
    life.earlier_returns()?;
    sweep_all(life)?;
    life.must_be_clean()?;
    life.scrub()?;
    for _ in 0..life.setup.redundancy {
        let members = life.setup.rows.geometry().members();
        let spared = life.world.outside(|out| out.dice.below(members.into()));
        life.miss(Member(u8::try_from(spared).unwrap_or(0)));
        life.drain()?;
        life.read_all()?;
    }
    life.totals.whole += 1;
    Ok(())
}

/// Takes back all bits.
fn sweep_all(life: &mut Life<'_>) -> Result<(), String> {
    // Two looks and one to act; a sweep takes back a limited number of bits.
    for _ in 0..3 + regions(life.setup) / 64 {
        life.world.sweep();
        life.drain()?;
    }
    Ok(())
}
