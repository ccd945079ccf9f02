//! Sets that start, and sets that do not, from records as [`create`](crate::dm::create) and [`update`](crate::dm::update) write them.

extern crate std;

use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::dm::{CreateParams, RaidState, create, update};
use raid_core::rows::Rows;

const SHARE: Sectors = Sectors(8192);

/// A line, and what each slot's metadata device has.
struct World {
    line: Vec<&'static str>,
    len: Sectors,
    blocks: Vec<Option<Vec<u8>>>,
}

impl World {
    fn new(line: &'static str, len: u64, blocks: usize) -> Self {
        let line = line.split_whitespace().collect();
        Self { line, len: Sectors(len), blocks: vec![Some(vec![0; 512]); blocks] }
    }

    fn with<R>(&self, f: impl FnOnce(&Table<'_, '_>, &Geometry) -> R) -> R {
        let table = Table::parse(&self.line).unwrap();
        f(&table, &Geometry::new(&table.config(self.len).unwrap()).unwrap())
    }

    fn judge(&self) -> Result<Set, SetError> {
        self.with(|table, geometry| {
            let kind = Rows::new(geometry.clone()).unwrap().kind();
            let block = |slot: Member| match self.blocks.get(usize::from(slot.0)) {
                Some(Some(bytes)) => Block::Read(bytes.as_slice()),
                Some(None) => Block::Unreadable,
                None => Block::Absent,
            };
            Set::judge(table, geometry, kind, block, |_| SHARE)
        })
    }

    fn refused(&self) -> String {
        match self.judge() {
            Ok(set) => std::format!("started: {set:?}"),
            Err(error) => error.to_string(),
        }
    }

    /// Gives a slot the record of a set of this line, which says so.
    fn say(&mut self, slot: u8, events: u64, failed: &[u8], sync_mark: Option<u64>, sync: Sync) {
        let made = self.with(|table, geometry| {
            let params = CreateParams {
                level: table.level(),
                devices: table.members(),
                chunk: table.chunk(),
                used: geometry.member_size(Member(0)),
                array_size: geometry.array_size(),
                sync,
                region: None,
            };
            let mut made = Vec::new();
            create::<Refusal>(&params, slot.into(), |_, block| {
                made = block[..512].to_vec();
                Ok(())
            })
            .map(|()| made)
        });
        let mut block = made.unwrap();
        let failed = failed.iter().copied().map(Member).collect();
        update(&mut block, SHARE, &RaidState { events, failed, sync_mark: sync_mark.map(Sectors), sync }).unwrap();
        self.blocks[usize::from(slot)] = Some(block);
    }
}

use std::string::String;

const RAID5: &str = "raid5_ls 1 64 3 m a m b m c";
const DIRTY: Sync = Sync::DirtyFrom(Sector(0));

fn raid5(line: &'static str) -> World {
    let mut world = World::new(line, 16384, 3);
    for slot in 0..3 {
        world.say(slot, 7, &[], None, Sync::Clean);
    }
    world
}

#[test]
fn a_new_set_is_synchronised_unless_the_table_says_nosync() {
    let set = World::new(RAID5, 16384, 3).judge().unwrap();
    assert_eq!((set.events, set.freshest, set.sync), (0, None, DIRTY));
    assert_eq!((set.fresh, set.is_degraded()), (Columns::first(3), false));
    assert_eq!(set.found(true, Sector(8)), Found::InDoubt);
    let set = World::new("raid5_ls 2 64 nosync 3 m a m b m c", 16384, 3).judge().unwrap();
    assert_eq!((set.sync, set.found(false, Sector(8))), (Sync::Clean, Found::Clean));
    let set = World::new("raid0 1 64 3 m a m b m c", 3 * 8192, 3).judge().unwrap();
    assert_eq!(set.sync, Sync::Clean);
}

#[test]
fn sync_makes_a_set_anew_with_a_count_above_all_that_were() {
    let set = raid5("raid5_ls 2 64 sync 3 m a m b m c").judge().unwrap();
    assert_eq!((set.events, set.freshest, set.fresh, set.sync), (7, None, Columns::first(3), DIRTY));
}

#[test]
fn the_newest_record_says_who_failed() {
    let mut world = raid5(RAID5);
    world.say(1, 8, &[2], None, Sync::Clean);
    let set = world.judge().unwrap();
    assert_eq!((set.events, set.freshest), (8, Some(Member(1))));
    let filling: Vec<_> =
        set.health.filling().map(|filling| (filling.member.0, filling.mark.0, filling.by_log)).collect();
    assert_eq!(filling, [(2, 0, true)]);
    // One that was being filled when it failed has nothing to build on.
    world.say(2, 7, &[], Some(640), Sync::Clean);
    let set = world.judge().unwrap();
    assert!(set.health.filling().all(|filling| !filling.by_log && filling.mark == Sector(0)));
}

#[test]
fn a_rebuild_goes_on_at_its_mark() {
    let mut world = raid5(RAID5);
    world.say(0, 7, &[], Some(640), Sync::Clean);
    let set = world.judge().unwrap();
    assert_eq!(set.health.state(Member(0)), Some(State::Rebuilding { mark: Sector(640) }));
    assert_eq!(set.found(true, Sector(8)), Found::Marked);
}

