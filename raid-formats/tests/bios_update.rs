//! Records of BIOS RAIDs under a running array: what is said is found again, a cut at every sector leaves what was or what is, and what
//! nobody here knows stays.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::collections::BTreeMap;

use raid_core::health::{Event, Health};
use raid_core::{Level, Member, Raid5Layout, Sector, Sectors};
use raid_formats::assemble::{Claimant, Force, Verdict, judge};
use raid_formats::bios::{Arrangement, BUFFER_BYTES, Kind, Refusal, Running, Spec};
use raid_formats::record::{Format, Name, Sync};
use raid_formats::source::Source;

const MEDIUM: Sectors = Sectors(6000);
const USED: Sectors = Sectors(4096);

/// A disk that is zero but for some sectors.
#[derive(Clone, Default)]
struct Disk(BTreeMap<u64, [u8; 512]>);

impl Source for Disk {
    type Error = &'static str;

    fn size_bytes(&self) -> u64 {
        MEDIUM.0 * 512
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        for (number, sector) in buf.chunks_mut(512).enumerate() {
            let held = self.0.get(&(offset_bytes / 512 + number as u64)).copied().unwrap_or([0; 512]);
            sector.copy_from_slice(&held[..sector.len()]);
        }
        Ok(())
    }
}

fn spec(arrangement: Arrangement, members: u16) -> Spec {
    let chunk = if arrangement == Arrangement::Mirror { Sectors(0) } else { Sectors(32) };
    Spec { arrangement, members, chunk, used: USED, set: 0x0011_2233_4455, name: Name([0; 32]) }
}

/// One sector written to one disk.
type Write = (usize, u64, [u8; 512]);

/// Disks of an array, each in its slot; a newcomer stands behind them.
#[derive(Clone)]
struct World {
    kind: Kind,
    spec: Spec,
    disks: Vec<Disk>,
}

impl World {
    fn new(kind: Kind, spec: Spec) -> Option<Self> {
        let mut disks = Vec::new();
        for slot in 0..spec.members {
            let mut disk = Disk::default();
            let put = |at: Sector, bytes: &[u8]| {
                for (number, sector) in bytes.as_chunks::<512>().0.iter().enumerate() {
                    disk.0.insert(at.0 + number as u64, *sector);
                }
            };
            kind.make(&spec, slot, MEDIUM, &mut [0; BUFFER_BYTES], put).ok()?;
            disks.push(disk);
        }
        Some(Self { kind, spec, disks })
    }

    /// Every format's arrays that have redundancy and may be written to.
    fn all() -> Vec<Self> {
        use Arrangement as A;
        let specs = [
            spec(A::Mirror, 2),
            spec(A::Mirror, 3),
            spec(A::StripedPairs, 4),
            spec(A::MirroredStripes, 4),
            spec(A::Raid5(Raid5Layout::LeftSymmetric), 4),
            spec(A::Raid5(Raid5Layout::LeftAsymmetric), 3),
        ];
        let kinds = Kind::all().filter(|kind| kind.unwritable().is_none());
        let all: Vec<Self> = kinds.flat_map(|kind| specs.map(|spec| Self::new(kind, spec))).flatten().collect();
        assert!(all.len() >= 19, "{}", all.len());
        all
    }

    fn name(&self) -> String {
        format!("{:?} {:?} of {}", self.kind, self.spec.arrangement, self.spec.members)
    }

    fn health(&self, missing: &[u8], filling: Option<(u8, u64)>) -> Health {
        let mut health = Health::new(self.spec.members).unwrap();
        for slot in (0..self.spec.members).map(|slot| u8::try_from(slot).unwrap()) {
            if missing.contains(&slot) {
                continue;
            }
            let event = match filling {
                Some((own, mark)) if own == slot => Event::Rebuild { mark: Sector(mark) },
                _ => Event::Admit,
            };
            health.apply(Member(slot), event).unwrap();
        }
        health
    }

    fn record(&self, disk: usize) -> (Sector, Vec<u8>) {
        let member = self.kind.find(&self.disks[disk], &mut [0; BUFFER_BYTES]).unwrap();
        let mut bytes = vec![0; self.kind.len_bytes()];
        self.kind.read(&self.disks[disk], member.at(), &mut bytes).unwrap();
        (member.at(), bytes)
    }

    /// Tells a disk, and gives what was written.
    fn tell(&mut self, disk: usize, slot: u16, state: &Running<'_>) -> Vec<Write> {
        let (at, old) = self.record(disk);
        let mut new = old.clone();
        self.kind.update(&mut new, slot, MEDIUM, state).unwrap();
        self.put(disk, at, &new, Some(&old))
    }

