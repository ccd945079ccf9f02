//! Rules against files that nothing uses.

use std::collections::BTreeSet;

use super::{
    Finding, documents, modules,
    tree::{self, Tree},
};

/// Files that a tool or a person looks for by their very name.
const BY_NAME: [&str; 12] = [
    "Cargo.toml",
    "Cargo.lock",
    "config.toml",
    "clippy.toml",
    "rustfmt.toml",
    "deny.toml",
    ".gitignore",
    ".gitattributes",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "LICENSE",
    "run",
];

/// What `raid_testkit::fixtures` lists.
const FIXTURE: &str = ".tar.zst";

/// A Rust file that no `mod` leads to is not compiled. The kernel's own build sees to `raid-kmod`.
pub(super) fn every_module_is_reached(tree: &Tree) -> Vec<Finding> {
    let reach = modules::reach(tree);
    let lost = tree.ending(".rs").filter(|(path, _)| !reach.contains_key(*path) && !path.starts_with("raid-kmod/"));
    lost.map(|(path, _)| Finding::new(path, 0, "no `mod` leads here")).collect()
}

/// A document that no other one links to is not read.
pub(super) fn every_document_is_linked(tree: &Tree) -> Vec<Finding> {
    let linked: BTreeSet<String> = documents::links(tree).filter_map(|link| link.target).collect();
    let lost = tree.files.keys().filter(|path| path.starts_with("docs/") && !linked.contains(*path));
    lost.map(|path| Finding::new(path, 0, "no document links here")).collect()
}

/// A snapshot, or a saved case of a property test, whose test is gone.
pub(super) fn every_snapshot_has_its_test(tree: &Tree) -> Vec<Finding> {
    let stems: BTreeSet<&str> =
        tree.ending(".rs").filter_map(|(path, _)| tree::name(path).strip_suffix(".rs")).collect();
    let known = |stem: &str| stem.split("__").any(|part| stems.contains(part));
    let snapshots = tree.files.keys().filter_map(|path| Some((path, snapshot_stem(path)?)));
    snapshots.filter(|(_, stem)| !known(stem)).map(|(path, _)| Finding::new(path, 0, "its test is gone")).collect()
}

fn snapshot_stem(path: &str) -> Option<&str> {
    let regression = path.contains("proptest-regressions/").then(|| tree::name(path).strip_suffix(".txt"));
    regression.flatten().or_else(|| tree::name(path).strip_suffix(".snap"))
}

/// `fuzz/corpus/<target>/`, and the target is gone.
pub(super) fn every_corpus_has_its_target(tree: &Tree) -> Vec<Finding> {
    let has_target = |target: &str| tree.roots.keys().any(|root| root.ends_with(&format!("/{target}.rs")));
    let seeds = tree.files.keys().filter_map(|path| Some((path, corpus_target(path)?)));
    seeds
        .filter(|(_, target)| !has_target(target))
        .map(|(path, _)| Finding::new(path, 0, "its target is gone"))
        .collect()
}

fn corpus_target(path: &str) -> Option<&str> {
    path.strip_prefix("fuzz/corpus/")?.split('/').next()
}

/// Scripts, fixtures, pictures and the like: somebody must call or read them, which takes their name.
pub(super) fn every_other_file_is_named(tree: &Tree) -> Vec<Finding> {
    let placed = |path: &str| {
        path.ends_with(".rs")
            || path.ends_with(".md")
            || BY_NAME.contains(&tree::name(path))
            || snapshot_stem(path).is_some()
            || corpus_target(path).is_some()
            || (path.starts_with("fixtures/") && path.ends_with(FIXTURE))
    };
    let named = |wanted: &str| {
        let name = tree::name(wanted);
        tree.files
            .iter()
            .any(|(path, file)| path != wanted && file.text.as_ref().is_some_and(|text| text.contains(name)))
    };
    let lost = tree.files.keys().filter(|path| !placed(path) && !named(path));
    lost.map(|path| Finding::new(path, 0, "nothing names this file")).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::tree::tests::tree, *};

    fn paths(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.path.as_str()).collect()
    }

    #[test]
    fn a_rust_file_without_a_mod_is_found() {
        let found =
            every_module_is_reached(&tree(&[("a/src/lib.rs", "mod b;"), ("a/src/b.rs", ""), ("a/src/c.rs", "")]));
        assert_eq!(paths(&found), ["a/src/c.rs"]);
    }

    #[test]
    fn a_document_without_a_link_is_found() {
        let found = every_document_is_linked(&tree(&[
            ("README.md", "[a](docs/a.md#part)"),
            ("docs/a.md", "[b](formats/b.md) and `[c](c.md)`"),
            ("docs/formats/b.md", ""),
            ("docs/c.md", ""),
        ]));
        assert_eq!(paths(&found), ["docs/c.md"]);
    }

    #[test]
    fn a_snapshot_without_its_test_is_found() {
        let found = every_snapshot_has_its_test(&tree(&[
            ("a/tests/cli.rs", ""),
            ("a/tests/snapshots/cli__scan.snap", ""),
            ("a/tests/snapshots/gone__scan.snap", ""),
            ("a/proptest-regressions/lost.txt", ""),
        ]));
        assert_eq!(paths(&found), ["a/proptest-regressions/lost.txt", "a/tests/snapshots/gone__scan.snap"]);
    }

    #[test]
    fn a_corpus_without_its_target_is_found() {
        let found = every_corpus_has_its_target(&tree(&[
            ("fuzz/fuzz_targets/md.rs", ""),
            ("fuzz/corpus/md/seed", ""),
            ("fuzz/corpus/old/seed", ""),
        ]));
        assert_eq!(paths(&found), ["fuzz/corpus/old/seed"]);
    }

    #[test]
    fn a_script_that_nobody_calls_is_found() {
        let found = every_other_file_is_named(&tree(&[
            ("a/tests/cli.rs", "const S: &str = \"used.sh\";"),
            ("a/tests/used.sh", ""),
            ("a/tests/lost.sh", ""),
            ("fixtures/md.tar.zst", ""),
        ]));
        assert_eq!(paths(&found), ["a/tests/lost.sh"]);
    }
}
