//! Why a table line is refused.

use core::fmt;

/// What is wrong with a line, with the word or number at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError<'a> {
    /// Words are missing.
    TooShort,
    /// No such array type.
    UnknownType(&'a str),
    /// A number should stand there.
    NotANumber(&'a str),
    /// More or fewer words than two for each device.
    Devices {
        /// Devices that the line says it has.
        said: usize,
        /// Words that follow.
        found: usize,
    },
    /// Too few devices for the type, or too many.
    Members(usize),
    /// No power of two, or below eight sectors.
    Chunk(u64),
    /// No such parameter.
    UnknownParameter(&'a str),
    /// A parameter that this target does not serve.
    NotServed(&'a str),
    /// A parameter that the type does not have.
    WrongType(&'a str),
    /// A parameter given twice.
    Twice(&'a str),
    /// A parameter without its value.
    NoValue(&'a str),
    /// A value that the parameter cannot have.
    BadValue {
        /// The parameter.
        parameter: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// A metadata device whose data device is `-`.
    MetadataAlone(&'a str),
    /// A slot to be rebuilt that has no device.
    NothingToRebuild(u8),
    /// The devices cannot share a length evenly.
    Length(u64),
    /// No power of two, smaller than the chunk, or out of the bounds that the array's length sets.
    Region(u64),
}

impl fmt::Display for TableError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("words are missing"),
            Self::UnknownType(name) => write!(f, "there is no array type {name}"),
            Self::NotANumber(word) => write!(f, "{word} stands where a number should"),
            Self::Devices { said, found } => write!(f, "{found} words follow for {said} devices, not two for each"),
            Self::Members(count) => write!(f, "{count} devices are too few or too many for this type"),
            Self::Chunk(sectors) => write!(f, "a chunk of {sectors} sectors is no power of two, or less than 8"),
            Self::UnknownParameter(word) => write!(f, "there is no parameter {word}"),
            Self::NotServed(word) => write!(f, "{word} is not served here"),
            Self::WrongType(word) => write!(f, "{word} is not for this array type"),
            Self::Twice(word) => write!(f, "{word} is given twice"),
            Self::NoValue(word) => write!(f, "{word} has no value"),
            Self::BadValue { parameter, value } => write!(f, "{parameter} cannot be {value}"),
            Self::MetadataAlone(name) => write!(f, "metadata device {name} has no data device"),
            Self::NothingToRebuild(slot) => write!(f, "slot {slot} is to be rebuilt and has no device"),
            Self::Length(sectors) => write!(f, "the devices cannot share {sectors} sectors evenly"),
            Self::Region(sectors) => write!(f, "regions cannot be of {sectors} sectors"),
        }
    }
}

impl core::error::Error for TableError<'_> {}
