//! Rules on what files say of themselves and of each other.

use pulldown_cmark::{Event, Parser, Tag};

use super::{
    Finding,
    tree::{self, Tree},
};

/// The two commands that README's first screen holds.
const COMMANDS: [&str; 2] = ["cargo run --release -p raid-user -- demo", "cargo xtask test"];
const SCREEN_LINES: usize = 24;

/// A link to another place in the project.
pub(super) struct Link {
    from: String,
    line: usize,
    text: String,
    /// The file or folder; `None` if the link leaves the project.
    pub(super) target: Option<String>,
}

/// All links of all documents that lead to files.
pub(super) fn links(tree: &Tree) -> impl Iterator<Item = Link> {
    tree.ending(".md").flat_map(|(path, file)| {
        let text = file.text.as_deref().unwrap_or_default();
        Parser::new(text).into_offset_iter().filter_map(move |(event, place)| {
            let (Event::Start(Tag::Link { dest_url, .. }) | Event::Start(Tag::Image { dest_url, .. })) = event else {
                return None;
            };
            let file = dest_url.split('#').next().filter(|file| !file.is_empty() && !file.contains(':'))?;
            let line = text.get(..place.start).unwrap_or_default().matches('\n').count() + 1;
            let target = tree::join(tree::folder(path), file);
            Some(Link { from: path.to_owned(), line, text: file.to_owned(), target })
        })
    })
}

/// A link that leads nowhere.
pub(super) fn links_lead_somewhere(tree: &Tree) -> Vec<Finding> {
    let lost = links(tree).filter(|link| !link.target.as_ref().is_some_and(|target| tree.has(target)));
    lost.map(|link| Finding::new(&link.from, link.line, format!("{} is not there", link.text))).collect()
}

/// What the kernel wants to stand before all else in what is linked to it.
const LICENCE: &str = "// SPDX-License-Identifier: GPL-2.0-only\n";

/// A Rust file begins with what it is and what it refuses to do; the kernel's have their licence before that.
pub(super) fn files_say_what_they_are(tree: &Tree) -> Vec<Finding> {
    let says = |path: &str, text: &String| {
        let text = if path.starts_with("raid-kmod/") { text.strip_prefix(LICENCE) } else { Some(text.as_str()) };
        text.is_some_and(|text| text.starts_with("//!"))
    };
    let silent = tree.ending(".rs").filter(|(path, file)| !file.text.as_ref().is_some_and(|text| says(path, text)));
    silent.map(|(path, _)| Finding::new(path, 1, "does not begin with what it is (//!)")).collect()
}

/// A stranger finds both commands without scrolling.
pub(super) fn readme_has_its_commands(tree: &Tree) -> Vec<Finding> {
    let screen: Vec<&str> = tree
        .files
        .get("README.md")
        .into_iter()
        .flat_map(|file| file.lines())
        .map(|(_, line)| line)
        .take(SCREEN_LINES)
        .collect();
    let missing = COMMANDS.iter().filter(|command| !screen.iter().any(|line| line.starts_with(*command)));
    missing.map(|command| Finding::new("README.md", 0, format!("`{command}` is not on the first screen"))).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::tree::tests::tree, *};

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let text =
            "[a](a.md) [top](../README.md) [folder](formats)\n\n[out](../../x) [gone](gone.md#part) [web](https://x)";
        let found = links_lead_somewhere(&tree(&[("README.md", ""), ("docs/a.md", text), ("docs/formats/b.md", "")]));
        let lost = ["../../x is not there", "gone.md is not there"];
        assert_eq!(found, lost.map(|says| Finding::new("docs/a.md", 3, says)));
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        let found = files_say_what_they_are(&tree(&[("a/src/lib.rs", "//! This."), ("b/src/lib.rs", "// That.")]));
        assert_eq!(found, [Finding::new("b/src/lib.rs", 1, "does not begin with what it is (//!)")]);
        let licensed = format!("{LICENCE}//! This.");
        let found =
            files_say_what_they_are(&tree(&[("raid-kmod/src/a.rs", &licensed), ("raid-kmod/src/b.rs", "//! This.")]));
        assert_eq!(found, [Finding::new("raid-kmod/src/b.rs", 1, "does not begin with what it is (//!)")]);
    }

    #[test]
    fn a_readme_without_a_command_on_its_first_screen_is_found() {
        let both = format!("{}  # a\n{}  # b\n", COMMANDS[0], COMMANDS[1]);
        assert_eq!(readme_has_its_commands(&tree(&[("README.md", &both)])), []);
        let late = format!("{}{}\n{}\n", "\n".repeat(SCREEN_LINES - 1), COMMANDS[0], COMMANDS[1]);
        let found = readme_has_its_commands(&tree(&[("README.md", &late)]));
        assert_eq!(found.len(), 1);
        assert!(found[0].says.contains(COMMANDS[1]));
    }
}
