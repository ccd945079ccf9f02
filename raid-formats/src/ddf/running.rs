//! What a running volume wants remembered, as changes of the tables: which disks failed, which is being filled, the volume's condition.
//!
//! A change starts from what the disks hold: other volumes' states stand in the same tables. A disk that lags gets the tables of the
//! freshest with it.

use super::{
    guid::Guid,
    level::Levels,
    metadata::{ConfigRecord, Metadata},
    place::sectors_per_block,
    probe::BlockRoom,
    raw::{Condition, Config, DiskKind, DiskState, Init, PhysicalEntry},
    refusal::Refusal,
    update::{DiskChange, NewDisk, Replaced, RunningState, VolumeState, Write, update_in},
    volume::Volume,
    word::Order,
};
use crate::{
    container::{Away, Said},
    record::Record,
};
use raid_core::{
    Columns, Member, Sector,
    geometry::Geometry,
    health::{Health, State},
};

/// States of a disk that take it out.
pub const OUT: DiskState = DiskState::FAILED.union(DiskState::MISSING);

/// What a slot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Reference of its disk.
    pub reference: u32,
    /// Where its data start on that.
    pub start: Sector,
    /// What the records lack of it.
    pub joins: Joins,
}

/// What must be written for a new member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joins {
    /// Nothing: it is one.
    Nothing,
    /// The disk is in the tables; the volume does not have it yet.
    Volume,
    /// Everything.
    Container(NewDisk),
}

impl Part {
    /// What a slot has: its current member, or who the tables of any member have there, which is what `told` gives ([`Volume::member`]).
    pub fn of(own: Option<&Record>, told: impl FnOnce() -> Option<(u32, Sector)>) -> Option<Self> {
        let own = own.map(|record| (record.number, record.data.at));
        let (reference, start) = own.or_else(told)?;
        Some(Self { reference, start, joins: Joins::Nothing })
    }
}

impl Volume<'_> {
    /// A disk of the same container that is not `here` and holds a part of some volume: its records would go stale.
    pub fn away(&self, here: impl Fn(u32) -> bool) -> Option<Away> {
        let (metadata, order) = (self.metadata(), self.metadata().place().order);
        let mut disks =
            metadata.physical().filter(|entry| is_used(entry, order)).map(|entry| entry.reference.get(order));
        disks.find(|reference| !here(*reference)).map(Away::Reference)
    }
}

fn is_used(entry: &PhysicalEntry, order: Order) -> bool {
    let (state, kind) = (entry.disk_state(order), entry.kind(order));
    kind.contains(DiskKind::IN_VIRTUAL_DISK) && state.contains(DiskState::ONLINE) && !state.intersects(OUT)
}

/// What is said of a volume.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'a> {
    /// Which volume.
    pub guid: Guid,
    /// Its levels.
    pub levels: &'a Levels,
    /// Its shape.
    pub geometry: &'a Geometry,
    /// Who is in each slot, as far as any member knows.
    pub parts: &'a [Option<Part>],
    /// Slots whose disk is there.
    pub here: Columns,
    /// What is said.
    pub said: &'a Said,
}

/// What changes in the tables: the same on all disks.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    /// The volume's state.
    pub volume: VolumeState,
    /// [`Telling::disks`].
    pub disks: &'a [DiskChange],
    /// [`Telling::joined`].
    pub joined: &'a [NewDisk],
    /// [`Telling::replaced`].
    pub replaced: &'a [Replaced],
}

impl Changes<'_> {
    /// Writes it to a disk that holds `own`, while the freshest of all holds `lead`, in the order of [`update`](super::update()).
    /// `adopted` is what [`Telling::adopted`] gives for it; `next` is space as for [`update_in`]. What the disk holds then.
    ///
    /// # Errors
    /// As [`update_in`].
    pub fn tell<'b, E: From<Refusal>>(
        &self,
        (own, lead): (&Metadata, &Metadata),
        adopted: &[&[u8]],
        updated_s: u64,
        next: (&'b mut [u8], &mut BlockRoom),
        write: impl FnMut(Write) -> Result<(), E>,
    ) -> Result<Metadata<'b>, E> {
        let lags = own.place().sequence < lead.place().sequence;
        let state = RunningState {
            sequence: lead.place().sequence.saturating_add(1),
            updated_s,
            volumes: &[self.volume],
            disks: self.disks,
            joined: self.joined,
            replaced: self.replaced,
            adopted,
            tables: lags.then(|| lead.tables()),
        };
        update_in(own, next, &state, write)
    }
}

