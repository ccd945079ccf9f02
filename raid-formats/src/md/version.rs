//! The versions of MD's superblock, by where they lie and in which byte order.

use crate::record::Format;

/// A version of the superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// 1.2: at 4 KiB.
    V1_2,
    /// 1.1: at the start.
    V1_1,
    /// 1.0: near the end.
    V1_0,
    /// 0.90 of a little-endian writer: in the last 64 KiB.
    V0Little,
    /// 0.90 of a big-endian writer.
    V0Big,
}

impl Version {
    /// All of them, the likeliest first: the order in which they are looked for.
    pub const ALL: [Self; 5] = [Self::V1_2, Self::V1_1, Self::V1_0, Self::V0Little, Self::V0Big];

    /// The same in the words of all formats.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::V1_2 => Format::Md12,
            Self::V1_1 => Format::Md11,
            Self::V1_0 => Format::Md10,
            Self::V0Little => Format::Md090Little,
            Self::V0Big => Format::Md090Big,
        }
    }
}
