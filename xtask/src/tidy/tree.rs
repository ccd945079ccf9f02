//! The project as the rules see it: files in memory, Rust files parsed, and the roots of all crates.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use ignore::WalkBuilder;
use serde_json::Value;

use crate::command::{cargo, output, root};

/// A file of the project.
pub(super) struct File {
    /// Its text; `None` if it is no text.
    pub(super) text: Option<String>,
    /// Its syntax, if it is Rust.
    pub(super) syntax: Option<syn::File>,
}

impl File {
    /// Its lines, numbered from 1; none if it is no text.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.iter().flat_map(|text| text.lines()).enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// What a crate's root file is built as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A library or a program.
    Shipped,
    /// A test, a benchmark, an example, a build script.
    Aside,
}

/// The whole tree.
pub(super) struct Tree {
    /// By path from the top, with `/`.
    pub(super) files: BTreeMap<String, File>,
    /// Root files of crates.
    pub(super) roots: BTreeMap<String, Kind>,
}

impl Tree {
    /// Reads the project: all files that git would take.
    ///
    /// # Errors
    /// If a file cannot be read, or a Rust file cannot be parsed.
    pub(super) fn read() -> Result<Self> {
        let mut contents = Vec::new();
        let hidden_but_ours = |path: &Path| !path.ends_with(".git");
        let walk = WalkBuilder::new(root()).hidden(false).filter_entry(move |e| hidden_but_ours(e.path())).build();
        for entry in walk {
            let entry = entry?;
            if entry.file_type().is_some_and(|kind| kind.is_file()) {
                let path = entry.path().strip_prefix(root())?.to_string_lossy().into_owned();
                contents.push((path, fs::read(entry.path()).with_context(|| entry.path().display().to_string())?));
            }
        }
        let manifests: Vec<&str> =
            contents.iter().map(|(path, _)| path.as_str()).filter(|path| path.ends_with("Cargo.toml")).collect();
        let roots = roots(&manifests)?;
        Self::new(contents, roots)
    }

    fn new(contents: Vec<(String, Vec<u8>)>, roots: BTreeMap<String, Kind>) -> Result<Self> {
        let mut files = BTreeMap::new();
        for (path, bytes) in contents {
            let text = String::from_utf8(bytes).ok();
            let rust = text.as_ref().filter(|_| path.ends_with(".rs"));
            let syntax = rust.map(|text| syn::parse_file(text).with_context(|| path.clone())).transpose()?;
            files.insert(path, File { text, syntax });
        }
        Ok(Self { files, roots })
    }

    /// The Rust files with their syntax.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&str, &File, &syn::File)> {
        self.files.iter().filter_map(|(path, file)| Some((path.as_str(), file, file.syntax.as_ref()?)))
    }

    /// The files of one kind, told by how their path ends.
    pub(super) fn ending(&self, end: &str) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().filter(move |(path, _)| path.ends_with(end)).map(|(path, file)| (path.as_str(), file))
    }

    /// True if there is a file of this path, or a folder with files.
    pub(super) fn has(&self, path: &str) -> bool {
        let below = format!("{path}/");
        path.is_empty() || self.files.contains_key(path) || self.files.keys().any(|file| file.starts_with(&below))
    }
}

/// The root files of the crates of all manifests. One question serves the workspace; those outside it are asked in turn.
fn roots(manifests: &[&str]) -> Result<BTreeMap<String, Kind>> {
    let mut roots = BTreeMap::new();
    let mut answered: Vec<String> = Vec::new();
    for manifest in manifests.iter().copied().filter(|path| *path == "Cargo.toml").chain(manifests.iter().copied()) {
        if answered.iter().any(|known| known == manifest) {
            continue;
        }
        let text =
            output(cargo().args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]).arg(manifest))?;
        answered.push(manifest.to_owned());
        let metadata: Value = serde_json::from_str(&text)?;
        for package in list(&metadata, "packages") {
            answered.extend(relative(&package["manifest_path"]));
            for target in list(package, "targets") {
                let shipped = list(target, "kind").any(|kind| kind == "lib" || kind == "bin");
                let kind = if shipped { Kind::Shipped } else { Kind::Aside };
                roots.extend(relative(&target["src_path"]).map(|path| (path, kind)));
            }
        }
    }
    Ok(roots)
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn relative(path: &Value) -> Option<String> {
    Some(Path::new(path.as_str()?).strip_prefix(root()).ok()?.to_string_lossy().into_owned())
}

/// The path of `link` seen from the folder `folder`; `None` if it leaves the project.
pub(super) fn join(folder: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The folder that a file lies in; empty at the top.
pub(super) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A file's name without its folder.
pub(super) fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A small tree for the tests of the rules. Every `lib.rs`, `main.rs` and fuzz target is a root.
    pub(in super::super) fn tree(files: &[(&str, &str)]) -> Tree {
        let contents = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        let root = |path: &str| ["lib.rs", "main.rs"].contains(&name(path)) || path.starts_with("fuzz/fuzz_targets/");
        let roots = files.iter().filter(|(path, _)| root(path)).map(|(path, _)| ((*path).to_owned(), Kind::Shipped));
        Tree::new(contents, roots.collect()).unwrap()
    }

    #[test]
    fn links_are_followed_upwards_but_not_out_of_the_project() {
        assert_eq!(join("docs/formats", "../cli.md").as_deref(), Some("docs/cli.md"));
        assert_eq!(join("docs", "../../secret"), None);
    }

    #[test]
    fn the_project_is_read_with_all_its_crates() {
        let tree = Tree::read().unwrap();
        assert_eq!(tree.roots.get("raid-core/src/lib.rs"), Some(&Kind::Shipped));
        assert!(tree.has(".ci/run") && tree.has("raid-formats/src") && !tree.has("target"));
    }
}
