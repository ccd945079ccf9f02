//! A superblock brought up to date with a running array: the smallest change to the bytes that are there.
//!
//! Source: kernel `drivers/md/md.c`, `super_1_sync`, `super_90_sync` and the order of writes in `md_update_sb`.
//!
//! # Order of writes
//!
//! 1. The bitmap's header first ([`bitmap_header`]), with the new events, then the superblock: a crash between the
//!    two leaves a bitmap that is ahead, which is harmless. The other way round it would look stale, and the whole array
//!    would be synced again.
//! 2. A bit of the bitmap is set durably before the data that it covers are written; it is cleared after all members have been flushed.
//! 3. `events_cleared` follows the events only while no member is missing: it promises what a returning member need not be given.
//! 4. A superblock is one write, and [`changed`] leaves only what differs of it. 1.x with up to 128 numbers is one sector, which a
//!    medium writes whole. 0.90 is eight: torn, its checksum is wrong and the member drops out. So write such members one after
//!    another, never all at once; before and after, what each says is true.

use crate::{
    md::{
        Bitmap, Refusal, Superblock, Version,
        bitmap::{BitmapState, RawBitmap},
        raw0::{DISKS_MAX, Disk, DiskState, Raw0, State0},
        raw1::{Features, HEAD_BYTES, ROLES_MAX, Raw1},
        superblock_at, v1,
        v1::role_to_word,
    },
    record::{Role, Sync},
};
use raid_core::{Sector, Sectors};
use zerocopy::{
    BE, FromBytes, LE,
    byteorder::{ByteOrder, U32, little_endian},
};

/// One member of the array, as every member's table should have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// Permanent number.
    pub number: u32,
    /// Its part.
    pub role: Role,
    /// Holds all that its slot should. Only 0.90 can say so of another member.
    pub in_sync: bool,
}

/// What a running array wants its members to remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningState<'a> {
    /// The new event count.
    pub events: u64,
    /// Now, in seconds since 1970.
    pub updated_s: u64,
    /// Clean, or from where on redundancy is in doubt.
    pub sync: Sync,
    /// How far this member is rebuilt; `None` once it holds everything. 0.90 cannot say it and calls the member a spare until then.
    pub sync_mark: Option<Sectors>,
    /// The recovery of this member follows the bitmap: it was a member before, and lacks only what bits are set for. Counts with a mark.
    pub by_bitmap: bool,
    /// This member takes over from another in its slot.
    pub replacement: bool,
    /// The list of bad blocks has entries.
    pub bad_blocks: bool,
    /// Members whose entries change; all others keep theirs.
    pub table: &'a [TableEntry],
}

/// Bytes to write, in whole blocks of the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write<'a> {
    /// First sector on the medium.
    pub at: Sector,
    /// What to write there.
    pub bytes: &'a [u8],
}

/// Patches the superblock in `block`, which must hold a sound one of that version, and gives the one write that makes it durable.
///
/// The write covers only the blocks of `block_bytes` (512 or 4096) that the record fills. On an error `block` is as it was.
///
/// # Errors
/// The superblock in `block` is refused, or the new state cannot be said in this version.
pub fn update<'b>(
    block: &'b mut [u8; 4096],
    version: Version,
    medium: Sectors,
    block_bytes: u32,
    state: &RunningState,
) -> Result<Write<'b>, Refusal> {
    check_state(&Superblock::parse(block, version, medium)?, state)?;
    check_table(version, state.table)?;
    match version {
        Version::V0Little => update_0::<LE>(block, state),
        Version::V0Big => update_0::<BE>(block, state),
        Version::V1_0 | Version::V1_1 | Version::V1_2 => update_1(block, state),
    }
    Superblock::seal(block, version);
    let at = superblock_at(version, medium)?;
    let superblock = Superblock::parse(block, version, medium)?;
    let used = match superblock {
        Superblock::V1(superblock) => record_bytes(superblock.raw()),
        Superblock::V0Little(_) | Superblock::V0Big(_) => block.len(),
    };
    let block_bytes = usize::try_from(block_bytes).unwrap_or(0).clamp(512, block.len());
    let len = used.checked_next_multiple_of(block_bytes).unwrap_or(block.len());
    Ok(Write { at, bytes: block.get(..len).unwrap_or(block) })
}

/// Brings the header of the bitmap in `page` (its first 256 bytes) up to the superblock's events. Write it before the superblock.
///
/// `degraded` keeps `events_cleared` where it is, so that a member that is missing now is told everything that it missed.
///
/// # Errors
/// The header is refused.
pub fn bitmap_header(page: &mut [u8], events: u64, degraded: bool) -> Result<(), Refusal> {
    Bitmap::parse(page)?;
    let Ok((raw, _)) = RawBitmap::mut_from_prefix(page) else { return Ok(()) };
    raw.events.set(events);
    if !degraded {
        raw.events_cleared.set(events);
    }
    let state = BitmapState::from_bits_retain(raw.state.get()).difference(BitmapState::STALE);
    raw.state.set(state.bits());
    Ok(())
}

