//! From a command line to members and an array: the flags that all verbs share, each with the risk that it takes.

use std::path::Path;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use raid_core::Raid0Layout;
use raid_formats::assemble::Claimant;
use raid_formats::record::Uuid;

use super::exit::{Exit, Failure};
use super::output::Output;
use crate::array::{Array, OpenError, OpenOptions};
use crate::discover::{DmTable, Found, NoTable, Only, Outcome, Search, Serials, group, search, settle};
use crate::layers::{Layers, NoVolume};
use crate::lvm::{Physical, VolumeGroup};
use crate::media::{Media, MediaId, OpenError as MediaError, Options, SharedMedia};
use crate::nbd::Client;

/// As [`OpenError::NotReplayed`] names it.
pub(super) const IGNORE_JOURNAL: &str = "--ignore-journal";

/// Which members, and how they are opened.
#[derive(Args, Clone, Debug)]
pub(super) struct OpenArgs {
    /// Members: files, devices, qcow2 or VMDK images, partitions (disk.img#2), nbd:// URIs; or directories of them
    #[arg(required_unless_present = "table", value_name = "MEMBER")]
    pub(super) members: Vec<String>,
    /// An array of dm-raid or dm-mirror: a line as dmsetup prints it, or a file with one; its devices have the names that stand there
    #[arg(long, value_name = "LINE|FILE", conflicts_with_all = ["array", "volume"])]
    pub(super) table: Option<String>,
    /// Which array, by name or UUID, where members of several are given
    #[arg(long, value_name = "NAME|UUID")]
    pub(super) array: Option<String>,
    /// Which array, volume or partition, to whatever depth: a name as scan prints it, for LVM group/volume
    #[arg(long, value_name = "NAME", conflicts_with = "array")]
    pub(super) volume: Option<String>,
    /// Which disk a member is, by its drive's serial number, where the format (IMSM) knows disks by nothing else; several times.
    /// A file MEMBER.serial says the same
    #[arg(long, value_name = "MEMBER=SERIAL")]
    pub(super) serial: Vec<String>,
    /// Which format counts, where media carry records of several: its name as scan prints it, or md for all versions of it
    #[arg(long = "as", value_name = "FORMAT", value_parser = only)]
    pub(super) only: Option<Only>,
    /// Refuse an array that lacks any member
    #[arg(long)]
    pub(super) strict: bool,
    /// Use this member although it is stale or was thrown out. Risk: what was written since is a mix of old and new
    #[arg(long, value_name = "MEMBER")]
    pub(super) use_stale: Vec<String>,
    /// Use all members whatever their event counts. Risk: as --use-stale, for all of them
    #[arg(long)]
    pub(super) force_events: bool,
    /// Read past a journal that was not replayed. Risk: the newest writes are missing or torn
    #[arg(long)]
    pub(super) ignore_journal: bool,
    /// Do not replay partial parity after a crash. Risk: what a missing member held in those stripes is wrong
    #[arg(long)]
    pub(super) ignore_ppl: bool,
    /// Believe parity where a degraded array was not stopped cleanly. Risk: what a missing member held there can be wrong
    #[arg(long)]
    pub(super) trust_dirty_parity: bool,
    /// Set by verbs that run the array
    #[arg(skip)]
    pub(super) without_log: bool,
    /// Open although too many members are missing; what is lost gives read errors
    #[arg(long)]
    pub(super) partial: bool,
    /// Layout of a RAID 0 of unequal members whose metadata do not say. Risk: the wrong one gives wrong bytes
    #[arg(long, value_name = "LAYOUT")]
    pub(super) raid0_layout: Option<ZoneLayout>,
    /// Open files that an image refers to (qcow2 backing files). Risk: an image from a stranger can name any file of yours
    #[arg(long)]
    pub(super) follow_references: bool,
}

/// The two layouts of a RAID 0 with several zones.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ZoneLayout {
    /// Linux before 3.14
    Original,
    /// Linux from 3.14 on
    Alternate,
}

