// SPDX-License-Identifier: GPL-2.0-only
//! The parity code of this CPU: the best of the leaf object's forms, inside of an FPU section, or the portable one.

use core::hint::black_box;

use raid_core::parity::{self, Kernels, Ops};

use crate::shim;

extern "C" {
    static RAID_SSSE3: Kernels;
    static RAID_AVX2: Kernels;
    static RAID_AVX2_GFNI: Kernels;
    static RAID_AVX512: Kernels;
    static RAID_AVX512_GFNI: Kernels;
}

/// Bits of `raid_cpu_features`.
const SSSE3: u32 = 1;
const AVX2: u32 = 2;
const AVX512: u32 = 4;
const GFNI: u32 = 8;

/// What has this in its frame aligns its stack anew, whatever its caller left. The kernel's C keeps stacks at multiples of 8 bytes, and
/// the leaf object counts on 16, as every program may: on 2026-11-26 the SSSE3 form put a register on its stack while a degraded RAID 5 was
/// written, and that was a general protection fault. User-mode Linux has a program's stacks; the forms with longer registers
/// align theirs themselves.
#[repr(align(32))]
struct Anchor(#[expect(dead_code, reason = "its place counts")] u8);

/// Parity operations, and what it takes to use them.
pub(crate) enum Parity {
    /// No vector registers.
    Portable(&'static Ops),
    /// Vector registers, which must be asked for.
    Vector(Ops),
}

impl Parity {
    /// The best form that this CPU can run.
    pub(crate) fn choose() -> Self {
        // SAFETY: Only asks.
        let has = unsafe { shim::raid_cpu_features() };
        // SAFETY: The leaf object is part of this module, was compiled by the same compiler from the same files, and its tables
        // are constants.
        let forms: [(u32, &'static str, &'static Kernels); 5] = unsafe {
            [
                (AVX512 | GFNI, "avx512-gfni", &RAID_AVX512_GFNI),
                (AVX512, "avx512", &RAID_AVX512),
                (AVX2 | GFNI, "avx2-gfni", &RAID_AVX2_GFNI),
                (AVX2, "avx2", &RAID_AVX2),
                (SSSE3, "ssse3", &RAID_SSSE3),
            ]
        };
        match forms.into_iter().find(|(needs, ..)| has & needs == *needs) {
            // SAFETY: The CPU has what the form needs, and `with` is the only way to it, inside of an FPU section.
            Some((_, name, kernels)) => Self::Vector(unsafe { Ops::new(name, *kernels) }),
            None => Self::Portable(parity::detect()),
        }
    }

    /// The form's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Portable(ops) => ops.name(),
            Self::Vector(ops) => ops.name(),
        }
    }

    /// Calls `work` with the operations. It may not sleep.
    #[inline(never)]
    pub(crate) fn with<R>(&self, work: impl FnOnce(&Ops) -> R) -> R {
        match self {
            Self::Portable(ops) => work(ops),
            Self::Vector(ops) => {
                let anchor = Anchor(0);
                black_box(&anchor);
                // SAFETY: Lanes and constructors run in task context; the section ends below, and `work` does not sleep.
                unsafe { shim::raid_cpu_begin() };
                let result = work(ops);
                // SAFETY: Begun above.
                unsafe { shim::raid_cpu_end() };
                result
            }
        }
    }
}
