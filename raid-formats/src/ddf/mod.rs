//! SNIA DDF 1.2 and 2.0: what many hardware RAID controllers write, and `mdadm` with `--metadata=ddf`.
//!
//! An anchor in the last block points to two sets of records, a primary and a secondary one. Each has a header, and tables of
//! physical disks, of virtual disks and of configurations; [`read`] takes the set to be believed. Raw structs ([`raw`]) mirror the bytes,
//! in either byte order; [`Metadata`] is a set that passed the checks, [`Volume`] a virtual disk that this disk holds a part of.
//!
//! Nothing here judges one disk against another: that is [`crate::assemble`]'s work.

mod crc;
pub mod create;
pub mod dump;
mod guid;
pub mod level;
mod metadata;
mod newcomer;
mod patch;
mod place;
mod probe;
pub mod raw;
mod refusal;
pub mod running;
pub mod update;
mod volume;
mod word;

pub use crc::Form;
pub use create::{CreateParams, VolumeParams, create};
pub use guid::Guid;
pub use metadata::{ConfigRecord, Damage, Kept, Metadata, Tables, Twin};
pub use newcomer::{Newcomer, newcomer, room};
pub use place::{Anchor, CLOSED, OPEN, Place, Set};
pub use probe::{BlockRoom, Probe, place, probe, probe_in, read, read_in, read_set};
pub use refusal::{Fault, Refusal, UnknownLevel};
pub use update::{DiskChange, NewDisk, Replaced, RunningState, VolumeState, Write, update, update_in};
pub use volume::{EPOCH_S, Spare, Volume};
pub use word::{Full, Half, Order, Wide, Word};
