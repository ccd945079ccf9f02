//! What device-mapper targets keep on a medium of its own, beside the data: known by its magic number alone.

use raid_formats::dm;

use crate::media::Media;

/// Bytes that are looked at.
const HEAD_BYTES: u64 = 4096;

/// What such a medium holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// dm-raid's superblock, and behind it the bitmap.
    Raid,
    /// dm-mirror's log.
    Mirror,
    /// dm-snapshot's store.
    Snapshot,
}

impl Beside {
    /// Looks at the start of a medium, which is returned too; `None` if it holds none of them.
    ///
    /// # Errors
    /// The medium's.
    pub fn find(media: &dyn Media) -> std::io::Result<Option<(Self, Vec<u8>)>> {
        let mut head = vec![0; usize::try_from(media.size_bytes().min(HEAD_BYTES)).unwrap_or(0)];
        media.read_at(0, &mut head)?;
        let magics = [
            (Self::Raid, dm::RAID_MAGIC.to_le_bytes()),
            (Self::Mirror, dm::mirror::MAGIC.to_le_bytes()),
            (Self::Snapshot, dm::snapshot::MAGIC.to_le_bytes()),
        ];
        let found = magics.into_iter().find(|(_, magic)| head.starts_with(magic));
        Ok(found.map(|(beside, _)| (beside, head)))
    }

    /// The name of the target.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raid => "dm-raid",
            Self::Mirror => "dm-mirror",
            Self::Snapshot => "dm-snapshot",
        }
    }
}
