//! The fuzz bodies of what device-mapper targets keep on disk, and of dm-raid's table line.

use crate::fuzz_words::{Listener, speaks};
use crate::image::Image;
use raid_core::{Columns, Sector, Sectors, geometry::Geometry};
use raid_formats::{
    assemble::Claimant,
    dm::{self, MirrorLog, RaidState, Store, Superblock, mirror, snapshot},
    record::Sync,
    table::Table,
};

/// Sectors of the data device beside a superblock.
const DATA: Sectors = Sectors(1 << 20);

/// The bytes are the superblock of dm-raid; the first byte of what stands behind it chooses a change.
pub fn dm_raid(data: &[u8]) {
    let mut listener = Listener::default();
    let dumped = dm::dump::raid(data, |field| listener.hear(&field));
    assert_eq!(dumped.is_ok(), data.len() >= dm::RAID_BYTES);
    let superblock = match Superblock::parse(data, DATA) {
        Ok(superblock) => superblock,
        Err(refusal) => return assert!(speaks(&refusal)),
    };
    assert_eq!(superblock.emit(), data);
    let record = *superblock.described();
    assert!(record.data.at.0 + record.data.len.0 <= DATA.0, "data past the end of the device");
    for number in 0..300 {
        let _ = superblock.role_of(number);
    }
    let choice = data.get(dm::RAID_BYTES).copied().unwrap_or(0);
    let state = RaidState {
        events: record.events.wrapping_add(1),
        failed: Columns::EMPTY,
        sync_mark: (choice & 1 != 0).then_some(Sectors(8)),
        sync: if choice & 2 != 0 { Sync::DirtyFrom(Sector(16)) } else { Sync::Clean },
    };
    let mut block = data.to_vec();
    assert_eq!(dm::update(&mut block, DATA, &state), Ok(()), "what was parsed can be updated");
    let updated = Superblock::parse(&block, DATA).expect("what was updated can be parsed");
    let new = updated.described();
    assert_eq!((new.events, new.sync_mark), (state.events, state.sync_mark));
    assert_eq!((new.shape, new.data, new.role), (record.shape, record.data, record.role));
    assert!((0..64).all(|slot| !updated.failed(slot)));
}

/// The bytes are dm-mirror's log.
pub fn dm_mirror(data: &[u8]) {
    let mut listener = Listener::default();
    let dumped = dm::dump::mirror(data, |field| listener.hear(&field));
    let header = MirrorLog::parse(data);
    assert_eq!(dumped.is_ok(), data.len() >= 16);
    if let Ok(header) = &header {
        assert_eq!(Some(&header.emit()[..]), data.get(..16));
        // The bits of the first sector, read and written again, are what they were, but for those of regions that there are not.
        let regions = header.regions().min(mirror::SECTOR_REGIONS);
        if let Some(stood) = data.get(1024..1536) {
            let mut marked = [0_u64; 64];
            let read = mirror::read_unsynced(&Image(data), Sectors(1), Sectors(regions), |run| {
                (run.at.0..run.at.0 + run.len.0).for_each(|at| marked[(at / 64) as usize] |= 1 << (at % 64));
            });
            assert!(read.is_ok());
            for (at, (made, stood)) in (0..).step_by(8).zip(mirror::bits(0, regions, &marked).iter().zip(stood)) {
                let there = (1_u16 << regions.saturating_sub(at).min(8)) - 1;
                assert_eq!(u16::from(*made), u16::from(*stood) & there, "byte of region {at}");
            }
        }
    }
    for (region, len) in [(8, 1 << 12), (1 << 10, 1 << 20), (0, 1 << 20), (3, 100)] {
        let mut end = 0;
        let read = mirror::read_unsynced(&Image(data), Sectors(region), Sectors(len), |run| {
            assert!(run.at.0 >= end && run.at.0 + run.len.0 <= len, "runs overlap or leave the mirror");
            end = run.at.0 + run.len.0;
        });
        assert!(read.is_err() || (header.is_ok() && region > 0));
    }
}

/// The bytes are dm-snapshot's store.
pub fn dm_snapshot(data: &[u8]) {
    let mut listener = Listener::default();
    let dumped = dm::dump::snapshot(data, |field| listener.hear(&field));
    assert_eq!(dumped.is_ok(), data.len() >= 16);
    dm::dump::exceptions(data, |field| listener.hear(&field));
    let header = match Store::parse(data) {
        Ok(header) => header,
        Err(refusal) => return assert!(speaks(&refusal)),
    };
    assert_eq!(Some(&header.emit()[..]), data.get(..16));
    let chunks = data.len() as u64 / (header.chunk().0 * 512);
    let mut seen = 0;
    let count = snapshot::read_exceptions(&Image(data), &header, |exception| {
        assert!(exception.new < chunks && !header.is_metadata(exception.new), "an exception that holds no data");
        seen += 1;
    });
    assert!(count.map_or_else(|fault| speaks(&fault), |count| count == seen));
}

/// The bytes are a table line of dm-raid.
pub fn dm_table(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let table = match Table::parse(&words) {
        Ok(table) => table,
        Err(error) => return assert!(speaks(&error)),
    };
    assert_eq!(table.devices().len(), usize::from(table.members()));
    assert!(table.present().len() <= u32::from(table.members()));
    let _ = (table.health().is_ok(), table.rates());
    for len in [0, 1 << 13, (1 << 20) + 8, u64::MAX >> 9] {
        let _ = table.region(Sectors(len)).is_ok();
        if let Ok(config) = table.config(Sectors(len)) {
            drop(Geometry::new(&config));
        }
    }
}