impl OpenArgs {
    /// As the library takes them.
    #[must_use]
    pub(super) fn options(&self) -> OpenOptions {
        OpenOptions {
            strict: self.strict,
            use_stale: self.use_stale.clone(),
            force_events: self.force_events,
            ignore_journal: self.ignore_journal,
            ignore_ppl: self.ignore_ppl,
            trust_dirty_parity: self.trust_dirty_parity,
            without_log: self.without_log,
            partial: self.partial,
            raid0_layout: self.raid0_layout.map(|layout| match layout {
                ZoneLayout::Original => Raid0Layout::Original,
                ZoneLayout::Alternate => Raid0Layout::Alternate,
            }),
        }
    }

    /// The flags that make these options and say the rest of this command line but the members, as words.
    #[must_use]
    pub(super) fn flags(&self, options: &OpenOptions) -> Vec<String> {
        let array = self.array.iter().flat_map(|array| ["--array".to_owned(), array.clone()]);
        let serials = self.serial.iter().flat_map(|serial| ["--serial".to_owned(), serial.clone()]);
        let only = self.only.iter().flat_map(|only| ["--as".to_owned(), only.to_string()]);
        let table = self.table.iter().flat_map(|table| ["--table".to_owned(), table.clone()]);
        flags(options, self.follow_references)
            .into_iter()
            .chain(table)
            .chain(array)
            .chain(serials)
            .chain(only)
            .collect()
    }

    /// These members, with no risk taken.
    #[must_use]
    pub(super) fn plain(members: &[String], follow_references: bool) -> Self {
        Self {
            members: members.to_vec(),
            table: None,
            array: None,
            volume: None,
            serial: Vec::new(),
            only: None,
            strict: false,
            use_stale: Vec::new(),
            force_events: false,
            ignore_journal: false,
            ignore_ppl: false,
            trust_dirty_parity: false,
            without_log: false,
            partial: false,
            raid0_layout: None,
            follow_references,
        }
    }

    /// All members and physical volumes under the names given. What else stands in a directory is passed over, but told if it could have
    /// been a member.
    ///
    /// # Errors
    /// A name that is neither, a medium given twice.
    pub(super) fn given(&self, output: &Output) -> Result<Given, Failure> {
        if let Some(table) = self.tabled()? {
            return self.given_by(&table, output);
        }
        let mut given = given(&self.members, &search_options(self.follow_references, self.only), output)?;
        let serials = Serials::parse(&self.serial).and_then(|serials| serials.tell(&mut given.found));
        serials.map_err(|error| Failure::new(Exit::Usage, error))?;
        Ok(given)
    }

    /// The line of a table, if that names the array.
    fn tabled(&self) -> Result<Option<DmTable>, Failure> {
        let Some(table) = &self.table else { return Ok(None) };
        if let Some(member) = self.members.first() {
            let why = format!("{member}: the devices of an array of dm-raid stand in its --table");
            return Err(Failure::new(Exit::Usage, why));
        }
        let line = match Path::new(table).is_file() {
            true => {
                std::fs::read_to_string(table).map_err(|error| Failure::new(Exit::Io, format!("{table}: {error}")))?
            }
            false => table.clone(),
        };
        DmTable::parse(&line).map(Some).map_err(no_table)
    }

    fn given_by(&self, table: &DmTable, output: &Output) -> Result<Given, Failure> {
        let (found, notes) = table.found(&media_options(self.follow_references)).map_err(no_table)?;
        notes.iter().for_each(|note| output.warn(note));
        let mut given = Given::default();
        for member in found {
            given.check_twin(member.name(), member.media())?;
            given.found.push(member);
        }
        if given.found.is_empty() {
            return Err(Failure::new(Exit::Refused, "table: none of its devices can be used"));
        }
        Ok(given)
    }

