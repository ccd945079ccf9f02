//! `cargo xtask tidy`: the house rules, as a test.
//!
//! A rule is a function from the tree to its findings. Each has a test on a tree that breaks it, so a rule that never
//! fires is noticed. What a lint of rustc or clippy can see is left to them.

mod documents;
mod modules;
mod rooms;
mod size;
mod tree;
mod unused;
mod words;

use std::fmt;

use anyhow::{Result, bail};

use tree::Tree;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 for the whole file.
    line: usize,
    says: String,
}

impl Finding {
    fn new(path: &str, line: usize, says: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, says: says.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.says),
            line => write!(f, "{}:{line}: {}", self.path, self.says),
        }
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: [Rule; 16] = [
    size::files_are_short,
    size::functions_are_short,
    size::lines_are_short,
    rooms::core_and_formats_need_no_std,
    rooms::unsafe_stays_in_its_rooms,
    rooms::crates_forbid_unsafe,
    words::nothing_is_left_open,
    words::no_path_of_a_machine,
    unused::every_module_is_reached,
    unused::every_document_is_linked,
    unused::every_snapshot_has_its_test,
    unused::every_corpus_has_its_target,
    unused::every_other_file_is_named,
    documents::files_say_what_they_are,
    documents::links_lead_somewhere,
    documents::readme_has_its_commands,
];

fn findings(tree: &Tree) -> Vec<Finding> {
    RULES.iter().flat_map(|rule| rule(tree)).collect()
}

/// The verb.
///
/// # Errors
/// If a rule is broken, or the tree cannot be read.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::read()?;
    let findings = findings(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} breaches of the house rules", findings.len());
    }
    println!("{} files keep the house rules", tree.files.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_keeps_its_house_rules() {
        let findings = findings(&Tree::read().unwrap());
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
