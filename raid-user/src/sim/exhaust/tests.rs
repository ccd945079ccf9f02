//! Trying everything finds nothing wrong in the smallest bounds, and the mistakes that it can meet in them.

use super::super::Bug;
use super::super::disk::Disk;
use super::{Bounds, Tried, Wrong, run};

fn tried(requests: u8, events: u8, members_max: u16, bug: Option<Bug>) -> Result<Tried, Box<Wrong>> {
    run(Bounds { requests, events, members_max }, bug, 1, &|_, _| {})
}

/// `cargo xtask test` has wider bounds, in a release build.
#[test]
fn one_request_and_a_power_cut_break_no_promise_of_any_level() {
    let tried = tried(1, 0, 4, None).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(tried.states > 3000 && tried.crash_states > 1000 && tried.cuts > tried.crash_states, "{tried}");
}

/// Mistakes with the log, with FUA, with a failure that is not written down, and with the parity that a missing member needs.
#[test]
fn mistakes_are_found_within_one_request_and_one_event_and_told() {
    for bug in [Bug::SkipLog, Bug::LostFua, Bug::AckBeforeEpoch, Bug::WrongDegradedParity] {
        let wrong = tried(1, 1, 3, Some(bug)).expect_err("it is found");
        let cut = wrong.story.iter().any(|line| line == "power cut");
        assert!(wrong.story.iter().any(|line| line.starts_with("request ")), "{bug:?}: {wrong}");
        assert!(cut || bug == Bug::WrongDegradedParity, "{bug:?}: {wrong}");
    }
}

#[test]
fn disks_that_were_written_in_another_order_are_the_same_until_a_flush_tells_them_apart() {
    let written = |order: [usize; 2]| {
        let mut disk = Disk::new(2, |_| 0);
        disk.write(order[0], 7, false);
        let between = disk.clock();
        disk.write(order[1], 7, false);
        (disk, between)
    };
    let ((one, between), (other, _)) = (written([0, 1]), written([1, 0]));
    assert_eq!(one.mark(&[]), other.mark(&[]));
    assert_eq!(one.mark(&[one.clock()]), other.mark(&[other.clock()]));
    assert_ne!(one.mark(&[between]), other.mark(&[between]));
}
