//! Lists of allocation runs: joined as they are made, so that equal neighbours never stand apart.

use super::Run;

/// Appends a run, joining it with the one before if both are holes or both are not. An empty run adds nothing.
pub(super) fn push(runs: &mut Vec<Run>, len_bytes: u64, zero: bool) {
    if len_bytes == 0 {
        return;
    }
    match runs.last_mut() {
        Some(last) if last.zero == zero => last.len_bytes = last.len_bytes.saturating_add(len_bytes),
        _ => runs.push(Run { len_bytes, zero }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_become_one_run() {
        let mut runs = Vec::new();
        for (len_bytes, zero) in [(1, false), (2, false), (0, true), (3, false), (4, true)] {
            push(&mut runs, len_bytes, zero);
        }
        assert_eq!(runs, [Run { len_bytes: 6, zero: false }, Run { len_bytes: 4, zero: true }]);
    }
}
