//! What device-mapper targets keep beside the data, field by field.

use raid_core::Sector;
use raid_formats::dm;
use raid_formats::dump::Field;
use raid_formats::md;

use super::super::open::media_options;
use super::{ExamineArgs, Examined, Look, push};
use crate::discover::Beside;
use crate::media::{self, Media, MediaSpec};

/// Bytes of a bitmap that are told: its header.
const BITMAP_BYTES: usize = 512;
type Visit<'a> = &'a mut dyn FnMut(Field);
type Dump<'a> = &'a dyn Fn(&[u8], Visit<'_>) -> Result<(), md::Refusal>;

/// Where dm-raid has its bitmap.
const BITMAP_AT: Sector = Sector(8);

/// The medium of that name, if it holds such a record.
pub(super) fn beside(name: &str, args: &ExamineArgs, look: Look) -> Option<Examined> {
    let spec = MediaSpec::parse(name.as_ref()).ok()?;
    let media = media::open(&spec, &media_options(args.follow_references)).ok()?.media;
    let (kind, head) = Beside::find(media.as_ref()).ok()??;
    let (mut records, mut notes) = (Vec::new(), Vec::new());
    let (name_of, len) = match kind {
        Beside::Raid => ("superblock", dm::RAID_BYTES),
        Beside::Mirror => ("log", 512),
        Beside::Snapshot => ("store", 512),
    };
    let bytes = head.get(..len).unwrap_or(&head);
    push(&mut records, &mut notes, name_of, Sector(0), bytes, look, |bytes, visit: Visit<'_>| match kind {
        Beside::Raid => dm::dump::raid(bytes, visit),
        Beside::Mirror => dm::dump::mirror(bytes, visit),
        Beside::Snapshot => dm::dump::snapshot(bytes, visit),
    });
    let mut behind = |record, at: Sector, len: usize, dump: Dump<'_>| {
        let mut bytes = vec![0; len];
        match media.read_at(at.bytes().unwrap_or(u64::MAX), &mut bytes) {
            Ok(()) => {
                push(&mut records, &mut notes, record, at, &bytes, look, |bytes, visit: Visit<'_>| dump(bytes, visit))
            }
            Err(error) => notes.push(format!("{record}: {error}")),
        }
    };
    match kind {
        Beside::Raid => behind("bitmap", BITMAP_AT, BITMAP_BYTES, &|bytes, visit| md::dump::bitmap(bytes, visit)),
        Beside::Mirror => {}
        Beside::Snapshot => {
            if let Ok(store) = dm::Store::parse(&head) {
                behind("exceptions", Sector(store.chunk().0), 4096, &|bytes, visit| {
                    dm::dump::exceptions(bytes, visit);
                    Ok(())
                });
            }
        }
    }
    Some(Examined::new(name, kind.name(), records, notes, look))
}
