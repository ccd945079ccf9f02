//! `raid scan`: which arrays are here, and what each lacks.

use std::fmt::Write as _;

use clap::Args;
use raid_formats::assemble::{Claimant, Verdict};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::identify;
use super::open::{only, search_options};
use super::output::Output;
use super::text;
use super::tree::{self, TreeLine};
use crate::array::{Array, OpenOptions, because, verdicts};
use crate::discover::{Found, Only, Outcome, Serials, group, search, settle};
use crate::layers::Layers;
use crate::media::Media;

/// Why most files are no members.
const PLAIN: &str = "no RAID superblock";

/// Finds members in files, directories and devices, and groups them into arrays.
#[derive(Args, Debug)]
pub(super) struct ScanArgs {
    /// Files, directories, devices, images or NBD URIs
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Which disk a member is, by its drive's serial number, where the format (IMSM) knows disks by nothing else; several times
    #[arg(long, value_name = "MEMBER=SERIAL")]
    serial: Vec<String>,
    /// Which format counts, where media carry records of several: its name as printed here, or md for all versions of it
    #[arg(long = "as", value_name = "FORMAT", value_parser = only)]
    only: Option<Only>,
    /// Open files that an image refers to (qcow2 backing files)
    #[arg(long)]
    follow_references: bool,
}

#[derive(Default, Serialize)]
struct Scan {
    arrays: Vec<ArrayLine>,
    not_members: Vec<Named>,
    unopened: Vec<Named>,
    /// All that can be named, whatever it stands on.
    layers: Vec<TreeLine>,
    /// What belongs to no single thing.
    notes: Vec<String>,
    #[serde(skip)]
    tree: String,
}

#[derive(Serialize)]
struct Named {
    name: String,
    reason: String,
}

#[derive(Serialize)]
struct ArrayLine {
    uuid: String,
    name: String,
    format: &'static str,
    description: String,
    size_bytes: Option<u64>,
    /// `healthy`, `degraded` or `refused`.
    state: &'static str,
    slots: Vec<SlotLine>,
    others: Vec<Named>,
    warnings: Vec<String>,
    refusal: Option<String>,
}

#[derive(Serialize)]
struct SlotLine {
    slot: u16,
    member: Option<String>,
    events: Option<u64>,
}

/// Runs the verb.
///
/// # Errors
/// Only output's; what is not a member is a result here.
pub(super) fn run(args: &ScanArgs, output: &Output) -> Result<Exit, Failure> {
    let mut scan = Scan::default();
    let (mut found, mut physical) = (Vec::new(), Vec::new());
    let how = search_options(args.follow_references, args.only);
    for outcome in search(&args.paths, &how) {
        match outcome {
            Outcome::Member(member) => found.push(*member),
            Outcome::Physical(one) => physical.push(*one),
            Outcome::NotAMember(reason, media) => {
                let why = if reason.damaged { reason.worst() } else { no_member(media.as_ref()) };
                scan.not_members.push(Named { name: reason.name, reason: why });
            }
            Outcome::Unopened { name, error } => scan.unopened.push(Named { name, reason: error.to_string() }),
        }
    }
    scan.notes = settle(&mut found).iter().map(ToString::to_string).collect();
    let mut found: Vec<Found> = found.into_iter().flat_map(Found::volumes).collect();
    let serials = Serials::parse(&args.serial).and_then(|serials| serials.tell(&mut found));
    serials.map_err(|error| Failure::new(Exit::Usage, error))?;
    let layers = Layers::on(found.clone(), physical, &OpenOptions::default());
    scan.arrays = group(found).into_iter().map(describe).collect();
    scan.layers = tree::lines(&layers);
    scan.notes.extend_from_slice(layers.notes());
    if tree::is_layered(&scan.layers) {
        scan.tree = tree::human(&layers);
    }
    let exit = if scan.layers.is_empty() { Exit::No } else { Exit::Ok };
    for named in scan.not_members.iter().filter(|named| named.reason == PLAIN) {
        output.remark(&format!("{}: {PLAIN}", named.name));
    }
    output.print("raid.scan/1", &scan, || human(&scan))?;
    Ok(exit)
}

/// What stands on a medium that is no member of anything that can be found here.
fn no_member(media: &dyn Media) -> String {
    match identify::beside(media) {
        Some(("metadata", _, text)) => format!("{text}; whose, only a device-mapper table says (--table)"),
        _ => PLAIN.into(),
    }
}

