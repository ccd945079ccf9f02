//! What the fuzz targets of this crate do with their bytes. The fuzzer runs these, and so does a test, over the stored corpus.
//!
//! Nothing may panic, and what is asserted here must hold for all bytes.

use crate::media::{MemMedia, Part, partitions};
use crate::nbd::machine::{Export, Limits, Machine, Step};
use crate::nbd::protocol::{Command, ExportFlags};

/// A fuzz target by its name.
pub type Body = fn(&[u8]);

/// All targets.
pub const ALL: [(&str, Body); 2] = [("nbd_machine", nbd_machine), ("partition_table", partition_table)];

const EXPORT_BYTES: u64 = 1 << 20;

/// The bytes are what a client sends: nothing is wanted beyond the limits, nothing done outside the export.
pub fn nbd_machine(data: &[u8]) {
    let export = Export {
        name: "array".to_owned(),
        description: String::new(),
        size_bytes: EXPORT_BYTES,
        block_bytes: 4096,
        flags: ExportFlags::HAS_FLAGS,
    };
    let limits = Limits::default();
    let (mut machine, _) = Machine::new(export, limits);
    let mut rest = data;
    while machine.want() > 0 {
        let want = machine.want();
        assert!(want <= limits.payload_bytes as usize);
        let ended = rest.len() < want;
        let (next, later) = rest.split_at(want.min(rest.len()));
        rest = later;
        match machine.got(next.to_vec()) {
            Step::Do(request) => {
                let end = request.offset_bytes.checked_add(u64::from(request.len_bytes));
                assert!(request.command == Command::Flush || end.is_some_and(|end| end <= EXPORT_BYTES));
                assert!(request.command != Command::Write || request.payload.len() == request.len_bytes as usize);
            }
            Step::Close { .. } => assert_eq!(machine.want(), 0),
            Step::Read | Step::Send(_) | Step::Refuse { .. } => assert!(!ended, "half a message was taken"),
        }
    }
}

/// The bytes are a disk: its partitions lie within it, or are refused.
pub fn partition_table(data: &[u8]) {
    let disk = std::sync::Arc::new(MemMedia::new("disk", data.to_vec()));
    let table = match partitions(disk.as_ref()) {
        Ok(Some(table)) => table,
        Ok(None) => return,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for partition in &table.partitions {
        let end = partition.start_bytes.checked_add(partition.len_bytes);
        let within = partition.len_bytes > 0 && end.is_some_and(|end| end <= data.len() as u64);
        assert!(within || Part::new(std::sync::Arc::clone(&disk), partition, table.block_bytes).is_err());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_stored_corpus_keeps_the_laws() {
        for (target, body) in super::ALL {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
            let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            let mut count = 0;
            for file in files {
                body(&fs::read(file.unwrap().path()).unwrap());
                count += 1;
            }
            assert!(count > 0, "{target} has no seeds");
        }
    }
}