    fn put(&mut self, disk: usize, at: Sector, new: &[u8], old: Option<&[u8]>) -> Vec<Write> {
        let mut log = Vec::new();
        let write = |at: Sector, sector: &[u8]| {
            log.push((disk, at.0, sector.try_into().unwrap()));
            Ok::<(), ()>(())
        };
        self.kind.write((at, MEDIUM), new, old, write).unwrap();
        self.replay(&log);
        log
    }

    fn replay(&mut self, log: &[Write]) {
        for (disk, at, sector) in log {
            self.disks[*disk].0.insert(*at, *sector);
        }
    }

    /// Tells all that are there, one after the other.
    fn tell_all(&mut self, state: &Running<'_>) -> Vec<Write> {
        let there = |slot: &u16| state.health.has(Member(u8::try_from(*slot).unwrap()));
        let slots: Vec<u16> = (0..self.spec.members).filter(there).collect();
        slots.into_iter().flat_map(|slot| self.tell(usize::from(slot), slot, state)).collect()
    }

    /// Shuts a disk out, as a store does.
    fn shut_out(&mut self, gone: u8, health: &Health) -> Vec<Write> {
        let state = Running { dirty: true, health, shut_out: Some(gone.into()) };
        [self.tell_all(&state), self.tell_all(&state)].concat()
    }

    /// Slots and marks of the disks that count, whatever their order; nothing for the others.
    fn current(&self, what: &str) -> Vec<Option<(u16, Option<Sectors>)>> {
        let find = |disk: &Disk| {
            self.kind.find(disk, &mut [0; BUFFER_BYTES]).unwrap_or_else(|error| panic!("{what}: {error}"))
        };
        let members: Vec<_> = self.disks.iter().map(find).collect();
        // Records of another array do not count with those of the first disks.
        let mut current = Vec::new();
        let mut verdicts = vec![Verdict::Spare; members.len()];
        let array = members[0].record().array;
        let kin: Vec<_> = members.iter().filter(|member| member.record().array == array).collect();
        judge(&kin, &Force::default(), &mut verdicts).unwrap();
        let mut verdicts = verdicts.into_iter();
        for member in &members {
            let verdict = if member.record().array == array { verdicts.next().unwrap() } else { Verdict::Spare };
            current.push(match verdict {
                Verdict::Current { slot, mark, .. } => Some((slot, mark)),
                _ => None,
            });
        }
        current
    }

    fn dirty(&self) -> Vec<bool> {
        let find = |disk: &Disk| self.kind.find(disk, &mut [0; BUFFER_BYTES]).unwrap();
        self.disks.iter().map(|disk| find(disk).record().sync != Sync::Clean).collect()
    }
}

fn whole(slot: u8) -> Option<(u16, Option<Sectors>)> {
    Some((slot.into(), None))
}

#[test]
fn what_is_taken_back_leaves_every_byte_as_it_was_and_only_named_fields_change() {
    for mut world in World::all() {
        let (before, name) = (world.disks.clone(), world.name());
        let health = world.health(&[], None);
        world.tell_all(&Running { dirty: true, health: &health, shut_out: None });
        assert!(world.dirty().iter().all(|dirty| *dirty == world.kind.says_dirty()), "{name}");
        let (degraded, mut changed) = (world.health(&[0], None), world.clone());
        changed.shut_out(0, &degraded);
        for disk in 0..world.disks.len() {
            let (old, new) = (world.record(disk).1, changed.record(disk).1);
            let fields: Vec<_> = world.kind.dump(&old).collect();
            for (at, _) in old.iter().zip(&new).enumerate().filter(|(_, (old, new))| old != new) {
                let named = fields
                    .iter()
                    .any(|field| (field.offset..field.offset + field.len).contains(&u32::try_from(at).unwrap()));
                assert!(named, "{name}: byte {at}");
            }
        }
        world.tell_all(&Running { dirty: false, health: &health, shut_out: None });
        for (disk, before) in before.iter().enumerate() {
            assert!(world.disks[disk].0 == before.0, "{name}: disk {disk}");
        }
    }
}

/// Makes the sums right of a record that was changed.
fn mend(kind: Kind, bytes: &mut [u8]) {
    for _ in 0..4 {
        let Err(Refusal::Checksum { offset, expected, .. }) = kind.parse(bytes, MEDIUM) else { break };
        let len = kind.dump(bytes).find(|field| field.offset == offset).unwrap().len as usize;
        let sum = expected.to_be_bytes();
        let place = &mut bytes[offset as usize..][..len];
        place.copy_from_slice(&sum[8 - len..]);
        if kind.format() != Format::Asr {
            place.reverse();
        }
    }
}

