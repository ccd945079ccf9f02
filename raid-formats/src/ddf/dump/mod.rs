//! A set of DDF's records field by field, in the order of their offsets from its header. Judges nothing.
//!
//! Free entries of tables and free configuration records are told as runs of bytes; so is what lies between sections. So all fields
//! together are the whole set, unless sections overlap.

mod config;
mod fixed;
mod tables;

use super::{
    raw::{Header, RECORD_BYTES, Section},
    refusal::Refusal,
    volume::time,
    word::{Full, Order, Wide},
};
use crate::{
    dump::{Field, Value, narrow},
    md,
};
use zerocopy::FromBytes;

/// Tells `visit` every field of a set, sound or not: a header and the tables that it points to within `bytes`.
///
/// # Errors
/// There are too few bytes for a header.
pub fn set(bytes: &[u8], order: Order, block_bytes: u32, mut visit: impl FnMut(Field)) -> Result<(), Refusal> {
    let block = usize::try_from(block_bytes).unwrap_or(0).max(RECORD_BYTES);
    let header = header(bytes, order, &mut visit)?;
    let mut sections = [
        (header.controller, Kind::Controller),
        (header.physical, Kind::Physical),
        (header.virtual_disks, Kind::Virtual),
        (header.config, Kind::Config),
        (header.disk_data, Kind::Disk),
        (header.bad_blocks, Kind::BadBlocks),
    ];
    sections.sort_unstable_by_key(|(section, _)| section.offset.get(order));
    let mut end = RECORD_BYTES;
    for (section, kind) in sections {
        let Some((at, found)) = section_bytes(bytes, section, order, block) else { continue };
        rest(bytes, end, at, &mut visit);
        let record_bytes = usize::from(header.config_record_length.get(order)).saturating_mul(block);
        let part = Part { bytes: found, at, order };
        match kind {
            Kind::Controller => fixed::controller(part, &mut visit),
            Kind::Physical => tables::physical(part, &mut visit),
            Kind::Virtual => tables::virtual_disks(part, &mut visit),
            Kind::Config => config::records(part, record_bytes, &header, &mut visit),
            Kind::Disk => fixed::disk(part, &mut visit),
            Kind::BadBlocks => fixed::bad_blocks(part, &mut visit),
        }
        end = end.max(at.saturating_add(found.len()));
    }
    rest(bytes, end, bytes.len(), &mut visit);
    Ok(())
}

/// Tells `visit` every field of an anchor or another header.
///
/// # Errors
/// There are too few bytes for a header.
pub fn header(bytes: &[u8], order: Order, mut visit: impl FnMut(Field)) -> Result<Header, Refusal> {
    let truncated = md::Refusal::Truncated { found: bytes.len(), expected: RECORD_BYTES };
    let (header, _) = Header::read_from_prefix(bytes).map_err(|_| Refusal::of("header", truncated))?;
    fixed::header(&header, bytes, order, &mut visit);
    Ok(header)
}

/// What a section holds.
#[derive(Clone, Copy)]
enum Kind {
    Controller,
    Physical,
    Virtual,
    Config,
    Disk,
    BadBlocks,
}

/// A section, or a record of it: its bytes, its offset, and its byte order.
#[derive(Clone, Copy)]
struct Part<'a> {
    bytes: &'a [u8],
    at: usize,
    order: Order,
}

impl<'a> Part<'a> {
    /// A fixed structure at the start and what is behind it; all of it as bytes if it is too short.
    fn split<T>(self, visit: &mut dyn FnMut(Field)) -> Option<(&'a T, Self)>
    where
        T: FromBytes + zerocopy::Immutable + zerocopy::KnownLayout + zerocopy::Unaligned,
    {
        match T::ref_from_prefix(self.bytes) {
            Ok((record, rest)) => Some((record, self.behind(self.bytes.len().saturating_sub(rest.len())))),
            Err(_) => {
                self.tell_bytes("data", visit);
                None
            }
        }
    }

    /// What lies behind the first `len` bytes.
    fn behind(self, len: usize) -> Self {
        Part { bytes: self.bytes.get(len..).unwrap_or(&[]), at: self.at.saturating_add(len), ..self }
    }

    /// The first `len` bytes.
    fn first(self, len: usize) -> Self {
        Part { bytes: self.bytes.get(..len).unwrap_or(self.bytes), ..self }
    }

    /// All of it as one field, if there is anything.
    fn tell_bytes(self, name: &'static str, visit: &mut dyn FnMut(Field)) {
        if !self.bytes.is_empty() {
            let (offset, len) = (narrow(self.at), narrow(self.bytes.len()));
            visit(Field { name, index: None, offset, len, value: Value::Bytes(self.bytes), meaning: "not used" });
        }
    }
}

fn section_bytes(bytes: &[u8], section: Section, order: Order, block: usize) -> Option<(usize, &[u8])> {
    let (offset, length) = section.run(order)?;
    let at = usize::try_from(offset).ok()?.checked_mul(block)?;
    let len = usize::try_from(length).ok()?.checked_mul(block)?;
    Some((at, bytes.get(at..)?.get(..len)?))
}

/// What lies between `from` and `to`.
fn rest(bytes: &[u8], from: usize, to: usize, visit: &mut dyn FnMut(Field)) {
    let part = Part { bytes: bytes.get(from..to).unwrap_or(&[]), at: from, order: Order::Big };
    part.tell_bytes("gap", visit);
}

fn u64_of(number: impl Into<u64>) -> Value<'static> {
    Value::U64(number.into())
}

fn hex(number: impl Into<u64>) -> Value<'static> {
    Value::Hex(number.into())
}

fn code(number: u8, name: &'static str) -> Value<'static> {
    Value::Code { number: i64::from(number), name }
}

/// FF is DDF's "absent" in numbers too.
fn full(number: Full, order: Order) -> Value<'static> {
    if number == Full::ABSENT { hex(u32::MAX) } else { u64_of(number.get(order)) }
}

fn wide(number: Wide, order: Order) -> Value<'static> {
    if number == Wide::ABSENT { hex(u64::MAX) } else { u64_of(number.get(order)) }
}

/// Seconds since 1980.
fn moment(number: Full, order: Order) -> Value<'static> {
    Value::Time { seconds: time(number.get(order)), micros: 0 }
}

/// The stored sum beside the right one. `short` bytes are summed if the sum over all of `bytes` is not the right one.
fn checksum(stored: Full, bytes: &[u8], short: usize, order: Order) -> Value<'static> {
    let found = stored.get(order);
    let expected = match super::Form::of(bytes, short, order) {
        Ok(_) => found,
        Err(md::Refusal::Checksum { expected, .. }) => expected,
        Err(_) => !found,
    };
    Value::Checksum { found, expected }
}
