// SPDX-License-Identifier: GPL-2.0-only
//! One table of entry points for each instruction set.

#[path = "../../../../raid-core/src/parity/x86/avx2.rs"]
mod avx2;
#[path = "../../../../raid-core/src/parity/x86/avx2_gfni.rs"]
mod avx2_gfni;
#[path = "../../../../raid-core/src/parity/x86/avx512.rs"]
mod avx512;
#[path = "../../../../raid-core/src/parity/x86/avx512_gfni.rs"]
mod avx512_gfni;
#[path = "../../../../raid-core/src/parity/x86/cache.rs"]
mod cache;
#[path = "../../../../raid-core/src/parity/x86/ssse3.rs"]
mod ssse3;

use super::Kernels;

/// SSSE3.
#[unsafe(no_mangle)]
static RAID_SSSE3: Kernels = ssse3::KERNELS;
/// AVX2.
#[unsafe(no_mangle)]
static RAID_AVX2: Kernels = avx2::KERNELS;
/// AVX2 and GFNI.
#[unsafe(no_mangle)]
static RAID_AVX2_GFNI: Kernels = avx2_gfni::KERNELS;
/// AVX-512.
#[unsafe(no_mangle)]
static RAID_AVX512: Kernels = avx512::KERNELS;
/// AVX-512 and GFNI.
#[unsafe(no_mangle)]
static RAID_AVX512_GFNI: Kernels = avx512_gfni::KERNELS;
