//! What must hold for all bytes and all parameters.

use proptest::prelude::*;
use raid_core::{Level, Raid0Layout, Raid5Layout, Raid6Layout, Sector, Sectors};
use raid_formats::{
    md::{BitmapParams, CreateParams, Refusal, Superblock, Version, create, probe, superblock_at},
    record::{Name, Role, Sync, Uuid},
};
use raid_testkit::{fixtures, fuzz_bodies, image::Image};
use std::{fs, path::Path};

/// The stored seeds of every target, replayed through the body that the fuzzer runs.
#[test]
fn the_corpus_replays() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (target, body) in fuzz_bodies::ALL {
        let seeds: Vec<_> = fs::read_dir(corpus.join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for seed in seeds {
            body(&fs::read(seed).unwrap());
        }
    }
}

/// A seed that is refused at the door would test nothing behind it.
#[test]
fn every_small_medium_of_the_corpus_is_a_member() {
    let media = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/md_probe");
    for seed in fs::read_dir(media).unwrap().map(|entry| entry.unwrap().path()) {
        let image = fs::read(&seed).unwrap();
        let mut buffer = [[0; 4096]; 4];
        assert_eq!(probe(&Image(&image), &mut buffer).ranked().count(), 1, "{}", seed.display());
    }
}

fn versions() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

fn levels() -> impl Strategy<Value = Level> {
    prop::sample::select(vec![
        Level::Linear,
        Level::Raid0(Raid0Layout::Alternate),
        Level::Raid1,
        Level::Raid4,
        Level::Raid5(Raid5Layout::RightAsymmetric),
        Level::Raid6(Raid6Layout::LeftSymmetric6),
    ])
}

/// The superblock that `create` writes last.
fn superblock(params: &CreateParams) -> Result<[u8; 4096], Refusal> {
    let mut block = [0; 4096];
    create::<Refusal>(params, |_, bytes| {
        block.copy_from_slice(bytes);
        Ok(())
    })?;
    Ok(block)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn no_bytes_make_anything_panic(data in prop::collection::vec(any::<u8>(), 0..20_000)) {
        for (_, body) in fuzz_bodies::ALL {
            body(&data);
        }
    }

    #[test]
    fn damaged_superblocks_make_nothing_panic(
        version in versions(),
        level in levels(),
        damage in prop::collection::vec((0_usize..4096, any::<u8>()), 1..12),
    ) {
        let mut block = superblock(&params(version, level, Sectors(1 << 20), 0, Sync::Clean)).unwrap();
        for (at, byte) in damage {
            // Most fields lie in the first 256 bytes.
            block[if at % 4 == 0 { at } else { at % 256 }] = byte;
        }
        fuzz_bodies::md_superblock(&block);
    }

    #[test]
    fn what_is_made_parses_and_comes_back_byte_for_byte(
        version in versions(),
        level in levels(),
        medium in (1_u64 << 14)..(1 << 36),
        number in 0_u32..4,
        clean in any::<bool>(),
        with_bitmap in any::<bool>(),
    ) {
        let medium = Sectors(medium);
        let sync = if clean { Sync::Clean } else { Sync::DirtyFrom(Sector(0)) };
        let mut params = params(version, level, medium, number, sync);
        // Megabytes of marks are another test's work.
        if with_bitmap && medium.0 < 1 << 24 {
            params.bitmap = Some(BitmapParams { chunk_bytes: None, sync_size: Sectors(4096) });
        }
        let block = superblock(&params).unwrap();
        let parsed = Superblock::parse(&block, version, medium).unwrap();
        prop_assert_eq!(parsed.emit(), &block);
        let record = parsed.record();
        prop_assert_eq!((record.number, record.sync, record.shape.members), (number, sync, 4));
        prop_assert_eq!(parsed.at(), superblock_at(version, medium).unwrap());
        prop_assert!(record.data.end().unwrap().0 <= medium.0);
        prop_assert!(record.used <= record.data.len);
    }
}

fn params(version: Version, level: Level, medium: Sectors, number: u32, sync: Sync) -> CreateParams<'static> {
    const ROLES: [Role; 4] = [Role::Slot(0), Role::Slot(1), Role::Slot(2), Role::Slot(3)];
    CreateParams {
        version,
        medium,
        level,
        members: 4,
        chunk: if matches!(level, Level::Raid1 | Level::Linear) { Sectors::ZERO } else { Sectors(128) },
        used: if matches!(level, Level::Raid0(_) | Level::Linear) { Sectors::ZERO } else { Sectors(8192) },
        data: None,
        array: Uuid([1; 16]),
        name: Name([0; 32]),
        member: Uuid([2; 16]),
        number,
        roles: &ROLES,
        created_s: 1_700_000_000,
        sync,
        bitmap: None,
    }
}

#[test]
fn every_flipped_bit_is_detected_or_lies_where_nothing_counts() {
    for (name, version) in [
        ("md-1.2-raid1-2", Version::V1_2),
        ("md-1.1-raid1-2", Version::V1_1),
        ("md-1.0-raid1-2", Version::V1_0),
        ("md-0.90-raid1-2", Version::V0Little),
    ] {
        let image = fixtures::load(name).members.remove(0).1;
        let medium = Sectors::from_bytes_floor(image.len() as u64);
        let start = usize::try_from(superblock_at(version, medium).unwrap().bytes().unwrap()).unwrap();
        let mut block: [u8; 4096] = image[start..start + 4096].try_into().unwrap();
        let before = Superblock::parse(&block, version, medium).unwrap().record();
        // 1.x sums its head and its table; 0.90 sums everything.
        let summed = match version {
            Version::V0Little | Version::V0Big => 4096,
            _ => 256 + 2 * usize::from(u16::from_le_bytes([block[220], block[221]])),
        };
        for bit in 0..block.len() * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            match Superblock::parse(&block, version, medium) {
                Ok(parsed) => assert!(bit / 8 >= summed && parsed.record() == before, "{name}: bit {bit}"),
                Err(refusal) => assert!(bit / 8 < summed, "{name}: bit {bit}: {refusal}"),
            }
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
