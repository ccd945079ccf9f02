//! `raid explain`: why members do or do not make an array, what forcing would cost, and the one command to run next.

use std::fmt::Write as _;

use raid_formats::assemble::{Assembly, Claimant, Verdict};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::open::OpenArgs;
use super::output::Output;
use super::text;
use crate::array::{Array, OpenError, because, verdicts};
use crate::discover::Found;
use crate::media::Media;

#[derive(Serialize)]
struct Explained {
    uuid: String,
    name: String,
    format: &'static str,
    description: String,
    members: Vec<MemberLine>,
    missing_slots: Vec<u16>,
    freshest: Option<String>,
    opens: bool,
    warnings: Vec<String>,
    refusal: Option<String>,
    choices: Vec<Choice>,
    next: String,
}

#[derive(Serialize)]
struct MemberLine {
    member: String,
    role: String,
    events: u64,
    updated: String,
    state: String,
    logical_block_bytes: u32,
    notes: Vec<String>,
}

/// Something that could be forced.
#[derive(Serialize)]
struct Choice {
    flag: String,
    loses: String,
}

/// Runs the verb.
///
/// # Errors
/// As opening members; an array that does not open is a result here.
pub(super) fn run(args: &OpenArgs, output: &Output) -> Result<Exit, Failure> {
    let found = args.group(output)?;
    let options = args.options();
    let judged = verdicts(&found, &options);
    let names: Vec<String> = found.iter().map(|found| text::shell(found.name())).collect();
    let opened = Array::open(found.clone(), &options);
    let explained = explain(&found, judged.as_ref().ok(), &opened, &names);
    output.print("raid.explain/1", &explained, || human(&explained))?;
    Ok(if explained.opens { Exit::Ok } else { Exit::Refused })
}

fn explain(
    found: &[Found],
    judged: Option<&(Assembly, Vec<Verdict>)>,
    opened: &Result<Array, OpenError>,
    names: &[String],
) -> Explained {
    let freshest = judged.map(|(assembly, _)| assembly.freshest);
    let lead = found[freshest.unwrap_or(0)].record();
    let mut slots = vec![false; judged.map_or(0, |(assembly, _)| usize::from(assembly.slots))];
    let mut choices = Vec::new();
    let mut members = Vec::new();
    for (index, member) in found.iter().enumerate() {
        let record = member.record();
        let verdict = judged.and_then(|(_, verdicts)| verdicts.get(index));
        match verdict {
            Some(Verdict::Current { slot, .. }) => slots[usize::from(*slot)] = true,
            Some(Verdict::Stale { slot, behind }) => choices.push(Choice {
                flag: format!("--use-stale {}", names[index]),
                loses: format!(
                    "slot {slot} would give what it held {behind} events ago: writes since then come back as a mix of old and new"
                ),
            }),
            Some(Verdict::ThrownOut { slot }) => choices.push(Choice {
                flag: format!("--use-stale {}", names[index]),
                loses: format!("slot {slot} may lack every write since it was thrown out, and nothing tells which"),
            }),
            _ => {}
        }
        members.push(MemberLine {
            member: member.name().to_owned(),
            role: format!("{:?}", record.role).replace(['(', ')'], " ").trim().to_lowercase(),
            events: record.events,
            updated: text::time(record.updated_s),
            state: match verdict {
                Some(_) if Some(index) == freshest => "current, the freshest".into(),
                Some(verdict) => because(verdict),
                None => "not judged".into(),
            },
            logical_block_bytes: record.logical_block_bytes,
            notes: record.notes.sentences().map(str::to_owned).collect(),
        });
    }
    if let Err(OpenError::NotReplayed(warning, flag)) = opened {
        choices.push(Choice { flag: (*flag).to_owned(), loses: warning.to_string() });
    }
    let next = next(opened, &choices, names);
    Explained {
        uuid: lead.array.to_string(),
        name: lead.name.to_string(),
        format: lead.format.name(),
        description: text::shape(&lead.shape),
        members,
        missing_slots: (0..).zip(&slots).filter(|(_, filled)| !**filled).map(|(slot, _)| slot).collect(),
        freshest: freshest.map(|index| found[index].name().to_owned()),
        opens: opened.is_ok(),
        warnings: opened
            .as_ref()
            .map(|array| array.warnings().iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        refusal: opened.as_ref().err().map(ToString::to_string),
        choices,
        next,
    }
}

/// The one command to run next: the safest that gets on.
fn next(opened: &Result<Array, OpenError>, choices: &[Choice], names: &[String]) -> String {
    let copy = |flags: &str| format!("raid copy {flags}{} OUT", names.join(" "));
    match opened {
        Ok(array) if array.size_bytes() > 0 => copy(""),
        Ok(_) => format!("raid map {}", names.join(" ")),
        Err(OpenError::NotReplayed(_, flag)) => copy(&format!("{flag} ")),
        Err(OpenError::Strict { .. }) => copy(""),
        Err(OpenError::TooManyMissing { .. } | OpenError::Refusal { .. }) => match choices.first() {
            Some(choice) => copy(&format!("{} ", choice.flag)),
            None => "raid scan /dev DIRECTORY-OF-MORE-IMAGES".into(),
        },
        Err(OpenError::Config { reason, .. }) if reason.contains("original or alternate") => {
            copy("--raid0-layout alternate ")
        }
        Err(_) => format!("raid examine {}", names.join(" ")),
    }
}

fn human(explained: &Explained) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    let title = [explained.format, explained.name.as_str()].join("  ");
    line(text::wrap("", &format!("{}  {}", title.trim_end(), explained.uuid)));
    line(text::wrap("", &explained.description));
    line(format!("{:<9} {:>8}  {:<20}  member", "role", "events", "last update"));
    for member in &explained.members {
        line(text::wrap(
            &format!("{:<9} {:>8}  {:<20}  ", member.role, member.events, member.updated),
            &format!("{}: {}", member.member, member.state),
        ));
        for note in &member.notes {
            line(text::wrap("            ", note));
        }
        if member.logical_block_bytes != 0 {
            let note = format!("Logical block size {} bytes is recorded at byte 224.", member.logical_block_bytes);
            line(text::wrap("            ", &note));
        }
    }
    if !explained.missing_slots.is_empty() {
        let slots: Vec<String> = explained.missing_slots.iter().map(u16::to_string).collect();
        line(text::wrap("", &format!("Without a usable member: slot {}.", slots.join(", "))));
    }
    match &explained.refusal {
        None => line(text::wrap("", "It opens as it is.")),
        Some(refusal) => line(text::wrap("It does not open: ", refusal)),
    }
    for warning in &explained.warnings {
        line(text::wrap("- ", warning));
    }
    for choice in &explained.choices {
        line(text::wrap(&format!("{}: ", choice.flag), &choice.loses));
    }
    line(text::command("Next: ", &explained.next));
    out
}
