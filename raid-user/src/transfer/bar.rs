//! Progress on stderr: a bar with rate and time left on a terminal, lines elsewhere if they are asked for.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

use super::Progress;

/// How often a line is written where no bar can be drawn.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// When progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Never.
    Never,
    /// As a bar, if stderr is a terminal.
    OnTerminal,
    /// As a bar, or in lines if stderr is no terminal.
    Always,
}

impl Show {
    /// As the flags of a verb say.
    #[must_use]
    pub const fn of(quiet: bool, progress: bool) -> Self {
        match (quiet, progress) {
            (true, _) => Self::Never,
            (false, true) => Self::Always,
            (false, false) => Self::OnTerminal,
        }
    }
}

/// Tells progress as it is told.
#[derive(Debug)]
pub struct Bar {
    how: How,
    /// Where it began and when: what a resumed copy found there already says nothing of its rate.
    start: Option<(u64, Instant)>,
}

#[derive(Debug)]
enum How {
    Hidden,
    Drawn(ProgressBar),
    Lines { last: Instant },
}

impl Bar {
    /// Progress towards `total_bytes`.
    #[must_use]
    pub fn new(total_bytes: u64, show: Show) -> Self {
        let how = match (show, std::io::stderr().is_terminal()) {
            (Show::Never, _) | (Show::OnTerminal, false) => How::Hidden,
            (Show::Always, false) => How::Lines { last: Instant::now() },
            (Show::OnTerminal | Show::Always, true) => {
                let bar = ProgressBar::new(total_bytes);
                let template = "{bar:26} {percent:>3}%  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                How::Drawn(bar)
            }
        };
        Self { how, start: None }
    }

    /// Tells how far it is.
    pub fn show(&mut self, progress: Progress) {
        let first = self.start.is_none();
        let (from, since) = *self.start.get_or_insert((progress.done_bytes, Instant::now()));
        match &mut self.how {
            How::Hidden => {}
            How::Drawn(bar) => {
                bar.set_position(progress.done_bytes);
                if first {
                    bar.reset_eta();
                }
            }
            How::Lines { last } => {
                let done = progress.done_bytes >= progress.total_bytes;
                if first || done || last.elapsed() >= LINE_EVERY {
                    *last = Instant::now();
                    // Progress that nobody can see is no failure.
                    let _ = writeln!(std::io::stderr(), "raid: {}", line(progress, from, since.elapsed()));
                }
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let How::Drawn(bar) = &self.how {
            bar.finish_and_clear();
        }
    }
}

/// ` 40%  400.00 MiB of 1.00 GiB  120.00 MiB/s  5 seconds left`
fn line(progress: Progress, from_bytes: u64, elapsed: Duration) -> String {
    let Progress { done_bytes, total_bytes } = progress;
    let percent = u128::from(done_bytes) * 100 / u128::from(total_bytes.max(1));
    let mut line = format!("{percent:>3}%  {} of {}", HumanBytes(done_bytes), HumanBytes(total_bytes));
    let rate = u128::from(done_bytes.saturating_sub(from_bytes)) * 1000 / elapsed.as_millis().max(1);
    if let Ok(rate @ 1..) = u64::try_from(rate) {
        let left = Duration::from_secs(total_bytes.saturating_sub(done_bytes) / rate);
        line += &format!("  {}/s  {} left", HumanBytes(rate), HumanDuration(left));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_time_of_what_this_run_did() {
        let progress = Progress { done_bytes: 300 << 20, total_bytes: 500 << 20 };
        let expected = " 60%  300.00 MiB of 500.00 MiB  20.00 MiB/s  10 seconds left";
        assert_eq!(line(progress, 100 << 20, Duration::from_secs(10)), expected);
        let start = Progress { done_bytes: 0, total_bytes: u64::MAX };
        assert_eq!(line(start, 0, Duration::ZERO), "  0%  0 B of 16.00 EiB");
    }
}
