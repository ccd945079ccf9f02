//! Logs replayed onto members before an array runs without them: what a cut at every sector leaves, and what metadata say meanwhile.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use raid_core::{Member, Sector};
use raid_formats::assemble::Claimant as _;
use raid_formats::imsm::{Change, RunningState, raw::WriteHole};
use raid_formats::md::{self, ppl::Log as Ppl};
use raid_formats::record::{Record, Sync, WriteLog};
use raid_testkit::fixtures::sha256;
use raid_testkit::image::Image;
use raid_testkit::{fixtures, imsm_made};
use raid_user::array::{Array, OpenOptions, Warning};
use raid_user::discover::{Found, Identity};
use raid_user::host::StartError;
use raid_user::host::container::container_start_on;
use raid_user::host::md_store::md_start_on;
use raid_user::host::start::{Start, Stopped};
use raid_user::media::{Media, MediaMut, SharedMedia, SharedMediaMut};

/// A disk: what it was, and the sectors written since.
#[derive(Clone)]
struct Disk {
    base: Arc<Vec<u8>>,
    over: BTreeMap<u64, [u8; 512]>,
}

impl Disk {
    fn sector(&self, sector: u64) -> [u8; 512] {
        let at = usize::try_from(sector * 512).unwrap();
        self.over.get(&sector).copied().unwrap_or_else(|| self.base[at..at + 512].try_into().unwrap())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.base.as_ref().clone();
        for (sector, written) in &self.over {
            let at = usize::try_from(sector * 512).unwrap();
            bytes[at..at + 512].copy_from_slice(written);
        }
        bytes
    }
}

/// Each sector written, in the order of writes to all members.
type Log = Arc<Mutex<Vec<(usize, u64, [u8; 512])>>>;

/// A medium that notes every sector written.
struct Noting {
    index: usize,
    disk: Mutex<Disk>,
    log: Log,
}

impl Media for Noting {
    fn size_bytes(&self) -> u64 {
        self.disk.lock().unwrap().base.len() as u64
    }
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> io::Result<()> {
        let disk = self.disk.lock().unwrap();
        let start = usize::try_from(offset_bytes).unwrap();
        buf.copy_from_slice(&disk.base[start..start + buf.len()]);
        let (first, end) = (offset_bytes / 512, (offset_bytes + buf.len() as u64).div_ceil(512));
        for (sector, bytes) in disk.over.range(first..end) {
            for (at, byte) in (sector * 512..).zip(bytes) {
                if let Some(place) =
                    at.checked_sub(offset_bytes).and_then(|at| buf.get_mut(usize::try_from(at).unwrap()))
                {
                    *place = *byte;
                }
            }
        }
        Ok(())
    }
    fn describe(&self) -> String {
        format!("d{}", self.index)
    }
}

impl MediaMut for Noting {
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> io::Result<()> {
        assert!(offset_bytes.is_multiple_of(512) && buf.len().is_multiple_of(512), "{offset_bytes}+{}", buf.len());
        for (sector, bytes) in (offset_bytes / 512..).zip(buf.as_chunks::<512>().0) {
            self.log.lock().unwrap().push((self.index, sector, *bytes));
            self.disk.lock().unwrap().over.insert(sector, *bytes);
        }
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
    fn write_zeroes(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        unreachable!("nobody asks for it")
    }
    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        unreachable!("nobody asks for it")
    }
}

/// An array's disks, all of them or but for one.
#[derive(Clone)]
struct World {
    imsm: bool,
    disks: Vec<(usize, Disk)>,
}

impl World {
    fn new(imsm: bool, members: Vec<Vec<u8>>) -> Self {
        let disk = |bytes| Disk { base: Arc::new(bytes), over: BTreeMap::new() };
        Self { imsm, disks: members.into_iter().map(disk).enumerate().collect() }
    }

    fn without(&self, lost: Option<usize>) -> Self {
        Self { disks: self.disks.iter().filter(|(index, _)| Some(*index) != lost).cloned().collect(), ..self.clone() }
    }

