//! LVM2: the label that makes a disk a physical volume, the areas that hold the group's text, and what the text says.
//!
//! Source: lvm2 `lib/format_text/{layout.h,format-text.c,import_vsn1.c,export.c}`, `lib/label/label.h`, `lib/misc/crc.c`. Every
//! physical volume of a group may carry the whole text; the one with the highest `seqno` counts. Nothing here chooses between disks,
//! and nothing here keeps a group in memory: [`Group`] is a view of its text. The text is read and never rewritten.

mod area;
mod crc;
pub mod dump;
mod group;
mod id;
mod label;
mod refusal;
mod segment;
mod text;

pub use area::{AREA_HEADER_BYTES, Area, Location, TEXT_BYTES_MAX, read_area, read_text};
pub use crc::crc;
pub use group::{Group, Physical, Volume};
pub use id::Id;
pub use label::{Label, Places, RawExtension, RawLabel, RawPhysical, RawPlace, SCAN_BYTES, find, seal};
pub use refusal::{Fault, Refusal};
pub use segment::{Areas, Images, Kind, Segment, StripeArea};
pub use text::{DEPTH_MAX, Item, Items, List, Section, Value};
