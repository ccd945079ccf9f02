//! A disk's record brought up to date with a running array, in an order that says at every moment what was or what is.
//!
//! Source: `mdadm`, `super-intel.c`, `store_imsm_mpb`.
//!
//! # Order of writes
//!
//! The blocks before the anchor first, then, when they are durable, the anchor. A change within the anchor's block is one write. If
//! others change too, a cut between leaves a record whose sum is wrong, on this one disk: IMSM has no second copy on a disk. Its copies
//! are the other disks: the record is the same on all, and they are written one after the other, so all but one are whole at any moment.
//! A disk whose number lags by one is current, as everywhere in [`crate::assemble`].

use super::{
    edit::Edit,
    metadata::Metadata,
    probe::Place,
    raw::{MigrationKind, SERIAL_BYTES, WriteHole},
    refusal::Refusal,
};
pub use crate::ddf::Write;
use raid_core::Sectors;

/// A disk that is new in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewDisk {
    /// Serial number of its drive: [`serial`](super::serial).
    pub serial: [u8; SERIAL_BYTES],
    /// Its size.
    pub size: Sectors,
}

/// One thing that a running array wants its disks to remember. Volumes and disks are told by their index in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// From before the first write until redundancy is known to agree.
    Dirty {
        /// Which volume.
        volume: u8,
        /// Whether it is.
        dirty: bool,
    },
    /// What closes the write hole from now on. Comes before [`Self::Dirty`], which says whether partial parity is logged.
    Closed {
        /// Of which volume.
        volume: u8,
        /// By what.
        by: WriteHole,
    },
    /// A disk failed: in all volumes.
    Failed {
        /// Which disk.
        disk: u8,
        /// It is not even there.
        gone: bool,
    },
    /// A disk is new in the table; its index is the next one.
    Joined {
        /// The disk.
        disk: NewDisk,
    },
    /// A disk takes a slot and is being filled.
    Rebuild {
        /// Of which volume.
        volume: u8,
        /// Which slot.
        slot: u16,
        /// Which disk.
        disk: u8,
    },
    /// A rebuild came so far.
    Mark {
        /// Of which volume.
        volume: u8,
        /// Sectors of the disk's data that can be trusted.
        at: Sectors,
    },
    /// A rebuild is done.
    Rebuilt {
        /// Of which volume.
        volume: u8,
    },
    /// Redundancy is being made, or compared and mended.
    Resync {
        /// Of which volume.
        volume: u8,
        /// [`MigrationKind::Initialise`], [`MigrationKind::Verify`] or [`MigrationKind::Repair`].
        kind: MigrationKind,
    },
    /// That is done.
    InSync {
        /// Of which volume.
        volume: u8,
    },
}

/// What a running array wants its disks to remember, all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunningState<'a> {
    /// The new generation number; higher than that of any disk.
    pub generation: u32,
    /// What changed, in its order.
    pub changes: &'a [Change],
}

/// Changes the record of one disk: `metadata` as it was read, `next` the space for the record with what is added (64 KiB always suffice),
/// `write` does one write after another. What it gives is what the disk holds then.
///
/// # Errors
/// [`Refusal`] before anything is written if the change cannot be said; later only what `write` returns. Then the disk must be read again.
pub fn update<'b, E: From<Refusal>>(
    metadata: &Metadata,
    next: &'b mut [u8],
    state: &RunningState,
    write: impl FnMut(Write) -> Result<(), E>,
) -> Result<Metadata<'b>, E> {
    let before = metadata.header().generation_num.get();
    if state.generation <= before {
        let (found, least) = (u64::from(state.generation), u64::from(before).saturating_add(1));
        return Err(Refusal::range("header", ("generation_num", 44), found, least, u64::from(u32::MAX)).into());
    }
    let mut edit = Edit::new(metadata, next).ok_or(Refusal::NoEntry { what: "so long a record" })?;
    state.changes.iter().try_for_each(|change| edit.apply(change))?;
    let (bytes, len) = edit.seal(state.generation)?;
    let old = metadata.place();
    let place =
        Place::new(old.block_bytes, old.medium_blocks, len).ok_or(Refusal::NoEntry { what: "so long a record" })?;
    let bytes = bytes.get(..place.len_bytes).ok_or(Refusal::NoEntry { what: "so long a record" })?;
    let after = Metadata::parse(bytes, &place)?;
    // What cannot be used is written only if it could not be used before.
    // In this order: behind the last of 255 there is no number.
    for (volume, index) in after.volumes_of(None).zip(0..) {
        if let (Err(refusal), Ok(_)) = (volume, metadata.volume(index, None)) {
            return Err(refusal.into());
        }
    }
    write_record(&after, Some(metadata), write)?;
    Ok(after)
}

/// Writes a record to another disk of its container, whose medium has so many blocks; `old` is the record that it has, if any. The order of
/// writes is that of [`update`].
///
/// # Errors
/// [`Refusal`] before anything is written if the medium has no room for it; later only what `write` returns.
pub fn carry<E: From<Refusal>>(
    record: &Metadata,
    medium_blocks: u64,
    old: Option<&Metadata>,
    write: impl FnMut(Write) -> Result<(), E>,
) -> Result<(), E> {
    let (block_bytes, len) = (record.place().block_bytes, record.record().len());
    let no_room = Refusal::NoEntry { what: "so long a record" };
    let place = Place::new(block_bytes, medium_blocks, len).ok_or(no_room)?;
    write_record(&Metadata::parse(record.emit(), &place)?, old, write)
}

/// Writes a record: the blocks that differ from `old` where they lie, then the anchor.
pub(super) fn write_record<E>(
    record: &Metadata,
    old: Option<&Metadata>,
    mut write: impl FnMut(Write) -> Result<(), E>,
) -> Result<(), E> {
    let place = record.place();
    let block = usize::try_from(place.block_bytes).unwrap_or(1).max(1);
    // Blocks before the anchor lie elsewhere if there are more or fewer of them.
    let old = old.filter(|old| old.place() == place);
    let changed = |number: usize, bytes: &[u8]| {
        old.is_none_or(|old| old.emit().chunks(block).nth(number).is_none_or(|held| held != bytes))
    };
    let blocks = || record.emit().chunks(block).enumerate().filter(|(number, bytes)| changed(*number, bytes));
    let last = blocks().map(|(number, _)| number).rfind(|number| *number > 0);
    for (number, bytes) in blocks().filter(|(number, _)| *number > 0) {
        let at = place.at(u64::try_from(number).unwrap_or(u64::MAX));
        write(Write { at, bytes, flush: Some(number) == last })?;
    }
    let anchor = record.emit().get(..block).unwrap_or(&[]);
    write(Write { at: place.at(0), bytes: anchor, flush: true })
}