    /// What is meant, for verbs that run it.
    ///
    /// # Errors
    /// Several could be meant and none is named; none at all.
    pub(super) fn meant(&self, output: &Output) -> Result<Meant, Failure> {
        if let Some(table) = self.tabled()? {
            let found = self.given_by(&table, output)?.found;
            return Ok(Meant::Table { table: Box::new(table), found });
        }
        let given = self.given(output)?;
        if !self.is_layered(&given) {
            let groups = group(given.found);
            let all = groups.concat();
            return Ok(Meant::Array { found: choose(groups, self.array.as_deref())?, all });
        }
        let (groups, _) = VolumeGroup::sort(given.physical);
        let names: Vec<String> = groups
            .iter()
            .flat_map(|group| group.volumes().into_iter().map(|name| format!("{}/{name}", group.name())))
            .collect();
        let wanted = match (&self.volume, names.as_slice()) {
            (Some(wanted), _) => wanted.clone(),
            (None, [only]) => only.clone(),
            (None, _) => return Err(no_volume(&NoVolume::Several(names))),
        };
        let meant = groups.into_iter().find_map(|group| {
            let name = wanted.strip_prefix(group.name())?.strip_prefix('/')?.to_owned();
            group.volumes().contains(&name).then_some(Meant::Volume { group: Box::new(group), name })
        });
        let why = format!(
            "{wanted}: what stands on an array, a partition or another volume is read; of LVM's volumes, those on disks alone are run"
        );
        meant.ok_or_else(|| Failure::new(Exit::Refused, why))
    }

    /// The members of the one array that is meant among these.
    ///
    /// # Errors
    /// Several arrays and none chosen; none at all.
    pub(super) fn chosen(&self, found: Vec<Found>) -> Result<Vec<Found>, Failure> {
        choose(group(found), self.array.as_deref())
    }

    /// True if what is meant stands on layers: it is named as such, or it is a volume of LVM.
    pub(super) fn is_layered(&self, given: &Given) -> bool {
        self.volume.is_some() || (self.array.is_none() && !given.physical.is_empty())
    }

    /// Opens what is meant among these; its warnings go to stderr.
    ///
    /// # Errors
    /// Several could be meant and none is named; why it is not opened.
    pub(super) fn assemble(&self, given: Given, output: &Output) -> Result<Volume, Failure> {
        if self.is_layered(&given) {
            return self.layered(given, output);
        }
        let found = self.chosen(given.found)?;
        let array = Array::open(found, &self.options()).map_err(refused)?;
        for warning in array.warnings() {
            output.warn(&warning.to_string());
        }
        let identity = format!("array {} at {} events", array.uuid(), array.record().events);
        let array = Arc::new(array);
        Ok(Volume { name: String::new(), media: array.clone(), array: Some(array), identity, runs: Vec::new() })
    }

    fn layered(&self, given: Given, output: &Output) -> Result<Volume, Failure> {
        let layers = Layers::on(given.found, given.physical, &self.options());
        layers.notes().iter().for_each(|note| output.warn(note));
        let node = layers.choose(self.volume.as_deref()).map_err(|error| no_volume(&error))?;
        for below in layers.below(node) {
            below.warnings.iter().for_each(|warning| output.warn(&format!("{}: {warning}", below.name)));
        }
        if self.strict && layers.below(node).iter().any(|below| below.degraded) {
            return Err(Failure::new(Exit::Refused, format!("{}: degraded, and --strict was given", node.name)));
        }
        let media = node.media.clone().ok_or_else(|| Failure::new(Exit::Refused, "it has no content"))?;
        let identity = format!("{} {}", node.name, node.identity);
        let (name, array, runs) = (node.name.clone(), node.array.clone(), node.runs.clone());
        Ok(Volume { name, media, array, identity, runs })
    }

    /// Opens what is meant; its warnings go to stderr.
    ///
    /// # Errors
    /// As [`given`](Self::given) and [`assemble`](Self::assemble).
    pub(super) fn open(&self, output: &Output) -> Result<Volume, Failure> {
        self.assemble(self.given(output)?, output)
    }
}

/// What is to be run.
pub(super) enum Meant {
    /// An array.
    Array {
        /// Its members.
        found: Vec<Found>,
        /// The members of all arrays that were given: those of one container know of each other.
        all: Vec<Found>,
    },
    /// An array of dm-raid, by the line of its table.
    Table {
        /// The line.
        table: Box<DmTable>,
        /// Its members that can be used.
        found: Vec<Found>,
    },
    /// A volume of LVM.
    Volume {
        /// Its group.
        group: Box<VolumeGroup>,
        /// Its name in the group.
        name: String,
    },
}

