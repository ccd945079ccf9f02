//! What must be true of the disks themselves, whoever looks.

use std::ops::Range;

use raid_core::health::Health;
use raid_core::parity::gf;
use raid_core::region::RegionNo;
use raid_core::rows::{Band, ROW_LEN, RowNo, Rows};
use raid_core::{Columns, Member};

use super::compute::times;
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
    let durable = move |member, at| disks[serving(&health, member)].all_durable(at);
    let fits = move |row: &RowNo| fits(rows, trusted, *row, rows.whole(*row), durable);
    (0..rows.count()).map(RowNo).filter(move |row| !fits(row))
}

/// Whether redundancy fits the data in a band, as far as the trusted disks can tell; `values` are what a member holds.
pub(super) fn fits<'a>(
    rows: &Rows,
    trusted: Columns,
    row: RowNo,
    band: Band,
    values: impl Fn(Member, Range<usize>) -> &'a [Value],
) -> bool {
    let len = usize::from(band.len);
    let column = |member: Member| {
        let at = usize::try_from(rows.at(row, band, member)?.0).unwrap_or(usize::MAX);
        Some(values(member, at..at + len))
    };
    let Some(stripe) = rows.stripe(row) else {
        let mut copies = rows.members(row).intersection(trusted).iter().filter_map(column);
        let first = copies.next();
        return copies.all(|copy| Some(copy) == first);
    };
    let data = Rows::data(&stripe);
    // If some of the data are not known, nobody can tell.
    if !data.difference(trusted).is_empty() {
        return true;
    }
    let is = |member: Member, made: &[Value]| !trusted.contains(member) || column(member).is_none_or(|is| is == made);
    let Some(q) = stripe.q() else {
        let mut p = [0; ROW_LEN];
        for column in data.iter().filter_map(column) {
            p.iter_mut().zip(column).for_each(|(p, value)| *p ^= value);
        }
        return is(stripe.p(), &p[..len]);
    };
    let (mut p_made, mut q_made) = ([0; ROW_LEN], [0; ROW_LEN]);
    let columns = data.iter().filter_map(|member| Some((stripe.exponent(member)?, column(member)?)));
    for (exponent, column) in columns {
        let factor = gf::power(exponent);
        for (at, value) in column.iter().enumerate() {
            p_made[at] ^= value;
            q_made[at] ^= times(factor, *value);
        }
    }
    is(stripe.p(), &p_made[..len]) && is(q, &q_made[..len])
}
