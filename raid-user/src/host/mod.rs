//! The real host: the same core as the simulator's, over real media.

pub mod start;
