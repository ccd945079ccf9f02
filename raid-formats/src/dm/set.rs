//! How a set starts: what its table and its metadata devices say together, and what that makes of its members and regions.
//!
//! As dm-raid decides it (kernel `drivers/md/dm-raid.c`: `analyse_superblocks`, `super_init_validation`, `super_validate`, `raid_ctr`),
//! but for these, where it would lose something:
//!
//! - A resync that was not through is kept when a device is to be rebuilt. Linux forgets it.
//! - Bits of a set that is whole count, whatever the records say. Linux looks at them only from `array_resync_offset` on, so a set that was
//!   not stopped in order is not synchronised.
//! - A set with parity that has doubt and lacks a device is refused, unless the table says `nosync`. Linux does not know of the doubt.

use core::fmt;

use raid_core::geometry::Geometry;
use raid_core::health::{Event, Health, HealthError, State};
use raid_core::region::Found;
use raid_core::rows::RowKind;
use raid_core::{Columns, Level, Member, Sector, Sectors};

use super::raid::{MAGIC, RawRaid, Superblock};
use crate::{
    md::{Refusal, level_to_md},
    record::{Record, Role, Sync},
    table::Table,
};
use zerocopy::FromBytes;

/// What is at the start of a slot's metadata device.
#[derive(Clone, Copy, Debug)]
pub enum Block<'b> {
    /// The slot has no device.
    Absent,
    /// It cannot be read.
    Unreadable,
    /// Its first logical block.
    Read(&'b [u8]),
}

/// Why a set is not started. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetError {
    /// A record that is none, or says what cannot be.
    Record {
        /// The slot.
        slot: u8,
        /// What is wrong.
        refusal: Refusal,
    },
    /// A device says another level, layout, chunk, count, size or place of the data than the table, or is in the middle of a reshape.
    Differs {
        /// The slot.
        slot: u8,
        /// What differs.
        what: &'static str,
    },
    /// A device says that it is in another slot.
    Moved {
        /// The slot.
        slot: u8,
        /// Where it says that it is.
        says: u32,
    },
    /// A device without a record, in a set that has some, and not to be rebuilt.
    Injected {
        /// The slot.
        slot: u8,
    },
    /// A new set lacks a device.
    NotWhole,
    /// `nosync` for a new set with two parities.
    MustSync,
    /// More devices lack data than the level survives.
    TooMany(Columns),
    /// More devices are to be filled than can be at once.
    Health(HealthError),
    /// Redundancy is in doubt and a device is missing that it would be needed for.
    Doubted {
        /// Regions in doubt.
        regions: u64,
    },
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { slot, refusal } => write!(f, "slot {slot}: {refusal}"),
            Self::Differs { slot, what } => write!(f, "slot {slot}: its record has another {what} than the table"),
            Self::Moved { slot, says } => write!(f, "slot {slot}: its record says slot {says}"),
            Self::Injected { slot } => write!(f, "slot {slot}: no record, and the table does not say rebuild {slot}"),
            Self::NotWhole => f.write_str("a new set must have all its devices"),
            Self::MustSync => f.write_str("a new set with two parities cannot be nosync"),
            Self::TooMany(slots) => {
                f.write_str("too many slots lack data:")?;
                slots.iter().try_for_each(|slot| write!(f, " {slot}"))
            }
            Self::Health(error) => error.fmt(f),
            Self::Doubted { regions } => {
                write!(f, "parity is in doubt in {regions} regions and a device is missing; nosync takes it for good")
            }
        }
    }
}

/// A set that can be started.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// The newest record's; zero for a new set.
    pub events: u64,
    /// Whose record that is; `None` for a new set, or one that is made anew (`sync`).
    pub freshest: Option<Member>,
    /// Slots on whose metadata device nothing counts: new, or to be rebuilt.
    pub fresh: Columns,
    /// Slots that need a new record: those, and copies whose number of devices, or place among them, is another now.
    pub records: Columns,
    /// Who is trusted, and how far.
    pub health: Health,
    /// From where on redundancy may not agree, by the newest record and the table.
    pub sync: Sync,
    kind: RowKind,
    nosync: bool,
}

