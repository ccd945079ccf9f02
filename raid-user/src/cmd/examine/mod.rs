//! `raid examine`: every field of a member's metadata, with its place and meaning.

mod dm;
mod lvm;

use std::convert::Infallible;
use std::fmt::Write as _;

use clap::Args;
use raid_core::{SECTOR_BYTES, Sector};
use raid_formats::assemble::Claimant;
use raid_formats::ddf;
use raid_formats::dump::{Field, Value};
use raid_formats::imsm;
use raid_formats::md::{self, Refusal, Version};
use raid_formats::record::{Role, WriteLog};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::exit::{Exit, Failure};
use super::open::{only, search_options, unopened};
use super::output::{Output, complain};
use super::text;
use crate::discover::{Found, MediaSource, Only, Outcome, open_member};
use crate::media::Media;

/// Tells every field with its offset and meaning.
#[derive(Args, Debug)]
pub(super) struct ExamineArgs {
    /// Members
    #[arg(required = true, value_name = "MEMBER")]
    members: Vec<String>,
    /// Show the bytes of each field
    #[arg(long)]
    hex: bool,
    /// Which format counts, where media carry records of several
    #[arg(long = "as", value_name = "FORMAT", value_parser = only)]
    only: Option<Only>,
    /// Open files that an image refers to (qcow2 backing files)
    #[arg(long)]
    follow_references: bool,
}

#[derive(Serialize)]
struct Examined {
    member: String,
    format: &'static str,
    records: Vec<RecordOut>,
    notes: Vec<String>,
    #[serde(skip)]
    human: String,
}

#[derive(Serialize)]
struct RecordOut {
    record: &'static str,
    at_bytes: u64,
    fields: Vec<FieldOut>,
}

