//! A disk's records brought up to date with a running array: the smallest changes, in an order that a cut at any write survives.
//!
//! Source: SNIA DDF 2.0, section 5.3 (open flag, sequence number); `mdadm`, `super-ddf.c` (`ddf_process_update`, `__write_ddf_structure`).
//!
//! # Order of writes
//!
//! 1. The secondary set first, then the primary: `mdadm` prefers the primary unless the secondary is newer and closed, so at every moment
//!    one set is whole, closed, and the one that is chosen, by [`read`](super::read) and by `mdadm`.
//! 2. In a set: the header, open and still with the old number; then the blocks that changed; then the header, closed and with the new
//!    number. Each step is durable before the next begins ([`Write::flush`]). An open set with the new number could win by it: numbers
//!    may jump.
//! 3. If the two sets do not hold the same at the start (a cut before), all blocks of the other one are written. If the set that was read
//!    is the secondary, it is copied over the primary first, so that a whole one is there while the secondary is written.
//! 4. The anchor is not written: it holds nothing that changes.
//!
//! A disk with one set only has no such safety, in no implementation. A cut leaves the set open, some of its tables old and some new.
//!
//! All disks of a configuration carry the same tables and get the same number, one disk after another: a disk that lags by one is
//! current, as everywhere in [`crate::assemble`].

use super::{
    guid::Guid,
    metadata::{Metadata, Tables, Twin},
    patch::{Patch, with_header},
    place::{CLOSED, OPEN, Place, Set},
    probe::{BLOCK_BYTES_MAX, BlockRoom},
    raw::{Condition, DiskKind, DiskState, Header, Init},
    refusal::Refusal,
    word::{Full, Wide},
};
use raid_core::Sector;
use zerocopy::FromBytes;

/// State of a virtual disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeState {
    /// Which one.
    pub guid: Guid,
    /// Optimal, degraded and so on.
    pub condition: Condition,
    /// False from before the first write until redundancy is known to agree.
    pub consistent: bool,
    /// How much is initialised, if that changes.
    pub init: Option<Init>,
}

/// State of a physical disk: online, failed, rebuilding, missing. Other bits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskChange {
    /// Its reference.
    pub reference: u32,
    /// Its state.
    pub state: DiskState,
}

/// A physical disk that is new in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewDisk {
    /// Its identity.
    pub guid: Guid,
    /// Its reference, which no other has.
    pub reference: u32,
    /// Kind of disk.
    pub kind: DiskKind,
    /// Its state.
    pub state: DiskState,
    /// Blocks from its start that data may have.
    pub configured_blocks: u64,
}

/// A disk that takes another's slot. It must be in the table, or among the new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Of this virtual disk.
    pub guid: Guid,
    /// In this element of it, see [`Levels::place`](super::level::Levels::place).
    pub element: u8,
    /// The index in the element.
    pub index: u16,
    /// Reference of the new member.
    pub reference: u32,
    /// Block where its data start.
    pub start_block: u64,
}

/// What a running array wants its members to remember.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunningState<'a> {
    /// The new sequence number, the same for all disks; higher than that of any.
    pub sequence: u32,
    /// Now, in seconds since 1970.
    pub updated_s: u64,
    /// Virtual disks whose state changes.
    pub volumes: &'a [VolumeState],
    /// Physical disks whose state changes.
    pub disks: &'a [DiskChange],
    /// Physical disks that are new in the table.
    pub joined: &'a [NewDisk],
    /// Slots that are given to other disks.
    pub replaced: &'a [Replaced],
    /// Configuration records ([`Volume::config_record`](super::Volume::config_record)) that this disk gets as a new member.
    pub adopted: &'a [&'a [u8]],
    /// Of a disk that has newer ones: they take the place of this disk's, before anything is changed.
    pub tables: Option<Tables<'a>>,
}

/// Bytes to write, in whole blocks of the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write<'a> {
    /// First sector on the medium.
    pub at: Sector,
    /// What to write there.
    pub bytes: &'a [u8],
    /// This and all writes before must be durable before the next one begins.
    pub flush: bool,
}

/// Changes the records of one disk: `metadata` as they were read, `next` the space for as many bytes, `write` does one write after
/// another. What it gives is what the disk holds then.
///
/// # Errors
/// [`Refusal`] before anything is written if the change cannot be said; later only what `write` returns. Then the disk must be read again.
pub fn update<'b, E: From<Refusal>>(
    metadata: &Metadata,
    next: &'b mut [u8],
    state: &RunningState,
    write: impl FnMut(Write) -> Result<(), E>,
) -> Result<Metadata<'b>, E> {
    update_in(metadata, (next, &mut [0; BLOCK_BYTES_MAX]), state, write)
}

