//! `benches/RESULTS.md`: a section a benchmark, a table a group, each figure beside that of a named peer.

use std::fmt::Write;

use super::measured::Measurement;

/// The file before the first section.
pub(super) const EMPTY: &str = "# Measured\n\nWritten by `cargo xtask bench`. \
The figure in brackets is a ratio to the peer, which stands in the last column: 2.0× is twice as fast.\n\
`reference` is this project's own byte-wise form: it shows what a form gains, not how others do.\n";

/// Forms that others are measured against, the first that a table has.
const PEERS: [&str; 7] = ["alone", "mdadm", "md-in-uml", "isal", "isal-debian", "reference", "naive"];

/// The section of one benchmark.
pub(super) fn section(name: &str, circumstances: &str, measurements: &[Measurement]) -> String {
    let mut text = format!("## {name}\n\n`cargo xtask bench {name}`: {circumstances}. Medians.\n");
    for group in in_order(measurements.iter().map(|found| found.group.as_str())) {
        let rows: Vec<&Measurement> = measurements.iter().filter(|found| found.group == group).collect();
        text.push_str(&table(group, &rows));
    }
    text
}

/// A row a case, a column a form, the peer last.
fn table(group: &str, measurements: &[&Measurement]) -> String {
    let mut forms = in_order(measurements.iter().map(|found| found.form.as_str()));
    let peer = PEERS.into_iter().find(|peer| forms.contains(peer));
    forms.sort_by_key(|form| Some(*form) == peer);
    let mut text = format!("\n| {group} | {} |\n|---|{}\n", forms.join(" | "), "---|".repeat(forms.len()));
    for case in in_order(measurements.iter().map(|found| found.case.as_str())) {
        let of = |form: &str| measurements.iter().find(|found| found.case == case && found.form == form);
        let peer_ns = peer.and_then(of).map(|found| found.time_ns);
        let cell =
            |form: &str| of(form).map_or_else(|| "–".to_owned(), |found| figure(found, peer_ns, Some(form) == peer));
        let cells: Vec<String> = forms.iter().map(|form| cell(form)).collect();
        let _ = writeln!(text, "| {case} | {} |", cells.join(" | "));
    }
    text
}

/// Throughput where there is one, else time; and how many times as fast as the peer.
fn figure(found: &Measurement, peer_ns: Option<f64>, is_peer: bool) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are printed")]
    let plain = match found.bytes {
        Some(bytes) => format!("{} GB/s", digits(bytes as f64 / found.time_ns)),
        None => time(found.time_ns),
    };
    match found.ratio.or_else(|| Some(peer_ns? / found.time_ns)) {
        Some(ratio) if !is_peer => format!("{plain} ({}×)", digits(ratio)),
        _ => plain,
    }
}

fn time(ns: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let (unit_ns, unit) = units.into_iter().find(|(unit_ns, _)| ns >= *unit_ns).unwrap_or((1.0, "ns"));
    format!("{} {unit}", digits(ns / unit_ns))
}

/// Three digits that mean something.
fn digits(value: f64) -> String {
    let places = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.places$}")
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// The file with one section put in the place of its older self, or at the end. What stands outside of sections stays.
pub(super) fn with_section(file: &str, name: &str, section: &str) -> String {
    let (open, close) = (format!("<!-- bench {name} -->\n"), format!("<!-- end of {name} -->\n"));
    let new = format!("{open}{section}{close}");
    let place = file.find(&open).zip(file.find(&close)).filter(|(start, end)| start < end);
    match place.and_then(|(start, end)| Some((file.get(..start)?, file.get(end + close.len()..)?))) {
        Some((before, after)) => format!("{before}{new}{after}"),
        None => format!("{}\n\n{new}", file.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(case: &str, form: &str, time_ns: f64, bytes: Option<u64>) -> Measurement {
        Measurement { group: "g".to_owned(), case: case.to_owned(), form: form.to_owned(), time_ns, bytes, ratio: None }
    }

    #[test]
    fn a_table_has_the_peer_last_and_ratios_to_it() {
        let measurements = [
            found("4K", "reference", 4096.0, Some(4096)),
            found("4K", "avx2", 64.0, Some(4096)),
            found("64K", "avx2", 2_500_000.0, None),
        ];
        let expected = "\n| g | avx2 | reference |\n|---|---|---|\n| 4K | 64.0 GB/s (64.0×) | 1.00 GB/s |\n| 64K | 2.50 ms | – |\n";
        assert_eq!(table("g", &measurements.iter().collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_ratio_that_the_benchmark_gives_counts() {
        let found = Measurement { ratio: Some(1.5), ..found("a", "raid", 200.0, None) };
        assert_eq!(figure(&found, Some(100.0), false), "200 ns (1.50×)");
    }

    #[test]
    fn a_slower_form_is_shown_as_slower() {
        assert_eq!(figure(&found("a", "raid", 200.0, None), Some(100.0), false), "200 ns (0.50×)");
    }

    #[test]
    fn a_section_takes_the_place_of_its_older_self_and_of_nothing_else() {
        let first = with_section(&with_section(EMPTY, "a", "old a\n"), "b", "b\n");
        let second = with_section(&first, "a", "new a\n");
        assert_eq!(second, first.replace("old a", "new a"));
        assert_eq!(with_section(&second, "a", "new a\n"), second);
    }
}
