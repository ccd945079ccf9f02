// SPDX-License-Identifier: GPL-2.0-only
//! The core's vector code as an object of its own: the very files, compiled for a machine with vector registers.
//!
//! Kernel Rust has none to use, so a module cannot hold them. Nothing here may need anything to be linked; the build
//! fails if it does.
#![no_std]
#![expect(unsafe_code, reason = "vector instructions take pointers, and the tables have names for the linker")]

mod parity;
