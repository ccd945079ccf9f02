//! dm-mirror's line: legs, and the log beside them.

use std::ffi::OsStr;
use std::sync::Arc;

use raid_core::{Level, Sector, Sectors};
use raid_formats::record::{Format, Record, Shape};
use raid_formats::table::{Believed, MirrorTable};

use super::super::{Found, mirror_doubt};
use super::NoTable;
use crate::host::mirror_store::{Leg, Mirror};
use crate::media::{Joined, Media as _, MediaSpec, Options, Piece, open, open_mut};

/// A line of dm-mirror's, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MirrorLine {
    log: Option<String>,
    region: Sectors,
    believed: Believed,
    legs: Vec<(String, Sector)>,
    len: Sectors,
}

impl MirrorLine {
    /// Understands the words behind the target's name, of a mirror of `len` sectors.
    pub(super) fn parse(rest: &[&str], len: Sectors) -> Result<Self, NoTable> {
        let table = MirrorTable::parse(rest, len).map_err(|error| NoTable::Line(error.to_string()))?;
        let legs = table.legs().map(|(name, at)| (name.to_owned(), at)).collect();
        let (log, region, believed) = (table.log().map(str::to_owned), table.region(), table.believed());
        Ok(Self { log, region, believed, legs, len })
    }

    /// Its devices' names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.log.as_deref().into_iter().chain(self.legs.iter().map(|(name, _)| name.as_str()))
    }

    /// The legs, opened for reading.
    pub(super) fn found(&self, how: &Options) -> Result<(Vec<Found>, Vec<String>), NoTable> {
        let medium = |name: &str| Ok::<_, NoTable>(open(&MediaSpec::parse(OsStr::new(name))?, how)?.media);
        let log = self.log.as_deref().map(medium).transpose()?;
        let (doubted, note) = mirror_doubt(log.as_deref(), self.believed, self.region, self.len);
        let members = u16::try_from(self.legs.len()).unwrap_or(u16::MAX);
        let shape = Shape { level: Level::Raid1, members, chunk: Sectors::ZERO, array_size: Some(self.len) };
        let mut found = Vec::new();
        for (slot, (name, at)) in (0..).zip(&self.legs) {
            let media = medium(name)?;
            let (at, len) = (at.bytes().unwrap_or(u64::MAX), self.len.bytes().unwrap_or(u64::MAX));
            let size = media.size_bytes();
            if at.checked_add(len).is_none_or(|end| end > size) {
                let why = format!("it has {size} bytes, of which the line wants {len} from byte {at} on");
                return Err(NoTable::Device { name: name.clone(), why });
            }
            let mut part = Joined::new(name.clone());
            part.push(len, Piece::From(media, at));
            let record = Record { format: Format::DmMirror, ..crate::lvm::told(slot, shape, self.len) };
            let doubted = if slot == 0 { Vec::new() } else { doubted.clone() };
            found.push(Found::told(name, Arc::new(part), record, doubted));
        }
        Ok((found, note.into_iter().collect()))
    }

    /// The devices, opened for writing and locked.
    pub(super) fn open_mut(&self) -> Result<Mirror, NoTable> {
        let medium = |name: &str| Ok::<_, NoTable>(open_mut(&MediaSpec::parse(OsStr::new(name))?)?.media);
        let leg = |(name, at): &(String, Sector)| Ok::<_, NoTable>(Some(Leg { media: medium(name)?, at: *at }));
        let legs = self.legs.iter().map(leg).collect::<Result<_, _>>()?;
        let log = self.log.as_deref().map(medium).transpose()?;
        let Self { region, believed, len, .. } = *self;
        Ok(Mirror { legs, log, believed, region, len })
    }
}
