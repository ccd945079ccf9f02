//! A new member's superblock: its own where it must be, the others' everywhere else, and refused where the medium is too small.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use raid_core::{Level, Sectors};
use raid_formats::md::create::default_data;
use raid_formats::md::update::{Write, changed};
use raid_formats::md::{BitmapParams, CreateParams, Joined, Refusal, Superblock, Version, create, join};
use raid_formats::record::{Name, Role, Sync, Uuid};

const MEDIUM: Sectors = Sectors(16384);
const VERSIONS: [Version; 5] = Version::ALL;

fn member(version: Version) -> [u8; 4096] {
    let data = default_data(version, MEDIUM, Sectors(0)).unwrap();
    let used = data.len.floor_to(Sectors(2));
    let params = CreateParams {
        version,
        medium: MEDIUM,
        level: Level::Raid1,
        members: 2,
        chunk: Sectors(0),
        used,
        data: (!matches!(version, Version::V0Little | Version::V0Big)).then_some(data),
        array: Uuid([7; 16]),
        name: Name([0; 32]),
        member: Uuid([1; 16]),
        number: 0,
        roles: &[Role::Slot(0), Role::Slot(1)],
        created_s: 1,
        sync: Sync::Clean,
        bitmap: Some(BitmapParams { chunk_bytes: Some(65536), sync_size: used }),
    };
    let mut block = [0; 4096];
    let made = create::<Refusal>(&params, |_, bytes| {
        // The superblock comes last.
        block.copy_from_slice(bytes);
        Ok(())
    });
    assert_eq!(made, Ok(()));
    block
}

fn joined(version: Version, medium: u64) -> Result<([u8; 4096], Joined), Refusal> {
    let mut block = member(version);
    join(&mut block, version, MEDIUM, Sectors(medium), (Uuid([9; 16]), 5), Sectors(1)).map(|joined| (block, joined))
}

#[test]
fn a_new_member_has_its_own_identity_and_the_arrays_everything_else() {
    for version in VERSIONS {
        let old = member(version);
        let old = Superblock::parse(&old, version, MEDIUM).unwrap().record();
        let (block, joined) = joined(version, MEDIUM.0 + 1024).unwrap();
        let superblock = Superblock::parse(&block, version, Sectors(MEDIUM.0 + 1024)).unwrap();
        let new = superblock.record();
        assert_eq!((new.array, new.shape, new.used, new.data.at), (old.array, old.shape, old.used, old.data.at));
        assert_eq!((new.number, superblock.at()), (5, joined.superblock_at));
        assert_eq!(new.member.is_set(), old.member.is_set());
        assert!(new.member != old.member || !old.member.is_set());
        assert!(new.data.len >= new.used, "{version:?}");
        // Nothing of what it keeps lies in the data that the array uses.
        let end = new.data.at.0 + new.used.0;
        let areas = joined.bitmap.into_iter().chain(joined.bad_blocks);
        assert!(
            areas.into_iter().all(|area| area.at.0 >= end || area.end().unwrap().0 <= new.data.at.0),
            "{version:?}"
        );
    }
}

#[test]
fn a_medium_that_is_one_unit_too_small_is_refused() {
    for version in VERSIONS {
        assert!(joined(version, MEDIUM.0).is_ok(), "{version:?}");
        // 0.90 keeps 64 KiB, 1.0 rounds to 4 KiB.
        let less = if matches!(version, Version::V0Little | Version::V0Big) { 128 } else { 8 };
        assert!(joined(version, MEDIUM.0 - less).is_err(), "{version:?}");
        assert!(joined(version, 8).is_err());
    }
}

#[test]
fn only_blocks_that_differ_are_written() {
    let old = member(Version::V0Little);
    let mut new = old;
    let at = raid_core::Sector(100);
    assert_eq!(changed(&Write { at, bytes: &new }, &old, 512), None);
    new[600] ^= 1;
    new[1030] ^= 1;
    let write = changed(&Write { at, bytes: &new }, &old, 512).unwrap();
    assert_eq!((write.at.0, write.bytes), (101, &new[512..1536]));
    let whole = changed(&Write { at, bytes: &new }, &old, 4096).unwrap();
    assert_eq!((whole.at.0, whole.bytes.len()), (100, 4096));
}
