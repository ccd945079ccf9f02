//! The ISA files of x86-64, and which of them this CPU can run.

mod avx2;
mod avx2_gfni;
mod avx512;
mod avx512_gfni;
mod cache;
mod cpu;
mod crc32c;
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
        /// CRC-32C as an instruction.
        const SSE42 = 1 << 4;
        /// Carry-less products, on 16-byte registers and on whatever wider ones there are.
        const VPCLMUL = 1 << 5;
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

/// The register of CRC-32C after `bytes`, if this CPU has a way of its own.
pub(super) fn crc32c(register: u32, bytes: &[u8]) -> Option<u32> {
    let present = cpu::features();
    if present.contains(Features::SSE42 | Features::AVX512 | Features::VPCLMUL) {
        // SAFETY: The CPU has all that it needs; the bytes are a slice.
        Some(unsafe { crc32c::folded(register, bytes.as_ptr(), bytes.len()) })
    } else if present.contains(Features::SSE42) {
        // SAFETY: As above.
        Some(unsafe { crc32c::stepped(register, bytes.as_ptr(), bytes.len()) })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::parity::crc32c::portable;

    /// The faster way hides the other where it is there.
    #[test]
    fn each_way_of_this_cpu_gives_the_sum() {
        let bytes: std::vec::Vec<u8> = (0..700_u32).map(|at| ((at * at) >> 3).to_le_bytes()[0]).collect();
        for len in 0..bytes.len() {
            let (part, expected) = (&bytes[..len], portable(7, &bytes[..len]));
            assert_eq!(crc32c(7, part).unwrap_or(expected), expected, "{len} bytes");
            if cpu::features().contains(Features::SSE42) {
                // SAFETY: The CPU has it; the bytes are a slice.
                assert_eq!(unsafe { crc32c::stepped(7, part.as_ptr(), len) }, expected, "{len} bytes");
            }
        }
    }
}
