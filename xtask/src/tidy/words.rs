//! Rules on words that must not stand in the project. They are put together here from parts, so as not to find themselves.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

use super::{Finding, tree::Tree};

/// Macros of unfinished code.
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Marks of unfinished code in comments.
const MARKS: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];

/// Where the files of some person or some machine lie.
const PRIVATE: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// What is left to do stands in README, not in the code.
pub(super) fn nothing_is_left_open(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file, syntax) in tree.rust() {
        for (line, name) in macros(syntax.to_token_stream()) {
            findings.push(Finding::new(path, line, format!("{name}! is left")));
        }
        findings.extend(marked(path, file.lines(), &MARKS, "is left open"));
    }
    findings
}

/// A path that only one machine has means nothing on any other.
pub(super) fn no_path_of_a_machine(tree: &Tree) -> Vec<Finding> {
    let text = tree.files.iter().filter(|(_, file)| file.text.is_some());
    text.flat_map(|(path, file)| marked(path, file.lines(), &PRIVATE, "is a path of one machine")).collect()
}

fn marked<'a>(path: &str, lines: impl Iterator<Item = (usize, &'a str)>, marks: &[&str], is: &str) -> Vec<Finding> {
    let find = |(number, line): (usize, &str)| {
        let mark = marks.iter().find(|mark| line.contains(*mark))?;
        Some(Finding::new(path, number, format!("{mark} {is}")))
    };
    lines.filter_map(find).collect()
}

/// The lines and names of calls of unfinished macros.
fn macros(tokens: TokenStream) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => found.extend(macros(group.stream())),
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                let call = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '!');
                if call && MACROS.contains(&name.as_str()) {
                    found.push((ident.span().start().line, name));
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

    #[test]
    fn unfinished_code_is_found() {
        let code = format!("fn f() {{ dbg!(1) }}\n// {}\nfn g() {{ todo!() }}", MARKS[0]);
        let found = nothing_is_left_open(&tree(&[("a/src/lib.rs", &code)]));
        let mut lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        lines.sort_unstable();
        assert_eq!(lines, [1, 2, 3]);
    }

    #[test]
    fn a_function_of_such_a_name_is_not_unfinished() {
        assert_eq!(nothing_is_left_open(&tree(&[("a/src/lib.rs", "fn todo() {} // todo!\n")])), []);
    }

    #[test]
    fn a_path_of_a_machine_is_found_in_any_text() {
        let text = format!("see {}me/notes", PRIVATE[1]);
        let found = no_path_of_a_machine(&tree(&[("docs/a.md", &text), ("b.toml", "x = \"/home\"")]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "docs/a.md");
    }
}
