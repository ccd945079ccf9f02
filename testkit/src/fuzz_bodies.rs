//! What each fuzz target does with its bytes. The fuzzer runs these, and so do tests, over the stored corpus and over random bytes.
//!
//! Nothing may panic, and what is asserted here must hold for all bytes. Checksums would keep a fuzzer out, so most bodies try the bytes as
//! they are and once more with the checksum made right.

pub use crate::fuzz_bios::bios;
pub use crate::fuzz_ddf::ddf;
pub use crate::fuzz_dm::{dm_mirror, dm_raid, dm_snapshot, dm_table};
pub use crate::fuzz_imsm::imsm;
pub use crate::fuzz_lvm::{lvm_label, lvm_text};
pub use crate::fuzz_plan::core_plan;
use crate::fuzz_words::{Listener, speaks};
use crate::image::{Image, Sparse};
use raid_core::{Extent, Level, Raid5Layout, Sector, Sectors};
use raid_formats::{
    md::{
        self, BitmapParams, CreateParams, Fault, JournalBlock, PplHeader, ProbeBuffer, Refusal, RunningState,
        Superblock, TableEntry, Version, journal, ppl, raw1::Features,
    },
    record::{Name, Role, Sync, Uuid},
    source::Source,
};
use std::sync::LazyLock;

/// A superblock.
type Block = [u8; 4096];
/// The medium that a log or a bitmap is put on, and the array that it belongs to.
const MEDIUM: Sectors = Sectors(1 << 13);
const ARRAY: Uuid = Uuid([7; 16]);

/// A fuzz target by its name.
pub type Body = fn(&[u8]);

/// All targets.
pub const ALL: [(&str, Body); 15] = [
    ("bios", bios),
    ("ddf", ddf),
    ("imsm", imsm),
    ("core_plan", core_plan),
    ("md_probe", md_probe),
    ("md_superblock", md_superblock),
    ("md_bitmap", md_bitmap),
    ("md_ppl", md_ppl),
    ("md_journal", md_journal),
    ("lvm_label", lvm_label),
    ("lvm_text", lvm_text),
    ("dm_raid", dm_raid),
    ("dm_mirror", dm_mirror),
    ("dm_snapshot", dm_snapshot),
    ("dm_table", dm_table),
];

/// The bytes are a whole medium.
pub fn md_probe(data: &[u8]) {
    probe(data);
    probe(&sealed(data));
}

/// The same medium with the right checksum at every place where a superblock could lie.
fn sealed(data: &[u8]) -> Vec<u8> {
    let mut image = data.to_vec();
    let medium = Sectors::from_bytes_floor(image.len() as u64);
    for version in Version::ALL {
        let at = md::superblock_at(version, medium).ok().and_then(|at| usize::try_from(at.bytes()?).ok());
        let block = at.and_then(|at| image.get_mut(at..)).and_then(|rest| rest.first_chunk_mut::<4096>());
        let big = block.as_ref().is_some_and(|block| block.starts_with(&md::MAGIC.to_be_bytes()));
        if let Some(block) = block.filter(|_| big == (version == Version::V0Big)) {
            Superblock::seal(block, version);
        }
    }
    image
}

fn probe(data: &[u8]) {
    let source = Image(data);
    let mut buffer: ProbeBuffer = [[0; 4096]; 4];
    let probe = md::probe(&source, &mut buffer);
    for find in &probe.finds {
        match &find.outcome {
            Ok(superblock) => look_around(&source, superblock),
            Err(fault) => assert!(speaks(&fault)),
        }
    }
    let found = probe.finds.iter().filter(|find| find.outcome.is_ok()).count();
    assert_eq!(probe.ranked().count(), found);
}

/// Reads everything that a superblock points to.
fn look_around<S: Source>(source: &S, superblock: &Superblock) {
    let mut working = [0; 8192];
    let chunks = |result: Result<Option<md::BitmapSummary>, Fault<S::Error>>| result.ok().flatten();
    if let Some(summary) = chunks(md::bitmap_summary(source, superblock, &mut working)) {
        assert!(summary.version == 5 || summary.dirty <= summary.chunks);
    }
    let mut bad = [Extent::default(); 16];
    drop(md::read_bad_blocks(source, superblock, &mut bad));
    if let Ok(Some(state)) = md::ppl_state(source, superblock, &mut working) {
        assert!(state.damaged <= state.entries);
    }
    if let Ok(Some(state)) = md::journal_state(source, superblock, &mut working) {
        assert!(!state.holds_data() || state.blocks > 0);
        let mut pages = 0_u64;
        let replayed = md::replay_journal(source, superblock, &mut working, |step| {
            pages += u64::from(!matches!(step, md::ReplayStep::Flushed { .. }));
            true
        });
        assert!(replayed.is_ok() && (pages == 0) != state.holds_data());
    }
}

