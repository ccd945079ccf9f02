//! Updates of a disk's records: what changes and what does not, and that a cut at any write leaves one of the two states, whole.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use raid_core::{Level, Raid5Layout};
use raid_formats::{
    assemble::{Claimant, Verdict},
    ddf::{
        self, DiskChange, Metadata, NewDisk, Refusal, Replaced, RunningState, Set, Twin, VolumeState,
        raw::{Condition, DiskKind, DiskState, Init},
        update,
    },
    record::{Role, Sync},
    source::Source,
};
use raid_testkit::{
    array,
    ddf_made::{self, Made, Shape, guid, reference, ten},
    fixtures,
    image::{Image, Sparse},
};
use std::collections::BTreeSet;

const FIVE: Shape = Shape { level: Level::Raid5(Raid5Layout::LeftSymmetric), members: 3, chunk: 128, used: 8192 };

/// One write of an update: where, what, and whether all before must be durable.
type Step = (u64, Vec<u8>, bool);

/// The records of a disk without its data: cheap to copy.
fn records(image: &[u8]) -> Sparse {
    let probe = ddf::probe(&Image(image)).unwrap();
    let run = |at: u64, len: usize| (at, image[usize::try_from(at).unwrap()..][..len].to_vec());
    let mut runs = vec![run(probe.anchor.at.bytes().unwrap(), 512)];
    for place in [probe.primary, probe.secondary].into_iter().flatten() {
        runs.push(run(place.at().bytes().unwrap(), place.len_bytes()));
    }
    Sparse { size_bytes: image.len() as u64, runs }
}

fn read<'b, S: Source>(source: &S, buf: &'b mut Vec<u8>) -> Metadata<'b> {
    let probe = ddf::probe(source).unwrap_or_else(|fault| panic!("{fault}"));
    buf.resize(probe.len_bytes(), 0);
    ddf::read(source, &probe.anchor, buf).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The writes of an update of what `source` holds.
fn steps<S: Source>(source: &S, state: &RunningState) -> Vec<Step> {
    let mut buf = Vec::new();
    let metadata = read(source, &mut buf);
    let mut next = vec![0; metadata.emit().len()];
    let mut steps = Vec::new();
    let updated = update::<Refusal>(&metadata, &mut next, state, |write| {
        steps.push((write.at.0 * 512, write.bytes.to_vec(), write.flush));
        Ok(())
    });
    assert_eq!(updated.unwrap().place().sequence, state.sequence);
    steps
}

fn with<'a>(base: &Sparse, steps: impl IntoIterator<Item = &'a Step>) -> Sparse {
    let mut cut = base.clone();
    cut.runs.extend(steps.into_iter().map(|(at, bytes, _)| (*at, bytes.clone())));
    cut
}

/// The set that `mdadm` takes: `load_ddf_headers`.
fn mdadm_takes(source: &Sparse) -> Set {
    let probe = ddf::probe(source).unwrap();
    let (Ok(primary), Ok(secondary)) = (probe.primary, probe.secondary) else { panic!("a header is gone") };
    let newer = primary.sequence < secondary.sequence && !secondary.open;
    let closed = primary.sequence == secondary.sequence && primary.open && !secondary.open;
    if newer || closed { Set::Secondary } else { Set::Primary }
}

/// What a set says, without its header's own numbers.
fn body(metadata: &Metadata) -> Vec<u8> {
    metadata.emit()[512..].to_vec()
}

/// The state of `source`, which must be one of the two; true if it is the new one. `mdadm` must take the same.
fn is_new(source: &Sparse, old: &(u32, Vec<u8>), new: &(u32, Vec<u8>), what: &str) -> bool {
    let (mut buf, mut other) = (Vec::new(), Vec::new());
    let metadata = read(source, &mut buf);
    assert!(metadata.damage().is_empty(), "{what}");
    let found = (metadata.place().sequence, body(&metadata));
    assert!(found == *old || found == *new, "{what}: neither old nor new, number {}", found.0);
    let probe = ddf::probe(source).unwrap();
    let place = match mdadm_takes(source) {
        Set::Primary => probe.primary.unwrap(),
        Set::Secondary => probe.secondary.unwrap(),
    };
    other.resize(place.len_bytes(), 0);
    let theirs = ddf::read_set(source, &place, &mut other).unwrap();
    assert!(theirs.damage().is_empty() && body(&theirs) == found.1, "{what}: mdadm takes {:?}", place.set);
    found == *new
}

fn state_of(source: &Sparse) -> (u32, Vec<u8>) {
    let mut buf = Vec::new();
    let metadata = read(source, &mut buf);
    (metadata.place().sequence, body(&metadata))
}

