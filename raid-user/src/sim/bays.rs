//! Disks come back in any order: what stands on them says whose seat they have, and not the bay they are in.

use super::disk::Disk;
use super::faults::SHELF_MAX;
use super::story::Fact;
use super::world::Outside;

impl Outside {
    /// Somebody pulls all disks while the power is off, and puts them back as they come: perhaps with one that lay on the shelf.
    pub(super) fn other_bays(&mut self) {
        let mut bays = std::mem::take(&mut self.disks);
        if !self.shelf.is_empty() && self.dice.coin() {
            let at = self.dice.index(self.shelf.len());
            let (_, mut disk) = self.shelf.swap_remove(at);
            disk.rest();
            disk.present = true;
            bays.push(disk);
        }
        for last in (1..bays.len()).rev() {
            let other = self.dice.index(last + 1);
            bays.swap(last, other);
        }
        self.disks = bays;
        self.story.note(Fact::OtherBays);
    }

    /// Gives every disk the seat that it says it has: of two that say the same the one that knows more. Who knows nothing gets what is
    /// left over.
    pub(super) fn seated(&mut self, members: u16) {
        let members = usize::from(members);
        // Slots have two seats each; a new array has the lower ones alone.
        let places = if self.disks.len() > members { 2 * members } else { members };
        let mut seats: Vec<Option<Disk>> = (0..places).map(|_| None).collect();
        let mut unknown = Vec::new();
        for disk in std::mem::take(&mut self.disks) {
            let Some(slot) = disk.health.map(|health| health.seats().slot(disk.seat)) else {
                unknown.push(disk);
                continue;
            };
            let Some(place) = seats.get_mut(usize::from(disk.seat.0)) else { continue };
            let knows = |disk: &Disk| (disk.present, disk.health.map(|health| health.epoch()));
            let loses = match place {
                Some(other) if knows(other) >= knows(&disk) => Some(disk),
                place => place.replace(disk),
            };
            if let Some(disk) = loses.filter(|_| self.shelf.len() < SHELF_MAX) {
                self.shelf.push((slot, disk));
            }
        }
        let sectors = seats.iter().flatten().chain(&unknown).map(Disk::len).max().unwrap_or(0);
        let mut unknown = unknown.into_iter();
        let mut other = || unknown.next().unwrap_or_else(|| Disk::nowhere(sectors));
        self.disks = seats.into_iter().map(|seat| seat.unwrap_or_else(&mut other)).collect();
    }
}
