//! What stands on what: members and physical volumes, the arrays and groups that they make, volumes, partitions, and what stands on
//! those, to any depth up to a limit.
//!
//! One rule for all kinds. Every medium that comes up is looked at once: it is a member, a physical volume, a disk with partitions, or none
//! of these. What is whole is opened first, and its media are looked at in turn. Only when nothing whole is left is something opened that
//! lacks a part, one thing at a time: its missing part may have been one that was still to come up. A medium comes up once, at a depth
//! that is counted, so that neither circles nor disks made to nest without end go on.

use std::sync::Arc;

use raid_formats::assemble::{Claimant, Verdict, same_array};

use crate::array::{Array, OpenOptions, level_name, verdicts};
use crate::discover::Found;
use crate::lvm::{Physical, VolumeGroup};
use crate::media::{Part, SharedMedia, partitions};

/// How many layers stand on each other.
const DEPTH_MAX: usize = 12;
/// How many things are looked at.
const NODES_MAX: usize = 4096;

/// Kinds of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was named: a disk, an image, a partition of one.
    Medium,
    /// A RAID array.
    Array,
    /// A group of LVM.
    Group,
    /// A volume of such a group.
    Volume,
    /// A partition of something that came up.
    Partition,
}

impl Kind {
    /// The kind in a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Medium => "medium",
            Self::Array => "array",
            Self::Group => "group",
            Self::Volume => "volume",
            Self::Partition => "partition",
        }
    }
}

/// A thing, and what it stands on.
pub struct Node {
    /// How users call it.
    pub name: String,
    /// Another name that no other has: the identity in words; empty if there is none.
    pub identity: String,
    /// What it is.
    pub kind: Kind,
    /// What it is, for people.
    pub description: String,
    /// Its content; `None` for groups, and for what is not opened.
    pub media: Option<SharedMedia>,
    /// The array that it is.
    pub array: Option<Arc<Array>>,
    /// What it stands on.
    pub on: Vec<usize>,
    /// Layers below it.
    pub depth: usize,
    /// True if a part of it is not here.
    pub degraded: bool,
    /// What people should know.
    pub warnings: Vec<String>,
    /// Why it is not opened.
    pub refusal: Option<String>,
    /// Its runs, if it is put together of several: first byte, bytes, what they are.
    pub runs: Vec<(u64, u64, String)>,
}

impl Node {
    fn new(kind: Kind, name: String) -> Self {
        Self {
            name,
            identity: String::new(),
            kind,
            description: String::new(),
            media: None,
            array: None,
            on: Vec::new(),
            depth: 0,
            degraded: false,
            warnings: Vec::new(),
            refusal: None,
            runs: Vec::new(),
        }
    }
}

/// Everything that stands on the media given.
#[derive(Default)]
pub struct Layers {
    nodes: Vec<Node>,
    notes: Vec<String>,
    /// Members and physical volumes of what is not opened yet, and the node that each is.
    members: Vec<(usize, Found)>,
    physical: Vec<(usize, Physical)>,
    /// Nodes whose content nobody looked at yet.
    fresh: Vec<usize>,
}

/// Why no volume is meant, or several.
#[derive(Debug, thiserror::Error)]
pub enum NoVolume {
    /// None has that name.
    #[error("there is no volume {wanted}; there is {}", list(.choices))]
    Unknown {
        /// The name.
        wanted: String,
        /// Those that there are.
        choices: Vec<String>,
    },
    /// Several have it, or several are there and none was named.
    #[error("several volumes could be meant: {}; say which with --volume", list(.0))]
    Several(Vec<String>),
    /// It is there, and is not opened.
    #[error("{name}: {reason}")]
    NotOpened {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

impl Layers {
    /// Everything that stands on these members and physical volumes.
    #[must_use]
    pub fn on(found: Vec<Found>, physical: Vec<Physical>, options: &OpenOptions) -> Self {
        let mut layers = Self::default();
        for member in found {
            let node = layers.medium(member.name(), member.media());
            layers.members.push((node, member));
        }
        for one in physical {
            let node = layers.medium(one.name(), one.media());
            layers.physical.push((node, one));
        }
        loop {
            while let Some(node) = layers.fresh.pop() {
                layers.look(node);
            }
            if !layers.open_next(options) {
                return layers;
            }
        }
    }

    /// All things, each behind what it stands on.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What people should know that belongs to no single thing.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The things that can be opened by a name: arrays, volumes, partitions.
    pub fn volumes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !matches!(node.kind, Kind::Medium | Kind::Group))
    }

