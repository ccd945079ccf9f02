//! The model: an array is its content, and what members hold of it follows, sector by sector and byte by byte.

use raid_core::geometry::{Geometry, Part};
use raid_core::parity::reference;
use raid_core::{Columns, Member, Sector, StripeNo};

use super::trace::{SHARE, Step};

pub(crate) struct Model {
    geometry: Geometry,
    content: Vec<u8>,
    failed: Columns,
}

fn bytes(sectors: u64) -> usize {
    usize::try_from(sectors * 512).unwrap()
}

impl Model {
    pub(crate) fn new(geometry: &Geometry) -> Self {
        let content = vec![0; bytes(geometry.array_size().0)];
        Self { geometry: geometry.clone(), content, failed: Columns::EMPTY }
    }

    pub(crate) fn play(&mut self, step: Step, pattern: &[u8]) {
        match step {
            Step::Write { at, len, from } => {
                self.content[bytes(at)..][..bytes(len)].copy_from_slice(&pattern[bytes(from)..][..bytes(len)]);
            }
            Step::Fail(member) => drop(self.failed.insert(member)),
            Step::Rebuild(member) => drop(self.failed.remove(member)),
            Step::Flush | Step::Cut => {}
        }
    }

    /// What each member holds; nothing is said of those that failed.
    pub(crate) fn images(&self) -> Vec<Option<Vec<u8>>> {
        let mut images = vec![vec![0; bytes(SHARE)]; usize::from(self.geometry.members())];
        for at in 0..self.geometry.array_size().0 {
            for place in self.geometry.copies(Sector(at)) {
                let to = &mut images[usize::from(place.member.0)][bytes(place.at.0)..][..512];
                to.copy_from_slice(&self.content[bytes(at)..][..512]);
            }
        }
        let chunk = bytes(self.geometry.chunk().0);
        for number in 0.. {
            let Some(stripe) = self.geometry.stripe(StripeNo(number)) else { break };
            let from = usize::try_from(number).unwrap() * chunk;
            if from >= bytes(SHARE) {
                break;
            }
            let (mut p, mut q) = (vec![0; chunk], vec![0; chunk]);
            let mut data: Vec<&[u8]> = vec![&[]; usize::from(stripe.columns())];
            for member in Columns::first(self.geometry.members()).iter() {
                if let (Some(Part::Data(_)), Some(column)) = (stripe.part(member), stripe.column(member)) {
                    data[usize::from(column)] = &images[usize::from(member.0)][from..from + chunk];
                }
            }
            reference::pq(&data, &mut p, &mut q);
            images[usize::from(stripe.p().0)][from..from + chunk].copy_from_slice(&p);
            if let Some(member) = stripe.q() {
                images[usize::from(member.0)][from..from + chunk].copy_from_slice(&q);
            }
        }
        let there = |number: u8| !self.failed.contains(Member(number));
        (0..).zip(images).map(|(number, image)| there(number).then_some(image)).collect()
    }
}