impl Set {
    /// Judges what was found. `block` says what is at the start of each slot's metadata device, `data` how long the device beside it
    /// is.
    ///
    /// # Errors
    /// [`SetError`].
    pub fn judge<'b>(
        table: &Table<'_, '_>,
        geometry: &Geometry,
        kind: RowKind,
        block: impl Fn(Member) -> Block<'b>,
        data: impl Fn(Member) -> Sectors,
    ) -> Result<Self, SetError> {
        let Scan { new, read, unread, events, freshest } = scan(table, geometry, &block, &data)?;
        let options = table.options();
        let slots = Columns::first(table.members());
        if new == slots || options.sync {
            let health = table.health().map_err(SetError::Health)?;
            if table.present() != slots || !unread.is_empty() {
                return Err(SetError::NotWhole);
            }
            if options.nosync && matches!(geometry.level(), Level::Raid6(_)) {
                return Err(SetError::MustSync);
            }
            let clean = kind == RowKind::Plain || (options.nosync && !options.sync);
            let sync = if clean { Sync::Clean } else { Sync::DirtyFrom(Sector(0)) };
            let fresh = table.present();
            let nosync = options.nosync;
            return Self { events, freshest: None, fresh, records: fresh, health, sync, kind, nosync }
                .survived(geometry);
        }
        let injected = new.difference(options.rebuild).iter().next();
        let (Some(lead), None) = (freshest, injected) else {
            return Err(injected.map_or(SetError::NotWhole, |slot| SetError::Injected { slot: slot.0 }));
        };
        let parsed = |slot: Member| match block(slot) {
            Block::Read(bytes) => Superblock::parse(bytes, data(slot)).ok(),
            Block::Absent | Block::Unreadable => None,
        };
        let Some(newest) = parsed(lead) else { return Err(SetError::NotWhole) };
        let mut health = Health::new(table.members()).map_err(SetError::Health)?;
        let (fresh, mut records) = (options.rebuild, options.rebuild);
        for slot in read.union(fresh).iter() {
            let event = match parsed(slot) {
                _ if fresh.contains(slot) => Event::Rebuild { mark: Sector(0) },
                Some(own) => {
                    let own = own.described();
                    if own.shape.members != table.members() || own.number != u32::from(slot.0) {
                        records.insert(slot);
                    }
                    admission(own, newest.failed(own.number))
                }
                None => continue,
            };
            health.apply(slot, event).map_err(SetError::Health)?;
        }
        for slot in options.write_mostly.iter() {
            health.set_write_mostly(slot, true).map_err(SetError::Health)?;
        }
        let sync = if options.nosync || kind == RowKind::Plain { Sync::Clean } else { newest.described().sync };
        let nosync = options.nosync;
        Self { events, freshest: Some(lead), fresh, records, health, sync, kind, nosync }.survived(geometry)
    }

    fn survived(self, geometry: &Geometry) -> Result<Self, SetError> {
        let lacking = Columns::first(self.health.members()).difference(self.health.in_sync());
        if geometry.survives(lacking) { Ok(self) } else { Err(SetError::TooMany(lacking)) }
    }

    /// True if a device is missing or being filled.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        !self.health.is_whole()
    }

    /// What a region is that has its bit set, or not, and ends before `end`.
    ///
    /// While devices are missing bits stay set, to say what those lack; so then a bit alone is no doubt. Of a resync that was stopped at a
    /// place, everything behind it is in doubt; stopped at zero, or not in order, the bits say where.
    #[must_use]
    pub fn found(&self, marked: bool, end: Sector) -> Found {
        let behind = matches!(self.sync, Sync::DirtyFrom(from) if from.0 > 0 && end > from);
        match (self.sync, self.is_degraded()) {
            _ if !marked && !behind => Found::Clean,
            _ if self.nosync && !self.is_degraded() => Found::Clean,
            (Sync::Clean, true) => Found::Marked,
            (Sync::Clean, false) | (Sync::DirtyFrom(_), _) => Found::InDoubt,
        }
    }

    /// Whether it may start with so many regions in doubt.
    ///
    /// # Errors
    /// [`SetError::Doubted`].
    pub fn check_doubt(&self, regions: u64) -> Result<(), SetError> {
        let guess = regions > 0 && self.kind == RowKind::Parity && self.is_degraded();
        if guess { Err(SetError::Doubted { regions }) } else { Ok(()) }
    }
}

/// What the records say each for itself.
struct Scan {
    /// Slots without a record.
    new: Columns,
    /// Slots with one that counts.
    read: Columns,
    /// Slots whose device cannot be read.
    unread: Columns,
    events: u64,
    freshest: Option<Member>,
}

