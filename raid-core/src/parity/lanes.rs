//! What a kernel needs of a register and of an instruction set: two traits that one file per ISA fills.
//!
//! [`Register`] is the width: load, store, exclusive or. [`Isa`] is the field arithmetic on such a register; two ISAs
//! may share a register (AVX2 with and without GFNI). Nothing here knows of columns, counts or lengths.
//!
//! All methods are `unsafe` for one reason: an implementation may use instructions that this CPU lacks. Their
//! callers are the entry points that [`entry_points!`](super::kernel) makes, which enable exactly these
//! instructions and hand the duty to whoever calls them. The methods carry `#[target_feature]` in the ISA files, which forbids
//! `#[inline(always)]` there; plain `#[inline]` is enough, as callers have the same features.

/// A register full of bytes. Every bit pattern is a value.
pub(super) trait Register: Copy {
    /// Bytes in the register: a power of two, at most 64.
    const BYTES: usize;

    /// All zeros.
    ///
    /// # Safety
    /// The CPU has the instructions of this register.
    unsafe fn zero() -> Self;

    /// The [`BYTES`](Self::BYTES) bytes at `from`, which need not be aligned.
    ///
    /// # Safety
    /// As for [`zero`](Self::zero); and that many bytes may be read at `from`.
    unsafe fn load(from: *const u8) -> Self;

    /// Stores the [`BYTES`](Self::BYTES) bytes to `to`, which need not be aligned.
    ///
    /// # Safety
    /// As for [`zero`](Self::zero); and that many bytes may be written at `to`.
    unsafe fn store(self, to: *mut u8);

    /// `self ⊕ b`.
    ///
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn xor(self, b: Self) -> Self;

    /// `self ⊕ b ⊕ c`: one instruction where there is one.
    ///
    /// # Safety
    /// As for [`zero`](Self::zero).
    #[inline(always)]
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        // SAFETY: The caller vouches for the CPU.
        unsafe { self.xor(b.xor(c)) }
    }
}

/// The field arithmetic of an instruction set, on every byte of a register at once.
pub(super) trait Isa {
    /// What the bytes lie in.
    type Register: Register;

    /// A constant factor, made ready for [`times`](Self::times).
    type Factor: Copy;

    /// `2·q ⊕ low`: one step of Horner's rule.
    ///
    /// # Safety
    /// The CPU has the instructions of this ISA.
    unsafe fn horner(q: Self::Register, low: Self::Register) -> Self::Register;

    /// `4·q ⊕ 2·high ⊕ low`: two steps of Horner's rule, for ISAs that have a shorter way than one by one.
    ///
    /// # Safety
    /// As for [`horner`](Self::horner).
    #[inline(always)]
    unsafe fn horner2(q: Self::Register, high: Self::Register, low: Self::Register) -> Self::Register {
        // SAFETY: The caller vouches for the CPU.
        unsafe { Self::horner(Self::horner(q, high), low) }
    }

    /// Makes a factor ready.
    ///
    /// # Safety
    /// As for [`horner`](Self::horner).
    unsafe fn factor(factor: u8) -> Self::Factor;

    /// `factor·x`.
    ///
    /// # Safety
    /// As for [`horner`](Self::horner).
    unsafe fn times(x: Self::Register, factor: Self::Factor) -> Self::Register;
}
