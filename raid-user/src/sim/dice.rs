//! The dice: every decision of a world is one throw, so that a world is its throws.
//!
//! They fall at random, or as a script says. Zero is always the dull choice (no
//! fault, no request, the oldest first), so a script becomes simpler by throws that become zero or are left out. Throws
//! are bundled by the turn and turns by the phase (a life, its end): what is left out of one turn moves no other.

use fastrand::Rng;

/// The throws of a world: phases of turns of throws.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) phases: Vec<Vec<Vec<u32>>>,
}

enum Source {
    Random(Rng),
    Recorded(Rng, Script),
    Played { script: Script, phase: usize, turn: usize, throw: usize },
}

/// Dice.
pub(super) struct Dice {
    source: Source,
}

impl Dice {
    /// Fall at random.
    pub(super) const fn random(rng: Rng) -> Self {
        Self { source: Source::Random(rng) }
    }

    /// Fall at random, and remember how.
    pub(super) const fn recorded(rng: Rng) -> Self {
        Self { source: Source::Recorded(rng, Script { phases: Vec::new() }) }
    }

    /// Fall as they fell, and dully where nothing is said.
    pub(super) const fn played(script: Script) -> Self {
        Self { source: Source::Played { script, phase: 0, turn: 0, throw: 0 } }
    }

    /// What was recorded.
    pub(super) fn script(&self) -> Option<&Script> {
        match &self.source {
            Source::Recorded(_, script) => Some(script),
            Source::Random(_) | Source::Played { .. } => None,
        }
    }

    /// A phase begins.
    pub(super) fn next_phase(&mut self) {
        match &mut self.source {
            Source::Recorded(_, script) => script.phases.push(vec![Vec::new()]),
            Source::Played { phase, turn, throw, .. } => {
                // Before the first phase nothing is thrown: the first one is number one.
                (*phase, *turn, *throw) = (*phase + 1, 0, 0);
            }
            Source::Random(_) => {}
        }
    }

    /// A turn begins.
    pub(super) fn next_turn(&mut self) {
        match &mut self.source {
            Source::Recorded(_, script) => {
                if let Some(turns) = script.phases.last_mut() {
                    turns.push(Vec::new());
                }
            }
            Source::Played { turn, throw, .. } => (*turn, *throw) = (*turn + 1, 0),
            Source::Random(_) => {}
        }
    }

    /// Whether the phase goes on after `done` of `turns` turns: a script says it by its length.
    pub(super) fn goes_on(&self, done: u32, turns: u32) -> bool {
        match &self.source {
            Source::Played { script, phase, turn, .. } => {
                script.phases.get(phase.wrapping_sub(1)).is_some_and(|turns| turn + 1 < turns.len())
            }
            Source::Random(_) | Source::Recorded(..) => done < turns,
        }
    }

    /// One of `sides`, from zero.
    #[inline]
    pub(super) fn below(&mut self, sides: u32) -> u32 {
        match &mut self.source {
            Source::Random(rng) => thrown(rng, sides.max(1)),
            Source::Recorded(..) | Source::Played { .. } => self.below_by_script(sides.max(1)),
        }
    }

    fn below_by_script(&mut self, sides: u32) -> u32 {
        match &mut self.source {
            Source::Random(rng) => thrown(rng, sides),
            Source::Recorded(rng, script) => {
                let side = thrown(rng, sides);
                if let Some(turn) = script.phases.last_mut().and_then(|turns| turns.last_mut()) {
                    turn.push(side);
                }
                side
            }
            Source::Played { script, phase, turn, throw } => {
                let turns = script.phases.get(phase.wrapping_sub(1));
                let side = turns.and_then(|turns| turns.get(*turn)).and_then(|turn| turn.get(*throw));
                *throw += 1;
                side.map_or(0, |side| side % sides)
            }
        }
    }

    /// The same as an index.
    pub(super) fn index(&mut self, sides: usize) -> usize {
        self.below(u32::try_from(sides).unwrap_or(u32::MAX)) as usize
    }

    /// True once in so many throws, never if that is zero; dull is false.
    pub(super) fn one_in(&mut self, sides: u32) -> bool {
        match sides {
            0 => false,
            1 => true,
            _ => self.below(sides) == sides - 1,
        }
    }

    /// True every other time.
    pub(super) fn coin(&mut self) -> bool {
        self.below(2) == 1
    }
}

/// One of `sides`, from zero: by a product instead of a division, and favouring none by more than one throw in four billion.
#[inline]
fn thrown(rng: &mut Rng, sides: u32) -> u32 {
    let product = u64::from(rng.u32(..)) * u64::from(sides);
    u32::try_from(product >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_script_plays_as_it_fell() {
        let mut first = Dice::recorded(Rng::with_seed(7));
        let throw = |dice: &mut Dice| {
            dice.next_phase();
            let mut thrown = vec![dice.below(10), dice.below(6)];
            for turn in 0.. {
                if !dice.goes_on(turn, 3) {
                    break;
                }
                dice.next_turn();
                thrown.push(dice.below(1000));
            }
            thrown
        };
        let thrown = (throw(&mut first), throw(&mut first));
        let mut again = Dice::played(first.script().unwrap().clone());
        assert_eq!((throw(&mut again), throw(&mut again)), thrown);
        assert_eq!(again.below(9), 0);
    }

    #[test]
    fn what_is_left_out_of_a_turn_is_dull_and_moves_no_other() {
        let mut dice = Dice::played(Script { phases: vec![vec![vec![1], vec![], vec![5]]] });
        dice.next_phase();
        let mut turn = || {
            let side = dice.below(9);
            dice.next_turn();
            side
        };
        assert_eq!([turn(), turn(), turn(), turn()], [1, 0, 5, 0]);
    }
}
