//! What must be true of the disks themselves, whoever looks.

use raid_core::geometry::StripeMap;
use raid_core::health::Health;
use raid_core::region::RegionNo;
use raid_core::rows::{RowNo, Rows};
use raid_core::{Columns, Member};

use super::compute;
use super::disk::Disk;
use super::model::Value;

/// The states that the disks hold: the newest of those present.
pub(super) fn health(disks: &[Disk]) -> Option<Health> {
    disks.iter().filter(|disk| disk.present).filter_map(|disk| disk.health).max_by_key(Health::epoch)
}

/// Disks that are there and in sync by what they say together.
pub(super) fn trusted(disks: &[Disk], health: &Health) -> Columns {
    health.in_sync().iter().filter(|member| disks[usize::from(member.0)].is_member()).collect()
}

/// Whether the bit of a region is set on any trusted disk.
pub(super) fn bit(disks: &[Disk], trusted: Columns, region: RegionNo, page_words: usize) -> bool {
    let (word, bit) = (usize::try_from(region.0 / 64).unwrap_or(usize::MAX), region.0 % 64);
    trusted.iter().any(|member| {
        let page = disks[usize::from(member.0)].log.get(word / page_words);
        page.and_then(|page| page.get(word % page_words)).is_some_and(|word| word >> bit & 1 == 1)
    })
}

/// Rows whose redundancy does not fit their data, as far as the trusted disks can tell: what is durable on them.
pub(super) fn inconsistent<'a>(
    rows: &'a Rows,
    disks: &'a [Disk],
    trusted: Columns,
) -> impl Iterator<Item = RowNo> + 'a {
    (0..rows.count()).map(RowNo).filter(move |row| {
        let band = rows.whole(*row);
        (0..usize::from(band.len)).any(|offset| {
            let value = |member: Member| -> Option<Value> {
                let at = usize::try_from(rows.at(*row, band, member)?.0).ok()? + offset;
                trusted.contains(member).then(|| disks[usize::from(member.0)].durable(at))
            };
            match rows.stripe(*row) {
                Some(stripe) => !parity_fits(&stripe, &value),
                None => {
                    let mut values = rows.members(*row).iter().filter_map(value);
                    let first = values.next();
                    values.any(|value| Some(value) != first)
                }
            }
        })
    })
}

/// Whether P and Q, as far as they are trusted, are what the data make. True if some of the data are not known.
fn parity_fits(stripe: &StripeMap, value: &dyn Fn(Member) -> Option<Value>) -> bool {
    let mut columns = vec![Vec::new(); usize::from(stripe.columns())];
    for member in Rows::data(stripe).iter() {
        let (Some(value), Some(column)) = (value(member), stripe.column(member)) else { return true };
        columns[usize::from(column)] = value.to_le_bytes().to_vec();
    }
    let (p, q) = compute::parity(&columns);
    value(stripe.p()).is_none_or(|value| value == p) && stripe.q().and_then(value).is_none_or(|value| value == q)
}
