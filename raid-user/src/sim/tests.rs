//! The simulator's own tests: it finds nothing wrong with the engine, and everything that is made wrong on purpose.

use super::{Bug, Totals, run};

/// Seeds of every build. More are run by `raid sim`.
const SEEDS: u64 = 2000;

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
fn a_seed_is_a_replay() {
    for seed in 0..5 {
        assert_eq!(run(seed, None).unwrap(), run(seed, None).unwrap());
    }
}

/// Within so many seeds each mistake must be caught. Most need a handful.
const SEEDS_TO_CATCH: u64 = 100;

#[test]
fn every_mistake_is_caught_within_its_number_of_seeds() {
    let missed: Vec<&Bug> =
        Bug::all().iter().filter(|bug| (0..SEEDS_TO_CATCH).all(|seed| run(seed, Some(**bug)).is_ok())).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