impl Telling<'_> {
    /// The volume's state.
    ///
    /// # Errors
    /// The volume is in no table of its container any more.
    pub fn volume(&self, lead: &Metadata) -> Result<VolumeState, Refusal> {
        let gone = Refusal::NoEntry { what: "the volume" };
        let (entry, dirty) = (lead.virtual_of(self.guid).ok_or(gone)?, self.said.dirty);
        Ok(VolumeState {
            guid: self.guid,
            condition: self.condition(&self.said.health),
            consistent: !dirty,
            init: (!dirty && entry.init() != Init::Full).then_some(Init::Full),
        })
    }

    /// Disks whose state changes. `newest` as [`newest`] gives it.
    pub fn disks<'h>(
        &self,
        lead: &Metadata,
        newest: impl Iterator<Item = ConfigBytes<'h>> + Clone,
    ) -> impl Iterator<Item = DiskChange> {
        self.slots().filter_map(move |(slot, part)| {
            let known = lead.physical_of(part.reference)?;
            let found = known.disk_state(lead.place().order);
            let wanted = match self.said.health.state(slot).unwrap_or(State::Missing) {
                State::Missing => {
                    let out = found.difference(DiskState::ONLINE | DiskState::REBUILDING) | DiskState::FAILED;
                    if self.here.contains(slot) { out } else { out | DiskState::MISSING }
                }
                // That another volume's store calls the disk failed stays.
                State::Rebuilding { .. } => found | DiskState::ONLINE | DiskState::REBUILDING,
                State::InSync if self.others_rebuild(lead, newest.clone(), part.reference) => found,
                State::InSync => found.difference(DiskState::REBUILDING),
            };
            (wanted != found).then_some(DiskChange { reference: part.reference, state: wanted })
        })
    }

    /// Disks that are new in the table.
    pub fn joined(&self) -> impl Iterator<Item = NewDisk> {
        self.slots().filter_map(|(_, part)| match part.joins {
            Joins::Container(new) => Some(new),
            Joins::Volume | Joins::Nothing => None,
        })
    }

    /// Slots that are given to other disks.
    pub fn replaced(&self, lead: &Metadata) -> impl Iterator<Item = Result<Replaced, Refusal>> {
        let per_block = sectors_per_block(lead.place().block_bytes);
        self.slots().filter(|(_, part)| part.joins != Joins::Nothing).map(move |(slot, part)| {
            let missing = Refusal::NoEntry { what: "the slot of a new member" };
            let (element, index) = self.levels.place(slot.0.into()).ok_or(missing)?;
            let start_block = part.start.0.checked_div(per_block).unwrap_or(0);
            Ok(Replaced { guid: self.guid, element, index, reference: part.reference, start_block })
        })
    }

    /// Configuration records that the disk in `slot`, which holds `own`, must get: newer ones than it has, and that of an element which
    /// it joins.
    pub fn adopted<'h>(
        &self,
        own: &Metadata,
        newest: impl Iterator<Item = ConfigBytes<'h>>,
        slot: Option<Member>,
    ) -> impl Iterator<Item = &'h [u8]> {
        let order = own.place().order;
        let part = slot.and_then(|slot| self.parts.get(usize::from(slot.0)).copied().flatten());
        let joins = part.is_some_and(|part| part.joins == Joins::Volume);
        let element = slot.filter(|_| joins).and_then(|slot| self.levels.place(slot.0.into()));
        let wanted = move |(config, _): &ConfigBytes<'h>| match configs(own).find(|(held, _)| key(held) == key(config))
        {
            Some((held, _)) => held.sequence.get(order) < config.sequence.get(order),
            None => element.is_some_and(|(element, _)| key(config) == (self.guid, element)),
        };
        newest.filter(wanted).map(|(_, bytes)| bytes)
    }

    fn slots(&self) -> impl Iterator<Item = (Member, Part)> {
        (0..=u8::MAX).map(Member).zip(self.parts).filter_map(|(slot, part)| Some((slot, (*part)?)))
    }

    /// The volume's condition: how many more it could lose.
    fn condition(&self, health: &Health) -> Condition {
        let out = Columns::first(health.members()).difference(health.in_sync());
        let one_more = |member: Member| self.geometry.survives(out.union(Columns::one(member)));
        if out.is_empty() {
            Condition::Optimal
        } else if !self.geometry.survives(out) {
            Condition::Failed
        } else if health.in_sync().iter().all(one_more) {
            Condition::PartiallyOptimal
        } else {
            Condition::Degraded
        }
    }

    /// True if that disk is, or must be, filled for another volume: the tables have one mark for all of them.
    fn others_rebuild<'h>(
        &self,
        lead: &Metadata,
        newest: impl Iterator<Item = ConfigBytes<'h>>,
        reference: u32,
    ) -> bool {
        let of_others = newest.filter(|(config, _)| config.guid != self.guid);
        let mut meant = of_others.filter(|(_, bytes)| lead.is_member(bytes, reference));
        let whole = |guid| lead.virtual_of(guid).is_none_or(|entry| entry.condition() == Condition::Optimal);
        meant.any(|(config, _)| !whole(config.guid))
    }
}

/// A configuration record of an element of a volume, with all of its bytes.
pub type ConfigBytes<'a> = (&'a Config, &'a [u8]);

/// The configuration records of one disk.
pub fn configs<'a>(metadata: &Metadata<'a>) -> impl Iterator<Item = ConfigBytes<'a>> + Clone + use<'a> {
    metadata.configs().filter_map(|record| match record {
        ConfigRecord::Volume(config, bytes) => Some((config, bytes)),
        ConfigRecord::Spare(..) | ConfigRecord::Other(_) => None,
    })
}

fn key(config: &Config) -> (Guid, u8) {
    (config.guid, config.secondary_seq_or_zero())
}

/// The newest record of each element of each volume on disks that hold this; of several alike the first.
pub fn newest<'h>(held: impl Iterator<Item = Metadata<'h>> + Clone) -> impl Iterator<Item = ConfigBytes<'h>> + Clone {
    let numbered = |metadata: Metadata<'h>| {
        let order = metadata.place().order;
        configs(&metadata).map(move |config| (config.0.sequence.get(order), config))
    };
    let all = held.flat_map(numbered).enumerate();
    let beats = |(number, (sequence, config)): (usize, (u32, ConfigBytes<'h>)),
                 than: (usize, (u32, ConfigBytes<'h>))| {
        let (other, (its_sequence, its_config)) = than;
        key(config.0) == key(its_config.0) && (sequence > its_sequence || sequence == its_sequence && number < other)
    };
    all.clone().filter(move |one| !all.clone().any(|other| beats(other, *one))).map(|(_, (_, config))| config)
}

/// The freshest records, of several alike the first.
pub fn lead<'h>(held: impl Iterator<Item = Metadata<'h>>) -> Option<Metadata<'h>> {
    held.reduce(|best, other| if other.place().sequence > best.place().sequence { other } else { best })
}
