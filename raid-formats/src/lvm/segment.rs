//! What a run of a volume's extents is made of.

use super::{List, Refusal, Section, Value};
use raid_core::{FarSets, Level, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout, Sectors};

/// A run of extents of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// First extent of the volume.
    pub start: u64,
    /// Extents.
    pub extents: u64,
    /// What they are made of.
    pub kind: Kind<'a>,
}

/// Kinds of segments.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// Runs of physical volumes, in stripes if there are several.
    Striped {
        /// Where each stripe lies.
        areas: Areas<'a>,
        /// Stripes.
        count: u64,
        /// Chunk; zero if there is one stripe.
        chunk: Sectors,
    },
    /// dm-mirror: legs that all hold the same.
    Mirror {
        /// The legs.
        areas: Areas<'a>,
        /// Legs.
        count: u64,
        /// The volume that holds the log; without one, nothing says which regions agree.
        log: Option<&'a [u8]>,
        /// Sectors of a region.
        region: Sectors,
    },
    /// dm-raid: images, each with its metadata beside it.
    Raid {
        /// Level and layout, as the text names them. The records on the images say what is so.
        level: Level,
        /// The images.
        images: Images<'a>,
        /// Chunk; zero where there is none.
        chunk: Sectors,
    },
    /// What a volume held when the snapshot was taken, or what was written to the snapshot.
    Snapshot {
        /// The volume that it was taken of.
        origin: &'a [u8],
        /// The volume that holds what differs.
        store: &'a [u8],
        /// Sectors of a chunk.
        chunk: Sectors,
        /// It is being written back into its origin.
        merging: bool,
    },
    /// Reads as zeros.
    Zero,
    /// Gives errors: LVM puts it where extents were lost.
    Error,
    /// A kind that is not read.
    NotYet(&'a [u8]),
}

/// The places that a striped or mirrored segment names.
#[derive(Clone, Copy, Debug)]
pub struct Areas<'a> {
    list: List<'a>,
}

/// A place: extents of a physical volume, or of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StripeArea<'a> {
    /// Name in the text.
    pub name: &'a [u8],
    /// First extent there.
    pub extent: u64,
}

/// The images of a RAID.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    list: List<'a>,
    /// Metadata volumes stand in the list, each before its image.
    with_metadata: bool,
}

impl<'a> Areas<'a> {
    /// Each name with its number.
    pub fn iter(&self) -> impl Iterator<Item = StripeArea<'a>> + use<'a> {
        let mut values = self.list.values();
        core::iter::from_fn(move || match (values.next()?, values.next()?) {
            (Value::Text(name), Value::Number(extent)) => {
                Some(StripeArea { name, extent: u64::try_from(extent).ok()? })
            }
            _ => None,
        })
    }
}

impl<'a> Images<'a> {
    /// Each image, and in front of it the volume that holds its metadata, if there is one.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&'a [u8]>, &'a [u8])> + use<'a> {
        let mut texts = self.list.texts();
        let with_metadata = self.with_metadata;
        core::iter::from_fn(move || {
            let first = texts.next()?;
            if with_metadata { Some((Some(first), texts.next()?)) } else { Some((None, first)) }
        })
    }
}

const fn six(layout: Raid6Layout) -> Option<Level> {
    Some(Level::Raid6(layout))
}

const fn five(layout: Raid5Layout) -> Option<Level> {
    Some(Level::Raid5(layout))
}

