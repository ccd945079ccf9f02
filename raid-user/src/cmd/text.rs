//! Words for people: sizes, times, levels, and lines that fit a terminal.

use std::cell::RefCell;
use std::collections::HashMap;

use raid_core::{FarSets, Level, Raid0Layout};
use raid_formats::record::Shape;

use crate::array::level_name;

/// Columns that human output fits.
pub(super) const WIDTH: usize = 80;
/// In front of what has no room in its own column.
const WRAPPED: &str = "    ";

/// `text` in lines of at most [`WIDTH`], the first after `first`, the others after as many spaces. Lines break at spaces alone; a
/// word that has no room behind `first` starts a line of its own, and only one that no line holds is broken.
#[must_use]
pub(super) fn wrap(first: &str, text: &str) -> String {
    // Most lines fit; breaking lines is the slow way.
    let indent = first.chars().count();
    if indent + text.chars().count() <= WIDTH && !text.contains('\n') {
        return format!("{first}{text}").trim_end().to_owned();
    }
    let known = |known: &RefCell<Known>| known.borrow().get(first)?.get(text).cloned();
    if let Some(lines) = KNOWN.with(known) {
        return lines;
    }
    let lines = broken(first, text);
    KNOWN.with(|known| {
        let mut known = known.borrow_mut();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        let beside = known.entry(first.to_owned()).or_default();
        if beside.len() >= KNOWN_MAX {
            beside.clear();
        }
        beside.insert(text.to_owned(), lines.clone());
    });
    lines
}

/// Lines that did not fit, by what stands before them: a thousand members say the same, and to break lines is what takes time.
type Known = HashMap<String, HashMap<String, String>>;

/// Beginnings that are remembered at a time, and texts behind each.
const KNOWN_MAX: usize = 256;

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// The same for what does not fit into a line.
fn broken(first: &str, text: &str) -> String {
    let indent = first.chars().count();
    let indent = indent.min(WIDTH * 3 / 5);
    let longest = text.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
    if longest > WIDTH - indent && indent > WRAPPED.len() {
        return format!("{}\n{}", first.trim_end(), wrap(WRAPPED, text));
    }
    let rest = " ".repeat(indent);
    let options = textwrap::Options::new(WIDTH).initial_indent(first).subsequent_indent(&rest);
    let options = options.word_separator(textwrap::WordSeparator::AsciiSpace);
    textwrap::fill(text, options.word_splitter(textwrap::WordSplitter::NoHyphenation))
}

/// A command after `first`, its lines joined by backslashes as a shell takes them. Words are never broken, so that what is
/// pasted is what was meant; a long one makes a long line.
#[must_use]
pub(super) fn command(first: &str, words: &[String]) -> String {
    let mut out = first.to_owned();
    let mut column = first.chars().count();
    for (index, word) in words.iter().map(|word| shell(word)).enumerate() {
        let len = word.chars().count();
        if index > 0 && column + 1 + len > WIDTH - 2 {
            out += " \\\n  ";
            column = 2;
        } else if index > 0 {
            out.push(' ');
            column += 1;
        }
        out += &word;
        column += len;
    }
    out
}

/// `14.0 MiB`.
#[must_use]
pub(super) fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// A time as RFC 3339, `-` if it is not known.
#[must_use]
pub(super) fn time(seconds: u64) -> String {
    match seconds {
        0 => "-".into(),
        _ => std::time::UNIX_EPOCH
            .checked_add(std::time::Duration::from_secs(seconds))
            .map_or_else(|| "-".into(), |time| humantime::format_rfc3339_seconds(time).to_string()),
    }
}