#[derive(Serialize)]
struct FieldOut {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    /// In text a table's equal entries are one line; this is the last of them.
    #[serde(skip)]
    last_index: Option<u32>,
    offset: u32,
    len: u32,
    value: Json,
    text: String,
    meaning: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// A dump of `raid_formats`: calls back with each field of some bytes.
type Dump<'a> = &'a dyn Fn(&[u8], &mut dyn FnMut(Field)) -> Result<(), Refusal>;

/// Runs the verb.
///
/// # Errors
/// Stdout's; of a single name, why it is no member. What others of several are not is told beside what the rest are.
pub(super) fn run(args: &ExamineArgs, output: &Output) -> Result<Exit, Failure> {
    let look = Look { hex: args.hex, json: output.json };
    let mut members = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    for outcome in examine_all(args, look) {
        match outcome {
            Ok(examined) => members.push(examined),
            Err(failure) => failures.push(failure),
        }
    }
    if members.is_empty() && failures.len() == 1 {
        return failures.pop().map_or(Ok(Exit::Ok), Err);
    }
    let told = |failure: &Failure| json!({ "exit_code": failure.exit as u8, "message": failure.message });
    let document = match output.json {
        true => json!({ "members": &members, "failures": failures.iter().map(told).collect::<Vec<_>>() }),
        false => Json::Null,
    };
    output.print("raid.examine/1", document, || members.iter().map(|member| member.human.as_str()).collect())?;
    failures.iter().for_each(|failure| complain(&failure.message));
    Ok(failures.last().map_or(Exit::Ok, |failure| failure.exit))
}

/// What is to be told of each field.
#[derive(Clone, Copy)]
struct Look {
    hex: bool,
    json: bool,
}

/// All members, in the order given, by as many threads as there are cores.
fn examine_all(args: &ExamineArgs, look: Look) -> Vec<Result<Examined, Failure>> {
    let one = |name: &String| match open_member(name, &search_options(args.follow_references, args.only)) {
        Outcome::Member(found) => Ok(examine(&found, look)),
        Outcome::Physical(one) => Ok(lvm::physical(&one, look)),
        Outcome::NotAMember(reason, media) => {
            dm::beside(name, media.as_ref(), look).ok_or_else(|| Failure::new(Exit::BadInput, reason))
        }
        Outcome::Unopened { error, .. } => Err(unopened(error)),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = args.members.len().div_ceil(threads).max(1);
    let work = |part: &[String]| part.iter().map(one).collect::<Vec<_>>();
    let (own, others) = args.members.split_at(share.min(args.members.len()));
    std::thread::scope(|scope| {
        let others: Vec<_> = others.chunks(share).map(|part| scope.spawn(move || work(part))).collect();
        let mut all = work(own);
        for other in others {
            let panicked = |_| vec![Err(Failure::new(Exit::Io, "a thread panicked"))];
            all.extend(other.join().unwrap_or_else(panicked));
        }
        all
    })
}

fn examine(found: &Found, look: Look) -> Examined {
    let record = found.record();
    let version = Version::ALL.into_iter().find(|version| version.format() == record.format);
    let mut told = Told::new(look, record.notes.sentences().map(str::to_owned).collect());
    told.notes.extend(found.notes().iter().map(ToString::to_string));
    for other in found.others() {
        let other = format!("{} of array {} with {} events", other.format.name(), other.array, other.events);
        told.notes.push(format!("Another superblock also stands here: {other}."));
    }
    if let (Some(version), Some(Ok(superblock))) = (version, found.superblock()) {
        let at = superblock.at();
        told.push("superblock", at, superblock.emit(), |bytes, visit| md::dump::superblock(bytes, version, visit));
    }
    if let Some((set, place)) = found.ddf() {
        let dump = |bytes: &[u8], visit: &mut dyn FnMut(Field)| {
            ddf::dump::set(bytes, place.order, place.block_bytes, visit).map_err(|refusal| refusal.to_string())
        };
        told.push("set", place.at(), set, dump);
    }
    if let Some((bytes, place)) = found.imsm() {
        told.push("record", place.at(0), bytes, |bytes, visit| imsm::dump::record(bytes, visit));
    }
    if let Some((kind, member)) = found.bios() {
        let mut bytes = vec![0; kind.len_bytes()];
        match kind.read(&MediaSource(found.media().as_ref()), member.at(), &mut bytes) {
            Ok(()) => told.push("record", member.at(), &bytes, |bytes, visit| {
                kind.dump(bytes).for_each(visit);
                Ok::<(), Infallible>(())
            }),
            Err(fault) => told.notes.push(fault.to_string()),
        }
    }
    let mut area = |name, at, len, dump: Dump<'_>| told.area(found.media().as_ref(), name, (at, len), dump);
    match record.log {
        WriteLog::None => {}
        WriteLog::Bitmap(at) => area("bitmap", at, 512, &|bytes, visit| md::dump::bitmap(bytes, visit)),
        WriteLog::Ppl { at, .. } => area("ppl", at.at, 4096, &|bytes, visit| md::dump::ppl(bytes, visit)),
        WriteLog::Journal { tail } if record.role == Role::Journal => {
            let at = Sector(record.data.at.0.saturating_add(tail.0));
            area("journal", at, 4096, &|bytes, visit| md::dump::journal(bytes, record.array, visit));
        }
        WriteLog::Journal { .. } => {}
    }
    if let (Some(list), Some(Ok(md::Superblock::V1(superblock)))) = (record.bad_blocks, found.superblock()) {
        let len = usize::try_from(list.len.0 * SECTOR_BYTES).unwrap_or(4096).min(4096);
        let shift = superblock.raw().head.bblog_shift;
        area("bad blocks", list.at, len, &|bytes, visit| {
            md::dump::bad_blocks(bytes, shift, visit);
            Ok(())
        });
    }
    told.of(found.name(), record.format.name())
}

/// What is told of a member, as it is collected.
struct Told {
    look: Look,
    records: Vec<RecordOut>,
    notes: Vec<String>,
}

impl Told {
    const fn new(look: Look, notes: Vec<String>) -> Self {
        Self { look, records: Vec::new(), notes }
    }

    /// That of the member with this name.
    fn of(self, member: &str, format: &'static str) -> Examined {
        let Self { look, records, notes } = self;
        let mut examined = Examined { member: member.to_owned(), format, records, notes, human: String::new() };
        if !look.json {
            examined.human = human(&examined);
        }
        examined
    }

    /// Dumps one record; one that does not parse is a note.
    fn push<E: std::fmt::Display>(
        &mut self,
        record: &'static str,
        at: Sector,
        bytes: &[u8],
        dump: impl FnOnce(&[u8], &mut dyn FnMut(Field)) -> Result<(), E>,
    ) {
        let (fields, refusal) = fields(bytes, self.look, dump);
        self.notes.extend(refusal.map(|refusal| format!("{record}: {refusal}")));
        self.records.push(RecordOut { record, at_bytes: at.0.saturating_mul(SECTOR_BYTES), fields });
    }

    /// Reads so many bytes of the medium and dumps them; what cannot be read is a note.
    fn area<E: std::fmt::Display>(
        &mut self,
        media: &dyn Media,
        record: &'static str,
        (at, len): (Sector, usize),
        dump: impl FnOnce(&[u8], &mut dyn FnMut(Field)) -> Result<(), E>,
    ) {
        let mut bytes = vec![0; len];
        match media.read_at(at.bytes().unwrap_or(u64::MAX), &mut bytes) {
            Ok(()) => self.push(record, at, &bytes, dump),
            Err(error) => self.notes.push(format!("{record}: {error}")),
        }
    }
}

/// The fields that a dump tells, and what it refuses.
fn fields<E>(
    bytes: &[u8],
    look: Look,
    dump: impl FnOnce(&[u8], &mut dyn FnMut(Field)) -> Result<(), E>,
) -> (Vec<FieldOut>, Option<E>) {
    let mut fields: Vec<FieldOut> = Vec::new();
    let mut last_code = None;
    let mut visit = |field: Field| {
        let code = match field.value {
            Value::Code { number, .. } if field.index.is_some() && !look.json && !look.hex => {
                Some((field.name, number))
            }
            _ => None,
        };
        match fields.last_mut() {
            Some(last) if code.is_some() && code == last_code => last.last_index = field.index,
            _ => fields.push(field_out(&field, bytes, look)),
        }
        last_code = code;
    };
    let refusal = dump(bytes, &mut visit).err();
    (fields, refusal)
}

fn field_out(field: &Field, bytes: &[u8], look: Look) -> FieldOut {
    let raw = || {
        let bytes = bytes.get(field.offset as usize..)?.get(..field.len as usize)?;
        Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "))
    };
    FieldOut {
        name: field.name,
        index: field.index,
        last_index: None,
        offset: field.offset,
        len: field.len,
        value: if look.json { value(field.value) } else { Json::Null },
        text: match field.value {
            Value::Time { seconds, .. } => text::time(seconds),
            value => value.to_string(),
        },
        meaning: field.meaning,
        hex: look.hex.then(raw).flatten(),
    }
}

fn value(value: Value) -> Json {
    match value {
        Value::U64(number) | Value::Hex(number) => json!(number),
        Value::I64(number) => json!(number),
        Value::Code { number, name } => json!({ "number": number, "name": name }),
        Value::Flags(flags) => {
            json!({ "bits": flags.bits, "set": flags.set().collect::<Vec<_>>(), "unknown": flags.unknown() })
        }
        Value::Time { seconds, micros } => json!({ "seconds": seconds, "micros": micros }),
        Value::Text(text) => json!(text.escape_ascii().to_string()),
        Value::Bytes(bytes) => json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        Value::Run(run) => json!({ "at_sectors": run.at.0, "len_sectors": run.len.0 }),
        Value::Checksum { found, expected } => {
            json!({ "found": found, "expected": expected, "right": found == expected })
        }
    }
}

fn human(examined: &Examined) -> String {
    let mut out = text::wrap("", &format!("{}: {}", examined.member, examined.format));
    out.push('\n');
    for record in &examined.records {
        let _ = writeln!(out, "  {} at byte {}", record.record, record.at_bytes);
        for field in &record.fields {
            let name = match (field.index, field.last_index) {
                (None, _) => field.name.to_owned(),
                (Some(only), None) => format!("{}[{only}]", field.name),
                (Some(first), Some(last)) => format!("{}[{first}..={last}]", field.name),
            };
            let value = format!("{}  {}", field.text, if field.index.is_some() { "" } else { field.meaning });
            let _ = writeln!(out, "{}", text::wrap(&format!("  {:>6}  {name:<20} ", field.offset), value.trim_end()));
            if let Some(hex) = &field.hex {
                let _ = writeln!(out, "{}", text::wrap("          | ", hex));
            }
        }
    }
    for note in &examined.notes {
        let _ = writeln!(out, "{}", text::wrap("  note: ", note));
    }
    out
}
