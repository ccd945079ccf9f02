//! What bytes say: the only part of a check that looks at any. Hosts call these; the core does not.

use super::{Evidence, Fault};
use crate::geometry::StripeMap;
use crate::parity::{Culprit, Error, Ops};
use crate::units::{Columns, Member};

/// Compares a band's data with those of P and Q that are given. `data` has the columns in their places
/// ([`StripeMap::column`]), empty where there is none; all others have one length, whole sectors, 65,535 bytes at most.
///
/// # Errors
/// As [`Ops::locate`].
pub fn by_parity(
    ops: &Ops,
    stripe: &StripeMap,
    data: &[&[u8]],
    p: Option<&[u8]>,
    q: Option<&[u8]>,
) -> Result<Evidence, Error> {
    let Some(located) = ops.locate(data, p, q)? else { return Ok(Evidence::FITS) };
    let holder = |column| Columns::first(stripe.members()).iter().find(|member| stripe.column(*member) == Some(column));
    let named = match located.culprit {
        Culprit::Data(column) => holder(column),
        Culprit::P => Some(stripe.p()),
        Culprit::Q => stripe.q(),
        Culprit::Several | Culprit::Unknown => None,
    };
    let fault = match (named, located.culprit) {
        (Some(member), _) => Fault::Blocks(Columns::one(member)),
        (None, Culprit::Unknown) => Fault::Unknown,
        (None, _) => Fault::Several,
    };
    Ok(evidence(fault, located.from_bytes, located.to_bytes, located.bytes))
}

/// Compares copies of a band, each with the member that has it; all of one length. More than half of them alike are right,
/// and the others wrong.
#[must_use]
pub fn by_copies(copies: &[(Member, &[u8])]) -> Evidence {
    let Some((_, first)) = copies.first() else { return Evidence::FITS };
    if copies.iter().all(|(_, copy)| copy == first) {
        return Evidence::FITS;
    }
    let alike = |with: &[u8]| copies.iter().filter(|(_, copy)| *copy == with).count();
    let right = copies.iter().find(|(_, copy)| alike(copy) > copies.len() / 2);
    let fault = match right {
        Some((_, right)) => {
            let wrong = copies.iter().filter(|(_, copy)| copy != right);
            Fault::Blocks(wrong.map(|(member, _)| *member).collect())
        }
        None if copies.len() == 2 => Fault::Unknown,
        None => Fault::Several,
    };
    let differs = |at: &usize| copies.iter().any(|(_, copy)| copy.get(*at) != first.get(*at));
    let mut places = (0..first.len()).filter(differs);
    let from = places.next().unwrap_or(0);
    let (count, last) = places.fold((1_usize, from), |(count, _), at| (count.saturating_add(1), at));
    evidence(fault, from, last.saturating_add(1), count)
}

fn evidence(fault: Fault, from: usize, to: usize, bytes: usize) -> Evidence {
    let short = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX);
    Evidence { fault: Some(fault), from_bytes: short(from), to_bytes: short(to), bytes: short(bytes) }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn vote(copies: &[&[u8]]) -> Evidence {
        let copies: Vec<_> = (0..).map(Member).zip(copies.iter().copied()).collect();
        by_copies(&copies)
    }

    fn set(members: &[u8]) -> Columns {
        members.iter().copied().map(Member).collect()
    }

    #[test]
    fn the_majority_is_right_and_all_others_are_named() {
        let (good, bad, worse) = ([1, 2, 3, 4, 5], [1, 9, 3, 9, 5], [1, 2, 3, 4, 9]);
        assert_eq!(vote(&[&good, &good, &good]), Evidence::FITS);
        assert_eq!(vote(&[&good]), Evidence::FITS);
        let wrong = Some(Fault::Blocks(set(&[0])));
        assert_eq!(vote(&[&bad, &good, &good]), Evidence { fault: wrong, from_bytes: 1, to_bytes: 4, bytes: 2 });
        let wrong = Some(Fault::Blocks(set(&[1, 3])));
        let found = vote(&[&good, &bad, &good, &worse, &good]);
        assert_eq!(found, Evidence { fault: wrong, from_bytes: 1, to_bytes: 5, bytes: 3 });
    }

    #[test]
    fn half_is_no_majority_and_two_cannot_know() {
        let (good, bad, worse) = ([1, 2], [1, 3], [1, 4]);
        assert_eq!(vote(&[&good, &bad]).fault, Some(Fault::Unknown));
        assert_eq!(vote(&[&good, &bad, &worse]).fault, Some(Fault::Several));
        assert_eq!(vote(&[&good, &bad, &good, &bad]).fault, Some(Fault::Several));
        assert_eq!(vote(&[&good, &bad, &good, &worse]).fault, Some(Fault::Several));
    }
}