impl Meant {
    /// Its identity.
    pub(super) fn uuid(&self) -> Option<Uuid> {
        match self {
            Self::Array { found, .. } => found.first().map(|found| found.record().array),
            Self::Table { table, .. } => Some(table.identity()),
            Self::Volume { group, name } => group.uuid(name),
        }
    }
}

/// What was found under the names that were given.
#[derive(Default)]
pub(super) struct Given {
    /// Members of arrays.
    pub(super) found: Vec<Found>,
    /// Physical volumes of LVM.
    pub(super) physical: Vec<Physical>,
}

impl Given {
    /// Names and media of all of them.
    fn media(&self) -> impl Iterator<Item = (&str, &SharedMedia)> {
        let found = self.found.iter().map(|found| (found.name(), found.media()));
        found.chain(self.physical.iter().map(|one| (one.name(), one.media())))
    }

    /// Identities of the media.
    pub(super) fn media_ids(&self) -> Vec<MediaId> {
        self.media().filter_map(|(_, media)| media.identity()).collect()
    }

    /// Refuses a medium that is here under another name.
    fn check_twin(&self, name: &str, media: &SharedMedia) -> Result<(), Failure> {
        let same =
            |other: &SharedMedia| media.identity().zip(other.identity()).is_some_and(|(one, two)| one.overlaps(&two));
        match self.media().find(|(_, other)| same(other)) {
            None => Ok(()),
            Some((twin, _)) => {
                let why = format!("{name}: the same medium as {twin}; give each member once");
                Err(Failure::new(Exit::BadInput, why))
            }
        }
    }
}

/// What was opened: an array, or what stands on one.
pub(super) struct Volume {
    /// Its name; empty for the one array of the members given.
    pub(super) name: String,
    /// Its content.
    pub(super) media: SharedMedia,
    /// The array that it is.
    pub(super) array: Option<Arc<Array>>,
    /// What tells it from any other, and from its own earlier states as far as the metadata do.
    pub(super) identity: String,
    /// Its runs, if it is put together of several: first byte, bytes, what they are.
    pub(super) runs: Vec<(u64, u64, String)>,
}

/// The failure for a volume that cannot be chosen.
pub(super) fn no_volume(error: &NoVolume) -> Failure {
    let exit = match error {
        NoVolume::Unknown { .. } | NoVolume::Several(_) => Exit::Usage,
        NoVolume::NotOpened { .. } => Exit::Refused,
    };
    Failure::new(exit, error)
}

/// The flags that make these options, as words of a command line.
#[must_use]
fn flags(options: &OpenOptions, follow_references: bool) -> Vec<String> {
    let switches = [
        (options.strict, "--strict"),
        (options.force_events, "--force-events"),
        (options.ignore_journal, IGNORE_JOURNAL),
        (options.ignore_ppl, "--ignore-ppl"),
        (options.trust_dirty_parity, "--trust-dirty-parity"),
        (options.partial, "--partial"),
        (follow_references, "--follow-references"),
    ];
    let mut words: Vec<String> = switches.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned()).collect();
    for member in &options.use_stale {
        words.extend(["--use-stale".to_owned(), member.clone()]);
    }
    let layout = match options.raid0_layout {
        Some(Raid0Layout::Original) => "original",
        Some(Raid0Layout::Alternate) => "alternate",
        Some(Raid0Layout::Unstated) | None => return words,
    };
    words.extend(["--raid0-layout".to_owned(), layout.to_owned()]);
    words
}

/// How names are opened by all verbs.
#[must_use]
pub(super) fn media_options(follow_references: bool) -> Options {
    Options { connect_nbd: Some(Client::connect_shared), follow_references }
}

/// How names are followed by all verbs.
#[must_use]
pub(super) fn search_options(follow_references: bool, only: Option<Only>) -> Search {
    Search { media: media_options(follow_references), only }
}

/// A format's name, as a word of a command line.
pub(super) fn only(name: &str) -> Result<Only, String> {
    Only::named(name).ok_or_else(|| "no such format; see raid scan".to_owned())
}