fn volume(number: usize, condition: Condition, consistent: bool) -> VolumeState {
    VolumeState { guid: guid(b'v', number), condition, consistent, init: None }
}

fn failed(disk: usize) -> DiskChange {
    DiskChange { reference: reference(disk), state: DiskState::ONLINE | DiskState::FAILED }
}

#[test]
fn a_cut_at_any_write_leaves_the_old_or_the_new_state_and_mdadm_agrees() {
    let made = Made::new(&[FIVE], 4, 512);
    let base = records(&made.disks[0]);
    let old = state_of(&base);
    let (volumes, disks) = ([volume(0, Condition::Degraded, false)], [failed(2)]);
    let replaced = [Replaced { guid: guid(b'v', 0), element: 0, index: 2, reference: reference(3), start_block: 77 }];
    let state = RunningState {
        sequence: 2,
        updated_s: 1_800_000_001,
        volumes: &volumes,
        disks: &disks,
        replaced: &replaced,
        ..RunningState::default()
    };
    let steps = steps(&base, &state);
    let new = state_of(&with(&base, &steps));
    assert!(new.0 == 2 && new.1 != old.1);
    let mut seen_new = false;
    for cut in 0..=steps.len() {
        // Writes since the last flush may reach the disk in any order: each may be missing, too.
        let durable = steps[..cut].iter().rposition(|(_, _, flush)| *flush).map_or(0, |last| last + 1);
        for missing in durable..=cut {
            let kept = steps[..cut].iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, step)| step);
            let source = with(&base, kept);
            let now_new = is_new(&source, &old, &new, &format!("cut at {cut}, without {missing}"));
            assert!(now_new || !seen_new || missing < cut, "the state went back at {cut}");
            seen_new |= now_new && missing == cut;
            if missing == cut {
                cut_again(&source, if now_new { &new } else { &old });
            }
        }
    }
    assert!(seen_new);
    // Twelve writes: two headers twice each, and in each set head and entry of two tables, and two blocks of a record at most.
    assert!((8..=16).contains(&steps.len()), "{} writes", steps.len());
}

/// After a cut the host goes on with what it read, and is cut again.
fn cut_again(base: &Sparse, old: &(u32, Vec<u8>)) {
    let volumes = [volume(0, Condition::Failed, true)];
    let state = RunningState { sequence: 3, updated_s: 1_800_000_002, volumes: &volumes, ..RunningState::default() };
    let steps = steps(base, &state);
    let done = with(base, &steps);
    let new = state_of(&done);
    let mut buf = Vec::new();
    assert_eq!(read(&done, &mut buf).twin(), Twin::Same, "both sets are whole again");
    for cut in 0..steps.len() {
        // The first cut left `mdadm` and us with the same choice; the second must, too.
        is_new(&with(base, &steps[..cut]), old, &new, &format!("second cut at {cut}"));
    }
}

#[test]
fn only_what_is_meant_changes_and_vendor_bytes_survive() {
    let made = Made::new(&[FIVE], 3, 512);
    let mut image = made.disks[0].clone();
    scribble(&mut image);
    let base = records(&image);
    let (volumes, disks) = ([volume(0, Condition::Degraded, false)], [failed(1)]);
    let state = RunningState {
        sequence: 9,
        updated_s: 1_900_000_000,
        volumes: &volumes,
        disks: &disks,
        ..RunningState::default()
    };
    let steps = steps(&base, &state);
    let after = with(&base, &steps);
    for set in [Set::Primary, Set::Secondary] {
        let changed = changed_fields(&base, &after, set);
        let expected = ["crc", "sequence", "timestamp", "table.crc", "physical.state", "table.crc", "virtual.state"];
        assert_eq!(changed, expected.into_iter().collect::<BTreeSet<_>>(), "{set:?}");
    }
}

/// Writes into every place that belongs to a vendor, in both sets, and seals them.
fn scribble(image: &mut [u8]) {
    let probe = ddf::probe(&Image(image)).unwrap();
    for place in [probe.primary.unwrap(), probe.secondary.unwrap()] {
        let start = usize::try_from(place.at().bytes().unwrap()).unwrap();
        let set = &mut image[start..][..place.len_bytes()];
        let mut runs = Vec::new();
        ddf::dump::set(set, place.order, 512, |field| {
            let names = ["vendor", ".v0", ".v1", ".v2", ".v3", "pad", "header_ext", "rest", "path", ".unused"];
            if names.iter().any(|name| field.name.contains(name)) && field.offset > 512 {
                runs.push((field.offset as usize, field.len as usize));
            }
        })
        .unwrap();
        assert!(runs.len() > 10);
        for (at, len) in runs {
            set[at..at + len].fill(0xA7);
        }
        for (block, count) in [(0, 1), (1, 1), (2, 128), (130, 32), (162, 7), (617, 1)] {
            let bytes = &mut set[block * 512..(block + count) * 512];
            ddf::Form { inverted: false, len: bytes.len() }.seal(bytes, place.order);
        }
    }
}