    /// The members; a disk of IMSM whose record was cut is none.
    fn found(&self, log: &Log) -> Vec<(Found, SharedMediaMut)> {
        let one = |(index, disk): &(usize, Disk)| {
            let media = Arc::new(Noting { index: *index, disk: Mutex::new(disk.clone()), log: log.clone() });
            let mut found = Found::inspect(&format!("d{index}"), media.clone() as SharedMedia).ok()?;
            if self.imsm {
                found.identify(&format!("/dev/loop{index}"), Identity::Told).unwrap();
                found = found.volumes().remove(0);
            }
            Some((found, media as SharedMediaMut))
        };
        self.disks.iter().filter_map(one).collect()
    }

    fn start(&self, options: &OpenOptions) -> (Result<Start, StartError>, Log) {
        let log = Log::default();
        let members = self.found(&log);
        let started =
            if self.imsm { container_start_on(members, Vec::new(), options) } else { md_start_on(members, options) };
        (started, log)
    }

    /// After so many sectors of the log.
    fn after(&self, log: &Log, writes: usize) -> Self {
        let mut world = self.clone();
        for (index, sector, bytes) in log.lock().unwrap().iter().take(writes) {
            world.disks.iter_mut().find(|(own, _)| own == index).unwrap().1.over.insert(*sector, *bytes);
        }
        world
    }

    fn records(&self) -> Vec<Record> {
        self.found(&Log::default()).iter().map(|(found, _)| *found.record()).collect()
    }

    fn array(&self) -> Array {
        let found = self.found(&Log::default()).into_iter().map(|(found, _)| found).collect();
        Array::open(found, &OpenOptions::default()).unwrap()
    }

    /// SHA-256 of the content.
    fn content(&self) -> String {
        let array = self.array();
        let mut bytes = vec![0; usize::try_from(array.size_bytes()).unwrap()];
        array.read_at(0, &mut bytes).unwrap();
        sha256(bytes)
    }

    /// First and last sector of each disk's data.
    fn extents(&self) -> Vec<(u64, u64)> {
        self.records().iter().map(|record| (record.data.at.0, record.data.at.0 + record.used.0)).collect()
    }

    /// Sectors within these that were written, as they are now.
    fn data(&self, extents: &[(u64, u64)]) -> Vec<BTreeMap<u64, [u8; 512]>> {
        let of = |((_, disk), (first, end)): (&(usize, Disk), &(u64, u64))| {
            disk.over.range(first..end).map(|(sector, bytes)| (*sector, *bytes)).collect()
        };
        self.disks.iter().zip(extents).map(of).collect()
    }
}

fn without_log() -> OpenOptions {
    OpenOptions { without_log: true, ..OpenOptions::default() }
}

/// Killed in mid-write with partial parity logged, and the hash that the kernel served after its recovery.
fn ppl() -> (World, String) {
    let fixture = fixtures::load("crash-kill9");
    let line = fixture.text("kernel-recovery.txt").lines().find(|line| line.starts_with("md1 ") && line.ends_with('-'));
    let hash = line.unwrap().split_whitespace().nth(1).unwrap().to_owned();
    (World::new(false, fixture.members[3..].iter().map(|(_, bytes)| bytes.clone()).collect()), hash)
}

/// Lost power with acknowledged writes in its write-back journal alone; the last disk is the journal.
fn journal() -> World {
    let fixture = fixtures::load("md-1.2-raid5-journal-wb-crash");
    World::new(false, fixture.members.iter().map(|(_, bytes)| bytes.clone()).collect())
}

