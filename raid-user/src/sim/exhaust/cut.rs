//! The power goes, at this moment: every subset of what is on its way arrives. What is in doubt is known sector by sector, page by page,
//! so the subsets are the product of their fates; a disk that vanished may be back.

use std::collections::BTreeMap;

use raid_core::action::{Action, Way};
use raid_core::health::{Epoch, Health};
use raid_core::rows::ROW_LEN;

use super::super::Bug;
use super::super::assembly::Found;
use super::super::deeds::write_down;
use super::super::dice::{Dice, Script};
use super::super::disk::Disk;
use super::super::life::Life;
use super::super::model::{Model, Value};
use super::super::same::Mark;
use super::super::story::{Fact, Story};
use super::super::world::{Outside, World, index, target};
use super::super::{History, Totals, theorem};
use super::Tried;
use super::scene::{REACH, Scene};
use super::search::{Broken, Seen, fits};

/// Requests of the life after a cut have numbers from here on.
const NEXT_LIFE: u64 = 1 << 20;

/// What a power cut decides.
#[derive(Clone, Debug, Hash)]
enum Fate {
    /// A sector holds this.
    Sector(usize, Value),
    /// The log is this, and since when its bits are whole.
    Log(Vec<Vec<u64>>, Epoch),
    /// The members' states are these.
    States(Box<Option<Health>>),
    /// It is there, or not.
    There(bool),
}

impl Fate {
    fn befall(self, disk: &mut Disk) {
        match self {
            Self::Sector(at, value) => disk.engrave(at, value),
            Self::Log(log, cleared) => (disk.log, disk.cleared) = (log, cleared),
            Self::States(health) => disk.health = *health,
            Self::There(there) => disk.present = there,
        }
    }

    fn mark(&self, disk: usize) -> u64 {
        Mark::of(&(disk, self))
    }
}

/// The fates that one thing may have, the first if nothing arrives.
struct Open {
    disk: usize,
    fates: Vec<Vec<Fate>>,
    marks: Vec<u64>,
}

impl Open {
    fn new(disk: usize, fates: Vec<Vec<Fate>>) -> Self {
        let mark = |fates: &Vec<Fate>| fates.iter().fold(0, |sum: u64, fate| sum.wrapping_add(fate.mark(disk)));
        Self { disk, marks: fates.iter().map(mark).collect(), fates }
    }

    /// Sectors that share their fate: what was written to each, the oldest first.
    fn sectors(disk: usize, sectors: &[(usize, Vec<Value>)]) -> Self {
        let ways = sectors.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        let fate = |way: usize| {
            let value = |values: &Vec<Value>| values[way.min(values.len() - 1)];
            sectors.iter().map(|(at, values)| Fate::Sector(*at, value(values))).collect()
        };
        Self::new(disk, (0..ways).map(fate).collect())
    }
}

/// Crash states that were seen.
pub(super) struct Cuts<'a> {
    scene: &'a Scene,
    bug: Option<Bug>,
    seen: Seen,
}

impl<'a> Cuts<'a> {
    pub(super) fn new(scene: &'a Scene, bug: Option<Bug>) -> Self {
        Self { scene, bug, seen: Seen::default() }
    }

    /// The power goes now, in every way that it can.
    pub(super) fn look(&mut self, life: &Life<'_>, tried: &mut Tried) -> Result<(), Broken> {
        let open = open(&life.world);
        let mut model = life.model.clone();
        model.power_cut();
        let nothing = life.world.outside(|out| lasting(&out.disks)).wrapping_add(Mark::of(&model));
        let mut ways = vec![0; open.len()];
        loop {
            tried.cuts += 1;
            let mark = open
                .iter()
                .zip(&ways)
                .fold(nothing, |mark, (open, way)| mark.wrapping_sub(open.marks[0]).wrapping_add(open.marks[*way]));
            if self.seen.insert(mark) {
                tried.crash_states += 1;
                let left = || {
                    let mut disks = life.world.outside(|out| out.disks.clone());
                    disks.iter_mut().for_each(Disk::forget);
                    for (open, way) in open.iter().zip(&ways) {
                        open.fates[*way].iter().cloned().for_each(|fate| fate.befall(&mut disks[open.disk]));
                    }
                    disks
                };
                if let (Err(what), _) = self.recover(left(), model.clone(), Story::default()) {
                    let (_, story) = self.recover(left(), model, Story::told());
                    let arrived = open.iter().zip(&ways).filter(|(_, way)| **way > 0);
                    let arrived =
                        arrived.map(|(open, way)| format!("    member {}: {:x?}", open.disk, open.fates[*way]));
                    let after = story.facts().iter().map(Fact::to_string);
                    let more = std::iter::once(Fact::PowerCut.to_string()).chain(arrived).chain(after).collect();
                    return Err(Broken { what, more });
                }
            }
            if !next(&mut ways, &open) {
                return Ok(());
            }
        }
    }

