//! A volume as media that can be written to: where the text says that its parts lie on the physical volumes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;

use raid_core::geometry::Geometry;
use raid_core::rows::Rows;
use raid_core::{ArrayConfig, Level, Raid0Layout, Sector, Sectors, Sizes};
use raid_formats::assemble::Claimant as _;
use raid_formats::lvm::{Group, Images, Kind, Segment, StripeArea, Volume};
use raid_formats::record::{Role, Uuid};
use raid_formats::table::Believed;

use super::volume::snapshot_of;
use super::{Stop, VolumeGroup, shown};
use crate::array::OpenOptions;
use crate::discover::Found;
use crate::host::StartError;
use crate::host::dm_store::{Image, dm_start};
use crate::host::mirror_store::{Leg, Mirror, mirror_start};
use crate::host::start::{Slot, Start};
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
struct ImagePlan {
    slot: u16,
    title: String,
    data: Vec<Run>,
    meta: Vec<Run>,
    /// LVM marked it to be filled.
    rebuild: bool,
    write_mostly: bool,
}

/// A part that keeps no records: a leg, a log, a stripe.
struct Part {
    title: String,
    /// Nothing if it is not all here.
    runs: Vec<Run>,
}

/// What a volume is made of, by the text.
enum Plan {
    /// dm-raid.
    Raid(Vec<ImagePlan>),
    /// dm-mirror.
    Mirror { legs: Vec<Part>, log: Option<Part>, region: Sectors, len: Sectors },
    /// Stripes, or one run after the other.
    Plain { stripes: Vec<Part>, chunk: Sectors, each: Sectors },
}

impl Plan {
    fn runs(&self) -> Vec<&Run> {
        match self {
            Self::Raid(images) => images.iter().flat_map(|image| image.data.iter().chain(&image.meta)).collect(),
            Self::Mirror { legs, log, .. } => legs.iter().chain(log).flat_map(|part| &part.runs).collect(),
            Self::Plain { stripes, .. } => stripes.iter().flat_map(|part| &part.runs).collect(),
        }
    }
}

/// Physical volumes, opened for writing, by the names that they were given by.
struct Opened(BTreeMap<String, SharedMediaMut>);

impl Opened {
    fn all(plan: &Plan) -> Result<Self, StartError> {
        let mut media: BTreeMap<String, SharedMediaMut> = BTreeMap::new();
        for run in plan.runs() {
            if !media.contains_key(&run.physical) {
                let opened = open_mut(&MediaSpec::parse(OsStr::new(&run.physical))?)?.media;
                media.insert(run.physical.clone(), opened);
            }
        }
        Ok(Self(media))
    }

    /// Runs as one medium; nothing if there are none, or they do not lie on what was opened.
    fn join(&self, title: &str, runs: &[Run]) -> Option<SharedMediaMut> {
        let mut joined = JoinedMut::new(title);
        let whole = runs.iter().all(|run| {
            self.0.get(&run.physical).is_some_and(|media| joined.push(media.clone(), run.at_bytes, run.len_bytes))
        });
        (whole && !runs.is_empty()).then(|| Arc::new(joined) as SharedMediaMut)
    }

    fn part(&self, part: &Part) -> Option<SharedMediaMut> {
        self.join(&part.title, &part.runs)
    }

    fn image(&self, plan: &ImagePlan) -> Option<Image> {
        let (data, meta) = (self.join(&plan.title, &plan.data)?, self.join(&plan.title, &plan.meta)?);
        let found = Found::dm_raid(&plan.title, data.clone(), meta.clone());
        // What was never filled, or claims another slot, has to be filled.
        let found = found.ok().filter(|found| !plan.rebuild && found.record().role == Role::Slot(plan.slot));
        let found = found.map(|found| if plan.write_mostly { found.write_mostly() } else { found });
        Some(Image { slot: plan.slot, found, data, meta })
    }
}

impl VolumeGroup {
    /// Makes a volume ready to run. Its physical volumes are opened for writing and locked; of what they hold, only what the volume
    /// consists of is written to, and never the group's text.
    ///
    /// # Errors
    /// A volume that is not written to, or does not lie on physical volumes directly; and as for every array.
    pub fn start(&self, name: &str, options: &OpenOptions) -> Result<Start, StartError> {
        let plan = self.plan(name).map_err(|stop| StartError::NotYet(stop.to_string()))?;
        let opened = Opened::all(&plan)?;
        match plan {
            Plan::Raid(images) => dm_start(images.iter().filter_map(|plan| opened.image(plan)).collect(), options),
            Plan::Mirror { legs, log, region, len } => {
                let leg = |part: &Part| opened.part(part).map(|media| Leg { media, at: Sector(0) });
                let legs = legs.iter().map(leg).collect();
                let log = log.map(|log| {
                    let why = || {
                        StartError::NotGiven(format!(
                            "{}, the mirror's log, lies on a disk that is not here",
                            log.title
                        ))
                    };
                    opened.part(&log).ok_or_else(why)
                });
                let (log, believed) = (log.transpose()?, Believed::Log);
                mirror_start(Mirror { legs, log, believed, region, len })
            }
            Plan::Plain { stripes, chunk, each } => {
                let media = |part: &Part| {
                    let why = || StartError::NotGiven(format!("a part of {} is not here", part.title));
                    opened.part(part).ok_or_else(why)
                };
                plain_start(stripes.iter().map(media).collect::<Result<_, _>>()?, chunk, each)
            }
        }
    }

