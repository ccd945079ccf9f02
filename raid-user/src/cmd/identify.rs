//! `raid identify`: one line each of what files and devices are, as `file` says it.

use clap::Args;
use raid_core::{SECTOR_BYTES, Sectors};
use raid_formats::assemble::Claimant;
use raid_formats::dm;
use raid_formats::lvm::Group;
use raid_formats::record::{Record, Role};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::open::{only, search_options};
use super::output::Output;
use super::text;
use crate::discover::{Beside, Found, Only, Outcome, open_member};
use crate::lvm::Physical;
use crate::media::{self, Media};

/// Says in one line each what files and devices are.
#[derive(Args, Debug)]
pub(super) struct IdentifyArgs {
    /// Files, devices, images, partitions in them (disk.img#2)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Which format counts, where a file carries records of several
    #[arg(long = "as", value_name = "FORMAT", value_parser = only)]
    only: Option<Only>,
    /// Open files that an image refers to (qcow2 backing files)
    #[arg(long)]
    follow_references: bool,
}

#[derive(Serialize)]
struct Identified {
    file: String,
    /// `member`, `physical volume`, `metadata`, `disk`, `damaged`, `data` or `unopened`.
    kind: &'static str,
    format: Option<&'static str>,
    /// The line, without the file's name.
    text: String,
}

/// Runs the verb.
///
/// # Errors
/// Stdout's. What is nothing that RAID knows is a result; what cannot be opened makes the exit code say so.
pub(super) fn run(args: &IdentifyArgs, output: &Output) -> Result<Exit, Failure> {
    let files: Vec<Identified> = args.files.iter().map(|name| identify(name, args)).collect();
    let exit = match &files {
        files if files.iter().any(|file| file.kind == "unopened") => Exit::Io,
        files if files.iter().all(|file| file.kind == "data") => Exit::No,
        _ => Exit::Ok,
    };
    let width = files.iter().map(|file| file.file.chars().count()).max().unwrap_or(0) + 1;
    output.print("raid.identify/1", serde_json::json!({ "files": &files }), || {
        files.iter().map(|file| format!("{:<width$} {}\n", format!("{}:", file.file), file.text)).collect()
    })?;
    Ok(exit)
}

fn identify(name: &str, args: &IdentifyArgs) -> Identified {
    let identified = |kind, format, text: String| Identified { file: name.to_owned(), kind, format, text };
    let how = search_options(args.follow_references, args.only);
    match open_member(name, &how) {
        Outcome::Member(found) => identified("member", Some(found.record().format.name()), member(&found)),
        Outcome::Physical(one) => identified("physical volume", Some("lvm2"), physical(&one)),
        Outcome::Unopened { error, .. } => identified("unopened", None, error.to_string()),
        Outcome::NotAMember(reason, _) if reason.damaged => identified("damaged", None, reason.worst()),
        Outcome::NotAMember(_, media) => match beside(media.as_ref()) {
            Some((kind, format, text)) => identified(kind, format, text),
            None => identified("data", None, "no RAID superblock".to_owned()),
        },
    }
}

/// A kind, a format, and all of it in words.
type Known = (&'static str, Option<&'static str>, String);

/// A member, and what else stands on its medium.
fn member(found: &Found) -> String {
    let mut text = record(found.record());
    for other in found.others() {
        text += &format!("; also {}", record(other));
    }
    if let Some(id) = found.label() {
        text += &format!("; also the label of lvm2 physical volume {id}");
    }
    text
}

fn record(record: &Record) -> String {
    let role = match record.role {
        Role::Slot(slot) if record.replacement => format!("replacement of slot {slot}"),
        Role::Slot(slot) => format!("slot {slot}"),
        Role::Spare => "spare".to_owned(),
        Role::Faulty => "thrown out".to_owned(),
        Role::Journal => "journal".to_owned(),
        Role::Unidentified => "slot not known".to_owned(),
    };
    let name = match record.name.to_string() {
        name if name.is_empty() => String::new(),
        name => format!(" {name}"),
    };
    let (format, shape) = (record.format.name(), text::shape(&record.shape));
    let filled = record.sync_mark.map_or("", |_| ", being filled");
    format!("{format} member, {role}{filled} of {shape}, array {}{name}", record.array)
}

fn physical(one: &Physical) -> String {
    let group = match one.text().and_then(|text| Group::parse(text).ok()) {
        Some(group) => format!(" of group {} at number {}", group.name().escape_ascii(), group.seqno()),
        None => ", without a text of its group".to_owned(),
    };
    format!("lvm2 physical volume {}{group}", one.id())
}

/// What is no member by itself: what device-mapper targets keep beside one, or a disk with partitions. `None` if nothing is known of it.
pub(super) fn beside(media: &dyn Media) -> Option<Known> {
    if let Some((beside, head)) = Beside::find(media).ok()? {
        return Some(("metadata", Some(beside.name()), metadata(beside, &head)));
    }
    let table = media::partitions(media).ok().flatten().filter(|table| !table.partitions.is_empty())?;
    let parts: Vec<String> =
        table.partitions.iter().map(|part| format!("#{} {}", part.index, text::size(part.len_bytes))).collect();
    Some(("disk", None, format!("partition table: {}", parts.join(", "))))
}

fn metadata(beside: Beside, head: &[u8]) -> String {
    let told = match beside {
        // How large the data beside it are is not known here.
        Beside::Raid => dm::Superblock::parse(head, Sectors(1 << 54)).map(|superblock| {
            let record = superblock.described();
            let (position, events) = (record.number, record.events);
            format!("dm-raid metadata, device {position} of {}, {events} events", text::shape(&record.shape))
        }),
        Beside::Mirror => dm::MirrorLog::parse(head).map(|log| format!("dm-mirror log of {} regions", log.regions())),
        Beside::Snapshot => dm::Store::parse(head).map(|store| {
            let state = match store.state() {
                dm::StoreState::Valid => "",
                dm::StoreState::Invalid => ", no longer valid",
            };
            format!("dm-snapshot store in chunks of {}{state}", text::size(store.chunk().0 * SECTOR_BYTES))
        }),
    };
    told.unwrap_or_else(|refusal| format!("{} metadata, damaged: {refusal}", beside.name()))
}
