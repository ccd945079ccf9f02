//! `raid check`, `raid repair`: does redundancy fit the data, which block is wrong, and what may be written.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::create::size;
use super::exit::{Exit, Failure};
use super::member::{WaitArgs, slot_of};
use super::output::Output;
use super::status::tell;
use super::target::{Handle, TargetArgs};
use super::text;
use crate::control::{
    Ask, BlockStatus, CheckStatus, FaultWord, FindingStatus, MendedWord, RoleWord, SlotState, Status, Whom,
};

/// Findings that text lists.
const LISTED_MAX: usize = 100;

/// Compares redundancy with the data, and names the blocks that are wrong as far as that can be known. Writes nothing: members of an
/// array that nobody serves are opened for reading only.
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
    /// Call off the check or repair that a server has under way
    #[arg(long, conflicts_with = "last")]
    stop: bool,
    /// Tell what the last check or repair of a served array found, and begin none
    #[arg(long)]
    last: bool,
}

/// Checks, and rewrites the blocks that the evidence proves wrong, or those that --trust says are. Nothing else is written.
#[derive(Args, Debug)]
pub(super) struct RepairArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Whom to believe where the evidence names nobody: data (parity is made anew, as md's repair does), copy=MEMBER (the other copies
    /// become like it), all-but=MEMBER (its block is made from the others); MEMBER by name or slot. Risk: if the wrong one is believed, the
    /// right bytes are lost
    #[arg(long, value_name = "WHOM", value_parser = Trust::parse)]
    trust: Option<Trust>,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Which part of the array.
#[derive(Args, Clone, Copy, Debug)]
struct RangeArgs {
    /// Begin with the rows that hold this byte of the array: 10G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    offset: Option<u64>,
    /// So many bytes of the array only
    #[arg(long, value_name = "SIZE", value_parser = size)]
    length: Option<u64>,
}

/// `--trust`, as given.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trust {
    Data,
    Copy(String),
    AllBut(String),
}

impl Trust {
    fn parse(word: &str) -> Result<Self, &'static str> {
        match word.split_once('=') {
            None if word == "data" => Ok(Self::Data),
            Some(("copy", member)) if !member.is_empty() => Ok(Self::Copy(member.to_owned())),
            Some(("all-but", member)) if !member.is_empty() => Ok(Self::AllBut(member.to_owned())),
            _ => Err("is none of data, copy=MEMBER, all-but=MEMBER"),
        }
    }

    fn whom(&self, status: &Status) -> Result<Whom, Failure> {
        let slot = |member: &str| match member.parse() {
            Ok(slot) if !std::path::Path::new(member).exists() => Ok(slot),
            _ => slot_of(member, status),
        };
        Ok(match self {
            Self::Data => Whom::Data,
            Self::Copy(member) => Whom::Copy(slot(member)?),
            Self::AllBut(member) => Whom::AllBut(slot(member)?),
        })
    }
}

/// Runs `raid check`.
///
/// # Errors
/// As opening; what is refused.
pub(super) fn check(args: &CheckArgs, output: &Output) -> Result<Exit, Failure> {
    if args.stop || args.last {
        let client = args.target.running(output)?;
        let client = client.ok_or_else(|| Failure::new(Exit::No, "nobody runs this array, so no check is known of"))?;
        let mut handle = Handle::Remote(client);
        if args.last {
            return report(&mut handle, output);
        }
        tell(&handle.ask(&Ask::StopCheck)?, output)?;
        return Ok(Exit::Ok);
    }
    run(args.target.look(output)?, |_| Ok(None), args.range, &args.wait, output)
}

/// Runs `raid repair`.
///
/// # Errors
/// As opening; what is refused.
pub(super) fn repair(args: &RepairArgs, output: &Output) -> Result<Exit, Failure> {
    let whom = |status: &Status| args.trust.as_ref().map_or(Ok(Whom::Nobody), |trust| trust.whom(status)).map(Some);
    run(args.target.handle_as_it_is(output)?, whom, args.range, &args.wait, output)
}

fn run(
    mut handle: Handle,
    repair: impl FnOnce(&Status) -> Result<Option<Whom>, Failure>,
    range: RangeArgs,
    wait: &WaitArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let done = go(&mut handle, repair, range, wait, output);
    handle.close()?;
    done
}

fn go(
    handle: &mut Handle,
    repair: impl FnOnce(&Status) -> Result<Option<Whom>, Failure>,
    range: RangeArgs,
    wait: &WaitArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let repair = repair(&handle.ask(&Ask::Status)?)?;
    let ask = Ask::Check { repair, offset_bytes: range.offset.unwrap_or(0), length_bytes: range.length };
    let status = handle.ask(&ask)?;
    if wait.no_wait && !handle.is_own() {
        tell(&status, output)?;
        return Ok(Exit::Ok);
    }
    if !handle.wait_for_check(wait.progress, output)? && !handle.is_own() {
        output.warn("stopped waiting: the server goes on with it; `raid check --last` tells what was found, --stop calls it off");
        return Ok(Exit::No);
    }
    report(handle, output)
}

/// Tells what the last check found, and whether all is well.
fn report(handle: &mut Handle, output: &Output) -> Result<Exit, Failure> {
    let status = handle.ask(&Ask::Status)?;
    let check = status.check.clone();
    let check = check.ok_or_else(|| Failure::new(Exit::No, "no check was made since the array was started"))?;
    let findings = handle.findings()?;
    let slots: Vec<_> = status.slots.iter().map(|slot| json!({ "slot": slot.slot, "member": slot.member })).collect();
    let document = json!({
        "uuid": status.uuid, "name": status.name, "description": status.description, "slots": slots,
        "check": check, "findings": findings,
    });
    output.print("raid.check/1", document, || human(&status, &check, &findings))?;
    if check.running {
        output.warn("it is still under way");
    }
    Ok(exit(&check))
}