/// LVM's names of dm-raid's levels. Source: lvm2 `lib/raid/raid.c`, kernel `dm-raid.c` (`raid_types`).
fn level(name: &[u8]) -> Option<Level> {
    match name {
        b"raid0" | b"raid0_meta" => Some(Level::Raid0(Raid0Layout::Unstated)),
        b"raid1" => Some(Level::Raid1),
        // MD's level 4 has parity on the last device; this one on the first.
        b"raid4" => five(Raid5Layout::ParityFirst),
        b"raid5" | b"raid5_ls" => five(Raid5Layout::LeftSymmetric),
        b"raid5_la" => five(Raid5Layout::LeftAsymmetric),
        b"raid5_ra" => five(Raid5Layout::RightAsymmetric),
        b"raid5_rs" => five(Raid5Layout::RightSymmetric),
        b"raid5_n" => five(Raid5Layout::ParityLast),
        b"raid6" | b"raid6_zr" => six(Raid6Layout::RotatingZeroRestart),
        b"raid6_nr" => six(Raid6Layout::RotatingNRestart),
        b"raid6_nc" => six(Raid6Layout::RotatingNContinue),
        b"raid6_n_6" => six(Raid6Layout::ParityLast),
        b"raid6_la_6" => six(Raid6Layout::LeftAsymmetric6),
        b"raid6_ls_6" => six(Raid6Layout::LeftSymmetric6),
        b"raid6_ra_6" => six(Raid6Layout::RightAsymmetric6),
        b"raid6_rs_6" => six(Raid6Layout::RightSymmetric6),
        b"raid10" | b"raid10_near" => {
            Some(Level::Raid10(Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All }))
        }
        _ => None,
    }
}

impl<'a> Segment<'a> {
    /// Reads a segment's section.
    ///
    /// # Errors
    /// [`Refusal::Field`].
    pub(super) fn parse(body: Section<'a>) -> Result<Self, Refusal> {
        let need = |field: &'static str| body.number(field).ok_or(Refusal::Field { of: "segment", field });
        let kind = body.text("type").ok_or(Refusal::Field { of: "segment", field: "type" })?;
        Ok(Self { start: need("start_extent")?, extents: need("extent_count")?, kind: Kind::parse(kind, body)? })
    }
}

impl<'a> Kind<'a> {
    /// Names with flags behind a `+` are of writers that changed what the kind means.
    fn parse(name: &'a [u8], body: Section<'a>) -> Result<Self, Refusal> {
        let need = |field: &'static str| body.number(field).ok_or(Refusal::Field { of: "segment", field });
        let text = |field: &'static str| body.text(field).ok_or(Refusal::Field { of: "segment", field });
        let chunk = Sectors(body.number("stripe_size").unwrap_or(0));
        match name {
            b"striped" | b"linear" => {
                let (areas, count) = (Areas { list: body.list("stripes") }, need("stripe_count")?);
                if count > 1 && chunk.is_zero() {
                    return Err(Refusal::Field { of: "segment", field: "stripe_size" });
                }
                whole(&areas, count, "stripes")?;
                Ok(Self::Striped { areas, count, chunk: if count > 1 { chunk } else { Sectors::ZERO } })
            }
            b"mirror" => {
                let (areas, count) = (Areas { list: body.list("mirrors") }, need("mirror_count")?);
                whole(&areas, count, "mirrors")?;
                let region = Sectors(body.number("region_size").unwrap_or(0));
                Ok(Self::Mirror { areas, count, log: body.text("mirror_log"), region })
            }
            b"snapshot" => {
                let merging = body.get("merging_store").is_some();
                let store = text(if merging { "merging_store" } else { "cow_store" })?;
                Ok(Self::Snapshot { origin: text("origin")?, store, chunk: Sectors(need("chunk_size")?), merging })
            }
            b"zero" => Ok(Self::Zero),
            b"error" => Ok(Self::Error),
            _ => Ok(match level(name) {
                Some(level) => {
                    let with_metadata = body.get("raid0_lvs").is_none();
                    let list = body.list(if with_metadata { "raids" } else { "raid0_lvs" });
                    Self::Raid { level, images: Images { list, with_metadata }, chunk }
                }
                None => Self::NotYet(name),
            }),
        }
    }
}

fn whole(areas: &Areas, count: u64, field: &'static str) -> Result<(), Refusal> {
    match areas.iter().count() as u64 == count && count > 0 {
        true => Ok(()),
        false => Err(Refusal::Field { of: "segment", field }),
    }
}
