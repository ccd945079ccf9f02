//! The field that P and Q live in, as constants: GF(2^8) with the polynomial 0x11D and the generator 2.
//!
//! Everything here is built at compile time and nothing here touches a buffer. Why this field, and what it is
//! good for, stands in front of [`reference`](super::reference). The polynomial and the generator are those of
//! Linux MD (`lib/raid6/mktables.c`) and of SNIA DDF 2.0, section 4.3.

/// x^8 + x^4 + x^3 + x^2 + 1: what a byte is reduced by when it outgrows eight bits.
const POLYNOMIAL: u16 = 0x11D;

/// `a` times 2, the generator.
#[must_use]
pub const fn double(a: u8) -> u8 {
    let wide = (a as u16) << 1;
    let reduced = if wide & 0x100 == 0 { wide } else { wide ^ POLYNOMIAL };
    reduced.to_le_bytes()[0]
}

/// 2 to the power of the index. Entry 255 closes the circle: it is 1 again, as entry 0.
const POWERS: [u8; 256] = {
    let mut table = [1; 256];
    let mut exponent = 1;
    while exponent < 256 {
        table[exponent] = double(table[exponent - 1]);
        exponent += 1;
    }
    table
};

/// The exponent (0..=254) of which the index is the power. Entry 0 means nothing: no power of 2 is zero.
const LOGARITHMS: [u8; 256] = {
    let mut table = [0; 256];
    let mut exponent = 0u8;
    while exponent < 255 {
        table[POWERS[exponent as usize] as usize] = exponent;
        exponent += 1;
    }
    table
};

/// 2 to the power of `exponent`. The powers 0..=254 are all different; 255 is 1 again.
#[must_use]
pub const fn power(exponent: u8) -> u8 {
    POWERS[exponent as usize]
}

/// `a` times `b`.
#[must_use]
pub const fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    // The sum of two exponents wraps at 255, not at 256: the carry is worth one step more.
    let (sum, carried) = LOGARITHMS[a as usize].overflowing_add(LOGARITHMS[b as usize]);
    power(sum.wrapping_add(carried as u8))
}

/// The number that `a` times makes 1. Zero has none and yields 1, which no caller may rely on.
#[must_use]
pub const fn inverse(a: u8) -> u8 {
    power(255 - LOGARITHMS[a as usize])
}

/// The exponent, 0..=254, of which `a` is the power; none for zero.
#[must_use]
pub const fn logarithm(a: u8) -> Option<u8> {
    if a == 0 { None } else { Some(LOGARITHMS[a as usize]) }
}

/// For every factor: its products with the low half of a byte (16 entries), then with the high half (16 entries).
///
/// `c · x = NIBBLES[c][x & 15] ^ NIBBLES[c][16 + (x >> 4)]`: two look-ups that a byte shuffle does for a whole register.
pub static NIBBLES: [[u8; 32]; 256] = {
    let mut table = [[0; 32]; 256];
    let mut factor = 0u8;
    loop {
        let mut nibble = 0u8;
        while nibble < 16 {
            table[factor as usize][nibble as usize] = multiply(factor, nibble);
            table[factor as usize][16 + nibble as usize] = multiply(factor, nibble << 4);
            nibble += 1;
        }
        if factor == 255 {
            break table;
        }
        factor += 1;
    }
};

/// For every factor: multiplication by it as an 8 × 8 matrix of bits, in the form that `GF2P8AFFINEQB` takes.
///
/// Byte `7 - i` of the word makes bit `i` of the product: its bit `j` says whether bit `j` of the operand counts
/// (Intel SDM, `GF2P8AFFINEQB`). `GF2P8MULB` is of no use here: it reduces by AES's polynomial, 0x11B.
pub static MATRICES: [u64; 256] = {
    let mut table = [0; 256];
    let mut factor = 0u8;
    loop {
        table[factor as usize] = matrix(factor);
        if factor == 255 {
            break table;
        }
        factor += 1;
    }
};

