//! Not dice but everything: each order in which completions can come, each moment at which a member can fail or join or the power
//! can go, and each subset of what was not flushed then.
//!
//! The arrays are as small as they can be: two rows, one shard. A world is copied where the ways part, and gone on with only if nobody
//! has been there (`sim::same`). What needs no member (arithmetic, a shard that has work) is done at once: its
//! orders are the dice's. What a power cut may leave is tried out once for equal disks and equal promises: assembled,
//! recovered, and read.

mod cut;
mod scene;
mod search;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::Args;

use super::Bug;
use super::assembly::Found;
use super::story::Story;
use scene::Scene;
use search::Search;

/// How much is tried.
#[derive(Args, Clone, Copy, Debug)]
pub struct Bounds {
    /// Requests of the host, and sweeps of the log
    #[arg(long, default_value_t = 2, value_name = "N", requires = "exhaustive")]
    pub requests: u8,
    /// Members that fail, or join
    #[arg(long, default_value_t = 1, value_name = "N", requires = "exhaustive")]
    pub events: u8,
    /// Members of the largest array
    #[arg(long, default_value_t = 4, value_name = "N", requires = "exhaustive")]
    pub members_max: u16,
}

/// What was tried, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Arrays, each whole and with a member missing.
    pub scenes: u64,
    /// Distinct states of engine, disks and promises.
    pub states: u64,
    /// Ways from one to another.
    pub steps: u64,
    /// What a power cut could leave, looked at in all states.
    pub cuts: u64,
    /// The distinct ones of those; each was recovered.
    pub crash_states: u64,
}

impl AddAssign for Tried {
    fn add_assign(&mut self, other: Self) {
        self.scenes += other.scenes;
        self.states += other.states;
        self.steps += other.steps;
        self.cuts += other.cuts;
        self.crash_states += other.crash_states;
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenes, states, steps, cuts, crash_states } = self;
        write!(
            f,
            "{scenes} scenes, {states} states, {steps} steps, {cuts} power cuts, {crash_states} distinct crash states"
        )
    }
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// The array.
    pub array: String,
    /// What was wrong.
    pub what: String,
    /// What happened before, the last line last.
    pub story: Vec<String>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.array)?;
        for line in &self.story {
            writeln!(f, "  {line}")?;
        }
        write!(f, "  => {}", self.what)
    }
}

/// Tries everything within the bounds, on so many threads. Few requests come first, so that a story is short. `done` is told of each
/// scene that is through.
///
/// # Errors
/// The first [`Wrong`].
pub fn run(
    bounds: Bounds,
    bug: Option<Bug>,
    threads: usize,
    done: &(dyn Fn(&str, &Tried) + Sync),
) -> Result<Tried, Box<Wrong>> {
    let mut tried = Tried::default();
    for requests in 1..=bounds.requests {
        let bounds = Bounds { requests, ..bounds };
        let last = requests == bounds.requests;
        tried = run_all(&scene::all(bounds.members_max), bounds, bug, threads, &|name, tried| {
            if last {
                done(name, tried);
            }
        })?;
    }
    Ok(tried)
}

fn run_all(
    scenes: &[Scene],
    bounds: Bounds,
    bug: Option<Bug>,
    threads: usize,
    done: &(dyn Fn(&str, &Tried) + Sync),
) -> Result<Tried, Box<Wrong>> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut all = Tried::default();
        while !stop.load(Ordering::Relaxed) {
            let Some(scene) = scenes.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            let found =
                Found::new(&scene.setup, &scene.outside(Story::default(), bug)).expect("the disks were just made");
            match Search::new(scene, &found, bug).run(bounds, &stop) {
                Ok(tried) => {
                    done(&scene.name(), &tried);
                    all += tried;
                }
                Err(wrong) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(wrong);
                }
            }
        }
        Ok(all)
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let joined =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.chain([own]).try_fold(Tried::default(), |mut all, tried| {
            all += tried?;
            Ok(all)
        })
    })
}
