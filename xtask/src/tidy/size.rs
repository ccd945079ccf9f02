//! Rules on length: of files, functions and lines.

use syn::{
    Block, ImplItemFn, ItemFn, Signature, TraitItemFn,
    spanned::Spanned,
    visit::{self, Visit},
};

use super::{
    Finding,
    tree::{File, Tree},
};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const CODE_CHARS_MAX: usize = 120;
/// Comments and documents.
const PROSE_CHARS_MAX: usize = 140;

/// Past that, a file is two nouns in one room.
pub(super) fn files_are_short(tree: &Tree) -> Vec<Finding> {
    let long = |(path, file): (&str, &File)| {
        let lines = file.lines().count();
        (lines > FILE_LINES_MAX).then(|| Finding::new(path, 0, format!("{lines} lines, at most {FILE_LINES_MAX}")))
    };
    tree.ending(".rs").filter_map(long).collect()
}

/// Past that, a function is two functions.
pub(super) fn functions_are_short(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _, syntax) in tree.rust() {
        Functions { path, findings: &mut findings }.visit_file(syntax);
    }
    findings
}

struct Functions<'a> {
    path: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Functions<'_> {
    fn function(&mut self, signature: &Signature, body: &Block) {
        let first = signature.span().start().line;
        let lines = body.span().end().line - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let says = format!("{} has {lines} lines, at most {FUNCTION_LINES_MAX}", signature.ident);
            self.findings.push(Finding::new(self.path, first, says));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.function(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// What a person reads without turning the head. Rows of tables and bare links cannot be broken and are let be.
pub(super) fn lines_are_short(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in tree.ending(".rs").chain(tree.ending(".md")) {
        for (number, line) in file.lines() {
            let prose = path.ends_with(".md") || line.trim_start().starts_with("//");
            let most = if prose { PROSE_CHARS_MAX } else { CODE_CHARS_MAX };
            let chars = line.chars().count();
            let table = prose && line.trim_start_matches(['/', '!', ' ']).starts_with('|');
            if chars > most && !table {
                findings.push(Finding::new(path, number, format!("{chars} characters, at most {most}")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::tree::tests::tree, *};

    #[test]
    fn a_file_over_the_limit_is_found() {
        let (fits, long) = ("//\n".repeat(600), "//\n".repeat(601));
        let found = files_are_short(&tree(&[("a/src/lib.rs", &fits), ("b/src/lib.rs", &long)]));
        assert_eq!(found, [Finding::new("b/src/lib.rs", 0, "601 lines, at most 600")]);
    }

    #[test]
    fn a_function_over_the_limit_is_found_wherever_it_stands() {
        let body = |lines: usize| format!("{{\n{}}}", ";\n".repeat(lines));
        let fits = format!("fn f() {}\n", body(68));
        for long in [
            format!("fn g() {}", body(69)),
            format!("impl S {{ fn g() {} }}", body(69)),
            format!("trait T {{ fn g() {} }}", body(69)),
            format!("mod m {{ fn g() {} }}", body(69)),
        ] {
            let found = functions_are_short(&tree(&[("a/src/lib.rs", &(fits.clone() + &long))]));
            assert_eq!(found, [Finding::new("a/src/lib.rs", 71, "g has 71 lines, at most 70")], "{long}");
        }
    }

    #[test]
    fn a_long_line_is_found_but_not_a_row_of_a_table() {
        let (code, row) = (format!("const A: u8 = {};", "1".repeat(110)), format!("| {} |", "x".repeat(200)));
        let prose = "y".repeat(141);
        let found = lines_are_short(&tree(&[("a/src/lib.rs", &code), ("b.md", &row), ("c.md", &prose)]));
        let paths: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(paths, ["a/src/lib.rs", "c.md"]);
    }
}
