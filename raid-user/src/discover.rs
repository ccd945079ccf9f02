//! From names to members: opens media, looks for superblocks, follows directories and partitions.
//!
//! Nothing is judged here beyond one medium: which record of a medium is the likeliest is said by `raid_formats::md::probe`,
//! who of an array's members is current by `raid_formats::assemble`.

mod beside;
mod conflict;
mod dm;
mod identity;
mod table;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raid_core::{Extent, Sectors};
use raid_formats::assemble::{Claimant, same_array};
use raid_formats::bios;
use raid_formats::ddf::{self, raw::DiskState};
use raid_formats::imsm;
use raid_formats::md::{self, ProbeBuffer, Refusal, Superblock, Version, ppl};
use raid_formats::record::{Format, Record, Role};
use raid_formats::source::Source;

use crate::lvm::Physical;
use crate::media::{self, Media, MediaSpec, Note, OpenError, Options, SharedMedia};

pub use beside::Beside;
pub use conflict::{Conflict, Only, settle};
pub(crate) use dm::mirror_doubt;
use identity::Imsm;
pub(crate) use identity::serial_of;
pub use identity::{Ambiguous, Identity, Serials};
pub(crate) use table::{DeviceMut, OpenedMut, folded};
pub use table::{DmTable, NoTable};

/// How deep directories are followed.
const DEPTH_MAX: usize = 8;

/// A medium as a source of metadata.
#[derive(Clone, Copy)]
pub struct MediaSource<'a>(pub &'a dyn Media);

impl Source for MediaSource<'_> {
    type Error = io::Error;

    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn block_bytes(&self) -> u32 {
        self.0.block_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read_at(offset_bytes, buf)
    }
}

/// A member that was found: a medium with at least one superblock that passed its checks.
#[derive(Clone)]
pub struct Found {
    name: String,
    media: SharedMedia,
    meta: Meta,
    record: Record,
    others: Vec<(Meta, Record)>,
    /// A label of LVM that stands beside the record and is no part of what the array holds.
    label: Option<raid_formats::lvm::Id>,
    notes: Vec<Note>,
}

/// The metadata that a member was found by.
#[derive(Clone)]
enum Meta {
    /// A superblock of Linux MD, as it stands on the medium.
    Md { block: Box<[u8; 4096]>, version: Version },
    /// A set of DDF records, and which of its virtual disks is meant.
    Ddf { set: Arc<[u8]>, place: ddf::Place, guid: ddf::Guid },
    /// A record of a BIOS RAID.
    Bios(bios::Kind, Box<bios::Member>),
    /// A superblock of dm-raid, which lies on a medium of its own, and with it the bitmap.
    Dm { block: Box<[u8; 4096]>, beside: SharedMedia },
    /// None: something else said what it is. What may differ from the first member is not read from it.
    Told { doubted: Vec<Extent> },
    /// A record of IMSM, which of its volumes is meant, and which of its disks this is.
    Imsm(Imsm),
}

/// What tells one container from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// Identity in DDF's header.
    Ddf(ddf::Guid),
    /// Family number of IMSM.
    Imsm(u32),
}

/// What a look at one medium collects.
#[derive(Default)]
struct Look {
    metas: Vec<(Meta, Record)>,
    places: Vec<(&'static str, String)>,
    damaged: bool,
}

/// Why a medium is no member, place by place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoMember {
    /// The medium as given.
    pub name: String,
    /// For each place looked at: what was looked for, and what stood there instead.
    pub places: Vec<(&'static str, String)>,
    /// True if somewhere a magic number stood, but the record was damaged.
    pub damaged: bool,
}

impl NoMember {
    /// The same, with damage that another format left.
    fn also(mut self, format: &'static str, damage: String) -> Self {
        self.places.insert(0, (format, damage));
        self.damaged = true;
        self
    }

