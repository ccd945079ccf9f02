//! Looking for DDF on a medium: the anchor, then both sets, then the choice between them.
//!
//! Source: SNIA DDF 2.0, section 5.3 (the anchor is the last block); `mdadm`, `super-ddf.c` (choice between the sets) and util-linux,
//! `ddf_raid.c` (Adaptec's anchor, 257 blocks from the end).

use super::{
    metadata::{Metadata, Twin},
    place::{Anchor, Place, Set},
    raw::{Header, RECORD_BYTES},
    refusal::{Fault, Refusal},
    word::Order,
};
use crate::{fault, md, source::Source};
use raid_core::{Sector, Sectors};
use zerocopy::FromBytes;

/// Anchors are so many blocks from the end: as specified, and Adaptec's.
const ANCHOR_BLOCKS: [u64; 2] = [1, 257];
/// Blocks that are known.
const BLOCK_BYTES: [u32; 2] = [512, 4096];
/// The larger of them.
pub(super) const BLOCK_BYTES_MAX: usize = 4096;

/// Room for a block, for hosts whose stack has none.
pub type BlockRoom = [u8; BLOCK_BYTES_MAX];

/// What lies on a medium.
#[derive(Debug)]
pub struct Probe<E> {
    /// The anchor.
    pub anchor: Anchor,
    /// The primary set, or why it cannot be used.
    pub primary: Result<Place, Fault<E>>,
    /// The secondary set, or why it cannot be used.
    pub secondary: Result<Place, Fault<E>>,
}

impl<E> Probe<E> {
    /// Bytes that [`read`] needs.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        let len = |place: &Result<Place, Fault<E>>| place.as_ref().map_or(0, Place::len_bytes);
        len(&self.primary).max(len(&self.secondary))
    }
}

/// Finds the anchor and both headers.
///
/// # Errors
/// [`Fault`] if there is no anchor: of the place that looked most like one.
pub fn probe<S: Source>(source: &S) -> Result<Probe<S::Error>, Fault<S::Error>> {
    probe_in(source, &mut [0; BLOCK_BYTES_MAX])
}

/// The same in `room`.
///
/// # Errors
/// As [`probe`].
#[inline(never)]
pub fn probe_in<S: Source>(source: &S, room: &mut BlockRoom) -> Result<Probe<S::Error>, Fault<S::Error>> {
    let anchor = find_anchor(source, room)?;
    let primary = place_in(source, &anchor, Set::Primary, room);
    let secondary = place_in(source, &anchor, Set::Secondary, room);
    Ok(Probe { anchor, primary, secondary })
}

/// Reads the header of `set`.
///
/// # Errors
/// There is none, the medium fails, or it is refused.
pub fn place<S: Source>(source: &S, anchor: &Anchor, set: Set) -> Result<Place, Fault<S::Error>> {
    place_in(source, anchor, set, &mut [0; BLOCK_BYTES_MAX])
}

#[inline(never)]
fn place_in<S: Source>(source: &S, anchor: &Anchor, set: Set, room: &mut BlockRoom) -> Result<Place, Fault<S::Error>> {
    let lba = anchor.lba(set).ok_or(Fault::Refused(Refusal::NoEntry { what: set.name() }))?;
    with_block(source, (anchor.sector(lba), anchor.block_bytes), room, |bytes| anchor.place(set, bytes))
}

/// Reads the set that is to be believed into `buf`, of [`Probe::len_bytes`].
///
/// # Errors
/// Neither set can be used: the fault of the primary one, then.
pub fn read<'b, S: Source>(source: &S, anchor: &Anchor, buf: &'b mut [u8]) -> Result<Metadata<'b>, Fault<S::Error>> {
    read_in(source, anchor, buf, &mut [0; BLOCK_BYTES_MAX])
}

/// The same in `room`.
///
/// # Errors
/// As [`read`].
#[inline(never)]
pub fn read_in<'b, S: Source>(
    source: &S,
    anchor: &Anchor,
    buf: &'b mut [u8],
    room: &mut BlockRoom,
) -> Result<Metadata<'b>, Fault<S::Error>> {
    let mut ranked = |set| {
        let place = place_in(source, anchor, set, room)?;
        let damage = read_set(source, &place, buf)?.damage();
        Ok((place.rank(damage.is_empty()), place))
    };
    let chosen = match (ranked(Set::Primary), ranked(Set::Secondary)) {
        (Ok((primary, _)), Ok((secondary, place))) if secondary > primary => place,
        (Ok((_, place)), _) | (Err(_), Ok((_, place))) => place,
        (Err(fault), Err(_)) => return Err(fault),
    };
    let twin = twin(source, anchor, &chosen, buf, room);
    read_set(source, &chosen, buf).map(|metadata| metadata.beside(twin))
}

