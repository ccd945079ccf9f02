//! What this CPU can do and its operating system lets us use, asked without `std`.
//!
//! A wide register needs two yeses: CPUID says that the instructions exist, XGETBV says that the operating system saves
//! the register when it switches tasks. An ISA without the second would lose data silently, so both are asked.
//! Sources: Intel SDM volume 1, sections 14.3 and 15.2 to 15.4.

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use core::sync::atomic::{AtomicU8, Ordering};

use super::Features;

/// The answer, once asked: CPUID traps under virtual machines and then costs more than a stripe.
static KNOWN: AtomicU8 = AtomicU8::new(0);

/// Set in [`KNOWN`] once it holds an answer. No feature has this bit.
const ASKED: u8 = 0x80;

/// The features of this CPU.
pub(super) fn features() -> Features {
    let known = KNOWN.load(Ordering::Relaxed);
    if known & ASKED != 0 {
        return Features::from_bits_truncate(known);
    }
    let features = ask();
    // Two threads that ask at once store the same.
    KNOWN.store(features.bits() | ASKED, Ordering::Relaxed);
    features
}

/// XCR0's bits of the SSE and AVX registers.
const YMM: u64 = 0b110;

/// XCR0's bits of these, the mask registers, the upper halves and the upper sixteen of AVX-512.
const ZMM: u64 = YMM | 0b1110_0000;

/// True if all bits of `mask` are set.
const fn has(register: u32, mask: u32) -> bool {
    register & mask == mask
}

const fn bit(number: u32) -> u32 {
    1 << number
}

fn ask() -> Features {
    let mut features = Features::empty();
    let leaves = __cpuid(0).eax;
    let basic = __cpuid(1).ecx;
    features.set(Features::SSSE3, has(basic, bit(9)));
    features.set(Features::SSE42, has(basic, bit(20)));

    // AVX and OSXSAVE; without the second XGETBV itself is an illegal instruction. `avx512f` implies FMA and F16C for
    // the compiler, so these two must be there as well.
    if leaves < 7 || !has(basic, bit(27) | bit(28)) {
        return features;
    }
    // SAFETY: OSXSAVE says that XGETBV may be executed.
    let saved = unsafe { enabled_state() };
    let (ymm, zmm) = (saved & YMM == YMM, saved & ZMM == ZMM);
    let wide = __cpuid_count(7, 0);
    let avx2 = ymm && has(wide.ebx, bit(5));
    let fma_f16c = bit(12) | bit(29);
    features.set(Features::AVX2, avx2);
    features.set(Features::AVX512, avx2 && zmm && has(basic, fma_f16c) && has(wide.ebx, bit(16) | bit(30)));
    features.set(Features::GFNI, has(wide.ecx, bit(8)));
    features.set(Features::VPCLMUL, avx2 && has(basic, bit(1)) && has(wide.ecx, bit(10)));
    features
}

/// The register sets that the operating system saves, as bits: XCR0.
///
/// # Safety
/// CPUID must report OSXSAVE.
#[target_feature(enable = "xsave")]
unsafe fn enabled_state() -> u64 {
    // SAFETY: The caller has seen OSXSAVE. Register 0 always exists.
    unsafe { _xgetbv(0) }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn the_answer_is_the_standard_librarys() {
        let features = features();
        assert_eq!(features.contains(Features::SSSE3), std::is_x86_feature_detected!("ssse3"));
        assert_eq!(features.contains(Features::AVX2), std::is_x86_feature_detected!("avx2"));
        assert_eq!(features.contains(Features::GFNI), std::is_x86_feature_detected!("gfni"));
        assert_eq!(features.contains(Features::SSE42), std::is_x86_feature_detected!("sse4.2"));
        let vpclmul = std::is_x86_feature_detected!("vpclmulqdq") && std::is_x86_feature_detected!("pclmulqdq");
        assert_eq!(features.contains(Features::VPCLMUL), vpclmul);
        let avx512 = std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512bw");
        assert_eq!(features.contains(Features::AVX512), avx512);
        assert_eq!(features, self::features(), "the remembered answer is the first one");
    }
}
