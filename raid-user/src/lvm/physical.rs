//! A physical volume: a medium with a label, and the group's text as it stands there.

use std::sync::Arc;

use raid_formats::lvm::{self, Group, Id};

use crate::discover::MediaSource;
use crate::media::SharedMedia;

/// A medium that is a physical volume.
#[derive(Clone)]
pub struct Physical {
    name: String,
    media: SharedMedia,
    id: Id,
    device_bytes: u64,
    label: Box<[u8; 512]>,
    /// The text, and the group's identity and number in it.
    text: Option<Text>,
    /// What is damaged, as sentences.
    notes: Vec<String>,
}

/// A group's text.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) bytes: Arc<[u8]>,
    pub(super) group: Id,
    pub(super) seqno: u64,
}

impl Text {
    fn new(bytes: &[u8]) -> Result<Self, lvm::Refusal> {
        let group = Group::parse(bytes)?;
        Ok(Self { group: group.id(), seqno: group.seqno(), bytes: bytes.into() })
    }
}

impl Physical {
    /// The identity that a label gives the medium, and no look at the group's text; `None` without a sound label.
    #[must_use]
    pub fn labelled(media: &SharedMedia) -> Option<Id> {
        lvm::find(&MediaSource(media.as_ref()), &mut [0; lvm::SCAN_BYTES]).ok().map(|label| label.id())
    }

    /// Looks for a label; `None` if there is none.
    ///
    /// # Errors
    /// What is wrong with a label that is damaged.
    pub fn inspect(name: &str, media: SharedMedia) -> Result<Option<Self>, String> {
        let source = MediaSource(media.as_ref());
        let mut buf = [0; lvm::SCAN_BYTES];
        let label = match lvm::find(&source, &mut buf) {
            Ok(label) => label,
            Err(fault) if fault.is_absence() => return Ok(None),
            Err(fault) => return Err(fault.to_string()),
        };
        let mut notes = Vec::new();
        let mut text: Option<Text> = None;
        for place in label.areas() {
            match read(&source, place) {
                Ok(found) => {
                    if text.as_ref().is_none_or(|held| held.seqno < found.seqno) {
                        text = Some(found);
                    }
                }
                Err(lvm::Fault::Refused(lvm::Refusal::NoText)) => {}
                Err(fault) => notes.push(format!("{name}: {fault}")),
            }
        }
        let (id, device_bytes, label) = (label.id(), label.device_bytes(), Box::new(*label.emit()));
        if device_bytes > media.size_bytes() {
            let size = media.size_bytes();
            notes.push(format!("{name}: cut short: it had {device_bytes} bytes, here are {size}"));
        }
        Ok(Some(Self { name: name.to_owned(), media: media.clone(), id, device_bytes, label, text, notes }))
    }

    /// The medium as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The medium.
    #[must_use]
    pub fn media(&self) -> &SharedMedia {
        &self.media
    }

    /// Its identity.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    /// Bytes that it had when its label was written.
    #[must_use]
    pub const fn device_bytes(&self) -> u64 {
        self.device_bytes
    }

    /// The sector that holds its label.
    #[must_use]
    pub fn label(&self) -> &[u8; 512] {
        &self.label
    }

    /// The group's text as it stands here.
    #[must_use]
    pub fn text(&self) -> Option<&[u8]> {
        self.text.as_ref().map(|text| &*text.bytes)
    }

    pub(super) const fn told(&self) -> Option<&Text> {
        self.text.as_ref()
    }

    /// What is damaged.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

fn read(source: &MediaSource<'_>, place: lvm::RawPlace) -> Result<Text, lvm::Fault<std::io::Error>> {
    let area = lvm::read_area(source, place)?;
    let location = area.committed.ok_or(lvm::Refusal::NoText)?;
    // An area lies within its medium, or reading it fails: no allocation is larger than what is there.
    let len = location.len.min(raid_formats::source::Source::size_bytes(source));
    let mut buf = vec![0; usize::try_from(len).unwrap_or(0)];
    let text = lvm::read_text(source, &area, &location, &mut buf)?;
    Ok(Text::new(text)?)
}
