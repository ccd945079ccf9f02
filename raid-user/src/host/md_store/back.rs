//! A member that was away and comes back: what its superblock claims, and what it knew when it left.
//!
//! Linux takes it as one that lacks only what bits are set for if its events are not fewer than the bitmap's `events_cleared` (kernel
//! `md.c`, `super_1_validate`, `md_add_new_disk`). Here that and more is the core's decision; the store says which epoch of this run the
//! events stand for.

use std::io;

use raid_core::members::Away;
use raid_core::{Columns, Member, Sectors};
use raid_formats::assemble::Claimant as _;
use raid_formats::md::{self, Bitmap, RegionBits, Superblock, Version};
use raid_formats::record::{Record, Role, WriteLog};

use super::disk::{self, BitmapArea, Disk, First, HEADER_BYTES};
use super::spares::Coming;
use super::{MdStore, Shared, absent};
use crate::discover::{Found, MediaSource};
use crate::host::start::Slot;
use crate::host::start_error::check_block;
use crate::media::{Media as _, SharedMedia, SharedMediaMut};

/// What of a living member is the array's.
pub(super) struct Like {
    pub(super) block: Box<[u8; 4096]>,
    pub(super) version: Version,
    /// Size of its medium.
    pub(super) medium: Sectors,
    /// Its bitmap's area.
    pub(super) image: Option<Vec<u8>>,
}

fn refused<T>(why: impl Into<String>) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, why.into()))
}

impl MdStore {
    /// Gives a slot that is empty to who had it before.
    pub(super) fn take_back(&self, member: Member, media: SharedMediaMut) -> io::Result<(Slot, Away)> {
        let mut shared = self.shared();
        let slot = shared.said.slot(member);
        if shared.said.lives(member) {
            return refused(format!("slot {slot} is not free"));
        }
        check_block(&media).map_err(disk::other)?;
        let like = self.like(&shared).ok_or_else(|| absent(member))?;
        let Some(regions) = &self.regions else { return refused("without a bitmap nobody knows what it lacks") };
        let found = Found::inspect(&media.describe(), media.clone() as SharedMedia);
        let found = found.map_err(|none| io::Error::new(io::ErrorKind::InvalidData, none.to_string()))?;
        let Some(Ok(superblock)) = found.superblock() else { return refused("it has no MD superblock") };
        let lead = Superblock::parse(like.block.as_slice(), like.version, like.medium).map_err(disk::other)?;
        let record = *found.record();
        check_claim(slot, &superblock, &record, &lead.record())?;
        if has_bad_blocks(&media, &superblock)? {
            return refused("its list of bad blocks has entries");
        }
        let WriteLog::Bitmap(at) = record.log else { return refused("it has no bitmap") };
        let mut header = [0; HEADER_BYTES];
        media.read_at(disk::bytes(at)?, &mut header)?;
        let own = Bitmap::parse(&header).and_then(|bitmap| RegionBits::new(&bitmap)).map_err(disk::other)?;
        if own != *regions {
            return refused("its bitmap has another shape than the array's");
        }
        let number = match shared.said.numbers.contains(&Some(record.number)) {
            _ if shared.said.spares.contains(&record.number) => self.number_for(member, &lead, &shared),
            true if shared.said.numbers.get(usize::from(member.0)) != Some(&Some(record.number)) => {
                self.number_for(member, &lead, &shared)
            }
            _ => record.number,
        };
        let mut block = Box::new(*superblock.emit());
        let medium = Sectors::from_bytes_floor(media.size_bytes());
        md::rejoin(&mut block, &like.block, like.version, (medium, like.medium), number).map_err(disk::other)?;
        let missing = Columns::first(shared.said.health.members()).difference(record.table_in_sync);
        let missing = missing.difference(Columns::one(slot));
        let away = Away { knew: shared.knew(record.events), missing };
        let (seat, data_at) = (media.clone(), record.data.at);
        let back = Disk {
            media,
            version: like.version,
            block,
            events: 0,
            bitmap: like.image.map(|bytes| BitmapArea { at, bytes, whole: false }),
            first: Some(First { bad_blocks: None }),
            bad_blocks: record.bad_blocks.is_some(),
            failed: false,
        };
        self.seat(&mut shared, member, back, Coming { number, was: None });
        Ok((Slot { media: Some(seat), data_at }, away))
    }

    /// The first living member that can be asked.
    pub(super) fn like(&self, shared: &Shared) -> Option<Like> {
        let mut living = self.seats().filter(|other| shared.said.lives(*other));
        living.find_map(|other| {
            let like = |disk: &mut Disk| {
                let image = disk.bitmap.as_ref().map(|bitmap| bitmap.bytes.clone());
                Ok(Like { block: disk.block.clone(), version: disk.version, medium: disk.medium(), image })
            };
            self.with_disk(other, like).ok()
        })
    }
}

/// It says that it was this member of this array, with all its data or on the way to that by the bitmap.
fn check_claim(member: Member, superblock: &Superblock<'_>, own: &Record, lead: &Record) -> io::Result<()> {
    if own.array != lead.array || own.format != lead.format {
        return refused("it is no member of this array");
    }
    match own.role {
        Role::Slot(slot) if slot == u16::from(member.0) => {}
        Role::Slot(slot) => return refused(format!("it was in slot {slot}")),
        _ => return refused("it held no slot"),
    }
    if own.shape != lead.shape || own.used != lead.used || own.reshape.is_some() {
        return refused("the array had another shape when it left");
    }
    if own.replacement {
        return refused("it was a replacement in the making");
    }
    if own.sync_mark.is_some() && !superblock.recovers_by_bitmap() {
        return refused("it was not filled yet when it left");
    }
    Ok(())
}

fn has_bad_blocks(media: &SharedMediaMut, superblock: &Superblock<'_>) -> io::Result<bool> {
    let mut bad = vec![raid_core::Extent::default(); md::bad_blocks::ENTRIES_MAX];
    let read = md::read_bad_blocks(&MediaSource(media.as_ref()), superblock, &mut bad);
    Ok(read.map_err(disk::other)? > 0)
}
