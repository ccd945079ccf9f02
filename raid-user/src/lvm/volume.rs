//! A group's volumes as media: what the text says, put together from what is here.
//!
//! A volume is opened once, with all that it stands on. Names can go in circles in a damaged text: each is met at most once on the way.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use raid_core::{Extent, Level, Member, Raid0Layout, Sector, Sectors};
use raid_formats::lvm::{Areas, Group, Images, Kind, Physical as Known, Refusal, Segment, Volume};
use raid_formats::record::{Format, Name, Notes, Record, Role, Shape, Sync, Uuid, WriteLog};
use raid_formats::table::Believed;

use super::{VolumeGroup, shown};
use crate::array::{Array, OpenOptions};
use crate::discover::{Found, mirror_doubt};
use crate::media::{Joined, Media, Piece, SharedMedia, Snapshot};

/// Volumes below one volume that are followed.
const DEPTH_MAX: usize = 16;

/// A volume that was opened.
#[derive(Clone)]
pub struct Opened {
    /// Its content.
    pub media: SharedMedia,
    /// What it is made of, for people.
    pub description: String,
    /// The array, if it is one from its first extent to its last.
    pub array: Option<Arc<Array>>,
    /// The members of that array.
    pub found: Vec<Found>,
    /// What cannot be read, and why.
    pub lost: Vec<String>,
    /// True if nothing of it can be read.
    pub is_lost: bool,
    /// What people should know.
    pub warnings: Vec<String>,
    /// Physical volumes that it stands on, by their names.
    pub on: Vec<String>,
    /// Its runs: first byte, bytes, and what they are.
    pub runs: Vec<(u64, u64, String)>,
}

/// Why a volume cannot be opened at all.
#[derive(Clone, Debug)]
pub enum Stop {
    /// The text is broken, or says what cannot be.
    Text(Refusal),
    /// A volume of a kind that is not read.
    NotYet {
        /// The volume.
        volume: String,
        /// Its kind.
        kind: String,
    },
    /// A volume that there is not.
    NoVolume(String),
    /// A volume that stands on itself, or on too many others.
    Circle(String),
    /// What the text says cannot be put together.
    Impossible {
        /// The volume.
        volume: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(refusal) => fmt::Display::fmt(refusal, f),
            Self::NotYet { volume, kind } => write!(f, "{volume} is of kind {kind}, which is not read yet"),
            Self::NoVolume(name) => write!(f, "the group has no volume {name}"),
            Self::Circle(name) => write!(f, "{name} stands on itself, or on too many others: the text is damaged"),
            Self::Impossible { volume, reason } => write!(f, "{volume}: {reason}"),
        }
    }
}

impl std::error::Error for Stop {}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Text(refusal)
    }
}

impl VolumeGroup {
    /// Names of the volumes that are for users: the visible ones, a snapshot by the name of its store.
    #[must_use]
    pub fn volumes(&self) -> Vec<String> {
        let Ok(view) = self.view() else { return Vec::new() };
        let mut names = Vec::new();
        for volume in view.volumes().filter(Volume::visible) {
            match snapshot_of(&volume) {
                // A store that is being merged shows through its origin.
                Some(snapshot) if snapshot.merging => {}
                Some(snapshot) => names.push(shown(snapshot.store)),
                None => names.push(shown(volume.name)),
            }
        }
        names
    }

    /// Opens a volume, hidden ones too.
    ///
    /// # Errors
    /// [`Stop`]. What is only missing is no error: [`Opened::lost`] tells it.
    pub fn open(&self, name: &str, options: &OpenOptions) -> Result<Opened, Stop> {
        let view = self.view()?;
        Builder::new(self, view, options)?.user(name.as_bytes())
    }
}

/// A snapshot, as its glue in the text tells it.
#[derive(Clone, Copy)]
pub(super) struct SnapshotOf<'a> {
    pub(super) origin: &'a [u8],
    pub(super) store: &'a [u8],
    merging: bool,
}

pub(super) fn snapshot_of<'a>(volume: &Volume<'a>) -> Option<SnapshotOf<'a>> {
    match volume.segments().next()?.ok()?.kind {
        Kind::Snapshot { origin, store, merging, .. } => Some(SnapshotOf { origin, store, merging }),
        _ => None,
    }
}

