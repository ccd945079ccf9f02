//! Numbers whose byte order is told by the record they stand in, not by their type.
//!
//! DDF is big-endian. Some firmware writes all of it little-endian instead (FreeBSD `sys/geom/raid/md_ddf.c` and dmraid read both), and the
//! first four bytes of the anchor tell which. One set of structs serves both: a [`Word`] is bytes until it is given an [`Order`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Byte order of a whole set of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// As the specification says.
    Big,
    /// The byte-swapped kind.
    Little,
}

/// A number of `N` bytes, in the order of the record it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct Word<const N: usize>([u8; N]);

/// 16 bits.
pub type Half = Word<2>;
/// 32 bits.
pub type Full = Word<4>;
/// 64 bits.
pub type Wide = Word<8>;

/// `get` and `set` for each width.
macro_rules! numbers {
    ($($bytes:literal $number:ty),*) => {$(
        impl Word<$bytes> {
            /// All bits set: "absent" in every field of the format.
            pub const ABSENT: Self = Self([0xFF; $bytes]);

            /// The number.
            #[must_use]
            pub const fn get(self, order: Order) -> $number {
                match order {
                    Order::Big => <$number>::from_be_bytes(self.0),
                    Order::Little => <$number>::from_le_bytes(self.0),
                }
            }

            /// Changes the number.
            pub const fn set(&mut self, order: Order, number: $number) {
                *self = Self::new(order, number);
            }

            /// The number as it stands on the disk.
            #[must_use]
            pub const fn new(order: Order, number: $number) -> Self {
                match order {
                    Order::Big => Self(number.to_be_bytes()),
                    Order::Little => Self(number.to_le_bytes()),
                }
            }
        }
    )*};
}
numbers!(2 u16, 4 u32, 8 u64);
