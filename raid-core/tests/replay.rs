//! The replay of partial parity against a model: stripes cut in mid-write, with every mix of old and new on their members.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use raid_core::geometry::Geometry;
use raid_core::plan::{Readable, Trust};
use raid_core::replay::{Foreign, How, Logged, redo};
use raid_core::reshape::Side;
use raid_core::{ArrayConfig, Columns, Level, Member, Raid5Layout, Sector, Sectors, Sizes, StripeNo};

const CHUNK: u64 = 8;
const STRIPES: u64 = 4;
const MEMBERS: u16 = 4;

fn geometry(layout: Raid5Layout) -> Geometry {
    Geometry::new(&ArrayConfig {
        level: Level::Raid5(layout),
        members: MEMBERS,
        chunk: Sectors(CHUNK),
        sizes: Sizes::Same(Sectors(CHUNK * STRIPES)),
        array_size: None,
    })
    .unwrap()
}

/// All members but one, if one is missing.
struct Without(Option<Member>);

impl Trust for Without {
    fn readable(&self, _: Side, member: Member, _: Sector, len: Sectors) -> (Readable, Sectors) {
        (if Some(member) == self.0 { Readable::No } else { Readable::Yes }, len)
    }
}

/// One number a sector is content enough.
type Disks = Vec<Vec<u64>>;

