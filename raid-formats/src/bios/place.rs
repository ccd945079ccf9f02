//! Fields as values: where one stands, how it is read and written, and what it is for, said in one place.
//!
//! These records are small, odd and full of unaligned numbers, and nobody but their vendors ever wrote a header for them. One table a
//! format serves parsing, making and dumping alike. A read outside the record gives zero, a write outside does nothing.

use super::claim::Refusal;
use crate::dump::{Field, Value};

/// Byte order of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// How a field is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    Number,
    Hex,
    Text,
    Bytes,
}

/// One field of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    name: &'static str,
    offset: u32,
    len: u32,
    order: Order,
    show: Show,
    meaning: &'static str,
}

impl Place {
    const fn new(
        name: &'static str,
        (offset, len): (u32, u32),
        order: Order,
        show: Show,
        meaning: &'static str,
    ) -> Self {
        Self { name, offset, len, order, show, meaning }
    }

    /// A little-endian number of at most eight bytes.
    pub(super) const fn le(name: &'static str, offset: u32, len: u32, meaning: &'static str) -> Self {
        Self::new(name, (offset, len), Order::Little, Show::Number, meaning)
    }

    /// A big-endian number.
    pub(super) const fn be(name: &'static str, offset: u32, len: u32, meaning: &'static str) -> Self {
        Self::new(name, (offset, len), Order::Big, Show::Number, meaning)
    }

    /// Text, padded with NUL or blanks.
    pub(super) const fn text(name: &'static str, offset: u32, len: u32, meaning: &'static str) -> Self {
        Self::new(name, (offset, len), Order::Little, Show::Text, meaning)
    }

    /// Bytes that are no number.
    pub(super) const fn bytes(name: &'static str, offset: u32, len: u32, meaning: &'static str) -> Self {
        Self::new(name, (offset, len), Order::Little, Show::Bytes, meaning)
    }

    /// The same number, which people read in hexadecimal.
    pub(super) const fn hex(self) -> Self {
        Self { show: Show::Hex, ..self }
    }

    /// The same field of the next entry of a table, `by` bytes further on.
    pub(super) const fn at(self, by: u32) -> Self {
        Self { offset: self.offset.saturating_add(by), ..self }
    }

    /// First byte.
    pub(super) const fn offset(self) -> u32 {
        self.offset
    }

    /// The field says what cannot be.
    pub(super) const fn refusal(self, found: u64, why: &'static str) -> Refusal {
        Refusal::Field { name: self.name, offset: self.offset, found, why }
    }

    /// The bytes; empty if the record ends before.
    pub(super) fn slice(self, record: &[u8]) -> &[u8] {
        let (from, len) = (self.offset as usize, self.len as usize);
        record.get(from..from.saturating_add(len)).unwrap_or(&[])
    }

    /// The number.
    pub(super) fn get(self, record: &[u8]) -> u64 {
        let join = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        match self.order {
            Order::Little => self.slice(record).iter().rev().fold(0, join),
            Order::Big => self.slice(record).iter().fold(0, join),
        }
    }

    /// Writes a number; what does not fit is cut off.
    pub(super) fn put(self, record: &mut [u8], value: u64) {
        let (from, len) = (self.offset as usize, self.len as usize);
        let Some(bytes) = record.get_mut(from..from.saturating_add(len)) else { return };
        let digit = |index: usize| u8::try_from(value >> (8 * index.min(7)) & 0xff).unwrap_or(0);
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = digit(match self.order {
                Order::Little => index,
                Order::Big => len - 1 - index,
            });
        }
    }

    /// Writes numbers, each in its place.
    pub(super) fn put_all(record: &mut [u8], numbers: &[(Self, u64)]) {
        for (place, value) in numbers {
            place.put(record, *value);
        }
    }

    /// Writes bytes, as many as there is room for.
    pub(super) fn fill(self, record: &mut [u8], bytes: &[u8]) {
        let (from, len) = (self.offset as usize, self.len as usize);
        let Some(room) = record.get_mut(from..from.saturating_add(len)) else { return };
        for (byte, value) in room.iter_mut().zip(bytes) {
            *byte = *value;
        }
    }

    /// As a dump shows it.
    pub(super) fn field(self, record: &[u8]) -> Field<'_> {
        let value = match self.show {
            Show::Number => Value::U64(self.get(record)),
            Show::Hex => Value::Hex(self.get(record)),
            Show::Text => Value::Text(self.slice(record)),
            Show::Bytes => Value::Bytes(self.slice(record)),
        };
        Field { name: self.name, index: None, offset: self.offset, len: self.len, value, meaning: self.meaning }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written_in_both_orders() {
        let mut record = [0; 12];
        let (little, big) = (Place::le("l", 1, 3, ""), Place::be("b", 4, 4, ""));
        little.put(&mut record, 0x0102_0304);
        big.put(&mut record, 0x0a0b_0c0d);
        assert_eq!(record, [0, 4, 3, 2, 0xa, 0xb, 0xc, 0xd, 0, 0, 0, 0]);
        assert_eq!((little.get(&record), big.get(&record)), (0x02_0304, 0x0a0b_0c0d));
    }

    #[test]
    fn a_field_outside_the_record_reads_zero_and_writes_nothing() {
        let mut record = [7; 4];
        let place = Place::le("x", 2, 4, "");
        place.put(&mut record, u64::MAX);
        place.fill(&mut record, &[1; 9]);
        assert_eq!((place.get(&record), record), (0, [7; 4]));
        assert_eq!(Place::le("y", u32::MAX, 8, "").get(&record), 0);
    }
}