    /// The thing of that name or identity; of the lowest layers, the only one, if no name is given.
    ///
    /// # Errors
    /// [`NoVolume`].
    pub fn choose(&self, wanted: Option<&str>) -> Result<&Node, NoVolume> {
        let unique = |node: &&Node| self.volumes().filter(|other| other.name == node.name).count() < 2;
        let call = |node: &Node| {
            if unique(&node) || node.identity.is_empty() { node.name.clone() } else { node.identity.clone() }
        };
        let matching: Vec<&Node> = match wanted {
            Some(wanted) => {
                let is = |name: &str| !name.is_empty() && name == wanted;
                self.volumes().filter(|node| is(&node.name) || is(&node.identity)).collect()
            }
            None => self.volumes().filter(|node| self.is_lowest(node)).collect(),
        };
        match (matching.as_slice(), wanted) {
            ([node], _) => match (&node.media, &node.refusal) {
                (Some(_), None) => Ok(node),
                (_, reason) => Err(NoVolume::NotOpened {
                    name: node.name.clone(),
                    reason: reason.clone().unwrap_or_else(|| "it has no content".into()),
                }),
            },
            ([], Some(wanted)) => {
                Err(NoVolume::Unknown { wanted: wanted.to_owned(), choices: self.volumes().map(call).collect() })
            }
            (several, _) => Err(NoVolume::Several(several.iter().map(|node| call(node)).collect())),
        }
    }

