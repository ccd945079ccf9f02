//! Arrays of BIOS RAIDs, made by ourselves by the tables of `docs/formats/bios.md`, in memory.

use raid_core::geometry::Geometry;
use raid_core::{ArrayConfig, Level, Raid5Layout, Sector, Sectors, Sizes};
use raid_formats::assemble::Claimant;
use raid_formats::bios::{Arrangement, BUFFER_BYTES, Kind, Spec, Unfit};
use raid_formats::record::Name;

use crate::image::Image;
use crate::{array, pattern};

/// Size of each disk.
pub const MEDIUM: Sectors = Sectors(4096);
/// What the array uses of each.
pub const USED: Sectors = Sectors(1024);
/// Chunk.
pub const CHUNK: Sectors = Sectors(16);

/// One of each arrangement. Not every format has each.
#[must_use]
pub fn specs() -> Vec<Spec> {
    use Arrangement as A;
    let all = [
        (A::Span, 3),
        (A::Stripe, 3),
        (A::Mirror, 2),
        (A::StripedPairs, 4),
        (A::MirroredStripes, 4),
        (A::Raid5(Raid5Layout::LeftSymmetric), 4),
        (A::Raid5(Raid5Layout::LeftAsymmetric), 3),
    ];
    let spec = |(arrangement, members)| {
        let chunk = if matches!(arrangement, A::Mirror | A::Span) { Sectors(0) } else { CHUNK };
        Spec { arrangement, members, chunk, used: USED, set: 0x5ca1_ab1e, name: Name([0; 32]) }
    };
    all.into_iter().map(spec).collect()
}

/// True if it lives without a disk.
#[must_use]
pub fn is_redundant(spec: &Spec) -> bool {
    !matches!(spec.arrangement, Arrangement::Span | Arrangement::Stripe)
}

/// Its shape.
///
/// # Panics
/// If it has none.
#[must_use]
pub fn geometry(spec: &Spec) -> Geometry {
    let level = spec.arrangement.level();
    let each = vec![spec.used; usize::from(spec.members)];
    let sizes = match level {
        Level::Linear | Level::Raid0(_) => Sizes::Each(&each),
        _ => Sizes::Same(spec.used),
    };
    let config = ArrayConfig { level, members: spec.members, chunk: spec.chunk, sizes, array_size: None };
    Geometry::new(&config).expect("a shape")
}

/// What the array holds: sectors that are numbered from `first` on.
///
/// # Panics
/// Never.
#[must_use]
pub fn content(spec: &Spec, first: u64) -> Vec<u8> {
    pattern::sectors(first, usize::try_from(geometry(spec).array_size().0).expect("small"))
}

fn write(medium: &mut [u8], at: Sector, bytes: &[u8]) {
    let from = usize::try_from(at.0 * 512).expect("small");
    medium[from..from + bytes.len()].copy_from_slice(bytes);
}

/// The media of an array; `None` if the format has no such arrangement.
///
/// # Panics
/// If it has one and does not make it.
#[must_use]
pub fn media(kind: Kind, spec: &Spec) -> Option<Vec<Vec<u8>>> {
    let mut media = Vec::new();
    for (slot, data) in (0..).zip(array::lay_out(&geometry(spec), &content(spec, 0))) {
        let mut medium = vec![0; usize::try_from(MEDIUM.0 * 512).expect("small")];
        let mut pieces = Vec::new();
        let made = kind.make(spec, slot, MEDIUM, &mut [0; BUFFER_BYTES], |at, bytes| pieces.push((at, bytes.to_vec())));
        match made {
            Ok(()) => {}
            Err(Unfit::Arrangement | Unfit::Members) => return None,
            Err(other) => panic!("{kind:?} {spec:?}: {other}"),
        }
        // Where the data start is the record's own word.
        pieces.iter().for_each(|(at, bytes)| write(&mut medium, *at, bytes));
        let found = kind.find(&Image(&medium), &mut [0; BUFFER_BYTES]).expect("what was made is found");
        write(&mut medium, found.record().data.at, &data);
        // The record of the oldest HighPoint lies in the data of its first disk.
        pieces.iter().for_each(|(at, bytes)| write(&mut medium, *at, bytes));
        media.push(medium);
    }
    Some(media)
}
