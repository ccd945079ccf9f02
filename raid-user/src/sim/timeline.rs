//! A story drawn: time goes to the right, a lane for the host, for the log, for the members' states, and for each member.

use std::fmt::Write;

use raid_core::Member;
use raid_core::action::{Action, Way};

use super::story::{Deed, Fact};

/// Width of one fact.
const STEP: usize = 14;
/// Height of a bar.
const BAR: usize = 12;
/// Where the lanes begin.
const LEFT: usize = 110;
/// Bars of one lane that can overlap before they share a line.
const LINES: usize = 6;

/// Something that lasted, from fact to fact.
struct Span {
    lane: usize,
    from: usize,
    to: usize,
    colour: &'static str,
    label: String,
}

/// The drawing, as SVG that stands alone.
#[must_use]
pub(super) fn svg(facts: &[Fact], members: u16, title: &str) -> String {
    let names: Vec<String> = ["host", "log", "states"]
        .into_iter()
        .map(str::to_owned)
        .chain((0..lanes(facts, members)).map(|member| format!("member {member}")))
        .collect();
    let spans = spans(facts);
    let lane_height = BAR * LINES + 10;
    let (width, height) = (LEFT + (facts.len() + 2) * STEP, 50 + names.len() * lane_height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"8\" y=\"18\" \
         font-size=\"13\">{}</text>\n",
        escaped(title)
    );
    for (lane, name) in names.iter().enumerate() {
        let y = 40 + lane * lane_height;
        let _ = writeln!(svg, "<line x1=\"0\" x2=\"{width}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#ddd\"/>");
        let _ = writeln!(svg, "<text x=\"8\" y=\"{}\">{name}</text>", y + 14);
    }
    let mut busy = vec![[0; LINES]; names.len()];
    for span in &spans {
        let Some(lines) = busy.get_mut(span.lane) else { continue };
        let line = lines.iter().position(|until| *until <= span.from).unwrap_or(LINES - 1);
        lines[line] = span.to + 1;
        let (x, y) = (LEFT + span.from * STEP, 44 + span.lane * lane_height + line * BAR);
        let long = (span.to - span.from).max(1) * STEP;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{long}\" height=\"{}\" fill=\"{}\"><title>{}</title></rect>",
            BAR - 2,
            span.colour,
            escaped(&span.label)
        );
    }
    marks(&mut svg, facts, height);
    svg.push_str("</svg>\n");
    svg
}

/// Lanes for members: with those of second seats, if anybody was there.
fn lanes(facts: &[Fact], members: u16) -> u16 {
    let second = |fact: &Fact| matches!(fact, Fact::Replaced { .. });
    if facts.iter().any(second) { members.saturating_mul(2) } else { members }
}

/// Faults and power cuts, as lines through all lanes.
fn marks(svg: &mut String, facts: &[Fact], height: usize) {
    for (at, fact) in facts.iter().enumerate() {
        let colour = match fact {
            Fact::PowerOn { .. } => "#2a2",
            Fact::PowerCut => "#000",
            Fact::Vanishes { .. } | Fact::ThrownOut { .. } | Fact::WillFailWrite { .. } | Fact::Unreadable { .. } => {
                "#d22"
            }
            Fact::Added { .. } | Fact::Replaced { .. } | Fact::Absent { .. } => "#26c",
            _ => continue,
        };
        let x = LEFT + at * STEP;
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" x2=\"{x}\" y1=\"26\" y2=\"{height}\" stroke=\"{colour}\" stroke-dasharray=\"3 2\"/>\
             <text x=\"{}\" y=\"34\" fill=\"{colour}\">{}</text>",
            x + 3,
            escaped(&fact.to_string())
        );
    }
}

/// Requests from asking to answer, actions from being asked to being done. What a power cut caught ends there.
fn spans(facts: &[Fact]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (from, fact) in facts.iter().enumerate() {
        let rest = || facts.iter().enumerate().skip(from + 1);
        let cut = || rest().find(|(_, fact)| matches!(fact, Fact::PowerCut)).map_or(facts.len(), |(at, _)| at);
        match fact {
            Fact::Asked { id, .. } => {
                let end = rest().find_map(|(at, other)| match other {
                    Fact::Answered { id: other, result } if other == id => Some((at, result.is_ok())),
                    Fact::Refused { id: other } if other == id => Some((at, false)),
                    _ => None,
                });
                let (to, well) = end.unwrap_or_else(|| (cut(), false));
                let colour = if well { "#7b7" } else { "#d99" };
                spans.push(Span { lane: 0, from, to, colour, label: fact.to_string() });
            }
            Fact::Issued { action } => {
                let end = rest().find_map(|(at, other)| match other {
                    Fact::Done { action: other, well } if other == action => Some((at, *well)),
                    Fact::PowerCut => Some((at, true)),
                    _ => None,
                });
                let (to, well) = end.unwrap_or((facts.len(), true));
                let Some(lane) = lane(action) else { continue };
                let colour = if well { colour(action) } else { "#d22" };
                spans.push(Span { lane, from, to, colour, label: Deed(action).to_string() });
            }
            _ => {}
        }
    }
    spans
}

fn lane(action: &Action) -> Option<usize> {
    let of = |member: &Member| 3 + usize::from(member.0);
    match action {
        Action::Io { member, .. } | Action::Flush { member, .. } => Some(of(member)),
        Action::WriteLog { .. } => Some(1),
        Action::WriteHealth { .. } => Some(2),
        _ => None,
    }
}

const fn colour(action: &Action) -> &'static str {
    match action {
        Action::Io { way: Way::Read, .. } => "#9bd",
        Action::Io { way: Way::Write { .. }, .. } => "#e9a13b",
        Action::Flush { .. } => "#a8d",
        _ => "#888",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