    /// A thing and all that it stands on, the lowest first, each once.
    #[must_use]
    pub fn below<'a>(&'a self, node: &'a Node) -> Vec<&'a Node> {
        let mut wanted: Vec<usize> = node.on.clone();
        let mut next = 0;
        while let Some(index) = wanted.get(next) {
            let more: Vec<usize> = self.nodes[*index].on.iter().copied().filter(|on| !wanted.contains(on)).collect();
            wanted.extend(more);
            next += 1;
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted.into_iter().map(|index| &self.nodes[index]).chain([node]).collect()
    }

    /// True if only media and groups are below it.
    fn is_lowest(&self, node: &Node) -> bool {
        node.on.iter().all(|below| match self.nodes[*below].kind {
            Kind::Medium => true,
            Kind::Group => self.is_lowest(&self.nodes[*below]),
            Kind::Array | Kind::Volume | Kind::Partition => false,
        })
    }

    /// The node of a medium that was named; one for each name.
    fn medium(&mut self, name: &str, media: &SharedMedia) -> usize {
        let known = self.nodes.iter().position(|node| node.kind == Kind::Medium && node.name == name);
        known.unwrap_or_else(|| {
            let node = Node { media: Some(media.clone()), ..Node::new(Kind::Medium, name.to_owned()) };
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }

    /// Adds a thing; its content is looked at later.
    fn add(&mut self, mut node: Node) -> usize {
        node.depth = node.on.iter().map(|below| self.nodes[*below].depth + 1).max().unwrap_or(0);
        let index = self.nodes.len();
        if node.media.is_some() {
            if node.depth < DEPTH_MAX && index < NODES_MAX {
                self.fresh.push(index);
            } else {
                node.warnings.push("what stands on it was not looked at: there are too many layers, or things".into());
            }
        }
        self.nodes.push(node);
        index
    }

    /// Finds out what a medium that came up is.
    fn look(&mut self, index: usize) {
        let (name, Some(media)) = (self.nodes[index].name.clone(), self.nodes[index].media.clone()) else { return };
        match Found::inspect(&name, media.clone()) {
            // The record of the oldest HighPoint lies among its array's data. Seen through the array it is still the array's own: taken for
            // a member of another, two things had one name, and none could be opened by it (`tests/verbs.rs`, `bios-hpt37x`).
            Ok(found) if found.record().array.to_string() == self.nodes[index].identity => {}
            Ok(found) => return self.members.extend(found.volumes().into_iter().map(|member| (index, member))),
            Err(reason) if reason.damaged => self.nodes[index].warnings.push(reason.worst()),
            Err(_) => {}
        }
        match Physical::inspect(&name, media.clone()) {
            Ok(Some(physical)) => return self.physical.push((index, physical)),
            Ok(None) => {}
            Err(damage) => self.nodes[index].warnings.push(damage),
        }
        match partitions(media.as_ref()) {
            Ok(Some(table)) => {
                for partition in table.partitions {
                    let name = format!("{name}#{}", partition.index);
                    let part = Part::new(media.clone(), &partition, table.block_bytes);
                    let mut node = Node { on: vec![index], ..Node::new(Kind::Partition, name) };
                    node.description = format!("partition {}", partition.index);
                    match part {
                        Ok(part) => node.media = Some(Arc::new(part)),
                        Err(error) => node.refusal = Some(error.to_string()),
                    }
                    self.add(node);
                }
            }
            Ok(None) => {}
            Err(error) => self.nodes[index].warnings.push(error.to_string()),
        }
    }

    /// Opens something that is whole; or else something that is not. False if nothing is left.
    fn open_next(&mut self, options: &OpenOptions) -> bool {
        let arrays = self.arrays();
        let whole = arrays.iter().find(|array| is_whole(&self.found(array), options));
        if let Some(array) = whole {
            self.open_array(&array.clone(), options);
            return true;
        }
        let (mut groups, strays) = VolumeGroup::sort(self.physical.iter().map(|(_, one)| one.clone()).collect());
        if let Some(index) = groups.iter().position(|group| group.missing().is_empty()) {
            let group = groups.swap_remove(index);
            self.open_group(&group, options);
            return true;
        }
        if let Some(array) = arrays.into_iter().next() {
            self.open_array(&array, options);
            return true;
        }
        if let Some(group) = groups.into_iter().next() {
            self.open_group(&group, options);
            return true;
        }
        self.notes.extend(strays.into_iter().map(|(physical, why)| format!("{}: {why}", physical.name())));
        self.physical.clear();
        false
    }

    /// The members that are left, by array.
    fn arrays(&self) -> Vec<Vec<usize>> {
        let mut arrays: Vec<Vec<usize>> = Vec::new();
        for (index, (_, member)) in self.members.iter().enumerate() {
            let same = |array: &&mut Vec<usize>| same_array(self.members[array[0]].1.record(), member.record());
            match arrays.iter_mut().find(same) {
                Some(array) => array.push(index),
                None => arrays.push(vec![index]),
            }
        }
        arrays
    }

    fn found(&self, array: &[usize]) -> Vec<Found> {
        array.iter().map(|index| self.members[*index].1.clone()).collect()
    }

    fn open_array(&mut self, members: &[usize], options: &OpenOptions) {
        let found = self.found(members);
        let record = *found[0].record();
        let mut on: Vec<usize> = members.iter().map(|index| self.members[*index].0).collect();
        on.dedup();
        let identity = record.array.to_string();
        let name = record.name.to_string();
        let degraded = !is_whole(&found, options);
        let name = if name.is_empty() { identity.clone() } else { name };
        let mut node = Node { identity, on, degraded, ..Node::new(Kind::Array, name) };
        let (level, count) = (level_name(record.shape.level), record.shape.members);
        node.description = format!("{} {level}, {count} members", record.format.name());
        match Array::open(found, &given(options, &node.on, self)) {
            Ok(array) => {
                node.warnings.extend(array.warnings().iter().map(ToString::to_string));
                let array = Arc::new(array);
                (node.media, node.array) = (Some(array.clone() as SharedMedia), Some(array));
            }
            Err(error) => node.refusal = Some(error.to_string()),
        }
        self.add(node);
        let mut index = 0;
        self.members.retain(|_| {
            index += 1;
            !members.contains(&(index - 1))
        });
    }

    fn open_group(&mut self, group: &VolumeGroup, options: &OpenOptions) {
        let mut names: Vec<(&str, usize)> = Vec::new();
        for one in group.present() {
            let node = self.physical.iter().find(|(_, other)| other.name() == one.name()).map(|(node, _)| *node);
            names.extend(node.map(|node| (one.name(), node)));
        }
        let here = names.len();
        let on = names.iter().map(|(_, node)| *node).collect();
        let missing = group.missing();
        let mut node = Node { on, degraded: !missing.is_empty(), ..Node::new(Kind::Group, group.name().to_owned()) };
        node.identity = group.id().to_string();
        let extent = group.view().map_or(0, |view| view.extent().0 / 2);
        let all = here + missing.len();
        node.description = format!("lvm2 group, {all} physical volumes, extents of {extent} KiB");
        node.warnings.extend(missing.iter().map(|missing| format!("physical volume {missing} is not here")));
        node.warnings.extend(group.notes().iter().cloned());
        let parent = self.add(node);
        for name in group.volumes() {
            let mut node = Node { on: vec![parent], ..Node::new(Kind::Volume, format!("{}/{name}", group.name())) };
            node.identity = format!("{}/{name}", group.id());
            match group.open(&name, options) {
                Ok(opened) => {
                    node.degraded = !opened.lost.is_empty()
                        || opened.array.as_ref().is_some_and(|array| array.members().any(|member| member.is_none()));
                    (node.description, node.warnings) = (opened.description, opened.warnings);
                    if !opened.lost.is_empty() && (opened.is_lost || !options.partial) {
                        node.refusal = Some(opened.lost.join("; "));
                    } else {
                        node.warnings.extend(opened.lost.iter().map(|lost| format!("lost: {lost}")));
                        (node.media, node.array, node.runs) = (Some(opened.media), opened.array, opened.runs);
                    }
                }
                Err(stop) => node.refusal = Some(stop.to_string()),
            }
            self.add(node);
        }
        let used: Vec<usize> = names.iter().map(|(_, node)| *node).collect();
        let ids: Vec<_> = group.present().map(Physical::id).collect();
        self.physical.retain(|(node, one)| !used.contains(node) && !ids.contains(&one.id()));
    }
}

/// The options for one array among several: members that are not its own are not its matter.
fn given(options: &OpenOptions, on: &[usize], layers: &Layers) -> OpenOptions {
    let own = |name: &&String| on.iter().any(|node| layers.nodes[*node].name == **name);
    OpenOptions { use_stale: options.use_stale.iter().filter(own).cloned().collect(), ..options.clone() }
}

/// True if every slot has a member that counts.
fn is_whole(found: &[Found], options: &OpenOptions) -> bool {
    let options = OpenOptions { use_stale: Vec::new(), ..options.clone() };
    verdicts(found, &options).is_ok_and(|(assembly, verdicts)| {
        let current =
            |slot| verdicts.iter().any(|verdict| matches!(verdict, Verdict::Current { slot: own, .. } if *own == slot));
        (0..assembly.slots).all(current)
    })
}
