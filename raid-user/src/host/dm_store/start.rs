//! From images with their metadata devices to a running array.

use std::sync::Mutex;

use raid_core::rows::{RowKind, RowNo};
use raid_core::{Sector, Sectors};
use raid_formats::assemble::Claimant as _;
use raid_formats::dm::{BITMAP_BYTES, Said};
use raid_formats::md;
use raid_formats::record::{Sync, WriteLog};

use super::{BLOCK_BYTES, Disk, DmStore, Own, PAGE_WORDS, Shared};
use crate::array::{Judged, OpenOptions};
use crate::discover::{DeviceMut, Found, MediaSource};
use crate::host::assembled::{Assembled, Current};
use crate::host::marks::{Gathered, Marks};
use crate::host::start::Start;
use crate::host::start_error::{StartError, check_block, not_yet};
use crate::media::{Media as _, SharedMediaMut};

/// An image of the array, opened for writing.
#[derive(Clone)]
pub struct Image {
    /// The slot that it is for.
    pub slot: u16,
    /// What its metadata say; nothing if they are not to be believed, and it has to be filled.
    pub found: Option<Found>,
    /// Its data.
    pub data: SharedMediaMut,
    /// The device with its metadata.
    pub meta: SharedMediaMut,
}

/// Makes the array of these images ready to run.
///
/// # Errors
/// [`StartError`].
pub fn dm_start(images: Vec<Image>, options: &OpenOptions) -> Result<Start, StartError> {
    let believed: Vec<(Found, &Image)> =
        images.iter().filter_map(|image| Some((image.found.clone()?, image))).collect();
    let found = believed.iter().map(|(found, _)| found.clone()).collect();
    let judged = Judged::new(found, &OpenOptions { partial: false, ..options.clone() })?;
    if judged.lead().reshape.is_some() {
        return not_yet("writing in the middle of a reshape");
    }
    let images_believed = believed.iter().map(|(_, image)| *image);
    let assembled = Assembled::new(&judged, images_believed, options)?;
    for Current { with: image, .. } in assembled.slots.iter().flatten() {
        check_block(&image.data)?;
        check_block(&image.meta)?;
    }
    let health = assembled.health(Current::event)?;
    let marks = marks(&judged, &assembled)?;
    let slots = assembled.slots(judged.lead().data.at, |image| &image.data);
    let Assembled { rows, slots: members, dirty } = assembled;
    let (doubt, marked) = marks.judge(&rows, &health, dirty, options)?;
    let disks = members.iter().map(|member| member.as_ref().map(|member| disk(member, &marks)).transpose());
    let disks = disks.collect::<Result<Vec<_>, _>>()?;
    let own = |slot: usize| images.iter().find(|image| usize::from(image.slot) == slot);
    let own = |slot| own(slot).map(|image| Own { data: image.data.clone(), meta: image.meta.clone() });
    let own = (0..slots.len()).map(own).collect();
    // The bits say where.
    let sync = if dirty { Sync::DirtyFrom(Sector(0)) } else { Sync::Clean };
    let said = Said::so_far(judged.lead().events, health, sync);
    let store = DmStore {
        shared: Mutex::new(Shared { said, own }),
        disks: disks.into_iter().map(Mutex::new).collect(),
        regions: marks.regions,
    };
    let (region_rows, log_page_words, doubt_from) = (marks.region_rows, PAGE_WORDS, RowNo(0));
    Ok(Start { rows, health, slots, region_rows, log_page_words, doubt, marked, doubt_from, store: Box::new(store) })
}

/// The same of the devices that a table's line names.
pub(in crate::host) fn dm_start_of(devices: Vec<DeviceMut>, options: &OpenOptions) -> Result<Start, StartError> {
    let image = |device: DeviceMut| {
        let DeviceMut { slot, data, metadata: meta, found } = device;
        Image { slot, found, data, meta }
    };
    dm_start(devices.into_iter().map(image).collect(), options)
}

/// What the bitmaps say together.
fn marks(judged: &Judged, assembled: &Assembled<'_, &Image>) -> Result<Marks, StartError> {
    let rows = &assembled.rows;
    let (WriteLog::Bitmap(at), false) = (judged.lead().log, rows.kind() == RowKind::Plain) else {
        return Ok(Marks::flag(rows, assembled.dirty));
    };
    let mut gathered = Gathered::default();
    for Current { found, mark, with: image } in assembled.slots.iter().flatten() {
        gathered.header(found.name(), &image.meta, at)?;
        let log = ([0; 16], found.record().events);
        let read = |chunk| {
            gathered.chunks.insert(chunk);
        };
        let summary = md::read_bitmap_at(&MediaSource(image.meta.as_ref()), at, log, &mut [0; 8192], read);
        let summary =
            summary.map_err(|fault| StartError::Contradiction(format!("{}: bitmap: {fault}", found.name())))?;
        gathered.believed |= !summary.stale && mark.is_none() && found.record().events == judged.lead().events;
    }
    gathered.marks(rows)
}

/// A member's metadata. Its bitmap has what all say together, as soon as it is written.
fn disk(member: &Current<'_, &Image>, marks: &Marks) -> Result<Disk, StartError> {
    let Current { found, with: image, .. } = member;
    let named = |error: std::io::Error| StartError::Contradiction(format!("{}: {error}", found.name()));
    let mut block = [0; BLOCK_BYTES];
    image.meta.read_at(0, &mut block).map_err(named)?;
    let mut bitmap = Vec::new();
    if let Some(regions) = &marks.regions {
        let len = usize::try_from(regions.area_bytes()).unwrap_or(usize::MAX).next_multiple_of(BLOCK_BYTES);
        bitmap.resize(len, 0);
        image.meta.read_at(BITMAP_BYTES, &mut bitmap).map_err(named)?;
        regions.put(&mut bitmap, 0, &marks.words());
    }
    let data = Sectors::from_bytes_floor(image.data.size_bytes());
    Ok(Disk { meta: image.meta.clone(), data, block, bitmap, whole: false, new: false, fault: None })
}
