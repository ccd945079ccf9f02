//! SHA-1 of a short text, for names alone: `mdadm` makes the UUIDs that it prints of IMSM by it. Nothing is protected by it.
//!
//! Source: FIPS 180-4, section 6.1. A text of at most 55 bytes fills one block with its padding; IMSM's have 48 at most.

/// Longest text: a block of 64 bytes, less the bit behind it and its length.
const TEXT_BYTES_MAX: usize = 55;

/// The digest of the bytes of `parts`, one behind the other; of what fits if they are more than 55.
#[must_use]
pub(super) fn digest(parts: &[&[u8]]) -> [u8; 20] {
    let text = parts.iter().flat_map(|part| part.iter().copied()).take(TEXT_BYTES_MAX);
    let mut block = [0_u8; 64];
    let mut len: u64 = 0;
    // The bit behind the text.
    for (to, from) in block.iter_mut().zip(text.chain([0x80])) {
        *to = from;
        len = len.saturating_add(1);
    }
    let bits = len.saturating_sub(1).saturating_mul(8).to_be_bytes();
    for (to, from) in block.iter_mut().rev().zip(bits.iter().rev()) {
        *to = *from;
    }
    let start = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0_u32];
    let mixed = mix(start, &block);
    let mut digest = [0; 20];
    let words = start.iter().zip(mixed).map(|(start, mixed)| start.wrapping_add(mixed));
    for (to, from) in digest.iter_mut().zip(words.flat_map(u32::to_be_bytes)) {
        *to = from;
    }
    digest
}

/// Eighty rounds over one block.
fn mix(start: [u32; 5], block: &[u8; 64]) -> [u32; 5] {
    let mut window = [0_u32; 16];
    let (words, _) = block.as_chunks::<4>();
    for (to, from) in window.iter_mut().zip(words) {
        *to = u32::from_be_bytes(*from);
    }
    let [mut a, mut b, mut c, mut d, mut e] = start;
    for round in 0..80 {
        let [w, _, w2, .., w8, _, _, _, _, w13, _, _] = window;
        let (f, k) = match round {
            0..20 => (b & c | !b & d, 0x5A82_7999),
            20..40 => (b ^ c ^ d, 0x6ED9_EBA1),
            40..60 => (b & c | b & d | c & d, 0x8F1B_BCDC),
            _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
        };
        let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(w);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        // The word sixteen rounds on is made of those three, eight, fourteen and sixteen before it.
        window.rotate_left(1);
        let [.., last] = &mut window;
        *last = (w13 ^ w8 ^ w2 ^ w).rotate_left(1);
    }
    [a, b, c, d, e]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(parts: &[&[u8]]) -> [u32; 5] {
        let digest = digest(parts);
        core::array::from_fn(|word| u32::from_be_bytes(core::array::from_fn(|byte| digest[word * 4 + byte])))
    }

    /// The examples of FIPS 180, and the empty text.
    #[test]
    fn known_texts_have_known_digests() {
        assert_eq!(words(&[b"abc"]), [0xA999_3E36, 0x4706_816A, 0xBA3E_2571, 0x7850_C26C, 0x9CD0_D89D]);
        assert_eq!(words(&[]), [0xDA39_A3EE, 0x5E6B_4B0D, 0x3255_BFEF, 0x9560_1890, 0xAFD8_0709]);
        assert_eq!(words(&[b"a", b"", b"bc"]), words(&[b"abc"]));
    }
}
