//! Write plans against a checker that knows nothing of how they are made: it follows a plan column by column and asks whether
//! every step has what it needs, and whether redundancy fits the data in the end. All sights of small arrays, all touched columns.
#![expect(clippy::unwrap_used, reason = "tests")]

use raid_core::geometry::{Geometry, StripeMap};
use raid_core::health::{Event, Health};
use raid_core::plan::{self, How};
use raid_core::plan_write::{self, Aim, Method, Plan};
use raid_core::request::Error;
use raid_core::reshape::Layouts;
use raid_core::rows::{RowNo, Rows, Sight};
use raid_core::{
    ArrayConfig, Columns, FarSets, Level, Member, Raid5Layout, Raid6Layout, Raid10Layout, Sector, Sectors, Sizes,
    StripeNo,
};

fn stripe(level: Level, members: u16) -> StripeMap {
    let config = ArrayConfig { level, members, chunk: Sectors(8), sizes: Sizes::Same(Sectors(64)), array_size: None };
    Geometry::new(&config).unwrap().stripe(StripeNo(1)).unwrap()
}

fn raid5(members: u16) -> StripeMap {
    stripe(Level::Raid5(Raid5Layout::LeftSymmetric), members)
}

fn raid6(members: u16) -> StripeMap {
    stripe(Level::Raid6(Raid6Layout::LeftSymmetric), members)
}

/// All sets of some columns.
fn subsets(of: Columns) -> impl Iterator<Item = Columns> {
    let members: Vec<Member> = of.iter().collect();
    (0_u32..1 << members.len()).map(move |bits| {
        members.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1).map(|(_, member)| *member).collect()
    })
}

fn within(inner: Columns, outer: Columns) -> bool {
    inner.difference(outer).is_empty()
}

/// All that the members of a stripe can be: each is in sync, just failed a read, is being rebuilt, or is missing.
fn sights(stripe: &StripeMap) -> Vec<Sight> {
    let members = Columns::first(stripe.members());
    let mut sights = Vec::new();
    for writable in subsets(members) {
        for readable in subsets(writable) {
            for bad in subsets(readable) {
                for doubt in [false, true] {
                    sights.push(Sight {
                        members,
                        readable,
                        preferred: readable,
                        writable,
                        bad,
                        doubt,
                        ..Sight::default()
                    });
                }
            }
        }
    }
    sights
}

/// Follows the plan of a write, or of a heal with nothing touched. What the buffers hold after each step must suffice for the next.
fn follow(stripe: &StripeMap, sight: &Sight, touched: Columns, plan: &Plan) {
    let (data, parity) = (Rows::data(stripe), Rows::parity(stripe));
    let what = format!("{sight:?} touched {touched:?}: {plan:?}");
    assert!(within(plan.reads, sight.readable.difference(sight.bad)), "reads what cannot be read: {what}");
    assert!(within(plan.writes, sight.writable), "writes what takes no writes: {what}");
    let mut known = plan.reads;
    if !plan.recover.is_empty() {
        assert!(!sight.doubt, "recovers from what is in doubt: {what}");
        assert!(within(plan.recover, data) && within(plan.recover_by, plan.reads.intersection(parity)), "{what}");
        assert!(plan.recover_by.len() >= plan.recover.len(), "too little parity: {what}");
        assert!(within(data.difference(plan.recover), known), "recovers from less than the rest: {what}");
        known = known.union(plan.recover);
    }
    if !plan.parity.is_empty() {
        match plan.method {
            Method::Modify => {
                assert!(!sight.doubt, "modifies what is in doubt: {what}");
                assert!(within(touched.union(plan.parity), known), "modifies what it has not: {what}");
            }
            Method::Reconstruct => assert!(within(data.difference(touched), known), "parity of less than all: {what}"),
        }
        assert!(within(plan.parity, parity), "{what}");
    }
    known = known.union(touched).union(plan.parity);
    assert!(within(plan.writes.union(plan.copies), known), "writes what it does not know: {what}");
}

#[test]
fn every_write_plan_can_be_followed_and_leaves_redundancy_that_fits() {
    for stripe in [raid5(3), raid5(4), raid6(4), raid6(5)] {
        let (data, parity) = (Rows::data(&stripe), Rows::parity(&stripe));
        for sight in sights(&stripe) {
            for touched in subsets(data).filter(|touched| !touched.is_empty()) {
                let Ok(plan) = plan_write::parity(&stripe, &sight, Aim::Write(touched)) else { continue };
                follow(&stripe, &sight, touched, &plan);
                let due = touched.union(parity).intersection(sight.writable);
                assert!(within(due, plan.writes), "{sight:?} {touched:?} {plan:?}");
                assert_eq!(plan.parity, parity.intersection(sight.writable));
            }
        }
    }
}