/// Names of the fields in which two states of a set differ.
fn changed_fields(before: &Sparse, after: &Sparse, set: Set) -> BTreeSet<&'static str> {
    let fields = |source: &Sparse| {
        let probe = ddf::probe(source).unwrap();
        let place = if set == Set::Primary { probe.primary } else { probe.secondary }.unwrap();
        let mut buf = vec![0; place.len_bytes()];
        let metadata = ddf::read_set(source, &place, &mut buf).unwrap();
        assert!(metadata.damage().is_empty());
        let mut fields = Vec::new();
        let bytes = metadata.emit();
        ddf::dump::set(bytes, place.order, 512, |field| {
            let at = field.offset as usize;
            fields.push((field.name, bytes[at..at + field.len as usize].to_vec()));
        })
        .unwrap();
        fields
    };
    let (before, after) = (fields(before), fields(after));
    assert_eq!(before.len(), after.len());
    before.into_iter().zip(after).filter(|(one, other)| one != other).map(|((name, _), _)| name).collect()
}

/// Does an update on a whole image.
fn apply(image: &mut [u8], state: &RunningState) {
    for (at, bytes, _) in steps(&records(image), state) {
        image[usize::try_from(at).unwrap()..][..bytes.len()].copy_from_slice(&bytes);
    }
}

#[test]
fn a_member_that_failed_is_thrown_out_when_it_comes_back() {
    let mut made = Made::new(&[FIVE], 3, 512);
    let (volumes, disks) = ([volume(0, Condition::Degraded, true)], [failed(1)]);
    let state = RunningState {
        sequence: 2,
        updated_s: 1_800_000_001,
        volumes: &volumes,
        disks: &disks,
        ..RunningState::default()
    };
    apply(&mut made.disks[0], &state);
    apply(&mut made.disks[2], &state);
    ddf_made::with_volumes(&made.disks, 0, |claims| {
        let (_, assembly, verdicts) = array::geometry(claims).unwrap();
        assert_eq!(assembly.sync, Sync::Clean);
        assert_eq!(verdicts[1], Verdict::ThrownOut { slot: 1 });
        assert!(matches!(verdicts[0], Verdict::Current { slot: 0, .. }));
        assert_eq!(claims[0].0.condition(), Condition::Degraded);
        assert_eq!(claims[0].0.role_of(reference(1)), Role::Faulty);
        assert!(array::read(claims).unwrap() == made.contents[0]);
    });
}

#[test]
fn dirty_and_clean_are_told_to_the_next_start() {
    let mut made = Made::new(&[FIVE, Shape { level: Level::Raid1, members: 2, chunk: 0, used: 4096 }], 3, 512);
    let sync = |made: &Made, number| ddf_made::with_volumes(&made.disks, number, |claims| claims[0].0.record().sync);
    for (sequence, consistent) in [(2, false), (3, true)] {
        let volumes = [volume(1, Condition::Optimal, consistent)];
        let state = RunningState { sequence, updated_s: 1, volumes: &volumes, ..RunningState::default() };
        for disk in &mut made.disks {
            apply(disk, &state);
        }
        assert_eq!(sync(&made, 0), Sync::Clean);
        assert_eq!(sync(&made, 1) == Sync::Clean, consistent);
    }
    let quick = [VolumeState { init: Some(Init::Quick), ..volume(0, Condition::Optimal, true) }];
    apply(&mut made.disks[0], &RunningState { sequence: 4, volumes: &quick, ..RunningState::default() });
    assert_eq!(sync(&made, 0), Sync::DirtyFrom(raid_core::Sector(0)));
}