/// The part of `write` that differs from what stands there, in whole blocks. A change of one block is all or nothing on the medium;
/// so the clean flag of 0.90, which has eight sectors, costs one.
#[must_use]
pub fn changed<'a>(write: &Write<'a>, old: &[u8; 4096], block_bytes: u32) -> Option<Write<'a>> {
    let block_len = usize::try_from(block_bytes).unwrap_or(0).clamp(512, old.len());
    let blocks = || write.bytes.chunks(block_len).zip(old.chunks(block_len));
    let first = blocks().position(|(new, old)| new != old)?;
    let len = blocks().skip(first).zip(1_usize..).filter(|((new, old), _)| new != old).last()?.1;
    let from = first.saturating_mul(block_len);
    let bytes = write.bytes.get(from..)?;
    let bytes = bytes.get(..len.saturating_mul(block_len)).unwrap_or(bytes);
    let at = write.at.checked_add(Sectors::from_bytes_floor(from as u64))?;
    Some(Write { at, bytes })
}

/// Features that name a log which closes the write hole.
pub const LOGS: Features = Features::JOURNAL.union(Features::PPL).union(Features::MULTIPLE_PPLS);

/// Says in the superblock in `block`, which must hold a sound one of that version, which log closes the array's write hole: those of
/// [`LOGS`] that are in `log`. Where the log lies stays said, whether it counts or not. 0.90 has none, and stays as it is.
pub fn set_log(block: &mut [u8; 4096], version: Version, log: Features) {
    if matches!(version, Version::V0Little | Version::V0Big) {
        return;
    }
    let raw: &mut Raw1 = zerocopy::transmute_mut!(block);
    let features = Features::from_bits_retain(raw.head.feature_map.get()).difference(LOGS);
    raw.head.feature_map.set(features.union(log.intersection(LOGS)).bits());
    Superblock::seal(block, version);
}

/// Bytes of a 1.x record that mean something: head and table.
fn record_bytes(raw: &Raw1) -> usize {
    usize::try_from(raw.head.max_dev.get()).unwrap_or(ROLES_MAX).saturating_mul(2).saturating_add(HEAD_BYTES)
}

/// What this version, and this record, have a place for.
fn check_state(superblock: &Superblock, state: &RunningState) -> Result<(), Refusal> {
    let no_place = |field| Refusal::Range { field, offset: 0, found: 1, least: 0, most: 0 };
    match superblock {
        Superblock::V1(superblock) if state.bad_blocks => superblock.check_bad_blocks(),
        Superblock::V1(_) => Ok(()),
        _ if state.bad_blocks => Err(no_place("a list of bad blocks in 0.90")),
        _ if state.replacement => Err(no_place("a replacement in 0.90")),
        _ => Ok(()),
    }
}

/// Numbers and slots that the version's table can hold.
fn check_table(version: Version, table: &[TableEntry]) -> Result<(), Refusal> {
    let (numbers, slots) = match version {
        Version::V0Little | Version::V0Big => (DISKS_MAX, DISKS_MAX),
        Version::V1_0 | Version::V1_1 | Version::V1_2 => (ROLES_MAX, 0xFF00),
    };
    let range = |field, offset, found: u32, count: usize| {
        let most = (count as u64).saturating_sub(1);
        Err(Refusal::Range { field, offset, found: i128::from(found), least: 0, most })
    };
    for entry in table {
        if usize::try_from(entry.number).map_or(true, |number| number >= numbers) {
            return range("number of a member", v1::MAX_DEV_OFFSET, entry.number, numbers);
        }
        if let Role::Slot(slot) = entry.role
            && usize::from(slot) >= slots
        {
            return range("slot of a member", v1::ROLES_OFFSET, u32::from(slot), slots);
        }
    }
    Ok(())
}

fn update_1(block: &mut [u8; 4096], state: &RunningState) {
    let raw: &mut Raw1 = zerocopy::transmute_mut!(block);
    for entry in state.table {
        set_role(raw, entry.number, entry.role);
    }
    let own = own_role(raw);
    let head = &mut raw.head;
    head.events.set(state.events);
    head.utime.set(state.updated_s & v1::TIME_SECONDS_MASK);
    head.resync_offset.set(match state.sync {
        Sync::Clean => u64::MAX,
        Sync::DirtyFrom(from) => from.0,
    });
    let mark = state.sync_mark.filter(|_| matches!(own, Role::Slot(_)));
    let mut features = Features::from_bits_retain(head.feature_map.get());
    features.set(Features::RECOVERY_OFFSET, mark.is_some());
    features.set(Features::RECOVERY_BITMAP, mark.is_some() && state.by_bitmap);
    features.set(Features::REPLACEMENT, state.replacement);
    features.set(Features::BAD_BLOCKS, state.bad_blocks);
    if let Some(mark) = mark {
        head.recovery_offset.set(mark.0);
    }
    head.feature_map.set(features.bits());
}

