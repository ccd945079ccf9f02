//! A trace: a list of writes, failures, rebuilds and cuts, played to an array of the simulator as other hosts play it to theirs.
//!
//! Sectors are eight bytes here and 512 in a trace. All arithmetic goes byte by byte, so that word `n` of every sector is an array of
//! its own: 64 worlds, each with its own dice, make the members that one real host leaves.

use fastrand::Rng;
use raid_core::geometry::Geometry;
use raid_core::request::Kind;
use raid_core::rows::Rows;
use raid_core::stripe::Limits;
use raid_core::{Columns, Member, Sector, Sectors};

use super::assembly::Found;
use super::dice::Dice;
use super::disk::{Chance, Disk};
use super::life::Life;
use super::model::{self, Value};
use super::setup::{Mode, Setup};
use super::story::{Story, Which};
use super::world::{Outside, index};
use super::{History, new_disks, theorem};

/// One step of a trace.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// These words, one for each sector, go to array sectors from `at` on.
    Write {
        /// The first.
        at: Sector,
        /// What they become.
        words: &'a [Value],
    },
    /// All that was written is to be durable.
    Flush,
    /// The member's disk is gone, and everybody knows it.
    Fail(Member),
    /// The member gets a disk of zeros, which is filled.
    Rebuild(Member),
    /// The array is gone in the middle of nothing; it comes back, and all its redundancy is made anew.
    Cut,
}

/// The world that plays it: requests meet, and something may come between any two critical sections.
fn setup(geometry: &Geometry, share: Sectors) -> Setup {
    let limits = Limits {
        shards: 2,
        slots: 8,
        requests: 64,
        region_rows: 16,
        log_page_words: 1,
        read_errors_max: 3,
        heal_window: 3,
        checkpoint_rows: 100,
    };
    let rows = Rows::new(geometry.clone()).expect("traces have no historic far sets");
    let any = Setup::new(&mut Rng::with_seed(0), Mode::Rough);
    let (name, redundancy, sectors) = ("an array of a trace".to_owned(), usize::MAX, index(share.0));
    let haste = super::setup::Haste::Even;
    Setup { name, rows, limits, redundancy, sectors, interrupts: 4, haste, ..any }
}

/// Plays a trace to an array whose members have `share` sectors, with dice of their own for each `seed`. What each member holds
/// in the end; nothing is said of those that failed.
///
/// # Errors
/// The promise that was broken on the way.
pub fn play(
    geometry: &Geometry,
    share: Sectors,
    steps: &[Step<'_>],
    seed: u64,
) -> Result<Vec<Option<Vec<Value>>>, String> {
    let setup = setup(geometry, share);
    let (dice, disks) = (Dice::random(Rng::with_seed(seed)), new_disks(&setup));
    let mut outside = Outside { dice, disks, shelf: Vec::new(), bug: None, story: Story::default(), actions: 0 };
    let mut history = History::new(&setup);
    let mut lives = steps.split(|step| matches!(step, Step::Cut)).peekable();
    let mut found = Found::new(&setup, &outside)?;
    while let Some(steps) = lives.next() {
        let mut life = Life::new(&setup, found.world(&setup, outside), history, &found);
        life.begin();
        life.drain()?;
        for step in steps {
            life.play(*step)?;
            life.drain()?;
        }
        if lives.peek().is_none() {
            life.read_all()?;
            return Ok(life.images());
        }
        let world;
        (world, history) = life.end();
        // Nothing was under way, and the disks have all that is in their caches.
        outside = world.power_cut(Chance::All);
        history.model.power_cut();
        theorem(&setup, &outside.disks)?;
        found = Found::new(&setup, &outside)?.all_in_doubt();
    }
    Err("a trace has a life before its first cut".to_owned())
}

impl Life<'_> {
    fn play(&mut self, step: Step<'_>) -> Result<(), String> {
        match step {
            Step::Write { at, words } => self.write_words(index(at.0), words),
            Step::Flush => self.flush(),
            Step::Fail(member) => {
                self.is_hurt();
                self.vanish(member);
                self.miss(member);
                Ok(())
            }
            Step::Rebuild(member) => {
                let (place, sectors) = (self.serving(member), self.setup.sectors);
                self.world.outside(|out| out.disks[place] = Disk::new(sectors, |_| model::NOTHING));
                self.seat(member, Which::New);
                self.drain()?;
                let missing = self.world.view().health.missing();
                if missing.contains(member) { Err(format!("member {member} is not filled")) } else { Ok(()) }
            }
            Step::Cut => Err("a cut ends a life".to_owned()),
        }
    }

    /// A long write, piece by piece: as many as there is room for go on at once.
    fn write_words(&mut self, at: usize, words: &[Value]) -> Result<(), String> {
        let mut done = 0;
        while done < words.len() {
            match self.submit_words(Kind::Write { fua: false }, at + done, &words[done..]) {
                Some(len) => done += len,
                None if self.world.turn() => self.hear()?,
                None => return Err(format!("a write of sector {} is refused by a quiet array", at + done)),
            }
        }
        Ok(())
    }

    fn images(&self) -> Vec<Option<Vec<Value>>> {
        let health = self.world.view().health;
        let image = |member| {
            let place = self.serving(member);
            self.world.outside(|out| out.disks[place].all_now(0..self.setup.sectors).to_vec())
        };
        let there = |member| (!health.missing().contains(member)).then(|| image(member));
        Columns::first(health.members()).iter().map(there).collect()
    }
}
