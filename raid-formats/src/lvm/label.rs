//! The label in one of the first four sectors, and the physical volume's header in it.

use super::{Fault, Id, Refusal, crc};
use crate::{fault, md, source::Source};
use core::mem::size_of;
use raid_core::Sector;
use static_assertions::const_assert_eq;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U32, U64},
};

/// Bytes at the start of a medium where a label can lie.
pub const SCAN_BYTES: usize = 2048;
/// Bytes of a sector.
const SECTOR: usize = 512;
/// Where the sum's range starts.
const SUMMED_FROM: usize = 20;
/// How a label starts.
const MAGIC: [u8; 8] = *b"LABELONE";
/// The kind of label that this is.
const KIND: [u8; 8] = *b"LVM2 001";

/// The label's bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are lvm2's; docs/formats/lvm.md explains each")]
pub struct RawLabel {
    pub id: [u8; 8],
    pub sector: U64,
    pub crc: U32,
    pub offset: U32,
    pub kind: [u8; 8],
}

/// The bytes of a physical volume's header, before its lists.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are lvm2's; docs/formats/lvm.md explains each")]
pub struct RawPhysical {
    pub pv_uuid: [u8; 32],
    pub device_size: U64,
}

/// An entry of a list: where something lies on the medium, in bytes. Zeros end the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are lvm2's; docs/formats/lvm.md explains each")]
pub struct RawPlace {
    pub offset: U64,
    pub size: U64,
}

/// The bytes of the header's extension, before its list.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are lvm2's; docs/formats/lvm.md explains each")]
pub struct RawExtension {
    pub version: U32,
    pub flags: U32,
}

const_assert_eq!(size_of::<RawLabel>(), 32);
const_assert_eq!(size_of::<RawPhysical>(), 40);

/// A label that passed the checks.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    bytes: &'a [u8; SECTOR],
    raw: &'a RawLabel,
    physical: &'a RawPhysical,
    id: Id,
    lists: &'a [u8],
}

/// A list of places in a label.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    rest: &'a [u8],
}

impl<'a> Label<'a> {
    /// Reads the label in `bytes`, which were read from `sector`.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn parse(bytes: &'a [u8; SECTOR], sector: u64) -> Result<Self, Refusal> {
        let whole = bytes.as_slice();
        let truncated = || Refusal::of("label", md::Refusal::Truncated { found: SECTOR, expected: SECTOR });
        let (raw, _) = RawLabel::ref_from_prefix(whole).map_err(|_| truncated())?;
        if raw.id != MAGIC || raw.kind != KIND {
            return Err(Refusal::NoLabel);
        }
        let refuse = |refusal| Refusal::of("label", refusal);
        let (found, expected) = (raw.crc.get(), crc(&[whole.get(SUMMED_FROM..).unwrap_or(&[])]));
        if found != expected {
            return Err(refuse(md::Refusal::Checksum { offset: 16, found, expected }));
        }
        if raw.sector.get() != sector {
            return Err(refuse(md::Refusal::Place { offset: 8, found: raw.sector.get(), expected: sector }));
        }
        let range = || {
            let most = (SECTOR - size_of::<RawPhysical>()) as u64;
            refuse(md::Refusal::range("offset", 20, raw.offset.get(), size_of::<RawLabel>() as u64, most))
        };
        let at = usize::try_from(raw.offset.get()).ok().filter(|at| *at >= size_of::<RawLabel>()).ok_or_else(range)?;
        let header = whole.get(at..).ok_or_else(range)?;
        let (physical, lists) = RawPhysical::ref_from_prefix(header).map_err(|_| range())?;
        let id = Id::parse(&physical.pv_uuid).ok_or(Refusal::Field { of: "physical volume", field: "pv_uuid" })?;
        Ok(Self { bytes, raw, physical, id, lists })
    }

    /// The sector's bytes as they are.
    #[must_use]
    pub const fn emit(&self) -> &'a [u8; SECTOR] {
        self.bytes
    }

    /// Identity of the physical volume.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    /// The sector where the label lies.
    #[must_use]
    pub const fn at(&self) -> Sector {
        Sector(self.raw.sector.get())
    }

    /// Bytes that the medium had when the label was written.
    #[must_use]
    pub const fn device_bytes(&self) -> u64 {
        self.physical.device_size.get()
    }

    /// Where data lie; a size of zero means all that follows.
    #[must_use]
    pub const fn data(&self) -> Places<'a> {
        Places { rest: self.lists }
    }

    /// Where the group's text lies.
    #[must_use]
    pub fn areas(&self) -> Places<'a> {
        self.data().behind()
    }

    /// The extension behind the lists; `None` in labels of old writers.
    #[must_use]
    pub fn extension(&self) -> Option<&'a RawExtension> {
        let (extension, _) = RawExtension::ref_from_prefix(self.areas().behind().rest).ok()?;
        (extension.version.get() != 0).then_some(extension)
    }
}

impl<'a> Places<'a> {
    /// What stands behind this list.
    pub(super) fn behind(mut self) -> Self {
        while self.next().is_some() {}
        let rest = self.rest.get(size_of::<RawPlace>()..).unwrap_or(&[]);
        Self { rest }
    }
}

impl Iterator for Places<'_> {
    type Item = RawPlace;

    fn next(&mut self) -> Option<RawPlace> {
        let (place, rest) = RawPlace::read_from_prefix(self.rest).ok()?;
        if place.offset.get() == 0 {
            return None;
        }
        self.rest = rest;
        Some(place)
    }
}

/// Looks for a label in the first four sectors of a medium, which are read into `buf`. The first that is sound counts, as in LVM.
///
/// # Errors
/// The medium's; of the sector that looks most like a label, why it is none.
pub fn find<'b, S: Source>(source: &S, buf: &'b mut [u8; SCAN_BYTES]) -> Result<Label<'b>, Fault<S::Error>> {
    let here = usize::try_from(source.size_bytes()).unwrap_or(SCAN_BYTES).min(SCAN_BYTES);
    buf.fill(0);
    let (head, _) = fault::part(buf, here)?;
    fault::read(source, Sector(0), head)?;
    let mut worst = Refusal::NoLabel;
    for (sector, bytes) in (0..).zip(buf.as_chunks::<SECTOR>().0) {
        match Label::parse(bytes, sector) {
            Ok(label) => return Ok(label),
            Err(Refusal::NoLabel) => {}
            Err(refusal) => worst = refusal,
        }
    }
    Err(worst.into())
}

/// Makes the sum of a label's sector right.
pub fn seal(bytes: &mut [u8; SECTOR]) {
    let sum = crc(&[bytes.get(SUMMED_FROM..).unwrap_or(&[])]);
    if let Ok((raw, _)) = RawLabel::mut_from_prefix(bytes.as_mut_slice()) {
        raw.crc.set(sum);
    }
}
