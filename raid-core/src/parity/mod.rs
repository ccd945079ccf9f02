//! Parity: the sums that bring lost columns back. Slices in, slices out, as fast as this CPU can.
//!
//! [`detect`] gives the best [`Ops`] of this CPU, and that is all that a host needs:
//!
//! ```
//! use raid_core::parity::{self, Lost, Parity};
//! let ops = parity::detect();
//! let (one, two, three) = ([1; 64], [2; 64], [3; 64]);
//! let (mut p, mut q) = ([0; 64], [0; 64]);
//! ops.pq(&[&one, &two, &three], &mut p, &mut q)?;
//!
//! // Columns 0 and 2 are gone. What stands in their places is not looked at.
//! let (mut first, mut last) = ([0; 64], [0; 64]);
//! let lost = Lost::Two((0, &mut first), (2, &mut last));
//! ops.recover(&[&[], &two, &[]], lost, Parity::Given(&p), Parity::Given(&q))?;
//! assert_eq!((first, last), (one, three));
//! # Ok::<(), parity::Error>(())
//! ```
//!
//! The mathematics stands in front of [`reference`](mod@reference). This is the only part of the crate with `unsafe`
//! code: `kernel` has the five loops, one file per ISA fills in its instructions, `sources` checks slices and calls them.
//! Nothing here knows of arrays: which column has which exponent is the geometry's business.

pub mod gf;
pub mod reference;

#[expect(unsafe_code, reason = "the loops over raw pointers that all ISAs share")]
mod kernel;
#[expect(unsafe_code, reason = "a method of these traits may be an instruction that the CPU lacks")]
mod lanes;
mod locate;
mod ops;
#[expect(unsafe_code, reason = "loads and stores words through raw pointers, as the ISA files do")]
mod portable;
#[expect(unsafe_code, reason = "calls the entry points, having checked all that they demand")]
mod sources;

pub use kernel::{DotEntry, Kernels};
pub use locate::{Culprit, Located};
pub use ops::{COLUMNS_MAX, Error, LENGTH_UNIT_BYTES, Lost, Mismatch, Ops, Parity};

// Soft-float targets (bare metal, Rust in the kernel) have no vector registers to use: there only `portable` remains, and
// the ISA files are compiled as an object of their own.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[expect(unsafe_code, reason = "asks the CPU, and vouches for ISAs that it has")]
mod x86;

/// The forms that need more than the target always has.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
use x86::supported;
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
fn supported() -> impl Iterator<Item = &'static Ops> {
    core::iter::empty()
}

/// The portable form, which is always there.
#[expect(unsafe_code, reason = "vouches for the entry points")]
// SAFETY: These entry points use no instruction beyond those that the whole program is compiled for.
static PORTABLE: Ops = unsafe { Ops::new("portable", portable::KERNELS) };

/// The forms that this CPU can run, the best one first and `portable` last.
pub fn all() -> impl Iterator<Item = &'static Ops> {
    supported().chain(core::iter::once(&PORTABLE))
}

/// The best form for this CPU. It asks the CPU once and remembers.
#[must_use]
pub fn detect() -> &'static Ops {
    all().next().unwrap_or(&PORTABLE)
}

/// The form with this [name](Ops::name), if this CPU can run it.
#[must_use]
pub fn named(name: &str) -> Option<&'static Ops> {
    all().find(|ops| ops.name() == name)
}

#[cfg(test)]
mod tests;