#[test]
fn a_write_is_refused_only_if_there_is_no_way() {
    for stripe in [raid5(4), raid6(5)] {
        let (data, parity) = (Rows::data(&stripe), Rows::parity(&stripe));
        for sight in sights(&stripe) {
            for touched in subsets(data).filter(|touched| !touched.is_empty()) {
                let plan = plan_write::parity(&stripe, &sight, Aim::Write(touched));
                let known = sight.readable.difference(sight.bad);
                let gone = sight.members.difference(sight.writable);
                // With the data columns that stay all readable, or no parity to be made, nothing is needed of anybody.
                let easy = within(data.difference(touched), known) || parity.intersection(sight.writable).is_empty();
                let lost = data.difference(known).len() > parity.intersection(known).len();
                let modified = touched.union(parity.intersection(sight.writable));
                let expected = if gone.len() > parity.len() {
                    Err(Error::Lost)
                } else if easy || (!sight.doubt && within(modified, known)) {
                    Ok(())
                } else if lost {
                    Err(Error::Lost)
                } else if sight.doubt {
                    Err(Error::Doubted)
                } else {
                    Ok(())
                };
                assert_eq!(plan.map(|_| ()), expected, "{sight:?} {touched:?}");
            }
        }
    }
}

#[test]
fn every_heal_can_be_followed_and_reaches_all_who_need_it() {
    for stripe in [raid5(4), raid6(5)] {
        let copied = |sight: Sight, member| Sight { copied: member, wanting: member, ..sight };
        let all = sights(&stripe).into_iter();
        let copied = all.flat_map(|sight| {
            let each = sight.readable.iter().map(move |member| copied(sight, Columns::one(member)));
            each.chain([sight, copied(sight, sight.readable)])
        });
        for sight in copied {
            let Ok(plan) = plan_write::parity(&stripe, &sight, Aim::Heal) else { continue };
            follow(&stripe, &sight, Columns::EMPTY, &plan);
            assert_eq!(plan.copies, sight.copied, "{sight:?} {plan:?}");
            let due = sight.writable.difference(sight.readable).union(sight.bad.intersection(sight.writable));
            assert!(within(due, plan.writes), "{sight:?} {plan:?}");
            if sight.doubt {
                assert!(within(Rows::parity(&stripe).intersection(sight.writable), plan.parity), "{sight:?} {plan:?}");
            }
        }
    }
}

#[test]
fn the_cheaper_way_to_parity_is_taken() {
    let stripe = raid5(8);
    let whole = Columns::first(8);
    let sight = Sight { members: whole, readable: whole, preferred: whole, writable: whole, ..Sight::default() };
    // Seven data columns. Modifying reads the touched ones and P; reconstructing reads the others; a tie reconstructs.
    let counts = [(1, 2), (2, 3), (3, 4), (4, 3), (5, 2), (6, 1), (7, 0)];
    for (touched, reads) in counts {
        let columns: Columns = Rows::data(&stripe).iter().take(touched).collect();
        let plan = plan_write::parity(&stripe, &sight, Aim::Write(columns)).unwrap();
        let method = if touched < 3 { Method::Modify } else { Method::Reconstruct };
        assert_eq!((plan.reads.len(), plan.method), (reads, method), "{touched} columns");
        assert_eq!(plan.writes.len() as usize, touched + 1);
    }
}

#[test]
fn copies_in_doubt_are_all_made_what_the_first_one_is() {
    let whole = Columns::first(3);
    let sight =
        Sight { members: whole, readable: whole, preferred: whole, writable: whole, doubt: true, ..Sight::default() };
    let plan = plan_write::copies(&sight, Aim::Heal).unwrap();
    assert_eq!(plan.reads, Columns::one(Member(0)));
    assert_eq!(plan.writes, whole.difference(plan.reads));
    let read = plan_write::copies(&sight, Aim::Fetch(Columns::one(Member(0)))).unwrap();
    assert_eq!((read.reads, read.writes), (plan.reads, Columns::EMPTY));
}

/// A RAID 10 whose copies differ after a power cut served a row from its first copy, in the order of the layout, and then healed it from
/// the copy with the lowest member number: what had been read was replaced by something older. Found by the simulator when
/// its model learned that what was read while all is quiet does not change by itself: far 2 on 3 members, sector 16, whose first copy is on
/// member 2 and whose second is on member 0.
#[test]
fn copies_in_doubt_are_healed_from_the_one_that_reads_take() {
    for (near, far, offset, members) in
        [(2, 1, false, 3), (3, 1, false, 5), (1, 2, false, 3), (1, 2, true, 4), (2, 2, false, 5)]
    {
        let level = Level::Raid10(Raid10Layout { near, far, offset, sets: FarSets::All });
        let sizes = Sizes::Same(Sectors(64));
        let config = ArrayConfig { level, members, chunk: Sectors(8), sizes, array_size: None };
        let geometry = Geometry::new(&config).unwrap();
        let (layouts, rows) = (Layouts::one(geometry.clone()), Rows::new(geometry).unwrap());
        for (row, missing) in (0..rows.count()).flat_map(|row| (0..=members).map(move |missing| (row, missing))) {
            let mut health = Health::new(members).unwrap();
            for member in Columns::first(members).iter().filter(|member| u16::from(member.0) != missing) {
                health.apply(member, Event::Admit).unwrap();
            }
            let read = plan::read(&layouts, &health, Sector(row * 8), Sectors(8)).unwrap();
            let How::Direct { place } = read.how else { panic!("one missing is survived: {read:?}") };
            let mut sight = rows.sight(RowNo(row), rows.whole(RowNo(row)), &health);
            sight.doubt = true;
            let heal = plan_write::copies(&sight, Aim::Heal).unwrap();
            assert_eq!(heal.reads, Columns::one(place.member), "{near} {far} {offset}: row {row} without {missing}");
        }
    }
}
