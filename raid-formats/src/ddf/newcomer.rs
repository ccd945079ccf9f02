//! The records of a disk that joins a configuration: those of a disk that is in it, with another owner.
//!
//! Everything lies as far from the new disk's end as from the other's. Of the configuration records only that of the volume which it joins
//! comes along; other volumes' and spare assignments are the other disk's own. The anchor is written last: without it there are no records.
//!
//! Source: SNIA DDF 2.0, section 5.3 (one configuration, the same tables on all of its disks); `mdadm`, `super-ddf.c` (`add_to_super_ddf`,
//! `write_init_super_ddf`).

use super::{
    crc::Form,
    guid::Guid,
    metadata::Metadata,
    patch::{Patch, with_header},
    place::{Anchor, Place, Set, sectors_per_block},
    probe::BLOCK_BYTES_MAX,
    raw::{BadBlockHead, Config, DiskData, Header, MAGIC_BAD_BLOCKS, MAGIC_CONFIG, MAGIC_DISK, RECORD_BYTES},
    refusal::Refusal,
    update::{Write, write_set},
    word::{Full, Half, Wide},
};
use crate::{assemble::Claimant as _, md};
use raid_core::{Extent, Sector, Sectors};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// A disk that joins. The tables have it already, and the volume has it as a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// Its identity.
    pub guid: Guid,
    /// Its reference.
    pub reference: u32,
    /// Its size.
    pub medium: Sectors,
    /// The volume that it is a member of.
    pub volume: Guid,
}

/// Where data must end on a disk of that size, which gets its records as the disk of `like` has them.
///
/// # Errors
/// The disk is too small.
pub fn room(like: &Metadata, medium: Sectors) -> Result<Sector, Refusal> {
    let header = moved(like, medium)?;
    let (place, order) = (like.place(), like.place().order);
    let starts = [header.primary_lba, header.secondary_lba, header.workspace_lba].map(|lba| lba.get(order));
    let first = starts.into_iter().filter(|lba| !matches!(*lba, 0 | u64::MAX)).min().unwrap_or(0);
    Ok(Sector(first.saturating_mul(sectors_per_block(place.block_bytes))))
}

/// Makes the records of a disk that joins in `buf`, as long as those of `like`, and has them written: both sets, then the anchor.
///
/// `like` is a disk of the same element, brought up to date already; `anchor` is its anchor.
///
/// # Errors
/// [`Refusal`] before anything is written if the disk is too small, or `like` does not have it as a member; later only what `write`
/// returns.
pub fn newcomer<E: From<Refusal>>(
    like: &Metadata,
    anchor: &Anchor,
    new: &Newcomer,
    buf: &mut [u8],
    mut write: impl FnMut(Write) -> Result<(), E>,
) -> Result<(), E> {
    let (old, order) = (like.place(), like.place().order);
    let header = moved(like, new.medium)?;
    let place = |set: Set| Place {
        set,
        lba: if set == Set::Primary { header.primary_lba } else { header.secondary_lba }.get(order),
        open: false,
        medium: new.medium,
        ..old
    };
    let mut patch = Patch::new(like, buf).ok_or(Refusal::NoEntry { what: "so long a set" })?;
    own_configs(&mut patch, like, new)?;
    own_disk(&mut patch, like, new)?;
    forget_bad_blocks(&mut patch, like)?;
    let primary = place(Set::Primary);
    with_header(patch.first_block(), order, |own| {
        (own.primary_lba, own.secondary_lba) = (header.primary_lba, header.secondary_lba);
        own.workspace_lba = header.workspace_lba;
        own.header_type = Set::Primary as u8;
    });
    let bytes = patch.into_bytes();
    check(&Metadata::parse(bytes, &primary)?, like, new)?;
    let mut room = [0; BLOCK_BYTES_MAX];
    if !matches!(header.secondary_lba.get(order), 0 | u64::MAX) {
        write_set(bytes, None, (&place(Set::Secondary), &mut room), &mut write)?;
    }
    write_set(bytes, None, (&primary, &mut room), &mut write)?;
    write_anchor(anchor, &header, new.medium, &mut write)
}

/// Blocks of a medium.
fn blocks(medium: Sectors, block_bytes: u32) -> u64 {
    medium.0.checked_div(sectors_per_block(block_bytes)).unwrap_or(0)
}

/// The header of `like` with the places that it has on a disk of another size.
fn moved(like: &Metadata, medium: Sectors) -> Result<Header, Refusal> {
    let (place, order) = (like.place(), like.place().order);
    let (old, new) = (blocks(place.medium, place.block_bytes), blocks(medium, place.block_bytes));
    let shift = |lba: Wide| -> Result<Wide, Refusal> {
        match lba.get(order) {
            0 | u64::MAX => Ok(lba),
            at => {
                let from_end = old.saturating_sub(at);
                let expected = from_end.saturating_add(1).saturating_mul(sectors_per_block(place.block_bytes));
                let too_small = md::Refusal::MediumTooSmall { found: medium.0, expected };
                let at = new.checked_sub(from_end).filter(|at| *at > 0).ok_or(Refusal::of("disk", too_small))?;
                Ok(Wide::new(order, at))
            }
        }
    };
    let mut header = *like.header();
    header.primary_lba = shift(header.primary_lba)?;
    header.secondary_lba = shift(header.secondary_lba)?;
    header.workspace_lba = shift(header.workspace_lba)?;
    Ok(header)
}