    /// The place that says most: where a magic number stood, if anywhere.
    #[must_use]
    pub fn worst(&self) -> String {
        let telling =
            |place: &&(&str, String)| !place.1.starts_with("no magic") && !place.1.starts_with("the medium has");
        let place = self.places.iter().find(telling).or(self.places.first());
        place.map_or_else(|| "no RAID superblock".into(), |(format, why)| format!("{format}: {why}"))
    }
}

impl std::fmt::Display for NoMember {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: no RAID superblock", self.name)?;
        for (format, why) in &self.places {
            write!(f, "\n  {format}: {why}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NoMember {}

impl Found {
    /// Looks for metadata on an open medium: the likeliest, where there are several.
    ///
    /// # Errors
    /// [`NoMember`] with the reason for every place looked at.
    pub fn inspect(name: &str, media: SharedMedia) -> Result<Self, NoMember> {
        Self::inspect_as(name, media, None)
    }

    /// The same, by records of some formats alone.
    fn inspect_as(name: &str, media: SharedMedia, only: Option<Only>) -> Result<Self, NoMember> {
        let mut look = Look::at(&MediaSource(media.as_ref()));
        look.metas.retain(|(_, record)| only.is_none_or(|only| only.takes(record.format)));
        let mut metas = look.metas.into_iter();
        let Some((meta, record)) = metas.next() else {
            return Err(NoMember { name: name.to_owned(), places: look.places, damaged: look.damaged });
        };
        let (name, others) = (name.to_owned(), metas.collect());
        Ok(Self { name, media, meta, record, others, label: None, notes: Vec::new() })
    }

    /// The same medium as a member of each of its volumes, this one first: a disk of DDF or IMSM can hold parts of several.
    #[must_use]
    pub fn volumes(self) -> Vec<Self> {
        let metas = match &self.meta {
            Meta::Ddf { set, place, .. } => ddf_volumes(set, place),
            Meta::Imsm(imsm) => imsm.volumes(),
            _ => return vec![self],
        };
        let mut volumes: Vec<Self> = metas
            .into_iter()
            .filter(|(_, record)| record.array != self.record.array)
            .map(|(meta, record)| Self { meta, record, others: Vec::new(), ..self.clone() })
            .collect();
        let mut own = self;
        own.others.retain(|(_, other)| !volumes.iter().any(|volume| volume.record == *other));
        volumes.insert(0, own);
        volumes
    }

    /// The member as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its medium.
    #[must_use]
    pub fn media(&self) -> &SharedMedia {
        &self.media
    }

    /// Superblocks of other arrays, or older ones, that also stand on this medium; the likeliest first.
    pub fn others(&self) -> impl Iterator<Item = &Record> {
        self.others.iter().map(|(_, record)| record)
    }

    /// The label of LVM that stands beside the record, and is no part of what the array holds.
    #[must_use]
    pub const fn label(&self) -> Option<raid_formats::lvm::Id> {
        self.label
    }

    /// What opening the medium left to say.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The superblock of Linux MD, which borrows this member; `None` if it was found by another format.
    ///
    /// # Errors
    /// The refusal, if the medium changed its size since; it was parsed once already.
    pub fn superblock(&self) -> Option<Result<Superblock<'_>, Refusal>> {
        let Meta::Md { block, version } = &self.meta else { return None };
        let medium = Sectors::from_bytes_floor(self.media.size_bytes());
        Some(Superblock::parse(block.as_slice(), *version, medium))
    }

    /// The record of a BIOS RAID, if it was found by one.
    #[must_use]
    pub const fn bios(&self) -> Option<(bios::Kind, &bios::Member)> {
        match &self.meta {
            Meta::Bios(kind, member) => Some((*kind, member)),
            _ => None,
        }
    }

    /// The set of DDF records and where it lies, if it was found by one.
    #[must_use]
    pub fn ddf(&self) -> Option<(&[u8], &ddf::Place)> {
        match &self.meta {
            Meta::Ddf { set, place, .. } => Some((set, place)),
            _ => None,
        }
    }

    /// The record of IMSM and where it lies, if it was found by one.
    #[must_use]
    pub fn imsm(&self) -> Option<(&[u8], &imsm::Place)> {
        match &self.meta {
            Meta::Imsm(imsm) => Some((imsm.bytes(), imsm.place())),
            _ => None,
        }
    }

    /// The partial parity log of this member, if its write hole is closed by one that may be replayed.
    pub(crate) fn ppl(&self) -> Option<ppl::Log> {
        match &self.meta {
            Meta::Md { .. } => ppl::Log::of(&self.record),
            Meta::Imsm(imsm) => imsm.with(|volume| volume.ppl()).flatten(),
            Meta::Ddf { .. } | Meta::Bios(..) | Meta::Dm { .. } | Meta::Told { .. } => None,
        }
    }

    /// Runs of the medium that the format's own record lists as bad; MD's list is read apart.
    pub(crate) fn bad_blocks(&self) -> Vec<Extent> {
        match &self.meta {
            Meta::Imsm(imsm) => imsm.with(|volume| volume.bad_blocks().collect()).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// The container whose record this is, if the format has one record for several volumes.
    pub(crate) fn container(&self) -> Option<Container> {
        match &self.meta {
            Meta::Ddf { .. } => self.with_ddf(|volume| Container::Ddf(volume.metadata().header().guid)),
            Meta::Imsm(imsm) => imsm.family().map(Container::Imsm),
            _ => None,
        }
    }

    /// True if this member's table has that disk of its container, and calls it neither failed nor gone.
    pub(crate) fn keeps(&self, other: &Self) -> bool {
        let number = other.record.number;
        let ddf = self.with_ddf(|volume| {
            let state = volume.metadata().disk_state(number);
            state.contains(DiskState::ONLINE) && !state.intersects(DiskState::FAILED | DiskState::MISSING)
        });
        let imsm = self.with_imsm(|volume| volume.metadata().knows(number));
        ddf.or(imsm).unwrap_or(false)
    }

    /// The same member as it stands on its medium now, by the format that it was taken by, whatever else stands there.
    ///
    /// # Errors
    /// It is none any more.
    pub(crate) fn again(&self, media: SharedMedia) -> Result<Self, NoMember> {
        let mut found = Self::inspect_as(&self.name, media, Some(Only::Exactly(self.record.format)))?;
        found.identify_as(self);
        let mut volumes = found.volumes().into_iter();
        volumes.find(|volume| volume.record.array == self.record.array).ok_or_else(|| NoMember {
            name: self.name.clone(),
            places: vec![(self.record.format.name(), "another array's by now".to_owned())],
            damaged: false,
        })
    }

    /// Asks this member's IMSM record; `None` if it has none.
    pub(crate) fn with_imsm<T>(&self, ask: impl FnOnce(&imsm::Volume<'_>) -> T) -> Option<T> {
        match &self.meta {
            Meta::Imsm(imsm) => imsm.with(ask),
            _ => None,
        }
    }

    /// Asks this member's DDF table; `None` if it has none.
    pub(crate) fn with_ddf<T>(&self, ask: impl FnOnce(&ddf::Volume<'_>) -> T) -> Option<T> {
        let Meta::Ddf { set, place, guid } = &self.meta else { return None };
        ddf::Metadata::parse(set, place).ok()?.volume(*guid).as_ref().map(ask)
    }
}

impl Claimant for Found {
    fn record(&self) -> &Record {
        &self.record
    }

    fn role_of(&self, number: u32) -> Role {
        match &self.meta {
            Meta::Bios(_, member) => member.role_of(number),
            Meta::Ddf { .. } => self.with_ddf(|volume| volume.role_of(number)).unwrap_or(Role::Faulty),
            Meta::Dm { block, .. } => {
                let data = Sectors::from_bytes_floor(self.media.size_bytes());
                let parsed = raid_formats::dm::Superblock::parse(block.as_slice(), data);
                parsed.map_or(Role::Faulty, |superblock| superblock.role_of(number))
            }
            Meta::Told { .. } => u16::try_from(number).map_or(Role::Faulty, Role::Slot),
            Meta::Imsm(imsm) => imsm.with(|volume| volume.role_of(number)).unwrap_or(Role::Faulty),
            Meta::Md { .. } => match self.superblock() {
                Some(Ok(superblock)) => superblock.role_of(number),
                Some(Err(_)) | None => Role::Faulty,
            },
        }
    }

    fn silent_about(&self, number: u32) -> bool {
        self.with_ddf(|volume| volume.silent_about(number)).unwrap_or(false)
    }
}

impl Look {
    /// Looks for every format in turn. What is found first is the likeliest: MD is made on top of what was there before.
    fn at(source: &MediaSource<'_>) -> Self {
        let mut look = Self::default();
        look.md(source);
        look.ddf(source);
        look.imsm(source);
        look.bios(source);
        look
    }

    fn md(&mut self, source: &MediaSource<'_>) {
        let mut buffer: Box<ProbeBuffer> = Box::new([[0; 4096]; 4]);
        let probe = md::probe(source, &mut buffer);
        self.metas.extend(probe.ranked().filter_map(|superblock| {
            let record = superblock.record();
            let version = Version::ALL.into_iter().find(|version| version.format() == record.format)?;
            Some((Meta::Md { block: Box::new(*superblock.emit()), version }, record))
        }));
        for find in probe.finds {
            if let Err(fault) = find.outcome {
                self.damaged |= !fault.is_absence();
                self.places.push((find.version.format().name(), fault.to_string()));
            }
        }
    }

    fn ddf(&mut self, source: &MediaSource<'_>) {
        let mut damaged = |what: String| {
            self.damaged = true;
            self.places.insert(0, (Format::Ddf.name(), what));
        };
        let probe = match ddf::probe(source) {
            Ok(probe) => probe,
            Err(fault) if fault.is_absence() => return,
            Err(fault) => return damaged(fault.to_string()),
        };
        let mut set = vec![0; probe.len_bytes()];
        let place = match ddf::read(source, &probe.anchor, &mut set) {
            Ok(metadata) => metadata.place(),
            Err(fault) => return damaged(fault.to_string()),
        };
        set.truncate(place.len_bytes());
        let volumes = ddf_volumes(&set.into(), &place);
        if volumes.is_empty() {
            damaged("the disk belongs to no volume: a spare, or one that was taken out".to_owned());
        }
        self.metas.extend(volumes);
    }

    fn imsm(&mut self, source: &MediaSource<'_>) {
        match Imsm::find(source) {
            Ok(None) => {}
            Ok(Some(imsm)) => self.metas.extend(imsm.volumes()),
            Err(what) => {
                self.damaged = true;
                self.places.insert(0, (Format::Imsm.name(), what));
            }
        }
    }

    /// Nine formats that are hardly ever there: only what is damaged is worth a line.
    fn bios(&mut self, source: &MediaSource<'_>) {
        let mut working = Box::new([0; bios::BUFFER_BYTES]);
        for kind in bios::Kind::all() {
            match kind.find(source, &mut working) {
                Ok(member) => self.metas.push((Meta::Bios(kind, Box::new(member)), *member.record())),
                Err(fault) if fault.is_absence() => {}
                Err(fault) => {
                    self.damaged = true;
                    self.places.insert(0, (kind.format().name(), fault.to_string()));
                }
            }
        }
    }
}

/// The volumes that a set of DDF records gives this disk a part of.
fn ddf_volumes(set: &Arc<[u8]>, place: &ddf::Place) -> Vec<(Meta, Record)> {
    let Ok(metadata) = ddf::Metadata::parse(set, place) else { return Vec::new() };
    let volumes = metadata.volumes().filter_map(Result::ok);
    let meta = |volume: &ddf::Volume<'_>| Meta::Ddf { set: Arc::clone(set), place: *place, guid: volume.guid() };
    volumes.map(|volume| (meta(&volume), *volume.record())).collect()
}

/// How names are followed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search {
    /// How media are opened.
    pub media: Options,
    /// Which formats count; all if `None`.
    pub only: Option<Only>,
}

/// What one name led to.
pub enum Outcome {
    /// A member.
    Member(Box<Found>),
    /// A physical volume of LVM.
    Physical(Box<Physical>),
    /// A readable medium without a superblock, for who wants to know what else it is.
    NotAMember(NoMember, SharedMedia),
    /// Something that could not be opened.
    Unopened {
        /// As given or met.
        name: String,
        /// Why.
        error: OpenError,
    },
}

/// Opens one named member.
#[must_use]
pub fn open_member(name: &str, how: &Search) -> Outcome {
    open_path(name, OsStr::new(name), how).0
}

fn open_path(name: &str, path: &OsStr, how: &Search) -> (Outcome, Option<SharedMedia>) {
    let unopened = |error| (Outcome::Unopened { name: name.to_owned(), error }, None);
    let spec = match MediaSpec::parse(path) {
        Ok(spec) => spec,
        Err(error) => return unopened(error),
    };
    let opened = match media::open(&spec, &how.media) {
        Ok(opened) => opened,
        Err(error) => return unopened(error),
    };
    let labels = how.only.is_none_or(|only| only.takes(Format::Lvm2));
    let physical = || if labels { Physical::inspect(name, opened.media.clone()) } else { Ok(None) };
    let outcome = match Found::inspect_as(name, opened.media.clone(), how.only) {
        Ok(found) => {
            let mut found = Found { notes: opened.notes, ..found };
            found.identify_by_place(path);
            // Data from the start of the medium on hold the label themselves: what stands in the array, not beside it.
            let beside = labels && found.record.data.at.0 != 0;
            found.label = beside.then(|| Physical::labelled(&opened.media)).flatten();
            Outcome::Member(Box::new(found))
        }
        Err(reason) => match physical() {
            Ok(Some(physical)) => Outcome::Physical(Box::new(physical)),
            Ok(None) => Outcome::NotAMember(reason, opened.media.clone()),
            Err(damage) => Outcome::NotAMember(reason.also(Format::Lvm2.name(), damage), opened.media.clone()),
        },
    };
    (outcome, Some(opened.media))
}

/// Opens everything under the names given: members, directories (their files, to a depth of 8, in order of names), and
/// the partitions inside disks that are no members themselves.
#[must_use]
pub fn search(names: &[String], how: &Search) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for name in names {
        if Path::new(name).is_dir() {
            let mut files = Vec::new();
            files_under(Path::new(name), DEPTH_MAX, &mut files);
            for file in files {
                search_one(&file.display().to_string(), file.as_os_str(), how, &mut outcomes);
            }
        } else {
            search_one(name, OsStr::new(name), how, &mut outcomes);
        }
    }
    outcomes
}

fn search_one(name: &str, path: &OsStr, how: &Search, outcomes: &mut Vec<Outcome>) {
    let (outcome, media) = open_path(name, path, how);
    let table = || media.and_then(|media| media::partitions(media.as_ref()).ok().flatten());
    let inside: Vec<u32> = match &outcome {
        Outcome::NotAMember(..) => table().iter().flat_map(|table| &table.partitions).map(|part| part.index).collect(),
        Outcome::Member(found) if found.may_be_a_partitions() => {
            table().and_then(|table| found.partition_around(&table)).into_iter().collect()
        }
        Outcome::Member(_) | Outcome::Physical(_) | Outcome::Unopened { .. } => Vec::new(),
    };
    if inside.is_empty() {
        return outcomes.push(outcome);
    }
    for index in inside {
        let mut inner = path.to_owned();
        inner.push(format!("#{index}"));
        outcomes.push(open_path(&format!("{name}#{index}"), &inner, how).0);
    }
}

/// Regular files and block devices under a directory. What cannot be listed is passed over: a scan shows what it can.
fn files_under(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let kind = metadata.file_type();
        if kind.is_dir() && depth > 0 {
            files_under(&path, depth - 1, files);
        } else if kind.is_file() || std::os::unix::fs::FileTypeExt::is_block_device(&kind) {
            files.push(path);
        }
    }
}

/// Members by array, in the order in which the arrays were met. Disks that do not say which of their container's they are, are
/// identified first, as far as elimination goes.
#[must_use]
pub fn group(mut found: Vec<Found>) -> Vec<Vec<Found>> {
    identity::eliminate(&mut found);
    let mut groups: Vec<Vec<Found>> = Vec::new();
    for member in found {
        let own = groups
            .iter_mut()
            .find(|group| group.first().is_some_and(|first| same_array(first.record(), member.record())));
        match own {
            Some(group) => group.push(member),
            None => groups.push(vec![member]),
        }
    }
    groups
}
