//! `raid explain`: why members do or do not make an array, what forcing would cost, and the one command to run next.

use std::fmt::Write as _;

use raid_core::Raid0Layout;
use raid_formats::assemble::{Assembly, Claimant, Refusal, Verdict};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::exit::{Exit, Failure};
use super::open::{Given, IGNORE_JOURNAL, OpenArgs, no_volume};
use super::output::Output;
use super::text;
use super::tree;
use crate::array::{Array, OpenError, OpenOptions, Warning, because, slots, verdicts};
use crate::discover::Found;
use crate::layers::{Layers, NoVolume};
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
    #[serde(serialize_with = "one_line")]
    next: Vec<String>,
}

#[derive(Serialize)]
struct MemberLine {
    member: String,
    role: String,
    events: u64,
    updated: String,
    state: String,
    /// Only its first sectors are trusted: it was being rebuilt.
    sync_mark_sectors: Option<u64>,
    logical_block_bytes: u32,
    notes: Vec<String>,
}

/// Something that could be forced.
#[derive(Serialize)]
struct Choice {
    flag: String,
    loses: String,
}

fn one_line<S: Serializer>(words: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&words.iter().map(|word| text::shell(word)).collect::<Vec<_>>().join(" "))
}

/// Runs the verb.
///
/// # Errors
/// As opening members; an array that does not open is a result here.
pub(super) fn run(args: &OpenArgs, output: &Output) -> Result<Exit, Failure> {
    let given = args.given(output)?;
    if args.is_layered(&given) {
        return layered(args, given, output);
    }
    let found = args.chosen(given.found)?;
    let options = args.options();
    let judged = verdicts(&found, &options);
    let opened = Array::open(found.clone(), &options);
    let stale = match &judged {
        Ok((_, verdicts)) => stale(&found, verdicts),
        Err(_) => Vec::new(),
    };
    let next = next(&found, options, stale.clone(), args);
    let explained = explain(&found, judged.as_ref().ok(), &opened, &stale, next);
    output.print("raid.explain/1", &explained, || human(&explained))?;
    Ok(if explained.opens { Exit::Ok } else { Exit::Refused })
}

/// A volume and all that it stands on: what each lacks, and whether it opens.
fn layered(args: &OpenArgs, given: Given, output: &Output) -> Result<Exit, Failure> {
    let layers = Layers::on(given.found, given.physical, &args.options());
    let (lines, opens) = match layers.choose(args.volume.as_deref()) {
        Ok(node) => (layers.below(node).into_iter().map(|node| tree::line(&layers, node)).collect(), true),
        // What is not opened, or not named, is shown with everything beside it.
        Err(NoVolume::NotOpened { .. } | NoVolume::Several(_)) => (tree::lines(&layers), false),
        Err(error) => return Err(no_volume(&error)),
    };
    let refusal = layers.choose(args.volume.as_deref()).err().map(|error| error.to_string());
    let document = json!({ "opens": opens, "refusal": refusal, "layers": lines, "notes": layers.notes() });
    output.print("raid.explain/1", document, || {
        let mut out = tree::human(&layers);
        for note in layers.notes() {
            out += &(text::wrap("note: ", note) + "\n");
        }
        out += &match &refusal {
            None => text::wrap("", "It opens as it is."),
            Some(refusal) => text::wrap("It does not open: ", refusal),
        };
        out + "\n"
    })?;
    Ok(if opens { Exit::Ok } else { Exit::Refused })
}

fn explain(
    found: &[Found],
    judged: Option<&(Assembly, Vec<Verdict>)>,
    opened: &Result<Array, OpenError>,
    stale: &[Stale],
    next: Vec<String>,
) -> Explained {
    let freshest = judged.map(|(assembly, _)| assembly.freshest);
    let lead = found[freshest.unwrap_or(0)].record();
    let mut slots = vec![false; judged.map_or(0, |(assembly, _)| usize::from(assembly.slots))];
    let mut members = Vec::new();
    for (index, member) in found.iter().enumerate() {
        let verdict = judged.and_then(|(_, verdicts)| verdicts.get(index));
        if let Some(Verdict::Current { slot, .. }) = verdict {
            slots[usize::from(*slot)] = true;
        }
        members.push(member_line(member, verdict, Some(index) == freshest));
    }
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
        choices: choices(opened, stale),
        next,
    }
}

fn member_line(member: &Found, verdict: Option<&Verdict>, freshest: bool) -> MemberLine {
    let record = member.record();
    MemberLine {
        member: member.name().to_owned(),
        role: format!("{:?}", record.role).replace(['(', ')'], " ").trim().to_lowercase(),
        events: record.events,
        updated: text::time(record.updated_s),
        state: match verdict {
            Some(_) if freshest => "current, the freshest".into(),
            Some(verdict) => because(verdict),
            None => "not judged".into(),
        },
        sync_mark_sectors: record.sync_mark.map(|mark| mark.0),
        logical_block_bytes: record.logical_block_bytes,
        notes: record.notes.sentences().map(str::to_owned).collect(),
    }
}

/// A member that could be used although it missed writes.
#[derive(Clone)]
struct Stale {
    member: String,
    slot: u16,
    /// How many events it lags; `None` if it was thrown out and nothing tells.
    behind: Option<u64>,
}

