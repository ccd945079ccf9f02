//! That the module decides nothing about RAID, as far as counting shows it: how much of what it is made of is shared code.

use std::fs;

use anyhow::Result;
use ignore::Walk;

use crate::command::root;
use crate::test::count::Counts;

/// The code that user space, simulator and kernel have in common.
const SHARED: [&str; 2] = ["raid-core/src", "raid-formats/src"];

/// The kernel's own.
const OWN: [&str; 3] = ["raid-kmod/src", "raid-kmod/shim", "raid-kmod/leaf"];

/// The least share, in per cent.
const LEAST: usize = 85;

/// Names of levels, layouts and parity columns: whoever decides about RAID has to say them.
const WORDS: [&str; 7] = ["Level::", "Raid5", "Raid6", "Raid10", "FarSets", "copies(", "exponent("];

/// Files that may say some of them: what a computation is done with has to be looked up.
const MAY: [(&str, &str); 2] = [("raid-kmod/src/compute.rs", "exponent("), ("raid-kmod/src/compute.rs", "copies(")];

/// Counts lines that are neither empty nor comments nor tests, and looks for words of decisions.
///
/// # Errors
/// If a file cannot be read.
pub(super) fn count() -> Result<Counts> {
    let lines = |folders: &[&str]| -> Result<usize> {
        let mut sum = 0;
        for (_, text) in files(folders)? {
            sum += code_lines(&text);
        }
        Ok(sum)
    };
    let (shared, own) = (lines(&SHARED)?, lines(&OWN)?);
    let share = shared * 100 / (shared + own).max(1);
    println!("shared code: {shared} lines in core and formats, {own} in raid-kmod: {share} % is shared");
    let mut decisions = Vec::new();
    for (name, text) in files(&OWN)? {
        let says = |word: &&str| text.contains(*word) && !MAY.contains(&(name.as_str(), *word));
        decisions.extend(WORDS.into_iter().filter(says).map(|word| format!("{name} says {word}")));
    }
    for decision in &decisions {
        println!("a decision of the core's: {decision}");
    }
    Ok(if share >= LEAST && decisions.is_empty() { Counts::pass() } else { Counts::fail() })
}

/// Sources below some folders, with their names from the project's root.
fn files(folders: &[&str]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for folder in folders {
        for entry in Walk::new(root().join(folder)) {
            let path = entry?.into_path();
            if path.extension().is_some_and(|kind| kind == "rs" || kind == "c" || kind == "h") {
                let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
                found.push((name, fs::read_to_string(&path)?));
            }
        }
    }
    Ok(found)
}

/// Tests stand last in their files, behind a line that says so, or in files of their own, which count here.
fn code_lines(text: &str) -> usize {
    let is_code = |line: &str| !line.is_empty() && !["//", "/*", "*"].iter().any(|start| line.starts_with(start));
    text.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]").filter(|line| is_code(line)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_tests_are_no_code() {
        assert_eq!(code_lines("//! Doc.\n\nfn a() {\n    // why\n}\n#[cfg(test)]\nmod tests {}\n"), 2);
    }
}
