//! What must be true of the disks themselves, whoever looks.

use raid_core::health::Health;
use raid_core::region::RegionNo;
use raid_core::rows::{Band, RowNo, Rows};
use raid_core::{Columns, Member};

use super::compute::Roles;
use super::disk::Disk;
use super::model::Value;

/// The states that the disks hold: the newest of those present.
pub(super) fn health(disks: &[Disk]) -> Option<Health> {
    disks.iter().filter(|disk| disk.present).filter_map(|disk| disk.health).max_by_key(Health::epoch)
}

/// The disk that serves a slot: each has two places.
pub(super) fn serving(health: &Health, member: Member) -> usize {
    usize::from(health.seat(member).0)
}

/// Slots whose disks are there and in sync by what they say together.
pub(super) fn trusted(disks: &[Disk], health: &Health) -> Columns {
    health.in_sync().iter().filter(|member| disks[serving(health, *member)].is_member()).collect()
}

/// Whether the bit of a region is set on any trusted disk.
pub(super) fn bit(disks: &[Disk], health: &Health, trusted: Columns, region: RegionNo, page_words: usize) -> bool {
    let (word, bit) = (usize::try_from(region.0 / 64).unwrap_or(usize::MAX), region.0 % 64);
    trusted.iter().any(|member| {
        let page = disks[serving(health, member)].log.get(word / page_words);
        page.and_then(|page| page.get(word % page_words)).is_some_and(|word| word >> bit & 1 == 1)
    })
}

/// Rows whose redundancy does not fit their data, as far as the trusted disks can tell: what is durable on them.
pub(super) fn inconsistent<'a>(
    rows: &'a Rows,
    disks: &'a [Disk],
    health: Health,
    trusted: Columns,
) -> impl Iterator<Item = RowNo> + 'a {
    let durable = move |member, at| disks[serving(&health, member)].durable(at);
    let fits = move |row: &RowNo| fits(rows, trusted, *row, rows.whole(*row), durable);
    (0..rows.count()).map(RowNo).filter(move |row| !fits(row))
}

/// Whether redundancy fits the data in a band, as far as the trusted disks can tell.
pub(super) fn fits(
    rows: &Rows,
    trusted: Columns,
    row: RowNo,
    band: Band,
    value: impl Fn(Member, usize) -> Value,
) -> bool {
    let first = |member: Member| Some(usize::try_from(rows.at(row, band, member)?.0).unwrap_or(usize::MAX));
    let Some(stripe) = rows.stripe(row) else {
        let places: Vec<(Member, usize)> = (rows.members(row).intersection(trusted).iter())
            .filter_map(|member| Some((member, first(member)?)))
            .collect();
        let same = |offset: usize| {
            let mut values = places.iter().map(|(member, at)| value(*member, at + offset));
            let first = values.next();
            values.all(|value| Some(value) == first)
        };
        return (0..usize::from(band.len)).all(same);
    };
    // If some of the data are not known, nobody can tell.
    if !Rows::data(&stripe).difference(trusted).is_empty() {
        return true;
    }
    let Some(from) = first(stripe.p()) else { return true };
    let roles = Roles::new(&stripe);
    (from..from + usize::from(band.len)).all(|at| {
        let (p, q) = roles.parity(|member| value(member, at));
        let is = |member: Member, made: Value| !trusted.contains(member) || value(member, at) == made;
        is(stripe.p(), p) && stripe.q().is_none_or(|member| is(member, q))
    })
}
