//! The fuzz body of DDF: bytes as a whole medium, and as changes to a medium that is sound.

use crate::fuzz_words::{Listener, speaks};
use crate::image::Image;
use raid_core::Columns;
use raid_formats::{
    assemble::Claimant,
    ddf::{
        self, Form, Metadata, Order, Place, Refusal, RunningState, Set, VolumeState,
        raw::{Condition, ENTRY_BYTES},
    },
    record::{Role, Sync},
};

use std::sync::LazyLock;

/// Blocks of the small set that changes are made to.
const SET_BLOCKS: usize = 24;
/// Bytes of a block.
const BLOCK: usize = 512;

/// The bytes are a medium; the last block is its anchor, in either byte order. Then they are changes to the tables of a small, sound set.
pub fn ddf(data: &[u8]) {
    probe(data);
    let mut sealed = data.to_vec();
    if let Some(anchor) = sealed.len().checked_sub(BLOCK).and_then(|at| sealed.get_mut(at..)) {
        let order = if anchor.starts_with(&[0x11, 0xDE]) { Order::Little } else { Order::Big };
        Form { inverted: false, len: BLOCK }.seal(anchor, order);
    }
    probe(&sealed);
    changed(data);
}

fn probe(data: &[u8]) {
    let source = Image(data);
    match ddf::probe(&source) {
        Ok(found) => {
            assert!(found.len_bytes() <= data.len());
            let mut buf = vec![0; found.len_bytes()];
            match ddf::read(&source, &found.anchor, &mut buf) {
                Ok(metadata) => look_around(&metadata),
                Err(fault) => assert!(speaks(&fault)),
            }
        }
        Err(fault) => assert!(speaks(&fault)),
    }
}

/// Places and values: each three bytes say where, and what to put there.
fn changed(data: &[u8]) {
    let Some((first, changes)) = data.split_first() else { return };
    // Made once: a fuzzer asks for it thousands of times a second.
    static SOUND: LazyLock<Vec<u8>> = LazyLock::new(small_set);
    let mut set = SOUND.clone();
    for change in changes.chunks_exact(3).take(256) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let len = set.len();
        set[at % len] = change[2];
    }
    let place = Place {
        set: if first & 1 == 0 { Set::Primary } else { Set::Secondary },
        order: Order::Big,
        block_bytes: 512,
        lba: 1000,
        len_blocks: u32::try_from(SET_BLOCKS).unwrap_or(0),
        sequence: 7,
        open: false,
        medium: raid_core::Sectors(1 << 20),
    };
    if first & 0xE == 0 {
        dump(&set, place.order);
    }
    match Metadata::parse(&set, &place) {
        Ok(metadata) => look_around(&metadata),
        Err(refusal) => assert!(speaks(&refusal)),
    }
}

/// A set has thousands of fields: each eighth input is dumped.
fn dump(set: &[u8], order: Order) {
    let mut listener = Listener::default();
    let dumped = ddf::dump::set(set, order, 512, |field| {
        listener.hear(&field);
        assert!((field.offset + field.len) as usize <= set.len(), "{} is not within the set", field.name);
    });
    assert_eq!(dumped, Ok(()));
}

/// A set with two volumes, laid out as tightly as can be: offsets of two bytes reach all of it.
#[must_use]
pub fn small_set() -> Vec<u8> {
    let made = crate::ddf_made::small();
    let blocks = |from: usize, count: usize| made[from * BLOCK..(from + count) * BLOCK].to_vec();
    // Header, controller, some entries of both tables, two records, and which disk this is.
    let mut set = [blocks(0, 1), blocks(1, 1), blocks(2, 2), blocks(130, 2), blocks(162, 14), blocks(617, 1)].concat();
    set.resize(SET_BLOCKS * BLOCK, 0xFF);
    let sections: [(u32, u32); 5] = [(1, 1), (2, 2), (4, 2), (6, 14), (20, 1)];
    for ((offset, length), at) in sections.into_iter().zip((192..).step_by(8)) {
        set[at..at + 4].copy_from_slice(&offset.to_be_bytes());
        set[at + 4..at + 8].copy_from_slice(&length.to_be_bytes());
    }
    for (first, count) in [(0, 1), (2, 2), (4, 2)] {
        let bytes = &mut set[first * BLOCK..(first + count) * BLOCK];
        Form { inverted: false, len: bytes.len() }.seal(bytes, Order::Big);
    }
    set
}

/// A whole medium with two small sets and their anchor, in either byte order: what a fuzzer starts from.
#[must_use]
pub fn small_medium(order: Order) -> Vec<u8> {
    const DATA_BLOCKS: usize = 128;
    let (secondary, primary) = (DATA_BLOCKS, DATA_BLOCKS + SET_BLOCKS);
    let mut medium = vec![0; DATA_BLOCKS * BLOCK];
    let header = |set: &mut [u8], kind: u8| {
        set[96..104].copy_from_slice(&(primary as u64).to_be_bytes());
        set[104..112].copy_from_slice(&(secondary as u64).to_be_bytes());
        set[112] = kind;
        Form { inverted: false, len: BLOCK }.seal(&mut set[..BLOCK], Order::Big);
    };
    for kind in [2, 1, 0] {
        let mut set = small_set();
        header(&mut set, kind);
        let set = if order == Order::Big { set } else { crate::ddf_made::swapped(&set) };
        medium.extend(if kind == 0 { &set[..BLOCK] } else { &set });
    }
    medium
}

/// Everything that a set says, and an update of it.
fn look_around(metadata: &Metadata) {
    let members = metadata.volumes().filter_map(Result::ok);
    for volume in members {
        let record = volume.record();
        assert_eq!(volume.role_of(record.number), record.role);
        assert!(!volume.silent_about(record.number));
        for slot in 0..volume.levels().members.min(300) {
            let known = volume.member(slot).and_then(|(reference, _)| volume.slot_of(reference));
            assert!(known.is_none_or(|first| first <= slot));
        }
        assert!(record.table_in_sync.difference(Columns::first(record.shape.members)).is_empty());
        assert!(matches!(record.role, Role::Slot(_) | Role::Faulty));
        assert!(volume.spares().count() <= 8);
    }
    if let Some(spare) = metadata.spare() {
        assert!(spare.dedicated_to().all(|(guid, _)| spare.serves(guid)));
    }
    assert!(metadata.virtual_disks().count() <= metadata.emit().len() / ENTRY_BYTES);
    let mut next = vec![0; metadata.emit().len()];
    next.copy_from_slice(metadata.emit());
    let volumes: Vec<VolumeState> = metadata
        .volumes()
        .filter_map(Result::ok)
        .map(|volume| VolumeState {
            guid: volume.guid(),
            condition: Condition::Degraded,
            consistent: false,
            init: None,
        })
        .collect();
    let sequence = metadata.place().sequence.saturating_add(1);
    let state = RunningState { sequence, updated_s: 1_800_000_000, volumes: &volumes, ..RunningState::default() };
    let written = |_: ddf::Write<'_>| Ok(());
    match ddf::update::<Refusal>(metadata, &mut next, &state, written) {
        // What an update gave is what it was told.
        Ok(updated) => {
            for volume in updated.volumes().filter_map(Result::ok) {
                assert_eq!(volume.condition(), Condition::Degraded);
                assert_eq!(volume.record().sync, Sync::DirtyFrom(raid_core::Sector(0)));
            }
        }
        Err(refusal) => assert!(speaks(&refusal)),
    }
}
