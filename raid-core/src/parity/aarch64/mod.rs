//! The ISA file of AArch64: NEON, which every hosted target has.

mod neon;

use super::Ops;

/// The one form.
// SAFETY: This folder is compiled only for targets that have NEON everywhere.
static NEON: Ops = unsafe { Ops::new("neon", neon::KERNELS) };

/// The forms that this CPU can run, the best first.
pub(super) fn supported() -> impl Iterator<Item = &'static Ops> {
    core::iter::once(&NEON)
}
