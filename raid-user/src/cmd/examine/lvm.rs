//! A physical volume of LVM: its records field by field, and what its group's text says in sentences.

use raid_core::{SECTOR_BYTES, Sector};
use raid_formats::dump::Field;
use raid_formats::lvm::{self, Group, Kind, Segment, Volume};
use raid_formats::record::Format;

use super::super::text;
use super::{Examined, Look, Told};
use crate::array::level_name;
use crate::lvm::Physical;

/// A dump of LVM's records.
type LvmDump<'a> = &'a dyn Fn(&[u8], &mut dyn FnMut(Field)) -> Result<(), lvm::Refusal>;

/// A physical volume: its label, the headers of its metadata areas, and whose text it carries.
pub(super) fn physical(one: &Physical, look: Look) -> Examined {
    let mut told = Told::new(look, one.notes().to_vec());
    let mut tell = |name, at, dump: LvmDump<'_>| {
        told.area(one.media().as_ref(), name, (at, lvm::AREA_HEADER_BYTES), dump);
    };
    let label = one.label();
    // It passed its checks once, so it names its own sector.
    let parsed = (0..4).find_map(|sector| lvm::Label::parse(label, sector).ok());
    let at = parsed.as_ref().map_or(Sector(0), lvm::Label::at);
    tell("label", at, &|bytes, visit| lvm::dump::label(bytes, visit));
    for place in parsed.iter().flat_map(lvm::Label::areas) {
        tell("metadata area", Sector(place.offset.get() / SECTOR_BYTES), &|bytes, visit| lvm::dump::area(bytes, visit));
    }
    if let Some(group) = one.text().and_then(|text| Group::parse(text).ok()) {
        let (name, seqno) = (group.name().escape_ascii(), group.seqno());
        told.notes.push(format!("Its text is of group {name} ({}), number {seqno}.", group.id()));
        told.notes.extend(group.volumes().map(|volume| tell_volume(&volume)));
    }
    told.of(one.name(), Format::Lvm2.name())
}

/// A volume in a sentence, segment by segment.
fn tell_volume(volume: &Volume<'_>) -> String {
    let hidden = if volume.visible() { "" } else { ", a part of another" };
    let segments: Vec<String> = volume
        .segments()
        .map(|segment| segment.map_or_else(|refusal| refusal.to_string(), |segment| tell_segment(&segment)))
        .collect();
    format!("Volume {}{hidden}: {}.", volume.name.escape_ascii(), segments.join("; "))
}

fn tell_segment(segment: &Segment<'_>) -> String {
    let kind = match segment.kind {
        Kind::Striped { areas, count: 1, .. } => {
            let area = areas.iter().next();
            let place = area.map(|area| format!("{} from extent {}", area.name.escape_ascii(), area.extent));
            format!("on {}", place.unwrap_or_else(|| "nothing".to_owned()))
        }
        Kind::Striped { areas, count, chunk } => {
            let names: Vec<String> =
                areas.iter().map(|area| format!("{} from extent {}", area.name.escape_ascii(), area.extent)).collect();
            format!("{count} stripes of {}: {}", size(chunk), names.join(", "))
        }
        Kind::Mirror { count, log, .. } => {
            let log = log.map_or_else(|| "no log on disk".to_owned(), |log| format!("log {}", log.escape_ascii()));
            format!("mirror of {count} legs, {log}")
        }
        Kind::Raid { level, images, chunk } => {
            let layout = text::layout(level).map(|layout| format!(" {layout}")).unwrap_or_default();
            let chunk = if chunk.0 == 0 { String::new() } else { format!(", chunk {}", size(chunk)) };
            format!("{}{layout} of {} images{chunk}", level_name(level), images.iter().count())
        }
        Kind::Snapshot { origin, store, chunk, merging } => {
            let merging = if merging { ", merging" } else { "" };
            let (origin, store) = (origin.escape_ascii(), store.escape_ascii());
            format!("snapshot of {origin} in {store}, chunk {}{merging}", size(chunk))
        }
        Kind::Zero => "zeros".to_owned(),
        Kind::Error => "errors".to_owned(),
        Kind::NotYet(kind) => format!("{}, which is not read yet", kind.escape_ascii()),
    };
    format!("{} extents from {}, {kind}", segment.extents, segment.start)
}

fn size(sectors: raid_core::Sectors) -> String {
    text::size(sectors.0.saturating_mul(SECTOR_BYTES))
}