/// The same with `room` for a block, for hosts whose stack has none.
///
/// # Errors
/// As [`update`].
pub fn update_in<'b, E: From<Refusal>>(
    metadata: &Metadata,
    (next, room): (&'b mut [u8], &mut BlockRoom),
    state: &RunningState,
    mut write: impl FnMut(Write) -> Result<(), E>,
) -> Result<Metadata<'b>, E> {
    let before = metadata.place();
    if state.sequence <= before.sequence {
        let (found, least) = (u64::from(state.sequence), u64::from(before.sequence).saturating_add(1));
        return Err(Refusal::range(before.set.name(), ("sequence", 40), found, least, u64::from(u32::MAX)).into());
    }
    let mut patch = Patch::new(metadata, next).ok_or(Refusal::NoEntry { what: "so long a set" })?;
    patch.apply(state)?;
    let after = patch.into_bytes();
    let place = |set| of_set(metadata, set);
    // The header that was patched is that of the set that was read; it is closed, whatever it was.
    let (Some(primary), secondary) = (place(Set::Primary), place(Set::Secondary)) else {
        return Err(Refusal::NoEntry { what: Set::Primary.name() }.into());
    };
    let result = Place { sequence: state.sequence, open: false, ..before };
    Metadata::parse(after, &result)?;
    if before.set == Set::Secondary {
        write_set(metadata.emit(), None, (&primary, room), &mut write)?;
    }
    if let Some(secondary) = secondary {
        let whole = before.set == Set::Primary && metadata.twin() == Twin::Differs;
        let old = Some(metadata.emit()).filter(|_| !whole);
        write_set(after, old, (&secondary, room), &mut write)?;
    }
    write_set(after, Some(metadata.emit()), (&primary, room), &mut write)?;
    let twin = if secondary.is_some() { Twin::Same } else { Twin::Absent };
    Ok(Metadata::parse(after, &result)?.beside(twin))
}

/// Where the set would lie; `None` if there is no such.
fn of_set(metadata: &Metadata, set: Set) -> Option<Place> {
    let order = metadata.place().order;
    let lba: Wide = match set {
        Set::Primary => metadata.header().primary_lba,
        Set::Secondary => metadata.header().secondary_lba,
    };
    let lba = Some(lba.get(order)).filter(|lba| set == Set::Primary || !matches!(*lba, 0 | u64::MAX))?;
    Some(Place { set, lba, ..metadata.place() })
}

/// Writes one set: opens it with the number that `place` has, writes the blocks that differ from `old` (all of them if that is not
/// known), closes it with the number in `bytes`.
pub(super) fn write_set<E>(
    bytes: &[u8],
    old: Option<&[u8]>,
    (place, room): (&Place, &mut BlockRoom),
    write: &mut impl FnMut(Write) -> Result<(), E>,
) -> Result<(), E> {
    let block_bytes = usize::try_from(place.block_bytes).unwrap_or(BLOCK_BYTES_MAX).clamp(1, BLOCK_BYTES_MAX);
    let (Some(header), Some(first)) = (room.get_mut(..block_bytes), bytes.get(..block_bytes)) else { return Ok(()) };
    header.copy_from_slice(first);
    let number = Header::read_from_prefix(header).map_or(Full::ABSENT, |(header, _)| header.sequence);
    let mut write_header = |open: u8, write: &mut dyn FnMut(Write) -> Result<(), E>| {
        with_header(header, place.order, |header| {
            header.header_type = place.set as u8;
            header.open_flag = open;
            header.sequence = if open == OPEN { Full::new(place.order, place.sequence) } else { number };
        });
        write(Write { at: place.at(), bytes: header, flush: true })
    };
    write_header(OPEN, write)?;
    let changed = |index: usize, block: &[u8]| {
        let old = old.and_then(|old| old.chunks(block_bytes).nth(index));
        old != Some(block)
    };
    let count = bytes.chunks(block_bytes).count();
    let is_changed = |index: usize| bytes.chunks(block_bytes).nth(index).is_some_and(|block| changed(index, block));
    let last = (1..count).rev().find(|index| is_changed(*index));
    for (index, block) in bytes.chunks(block_bytes).enumerate().skip(1) {
        if changed(index, block) {
            let at = place.sector(u64::try_from(index).unwrap_or(u64::MAX));
            write(Write { at, bytes: block, flush: Some(index) == last })?;
        }
    }
    write_header(CLOSED, write)
}
