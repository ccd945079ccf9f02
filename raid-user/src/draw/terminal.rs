//! The map as text.

use std::fmt::Write as _;

use super::table::{Cell, Holds, MemberState, StripeTable};

/// Draws the table in at most `width` columns of text; members that do not fit are left out in the middle, and that is said.
#[must_use]
pub fn terminal(table: &StripeTable, ascii: bool, color: bool, width: usize) -> String {
    let label = table.rows.last().map_or(1, |row| row.at.0.to_string().len()).max(6);
    let cell = table
        .rows
        .iter()
        .flat_map(|row| &row.cells)
        .map(|cell| word(*cell).chars().count() + 2)
        .max()
        .unwrap_or(3)
        .max(5);
    let bar = if ascii { '|' } else { '│' };
    let room = width.saturating_sub(label + 2) / (cell + 1);
    let shown = shown(table.members.len(), room.max(2));
    let mut out = String::new();
    let mut line = |label_text: &str, words: &dyn Fn(usize) -> (String, Paint)| {
        let _ = write!(out, "{label_text:>label$} {bar}");
        for slot in &shown {
            let (word, paint) = slot.map_or(("..".to_owned(), Paint::Plain), words);
            let padded = format!("{word:^cell$}");
            let _ = match paint {
                Paint::Plain => write!(out, "{padded}{bar}"),
                _ if !color => write!(out, "{padded}{bar}"),
                Paint::Code(code) => write!(out, "\x1b[{code}m{padded}\x1b[0m{bar}"),
            };
        }
        out.push('\n');
    };
    line("sector", &|slot| (slot.to_string(), Paint::Code("1")));
    if table.members.iter().any(|(_, state)| *state != MemberState::Current) {
        line("", &|slot| match table.members.get(slot).map(|(_, state)| *state) {
            Some(MemberState::Missing) => ("gone".into(), Paint::Code("31")),
            Some(MemberState::Rebuilding) => ("part".into(), Paint::Code("33")),
            _ => (String::new(), Paint::Plain),
        });
    }
    for row in &table.rows {
        if row.new_zone {
            line("zone", &|_| (String::new(), Paint::Plain));
        }
        line(&row.at.0.to_string(), &|slot| {
            row.cells.get(slot).map_or((String::new(), Paint::Plain), |cell| (word(*cell), paint(*cell)))
        });
    }
    let _ = writeln!(out, "Rows of {} sectors on each member's data; numbers are chunks of the array.", table.chunk);
    if table.holds(|holds| holds == Holds::Moved) {
        out.push_str("What is marked ~ has moved: the other shape holds it.\n");
    }
    if shown.contains(&None) {
        let _ = writeln!(out, "{} members; those in the middle are not drawn.", table.members.len());
    }
    out
}

#[derive(Clone, Copy)]
enum Paint {
    Plain,
    Code(&'static str),
}

fn paint(cell: Cell) -> Paint {
    match cell {
        Cell { asked: true, .. } => Paint::Code("7"),
        Cell { holds: Holds::P, .. } => Paint::Code("36"),
        Cell { holds: Holds::Q, .. } => Paint::Code("35"),
        Cell { holds: Holds::Unused | Holds::Moved, .. } => Paint::Code("2"),
        Cell { holds: Holds::Data(_), .. } => Paint::Plain,
    }
}

fn word(cell: Cell) -> String {
    let word = match cell.holds {
        Holds::Data(number) => number.to_string(),
        Holds::P => "P".into(),
        Holds::Q => "Q".into(),
        Holds::Moved => "~".into(),
        Holds::Unused => "-".into(),
    };
    if cell.asked { format!("[{word}]") } else { word }
}

/// Which slots are drawn in `room` columns: all, or the first and last with a gap (`None`).
fn shown(members: usize, room: usize) -> Vec<Option<usize>> {
    if members <= room {
        return (0..members).map(Some).collect();
    }
    let tail = (room - 1) / 2;
    let head = room - 1 - tail;
    (0..head).map(Some).chain([None]).chain((members - tail..members).map(Some)).collect()
}
