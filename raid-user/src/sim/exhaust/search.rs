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
use super::super::{Bug, History};
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

/// A place on the way.
struct Place<'a> {
    /// `None` when the last choice takes it along.
    life: Option<Box<Life<'a>>>,
    left: Left,
    /// To be made still.
    choices: Vec<Choice>,
}

/// One scene, searched.
pub(super) struct Search<'a> {
    scene: &'a Scene,
    found: &'a Found,
    bug: Option<Bug>,
    seen: Seen,
    cuts: Cuts<'a>,
    tried: Tried,
    /// Choices made on the way here.
    path: Vec<Choice>,
    places: Vec<Place<'a>>,
    /// Lives to be used again.
    spare: Vec<Box<Life<'a>>>,
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
    /// `found` is what the scene's disks say at the start.
    pub(super) fn new(scene: &'a Scene, found: &'a Found, bug: Option<Bug>) -> Self {
        Self {
            scene,
            found,
            bug,
            seen: Seen::default(),
            cuts: Cuts::new(scene, bug),
            tried: Tried { scenes: 1, ..Tried::default() },
            path: Vec::new(),
            places: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Searches all of it, or until somebody says stop.
    pub(super) fn run(mut self, bounds: Bounds, stop: &AtomicBool) -> Result<Tried, Box<Wrong>> {
        let left = Left { requests: bounds.requests, events: bounds.events };
        let first = self.arrive(begun(self.scene, self.found, self.bug, Story::default()), left);
        let all = first.and_then(|()| {
            while !stop.load(Ordering::Relaxed) && self.step()? {}
            Ok(())
        });
        all.map_err(|broken| Box::new(self.told(broken)))?;
        Ok(self.tried)
    }

    /// Makes the next choice. False if there is none.
    fn step(&mut self) -> Result<bool, Broken> {
        let Some(place) = self.places.last_mut() else { return Ok(false) };
        let Some(choice) = place.choices.pop() else {
            self.spare.extend(self.places.pop().and_then(|place| place.life));
            self.path.pop();
            return Ok(true);
        };
        let mut left = place.left;
        left.less(choice);
        let last = if place.choices.is_empty() { place.life.take() } else { None };
        let mut life = match (last, &place.life) {
            (Some(life), _) => life,
            (None, Some(life)) => copied(self.scene, self.found, self.bug, &mut self.spare, life),
            (None, None) => return Err(Broken::from("a place has choices and no life".to_owned())),
        };
        self.path.push(choice);
        choice.make(&mut life)?;
        self.arrive(life, left)?;
        Ok(true)
    }

    /// Looks around, if nobody has been here.
    fn arrive(&mut self, life: Box<Life<'a>>, left: Left) -> Result<(), Broken> {
        if !self.is_new(&life, left) {
            self.spare.push(life);
            self.path.pop();
            return Ok(());
        }
        self.cuts.look(&life, &mut self.tried)?;
        let turns = life.world.choices();
        if turns == 0 {
            self.must_be_right(&life)?;
        }
        let mut choices: Vec<Choice> = (0..turns).map(Choice::Turn).collect();
        if left.requests > 0 {
            choices.extend(self.scene.deeds());
        }
        if left.events > 0 {
            choices.extend(self.scene.events(&life));
        }
        self.places.push(Place { life: Some(life), left, choices });
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
    fn must_be_right(&mut self, life: &Life<'a>) -> Result<(), Broken> {
        life.must_rest()?;
        fits(self.scene, life)?;
        let mut other = copied(self.scene, self.found, self.bug, &mut self.spare, life);
        let read = other.read_all();
        self.spare.push(other);
        Ok(read?)
    }

    /// The way here as a story.
    fn told(&self, Broken { what, more }: Broken) -> Wrong {
        let mut life = begun(self.scene, self.found, self.bug, Story::told());
        // What is wrong may come to light on the way.
        let _ = self.path.iter().try_for_each(|choice| choice.make(&mut life));
        let story = life.world.outside(|out| std::mem::take(&mut out.story));
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

/// The scene's life at its start.
fn begun<'a>(scene: &'a Scene, found: &'a Found, bug: Option<Bug>, story: Story) -> Box<Life<'a>> {
    let world = found.world(&scene.setup, scene.outside(story, bug));
    let life = Life::new(&scene.setup, world, History::new(&scene.setup), found);
    life.begin();
    life.world.own_work();
    Box::new(life)
}

/// Another life like this one.
fn copied<'a>(
    scene: &'a Scene,
    found: &'a Found,
    bug: Option<Bug>,
    spare: &mut Vec<Box<Life<'a>>>,
    life: &Life<'a>,
) -> Box<Life<'a>> {
    let mut copy = spare.pop().unwrap_or_else(|| begun(scene, found, bug, Story::default()));
    copy.copy_from(life);
    copy
}

/// Redundancy fits the data, unless recovery could not have it so.
pub(super) fn fits(scene: &Scene, life: &Life<'_>) -> Result<(), String> {
    if life.world_failures() > 0 {
        return Ok(());
    }
    let (health, rows) = (life.world.view().health, &scene.setup.rows);
    let misfit = life.world.outside(|out| {
        let trusted = check::trusted(&out.disks, &health);
        let now = |member, at| out.disks[check::serving(&health, member)].all_now(at);
        let fits = |row: &RowNo| check::fits(rows, trusted, *row, rows.whole(*row), now);
        (0..rows.count()).map(RowNo).find(|row| !fits(row))
    });
    misfit.map_or(Ok(()), |row| Err(format!("all is quiet, and row {} does not fit its redundancy", row.0)))
}
