//! `cargo xtask counts`: what the engine's decisions cost in instructions, against what was recorded.
//!
//! Instructions as valgrind counts them do not jitter, whoever else uses the machine: a figure that moved was moved by a change. They
//! do depend on the compiler, so figures of another rustc are not compared.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{
    command::{cargo, command, find, output, root},
    test::count::Counts,
};

/// Where figures are recorded: the compiler in the first line, then `instructions  case`.
const FILE: &str = "benches/instructions.txt";

/// A figure may grow so much, in parts of a hundred: what a rebuilt dependency or a moved function does.
const TOLERANCE: u64 = 3;

/// Instructions for one request of a case.
type Figure = (u64, String);

/// Counts, and compares with what was recorded; or records anew.
///
/// # Errors
/// Valgrind is missing, nothing was counted, nothing is recorded, or figures grew: each is named.
pub(crate) fn run(record: bool) -> Result<()> {
    if record {
        let text = format!("{}\n{}", compiler()?, count()?);
        fs::write(root().join(FILE), text).with_context(|| format!("cannot write {FILE}"))?;
        println!("{FILE} is new");
        return Ok(());
    }
    match compare()? {
        counts if counts.reasons.is_empty() => Ok(()),
        counts => bail!("{}", counts.reasons.join("; ")),
    }
}

/// The same as a step of the tests.
///
/// # Errors
/// As [`run`], but for what is skipped.
pub(crate) fn compare() -> Result<Counts> {
    let skip = |why: String| Ok(Counts::skip(vec![format!("the engine's instructions: {why}")]));
    if find("valgrind").is_none() {
        return skip("valgrind is not installed".to_owned());
    }
    let recorded = fs::read_to_string(root().join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    let (by, recorded) = recorded.split_once('\n').unwrap_or_default();
    let compiler = compiler()?;
    if by != compiler {
        return skip(format!("recorded with {by}, and this is {compiler}"));
    }
    let moved = moved(&figures(recorded), &figures(&count()?));
    let (worse, better): (Vec<_>, Vec<_>) = moved.into_iter().partition(|moved| moved.worse);
    for moved in better.iter().chain(&worse) {
        println!("{}", moved.told);
    }
    if !better.is_empty() || !worse.is_empty() {
        println!("if that is meant: cargo xtask counts --record");
    }
    if !worse.is_empty() {
        bail!("{} of the engine's figures grew or are gone", worse.len());
    }
    Ok(Counts::pass())
}

/// The compiler that counts are made by.
fn compiler() -> Result<String> {
    Ok(output(command("rustc").arg("--version"))?.trim().to_owned())
}

/// The figures of this tree, a line each.
fn count() -> Result<String> {
    let bench = ["bench", "--quiet", "--package", "raid-benches", "--bench", "engine", "--", "--instructions"];
    let said = output(cargo().args(bench))?;
    let lines: String = figures(&said).iter().map(|(count, case)| format!("{count:>7}  {case}\n")).collect();
    if lines.is_empty() {
        bail!("the engine's benchmark counted nothing: {}", said.trim());
    }
    Ok(lines)
}

/// Lines that are figures; others are words for people.
fn figures(text: &str) -> Vec<Figure> {
    let figure = |line: &str| {
        let (count, case) = line.trim().split_once("  ")?;
        Some((count.parse().ok()?, case.to_owned()))
    };
    text.lines().filter_map(figure).collect()
}

/// A figure that is not what it was.
struct Moved {
    worse: bool,
    told: String,
}

/// Figures that moved by more than the tolerance, are gone, or are new.
fn moved(recorded: &[Figure], counted: &[Figure]) -> Vec<Moved> {
    let now = |case: &str| counted.iter().find(|(_, name)| name == case).map(|(count, _)| *count);
    let gone_or_moved = recorded.iter().filter_map(|(was, case)| {
        let Some(now) = now(case) else {
            return Some(Moved { worse: true, told: format!("{case}: is counted no more") });
        };
        let by = was.abs_diff(now) * 100 / (*was).max(1);
        let sign = if now > *was { '+' } else { '-' };
        let told = format!("{case}: {was} instructions a request were recorded, now {now} ({sign}{by} %)");
        (was.abs_diff(now) * 100 > was * TOLERANCE).then_some(Moved { worse: now > *was, told })
    });
    let known = |case: &str| recorded.iter().any(|(_, name)| name == case);
    let new = counted.iter().filter(|(_, case)| !known(case));
    let new = new.map(|(now, case)| Moved { worse: false, told: format!("{case}: {now}, not recorded yet") });
    gone_or_moved.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(recorded: &str, counted: &str) -> Vec<(bool, String)> {
        let moved = moved(&figures(recorded), &figures(counted));
        moved.into_iter().map(|moved| (moved.worse, moved.told)).collect()
    }

    #[test]
    fn what_stays_within_the_tolerance_is_not_told() {
        let recorded =
            "instructions per request\n   1000  random read, RAID 5 of 8\n    100  random read, RAID 1 of 2\n";
        assert_eq!(figures(recorded).len(), 2, "words are no figures");
        let counted = "   1030  random read, RAID 5 of 8\n     97  random read, RAID 1 of 2\n";
        assert_eq!(told(recorded, counted), []);
    }

    #[test]
    fn what_moved_is_told_with_both_figures_and_only_growth_is_a_failure() {
        let told = told(" 1000  a\n 1000  b\n 1000  c\n", " 1031  a\n 900  b\n 5  d\n");
        let wanted = [
            (true, "a: 1000 instructions a request were recorded, now 1031 (+3 %)"),
            (false, "b: 1000 instructions a request were recorded, now 900 (-10 %)"),
            (true, "c: is counted no more"),
            (false, "d: 5, not recorded yet"),
        ];
        assert_eq!(told, wanted.map(|(worse, told)| (worse, told.to_owned())));
    }
}
