//! The fuzz bodies of LVM2: bytes as a group's text, and as the start of a physical volume.

use crate::fuzz_words::{Listener, speaks};
use crate::image::Image;
use raid_formats::lvm::{self, AREA_HEADER_BYTES, Group, Kind, SCAN_BYTES, Section, Value};

/// The bytes are a text. What it says is walked to its last word.
pub fn lvm_text(data: &[u8]) {
    match Section::parse(data) {
        Ok(section) => {
            let words = walk(section, 0);
            assert!(words <= data.len(), "more items than bytes");
        }
        Err(refusal) => assert!(speaks(&refusal)),
    }
    match Group::parse(data) {
        Ok(group) => look_around(&group),
        Err(refusal) => assert!(speaks(&refusal)),
    }
}

/// Items in a section and in those below it.
fn walk(section: Section<'_>, depth: usize) -> usize {
    assert!(depth <= lvm::DEPTH_MAX, "deeper than the limit");
    let items = section.items().map(|item| match item.value {
        Value::Section(inner) => 1 + walk(inner, depth + 1),
        Value::List(list) => 1 + list.values().count(),
        Value::Number(_) | Value::Text(_) => 1,
    });
    items.sum()
}

fn look_around(group: &Group<'_>) {
    for physical in group.physical() {
        if let Err(refusal) = physical {
            assert!(speaks(&refusal));
        }
    }
    for volume in group.volumes() {
        let _ = (volume.id(), volume.visible());
        for segment in volume.segments() {
            let Ok(segment) = segment else { continue };
            // More extents than there can be are refused, not multiplied.
            let _ = (group.sectors(segment.extents), group.sectors(segment.start));
            let places = match segment.kind {
                Kind::Striped { areas, .. } | Kind::Mirror { areas, .. } => areas.iter().count(),
                Kind::Raid { images, .. } => images.iter().count(),
                Kind::Snapshot { .. } | Kind::Zero | Kind::Error | Kind::NotYet(_) => 0,
            };
            let _ = places;
        }
    }
}

/// The bytes are the start of a medium: label, areas, texts. Once as they are, once with the sums of label and areas made right.
pub fn lvm_label(data: &[u8]) {
    medium(data);
    medium(&sealed(data));
}

fn medium(data: &[u8]) {
    let source = Image(data);
    let mut buf = [0; SCAN_BYTES];
    let label = match lvm::find(&source, &mut buf) {
        Ok(label) => label,
        Err(fault) => return assert!(speaks(&fault)),
    };
    let at = usize::try_from(label.at().0 * 512).expect("one of the first four sectors");
    // A medium that ends within the sector reads as zeros from there on.
    assert!(data.get(at..).is_some_and(|rest| label.emit().starts_with(&rest[..rest.len().min(512)])));
    let mut listener = Listener::default();
    let dumped = lvm::dump::label(label.emit(), |field| listener.hear(&field));
    assert_eq!(dumped, Ok(()));
    assert!(label.data().count() + label.areas().count() <= 512 / 16);
    let _ = (label.id(), label.device_bytes(), label.extension());
    for place in label.areas() {
        let Ok(area) = lvm::read_area(&source, place) else { continue };
        for location in [area.committed, area.precommitted].into_iter().flatten() {
            assert!(location.len <= lvm::TEXT_BYTES_MAX);
            // The medium bounds what a caller allocates; a text that claims more is refused for its buffer.
            let mut text = vec![0; usize::try_from(location.len).unwrap_or(usize::MAX).min(data.len())];
            if let Ok(text) = lvm::read_text(&source, &area, &location, &mut text) {
                lvm_text(text);
            }
        }
    }
    for bytes in data.chunks(AREA_HEADER_BYTES).take(16) {
        let dumped = lvm::dump::area(bytes, |field| listener.hear(&field));
        assert_eq!(dumped.is_ok(), bytes.len() == AREA_HEADER_BYTES);
    }
}

/// The same medium with the right sum in every sector that could be a label, and in every area that a label names.
fn sealed(data: &[u8]) -> Vec<u8> {
    let mut image = data.to_vec();
    for sector in image.as_chunks_mut::<512>().0.iter_mut().take(4).filter(|sector| sector.starts_with(b"LABELONE")) {
        lvm::seal(sector);
    }
    let mut buf = [0; SCAN_BYTES];
    let areas: Vec<u64> = match lvm::find(&Image(&image), &mut buf) {
        Ok(label) => label.areas().map(|place| place.offset.get()).collect(),
        Err(_) => Vec::new(),
    };
    for start in areas {
        let header = usize::try_from(start).ok().and_then(|start| image.get_mut(start..)?.get_mut(..AREA_HEADER_BYTES));
        let Some(header) = header else { continue };
        header[24..32].copy_from_slice(&start.to_le_bytes());
        let sum = lvm::crc(&[&header[4..]]);
        header[..4].copy_from_slice(&sum.to_le_bytes());
    }
    image
}
