//! The states of members, every one against every event.

extern crate std;

use std::vec::Vec;

use super::*;

const MARK: Event = Event::Rebuild { mark: Sector(40) };

fn health(events: &[(u8, Event)]) -> Health {
    let mut health = Health::new(20).unwrap();
    for (member, event) in events {
        health.apply(Member(*member), *event).unwrap();
    }
    health
}

fn trusts(health: &Health, member: u8, at: u64) -> (Readable, u64) {
    let (readable, run) = health.readable(Side::Old, Member(member), Sector(at), Sectors(16));
    (readable, run.0)
}

#[test]
fn nobody_is_trusted_before_somebody_vouches_for_them() {
    let health = health(&[]);
    assert_eq!(health.missing(), Columns::first(20));
    assert_eq!(trusts(&health, 0, 0), (Readable::No, 16));
    assert_eq!(trusts(&health, 20, 0), (Readable::No, 16));
}

#[test]
fn a_rebuilding_member_is_read_below_its_mark_only() {
    let health = health(&[(3, MARK)]);
    assert_eq!(trusts(&health, 3, 10), (Readable::Yes, 16));
    assert_eq!(trusts(&health, 3, 39), (Readable::Yes, 1));
    assert_eq!(trusts(&health, 3, 40), (Readable::No, 16));
}

#[test]
fn a_write_mostly_member_is_read_if_needed_even_after_it_came_back() {
    let mut health = health(&[(0, Event::Admit)]);
    let epoch = health.set_write_mostly(Member(0), true).unwrap();
    assert_eq!(trusts(&health, 0, 0), (Readable::IfNeeded, 16));
    assert_eq!(health.set_write_mostly(Member(0), true), Ok(epoch));
    health.apply(Member(0), Event::Fail).unwrap();
    health.apply(Member(0), MARK).unwrap();
    assert_eq!(trusts(&health, 0, 30), (Readable::IfNeeded, 10));
}

#[test]
fn every_change_is_a_new_epoch_and_no_other_thing_is() {
    let mut health = health(&[]);
    let steps = [Event::Admit, Event::Fail, MARK, Event::Advance { mark: Sector(41) }, Event::Finish, Event::Fail];
    let epochs: Vec<u64> = steps.iter().map(|event| health.apply(Member(7), *event).unwrap().0).collect();
    assert_eq!(epochs, [1, 2, 3, 4, 5, 6]);
    assert_eq!(health.apply(Member(7), Event::Fail), Ok(Epoch(6)));
}

#[test]
fn what_is_out_of_order_is_refused_and_changes_nothing() {
    let advance = |mark| Event::Advance { mark: Sector(mark) };
    let cases: [(&[(u8, Event)], Event); 8] = [
        (&[], advance(1)),
        (&[], Event::Finish),
        (&[(1, Event::Admit)], Event::Admit),
        (&[(1, Event::Admit)], MARK),
        (&[(1, Event::Admit)], advance(1)),
        (&[(1, MARK)], Event::Admit),
        (&[(1, MARK)], MARK),
        (&[(1, MARK)], advance(39)),
    ];
    for (before, event) in cases {
        let mut after = health(before);
        let state = after.state(Member(1)).unwrap();
        let refused = HealthError::OutOfOrder { member: Member(1), state, event };
        assert_eq!(after.apply(Member(1), event), Err(refused));
        assert_eq!(after, health(before));
    }
}

#[test]
fn the_ninth_rebuild_waits_until_another_is_through() {
    let mut health = health(&(0..8).map(|member| (member, MARK)).collect::<Vec<_>>());
    let before = health;
    let full = Err(HealthError::TooManyRebuilding { member: Member(9) });
    assert_eq!(health.apply(Member(9), MARK), full);
    assert_eq!(health, before);
    assert!(health.apply(Member(4), Event::Advance { mark: Sector(50) }).is_ok());
    // Changes of others, with all places taken, touch nobody's mark.
    health.apply(Member(12), Event::Admit).unwrap();
    assert_eq!(health.rebuilding().count(), 8);
    health.apply(Member(4), Event::Finish).unwrap();
    assert!(health.apply(Member(9), MARK).is_ok());
    assert_eq!(health.in_sync(), [Member(4), Member(12)].into_iter().collect());
    assert_eq!(health.missing().len(), 20 - 2 - 8);
}

#[test]
fn slots_that_there_are_not_are_refused_by_number() {
    assert_eq!(Health::new(0), Err(HealthError::Members { found: 0 }));
    assert_eq!(Health::new(256), Err(HealthError::Members { found: 256 }));
    let refused = Err(HealthError::NoSuchMember { member: Member(20), members: 20 });
    assert_eq!(health(&[]).apply(Member(20), Event::Admit), refused);
    assert_eq!(health(&[]).set_write_mostly(Member(20), true), refused);
    assert_eq!(health(&[]).state(Member(20)), None);
}
