//! The map as SVG: text stays text, and colours suit light and dark pages.

use std::fmt::Write as _;

use super::table::{Cell, Holds, MemberState, StripeTable};

const CELL_WIDTH: usize = 72;
const CELL_HEIGHT: usize = 26;
const LABEL_WIDTH: usize = 96;
const TOP: usize = 124;
/// How far below its middle a line of text stands; not every reader knows `dominant-baseline`.
const BASELINE: usize = 5;
/// Room for a letter of the notes and of the title, in the widest of the usual fonts.
const LETTER_WIDTH: usize = 7;
const TITLE_LETTER_WIDTH: usize = 10;
/// Letters of a member's file name that have room above its column.
const NAME_MAX: usize = 10;

const STYLE: &str = "
text { font: 13px ui-monospace, monospace; fill: #1a1a1a; text-anchor: middle; }
.title { font: 600 15px system-ui, sans-serif; text-anchor: start; }
.label { fill: #666; text-anchor: end; }
.name, .state { font-size: 11px; fill: #666; }
.note { fill: #666; font: 12px system-ui, sans-serif; text-anchor: start; }
rect { stroke: #fff; stroke-width: 2; }
.page { fill: #fff; stroke: none; }
.data { fill: #e4ecf7; } .p { fill: #f6c98f; } .q { fill: #d9b3e6; } .unused { fill: #f2f2f2; }
.asked { stroke: #c2185b; stroke-width: 3; }
.gone { opacity: 0.35; }
@media (prefers-color-scheme: dark) {
  text { fill: #eee; } .label, .name, .state { font-size: 11px; fill: #666; }
.note { fill: #aaa; } .page { fill: #16181c; }
  rect { stroke: #16181c; }
  .data { fill: #24405f; } .p { fill: #8a5a1c; } .q { fill: #6a3f7a; } .unused { fill: #23262b; }
  .asked { stroke: #ff6f9f; }
}
";

/// Draws the table with a title and a line below it.
#[must_use]
pub fn svg(table: &StripeTable, title: &str, subtitle: &str) -> String {
    let note = format!("rows of {} sectors on each member's data; numbers are chunks of the array", table.chunk);
    let words =
        (note.len().max(subtitle.chars().count()) * LETTER_WIDTH).max(title.chars().count() * TITLE_LETTER_WIDTH);
    let width = (LABEL_WIDTH + table.members.len() * CELL_WIDTH + 24).max(words + 32);
    let height = TOP + table.rows.len() * CELL_HEIGHT + 72;
    let (title, subtitle) = (escape(title), escape(subtitle));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n<rect class=\"page\" width=\"{width}\" \
         height=\"{height}\"/>\n<text class=\"title\" x=\"16\" y=\"28\">{title}</text>\n\
         <text class=\"note\" x=\"16\" y=\"48\">{subtitle}</text>\n"
    );
    for (slot, (name, state)) in table.members.iter().enumerate() {
        let x = center(slot);
        let word = match state {
            MemberState::Current => "",
            MemberState::Missing => "gone",
            MemberState::Rebuilding => "in part",
        };
        let short = escape(&short(name));
        let name = escape(name);
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"78\"><title>{name}</title>slot {slot}</text>\
             <text class=\"name\" x=\"{x}\" y=\"96\">{short}</text>\
             <text class=\"state\" x=\"{x}\" y=\"112\">{word}</text>"
        );
    }
    for (index, row) in table.rows.iter().enumerate() {
        let y = TOP + index * CELL_HEIGHT;
        let middle = y + CELL_HEIGHT / 2 + BASELINE;
        let _ = writeln!(out, "<text class=\"label\" x=\"{}\" y=\"{middle}\">{}</text>", LABEL_WIDTH - 12, row.at);
        for (slot, cell) in row.cells.iter().enumerate() {
            let gone = table.members.get(slot).is_some_and(|(_, state)| *state == MemberState::Missing);
            push_cell(&mut out, *cell, slot, y, gone);
        }
        if row.new_zone {
            let end = width - 24;
            let _ = writeln!(out, "<path d=\"M{LABEL_WIDTH} {y}H{end}\" stroke=\"#c2185b\" stroke-dasharray=\"4 3\"/>");
        }
    }
    push_legend(&mut out, table, height - 50);
    let _ = writeln!(out, "<text class=\"note\" x=\"16\" y=\"{}\">{note}</text>\n</svg>", height - 18);
    out
}

/// What the colours mean, as far as they are there.
fn push_legend(out: &mut String, table: &StripeTable, y: usize) {
    let items = [
        ("data", "data", table.holds(|holds| matches!(holds, Holds::Data(_)))),
        ("p", "P", table.holds(|holds| holds == Holds::P)),
        ("q", "Q", table.holds(|holds| holds == Holds::Q)),
        ("unused", "~ moved", table.holds(|holds| holds == Holds::Moved)),
        ("data asked", "asked for", table.has_asked()),
    ];
    let mut x = 16;
    for (class, word, _) in items.into_iter().filter(|(.., there)| *there) {
        let _ = writeln!(
            out,
            "<rect class=\"key {class}\" x=\"{x}\" y=\"{y}\" width=\"16\" height=\"16\" rx=\"3\"/>\
             <text class=\"note\" x=\"{}\" y=\"{}\">{word}</text>",
            x + 22,
            y + 8 + BASELINE
        );
        x += 38 + 8 * word.len();
    }
}

/// The end of a path, cut to the room that there is.
fn short(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    if name.chars().count() <= NAME_MAX {
        return name.to_owned();
    }
    let end: Vec<char> = name.chars().rev().take(NAME_MAX - 1).collect();
    std::iter::once('…').chain(end.into_iter().rev()).collect()
}

fn center(slot: usize) -> usize {
    LABEL_WIDTH + slot * CELL_WIDTH + CELL_WIDTH / 2
}

fn push_cell(out: &mut String, cell: Cell, slot: usize, y: usize, gone: bool) {
    let (class, word) = match cell.holds {
        Holds::Data(number) => ("data", number.to_string()),
        Holds::P => ("p", "P".to_owned()),
        Holds::Q => ("q", "Q".to_owned()),
        Holds::Moved => ("unused", "~".to_owned()),
        Holds::Unused => ("unused", String::new()),
    };
    let asked = if cell.asked { " asked" } else { "" };
    let gone = if gone { " gone" } else { "" };
    let (x, middle) = (LABEL_WIDTH + slot * CELL_WIDTH + 1, y + CELL_HEIGHT / 2 + BASELINE);
    let (width, height) = (CELL_WIDTH - 2, CELL_HEIGHT - 2);
    let _ = writeln!(
        out,
        "<rect class=\"cell {class}{asked}{gone}\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{height}\" rx=\"3\"/>\
         <text x=\"{}\" y=\"{middle}\">{word}</text>",
        y + 1,
        center(slot)
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
