//! Makes a world that breaks a promise as short and as dull as it can be while it still breaks one.
//!
//! The world is its throws ([`Script`]), so only those are changed: lives and turns are left out, turns and throws become dull, and
//! the world itself gets ordinary. What is left is played again and kept if a promise is still broken, be it another one.

use super::dice::{Dice, Script};
use super::setup::{Haste, Setup};
use super::story::Story;
use super::{Broken, Bug, play};

/// A world and its throws.
#[derive(Clone)]
pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) script: Script,
}

/// The search.
struct Search {
    best: World,
    bug: Option<Bug>,
    /// Worlds that may still be played.
    left: u32,
}

/// The dullest world found by playing at most `plays`, which breaks a promise as `world` does.
pub(super) fn shrink(world: World, bug: Option<Bug>, plays: u32) -> World {
    let mut search = Search { best: world, bug, left: plays };
    search.make_ordinary();
    loop {
        let before = search.best.script.clone();
        search.drop_lives();
        search.drop_turns();
        search.dull_turns();
        search.dull_throws();
        if search.best.script == before || search.left == 0 {
            return search.best;
        }
    }
}

/// Plays a world again, and tells its story.
pub(super) fn retell(world: &World, bug: Option<Bug>) -> Option<Box<Broken>> {
    play(&world.setup, Dice::played(world.script.clone()), Story::told(), bug).err()
}

impl Search {
    /// Keeps a world if it breaks a promise too.
    fn attempt(&mut self, change: impl FnOnce(&mut World)) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        let mut world = self.best.clone();
        change(&mut world);
        let dice = Dice::played(world.script.clone());
        let broken = play(&world.setup, dice, Story::default(), self.bug).is_err();
        if broken {
            self.best = world;
        }
        broken
    }

    fn make_ordinary(&mut self) {
        self.attempt(|world| world.setup.haste = Haste::Even);
        self.attempt(|world| world.setup.interrupts = 0);
        self.attempt(|world| world.setup.limits.shards = 1);
        self.attempt(|world| world.setup.limits.heal_window = 1);
    }

    fn drop_lives(&mut self) {
        let mut life = 0;
        while life < self.best.setup.lives && self.best.setup.lives > 1 {
            let dropped = self.attempt(|world| {
                world.setup.lives -= 1;
                let from = (2 * life as usize).min(world.script.phases.len());
                let to = (from + 2).min(world.script.phases.len());
                world.script.phases.drain(from..to);
            });
            life += u32::from(!dropped);
        }
    }

    /// Runs of turns, the long ones first.
    fn drop_turns(&mut self) {
        for phase in 0..self.best.script.phases.len() {
            let mut run = self.turns(phase).max(1);
            while run > 0 {
                let mut at = self.turns(phase);
                while at > 0 {
                    let from = at.saturating_sub(run);
                    self.attempt(|world| {
                        world.script.phases[phase].drain(from..at);
                    });
                    at = from;
                }
                run /= 2;
            }
        }
    }

    fn dull_turns(&mut self) {
        for (phase, turn) in self.places() {
            if self.best.script.phases[phase][turn].iter().any(|side| *side > 0) {
                self.attempt(|world| world.script.phases[phase][turn].clear());
            }
        }
    }

    fn dull_throws(&mut self) {
        for (phase, turn) in self.places() {
            for throw in (0..self.best.script.phases[phase][turn].len()).rev() {
                if self.best.script.phases[phase][turn][throw] > 0 {
                    self.attempt(|world| world.script.phases[phase][turn][throw] = 0);
                }
            }
            let turn = &mut self.best.script.phases[phase][turn];
            // What follows is dull anyway.
            turn.truncate(turn.iter().rposition(|side| *side > 0).map_or(0, |last| last + 1));
        }
    }

    fn turns(&self, phase: usize) -> usize {
        self.best.script.phases[phase].len()
    }

    fn places(&self) -> Vec<(usize, usize)> {
        let phases = self.best.script.phases.iter().enumerate();
        phases.flat_map(|(phase, turns)| (0..turns.len()).map(move |turn| (phase, turn))).collect()
    }
}
