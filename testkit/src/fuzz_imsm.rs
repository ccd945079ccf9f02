//! The fuzz body of IMSM: bytes as the end of a medium, as they are and with the sum made right.

use crate::fuzz_words::{Listener, speaks};
use crate::image::Image;
use raid_core::{Columns, Sectors};
use raid_formats::{
    assemble::Claimant,
    imsm::{self, Change, Metadata, Place, Refusal, RunningState, checksum, raw::MigrationKind},
    record::Role,
};

/// Blocks of the medium that a bare record is taken to lie on: those of the fixtures.
const MEDIUM_BLOCKS: u64 = 32768;

/// The bytes are a medium, whose last blocks but one are the record; then they are a record of a medium that is large enough.
pub fn imsm(data: &[u8]) {
    probe(data);
    probe(&sealed(data));
    bare(data);
}

fn bare(data: &[u8]) {
    let mut record = data.to_vec();
    let Some(size) = record.get(36..40).and_then(|size| size.first_chunk()) else { return };
    let len = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
    let Some(place) = Place::new(512, MEDIUM_BLOCKS, len).filter(|_| len <= imsm::RECORD_BYTES_MAX) else { return };
    record.resize(place.len_bytes, 0);
    let sum = checksum(&record[..len]);
    if let Some(held) = record.get_mut(32..36) {
        held.copy_from_slice(&sum.to_le_bytes());
    }
    match Metadata::parse(&record, &place) {
        Ok(metadata) => look_around(&metadata),
        Err(refusal) => assert!(speaks(&refusal)),
    }
}

/// The same medium with the right sum, if something like a record is there.
fn sealed(data: &[u8]) -> Vec<u8> {
    let mut image = data.to_vec();
    let Ok(place) = imsm::probe(&Image(data)) else { return image };
    let block = place.block_bytes as usize;
    let at = |number: u64| usize::try_from(place.at(number).0 * 512).unwrap_or(usize::MAX);
    let mut record: Vec<u8> = Vec::new();
    for number in 0..place.blocks() {
        record.extend(&image[at(number)..][..block]);
    }
    let len = usize::try_from(u32::from_le_bytes([record[36], record[37], record[38], record[39]])).unwrap_or(0);
    let sum = checksum(&record[..len.min(record.len())]);
    image[at(0) + 32..][..4].copy_from_slice(&sum.to_le_bytes());
    image
}

fn probe(data: &[u8]) {
    let source = Image(data);
    match imsm::probe(&source) {
        Ok(place) => {
            assert!(place.len_bytes <= data.len());
            let mut buf = vec![0; place.len_bytes];
            match imsm::read(&source, &place, &mut buf) {
                Ok(metadata) => look_around(&metadata),
                Err(fault) => assert!(speaks(&fault)),
            }
            let (mut end, mut listener) = (0, Listener::default());
            let dumped = imsm::dump::record(&buf, |field| {
                listener.hear(&field);
                assert!(field.offset == end, "{} leaves a gap", field.name);
                end = field.offset + field.len;
            });
            assert!(dumped.is_err() || end as usize == buf.len());
        }
        Err(fault) => assert!(speaks(&fault)),
    }
}

/// Everything that a record says, by each of its disks.
fn look_around(metadata: &Metadata) {
    assert!(metadata.record().len() <= metadata.emit().len());
    assert!(metadata.candidates().count() <= metadata.disks().len());
    assert!(metadata.bad_blocks().count() <= metadata.emit().len() / 8);
    // Firmware makes two. What more of them say is the same again, and finding each takes time that grows with their square.
    if metadata.header().num_raid_devs > 4 {
        return;
    }
    for own in (0..metadata.header().num_disks).take(4).map(Some).chain([None]) {
        for volume in metadata.volumes_of(own) {
            let Ok(volume) = volume else { continue };
            let record = volume.record();
            assert!(record.table_in_sync.difference(Columns::first(record.shape.members)).is_empty());
            assert_eq!(record.role == Role::Unidentified, own.is_none());
            assert!(volume.bad_blocks().count() <= metadata.emit().len() / 8);
            assert!(record.data.end().is_some_and(|end| end <= metadata.place().start()));
            let _ = volume.role_of(record.number);
        }
    }
    changed(metadata);
}

/// What an update gave is what it was told, whatever stood there before; or it refuses.
fn changed(metadata: &Metadata) {
    let generation = metadata.header().generation_num.get().saturating_add(1);
    let stories: [&[Change]; 4] = [
        &[Change::Dirty { volume: 0, dirty: true }],
        &[Change::Failed { disk: 0, gone: true }],
        &[Change::Resync { volume: 0, kind: MigrationKind::Repair }, Change::InSync { volume: 0 }],
        &[Change::Rebuild { volume: 0, slot: 0, disk: 0 }, Change::Mark { volume: 0, at: Sectors(4096) }],
    ];
    let mut next = vec![0; imsm::RECORD_BYTES_MAX];
    for changes in stories {
        let state = RunningState { generation, changes };
        let mut writes = 0;
        let updated = imsm::update::<Refusal>(metadata, &mut next, &state, |_| {
            writes += 1;
            Ok(())
        });
        match updated {
            Ok(updated) => {
                assert_eq!(updated.header().generation_num.get(), generation);
                assert!(writes > 0 && updated.volumes().count() == metadata.volumes().count());
            }
            Err(refusal) => assert!(writes == 0 && speaks(&refusal)),
        }
    }
}