/// A run of a volume in the making.
struct Made {
    piece: Piece,
    array: Option<Arc<Array>>,
    found: Vec<Found>,
    description: String,
}

impl Made {
    fn lost(why: String) -> Self {
        Self { piece: Piece::Lost(why.clone()), ..Self::plain(Piece::Zero, format!("lost: {why}")) }
    }

    /// What is no array.
    fn plain(piece: Piece, description: String) -> Self {
        Self { piece, array: None, found: Vec::new(), description }
    }
}

struct Builder<'a> {
    group: &'a VolumeGroup,
    view: Group<'a>,
    options: &'a OpenOptions,
    volumes: BTreeMap<&'a [u8], Volume<'a>>,
    physical: BTreeMap<&'a [u8], Known<'a>>,
    open: BTreeMap<&'a [u8], Opened>,
    /// Names on the way from the volume that was asked for.
    way: Vec<&'a [u8]>,
    /// What was met on the way.
    warnings: Vec<String>,
    on: Vec<String>,
}

impl<'a> Builder<'a> {
    fn new(group: &'a VolumeGroup, view: Group<'a>, options: &'a OpenOptions) -> Result<Self, Stop> {
        let physical = view.physical().map(|known| known.map(|known| (known.name, known))).collect::<Result<_, _>>()?;
        let volumes = view.volumes().map(|volume| (volume.name, volume)).collect();
        let (open, way, warnings, on) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { group, view, options, volumes, physical, open, way, warnings, on })
    }

    fn title(&self, name: &[u8]) -> String {
        format!("{}/{}", self.group.name(), shown(name))
    }

    fn impossible(&self, name: &[u8], reason: impl fmt::Display) -> Stop {
        Stop::Impossible { volume: self.title(name), reason: reason.to_string() }
    }

    /// Opens what a user calls by that name: a snapshot where it is a store, the merged view where it is an origin that one merges into.
    fn user(mut self, name: &[u8]) -> Result<Opened, Stop> {
        let (&own, _) = self.volumes.get_key_value(name).ok_or_else(|| Stop::NoVolume(self.title(name)))?;
        let snapshots = self.volumes.values().filter_map(snapshot_of);
        let found =
            snapshots.into_iter().find(|found| if found.merging { found.origin == own } else { found.store == own });
        let mut opened = match found {
            None => self.volume(own)?,
            Some(snapshot) => self.snapshot(own, snapshot)?,
        };
        self.on.sort();
        self.on.dedup();
        (opened.warnings, opened.on) = (self.warnings, self.on);
        Ok(opened)
    }

    fn snapshot(&mut self, name: &[u8], of: SnapshotOf<'a>) -> Result<Opened, Stop> {
        let (origin, store) = (self.volume(of.origin)?, self.volume(of.store)?);
        let mut lost = [origin.lost.clone(), store.lost.clone()].concat();
        if !store.lost.is_empty() {
            lost.push("what a snapshot's store holds decides all of it".into());
        }
        if !lost.is_empty() {
            return Ok(Opened { lost, is_lost: true, array: None, found: Vec::new(), ..origin });
        }
        let snapshot = Snapshot::open(self.title(name), origin.media.clone(), store.media)
            .map_err(|reason| self.impossible(name, reason))?;
        let (chunks, bytes) = snapshot.kept();
        let kind = if of.merging { "with a snapshot merging into it" } else { "snapshot" };
        let description = format!("{kind} of {}, {chunks} chunks of {bytes} bytes differ", self.title(of.origin));
        let runs = vec![(0, snapshot.size_bytes(), description.clone())];
        Ok(Opened { media: Arc::new(snapshot), description, array: None, found: Vec::new(), runs, ..origin })
    }

    /// Opens a volume as it stands, and everything below.
    fn volume(&mut self, name: &'a [u8]) -> Result<Opened, Stop> {
        if let Some(opened) = self.open.get(name) {
            return Ok(opened.clone());
        }
        let volume = *self.volumes.get(name).ok_or_else(|| Stop::NoVolume(self.title(name)))?;
        if self.way.contains(&name) || self.way.len() >= DEPTH_MAX {
            return Err(Stop::Circle(self.title(name)));
        }
        self.way.push(name);
        let opened = self.segments(&volume);
        self.way.pop();
        let opened = opened?;
        self.open.insert(name, opened.clone());
        Ok(opened)
    }

    fn segments(&mut self, volume: &Volume<'a>) -> Result<Opened, Stop> {
        let title = self.title(volume.name);
        let mut joined = Joined::new(title);
        let mut made = Vec::new();
        let mut next: u64 = 0;
        let mut segments = volume.segments().collect::<Result<Vec<_>, _>>()?;
        segments.sort_by_key(|segment| segment.start);
        for segment in segments {
            if segment.start != next {
                let reason = format!("its segments leave a gap, or overlap, at extent {next}");
                return Err(self.impossible(volume.name, reason));
            }
            next = next.saturating_add(segment.extents);
            let len = self.view.sectors(segment.extents)?;
            let run = self.segment(volume, &segment, len)?;
            if !joined.push(len.0 * 512, run.piece.clone()) {
                return Err(self.impossible(volume.name, "it is larger than can be"));
            }
            made.push(run);
        }
        let lost = joined.lost().into_iter().map(str::to_owned).collect();
        let runs = joined.pieces().zip(&made).map(|((at, len, _), made)| (at, len, made.description.clone())).collect();
        let (array, found) = match made.as_slice() {
            [only] => (only.array.clone(), only.found.clone()),
            _ => (None, Vec::new()),
        };
        let description = match made.as_slice() {
            [] => "empty".to_owned(),
            [only] => only.description.clone(),
            several => format!("{} segments", several.len()),
        };
        let (is_lost, media) = (joined.is_lost(), Arc::new(joined));
        Ok(Opened { media, description, array, found, lost, is_lost, warnings: Vec::new(), on: Vec::new(), runs })
    }

    fn segment(&mut self, volume: &Volume<'a>, segment: &Segment<'a>, len: Sectors) -> Result<Made, Stop> {
        let name = volume.name;
        match &segment.kind {
            Kind::Striped { areas, count: 1, .. } => {
                let piece = self.area(areas, len)?.pop().map_or(Piece::Zero, |(_, piece)| piece);
                let description = match &piece {
                    Piece::Lost(why) => format!("lost: {why}"),
                    Piece::From(media, at) => format!("linear: {}, from byte {at}", media.describe()),
                    Piece::Zero => "zeros".into(),
                };
                Ok(Made::plain(piece, description))
            }
            Kind::Striped { areas, count, chunk } => {
                if !segment.extents.is_multiple_of(*count) {
                    return Err(self.impossible(name, "its extents do not divide into its stripes"));
                }
                let each = Sectors(len.0 / count);
                let legs = self.area(areas, each)?;
                let shape = (Level::Raid0(Raid0Layout::Unstated), *chunk);
                self.told(name, shape, legs, each, len, &[])
            }
            Kind::Mirror { areas, log, region, .. } => {
                let legs = self.area(areas, len)?;
                let unsynced = self.unsynced(*log, *region, len)?;
                self.told(name, (Level::Raid1, Sectors::ZERO), legs, len, len, &unsynced)
            }
            Kind::Raid { level, images, chunk } => self.raid(name, *level, images, *chunk, len),
            Kind::Zero => Ok(Made::plain(Piece::Zero, "zeros".into())),
            Kind::Error => Ok(Made::lost("LVM put an error here where extents were lost".into())),
            Kind::Snapshot { .. } => Err(self.impossible(name, "a snapshot is opened by the name of its store")),
            Kind::NotYet(kind) => Err(Stop::NotYet { volume: self.title(name), kind: shown(kind) }),
        }
    }

    /// Where each of a segment's areas is read from.
    fn area(&mut self, areas: &Areas<'a>, len: Sectors) -> Result<Vec<(String, Piece)>, Stop> {
        areas.iter().map(|area| Ok((shown(area.name), self.one_area(area.name, area.extent, len)?))).collect()
    }

    fn one_area(&mut self, name: &'a [u8], extent: u64, len: Sectors) -> Result<Piece, Stop> {
        let from = self.view.sectors(extent)?;
        let Some(known) = self.physical.get(name).copied() else {
            let opened = self.volume(name)?;
            let bytes = (from.0 + len.0) * 512;
            if opened.media.size_bytes() < bytes {
                let size = opened.media.size_bytes();
                return Err(self.impossible(name, format!("it has {size} bytes, {bytes} are used of it")));
            }
            return Ok(match opened.is_lost {
                true => Piece::Lost(opened.lost.join("; ")),
                false => Piece::From(opened.media, from.0 * 512),
            });
        };
        let Some(member) = self.group.member(known.id) else {
            return Ok(Piece::Lost(format!("physical volume {} ({}) is not here", shown(name), known.id)));
        };
        if known.missing {
            let stale = !self.options.force_events && !self.options.use_stale.iter().any(|name| name == member.name());
            let what = format!("{}: the group was changed while it was away", member.name());
            if stale {
                return Ok(Piece::Lost(format!("{what}; what it holds may be old")));
            }
            self.warnings.push(format!("{what}; used on your word"));
        }
        let start = known.extents_at.checked_add(from).and_then(Sector::bytes);
        let end = start.and_then(|start| start.checked_add(len.bytes()?));
        let (Some(start), Some(_)) = (start, end.filter(|end| *end <= member.media().size_bytes())) else {
            return Ok(Piece::Lost(format!("{}: cut short", member.name())));
        };
        self.on.push(member.name().to_owned());
        Ok(Piece::From(member.media().clone(), start))
    }

    /// Runs of a mirror whose legs may disagree. Without a log, or with one that cannot be read, all of it.
    fn unsynced(&mut self, log: Option<&'a [u8]>, region: Sectors, len: Sectors) -> Result<Vec<Extent>, Stop> {
        let log = log.map(|log| self.volume(log)).transpose()?.map(|opened| opened.media);
        let (runs, note) = mirror_doubt(log.as_deref(), Believed::Log, region, len);
        self.warnings.extend(note);
        Ok(runs)
    }

    /// An array of members that keep no records: stripes, legs. All but the first are doubted where `doubted` says.
    fn told(
        &mut self,
        name: &[u8],
        (level, chunk): (Level, Sectors),
        legs: Vec<(String, Piece)>,
        each: Sectors,
        len: Sectors,
        doubted: &[Extent],
    ) -> Result<Made, Stop> {
        let members = u16::try_from(legs.len()).map_err(|_| self.impossible(name, "too many stripes"))?;
        let shape = Shape { level, members, chunk, array_size: None };
        let mut found = Vec::new();
        let mut away = Vec::new();
        for (slot, (leg, piece)) in (0..).zip(legs) {
            let (at, media) = match piece {
                Piece::From(media, at) => (at, media),
                Piece::Lost(why) => {
                    away.push(why);
                    continue;
                }
                Piece::Zero => continue,
            };
            let title = self.title(&leg.into_bytes());
            let mut joined = Joined::new(title.clone());
            joined.push(each.bytes().unwrap_or(0), Piece::From(media, at));
            let doubted = if slot == 0 || self.options.trust_dirty_parity { Vec::new() } else { doubted.to_vec() };
            found.push(Found::told(&title, Arc::new(joined), record(slot, shape, each), doubted));
        }
        self.array(name, found, away, len)
    }

    fn raid(
        &mut self,
        name: &'a [u8],
        level: Level,
        images: &Images<'a>,
        chunk: Sectors,
        len: Sectors,
    ) -> Result<Made, Stop> {
        let members = u16::try_from(images.iter().count()).unwrap_or(u16::MAX);
        let shape = Shape { level, members, chunk, array_size: None };
        let mut found = Vec::new();
        let mut away = Vec::new();
        for (slot, (meta, image)) in (0..).zip(images.iter()) {
            let title = self.title(image);
            let opened = self.volume(image)?;
            let flags = self.volumes.get(image).copied();
            let has = |flag| flags.is_some_and(|volume| volume.has(flag));
            if opened.is_lost {
                away.extend(opened.lost);
                continue;
            }
            if !opened.lost.is_empty() {
                self.warnings.push(format!("{title}: a part of it is lost: {}", opened.lost.join("; ")));
            }
            if has("REBUILD") {
                self.warnings.push(format!("{title}: not used: LVM marked it to be rebuilt"));
                continue;
            }
            let Some(meta) = meta else {
                let each = Sectors::from_bytes_floor(opened.media.size_bytes());
                found.push(Found::told(&title, opened.media, record(slot, shape, each), Vec::new()));
                continue;
            };
            let beside = self.volume(meta)?.media;
            match Found::dm_raid(&title, opened.media, beside) {
                Ok(member) => {
                    let stated = raid_formats::assemble::Claimant::record(&member);
                    if stated.role != Role::Slot(slot) {
                        let number = stated.number;
                        self.warnings
                            .push(format!("{title}: not used: it says that it is in slot {number}, not {slot}"));
                        continue;
                    }
                    self.compare(name, &shape, stated.shape);
                    found.push(if has("WRITEMOSTLY") { member.write_mostly() } else { member });
                }
                Err(why) => self.warnings.push(format!("{title}: not used: its metadata: {why}")),
            }
        }
        self.array(name, found, away, len)
    }

    /// The text and the images may tell different levels where a conversion was cut. The images say what the kernel wrote.
    fn compare(&mut self, name: &[u8], text: &Shape, stated: Shape) {
        let same_level = match (text.level, stated.level) {
            (Level::Raid10(_), Level::Raid10(_)) => true,
            (one, other) => one == other,
        };
        let warning =
            format!("{}: the group's text and its images tell different shapes; the images count", self.title(name));
        let same = same_level && text.chunk == stated.chunk && text.members == stated.members;
        if !same && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn array(&mut self, name: &[u8], found: Vec<Found>, away: Vec<String>, len: Sectors) -> Result<Made, Stop> {
        if found.is_empty() {
            return Ok(Made::lost(if away.is_empty() { "no image can be used".into() } else { away.join("; ") }));
        }
        let given: Vec<String> = found.iter().map(|found| found.name().to_owned()).collect();
        let use_stale = self.options.use_stale.iter().filter(|name| given.contains(name)).cloned().collect();
        let options = OpenOptions { use_stale, ..self.options.clone() };
        let array = match Array::open(found.clone(), &options) {
            Ok(array) => array,
            Err(error) => {
                let because = if away.is_empty() { String::new() } else { format!(" ({})", away.join("; ")) };
                return Ok(Made::lost(format!("{}: {error}{because}", self.title(name))));
            }
        };
        if array.size_bytes() < len.0 * 512 {
            let size = array.size_bytes();
            return Err(self.impossible(name, format!("its images give {size} bytes, the text says {}", len.0 * 512)));
        }
        let title = self.title(name);
        self.warnings.extend(array.warnings().iter().map(|warning| format!("{title}: {warning}")));
        let shape = array.record().shape;
        let description = format!("{}, {} members", crate::array::level_name(shape.level), shape.members);
        let array = Arc::new(array);
        Ok(Made { piece: Piece::From(array.clone(), 0), array: Some(array), found, description })
    }
}

/// What a member that keeps no record would say.
pub(crate) fn record(slot: u16, shape: Shape, each: Sectors) -> Record {
    let striped = matches!(shape.level, Level::Raid0(_));
    Record {
        format: Format::Lvm2,
        array: Uuid::default(),
        name: Name([0; 32]),
        member: Uuid::default(),
        number: u32::from(slot),
        role: Role::Slot(slot),
        events: 0,
        updated_s: 0,
        created_s: 0,
        shape,
        data: Extent { at: Sector(0), len: each },
        used: if striped { Sectors::ZERO } else { each },
        sync_mark: None,
        replacement: false,
        sync: Sync::Clean,
        reshape: None,
        log: WriteLog::None,
        bad_blocks: None,
        table_in_sync: (0..=u8::MAX).filter(|slot| u16::from(*slot) < shape.members).map(Member).collect(),
        write_mostly: false,
        fail_fast: false,
        logical_block_bytes: 0,
        notes: Notes::empty(),
    }
}
