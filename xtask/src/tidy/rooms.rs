//! Rules on what may stand where: `std` and `alloc`, and `unsafe`.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

use super::{
    Finding, modules,
    tree::{Kind, Tree},
};

/// Crates that run without an operating system and without a heap.
const BARE: [&str; 2] = ["raid-core/src/", "raid-formats/src/"];

/// The rooms of `unsafe` code.
const UNSAFE: [&str; 3] = ["raid-core/src/parity/", "raid-kmod/", "benches/src/peers.rs"];

/// Crates that cannot forbid `unsafe` because a room of it is inside.
const WITH_ROOM: [&str; 3] = ["raid-core/", "raid-kmod/", "benches/"];

/// Neither `std` nor `alloc` in the core or the formats, tests aside.
pub(super) fn core_and_formats_need_no_std(tree: &Tree) -> Vec<Finding> {
    let reach = modules::reach(tree);
    let mut findings = Vec::new();
    for (path, _, syntax) in tree.rust() {
        let bare = BARE.iter().any(|folder| path.starts_with(folder));
        if bare && reach.get(path) != Some(&Kind::Aside) {
            let hosted = |window: &Window<'_>| match window {
                Window { word: "std" | "alloc", before, after } => {
                    let inside_a_path = before == "::" && *after == "::";
                    (*after == "::" && !inside_a_path) || ["use", "crate"].contains(&before.as_str())
                }
                _ => false,
            };
            for (line, word) in words(modules::shipped_tokens(&syntax.items), &hosted) {
                findings.push(Finding::new(path, line, format!("`{word}` in a crate that has none")));
            }
        }
    }
    findings
}

/// `unsafe` only where it is looked for.
pub(super) fn unsafe_stays_in_its_rooms(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _, syntax) in tree.rust() {
        if !UNSAFE.iter().any(|folder| path.starts_with(folder)) {
            for (line, _) in words(syntax.to_token_stream(), &|window| window.word == "unsafe") {
                findings.push(Finding::new(path, line, format!("`unsafe` outside of {}", UNSAFE.join(" and "))));
            }
        }
    }
    findings
}

/// Every library and program says `forbid(unsafe_code)`, but for those with a room of it, which deny it elsewhere.
pub(super) fn crates_forbid_unsafe(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in tree.roots.iter().filter(|(_, kind)| **kind == Kind::Shipped).map(|(path, _)| path) {
        let Some(syntax) = tree.files.get(path).and_then(|file| file.syntax.as_ref()) else { continue };
        // The macro of a fuzz target exports a symbol, which counts as unsafe code.
        if path.starts_with("fuzz/") {
            continue;
        }
        let level = if WITH_ROOM.iter().any(|folder| path.starts_with(folder)) { "deny" } else { "forbid" };
        let says = |attribute: &syn::Attribute| {
            attribute.path().is_ident(level)
                && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "unsafe_code")
        };
        if !syntax.attrs.iter().any(says) {
            findings.push(Finding::new(path, 0, format!("does not say {level}(unsafe_code)")));
        }
    }
    findings
}

/// An identifier and what stands on both sides of it: `::`, or a word, or nothing of interest.
struct Window<'a> {
    word: &'a str,
    before: String,
    after: &'static str,
}

/// The lines and words of all identifiers that `wanted` picks, in whatever groups and macros they stand.
fn words(tokens: TokenStream, wanted: &dyn Fn(&Window<'_>) -> bool) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let colon = |index: Option<usize>| matches!(index.and_then(|i| tokens.get(i)), Some(TokenTree::Punct(p)) if p.as_char() == ':');
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => found.extend(words(group.stream(), wanted)),
            TokenTree::Ident(ident) => {
                let word = ident.to_string();
                let before = match index.checked_sub(1).and_then(|i| tokens.get(i)) {
                    Some(TokenTree::Ident(ident)) => ident.to_string(),
                    // A path that begins with `::` is no part of another one.
                    Some(_) if colon(index.checked_sub(1)) && colon(index.checked_sub(2)) => {
                        match index.checked_sub(3).and_then(|i| tokens.get(i)) {
                            Some(TokenTree::Ident(_)) => "::".to_owned(),
                            _ => String::new(),
                        }
                    }
                    _ => String::new(),
                };
                let after = if colon(Some(index + 1)) && colon(Some(index + 2)) { "::" } else { "" };
                if wanted(&Window { word: &word, before, after }) {
                    found.push((ident.span().start().line, word));
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{super::tree::tests::tree, *};

    fn lines(findings: &[Finding]) -> Vec<(&str, usize)> {
        findings.iter().map(|finding| (finding.path.as_str(), finding.line)).collect()
    }

    #[test]
    fn std_is_found_in_whatever_form() {
        for code in [
            "use std::fmt;",
            "use alloc::vec::Vec;",
            "extern crate std;",
            "extern crate alloc as a;",
            "fn f() { ::std::process::exit(0) }",
            "fn f() -> Option<std::string::String> { None }",
            "m! { std::print }",
            "use {core::fmt, alloc::vec};",
        ] {
            let found = core_and_formats_need_no_std(&tree(&[("raid-core/src/lib.rs", code)]));
            assert_eq!(lines(&found), [("raid-core/src/lib.rs", 1)], "{code}");
        }
    }

    #[test]
    fn std_in_tests_in_words_and_in_other_crates_is_let_be() {
        let code = "//! Not for std::io.\nuse core::alloc::Layout;\n#[cfg(test)]\nextern crate std;\n\
                    #[cfg(test)]\nmod tests { use std::vec::Vec; }\n#[cfg(test)]\nmod more;";
        let found = core_and_formats_need_no_std(&tree(&[
            ("raid-core/src/lib.rs", code),
            ("raid-core/src/more.rs", "use std::io;"),
            ("raid-user/src/lib.rs", "use std::io;"),
        ]));
        assert_eq!(found, []);
    }

    #[test]
    fn unsafe_outside_of_its_rooms_is_found() {
        let found = unsafe_stays_in_its_rooms(&tree(&[
            ("raid-core/src/parity/x86.rs", "unsafe fn f() {}"),
            ("raid-user/src/lib.rs", "//! Nothing unsafe.\n\nfn f() { unsafe { g() } }"),
        ]));
        assert_eq!(lines(&found), [("raid-user/src/lib.rs", 3)]);
    }

    #[test]
    fn a_crate_that_does_not_forbid_unsafe_is_found() {
        let found = crates_forbid_unsafe(&tree(&[
            ("raid-user/src/lib.rs", "#![forbid(unsafe_code)]"),
            ("raid-formats/src/lib.rs", "#![deny(unsafe_code)]"),
            ("raid-core/src/lib.rs", "#![deny(unsafe_code)]"),
        ]));
        assert_eq!(lines(&found), [("raid-formats/src/lib.rs", 0)]);
    }
}