/// A RAID 10 whose disks know only their own element: the disk that takes over gets the record, and is rebuilt from there.
#[test]
fn a_disk_takes_the_slot_of_another_and_is_trusted_once_it_is_online() {
    let mut made = Made::new(&[Shape { level: ten(2), members: 4, chunk: 128, used: 8192 }], 5, 512);
    let (lost, new) = (2, 4);
    let record = ddf_made::with_volumes(&made.disks, 0, |claims| claims[3].0.config_record().to_vec());
    let replaced = [Replaced { guid: guid(b'v', 0), element: 1, index: 0, reference: reference(new), start_block: 0 }];
    let rebuilding = DiskChange { reference: reference(new), state: DiskState::ONLINE | DiskState::REBUILDING };
    let (volumes, disks) = ([volume(0, Condition::Degraded, true)], [failed(lost), rebuilding]);
    let state =
        RunningState { sequence: 2, volumes: &volumes, disks: &disks, replaced: &replaced, ..Default::default() };
    for disk in [0, 1, 3] {
        apply(&mut made.disks[disk], &state);
    }
    apply(&mut made.disks[new], &RunningState { adopted: &[&record], ..state });
    let marks = |made: &Made| {
        ddf_made::with_volumes(&made.disks, 0, |claims| {
            let (_, _, verdicts) = array::geometry(claims).unwrap();
            assert!(array::read(claims).unwrap() == made.contents[0]);
            verdicts
        })
    };
    let verdicts = marks(&made);
    assert_eq!(verdicts[lost], Verdict::ThrownOut { slot: 2 });
    assert_eq!(verdicts[new], Verdict::Current { slot: 2, mark: Some(raid_core::Sectors(0)), forced: false });
    // Rebuilt by hand: the mirror's data are the member's.
    let data = made.disks[3][..8192 * 512].to_vec();
    made.disks[new][..data.len()].copy_from_slice(&data);
    let (volumes, disks) =
        ([volume(0, Condition::Optimal, true)], [DiskChange { reference: reference(new), state: DiskState::ONLINE }]);
    let state = RunningState { sequence: 3, volumes: &volumes, disks: &disks, ..Default::default() };
    for disk in [0, 1, 3, 4] {
        apply(&mut made.disks[disk], &state);
    }
    made.disks[3].fill(0);
    made.disks.remove(3);
    assert_eq!(marks(&made)[3], Verdict::Current { slot: 2, mark: None, forced: false });
}

#[test]
fn a_new_disk_gets_an_entry_in_every_table() {
    let made = Made::new(&[FIVE], 3, 512);
    let new = NewDisk {
        guid: guid(b'd', 9),
        reference: reference(9),
        kind: DiskKind::FORCED_GUID | DiskKind::GLOBAL_SPARE,
        state: DiskState::ONLINE,
        configured_blocks: 32768,
    };
    let base = records(&made.disks[0]);
    let state = RunningState { sequence: 2, joined: &[new], ..RunningState::default() };
    let after = with(&base, &steps(&base, &state));
    let mut buf = Vec::new();
    let metadata = read(&after, &mut buf);
    assert_eq!(metadata.physical().count(), 4);
    assert_eq!(metadata.volumes().next().unwrap().unwrap().role_of(reference(9)), Role::Spare);
}

#[test]
fn what_cannot_be_said_is_refused_before_anything_is_written() {
    let made = Made::new(&[FIVE], 3, 512);
    let base = records(&made.disks[0]);
    let mut buf = Vec::new();
    let metadata = read(&base, &mut buf);
    let replaced = Replaced { guid: guid(b'v', 0), element: 0, index: 3, reference: reference(1), start_block: 0 };
    let cases = [
        RunningState { sequence: 1, ..RunningState::default() },
        RunningState { sequence: 2, volumes: &[volume(7, Condition::Optimal, true)], ..RunningState::default() },
        RunningState { sequence: 2, disks: &[failed(7)], ..RunningState::default() },
        RunningState { sequence: 2, replaced: &[replaced], ..RunningState::default() },
        RunningState { sequence: 2, adopted: &[&[0; 100]], ..RunningState::default() },
    ];
    for state in cases {
        let mut next = vec![0; metadata.emit().len()];
        let refused = update::<Refusal>(&metadata, &mut next, &state, |_| panic!("written"));
        assert!(!refused.unwrap_err().to_string().is_empty());
    }
}

/// A record of Linux, updated: `mdadm`'s own bytes around the change stay.
#[test]
fn real_members_take_an_update() {
    for name in fixtures::list().into_iter().filter(|name| name.starts_with("ddf-")) {
        for (file, image) in fixtures::load(&name).members {
            let base = records(&image);
            let mut buf = Vec::new();
            let metadata = read(&base, &mut buf);
            let guid = metadata.volumes().next().unwrap().unwrap().guid();
            let volumes = [VolumeState { guid, condition: Condition::Optimal, consistent: false, init: None }];
            let sequence = metadata.place().sequence + 1;
            let state = RunningState { sequence, volumes: &volumes, ..RunningState::default() };
            let after = with(&base, &steps(&base, &state));
            let changed = changed_fields(&base, &after, Set::Primary);
            assert_eq!(
                changed,
                BTreeSet::from(["crc", "sequence", "timestamp", "table.crc", "virtual.state"]),
                "{name}/{file}"
            );
        }
    }
}