#[test]
fn bits_of_a_whole_set_are_doubt_and_those_of_a_degraded_one_are_not() {
    let whole = raid5(RAID5).judge().unwrap();
    assert_eq!([true, false].map(|bit| whole.found(bit, Sector(64))), [Found::InDoubt, Found::Clean]);
    let mut world = raid5("raid5_ls 1 64 3 m a m b - -");
    world.blocks.truncate(2);
    let set = world.judge().unwrap();
    assert_eq!([true, false].map(|bit| set.found(bit, Sector(64))), [Found::Marked, Found::Clean]);
    // But not if it was running: then it is not known what the third one held.
    world.say(0, 9, &[2], None, DIRTY);
    let set = world.judge().unwrap();
    assert_eq!(set.found(true, Sector(64)), Found::InDoubt);
    assert_eq!(set.check_doubt(1), Err(SetError::Doubted { regions: 1 }));
    assert_eq!(set.check_doubt(0), Ok(()));
    world.line = "raid5_ls 2 64 nosync 3 m a m b - -".split_whitespace().collect();
    let set = world.judge().unwrap();
    assert_eq!(set.found(true, Sector(64)), Found::Marked);
}

#[test]
fn a_resync_that_was_stopped_goes_on_and_takes_a_new_member_along() {
    let mut world = World::new("raid1 3 0 rebuild 2 3 m a m b m c", 8192, 3);
    world.line = "raid1 1 0 2 m a m b".split_whitespace().collect();
    for slot in 0..2 {
        world.say(slot, 5, &[], None, Sync::DirtyFrom(Sector(800)));
    }
    world.line = "raid1 3 0 rebuild 2 3 m a m b m c".split_whitespace().collect();
    let set = world.judge().unwrap();
    assert_eq!((set.sync, set.fresh), (Sync::DirtyFrom(Sector(800)), Columns::one(Member(2))));
    assert_eq!(set.records, Columns::first(3), "all say that there are three now");
    assert_eq!([800, 801].map(|end| set.found(false, Sector(end))), [Found::Clean, Found::InDoubt]);
    assert_eq!(set.health.in_sync(), Columns::first(2));
    assert_eq!(set.check_doubt(3), Ok(()));
}

#[test]
fn what_does_not_fit_is_refused_with_slot_and_reason() {
    let refused = |line: &'static str, change: &dyn Fn(&mut World)| {
        let mut world = raid5(RAID5);
        change(&mut world);
        world.line = line.split_whitespace().collect();
        world.refused()
    };
    let nothing = |_: &mut World| {};
    let empty = |world: &mut World| world.blocks[1] = Some(vec![0; 512]);
    let unreadable = |world: &mut World| world.blocks[1] = None;
    for (line, change, says) in [
        (
            "raid5_la 1 64 3 m a m b m c",
            &nothing as &dyn Fn(&mut World),
            "slot 0: its record has another level or layout than the table",
        ),
        ("raid5_ls 1 32 3 m a m b m c", &nothing, "slot 0: its record has another chunk than the table"),
        ("raid5_ls 1 64 3 m a m b - -", &|world| world.blocks.swap(0, 1), "slot 0: its record says slot 1"),
        (RAID5, &empty, "slot 1: no record, and the table does not say rebuild 1"),
        ("raid5_ls 3 64 rebuild 0 3 m a m b m c", &unreadable, "too many slots lack data: 0 1"),
        ("raid5_ls 5 64 rebuild 0 rebuild 1 3 m a m b m c", &nothing, "too many slots lack data: 0 1"),
        ("raid5_ls 2 64 sync 3 m a m b - -", &nothing, "a new set must have all its devices"),
    ] {
        assert_eq!(refused(line, change), says, "{line}");
    }
    let long = World { len: Sectors(16384 + 128), ..raid5(RAID5) };
    assert_eq!(long.refused(), "slot 0: its record has another size than the table");
    let raid6 = World::new("raid6_zr 2 64 nosync 4 m a m b m c m d", 16384, 4);
    assert_eq!(raid6.refused(), "a new set with two parities cannot be nosync");
}

#[test]
fn what_is_said_has_a_count_of_its_own_for_each_change() {
    let set = raid5(RAID5).judge().unwrap();
    let mut said = Said::new(&set);
    said.log(false);
    assert_eq!((said.events(), said.state(Member(0)).unwrap().sync), (8, Sync::Clean));
    said.log(true);
    said.log(true);
    assert_eq!((said.events(), said.state(Member(0)).unwrap().sync), (9, DIRTY));
    let mut health = set.health;
    health.apply(Member(1), Event::Fail).unwrap();
    said.health(&health);
    said.health(&set.health);
    assert_eq!((said.events(), said.is_degraded(), said.state(Member(1))), (10, true, None));
    assert_eq!(said.state(Member(0)).unwrap().failed, Columns::one(Member(1)));
    said.stop(&health, Sync::Clean);
    assert_eq!((said.events(), said.state(Member(2)).unwrap().sync), (11, Sync::Clean));
}
