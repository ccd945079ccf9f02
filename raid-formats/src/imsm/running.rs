//! What a running volume wants remembered, as changes of the record: which disks failed, which is being filled and how far, whether it is
//! dirty.
//!
//! All disks carry one record, so the freshest is changed, and what comes of it goes to all.

use super::{
    identity::Serial,
    metadata::{Metadata, RawVolume},
    raw::{Dirty, DiskStatus, MapState, MigrationKind, WriteHole},
    refusal::Refusal,
    update::{Change, NewDisk},
    volume::Volume,
};
use crate::{
    container::{Away, Said},
    record::Uuid,
};
use raid_core::{Columns, Member, Sectors, health::State};

impl Volume<'_> {
    /// A disk of the same container that is not `here` and holds a part of another volume: its record would go stale.
    pub fn away(&self, here: impl Fn(&Serial) -> bool) -> Option<Away> {
        let (metadata, own) = (self.metadata(), self.raw());
        let of_volume = |index: u32| own.map.slot_of(index).is_some();
        let used = |index: u32| metadata.volumes().any(|volume| volume.map.slot_of(index).is_some());
        let disks = (0..).zip(metadata.disks());
        let mut away = disks.filter(|(_, disk)| !disk.flags().contains(DiskStatus::FAILED) && !here(&disk.serial));
        away.find(|(index, _)| used(*index) && !of_volume(*index)).map(|(_, disk)| Away::Serial(disk.serial))
    }
}

/// What is said of a volume.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'a> {
    /// Which volume.
    pub array: Uuid,
    /// Whose disk is in each slot; nothing if it is gone.
    pub serials: &'a [Option<Serial>],
    /// Serial number and size of who comes.
    pub coming: &'a [Option<NewDisk>],
    /// What closes its write hole while nothing is in doubt. A partial parity log is not kept: a volume that is dirty does not name one.
    pub closed_by: Option<WriteHole>,
    /// Slots whose disk is there.
    pub here: Columns,
    /// What is said.
    pub said: &'a Said,
}

impl Telling<'_> {
    /// What must be changed in the record, so that it says what is said: `push` takes one change after another.
    ///
    /// # Errors
    /// The volume is not in the record any more, or a disk that is filled is not. What `push` returns.
    pub fn changes(&self, lead: &Metadata, mut push: impl FnMut(Change) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let gone = Refusal::NoEntry { what: "the volume" };
        let volume = lead.volumes().find(|volume| lead.uuid(Some(volume)) == self.array).ok_or(gone)?;
        let (index, health, dirty) = (volume.index, &self.said.health, self.said.dirty);
        let filling = health.rebuilding().next().is_some();
        for member in health.missing().iter() {
            let Some((disk, _)) = volume.map.member(member.0.into()) else { continue };
            let known = lead.disk(disk).is_some_and(|disk| disk.flags().contains(DiskStatus::FAILED));
            if !known {
                let disk = u8::try_from(disk).unwrap_or(u8::MAX);
                push(Change::Failed { disk, gone: !self.here.contains(member) })?;
            }
        }
        let kind = kind(&volume);
        let resync = kind.is_some_and(|kind| kind != MigrationKind::Rebuild);
        let uninitialised = volume.map_now().head.map_state == MapState::Uninitialised as u8;
        // What was compared or made is through, or must give way to a rebuild.
        if resync && (filling || !dirty) || uninitialised && !dirty && kind.is_none() {
            push(Change::InSync { volume: index })?;
        }
        if kind == Some(MigrationKind::Rebuild) && self.is_filled(&volume) {
            push(Change::Rebuilt { volume: index })?;
        }
        self.fills(lead, &volume, &mut push)?;
        let closed_by = self.closed_by.map(|by| if dirty { by.without_log() } else { by });
        if let (Some(by), true) = (closed_by, WriteHole::of(volume.head.rwh_policy) != closed_by) {
            push(Change::Closed { volume: index, by })?;
        }
        let flag = volume.migration.flags().contains(Dirty::DIRTY);
        if flag != dirty { push(Change::Dirty { volume: index, dirty }) } else { Ok(()) }
    }

    /// Who is being filled, and how far.
    fn fills(
        &self,
        lead: &Metadata,
        volume: &RawVolume,
        push: &mut impl FnMut(Change) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let (index, kind) = (volume.index, kind(volume));
        let mut count = u8::try_from(lead.disks().len()).unwrap_or(u8::MAX);
        for (member, mark) in self.said.health.rebuilding() {
            let slot = usize::from(member.0);
            let new = self.coming.get(slot).copied().flatten();
            let serial = new.map(|new| new.serial).or(self.serials.get(slot).copied().flatten());
            let known = serial.and_then(|serial| living(lead, &serial));
            let disk = match (known, new) {
                (Some(known), _) => known,
                (None, Some(disk)) => {
                    push(Change::Joined { disk })?;
                    count = count.saturating_add(1);
                    count.saturating_sub(1)
                }
                (None, None) => return Err(Refusal::NoEntry { what: "a disk that is filled" }),
            };
            let under_way = kind == Some(MigrationKind::Rebuild)
                && !self.is_filled(volume)
                && volume.map_now().member(member.0.into()) == Some((disk.into(), true));
            if !under_way {
                push(Change::Rebuild { volume: index, slot: member.0.into(), disk })?;
            }
            push(Change::Mark { volume: index, at: Sectors(mark.0) })?;
        }
        Ok(())
    }

    /// True if the record has a rebuild of a slot that is in sync by now.
    fn is_filled(&self, volume: &RawVolume) -> bool {
        let now = volume.map_now();
        let marked = |slot: u8| now.member(slot.into()).is_some_and(|(_, rebuild)| rebuild);
        let in_sync = |slot: u8| self.said.health.state(Member(slot)) == Some(State::InSync);
        (0..now.head.num_members).any(|slot| marked(slot) && in_sync(slot))
    }
}

/// What is under way.
fn kind(volume: &RawVolume) -> Option<MigrationKind> {
    volume.old_map?;
    MigrationKind::of(volume.migration.migr_type, volume.head.flags())
}

/// Index of the disk with that serial number, unless it failed.
#[must_use]
pub fn living(lead: &Metadata, serial: &Serial) -> Option<u8> {
    let living = |index: &u8| lead.disk((*index).into()).is_some_and(|disk| !disk.flags().contains(DiskStatus::FAILED));
    lead.index_of(serial).filter(living)
}

/// The freshest record.
pub fn lead<'h>(held: impl Iterator<Item = Metadata<'h>>) -> Option<Metadata<'h>> {
    held.max_by_key(|metadata| metadata.header().generation_num.get())
}
