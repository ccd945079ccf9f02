//! The region log: which regions may hold redundancy that does not fit their data.
//!
//! A region is a run of rows under one bit. The bit is durable before the first write to the region starts, and is
//! taken back some time after the last one is done, when its data are durable everywhere. `docs/region-log.md` says why in
//! that order. Who counts writes and who keeps bits are two machines: [`State`] is what a shard knows of a region,
//! [`RegionLog`] is the bits and their way to the members.

mod log;
mod state;

pub use log::{LogStep, RegionLog, RegionNo, Ticket};
pub use state::{Event, Found, State};
