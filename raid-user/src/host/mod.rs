//! The real host: the same core as the simulator's, over real media.
//!
//! It keeps two promises of [`raid_core::engine::Host`] that are easily missed: long writes are submitted at once
//! ([`raid_core::engine::submit_many`]), so that they become full stripes; and an action whose token's
//! [`seen`](raid_core::action::Token::seen) is older than the medium in its slot fails undone, since it was meant for the
//! member before.

mod buffers;
mod calls;
mod checks;
mod compute;
mod inner;
mod jobs;
pub mod look;
pub mod md_store;
pub(crate) mod memory;
mod observe;
mod running;
mod seats;
pub mod start;
mod start_error;

pub use checks::Checks;
pub use observe::Regions;
pub use running::{Running, Tuning};
pub use start_error::StartError;
