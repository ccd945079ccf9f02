//! How many tests a `cargo test` ran: read from the lines that each of its programs ends with, and from the skip log.
//!
//! A test whose peer (a program, a CPU feature) is missing passes in libtest's eyes. It says so by
//! `raid_testkit::skipped`, which also writes a line to the file that [`SKIP_LOG`] names, and is counted as skipped here.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{BufRead, BufReader, ErrorKind},
    ops::AddAssign,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::command::{line, root};

/// The environment variable that names the skip log. Its lines are `program TAB test TAB what was missing`.
const SKIP_LOG: &str = "RAID_SKIP_LOG";

/// What came of some tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Ran and held.
    pub(crate) passed: u64,
    /// Ran and did not hold, or could not be run.
    pub(crate) failed: u64,
    /// Not run: ignored, or its peer is missing.
    pub(crate) skipped: u64,
    /// For each test skipped at run time, what was missing.
    pub(crate) reasons: Vec<String>,
}

impl Counts {
    /// One thing that held.
    pub(crate) fn pass() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One thing that did not.
    pub(crate) fn fail() -> Self {
        Self { failed: 1, ..Self::default() }
    }

    /// Things not run, each with its reason.
    pub(crate) fn skip(reasons: Vec<String>) -> Self {
        Self { skipped: reasons.len() as u64, reasons, ..Self::default() }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.reasons.extend(other.reasons);
    }
}

/// The plain closing line that people and CI read.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Runs a `cargo test`, passes its output on, and counts. A run that fails, or that ran no test, counts at least one failure.
///
/// # Errors
/// If it cannot be started or read.
pub(crate) fn tests(cargo_test: &mut Command, name: &str) -> Result<Counts> {
    let log = root().join("target").join(format!("skipped-{name}.log"));
    remove_if_there(&log)?;
    let what = line(cargo_test);
    let mut child = cargo_test
        .env(SKIP_LOG, &log)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {what}"))?;
    let mut counts = Counts::default();
    let stdout = child.stdout.take().context("no output")?;
    for said in BufReader::new(stdout).split(b'\n') {
        let said = said.with_context(|| format!("what {what} prints"))?;
        let said = String::from_utf8_lossy(&said);
        println!("{said}");
        counts += closing_line(&said).unwrap_or_default();
    }
    let status = child.wait()?;
    if counts.failed == 0 && (!status.success() || counts.passed == 0) {
        println!("{what}: {}", if status.success() { "ran no test".to_owned() } else { status.to_string() });
        counts.failed = 1;
    }
    let reasons = skip_reasons(&read_if_there(&log)?);
    counts.passed = counts.passed.saturating_sub(reasons.len() as u64);
    counts += Counts::skip(reasons);
    Ok(counts)
}

/// The counts in libtest's closing line.
fn closing_line(line: &str) -> Option<Counts> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number =
        |name: &str| numbers.split(';').find_map(|part| part.trim().strip_suffix(name)?.trim().parse::<u64>().ok());
    Some(Counts {
        passed: number("passed")?,
        failed: number("failed")?,
        skipped: number("ignored")?,
        reasons: Vec::new(),
    })
}

/// One reason for each test in the log, whatever the number of lines it wrote.
fn skip_reasons(log: &str) -> Vec<String> {
    let mut tests: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for line in log.lines() {
        let mut parts = line.splitn(3, '\t');
        if let (Some(program), Some(test), Some(what)) = (parts.next(), parts.next(), parts.next()) {
            tests.entry((program, test)).or_insert(what);
        }
    }
    tests.into_iter().map(|((program, test), what)| format!("{program} {test}: {what}")).collect()
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).with_context(|| path.display().to_string()),
        _ => Ok(()),
    }
}

fn read_if_there(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).with_context(|| path.display().to_string()),
        read => Ok(read.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::command;

    #[test]
    fn a_closing_line_is_counted_and_nothing_else_is() {
        let line = "test result: FAILED. 12 passed; 3 failed; 4 ignored; 0 measured; 5 filtered out; finished in 0.01s";
        let counts = Counts { passed: 12, failed: 3, skipped: 4, reasons: Vec::new() };
        assert_eq!(closing_line(line), Some(counts));
        assert_eq!(closing_line("test a_test ... ok"), None);
        assert_eq!(closing_line("it says test result: ok. 1 passed"), None);
    }

    #[test]
    fn a_test_that_skips_twice_is_skipped_once() {
        let reasons =
            skip_reasons("nbd\tclients::info\tnbdinfo\nnbd\tclients::info\tfio\nnbd\tclients::copy\tnbdcopy\n");
        assert_eq!(reasons, ["nbd clients::copy: nbdcopy", "nbd clients::info: nbdinfo"]);
    }

    fn of_script(script: &str, name: &str) -> Counts {
        tests(command("sh").args(["-c", script]), name).unwrap()
    }

    #[test]
    fn a_run_that_ran_no_test_has_failed() {
        assert_eq!(of_script("true", "self-test-none").failed, 1);
        assert_eq!(of_script("echo 'test result: ok. 0 passed; 0 failed; 0 ignored'", "self-test-zero").failed, 1);
    }

    #[test]
    fn a_program_that_dies_without_a_closing_line_has_failed() {
        let counts = of_script("echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 101", "self-test-dies");
        assert_eq!((counts.passed, counts.failed), (2, 1));
    }

    #[test]
    fn a_test_in_the_skip_log_is_not_counted_as_passed() {
        let script =
            "printf 'p\\tt\\tqemu-img\\n' >>\"$RAID_SKIP_LOG\"; echo 'test result: ok. 3 passed; 0 failed; 1 ignored'";
        let counts = of_script(script, "self-test-skips");
        assert_eq!((counts.passed, counts.failed, counts.skipped), (2, 0, 2));
        assert_eq!(counts.reasons, ["p t: qemu-img"]);
    }
}