    /// A volume's identity, in the 16 bytes that all formats share; `None` if there is none of that name.
    #[must_use]
    pub fn uuid(&self, name: &str) -> Option<Uuid> {
        let view = self.view().ok()?;
        let volume = view.volumes().find(|volume| volume.name == name.as_bytes())?;
        // 32 letters and digits.
        volume.id().map(|id| crate::discover::folded(&id.0))
    }

    fn plan(&self, name: &str) -> Result<Plan, Stop> {
        let view = self.view()?;
        let planner =
            Planner { group: self, volumes: view.volumes().map(|volume| (volume.name, volume)).collect(), view };
        planner.plan(name.as_bytes())
    }
}

/// Puts plans together from a text.
struct Planner<'a> {
    group: &'a VolumeGroup,
    view: Group<'a>,
    volumes: BTreeMap<&'a [u8], Volume<'a>>,
}

impl<'a> Planner<'a> {
    fn title(&self, name: &[u8]) -> String {
        format!("{}/{}", self.group.name(), shown(name))
    }

    fn impossible(&self, name: &[u8], reason: &str) -> Stop {
        Stop::Impossible { volume: self.title(name), reason: reason.to_owned() }
    }

    fn volume(&self, name: &[u8]) -> Result<&Volume<'a>, Stop> {
        self.volumes.get(name).ok_or_else(|| Stop::NoVolume(self.title(name)))
    }

    fn plan(&self, name: &[u8]) -> Result<Plan, Stop> {
        let volume = self.volume(name)?;
        let mut snapshots = self.volumes.values().filter_map(snapshot_of);
        if let Some(snapshot) = snapshots.find(|snapshot| [snapshot.origin, snapshot.store].contains(&volume.name)) {
            let why = match snapshot.store == volume.name {
                true => "writing to a snapshot, whose store would have to be kept",
                false => "writing past a snapshot, which would not keep what was there before",
            };
            return Err(self.impossible(volume.name, why));
        }
        if !volume.has("WRITE") {
            return Err(self.impossible(volume.name, "writing to a volume that LVM has as read-only"));
        }
        let segments = self.segments(volume)?;
        let len = segments.iter().map(|segment| segment.extents).fold(0, u64::saturating_add);
        match segments.as_slice() {
            [Segment { kind: Kind::Raid { level: Level::Raid0(_), images, chunk }, .. }]
                if images.iter().all(|(meta, _)| meta.is_none()) =>
            {
                let each = Sectors(self.view.sectors(len)?.0 / (images.iter().count() as u64).max(1));
                let stripes = images.iter().map(|(_, image)| self.whole(image)).collect::<Result<_, _>>()?;
                Ok(Plan::Plain { stripes, chunk: *chunk, each })
            }
            [Segment { kind: Kind::Raid { images, .. }, .. }] => self.raid(volume, images),
            [Segment { kind: Kind::Mirror { areas, log, region, .. }, .. }] => {
                let len = self.view.sectors(len)?;
                let legs = areas.iter().map(|area| self.area(area, len)).collect::<Result<_, _>>()?;
                let log = log.map(|log| self.whole(log)).transpose()?;
                Ok(Plan::Mirror { legs, log, region: *region, len })
            }
            segments => self.plain(volume, segments),
        }
    }

    /// A volume's segments, in the order of its extents.
    fn segments(&self, volume: &Volume<'a>) -> Result<Vec<Segment<'a>>, Stop> {
        let mut segments = volume.segments().collect::<Result<Vec<_>, _>>()?;
        segments.sort_by_key(|segment| segment.start);
        let mut next = 0;
        for segment in &segments {
            if segment.start != next {
                return Err(self.impossible(volume.name, "its segments leave a gap, or overlap"));
            }
            next = next.saturating_add(segment.extents);
        }
        Ok(segments)
    }

    fn raid(&self, volume: &Volume<'a>, images: &Images<'a>) -> Result<Plan, Stop> {
        let mut plans = Vec::new();
        for (slot, (meta, image)) in (0..).zip(images.iter()) {
            let meta = meta.ok_or_else(|| self.impossible(volume.name, "writing to a RAID without metadata"))?;
            let known = self.volume(image)?;
            let (rebuild, write_mostly) = (known.has("REBUILD"), known.has("WRITEMOSTLY"));
            let (data, meta) = (self.runs(known)?, self.runs(self.volume(meta)?)?);
            plans.push(ImagePlan { slot, title: self.title(image), data, meta, rebuild, write_mostly });
        }
        Ok(Plan::Raid(plans))
    }

    /// Segments of equal stripes are one RAID 0 whose stripes go on on other places: each segment begins with a whole line of chunks.
    fn plain(&self, volume: &Volume<'a>, segments: &[Segment<'a>]) -> Result<Plan, Stop> {
        let mixed = || self.impossible(volume.name, "writing to a volume of several kinds of segments");
        let shape = |segment: &Segment<'a>| match segment.kind {
            Kind::Striped { count, chunk, .. } => Some((count, chunk)),
            _ => None,
        };
        let (count, chunk) = segments.first().and_then(shape).ok_or_else(|| {
            self.impossible(volume.name, "writing to a volume that is neither RAID, mirror, striped nor linear")
        })?;
        let title = |stripe: usize| match count {
            1 => self.title(volume.name),
            _ => format!("{}[{stripe}]", self.title(volume.name)),
        };
        let mut stripes: Vec<Part> = Vec::new();
        let mut each = Sectors::ZERO;
        for segment in segments {
            let Kind::Striped { areas, .. } = &segment.kind else { return Err(mixed()) };
            let len = self.view.sectors(segment.extents)?;
            let share = Sectors(len.0 / count.max(1));
            let whole = count == 1 || (share.0 * count == len.0 && !chunk.is_zero() && share.0.is_multiple_of(chunk.0));
            if shape(segment) != Some((count, chunk)) || !whole {
                return Err(mixed());
            }
            for (stripe, area) in areas.iter().enumerate() {
                let Part { runs, .. } = self.area(area, share)?;
                match stripes.get_mut(stripe) {
                    // One that is not here costs the whole stripe.
                    Some(part) if part.runs.is_empty() || runs.is_empty() => part.runs.clear(),
                    Some(part) => part.runs.extend(runs),
                    None => stripes.push(Part { title: title(stripe), runs }),
                }
            }
            each = Sectors(each.0.saturating_add(share.0));
        }
        Ok(Plan::Plain { stripes, chunk, each })
    }

    /// Where an area lies: extents of a physical volume, or the first of a volume that lies on physical volumes.
    fn area(&self, area: StripeArea<'a>, len: Sectors) -> Result<Part, Stop> {
        if !self.volumes.contains_key(area.name) {
            let title = self.title(area.name);
            return Ok(Part { title, runs: self.run(area, len)?.into_iter().collect() });
        }
        if area.extent != 0 {
            return Err(self.impossible(area.name, "writing to a volume that begins in the middle of another"));
        }
        self.whole(area.name)
    }

    /// All of a volume that is a part of another.
    fn whole(&self, name: &[u8]) -> Result<Part, Stop> {
        Ok(Part { title: self.title(name), runs: self.runs(self.volume(name)?)? })
    }

    /// Where a linear volume lies; nothing if a part of it is not here, or was not when the group was changed.
    fn runs(&self, volume: &Volume<'a>) -> Result<Vec<Run>, Stop> {
        let mut runs = Vec::new();
        for segment in self.segments(volume)? {
            let area = match segment.kind {
                Kind::Striped { areas, count: 1, .. } => areas.iter().next(),
                _ => None,
            };
            let Some(area) = area else { return Err(self.stacked(volume.name)) };
            let Some(run) = self.run(area, self.view.sectors(segment.extents)?)? else { return Ok(Vec::new()) };
            runs.push(run);
        }
        Ok(runs)
    }

    fn stacked(&self, name: &[u8]) -> Stop {
        self.impossible(name, "writing to a part that is not linear on physical volumes")
    }

    /// A run of a physical volume; nothing if that is not here, or was not when the group was changed.
    fn run(&self, area: StripeArea<'a>, len: Sectors) -> Result<Option<Run>, Stop> {
        let stacked = || self.stacked(area.name);
        let mut physical = self.view.physical().filter_map(Result::ok);
        let known = physical.find(|known| known.name == area.name).ok_or_else(stacked)?;
        let Some(member) = self.group.member(known.id).filter(|_| !known.missing) else { return Ok(None) };
        let at = known.extents_at.checked_add(self.view.sectors(area.extent)?).and_then(Sector::bytes);
        let (at_bytes, len_bytes) = (at.ok_or_else(stacked)?, len.bytes().ok_or_else(stacked)?);
        Ok(Some(Run { physical: member.name().to_owned(), at_bytes, len_bytes }))
    }
}

/// A volume without redundancy: nothing is written down of it.
fn plain_start(stripes: Vec<SharedMediaMut>, chunk: Sectors, each: Sectors) -> Result<Start, StartError> {
    let members = u16::try_from(stripes.len()).unwrap_or(u16::MAX);
    let level = if members > 1 { Level::Raid0(Raid0Layout::Unstated) } else { Level::Linear };
    let config = ArrayConfig { level, members, chunk, sizes: Sizes::Same(each), array_size: None };
    let geometry = Geometry::new(&config).map_err(|error| StartError::Contradiction(error.to_string()))?;
    let rows = Rows::new(geometry).ok_or_else(|| StartError::NotYet("stripes of this shape".into()))?;
    let slots = stripes.into_iter().map(|media| Slot { media: Some(media), data_at: Sector(0) }).collect();
    Ok(Start::forgetful(rows, slots, 1)?)
}