fn exit(check: &CheckStatus) -> Exit {
    let left_out = check.in_doubt_bytes + check.blind_bytes + check.lost_bytes;
    match () {
        () if !check.durable => Exit::Io,
        () if check.remaining > 0 || check.done_bytes < check.total_bytes || check.running => Exit::No,
        () if left_out > 0 => Exit::Incomplete,
        () => Exit::Ok,
    }
}

fn human(status: &Status, check: &CheckStatus, findings: &[FindingStatus]) -> String {
    let mut out = text::wrap("", format!("{}  {}", status.uuid, status.name).trim_end()) + "\n";
    out += &(text::wrap("", &status.description) + "\n");
    let mut line = |first: &str, words: &str| out += &(text::wrap(&format!("{first:<11}"), words) + "\n");
    let (done, total) = (text::size(check.done_bytes), text::size(check.total_bytes));
    line("looked at", &if done == total { format!("{done} of each member") } else { format!("{done} of {total}") });
    let missing = status.slots.iter().filter(|slot| slot.state != SlotState::InSync).count();
    let (doubt, blind, lost) = (check.in_doubt_bytes, check.blind_bytes, check.lost_bytes);
    if doubt > 0 {
        let why = "of each member not judged: in doubt after a crash; `raid rebuild` puts it in order";
        line("left out", &format!("{} {why}", text::size(doubt)));
    }
    if blind > 0 {
        let why = "of each member not judged: all its redundancy is missing, or stands in for what is missing";
        line("left out", &format!("{} {why} ({missing} slots are not in sync)", text::size(blind)));
    }
    if lost > 0 {
        line("lost", &format!("{} of each member cannot be read by more members than it survives", text::size(lost)));
    }
    match (findings.len(), check.repair) {
        (0, _) => line("found", "nothing wrong"),
        (_, None) => line("found", &format!("{} places wrong", check.remaining)),
        (_, Some(_)) => {
            line("found", &format!("{} repaired, {} left as they are", check.mended, check.remaining));
        }
    }
    if !check.durable {
        line("trouble", "what was rewritten could not be made durable");
    }
    for finding in findings.iter().take(LISTED_MAX) {
        out += &told(status, finding);
    }
    let more = findings.len().saturating_sub(LISTED_MAX) as u64;
    if more + check.unlisted > 0 {
        let listed = if more > 0 { format!("; --json lists {} of them", findings.len()) } else { String::new() };
        let _ = writeln!(out, "{}", text::wrap("", &format!("and {} more{listed}", more + check.unlisted)));
    }
    out
}

/// A finding: what is wrong and how that is known, then where.
fn told(status: &Status, finding: &FindingStatus) -> String {
    let name = |block: &BlockStatus| {
        let slot = status.slots.iter().find(|slot| slot.slot == block.slot);
        slot.and_then(|slot| slot.member.clone()).unwrap_or_else(|| format!("slot {}", block.slot))
    };
    let names = finding.blocks.iter().map(name).collect::<Vec<_>>().join(", ");
    let copies = finding.blocks.iter().any(|block| block.role == RoleWord::Copy);
    let bytes = finding.bytes;
    let what = match (finding.fault, copies) {
        (FaultWord::Blocks, false) => format!("the block of {names} is wrong: P and Q agree on that, by {bytes} bytes"),
        (FaultWord::Blocks, true) => {
            format!("the copy of {names} is wrong: most copies are alike, but for {bytes} bytes")
        }
        (FaultWord::Several, false) => format!("more than one block is wrong: no single one explains {bytes} bytes"),
        (FaultWord::Several, true) => format!("copies differ in {bytes} bytes, and no majority is alike"),
        (FaultWord::Unknown, false) => {
            format!("parity and data differ in {bytes} bytes; one parity cannot know which block is wrong")
        }
        (FaultWord::Unknown, true) => format!("copies differ in {bytes} bytes; two cannot know which is right"),
        (FaultWord::Unreadable, _) => format!("{names}: cannot be read here"),
    };
    let then = match finding.mended {
        MendedWord::NotAsked => "",
        MendedWord::Yes => "; repaired",
        MendedWord::Unjustified => "; left as it is: nothing says what to write (--trust does)",
        MendedWord::Failed => "; a member did not take the repair",
    };
    let mut out = text::wrap(&format!("row {:<7}", finding.row), &format!("{what}{then}")) + "\n";
    for block in &finding.blocks {
        let role = match block.role {
            RoleWord::Data => "data",
            RoleWord::P => "P",
            RoleWord::Q => "Q",
            RoleWord::Copy => "copy",
        };
        let at = block.from_bytes.zip(block.to_bytes).map_or_else(|| "has left".to_owned(), range);
        out += &(text::wrap("  ", &format!("{} {at} ({role})", name(block))) + "\n");
    }
    if !finding.array_bytes.is_empty() {
        let ranges: Vec<String> = finding.array_bytes.iter().map(|run| range(*run)).collect();
        out += &(text::wrap("  ", &format!("array {}", ranges.join(", "))) + "\n");
    }
    out
}

fn range((from, to): (u64, u64)) -> String {
    format!("bytes {from}-{}", to.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_to_trust_is_said_in_three_ways() {
        assert_eq!(Trust::parse("data"), Ok(Trust::Data));
        assert_eq!(Trust::parse("copy=disk=1"), Ok(Trust::Copy("disk=1".into())));
        assert_eq!(Trust::parse("all-but=2"), Ok(Trust::AllBut("2".into())));
        for nonsense in ["", "parity", "copy", "copy=", "data=1"] {
            assert!(Trust::parse(nonsense).is_err(), "{nonsense}");
        }
    }
}