/// Reads one set, whatever the other says.
///
/// # Errors
/// The medium fails, `buf` is too small, or the set is refused.
pub fn read_set<'b, S: Source>(source: &S, place: &Place, buf: &'b mut [u8]) -> Result<Metadata<'b>, Fault<S::Error>> {
    let (bytes, _) = fault::part(buf, place.len_bytes())?;
    fault::read(source, place.at(), bytes)?;
    Metadata::parse(bytes, place).map_err(Fault::Refused)
}

/// Compares the other set with the one at `mine`, which is read into `buf` for it.
fn twin<S: Source>(source: &S, anchor: &Anchor, mine: &Place, buf: &mut [u8], room: &mut BlockRoom) -> Twin {
    if anchor.lba(mine.set.other()).is_none() {
        return Twin::Absent;
    }
    match place_in(source, anchor, mine.set.other(), room) {
        Ok(theirs) if same_set(source, (mine, &theirs), buf, room) == Some(true) => Twin::Same,
        _ => Twin::Differs,
    }
}

/// `None` if a read fails.
#[inline(never)]
fn same_set<S: Source>(
    source: &S,
    (mine, theirs): (&Place, &Place),
    buf: &mut [u8],
    room: &mut BlockRoom,
) -> Option<bool> {
    let bytes = buf.get_mut(..mine.len_bytes())?;
    fault::read::<_, Refusal>(source, mine.at(), bytes).ok()?;
    if theirs.len_blocks != mine.len_blocks {
        return Some(false);
    }
    for (index, block) in (0..).zip(bytes.chunks(usize::try_from(mine.block_bytes).ok()?)) {
        let other = room.get_mut(..block.len())?;
        fault::read::<_, Refusal>(source, theirs.sector(index), other).ok()?;
        let same = if index == 0 { same_header(block, other, mine.order)? } else { block == other };
        if !same {
            return Some(false);
        }
    }
    Some(true)
}

/// True if two headers differ in what their type makes differ only.
fn same_header(mine: &[u8], theirs: &[u8], order: Order) -> Option<bool> {
    let neutral = |bytes: &[u8]| {
        let (mut header, _) = Header::read_from_prefix(bytes).ok()?;
        header.header_type = 0;
        header.crc.set(order, 0);
        let bytes: [u8; RECORD_BYTES] = zerocopy::transmute!(header);
        Some(bytes)
    };
    Some(neutral(mine)? == neutral(theirs)? && mine.get(RECORD_BYTES..) == theirs.get(RECORD_BYTES..))
}

#[inline(never)]
fn find_anchor<S: Source>(source: &S, room: &mut BlockRoom) -> Result<Anchor, Fault<S::Error>> {
    let medium = Sectors::from_bytes_floor(source.size_bytes());
    let mut worst: Option<Fault<S::Error>> = None;
    for block_bytes in BLOCK_BYTES {
        for distance in ANCHOR_BLOCKS {
            // An image does not tell the block size of the drive that it was taken from: both are tried.
            let blocks = source.size_bytes().checked_div(u64::from(block_bytes)).unwrap_or(0);
            let Some(block) = blocks.checked_sub(distance) else { continue };
            let at = Sector(block.saturating_mul(u64::from(block_bytes) / raid_core::SECTOR_BYTES));
            match with_block(source, (at, block_bytes), room, |bytes| Anchor::parse(bytes, at, medium)) {
                Ok(anchor) => return Ok(anchor),
                Err(fault) if worst.as_ref().is_none_or(|held| weight(&fault) > weight(held)) => worst = Some(fault),
                Err(_) => {}
            }
        }
    }
    let too_small = md::Refusal::MediumTooSmall { found: medium.0, expected: 1 };
    Err(worst.unwrap_or(Fault::Refused(Refusal::of("anchor", too_small))))
}

/// A damaged anchor tells more than a place where there is none.
fn weight<E>(fault: &Fault<E>) -> u8 {
    match fault {
        Fault::Refused(Refusal::Structure { refusal: md::Refusal::NoMagic { .. }, .. }) => 0,
        Fault::Read { .. } | Fault::Buffer { .. } => 1,
        Fault::Refused(_) => 2,
    }
}

fn with_block<S: Source, T>(
    source: &S,
    (at, block_bytes): (Sector, u32),
    room: &mut BlockRoom,
    parse: impl FnOnce(&[u8]) -> Result<T, Refusal>,
) -> Result<T, Fault<S::Error>> {
    let (bytes, _) = fault::part(room, usize::try_from(block_bytes).unwrap_or(usize::MAX))?;
    fault::read(source, at, bytes)?;
    parse(bytes).map_err(Fault::Refused)
}
