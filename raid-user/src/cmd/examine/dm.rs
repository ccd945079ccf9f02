//! What device-mapper targets keep beside the data, field by field.

use std::convert::Infallible;

use raid_core::Sector;
use raid_formats::dm;
use raid_formats::dump::Field;
use raid_formats::md;

use super::{Examined, Look, Told};
use crate::discover::Beside;
use crate::media::Media;

/// Bytes of a bitmap that are told: its header.
const BITMAP_HEAD_BYTES: usize = 512;
type Visit<'a> = &'a mut dyn FnMut(Field);

/// The medium of that name, if it holds such a record.
pub(super) fn beside(name: &str, media: &dyn Media, look: Look) -> Option<Examined> {
    let (kind, head) = Beside::find(media).ok()??;
    let mut told = Told::new(look, Vec::new());
    let (name_of, len) = match kind {
        Beside::Raid => ("superblock", dm::RAID_BYTES),
        Beside::Mirror => ("log", 512),
        Beside::Snapshot => ("store", 512),
    };
    let bytes = head.get(..len).unwrap_or(&head);
    told.push(name_of, Sector(0), bytes, |bytes, visit: Visit<'_>| match kind {
        Beside::Raid => dm::dump::raid(bytes, visit),
        Beside::Mirror => dm::dump::mirror(bytes, visit),
        Beside::Snapshot => dm::dump::snapshot(bytes, visit),
    });
    match kind {
        Beside::Raid => {
            let bitmap = (dm::BITMAP_AT, BITMAP_HEAD_BYTES);
            told.area(media, "bitmap", bitmap, |bytes, visit| md::dump::bitmap(bytes, visit));
        }
        Beside::Mirror => {}
        Beside::Snapshot => {
            if let Ok(store) = dm::Store::parse(&head) {
                told.area(media, "exceptions", (Sector(store.chunk().0), 4096), |bytes, visit| {
                    dm::dump::exceptions(bytes, visit);
                    Ok::<(), Infallible>(())
                });
            }
        }
    }
    Some(told.of(name, kind.name()))
}
