//! Any record, field by field, for people and for JSON: what stands at which byte, and what it means.
//!
//! A dump judges nothing and needs no sound record: it is what one looks at when a record is refused. Fields come in
//! order of their offsets, and together they are the whole record.

use core::fmt;
use raid_core::Extent;

/// One field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The format's own name; with dots where structures nest.
    pub name: &'static str,
    /// Which one, for fields of a table.
    pub index: Option<u32>,
    /// First byte, from the record's start.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
    /// What stands there.
    pub value: Value<'a>,
    /// What the field is for, in a few words.
    pub meaning: &'static str,
}

/// What stands in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    U64(u64),
    /// A number with a sign.
    I64(i64),
    /// A number that people read in hexadecimal, such as a magic number.
    Hex(u64),
    /// A number that stands for something.
    Code {
        /// The number.
        number: i64,
        /// What it stands for; "unknown" if for nothing known.
        name: &'static str,
    },
    /// Bits with names.
    Flags(Flags),
    /// A point in time since 1970.
    Time {
        /// Seconds.
        seconds: u64,
        /// And microseconds.
        micros: u32,
    },
    /// Text, up to its padding; not always UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A run of sectors.
    Run(Extent),
    /// A checksum.
    Checksum {
        /// What stands there.
        found: u32,
        /// What should.
        expected: u32,
    },
}

/// A flag word, and the names of its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// The word.
    pub bits: u64,
    /// Names of all known bits.
    pub names: &'static [(&'static str, u64)],
}

impl Flags {
    /// Names of the bits that are set.
    pub fn set(self) -> impl Iterator<Item = &'static str> {
        self.names.iter().filter(move |(_, bit)| self.bits & bit != 0).map(|(name, _)| *name)
    }

    /// Bits that are set and have no name.
    #[must_use]
    pub fn unknown(self) -> u64 {
        self.names.iter().fold(self.bits, |bits, (_, bit)| bits & !bit)
    }
}

/// The value as people read it.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::U64(number) => write!(f, "{number}"),
            Self::I64(number) => write!(f, "{number}"),
            Self::Hex(number) => write!(f, "{number:#x}"),
            Self::Code { number, name } => write!(f, "{number} ({name})"),
            Self::Flags(flags) => fmt_flags(flags, f),
            Self::Time { seconds, micros } => write!(f, "{seconds}.{micros:06}"),
            Self::Text(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Self::Bytes(bytes) => fmt_bytes(bytes, f),
            Self::Run(run) => write!(f, "{} sectors from {}", run.len, run.at),
            Self::Checksum { found, expected } if found == expected => write!(f, "{found:#010x} (right)"),
            Self::Checksum { found, expected } => write!(f, "{found:#010x} (wrong, expected {expected:#010x})"),
        }
    }
}

fn fmt_flags(flags: Flags, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{:#x}", flags.bits)?;
    for name in flags.set() {
        write!(f, " {name}")?;
    }
    match flags.unknown() {
        0 => Ok(()),
        unknown => write!(f, " unknown:{unknown:#x}"),
    }
}

/// Hexadecimal; a run of one byte only is told by that byte and its length.
fn fmt_bytes(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let [first, rest @ ..] = bytes
        && rest.len() >= 8
        && rest.iter().all(|byte| byte == first)
    {
        return write!(f, "{} times {first:02x}", bytes.len());
    }
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The names of a `bitflags` type's bits, as [`Flags`] wants them.
macro_rules! flag_names {
    ($flags:ty) => {{
        const LEN: usize = <$flags as bitflags::Flags>::FLAGS.len();
        const NAMES: [(&str, u64); LEN] = {
            let mut names = [("", 0); LEN];
            let mut index = 0;
            while index < LEN {
                let flag = &<$flags as bitflags::Flags>::FLAGS[index];
                names[index] = (flag.name(), flag.value().bits() as u64);
                index += 1;
            }
            names
        };
        &NAMES
    }};
}
pub(crate) use flag_names;

/// Tells `$visit` the named fields of a `zerocopy` struct, each as one [`Value`]: `name => value, "meaning";`.
///
/// The first form takes the record's own start; `at` shifts all offsets and `index` numbers a table's entry.
macro_rules! fields {
    ($visit:expr, $raw:expr, $type:ty, at $at:expr, index $index:expr, prefix $prefix:literal,
     { $($name:ident => $value:expr, $meaning:literal;)* }) => {
        $($visit($crate::dump::Field {
            name: concat!($prefix, stringify!($name)),
            index: $index,
            offset: $crate::dump::narrow($at.saturating_add(core::mem::offset_of!($type, $name))),
            len: $crate::dump::narrow(core::mem::size_of_val(&$raw.$name)),
            value: $value,
            meaning: $meaning,
        });)*
    };
}
pub(crate) use fields;

/// Offsets within a record, in the width that fields use.
pub(crate) fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn values_read_as_people_write_them() {
        let flags = Flags { bits: 0x85, names: &[("one", 1), ("two", 2), ("four", 4)] };
        assert_eq!(Value::Flags(flags).to_string(), "0x85 one four unknown:0x80");
        assert_eq!(Value::Bytes(&[0; 12]).to_string(), "12 times 00");
        assert_eq!(Value::Bytes(&[1, 2, 0xFF]).to_string(), "0102ff");
        assert_eq!(Value::Text(b"a\"\x01").to_string(), "\"a\\\"\\x01\"");
        assert_eq!(Value::Checksum { found: 1, expected: 2 }.to_string(), "0x00000001 (wrong, expected 0x00000002)");
        assert_eq!(Value::Code { number: -4, name: "multipath" }.to_string(), "-4 (multipath)");
    }
}