/// Keeps the configuration record of which the new disk is a member, and frees the places of the others.
fn own_configs(patch: &mut Patch, like: &Metadata, new: &Newcomer) -> Result<(), Refusal> {
    let order = like.place().order;
    let is_of_volume = |bytes: &[u8]| {
        Config::ref_from_prefix(bytes)
            .is_ok_and(|(config, _)| config.signature.get(order) == MAGIC_CONFIG && config.guid == new.volume)
    };
    let len = like.config_bytes().max(1);
    for record in patch.section(like.header().config)?.chunks_mut(len) {
        if !is_of_volume(record) || !like.is_member(record, new.reference) {
            record.fill(0xFF);
        }
    }
    Ok(())
}

/// Says which disk this is.
fn own_disk(patch: &mut Patch, like: &Metadata, new: &Newcomer) -> Result<(), Refusal> {
    let order = like.place().order;
    let bytes = patch.section(like.header().disk_data)?;
    let form = Form::of(bytes, RECORD_BYTES, order).unwrap_or(Form { inverted: false, len: RECORD_BYTES });
    let mut disk = DiskData::new_zeroed();
    disk.as_mut_bytes().fill(0xFF);
    disk.signature = Full::new(order, MAGIC_DISK);
    disk.guid = new.guid;
    disk.reference = Full::new(order, new.reference);
    // Both were made up.
    disk.forced_reference = 1;
    disk.forced_guid = 1;
    disk.write_to_prefix(bytes).map_err(|_| Refusal::NoEntry { what: "physical disk data" })?;
    form.seal(bytes, order);
    Ok(())
}

/// Bad blocks are those of the other disk.
fn forget_bad_blocks(patch: &mut Patch, like: &Metadata) -> Result<(), Refusal> {
    let order = like.place().order;
    let section = like.header().bad_blocks;
    if section.run(order).is_none() {
        return Ok(());
    }
    let bytes = patch.section(section)?;
    let form = Form::of(bytes, RECORD_BYTES, order);
    let Ok((head, rest)) = BadBlockHead::mut_from_prefix(bytes) else { return Ok(()) };
    if head.signature.get(order) == MAGIC_BAD_BLOCKS {
        head.entry_count = Half::new(order, 0);
        rest.fill(0xFF);
        if let Ok(form) = form {
            form.seal(bytes, order);
        }
    }
    Ok(())
}

/// The records must make the disk a member, with data that end before them.
fn check(own: &Metadata, like: &Metadata, new: &Newcomer) -> Result<(), Refusal> {
    let volume = own.volume(new.volume).ok_or(Refusal::NotInTable { reference: new.reference })?;
    let Extent { at, len } = volume.record().data;
    let room = room(like, new.medium)?;
    let end = at.0.saturating_add(len.0);
    if end > room.0 {
        let (at, len_sectors, medium_sectors) = (i128::from(at.0), len.0, room.0);
        let refusal = md::Refusal::Outside { what: "part of the virtual disk", at, len_sectors, medium_sectors };
        return Err(Refusal::of("configuration record", refusal));
    }
    Ok(())
}

fn write_anchor<E: From<Refusal>>(
    like: &Anchor,
    header: &Header,
    medium: Sectors,
    write: &mut impl FnMut(Write) -> Result<(), E>,
) -> Result<(), E> {
    let per_block = sectors_per_block(like.block_bytes);
    let from_end = blocks(like.medium, like.block_bytes).saturating_sub(like.at.0.checked_div(per_block).unwrap_or(0));
    let at = blocks(medium, like.block_bytes).saturating_sub(from_end).saturating_mul(per_block);
    let mut block = [0xFF; BLOCK_BYTES_MAX];
    let len = usize::try_from(like.block_bytes).unwrap_or(BLOCK_BYTES_MAX);
    let bytes = block.get_mut(..len).ok_or(Refusal::NoEntry { what: "so long a block" })?;
    let mut anchor = like.header;
    (anchor.primary_lba, anchor.secondary_lba) = (header.primary_lba, header.secondary_lba);
    anchor.workspace_lba = header.workspace_lba;
    anchor.write_to_prefix(bytes).map_err(|_| Refusal::NoEntry { what: "so long a block" })?;
    // Over its 512 bytes alone, as every reader tries it.
    let inverted = Form::of(like.header.as_bytes(), RECORD_BYTES, like.order).is_ok_and(|form| form.inverted);
    Form { inverted, len: RECORD_BYTES }.seal(bytes, like.order);
    write(Write { at: Sector(at), bytes, flush: true })
}