/// Sets a role; the table grows if the number lies behind its end. What lies between belongs to nobody, which Linux writes as "spare".
fn set_role(raw: &mut Raw1, number: u32, role: Role) {
    let (old_len, Some(new_len)) = (raw.head.max_dev.get(), number.checked_add(1)) else { return };
    for index in old_len..new_len {
        set_word(raw, index, v1::ROLE_SPARE);
    }
    raw.head.max_dev.set(old_len.max(new_len));
    set_word(raw, number, role_to_word(role));
}

fn set_word(raw: &mut Raw1, number: u32, word: u16) {
    if let Some(place) = usize::try_from(number).ok().and_then(|index| raw.dev_roles.get_mut(index)) {
        *place = little_endian::U16::new(word);
    }
}

fn own_role(raw: &Raw1) -> Role {
    let number = raw.head.dev_number.get();
    let word = usize::try_from(number).ok().and_then(|index| raw.dev_roles.get(index));
    word.filter(|_| number < raw.head.max_dev.get()).map_or(Role::Spare, |word| v1::role_from_word(word.get()))
}

fn update_0<O: ByteOrder>(block: &mut [u8; 4096], state: &RunningState) {
    let Ok(raw) = Raw0::<O>::mut_from_bytes(block) else { return };
    for entry in state.table {
        let number = usize::try_from(entry.number).unwrap_or(usize::MAX);
        if let Some(disk) = raw.disks.get_mut(number) {
            set_disk(disk, entry, raw.minor_version.get());
        }
    }
    set_counts(raw);
    // A table whose entry goes by another number is damaged. To copy it would make this member another one.
    let number = raw.this_disk.number.get();
    let own = usize::try_from(number).ok().and_then(|own| raw.disks.get(own));
    if let Some(disk) = own.filter(|disk| disk.number.get() == number) {
        raw.this_disk = *disk;
    }
    raw.events.set(state.events);
    // The field has 32 bits: seconds go on until 2106.
    raw.utime.set(u32::try_from(state.updated_s).unwrap_or(u32::MAX));
    let mut flags = State0::from_bits_retain(raw.state.get());
    flags.set(State0::CLEAN, state.sync == Sync::Clean);
    raw.state.set(flags.bits());
    // A mark that the field cannot hold is no mark.
    let mark = match state.sync {
        Sync::Clean => u32::MAX,
        Sync::DirtyFrom(from) => u32::try_from(from.0).ok().filter(|mark| *mark != u32::MAX).unwrap_or(0),
    };
    raw.recovery_cp.set(mark);
    if mark != 0 {
        raw.cp_events.set(state.events);
    }
}

fn set_disk<O: ByteOrder>(disk: &mut Disk<O>, entry: &TableEntry, minor_version: u32) {
    let kept = DiskState::WRITE_MOSTLY | DiskState::FAIL_FAST;
    let state = match entry.role {
        Role::Slot(_) if entry.in_sync => DiskState::ACTIVE | DiskState::SYNC,
        // Only the version of a reshape can say "active and not in sync".
        Role::Slot(_) if minor_version >= 91 => DiskState::ACTIVE,
        Role::Slot(_) | Role::Spare | Role::Unidentified => DiskState::empty(),
        Role::Faulty | Role::Journal => DiskState::FAULTY,
    };
    let kept = DiskState::from_bits_retain(disk.state.get()).intersection(kept);
    disk.state.set(state.union(kept).bits());
    disk.number.set(entry.number);
    disk.raid_disk.set(match entry.role {
        Role::Slot(slot) if !state.is_empty() => u32::from(slot),
        _ => entry.number,
    });
}

/// Counts what the table says now. Missing slots are entries too: faulty and removed.
pub(super) fn set_counts<O: ByteOrder>(raw: &mut Raw0<O>) {
    let mut counts = [0_u32; 4];
    let [active, spare, failed, missing] = &mut counts;
    for disk in &raw.disks {
        let state = DiskState::from_bits_retain(disk.state.get());
        let used = [disk.number, disk.major, disk.minor, disk.state].iter().any(|word: &U32<O>| word.get() != 0);
        let counter = match () {
            () if state.contains(DiskState::REMOVED) => &mut *missing,
            () if state.contains(DiskState::FAULTY) => &mut *failed,
            () if state.contains(DiskState::ACTIVE) => &mut *active,
            () if used => &mut *spare,
            () => continue,
        };
        *counter = counter.saturating_add(1);
    }
    let [active, spare, failed, missing] = counts;
    raw.active_disks.set(active);
    raw.spare_disks.set(spare);
    raw.working_disks.set(active.saturating_add(spare));
    raw.failed_disks.set(failed.saturating_add(missing));
    raw.nr_disks.set(active.saturating_add(spare).saturating_add(failed));
}
