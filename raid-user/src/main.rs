//! The `raid` tool.
#![forbid(unsafe_code)]

fn main() {}