/// The failure for an array that is not opened.
#[must_use]
pub(super) fn refused(error: OpenError) -> Failure {
    let exit = match &error {
        OpenError::NotGiven(_) | OpenError::NoSuchArray(_) => Exit::Usage,
        OpenError::Config { .. } | OpenError::Member { .. } => Exit::BadInput,
        _ => Exit::Refused,
    };
    Failure::new(exit, error)
}

/// The failure for an array that a table names.
fn no_table(error: NoTable) -> Failure {
    match error {
        NoTable::Line(_) => Failure::new(Exit::Usage, error),
        NoTable::Media(error) => unopened(error),
        NoTable::Device { .. } => Failure::new(Exit::BadInput, error),
    }
}

/// The failure for a medium that cannot be opened: the name, the file, or the system's word.
pub(super) fn unopened(error: MediaError) -> Failure {
    let exit = match &error {
        MediaError::Name { .. } => Exit::Usage,
        MediaError::Missing { .. }
        | MediaError::PermissionDenied { .. }
        | MediaError::Locked { .. }
        | MediaError::Busy { .. }
        | MediaError::Io { .. } => Exit::Io,
        _ => Exit::BadInput,
    };
    Failure::new(exit, error)
}

/// Opens every name. What was named itself must be a member; what a directory or a disk holds may be anything.
fn given(names: &[String], how: &Search, output: &Output) -> Result<Given, Failure> {
    let mut given = Given::default();
    for outcome in search(names, how) {
        match outcome {
            Outcome::Member(member) => {
                for note in member.notes() {
                    output.warn(&format!("{}: {note}", member.name()));
                }
                given.check_twin(member.name(), member.media())?;
                given.found.push(*member);
            }
            Outcome::Physical(one) => {
                given.check_twin(one.name(), one.media())?;
                given.physical.push(*one);
            }
            Outcome::NotAMember(reason, _) if names.contains(&reason.name) => {
                return Err(Failure::new(Exit::BadInput, reason));
            }
            Outcome::Unopened { name, error } if names.contains(&name) => {
                return Err(unopened(error));
            }
            Outcome::NotAMember(reason, _) if reason.damaged => {
                output.warn(&format!("{}: left out: {}", reason.name, reason.worst()));
            }
            Outcome::NotAMember(reason, _) => output.remark(&format!("{}: no RAID superblock", reason.name)),
            Outcome::Unopened { error, .. } => output.warn(&format!("left out: {error}")),
        }
    }
    settle(&mut given.found).iter().for_each(|conflict| output.warn(&conflict.to_string()));
    given.found = given.found.into_iter().flat_map(Found::volumes).collect();
    match names.iter().find(|name| !given.media().any(|(member, _)| lies_in(member, name))) {
        None => Ok(given),
        Some(name) => Err(Failure::new(Exit::BadInput, format!("{name}: no RAID superblock in there"))),
    }
}

/// True if the member is what was named, a partition of it, or stands in that directory.
fn lies_in(member: &str, name: &str) -> bool {
    let rest = member.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#')) || Path::new(member).starts_with(name)
}

/// The group with that name or UUID, or the only one.
fn choose(mut groups: Vec<Vec<Found>>, wanted: Option<&str>) -> Result<Vec<Found>, Failure> {
    let title = |group: &Vec<Found>| {
        group.first().map(|found| (found.record().name.to_string(), found.record().array.to_string()))
    };
    if let Some(wanted) = wanted {
        let same = |group: &Vec<Found>| title(group).is_some_and(|(name, uuid)| name == wanted || uuid == wanted);
        let mut matching: Vec<usize> = (0..groups.len()).filter(|index| same(&groups[*index])).collect();
        return match (matching.pop(), matching.is_empty()) {
            (Some(index), true) => Ok(groups.swap_remove(index)),
            (None, _) => Err(refused(OpenError::NoSuchArray(wanted.into()))),
            (Some(_), false) => {
                Err(Failure::new(Exit::Usage, format!("several arrays are called {wanted}; give a UUID")))
            }
        };
    }
    if groups.len() == 1 {
        return Ok(groups.swap_remove(0));
    }
    let names = groups.iter().filter_map(title).map(|(name, uuid)| format!("{uuid} {name}").trim_end().to_owned());
    Err(refused(OpenError::SeveralArrays(names.collect())))
}