fn parity(geometry: &Geometry, disks: &Disks, at: u64) -> (usize, u64) {
    let p = geometry.stripe(StripeNo(at / CHUNK)).unwrap().p();
    let others = (0..disks.len()).filter(|disk| *disk != usize::from(p.0));
    (usize::from(p.0), others.fold(0, |sum, disk| sum ^ disks[disk][usize::try_from(at).unwrap()]))
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

/// An array in order, and the same after a write of `len` sectors of each of `columns` columns at `at`; with what was logged.
fn written(geometry: &Geometry, at: u64, columns: u64, len: u64) -> (Disks, Disks, Logged, Vec<u64>) {
    let mut number = 1_u64;
    let mut old: Disks = vec![vec![0; index(CHUNK * STRIPES)]; usize::from(MEMBERS)];
    for disk in &mut old {
        for sector in disk.iter_mut() {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *sector = number;
        }
    }
    let with_parity = |disks: &mut Disks| {
        for row in 0..CHUNK * STRIPES {
            let (p, sum) = parity(geometry, disks, row);
            disks[p][index(row)] = sum;
        }
    };
    with_parity(&mut old);
    let mut new = old.clone();
    let mut touched = Columns::EMPTY;
    for (column, row) in (0..columns).flat_map(|column| (0..len).map(move |row| (column, row))) {
        let place = geometry.map(Sector(at + column * CHUNK + row)).unwrap();
        touched.insert(place.member);
        new[usize::from(place.member.0)][index(place.at.0)] ^= 0xABCD_EF00 + column * 77 + row;
    }
    with_parity(&mut new);
    let first = geometry.map(Sector(at)).unwrap();
    let p = geometry.stripe(first.stripe).unwrap().p();
    let whole = columns == u64::from(MEMBERS) - 1;
    let partial = |row: u64| {
        let others = (0..4).filter(|disk| *disk != p.0 && !touched.contains(Member(*disk)));
        others.fold(0, |sum, disk| sum ^ old[usize::from(disk)][index(first.at.0 + row)])
    };
    let log = if whole { Vec::new() } else { (0..len).map(partial).collect() };
    let logged = Logged { at: Sector(at), len: Sectors(columns * len), partial: Sectors(log.len() as u64), parity: p };
    (old, new, logged, log)
}

/// Replays on `disks`; rows in doubt.
fn replay(geometry: &Geometry, disks: &mut Disks, logged: &Logged, log: &[u64], lost: Option<Member>) -> Vec<u64> {
    let (mut row, mut doubted) = (0, Vec::new());
    while let Some(step) = redo(geometry, &Without(lost), logged, Sectors(row)).unwrap() {
        assert!(step.len.0 > 0);
        for offset in 0..step.len.0 {
            let at = step.at.0 + offset;
            match step.how {
                How::Make { written, partial } => {
                    let sum = written.iter().fold(0, |sum, member| sum ^ disks[usize::from(member.0)][index(at)]);
                    let logged_part = partial.map_or(0, |partial| log[index(partial.0 + offset)]);
                    disks[usize::from(logged.parity.0)][index(at)] = sum ^ logged_part;
                }
                How::Keep => {}
                How::Doubted => doubted.push(at),
            }
        }
        row += step.len.0;
    }
    doubted
}

/// Every layout, every run of columns and rows of a stripe, every mix of old and new members at the cut.
#[test]
fn parity_agrees_with_whatever_mix_of_old_and_new_a_cut_left() {
    let layouts = [Raid5Layout::LeftAsymmetric, Raid5Layout::LeftSymmetric, Raid5Layout::RightAsymmetric];
    let mut cases = 0;
    for geometry in layouts.map(geometry) {
        for (stripe, first) in (0..STRIPES).flat_map(|stripe| (0..3).map(move |first| (stripe, first))) {
            for (columns, len) in (1..=3 - first).flat_map(|columns| [1, 3, CHUNK].map(|len| (columns, len))) {
                // Rows of one write start where its first column does.
                let at = stripe * 3 * CHUNK + first * CHUNK + (CHUNK - len).min(2);
                if columns == 3 && first != 0 {
                    continue;
                }
                let (old, new, logged, log) = written(&geometry, at, columns, len);
                for mix in 0..1_usize << MEMBERS {
                    let take = |disk: usize| if mix >> disk & 1 == 0 { old[disk].clone() } else { new[disk].clone() };
                    let cut: Disks = (0..usize::from(MEMBERS)).map(take).collect();
                    let mut whole = cut.clone();
                    assert!(replay(&geometry, &mut whole, &logged, &log, None).is_empty());
                    for row in 0..CHUNK * STRIPES {
                        let (p, sum) = parity(&geometry, &whole, row);
                        assert_eq!(whole[p][index(row)], sum, "{logged:?} mix {mix:#b} row {row}");
                    }
                    for lost in 0..4 {
                        degraded(&geometry, &cut, (&old, &new), &logged, &log, Member(lost));
                    }
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 1000);
}

/// Without `lost`, what parity gives is its old or its new content, but in the rows that are in doubt.
fn degraded(
    geometry: &Geometry,
    cut: &Disks,
    (old, new): (&Disks, &Disks),
    logged: &Logged,
    log: &[u64],
    lost: Member,
) {
    if lost == logged.parity {
        return;
    }
    let mut left = cut.clone();
    left[usize::from(lost.0)].fill(0xDEAD);
    let doubted = replay(geometry, &mut left, logged, log, Some(lost));
    for row in 0..CHUNK * STRIPES {
        let stripe = geometry.stripe(StripeNo(row / CHUNK)).unwrap();
        if stripe.p() == lost || doubted.contains(&row) {
            continue;
        }
        let others = (0..4).filter(|disk| *disk != lost.0);
        let found = others.fold(0, |sum, disk| sum ^ left[usize::from(disk)][index(row)]);
        let allowed = [old, new].map(|disks| disks[usize::from(lost.0)][index(row)]);
        assert!(allowed.contains(&found), "{logged:?} without {lost}: row {row}");
    }
}

/// An entry of a member that does not hold the stripe's parity, or of a place that the array does not have, is not replayed.
#[test]
fn an_entry_of_no_write_of_this_array_is_refused() {
    let geometry = geometry(Raid5Layout::LeftAsymmetric);
    let (_, _, logged, _) = written(&geometry, 2, 1, 3);
    let wrong = [
        Logged { parity: Member(0), ..logged },
        Logged { at: Sector(3 * CHUNK * STRIPES), ..logged },
        Logged { at: Sector(u64::MAX), ..logged },
        Logged { len: Sectors(0), ..logged },
        Logged { len: Sectors(4 * 3), ..logged },
        Logged { len: Sectors(u64::MAX), partial: Sectors(0), ..logged },
        // Two columns from the last of a stripe: the second is of another stripe.
        Logged { at: Sector(2 * CHUNK), len: Sectors(6), ..logged },
    ];
    for logged in wrong {
        assert_eq!(redo(&geometry, &Without(None), &logged, Sectors(0)), Err(Foreign), "{logged:?}");
    }
}

/// A log of another writer: a whole chunk of partial parity for less data. Rows that nothing was written to stay.
#[test]
fn rows_that_nothing_was_written_to_stay() {
    let geometry = geometry(Raid5Layout::LeftAsymmetric);
    let logged = Logged { at: Sector(0), len: Sectors(3), partial: Sectors(CHUNK), parity: Member(3) };
    let step = |row| redo(&geometry, &Without(None), &logged, Sectors(row)).unwrap();
    let made = step(0).unwrap();
    assert_eq!(
        (made.len, made.how),
        (Sectors(3), How::Make { written: Columns::one(Member(0)), partial: Some(Sectors(0)) })
    );
    assert_eq!(step(3).unwrap().how, How::Keep);
    assert_eq!(step(CHUNK), None);
}
