//! Where the two copies of the records lie: what an anchor, a primary or a secondary header says, checked against each other.
//!
//! Source: SNIA DDF 2.0, section 5.3; `mdadm`, `super-ddf.c` (`load_ddf_header`).

use super::{
    crc::Form,
    raw::{Header, MAGIC_HEADER, RECORD_BYTES, Section},
    refusal::Refusal,
    word::Order,
};
use crate::md;
use core::mem::offset_of;
use raid_core::{SECTOR_BYTES, Sector, Sectors};
use zerocopy::FromBytes;

/// Most bytes of a header with its tables; real ones have 300 KiB. Keeps a wrong length from asking for all memory.
const SET_BYTES_MAX: u64 = 64 << 20;

/// `open_flag` of a set whose update was finished.
pub const CLOSED: u8 = 0;
/// `open_flag` of a set that is being written.
pub const OPEN: u8 = 1;
/// Bits of `open_flag` that count.
const OPEN_MASK: u8 = 0x0F;

/// One of the two copies: a header and the tables behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Set {
    /// The first copy.
    Primary = 1,
    /// The second, if there is one.
    Secondary = 2,
}

/// What an anchor says.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    /// Byte order of everything.
    pub order: Order,
    /// Bytes of a block: the unit of all positions.
    pub block_bytes: u32,
    /// Where the anchor lies.
    pub at: Sector,
    /// Size of the medium.
    pub medium: Sectors,
    /// Block of the primary header.
    pub primary_lba: u64,
    /// Block of the secondary header, if there is one.
    pub secondary_lba: Option<u64>,
    /// The anchor itself.
    pub header: Header,
}

/// Where a set lies, and the state its header is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which copy.
    pub set: Set,
    /// Byte order.
    pub order: Order,
    /// Bytes of a block.
    pub block_bytes: u32,
    /// Block of the header.
    pub lba: u64,
    /// Blocks of the header and of all tables that are read and written at run time.
    pub len_blocks: u32,
    /// Sequence number.
    pub sequence: u32,
    /// An update was begun and not finished.
    pub open: bool,
    /// Size of the medium.
    pub medium: Sectors,
}

impl Anchor {
    /// Reads the anchor from the block found at `at`. `bytes` is that block.
    ///
    /// # Errors
    /// No magic number in either byte order, or a wrong checksum.
    pub fn parse(bytes: &[u8], at: Sector, medium: Sectors) -> Result<Self, Refusal> {
        let header = raw_header("anchor", bytes)?;
        let order = match header.signature.get(Order::Big) {
            MAGIC_HEADER => Order::Big,
            _ if header.signature.get(Order::Little) == MAGIC_HEADER => Order::Little,
            found => {
                let refusal = md::Refusal::NoMagic { offset: 0, found, expected: MAGIC_HEADER };
                return Err(Refusal::of("anchor", refusal));
            }
        };
        Form::of(bytes, RECORD_BYTES, order).map_err(|refusal| Refusal::of("anchor", refusal))?;
        let block_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let secondary_lba = Some(header.secondary_lba.get(order)).filter(|lba| *lba != u64::MAX && *lba != 0);
        let primary_lba = header.primary_lba.get(order);
        Ok(Self { order, block_bytes, at, medium, primary_lba, secondary_lba, header })
    }

    /// Sector of a block.
    #[must_use]
    pub fn sector(&self, lba: u64) -> Sector {
        Sector(lba.saturating_mul(sectors_per_block(self.block_bytes)))
    }

    /// Block of a set's header.
    #[must_use]
    pub const fn lba(&self, set: Set) -> Option<u64> {
        match set {
            Set::Primary => Some(self.primary_lba),
            Set::Secondary => self.secondary_lba,
        }
    }

    /// Reads the header of `set` from its block, and says where its tables are.
    ///
    /// # Errors
    /// It is no header, it belongs to another anchor, or its tables do not lie on the medium.
    pub fn place(&self, set: Set, bytes: &[u8]) -> Result<Place, Refusal> {
        let name = set.name();
        let lba = self.lba(set).ok_or(Refusal::NoEntry { what: name })?;
        let header = raw_header(name, bytes)?;
        let found = header.signature.get(self.order);
        if found != MAGIC_HEADER {
            return Err(Refusal::of(name, md::Refusal::NoMagic { offset: 0, found, expected: MAGIC_HEADER }));
        }
        Form::of(bytes, RECORD_BYTES, self.order).map_err(|refusal| Refusal::of(name, refusal))?;
        self.check_twin(&header, set)?;
        let len_blocks = self.set_blocks(name, &header)?;
        let end = self.sector(lba.saturating_add(u64::from(len_blocks)));
        if end.0 > self.medium.0 {
            return Err(Refusal::of(
                name,
                md::Refusal::Outside {
                    what: "set of tables",
                    at: i128::from(self.sector(lba).0),
                    len_sectors: end.0.saturating_sub(self.sector(lba).0),
                    medium_sectors: self.medium.0,
                },
            ));
        }
        let open = header.open_flag & OPEN_MASK != CLOSED;
        let (order, block_bytes, medium) = (self.order, self.block_bytes, self.medium);
        Ok(Place { set, order, block_bytes, lba, len_blocks, sequence: header.sequence.get(order), open, medium })
    }