fn describe(found: Vec<Found>) -> ArrayLine {
    let judged = verdicts(&found, &OpenOptions::default());
    let freshest = judged.as_ref().map_or(0, |(assembly, _)| assembly.freshest);
    let record = *found[freshest].record();
    let count = judged.as_ref().map_or(record.shape.members, |(assembly, _)| assembly.slots);
    let verdicts: Vec<Option<Verdict>> = match judged {
        Ok((_, verdicts)) => verdicts.into_iter().map(Some).collect(),
        Err(_) => vec![None; found.len()],
    };
    let mut slots: Vec<SlotLine> = (0..count).map(|slot| SlotLine { slot, member: None, events: None }).collect();
    let mut others = Vec::new();
    for (member, verdict) in found.iter().zip(&verdicts) {
        match verdict {
            Some(Verdict::Current { slot, .. }) => {
                if let Some(line) = slots.get_mut(usize::from(*slot)) {
                    line.member = Some(member.name().to_owned());
                    line.events = Some(member.record().events);
                }
            }
            verdict => {
                let unknown = member.ambiguous().is_some().then(|| because(&Verdict::Unidentified));
                let reason = verdict.as_ref().map(because).or(unknown).unwrap_or_else(|| "not judged".into());
                others.push(Named { name: member.name().to_owned(), reason });
            }
        }
    }
    let opened = Array::open(found, &OpenOptions::default());
    let whole = slots.iter().all(|slot| slot.member.is_some());
    ArrayLine {
        uuid: record.array.to_string(),
        name: record.name.to_string(),
        format: record.format.name(),
        description: text::shape(&record.shape),
        size_bytes: opened.as_ref().ok().map(Media::size_bytes),
        state: match &opened {
            Ok(_) if whole => "healthy",
            Ok(_) => "degraded",
            Err(_) => "refused",
        },
        slots,
        others,
        warnings: opened
            .as_ref()
            .map(|array| array.warnings().iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        refusal: opened.err().map(|error| error.to_string()),
    }
}

/// True if the table of slots and members says it already.
fn told(array: &ArrayLine, warning: &str) -> bool {
    warning.starts_with("degraded") || array.others.iter().any(|other| warning.ends_with(&other.reason))
}

fn human(scan: &Scan) -> String {
    let mut out = String::new();
    for array in &scan.arrays {
        let size = array.size_bytes.map(|bytes| format!(", {}", text::size(bytes))).unwrap_or_default();
        let title = [array.format, array.name.as_str()].join("  ");
        let _ = writeln!(out, "{}", text::wrap("", &format!("{}  {}", title.trim_end(), array.uuid)));
        let _ = writeln!(out, "{}", text::wrap("  ", &format!("{}: {}{size}", array.state, array.description)));
        for slot in &array.slots {
            let member = slot.member.as_deref().unwrap_or("missing");
            let events = slot.events.map(|events| format!("  (events {events})")).unwrap_or_default();
            let _ =
                writeln!(out, "{}", text::wrap(&format!("  slot {:>3}  ", slot.slot), &format!("{member}{events}")));
        }
        for other in &array.others {
            let _ = writeln!(out, "{}", text::wrap("  besides   ", &format!("{}: {}", other.name, other.reason)));
        }
        for warning in array.warnings.iter().filter(|warning| !told(array, warning)) {
            let _ = writeln!(out, "{}", text::wrap("  note: ", warning));
        }
        if let Some(refusal) = &array.refusal {
            let _ = writeln!(out, "{}", text::wrap("  refused: ", refusal));
        }
    }
    if !scan.tree.is_empty() {
        let _ = write!(out, "What stands on what:\n{}", scan.tree);
    }
    for note in &scan.notes {
        let _ = writeln!(out, "{}", text::wrap("note: ", note));
    }
    let damaged = scan.not_members.iter().filter(|named| named.reason != PLAIN);
    for named in damaged.chain(&scan.unopened) {
        let name = if named.reason.contains(&named.name) { String::new() } else { format!("{}: ", named.name) };
        let _ = writeln!(out, "{}", text::wrap("", &format!("{name}{}", named.reason)));
    }
    let plain = scan.not_members.iter().filter(|named| named.reason == PLAIN).count();
    let arrays = scan.arrays.len();
    let _ = writeln!(out, "{arrays} array{}, {plain} without a superblock", if arrays == 1 { "" } else { "s" });
    out
}