fn scan<'b>(
    table: &Table<'_, '_>,
    geometry: &Geometry,
    block: &impl Fn(Member) -> Block<'b>,
    data: &impl Fn(Member) -> Sectors,
) -> Result<Scan, SetError> {
    let options = table.options();
    let none = Columns::EMPTY;
    let mut scan = Scan { new: none, read: none, unread: none, events: 0, freshest: None };
    for slot in table.present().iter() {
        let Block::Read(bytes) = block(slot) else {
            scan.unread.insert(slot);
            continue;
        };
        let has_none = RawRaid::ref_from_prefix(bytes).is_ok_and(|(raw, _)| raw.head.magic.get() != MAGIC);
        if has_none {
            scan.new.insert(slot);
            continue;
        }
        if options.rebuild.contains(slot) {
            // What it says counts for nothing.
            continue;
        }
        let parsed =
            Superblock::parse(bytes, data(slot)).map_err(|refusal| SetError::Record { slot: slot.0, refusal })?;
        if !options.sync {
            check(table, geometry, slot, parsed.described())?;
        }
        scan.read.insert(slot);
        if scan.freshest.is_none() || parsed.described().events > scan.events {
            (scan.events, scan.freshest) = (parsed.described().events, Some(slot));
        }
    }
    Ok(scan)
}

/// The record against the table: a difference asks for a takeover, a reshape or another size. RAID 1 may get more or fewer devices,
/// and have them in another order.
fn check(table: &Table<'_, '_>, geometry: &Geometry, slot: Member, record: &Record) -> Result<(), SetError> {
    let differs = |what| Err(SetError::Differs { slot: slot.0, what });
    let (shape, mirror) = (record.shape, table.level() == Level::Raid1);
    if record.reshape.is_some() {
        return differs("shape, which is being changed,");
    }
    if level_to_md(shape.level) != level_to_md(table.level()) {
        return differs("level or layout");
    }
    if shape.chunk != table.chunk() {
        return differs("chunk");
    }
    if shape.members != table.members() && !mirror {
        return differs("number of devices");
    }
    if shape.array_size.is_some_and(|size| size != geometry.array_size()) {
        return differs("size");
    }
    if record.data.at != Sector(0) {
        return differs("place of the data");
    }
    match record.role {
        Role::Slot(says) if !mirror && says != u16::from(slot.0) => {
            Err(SetError::Moved { slot: slot.0, says: says.into() })
        }
        _ => Ok(()),
    }
}

/// What a device with a record comes as. One that failed is caught up by the bits, which were kept since, if it was in sync.
fn admission(own: &Record, failed: bool) -> Event {
    match (failed, own.sync_mark) {
        (false, None) => Event::Admit,
        (false, Some(mark)) => Event::Rebuild { mark: Sector(mark.0) },
        (true, None) => Event::CatchUp { mark: Sector(0) },
        (true, Some(_)) => Event::Rebuild { mark: Sector(0) },
    }
}

/// What all records of a running set are to say: one version for each event count, so that of two records with the same count none says
/// otherwise than the other. A record that lags does no harm: the newest one counts.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    events: u64,
    health: Health,
    sync: Sync,
    begun: bool,
}

impl Said {
    /// What a set says before it runs.
    #[must_use]
    pub const fn new(set: &Set) -> Self {
        Self::so_far(set.events, set.health, set.sync)
    }

    /// The same, for a set that was put together otherwise.
    #[must_use]
    pub const fn so_far(events: u64, health: Health, sync: Sync) -> Self {
        Self { events, health, sync, begun: false }
    }

    /// True if this run has said something.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.begun
    }

    /// The event count of what is to be said now.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// True if a device is missing or being filled.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        !self.health.is_whole()
    }

    /// True if the device in `slot` is to say something: it is not out.
    #[must_use]
    pub fn lives(&self, slot: Member) -> bool {
        self.health.has(slot)
    }

    /// Bits are about to be written; `set` if there are any. The first one of a run makes the set dirty, until it is stopped.
    pub fn log(&mut self, set: bool) {
        let sync = if set { Sync::DirtyFrom(Sector(0)) } else { self.sync };
        self.change(self.health, sync);
    }

    /// The members' states are to be written.
    pub fn health(&mut self, health: &Health) {
        self.change(*health, self.sync);
    }

    /// The set is stopped in order, with the members in these states; `sync` is how. One change.
    pub fn stop(&mut self, health: &Health, sync: Sync) {
        self.change(*health, sync);
    }

    fn change(&mut self, health: Health, sync: Sync) {
        let before = (self.health, self.sync);
        self.health.learn(&health);
        self.sync = sync;
        if core::mem::replace(&mut self.begun, true) && before == (self.health, self.sync) {
            return;
        }
        self.events = self.events.saturating_add(1);
    }

    /// What the record in `slot` is to say; `None` if it is to say nothing, since its device is out.
    #[must_use]
    pub fn state(&self, slot: Member) -> Option<super::RaidState> {
        let sync_mark = match self.health.state(slot)? {
            State::Missing => return None,
            State::Rebuilding { mark } => Some(Sectors(mark.0)),
            State::InSync => None,
        };
        Some(super::RaidState { events: self.events, failed: self.health.missing(), sync_mark, sync: self.sync })
    }
}

#[cfg(test)]
mod tests;
