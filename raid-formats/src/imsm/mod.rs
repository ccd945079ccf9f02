//! Intel's metadata of firmware RAID (IMSM, "Matrix RAID", RST, VROC), and `mdadm` with `--metadata=imsm`.
//!
//! A record at the end of each disk describes a container: disks, known by their drives' serial numbers, and one or two volumes over
//! them. [`read`] finds and checks it, [`Metadata::volumes_of`] gives each volume as one of the disks tells it.
//!
//! All disks carry the same record. Which of its disks one is has to be told, or found by elimination: [`serial`],
//! [`eliminate`].

pub mod create;
pub mod dump;
mod edit;
mod identity;
mod metadata;
mod probe;
pub mod raw;
mod refusal;
pub mod running;
mod sha1;
pub mod update;
mod volume;

pub use create::{CreateParams, VolumeParams, create};
pub use identity::{
    Identity, LOG_BUFFER_BYTES, Medium, Part, Serial, TooMany, UNKNOWN_MAX, eliminate, logged_by, plain,
};
pub use metadata::{Map, Metadata, RawVolume, SUPPORTED, checksum, serial};
pub use probe::{Place, RECORD_BYTES_MAX, probe, read};
pub use refusal::{Fault, Refusal};
pub use update::{Change, NewDisk, RunningState, Write, carry, update};
pub use volume::{PPL_SECTORS, Volume, level, rebuild_unit};