/// The volume with logs, made dirty, its parity spoiled where its newest entries say that it may be.
fn imsm() -> World {
    let fixture = fixtures::load("imsm-uml-raid5-ppl");
    let mut images: Vec<Vec<u8>> = fixture.members.iter().map(|(_, bytes)| bytes.clone()).collect();
    for image in &mut images {
        let found = Found::inspect("d", Arc::new(raid_user::media::MemMedia::new("d", image.clone()))).unwrap();
        let record = *found.record();
        let WriteLog::Ppl { at: area, multiple } = record.log else { panic!("no log") };
        let signature = imsm_made::read(image, &mut Vec::new()).family();
        let log = Ppl { area, multiple, signature, unit: raid_core::Sectors(1) };
        let mut logged = Vec::new();
        log.read(&Image(image), &mut [0; 8192], |entry| logged.push(entry)).unwrap();
        for entry in logged {
            // Of two data columns: the rows of the entry's first sector in its chunk.
            let (stripe, within) = (entry.at.0 / 256, entry.at.0 % 128);
            let rows = if entry.partial.len.0 > 0 { entry.partial.len.0 } else { entry.len.0 / 2 };
            let at = usize::try_from((record.data.at.0 + stripe * 128 + within) * 512).unwrap();
            let len = usize::try_from(rows * 512).unwrap();
            image[at..at + len].iter_mut().for_each(|byte| *byte ^= 0x5A);
        }
        let generation = imsm_made::read(&image.clone(), &mut Vec::new()).header().generation_num.get() + 1;
        let changes = [Change::Dirty { volume: 0, dirty: true }];
        imsm_made::apply(image, &RunningState { generation, changes: &changes });
    }
    World::new(true, images)
}

/// Cuts that are tried: each, but of a long run of zeros that empty a log one in 64.
fn cuts(log: &Log) -> Vec<usize> {
    let log = log.lock().unwrap();
    let zero = |index: usize| log.get(index).is_some_and(|(_, _, bytes)| bytes.iter().all(|byte| *byte == 0));
    (0..=log.len()).filter(|cut| cut % 64 == 0 || !(cut.saturating_sub(2)..cut + 2).all(zero)).collect()
}

/// Cut after any sector of the replay, the array is replayed at its next start as if it had never been begun: nothing is in doubt, and
/// every sector of data is what the uncut replay makes of it. What a reader sees is the same all the time.
fn survives_cuts(world: &World) {
    let content = world.content();
    let (started, log) = world.start(&without_log());
    assert_eq!(started.unwrap().doubt, []);
    let whole = world.after(&log, usize::MAX);
    assert!(!log.lock().unwrap().is_empty());
    assert_eq!(whole.content(), content);
    let (extents, cuts) = (world.extents(), cuts(&log));
    let data = whole.data(&extents);
    for cut in &cuts {
        let at_cut = world.after(&log, *cut);
        let (again, more) = at_cut.start(&without_log());
        if again.is_err() && world.disks.len() < 3 {
            // IMSM has one record on a disk. Where it is cut a second disk is lost.
            assert!(world.imsm && at_cut.records().len() < world.disks.len(), "cut {cut}");
            continue;
        }
        let again = again.unwrap_or_else(|error| panic!("cut {cut}: {error}"));
        assert_eq!(again.doubt, [], "cut {cut}");
        assert_eq!(at_cut.after(&more, usize::MAX).data(&extents), data, "cut {cut}");
    }
    for cut in cuts
        .iter()
        .filter(|cut| world.after(&log, **cut).records().len() == world.disks.len())
        .step_by(cuts.len().div_ceil(4))
    {
        assert_eq!(world.after(&log, *cut).content(), content, "cut {cut}");
    }
}

#[test]
fn a_replay_of_partial_parity_survives_a_cut_at_every_sector() {
    let (world, served) = ppl();
    assert_eq!(world.content(), served);
    for lost in [None, Some(0), Some(1), Some(2)] {
        survives_cuts(&world.without(lost));
    }
}

#[test]
fn a_replay_of_an_imsm_volume_survives_a_cut_at_every_sector() {
    let world = imsm();
    for lost in [None, Some(1)] {
        survives_cuts(&world.without(lost));
    }
}

#[test]
fn a_replay_of_a_journal_survives_a_cut_at_every_sector() {
    survives_cuts(&journal());
}