#[test]
fn bytes_that_nobody_here_knows_survive() {
    for world in World::all() {
        let (kind, name) = (world.kind, world.name());
        let (_, mut bytes) = world.record(1);
        // What is summed behind Silicon Image's first sum has to be zero together.
        let end = if kind.format() == Format::Sil { 320 } else { bytes.len() };
        let fields: Vec<(usize, usize)> =
            kind.dump(&bytes).map(|field| (field.offset as usize, field.len as usize)).collect();
        let unknown: Vec<usize> =
            (0..end).filter(|at| !fields.iter().any(|(from, len)| (*from..from + len).contains(at))).collect();
        for at in &unknown {
            // Levels of entries behind the last tell nothing; a record's size must stay.
            bytes[*at] = u8::try_from(at * 37 % 251).unwrap();
        }
        mend(kind, &mut bytes);
        kind.parse(&bytes, MEDIUM).unwrap_or_else(|error| panic!("{name}: {error}"));
        let old = bytes.clone();
        let health = world.health(&[0], None);
        for shut_out in [None, Some(0), Some(0)] {
            kind.update(&mut bytes, 1, MEDIUM, &Running { dirty: true, health: &health, shut_out }).unwrap();
        }
        assert!(unknown.iter().all(|at| bytes[*at] == old[*at]), "{name}");
        assert!(bytes != old, "{name}");
    }
}

#[test]
fn a_cut_at_every_sector_of_dirty_and_clean_leaves_everybody_in() {
    for mut world in World::all() {
        let (first, name) = (world.clone(), world.name());
        let health = world.health(&[], None);
        let mut log = world.tell_all(&Running { dirty: true, health: &health, shut_out: None });
        let promised = log.len();
        log.extend(world.tell_all(&Running { dirty: false, health: &health, shut_out: None }));
        for cut in 0..=log.len() {
            let mut torn = first.clone();
            torn.replay(&log[..cut]);
            let all: Vec<_> = (0..).take(torn.disks.len()).map(whole).collect();
            assert_eq!(torn.current(&name), all, "{name} cut at {cut}");
            if cut == promised {
                assert!(torn.dirty().iter().all(|dirty| *dirty == torn.kind.says_dirty()), "{name}");
            }
        }
        assert!(world.dirty().iter().all(|dirty| !dirty), "{name}");
    }
}

#[test]
fn a_cut_at_every_sector_of_a_failure_shuts_that_disk_out_or_nobody() {
    for first in World::all() {
        for gone in 0..u8::try_from(first.spec.members).unwrap() {
            let (mut world, name) = (first.clone(), first.name());
            let log = world.shut_out(gone, &world.health(&[gone], None));
            for cut in 0..=log.len() {
                let mut torn = first.clone();
                torn.replay(&log[..cut]);
                let current = torn.current(&name);
                for (slot, verdict) in (0..).zip(&current) {
                    let fine = *verdict == whole(slot) || slot == gone && verdict.is_none();
                    assert!(fine, "{name} without {gone}, cut at {cut}: slot {slot} {current:?}");
                }
                if cut == log.len() {
                    assert_eq!(current[usize::from(gone)], None, "{name}");
                }
            }
        }
    }
}