/// Those that could be forced, the least stale first.
fn stale(found: &[Found], verdicts: &[Verdict]) -> Vec<Stale> {
    let stale = |(member, verdict): (&Found, &Verdict)| {
        let (slot, behind) = match *verdict {
            Verdict::Stale { slot, behind } => (slot, Some(behind)),
            Verdict::ThrownOut { slot } => (slot, None),
            _ => return None,
        };
        Some(Stale { member: member.name().to_owned(), slot, behind })
    };
    let mut stale: Vec<Stale> = found.iter().zip(verdicts).filter_map(stale).collect();
    stale.sort_by_key(|stale| stale.behind.unwrap_or(u64::MAX));
    stale
}

/// What could be forced, and what it would cost.
fn choices(opened: &Result<Array, OpenError>, stale: &[Stale]) -> Vec<Choice> {
    let forced = |stale: &Stale| Choice {
        flag: format!("--use-stale {}", text::shell(&stale.member)),
        loses: match stale.behind {
            Some(behind) => format!(
                "slot {} would give what it held {behind} events ago: writes since then come back as a mix of old and new",
                stale.slot
            ),
            None => {
                format!("slot {} may lack every write since it was thrown out, and nothing tells which", stale.slot)
            }
        },
    };
    let mut choices: Vec<Choice> = stale.iter().map(forced).collect();
    let mut choice = |flag: &str, loses: String| choices.push(Choice { flag: flag.to_owned(), loses });
    match opened {
        Err(OpenError::NotReplayed(warning, flag)) => choice(flag, warning.to_string()),
        Err(OpenError::TooManyMissing { .. }) => {
            choice("--partial", "what the missing members held gives read errors; the rest reads".into());
        }
        Err(OpenError::Config { reason, .. }) if layout_unstated(reason) => {
            choice("--raid0-layout alternate", "wrong bytes, if Linux before 3.14 wrote it".into());
            choice("--raid0-layout original", "wrong bytes, if Linux from 3.14 on wrote it".into());
        }
        Err(_) => {}
        Ok(array) => {
            let doubted = |warning: &Warning| matches!(warning, Warning::DirtyDegraded { believed: false, .. });
            if array.warnings().iter().any(doubted) {
                let loses = "what a missing member held in the rows in doubt can come back wrong";
                choice("--trust-dirty-parity", loses.into());
            }
        }
    }
    choices
}

fn layout_unstated(reason: &str) -> bool {
    reason.contains("original or alternate")
}

/// The one command to run next, proved to open: it takes one risk after the other, the smallest first, until the array does.
fn next(found: &[Found], mut options: OpenOptions, stale: Vec<Stale>, args: &OpenArgs) -> Vec<String> {
    let mut stale = stale.into_iter().map(|stale| stale.member);
    let words = |verb: &str, flags: Vec<String>, out: Option<&str>| -> Vec<String> {
        let names: Vec<String> = found.iter().map(|found| found.name().to_owned()).collect();
        let dashes = names.iter().any(|name| name.starts_with('-')).then(|| "--".to_owned());
        let verb = ["raid", verb].map(str::to_owned);
        verb.into_iter().chain(flags).chain(dashes).chain(names).chain(out.map(str::to_owned)).collect()
    };
    loop {
        let error = match Array::open(found.to_vec(), &options) {
            Ok(array) if array.size_bytes() > 0 => {
                return words("copy", args.flags(&options), Some("OUT"));
            }
            Ok(_) => return words("map", args.flags(&options), None),
            Err(error) => error,
        };
        if !take_risk(&mut options, &error, &mut stale) {
            return match error {
                // What holds the data is elsewhere.
                OpenError::TooManyMissing { .. } | OpenError::Refusal { refusal: Refusal::NoSlotMember, .. } => {
                    ["raid", "scan", "/dev", "MORE-IMAGES"].map(str::to_owned).to_vec()
                }
                _ => words("examine", Vec::new(), None),
            };
        }
    }
}

/// Takes the risk that could get past `error`; false if there is none, or it was taken already.
fn take_risk(options: &mut OpenOptions, error: &OpenError, stale: &mut impl Iterator<Item = String>) -> bool {
    match error {
        OpenError::Strict { .. } => std::mem::take(&mut options.strict),
        OpenError::NotReplayed(_, IGNORE_JOURNAL) => !std::mem::replace(&mut options.ignore_journal, true),
        OpenError::Config { reason, .. } if layout_unstated(reason) => {
            options.raid0_layout.replace(Raid0Layout::Alternate).is_none()
        }
        OpenError::TooManyMissing { .. } => stale.next().map(|member| options.use_stale.push(member)).is_some(),
        _ => false,
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
        if let Some(mark) = member.sync_mark_sectors {
            line(text::wrap("            ", &format!("It was being rebuilt: {mark} sectors of its data are trusted.")));
        }
        if member.logical_block_bytes != 0 {
            let note = format!("Logical block size {} bytes is recorded at byte 224.", member.logical_block_bytes);
            line(text::wrap("            ", &note));
        }
    }
    if !explained.missing_slots.is_empty() {
        line(text::wrap("", &format!("Without a usable member: {}.", slots(&explained.missing_slots))));
    }
    match &explained.refusal {
        None => line(text::wrap("", "It opens as it is.")),
        Some(refusal) => line(text::wrap("It does not open: ", refusal)),
    }
    for warning in &explained.warnings {
        line(text::wrap("- ", warning));
    }
    if !explained.choices.is_empty() {
        line("What could be forced, and what it would cost:".into());
    }
    for choice in &explained.choices {
        line(text::wrap("  ", &format!("{}: {}", choice.flag, choice.loses)));
    }
    line(text::command("Next: ", &explained.next));
    out
}