/// The layout's name, as mdadm and the kernel write it; `None` where the level has none.
#[must_use]
pub(super) fn layout(level: Level) -> Option<String> {
    match level {
        Level::Linear | Level::Raid1 | Level::Raid4 => None,
        Level::Raid0(Raid0Layout::Unstated) => Some("layout not stated".into()),
        Level::Raid0(layout) => Some(kebab(&format!("{layout:?}"))),
        Level::Raid5(layout) => Some(kebab(&format!("{layout:?}"))),
        Level::Raid6(layout) => Some(kebab(&format!("{layout:?}"))),
        Level::Raid10(layout) => {
            let far = match (layout.far, layout.offset) {
                (1, _) => String::new(),
                (far, true) => format!("offset {far}"),
                (far, false) => format!("far {far}"),
            };
            let near = if layout.near > 1 || far.is_empty() { format!("near {}", layout.near) } else { String::new() };
            let sets = match layout.sets {
                FarSets::All => "",
                FarSets::ByCount => "sets by count",
                FarSets::ByCopies => "sets by copies",
            };
            let words = [near.as_str(), far.as_str(), sets];
            Some(words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", "))
        }
    }
}

/// `LeftAsymmetric6` as `left-asymmetric-6`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for (index, letter) in name.chars().enumerate() {
        if index > 0 && (letter.is_ascii_uppercase() || letter.is_ascii_digit()) {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

/// `RAID 5 left-symmetric, 4 members, chunk 64 KiB`.
#[must_use]
pub(super) fn shape(shape: &Shape) -> String {
    let layout = layout(shape.level).map(|layout| format!(" {layout}")).unwrap_or_default();
    let chunk = match shape.chunk.bytes() {
        None | Some(0) => String::new(),
        Some(bytes) => format!(", chunk {}", size(bytes)),
    };
    format!("{}{layout}, {} members{chunk}", level_name(shape.level), shape.members)
}

/// A word as a shell takes it.
#[must_use]
pub(super) fn shell(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%=,#".contains(letter);
    match word {
        _ if !word.is_empty() && word.chars().all(plain) && !word.starts_with('#') => word.to_owned(),
        _ => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raid_core::{Raid5Layout, Raid6Layout, Raid10Layout, Sectors};

    #[test]
    fn shapes_read_as_mdadm_writes_them() {
        let text = |level| shape(&Shape { level, members: 4, chunk: Sectors(128), array_size: None });
        assert_eq!(text(Level::Raid5(Raid5Layout::LeftSymmetric)), "RAID 5 left-symmetric, 4 members, chunk 64.00 KiB");
        assert_eq!(layout(Level::Raid6(Raid6Layout::LeftSymmetric6)).unwrap(), "left-symmetric-6");
        let ten =
            |near, far, offset| layout(Level::Raid10(Raid10Layout { near, far, offset, sets: FarSets::All })).unwrap();
        assert_eq!([ten(2, 1, false), ten(1, 2, true), ten(2, 2, false)], ["near 2", "offset 2", "near 2, far 2"]);
    }

    #[test]
    fn a_command_is_the_same_to_a_shell_however_long_it_is() {
        let long = "a directory/with a rather long name/in which every disk image lies/disk";
        let names = (0..9).map(|index| format!("{long} {index}"));
        let words: Vec<String> = ["printf", "%s|"].into_iter().map(str::to_owned).chain(names).collect();
        let line = command("", &words);
        assert!(line.lines().count() > 5, "{line}");
        let said = std::process::Command::new("sh").args(["-c", &line]).output().unwrap().stdout;
        let expected: String = words[2..].iter().map(|word| format!("{word}|")).collect();
        assert_eq!(String::from_utf8(said).unwrap(), expected);
    }

    #[test]
    fn paths_are_not_broken_where_a_line_holds_them() {
        let path = "/mnt/recovered/images-2026/of-the-nas/disk-number-one.img";
        let text = wrap("slot 0          15  2026-11-23T11:32:57Z  ", &format!("{path}: current"));
        assert_eq!(text, format!("slot 0          15  2026-11-23T11:32:57Z\n    {path}: current"));
        let hopeless = wrap("  ", &"x".repeat(200));
        assert!(hopeless.lines().all(|line| line.len() <= WIDTH) && hopeless.lines().count() == 3);
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(shell("~root"), "'~root'");
        assert_eq!(shell("disk-1.img#2"), "disk-1.img#2");
        assert_eq!(shell("it's here"), "'it'\\''s here'");
        assert_eq!(shell(""), "''");
    }
}
