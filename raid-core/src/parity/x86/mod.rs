//! The ISA files of x86-64, and which of them this CPU can run.

mod avx2;
mod avx2_gfni;
mod avx512;
mod avx512_gfni;
mod cache;
mod cpu;
mod ssse3;

use super::{Kernels, Ops};

bitflags::bitflags! {
    /// What an ISA file needs of the CPU and of the operating system.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Features: u8 {
        /// The byte shuffle on 16-byte registers.
        const SSSE3 = 1;
        /// Integers in 32-byte registers.
        const AVX2 = 1 << 1;
        /// AVX-512F and BW: bytes in 64-byte registers.
        const AVX512 = 1 << 2;
        /// Products with bit matrices, on whatever registers there are.
        const GFNI = 1 << 3;
    }
}

/// All forms and their needs, the best first.
static FORMS: [(Features, Ops); 5] = [
    form("avx512-gfni", Features::AVX512.union(Features::GFNI), avx512_gfni::KERNELS),
    form("avx512", Features::AVX512, avx512::KERNELS),
    form("avx2-gfni", Features::AVX2.union(Features::GFNI), avx2_gfni::KERNELS),
    form("avx2", Features::AVX2, avx2::KERNELS),
    form("ssse3", Features::SSSE3, ssse3::KERNELS),
];

const fn form(name: &'static str, needs: Features, kernels: Kernels) -> (Features, Ops) {
    // SAFETY: `FORMS` is private to this file, and `supported` gives out only those whose needs the CPU meets.
    (needs, unsafe { Ops::new(name, kernels) })
}

/// The forms that this CPU can run, the best first.
pub(super) fn supported() -> impl Iterator<Item = &'static Ops> {
    let present = cpu::features();
    FORMS.iter().filter(move |(needs, _)| present.contains(*needs)).map(|(_, ops)| ops)
}
