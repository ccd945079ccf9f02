//! Makes the members of a new array, superblock and content, on media that hold nothing yet.
//!
//! Slow and obvious: each member's sectors are computed one by one from what the geometry says lives there, parity with
//! the byte-wise reference. It is for demonstrations and tests, where what is proved must not have been made by what is
//! to be proved. It creates no array that a user asked for.

use std::io;

use raid_core::geometry::{ConfigError, Content, Geometry};
use raid_core::parity::reference;
use raid_core::{ArrayConfig, Level, Member, SECTOR_BYTES, Sector, Sectors, Sizes};
use raid_formats::md::create::{CreateParams, create, default_data};
use raid_formats::md::{Refusal, Version};
use raid_formats::record::{Name, Role, Sync, Uuid};

use crate::media::MediaMut;

/// Sectors computed before they are written.
const WRITE_STEP: usize = 128;

/// The array to make, as Linux MD.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Version of the superblock.
    pub version: Version,
    /// Level and layout.
    pub level: Level,
    /// Members.
    pub members: u8,
    /// Chunk; zero for RAID 1.
    pub chunk: Sectors,
    /// Bytes of each member's medium.
    pub member_bytes: u64,
    /// Identity.
    pub array: Uuid,
    /// Name.
    pub name: Name,
}

/// Why an array was not made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The plan makes no superblock.
    #[error("{0}")]
    Refused(Refusal),
    /// The plan makes no array.
    #[error("{0}")]
    Config(ConfigError),
    /// A medium failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The geometry names a column that it does not have.
    #[error("the parity of a stripe could not be computed")]
    Parity,
}

impl From<Refusal> for MakeError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What array sectors hold.
pub type Fill<'a> = &'a dyn Fn(Sector) -> [u8; 512];

impl Plan {
    /// The array's geometry.
    ///
    /// # Errors
    /// A plan that makes none.
    pub fn geometry(&self) -> Result<Geometry, MakeError> {
        let sizes = Sizes::Same(self.used()?);
        let members = u16::from(self.members);
        let config = ArrayConfig { level: self.level, members, chunk: self.chunk, sizes, array_size: None };
        Geometry::new(&config).map_err(MakeError::Config)
    }

    fn medium(&self) -> Sectors {
        Sectors::from_bytes_floor(self.member_bytes)
    }

    fn used(&self) -> Result<Sectors, MakeError> {
        let data = default_data(self.version, self.medium(), self.chunk)?;
        // Sizes are kept in KiB by 0.90, and mdadm rounds those of RAID 1 down to them in every version.
        Ok(data.len.floor_to(if self.chunk.is_zero() { Sectors(2) } else { self.chunk }))
    }

    /// Makes the member of `slot` on `medium`.
    ///
    /// # Errors
    /// [`MakeError`].
    pub fn make(&self, slot: u8, medium: &dyn MediaMut, fill: Fill<'_>) -> Result<(), MakeError> {
        let geometry = self.geometry()?;
        let data = default_data(self.version, self.medium(), self.chunk)?;
        let roles: Vec<Role> = (0..self.members).map(|slot| Role::Slot(slot.into())).collect();
        let params = CreateParams {
            version: self.version,
            medium: self.medium(),
            level: self.level,
            members: self.members.into(),
            chunk: self.chunk,
            used: match self.level {
                Level::Linear | Level::Raid0(_) => Sectors::ZERO,
                _ => self.used()?,
            },
            data: (!matches!(self.version, Version::V0Little | Version::V0Big)).then_some(data),
            array: self.array,
            name: self.name,
            member: Uuid([slot.wrapping_add(1); 16]),
            number: slot.into(),
            roles: &roles,
            created_s: 1_700_000_000,
            sync: Sync::Clean,
            bitmap: None,
        };
        create(&params, |at, bytes| Ok::<(), MakeError>(medium.write_at(at.0 * SECTOR_BYTES, bytes)?))?;
        let size = geometry.member_size(Member(slot)).0;
        for start in (0..size).step_by(WRITE_STEP) {
            let end = size.min(start + WRITE_STEP as u64);
            let mut bytes = Vec::new();
            for at in start..end {
                bytes.extend(sector(&geometry, Member(slot), Sector(at), fill).ok_or(MakeError::Parity)?);
            }
            medium.write_at((data.at.0 + start) * SECTOR_BYTES, &bytes)?;
        }
        Ok(medium.flush()?)
    }
}

/// What one sector of a member holds: data, the parity of its row, or nothing.
fn sector(geometry: &Geometry, member: Member, at: Sector, fill: Fill<'_>) -> Option<[u8; 512]> {
    let stripe = match geometry.unmap(member, at)? {
        Content::Data(array) => return Some(fill(array)),
        Content::Unused => return Some([0; 512]),
        Content::P(stripe) | Content::Q(stripe) => geometry.stripe(stripe)?,
    };
    let mut data = vec![None; usize::from(stripe.columns())];
    for index in 0..stripe.data_count() {
        let other = stripe.data(index)?;
        if let Content::Data(array) = geometry.unmap(other, at)? {
            data[usize::from(stripe.column(other)?)] = Some(fill(array));
        }
    }
    let columns: Vec<&[u8]> = data.iter().map(|column| column.as_ref().map_or(&[][..], |bytes| &bytes[..])).collect();
    let (mut p, mut q) = ([0; 512], [0; 512]);
    reference::pq(&columns, &mut p, &mut q);
    Some(if member == stripe.p() { p } else { q })
}
