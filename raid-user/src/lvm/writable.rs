//! A RAID volume's images as media that can be written to: where the text says that they lie on the physical volumes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;

use raid_core::{Sector, Sectors};
use raid_formats::assemble::Claimant as _;
use raid_formats::lvm::{Group, Kind, Volume};
use raid_formats::record::{Role, Uuid};

use super::volume::snapshot_of;
use super::{Stop, VolumeGroup, shown};
use crate::array::OpenOptions;
use crate::discover::Found;
use crate::host::StartError;
use crate::host::dm_store::{Image, dm_start};
use crate::host::start::Start;
use crate::media::{JoinedMut, MediaSpec, SharedMediaMut, open_mut};

/// A run of a physical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    /// The physical volume, as it was given.
    physical: String,
    at_bytes: u64,
    len_bytes: u64,
}

/// An image and the volume with its metadata, by the text.
struct Plan {
    slot: u16,
    title: String,
    data: Vec<Run>,
    meta: Vec<Run>,
    /// LVM marked it to be filled.
    rebuild: bool,
    write_mostly: bool,
}

impl VolumeGroup {
    /// Makes a RAID volume ready to run. Its physical volumes are opened for writing and locked; of what they hold, only the volume's
    /// images and their metadata are written to.
    ///
    /// # Errors
    /// What is no RAID volume with metadata, or does not lie on physical volumes directly; and as for every array.
    pub fn start(&self, name: &str, options: &OpenOptions) -> Result<Start, StartError> {
        let plans = self.plans(name).map_err(|stop| StartError::NotYet(stop.to_string()))?;
        let mut media: BTreeMap<String, SharedMediaMut> = BTreeMap::new();
        for run in plans.iter().flat_map(|plan| plan.data.iter().chain(&plan.meta)) {
            if !media.contains_key(&run.physical) {
                let opened = open_mut(&MediaSpec::parse(OsStr::new(&run.physical))?)?.media;
                media.insert(run.physical.clone(), opened);
            }
        }
        let join = |title: &str, runs: &[Run]| {
            let mut joined = JoinedMut::new(title);
            let whole = runs.iter().all(|run| {
                media.get(&run.physical).is_some_and(|media| joined.push(media.clone(), run.at_bytes, run.len_bytes))
            });
            (whole && !runs.is_empty()).then(|| Arc::new(joined) as SharedMediaMut)
        };
        let mut images = Vec::new();
        for plan in &plans {
            let (Some(data), Some(meta)) = (join(&plan.title, &plan.data), join(&plan.title, &plan.meta)) else {
                continue;
            };
            let found = Found::dm_raid(&plan.title, data.clone(), meta.clone());
            // What was never filled, or claims another slot, has to be filled.
            let found = found.ok().filter(|found| !plan.rebuild && found.record().role == Role::Slot(plan.slot));
            let found = found.map(|found| if plan.write_mostly { found.write_mostly() } else { found });
            images.push(Image { slot: plan.slot, found, data, meta });
        }
        dm_start(images, options)
    }

    /// A volume's identity, in the 16 bytes that all formats share; `None` if there is none of that name.
    #[must_use]
    pub fn uuid(&self, name: &str) -> Option<Uuid> {
        let view = self.view().ok()?;
        let volume = view.volumes().find(|volume| volume.name == name.as_bytes())?;
        // 32 letters and digits.
        volume.id().map(|id| crate::discover::folded(&id.0))
    }

    fn plans(&self, name: &str) -> Result<Vec<Plan>, Stop> {
        let view = self.view()?;
        let title = |name: &[u8]| format!("{}/{}", self.name(), shown(name));
        let impossible =
            |name: &[u8], reason: &str| Stop::Impossible { volume: title(name), reason: reason.to_owned() };
        let volumes: BTreeMap<&[u8], Volume<'_>> = view.volumes().map(|volume| (volume.name, volume)).collect();
        let volume = volumes.get(name.as_bytes()).ok_or_else(|| Stop::NoVolume(title(name.as_bytes())))?;
        let mut snapshots = volumes.values().filter_map(snapshot_of);
        if snapshots.any(|snapshot| [snapshot.origin, snapshot.store].contains(&volume.name)) {
            return Err(impossible(volume.name, "writing past a snapshot, which would not keep what was there before"));
        }
        let mut segments = volume.segments();
        let (Some(segment), None) = (segments.next().transpose()?, segments.next()) else {
            return Err(impossible(volume.name, "writing to a volume of several segments"));
        };
        let Kind::Raid { images, .. } = segment.kind else {
            return Err(impossible(volume.name, "writing to a volume that is no RAID"));
        };
        let mut plans = Vec::new();
        for (slot, (meta, image)) in (0..).zip(images.iter()) {
            let meta = meta.ok_or_else(|| impossible(volume.name, "writing to a RAID without metadata"))?;
            let known = volumes.get(image).ok_or_else(|| Stop::NoVolume(title(image)))?;
            let runs = |name: &[u8]| {
                let volume = volumes.get(name).ok_or_else(|| Stop::NoVolume(title(name)))?;
                self.runs(&view, volume)
            };
            let (rebuild, write_mostly) = (known.has("REBUILD"), known.has("WRITEMOSTLY"));
            plans.push(Plan {
                slot,
                title: title(image),
                data: runs(image)?,
                meta: runs(meta)?,
                rebuild,
                write_mostly,
            });
        }
        Ok(plans)
    }

    /// Where a linear volume lies; nothing if a part of it is not here, or was not when the group was changed.
    fn runs(&self, view: &Group<'_>, volume: &Volume<'_>) -> Result<Vec<Run>, Stop> {
        let stacked = || Stop::Impossible {
            volume: format!("{}/{}", self.name(), shown(volume.name)),
            reason: "writing to an image that does not lie on physical volumes directly".to_owned(),
        };
        let mut segments = volume.segments().collect::<Result<Vec<_>, _>>()?;
        segments.sort_by_key(|segment| segment.start);
        let mut runs = Vec::new();
        let mut next = 0;
        for segment in segments {
            let Kind::Striped { areas, count: 1, .. } = segment.kind else { return Err(stacked()) };
            let (area, false) = (areas.iter().next().ok_or_else(stacked)?, segment.start != next) else {
                return Err(stacked());
            };
            next = next.saturating_add(segment.extents);
            let mut physical = view.physical().filter_map(Result::ok);
            let known = physical.find(|known| known.name == area.name).ok_or_else(stacked)?;
            let Some(member) = self.member(known.id).filter(|_| !known.missing) else { return Ok(Vec::new()) };
            let (from, len): (Sectors, Sectors) = (view.sectors(area.extent)?, view.sectors(segment.extents)?);
            let at = known.extents_at.checked_add(from).and_then(Sector::bytes).ok_or_else(stacked)?;
            let len_bytes = len.bytes().ok_or_else(stacked)?;
            runs.push(Run { physical: member.name().to_owned(), at_bytes: at, len_bytes });
        }
        Ok(runs)
    }
}
