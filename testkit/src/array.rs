//! Whole arrays in memory. Read from their members, by the core's own plans: what a test of a format compares with the hash that Linux
//! gave. And laid out on members, the slow way.
//!
//! It is the shortest host there can be: records are judged, the geometry is built, each step of a plan is done. Nothing here knows a
//! format.

use raid_core::{
    ArrayConfig, Member, Sector, Sectors, Sizes, StripeNo,
    geometry::{Content, Geometry, Part},
    health::{Event, Health},
    parity::{self, Lost, Parity},
    plan::{self, By, How, Recover},
    reshape::Layouts,
};
use raid_formats::assemble::{Assembly, Claimant, Force, Verdict, judge};

/// A member: what its metadata claim, and its bytes.
pub type Given<'a, C> = (C, &'a [u8]);

/// The array at rest that these members are.
///
/// # Errors
/// What kept it from being put together.
pub fn geometry<C: Claimant>(members: &[Given<'_, C>]) -> Result<(Geometry, Assembly, Vec<Verdict>), String> {
    let claims: Vec<&C> = members.iter().map(|(claim, _)| claim).collect();
    let mut verdicts = vec![Verdict::Spare; claims.len()];
    let assembly = judge(&claims, &Force::default(), &mut verdicts).map_err(|refusal| refusal.to_string())?;
    let lead = claims[assembly.freshest].record();
    let config = ArrayConfig {
        level: lead.shape.level,
        members: lead.shape.members,
        chunk: lead.shape.chunk,
        sizes: Sizes::Same(if lead.used.is_zero() { lead.data.len } else { lead.used }),
        array_size: lead.shape.array_size,
    };
    let geometry = Geometry::new(&config).map_err(|error| error.to_string())?;
    Ok((geometry, assembly, verdicts))
}

/// All bytes of the array.
///
/// # Errors
/// What kept it from being put together, or the first sector that is lost.
///
/// # Panics
/// If the core's plans name what there is not.
pub fn read<C: Claimant>(members: &[Given<'_, C>]) -> Result<Vec<u8>, String> {
    let (geometry, assembly, verdicts) = geometry(members)?;
    let mut health = Health::new(assembly.slots).map_err(|error| error.to_string())?;
    let mut data: Vec<&[u8]> = vec![&[]; usize::from(assembly.slots)];
    for ((claim, bytes), verdict) in members.iter().zip(verdicts) {
        let Verdict::Current { slot, mark, .. } = verdict else { continue };
        let member = Member(u8::try_from(slot).map_err(|error| error.to_string())?);
        let event = mark.map_or(Event::Admit, |mark| Event::Rebuild { mark: Sector(mark.0) });
        health.apply(member, event).map_err(|error| error.to_string())?;
        data[usize::from(slot)] = &bytes[byte(claim.record().data.at)..];
    }
    let mut array = vec![0; byte(Sector(geometry.array_size().0))];
    let layouts = Layouts::one(geometry);
    let (mut at, end) = (Sector(0), layouts.array_size());
    while at.0 < end.0 {
        let step = plan::read(&layouts, &health, at, Sectors(end.0 - at.0)).map_err(|error| error.to_string())?;
        let into = &mut array[byte(at)..][..byte(Sector(step.len.0))];
        match &step.how {
            How::Direct { place } => {
                into.copy_from_slice(&data[usize::from(place.member.0)][byte(place.at)..][..into.len()]);
            }
            How::Recover(by) => recover(by, &data, into),
            other => return Err(format!("sector {at}: {other:?}")),
        }
        at = Sector(at.0 + step.len.0);
    }
    Ok(array)
}

fn recover(recover: &Recover, members: &[&[u8]], into: &mut [u8]) {
    let stripe = &recover.stripe;
    let column = |member| stripe.column(member).expect("a data member");
    let mut data: Vec<&[u8]> = vec![&[]; usize::from(stripe.columns())];
    let (mut p, mut q): (&[u8], &[u8]) = (&[], &[]);
    for (member, part) in recover.reads() {
        let bytes = &members[usize::from(member.0)][byte(recover.at)..][..into.len()];
        match part {
            Part::P => p = bytes,
            Part::Q => q = bytes,
            Part::Data(_) => data[usize::from(column(member))] = bytes,
        }
    }
    let mut other = vec![0; into.len()];
    let wanted = column(recover.wanted);
    let (lost, p, q) = match recover.by {
        By::P => (Lost::One(wanted, into), Parity::Given(p), Parity::Absent),
        By::Q => (Lost::One(wanted, into), Parity::Absent, Parity::Given(q)),
        By::PAndQ { other: member } => {
            (Lost::Two((wanted, into), (column(member), &mut other)), Parity::Given(p), Parity::Given(q))
        }
    };
    parity::detect().recover(&data, lost, p, q).expect("lengths are those of one run");
}

/// What each member of an array with this content holds: sector by sector by the inverse of the map, parity by the reference.
///
/// # Panics
/// If the content is shorter than the array.
#[must_use]
pub fn lay_out(geometry: &Geometry, content: &[u8]) -> Vec<Vec<u8>> {
    let sector = |at: Sector| &content[byte(at)..][..512];
    let member = |slot: u8| {
        let at = (0..geometry.member_size(Member(slot)).0).map(Sector);
        at.flat_map(|at| match geometry.unmap(Member(slot), at).expect("a member's sector") {
            Content::Data(array) => sector(array).to_vec(),
            Content::P(stripe) => parity_of(geometry, stripe, at, &sector).0,
            Content::Q(stripe) => parity_of(geometry, stripe, at, &sector).1,
            Content::Unused => vec![0; 512],
        })
        .collect()
    };
    (0..u8::try_from(geometry.members()).expect("at most 255 members")).map(member).collect()
}

fn parity_of<'a>(
    geometry: &Geometry,
    stripe: StripeNo,
    at: Sector,
    sector: &dyn Fn(Sector) -> &'a [u8],
) -> (Vec<u8>, Vec<u8>) {
    let map = geometry.stripe(stripe).expect("parity is a stripe's");
    // Where P and Q lie, DDF's order counts columns that hold nothing; an empty column stands for zeros there.
    let zeros = [0; 512];
    let mut data: Vec<&[u8]> = vec![&zeros; usize::from(map.columns())];
    for slot in 0..u8::try_from(geometry.members()).expect("at most 255 members") {
        if let Some(Content::Data(array)) = geometry.unmap(Member(slot), at) {
            data[usize::from(map.column(Member(slot)).expect("a data member"))] = sector(array);
        }
    }
    let (mut p, mut q) = (vec![0; 512], vec![0; 512]);
    parity::reference::pq(&data, &mut p, &mut q);
    (p, q)
}

fn byte(at: Sector) -> usize {
    usize::try_from(at.0 * 512).expect("test images fit memory")
}