    /// The next life: redundancy that does not fit has its bit, all of it is brought in order, and every promise is kept.
    fn recover(&self, disks: Vec<Disk>, model: Model, story: Story) -> (Result<(), String>, Story) {
        let setup = &self.scene.setup;
        let dice = Dice::played(Script::default());
        let outside = Outside { dice, disks, shelf: Vec::new(), bug: self.bug, story, actions: 0 };
        let found = match theorem(setup, &outside.disks).and_then(|()| Found::new(setup, &outside)) {
            Ok(found) => found,
            Err(what) => return (Err(what), outside.story),
        };
        let history = History { model, totals: Totals::default(), next_id: NEXT_LIFE };
        let mut life = Life::new(setup, found.world(setup, outside), history, &found);
        life.begin();
        let result = life.drain().and_then(|()| fits(self.scene, &life)).and_then(|()| life.read_all());
        (result, life.world.outside(|out| std::mem::take(&mut out.story)))
    }
}

/// The next subset. False if that was the last.
fn next(ways: &mut [usize], open: &[Open]) -> bool {
    for (way, open) in ways.iter_mut().zip(open) {
        *way += 1;
        if *way < open.fates.len() {
            return true;
        }
        *way = 0;
    }
    false
}

/// The mark of what lasts if nothing arrives.
fn lasting(disks: &[Disk]) -> u64 {
    let mut sum = 0_u64;
    for (number, disk) in disks.iter().enumerate() {
        let sectors = (0..disk.len()).map(|at| Fate::Sector(at, disk.durable(at)));
        let others =
            [Fate::Log(disk.log.clone(), disk.cleared), Fate::States(Box::new(disk.health)), Fate::There(disk.present)];
        sum = sectors.chain(others).fold(sum, |sum, fate| sum.wrapping_add(fate.mark(number)));
    }
    sum
}

/// All that is open now.
fn open(world: &World) -> Vec<Open> {
    let mut inside = world.inside.borrow_mut();
    let mut sectors: Vec<BTreeMap<usize, Vec<Value>>> = inside.out.disks.iter().map(Disk::fates).collect();
    let mut open: Vec<Open> = Vec::new();
    for (number, disk) in inside.out.disks.iter().enumerate().filter(|(_, disk)| !disk.present) {
        open.push(Open::new(number, vec![vec![Fate::There(disk.present)], vec![Fate::There(true)]]));
    }
    for at in 0..inside.pending.len() {
        let action = inside.pending[at].action;
        let Some((member, token)) = target(&action) else { continue };
        let number = usize::from(member.0);
        if !inside.out.disks[number].present || !inside.is_meant(member, &token) {
            continue;
        }
        let with = |fate: fn(&Disk) -> Fate| {
            let before = &inside.out.disks[number];
            let mut after = before.clone();
            write_down(action, &mut after, world, inside.out.bug);
            Open::new(number, vec![vec![fate(before)], vec![fate(&after)]])
        };
        match action {
            Action::Io { way: Way::Write { .. }, at, len, buf, .. } => {
                let (from, len) = (index(at.0), index(len.0));
                let rows = 0..len.div_ceil(ROW_LEN);
                let values: Vec<_> = rows.flat_map(|row| inside.content(buf, from, row)).collect();
                for (at, value) in (from..from + len).zip(values) {
                    let before = inside.out.disks[number].durable(at);
                    let fates = sectors[number].entry(at).or_insert_with(|| vec![before]);
                    if !fates.contains(&value) {
                        fates.push(value);
                    }
                }
            }
            Action::WriteLog { .. } => open.push(with(|disk| Fate::Log(disk.log.clone(), disk.cleared))),
            Action::WriteHealth { .. } => open.push(with(|disk| Fate::States(Box::new(disk.health)))),
            _ => {}
        }
    }
    for (disk, fates) in sectors.into_iter().enumerate() {
        let mut rows: BTreeMap<usize, Vec<(usize, Vec<Value>)>> = BTreeMap::new();
        for (at, values) in fates.into_iter().filter(|(_, values)| values.len() > 1) {
            // What requests do not reach is written by the row.
            let first = if at % ROW_LEN < REACH { at } else { at / ROW_LEN * ROW_LEN + REACH };
            rows.entry(first).or_default().push((at, values));
        }
        open.extend(rows.values().map(|sectors| Open::sectors(disk, sectors)));
    }
    open
}
