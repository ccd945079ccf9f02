//! The bytes of slots: a row of each member, for every slot of every shard. Made once.
//!
//! A slot's state says who may use its rows: members fill them, or a computation has them, or members take from them, one
//! after the other. So the lock around each row is never waited for; it is there because the compiler cannot know.

use std::sync::{Mutex, MutexGuard, PoisonError};

use raid_core::Member;
use raid_core::action::SlotId;
use raid_core::memory::{Memory, OutOfMemory};
use raid_core::rows::{ROW_LEN, TALL_ROWS};

use super::memory::Heap;

/// Bytes of a row on one member.
pub(super) const ROW_BYTES: usize = ROW_LEN * 512;

/// Bytes of several rows on one member.
pub(super) const TALL_BYTES: usize = ROW_BYTES * TALL_ROWS as usize;

/// Bytes of one member, aligned for vector instructions and for devices.
///
/// Not to pages: rows that all began on one would lie on the same few sets of the caches, and a wide stripe would push itself out.
/// With its lock a row is 512 bytes longer than a page, so that each begins that much further on than the one before.
#[repr(align(512))]
pub(super) struct Column<const BYTES: usize>(pub(super) [u8; BYTES]);

/// A row.
pub(super) type Row = Column<ROW_BYTES>;

/// Several rows.
pub(super) type Tall = Column<TALL_BYTES>;

const _: () = assert!(size_of::<Mutex<Row>>() == ROW_BYTES + 512);
const _: () = assert!(size_of::<Mutex<Tall>>() == TALL_BYTES + 512);

/// All slots' rows.
pub(super) struct Buffers {
    rows: Box<[Mutex<Row>]>,
    members: usize,
    slots: usize,
}

impl Buffers {
    pub(super) fn new(shards: u16, slots: u16, members: u16) -> Result<Self, OutOfMemory> {
        let (slots, members) = (usize::from(slots), usize::from(members));
        let len = usize::from(shards) * slots * members;
        let rows = Heap::array(len, |_| Mutex::new(Column([0; ROW_BYTES])))?;
        Ok(Self { rows, members, slots })
    }

    /// A member's row of a slot; `None` if there is no such slot.
    pub(super) fn cell(&self, slot: SlotId, member: Member) -> Option<&Mutex<Row>> {
        let number = usize::from(slot.shard) * self.slots + usize::from(slot.slot);
        self.rows.get(number * self.members + usize::from(member.0))
    }

    /// The same, held.
    pub(super) fn row(&self, slot: SlotId, member: Member) -> Option<MutexGuard<'_, Row>> {
        Some(self.cell(slot, member)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
