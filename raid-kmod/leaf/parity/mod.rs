// SPDX-License-Identifier: GPL-2.0-only
//! The core's parity folder, without what calls it.

#[path = "../../../raid-core/src/parity/gf.rs"]
pub mod gf;
#[path = "../../../raid-core/src/parity/kernel.rs"]
mod kernel;
#[path = "../../../raid-core/src/parity/lanes.rs"]
mod lanes;
#[path = "../../../raid-core/src/parity/loops.rs"]
mod loops;
mod x86;

use kernel::Kernels;
