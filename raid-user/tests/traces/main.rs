//! One trace, several hosts: a list of writes, failures, rebuilds and cuts goes through a model that is slow and obvious, through the
//! engine in user space, through the simulator, and in a guest (`raid-kmod/tests/guest/65-traces.sh`) through the engine in the
//! kernel. Each leaves the same members, byte by byte: what they are is in the trace.
//!
//! The traces are `tests/traces/*.txt` of the project, made by seeds; `RAID_WRITE_TRACES=1` writes them anew.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

mod model;
mod trace;

use raid_testkit::fixtures::sha256;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raid_core::geometry::Geometry;
use raid_core::region::RegionNo;
use raid_core::rows::Rows;
use raid_core::{Columns, Member, Sector, Sectors};
use raid_user::host::start::{Slot, Start};
use raid_user::host::{Running, Tuning};
use raid_user::media::{MediaMut, MemMedia, SharedMediaMut};
use raid_user::sim;

use trace::{KINDS, SHARE, Step, Trace, pattern};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/traces")
}

/// A member's content in short.
fn image(bytes: &[u8]) -> String {
    sha256(bytes)
}

/// The engine in user space, with members in memory.
struct Engine {
    geometry: Geometry,
    media: Vec<Arc<MemMedia>>,
    failed: Columns,
    running: Option<Running>,
}

fn medium() -> Arc<MemMedia> {
    Arc::new(MemMedia::new("member", vec![0; usize::try_from(SHARE * 512).unwrap()]))
}

impl Engine {
    fn new(geometry: &Geometry) -> Self {
        let media = (0..geometry.members()).map(|_| medium()).collect();
        let mut engine = Self { geometry: geometry.clone(), media, failed: Columns::EMPTY, running: None };
        engine.start(false);
        engine
    }

    fn start(&mut self, doubt: bool) {
        let rows = Rows::new(self.geometry.clone()).unwrap();
        let slot = |(number, medium): (u8, &Arc<MemMedia>)| Slot {
            media: (!self.failed.contains(Member(number))).then(|| Arc::clone(medium) as SharedMediaMut),
            data_at: Sector(0),
        };
        let slots = (0..).zip(&self.media).map(slot).collect();
        let regions = (0..rows.count().div_ceil(16)).map(RegionNo);
        let doubt = if doubt { regions.collect() } else { Vec::new() };
        let start = Start { doubt, ..Start::forgetful(rows, slots, 16).unwrap() };
        let tuning = Tuning { threads: 3, slots: 8, pieces: 64, ..Tuning::default() };
        self.running = Some(Running::start(start, &tuning).unwrap());
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    fn play(&mut self, step: Step, pattern: &[u8]) {
        match step {
            Step::Write { at, len, from } => {
                let bytes = &pattern[usize::try_from(from * 512).unwrap()..][..usize::try_from(len * 512).unwrap()];
                self.running().write_at(at * 512, bytes).unwrap();
            }
            Step::Flush => self.running().flush().unwrap(),
            Step::Fail(member) => {
                self.running().fail(member);
                self.failed.insert(member);
            }
            Step::Rebuild(member) => {
                self.running().wait_until_quiet();
                self.media[usize::from(member.0)] = medium();
                let new = Arc::clone(&self.media[usize::from(member.0)]);
                self.running().add(member, new).unwrap();
                self.running().wait_until_quiet();
                self.failed.remove(member);
                assert_eq!(self.running().health().missing(), self.failed);
            }
            Step::Cut => {
                self.running().wait_until_quiet();
                self.running = None;
                self.start(true);
                self.running().wait_until_quiet();
            }
        }
    }

    /// Members as they are in the end; none of those that failed.
    fn images(self) -> Vec<Option<Vec<u8>>> {
        self.running.unwrap().stop().unwrap();
        let there = |number: u8| !self.failed.contains(Member(number));
        (0..).zip(&self.media).map(|(number, medium)| there(number).then(|| medium.contents())).collect()
    }
}

fn traces() -> impl Iterator<Item = (&'static str, Trace)> {
    (0..).zip(&KINDS).map(|(seed, kind)| (kind.file, Trace::made(kind, seed)))
}

#[test]
fn traces_are_those_that_their_seeds_make_and_end_as_the_model_says() {
    let pattern = pattern();
    for (name, trace) in traces() {
        let mut model = model::Model::new(&trace.geometry());
        trace.steps.iter().for_each(|step| model.play(*step, &pattern));
        let images: Vec<String> =
            model.images().iter().map(|bytes| bytes.as_deref().map_or("-".into(), image)).collect();
        let text = format!("{trace}images {}\n", images.join(" "));
        let path = folder().join(name);
        if std::env::var_os("RAID_WRITE_TRACES").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{name}: RAID_WRITE_TRACES=1 writes it anew");
    }
}

#[test]
fn the_engine_in_user_space_leaves_the_members_that_the_model_leaves() {
    let pattern = pattern();
    for (name, trace) in traces() {
        let geometry = trace.geometry();
        let (mut model, mut engine) = (model::Model::new(&geometry), Engine::new(&geometry));
        for step in &trace.steps {
            model.play(*step, &pattern);
            engine.play(*step, &pattern);
        }
        for (member, (ours, wanted)) in engine.images().iter().zip(model.images()).enumerate() {
            assert_eq!(ours.is_some(), wanted.is_some(), "{name}: member {member}");
            let differs = ours.iter().flatten().zip(wanted.iter().flatten()).position(|(one, other)| one != other);
            assert_eq!(differs, None, "{name}: member {member} differs at that byte");
        }
    }
}

/// Words of eight bytes in a sector.
const WORDS: usize = 64;

/// Worlds that are played: all of them make whole members, and take minutes in a build for tests.
const WORLDS: usize = if cfg!(debug_assertions) { 2 } else { WORDS };

/// One word of each sector.
fn words(bytes: &[u8], word: usize) -> Vec<u64> {
    let sectors = bytes.chunks(512).map(|sector| &sector[word * 8..][..8]);
    sectors.map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

/// Each word of a sector is a world of its own, with its own order of everything.
#[test]
fn the_simulator_leaves_the_members_that_the_model_leaves() {
    let pattern = pattern();
    for (name, trace) in traces() {
        let geometry = trace.geometry();
        let mut model = model::Model::new(&geometry);
        trace.steps.iter().for_each(|step| model.play(*step, &pattern));
        let wanted = model.images();
        for world in 0..WORLDS {
            let word = world * WORDS / WORLDS;
            let values = words(&pattern, word);
            let range = |from: u64, len: u64| usize::try_from(from).unwrap()..usize::try_from(from + len).unwrap();
            let step = |step: &Step| match *step {
                Step::Write { at, len, from } => {
                    sim::trace::Step::Write { at: Sector(at), words: &values[range(from, len)] }
                }
                Step::Flush => sim::trace::Step::Flush,
                Step::Fail(member) => sim::trace::Step::Fail(member),
                Step::Rebuild(member) => sim::trace::Step::Rebuild(member),
                Step::Cut => sim::trace::Step::Cut,
            };
            let steps: Vec<_> = trace.steps.iter().map(step).collect();
            let images = sim::trace::play(&geometry, Sectors(SHARE), &steps, word as u64);
            let images = images.unwrap_or_else(|broken| panic!("{name}, word {word}: {broken}"));
            for (member, (ours, wanted)) in images.iter().zip(&wanted).enumerate() {
                let wanted = wanted.as_ref().map(|bytes| words(bytes, word));
                assert!(*ours == wanted, "{name}: word {word} of a sector of member {member} differs");
            }
        }
    }
}
