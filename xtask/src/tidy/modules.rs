//! Which Rust files the compiler sees, and which of them only in tests: `mod` declarations followed from crate roots.

use std::collections::BTreeMap;

use quote::ToTokens;
use syn::{Attribute, Expr, Item, ItemMod, Lit, Meta, Token, punctuated::Punctuated};

use super::tree::{self, Kind, Tree};

/// Where a file is compiled to.
pub(super) type Reach = BTreeMap<String, Kind>;

/// All files that some root leads to. A file that tests alone lead to is [`Kind::Aside`].
pub(super) fn reach(tree: &Tree) -> Reach {
    let mut reach = Reach::new();
    for (root, kind) in &tree.roots {
        Walk { tree, reach: &mut reach }.file(root, *kind, tree::folder(root));
    }
    reach
}

struct Walk<'a> {
    tree: &'a Tree,
    reach: &'a mut Reach,
}

impl Walk<'_> {
    /// Enters a file whose own modules lie in the folder `home`.
    fn file(&mut self, path: &str, kind: Kind, home: &str) {
        let known = self.reach.get(path);
        if known == Some(&Kind::Shipped) || known == Some(&kind) {
            return;
        }
        let Some(syntax) = self.tree.files.get(path).and_then(|file| file.syntax.as_ref()) else { return };
        let kind = if is_test(&syntax.attrs) { Kind::Aside } else { kind };
        self.reach.insert(path.to_owned(), kind);
        self.items(&syntax.items, kind, tree::folder(path), home);
    }

    fn items(&mut self, items: &[Item], kind: Kind, folder: &str, home: &str) {
        for item in items {
            let Item::Mod(module) = item else { continue };
            let kind = if is_test(&module.attrs) { Kind::Aside } else { kind };
            let below = format!("{home}/{}", module.ident);
            match &module.content {
                Some((_, items)) => self.items(items, kind, &below, &below),
                None => self.declared(module, kind, folder, &below),
            }
        }
    }

    fn declared(&mut self, module: &ItemMod, kind: Kind, folder: &str, below: &str) {
        if let Some(path) = path_attribute(&module.attrs).and_then(|path| tree::join(folder, &path)) {
            let home = tree::folder(&path).to_owned();
            return self.file(&path, kind, &home);
        }
        let below = below.trim_start_matches('/');
        self.file(&format!("{below}.rs"), kind, below);
        self.file(&format!("{below}/mod.rs"), kind, below);
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("path")).find_map(|attribute| {
        match &attribute.meta.require_name_value().ok()?.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(path) => Some(path.value()),
                _ => None,
            },
            _ => None,
        }
    })
}

/// True for what is compiled in tests alone: `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, ..))]`.
pub(super) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg") && attribute.parse_args::<Meta>().is_ok_and(|meta| wants_test(&meta))
    })
}

fn wants_test(meta: &Meta) -> bool {
    match meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(wants_test)),
        _ => false,
    }
}

/// What of these items is not for tests alone, as tokens that know their lines.
pub(super) fn shipped_tokens(items: &[Item]) -> proc_macro2::TokenStream {
    let mut tokens = proc_macro2::TokenStream::new();
    for item in items.iter().filter(|item| !is_test(attributes(item))) {
        match item {
            Item::Mod(ItemMod { content: Some((_, items)), .. }) => tokens.extend(shipped_tokens(items)),
            item => item.to_tokens(&mut tokens),
        }
    }
    tokens
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tree::tests::tree, *};

    #[test]
    fn modules_are_followed_through_files_folders_and_paths() {
        let tree = tree(&[
            ("a/src/lib.rs", "mod b; mod c { mod d; } #[path = \"odd.rs\"] mod e;"),
            ("a/src/b/mod.rs", "mod f;"),
            ("a/src/b/f.rs", ""),
            ("a/src/c/d.rs", ""),
            ("a/src/odd.rs", ""),
            ("a/src/alone.rs", ""),
        ]);
        let reached: Vec<String> = reach(&tree).into_keys().collect();
        assert_eq!(reached, ["a/src/b/f.rs", "a/src/b/mod.rs", "a/src/c/d.rs", "a/src/lib.rs", "a/src/odd.rs"]);
    }

    #[test]
    fn what_only_tests_declare_is_aside() {
        let tree = tree(&[
            ("a/src/lib.rs", "mod b; #[cfg(all(test, unix))] mod tests;"),
            ("a/src/b.rs", ""),
            ("a/src/tests.rs", "mod deep;"),
            ("a/src/tests/deep.rs", ""),
        ]);
        let reach = reach(&tree);
        assert_eq!(reach["a/src/b.rs"], Kind::Shipped);
        assert_eq!(reach["a/src/tests/deep.rs"], Kind::Aside);
    }
}
