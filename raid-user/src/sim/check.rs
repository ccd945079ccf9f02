//! What must be true of the disks themselves, whoever looks.

use std::ops::Range;

use raid_core::health::{Epoch, Health};
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

/// What the disks of all members and copies held when the power came: the engine begins with the newest as if all had it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    newest: Epoch,
    all: Epoch,
}

impl Held {
    pub(super) fn new(disks: &[Disk], health: &Health) -> Self {
        let current = health.written().iter().filter(|seat| is_current(disks, *seat));
        let held = current.filter_map(|seat| disks[usize::from(seat.0)].health);
        let newest = health.epoch();
        Self { newest, all: held.map(|health| health.epoch()).min().unwrap_or(newest) }
    }

    /// What all hold, if `durable` is what the engine believes so.
    pub(super) fn before(&self, durable: Epoch) -> Epoch {
        if durable == self.newest { self.all } else { durable }
    }
}

/// True if the disk in a seat is a member's, and is no older than a member's can be: whoever is in sync by the newest states had the
/// states before them.
///
/// Seed 5071190 of the worlds of 2026-11-26: a disk that was a member long ago came into the slot of one that vanished, and the power
/// failed before any disk said that the slot had been empty. What it had missed was taken for what had been acknowledged. Formats tell
/// by their event counts that it is stale; these disks had none.
pub(super) fn is_current(disks: &[Disk], seat: Member) -> bool {
    let held = |disk: &Disk| disk.health.filter(|_| disk.present).map(|health| health.epoch());
    let newest = disks.iter().max_by_key(|disk| held(disk));
    let disk = disks.get(usize::from(seat.0)).and_then(held);
    disk.is_some_and(|disk| newest.is_none_or(|newest| disk >= newest.before))
}

/// Since when the bits of the log are whole, by what members' disks say.
pub(super) fn cleared(disks: &[Disk]) -> Epoch {
    disks.iter().filter(|disk| disk.is_member()).map(|disk| disk.cleared).max().unwrap_or_default()
}

/// The disk that serves a slot: each has two places.
pub(super) fn serving(health: &Health, member: Member) -> usize {
    usize::from(health.seat(member).0)
}

/// Slots whose disks are there and in sync by what they say together.
pub(super) fn trusted(disks: &[Disk], health: &Health) -> Columns {
    health.in_sync().iter().filter(|member| is_current(disks, health.seat(*member))).collect()
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
