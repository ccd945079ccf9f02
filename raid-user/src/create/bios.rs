//! A new array of a BIOS RAID: a record on each disk.

use raid_core::geometry::Geometry;
use raid_core::health::Health;
use raid_core::{Columns, Level, Raid5Layout, Sector, Sectors};
use raid_formats::assemble::Claimant as _;
use raid_formats::bios::{Arrangement, BUFFER_BYTES, Kind, Running, Spec};
use raid_formats::record::{Format, Name, Shape, Sync, Uuid};

use super::{CreateError, Made, erase};
use crate::discover::Found;
use crate::host::md_store::new_uuid;
use crate::media::{Media as _, SharedMedia, SharedMediaMut};

/// The array to make.
#[derive(Clone, Copy, Debug)]
pub struct NewBios {
    /// Its format.
    pub kind: Kind,
    /// Level and layout.
    pub level: Level,
    /// Chunk; of a mirror it means nothing.
    pub chunk: Sectors,
    /// Its name, cut off where the format has less room.
    pub name: Name,
    /// Sectors to use of each disk; `None` for all that the smallest has.
    pub used: Option<Sectors>,
    /// Believe that redundancy is in order already.
    pub assume_clean: bool,
}

/// How a format's RAID 5 rotates, if it has one: what it is told nobody else's word for.
#[must_use]
pub fn own_raid5(kind: Kind) -> Raid5Layout {
    match kind.format() {
        Format::JMicron | Format::Promise => Raid5Layout::LeftAsymmetric,
        _ => Raid5Layout::LeftSymmetric,
    }
}

/// Bytes, and where they are written to.
type Piece = (Sector, Vec<u8>);

fn plan(why: impl std::fmt::Display) -> CreateError {
    CreateError::Plan(why.to_string())
}

fn medium(disk: &SharedMediaMut) -> Sectors {
    Sectors::from_bytes_floor(disk.size_bytes())
}

impl NewBios {
    /// Makes it on these disks, in the order of the array's slots. What was made, and its identity.
    ///
    /// # Errors
    /// [`CreateError`]; nothing is written unless the description makes an array on all of the disks.
    pub fn create(&self, disks: &[SharedMediaMut]) -> Result<(Made, Uuid), CreateError> {
        let members = u16::try_from(disks.len()).unwrap_or(u16::MAX);
        let chunk = if matches!(self.level, Level::Raid1 | Level::Linear) { Sectors::ZERO } else { self.chunk };
        let used = self.used_on(disks, chunk)?;
        let plain = matches!(self.level, Level::Linear | Level::Raid0(_));
        let shape = Shape { level: self.level, members, chunk, array_size: None };
        let geometry = Geometry::new(&shape.config(used, &vec![used; disks.len()]));
        let size = geometry.map_err(CreateError::Config)?.array_size();
        let clean = self.assume_clean || plain;
        if !clean && self.kind.unwritable().is_some() {
            let name = self.kind.format().name();
            return Err(plan(format!("nobody will synchronise it, for {name} arrays are not run: --assume-clean")));
        }
        let [a, b, c, d, e, f, g, h, ..] = new_uuid()?.0;
        let set = u64::from_le_bytes([a, b, c, d, e, f, g, h]) | 1;
        let spec = |arrangement| Spec { arrangement, members, chunk, used, set, name: self.name };
        let (mut pieces, mut refused) = (Vec::new(), Vec::new());
        for arrangement in arrangements(self.level) {
            match self.records(&spec(arrangement), disks, clean) {
                Ok(made) => {
                    pieces = made;
                    break;
                }
                Err(why) => refused.push(why),
            }
        }
        if pieces.is_empty() {
            let name = self.kind.format().name();
            return Err(refused.pop().unwrap_or_else(|| plan(format!("{name} has no such level or layout"))));
        }
        // Old records go before the first new one: a crash must not leave members of both.
        disks.iter().try_for_each(erase)?;
        for (disk, pieces) in disks.iter().zip(pieces) {
            for (at, bytes) in pieces {
                disk.write_at(at.bytes().ok_or_else(|| plan("a place past all media"))?, &bytes)?;
            }
            disk.flush()?;
        }
        let sync = if clean { Sync::Clean } else { Sync::DirtyFrom(Sector(0)) };
        let made = Made { size, used: if plain { Sectors::ZERO } else { used }, sync };
        let first = disks.first().ok_or_else(|| plan("no member"))?;
        let found = Found::inspect(&first.describe(), first.clone() as SharedMedia);
        let found = found.map_err(|reason| plan(format!("what was made cannot be found: {reason}")))?;
        Ok((made, found.record().array))
    }

    fn used_on(&self, disks: &[SharedMediaMut], chunk: Sectors) -> Result<Sectors, CreateError> {
        let room =
            disks.iter().map(|disk| self.kind.data_end(medium(disk)).map_or(Sectors::ZERO, |end| Sectors(end.0)));
        let room = room.min().unwrap_or(Sectors::ZERO);
        let unit = Sectors(chunk.0.max(1));
        let used = self.used.unwrap_or(room).floor_to(unit);
        if used.is_zero() || used > room {
            let asked = self.used.unwrap_or(room);
            return Err(plan(format!("{asked} sectors of each member, where at most {room} are free")));
        }
        Ok(used)
    }

    /// What is to be written to each disk where.
    fn records(&self, spec: &Spec, disks: &[SharedMediaMut], clean: bool) -> Result<Vec<Vec<Piece>>, CreateError> {
        let health = Health::of(spec.members, Columns::first(spec.members)).map_err(plan)?;
        let record = |(slot, disk): (u16, &SharedMediaMut)| {
            let mut buf = Box::new([0; BUFFER_BYTES]);
            let size = medium(disk);
            self.kind.make(spec, slot, size, &mut buf, |_, _| {}).map_err(plan)?;
            let bytes = buf.get_mut(..self.kind.len_bytes()).unwrap_or_default();
            if !clean {
                let state = Running { dirty: true, health: &health, shut_out: None };
                self.kind.update(bytes, slot, size, &state).map_err(plan)?;
            }
            let at = self.kind.place(size, 0).ok_or_else(|| plan("too small for the format's record"))?;
            let mut pieces = Vec::new();
            let written: Result<(), CreateError> = self.kind.write((at, size), bytes, None, |at, sector| {
                pieces.push((at, sector.to_vec()));
                Ok(())
            });
            written.map(|()| pieces)
        };
        (0..).zip(disks).map(record).collect()
    }
}

/// What of a format can be that level.
fn arrangements(level: Level) -> Vec<Arrangement> {
    let all = [
        Arrangement::Span,
        Arrangement::Stripe,
        Arrangement::Mirror,
        Arrangement::StripedPairs,
        Arrangement::MirroredStripes,
    ];
    match level {
        Level::Raid5(layout) => vec![Arrangement::Raid5(layout)],
        // Its layouts differ where disks do in size, which here they do not.
        Level::Raid0(_) => vec![Arrangement::Stripe],
        level => all.into_iter().filter(|arrangement| arrangement.level() == level).collect(),
    }
}
