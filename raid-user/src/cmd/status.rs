//! `raid status`: a running array, live.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;

use super::exit::{Exit, Failure};
use super::output::Output;
use super::target::{Handle, TargetArgs};
use super::text;
use crate::control::{ArrayState, Ask, CopyStatus, SlotState, SlotStatus, Status};

/// Tells how a running array is: its members, what goes on in the background, regions being written to.
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Tell it again every second, or every N seconds, until stopped
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", value_parser = clap::value_parser!(u16).range(1..=3600))]
    watch: Option<u16>,
}

/// Runs the verb.
///
/// # Errors
/// Nobody runs the array; a server that does not answer.
pub(super) fn run(args: &StatusArgs, output: &Output) -> Result<Exit, Failure> {
    let Some(client) = args.target.running(output)? else {
        return Err(Failure::new(Exit::No, "nobody runs this array; `raid explain` tells what its members say"));
    };
    let mut handle = Handle::Remote(client);
    loop {
        let status = handle.ask(&Ask::Status)?;
        tell(&status, output)?;
        let Some(seconds) = args.watch else { return Ok(Exit::Ok) };
        std::thread::sleep(Duration::from_secs(seconds.into()));
    }
}

/// Prints it.
///
/// # Errors
/// Stdout's.
pub(super) fn tell(status: &Status, output: &Output) -> Result<(), Failure> {
    output.print("raid.status/1", status, || human(status))
}

/// What a member is good for, in words.
fn state_of(slot: &SlotStatus) -> String {
    match slot.state {
        SlotState::InSync => "in sync".to_owned(),
        SlotState::Rebuilding => {
            let how = if slot.by_log { "being filled where it missed something" } else { "being filled" };
            format!("{how}, {} so far", text::size(slot.mark_bytes.unwrap_or(0)))
        }
        SlotState::Failed => "failed; `raid remove` lets go of it".to_owned(),
        SlotState::Missing => "nobody".to_owned(),
    }
}

/// Who is to replace a member, in words.
fn copy_line(copy: &CopyStatus) -> String {
    match copy.state {
        SlotState::Failed => format!("{}: was to replace it, and failed", copy.member),
        _ => format!("{}: is to replace it, {} so far", copy.member, text::size(copy.mark_bytes.unwrap_or(0))),
    }
}

fn human(status: &Status) -> String {
    let mut out = text::wrap("", format!("{}  {}", status.uuid, status.name).trim_end()) + "\n";
    let state = match status.state {
        ArrayState::Healthy => "healthy",
        ArrayState::Degraded => "degraded",
        ArrayState::Broken => "broken: more failed than it survives, it takes no writes",
    };
    let line = format!("{}, {}: {state}", status.description, text::size(status.size_bytes));
    let _ = writeln!(out, "{}", text::wrap("", &line));
    if let Some(uri) = &status.uri {
        let _ = writeln!(out, "{}", text::wrap("served at  ", uri));
    }
    for slot in &status.slots {
        let first = format!("slot {:<5}  ", slot.slot);
        let member = slot.member.as_deref().unwrap_or("-");
        let state = state_of(slot);
        let _ = writeln!(out, "{}", text::wrap(&first, &format!("{member}: {state}")));
        if let Some(copy) = &slot.copy {
            let _ = writeln!(out, "{}", text::wrap("           ", &copy_line(copy)));
        }
    }
    for spare in &status.spares {
        let _ = writeln!(out, "{}", text::wrap("spare      ", &spare.member));
    }
    let regions = &status.regions;
    if regions.total > 0 {
        let size = text::size(regions.region_bytes);
        let line = format!(
            "{} of {} being written to, {} in doubt ({size} of a member each)",
            regions.dirty - regions.in_doubt,
            regions.total,
            regions.in_doubt
        );
        let _ = writeln!(out, "{}", text::wrap("regions    ", &line));
    }
    if let Some(pass) = &status.pass {
        let line = progress((pass.done_bytes, pass.total_bytes), (pass.bytes_per_s, pass.left_s), pass.paused);
        let _ = writeln!(out, "{}", text::wrap(&format!("{:<11}", pass.kind.word()), &line));
    }
    let limits = status.pass.as_ref().map_or((None, None), |pass| (pass.busy_bytes_per_s, pass.max_bytes_per_s));
    for (what, limit) in [("while clients are at work", limits.0), ("at most", limits.1)] {
        if let Some(limit) = limit {
            let _ = writeln!(out, "{}", text::wrap("limit      ", &format!("{}/s {what}", text::size(limit))));
        }
    }
    if let Some(check) = &status.check {
        let word = if check.repair.is_some() { "repair" } else { "check" };
        let mut line = match check.running {
            true => progress((check.done_bytes, check.total_bytes), (check.bytes_per_s, check.left_s), check.paused),
            false if check.done_bytes < check.total_bytes => {
                format!("called off after {} of {}", text::size(check.done_bytes), text::size(check.total_bytes))
            }
            false => format!("{} of each member", text::size(check.done_bytes)),
        };
        let found = check.findings + check.unlisted;
        let _ = match (found, check.mended) {
            (0, _) => write!(line, "; nothing wrong found"),
            (found, 0) => write!(line, "; {found} places wrong; `raid check --last` lists them"),
            (found, mended) => {
                write!(line, "; {found} places wrong, {mended} repaired; `raid check --last` lists them")
            }
        };
        let _ = writeln!(out, "{}", text::wrap(&format!("{word:<11}"), &line));
    }
    if status.unhealed_rows > 0 {
        let line = format!("{} rows could not be put in order", status.unhealed_rows);
        let _ = writeln!(out, "{}", text::wrap("trouble    ", &line));
    }
    out
}

fn progress((done, total): (u64, u64), (rate, left): (Option<u64>, Option<u64>), paused: bool) -> String {
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    let mut line = format!("{percent}%  {} of {}", text::size(done), text::size(total));
    match (rate, left) {
        (Some(rate), Some(left)) => {
            let left = humantime::format_duration(Duration::from_secs(left));
            let _ = write!(line, "  {}/s  {left} left", text::size(rate));
        }
        _ if paused => line += "  paused; `raid resume` goes on",
        _ => line += "  time left not known yet",
    }
    line
}
