//! The content of the fixtures: sector L of the array holds the u64 little-endian number L, 64 times.

/// Bytes of a sector.
pub const SECTOR: usize = 512;

/// Content of `count` sectors from `first` on.
#[must_use]
pub fn sectors(first: u64, count: usize) -> Vec<u8> {
    (first..).take(count).flat_map(|sector| sector.to_le_bytes().repeat(SECTOR / 8)).collect()
}

/// Numbers of all array sectors that stand somewhere in `bytes`, in order of place. Zeros count as sector 0.
pub fn sectors_held(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(SECTOR).filter_map(|sector| {
        let (first, rest) = sector.split_first_chunk::<8>()?;
        rest.chunks_exact(8).all(|word| word == first).then(|| u64::from_le_bytes(*first))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_found_and_noise_is_not() {
        let mut bytes = sectors(70_000, 3);
        assert_eq!(sectors_held(&bytes).collect::<Vec<_>>(), [70_000, 70_001, 70_002]);
        bytes[SECTOR + 100] ^= 1;
        assert_eq!(sectors_held(&bytes).collect::<Vec<_>>(), [70_000, 70_002]);
    }
}
