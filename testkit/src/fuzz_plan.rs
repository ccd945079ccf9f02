//! The fuzz body of core: bytes become an array and its troubles, and the laws of maps and plans must hold.

use crate::fuzz_words::speaks;
use raid_core::geometry::{Content, Geometry};
use raid_core::plan::{self, How, Readable, Trust};
use raid_core::reshape::{Layouts, Side};
use raid_core::{ArrayConfig, Columns, Member, Sector, Sectors, Sizes};
use raid_formats::md::level_from_md;

/// Reads numbers off the front of the input; zeros when it is used up.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn next(&mut self) -> u64 {
        let (first, rest) = self.0.split_at(self.0.len().min(8));
        self.0 = rest;
        let mut bytes = [0; 8];
        bytes[..first.len()].copy_from_slice(first);
        u64::from_le_bytes(bytes)
    }
}

/// Some members are missing; one is trusted below a mark.
struct Troubles {
    missing: Columns,
    marked: Member,
    mark: u64,
}

impl Trust for Troubles {
    fn readable(&self, _: Side, member: Member, at: Sector, len: Sectors) -> (Readable, Sectors) {
        if self.missing.contains(member) {
            return (Readable::No, len);
        }
        match self.mark.checked_sub(at.0) {
            _ if member != self.marked => (Readable::Yes, len),
            None | Some(0) => (Readable::No, len),
            Some(below) => (Readable::Yes, len.min(Sectors(below))),
        }
    }
}

/// The bytes are a description: level, layout, members, chunk, size, missing members, a mark, and places to look at.
pub fn core_plan(data: &[u8]) {
    let mut numbers = Numbers(data);
    let levels = [-1, 0, 1, 4, 5, 6, 10];
    let pick = usize::try_from(numbers.next() % 7).unwrap_or(0);
    let layout = u32::try_from(numbers.next() & 0x7_ffff).unwrap_or(0);
    let Ok(level) = level_from_md(levels[pick], layout) else { return };
    let members = u16::try_from(numbers.next() % 300).unwrap_or(0);
    let (chunk, size) = (Sectors(numbers.next() >> (numbers.next() % 64)), Sectors(numbers.next()));
    let config = ArrayConfig { level, members, chunk, sizes: Sizes::Same(size), array_size: None };
    let geometry = match Geometry::new(&config) {
        Ok(geometry) => geometry,
        Err(error) => return assert!(speaks(&error)),
    };
    let slots = Columns::first(members);
    let troubles = Troubles {
        missing: slots.iter().filter(|_| numbers.next().is_multiple_of(3)).take(4).collect(),
        marked: Member(numbers.next().to_le_bytes()[0]),
        mark: numbers.next() % size.0.max(1),
    };
    let survives = geometry.survives(troubles.missing);
    let layouts = Layouts::one(geometry.clone());
    for _ in 0..16 {
        let at = Sector(numbers.next() % geometry.array_size().0);
        let len = Sectors(numbers.next() % 4096 + 1);
        for place in geometry.copies(at) {
            assert_eq!(geometry.unmap(place.member, place.at), Some(Content::Data(at)));
        }
        let Ok(step) = plan::read(&layouts, &troubles, at, len) else { panic!("sector {at} is in the array") };
        assert!(step.len >= Sectors(1) && step.len <= len);
        match step.how {
            How::Direct { place } => assert!(!troubles.missing.contains(place.member)),
            How::Recover(recover) => {
                assert!(
                    recover.reads().all(|(member, _)| !troubles.missing.contains(member) && member != recover.wanted)
                );
            }
            How::Doubted(_) => panic!("nothing is in doubt"),
            How::Lost { missing } => assert!(!survives || missing.contains(troubles.marked)),
        }
    }
}