/// The same array with nothing in its journal but a page of its first chunk, without parity; and who holds the second chunk.
fn bare() -> (World, usize) {
    let mut world = journal();
    let last = world.disks.len() - 1;
    let array = world.array();
    let geometry = array.layouts().geometry(raid_core::reshape::Side::Old);
    let beside = geometry.map(Sector(geometry.chunk().0)).unwrap().member;
    let (found, _) = world.found(&Log::default()).remove(last);
    let superblock = found.superblock().unwrap().unwrap();
    let (at, seed) = (md::journal_begins(&superblock).unwrap().unwrap(), md::journal::seed(found.record().array));
    let (mut block, page) = ([0; 4096], [0xA5; 4096]);
    block[..4].copy_from_slice(&md::journal::MAGIC.to_le_bytes());
    block[8] = 1;
    block[12..16].copy_from_slice(&52_u32.to_le_bytes());
    block[16..24].copy_from_slice(&7_u64.to_le_bytes());
    block[24..32].copy_from_slice(&(at.0 - found.record().data.at.0).to_le_bytes());
    // Data, eight sectors, of array sector 0.
    block[36..40].copy_from_slice(&8_u32.to_le_bytes());
    block[48..52].copy_from_slice(&raid_core::parity::crc32c(seed, &page).to_le_bytes());
    let sum = md::journal::checksum(&block, seed);
    block[4..8].copy_from_slice(&sum.to_le_bytes());
    for (sector, bytes) in (at.0..).zip([block, page].as_flattened().as_chunks::<512>().0) {
        world.disks[last].1.over.insert(sector, *bytes);
    }
    (world, usize::from(beside.0))
}

/// A page of data without parity. Of its stripe, a missing member held what only the old parity gives. Half of it written, that would be
/// lost: so it is not begun, but read as before. Without another member, or with all, it is written.
#[test]
fn a_journal_is_not_written_where_half_of_it_would_cost_what_a_missing_member_held() {
    let (world, beside) = bare();
    assert_eq!(world.array().warnings(), [Warning::JournalReplayed { stripes: 1 }]);
    for lost in (0..world.disks.len() - 1).map(Some).chain([None]) {
        let degraded = world.without(lost);
        if lost != Some(beside) {
            survives_cuts(&degraded);
            continue;
        }
        let (refused, log) = degraded.start(&without_log());
        assert!(matches!(refused, Err(StartError::NotYet(_))));
        assert!(log.lock().unwrap().is_empty(), "nothing was written");
        assert_eq!(degraded.content(), world.content());
    }
}

/// Run without it, what it holds would be lost.
#[test]
fn a_journal_that_is_not_here_is_not_run_without() {
    let (refused, log) = journal().without(Some(journal().disks.len() - 1)).start(&without_log());
    assert!(refused.is_err() && log.lock().unwrap().is_empty());
    let options = OpenOptions { ignore_journal: true, ..without_log() };
    let (refused, log) = journal().start(&options);
    assert!(matches!(refused, Err(StartError::NotYet(_))) && log.lock().unwrap().is_empty());
}

#[test]
fn nobody_runs_an_array_without_its_log_who_was_not_told_to() {
    for (world, name) in [(ppl().0, "partial parity log"), (imsm(), "partial parity log"), (journal(), "journal")] {
        let (refused, log) = world.start(&OpenOptions::default());
        let Err(StartError::LogNotKept(log_name)) = refused else { panic!("not refused") };
        assert_eq!(log_name, name);
        assert!(StartError::LogNotKept(name).to_string().contains("--without-log"));
        assert!(log.lock().unwrap().is_empty(), "nothing was written");
    }
}