/// The bytes are a superblock of any version, on a medium that has its place where the record says.
pub fn md_superblock(data: &[u8]) {
    let mut block = [0; 4096];
    let len = data.len().min(block.len());
    block[..len].copy_from_slice(&data[..len]);
    for version in Version::ALL {
        let medium = medium_for(&block, version);
        superblock(&block, version, medium);
        let mut sealed = block;
        Superblock::seal(&mut sealed, version);
        superblock(&sealed, version, medium);
        if data.len() < block.len() {
            assert!(matches!(Superblock::parse(data, version, medium), Err(Refusal::Truncated { .. })));
        }
    }
    // A table of roles has 1920 entries. Each eighth input is dumped, as the version that its bytes choose.
    let sum = data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    if let Some(version) = Version::ALL.get(usize::from(sum) % 32) {
        dump(&block, *version);
    }
}

fn dump(block: &[u8; 4096], version: Version) {
    let (mut covered, mut listener) = (0, Listener::default());
    let dumped = md::dump::superblock(block, version, |field| {
        assert_eq!(field.offset, covered, "{} leaves a gap", field.name);
        covered = field.offset + field.len;
        listener.hear(&field);
    });
    assert_eq!((dumped, covered), (Ok(()), 4096));
}

/// A medium on which that record lies where it says it does, if there is one.
fn medium_for(block: &[u8; 4096], version: Version) -> Sectors {
    let field =
        |at: usize| block.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word));
    match version {
        Version::V1_0 => Sectors(field(144).saturating_add(16)),
        Version::V0Little | Version::V0Big => Sectors(1 << 33),
        Version::V1_1 | Version::V1_2 => Sectors(u64::MAX),
    }
}

fn superblock(block: &[u8; 4096], version: Version, medium: Sectors) {
    let parsed = match Superblock::parse(block, version, medium) {
        Ok(parsed) => parsed,
        Err(refusal) => return assert!(speaks(&refusal)),
    };
    assert_eq!(parsed.emit(), block);
    let record = parsed.record();
    assert_eq!(parsed.role_of(record.number), record.role);
    update(block, version, medium, &record);
}

/// An update that is taken leaves a superblock that says what it was told, and doing it again changes nothing.
fn update(block: &[u8; 4096], version: Version, medium: Sectors, record: &raid_formats::record::Record) {
    let table = [TableEntry { number: 3, role: Role::Faulty, in_sync: false }];
    let state = RunningState {
        events: record.events.wrapping_add(1),
        updated_s: 1_800_000_000,
        sync: Sync::DirtyFrom(Sector(0)),
        sync_mark: None,
        by_bitmap: false,
        replacement: false,
        bad_blocks: false,
        table: &table,
    };
    let mut once = *block;
    if let Err(refusal) = md::update(&mut once, version, medium, 512, &state) {
        panic!("{refusal}");
    }
    let mut twice = once;
    assert!(md::update(&mut twice, version, medium, 512, &state).is_ok());
    assert_eq!(once, twice);
    let parsed = Superblock::parse(&once, version, medium).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(parsed.record().events, state.events);
    assert_eq!((parsed.record().sync, parsed.role_of(3)), (state.sync, Role::Faulty));
}

/// The bytes are a bitmap, found beside a superblock of the same identity.
pub fn md_bitmap(data: &[u8]) {
    let mut listener = Listener::default();
    let dumped = md::dump::bitmap(data, |field| listener.hear(&field));
    assert_eq!(dumped.is_ok(), data.len() >= 256);
    if let Ok(bitmap) = md::Bitmap::parse(data) {
        assert_eq!(Some(&bitmap.emit()[..]), data.get(..256));
    }
    static MEMBER: LazyLock<Block> =
        LazyLock::new(|| member(Role::Slot(0), Some(BitmapParams { chunk_bytes: None, sync_size: Sectors(2048) })));
    let mut block = *MEMBER;
    if let Some(uuid) = data.get(8..24) {
        block[16..32].copy_from_slice(uuid);
    }
    look_beside(&mut block, 16, data);
}