    /// A header that was left over from another configuration must not be taken for this one's.
    fn check_twin(&self, header: &Header, set: Set) -> Result<(), Refusal> {
        let differs = |field| Err(Refusal::OtherAnchor { field });
        if header.header_type != set as u8 {
            return differs("type");
        }
        if header.guid != self.header.guid {
            return differs("GUID");
        }
        if header.revision != self.header.revision {
            return differs("revision");
        }
        if (header.primary_lba, header.secondary_lba) != (self.header.primary_lba, self.header.secondary_lba) {
            return differs("place of the headers");
        }
        Ok(())
    }

    /// Blocks up to the end of the last table.
    fn set_blocks(&self, name: &'static str, header: &Header) -> Result<u32, Refusal> {
        let order = self.order;
        let mut end = 1;
        for (section, offset) in sections(header) {
            let Some((at, len)) = section.run(order) else { continue };
            let past = u64::from(at).saturating_add(u64::from(len));
            if at == 0 || past.saturating_mul(u64::from(self.block_bytes)) > SET_BYTES_MAX {
                let most = SET_BYTES_MAX.checked_div(u64::from(self.block_bytes)).unwrap_or(0);
                return Err(Refusal::range(name, ("end of a section", offset), past, 2, most));
            }
            end = end.max(past);
        }
        Ok(u32::try_from(end).unwrap_or(u32::MAX))
    }
}

/// The sections that are part of a set, with the offsets of their fields. Diagnostics and vendors' logs are nobody's business here.
fn sections(header: &Header) -> [(Section, u32); 6] {
    #[expect(clippy::cast_possible_truncation, reason = "a header has 512 bytes")]
    const FIRST: u32 = offset_of!(Header, controller) as u32;
    [
        (header.controller, FIRST),
        (header.physical, FIRST + 8),
        (header.virtual_disks, FIRST + 16),
        (header.config, FIRST + 24),
        (header.disk_data, FIRST + 32),
        (header.bad_blocks, FIRST + 40),
    ]
}

fn raw_header(name: &'static str, bytes: &[u8]) -> Result<Header, Refusal> {
    let truncated = md::Refusal::Truncated { found: bytes.len(), expected: RECORD_BYTES };
    Header::read_from_prefix(bytes).map(|(header, _)| header).map_err(|_| Refusal::of(name, truncated))
}

/// Sectors of a block; one for sizes that cannot be.
#[must_use]
pub(super) const fn sectors_per_block(block_bytes: u32) -> u64 {
    if block_bytes < 1024 { 1 } else { block_bytes as u64 / SECTOR_BYTES }
}

impl Set {
    /// The name of its header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary header",
            Self::Secondary => "secondary header",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Primary => Self::Secondary,
            Self::Secondary => Self::Primary,
        }
    }
}

impl Place {
    /// Sector of the header.
    #[must_use]
    pub fn at(&self) -> Sector {
        self.sector(0)
    }

    /// Sector of a block of the set, counted from its header.
    #[must_use]
    pub fn sector(&self, block: u64) -> Sector {
        Sector(self.lba.saturating_add(block).saturating_mul(sectors_per_block(self.block_bytes)))
    }

    /// Bytes of header and tables.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        let bytes = u64::from(self.len_blocks).saturating_mul(u64::from(self.block_bytes));
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// How much this set is to be believed, against the other; `sound` if all its checksums are right.
    ///
    /// The newer set counts. An update that was cut leaves one set open or damaged, one sequence number ahead of the other: so such a set
    /// counts as one number older, and on a tie the sound, closed one is taken. A gap of two says that the other set is not kept up to
    /// date at all.
    #[must_use]
    pub fn rank(&self, sound: bool) -> (u32, bool, bool, bool) {
        let unfinished = u32::from(self.open || !sound);
        (self.sequence.saturating_sub(unfinished), sound, !self.open, self.set == Set::Primary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_sets_the_newest_finished_one_is_believed() {
        let place = |set, sequence, open| Place {
            set,
            order: Order::Big,
            block_bytes: 512,
            lba: 0,
            len_blocks: 1,
            sequence,
            open,
            medium: Sectors(1 << 20),
        };
        let (primary, secondary) = (Set::Primary, Set::Secondary);
        // Each line: the one that is believed, then the other, with whether their checksums are right.
        let cases = [
            ((primary, 7, false, true), (secondary, 7, false, true)),
            ((secondary, 8, false, true), (primary, 7, false, true)),
            ((primary, 7, false, true), (secondary, 8, true, true)),
            ((primary, 7, false, true), (secondary, 8, true, false)),
            ((secondary, 8, false, true), (primary, 8, true, true)),
            ((secondary, 8, false, true), (primary, 8, false, false)),
            ((secondary, 7, false, true), (primary, 8, true, true)),
            ((primary, 12, true, true), (secondary, 7, false, true)),
        ];
        for (best, other) in cases {
            let rank = |(set, sequence, open, sound)| place(set, sequence, open).rank(sound);
            assert!(rank(best) > rank(other), "{best:?} against {other:?}");
        }
    }
}
