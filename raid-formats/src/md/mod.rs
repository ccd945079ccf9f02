//! Linux MD: superblocks 0.90 and 1.x, write-intent bitmap, bad block list, partial parity log, journal.
//!
//! Raw structs (`raw0`, `raw1`) mirror the bytes; [`Superblock0`] and [`Superblock1`] are views of a record that passed the checks.
//! Nothing here judges one member against another: that is [`crate::assemble`]'s work.

pub mod bad_blocks;
pub mod bitmap;
pub mod checksum;
pub mod create;
pub mod dump;
pub mod join;
pub mod journal;
pub mod level;
pub mod place;
pub mod ppl;
mod probe;
pub mod raw0;
pub mod raw1;
mod refusal;
pub mod regions;
pub mod run;
pub mod said;
mod superblock;
pub mod update;
mod v0;
mod v1;
mod version;

pub use bad_blocks::read_bad_blocks;
pub use bitmap::{Bitmap, BitmapSummary, bitmap_summary, read_bitmap, read_bitmap_at};
pub use create::{BitmapParams, CreateParams, create};
pub use join::{Joined, join, rejoin};
pub use journal::{JournalBlock, JournalState, ReplayStep, journal_begins, journal_state, replay_journal};
pub use level::{UnknownLevel, level_from_md, level_to_md};
pub use place::{SUPERBLOCK_SECTORS, superblock_at};
pub use ppl::{PplHeader, PplState, ppl_state};
pub use probe::{Evidence, Find, Probe, ProbeBuffer, evidence, probe};
pub use refusal::Refusal;
pub use regions::RegionBits;
pub use run::{Doubt, Hindrance, admission};
pub use said::{NOBODY, Numbers, Said, number, numbers};
pub use superblock::Superblock;
pub use update::{RunningState, TableEntry, Write, set_log, update};
pub use v0::Superblock0;
pub use v1::{MAGIC, ROLE_FAULTY, ROLE_JOURNAL, ROLE_SPARE, Superblock1, role_from_word, role_to_word};
pub use version::Version;

use crate::fault;

pub(crate) use checksum::crc32c;

/// Why MD metadata could not be read from a medium.
pub type Fault<E> = fault::Fault<E, Refusal>;
