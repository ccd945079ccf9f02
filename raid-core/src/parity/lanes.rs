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

    /// As [`store`](Self::store), past the caches where there is a way. `to` is aligned to [`BYTES`](Self::BYTES).
    ///
    /// # Safety
    /// As for [`store`](Self::store); and `to` is aligned; and [`fence`](Self::fence) follows before anybody else is told.
    #[inline(always)]
    unsafe fn stream(self, to: *mut u8) {
        // SAFETY: The caller's promise.
        unsafe { self.store(to) }
    }

    /// Orders what was [streamed](Self::stream) before all stores that follow.
    #[inline(always)]
    fn fence() {}

    /// Asks for the line of cache at `from`, wherever that is: a hint that cannot fault.
    #[inline(always)]
    fn prefetch(_from: *const u8) {}

    /// Asks for the line of cache at `to` in order to write it: a hint that cannot fault.
    #[inline(always)]
    fn claim(_to: *const u8) {}

    /// Whether any bit is set.
    ///
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn any(self) -> bool;

    /// `self ∨ b`.
    ///
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn or(self, b: Self) -> Self;

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

    /// Most columns whose factors are made ready before a walk; where each takes one register, it stays in it. Measured on Zen 4.
    const READY_MAX: usize = 0;

    /// Turns a sum into the form that [`horner`](Self::horner) carries on: itself, unless an ISA has a cheaper one.
    ///
    /// # Safety
    /// The CPU has the instructions of this ISA.
    #[inline(always)]
    unsafe fn open(q: Self::Register) -> Self::Register {
        q
    }

    /// Turns what [`horner`](Self::horner) carried back into the sum.
    ///
    /// # Safety
    /// As for [`open`](Self::open).
    #[inline(always)]
    unsafe fn close(q: Self::Register) -> Self::Register {
        q
    }

    /// `2·q ⊕ low`: one step of Horner's rule, on an [opened](Self::open) sum.
    ///
    /// # Safety
    /// As for [`open`](Self::open).
    unsafe fn horner(q: Self::Register, low: Self::Register) -> Self::Register;

    /// `4·q ⊕ 2·d[1] ⊕ d[0]`: two steps, for ISAs that have a shorter way than one by one.
    ///
    /// # Safety
    /// As for [`open`](Self::open).
    #[inline(always)]
    unsafe fn horner2(q: Self::Register, d: [Self::Register; 2]) -> Self::Register {
        // SAFETY: The caller vouches for the CPU.
        unsafe { Self::horner(Self::horner(q, d[1]), d[0]) }
    }

    /// `16·q ⊕ 8·d[3] ⊕ 4·d[2] ⊕ 2·d[1] ⊕ d[0]`: four steps.
    ///
    /// # Safety
    /// As for [`open`](Self::open).
    #[inline(always)]
    unsafe fn horner4(q: Self::Register, d: [Self::Register; 4]) -> Self::Register {
        // SAFETY: The caller vouches for the CPU.
        unsafe { Self::horner2(Self::horner2(q, [d[2], d[3]]), [d[0], d[1]]) }
    }

    /// Makes a factor ready.
    ///
    /// # Safety
    /// As for [`open`](Self::open).
    unsafe fn factor(factor: u8) -> Self::Factor;

    /// `factor·x`.
    ///
    /// # Safety
    /// As for [`open`](Self::open).
    unsafe fn times(x: Self::Register, factor: Self::Factor) -> Self::Register;
}