/// Of a damaged entry's stripe nothing is known: with all members it is resynced, with one missing it is refused, and nothing was written.
#[test]
fn a_damaged_entry_is_resynced_or_refused() {
    let (mut world, _) = ppl();
    let (found, _) = world.found(&Log::default()).remove(0);
    let mut entries = Vec::new();
    let log = Ppl::of(found.record()).unwrap();
    log.read(&Image(&world.disks[0].1.base), &mut [0; 8192], |entry| entries.push(entry)).unwrap();
    let sector = entries[0].partial.at.0;
    let mut bytes = world.disks[0].1.sector(sector);
    bytes[5] ^= 0x20;
    world.disks[0].1.over.insert(sector, bytes);
    let (started, _) = world.start(&without_log());
    assert_ne!(started.unwrap().doubt, []);
    let (refused, log) = world.without(Some(2)).start(&without_log());
    let Err(StartError::DirtyDegraded(runs)) = refused else { panic!("not refused") };
    assert_eq!(runs.iter().map(|run| run.len.0).sum::<u64>(), 128, "its stripe alone");
    assert!(log.lock().unwrap().is_empty());
}

fn say(start: &Start, words: &[u64]) {
    for (slot, seat) in (0..).zip(&start.slots) {
        if seat.media.is_some() {
            start.store.write_log(Member(slot), 0, words).unwrap();
        }
    }
}

fn logged(world: &World) -> Vec<bool> {
    world.records().iter().map(|record| record.log != WriteLog::None).collect()
}

/// From the first write on, members name no log: a crash is one of an array without it, for Linux and for us. When nothing is in doubt any
/// more they name it, and it is empty; the journal has as many events as they.
#[test]
fn the_log_is_laid_down_while_anything_is_in_doubt() {
    for (world, members) in [(ppl().0, 3), (imsm(), 3), (journal(), 3)] {
        let (started, log) = world.start(&without_log());
        let started = started.unwrap();
        let all = vec![true; world.disks.len()];
        let replayed = world.after(&log, usize::MAX);
        assert_eq!(logged(&replayed), all);
        assert!(replayed.records().iter().all(|record| record.sync == Sync::Clean));
        say(&started, &[1]);
        let dirty = world.after(&log, usize::MAX);
        assert_eq!(&logged(&dirty)[..members], vec![false; members]);
        assert!(dirty.records()[..members].iter().all(|record| record.sync == Sync::DirtyFrom(Sector(0))));
        assert_eq!(dirty.array().warnings()[..1], [Warning::Dirty]);
        assert!(dirty.without(Some(1)).start(&without_log()).0.is_err(), "dirty and degraded");
        say(&started, &[0]);
        assert_eq!(logged(&world.after(&log, usize::MAX)), all, "idle");
        say(&started, &[1]);
        say(&started, &[0]);
        started.store.stop(&started.health, Stopped::Clean).unwrap();
        let stopped = world.after(&log, usize::MAX);
        assert_eq!(logged(&stopped), all);
        let events: Vec<u64> = stopped.records().iter().map(|record| record.events).collect();
        assert!(events.iter().all(|count| *count == events[0]), "{events:?}");
        assert_eq!(stopped.array().warnings(), [], "nothing left to be replayed");
    }
}

/// What `mdadm --update=no-ppl` would leave in an IMSM volume, and the way back.
#[test]
fn an_imsm_volume_keeps_the_room_for_its_log() {
    let policy = |world: &World| {
        let bytes = world.disks[0].1.bytes();
        let mut buf = Vec::new();
        let metadata = imsm_made::read(&bytes, &mut buf);
        let volume = metadata.volumes().next().unwrap();
        (WriteHole::of(volume.head.rwh_policy).unwrap(), volume.migration.dirty)
    };
    let world = imsm();
    let (started, log) = world.start(&without_log());
    let now = || policy(&world.after(&log, usize::MAX));
    assert_eq!(policy(&world), (WriteHole::MultipleDistributed, 3));
    assert_eq!(now(), (WriteHole::MultipleDistributed, 0));
    let started = started.unwrap();
    say(&started, &[1]);
    assert_eq!(now(), (WriteHole::MultipleOff, 1));
    say(&started, &[0]);
    assert_eq!(now(), (WriteHole::MultipleDistributed, 0));
}
