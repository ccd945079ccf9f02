//! LVM's binary records field by field. The text needs no dump: it is one.

use super::{
    RawExtension, RawLabel, RawPhysical, RawPlace, Refusal,
    area::{AREA_HEADER_BYTES, RawArea, RawLocation},
    crc,
};
use crate::{
    dump::{Field, Flags, Value, fields, narrow},
    md,
};
use core::mem::size_of;
use zerocopy::FromBytes;

/// Names of the bits of the extension's `flags`.
const EXTENSION: &[(&str, u64)] = &[("USED", 1)];
/// Names of the bits of a text's `flags`.
const LOCATION: &[(&str, u64)] = &[("IGNORED", 1)];

fn few(name: &'static str, found: usize) -> Refusal {
    Refusal::of(name, md::Refusal::Truncated { found, expected: AREA_HEADER_BYTES })
}

/// Tells `visit` every field of the sector that holds a label, sound or not.
///
/// # Errors
/// Too few bytes.
pub fn label(bytes: &[u8], mut visit: impl FnMut(Field)) -> Result<(), Refusal> {
    let bytes = bytes.get(..AREA_HEADER_BYTES).ok_or_else(|| few("label", bytes.len()))?;
    let (raw, _) = RawLabel::ref_from_prefix(bytes).map_err(|_| few("label", bytes.len()))?;
    let expected = crc(&[bytes.get(20..).unwrap_or(&[])]);
    fields!(visit, raw, RawLabel, at 0_usize, index None, prefix "", {
        id => Value::Text(&raw.id), "LABELONE";
        sector => Value::U64(raw.sector.get()), "where the label lies";
        crc => Value::Checksum { found: raw.crc.get(), expected }, "of all that follows";
        offset => Value::U64(u64::from(raw.offset.get())), "byte of the header in this sector";
        kind => Value::Text(&raw.kind), "LVM2 001";
    });
    let start = usize::try_from(raw.offset.get()).unwrap_or(usize::MAX).max(size_of::<RawLabel>());
    let Some(Ok((physical, _))) = bytes.get(start..).map(RawPhysical::ref_from_prefix) else {
        rest(bytes, size_of::<RawLabel>(), &mut visit);
        return Ok(());
    };
    gap(bytes, size_of::<RawLabel>(), start, &mut visit);
    fields!(visit, physical, RawPhysical, at start, index None, prefix "pv.", {
        pv_uuid => Value::Text(&physical.pv_uuid), "identity of the physical volume";
        device_size => Value::U64(physical.device_size.get()), "bytes of the medium";
    });
    let mut at = start.saturating_add(size_of::<RawPhysical>());
    at = places(bytes, at, ("data area", "where data lie, in bytes"), &mut visit);
    at = places(bytes, at, ("metadata area", "where the text lies, in bytes"), &mut visit);
    if let Some(Ok((extension, _))) = bytes.get(at..).map(RawExtension::ref_from_prefix) {
        let flags = Flags { bits: u64::from(extension.flags.get()), names: EXTENSION };
        fields!(visit, extension, RawExtension, at at, index None, prefix "extension.", {
            version => Value::U64(u64::from(extension.version.get())), "0 if there is none";
            flags => Value::Flags(flags), "state of the physical volume";
        });
        at = at.saturating_add(size_of::<RawExtension>());
        at = places(bytes, at, ("bootloader area", "kept for a boot loader, in bytes"), &mut visit);
    }
    rest(bytes, at, &mut visit);
    Ok(())
}

/// One list with the zeros that end it; where the next thing starts.
fn places(
    bytes: &[u8],
    mut at: usize,
    (name, meaning): (&'static str, &'static str),
    visit: &mut impl FnMut(Field),
) -> usize {
    for index in 0.. {
        let Some(found) = bytes.get(at..).and_then(|bytes| bytes.get(..size_of::<RawPlace>())) else { return at };
        visit(Field {
            name,
            index: Some(index),
            offset: narrow(at),
            len: narrow(found.len()),
            value: match RawPlace::ref_from_bytes(found) {
                Ok(place) if place.offset.get() == 0 => Value::Code { number: 0, name: "end of the list" },
                Ok(_) | Err(_) => Value::Bytes(found),
            },
            meaning,
        });
        at = at.saturating_add(found.len());
        if found.get(..8).is_some_and(|offset| offset == [0; 8]) {
            break;
        }
    }
    at
}

/// Tells `visit` every field of a metadata area's header, sound or not.
///
/// # Errors
/// Too few bytes.
pub fn area(bytes: &[u8], mut visit: impl FnMut(Field)) -> Result<(), Refusal> {
    let bytes = bytes.get(..AREA_HEADER_BYTES).ok_or_else(|| few("metadata area", bytes.len()))?;
    let (raw, _) = RawArea::ref_from_prefix(bytes).map_err(|_| few("metadata area", bytes.len()))?;
    let expected = crc(&[bytes.get(4..).unwrap_or(&[])]);
    fields!(visit, raw, RawArea, at 0_usize, index None, prefix "", {
        checksum => Value::Checksum { found: raw.checksum.get(), expected }, "of all that follows";
        magic => Value::Text(&raw.magic), "";
        version => Value::U64(u64::from(raw.version.get())), "1";
        start => Value::U64(raw.start.get()), "byte of the medium where the area starts";
        size => Value::U64(raw.size.get()), "its bytes, with this header";
    });
    let size = size_of::<RawLocation>();
    let start = size_of::<RawArea>();
    // The first counts; the second is one that a cut left behind before it counted.
    for (index, at) in (0..2).zip((start..).step_by(size)) {
        let Some(Ok((raw, _))) = bytes.get(at..).map(RawLocation::ref_from_prefix) else { continue };
        text(raw, at, index, &mut visit);
    }
    rest(bytes, start.saturating_add(size.saturating_mul(2)), &mut visit);
    Ok(())
}

/// One text's entry; `index` 0 is the committed one.
fn text(raw: &RawLocation, at: usize, index: u32, visit: &mut impl FnMut(Field)) {
    let flags = Flags { bits: u64::from(raw.flags.get()), names: LOCATION };
    fields!(visit, raw, RawLocation, at at, index Some(index), prefix "text.", {
        offset => Value::U64(raw.offset.get()), "first byte of the text, from the area's start";
        size => Value::U64(raw.size.get()), "its bytes, with the NUL";
        checksum => Value::Hex(u64::from(raw.checksum.get())), "of the text";
        flags => Value::Flags(flags), "";
    });
}

fn gap(bytes: &[u8], from: usize, until: usize, visit: &mut impl FnMut(Field)) {
    if let Some(found) = bytes.get(from..until).filter(|found| !found.is_empty()) {
        let (offset, len) = (narrow(from), narrow(found.len()));
        visit(Field { name: "rest", index: None, offset, len, value: Value::Bytes(found), meaning: "" });
    }
}

fn rest(bytes: &[u8], from: usize, visit: &mut impl FnMut(Field)) {
    gap(bytes, from, bytes.len(), visit);
}