/// The bytes are a partial parity log.
pub fn md_ppl(data: &[u8]) {
    static MEMBER: LazyLock<Block> = LazyLock::new(|| {
        let mut block = member(Role::Slot(0), None);
        block[8..12].copy_from_slice(&Features::MULTIPLE_PPLS.bits().to_le_bytes());
        // 256 sectors at 8 sectors from the superblock.
        block[96..100].copy_from_slice(&[8, 0, 0, 1]);
        block
    });
    let mut sealed = data.to_vec();
    if let Some(header) = sealed.first_chunk_mut::<4096>() {
        header[512..516].copy_from_slice(&ppl::signature(ARRAY).to_le_bytes());
        let raw: &ppl::RawPpl = zerocopy::transmute_ref!(header);
        let sum = ppl::checksum(raw);
        header[532..536].copy_from_slice(&sum.to_le_bytes());
    }
    for data in [data, &sealed] {
        let mut listener = Listener::default();
        let dumped = md::dump::ppl(data, |field| listener.hear(&field));
        assert_eq!(dumped.is_ok(), data.len() >= 4096);
        if let Ok(header) = PplHeader::parse(data) {
            assert_eq!(Some(&header.emit()[..]), data.get(..4096));
        }
        look_beside(&mut { *MEMBER }, 16, data);
    }
}

/// The bytes are the ring of a journal, from its tail on.
pub fn md_journal(data: &[u8]) {
    static MEMBER: LazyLock<Block> = LazyLock::new(|| {
        let mut block = member(Role::Journal, None);
        block[8..12].copy_from_slice(&Features::JOURNAL.bits().to_le_bytes());
        block
    });
    let mut sealed = data.to_vec();
    if let Some(block) = sealed.first_chunk_mut::<4096>() {
        block[..4].copy_from_slice(&journal::MAGIC.to_le_bytes());
        let sum = journal::checksum(block, journal::seed(ARRAY));
        block[4..8].copy_from_slice(&sum.to_le_bytes());
    }
    for data in [data, &sealed] {
        let mut listener = Listener::default();
        let dumped = md::dump::journal(data, ARRAY, |field| listener.hear(&field));
        assert_eq!(dumped.is_ok(), data.len() >= 4096);
        if let Ok(block) = JournalBlock::parse(data, journal::seed(ARRAY)) {
            assert_eq!(Some(&block.emit()[..]), data.get(..4096));
        }
        look_beside(&mut { *MEMBER }, 2048, data);
    }
}

/// The superblock of a member of 1.2, which each target makes once.
fn member(role: Role, bitmap: Option<BitmapParams>) -> Block {
    let roles = [role, Role::Slot(1), Role::Slot(2)];
    let params = CreateParams {
        version: Version::V1_2,
        medium: MEDIUM,
        level: Level::Raid5(Raid5Layout::LeftSymmetric),
        members: 3,
        chunk: Sectors(128),
        used: Sectors(4096),
        data: None,
        array: ARRAY,
        name: Name([0; 32]),
        member: Uuid([9; 16]),
        number: 0,
        roles: &roles,
        created_s: 1,
        sync: Sync::DirtyFrom(Sector(0)),
        bitmap,
    };
    let mut block = [0; 4096];
    let made = md::create::<Refusal>(&params, |_, bytes| {
        // The superblock comes last.
        block.copy_from_slice(bytes);
        Ok(())
    });
    assert_eq!(made, Ok(()));
    block
}

/// Looks around on a medium with `data` at the sector `at`, as that superblock's member.
fn look_beside(block: &mut Block, at: u64, data: &[u8]) {
    Superblock::seal(block, Version::V1_2);
    let parsed = Superblock::parse(block, Version::V1_2, MEDIUM).unwrap_or_else(|refusal| panic!("{refusal}"));
    let room = usize::try_from((MEDIUM.0 - at) * 512).unwrap_or(usize::MAX);
    let runs = vec![(at * 512, data[..data.len().min(room)].to_vec())];
    look_around(&Sparse { size_bytes: MEDIUM.0 * 512, runs }, &parsed);
}
