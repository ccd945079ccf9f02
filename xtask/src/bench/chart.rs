//! Bars for README: P and Q by number of data columns, each form of ours and each peer, from one run of the benchmark `peers`; and
//! operations per second by level, from one of `md`.

use std::fmt::Write;

use super::measured::Measurement;

/// What one drawing shows.
struct Chart {
    title: &'static str,
    /// The measurements' group.
    group: &'static str,
    /// Groups of bars: a measurement's case, and what it is called.
    cases: &'static [(&'static str, &'static str)],
    /// Bars, in this order: a form, a colour.
    forms: &'static [(&'static str, &'static str)],
    bar_width: usize,
    unit: &'static str,
    /// The axis ends at a multiple of this.
    step: f64,
    value: fn(&Measurement) -> Option<f64>,
}

const PARITY: Chart = Chart {
    title: "P and Q of 4 KiB blocks in the cache, GB/s of data on one core (cargo xtask bench peers)",
    group: "pq cached",
    cases: &[("4x4K", "4 data columns"), ("8x4K", "8 columns"), ("16x4K", "16 columns"), ("32x4K", "32 columns")],
    // Ours are green, others grey and blue.
    forms: &[
        ("avx512-gfni", "#0b6e4f"),
        ("avx512", "#2a9d6f"),
        ("avx2-gfni", "#57bf92"),
        ("avx2", "#8bd8b5"),
        ("ssse3", "#bfecd7"),
        ("isal", "#27408b"),
        ("isal-debian", "#6f86c6"),
        ("snapraid", "#8a8a8a"),
        ("linux", "#bdbdbd"),
    ],
    bar_width: 20,
    unit: "GB/s",
    step: 20.0,
    value: gigabytes_per_second,
};

const IOPS: Chart = Chart {
    title: "Random writes of 4 KiB by level, thousands a second, 16 in flight (cargo xtask bench md)",
    group: "md",
    cases: &[
        ("raid1-random-4K-write", "RAID 1 of 2"),
        ("raid5-random-4K-write", "RAID 5 of 4"),
        ("raid6-random-4K-write", "RAID 6 of 5"),
        ("raid10-random-4K-write", "RAID 10 of 4"),
    ],
    forms: &[
        ("raid", "#0b6e4f"),
        ("md-in-uml", "#27408b"),
        ("ubd-one-disk", "#6f86c6"),
        ("nbdkit-one-file", "#bdbdbd"),
    ],
    bar_width: 44,
    unit: "thousand a second",
    step: 10.0,
    value: thousands_per_second,
};

const WIDTH: usize = 900;
const HEIGHT: usize = 380;
const LEFT: usize = 50;
const TOP: usize = 40;
/// Where the bars stand.
const GROUND: usize = 310;
const GAP: usize = 28;

/// P and Q by width. Without measurements, an empty drawing.
pub(super) fn parity(measurements: &[Measurement]) -> String {
    PARITY.draw(measurements)
}

/// Operations per second by level: ours behind a socket and Linux in user mode, each beside one plain disk or file by the same way.
pub(super) fn iops(measurements: &[Measurement]) -> String {
    IOPS.draw(measurements)
}

impl Chart {
    fn draw(&self, measurements: &[Measurement]) -> String {
        let value = |case: &str, form: &str| {
            let wanted = |found: &&Measurement| found.group == self.group && found.case == case && found.form == form;
            measurements.iter().find(wanted).and_then(self.value)
        };
        let all = self.cases.iter().flat_map(|(case, _)| self.forms.iter().filter_map(|(form, _)| value(case, form)));
        let top = (all.fold(1.0, f64::max) / self.step).ceil() * self.step;
        let mut svg = self.axes(top);
        let group_width = self.forms.len() * self.bar_width;
        for (group, (case, label)) in self.cases.iter().enumerate() {
            let start = LEFT + GAP / 2 + group * (group_width + GAP);
            for (at, (form, colour)) in self.forms.iter().enumerate() {
                let Some(value) = value(case, form) else { continue };
                let (x, y) = (start + at * self.bar_width, height_of(value, top));
                let height = height_of(0.0, top) - y;
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x}\" y=\"{y:.1}\" width=\"{}\" height=\"{height:.1}\" fill=\"{colour}\">\
                     <title>{form}, {label}: {value:.0} {}</title></rect>",
                    self.bar_width - 2,
                    self.unit
                );
            }
            let middle = start + group_width / 2;
            let _ = writeln!(svg, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", GROUND + 18);
        }
        let between = (WIDTH - LEFT) / self.forms.len();
        for (at, (form, colour)) in self.forms.iter().enumerate() {
            let x = LEFT + at * between;
            let _ = writeln!(svg, "<rect x=\"{x}\" y=\"346\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
            let _ = writeln!(svg, "<text x=\"{}\" y=\"356\">{form}</text>", x + 17);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// The beginning: the title, and lines with their values.
    fn axes(&self, top: f64) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>\n",
            self.title
        );
        for line in 0..=4 {
            let value = top * f64::from(line) / 4.0;
            let y = height_of(value, top);
            let _ = writeln!(svg, "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"#dddddd\"/>", WIDTH - 20);
            let _ =
                writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>", LEFT - 6, y + 4.0);
        }
        svg
    }
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

/// Of measurements whose run is one operation of 4 KiB.
fn thousands_per_second(found: &Measurement) -> Option<f64> {
    (found.bytes == Some(4096) && found.time_ns > 0.0).then(|| 1e6 / found.time_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_its_rate() {
        let found = |form: &str, time_ns| Measurement {
            group: PARITY.group.to_owned(),
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

    #[test]
    fn a_level_has_a_bar_for_each_way_that_was_measured() {
        let found = |case: &str, form: &str, time_ns| Measurement {
            group: "md".to_owned(),
            case: case.to_owned(),
            form: form.to_owned(),
            time_ns,
            bytes: Some(4096),
            ratio: None,
        };
        let svg =
            iops(&[found("raid5-random-4K-write", "raid", 50_000.0), found("raid5-sequential-1M-write", "raid", 1.0)]);
        assert!(svg.contains("<title>raid, RAID 5 of 4: 20 thousand a second"), "{svg}");
        assert_eq!(svg.matches("<title>").count(), 1);
    }
}
