//! Lists of runs: ascending, disjoint, merged where they touch.

use raid_core::{Extent, Sectors};

/// `list` with `run` added; the list stays ascending and disjoint. Empty runs are dropped.
pub(crate) fn with_run(mut list: Vec<Extent>, run: Extent) -> Vec<Extent> {
    if run.len == Sectors::ZERO {
        return list;
    }
    let end = |run: &Extent| run.at.0.saturating_add(run.len.0);
    let first = list.partition_point(|other| end(other) < run.at.0);
    let last = list.partition_point(|other| other.at.0 <= end(&run));
    let touched = list[first..last].iter().fold(run, |sum, other| {
        let at = sum.at.min(other.at);
        Extent { at, len: Sectors(end(&sum).max(end(other)) - at.0) }
    });
    list.splice(first..last, [touched]);
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use raid_core::Sector;

    #[test]
    fn runs_merge_where_they_touch_and_stay_sorted() {
        let run = |at, len| Extent { at: Sector(at), len: Sectors(len) };
        let runs = [run(10, 5), run(30, 1), run(15, 5), run(0, 2), run(12, 1), run(7, 0), run(25, 5)];
        assert_eq!(runs.into_iter().fold(Vec::new(), with_run), [run(0, 2), run(10, 10), run(25, 6)]);
    }
}
