//! Bars for README: P and Q by number of data columns, each form of ours and each peer, from one run of the benchmark `peers`.

use std::fmt::Write;

use super::measured::Measurement;

const GROUP: &str = "pq cached";
const CASES: [(&str, &str); 4] =
    [("4x4K", "4 data columns"), ("8x4K", "8 columns"), ("16x4K", "16 columns"), ("32x4K", "32 columns")];

/// What is drawn, in this order: a name, a colour. Ours are green, others grey and blue.
const FORMS: [(&str, &str); 9] = [
    ("avx512-gfni", "#0b6e4f"),
    ("avx512", "#2a9d6f"),
    ("avx2-gfni", "#57bf92"),
    ("avx2", "#8bd8b5"),
    ("ssse3", "#bfecd7"),
    ("isal", "#27408b"),
    ("isal-debian", "#6f86c6"),
    ("snapraid", "#8a8a8a"),
    ("linux", "#bdbdbd"),
];

const WIDTH: usize = 900;
const HEIGHT: usize = 380;
const LEFT: usize = 50;
const TOP: usize = 40;
/// Where the bars stand.
const GROUND: usize = 310;
const BAR: usize = 20;
const GAP: usize = 28;

/// The drawing. Without measurements, an empty one.
pub(super) fn parity(measurements: &[Measurement]) -> String {
    let rate = |case: &str, form: &str| {
        let wanted = |found: &&Measurement| found.group == GROUP && found.case == case && found.form == form;
        measurements.iter().find(wanted).and_then(gigabytes_per_second)
    };
    let all = CASES.iter().flat_map(|(case, _)| FORMS.iter().filter_map(|(form, _)| rate(case, form)));
    let top = (all.fold(1.0, f64::max) / 20.0).ceil() * 20.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">P and Q of 4 KiB blocks in the cache, GB/s of data on one core \
         (cargo xtask bench peers)</text>\n"
    );
    for line in 0..=4 {
        let value = top * f64::from(line) / 4.0;
        let y = height_of(value, top);
        let _ = writeln!(svg, "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"#dddddd\"/>", WIDTH - 20);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>", LEFT - 6, y + 4.0);
    }
    for (group, (case, label)) in CASES.iter().enumerate() {
        let start = LEFT + GAP / 2 + group * (FORMS.len() * BAR + GAP);
        for (at, (form, colour)) in FORMS.iter().enumerate() {
            let Some(rate) = rate(case, form) else { continue };
            let (x, y) = (start + at * BAR, height_of(rate, top));
            let height = height_of(0.0, top) - y;
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y:.1}\" width=\"{}\" height=\"{height:.1}\" fill=\"{colour}\">\
                 <title>{form}, {label}: {rate:.0} GB/s</title></rect>",
                BAR - 2
            );
        }
        let middle = start + FORMS.len() * BAR / 2;
        let _ = writeln!(svg, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", GROUND + 18);
    }
    for (at, (form, colour)) in FORMS.iter().enumerate() {
        let x = LEFT + at * 94;
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"346\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"356\">{form}</text>", x + 17);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where a value is drawn.
#[expect(clippy::cast_precision_loss, reason = "a few hundred pixels")]
fn height_of(value: f64, top: f64) -> f64 {
    GROUND as f64 - value / top * (GROUND - TOP) as f64
}

#[expect(clippy::cast_precision_loss, reason = "bytes of one run, far below 2^52")]
fn gigabytes_per_second(found: &Measurement) -> Option<f64> {
    Some(found.bytes? as f64 / found.time_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_its_rate() {
        let found = |form: &str, time_ns| Measurement {
            group: GROUP.to_owned(),
            case: "8x4K".to_owned(),
            form: form.to_owned(),
            time_ns,
            bytes: Some(40_000),
            ratio: None,
        };
        // 40 GB/s fill the height, 20 the half of it.
        let svg = parity(&[found("avx2", 1000.0), found("linux", 2000.0)]);
        assert!(svg.contains("height=\"270.0\" fill=\"#8bd8b5\"><title>avx2, 8 columns: 40 GB/s"), "{svg}");
        assert!(svg.contains("height=\"135.0\" fill=\"#bdbdbd\""), "{svg}");
        assert_eq!(svg.matches("<title>").count(), 2);
    }
}