const fn matrix(factor: u8) -> u64 {
    let mut word = 0u64;
    let mut column = 0;
    while column < 8 {
        let image = multiply(factor, 1 << column);
        let mut bit = 0;
        while bit < 8 {
            word |= ((image >> bit & 1) as u64) << (8 * (7 - bit) + column);
            bit += 1;
        }
        column += 1;
    }
    word
}

/// What doubling a byte takes back when its top bit falls out: the polynomial without its top bit.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only the instruction sets of x86 ask for it"))]
pub(super) const REDUCE: i8 = 0x1D;

/// Makes doubling cheaper where a byte shuffle is the only look-up. For bytes, `2·q` is `q + q` without the bit that falls out, ⊕
/// [`REDUCE`] where one falls out. A byte shuffle by the index `q` gives 0 where the top bit of `q` is set and, if all 16
/// entries are [`REDUCE`], that where it is clear: in one instruction just the opposite, `s = REDUCE ⊕ what is needed`.
/// So `2·q = (q + q) ⊕ s ⊕ REDUCE`. The constant need not be added at each step: carry `q ⊕ BIAS` in place of `q`, where
/// `BIAS = (BIAS + BIAS) ⊕ REDUCE` and its top bit is clear. Then `(q ⊕ BIAS) + (q ⊕ BIAS)` is `(q + q) ⊕ BIAS ⊕ REDUCE`, the
/// shuffle gives the same `s`, and their sum is `2·q ⊕ BIAS`: the constant has paid for itself.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only the instruction sets of x86 ask for it"))]
pub(super) const BIAS: i8 = 0x0B;

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiplication as one learns it: shift, add, reduce. It shares nothing with the tables.
    fn schoolbook(a: u8, b: u8) -> u8 {
        let mut product = 0u16;
        for bit in 0..8 {
            if b >> bit & 1 == 1 {
                product ^= u16::from(a) << bit;
            }
        }
        for bit in (8..16).rev() {
            if product >> bit & 1 == 1 {
                product ^= POLYNOMIAL << (bit - 8);
            }
        }
        u8::try_from(product).unwrap()
    }

    #[test]
    fn every_product_is_the_schoolbooks() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(multiply(a, b), schoolbook(a, b), "{a:#x} · {b:#x}");
            }
        }
    }

    #[test]
    fn every_number_but_zero_has_an_inverse() {
        for a in 1..=255 {
            assert_eq!(schoolbook(a, inverse(a)), 1, "{a:#x}");
        }
    }

    #[test]
    fn the_powers_of_the_generator_are_all_different() {
        let mut seen = [false; 256];
        for exponent in 0..255 {
            assert!(!core::mem::replace(&mut seen[usize::from(power(exponent))], true), "{exponent}");
        }
        assert!(!seen[0]);
        assert_eq!(power(255), power(0));
        assert_eq!([power(8), power(16), power(254)], [0x1D, 0x4C, 0x8E]);
    }

    #[test]
    fn the_bias_reproduces_itself() {
        let stays = |q: i8| if q < 0 { 0 } else { REDUCE };
        for q in i8::MIN..=i8::MAX {
            let carried = q ^ BIAS;
            let doubled = carried.wrapping_add(carried) ^ stays(carried);
            assert_eq!((doubled ^ BIAS).cast_unsigned(), double(q.cast_unsigned()));
        }
    }

    #[test]
    fn nibble_tables_and_matrices_multiply() {
        for factor in 0..=255u8 {
            let nibbles = NIBBLES[usize::from(factor)];
            let matrix = MATRICES[usize::from(factor)].to_le_bytes();
            for x in 0..=255u8 {
                let expected = schoolbook(factor, x);
                assert_eq!(nibbles[usize::from(x & 15)] ^ nibbles[16 + usize::from(x >> 4)], expected);
                let product = (0..8).fold(0, |sum, bit| sum | ((matrix[7 - bit] & x).count_ones() & 1) << bit);
                assert_eq!(product, u32::from(expected));
            }
        }
    }
}