#[test]
fn a_new_disk_is_trusted_as_far_as_it_is_filled_and_the_old_one_stays_out() {
    for first in World::all() {
        for slot in 0..u8::try_from(first.spec.members).unwrap() {
            let (mut world, name) = (first.clone(), first.name());
            world.shut_out(slot, &world.health(&[slot], None));
            // The old disk stands behind the others and comes back at each moment.
            let old = std::mem::take(&mut world.disks[usize::from(slot)]);
            let like = (usize::from(slot) + 1) % world.disks.len();
            let (at, mut bytes) = world.record(like);
            let health = world.health(&[], Some((slot, 0)));
            let state = Running { dirty: true, health: &health, shut_out: None };
            world.kind.join(&mut bytes, slot.into(), (MEDIUM, MEDIUM), &state).unwrap();
            assert_eq!(world.kind.place_like(at, MEDIUM, MEDIUM), Some(at));
            world.put(slot.into(), at, &bytes, None);
            world.disks.push(old);
            let mut before = None;
            for mark in [0, 1024, 2048] {
                let health = world.health(&[], Some((slot, mark)));
                world.tell_all(&Running { dirty: true, health: &health, shut_out: None });
                let current = world.current(&name);
                for (other, verdict) in (0..).zip(&current[..current.len() - 1]).filter(|(other, _)| *other != slot) {
                    assert_eq!(*verdict, whole(other), "{name}");
                }
                let trusted = current[usize::from(slot)].map(|(_, mark)| mark.unwrap());
                assert!(trusted.is_none_or(|trusted| trusted.0 <= mark), "{name} {trusted:?}");
                assert_eq!(current.last(), Some(&None), "{name}: the old disk");
                before = Some(world.clone());
            }
            // It is filled: a cut leaves it as it was, or whole.
            let (mut torn, health) = (before.unwrap(), world.health(&[], None));
            let log = world.tell_all(&Running { dirty: false, health: &health, shut_out: None });
            for write in &log {
                torn.replay(std::slice::from_ref(write));
                let current = torn.current(&name);
                assert_eq!(current.last(), Some(&None), "{name}: the old disk");
                for (other, verdict) in (0..).zip(&current[..current.len() - 1]) {
                    let filled =
                        other == slot && verdict.is_none_or(|(_, mark)| mark.is_none_or(|mark| mark.0 <= 2048));
                    assert!(*verdict == whole(other) || filled, "{name} {current:?}");
                }
            }
            let all: Vec<_> = (0..u8::try_from(first.spec.members).unwrap()).map(whole).chain([None]).collect();
            assert_eq!(world.current(&name), all, "{name}");
        }
    }
}

/// The count of who was shut out has one byte in most of these formats. When it is used up the identity changes, and a disk that was
/// shut out is still not taken for one of the others. VIA's identity was made of the first three disks alone: when the count of the
/// fourth was used up, the disk that had been shut out looked like the freshest, and the others like stale ones.
#[test]
fn a_disk_stays_out_however_often_one_was_shut_out_before() {
    let both = |world: World| [0, u8::try_from(world.spec.members - 1).unwrap()].map(|gone| (world.clone(), gone));
    for (mut world, gone) in World::all().into_iter().flat_map(both) {
        let (name, slot) = (world.name(), usize::from(gone));
        for round in 0..140 {
            let old = world.disks[slot].clone();
            world.shut_out(gone, &world.health(&[gone], None));
            let mut back = world.clone();
            back.disks.remove(slot);
            back.disks.push(old);
            assert_eq!(back.current(&name).last(), Some(&None), "{name} round {round}");
            let (at, mut bytes) = world.record(if slot == 0 { 1 } else { 0 });
            let health = world.health(&[], None);
            let state = Running { dirty: false, health: &health, shut_out: None };
            world.kind.join(&mut bytes, gone.into(), (MEDIUM, MEDIUM), &state).unwrap();
            world.put(slot, at, &bytes, None);
            world.tell_all(&Running { dirty: false, health: &health, shut_out: None });
            assert_eq!(
                world.current(&name).len(),
                world.current(&name).iter().flatten().count(),
                "{name} round {round}"
            );
        }
    }
}

#[test]
fn the_oldest_highpoint_is_not_written_to_and_says_why() {
    let silent: Vec<Format> = Kind::all().filter(|kind| !kind.says_dirty()).map(Kind::format).collect();
    assert_eq!(silent, [Format::Hpt37x, Format::Lsi]);
    let refused = Kind::all().filter(|kind| kind.unwritable().is_some_and(|why| why.contains("tenth sector")));
    assert_eq!(refused.map(Kind::format).collect::<Vec<_>>(), [Format::Hpt37x]);
    // No format without a place for "dirty" has parity.
    for kind in Kind::all().filter(|kind| !kind.says_dirty()) {
        for layout in [Raid5Layout::LeftSymmetric, Raid5Layout::LeftAsymmetric] {
            let five = spec(Arrangement::Raid5(layout), 4);
            assert!(matches!(five.arrangement.level(), Level::Raid5(_)) && World::new(kind, five).is_none());
        }
    }
}

#[test]
fn a_disk_that_is_too_small_does_not_join() {
    for world in World::all() {
        for small in [Sectors(8), Sectors(100), Sectors(USED.0), Sectors(USED.0 - 1)] {
            let (_, mut bytes) = world.record(1);
            let health = world.health(&[], Some((0, 0)));
            let state = Running { dirty: false, health: &health, shut_out: None };
            let refused = world.kind.join(&mut bytes, 0, (MEDIUM, small), &state);
            assert!(matches!(refused, Err(Refusal::MediumTooSmall { .. })), "{}: {refused:?}", world.name());
        }
    }
}
