//! What a group's text says: physical volumes, volumes.

use super::{Id, Refusal, Section, Segment};
use raid_core::{Sector, Sectors};

/// A group, as one text tells it.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    name: &'a [u8],
    body: Section<'a>,
    id: Id,
    seqno: u64,
    extent: Sectors,
}

/// A physical volume, as the group's text knows it.
#[derive(Clone, Copy, Debug)]
pub struct Physical<'a> {
    /// Its name in this text: `pv0` and so on.
    pub name: &'a [u8],
    /// Its identity.
    pub id: Id,
    /// Where it was seen last; a hint.
    pub device: &'a [u8],
    /// It was not there when the text was written: what it holds may be older than the rest.
    pub missing: bool,
    /// Sector of the medium where extents start.
    pub extents_at: Sector,
    /// Extents.
    pub extents: u64,
}

/// A logical volume.
#[derive(Clone, Copy, Debug)]
pub struct Volume<'a> {
    /// Its name.
    pub name: &'a [u8],
    body: Section<'a>,
    id: Option<Id>,
}

/// A field that must be there.
fn need<T>(value: Option<T>, of: &'static str, field: &'static str) -> Result<T, Refusal> {
    value.ok_or(Refusal::Field { of, field })
}

impl<'a> Group<'a> {
    /// Reads a text.
    ///
    /// # Errors
    /// [`Refusal`]: the grammar, or a field without which nothing can be said.
    pub fn parse(text: &'a [u8]) -> Result<Self, Refusal> {
        let whole = Section::parse(text)?;
        let (name, body) = need(whole.sections().next(), "text", "section of the group")?;
        let id = need(body.text("id").and_then(Id::parse), "group", "id")?;
        let seqno = need(body.number("seqno"), "group", "seqno")?;
        let extent = body.number("extent_size").filter(|size| *size > 0 && *size < 1 << 40);
        let extent = Sectors(need(extent, "group", "extent_size")?);
        Ok(Self { name, body, id, seqno, extent })
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Its identity.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    /// How often its text was written: the highest counts.
    #[must_use]
    pub const fn seqno(&self) -> u64 {
        self.seqno
    }

    /// Sectors of an extent.
    #[must_use]
    pub const fn extent(&self) -> Sectors {
        self.extent
    }

    /// `extents` in sectors.
    ///
    /// # Errors
    /// More than there can be.
    pub fn sectors(&self, extents: u64) -> Result<Sectors, Refusal> {
        let sectors = extents.checked_mul(self.extent.0).filter(|sectors| *sectors < 1 << 54);
        sectors.map(Sectors).ok_or(Refusal::Field { of: "segment", field: "number of extents" })
    }

    /// Its physical volumes.
    pub fn physical(&self) -> impl Iterator<Item = Result<Physical<'a>, Refusal>> + use<'a> {
        let section = self.body.section("physical_volumes");
        section.into_iter().flat_map(|section| section.sections()).map(|(name, body)| {
            let of = "physical volume";
            Ok(Physical {
                name,
                id: need(body.text("id").and_then(Id::parse), of, "id")?,
                device: body.text("device").unwrap_or(&[]),
                missing: body.list("flags").holds("MISSING") || body.list("status").holds("MISSING"),
                extents_at: Sector(need(body.number("pe_start"), of, "pe_start")?),
                extents: need(body.number("pe_count"), of, "pe_count")?,
            })
        })
    }

    /// Its volumes, the hidden ones too.
    pub fn volumes(&self) -> impl Iterator<Item = Volume<'a>> + use<'a> {
        let section = self.body.section("logical_volumes");
        section.into_iter().flat_map(|section| section.sections()).map(|(name, body)| Volume {
            name,
            body,
            id: body.text("id").and_then(Id::parse),
        })
    }
}

impl<'a> Volume<'a> {
    /// Its identity, if the text gives one.
    #[must_use]
    pub const fn id(&self) -> Option<Id> {
        self.id
    }

    /// True if it is for users: not a part of another volume.
    #[must_use]
    pub fn visible(&self) -> bool {
        self.has("VISIBLE")
    }

    /// True if that flag is set.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.body.list("status").holds(flag)
    }

    /// Its segments, in the order of the text, which is that of their extents.
    pub fn segments(&self) -> impl Iterator<Item = Result<Segment<'a>, Refusal>> + use<'a> {
        let segments = self.body.sections().filter(|(name, _)| name.starts_with(b"segment"));
        segments.map(|(_, body)| Segment::parse(body))
    }
}
