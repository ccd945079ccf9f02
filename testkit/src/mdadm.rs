//! What `mdadm --examine` printed, as words to compare with.

use std::collections::BTreeMap;

/// The answer for one member: `Name : value` lines, and the lines of 0.90's device table.
#[derive(Debug, Default)]
pub struct Examined {
    fields: BTreeMap<String, String>,
    /// Lines of the 0.90 table, `this` first, each split into words.
    pub table: Vec<Vec<String>>,
}

impl Examined {
    /// The value of a field; empty if it was not printed.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// The first word of a field as a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.field(name).split_whitespace().next()?.parse().ok()
    }

    /// The first word of a field as a hexadecimal number, with or without `0x`.
    #[must_use]
    pub fn hex(&self, name: &str) -> Option<u64> {
        let word = self.field(name).split_whitespace().next()?;
        u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()
    }
}

/// Takes the answer for several members apart, in their order.
#[must_use]
pub fn examined(text: &str) -> Vec<Examined> {
    let mut all: Vec<Examined> = Vec::new();
    for line in text.lines() {
        if line.ends_with(':') && !line.starts_with(' ') {
            all.push(Examined::default());
            continue;
        }
        let Some(last) = all.last_mut() else { continue };
        if let Some((name, value)) = line.split_once(" : ") {
            // What `--examine-bitmap` may have printed after it does not overwrite.
            last.fields.entry(name.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
        } else if line.starts_with("this") || line.trim_start().starts_with(|first: char| first.is_ascii_digit()) {
            last.table.push(line.split_whitespace().map(str::to_owned).collect());
        }
    }
    all
}
