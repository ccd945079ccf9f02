//! The map as SVG: text stays text, and colours suit light and dark pages.

use std::fmt::Write as _;

use super::table::{Cell, Holds, MemberState, StripeTable};

const CELL_WIDTH: usize = 72;
const CELL_HEIGHT: usize = 26;
const LABEL_WIDTH: usize = 96;
const TOP: usize = 84;

const STYLE: &str = "
text { font: 13px ui-monospace, monospace; fill: #1a1a1a; text-anchor: middle; dominant-baseline: central; }
.title { font: 600 15px system-ui, sans-serif; text-anchor: start; }
.label { fill: #666; text-anchor: end; }
.note { fill: #666; font: 12px system-ui, sans-serif; text-anchor: start; }
rect { stroke: #fff; stroke-width: 2; }
.page { fill: #fff; stroke: none; }
.data { fill: #e4ecf7; } .p { fill: #f6c98f; } .q { fill: #d9b3e6; } .unused { fill: #f2f2f2; }
.asked { stroke: #c2185b; stroke-width: 3; }
.gone { opacity: 0.35; }
@media (prefers-color-scheme: dark) {
  text { fill: #eee; } .label, .note { fill: #aaa; } .page { fill: #16181c; }
  rect { stroke: #16181c; }
  .data { fill: #24405f; } .p { fill: #8a5a1c; } .q { fill: #6a3f7a; } .unused { fill: #23262b; }
  .asked { stroke: #ff6f9f; }
}
";

/// Draws the table with a title.
#[must_use]
pub fn svg(table: &StripeTable, title: &str) -> String {
    let width = LABEL_WIDTH + table.members.len() * CELL_WIDTH + 24;
    let height = TOP + table.rows.len() * CELL_HEIGHT + 44;
    let title = escape(title);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n<rect class=\"page\" width=\"{width}\" \
         height=\"{height}\"/>\n<text class=\"title\" x=\"16\" y=\"24\">{title}</text>\n"
    );
    for (slot, (name, state)) in table.members.iter().enumerate() {
        let x = center(slot);
        let word = match state {
            MemberState::Current => "",
            MemberState::Missing => "gone",
            MemberState::Rebuilding => "in part",
        };
        let name = escape(name);
        let _ = writeln!(out, "<text x=\"{x}\" y=\"52\"><title>{name}</title>slot {slot}</text>");
        let _ = writeln!(out, "<text class=\"label\" x=\"{x}\" y=\"70\" style=\"text-anchor:middle\">{word}</text>");
    }
    for (index, row) in table.rows.iter().enumerate() {
        let y = TOP + index * CELL_HEIGHT;
        let middle = y + CELL_HEIGHT / 2;
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
    let note = format!("rows of {} sectors on each member's data; numbers are chunks of the array", table.chunk);
    let _ = writeln!(out, "<text class=\"note\" x=\"16\" y=\"{}\">{note}</text>\n</svg>", height - 20);
    out
}

fn center(slot: usize) -> usize {
    LABEL_WIDTH + slot * CELL_WIDTH + CELL_WIDTH / 2
}

fn push_cell(out: &mut String, cell: Cell, slot: usize, y: usize, gone: bool) {
    let (class, word) = match cell.holds {
        Holds::Data(number) => ("data", number.to_string()),
        Holds::P => ("p", "P".to_owned()),
        Holds::Q => ("q", "Q".to_owned()),
        Holds::Unused => ("unused", String::new()),
    };
    let asked = if cell.asked { " asked" } else { "" };
    let gone = if gone { " gone" } else { "" };
    let (x, middle) = (LABEL_WIDTH + slot * CELL_WIDTH + 1, y + CELL_HEIGHT / 2);
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
