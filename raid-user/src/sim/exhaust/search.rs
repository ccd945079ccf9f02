//! The search: down as far as nobody has been, back to the last place where there was another choice, and down again.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};

use raid_core::rows::RowNo;

use super::super::assembly::Found;
use super::super::check;
use super::super::life::Life;
use super::super::same::Mark;
use super::super::story::{Fact, Story};
use super::super::{Bug, Totals, model_of};
use super::cut::Cuts;
use super::scene::{Choice, Scene};
use super::{Bounds, Tried, Wrong};

/// Marks that were seen.
pub(super) type Seen = HashSet<u64, BuildHasherDefault<Mark>>;

/// What may still be done.
#[derive(Clone, Copy, Debug, Hash)]
struct Left {
    requests: u8,
    events: u8,
}

/// One scene, searched.
pub(super) struct Search<'a> {
    scene: &'a Scene,
    bounds: Bounds,
    bug: Option<Bug>,
    seen: Seen,
    cuts: Cuts<'a>,
    tried: Tried,
    /// Choices made on the way here.
    path: Vec<Choice>,
    /// For each of them, those that are still to be made instead.
    others: Vec<Vec<Choice>>,
}

/// A promise that was broken, and what is to be told after the way there.
pub(super) struct Broken {
    pub(super) what: String,
    pub(super) more: Vec<String>,
}

impl From<String> for Broken {
    fn from(what: String) -> Self {
        Self { what, more: Vec::new() }
    }
}

impl<'a> Search<'a> {
    pub(super) fn new(scene: &'a Scene, bounds: Bounds, bug: Option<Bug>) -> Self {
        Self {
            scene,
            bounds,
            bug,
            seen: Seen::default(),
            cuts: Cuts::new(scene, bug),
            tried: Tried { scenes: 1, ..Tried::default() },
            path: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Searches all of it, or until somebody says stop.
    pub(super) fn run(mut self, stop: &AtomicBool) -> Result<Tried, Box<Wrong>> {
        while !stop.load(Ordering::Relaxed) {
            let way = self.path.clone();
            let (result, _) = live(self.scene, self.bug, &way, Story::default(), |life| self.descend(life));
            if let Err(broken) = result {
                return Err(Box::new(self.told(broken)));
            }
            if !self.turn_back() {
                break;
            }
        }
        Ok(self.tried)
    }

    /// Back to the last place with another choice. False if there is none.
    fn turn_back(&mut self) -> bool {
        while let Some(mut others) = self.others.pop() {
            self.path.pop();
            if let Some(choice) = others.pop() {
                self.path.push(choice);
                self.others.push(others);
                return true;
            }
        }
        false
    }

    /// Goes on to where somebody has been, or where nothing is left to do.
    fn descend(&mut self, life: &mut Life<'_>) -> Result<(), Broken> {
        let mut left = Left { requests: self.bounds.requests, events: self.bounds.events };
        self.path.iter().for_each(|choice| left.less(*choice));
        while self.is_new(life, left) {
            self.cuts.look(life, &mut self.tried)?;
            let turns = life.world.choices();
            if turns == 0 {
                self.must_be_right(life)?;
            }
            let mut choices: Vec<Choice> = (0..turns).map(Choice::Turn).collect();
            if left.requests > 0 {
                choices.extend(self.scene.deeds());
            }
            if left.events > 0 {
                choices.extend(self.scene.events(life));
            }
            let Some(choice) = choices.pop() else { break };
            self.path.push(choice);
            self.others.push(choices);
            left.less(choice);
            choice.make(life)?;
        }
        Ok(())
    }

    fn is_new(&mut self, life: &Life<'_>, left: Left) -> bool {
        self.tried.steps += 1;
        let mut mark = Mark::default();
        life.mark(&mut mark);
        left.hash(&mut mark);
        let is_new = self.seen.insert(mark.finish());
        self.tried.states += u64::from(is_new);
        is_new
    }

    /// All is quiet: nobody waits, redundancy fits, and what is read, in another life like this one, is right.
    fn must_be_right(&self, life: &Life<'_>) -> Result<(), Broken> {
        life.must_rest()?;
        fits(self.scene, life)?;
        live(self.scene, self.bug, &self.path, Story::default(), |life| Ok(life.read_all()?)).0
    }

    /// The way here as a story.
    fn told(&self, Broken { what, more }: Broken) -> Wrong {
        let (_, story) = live(self.scene, self.bug, &self.path, Story::told(), |_| Ok(()));
        let mut story: Vec<String> = story.facts().iter().map(Fact::to_string).collect();
        story.extend(more);
        Wrong { array: self.scene.name(), what, story }
    }
}

impl Left {
    fn less(&mut self, choice: Choice) {
        match choice {
            Choice::Turn(_) => {}
            Choice::Ask { .. } | Choice::Sweep => self.requests -= 1,
            Choice::Vanish(_) | Choice::ThrowOut(_) | Choice::Join(_) => self.events -= 1,
        }
    }
}

/// A life from the start, and on at the end of this way.
fn live(
    scene: &Scene,
    bug: Option<Bug>,
    way: &[Choice],
    story: Story,
    on: impl FnOnce(&mut Life<'_>) -> Result<(), Broken>,
) -> (Result<(), Broken>, Story) {
    let setup = &scene.setup;
    let outside = scene.outside(story, bug);
    let found = Found::new(setup, &outside).expect("the disks were just made");
    let world = found.world(setup, outside);
    let (mut model, mut totals, mut next_id) = (model_of(setup), Totals::default(), 0);
    let mut life = Life::new(setup, world, &mut model, &mut totals, &found, &mut next_id);
    life.begin();
    life.world.own_work();
    let gone = way.iter().try_for_each(|choice| choice.make(&mut life));
    let result = gone.map_err(Broken::from).and_then(|()| on(&mut life));
    (result, life.world.outside(|out| std::mem::take(&mut out.story)))
}

/// Redundancy fits the data, unless recovery could not have it so.
pub(super) fn fits(scene: &Scene, life: &Life<'_>) -> Result<(), String> {
    if life.world_failures() > 0 {
        return Ok(());
    }
    let (health, rows) = (life.world.view().health, &scene.setup.rows);
    let misfit = life.world.outside(|out| {
        let trusted = check::trusted(&out.disks, &health);
        let fits =
            |row: &RowNo| check::fits(rows, trusted, *row, rows.whole(*row), |disk, at| out.disks[disk].now(at));
        (0..rows.count()).map(RowNo).find(|row| !fits(row))
    });
    misfit.map_or(Ok(()), |row| Err(format!("all is quiet, and row {} does not fit its redundancy", row.0)))
}
