//! From physical volumes to groups: whose text counts, who belongs, who is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use raid_formats::lvm::{Group, Id, Refusal};

use super::physical::Text;
use super::{Physical, shown};

/// A group, told by the newest text that was found, and its physical volumes as far as they are here.
pub struct VolumeGroup {
    name: String,
    id: Id,
    seqno: u64,
    text: Arc<[u8]>,
    present: BTreeMap<Id, Physical>,
    missing: Vec<String>,
    notes: Vec<String>,
}

impl VolumeGroup {
    /// Sorts physical volumes into groups. Those that no group names are given back, with a sentence each.
    #[must_use]
    pub fn sort(physical: Vec<Physical>) -> (Vec<Self>, Vec<(Physical, String)>) {
        let mut groups: Vec<Self> = Vec::new();
        for text in newest(&physical) {
            groups.extend(Self::told(text));
        }
        let mut strays = Vec::new();
        for one in physical {
            if let Err(stray) = place(&mut groups, one) {
                strays.push(*stray);
            }
        }
        for group in &mut groups {
            group.note_missing();
        }
        groups.retain(|group| !group.present.is_empty());
        (groups, strays)
    }

    fn told(text: &Text) -> Option<Self> {
        let group = Group::parse(&text.bytes).ok()?;
        Some(Self {
            name: shown(group.name()),
            id: text.group,
            seqno: text.seqno,
            text: Arc::clone(&text.bytes),
            present: BTreeMap::new(),
            missing: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identity.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    /// How often its text was written.
    #[must_use]
    pub const fn seqno(&self) -> u64 {
        self.seqno
    }

    /// Its physical volumes that are here.
    pub fn present(&self) -> impl Iterator<Item = &Physical> {
        self.present.values()
    }

    /// Those that are not, in words.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// What people should know: older texts, doubles.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The view of its text.
    ///
    /// # Errors
    /// None: it was parsed once already.
    pub fn view(&self) -> Result<Group<'_>, Refusal> {
        Group::parse(&self.text)
    }

    pub(super) fn member(&self, id: Id) -> Option<&Physical> {
        self.present.get(&id)
    }

    fn names(&self, id: Id) -> bool {
        self.view().is_ok_and(|view| view.physical().filter_map(Result::ok).any(|known| known.id == id))
    }

    fn note_missing(&mut self) {
        let Ok(view) = Group::parse(&self.text) else { return };
        for known in view.physical().filter_map(Result::ok).filter(|known| !self.present.contains_key(&known.id)) {
            let hint =
                if known.device.is_empty() { String::new() } else { format!(", last seen as {}", shown(known.device)) };
            self.missing.push(format!("{} ({}{hint})", shown(known.name), known.id));
        }
    }
}

/// The newest text of each group.
fn newest(physical: &[Physical]) -> Vec<&Text> {
    let mut texts: Vec<&Text> = Vec::new();
    for text in physical.iter().filter_map(Physical::told) {
        match texts.iter_mut().find(|held| held.group == text.group) {
            Some(held) if held.seqno < text.seqno => *held = text,
            Some(_) => {}
            None => texts.push(text),
        }
    }
    texts
}

/// Puts a physical volume into the group that it belongs to: that of its own text, if the newest text of it still names it; without a text,
/// the one that names it.
fn place(groups: &mut [VolumeGroup], one: Physical) -> Result<(), Box<(Physical, String)>> {
    let claims: Vec<usize> = (0..groups.len()).filter(|index| groups[*index].names(one.id())).collect();
    let own = one.told().map(|text| text.group);
    let chosen = match own {
        Some(own) => claims.iter().copied().find(|index| groups[*index].id == own),
        None => claims.first().copied().filter(|_| claims.len() == 1),
    };
    let Some(index) = chosen else {
        let why = match (own, claims.len()) {
            (Some(_), _) => "the newest text of its group does not name it: it was taken out",
            (None, 0) => "no group that is here names it, and it carries no text",
            (None, _) => "several groups name it, and it carries no text",
        };
        return Err(Box::new((one, why.to_owned())));
    };
    let group = &mut groups[index];
    if let Some(text) = one.told().filter(|text| text.seqno < group.seqno) {
        let (name, seqno, newest) = (one.name(), text.seqno, group.seqno);
        group.notes.push(format!("{name}: its text is older ({seqno}, the newest is {newest}) and does not count"));
    }
    if let Some(text) = one.told().filter(|text| text.seqno == group.seqno && text.bytes != group.text) {
        let (name, seqno) = (one.name(), text.seqno);
        group.notes.push(format!("{name}: its text has the same number ({seqno}) as the one that counts, and differs"));
    }
    group.notes.extend(one.notes().iter().cloned());
    let seqno = |physical: &Physical| physical.told().map(|text| text.seqno);
    match group.present.get(&one.id()) {
        Some(twin) if seqno(twin) >= seqno(&one) => {
            group.notes.push(format!("{}: another copy of {}; left out", one.name(), twin.name()));
        }
        twin => {
            if let Some(twin) = twin {
                group.notes.push(format!("{}: an older copy of {}; left out", twin.name(), one.name()));
            }
            group.present.insert(one.id(), one);
        }
    }
    Ok(())
}
