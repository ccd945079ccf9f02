//! The simulator's own tests: it finds nothing wrong with the engine, and everything that is made wrong on purpose.

use super::{Bug, Mode, Totals, Violation};

/// Seeds of every build. More are run by `raid sim`.
const SEEDS: u64 = 2000;

fn run(seed: u64, bug: Option<Bug>) -> Result<Totals, Box<Violation>> {
    super::run(seed, Mode::Rough, bug)
}

#[test]
fn no_seed_breaks_a_promise() {
    let mut totals = Totals::default();
    for seed in 0..SEEDS {
        match run(seed, None) {
            Ok(more) => totals += more,
            Err(violation) => panic!("{violation}"),
        }
    }
    assert!(
        totals.writes > 10_000
            && totals.cuts > 300
            && totals.faults > 300
            && totals.added > 300
            && totals.returned > 100,
        "{totals}"
    );
}

#[test]
fn no_plain_seed_breaks_a_promise() {
    let mut totals = Totals::default();
    for seed in 0..30 {
        totals += super::run(seed, Mode::Plain, None).unwrap_or_else(|violation| panic!("{violation}"));
    }
    assert!(totals.writes > 100_000 && totals.cuts > 20 && totals.faults > 50 && totals.added > 30, "{totals}");
}

#[test]
fn a_seed_is_a_replay() {
    for seed in 0..5 {
        assert_eq!(run(seed, None).unwrap(), run(seed, None).unwrap());
    }
}

/// Within so many seeds each mistake must be caught. Most need a handful.
const SEEDS_TO_CATCH: u64 = 300;

fn caught(bug: Bug) -> Option<Box<Violation>> {
    (0..SEEDS_TO_CATCH).find_map(|seed| run(seed, Some(bug)).err())
}

#[test]
fn every_mistake_is_caught_within_its_number_of_seeds() {
    let missed: Vec<&Bug> = Bug::all().iter().filter(|bug| caught(**bug).is_none()).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// Requests, faults, power cuts and the like in the shortest story of a mistake.
const STEPS_MAX: usize = 40;

/// Some of the canaries: all of them take a minute (`raid sim --bug NAME`).
#[test]
fn a_mistake_shrinks_to_a_short_story_that_can_be_drawn() {
    for bug in [Bug::SkipLog, Bug::StaleReturn, Bug::IgnoreWriteError, Bug::SkipParity, Bug::LostFlush, Bug::LostFua] {
        let long = caught(bug).expect("it is caught");
        let short = long.shrunk();
        assert!(short.steps <= STEPS_MAX && short.steps <= long.steps, "{bug:?}: {short}");
        assert!(short.story.first().is_some_and(|line| line.starts_with("power on")), "{bug:?}: {short}");
        let drawn = roxmltree::Document::parse(&short.timeline).unwrap();
        let bars = drawn.descendants().filter(|node| node.has_tag_name("title")).count();
        let asked = short.story.iter().filter(|line| line.contains("request") && line.contains(": Write")).count();
        assert!(bars > asked, "{bug:?}: {bars} bars, {asked} writes");
    }
}

#[test]
fn a_story_without_a_mistake_is_drawn_too() {
    let drawn = super::draw(3, Mode::Rough, None);
    let drawn = roxmltree::Document::parse(&drawn).unwrap();
    assert!(drawn.descendants().any(|node| node.text().is_some_and(|text| text.contains("no promise was broken"))));
}
